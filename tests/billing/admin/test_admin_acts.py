"""What cannot be undone shows what it does in money, asks for the name, and does just that or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from admin_world import NOW
from sqlalchemy import func, select
from starlette.testclient import TestClient
from test_admin_screens import approval_of, invoice_of, payment_of, plain

from billing.service.credit_notes import issue_credit_note
from billing.service.write_offs import write_off
from billing.store import tables
from billing.store.store import Store
from billing.store.tables import approvals, customers, invoices, subscriptions, wallets

Screens = Callable[..., TestClient]


def count(store: Store, table: object) -> int:
    row = store.row(select(func.count().label("rows")).select_from(table))  # type: ignore[arg-type]
    return int(row["rows"]) if row else 0


def fields_of(html: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that does an act."""
    form = next(
        one
        for one in re.findall(r"<form.*?</form>", html, re.S)
        if f'action="{action}"' in one and "shown" in one
    )
    return {name: unescape(value) for name, value in re.findall(r'name="([^"]+)" value="([^"]*)"', form)}


def confirmed(browser: TestClient, act: str, key: str, typed: str, **answers: str) -> object:
    """Look at what an act does, and do it."""
    address = f"/admin/acts/{act}/{key}"
    page = browser.get(address, params=answers)
    assert page.status_code == 200, plain(page.text)[-800:]
    return browser.post(address, data=fields_of(page.text, address) | {"typed": typed})


def number_of(store: Store, invoice_id: str) -> str:
    row = store.row(select(invoices.c.number).where(invoices.c.invoice_id == invoice_id))
    assert row is not None
    return str(row["number"])


def state_of(store: Store, invoice_id: str) -> str:
    row = store.row(select(invoices.c.state).where(invoices.c.invoice_id == invoice_id))
    assert row is not None
    return str(row["state"])


def test_a_void_asks_for_its_reason_then_shows_the_credit_and_voids(screens: Screens, store: Store) -> None:
    browser, key = screens("mia"), invoice_of(store, "bert")
    asked = browser.get(f"/admin/acts/void/{key}").text
    assert "Show what it does" in asked
    assert 'name="typed"' not in asked
    shown = plain(browser.get(f"/admin/acts/void/{key}", params={"reason": "wrong"}).text)
    assert re.search(r"Credit notes issued\s+€23\.80", shown)
    assert re.search(r"Account: Receivables\s+-€23\.80", shown)
    assert state_of(store, key) == "open"
    answer = confirmed(browser, "void", key, number_of(store, key), reason="wrong")
    assert answer.headers["location"] == f"/admin/invoices/{key}?done=void"
    assert state_of(store, key) == "void"
    assert "Done: Void an invoice" in browser.get(answer.headers["location"]).text


def test_what_was_typed_has_to_be_the_name(screens: Screens, store: Store) -> None:
    browser, key = screens("mia"), invoice_of(store, "bert")
    for typed in ("", "yes", number_of(store, key).lower() + "x"):
        answer = confirmed(browser, "write-off", key, typed, reason="lost")
        assert answer.status_code == 422
        assert "not_confirmed" in answer.text
    assert state_of(store, key) == "open"
    # The page that says so is good to go on with.
    address = f"/admin/acts/write-off/{key}"
    fields = fields_of(answer.text, address) | {"typed": number_of(store, key)}
    assert browser.post(address, data=fields).status_code == 303
    assert state_of(store, key) == "uncollectible"


def test_nothing_is_done_that_would_do_something_else_than_was_shown(screens: Screens, store: Store) -> None:
    browser, key = screens("mia"), invoice_of(store, "bert")
    address = f"/admin/acts/write-off/{key}"
    fields = fields_of(browser.get(address, params={"reason": "lost"}).text, address)
    line = store.row(select(tables.line_items.c.line_id).where(tables.line_items.c.invoice_id == key))
    assert line is not None
    issue_credit_note(store, NOW, reason="a gift", lines=[(line["line_id"], 100)])
    answer = browser.post(address, data=fields | {"typed": number_of(store, key)})
    assert answer.status_code == 422
    assert "preview_changed" in answer.text
    assert state_of(store, key) == "open"
    # Looked at again, it is done.
    again = confirmed(browser, "write-off", key, number_of(store, key), reason="lost")
    assert again.status_code == 303
    assert state_of(store, key) == "uncollectible"


