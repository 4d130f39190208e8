"""Collects money: charges what is due, retries what failed, and ends what cannot be collected.

Payers with something due are taken in chunks. For each chunk a first transaction saves payments, their
amounts and the numbers of their attempts; then the gateway is asked, attempt by attempt, with no transaction
open; a second one writes all answers (jobs.settle). So a crash at any moment leaves attempts that are under
way: they are asked for again with the same keys, and never charged anew. Meanwhile no transfer pays an
invoice under charge, and of two calls at once one alone collects.

One failed payment opens a dunning case for its customer and currency; others that fail meanwhile join it.
Any success closes the case: what else failed in it is tried at once, and what fails again opens a new one.
When a payment's schedule is used up, or the deadline of day 21 passes without an attempt ahead, the
subscriptions billed on the unpaid invoices are canceled with reason `payment`; the invoices stay open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

import polars as pl
from sqlalchemy import String, and_, bindparam, exists, null, select, union_all

from billing.core.calendar import midnight
from billing.core.money import BillingError
from billing.gateways.gateway import Charge, Gateway, charge_key
from billing.jobs.bill_facts import read_by_ids
from billing.jobs.dunning import (
    days_of,
    end_cases,
    ending_cases,
    remind,
)
from billing.jobs.journal import check_days_open, locked_months
from billing.jobs.payments_ahead import IS_TAKEN_BACK, lower_charges
from billing.jobs.settle import (
    ANSWER,
    EXPIRED,
    NEVER_CHARGED,
    NO_METHOD,
    Settled,
    hold_invoices,
    hold_payers,
    settle,
)
from billing.jobs.turn import turn
from billing.store.claims import claim, release
from billing.store.debts import OPEN_MINOR
from billing.store.drivers import instant
from billing.store.store import Store
from billing.store.tables import (
    asked_attempts,
    customers,
    invoices,
    payment_attempts,
    payment_methods,
    payments,
)


@dataclass(frozen=True, slots=True)
class CollectSummary:
    """What one call did. `captured_minor` by currency; `canceled`: subscriptions that ended unpaid;
    `others_at_work`: another call was collecting, so this one did nothing."""

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
    others_at_work: bool = False


def collect(
    store: Store,
    gateway: Gateway,
    at: datetime,
    *,
    chunk_size: int = 5_000,
    progress: Callable[[int], None] | None = None,
) -> CollectSummary:
    """Charge open invoices that are due and collected automatically, and whatever a schedule says.

    Call it daily, or more often to keep the hours of technical retries. A second call at the same instant
    does nothing, a call at an earlier one makes no attempt before those that were made. What another
    transaction holds is left to the next call. After each chunk of payers `progress` is told how many
    invoices were looked at.

    What goes wrong with one stops no other: the first error is raised when all were asked. So is
    `period_locked`, for payers whose books of the day are closed: the gateway does not hear of them.
    """
    turn(store, at)
    if not claim(store, "collect"):
        return CollectSummary(others_at_work=True)
    run = _Run(store, gateway, at, chunk_size)
    try:
        done = 0
        for work in _work(store, at, chunk_size):
            run.collect_chunk(work)
            done += work.height
            if progress:
                progress(done)
        run.end_cases()
    finally:
        with suppress(Exception):  # The error tells more than what the database says of it afterwards.
            release(store, "collect")
    if run.errors:
        raise run.errors[0]
    return run.summary()


# What is due.

_IS_UNPAID = and_(
    invoices.c.state == "open",
    invoices.c.due_on <= bindparam("on"),
    invoices.c.collection == "automatic",
    ~exists().where(payments.c.invoice_id == invoices.c.invoice_id, payments.c.state != "captured"),
    ~IS_TAKEN_BACK,
)
"""Nobody is charged for it or was in vain, and no payment of it was taken back."""
_IS_DUE = payments.c.next_attempt_at <= bindparam("at")
_BOTH = union_all(
    select(invoices.c.customer_id, invoices.c.invoice_id, null().cast(String).label("payment_id")).where(
        _IS_UNPAID
    ),
    select(payments.c.customer_id, payments.c.invoice_id, payments.c.payment_id).where(_IS_DUE),
).subquery()
_WORK = select(_BOTH).order_by(_BOTH.c.customer_id, _BOTH.c.invoice_id, _BOTH.c.payment_id)


def _work(store: Store, at: datetime, chunk_size: int) -> Iterator[pl.DataFrame]:
    """What there is to do, in chunks of payers: `customer_id`, `invoice_id`, `payment_id` (null: none yet).
    All of a payer is in one chunk."""
    asked = {"at": at, "on": at.date() + timedelta(days=1)}
    # Work is found by what is open and due: what was paid long ago is not looked at.
    with nullcontext() if store.is_sqlite else store.transaction():
        store.join_by_index()
        found = store.spool(_WORK, asked, size=chunk_size)
    begun = pl.DataFrame()
    for rows in chain(found, [pl.DataFrame()]):
        begun = pl.concat(part for part in (begun, rows) if part.height) if rows.height else begun
        payer = pl.col("customer_id").rle_id() // chunk_size
        while begun.height and (rows.is_empty() or begun.select(payer.max()).item() > 0):
            first = begun.filter(payer == 0)
            yield first
            begun = begun[first.height :]


_OF_PAYERS = select(payments.c.customer_id, payments.c.invoice_id, payments.c.payment_id).where(_IS_DUE)


class _Run:
    """One call: its chunks, and what they add up to."""

    def __init__(self, store: Store, gateway: Gateway, at: datetime, chunk_size: int) -> None:
        self.store, self.gateway, self.at, self.chunk_size = store, gateway, at, chunk_size
        self.counts: Counter[str] = Counter()
        self.captured_minor: Counter[str] = Counter()
        self.exhausted: list[str] = []
        self.errors: list[Exception] = []

    def collect_chunk(self, work: pl.DataFrame) -> None:
        """Charge what is due of some payers; then what became due by the success of another payment."""
        while work.height:
            asked = self.store.perform(partial(_begin, self, work))
            answered = self._ask(asked)
            settled = self.store.perform(partial(settle, self.store, self.at, answered))
            self._count(settled)
            if not settled.again:
                return
            again = read_by_ids(
                self.store, _OF_PAYERS, payments.c.customer_id, settled.again, {"at": self.at}
            )
            work = again.sort("customer_id", "payment_id")

    def _ask(self, asked: pl.DataFrame) -> pl.DataFrame:
        """The gateway's answers, row by row; one that breaks leaves its attempt under way."""
        answers: list[tuple[Any, ...]] = []
        for row in asked.select(_QUESTION).iter_rows():
            try:
                answers.append((row[0], *_answer(self.gateway, *row)))
            except Exception as error:
                self.errors.append(error)
        answered = pl.DataFrame(answers, schema=ANSWER, orient="row")
        return asked.join(answered, on="payment_id", maintain_order="left")

    def _count(self, settled: Settled) -> None:
        self.counts.update(settled.counts)
        self.captured_minor.update(settled.captured_minor)
        self.exhausted += settled.exhausted

    def end_cases(self) -> None:
        """What has no attempt ahead ends; who has to act is reminded."""
        ids = ending_cases(self.store, self.at, self.exhausted)
        for first in range(0, len(ids), self.chunk_size):
            some = ids[first : first + self.chunk_size]
            exhausted, canceled = self.store.perform(
                partial(end_cases, self.store, self.at, some, self.exhausted)
            )
            self.counts.update(cases_exhausted=exhausted, canceled=canceled)
        self.store.perform(partial(remind, self.store, self.at))

    def summary(self) -> CollectSummary:
        counts: dict[str, Any] = {name: self.counts[name] for name in _COUNTS}
        return CollectSummary(**counts, captured_minor=dict(sorted(self.captured_minor.items())))


