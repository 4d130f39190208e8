"""Stores that requests borrow: few and long-lived, as each new one costs a connection and an epoch of ids."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anyio import to_thread

from billing.store.store import Store, open_store, open_to_look

WAITS = 5.0
"""Seconds that a request waits for a store."""
_LOANS = 10_000
"""Loans after which a store forgets what it kept in memory."""


class Busy(Exception):
    """No store became free in time."""


class _Pool:
    def __init__(self, opened: Callable[[Store | None], Store], size: int) -> None:
        self._opened, self._size = opened, size
        self._free: queue.LifoQueue[Store] = queue.LifoQueue()
        self._all: list[Store] = []
        self._loans: dict[int, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def lend(self) -> Iterator[Store]:
        store = self._taken()
        try:
            yield store
        finally:
            self._free.put(self._sound(store))

    def _taken(self) -> Store:
        try:
            return self._free.get_nowait()
        except queue.Empty:
            pass
        with self._lock:
            if len(self._all) < self._size:
                store = self._opened(None)
                self._all.append(store)
                return store
        try:
            return self._free.get(timeout=WAITS)
        except queue.Empty:
            raise Busy("all connections to the database are in use") from None

    def _sound(self, store: Store) -> Store:
        """The store, or one in its place where the database no longer listens to it."""
        count = self._loans[id(store)] = self._loans.get(id(store), 0) + 1
        if count % _LOANS == 0:
            store.memory.clear()
        if store.is_connected:
            return store
        try:
            fresh = self._opened(store)
        except Exception:  # The database is away: the next loan finds out, and is told so.
            return store
        with self._lock:
            self._all[self._all.index(store)] = fresh
        self._loans.pop(id(store), None)
        return fresh

    def close(self) -> None:
        with self._lock:
            for store in self._all:
                store.close()
            self._all.clear()


class Stores:
    """Stores of one database for the threads of a process; a store is lent to one thread at a time."""

    def __init__(self, url: str, *, size: int = 4) -> None:
        """size: connections of each kind, at most: to write, to read, and half as many to rehearse."""
        self.url, self.size = url, size
        self.at_close: list[Callable[[], None]] = []
        """What ends before the connections do: it may write its last rows."""
        # A store that takes another's place goes on with its ids, so that no epoch is used up.
        self._writing = _Pool(lambda old: open_store(url, ids=old.ids if old else None), size)
        self._looking = _Pool(lambda _old: open_to_look(url), size)
        self._rehearsing = _Pool(lambda _old: open_to_look(url, rehearses=True), max(size // 2, 1))

    @contextmanager
    def write(self, actor: str, request_id: str | None = None) -> Iterator[Store]:
        """A store that acts as somebody, for a request. Raises Busy."""
        with self._writing.lend() as store, store.acting_as(actor, request_id):
            yield store

    @contextmanager
    def look(self) -> Iterator[Store]:
        """A store whose connection refuses to write. Raises Busy."""
        with self._looking.lend() as store:
            yield store

    @contextmanager
    def rehearse(self, actor: str) -> Iterator[Store]:
        """A store inside a rehearsal: what is written is taken back when the block ends. Raises Busy."""
        with self._rehearsing.lend() as store, store.acting_as(actor), store.rehearsal({}):
            yield store

    async def limit_threads(self) -> None:
        """Let this process answer in as many threads as it has connections: more would only wait for one, and
        hinder each other."""
        to_thread.current_default_thread_limiter().total_tokens = self.size

    def close(self) -> None:
        """End what writes by itself, then give all connections back; no other loan may be open."""
        for end in self.at_close:
            end()
        for pool in (self._writing, self._looking, self._rehearsing):
            pool.close()
