"""Invoices, payments and the ways to pay through the API: amounts worked out by hand, states, refusals."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from callers import ALL, callers, client, served_with
from fastapi import FastAPI
from fastapi.testclient import TestClient
from money_world import MoneyWorld, build
from sqlalchemy import select

from billing.api.app import application
from billing.api.shapes import money as shapes
from billing.core.money import BillingError
from billing.gateways.gateway import Answer, Charge
from billing.gateways.hosted_simulated import PATH, SimulatedFields, in_front_of
from billing.gateways.simulated import SimulatedGateway
from billing.service.customers import change_customer
from billing.service.policies import set_policy
from billing.service.subscriptions import subscribe
from billing.store import tables
from billing.store.store import IdGenerator, Store, open_store
from billing.web.context import Caller, Services
from billing.web.seal import Vault
from billing.web.stores import Stores

NOW = datetime(2025, 2, 10, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> tuple[Path, MoneyWorld]:
    path = tmp_path_factory.mktemp("money") / "billing.db"
    shutil.copy(_sqlite_template, path)
    with open_store(f"sqlite:///{path}", IdGenerator(1), is_disposable=True) as store:
        money = build(store)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path, money


class Company:
    """A copy of the company behind its API: the merchant and the customers have keys."""

    def __init__(self, app: FastAPI, url: str, money: MoneyWorld) -> None:
        self.app, self.url, self.papers, self.lines = app, url, money.papers, money.lines
        self.money = money
        self._asked = 0

    @property
    def gateway(self) -> SimulatedGateway:
        gateway = self.app.state.services.gateway
        assert isinstance(gateway, SimulatedGateway)
        return gateway

    def client(self, name: str = "merchant") -> TestClient:
        return client(self.app, name)

    def get(self, path: str, who: str = "merchant", **query: Any) -> Any:
        answer = self.client(who).get(f"/v1{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, who: str = "merchant", *, status: int = 200) -> Any:
        self._asked += 1
        headers = {"Idempotency-Key": f"key-{self._asked}"}
        answer = self.client(who).post(f"/v1{path}", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def store(self) -> Store:
        return open_store(self.url)


@pytest.fixture
def company(played: tuple[Path, MoneyWorld], tmp_path: Path) -> Iterator[Company]:
    path, money = played
    copy = shutil.copy(path, tmp_path / "billing.db")
    app = _app()
    services = Services(
        Stores(f"sqlite:///{copy}", size=2),
        SimulatedGateway(),
        Vault(bytes(32)),
        lambda: NOW,
        hosted=SimulatedFields("https://pay.example"),
    )
    with served_with(app, services):
        yield Company(app, f"sqlite:///{copy}", money)


@cache
def _app() -> FastAPI:
    """Made once: to make all its routes takes longer than most tests."""
    bound = [Caller("key", name, name, ALL, customer_id=name) for name in ("anna", "zoe")]
    known = callers(*bound, Caller("key", "poor", "poor", frozenset(("invoices:write",))))
    services = Services(Stores("sqlite://"), SimulatedGateway(), Vault(bytes(32)))
    return application(services, lambda _services, header: known[(header or "").removeprefix("Bearer ")])


def test_lists_tell_what_is_open(company: Company) -> None:
    papers = company.papers
    past = company.get("/invoices", state="past_due")["data"]
    assert [(row["invoice_id"], row["open_minor"]) for row in past] == [
        (papers["zoe", 1], 12_000),
        (papers["annex", 1], 7_000),
        (papers["anna", 2], 8_400),
        (papers["zoe", 2], 12_000),
    ]
    own = company.get("/invoices", "anna", limit=2)
    rest = company.get("/invoices", "anna", limit=2, after=own["next"])
    found = [row["invoice_id"] for row in (*own["data"], *rest["data"])]
    assert sorted(found) == sorted(papers[who, month] for who in ("anna", "annex") for month in (1, 2))
    assert rest["next"] is None
    sums = company.get("/invoice-sums", "anna", customer_id=["anna", "annex", "zoe"])["data"]
    assert [(row["customer_id"], row["open_minor"], row["overdue_minor"]) for row in sums] == [
        ("anna", 8_400, 8_400),
        ("annex", 19_000, 7_000),
    ]
    refused = company.client().get("/v1/invoices", params={"state": "unpaid"})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_parameter")


def test_an_invoice_is_shown_whole(company: Company) -> None:
    paper = company.papers["anna", 1]
    expand = "lines,payments,applications,credit_notes,disputes"
    shown = company.get(f"/invoices/{paper}", "anna", expand=expand)
    assert [row["net_minor"] for row in shown["lines"]] == [10_000]
    assert [(row["state"], row["amount_minor"]) for row in shown["payments"]] == [("captured", 12_000)]
    assert [row["amount_minor"] for row in shown["applications"]] == [12_000]
    assert [row["note_id"] for row in shown["credit_notes"]] == [company.money.note_id]
    assert shown["disputes"] == []
    assert company.get(f"/invoices/{shown['number']}")["invoice_id"] == paper
    whole = company.get(f"/invoices/{paper}/document", "anna")
    assert (whole["number"], whole["total_minor"], whole["total"]) == (shown["number"], 12_000, "120.00")
    pdf = company.client("anna").get(f"/v1/invoices/{paper}/pdf", params={"locale": "ar"})
    assert (pdf.status_code, pdf.headers["content-type"]) == (200, "application/pdf")
    assert pdf.content.startswith(b"%PDF-")
    assert pdf.headers["content-disposition"].startswith('attachment; filename="')
    note = company.get(f"/credit-notes/{company.money.note_id}/document", "anna")
    assert (note["kind"], note["total_minor"]) == ("credit_note", 3_600)
    for path in (f"/invoices/{company.money.note_id}/document", f"/credit-notes/{paper}/document"):
        assert company.client().get(f"/v1{path}").status_code == 404


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/invoices", shapes.Invoice),
        ("/invoices/{paper}/lines", shapes.LineItem),
        ("/invoice-disputes", shapes.InvoiceDispute),
        ("/credit-notes", shapes.CreditNote),
        ("/payments", shapes.Payment),
        ("/payments/{payment}/attempts", shapes.Attempt),
        ("/transfers", shapes.Transfer),
        ("/customers/anna/payment-methods", shapes.Method),
        ("/dunning-cases", shapes.Case),
        ("/audit", shapes.AuditEntry),
    ],
)
def test_what_is_listed_has_the_form_that_is_described(company: Company, path: str, shape: Any) -> None:
    payment = company.get("/payments", state="failed")["data"][0]["payment_id"]
    path = path.format(paper=company.papers["anna", 1], payment=payment)
    rows = company.get(path)["data"]
    assert rows
    for row in rows:
        shape.model_validate(row)
        assert "gateway_ref" not in row


def test_drafts_are_what_waits_for_its_days_of_grace(company: Company) -> None:
    with company.store() as store:
        set_policy(store, NOW, valid_from=date(2025, 3, 1), settings={"grace_days": 3})
    drafts = company.get("/invoices/drafts", "anna", customer_id="anna", up_to="2025-03-01")
    assert [(row["customer_id"], row["total_minor"]) for row in drafts["documents"]] == [("anna", 12_000)]
    assert len(company.get("/invoices")["data"]) == 6


# Paying.


def test_a_payer_pays_now(company: Company) -> None:
    paper = company.papers["anna", 2]
    payment = company.post(f"/invoices/{paper}/pay", {}, "anna", status=202)
    assert (payment["state"], payment["amount_minor"], payment["invoice_id"]) == ("pending", 8_400, paper)
    after = company.get(f"/payments/{payment['payment_id']}", "anna", expand="attempts,applications")
    assert (after["state"], after["attempts"][0]["outcome"]) == ("captured", "captured")
    assert [row["amount_minor"] for row in after["applications"]] == [8_400]
    assert company.get(f"/invoices/{paper}")["state"] == "paid"
    assert company.gateway.captured_minor == {f"{payment['payment_id']}/1": 8_400}
    again = company.client("anna").post(
        f"/v1/invoices/{paper}/pay", json={}, headers={"Idempotency-Key": "other"}
    )
    assert (again.status_code, again.json()["code"]) == (409, "illegal_transition")


def test_a_decline_is_told_in_the_payment(company: Company) -> None:
    company.gateway.plan("zoe", "do_not_honor")
    before = company.get("/payments", "zoe")["data"][0]
    payment = company.post(f"/invoices/{company.papers['zoe', 1]}/pay", {}, "zoe", status=202)
    assert payment["payment_id"] == before["payment_id"]
    after = company.get(f"/payments/{payment['payment_id']}", "zoe", expand="attempts")
    assert [row["decline_code"] for row in after["attempts"]] == ["insufficient_funds", "do_not_honor"]
    assert (after["failures"], after["next_attempt_at"]) == (before["failures"], before["next_attempt_at"])


def test_a_gateway_that_breaks_leaves_the_payment_pending(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: object, _charge: Charge) -> Answer:
        raise ConnectionError("the line is dead")

    monkeypatch.setattr(SimulatedGateway, "charge", broken)
    payment = company.post(f"/invoices/{company.papers['anna', 2]}/pay", {}, "anna", status=202)
    assert company.get(f"/payments/{payment['payment_id']}")["state"] == "pending"
    monkeypatch.undo()
    again = company.post(f"/invoices/{company.papers['anna', 2]}/pay", {}, "anna", status=202)
    assert again["payment_id"] == payment["payment_id"]
    assert company.gateway.captured_minor == {f"{payment['payment_id']}/1": 8_400}


def test_paying_needs_a_key_a_scope_and_ones_own_invoice(company: Company) -> None:
    path = f"/v1/invoices/{company.papers['zoe', 1]}/pay"
    bare = company.client("zoe").post(path, json={})
    assert (bare.status_code, bare.json()["code"]) == (400, "idempotency_key_missing")
    headers = {"Idempotency-Key": "one"}
    poor = company.client("poor").post(path, json={}, headers=headers)
    assert (poor.status_code, poor.json()["code"]) == (403, "scope_missing")
    foreign = company.client("anna").post(path, json={}, headers=headers)
    assert (foreign.status_code, foreign.json()["code"]) == (404, "unknown_invoice")
    method = company.get("/customers/anna/payment-methods")["data"][0]["method_id"]
    other = company.client("zoe").post(path, json={"method_id": method}, headers=headers)
    assert (other.status_code, other.json()["code"], other.json()["field"]) == (
        422,
        "unknown_method",
        "method_id",
    )


# What the merchant does.


def test_an_invoice_is_voided_written_off_and_taken_up_again(company: Company) -> None:
    papers = company.papers
    gone = company.post(f"/invoices/{papers['annex', 2]}/void", {"reason": "Twice"})
    assert (gone["state"], gone["open_minor"]) == ("void", 0)
    lost = company.post(f"/invoices/{papers['annex', 1]}/write-off", {"reason": "Bankrupt"})
    assert (lost["state"], lost["open_minor"], lost["written_off_minor"]) == ("uncollectible", 7_000, 7_000)
    back = company.post(f"/invoices/{papers['annex', 1]}/reinstate", {})
    assert (back["state"], back["open_minor"]) == ("open", 7_000)
    refused = company.client().post(
        f"/v1/invoices/{papers['annex', 1]}/reinstate", json={}, headers={"Idempotency-Key": "x"}
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "illegal_transition")


def test_a_dispute_of_an_invoice_is_opened_by_the_customer_and_closed_by_the_merchant(
    company: Company,
) -> None:
    paper = company.papers["annex", 2]
    made = company.post(
        f"/invoices/{paper}/dispute", {"reason": "Too many", "amount_minor": 1_200}, "anna", status=201
    )
    assert (made["amount_minor"], made["outcome"]) == (1_200, None)
    path = f"/invoice-disputes/{made['dispute_id']}"
    denied = company.client("anna").post(
        f"/v1{path}/close", json={"outcome": "accepted"}, headers={"Idempotency-Key": "x"}
    )
    assert (denied.status_code, denied.json()["code"]) == (403, "scope_missing")
    closed = company.post(f"{path}/close", {"outcome": "accepted"})
    note = company.get(f"/credit-notes/{closed['note_id']}")
    assert (note["net_minor"], note["tax_minor"], note["total_minor"]) == (1_000, 200, 1_200)
    assert company.get(f"/invoices/{paper}")["open_minor"] == 10_800


def test_a_credit_is_given_back_by_a_refund(company: Company) -> None:
    line = company.lines[company.papers["anna", 1]]
    note = company.post(
        "/credit-notes",
        {"reason": "Sorry", "lines": [{"line_id": line, "net_minor": 7_000}]},
        status=201,
    )
    assert (note["total_minor"], note["open_minor"]) == (8_400, 0)  # It pays the second invoice.
    payment = company.get("/payments", customer_id="anna")["data"][0]["payment_id"]
    body = {"payment_id": payment, "amount_minor": 1}
    refused = company.client().post("/v1/refunds", json=body, headers={"Idempotency-Key": "x"})
    assert (refused.status_code, refused.json()["code"]) == (422, "over_refund")
    extra = company.post("/transfers", _transfer(company, 12_000), status=201)
    assert extra["state"] == "captured"
    made = company.post(
        "/credit-notes", {"reason": "Kind", "invoice_id": company.papers["annex", 2]}, status=201
    )
    assert made["open_minor"] == 5_000  # 120.00, of which 70.00 pay the first invoice.
    asked = company.post("/refunds", {"payment_id": extra["payment_id"], "amount_minor": 4_000}, status=201)
    (refund,) = asked["refunds"]
    assert (refund["amount_minor"], refund["note_id"], refund["state"]) == (
        4_000,
        made["note_id"],
        "requested",
    )
    paid = company.post(f"/refunds/{refund['refund_id']}/paid")
    assert (paid["state"], paid["refunded_on"]) == ("refunded", "2025-02-10")
    assert company.get(f"/credit-notes/{made['note_id']}")["open_minor"] == 1_000


def _transfer(company: Company, amount_minor: int) -> dict[str, Any]:
    return {"invoice_id": company.papers["annex", 2], "amount_minor": amount_minor, "bank_ref": "bank-2"}


def test_transfers_are_taken_in_matched_and_taken_back(company: Company) -> None:
    row = {"entity_id": "seller", "received_on": "2025-02-09", "currency": "EUR"}
    number = company.get(f"/invoices/{company.papers['annex', 2]}")["number"]
    rows = [
        row | {"bank_ref": "b1", "amount": "120.00", "reference": number},
        row | {"bank_ref": "b2", "amount": "33.00", "reference": "?"},
        row | {"bank_ref": "b3", "amount": "x"},
    ]
    done = company.post("/transfers/bulk", {"rows": rows})
    assert (done["accepted"], done["duplicate"], done["matched"]) == (2, 0, 1)
    assert [(one["row"], one["code"]) for one in done["rejected"]] == [(2, "bad_decimal")]
    assert company.post("/transfers/bulk", {"rows": rows[:2]})["duplicate"] == 2
    (lost,) = company.get("/transfers", state="unmatched")["data"]
    assert company.get("/transfers", "anna", state="unmatched")["data"] == []
    matched = company.post(f"/transfers/{lost['transfer_id']}/match", {"customer_id": "annex"})
    assert (matched["state"], matched["customer_id"]) == ("matched", "annex")
    assert company.get(f"/invoices/{company.papers['annex', 1]}")["open_minor"] == 3_700
    undone = company.post(f"/transfers/{lost['transfer_id']}/unmatch")
    assert (undone["state"], undone["customer_id"]) == ("unmatched", None)
    assert company.post(f"/transfers/{lost['transfer_id']}/return")["state"] == "returned"
    assert company.get(f"/invoices/{company.papers['annex', 1]}")["open_minor"] == 7_000


def test_a_payment_that_the_bank_takes_back_is_owed_again(company: Company) -> None:
    payment = company.get("/payments", customer_id="anna")["data"][0]["payment_id"]
    body = {"amount_minor": 2_000, "reference": "dp_1"}
    opened_one = company.post(f"/payments/{payment}/disputes", body, status=201)
    assert (opened_one["amount_minor"], opened_one["customer_id"]) == (2_000, "anna")
    assert company.get(f"/invoices/{company.papers['anna', 1]}")["open_minor"] == 2_000
    closed = company.post(f"/disputes/{opened_one['dispute_id']}/close", {"outcome": "won"})
    assert closed["outcome"] == "won"
    assert company.get(f"/invoices/{company.papers['anna', 1]}")["open_minor"] == 0
    assert company.get("/disputes", is_open=True)["data"] == []


def test_a_payout_is_noted_once(company: Company) -> None:
    body = {"entity_id": "seller", "reference": "po_1", "currency": "EUR", "amount_minor": 11_700}
    made = company.post("/payouts", body | {"fee_minor": 300}, status=201)
    assert company.post("/payouts", body | {"fee_minor": 300}, status=201) == made
    assert [row["reference"] for row in company.get("/payouts")["data"]] == ["po_1"]
    assert company.get("/payouts", "anna")["data"] == []
    other = company.client().post("/v1/payouts", json=body, headers={"Idempotency-Key": "x"})
    assert (other.status_code, other.json()["code"]) == (409, "key_conflict")


def test_months_are_closed_and_the_books_agree(company: Company) -> None:
    locked = company.post("/periods/seller/2025-01/lock")
    assert (locked["month"], locked["locked_at"]) == ("2025-01-01", "2025-02-10T12:00:00Z")
    assert [row["month"] for row in company.get("/periods", is_locked=True)["data"]] == ["2025-01-01"]
    assert company.post("/periods/seller/2025-01/unlock")["locked_at"] is None
    books = company.get("/reconciliations/2025-01")
    assert (books["agrees"], books["differences"], books["standing"]) == (True, [], [])
    missing = company.client().post("/v1/periods/none/2025-01/lock")
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_entity")
    bad = company.client().post("/v1/periods/seller/2025-13/lock")
    assert (bad.status_code, bad.json()["code"]) == (400, "bad_parameter")
    posted = company.get("/journal", source_id=company.papers["anna", 1])["data"]
    assert sum(row["debit_minor"] for row in posted) == 12_000
    shapes.Posting.model_validate(posted[0])


def test_a_case_is_shown_with_its_steps(company: Company) -> None:
    (case,) = company.get("/dunning-cases", is_open=True, track="card")["data"]
    shown = company.get(f"/dunning-cases/{case['case_id']}", "zoe")
    assert [(step["kind"], step["due_on"]) for step in shown["steps"]] == [("attempt", "2025-01-03")]
    (queued,) = company.get("/dunning-queue")["data"]
    assert (queued["next_on"], queued["open_minor"]) == ("2025-01-03", 24_000)
    assert company.get("/dunning-queue", "anna")["data"] == []


def test_an_order_that_waits_is_decided_by_who_calls(company: Company) -> None:
    with company.store() as store:
        change_customer(store, NOW, customer_id="zoe", credit_limit_minor=1)
        for _ in range(2):
            with pytest.raises(BillingError, match="over_credit_limit"):
                subscribe(store, NOW, customer_id="zoe", plan_id="basic", subscription_id="more")
    (waiting,) = company.get("/approvals", state="pending", kind="order")["data"]
    assert waiting["details"]["code"] == "over_credit_limit"
    path = f"/approvals/{waiting['approval_id']}"
    denied = company.client("zoe").post(f"/v1{path}/approve", headers={"Idempotency-Key": "x"})
    assert (denied.status_code, denied.json()["code"]) == (403, "scope_missing")
    done = company.post(f"{path}/approve")
    assert (done["state"], done["decided_by"]) == ("approved", "key:merchant")
    again = company.client().post(f"/v1{path}/reject", headers={"Idempotency-Key": "y"})
    assert (again.status_code, again.json()["code"]) == (409, "illegal_transition")
    with company.store() as store:
        asked = select(tables.subscriptions.c.sold_to).where(tables.subscriptions.c.subscription_id == "more")
        assert store.rows(asked) == [{"sold_to": "zoe"}]


def test_who_was_set_aside_is_billed_again(company: Company) -> None:
    with company.store() as store:
        parked = {"customer_id": "zoe", "parked_at": NOW, "parked_code": "no_price", "parked_detail": "basic"}
        store.update(tables.customers, [parked], NOW)
    (row,) = company.get("/parked-customers")["data"]
    assert (row["customer_id"], row["name"], row["code"]) == ("zoe", "Zoe", "no_price")
    assert company.post("/parked-customers/zoe/retry")["is_parked"] is False
    assert company.get("/parked-customers")["data"] == []
    missing = company.client().post("/v1/parked-customers/zoe/retry")
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_customer")


# Ways to pay.


def test_a_card_is_added_by_the_gateways_page(company: Company) -> None:
    page = TestClient(in_front_of(company.app, company.app.state.services.hosted, lambda: NOW))
    started = company.post(
        "/customers/anna/payment-methods/setups",
        {"return_url": "https://shop.example/me"},
        "anna",
        status=201,
    )
    assert started["url"] == f"https://pay.example/simulated-gateway/{started['token']}"
    path = f"/payment-method-setups/{started['setup_id']}"
    early = company.client("anna").post(f"/v1{path}/finish", json={"token": started["token"]})
    assert (early.status_code, early.json()["code"]) == (409, "illegal_transition")
    visit = f"{PATH}/{started['token']}"
    assert "Card number" in page.get(visit).text
    assert "رقم البطاقة" in page.get(visit, headers={"Accept-Language": "ar"}).text
    card = {"number": "4242 4242 4242 4242", "expiry": "05/30"}
    entered = page.post(visit, data=card, follow_redirects=False)
    assert (entered.status_code, entered.headers["location"]) == (303, "https://shop.example/me")
    for who, token in (("zoe", started["token"]), ("anna", "wrong")):
        refused = company.client(who).post(f"/v1{path}/finish", json={"token": token})
        assert (refused.status_code, refused.json()["code"]) == (404, "unknown_setup")
    method = company.post(f"{path}/finish", {"token": started["token"]}, "anna", status=201)
    assert (method["label"], method["is_default"], method["expires_on"]) == (
        "Visa •• 4242",
        True,
        "2030-05-31",
    )
    assert company.post(f"{path}/finish", {"token": started["token"]}, "anna", status=201) == method
    listed = company.get("/customers/anna/payment-methods", "anna")["data"]
    assert [(row["label"], row["is_default"]) for row in listed] == [("Visa •• 4242", True), (None, False)]
    assert company.get(path, "anna") == {
        name: value for name, value in started.items() if name not in ("url", "token", "frame_origin")
    } | {"state": "done", "method_id": method["method_id"]}
    payment = company.post(f"/invoices/{company.papers['anna', 2]}/pay", {}, "anna", status=202)
    assert company.get(f"/payments/{payment['payment_id']}")["method_id"] == method["method_id"]


def test_the_gateway_is_asked_once_for_a_key(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    hosted = company.app.state.services.hosted
    asked: list[str] = []

    def count(name: str, known: Callable[..., Any]) -> None:
        def counted(*given: Any) -> Any:
            asked.append(name)
            return known(*given)

        monkeypatch.setattr(hosted, name, counted)

    count("start", hosted.start)
    count("finish", hosted.finish)
    client = company.client("anna")

    def twice(path: str, body: dict[str, str]) -> list[dict[str, Any]]:
        answers = [client.post(f"/v1{path}", json=body, headers={"Idempotency-Key": path}) for _ in range(2)]
        assert [one.status_code for one in answers] == [201, 201]
        assert answers[1].headers["Idempotent-Replayed"] == "true"
        return [one.json() for one in answers]

    path = "/customers/anna/payment-methods/setups"
    started, again = twice(path, {"return_url": "https://shop.example/me"})
    assert started["setup_id"] == again["setup_id"]
    other = {"return_url": "https://shop.example/other"}
    conflict = client.post(f"/v1{path}", json=other, headers={"Idempotency-Key": path})
    assert conflict.json()["code"] == "key_conflict"
    hosted.enter(started["token"], "4242424242424242", NOW.date().replace(year=2030))
    finished, same = twice(
        f"/payment-method-setups/{started['setup_id']}/finish", {"token": started["token"]}
    )
    assert finished == same
    assert asked == ["start", "finish"]


def test_the_default_changes_and_the_last_way_to_pay_stays(company: Company) -> None:
    (old,) = company.get("/customers/zoe/payment-methods", "zoe")["data"]
    client = company.client("zoe")
    kept = client.delete(f"/v1/payment-methods/{old['method_id']}")
    assert (kept.status_code, kept.json()["code"]) == (409, "illegal_transition")
    for path in (f"/v1/payment-methods/{old['method_id']}", "/v1/payment-methods/none"):
        foreign = company.client("anna").delete(path)
        assert (foreign.status_code, foreign.json()["code"]) == (404, "unknown_method")
    bad = client.patch(f"/v1/payment-methods/{old['method_id']}", json={"is_default": False})
    assert bad.status_code == 422
    same = client.patch(f"/v1/payment-methods/{old['method_id']}", json={"is_default": True})
    assert same.json()["is_default"] is True