_COUNTS = (
    "created",
    "attempts",
    "captured",
    "declined",
    "unknown",
    "cases_opened",
    "cases_recovered",
    "cases_exhausted",
    "canceled",
)


# Before the gateway is asked.

_PAYERS = select(customers.c.customer_id, customers.c.time_zone)
_PAYERS_FREE = _PAYERS.with_for_update(read=True, key_share=True, skip_locked=True)
_INVOICES = select(
    invoices.c.invoice_id,
    invoices.c.customer_id,
    invoices.c.entity_id,
    invoices.c.currency,
    invoices.c.due_on,
    invoices.c.state.label("invoice_state"),
    invoices.c.method_id.label("own_method_id"),
    invoices.c.collection,
    OPEN_MINOR.label("open_minor"),
    IS_TAKEN_BACK.label("is_taken_back"),
)
_INVOICES_FREE = select(invoices.c.invoice_id).with_for_update(key_share=True, skip_locked=True)
_CHARGED = (
    select(
        payments.c.payment_id,
        payments.c.invoice_id,
        payments.c.amount_minor,
        payments.c.state,
        payments.c.attempt,
        payments.c.method_id,
        payments.c.failures,
        payments.c.first_failed_on,
        payments.c.case_id,
        payments.c.next_attempt_at,
        payment_attempts.c.tries,
        payment_attempts.c.decline_class.label("last_decline"),
        payment_attempts.c.attempted_at,
    )
    .outerjoin(
        payment_attempts,
        and_(
            payment_attempts.c.payment_id == payments.c.payment_id,
            payment_attempts.c.attempt == payments.c.attempt,
        ),
    )
    .where(payments.c.state != "captured")
)
_CHARGED_FREE = (
    select(payments.c.payment_id)
    .where(payments.c.state.in_(["pending", "failed"]))
    .with_for_update(skip_locked=True)
)
_METHODS = select(
    payment_methods.c.customer_id,
    payment_methods.c.method_id,
    payment_methods.c.gateway_ref.label("method_ref"),
    payment_methods.c.expires_on,
    payment_methods.c.is_default,
    payment_methods.c.valid_to,
)


