"""The process that puts events in order and takes them to webhook endpoints: `python -m tajdid.worker`.

What it works with comes as one line of JSON on standard input, as a key belongs neither on a command line nor
into the environment of a process. It says `ready` and works until it is asked to stop (SIGTERM, SIGINT) or
standard input ends, as it does when whoever started it is gone. It may be killed at any moment: the next one
goes on, and sends again what was under way. A second one beside it waits for its turn.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from ipaddress import ip_network

from billing.api.versions import event_in
from billing.gateways.http_receiver import HttpReceiver
from billing.gateways.receiver import Receiver
from billing.jobs.deliver_webhooks import deliver
from billing.store.store import Store, open_store
from billing.web.context import now
from billing.web.logs import write_logs
from billing.web.seal import Vault
from billing.web.webhook_secrets import revealing

WAITS_FOR_TURN = 5.0
"""Seconds until a worker asks again whether it is its turn."""
LONGEST_PAUSE = 30.0
"""Seconds between two attempts to reach the database, at most."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """key: of the vault, 32 bytes as hex. networks: private ones that webhooks may go to nevertheless."""

    database_url: str
    key: str = field(repr=False)
    networks: tuple[str, ...] = ()


def start(settings: Settings) -> subprocess.Popen[bytes]:
    """A worker in a process of its own. Ask it to stop with `terminate`; keep its standard input open."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tajdid.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    child.stdin.write(json.dumps(asdict(settings)).encode() + b"\n")
    child.stdin.flush()
    return child


def work(
    settings: Settings,
    stops: threading.Event,
    *,
    clock: Callable[[], datetime] = now,
    receiver: Receiver | None = None,
) -> None:
    """Deliver until `stops` is set. Where the database is away, or anything else fails, it is tried again
    after a pause."""
    networks = tuple(ip_network(one) for one in settings.networks)
    receiver = receiver or HttpReceiver(networks)
    reveal = revealing(Vault(bytes.fromhex(settings.key)))
    store: Store | None = None
    failures = 0
    while not stops.is_set():
        try:
            if store is None or not store.is_connected:
                store = open_store(settings.database_url, ids=store.ids if store else None)
            with store.acting_as("worker"):
                if not deliver(store, clock, receiver, reveal, shown=event_in, stops=stops.is_set):
                    stops.wait(WAITS_FOR_TURN)
            failures = 0
        except Exception as error:
            failures += 1
            logger.error("webhooks pause: %s", type(error).__name__, exc_info=failures == 1)
            stops.wait(min(2.0 ** min(failures, 6) / 4, LONGEST_PAUSE))
    if store is not None:
        store.close()


def main() -> None:
    """Work as standard input says."""
    given = json.loads(sys.stdin.readline())
    settings = Settings(given["database_url"], given["key"], tuple(given["networks"]))
    stops = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stops.set())
    threading.Thread(target=_until_alone, args=(stops,), daemon=True).start()
    print("ready", flush=True)
    work(settings, stops)


def _until_alone(stops: threading.Event) -> None:
    sys.stdin.read()
    stops.set()


if __name__ == "__main__":
    write_logs()
    main()
