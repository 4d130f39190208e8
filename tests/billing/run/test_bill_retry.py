"""Customers set aside: listed with their reason, billed when it is mended, set aside again when it is not."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest
from shop import at, fee, join, lines, open_shop, parked, run, sell, take
from sqlalchemy import select

from billing.core.money import BillingError
from billing.jobs.bill_run import RunSummary, bill
from billing.jobs.retry import parked_customers, retry
from billing.service import catalog
from billing.store import tables
from billing.store.store import Store

ON = date(2025, 1, 1)


@pytest.fixture
def shop(store: Store) -> Store:
    """Customers anna, bert and cleo pay 10.00 a month; the seller is in FR, whose tax rate is not known."""
    open_shop(store)
    sell(store, "plan", fee("10.00"))
    for customer_id, country in (("anna", "DE"), ("bert", "FR"), ("cleo", "FR")):
        join(store, customer_id, country=country)
        take(store, ON, "plan", customer_id)
    store.update(tables.legal_entities, [{"entity_id": "seller", "country": "FR"}], key=["entity_id"])
    return store


def payers(store: Store) -> Counter[str]:
    return Counter(store.frame(select(tables.invoices.c.customer_id))["customer_id"])


def mend(store: Store) -> None:
    catalog.add_tax_rate(store, at(ON), country="FR", tax_rate_ppm=200_000, valid_from=date(2000, 1, 1))


def test_who_is_set_aside_is_listed_and_billed_once_it_is_mended(shop: Store) -> None:
    run(shop, ON)
    found = parked_customers(shop)
    assert found.height == len(parked(shop)) > 0
    assert found["code"].to_list() == list(parked(shop).values())
    ids = found["customer_id"].to_list()
    again = retry(shop, at(ON, 21), up_to=ON)
    assert (again.parked, again.lines) == (len(ids), 0)
    mend(shop)
    one = retry(shop, at(ON, 22), up_to=ON, customer_ids=ids[:1])
    assert (one.parked, one.lines) == (0, 1)
    assert parked_customers(shop)["customer_id"].to_list() == ids[1:]
    retry(shop, at(ON, 23), up_to=ON)
    assert parked_customers(shop).is_empty()
    assert payers(shop) == Counter({"anna": 1, "bert": 1, "cleo": 1})
    assert [line[-1] for line in lines(shop)] == [1000, 1000, 1000]
    assert retry(shop, at(ON, 23), up_to=ON).lines == 0


def test_nobody_is_billed_beside_who_was_set_aside_and_its_tree(shop: Store) -> None:
    """anna, in another tree, and dora, below bert, paid January and are due in February."""
    join(shop, "dora", parent_id="bert")
    take(shop, ON, "plan", "dora")
    run(shop, ON)
    mend(shop)
    february = date(2025, 2, 1)
    told: list[tuple[int, int]] = []
    done = retry(shop, at(february, 9), up_to=february, customer_ids=["bert"])
    assert (done.customers, done.parked) == (2, 0)
    assert payers(shop) == Counter({"anna": 1, "bert": 1, "dora": 2})
    assert list(parked(shop)) == ["cleo"]
    bill(shop, at(february, 10), up_to=february, progress=lambda *of: told.append(of))
    assert told == [(1, 1)]
    assert payers(shop) == Counter({"anna": 2, "bert": 1, "dora": 2})


def test_a_retry_where_nobody_is_set_aside_bills_nobody(shop: Store) -> None:
    mend(shop)
    assert retry(shop, at(ON), up_to=ON) == RunSummary()
    assert payers(shop) == Counter()
    assert run(shop, ON).customers == 3


def test_who_is_not_set_aside_cannot_be_retried(shop: Store) -> None:
    run(shop, ON)
    before = parked(shop)
    with pytest.raises(BillingError, match="unknown_customer: not set aside: nobody"):
        retry(shop, at(ON, 21), up_to=ON, customer_ids=[*before, "nobody"])
    assert parked(shop) == before
