"""Meters of every aggregation in a bill run, against the rules for one meter (core/usage.py)."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from examples import seeds
from shop import OPENED, at, item_of, join, open_shop, parked, run, sell_alone, take
from sqlalchemy import select

from billing.core.calendar import midnight
from billing.core.money import Scaled, post
from billing.core.usage import Meter, UsageEvent, quantity, trace
from billing.jobs.import_usage import import_usage
from billing.service import catalog
from billing.store import tables
from billing.store.store import Store

AGGREGATIONS = ("sum", "count", "max", "latest", "unique_count", "weighted_sum")
START, END = date(2024, 2, 1), date(2024, 5, 1)
BOUNDS = [date(2024, 2, 1), date(2024, 3, 1), date(2024, 4, 1), END]
ZONE = "Europe/Berlin"


def shop(store: Store, price: str = "0.31", zone: str = ZONE, currency: str = "EUR", **meter: Any) -> str:
    """A shop with one metered plan, sold to anna; the item's id."""
    open_shop(store)
    catalog.create_meter(store, OPENED, meter_id="units", name="Units", **meter)
    part, terms = catalog.NewComponent("units", "usage", "units"), ("plan.1.units", "per_unit", price)
    sell_alone(store, part, catalog.NewPrice(*terms), currency=currency)
    join(store, "anna", time_zone=zone, currency=currency)
    return item_of(store, take(store, START, "plan", anchor_on=START))


