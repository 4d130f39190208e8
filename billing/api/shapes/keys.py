"""API keys, calls and the test clock."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from billing.api.shapes.base import Answer, Body, Day, Id, Instant, Text

Scopes = Annotated[list[Annotated[str, Field(max_length=60)]], Field(min_length=1, max_length=60)]


class NewKey(Body):
    """`owner`: whose the key is, the caller's own by default. `customer_id`: the key sees this customer and
    those below alone. `version`: the version of the API it speaks, by default the caller's. `expires_at`: no
    later than the end of the caller's own key, which is the default."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Warehouse", "scopes": ["invoices:read", "usage:write"]}]}
    )

    name: Text
    scopes: Scopes
    owner: Text | None = None
    customer_id: Id | None = None
    version: Day | None = None
    expires_at: Instant | None = None


class RolledKey(Body):
    """`old_ends_at`: until when the old key still opens; by default a day from now."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"old_ends_at": "2027-01-31T08:00:00Z"}]})

    old_ends_at: Instant | None = None


class Key(Answer):
    """`token` is shown when the key is made, and never again."""

    object: str
    key_id: str
    owner: str
    name: str
    prefix: str
    scopes: list[str]
    customer_id: str | None
    version: Day
    created_by: str
    expires_at: Instant | None
    revoked_at: Instant | None
    last_used_on: Day | None
    recorded_at: Instant
    changed_at: Instant
    token: str | None = None


class CallMade(Answer):
    """`route`: its template, without what was asked for. `ms`: how long it took."""

    object: str
    call_id: str
    request_id: str
    happened_at: Instant
    caller_kind: str
    caller_id: str | None
    method: str
    route: str
    status: int
    code: str | None
    subject_id: str | None
    customer_id: str | None
    bytes_in: int
    bytes_out: int
    ms: int


class NewTime(Body):
    """`now`: what time it is to be; up to two years ahead of what it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"now": "2027-01-31T08:00:00Z"}]})

    now: Instant


class Time(Answer):
    """`target_at`: the time it is on its way to, while `state` is advancing; else it is ready."""

    object: str
    now_at: Instant
    target_at: Instant | None
    state: str
