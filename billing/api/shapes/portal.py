"""Shapes of the portal: ways in, users, and what is open to customers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from billing.api.shapes.base import Answer, Body, Id, Text
from billing.api.shapes.of_tables import row_of
from billing.store.tables import portal_users, purchase_requests

Role = Literal["buyer", "approver", "viewer"]
TaskName = Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[a-z_]+$", examples=["cancel"])]
Days = Annotated[int, Field(ge=1, le=3_660)]
Locale = Annotated[str, Field(min_length=2, max_length=20, examples=["ar"])]
RequestState = Literal["pending", "approved", "rejected", "withdrawn", "failed"]
Limit = Annotated[int, Field(ge=0, le=10**15)]

User = row_of("PortalUser", "portal_user", portal_users)
Request = row_of(
    "PortalRequest",
    "portal_request",
    purchase_requests,
    without=("arguments", "state"),
    arguments=dict[str, Any],
    state=RequestState,
    asked_by_name=str,
    customer_name=str,
)


class NewLink(Body):
    """Without `user_id` the customer itself comes in. `task`: the only thing the link opens; `target`: the
    subscription, invoice or wallet that it is about."""

    customer_id: Id
    user_id: Id | None = None
    task: TaskName | None = None
    target: Id | None = None


class Link(Answer):
    """Shown once: the address works once, until it expires."""

    object: Literal["portal_link"]
    customer_id: str
    url: str
    expires_at: datetime


class NewUser(Body):
    """`limit_minor`: what the user may order alone, in the customer's currency; null for any amount."""

    customer_id: Id
    email: Annotated[str, Field(min_length=3, max_length=254, examples=["buyer@example.com"])]
    name: Text
    role: Role = "buyer"
    is_account_admin: bool = False
    sees_children: bool = False
    limit_minor: Limit | None = None
    locale: Locale | None = None


class UserChanges(Body):
    """What is left out or null stays as it is, but a `limit_minor` of null lets the user order any amount,
    and a `locale` of null speaks the customer's."""

    name: Text | None = None
    role: Role | None = None
    is_account_admin: bool | None = None
    sees_children: bool | None = None
    limit_minor: Limit | None = None
    locale: Locale | None = None


class TaskSettings(Body):
    """Only a pause has something to settle: how many days it lasts at most."""

    longest_days: Days | None = None


class TaskChange(Body):
    is_open: bool
    settings: TaskSettings | None = None


class Task(Answer):
    object: Literal["portal_task"]
    name: TaskName
    is_open: bool
    settings: dict[str, int]
