"""The Idempotency-Key header: a request that comes again is answered as it was, and nothing happens again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from fastapi import Request

from billing.service.requests import Reply, answer_once, told_before
from billing.store.store import Store
from billing.web.context import Caller, Context
from billing.web.problems import Problem

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True)
class Once:
    """A key and the request that it stands for."""

    key: str
    request_hash: str


def key_of(request: Request) -> str | None:
    """The key that came with a request. Raises Problem `bad_idempotency_key`."""
    key = request.headers.get(HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise Problem("bad_idempotency_key", field=HEADER)
    return key


def once_of(request: Request, context: Context, body: bytes) -> Once | None:
    """The key that came with a request; None without one. body: what was sent, JSON with its
    members in a fixed order.

    Raises Problem `bad_idempotency_key`.
    """
    key = key_of(request)
    if key is None:
        return None
    about = (
        request.method,
        request.url.path,
        request.url.query,
        hashlib.sha256(body).hexdigest(),
        context.version.isoformat() if context.version else None,
        request.headers.get("if-match"),
        request.headers.get("if-preview"),
    )
    return Once(key, hashlib.sha256(json.dumps(about).encode()).hexdigest())


def _named(caller: Caller) -> str:
    """Whose keys these are: the same after a key was rolled, but another's where less is seen."""
    bound = "" if caller.customer_id is None else f" of {caller.customer_id}"
    return f"{caller.kind}:{caller.owner}{bound}"


def answered_before(context: Context, once: Once) -> Reply | None:
    """The reply of the first request with the key; None where there was none. Raises `key_conflict`, Busy."""
    with context.services.stores.look() as store:
        reply = told_before(
            store, caller=_named(context.caller), key=once.key, request_hash=once.request_hash
        )
    return None if reply is None else _replayed(reply)


def answered_once(context: Context, once: Once, work: Callable[[Store], Reply]) -> Reply:
    """The reply of `work`, which is done in one transaction with the note of it; or that of the first request
    with the key. `work` gives refusals as replies.

    Raises `key_conflict`, Busy.
    """
    with context.services.stores.write(context.caller.actor, context.request_id) as store:
        reply, is_replayed = answer_once(
            store,
            context.services.clock,
            caller=_named(context.caller),
            key=once.key,
            request_hash=once.request_hash,
            work=lambda: work(store),
        )
    return _replayed(reply) if is_replayed else reply


def _replayed(reply: Reply) -> Reply:
    return replace(reply, headers={**reply.headers, REPLAYED: "true"})
