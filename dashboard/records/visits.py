"""The last build whose restated figures a reader knows of: what changed since then is news to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, String, Table, insert, select, update

from dashboard.records.database import METADATA, Instant, Records

VISITS = Table(
    "visits",
    METADATA,
    Column("recorded_by", String, primary_key=True),
    Column("build_id", String, nullable=False),
    Column("built_at", Instant, nullable=False),
    Column("recorded_at", Instant, nullable=False),
)


@dataclass(frozen=True)
class Visit:
    """A reader was here at `at` and saw, or put away the news of, the build made at `built_at`."""

    build_id: str
    built_at: datetime
    at: datetime


def last(records: Records, reader_id: str) -> Visit | None:
    """A reader's last visit; None for their first."""
    rows = records.rows(select(VISITS).where(VISITS.c.recorded_by == reader_id))
    return Visit(rows[0]["build_id"], rows[0]["built_at"], rows[0]["recorded_at"]) if rows else None


def put(records: Records, at: datetime, reader_id: str, build_id: str, built_at: datetime) -> None:
    """Keep that a reader knows the figures of a build."""
    values = {"build_id": build_id, "built_at": built_at, "recorded_at": at}
    with records.transaction() as connection:
        changed = connection.execute(
            update(VISITS).where(VISITS.c.recorded_by == reader_id).values(values)
        ).rowcount
        if not changed:
            connection.execute(insert(VISITS).values({**values, "recorded_by": reader_id}))
