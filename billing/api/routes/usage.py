"""Usage: events taken in one by one or in bulk, what they come to so far, and what was refused."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, cast

import polars as pl
from fastapi import Depends, Query, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from billing.api.performing import Act
from billing.api.resources import merchants, owned
from billing.api.route import REHEARSED, Paging, Routes
from billing.api.shapes.base import Id, Instant
from billing.api.shapes.usage import (
    EVENT,
    Event,
    Frozen,
    Imported,
    NewEvent,
    OfCustomer,
    RejectedInput,
    Retried,
    SoFar,
    event_shown,
    used_shown,
)
from billing.api.usage_rows import MOST_ROWS, SentRows, sent_rows
from billing.core.money import BillingError
from billing.jobs.import_usage import UsageAnswer, import_usage, retry_rejected
from billing.reads import usage as reads
from billing.reads.page import Page
from billing.service.acts import job
from billing.service.drafts import freeze_quantities
from billing.store.messages import keep_rejected_once
from billing.store.store import Store
from billing.web.context import Context
from billing.web.problems import Problem

routes = Routes("Usage", "usage")
LINES = "application/x-ndjson"
_SOURCE = "import_usage"
_MEMBERS = {
    "bad_decimal": "value",
    "bad_time": "occurred_at",
    "duplicate_conflict": "event_id",
    "float_money": "value",
    "future_event": "occurred_at",
    "naive_time": "occurred_at",
    "negative_quantity": "value",
    "too_many_decimals": "value",
    "amount_out_of_range": "value",
}
"""The member of an event that a refusal is about."""


# Taking in.


@routes.post("/usage-events", answer=Event, status=201)
def add_event(context: Context, body: NewEvent) -> Act:
    """Take in one event. It is known by `source` and `event_id`: the same again changes nothing."""
    given = {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in body.given().items()
        if value is not None
    }
    if "occurred_at" not in given and "occurred_on" not in given:
        raise Problem("invalid", "an event needs occurred_at or occurred_on", field="occurred_at")
    events = pl.DataFrame([given])

    def work(store: Store, at: datetime) -> object:
        answer = _taken_in(context, store, at, events)
        for refused in answer.rejected.iter_rows(named=True):
            raise BillingError(refused["code"], refused["detail"], field=_MEMBERS.get(refused["code"]))
        row = reads.event(store, context.scope, source=body.source, event_id=body.event_id)
        assert row is not None
        return event_shown(row)

    return Act(work, status=201)


def _taken_in(context: Context, store: Store, at: datetime, events: pl.DataFrame) -> UsageAnswer:
    own_id = context.caller.customer_id
    if own_id is not None:
        events = reads.within_scope(store, context.scope, own_id, events)
    with job(store, at, _SOURCE, rows=events.height):
        return import_usage(store, at, events, may_take_back=own_id is None)


async def _rows_of(request: Request) -> SentRows:
    """The rows of a body. Raises Problem `unsupported_media_type`, `bad_json`, `too_large`."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in ("application/json", LINES) or "content-encoding" in request.headers:
        raise Problem("unsupported_media_type", f"send application/json or {LINES}, not compressed")
    return await run_in_threadpool(sent_rows, await request.body(), are_lines=media == LINES)


@routes.post("/usage-events/bulk", answer=Imported)
def add_events(
    context: Context,
    rows: Annotated[SentRows, Depends(_rows_of)],
    every: Annotated[bool, Query(alias="all", description="tell the outcome of every row")] = False,
) -> Act:
    """Take in up to 50,000 events: a JSON array of them, or one a line. Each is accepted, a duplicate or
    refused by itself; to send them again changes nothing."""

    def work(store: Store, at: datetime) -> object:
        answer = _taken_in(context, store, at, rows.events)
        if rows.refused.height:
            keep_rejected_once(store, at, _SOURCE, rows.refused.select("code", "detail", "payload"))
        return _told(rows, answer, every)

    return Act(work)


_BULK = cast(APIRoute, routes.router.routes[-1])
assert _BULK.openapi_extra is not None
_BULK.openapi_extra["requestBody"] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "array",
                "maxItems": MOST_ROWS,
                "items": NewEvent.model_json_schema(),
                "examples": [[EVENT]],
            }
        },
        LINES: {"schema": {"type": "string", "description": "one event a line"}},
    },
}


