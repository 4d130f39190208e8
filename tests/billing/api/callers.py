"""The API over a database, and clients that call it: the merchant's, or of who is bound to customers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.testclient import TestClient

from billing.api import app as apps
from billing.gateways.simulated import SimulatedGateway
from billing.web.context import Caller, Services
from billing.web.problems import Problem
from billing.web.seal import Vault
from billing.web.stores import Stores

ALL = frozenset(("*:admin",))


def callers(*more: Caller) -> dict[str, Caller]:
    """The merchant, who may do everything, and some more, by their id."""
    return {one.id: one for one in (Caller("key", "merchant", "merchant", ALL), *more)}


@contextmanager
def opened(url: str, known: Mapping[str, Caller], now: datetime, **services: Any) -> Iterator[FastAPI]:
    """The API, at an instant that stands still, to callers who name themselves."""

    def authenticate(_services: Services, header: str | None) -> Caller:
        name = (header or "").removeprefix("Bearer ")
        if name not in known:
            raise Problem("unauthenticated")
        return known[name]

    app = _app(services.get("mode", "live"))
    stores = Stores(url, size=2)
    before = app.state.authenticate
    app.state.authenticate = authenticate
    try:
        own = Services(stores, SimulatedGateway(), Vault(bytes(32)), lambda: now, **services)
        with served_with(app, own):
            yield app
    finally:
        app.state.authenticate = before


@contextmanager
def served_with(app: FastAPI, services: Services) -> Iterator[None]:
    """Let an application that was made once serve with these, to the end: its list of calls is written, and
    the stores are closed."""
    state, calls = app.state, app.state.calls
    before = state.services, calls.stores
    state.services, calls.stores = services, services.stores
    try:
        yield
    finally:
        calls.flush()
        state.services, calls.stores = before
        services.stores.close()


@cache
def _app(mode: Literal["live", "test"]) -> FastAPI:
    """Made once: to make all its routes and describe them takes longer than most tests."""
    services = Services(Stores("sqlite://"), SimulatedGateway(), Vault(bytes(32)), mode=mode)
    return apps.application(services, lambda _services, _header: _nobody())


def _nobody() -> Caller:
    raise Problem("unauthenticated")


def client(app: FastAPI, name: str) -> TestClient:
    """Somebody's client."""
    return TestClient(app, headers={"Authorization": f"Bearer {name}"})
