"""Which part of the figures a page speaks of: trade, month, what it is compared with, segment, currency.

Kept in the address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date

import polars as pl
import streamlit as st

from dashboard import address, states
from dashboard.queries import orders as order_queries
from dashboard.queries import revenue
from dashboard.view import Published, View, month_before

ALL = "all"
COMPARISONS = ("previous", "year", "target")
FILTERS = ("month", "compare", "segment", "currency")
FILTERS_PLACE = "filters"
"""Where the head of a page leaves room for its filters: above its saved views (View.slots)."""


@dataclass(frozen=True)
class Scope:
    """What the filters say.

    `compare` is one of COMPARISONS; `compared` is the first day of the month compared with: the month
    before where figures are compared with their targets. `plan` narrows what is known by plan: the bridge.
    """

    month: date
    compared: date
    segment: str
    currency: str
    is_provisional: bool
    compare: str = "previous"
    plan: str = ALL

    @property
    def values(self) -> dict[str, object]:
        """The values every query of subscriptions takes."""
        return {
            "month": self.month,
            "compared": self.compared,
            "segment": self.segment,
            "currency": self.currency,
            "plan": self.plan,
        }


def page(
    view: View,
    of_subscriptions: Callable[[View, Published], None],
    of_orders: Callable[[View, Published], None],
) -> None:
    """A page that speaks of subscriptions, or of orders, as the company trades or the reader chooses; what it
    needs, where there is neither."""
    if view.published is None:
        states.nothing_published(view)
    elif trade(view, view.published) == "subscriptions":
        of_subscriptions(view, view.published)
    elif view.published.build.has_orders:
        of_orders(view, view.published)
    else:
        states.needs_source(view)


@contextmanager
def place(view: View) -> Iterator[None]:
    """Where a page draws its filters: below its head and above its saved views."""
    with view.slots.get(FILTERS_PLACE) or nullcontext():
        yield


@contextmanager
def filters(view: View) -> Iterator[None]:
    """The row of a page's filters, in its place."""
    with place(view), st.container(horizontal=True, key="filters"):
        yield


def subscriptions(
    view: View, published: Published, choices: revenue.Choices = revenue.CHOICES, nothing: str | None = None
) -> Scope | None:
    """Draw the filters of a subscription page and say what they are set to.

    Without a month a sentence says so, `nothing` where the page has one of its own, and there is no scope.
    """
    _ = view.text.gettext
    months = published.rows(choices.months)
    if months.is_empty():
        why = _("There is no month with recurring revenue yet: no subscription has started.")
        states.empty(view, nothing or why)
        return None
    segments = [ALL, *published.rows(choices.segments)["segment"].to_list()]
    currencies = published.rows(choices.currencies)["currency"].to_list()
    default_currency = usual_currency(published, currencies)
    with filters(view):
        month, compared, compare = _period(view, months["month"].to_list(), _provisional(months))
        segment = segment_choice(view, segments)
        currency = default_currency
        if len(currencies) > 1:
            currency = address.choice("currency", _("Currency"), currencies, default_currency, str)
    return Scope(month, compared, segment, currency, month in _provisional(months), compare)


def usual_currency(published: Published, currencies: list[str]) -> str:
    """The currency a page of subscriptions begins with: that of the company, where it is among them."""
    home_currency = published.build.reporting_currency
    return home_currency if home_currency in currencies else currencies[0]


def segment_choice(view: View, segments: list[str], resets: Sequence[str] = ("rows", "page")) -> str:
    """Draw the choice of a segment; `segments` begins with all of them."""
    _ = view.text.gettext
    return address.choice(
        "segment",
        _("Segment"),
        segments,
        ALL,
        lambda one: _("All segments") if one == ALL else one,
        resets=resets,
    )


@dataclass(frozen=True)
class OrderScope:
    """What the filters of repeat trade say."""

    month: date
    compared: date
    country: str
    currency: str
    is_provisional: bool
    compare: str = "previous"

    @property
    def segment(self) -> str:
        """What targets are kept for: those of all countries, or of one that no segment is called after."""
        return self.country

    @property
    def values(self) -> dict[str, object]:
        """The values every query of orders takes."""
        return {"month": self.month, "country": self.country, "currency": self.currency}


def orders(
    view: View, published: Published, *, by_country: bool = True, compares: bool = True
) -> OrderScope | None:
    """Draw the filters of a page of repeat trade and say what they are set to. A page that knows no
    countries, or compares with nothing, does not draw these.

    Without an order a sentence says so, and there is no scope.
    """
    _ = view.text.gettext
    months = published.rows(order_queries.MONTHS)
    if months.is_empty():
        why = _("There is no order yet. Put order files into the folder that company.toml names.")
        states.empty(view, why)
        return None
    currencies = published.rows(order_queries.CURRENCIES)["currency"].to_list()
    country, currency = ALL, currencies[0]
    with filters(view):
        month, compared, compare = _period(view, months["month"].to_list(), _provisional(months), compares)
        if by_country:
            countries = [ALL, *published.rows(order_queries.COUNTRIES)["country"].to_list()]
            country = address.choice(
                "country", _("Country"), countries, ALL, lambda one: _("All countries") if one == ALL else one
            )
        if len(currencies) > 1:
            currency = address.choice("currency", _("Currency"), currencies, currencies[0], str)
    return OrderScope(month, compared, country, currency, month in _provisional(months), compare)


def trade(view: View, published: Published) -> str:
    """Whether a page speaks of subscriptions or of orders; a company that has both chooses."""
    _ = view.text.gettext
    build = published.build
    if build.has_subscriptions and build.has_orders:
        names = {"subscriptions": _("Subscriptions"), "orders": _("Orders")}
        with place(view):
            return address.choice(
                "trade",
                _("Kind of trade"),
                list(names),
                "subscriptions",
                names.__getitem__,
                resets=(*FILTERS, "country", "rows", "page"),
                as_buttons=True,
            )
    return "subscriptions" if build.has_subscriptions else "orders"


def _period(
    view: View, months: list[date], provisional: frozenset[date], compares: bool = True
) -> tuple[date, date, str]:
    _ = view.text.gettext

    def shown(month: date) -> str:
        name = view.show.month(month)
        return _("{month} (still running)").format(month=name) if month in provisional else name

    newest_closed = next((month for month in months if month not in provisional), months[0])
    month = address.choice(
        "month", _("Month"), months, newest_closed, shown, code=lambda one: f"{one:%Y-%m}", resets=("page",)
    )
    names = {"previous": _("Previous month"), "year": _("Same month last year"), "target": _("Target")}
    compare = "previous"
    if compares:
        compare = address.choice("compare", _("Compare with"), COMPARISONS, compare, names.__getitem__)
    return month, compared_with(month, compare), compare


def compared_with(month: date, compare: str) -> date:
    """The month that one of COMPARISONS sets beside a month: targets stand with the month before."""
    return month_before(month, 12 if compare == "year" else 1)


def compared_words(view: View, compared: date) -> str:
    return view.text.gettext("against {month}").format(month=view.show.month(compared))


def _provisional(months: pl.DataFrame) -> frozenset[date]:
    return frozenset(row["month"] for row in months.iter_rows(named=True) if row["is_provisional"])
