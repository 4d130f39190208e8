"""What went wrong is told in the language of who asked, beside the menu they had."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from portal_world import TITLES, Hands, Post
from visitor import Browser, Page

from billing.gateways.simulated import SimulatedGateway
from billing.portal.app import application
from billing.web.context import Services
from billing.web.layers import Door
from billing.web.rates import Rate, Rates
from billing.web.seal import Vault
from billing.web.stores import Stores

AsUser = Callable[[str], Browser]
MENU = "/portal/invoices"


def _language(page: Page) -> str | None:
    return next(given["lang"] for tag, given in page.tags if tag == "html")


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nowhere", 404), ("/invoices/none", 404), ("/users/none", 403), (f"/invoices?after={'x' * 201}", 400)],
)
def test_a_page_of_what_went_wrong_keeps_menu_and_language(as_user: AsUser, path: str, status: int) -> None:
    """omar reads Arabic by his own setting: his browser says nothing of it."""
    page = as_user("omar").page(path, status)
    assert MENU in page.links
    assert _language(page) == "ar"
    assert page.form("/sign-out")
    assert page.form("/language")


def test_a_form_that_is_refused_keeps_menu_and_language(as_user: AsUser) -> None:
    browser = as_user("omar")
    form = browser.page("/details").form("/details/name")
    stale = Page(browser.send(form, csrf="0" * 64).text)
    twice = browser.request(
        "POST",
        form.action,
        content=b"name=a&name=b",
        headers={"origin": "http://portal.test", "content-type": "application/x-www-form-urlencoded"},
    )
    for page in (stale, Page(twice.text)):
        assert MENU in page.links
        assert _language(page) == "ar"


def test_who_asks_too_often_keeps_menu_and_language(
    as_user: AsUser, url: str, post: Post, clock: Hands
) -> None:
    """Nobody is looked up for it: the menu is that of everybody."""
    cookies = as_user("omar").cookies
    app = application(
        Services(Stores(url), SimulatedGateway(1), Vault(bytes(32)), clock, base_url="http://portal.test"),
        mailer=post,
        titles=TITLES,
        door=Door(hosts=("portal.test",), rates=Rates(unknown=Rate(0.001, 1))),
    )
    with TestClient(app, base_url="http://portal.test", cookies=cookies) as client:
        client.get("/portal/invoices")
        answer = client.get("/portal/invoices")
    app.state.desk.services.stores.close()
    assert answer.status_code == 429
    page = Page(answer.text)
    assert MENU in page.links
    assert _language(page) == "ar"


def test_who_is_not_signed_in_has_no_menu(visits: Callable[[], Browser]) -> None:
    page = visits().page("/nowhere", 404)
    assert MENU not in page.links


def test_the_door_and_letters_name_the_seller_in_the_language_of_who_reads(
    visits: Callable[[], Browser], post: Post
) -> None:
    browser = visits()
    browser.keep_cookie("tajdid_language", "ar")
    page = browser.page("/sign-in")
    assert TITLES["ar"] in page.text
    assert TITLES["en"] not in page.text
    browser.send(page.form("/sign-in"), email="omar@acme.example")
    assert TITLES["ar"] in post.letters[0].text