def _begin(run: _Run, work: pl.DataFrame) -> pl.DataFrame:
    """Save the attempts that are made now; returns them with what the gateway is asked and `settle` wants to
    know."""
    store, at = run.store, run.at
    store.join_by_index()
    facts = _facts(run, work)
    is_owed = (pl.col("invoice_state") == "open") & (pl.col("open_minor") > 0) & ~pl.col("is_taken_back")
    is_under_way = (pl.col("state") == "pending") & (pl.col("attempt") > 0)
    facts = _with_methods(store, facts).with_columns(
        is_owed.alias("is_owed"),
        (is_under_way & pl.col("method_id").is_not_null()).fill_null(False).alias("is_under_way"),
    )
    _pay_what_owes_nothing(store, at, facts)
    is_new = pl.col("payment_id").is_null()
    rest = facts.filter(~pl.col("is_under_way"))
    _stop(store, at, rest.filter(~is_new & ~pl.col("is_owed")))
    new = _create(store, at, rest.filter(is_new & pl.col("is_owed")))
    again = _repeat(store, at, rest.filter(~is_new & pl.col("is_owed")))
    run.counts["created"] += new.height
    return pl.concat([new, again, facts.filter("is_under_way")]).sort("payment_id")


def _facts(run: _Run, work: pl.DataFrame) -> pl.DataFrame:
    """What is due and nobody else holds: a row an invoice, with its payment if it has one. Payers are held
    before invoices, those before payments, and nobody is waited for (PostgreSQL; SQLite has one writer)."""
    store, at = run.store, run.at
    payers = read_by_ids(
        store,
        _PAYERS if store.is_sqlite else _PAYERS_FREE,
        customers.c.customer_id,
        work["customer_id"].unique().to_list(),
    )
    payers = payers.join(days_of(at, payers["time_zone"]), on="time_zone", maintain_order="left")
    ids = work.join(payers, on="customer_id", how="semi")["invoice_id"].unique().to_list()
    if not store.is_sqlite:
        ids = read_by_ids(store, _INVOICES_FREE, invoices.c.invoice_id, ids)["invoice_id"].to_list()
        free = read_by_ids(store, _CHARGED_FREE, payments.c.invoice_id, ids)
    papers = read_by_ids(store, _INVOICES, invoices.c.invoice_id, ids).join(payers, on="customer_id")
    papers = _with_open_books(run, papers)
    charged = read_by_ids(store, _CHARGED, payments.c.invoice_id, ids)
    due = charged.filter(
        pl.col("state").is_in(["pending", "failed"]),
        pl.col("next_attempt_at") <= at,
        pl.col("attempted_at").is_null() | (pl.col("attempted_at") <= at),
    )
    if not store.is_sqlite:
        due = due.join(free, on="payment_id", how="semi")
    unpaid = papers.filter(
        pl.col("invoice_state") == "open",
        pl.col("due_on") <= pl.col("today"),
        pl.col("collection") == "automatic",
        ~pl.col("is_taken_back"),
    ).join(charged, on="invoice_id", how="anti", maintain_order="left")
    due = papers.join(due.drop("next_attempt_at", "attempted_at"), on="invoice_id", maintain_order="left")
    return pl.concat([due, unpaid], how="diagonal").drop("due_on", "collection")


