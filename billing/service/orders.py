"""Who may order: nobody whose overdue money has come too far. What runs goes on all the same."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from billing.core.dunning import RESTRICTING, SUSPENDING
from billing.core.money import BillingError
from billing.store.store import Store
from billing.store.tables import customers

_STATE = select(customers.c.overdue_state).where(customers.c.customer_id == bindparam("id"))


def check_orders(store: Store, payer_id: str) -> None:
    """Raises `overdue_restricted` where a payer gets no new orders and no credit."""
    if (state := _state(store, payer_id)) in RESTRICTING:
        raise BillingError("overdue_restricted", f"{payer_id} is {state}")


def check_not_suspended(store: Store, payer_id: str) -> None:
    """Raises `overdue_restricted` where what a payer pays for is suspended."""
    if (state := _state(store, payer_id)) in SUSPENDING:
        raise BillingError("overdue_restricted", f"{payer_id} is {state}")


def _state(store: Store, payer_id: str) -> str:
    row = store.row(_STATE, {"id": payer_id})
    return "current" if row is None else str(row["overdue_state"])
