"""Ways in: they work once, for a short time, for one task where they say so, and tell nobody who is known."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from portal_world import Hands, Post
from sqlalchemy import select
from starlette.testclient import TestClient
from visitor import Browser, Page

from billing.core.money import BillingError
from billing.gateways.simulated import SimulatedGateway
from billing.portal.app import application
from billing.service.portal_sessions import hash_of, make_link, use_link
from billing.store.store import Store, open_store
from billing.store.tables import audit_log, portal_links, portal_sessions, rejected_inputs
from billing.web.context import Services
from billing.web.layers import Door
from billing.web.rates import Rate, Rates
from billing.web.seal import Vault
from billing.web.stores import Stores

Visits = Callable[[], Browser]


def test_a_link_signs_in_once(visits: Visits) -> None:
    browser = visits()
    link = browser.link("sara")
    assert "Acme" in browser.follow_link(link).text
    again = visits().follow_link(link)
    assert again.status_code == 410
    assert "does not work any more" in again.text


def test_to_look_at_a_link_does_not_use_it(visits: Visits) -> None:
    browser = visits()
    link = browser.link("sara")
    for _ in range(3):
        assert browser.get(link).status_code == 200
        assert browser.request("HEAD", link).status_code in (200, 405)
    assert browser.follow_link(link).status_code == 200


@pytest.mark.parametrize(("kind", "lasts"), [("session", 10), ("mail", 15)])
def test_a_link_is_too_old_on_its_minute(
    visits: Visits, clock: Hands, users: dict[str, str], kind: str, lasts: int
) -> None:
    browser = visits()
    stores = browser.app.state.desk.services.stores
    for late, status in ((-1, 200), (0, 410)):
        with stores.write("key:test") as store:
            token = f"{kind}{late}" * 5
            make_link(
                store,
                clock(),
                token_hash=hash_of(token),
                customer_id="acme",
                user_id=users["sara"],
                kind=kind,
            )
        before = clock.at
        clock.pass_by(timedelta(minutes=lasts, seconds=late))
        assert visits().follow_link(f"/portal/enter?t={token}").status_code == status
        clock.at = before


def test_an_unknown_a_used_and_an_old_link_are_refused_in_the_same_words(
    visits: Visits, clock: Hands
) -> None:
    browser = visits()
    used, old = browser.link("sara"), browser.link("sara")
    browser.follow_link(used)
    clock.pass_by(timedelta(minutes=11))
    said = {visits().follow_link(one).text for one in (used, old, "/portal/enter?t=never", "/portal/enter")}
    assert len({_without_tokens(one) for one in said}) == 1


def test_two_who_use_a_link_at_once_do_not_both_come_in(store: Store, users: dict[str, str]) -> None:
    from portal_world import NOW, fill

    fill(store)
    with store.transaction():
        make_link(store, NOW, token_hash=hash_of("x"), customer_id="acme")
    url = store._engine.url.render_as_string(hide_password=False)
    with open_store(url) as first, open_store(url) as second:
        with first.transaction():
            use_link(first, NOW, token_hash=hash_of("x"), session_hash="a", csrf_seed="s")
        with pytest.raises(BillingError, match="link_used"), second.transaction():
            use_link(second, NOW, token_hash=hash_of("x"), session_hash="b", csrf_seed="s")


def test_a_mailed_link_signs_in_and_comes_for_each_account(visits: Visits, post: Post) -> None:
    browser = visits()
    form = browser.page("/sign-in").form("/sign-in")
    browser.send(form, email=" SARA@acme.example ")
    (letter,) = post.letters
    assert letter.to == "sara@acme.example"
    (link,) = re.findall(r"http://portal\.test(/portal/enter\?t=\S+)", letter.text)
    assert browser.follow_link(link).status_code == 200


def test_the_door_does_not_tell_who_is_known(visits: Visits, post: Post) -> None:
    said = []
    for email in ("sara@acme.example", "nobody@acme.example", "not an address", ""):
        browser = visits()
        answer = browser.send(browser.page("/sign-in").form("/sign-in"), email=email)
        said.append((answer.status_code, _without_tokens(answer.text), sorted(answer.headers)))
    assert all(one == said[0] for one in said)
    assert [letter.to for letter in post.letters] == ["sara@acme.example"]


def test_an_address_gets_three_links_an_hour(visits: Visits, post: Post, clock: Hands) -> None:
    def asked() -> int:
        browser = visits()
        before = len(post.letters)
        browser.send(browser.page("/sign-in").form("/sign-in"), email="sara@acme.example")
        return len(post.letters) - before

    assert [asked() for _ in range(5)] == [1, 1, 1, 0, 0]
    clock.pass_by(timedelta(hours=1))
    assert asked() == 1


def test_a_header_of_programs_gives_no_requests_more(url: str, post: Post, clock: Hands) -> None:
    """The portal knows no keys: who invents one for each request is still one and the same caller."""
    door = Door(hosts=("portal.test",), rates=Rates(unknown=Rate(0.001, 2)))
    app = application(
        Services(Stores(url), SimulatedGateway(1), Vault(bytes(32)), clock, base_url="http://portal.test"),
        mailer=post,
        titles={"en": "Seller", "ar": "Seller"},
        door=door,
    )
    with TestClient(app, base_url="http://portal.test") as client:
        asked = [
            client.get("/portal/sign-in", headers={"authorization": f"Bearer {guess}"}).status_code
            for guess in range(4)
        ]
    app.state.desk.services.stores.close()
    assert asked == [200, 200, 429, 429]


def test_a_link_to_one_task_opens_only_that(visits: Visits) -> None:
    browser = visits()
    answer = browser.sign_in("sara", task="cancel", target="sub_acme")
    assert str(answer.url).endswith("/portal/subscriptions/sub_acme/cancel")
    for path in ("/", "/invoices", "/details", "/subscriptions/sub_acme/plan", "/subscriptions/sub_acme"):
        assert browser.get(path).status_code == 403, path
    assert browser.get("/subscriptions/sub_north/cancel").status_code == 403


@pytest.mark.parametrize(
    ("name", "said"),
    [("sara", "There is nothing left to do here"), ("omar", "لا يوجد ما يلزم فعله هنا")],
)
def test_a_link_to_a_task_that_names_nothing_says_that_nothing_is_left_to_do(
    visits: Visits, name: str, said: str
) -> None:
    for of in ({"task": "cancel"}, {"task": "top_up"}, {"task": "disputes", "target": "sub_acme"}):
        browser = visits()
        answer = browser.follow_link(browser.link(name, **of))
        page = Page(answer.text)
        assert (answer.status_code, answer.url.path) == (200, "/portal/")
        assert said in page.text
        assert set(page.links) <= {"/portal/", "#main"}
        assert "sub_" not in page.text
        assert browser.get("/subscriptions/sub_acme").status_code == 403


def test_a_link_to_pay_leads_to_the_invoices_or_to_the_one_it_is_about(visits: Visits) -> None:
    browser = visits()
    assert browser.follow_link(browser.link(task="pay")).url.path == "/portal/invoices"
    listed = [
        one for one in browser.page("/invoices").links if re.fullmatch("/portal/invoices/inv[^/]*", one)
    ]
    assert browser.get(listed[0]).status_code == 200
    one = visits()
    target = listed[0].rpartition("/")[2]
    assert one.follow_link(one.link(task="pay", target=target)).url.path == listed[0]
    assert [one.get(path).status_code for path in ("/invoices", listed[1])] == [403, 403]


def test_a_link_for_a_user_of_another_customer_is_not_made(visits: Visits, users: dict[str, str]) -> None:
    with visits().app.state.desk.services.stores.write("key:test") as store:
        for user_id in (users["bob"], "nobody"):
            with pytest.raises(BillingError, match="unknown_user"):
                make_link(
                    store,
                    Hands()(),
                    token_hash="h" + user_id,
                    customer_id="acme",
                    user_id=user_id,
                )


def test_secrets_of_links_and_sessions_are_kept_nowhere(visits: Visits, url: str) -> None:
    browser = visits()
    link = browser.link("sara")
    token = link.partition("t=")[2]
    browser.follow_link(link)
    visits().follow_link(link)
    secrets = [token, browser.cookies["tajdid_portal"]]
    with open_store(url) as store:
        for table in (portal_links, portal_sessions, audit_log, rejected_inputs):
            rows = str(store.rows(select(table)))
            assert not any(secret in rows for secret in secrets), table.name


def _without_tokens(html: str) -> str:
    page = Page(html)
    return " ".join(page.text.split()) + str(sorted(form.action for form in page.forms))
