"""Keys as they are shown, without what would prove them; and the list of calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, select

from billing.reads.page import Page, page
from billing.reads.scope import Scope
from billing.store.store import Row, Store
from billing.store.tables import api_calls, api_keys

_KEYS = select(*(column for column in api_keys.c if column.name != "key_hash"))


def keys(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None = None,
    limit: int = 50,
    owner: str | None = None,
    customer_id: str | None = None,
) -> Page:
    """Keys, also revoked ones, by key_id."""
    wanted = {"owner": owner, "customer_id": customer_id}
    conditions = [api_keys.c[name] == value for name, value in wanted.items() if value is not None]
    asked = _KEYS.where(*conditions, *scope.where(api_keys.c.customer_id))
    return page(store, asked, [api_keys.c.key_id], after=after, limit=limit)


def key(store: Store, scope: Scope, *, key_id: str) -> Row | None:
    """A key; None where it is missing or not seen."""
    found = store.row(_KEYS.where(api_keys.c.key_id == bindparam("id")), {"id": key_id})
    return found if found is not None and scope.holds(found["customer_id"]) else None


def calls(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None = None,
    limit: int = 50,
    caller_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    status: int | None = None,
) -> Page:
    """Calls, the newest first. since, until: instants, half-open."""
    conditions: list[ColumnElement[bool]] = scope.where(api_calls.c.customer_id)
    if caller_id is not None:
        conditions.append(api_calls.c.caller_id == caller_id)
    if since is not None:
        conditions.append(api_calls.c.happened_at >= since)
    if until is not None:
        conditions.append(api_calls.c.happened_at < until)
    if status is not None:
        conditions.append(api_calls.c.status == status)
    order = [api_calls.c.happened_at, api_calls.c.call_id]
    return page(store, select(api_calls).where(*conditions), order, after=after, limit=limit, descending=True)
