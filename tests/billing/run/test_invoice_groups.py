"""What differs in terms, way to pay, purchase order or group stands on invoices of its own."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from shop import OPENED, at, fee, join, open_shop, parked, run, sell, take
from sqlalchemy import select

from billing.core.money import BillingError
from billing.service import customers, subscriptions
from billing.service.catalog import create_payment_terms
from billing.service.invoicing import set_invoicing
from billing.service.purchase_orders import create_purchase_order
from billing.store import tables
from billing.store.store import Store

JUNE, MIDDLE, JULY = date(2025, 6, 2), date(2025, 6, 17), date(2025, 7, 2)


def shop(store: Store) -> Store:
    open_shop(store, tax_rate_ppm=0)
    sell(store, "plan", fee("10.00"))
    sell(store, "large", fee("40.00"))
    create_payment_terms(store, OPENED, terms_id="net14", net_days=14)
    create_payment_terms(store, OPENED, terms_id="early", net_days=30, discount_ppm=20_000, discount_days=10)
    join(store, "anna", terms_id="net14")
    return store


def invoices(store: Store, *columns: str) -> list[tuple[Any, ...]]:
    frame = store.frame(select(tables.invoices).order_by(tables.invoices.c.number))
    return frame.select(columns).rows()


def test_like_subscriptions_share_an_invoice_and_each_difference_makes_one_of_its_own(store: Store) -> None:
    shop(store)
    order = create_purchase_order(store, OPENED, customer_id="anna", number="4711")
    card = customers.add_payment_method(
        store, OPENED, customer_id="anna", gateway_ref="card", is_default=False
    )
    own = [
        {},
        {},
        {"terms_id": "net14"},
        {"terms_id": "early"},
        {"method_id": card},
        {"po_id": order},
        {"consolidation_group": "works | Kassel"},
    ]
    for apart in own:
        take(store, JUNE, "plan", **apart)
    run(store, JUNE)
    assert parked(store) == {}
    found = invoices(store, "terms_id", "method_id", "po_id", "consolidation_group", "total_minor")
    # The payer's own terms, named or not, are one group.
    expected = [
        ("net14", None, None, None, 3000),
        ("early", None, None, None, 1000),
        ("net14", card, None, None, 1000),
        ("net14", None, order, None, 1000),
        ("net14", None, None, "works | Kassel", 1000),
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert {kind for (kind,) in invoices(store, "kind")} == {"regular"}
    assert run(store, JUNE, 22).lines == 0


def test_an_invoice_is_due_and_cheaper_for_a_while_by_the_terms_of_its_group(store: Store) -> None:
    shop(store)
    take(store, JUNE, "plan")
    take(store, JUNE, "plan", terms_id="early")
    run(store, JUNE)
    columns = ("terms_id", "due_on", "early_discount_ppm", "early_discount_until")
    assert sorted(invoices(store, *columns)) == [
        ("early", date(2025, 7, 2), 20_000, date(2025, 6, 12)),
        ("net14", date(2025, 6, 16), 0, None),
    ]


def test_what_is_set_on_a_running_subscription_holds_for_what_is_invoiced_from_then_on(store: Store) -> None:
    shop(store)
    sub = take(store, JUNE, "plan")
    run(store, JUNE)
    set_invoicing(store, at(MIDDLE), subscription_id=sub, terms_id="early", consolidation_group="b")
    assert run(store, MIDDLE).lines == 0
    run(store, JULY)
    set_invoicing(store, at(JULY, 22), subscription_id=sub, terms_id=None)
    run(store, date(2025, 8, 2))
    found = invoices(store, "terms_id", "consolidation_group")
    assert found == [("net14", None), ("early", "b"), ("net14", "b")]
    messages = store.frame(select(tables.outbox)).filter(topic="subscription.invoicing_changed")
    assert messages.height == 2


def test_a_credit_note_of_one_group_pays_an_invoice_of_another(store: Store) -> None:
    shop(store)
    sub = take(store, JUNE, "plan", consolidation_group="a")
    run(store, JUNE)
    subscriptions.cancel(store, at(date(2025, 6, 2), 21), subscription_id=sub, when="now")
    take(store, JUNE, "large", consolidation_group="b")
    run(store, JUNE, 22)
    notes = store.frame(select(tables.credit_notes))
    assert notes["total_minor"].to_list() == [1000]
    paid = store.frame(select(tables.applications)).join(
        store.frame(select(tables.invoices)), on="invoice_id"
    )
    assert paid.select("consolidation_group", "amount_minor").rows() == [("b", 1000)]


def test_a_credit_stays_with_the_purchase_order_of_the_line_it_takes_back(store: Store) -> None:
    shop(store)
    first = create_purchase_order(store, OPENED, customer_id="anna", number="1", budget="10.00")
    second = create_purchase_order(store, OPENED, customer_id="anna", number="2", budget="40.00")
    sub = take(store, JUNE, "plan", po_id=first)
    run(store, JUNE)
    set_invoicing(store, at(JUNE, 21), subscription_id=sub, po_id=second)
    subscriptions.change_plan(store, at(JUNE, 21), subscription_id=sub, plan_id="large", when="now")
    run(store, JUNE, 22)
    # The 40.00 are billed on the second alone: the 10.00 given back belong to the first.
    assert invoices(store, "po_id", "net_minor") == [(first, 1000), (second, 4000)]
    assert store.frame(select(tables.credit_notes))["net_minor"].to_list() == [1000]


@pytest.mark.parametrize(
    ("apart", "code"),
    [
        ({"po_id": "none"}, "unknown_purchase_order"),
        ({"po_id": "of-bert"}, "unknown_purchase_order"),
        ({"po_id": "in-dollars"}, "currency_mismatch"),
        ({"terms_id": "none"}, "unknown_reference"),
        ({"method_id": "of-bert"}, "no_payment_method"),
        ({"consolidation_group": " "}, "missing_value"),
        ({"price": "1"}, "unknown_setting"),
    ],
)
def test_invoices_are_split_only_by_what_is_there_and_the_payers(
    store: Store, apart: dict[str, Any], code: str
) -> None:
    shop(store)
    join(store, "bert")
    create_purchase_order(store, OPENED, customer_id="bert", number="1", po_id="of-bert")
    dollars = {"customer_id": "anna", "number": "2", "po_id": "in-dollars", "currency": "USD"}
    create_purchase_order(store, OPENED, **dollars)
    customers.add_payment_method(store, OPENED, customer_id="bert", gateway_ref="x", method_id="of-bert")
    sub = take(store, JUNE, "plan")
    with pytest.raises(BillingError) as refused:
        set_invoicing(store, at(JUNE), subscription_id=sub, **apart)
    assert refused.value.code == code
    if code != "unknown_setting":
        with pytest.raises(BillingError) as refused:
            take(store, JUNE, "plan", **apart)
        assert refused.value.code == code
    assert store.frame(select(tables.subscriptions)).height == 1
