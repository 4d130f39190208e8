"""Events as they are pulled: in their one order, each as a webhook shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, select

from billing.jobs.event_catalogue import PUBLIC
from billing.jobs.webhook_messages import event_of
from billing.reads.page import Page, page
from billing.reads.scope import Scope
from billing.store.store import Row, Store
from billing.store.tables import events, outbox

_EVENTS = select(
    events.c.sequence,
    events.c.message_id,
    events.c.topic,
    events.c.subject_id,
    events.c.customer_id,
    events.c.recorded_at,
    outbox.c.payload,
).join(outbox, outbox.c.message_id == events.c.message_id)


def listed_events(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None,
    limit: int,
    topic: str | None = None,
    subject_id: str | None = None,
    customer_id: str | None = None,
    after_sequence: int | None = None,
) -> Page:
    """Events in their order. A reader that keeps the last `sequence` it saw misses none after it."""
    asked = _within(scope)
    named = ((events.c.topic, topic), (events.c.subject_id, subject_id), (events.c.customer_id, customer_id))
    asked = asked.where(*(column == value for column, value in named if value is not None))
    if after_sequence is not None:
        asked = asked.where(events.c.sequence > after_sequence)
    found = page(store, asked, [events.c.sequence], after=after, limit=limit)
    return Page([_shown(row) for row in found.rows], found.after)


def event(store: Store, scope: Scope, *, message_id: str) -> Row | None:
    """An event by the id that a webhook names it by; None where there is none in the scope."""
    row = store.row(_within(scope).where(events.c.message_id == message_id))
    return None if row is None else _shown(row)


def _within(scope: Scope) -> Select[Any]:
    """What is about the scope's customers; for a customer not what is a matter of the merchant's own."""
    conditions: list[ColumnElement[bool]] = scope.where(events.c.customer_id)
    if scope.ids is not None:
        conditions.append(events.c.topic.in_(sorted(PUBLIC)))
    return _EVENTS.where(*conditions)


def _shown(row: Row) -> Row:
    return {"object": "event", "message_id": row["message_id"], **event_of(row)}