def _with_open_books(run: _Run, papers: pl.DataFrame) -> pl.DataFrame:
    """The invoices whose seller may post today."""
    locked = locked_months(run.store)
    if locked.is_empty():
        return papers
    of_month = papers.with_columns(pl.col("today").dt.month_start().alias("month"))
    closed = of_month.join(locked, on=["entity_id", "month"], how="semi")
    if closed.height:
        run.errors.append(BillingError("period_locked", f"{closed.item(0, 'month'):%Y-%m}"))
    return papers.join(closed, on="invoice_id", how="anti", maintain_order="left")


def _with_methods(store: Store, facts: pl.DataFrame) -> pl.DataFrame:
    """With `method_id`, `method_ref` and `is_expired`: of an attempt under way what was asked, else the
    invoice's own method unless it has ended or was declined for good, else the payer's newest default."""
    methods = read_by_ids(
        store, _METHODS, payment_methods.c.customer_id, facts["customer_id"].unique().to_list()
    )
    days = facts.select("customer_id", "today").unique()
    valid = methods.join(days, on="customer_id").filter(
        pl.col("valid_to").is_null() | (pl.col("valid_to") > pl.col("today"))
    )
    default = (
        valid.filter("is_default").group_by("customer_id").agg(pl.col("method_id").max().alias("_default"))
    )
    own = valid.select(pl.col("method_id").alias("own_method_id"), pl.lit(True).alias("_is_valid"))
    was_refused = (pl.col("last_decline") == "hard") & (pl.col("method_id") == pl.col("own_method_id"))
    chosen = (
        pl.when((pl.col("state") == "pending") & (pl.col("attempt") > 0) & pl.col("method_id").is_not_null())
        .then("method_id")
        .when(pl.col("_is_valid") & ~was_refused.fill_null(False))
        .then("own_method_id")
        .otherwise("_default")
    )
    return (
        facts.join(default, on="customer_id", how="left", maintain_order="left")
        .join(own, on="own_method_id", how="left", maintain_order="left")
        .with_columns(chosen.alias("method_id"))
        .join(
            methods.select("method_id", "method_ref", "expires_on"),
            on="method_id",
            how="left",
            maintain_order="left",
        )
        .with_columns((pl.col("expires_on") < pl.col("today")).fill_null(False).alias("is_expired"))
        .drop("_default", "_is_valid", "own_method_id", "last_decline", "expires_on")
    )


def _pay_what_owes_nothing(store: Store, at: datetime, facts: pl.DataFrame) -> None:
    """An open invoice with nothing left to pay is paid."""
    paid = facts.filter((pl.col("invoice_state") == "open") & (pl.col("open_minor") <= 0))
    change = paid.select("invoice_id", pl.lit("paid").alias("state"), pl.col("today").alias("paid_on"))
    store.update(invoices, change.unique("invoice_id"), at)


