"""Usage through the API: each row of a body by itself, what it comes to, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from small_api import Api, at, serving
from sqlalchemy import func, select

from billing.api.usage_rows import MOST_BYTES, sent_rows
from billing.jobs.bill_run import bill
from billing.service.catalog import create_meter
from billing.store.tables import audit_log, invoices, rejected_inputs, usage_events
from billing.web.problems import Problem

LINES = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
def api(_sqlite_database: str) -> Iterator[Api]:
    with serving(_sqlite_database) as one:
        yield one


@pytest.fixture
def each_api(database_url: str) -> Iterator[Api]:
    """The same on SQLite and on PostgreSQL."""
    with serving(database_url) as one:
        yield one


def item_of(api: Api, customer_id: str = "anna") -> str:
    """An item of pro, whose calls cost 0.01 each; instants are those of 15 January."""
    body = {"customer_id": customer_id, "plan_id": "pro", "subscription_id": f"s-{customer_id}"}
    item_id = str(api.ask("POST", "/subscriptions", body)["items"][0]["item_id"])
    api.at = at(1, 15)
    return item_id


def event(item_id: str, event_id: str = "e1", **more: Any) -> dict[str, Any]:
    return {
        "source": "shop",
        "event_id": event_id,
        "item_id": item_id,
        "meter_id": "calls",
        "value": "1.5",
        "occurred_at": "2025-01-10T08:00:00Z",
    } | more


def send(api: Api, text: str, *, every: bool = False, key: str = "merchant") -> Any:
    path = "/usage-events/bulk" + ("?all=true" if every else "")
    answer = api.answer("POST", path, key=key, content=text.encode(), headers=LINES)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def lines(*events: Any) -> str:
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in events)


def kept(api: Api) -> list[tuple[str, int]]:
    asked = select(usage_events.c.event_id, usage_events.c.value_mantissa).order_by(usage_events.c.seq)
    return [(row["event_id"], row["value_mantissa"]) for row in api.store.rows(asked)]


def test_each_row_is_taken_refused_or_known_by_itself(each_api: Api) -> None:
    api = each_api
    item = item_of(api)
    told = send(
        api,
        lines(
            event(item, "e1"),
            event(item, "e2", value=12),
            event(item, "e1"),
            event("nobody", "e3"),
            "",
            '{"source": "shop", "event_id": "e4"',
            event(item, "e5", value=-1, occurred_at="2025-01-10T08:00:00"),
            event(item, "e6", colour="red"),
            event(item, "e1", value="7"),
        ),
    )
    assert (told["accepted"], told["duplicate"], told["rejected"]) == (2, 1, 5)
    assert [(one["row"], one["event_id"], one["code"]) for one in told["items"]] == [
        (3, "e3", "unknown_item"),
        (4, None, "bad_json"),
        (5, "e5", "naive_time"),
        (6, "e6", "unknown_setting"),
        (7, "e1", "duplicate_conflict"),
    ]
    assert kept(api) == [("e1", 1500), ("e2", 12000)]
    rows = api.store.rows(select(rejected_inputs.c.code, rejected_inputs.c.payload))
    assert sorted(row["code"] for row in rows) == sorted(one["code"] for one in told["items"])
    assert all(json.loads(row["payload"]) for row in rows)
    audited = api.store.rows(select(audit_log.c.actor).where(audit_log.c.act == "import_usage"))
    assert audited == [{"actor": "key:merchant"}]


def test_the_outcome_of_every_row_is_told_where_it_is_asked_for(api: Api) -> None:
    item = item_of(api)
    body = lines(event(item, "e1"), event(item, "e2", value=[1]), event(item, "e1"), event(item, "e3"))
    told = send(api, body, every=True)
    assert [(one["row"], one["outcome"], one["code"]) for one in told["items"]] == [
        (0, "accepted", None),
        (1, "rejected", "bad_decimal"),
        (2, "duplicate", None),
        (3, "accepted", None),
    ]
    again = send(api, body)
    assert (again["accepted"], again["duplicate"], again["rejected"]) == (0, 3, 1)


def test_a_quantity_written_as_a_float_is_refused_by_its_token(api: Api) -> None:
    item = item_of(api)
    tokens = ("1.5", "1e3", "2E-1", "1.0", "-0.5", "12345678901234567890.1")
    plain = [json.dumps(event(item, token, value="V")).replace('"V"', token) for token in tokens]
    escaped = [one.replace('"value"', '"valu\\u0065"') for one in plain]
    told = send(api, lines(*plain, *escaped, event(item, value="1.500")))
    assert [one["code"] for one in told["items"]] == ["float_money"] * 12
    assert kept(api) == [("e1", 1500)]


def test_a_float_inside_another_text_is_text(api: Api) -> None:
    item = item_of(api)
    told = send(api, lines(event(item, dimension='{"value": 1.5}')))
    assert (told["accepted"], told["rejected"]) == (1, 0)


def test_an_array_is_taken_like_lines(api: Api) -> None:
    item = item_of(api)
    body = [
        event(item, "e1", value=99999999999999999999),
        event(item, "e2", occurred_at=None),
        event(item, "e3"),
        5,
    ]
    told = api.ask("POST", "/usage-events/bulk", body)
    assert (told["accepted"], told["duplicate"], told["rejected"]) == (1, 0, 3)
    assert [(one["row"], one["code"]) for one in told["items"]] == [
        (0, "amount_out_of_range"),
        (1, "bad_time"),
        (3, "bad_json"),
    ]


BAD_TEXTS = (
    '"dimension": "a\\nb"',
    '"dimension": 5',
    '"dimension": {"a": [1, {"b": 2}]}',
    f'"dimension": "{"x" * 501}"',
    '"event_id": "again"',
)


def test_text_that_no_database_takes_is_refused(each_api: Api) -> None:
    item = item_of(each_api)
    bad = [json.dumps(event(item)).replace("}", f", {member}}}") for member in BAD_TEXTS]
    told = send(each_api, lines(*bad, event(item, "e2")))
    assert [one["code"] for one in told["items"]] == ["invalid"] * len(BAD_TEXTS)
    assert kept(each_api) == [("e2", 1500)]


def test_a_body_that_is_no_list_of_rows_is_refused_whole(api: Api) -> None:
    path = "/usage-events/bulk"
    as_json = {"Content-Type": "application/json"}
    for body in ('{"a": 1}', "[1,", "", "[NaN]", '"x"'):
        found = api.refused("POST", path, content=body.encode(), headers=as_json)
        assert found[:2] == (400, "bad_json"), body[:20]
    deep = b"[" * 100_000
    assert api.refused("POST", path, content=deep, headers=as_json)[:2] == (400, "too_deep")
    with pytest.raises(Problem, match="bad_json"):
        sent_rows(deep, are_lines=False)
    assert api.refused("POST", path, content=b"\xff", headers=LINES)[:2] == (400, "bad_json")
    plain = {"Content-Type": "text/csv"}
    assert api.refused("POST", path, content=b"a,b", headers=plain)[:2] == (415, "unsupported_media_type")
    packed = LINES | {"Content-Encoding": "gzip"}
    assert api.refused("POST", path, content=b"x", headers=packed)[:2] == (415, "unsupported_media_type")
    for text in ("a\\u0000b", "\\ud800"):
        rows = sent_rows(f'{{"source": "{text}", "value": "1"}}'.encode(), are_lines=True)
        assert rows.refused["code"].to_list() == ["invalid"]
    with pytest.raises(Problem, match="too_large"):
        sent_rows(b"x" * (MOST_BYTES + 1), are_lines=True)
    with pytest.raises(Problem, match="too_large"):
        sent_rows(b"{}\n" * 50_001, are_lines=True)


def test_no_line_hides_another_or_is_made_of_two(api: Api) -> None:
    item = item_of(api)
    two = f"{json.dumps(event(item, 'e1'))},{json.dumps(event(item, 'e2'))}"
    half, rest = '{"source": "shop"', '"event_id": "x"}'
    told = send(api, lines(two, half, rest, event(item, "e3")))
    assert [(one["row"], one["code"]) for one in told["items"]] == [
        (0, "bad_json"),
        (1, "bad_json"),
        (2, "bad_json"),
    ]
    assert [name for name, _ in kept(api)] == ["e3"]


def test_a_customer_adds_to_its_own_items_alone(each_api: Api) -> None:
    api = each_api
    item, other = item_of(api), item_of(api, "boris")
    rows = (
        event(item, "e1"),
        event(other, "e2"),
        event(other, "e3", customer_id="boris"),
        event("nobody", "e4"),
        event(item, "e5", customer_id="boris"),
    )
    told = send(api, lines(*rows), key="anna")
    assert (told["accepted"], [one["code"] for one in told["items"]]) == (1, ["unknown_item"] * 4)
    single = api.refused("POST", "/usage-events", event(other, "e6"), key="anna")
    assert single == (422, "unknown_item", "item_id")
    asked = {"item_id": item, "meter_id": "calls"}
    assert len(api.ask("GET", "/usage-events", params=asked, key="anna")["data"]) == 1
    assert api.ask("GET", "/usage-events", params=asked, key="boris")["data"] == []
    for customer_id in ("anna", "none"):
        found = api.refused("GET", "/usage", params={"customer_id": customer_id}, key="boris")
        assert found == (404, "unknown_customer", None)
    assert api.ask("GET", "/rejected-inputs", key="anna")["data"] == []
    assert api.refused("POST", "/rejected-inputs/retry", key="anna")[:2] == (403, "scope_missing")


def test_only_the_merchant_takes_usage_back(api: Api) -> None:
    item = item_of(api)
    back = event(item, "e1", value="-1.5")
    assert api.refused("POST", "/usage-events", back, key="anna") == (422, "negative_quantity", "value")
    among = {"operations": [{"method": "POST", "path": "/v1/usage-events", "body": back}]}
    (inner,) = api.ask("POST", "/bulk", among, key="anna")["data"]
    assert (inner["status"], inner["body"]["code"]) == (422, "negative_quantity")
    # Not of an item to come either: what waits for its item is sent again by the merchant.
    rows = (
        event(item, "e2"),
        back,
        event("later", "e3", value="-2"),
        event(item, "e4", meter_id="x", value="-2"),
    )
    told = send(api, lines(*rows), key="anna")
    assert [one["code"] for one in told["items"]] == ["negative_quantity"] * 3
    assert send(api, lines(back))["accepted"] == 1
    assert [name for name, _ in kept(api)] == ["e2", "e1"]


def test_one_event_is_taken_once_and_shown(api: Api) -> None:
    item = item_of(api)
    made = api.answer("POST", "/usage-events", event(item, value="2.500", dimension="x"))
    shown = made.json()
    assert (made.status_code, shown["value"], shown["customer_id"], shown["occurred_on"]) == (
        201,
        "2.500",
        "anna",
        "2025-01-10",
    )
    again = api.answer("POST", "/usage-events", event(item, value="2.5", dimension="x"))
    assert again.json() == shown
    assert len(kept(api)) == 1
    conflict = api.refused("POST", "/usage-events", event(item, value="3"))
    assert conflict == (409, "duplicate_conflict", "event_id")
    assert api.refused("POST", "/usage-events", event(item, "e2", value=1.5)) == (422, "invalid", "value")
    late = event(item, "e2", occurred_at="2025-02-15T08:00:00Z")
    assert api.refused("POST", "/usage-events", late) == (422, "future_event", "occurred_at")
    timeless = {name: value for name, value in event(item, "e2").items() if name != "occurred_at"}
    assert api.refused("POST", "/usage-events", timeless) == (422, "invalid", "occurred_at")
    day = timeless | {"occurred_on": "2025-01-11"}
    assert api.ask("POST", "/usage-events", day)["occurred_at"] == "2025-01-11T00:00:00Z"


def test_usage_so_far_is_what_the_period_will_bill_if_nothing_more_comes(each_api: Api) -> None:
    api = each_api
    item = item_of(api)
    send(api, lines(event(item, "e1", value="100"), event(item, "e2", value="250.5")))
    told = api.ask("GET", "/usage", params={"customer_id": "anna"}, key="anna")
    (used,) = told["data"]
    # 350.5 calls at 0.01 are 3.505, a half cent away from zero
    assert (used["quantity"], used["net_minor"], used["currency"]) == ("350.500", 351, "EUR")
    assert (used["service_start"], used["service_end"], used["meter_id"]) == (
        "2025-01-01",
        "2025-02-01",
        "calls",
    )
    assert api.store.rows(invoices.select()) == []
    bill(api.store, at(2, 1), up_to=date(2025, 2, 1))
    total = api.store.row(select(func.sum(invoices.c.total_minor).label("sum")))
    # January and February of pro for one seat, and January's calls
    assert total == {"sum": 2 * (2500 + 500) + 351}
    api.at = at(2, 2)
    assert api.ask("GET", "/usage", params={"customer_id": "anna"})["data"] == []


def test_events_are_listed_as_they_happened(api: Api) -> None:
    item = item_of(api)
    days = [event(item, f"e{day}", occurred_at=f"2025-01-{day:02}T08:00:00Z") for day in (9, 7, 8)]
    old = event(item, "old", occurred_at="2024-12-31T08:00:00Z")
    send(api, lines(*days, old))
    asked: dict[str, Any] = {"item_id": item, "meter_id": "calls", "limit": 2}
    first = api.ask("GET", "/usage-events", params=asked)
    rest = api.ask("GET", "/usage-events", params=asked | {"after": first["next"]})
    assert [one["event_id"] for one in first["data"] + rest["data"]] == ["old", "e7", "e8", "e9"]
    some = asked | {"since": "2025-01-07T00:00:00Z", "until": "2025-01-08T08:00:00Z"}
    assert [one["event_id"] for one in api.ask("GET", "/usage-events", params=some)["data"]] == ["e7"]
    unbilled = api.ask("GET", "/usage-events/unbilled", params={"customer_id": "anna"})["data"]
    assert [(one["event_id"], one["unbilled_reason"]) for one in unbilled] == [("old", "before_start")]
    assert api.refused("GET", "/usage-events", params={"item_id": item})[:2] == (400, "bad_parameter")


def test_what_waited_for_its_item_is_sent_again(api: Api) -> None:
    item = item_of(api)
    send(api, lines(event(item, "e1", meter_id="later"), event(item, "e2", value="x")))
    waiting = api.ask("GET", "/rejected-inputs", params={"code": "unknown_meter", "is_open": True})["data"]
    assert [json.loads(one["payload"])["event_id"] for one in waiting] == ["e1"]
    told = api.ask("POST", "/rejected-inputs/retry")
    assert (told["rows"], told["accepted"], told["codes"]) == (1, 0, {"unknown_meter": 1})
    create_meter(api.store, at(1, 15), meter_id="later", name="Later", scale=3)
    assert api.ask("POST", "/rejected-inputs/retry")["accepted"] == 1
    assert api.ask("GET", "/rejected-inputs", params={"code": "unknown_meter", "is_open": True})["data"] == []


def test_quantities_are_frozen_as_they_are(api: Api) -> None:
    item = item_of(api)
    send(api, lines(event(item)))
    api.at = at(2, 1)
    told = api.ask("POST", "/usage/freeze", {"customer_id": "anna"})
    assert told == {"object": "usage_freeze", "customer_id": "anna", "quantities": 1}
    assert api.refused("POST", "/usage/freeze", {"customer_id": "anna"}, key="boris") == (
        422,
        "unknown_customer",
        "customer_id",
    )
