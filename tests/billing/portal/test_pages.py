"""What the pages do: plan, pause, the end and its undoing, details, users, purchase orders, ways to pay."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from portal_world import Hands, Post, portal
from sqlalchemy import select
from visitor import Browser, Page

from billing.core.subscription import Subscription
from billing.gateways.hosted_simulated import SimulatedFields
from billing.portal import terms
from billing.portal.tasks import TASKS
from billing.service.portal_settings import SETTINGS, set_portal_task
from billing.store.store import open_store
from billing.store.subscriptions import read_standing
from billing.store.tables import (
    addresses,
    audit_log,
    contacts,
    customers,
    invoices,
    payment_methods,
    portal_users,
    purchase_orders,
    rejected_inputs,
)
from billing.web import extract
from billing.web.languages import catalogue, words

AsUser = Callable[[str], Browser]
SUB = "/subscriptions/sub_acme"


def _own(url: str, clock: Hands) -> Subscription:
    with open_store(url) as store:
        return read_standing(store, clock(), "sub_acme").subscription


def test_home_tells_what_is_there_what_comes_and_what_is_to_be_done(as_user: AsUser) -> None:
    """basic with 3 seats: 10.00 + 15.00 a month, with 19 % tax 29.75; the card ends on 31 March."""
    text = " ".join(as_user("sara").page("/").text.split()).replace("\u2066", "").replace("\u2069", "")
    assert "A charge of €29.75 for invoice" in text
    assert "€29.75 is overdue." in text
    assert "The way you pay ends on March 31, 2025." in text
    assert "Next invoice €29.75 on April 1, 2025" in text
    assert "€25.00 every month" in text


def test_names_from_data_are_text_on_a_page(as_user: AsUser) -> None:
    html = as_user("sara").get("/").text
    assert "&lt;b&gt;&amp; Sons&lt;/b&gt;" in html
    assert "<b>& Sons" not in html


def test_a_plan_is_changed_on_the_figures_that_were_shown(as_user: AsUser, url: str, clock: Hands) -> None:
    """From 25.00 to 25.00 + 15.00: (40.00 - 25.00) x 21 / 31, with tax, is due now."""
    browser = as_user("omar")
    form = browser.page(f"{SUB}/plan?plan=pro").form("/plan")
    browser.send(form)
    last = _own(url, clock).main_item.versions[-1]
    assert (last.plan_id, last.effective_start) == ("pro", date(2025, 3, 11))


def test_another_plan_than_those_offered_is_refused(as_user: AsUser) -> None:
    browser = as_user("omar")
    form = browser.page(f"{SUB}/plan?plan=pro").form("/plan")
    for plan in ("support", "nothing"):
        answer = browser.send(form, plan=plan)
        assert answer.status_code == 422
        assert "لا يمكن اختيار هذه الخطة" in answer.text


def test_a_pause_has_an_end_and_service_comes_back_before_it(as_user: AsUser, url: str, clock: Hands) -> None:
    browser = as_user("sara")
    form = browser.page(f"{SUB}/pause?from_on=2025-03-11&until=2025-04-11").form("/pause")
    browser.send(form)
    assert "Paused until April 11, 2025." in browser.page(SUB).text
    browser.send(browser.page(f"{SUB}/resume").form("/resume"))
    assert all(one.pause is None for one in _own(url, clock).main_item.versions)


@pytest.mark.parametrize(
    "days",
    [
        "from_on=2025-03-10&until=2025-03-20",
        "from_on=2025-03-20&until=2025-03-20",
        "until=2025-06-10",
        "until=x",
    ],
    ids=["in the past", "of no day", "too long", "no day at all"],
)
def test_a_pause_that_cannot_be_is_said_so(as_user: AsUser, days: str) -> None:
    page = as_user("sara").page(f"{SUB}/pause?{days}")
    assert ("div", {"class": "notice bad", "role": "alert"}) in page.tags
    assert not [form for form in page.forms if form.method == "post" and form.action.endswith("/pause")]


def test_a_cancellation_is_taken_back_before_the_end(as_user: AsUser, url: str, clock: Hands) -> None:
    browser = as_user("sara")
    browser.send(browser.page(f"{SUB}/cancel?reason=too_expensive").form("/cancel"))
    own = _own(url, clock)
    assert (own.ends_on, own.cancel_reason) == (date(2025, 4, 1), "too_expensive")
    browser.send(browser.page(f"{SUB}/undo-cancel").form("/undo-cancel"))
    assert _own(url, clock).ends_on is None


def test_reasons_of_the_engine_are_not_a_customers(as_user: AsUser) -> None:
    browser = as_user("sara")
    form = browser.page(f"{SUB}/cancel?reason=other").form("/cancel")
    assert browser.send(form, reason="payment").status_code == 422


def test_invoices_are_found_by_number_and_taken_along(as_user: AsUser, url: str) -> None:
    browser = as_user("sara")
    with open_store(url) as store:
        rows = store.rows(select(invoices).where(invoices.c.customer_id == "acme"))
    page = browser.page(f"/invoices?number={rows[0]['number']}")
    assert [one["number"] for one in rows if one["number"] in page.text] == [rows[0]["number"]]
    assert rows[0]["number"] not in browser.page("/invoices?number=INV-x").text
    note = next(one for one in browser.page("/credit-notes").links if one.endswith("/pdf"))
    assert browser.get(note).content.startswith(b"%PDF")


def test_what_is_anothers_is_answered_as_what_is_not_there(as_user: AsUser, url: str) -> None:
    browser = as_user("sara")
    with open_store(url) as store:
        foreign = store.rows(select(invoices).where(invoices.c.customer_id == "beta"))[0]["invoice_id"]
        po_id = store.rows(select(purchase_orders).where(purchase_orders.c.customer_id == "beta"))[0]["po_id"]
        user_id = store.rows(select(portal_users).where(portal_users.c.customer_id == "beta"))[0]["user_id"]
        person = store.rows(select(contacts).where(contacts.c.customer_id == "beta"))[0]["contact_id"]
    ids = {"subscription_id": "sub_beta", "invoice_id": foreign, "po_id": po_id, "user_id": user_id}
    ids |= {"contact_id": person, "method_id": "pm_beta"}
    lina = as_user("lina")
    for route in browser.app.router.routes:
        path, methods = route.path, getattr(route, "methods", None) or set()  # type: ignore[attr-defined]
        name = next((one for one in ids if f"{{{one}}}" in path), None)
        if name is None:
            continue
        asked = lina if name == "user_id" else browser
        own = path.replace(f"{{{name}}}", ids[name]), path.replace(f"{{{name}}}", "nothing_like_it")
        if "GET" in methods:
            foreign_page, missing = (asked.get(one) for one in own)
        else:
            seed = asked.page("/").form("/sign-out")
            foreign_page, missing = (_deed(asked, one, route, seed.fields) for one in own)
        if "hosted" not in browser.app.state.desk.more and name == "method_id":
            assert foreign_page.status_code in (404, 403)
        else:
            assert foreign_page.status_code == 404, path
        assert Page(foreign_page.text).text == Page(missing.text).text, path


def _deed(browser: Browser, path: str, route: object, fields: dict[str, str]) -> object:
    """Send a form whose token is right for the route."""
    from billing.service.portal_sessions import hash_of, session_of
    from billing.web.forms import token_of

    desk = browser.app.state.desk
    with desk.services.stores.look() as store:
        session = session_of(store, desk.services.clock(), hash_of(browser.cookies["tajdid_portal"]))
    assert session is not None
    name = route.rule.form  # type: ignore[attr-defined]
    return browser.request(
        "POST",
        path,
        data={"csrf": token_of(session.csrf_seed, name), "name": "x"},
        headers={"origin": "http://portal.test"},
    )


def test_details_are_changed_and_a_new_tax_number_is_not_confirmed(as_user: AsUser, url: str) -> None:
    browser = as_user("sara")
    page = browser.page("/details")
    browser.send(page.form("/details/name"), name="Acme GmbH", locale="ar")
    browser.send(page.form("/details/address"), lines="Weg 1\r\nHof 2", city="Bonn", postal_code="53111")
    browser.send(page.form("/details/tax-number"), tax_number="DE 136695976")
    browser.send(page.form("/details/contacts"), name="Eva", email="Eva@acme.example")
    with open_store(url) as store:
        (row,) = store.rows(select(customers).where(customers.c.customer_id == "acme"))
        told = [row[name] for name in ("name", "locale", "tax_number", "tax_number_confirmed_on")]
        assert told == ["Acme GmbH", "ar", "DE136695976", None]
        places = store.rows(select(addresses).where(addresses.c.customer_id == "acme"))
        assert [one["lines"] for one in places][-1] == "Weg 1\nHof 2"
        people = store.rows(select(contacts).where(contacts.c.customer_id == "acme"))
        assert {one["email"] for one in people} == {"ann@acme.example", "eva@acme.example"}
    wrong = browser.send(browser.page("/details").form("/details/tax-number"), tax_number="DE136695975")
    assert wrong.status_code == 422
    assert "no tax number of that country" in wrong.text


def test_users_are_invited_changed_and_removed_by_who_manages_them(
    as_user: AsUser, url: str, post: Post
) -> None:
    lina = as_user("lina")
    form = lina.page("/users").form("/users")
    lina.send(form, name="Zoe", email="Zoe@acme.example", role="buyer", limit="250.50")
    (letter,) = post.letters
    assert letter.to == "zoe@acme.example"
    link = next(word for word in letter.text.split() if "/enter?t=" in word)
    newcomer = as_user("bob")
    newcomer.follow_link(link.removeprefix("http://portal.test"))
    assert "Acme" in newcomer.page("/").text, "one browser, another account by now"
    with open_store(url) as store:
        (row,) = store.rows(select(portal_users).where(portal_users.c.email == "zoe@acme.example"))
    assert (row["limit_minor"], row["role"], row["state"]) == (250_50, "buyer", "active")
    assert lina.send(form, name="Zoe", email="zoe@acme.example").status_code == 422
    assert lina.send(form, name="Zoe", email="no address").status_code == 422
    assert as_user("sara").get(f"/users/{row['user_id']}").status_code == 403
    lina.send(lina.page(f"/users/{row['user_id']}").form("/remove"))
    assert newcomer.get("/").status_code == 303


def test_a_viewer_changes_nothing(as_user: AsUser) -> None:
    lina = as_user("lina")
    for path in (f"{SUB}/plan", f"{SUB}/seats", f"{SUB}/cancel"):
        assert lina.get(path).status_code == 403
    assert not [one for one in lina.page("/details").forms if "/details/" in one.action]


def test_purchase_orders_are_added_and_closed(as_user: AsUser, url: str, clock: Hands) -> None:
    browser = as_user("sara")
    form = browser.page("/purchase-orders").form("/purchase-orders")
    browser.send(form, number="4711", budget="1000", valid_start="2025-03-01", valid_end="2025-12-31")
    assert browser.send(form, number="4711").status_code == 422
    assert browser.send(form, number="4712", budget="12,5").status_code == 422
    browser.send(browser.page("/purchase-orders").form("/close"))
    with open_store(url) as store:
        rows = store.rows(select(purchase_orders).where(purchase_orders.c.customer_id == "acme"))
    told = {row["number"]: (row["budget_minor"], row["valid_end"]) for row in rows}
    assert told == {"PO-acme": (500_00, None), "4711": (1000_00, clock().date())}


def test_nobody_changes_their_own_rights(as_user: AsUser, url: str, users: dict[str, str]) -> None:
    lina = as_user("lina")

    def kept() -> dict[str, Any]:
        with open_store(url) as store:
            (row,) = store.rows(select(portal_users).where(portal_users.c.user_id == users["lina"]))
        return {name: row[name] for name in ("name", "role", "is_account_admin", "limit_minor", "state")}

    before = kept()
    own = f"/users/{users['lina']}"
    form = lina.page(own).form(own)
    assert lina.send(form, name="Lina L.").status_code == 200
    assert kept() == before | {"name": "Lina L."}
    for right in ("role", "limit", "is_account_admin", "sees_children"):
        asked = replace(form, fields=form.fields | {right: "approver" if right == "role" else "1"})
        assert lina.send(asked).status_code == 422
    remove = lina.page(f"/users/{users['sara']}").form("/remove")
    assert lina.send(replace(remove, action=f"{form.action}/remove")).status_code == 409
    assert kept() == before | {"name": "Lina L."}


def test_each_task_can_be_closed_by_the_seller(as_user: AsUser, url: str, clock: Hands) -> None:
    browser = as_user("sara")
    with open_store(url) as store:
        for name in SETTINGS:
            set_portal_task(store, clock(), name=name, is_open=False)
    closed = [one for one in browser.app.router.routes if getattr(one, "rule", None) and one.rule.task]  # type: ignore[attr-defined]
    for route in closed:
        if "GET" in route.methods:  # type: ignore[attr-defined]
            path = re.sub(r"{(?!subscription)\w+}", "x", route.path).replace("{subscription_id}", "sub_acme")  # type: ignore[attr-defined]
            assert browser.get(path).status_code == 403, path
    assert not [
        link for link in browser.page(SUB).links if link.endswith(("/plan", "/seats", "/cancel", "/pause"))
    ]
    assert {one.rule.task for one in closed} <= set(SETTINGS)  # type: ignore[attr-defined]
    assert set(TASKS) <= set(SETTINGS)


def test_the_seller_bounds_a_pause(as_user: AsUser, url: str, clock: Hands) -> None:
    with open_store(url) as store:
        set_portal_task(store, clock(), name="pause", is_open=True, settings={"longest_days": 7})
    browser = as_user("sara")
    assert "€" in browser.page(f"{SUB}/pause?from_on=2025-03-11&until=2025-03-18").text
    assert "too large" in browser.page(f"{SUB}/pause?from_on=2025-03-11&until=2025-03-19").text
    browser.send(browser.page(f"{SUB}/pause?from_on=2025-03-11&until=2025-03-16").form("/pause"))
    assert "€" in browser.page(f"{SUB}/pause?from_on=2025-03-16&until=2025-03-18").text
    assert "too large" in browser.page(f"{SUB}/pause?from_on=2025-03-16&until=2025-03-19").text


def test_children_are_seen_with_what_all_owe_together(as_user: AsUser) -> None:
    text = as_user("omar").page("/accounts").text.replace("\u2066", "").replace("\u2069", "")
    assert "Acme North" in text
    assert "Beta" not in text
    assert "Acme North" not in as_user("sara").page("/accounts").text


# Ways to pay.


@pytest.fixture
def paying(
    url: str, post: Post, clock: Hands, users: dict[str, str]
) -> Iterator[tuple[Browser, SimulatedFields]]:
    """A browser of sara's where the portal has the fields of the simulated gateway."""
    hosted = SimulatedFields("http://gateway.test")
    app = portal(url, post, clock, hosted=hosted)
    browser = Browser(app, users)
    browser.sign_in("sara")
    yield browser, hosted
    browser.close()
    app.state.desk.services.stores.close()


