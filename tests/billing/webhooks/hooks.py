"""What tests of webhooks share: endpoints, things that happen, and receivers that do as they are told."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import select

from billing.api.versions import event_in
from billing.gateways.receiver import Delivered
from billing.jobs.deliver_webhooks import Deliverer
from billing.service.webhook_endpoints import create_endpoint
from billing.store.messages import announce
from billing.store.store import Row, Store
from billing.store.tables import webhook_deliveries, webhook_endpoints
from billing.web.seal import Vault

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
VERSION = date(2026, 1, 1)
URL = "https://hooks.example.com/in"
VAULT = Vault(bytes(range(32)))


def sealed(number: int = 1) -> str:
    return VAULT.seal(secret(number), "webhook")


def secret(number: int = 1) -> str:
    return "whsec_" + base64.b64encode(bytes([number]) * 32).decode()


def reveal(text: str) -> str:
    return VAULT.open(text, "webhook")


def endpoint(store: Store, at: datetime = AT, **settings: Any) -> str:
    given: dict[str, Any] = {"owner": "shop", "url": URL, "sealed": sealed(), "version": VERSION}
    return create_endpoint(store, at, **given | settings)


def happens(store: Store, count: int, *, lanes: int = 1, at: datetime = AT, first: int = 0) -> None:
    """Payments come in, of so many customers in turn."""
    told = [
        (
            "payment.captured",
            f"pay{number}",
            {"customer_id": f"c{number % lanes}", "amount_minor": number, "currency": "EUR"},
        )
        for number in range(first, first + count)
    ]
    with store.transaction():
        announce(store, at, told)


class Told:
    """A receiver that answers as `answers` says, and remembers what it took, by lane."""

    def __init__(self, answers: Callable[[Mapping[str, Any]], Delivered] | None = None) -> None:
        self.answers = answers or (lambda _said: Delivered(200))
        self.taken: dict[str, list[int]] = defaultdict(list)
        """Sequences that were answered by 2xx, by customer."""
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Delivered:
        said = json.loads(body)
        self.requests.append((url, dict(headers), body))
        answer = self.answers(said)
        if answer.is_taken:
            self.taken[str(said["data"]["customer_id"])].append(said["sequence"])
        return answer


def deliverer(store: Store, receiver: Told) -> Deliverer:
    """One whose requests are made at once."""
    return Deliverer(store, receiver, reveal, lambda send: send(), event_in)


def settle(one: Deliverer, at: datetime) -> None:
    """Do all that is to be done at an instant."""
    while one.step(at):
        pass


def play(one: Deliverer, store: Store, at: datetime, *, hours: float = 80) -> datetime:
    """Let time pass, from one attempt to the next, until nothing is due within so many hours."""
    last = at + timedelta(hours=hours)
    while at <= last:
        settle(one, at)
        ahead = [row["next_attempt_at"] for row in deliveries(store) if row["next_attempt_at"]]
        if not ahead:
            break
        at = max(min(ahead), at + timedelta(seconds=5))
    return at


def deliveries(store: Store, endpoint_id: str | None = None) -> list[Row]:
    asked = select(webhook_deliveries).order_by(webhook_deliveries.c.sequence)
    if endpoint_id is not None:
        asked = asked.where(webhook_deliveries.c.endpoint_id == endpoint_id)
    return store.rows(asked)


def state_of(store: Store, endpoint_id: str) -> Row:
    row = store.row(select(webhook_endpoints).where(webhook_endpoints.c.endpoint_id == endpoint_id))
    assert row is not None
    return row
