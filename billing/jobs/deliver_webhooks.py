"""Takes events to the endpoints that asked for them: at least once, in the order of their lanes, none lost.

One process does all of it (claim `webhooks`): it sequences what is new, sends the first that waits in each
lane, and writes down what became of it. Requests are made in threads, which know no database. What was under
way when the process ended is sent again under the same id. What a receiver does not take is tried again with
growing pauses for three days; then it is dead where the receiver took something else meanwhile, and its lane
goes on. A receiver that took nothing at all in three days is disabled, and all that waits for it stays. Days
on which no worker ran are none of the three.
"""

from __future__ import annotations

import queue
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Integer, and_, bindparam, exists, func, or_, select, update

from billing.gateways.receiver import Delivered, Receiver
from billing.jobs.sequence_events import BATCH, WAITING, sequence_events
from billing.jobs.webhook_messages import body_of, event_of, signed
from billing.store import claims
from billing.store.messages import announce
from billing.store.store import Row, Store
from billing.store.tables import (
    events,
    outbox,
    webhook_attempts,
    webhook_deliveries,
    webhook_endpoints,
    webhook_secrets,
)

CLAIM = "webhooks"
PAUSES = (5, 30, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 72_000)
"""Seconds until a delivery is tried again, by how often it failed; each a tenth more or less."""
PATIENCE = timedelta(hours=72)
"""How long a delivery is tried, and an endpoint that takes nothing is kept."""
FAILING_AFTER = timedelta(hours=1)
"""When an endpoint that takes nothing is told of."""
IN_FLIGHT, OF_ENDPOINT = 64, 8
"""Requests under way at a time: in all, and of an endpoint."""
DOWN_AFTER = 8
"""Failures in a row after which an endpoint counts as down: it is asked one at a time, with pauses."""
LONGEST_REST = timedelta(hours=1)
"""How long a receiver may ask to be left alone: an endpoint that was asked nothing for longer, though
something was due, had no worker."""
LONGEST_PROBE = 300
"""Seconds between two requests to an endpoint that is down, at most."""
IDLE_SECONDS = 0.5

Shown = Callable[[date, dict[str, Any]], dict[str, Any]]
"""An event as a version of the API shows it."""

_earlier = webhook_deliveries.alias("earlier")
_IS_FIRST = ~exists().where(
    _earlier.c.endpoint_id == webhook_deliveries.c.endpoint_id,
    _earlier.c.lane == webhook_deliveries.c.lane,
    _earlier.c.state == WAITING,
    _earlier.c.sequence < webhook_deliveries.c.sequence,
)
_DUE = (
    select(
        webhook_deliveries.c.endpoint_id,
        webhook_deliveries.c.sequence,
        webhook_deliveries.c.lane,
        webhook_deliveries.c.attempts,
        webhook_deliveries.c.failures,
        webhook_deliveries.c.first_attempt_at,
        events.c.message_id,
        events.c.topic,
        events.c.subject_id,
        events.c.customer_id,
        events.c.recorded_at,
        outbox.c.payload,
    )
    .join(events, events.c.sequence == webhook_deliveries.c.sequence)
    .join(outbox, outbox.c.message_id == events.c.message_id)
    .where(
        webhook_deliveries.c.endpoint_id == bindparam("endpoint"),
        webhook_deliveries.c.next_attempt_at <= bindparam("now"),
        webhook_deliveries.c.state == WAITING,
        _IS_FIRST,
    )
    .order_by(webhook_deliveries.c.next_attempt_at, webhook_deliveries.c.sequence)
    .limit(bindparam("limit", type_=Integer))
)
_ENDPOINTS = select(webhook_endpoints).where(
    or_(webhook_endpoints.c.state != "removed", webhook_endpoints.c.is_moved.is_(True))
)
_SECRETS = (
    select(webhook_secrets.c.endpoint_id, webhook_secrets.c.secret_id, webhook_secrets.c.sealed)
    .where(
        webhook_secrets.c.endpoint_id.in_(bindparam("ids", expanding=True)),
        or_(webhook_secrets.c.ends_at.is_(None), webhook_secrets.c.ends_at > bindparam("now")),
    )
    .order_by(webhook_secrets.c.recorded_at.desc(), webhook_secrets.c.secret_id.desc())
)

