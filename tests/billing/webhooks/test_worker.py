"""The worker as a process: killed at any moment, asked to stop, and one at a time.

TAJDID_FAULT_KILLS says how often it is killed before it may end.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

import pytest
from hooks import VAULT, endpoint, happens
from local_receiver import listening
from sqlalchemy import select

from billing.jobs.deliver_webhooks import CLAIM
from billing.service.webhook_endpoints import create_endpoint
from billing.store import claims, tables
from billing.store.store import Store, open_store
from billing.web.context import now
from billing.web.webhook_secrets import new_secret
from tajdid.worker import Settings, start

KEY = bytes(range(32)).hex()
LOOPBACK = ("127.0.0.0/8",)
KILLS = int(os.environ.get("TAJDID_FAULT_KILLS", "1"))
COUNT = 400 * (1 + KILLS)


def ready(url: str) -> subprocess.Popen[bytes]:
    child = start(Settings(url, KEY, LOOPBACK))
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def hook(store: Store, url: str) -> str:
    _secret, sealed = new_secret(VAULT)
    given = {"owner": "shop", "url": url, "topics": ["payment.*"]}
    return create_endpoint(store, now(), sealed=sealed, version=now().date(), **given)  # type: ignore[arg-type]


def left(store: Store) -> int:
    waiting = select(tables.webhook_deliveries).where(tables.webhook_deliveries.c.state == "waiting")
    unseen = select(tables.outbox.c.message_id).where(tables.outbox.c.sequenced_at.is_(None))
    return len(store.rows(waiting)) + len(store.rows(unseen))


def test_killed_at_any_moment_no_event_is_lost_and_each_lane_keeps_its_order(database_url: str) -> None:
    draw = random.Random(3)
    with (
        open_store(database_url) as store,
        listening(lambda _said: 503 if draw.random() < 0.01 else 204) as listener,
    ):
        hook(store, listener.url)
        happens(store, COUNT, lanes=12, at=now())
        for _ in range(KILLS):
            child, before = ready(database_url), listener.answered
            until(lambda before=before: listener.answered > before + draw.randrange(60))  # type: ignore[misc]
            child.send_signal(signal.SIGKILL)
            child.wait()
        assert left(store) > 0, "it was over before it could be killed"
        child = ready(database_url)
        until(lambda: left(store) == 0)
        assert not _is_free(store)
        _end(child, by_signal=not store.is_sqlite)
        assert _is_free(store)
        told: dict[str, list[int]] = {}
        for row in store.rows(select(tables.events).order_by(tables.events.c.sequence)):
            if row["topic"] == "payment.captured":
                told.setdefault(row["lane"], []).append(row["sequence"])
    assert {lane: list(dict.fromkeys(taken)) for lane, taken in listener.taken.items()} == told
    assert sum(map(len, told.values())) == COUNT


def _end(child: subprocess.Popen[bytes], *, by_signal: bool) -> None:
    """Ask a worker to stop, or let it find that whoever started it is gone."""
    if by_signal:
        child.terminate()
    else:
        assert child.stdin is not None
        child.stdin.close()
    assert child.wait(20) == 0


def _is_free(store: Store) -> bool:
    is_free = claims.claim(store, CLAIM)
    if is_free:
        claims.release(store, CLAIM)
    return is_free


def test_a_key_does_not_show_where_settings_are_written_down() -> None:
    assert KEY not in repr(Settings("sqlite://", KEY))


def test_what_fails_is_logged_by_its_kind_and_place_and_not_in_its_words() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tajdid.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stderr is not None
    url = "postgresql+psycopg://anna@127.0.0.1:1/anna"
    child.stdin.write(json.dumps(asdict(Settings(url, KEY))) + "\n")
    child.stdin.flush()
    line = json.loads(child.stderr.readline())
    child.stdin.close()
    rest = child.stderr.read()
    assert child.wait(20) == 0
    assert line["event"] == "webhooks pause: OperationalError"
    assert line["raised"][0]["places"]
    assert "127.0.0.1" not in json.dumps(line) + rest


@pytest.mark.parametrize("key", ["00", ""])
def test_a_key_that_is_none_is_refused(sqlite_store: Store, key: str) -> None:
    import threading

    from tajdid.worker import work

    endpoint(sqlite_store)
    with pytest.raises(ValueError, match="32 bytes"):
        work(Settings("sqlite://", key), threading.Event())
