"""The list of calls: one row for each request, whoever sent it and whatever became of it.

A change that was made leaves its row in its own transaction. The rows of all else (reads, refusals, failures)
are written by a thread a moment later; while the database is away they wait, up to a bound, and what comes
later is counted and not kept. A row says what was asked for by the route's template and the ids in
its path: no body, no parameters, no names, no keys.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections import deque
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from billing.store.store import Row, Store
from billing.store.tables import api_calls
from billing.web.context import Caller, now
from billing.web.logs import QUIET, Answered, log_event, log_failure
from billing.web.metrics import Figure
from billing.web.stores import Stores

_EVERY = 0.5
"""Seconds between two writes of the thread."""
_AGAIN = 5.0
"""Seconds until the next try where a write broke off: the database may be away for a time."""
_BATCH = 2_000
MOST_WAITING = 50_000
"""Rows that are held at once, of about a kilobyte each."""
_SECRETS = ("tj_live_", "tj_test_", "whsec_")
_ID = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(eq=False)
class Call:
    """A request at work, once it is known who sent it."""

    scope: MutableMapping[str, Any]
    caller: Caller
    began: float = field(default_factory=time.perf_counter)
    is_kept: bool = False

    def keep(self, store: Store, status: int, bytes_out: int) -> None:
        """Write the row in a transaction of the store: it stands if what was done stands."""
        length = dict(self.scope["headers"]).get(b"content-length", b"0")
        answered = Answered(self.scope)
        answered.status, answered.bytes_out = status, bytes_out
        answered.bytes_in = int(length) if length.isdigit() and len(length) < 12 else 0
        answered.seconds = time.perf_counter() - self.began
        store.insert(api_calls, [_row(answered, self)])
        self.is_kept = True


def call_of(scope: MutableMapping[str, Any]) -> Call | None:
    """The call of a request; None where nobody was let in."""
    found = scope.get("call")
    return found if isinstance(found, Call) else None


def _is_id(given: str) -> bool:
    """Whether what a path names may be an id, and is no secret that somebody put there."""
    return _ID.fullmatch(given) is not None and not given.startswith(_SECRETS)


def _row(answered: Answered, call: Call | None) -> Row:
    """How a request ended."""
    at = now()
    given = answered.scope.get("path_params", {})
    ids = {name: one for name, one in given.items() if isinstance(one, str) and _is_id(one)}
    caller = call.caller if call else None
    status = answered.status or 500
    own_id = caller.customer_id if caller else None
    # What somebody was refused is nobody else's to see, whomever the path names.
    is_own = own_id is not None and status >= 400
    return {
        "call_id": f"call_{secrets.token_hex(12)}",
        "request_id": answered.scope.get("request_id", ""),
        "happened_at": at - timedelta(seconds=answered.seconds),
        "caller_kind": caller.kind if caller else "nobody",
        "caller_id": caller.id if caller else None,
        "method": answered.method,
        "route": answered.route,
        "status": status,
        "code": answered.code,
        "subject_id": next(reversed(ids.values()), None),
        "customer_id": own_id if is_own else ids.get("customer_id") or own_id,
        "bytes_in": answered.bytes_in,
        "bytes_out": answered.bytes_out,
        "ms": round(1000 * answered.seconds),
        "recorded_at": at,
    }


class CallLog:
    """Writes rows a moment later, in the order in which the calls ended."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self._rows: deque[Row] = deque()
        self._lost = self._lost_and_told = 0
        self._wake, self._ends, self._writing = threading.Event(), threading.Event(), threading.Lock()
        self._thread: threading.Thread | None = None
        stores.at_close.append(self.close)

    def watch(self, answered: Answered) -> None:
        """Take a request that was answered; whoever sent it does not wait for it."""
        call = call_of(answered.scope)
        if answered.scope["path"] in QUIET or (call is not None and call.is_kept):
            return
        if len(self._rows) >= MOST_WAITING:
            self._lost += 1
            return
        self._rows.append(_row(answered, call))
        if self._thread is None:
            with self._writing:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="calls", daemon=True)
                    self._thread.start()
        if len(self._rows) >= _BATCH:
            self._wake.set()

    def flush(self) -> None:
        """Write what was taken until now. Raises what the database says; the rows wait then."""
        with self._writing:
            while self._rows:
                batch = [self._rows.popleft() for _ in range(min(len(self._rows), _BATCH))]
                try:
                    with self.stores.write("system") as store:
                        store.insert(api_calls, batch)
                except BaseException:
                    self._rows.extendleft(reversed(batch))
                    raise
            lost = self._lost - self._lost_and_told
            if lost:
                log_event("calls lost", calls_lost=lost)
                self._lost_and_told += lost

    def figures(self) -> list[Figure]:
        """How many rows wait, and how many were not kept."""
        return [
            ("tajdid_calls_waiting", "gauge", "Rows of the list of calls to be written.", len(self._rows)),
            ("tajdid_calls_lost_total", "counter", "Calls that left no row: too many waited.", self._lost),
        ]

    def close(self) -> None:
        """Write the rest, and end."""
        if self._ends.is_set():
            return
        self._ends.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
        self._is_written()

    def _run(self) -> None:
        while not self._ends.is_set():
            self._wake.wait(_EVERY)
            self._wake.clear()
            if not self._is_written():
                self._ends.wait(_AGAIN)

    def _is_written(self) -> bool:
        try:
            self.flush()
        except Exception as failure:
            log_failure(failure, calls_that_wait=len(self._rows))
            return False
        return True
