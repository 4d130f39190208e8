"""What a report speaks of, without a page: a view for one reader, and the scope that parameters name.

Parameters are those of the address. One that names nothing there is falls back to what a page would show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TypeVar

import duckdb

from dashboard import snapshot
from dashboard.companies import Company, companies
from dashboard.format import Formatter
from dashboard.i18n import text
from dashboard.people.reader import Reader
from dashboard.people.scope import scope_of
from dashboard.queries import orders as order_queries
from dashboard.queries import revenue
from dashboard.records.database import Records, open_records
from dashboard.scope import ALL, OrderScope, Scope, compared_with, usual_currency
from dashboard.view import Published, View
from pipelines.warehouse import WarehouseError

Option = TypeVar("Option")
SUBSCRIPTIONS, ORDERS = "subscriptions", "orders"


def view_of(home: Path, company: str, language: str, now: datetime, reader: Reader) -> View:
    """What a reader would see of a company. Raises LookupError when there is no such company."""
    known = companies(home)
    chosen = next((one for one in known if one.name == company), None)
    if chosen is None:
        raise LookupError(company)
    opened, published, problem = None, None, None
    try:
        opened = snapshot.published(chosen.folder, scope_of(reader))
        published = Published(opened, snapshot.build_of(opened)) if opened else None
    except (WarehouseError, duckdb.Error) as error:
        opened, problem = None, str(error)
    words = text(language)
    return View(
        now=now,
        companies=tuple(known),
        company=chosen,
        text=words,
        show=Formatter(words.language, snapshot.exponents(opened) if opened else {}),
        published=published,
        attempts=tuple(snapshot.attempts(chosen.folder)),
        problem=problem,
        reader=reader,
        records=_records(chosen),
    )


def _records(company: Company) -> Records | None:
    return open_records(company.records_url) if company.records_url else None


def trade_of(published: Published, parameters: Mapping[str, str]) -> str | None:
    """Whether a report speaks of subscriptions or of orders; None for a company that has neither."""
    build = published.build
    if build.has_subscriptions and build.has_orders:
        return ORDERS if parameters.get("trade") == ORDERS else SUBSCRIPTIONS
    if build.has_subscriptions:
        return SUBSCRIPTIONS
    return ORDERS if build.has_orders else None


def subscription_scope(published: Published, parameters: Mapping[str, str]) -> Scope | None:
    """The scope of a report of subscriptions; None without a month of MRR."""
    months = published.rows(revenue.MONTHS)
    if months.is_empty():
        return None
    month, is_provisional = _month(dict(months.iter_rows()), parameters)
    currencies = published.rows(revenue.CURRENCIES)["currency"].to_list()
    return Scope(
        month,
        compared_with(month, parameters.get("compare", "previous")),
        _named([ALL, *published.rows(revenue.SEGMENTS)["segment"].to_list()], parameters.get("segment"), ALL),
        _named(currencies, parameters.get("currency"), usual_currency(published, currencies)),
        is_provisional,
        _compare(parameters),
    )


def order_scope(published: Published, parameters: Mapping[str, str]) -> OrderScope | None:
    """The scope of a report of orders; None without an order."""
    months = published.rows(order_queries.MONTHS)
    if months.is_empty():
        return None
    month, is_provisional = _month(dict(months.iter_rows()), parameters)
    currencies = published.rows(order_queries.CURRENCIES)["currency"].to_list()
    countries = published.rows(order_queries.COUNTRIES)["country"].to_list()
    return OrderScope(
        month,
        compared_with(month, parameters.get("compare", "previous")),
        _named([ALL, *countries], parameters.get("country"), ALL),
        _named(currencies, parameters.get("currency"), currencies[0]),
        is_provisional,
        _compare(parameters),
    )


def _compare(parameters: Mapping[str, str]) -> str:
    """A report always compares with a month; targets stand beside it."""
    return "year" if parameters.get("compare") == "year" else "previous"


def _month(months: Mapping[date, bool], parameters: Mapping[str, str]) -> tuple[date, bool]:
    """The month asked for, else the newest closed one; and whether it is still running."""
    closed = [month for month, is_provisional in months.items() if not is_provisional]
    asked = {f"{month:%Y-%m}": month for month in months}.get(parameters.get("month", ""))
    month = asked or (max(closed) if closed else max(months))
    return month, months[month]


def _named(options: Sequence[Option], wanted: object, default: Option) -> Option:
    return next((option for option in options if option == wanted), default)
