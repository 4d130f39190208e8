"""The admin screens in a real Chromium, in both languages: each page is whole and has no barriers, and acts
are done as somebody does them, with scripts and without."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from looks import barriers
from playwright.sync_api import Browser, Page
from provider import CLIENT, SECRET, provider
from window import PATIENCE_MS, keep

from billing.store.store import IdGenerator, open_store
from tajdid.server import command

sys.path.append(str(Path(__file__).resolve().parents[1] / "billing" / "admin"))
import admin_world
from sqlalchemy import select

from billing.store import tables

pytestmark = pytest.mark.browser
WIDTHS = (360, 768, 1280)
START_SECONDS = 120


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the small company of the admin tests, on a day of its own."""
    folder = tmp_path_factory.mktemp("admin-home") / "acme"
    folder.mkdir()
    (folder / "company.toml").write_text(
        'name = "acme"\ntitle_en = "Acme"\nsample = true\nas_of = 2025-01-20\n'
        '[serve]\ndashboard_url = "http://127.0.0.1:8501"\n'
    )
    (folder / "policy.toml").write_text("")
    with open_store(f"sqlite:///{folder / 'billing.db'}", IdGenerator(5, 0)) as store:
        store.migrate()
        admin_world.build(store)
    from tajdid.services import open_sandbox
    from tajdid.workspace import load_company

    open_sandbox(load_company(folder.parent, "acme"))
    return folder.parent


