"""Acts of staff on refunds: give back kept credit, and note that a transfer was sent back."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from sqlalchemy import bindparam, select

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.jobs.bill_facts import OPEN_CREDIT
from billing.jobs.bill_refunds import REFUNDED, write_requested
from billing.jobs.give_back import REFUND, post_refunds
from billing.service.acts import act
from billing.store.store import Store
from billing.store.tables import credit_notes, customers, payments, refunds

_PAYMENT = (
    select(payments, customers.c.time_zone, REFUNDED.label("refunded_minor"))
    .join(customers, customers.c.customer_id == payments.c.customer_id)
    .where(payments.c.payment_id == bindparam("id"), payments.c.state == "captured")
)
_CREDIT = OPEN_CREDIT.where(
    credit_notes.c.customer_id == bindparam("payer"), credit_notes.c.currency == bindparam("currency")
)
_HELD = select(customers.c.customer_id).where(customers.c.customer_id == bindparam("id")).with_for_update()


@act
def refund(store: Store, at: datetime, *, payment_id: str, amount_minor: int) -> None:
    """Give back credit the customer keeps through a payment of theirs; credit of the oldest notes first.

    Raises `unknown_payment` (or one not captured), `negative_quantity`, `over_refund` above what is left of
    the payment or above the credit that is kept.
    """
    found = store.row(_PAYMENT, {"id": payment_id})
    if found is None:
        raise BillingError("unknown_payment", payment_id)
    if not store.is_sqlite:
        store.row(_HELD, {"id": found["customer_id"]})
        found = store.row(_PAYMENT, {"id": payment_id}) or found
    if amount_minor <= 0:
        raise BillingError("negative_quantity", f"a refund of {amount_minor}")
    left = found["amount_minor"] - found["refunded_minor"]
    if amount_minor > left:
        raise BillingError("over_refund", f"{amount_minor} of {left} left of {payment_id}")
    asked = {"payer": found["customer_id"], "currency": found["currency"]}
    credit = sorted(store.rows(_CREDIT, asked), key=lambda row: str(row["source_id"]))
    kept = sum(row["left_minor"] for row in credit)
    if amount_minor > kept:
        raise BillingError("over_refund", f"{amount_minor} of {kept} kept as credit")
    today, parts = local_date(at, found["time_zone"]), []
    for row in credit:
        part = min(amount_minor, row["left_minor"])
        amount_minor -= part
        if part:
            parts.append({"note_id": row["source_id"], "amount_minor": part})
    rows = pl.DataFrame(parts).with_columns(
        pl.lit(payment_id).alias("payment_id"),
        pl.lit(found["method_id"], dtype=pl.String).alias("method_id"),
        pl.lit(found["customer_id"]).alias("payer_id"),
        pl.lit(today).alias("issued_on"),
    )
    write_requested(store, at, rows)


@act
def refund_paid(store: Store, at: datetime, *, refund_id: str) -> None:
    """Note that the refund of a transfer was sent from the bank. Raises `unknown_refund`,
    `illegal_transition` for one the gateway makes, or that was made."""
    row = store.row(REFUND.where(refunds.c.refund_id == bindparam("id")), {"id": refund_id})
    if row is None:
        raise BillingError("unknown_refund", refund_id)
    if row["state"] != "requested" or row["method_id"] is not None:
        raise BillingError("illegal_transition", f"{refund_id} is {row['state']}, or the gateway's to make")
    change = {
        "refund_id": refund_id,
        "state": "refunded",
        "refunded_on": local_date(at, row["time_zone"]),
    }
    store.update(refunds, [change], at)
    post_refunds(store, at, [row], "transfer_refunded")
