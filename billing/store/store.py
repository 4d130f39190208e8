"""The only code that holds a database connection.

A `Store` is one connection to SQLite or PostgreSQL. It reads frames and rows, writes rows in bulk, joins
nested transactions into the outermost, hands out ids and numbers, and brings the schema up to date. It
knows tables, not rules. A store belongs to one thread; a second worker opens a second store.
"""

from __future__ import annotations

import os
import random
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from struct import unpack
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import quote

import polars as pl
from sqlalchemy import (
    Executable,
    Insert,
    Select,
    Table,
    Update,
    create_engine,
    event,
    make_url,
    select,
)
from sqlalchemy.engine import URL, Connection, CursorResult, Engine
from sqlalchemy.pool import NullPool, Pool, StaticPool
from sqlalchemy.sql.compiler import SQLCompiler

from billing.core.money import CURRENCY_EXPONENTS, BillingError
from billing.core.policy import Policy
from billing.store import drivers, tables
from billing.store.drivers import Rows
from billing.store.errors import is_passing

Row = dict[str, Any]
Found = TypeVar("Found")

_TRIES = 4
"""How often a transaction is tried that collides with another."""

_KNOWN_SINCE_EVER = datetime(1970, 1, 1, tzinfo=UTC)


class IdGenerator:
    """Ids that sort in the order they were made: prefix, epoch, counter, four digits drawn from a seed.

    The same seed gives the same ids. An epoch separates the ids of different openings of one database: a
    store that is given no generator takes the next epoch from the database. Epoch 0 belongs to callers with
    a seed, who use it once per database.
    """

    def __init__(self, seed: int, epoch: int = 0) -> None:
        self._random = random.Random(seed)
        self._epoch = epoch
        self._count = 0

    def new_id(self, prefix: str) -> str:
        """The next id, such as `inv_0000000000012ab3f`."""
        return self.new_ids(prefix, 1)[0]

    def new_ids(self, prefix: str, count: int) -> list[str]:
        """The next `count` ids, in order."""
        first, self._count = self._count + 1, self._count + count
        start = f"{prefix}_{self._epoch:04x}"
        words = unpack(f"<{count}I", self._random.getrandbits(32 * count).to_bytes(4 * count, "little"))
        return [f"{start}{number << 16 | word >> 16:013x}" for number, word in enumerate(words, first)]


class Written(NamedTuple):
    """What one statement wrote in a rehearsal: how many rows it added, or by which `keys` it changed rows
    (`may_add`: it adds those that are not there); `kept`: columns that were asked for, of the rows added."""

    table: Table
    added: int = 0
    keys: pl.DataFrame | None = None
    may_add: bool = False
    kept: pl.DataFrame | None = None


class _TakenBack(Exception):
    """Ends the transaction of a rehearsal."""


_REHEARSED = 0xFFFF
"""The epoch of ids that never stay: other openings do not come that far."""


def open_store(url: str, ids: IdGenerator | None = None, *, is_disposable: bool = False) -> Store:
    """Open a database by URL: `sqlite:///billing.db`, `sqlite://` (in memory), `postgresql://…`.

    The schema is not touched: call `migrate`. `ids` makes a run repeatable; without it ids are unique across
    all openings of this database. `is_disposable` is for a database that is made again after a crash: SQLite
    then neither waits for the disk nor keeps a log that would survive the process.
    """
    address = make_url(url)
    if address.drivername in ("postgresql", "postgres"):
        address = address.set(drivername="postgresql+psycopg")
    return Store(_engine(address, _DISPOSABLE if is_disposable else _DURABLE), ids)


def open_to_look(url: str, *, rehearses: bool = False) -> Store:
    """Open a database that is only looked at, beside those who work with it: the connection itself refuses to
    write, makes no file and changes no setting of one.

    With `rehearses` it may write inside `Store.rehearsal`, which takes everything back; of SQLite nothing of
    that reaches the file. It then waits a few seconds for others that write, and no longer. Raises as the
    driver does where there is no such database.
    """
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        return Store(_looking_engine(str(address.database), rehearses), None)
    limits = {"statement_timeout": "60s", "lock_timeout": f"{_LOOKING_WAITS}s"}
    if not rehearses:
        limits["default_transaction_read_only"] = "on"
    options = " ".join(f"-c {name}={value}" for name, value in limits.items())
    address = address.set(drivername="postgresql+psycopg").update_query_dict({"options": options})
    return Store(_kept_engine(address, (), NullPool), None)


