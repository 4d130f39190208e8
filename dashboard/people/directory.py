"""Who may sign in, which roles they have in which company, and which sessions run.

One database for the workspace (`app.db` beside dashboard.toml): a person has one name, one password and one
lock-out, and roles by company. Nothing is removed from it; whoever was taken off the list has a `deleted_at`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    insert,
    select,
    update,
)

from dashboard.people.permissions import ROLES
from dashboard.people.reader import Reader
from dashboard.records.audit import AUDIT
from dashboard.records.database import Instant, Records, recorded

PEOPLE_METADATA = MetaData()
LONGEST_ID = 200

PEOPLE = Table(
    "people",
    PEOPLE_METADATA,
    Column("reader_id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("password", String),
    *recorded(),
)
GIVEN_ROLES = Table(
    "roles",
    PEOPLE_METADATA,
    Column("role_id", Integer, primary_key=True, autoincrement=True),
    Column("reader_id", String, nullable=False),
    Column("company", String, nullable=False),
    Column("role", String, nullable=False),
    Column("owner", String),
    *recorded(),
    Index("roles_by_reader", "reader_id"),
)
SESSIONS = Table(
    "sessions",
    PEOPLE_METADATA,
    Column("session_key", String, primary_key=True),
    Column("reader_id", String, nullable=False, index=True),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
)
ATTEMPTS = Table(
    "attempts",
    PEOPLE_METADATA,
    Column("reader_id", String, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("locked_until", Instant),
)
LAST_USED = Table(
    "last_used",
    PEOPLE_METADATA,
    Column("reader_id", String, primary_key=True),
    Column("company", String, primary_key=True),
    Column("page", String, primary_key=True),
    Column("parameters", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
)
AUDIT.to_metadata(PEOPLE_METADATA)


class DirectoryError(Exception):
    """The list of people is not changed. The message says why."""


@dataclass(frozen=True)
class Person:
    """One person, with the roles they have in each company and whose accounts they look after there."""

    reader_id: str
    name: str
    roles: dict[str, frozenset[str]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)

    def reader(self, company: str) -> Reader:
        """This person as a reader of one company; without a role there they may see nothing."""
        return Reader(
            self.reader_id, self.name, self.roles.get(company, frozenset()), self.owners.get(company)
        )


@lru_cache(maxsize=8)
def open_people(url: str) -> Records:
    """The people's database at `url`, shared by everybody in this process."""
    return Records(url, PEOPLE_METADATA)


def normal(reader_id: str) -> str:
    """A sign-in name as it is kept: without case and without space around it."""
    return reader_id.strip().lower()[:LONGEST_ID]


def add(people: Records, at: datetime, by: str, reader_id: str, name: str, password: str | None) -> None:
    """Put a person on the list; `password` is what passwords.kept made. Also one who was taken off it before.

    Raises DirectoryError when there is such a person.
    """
    key = normal(reader_id)
    if not key or any(character.isspace() for character in key):
        raise DirectoryError("A sign-in name is one word without spaces, or an e-mail address.")
    values = {
        "reader_id": key,
        "name": name,
        "password": password,
        "recorded_at": at,
        "recorded_by": by,
        "deleted_at": None,
        "deleted_by": None,
    }
    with people.transaction() as connection:
        row = connection.execute(select(PEOPLE).where(PEOPLE.c.reader_id == key)).mappings().first()
        if row is not None and row["deleted_at"] is None:
            raise DirectoryError(f"{key} is on the list already.")
        if row is None:
            connection.execute(insert(PEOPLE).values(values))
        else:
            connection.execute(update(PEOPLE).where(PEOPLE.c.reader_id == key).values(values))
        _note(connection, at, by, "role", key, "added")


def set_password(people: Records, at: datetime, by: str, reader_id: str, password: str) -> None:
    """Give a person another password; their sessions end. Raises DirectoryError for nobody on the list."""
    key = normal(reader_id)
    with people.transaction() as connection:
        _require(connection, key)
        connection.execute(update(PEOPLE).where(PEOPLE.c.reader_id == key).values(password=password))
        connection.execute(ATTEMPTS.delete().where(ATTEMPTS.c.reader_id == key))
        _end_sessions(connection, at, key)
        _note(connection, at, by, "role", key, "password")


def give_role(
    people: Records, at: datetime, by: str, reader_id: str, company: str, role: str, owner: str | None = None
) -> None:
    """Give a person a role in a company. `owner`: whose accounts they look after, as the CRM writes it.

    Raises DirectoryError for a role nobody knows, a person who is not on the list, or a csm without an owner.
    """
    key = normal(reader_id)
    if role not in ROLES:
        raise DirectoryError(f"There is no role {role}; there are {', '.join(ROLES)}.")
    if role == "csm" and not owner:
        raise DirectoryError("A csm sees the accounts of an owner: say which with --owner.")
    with people.transaction() as connection:
        _require(connection, key)
        _take(connection, at, by, key, company, role)
        connection.execute(
            insert(GIVEN_ROLES).values(
                reader_id=key, company=company, role=role, owner=owner, recorded_at=at, recorded_by=by
            )
        )
        _note(connection, at, by, "role", key, f"{company}: {role}" + (f" for {owner}" if owner else ""))


def take_role(people: Records, at: datetime, by: str, reader_id: str, company: str, role: str) -> None:
    """Take a role from a person. Raises DirectoryError when they do not have it."""
    key = normal(reader_id)
    with people.transaction() as connection:
        if not _take(connection, at, by, key, company, role):
            raise DirectoryError(f"{key} does not have the role {role} in {company}.")
        _note(connection, at, by, "role", key, f"{company}: no longer {role}")


