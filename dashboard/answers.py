"""Answers of the warehouse, kept in this process: asked once for all who wait, and given up on request.

An answer belongs to a build and a scope, so nothing kept is ever stale; the least used are let go when all
take more than LIMIT bytes. Answers are shared as they are: a data frame is never changed in place.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import duckdb
import polars as pl

LIMIT = 256 * 2**20  # bytes of all answers that are kept
BIGGEST = LIMIT // 32  # a larger one, such as the rows of a file, is given and not kept
PATIENCE = 2.0  # seconds after which the reader is told what takes so long
BEAT = 0.25  # seconds between two looks at whether the reader still waits


class Cursors(Protocol):
    """What is asked: anything that gives cursors, as a snapshot does."""

    def cursor(self) -> duckdb.DuckDBPyConnection: ...


class Waiting(Protocol):
    """Asked before a query runs, and told when it takes long. `before` and `beat` may raise: then it is not
    run, or given up."""

    def before(self, key: Hashable) -> None: ...
    def begin(self, key: Hashable) -> None: ...
    def beat(self, seconds: float) -> None: ...
    def end(self) -> None: ...


@dataclass
class _Running:
    """One query under way, and for how many."""

    cursor: duckdb.DuckDBPyConnection
    done: threading.Event = field(default_factory=threading.Event)
    waiters: int = 0
    frame: pl.DataFrame | None = None
    error: BaseException | None = None


class Answers:
    """The answers kept. May be shared by threads."""

    def __init__(self, limit: int = LIMIT, biggest: int = BIGGEST) -> None:
        self._limit, self._biggest = limit, biggest
        self._kept: OrderedDict[Hashable, tuple[pl.DataFrame, int]] = OrderedDict()
        self._running: dict[Hashable, _Running] = {}
        self._lock = threading.Lock()
        self.size = 0

    def ask(
        self,
        source: Cursors,
        place: Hashable,
        sql: str,
        parameters: Mapping[str, object],
        waiting: Waiting | None = None,
    ) -> pl.DataFrame:
        """What `sql` gives at `place` (a build and a scope).

        With `waiting` the query runs beside this thread, which stays free to tell the reader and to give up.
        Raises duckdb.Error as the query does, and whatever `waiting` raises.
        """
        key = (place, sql, repr(sorted(parameters.items())))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        if waiting is not None:
            waiting.before(key)
        with self._lock:
            running = self._running.get(key)
            is_new = running is None
            if running is None:
                running = self._running[key] = _Running(source.cursor())
            running.waiters += 1
        try:
            if is_new and waiting is None:
                self._run(key, running, sql, parameters)
            elif is_new:
                threading.Thread(target=self._run, args=(key, running, sql, parameters), daemon=True).start()
            _wait(key, running, waiting)
        finally:
            with self._lock:
                running.waiters -= 1
                is_given_up = running.waiters == 0 and not running.done.is_set()
                if is_given_up:
                    self._running.pop(key, None)
            if is_given_up:
                running.cursor.interrupt()
        if running.error is not None:
            raise running.error
        assert running.frame is not None
        return running.frame

    def _run(self, key: Hashable, running: _Running, sql: str, parameters: Mapping[str, object]) -> None:
        try:
            running.frame = running.cursor.sql(sql, params=dict(parameters)).pl()
        except BaseException as error:
            running.error = error
        finally:
            running.cursor.close()
            with self._lock:
                if self._running.get(key) is running:
                    del self._running[key]
                if running.frame is not None:
                    self._keep(key, running.frame)
            running.done.set()

    def _keep(self, key: Hashable, frame: pl.DataFrame) -> None:
        size = int(frame.estimated_size()) + 1_000
        if size > self._biggest or key in self._kept:
            return
        self._kept[key] = (frame, size)
        self.size += size
        while self.size > self._limit:
            _, (_, freed) = self._kept.popitem(last=False)
            self.size -= freed

    def __len__(self) -> int:
        return len(self._kept)


def _wait(key: Hashable, running: _Running, waiting: Waiting | None) -> None:
    if waiting is None:
        running.done.wait()
        return
    if running.done.wait(PATIENCE):
        return
    waiting.begin(key)
    try:
        seconds = PATIENCE
        while not running.done.wait(BEAT):
            seconds += BEAT
            waiting.beat(seconds)
    finally:
        waiting.end()