_LOOKING_WAITS = 5
"""Seconds that who only looks waits for a lock."""


@lru_cache(maxsize=32)
def _looking_engine(file: str, rehearses: bool) -> Engine:
    mode = "rw" if rehearses else "ro"
    # What a rehearsal writes stays in memory until it is rolled back.
    guard = "cache_spill=OFF" if rehearses else "query_only=ON"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(Path(file).absolute()))}?mode={mode}",
            uri=True,
            timeout=_LOOKING_WAITS,
            cached_statements=512,
            check_same_thread=False,
        )
        for pragma in (guard, "foreign_keys=ON", *_MEMORY):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    address = URL.create("sqlite", database=file)
    return create_engine(address, creator=connect, isolation_level="AUTOCOMMIT", poolclass=NullPool)


_DURABLE = ("journal_mode=WAL", "synchronous=NORMAL", "wal_autocheckpoint=16384")
_MEMORY = ("cache_size=-65536", "temp_store=MEMORY")
_DISPOSABLE = ("journal_mode=MEMORY", "synchronous=OFF")


def _engine(address: URL, journal: Sequence[str]) -> Engine:
    if address.get_backend_name() == "sqlite" and address.database in (None, "", ":memory:"):
        return _new_engine(address, journal, StaticPool)
    return _kept_engine(address, tuple(journal), NullPool)


