"""Credit of a customer: of notes, and of payments that brought too much. It pays what is billed next, or is
given back."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest
from shop import at, fee, join, open_shop, run, sell, take
from sqlalchemy import select, update

from billing.core.money import BillingError
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.jobs.credit import open_credit
from billing.jobs.give_back import give_back
from billing.jobs.journal import post_events
from billing.service import customers, refunds, subscriptions
from billing.store import tables
from billing.store.store import Store

JANUARY, FEBRUARY, MARCH = date(2025, 1, 1), date(2025, 2, 1), date(2025, 3, 1)


def shop(store: Store, price: str = "31") -> str:
    open_shop(store, tax_rate_ppm=0)
    sell(store, "basic", fee(price))
    join(store, "anna")
    return take(store, JANUARY, "basic")


def receive(store: Store, on: date, amount_minor: int, **more: Any) -> str:
    """Money that names no invoice came in at the bank."""
    payment_id = store.new_id("pay")
    payment = {
        "payment_id": payment_id,
        "customer_id": "anna",
        "currency": "EUR",
        "amount_minor": amount_minor,
        "state": "captured",
        "kind": "transfer",
        "created_on": on,
        "received_on": on,
    }
    store.insert(tables.payments, [payment | more], at(on))
    event = {
        "event": "bank_transfer_received",
        "source_kind": "payment",
        "source_id": payment_id,
        "entity_id": "seller",
        "customer_id": "anna",
        "invoice_id": None,
        "currency": "EUR",
        "posted_on": on,
        "net_minor": amount_minor,
    }
    post_events(store, at(on), pl.DataFrame([event], schema_overrides={"invoice_id": pl.String}))
    return payment_id


def invoices(store: Store) -> list[tuple[int, str]]:
    frame = store.frame(select(tables.invoices)).sort("invoice_id")
    return frame.select("total_minor", "state").rows()


def applied(store: Store) -> list[tuple[str, str, int]]:
    frame = store.frame(select(tables.applications)).sort("application_id")
    return frame.select("source_kind", "source_id", "amount_minor").rows()


def credit_in_books(store: Store) -> int:
    books = store.frame(select(tables.journal_lines)).filter(account="customer_credit")
    return int(books["credit_minor"].sum() - books["debit_minor"].sum())


def test_money_that_came_without_an_invoice_pays_the_next_ones(store: Store) -> None:
    shop(store)
    payment = receive(store, JANUARY, 5000)
    run(store, JANUARY)
    assert invoices(store) == [(3100, "paid")]
    assert credit_in_books(store) == 1900
    run(store, FEBRUARY)
    assert invoices(store) == [(3100, "paid"), (3100, "open")]
    assert applied(store) == [("payment", payment, 3100), ("payment", payment, 1900)]
    assert credit_in_books(store) == 0
    row = store.rows(select(tables.payments))[0]
    assert row["is_spent"]


@pytest.mark.parametrize("late", [False, True])
def test_the_older_credit_is_spent_first(store: Store, late: bool) -> None:
    """A note of 10 January over 2,200 and a payment of 2,000, on the 9th or on the 11th."""
    sub, noted_on = shop(store), date(2025, 1, 10)
    run(store, JANUARY)
    customers.add_payment_method(store, at(JANUARY, 1), customer_id="anna", gateway_ref="card")
    collect(store, SimulatedGateway(), at(JANUARY, 22))
    subscriptions.cancel(store, at(noted_on), subscription_id=sub, when="now", money="credit")
    run(store, noted_on)
    payment = receive(store, date(2025, 1, 11 if late else 9), 2000)
    take(store, FEBRUARY, "basic")
    run(store, FEBRUARY)
    amounts = [2200, 900] if late else [2000, 1100]
    kinds = ["credit_note", "payment"] if late else ["payment", "credit_note"]
    assert [(kind, amount) for kind, _, amount in applied(store)[1:]] == list(
        zip(kinds, amounts, strict=True)
    )
    assert payment in {source for _, source, _ in applied(store)}
    assert credit_in_books(store) == 2200 + 2000 - 3100


@pytest.mark.parametrize(
    "more", [{"kind": "recovery"}, {"state": "pending", "received_on": None}, {"reversed_minor": 5000}]
)
def test_money_that_is_not_the_customers_pays_nothing(store: Store, more: dict[str, Any]) -> None:
    shop(store)
    receive(store, JANUARY, 5000, **more)
    run(store, JANUARY)
    assert invoices(store) == [(3100, "open")]
    assert applied(store) == []


def test_what_a_payment_brought_too_much_goes_back_through_it(store: Store) -> None:
    shop(store)
    payment = receive(store, JANUARY, 5000)
    other = receive(store, JANUARY, 700)
    run(store, JANUARY)
    with pytest.raises(BillingError, match="1901 of 1900 kept") as refused:
        refunds.refund(store, at(JANUARY, 21), payment_id=payment, amount_minor=1901)
    assert refused.value.code == "over_refund"
    refunds.refund(store, at(JANUARY, 21), payment_id=payment, amount_minor=1900)
    row = store.rows(select(tables.refunds))[0]
    assert (row["payment_id"], row["note_id"], row["amount_minor"]) == (payment, None, 1900)
    with pytest.raises(BillingError, match="over_refund"):
        refunds.refund(store, at(JANUARY, 21), payment_id=payment, amount_minor=1)
    refunds.refund_paid(store, at(JANUARY, 22), refund_id=row["refund_id"])
    assert credit_in_books(store) == 700
    run(store, FEBRUARY)
    assert applied(store)[1:] == [("payment", other, 700)]


def test_money_given_back_of_a_payment_comes_before_that_of_notes(store: Store) -> None:
    """22.00 of a note of January, and 5.00 that came later: 6.00 are asked back through the later payment."""
    sub = shop(store)
    run(store, JANUARY)
    customers.add_payment_method(store, at(JANUARY, 1), customer_id="anna", gateway_ref="card")
    collect(store, SimulatedGateway(), at(JANUARY, 22))
    subscriptions.cancel(store, at(date(2025, 1, 10)), subscription_id=sub, when="now", money="credit")
    run(store, date(2025, 1, 10))
    payment = receive(store, FEBRUARY, 500)
    with pytest.raises(BillingError, match="over_refund"):
        refunds.refund(store, at(MARCH), payment_id=payment, amount_minor=600)
    card = next(row for row in store.rows(select(tables.payments)) if row["method_id"])
    refunds.refund(store, at(MARCH), payment_id=card["payment_id"], amount_minor=600)
    refunds.refund(store, at(MARCH), payment_id=payment, amount_minor=500)
    back = store.frame(select(tables.refunds)).sort("refund_id")
    assert back.select("payment_id", "amount_minor", pl.col("note_id").is_null()).rows() == [
        (card["payment_id"], 600, False),
        (payment, 500, True),
    ]


def test_a_refund_of_a_payment_that_is_declined_is_credit_again(store: Store) -> None:
    shop(store)
    customers.add_payment_method(store, at(JANUARY, 1), customer_id="anna", gateway_ref="card")
    run(store, JANUARY)
    gateway = SimulatedGateway()
    collect(store, gateway, at(JANUARY, 22))
    # The card brought 31.00; 20.00 of them turn out to have been paid otherwise.
    row = store.rows(select(tables.applications))[0]
    undone = row | {"application_id": "undo", "amount_minor": -2000, "reverses_id": row["application_id"]}
    store.insert(tables.applications, [undone])
    store.execute(update(tables.payments).values(is_spent=False))
    refunds.refund(store, at(FEBRUARY, 1), payment_id=row["source_id"], amount_minor=2000)
    run(store, FEBRUARY)
    assert [amount for *_, amount in applied(store)] == [3100, -2000]
    gateway.plan_refunds(["account_closed"])
    assert give_back(store, gateway, at(FEBRUARY, 21)).failed == 1
    run(store, MARCH)
    assert sorted(amount for *_, amount in applied(store)) == [-2000, 2000, 3100]


def test_payments_that_are_spent_are_not_read_again(store: Store) -> None:
    shop(store)
    for number in range(5):
        receive(store, JANUARY, 100 + number, is_spent=True)
    payment = receive(store, JANUARY, 40)
    assert open_credit(store, ["anna"])["source_id"].to_list() == [payment]
