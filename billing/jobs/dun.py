"""Asks for money on net terms that is overdue: notes, reminders, restrictions, proposals to hand it over; or
the steps of a campaign, for payers that have one.

Looks only at payers with open money that is due (or will be within the days of the courtesy note), with an
open case, or who are not current, chunk by chunk; core.dunning says what is due of whom. A chunk is one
transaction: cases, their steps, messages, proposals, the state of each payer and what follows from it for
the subscriptions. So a crash loses at most the open chunk, and the next call makes what is left: a step has
its number in its case, and is made once.

A run that was not made for days makes the steps it missed in order, each with the day it was due, but sends
only the last of the messages: `sent`; those before are `skipped`. Proposals are made all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import polars as pl

from billing.core.dunning import (
    BADNESS,
    FIRST_DAY,
    KEY,
    LAST_DAY,
    OVERDUE_STATES,
    Plan,
    plan_campaigns,
    plan_terms,
    standing,
)
from billing.core.invoicing import issue_days
from billing.core.money import BillingError
from billing.jobs import dun_facts as facts
from billing.jobs.overdue import act_on_overdue
from billing.store.messages import Message, announce, announce_rows
from billing.store.store import Store
from billing.store.tables import (
    approvals,
    customers,
    dunning_cases,
    dunning_steps,
)


@dataclass(frozen=True, slots=True)
class DunSummary:
    """What one call did. `customers`: payers looked at. `steps` by kind. `messages` to customers; `proposed`:
    approvals asked for; `suspended` and `resumed`: subscriptions."""

    customers: int = 0
    opened: int = 0
    closed: int = 0
    steps: dict[str, int] = field(default_factory=dict)
    messages: int = 0
    proposed: int = 0
    suspended: int = 0
    resumed: int = 0


def dun(
    store: Store,
    at: datetime,
    *,
    customer_id: str | None = None,
    chunk_size: int = 10_000,
    progress: Callable[[int], None] | None = None,
) -> DunSummary:
    """Make every step that is due of money on net terms, of all payers or of one.

    Call it daily; days are the payer's own, and a second call the same day does nothing. After each chunk
    `progress` is told how many payers have been looked at. Raises `naive_time`.
    """
    if at.tzinfo is None:
        raise BillingError("naive_time", f"{at} has no time zone")
    until = at.date() + timedelta(days=1 - FIRST_DAY)
    chunks = [[customer_id]] if customer_id else facts.payers(store, until, chunk_size)
    counts: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    for chunk in chunks:
        found = store.perform(partial(_dun_chunk, store, at, chunk))
        counts.update(found.counts)
        steps.update(found.steps)
        if progress:
            progress(counts["customers"])
    return DunSummary(**counts, steps=dict(sorted(steps.items())))


@dataclass(slots=True)
class _Chunk:
    """The payers of one transaction, what stands open of them, and what was done."""

    store: Store
    at: datetime
    held: pl.DataFrame
    items: pl.DataFrame
    cases: pl.DataFrame
    stands: pl.DataFrame
    counts: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)


def _dun_chunk(store: Store, at: datetime, customer_ids: list[str]) -> _Chunk:
    store.join_by_index()
    held = facts.hold_payers(store, customer_ids)
    days = issue_days(held["time_zone"].to_list(), at)
    held = held.with_columns(pl.col("time_zone").replace_strict(days, return_dtype=pl.Date).alias("today"))
    items = facts.read_items(store, held)
    is_open = pl.col("state") == "open"
    cases = facts.read_cases(store, held)
    chunk = _Chunk(store, at, held, items, cases, standing(items.filter(is_open)))
    chunk.counts["customers"] = held.height
    plan = _plan(chunk)
    _close(chunk, plan.closing)
    going = _write_cases(chunk, plan.going)
    _write_steps(chunk, plan.steps.join(going, on=KEY, how="left", maintain_order="left"))
    _set_states(chunk, going)
    return chunk


_GOING = ("case_id", *KEY, "today", "track", "state", "deadline_on", "oldest_due_on", "overdue_minor")


def _plan(chunk: _Chunk) -> Plan:
    """What is due: by the campaign a payer has, else by the days of net terms. A case of the other track is
    over: its money is chased anew."""
    chased = facts.read_campaigns(chunk.store, chunk.held)
    on_terms = _plan_terms(chunk, chunk.stands.join(chased, on="customer_id", how="anti"))
    by_campaign = _plan_campaigns(chunk, chased)
    has_campaign = pl.col("customer_id").is_in(chased["customer_id"].implode())
    is_replaced = has_campaign != (pl.col("track") == "campaign")
    replaced = (
        chunk.cases.filter(pl.col("track").is_in(facts.TRACKS))
        .select("case_id", *KEY, "today", is_replaced.alias("is_replaced"))
        .filter("is_replaced")
    )
    closing = [
        plan.closing.join(replaced, on="case_id", how="anti").with_columns(pl.lit(False).alias("is_replaced"))
        for plan in (on_terms, by_campaign)
    ]
    return Plan(
        pl.concat([*closing, replaced]),
        pl.concat([on_terms.going, by_campaign.going]).join(
            chunk.stands.select(*KEY, "disputed_minor"), on=KEY, how="left", maintain_order="left"
        ),
        pl.concat([on_terms.steps, by_campaign.steps]),
    )


def _plan_terms(chunk: _Chunk, stands: pl.DataFrame) -> Plan:
    own = chunk.cases.filter(pl.col("track") == "terms")
    made = facts.read_steps(chunk.store, own["case_id"].to_list())
    oldest = (pl.col("deadline_on") - pl.duration(days=LAST_DAY)).alias("oldest_due_on")
    plan = plan_terms(stands, own.select("case_id", *KEY, "today", oldest), made.select("case_id", "step"))
    deadline = (pl.col("oldest_due_on") + pl.duration(days=LAST_DAY)).alias("deadline_on")
    return plan._replace(
        going=plan.going.with_columns(deadline, pl.lit("terms").alias("track")).select(_GOING)
    )


def _plan_campaigns(chunk: _Chunk, chased: pl.DataFrame) -> Plan:
    own = chunk.cases.filter(pl.col("track") == "campaign")
    thresholds = facts.read_thresholds(chunk.store)
    stands = (
        chunk.stands.join(chased, on="customer_id", maintain_order="left")
        .join(thresholds, on=["campaign_id", "currency"], how="left", maintain_order="left")
        .with_columns((pl.col("days_between") + pl.col("gap_day")).alias("least_days"))
    )
    made = (
        facts.read_steps(chunk.store, own["case_id"].to_list())
        .group_by("case_id")
        .agg(pl.len().cast(pl.Int64).alias("attempts"), pl.col("due_on").max().alias("last_on"))
    )
    cases = own.join(made, on="case_id", how="left", maintain_order="left").select(
        "case_id", *KEY, "today", pl.col("attempts").fill_null(0), "last_on", "deadline_on"
    )
    plan = plan_campaigns(stands, cases)
    days = pl.col("least_days") * pl.col("max_attempts")
    deadline = pl.coalesce("deadline_on", pl.col("today") + pl.duration(days=days))
    going = plan.going.with_columns(deadline.alias("deadline_on"), pl.lit("campaign").alias("track"))
    return plan._replace(going=going.select(_GOING))


# The end of cases.


def _close(chunk: _Chunk, closing: pl.DataFrame) -> None:
    """Close cases, and say what ended them."""
    if closing.is_empty():
        return
    store, ids = chunk.store, closing["customer_id"].unique().to_list()
    cases = chunk.cases.join(closing.select("case_id", "is_replaced"), on="case_id")
    rows = (
        cases.join(_money_since(chunk, cases), on="case_id", how="left", maintain_order="left")
        .join(_sent(store, cases), on="case_id", how="left", maintain_order="left")
        .join(chunk.stands.select(*KEY, "disputed_minor"), on=KEY, how="left", maintain_order="left")
        .join(_left_because(store, ids), on="customer_id", how="left", maintain_order="left")
    )
    is_recovered = pl.col("closed_as") == "recovered"
    rows = rows.with_columns(_closed_as().alias("closed_as")).select(
        "case_id",
        *KEY,
        pl.col("today").alias("closed_on"),
        "closed_as",
        pl.when(is_recovered).then("sent").alias("recovered_attempt"),
        pl.when(is_recovered)
        .then((pl.col("today") - pl.col("opened_on")).dt.total_days())
        .alias("recovered_days"),
        pl.when(is_recovered).then("late_minor").alias("recovered_minor"),
    )
    store.update(dunning_cases, rows.drop(KEY), chunk.at)
    _withdraw(chunk, ids, rows)
    messages: list[Message] = [
        (
            "dunning.closed",
            row["case_id"],
            {"customer_id": row["customer_id"], "closed_as": row["closed_as"], "on": row["closed_on"]},
        )
        for row in rows.iter_rows(named=True)
    ]
    announce(store, chunk.at, messages)
    chunk.counts["closed"] += rows.height


def _closed_as() -> pl.Expr:
    """What ended a case: another took its place, or the worst that happened to its money, else that it came
    in late, in time, else that the customer left, else that it was credited."""
    return (
        pl.when("is_replaced")
        .then(pl.lit("replaced"))
        .when(pl.col("written_off").fill_null(0) > 0)
        .then(pl.lit("written_off"))
        .when(pl.col("disputed_minor").fill_null(0) > 0)
        .then(pl.lit("disputed"))
        .when(pl.col("late_minor").fill_null(0) > 0)
        .then(pl.lit("recovered"))
        .when(pl.col("paid_minor").fill_null(0) > 0)
        .then(pl.lit("on_time"))
        .otherwise(pl.coalesce("left_because", pl.lit("credited")))
    )


def _money_since(chunk: _Chunk, cases: pl.DataFrame) -> pl.DataFrame:
    """What came in since a case was opened, of it late, and how many of its invoices were written off."""
    opened = cases.select("case_id", *KEY, "opened_on", "opened_at")
    money = facts.read_money(chunk.store, cases["customer_id"].unique().to_list()).join(opened, on=KEY)
    is_late = pl.col("applied_on") > pl.col("due_on")
    paid = (
        money.filter(pl.col("recorded_at") >= pl.col("opened_at"))
        .group_by("case_id")
        .agg(
            pl.col("amount_minor").sum().alias("paid_minor"),
            pl.col("amount_minor").filter(is_late).sum().alias("late_minor"),
        )
    )
    lost = (
        chunk.items.filter(pl.col("state") == "uncollectible")
        .join(opened, on=KEY)
        .filter(pl.col("written_off_on") >= pl.col("opened_on"))
        .group_by("case_id")
        .agg(pl.len().alias("written_off"))
    )
    return paid.join(lost, on="case_id", how="full", coalesce=True)


def _sent(store: Store, cases: pl.DataFrame) -> pl.DataFrame:
    """How many messages a case took."""
    steps = facts.read_steps(store, cases["case_id"].to_list())
    return steps.group_by("case_id").agg((pl.col("outcome") == "sent").sum().cast(pl.Int64).alias("sent"))


def _left_because(store: Store, customer_ids: list[str]) -> pl.DataFrame:
    """Of payers whose subscriptions have all ended: canceled_for_payment or canceled_by_customer."""
    by_payment = pl.col("cancel_reason").sort_by("ends_on", "subscription_id").last() == "payment"
    return (
        facts.read_agreements(store, customer_ids)
        .group_by("customer_id")
        .agg((pl.col("status") == "canceled").all().alias("has_left"), by_payment.alias("by_payment"))
        .filter("has_left")
        .select(
            "customer_id",
            pl.when("by_payment")
            .then(pl.lit("canceled_for_payment"))
            .otherwise(pl.lit("canceled_by_customer"))
            .alias("left_because"),
        )
    )


def _withdraw(chunk: _Chunk, customer_ids: list[str], closed: pl.DataFrame) -> None:
    """What was proposed of cases that are over needs no decision any more."""
    pending = facts.read_pending(chunk.store, customer_ids).join(
        closed.select(pl.col("case_id").alias("subject_id"), "closed_on"), on="subject_id"
    )
    rows = pending.select(
        "approval_id", pl.lit("withdrawn").alias("state"), pl.col("closed_on").alias("decided_on")
    )
    chunk.store.update(approvals, rows, chunk.at)


# Cases that go on, and their steps.


def _write_cases(chunk: _Chunk, going: pl.DataFrame) -> pl.DataFrame:
    """Open new cases and bring the others to today; all that go on, with their ids."""
    store = chunk.store
    is_new = pl.col("case_id").is_null()
    new = going.filter(is_new)
    ids = pl.Series("case_id", store.new_ids("dun", new.height), dtype=pl.String)
    new = new.with_columns(ids)
    columns = ("case_id", *KEY, "track", "deadline_on", "state")
    store.insert(dunning_cases, new.select(*columns, pl.col("today").alias("opened_on")), chunk.at)
    announce(
        store,
        chunk.at,
        [
            (
                "dunning.opened",
                row["case_id"],
                {"customer_id": row["customer_id"], "currency": row["currency"], "on": row["today"]},
            )
            for row in new.iter_rows(named=True)
        ],
    )
    chunk.counts["opened"] += new.height
    old = going.filter(~is_new)
    before = chunk.cases.select(
        "case_id", pl.col("state").alias("_state"), pl.col("deadline_on").alias("_deadline_on")
    )
    is_same = pl.col("state").eq_missing(pl.col("_state")) & (pl.col("deadline_on") == pl.col("_deadline_on"))
    changed = old.join(before, on="case_id").filter(~is_same)
    store.update(dunning_cases, changed.select("case_id", "deadline_on", "state"), chunk.at)
    return pl.concat([old, new]).join(
        chunk.held.select("customer_id", "locale"), on="customer_id", how="left", maintain_order="left"
    )


def _write_steps(chunk: _Chunk, steps: pl.DataFrame) -> None:
    """Make steps: each a row, its message or its proposal.

    steps: as a plan gives them, with the case and what stands open of it.
    """
    if steps.is_empty():
        return
    outcome = (
        pl.when(pl.col("to") == "approver")
        .then(pl.lit("proposed"))
        .when("is_told")
        .then(pl.lit("sent"))
        .otherwise(pl.lit("skipped"))
    )
    chunk.store.insert(
        dunning_steps,
        steps.select(
            "case_id", "step", "kind", "due_on", pl.lit(chunk.at).alias("done_at"), outcome.alias("outcome")
        ),
        chunk.at,
    )
    for kind, count in steps["kind"].value_counts().rows():
        chunk.steps[kind] += count
    told = steps.filter("is_told")
    listed = _statements(chunk, steps)
    _send(chunk, told.join(listed, on=KEY, how="left", maintain_order="left"))
    _propose(
        chunk,
        steps.filter(pl.col("to") == "approver").join(listed, on=KEY, how="left", maintain_order="left"),
    )


_ITEM = ("invoice_id", "number", "issued_on", "due_on", "total_minor", "open_minor", "disputed_minor")


def _statements(chunk: _Chunk, steps: pl.DataFrame) -> pl.DataFrame:
    """The open items of each customer and currency with a step, the oldest first, as `items`."""
    rows = chunk.items.filter(pl.col("state") == "open").join(
        steps.select(KEY).unique(), on=KEY, how="semi", maintain_order="left"
    )
    item = pl.struct(pl.col(name).cast(pl.String) if name.endswith("_on") else pl.col(name) for name in _ITEM)
    return rows.group_by(KEY, maintain_order=True).agg(item.alias("items"))


def _send(chunk: _Chunk, told: pl.DataFrame) -> None:
    """One message a step: a statement in figures, for the customer's language."""
    messages = told.select(
        "case_id",
        "kind",
        *KEY,
        "locale",
        "to",
        pl.col("due_on").cast(pl.String).alias("step_on"),
        pl.col("oldest_due_on").cast(pl.String),
        "state",
        "overdue_minor",
        "disputed_minor",
        "items",
    )
    announce_rows(chunk.store, chunk.at, pl.format("dunning.{}", "kind"), "case_id", messages)
    chunk.counts["messages"] += told.height


