"""What every act of a customer or of staff does alike: all or nothing, refusals kept, changes announced.

An act takes the store, the instant it happens and named arguments. It runs in the caller's transaction if
there is one, under a savepoint, so a refused act leaves nothing behind but its row in `rejected_inputs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from billing.core.money import BillingError
from billing.store import messages
from billing.store.store import Store, broken_rule

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def act(
    function: Callable[Concatenate[Store, datetime, Arguments], Answer],
) -> Callable[Concatenate[Store, datetime, Arguments], Answer]:
    """Make a function an act. Raises what it raises, and `naive_time` for an instant without zone; a
    BillingError is also kept in `rejected_inputs`. What the tables themselves do not allow is refused alike:
    `immutable` (the key is taken), `unknown_reference`, `missing_value`, `version_overlap`."""

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
        messages.keep_rejected(store, at, function.__name__, [(refused.code, refused.message, named)])
        raise refused from None

    return run


def announce(store: Store, at: datetime, topic: str, subject_id: str, payload: Mapping[str, object]) -> None:
    """Add one message to the outbox."""
    messages.announce(store, at, [(topic, subject_id, payload)])
