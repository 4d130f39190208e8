"""Customer snapshots: features are made of days up to the as-of day, labels of the days after it."""

from __future__ import annotations

import math
import random
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import bgnbd
import numpy as np
import pytest
from order_models import Warehouse, ancestors, fill_with_retail, order_models

from churn_model import metrics
from churn_model.dataset import features_of

GATES = Path(__file__).parents[1] / "churn" / "gates" / "online_retail_ii.toml"
RETAIL_END = date(2011, 12, 9)
FEATURES = (
    "tenure_days, order_days, days_since_order, orders_30, orders_90, orders_180, orders_365, "
    "amount_90, amount_365, order_trend, gap_mean, gap_sd, recency_over_gap, skus_180, breadth_change, "
    "credit_share_180, orders_same_season, active_months, active_quarter_share, silence_chance, "
    "mean_order_amount, last_order_amount, gap_median, gap_change, order_amount_cv, sku_days_365, "
    "history_share, gap_min, recency_over_median, amount_same_season, sku_days, skus_last_order, "
    "repeat_share_365, month_of_year, country_group, currency, trailing_revenue_minor"
)


@pytest.fixture(scope="module")
def retail() -> Iterator[Warehouse]:
    warehouse = Warehouse("Europe/London")
    fill_with_retail(warehouse)
    warehouse.build(RETAIL_END, "fct_customer_snapshots")
    warehouse.connection.execute("CREATE TABLE warehouse.main.whole AS FROM marts.fct_customer_snapshots")
    warehouse.connection.execute("CREATE TABLE warehouse.main.days AS FROM intermediate.int_order_days")
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


@pytest.mark.parametrize("test_date", ["2011-06-01", "2011-09-01"])
def test_the_gate_of_a_test_date_asks_for_more_than_the_textbooks_model(
    retail: Warehouse, test_date: str
) -> None:
    """BG/NBD, fitted on all customers by the close of the day before, ranks those at risk."""
    day = date.fromisoformat(test_date) - timedelta(days=1)
    all_customers = retail.connection.execute(
        "SELECT count(*) - 1 AS repeats, max(ordered_on) - min(ordered_on) AS last, "
        "$day::DATE - min(ordered_on) AS tenure FROM days "
        "WHERE is_order_day AND ordered_on <= $day GROUP BY customer_id ORDER BY customer_id",
        {"day": day},
    ).fetchnumpy()
    peer = bgnbd.fit(*(all_customers[name].astype(np.float64) for name in ("repeats", "last", "tenure")))
    at_risk = retail.connection.execute(
        "SELECT order_days - 1 AS repeats, tenure_days - days_since_order AS last, tenure_days AS tenure, "
        "churned_90::INT AS y FROM whole WHERE as_of = $day ORDER BY customer_id",
        {"day": day},
    ).fetchnumpy()
    columns = {name: values.astype(np.float64) for name, values in at_risk.items()}
    p = peer.p_no_order(columns["repeats"], columns["last"], columns["tenure"], 90.0)
    area = float(metrics.auc(columns["y"], p)[0])
    assert area > 0.75
    gates = tomllib.loads(GATES.read_text(encoding="utf-8"))["gates"]
    assert gates[test_date]["auc"] > area


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


