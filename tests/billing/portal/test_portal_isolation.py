"""Nobody reaches what is another customer's: by any address, by what a list holds, or by a link."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from portal_world import NOW, Hands
from sqlalchemy import select
from visitor import Browser

from billing.service.credit_notes import issue_credit_note
from billing.service.portal_sessions import hash_of, session_of
from billing.service.purchase_requests import ask_for_approval
from billing.service.wallets import open_wallet
from billing.store.store import Store, open_store
from billing.store.tables import (
    command_keys,
    contacts,
    credit_notes,
    invoices,
    payment_methods,
    portal_users,
    purchase_orders,
    purchase_requests,
    subscriptions,
    wallet_grants,
    wallets,
)
from billing.web.forms import token_of

AsUser = Callable[[str], Browser]
RECEIPT = "receipt_of_beta"
CLOSED = {None: ("/requests/",), "omar": ("/users/",)}
"""Paths that these may not open at all, whosever they are; of the others any may be such."""
TABLES = (
    contacts,
    credit_notes,
    invoices,
    payment_methods,
    portal_users,
    purchase_orders,
    purchase_requests,
    subscriptions,
    wallet_grants,
    wallets,
)


def _ids_of_beta(store: Store, users: dict[str, str]) -> dict[str, str]:
    """An id of beta's for each name that a path may hold."""

    def one(table: Any, name: str) -> str:
        return str(store.rows(select(table).where(table.c.customer_id == "beta"))[0][name])

    asked = ask_for_approval(
        store,
        NOW,
        customer_id="beta",
        asked_by=users["bob"],
        act="change_quantity",
        arguments={"subscription_id": "sub_beta", "quantity": "4"},
        due_now_minor=1,
        yearly_minor=1,
        currency="EUR",
        preview_hash="x",
    )
    invoice_id = one(invoices, "invoice_id")
    issue_credit_note(store, NOW, reason="goodwill", invoice_id=invoice_id)
    open_wallet(store, NOW, customer_id="beta", name="Beta", product_id="goods", wallet_id="w_beta")
    answer = '{"act": "cancel", "subscription_id": "sub_beta"}'
    kept = {"caller": f"user:{users['bob']}", "key": RECEIPT, "request_hash": "x", "response": answer}
    store.insert(command_keys, [kept], NOW)
    return {
        "subscription_id": "sub_beta",
        "invoice_id": invoice_id,
        "note_id": str(
            store.rows(select(credit_notes).where(credit_notes.c.invoice_id == invoice_id))[0]["note_id"]
        ),
        "method_id": "pm_beta",
        "po_id": one(purchase_orders, "po_id"),
        "contact_id": one(contacts, "contact_id"),
        "user_id": users["bob"],
        "request_id": asked,
        "wallet_id": "w_beta",
        "key": RECEIPT,
    }


def _rows(url: str) -> dict[str, list[Any]]:
    with open_store(url) as store:
        return {table.name: store.rows(select(table)) for table in TABLES}


def _routes(browser: Browser) -> list[tuple[str, str, str | None]]:
    """Method, path and form of each route that asks for a session."""
    made = browser.app.router.routes
    return [
        ("POST" if one.rule.form else "GET", one.path.removeprefix("/portal"), one.rule.form)  # type: ignore[attr-defined]
        for one in made
        if hasattr(one, "rule")
    ]


def _deed(browser: Browser, path: str, form: str, **fields: str) -> int:
    """Send a form with the token that is right for it."""
    desk = browser.app.state.desk
    with desk.services.stores.look() as store:
        session = session_of(store, desk.services.clock(), hash_of(browser.cookies["tajdid_portal"]))
    assert session is not None
    told = {"csrf": token_of(session.csrf_seed, form)} | fields
    return browser.request("POST", path, data=told, headers={"origin": "http://portal.test"}).status_code


@pytest.fixture
def ids(url: str, users: dict[str, str]) -> dict[str, str]:
    with open_store(url) as store, store.acting_as("test"):
        return _ids_of_beta(store, users)


@pytest.mark.parametrize("name", [None, "sara", "omar", "lina"])
def test_no_address_leads_to_another_customer(
    visits: Callable[[], Browser], url: str, ids: dict[str, str], name: str | None
) -> None:
    browser = visits()
    browser.sign_in(name)
    before, walked = _rows(url), set()
    fields = {"plan": "pro", "quantity": "9", "until": "2025-05-01", "reason": "other", "answer": "approve"}
    fields |= {"name": "x", "role": "approver", "key": "k" * 20, "preview": "x", "customer_id": "beta"}
    for method, path, form in _routes(browser):
        named = re.findall(r"{(\w+)}", path)
        if not named:
            continue
        walked.update(named)
        there = path.format_map(ids)
        status = browser.get(there).status_code if form is None else _deed(browser, there, form, **fields)
        is_closed = any(part in path for part in CLOSED.get(name, ("/",)))
        assert status == 404 or (status == 403 and is_closed), (method, path, status)
    assert walked == set(ids), "each id that a path may hold is tried"
    assert _rows(url) == before


@pytest.mark.parametrize("name", [None, "sara", "omar", "lina"])
def test_no_list_and_no_parameter_shows_another_customer(
    visits: Callable[[], Browser], ids: dict[str, str], name: str | None
) -> None:
    browser = visits()
    browser.sign_in(name)
    for method, path, _form in _routes(browser):
        if method != "GET" or "{" in path or path == "/methods/done":
            continue
        for query in (
            "",
            "customer_id=beta",
            "after=beta",
            f"before={ids['user_id']}",
            "number=2025-0000003",
        ):
            text = browser.get(f"{path}?{query}").text.replace(query, "")
            found = [one for one in (*ids.values(), "bob@beta", "ann@beta", "PO-beta") if one in text]
            assert not found, (path, query, found)


@pytest.mark.parametrize("task", ["change_plan", "change_seats", "pause", "cancel", "pay", "top_up"])
def test_a_link_to_what_is_anothers_opens_nothing(
    visits: Callable[[], Browser], ids: dict[str, str], task: str
) -> None:
    browser = visits()
    target = ids[{"pay": "invoice_id", "top_up": "wallet_id"}.get(task, "subscription_id")]
    assert browser.follow_link(browser.link(task=task, target=target)).status_code == 404


def test_fields_of_a_form_name_no_other_customer(as_user: AsUser, url: str, clock: Hands) -> None:
    """What a form is about is who is signed in, whatever it says itself."""
    lina, sara = as_user("lina"), as_user("sara")
    assert _deed(sara, "/details/name", "name", name="New", locale="en", customer_id="beta") == 303
    invited = {"email": "eve@x.example", "name": "Eve", "role": "viewer", "customer_id": "beta"}
    assert _deed(lina, "/users", "invite", **invited, sees_children="on") == 303
    with open_store(url) as store:
        (eve,) = store.rows(select(portal_users).where(portal_users.c.email == "eve@x.example"))
    assert (eve["customer_id"], eve["sees_children"]) == ("acme", False)
