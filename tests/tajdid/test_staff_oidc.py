"""Staff come into the admin screens by an identity provider, a real one on this machine."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.testclient import TestClient

from billing.admin.app import WAYS, application
from billing.admin.door import Away, DoorStuck
from billing.gateways.simulated import SimulatedGateway
from billing.web.context import Services
from billing.web.layers import Door
from billing.web.seal import Vault
from billing.web.stores import Stores
from dashboard.people import directory
from dashboard.people.settings import read_sign_in
from tajdid.staff import PeopleDoor, StaffError

sys.path.append(str(Path(__file__).resolve().parents[1] / "browser"))
from provider import CLIENT, SECRET, Provider, new_key, provider

BASE = "http://localhost:8512"
CALLBACK = f"{BASE}/admin/oauth2callback"
SESSION = "tajdid_session"
ROLES = {"ada": "admin", "fin": "finance", "ana": "analyst"}


class Clock:
    def __init__(self) -> None:
        self.passed = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.passed


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def login() -> Iterator[Provider]:
    with provider() as one:
        one.redirect_uri = CALLBACK
        one.people = {
            name: {"sub": name, "email": f"{name}@acme.example", "email_verified": True}
            for name in (*ROLES, "nobody")
        }
        yield one


def settle(home: Path, metadata_url: str, claim: str = "email") -> None:
    (home / "dashboard.toml").write_text(
        f'[sign_in]\nkind = "oidc"\nclaim = "{claim}"\nsession_hours = 2\n[auth]\n'
        'redirect_uri = "https://numbers.example/oauth2callback"\n'
        f'cookie_secret = "{"s" * 32}"\nclient_id = "{CLIENT}"\nclient_secret = "{SECRET}"\n'
        f'server_metadata_url = "{metadata_url}"\n'
    )


@pytest.fixture
def browser(
    tmp_path: Path, login: Provider, clock: Clock, _sqlite_template: Path
) -> Iterator[Callable[[], TestClient]]:
    """Browsers of people who are nobody yet."""
    settle(tmp_path, f"{login.address}/.well-known/openid-configuration")
    people = directory.open_people(read_sign_in(tmp_path).people_url)
    for name, role in ROLES.items():
        directory.add(people, clock(), "test", f"{name}@acme.example", name.title(), None)
        directory.give_role(people, clock(), "test", f"{name}@acme.example", "acme", role)
    stores = Stores(f"sqlite:///{_sqlite_template}")
    services = Services(stores, SimulatedGateway(1), Vault(bytes(32)), base_url=BASE, admin_url=BASE)
    app = application(
        services,
        PeopleDoor(tmp_path, "acme", clock, BASE),
        titles={"en": "Acme", "ar": "أكمي"},
        company="acme",
        listens=Door(hosts=("localhost",)),
    )
    yield lambda: TestClient(app, base_url=BASE, follow_redirects=False)
    stores.close()


def depart(browser: TestClient, page: str = "/admin/keys") -> str:
    """From a page to the sign-in page, by its link to the provider; the provider's address."""
    to_door = browser.get(page).headers["location"]
    way = re.search(r'href="(/admin/sign-in/away\?[^"]+)"', browser.get(to_door).text)
    assert way is not None
    sent = browser.get(way[1])
    assert sent.status_code == 303
    return sent.headers["location"]


def back_from(address: str, name: str) -> str:
    """Somebody tells the provider who they are; the address that it sends them back to."""
    links = re.findall(r'<a href="([^"]+)">(\w+)</a>', httpx.get(address).text)
    back = {person: link.replace("&amp;", "&") for link, person in links}[name]
    assert back.startswith(f"{CALLBACK}?")
    return back


