"""What people write about a company: its own database, kept through every rebuild of the warehouse.

SQLite (`app.db` in the company's folder) unless company.toml names another one as `app_database`. Each
subject module declares its tables on METADATA; they are made, and get the nullable columns they lack, on
first use.
Nothing is removed from it: a row that was deleted has a `deleted_at`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Dialect,
    Engine,
    MetaData,
    Select,
    String,
    TypeDecorator,
    create_engine,
    event,
    inspect,
    make_url,
)
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.schema import CreateColumn

METADATA = MetaData()
FILE_NAME = "app.db"
PATIENCE_MS = 3_000
"""How long a writer waits for another one before it gives up."""


class RecordsError(Exception):
    """What people wrote cannot be read or kept now. The message says what and why."""


class NotLetIn(RecordsError):
    """Whoever writes is no longer let in as when their page was drawn: nothing was kept."""


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant, also where the database forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs its zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def recorded() -> tuple[Column[Any], ...]:
    """Who wrote a row and when, and who took it away and when."""
    return (
        Column("recorded_at", Instant, nullable=False),
        Column("recorded_by", String, nullable=False),
        Column("deleted_at", Instant),
        Column("deleted_by", String),
    )


class Records:
    """One database of what people wrote. May be shared by threads."""

    def __init__(self, url: str, metadata: MetaData = METADATA) -> None:
        self._engine = _engine(url)
        self._metadata = metadata
        self._ready: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection whose writes all happen when the block ends, or none of them does.

        Raises RecordsError when the database is locked, full, damaged or out of reach.
        """
        with self._connected(writes=True) as connection:
            yield connection

    def rows(self, select: Select[Any]) -> list[dict[str, Any]]:
        """What a select finds, a dictionary a row. Raises RecordsError as `transaction` does."""
        with self._connected(writes=False) as connection:
            return [dict(row) for row in connection.execute(select).mappings()]

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _connected(self, writes: bool) -> Iterator[Connection]:
        try:
            self._prepare()
            with self._engine.connect().execution_options(writes=writes) as connection, connection.begin():
                yield connection
        except SQLAlchemyError as error:
            raise RecordsError(
                f"What people wrote cannot be {'kept' if writes else 'read'}: {_cause(error)}"
            ) from error

    def _prepare(self) -> None:
        """Make what is missing; again when a subject has declared more tables since."""
        wanted = frozenset(self._metadata.tables)
        if wanted == self._ready:
            return
        with self._lock, self._engine.connect().execution_options(writes=True) as connection:
            with connection.begin():
                self._metadata.create_all(connection)
                for name, column in _missing(connection, self._metadata):
                    _add_column(connection, name, column)
            self._ready = wanted


class Guarded(Records):
    """Records that are written only as long as somebody may; reading them is as before.

    A page may stay open longer than its reader is let in. What it then does, by a button or a file, is
    written down before it happens, so it does not happen.
    """

    def __init__(self, records: Records, may_write: Callable[[], bool]) -> None:
        self._records = records
        self._may_write = may_write

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """As of the records themselves. Raises NotLetIn when nobody may write any more."""
        if not self._may_write():
            raise NotLetIn("What people write is not kept: whoever wrote it is no longer let in as before.")
        with self._records.transaction() as connection:
            yield connection

    def rows(self, select: Select[Any]) -> list[dict[str, Any]]:
        return self._records.rows(select)

    def close(self) -> None:
        self._records.close()


def _missing(connection: Connection, metadata: MetaData) -> list[tuple[str, Column[Any]]]:
    found = inspect(connection)
    missing = []
    for name, table in metadata.tables.items():
        there = {column["name"] for column in found.get_columns(name)}
        missing += [(name, column) for column in table.columns if column.name not in there]
    return missing


def _add_column(connection: Connection, table: str, column: Column[Any]) -> None:
    if not column.nullable:
        raise RecordsError(
            f"The table {table} lacks {column.name}, which cannot be empty: it was made by another version."
        )
    quote = connection.dialect.identifier_preparer.quote
    wording = CreateColumn(column).compile(dialect=connection.dialect)
    connection.exec_driver_sql(f"ALTER TABLE {quote(table)} ADD COLUMN {wording}")


def _engine(url: str) -> Engine:
    engine = create_engine(url)
    if make_url(url).get_backend_name() == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say so
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {PATIENCE_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes its lock at once: waiting for it later would fail without waiting."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _cause(error: SQLAlchemyError) -> str:
    """The database's own words, without the statement and its values."""
    return str(getattr(error, "orig", None) or error).splitlines()[0]


@lru_cache(maxsize=64)
def open_records(url: str) -> Records:
    """The records at `url`, shared by everybody in this process."""
    return Records(url)


def records_url(folder: Path, settings: Mapping[str, object]) -> str:
    """Where the company in `folder` keeps its records; `settings` is its company.toml.

    A relative SQLite path lies in the company's folder. Raises ValueError when `app_database` is no address.
    """
    named = settings.get("app_database", f"sqlite:///{FILE_NAME}")
    try:
        url = make_url(str(named))
    except ArgumentError:
        raise ValueError("app_database must be the address of a database, such as sqlite:///app.db") from None
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_absolute():
        return f"sqlite:///{folder / url.database}"
    return str(named)
