"""Retries in a storm: part of `make bench-api`.

Claim, on PostgreSQL: 32 clients send the same 1,000 requests again and again, in any order, each under its
idempotency key, while the server is killed twice (SIGKILL) and started anew. Each effect happens exactly
once: every charge and every customer is there once, announced once and audited once, and whoever asks hears
for one key the same answer, byte by byte, before and after the kills. A client asks again where nobody
answers, or where the answer is that it did not work out this time.

SIZE=small: 60 requests.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from api import headers_of, minted
from base import open_base
from servers import create_database, drop_database, postgres
from sqlalchemy import select

from billing.store.store import open_store
from billing.store.tables import api_replies, audit_log, customers, one_time_charges, outbox

HERE = Path(__file__).parent
CLIENTS = 32
SIZES = {"small": (60, 4), "full": (1_000, 10)}
"""Keys, and how often each is sent."""
_AGAIN = (500, 503)
"""Answers after which a client asks again: what was under way then was taken back."""


class Server:
    """A server that is killed and comes back at the same port."""

    def __init__(self, url: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._url = url
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "uvicorn", "--factory", "api:ours", "--app-dir", str(HERE)]
        command += ["--port", str(self.port), "--no-access-log", "--log-level", "error"]
        own = {"TAJDID_BENCH_URL": self._url, "PYTHONPATH": str(HERE.parent)}
        self._process = subprocess.Popen(command, env=os.environ | own, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    sys.exit("the server did not start")
                time.sleep(0.1)

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does, and start it anew."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._start()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)


def request(number: int) -> tuple[str, dict[str, str]]:
    """Path and body of a request: charges and new customers in turn."""
    if number % 2:
        about = {"entity_id": "seller", "currency": "EUR", "country": "DE"}
        return "/v1/customers", {"name": f"storm {number}", **about}
    subscription_id = f"s{number % 7}"
    return "/v1/charges", {
        "subscription_id": subscription_id,
        "description": f"storm {number}",
        "amount": "12.50",
    }


class Storm:
    """What the clients send, and what they heard."""

    def __init__(self, port: int, token: str, keys: int, times: int) -> None:
        self._port, self._token = port, token
        self._left = [number for number in range(keys) for _ in range(times)]
        random.Random(32).shuffle(self._left)
        self._lock = threading.Lock()
        self.sent, self.total = 0, len(self._left)
        self.heard: dict[int, set[bytes]] = defaultdict(set)
        self.replayed: Counter[int] = Counter()
        self.broken = 0

    def client(self, _number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while True:
            with self._lock:
                if not self._left:
                    return
                number = self._left.pop()
            while not self._asked(connection, number):
                time.sleep(0.05)

    def _asked(self, connection: http.client.HTTPConnection, number: int) -> bool:
        path, body = request(number)
        try:
            connection.request("POST", path, json.dumps(body), headers_of(self._token, f"storm-{number}"))
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            with self._lock:
                self.broken += 1
            return False
        if answer.status in _AGAIN:
            return False
        if answer.status not in (200, 201):
            raise SystemExit(f"{path} {number}: {answer.status} {said.decode()[:500]}")
        with self._lock:
            self.sent += 1
            self.heard[number].add(said)
            self.replayed[number] += answer.headers.get("Idempotent-Replayed") == "true"
        return True


def effects(url: str, keys: int) -> list[str]:
    """What did not happen exactly once."""
    with open_store(url) as store:
        names = Counter(row["name"] for row in store.rows(select(customers.c.name)))
        charges = Counter(row["description"] for row in store.rows(select(one_time_charges.c.description)))
        acts = Counter(
            (row["act"], row["outcome"]) for row in store.rows(select(audit_log.c.act, audit_log.c.outcome))
        )
        topics = Counter(row["topic"] for row in store.rows(select(outbox.c.topic)))
        replies = len(store.rows(select(api_replies.c.key).where(api_replies.c.status.is_not(None))))
        half_done = len(store.rows(select(api_replies.c.key).where(api_replies.c.status.is_(None))))
    wrong = [
        f"request {number} happened {done} times"
        for number in range(keys)
        if (done := (names if number % 2 else charges)[f"storm {number}"]) != 1
    ]
    of_customers, of_charges = keys // 2, keys - keys // 2
    figures = {
        "customers audited": (acts["create_customer", "done"], of_customers + 1),
        "charges audited": (acts["add_charge", "done"], of_charges),
        "charges announced": (topics["charge.added"], of_charges),
        "replies": (replies, keys),
        "half-done replies": (half_done, 0),
    }
    return wrong + [f"{name}: {found}, not {due}" for name, (found, due) in figures.items() if found != due]


def run(url: str, keys: int, times: int) -> bool:
    """Print the claim; whether it holds."""
    address = create_database(url, "storm")
    with open_store(address) as store:
        open_base(store, 8)
    token = minted(address)
    server = Server(address)
    storm = Storm(server.port, token, keys, times)
    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(storm.client, number) for number in range(CLIENTS)]
        for part in (1, 2):
            while storm.sent < storm.total * part // 3 and not all(one.done() for one in clients):
                time.sleep(0.005)
            server.kill()
        for one in clients:
            one.result()
    took = time.perf_counter() - began
    server.stop()
    wrong = effects(address, keys)
    wrong += [
        f"key {number} was answered in {len(said)} ways"
        for number, said in storm.heard.items()
        if len(said) > 1
    ]
    drop_database(url, "storm")
    for one in wrong[:20]:
        print(f"  {one}")
    print(
        f"Retries in a storm: {storm.total:,} requests under {keys:,} keys, {CLIENTS} clients, {took:.0f} s, "
        f"server killed twice, {storm.broken:,} unanswered, {sum(storm.replayed.values()):,} replayed"
        f" | effects that are not there exactly once: {len(wrong)} | limit 0 | {'short' if wrong else 'ok'}",
        flush=True,
    )
    return not wrong


def main() -> None:
    keys, times = SIZES[os.environ.get("SIZE", "full")]
    with postgres() as url:
        holds = run(url, keys, times)
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
