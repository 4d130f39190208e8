"""The dunning cases of failed payments: opened, lengthened, closed, and what their end does.

One case is open per customer and currency. Its steps are the attempts ahead of its payments and the messages
that ask the customer to act. When to try again is decided by core.dunning.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import and_, bindparam, case, exists, func, or_, select, update

from billing.core.calendar import local_date, midnight
from billing.core.dunning import ACTION_MESSAGE_DAYS, CARD_RETRY_GAPS_DAYS, after_failure
from billing.store.messages import Message, mark_to_bill
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
Cases = dict[tuple[str, str], Row]
"""Open cases by customer and currency: the table's columns, `time_zone`, `steps` (the last number)."""

_OPEN = (
    select(
        dunning_cases,
        dunning_cases.c.recorded_at.label("opened_at"),
        customers.c.time_zone,
        select(func.coalesce(func.max(dunning_steps.c.step), 0))
        .where(dunning_steps.c.case_id == dunning_cases.c.case_id)
        .scalar_subquery()
        .label("steps"),
    )
    .join(customers, customers.c.customer_id == dunning_cases.c.customer_id)
    .where(dunning_cases.c.closed_on.is_(None), dunning_cases.c.track == TRACK)
    .order_by(dunning_cases.c.case_id)
)


def open_cases(store: Store) -> Cases:
    """All open cases."""
    return {(row["customer_id"], row["currency"]): row for row in store.rows(_OPEN)}


def note_failure(store: Store, at: datetime, cases: Cases, row: Row) -> tuple[Row, list[Message]]:
    """Put a failed payment into its customer's case, a new one if none is open, and decide what follows.

    row: the payment, with `today`, `time_zone`, `decline` (its class) and `attempt`. Returns the columns of
    the payment that change, and messages.
    """
    messages: list[Message] = []
    key = (row["customer_id"], row["currency"])
    if key not in cases:
        cases[key] = _open_case(store, at, row)
        facts = {"customer_id": row["customer_id"], "currency": row["currency"], "on": row["today"]}
        messages.append(("dunning.opened", cases[key]["case_id"], facts))
    of = cases[key]
    is_known = row["case_id"] == of["case_id"]
    failures = (row["failures"] if is_known else 0) + 1
    first_failed_on: date = row["first_failed_on"] if is_known else row["today"]
    following = after_failure(row["decline"], failures, first_failed_on, row["today"])
    store.execute(
        _STEP_DONE, {"of": of["case_id"], "payment": row["payment_id"], "at": at, "how": "declined"}
    )
    change: Row = {
        "state": "failed",
        "failures": failures,
        "first_failed_on": first_failed_on,
        "case_id": of["case_id"],
        "next_attempt_at": None,
    }
    if following.action == "retry" and following.on is not None:
        change["next_attempt_at"] = midnight(following.on, row["time_zone"])
        _add_steps(store, at, of, "attempt", [following.on], row["payment_id"])
    elif following.action == "exhausted":
        of["is_exhausted"] = True
    if row["decline"] == "customer_action" and failures == 1:
        days = [row["today"] + timedelta(days=wait) for wait in ACTION_MESSAGE_DAYS]
        _add_steps(store, at, of, "message", days, row["payment_id"])
    facts = {
        "customer_id": row["customer_id"],
        "invoice_id": row["invoice_id"],
        "attempt": row["attempt"],
        "decline_class": row["decline"],
        "next": following.action,
        "on": following.on,
    }
    messages.append(("payment.failed", row["payment_id"], facts))
    return change, messages


def _open_case(store: Store, at: datetime, row: Row) -> Row:
    new: Row = {
        "case_id": store.new_id("dun"),
        "customer_id": row["customer_id"],
        "currency": row["currency"],
        "track": TRACK,
        "opened_on": row["today"],
        "deadline_on": row["today"] + timedelta(days=sum(CARD_RETRY_GAPS_DAYS)),
    }
    store.insert(dunning_cases, [new], at)
    store.execute(_ENTER_PAST_DUE, {"customer": row["customer_id"], "at": at})
    return new | {"opened_at": at, "time_zone": row["time_zone"], "steps": 0}


