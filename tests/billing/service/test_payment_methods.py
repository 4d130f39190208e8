"""Which way to pay is the default, which ends, and those a customer adds on the gateway's page."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from sqlalchemy import select

from billing.core.money import BillingError
from billing.gateways.gateway import Charge
from billing.gateways.hosted import Finished
from billing.gateways.hosted_simulated import SimulatedFields, page
from billing.gateways.simulated import SimulatedGateway
from billing.service.catalog import create_legal_entity
from billing.service.customers import add_payment_method, create_customer
from billing.service.payment_methods import (
    finish_setup,
    hash_of,
    remove_payment_method,
    set_default_method,
    start_setup,
)
from billing.store import tables
from billing.store.store import Store

AT = datetime(2025, 1, 1, 8, tzinfo=UTC)


@pytest.fixture
def anna(sqlite_store: Store) -> Store:
    """A store with a customer, anna."""
    create_legal_entity(sqlite_store, AT, entity_id="seller", name="Seller GmbH", country="DE")
    about: dict[str, Any] = {"name": "Anna", "entity_id": "seller", "currency": "EUR", "country": "DE"}
    create_customer(sqlite_store, AT, customer_id="anna", **about)
    return sqlite_store


def add(store: Store, ref: str, **named: Any) -> str:
    return add_payment_method(store, AT, customer_id="anna", gateway_ref=ref, **named)


def methods(store: Store) -> dict[str, tuple[bool, date | None]]:
    rows = store.rows(select(tables.payment_methods))
    return {row["gateway_ref"]: (row["is_default"], row["valid_to"]) for row in rows}


def test_another_default_leaves_the_one_before_on_file(anna: Store) -> None:
    add(anna, "old")
    new = add(anna, "new", is_default=False)
    set_default_method(anna, AT, method_id=new)
    assert methods(anna) == {"old": (False, None), "new": (True, None)}
    set_default_method(anna, AT, method_id=new)
    expired = add(anna, "expired", is_default=False, expires_on=date(2024, 12, 31))
    with pytest.raises(BillingError, match="illegal_transition"):
        set_default_method(anna, AT, method_id=expired)
    with pytest.raises(BillingError, match="unknown_method"):
        set_default_method(anna, AT, method_id="none")


def test_a_method_ends_unless_it_is_the_one_that_is_charged(anna: Store) -> None:
    first, second = add(anna, "first"), add(anna, "second", is_default=False)
    with pytest.raises(BillingError, match="make another one so first"):
        remove_payment_method(anna, AT, method_id=first)
    set_default_method(anna, AT, method_id=second)
    remove_payment_method(anna, AT, method_id=first)
    assert methods(anna)["first"] == (False, date(2025, 1, 1))
    for act in (remove_payment_method, set_default_method):
        with pytest.raises(BillingError, match="unknown_method"):
            act(anna, AT, method_id=first)
    open_paper = {"entity_id": "seller", "customer_id": "anna", "currency": "EUR", "state": "open"}
    amounts = {"net_minor": 1, "tax_minor": 0, "total_minor": 1}
    anna.insert(tables.invoices, [{"invoice_id": "paper"} | open_paper | amounts], AT)
    with pytest.raises(BillingError, match="charged automatically"):
        remove_payment_method(anna, AT, method_id=second)
    anna.update(tables.invoices, [{"invoice_id": "paper", "state": "paid"}], AT)
    remove_payment_method(anna, AT, method_id=second)
    assert not any(is_default for is_default, _ in methods(anna).values())


def test_a_setup_becomes_a_method_once(anna: Store) -> None:
    add(anna, "old")
    card = Finished("new", "card", "Visa •• 4242", date(2030, 5, 31))
    about: dict[str, Any] = {"customer_id": "anna", "token_hash": hash_of("t")}
    about["expires_at"] = AT + timedelta(minutes=30)
    start_setup(anna, AT, setup_id="one", **about)
    method_id = finish_setup(anna, AT, setup_id="one", finished=card)
    assert finish_setup(anna, AT, setup_id="one", finished=card) == method_id
    assert methods(anna) == {"old": (False, None), "new": (True, None)}
    (row,) = anna.rows(select(tables.payment_methods).where(tables.payment_methods.c.method_id == method_id))
    assert (row["label"], row["expires_on"], row["kind"]) == ("Visa •• 4242", date(2030, 5, 31), "card")
    start_setup(anna, AT, setup_id="two", **about)
    with pytest.raises(BillingError, match="illegal_transition"):
        finish_setup(anna, AT + timedelta(hours=1), setup_id="two", finished=card)
    with pytest.raises(BillingError, match="unknown_setup"):
        finish_setup(anna, AT, setup_id="none", finished=card)
    with pytest.raises(BillingError, match="unknown_customer"):
        start_setup(anna, AT, setup_id="three", **about | {"customer_id": "nobody"})
    kept = str(anna.rows(select(tables.audit_log.c.arguments)))
    assert '"gateway_ref": "***"' in kept
    assert '"new"' not in kept


# The page of the simulated gateway.

Answer = tuple[int, dict[str, str], str]


def ask(fields: SimulatedFields, path: str, form: str | None = None, *, now: datetime = AT) -> Answer:
    """A request of the page: status, headers and body."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": (form or "").encode()}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET" if form is None else "POST",
        "path": path,
        "headers": [],
    }
    anyio.run(page(fields, lambda: now), scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"].decode()


def test_a_card_is_entered_on_the_page_and_nowhere_else() -> None:
    fields = SimulatedFields("https://pay.example")
    start = fields.start("one", "anna", "https://shop.example/back?x=1", AT)
    assert start.url == f"https://pay.example/simulated-gateway/{start.token}"
    assert fields.finish(start.token, AT) is None
    status, headers, body = ask(fields, f"/{start.token}")
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert "form-action 'self' https://shop.example;" in headers["content-security-policy"]
    assert "<script" not in body
    form = f"number={quote('4000 0000 0000 0002')}&expiry={quote('05/30')}"
    status, headers, _ = ask(fields, f"/{start.token}", form)
    assert (status, headers["location"]) == (303, "https://shop.example/back?x=1")
    found = fields.finish(start.token, AT)
    assert found is not None
    assert (found.kind, found.label, found.expires_on) == ("card", "Visa •• 0002", date(2030, 5, 31))
    assert fields.finish(start.token, AT) == found
    charge = Charge("pay/1", "anna", found.gateway_ref, 100, "EUR", 1, AT.date())
    assert SimulatedGateway().charge(charge) == ("declined", "do_not_honor", None, 0)


@pytest.mark.parametrize(
    ("number", "expiry", "problem"),
    [
        ("4111111111111111", "05/30", "number-problem"),
        ("<script>", "05/30", "number-problem"),
        ("4242424242424242", "12/24", "expiry-problem"),
        ("4242424242424242", "13/30", "expiry-problem"),
        ("", "", "number-problem"),
    ],
)
def test_what_is_no_test_card_is_asked_for_again(number: str, expiry: str, problem: str) -> None:
    fields = SimulatedFields("https://pay.example")
    token = fields.start("one", "anna", "https://shop.example", AT).token
    status, _, body = ask(fields, f"/{token}", f"number={quote(number)}&expiry={quote(expiry)}")
    assert (status, problem in body, "<script" in body) == (422, True, False)
    assert fields.finish(token, AT) is None


def test_a_page_that_is_over_or_never_was_is_not_there(tmp_path: Any) -> None:
    fields = SimulatedFields("https://pay.example", books=tmp_path / "visits.db")
    token = fields.start("one", "anna", "https://shop.example", AT).token
    assert ask(fields, f"/{token}", now=AT + timedelta(minutes=31))[0] == 404
    assert ask(fields, "/other")[0] == 404
    assert ask(SimulatedFields("https://pay.example", books=tmp_path / "visits.db"), f"/{token}")[0] == 200
    for bad in ("javascript:alert(1)", "//shop.example", "https://", "https://shop.example/\nx"):
        with pytest.raises(BillingError, match="unknown_setting"):
            fields.start("two", "anna", bad, AT)
    assert ask(fields, f"/{token}", "number=" + "4" * 10_000)[0] == 422
    assert ask(fields, f"/{token}", "&".join(f"number{n}=4" for n in range(11)))[0] == 400
