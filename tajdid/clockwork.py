"""What goes on by itself beside the servers: `python -m tajdid.clockwork HOME COMPANY …`.

It forgets what is kept for a time only, writes to the merchant about webhook endpoints that fail, and in a
sandbox lives through the time that its clock is told to pass. What a company does each day (bill runs,
collection, dunning) is for its scheduler: docs/operations.md.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from functools import partial

from billing.gateways.mail import Mailer, NotSent
from billing.jobs.forget import forget
from billing.service import portal_sessions
from billing.service.test_clock import advance
from billing.store.store import Store, open_store
from billing.web.context import Services, now
from billing.web.endpoint_letters import send_letters
from billing.web.logs import log_failure, write_logs
from tajdid.mailer import mailer_of
from tajdid.server import started_with
from tajdid.services import Addresses, services_of
from tajdid.workspace import Company

AGAIN_SECONDS = 2.0
"""How long a task that broke off is left alone: a database may be away for a time."""
FORGETS_EACH_SECONDS = 3600.0
LOOKS_EACH_SECONDS = 1.0
WRITES_EACH_SECONDS = 60.0

Task = Callable[[Store, Services, threading.Event], None]


def main(arguments: list[str]) -> None:
    """Work until the process is told to end; the hour of a sandbox that is under way is finished."""
    home, company, ports = started_with(arguments)
    write_logs()
    services = services_of(company, Addresses.of(company, ports))
    ends = threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda _number, _frame: ends.set())
    tasks: list[Task] = [_forget, partial(_write, company, mailer_of(home, company))]
    if company.mode == "test":
        tasks.append(_advance)
    threads = [
        threading.Thread(target=_again_and_again, args=(task, company.database_url, services, ends))
        for task in tasks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    services.stores.close()


def _again_and_again(task: Task, url: str, services: Services, ends: threading.Event) -> None:
    store: Store | None = None
    while not ends.is_set():
        try:
            if store is None or not store.is_connected:
                store = open_store(url, ids=store.ids if store else None)
            with store.acting_as("clockwork"):
                task(store, services, ends)
        except Exception as failure:
            log_failure(failure)
            ends.wait(AGAIN_SECONDS)
    if store is not None:
        store.close()


def _forget(store: Store, services: Services, ends: threading.Event) -> None:
    forget(store, now())
    portal_sessions.forget(store, services.clock())
    ends.wait(FORGETS_EACH_SECONDS)


def _write(company: Company, mailer: Mailer, store: Store, services: Services, ends: threading.Event) -> None:
    settings = company.serve
    try:
        send_letters(
            store,
            now(),
            mailer,
            link=f"{services.admin_url}/admin/webhooks/" if services.admin_url else None,
            to=settings.get("notices_to", ()),
            language=settings.get("notices_language", "en"),
        )
    except NotSent as failure:
        log_failure(failure)
    ends.wait(WRITES_EACH_SECONDS)


def _advance(store: Store, services: Services, ends: threading.Event) -> None:
    if not advance(store, services.gateway, until=ends.is_set):
        ends.wait(LOOKS_EACH_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1:])