def test_a_card_is_entered_at_the_gateway_kept_and_charged(
    paying: tuple[Browser, SimulatedFields], url: str
) -> None:
    browser, hosted = paying
    answer = browser.send(browser.page("/methods").form("/methods/add"))
    (there,) = [one for one in Page(answer.text).links if one.startswith("http://gateway.test/")]
    assert there.rpartition("/")[2] not in browser.get("/methods").text
    assert str(browser.get("/methods/done", follow_redirects=True).url).endswith("/methods"), (
        "nothing entered"
    )
    hosted.enter(there.rpartition("/")[2], "4242424242424242", date(2031, 9, 30))
    page = browser.page("/methods/done")
    assert "4242" in page.text
    browser.send(page.form("/methods/done"))
    with open_store(url) as store:
        rows = store.rows(select(payment_methods).where(payment_methods.c.customer_id == "acme"))
        told = {row["label"]: row["is_default"] for row in rows}
        assert told == {None: False, "Visa •• 4242": True}
        secret = next(row["gateway_ref"] for row in rows if row["label"])
        assert secret not in str(store.rows(select(audit_log))) + str(store.rows(select(rejected_inputs)))
    assert secret not in browser.get("/methods").text
    (form, *_) = [one for one in browser.page("/methods").forms if one.action.endswith("/remove")]
    assert browser.send(form).status_code == 200
    assert len(_methods(browser)) == 1


