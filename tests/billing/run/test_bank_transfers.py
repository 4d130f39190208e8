"""Money that comes in at the bank: counted once, in the books at once, and paid to whom it is meant for."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from shop import at, fee, join, new_store, open_shop, run, sell, take
from soundness import assert_sound
from sqlalchemy import select

from billing.core.money import BillingError
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.jobs.credit import open_credit
from billing.jobs.match_transfers import (
    TransferAnswer,
    import_transfer_files,
    import_transfers,
    match_transfers,
)
from billing.service import customers, transfers, write_offs
from billing.store import tables
from billing.store.store import Store

START, LATER = date(2025, 1, 1), date(2025, 1, 20)


def shop(store: Store, *names: str) -> list[str]:
    """Customers who owe 1,200.00 (1,000 + 200) since New Year; the ids of their invoices."""
    open_shop(store, tax_rate_ppm=200_000)
    sell(store, "basic", fee("1000"))
    for name in names:
        join(store, name, collection="terms")
        take(store, START, "basic", name)
    run(store, START)
    found = store.rows(select(tables.invoices).order_by(tables.invoices.c.number))
    by_customer = {row["customer_id"]: row["invoice_id"] for row in found}
    return [by_customer[name] for name in names]


def numbers(store: Store) -> dict[str, str]:
    rows = store.rows(select(tables.invoices).order_by(tables.invoices.c.number))
    return {row["customer_id"]: row["number"] for row in rows}


def bank(bank_ref: str, amount: str, reference: str = "", **named: Any) -> dict[str, Any]:
    return {
        "entity_id": "seller",
        "bank_ref": bank_ref,
        "received_on": "2025-01-10",
        "amount": amount,
        "currency": "EUR",
        "payer_name": "",
        "reference": reference,
    } | named


def take_in(store: Store, *rows: dict[str, Any], on: date = LATER) -> TransferAnswer:
    return import_transfers(store, at(on), pl.DataFrame(rows))


def counts(answer: TransferAnswer) -> tuple[int, int, int, int]:
    return answer.accepted, answer.duplicate, answer.rejected.height, answer.matched


def state(store: Store, invoice_id: str) -> tuple[str, int]:
    """An invoice's state and what was applied to it."""
    paper = store.row(select(tables.invoices).where(tables.invoices.c.invoice_id == invoice_id))
    paid = store.rows(select(tables.applications).where(tables.applications.c.invoice_id == invoice_id))
    assert paper is not None
    return paper["state"], sum(row["amount_minor"] for row in paid)


def transfer(store: Store, bank_ref: str) -> dict[str, Any]:
    row = store.row(select(tables.bank_transfers).where(tables.bank_transfers.c.bank_ref == bank_ref))
    assert row is not None
    return row


def balances(store: Store) -> dict[str, int]:
    """The journal's balance of each account, debit positive."""
    sums: dict[str, int] = {}
    for row in store.rows(select(tables.journal_lines)):
        sums[row["account"]] = sums.get(row["account"], 0) + row["debit_minor"] - row["credit_minor"]
    return {account: amount for account, amount in sums.items() if amount}


def kept(store: Store, customer_id: str) -> int:
    return int(open_credit(store, [customer_id])["left_minor"].sum())


def match(store: Store, bank_ref: str, on: date = LATER, **named: Any) -> None:
    transfers.match_transfer(store, at(on), transfer_id=transfer(store, bank_ref)["transfer_id"], **named)


def unmatch(store: Store, bank_ref: str, on: date = LATER) -> None:
    transfers.unmatch_transfer(store, at(on), transfer_id=transfer(store, bank_ref)["transfer_id"])


def test_a_transfer_that_names_its_invoice_pays_it_on_the_day_it_came_in(store: Store) -> None:
    (paper,) = shop(store, "anna")
    assert counts(take_in(store, bank("1", "1200.00", f"Rechnung {numbers(store)['anna'].lower()}"))) == (
        1,
        0,
        0,
        1,
    )
    assert state(store, paper) == ("paid", 120_000)
    paid = store.row(select(tables.invoices))
    assert paid is not None
    assert paid["paid_on"] == date(2025, 1, 10)
    assert balances(store) == {"bank": 120_000, "deferred_revenue": -100_000, "tax_payable": -20_000}
    events = {row["event"] for row in store.rows(select(tables.journal_entries))}
    assert events == {"invoice_issued", "bank_transfer_received", "credit_applied"}


