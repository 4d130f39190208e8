"""What is read of money: amounts as they were worked out by hand, by whom they may be seen, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from money_world import FEBRUARY, JANUARY, MoneyWorld, build

from billing.core.money import BillingError
from billing.reads import approvals, books, dunning, invoices, payments
from billing.reads.page import Page
from billing.reads.scope import Scope, everything, scope_of
from billing.store.store import IdGenerator, Store, open_store

TODAY = date(2025, 2, 10)
ALL = everything()
ANNA, ZOE = Scope(frozenset({"anna", "annex"})), Scope(frozenset({"zoe"}))
World = tuple[Store, MoneyWorld]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if request.param == "postgresql":
        fresh: Callable[[], str] = request.getfixturevalue("_postgres_databases")
        url = fresh()
    else:
        url = f"sqlite:///{tmp_path_factory.mktemp('money')}/billing.db"
    with open_store(url, IdGenerator(1), is_disposable=True) as store:
        store.migrate()
        yield store, build(store)


def shown(page: Page, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in page.rows]


def test_an_invoice_asks_for_what_nothing_has_paid_yet(world: World) -> None:
    store, money = world
    found = {
        row["invoice_id"]: (row["state"], row["total_minor"], row["open_minor"])
        for row in invoices.invoices(store, ALL).rows
    }
    assert found == {
        money.papers["anna", 1]: ("paid", 12_000, 0),
        money.papers["annex", 1]: ("open", 12_000, 7_000),
        money.papers["zoe", 1]: ("open", 12_000, 12_000),
        money.papers["anna", 2]: ("open", 12_000, 8_400),
        money.papers["annex", 2]: ("open", 12_000, 12_000),
        money.papers["zoe", 2]: ("open", 12_000, 12_000),
    }


def test_what_is_past_due_depends_on_the_day_and_comes_oldest_first(world: World) -> None:
    store, money = world
    past = invoices.invoices(store, ALL, state="past_due", today=TODAY)
    assert shown(past, "invoice_id", "due_on") == [
        (money.papers["zoe", 1], JANUARY),
        (money.papers["annex", 1], date(2025, 1, 31)),
        (money.papers["anna", 2], FEBRUARY),
        (money.papers["zoe", 2], FEBRUARY),
    ]
    assert invoices.invoices(store, ALL, state="past_due", today=JANUARY).rows == []
    with pytest.raises(BillingError, match="missing_value"):
        invoices.invoices(store, ALL, state="past_due")
    with pytest.raises(BillingError, match="unknown_setting"):
        invoices.invoices(store, ALL, state="unpaid")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"customer_id": "annex"}, [("annex", 2), ("annex", 1)]),
        ({"customer_id": "annex", "state": "open"}, [("annex", 2), ("annex", 1)]),
        ({"state": "paid"}, [("anna", 1)]),
        ({"state": "void"}, []),
        ({"issued_from": FEBRUARY, "customer_id": "zoe"}, [("zoe", 2)]),
        ({"issued_until": FEBRUARY, "customer_id": "zoe"}, [("zoe", 1)]),
        ({"due_before": FEBRUARY, "state": "open"}, [("annex", 1), ("zoe", 1)]),
        ({"due_before": FEBRUARY}, [("annex", 1), ("zoe", 1), ("anna", 1)]),
        ({"po_id": "none"}, []),
        ({"number": "none"}, []),
        ({"run_id": "run_none"}, []),
    ],
)
def test_invoices_are_found_by_what_is_said_of_them(
    world: World, asked: dict[str, Any], expected: list[tuple[str, int]]
) -> None:
    store, money = world
    found = [row["invoice_id"] for row in invoices.invoices(store, ALL, **asked).rows]
    assert found == [money.papers[one] for one in expected]


def test_an_invoice_is_found_by_number_and_by_run(world: World) -> None:
    store, money = world
    one = invoices.invoice(store, ALL, invoice_id=money.papers["zoe", 2])
    assert one is not None
    assert invoices.invoice(store, ALL, invoice_id=one["number"]) == one
    assert shown(invoices.invoices(store, ALL, number=one["number"]), "invoice_id") == [(one["invoice_id"],)]
    of_run = invoices.invoices(store, ALL, run_id=money.runs[0]).rows
    assert {row["invoice_id"] for row in of_run} == {money.papers[who, 1] for who in ("anna", "annex", "zoe")}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"state": "open"},
        {"due_before": TODAY},
        {"state": "past_due", "today": TODAY},
        {"issued_from": JANUARY},
    ],
)
def test_pages_of_one_row_are_the_list(world: World, asked: dict[str, Any]) -> None:
    store, _ = world
    whole = invoices.invoices(store, ALL, **asked)
    found, after = [], None
    while True:
        page = invoices.invoices(store, ALL, after=after, limit=1, **asked)
        found += list(page.rows)
        if page.after is None:
            break
        after = page.after
    assert whole.after is None
    assert found == whole.rows
    assert len(found) > 3


def test_nobody_sees_what_is_of_others(world: World) -> None:
    store, money = world
    of_zoe = money.papers["zoe", 1]
    pay = payments.payments(store, ALL, customer_id="zoe").rows[0]
    case = dunning.cases(store, ALL).rows[0]
    method = payments.methods(store, ALL, customer_id="zoe").rows[0]
    assert invoices.invoice(store, ANNA, invoice_id=of_zoe) is None
    assert invoices.document(store, ANNA, number_or_id=of_zoe) is None
    number = invoices.invoices(store, ALL, customer_id="zoe").rows[0]["number"]
    assert invoices.find(store, ANNA, number_or_id=number) is None
    assert invoices.lines(store, ANNA, invoice_id=of_zoe).rows == []
    assert invoices.invoices(store, ANNA, customer_id="zoe").rows == []
    assert invoices.invoices(store, ANNA, state="open").rows != []
    assert {row["customer_id"] for row in invoices.invoices(store, ANNA).rows} == {"anna", "annex"}
    assert invoices.credit_note(store, ZOE, note_id=money.note_id) is None
    assert invoices.credit_notes(store, ZOE).rows == []
    assert invoices.invoice_dispute(store, ZOE, dispute_id=money.dispute_id) is None
    assert invoices.invoice_disputes(store, ZOE).rows == []
    assert payments.payment(store, ANNA, payment_id=pay["payment_id"]) is None
    assert payments.attempts(store, ANNA, payment_id=pay["payment_id"]).rows == []
    assert payments.applications(store, ZOE, invoice_id=money.papers["anna", 1]).rows == []
    assert payments.method(store, ANNA, method_id=method["method_id"]) is None
    assert payments.methods(store, ANNA, customer_id="zoe").rows == []
    assert payments.transfers(store, ZOE).rows == []
    assert dunning.case(store, ANNA, case_id=case["case_id"]) is None
    assert dunning.cases(store, ANNA).rows == []
    assert dunning.tried_again(store, ANNA).rows == []
    assert dunning.queue(store, ANNA, today=TODAY) == []
    assert approvals.approvals(store, ANNA).rows == []
    assert invoices.sums_of(store, ANNA, customer_ids=["zoe"], today=TODAY) == []
    assert {row["customer_id"] for row in books.audit(store, ANNA).rows} == {"anna", "annex"}
    assert {row["customer_id"] for row in books.journal(store, ANNA, source_id=of_zoe).rows} == set()
    assert scope_of(store, customer_id="anna", with_children=True).ids == ANNA.ids


def test_what_children_owe_is_added_up_by_hand(world: World) -> None:
    store, _ = world
    sums = invoices.sums_of(store, ALL, customer_ids=["anna", "annex", "zoe", "nobody"], today=TODAY)
    names = ("customer_id", "currency", "invoices", "open_minor", "overdue_minor")
    assert [tuple(row[name] for name in names) for row in sums] == [
        ("anna", "EUR", 1, 8_400, 8_400),
        ("annex", "EUR", 2, 19_000, 7_000),
        ("zoe", "EUR", 2, 24_000, 24_000),
    ]
    counted = invoices.counts(store, ANNA, today=TODAY)
    assert [(row["state"], row["documents"], row["open_minor"]) for row in counted] == [
        ("open", 3, 27_400),
        ("past_due", 2, 15_400),
        ("uncollectible", 0, None),
        ("paid", 1, None),
        ("void", 0, None),
        ("credit_note", 1, None),
    ]


def test_a_document_is_the_one_that_is_sent(world: World) -> None:
    store, money = world
    found = invoices.document(store, ANNA, number_or_id=money.papers["anna", 2])
    assert found is not None
    assert (found.net_minor, found.tax_minor, found.total_minor, found.open_minor) == (
        10_000,
        2_000,
        12_000,
        8_400,
    )
    assert [(one.kind, one.amount_minor) for one in found.settlements] == [("credit_note", 3_600)]
    (line,) = invoices.lines(store, ALL, invoice_id=money.papers["anna", 2]).rows
    assert (line["quantity"], line["net_minor"], line["tax_minor"]) == ("1", 10_000, 2_000)
    assert "quantity_mantissa" not in line


def test_a_note_tells_what_credit_is_kept(world: World) -> None:
    store, money = world
    (note,) = invoices.credit_notes(store, ALL, invoice_id=money.papers["anna", 1]).rows
    assert (note["note_id"], note["net_minor"], note["tax_minor"], note["open_minor"]) == (
        money.note_id,
        3_000,
        600,
        0,
    )
    assert invoices.credit_notes(store, ALL, invoice_id=money.papers["anna", 2]).rows == []
    (applied,) = payments.applications(store, ALL, source_id=money.note_id).rows
    assert (applied["invoice_id"], applied["amount_minor"]) == (money.papers["anna", 2], 3_600)
    (disputed,) = invoices.invoice_disputes(store, ALL, is_open=True).rows
    assert (disputed["amount_minor"], disputed["customer_id"]) == (1_000, "annex")
    assert invoices.invoice_disputes(store, ALL, is_open=False).rows == []


def test_payments_are_told_without_the_names_that_let_somebody_charge(world: World) -> None:
    store, _ = world
    paid = payments.payments(store, ALL)
    assert sorted(shown(paid, "customer_id", "kind", "state", "amount_minor")) == [
        ("anna", "charge", "captured", 12_000),
        ("annex", "transfer", "captured", 5_000),
        ("zoe", "charge", "failed", 12_000),
    ]
    (failed,) = payments.payments(store, ALL, state="failed").rows
    (attempt,) = payments.attempts(store, ZOE, payment_id=failed["payment_id"]).rows
    assert (attempt["outcome"], attempt["decline_code"]) == ("declined", "insufficient_funds")
    (method,) = payments.methods(store, ALL, customer_id="anna", on=TODAY).rows
    assert (method["kind"], method["is_default"], method["label"]) == ("card", True, None)
    (transfer,) = payments.transfers(store, ANNA, state="matched").rows
    assert (transfer["bank_ref"], transfer["customer_id"]) == ("bank-1", "annex")
    for row in (failed, method):
        assert "gateway_ref" not in row
    for asked in (payments.payments, payments.refunds, payments.transfers):
        with pytest.raises(BillingError, match="unknown_setting"):
            asked(store, ALL, state="other")


def test_a_case_is_told_with_its_next_step(world: World) -> None:
    store, _ = world
    (row,) = dunning.cases(store, ALL, is_open=True, track="card").rows
    case = dunning.case(store, ZOE, case_id=row["case_id"])
    assert case is not None
    assert [(step["kind"], step["due_on"], step["done_at"]) for step in case["steps"]] == [
        ("attempt", date(2025, 1, 3), None)
    ]
    (queued,) = dunning.queue(store, ALL, today=TODAY)
    assert (queued["name"], queued["next_step"], queued["next_on"], queued["open_minor"]) == (
        "Zoe",
        "attempt",
        date(2025, 1, 3),
        24_000,
    )
    (again,) = dunning.tried_again(store, ALL).rows
    assert (again["customer_id"], again["next_attempt_at"]) == ("zoe", datetime(2025, 1, 3, tzinfo=UTC))
    assert dunning.cases(store, ALL, is_open=False).rows == []


def test_the_books_of_a_document_balance(world: World) -> None:
    store, money = world
    posted = books.journal(store, ALL, source_id=money.papers["anna", 1]).rows
    assert sum(row["debit_minor"] for row in posted) == sum(row["credit_minor"] for row in posted) == 12_000
    entries = books.audit(store, ALL, act="dispute_invoice").rows
    assert [(row["customer_id"], row["arguments"]["amount_minor"]) for row in entries] == [("annex", 1_000)]
    hidden = books.audit(store, ANNA, act="dispute_invoice").rows
    assert ["arguments" in row for row in hidden] == [False]
    assert books.periods(store, ANNA).rows == []
