"""Purchase orders of payers with what was billed on each, as a caller may see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import or_, select

from billing.jobs.bill_orders import billed_on_orders
from billing.reads.page import Page, page
from billing.reads.scope import Scope
from billing.store.store import Row, Store
from billing.store.tables import purchase_orders as _orders


def purchase_orders(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None,
    limit: int,
    customer_id: str | None = None,
    valid_on: date | None = None,
) -> Page:
    """Purchase orders with `billed_minor`: what was invoiced on each less what was credited, before tax.
    `valid_on`: only those that may be billed on that day."""
    of = _orders.c
    statement = select(_orders).where(*scope.where(of.customer_id))
    if customer_id is not None:
        statement = statement.where(of.customer_id == customer_id)
    if valid_on is not None:
        ends_later = or_(of.valid_end.is_(None), of.valid_end > valid_on)
        statement = statement.where(of.valid_start <= valid_on, ends_later)
    found = page(store, statement, [of.po_id], after=after, limit=limit, descending=True)
    return Page(_with_billed(store, found.rows), found.after)


def purchase_order(store: Store, scope: Scope, *, po_id: str) -> Row | None:
    """One order with `billed_minor`; None where there is none, or none of the caller's."""
    of = _orders.c
    found = store.rows(select(_orders).where(of.po_id == po_id, *scope.where(of.customer_id)))
    return _with_billed(store, found)[0] if found else None


def _with_billed(store: Store, rows: Sequence[Row]) -> list[Row]:
    ids = [row["po_id"] for row in rows]
    billed = dict(billed_on_orders(store, ids).iter_rows()) if ids else {}
    return [row | {"billed_minor": billed.get(row["po_id"], 0)} for row in rows]
