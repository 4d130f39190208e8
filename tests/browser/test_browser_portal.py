"""The portal in a real browser: each flow in both languages, on a phone and on a desk, and once without
JavaScript. Nothing is asked of another host, nothing breaks the content policy, and axe finds no barrier."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest
import uvicorn
from looks import barriers
from playwright.sync_api import Browser, Page, expect
from portal_world import NOW, Hands, Post, portal, world
from window import PATIENCE_MS, keep

from billing.gateways.hosted_simulated import PATH, SimulatedFields
from billing.gateways.hosted_simulated import page as gateway_page
from billing.service.wallets import grant, open_wallet
from billing.store.store import open_store
from billing.web.portal_links import portal_link

pytestmark = pytest.mark.browser
expect.set_options(timeout=PATIENCE_MS)

WIDTHS = (400, 1280)
PAGES = (
    "/",
    "/subscriptions/sub_acme",
    "/subscriptions/sub_acme/plan?plan=pro",
    "/subscriptions/sub_acme/seats?quantity=5",
    "/subscriptions/sub_acme/add-on?plan=support",
    "/subscriptions/sub_acme/pause?from_on=2025-03-20&until=2025-04-10",
    "/subscriptions/sub_acme/cancel?reason=unused",
    "/invoices",
    "/credit-notes",
    "/methods",
    "/details",
    "/users",
    "/requests",
    "/purchase-orders",
    "/usage",
    "/credit",
    "/credit/w_acme/top-up?amount=50",
    "/accounts",
    "/history",
)


@dataclass
class Portal:
    """The portal on a port of this machine. `url`: its host; `post`: what it mailed."""

    url: str
    post: Post
    users: dict[str, str]
    app: object
    faults: list[str] = field(default_factory=list)

    def link(self, name: str) -> str:
        desk = self.app.state.desk  # type: ignore[attr-defined]
        return portal_link(desk.services, desk.url, "key:test", customer_id="acme", user_id=self.users[name])

    def watch(self, page: Page) -> None:
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on(
            "request",
            lambda asked: (
                None if asked.url.startswith((self.url, "data:")) else self.faults.append(asked.url)
            ),
        )


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Portal]:
    """A portal of its own for each test, with the page of the simulated gateway beside it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, post = f"http://127.0.0.1:{port}", Post()
    users = world(tmp_path / "billing.db")
    with open_store(f"sqlite:///{tmp_path / 'billing.db'}") as store:
        named = {"customer_id": "acme", "name": "Prepaid", "product_id": "goods", "wallet_id": "w_acme"}
        open_wallet(store, NOW, **named)
        given = {"amount": "20", "reason": "welcome", "expires_on": date(2025, 5, 1)}
        grant(store, NOW, wallet_id="w_acme", **given)
    hosted = SimulatedFields(url)
    clock = Hands()
    app = portal(f"sqlite:///{tmp_path / 'billing.db'}", post, clock, url=url, hosted=hosted)
    app.mount(PATH, gateway_page(hosted, clock))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive(), "the portal did not start"
        assert time.monotonic() < until, "the portal took too long to start"
        time.sleep(0.05)
    one = Portal(url, post, users, app)
    yield one
    server.should_exit = True
    thread.join(10)
    app.state.desk.services.stores.close()
    assert one.faults == []


@pytest.fixture
def visit(chromium: Browser, served: Portal) -> Iterator[Callable[..., Page]]:
    """A window in which somebody is signed in."""
    contexts = []

    def opened(name: str, language: str = "en", *, scripts: bool = True, width: int = 1280) -> Page:
        context = chromium.new_context(
            locale="ar" if language == "ar" else "en-GB",
            java_script_enabled=scripts,
            viewport={"width": width, "height": 900},
            accept_downloads=True,
        )
        contexts.append(context)
        context.add_cookies([{"name": "tajdid_language", "value": language, "url": served.url}])
        page = context.new_page()
        served.watch(page)
        page.goto(served.link(name))
        page.locator("form[action$='/enter'] button").click()
        expect(page.locator("h1")).to_contain_text("Acme")
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("language", ["en", "ar"])
def test_every_page_is_without_barriers_and_fits_a_phone(
    served: Portal, visit: Callable[..., Page], language: str
) -> None:
    page = visit("omar", language)
    for path in PAGES:
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(f"{served.url}/portal{path}")
            expect(page.locator("h1")).to_be_visible()
            assert page.locator("html").get_attribute("dir") == ("rtl" if language == "ar" else "ltr")
            inside = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            assert page.evaluate(inside), f"{path} is wider than {width}"
            name = re.sub(r"\W+", "-", path.partition("?")[0]).strip("-") or "home"
            keep(page, f"portal-{name}-{language}-{width}")
        assert barriers(page) == [], path


