"""Customer snapshots: features are made of days up to the as-of day, labels of the days after it."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import mean, stdev

import pytest
from order_models import Warehouse, ancestors, fill_with_retail, order_models

from churn_model.dataset import features_of

RETAIL_END = date(2011, 12, 9)
FEATURES = (
    "tenure_days, order_days, days_since_order, orders_30, orders_90, orders_180, orders_365, "
    "amount_90, amount_365, order_trend, gap_mean, gap_sd, recency_over_gap, skus_180, breadth_change, "
    "credit_share_180, orders_same_season, month_of_year, country_group, currency, trailing_revenue_minor"
)


@pytest.fixture(scope="module")
def retail() -> Iterator[Warehouse]:
    warehouse = Warehouse("Europe/London")
    fill_with_retail(warehouse)
    warehouse.build(RETAIL_END, "fct_customer_snapshots")
    warehouse.connection.execute("CREATE TABLE warehouse.main.whole AS FROM marts.fct_customer_snapshots")
    yield warehouse
    warehouse.connection.close()


def features_that_differ(warehouse: Warehouse, day: date) -> list[dict[str, object]]:
    """Rows of a day whose features in the rebuilt marts are not those of the whole history, either way."""
    return warehouse.rows(
        " UNION ALL ".join(
            f"(SELECT customer_id, {FEATURES} FROM {one} WHERE as_of = '{day}' "
            f"EXCEPT SELECT customer_id, {FEATURES} FROM {other} WHERE as_of = '{day}')"
            for one, other in [
                ("whole", "marts.fct_customer_snapshots"),
                ("marts.fct_customer_snapshots", "whole"),
            ]
        )
    )


def test_the_test_days_hold_the_customers_and_base_rates_of_the_protocol(retail: Warehouse) -> None:
    rows = retail.rows(
        "SELECT as_of, count(*) AS customers, round(avg(churned_90::int), 3) AS base_rate FROM whole "
        "WHERE as_of IN ('2011-05-31', '2011-08-31') GROUP BY as_of ORDER BY as_of"
    )
    assert [tuple(row.values()) for row in rows] == [
        (date(2011, 5, 31), 2659, 0.499),
        (date(2011, 8, 31), 2772, 0.393),
    ]


def test_snapshots_are_month_ends_from_120_days_on_and_the_as_of_day(retail: Warehouse) -> None:
    days = [row["as_of"] for row in retail.rows("SELECT DISTINCT as_of FROM whole ORDER BY as_of")]
    assert (days[0], days[1], days[-2], days[-1]) == (
        date(2010, 3, 31),
        date(2010, 4, 30),
        date(2011, 11, 30),
        RETAIL_END,
    )
    assert len(days) == 22
    open_days = {row["as_of"] for row in retail.rows("SELECT as_of FROM whole WHERE churned_90 IS NULL")}
    assert min(open_days) == date(2011, 9, 30)


def without_the_future(warehouse: Warehouse, day: date) -> None:
    """Keep only what had happened by a day."""
    warehouse.connection.execute(
        "DELETE FROM raw_orders.orders WHERE (ordered_at AT TIME ZONE 'Europe/London')::date > ?", [day]
    )
    warehouse.connection.execute(
        "DELETE FROM raw_orders.order_lines WHERE order_id NOT IN (SELECT order_id FROM raw_orders.orders)"
    )


def shuffle_the_future(warehouse: Warehouse, day: date) -> None:
    """Give the orders after a day to other customers, at other times and amounts."""
    warehouse.connection.execute(
        "UPDATE raw_orders.orders SET customer_id = (customer_id::int + 1)::varchar, "
        "is_credit = NOT is_credit, ordered_at = ordered_at + INTERVAL 2 DAY "
        f"WHERE (ordered_at AT TIME ZONE 'Europe/London')::date > '{day}'"
    )
    warehouse.connection.execute(
        "UPDATE raw_orders.order_lines SET amount_minor = 7 - amount_minor, sku = 'x' || sku "
        "WHERE order_id IN (SELECT order_id FROM raw_orders.orders "
        f"WHERE (ordered_at AT TIME ZONE 'Europe/London')::date > '{day}')"
    )


@pytest.mark.parametrize("change", [without_the_future, shuffle_the_future])
def test_the_future_of_a_day_changes_no_feature_of_it_and_does_change_labels(
    retail: Warehouse, change: object
) -> None:
    day = date(2011, 5, 31)
    run = retail.connection.execute
    for table in ("orders", "order_lines"):
        run(f"CREATE OR REPLACE TABLE warehouse.main.kept_{table} AS FROM raw_orders.{table}")
    try:
        change(retail, day)  # type: ignore[operator]
        # as of a later day, so that labels of the day are closed and show the changed future
        retail.build(RETAIL_END, "fct_customer_snapshots")
        assert features_that_differ(retail, day) == []
        labels = retail.row(
            "SELECT count(*) AS customers, count(*) FILTER (whole.churned_90 <> now.churned_90) AS changed "
            "FROM whole JOIN marts.fct_customer_snapshots AS now USING (customer_id, as_of) "
            f"WHERE as_of = '{day}'"
        )
        assert labels["customers"] == 2659
        assert labels["changed"] > 500
    finally:
        for table in ("orders", "order_lines"):
            run(f"DELETE FROM raw_orders.{table}")
            run(f"INSERT INTO raw_orders.{table} FROM kept_{table}")


def test_a_build_of_an_old_day_sees_the_same_features(retail: Warehouse) -> None:
    day = date(2011, 2, 28)
    retail.build(day, "fct_customer_snapshots")
    assert features_that_differ(retail, day) == []
    label = retail.row(
        f"SELECT max(churned_90) AS label FROM marts.fct_customer_snapshots WHERE as_of = '{day}'"
    )
    assert label == {"label": None}


def test_features_of_an_old_day_are_those_of_what_was_known_then() -> None:
    """Rows are recorded as they happen: what came later changes nothing."""
    shop, chance = Warehouse(), random.Random(5)
    for number in range(400):
        day = date(2025, 1, 1) + timedelta(days=chance.randrange(364))
        at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        shop.order(
            f"{number}", f"c{chance.randrange(30)}", at, [(f"{chance.randrange(9)}", 1, 100)], recorded_at=at
        )
    shop.build(date(2025, 12, 31), "fct_customer_snapshots")
    shop.connection.execute("CREATE TABLE warehouse.main.whole AS FROM marts.fct_customer_snapshots")
    day = date(2025, 8, 31)
    shop.build(day, "fct_customer_snapshots", known_to=datetime(2025, 8, 31, 23, 59, tzinfo=UTC))
    assert shop.row("SELECT count(*) > 20 AS enough FROM marts.fct_customer_snapshots") == {"enough": True}
    assert features_that_differ(shop, day) == []


def test_every_feature_of_the_model_is_among_those_proven_here() -> None:
    assert {feature.name for feature in features_of()} <= set(FEATURES.split(", "))


def test_every_staging_model_behind_the_snapshots_knows_when_a_row_was_recorded() -> None:
    models = order_models()
    staging = {
        name
        for name in ancestors(models, "fct_customer_snapshots")
        if models[name].schema == "staging" and not name.startswith("stg_meta__")
    }
    assert staging == {"stg_orders__orders", "stg_orders__order_lines", "stg_orders__skus"}
    for name in staging:
        assert "recorded_at" in models[name].sql
        assert "known_to" in models[name].sql


# A second implementation, customer by customer, in plain Python.

Event = tuple[str, date, bool, int, str]


def events_of_a_small_world(seed: int) -> list[Event]:
    """Customer, day, whether a credit, amount, SKU; some order once, some often, some twice a day."""
    chance = random.Random(seed)
    events: list[Event] = []
    for customer in range(40):
        day = date(2024, 1, 1) + timedelta(days=chance.randrange(500))
        for _ in range(chance.choice([1, 2, 3, 8, 20])):
            for _ in range(chance.choice([1, 1, 2])):
                events.append(
                    (f"c{customer}", day, False, chance.randrange(1, 9999), f"{chance.randrange(12)}")
                )
            if chance.random() < 0.15:
                events.append((f"c{customer}", day, True, -chance.randrange(1, 500), "1"))
            day += timedelta(days=chance.randrange(1, 70))
    return [event for event in events if event[1] <= date(2025, 12, 31)]


def expected_snapshot(mine: list[Event], first_data: date, day: date) -> dict[str, object] | None:
    """The features and the label of one customer on a day, or None when it is not at risk."""
    past = [event for event in mine if event[1] <= day]
    orders = sorted({event[1] for event in past if not event[2]})
    if not orders or (day - orders[-1]).days >= 180:
        return None

    def order_days(start: int, end: int) -> int:
        return sum(start <= (day - on).days < end for on in orders)

    def net(days: int) -> int:
        return sum(event[3] for event in past if (day - event[1]).days < days)

    def skus(start: int, end: int) -> int:
        return len({event[4] for event in past if not event[2] and start <= (day - event[1]).days < end})

    gaps = [(later - earlier).days for earlier, later in pairwise(orders)]
    tenure = (day - orders[0]).days
    has_year = (day - first_data).days >= 364
    sales = sum(event[3] for event in past if not event[2] and (day - event[1]).days < 180)
    credited = sum(event[3] for event in past if event[2] and (day - event[1]).days < 180)
    later = [event for event in mine if not event[2] and 0 < (event[1] - day).days <= 90]
    is_closed = day + timedelta(days=90) <= date(2025, 12, 31)
    return {
        "tenure_days": tenure,
        "order_days": len(orders),
        "days_since_order": (day - orders[-1]).days,
        "orders_30": order_days(0, 30),
        "orders_90": order_days(0, 90),
        "orders_180": order_days(0, 180),
        "orders_365": order_days(0, 365) if has_year else None,
        "amount_90": net(90),
        "amount_365": net(365) if has_year else None,
        "order_trend": (
            math.log((order_days(0, 90) + 0.5) / (order_days(90, 180) + 0.5)) if tenure >= 179 else None
        ),
        "gap_mean": mean(gaps) if gaps else None,
        "gap_sd": stdev(gaps) if len(gaps) >= 2 else None,
        "recency_over_gap": (day - orders[-1]).days / mean(gaps) if gaps else None,
        "skus_180": skus(0, 180),
        "breadth_change": math.log((skus(0, 90) + 1) / (skus(90, 180) + 1)) if tenure >= 179 else None,
        "credit_share_180": -credited / sales if sales else None,
        "orders_same_season": order_days(275, 365) if has_year and tenure >= 275 else None,
        "month_of_year": day.month,
        "trailing_revenue_minor": net(365),
        "churned_90": not later if is_closed else None,
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_features_agree_with_a_second_implementation(seed: int) -> None:
    shop, events = Warehouse(), events_of_a_small_world(seed)
    for number, (customer, day, _, amount, sku) in enumerate(events):
        shop.order(str(number), customer, day, [(sku, 1 if amount > 0 else -1, amount)])
    shop.build(date(2025, 12, 31), "fct_customer_snapshots")
    first_data = min(event[1] for event in events)
    found = {
        (row["customer_id"], row["as_of"]): row for row in shop.rows("FROM marts.fct_customer_snapshots")
    }
    days = {day for _, day in found}
    expected = {
        (customer, day): snapshot
        for day in days
        for customer in {event[0] for event in events}
        if (snapshot := expected_snapshot([e for e in events if e[0] == customer], first_data, day))
    }
    assert found.keys() == expected.keys()
    assert len(days) >= 19
    for key, snapshot in expected.items():
        assert {name: found[key][name] for name in snapshot} == pytest.approx(snapshot, abs=1e-12), key
