"""Whether the data of a store is sound, for any test at its end, and owes nothing to the order of reading."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select, text

from billing.jobs.doctor.examination import examine
from billing.store.store import Store
from billing.store.tables import line_items


def assert_sound(store: Store, at: datetime | None = None) -> None:
    """The doctor finds nothing. `at`: what time it is in the test; by default when the last line was
    written."""
    if at is None:
        row = store.row(select(func.max(line_items.c.recorded_at).label("at")))
        at = row["at"] if row else None
    assert at is not None, "nothing was billed"
    found = [(one.check, one.key, one.found, one.wanted) for one in examine(store, at)]
    assert found == []


def read_backwards(store: Store) -> Store:
    """Let a store on SQLite give the rows of each query that asks for no order in the reverse of their usual
    one: what it then writes differs wherever the outcome rests on that order."""
    assert store.is_sqlite
    store.execute(text("PRAGMA reverse_unordered_selects = ON"))
    return store
