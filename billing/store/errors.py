"""What an error of a database says: that another transaction came in between, that what the database stands
on fails, that nobody answers, or that a rule of the tables was broken."""

from __future__ import annotations

import sqlite3
import sys


def is_passing(error: BaseException) -> bool:
    """Whether a database error comes of another transaction at the same moment (a deadlock, a lock not
    given, a key just written), so that the same work may succeed when it is tried again."""
    origin = getattr(error, "orig", None) or error
    if getattr(origin, "sqlstate", None) in ("40001", "40P01", "55P03", "23505"):
        return True
    return isinstance(origin, sqlite3.OperationalError) and "locked" in str(origin)


_OF_THE_SYSTEM = frozenset(
    (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
    )
)


def is_of_the_system(error: BaseException) -> bool:
    """Whether a database error comes of what the database stands on (a full disk, no memory, a server that
    shuts down), so that no part of the work is to blame and none would fare better."""
    origin = getattr(error, "orig", None) or error
    if isinstance(origin, sqlite3.Error):
        return (getattr(origin, "sqlite_errorcode", 0) & 0xFF) in _OF_THE_SYSTEM
    state = str(getattr(origin, "sqlstate", None))
    return state[:2] in ("53", "58") or state.startswith("57P")


def is_away(error: BaseException) -> bool:
    """Whether a server of a database could not be reached, or ended the connection."""
    origin = getattr(error, "orig", None) or error
    driver = sys.modules.get("psycopg")
    return driver is not None and isinstance(origin, driver.OperationalError) and origin.sqlstate is None


def broken_rule(error: BaseException) -> tuple[str, str] | None:
    """Code and detail of a rule of the tables that a write broke; None for any other error."""
    origin = getattr(error, "orig", None) or error
    detail = str(origin).splitlines()[0] if str(origin) else type(origin).__name__
    if isinstance(origin, sqlite3.IntegrityError):
        return next(((code, detail) for word, code in _BROKEN.items() if detail.startswith(word)), None)
    code = _BROKEN.get(str(getattr(origin, "sqlstate", None)))
    return None if code is None else (code, detail)


_BROKEN = {
    "UNIQUE": "immutable",
    "23505": "immutable",
    "FOREIGN KEY": "unknown_reference",
    "23503": "unknown_reference",
    "NOT NULL": "missing_value",
    "23502": "missing_value",
    "23P01": "version_overlap",
}
