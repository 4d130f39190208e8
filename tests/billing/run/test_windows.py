"""Prices with a window commitment, billed by the run and against a computation with exact fractions."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from shop import OPENED, at, item_of, join, open_shop, parked, run, sell_alone, take
from sqlalchemy import select

from billing.core.calendar import midnight
from billing.core.money import BillingError, post
from billing.jobs.import_usage import import_usage
from billing.service import catalog
from billing.service.catalog import NewPrice, NewTier
from billing.service.subscriptions import cancel
from billing.store import tables
from billing.store.store import Store

START, END = date(2025, 3, 1), date(2025, 4, 1)
ZONE = "Europe/Berlin"  # The clock goes forward on 30 March: 743 hours.
EXPONENTS = {"USD": 2, "JPY": 0, "KWD": 3}
DAY_AT_10 = {"window": "day", "window_commitment": "10", "overage_factor": "2"}


def shop(
    store: Store,
    price: NewPrice,
    *,
    currency: str = "USD",
    zone: str = "UTC",
    interval: str = "P1M",
    aggregation: str = "sum",
    scale: int = 0,
    **settings: str | int,
) -> str:
    """A shop with one metered plan, sold to anna; the item's id."""
    open_shop(store, **settings)
    catalog.create_meter(store, OPENED, meter_id="units", name="Units", aggregation=aggregation, scale=scale)
    part = catalog.NewComponent("units", "usage", "units")
    sell_alone(store, part, price, interval=interval, currency=currency)
    join(store, "anna", time_zone=zone, currency=currency)
    return item_of(store, take(store, START, "plan", anchor_on=START))


def price(model: str = "per_unit", amount: str | None = "2", **terms: Any) -> NewPrice:
    return NewPrice("plan.1.units", model, amount, **terms)


def send(store: Store, item: str, values: list[tuple[datetime, str]], arrived: date = END) -> None:
    frame = pl.DataFrame(
        {
            "source": "meter",
            "event_id": [f"{arrived} {number}" for number in range(len(values))],
            "item_id": item,
            "meter_id": "units",
            "occurred_at": [moment for moment, _ in values],
            "value": [value for _, value in values],
        }
    )
    answer = import_usage(store, at(arrived), frame)
    assert answer.accepted == len(values), answer


def noon(day: int, month: int = 3) -> datetime:
    return datetime(2025, month, day, 12, tzinfo=UTC)


def billed(store: Store) -> list[int]:
    rows = store.rows(select(tables.line_items).order_by(tables.line_items.c.line_id))
    return [row["net_minor"] for row in rows]


@pytest.mark.parametrize("currency", ["USD", "JPY", "KWD"])
@pytest.mark.parametrize(("trues_up", "idle", "low"), [(True, 10, 10), (False, 0, 4)])
def test_a_window_costs_its_commitment_and_what_exceeds_it_the_factor(
    store: Store, currency: str, trues_up: bool, idle: int, low: int
) -> None:
    """Price 2, commitment 10, factor 2: 2 units cost 10, 7 units 10 + 4 x 2 = 18. 29 days are idle."""
    item = shop(store, price(**DAY_AT_10, window_true_up=trues_up), currency=currency)
    send(store, item, [(noon(3), "2"), (noon(5), "3"), (noon(5), "4")])
    run(store, END)
    assert parked(store) == {}
    assert billed(store) == [(29 * idle + low + 18) * 10 ** EXPONENTS[currency]]
    assert run(store, END).lines == 0


@pytest.mark.parametrize("currency", ["USD", "JPY", "KWD"])
@pytest.mark.parametrize(("trues_up", "idle"), [(True, 10), (False, 0)])
@pytest.mark.parametrize("correction", ["-7", "-6"])
def test_a_window_below_zero_costs_as_an_idle_one(
    store: Store, currency: str, trues_up: bool, idle: int, correction: str
) -> None:
    """A correction of the 3rd is dated on the 5th. Price 2, commitment 10, factor 2: 7 units cost 18. That of
    the day after the end is no window, for nothing was used."""
    item = shop(store, price(**DAY_AT_10, window_true_up=trues_up), currency=currency)
    send(store, item, [(noon(3), "7"), (noon(5), correction)])
    sub = store.rows(select(tables.subscriptions.c.subscription_id))[0]["subscription_id"]
    cancel(store, at(END), subscription_id=sub, when="now")
    send(store, item, [(noon(20), "1"), (noon(1, 4), "-1")], date(2025, 4, 2))
    run(store, date(2025, 4, 2))
    assert parked(store) == {}
    # The unit of the 20th costs its 2, or the commitment.
    assert billed(store) == [(18 + max(2, idle) + 29 * idle) * 10 ** EXPONENTS[currency]]
    assert run(store, date(2025, 4, 3)).lines == 0


