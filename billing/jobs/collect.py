"""Collects money: charges what is due, retries what failed, and ends what cannot be collected.

Reads all that is due in a few statements, asks the gateway once per attempt, decides each failure with
core.dunning, and writes everything back in bulk. A payment and the number of its attempt are saved before the
gateway is asked, so a crash repeats a key and never a charge.

One failed payment opens a dunning case for its customer and currency; others that fail meanwhile join it.
Any success closes the case: what else failed in it is tried at once, and what fails again opens a new one.
When a payment's schedule is used up, or the deadline of day 21 passes without an attempt ahead, the
subscriptions billed on the unpaid invoices are canceled with reason `payment`; the invoices stay open.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
from sqlalchemy import and_, bindparam, or_, select

from billing.core.calendar import local_date
from billing.core.dunning import decline_class, hours_until_retry
from billing.gateways.gateway import Answer, Charge, Gateway, charge_key
from billing.jobs.bill_facts import OPEN_MINOR
from billing.jobs.dunning import Cases, close_case, end_cases, note_failure, open_cases, remind
from billing.jobs.journal import post_events
from billing.jobs.turn import turn
from billing.store.messages import Message, announce
from billing.store.store import Row, Store
from billing.store.tables import (
    applications,
    customers,
    invoices,
    payment_attempts,
    payment_methods,
    payments,
)

NO_METHOD = "no_payment_method"
EXPIRED = "card_expired"
"""Codes the engine gives itself where asking the gateway would be in vain; both are hard declines."""


@dataclass(frozen=True, slots=True)
class CollectSummary:
    """What one call did. `captured_minor` by currency; `canceled`: subscriptions that ended unpaid."""

    created: int = 0
    attempts: int = 0
    captured: int = 0
    declined: int = 0
    unknown: int = 0
    cases_opened: int = 0
    cases_recovered: int = 0
    cases_exhausted: int = 0
    canceled: int = 0
    captured_minor: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Work:
    """What one call has learned and will write."""

    at: datetime
    attempts: list[Row] = field(default_factory=list)
    repeats: list[Row] = field(default_factory=list)
    payments: dict[str, Row] = field(default_factory=dict)
    captured: list[Row] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    exhausted: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def collect(store: Store, gateway: Gateway, at: datetime) -> CollectSummary:
    """Charge open invoices that are due and collected automatically, and whatever a schedule says.

    Call it daily, or more often to keep the hours of technical retries. A second call at the same instant
    does nothing. Raises `period_locked` when the books of the day are closed.
    """
    turn(store, at)
    work = _Work(at)
    with store.transaction():
        work.counts["created"] = _create_payments(store, at)
    with store.transaction():
        due = _one_each(store.rows(_DUE, {"at": at, "on": at.date()}))
        if due:
            _attempt_all(store, gateway, work, due)
            _write(store, work)
        ended, canceled, messages = end_cases(store, at, work.exhausted)
        announce(store, at, [*work.messages, *messages, *remind(store, at)])
    amounts: dict[str, int] = defaultdict(int)
    for row in work.captured:
        amounts[row["currency"]] += row["amount_minor"]
    counts = {name: work.counts.get(name, 0) for name in _COUNTS}
    return CollectSummary(
        **counts,
        cases_exhausted=ended,
        canceled=canceled,
        captured_minor=dict(sorted(amounts.items())),
    )


_COUNTS = (
    "created",
    "attempts",
    "captured",
    "declined",
    "unknown",
    "cases_opened",
    "cases_recovered",
)


# New payments.

_UNPAID = (
    select(
        invoices.c.invoice_id,
        invoices.c.customer_id,
        invoices.c.currency,
        invoices.c.due_on,
        OPEN_MINOR.label("amount_minor"),
        customers.c.time_zone,
    )
    .join(customers, customers.c.customer_id == invoices.c.customer_id)
    .outerjoin(payments, and_(payments.c.invoice_id == invoices.c.invoice_id, payments.c.state != "captured"))
    .where(
        invoices.c.state == "open",
        invoices.c.due_on <= bindparam("on"),
        invoices.c.collection == "automatic",
        payments.c.payment_id.is_(None),
    )
    .order_by(invoices.c.invoice_id)
)


def _create_payments(store: Store, at: datetime) -> int:
    """A pending payment for each due invoice that has none; an invoice with nothing left is paid."""
    rows, settled = [], []
    for row in store.rows(_UNPAID, {"on": at.date() + timedelta(days=1)}):
        today = local_date(at, row["time_zone"])
        if row["due_on"] > today:
            continue
        if row["amount_minor"] <= 0:
            settled.append({"invoice_id": row["invoice_id"], "state": "paid", "paid_on": today})
            continue
        rows.append(
            {
                "payment_id": store.new_id("pay"),
                "customer_id": row["customer_id"],
                "invoice_id": row["invoice_id"],
                "currency": row["currency"],
                "amount_minor": row["amount_minor"],
                "state": "pending",
                "next_attempt_at": at,
                "created_on": today,
            }
        )
    store.insert(payments, rows, at)
    store.update(invoices, settled, at)
    return len(rows)


# Attempts.

_METHOD = and_(
    payment_methods.c.customer_id == payments.c.customer_id,
    payment_methods.c.is_default,
    or_(payment_methods.c.valid_to.is_(None), payment_methods.c.valid_to > bindparam("on")),
)
_PAYMENT = (
    select(
        payments,
        payment_methods.c.method_id.label("default_method_id"),
        payment_methods.c.gateway_ref.label("method_ref"),
        payment_methods.c.expires_on,
        customers.c.time_zone,
        customers.c.entity_id,
        payment_attempts.c.tries,
        payment_attempts.c.outcome.label("last_outcome"),
    )
    .join(customers, customers.c.customer_id == payments.c.customer_id)
    .outerjoin(payment_methods, _METHOD)
    .outerjoin(
        payment_attempts,
        and_(
            payment_attempts.c.payment_id == payments.c.payment_id,
            payment_attempts.c.attempt == payments.c.attempt,
        ),
    )
)
# Held while the gateway is asked, so that no transfer pays the invoice meanwhile, and no second call asks
# (PostgreSQL; SQLite has one writer). A payment that a transfer holds is passed over; where its case recovers
# it is waited for, since what is left of it is tried or given up with the case.
_DUE = _PAYMENT.where(payments.c.next_attempt_at <= bindparam("at")).with_for_update(
    of=payments, skip_locked=True
)
_FAILED_IN_CASE = _PAYMENT.where(
    payments.c.case_id == bindparam("of"), payments.c.state == "failed"
).with_for_update(of=payments)


def _one_each(rows: Iterable[Row]) -> list[Row]:
    """A payment once, with the newest of several default methods, by id. (Were they ordered by the database,
    the few that are due would cost a walk through all.)"""
    by_payment: dict[str, Row] = {}
    for row in rows:
        known = by_payment.get(row["payment_id"])
        if known is None or (row["default_method_id"] or "") > (known["default_method_id"] or ""):
            by_payment[row["payment_id"]] = row
    return sorted(by_payment.values(), key=lambda row: str(row["payment_id"]))


def _attempt_all(store: Store, gateway: Gateway, work: _Work, due: Sequence[Row]) -> None:
    """Two rounds: what is due, then what else failed in a case that just had a success. Then the cases: those
    with a success close, failures open or lengthen one."""
    failed = [row for row in due if _attempt(gateway, work, row)]
    cases: Cases = {}
    if failed or any(row["case_id"] for row in work.captured):
        cases = open_cases(store)
    recovered = {row["case_id"] for row in work.captured if row["case_id"]}
    tried = {row["payment_id"] for row in due}
    for case in [case for case in cases.values() if case["case_id"] in recovered]:
        again = _one_each(store.rows(_FAILED_IN_CASE, {"of": case["case_id"], "on": work.at.date()}))
        failed += [row for row in again if row["payment_id"] not in tried and _attempt(gateway, work, row)]
        of_case = [row for row in work.captured if row["case_id"] == case["case_id"]]
        work.messages.append(close_case(store, work.at, case, "recovered", of_case))
        work.counts["cases_recovered"] += 1
        del cases[case["customer_id"], case["currency"]]
    for row in failed:
        change, messages = note_failure(store, work.at, cases, row)
        work.payments[row["payment_id"]] |= change
        work.messages += messages
    work.exhausted = [case["case_id"] for case in cases.values() if case.get("is_exhausted")]
    work.counts["cases_opened"] = sum(case["opened_at"] == work.at for case in cases.values())


def _attempt(gateway: Gateway, work: _Work, row: Row) -> bool:
    """Ask once, note the answer. True for a failure that dunning has to decide on."""
    today = local_date(work.at, row["time_zone"])
    is_repeat = row["state"] == "pending" and row["attempt"] > 0
    attempt = row["attempt"] if is_repeat else row["attempt"] + 1
    row["today"], row["attempt"] = today, attempt
    row["tries"] = (row["tries"] or 0) + 1 if is_repeat else 1
    row["method_id"] = row["default_method_id"]
    answer = _ask(gateway, row, today)
    decline = decline_class(answer.code or "") if answer.outcome == "declined" else None
    if answer.code == NO_METHOD:
        decline = "hard"
    waits_hours = hours_until_retry(answer.outcome, decline, row["tries"])
    if decline == "technical" and waits_hours is None:
        decline = "soft"
    row["decline"] = decline
    noted = {
        "payment_id": row["payment_id"],
        "attempt": attempt,
        "method_id": row["method_id"],
        "outcome": answer.outcome,
        "decline_class": decline,
        "decline_code": answer.code,
        "tries": row["tries"],
        "attempted_at": work.at,
        "attempted_on": today,
    }
    (work.repeats if is_repeat else work.attempts).append(noted)
    work.counts["attempts"] += 1
    work.counts[answer.outcome] += 1
    change: Row = {"attempt": attempt, "method_id": row["method_id"], "next_attempt_at": None}
    if answer.outcome == "captured":
        change |= {
            "state": "captured",
            "gateway_ref": answer.gateway_ref,
            "fee_minor": answer.fee_minor,
            "received_on": today,
            "is_spent": True,
        }
        work.captured.append(row)
        facts = {
            name: row[name] for name in ("customer_id", "invoice_id", "amount_minor", "currency", "attempt")
        }
        work.messages.append(("payment.captured", row["payment_id"], facts))
    elif waits_hours is not None:
        change |= {"state": "pending", "next_attempt_at": work.at + timedelta(hours=waits_hours)}
    work.payments[row["payment_id"]] = _unchanged(row) | change
    return answer.outcome == "declined" and waits_hours is None


_CHANGING = (
    "state",
    "attempt",
    "method_id",
    "gateway_ref",
    "fee_minor",
    "received_on",
    "is_spent",
    "next_attempt_at",
    "failures",
    "first_failed_on",
    "case_id",
)


def _unchanged(row: Row) -> Row:
    """The columns of a payment that an attempt may change, as they are."""
    return {"payment_id": row["payment_id"]} | {name: row[name] for name in _CHANGING}


def _ask(gateway: Gateway, row: Row, today: date) -> Answer:
    if row["method_id"] is None:
        return Answer("declined", NO_METHOD)
    if row["expires_on"] is not None and row["expires_on"] < today:
        return Answer("declined", EXPIRED)
    return gateway.charge(
        Charge(
            key=charge_key(row["payment_id"], row["attempt"]),
            customer_id=row["customer_id"],
            method_ref=row["method_ref"],
            amount_minor=row["amount_minor"],
            currency=row["currency"],
            attempt=row["attempt"],
            on=today,
        )
    )


# What was captured: applied, posted, announced.


def _write(store: Store, work: _Work) -> None:
    """Payments, attempts and what follows from captured money, in bulk."""
    store.insert(payment_attempts, work.attempts, work.at)
    store.update(payment_attempts, work.repeats, work.at)
    store.update(payments, list(work.payments.values()), work.at)
    if work.captured:
        _settle(store, work)


def _settle(store: Store, work: _Work) -> None:
    """Apply each captured payment to its invoice, which is paid with it, and post both events."""
    money = pl.DataFrame(
        {name: [row[name] for row in work.captured] for name in _SETTLED}, schema_overrides=_SETTLED
    )
    applied = pl.Series("application_id", store.new_ids("app", money.height), dtype=pl.String)
    money = money.with_columns(applied)
    store.insert(
        applications,
        money.select(
            "application_id",
            pl.lit("payment").alias("source_kind"),
            pl.col("payment_id").alias("source_id"),
            "invoice_id",
            "amount_minor",
            pl.col("today").alias("applied_on"),
        ),
        work.at,
    )
    store.update(
        invoices,
        [
            {"invoice_id": row["invoice_id"], "state": "paid", "paid_on": row["today"]}
            for row in work.captured
        ],
        work.at,
    )
    events = money.select(
        "entity_id",
        "customer_id",
        "invoice_id",
        "currency",
        "payment_id",
        "application_id",
        pl.col("amount_minor").alias("net_minor"),
        pl.col("today").alias("posted_on"),
    )
    post_events(
        store,
        work.at,
        pl.concat(
            [
                _event(events, "payment_captured", "payment", "payment_id"),
                _event(events, "credit_applied", "application", "application_id"),
            ]
        ),
    )


_SETTLED: dict[str, Any] = {
    "payment_id": pl.String,
    "invoice_id": pl.String,
    "customer_id": pl.String,
    "entity_id": pl.String,
    "currency": pl.String,
    "amount_minor": pl.Int64,
    "today": pl.Date,
}


def _event(events: pl.DataFrame, name: str, kind: str, source: str) -> pl.DataFrame:
    return events.with_columns(
        pl.lit(name).alias("event"), pl.lit(kind).alias("source_kind"), pl.col(source).alias("source_id")
    ).drop("payment_id", "application_id")