@pytest.fixture(scope="module")
def screens(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the screens, served until the last test of the module ends."""
    with served(home, tmp_path_factory.mktemp("admin-log") / "log", free_port()) as address:
        yield address


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(home: Path, log: Path, port: int) -> Iterator[str]:
    """The screens of the company on a port, until the block ends; gives their address."""
    ports = {"api": port + 1, "portal": port + 2, "admin": port}
    with log.open("w") as output:
        process = subprocess.Popen(
            command("admin_server", home, "acme", ports), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                with urllib.request.urlopen(f"http://localhost:{port}/health/ready", timeout=2):
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        yield f"http://localhost:{port}/admin"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(params=["en", "ar"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def page(chromium: Browser, language: str, screens: str) -> Iterator[Page]:
    """A window of somebody of the staff; when it closes, no other host was asked and nothing complained."""
    yield from window(chromium, language, screens, scripts=True)


def window(chromium: Browser, language: str, screens: str, *, scripts: bool) -> Iterator[Page]:
    context = chromium.new_context(locale=f"{language}-EG", java_script_enabled=scripts)
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE_MS)
    outside: list[str] = []
    complaints: list[str] = []
    own = screens.removesuffix("/admin")
    opened.on("request", lambda one: None if one.url.startswith(own) else outside.append(one.url))
    opened.on("console", lambda one: complaints.append(one.text) if one.type == "error" else None)
    opened.on("pageerror", lambda one: complaints.append(str(one)))
    yield opened
    context.close()
    assert outside == []
    assert [one for one in complaints if "422" not in one] == []


def invoice_of(home: Path, customer_id: str) -> tuple[str, str]:
    with open_store(f"sqlite:///{home / 'acme' / 'billing.db'}") as store:
        of = tables.invoices.c
        row = store.row(select(of.invoice_id, of.number).where(of.customer_id == customer_id))
        assert row is not None
        return str(row["invoice_id"]), str(row["number"])


def price_of(home: Path) -> str:
    with open_store(f"sqlite:///{home / 'acme' / 'billing.db'}") as store:
        of = tables.prices.c
        row = store.row(select(of.price_id).where(of.model == "graduated"))
        assert row is not None
        return str(row["price_id"])


def test_every_page_is_whole_at_every_width_and_has_no_barriers(
    page: Page, home: Path, screens: str, language: str
) -> None:
    invoice_id, _number = invoice_of(home, "bert")
    places = {
        "home": "/",
        "customers": "/customers",
        "customer": "/customers/bert",
        "subscription": "/subscriptions/sub-anna",
        "invoices": "/invoices?state=past_due",
        "invoice": f"/invoices/{invoice_id}",
        "dunning": "/dunning",
        "parked": "/parked",
        "approvals": "/approvals",
        "plan": "/catalogue/basic",
        "price": f"/prices/{price_of(home)}?quantity=12",
        "periods": "/periods",
        "webhooks": "/webhooks",
        "endpoint": "/webhooks/we-1",
        "keys": "/keys",
        "audit": "/audit",
        "act": f"/acts/void/{invoice_id}?reason=wrong",
    }
    for name, place in places.items():
        page.set_viewport_size({"width": WIDTHS[-1], "height": 900})
        answer = page.goto(screens + place)
        assert answer is not None
        assert answer.status == 200, place
        assert page.evaluate("document.documentElement.dir") == ("rtl" if language == "ar" else "ltr")
        found = barriers(page)
        assert found == [], (name, found)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wider <= 0, (name, width, wider)
            keep(page, f"admin-{name}-{language}-{width}")


def test_a_price_is_worked_out_in_place(page: Page, home: Path, screens: str) -> None:
    page.goto(f"{screens}/prices/{price_of(home)}")
    page.fill("#f-quantity", "12")
    with page.expect_response(lambda one: "quantity=12" in one.url):
        page.press("#f-quantity", "Enter")
    page.wait_for_selector("#tried table")
    assert "58" in page.inner_text("#tried")
    assert page.url.endswith(price_of(home))  # the page stayed, a part of it is new


@pytest.mark.parametrize("scripts", [True, False])
def test_an_invoice_is_written_off_and_taken_back_as_somebody_does_it(
    chromium: Browser, home: Path, screens: str, scripts: bool
) -> None:
    invoice_id, number = invoice_of(home, "bert")
    for page in window(chromium, "en", screens, scripts=scripts):
        page.goto(f"{screens}/invoices/{invoice_id}")
        page.get_by_role("link", name="Write it off…").click()
        page.get_by_label("Reason").fill("lost")
        page.get_by_role("button", name="Show what it does").click()
        assert "€23.80" in page.inner_text("#consequence")
        page.get_by_label("To go on, type").fill("something else")
        page.get_by_role("button", name="Write it off").click()
        assert "Nothing was done" in page.inner_text(".notice")
        page.get_by_label("To go on, type").fill(number)
        page.get_by_role("button", name="Write it off").click()
        assert "Done: Write an invoice off" in page.inner_text(".notice")
        page.get_by_role("link", name="Take the write-off back…").click()
        page.get_by_label("Reason").fill("found")
        page.get_by_role("button", name="Show what it does").click()
        page.get_by_label("To go on, type").fill(number)
        page.get_by_role("button", name="Take it back").click()
        assert "Done: Take a write-off back" in page.inner_text(".notice")


def test_staff_come_to_the_portal_as_a_customer(page: Page, screens: str) -> None:
    """By a link: a browser follows no form of ours to another address."""
    page.goto(f"{screens}/customers/bert/portal")
    page.locator("main form button").click()
    way = page.locator("main a[href*='/portal/enter?t=']")
    way.wait_for()
    assert way.get_attribute("target") == "_blank"


def test_staff_sign_in_by_an_identity_provider_and_leave(
    chromium: Browser, home: Path, tmp_path: Path
) -> None:
    from dashboard.people import directory
    from dashboard.people.settings import read_sign_in

    port, at = free_port(), datetime.now(UTC)
    people_of = tmp_path / "home"
    people_of.mkdir()
    (people_of / "acme").symlink_to(home / "acme")
    with provider() as login:
        login.redirect_uri = f"http://localhost:{port}/admin/oauth2callback"
        email = "mia@acme.example"
        login.people = {"Mia": {"sub": "1", "email": email, "email_verified": True}}
        (people_of / "dashboard.toml").write_text(
            f'[sign_in]\nkind = "oidc"\n[auth]\nredirect_uri = "http://localhost:1/oauth2callback"\n'
            f'cookie_secret = "{"s" * 32}"\nclient_id = "{CLIENT}"\nclient_secret = "{SECRET}"\n'
            f'server_metadata_url = "{login.address}/.well-known/openid-configuration"\n'
        )
        people = directory.open_people(read_sign_in(people_of).people_url)
        directory.add(people, at, "test", email, "Mia", None)
        directory.give_role(people, at, "test", email, "acme", "admin")
        log = tmp_path / "log"
        with served(people_of, log, port) as address:
            context = chromium.new_context(locale="ar-EG")
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.goto(f"{address}/invoices?state=open")
            assert barriers(page) == []
            keep(page, "admin-sign-in-oidc-ar")
            page.locator("main a.primary").click()
            page.get_by_role("link", name="Mia").click()
            page.wait_for_url(f"{address}/invoices?state=open")
            assert "Mia" in page.inner_text(".who")
            page.locator("form[action$='/sign-out'] button").click()
            page.wait_for_url(f"{address}/sign-in")
            page.goto(f"{address}/customers")
            assert "/sign-in?next=" in page.url
            context.close()
        assert login.refusals == []
        told = log.read_text()
        assert not any(secret in told for secret in (SECRET, "code=", "s" * 32))