def _new_engine(address: URL, journal: Sequence[str], pool: type[Pool]) -> Engine:
    """An engine in driver autocommit: the store writes BEGIN and COMMIT itself, so a read takes no lock."""
    if address.get_backend_name() != "sqlite":
        engine = create_engine(address, isolation_level="AUTOCOMMIT", poolclass=pool)
        event.listen(engine, "connect", _read_whole_numbers)
        return engine
    engine = create_engine(
        address,
        isolation_level="AUTOCOMMIT",
        poolclass=pool,
        connect_args={"timeout": 60, "cached_statements": 512, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _set_pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in (*journal, "foreign_keys=ON", *_MEMORY):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def _read_whole_numbers(connection: Any, _record: Any) -> None:
    """Let PostgreSQL give a sum of big integers as the integer it is: it calls it `numeric`."""
    from psycopg.adapt import Loader

    class WholeLoader(Loader):
        def load(self, data: Any) -> int | Decimal:
            text = bytes(data).decode()
            return int(text) if text.lstrip("-").isdecimal() else Decimal(text)

    connection.adapters.register_loader("numeric", WholeLoader)


_kept_engine = lru_cache(maxsize=32)(_new_engine)
"""Engines by address: they hold no connection, but the statements compiled so far, which the next store of
the same database would compile again."""


_FIRST_IN_MEMORY: list[sqlite3.Connection] = []
"""A copy of the first database in memory that was migrated, as it was then."""

_SPOOLED = 50_000
"""How many rows are written to one file."""


def _spooled(
    folder: TemporaryDirectory[str], kept: int, last: pl.DataFrame, size: int
) -> Iterator[pl.DataFrame]:
    with folder as place:
        for number in range(kept):
            yield from pl.read_ipc((Path(place) / str(number)).read_bytes()).iter_slices(size)
        if last.height:
            yield from last.iter_slices(size)


class Store:
    """One connection, its transaction, its ids. Open it with `open_store`."""

    def __init__(self, engine: Engine, ids: IdGenerator | None) -> None:
        self._engine = engine
        self._connection: Connection = engine.connect()
        self._ids = ids
        self._is_epoch_open = False
        self._depth = 0
        self._temporaries = 0
        self.memory: dict[Any, Any] = {}
        """Facts that never change once written (plan versions, used prices). A rollback empties it."""
        self.is_sqlite = engine.dialect.name == "sqlite"
        place = engine.url.database if self.is_sqlite else None
        self.path = None if place in (None, "", ":memory:") else Path(str(place))
        """The file of a SQLite database."""
        self.claimed: dict[str, int | None] = {}
        """Claims held (store.claims), by name: open files beside that file; None on PostgreSQL."""
        self._written: list[Written] | None = None
        self._keeps: Mapping[Table, Sequence[str]] = {}
        self.actor = "system"
        """Who does what is done with this store, as the audit log says."""
        self.request_id: str | None = None
        """The request over HTTP that asks for it."""
        self.is_in_act = False
        """Whether an act is being done: what it calls are its steps."""
        self.statements = 0
        """How many statements this store has run, for those who ask what an act costs."""
        if not self.is_sqlite:
            self._run("SET TIME ZONE 'UTC'")

    @property
    def ids(self) -> IdGenerator | None:
        """Where its ids come from, for a store that takes its place; None before the first one."""
        return self._ids

    def close(self) -> None:
        """Give the connection back; an open transaction is rolled back."""
        for descriptor in self.claimed.values():
            if descriptor is not None:
                os.close(descriptor)
        self.claimed.clear()
        self._connection.close()
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @contextmanager
    def acting_as(self, actor: str, request_id: str | None = None) -> Iterator[None]:
        """Say who does what is done in the block, and by which request over HTTP. Raises `missing_value` for
        nobody."""
        if not actor.strip():
            raise BillingError("missing_value", "nobody is named who acts")
        before = self.actor, self.request_id
        self.actor, self.request_id = actor.strip(), request_id
        try:
            yield
        finally:
            self.actor, self.request_id = before

    # --- schema ---

    def migrate(self) -> None:
        """Bring the schema to its newest version and fill in currencies and the default policy. Raises
        NewerForm where the database is ahead of this code.

        A new database in memory is copied from the first one of the process, which was built step by step.
        """
        is_new = self.is_sqlite and self.path is None and not self._depth and self._is_blank()
        if not is_new:
            self._migrate()
        elif _FIRST_IN_MEMORY:
            _FIRST_IN_MEMORY[0].backup(self._sqlite())
        else:
            self._migrate()
            first = sqlite3.connect(":memory:", check_same_thread=False)
            self._sqlite().backup(first)
            _FIRST_IN_MEMORY.append(first)

    def _is_blank(self) -> bool:
        return self._sqlite().execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None

    def _sqlite(self) -> sqlite3.Connection:
        return cast(sqlite3.Connection, self._connection.connection.driver_connection)

    def _migrate(self) -> None:
        from billing.store.migrations import upgrade

        upgrade(self._connection, self.transaction)
        known = set(self.frame(tables.currencies.select())["code"])
        self.insert(
            tables.currencies,
            [
                {"code": code, "exponent": exponent, "recorded_at": _KNOWN_SINCE_EVER}
                for code, exponent in CURRENCY_EXPONENTS.items()
                if code not in known
            ],
        )
        policies = tables.policies
        if self.row(policies.select().where(policies.c.name == "default")) is None:
            row = {"name": "default", "version": 1, "valid_from": _KNOWN_SINCE_EVER.date()}
            self.insert(policies, [row | asdict(Policy())], _KNOWN_SINCE_EVER)

    # --- transactions ---

    @contextmanager
    def transaction(self, *, savepoint: bool = False) -> Iterator[None]:
        """All or nothing. An inner transaction joins the outer one, which alone commits or rolls back.

        With `savepoint` an inner transaction that fails is undone by itself, so that a caller who catches the
        error can go on with the outer one. On SQLite the outermost takes the write lock at once.
        """
        depth = self._depth
        if depth and not savepoint:
            yield
            return
        if depth:
            ends = f"SAVEPOINT s{depth}", f"RELEASE s{depth}", f"ROLLBACK TO s{depth}"
        else:
            ends = "BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN", "COMMIT", "ROLLBACK"
        with self._between(*ends):
            yield

    def perform(self, work: Callable[[], Found]) -> Found:
        """What `work` returns, done in one transaction. Where another transaction came in between, it is
        tried again, a few times; inside an outer transaction it is undone, and its error goes to that one."""
        for left in range(_TRIES - 1, -1, -1):
            try:
                with self.transaction(savepoint=True):
                    return work()
            except Exception as error:
                if not left or self._depth or not (self.is_connected and is_passing(error)):
                    raise
        raise AssertionError

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """One view of the database, whatever others write meanwhile, for the time of the block; inside a
        transaction, the view of that. It only reads, and holds up nobody. What the database sorts goes to the
        disk where it is much."""
        if self._depth:
            yield
            return
        if not self.is_sqlite:
            with self._between("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "COMMIT", "ROLLBACK"):
                yield
            return
        for pragma in ("temp_store=FILE", "cache_size=-16384"):
            self._run(f"PRAGMA {pragma}")
        try:
            with self._between("BEGIN", "COMMIT", "ROLLBACK"):
                yield
        finally:
            for pragma in _MEMORY:
                self._run(f"PRAGMA {pragma}")

    @contextmanager
    def rehearsal(self, keeps: Mapping[Table, Sequence[str]]) -> Iterator[list[Written]]:
        """Let what is done in the block be taken back at its end: one transaction that never commits. The
        list is filled then with what was written, in order and without what was undone among it.

        keeps: columns of the rows added to some tables that are wanted too. What is asked of others than this
        database stays; ids go on afterwards where they were before. One may stand within another, which then
        does not see what it wrote.
        """
        ids, is_epoch_open = self._ids, self._is_epoch_open
        outer = self._written, self._keeps
        found: list[Written] = []
        try:
            # Ids of its own, so that no epoch is used up; with a seed those that would come next.
            self._ids = deepcopy(ids) or IdGenerator(secrets.randbits(32), _REHEARSED)
            self._is_epoch_open, self._written, self._keeps = False, [], keeps
            with suppress(_TakenBack), self.transaction(savepoint=True):
                yield found
                found += self._written
                raise _TakenBack
        finally:
            self._ids, self._is_epoch_open = ids, is_epoch_open
            self._written, self._keeps = outer

    def _note_added(self, table: Table, count: int, rows: Rows = ()) -> None:
        if self._written is None:
            return
        kept = None
        if table in self._keeps and count:
            kinds = {name: drivers.polars_type(table.c[name].type) for name in self._keeps[table]}
            kept = drivers.columns_as_frame(rows, kinds)
        self._written.append(Written(table, count, kept=kept))

    def _note_changed(self, table: Table, rows: Rows, by: Sequence[str], *, may_add: bool = False) -> None:
        if self._written is not None:
            keys = drivers.columns_as_frame(
                rows, {name: drivers.polars_type(table.c[name].type) for name in by}
            )
            self._written.append(Written(table, keys=keys, may_add=may_add))

    def _note_update(self, statement: Update, values: Any) -> None:
        """Which rows a statement is about to change, asked for with its own condition."""
        table = cast(Table, statement.table)
        keys = select(*table.primary_key)
        if statement.whereclause is not None:
            keys = keys.where(statement.whereclause)
        given = [values] if values is None or isinstance(values, Mapping) else values
        for one in given:
            self._note_changed(table, self.rows(keys, one), [key.name for key in table.primary_key])

    @contextmanager
    def _between(self, begin: str, commit: str, rollback: str) -> Iterator[None]:
        depth = self._depth
        noted = len(self._written or ())
        self._run(begin)
        self._depth = depth + 1
        try:
            yield
        except BaseException:
            with suppress(Exception):
                self._run(rollback)
            self.memory.clear()
            if self._written is not None:
                del self._written[noted:]
            if self._is_epoch_open:
                self._ids, self._is_epoch_open = None, False
            raise
        else:
            self._run(commit)
            self._is_epoch_open = self._is_epoch_open and depth > 0
        finally:
            self._depth = depth
            if not depth:
                self._temporaries = 0

    def join_by_index(self) -> None:
        """For the rest of a transaction on PostgreSQL, look up every row that a join needs by its index, as
        SQLite does. Planned freely, a join for ten thousand customers reads the tables of a million whole."""
        if not self.is_sqlite:
            self._run(
                "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; "
                "SET LOCAL max_parallel_workers_per_gather = 0"
            )

    @property
    def is_in_transaction(self) -> bool:
        return self._depth > 0

    @property
    def is_connected(self) -> bool:
        """Whether the database still listens to this store."""
        return self.is_sqlite or not cast(Any, self._connection.connection.driver_connection).closed

    def _run(self, sql: str) -> None:
        cursor = self._cursor()
        try:
            cursor.execute(sql)
        finally:
            cursor.close()

    def _cursor(self) -> Any:
        self.statements += 1
        return cast(Any, self._connection.connection.driver_connection).cursor()

    # --- reading ---

    def frame(self, statement: Select[Any], values: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """The rows of a select as a frame, typed by the selected columns, also when empty.

        PostgreSQL gives frames by COPY.
        """
        if not self.is_sqlite:
            compiled = drivers.compiled(statement, self._engine.dialect)
            if not compiled.post_compile_params:
                return self._copied(statement, compiled, values)
        self.statements += 1
        result = self._connection.execute(statement, values)
        cursor = cast("CursorResult[Any]", result).cursor
        assert cursor is not None
        rows = cursor.fetchall()
        result.close()
        if not rows:
            return drivers.no_rows(statement)
        return (
            drivers.from_sqlite(rows, statement) if self.is_sqlite else drivers.from_driver(rows, statement)
        )

    def _copied(
        self, statement: Select[Any], compiled: SQLCompiler, values: Mapping[str, Any] | None
    ) -> pl.DataFrame:
        adapters = cast("Mapping[str, Callable[[Any], Any]]", compiled._bind_processors)
        bound = {
            name: adapters[name](value) if name in adapters else value
            for name, value in compiled.construct_params(dict(values or {})).items()
        }
        cursor = self._cursor()
        with cursor.copy(f"COPY ({compiled}) TO STDOUT (FORMAT csv)", bound) as copy:
            data = cursor.connection.wait(drivers.all_of_copy(copy))
        cursor.close()
        return drivers.from_csv(data, drivers.kinds_of(statement)) if data else drivers.no_rows(statement)

    @staticmethod
    def no_rows(statement: Select[Any]) -> pl.DataFrame:
        """What `frame` gives where nothing is found, without asking."""
        return drivers.no_rows(statement)

    def rows(self, statement: Select[Any], values: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of a select as dictionaries, for the few. `values` fill its bound parameters."""
        self.statements += 1
        return [dict(row) for row in self._connection.execute(statement, values).mappings()]

    def pages(
        self, statement: Select[Any], values: Mapping[str, Any] | None = None, *, size: int = 1000
    ) -> Iterator[list[Row]]:
        """The rows of a select a page at a time, so that memory holds one page however many there are; inside
        a transaction."""
        assert self._depth, "pages are read in a transaction"
        self.statements += 1
        options = {"stream_results": True, "yield_per": size}
        with self._connection.execute(statement, values, execution_options=options) as result:
            for page in result.mappings().partitions(size):
                yield [dict(row) for row in page]

    def spool(
        self, statement: Select[Any], values: Mapping[str, Any] | None = None, *, size: int
    ) -> Iterator[pl.DataFrame]:
        """The rows of a select, all read at once and kept in files until they are asked for, in frames of
        `size` rows: for work that writes between them and would read what is left again and again."""
        kinds = drivers.kinds_of(statement)
        folder = TemporaryDirectory(prefix="tajdid-")
        many, kept = size * max(_SPOOLED // size, 1), 0
        last = drivers.no_rows(statement)
        self.statements += 1
        options = {"stream_results": True, "yield_per": many}
        with (
            self.snapshot(),
            self._connection.execute(statement, values, execution_options=options) as result,
        ):
            for page in result.partitions(many):
                if last.height:
                    last.write_ipc(Path(folder.name) / str(kept))
                    kept += 1
                last = pl.DataFrame(page, schema=dict(kinds), orient="row")
        return _spooled(folder, kept, last, size)

    def row(self, statement: Select[Any], values: Mapping[str, Any] | None = None) -> Row | None:
        """The first row of a select, or None."""
        self.statements += 1
        found = self._connection.execute(statement, values).mappings().first()
        return None if found is None else dict(found)

    def execute(
        self, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> int:
        """Run an insert, update or delete statement, once for each of several values; the number of rows it
        touched."""
        self.statements += 1
        if self._written is not None and isinstance(statement, Update):
            self._note_update(statement, values)
        options = {"preserve_rowcount": True}  # Of inserts it would not be known.
        result = self._connection.execute(statement, values, execution_options=options)
        count = cast("CursorResult[Any]", result).rowcount
        if isinstance(statement, Insert):
            self._note_added(cast(Table, statement.table), count)
        return count

    # --- writing ---

    def insert(self, table: Table, rows: Rows, at: datetime | None = None) -> None:
        """Add rows: a frame, or dictionaries (of like keys; a key missing from some is null there).

        `at` fills `recorded_at` and `changed_at` where the rows do not bring them. Columns nobody gives take
        their default. PostgreSQL takes frames, and many dictionaries, by COPY.
        """
        if len(rows) == 0:
            return
        self._note_added(table, len(rows), rows)
        if isinstance(rows, pl.DataFrame):
            self._insert_frame(table, drivers.stamped_frame(table, rows, at))
            return
        names = drivers.columns_of(table, rows, at)
        values = drivers.bound_rows(table, names, rows, at, self.is_sqlite)
        if not self.is_sqlite and len(values) >= drivers.COPIED:
            self._insert_frame(table, drivers.as_frame(table, names, values))
            return
        with self.transaction():
            self._execute_many(drivers.insert_sql(table, names, self.is_sqlite), values)

    def _insert_frame(self, table: Table, frame: pl.DataFrame) -> None:
        unknown = set(frame.columns) - set(table.c.keys())
        if unknown:
            raise KeyError(f"{table.name} has no column {', '.join(sorted(unknown))}")
        with self.transaction():
            if self.is_sqlite:
                for part in frame.iter_slices(50_000):
                    self._execute_many(*drivers.sqlite_insert(table, drivers.for_sqlite(part)))
                return
            self._copy_in(table.name, frame)

    def insert_new(self, table: Table, frame: pl.DataFrame, at: datetime | None = None) -> int:
        """Add the rows of a frame whose key the table does not have yet; how many those were."""
        if frame.is_empty():
            return 0
        frame = drivers.stamped_frame(table, frame, at)
        names = ", ".join(f'"{name}"' for name in frame.columns)
        with self.transaction(), self.temporary(frame) as given:
            cursor = self._cursor()
            cursor.execute(
                f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {given.name} WHERE true "
                "ON CONFLICT DO NOTHING"
            )
            count = int(cursor.rowcount)
            cursor.close()
        self._note_added(table, count)
        return count

    @contextmanager
    def temporary(self, frame: pl.DataFrame) -> Iterator[Table]:
        """The rows of a frame as a table to join with, for the time of the block, inside a transaction."""
        assert self._depth, "a temporary table lives in a transaction"
        self._temporaries += 1
        given = drivers.given_table(self._temporaries, tuple(frame.schema.items()))
        columns = ", ".join(
            f'"{column.name}" {column.type.compile(self._engine.dialect)}' for column in given.c
        )
        on_commit = "" if self.is_sqlite else " ON COMMIT DROP"
        self._run(f"CREATE TEMPORARY TABLE {given.name} ({columns}){on_commit}")
        self._insert_frame(given, frame)
        yield given
        self._run(f"DROP TABLE {given.name}")
        self._temporaries -= 1

    def update(
        self, table: Table, rows: Rows, at: datetime | None = None, *, key: Sequence[str] | None = None
    ) -> None:
        """Write the columns the rows bring to the rows with their key (by default the primary key).

        `at` becomes `changed_at`. All rows bring the same columns.
        """
        if len(rows) == 0:
            return
        by = tuple(key) if key else tuple(column.name for column in table.primary_key)
        self._note_changed(table, rows, by)
        if isinstance(rows, pl.DataFrame):
            frame = drivers.stamped_frame(table, rows, at, ("changed_at",))
            if not self.is_sqlite:
                self._update_from_frame(table, frame, by)
                return
            changed = tuple(name for name in frame.columns if name not in by)
            values = drivers.for_sqlite(frame.select(*changed, *by)).rows()
        else:
            given = tuple(name for name in rows[0] if name not in by)
            stamp = at is not None and "changed_at" in table.c and "changed_at" not in given
            changed = (*given, "changed_at") if stamp else given
            values = drivers.bound_rows(table, (*changed, *by), rows, at, self.is_sqlite)
            if not self.is_sqlite and len(values) >= drivers.COPIED:
                frame = drivers.as_frame(table, (*changed, *by), values)
                self._update_from_frame(table, frame.unique(by, keep="last", maintain_order=True), by)
                return
        with self.transaction():
            self._execute_many(drivers.update_sql(table, changed, by, self.is_sqlite), values)

    def _update_from_frame(self, table: Table, frame: pl.DataFrame, by: Sequence[str]) -> None:
        """Through a table of the transaction's own, filled by COPY."""
        names = ", ".join(f'"{name}"' for name in frame.columns)
        values = ", ".join(f'"{name}" = given."{name}"' for name in frame.columns if name not in by)
        condition = " AND ".join(f'{table.name}."{name}" = given."{name}"' for name in by)
        with self.transaction():
            self._run(f"CREATE TEMP TABLE given ON COMMIT DROP AS SELECT {names} FROM {table.name} LIMIT 0")
            self._copy_in("given", frame)
            self._run(f"UPDATE {table.name} SET {values} FROM given WHERE {condition}")
            self._run("DROP TABLE given")

    def _copy_in(self, name: str, frame: pl.DataFrame) -> None:
        columns = ", ".join(f'"{column}"' for column in frame.columns)
        cursor = self._cursor()
        with cursor.copy(f"COPY {name} ({columns}) FROM STDIN (FORMAT csv)") as copy:
            for part in frame.iter_slices(50_000):
                copy.write(drivers.to_csv(part))
        cursor.close()

    def _execute_many(self, sql: str, values: Sequence[tuple[Any, ...]]) -> None:
        cursor = self._cursor()
        try:
            if len(values) == 1:
                cursor.execute(sql, values[0])
            else:
                cursor.executemany(sql, values)
        finally:
            cursor.close()

    def analyze(self) -> None:
        """Let the database count its rows, after many were written at once, so that it plans well."""
        self._run("ANALYZE")

    # --- ids and numbers ---

    def new_id(self, prefix: str) -> str:
        """An id that sorts after those made before it."""
        return self.new_ids(prefix, 1)[0]

    def new_ids(self, prefix: str, count: int) -> list[str]:
        """`count` ids, in order."""
        if self._ids is None:
            epoch = self._new_epoch()
            self._ids = IdGenerator(epoch, epoch)
            self._is_epoch_open = self.is_in_transaction and self.is_sqlite
        return self._ids.new_ids(prefix, count)

    def _new_epoch(self) -> int:
        """The next epoch. On PostgreSQL in a transaction of its own, so that none that is long holds up the
        first id of others."""
        if self.is_sqlite or not self.is_in_transaction:
            return self.take_numbers("", "id_epoch", 0, 1, _KNOWN_SINCE_EVER)
        with Store(self._engine, None) as other:
            return other.take_numbers("", "id_epoch", 0, 1, _KNOWN_SINCE_EVER)

    def take_numbers(self, entity_id: str, kind: str, year: int, count: int, at: datetime) -> int:
        """Take `count` numbers of a sequence and return the first. They return with a rollback: no gaps."""
        mark = "?" if self.is_sqlite else "%s"
        stamp = drivers.sqlite_instant(at) if self.is_sqlite else at
        cursor = self._cursor()
        cursor.execute(
            "INSERT INTO number_sequences (entity_id, kind, year, next_number, recorded_at, changed_at) "
            f"VALUES ({', '.join([mark] * 6)}) ON CONFLICT (entity_id, kind, year) DO UPDATE SET "
            f"next_number = number_sequences.next_number + {mark}, changed_at = excluded.changed_at "
            "RETURNING next_number",
            (entity_id, kind, year, 1 + count, stamp, stamp, count),
        )
        after = int(cursor.fetchone()[0])
        cursor.close()
        key = {"entity_id": entity_id, "kind": kind, "year": year}
        self._note_changed(tables.number_sequences, [key], tuple(key), may_add=True)
        return after - count
