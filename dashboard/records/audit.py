"""Who took what out and who asked what: one line for each act, never changed and never removed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Integer, String, Table, Text, insert, select

from dashboard.records.database import METADATA, Instant, Records, RecordsError

ACTS = frozenset({"export", "query", "sign_in", "sign_out", "refused", "role", "share", "digest"})
DETAIL_CHARACTERS = 400_000
"""More than the longest statement takes as JSON: nobody hides what they asked behind a long comment."""

AUDIT = Table(
    "audit",
    METADATA,
    Column("audit_id", Integer, primary_key=True, autoincrement=True),
    Column("recorded_at", Instant, nullable=False, index=True),
    Column("recorded_by", String, nullable=False, index=True),
    Column("act", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("detail", Text),
)


def note(
    records: Records | None, reader_id: str, at: datetime, act: str, subject: str, detail: str | None = None
) -> None:
    """Write one line. `subject` is what it was about (a file's name, a reader); `detail` the SQL, the rows.

    Raises RecordsError when it cannot be kept, also where there are no records: then the act must not happen.
    """
    if records is None:
        raise RecordsError("There are no records to note this in.")
    with records.transaction() as connection:
        note_within(connection, reader_id, at, act, subject, detail)


def note_within(
    connection: Connection, reader_id: str, at: datetime, act: str, subject: str, detail: str | None = None
) -> None:
    """The same beside what else a transaction writes: both are kept, or neither."""
    if act not in ACTS:
        raise ValueError(f"unknown act {act}")
    line = {
        "recorded_at": at,
        "recorded_by": reader_id,
        "act": act,
        "subject": subject[:500],
        "detail": None if detail is None else detail[:DETAIL_CHARACTERS],
    }
    connection.execute(insert(AUDIT).values(line))


def lines(records: Records, limit: int = 100, reader_id: str | None = None) -> list[dict[str, Any]]:
    """The last lines, newest first; of one reader where one is named."""
    asked = select(AUDIT).order_by(AUDIT.c.audit_id.desc()).limit(limit)
    return records.rows(asked if reader_id is None else asked.where(AUDIT.c.recorded_by == reader_id))