def _add_steps(store: Store, at: datetime, of: Row, kind: str, days: Sequence[date], payment_id: str) -> None:
    rows = [
        {
            "case_id": of["case_id"],
            "step": of["steps"] + place,
            "kind": kind,
            "payment_id": payment_id,
            "due_on": day,
        }
        for place, day in enumerate(days, start=1)
    ]
    of["steps"] += len(rows)
    store.insert(dunning_steps, rows, at)


_OF_CASE = and_(dunning_steps.c.case_id == bindparam("of"), dunning_steps.c.done_at.is_(None))
_STEP_DONE = (
    update(dunning_steps)
    .where(_OF_CASE, dunning_steps.c.kind == "attempt", dunning_steps.c.payment_id == bindparam("payment"))
    .values(outcome=bindparam("how"), done_at=bindparam("at"), changed_at=bindparam("at"))
)
_SKIP_STEPS = (
    update(dunning_steps)
    .where(_OF_CASE)
    .values(outcome="skipped", done_at=bindparam("at"), changed_at=bindparam("at"))
)
_ENTER_PAST_DUE = (
    update(subscriptions)
    .where(
        subscriptions.c.bill_to == bindparam("customer"), subscriptions.c.status.in_(["active", "trialing"])
    )
    .values(status="past_due", changed_at=bindparam("at"))
)
_LEAVE_PAST_DUE = (
    update(subscriptions)
    .where(
        subscriptions.c.bill_to == bindparam("customer"),
        subscriptions.c.status == "past_due",
        ~exists().where(dunning_cases.c.customer_id == subscriptions.c.bill_to, IS_DUNNED),
    )
    .values(
        status=case((subscriptions.c.trial_ends_on > bindparam("today"), "trialing"), else_="active"),
        changed_at=bindparam("at"),
    )
)


# The end of a case.


def close_case(store: Store, at: datetime, of: Row, closed_as: str, recovered: Sequence[Row] = ()) -> Message:
    """Close a case. `recovered`: the payments whose success did it, with `attempt` and `amount_minor`.

    Steps still ahead are done for recovered payments, skipped for the others. Returns the message.
    """
    today = local_date(at, of["time_zone"])
    change: Row = {"case_id": of["case_id"], "closed_on": today, "closed_as": closed_as}
    if recovered:
        change |= {
            "recovered_attempt": recovered[0]["attempt"],
            "recovered_days": (today - of["opened_on"]).days,
            "recovered_minor": sum(row["amount_minor"] for row in recovered),
        }
    store.update(dunning_cases, [change], at)
    for row in recovered:
        done = {"of": of["case_id"], "payment": row["payment_id"], "at": at, "how": "captured"}
        store.execute(_STEP_DONE, done)
    store.execute(_SKIP_STEPS, {"of": of["case_id"], "at": at})
    store.execute(_LEAVE_PAST_DUE, {"customer": of["customer_id"], "today": today, "at": at})
    facts = {"customer_id": of["customer_id"], "closed_as": closed_as, "on": today}
    return "dunning.closed", of["case_id"], facts


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
_ENDING = (
    select(
        dunning_cases,
        customers.c.time_zone,
        and_(_HAS_SUBSCRIPTION, ~_HAS_LIVE_SUBSCRIPTION).label("has_left"),
        _LAST_REASON.label("last_reason"),
    )
    .join(customers, customers.c.customer_id == dunning_cases.c.customer_id)
    .where(
        dunning_cases.c.closed_on.is_(None),
        dunning_cases.c.track == TRACK,
        or_(
            and_(dunning_cases.c.deadline_on <= bindparam("on"), ~_HAS_ATTEMPT_AHEAD),
            dunning_cases.c.case_id.in_(bindparam("exhausted", expanding=True)),
            and_(_HAS_SUBSCRIPTION, ~_HAS_LIVE_SUBSCRIPTION),
        ),
    )
    .order_by(dunning_cases.c.case_id)
)