def test_a_file_read_twice_counts_once_and_other_content_is_refused(store: Store, tmp_path: Path) -> None:
    (paper,) = shop(store, "anna")
    rows = [bank("1", "500.00", numbers(store)["anna"]), bank("1", "500.00", numbers(store)["anna"])]
    file = tmp_path / "bank.csv"
    pl.DataFrame(rows).write_csv(file)
    assert counts(import_transfer_files(store, at(LATER), [file])[0]) == (1, 1, 0, 1)
    assert counts(import_transfer_files(store, at(LATER), [file])[0]) == (0, 2, 0, 0)
    answer = take_in(store, bank("1", "500.01", numbers(store)["anna"]))
    assert answer.rejected["code"].to_list() == ["duplicate_conflict"]
    assert state(store, paper) == ("open", 50_000)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"amount": "12.345"}, "too_many_decimals"),
        ({"amount": "12,30"}, "bad_decimal"),
        ({"amount": "-12.30"}, "negative_quantity"),
        ({"amount": "0"}, "negative_quantity"),
        ({"amount": None}, "missing_value"),
        ({"amount": "1" + "0" * 20}, "amount_out_of_range"),
        ({"currency": "EUX"}, "unknown_currency"),
        ({"entity_id": "nobody"}, "unknown_entity"),
        ({"bank_ref": " "}, "missing_value"),
        ({"received_on": "10.01.2025"}, "bad_time"),
        ({"received_on": None}, "missing_value"),
        ({"received_on": "2025-01-22"}, "future_event"),
        ({"received_on": "2024-12-31"}, "period_locked"),
    ],
)
def test_a_bad_row_is_kept_with_its_code_and_refuses_no_other(
    store: Store, wrong: dict[str, Any], code: str
) -> None:
    (paper,) = shop(store, "anna")
    lock = {"entity_id": "seller", "month": date(2024, 12, 1), "locked_at": at(START)}
    store.insert(tables.accounting_periods, [lock], at(START))
    rows = [bank("1", "1200.00", numbers(store)["anna"]), bank("2", "10.00") | wrong]
    for _ in range(2):
        answer = take_in(store, *rows)
        assert answer.rejected.select("row", "code").rows() == [(1, code)]
    assert answer.accepted + answer.duplicate + answer.rejected.height == 2
    refused = store.rows(select(tables.rejected_inputs))
    assert [(row["source"], row["code"]) for row in refused] == [("import_transfers", code)]
    assert state(store, paper) == ("paid", 120_000)


def test_a_float_is_no_money_and_a_frame_of_another_shape_no_statement(store: Store) -> None:
    shop(store, "anna")
    answer = import_transfers(store, at(LATER), pl.DataFrame([bank("1", "0") | {"amount": 12.3}]))
    assert answer.rejected["code"].to_list() == ["float_money"]
    with pytest.raises(BillingError, match="missing_column"):
        import_transfers(store, at(LATER), pl.DataFrame({"bank_ref": ["1"]}))


def test_what_nobody_knows_is_in_the_books_at_once_and_waits(store: Store) -> None:
    papers = shop(store, "anna", "bruno")
    # Two open invoices of 1,200.00: no guess.
    assert counts(take_in(store, bank("1", "1200.00"))) == (1, 0, 0, 0)
    assert transfer(store, "1")["state"] == "unmatched"
    assert balances(store)["unallocated_receipts"] == -120_000
    assert balances(store)["bank"] == 120_000
    match(store, "1", customer_id="bruno")
    assert [state(store, paper) for paper in papers] == [("open", 0), ("paid", 120_000)]
    assert "unallocated_receipts" not in balances(store)
    # Now there is one: the next transfer can only mean it.
    assert counts(take_in(store, bank("2", "1200.00"))) == (1, 0, 0, 1)
    assert (transfer(store, "2")["matched_by"], state(store, papers[0])) == ("amount", ("paid", 120_000))


