"""Webhook endpoints: where events are sent, what became of them, and once more."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Path, Query

from billing.api.performing import Act
from billing.api.route import Paging, Routes
from billing.api.shapes.base import Id
from billing.api.shapes.webhooks import (
    Delivery,
    DeliveryLog,
    DeliveryState,
    Endpoint,
    EndpointChange,
    EndpointMade,
    Health,
    NewEndpoint,
    NewReplay,
    NewSecret,
    Replayed,
    SecretMade,
    Secrets,
)
from billing.core.money import BillingError
from billing.gateways.http_receiver import check_url
from billing.reads import webhooks as reads
from billing.reads.page import Page
from billing.service import webhook_endpoints as acts
from billing.store.store import Row, Store
from billing.web.context import Context, now
from billing.web.webhook_secrets import new_secret

routes = Routes("Webhooks", "webhooks")

MISSING = "unknown_endpoint"
Sequence = Annotated[int, Path(ge=0, le=10**18)]


@routes.get("/webhook-endpoints", answer=Endpoint, is_list=True)
def endpoints(context: Context, paging: Paging) -> Page:
    scope = context.scope
    with context.looking() as store:
        return reads.endpoints(store, scope, after=paging.after, limit=paging.limit)


@routes.get("/webhook-endpoints/{endpoint_id}", answer=Endpoint, subject=MISSING)
def endpoint(context: Context, endpoint_id: Id) -> Row | None:
    scope = context.scope
    with context.looking() as store:
        return reads.endpoint(store, scope, endpoint_id=endpoint_id)


@routes.post("/webhook-endpoints", answer=EndpointMade, status=201)
def create(context: Context, body: NewEndpoint) -> Act:
    """From now on events go there. The answer shows the secret that they are signed with, once."""
    services, caller, scope = context.services, context.caller, context.scope
    customer_id = body.customer_id or caller.customer_id
    if customer_id is not None and not scope.holds(customer_id):
        raise BillingError("unknown_customer", customer_id, field="customer_id")
    url = check_url(body.url, services.webhook_networks)
    secret, sealed = new_secret(services.vault)

    def work(store: Store, at: datetime) -> Row:
        endpoint_id = acts.create_endpoint(
            store,
            at,
            owner=caller.owner,
            url=url,
            sealed=sealed,
            version=context.version or at.date(),
            topics=body.topics,
            customer_id=customer_id,
        )
        return _there(store, context, endpoint_id) | {"secret": secret}

    return Act(
        work,
        status=201,
        location=lambda one: f"/v1/webhook-endpoints/{one['endpoint_id']}",
        kept=_without_secret,
    )


@routes.patch("/webhook-endpoints/{endpoint_id}", answer=Endpoint, subject=MISSING)
def change(context: Context, endpoint_id: Id, body: EndpointChange) -> Act:
    given = body.given()
    if body.url is not None:
        given["url"] = check_url(body.url, context.services.webhook_networks)

    def work(store: Store, at: datetime) -> Row:
        _there(store, context, endpoint_id)
        acts.change_endpoint(store, at, endpoint_id=endpoint_id, **given)
        return _there(store, context, endpoint_id)

    return Act(
        work,
        current=lambda store: _there(store, context, endpoint_id),
        needs_match=True,
    )


@routes.delete("/webhook-endpoints/{endpoint_id}", subject=MISSING)
def remove(context: Context, endpoint_id: Id) -> Act:
    """Nothing more is sent there, and its secrets end."""

    def work(store: Store, at: datetime) -> None:
        _there(store, context, endpoint_id)
        acts.remove_endpoint(store, at, endpoint_id=endpoint_id)

    return Act(work)


@routes.post("/webhook-endpoints/{endpoint_id}/enable", answer=Endpoint, subject=MISSING)
def enable(context: Context, endpoint_id: Id) -> Act:
    """What waits for an endpoint that was disabled or paused is sent, in order."""

    def work(store: Store, at: datetime) -> Row:
        _there(store, context, endpoint_id)
        acts.enable_endpoint(store, at, endpoint_id=endpoint_id)
        return _there(store, context, endpoint_id)

    return Act(work)


@routes.post("/webhook-endpoints/{endpoint_id}/test", answer=Endpoint, status=202, subject=MISSING)
def test(context: Context, endpoint_id: Id) -> Act:
    """Send a `webhook.test` there."""

    def work(store: Store, at: datetime) -> Row:
        shown = _there(store, context, endpoint_id)
        acts.try_endpoint(store, at, endpoint_id=endpoint_id)
        return shown

    return Act(work, status=202)


@routes.get("/webhook-endpoints/{endpoint_id}/secrets", answer=Secrets, subject=MISSING)
def secrets(context: Context, endpoint_id: Id) -> dict[str, Any] | None:
    scope = context.scope
    with context.looking() as store:
        found = reads.secrets_of(store, scope, endpoint_id=endpoint_id)
    return None if found is None else {"object": "list", "data": found}


@routes.post("/webhook-endpoints/{endpoint_id}/secrets", answer=SecretMade, status=201, subject=MISSING)
def rotate(context: Context, endpoint_id: Id, body: NewSecret) -> Act:
    """A new secret, shown once. Those before sign beside it for a time, so that nothing fails to verify."""
    secret, sealed = new_secret(context.services.vault)
    # Deliveries keep to the real clock, also where that of a sandbox is set.
    old_ends_at = now() + timedelta(seconds=body.overlap_seconds)

    def work(store: Store, at: datetime) -> Row:
        _there(store, context, endpoint_id)
        secret_id = acts.rotate_secret(
            store, at, endpoint_id=endpoint_id, sealed=sealed, old_ends_at=old_ends_at
        )
        about = {"object": "webhook_secret", "secret_id": secret_id, "endpoint_id": endpoint_id}
        return about | {"secret": secret, "old_ends_at": old_ends_at}

    return Act(work, status=201, kept=_without_secret)


@routes.post("/webhook-endpoints/{endpoint_id}/replay", answer=Replayed, status=202, subject=MISSING)
def replay(context: Context, endpoint_id: Id, body: NewReplay) -> Act:
    """Send events again, in order and under their ids; at most 10,000 a call."""

    def work(store: Store, at: datetime) -> Row:
        _there(store, context, endpoint_id)
        found = acts.replay(store, at, endpoint_id=endpoint_id, **body.given())
        return {
            "object": "webhook_replay",
            "endpoint_id": endpoint_id,
            "deliveries": found.deliveries,
            "next_sequence": found.next_sequence,
        }

    return Act(work, status=202)


@routes.get("/webhook-endpoints/{endpoint_id}/deliveries", answer=Delivery, is_list=True, subject=MISSING)
def deliveries(
    context: Context,
    paging: Paging,
    endpoint_id: Id,
    state: Annotated[DeliveryState | None, Query()] = None,
) -> Page | None:
    """The newest first."""
    scope = context.scope
    with context.looking() as store:
        return reads.deliveries(
            store, scope, endpoint_id=endpoint_id, after=paging.after, limit=paging.limit, state=state
        )


@routes.get("/webhook-endpoints/{endpoint_id}/deliveries/{sequence}", answer=DeliveryLog, subject=MISSING)
def delivery(context: Context, endpoint_id: Id, sequence: Sequence) -> Row | None:
    """With its attempts, the newest first."""
    scope = context.scope
    with context.looking() as store:
        return reads.delivery(store, scope, endpoint_id=endpoint_id, sequence=sequence)


@routes.get("/webhook-endpoints/{endpoint_id}/health", answer=Health, subject=MISSING)
def health(context: Context, endpoint_id: Id) -> Row | None:
    scope = context.scope
    with context.looking() as store:
        return reads.health(store, scope, endpoint_id=endpoint_id, at=now())


def _without_secret(shown: Row) -> Row:
    """What who asks again is shown: the secret is shown once."""
    return {name: value for name, value in shown.items() if name != "secret"}


def _there(store: Store, context: Context, endpoint_id: str) -> Row:
    """An endpoint that the caller may see. Raises `unknown_endpoint`."""
    row = reads.endpoint(store, context.scope, endpoint_id=endpoint_id)
    if row is None:
        raise BillingError(MISSING, endpoint_id)
    return row
