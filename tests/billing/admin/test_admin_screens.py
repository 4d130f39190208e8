"""Every screen shows what is there, to those who may see it, in both languages."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from admin_world import SPITEFUL
from babel.messages.pofile import read_po
from sqlalchemy import select
from starlette.testclient import TestClient

from billing.admin import naming
from billing.admin.app import CHANGES, PAGES
from billing.core import dunning, pricing, refusals
from billing.service import carried_orders
from billing.store import tables
from billing.store.store import Store
from billing.web.extract import messages
from billing.web.languages import catalogue, words
from billing.web.pages import POLICY

Screens = Callable[..., TestClient]
OF = {"customers": "anna", "subscriptions": "sub-anna", "catalogue": "basic", "webhooks": "we-1"}


def invoice_of(store: Store, customer_id: str) -> str:
    row = store.row(select(tables.invoices.c.invoice_id).where(tables.invoices.c.customer_id == customer_id))
    assert row is not None
    return str(row["invoice_id"])


def price_of(store: Store, model: str) -> str:
    row = store.row(select(tables.prices.c.price_id).where(tables.prices.c.model == model).limit(1))
    assert row is not None
    return str(row["price_id"])


def approval_of(store: Store) -> str:
    row = store.row(select(tables.approvals.c.approval_id))
    assert row is not None
    return str(row["approval_id"])


def payment_of(store: Store) -> str:
    row = store.row(select(tables.payments.c.payment_id).where(tables.payments.c.state == "captured"))
    assert row is not None
    return str(row["payment_id"])


def addresses(store: Store) -> list[str]:
    """Every page, filled with something that is there."""
    keys = OF | {"invoices": invoice_of(store, "bert"), "prices": price_of(store, "graduated")}
    acts = {
        "void": keys["invoices"],
        "write-off": keys["invoices"],
        "refund": payment_of(store),
        "cancel-now": "sub-anna",
        "close-wallet": "wal-anna",
        "lock-month": "seller:2024-12",
        "retry": "carl",
        "revoke-key": "key-1",
        "remove-endpoint": "we-1",
        "approve": approval_of(store),
        "reject": approval_of(store),
    }
    found = []
    for path in PAGES:
        if path.startswith("/acts"):
            found += [f"/admin/acts/{act}/{key}" for act, key in acts.items()]
        else:
            first = path.split("/")[1]
            found.append("/admin" + path.replace("{key}", keys.get(first, "")))
    return found


def plain(html: str) -> str:
    """The words of a page, without the signs that keep directions apart."""
    words = unescape(re.sub(r"<[^>]+>", " ", html))
    return re.sub("[\u2066-\u2069\u200e\u200f]", "", words).replace("\u2212", "-")


@pytest.mark.parametrize("language", ["en", "ar"])
def test_every_page_answers_in_both_languages_and_loads_nothing_from_elsewhere(
    screens: Screens, store: Store, language: str
) -> None:
    browser = screens("mia", language)
    for address in addresses(store):
        answer = browser.get(address)
        assert answer.status_code == 200, f"{address}: {plain(answer.text)[:600]}"
        assert answer.headers["content-security-policy"] == POLICY
        if answer.headers["content-type"].startswith("text/html"):
            assert f'<html lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}">' in answer.text
            assert not re.search(r"<script(?![^>]*\bsrc=)|\son[a-z]+=|style=", answer.text), address
            sources = re.findall(r'(?:src|<link[^>]*href)="([^"]+)"', answer.text)
            assert all(one.startswith("/admin/assets/") for one in sources)
            assert 'alert("x")' not in answer.text


def test_names_from_data_are_shown_as_text(screens: Screens) -> None:
    text = screens("mia").get("/admin/customers").text
    assert SPITEFUL in unescape(text)
    assert "<script>alert" not in text


def test_nobody_sees_a_page_without_signing_in_and_comes_back_to_it(screens: Screens, store: Store) -> None:
    browser = screens()
    for address in addresses(store):
        answer = browser.get(address)
        assert answer.status_code == 303, address
        assert answer.headers["location"].startswith("/admin/sign-in?next=%2Fadmin%2F")
    for path in CHANGES:
        changed = browser.post("/admin" + path.replace("{key}", "anna").replace("{act}", "void"))
        assert changed.status_code == 401, path


def test_what_is_for_those_who_manage_is_refused_to_others(screens: Screens, store: Store) -> None:
    browser = screens("finn")
    refused = {path for path, (_, manages) in PAGES.items() if manages}
    assert "/audit" in refused
    for path in refused:
        assert browser.get("/admin" + path.replace("{key}", "anna")).status_code == 403
    invoice_id = invoice_of(store, "bert")
    assert browser.get(f"/admin/acts/void/{invoice_id}").status_code == 403
    assert browser.get("/admin/acts/retry/carl").status_code == 200
    page = browser.get(f"/admin/invoices/{invoice_id}").text
    assert "Void it" not in page
    assert "Void it" in screens("mia").get(f"/admin/invoices/{invoice_id}").text


def test_what_is_not_there_is_a_page_that_says_so(screens: Screens) -> None:
    browser = screens("mia")
    for address in (
        "customers/nobody",
        "invoices/none",
        "acts/void/none",
        "acts/burn/x",
        "nowhere",
        "prices/x",
    ):
        answer = browser.get(f"/admin/{address}")
        assert answer.status_code == 404, address
        assert "There is nothing here." in answer.text


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("customers?after=abc", 400, "bad_cursor"),
        ("customers?q=" + "x" * 300, 400, "bad_parameter"),
        ("customers?q=%00", 400, "bad_parameter"),
    ],
)
def test_bad_parameters_are_refused_with_their_code(
    screens: Screens, address: str, status: int, said: str
) -> None:
    answer = screens("mia").get(f"/admin/{address}")
    assert (answer.status_code, said in answer.text) == (status, True)


def test_customers_are_found_by_id_name_and_state(screens: Screens) -> None:
    browser = screens("mia")
    found = {
        "q=anna": {"anna"},
        "q=dora d": {"dora"},
        "q=nobody": set(),
        "overdue=reminded": {"bert"},
        "q=": {"anna", "bert", "carl", "dora"},
    }
    for asked, ids in found.items():
        text = browser.get(f"/admin/customers?{asked}").text
        assert {
            one for one in ("anna", "bert", "carl", "dora") if f"/admin/customers/{one}" in text
        } == ids, asked


def test_the_customer_page_shows_what_is_owed_and_links_to_the_dashboard(screens: Screens) -> None:
    text = plain(screens("mia").get("/admin/customers/bert").text)
    assert "€23.80" in text
    html = screens("mia").get("/admin/customers/bert").text
    assert "http://localhost:8501/customer?company=acme&amp;customer=bert" in html


def test_an_invoice_is_shown_as_it_was_sent_and_as_a_file(screens: Screens, store: Store) -> None:
    browser, invoice_id = screens("mia"), invoice_of(store, "bert")
    text = plain(browser.get(f"/admin/invoices/{invoice_id}").text)
    assert all(one in text for one in ("€20.00", "€3.80", "€23.80", "past due"))
    file = browser.get(f"/admin/invoices/{invoice_id}/pdf")
    assert file.content.startswith(b"%PDF")
    assert re.fullmatch(r'inline; filename="[A-Za-z0-9_-]+\.pdf"', file.headers["content-disposition"])


def test_a_price_is_tried_step_by_step(screens: Screens, store: Store) -> None:
    browser, price_id = screens("mia"), price_of(store, "graduated")
    text = plain(browser.get(f"/admin/prices/{price_id}?quantity=12").text)
    # Ten at 5.00 and two at 4.00.
    assert "58 EUR" in text
    assert "€58.00" in text
    refused = browser.get(f"/admin/prices/{price_id}?quantity=-1")
    assert refused.status_code == 422
    assert "negative_quantity" in refused.text


def test_the_queues_show_who_waits_and_why(screens: Screens) -> None:
    browser = screens("mia")
    assert "Nobody set the rate of this tax." in browser.get("/admin/parked").text
    assert "would owe more than its limit" in browser.get("/admin/approvals").text
    assert "€23.80" in plain(browser.get("/admin/dunning").text)
    assert "subscribe" in browser.get("/admin/audit?act=subscribe&customer=anna").text


def test_a_list_goes_on_where_the_page_ended(screens: Screens, store: Store) -> None:
    from admin_world import _join

    for number in range(60):
        _join(store, f"more-{number:02}", f"More {number}")
    browser = screens("mia")
    first = browser.get("/admin/customers").text
    following = re.search(r'href="(/admin/customers\?after=[^"]+)"', first)
    assert following is not None
    second = browser.get(unescape(following[1])).text
    ids = [set(re.findall(r"/admin/customers/([a-z0-9-]+)", text)) for text in (first, second)]
    assert ids[0] & ids[1] == set()
    assert len(ids[0] | ids[1]) == 64


def test_every_sentence_has_its_arabic() -> None:
    with catalogue("admin", "ar").open("rb") as file:
        known = {one.id: one.string for one in read_po(file, locale="ar") if one.id}
    assert set(known) == {one.id for one in messages("admin") if one.id}
    lacking = [one for one, said in known.items() if not said or (isinstance(said, tuple) and not all(said))]
    assert lacking == []


def test_of_no_text_there_is_none_in_any_language() -> None:
    """A catalogue keeps its header under the empty sentence."""
    assert [words(language, "admin").gettext("") for language in ("en", "ar")] == ["", ""]


def test_ids_and_scopes_are_written_from_left_to_right(screens: Screens) -> None:
    browser = screens("mia")
    browser.cookies.set("tajdid_language", "ar")
    pages = {
        "keys": ("scopes", "customer"),
        "audit": ("customer", "subject"),
        "invoices": ("number", "customer"),
    }
    for name, fields in pages.items():
        text = browser.get(f"/admin/{name}").text
        for field in fields:
            found = re.search(rf'<input id="f-{field}"[^>]*>', text)
            assert found is not None
            assert 'dir="ltr"' in found[0], (name, field)


def test_steps_of_dunning_are_told_in_words() -> None:
    for language in ("en", "ar"):
        spoken = words(language, "admin")
        steps = (
            "attempt",
            "reminder_1",
            "reminder_2",
            "reminder_3",
            "final_notice",
            "campaign",
            "end",
            "message",
        )
        assert not {one for one in steps if naming.step(spoken, one) == one}
        assert not {one for one in ("card", "terms", "campaign") if naming.track(spoken, one) == one}


@pytest.mark.parametrize(("language", "title"), [("en", "Acme"), ("ar", "أكمي")])
def test_a_company_is_called_as_its_language_calls_it(screens: Screens, language: str, title: str) -> None:
    assert f"<bdi>{title}</bdi>" in screens("mia", language).get("/admin/").text


CODES = (
    (naming.model, pricing.MODELS),
    (naming.order, carried_orders.ORDERS),
    (naming.decline, dunning.DECLINE_CLASSES),
    (naming.refusal, refusals.REFUSALS),
)


@pytest.mark.parametrize("language", ["en", "ar"])
def test_codes_of_the_engine_are_said_in_words_of_the_language(language: str) -> None:
    spoken, english = words(language, "admin"), words("en", "admin")
    for says, codes in CODES:
        said = {code: says(spoken, code) for code in codes}
        assert [code for code, text in said.items() if text == code] == []
        if language == "ar":
            assert [code for code, text in said.items() if text == says(english, code)] == []


def test_an_act_refused_in_arabic_says_so_in_arabic(screens: Screens, store: Store) -> None:
    answer = screens("mia", "ar").get(f"/admin/acts/refund/{payment_of(store)}?amount=1000")
    assert answer.status_code == 422
    assert "left of" not in answer.text
    assert "over_refund" in answer.text


def test_prices_are_written_like_money_and_tiers_in_the_order_of_the_language(
    screens: Screens, store: Store
) -> None:
    of_price = f"/admin/prices/{price_of(store, 'graduated')}?quantity=1200.5"
    english, arabic = (plain(screens("mia", language).get(of_price).text) for language in ("en", "ar"))
    assert all(one in english for one in ("1,200.5", "5.00", "1 to 10", "11 and more"))
    assert "11 فأكثر" in arabic


def test_an_attempt_that_was_made_is_not_called_the_next_one() -> None:
    spoken = words("en", "admin")
    assert (naming.last_step(spoken, "attempt"), naming.step(spoken, "attempt")) == (
        "Attempt",
        "Next attempt",
    )


@pytest.mark.parametrize("language", ["en", "ar"])
def test_the_dashboard_opens_on_this_company_in_the_language_one_reads(
    screens: Screens, language: str
) -> None:
    browser = screens("mia", language)
    led = {
        unescape(one)
        for page in ("/admin/", "/admin/customers/bert")
        for one in re.findall(r'href="(http://localhost:8501[^"]*)"', browser.get(page).text)
    }
    assert led == {
        f"http://localhost:8501/?company=acme&lang={language}",
        f"http://localhost:8501/customer?company=acme&customer=bert&lang={language}",
    }