_CLOSED_AS = {"uncollectible": "written_off", "void": "credited"}


def _stop(store: Store, at: datetime, unneeded: pl.DataFrame) -> None:
    """Give payments up whose invoices need no money, or may not ask for it."""
    nothing = unneeded.select("invoice_id", pl.lit(0, dtype=pl.Int64).alias("left_minor")).unique()
    is_disputed = (pl.col("invoice_state") == "open") & (pl.col("open_minor") > 0)
    end = pl.col("invoice_state").replace_strict(_CLOSED_AS, default="recovered", return_dtype=pl.String)
    closed = unneeded.with_columns(
        pl.when(is_disputed).then(pl.lit("disputed")).otherwise(end).alias("closed_as")
    )
    for (closed_as,), charges in closed.partition_by("closed_as", as_dict=True).items():
        lower_charges(store, at, charges, nothing, closed_as=str(closed_as))


def _create(store: Store, at: datetime, owed: pl.DataFrame) -> pl.DataFrame:
    """A payment for each invoice that has none, its first attempt under way."""
    ids = pl.Series("payment_id", store.new_ids("pay", owed.height), dtype=pl.String)
    new = owed.sort("invoice_id").with_columns(
        ids,
        pl.col("open_minor").alias("amount_minor"),
        pl.lit("pending").alias("state"),
        pl.lit(1, dtype=pl.Int64).alias("attempt"),
        pl.lit(0, dtype=pl.Int64).alias("failures"),
    )
    names = ("payment_id", "customer_id", "invoice_id", "currency", "amount_minor", "state", "attempt")
    rows = new.select(
        *names,
        "method_id",
        instant(at).alias("next_attempt_at"),
        pl.col("today").alias("created_on"),
    )
    store.insert(payments, rows, at)
    return new


def _repeat(store: Store, at: datetime, owed: pl.DataFrame) -> pl.DataFrame:
    """The next attempt of payments that failed, or that no gateway heard of yet, over what is open now."""
    number = pl.max_horizontal(pl.col("attempt") + (pl.col("state") == "failed"), 1)
    again = owed.with_columns(
        number.cast(pl.Int64).alias("attempt"),
        pl.lit("pending").alias("state"),
        pl.col("open_minor").alias("amount_minor"),
        pl.lit(None, dtype=pl.Int64).alias("tries"),
    )
    store.update(payments, again.select("payment_id", "state", "attempt", "method_id", "amount_minor"), at)
    return again


_QUESTION = (
    "payment_id",
    "attempt",
    "customer_id",
    "method_ref",
    "amount_minor",
    "currency",
    "today",
    "is_expired",
    "is_owed",
    "is_under_way",
)


def _answer(
    gateway: Gateway,
    payment_id: str,
    attempt: int,
    customer_id: str,
    method_ref: str | None,
    amount_minor: int,
    currency: str,
    today: date,
    is_expired: bool,
    is_owed: bool,
    is_under_way: bool,
) -> tuple[str, str | None, str | None, int]:
    """What became of an attempt. Where no charge may be made any more, what was made before is asked for."""
    key = charge_key(payment_id, attempt)
    if method_ref is not None and is_owed and not is_expired:
        return gateway.charge(Charge(key, customer_id, method_ref, amount_minor, currency, attempt, today))
    found = gateway.find(key) if is_under_way else None
    if found is not None and (is_owed or found.outcome != "declined"):
        return found
    if not is_owed:
        return (NEVER_CHARGED, None, None, 0)
    return ("declined", NO_METHOD if method_ref is None else EXPIRED, None, 0)


# One invoice, when its payer says so.