def test_the_answers_belong_to_what_was_shown(screens: Screens, store: Store) -> None:
    browser, key = screens("mia"), invoice_of(store, "bert")
    address = f"/admin/acts/write-off/{key}"
    fields = fields_of(browser.get(address, params={"reason": "lost"}).text, address)
    answer = browser.post(address, data=fields | {"typed": number_of(store, key), "reason": "another"})
    assert "preview_changed" in answer.text
    assert state_of(store, key) == "open"


def test_a_form_of_another_session_or_site_or_act_does_nothing(screens: Screens, store: Store) -> None:
    browser, key = screens("mia"), invoice_of(store, "bert")
    address = f"/admin/acts/void/{key}"
    fields = fields_of(browser.get(address, params={"reason": "wrong"}).text, address)
    fields |= {"typed": number_of(store, key)}
    attempts = [
        browser.post(address, data={name: one for name, one in fields.items() if name != "csrf"}),
        browser.post(address, data=fields | {"csrf": "0" * 64}),
        browser.post(address, data=fields, headers={"Origin": "https://evil.example"}),
        browser.post(address, data=fields, headers={"Sec-Fetch-Site": "cross-site"}),
        browser.post(address.replace("void", "write-off"), data=fields),
    ]
    other = screens("mia")
    other.cookies.set("tajdid_session", "token-finn")
    assert other.post(address, data=fields).status_code == 403
    assert {answer.status_code for answer in attempts} == {403}
    assert state_of(store, key) == "open"


def test_a_write_off_is_taken_back(screens: Screens, store: Store) -> None:
    key = invoice_of(store, "bert")
    write_off(store, NOW, invoice_id=key)
    answer = confirmed(screens("mia"), "reinstate", key, number_of(store, key), reason="they paid")
    assert answer.status_code == 303
    assert state_of(store, key) == "open"


def test_a_refund_gives_back_what_was_shown_and_no_more_than_there_is(screens: Screens, store: Store) -> None:
    browser, key = screens("mia"), payment_of(store)
    refused = browser.get(f"/admin/acts/refund/{key}", params={"amount": "5"})
    assert refused.status_code == 422
    assert "over_refund" in refused.text
    line = store.row(
        select(tables.line_items.c.line_id).where(tables.line_items.c.customer_id == "anna").limit(1)
    )
    assert line is not None
    issue_credit_note(store, NOW, reason="a gift", lines=[(line["line_id"], 500)])
    shown = plain(browser.get(f"/admin/acts/refund/{key}", params={"amount": "3.50"}).text)
    assert re.search(r"Given back to the customer\s+€3\.50", shown)
    assert count(store, tables.refunds) == 0
    confirmed(browser, "refund", key, key, amount="3.50")
    assert [row["amount_minor"] for row in store.rows(select(tables.refunds))] == [350]
    for amount in ("abc", "1.234", "0"):
        assert browser.get(f"/admin/acts/refund/{key}", params={"amount": amount}).status_code == 422


def test_a_subscription_ends_today_with_the_credit_that_was_shown(screens: Screens, store: Store) -> None:
    browser = screens("mia")
    page = plain(browser.get("/admin/acts/cancel-now/sub-anna").text)
    assert "What it does" in page
    answer = confirmed(browser, "cancel-now", "sub-anna", "sub-anna")
    assert answer.status_code == 303
    row = store.row(select(subscriptions.c.status).where(subscriptions.c.subscription_id == "sub-anna"))
    assert row is not None
    assert row["status"] == "canceled"


def test_a_wallet_is_closed_and_what_was_given_is_gone(screens: Screens, store: Store) -> None:
    answer = confirmed(screens("mia"), "close-wallet", "wal-anna", "Goodwill")
    assert answer.headers["location"] == "/admin/customers/anna?done=close-wallet"
    row = store.row(select(wallets.c.closed_on))
    assert row is not None
    assert row["closed_on"] == NOW.date()


