"""The merchant's staff for the admin screens: the people of the dashboard, with the roles they have there.

Whoever may see the billing pages of the dashboard sees the admin screens; whoever manages people there also
manages keys and webhooks, reads the audit log, and does what cannot be undone.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from billing.admin.app import CALLBACK
from billing.admin.door import Away, DoorStuck, Entered, Staff
from dashboard.people import directory, entry
from dashboard.people.claims import CLOCKS_DIFFER, name_in
from dashboard.people.entry import COOKIE
from dashboard.people.reader import LOCAL, Reader
from dashboard.people.settings import THIS_MACHINE, SettingsError, SignIn, read_sign_in
from dashboard.records.database import Records, RecordsError
from tajdid.oidc import NotVouched, Provider, ProviderError

NO_AUTH = (
    "People sign in by OIDC here, and dashboard.toml has no [auth], which the admin screens need "
    "(docs/people.md), so they are not served."
)
NO_TLS = "People sign in by OIDC here, so {url} must begin with https:// (http:// only on this machine)."
NO_SIGN_IN = (
    "There is no sign-in (dashboard.toml), so the admin screens are for this machine only and are not served "
    "as {url}. Set up sign-in first (docs/people.md)."
)
logger = logging.getLogger(__name__)


class StaffError(Exception):
    """There is no door for the admin screens. The message says why."""


class PeopleDoor:
    """The list of people of a workspace, for one company."""

    cookie = COOKIE

    def __init__(
        self, home: Path, company: str, clock: Callable[[], datetime], url: str | None = None
    ) -> None:
        """url: where people reach the screens. Raises StaffError where dashboard.toml cannot be used, says of
        OIDC too little, or lets in everybody while the screens are reached by a name of a network."""
        try:
            self._settings: SignIn = read_sign_in(home)
        except SettingsError as error:
            raise StaffError(str(error)) from error
        self._company, self._clock = company, clock
        self.session = self._settings.session
        self.is_open = self._settings.kind == "none"
        if self.is_open and url is not None and urlsplit(url).hostname not in THIS_MACHINE:
            raise StaffError(NO_SIGN_IN.format(url=url))
        self.is_elsewhere = self._settings.kind == "oidc"
        self._provider = _provider(self._settings, url, clock) if self.is_elsewhere else None

    def refusal(self, address: str) -> str | None:
        """Why the screens may not be served at an address; None when they may."""
        return self._settings.refusal(address)

    def who(self, token: str | None) -> Staff | None:
        """Whose session it is, asked anew each time."""
        if self.is_open:
            return _staff(LOCAL)
        if not token:
            return None
        at = self._clock()
        with self._people() as people:
            key = entry.key_of_token(token)
            person = directory.person_of_session(people, key, at, at - self._settings.session)
        return _staff(person.reader(self._company)) if person is not None else None

    def enter(self, name: str, password: str) -> Entered:
        """Sign somebody in with their password of the dashboard; failures lock a name as they do there."""
        if self._settings.kind != "password":
            return Entered()
        with self._people() as people:
            came = entry.enter(people, self._clock(), name, password)
        return Entered(came.token, came.locked_for)

    def depart(self, target: str) -> Away:
        """Send somebody to the identity provider."""
        assert self._provider is not None
        try:
            return Away(*self._provider.depart(target))
        except ProviderError as error:
            logger.exception("the identity provider cannot be used")
            raise DoorStuck from error

    def arrive(self, kept: str, said: Mapping[str, str]) -> Entered:
        """Begin a session of somebody whom the provider vouches for and who has a role here."""
        assert self._provider is not None
        try:
            claims, target = self._provider.arrive(kept, said)
        except NotVouched as error:
            logger.warning("nobody was signed in by the identity provider: %s", error)
            return Entered()
        except ProviderError as error:
            logger.exception("the identity provider cannot be used")
            raise DoorStuck from error
        name = name_in(claims, self._settings.claim)
        with self._people() as people:
            person = directory.person(people, name) if name is not None else None
            if person is None or _staff(person.reader(self._company)) is None:
                return Entered(has_no_role=True)
            token = secrets.token_urlsafe(32)
            directory.start_session(people, self._clock(), person.reader_id, entry.key_of_token(token))
        return Entered(token, target=target)

    def leave(self, token: str) -> None:
        with self._people() as people:
            directory.end_session(people, self._clock(), entry.key_of_token(token))

    @contextmanager
    def _people(self) -> Iterator[Records]:
        try:
            yield directory.open_people(self._settings.people_url)
        except RecordsError as error:
            logger.exception("the list of people cannot be used")
            raise DoorStuck from error


def _provider(settings: SignIn, url: str | None, clock: Callable[[], datetime]) -> Provider:
    if not settings.auth or url is None:
        raise StaffError(NO_AUTH)
    there = urlsplit(url)
    if there.scheme != "https" and there.hostname not in THIS_MACHINE:
        raise StaffError(NO_TLS.format(url=url))
    return Provider(settings.auth, url.rstrip("/") + CALLBACK, clock, CLOCKS_DIFFER)


def _staff(reader: Reader) -> Staff | None:
    """A reader as staff; None for one who may not bill."""
    if not reader.may("bill"):
        return None
    return Staff(reader.reader_id, reader.name, reader.may("manage_people"))
