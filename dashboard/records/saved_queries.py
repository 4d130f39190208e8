"""Questions that readers keep, for themselves or for everybody, and the questions they have asked.

Whatever shows a question to everybody, or no longer does, is noted in the audit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    String,
    Table,
    Text,
    Update,
    insert,
    or_,
    select,
    update,
)

from dashboard.records import audit
from dashboard.records.database import METADATA, Instant, Records, recorded

LONGEST_NAME = 120
HISTORY = 50

SAVED_QUERIES = Table(
    "saved_queries",
    METADATA,
    Column("query_id", Integer, primary_key=True, autoincrement=True),
    Column("name", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("parameters", Text, nullable=False),  # JSON: name → [kind, value as it is written]
    Column("is_shared", Boolean, nullable=False),
    *recorded(),
)
QUERY_RUNS = Table(
    "query_runs",
    METADATA,
    Column("run_id", Integer, primary_key=True, autoincrement=True),
    Column("recorded_at", Instant, nullable=False, index=True),
    Column("recorded_by", String, nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("state", String, nullable=False),  # answered, refused, failed
    Column("code", String, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
)
Parameters = Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class SavedQuery:
    """A kept question. `parameters`: name → (kind, value as it is written); `owner` is a reader's id."""

    query_id: int
    name: str
    text: str
    parameters: Parameters
    is_shared: bool
    owner: str
    recorded_at: datetime


@dataclass(frozen=True)
class Run:
    """A question that was asked, and how it ended."""

    run_id: int
    recorded_at: datetime
    text: str
    parameters: Parameters
    state: str
    code: str
    row_count: int
    seconds: float


def save(
    records: Records,
    reader_id: str,
    at: datetime,
    name: str,
    text: str,
    parameters: Parameters,
    *,
    is_shared: bool,
) -> int:
    """Keep a question; one of the same reader and name is replaced. Returns its id.

    Raises ValueError for an empty or too long name, or an empty text.
    """
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not text.strip():
        raise ValueError("a question is kept with a name and a text")
    row = {
        "name": name,
        "text": text,
        "parameters": _written(parameters),
        "is_shared": is_shared,
        "recorded_at": at,
        "recorded_by": reader_id,
    }
    same = (
        (SAVED_QUERIES.c.recorded_by == reader_id)
        & (SAVED_QUERIES.c.name == name)
        & SAVED_QUERIES.c.deleted_at.is_(None)
    )
    with records.transaction() as connection:
        before = update(SAVED_QUERIES).where(same).values(deleted_at=at, deleted_by=reader_id)
        replaced = connection.scalars(before.returning(SAVED_QUERIES.c.is_shared)).all()
        made = connection.execute(insert(SAVED_QUERIES).values(row).returning(SAVED_QUERIES.c.query_id))
        query_id = int(made.scalar_one())
        if is_shared or any(replaced):
            told = "shared with everybody" if is_shared else "no longer shared"
            _note(connection, reader_id, at, query_id, name, text, told)
    return query_id


def seen_by(records: Records, reader_id: str) -> list[SavedQuery]:
    """The reader's own questions and those shared with everybody, by name."""
    asked = (
        select(SAVED_QUERIES)
        .where(SAVED_QUERIES.c.deleted_at.is_(None))
        .where(or_(SAVED_QUERIES.c.recorded_by == reader_id, SAVED_QUERIES.c.is_shared))
        .order_by(SAVED_QUERIES.c.name, SAVED_QUERIES.c.query_id)
    )
    return [_saved(row) for row in records.rows(asked)]


def remove(records: Records, reader_id: str, at: datetime, query_id: int) -> bool:
    """Take away a question of the reader's own; False where it is not theirs, or gone."""
    own = (SAVED_QUERIES.c.query_id == query_id) & (SAVED_QUERIES.c.recorded_by == reader_id)
    gone = update(SAVED_QUERIES).where(own & SAVED_QUERIES.c.deleted_at.is_(None))
    return _moved(records, reader_id, at, gone.values(deleted_at=at, deleted_by=reader_id), "deleted")


def restore(records: Records, reader_id: str, at: datetime, query_id: int) -> bool:
    """Undo `remove`; False where the question is not the reader's own."""
    own = (SAVED_QUERIES.c.query_id == query_id) & (SAVED_QUERIES.c.recorded_by == reader_id)
    back = update(SAVED_QUERIES).where(own).values(deleted_at=None, deleted_by=None)
    return _moved(records, reader_id, at, back, "brought back")


def _moved(records: Records, reader_id: str, at: datetime, change: Update, told: str) -> bool:
    """Change one question, if it is there; the audit is told of one that is shared."""
    with records.transaction() as connection:
        found = connection.execute(change.returning(SAVED_QUERIES)).mappings().first()
        if found is not None and found["is_shared"]:
            _note(connection, reader_id, at, found["query_id"], found["name"], found["text"], told)
    return found is not None


def _note(
    connection: Connection, reader_id: str, at: datetime, query_id: int, name: str, text: str, told: str
) -> None:
    detail = json.dumps({"query_id": query_id, "done": told, "text": text}, ensure_ascii=False)
    audit.note_within(connection, reader_id, at, "share", f"question {name}", detail)


def note_run(
    records: Records,
    reader_id: str,
    at: datetime,
    text: str,
    parameters: Parameters,
    *,
    state: str,
    code: str,
    row_count: int,
    seconds: float,
) -> None:
    """Write down that a question was asked, with what values, how many rows it gave and how long it took."""
    row = {
        "recorded_at": at,
        "recorded_by": reader_id,
        "text": text,
        "parameters": _written(parameters),
        "state": state,
        "code": code,
        "row_count": row_count,
        "seconds": seconds,
    }
    with records.transaction() as connection:
        connection.execute(insert(QUERY_RUNS).values(row))


def runs_of(records: Records, reader_id: str, limit: int = HISTORY) -> list[Run]:
    """The reader's last questions, newest first."""
    asked = (
        select(QUERY_RUNS)
        .where(QUERY_RUNS.c.recorded_by == reader_id)
        .order_by(QUERY_RUNS.c.run_id.desc())
        .limit(limit)
    )
    return [_run(row) for row in records.rows(asked)]


def _written(parameters: Parameters) -> str:
    return json.dumps({name: list(value) for name, value in parameters.items()}, ensure_ascii=False)


def _read(written: str) -> Parameters:
    return {name: (kind, text) for name, (kind, text) in json.loads(written).items()}


def _saved(row: Mapping[str, Any]) -> SavedQuery:
    return SavedQuery(
        row["query_id"],
        row["name"],
        row["text"],
        _read(row["parameters"]),
        row["is_shared"],
        row["recorded_by"],
        row["recorded_at"],
    )


def _run(row: Mapping[str, Any]) -> Run:
    return Run(
        row["run_id"],
        row["recorded_at"],
        row["text"],
        _read(row["parameters"]),
        row["state"],
        row["code"],
        row["row_count"],
        row["seconds"],
    )
