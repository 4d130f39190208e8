"""What every act of a customer or of staff does alike: all or nothing, refusals kept, changes announced.

An act takes the store, the instant it happens and named arguments. It runs in the caller's transaction if
there is one, under a savepoint, so a refused act leaves nothing behind but its row in `rejected_inputs`, and
one that is held until a person decides nothing but its row in `approvals`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import bindparam, select

from billing.core.money import BillingError
from billing.store import messages
from billing.store.store import Store, broken_rule
from billing.store.tables import approvals

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class Held(BillingError):
    """An order that waits for a person's word. Raised in an act, it undoes the act, which is kept with its
    arguments as an approval of kind order; the detail then names the approval.

    customer_id: who owes. figures: what there is to decide by.
    """

    def __init__(
        self, code: str, detail: str, customer_id: str, on: date, figures: Mapping[str, object]
    ) -> None:
        super().__init__(code, detail)
        self.customer_id, self.on, self.figures = customer_id, on, figures
        self.reason = detail
        self.order: dict[str, object] = {}
        """The act and its arguments, once it is known which act was held."""


def act(
    function: Callable[Concatenate[Store, datetime, Arguments], Answer],
) -> Callable[Concatenate[Store, datetime, Arguments], Answer]:
    """Make a function an act. Raises what it raises, and `naive_time` for an instant without zone; a
    BillingError is also kept in `rejected_inputs`, but a Held in `approvals`. What the tables themselves do
    not allow is refused alike: `immutable` (the key is taken), `unknown_reference`, `missing_value`,
    `version_overlap`."""

    @wraps(function)
    def run(store: Store, at: datetime, /, *args: Arguments.args, **named: Arguments.kwargs) -> Answer:
        if at.tzinfo is None:
            raise BillingError("naive_time", f"{at} has no time zone")
        try:
            with store.transaction(savepoint=True):
                return function(store, at, *args, **named)
        except BillingError as error:
            refused = error
        except Exception as error:
            broken = broken_rule(error)
            if broken is None:
                raise
            refused = BillingError(*broken)
        if isinstance(refused, Held):
            # Around this act may stand another, which undoes what is written here and writes it again.
            refused.order = refused.order or {"act": function.__name__, "arguments": as_json(named)}
            raise _keep_held(store, at, refused) from None
        messages.keep_rejected(store, at, function.__name__, [(refused.code, refused.message, named)])
        raise refused from None

    return run


_PENDING = select(approvals.c.approval_id, approvals.c.details).where(
    approvals.c.customer_id == bindparam("customer"),
    approvals.c.kind == "order",
    approvals.c.state == "pending",
)


def _keep_held(store: Store, at: datetime, held: Held) -> Held:
    """Ask for the approval of an order; the same order asked for twice waits once."""
    about: dict[str, Any] = {"code": held.code, "figures": held.figures, "order": held.order}
    waiting = [
        row["approval_id"]
        for row in store.rows(_PENDING, {"customer": held.customer_id})
        if json.loads(row["details"])["order"] == held.order
    ]
    approval_id = waiting[0] if waiting else store.new_id("apr")
    if not waiting:
        row = {
            "approval_id": approval_id,
            "kind": "order",
            "customer_id": held.customer_id,
            "details": json.dumps(about, sort_keys=True),
            "state": "pending",
            "proposed_on": held.on,
        }
        store.insert(approvals, [row], at)
        asked = {"kind": "order", "customer_id": held.customer_id} | about
        announce(store, at, "approval.requested", approval_id, asked)
    named = Held(held.code, f"{held.reason}; waits as {approval_id}", held.customer_id, held.on, held.figures)
    named.reason, named.order = held.reason, held.order
    return named


def as_json(value: object) -> Any:
    """The arguments of an act as JSON keeps them: days and dataclasses as objects that name their kind."""
    if isinstance(value, date):
        return {"$date": value.isoformat()}
    if is_dataclass(value) and not isinstance(value, type):
        own = {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
        return {f"${type(value).__name__}": own}
    if isinstance(value, Mapping):
        return {str(name): as_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(one) for one in value]
    return value


def announce(store: Store, at: datetime, topic: str, subject_id: str, payload: Mapping[str, object]) -> None:
    """Add one message to the outbox."""
    messages.announce(store, at, [(topic, subject_id, payload)])
