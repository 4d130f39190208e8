"""Puts the messages of the outbox in one order, each once, and notes which endpoints get them.

A message is recorded at its act's instant and seen when that commits, so no instant tells where a reader
stopped: each message bears a mark of its own. One process gives the numbers, so they rise; what commits later
gets a later number. What happens to one subscription follows one another in the order it was committed, as
acts on one customer wait for each other.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import polars as pl
from sqlalchemy import Column, ColumnElement, Integer, Select, bindparam, literal_column, select

from billing.jobs.bill_facts import read_by_ids
from billing.jobs.event_catalogue import PUBLIC, fits, topic_of
from billing.store.store import Row, Store
from billing.store.tables import (
    contracts,
    events,
    items,
    outbox,
    stock_orders,
    subscriptions,
    wallets,
    webhook_deliveries,
    webhook_endpoints,
)

BATCH = 5_000
"""Messages of one transaction."""
TEST = "webhook.test"
"""An event for the endpoint that it is about, and for no other."""
WAITING: ColumnElement[str] = literal_column("'waiting'")
"""The state, as the index of what waits has it: a value that is bound would not be seen to be the same."""

_NEW = (
    select(outbox.c.message_id, outbox.c.topic, outbox.c.subject_id, outbox.c.payload, outbox.c.recorded_at)
    .where(outbox.c.sequenced_at.is_(None))
    .order_by(outbox.c.recorded_at, outbox.c.message_id)
    .limit(bindparam("batch", type_=Integer))
)
_ENDPOINTS = select(
    webhook_endpoints.c.endpoint_id,
    webhook_endpoints.c.topics,
    webhook_endpoints.c.customer_id,
    webhook_endpoints.c.from_sequence,
    webhook_endpoints.c.state,
).where(webhook_endpoints.c.state != "removed")


def sequence_events(store: Store, at: datetime, *, batch: int = BATCH) -> int:
    """Give the next `batch` messages that have none their places, and note the deliveries they make; how many
    messages. The caller is the one process that does this (claim `webhooks`)."""
    if not store.rows(_NEW, {"batch": 1}):  # So that nobody waits for a lock where there is nothing to do.
        return 0
    return store.perform(partial(_sequence, store, at, batch))


def _sequence(store: Store, at: datetime, batch: int) -> int:
    messages = store.rows(_NEW, {"batch": batch})
    if not messages:
        return 0
    rows = _events(store, at, messages)
    store.insert(events, rows)
    done = [{"message_id": row["message_id"], "sequenced_at": at} for row in messages]
    store.update(outbox, done)
    # Read after the messages: an endpoint that is there when something happens misses nothing of it.
    for endpoint in store.rows(_ENDPOINTS):
        _note_deliveries(store, at, endpoint, [row for row in rows if wants(endpoint, row)])
    return len(messages)


def wants(endpoint: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether an event goes to an endpoint. One of a customer gets what is about this customer alone, and of
    that what is no matter of the merchant's own."""
    if event["topic"] == TEST:
        return bool(event["subject_id"] == endpoint["endpoint_id"])
    if event["sequence"] <= endpoint["from_sequence"] or not fits(endpoint["topics"], event["topic"]):
        return False
    if endpoint["customer_id"] is None:
        return True
    return event["customer_id"] == endpoint["customer_id"] and event["topic"] in PUBLIC


def _events(store: Store, at: datetime, messages: Sequence[Row]) -> list[Row]:
    payloads = [json.loads(row["payload"]) for row in messages]
    owners = _owners(store, messages, payloads)
    first = store.take_numbers("", "event", 0, len(messages), at)
    return [
        {
            "sequence": number,
            "message_id": row["message_id"],
            "topic": row["topic"],
            "subject_id": row["subject_id"],
            "customer_id": owner,
            "lane": lane_of(row, payload, owner),
            "recorded_at": row["recorded_at"],
        }
        for number, (row, payload, owner) in enumerate(zip(messages, payloads, owners, strict=True), first)
    ]


def lane_of(message: Mapping[str, Any], payload: Mapping[str, Any], customer_id: str | None) -> str:
    """What an event keeps its order within: its subscription, else its customer, else what it is about."""
    if message["topic"].startswith("subscription."):
        return str(message["subject_id"])
    return str(payload.get("subscription_id") or customer_id or message["subject_id"])


# Whose an event is.

_LOOK_UPS: Mapping[str, tuple[Column[Any], Select[Any]]] = {
    "contract": (
        contracts.c.contract_id,
        select(contracts.c.contract_id.label("id"), contracts.c.customer_id),
    ),
    "wallet": (wallets.c.wallet_id, select(wallets.c.wallet_id.label("id"), wallets.c.customer_id)),
    "order": (
        stock_orders.c.order_id,
        select(stock_orders.c.order_id.label("id"), items.c.customer_id).join(
            items, items.c.item_id == stock_orders.c.item_id
        ),
    ),
    "subscription": (
        subscriptions.c.subscription_id,
        select(subscriptions.c.subscription_id.label("id"), subscriptions.c.sold_to.label("customer_id")),
    ),
}


def _owners(store: Store, messages: Sequence[Row], payloads: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """The customer of each message; None where it is of none."""
    asked: dict[str, set[str]] = defaultdict(set)
    for row, payload in zip(messages, payloads, strict=True):
        whose = topic_of(row["topic"]).whose
        if payload.get("customer_id") is None and whose in _LOOK_UPS:
            asked[whose].add(_named(whose, row, payload))
    known = {
        (whose, row["id"]): row["customer_id"]
        for whose, ids in asked.items()
        for row in read_by_ids(store, _LOOK_UPS[whose][1], _LOOK_UPS[whose][0], sorted(ids)).to_dicts()
    }
    return [_owner(known, row, payload) for row, payload in zip(messages, payloads, strict=True)]


def _owner(known: Mapping[tuple[str, str], str], row: Row, payload: Mapping[str, Any]) -> str | None:
    whose = topic_of(row["topic"]).whose
    if whose == "subject":
        return str(row["subject_id"])
    if payload.get("customer_id") is not None:
        return str(payload["customer_id"])
    return known.get((whose, _named(whose, row, payload)))


def _named(whose: str, row: Row, payload: Mapping[str, Any]) -> str:
    return str(payload.get("subscription_id") if whose == "subscription" else row["subject_id"])


# What goes where.

_WAITING = (
    select(webhook_deliveries.c.lane)
    .where(webhook_deliveries.c.endpoint_id == bindparam("endpoint"), webhook_deliveries.c.state == WAITING)
    .distinct()
)


def _note_deliveries(store: Store, at: datetime, endpoint: Row, rows: Sequence[Row]) -> None:
    """Let events wait for an endpoint; the first of a lane in which nothing waits is due at once."""
    if not rows:
        return
    busy: set[str] = set()
    if endpoint["state"] == "enabled":
        lanes = pl.DataFrame({"lane": sorted({row["lane"] for row in rows})})
        with store.temporary(lanes) as given:
            joined = _WAITING.join(given, given.c.lane == webhook_deliveries.c.lane)
            busy = {row["lane"] for row in store.rows(joined, {"endpoint": endpoint["endpoint_id"]})}
    new = []
    for row in rows:
        is_due = endpoint["state"] == "enabled" and row["lane"] not in busy
        busy.add(row["lane"])
        new.append(
            {
                "endpoint_id": endpoint["endpoint_id"],
                "sequence": row["sequence"],
                "lane": row["lane"],
                "state": "waiting",
                "next_attempt_at": at if is_due else None,
            }
        )
    store.insert(webhook_deliveries, new, at)
