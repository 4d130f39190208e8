"""What is chased, and what waits for a person: dunning cases, approvals, customers that were set aside."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from billing.api.performing import Act
from billing.api.resources import listed, merchants, resource
from billing.api.route import Paging, Routes
from billing.api.shapes import money as shapes
from billing.api.shapes.base import Id
from billing.jobs.retry import free
from billing.reads import approvals as approval_reads
from billing.reads import dunning as reads
from billing.reads.page import Page
from billing.service import approvals as approval_acts
from billing.service.acts import job
from billing.store.store import Store
from billing.web.context import Context

routes = Routes("Dunning and approvals", "dunning")


@routes.get("/dunning-cases", answer=shapes.Case, is_list=True)
def cases(
    context: Context,
    paging: Paging,
    customer_id: Id | None = None,
    is_open: bool | None = None,
    track: shapes.Track | None = None,
    state: Id | None = None,
) -> Page:
    """Dunning cases, the newest first. `state`: how far one of net terms has come."""
    with context.looking() as store:
        found = reads.cases(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            customer_id=customer_id,
            is_open=is_open,
            track=track,
            state=state,
        )
    return listed("dunning_case", found)


@routes.get("/dunning-queue", answer=shapes.Queue)
def queue(context: Context) -> dict[str, Any]:
    """The 200 open cases whose next act comes first, with what is overdue."""
    with context.looking() as store:
        found = reads.queue(store, context.scope, today=context.now().date(), limit=200)
    return {"object": "dunning_queue", "data": [{"object": "dunning_case"} | row for row in found]}


@routes.get("/dunning-cases/{case_id}", answer=shapes.Case, subject="unknown_case")
def case(context: Context, case_id: Id) -> dict[str, Any] | None:
    """One case with its steps."""
    with context.looking() as store:
        return resource("dunning_case", reads.case(store, context.scope, case_id=case_id))


# Approvals.


def _approval(store: Store, context: Context, approval_id: str) -> dict[str, Any] | None:
    return resource("approval", approval_reads.approval(store, context.scope, approval_id=approval_id))


@routes.get("/approvals", answer=shapes.Approval, scope="approvals:read", is_list=True)
def approvals(
    context: Context,
    paging: Paging,
    state: shapes.ApprovalState | None = None,
    kind: shapes.ApprovalKind | None = None,
    customer_id: Id | None = None,
) -> Page:
    """What waits for a person's word of the merchant's, or was decided."""
    with context.looking() as store:
        found = approval_reads.approvals(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            state=state,
            kind=kind,
            customer_id=customer_id,
        )
    return listed("approval", found)


@routes.get(
    "/approvals/{approval_id}",
    answer=shapes.Approval,
    scope="approvals:read",
    subject="unknown_approval",
)
def approval(context: Context, approval_id: Id) -> dict[str, Any] | None:
    """One approval."""
    with context.looking() as store:
        return _approval(store, context, approval_id)


def _decided(context: Context, approval_id: str, act: Callable[..., None]) -> Act:
    """A decision by who calls."""
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        act(store, at, approval_id=approval_id, decided_by=context.caller.actor)
        return _approval(store, context, approval_id)

    return Act(work, current=lambda store: _approval(store, context, approval_id))


@routes.post(
    "/approvals/{approval_id}/approve",
    answer=shapes.Approval,
    scope="approvals:write",
    subject="unknown_approval",
    needs_key=True,
)
def approve(context: Context, approval_id: Id) -> Act:
    """Carry out what waits, once."""
    return _decided(context, approval_id, approval_acts.approve)


@routes.post(
    "/approvals/{approval_id}/reject",
    answer=shapes.Approval,
    scope="approvals:write",
    subject="unknown_approval",
    needs_key=True,
)
def reject(context: Context, approval_id: Id) -> Act:
    """Let nothing come of what waits."""
    return _decided(context, approval_id, approval_acts.reject)


# Customers that bill runs set aside.


@routes.get("/parked-customers", answer=shapes.Parked, scope="customers:read", is_list=True)
def parked(context: Context, paging: Paging) -> Page:
    """Customers that bill runs set aside, and why."""
    with context.looking() as store:
        found = approval_reads.parked(store, context.scope, after=paging.after, limit=paging.limit)
    return listed("parked_customer", found)


@routes.post(
    "/parked-customers/{customer_id}/retry",
    answer=shapes.Retried,
    scope="customers:admin",
    subject="unknown_customer",
)
def retry(context: Context, customer_id: Id) -> Act:
    """Set a customer aside no longer, once what stopped it is mended: the next bill run bills it."""
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        with job(store, at, "retry", customer_id=customer_id):
            free(store, at, [customer_id])
        return {"object": "parked_customer", "customer_id": customer_id, "is_parked": False}

    return Act(work, (customer_id,))
