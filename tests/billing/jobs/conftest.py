"""A small company for tests of jobs: one seller, one plan, and invoices written as a bill run writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import select

from billing.service.catalog import (
    NewComponent,
    NewPrice,
    create_legal_entity,
    create_meter,
    create_plan,
    create_price_list,
    create_product,
    publish_plan_version,
)
from billing.service.customers import add_payment_method, create_customer
from billing.service.subscriptions import NewContract, subscribe
from billing.store.store import Store, open_store
from billing.store.tables import invoices, items, line_items

START = datetime(2024, 12, 1, 8, tzinfo=UTC)
Subscribe = Callable[..., str]
Invoice = Callable[..., str]


def set_up(store: Store) -> None:
    """A seller, a metered plan and its price."""
    create_legal_entity(store, START, entity_id="seller", name="Seller GmbH", country="DE")
    create_product(store, START, product_id="goods", name="Goods")
    create_meter(store, START, meter_id="calls", name="Calls", scale=3)
    create_plan(store, START, plan_id="basic", name="Basic", product_id="goods")
    parts = [NewComponent("fee", "fee"), NewComponent("calls", "usage", "calls")]
    publish_plan_version(store, START, plan_id="basic", interval="P1M", components=parts)
    create_price_list(
        store,
        START,
        list_id="standard",
        name="Standard",
        currency="EUR",
        valid_start=date(2020, 1, 1),
        prices=[
            NewPrice("basic.1.fee", "flat", "120"),
            NewPrice("basic.1.calls", "per_unit", "0.01"),
        ],
    )


def customers_of(company: Store) -> Subscribe:
    """Makes a customer with a card (unless `card` is None) and a subscription of the same name."""

    def make(
        customer_id: str,
        *,
        card: str | None = "card-1",
        time_zone: str = "UTC",
        contract: NewContract | None = None,
    ) -> str:
        create_customer(
            company,
            START,
            customer_id=customer_id,
            name=customer_id,
            entity_id="seller",
            currency="EUR",
            country="DE",
            time_zone=time_zone,
        )
        if card:
            add_payment_method(company, START, customer_id=customer_id, gateway_ref=card)
        subscribe(
            company,
            START,
            subscription_id=f"sub-{customer_id}",
            customer_id=customer_id,
            plan_id="basic",
            starts_on=date(2024, 12, 1),
            contract=contract,
        )
        return customer_id

    return make


def invoices_of(company: Store) -> Invoice:
    """Writes an open invoice of a customer with one line of its subscription's item."""
    count = 0

    def make(
        customer_id: str, due_on: date, *, amount_minor: int = 12000, collection: str = "automatic"
    ) -> str:
        nonlocal count
        count += 1
        at = datetime(due_on.year, due_on.month, due_on.day, tzinfo=UTC)
        invoice_id = f"invoice-{count:03}"
        row = {
            "invoice_id": invoice_id,
            "number": f"2025-{count:05}",
            "entity_id": "seller",
            "customer_id": customer_id,
            "currency": "EUR",
            "collection": collection,
            "state": "open",
            "issued_on": due_on,
            "due_on": due_on,
            "net_minor": amount_minor,
            "tax_minor": 0,
            "total_minor": amount_minor,
        }
        company.insert(invoices, [row], at)
        item = company.row(
            select(items.c.item_id).where(items.c.customer_id == customer_id).order_by(items.c.item_id)
        )
        assert item is not None
        line = {
            "line_id": f"line-{count:03}",
            "invoice_id": invoice_id,
            "customer_id": customer_id,
            "item_id": item["item_id"],
            "component_id": "basic.1.fee",
            "kind": "recurring",
            "entry": "charge",
            "service_start": due_on,
            "service_end": date(2030, 1, count),
            "reference_start": due_on,
            "reference_end": date(2030, 1, count),
            "terms_id": "t",
            "quantity_mantissa": 1,
            "currency": "EUR",
            "gross_minor": amount_minor,
            "net_minor": amount_minor,
            "tax_minor": 0,
            "policy_name": "default",
            "policy_version": 1,
        }
        company.insert(line_items, [line], at)
        return invoice_id

    return make


@pytest.fixture
def company(store: Store) -> Store:
    """The store with a seller, a metered plan and its price."""
    set_up(store)
    return store


@pytest.fixture
def customer(company: Store) -> Subscribe:
    return customers_of(company)


@pytest.fixture
def invoice(company: Store) -> Invoice:
    return invoices_of(company)


@pytest.fixture
def worlds(both_stores: tuple[Store, Store]) -> list[tuple[Store, Subscribe, Invoice]]:
    """The same company on SQLite and on PostgreSQL, each with what makes its customers and invoices."""
    for store in both_stores:
        set_up(store)
    return [(store, customers_of(store), invoices_of(store)) for store in both_stores]


@pytest.fixture
def two(_postgres_databases: Callable[[], str]) -> Iterator[tuple[Store, Store, Invoice]]:
    """Two connections to one company on PostgreSQL with a customer, anna, and what makes invoices."""
    url = _postgres_databases()
    with open_store(url) as one, open_store(url) as other:
        set_up(one)
        customers_of(one)("anna")
        yield one, other, invoices_of(one)


@pytest.fixture(params=["sqlite", "postgresql"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, Store, Subscribe, Invoice]]:
    """Two connections to one company on either database, and what makes its customers and invoices."""
    if request.param == "postgresql":
        fresh: Callable[[], str] = request.getfixturevalue("_postgres_databases")
        url = fresh()
    else:
        url = f"sqlite:///{tmp_path_factory.mktemp('pair')}/billing.db"
    with open_store(url) as one, open_store(url) as other:
        one.migrate()
        set_up(one)
        yield one, other, customers_of(one), invoices_of(one)
