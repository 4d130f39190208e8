"""Webhooks through whatever may happen: part of `make bench-api`.

Claims:
- a receiver that is down, slow, or answers wrongly (errors, redirects, nothing, after it took the event or
  before), and kills of the worker and of the receiver at random moments: every event reaches every endpoint
  at least once, each subscription's in the order they happened, and none is lost;
- beside that it prints what a sound receiver takes a second.

Time runs sixty times faster for the worker than on the wall, so that pauses of minutes pass in seconds; what
a receiver takes its time over does not. The receiver is a process of its own, which writes down what it took
before it answers. SIZE=small checks that the benchmark works; SIZE=full is the default.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from servers import create_database, postgres
from sqlalchemy import func, select

from billing.service.webhook_endpoints import create_endpoint
from billing.store import tables
from billing.store.messages import announce
from billing.store.store import Store, open_store
from billing.web.seal import Vault
from billing.web.webhook_secrets import new_secret
from tajdid.worker import Settings, work

SIZES = {"small": (600, 30, 2), "full": (20_000, 500, 12)}
"""Events, subscriptions, and kills of each side."""
KEY = bytes(range(32))
FASTER = 60
MANNERS = ("sound", "slow", "wrong", "down")
"""How an endpoint behaves: down: it takes nothing for the first third of the time."""


# --- the receiver, a process of its own ---


def receive(port: int, folder: Path, secrets: dict[str, str]) -> None:
    """Take what is sent and write it down, a line each, before it is answered."""
    draw, lock = random.Random(), threading.Lock()
    log = (folder / "taken").open("a", buffering=1)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            manner = self.path.strip("/")
            if not _is_signed(secrets[manner], self.headers, body):
                self._note({"forged": manner})
                return self._answer(401)
            said = json.loads(body)
            taken = {"manner": manner, "lane": said["data"]["id"], "sequence": said["sequence"]}
            if manner == "slow":
                time.sleep(draw.uniform(0, 0.05))
            if manner == "down" and (folder / "down").exists():
                return self._answer(503)
            if manner == "wrong" and draw.random() < 0.08:
                return self._misbehave(taken)
            self._note(taken)
            return self._answer(204)

        def _misbehave(self, taken: dict[str, Any]) -> None:
            if draw.random() < 0.5:
                self._note(taken)  # It has it, and says that it has not.
            what = draw.choice(("error", "redirect", "silence", "noise"))
            if what == "error":
                self._answer(500)
            elif what == "redirect":
                self._answer(302)
            elif what == "noise":
                self.wfile.write(b"+OK ready\r\n\r\n")
            self.close_connection = True

        def _note(self, what: dict[str, Any]) -> None:
            with lock:
                log.write(json.dumps(what) + "\n")

        def _answer(self, status: int) -> None:
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_given: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, *_given: Any) -> None:
            """A worker that was killed breaks its connections."""

    Server(("127.0.0.1", port), Handler).serve_forever()


def _is_signed(secret: str, headers: Any, body: bytes) -> bool:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mine = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(mine, one) for one in headers["webhook-signature"].split())


# --- the two sides, started and killed ---


class Side:
    """A process of this file that is started again whenever it was killed."""

    def __init__(self, *arguments: str) -> None:
        self._command = [sys.executable, __file__, *arguments]
        self._child: subprocess.Popen[bytes] | None = None
        self.kills = 0

    def start(self) -> None:
        self._child = subprocess.Popen(self._command)

    def kill(self) -> None:
        assert self._child is not None
        self._child.send_signal(signal.SIGKILL)
        self._child.wait()
        self.kills += 1

    def end(self) -> None:
        assert self._child is not None
        self._child.terminate()
        self._child.wait()


def fast_clock(began: float) -> Callable[[], datetime]:
    """The instant of a world that is sixty times faster since an instant of ours."""
    start = datetime.fromtimestamp(began, UTC)
    return lambda: start + timedelta(seconds=(time.time() - began) * FASTER)


def deliver_until_told(url: str, began: float) -> None:
    stops = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stops.set())
    work(Settings(url, KEY.hex(), ("127.0.0.0/8",)), stops, clock=fast_clock(began))


# --- the story ---


@contextmanager
def databases() -> Iterator[list[tuple[str, str]]]:
    with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as folder, postgres() as server:
        yield [
            ("SQLite", f"sqlite:///{Path(folder) / 'billing.db'}"),
            ("PostgreSQL", create_database(server, "tajdid_webhooks")),
        ]


def happen(store: Store, at: datetime, numbers: range, lanes: int) -> None:
    """Something of each of so many subscriptions in turn."""
    told = [("subscription.turned", f"sub{number % lanes}", {"status": "active"}) for number in numbers]
    with store.transaction():
        announce(store, at, told)


def opened(store: Store, port: int, manners: tuple[str, ...]) -> dict[str, str]:
    """Endpoints, and what they verify with."""
    at, vault, secrets = datetime.now(UTC), Vault(KEY), {}
    for manner in manners:
        secrets[manner], sealed = new_secret(vault)
        create_endpoint(
            store,
            at,
            endpoint_id=manner,
            owner="bench",
            url=f"http://127.0.0.1:{port}/{manner}",
            topics=["subscription.*"],
            sealed=sealed,
            version=at.date(),
        )
    return secrets


def waiting(store: Store) -> int:
    unseen = select(func.count().label("n")).where(tables.outbox.c.sequenced_at.is_(None))
    own = tables.webhook_deliveries
    left = select(func.count().label("n")).where(own.c.state == "waiting")
    return sum(int(row["n"]) for asked in (unseen, left) for row in store.rows(asked))


def story(url: str, name: str, events: int, lanes: int, kills: int) -> bool:
    """Events happen while both sides are killed; whether all came, in order."""
    draw, began = random.Random(7), time.time()
    with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as place, open_store(url) as store:
        folder = Path(place)
        secrets = opened(store, port := free_port(), MANNERS)
        (folder / "down").touch()
        receiver = Side("receive", str(port), place, json.dumps(secrets))
        worker = Side("work", url, str(began))
        receiver.start()
        worker.start()
        clock, part = fast_clock(began), -(-events // (3 * kills))
        for number in range(3 * kills):
            happen(store, clock(), range(number * part, min((number + 1) * part, events)), lanes)
            time.sleep(draw.uniform(0.3, 1.2))
            if number == kills:
                (folder / "down").unlink()
            if number % 3 == 1:
                worker.kill()
                worker.start()
            if number % 3 == 2:
                receiver.kill()
                time.sleep(draw.uniform(0.1, 1.5))
                receiver.start()
        finish = time.monotonic() + 600
        while left := waiting(store):
            if time.monotonic() > finish:
                print(f"{left:,} wait still")
                break
            time.sleep(0.5)
        worker.end()
        receiver.end()
        return told(store, folder / "taken", name, (worker.kills, receiver.kills), time.time() - began)


def told(store: Store, taken: Path, name: str, kills: tuple[int, int], seconds: float) -> bool:
    """Compare what was taken with what happened, and print it."""
    happened: dict[str, list[int]] = {}
    mine = tables.events.c.topic.startswith("subscription.")
    for row in store.rows(select(tables.events).where(mine).order_by(tables.events.c.sequence)):
        happened.setdefault(row["lane"], []).append(row["sequence"])
    came: dict[str, dict[str, list[int]]] = {manner: {} for manner in MANNERS}
    forged = 0
    for line in taken.read_text().splitlines():
        one = _whole(line)
        if one is None:
            continue
        if "forged" in one:
            forged += 1
            continue
        came[one["manner"]].setdefault(one["lane"], []).append(one["sequence"])
    tries = Counter({row["endpoint_id"]: int(row["n"]) for row in store.rows(_TRIES)})
    count, holds = sum(map(len, happened.values())), forged == 0
    print(
        f"{name}: {count:,} events of {len(happened):,} subscriptions, worker killed {kills[0]} times, "
        f"receiver {kills[1]} times, {seconds:,.0f} s, {forged} wrong signatures"
    )
    for manner, lanes in came.items():
        firsts = {lane: list(dict.fromkeys(numbers)) for lane, numbers in lanes.items()}
        every = sum(map(len, lanes.values()))
        once = sum(map(len, firsts.values()))
        unordered = sum(numbers != happened[lane][: len(numbers)] for lane, numbers in firsts.items())
        holds = holds and firsts == happened
        print(
            f"  {manner:6} lost {count - once:,}, out of order in {unordered:,} subscriptions, "
            f"taken {every:,} times ({every - once:,} again), {tries[manner]:,} attempts"
        )
    return holds


_TRIES = select(tables.webhook_attempts.c.endpoint_id, func.count().label("n")).group_by(
    tables.webhook_attempts.c.endpoint_id
)


def _whole(line: str) -> dict[str, Any] | None:
    """What a line says; a line that a kill broke off says nothing, and was answered nothing."""
    try:
        found: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return None
    return found


def speed(url: str, name: str, events: int, lanes: int) -> None:
    """What a sound receiver takes a second, with nothing in the way."""
    with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as place, open_store(url) as store:
        secrets = opened(store, port := free_port(), ("sound",))
        happen(store, datetime.now(UTC), range(events), lanes)
        receiver = Side("receive", str(port), place, json.dumps(secrets))
        receiver.start()
        time.sleep(1.0)
        stops, begun, cpu = threading.Event(), time.perf_counter(), time.process_time()
        thread = threading.Thread(
            target=work, args=(Settings(url, KEY.hex(), ("127.0.0.0/8",)), stops), daemon=True
        )
        thread.start()
        while waiting(store):
            time.sleep(0.1)
        seconds, spent = time.perf_counter() - begun, time.process_time() - cpu
        stops.set()
        thread.join()
        receiver.end()
        print(
            f"{name}: {events / seconds:,.0f} deliveries a second to a sound receiver "
            f"({1000 * spent / events:.2f} ms of CPU each in the worker)"
        )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def main() -> None:
    events, lanes, kills = SIZES[os.environ.get("SIZE", "full")]
    holds = []
    with databases() as found:
        for name, url in found:
            with open_store(url) as store:
                store.migrate()
            holds.append(story(url, name, events, lanes, kills))
    with databases() as found:
        for name, url in found:
            with open_store(url) as store:
                store.migrate()
            speed(url, name, events // 4, lanes)
    print("holds" if all(holds) else "FALLS SHORT")
    raise SystemExit(0 if all(holds) else 1)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["receive", port, folder, secrets]:
            receive(int(port), Path(folder), json.loads(secrets))
        case ["work", url, began]:
            deliver_until_told(url, float(began))
        case _:
            main()
