"""The merchant's staff for the admin screens: the people of the dashboard, with the roles they have there.

Whoever may see the billing pages of the dashboard sees the admin screens; whoever manages people there also
manages keys and webhooks, reads the audit log, and does what cannot be undone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from billing.admin.door import DoorStuck, Entered, Staff
from dashboard.people import directory, entry
from dashboard.people.entry import COOKIE
from dashboard.people.reader import LOCAL, Reader
from dashboard.people.settings import THIS_MACHINE, SettingsError, SignIn, read_sign_in
from dashboard.records.database import Records, RecordsError

NO_OIDC = (
    "People sign in by OIDC here (dashboard.toml), which the admin screens do not know yet, so they are not "
    "served."
)
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
        """url: where people reach the screens. Raises StaffError where dashboard.toml cannot be used, lets
        people in by OIDC, or lets in everybody while the screens are reached by a name of a network."""
        try:
            self._settings: SignIn = read_sign_in(home)
        except SettingsError as error:
            raise StaffError(str(error)) from error
        if self._settings.kind == "oidc":
            raise StaffError(NO_OIDC)
        self._company, self._clock = company, clock
        self.session = self._settings.session
        self.is_open = self._settings.kind == "none"
        if self.is_open and url is not None and urlsplit(url).hostname not in THIS_MACHINE:
            raise StaffError(NO_SIGN_IN.format(url=url))

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
        with self._people() as people:
            came = entry.enter(people, self._clock(), name, password)
        return Entered(came.token, came.locked_for)

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


def _staff(reader: Reader) -> Staff | None:
    """A reader as staff; None for one who may not bill."""
    if not reader.may("bill"):
        return None
    return Staff(reader.reader_id, reader.name, reader.may("manage_people"))
