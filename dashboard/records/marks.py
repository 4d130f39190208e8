"""What a reader has seen or put away, such as the tour: once said, not said again."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, String, Table, UniqueConstraint, insert, select

from dashboard.records.database import METADATA, Instant, Records

MARKS = Table(
    "reader_marks",
    METADATA,
    Column("recorded_by", String, nullable=False),
    Column("mark", String, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    UniqueConstraint("recorded_by", "mark"),
)


def of(records: Records, reader_id: str) -> frozenset[str]:
    """The marks of one reader."""
    asked = select(MARKS.c.mark).where(MARKS.c.recorded_by == reader_id)
    return frozenset(row["mark"] for row in records.rows(asked))


def put(records: Records, reader_id: str, at: datetime, mark: str) -> None:
    """Keep a mark; again is no matter."""
    if mark not in of(records, reader_id):
        with records.transaction() as connection:
            connection.execute(insert(MARKS).values(recorded_by=reader_id, mark=mark, recorded_at=at))