def test_all_a_named_payer_has_open_is_paid_by_its_sum(store: Store) -> None:
    shop(store, "anna", "bruno")
    run(store, date(2025, 2, 1))
    answer = take_in(store, bank("1", "2400.00", payer_name="ANNA"), on=date(2025, 2, 3))
    assert answer.matched == 1
    states = {(row["customer_id"], row["state"]) for row in store.rows(select(tables.invoices))}
    assert states == {("anna", "paid"), ("bruno", "open")}


def test_a_part_leaves_the_rest_open_and_too_much_is_credit_of_the_payer(store: Store) -> None:
    anna, bruno = shop(store, "anna", "bruno")
    take_in(store, bank("1", "500.00", numbers(store)["anna"]), bank("2", "1300.00", numbers(store)["bruno"]))
    assert (state(store, anna), kept(store, "anna")) == (("open", 50_000), 0)
    assert (state(store, bruno), kept(store, "bruno")) == (("paid", 120_000), 10_000)
    assert balances(store)["customer_credit"] == -10_000
    # What is left over pays the next invoice when it is issued.
    run(store, date(2025, 2, 1))
    assert kept(store, "bruno") == 0
    # An invoice paid twice is credit too, and pays nobody else's.
    take_in(store, bank("3", "1200.00", numbers(store)["anna"]), on=date(2025, 2, 2))
    paid_twice = [
        bank("4", "700.00", f"{numbers_of(store, anna)}"),
        bank("5", "700.00", numbers_of(store, anna)),
    ]
    take_in(store, *paid_twice, on=date(2025, 2, 2))
    assert state(store, anna) == ("paid", 120_000)
    assert kept(store, "anna") == 70_000


def numbers_of(store: Store, invoice_id: str) -> str:
    row = store.row(select(tables.invoices).where(tables.invoices.c.invoice_id == invoice_id))
    assert row is not None
    return str(row["number"])


def test_money_of_a_customer_pays_the_oldest_first(store: Store) -> None:
    (first,) = shop(store, "anna")
    run(store, date(2025, 2, 1))
    take_in(store, bank("1", "1300.00"), on=date(2025, 2, 3))
    match(store, "1", customer_id="anna", on=date(2025, 2, 3))
    assert state(store, first) == ("paid", 120_000)
    assert balances(store)["receivable"] == 110_000


def test_a_match_by_hand_is_refused_where_it_cannot_be_right(store: Store) -> None:
    anna, bruno = shop(store, "anna", "bruno")
    join(store, "carla", currency="USD", collection="terms")
    take_in(store, bank("1", "10.00"), bank("2", "10.00", currency="USD"))
    refused = [
        ("1", {}, "missing_value"),
        ("1", {"invoice_ids": [anna], "customer_id": "anna"}, "missing_value"),
        ("1", {"invoice_ids": [anna, bruno]}, "mixed_payers"),
        ("1", {"invoice_ids": ["nothing"]}, "unknown_invoice"),
        ("1", {"customer_id": "nobody"}, "unknown_customer"),
        ("2", {"invoice_ids": [anna]}, "currency_mismatch"),
    ]
    for bank_ref, named, code in refused:
        with pytest.raises(BillingError, match=code):
            match(store, bank_ref, **named)
    with pytest.raises(BillingError, match="unknown_transfer"):
        transfers.match_transfer(store, at(LATER), transfer_id="none", customer_id="anna")
    match(store, "1", invoice_ids=[anna])
    with pytest.raises(BillingError, match="illegal_transition"):
        match(store, "1", invoice_ids=[bruno])


def test_what_is_sent_back_leaves_the_bank_and_comes_to_nobody(store: Store) -> None:
    (paper,) = shop(store, "anna")
    take_in(store, bank("1", "77.00"))
    transfers.return_transfer(store, at(LATER), transfer_id=transfer(store, "1")["transfer_id"])
    assert (transfer(store, "1")["state"], transfer(store, "1")["closed_on"]) == ("returned", LATER)
    assert balances(store) == {"receivable": 120_000, "deferred_revenue": -100_000, "tax_payable": -20_000}
    for again in (transfers.return_transfer, transfers.unmatch_transfer):
        with pytest.raises(BillingError, match="illegal_transition"):
            again(store, at(LATER), transfer_id=transfer(store, "1")["transfer_id"])
    assert match_transfers(store, at(LATER)) == 0
    assert state(store, paper) == ("open", 0)


