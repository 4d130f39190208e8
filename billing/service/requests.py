"""Requests that may come twice: what came of the first is said again to the second.

Unlike `perform_once`, which carries out one act, a request may be anything that writes in its caller's
transaction, and its answer has a status. The caller's key is taken first: a twin at the same moment waits for
the outcome instead of doing the work beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import bindparam, delete, select, text, update

from billing.core.money import BillingError
from billing.store.store import Store
from billing.store.tables import Instant, api_replies

HELD_OR_REFUSED = frozenset({409, 422})
"""Refusals that stand: the same request would not be decided otherwise because it comes again."""


@dataclass(frozen=True)
class Reply:
    """An answer as it goes out. kept_body: what is shown to who asks again, where `body` holds a secret that
    is shown once; it is UTF-8, as `body` is."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    kept_body: bytes | None = None


class _Undone(Exception):
    """Takes back what a request did that failed."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


_TAKE = text(
    'INSERT INTO api_replies (caller, "key", request_hash, recorded_at)'
    " VALUES (:caller, :key, :request_hash, :at) ON CONFLICT DO NOTHING"
).bindparams(bindparam("at", type_=Instant()))
_OF_KEY = api_replies.c.caller == bindparam("of_caller"), api_replies.c.key == bindparam("of_key")
_KNOWN = select(api_replies).where(*_OF_KEY)
_KEEP = (
    update(api_replies)
    .where(*_OF_KEY)
    .values(status=bindparam("status"), headers=bindparam("headers"), body=bindparam("body"))
)
_GIVE_BACK = delete(api_replies).where(*_OF_KEY)


def answer_once(
    store: Store,
    clock: Callable[[], datetime],
    *,
    caller: str,
    key: str,
    request_hash: str,
    work: Callable[[], Reply],
) -> tuple[Reply, bool]:
    """The answer to a request under its caller's key, and whether it was given before.

    One transaction holds the key, what `work` does and its answer, so that a crash leaves all or nothing; the
    whole is tried again where another transaction came in between. Kept are answers below 400 (an order that
    waits for a person's word is 202, and stays so) and refusals with 409 or 422. Other refusals leave the key
    free. With 500 and above all of it is taken back. `work` turns refusals into answers itself.

    Raises `key_conflict` for a key that came with another request.
    """
    of_key = {"of_caller": caller, "of_key": key}

    def once() -> tuple[Reply, bool]:
        taken = {"caller": caller, "key": key, "request_hash": request_hash, "at": clock()}
        if not store.execute(_TAKE, taken):
            before = told_before(store, caller=caller, key=key, request_hash=request_hash)
            if before is None:  # Given back or forgotten just now.
                raise BillingError("key_conflict", f"{key!r} came with another request")
            return before, True
        reply = work()
        if reply.status >= 500:
            raise _Undone(reply)
        if reply.status >= 400 and reply.status not in HELD_OR_REFUSED:
            store.execute(_GIVE_BACK, of_key)
            return reply, False
        body = reply.body if reply.kept_body is None else reply.kept_body
        headers = json.dumps(dict(reply.headers))
        kept = {"status": reply.status, "headers": headers, "body": body.decode()}
        store.execute(_KEEP, of_key | kept)
        return reply, False

    try:
        return store.perform(once)
    except _Undone as undone:
        return undone.reply, False


def told_before(store: Store, *, caller: str, key: str, request_hash: str) -> Reply | None:
    """The answer to a request that came before under its caller's key; None for a key that is new. Raises
    `key_conflict` for a key that came with another request."""
    row = store.row(_KNOWN, {"of_caller": caller, "of_key": key})
    if row is None:
        return None
    if row["request_hash"] != request_hash:
        raise BillingError("key_conflict", f"{key!r} came with another request")
    return Reply(row["status"], row["body"].encode(), json.loads(row["headers"]))
