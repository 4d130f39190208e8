"""Acts of finance on the months of the books: close one, so that nothing is posted into it, or open it."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import bindparam, select

from billing.core.calendar import add_months
from billing.core.money import BillingError
from billing.service.acts import act, announce
from billing.store.store import Store
from billing.store.tables import accounting_periods, legal_entities

# Whoever posts holds the seller's row as well, a little (jobs.journal), so a month is closed when all that is
# being posted into it is there, and nothing is posted that did not see it closed (PostgreSQL).
_HELD = (
    select(legal_entities.c.entity_id)
    .where(legal_entities.c.entity_id == bindparam("id"))
    .with_for_update(of=legal_entities)
)
_PERIOD = select(accounting_periods).where(
    accounting_periods.c.entity_id == bindparam("id"), accounting_periods.c.month == bindparam("month")
)


@act
def lock_period(store: Store, at: datetime, *, entity_id: str, month: date) -> None:
    """Close the books of a seller for a month (any day of it) that is over. One that is closed stays so.

    Raises `unknown_entity`, `illegal_transition` for a month that is not over.
    """
    first = month.replace(day=1)
    if add_months(first, 1) > at.date():
        raise BillingError("illegal_transition", f"{first:%Y-%m} is not over")
    if _set_locked(store, at, entity_id, first, at):
        announce(store, at, "period.locked", f"{entity_id}/{first:%Y-%m}", {"entity_id": entity_id})


@act
def unlock_period(store: Store, at: datetime, *, entity_id: str, month: date) -> None:
    """Open the books of a seller for a month again. Raises `unknown_entity`."""
    first = month.replace(day=1)
    if _set_locked(store, at, entity_id, first, None):
        announce(store, at, "period.unlocked", f"{entity_id}/{first:%Y-%m}", {"entity_id": entity_id})


def _set_locked(store: Store, at: datetime, entity_id: str, first: date, locked_at: datetime | None) -> bool:
    """Write whether a month is closed; whether that is new."""
    if store.row(_HELD, {"id": entity_id}) is None:
        raise BillingError("unknown_entity", entity_id)
    known = store.row(_PERIOD, {"id": entity_id, "month": first})
    if (known is not None and known["locked_at"] is not None) == (locked_at is not None):
        return False
    row = {"entity_id": entity_id, "month": first, "locked_at": locked_at}
    if known is None:
        store.insert(accounting_periods, [row], at)
    else:
        store.update(accounting_periods, [row], at)
    return True
