"""Payments that banks take back, beside write-offs, early discounts and transfers: the books agree."""

from __future__ import annotations

from datetime import date
from typing import Any

from shop import at
from soundness import assert_sound
from sqlalchemy import select
from test_bank_transfers import balances, bank, numbers, shop, state, take_in, unmatch, with_discount

from billing.gateways.gateway import Answer
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import CollectSummary, collect
from billing.jobs.reconcile import reconcile
from billing.service import customers, write_offs
from billing.service.chargebacks import close_chargeback, open_chargeback
from billing.service.notices import notice
from billing.store import tables
from billing.store.store import Store

START, LATER = date(2025, 1, 1), date(2025, 1, 20)


def paid_by_card(store: Store, *, outcome: str = "captured", early: bool = False) -> tuple[str, str]:
    """Anna owes 1,200.00 and is charged at once: the ids of the invoice and of its payment."""
    (paper,) = shop(store, "anna")
    if early:
        with_discount(store, paper)
    store.update(tables.invoices, [{"invoice_id": paper, "collection": "automatic"}], at(START))
    customers.add_payment_method(store, at(START), customer_id="anna", gateway_ref="card")
    gateway = SimulatedGateway()
    gateway.plan("anna", outcome)
    collect(store, gateway, at(START, 21))
    return paper, str(rows(store, tables.payments, "payment_id")[0][0])


def dispute(store: Store, payment_id: str, amount_minor: int, on: date) -> str:
    return open_chargeback(store, at(on), payment_id=payment_id, amount_minor=amount_minor)


def assert_agrees(store: Store) -> None:
    assert_sound(store, at(date(2025, 3, 1)))
    assert reconcile(store, START).agrees


def rows(store: Store, table: Any, *names: str) -> list[tuple[Any, ...]]:
    (key,) = table.primary_key
    return [tuple(row[name] for name in names) for row in store.rows(select(table).order_by(key))]


def test_a_dispute_of_an_invoice_that_was_written_off_is_written_off_too(store: Store) -> None:
    """400.00 of 1,200.00 are disputed and given up; then 300.00 more are disputed."""
    paper, payment_id = paid_by_card(store)
    dispute(store, payment_id, 40_000, date(2025, 1, 10))
    write_offs.write_off(store, at(date(2025, 1, 12)), invoice_id=paper, reason="gone")
    dispute(store, payment_id, 30_000, LATER)
    assert rows(store, tables.invoices, "state", "written_off_minor") == [("uncollectible", 70_000)]
    assert rows(store, tables.write_offs, "amount_minor", "reason", "written_off_on") == [
        (40_000, "gone", date(2025, 1, 12)),
        (30_000, "dispute", LATER),
    ]
    assert balances(store)["bad_debt"] == 70_000
    assert "receivable" not in balances(store)
    assert_agrees(store)
    write_offs.reinstate(store, at(date(2025, 1, 21)), invoice_id=paper)
    assert state(store, paper) == ("open", 50_000)
    off = rows(store, tables.write_offs, "write_off_id", "amount_minor", "reverses_id")
    assert [row[1:] for row in off[2:]] == [(-40_000, off[0][0]), (-30_000, off[1][0])]
    assert balances(store)["receivable"] == 70_000
    assert_agrees(store)


def test_a_debt_that_was_taken_back_and_given_up_again_undoes_only_what_stands(store: Store) -> None:
    paper, payment_id = paid_by_card(store)
    dispute(store, payment_id, 40_000, date(2025, 1, 10))
    for day in (12, 13):
        write_offs.write_off(store, at(date(2025, 1, day)), invoice_id=paper)
        write_offs.reinstate(store, at(date(2025, 1, day), 12), invoice_id=paper)
    off = rows(store, tables.write_offs, "write_off_id", "amount_minor", "reverses_id")
    assert [row[1:] for row in off] == [
        (40_000, None),
        (-40_000, off[0][0]),
        (40_000, None),
        (-40_000, off[2][0]),
    ]
    assert_agrees(store)


def test_a_dispute_takes_back_what_was_kept_back_of_an_invoice_that_opens_again(store: Store) -> None:
    """1,200.00 at 2 % in time, by card. 600.00 are disputed and come by transfer less 24.00: paid. Then the
    card's other 600.00 are disputed: 576.00 are paid, 624.00 open. Won, they leave the discount open."""
    paper, payment_id = paid_by_card(store, early=True)
    dispute(store, payment_id, 60_000, date(2025, 1, 3))
    take_in(store, bank("1", "576.00", numbers(store)["anna"], received_on="2025-01-05"))
    assert state(store, paper) == ("paid", 120_000)
    assert rows(store, tables.early_discounts, "net_minor", "tax_minor") == [(2000, 400)]
    of = dispute(store, payment_id, 60_000, LATER)
    assert state(store, paper) == ("open", 57_600)
    assert rows(store, tables.early_discounts, "net_minor", "tax_minor")[1:] == [(-2000, -400)]
    assert (balances(store)["receivable"], "discounts_allowed" in balances(store)) == (62_400, False)
    assert_agrees(store)
    close_chargeback(store, at(date(2025, 2, 1)), dispute_id=of, outcome="won")
    assert state(store, paper) == ("open", 117_600)
    assert balances(store)["receivable"] == 2400
    assert_agrees(store)


def test_a_wrong_match_that_is_undone_charges_no_invoice_of_which_a_payment_is_disputed(store: Store) -> None:
    """A charge that was declined came in all the same, and was disputed. A transfer pays the invoice; it was
    somebody else's. What was given up for the late money is not charged now."""
    paper, payment_id = paid_by_card(store, outcome="insufficient_funds")
    notice(store, at(date(2025, 1, 2)), key=f"{payment_id}/1", answer=Answer("captured"))
    collect(store, SimulatedGateway(), at(date(2025, 1, 3)))
    late = rows(store, tables.payments, "payment_id", "state")
    assert [state for _, state in late] == ["canceled", "captured"]
    dispute(store, late[1][0], 120_000, date(2025, 1, 5))
    take_in(store, bank("1", "1200.00", numbers(store)["anna"]))
    assert state(store, paper) == ("paid", 120_000)
    unmatch(store, "1")
    assert state(store, paper) == ("open", 0)
    gateway = SimulatedGateway()
    assert collect(store, gateway, at(date(2025, 1, 21))) == CollectSummary()
    assert gateway.captured_minor == {}
    assert rows(store, tables.payments, "state")[0] == ("canceled",)
    assert_agrees(store)
