"""Customers that a bill run set aside: who they are and why, and billing them again once it is mended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import polars as pl
from sqlalchemy import null, select, update

from billing.core.money import BillingError
from billing.jobs.bill_run import RunSummary, bill
from billing.store.messages import announce
from billing.store.store import Store
from billing.store.tables import customers

_PARKED = (
    select(
        customers.c.customer_id,
        customers.c.parked_at,
        customers.c.parked_code.label("code"),
        customers.c.parked_detail.label("detail"),
    )
    .where(customers.c.parked_at.is_not(None))
    .order_by(customers.c.customer_id)
)


def parked_customers(store: Store) -> pl.DataFrame:
    """Who is set aside: `customer_id`, `parked_at`, `code`, `detail`."""
    return store.frame(_PARKED)


def retry(
    store: Store, at: datetime, *, up_to: date, customer_ids: Sequence[str] | None = None
) -> RunSummary:
    """Bill these customers (all that are set aside, if none are named), no longer set aside, with who else of
    their trees is due. Who fails again is set aside again. Raises `unknown_customer` for one who is not set
    aside, and as `bill`.
    """
    with store.transaction():
        if customer_ids is None:
            customer_ids = parked_customers(store)["customer_id"].to_list()
        free(store, at, customer_ids)
    return bill(store, at, up_to=up_to, customer_ids=customer_ids)


def free(store: Store, at: datetime, customer_ids: Sequence[str]) -> None:
    """Set customers aside no longer: the next bill run bills them. Raises `unknown_customer` for one who is
    not set aside."""
    nothing = {"parked_at": null(), "parked_code": null(), "parked_detail": null(), "changed_at": at}
    with store.transaction():
        for customer_id in customer_ids:
            one = (customers.c.customer_id == customer_id, customers.c.parked_at.is_not(None))
            if not store.execute(update(customers).where(*one).values(**nothing)):
                raise BillingError("unknown_customer", f"not set aside: {customer_id}")
        announce(store, at, [("customer.retried", customer_id, {}) for customer_id in customer_ids])