def _propose(chunk: _Chunk, proposed: pl.DataFrame) -> None:
    """Ask an approver to hand a case over, or to write its money off."""
    rows, messages = [], []
    for row in proposed.iter_rows(named=True):
        overdue = [
            item
            for item in row["items"]
            if item["due_on"] < str(row["today"]) and item["disputed_minor"] < item["open_minor"]
        ]
        details = {
            "currency": row["currency"],
            "overdue_minor": row["overdue_minor"],
            "oldest_due_on": str(row["oldest_due_on"]),
            "items": overdue,
        }
        approval_id = chunk.store.new_id("apr")
        rows.append(
            {
                "approval_id": approval_id,
                "kind": row["kind"],
                "customer_id": row["customer_id"],
                "subject_id": row["case_id"],
                "details": json.dumps(details),
                "state": "pending",
                "proposed_on": row["today"],
            }
        )
        asked = {"kind": row["kind"], "customer_id": row["customer_id"], "case_id": row["case_id"]}
        messages.append(("approval.requested", approval_id, asked | details))
    chunk.store.insert(approvals, rows, chunk.at)
    announce(chunk.store, chunk.at, messages)
    chunk.counts["proposed"] += len(rows)


# What it means for the payer.


def _set_states(chunk: _Chunk, going: pl.DataFrame) -> None:
    """Let each payer's state be the worst of its open cases; or written off, while such money is lost."""
    states = pl.concat(
        [
            going.select("customer_id", "state"),
            chunk.items.filter((pl.col("state") == "uncollectible") & (pl.col("lost_minor") > 0)).select(
                "customer_id", pl.lit("written_off").alias("state")
            ),
        ]
    )
    worst = states.group_by("customer_id").agg(
        pl.col("state").replace_strict(BADNESS, return_dtype=pl.Int64).max()
    )
    now = pl.col("state").fill_null(0).replace_strict(dict(enumerate(OVERDUE_STATES)), return_dtype=pl.String)
    changed = (
        chunk.held.join(worst, on="customer_id", how="left", maintain_order="left")
        .select("customer_id", pl.col("overdue_state").alias("before"), now.alias("overdue_state"))
        .filter(pl.col("before") != pl.col("overdue_state"))
    )
    if changed.is_empty():
        return
    chunk.store.update(customers, changed.drop("before"), chunk.at)
    announce(
        chunk.store,
        chunk.at,
        [
            (
                "customer.overdue_state_changed",
                row["customer_id"],
                {"from": row["before"], "to": row["overdue_state"]},
            )
            for row in changed.iter_rows(named=True)
        ],
    )
    suspended, resumed = act_on_overdue(chunk.store, chunk.at, changed)
    chunk.counts["suspended"] += suspended
    chunk.counts["resumed"] += resumed