@pytest.mark.parametrize("window", ["hour", "day", "month"])
def test_a_period_below_zero_sets_its_customer_aside_whatever_its_windows_say(
    store: Store, window: str
) -> None:
    item = shop(store, price(window=window, window_commitment="10"))
    send(store, item, [(noon(3), "7"), (noon(5), "-8")])
    run(store, END)
    assert parked(store) == {"anna": "negative_quantity"}
    assert billed(store) == []


def test_a_line_says_what_was_used_in_its_windows(store: Store) -> None:
    item = shop(store, price(**DAY_AT_10))
    send(store, item, [(noon(3), "2"), (noon(5), "7"), (noon(6), "7")])
    run(store, END)
    line = store.row(select(tables.line_items))
    assert line is not None
    assert line["quantity_mantissa"] == 16
    windows = json.loads(line["explanation"])["windows"]
    assert windows == [[0, 28], [2, 1], [7, 2]]
    again = sum((10 + max(2 * quantity - 10, 0) * 2) * times for quantity, times in windows)
    assert line["net_minor"] == again * 100 == (28 * 10 + 10 + 18 + 18) * 100


def test_the_hours_of_a_day_on_which_the_clock_moves_are_counted_as_they_passed(store: Store) -> None:
    item = shop(store, price(amount="1", window="hour", window_commitment="0.01"), zone=ZONE)
    send(store, item, [(datetime(2025, 3, 30, 0, 59, 59, tzinfo=UTC), "1"), (noon(30), "1")])
    run(store, END)
    # 743 hours, two of them at 1.00.
    assert billed(store) == [741 + 200]


def test_months_of_a_year_are_windows_from_its_start(store: Store) -> None:
    terms = {"window": "month", "window_commitment": "100", "overage_factor": "1.5"}
    item = shop(store, price(amount="1", **terms), interval="P1Y")
    late = datetime(2026, 2, 28, 23, 59, tzinfo=UTC)
    send(
        store, item, [(noon(3), "60"), (noon(31), "60"), (noon(1, 4), "20"), (late, "140")], date(2026, 3, 1)
    )
    run(store, date(2026, 3, 1))
    # 120 in the first month, 140 in the last: 100 + 20 x 1.5 and 100 + 40 x 1.5; ten at 100.
    assert billed(store) == [(130 + 160 + 10 * 100) * 100]


def test_late_usage_and_corrections_move_only_their_windows(store: Store) -> None:
    item = shop(store, price(**DAY_AT_10))
    send(store, item, [(noon(3), "2")])
    run(store, END)
    assert billed(store) == [31 * 1000]
    send(store, item, [(noon(3), "5"), (noon(4), "4")], date(2025, 4, 10))
    run(store, date(2025, 5, 1))
    assert sorted(billed(store)) == [800, 30 * 1000, 31 * 1000]
    send(store, item, [(noon(3), "-2")], date(2025, 5, 10))
    run(store, date(2025, 6, 1))
    # 5 units cost 10: what 2 beyond the commitment cost comes back.
    back = [row["net_minor"] for row in store.rows(select(tables.credit_note_lines))]
    assert sum(billed(store)) - sum(back) == 92 * 1000
    assert json.loads(str(_lines_of_april(store)["explanation"]))["windows"] == [[0, 30]]


def _lines_of_april(store: Store) -> Any:
    found = select(tables.line_items).where(tables.line_items.c.service_start == END)
    return store.row(found)


def test_the_day_a_service_ends_is_a_window_only_if_it_is_used(store: Store) -> None:
    item = shop(store, price(**DAY_AT_10))
    sub = store.rows(select(tables.subscriptions.c.subscription_id))[0]["subscription_id"]
    cancel(store, at(date(2025, 3, 11)), subscription_id=sub, when="now")
    run(store, date(2025, 3, 11))
    assert billed(store) == [10 * 1000]
    send(store, item, [(noon(11), "7")], date(2025, 3, 12))
    run(store, date(2025, 3, 12))
    assert billed(store) == [10 * 1000, 1800]


def test_windows_of_different_prices_and_meters_in_one_run(store: Store) -> None:
    """A window beside a plain component of the same meter."""
    open_shop(store)
    catalog.create_meter(store, OPENED, meter_id="units", name="Units")
    catalog.create_meter(store, OPENED, meter_id="peak", name="Peak", aggregation="max")
    catalog.create_plan(store, OPENED, plan_id="plan", name="Plan", product_id="goods")
    names = {"day": "units", "plain": "units", "peak": "peak"}
    catalog.publish_plan_version(
        store,
        OPENED,
        plan_id="plan",
        interval="P1M",
        in_advance=False,
        components=[catalog.NewComponent(name, "usage", meter) for name, meter in names.items()],
    )
    catalog.create_price_list(
        store,
        OPENED,
        list_id="list",
        name="List",
        currency="EUR",
        valid_start=date(2000, 1, 1),
        prices=[
            NewPrice("plan.1.day", "per_unit", "2", **DAY_AT_10),
            NewPrice("plan.1.plain", "per_unit", "0.01"),
            NewPrice("plan.1.peak", "per_unit", "1", window="month", window_commitment="3"),
        ],
    )
    join(store, "anna")
    item = item_of(store, take(store, START, "plan", anchor_on=START))
    send(store, item, [(noon(3), "7"), (noon(4), "1")])
    frame = pl.DataFrame({"source": "m", "event_id": ["a", "b"], "item_id": item, "meter_id": "peak"})
    frame = frame.with_columns(
        pl.Series("value", [4, 5]), pl.Series("occurred_on", [START, date(2025, 3, 9)])
    )
    assert import_usage(store, at(END), frame).accepted == 2
    run(store, END)
    found = store.rows(select(tables.line_items.c.component_id, tables.line_items.c.net_minor))
    assert {row["component_id"]: row["net_minor"] for row in found} == {
        "plan.1.day": (30 * 10 + 18) * 100,
        "plan.1.plain": 8,
        "plan.1.peak": 500,
    }