def end_cases(store: Store, at: datetime, exhausted_ids: Sequence[str]) -> tuple[int, int, list[Message]]:
    """End cases that are named (a schedule is used up), past their deadline without an attempt ahead, or of
    customers who have left. Returns how many were exhausted, how many subscriptions that canceled, and
    messages."""
    exhausted = canceled = 0
    messages: list[Message] = []
    asked = {"on": at.date() + timedelta(days=1), "exhausted": list(exhausted_ids)}
    for of in store.rows(_ENDING, asked):
        today = local_date(at, of["time_zone"])
        closed_as = "canceled_for_payment"
        if of["has_left"] and of["last_reason"] != "payment":
            closed_as = "canceled_by_customer"
        elif not of["has_left"]:
            if of["deadline_on"] > today and of["case_id"] not in exhausted_ids:
                continue
            ended = _cancel_subscriptions(store, at, of, today)
            exhausted, canceled = exhausted + 1, canceled + len(ended)
            messages += ended
        store.execute(_STOP_PAYMENTS, {"of": of["case_id"], "customer": of["customer_id"], "at": at})
        messages.append(close_case(store, at, of, closed_as))
    return exhausted, canceled, messages


_STOP_PAYMENTS = (
    update(payments)
    .where(
        payments.c.customer_id == bindparam("customer"),
        payments.c.case_id == bindparam("of"),
        payments.c.state == "failed",
    )
    .values(state="canceled", next_attempt_at=None, changed_at=bindparam("at"))
)
_BILLED_UNPAID = (
    select(items.c.subscription_id)
    .join(line_items, line_items.c.item_id == items.c.item_id)
    .join(payments, payments.c.invoice_id == line_items.c.invoice_id)
    .where(
        payments.c.customer_id == bindparam("customer"),
        payments.c.case_id == bindparam("of"),
        payments.c.state == "failed",
    )
)
_RUNNING = (
    select(subscriptions.c.subscription_id, subscriptions.c.sold_to)
    .where(subscriptions.c.bill_to == bindparam("customer"), subscriptions.c.status != "canceled")
    .order_by(subscriptions.c.subscription_id)
)
_UNPAID = _RUNNING.where(subscriptions.c.subscription_id.in_(_BILLED_UNPAID))


def _cancel_subscriptions(store: Store, at: datetime, of: Row, today: date) -> list[Message]:
    """End today the subscriptions billed on the unpaid invoices; all of the payer's when none is named."""
    asked = {"customer": of["customer_id"], "of": of["case_id"]}
    found = store.rows(_UNPAID, asked) or store.rows(_RUNNING, {"customer": of["customer_id"]})
    rows = [
        {
            "subscription_id": row["subscription_id"],
            "ends_on": today,
            "cancel_requested_on": today,
            "cancel_reason": "payment",
            "was_in_dunning": True,
            "status": "canceled",
            "turns_on": None,
        }
        for row in found
    ]
    store.update(subscriptions, rows, at)
    for row in found:
        mark_to_bill(store, at, row["sold_to"], today, since=today)
    return [
        (
            "subscription.canceled",
            row["subscription_id"],
            {"customer_id": row["sold_to"], "ends_on": today, "reason": "payment", "status": "canceled"},
        )
        for row in found
    ]


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
    )
    .order_by(dunning_steps.c.case_id, dunning_steps.c.step)
)


def remind(store: Store, at: datetime) -> list[Message]:
    """The messages due by now that ask a customer to act, their steps marked as done."""
    due = [
        row
        for row in store.rows(_MESSAGES_DUE, {"on": at.date() + timedelta(days=1)})
        if row["due_on"] <= local_date(at, row["time_zone"])
    ]
    done = [{"case_id": row["case_id"], "step": row["step"], "done_at": at, "outcome": "sent"} for row in due]
    store.update(dunning_steps, done, at)
    return [
        (
            "payment.action_needed",
            row["payment_id"],
            {"customer_id": row["customer_id"], "due_on": row["due_on"]},
        )
        for row in due
    ]
