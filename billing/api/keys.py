"""Who calls: the key in the Authorization header, as `Authorization: Bearer tj_…`."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime
from weakref import WeakSet

from billing.service import api_keys
from billing.store.store import Row
from billing.web.context import Caller, Services, now
from billing.web.problems import Problem
from billing.web.stores import Busy

_SECONDS = 10.0
"""How long a key that was looked up is believed without looking again; a key that is revoked in another
process opens so long at most."""
_MOST = 1_000


class Door:
    """Knows keys. clock: of the world, as keys end by that also where a database has a clock of its own."""

    def __init__(self, clock: Callable[[], datetime] = now) -> None:
        self._clock = clock
        self._known: dict[tuple[str, bytes], tuple[float, Row]] = {}
        self._lock = threading.Lock()
        _doors.add(self)

    def __call__(self, services: Services, header: str | None) -> Caller:
        """Who sends a header. Raises Problem `unauthenticated`, Busy."""
        at, token = self._clock(), _token_of(header)
        key = self._key(services, token, at) if token is not None else None
        if key is None or not api_keys.is_valid(key, at):
            raise Problem("unauthenticated", headers={"WWW-Authenticate": 'Bearer realm="api"'})
        return _caller_of(key)

    def known(self, services: Services, header: str | None) -> Caller | None:
        """Who sends a header, if that can be told without the database."""
        token = _token_of(header)
        key = None if token is None else self._looked_up(_name_of(services, token))
        return _caller_of(key) if key is not None and api_keys.is_valid(key, self._clock()) else None

    def forget(self, key_id: str) -> None:
        """Look a key up again when it is used next, as it changed."""
        with self._lock:
            self._known = {name: one for name, one in self._known.items() if one[1]["key_id"] != key_id}

    def _looked_up(self, name: tuple[str, bytes]) -> Row | None:
        """A key that was looked up lately."""
        found = self._known.get(name)
        return found[1] if found is not None and time.monotonic() < found[0] else None

    def _key(self, services: Services, token: str, at: datetime) -> Row | None:
        name = _name_of(services, token)
        found = self._looked_up(name)
        if found is not None:
            return found
        with services.stores.look() as store:
            key = api_keys.key_of(store, token, services.mode)
        if key is None:
            return None
        if api_keys.is_valid(key, at):
            _note_use(services, key, at.date())
        with self._lock:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[name] = time.monotonic() + _SECONDS, key
        return key


def _token_of(header: str | None) -> str | None:
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _name_of(services: Services, token: str) -> tuple[str, bytes]:
    return services.stores.url, hashlib.sha256(token.encode()).digest()


def _caller_of(key: Row) -> Caller:
    return Caller(
        "key",
        key["key_id"],
        key["owner"],
        frozenset(key["scopes"].split()),
        key["customer_id"],
        version=key["version"],
        expires_at=key["expires_at"],
    )


def _note_use(services: Services, key: Row, on: date) -> None:
    if key["last_used_on"] is None or key["last_used_on"] < on:
        with suppress(Busy), services.stores.write("system") as store:  # The next use says it too.
            api_keys.note_use(store, key, on)


_doors: WeakSet[Door] = WeakSet()


def forget(key_id: str) -> None:
    """Let every door of this process look a key up again, as it changed."""
    for door in list(_doors):
        door.forget(key_id)
