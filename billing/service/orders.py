"""Who may order, and for how much. An order of a payer whose overdue money has come too far is refused. One
that would owe more than its credit limit, or of a payer on hold, waits for a person's word. What runs, and
what a contract renews, is billed all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

from sqlalchemy import bindparam, select

from billing.core.calendar import local_date
from billing.core.dunning import RESTRICTING, SUSPENDING
from billing.core.money import BillingError
from billing.service.acts import Held
from billing.service.credit_limits import exposure
from billing.store.store import Row, Store
from billing.store.tables import customers

_PAYER = select(
    customers.c.customer_id,
    customers.c.overdue_state,
    customers.c.credit_limit_minor,
    customers.c.hold,
    customers.c.time_zone,
).where(customers.c.customer_id == bindparam("id"))
_HELD_PAYER = _PAYER.with_for_update(key_share=True)
_IS_APPROVED: ContextVar[bool] = ContextVar("is_approved", default=False)


@contextmanager
def approved() -> Iterator[None]:
    """Orders made in the block were approved: no credit limit holds them."""
    before = _IS_APPROVED.set(True)
    try:
        yield
    finally:
        _IS_APPROVED.reset(before)


def check_orders(store: Store, payer_id: str) -> None:
    """Before an order: raises `overdue_restricted` where a payer gets no new orders and no credit. The payer
    is held where its orders are measured, so that two at a time do not pass a limit together (PostgreSQL)."""
    row = store.row(_PAYER, {"id": payer_id})
    if row is None:
        return
    if row["overdue_state"] in RESTRICTING:
        raise BillingError("overdue_restricted", f"{payer_id} is {row['overdue_state']}")
    if _is_measured(row) and not store.is_sqlite:
        store.row(_HELD_PAYER, {"id": payer_id})


def check_credit(store: Store, at: datetime, payer_id: str) -> None:
    """After the facts of an order are written: raises Held with `on_hold`, or `over_credit_limit` where what
    the payer owes with it is more than its limit."""
    row = store.row(_PAYER, {"id": payer_id})
    if row is None or not _is_measured(row) or _IS_APPROVED.get():
        return
    found = exposure(store, at, customer_id=payer_id)
    today = local_date(at, row["time_zone"])
    if row["hold"]:
        raise Held("on_hold", f"{payer_id} is on hold", payer_id, today, found.figures)
    limit_minor = row["credit_limit_minor"]
    if found.exposure_minor > limit_minor:
        said = f"{payer_id} would owe {found.exposure_minor} of at most {limit_minor} {found.currency}"
        raise Held("over_credit_limit", said, payer_id, today, found.figures)


def check_not_suspended(store: Store, payer_id: str) -> None:
    """Raises `overdue_restricted` where what a payer pays for is suspended."""
    row = store.row(_PAYER, {"id": payer_id})
    if row is not None and row["overdue_state"] in SUSPENDING:
        raise BillingError("overdue_restricted", f"{payer_id} is {row['overdue_state']}")


def _is_measured(row: Row) -> bool:
    return bool(row["hold"]) or row["credit_limit_minor"] is not None
