"""Lets money that came in at the bank pay invoices: the one way it becomes payments.

Whose it is was decided before (jobs.match_transfers, service.transfers); what it pays is decided by
core.receipts once nobody else can pay it: the payers are held, then their invoices, both in the order of
their ids. What `collect` is charging at the moment is held too, so an invoice under charge is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import polars as pl
from sqlalchemy import select

from billing.core.calendar import local_date
from billing.core.receipts import OWNER, due_of, paid_in_turn, with_discount
from billing.jobs.bill_facts import read_by_ids
from billing.jobs.journal import post_events
from billing.jobs.payments_ahead import hold_charges, lower_charges
from billing.store.debts import DEBT
from billing.store.messages import announce
from billing.store.store import Store
from billing.store.tables import (
    applications,
    bank_transfers,
    customers,
    early_discounts,
    invoices,
    payment_attempts,
    payments,
)

_PAYERS = select(customers.c.customer_id.label("payer_id"), customers.c.time_zone).order_by(
    customers.c.customer_id
)
_PAYERS_HELD = _PAYERS.with_for_update(read=True, key_share=True, of=customers)
_HELD = select(invoices.c.invoice_id).order_by(invoices.c.invoice_id).with_for_update(of=invoices)
_OPEN_OF_PAYER = select(
    invoices.c.invoice_id, invoices.c.customer_id.label("payer_id"), invoices.c.entity_id, invoices.c.currency
).where(invoices.c.state == "open")


class Held(NamedTuple):
    """What was read once it was held. `debts`: DEBT with `is_charged`. `charges`: those nobody else holds."""

    payers: pl.DataFrame
    debts: pl.DataFrame
    charges: pl.DataFrame


def hold(store: Store, payer_ids: Sequence[str], invoice_ids: Sequence[str]) -> Held:
    """Hold payers, then invoices, then what is charged for these (PostgreSQL; SQLite has one writer).

    An invoice is `is_charged` while a charge of it is under way, or its outcome unknown.
    """
    payers = read_by_ids(store, _PAYERS_HELD, customers.c.customer_id, sorted(payer_ids))
    read_by_ids(store, _HELD, invoices.c.invoice_id, sorted(invoice_ids))
    debts = read_by_ids(store, DEBT, invoices.c.invoice_id, sorted(invoice_ids))
    free, under_way = hold_charges(store, invoice_ids)
    is_charged = pl.col("invoice_id").is_in(under_way)
    return Held(payers, debts.with_columns(is_charged.alias("is_charged")), free)


MONEY = (
    "transfer_id",
    *OWNER,
    "amount_minor",
    "received_on",
    "bank_ref",
    "matched_by",
    "is_new",
)


def receive(store: Store, at: datetime, money: pl.DataFrame, named: pl.DataFrame) -> pl.DataFrame:
    """Make payments of transfers and let them pay; returns the `transfer_id`s that were, with `is_direct`.

    money: MONEY, in the order they pay; `is_new` where the books do not hold the transfer yet. named:
    `transfer_id`, `invoice_id`; a transfer that names none pays the payer's oldest. What is left over is
    credit of the payer. A transfer that names an invoice under charge waits, and one matched by amount whose
    amount is no longer what its invoices ask for. Where a new transfer came in after its invoices were
    issued, the books have it paid on that day (`is_direct`); else it is matched today.
    """
    targets = _targets(store, money, named)
    held = hold(store, money["payer_id"].unique().to_list(), targets["invoice_id"].unique().to_list())
    waiting = _waiting(money, named, held.debts)
    money = money.join(waiting, on="transfer_id", how="anti", maintain_order="left")
    if money.is_empty():
        return pl.DataFrame(schema={"transfer_id": pl.String, "is_direct": pl.Boolean})
    free = held.debts.filter(~pl.col("is_charged")).sort("due_on", "invoice_id").select("invoice_id")
    paid = paid_in_turn(money, free.join(targets, on="invoice_id", maintain_order="left"), held.debts)
    about = held.debts.select("invoice_id", "issued_on", "state")
    parts = paid.applications.join(about, on="invoice_id", how="left", maintain_order="left")
    dated = _dated(at, money, parts, held.payers)
    dated = _write_payments(store, at, dated, parts)
    _write_applications(store, at, dated, parts, paid.discounts)
    _write_invoices(store, at, dated, parts, paid.debts)
    left = paid.debts.filter(pl.col("invoice_id").is_in(parts["invoice_id"].implode()))
    lower_charges(
        store, at, held.charges, left.select("invoice_id", pl.col("open_minor").alias("left_minor"))
    )
    return dated.select("transfer_id", "is_direct")


def _targets(store: Store, money: pl.DataFrame, named: pl.DataFrame) -> pl.DataFrame:
    """The invoices each transfer may pay: those it names, else all its payer has open."""
    rest = money.join(named, on="transfer_id", how="anti")
    if rest.is_empty():
        return named
    found = read_by_ids(store, _OPEN_OF_PAYER, invoices.c.customer_id, rest["payer_id"].unique().to_list())
    return pl.concat([named, rest.join(found, on=OWNER).select("transfer_id", "invoice_id")])


def _waiting(money: pl.DataFrame, named: pl.DataFrame, debts: pl.DataFrame) -> pl.DataFrame:
    """Transfers that name an invoice under charge, or no longer fit the amount they were matched by."""
    rows = (
        money.select("transfer_id", "amount_minor", "received_on", "matched_by")
        .join(named, on="transfer_id")
        .join(with_discount(debts), on="invoice_id")
    )
    sums = pl.concat_list(pl.col("open_minor").sum(), due_of("received_on").sum())
    fits = (pl.col("matched_by").first() != "amount") | pl.col("amount_minor").first().is_in(sums)
    by_transfer = rows.group_by("transfer_id").agg(pl.col("is_charged").any(), fits.alias("_fits"))
    return by_transfer.filter(pl.col("is_charged") | ~pl.col("_fits")).select("transfer_id")


def _dated(at: datetime, money: pl.DataFrame, parts: pl.DataFrame, payers: pl.DataFrame) -> pl.DataFrame:
    """The money with `booked_on`, the day the books have it matched, and `is_direct`."""
    zones = payers["time_zone"].unique().to_list()
    days = {zone: local_date(at, zone) for zone in zones}
    today = pl.col("time_zone").replace_strict(days, default=at.date(), return_dtype=pl.Date)
    issued = parts.group_by("transfer_id").agg(pl.col("issued_on").max())
    is_direct = pl.col("is_new") & (
        pl.col("issued_on").is_null() | (pl.col("issued_on") <= pl.col("received_on"))
    )
    return (
        money.join(payers, on="payer_id", how="left", maintain_order="left")
        .join(issued, on="transfer_id", how="left", maintain_order="left")
        .with_columns(is_direct.alias("is_direct"))
        .with_columns(pl.when("is_direct").then("received_on").otherwise(today).alias("booked_on"))
        .drop("issued_on", "time_zone")
    )


def _payments_of(dated: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """A payment for each transfer, and one for each debt written off that it recovers: the columns of the
    money with `kind`, `invoice_id` (where it is only one) and `is_spent`."""
    is_recovery = pl.col("state") == "uncollectible"
    amount = pl.col("amount_minor")
    sums = parts.group_by("transfer_id").agg(
        amount.filter(is_recovery).sum().alias("_recovered"),
        amount.filter(~is_recovery).sum().alias("_applied"),
        pl.col("invoice_id").filter(~is_recovery).alias("_paid"),
    )
    with_sums = dated.join(sums, on="transfer_id", how="left", maintain_order="left")
    rest = amount - pl.col("_recovered").fill_null(0)
    own = with_sums.with_columns(
        rest.alias("amount_minor"),
        pl.lit("transfer").alias("kind"),
        pl.when(pl.col("_paid").list.len() == 1).then(pl.col("_paid").list.first()).alias("invoice_id"),
        (rest == pl.col("_applied")).fill_null(False).alias("is_spent"),
    ).drop("_recovered", "_applied", "_paid")
    recovered = parts.filter(is_recovery).select("transfer_id", "invoice_id", "amount_minor")
    of_debts = (
        dated.drop("amount_minor")
        .join(recovered, on="transfer_id", maintain_order="left")
        .with_columns(pl.lit("recovery").alias("kind"), pl.lit(True).alias("is_spent"))
        .select(own.columns)
    )
    return pl.concat([own.filter(amount > 0), of_debts])


def _write_payments(store: Store, at: datetime, dated: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """Save the payments and post them; returns the money with `payment_id`, the first of these."""
    rows = _payments_of(dated, parts)
    rows = rows.with_columns(pl.Series("payment_id", store.new_ids("pay", rows.height), dtype=pl.String))
    _insert_payments(store, at, rows)
    _post_payments(store, at, rows)
    matched = rows.unique("transfer_id", keep="first", maintain_order=True)
    store.update(
        bank_transfers,
        matched.select(
            "transfer_id",
            pl.lit("matched").alias("state"),
            "matched_by",
            pl.col("payer_id").alias("customer_id"),
            "payment_id",
            pl.col("booked_on").alias("closed_on"),
        ),
        at,
    )
    return dated.join(matched.select("transfer_id", "payment_id"), on="transfer_id", maintain_order="left")


def _insert_payments(store: Store, at: datetime, rows: pl.DataFrame) -> None:
    store.insert(
        payments,
        rows.select(
            "payment_id",
            pl.col("payer_id").alias("customer_id"),
            "invoice_id",
            "currency",
            "amount_minor",
            pl.col("bank_ref").alias("gateway_ref"),
            pl.lit("captured").alias("state"),
            pl.lit(1).alias("attempt"),
            pl.col("booked_on").alias("created_on"),
            pl.col("booked_on").alias("received_on"),
            "kind",
            "transfer_id",
            "is_spent",
        ),
        at,
    )
    store.insert(
        payment_attempts,
        rows.select(
            "payment_id",
            pl.lit(1).alias("attempt"),
            pl.lit("captured").alias("outcome"),
            pl.lit(at).alias("attempted_at"),
            pl.col("booked_on").alias("attempted_on"),
        ),
        at,
    )
    facts = [
        {
            "customer_id": row["payer_id"],
            "invoice_id": row["invoice_id"],
            "amount_minor": row["amount_minor"],
            "currency": row["currency"],
            "attempt": 1,
        }
        for row in rows.iter_rows(named=True)
    ]
    announce(
        store,
        at,
        [
            ("payment.captured", of, fact)
            for of, fact in zip(rows["payment_id"].to_list(), facts, strict=True)
        ],
    )


def _post_payments(store: Store, at: datetime, rows: pl.DataFrame) -> None:
    is_recovery = pl.col("kind") == "recovery"
    event = (
        pl.when(pl.col("is_direct") & is_recovery)
        .then(pl.lit("written_off_recovered"))
        .when(is_recovery)
        .then(pl.lit("transfer_recovered"))
        .when("is_direct")
        .then(pl.lit("bank_transfer_received"))
        .otherwise(pl.lit("transfer_matched"))
    )
    post_events(
        store,
        at,
        rows.select(
            event.alias("event"),
            pl.lit("payment").alias("source_kind"),
            pl.col("payment_id").alias("source_id"),
            "invoice_id",
            *_EVENT,
            pl.col("amount_minor").alias("net_minor"),
        ),
    )


_EVENT = (
    "entity_id",
    pl.col("payer_id").alias("customer_id"),
    "currency",
    pl.col("booked_on").alias("posted_on"),
)


def _write_applications(
    store: Store, at: datetime, dated: pl.DataFrame, parts: pl.DataFrame, discounts: pl.DataFrame
) -> None:
    """What payments pay and what may be kept back, in the tables and in the journal."""
    heads = dated.select("transfer_id", "payment_id", *OWNER, "booked_on")
    paying = parts.filter(pl.col("state") == "open").select(
        "transfer_id",
        "invoice_id",
        pl.col("amount_minor").alias("net_minor"),
        pl.lit(0, pl.Int64).alias("tax_minor"),
        pl.lit("payment").alias("source_kind"),
    )
    kept = discounts.with_columns(pl.lit("early_discount").alias("source_kind"))
    rows = pl.concat([paying, kept]).join(heads, on="transfer_id", how="left", maintain_order="left")
    rows = rows.with_columns(
        pl.Series("application_id", store.new_ids("app", rows.height), dtype=pl.String),
        (pl.col("net_minor") + pl.col("tax_minor")).alias("amount_minor"),
        pl.when(pl.col("source_kind") == "payment")
        .then("payment_id")
        .otherwise("invoice_id")
        .alias("source_id"),
    )
    store.insert(
        applications,
        rows.select(
            "application_id",
            "source_kind",
            "source_id",
            "invoice_id",
            "amount_minor",
            pl.col("booked_on").alias("applied_on"),
        ),
        at,
    )
    is_discount = pl.col("source_kind") == "early_discount"
    store.insert(
        early_discounts,
        rows.filter(is_discount).select(
            "application_id",
            "invoice_id",
            "payment_id",
            "net_minor",
            "tax_minor",
            pl.col("booked_on").alias("granted_on"),
        ),
        at,
    )
    event = pl.when(is_discount).then(pl.lit("early_payment_discount")).otherwise(pl.lit("credit_applied"))
    post_events(
        store,
        at,
        rows.select(
            event.alias("event"),
            pl.lit("application").alias("source_kind"),
            pl.col("application_id").alias("source_id"),
            "invoice_id",
            *_EVENT,
            "net_minor",
            "tax_minor",
        ),
    )


def _write_invoices(
    store: Store, at: datetime, dated: pl.DataFrame, parts: pl.DataFrame, debts: pl.DataFrame
) -> None:
    """Invoices with nothing left are paid; of those written off it is noted what came in."""
    days = parts.join(dated.select("transfer_id", "booked_on"), on="transfer_id")
    sums = days.group_by("invoice_id").agg(pl.col("amount_minor").sum(), pl.col("booked_on").max())
    touched = debts.join(sums, on="invoice_id")
    settled = touched.filter(pl.col("state") == "open", pl.col("open_minor") == 0)
    paid = settled.select("invoice_id", pl.lit("paid").alias("state"), pl.col("booked_on").alias("paid_on"))
    store.update(invoices, paid.sort("invoice_id"), at)
    recovered = touched.filter(pl.col("state") == "uncollectible")
    total = pl.col("written_off_minor") - pl.col("open_minor")
    store.update(
        invoices, recovered.select("invoice_id", total.alias("recovered_minor")).sort("invoice_id"), at
    )
