"""Claims: marks that a living process holds, and that end with it however it ends.

On PostgreSQL a claim is an advisory lock of the connection's session; the server gives it up when the
connection breaks. On SQLite it is a locked file beside the database, which the system unlocks when the
process ends. A database in memory has no second process, so there every claim that is asked for is free.
"""

from __future__ import annotations

import fcntl
import os
from glob import escape
from pathlib import Path

from sqlalchemy import bindparam, func, select

from billing.store.store import Store

_KEY = func.hashtextextended(bindparam("name"), 0)
_TAKE = select(func.pg_try_advisory_lock(_KEY).label("is_taken"))
_GIVE = select(func.pg_advisory_unlock(_KEY).label("is_given"))


def claim(store: Store, name: str) -> bool:
    """Take a claim that nobody alive holds; whether it was free. It lasts until `release`, or as long as the
    store's connection (PostgreSQL) or process (SQLite)."""
    if not store.is_sqlite:
        row = store.row(_TAKE, {"name": name})
        is_taken = bool(row and row["is_taken"])
        if is_taken:
            store.claimed[name] = None
        return is_taken
    path = _file(store, name)
    if path is None:
        return True
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    store.claimed[name] = descriptor
    return True


def release(store: Store, name: str) -> None:
    """Give a claim of this store back."""
    if not store.is_sqlite:
        store.row(_GIVE, {"name": name})
        store.claimed.pop(name, None)
        return
    descriptor = store.claimed.pop(name, None)
    path = _file(store, name)
    if descriptor is not None and path is not None:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def left_behind(store: Store, kind: str) -> set[str]:
    """The names of claims of a kind that have a file, whether a process holds them or was killed. On
    PostgreSQL, and in memory, a claim leaves nothing."""
    if store.path is None:
        return set()
    before, after = f"{store.path.name}.", ".claim"
    found = store.path.parent.glob(f"{escape(before)}{kind}_*{after}")
    return {one.name.removeprefix(before).removesuffix(after) for one in found}


def clear(store: Store, name: str) -> None:
    """Remove what a claim left behind. The caller knows that nobody will ask for it any more."""
    path = _file(store, name)
    if path is not None:
        path.unlink(missing_ok=True)


def _file(store: Store, name: str) -> Path | None:
    return None if store.path is None else store.path.with_name(f"{store.path.name}.{name}.claim")
