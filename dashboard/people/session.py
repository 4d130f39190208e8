"""Who the running page is drawn for. Asked anew on every run, so that nobody stays who has left the list."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.people import directory, entry
from dashboard.people.claims import CLOCKS_DIFFER, name_in
from dashboard.people.directory import Person
from dashboard.people.entry import COOKIE
from dashboard.people.reader import LOCAL, NOBODY, Reader
from dashboard.people.settings import THIS_MACHINE, SettingsError, SignIn, check_auth, read_sign_in
from dashboard.records.database import Records, RecordsError

logger = logging.getLogger(__name__)


class Door(Enum):
    """Why nothing is shown.

    Nobody signed in; the session is over; not on the list, or without a role; the list of people cannot be
    read; the settings cannot be used; without sign-in the server listens to more than this machine.
    """

    SIGN_IN = "sign_in"
    ENDED = "ended"
    NO_ACCESS = "no_access"
    UNAVAILABLE = "unavailable"
    MISCONFIGURED = "misconfigured"
    EXPOSED = "exposed"


@dataclass(frozen=True)
class Visit:
    """Who reads, or why nobody does.

    `key` is the session's in the list of people; without sign-in there is neither a person nor a session.
    """

    door: Door | None = None
    person: Person | None = None
    key: str | None = None
    settings: SignIn | None = None

    def opens(self, company: str) -> bool:
        return self.reader(company) is not NOBODY

    def reader(self, company: str | None) -> Reader:
        """The reader of a company; nobody, where there is none or they have no role in it."""
        if self.door is not None or self.settings is None:
            return NOBODY
        if self.settings.kind == "none":
            return LOCAL
        one = self.person.reader(company) if self.person is not None and company is not None else NOBODY
        return one if one.roles else NOBODY

    @property
    def reader_id(self) -> str:
        """Under which name things are kept for whoever visits."""
        return self.person.reader_id if self.person is not None else LOCAL.reader_id


NOBODY_HERE = Visit(Door.SIGN_IN)


def visit(home: Path, at: datetime) -> Visit:
    """Who the running page is drawn for. Whatever goes wrong, nobody is let in."""
    try:
        settings = read_sign_in(home)
    except SettingsError:
        logger.exception("the settings of sign-in cannot be used")
        return Visit(Door.MISCONFIGURED)
    if settings.kind == "none":
        return Visit(Door.EXPOSED if _is_exposed() else None, settings=settings)
    try:
        people = directory.open_people(settings.people_url)
        if settings.kind == "password":
            return by_token(people, settings, at, token_of_browser())
        check_auth(settings.auth or st.secrets["auth"])
        return by_claims(people, settings, at, dict(st.user.to_dict()))
    except RecordsError:
        logger.exception("the list of people cannot be read")
        return Visit(Door.UNAVAILABLE, settings=settings)
    except (ValueError, KeyError, FileNotFoundError):
        logger.error("[auth] is missing or incomplete")
        return Visit(Door.MISCONFIGURED, settings=settings)


def is_still(over: Visit, company: str, reader: Reader, at: datetime) -> bool:
    """Whether whoever a page was drawn for is still let in, as the same reader. Raises RecordsError.

    What a page offers may be used long after it was drawn, and without drawing it anew.
    """
    if over.settings is None or over.settings.kind == "none":
        return over.settings is not None
    if over.key is None:
        return False
    people = directory.open_people(over.settings.people_url)
    person = directory.person_of_session(people, over.key, at, at - over.settings.session)
    return person is not None and person.reader(company) == reader


def token_of_browser() -> str | None:
    """The token that the browser of the running page sent."""
    return st.context.cookies.get(COOKIE)


def _is_exposed() -> bool:
    """Whether the server that draws this page listens to more than this machine."""
    address = st.get_option("server.address")  # set in .streamlit/config.toml, so None only without a server
    return address is not None and address not in THIS_MACHINE


def by_token(people: Records, settings: SignIn, at: datetime, token: str | None) -> Visit:
    """The session that a password began."""
    if not token:
        return Visit(Door.SIGN_IN, settings=settings)
    key = entry.key_of_token(token)
    person = directory.person_of_session(people, key, at, at - settings.session)
    return _let_in(settings, person, key) if person else Visit(Door.ENDED, settings=settings)


def by_claims(people: Records, settings: SignIn, at: datetime, claims: Mapping[str, Any]) -> Visit:
    """The session that the identity provider vouches for."""
    if not claims.get("is_logged_in"):
        return Visit(Door.SIGN_IN, settings=settings)
    name, issued = name_in(claims, settings.claim), claims.get("iat")
    if name is None or not isinstance(issued, int | float):
        return Visit(Door.NO_ACCESS, settings=settings)
    started = datetime.fromtimestamp(issued, UTC)
    if not at - settings.session < started < at + CLOCKS_DIFFER:
        return Visit(Door.ENDED, settings=settings)
    person = directory.person(people, name)
    if person is None:
        return Visit(Door.NO_ACCESS, settings=settings)
    key = _key_of_claims(claims)
    if not directory.is_known_session(people, key):
        directory.start_session(people, min(started, at), person.reader_id, key)
    running = directory.person_of_session(people, key, at, at - settings.session)
    if running is None or running.reader_id != person.reader_id:
        return Visit(Door.ENDED, settings=settings)
    return _let_in(settings, running, key)


def _let_in(settings: SignIn, person: Person, key: str) -> Visit:
    return Visit(None if person.roles else Door.NO_ACCESS, person, key, settings)


def _key_of_claims(claims: Mapping[str, Any]) -> str:
    """One sign-in at the provider: who, when, and the number used once that belonged to it."""
    parts = (str(claims.get(name)) for name in ("iss", "sub", "iat", "nonce", "sid"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def sign_out(over: Visit, at: datetime) -> None:
    """End the session, in the list of people and in the browser."""
    if over.settings is None:
        return
    if over.key is not None:
        directory.end_session(directory.open_people(over.settings.people_url), at, over.key)
    if over.settings.kind == "oidc":
        st.logout()
