"""Signing in with a password: who is let in, and what stands in the way of somebody who guesses.

A wrong password, an unknown name and a person without a password are answered alike, in the same time.
Five failures lock a name for a minute, each further one for twice as long, at most an hour.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from dashboard.people import passwords
from dashboard.people.directory import ATTEMPTS, PEOPLE, normal, start_session
from dashboard.records import audit
from dashboard.records.database import Records

COOKIE = "tajdid_session"
"""The cookie that holds the token of a session."""
FREE_FAILURES = 5
FIRST_LOCK, LONGEST_LOCK = timedelta(minutes=1), timedelta(hours=1)
FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class Entry:
    """What came of an attempt: the token of a new session, or why there is none."""

    token: str | None = None
    locked_for: timedelta | None = None


def enter(people: Records, at: datetime, reader_id: str, password: str) -> Entry:
    """Sign a reader in. Raises RecordsError when the list of people cannot be read or written."""
    key = normal(reader_id)
    with people.transaction() as connection:
        locked = _count(connection, at, key)
    if locked is not None:
        return Entry(locked_for=locked)
    asked = select(PEOPLE.c.password).where(PEOPLE.c.reader_id == key, PEOPLE.c.deleted_at.is_(None))
    rows = people.rows(asked)
    if not passwords.is_right(password, rows[0]["password"] if rows else None):
        _note_lock(people, at, key)
        return Entry()
    token = secrets.token_urlsafe(32)
    with people.transaction() as connection:
        connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.reader_id == key))
    start_session(people, at, key, key_of_token(token))
    return Entry(token)


def key_of_token(token: str) -> str:
    """What is kept of a session's token: whoever reads the database cannot take a session over."""
    return hashlib.sha256(token.encode()).hexdigest()


def _note_lock(people: Records, at: datetime, key: str) -> None:
    """Put on record that a wrong password has locked the name of somebody on the list."""
    locked = select(ATTEMPTS.c.failures, ATTEMPTS.c.locked_until).where(
        ATTEMPTS.c.reader_id == key,
        ATTEMPTS.c.locked_until > at,
        ATTEMPTS.c.reader_id.in_(select(PEOPLE.c.reader_id).where(PEOPLE.c.deleted_at.is_(None))),
    )
    for row in people.rows(locked):
        detail = f"{row['failures']} wrong passwords, locked until {row['locked_until'].isoformat()}"
        audit.note(people, key, at, "refused", key, detail)


def _count(connection: Connection, at: datetime, key: str) -> timedelta | None:
    """Count an attempt before it is looked at, so that many at once gain nothing.

    Answers how long the name stays locked; None when the attempt may be looked at.
    """
    connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.last_at < at - FORGOTTEN_AFTER))
    row = connection.execute(select(ATTEMPTS).where(ATTEMPTS.c.reader_id == key)).mappings().first()
    if row is not None and row["locked_until"] is not None and row["locked_until"] > at:
        return timedelta(seconds=(row["locked_until"] - at).total_seconds())
    failures = (row["failures"] if row is not None else 0) + 1
    over = failures - FREE_FAILURES
    lock = min(FIRST_LOCK * 2 ** min(over, 12), LONGEST_LOCK) if over >= 0 else None
    values = {"failures": failures, "last_at": at, "locked_until": None if lock is None else at + lock}
    if row is None:
        connection.execute(insert(ATTEMPTS).values(reader_id=key, **values))
    else:
        connection.execute(update(ATTEMPTS).where(ATTEMPTS.c.reader_id == key).values(values))
    return None
