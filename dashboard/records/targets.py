"""Targets: what a metric should be in a month. Written by people, kept whole: nothing written is ever lost.

A target is in force until another one takes its place or it is taken away; `history` shows them all. Amounts
are whole numbers: money in minor units, what is counted in ones, all else (shares, days) in millionths.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Date,
    Index,
    Integer,
    String,
    Table,
    and_,
    insert,
    select,
    update,
)

from dashboard.records.database import METADATA, Records, recorded

MILLION = 1_000_000
NUMBER = re.compile(r"[+-]?(\d{1,30}|\d{1,3}(,\d{3}){1,9})(\.\d{1,20})?", re.ASCII)
"""Digits, in groups of three or in none: a comma before decimals would be read as a group."""
LARGEST = 10**15
MOST_ROWS = 1_000
ALL = "all"

TARGETS = Table(
    "targets",
    METADATA,
    Column("target_id", Integer, primary_key=True, autoincrement=True),
    Column("metric_id", String(60), nullable=False),
    Column("month", Date, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("segment", String(200), nullable=False),
    Column("amount", BigInteger, nullable=False),
    *recorded(),
)
# One target in force a metric, month, currency and segment, whoever writes at the same moment.
Index(
    "targets_in_force",
    TARGETS.c.metric_id,
    TARGETS.c.month,
    TARGETS.c.currency,
    TARGETS.c.segment,
    unique=True,
    sqlite_where=TARGETS.c.deleted_at.is_(None),
    postgresql_where=TARGETS.c.deleted_at.is_(None),
)


class Refused(Exception):
    """What was written is no target. `reason` is a code that words.refused says in the reader's language.

    `found` is the text at fault, `line` its line where several were written at once.
    """

    def __init__(self, reason: str, found: str = "", line: int | None = None) -> None:
        super().__init__(reason, found, line)
        self.reason, self.found, self.line = reason, found, line


@dataclass(frozen=True)
class Unit:
    """How a metric's target is written: the decimals it may have, whether as a percentage, and its bounds.

    `scale` is what the number is multiplied by to become the whole number that is kept.
    """

    scale: int
    is_percent: bool = False
    may_be_negative: bool = False
    largest: int = LARGEST


def unit_of(unit: str, exponent: int, is_share: bool = False) -> Unit:
    """The unit of a metric of the registry; `exponent` are the decimals of the currency money is in.

    A share lies between 0 and 100 %; a ratio, such as net retention, may be more.
    """
    if unit.startswith("minor"):
        return Unit(10**exponent, may_be_negative=True)
    if unit == "count":
        return Unit(1)
    if is_share:
        return Unit(MILLION // 100, is_percent=True, largest=MILLION)
    if unit in ("ratio", "share"):
        return Unit(MILLION // 100, is_percent=True, largest=100 * MILLION)
    return Unit(MILLION)


@dataclass(frozen=True)
class Key:
    """What a target is for. `month` is the first day; `currency` that of the page, whatever the unit."""

    metric_id: str
    month: date
    currency: str
    segment: str = ALL


@dataclass(frozen=True)
class Target:
    """A target as somebody wrote it, in force from `recorded_at` until `deleted_at` (None: still)."""

    key: Key
    amount: int
    recorded_at: datetime
    recorded_by: str
    deleted_at: datetime | None = None
    deleted_by: str | None = None


def amount_of(written: str, unit: Unit) -> int:
    """The whole number a reader means: grouping and a percent sign are allowed, and Arabic digits.

    Raises Refused: no_number, too_precise, too_large, negative, over_full.
    """
    plain = written.strip().translate(_DIGITS).replace("−", "-")
    plain = plain.removesuffix("%").strip().replace(" ", ",").replace("\u00a0", ",").replace("\u202f", ",")
    if not NUMBER.fullmatch(plain):
        raise Refused("no_number", written)
    scaled = Decimal(plain.replace(",", "")) * unit.scale
    if scaled != scaled.to_integral_value():
        raise Refused("too_precise", written)
    if scaled < 0 and not unit.may_be_negative:
        raise Refused("negative", written)
    if abs(scaled) > unit.largest:
        raise Refused("over_full" if unit.is_percent else "too_large", written)
    return int(scaled)


_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩٫٬", "0123456789.,")


def month_of(written: str) -> date:
    """A month such as 2026-03. Raises Refused: no_month."""
    found = re.fullmatch(r"(\d{4})[-/](\d{1,2})(?:[-/]\d{1,2})?", written.strip().translate(_DIGITS))
    if not found or not 1 <= int(found[2]) <= 12 or not 1990 <= int(found[1]) <= 2200:
        raise Refused("no_month", written)
    return date(int(found[1]), int(found[2]), 1)


def pasted(content: str, units: Mapping[str, Unit], currency: str, segments: Sequence[str]) -> dict[Key, int]:
    """Targets from pasted lines `metric,month,value[,segment]`; a tab or semicolon parts columns too.

    Raises Refused with the line: few_columns, no_metric, no_segment, twice, nothing, too_many, and what
    `amount_of` and `month_of` refuse.
    """
    lines = [line for line in content.splitlines() if line.strip()]
    if not lines:
        raise Refused("nothing")
    if len(lines) > MOST_ROWS:
        raise Refused("too_many", str(MOST_ROWS))
    delimiter = next((one for one in ("\t", ";") if one in lines[0]), ",")
    found: dict[Key, int] = {}
    for number, cells in enumerate(csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter), start=1):
        row = [cell.strip() for cell in cells]
        if number == 1 and row[0].lower() in ("metric", "metric_id"):
            continue
        try:
            key, amount = _row(row, units, currency, segments)
        except Refused as refused:
            raise Refused(refused.reason, refused.found, number) from None
        if key in found:
            raise Refused("twice", row[0], number)
        found[key] = amount
    if not found:
        raise Refused("nothing")
    return found


def _row(
    row: list[str], units: Mapping[str, Unit], currency: str, segments: Sequence[str]
) -> tuple[Key, int]:
    if len(row) < 3:
        raise Refused("few_columns", ",".join(row))
    metric_id, month, value = row[:3]
    segment = row[3] if len(row) > 3 and row[3] else ALL
    if metric_id not in units:
        raise Refused("no_metric", metric_id)
    if segment not in segments:
        raise Refused("no_segment", segment)
    return Key(metric_id, month_of(month), currency, segment), amount_of(value, units[metric_id])


def write(records: Records, at: datetime, by: str, wanted: Mapping[Key, int]) -> None:
    """Put targets in force, all or none; what was in force for the same keys becomes history."""
    with records.transaction() as connection:
        for key, amount in wanted.items():
            _end(connection, at, by, key)
            row = {**vars(key), "amount": amount, "recorded_at": at, "recorded_by": by}
            connection.execute(insert(TARGETS).values(row))


def remove(records: Records, at: datetime, by: str, key: Key) -> None:
    """Take the target of a key away. Writing it again undoes that, and the history tells of both."""
    with records.transaction() as connection:
        _end(connection, at, by, key)


def in_force(records: Records | None, **wanted: object) -> dict[Key, Target]:
    """The targets in force, of the columns named alone: metric_id, month, currency, segment."""
    if records is None:
        return {}
    conditions = [TARGETS.c[name] == value for name, value in wanted.items()]
    rows = records.rows(
        select(TARGETS).where(TARGETS.c.deleted_at.is_(None), *conditions).order_by(TARGETS.c.month)
    )
    return {target.key: target for target in map(_target, rows)}


def amounts(records: Records | None, month: date, currency: str, segment: str) -> dict[Key, int]:
    """What the metrics of a month should be."""
    found = in_force(records, month=month, currency=currency, segment=segment)
    return {key: target.amount for key, target in found.items()}


def history(records: Records, metric_id: str, currency: str, segment: str) -> list[Target]:
    """Everything ever written for a metric, the last first."""
    conditions = (
        TARGETS.c.metric_id == metric_id,
        TARGETS.c.currency == currency,
        TARGETS.c.segment == segment,
    )
    rows = records.rows(select(TARGETS).where(*conditions).order_by(TARGETS.c.target_id.desc()).limit(500))
    return [_target(row) for row in rows]


def _end(connection: Connection, at: datetime, by: str, key: Key) -> None:
    connection.execute(
        update(TARGETS).where(_is(key), TARGETS.c.deleted_at.is_(None)).values(deleted_at=at, deleted_by=by)
    )


def _is(key: Key) -> ColumnElement[bool]:
    return and_(*(TARGETS.c[name] == value for name, value in vars(key).items()))


def _target(row: Mapping[str, Any]) -> Target:
    key = Key(row["metric_id"], row["month"], row["currency"], row["segment"])
    return Target(
        key, row["amount"], row["recorded_at"], row["recorded_by"], row["deleted_at"], row["deleted_by"]
    )
