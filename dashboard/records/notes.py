"""Notes on accounts. Editing one writes its next version, deleting one a version that says so, undoing the
deletion a version as before: nothing that was written goes away."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Select,
    String,
    Table,
    Text,
    func,
    insert,
    select,
)

from dashboard.records.database import METADATA, Instant, Records

BODY_LENGTH = 10_000

NOTES = Table(
    "customer_notes",
    METADATA,
    Column("note_id", String(32), primary_key=True),
    Column("version_no", Integer, primary_key=True),
    Column("customer_id", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("is_deleted", Boolean, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("recorded_by", String, nullable=False),
)
Index("customer_notes_of_customer", NOTES.c.customer_id)


class NoteRefused(Exception):
    """A note that cannot be kept; `code` says why, in words of `words.refusal`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def write(records: Records, customer_id: str, body: str, at: datetime, by: str) -> str:
    """A new note; returns its id. Raises NoteRefused."""
    note_id, first = secrets.token_hex(8), {"customer_id": customer_id, "version_no": 0}
    with records.transaction() as connection:
        _append(connection, first | {"note_id": note_id}, _checked(body), False, at, by)
    return note_id


def edit(records: Records, note_id: str, version_no: int, body: str, at: datetime, by: str) -> None:
    """The next version of a note. Raises NoteRefused where somebody wrote one after `version_no`."""
    kept = _checked(body)
    with records.transaction() as connection:
        before = _newest(connection, note_id)
        if before["version_no"] != version_no or before["is_deleted"]:
            raise NoteRefused("note_changed")
        _append(connection, before, kept, False, at, by)


def delete(records: Records, note_id: str, at: datetime, by: str) -> None:
    """Take a note away; what is away already stays so. Raises NoteRefused for a note that is not there."""
    _mark(records, note_id, True, at, by)


def restore(records: Records, note_id: str, at: datetime, by: str) -> None:
    """Bring a deleted note back as it last was. Raises NoteRefused for a note that is not there."""
    _mark(records, note_id, False, at, by)


def of(records: Records, customer_id: str, limit: int, offset: int = 0) -> list[dict[str, Any]]:
    """The notes on an account in their newest version, newest first; `written_at` is that of the first."""
    found = _live(customer_id)
    newest_first = (found.selected_columns.written_at.desc(), NOTES.c.note_id)
    return records.rows(found.order_by(*newest_first).limit(limit).offset(offset))


def count(records: Records, customer_id: str) -> int:
    """How many notes an account has."""
    (row,) = records.rows(select(func.count().label("notes")).select_from(_live(customer_id).subquery()))
    return int(row["notes"])


def _live(customer_id: str) -> Select[Any]:
    newest = (
        select(
            NOTES.c.note_id,
            func.max(NOTES.c.version_no).label("version_no"),
            func.min(NOTES.c.recorded_at).label("written_at"),
        )
        .where(NOTES.c.customer_id == customer_id)
        .group_by(NOTES.c.note_id)
        .subquery()
    )
    return (
        select(*NOTES.c, newest.c.written_at)
        .join(newest, (newest.c.note_id == NOTES.c.note_id) & (newest.c.version_no == NOTES.c.version_no))
        .where(~NOTES.c.is_deleted)
    )


def _checked(body: str) -> str:
    kept = body.strip()
    if not kept:
        raise NoteRefused("note_empty")
    if len(kept) > BODY_LENGTH:
        raise NoteRefused("note_too_long")
    return kept


def _newest(connection: Connection, note_id: str) -> dict[str, Any]:
    newest = select(NOTES).where(NOTES.c.note_id == note_id).order_by(NOTES.c.version_no.desc()).limit(1)
    row = connection.execute(newest).mappings().first()
    if row is None:
        raise NoteRefused("note_gone")
    return dict(row)


def _mark(records: Records, note_id: str, is_deleted: bool, at: datetime, by: str) -> None:
    with records.transaction() as connection:
        before = _newest(connection, note_id)
        if before["is_deleted"] != is_deleted:
            _append(connection, before, before["body"], is_deleted, at, by)


def _append(
    connection: Connection, before: dict[str, Any], body: str, is_deleted: bool, at: datetime, by: str
) -> None:
    row = {
        "note_id": before["note_id"],
        "version_no": before["version_no"] + 1,
        "customer_id": before["customer_id"],
        "body": body,
        "is_deleted": is_deleted,
        "recorded_at": at,
        "recorded_by": by,
    }
    connection.execute(insert(NOTES), [row])
