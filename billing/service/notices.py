"""What a gateway tells unasked, by a call of its own: late answers, and disputes of what it took.

Notices may come late, twice, in any order, and beside a run that asks for the same charge: each counts once.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl
from sqlalchemy import bindparam, select

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.gateways.gateway import Answer, Notice, read_key
from billing.jobs.settle import answers, asked_payment, hold_invoices, hold_payers, settle, take_in
from billing.service.acts import act
from billing.service.chargebacks import close_chargeback, open_chargeback
from billing.store.store import Row, Store
from billing.store.tables import disputes, payment_attempts, payments

_ATTEMPT = select(payment_attempts).where(
    payment_attempts.c.payment_id == bindparam("id"), payment_attempts.c.attempt == bindparam("attempt")
)
_DISPUTE = select(disputes.c.dispute_id).where(disputes.c.gateway_ref == bindparam("ref"))


@act
def notice(store: Store, at: datetime, *, key: str, answer: Answer) -> None:
    """What became of the charge of a key.

    The answer to the attempt under way is written as if it had been asked for. Money of an attempt that was
    given up as declined came in all the same: it becomes a payment of its own, which pays the invoice as far
    as it is open and else is credit. What is known already, or tells nothing, changes nothing. Raises
    `unknown_payment`, `period_locked`.
    """
    row, attempt = _asked(store, key)
    if answer.outcome == "unknown":
        return
    hold_payers(store, pl.Series([row["customer_id"]]))
    hold_invoices(store, pl.Series([row["invoice_id"]], dtype=pl.String))
    row, attempt = _asked(store, key)
    row["today"] = local_date(at, row["time_zone"])
    if row["state"] == "pending" and row["attempt"] == attempt:
        facts = dict(zip(("outcome", "code", "gateway_ref", "fee_minor"), answer, strict=True))
        settle(store, at, answers([row | facts]))
    elif answer.outcome == "captured":
        _take_late(store, at, row, attempt, answer)


def _asked(store: Store, key: str) -> tuple[Row, int]:
    named = read_key(key)
    row = asked_payment(store, named[0]) if named else None
    if named is None or row is None or not 1 <= named[1] <= row["attempt"]:
        raise BillingError("unknown_payment", key)
    return row, named[1]


def _late_id(payment_id: str, attempt: int) -> str:
    """The payment that late money of an attempt becomes; one of its id is there once."""
    return f"{payment_id}.{attempt}"


def _take_late(store: Store, at: datetime, row: Row, attempt: int, answer: Answer) -> None:
    """Money of an attempt whose payment has gone on, or was told as declined."""
    made = store.row(_ATTEMPT, {"id": row["payment_id"], "attempt": attempt})
    late_id = _late_id(row["payment_id"], attempt)
    if made is None or made["outcome"] == "captured" or asked_payment(store, late_id):
        return
    new = {
        "payment_id": late_id,
        "customer_id": row["customer_id"],
        "invoice_id": row["invoice_id"],
        "currency": row["currency"],
        "amount_minor": made["amount_minor"] or row["amount_minor"],
        "fee_minor": answer.fee_minor,
        "method_id": made["method_id"],
        "gateway_ref": answer.gateway_ref,
        "state": "captured",
        "attempt": attempt,
        "created_on": row["today"],
        "received_on": row["today"],
    }
    store.insert(payments, [new], at)
    told = {"outcome": "captured", "attempted_at": at, "attempted_on": row["today"]}
    names = ("payment_id", "attempt", "method_id", "amount_minor")
    store.insert(payment_attempts, [{name: new[name] for name in names} | told], at)
    taken = take_in(store, at, answers([row | new | {"outcome": "captured", "code": None}]))
    is_spent = taken.item(0, "applied_minor") == new["amount_minor"]
    store.update(payments, [{"payment_id": late_id, "is_spent": is_spent}], at)


def _payment_of(store: Store, key: str) -> str:
    """The payment that holds the money of a key."""
    named = read_key(key)
    if named is None:
        raise BillingError("unknown_payment", key)
    late_id = _late_id(*named)
    return late_id if asked_payment(store, late_id) else named[0]


def hear(store: Store, at: datetime, told: Notice) -> None:
    """Do what a notice says. Raises as `notice`, `open_chargeback` and `close_chargeback`; a dispute that is
    told before its charge is known is refused (`unknown_payment`), to be told again."""
    if told.kind == "answer":
        if told.answer is not None:
            notice(store, at, key=told.key, answer=told.answer)
        return
    known = store.row(_DISPUTE, {"ref": told.ref})
    if told.kind == "dispute_opened" and known is None:
        payment_id = _payment_of(store, told.key)
        open_chargeback(
            store, at, payment_id=payment_id, amount_minor=told.amount_minor, gateway_ref=told.ref
        )
    elif told.kind == "dispute_closed":
        close_chargeback(
            store, at, dispute_id=known["dispute_id"] if known else str(told.ref), outcome=told.outcome
        )
