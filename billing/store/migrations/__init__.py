"""The history of the schema. One set of Alembic migrations serves SQLite and PostgreSQL.

A change of `billing.store.tables` comes with a new file in `versions/`; a test compares both.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy import Connection, inspect, text

HEAD = max(path.stem[:4] for path in Path(__file__).parent.glob("versions/[0-9]*.py"))
"""The newest version."""


def upgrade(connection: Connection, transaction: Callable[[], AbstractContextManager[None]]) -> None:
    """Run the migrations a database lacks, all of them in one transaction."""
    if _version(connection) == HEAD:
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    with transaction():
        command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
