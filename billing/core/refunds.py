"""What of a credit note is given back as money, and through which payments.

A cancellation gives back what was paid for an invoice beyond the value used of it, at most what the note
takes back of it; the rest of the note stays credit. Money goes back the way it came, the newest payment
first.
"""

import polars as pl

from billing.core.adjustments import refund_of


def refunds_due(notes: pl.DataFrame, invoices: pl.DataFrame, payments: pl.DataFrame) -> pl.DataFrame:
    """What each note gives back through each payment: `document`, `payment_id`, `amount_minor`.

    notes: one row a note and invoice, `document`, `invoice_id`, `note_minor` (what it takes back of the
    invoice and is to be given back). invoices: `invoice_id`, `used_minor` (its charges less all that was
    taken back of them, with tax). payments: `payment_id`, `invoice_id`, `received_on`, `left_minor` (what it
    paid of the invoice and was not given back yet).
    """
    paid = payments.group_by("invoice_id").agg(pl.col("left_minor").sum().alias("paid_minor"))
    back = refund_of(pl.col("note_minor"), pl.col("paid_minor"), pl.col("used_minor"))
    asked = (
        notes.join(invoices, on="invoice_id")
        .join(paid, on="invoice_id")
        .select("document", "invoice_id", back.alias("_until"))
    )
    before = pl.col("left_minor").cum_sum().over("invoice_id") - pl.col("left_minor")
    ways = payments.sort("received_on", "payment_id", descending=True).with_columns(before.alias("_before"))
    share = pl.min_horizontal("left_minor", pl.col("_until") - pl.col("_before"))
    return (
        ways.join(asked, on="invoice_id", maintain_order="left")
        .with_columns(share.alias("amount_minor"))
        .filter(pl.col("amount_minor") > 0)
        .select("document", "payment_id", "amount_minor")
    )
