"""The portal, as the merchant's server arranges it: ways in, users, and what is open to customers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from billing.api.performing import Act
from billing.api.resources import listed, merchants, owned, resource
from billing.api.route import Paging, Routes
from billing.api.shapes.base import Id
from billing.api.shapes.portal import Link, NewLink, NewUser, Task, TaskChange, TaskName, User
from billing.core.money import BillingError
from billing.reads import portal as reads
from billing.reads.page import Page
from billing.service.portal_sessions import LINK_LASTS
from billing.service.portal_settings import set_portal_task, tasks
from billing.service.portal_users import invite_user
from billing.store.store import Row, Store
from billing.web.context import Context
from billing.web.portal_links import new_link

routes = Routes("Portal", "portal")

MISSING_TASK = "unknown_setting"


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