def test_a_wrong_match_is_undone_and_only_a_person_matches_it_again(store: Store) -> None:
    anna, bruno = shop(store, "anna", "bruno")
    take_in(store, bank("1", "1300.00", numbers(store)["anna"]))
    unmatch(store, "1")
    assert (state(store, anna), kept(store, "anna")) == (("open", 0), 0)
    assert balances(store)["unallocated_receipts"] == -130_000
    undoing = store.rows(select(tables.applications).where(tables.applications.c.reverses_id.is_not(None)))
    assert [row["amount_minor"] for row in undoing] == [-120_000]
    assert match_transfers(store, at(LATER)) == 0
    match(store, "1", invoice_ids=[bruno])
    assert (state(store, bruno), kept(store, "bruno")) == (("paid", 120_000), 10_000)
    payments = store.rows(select(tables.payments).order_by(tables.payments.c.payment_id))
    assert [(row["state"], row["undone_on"]) for row in payments] == [("canceled", LATER), ("captured", None)]


def test_credit_that_a_wrong_match_left_and_a_later_invoice_used_is_taken_back_too(store: Store) -> None:
    shop(store, "anna")
    take_in(store, bank("1", "1300.00", numbers(store)["anna"]))
    run(store, date(2025, 2, 1))
    assert balances(store)["receivable"] == 110_000
    unmatch(store, "1", on=date(2025, 2, 2))
    assert balances(store)["receivable"] == 240_000
    assert kept(store, "anna") == 0


def test_a_card_that_was_given_up_for_a_wrong_match_is_charged_again(store: Store) -> None:
    (paper,) = shop(store, "anna")
    customers.change_customer(store, at(START), customer_id="anna", collection="automatic")
    run(store, date(2025, 2, 1))
    newest = max(row["invoice_id"] for row in store.rows(select(tables.invoices)))
    customers.add_payment_method(store, at(START), customer_id="anna", gateway_ref="card")
    gateway, on = SimulatedGateway(), date(2025, 2, 1)
    gateway.plan("anna", ["insufficient_funds", "captured"])
    collect(store, gateway, at(on, 21))
    take_in(store, bank("1", "1200.00", received_on="2025-02-01"), on=on)
    match(store, "1", invoice_ids=[newest], on=on)
    assert collect(store, gateway, at(date(2025, 2, 10))).attempts == 0
    unmatch(store, "1", on=date(2025, 2, 11))
    assert collect(store, gateway, at(date(2025, 2, 11), 22)).captured == 1
    assert state(store, newest) == ("paid", 120_000)
    assert state(store, paper) == ("open", 0)


def test_a_card_that_waits_asks_for_all_again_when_credit_of_a_wrong_match_is_taken_back(
    store: Store,
) -> None:
    shop(store, "anna")
    take_in(store, bank("1", "1300.00", numbers(store)["anna"]))
    customers.change_customer(store, at(START), customer_id="anna", collection="automatic")
    customers.add_payment_method(store, at(START), customer_id="anna", gateway_ref="card")
    on = date(2025, 2, 1)
    run(store, on)
    gateway = SimulatedGateway()
    gateway.plan("anna", ["insufficient_funds", "captured"])
    collect(store, gateway, at(on, 21))
    unmatch(store, "1", on=date(2025, 2, 2))
    collect(store, gateway, at(date(2025, 2, 3)))
    assert list(gateway.captured_minor.values()) == [120_000]
    assert balances(store)["receivable"] == 120_000


