"""Staff come in by their password, leave for good, and are kept apart by what they may."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from httpx import Response
from starlette.testclient import TestClient

from billing.admin.app import GUESSES

Screens = Callable[..., TestClient]


def sign_in(browser: TestClient, name: str = "mia", password: str = "right", **more: str) -> Response:
    """What the form of the page answers."""
    page = browser.get("/admin/sign-in").text
    token = re.search(r'action="/admin/sign-in".*?name="csrf" value="([^"]+)"', page, re.S)
    assert token is not None
    form = {"csrf": token[1], "name": name, "password": password} | more
    answer: Response = browser.post("/admin/sign-in", data=form)
    return answer


def test_a_right_password_begins_a_session_and_leads_back(screens: Screens) -> None:
    browser = screens()
    answer = sign_in(browser, next="/admin/invoices?state=open")
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/invoices?state=open")
    cookie = answer.headers["set-cookie"].lower()
    assert all(one in cookie for one in ("tajdid_session=token-mia", "httponly", "samesite=lax", "path=/"))
    assert browser.get("/admin/invoices").status_code == 200


@pytest.mark.parametrize(
    ("name", "status", "said"), [("mia", 401, "do not belong together"), ("locked", 429, "in 2 minutes")]
)
def test_a_wrong_password_and_a_locked_name_are_told(
    screens: Screens, name: str, status: int, said: str
) -> None:
    answer = sign_in(screens(), name, "wrong")
    assert (answer.status_code, said in answer.text) == (status, True)
    assert answer.headers.get("retry-after") == ("90" if status == 429 else None)
    assert "set-cookie" not in answer.headers


def test_an_address_guesses_at_a_slow_pace_whatever_the_names(screens: Screens) -> None:
    browser = screens()
    answers = [sign_in(browser, f"guess{number}", "wrong") for number in range(GUESSES.burst + 1)]
    assert [one.status_code for one in answers] == [401] * GUESSES.burst + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 1 / GUESSES.per_second
    assert "Too many attempts" in answers[-1].text
    assert sign_in(browser).status_code == 429


def test_nobody_is_signed_in_by_a_form_of_another_browser(screens: Screens) -> None:
    form = {"name": "mia", "password": "right"}
    assert screens().post("/admin/sign-in", data=form).status_code == 403
    page = screens().get("/admin/sign-in").text
    stolen = re.search(r'action="/admin/sign-in".*?name="csrf" value="([^"]+)"', page, re.S)
    assert stolen is not None
    other = screens()
    other.get("/admin/sign-in")
    for browser in (screens(), other):
        answer = browser.post("/admin/sign-in", data=form | {"csrf": stolen[1]})
        assert (answer.status_code, "token-mia" in str(answer.headers)) == (403, False)


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/portal", "/admin/\\evil", ""])
def test_signing_in_leads_nowhere_else(screens: Screens, target: str) -> None:
    assert sign_in(screens(), next=target).headers["location"] == "/admin/"


def test_a_sign_in_from_another_site_is_refused(screens: Screens) -> None:
    form = {"name": "mia", "password": "right"}
    answer = screens().post("/admin/sign-in", data=form, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_request_for_another_host_is_refused(screens: Screens) -> None:
    assert screens("mia").get("/admin/", headers={"Host": "evil.example"}).status_code == 400


def test_the_language_is_chosen_before_signing_in(screens: Screens) -> None:
    browser = screens()
    page = browser.get("/admin/sign-in").text
    token = re.search(r'/language".*?name="csrf" value="([^"]+)"', page, re.S)
    assert token is not None
    form = {"csrf": token[1], "language": "ar", "back": "/admin/sign-in"}
    assert browser.post("/admin/language", data=form).status_code == 303
    assert 'dir="rtl"' in browser.get("/admin/sign-in").text


def test_who_signs_out_is_out_also_with_the_same_cookie(screens: Screens) -> None:
    browser = screens("mia")
    token = re.search(r'sign-out".*?name="csrf" value="([^"]+)"', browser.get("/admin/").text, re.S)
    assert token is not None
    assert browser.post("/admin/sign-out", data={"csrf": token[1]}).status_code == 303
    again = screens("mia")
    assert again.get("/admin/").headers["location"].startswith("/admin/sign-in")


def test_a_language_that_was_chosen_stays(screens: Screens) -> None:
    browser = screens("mia")
    token = re.search(r'/language".*?name="csrf" value="([^"]+)"', browser.get("/admin/").text, re.S)
    assert token is not None
    form = {"csrf": token[1], "language": "ar", "back": "/admin/customers"}
    assert browser.post("/admin/language", data=form).headers["location"] == "/admin/customers"
    assert 'dir="rtl"' in browser.get("/admin/customers").text


def test_a_key_is_shown_once_and_opens(screens: Screens) -> None:
    browser = screens("mia")
    page = browser.get("/admin/keys").text
    token = re.search(r'action="/admin/keys".*?name="csrf" value="([^"]+)"', page, re.S)
    assert token is not None
    form = {"csrf": token[1], "name": "A program", "scopes": "invoices:read"}
    made = browser.post("/admin/keys", data=form).text
    secret = re.search(r"tj_live_[a-z2-7]{12}_[A-Za-z0-9_-]{43}", made)
    assert secret is not None
    assert "A program" in browser.get("/admin/keys").text
    assert secret[0] not in browser.get("/admin/keys").text
    assert secret[0] not in browser.get("/admin/audit").text
    bad = browser.post("/admin/keys", data=form | {"scopes": "everything"})
    assert bad.status_code == 422
    assert "unknown_scope" in bad.text


def test_the_portal_is_opened_as_a_customer_by_a_link_of_its_own(screens: Screens) -> None:
    browser = screens("finn")
    page = browser.get("/admin/customers/anna/portal").text
    token = re.search(r'name="csrf" value="([^"]+)">\s*<button class="button primary"', page)
    assert token is not None
    form = {"csrf": token[1]}
    answers = [browser.post("/admin/customers/anna/portal", data=form) for _ in range(2)]
    # Not sent on to: browsers follow no form of ours to another place (form-action 'self').
    assert {one.status_code for one in answers} == {200}
    links = {
        re.search(r'href="(http://portal\.example/portal/enter\?t=[\w-]{43})"', one.text) for one in answers
    }
    assert len({one[1] for one in links if one is not None}) == 2
    assert "make_portal_link" in screens("mia").get("/admin/audit?customer=anna").text