def send(store: Store, arrived: date, item_id: str, rows: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(
        [
            {"source": "meter", "item_id": item_id, "meter_id": "units", "operation": None, "dimension": None}
            | row
            for row in rows
        ],
        schema_overrides={"operation": pl.String, "dimension": pl.String},
    )
    answer = import_usage(store, at(arrived), frame)
    assert answer.rejected.is_empty()


def drawn(aggregation: str, seed: int) -> list[dict[str, Any]]:
    """Random events of three months, in the order of their arrival; no two share an instant."""
    draw = random.Random(seed)
    seconds = (midnight(END, ZONE) - midnight(START, ZONE)).total_seconds()
    moments = draw.sample(range(int(seconds)), 25)
    rows = []
    for number, moment in enumerate(moments):
        row: dict[str, Any] = {
            "event_id": str(number),
            "occurred_at": midnight(START, ZONE) + timedelta(seconds=moment),
            "value": str(draw.randrange(1, 999) / 100) if aggregation != "unique_count" else "1",
        }
        if aggregation == "unique_count":
            row |= {"dimension": draw.choice("abcdef"), "operation": draw.choice(["add", "add", "remove"])}
        rows.append(row)
    if aggregation == "weighted_sum":
        # Levels never fall below 0: some of what was added in a month goes again in it.
        rows.sort(key=lambda row: row["occurred_at"])
        for before, after in pairwise(rows):
            is_same_month = before["occurred_at"].astimezone(UTC).month == after["occurred_at"].month
            if before.get("operation") is None and is_same_month and draw.random() < 0.4:
                after |= {"operation": "remove", "value": before["value"]}
        draw.shuffle(rows)
    return rows


def wanted(meter: Meter, rows: list[dict[str, Any]], price: Fraction) -> list[int]:
    """What each month costs in minor units, by the rules for one meter."""
    events = [
        UsageEvent(
            row["occurred_at"],
            Scaled(round(float(row["value"]) * 100) * (-1 if row.get("operation") == "remove" else 1), 2)
            if meter.aggregation != "unique_count"
            else Scaled(0, 0),
            row.get("dimension"),
            row.get("operation") != "remove",
        )
        for row in rows
    ]
    costs, level, present = [], Scaled(0, 0), set[str]()
    for start, end in pairwise(BOUNDS):
        opening, there = (level, present) if meter.carry_over else (Scaled(0, 0), set[str]())
        levels = trace(meter, events, midnight(start, ZONE), midnight(end, ZONE), opening, there)
        num, den = quantity(meter, levels)
        level = Scaled(levels.closing, levels.scale)
        exact = Fraction(num, den) * price * 100
        costs.append(post(exact.numerator, exact.denominator))
    return costs


def billed(store: Store) -> list[int]:
    """Net of each of three months of service: charges less credits, on invoices and notes."""
    lines = store.rows(select(tables.line_items))
    month = {line["line_id"]: line["service_start"] for line in lines}
    sums = dict.fromkeys(BOUNDS[:-1], 0)
    for line in lines:
        if line["service_start"] in sums:
            sums[line["service_start"]] += line["net_minor"]
    for note in store.rows(select(tables.credit_note_lines)):
        if month[note["line_id"]] in sums:
            sums[month[note["line_id"]]] -= note["net_minor"]
    return list(sums.values())


@pytest.mark.parametrize("is_recurring", [False, True])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_run_bills_every_meter_by_its_rule(store: Store, aggregation: str, is_recurring: bool) -> None:
    item = shop(store, aggregation=aggregation, scale=2, is_recurring=is_recurring)
    rows = drawn(aggregation, 7)
    send(store, END, item, rows)
    run(store, END)
    assert parked(store) == {}
    expected = wanted(Meter(aggregation, is_recurring), rows, Fraction(31, 100))
    assert billed(store) == expected
    assert sum(expected) > 0


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("is_recurring", [False, True])
@pytest.mark.parametrize("seed", seeds(1, 3))
def test_order_repetition_and_lateness_of_events_do_not_matter(
    sqlite_store: Store, aggregation: str, is_recurring: bool, seed: int
) -> None:
    item = shop(sqlite_store, aggregation=aggregation, scale=2, is_recurring=is_recurring)
    rows = drawn(aggregation, seed)
    draw = random.Random(seed)
    # What is taken away arrives after what it is taken from.
    delays = [49 if row.get("operation") == "remove" else draw.randrange(50) for row in rows]
    arrivals = [
        (max(row["occurred_at"].date() + timedelta(days=delay), START), row)
        for delay, row in zip(delays, rows, strict=True)
    ]
    arrivals += draw.sample(arrivals, 5)
    day = START
    while day < date(2024, 7, 1):
        todays = [row for arrived, row in arrivals if arrived == day]
        if todays:
            send(sqlite_store, day + timedelta(days=1), item, todays)
        if day.day in (1, 2, 15):
            run(sqlite_store, day)
        day += timedelta(days=1)
    run(sqlite_store, date(2024, 7, 1))
    assert billed(sqlite_store) == wanted(Meter(aggregation, is_recurring), rows, Fraction(31, 100))


@pytest.mark.parametrize(("currency", "exponent"), [("USD", 2), ("JPY", 0), ("KWD", 3)])
def test_a_level_is_weighed_by_the_time_it_held(store: Store, currency: str, exponent: int) -> None:
    item = shop(store, "1", "UTC", currency, aggregation="weighted_sum", is_recurring=True)
    up, down = datetime(2024, 2, 11, tzinfo=UTC), datetime(2024, 3, 2, 6, 0, tzinfo=UTC)
    send(
        store,
        date(2024, 3, 5),
        item,
        [
            {"event_id": "up", "occurred_at": up, "value": "1000"},
            {"event_id": "down", "occurred_at": down, "value": "400", "operation": "remove"},
        ],
    )
    run(store, END)
    # 19 of 29 days of February at 1,000; in March 30 hours at 1,000 and 714 of 744 at 600; April at 600.
    hours = [Fraction(19 * 1000, 29), Fraction(30 * 1000 + 714 * 600, 744), Fraction(600)]
    minor = [Fraction(10**exponent) * level for level in hours]
    assert billed(store) == [post(one.numerator, one.denominator) for one in minor]


def test_whole_hours_count_from_the_start_of_the_hour(store: Store) -> None:
    item = shop(store, "744", "UTC", aggregation="weighted_sum", grain="hour")
    moment = datetime(2024, 3, 31, 21, 59, 59, tzinfo=UTC)
    send(store, date(2024, 4, 2), item, [{"event_id": "one", "occurred_at": moment, "value": "1"}])
    run(store, date(2024, 4, 1))
    assert billed(store) == [0, 300, 0]


def test_a_period_that_falls_below_nothing_sets_its_customer_aside(store: Store) -> None:
    item = shop(store, aggregation="sum")
    rows = [{"event_id": "one", "occurred_at": midnight(date(2024, 2, 2), ZONE), "value": "5"}]
    send(store, date(2024, 2, 3), item, rows)
    run(store, date(2024, 3, 1))
    assert billed(store) == [155, 0, 0]
    correction = {"event_id": "two", "occurred_at": midnight(date(2024, 2, 2), ZONE), "value": "-2"}
    send(store, date(2024, 3, 3), item, [correction])
    run(store, date(2024, 4, 1))
    assert billed(store) == [93, 0, 0]
    send(store, date(2024, 4, 3), item, [correction | {"event_id": "three", "value": "-4"}])
    run(store, END)
    assert parked(store) == {"anna": "negative_quantity"}
    assert billed(store) == [93, 0, 0]
