"""Who of the merchant's staff looks, as whoever serves the pages knows it. Pages know no list of people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from billing.web.problems import Problem


@dataclass(frozen=True)
class Staff:
    """Somebody of the staff. `may_manage`: keys, webhooks, the audit log, and what cannot be undone."""

    id: str
    name: str
    may_manage: bool


@dataclass(frozen=True)
class Entered:
    """What came of an attempt to sign in: the token of a new session, or why there is none.

    `has_no_role`: it is known who came, and they may not see these pages. `target`: the page that somebody
    wanted who signed in elsewhere.
    """

    token: str | None = None
    locked_for: timedelta | None = None
    has_no_role: bool = False
    target: str | None = None


@dataclass(frozen=True)
class Away:
    """Where somebody goes who signs in elsewhere. `kept`: what only their browser keeps until they are back;
    it holds no secret of ours, and is of no use to anybody else."""

    address: str
    kept: str


class DoorStuck(Problem):
    """Nobody can be let in just now: the list of people cannot be read."""

    def __init__(self) -> None:
        super().__init__("unavailable")


class StaffDoor(Protocol):
    """Where staff come in. All methods raise DoorStuck."""

    cookie: str
    """The name of the cookie that holds the token of a session."""
    session: timedelta
    """How long a session lasts."""
    is_open: bool
    """Nobody signs in: whoever reaches the pages is one and the same person."""
    is_elsewhere: bool
    """People sign in at an identity provider (`depart`, `arrive`), else here with a password (`enter`)."""

    def who(self, token: str | None) -> Staff | None:
        """Who a session is of; None for nobody, or somebody who may not see these pages."""
        ...

    def enter(self, name: str, password: str) -> Entered:
        """Sign somebody in with a password; nobody where people sign in elsewhere."""
        ...

    def depart(self, target: str) -> Away:
        """Send somebody to sign in elsewhere, who wants to see a page."""
        ...

    def arrive(self, kept: str, said: Mapping[str, str]) -> Entered:
        """Let somebody in who comes back with what their browser kept and the provider said."""
        ...

    def leave(self, token: str) -> None:
        """End a session."""
        ...
