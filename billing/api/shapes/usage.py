"""Usage: events, what became of those that were sent, what they come to, and what was refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from billing.api.shapes.base import Answer, Body, Currency, Day, Decimal, Id, Instant
from billing.api.shapes.examples import example
from billing.core.money import Scaled, format_scaled
from billing.reads.usage import Used

EVENT = {
    "source": "shop",
    "event_id": "order-4711",
    "item_id": "item-1",
    "meter_id": "calls",
    "value": "1.5",
    "occurred_at": "2025-03-10T08:00:00Z",
}


class NewEvent(Body):
    """One event. `value`: decimal text of at most the meter's decimals; `occurred_at` with its offset, or
    `occurred_on`, a day of the customer counted at its start; `dimension`: what a `unique_count` counts."""

    model_config = example(**EVENT)

    source: Id
    event_id: Id
    item_id: Id
    meter_id: Id
    value: Decimal
    occurred_at: Instant | None = None
    occurred_on: Day | None = None
    customer_id: Id | None = None
    operation: Literal["add", "remove"] | None = None
    dimension: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = (
        None
    )


class Event(Answer):
    """An event as it is kept. `unbilled_reason`: why nothing bills it, null for what is billed."""

    source: str
    event_id: str
    customer_id: str
    item_id: str
    meter_id: str
    value: str
    occurred_at: datetime
    occurred_on: date
    operation: str | None
    dimension: str | None
    unbilled_reason: str | None
    recorded_at: datetime


class Outcome(Answer):
    """What became of a row, counted from 0. `code`, `detail`: of one that was refused."""

    row: int
    outcome: Literal["accepted", "duplicate", "rejected"]
    source: str | None
    event_id: str | None
    code: str | None
    detail: str | None


class Imported(Answer):
    """The three counts add up to the rows sent; `items`: the refused ones, or with `all=true` every row."""

    accepted: int
    duplicate: int
    rejected: int
    items: list[Outcome]


class UsedSoFar(Answer):
    """Usage of a component in [service_start, service_end), before tax and document discounts."""

    item_id: str
    component_id: str
    meter_id: str | None
    service_start: date
    service_end: date
    quantity: str
    currency: Currency
    net_minor: int
    description: str


class SoFar(Answer):
    """What a customer used that is not billed yet."""

    customer_id: str
    data: list[UsedSoFar]


class Frozen(Answer):
    """How many quantities were taken as they are now."""

    customer_id: str
    quantities: int


class OfCustomer(Body):
    model_config = example(customer_id="anna")

    customer_id: Id


class RejectedInput(Answer):
    """An input that was refused, as it was sent (JSON). `source`: the act or import that refused it."""

    reject_id: str
    source: str
    code: str
    detail: str
    payload: str
    is_resolved: bool
    recorded_at: datetime


class Retried(Answer):
    """What became of the events sent again; `codes`: those refused once more, by code."""

    rows: int
    accepted: int
    duplicate: int
    rejected: int
    codes: dict[str, int]


def event_shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of billing.reads.usage."""
    kept = {name: value for name, value in row.items() if name not in ("value_mantissa", "scale", "seq")}
    return {
        "object": "usage_event",
        **kept,
        "value": format_scaled(Scaled(row["value_mantissa"], row["scale"])),
    }


def used_shown(one: Used) -> dict[str, Any]:
    return {
        "item_id": one.item_id,
        "component_id": one.component_id,
        "meter_id": one.meter_id,
        "service_start": one.service_start,
        "service_end": one.service_end,
        "quantity": format_scaled(one.quantity),
        "currency": one.currency,
        "net_minor": one.net_minor,
        "description": one.description,
    }
