"""Forms: each needs the token of that very form and session, from a page of ours; a GET changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import func, select
from visitor import Browser, Form

from billing.core.money import BillingError
from billing.store.store import open_store
from billing.store.tables import metadata, outbox
from billing.web.forms import check_typed, fields_of
from billing.web.problems import Problem

AsUser = Callable[[str], Browser]
CANCEL = "/subscriptions/sub_acme/cancel?reason=unused"


def _cancel(browser: Browser) -> Form:
    return browser.page(CANCEL).form("/cancel")


def test_a_form_of_ours_is_taken(as_user: AsUser) -> None:
    browser = as_user("sara")
    answer = browser.send(_cancel(browser))
    assert "/receipts/" in str(answer.url)


def test_a_form_without_its_own_token_is_refused(as_user: AsUser) -> None:
    browser, other = as_user("sara"), as_user("sara")
    form = _cancel(browser)
    tokens = {
        "none": "",
        "of another session": _cancel(other).fields["csrf"],
        "of another form": browser.page("/").form("/sign-out").fields["csrf"],
        "changed": form.fields["csrf"][:-1] + "x",
    }
    for what, token in tokens.items():
        answer = browser.send(form, csrf=token)
        assert answer.status_code == 403, what
    assert "Ends on" not in browser.page("/subscriptions/sub_acme").text


@pytest.mark.parametrize(
    "origin", ["http://evil.test", "null", "https://portal.test", "http://portal.test:81"]
)
def test_a_form_from_elsewhere_is_refused(as_user: AsUser, origin: str) -> None:
    browser = as_user("sara")
    assert browser.send(_cancel(browser), origin=origin).status_code == 403


def test_what_a_browser_calls_cross_site_is_refused(as_user: AsUser) -> None:
    browser = as_user("sara")
    form = _cancel(browser)
    headers = {"sec-fetch-site": "cross-site", "content-type": "application/x-www-form-urlencoded"}
    assert browser.request("POST", form.action, data=form.fields, headers=headers).status_code == 403


def test_every_deed_asks_for_a_token(as_user: AsUser) -> None:
    browser = as_user("sara")
    deeds = [one for one in browser.app.router.routes if "POST" in (getattr(one, "methods", None) or ())]
    assert len(deeds) > 20
    for route in deeds:
        path = route.path.replace("{subscription_id}", "sub_acme").replace("{contact_id}", "x")  # type: ignore[attr-defined]
        for name in ("user_id", "request_id", "po_id", "method_id", "invoice_id"):
            path = path.replace(f"{{{name}}}", "x")
        answer = browser.request("POST", path, data={"x": "1"}, headers={"origin": "http://portal.test"})
        assert answer.status_code == 403, path


def test_a_get_changes_nothing(as_user: AsUser, url: str) -> None:
    browser = as_user("omar")
    before = _sizes(url)
    for route in browser.app.router.routes:
        if "GET" in (getattr(route, "methods", None) or ()) and "{" not in route.path:  # type: ignore[attr-defined]
            browser.get(route.path)  # type: ignore[attr-defined]
    for name in (
        "plan?plan=pro",
        "seats?quantity=50",
        "pause?until=2025-04-10",
        "cancel?reason=other",
        "resume",
    ):
        browser.get(f"/subscriptions/sub_acme/{name}")
    assert _sizes(url) == before


def _sizes(url: str) -> dict[str, int]:
    with open_store(url) as store:
        return {
            name: store.rows(select(func.count().label("rows")).select_from(table))[0]["rows"]
            for name, table in metadata.tables.items()
        }


def test_a_form_sent_twice_does_its_deed_once(as_user: AsUser, url: str) -> None:
    browser = as_user("sara")
    form = browser.page("/subscriptions/sub_acme/seats?quantity=4").form("/seats")
    first, second = browser.send(form), browser.send(form)
    assert first.url == second.url
    with open_store(url) as store:
        told = select(outbox).where(outbox.c.topic == "subscription.quantity_changed")
        assert len(store.rows(told)) == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"a=1&a=2", "application/x-www-form-urlencoded"),
        (b"a=%00", "application/x-www-form-urlencoded"),
        (b"a=%ed%a0%80", "application/x-www-form-urlencoded"),
        (b"a=\xff", "application/x-www-form-urlencoded"),
        (b'{"a": 1}', "application/json"),
        (b"&".join(b"f%d=1" % n for n in range(300)), "application/x-www-form-urlencoded"),
    ],
    ids=["twice", "NUL", "half a pair", "no UTF-8", "JSON", "many fields"],
)
def test_a_form_that_cannot_be_read_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(Problem) as caught:
        fields_of(body, kind)
    assert caught.value.status in (400, 415)


def test_a_form_that_is_too_large_is_not_read(as_user: AsUser) -> None:
    browser = as_user("sara")
    answer = browser.request(
        "POST",
        "/details/name",
        content=b"name=" + b"x" * 70_000,
        headers={"content-type": "application/x-www-form-urlencoded", "origin": "http://portal.test"},
    )
    assert answer.status_code == 413


def test_what_cannot_be_undone_is_confirmed_by_its_name() -> None:
    check_typed(" INV-1 ", "INV-1")
    for typed in (None, "", "inv-1", "INV-2"):
        with pytest.raises((Problem, BillingError)):
            check_typed(typed, "INV-1")


def test_a_field_keeps_each_of_its_attributes(as_user: AsUser) -> None:
    given = [
        of for tag, of in as_user("sara").page("/details").tags if tag == "input" and of.get("name") == "city"
    ]
    assert [(set(one) >= {"required", "maxlength"}, one.get("dir")) for one in given] == [(True, "auto")]
