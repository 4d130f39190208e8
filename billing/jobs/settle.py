"""Writes what a gateway answered: money that came in is applied, posted and announced; what failed goes to
its dunning case.

An answer counts once: only while its payment is pending with the attempt that was asked. So the answers of a
run, of a run started again, and of notices that come late or twice may meet here in any order. Money is never
turned away: what its invoice needs no more stays credit of the customer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl
from sqlalchemy import and_, func, select

from billing.core.dunning import DECLINE_CLASSES, hours_until_retry
from billing.jobs.bill_facts import read_by_ids
from billing.jobs.dunning import Noted, add_recovered, close_cases, note_failures, open_cases
from billing.jobs.journal import post_events
from billing.store.debts import OPEN_MINOR
from billing.store.drivers import instant
from billing.store.messages import announce_rows
from billing.store.store import Row, Store
from billing.store.tables import (
    applications,
    asked_attempts,
    customers,
    invoices,
    payment_attempts,
    payments,
)

NO_METHOD = "no_payment_method"
EXPIRED = "card_expired"
"""Codes the engine gives itself where asking the gateway would be in vain; both are hard declines."""
NEVER_CHARGED = "never_charged"
"""The outcome of a charge that the gateway knows nothing of and that is not wanted any more."""

INSTANT = pl.Datetime("us", "UTC")
ANSWER: dict[str, Any] = {
    "payment_id": pl.String,
    "outcome": pl.String,
    "code": pl.String,
    "gateway_ref": pl.String,
    "fee_minor": pl.Int64,
}
"""An answer to the attempt under way of a payment."""

ASKED = (
    select(
        payments.c.payment_id,
        payments.c.customer_id,
        payments.c.invoice_id,
        payments.c.currency,
        payments.c.amount_minor,
        payments.c.state,
        payments.c.attempt,
        payments.c.method_id,
        payments.c.failures,
        payments.c.first_failed_on,
        payments.c.case_id,
        func.coalesce(invoices.c.entity_id, customers.c.entity_id).label("entity_id"),
        customers.c.time_zone,
        payment_attempts.c.tries,
    )
    .join(customers, customers.c.customer_id == payments.c.customer_id)
    .outerjoin(invoices, invoices.c.invoice_id == payments.c.invoice_id)
    .outerjoin(
        payment_attempts,
        and_(
            payment_attempts.c.payment_id == payments.c.payment_id,
            payment_attempts.c.attempt == payments.c.attempt,
        ),
    )
)
"""Payments with what `settle` wants to know of them, but for `today`. `tries`: how often an answer to the
attempt was written; null: none yet."""

ANSWERED: dict[str, Any] = {
    "payment_id": pl.String,
    "customer_id": pl.String,
    "invoice_id": pl.String,
    "currency": pl.String,
    "amount_minor": pl.Int64,
    "state": pl.String,
    "attempt": pl.Int64,
    "method_id": pl.String,
    "failures": pl.Int64,
    "first_failed_on": pl.Date,
    "case_id": pl.String,
    "entity_id": pl.String,
    "time_zone": pl.String,
    "tries": pl.Int64,
    "today": pl.Date,
} | ANSWER
"""What `settle` is given: the columns of ASKED, `today` (the day of the customer) and those of ANSWER."""


class Settled(NamedTuple):
    """What answers led to. `counts` by name, `captured_minor` by currency. `again`: payers of whom payments
    that failed before are due once more. `exhausted`: dunning cases whose schedule is used up."""

    counts: dict[str, int]
    captured_minor: dict[str, int]
    again: list[str]
    exhausted: list[str]


def settle(store: Store, at: datetime, answered: pl.DataFrame) -> Settled:
    """Write answers, in the caller's transaction. answered: a row a payment, of ANSWERED.

    Raises `period_locked` when the books of the day were closed meanwhile: nothing is lost by it, since the
    answers are asked for again.
    """
    answered = _still_asked(store, answered.select(*ANSWERED))
    if answered.is_empty():
        return Settled({}, {}, [], [])
    answered = _classed(at, answered)
    _write_attempts(store, at, answered)
    counts = dict(answered["outcome"].value_counts().iter_rows())
    recovered, again = 0, list[str]()
    captured = answered.filter(pl.col("outcome") == "captured")
    if captured.height:
        _write_captured(store, at, take_in(store, at, captured))
        recovered, again = _recover(store, at, captured.filter(pl.col("case_id").is_not_null()))
    noted = Noted(pl.DataFrame(), [], 0)
    if captured.height < answered.height:
        store.update(payments, _waiting(answered), at)
        store.update(payments, _given_up(answered), at)
        failed = answered.filter((pl.col("outcome") == "declined") & pl.col("next_attempt_at").is_null())
        failed = _leave_schedule(store, at, failed) if failed.height else failed
        if failed.height:
            noted = note_failures(store, at, failed)
            store.update(payments, noted.changes, at)
    counts |= {
        "attempts": answered.height - counts.pop(NEVER_CHARGED, 0),
        "cases_opened": noted.opened,
        "cases_recovered": recovered,
    }
    sums = captured.group_by("currency").agg(pl.col("amount_minor").sum())
    return Settled(counts, dict(sums.iter_rows()), again, noted.exhausted)


_HELD_PAYERS = (
    select(customers.c.customer_id)
    .order_by(customers.c.customer_id)
    .with_for_update(read=True, key_share=True)
)
_HELD_INVOICES = select(invoices.c.invoice_id).order_by(invoices.c.invoice_id).with_for_update(key_share=True)
_HELD_PAYMENTS = select(payments.c.payment_id, payments.c.state, payments.c.attempt)
_HELD_PAYMENTS_IN_ORDER = _HELD_PAYMENTS.order_by(payments.c.payment_id).with_for_update()


def _still_asked(store: Store, answered: pl.DataFrame) -> pl.DataFrame:
    """The answers that nobody wrote yet, their payers, invoices and payments held in this order, as by
    everyone who pays (PostgreSQL; SQLite has one writer)."""
    if not store.is_sqlite:
        store.join_by_index()
        hold_payers(store, answered["customer_id"])
        hold_invoices(store, answered["invoice_id"])
    asked = _HELD_PAYMENTS if store.is_sqlite else _HELD_PAYMENTS_IN_ORDER
    now = read_by_ids(store, asked, payments.c.payment_id, answered["payment_id"].to_list())
    pending = now.filter(pl.col("state") == "pending").select("payment_id", "attempt")
    return answered.join(pending, on=["payment_id", "attempt"], how="semi", maintain_order="left")


def hold_payers(store: Store, customer_ids: pl.Series) -> None:
    """Wait for those who bill or spend the credit of some customers, and let them wait (PostgreSQL)."""
    if not store.is_sqlite:
        read_by_ids(store, _HELD_PAYERS, customers.c.customer_id, customer_ids.unique().to_list())


def hold_invoices(store: Store, invoice_ids: pl.Series) -> None:
    """Wait for those who pay some invoices, and let them wait (PostgreSQL)."""
    if not store.is_sqlite:
        ids = invoice_ids.drop_nulls().unique().to_list()
        read_by_ids(store, _HELD_INVOICES, invoices.c.invoice_id, ids)


_CLASSES = {**DECLINE_CLASSES, NO_METHOD: "hard"}


def _classed(at: datetime, answered: pl.DataFrame) -> pl.DataFrame:
    """With `decline` (its class), `tries` counted on and `next_attempt_at` where the same attempt is made
    again."""
    classes = pl.col("code").replace_strict(_CLASSES, default="soft", return_dtype=pl.String)
    answered = answered.with_columns(
        pl.when(pl.col("outcome") == "declined").then(classes).alias("decline"),
        pl.col("tries").is_not_null().alias("is_known"),
        pl.col("tries").fill_null(0) + 1,
    )
    kinds = answered.select("outcome", "decline", "tries").unique()
    hours = [hours_until_retry(*kind) for kind in kinds.iter_rows()]
    again = [None if wait is None else at + timedelta(hours=wait) for wait in hours]
    table = kinds.with_columns(pl.Series("next_attempt_at", again, dtype=INSTANT))
    is_used_up = (pl.col("decline") == "technical") & pl.col("next_attempt_at").is_null()
    return answered.join(
        table, on=["outcome", "decline", "tries"], how="left", nulls_equal=True, maintain_order="left"
    ).with_columns(pl.when(is_used_up).then(pl.lit("soft")).otherwise("decline").alias("decline"))


def _write_attempts(store: Store, at: datetime, answered: pl.DataFrame) -> None:
    rows = answered.filter(pl.col("outcome") != NEVER_CHARGED).select(
        "payment_id",
        "attempt",
        "method_id",
        "amount_minor",
        "outcome",
        pl.col("decline").alias("decline_class"),
        pl.col("code").alias("decline_code"),
        "tries",
        instant(at).alias("attempted_at"),
        pl.col("today").alias("attempted_on"),
        "is_known",
    )
    store.insert(payment_attempts, rows.filter(~pl.col("is_known")).drop("is_known"), at)
    store.update(payment_attempts, rows.filter("is_known").drop("is_known"), at)


def _write_captured(store: Store, at: datetime, captured: pl.DataFrame) -> None:
    change = captured.select(
        "payment_id",
        pl.lit("captured").alias("state"),
        "gateway_ref",
        "fee_minor",
        pl.col("today").alias("received_on"),
        (pl.col("applied_minor") == pl.col("amount_minor")).alias("is_spent"),
        pl.lit(None, dtype=INSTANT).alias("next_attempt_at"),
    )
    store.update(payments, change, at)


def _waiting(answered: pl.DataFrame) -> pl.DataFrame:
    """Payments whose attempt is made again under the same key."""
    return answered.filter(pl.col("next_attempt_at").is_not_null()).select("payment_id", "next_attempt_at")


def _given_up(answered: pl.DataFrame) -> pl.DataFrame:
    """Payments that took nothing, of invoices that need them no more."""
    return answered.filter(pl.col("outcome") == NEVER_CHARGED).select(
        "payment_id",
        pl.lit("canceled").alias("state"),
        pl.lit(None, dtype=INSTANT).alias("next_attempt_at"),
    )


_ASKED_FOR = (
    select(
        asked_attempts.c.payment_id,
        asked_attempts.c.attempt,
        asked_attempts.c.resumes_at,
        invoices.c.collection,
    )
    .join(payments, payments.c.payment_id == asked_attempts.c.payment_id)
    .join(invoices, invoices.c.invoice_id == payments.c.invoice_id)
)


def _leave_schedule(store: Store, at: datetime, failed: pl.DataFrame) -> pl.DataFrame:
    """Failures of attempts that the customer asked for: the schedule goes on as if there had been none, and
    what no schedule charges is given up. Returns the other failures, and those whose case ended meanwhile."""
    asked = read_by_ids(store, _ASKED_FOR, asked_attempts.c.payment_id, failed["payment_id"].to_list())
    if asked.is_empty():
        return failed
    on, cases = ["payment_id", "attempt"], open_cases(store, failed["customer_id"])
    has_schedule = pl.col("case_id").is_null() | pl.col("case_id").is_in(cases["case_id"].to_list())
    asked = asked.join(failed.filter(has_schedule), on=on, how="semi")
    rows = failed.join(asked, on=on, maintain_order="left")
    is_over = (pl.col("collection") != "automatic") & pl.col("case_id").is_null()
    state = pl.when(is_over).then(pl.lit("canceled")).otherwise(pl.lit("failed")).alias("state")
    change = rows.select("payment_id", state, pl.col("resumes_at").alias("next_attempt_at"))
    store.update(payments, change, at)
    facts = ("payment_id", "customer_id", "invoice_id", "attempt", pl.col("decline").alias("decline_class"))
    following = pl.when(pl.col("resumes_at").is_null()).then(pl.lit("wait")).otherwise(pl.lit("retry"))
    told = rows.select(*facts, following.alias("next"), pl.col("resumes_at").dt.date().alias("on"))
    announce_rows(store, at, "payment.failed", "payment_id", told)
    return failed.join(asked, on=on, how="anti", maintain_order="left")


# Money that came in.

OWED = select(invoices.c.invoice_id, invoices.c.state, OPEN_MINOR.label("open_minor"))


def take_in(store: Store, at: datetime, money: pl.DataFrame) -> pl.DataFrame:
    """Apply captured payments to their invoices as far as they are open, post and announce them; returns them
    with `applied_minor`. The caller holds the invoices.

    money: `payment_id`, `customer_id`, `invoice_id`, `currency`, `amount_minor`, `entity_id`, `attempt`,
    `today`.
    """
    owed = read_by_ids(store, OWED, invoices.c.invoice_id, money["invoice_id"].drop_nulls().to_list())
    open_minor = pl.when(pl.col("state") == "open").then("open_minor").otherwise(0)
    before = pl.col("amount_minor").cum_sum().over("invoice_id") - pl.col("amount_minor")
    money = money.join(
        owed.select("invoice_id", open_minor), on="invoice_id", how="left", maintain_order="left"
    ).with_columns(
        pl.min_horizontal("amount_minor", pl.max_horizontal(pl.col("open_minor") - before, 0))
        .fill_null(0)
        .alias("applied_minor")
    )
    applied = apply(store, at, money.filter(pl.col("applied_minor") > 0))
    post_events(
        store,
        at,
        pl.concat(
            [
                event_rows(money, "payment_captured", "payment", "payment_id", "amount_minor"),
                event_rows(applied, "credit_applied", "application", "application_id", "applied_minor"),
            ]
        ),
    )
    facts = ("payment_id", "customer_id", "invoice_id", "amount_minor", "currency", "attempt")
    announce_rows(store, at, "payment.captured", "payment_id", money.select(facts))
    return money


def apply(store: Store, at: datetime, money: pl.DataFrame) -> pl.DataFrame:
    """Write what payments pay of open invoices, and let those be paid of which nothing is left; returns the
    rows with `application_id`. The event is the caller's to post.

    money: `payment_id`, `invoice_id`, `open_minor` (before), `applied_minor`, `today`.
    """
    ids = pl.Series("application_id", store.new_ids("app", money.height), dtype=pl.String)
    money = money.with_columns(ids)
    store.insert(
        applications,
        money.select(
            "application_id",
            pl.lit("payment").alias("source_kind"),
            pl.col("payment_id").alias("source_id"),
            "invoice_id",
            pl.col("applied_minor").alias("amount_minor"),
            pl.col("today").alias("applied_on"),
        ),
        at,
    )
    paid = (
        money.group_by("invoice_id", maintain_order=True)
        .agg(pl.col("applied_minor").sum(), pl.col("open_minor").first(), pl.col("today").max())
        .filter(pl.col("applied_minor") == pl.col("open_minor"))
        .select("invoice_id", pl.lit("paid").alias("state"), pl.col("today").alias("paid_on"))
    )
    store.update(invoices, paid, at)
    return money


def event_rows(money: pl.DataFrame, event: str, kind: str, source: str, amount: str) -> pl.DataFrame:
    """Events of the journal, one a row, of the document that a column names."""
    return money.select(
        pl.lit(event).alias("event"),
        pl.lit(kind).alias("source_kind"),
        pl.col(source).alias("source_id"),
        "entity_id",
        "customer_id",
        "invoice_id",
        "currency",
        pl.col(amount).alias("net_minor"),
        pl.col("today").alias("posted_on"),
    )


# A success closes the case of its payment.

_FAILED_IN_CASES = (
    select(payments.c.payment_id, payments.c.customer_id)
    .where(payments.c.state == "failed")
    .order_by(payments.c.payment_id)
    .with_for_update()
)


def _recover(store: Store, at: datetime, captured: pl.DataFrame) -> tuple[int, list[str]]:
    """Close the cases of captured payments; what else failed in them is due now. One that a transfer holds is
    waited for, since it is tried or given up with its case. Returns how many cases, and payers to try
    again."""
    if captured.is_empty():
        return 0, []
    cases = open_cases(store, captured["customer_id"]).join(captured, on="case_id", how="semi")
    add_recovered(store, at, captured.join(cases, on="case_id", how="anti"))
    if cases.is_empty():
        return 0, []
    case_ids = cases["case_id"].to_list()
    failed = read_by_ids(store, _FAILED_IN_CASES, payments.c.case_id, case_ids)
    now = instant(at).alias("next_attempt_at")
    store.update(payments, failed.select("payment_id", now), at)
    close_cases(store, at, cases.with_columns(pl.lit("recovered").alias("closed_as")), captured)
    return cases.height, failed["customer_id"].unique().to_list()


def asked_payment(store: Store, payment_id: str) -> Row | None:
    """A payment as ASKED has it."""
    return store.row(ASKED.where(payments.c.payment_id == payment_id))


def answers(rows: Sequence[Row]) -> pl.DataFrame:
    """Rows as a frame for `settle`."""
    return pl.DataFrame([{name: row[name] for name in ANSWERED} for row in rows], schema=ANSWERED)
