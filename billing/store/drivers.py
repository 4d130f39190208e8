"""Values, frames and statements as the drivers of the two databases take and give them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from typing import Any

import polars as pl
from sqlalchemy import BigInteger, Boolean, Column, Date, Integer, MetaData, Select, Table, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

from billing.core.money import BillingError
from billing.store.tables import Instant

Rows = pl.DataFrame | Sequence[Mapping[str, Any]]


@cache
def insert_sql(table: Table, names: tuple[str, ...], is_sqlite: bool) -> str:
    columns = ", ".join(f'"{name}"' for name in names)
    marks = ", ".join(["?" if is_sqlite else "%s"] * len(names))
    return f"INSERT INTO {table.name} ({columns}) VALUES ({marks})"


@cache
def update_sql(table: Table, changed: tuple[str, ...], by: tuple[str, ...], is_sqlite: bool) -> str:
    mark = "?" if is_sqlite else "%s"
    values = ", ".join(f'"{name}" = {mark}' for name in changed)
    condition = " AND ".join(f'"{name}" = {mark}' for name in by)
    return f"UPDATE {table.name} SET {values} WHERE {condition}"


def columns_of(table: Table, rows: Sequence[Mapping[str, Any]], at: datetime | None) -> tuple[str, ...]:
    """The columns an insert writes, in the table's order."""
    given = set(rows[0]) if len(rows) == 1 else set().union(*rows)
    unknown = given - set(table.c.keys())
    if unknown:
        raise KeyError(f"{table.name} has no column {', '.join(sorted(unknown))}")
    if at is not None:
        given |= {"recorded_at", "changed_at"}
    return tuple(name for name in table.c.keys() if name in given)  # noqa: SIM118


@cache
def _adapters(
    table: Table, names: tuple[str, ...], is_sqlite: bool
) -> tuple[Callable[[Any], Any] | None, ...]:
    """Per column, how a Python value becomes a driver's value; None: as it is."""
    return tuple(_adapter(table.c[name].type, is_sqlite) for name in names)


def _adapter(kind: TypeEngine[Any], is_sqlite: bool) -> Callable[[Any], Any] | None:
    if isinstance(kind, Instant):
        return sqlite_instant if is_sqlite else _aware
    if not is_sqlite:
        return None
    if isinstance(kind, Date):
        return date.isoformat
    return int if isinstance(kind, Boolean) else None


def bound_rows(
    table: Table,
    names: tuple[str, ...],
    rows: Sequence[Mapping[str, Any]],
    at: datetime | None,
    is_sqlite: bool,
) -> list[tuple[Any, ...]]:
    stamps = {} if at is None else {"recorded_at": at, "changed_at": at}
    columns = []
    for name, adapt in zip(names, _adapters(table, names, is_sqlite), strict=True):
        stamp = stamps.get(name)
        given = [row.get(name, stamp) for row in rows]
        if adapt is not None:
            given = [None if value is None else adapt(value) for value in given]
        columns.append(given)
    return list(zip(*columns, strict=True))


COPIED = 200
"""So many rows PostgreSQL takes by COPY rather than one by one."""