def test_a_transfer_whose_invoice_is_being_charged_waits_until_it_is_known_what_became_of_that(
    store: Store,
) -> None:
    (paper,) = shop(store, "anna")
    store.update(tables.invoices, [{"invoice_id": paper, "collection": "automatic"}], at(START))
    customers.add_payment_method(store, at(START), customer_id="anna", gateway_ref="card")
    gateway = SimulatedGateway()
    gateway.plan("anna", "unknown")
    collect(store, gateway, at(START, 21))
    assert take_in(store, bank("1", "1200.00", numbers(store)["anna"])).matched == 0
    assert balances(store)["unallocated_receipts"] == -120_000
    with pytest.raises(BillingError, match="illegal_transition"):
        match(store, "1", invoice_ids=[paper])
    collect(store, gateway, at(LATER, 21))
    assert match_transfers(store, at(LATER, 22)) == 1
    # The card had been charged: what came by bank as well is credit.
    assert (state(store, paper), kept(store, "anna")) == (("paid", 120_000), 120_000)


def test_money_that_came_before_its_invoice_is_matched_on_the_day_of_the_match(store: Store) -> None:
    (paper,) = shop(store, "anna")
    take_in(store, bank("1", "1200.00", numbers(store)["anna"], received_on="2024-12-30"))
    entries = store.rows(select(tables.journal_entries))
    days = {row["event"]: row["posted_on"] for row in entries}
    assert days["transfer_received"] == date(2024, 12, 30)
    assert days["transfer_matched"] == days["credit_applied"] == LATER
    assert state(store, paper) == ("paid", 120_000)


def with_discount(store: Store, invoice_id: str) -> None:
    """2/10: as a run writes it at issue under such terms."""
    terms = {"early_discount_ppm": 20_000, "early_discount_until": date(2025, 1, 11)}
    store.update(tables.invoices, [{"invoice_id": invoice_id} | terms], at(START))


def test_an_invoice_paid_early_is_settled_by_less_and_undone_with_its_discount(store: Store) -> None:
    (paper,) = shop(store, "anna")
    with_discount(store, paper)
    take_in(store, bank("1", "1176.00", numbers(store)["anna"]))
    assert state(store, paper) == ("paid", 120_000)
    given = store.rows(select(tables.early_discounts))
    assert [(row["net_minor"], row["tax_minor"]) for row in given] == [(2000, 400)]
    assert balances(store) == {
        "bank": 117_600,
        "deferred_revenue": -100_000,
        "tax_payable": -19_600,
        "discounts_allowed": 2000,
    }
    unmatch(store, "1")
    assert state(store, paper) == ("open", 0)
    assert balances(store) == {
        "receivable": 120_000,
        "bank": 117_600,
        "unallocated_receipts": -117_600,
        "deferred_revenue": -100_000,
        "tax_payable": -20_000,
    }
    match(store, "1", invoice_ids=[paper])  # It came in time, whenever a person says whose it is.
    assert state(store, paper) == ("paid", 120_000)


def test_money_nobody_signed_is_matched_by_what_an_invoice_asks_for_early_or_partly_paid(
    store: Store,
) -> None:
    early, part, _ = shop(store, "anna", "bruno", "carla")
    with_discount(store, early)
    take_in(store, bank("1", "500.00", numbers(store)["bruno"]))
    answer = take_in(store, bank("2", "1176.00"), bank("3", "700.00"), bank("4", "1176.01"))
    assert answer.matched == 2
    assert (state(store, early), state(store, part)) == (("paid", 120_000), ("paid", 120_000))
    assert transfer(store, "4")["state"] == "unmatched"


def test_an_invoice_paid_late_keeps_the_discount_open(store: Store) -> None:
    (paper,) = shop(store, "anna")
    with_discount(store, paper)
    take_in(store, bank("1", "1176.00", numbers(store)["anna"], received_on="2025-01-12"))
    assert state(store, paper) == ("open", 117_600)
    assert balances(store)["receivable"] == 2400


def test_parts_in_time_of_two_files_settle_an_invoice_together(store: Store) -> None:
    (paper,) = shop(store, "anna")
    with_discount(store, paper)
    take_in(store, bank("1", "600.00", numbers(store)["anna"], received_on="2025-01-05"))
    assert state(store, paper) == ("open", 60_000)
    take_in(store, bank("2", "576.00", numbers(store)["anna"], received_on="2025-01-11"))
    assert state(store, paper) == ("paid", 120_000)


