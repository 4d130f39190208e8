"""Usage events come in once, bad ones are refused with a code, and the counts add up."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from sqlalchemy import select, update

from billing.core.money import BillingError
from billing.jobs.import_usage import UsageAnswer, import_usage
from billing.service.catalog import create_meter
from billing.store.store import Store
from billing.store.tables import customers, items, outbox, rejected_inputs, usage_events

Make = Callable[..., str]
AT = datetime(2025, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def item(company: Store, customer: Make) -> str:
    """An item of customer anna, metered by `calls` (three decimals)."""
    customer("anna")
    row = company.row(select(items.c.item_id))
    assert row is not None
    return str(row["item_id"])


def event(item_id: str, **more: Any) -> dict[str, Any]:
    return {
        "source": "api",
        "event_id": "e1",
        "item_id": item_id,
        "meter_id": "calls",
        "occurred_at": "2025-01-10T08:00:00Z",
        "value": "1.5",
    } | more


def send(store: Store, *events: dict[str, Any]) -> UsageAnswer:
    answer = import_usage(store, AT, pl.DataFrame(events, infer_schema_length=None))
    assert answer.accepted + answer.duplicate + answer.rejected.height == len(events)
    return answer


def stored(store: Store, *columns: str) -> list[tuple[Any, ...]]:
    frame = store.frame(usage_events.select().order_by(usage_events.c.seq))
    return frame.select(columns).rows()


def test_an_event_is_kept_at_the_scale_of_its_meter(company: Store, item: str) -> None:
    answer = send(company, event(item), event(item, event_id="e2", value="12", dimension="user-1"))
    assert (answer.accepted, answer.duplicate, answer.rejected.height) == (2, 0, 0)
    assert stored(company, "event_id", "customer_id", "value_mantissa", "dimension", "seq") == [
        ("e1", "anna", 1500, None, 1),
        ("e2", "anna", 12000, "user-1", 2),
    ]
    topics = company.frame(select(outbox.c.topic).where(outbox.c.topic.like("usage%")))
    assert topics["topic"].to_list() == ["usage.imported"]


def test_the_same_event_again_is_counted_once(company: Store, item: str) -> None:
    send(company, event(item))
    same_written_otherwise = event(item, value="1.500", occurred_at="2025-01-10T10:00:00+02:00")
    answer = send(company, event(item), same_written_otherwise, event(item, event_id="e2"))
    assert (answer.accepted, answer.duplicate) == (1, 2)
    assert stored(company, "event_id") == [("e1",), ("e2",)]


def test_the_same_id_from_another_source_is_another_event(company: Store, item: str) -> None:
    assert send(company, event(item), event(item, source="file")).accepted == 2


def test_other_content_under_a_known_id_is_refused(company: Store, item: str) -> None:
    send(company, event(item))
    answer = send(company, event(item, value="2"))
    assert answer.rejected.select("row", "event_id", "code").rows() == [(0, "e1", "duplicate_conflict")]
    assert stored(company, "value_mantissa") == [(1500,)]


def test_of_two_contents_in_one_batch_the_first_is_kept(company: Store, item: str) -> None:
    answer = send(company, event(item), event(item, value="2"), event(item))
    assert (answer.accepted, answer.duplicate) == (1, 1)
    assert answer.rejected.select("row", "code").rows() == [(1, "duplicate_conflict")]


def test_a_refused_event_does_not_hold_its_id(company: Store, item: str) -> None:
    answer = send(company, event(item, value="-"), event(item))
    assert (answer.accepted, answer.rejected["code"].to_list()) == (1, ["bad_decimal"])


def test_a_count_of_things_needs_to_know_which_thing_an_event_is_about(company: Store, item: str) -> None:
    create_meter(company, AT, meter_id="seats", name="Seats", aggregation="unique_count")
    seat = event(item, meter_id="seats", value="1")
    answer = send(company, seat, seat | {"event_id": "e2", "dimension": "seat 1"})
    assert answer.rejected.select("event_id", "code").rows() == [("e1", "missing_value")]
    assert stored(company, "event_id", "dimension") == [("e2", "seat 1")]


BAD = [
    ({"occurred_at": "2025-01-10T08:00:00"}, "naive_time"),
    ({"occurred_at": "2025-01-10"}, "naive_time"),
    ({"occurred_at": "yesterday"}, "bad_time"),
    ({"occurred_at": "2025-02-30T08:00:00Z"}, "bad_time"),
    ({"occurred_at": None}, "bad_time"),
    ({"occurred_at": "0001-01-01T00:00:00Z"}, "bad_time"),
    ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "bad_time"),
    ({"occurred_at": "0000-12-31T23:59:59Z"}, "bad_time"),
    ({"occurred_at": "2025-01-16T12:00:01Z"}, "future_event"),
    ({"item_id": "nothing"}, "unknown_item"),
    ({"customer_id": "someone else"}, "unknown_item"),
    ({"meter_id": "nothing"}, "unknown_meter"),
    ({"value": "1.2345"}, "too_many_decimals"),
    ({"value": "1e3"}, "bad_decimal"),
    ({"value": "1,5"}, "bad_decimal"),
    ({"value": ""}, "bad_decimal"),
    ({"value": "."}, "bad_decimal"),
    ({"value": None}, "missing_value"),
    ({"value": "1000000000000.001"}, "amount_out_of_range"),
    ({"value": "9" * 40}, "amount_out_of_range"),
    ({"event_id": None}, "missing_value"),
    ({"operation": "multiply"}, "unknown_setting"),
]


@pytest.mark.parametrize(("change", "code"), BAD)
def test_a_bad_event_is_refused_with_its_code_and_kept_as_it_was_sent(
    company: Store, item: str, change: dict[str, Any], code: str
) -> None:
    bad = event(item, event_id="bad") | change
    answer = send(company, event(item, event_id="good", operation=None, customer_id=None), bad)
    assert (answer.accepted, answer.rejected.select("row", "code").rows()) == (1, [(1, code)])
    kept = company.row(rejected_inputs.select())
    assert kept is not None
    assert (kept["source"], kept["code"]) == ("import_usage", code)
    assert {name: json.loads(kept["payload"])[name] for name in bad} == bad


GOOD = [
    ({"occurred_at": "2025-01-16T12:00:00Z"}, date(2025, 1, 16)),
    ({"occurred_at": "2025-01-10 23:30:00.123456+00:00"}, date(2025, 1, 10)),
    ({"occurred_at": "2025-01-10T00:30+0100"}, date(2025, 1, 9)),
    ({"value": "1000000000000"}, date(2025, 1, 10)),
    ({"value": "+1.500000"}, date(2025, 1, 10)),
    ({"value": "-3"}, date(2025, 1, 10)),
    ({"value": "0"}, date(2025, 1, 10)),
]


@pytest.mark.parametrize(("change", "on"), GOOD)
def test_an_event_at_the_edge_is_accepted(
    company: Store, item: str, change: dict[str, Any], on: date
) -> None:
    assert send(company, event(item) | change).accepted == 1
    assert stored(company, "occurred_on") == [(on,)]


def test_only_a_sum_may_fall(company: Store, item: str) -> None:
    create_meter(company, AT, meter_id="peak", name="Peak", aggregation="max")
    answer = send(company, event(item, value="-1"), event(item, event_id="e2", meter_id="peak", value="-1"))
    assert answer.rejected.select("event_id", "code").rows() == [("e2", "negative_quantity")]


def test_floats_are_refused_row_by_row_and_whole_numbers_are_not(company: Store, item: str) -> None:
    assert send(company, event(item, value=1.5)).rejected["code"].to_list() == ["float_money"]
    assert send(company, event(item, value=2)).accepted == 1
    assert stored(company, "value_mantissa") == [(2000,)]


def test_an_event_before_the_horizon_is_kept_with_its_reason(company: Store, item: str) -> None:
    # 26 months before 15 January 2025 is 15 November 2022.
    send(
        company,
        event(item, occurred_at="2022-11-14T23:59:59Z"),
        event(item, event_id="e2", occurred_at="2022-11-15T00:00:00Z"),
    )
    assert stored(company, "event_id", "unbilled_reason") == [
        ("e1", "before_horizon"),
        ("e2", "before_start"),
    ]


def test_the_day_of_an_event_is_the_customers_own(company: Store, customer: Make) -> None:
    customer("sydney", time_zone="Australia/Sydney")
    row = company.row(select(items.c.item_id))
    assert row is not None
    send(company, event(row["item_id"], occurred_at="2025-01-10T13:00:00Z"))
    assert stored(company, "occurred_on") == [(date(2025, 1, 11),)]


def test_a_day_counts_from_its_start_in_the_customers_zone(company: Store, customer: Make) -> None:
    customer("sydney", time_zone="Australia/Sydney")
    row = company.row(select(items.c.item_id))
    assert row is not None
    counted = event(row["item_id"], occurred_on=date(2025, 1, 10), value=3)
    del counted["occurred_at"]
    assert send(company, counted).accepted == 1
    assert stored(company, "occurred_on", "occurred_at") == [
        (date(2025, 1, 10), datetime(2025, 1, 9, 13, tzinfo=UTC))
    ]


def test_a_frame_without_zone_or_column_is_refused_as_a_whole(company: Store, item: str) -> None:
    naive = pl.DataFrame([event(item, occurred_at=datetime(2025, 1, 10))])  # noqa: DTZ001
    with pytest.raises(BillingError, match="naive_time"):
        import_usage(company, AT, naive)
    with pytest.raises(BillingError, match="missing_column: meter_id"):
        import_usage(company, AT, pl.DataFrame([event(item)]).drop("meter_id"))


def test_no_events_are_no_work(company: Store, item: str) -> None:
    answer = import_usage(company, AT, pl.DataFrame([event(item)]).clear())
    assert (answer.accepted, answer.duplicate, answer.rejected.height) == (0, 0, 0)


def test_only_a_customer_with_nothing_left_to_bill_is_marked(company: Store, customer: Make) -> None:
    customer("anna")
    customer("bert")
    for who, due in (("anna", None), ("bert", date(2025, 2, 1))):
        company.execute(update(customers).where(customers.c.customer_id == who).values(next_bill_on=due))
    known = company.rows(select(items.c.item_id).order_by(items.c.item_id))
    send(company, *(event(row["item_id"], event_id=row["item_id"]) for row in known))
    due = company.rows(select(customers.c.next_bill_on).order_by(customers.c.customer_id))
    assert [row["next_bill_on"] for row in due] == [date(2025, 1, 15), date(2025, 2, 1)]


def test_order_and_repetition_of_batches_do_not_matter(company: Store, item: str) -> None:
    events = [event(item, event_id=f"e{n}", value=str(n)) for n in range(60)]
    shuffled = random.Random(1)
    for _ in range(4):
        batch = shuffled.choices(events, k=50)
        send(company, *batch)
    send(company, *events)
    frame = company.frame(usage_events.select())
    assert frame.height == 60
    assert frame["value_mantissa"].sum() == sum(range(60)) * 1000
    assert sorted(frame["seq"]) == list(range(1, 61))
