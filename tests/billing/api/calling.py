"""An API over a small company, and keys to call it with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from billing.api import app as apps
from billing.api.keys import Door
from billing.gateways.simulated import SimulatedGateway
from billing.service import api_keys
from billing.service.catalog import create_legal_entity, create_product
from billing.service.customers import create_customer
from billing.store.store import Row, Store, open_store
from billing.store.tables import api_calls
from billing.web.context import Services, now
from billing.web.seal import Vault
from billing.web.stores import Stores

AT = datetime(2026, 12, 1, 8, tzinfo=UTC)


def open_company(store: Store) -> None:
    """A seller, a product, and customers anna (with berta below her) and carl."""
    create_legal_entity(store, AT, entity_id="seller", name="Seller GmbH", country="DE")
    create_product(store, AT, product_id="goods", name="Goods")
    for customer_id, parent_id in (("anna", None), ("berta", "anna"), ("carl", None)):
        create_customer(
            store,
            AT,
            customer_id=customer_id,
            name=customer_id.title(),
            entity_id="seller",
            currency="EUR",
            country="DE",
            parent_id=parent_id,
        )


def new_key(store: Store, *scopes: str, owner: str = "shop", mode: Any = "live", **named: Any) -> str:
    """The token of a new key."""
    minted = api_keys.mint(mode)
    about: dict[str, Any] = {"version": date(2026, 12, 1), "name": owner} | named
    api_keys.create_key(
        store,
        now(),
        owner=owner,
        prefix=minted.prefix,
        key_hash=minted.key_hash,
        scopes=scopes or ("*:admin",),
        **about,
    )
    return minted.token


@contextmanager
def api_of(
    url: str, routers: Iterable[Any] = (), clock: Callable[[], datetime] = lambda: AT, **settings: Any
) -> Iterator[FastAPI]:
    """The API over a database, with some more routes."""
    stores = Stores(url, size=8)
    services = replace(Services(stores, SimulatedGateway(), Vault(bytes(32)), clock), **settings)
    app = apps.application(services, Door())
    for router in routers:
        app.include_router(router)
    try:
        yield app
    finally:
        app.state.calls.close()
        stores.close()


def caller(app: FastAPI, token: str | None, **headers: str) -> TestClient:
    """Somebody who calls with a key."""
    given = {"Authorization": f"Bearer {token}"} if token else {}
    return TestClient(app, headers=given | headers, raise_server_exceptions=False)


def calls(app: FastAPI, url: str) -> list[Row]:
    """The list of calls, from the first."""
    app.state.calls.flush()
    with open_store(url) as store:
        return store.rows(select(api_calls).order_by(api_calls.c.happened_at))
