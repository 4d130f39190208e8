"""Signing in and out in a real browser: by an identity provider on this machine, and by password."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest
from looks import barriers
from playwright.sync_api import Browser, Page, expect
from provider import CLIENT, SECRET, Provider, new_key, provider
from window import PATIENCE_MS, keep

from dashboard.people import directory, passwords
from dashboard.people.settings import read_sign_in
from dashboard.records.database import Records
from dashboard.serve import command

pytestmark = pytest.mark.browser
expect.set_options(timeout=PATIENCE_MS)
COOKIE_SECRET = "cookie-secret-that-no-log-may-hold-0"
PASSWORD = "a long walk home 9"
NOW = datetime.now(UTC)


def tiny_world() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "dashboard" / "tiny_world.py"
    spec = importlib.util.spec_from_file_location("tiny_world", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One published company, and one that nobody has a role in."""
    world, home = tiny_world(), tmp_path_factory.mktemp("people")
    for name in ("lumen", "secret"):
        world.publish(home / name, f"b-{name}", world.fill_subscriptions, title=(name.title(), name))
    return home


@contextmanager
def served(home: Path, port: int) -> Iterator[Path]:
    """The dashboard on `port` until the block ends; gives its log."""
    log = home / f"server-{port}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command(home, port), stdout=output, stderr=subprocess.STDOUT, env=dict(os.environ)
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/_stcore/health", process, log)
            yield log
        finally:
            process.terminate()
            process.wait(timeout=10)


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(450):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the dashboard did not start: {log.read_text()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def people_of(home: Path) -> Records:
    return directory.open_people(read_sign_in(home).people_url)


def person(people: Records, name: str, role: str, password: str | None = None) -> None:
    kept = None if password is None else passwords.kept(password)
    directory.add(people, NOW, "admin", name, name.split("@")[0].title(), kept)
    directory.give_role(people, NOW, "admin", name, "lumen", role, "Amal" if role == "csm" else None)


@contextmanager
def window(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    yield page
    context.close()


def claims(email: str, **more: object) -> dict[str, object]:
    return {"sub": email, "email": email, "email_verified": True, "name": email, **more}


@pytest.fixture
def login() -> Iterator[Provider]:
    with provider() as one:
        yield one


def sign_in(page: Page, address: str, name: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name=name).click()


def test_signing_in_by_a_provider_shows_what_the_role_allows_until_one_leaves(
    chromium: Browser, home: Path, login: Provider
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    login.redirect_uri = f"{address}/oauth2callback"
    login.people = {
        "chief": claims("chief@example.com"),
        "csm": claims("csm@example.com"),
        "stranger": claims("stranger@example.com"),
        "unverified": claims("chief@example.com", email_verified=False),
    }
    (home / "dashboard.toml").write_text(
        f"""
[auth]
redirect_uri = "{login.redirect_uri}"
cookie_secret = "{COOKIE_SECRET}"
client_id = "{CLIENT}"
client_secret = "{SECRET}"
server_metadata_url = "{login.address}/.well-known/openid-configuration"
""",
        encoding="utf-8",
    )
    people = people_of(home)
    person(people, "chief@example.com", "executive")
    person(people, "csm@example.com", "csm")
    with served(home, port) as log:
        with window(chromium) as page:
            page.goto(f"{address}/?company=secret")
            expect(page.get_by_text("Sign in to see the figures.")).to_be_visible()
            expect(page.get_by_text("€560.33")).to_have_count(0)
            sign_in(page, address, "chief")
            expect(page.get_by_role("heading", name="Revenue overview")).to_be_visible()
            expect(page.get_by_text("€560.33").first).to_be_visible()
            expect(page.get_by_text("Chief", exact=True)).to_be_visible()
            page.get_by_role("button", name="Sign out").click()
            expect(page.get_by_text("Sign in to see the figures.")).to_be_visible()
            sign_in(page, address, "chief")
            expect(page.get_by_text("€560.33").first).to_be_visible()
            directory.remove(people, datetime.now(UTC), "admin", "chief@example.com")
            page.reload()
            expect(page.get_by_text("no role in any company")).to_be_visible()
            expect(page.get_by_text("€560.33")).to_have_count(0)
        with window(chromium) as page:
            sign_in(page, address, "csm")
            expect(page.get_by_role("heading", name="Churn risk")).to_be_visible()
            page.goto(f"{address}/revenue?company=secret")
            expect(page.get_by_text("Your role does not include this page.")).to_be_visible()
            expect(page.get_by_text("€560.33")).to_have_count(0)
        for name in ("stranger", "unverified"):
            with window(chromium) as page:
                sign_in(page, address, name)
                expect(page.get_by_text("no role in any company")).to_be_visible()
        with window(chromium) as page:
            login.signs_with = new_key()
            sign_in(page, address, "csm")
            expect(page.get_by_text("Sign in to see the figures.")).to_be_visible()
        text = log.read_text()
    assert login.refusals == []
    assert COOKIE_SECRET not in text
    assert SECRET not in text


def test_signing_in_by_password_holds_for_the_whole_browser_and_ends_with_the_session(
    chromium: Browser, home: Path
) -> None:
    (home / "dashboard.toml").write_text('[sign_in]\nkind = "password"\n', encoding="utf-8")
    person(people_of(home), "sara", "executive", PASSWORD)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with served(home, port) as log, window(chromium) as page:
        page.goto(f"{address}/retention?lang=ar")
        page.get_by_role("link", name="تسجيل الدخول").click()
        expect(page.locator("html")).to_have_attribute("dir", "rtl")
        keep(page, "sign-in-ar")
        assert barriers(page) == []
        page.get_by_role("link", name="English").click()
        expect(page.locator("html")).to_have_attribute("dir", "ltr")
        assert barriers(page) == []
        page.get_by_role("link", name="العربية").click()
        page.get_by_role("textbox").first.fill("sara")
        page.locator("#password").fill("wrong password 1")
        page.locator("#password").press("Enter")
        expect(page.get_by_role("alert")).to_be_visible()
        assert barriers(page) == []
        page.get_by_role("textbox").first.fill("sara")
        page.locator("#password").fill(PASSWORD)
        page.locator("#password").press("Enter")
        expect(page.get_by_role("heading", name="الاحتفاظ والأفواج")).to_be_visible()
        page.goto(f"{address}/revenue")
        expect(page.get_by_text("€560.33").first).to_be_visible()
        assert "tajdid_session" not in page.evaluate("document.cookie")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("Your session has ended.")).to_be_visible()
        page.goto(f"{address}/revenue?lang=ar")
        expect(page.get_by_text("انتهت جلستك")).to_be_visible()
        assert PASSWORD not in log.read_text()