def test_many_rows_cost_few_statements(each_database: str) -> None:
    def cost(count: int) -> int:
        store = new_store()
        names = [f"c{n}" for n in range(count)]
        papers = shop(store, *names)
        known = numbers(store)
        before = store.statements
        answer = take_in(store, *(bank(name, "1200.00", known[name]) for name in names))
        assert answer.matched == count
        assert {state(store, paper)[0] for paper in papers} == {"paid"}
        return store.statements - before - count * 2

    assert cost(40) == cost(4)


def test_a_debt_written_off_is_a_loss_and_what_comes_in_later_no_credit_up_to_it(store: Store) -> None:
    anna, _ = shop(store, "anna", "bruno")
    take_in(store, bank("1", "500.00", numbers(store)["anna"]))
    write_offs.write_off(store, at(LATER), invoice_id=anna, reason="insolvent")
    paper = store.row(select(tables.invoices).where(tables.invoices.c.invoice_id == anna))
    assert paper is not None
    assert (paper["state"], paper["written_off_minor"], paper["written_off_on"]) == (
        "uncollectible",
        70_000,
        LATER,
    )
    assert balances(store)["bad_debt"] == 70_000
    assert balances(store)["receivable"] == 120_000
    take_in(store, bank("2", "300.00", numbers(store)["anna"]), bank("3", "500.00", numbers(store)["anna"]))
    assert balances(store)["bad_debt_recovered"] == -70_000
    assert (kept(store, "anna"), balances(store)["customer_credit"]) == (10_000, -10_000)
    kinds = [row["kind"] for row in store.rows(select(tables.payments))]
    assert sorted(kinds) == ["recovery", "recovery", "transfer", "transfer"]
    for bank_ref in ("3", "2"):
        unmatch(store, bank_ref)
    assert "bad_debt_recovered" not in balances(store)
    assert kept(store, "anna") == 0
    match(store, "3", invoice_ids=[anna])
    with pytest.raises(BillingError, match="illegal_transition"):
        write_offs.reinstate(store, at(LATER), invoice_id=anna)
    assert balances(store)["bad_debt_recovered"] == -50_000
    assert_sound(store, at(LATER))


def test_a_write_off_is_taken_back_and_may_be_made_again(store: Store) -> None:
    anna, bruno = shop(store, "anna", "bruno")
    write_offs.write_off(store, at(LATER), invoice_id=anna)
    for again in (write_offs.write_off, transfers.receive_transfer):
        named = {"amount_minor": 1} if again is transfers.receive_transfer else {}
        with pytest.raises(BillingError, match=r"illegal_transition|amount_out_of_range"):
            again(store, at(LATER), invoice_id=anna, **named)
    write_offs.reinstate(store, at(LATER), invoice_id=anna)
    assert state(store, anna) == ("open", 0)
    assert "bad_debt" not in balances(store)
    write_offs.write_off(store, at(LATER), invoice_id=anna)
    assert balances(store)["bad_debt"] == 120_000
    with pytest.raises(BillingError, match="illegal_transition"):
        write_offs.reinstate(store, at(LATER), invoice_id=bruno)
    with pytest.raises(BillingError, match="unknown_invoice"):
        write_offs.write_off(store, at(LATER), invoice_id="none")


def test_nothing_is_charged_for_a_debt_that_was_given_up(store: Store) -> None:
    (paper,) = shop(store, "anna")
    store.update(tables.invoices, [{"invoice_id": paper, "collection": "automatic"}], at(START))
    customers.add_payment_method(store, at(START), customer_id="anna", gateway_ref="card")
    gateway = SimulatedGateway()
    gateway.plan("anna", "gateway_down")
    collect(store, gateway, at(START, 21))
    gateway.plan("anna", ["insufficient_funds", "captured"])
    with pytest.raises(BillingError, match="illegal_transition"):
        write_offs.write_off(store, at(START, 21), invoice_id=paper)
    collect(store, gateway, at(date(2025, 1, 2)))
    write_offs.write_off(store, at(date(2025, 1, 2), 10), invoice_id=paper)
    assert [row["closed_as"] for row in store.rows(select(tables.dunning_cases))] == ["written_off"]
    assert collect(store, gateway, at(LATER)).attempts == 0
