"""What a collection leaves when it is killed: nobody is charged twice, and no money is lost.

The gateway keeps its books in a file of its own, so it remembers what it took when the process is gone.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
from faults import KILLS, kill_until_done
from shop import at
from sqlalchemy import select

from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.service import catalog, customers
from billing.store import tables
from billing.store.store import Store

DUE = date(2025, 3, 1)
PAYERS = max(30, KILLS * 6)
COLLECT = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.store.store import open_store
store = open_store(sys.argv[1])
gateway = SimulatedGateway(7, decline_ppm=300_000, books=Path(sys.argv[2]))
print("ready", flush=True)
collect(store, gateway, datetime(2025, 3, 1, 12, tzinfo=UTC), chunk_size=2)
"""


def owe(store: Store) -> None:
    """Each payer has a card and owes one invoice of 1.00 and its number in cents."""
    catalog.create_legal_entity(store, at(DUE, 1), entity_id="seller", name="Seller", country="DE")
    for number in range(PAYERS):
        name = f"c{number}"
        named = {"name": name, "entity_id": "seller", "currency": "EUR", "country": "DE"}
        customers.create_customer(store, at(DUE, 1), customer_id=name, **named)
        customers.add_payment_method(store, at(DUE, 1), customer_id=name, gateway_ref=f"card-{name}")
        paper = {"invoice_id": f"i{number}", "customer_id": name, "entity_id": "seller", "currency": "EUR"}
        amounts = {"net_minor": 100 + number, "tax_minor": 0, "total_minor": 100 + number}
        store.insert(tables.invoices, [paper | amounts | {"state": "open", "due_on": DUE}], at(DUE, 1))


def check(store: Store, books: Path) -> None:
    """What the gateway took is what will be or is booked: one key an invoice, each with its amount."""
    payments = store.frame(select(tables.payments))
    assert payments["invoice_id"].is_unique().all()
    keys = payments.select(pl.format("{}/{}", "payment_id", "attempt"), "amount_minor", "state")
    amounts = {key: (amount, state) for key, amount, state in keys.iter_rows()}
    taken = SimulatedGateway(books=books)
    taken.notices(DUE, DUE)
    for key, amount in taken.captured_minor.items():
        assert amounts[key][0] == amount
        assert amounts[key][1] in ("captured", "pending")
    assert {key for key, (_, state) in amounts.items() if state == "captured"} <= set(taken.captured_minor)


def test_a_collection_killed_at_any_moment_charges_nobody_twice(
    store: Store, database_url: str, tmp_path: Path
) -> None:
    owe(store)
    books = tmp_path / "gateway.db"
    if kill_until_done(COLLECT, database_url, books, check=lambda: check(store, books)):
        assert store.frame(select(tables.payments)).height == PAYERS
    gateway = SimulatedGateway(7, decline_ppm=300_000, books=books)
    collect(store, gateway, at(DUE, 12), chunk_size=7)
    gateway.notices(DUE, DUE)
    check(store, books)
    found = store.frame(select(tables.payments))
    assert found.height == PAYERS
    assert set(found["state"]) == {"captured", "failed"}
    captured = found.filter(state="captured")["amount_minor"].sum()
    assert captured == sum(gateway.captured_minor.values())
    assert captured == store.frame(select(tables.applications))["amount_minor"].sum()
    assert set(found["attempt"]) == {1}
