"""What every act of a customer or of staff does alike: all or nothing, refusals kept, changes announced.

An act takes the store, the instant it happens and named arguments. It runs in the caller's transaction if
there is one, under a savepoint, so a refused act leaves nothing behind but its row in `rejected_inputs`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import bindparam, or_, update

from billing.core.money import BillingError
from billing.store.store import Store
from billing.store.tables import customers, outbox, rejected_inputs

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def act(
    function: Callable[Concatenate[Store, datetime, Arguments], Answer],
) -> Callable[Concatenate[Store, datetime, Arguments], Answer]:
    """Make a function an act. Raises what it raises; a BillingError is also kept in `rejected_inputs`."""

    @wraps(function)
    def run(store: Store, at: datetime, /, *args: Arguments.args, **named: Arguments.kwargs) -> Answer:
        try:
            if at.tzinfo is None:
                raise BillingError("naive_time", f"{at} has no time zone")
            with store.transaction(savepoint=True):
                return function(store, at, *args, **named)
        except BillingError as error:
            if at.tzinfo is not None:
                keep_rejected(store, at, function.__name__, error, named)
            raise

    return run


def keep_rejected(
    store: Store, at: datetime, source: str, error: BillingError, payload: Mapping[str, object]
) -> None:
    """Write a refused input to `rejected_inputs`."""
    row = {
        "reject_id": store.new_id("rej"),
        "source": source,
        "code": error.code,
        "detail": error.detail,
        "payload": as_json(payload),
    }
    store.insert(rejected_inputs, [row], at)


def announce(store: Store, at: datetime, topic: str, subject_id: str, payload: Mapping[str, object]) -> None:
    """Add a message to the outbox. Topics are `thing.happening`, such as `subscription.canceled`."""
    row = {
        "message_id": store.new_id("msg"),
        "topic": topic,
        "subject_id": subject_id,
        "payload": as_json(payload),
    }
    store.insert(outbox, [row], at)


def as_json(payload: Mapping[str, object]) -> str:
    return json.dumps(payload, default=str, sort_keys=True, ensure_ascii=False)


_MARK = (
    update(customers)
    .where(
        customers.c.customer_id == bindparam("id"),
        or_(customers.c.next_bill_on.is_(None), customers.c.next_bill_on > bindparam("today")),
    )
    .values(next_bill_on=bindparam("today"), changed_at=bindparam("at"))
)


def mark_to_bill(store: Store, at: datetime, customer_id: str, today: date) -> None:
    """Let the next bill run look at a customer: next_bill_on = least(next_bill_on, today)."""
    store.execute(_MARK, {"id": customer_id, "today": today, "at": at})


def only_given(**values: Any) -> dict[str, Any]:
    """The named values that are not None."""
    return {name: value for name, value in values.items() if value is not None}
