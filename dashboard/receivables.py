"""What is owed at the close of a month, by age: the same bars and rows on every page that shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

import polars as pl
import streamlit as st

from dashboard import charts, figures, frame, keyed, theme, words
from dashboard.figures import Value
from dashboard.frame import Check, Drill
from dashboard.queries import cash, revenue
from dashboard.scope import Scope
from dashboard.tables import Column
from dashboard.view import Metric, Published, View

FOREVER = 1_000_000
BUCKET_DAYS = {
    "current": (-FOREVER, 0),
    "d1_30": (1, 30),
    "d31_60": (31, 60),
    "d61_90": (61, 90),
    "d91_plus": (91, FOREVER),
}
UNAPPLIED = "unapplied"
COLOURS = (theme.BLUE, theme.GREEN, theme.AMBER, theme.GREY, theme.SKY)


@dataclass(frozen=True)
class Receivables:
    """What is owed at one close, in the chosen currency; `by_age` has a row a bucket and currency billed in.

    `values` are the rows of fct_metric_values for the chosen month and the one compared with.
    """

    month: date
    closed_on: date
    by_age: pl.DataFrame
    values: pl.DataFrame

    def amount(self, bucket: str) -> Decimal:
        rows = keyed.rows_by(self.by_age, "bucket").get((bucket,), ())
        return sum((row["amount"] for row in rows), Decimal(0))

    @property
    def buckets(self) -> list[str]:
        """Those with something in them, by age."""
        there = set(self.by_age["bucket"].to_list())
        return [bucket for bucket in BUCKET_DAYS if bucket in there]

    @property
    def total(self) -> Decimal:
        return sum((self.amount(bucket) for bucket in BUCKET_DAYS), Decimal(0))

    def overdue(self, month: date, from_days: int = 1) -> Value:
        """What is so many days past due at a close, by the figures of that month."""
        parts = [
            figures.value_of(self.values, f"ar_{bucket}", month).numerator
            for bucket, (first, _last) in BUCKET_DAYS.items()
            if first >= from_days
        ]
        known = [Decimal(part) for part in parts if part is not None]
        return Value(sum(known, Decimal(0))) if known else figures.NOTHING


def at_close(published: Published, chosen: Scope) -> Receivables:
    """What is owed at the close of the chosen month."""
    closes = published.rows(cash.CLOSES, **chosen.values)
    closed_on = figures.row_of(closes, chosen.month)["closed_on"]
    by_age = published.rows(cash.AGING, **chosen.values, closed_on=closed_on)
    return Receivables(chosen.month, closed_on, by_age, published.rows(revenue.VALUES, **chosen.values))


def overdue_metric(view: View, label: str) -> Metric:
    """What is past due, as a metric: the buckets from some age on."""
    bucket = view.metric("ar_bucket")
    return replace(bucket, metric_id="overdue", label=label, good_direction="down")


def drills(view: View, chosen: Scope, owed: Receivables, overdue: Mapping[str, int]) -> Iterator[Drill]:
    """The invoices of each bucket, and of what is past due by so many days: key of the rows → days."""
    _ = view.text.gettext
    bucket = words.bucket(view.text)
    for name in owed.buckets:
        yield _invoices(view, chosen, owed, name, bucket(name), BUCKET_DAYS[name], owed.amount(name))
    for key, days in overdue.items():
        title = _("Overdue for more than {days} days").format(days=view.show.number(days - 1))
        if days == 1:
            title = _("Overdue")
        expected = owed.overdue(chosen.month, days).numerator or 0
        yield _invoices(view, chosen, owed, key, title, (days, FOREVER), expected)


def native(view: View) -> list[Column]:
    """An amount in the currency it was billed or paid in, where that is not the page's own."""
    _ = view.text.gettext
    return [Column("native_currency", _("Currency"), "id")]


def _invoices(
    view: View,
    chosen: Scope,
    owed: Receivables,
    key: str,
    title: str,
    days: tuple[int, int],
    expected: Decimal | int,
) -> Drill:
    _ = view.text.gettext
    amount = Column("amount", _("Open amount"), "money", currency=chosen.currency)
    return Drill(
        key,
        _("{title}, {day}").format(title=title, day=view.show.day(owed.closed_on)),
        cash.OPEN_INVOICES,
        {**chosen.values, "closed_on": owed.closed_on, "days_from": days[0], "days_to": days[1]},
        [
            Column("invoice_no", _("Invoice"), "id"),
            Column("name", _("Customer")),
            Column("due_on", _("Due on"), "day"),
            Column("days_late", _("Days past due"), "count"),
            *native(view),
            amount,
        ],
        [Check(amount, expected)],
        notes=_rate_notes(view, owed, chosen.currency),
    )


def _rate_notes(view: View, owed: Receivables, currency: str) -> list[str]:
    others = set(owed.by_age["native_currency"].to_list()) - {currency}
    if not others:
        return []
    said = view.text.gettext("Other currencies are counted in {currency} at the rate of the close.")
    return [said.format(currency=currency)]


def chart(view: View, published: Published, chosen: Scope, owed: Receivables) -> None:
    """Bars by age, oldest last, one colour a currency billed in; each with its rows in a list below."""
    _, show = view.text.gettext, view.show
    bucket = words.bucket(view.text)
    currencies = sorted(set(owed.by_age["native_currency"].to_list()))
    cells = {(row["bucket"], row["native_currency"]): row for row in owed.by_age.iter_rows(named=True)}

    def shown(name: str, currency: str) -> str:
        cell = cells.get((name, currency))
        return "" if cell is None else show.money(cell["native_minor"], currency)

    parts = [
        charts.Series(
            currency,
            [
                show.size(
                    cells[name, currency]["amount"] if (name, currency) in cells else 0, chosen.currency
                )
                for name in owed.buckets
            ],
            [shown(name, currency) for name in owed.buckets],
            colour=COLOURS[place % len(COLOURS)],
        )
        for place, currency in enumerate(currencies)
    ]
    amounts = {name: owed.amount(name) for name in owed.buckets}
    rows = owed.by_age.filter(pl.col("bucket") != UNAPPLIED).with_columns(
        pl.struct("native_minor", "native_currency")
        .map_elements(lambda cell: show.money(cell["native_minor"], cell["native_currency"]), pl.String)
        .alias("native")
    )
    frame.chart(
        view,
        published,
        "aging",
        _("Open invoices by days past due, {day}, {currency}").format(
            day=show.day(owed.closed_on), currency=chosen.currency
        ),
        lambda: charts.stacked_bars(
            [bucket(name) for name in owed.buckets],
            parts,
            [show.money(amounts[name], chosen.currency) for name in owed.buckets],
            view.text.is_right_to_left,
        ),
        _("Open invoices of {total} in {count} buckets by age.").format(
            total=show.money(owed.total, chosen.currency), count=show.number(len(owed.buckets))
        ),
        [
            Column("bucket", _("Days past due"), words=bucket),
            Column("invoices", _("Invoices"), "count"),
            Column("native_currency", _("Currency"), "id"),
            Column("native", _("As billed")),
            Column("amount", _("Open amount"), "money", currency=chosen.currency),
        ],
        rows,
        query=cash.AGING,
        values={**chosen.values, "closed_on": owed.closed_on},
        opens=owed.buckets,
    )
    unapplied = owed.amount(UNAPPLIED)
    if unapplied:
        st.caption(
            _("Beside them {amount} of money received that pays no invoice yet.").format(
                amount=show.money(-unapplied, chosen.currency)
            )
        )
    if owed.buckets:
        frame.rows_choice(view, _("Invoices behind a bucket"), {name: bucket(name) for name in owed.buckets})
