"""Keys of the API, and who called with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Query

from billing.api.keys import forget
from billing.api.performing import Act
from billing.api.route import Paging, Routes
from billing.api.shapes.base import Id, Instant
from billing.api.shapes.keys import CallMade, Key, NewKey, RolledKey
from billing.api.versions import known
from billing.core.money import BillingError
from billing.reads import keys as reads
from billing.reads.page import Page
from billing.reads.scope import Scope, everything
from billing.service import api_keys
from billing.store.store import Row, Store
from billing.web.context import Context, now
from billing.web.problems import Problem

routes = Routes("Keys", "keys")

_OVERLAP = timedelta(days=1)


@routes.get("/keys", answer=Key, is_list=True)
def keys(context: Context, paging: Paging, owner: str | None = None, customer_id: Id | None = None) -> Page:
    """Keys, also those that are over."""
    with context.looking() as store:
        found = reads.keys(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            owner=owner,
            customer_id=customer_id,
        )
    return Page([_shown(row) for row in found.rows], found.after)


@routes.get("/keys/{key_id}", answer=Key, subject="unknown_key")
def key(context: Context, key_id: Id) -> Row | None:
    """A key."""
    with context.looking() as store:
        return _current(store, context.scope, key_id)


@routes.post("/keys", answer=Key, status=201)
def create(context: Context, body: NewKey) -> Act:
    """Make a key, of the caller's scopes or fewer, that ends with the caller's own key or before. Its token
    is in this answer alone."""
    customer_id = body.customer_id or context.caller.customer_id
    expires_at = body.expires_at or context.caller.expires_at
    _check_within(context, body.scopes, customer_id, expires_at)
    version = body.version or context.version or known()[-1]
    if version not in known():
        raise Problem("bad_version", f"there are {', '.join(map(str, known()))}", field="version", status=422)
    minted = api_keys.mint(context.services.mode)

    def work(store: Store, _at: datetime) -> Row:
        key_id = api_keys.create_key(
            store,
            now(),
            owner=body.owner or context.caller.owner,
            name=body.name,
            prefix=minted.prefix,
            key_hash=minted.key_hash,
            scopes=body.scopes,
            version=version,
            customer_id=customer_id,
            expires_at=expires_at,
        )
        return _with_token(store, key_id, minted.token)

    return Act(work, status=201, location=_place, kept=_without_token)


@routes.post("/keys/{key_id}/roll", answer=Key, status=201, subject="unknown_key")
def roll(context: Context, key_id: Id, body: RolledKey) -> Act:
    """Make a key that takes the place of another, which still opens for a while."""
    with context.looking() as store:
        old = _found(store, context.scope, key_id)
    _check_within(context, old["scopes"], old["customer_id"], old["expires_at"])
    minted = api_keys.mint(context.services.mode)

    def work(store: Store, _at: datetime) -> Row:
        at = now()
        new_id = api_keys.roll_key(
            store,
            at,
            key_id=key_id,
            prefix=minted.prefix,
            key_hash=minted.key_hash,
            old_ends_at=body.old_ends_at or at + _OVERLAP,
        )
        forget(key_id)
        return _with_token(store, new_id, minted.token)

    return Act(work, status=201, location=_place, kept=_without_token)


@routes.post("/keys/{key_id}/revoke", answer=Key, subject="unknown_key")
def revoke(context: Context, key_id: Id) -> Act:
    """End a key at once."""

    def work(store: Store, _at: datetime) -> Row | None:
        _found(store, context.scope, key_id)
        api_keys.revoke_key(store, now(), key_id=key_id)
        forget(key_id)
        return _current(store, context.scope, key_id)

    return Act(work, current=lambda store: _current(store, context.scope, key_id))


@routes.get("/calls", answer=CallMade, is_list=True, scope="audit:read")
def calls(
    context: Context,
    paging: Paging,
    caller_id: Id | None = None,
    since: Instant | None = None,
    until: Instant | None = None,
    status: Annotated[int | None, Query(ge=100, le=599)] = None,
) -> Page:
    """Requests, the newest first."""
    with context.looking() as store:
        found = reads.calls(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            caller_id=caller_id,
            since=since,
            until=until,
            status=status,
        )
    return Page([{"object": "call"} | row for row in found.rows], found.after)


def _check_within(
    context: Context, scopes: Iterable[str], customer_id: str | None, expires_at: datetime | None
) -> None:
    """Refuse what would open more than the caller's own key does, or for longer."""
    known_uses = ("read", "write", "admin")
    for scope in scopes:
        if scope.partition(":")[2] in known_uses and not context.caller.may(scope):
            raise Problem("scope_missing", f"your own key has no {scope}", field="scopes")
    own_end = context.caller.expires_at
    if own_end is not None and (expires_at is None or expires_at > own_end):
        raise Problem("scope_missing", f"your own key ends at {own_end}", field="expires_at")
    if not context.scope.holds(customer_id):
        raise BillingError("unknown_customer", str(customer_id), field="customer_id")


def _found(store: Store, scope: Scope, key_id: str) -> Row:
    found = _current(store, scope, key_id)
    if found is None:
        raise BillingError("unknown_key", key_id)
    return found


def _current(store: Store, scope: Scope, key_id: str) -> Row | None:
    found = reads.key(store, scope, key_id=key_id)
    return None if found is None else _shown(found)


def _shown(row: Row) -> Row:
    return {"object": "key"} | row | {"scopes": row["scopes"].split()}


def _with_token(store: Store, key_id: str, token: str) -> Row:
    return _found(store, everything(), key_id) | {"token": token}


def _without_token(shown: Mapping[str, Any]) -> Row:
    return {name: one for name, one in shown.items() if name != "token"}


def _place(shown: Mapping[str, Any]) -> str:
    return f"/v1/keys/{shown['key_id']}"
