"""What is still to be charged for invoices, when something else settles them or a part of them.

A charge that may have reached the gateway stays as it is; one that only waits is lowered to what is left, or
given up. The caller holds the payers and the invoices.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl
from sqlalchemy import exists, select

from billing.jobs.bill_facts import read_by_ids
from billing.jobs.dunning import close_cases, open_cases, stop_payments
from billing.store.store import Row, Store
from billing.store.tables import invoices, payments

_taken_back = payments.alias()
IS_TAKEN_BACK = exists().where(
    _taken_back.c.invoice_id == invoices.c.invoice_id, _taken_back.c.reversed_minor > 0
)
"""Whether the bank has taken back a payment of an invoice, or a part of one: until it is won again, nobody is
charged for that invoice by itself."""
_AHEAD = select(
    payments.c.payment_id,
    payments.c.invoice_id,
    payments.c.customer_id,
    payments.c.currency,
    payments.c.case_id,
    payments.c.state,
    payments.c.attempt,
    payments.c.amount_minor,
).where(payments.c.state.in_(["pending", "failed"]))
_AHEAD_FREE = _AHEAD.with_for_update(skip_locked=True, of=payments)
_UNPAID = select(payments.c.case_id).where(payments.c.state.in_(["pending", "failed"]))


def hold_charges(store: Store, invoice_ids: Sequence[str]) -> tuple[pl.DataFrame, list[str]]:
    """The payments that wait to be charged for invoices, held, by id; and the invoices a charge of which is
    under way, or its outcome unknown."""
    free = read_by_ids(store, _AHEAD_FREE, payments.c.invoice_id, invoice_ids)
    # What `collect` holds it is about to charge. To wait for it with the invoice held could be a deadlock.
    charged = read_by_ids(store, _AHEAD, payments.c.invoice_id, invoice_ids).join(
        free, on="payment_id", how="anti"
    )
    unknown = free.filter(pl.col("state") == "pending", pl.col("attempt") > 0)
    under_way = pl.concat([charged, unknown])["invoice_id"].unique().to_list()
    return free.sort("payment_id"), under_way


def payments_ahead(store: Store, invoice_id: str) -> list[Row] | None:
    """The payments that wait to be charged for an invoice, held; None while a charge is under way, or its
    outcome unknown."""
    free, under_way = hold_charges(store, [invoice_id])
    return None if under_way else free.to_dicts()


def lower(store: Store, at: datetime, other: Row, left_minor: int, *, closed_as: str = "recovered") -> None:
    """`lower_charges` of one payment."""
    rows = pl.DataFrame([other], schema_overrides={"case_id": pl.String})
    left = pl.DataFrame({"invoice_id": [other["invoice_id"]], "left_minor": [left_minor]})
    lower_charges(store, at, rows, left, closed_as=closed_as)


def lower_charges(
    store: Store, at: datetime, charges: pl.DataFrame, left: pl.DataFrame, *, closed_as: str = "recovered"
) -> None:
    """Let payments that wait ask for what is left of their invoice, no less where something was undone;
    without a rest give them up, and close a case of which nothing else is unpaid: as recovered by the money,
    or as credited or written off.

    charges: of `hold_charges`. left: `invoice_id`, `left_minor`; what waits for other invoices stays.
    """
    rows = charges.join(left, on="invoice_id", maintain_order="left")
    lowered = rows.filter(pl.col("left_minor") > 0, pl.col("left_minor") != pl.col("amount_minor"))
    store.update(payments, lowered.select("payment_id", pl.col("left_minor").alias("amount_minor")), at)
    given_up = rows.filter(pl.col("left_minor") == 0)
    stop_payments(store, at, given_up["payment_id"])
    of_cases = given_up.filter(pl.col("case_id").is_not_null())
    if of_cases.height:
        _close_cases(store, at, of_cases, closed_as)


def _close_cases(store: Store, at: datetime, given_up: pl.DataFrame, closed_as: str) -> None:
    ids = given_up["case_id"].unique().to_list()
    unpaid = read_by_ids(store, _UNPAID, payments.c.case_id, ids)
    last = given_up.join(unpaid, on="case_id", how="anti", maintain_order="left")
    cases = open_cases(store, last["customer_id"]).join(last, on="case_id", how="semi", maintain_order="left")
    cases = cases.with_columns(pl.lit(closed_as).alias("closed_as"))
    close_cases(store, at, cases, last if closed_as == "recovered" else None)
