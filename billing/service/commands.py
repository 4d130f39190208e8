"""Commands that a caller may send twice: the key that comes with one makes it happen once.

An act and its answer are kept under the caller's key in one transaction. The same key with the same request
is answered as before; with another it is a `key_conflict`. A refused act keeps no key, so it may be sent
again once what it needs is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select

from billing.core.money import BillingError
from billing.service.acts import act
from billing.store.errors import broken_rule
from billing.store.store import Store
from billing.store.tables import command_keys

_KNOWN = select(command_keys).where(
    command_keys.c.caller == bindparam("caller"), command_keys.c.key == bindparam("key")
)


class _Done(Exception):
    """Leaves an act that was done before, so that it leaves nothing a second time."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer


def perform_once(
    store: Store,
    at: datetime,
    *,
    caller: str,
    key: str,
    command: Callable[..., object],
    arguments: Mapping[str, object],
) -> Any:
    """Carry out an act under a key; its answer as JSON has it (a dataclass is an object, a date its text).

    Raises `key_conflict` for a key that came with another act or other arguments, and what the act raises.
    """
    try:
        return perform_under_key(store, at, caller=caller, key=key, command=command, arguments=arguments)
    except _Done as before:
        return before.answer


@act
def perform_under_key(
    store: Store,
    at: datetime,
    *,
    caller: str,
    key: str,
    command: Callable[..., object],
    arguments: Mapping[str, object],
) -> Any:
    """Raises _Done where it was carried out before."""
    name = getattr(command, "__name__", str(command))
    request_hash = hashlib.sha256(_as_json([name, arguments]).encode()).hexdigest()
    known = store.row(_KNOWN, {"caller": caller, "key": key})
    if known is None:
        try:
            with store.transaction(savepoint=True):
                response = _as_json(_plain(command(store, at, **arguments)))
                row = {"caller": caller, "key": key, "request_hash": request_hash, "response": response}
                store.insert(command_keys, [row], at)
            return json.loads(response)
        except Exception as error:
            # Another call came first with the key while this one was at work: what this one did is undone.
            known = None if broken_rule(error) is None else store.row(_KNOWN, {"caller": caller, "key": key})
            if known is None:
                raise
    if known["request_hash"] != request_hash:
        raise BillingError("key_conflict", f"{caller} used {key!r} for something else")
    raise _Done(json.loads(known["response"]))


def _plain(answer: object) -> object:
    return asdict(answer) if is_dataclass(answer) and not isinstance(answer, type) else answer


def _as_json(value: object) -> str:
    return json.dumps(value, default=_text_of, sort_keys=True, ensure_ascii=False)


def _text_of(value: object) -> object:
    """What JSON has no form for: dataclasses as objects, dates and the like as text."""
    plain = _plain(value)
    return plain if plain is not value else str(value)
