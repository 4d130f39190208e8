"""Purchase orders that invoices are to name, with what is billed on each."""

from __future__ import annotations

from datetime import datetime

from starlette.responses import Response

from billing.portal import terms
from billing.portal.answers import page
from billing.portal.forms import day, done, text
from billing.portal.routes import Routes
from billing.portal.visit import Visit
from billing.service.purchase_orders import (
    close_purchase_order,
    create_purchase_order,
    list_purchase_orders,
)
from billing.store.store import Store
from billing.web.problems import Problem

routes = Routes()


@routes.page("/purchase-orders", task="purchase_orders")
def purchase_orders(visit: Visit) -> Response:
    return _shown(visit, None)


def _shown(visit: Visit, problem: str | None) -> Response:
    with visit.looking() as store:
        found = list_purchase_orders(store, customer_id=visit.customer_id)
    return page(
        visit,
        "purchase_orders.html",
        orders=list(reversed(found)),
        problem=problem,
        terms=terms,
    )


@routes.deed("/purchase-orders", task="purchase_orders", form="purchase-order")
def new_order(visit: Visit) -> Response:
    def work(store: Store, at: datetime) -> None:
        create_purchase_order(
            store,
            at,
            customer_id=visit.customer_id,
            number=text(visit, "number", 100),
            budget=visit.form.get("budget") or None,
            valid_start=day(visit, "valid_start"),
            valid_end=day(visit, "valid_end"),
        )

    return done(visit, work, "/purchase-orders", _shown)


@routes.deed("/purchase-orders/{po_id}/close", task="purchase_orders", form="close-order")
def close(visit: Visit) -> Response:
    po_id = visit.path("po_id")
    with visit.looking() as store:
        known = {one.po_id for one in list_purchase_orders(store, customer_id=visit.customer_id)}
    if po_id not in known:
        raise Problem("not_found")
    return done(
        visit,
        lambda store, at: close_purchase_order(store, at, po_id=po_id),
        "/purchase-orders",
        _shown,
    )