TIERS = (NewTier(3, "0.333", "0.5"), NewTier(10, "0.1"), NewTier(None, "0.071", "1"))


def tiered(quantity: Fraction) -> Fraction:
    """The cost of graduated TIERS, unit by unit of each tier entered."""
    cost, floor = Fraction(0), 0
    for tier in TIERS:
        if quantity > floor:
            top = quantity if tier.up_to is None else min(quantity, Fraction(tier.up_to))
            cost += (top - floor) * Fraction(tier.unit) + Fraction(tier.flat)
        floor = tier.up_to or floor
    return cost


@pytest.mark.parametrize("window", ["hour", "day", "month"])
@pytest.mark.parametrize("seed", range(2))
def test_random_windows_equal_their_exact_sum(store: Store, window: str, seed: int) -> None:
    draw = random.Random(seed)
    commitment, factor = Fraction(draw.randrange(1, 4000), 1000), Fraction(draw.randrange(0, 3000), 1000)
    terms = {
        "window": window,
        "window_commitment": str(float(commitment)),
        "overage_factor": str(float(factor)),
        "window_true_up": draw.random() < 0.5,
    }
    item = shop(store, price("graduated", None, tiers=TIERS, **terms), zone=ZONE, scale=2)
    begin = midnight(START, ZONE)
    seconds = int((midnight(END, ZONE) - begin).total_seconds())
    events = [
        (begin + timedelta(seconds=draw.randrange(seconds)), Fraction(draw.randrange(2000), 100))
        for _ in range(40)
    ]
    send(store, item, [(moment, f"{float(value):.2f}") for moment, value in events])
    run(store, END)
    used: Counter[int] = Counter()
    for moment, value in events:
        hour = int((moment - begin).total_seconds()) // 3600
        local = (moment + timedelta(hours=1 + (moment >= datetime(2025, 3, 30, 1, tzinfo=UTC)))).date()
        used[{"hour": hour, "day": local.day, "month": 0}[window]] += value
    count = {"hour": 743, "day": 31, "month": 1}[window]
    assert len(used) <= count
    costs = [tiered(Fraction(value)) for value in used.values()] + [Fraction(0)] * (count - len(used))
    exact = sum(
        (
            (commitment if terms["window_true_up"] else min(cost, commitment))
            + max(cost - commitment, Fraction(0)) * factor
            for cost in costs
        ),
        Fraction(0),
    )
    assert billed(store) == [post((exact * 100).numerator, (exact * 100).denominator)]


def test_a_window_beyond_the_bounds_sets_its_customer_aside(store: Store) -> None:
    terms = {"window": "day", "window_commitment": "1", "overage_factor": "9999"}
    item = shop(store, price(amount="100000", **terms))
    send(store, item, [(noon(3), str(10**13))])
    run(store, END)
    assert parked(store) == {"anna": "amount_out_of_range"}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"window": "week", "window_commitment": "1"}, "unknown_setting"),
    ({"window": "day"}, "unknown_setting"),
    ({"window_commitment": "1"}, "unknown_setting"),
    ({"overage_factor": "2"}, "unknown_setting"),
    ({"window": "day", "window_commitment": "-1"}, "negative_price"),
    ({"window": "day", "window_commitment": "1", "overage_factor": "-2"}, "bad_rate"),
    ({"window": "day", "window_commitment": "1", "overage_factor": "1.0000001"}, "too_many_decimals"),
]


@pytest.mark.parametrize(("terms", "code"), BAD)
def test_terms_of_windows_that_cannot_be_are_refused(
    sqlite_store: Store, terms: dict[str, Any], code: str
) -> None:
    with pytest.raises(BillingError) as refused:
        shop(sqlite_store, price(**terms))
    assert refused.value.code == code


@pytest.mark.parametrize("aggregation", ["latest", "unique_count", "weighted_sum"])
def test_windows_need_a_meter_that_each_window_can_be_read_of(sqlite_store: Store, aggregation: str) -> None:
    with pytest.raises(BillingError) as refused:
        shop(sqlite_store, price(**DAY_AT_10), aggregation=aggregation)
    assert refused.value.code == "unknown_model"