def remove(people: Records, at: datetime, by: str, reader_id: str) -> None:
    """Take a person off the list, with roles and sessions. Raises DirectoryError for nobody on the list."""
    key = normal(reader_id)
    with people.transaction() as connection:
        _require(connection, key)
        gone = {"deleted_at": at, "deleted_by": by}
        connection.execute(update(PEOPLE).where(PEOPLE.c.reader_id == key).values(**gone, password=None))
        connection.execute(
            update(GIVEN_ROLES)
            .where(GIVEN_ROLES.c.reader_id == key, GIVEN_ROLES.c.deleted_at.is_(None))
            .values(gone)
        )
        _end_sessions(connection, at, key)
        _note(connection, at, by, "role", key, "removed")


def person(people: Records, reader_id: str) -> Person | None:
    """One person with their roles; None when they are not on the list."""
    found = _persons(people, PEOPLE.c.reader_id == normal(reader_id))
    return found[0] if found else None


def everybody(people: Records) -> list[Person]:
    """All people on the list, by their sign-in name."""
    return _persons(people)


def person_of_session(
    people: Records, session_key: str, at: datetime, started_after: datetime
) -> Person | None:
    """Who a running session belongs to; None when it has ended, is too old, or its person left the list."""
    running = select(SESSIONS.c.reader_id).where(
        SESSIONS.c.session_key == session_key,
        SESSIONS.c.ended_at.is_(None),
        SESSIONS.c.started_at > started_after,
        SESSIONS.c.started_at <= at,
    )
    found = _persons(people, PEOPLE.c.reader_id.in_(running))
    return found[0] if found else None


def start_session(people: Records, at: datetime, reader_id: str, session_key: str) -> None:
    """Let a session run from now on, and write it down."""
    with people.transaction() as connection:
        connection.execute(
            insert(SESSIONS).values(session_key=session_key, reader_id=normal(reader_id), started_at=at)
        )
        _note(connection, at, normal(reader_id), "sign_in", normal(reader_id), None)


def is_known_session(people: Records, session_key: str) -> bool:
    """Whether a session was ever begun, also when it has ended."""
    return bool(people.rows(select(SESSIONS.c.session_key).where(SESSIONS.c.session_key == session_key)))


def end_session(people: Records, at: datetime, session_key: str) -> None:
    """End a session; one that has ended stays so."""
    with people.transaction() as connection:
        which = and_(SESSIONS.c.session_key == session_key, SESSIONS.c.ended_at.is_(None))
        reader_id = connection.execute(select(SESSIONS.c.reader_id).where(which)).scalar()
        if reader_id is not None:
            connection.execute(update(SESSIONS).where(which).values(ended_at=at))
            _note(connection, at, reader_id, "sign_out", reader_id, None)


def _persons(people: Records, *which: Any) -> list[Person]:
    asked = (
        select(
            PEOPLE.c.reader_id,
            PEOPLE.c.name,
            GIVEN_ROLES.c.company,
            GIVEN_ROLES.c.role,
            GIVEN_ROLES.c.owner,
        )
        .outerjoin(
            GIVEN_ROLES,
            and_(GIVEN_ROLES.c.reader_id == PEOPLE.c.reader_id, GIVEN_ROLES.c.deleted_at.is_(None)),
        )
        .where(PEOPLE.c.deleted_at.is_(None), *which)
        .order_by(PEOPLE.c.reader_id, GIVEN_ROLES.c.role_id)
    )
    return _assembled(people.rows(asked))


def _assembled(rows: Iterable[dict[str, Any]]) -> list[Person]:
    found: dict[str, Person] = {}
    for row in rows:
        one = found.setdefault(row["reader_id"], Person(row["reader_id"], row["name"]))
        if row["role"] in ROLES:
            one.roles[row["company"]] = one.roles.get(row["company"], frozenset()) | {row["role"]}
            if row["owner"]:
                one.owners[row["company"]] = row["owner"]
    return list(found.values())


def _require(connection: Connection, reader_id: str) -> None:
    there = select(PEOPLE.c.reader_id).where(PEOPLE.c.reader_id == reader_id, PEOPLE.c.deleted_at.is_(None))
    if connection.execute(there).first() is None:
        raise DirectoryError(f"{reader_id} is not on the list of people.")


def _take(connection: Connection, at: datetime, by: str, reader_id: str, company: str, role: str) -> int:
    taken = connection.execute(
        update(GIVEN_ROLES)
        .where(
            GIVEN_ROLES.c.reader_id == reader_id,
            GIVEN_ROLES.c.company == company,
            GIVEN_ROLES.c.role == role,
            GIVEN_ROLES.c.deleted_at.is_(None),
        )
        .values(deleted_at=at, deleted_by=by)
    )
    return taken.rowcount


def _end_sessions(connection: Connection, at: datetime, reader_id: str) -> None:
    connection.execute(
        update(SESSIONS)
        .where(SESSIONS.c.reader_id == reader_id, SESSIONS.c.ended_at.is_(None))
        .values(ended_at=at)
    )


def _note(connection: Connection, at: datetime, by: str, act: str, subject: str, detail: str | None) -> None:
    line = {"recorded_at": at, "recorded_by": by, "act": act, "subject": subject, "detail": detail}
    connection.execute(insert(AUDIT).values(line))
