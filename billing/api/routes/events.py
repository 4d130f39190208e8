"""Events, for those who would rather ask than be called."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from billing.api.route import Paging, Routes
from billing.api.shapes.base import Id
from billing.api.shapes.webhooks import Event
from billing.api.versions import event_in
from billing.reads import events as reads
from billing.reads.page import Page
from billing.store.store import Row
from billing.web.context import Context

routes = Routes("Events", "events")

Topic = Annotated[str, Query(max_length=100)]
Sequence = Annotated[int, Query(ge=0, le=10**18)]


@routes.get("/events", answer=Event, is_list=True)
def events(
    context: Context,
    paging: Paging,
    topic: Topic | None = None,
    subject_id: Id | None = None,
    customer_id: Id | None = None,
    after_sequence: Sequence | None = None,
) -> Page:
    """In their one order; keep the last `sequence` and ask for what came after it."""
    scope = context.scope
    with context.looking() as store:
        found = reads.listed_events(
            store,
            scope,
            after=paging.after,
            limit=paging.limit,
            topic=topic,
            subject_id=subject_id,
            customer_id=customer_id,
            after_sequence=after_sequence,
        )
    return Page([event_in(context.version, row) for row in found.rows], found.after)


@routes.get("/events/{message_id}", answer=Event)
def event(context: Context, message_id: Id) -> Row | None:
    """By the `webhook-id` of a delivery."""
    scope = context.scope
    with context.looking() as store:
        found = reads.event(store, scope, message_id=message_id)
    return None if found is None else event_in(context.version, found)
