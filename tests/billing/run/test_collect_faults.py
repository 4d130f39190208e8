"""What a collection leaves when it is killed: nobody is charged twice, and no money is lost.

The gateway keeps its books in a file of its own, so it remembers what it took when the process is gone.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from faults import KILLS, full_disk, kill_until_done, start
from shop import at, new_store
from sqlalchemy import select

from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.service import catalog, customers
from billing.store import tables
from billing.store.errors import is_of_the_system
from billing.store.store import Store

DUE = date(2025, 3, 1)
PAYERS = max(30, KILLS * 6)
COLLECT = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from test_collect_faults import gateway_of
from billing.jobs.collect import collect
from billing.store.store import open_store
store = open_store(sys.argv[1])
gateway = gateway_of(Path(sys.argv[2]))
print("ready", flush=True)
collect(store, gateway, datetime(2025, 3, 1, 12, tzinfo=UTC), chunk_size=2)
"""


def gateway_of(books: Path | None) -> SimulatedGateway:
    """Every third payer's card has no money on it."""
    gateway = SimulatedGateway(books=books)
    for number in range(0, PAYERS, 3):
        gateway.plan(f"c{number}", "insufficient_funds")
    return gateway


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


def collect_the_rest(store: Store, books: Path) -> None:
    """Another collection does what one that broke off had left, and all tables tell of one that did not."""
    gateway = gateway_of(books)
    collect(store, gateway, at(DUE, 12), chunk_size=7)
    gateway.notices(DUE, DUE)
    check(store, books)
    undisturbed, its_gateway = new_store(), gateway_of(None)
    owe(undisturbed)
    collect(undisturbed, its_gateway, at(DUE, 12))
    assert sum(gateway.captured_minor.values()) == sum(its_gateway.captured_minor.values())
    found, wanted = contents(store), contents(undisturbed)
    assert [name for name in wanted if found[name] != wanted[name]] == []
    assert len(wanted["payments"]) == len(wanted["payment_attempts"]) == PAYERS
    assert len(wanted["dunning_cases"]) == PAYERS // 3


def contents(store: Store) -> dict[str, list[str]]:
    """The rows of every table without the ids that were drawn for them, or what to draw them from."""
    found = {}
    for name, table in tables.metadata.tables.items():
        rows = []
        for row in store.rows(select(table)):
            told = json.loads(row["payload"]) if name == "outbox" else {}
            rows.append(str({key: one for key, one in (row | told).items() if not _is_drawn(key)}))
        found[name] = sorted(rows)
    del found["number_sequences"]
    return found


def _is_drawn(column: str) -> bool:
    return column in ("payload", "gateway_ref") or (
        column.endswith("_id") and column not in ("customer_id", "invoice_id", "entity_id")
    )


def test_a_collection_killed_at_any_moment_charges_nobody_twice_and_leaves_no_trace(
    store: Store, database_url: str, tmp_path: Path
) -> None:
    owe(store)
    books = tmp_path / "gateway.db"
    if kill_until_done(COLLECT, database_url, books, check=lambda: check(store, books)):
        assert store.frame(select(tables.payments)).height == PAYERS
    collect_the_rest(store, books)


def test_of_two_collections_at_once_one_leaves_the_work_to_the_other(
    store: Store, database_url: str, tmp_path: Path
) -> None:
    owe(store)
    books = tmp_path / "gateway.db"
    children = [start(COLLECT, database_url, books) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    check(store, books)
    assert store.frame(select(tables.payments)).height == PAYERS
    collect_the_rest(store, books)


@pytest.mark.parametrize("room", [0, 3, 8])
def test_money_taken_while_the_disk_filled_up_is_found_once_there_is_room(
    store: Store, tmp_path: Path, room: int
) -> None:
    owe(store)
    books = tmp_path / "gateway.db"
    with full_disk(store, "applications", room), pytest.raises(Exception, match="disk") as stopped:
        collect(store, gateway_of(books), at(DUE, 12), chunk_size=4)
    assert is_of_the_system(stopped.value)
    check(store, books)
    collect_the_rest(store, books)