def _told(rows: SentRows, answer: UsageAnswer, every: bool) -> dict[str, Any]:
    """The outcome of each row, by its place in the body."""
    refused = pl.concat(
        [
            rows.refused.drop("payload"),
            answer.rejected.with_columns(rows.places.gather(answer.rejected["row"]).alias("row")),
        ]
    ).with_columns(pl.lit("rejected").alias("outcome"))
    told = [refused]
    if every:
        is_repeated = pl.int_range(rows.events.height, eager=True).is_in(answer.repeated.implode())
        others = rows.events.select(
            rows.places.alias("row"),
            "source",
            "event_id",
            pl.when(is_repeated).then(pl.lit("duplicate")).otherwise(pl.lit("accepted")).alias("outcome"),
        )
        told.append(others.join(refused, on="row", how="anti"))
    items = pl.concat(told, how="diagonal").sort("row")
    names = ("row", "outcome", "source", "event_id", "code", "detail")
    return {
        "object": "usage_import",
        "accepted": answer.accepted,
        "duplicate": answer.duplicate,
        "rejected": refused.height,
        "items": items.select(names).to_dicts(),
    }


# Reading.


@routes.get("/usage-events", answer=Event, is_list=True)
def events(
    context: Context,
    paging: Paging,
    item_id: Id,
    meter_id: Id,
    since: Instant | None = None,
    until: Instant | None = None,
) -> Page:
    """The events of an item's meter in [since, until), as they happened."""
    scope = context.scope
    with context.looking() as store:
        found = reads.events_of_item(
            store,
            scope,
            after=paging.after,
            limit=paging.limit,
            item_id=item_id,
            meter_id=meter_id,
            since=since,
            until=until,
        )
    return Page([event_shown(row) for row in found.rows], found.after)


@routes.get("/usage-events/unbilled", answer=Event, is_list=True)
def unbilled(
    context: Context,
    paging: Paging,
    customer_id: Id,
    reason: Annotated[str | None, Query(max_length=40)] = None,
) -> Page:
    """The events of a customer that nothing bills, by source and id; `reason`: only those left for it."""
    scope = context.scope
    with context.looking() as store:
        found = reads.unbilled_events(
            store,
            scope,
            after=paging.after,
            limit=paging.limit,
            customer_id=customer_id,
            reason=reason,
        )
    return Page([event_shown(row) for row in found.rows], found.after)


@routes.get("/usage", answer=SoFar, subject="unknown_customer", responses=REHEARSED)
def so_far(context: Context, customer_id: Id) -> dict[str, Any] | None:
    """What a customer used that is not billed yet, and what it comes to by now."""
    scope = context.scope
    with context.rehearsing() as (store, at):
        found = reads.so_far(store, at, scope, customer_id=customer_id)
    if found is None:
        return None
    return {"object": "usage", "customer_id": customer_id, "data": [used_shown(one) for one in found]}


@routes.post("/usage/freeze", answer=Frozen)
def freeze(context: Context, body: OfCustomer) -> Act:
    """Take the quantities of usage that is due and not billed yet as they are now."""
    customer_id = body.customer_id
    owned(context, customer_id, "customer_id")

    def work(store: Store, at: datetime) -> object:
        quantities = freeze_quantities(store, at, customer_id=customer_id)
        return {"object": "usage_freeze", "customer_id": customer_id, "quantities": quantities}

    return Act(work, holds=(customer_id,))


# What was refused.


@routes.get("/rejected-inputs", answer=RejectedInput, is_list=True, scope="usage:admin")
def rejected(
    context: Context,
    paging: Paging,
    source: Annotated[str | None, Query(max_length=60)] = None,
    code: Annotated[str | None, Query(max_length=60)] = None,
    is_open: bool | None = None,
) -> Page:
    """Inputs that were refused, of the whole merchant. `is_open`: those not taken in since."""
    with context.looking() as store:
        found = reads.rejected(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            source=source,
            code=code,
            is_open=is_open,
        )
    return Page([{"object": "rejected_input", **row} for row in found.rows], found.after)


@routes.post("/rejected-inputs/retry", answer=Retried, scope="usage:admin")
def retry(context: Context) -> Act:
    """Send again the events whose item or meter was unknown."""
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        with job(store, at, "retry_rejected"):
            return {"object": "usage_retry", **asdict(retry_rejected(store, at))}

    return Act(work)
