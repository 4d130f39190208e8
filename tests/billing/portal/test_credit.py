"""Credit of a customer: what there is, until when, what it went to, and balance bought by paying now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from urllib.parse import urlencode

import pytest
from portal_world import Hands, Post
from sqlalchemy import select, text
from visitor import Browser, Page

from billing.jobs.bill_run import bill
from billing.reads.scope import everything
from billing.reads.wallets import balance, ledger
from billing.service.customers import add_payment_method
from billing.service.portal_settings import set_portal_task
from billing.service.portal_users import change_user
from billing.service.subscriptions import change_quantity
from billing.service.wallets import grant, open_wallet, top_up
from billing.service.write_offs import write_off
from billing.store.store import open_store
from billing.store.tables import invoices, payments

AsUser = Callable[[str], Browser]
TOP_UP = "/credit/w_acme/top-up"


@pytest.fixture(autouse=True)
def _wallets(url: str, clock: Hands) -> None:
    """40.00 given until 30 April. 17 seats more for 21 of 31 days cost 60.46 with tax: a note pays 29.75 of
    them, the wallet 30.71; a wallet that is not for sale."""
    with open_store(url) as store, store.acting_as("test"):
        for wallet_id, product_id in (("w_acme", "goods"), ("w_gift", None)):
            open_wallet(
                store,
                clock(),
                customer_id="acme",
                name=wallet_id.title(),
                product_id=product_id,
                wallet_id=wallet_id,
            )
        given = {"amount": "40", "reason": "welcome", "expires_on": date(2025, 5, 1)}
        grant(store, clock(), wallet_id="w_acme", **given)
        change_quantity(store, clock(), subscription_id="sub_acme", quantity=20)
        bill(store, clock(), up_to=clock().date())


def _text(page: Page) -> str:
    return " ".join("".join(one for one in page.text if one not in "\u2066\u2068\u2069").split())


def test_a_wallet_shows_what_is_in_it_until_when_and_what_it_went_to(as_user: AsUser) -> None:
    page = as_user("sara").page("/credit")
    text = _text(page)
    assert "W_Acme€9.29" in text
    assert "Of this, €9.29 can be used until April 30, 2025." in text
    assert text.index("Paid a part of an invoice W_Acme") < text.index("Given by your seller W_Acme")
    assert "−€30.71" in text
    assert "Credit notes and payments not used yet" not in text
    assert any(link.startswith("/portal/invoices/inv") for link in page.links)
    assert [link for link in page.links if link.endswith("/top-up")] == [f"/portal{TOP_UP}"]


def test_the_ledger_is_read_in_pages_and_adds_up_to_the_balances(url: str, clock: Hands) -> None:
    with open_store(url) as store:
        after, rows = None, []
        while True:
            found = ledger(store, everything(), customer_id="acme", after=after, limit=1)
            rows += found.rows
            after = found.after
            if after is None:
                break
        left = balance(store, everything(), wallet_id="w_acme", on=clock().date())
    assert left is not None
    assert sum(row["amount_minor"] for row in rows if row["wallet"]) == left.minor == 929
    assert len({row["entry_id"] for row in rows}) == len(rows)
    assert [row["recorded_at"] for row in rows] == sorted((row["recorded_at"] for row in rows), reverse=True)


@pytest.mark.parametrize(
    "moment", ["x", "2025-01-01", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]
)
def test_a_page_of_the_ledger_that_cannot_be_is_refused(as_user: AsUser, moment: str) -> None:
    asked = urlencode({"after": f"{moment}~entry"})
    assert as_user("sara").get(f"/credit?{asked}").status_code == 400


def test_what_was_bought_and_written_off_is_not_called_bought(
    as_user: AsUser, url: str, clock: Hands
) -> None:
    with open_store(url) as store, store.acting_as("test"):
        write_off(store, clock(), invoice_id=top_up(store, clock(), wallet_id="w_acme", amount="10"))
    text = _text(as_user("sara").page("/credit"))
    assert "Bought, not paid yet W_Acme" in text
    assert "Bought W_Acme" not in text


def test_balance_is_bought_once_on_the_figures_that_were_shown(
    as_user: AsUser, url: str, post: Post, clock: Hands
) -> None:
    """50.00 and 19 % tax are charged at once; the same form sent again buys nothing more."""
    browser = as_user("sara")
    form = browser.page(f"{TOP_UP}?amount=50").form("/top-up")
    answers = [browser.send(form) for _ in range(2)]
    assert len({str(one.url) for one in answers}) == 1, "the same receipt"
    with open_store(url) as store:
        bought = store.rows(select(invoices).where(invoices.c.kind == "top_up"))
        left = balance(store, everything(), wallet_id="w_acme", on=clock().date())
    assert [(one["total_minor"], one["customer_id"]) for one in bought] == [(5950, "acme")]
    is_paid = bought[0]["state"] == "paid"
    assert left is not None
    assert left.minor == (5929 if is_paid else 929)
    told = "can be used at once" if is_paid else "once the invoice is paid"
    assert told in answers[0].text
    assert ["€59.50" in letter.text for letter in post.letters] == [True]


def test_other_figures_than_those_shown_buy_nothing(as_user: AsUser, url: str) -> None:
    browser = as_user("sara")
    form = browser.page(f"{TOP_UP}?amount=50").form("/top-up")
    answer = browser.send(form, amount="60")
    assert answer.status_code == 422
    assert "The figures have changed" in answer.text
    with open_store(url) as store:
        assert store.rows(select(invoices).where(invoices.c.kind == "top_up")) == []


def test_another_way_to_pay_than_the_one_shown_is_not_charged(
    as_user: AsUser, url: str, clock: Hands
) -> None:
    browser = as_user("sara")
    form = browser.page(f"{TOP_UP}?amount=50").form("/top-up")
    with open_store(url) as store, store.acting_as("test"):
        add_payment_method(
            store, clock(), customer_id="acme", gateway_ref="tok", method_id="pm_new", is_default=True
        )
    answer = browser.send(form)
    assert answer.status_code == 422
    with open_store(url) as store:
        assert store.rows(select(invoices).where(invoices.c.kind == "top_up")) == []
    browser.send(Page(answer.text).form("/top-up"))
    with open_store(url) as store:
        (bought,) = store.rows(select(invoices).where(invoices.c.kind == "top_up"))
        charged = store.rows(select(payments).where(payments.c.invoice_id == bought["invoice_id"]))
    assert [one["method_id"] for one in charged] == ["pm_new"]


@pytest.mark.parametrize("is_limited", [True, False])
def test_a_wallet_of_an_earlier_currency_is_bought_in_its_own_and_no_limit_knows_it(
    as_user: AsUser, url: str, clock: Hands, users: dict[str, str], is_limited: bool
) -> None:
    """A limit of 100.000 dinars says nothing of euros, whose cents are read as such."""
    with open_store(url) as store, store.acting_as("test"):
        change_user(store, clock(), user_id=users["sara"], limit_minor=100_00 if is_limited else None)
        store.execute(text("UPDATE customers SET currency = 'KWD' WHERE customer_id = 'acme'"))
    page = as_user("sara").page(f"{TOP_UP}?amount=1.5")
    if is_limited:
        assert "An approver of your company has to agree" in page.text
    else:
        assert "€1.79" in _text(page)
        assert "too many" in as_user("sara").page(f"{TOP_UP}?amount=1.555").text


@pytest.mark.parametrize(
    ("amount", "said"),
    [("1000", "An approver of your company has to agree"), ("x", "This is no number"), ("1.005", "too many")],
)
def test_an_amount_that_cannot_be_is_said_so(as_user: AsUser, amount: str, said: str) -> None:
    """sara orders alone up to 100.00."""
    page = as_user("sara").page(f"{TOP_UP}?amount={amount}")
    assert said in page.text
    assert not [one for one in page.forms if one.action.endswith("/top-up") and one.method == "post"]


def test_who_may_not_buy_and_what_is_not_for_sale_is_refused(as_user: AsUser, url: str, clock: Hands) -> None:
    assert as_user("lina").get(TOP_UP).status_code == 403
    sara = as_user("sara")
    assert sara.get("/credit/w_gift/top-up").status_code == 404
    with open_store(url) as store:
        set_portal_task(store, clock(), name="top_up", is_open=False)
    assert sara.get(TOP_UP).status_code == 403
    assert not [link for link in sara.page("/credit").links if link.endswith("/top-up")]
