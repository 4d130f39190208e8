"""What people wrote: actions on customers, notes on customers and on dates, targets and saved views of the
team, from the company's records (app.db, or the database that company.toml names as `app_database`).

The database may be missing, or made by an earlier version without some of the tables or columns: what is not
there is empty. Rows are read whole, since people write few; one enters raw_app when its content is new. A row
keeps the moment it was written, so that a build knows no more than was written by then.

A view that somebody saved for themselves is theirs alone: it is not read. One that is shared no longer leaves
raw_app with the next build, its past too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    Integer,
    String,
    column,
    create_engine,
    func,
    inspect,
    make_url,
    select,
    table,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.types import TypeEngine

from pipelines.sources.loading import Load, SourceConfig, SourceError, Stage

NAME = "app.db"
"""The name of the source. It stands in no company.toml: a company that has records has it."""
SQLITE = "sqlite:///"
NOTHING = "[]"
KINDS: Mapping[type[TypeEngine[Any]], pl.DataType] = {
    String: pl.String(),
    Date: pl.Date(),
    DateTime: pl.Datetime("us", "UTC"),
    Boolean: pl.Boolean(),
    Integer: pl.Int64(),
    BigInteger: pl.Int64(),
}


@dataclass(frozen=True)
class Table:
    """A table of the records: its columns and their types, and its key.

    `written` is the column that says when a row was written; it enters raw_app as recorded_at. `is_shared`
    names the column that marks rows as everybody's: of such a table no other row is read, nor a deleted one.
    """

    columns: Mapping[str, type[TypeEngine[Any]]]
    key: tuple[str, ...]
    written: str = "recorded_at"
    is_shared: str | None = None

    @property
    def content(self) -> list[str]:
        """The columns by which a row is new: all but the moment, which a build may set later."""
        return [name for name in self.columns if name != "recorded_at"]

    @property
    def needed(self) -> set[str]:
        """The columns without which there is nothing to read."""
        shared = {self.is_shared, "deleted_at"} if self.is_shared else set()
        return {*self.key, *WRITTEN, self.written, *filter(None, shared)}

    @property
    def read(self) -> list[ColumnElement[bool]]:
        """Which rows are read."""
        if self.is_shared is None:
            return []
        return [column(self.is_shared, Boolean).is_(True), column("deleted_at", DateTime).is_(None)]


WRITTEN: Mapping[str, type[TypeEngine[Any]]] = {"recorded_by": String, "recorded_at": DateTime}
TABLES: Mapping[str, Table] = {
    "customer_actions": Table(
        {
            "event_id": String,
            "customer_id": String,
            "action": String,
            "owner": String,
            "until_on": Date,
            "channel": String,
            "outcome": String,
            "note": String,
            "contacted_at": DateTime,
            "next_on": Date,
            "as_of": Date,
            "model_id": String,
            "play": String,
            "undoes": String,
            **WRITTEN,
        },
        ("event_id",),
    ),
    "customer_notes": Table(
        {
            "note_id": String,
            "version_no": Integer,
            "customer_id": String,
            "body": String,
            "is_deleted": Boolean,
            **WRITTEN,
        },
        ("note_id", "version_no"),
    ),
    "targets": Table(
        {
            "target_id": Integer,
            "metric_id": String,
            "month": Date,
            "currency": String,
            "segment": String,
            "amount": BigInteger,
            "deleted_at": DateTime,
            "deleted_by": String,
            **WRITTEN,
        },
        ("target_id",),
    ),
    "annotations": Table(
        {
            "annotation_id": Integer,
            "happened_on": Date,
            "words": String,
            "author_name": String,
            "deleted_at": DateTime,
            "deleted_by": String,
            **WRITTEN,
        },
        ("annotation_id",),
    ),
    "saved_views": Table(
        {
            "view_id": String,
            "name": String,
            "page": String,
            "parameters": String,
            "owner_name": String,
            **WRITTEN,
        },
        ("view_id",),
        written="changed_at",
        is_shared="is_team",
    ),
}


def load(stage: Stage, config: SourceConfig) -> None:
    """Load what was written since the last build. Raises SourceError for records that can't be read."""
    if _is_missing(config.location):
        return
    with _opened(config.location) as connection:
        for name, form in _there(connection).items():
            stage.progress(f"{NAME}: reading {name}")
            rows = _rows(connection, name, form)
            load_id, target = stage.next_load_id(), f"raw_app.{name}"
            whole = pl.DataFrame(rows, {one: KINDS[kind] for one, kind in TABLES[name].columns.items()})
            if form.is_shared:
                _forget_others(stage, config, target, whole, form.key)
            unchanged = stage.append_changed(config, target, whole, form.key, TABLES[name].content, load_id)
            read = Load(load_id, target, name, whole.height, whole.height, 0)
            stage.record(config, read, unchanged=unchanged)


