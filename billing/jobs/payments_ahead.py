"""What is still to be charged for an invoice, when something else settles it or a part of it.

A charge that may have reached the gateway stays as it is; one that only waits is lowered to what is left, or
given up. The caller holds the payer and the invoice.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, select

from billing.jobs.dunning import close_case, open_cases
from billing.store.messages import announce
from billing.store.store import Row, Store
from billing.store.tables import payments

_OTHERS = select(payments).where(
    payments.c.invoice_id == bindparam("id"), payments.c.state.in_(["pending", "failed"])
)
_OTHERS_FREE = _OTHERS.with_for_update(skip_locked=True)
_FAILED = select(payments.c.payment_id).where(
    payments.c.customer_id == bindparam("customer"),
    payments.c.case_id == bindparam("of"),
    payments.c.state == "failed",
)


def payments_ahead(store: Store, invoice_id: str) -> list[Row] | None:
    """The payments that wait to be charged for an invoice, held; None while a charge is under way, or its
    outcome unknown."""
    others = store.rows(_OTHERS_FREE, {"id": invoice_id})
    # What `collect` holds it is charging. To wait for it with the invoice held would be a deadlock, since it
    # needs the invoice next.
    is_held = len(others) < len(store.rows(_OTHERS, {"id": invoice_id}))
    if is_held or any(other["state"] == "pending" and other["attempt"] for other in others):
        return None
    return others


def lower(store: Store, at: datetime, other: Row, left_minor: int, *, closed_as: str = "recovered") -> None:
    """Let a payment that waits ask for what is left alone; without a rest give it up, and close its case if
    nothing else of it is unpaid: as recovered by the money, or as credited."""
    change: Row = {"payment_id": other["payment_id"]}
    if left_minor:
        store.update(payments, [change | {"amount_minor": left_minor}], at)
        return
    store.update(payments, [change | {"state": "canceled", "next_attempt_at": None}], at)
    asked = {"customer": other["customer_id"], "of": other["case_id"]}
    case = open_cases(store).get((other["customer_id"], other["currency"])) if other["case_id"] else None
    if case is None or case["case_id"] != other["case_id"] or store.rows(_FAILED, asked):
        return
    recovered = [other] if closed_as == "recovered" else []
    announce(store, at, [close_case(store, at, case, closed_as, recovered)])
