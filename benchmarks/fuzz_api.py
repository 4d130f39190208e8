"""Random requests to the whole API, by its own description: `make fuzz-api`.

Claim: no request is answered by a failure of ours (5xx), and none of schemathesis' checks finds an answer
that the description does not allow. The API runs in this process, on a database of two companies that have
something of every kind, with a key that may do everything.

FUZZ: how many requests are made at least, 50,000 by default; the next seed goes on where one has had its say.
DATABASE: its address, a SQLite file of its own by default; the database must be empty. ONLY: a text that the
paths asked for hold. SEED: of the random requests.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "billing" / "api"))

import schemathesis
from fastapi import FastAPI
from schemathesis.engine import Status, events, from_schema
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from world import NOW, build

from billing.api.app import application
from billing.gateways.simulated import SimulatedGateway
from billing.store.store import open_store
from billing.web.context import Caller, Services
from billing.web.problems import Problem
from billing.web.seal import Vault
from billing.web.stores import Stores

KEY, LINES = "tj_test_fuzz", "application/x-ndjson"
FIXED, PER_EXAMPLE = 80, 2.6
"""Requests to an operation that come of its schema alone, and that come of one example of it."""
REFUSED = ["2xx", "3xx", "400", "401", "403", "404", "409", "412", "414", "422", "428", "429", "503"]
"""Well-formed requests may be refused for what they are about: an id that is not there, a place in a list
that nobody was given."""

NOT_TAKEN = ["400", "401", "403", "404", "405", "409", "412", "413", "414", "415", "422", "428", "429"]


def main() -> None:
    wanted = int(os.environ.get("FUZZ", "50000"))
    with served(os.environ.get("DATABASE")) as app:
        asked = Asked(app)
        began = time.perf_counter()
        seed, found = int(os.environ.get("SEED", "1")), dict[tuple[str, str], list[str]]()
        while (left := wanted - sum(asked.statuses.values())) > 0:
            for kind, said in fuzzed(asked, left, seed, os.environ.get("ONLY", "")).items():
                found.setdefault(kind, []).extend(said)
            seed += 1
    spent = time.perf_counter() - began
    failures = sum(count for status, count in asked.statuses.items() if status >= 500)
    print(
        f"{sum(asked.statuses.values()):,} requests in {spent:,.0f} s: {dict(sorted(asked.statuses.items()))}"
    )
    print(f"answered by a failure of ours   {failures:>6}   limit 0   {'ok' if not failures else 'short'}")
    print(f"kinds of failed checks          {len(found):>6}   limit 0   {'ok' if not found else 'short'}")
    for (check, operation), said in sorted(found.items()):
        print(f"\n{check} at {operation}, {len(said)} times:\n{said[0]}")
    sys.exit(1 if failures or found else 0)


@schemathesis.serializer(LINES)
def lines(_context: object, value: object) -> bytes:
    """A list as JSON, an element a line."""
    rows = value if isinstance(value, list) else [value]
    return "\n".join(json.dumps(row) for row in rows).encode()


class Asked:
    """An application whose answers are counted by status."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.statuses = app, Counter[int]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.statuses[message["status"]] += 1
            await send(message)

        await self.app(scope, receive, sent)


def fuzzed(
    app: Asked, wanted: int, seed: int, only: str = "", key: str = KEY
) -> dict[tuple[str, str], list[str]]:
    """What the checks found: by check and operation, what to send to see it again."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    schema = loaded(app, seed, 1, key)
    count = len([one for one in schema.get_all_operations() if only in one.ok().path])
    schema = loaded(app, seed, max(round((wanted / count - FIXED) / PER_EXAMPLE), 1), key)
    if only:
        schema = schema.include(path_regex=only)
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            label = getattr(event, "label", "")
            found["error", str(label)].append(str(getattr(event, "info", event)) or repr(event))
        if isinstance(event, events.ScenarioFinished | events.FuzzScenarioFinished):
            for checks in event.recorder.checks.values():
                for check in checks:
                    if check.status == Status.FAILURE and check.failure_info is not None:
                        info = check.failure_info
                        # Lines are text, which another type of value is too once it is written.
                        is_of_type = "violates `type`" in info.failure.message
                        if is_of_type and LINES in info.code_sample:
                            continue
                        shown = f"{info.failure.title}: {info.failure.message}\n{info.code_sample}"
                        found[check.name, event.recorder.label].append(shown)
    return found


def loaded(app: Asked, seed: int, examples: int, key: str) -> Any:
    """The description, and how it is to be tried."""
    config = {
        "seed": seed,
        "headers": {"Authorization": f"Bearer {key}"},
        "continue-on-failure": True,
        "suppress-health-check": ["all"],
        "generation": {"max-examples": examples, "database": "none", "no-shrink": True},
        "checks": {
            "positive_data_acceptance": {"expected-statuses": REFUSED},
            "negative_data_rejection": {"expected-statuses": [*NOT_TAKEN, "5xx"]},
        },
    }
    return schemathesis.openapi.from_asgi("/openapi.json", app, config=schemathesis.Config.from_dict(config))


@contextmanager
def served(url: str | None = None) -> Iterator[FastAPI]:
    """The API of a database that holds a world."""
    with tempfile.TemporaryDirectory(prefix="tajdid-fuzz-") as folder:
        url = url or f"sqlite:///{folder}/billing.db"
        with open_store(url) as store:
            store.migrate()
            build(store)
        stores = Stores(url)
        services = Services(
            stores,
            SimulatedGateway(books=Path(folder) / "gateway.db"),
            Vault(bytes(32)),
            lambda: NOW,
            mode="test",
        )
        app = application(services, authenticate)
        try:
            yield app
        finally:
            app.state.calls.close()
            stores.close()


def authenticate(_services: Services, header: str | None) -> Caller:
    """Takes one key, which may do everything."""
    if header != f"Bearer {KEY}":
        raise Problem("unauthenticated", headers={"WWW-Authenticate": "Bearer"})
    return Caller("key", "fuzz", "fuzz", frozenset(("*:admin",)))


if __name__ == "__main__":
    main()
