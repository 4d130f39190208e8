"""How a change is carried out: in one transaction, once for a key, on the version that was read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from billing.service.acts import Held
from billing.store.store import Store
from billing.web.as_json import to_json
from billing.web.context import Context
from billing.web.entity_tags import matches, tag_of
from billing.web.problems import Problem


@dataclass(frozen=True)
class Act:
    """A change that a route wants done.

    work: does one act of the service, and gives what the answer shows (a mapping or dataclass; None for
    nothing), read on the same store. holds: customers that nobody else changes meanwhile.
    current: what If-Match is compared with, the representation as it is before the act (None: not there).
    location: the path of what was made, from what the answer shows.
    """

    work: Callable[[Store, datetime], object]
    holds: Sequence[str | None] = ()
    status: int = 200
    location: Callable[[Any], str] | None = None
    current: Callable[[Store], Mapping[str, object] | None] | None = None
    needs_match: bool = False


@dataclass(frozen=True)
class Reply:
    """An answer as it goes out, and as it is kept for a repetition."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def performed(context: Context, act: Act, *, if_match: str | None) -> Reply:
    """Carry out an act; its answer. Raises Problem, Busy, and what the act raises but `Held`, which answers
    202 with the approval that the order waits for."""
    if act.needs_match and if_match is None:
        raise Problem("precondition_required")

    def work(store: Store, at: datetime) -> Reply:
        if if_match is not None and act.current is not None:
            before = act.current(store)
            if before is None or not matches(if_match, tag_of(before)):
                raise Problem("precondition_failed", headers={"ETag": tag_of(before)} if before else None)
        return replied(act, act.work(store, at))

    try:
        return context.write(work, act.holds)
    except Held as held:
        return waiting(held)


def replied(act: Act, shown: object) -> Reply:
    """The answer of an act that was done."""
    if shown is None:
        return Reply(204, b"")
    headers = {}
    if act.location is not None:
        headers["Location"] = act.location(shown)
    if isinstance(shown, Mapping):
        headers["ETag"] = tag_of(shown)
    return Reply(act.status, to_json(shown), headers)


def waiting(held: Held) -> Reply:
    """The answer of an order that waits for a person's word."""
    said = {
        "object": "approval",
        "approval_id": held.approval_id,
        "state": "pending",
        "code": held.code,
        "detail": held.reason,
        "customer_id": held.customer_id,
        "figures": held.figures,
    }
    return Reply(202, to_json(said), {"Location": f"/v1/approvals/{held.approval_id}"})
