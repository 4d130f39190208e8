"""Shapes of events and webhooks."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from billing.api.shapes.base import Answer, Body, Id, Instant

Url = Annotated[str, Field(min_length=1, max_length=2_048, examples=["https://hooks.example.com/tajdid"])]
Topic = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[a-z0-9_.*]+$")]
Topics = Annotated[
    list[Topic], Field(min_length=1, max_length=100, examples=[["invoice.*", "payment.failed"]])
]
Sequence = Annotated[int, Field(ge=0, le=10**18)]
Seconds = Annotated[int, Field(ge=0, le=7 * 86_400)]
DeliveryState = Literal["waiting", "delivered", "dead"]


class NewEndpoint(Body):
    """`topics`: `*`, topics, or all of a thing (`invoice.*`). `customer_id`: only what is about it."""

    url: Url
    topics: Topics = Field(default=["*"])
    customer_id: Id | None = None


class EndpointChange(Body):
    """Of an endpoint that is paused all waits until it goes on."""

    url: Url | None = None
    topics: Topics | None = None
    is_paused: bool | None = None


class NewSecret(Body):
    """`overlap_seconds`: how long the secrets before sign beside the new one; a day unless it is said."""

    overlap_seconds: Seconds = 86_400


class NewReplay(Body):
    """From a sequence on, or what was recorded at an instant and later; of some topics alone if they are
    named."""

    from_sequence: Sequence | None = None
    since: Instant | None = None
    topics: Topics | None = None


class Event(Answer):
    object: Literal["event"]
    message_id: str
    type: str
    timestamp: datetime
    sequence: int
    data: dict[str, Any]


class Endpoint(Answer):
    object: Literal["webhook_endpoint"]
    endpoint_id: str
    owner: str
    url: str
    topics: list[str]
    customer_id: str | None
    version: date
    state: Literal["enabled", "paused", "disabled"]
    state_reason: str | None
    from_sequence: int
    recorded_at: datetime
    changed_at: datetime


class EndpointMade(Endpoint):
    """`secret` is shown here and never again."""

    secret: str | None = None


class SecretMade(Answer):
    """`secret` is shown here and never again; those before sign until `old_ends_at`."""

    object: Literal["webhook_secret"]
    secret_id: str
    endpoint_id: str
    secret: str | None = None
    old_ends_at: datetime


class Secrets(Answer):
    """From when to when the secrets of an endpoint sign."""

    object: Literal["list"]
    data: list[dict[str, Any]]


class Attempt(Answer):
    attempt: int
    attempted_at: datetime
    status: int | None
    error: str | None
    ms: int
    answer_head: str | None
    secret_id: str | None


class Delivery(Answer):
    object: Literal["webhook_delivery"]
    endpoint_id: str
    sequence: int
    message_id: str
    type: str
    lane: str
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    first_attempt_at: datetime | None
    done_at: datetime | None
    is_replay: bool


class DeliveryLog(Delivery):
    log: list[Attempt]


class Health(Answer):
    object: Literal["webhook_health"]
    endpoint_id: str
    state: str
    state_reason: str | None
    last_success_at: datetime | None
    last_failure_at: datetime | None
    failing_since: datetime | None
    consecutive_failures: int
    attempts_24h: int
    success_ppm: int | None
    waiting: int
    oldest_waiting_at: datetime | None


class Replayed(Answer):
    """`deliveries` are sent again; from `next_sequence` the next call goes on, null when there is no more."""

    object: Literal["webhook_replay"]
    endpoint_id: str
    deliveries: int
    next_sequence: int | None