def test_a_month_is_closed_by_its_name(screens: Screens, store: Store) -> None:
    answer = confirmed(screens("mia"), "lock-month", "seller:2024-12", "seller 2024-12")
    assert answer.status_code == 303
    assert count(store, tables.accounting_periods) == 1
    refused = screens("mia").get("/admin/acts/lock-month/seller:2025-01")
    assert "illegal_transition" in refused.text


def test_a_customer_set_aside_is_billed_once_it_is_mended(screens: Screens, store: Store) -> None:
    from datetime import date

    from billing.service.catalog import add_tax_rate

    browser = screens("finn")
    (last,) = re.findall(r"run_\w+", plain(browser.get("/admin/").text))
    before = plain(browser.get("/admin/acts/retry/carl").text)
    assert "No document is issued" in before
    add_tax_rate(store, NOW, country="AT", tax_rate_ppm=200_000, valid_from=date(2000, 1, 1))
    after = plain(browser.get("/admin/acts/retry/carl").text)
    assert re.search(r"Invoices issued\s+€24\.00", after)
    assert confirmed(browser, "retry", "carl", "Carl in Austria").status_code == 303
    row = store.row(select(customers.c.parked_at).where(customers.c.customer_id == "carl"))
    assert row is not None
    assert row["parked_at"] is None
    assert state_of(store, invoice_of(store, "carl")) == "open"
    entry = store.row(select(tables.audit_log.c.actor).where(tables.audit_log.c.act == "retry"))
    assert entry is not None
    assert entry["actor"] == "staff:finn"
    # The last bill run is the last that billed everybody.
    assert re.findall(r"run_\w+", plain(browser.get("/admin/").text)) == [last]


@pytest.mark.parametrize(("act", "state", "held"), [("approve", "approved", 2), ("reject", "rejected", 1)])
def test_an_order_over_the_limit_is_decided_by_name(
    screens: Screens, store: Store, act: str, state: str, held: int
) -> None:
    key = approval_of(store)
    assert confirmed(screens("finn"), act, key, key).status_code == 303
    row = store.row(select(approvals.c.state, approvals.c.decided_by))
    assert row == {"state": state, "decided_by": "staff:finn"}
    of_dora = select(subscriptions).where(subscriptions.c.sold_to == "dora")
    assert len(store.rows(of_dora)) == held - 1


def test_a_key_is_taken_back_after_its_calls_were_counted(screens: Screens, store: Store) -> None:
    assert "Calls in the last seven days" in plain(screens("mia").get("/admin/acts/revoke-key/key-1").text)
    assert screens("finn").get("/admin/acts/revoke-key/key-1").status_code == 403
    assert confirmed(screens("mia"), "revoke-key", "key-1", "For tests").status_code == 303
    row = store.row(select(tables.api_keys.c.revoked_at))
    assert row is not None
    assert row["revoked_at"] == NOW


def test_an_endpoint_is_removed_and_gone_from_the_list(screens: Screens) -> None:
    browser = screens("mia")
    assert "https://hooks.example/in" in browser.get("/admin/webhooks").text
    assert confirmed(browser, "remove-endpoint", "we-1", "we-1").status_code == 303
    assert "https://hooks.example/in" not in browser.get("/admin/webhooks").text


def test_two_who_confirm_the_same_at_once_do_it_once(screens: Screens, store: Store) -> None:
    from concurrent.futures import ThreadPoolExecutor

    browser, key = screens("mia"), invoice_of(store, "bert")
    address = f"/admin/acts/write-off/{key}"
    fields = fields_of(browser.get(address, params={"reason": "lost"}).text, address)
    fields |= {"typed": number_of(store, key)}
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: screens("mia").post(address, data=fields), range(4)))
    assert sorted(answer.status_code for answer in answers) == [303, 422, 422, 422]
    assert count(store, tables.write_offs) == 1
