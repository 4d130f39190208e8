"""The books: what was posted for a document, which months are closed, and who did what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import select

from billing.core.money import BillingError
from billing.reads.page import Page, page
from billing.reads.scope import Scope
from billing.store.store import Store
from billing.store.tables import accounting_periods, audit_log, journal_entries, journal_lines


def journal(
    store: Store,
    scope: Scope,
    *,
    source_id: str,
    source_kind: str | None = None,
    after: Sequence[object] | None = None,
    limit: int = 50,
) -> Page:
    """The postings of a document, a line each, in the order they were made. A line is of a customer or of the
    merchant: a customer sees those of its own."""
    entries, posted = journal_entries, journal_lines
    own = [entries.c.source_id == source_id, *scope.where(posted.c.customer_id)]
    if source_kind is not None:
        own.append(entries.c.source_kind == source_kind)
    named = (entries.c.entity_id, entries.c.source_kind, entries.c.source_id, entries.c.event)
    asked = (
        select(*named, entries.c.posted_on, posted)
        .join(posted, posted.c.entry_id == entries.c.entry_id)
        .where(*own)
    )
    return page(store, asked, [posted.c.entry_id, posted.c.position], after=after, limit=limit)


def periods(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None = None,
    limit: int = 50,
    entity_id: str | None = None,
    is_locked: bool | None = None,
) -> Page:
    """Months of the books that were ever closed, the newest first: the merchant's alone."""
    if scope.ids is not None:
        return Page([])
    table = accounting_periods
    own = [] if entity_id is None else [table.c.entity_id == entity_id]
    if is_locked is not None:
        own.append(table.c.locked_at.is_not(None) if is_locked else table.c.locked_at.is_(None))
    keys = [table.c.month, table.c.entity_id]
    return page(store, select(table).where(*own), keys, after=after, limit=limit, descending=True)


def period(store: Store, *, entity_id: str, month: date) -> dict[str, object]:
    """Whether a month of a seller's books is closed: `entity_id`, `month`, `locked_at`."""
    table = accounting_periods
    first = month.replace(day=1)
    row = store.row(select(table.c.locked_at).where(table.c.entity_id == entity_id, table.c.month == first))
    return {"entity_id": entity_id, "month": first, "locked_at": row and row["locked_at"]}


def audit(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None = None,
    limit: int = 50,
    actor: str | None = None,
    customer_id: str | None = None,
    subject_id: str | None = None,
    act: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page:
    """Entries of the audit log that fit all that is named, the newest first. since, until: instants,
    half-open. A customer sees what was done to it, not by which `arguments`. Raises `empty_period`."""
    if since and until and since >= until:
        raise BillingError("empty_period", f"nothing happens from {since} until {until}")
    own = scope.where(audit_log.c.customer_id)
    named = {"actor": actor, "customer_id": customer_id, "subject_id": subject_id, "act": act}
    own += [audit_log.c[name] == value for name, value in named.items() if value is not None]
    if since is not None:
        own.append(audit_log.c.happened_at >= since)
    if until is not None:
        own.append(audit_log.c.happened_at < until)
    keys = [audit_log.c.happened_at, audit_log.c.entry_id]
    found = page(store, select(audit_log).where(*own), keys, after=after, limit=limit, descending=True)
    if scope.ids is None:
        return Page([row | {"arguments": json.loads(row["arguments"])} for row in found.rows], found.after)
    hidden = [{name: one for name, one in row.items() if name != "arguments"} for row in found.rows]
    return Page(hidden, found.after)
