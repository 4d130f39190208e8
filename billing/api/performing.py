"""How a change is carried out: in one transaction, once for a key, on the version that was read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.api.idempotency import Once, answered_before, answered_once
from billing.core.money import BillingError
from billing.service.acts import Held
from billing.service.requests import Reply
from billing.store.store import Store
from billing.web.as_json import to_json
from billing.web.calls import Call
from billing.web.context import Context, written
from billing.web.entity_tags import matches, tag_of
from billing.web.problems import MEDIA_TYPE, Problem, problem_of, shown


@dataclass(frozen=True)
class Act:
    """A change that a route wants done.

    work: does one act of the service, and gives what the answer shows (a mapping or dataclass; None for
    nothing), read on the same store. holds: customers that nobody else changes meanwhile.
    current: what If-Match is compared with, the representation as it is before the act (None: not there).
    location: the path of what was made, from what the answer shows.
    kept: what is shown to who asks again with the same key, where the answer holds a secret.
    asks: asks somebody else what `work` needs, before its transaction; not where the key is known already.
    """

    work: Callable[[Store, datetime], object]
    holds: Sequence[str | None] = ()
    status: int = 200
    location: Callable[[Any], str] | None = None
    current: Callable[[Store], Mapping[str, object] | None] | None = None
    needs_match: bool = False
    kept: Callable[[Any], object] | None = None
    asks: Callable[[], object] | None = None


def performed(
    context: Context,
    act: Act,
    *,
    if_match: str | None = None,
    once: Once | None = None,
    call: Call | None = None,
    refusal: Callable[[BillingError], Problem] = problem_of,
) -> Reply:
    """Carry out an act, or tell what came of it before under its key; the answer. An order that waits for a
    person's word is answered 202 with its approval.

    call: is kept in the transaction of what was done. refusal: how what is refused is told under a key, where
    it is an answer as good as any. Raises Problem, Busy, and without a key what the act raises.
    """
    if act.needs_match and if_match is None:
        raise Problem("precondition_required")
    if act.asks is not None:
        before = answered_before(context, once) if once is not None else None
        if before is not None:
            return before
        act.asks()

    def work(store: Store, at: datetime) -> Reply:
        if if_match is not None and act.current is not None:
            before = act.current(store)
            # What is not there is refused by the act, as it is without a tag.
            if before is not None and not matches(if_match, tag_of(before)):
                raise Problem("precondition_failed", headers={"ETag": tag_of(before)})
        reply = replied(act, act.work(store, at))
        if call is not None:
            call.keep(store, reply.status, len(reply.body))
        return reply

    def answered(store: Store) -> Reply:
        try:
            return written(store, context.services.clock, work, act.holds)
        except Held as held:
            return waiting(held)
        except BillingError as refused:
            return told(context, refusal(refused))
        except Problem as problem:
            return told(context, problem)

    try:
        if once is not None:
            return answered_once(context, once, answered)
        return context.write(work, act.holds)
    except Held as held:
        return waiting(held)
    except BaseException:
        if call is not None:
            call.is_kept = False  # What was written of it was taken back.
        raise


def told(context: Context, problem: Problem) -> Reply:
    """A problem as an answer that may be kept."""
    said = shown(problem, base_url=context.services.base_url, request_id=context.request_id)
    return Reply(problem.status, to_json(said), {**problem.headers, "Content-Type": MEDIA_TYPE})


def replied(act: Act, shown: object) -> Reply:
    """The answer of an act that was done."""
    if shown is None:
        return Reply(204)
    headers = {}
    if act.location is not None:
        headers["Location"] = act.location(shown)
    kept = shown if act.kept is None else act.kept(shown)
    if isinstance(kept, Mapping):
        headers["ETag"] = tag_of(kept)
    return Reply(act.status, to_json(shown), headers, None if act.kept is None else to_json(kept))


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
