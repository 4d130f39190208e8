"""Webhook endpoints, what was sent to them and how they are; no secrets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Integer, Select, bindparam, case, cast, func, select

from billing.jobs.sequence_events import WAITING
from billing.reads.page import Page, page
from billing.reads.scope import Scope
from billing.store.store import Row, Store
from billing.store.tables import (
    events,
    webhook_attempts,
    webhook_deliveries,
    webhook_endpoints,
    webhook_secrets,
)

PPM = 1_000_000

_ENDPOINTS = select(
    webhook_endpoints.c.endpoint_id,
    webhook_endpoints.c.owner,
    webhook_endpoints.c.url,
    webhook_endpoints.c.topics,
    webhook_endpoints.c.customer_id,
    webhook_endpoints.c.version,
    webhook_endpoints.c.state,
    webhook_endpoints.c.state_reason,
    webhook_endpoints.c.from_sequence,
    webhook_endpoints.c.recorded_at,
    webhook_endpoints.c.changed_at,
).where(webhook_endpoints.c.state != "removed")
_DELIVERIES = select(
    webhook_deliveries.c.endpoint_id,
    webhook_deliveries.c.sequence,
    events.c.message_id,
    events.c.topic.label("type"),
    webhook_deliveries.c.lane,
    webhook_deliveries.c.state,
    webhook_deliveries.c.attempts,
    webhook_deliveries.c.next_attempt_at,
    webhook_deliveries.c.first_attempt_at,
    webhook_deliveries.c.done_at,
    webhook_deliveries.c.is_replay,
    webhook_deliveries.c.recorded_at,
    webhook_deliveries.c.changed_at,
).join(events, events.c.sequence == webhook_deliveries.c.sequence)
_SECRETS = (
    select(
        webhook_secrets.c.secret_id,
        webhook_secrets.c.endpoint_id,
        webhook_secrets.c.valid_from_at,
        webhook_secrets.c.ends_at,
        webhook_secrets.c.recorded_at,
    )
    .where(webhook_secrets.c.endpoint_id == bindparam("id"))
    .order_by(webhook_secrets.c.recorded_at.desc(), webhook_secrets.c.secret_id.desc())
)


def endpoints(store: Store, scope: Scope, *, after: Sequence[object] | None, limit: int) -> Page:
    """The endpoints that are there."""
    found = page(store, _within(scope), [webhook_endpoints.c.endpoint_id], after=after, limit=limit)
    return Page([_shown(row) for row in found.rows], found.after)


def endpoint(store: Store, scope: Scope, *, endpoint_id: str) -> Row | None:
    """An endpoint; None where there is none in the scope, or it was removed."""
    row = store.row(_within(scope).where(webhook_endpoints.c.endpoint_id == endpoint_id))
    return None if row is None else _shown(row)


def secrets_of(store: Store, scope: Scope, *, endpoint_id: str) -> list[Row] | None:
    """From when to when the secrets of an endpoint sign, the newest first; never themselves."""
    if endpoint(store, scope, endpoint_id=endpoint_id) is None:
        return None
    return [{"object": "webhook_secret", **row} for row in store.rows(_SECRETS, {"id": endpoint_id})]


def deliveries(
    store: Store,
    scope: Scope,
    *,
    endpoint_id: str,
    after: Sequence[object] | None,
    limit: int,
    state: str | None = None,
) -> Page | None:
    """What an endpoint was sent or waits for, the newest first; None where there is no such endpoint."""
    if endpoint(store, scope, endpoint_id=endpoint_id) is None:
        return None
    asked = _DELIVERIES.where(webhook_deliveries.c.endpoint_id == endpoint_id)
    if state is not None:
        asked = asked.where(webhook_deliveries.c.state == state)
    keys = [webhook_deliveries.c.sequence]
    found = page(store, asked, keys, after=after, limit=limit, descending=True)
    return Page([{"object": "webhook_delivery", **row} for row in found.rows], found.after)


def delivery(store: Store, scope: Scope, *, endpoint_id: str, sequence: int) -> Row | None:
    """A delivery with its attempts; None where there is none."""
    if endpoint(store, scope, endpoint_id=endpoint_id) is None:
        return None
    own = webhook_deliveries
    row = store.row(_DELIVERIES.where(own.c.endpoint_id == endpoint_id, own.c.sequence == sequence))
    if row is None:
        return None
    tried = store.rows(_ATTEMPTS, {"endpoint": endpoint_id, "sequence": sequence})
    return {"object": "webhook_delivery", **row, "log": tried}


def health(store: Store, scope: Scope, *, endpoint_id: str, at: datetime) -> Row | None:
    """How an endpoint is: `success_ppm` of its attempts of the last 24 hours (None without one), how many
    deliveries wait and since when, and since when it has taken nothing."""
    if endpoint(store, scope, endpoint_id=endpoint_id) is None:
        return None
    about: dict[str, Any] = {"id": endpoint_id, "since": at - timedelta(hours=24)}
    row = store.row(_STATE, about)
    tried = store.row(_TRIED, about)
    waiting = store.row(_WAITING, about)
    assert row is not None
    assert tried is not None
    assert waiting is not None
    share = None if not tried["count"] else tried["taken"] * PPM // tried["count"]
    return {
        "object": "webhook_health",
        "endpoint_id": endpoint_id,
        **row,
        "attempts_24h": tried["count"],
        "success_ppm": share,
        "waiting": waiting["count"],
        "oldest_waiting_at": waiting["oldest"],
    }


_ATTEMPTS = (
    select(
        webhook_attempts.c.attempt,
        webhook_attempts.c.attempted_at,
        webhook_attempts.c.status,
        webhook_attempts.c.error,
        webhook_attempts.c.ms,
        webhook_attempts.c.answer_head,
        webhook_attempts.c.secret_id,
    )
    .where(
        webhook_attempts.c.endpoint_id == bindparam("endpoint"),
        webhook_attempts.c.sequence == bindparam("sequence"),
    )
    .order_by(webhook_attempts.c.attempt.desc())
    .limit(200)
)
_STATE = select(
    webhook_endpoints.c.state,
    webhook_endpoints.c.state_reason,
    webhook_endpoints.c.last_success_at,
    webhook_endpoints.c.last_failure_at,
    webhook_endpoints.c.failing_since,
    webhook_endpoints.c.consecutive_failures,
).where(webhook_endpoints.c.endpoint_id == bindparam("id"))
_IS_TAKEN = webhook_attempts.c.status.between(200, 299)
_COUNT: Any = func.count().label("count")
_TAKEN: Any = cast(func.coalesce(func.sum(case((_IS_TAKEN, 1), else_=0)), 0), Integer).label("taken")
_OLDEST: Any = func.min(webhook_deliveries.c.recorded_at).label("oldest")
_TRIED = select(_COUNT, _TAKEN).where(
    webhook_attempts.c.endpoint_id == bindparam("id"), webhook_attempts.c.attempted_at >= bindparam("since")
)
_WAITING = select(_COUNT, _OLDEST).where(
    webhook_deliveries.c.endpoint_id == bindparam("id"), webhook_deliveries.c.state == WAITING
)


def _within(scope: Scope) -> Select[Any]:
    return _ENDPOINTS.where(*scope.where(webhook_endpoints.c.customer_id))


def _shown(row: Row) -> Row:
    return {"object": "webhook_endpoint", **row, "topics": row["topics"].split()}