# Which of each lane comes next.
_OF = webhook_deliveries.c.endpoint_id == bindparam("endpoint")
_FIRSTS = select(func.min(_earlier.c.sequence)).where(
    _earlier.c.endpoint_id == bindparam("endpoint"), _earlier.c.state == WAITING
)
_LET_BE_DUE = (
    update(webhook_deliveries)
    .where(_OF, webhook_deliveries.c.next_attempt_at.is_(None))
    .values(next_attempt_at=bindparam("now"))
)
_FIRST_OF_EACH = _LET_BE_DUE.where(
    webhook_deliveries.c.sequence.in_(_FIRSTS.group_by(_earlier.c.lane).scalar_subquery())
)
_FIRST_OF_LANE = _LET_BE_DUE.where(
    webhook_deliveries.c.sequence == _FIRSTS.where(_earlier.c.lane == bindparam("of_lane")).scalar_subquery()
)
_NONE = (
    update(webhook_deliveries)
    .where(_OF, webhook_deliveries.c.next_attempt_at.is_not(None))
    .values(next_attempt_at=None)
)
_ALL_NOW = (
    update(webhook_deliveries)
    .where(_OF, webhook_deliveries.c.next_attempt_at > bindparam("now"))
    .values(next_attempt_at=bindparam("now"))
)
_TRIES = (
    select(
        webhook_attempts.c.endpoint_id,
        webhook_attempts.c.sequence,
        webhook_attempts.c.attempt,
        webhook_attempts.c.attempted_at,
    )
    .where(
        webhook_attempts.c.endpoint_id == bindparam("endpoint"),
        webhook_attempts.c.attempted_at >= bindparam("since"),
    )
    .order_by(webhook_attempts.c.attempted_at, webhook_attempts.c.sequence)
)
_SEEN = (
    update(webhook_endpoints)
    .where(webhook_endpoints.c.endpoint_id == bindparam("endpoint"))
    .values(is_moved=False)
)
_DISABLE = (
    update(webhook_endpoints)
    .where(
        and_(webhook_endpoints.c.endpoint_id == bindparam("endpoint"), webhook_endpoints.c.state == "enabled")
    )
    .values(state="disabled", state_reason=bindparam("reason"), changed_at=bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A delivery under way, or what became of it."""

    row: Row
    begun_at: datetime
    secret_id: str | None
    answer: Delivered


class Deliverer:
    """The one that delivers. `step` does what is to be done now and returns; call it again and again.

    reveal: a sealed secret as `whsec_` and base64. run: does a request in a thread of its own, or at once.
    shown: by the version of the endpoint; without it as this code speaks.
    """

    def __init__(
        self,
        store: Store,
        receiver: Receiver,
        reveal: Callable[[str], str],
        run: Callable[[Callable[[], None]], object],
        shown: Shown = lambda _version, event: event,
    ) -> None:
        self._store, self._receiver, self._reveal, self._run = store, receiver, reveal, run
        self._shown = shown
        self._done: queue.SimpleQueue[_Sent] = queue.SimpleQueue()
        self._under_way: set[tuple[str, str]] = set()
        self._endpoints: dict[str, Row] = {}
        self._turn = 0
        self._is_fresh = True

    @property
    def under_way(self) -> int:
        """Requests that are not answered, or whose answer is not written down."""
        return len(self._under_way)

    def step(self, at: datetime, *, starts: bool = True) -> bool:
        """Write down what was answered, sequence what is new, send what is due (`starts`). Whether there was
        anything to do."""
        self._look_at_endpoints(at)
        recorded = self._record(at)
        sequenced = sequence_events(self._store, at)
        started = self._start(at) if starts else 0
        return bool(recorded or started or sequenced == BATCH)

    def wait(self, seconds: float) -> None:
        """Wait for an answer, so long at most."""
        try:
            self._done.put(self._done.get(timeout=seconds))
        except queue.Empty:
            return

    # --- endpoints ---

    def _look_at_endpoints(self, at: datetime) -> None:
        rows = self._store.rows(_ENDPOINTS)
        for row in rows:
            if row["is_moved"] or self._is_fresh:
                self._store.perform(partial(self._set_firsts, row["endpoint_id"], at))
        self._is_fresh = False
        self._endpoints = {row["endpoint_id"]: row for row in rows if row["state"] != "removed"}

    def _set_firsts(self, endpoint_id: str, at: datetime) -> None:
        """Let the first of each lane be due, or none where the endpoint takes none now."""
        about: dict[str, Any] = {"endpoint": endpoint_id}
        self._store.execute(_SEEN, about)
        of_one = _ENDPOINTS.where(webhook_endpoints.c.endpoint_id == bindparam("endpoint"))
        row = self._store.row(of_one, about)
        if row is not None and row["state"] == "enabled":
            self._store.execute(_FIRST_OF_EACH, about | {"now": at})
        else:
            self._store.execute(_NONE, about)

    # --- sending ---

    def _start(self, at: datetime) -> int:
        """Send what is due; the endpoints take turns at coming first."""
        ids = sorted(one for one, row in self._endpoints.items() if row["state"] == "enabled")
        self._turn += 1
        turn = self._turn % len(ids) if ids else 0
        held = Counter(endpoint_id for endpoint_id, _lane in self._under_way)
        found: list[Row] = []
        for endpoint_id in ids[turn:] + ids[:turn]:
            room = IN_FLIGHT - len(self._under_way) - len(found)
            free = min(room, self._most(self._endpoints[endpoint_id], at) - held[endpoint_id])
            if free > 0:
                found += self._due(endpoint_id, at, free, held[endpoint_id])
        if not found:
            return 0
        secrets = self._secrets({row["endpoint_id"] for row in found}, at)
        for row in found:
            self._send(row, at, secrets.get(row["endpoint_id"], ()))
        return len(found)

    def _most(self, endpoint: Row, at: datetime) -> int:
        """How many requests an endpoint may have under way."""
        beyond = endpoint["consecutive_failures"] - DOWN_AFTER
        if beyond < 0:
            return OF_ENDPOINT
        pause = min(PAUSES[0] * 2 ** min(beyond, 10), LONGEST_PROBE)
        return 1 if at >= endpoint["last_failure_at"] + timedelta(seconds=pause) else 0

    def _due(self, endpoint_id: str, at: datetime, free: int, held: int) -> list[Row]:
        rows = self._store.rows(_DUE, {"endpoint": endpoint_id, "now": at, "limit": free + held})
        return [row for row in rows if (endpoint_id, row["lane"]) not in self._under_way][:free]

    def _secrets(self, ids: set[str], at: datetime) -> Mapping[str, Sequence[Row]]:
        found: dict[str, list[Row]] = {}
        for row in self._store.rows(_SECRETS, {"ids": sorted(ids), "now": at}):
            found.setdefault(row["endpoint_id"], []).append(row)
        return found

    def _send(self, row: Row, at: datetime, secrets: Sequence[Row]) -> None:
        endpoint = self._endpoints[row["endpoint_id"]]
        url = endpoint["url"]
        secret_id = secrets[0]["secret_id"] if secrets else None
        self._under_way.add((row["endpoint_id"], row["lane"]))
        try:
            keys = [self._reveal(one["sealed"]) for one in secrets]
            body = body_of(self._shown(endpoint["version"], event_of(row)))
            headers = signed(row["message_id"], at, body, keys)
        except Exception:  # A secret that does not open, as after the vault's key was lost.
            self._done.put(_Sent(row, at, secret_id, Delivered(error="not_signed")))
            return

        def send() -> None:
            self._done.put(_Sent(row, at, secret_id, self._receiver.send(url, headers, body)))

        self._run(send)

    # --- what became of it ---

    def _record(self, at: datetime) -> int:
        done: list[_Sent] = []
        while not self._done.empty():
            done.append(self._done.get())
        if done:
            self._store.perform(partial(self._write, at, done))
            self._under_way -= {(one.row["endpoint_id"], one.row["lane"]) for one in done}
        return len(done)

    def _write(self, at: datetime, done: Sequence[_Sent]) -> None:
        store = self._store
        states = {one: dict(row) for one, row in self._endpoints.items()}
        ended: dict[str, str | None] = {}
        changes = []
        store.insert(webhook_attempts, [_attempt(one, at) for one in done])
        for one in done:
            endpoint = states.get(one.row["endpoint_id"])
            if endpoint is not None:
                _note(endpoint, at, one.answer)
                reason = self._reason_to_disable(endpoint, at, one.answer)
                if reason or one.answer.is_taken:
                    ended[endpoint["endpoint_id"]] = reason
            changes.append(_change(one, at, endpoint))
        store.update(webhook_deliveries, changes, at)
        ids = sorted({one.row["endpoint_id"] for one in done} & states.keys())
        names = ("endpoint_id", "last_success_at", "last_failure_at", "failing_since", "consecutive_failures")
        store.update(webhook_endpoints, [{name: states[one][name] for name in names} for one in ids])
        for one_id in ids:
            self._tell(at, self._endpoints[one_id], states[one_id], ended.get(one_id))
        of_lanes = [
            {"endpoint": row["endpoint_id"], "of_lane": one.row["lane"], "now": at}
            for one, row in zip(done, changes, strict=True)
            if row["state"] != "waiting" and states.get(row["endpoint_id"], {}).get("state") == "enabled"
        ]
        if of_lanes:
            store.execute(_FIRST_OF_LANE, of_lanes)

    def _reason_to_disable(self, endpoint: Row, at: datetime, answer: Delivered) -> str | None:
        if answer.status == 410:
            return "gone"
        since = endpoint["failing_since"]
        if since is None or at - since < PATIENCE:
            return None
        tries = self._store.rows(_TRIES, {"endpoint": endpoint["endpoint_id"], "since": since})
        return "failing" if at - since - _without_worker(tries, since) >= PATIENCE else None

    def _tell(self, at: datetime, before: Row, after: Row, reason: str | None) -> None:
        """What follows for an endpoint: it is disabled, told of, or all that waits for it is due."""
        about: dict[str, Any] = {"endpoint": after["endpoint_id"], "now": at}
        store, whose = self._store, {"customer_id": after["customer_id"]}
        if reason is not None:
            if store.execute(_DISABLE, about | {"reason": reason}):
                told = ("webhook_endpoint.disabled", after["endpoint_id"], whose | {"reason": reason})
                announce(store, at, [told])
            store.execute(_NONE, {"endpoint": after["endpoint_id"]})
            after["state"] = "disabled"
            return
        since = after["failing_since"]
        is_told = after["state_reason"] == "failing"
        if since is None and (is_told or before["consecutive_failures"] >= DOWN_AFTER):
            store.execute(_ALL_NOW, about)
        is_failing = since is not None and at - since >= FAILING_AFTER
        if is_failing != is_told and after["state"] == "enabled" and (is_failing or since is None):
            change = {"endpoint_id": after["endpoint_id"], "state_reason": "failing" if is_failing else None}
            store.update(webhook_endpoints, [change], at)
            if is_failing:
                told = ("webhook_endpoint.failing", after["endpoint_id"], whose | {"since": since})
                announce(store, at, [told])


def _note(endpoint: Row, at: datetime, answer: Delivered) -> None:
    """What an answer says of its endpoint."""
    if answer.is_taken:
        endpoint |= {"last_success_at": at, "failing_since": None, "consecutive_failures": 0}
        return
    endpoint |= {
        "last_failure_at": at,
        "failing_since": endpoint["failing_since"] or at,
        "consecutive_failures": endpoint["consecutive_failures"] + 1,
    }


def _without_worker(tries: Sequence[Row], since: datetime) -> timedelta:
    """How long in all an endpoint that failed was asked nothing though something was due."""
    due: dict[int, datetime] = {}
    idle, before = timedelta(), since
    for one in tries:
        at, planned = one["attempted_at"], min(due.values(), default=since)
        idle += max(at - max(before + LONGEST_REST, planned), timedelta())
        due[one["sequence"]] = at + _pause(one, one["attempt"], None)
        before = at
    return idle


def _change(one: _Sent, at: datetime, endpoint: Row | None) -> Row:
    """The columns of a delivery after an attempt."""
    row, answer = one.row, one.answer
    first = row["first_attempt_at"] or one.begun_at
    failures = row["failures"] + (0 if answer.is_taken else 1)
    ends, is_tried = first + PATIENCE, failures > len(PAUSES)
    # Of an endpoint that took nothing at all meanwhile nothing is given up: it is disabled, and all waits.
    is_down = endpoint is None or (
        endpoint["failing_since"] is not None and at - endpoint["failing_since"] >= PATIENCE
    )
    is_dead = not answer.is_taken and at >= ends and is_tried and not is_down and answer.status != 410
    state = "delivered" if answer.is_taken else "dead" if is_dead else "waiting"
    again = at + _pause(row, failures, answer.retry_after)
    return {
        "endpoint_id": row["endpoint_id"],
        "sequence": row["sequence"],
        "state": state,
        "attempts": row["attempts"] + 1,
        "failures": failures,
        "next_attempt_at": (min(again, ends) if at < ends else again) if state == "waiting" else None,
        "first_attempt_at": first,
        "done_at": None if state == "waiting" else at,
    }


def _pause(row: Row, failures: int, asked: int | None) -> timedelta:
    """The time until the next attempt, the same for the same failure of the same delivery."""
    if failures == 0:
        return timedelta()
    seconds = PAUSES[min(failures, len(PAUSES)) - 1]
    drawn = zlib.crc32(f"{row['endpoint_id']} {row['sequence']} {failures}".encode()) % 2001 - 1000
    return timedelta(seconds=max(seconds + seconds * drawn / 10_000, asked or 0))


def _attempt(one: _Sent, at: datetime) -> Row:
    return {
        "endpoint_id": one.row["endpoint_id"],
        "sequence": one.row["sequence"],
        "attempt": one.row["attempts"] + 1,
        "attempted_at": one.begun_at,
        "status": one.answer.status,
        "error": one.answer.error,
        "ms": one.answer.ms,
        "answer_head": one.answer.head,
        "secret_id": one.secret_id,
        "recorded_at": at,
    }


def deliver(
    store: Store,
    clock: Callable[[], datetime],
    receiver: Receiver,
    reveal: Callable[[str], str],
    *,
    shown: Shown,
    stops: Callable[[], bool],
) -> bool:
    """Deliver until `stops` says so, then wait for what is under way; whether it was this process's to do:
    another may hold the claim.

    clock: of the real world, as receivers compare what a request says with their own. reveal, shown: see
    Deliverer.
    """
    if not claims.claim(store, CLAIM):
        return False
    try:
        with ThreadPoolExecutor(IN_FLIGHT, "webhook") as threads:
            deliverer = Deliverer(store, receiver, reveal, threads.submit, shown)
            while not stops():
                if not deliverer.step(clock()):
                    _rest(deliverer)
            while deliverer.under_way:
                deliverer.wait(1.0)
                deliverer.step(clock(), starts=False)
        return True
    finally:
        if store.is_connected:
            claims.release(store, CLAIM)


def _rest(deliverer: Deliverer) -> None:
    if deliverer.under_way:
        deliverer.wait(IDLE_SECONDS)
    else:
        time.sleep(IDLE_SECONDS)
