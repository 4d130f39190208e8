"""The dunning cases of failed payments: opened, lengthened, closed, and what their end does.

One case is open per customer and currency. Its steps are the attempts ahead of its payments and the messages
that ask the customer to act. When to try again is decided by core.dunning; here many payments and cases are
written at once, whatever their number in a few statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl
from sqlalchemy import and_, bindparam, exists, func, or_, select

from billing.core.calendar import local_date, midnight
from billing.core.dunning import ACTION_MESSAGE_DAYS, CARD_RETRY_GAPS_DAYS, after_failure
from billing.jobs.bill_facts import read_by_ids
from billing.store.drivers import instant
from billing.store.messages import announce_rows, mark_all_to_bill
from billing.store.store import Row, Store
from billing.store.subscriptions import IS_DUNNED
from billing.store.tables import (
    customers,
    dunning_cases,
    dunning_steps,
    items,
    line_items,
    payments,
    subscriptions,
)

TRACK = "card"

_OPEN = (
    select(
        dunning_cases.c.case_id,
        dunning_cases.c.customer_id,
        dunning_cases.c.currency,
        dunning_cases.c.opened_on,
        dunning_cases.c.deadline_on,
        customers.c.time_zone,
        select(func.coalesce(func.max(dunning_steps.c.step), 0))
        .where(dunning_steps.c.case_id == dunning_cases.c.case_id)
        .scalar_subquery()
        .label("steps"),
    )
    .join(customers, customers.c.customer_id == dunning_cases.c.customer_id)
    .where(dunning_cases.c.closed_on.is_(None), dunning_cases.c.track == TRACK)
)


def open_cases(store: Store, customer_ids: Iterable[str]) -> pl.DataFrame:
    """The open cases of some customers: `case_id`, `customer_id`, `currency`, `opened_on`, `deadline_on`,
    `time_zone`, `steps` (the last number)."""
    ids = sorted(set(customer_ids))
    return read_by_ids(store, _OPEN, dunning_cases.c.customer_id, ids).sort("case_id")


def days_of(at: datetime, zones: pl.Series) -> pl.DataFrame:
    """What day it is in some zones: `time_zone`, `today`."""
    known = zones.unique().to_list()
    days = {"time_zone": known, "today": [local_date(at, zone) for zone in known]}
    return pl.DataFrame(days, schema={"time_zone": pl.String, "today": pl.Date})


# Payments that fail.


class Noted(NamedTuple):
    """What failed payments lead to. `changes`: their columns to write. `exhausted`: cases whose schedule is
    used up. `opened`: how many new cases."""

    changes: pl.DataFrame
    exhausted: list[str]
    opened: int


def note_failures(store: Store, at: datetime, failed: pl.DataFrame) -> Noted:
    """Put failed payments into their customers' cases, new ones where none is open, and decide what follows.

    failed: `payment_id`, `customer_id`, `invoice_id`, `currency`, `time_zone`, `today`, `attempt`, `decline`
    (its class), and as they were `failures`, `first_failed_on`, `case_id`.
    """
    cases = open_cases(store, failed["customer_id"])
    opened = _open_new(store, at, failed, cases)
    known = pl.concat([cases, opened]).select("customer_id", "currency", "steps", of_case="case_id")
    is_known = pl.col("case_id").eq_missing(pl.col("of_case"))
    noted = (
        failed.select(_FAILED_PAYMENT)
        .join(known, on=["customer_id", "currency"], how="left", maintain_order="left")
        .with_columns(
            pl.when(is_known).then("failures").otherwise(0).alias("failures") + 1,
            pl.when(is_known).then("first_failed_on").otherwise("today").alias("first_failed_on"),
            pl.col("of_case").alias("case_id"),
        )
        .pipe(_followed)
    )
    _finish_steps(store, at, noted.select("case_id", "payment_id"), "declined")
    _add_steps(store, at, noted)
    announce_rows(store, at, "payment.failed", "payment_id", noted.select(_FAILED_MESSAGE))
    return Noted(
        noted.select(
            "payment_id",
            pl.lit("failed").alias("state"),
            "failures",
            "first_failed_on",
            "case_id",
            "next_attempt_at",
        ),
        noted.filter(pl.col("next") == "exhausted")["case_id"].unique().to_list(),
        opened.height,
    )


_FAILED_PAYMENT = (
    "payment_id",
    "customer_id",
    "invoice_id",
    "currency",
    "time_zone",
    "today",
    "attempt",
    "decline",
    "failures",
    "first_failed_on",
    "case_id",
)
_FAILED_MESSAGE = (
    "payment_id",
    "customer_id",
    "invoice_id",
    "attempt",
    pl.col("decline").alias("decline_class"),
    "next",
    "on",
)


def _open_new(store: Store, at: datetime, failed: pl.DataFrame, cases: pl.DataFrame) -> pl.DataFrame:
    """A case for each customer and currency that has none; its subscriptions are past due."""
    by = ["customer_id", "currency"]
    lacking = failed.unique(by, keep="first", maintain_order=True).join(
        cases.select(by), on=by, how="anti", maintain_order="left"
    )
    new = lacking.select(
        pl.Series("case_id", store.new_ids("dun", lacking.height), dtype=pl.String),
        *by,
        pl.col("today").alias("opened_on"),
        pl.col("today").dt.offset_by(f"{sum(CARD_RETRY_GAPS_DAYS)}d").alias("deadline_on"),
        "time_zone",
        pl.lit(0, dtype=pl.Int64).alias("steps"),
    )
    if new.height:
        rows = new.drop("time_zone", "steps").with_columns(pl.lit(TRACK).alias("track"))
        store.insert(dunning_cases, rows, at)
        _turn(store, at, new["customer_id"], _MAY_BE_PAST_DUE, pl.lit("past_due"))
        facts = new.select("case_id", *by, pl.col("opened_on").alias("on"))
        announce_rows(store, at, "dunning.opened", "case_id", facts)
    return new


_FAILURE = ("decline", "failures", "first_failed_on", "today", "time_zone")


def _followed(noted: pl.DataFrame) -> pl.DataFrame:
    """With `next`, `on` and `next_attempt_at`: what follows each failure, worked out once for like ones."""
    rows: list[Row] = []
    for facts in noted.select(_FAILURE).unique().iter_rows(named=True):
        following = after_failure(
            facts["decline"], facts["failures"], facts["first_failed_on"], facts["today"]
        )
        is_retry = following.action == "retry" and following.on is not None
        again = midnight(following.on, facts["time_zone"]) if is_retry and following.on else None
        rows.append(facts | {"next": following.action, "on": following.on, "next_attempt_at": again})
    schema = {name: noted.schema[name] for name in _FAILURE}
    table = pl.DataFrame(rows, schema=schema | _FOLLOWING)
    return noted.join(table, on=_FAILURE, how="left", maintain_order="left")


_FOLLOWING: dict[str, Any] = {
    "next": pl.String,
    "on": pl.Date,
    "next_attempt_at": pl.Datetime("us", "UTC"),
}


# Steps.

_AHEAD = select(
    dunning_steps.c.case_id, dunning_steps.c.step, dunning_steps.c.kind, dunning_steps.c.payment_id
).where(dunning_steps.c.done_at.is_(None))


def _add_steps(store: Store, at: datetime, noted: pl.DataFrame) -> None:
    """The attempts ahead, and the messages of customers who have to act, numbered on within their cases."""
    placed = noted.with_row_index("_row")
    retries = placed.filter(pl.col("next") == "retry").with_columns(pl.lit("attempt").alias("kind"))
    is_first_act = (pl.col("decline") == "customer_action") & (pl.col("failures") == 1)
    messages = [
        placed.filter(is_first_act).with_columns(
            pl.lit("message").alias("kind"), pl.col("today").dt.offset_by(f"{wait}d").alias("on")
        )
        for wait in ACTION_MESSAGE_DAYS
    ]
    steps = pl.concat([retries, *messages]).sort("_row", "on", maintain_order=True)
    place = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("case_id")
    rows = steps.select(
        "case_id", (pl.col("steps") + place).alias("step"), "kind", "payment_id", pl.col("on").alias("due_on")
    )
    store.insert(dunning_steps, rows, at)


def _finish_steps(store: Store, at: datetime, done: pl.DataFrame, outcome: str) -> None:
    """The attempts that lay ahead of some payments (`case_id`, `payment_id`) are made."""
    ahead = read_by_ids(store, _AHEAD, dunning_steps.c.case_id, done["case_id"].unique().to_list())
    rows = ahead.filter(pl.col("kind") == "attempt").join(done, on=["case_id", "payment_id"])
    _write_steps(store, at, rows, pl.lit(outcome))


def _write_steps(store: Store, at: datetime, rows: pl.DataFrame, outcome: pl.Expr) -> None:
    stamp = instant(at)
    change = rows.select("case_id", "step", stamp.alias("done_at"), outcome.alias("outcome"))
    store.update(dunning_steps, change, at)


# Subscriptions of payers.

_OF_PAYERS = select(
    subscriptions.c.subscription_id, subscriptions.c.bill_to, subscriptions.c.trial_ends_on
).with_for_update()
_MAY_BE_PAST_DUE = _OF_PAYERS.where(subscriptions.c.status.in_(["active", "trialing"]))
_IS_PAST_DUE = _OF_PAYERS.where(
    subscriptions.c.status == "past_due",
    ~exists().where(dunning_cases.c.customer_id == subscriptions.c.bill_to, IS_DUNNED),
)


def _turn(
    store: Store, at: datetime, customer_ids: pl.Series, asked: Any, status: pl.Expr, days: Any = None
) -> None:
    """Give subscriptions of payers another status; held while they are read, so that none that just ended
    begins anew. days: `bill_to` with what the status is worked out from."""
    found = read_by_ids(store, asked, subscriptions.c.bill_to, customer_ids.unique().to_list())
    found = found.sort("subscription_id")
    if days is not None:
        found = found.join(days, on="bill_to", how="left", maintain_order="left")
    store.update(subscriptions, found.select("subscription_id", status.alias("status")), at)


# The end of a case.


_RECOVERED: dict[str, Any] = {
    "case_id": pl.String,
    "payment_id": pl.String,
    "attempt": pl.Int64,
    "amount_minor": pl.Int64,
}


def close_cases(
    store: Store, at: datetime, cases: pl.DataFrame, recovered: pl.DataFrame | None = None
) -> None:
    """Close cases. cases: `case_id`, `customer_id`, `opened_on`, `time_zone`, `closed_as`. recovered: the
    payments whose success did it (`case_id`, `payment_id`, `attempt`, `amount_minor`, the first first).

    Steps still ahead are done for recovered payments, skipped for the others.
    """
    if cases.is_empty():
        return
    money = pl.DataFrame(schema=_RECOVERED) if recovered is None else recovered.select(*_RECOVERED)
    of_case = money.group_by("case_id").agg(
        pl.col("attempt").first().alias("recovered_attempt"),
        pl.col("amount_minor").sum().alias("recovered_minor"),
    )
    closed = (
        cases.join(days_of(at, cases["time_zone"]), on="time_zone", maintain_order="left")
        .join(of_case, on="case_id", how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col("recovered_attempt").is_not_null())
            .then(pl.max_horizontal((pl.col("today") - pl.col("opened_on")).dt.total_days(), 0))
            .alias("recovered_days")
        )
    )
    changes = ("closed_as", "recovered_attempt", "recovered_days", "recovered_minor")
    store.update(dunning_cases, closed.select("case_id", pl.col("today").alias("closed_on"), *changes), at)
    ahead = read_by_ids(store, _AHEAD, dunning_steps.c.case_id, closed["case_id"].to_list())
    done = money.select("case_id", "payment_id", pl.lit("attempt").alias("kind"), is_done=pl.lit(True))
    steps = ahead.join(done.unique(), on=["case_id", "payment_id", "kind"], how="left")
    outcome = pl.when("is_done").then(pl.lit("captured")).otherwise(pl.lit("skipped"))
    _write_steps(store, at, steps, outcome)
    days = closed.select(pl.col("customer_id").alias("bill_to"), "today").unique("bill_to")
    back = pl.when(pl.col("trial_ends_on") > pl.col("today")).then(pl.lit("trialing"))
    _turn(store, at, closed["customer_id"], _IS_PAST_DUE, back.otherwise(pl.lit("active")), days)
    facts = closed.select("case_id", "customer_id", "closed_as", pl.col("today").alias("on"))
    announce_rows(store, at, "dunning.closed", "case_id", facts)


_RECOVERED_CASES = select(dunning_cases.c.case_id, dunning_cases.c.recovered_minor).where(
    dunning_cases.c.closed_as == "recovered"
)
_SKIPPED = select(dunning_steps.c.case_id, dunning_steps.c.step, dunning_steps.c.payment_id).where(
    dunning_steps.c.outcome == "skipped", dunning_steps.c.kind == "attempt"
)


def add_recovered(store: Store, at: datetime, recovered: pl.DataFrame) -> None:
    """Count to cases that have recovered what came in after that of their payments (`case_id`, `payment_id`,
    `amount_minor`)."""
    cases = read_by_ids(
        store, _RECOVERED_CASES, dunning_cases.c.case_id, recovered["case_id"].unique().to_list()
    )
    more = recovered.group_by("case_id").agg(pl.col("amount_minor").sum())
    total = (pl.col("recovered_minor") + pl.col("amount_minor")).alias("recovered_minor")
    store.update(dunning_cases, cases.join(more, on="case_id").select("case_id", total), at)
    steps = read_by_ids(store, _SKIPPED, dunning_steps.c.case_id, cases["case_id"].to_list())
    steps = steps.join(recovered, on=["case_id", "payment_id"], how="semi")
    _write_steps(store, at, steps, pl.lit("captured"))


_HAS_ATTEMPT_AHEAD = exists().where(
    payments.c.customer_id == dunning_cases.c.customer_id,
    payments.c.case_id == dunning_cases.c.case_id,
    payments.c.next_attempt_at.is_not(None),
)
_OF_PAYER = subscriptions.c.bill_to == dunning_cases.c.customer_id
_HAS_SUBSCRIPTION = exists().where(_OF_PAYER)
_HAS_LIVE_SUBSCRIPTION = exists().where(_OF_PAYER, subscriptions.c.status != "canceled")
_LAST_REASON = (
    select(subscriptions.c.cancel_reason)
    .where(_OF_PAYER)
    .order_by(subscriptions.c.ends_on.desc(), subscriptions.c.subscription_id.desc())
    .limit(1)
    .scalar_subquery()
)
_CASE = (
    select(
        dunning_cases.c.case_id,
        dunning_cases.c.customer_id,
        dunning_cases.c.opened_on,
        dunning_cases.c.deadline_on,
        customers.c.time_zone,
        and_(_HAS_SUBSCRIPTION, ~_HAS_LIVE_SUBSCRIPTION).label("has_left"),
        _LAST_REASON.label("last_reason"),
    )
    .join(customers, customers.c.customer_id == dunning_cases.c.customer_id)
    .where(dunning_cases.c.closed_on.is_(None), dunning_cases.c.track == TRACK)
)
_MAY_END = select(dunning_cases.c.case_id).where(
    dunning_cases.c.closed_on.is_(None),
    dunning_cases.c.track == TRACK,
    or_(
        and_(dunning_cases.c.deadline_on <= bindparam("on"), ~_HAS_ATTEMPT_AHEAD),
        and_(_HAS_SUBSCRIPTION, ~_HAS_LIVE_SUBSCRIPTION),
    ),
)


def ending_cases(store: Store, at: datetime, exhausted: Sequence[str]) -> list[str]:
    """The ids of cases that may end: named ones (a schedule is used up), those past their deadline without an
    attempt ahead, and those of customers who have left."""
    found = store.frame(_MAY_END, {"on": at.date() + timedelta(days=1)})["case_id"].to_list()
    return sorted({*found, *exhausted})


def end_cases(
    store: Store, at: datetime, case_ids: Sequence[str], exhausted: Sequence[str]
) -> tuple[int, int]:
    """End some of `ending_cases`, if they still are. Returns how many were exhausted, and how many
    subscriptions that canceled."""
    cases = read_by_ids(store, _CASE, dunning_cases.c.case_id, case_ids).sort("case_id")
    cases = cases.join(days_of(at, cases["time_zone"]), on="time_zone", maintain_order="left")
    is_over = (pl.col("deadline_on") <= pl.col("today")) | pl.col("case_id").is_in(exhausted)
    left_freely = pl.col("has_left") & pl.col("last_reason").ne_missing("payment")
    ended = cases.filter(pl.col("has_left") | is_over).with_columns(
        pl.when(left_freely)
        .then(pl.lit("canceled_by_customer"))
        .otherwise(pl.lit("canceled_for_payment"))
        .alias("closed_as")
    )
    if ended.is_empty():
        return 0, 0
    spent = ended.filter(~pl.col("has_left"))
    canceled = _cancel_subscriptions(store, at, spent) if spent.height else 0
    failed = read_by_ids(store, _FAILED, payments.c.case_id, ended["case_id"].to_list()).sort("payment_id")
    stop_payments(store, at, failed["payment_id"])
    close_cases(store, at, ended.drop("today"))
    return spent.height, canceled


def stop_payments(store: Store, at: datetime, payment_ids: pl.Series) -> None:
    """No further attempts."""
    change = pl.DataFrame({"payment_id": payment_ids}).with_columns(
        pl.lit("canceled").alias("state"),
        pl.lit(None, dtype=pl.Datetime("us", "UTC")).alias("next_attempt_at"),
    )
    store.update(payments, change, at)


_FAILED = select(payments.c.payment_id).where(payments.c.state == "failed").with_for_update()
_BILLED_UNPAID = (
    select(payments.c.case_id, items.c.subscription_id)
    .join(line_items, line_items.c.invoice_id == payments.c.invoice_id)
    .join(items, items.c.item_id == line_items.c.item_id)
    .where(payments.c.state == "failed")
    .distinct()
)
_RUNNING = (
    select(subscriptions.c.subscription_id, subscriptions.c.sold_to, subscriptions.c.bill_to)
    .where(subscriptions.c.status != "canceled")
    .with_for_update()
)


def _cancel_subscriptions(store: Store, at: datetime, spent: pl.DataFrame) -> int:
    """End today the subscriptions billed on the unpaid invoices; all of the payer's when none is named."""
    billed = read_by_ids(store, _BILLED_UNPAID, payments.c.case_id, spent["case_id"].to_list())
    payers = spent["customer_id"].unique().to_list()
    running = read_by_ids(store, _RUNNING, subscriptions.c.bill_to, payers)
    of_case = running.join(spent, left_on="bill_to", right_on="customer_id")
    named = of_case.join(billed, on=["case_id", "subscription_id"], how="semi")
    unnamed = of_case.join(named, on="case_id", how="anti")
    found = pl.concat([named, unnamed]).unique("subscription_id").sort("subscription_id")
    change = found.select(
        "subscription_id",
        pl.col("today").alias("ends_on"),
        pl.col("today").alias("cancel_requested_on"),
        pl.lit("payment").alias("cancel_reason"),
        pl.lit(True).alias("was_in_dunning"),
        pl.lit("canceled").alias("status"),
        pl.lit(None, dtype=pl.Date).alias("turns_on"),
    )
    store.update(subscriptions, change, at)
    mark_all_to_bill(store, at, found.select("sold_to", "today").rows())
    facts = found.select(
        "subscription_id",
        pl.col("sold_to").alias("customer_id"),
        pl.col("today").alias("ends_on"),
        pl.lit("payment").alias("reason"),
        pl.lit("canceled").alias("status"),
    )
    announce_rows(store, at, "subscription.canceled", "subscription_id", facts)
    return found.height