def test_the_provider_leads_back_to_the_page_with_a_new_session(
    browser: Callable[[], TestClient], login: Provider
) -> None:
    mine = browser()
    mine.cookies.set(SESSION, "planted")
    address = depart(mine, "/admin/invoices?state=open")
    asked = parse_qs(urlsplit(address).query)
    assert asked["redirect_uri"] == [CALLBACK]
    assert asked["code_challenge_method"] == ["S256"]
    assert all(len(asked[one][0]) > 40 for one in ("state", "nonce", "code_challenge"))
    answer = mine.get(back_from(address, "ada"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/invoices?state=open")
    cookies = answer.headers.get_list("set-cookie")
    session = next(one for one in cookies if one.startswith(f"{SESSION}="))
    assert "planted" not in session
    assert all(one in session.lower() for one in ("httponly", "samesite=lax", "path=/"))
    assert any(one.startswith("tajdid_departed=") and "Max-Age=0" in one for one in cookies)
    assert mine.get("/admin/keys").status_code == 200
    assert login.refusals == []


def test_roles_are_those_of_the_list_of_people(browser: Callable[[], TestClient]) -> None:
    found = {}
    for name in (*ROLES, "nobody"):
        one = browser()
        came = one.get(back_from(depart(one), name))
        found[name] = (came.status_code, one.get("/admin/keys").status_code)
    assert found == {"ada": (303, 200), "fin": (303, 403), "ana": (403, 303), "nobody": (403, 303)}


def test_a_sign_in_is_for_the_browser_that_began_it_once_and_for_ten_minutes(
    browser: Callable[[], TestClient], login: Provider, clock: Clock
) -> None:
    mine, other = browser(), browser()
    back = back_from(depart(mine), "ada")
    assert other.get(back).status_code == 401  # of nobody who began
    depart(other)
    assert other.get(back).status_code == 401  # of somebody who began another one
    assert mine.get(back.replace("~%2Fadmin%2Fkeys", "~%2Fadmin%2Faudit")).status_code == 401
    late = back_from(depart(mine), "ada")
    clock.passed = timedelta(minutes=11)
    assert mine.get(late).status_code == 401
    clock.passed = timedelta()
    kept = back_from(depart(mine), "ada")
    memory = mine.cookies["tajdid_departed"]
    assert mine.get(kept).status_code == 303
    mine.cookies.set("tajdid_departed", memory)
    assert mine.get(kept).status_code == 401  # a code is worth something once
    assert login.refusals == ["code"]


@pytest.mark.parametrize(
    "lie", ["another key", "another nonce", "another issuer", "another client", "too old"]
)
def test_a_token_that_is_not_the_provider_s_for_this_sign_in_lets_nobody_in(
    browser: Callable[[], TestClient], login: Provider, lie: str
) -> None:
    claims = {
        "another key": {},
        "another nonce": {"nonce": "other"},
        "another issuer": {"iss": "https://evil.example"},
        "another client": {"aud": "other"},
        "too old": {"exp": 1_700_000_000},
    }
    login.people["ada"] |= claims[lie]
    if lie == "another key":
        login.signs_with = new_key()
    mine = browser()
    answer = mine.get(back_from(depart(mine), "ada"))
    assert answer.status_code == 401
    assert SESSION not in mine.cookies


def test_an_address_that_the_provider_has_not_verified_is_nobody_s(
    browser: Callable[[], TestClient], login: Provider
) -> None:
    login.people["ada"] |= {"email_verified": False}
    mine = browser()
    assert mine.get(back_from(depart(mine), "ada")).status_code == 403


def test_who_signs_out_is_out_with_the_same_cookie_and_the_same_answer_of_the_provider(
    browser: Callable[[], TestClient],
) -> None:
    mine = browser()
    back = back_from(depart(mine), "ada")
    mine.get(back)
    token = mine.cookies[SESSION]
    form = re.search(r'sign-out".*?name="csrf" value="([^"]+)"', mine.get("/admin/").text, re.S)
    assert form is not None
    mine.post("/admin/sign-out", data={"csrf": form[1]})
    mine.cookies.set(SESSION, token)
    assert mine.get("/admin/").status_code == 303
    assert mine.get(back).status_code == 401


def test_a_password_opens_nothing_where_people_sign_in_elsewhere(
    browser: Callable[[], TestClient], tmp_path: Path
) -> None:
    answer = browser().post("/admin/sign-in", data={"name": "ada@acme.example", "password": "any"})
    assert answer.status_code == 404
    assert PeopleDoor(tmp_path, "acme", Clock(), BASE).enter("ada@acme.example", "any").token is None


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/", "https://l:port/", "https://l:99999/", "https://\u2488/"]
)
def test_a_provider_that_is_away_or_nowhere_is_told_of_in_a_page(
    tmp_path: Path, clock: Clock, address: str
) -> None:
    settle(tmp_path, address)
    with pytest.raises(DoorStuck):
        PeopleDoor(tmp_path, "acme", clock, BASE).depart("/admin/")


@pytest.mark.parametrize(
    "address", ["https://login:port/", "http://[login/", "https://l:99999/", "", 5, None]
)
@pytest.mark.parametrize("named", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_a_provider_that_names_an_address_that_is_none_is_told_of_in_a_page(
    browser: Callable[[], TestClient], login: Provider, named: str, address: object
) -> None:
    login.says = {named: address}
    answer = browser().get("/admin/sign-in/away")
    assert answer.status_code == 503


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/jwks"])
def test_a_provider_whose_answer_nobody_can_read_is_told_of_in_a_page(
    browser: Callable[[], TestClient], login: Provider, path: str
) -> None:
    mine = browser()
    if path == "/.well-known/openid-configuration":
        login.garbles = path
        answer = mine.get("/admin/sign-in/away")
    else:
        back = back_from(depart(mine), "ada")
        login.garbles = path
        answer = mine.get(back)
    assert answer.status_code == 503
    assert SESSION not in mine.cookies
    login.garbles = ""
    assert mine.get(back_from(depart(mine), "ada")).status_code == 303


@pytest.mark.parametrize(
    "worth", [None, 5, [], "text", {"id_token": None}, {"id_token": 5}, {"id_token": "."}]
)
def test_a_token_that_is_none_lets_nobody_in(
    browser: Callable[[], TestClient], login: Provider, monkeypatch: pytest.MonkeyPatch, worth: object
) -> None:
    monkeypatch.setattr(login, "token", lambda *_: worth)
    mine = browser()
    assert mine.get(back_from(depart(mine), "ada")).status_code == 401


def test_an_address_leads_to_the_provider_and_back_at_a_slow_pace(browser: Callable[[], TestClient]) -> None:
    guesses = browser()
    ways = [f"/admin/{one}" for one in ("sign-in/away", "oauth2callback?code=any&state=any")]
    answers = [guesses.get(ways[number % 2]) for number in range(WAYS.burst + 2)]
    assert {one.status_code for one in answers[:-2]} == {303, 401}
    assert [one.status_code for one in answers[-2:]] == [429, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 1 / WAYS.per_second
    assert "Too many attempts" in answers[-1].text


def test_who_is_signed_in_works_on_while_many_wait_for_a_silent_provider(
    browser: Callable[[], TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends, statuses = threading.Event(), []

    def waits(_self: PeopleDoor, _target: str) -> Away:
        ends.wait(20)
        raise DoorStuck

    monkeypatch.setattr(PeopleDoor, "depart", waits)
    with browser() as others:
        threads = [
            threading.Thread(target=lambda: statuses.append(others.get("/admin/sign-in/away").status_code))
            for _ in range(8)
        ]
        mine = threading.Thread(target=lambda: statuses.append(others.get("/admin/keys").status_code))
        for one in threads:
            one.start()
        time.sleep(0.5)
        mine.start()
        mine.join(5)
        before = list(statuses)
        ends.set()
        for one in (*threads, mine):
            one.join()
    assert before == [303]  # to sign in: the page looked whose session it is
    assert statuses[1:] == [503] * 8


def test_the_screens_are_not_served_where_oidc_says_too_little_or_addresses_are_not_safe(
    tmp_path: Path, clock: Clock
) -> None:
    settle(tmp_path, "https://login.example/.well-known/openid-configuration")
    with pytest.raises(StaffError, match="https"):
        PeopleDoor(tmp_path, "acme", clock, "http://billing.acme.example")
    assert PeopleDoor(tmp_path, "acme", clock, "https://billing.acme.example").is_elsewhere
    (tmp_path / "dashboard.toml").write_text('[sign_in]\nkind = "oidc"\n')
    with pytest.raises(StaffError, match=r"\[auth\]"):
        PeopleDoor(tmp_path, "acme", clock, "https://billing.acme.example")
