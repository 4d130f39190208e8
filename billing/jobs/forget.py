"""Forgets what was kept for a time: answers to requests, dead keys, lists of calls and webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, or_, select, tuple_

from billing.store.store import Store
from billing.store.tables import api_calls, api_keys, api_replies, webhook_attempts, webhook_deliveries

REPLIES_FOR = timedelta(days=30)
CALLS_FOR = timedelta(days=400)
DELIVERIES_FOR = timedelta(days=90)
"""How long the log of webhooks is kept; what waits stays, however old."""
KEYS_FOR = timedelta(days=400)
"""How long a key is shown after it ended."""

_BATCH = 5_000


def forget(store: Store, at: datetime) -> dict[str, int]:
    """Delete what is older than it is kept for, a few thousand rows a transaction; how many rows of each
    table. A second call at the same instant finds none."""
    ended = at - KEYS_FOR
    is_over = or_(api_keys.c.revoked_at < ended, api_keys.c.expires_at < ended)
    old: Sequence[tuple[Table, ColumnElement[bool]]] = (
        (api_replies, api_replies.c.recorded_at < at - REPLIES_FOR),
        (api_calls, api_calls.c.happened_at < at - CALLS_FOR),
        (api_keys, is_over),
        (webhook_attempts, webhook_attempts.c.recorded_at < at - DELIVERIES_FOR),
        (webhook_deliveries, webhook_deliveries.c.done_at < at - DELIVERIES_FOR),
    )
    return {table.name: _delete(store, table, condition) for table, condition in old}


def _delete(store: Store, table: Table, condition: ColumnElement[bool]) -> int:
    keys: list[Any] = list(table.primary_key)
    some = select(*keys).where(condition).limit(_BATCH)
    some_gone = delete(table).where(tuple_(*keys).in_(some))
    count = 0
    while gone := store.execute(some_gone):
        count += gone
    return count