@pytest.mark.parametrize("language", ["en", "ar"])
def test_seats_are_changed_by_a_preview_that_follows_the_form(
    served: Portal, visit: Callable[..., Page], language: str
) -> None:
    """Three seats more for 21 of 31 days: 15.00 x 21 / 31 = 10.16, with 19 % tax 12.09."""
    page = visit("omar", language)
    page.goto(f"{served.url}/portal/subscriptions/sub_acme/seats")
    page.locator("[name=quantity]:visible").fill("6")
    page.locator("[name=quantity]:visible").blur()
    expect(page.locator("#due-now")).to_contain_text("12.09")
    assert page.url.endswith("quantity=6"), "the preview has an address"
    page.locator("#preview form button").click()
    page.wait_for_url("**/receipts/*")
    expect(page.locator("main")).to_contain_text("12.09")
    assert barriers(page) == []
    assert [letter.to for letter in served.post.letters] == ["omar@acme.example"]


def test_all_is_done_without_javascript(served: Portal, visit: Callable[..., Page]) -> None:
    """Plan, pause, resume, cancel and its undoing, details, a purchase order: forms and links alone."""
    page = visit("omar", scripts=False)
    at = f"{served.url}/portal/subscriptions/sub_acme"
    page.goto(f"{at}/plan")
    page.get_by_label(re.compile("Pro")).check()
    page.get_by_role("button", name="Show what it costs").click()
    page.get_by_role("button", name="Change plan").click()
    page.wait_for_url("**/receipts/*")
    page.goto(f"{at}/pause")
    page.get_by_label("First day of the pause").fill("2025-03-11")
    page.get_by_label("Service again from").fill("2025-04-01")
    page.get_by_role("button", name="Show what it costs").click()
    page.locator("#preview").get_by_role("button", name="Pause").click()
    page.wait_for_url("**/receipts/*")
    page.goto(f"{at}/resume")
    page.get_by_role("button", name="Resume today").click()
    page.wait_for_url("**/receipts/*")
    page.goto(f"{at}/cancel")
    page.get_by_label("Why do you cancel?").select_option("unused")
    page.get_by_role("button", name="Show what it costs").click()
    page.get_by_role("button", name="Cancel the subscription").click()
    page.get_by_role("link", name="Take it back").click()
    page.get_by_role("button", name="Keep the subscription").click()
    page.wait_for_url("**/receipts/*")
    page.goto(f"{served.url}/portal/details")
    page.get_by_label("Name of the company").fill("Acme GmbH")
    page.locator("form[action$='/details/name'] button").click()
    expect(page.get_by_label("Name of the company")).to_have_value("Acme GmbH")
    page.goto(f"{served.url}/portal/purchase-orders")
    page.get_by_label("Your number").fill("4711")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("table")).to_contain_text("4711")
    page.get_by_role("button", name="العربية").click()
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    page.locator("form[action$='/sign-out'] button").click()
    page.wait_for_url("**/sign-in")


