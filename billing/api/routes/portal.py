"""The portal, as the merchant's server arranges it: ways in, users, and what is open to customers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from billing.api.performing import Act
from billing.api.resources import listed, merchants, owned, resource
from billing.api.route import Paging, Routes
from billing.api.shapes.base import Id
from billing.api.shapes.portal import (
    Link,
    NewLink,
    NewUser,
    Request,
    RequestState,
    Task,
    TaskChange,
    TaskName,
    User,
    UserChanges,
)
from billing.core.money import BillingError
from billing.reads import portal as reads
from billing.reads.page import Page
from billing.service.portal_sessions import LINK_LASTS
from billing.service.portal_settings import set_portal_task, tasks
from billing.service.portal_users import change_user, invite_user, remove_user
from billing.store.store import Row, Store
from billing.web.context import Context
from billing.web.portal_links import new_link
from billing.web.problems import Problem

routes = Routes("Portal", "portal")

MISSING_TASK, MISSING_USER = "unknown_setting", "unknown_user"


@routes.post("/portal-links", answer=Link, status=201)
def link(context: Context, body: NewLink) -> Act:
    """An address that signs a customer, or one of its users, in once. Send the customer there at once."""
    owned(context, body.customer_id, "customer_id")
    where = (context.services.portal_url or context.services.base_url).rstrip("/")

    def work(store: Store, at: datetime) -> dict[str, Any]:
        if body.task is not None and body.task not in tasks(store):
            raise BillingError("unknown_setting", f"task = {body.task!r}", field="task")
        url = new_link(
            store,
            at,
            where,
            customer_id=body.customer_id,
            user_id=body.user_id,
            kind="session",
            task=body.task,
            target=body.target,
        )
        facts = {"customer_id": body.customer_id, "url": url, "expires_at": at + LINK_LASTS["session"]}
        return resource("portal_link", facts) or {}

    return Act(work, status=201, kept=lambda one: one | {"url": "***"})


@routes.get("/portal-users", answer=User, is_list=True)
def users(context: Context, paging: Paging, customer_id: Id | None = None) -> Page:
    scope = context.scope
    with context.looking() as store:
        found = reads.all_users(store, scope, customer_id=customer_id, after=paging.after, limit=paging.limit)
    return listed("portal_user", found)


@routes.post("/portal-users", answer=User, status=201)
def invite(context: Context, body: NewUser) -> Act:
    """A person who may sign in for a customer, by a link to the e-mail address."""
    owned(context, body.customer_id, "customer_id")

    def work(store: Store, at: datetime) -> Row:
        user_id = invite_user(store, at, **body.given())
        found = resource("portal_user", reads.user(store, context.scope, user_id=user_id))
        assert found is not None
        return found

    return Act(work, [body.customer_id], status=201)


@routes.get("/portal-users/{user_id}", answer=User, subject=MISSING_USER)
def user(context: Context, user_id: Id) -> dict[str, Any] | None:
    with context.looking() as store:
        return _user(store, context, user_id)


@routes.patch("/portal-users/{user_id}", answer=User, subject=MISSING_USER)
def change_a_user(context: Context, user_id: Id, body: UserChanges) -> Act:
    """Change what a person may do; who manages the others last keeps that."""
    customer_id = _customer_of(context, user_id)
    changes = {
        name: value
        for name, value in body.given().items()
        if value is not None or name in ("limit_minor", "locale")
    }

    def work(store: Store, at: datetime) -> object:
        change_user(store, at, user_id=user_id, **changes)
        return _user(store, context, user_id)

    return Act(work, [customer_id], current=lambda store: _user(store, context, user_id), needs_match=True)


@routes.delete("/portal-users/{user_id}", subject=MISSING_USER)
def remove_a_user(context: Context, user_id: Id) -> Act:
    """End what a person may do, and its sessions. What it did keeps its name."""
    customer_id = _customer_of(context, user_id)
    return Act(
        lambda store, at: remove_user(store, at, user_id=user_id),
        [customer_id],
        status=204,
        current=lambda store: _user(store, context, user_id),
    )


def _user(store: Store, context: Context, user_id: str) -> dict[str, Any] | None:
    return resource("portal_user", reads.user(store, context.scope, user_id=user_id))


def _customer_of(context: Context, user_id: str) -> str:
    with context.looking() as store:
        found = reads.user(store, context.scope, user_id=user_id)
    if found is None:
        raise Problem(MISSING_USER, user_id, status=404)
    return str(found["customer_id"])


@routes.get("/portal-requests", answer=Request, is_list=True)
def requests(context: Context, paging: Paging, state: RequestState | None = None) -> Page:
    """Orders above a limit that users asked their approvers for, the newest first."""
    scope = context.scope
    with context.looking() as store:
        found = reads.requests(store, scope, state=state, after=paging.after, limit=paging.limit)
    return listed("portal_request", found)


@routes.get("/portal-requests/{request_id}", answer=Request, subject="unknown_request")
def request(context: Context, request_id: Id) -> dict[str, Any] | None:
    with context.looking() as store:
        return resource("portal_request", reads.request(store, context.scope, request_id=request_id))


@routes.get("/portal-tasks", answer=Task, is_list=True)
def all_tasks(context: Context) -> Page:
    """What customers may do alone, here too; what nobody decided on is open."""
    with context.looking() as store:
        return Page([_shown(one) for one in tasks(store).values()])


@routes.put("/portal-tasks/{task}", answer=Task, subject=MISSING_TASK)
def change_task(context: Context, task: TaskName, body: TaskChange) -> Act:
    merchants(context)

    def work(store: Store, at: datetime) -> dict[str, Any]:
        given = body.settings.given() if body.settings is not None else {}
        settings = {name: value for name, value in given.items() if value is not None}
        set_portal_task(store, at, name=task, is_open=body.is_open, settings=settings)
        return _shown(tasks(store)[task])

    return Act(work)


def _shown(one: Any) -> dict[str, Any]:
    facts = {"name": one.name, "is_open": one.is_open, "settings": dict(one.settings)}
    return {"object": "portal_task"} | facts
