"""Being signed in: a new secret each time, for some hours, until somebody leaves or is removed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from portal_world import Hands
from visitor import Browser

from billing.service.portal_users import remove_user

AsUser = Callable[[str], Browser]
Visits = Callable[[], Browser]


def test_nobody_sees_a_page_without_a_session(visits: Visits) -> None:
    browser = visits()
    for path in ("/", "/invoices", "/subscriptions/sub_acme", "/users", "/history"):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/portal/sign-in")


def test_signing_in_gives_a_new_secret_whatever_was_there_before(visits: Visits) -> None:
    browser = visits()
    browser.keep_cookie("tajdid_portal", "planted-by-somebody-else")
    browser.sign_in("sara")
    first = browser.cookies["tajdid_portal"]
    assert first != "planted-by-somebody-else"
    browser.sign_in("sara")
    second = browser.cookies["tajdid_portal"]
    assert second != first
    other = visits()
    other.keep_cookie("tajdid_portal", first)
    assert other.get("/").status_code == 303, "the session of before has ended"


def test_signing_out_ends_the_session_for_whoever_has_its_secret(as_user: AsUser, visits: Visits) -> None:
    browser = as_user("sara")
    secret = browser.cookies["tajdid_portal"]
    browser.send(browser.page("/").form("/sign-out"))
    thief = visits()
    thief.keep_cookie("tajdid_portal", secret)
    assert thief.get("/").status_code == 303


@pytest.mark.parametrize(
    ("steps", "stays"),
    [([119], True), ([121], False), ([119] * 6, True), ([119] * 6 + [7], False)],
    ids=["used within two hours", "idle for two hours", "used for 11:54", "older than twelve hours"],
)
def test_a_session_lasts_while_it_is_used_but_not_a_day(
    as_user: AsUser, clock: Hands, steps: list[int], stays: bool
) -> None:
    browser = as_user("nora")
    status = 200
    for minutes in steps:
        clock.pass_by(timedelta(minutes=minutes))
        status = browser.get("/usage").status_code
    assert (status == 200) is stays


def test_a_removed_user_is_signed_out_everywhere(
    as_user: AsUser, users: dict[str, str], clock: Hands
) -> None:
    browser = as_user("sara")
    assert browser.get("/usage").status_code == 200
    with browser.app.state.desk.services.stores.write("staff:x") as store:
        remove_user(store, clock(), user_id=users["sara"])
    assert browser.get("/usage").status_code == 303


def test_a_session_is_made_of_cookies_that_no_script_reads(visits: Visits) -> None:
    browser = visits()
    answer = browser.send(browser.page(browser.link("sara")).form("/enter"), follow=False)
    cookies = answer.headers.get_list("set-cookie")
    given = next(one for one in cookies if one.startswith("tajdid_portal="))
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= {part.strip() for part in given.split(";")}


def test_behind_https_cookies_are_bound_to_the_host(url: str, users: dict[str, str]) -> None:
    from portal_world import Post, portal

    app = portal(url, Post(), Hands(), url="https://portal.test")
    browser = Browser(app, users, "https://portal.test")
    answer = browser.send(browser.page(browser.link("sara")).form("/enter"), follow=False)
    given = next(one for one in answer.headers.get_list("set-cookie") if "tajdid_portal=" in one)
    assert given.startswith("__Host-tajdid_portal=")
    assert {"Secure", "HttpOnly", "Path=/"} <= {part.strip() for part in given.split(";")}
    assert "Domain" not in given
    assert "max-age=31536000" in answer.headers["strict-transport-security"]
    browser.close()
    app.state.desk.services.stores.close()


def test_a_user_who_sees_no_children_does_not_see_them(as_user: AsUser) -> None:
    for name, status in (("sara", 404), ("omar", 200), ("bob", 404)):
        assert as_user(name).get("/subscriptions/sub_north").status_code == status, name
