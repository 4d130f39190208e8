"""What the merchant's server arranges for the portal: ways in, users, and what is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from visitor import Browser

from billing.api.app import application
from billing.store.store import open_store
from billing.store.tables import metadata
from billing.web.context import Caller

Visits = Callable[[], Browser]


@pytest.fixture
def browser(visits: Visits) -> Browser:
    return visits()


def _api(browser: Browser, customer_id: str | None = None) -> TestClient:
    caller = Caller("key", "ak", "shop", frozenset(("*:admin",)), customer_id=customer_id)
    return TestClient(application(browser.app.state.desk.services, lambda *_: caller))


@pytest.fixture
def merchant(browser: Browser) -> Iterator[TestClient]:
    with _api(browser) as client:
        yield client


def test_a_link_that_the_api_gave_signs_in_once_and_is_kept_nowhere(
    browser: Browser, merchant: TestClient, users: dict[str, str], url: str
) -> None:
    asked = {"customer_id": "acme", "user_id": users["sara"], "task": "cancel", "target": "sub_acme"}
    key = {"Idempotency-Key": "once"}
    given = merchant.post("/v1/portal-links", json=asked, headers=key)
    assert (given.status_code, given.json()["expires_at"]) == (201, "2025-03-11T09:10:00Z")
    link = given.json()["url"]
    answer = browser.follow_link(link.removeprefix("http://portal.test"))
    assert str(answer.url).endswith("/subscriptions/sub_acme/cancel")
    assert browser.follow_link(link.removeprefix("http://portal.test")).status_code == 410
    assert merchant.post("/v1/portal-links", json=asked, headers=key).json()["url"] == "***"
    with open_store(url) as store:
        secret = link.partition("t=")[2]
        for table in metadata.tables.values():
            assert secret not in str(store.rows(select(table))), table.name


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"customer_id": "nobody"}, "unknown_customer"),
        ({"customer_id": "acme", "user_id": "nobody"}, "unknown_user"),
        ({"customer_id": "acme", "task": "anything"}, "unknown_setting"),
    ],
)
def test_a_link_to_nobody_or_nothing_is_not_made(
    merchant: TestClient, wrong: dict[str, str], code: str
) -> None:
    answer = merchant.post("/v1/portal-links", json=wrong)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_a_key_of_a_customer_makes_links_and_users_for_that_one_alone(browser: Browser) -> None:
    with _api(browser, "acme") as client:
        assert client.post("/v1/portal-links", json={"customer_id": "north"}).status_code == 201
        refused = client.post("/v1/portal-links", json={"customer_id": "beta"})
        assert (refused.status_code, refused.json()["code"]) == (422, "unknown_customer")
        told = client.get("/v1/portal-users").json()["data"]
        assert {one["customer_id"] for one in told} == {"acme", "north"}
        assert client.get("/v1/portal-tasks").status_code == 200
        assert client.put("/v1/portal-tasks/pause", json={"is_open": False}).status_code == 403


def test_users_are_invited_and_listed(merchant: TestClient) -> None:
    body = {"customer_id": "beta", "email": "Kim@beta.example", "name": "Kim", "limit_minor": 5000}
    made = merchant.post("/v1/portal-users", json=body)
    assert made.status_code == 201
    assert (made.json()["email"], made.json()["state"]) == ("kim@beta.example", "invited")
    assert merchant.post("/v1/portal-users", json=body).json()["code"] == "immutable"
    told = merchant.get("/v1/portal-users?customer_id=beta").json()["data"]
    assert {one["name"] for one in told} == {"Bob", "Kim"}


def test_a_user_is_read_changed_and_removed(merchant: TestClient) -> None:
    body = {"customer_id": "beta", "email": "kim@beta.example", "name": "Kim", "limit_minor": 5000}
    path = f"/v1/portal-users/{merchant.post('/v1/portal-users', json=body).json()['user_id']}"
    tag = {"If-Match": merchant.get(path).headers["ETag"]}
    assert merchant.patch(path, json={"role": "viewer"}).status_code == 428
    changed = merchant.patch(path, json={"role": "approver", "limit_minor": None, "name": None}, headers=tag)
    assert (changed.json()["role"], changed.json()["limit_minor"], changed.json()["name"]) == (
        "approver",
        None,
        "Kim",
    )
    assert merchant.patch(path, json={"role": "viewer"}, headers=tag).status_code == 412
    assert merchant.delete(path).status_code == 204
    gone = merchant.get(path)
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown_user")
    assert merchant.delete(path).status_code == 404


def test_who_manages_the_users_last_stays(merchant: TestClient, users: dict[str, str]) -> None:
    path = f"/v1/portal-users/{users['lina']}"
    refused = merchant.delete(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "illegal_transition")
    tag = {"If-Match": merchant.get(path).headers["ETag"]}
    demoted = merchant.patch(path, json={"is_account_admin": False}, headers=tag)
    assert (demoted.status_code, demoted.json()["code"]) == (409, "illegal_transition")


def test_an_order_that_waits_for_an_approver_is_shown_to_the_merchant_and_its_customer_alone(
    as_user: Callable[[str], Browser], merchant: TestClient
) -> None:
    """5 seats are above what Sara may order alone."""
    sara = as_user("sara")
    sara.send(sara.page("/subscriptions/sub_acme/seats?quantity=5").form("/seats"))
    (one,) = merchant.get("/v1/portal-requests?state=pending").json()["data"]
    assert (one["customer_id"], one["act"], one["state"]) == ("acme", "change_quantity", "pending")
    assert one["arguments"]["quantity"] in (5, "5")
    path = f"/v1/portal-requests/{one['request_id']}"
    assert merchant.get(path).json() == one
    with _api(sara, "beta") as other:
        assert other.get(path).status_code == 404
        assert other.get("/v1/portal-requests").json()["data"] == []


def test_a_task_is_closed_by_the_api_and_gone_from_the_portal(browser: Browser, merchant: TestClient) -> None:
    closed = merchant.put("/v1/portal-tasks/pause", json={"is_open": False, "settings": {"longest_days": 7}})
    assert closed.json() == {
        "object": "portal_task",
        "name": "pause",
        "is_open": False,
        "settings": {"longest_days": 7},
    }
    browser.sign_in("sara")
    assert browser.get("/subscriptions/sub_acme/pause").status_code == 403
    assert merchant.put("/v1/portal-tasks/nothing", json={"is_open": True}).status_code == 404
    told = {one["name"]: one["is_open"] for one in merchant.get("/v1/portal-tasks").json()["data"]}
    assert told["pause"] is False
    assert told["cancel"] is True
