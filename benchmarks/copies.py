"""What work on many rows is measured beside: the rows it wrote, kept in files and written again with nothing
around, into copies of the database it worked on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl
from base import AT
from clock import Cost, cost_of
from servers import create_database, drop_database
from sqlalchemy import Select, Table

from billing.store.store import Store, open_store


class Databases(Protocol):
    """Where a claim is measured: copies of one prepared base, one after the other."""

    def base(self, size: int, prepare: Callable[[str, int], None]) -> None:
        """Prepare what the copies are of."""

    def fresh(self) -> str:
        """A new copy; the one before is dropped."""


@dataclass
class OfServer:
    """Databases of a PostgreSQL server."""

    server: str

    def base(self, size: int, prepare: Callable[[str, int], None]) -> None:
        drop_database(self.server, "bench")
        prepare(create_database(self.server, "bench_base"), size)

    def fresh(self) -> str:
        return create_database(self.server, "bench", "bench_base")


@dataclass
class OfFolder:
    """SQLite files."""

    folder: Path

    def base(self, size: int, prepare: Callable[[str, int], None]) -> None:
        self._forget()
        (self.folder / "base.db").unlink(missing_ok=True)
        prepare(f"sqlite:///{self.folder / 'base.db'}", size)

    def fresh(self) -> str:
        self._forget()
        shutil.copyfile(self.folder / "base.db", self.folder / "bench.db")
        return f"sqlite:///{self.folder / 'bench.db'}"

    def _forget(self) -> None:
        for file in self.folder.glob("bench.db*"):
            file.unlink()


Written = Mapping[Table, Select[Any]]
"""Tables, and which of their rows some work wrote."""


def keep(store: Store, written: Written, folder: Path) -> int:
    """Those rows in files, as the bare side takes them; how many."""
    return sum(_keep(store, table, asked, folder) for table, asked in written.items())


def _keep(store: Store, table: Table, asked: Select[Any], folder: Path) -> int:
    literal = str(asked.compile(store._engine, compile_kwargs={"literal_binds": True}))
    if not store.is_sqlite:
        return copy_out(store, f"COPY ({literal}) TO STDOUT", folder / table.name)
    rows = [tuple(row) for row in store._cursor().execute(literal)]
    (folder / table.name).write_text(json.dumps(rows))
    return len(rows)


def written_bare(url: str, written: Written, folder: Path, changed: Table, rows: pl.DataFrame) -> Cost:
    """The cost of the bare copy of what `keep` kept, its text or tuples made before, and of the same update
    of one table."""
    with open_store(url) as store:
        tuples = {}
        if store.is_sqlite:
            tuples = {table: json.loads((folder / table.name).read_bytes()) for table in written}

        def copy() -> None:
            with store.transaction():
                for table in written:
                    names = ", ".join(f'"{column.name}"' for column in table.c)
                    if store.is_sqlite:
                        marks = ", ".join("?" * len(table.c))
                        insert = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"
                        store._cursor().executemany(insert, tuples[table])
                    else:
                        copy_in(store, f"COPY {table.name} ({names}) FROM STDIN", folder / table.name)
                store.update(changed, rows, AT)

        return cost_of(copy, store)


def copy_out(store: Store, asked: str, path: Path) -> int:
    """Write what a COPY ... TO STDOUT gives to a file; how many rows."""
    with path.open("wb") as file, store._cursor() as cursor:
        with cursor.copy(asked) as blocks:
            for block in blocks:
                file.write(block)
        return int(cursor.rowcount)


def copy_in(store: Store, into: str, path: Path) -> None:
    """Give a file to a COPY ... FROM STDIN."""
    with path.open("rb") as file, store._cursor() as cursor, cursor.copy(into) as copy:
        while block := file.read(1 << 20):
            copy.write(block)
