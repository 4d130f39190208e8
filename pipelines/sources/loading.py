"""What all sources share: the stage they write to, the load each file or table is, and the rows set aside.

A source reads its rows, splits them into accepted ones and rejects, and hands both to a `Stage`, which
writes them and keeps the books: raw_meta.loads, raw_meta.rejects, raw_meta.files. In every load, accepted +
rejected = read.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

RAW_SCHEMA = Path(__file__).parents[1] / "raw_schema.sql"
CURRENCIES = Path(__file__).parents[1] / "currencies.csv"
REJECT_COLUMNS = {
    "row_number": pl.Int64,
    "row_key": pl.String,
    "reason": pl.String,
    "column_name": pl.String,
    "original_row": pl.String,
    "amount_minor": pl.Int64,
}


class SourceError(Exception):
    """A source that can't be loaded. The message says what is wrong, where, and what to do."""


@dataclass(frozen=True)
class SourceConfig:
    """One source of a company. `location` is a folder, a file or a database URL, by `kind`."""

    name: str
    kind: str
    location: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Load:
    """How one file or table came in."""

    load_id: str
    target_table: str
    file_name: str
    rows_read: int
    rows_accepted: int
    rows_rejected: int


@dataclass
class Stage:
    """The warehouse under construction, as sources see it.

    `built_at` is when the rows of files without a `recorded_at` of their own become known. `folder` is the
    company's. `after_commit` are statements for when the source's transaction has ended.
    """

    connection: duckdb.DuckDBPyConnection
    build_id: str
    built_at: datetime
    folder: Path
    reporting_currency: str
    reporting_timezone: str
    progress: Callable[[str], None]
    loads: list[Load] = field(default_factory=list)
    after_commit: list[str] = field(default_factory=list)
    _last_load: int = 0
    _set_aside: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of a source or nothing of it; then what `after_commit` asks for."""
        self.connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self.after_commit.clear()
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        while self.after_commit:
            self.connection.execute(self.after_commit.pop())

    def next_load_id(self) -> str:
        """The id of the next load; a source takes one a file or table."""
        self._last_load += 1
        return f"{self.build_id}-{self._last_load:04d}"

    def record(
        self,
        config: SourceConfig,
        load: Load,
        rejects: pl.DataFrame | None = None,
        *,
        unchanged: int = 0,
        note: str = "",
    ) -> None:
        """Write a load and the rejects that `set_aside` has not written yet (columns of REJECT_COLUMNS).

        Raises SourceError when the counts do not add up.
        """
        if rejects is not None:
            self.set_aside(load.load_id, load.target_table, load.file_name, rejects)
        rejected = self._set_aside.pop(load.load_id, 0)
        if load.rows_accepted + rejected != load.rows_read or rejected != load.rows_rejected:
            raise SourceError(
                f"{load.file_name}: {load.rows_read} rows read, but {load.rows_accepted} accepted "
                f"and {rejected} rejected. No row may be lost: this is a defect of the loader."
            )
        self.connection.execute(
            "INSERT INTO raw_meta.loads BY NAME SELECT ? AS load_id, ? AS build_id, ? AS source_name, "
            "? AS source_kind, ? AS target_table, ? AS file_name, ? AS rows_read, ? AS rows_accepted, "
            "? AS rows_rejected, ? AS rows_unchanged, ? AS note, ?::TIMESTAMPTZ AS started_at, "
            "?::TIMESTAMPTZ AS finished_at",
            [
                load.load_id,
                self.build_id,
                config.name,
                config.kind,
                load.target_table,
                load.file_name,
                load.rows_read,
                load.rows_accepted,
                load.rows_rejected,
                unchanged,
                note,
                self.built_at,
                self.built_at,
            ],
        )
        self.loads.append(load)

    def set_aside(self, load_id: str, target_table: str, file_name: str, rejects: pl.DataFrame) -> None:
        """Write rejects of a load that is under way."""
        self._set_aside[load_id] = self._set_aside.get(load_id, 0) + rejects.height
        self.insert(
            "raw_meta.rejects",
            rejects.with_columns(
                load_id=pl.lit(load_id),
                target_table=pl.lit(target_table),
                file_name=pl.lit(file_name),
                recorded_at=pl.lit(self.built_at, dtype=pl.Datetime("us", "UTC")),
            ),
        )

    def note_unchanged(
        self, config: SourceConfig, table: str, file_name: str, rows: str, values: Sequence[object]
    ) -> None:
        """Write a load of a file that did not change. rows: the condition on its rows, which stay."""
        (count,) = self.connection.execute(
            f"SELECT count(*) FROM {table} WHERE {rows}", list(values)
        ).fetchall()[0]
        load = Load(self.next_load_id(), table, file_name, 0, 0, 0)
        self.record(config, load, unchanged=count, note="unchanged")

    def insert(self, table: str, rows: pl.DataFrame) -> None:
        """Append rows to a raw table, by column name; columns left out are null."""
        if rows.is_empty():
            return
        # Found by its name in this frame: a registered view would hold the rows until the transaction ends.
        arriving = rows.to_arrow()
        self.connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM arriving")
        del arriving

    def append_changed(
        self,
        config: SourceConfig,
        table: str,
        rows: pl.DataFrame,
        key: Sequence[str],
        columns: Sequence[str],
        load_id: str,
        learned_at: datetime | None = None,
    ) -> int:
        """Append the rows that differ in `columns` from the newest known row of their key; returns how many
        did not.

        A row that corrects a known one was learned after it: at `learned_at` (default: in this build), unless
        it brings a later `recorded_at` of its own.
        """
        self.connection.register("arriving", rows.to_arrow())
        paired = " AND ".join(f"known.{name} IS NOT DISTINCT FROM arriving.{name}" for name in key)
        same = " AND ".join(f"known.{name} IS NOT DISTINCT FROM arriving.{name}" for name in columns)
        try:
            (appended,) = self.connection.execute(
                f"INSERT INTO {table} BY NAME SELECT arriving.* REPLACE ({recorded_after_known('$now')} "
                "AS recorded_at), $source AS source_system, $load AS load_id FROM arriving "
                f"LEFT JOIN (SELECT * FROM {table} WHERE source_system = $source "
                f"QUALIFY row_number() OVER ({newest_of(key)}) = 1) AS known ON {paired} "
                f"WHERE known.source_system IS NULL OR NOT ({same})",
                {"source": config.name, "load": load_id, "now": learned_at or self.built_at},
            ).fetchall()[0]
        finally:
            self.connection.unregister("arriving")
        return rows.height - int(appended)

    def known_file(self, config: SourceConfig, file_name: str) -> tuple[str, str] | None:
        """(content hash, load_id) of a file whose rows are in the warehouse."""
        rows = self.connection.execute(
            "SELECT content_hash, load_id FROM raw_meta.files WHERE source_name = ? AND file_name = ?",
            [config.name, file_name],
        ).fetchall()
        return (rows[0][0], rows[0][1]) if rows else None

    def known_files(self, config: SourceConfig) -> dict[str, tuple[str, str]]:
        """All files of a source whose rows are in the warehouse: name to (content hash, load_id)."""
        rows = self.connection.execute(
            "SELECT file_name, content_hash, load_id FROM raw_meta.files WHERE source_name = ?", [config.name]
        ).fetchall()
        return {name: (content_hash, load_id) for name, content_hash, load_id in rows}

    def columns_before(
        self, config: SourceConfig, table: str, file_name: str
    ) -> tuple[str, list[str]] | None:
        """Which file of earlier builds this one follows, and our columns that it had: the file of the same
        name, or else the newest for the table. None where there is none."""
        rows = self.connection.execute(
            "SELECT file_name, columns FROM raw_meta.files WHERE source_name = $source "
            "AND target_table = $table AND columns IS NOT NULL AND build_id <> $build "
            "ORDER BY file_name = $file DESC, loaded_at DESC, file_name DESC LIMIT 1",
            {"source": config.name, "table": table, "build": self.build_id, "file": file_name},
        ).fetchall()
        return (rows[0][0], rows[0][1]) if rows else None

    def remember_file(
        self,
        config: SourceConfig,
        file_name: str,
        target_table: str,
        content_hash: str,
        load_id: str,
        columns: Sequence[str],
    ) -> None:
        """Note which rows of a file are in the warehouse: those of this load; and our columns that it had."""
        self.forget_file(config, file_name)
        self.connection.execute(
            "INSERT INTO raw_meta.files BY NAME SELECT ? AS source_name, ? AS file_name, ? AS target_table, "
            "? AS content_hash, ? AS load_id, ? AS build_id, ?::TIMESTAMPTZ AS loaded_at, ? AS columns",
            [
                *(config.name, file_name, target_table, content_hash, load_id, self.build_id, self.built_at),
                sorted(columns),
            ],
        )

    def forget_file(self, config: SourceConfig, file_name: str) -> None:
        """Drop the note and the rejects of a file whose rows are replaced or gone."""
        self.connection.execute(
            "DELETE FROM raw_meta.rejects WHERE load_id IN "
            "(SELECT load_id FROM raw_meta.files WHERE source_name = ? AND file_name = ?)",
            [config.name, file_name],
        )
        self.connection.execute(
            "DELETE FROM raw_meta.files WHERE source_name = ? AND file_name = ?", [config.name, file_name]
        )


def newest_of(key: Sequence[str]) -> str:
    """The window in which the newest known row of a key is first: of rows recorded at one moment, the one
    that was loaded last."""
    return f"PARTITION BY {', '.join(key)} ORDER BY recorded_at DESC, load_id DESC"


def recorded_after_known(now: str) -> str:
    """When an arriving row counts as recorded that differs from the known one of its key, where there is one.

    A source whose clock ran back gives a later row an earlier moment; it would hide behind the row that it
    corrects, and come again with every build.
    """
    return (
        "CASE WHEN known.source_system IS NULL OR arriving.recorded_at > known.recorded_at "
        f"THEN arriving.recorded_at ELSE greatest({now}::TIMESTAMPTZ, known.recorded_at) END"
    )


def create_raw_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create every raw table that is missing and fill raw_meta.currencies."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(RAW_SCHEMA.read_text(encoding="utf-8"))
    connection.execute("DELETE FROM raw_meta.currencies")
    connection.executemany(
        "INSERT INTO raw_meta.currencies VALUES (?, ?)", [list(row) for row in currency_exponents().items()]
    )


def currency_exponents() -> dict[str, int]:
    """Currencies of ISO 4217 with the decimals of their minor unit: EUR 2, JPY 0, KWD 3."""
    with CURRENCIES.open(encoding="utf-8", newline="") as file:
        return {row["code"]: int(row["exponent"]) for row in csv.DictReader(file)}