def test_a_card_is_not_kept_by_who_signs_in_afterwards(
    paying: tuple[Browser, SimulatedFields], url: str
) -> None:
    """What was entered for acme is neither shown to beta, in the same browser, nor kept by it."""
    browser, hosted = paying
    answer = browser.send(browser.page("/methods").form("/methods/add"))
    (there,) = [one for one in Page(answer.text).links if one.startswith("http://gateway.test/")]
    hosted.enter(there.rpartition("/")[2], "4242424242424242", date(2031, 9, 30))
    form = browser.page("/methods/done").form("/methods/done")
    browser.sign_in("bob")
    assert str(browser.get("/methods/done", follow_redirects=True).url).endswith("/methods")
    own = browser.page("/methods").form("/methods/add")
    route = next(
        one
        for one in browser.app.router.routes
        if getattr(one, "path", "") == form.action and "POST" in one.methods  # type: ignore[attr-defined]
    )
    _deed(browser, form.action, route, own.fields)
    with open_store(url) as store:
        assert len(store.rows(select(payment_methods).where(payment_methods.c.customer_id == "acme"))) == 1


def _methods(browser: Browser) -> list[str]:
    return [one for one in browser.page("/methods").text.split() if one in ("Card", "4242")]


def test_an_invoice_is_paid_now_once(paying: tuple[Browser, SimulatedFields], url: str) -> None:
    browser, _ = paying
    with open_store(url) as store:
        (row,) = store.rows(
            select(invoices).where(invoices.c.customer_id == "acme", invoices.c.state == "open")
        )
    page = browser.page(f"/invoices/{row['invoice_id']}")
    form = page.form("/pay")
    browser.send(form)
    assert "Paid" in browser.page(f"/invoices/{row['invoice_id']}").text
    again = browser.send(form)
    assert again.status_code == 422
    assert "not possible as things stand" in again.text


