"""Orders of goods: what is still to come, what never came, and what has arrived."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from billing.api.performing import Act
from billing.api.resources import merchants, owned
from billing.api.route import Paging, Routes
from billing.api.shapes import purchase_orders as shapes
from billing.api.shapes.base import Id
from billing.reads.page import Page
from billing.service import stock
from billing.store.store import Store
from billing.web.context import Context

routes = Routes("Orders of goods", "subscriptions")


def _part(kind: str, rows: pl.DataFrame, paging: Paging) -> Page:
    """A page of the orders of one customer: behind so many rows."""
    before = paging.after[0] if paging.after else 0
    assert isinstance(before, int)
    shown = [{"object": kind} | row for row in rows.slice(before, paging.limit).iter_rows(named=True)]
    end = before + len(shown)
    return Page(shown, (end,) if end < rows.height else None)


@routes.get("/backorders", answer=shapes.Backorder, is_list=True)
def backorders(context: Context, paging: Paging, customer_id: Id) -> Page:
    """The orders of a customer of which something is still to come."""
    owned(context, customer_id, "customer_id")
    with context.looking() as store:
        return _part("backorder", stock.backorders(store, customer_id=customer_id), paging)


@routes.get("/shortfalls", answer=shapes.Shortfall, is_list=True)
def shortfalls(context: Context, paging: Paging, customer_id: Id) -> Page:
    """What of a customer's orders was given up or did not arrive, with the reason."""
    owned(context, customer_id, "customer_id")
    with context.looking() as store:
        return _part("shortfall", stock.shortfalls(store, customer_id=customer_id), paging)


@routes.post("/deliveries", status=204)
def report_delivery(context: Context, body: shapes.Delivery) -> Act:
    """Report how much of an order has arrived in all; what is missing is not paid for."""
    merchants(context)

    def work(store: Store, at: datetime) -> None:
        stock.report_delivery(store, at, **body.given())

    return Act(work)
