"""An API that is open to a test: its routes, and a few of things that exist for tests alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

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
    url: str | None = None, door: Door | None = None, address: str = "203.0.113.9", **settings: object
) -> Iterator[TestClient]:
    """A client of the API over a database, by default one of its own. address: where the client seems to ask
    from."""
    folder = TemporaryDirectory()
    if url is None:
        path = Path(folder.name) / "billing.db"
        path.write_bytes(_empty_database())
        url = f"sqlite:///{path}"
    stores = Stores(url, size=2)
    services = Services(
        stores, SimulatedGateway(), Vault(bytes(32)), lambda: AT, base_url="https://api.example.com"
    )
    app = application(services, authenticate, door=door)
    app.include_router(routes.router)
    with TestClient(app, raise_server_exceptions=False, client=(address, 5000), **settings) as client:  # type: ignore[arg-type]
        yield client
    stores.close()
    folder.cleanup()


@cache
def _empty_database() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "billing.db"
        with open_store(f"sqlite:///{path}", is_disposable=True) as store:
            store.migrate()
        return path.read_bytes()
