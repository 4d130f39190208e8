"""What a bill run made, found by its ids."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import ColumnElement, and_, false, func, select, true

from billing.store.store import Store
from billing.store.tables import billing_runs

_ID = re.compile(r"run_([0-9a-f]{4})([0-9a-f]{13})")


def ids_of_run(store: Store, run_id: str, prefix: str, column: Any) -> ColumnElement[bool]:
    """Between which ids the documents of a run lie: ids sort in the order they were made, so those of a run
    follow its own and come before the next run's of the same opening. So no other row is read; none at all
    where there is no such run."""
    if store.row(select(billing_runs.c.run_id).where(billing_runs.c.run_id == run_id)) is None:
        return false()
    made = _ID.fullmatch(run_id)
    if made is None:
        return true()
    epoch, place = made.groups()
    later = store.row(
        select(func.min(billing_runs.c.run_id).label("id")).where(
            billing_runs.c.run_id > run_id, billing_runs.c.run_id < f"run_{epoch}g"
        )
    )
    end = later["id"].removeprefix("run_") if later and later["id"] else f"{epoch}g"
    return and_(column > f"{prefix}_{epoch}{place}", column < f"{prefix}_{end}")
