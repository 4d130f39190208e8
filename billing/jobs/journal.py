"""Writes the journal: events in, balanced entries out, in the transaction of their document."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

import polars as pl
from sqlalchemy import select

from billing.core.ledger import AMOUNTS, check_period_open, postings_of
from billing.jobs.bill_facts import read_by_ids
from billing.store.store import Store
from billing.store.tables import accounting_periods, journal_entries, journal_lines, legal_entities

_ENTRY = ("entry_id", "entity_id", "source_kind", "source_id", "event", "posted_on")
_LINE = ("entry_id", "position", "account", "customer_id", "invoice_id", "currency")

_SELLERS = (
    select(legal_entities.c.entity_id)
    .order_by(legal_entities.c.entity_id)
    .with_for_update(read=True, key_share=True, of=legal_entities)
)
_LOCKED = select(accounting_periods.c.entity_id, accounting_periods.c.month).where(
    accounting_periods.c.locked_at.is_not(None)
)


def locked_months(store: Store) -> pl.DataFrame:
    """The months in which the books of an entity are closed: `entity_id`, `month` (its first day)."""
    return store.frame(_LOCKED)


def check_days_open(store: Store, days: Iterable[tuple[str, date]]) -> None:
    """Raise `period_locked` where the books of an entity are closed on a day.

    On PostgreSQL the seller's row is held a little, so that nobody closes a month while something is being
    posted into it (service.periods)."""
    days = list(days)
    if store.is_in_transaction and not store.is_sqlite:
        read_by_ids(store, _SELLERS, legal_entities.c.entity_id, sorted({entity_id for entity_id, _ in days}))
    locked: dict[str, set[date]] = {}
    for entity_id, month in locked_months(store).iter_rows():
        locked.setdefault(entity_id, set()).add(month)
    for entity_id, day in days if locked else ():
        check_period_open(day, locked.get(entity_id, set()))


def post_events(store: Store, at: datetime, events: pl.DataFrame) -> None:
    """Post events, each once: a second posting of the same document and event violates a unique key.

    events: one row an event, with `event` (a key of core.ledger.EVENT_RULES), `source_kind`, `source_id`,
    `entity_id`, `posted_on`, `customer_id`, `invoice_id` (may be null), `currency`, `net_minor`, and if any
    `tax_minor`, `fee_minor`. An event of 0 posts nothing. Raises `period_locked`, and as core.ledger.
    """
    amounts = [pl.col(name).fill_null(0) != 0 for name in AMOUNTS if name in events.columns]
    events = events.filter(pl.any_horizontal(amounts))
    if events.is_empty():
        return
    check_days_open(store, events.select("entity_id", "posted_on").unique().rows())
    ids = pl.Series("entry_id", store.new_ids("je", events.height), dtype=pl.String)
    events = events.with_columns(ids)
    store.insert(journal_entries, events.select(_ENTRY), at)
    lines = postings_of(events.drop("source_kind", "source_id", "entity_id", "posted_on"))
    store.insert(journal_lines, lines.select(*_LINE, "debit_minor", "credit_minor"), at)