def expected_snapshot(
    mine: list[Event], first_data: date, day: date, horizon: int = 90, active: int = 180
) -> dict[str, object] | None:
    """The features and the label of one customer on a day, or None when it is not at risk."""
    past = [event for event in mine if event[1] <= day]
    orders = sorted({event[1] for event in past if not event[2]})
    if not orders or (day - orders[-1]).days >= active:
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
    later = sorted({(event[1] - day).days for event in mine if not event[2] and event[1] > day})
    soon = [days for days in later if days <= horizon]
    is_closed = day + timedelta(days=horizon) <= date(2025, 12, 31)
    is_week_closed = day + timedelta(days=horizon + 7) <= date(2025, 12, 31)
    ages = [(day - on).days for on in orders]
    sold = [event for event in past if not event[2]]
    daily_sales = [sum(event[3] for event in sold if event[1] == on) for on in orders]
    bought = {(event[4], event[1]) for event in sold if (day - event[1]).days < 365}
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
        "orders_same_season": (
            order_days(365 - horizon, 365) if has_year and tenure >= 365 - horizon else None
        ),
        "active_months": len({age // 30 for age in ages if age < 360}),
        "active_quarter_share": len({age // 90 for age in ages}) / (tenure // 90 + 1),
        "mean_order_amount": sum(event[3] for event in sold) / len(orders),
        "last_order_amount": sum(event[3] for event in sold if event[1] == orders[-1]),
        "gap_median": median(gaps) if gaps else None,
        "gap_change": math.log(mean(gaps[-3:]) / mean(gaps)) if gaps else None,
        "order_amount_cv": stdev(daily_sales) / mean(daily_sales) if len(orders) >= 2 else None,
        "sku_days_365": len(bought) / len({sku for sku, _ in bought}) if bought else None,
        "repeat_share_365": (
            mean([sum(sku == one for sku, _ in bought) > 1 for one in {sku for sku, _ in bought}])
            if bought
            else None
        ),
        "gap_min": min(gaps) if gaps else None,
        "recency_over_median": (day - orders[-1]).days / median(gaps) if gaps else None,
        "amount_same_season": (
            sum(event[3] for event in sold if 365 - horizon <= (day - event[1]).days < 365)
            if has_year and tenure >= 365 - horizon
            else None
        ),
        "sku_days": len({(event[4], event[1]) for event in sold}),
        "skus_last_order": len({event[4] for event in sold if event[1] == orders[-1]}),
        "history_share": tenure / (day - first_data).days if day > first_data else None,
        "month_of_year": day.month,
        "trailing_revenue_minor": net(365),
        "is_origin": (day + timedelta(days=1)).day == 1,
        "churned_90": not soon if is_closed else None,
        "churned_after_a_week": (
            not any(7 < days <= horizon + 7 for days in later) if is_week_closed else None
        ),
        "days_to_next_order": soon[0] if is_closed and soon else None,
    }


def add_silence_chance(snapshots: list[dict[str, object]], horizon: int = 90) -> None:
    """To the snapshots of one day: what the peer of the churn tests says, with the warehouse's parameters."""

    def values(name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([row[name] for row in snapshots], dtype=np.float64)

    repeats, tenure = values("order_days") - 1, values("tenure_days")
    peer = bgnbd.BgNbd(r=0.75, alpha=tenure.sum() / repeats.sum(), a=0.125, b=4.0)
    chances = peer.p_no_order(repeats, tenure - values("days_since_order"), tenure, horizon)
    for row, chance in zip(snapshots, chances, strict=True):
        row["silence_chance"] = chance


def expected_snapshots(
    events: list[Event], days: set[date], horizon: int = 90, active: int = 180
) -> dict[tuple[str, date], dict[str, object]]:
    first_data = min(event[1] for event in events)
    expected: dict[tuple[str, date], dict[str, object]] = {}
    for day in days:
        found = {
            (customer, day): snapshot
            for customer in {event[0] for event in events}
            if (
                snapshot := expected_snapshot(
                    [event for event in events if event[0] == customer], first_data, day, horizon, active
                )
            )
        }
        add_silence_chance(list(found.values()), horizon)
        expected |= found
    return expected


def shop_of(events: list[Event]) -> Warehouse:
    shop = Warehouse()
    for number, (customer, day, _, amount, sku) in enumerate(events):
        shop.order(str(number), customer, day, [(sku, 1 if amount > 0 else -1, amount)])
    return shop


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_features_agree_with_a_second_implementation(seed: int) -> None:
    events = events_of_a_small_world(seed)
    shop = shop_of(events).build(date(2025, 12, 31), "fct_customer_snapshots")
    found = {
        (row["customer_id"], row["as_of"]): row for row in shop.rows("FROM marts.fct_customer_snapshots")
    }
    days = {day for _, day in found}
    expected = expected_snapshots(events, days)
    assert found.keys() == expected.keys()
    assert len(days) >= 19
    for key, snapshot in expected.items():
        assert {name: found[key][name] for name in snapshot} == pytest.approx(snapshot, abs=1e-12), key


def test_horizon_active_days_and_the_days_looked_at_are_settings() -> None:
    events = events_of_a_small_world(4)
    shop = shop_of(events)
    shop.connection.execute(
        "INSERT INTO raw_meta.order_snapshots VALUES "
        "(30, 60, DATE '2024-09-10', 45, [DATE '2025-03-03', DATE '2024-01-02', DATE '2026-02-01'])"
    )
    shop.build(date(2025, 12, 31), "fct_customer_snapshots")
    found = {
        (row["customer_id"], row["as_of"]): row for row in shop.rows("FROM marts.fct_customer_snapshots")
    }
    # every 45 days from the first snapshot on, and the dates asked for between the first and the last
    asked = {date(2024, 9, 9) + timedelta(days=45 * step) for step in range(11)} | {date(2025, 3, 2)}
    days = {day for _, day in found}
    assert days == asked | {date(2025, 12, 31)}
    expected = expected_snapshots(events, days, horizon=30, active=60)
    assert found.keys() == expected.keys()
    for key, snapshot in expected.items():
        snapshot["is_origin"] = key[1] in asked
        assert {name: found[key][name] for name in snapshot} == pytest.approx(snapshot, abs=1e-12), key