@pytest.mark.parametrize("language", ["en", "ar"])
def test_an_overdue_invoice_is_paid_with_a_card_added_at_the_gateway(
    served: Portal, visit: Callable[..., Page], language: str
) -> None:
    page = visit("omar", language, width=400)
    page.goto(f"{served.url}/portal/methods")
    page.locator("form[action$='/methods/add'] button").click()
    page.wait_for_url(f"**{PATH}/*")
    page.locator("#number").fill("4242 4242 4242 4242")
    page.locator("#expiry").fill("09/31")
    page.locator("button").click()
    page.wait_for_url("**/methods/done")
    assert barriers(page) == []
    page.locator("form[action$='/methods/done'] button").click()
    page.wait_for_url("**/portal/methods")
    expect(page.locator("main")).to_contain_text("Visa •• 4242")
    page.goto(f"{served.url}/portal/invoices?open=1")
    page.locator("tbody th a").first.click()
    keep(page, f"portal-invoice-{language}-400")
    assert barriers(page) == []
    page.locator("form[action$='/pay'] button").click()
    expect(page.locator(".badge.good")).to_be_visible()
    with page.expect_download() as file:
        page.locator("a[href$='/pdf']").first.click()
    assert file.value.suggested_filename.startswith("INV-2025-")


@pytest.mark.parametrize("language", ["en", "ar"])
def test_an_order_above_a_limit_is_asked_for_and_agreed_to(
    served: Portal, visit: Callable[..., Page], language: str
) -> None:
    buyer = visit("sara", language)
    buyer.goto(f"{served.url}/portal/subscriptions/sub_acme/seats?quantity=9")
    buyer.locator("#preview form button").click()
    buyer.wait_for_url("**/receipts/*")
    approver = visit("omar", language)
    approver.goto(f"{served.url}/portal/requests")
    keep(approver, f"portal-request-{language}-1280")
    assert barriers(approver) == []
    approver.locator("button[value=approve]").click()
    expect(approver.locator(".badge.good")).to_be_visible()


@pytest.mark.parametrize("language", ["en", "ar"])
def test_balance_is_bought_and_an_add_on_comes_and_goes(
    served: Portal, visit: Callable[..., Page], language: str
) -> None:
    """50.00 with 19 % tax is 59.50; support for 21 of 31 days, 20.32 with tax 24.18."""
    page = visit("omar", language, width=400)
    page.goto(f"{served.url}/portal/credit/w_acme/top-up")
    page.locator("[name=amount]:visible").fill("50")
    page.locator("[name=amount]:visible").blur()
    expect(page.locator("#preview")).to_contain_text("59.50")
    page.locator("#preview form button").click()
    page.wait_for_url("**/receipts/*")
    assert barriers(page) == []
    at = f"{served.url}/portal/subscriptions/sub_acme"
    page.goto(f"{at}/add-on?plan=support")
    expect(page.locator("#due-now")).to_contain_text("24.18")
    page.locator("#preview form button").click()
    page.wait_for_url("**/receipts/*")
    page.goto(at)
    page.locator("a[href*=remove-add-on]").click()
    assert barriers(page) == []
    page.locator("#preview form button").click()
    page.wait_for_url("**/receipts/*")
    page.goto(f"{served.url}/portal/nowhere")
    expect(page.locator("nav")).to_be_visible()
    assert barriers(page) == []
    served.faults[:] = [one for one in served.faults if "404" not in one]


@pytest.mark.parametrize("language", ["en", "ar"])
def test_somebody_signs_in_by_mail(chromium: Browser, served: Portal, language: str) -> None:
    context = chromium.new_context(
        locale="ar" if language == "ar" else "en-GB", viewport={"width": 400, "height": 800}
    )
    page = context.new_page()
    served.watch(page)
    page.goto(f"{served.url}/portal/sign-in")
    assert page.locator("html").get_attribute("lang") == language
    keep(page, f"portal-sign-in-{language}-400")
    assert barriers(page) == []
    page.locator("[name=email]").fill("sara@acme.example")
    page.locator("form[action$='/sign-in'] button").click()
    expect(page.locator("[role=status]")).to_be_visible()
    until = time.monotonic() + 10
    while not served.post.letters:
        assert time.monotonic() < until
        time.sleep(0.05)
    (link,) = re.findall(rf"{served.url}\S+", served.post.letters[0].text)
    page.goto(link)
    assert barriers(page) == []
    page.locator("form[action$='/enter'] button").click()
    expect(page.locator("h1")).to_contain_text("Acme")
    page.goto(link)
    page.locator("form[action$='/enter'] button").click()
    assert page.url.endswith("/portal/enter")
    expect(page.locator("h1")).to_be_visible()
    served.faults[:] = [one for one in served.faults if "410" not in one]
    context.close()
