"""Notes on dates: a price change, an outage. Each has an author and is seen on every chart over time."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Column, Date, Integer, String, Table, insert, select, update

from dashboard.records.database import METADATA, Records, recorded

LONGEST = 200
KEPT_FOR = timedelta(days=30)
"""How long a note that was deleted is offered to be brought back."""
JOINERS = "\u200c\u200d"
"""Signs nobody sees that some scripts need between letters."""
FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2200, 12, 31)

ANNOTATIONS = Table(
    "annotations",
    METADATA,
    Column("annotation_id", Integer, primary_key=True, autoincrement=True),
    Column("happened_on", Date, nullable=False, index=True),
    Column("words", String(LONGEST), nullable=False),
    Column("author_name", String(200), nullable=False),
    *recorded(),
)


class Refused(Exception):
    """What was written is no note. `reason` is `no_words`, `too_long` or `no_day`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Annotation:
    """One note on a date."""

    annotation_id: int
    happened_on: date
    words: str
    author: str
    recorded_at: datetime
    deleted_at: datetime | None


def write(records: Records, at: datetime, by: str, author: str, happened_on: date | None, words: str) -> int:
    """Keep a note; gives its id. Raises Refused where the day or the words are none."""
    said = readable(words)
    if not said:
        raise Refused("no_words")
    if len(said) > LONGEST:
        raise Refused("too_long")
    if happened_on is None or not FIRST_DAY <= happened_on <= LAST_DAY:
        raise Refused("no_day")
    row = {
        "happened_on": happened_on,
        "words": said,
        "author_name": readable(author)[:200] or by,
        "recorded_at": at,
        "recorded_by": by,
    }
    with records.transaction() as connection:
        result = connection.execute(insert(ANNOTATIONS).values(row))
        key = result.inserted_primary_key
        assert key is not None
        return int(key[0])


def readable(words: str) -> str:
    """Words on one line, without signs that turn the text around them or cannot be seen."""
    spaced = "".join(" " if sign in "\t\r\n" else sign for sign in words)
    kept = (sign for sign in spaced if sign in JOINERS or unicodedata.category(sign)[0] != "C")
    return " ".join("".join(kept).split())


def remove(records: Records, at: datetime, by: str, annotation_id: int) -> None:
    """Take a note off the charts; it can be brought back."""
    _set(records, annotation_id, {"deleted_at": at, "deleted_by": by})


def restore(records: Records, annotation_id: int) -> None:
    """Bring a deleted note back."""
    _set(records, annotation_id, {"deleted_at": None, "deleted_by": None})


def live(records: Records | None) -> list[Annotation]:
    """The notes on the charts, by date."""
    if records is None:
        return []
    asked = select(ANNOTATIONS).where(ANNOTATIONS.c.deleted_at.is_(None))
    rows = records.rows(asked.order_by(ANNOTATIONS.c.happened_on, ANNOTATIONS.c.annotation_id).limit(500))
    return [_annotation(row) for row in rows]


def deleted(records: Records, at: datetime) -> list[Annotation]:
    """The notes deleted in the last 30 days, the last first."""
    asked = select(ANNOTATIONS).where(ANNOTATIONS.c.deleted_at >= at - KEPT_FOR)
    return [
        _annotation(row) for row in records.rows(asked.order_by(ANNOTATIONS.c.deleted_at.desc()).limit(50))
    ]


def _set(records: Records, annotation_id: int, values: Mapping[str, object]) -> None:
    with records.transaction() as connection:
        connection.execute(
            update(ANNOTATIONS).where(ANNOTATIONS.c.annotation_id == annotation_id).values(values)
        )


def _annotation(row: Mapping[str, Any]) -> Annotation:
    return Annotation(
        row["annotation_id"],
        row["happened_on"],
        row["words"],
        row["author_name"],
        row["recorded_at"],
        row["deleted_at"],
    )
