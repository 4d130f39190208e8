"""Subscriptions through the API: what is done, what it would cost, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any

import pytest
from small_api import Api, at, open_company, serving
from sqlalchemy import func, select

from billing.api.shapes.subscriptions import DEEDS
from billing.core.subscription import CANCEL_REASONS
from billing.jobs.bill_run import bill
from billing.service import subscriptions as acts
from billing.service.customers import change_customer
from billing.store.store import Store, open_store
from billing.store.subscriptions import read_standing
from billing.store.tables import approvals, audit_log, invoices, item_versions, outbox, subscriptions
from billing.web.previews import ACTS, REASONS


@pytest.fixture
def api(_sqlite_database: str) -> Iterator[Api]:
    with serving(_sqlite_database) as one:
        yield one


@pytest.fixture
def each_api(database_url: str) -> Iterator[Api]:
    """The same on SQLite and on PostgreSQL."""
    with serving(database_url) as one:
        yield one


def subscribe(api: Api, **more: Any) -> Any:
    """Anna takes basic for 12 seats as subscription `s`."""
    wanted = {"customer_id": "anna", "plan_id": "basic", "quantity": 12, "subscription_id": "s"}
    return api.ask("POST", "/subscriptions", wanted | more)


def invoiced(store: Store) -> int:
    row = store.row(select(func.coalesce(func.sum(invoices.c.total_minor), 0).label("sum")))
    assert row is not None
    return int(row["sum"])


def test_a_subscription_is_agreed_and_read_back(api: Api) -> None:
    made = api.answer("POST", "/subscriptions", {"customer_id": "anna", "plan_id": "basic", "quantity": "12"})
    shown = made.json()
    assert (made.status_code, made.headers["location"]) == (
        201,
        f"/v1/subscriptions/{shown['subscription_id']}",
    )
    assert (shown["status"], shown["currency"], shown["starts_on"]) == ("active", "EUR", "2025-01-01")
    (item,) = shown["items"]
    # 10.00 + 10 seats at 5.00 + 2 at 4.00
    assert (item["plan_id"], item["quantity"], item["recurring_minor"]) == ("basic", "12", 6800)
    read = api.answer("GET", f"/subscriptions/{shown['subscription_id']}")
    assert (read.json(), read.headers["etag"]) == (shown, made.headers["etag"])


Step = tuple[datetime, str, dict[str, Any], Callable[[Store, datetime], object]]
LIFE: list[Step] = [
    (
        at(1, 10),
        "change-quantity",
        {"quantity": "20"},
        lambda s, t: acts.change_quantity(s, t, subscription_id="s", quantity=20),
    ),
    (
        at(1, 12),
        "change-plan",
        {"plan_id": "pro", "when": "period_end"},
        lambda s, t: acts.change_plan(s, t, subscription_id="s", plan_id="pro", when="period_end"),
    ),
    (
        at(2, 3),
        "pause",
        {"from_on": "2025-02-10", "until": "2025-03-10"},
        lambda s, t: acts.pause(
            s, t, subscription_id="s", from_on=date(2025, 2, 10), until=date(2025, 3, 10)
        ),
    ),
    (at(2, 20), "resume", {}, lambda s, t: acts.resume(s, t, subscription_id="s")),
    (
        at(3, 2),
        "cancel",
        {"reason": "too_expensive"},
        lambda s, t: acts.cancel(s, t, subscription_id="s", reason="too_expensive"),
    ),
    (at(3, 3), "undo-cancel", {}, lambda s, t: acts.undo_cancel(s, t, subscription_id="s")),
    (
        at(3, 5),
        "cancel",
        {"when": "now", "money": "none"},
        lambda s, t: acts.cancel(s, t, subscription_id="s", when="now", money="none"),
    ),
    (
        at(4, 1),
        "reactivate",
        {"plan_id": "basic", "quantity": 3},
        lambda s, t: acts.reactivate(s, t, subscription_id="s", plan_id="basic", quantity=3),
    ),
]


def test_a_life_by_http_leaves_what_the_acts_themselves_leave(sqlite_store: Store, tmp_path: Any) -> None:
    open_company(sqlite_store)
    acts.subscribe(
        sqlite_store, at(1, 1), customer_id="anna", plan_id="basic", quantity=12, subscription_id="s"
    )
    url = f"sqlite:///{tmp_path / 'other.db'}"
    with open_store(url) as made:
        made.migrate()
    with serving(url) as api:
        api.at = at(1, 1)
        subscribe(api)
        for when, path, body, act in LIFE:
            api.at = when
            shown = api.answer("POST", f"/subscriptions/s/{path}", body)
            assert shown.status_code == 200, shown.json()
            act(sqlite_store, when)
            assert shown.json()["status"] == read_standing(sqlite_store, when, "s").status, path
        assert _facts(api.store) == _facts(sqlite_store)


def _facts(store: Store) -> list[Any]:
    """What an act leaves, without ids."""
    versions = select(
        item_versions.c.effective_start,
        item_versions.c.effective_end,
        item_versions.c.plan_id,
        item_versions.c.quantity_mantissa,
        item_versions.c.pause,
        item_versions.c.reason,
        item_versions.c.recurring_minor,
        item_versions.c.superseded_at,
    )
    own = select(subscriptions.c.status, subscriptions.c.ends_on, subscriptions.c.cancel_reason)
    told = select(outbox.c.topic).where(outbox.c.topic.like("subscription%"))
    return [
        sorted(map(str, store.frame(versions).rows())),
        store.frame(own).rows(),
        sorted(store.frame(told).rows()),
    ]


def test_who_did_it_stands_in_the_audit_log(api: Api) -> None:
    subscribe(api)
    api.ask("POST", "/subscriptions/s/change-quantity", {"quantity": 1}, key="anna")
    row = api.store.row(select(audit_log.c.actor).where(audit_log.c.act == "change_quantity"))
    assert row == {"actor": "key:anna"}


def test_an_add_on_comes_and_goes(api: Api) -> None:
    subscribe(api)
    added = api.answer("POST", "/subscriptions/s/add-item", {"plan_id": "support"})
    item = added.json()
    assert (added.status_code, item["is_add_on"], item["recurring_minor"]) == (201, True, 3000)
    assert api.ask("POST", f"/items/{item['item_id']}/remove")["object"] == "subscription"
    ahead = api.ask("GET", "/subscriptions/s", params={"expand": "upcoming"})["upcoming"]
    assert [(one["on"], one["item_id"], one["reason"]) for one in ahead] == [
        ("2025-02-01", item["item_id"], "item_end")
    ]
    undone = api.answer("POST", "/subscriptions/s/undo-change", {})
    assert undone.status_code == 200
    assert api.ask("GET", "/subscriptions/s", params={"expand": "upcoming"})["upcoming"] == []


def test_what_is_to_come_is_told_and_stops_at_the_end(api: Api) -> None:
    subscribe(api)
    item = api.ask("POST", "/subscriptions/s/change-plan", {"plan_id": "pro", "when": "2025-03-01"})["items"][
        0
    ]
    ahead = api.ask("GET", "/subscriptions/s", params={"expand": "upcoming"})["upcoming"]
    assert [(one["on"], one["plan_id"], one["quantity"]) for one in ahead] == [("2025-03-01", "pro", "12")]
    api.ask("POST", "/subscriptions/s/cancel", {"when": "period_end"})
    ahead = api.ask("GET", "/subscriptions/s", params={"expand": "upcoming"})["upcoming"]
    assert [(one["on"], one["reason"]) for one in ahead] == [("2025-02-01", "subscription_end")]
    held = api.ask("GET", f"/items/{item['item_id']}/versions")["data"]
    assert [(one["effective_start"], one["plan_id"], one["quantity"]) for one in held] == [
        ("2025-01-01", "basic", "12"),
        ("2025-03-01", "pro", "12"),
    ]


# What it would cost.


def test_a_preview_is_what_is_then_billed(each_api: Api) -> None:
    api = each_api
    subscribe(api)
    bill(api.store, at(1, 1), up_to=date(2025, 1, 1))
    before = invoiced(api.store)
    api.at = at(1, 16)
    asked = {"act": "change_quantity", "arguments": {"subscription_id": "s", "quantity": "20"}}
    shown = api.ask("POST", "/previews", asked)
    # seats for 58.00 × 15 / 31 = 28.06 and then 90.00 × 16 / 31 = 46.45, less the 58.00 that were billed
    assert (shown["total_minor"], shown["currency"], shown["up_to"]) == (1651, "EUR", "2025-01-16")
    assert api.ask("GET", "/subscriptions/s")["items"][0]["quantity"] == "12"
    held = {"If-Preview": shown["matches"]}
    done = api.answer("POST", "/subscriptions/s/change-quantity", {"quantity": "20"}, headers=held)
    assert done.status_code == 200, done.json()
    bill(api.store, at(1, 16), up_to=date(2025, 1, 16))
    assert invoiced(api.store) - before == 1651


def test_a_change_is_not_made_at_other_figures_than_were_shown(api: Api) -> None:
    subscribe(api)
    bill(api.store, at(1, 1), up_to=date(2025, 1, 1))
    api.at = at(1, 16)
    asked = {"act": "add_item", "arguments": {"subscription_id": "s", "plan_id": "support"}}
    matches = api.ask("POST", "/previews", asked)["matches"]
    path, body = "/subscriptions/s/add-item", {"plan_id": "support"}
    api.at = at(1, 17)
    assert api.refused("POST", path, body, headers={"If-Preview": matches}) == (409, "preview_changed", None)
    for bad in ("x", "2025-13-01.abc", ""):
        refused = api.refused("POST", path, body, headers={"If-Preview": bad})
        assert refused == (400, "bad_parameter", "If-Preview")
    api.at = at(1, 16, hour=18)
    assert api.answer("POST", path, body, headers={"If-Preview": matches}).status_code == 201


def test_a_new_subscription_is_previewed_for_what_it_will_cost(api: Api) -> None:
    wanted = {"customer_id": "anna", "plan_id": "pro", "quantity": 2}
    shown = api.ask("POST", "/previews", {"act": "subscribe", "arguments": wanted})
    assert shown["total_minor"] == 2500 + 2 * 500
    assert [line["net_minor"] for line in shown["lines"]] == [2500, 1000]
    assert api.ask("GET", "/subscriptions")["data"] == []
    late = {"act": "subscribe", "arguments": wanted, "up_to": "2025-03-01"}
    assert api.ask("POST", "/previews", late)["total_minor"] == 3 * 3500


def test_an_order_that_would_wait_is_priced_and_says_so(each_api: Api) -> None:
    api = each_api
    subscribe(api)
    change_customer(api.store, at(1, 1), customer_id="anna", credit_limit_minor=10_000)
    body = {"quantity": "200"}
    shown = api.ask(
        "POST", "/previews", {"act": "change_quantity", "arguments": {"subscription_id": "s", **body}}
    )
    # 10.00 + 10 seats at 5.00 + 190 at 4.00, of which nothing was billed
    assert (shown["waits_for"], shown["total_minor"]) == ("over_credit_limit", 82_000)
    assert api.store.rows(approvals.select()) == []
    held = api.answer(
        "POST", "/subscriptions/s/change-quantity", body, headers={"If-Preview": shown["matches"]}
    )
    assert (held.status_code, held.json()["code"]) == (202, "over_credit_limit")
    assert held.headers["location"] == f"/v1/approvals/{held.json()['approval_id']}"
    assert api.ask("GET", "/subscriptions/s")["items"][0]["quantity"] == "12"


# What is refused.


def test_what_is_wrong_is_named_with_its_code_and_member(api: Api) -> None:
    subscribe(api)
    act = "/subscriptions/s"
    assert api.refused("POST", f"{act}/change-plan", {"plan_id": "none"}) == (422, "unknown_plan", "plan_id")
    assert api.refused("POST", f"{act}/change-plan", {}) == (422, "invalid", "plan_id")
    assert api.refused("POST", f"{act}/change-quantity", {"quantity": 1.5}) == (422, "invalid", "quantity")
    assert api.refused("POST", f"{act}/change-quantity", {"quantity": "-1"})[:2] == (422, "negative_quantity")
    assert api.refused("POST", f"{act}/pause", {"cause": "overdue"}) == (422, "invalid", "cause")
    assert api.refused("POST", f"{act}/cancel", {"reason": "payment"}) == (422, "unknown_setting", "reason")
    assert api.refused("POST", f"{act}/cancel", {"when": "soon"})[:2] == (422, "invalid")
    assert api.refused("POST", f"{act}/resume", {})[:2] == (409, "illegal_transition")
    assert api.refused("POST", "/subscriptions/none/resume", {})[:2] == (404, "unknown_subscription")
    assert api.refused("POST", "/items/none/remove", {})[:2] == (404, "unknown_item")
    other = {"customer_id": "none", "plan_id": "basic"}
    assert api.refused("POST", "/subscriptions", other) == (422, "unknown_customer", "customer_id")
    endless = {"customer_id": "anna", "plan_id": "basic", "starts_on": "9999-12-31", "trial_days": 30}
    assert api.refused("POST", "/subscriptions", endless)[:2] == (422, "date_out_of_range")
    taken = {"customer_id": "anna", "plan_id": "basic", "subscription_id": "s"}
    assert api.refused("POST", "/subscriptions", taken)[:2] == (409, "immutable")


def test_a_preview_names_what_is_wrong_in_its_arguments(api: Api) -> None:
    subscribe(api)
    for act, arguments, refusal in (
        ("buy", {}, (422, "unknown_setting", "act")),
        ("change_quantity", {"subscription_id": "s"}, (422, "invalid", "arguments/quantity")),
        ("pause", {"subscription_id": "s", "cause": "overdue"}, (422, "invalid", "arguments/cause")),
        ("change_plan", {"plan_id": "pro"}, (422, "missing_value", "subscription_id")),
        (
            "change_plan",
            {"plan_id": "pro", "subscription_id": "x"},
            (422, "unknown_subscription", "subscription_id"),
        ),
        ("cancel", {"subscription_id": "s", "when": "2025-02-30"}, (422, "invalid", None)),
    ):
        found = api.refused("POST", "/previews", {"act": act, "arguments": arguments})
        assert found[:2] == refusal[:2], act
        assert refusal[2] is None or found[2] == refusal[2]
    past = {"act": "resume", "arguments": {"subscription_id": "s"}, "up_to": "2024-12-31"}
    assert api.refused("POST", "/previews", past) == (422, "empty_period", "up_to")


def test_a_customer_sees_and_changes_its_own_tree_alone(each_api: Api) -> None:
    api = each_api
    subscribe(api)
    site = {"customer_id": "anna-site", "plan_id": "basic", "subscription_id": "of-site"}
    assert api.answer("POST", "/subscriptions", site).status_code == 201
    item_id = api.ask("GET", "/subscriptions/s")["items"][0]["item_id"]
    shown = api.ask("GET", "/subscriptions", key="anna")["data"]
    assert {one["subscription_id"] for one in shown} == {"s", "of-site"}
    assert [one["subscription_id"] for one in api.ask("GET", "/subscriptions", key="anna-site")["data"]] == [
        "of-site"
    ]
    for method, path, body in (
        ("GET", "/subscriptions/{}", None),
        ("POST", "/subscriptions/{}/pause", {}),
        ("POST", "/subscriptions/{}/add-item", {"plan_id": "support"}),
        ("GET", "/items/{}/versions", None),
        ("POST", "/items/{}/remove", {}),
        ("DELETE", "/charges/{}", None),
    ):
        own = item_id if "items" in path else "s"
        foreign = api.answer(method, path.format(own), body, key="boris").json()
        missing = api.answer(method, path.format("none"), body, key="boris").json()
        assert foreign["status"] == 404
        varies = {"detail": "", "request_id": ""}
        assert foreign | varies == missing | varies
    for other in ({"customer_id": "anna"}, {"customer_id": "boris", "bill_to": "anna"}):
        body = {"plan_id": "basic", **other}
        assert api.refused("POST", "/subscriptions", body, key="boris")[:2] == (422, "unknown_customer")
        asked = {"act": "subscribe", "arguments": body}
        assert api.refused("POST", "/previews", asked, key="boris")[:2] == (422, "unknown_customer")
    assert api.ask("GET", "/subscriptions", params={"customer_id": "anna"}, key="boris")["data"] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/subscriptions/s/cancel", {"when": "now", "money": "refund"}),
        ("/subscriptions/s/change-commitment", {"committed_minimum_minor": 0}),
        ("/subscriptions/s/change-plan", {"plan_id": "pro", "trial_days": 30}),
        ("/subscriptions", {"customer_id": "anna", "plan_id": "pro", "discount_ids": ["tenth"]}),
        ("/subscription-imports", {"subscriptions": []}),
    ],
)
def test_terms_are_for_the_merchant_to_give(api: Api, path: str, body: dict[str, Any]) -> None:
    subscribe(api)
    found = api.refused("POST", path, body, key="anna")
    assert found[:2] == ((403, "scope_missing") if body.get("subscriptions") is None else (422, "invalid"))


@pytest.mark.parametrize(
    ("act", "day", "more"),
    [
        ("cancel", "when", {}),
        ("pause", "from_on", {"until": "2025-02-16"}),
        ("change_quantity", "when", {"quantity": "1"}),
        ("change_plan", "when", {"plan_id": "basic"}),
    ],
)
def test_a_customer_changes_nothing_that_is_over(api: Api, act: str, day: str, more: dict[str, Any]) -> None:
    """It would be credited what it has used; the merchant may put that right."""
    subscribe(api)
    bill(api.store, at(1, 1), up_to=date(2025, 1, 1))
    api.at = at(1, 16)
    path = f"/subscriptions/s/{act.replace('_', '-')}"
    for past in ("0001-01-01", "2025-01-01", "2025-01-15"):
        body = more | {day: past}
        assert api.refused("POST", path, body, key="anna") == (403, "scope_missing", day)
        asked = {"act": act, "arguments": {"subscription_id": "s", **body}}
        assert api.refused("POST", "/previews", asked, key="anna") == (403, "scope_missing", day)
    today = {"act": act, "arguments": {"subscription_id": "s", **more, day: "2025-01-16"}}
    assert api.answer("POST", "/previews", today, key="anna").status_code == 200
    assert api.answer("POST", path, more | {day: "2025-01-15"}).status_code == 200


def test_a_customers_key_does_no_more_than_the_portal_would(api: Api) -> None:
    subscribe(api)
    api.at = at(1, 16)

    def refused(act: str, body: Any) -> list[tuple[int, str, str | None]]:
        asked = {"act": act.replace("-", "_"), "arguments": {"subscription_id": "s", **body}}
        tried = api.refused("POST", "/previews", asked, key="anna")
        return [tried, api.refused("POST", f"/subscriptions/s/{act}", body, key="anna")]

    too_long = [(422, "amount_out_of_range", "until")] * 2
    assert refused("pause", {}) == too_long
    assert refused("pause", {"from_on": "2025-02-01", "until": "2025-05-03"}) == too_long
    quarter = {"from_on": "2025-02-01", "until": "2025-05-02"}
    assert api.answer("POST", "/subscriptions/s/pause", quarter, key="anna").status_code == 200
    assert refused("undo-change", {}) == [(403, "scope_missing", None)] * 2
    assert api.answer("POST", "/subscriptions/s/undo-change", {}).status_code == 200
    closed = {"is_open": False, "settings": {}}
    for task in ("pause", "change_plan", "change_seats", "add_ons", "cancel", "reactivate"):
        assert api.answer("PUT", f"/portal-tasks/{task}", closed).status_code == 200
    for act, body in (
        ("pause", quarter),
        ("change-plan", {"plan_id": "basic"}),
        ("change-quantity", {"quantity": "2"}),
        ("add-item", {"plan_id": "support"}),
        ("cancel", {}),
        ("undo-cancel", {}),
        ("reactivate", {}),
    ):
        assert refused(act, body) == [(403, "task_closed", None)] * 2
    path = f"/items/{api.ask('POST', '/subscriptions/s/add-item', {'plan_id': 'support'})['item_id']}/remove"
    assert api.refused("POST", path, {}, key="anna") == (403, "task_closed", None)
    assert api.answer("POST", path, {}).status_code == 200
    assert api.answer("POST", "/subscriptions/s/pause", {}).status_code == 200


def test_pauses_without_a_day_between_are_one_for_a_customer(api: Api) -> None:
    subscribe(api)
    api.at = at(1, 16)

    def tried(from_on: str, until: str, key: str | None = "anna") -> tuple[int, str, str | None] | None:
        body = {"from_on": from_on, "until": until}
        asked = {"act": "pause", "arguments": {"subscription_id": "s", **body}}
        shown = api.answer("POST", "/previews", asked, **({"key": key} if key else {}))
        if shown.status_code == 200:
            return None
        return api.refused("POST", "/subscriptions/s/pause", body, **({"key": key} if key else {}))

    too_long = (422, "amount_out_of_range", "until")
    pause = {"from_on": "2025-02-01", "until": "2025-04-28"}  # 86 days, of 90
    assert api.answer("POST", "/subscriptions/s/pause", pause, key="anna").status_code == 200
    assert tried("2025-04-28", "2025-05-02") is None
    assert tried("2025-04-28", "2025-05-03") == too_long
    assert tried("2025-01-28", "2025-02-01") is None
    assert tried("2025-01-27", "2025-02-01") == too_long
    assert tried("2025-01-27", "2025-02-10") == too_long
    assert tried("2025-01-20", "2025-01-31") is None
    assert tried("2025-04-29", "2025-07-28") is None
    assert tried("2025-02-01", "2025-02-10") == (409, "illegal_transition", None)
    assert tried("2025-04-28", "2026-01-01", key=None) is None


def test_a_charge_is_taken_back_by_the_merchant_alone(api: Api) -> None:
    subscribe(api)
    charge = api.ask("POST", "/charges", {"subscription_id": "s", "description": "Set-up", "amount": "9.00"})
    path = f"/charges/{charge['charge_id']}"
    assert api.refused("DELETE", path, key="anna")[:2] == (403, "scope_missing")
    asked = {"act": "remove_charge", "arguments": {"charge_id": charge["charge_id"]}}
    assert api.refused("POST", "/previews", asked, key="anna")[:2] == (403, "scope_missing")
    assert api.answer("DELETE", path, key="boris").status_code == 404
    assert api.answer("DELETE", path).json()["removed_at"] is not None


def test_the_shapes_take_what_the_acts_take_and_nothing_of_the_engine() -> None:
    assert set(DEEDS) == set(ACTS)
    for name, shape in DEEDS.items():
        offered = ACTS[name]
        taken = set(shape.model_fields)
        assert taken - set(offered.subject) == offered.others, name
        needed = {one for one, field in shape.model_fields.items() if field.is_required()}
        assert needed - set(offered.subject) == offered.needs, name
        assert "cause" not in taken
    assert set(CANCEL_REASONS) - set(REASONS) == {"payment", "term_ended", "merge", "migration"}


# Lists, charges, what is invoiced apart, what is taken over.


def test_subscriptions_are_listed_by_what_is_asked(each_api: Api) -> None:
    api = each_api
    subscribe(api)
    for number, customer_id in enumerate(("anna", "boris", "boris")):
        body = {"customer_id": customer_id, "plan_id": "pro", "subscription_id": f"t{number}"}
        api.at = at(1, 2 + number)
        assert api.answer("POST", "/subscriptions", body).status_code == 201
    api.ask("POST", "/subscriptions/t0/cancel", {"when": "now"})

    def found(**asked: Any) -> list[str]:
        return [one["subscription_id"] for one in api.ask("GET", "/subscriptions", params=asked)["data"]]

    assert found() == ["t2", "t1", "t0", "s"]
    assert found(customer_id="boris") == ["t2", "t1"]
    assert found(status="canceled") == ["t0"]
    assert found(plan_id="basic") == ["s"]
    assert found(changed_since="2025-01-03T00:00:00Z") == ["t1", "t0", "t2"]
    first = api.ask("GET", "/subscriptions", params={"limit": 3})
    rest = api.ask("GET", "/subscriptions", params={"limit": 3, "after": first["next"]})
    assert [one["subscription_id"] for one in rest["data"]] == ["s"]
    assert api.refused("GET", "/subscriptions", params={"status": "lost"})[:2] == (400, "bad_parameter")


def test_a_charge_is_made_shown_and_taken_back(api: Api) -> None:
    subscribe(api)
    body = {"subscription_id": "s", "description": "Set-up", "amount": "12.50"}
    made = api.answer("POST", "/charges", body)
    charge = made.json()
    assert (made.status_code, charge["amount_minor"], charge["currency"]) == (201, 1250, "EUR")
    assert api.ask("GET", "/charges", params={"subscription_id": "s"})["data"] == [charge]
    assert api.ask("GET", "/charges", key="boris")["data"] == []
    gone = api.answer("DELETE", f"/charges/{charge['charge_id']}")
    assert (gone.status_code, gone.json()["removed_at"]) == (200, "2025-01-01T08:00:00Z")
    again = api.refused("DELETE", f"/charges/{charge['charge_id']}")
    assert again[:2] == (409, "illegal_transition")
    assert api.refused("POST", "/charges", body | {"amount": 0.1}) == (422, "invalid", "amount")
    assert api.refused("POST", "/charges", body | {"subscription_id": "x"})[:2] == (
        422,
        "unknown_subscription",
    )


def test_what_is_invoiced_apart_is_set_on_the_version_that_was_read(each_api: Api) -> None:
    api = each_api
    subscribe(api)
    path, body = "/subscriptions/s", {"consolidation_group": "north"}
    assert api.refused("PATCH", path, body)[:2] == (428, "precondition_required")
    tag = api.answer("GET", path).headers["etag"]
    set_apart = api.answer("PATCH", path, body, headers={"If-Match": tag})
    assert (set_apart.status_code, set_apart.json()["consolidation_group"]) == (200, "north")
    assert api.refused("PATCH", path, body, headers={"If-Match": tag})[:2] == (412, "precondition_failed")
    match = {"If-Match": set_apart.headers["etag"]}
    assert api.refused("PATCH", path, {"status": "active"}, headers=match) == (422, "invalid", "status")
    assert api.refused("PATCH", path, {"po_id": "x"}, headers=match)[:2] == (422, "unknown_purchase_order")
    back = api.answer("PATCH", path, {"consolidation_group": None}, headers=match)
    assert back.json()["consolidation_group"] is None


def test_running_subscriptions_are_taken_over_each_on_its_own(api: Api) -> None:
    row = {
        "subscription_id": "old-1",
        "customer_id": "anna",
        "plan_id": "basic",
        "quantity": "3",
        "anchor_on": "2024-05-01",
        "billed_until": "2025-02-01",
    }
    other = row | {"subscription_id": "old-2", "plan_id": "none"}
    body = {"subscriptions": [row, other, row]}
    told = api.ask("POST", "/subscription-imports", body)
    assert (told["accepted"], told["duplicate"], told["rejected"]) == (1, 1, 1)
    assert [(one["row"], one["code"]) for one in told["items"]] == [(1, "unknown_plan")]
    assert api.ask("GET", "/subscriptions/old-1")["billing_starts_on"] == "2025-02-01"


def test_a_contract_binds_with_the_terms_that_were_sent(api: Api) -> None:
    contract = {"term": "P6M", "notice_days": 30, "contract_id": "c1", "auto_renew": False}
    shown = subscribe(api, contract=contract)
    assert shown["contract_id"] == "c1"
    whole = api.ask("GET", "/subscriptions/s", params={"expand": "contract,customer,items.plan"})
    assert (whole["customer"]["name"], whole["items"][0]["plan"]["interval"]) == ("Anna", "P1M")
    read = whole["contract"]
    assert (read["term"], read["term_end"], read["notice_days"]) == ("P6M", "2025-07-01", 30)
    assert read["auto_renew"] is False
