"""A small company behind its API, for tests of what is sold: its clock can be set, and each has a key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

from callers import served_with
from fastapi import FastAPI
from fastapi.testclient import TestClient
from small_offer import FIRST, open_offer

from billing.api.app import application
from billing.gateways.simulated import SimulatedGateway
from billing.service.catalog import NewComponent, NewPrice, add_prices, add_tax_rate
from billing.service.customers import create_customer
from billing.store.store import Store, open_store
from billing.web.context import Caller, Services
from billing.web.problems import Problem
from billing.web.seal import Vault
from billing.web.stores import Stores

ALL = frozenset(("*:admin",))


def open_company(store: Store) -> None:
    """Untaxed plans of small_offer (basic: 10.00 + 5.00 a seat to 10, then 4.00; pro: 25.00 + 5.00 a seat,
    calls at 0.01), add-on support (30.00), and customers in EUR: anna, her site (she pays), and boris."""
    open_offer(store, NewComponent("calls", "usage", "calls"))
    add_tax_rate(store, FIRST, country="DE", tax_rate_ppm=0, valid_from=date(2020, 1, 1))
    prices = [
        NewPrice("pro.1.seats", "per_unit", "5"),
        NewPrice("pro.1.calls", "per_unit", "0.01"),
        NewPrice("support.1.fee", "flat", "30"),
    ]
    add_prices(store, FIRST, list_id="standard", prices=prices)
    for customer_id, parent in (("anna", None), ("anna-site", "anna"), ("boris", None)):
        create_customer(
            store,
            FIRST,
            customer_id=customer_id,
            name=customer_id.title(),
            entity_id="seller",
            currency="EUR",
            country="DE",
            parent_id=parent,
            bill_to_id=parent,
        )


class Api:
    """Asks the API at the instant `at`, with the key of the merchant or of a customer."""

    def __init__(self, url: str, stores: Stores) -> None:
        self.at = FIRST
        self.app = api_of_nothing()
        self.services = Services(stores, SimulatedGateway(), Vault(bytes(32)), lambda: self.at)
        self._client = TestClient(self.app)
        self.store = open_store(url)
        self._keys = 0

    def ask(self, method: str, path: str, body: Any = None, *, key: str = "merchant", **more: Any) -> Any:
        """The answer; `status` and `headers` beside its members are asked of `answer`."""
        return self.answer(method, path, body, key=key, **more).json()

    def answer(self, method: str, path: str, body: Any = None, *, key: str = "merchant", **more: Any) -> Any:
        self._keys += 1
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": f"key-{self._keys}"}
        headers |= more.pop("headers", {})
        if body is not None:
            more["json"] = body
        return self._client.request(method, f"/v1{path}", headers=headers, **more)

    def refused(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, str, str | None]:
        """Status, code and field of a refusal."""
        answer = self.answer(method, path, body, **more)
        said = answer.json()
        assert answer.headers["content-type"] == "application/problem+json", said
        return answer.status_code, said["code"], said.get("field")


def _caller(_services: Services, header: str | None) -> Caller:
    """The merchant, or the customer that the key names."""
    name = (header or "").removeprefix("Bearer ")
    if not name:
        raise Problem("unauthenticated")
    return Caller("key", name, name, ALL, None if name == "merchant" else name)


@cache
def api_of_nothing() -> FastAPI:
    """Made once: to make all its routes takes longer than most tests."""
    services = Services(Stores("sqlite://"), SimulatedGateway(), Vault(bytes(32)))
    return application(services, _caller)


@contextmanager
def serving(url: str) -> Iterator[Api]:
    with open_store(url) as store:
        open_company(store)
    api = Api(url, Stores(url, size=4))
    with served_with(api.app, api.services):
        yield api
    api.store.close()


def at(month: int, day: int, year: int = 2025, hour: int = 9) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)