# Messages that ask to act.

_MESSAGES_DUE = (
    select(
        dunning_steps.c.case_id,
        dunning_steps.c.step,
        dunning_steps.c.payment_id,
        dunning_steps.c.due_on,
        dunning_cases.c.customer_id,
        customers.c.time_zone,
    )
    .join(dunning_cases, dunning_cases.c.case_id == dunning_steps.c.case_id)
    .join(customers, customers.c.customer_id == dunning_cases.c.customer_id)
    .where(
        dunning_steps.c.due_on <= bindparam("on"),
        dunning_steps.c.done_at.is_(None),
        dunning_steps.c.kind == "message",
        dunning_cases.c.track == TRACK,
    )
)


def remind(store: Store, at: datetime) -> None:
    """Send the messages due by now that ask a customer to act, and mark their steps as done."""
    due = store.frame(_MESSAGES_DUE, {"on": at.date() + timedelta(days=1)})
    if due.is_empty():
        return
    due = (
        due.join(days_of(at, due["time_zone"]), on="time_zone")
        .filter(pl.col("due_on") <= pl.col("today"))
        .sort("case_id", "step")
    )
    _write_steps(store, at, due, pl.lit("sent"))
    facts = due.select("payment_id", "customer_id", "due_on")
    announce_rows(store, at, "payment.action_needed", "payment_id", facts)