def _forget_others(
    stage: Stage, config: SourceConfig, target: str, shared: pl.DataFrame, key: tuple[str, ...]
) -> None:
    """Remove from raw_app, with their past, the rows that are no longer among those that are shared."""
    stage.connection.register("arriving", shared.to_arrow())
    paired = " AND ".join(f"arriving.{name} = known.{name}" for name in key)
    try:
        stage.connection.execute(
            f"DELETE FROM {target} AS known WHERE source_system = ? "
            f"AND NOT EXISTS (FROM arriving WHERE {paired})",
            [config.name],
        )
    finally:
        stage.connection.unregister("arriving")


def state_of(url: str) -> str | None:
    """What tells whether anything was written since: of each table how many rows are read, how many of them
    were taken back, and when the last was written or taken back. NOTHING where nobody wrote, None where it
    can't be read."""
    if _is_missing(url):
        return NOTHING
    found: list[list[str]] = []
    try:
        with _opened(url) as connection:
            for name, form in _there(connection).items():
                wanted: list[ColumnElement[Any]] = [func.count(), func.max(column(form.written))]
                if "deleted_at" in form.columns:
                    wanted += [func.count(column("deleted_at")), func.max(column("deleted_at"))]
                row = connection.execute(select(*wanted).select_from(table(name)).where(*form.read)).one()
                if row[0]:
                    found.append([name, *map(str, row)])
    except SourceError:
        return None
    return json.dumps(found)


def _is_missing(url: str) -> bool:
    """Whether an address is that of a file which is not there; connecting to it would make it."""
    return url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).is_file()


def _there(connection: Connection) -> dict[str, Table]:
    """Of the tables of TABLES those that there are, with the columns they have."""
    found = inspect(connection)
    there = {}
    for name, form in TABLES.items():
        if found.has_table(name):
            names = {one["name"] for one in found.get_columns(name)}
            if form.needed <= names:
                kept = {one: kind for one, kind in form.columns.items() if one in names}
                there[name] = replace(form, columns=kept)
    return there


def _rows(connection: Connection, name: str, form: Table) -> list[dict[str, Any]]:
    columns = [
        column(form.written if one == "recorded_at" else one, kind()).label(one)
        for one, kind in form.columns.items()
    ]
    found = connection.execute(select(*columns).select_from(table(name)).where(*form.read))
    return [{one: _in_utc(value) for one, value in row.items()} for row in found.mappings()]


def _in_utc(value: Any) -> Any:
    """SQLite keeps no time zone: what it gives back is the UTC that was written."""
    if not isinstance(value, datetime):
        return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


@contextmanager
def _opened(url: str) -> Iterator[Connection]:
    """A connection to the records. Raises SourceError for what goes wrong on it."""
    engine = None
    try:
        address = make_url(url)
        if address.drivername in ("postgresql", "postgres"):
            address = address.set(drivername="postgresql+psycopg")
        engine = create_engine(address, poolclass=NullPool)
        with engine.connect() as connection:
            yield connection
    except (SQLAlchemyError, ValueError) as error:
        cause = getattr(error, "orig", None) or error
        place = make_url(url).render_as_string(hide_password=True)
        raise SourceError(
            f"What people wrote ({place}) can't be read: {cause}. Put the database back from a copy, "
            "or move it away to build without it."
        ) from error
    finally:
        if engine is not None:
            engine.dispose()
