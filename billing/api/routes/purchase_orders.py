"""Purchase orders: what a payer may be billed for, up to a budget, while the order is valid."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from billing.api.performing import Act
from billing.api.resources import listed, located, owned, resource
from billing.api.route import Paging, Routes
from billing.api.shapes import purchase_orders as shapes
from billing.api.shapes.base import Day, Id
from billing.core.money import BillingError, format_minor
from billing.reads import orders as reads
from billing.reads.page import Page
from billing.service import purchase_orders as acts
from billing.service.customers import customer
from billing.store.store import Row, Store
from billing.web.context import Context

routes = Routes("Purchase orders", "customers")
_SUBJECT = "unknown_purchase_order"


def _own(store: Store, context: Context, po_id: str) -> Row:
    """An order of the caller. Raises `unknown_purchase_order`."""
    row = reads.purchase_order(store, context.scope, po_id=po_id)
    if row is None:
        raise BillingError("unknown_purchase_order", po_id)
    return row


def _shown(store: Store, context: Context, po_id: str) -> dict[str, Any] | None:
    return resource("purchase_order", reads.purchase_order(store, context.scope, po_id=po_id))


@routes.get("/purchase-orders", answer=shapes.PurchaseOrder, is_list=True)
def purchase_orders(
    context: Context, paging: Paging, customer_id: Id | None = None, valid_on: Day | None = None
) -> Page:
    """Purchase orders of all payers, or of one. `valid_on`: only those that may be billed on that day."""
    with context.looking() as store:
        found = reads.purchase_orders(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            customer_id=customer_id,
            valid_on=valid_on,
        )
    return listed("purchase_order", found)


@routes.post("/purchase-orders", answer=shapes.PurchaseOrder, status=201)
def create(context: Context, body: shapes.NewPurchaseOrder) -> Act:
    """Make an order."""
    owned(context, body.customer_id, "customer_id")
    given = body.given()
    minor = given.pop("budget_minor", None)

    def work(store: Store, at: datetime) -> object:
        currency = body.currency or customer(store, body.customer_id)["currency"]
        budget = None if minor is None else format_minor(minor, currency)
        po_id = acts.create_purchase_order(store, at, budget=budget, **given)
        return _shown(store, context, po_id)

    return Act(work, (body.customer_id,), 201, located("purchase-orders", "po_id"))


@routes.get("/purchase-orders/{po_id}", answer=shapes.PurchaseOrder, subject=_SUBJECT)
def purchase_order(context: Context, po_id: Id) -> dict[str, Any] | None:
    """One order with what was billed on it."""
    with context.looking() as store:
        return _shown(store, context, po_id)


@routes.patch("/purchase-orders/{po_id}", answer=shapes.PurchaseOrder, subject=_SUBJECT)
def change(context: Context, po_id: Id, body: shapes.PurchaseOrderChanges) -> Act:
    """Change budget or validity of an order; documents that were held join the next run."""
    with context.looking() as store:
        row = _own(store, context, po_id)
    given = body.given()
    if "budget_minor" in given:
        minor = given.pop("budget_minor")
        given["budget"] = None if minor is None else format_minor(minor, row["currency"])

    def work(store: Store, at: datetime) -> object:
        acts.change_purchase_order(store, at, po_id=po_id, **given)
        return _shown(store, context, po_id)

    return Act(work, (row["customer_id"],), current=lambda store: _shown(store, context, po_id))


@routes.post("/purchase-orders/{po_id}/close", answer=shapes.PurchaseOrder, subject=_SUBJECT)
def close(context: Context, po_id: Id, body: shapes.Closing) -> Act:
    """Let an order be valid no more from a day (today) on."""
    with context.looking() as store:
        row = _own(store, context, po_id)

    def work(store: Store, at: datetime) -> object:
        acts.close_purchase_order(store, at, po_id=po_id, on=body.on)
        return _shown(store, context, po_id)

    return Act(work, (row["customer_id"],))
