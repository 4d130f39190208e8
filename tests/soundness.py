"""Whether the data of a store is sound: for any test, at its end."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select

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