def as_frame(table: Table, names: tuple[str, ...], values: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    """Bound rows of PostgreSQL as a frame."""
    return pl.DataFrame(
        values, schema={name: polars_type(table.c[name].type) for name in names}, orient="row"
    )


def columns_as_frame(rows: Rows, kinds: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Some columns of rows as a frame; null where they do not bring one."""
    if isinstance(rows, pl.DataFrame):
        return rows.select(
            pl.col(name) if name in rows.columns else pl.lit(None, kind).alias(name)
            for name, kind in kinds.items()
        )
    return pl.DataFrame([[row.get(name) for name in kinds] for row in rows], schema=dict(kinds), orient="row")


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise BillingError("naive_time", f"{at} has no time zone")
    return at.astimezone(UTC)


@lru_cache(maxsize=256)
def given_table(number: int, schema: tuple[tuple[str, pl.DataType], ...]) -> Table:
    """A temporary table, the same object each time: statements that join with it are compiled once."""
    columns = (Column(name, _column_type(dtype)) for name, dtype in schema)
    return Table(f"given_{number}", MetaData(), *columns)


@lru_cache(maxsize=1024)
def sqlite_instant(at: datetime) -> str:
    return _aware(at).strftime("%Y-%m-%d %H:%M:%S.%f")


def polars_type(kind: TypeEngine[Any]) -> pl.DataType:
    if isinstance(kind, Instant):
        return pl.Datetime("us", "UTC")
    if isinstance(kind, Date):
        return pl.Date()
    if isinstance(kind, Boolean):
        return pl.Boolean()
    return pl.Int64() if isinstance(kind, Integer) else pl.String()


def _column_type(dtype: pl.DataType) -> TypeEngine[Any]:
    if isinstance(dtype, pl.Datetime):
        return Instant()
    if dtype == pl.Date:
        return Date()
    if dtype == pl.Boolean:
        return Boolean()
    return BigInteger() if dtype.is_integer() else Text()


def stamped_frame(
    table: Table,
    frame: pl.DataFrame,
    at: datetime | None,
    stamps: Sequence[str] = ("recorded_at", "changed_at"),
) -> pl.DataFrame:
    """The frame with `recorded_at` and `changed_at` where the table has them and the frame does not."""
    missing = [name for name in stamps if name in table.c and name not in frame.columns]
    if at is None or not missing:
        return frame
    return frame.with_columns(instant(at).alias(name) for name in missing)


@lru_cache(maxsize=64)
def instant(at: datetime) -> pl.Expr:
    """An instant as a column of one value, in UTC."""
    return pl.lit(pl.Series("at", [_aware(at)], dtype=pl.Datetime("us", "UTC"))).first()


def for_sqlite(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns as SQLite keeps them: dates and instants as text, booleans as 0 and 1."""
    casts = []
    for name, dtype in frame.schema.items():
        if dtype == pl.Date:
            casts.append(pl.col(name).dt.to_string("%Y-%m-%d"))
        elif isinstance(dtype, pl.Datetime):
            casts.append(_utc(name, dtype).dt.to_string("%Y-%m-%d %H:%M:%S.%6f"))
        elif dtype == pl.Boolean:
            casts.append(pl.col(name).cast(pl.Int8))
    return frame.with_columns(casts)


_MANY = 500


def sqlite_insert(table: Table, frame: pl.DataFrame) -> tuple[str, list[tuple[Any, ...]]]:
    """A statement and the rows to run it with. What every row of many shares (a day, a currency, a stamp)
    stands in the statement instead of being bound row by row; few rows share one statement, compiled once."""
    if frame.height < _MANY:
        return insert_sql(table, tuple(frame.columns), True), frame.rows()
    has_one = frame.select(pl.all().eq_missing(pl.all().first()).all()).row(0)
    values = [_literal(column) if one else None for column, one in zip(frame, has_one, strict=True)]
    if all(values):
        values[0] = None  # A row binds something.
    names = ", ".join(f'"{name}"' for name in frame.columns)
    given = [name for name, value in zip(frame.columns, values, strict=True) if value is None]
    marks = ", ".join(value or "?" for value in values)
    return f"INSERT INTO {table.name} ({names}) VALUES ({marks})", frame.select(given).rows()


def _literal(column: pl.Series) -> str | None:
    """The first value of a column as SQL, or None where it needs to be bound."""
    value = column.first()
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return None if "\0" in value else "'" + value.replace("'", "''") + "'"
    return str(value) if isinstance(value, int) else None


@lru_cache(maxsize=512)
def kinds_of(statement: Select[Any]) -> Mapping[str, pl.DataType]:
    """The columns a select gives, typed."""
    return {
        column.key or f"column_{position}": polars_type(column.type)
        for position, column in enumerate(statement.selected_columns)
    }


def no_rows(statement: Select[Any]) -> pl.DataFrame:
    """What a select gives that finds nothing: much of what is asked for, and as slow to build as a few."""
    return _empty(statement).clone()


@lru_cache(maxsize=512)
def _empty(statement: Select[Any]) -> pl.DataFrame:
    return pl.DataFrame(schema=dict(kinds_of(statement)))


@lru_cache(maxsize=512)
def _kept_by_sqlite(statement: Select[Any]) -> tuple[dict[str, pl.DataType], list[pl.Expr]]:
    """The columns a select gives as SQLite keeps them (see `for_sqlite`), and what makes them its own."""
    kept, casts = dict(kinds_of(statement)), []
    for name, dtype in kinds_of(statement).items():
        if dtype == pl.Date:
            kept[name] = pl.String()
            casts.append(pl.col(name).str.to_date("%Y-%m-%d"))
        elif isinstance(dtype, pl.Datetime):
            kept[name] = pl.String()
            casts.append(
                pl.col(name).str.to_datetime("%Y-%m-%d %H:%M:%S%.6f", time_unit="us", time_zone="UTC")
            )
        elif dtype == pl.Boolean:
            kept[name] = pl.Int64()
            casts.append(pl.col(name).cast(pl.Boolean))
    return kept, casts


def from_sqlite(rows: Sequence[Sequence[Any]], statement: Select[Any]) -> pl.DataFrame:
    """The rows of a select as SQLite gives them, read in one pass. A value of another type is an error,
    which a frame made from rows would round to what it wants."""
    kept, casts = _kept_by_sqlite(statement)
    columns = zip(kept.items(), zip(*rows, strict=True), strict=True)
    frame = pl.DataFrame([pl.Series(name, values, dtype=dtype) for (name, dtype), values in columns])
    return frame.with_columns(casts) if casts else frame


def from_driver(rows: Sequence[Sequence[Any]], statement: Select[Any]) -> pl.DataFrame:
    """The rows of a select as Python values."""
    columns = zip(kinds_of(statement), zip(*rows, strict=True), strict=True)
    return pl.DataFrame(dict(columns), schema=dict(kinds_of(statement)))


def to_csv(frame: pl.DataFrame) -> bytes:
    """CSV as COPY reads it: text in quotes, so that an empty text is not a null."""
    casts = [
        _utc(name, dtype).dt.to_string("%Y-%m-%d %H:%M:%S.%6f+00")
        for name, dtype in frame.schema.items()
        if isinstance(dtype, pl.Datetime)
    ]
    text = frame.with_columns(casts).write_csv(include_header=False, quote_style="non_numeric", null_value="")
    return text.encode()


@lru_cache(maxsize=512)
def compiled(statement: Select[Any], dialect: Dialect) -> SQLCompiler:
    return statement.compile(dialect=dialect)


def all_of_copy(copy: Any) -> Generator[Any, Any, bytes]:
    """All that a COPY sends, waited for once: `copy.read()` begins to wait anew for every row."""
    parts = []
    while part := (yield from copy._read_gen()):
        parts.append(bytes(part))
    return b"".join(parts)


def from_csv(data: bytes, wanted: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Rows as COPY writes them: an empty text in quotes, nothing for null, t and f, instants in UTC."""
    plain = (pl.Int64(), pl.Date())
    read = {name: kind if kind in plain else pl.String() for name, kind in wanted.items()}
    frame = pl.read_csv(data, has_header=False, schema=pl.Schema(read))
    return frame.with_columns(
        pl.col(name) == "t"
        if kind == pl.Boolean
        else pl.col(name)
        .str.to_datetime("%Y-%m-%d %H:%M:%S%.f+00", time_unit="us")
        .dt.replace_time_zone("UTC")
        for name, kind in wanted.items()
        if kind == pl.Boolean or isinstance(kind, pl.Datetime)
    )


def _utc(name: str, dtype: pl.Datetime) -> pl.Expr:
    if dtype.time_zone is None:
        raise BillingError("naive_time", f"column {name} has no time zone")
    return pl.col(name).dt.convert_time_zone("UTC")
