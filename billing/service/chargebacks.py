"""Payments that customers have disputed at their bank.

The bank takes the money back when a dispute is opened, and the books follow it then: what the payment paid is
undone, the invoices are open again, and nobody is charged for them by itself while the dispute lasts or after
it is lost. A dispute that is won brings the money back to the invoices it was taken from, as far as they are
open.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import polars as pl
from sqlalchemy import ColumnElement, ScalarSelect, bindparam, func, select

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.jobs.bill_facts import hold_customers, read_by_ids
from billing.jobs.credit import STANDING, undo_applications
from billing.jobs.journal import post_events
from billing.jobs.payments_ahead import hold_charges, lower_charges
from billing.jobs.settle import OWED, apply, event_rows, hold_invoices
from billing.jobs.undo_payments import undo_discounts
from billing.service.acts import act, announce
from billing.service.write_offs import note_write_off
from billing.store.debts import DEBT
from billing.store.store import Row, Store
from billing.store.tables import applications, customers, disputes, invoices, payments, refunds


def _sent_back(*conditions: ColumnElement[bool]) -> ScalarSelect[Any]:
    """What of a payment was refunded, or will be."""
    of_payment = (refunds.c.payment_id == payments.c.payment_id, refunds.c.state != "failed", *conditions)
    return select(func.coalesce(func.sum(refunds.c.amount_minor), 0)).where(*of_payment).scalar_subquery()


_PAYMENT = (
    select(
        payments,
        func.coalesce(invoices.c.entity_id, customers.c.entity_id).label("entity_id"),
        customers.c.time_zone,
        _sent_back().label("refunded_minor"),
        _sent_back(refunds.c.note_id.is_(None)).label("kept_back_minor"),
    )
    .join(customers, customers.c.customer_id == payments.c.customer_id)
    .outerjoin(invoices, invoices.c.invoice_id == payments.c.invoice_id)
    .where(payments.c.payment_id == bindparam("id"), payments.c.state == "captured")
)
_DISPUTE = select(disputes).where(disputes.c.dispute_id == bindparam("id"))


@act
def open_chargeback(
    store: Store,
    at: datetime,
    *,
    payment_id: str,
    amount_minor: int | None = None,
    gateway_ref: str | None = None,
) -> str:
    """The bank took a payment, or a part of it, back for a dispute; returns the dispute's id.

    What the payment left as credit goes first, then what it paid of invoices, the last first. An invoice that
    was paid is open again, also for what was kept back of it for early payment; one that was written off is
    written off by as much more. Raises `unknown_payment`, `negative_quantity`, `illegal_transition` for a
    payment that no gateway took, `amount_out_of_range` above what is left of it, `immutable` for a dispute
    that is known, `period_locked`.
    """
    row = _held(store, payment_id)
    if row["kind"] != "charge":
        raise BillingError("illegal_transition", f"{payment_id} is a {row['kind']}")
    left = row["amount_minor"] - row["refunded_minor"] - row["reversed_minor"]
    amount_minor = left if amount_minor is None else amount_minor
    if amount_minor <= 0:
        raise BillingError("negative_quantity", f"a dispute of {amount_minor}")
    if amount_minor > left:
        raise BillingError("amount_out_of_range", f"{amount_minor} of {left} left of {payment_id}")
    today, dispute_id = local_date(at, row["time_zone"]), store.new_id("dsp")
    new = {"dispute_id": dispute_id, "payment_id": payment_id, "amount_minor": amount_minor}
    store.insert(disputes, [new | {"opened_on": today, "gateway_ref": gateway_ref}], at)
    events = _undo(store, at, row, dispute_id, amount_minor, today)
    events.append(_event(row, "payment_reversed", dispute_id, amount_minor, today))
    post_events(store, at, pl.concat(events, how="diagonal"))
    _note_reversed(store, at, row, row["reversed_minor"] + amount_minor)
    facts = {name: row[name] for name in ("customer_id", "invoice_id", "currency", "payment_id")}
    announce(store, at, "dispute.opened", dispute_id, facts | {"amount_minor": amount_minor})
    return dispute_id


@act
def close_chargeback(store: Store, at: datetime, *, dispute_id: str, outcome: str | None) -> None:
    """A dispute has ended: `won` brings the money back, `lost` leaves it with the customer. What was kept
    back for early payment and opened again by the dispute stays open also when it is won.

    Told again it changes nothing. Raises `unknown_dispute`, `unknown_setting` for another outcome,
    `illegal_transition` where it ended otherwise, `period_locked`.
    """
    if outcome not in ("won", "lost"):
        raise BillingError("unknown_setting", f"outcome = {outcome!r}")
    dispute = store.row(_DISPUTE, {"id": dispute_id})
    if dispute is None:
        raise BillingError("unknown_dispute", dispute_id)
    row = _held(store, dispute["payment_id"])
    dispute = store.row(_DISPUTE, {"id": dispute_id}) or dispute
    if dispute["closed_on"] is not None:
        if dispute["outcome"] != outcome:
            raise BillingError("illegal_transition", f"{dispute_id} was {dispute['outcome']}")
        return
    today = local_date(at, row["time_zone"])
    if outcome == "won":
        events = [_event(row, "payment_reinstated", dispute_id, dispute["amount_minor"], today)]
        events += _apply_again(store, at, row, dispute["amount_minor"], today)
        post_events(store, at, pl.concat(events, how="diagonal"))
        _note_reversed(store, at, row, row["reversed_minor"] - dispute["amount_minor"])
    store.update(disputes, [{"dispute_id": dispute_id, "closed_on": today, "outcome": outcome}], at)
    facts = {name: row[name] for name in ("customer_id", "invoice_id", "currency", "payment_id")}
    facts |= {"amount_minor": dispute["amount_minor"], "outcome": outcome}
    announce(store, at, "dispute.closed", dispute_id, facts)


def _held(store: Store, payment_id: str) -> Row:
    """A captured payment, its payer held before anything of it is read."""
    row = store.row(_PAYMENT, {"id": payment_id})
    if row is None:
        raise BillingError("unknown_payment", payment_id)
    if not store.is_sqlite:
        hold_customers(store, [row["customer_id"]])
        row = store.row(_PAYMENT, {"id": payment_id}) or row
    return row


def _event(row: Row, name: str, dispute_id: str, amount_minor: int, today: date) -> pl.DataFrame:
    facts = {"dispute_id": dispute_id, "today": today, "amount_minor": amount_minor}
    names = ("entity_id", "customer_id", "invoice_id", "currency")
    money = pl.DataFrame(
        [{one: row[one] for one in names} | facts], schema_overrides={"invoice_id": pl.String}
    )
    return event_rows(money, name, "dispute", "dispute_id", "amount_minor")


def _standing(store: Store, payment_id: str) -> pl.DataFrame:
    """What a payment pays, the last first."""
    standing = read_by_ids(store, STANDING, applications.c.source_id, [payment_id])
    return standing.filter(pl.col("source_kind") == "payment").sort("application_id", descending=True)


def _undo(
    store: Store, at: datetime, row: Row, dispute_id: str, amount_minor: int, today: date
) -> list[pl.DataFrame]:
    """Undo what a payment paid, beyond what of it is credit, and open the invoices again; returns the events
    for the journal."""
    standing = _standing(store, row["payment_id"])
    paid = int(standing["amount_minor"].sum())
    credit = row["amount_minor"] - row["reversed_minor"] - row["kept_back_minor"] - paid
    before = pl.col("amount_minor").cum_sum() - pl.col("amount_minor")
    undone = standing.with_columns((amount_minor - max(credit, 0) - before).alias("_left")).filter(
        pl.col("_left") > 0
    )
    if undone.is_empty():
        return []
    hold_invoices(store, undone["invoice_id"])
    head = {"entity_id": row["entity_id"], "payer_id": row["customer_id"], "currency": row["currency"]}
    events = [undo_applications(store, at, undone.drop("_left"), head, today)]
    back = undone.with_columns((pl.col("amount_minor") - pl.col("_left")).clip(0).alias("applied_minor"))
    events.append(_pay(store, at, row, back.filter(pl.col("applied_minor") > 0), today))
    lost = (pl.col("amount_minor") - pl.col("applied_minor")).sum().alias("lost_minor")
    of_invoices = back.group_by("invoice_id", maintain_order=True).agg(lost)
    _reopen(store, at, head, of_invoices, today)
    return events


def _pay(store: Store, at: datetime, row: Row, shares: pl.DataFrame, today: date) -> pl.DataFrame:
    """Apply shares of a payment (`invoice_id`, `applied_minor`); returns the events for the journal."""
    owed = read_by_ids(store, OWED, invoices.c.invoice_id, shares["invoice_id"].to_list())
    names = ("payment_id", "customer_id", "entity_id", "currency")
    money = (
        shares.select("invoice_id", "applied_minor")
        .join(owed.select("invoice_id", "open_minor"), on="invoice_id", maintain_order="left")
        .with_columns(*(pl.lit(row[name]).alias(name) for name in names), pl.lit(today).alias("today"))
    )
    paid = apply(store, at, money)
    return event_rows(paid, "credit_applied", "application", "application_id", "applied_minor")


def _reopen(store: Store, at: datetime, owner: Mapping[str, str], lost: pl.DataFrame, today: date) -> None:
    """Open the invoices that lost money (`invoice_id`, `lost_minor`), without what was kept back of them for
    early payment, and charge them no more; one that was written off is written off by as much more."""
    owed = read_by_ids(store, DEBT, invoices.c.invoice_id, lost["invoice_id"].to_list())
    is_lost = pl.col("state") == "uncollectible"
    change = owed.filter(pl.col("state") == "paid").select(
        "invoice_id", pl.lit("open").alias("state"), pl.lit(None, dtype=pl.Date).alias("paid_on")
    )
    store.update(invoices, change, at)
    undo_discounts(store, at, owed.filter(~is_lost)["invoice_id"].to_list(), owner, today)
    free, under_way = hold_charges(store, lost["invoice_id"].to_list())
    nothing = lost.filter(~pl.col("invoice_id").is_in(under_way))
    nothing = nothing.select("invoice_id", pl.lit(0, pl.Int64).alias("left_minor"))
    lower_charges(store, at, free, nothing, closed_as="disputed")
    written_off = owed.filter(is_lost).join(lost, on="invoice_id").sort("invoice_id")
    total = (pl.col("written_off_minor") + pl.col("lost_minor")).alias("written_off_minor")
    store.update(invoices, written_off.select("invoice_id", total), at)
    for debt in written_off.iter_rows(named=True):
        note_write_off(store, at, debt, debt["lost_minor"], today, reason="dispute")


def _apply_again(store: Store, at: datetime, row: Row, amount_minor: int, today: date) -> list[pl.DataFrame]:
    """Money that came again pays the invoice it was meant for, as far as that is open."""
    if row["invoice_id"] is None:
        return []
    hold_invoices(store, pl.Series([row["invoice_id"]]))
    owed = read_by_ids(store, OWED, invoices.c.invoice_id, [row["invoice_id"]])
    share = pl.min_horizontal("open_minor", pl.lit(amount_minor)).alias("applied_minor")
    shares = owed.filter((pl.col("state") == "open") & (pl.col("open_minor") > 0)).select("invoice_id", share)
    return [_pay(store, at, row, shares, today)] if shares.height else []


def _note_reversed(store: Store, at: datetime, row: Row, reversed_minor: int) -> None:
    """What the bank has taken back of a payment, and whether anything of the rest is still credit."""
    used = int(_standing(store, row["payment_id"])["amount_minor"].sum()) + row["kept_back_minor"]
    is_spent = used + reversed_minor == row["amount_minor"]
    change = {"payment_id": row["payment_id"], "reversed_minor": reversed_minor, "is_spent": is_spent}
    store.update(payments, [change], at)
