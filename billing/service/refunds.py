"""Acts of staff on refunds: give back kept credit, and note that a transfer was sent back."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from sqlalchemy import bindparam, select

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.jobs.bill_facts import hold_customers
from billing.jobs.bill_refunds import REFUNDED, write_requested
from billing.jobs.credit import mark_spent, open_credit
from billing.jobs.give_back import REFUND, post_refunds
from billing.service.acts import act
from billing.store.store import Store
from billing.store.tables import customers, payments, refunds

_PAYMENT = (
    select(payments, customers.c.time_zone, REFUNDED.label("refunded_minor"))
    .join(customers, customers.c.customer_id == payments.c.customer_id)
    .where(payments.c.payment_id == bindparam("id"), payments.c.state == "captured")
)


@act
def refund(store: Store, at: datetime, *, payment_id: str, amount_minor: int) -> None:
    """Give back credit the customer keeps through a payment of theirs: what it paid too much, then the credit
    of the oldest notes. What another payment paid too much goes back through that one.

    Raises `unknown_payment` (or one not captured), `negative_quantity`, `over_refund` above what is left of
    the payment or above that credit.
    """
    found = store.row(_PAYMENT, {"id": payment_id})
    if found is None:
        raise BillingError("unknown_payment", payment_id)
    if not store.is_sqlite:
        hold_customers(store, [found["customer_id"]])
        found = store.row(_PAYMENT, {"id": payment_id}) or found
    if amount_minor <= 0:
        raise BillingError("negative_quantity", f"a refund of {amount_minor}")
    left = found["amount_minor"] - found["reversed_minor"] - found["refunded_minor"]
    if amount_minor > left:
        raise BillingError("over_refund", f"{amount_minor} of {left} left of {payment_id}")
    is_own = pl.col("source_id") == payment_id
    credit = open_credit(store, [found["customer_id"]]).filter(
        is_own | (pl.col("source_kind") == "credit_note"), currency=found["currency"]
    )
    if amount_minor > (kept := int(credit["left_minor"].sum())):
        raise BillingError("over_refund", f"{amount_minor} of {kept} kept as credit")
    before = pl.col("left_minor").cum_sum() - pl.col("left_minor")
    parts = (
        credit.sort(is_own, descending=True, maintain_order=True)
        .with_columns(pl.min_horizontal("left_minor", amount_minor - before).alias("amount_minor"))
        .filter(pl.col("amount_minor") > 0)
    )
    mark_spent(store, at, credit, parts.select("source_id", "amount_minor"))
    is_note = pl.col("source_kind") == "credit_note"
    rows = parts.select(
        "amount_minor",
        pl.when(is_note).then("source_id").alias("note_id"),
        pl.lit(payment_id).alias("payment_id"),
        pl.lit(found["method_id"], dtype=pl.String).alias("method_id"),
        pl.lit(found["customer_id"]).alias("payer_id"),
        pl.lit(local_date(at, found["time_zone"])).alias("issued_on"),
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