def ask_payment(store: Store, at: datetime, invoice_id: str, method_id: str | None = None) -> str:
    """Save an attempt to charge an open invoice now, in the caller's transaction; returns the payment's id.
    `charge_now` then asks the gateway, and so does `collect` where that does not come about.

    `method_id`: one of the payer's; without it, it is chosen as by `collect`. Where a charge is under way its
    payment is returned. Raises `unknown_invoice`, `illegal_transition` for an invoice that asks for nothing
    or of which the bank took a payment back, `unknown_method`, `no_payment_method`, `period_locked`.
    """
    found = store.row(_PAYER_OF, {"id": invoice_id})
    if found is None:
        raise BillingError("unknown_invoice", invoice_id)
    hold_payers(store, pl.Series([found["customer_id"]]))
    hold_invoices(store, pl.Series([invoice_id]))
    days = days_of(at, pl.Series([found["time_zone"]]))
    charged = store.frame(_CHARGED.where(payments.c.invoice_id == invoice_id, IS_AHEAD))
    facts = (
        store.frame(_INVOICES.where(invoices.c.invoice_id == invoice_id))
        .join(days.rename({"time_zone": "_zone"}), how="cross")
        .drop("_zone")
        .join(charged, on="invoice_id", how="left")
    )
    (paper,) = facts.rows(named=True)
    if paper["invoice_state"] != "open" or paper["open_minor"] <= 0 or paper["is_taken_back"]:
        raise BillingError(
            "illegal_transition", f"{invoice_id} is {paper['invoice_state']}, or not to pay so"
        )
    if paper["state"] == "pending" and paper["attempt"] > 0:
        return str(paper["payment_id"])
    check_days_open(store, [(paper["entity_id"], paper["today"])])
    chosen = _chosen_method(store, facts, method_id)
    owed = facts.with_columns(pl.lit(chosen).alias("method_id"))
    if paper["payment_id"] is None:
        (payment_id,) = _create(store, at, owed)["payment_id"]
        is_early = paper["due_on"] > paper["today"]
        resumes_at = midnight(paper["due_on"], found["time_zone"]) if is_early else None
        is_asked, attempt = is_early or paper["collection"] != "automatic", 1
    else:
        again = _repeat(store, at, owed)
        payment_id, attempt = again.select("payment_id", "attempt").row(0)
        resumes_at, is_asked = paper["next_attempt_at"], True
        store.update(payments, [{"payment_id": payment_id, "next_attempt_at": at}], at)
    if is_asked:
        asked = {"payment_id": payment_id, "attempt": attempt, "resumes_at": resumes_at}
        store.insert(asked_attempts, [asked], at)
    return str(payment_id)


IS_AHEAD = payments.c.state.in_(["pending", "failed"])
_PAYER_OF = (
    select(invoices.c.customer_id, customers.c.time_zone)
    .join(customers, customers.c.customer_id == invoices.c.customer_id)
    .where(invoices.c.invoice_id == bindparam("id"), invoices.c.number.is_not(None))
)


def _chosen_method(store: Store, facts: pl.DataFrame, method_id: str | None) -> str:
    """The method named, or else the one that `collect` would charge."""
    if method_id is not None:
        facts = facts.with_columns(
            pl.lit(method_id).alias("own_method_id"), pl.lit(None, dtype=pl.String).alias("last_decline")
        )
    row = _with_methods(store, facts).row(0, named=True)
    if method_id is not None and row["method_id"] != method_id:
        raise BillingError("unknown_method", method_id)
    if row["method_id"] is None or row["is_expired"]:
        raise BillingError("no_payment_method", row["customer_id"])
    return str(row["method_id"])


_OF_PAYMENT = select(payments.c.customer_id, payments.c.invoice_id, payments.c.payment_id)


def charge_now(store: Store, gateway: Gateway, at: datetime, payment_id: str) -> CollectSummary:
    """Charge a payment that is due, beside whoever else collects: what another call holds it leaves to that
    one. Raises what the gateway raised; the attempt is then asked for again by the next `collect`."""
    work = store.frame(_OF_PAYMENT.where(payments.c.payment_id == payment_id))
    run = _Run(store, gateway, at, 1)
    run.collect_chunk(work)
    if run.exhausted:
        ids = sorted(set(run.exhausted))
        exhausted, canceled = store.perform(partial(end_cases, store, at, ids, ids))
        run.counts.update(cases_exhausted=exhausted, canceled=canceled)
    if run.errors:
        raise run.errors[0]
    return run.summary()
