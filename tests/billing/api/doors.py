"""An API that is open to a test: its routes, and a few of things that exist for tests alone."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache

from fastapi import FastAPI
from starlette.testclient import TestClient

from billing.api.app import application
from billing.api.performing import Act
from billing.api.route import Routes
from billing.api.shapes.base import Answer, Body, Id, Long
from billing.gateways.simulated import SimulatedGateway
from billing.store.store import open_store
from billing.web.context import Caller, Context, Services
from billing.web.layers import Door
from billing.web.problems import Problem
from billing.web.seal import Vault
from billing.web.stores import Stores

AT = datetime(2026, 1, 31, 8, tzinfo=UTC)
METRICS_TOKEN = "m" * 32
routes = Routes("Tests", "tests")


class Note(Body):
    text: Long
    number: int | None = None
    more: dict[str, object] | None = None


class Shown(Answer):
    text: str


@routes.post("/notes", answer=Shown)
def note(context: Context, body: Note) -> Act:
    return Act(lambda _store, _at: {"text": body.text, "number": body.number})


@routes.get("/notes/{note_id}", answer=Shown, subject="unknown_item")
def one(context: Context, note_id: Id, name: str | None = None) -> Mapping[str, object]:
    return {"text": note_id, "name": name}


@routes.get("/failing", answer=Shown)
def failing(context: Context) -> None:
    raise RuntimeError("a secret of the database")


def authenticate(_services: Services, header: str | None) -> Caller:
    """Takes any key that begins with `good`."""
    if header is not None and not header.startswith("Bearer good"):
        raise Problem("unauthenticated", headers={"WWW-Authenticate": "Bearer"})
    name = hashlib.sha256((header or "").encode()).hexdigest()[:8]
    return Caller("key", name, name, frozenset(("*:admin",)))


@contextmanager
def open_app(
    url: str | None = None,
    door: Door | None = None,
    address: str = "203.0.113.9",
    metrics_token: str | None = None,
) -> Iterator[TestClient]:
    """A client of the API, over an empty database by default. address: where it seems to ask from."""
    # To make an application takes longer than most tests; one that counts requests is made anew.
    made = _kept if door is None or door.rates is None else _made
    yield TestClient(
        made(url or _empty(), door, metrics_token), raise_server_exceptions=False, client=(address, 5000)
    )


def _made(url: str, door: Door | None, metrics_token: str | None) -> FastAPI:
    services = Services(
        Stores(url, size=2),
        SimulatedGateway(),
        Vault(bytes(32)),
        lambda: AT,
        base_url="https://api.example.com",
        metrics_token=metrics_token,
    )
    app = application(services, authenticate, door=door)
    app.include_router(routes.router)
    return app


_kept = lru_cache(_made)


@lru_cache
def _empty() -> str:
    """A database of this process without customers."""
    folder = tempfile.mkdtemp(prefix="tajdid-api-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with open_store(f"sqlite:///{folder}/billing.db", is_disposable=True) as store:
        store.migrate()
    return f"sqlite:///{folder}/billing.db"