# Words.


def test_every_sentence_of_a_page_is_there_in_arabic() -> None:
    from babel.messages.pofile import read_po

    for package in extract.packages():
        if not catalogue(package, "ar").exists():
            continue
        with catalogue(package, "ar").open("rb") as file:
            known = {message.id: message.string for message in read_po(file, locale="ar") if message.id}
        shared = {message.id for message in extract.messages("web") if message.id}
        for message in extract.messages(package):
            if not message.id or (package != "web" and message.id in shared):
                continue
            said = known.get(message.id)
            assert said, (package, message.id)
            assert all(said) if isinstance(said, tuple) else True, (package, message.id)


def test_intervals_are_words_in_both_languages() -> None:
    told = [terms.every(words("en", "portal"), one) for one in ("P1M", "P3M", "P1Y", "P2W", "P30D")]
    assert told == ["every month", "every 3 months", "every year", "every 2 weeks", "every 30 days"]
    assert terms.every(words("ar", "portal"), "P3M") == "كل 3 أشهر"


def test_history_tells_every_act_in_the_language_of_the_page() -> None:
    """What has no name of its own is another change, never a name of the code's."""
    told = [terms.act(words("ar", "portal"), one) for one in ("open_wallet", "start_setup", "anything_else")]
    assert told == ["فتح محفظة", "بدء إضافة وسيلة دفع", "تغيير آخر"]
