"""The audit log: who did what, when, about what, and how it ended. Entries are only ever added.

An act leaves its entry in its own transaction (service.acts), so what was rolled back leaves none. The log is
read newest first, a page at a time, each page by an index.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, or_, select

from billing.core.money import BillingError
from billing.store.store import Row, Store
from billing.store.tables import audit_log

SECRETS = frozenset(
    {
        "csrf_seed",
        "gateway_ref",
        "key_hash",
        "method_ref",
        "password",
        "sealed",
        "secret",
        "session_hash",
        "token",
        "token_hash",
    }
)
"""Arguments that let somebody charge or sign in, or that prove it: what is kept says that there was one, not
which."""

_PAGE = 1000
_NEWEST = select(audit_log).order_by(audit_log.c.happened_at.desc(), audit_log.c.entry_id.desc())
_PLACE = select(audit_log.c.happened_at, audit_log.c.entry_id).where(audit_log.c.entry_id == bindparam("id"))


def keep_entry(
    store: Store,
    at: datetime,
    act: str,
    arguments: Mapping[str, Any],
    *,
    outcome: str = "done",
    code: str | None = None,
    subject_id: str | None = None,
    customer_id: str | None = None,
) -> None:
    """Add an entry under the store's actor. outcome: done, refused, held, or failed (of a job that broke
    off); code says why, where it is not done. arguments: as JSON has them."""
    row = {
        "entry_id": store.new_id("aud"),
        "happened_at": at,
        "actor": store.actor,
        "act": act,
        "outcome": outcome,
        "code": code,
        "subject_id": subject_id,
        "customer_id": customer_id,
        "arguments": json.dumps(without_secrets(arguments), default=str, sort_keys=True, ensure_ascii=False),
        "request_id": store.request_id,
        "recorded_at": at,
    }
    store.insert(audit_log, [row])


def without_secrets(value: Any) -> Any:
    """A value without its secrets, however deep they lie in mappings and lists."""
    if isinstance(value, Mapping):
        return {
            name: "***" if name in SECRETS and one is not None else without_secrets(one)
            for name, one in value.items()
        }
    return [without_secrets(one) for one in value] if isinstance(value, list | tuple) else value


def entries(
    store: Store,
    *,
    actor: str | None = None,
    customer_id: str | None = None,
    subject_id: str | None = None,
    act: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: str | None = None,
    limit: int = 50,
) -> Iterator[Row]:
    """Entries that fit all that is named, newest first, `arguments` parsed.

    since, until: instants, half-open. before: an entry's id; what is older than it is read. Raises
    `empty_period` where nothing can lie between the instants, `unknown_entry`.
    """
    if since and until and since >= until:
        raise BillingError("empty_period", f"nothing happens from {since} until {until}")
    names = {"actor": actor, "customer_id": customer_id, "subject_id": subject_id, "act": act}
    conditions = [audit_log.c[name] == value for name, value in names.items() if value is not None]
    if since:
        conditions.append(audit_log.c.happened_at >= since)
    if until:
        conditions.append(audit_log.c.happened_at < until)
    last = None if before is None else store.row(_PLACE, {"id": before})
    if before is not None and last is None:
        raise BillingError("unknown_entry", before)
    return _pages(store, conditions, last, limit)


def _pages(
    store: Store, conditions: list[ColumnElement[bool]], last: Row | None, limit: int
) -> Iterator[Row]:
    while limit > 0:
        older = [] if last is None else [_older_than(last)]
        size = min(limit, _PAGE)
        page = store.rows(_NEWEST.where(*conditions, *older).limit(size))
        for row in page:
            yield row | {"arguments": json.loads(row["arguments"])}
        if len(page) < size:
            return
        last, limit = page[-1], limit - size


def _older_than(entry: Row) -> ColumnElement[bool]:
    return and_(
        audit_log.c.happened_at <= entry["happened_at"],
        or_(
            audit_log.c.happened_at < entry["happened_at"],
            audit_log.c.entry_id < entry["entry_id"],
        ),
    )
