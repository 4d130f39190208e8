"""The history of the schema. One set of Alembic migrations serves SQLite and PostgreSQL.

A change of `billing.store.tables` comes with a new file in `versions/`; a test compares both.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, inspect, text

HEAD = max(path.stem[:4] for path in Path(__file__).parent.glob("versions/[0-9]*.py"))
"""The newest version."""


class NewerForm(Exception):
    """A database was migrated by a newer program than this one. The message says so."""

    def __init__(self, form: str | None) -> None:
        super().__init__(
            f"This program is older than the database: it knows the forms up to {HEAD}, the database is at "
            f"{form}. Start the version that migrated it, or a newer one."
        )


def compared(form: str | None) -> Literal["older", "same", "newer"]:
    """How the form of a database stands to the one that this code works with; None: it has none yet."""
    if form == HEAD:
        return "same"
    return "newer" if form is not None and form > HEAD else "older"


def upgrade(connection: Connection, transaction: Callable[[], AbstractContextManager[None]]) -> None:
    """Run the migrations a database lacks, all of them in one transaction. Raises NewerForm."""
    form = _version(connection)
    found = compared(form)
    if found == "same":
        return
    if found == "newer":
        raise NewerForm(form)
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
