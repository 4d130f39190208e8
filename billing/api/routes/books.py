"""The merchant's books: what was posted, which months are closed, whether all agrees, and who did what."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from billing.api.performing import Act
from billing.api.resources import listed, merchants
from billing.api.route import Paging, Routes
from billing.api.shapes import money as shapes
from billing.api.shapes.base import Id, Instant
from billing.jobs.reconcile import reconcile
from billing.reads import books as reads
from billing.reads.page import Page
from billing.service.periods import lock_period, unlock_period
from billing.store.store import Store
from billing.web.context import Context

routes = Routes("Books", "books")


@routes.get("/journal", answer=shapes.Posting, is_list=True)
def journal(context: Context, paging: Paging, source_id: Id, source_kind: Id | None = None) -> Page:
    """The postings of a document (an invoice, a credit note, a payment, …), in the order they were made."""
    with context.looking() as store:
        found = reads.journal(
            store,
            context.scope,
            source_id=source_id,
            source_kind=source_kind,
            after=paging.after,
            limit=paging.limit,
        )
    return listed("posting", found)


@routes.get("/periods", answer=shapes.Period, is_list=True)
def periods(
    context: Context, paging: Paging, entity_id: Id | None = None, is_locked: bool | None = None
) -> Page:
    """Months that were ever closed, the newest first; nothing of it is a customer's."""
    with context.looking() as store:
        found = reads.periods(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            entity_id=entity_id,
            is_locked=is_locked,
        )
    kept = [{name: one for name, one in row.items() if not name.endswith("ed_at")} for row in found.rows]
    rows = [row | {"locked_at": whole["locked_at"]} for row, whole in zip(kept, found.rows, strict=True)]
    return listed("period", Page(rows, found.after))


def _set(context: Context, entity_id: str, month: str, act: Callable[..., None]) -> Act:
    merchants(context)
    first = date.fromisoformat(f"{month}-01")

    def work(store: Store, at: datetime) -> object:
        act(store, at, entity_id=entity_id, month=first)
        return {"object": "period"} | reads.period(store, entity_id=entity_id, month=first)

    return Act(work)


@routes.post(
    "/periods/{entity_id}/{month}/lock", answer=shapes.Period, scope="books:admin", subject="unknown_entity"
)
def lock(context: Context, entity_id: Id, month: shapes.Month) -> Act:
    """Close the books of a seller for a month that is over: nothing is posted into it any more."""
    return _set(context, entity_id, month, lock_period)


@routes.post(
    "/periods/{entity_id}/{month}/unlock", answer=shapes.Period, scope="books:admin", subject="unknown_entity"
)
def unlock(context: Context, entity_id: Id, month: shapes.Month) -> Act:
    """Open the books of a seller for a month again."""
    return _set(context, entity_id, month, unlock_period)


@routes.get("/reconciliations/{month}", answer=shapes.Reconciliation)
def reconciliation(context: Context, month: shapes.Month) -> dict[str, Any]:
    """Whether documents, books and customers' balances agree at the end of a month, and where they do not."""
    merchants(context)
    with context.looking() as store:
        found = reconcile(store, date.fromisoformat(f"{month}-01"))
    frames = ("trial_balance", "movements", "expected", "differences", "standing")
    told = {name: getattr(found, name).to_dicts() for name in frames}
    return {"object": "reconciliation", "month": month, "agrees": found.agrees} | told


@routes.get("/audit", answer=shapes.AuditEntry, scope="audit:read", is_list=True)
def audit(
    context: Context,
    paging: Paging,
    actor: Id | None = None,
    customer_id: Id | None = None,
    subject_id: Id | None = None,
    act: Id | None = None,
    since: Instant | None = None,
    until: Instant | None = None,
) -> Page:
    """Who did what, the newest first; `since` and `until` half-open. The merchant sees the arguments too."""
    with context.looking() as store:
        found = reads.audit(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            actor=actor,
            customer_id=customer_id,
            subject_id=subject_id,
            act=act,
            since=since,
            until=until,
        )
    return listed("audit_entry", found)
