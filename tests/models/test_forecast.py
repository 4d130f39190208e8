"""The forecast: each rule on a company a bookkeeper can count, and a second implementation on random ones."""

from __future__ import annotations

import random
import tempfile
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
from plain_forecast import METHODS, forecasts, observe
from plain_metrics import FAR, Books, History, earlier
from random_events import random_events
from subscription_models import models, warehouse
from test_subscription_rules import APR, JAN, MAR, history, version

from pipelines.compiled import execute, needed
from tajdid.conformance.analytics_models import compiled_tests

MARTS, POINTS = ("fct_forecast_backtest",), ("int_forecast_points",)
Company = duckdb.DuckDBPyConnection


def life(customer: str, start: date, end: date | None, amount: int = 1000, **rest: Any) -> dict[str, Any]:
    return version(start, end, amount, item=f"{customer} {start}", customer=customer, **rest)


def month(number: int, first: date = JAN) -> date:
    """The first day of the month `number` after the first."""
    return earlier(first, -number)


def last_day(of: date) -> date:
    return month(1, of) - timedelta(days=1)


def build(
    *versions: dict[str, Any], as_of: date, more: Any = None, marts: tuple[str, ...] = POINTS, **rest: Any
) -> Company:
    """A company as far as its points; marts: MARTS for its intervals, headline and backtest too."""
    return warehouse(history(*versions, as_of=as_of, **rest), marts, more)


def points(company: Company, method: str = "survival", origin: date | None = None) -> list[Any]:
    """What a method says from the latest origin, by horizon."""
    rows = company.execute(
        "SELECT point_mrr::DOUBLE FROM intermediate.int_forecast_points "
        "WHERE segment = 'all' AND method = ? AND origin_month = "
        "coalesce(?, (SELECT max(origin_month) FROM intermediate.int_forecast_points)) "
        "ORDER BY currency, horizon_months",
        [method, origin],
    ).fetchall()
    return [row[0] for row in rows]


def latest(company: Company, columns: str, method: str = "last_value", horizon: int = 1) -> Any:
    return company.execute(
        f"SELECT {columns} FROM marts.fct_forecast "
        "WHERE segment = 'all' AND is_latest AND method = ? AND horizon_months = ?",
        [method, horizon],
    ).fetchall()[0]


def wrong_rows(company: Company) -> dict[str, list[Any]]:
    """What the identities of the forecast find, by their names."""
    identities = [
        test
        for test in compiled_tests(Path(tempfile.gettempdir()) / "tajdid-compiled")
        if "forecast" in test.name
    ]
    assert len(identities) == 4
    found = {test.name: company.execute(test.sql).fetchall() for test in identities}
    return {name: rows for name, rows in found.items() if rows}


# The model.


def test_a_hazard_is_shrunk_to_the_pooled_one_by_twenty_customers():
    # from February to July 4, 4, 3, 3, 3, 3 are at risk and one ends: 1 of 20
    company = build(
        life("a", JAN, None), life("b", JAN, MAR), life("c", JAN, None), life("d", JAN, None),
        as_of=date(2024, 7, 31),
    )  # fmt: skip
    rows = company.execute(
        "SELECT tenure_from, at_risk, ended, hazard FROM intermediate.int_forecast_rates "
        "WHERE segment = 'all' AND origin_month = DATE '2024-07-01' AND step = 1 ORDER BY 1"
    ).fetchall()
    assert [row[:3] for row in rows] == [(0, 11, 1), (3, 9, 0), (6, 0, 0), (12, 0, 0), (24, 0, 0)]
    assert [row[3] for row in rows] == pytest.approx([2 / 31, 1 / 29, 0.05, 0.05, 0.05])
    # in August the three are in their seventh month and more: 5 % of them go every month
    assert points(company) == pytest.approx([3000 * 0.95**step for step in range(1, 13)], abs=1e-5)


def test_each_plan_class_and_tenure_has_its_own_hazard():
    plans = [
        {"plan_id": "basic", "plan_name": "Basic", "plan_tier": "low", "is_add_on": False},
        {"plan_id": "pro", "plan_name": "Pro", "plan_tier": "high", "is_add_on": False},
    ]
    company = build(
        life("a", JAN, None), life("b", JAN, MAR), life("c", JAN, None, plan_id="pro"),
        as_of=date(2024, 7, 31), more={"raw_billing.plans": plans},
    )  # fmt: skip
    rows = company.execute(
        "SELECT plan_class, tenure_from, hazard FROM intermediate.int_forecast_rates "
        "WHERE segment = 'all' AND origin_month = DATE '2024-07-01' AND tenure_from <= 3 AND step = 1 "
        "ORDER BY ALL"
    ).fetchall()
    pooled = 1 / 14  # low: 2 in February and March, then 1; high: 1 in each of six months
    assert rows == [
        ("high", 0, pytest.approx(20 * pooled / 23)),
        ("high", 3, pytest.approx(20 * pooled / 23)),
        ("low", 0, pytest.approx((1 + 20 * pooled) / 25)),
        ("low", 3, pytest.approx(20 * pooled / 23)),
    ]


def test_who_pays_when_the_data_begin_has_the_tenure_since_it_was_created():
    people = [{"customer_id": "a", "created_on": date(2022, 11, 9), "valid_from": JAN, "is_test": False}]
    company = build(life("a", JAN, None), life("b", JAN, None), as_of=date(2024, 7, 31), customers=people)
    rows = company.execute(
        "SELECT tenure_from, sum(at_risk)::INT FROM intermediate.int_forecast_flows "
        "WHERE segment = 'all' GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert rows == [(0, 3), (3, 3), (12, 6)]  # a is in its 15th month in February


def test_those_who_stay_grow_by_what_those_who_stayed_grew_by():
    # in its seventh month 1000 becomes 1210; in the six months before nothing changes
    august = month(7)
    company = build(life("a", JAN, august), life("a", august, None, 1210), as_of=last_day(august))
    # at the same tenure 21 % a month; where nobody has been yet, what all grew by: 210 of 7 × 1000
    expected = [1210 * 1.21**step for step in range(1, 6)]
    expected += [expected[-1] * 1.03**step for step in range(1, 8)]
    assert points(company) == pytest.approx(expected, abs=1e-5)


def test_what_is_lost_comes_back_by_the_share_that_came_back():
    # of 2000 lost in March 500 come back in May; 9 are at risk in their first three months, 3 in the next
    company = build(
        life("a", JAN, MAR), life("b", JAN, MAR), life("c", JAN, None), life("a", month(4), None, 500),
        as_of=date(2024, 7, 31),
    )  # fmt: skip
    pooled = 2 / 12
    fresh, young, older = (2 + 20 * pooled) / 29, 20 * pooled / 23, pooled
    c, a, expected = 1000.0, 500.0, []
    for step in range(1, 13):
        c *= 1 - 0.75 * older
        a *= 1 - 0.75 * (fresh if step == 1 else young if step <= 4 else older)
        expected.append(c + a)
    assert points(company) == pytest.approx(expected, abs=1e-5)


def test_an_end_that_was_known_before_is_no_hazard_of_those_of_whom_nothing_is_known():
    # b asks in April for the end of June: two months before, that was known; three months before it was not
    leaves = life("b", JAN, month(6), cancel_requested_on=date(2024, 4, 30))
    company = build(life("a", JAN, None), leaves, as_of=date(2024, 9, 30))
    rows = company.execute(
        "SELECT step, ended FROM intermediate.int_forecast_rates "
        "WHERE segment = 'all' AND origin_month = DATE '2024-09-01' AND tenure_from = 3 ORDER BY 1"
    ).fetchall()
    assert rows == [(step, int(step > 3)) for step in range(1, 13)]
    # 14 are at risk, of these a alone at 6 to 11 months, in August and September; in January it comes to 12
    expected = [1000.0] * 3
    for step in range(4, 13):
        expected.append(expected[-1] * (1 - (20 / 14) / (22 if step == 4 else 20)))
    assert points(company) == pytest.approx(expected, abs=1e-5)


def test_an_end_was_known_as_long_as_all_that_was_paid_for_was_canceled():
    # both items of b end in July; one was given up in April, the other without notice
    asked = version(JAN, month(6), 500, item="p", customer="b", cancel_requested_on=date(2024, 4, 2))
    sudden = version(JAN, month(6), 500, item="q", customer="b")
    company = build(life("a", JAN, None), asked, sudden, as_of=date(2024, 7, 31))
    rows = company.execute(
        "SELECT DISTINCT ended FROM intermediate.int_forecast_rates "
        "WHERE segment = 'all' AND origin_month = DATE '2024-07-01' AND tenure_from = 3"
    ).fetchall()
    assert rows == [(1,)]


def test_an_item_that_ends_with_notice_is_no_contraction_to_those_who_know():
    # x gives up 500 of 1500 in July, asked for in May, and keeps 1000
    part = version(JAN, month(6), 500, item="p", customer="x", cancel_requested_on=date(2024, 5, 2))
    company = build(version(JAN, None, 1000, customer="x"), part, as_of=date(2024, 7, 31))
    rows = company.execute(
        "SELECT step, expansion_rate FROM intermediate.int_forecast_rates "
        "WHERE segment = 'all' AND origin_month = DATE '2024-07-01' AND tenure_from = 3 ORDER BY 1"
    ).fetchall()
    lost = pytest.approx(-500 / 4500)
    assert rows == [(1, 0), (2, 0), *((step, lost) for step in range(3, 13))]


def test_new_mrr_is_the_mean_of_six_months():
    newcomers = [life(f"n{number}", month(number), None, 100 * number) for number in range(1, 7)]
    company = build(life("a", JAN, None), *newcomers, as_of=date(2024, 7, 31))
    assert points(company) == pytest.approx([1000 + 2100 + 350 * step for step in range(1, 13)], abs=1e-5)


def december_trade(last: date) -> Company:
    """A customer since January 2022; a new one at 100 a month, in December at 1300."""
    first, newcomers, number = date(2022, 1, 1), [], 1
    while month(number, first) <= last:
        start = month(number, first)
        newcomers.append(life(f"n{number}", start, None, 1300 if start.month == 12 else 100))
        number += 1
    return build(life("a", first, None), *newcomers, as_of=last_day(last))


def test_new_mrr_follows_the_season_once_two_years_are_known():
    # to January 2024 the last six months bring 300 a month, and December is among them
    company = december_trade(date(2024, 1, 1))
    now = 1000 + 22 * 100 + 2 * 1300
    expected = [now + 100 * step for step in range(1, 11)] + [now + 2300, now + 2400]
    assert points(company) == pytest.approx(expected, abs=1e-5)


def test_new_mrr_has_no_season_before_two_years_are_known():
    company = december_trade(date(2023, 12, 1))
    now = 1000 + 21 * 100 + 2 * 1300
    assert points(company) == pytest.approx([now + 300 * step for step in range(1, 13)], abs=1e-5)


def test_a_known_cancellation_takes_effect_in_its_month():
    leaves = life("b", JAN, month(9), cancel_requested_on=date(2024, 7, 20))
    company = build(life("a", JAN, None), leaves, as_of=date(2024, 7, 31))
    assert points(company) == [2000, 2000] + [1000] * 10


def test_a_cancellation_counts_from_the_month_it_is_requested():
    leaves = life("b", JAN, month(9), cancel_requested_on=date(2024, 8, 1))
    company = build(life("a", JAN, None), leaves, as_of=date(2024, 8, 31))
    assert points(company, origin=month(6)) == [2000] * 12
    assert points(company, origin=month(7)) == [2000] + [1000] * 11


def test_a_cancellation_taken_back_counts_until_then():
    leaves = life("b", JAN, month(11), cancel_requested_on=date(2024, 7, 20))
    company = build(life("a", JAN, None), leaves, as_of=date(2024, 9, 30))
    company.execute(
        "UPDATE raw_billing.subscription_versions SET recorded_at = TIMESTAMPTZ '2024-07-20 12:00:00+00'"
    )
    company.execute(
        "INSERT INTO raw_billing.subscription_versions SELECT * REPLACE (NULL AS cancel_requested_on, "
        "NULL AS valid_to, TIMESTAMPTZ '2024-08-31 22:00:00+00' AS recorded_at) "
        "FROM raw_billing.subscription_versions WHERE customer_id = 'b'"
    )
    execute(company, needed(models(), *POINTS))
    assert points(company, origin=month(6)) == [2000] * 4 + [1000] * 8
    assert points(company, origin=month(7)) == [2000] * 12
    assert points(company, origin=month(8)) == [2000] * 12


def yearly(customer: str, start: date, end: date, **rest: Any) -> dict[str, Any]:
    return life(customer, start, end, term_start=start, term_end=end, **rest)


def test_the_end_of_a_term_has_its_own_hazard_and_no_other_month_has():
    # of five terms that end in January one is not renewed: (1 + 20 × 1/5) / (5 + 20)
    first, second, third = date(2023, 1, 1), JAN, date(2025, 1, 1)
    versions = [yearly(f"c{number}", first, second) for number in range(5)]
    versions += [
        {**yearly(f"c{number}", second, third), "subscription_item_id": f"c{number} {first}"}
        for number in range(4)
    ]
    company = build(*versions, as_of=date(2024, 6, 30))
    assert points(company) == pytest.approx([4000] * 6 + [3200] * 6, abs=1e-5)


def test_a_short_term_ends_again_and_again():
    first = date(2023, 1, 1)
    versions = [
        {**yearly("a", month(3 * number, first), month(3 * number + 3, first)), "subscription_item_id": "a"}
        for number in range(6)
    ]
    versions.append(yearly("b", first, month(3, first)))
    company = build(*versions, as_of=date(2024, 4, 30))
    # of six terms one is lost: (1 + 20/6) / (6 + 20) in July, October, January, April
    hazard = (1 + 20 / 6) / 26
    expected = [1000 * (1 - hazard) ** (step // 3) for step in range(1, 13)]
    assert points(company) == pytest.approx(expected, abs=1e-5)


def test_a_term_of_a_month_is_no_decision():
    versions = [
        {**yearly("a", month(number), month(number + 1)), "subscription_item_id": "a"} for number in range(8)
    ]
    company = build(*versions, life("b", JAN, MAR), as_of=date(2024, 7, 31))
    rows = company.execute("SELECT DISTINCT is_due FROM intermediate.int_forecast_flows").fetchall()
    assert rows == [(False,)]


def test_a_customer_that_gets_a_parent_is_neither_new_nor_lost():
    parents = [{"customer_id": "b", "parent_customer_id": "a", "valid_from": APR, "valid_to": None}]
    company = build(life("a", JAN, None), life("b", JAN, None), as_of=date(2024, 7, 31), parents=parents)
    assert points(company) == [2000] * 12


# The naive methods, and too little history.


def test_the_naive_methods_keep_the_last_value_and_go_on_by_the_mean_of_six_months():
    newcomers = [life(f"n{number}", month(number), None, 100 * number) for number in range(1, 8)]
    company = build(life("a", JAN, None), *newcomers, as_of=date(2024, 8, 31))
    assert points(company, "last_value") == [3800] * 12
    assert points(company, "last_value_and_trend") == pytest.approx(
        [3800 + 450 * step for step in range(1, 13)]
    )


def test_no_method_expects_less_than_nothing():
    leavers = [life(f"c{number}", JAN, month(number)) for number in range(2, 8)]
    company = build(life("a", JAN, None), *leavers, as_of=date(2024, 8, 31), marts=MARTS)
    assert points(company, "last_value_and_trend")[:2] == [0, 0]
    assert latest(company, "interval_why_null", "last_value_and_trend") == ("no_mrr",)


def test_too_little_history_is_said_and_not_filled():
    company = build(life("a", JAN, None), as_of=date(2024, 6, 30), marts=MARTS)
    shown = "point_mrr::INT, why_null, low_mrr, is_simulated, interval_why_null, is_headline, headline_why"
    for method in ("survival", "last_value_and_trend"):
        assert latest(company, shown, method) == (
            None, "history_too_short", None, None, "history_too_short", False, None,
        )  # fmt: skip
    assert latest(company, shown) == (1000, None, None, None, "history_too_short", True, "no_backtest")
    assert company.execute("SELECT count(*) FROM marts.fct_forecast_backtest").fetchall() == [(0,)]
    later = build(life("a", JAN, None), as_of=date(2024, 7, 31), marts=MARTS)
    assert latest(later, "point_mrr::INT, is_simulated", "survival") == (1000, True)


def test_a_company_without_subscriptions_has_no_forecast():
    company = build(as_of=date(2024, 6, 30), marts=MARTS)
    for mart in ("fct_forecast", "fct_forecast_backtest"):
        assert company.execute(f"SELECT count(*) FROM marts.{mart}").fetchall() == [(0,)]


def test_the_running_month_is_no_origin():
    company = build(life("a", JAN, None), life("b", MAR, None), as_of=MAR + timedelta(days=20))
    rows = company.execute("SELECT DISTINCT origin_month FROM intermediate.int_forecast_points ORDER BY 1")
    assert rows.fetchall() == [(JAN,), (date(2024, 2, 1),)]
    assert points(company, "last_value") == [1000] * 12


def test_currencies_without_a_rate_are_forecast_apart():
    company = build(life("a", JAN, None), life("u", JAN, None, 70, currency="USD"), as_of=date(2024, 7, 31))
    assert points(company) == [1000] * 12 + [70] * 12


# Intervals.


@cache
def growing(months: int) -> Company:
    """MRR of 1000 in January 2022, 100 more in every month after it."""
    first = date(2022, 1, 1)
    versions = [
        {
            **life("a", month(number, first), month(number + 1, first), 1000 + 100 * number),
            "subscription_item_id": "a",
        }
        for number in range(months)
    ]
    versions[-1]["valid_to"] = None
    return build(*versions, as_of=last_day(month(months - 1, first)), marts=MARTS)


def test_twelve_own_errors_give_the_interval():
    # from 1000, 1100 … 2100 to a hundred more; ⌈0.8 × 13⌉ = 11, and the eleventh smallest is 100/1100
    low, high = latest(growing(13), "low_mrr::DOUBLE, high_mrr::DOUBLE")
    assert (low, high) == pytest.approx((2000, 2400), abs=1e-5)
    assert latest(growing(13), "is_simulated, past_errors, interval_errors") == (False, 12, 12)


def test_a_fifth_of_the_errors_is_larger_than_the_bounds():
    # 19 errors and the one to come: four of twenty are larger than the 16th smallest, 100/1300
    low, high = latest(growing(20), "low_mrr::DOUBLE, high_mrr::DOUBLE")
    assert (low, high) == pytest.approx((2900 * (1 - 100 / 1300), 2900 * (1 + 100 / 1300)), abs=1e-5)


def test_shorter_horizons_lend_their_errors_per_month():
    # two months ahead ten errors of 200, one month ahead eleven of 100: per month the same, from each of 1000
    # to 1900 two. Of 21 the 18th smallest is 100/1100 a month
    low, high = latest(growing(12), "low_mrr::DOUBLE, high_mrr::DOUBLE", horizon=2)
    assert (low, high) == pytest.approx((2100 * (1 - 2 / 11), 2100 * (1 + 2 / 11)), abs=1e-5)
    assert latest(growing(12), "is_simulated, past_errors, interval_errors", horizon=2) == (False, 10, 21)


def test_no_interval_reaches_below_nothing():
    # MRR doubles every month: three months ahead what comes is eight times the last value
    doubling = [life("a", month(number), month(number + 1), 1000 * 2**number) for number in range(9)]
    for one in doubling:
        one["subscription_item_id"] = "a"
    company = build(*doubling, as_of=last_day(month(8)), marts=MARTS)
    shown = "low_mrr::INT, (high_mrr / point_mrr)::INT, is_simulated"
    assert latest(company, shown, horizon=3) == (0, 8, False)


def test_fewer_errors_are_made_up_for_by_paths_and_marked():
    company = growing(12)
    assert latest(company, "is_simulated, past_errors") == (True, 11)
    # a month of the past is redrawn: at least 100/2000 more, at most 10 %; the mean path is the point
    low, point, high = latest(company, "low_mrr::DOUBLE, point_mrr::DOUBLE, high_mrr::DOUBLE")
    assert point * 1.04 / 1.1 < low < point < high < point * 1.1 / 1.04


def test_months_that_were_all_alike_leave_nothing_to_draw():
    company = build(life("a", JAN, None), as_of=date(2024, 9, 30), marts=MARTS)
    assert latest(company, "low_mrr::INT, high_mrr::INT, is_simulated", "survival") == (1000, 1000, True)
    # and where a naive method is as good as the model, the model is shown
    assert latest(company, "is_headline, headline_why", "survival") == (True, "lowest_error")


def test_a_model_that_explodes_says_nothing_and_is_not_shown():
    # in its seventh month 1 becomes 12,345, so the model takes that for what happens at this age
    august = month(7)
    versions = [life("a", JAN, august, 1), life("a", august, None, 12_345)]
    for one in versions:
        one["subscription_item_id"] = "a"
    company = build(*versions, as_of=last_day(august), marts=MARTS)
    assert points(company) == [*(pytest.approx(12_345.0**step) for step in (2, 3, 4)), *[None] * 9]
    assert latest(company, "point_mrr, why_null, interval_why_null", "survival", 4) == (
        None, "too_large", "too_large",
    )  # fmt: skip
    assert latest(company, "is_headline", "survival") == (False,)
    rows = company.execute(
        "SELECT count(*), count(point_mrr), max(high_mrr) <= 1e18 FROM marts.fct_forecast "
        "WHERE segment = 'all' AND is_headline"
    )
    assert rows.fetchall() == [(8 * 12, 8 * 12, True)]


def test_a_model_that_did_best_and_then_explodes_is_named_as_such_and_refuses_no_build():
    # a cancellation with notice that only the model foresees, then a pilot of 50.00 becomes 20,000.00
    twelfth = month(11)
    versions = [life(f"p{number}", JAN, None, 10_000) for number in range(50)]
    versions.append(life("leaver", JAN, month(9), 20_000, cancel_requested_on=date(2024, 1, 10)))
    pilot = life("pilot", JAN, twelfth, 5_000)
    grown = life("pilot", twelfth, None, 2_000_000, version_no=2)
    versions += [pilot, grown | {"subscription_item_id": pilot["subscription_item_id"]}]
    segments = {"pilot": "enterprise", "leaver": "enterprise"} | {
        f"p{number}": "small" for number in range(50)
    }
    customers = [
        {"customer_id": name, "created_on": JAN, "valid_from": JAN, "is_test": False, "segment": segment}
        for name, segment in segments.items()
    ]
    company = build(*versions, as_of=last_day(month(12)), marts=MARTS, customers=customers)
    heads = company.execute(
        "SELECT DISTINCT method, headline_why FROM marts.fct_forecast "
        "WHERE segment = 'enterprise' AND origin_month = ? AND is_headline",
        [twelfth],
    ).fetchall()
    assert heads == [("last_value", "model_too_large")]
    assert wrong_rows(company) == {}


# The contest.


def test_a_model_worse_than_a_naive_method_is_not_the_headline():
    company = growing(20)
    rows = company.execute(
        "SELECT method, is_headline, headline_why, trials, mean_absolute_error FROM marts.fct_forecast "
        "WHERE segment = 'all' AND is_latest AND horizon_months = 1 ORDER BY 1"
    ).fetchall()
    # 100 a month is what the trend says; the last value is short by 100 to 600
    assert [row[:3] for row in rows] == [
        ("last_value", False, None),
        ("last_value_and_trend", True, "model_worse_than_naive"),
        ("survival", False, None),
    ]
    # origins 6 to 18, the later ones with fewer horizons behind them
    by_horizon = [min(13, 13 - step) for step in range(6)]
    assert {row[3] for row in rows} == {sum(by_horizon)}
    expected = sum(100 * (step + 1) * count for step, count in enumerate(by_horizon)) / sum(by_horizon)
    assert rows[0][4] == pytest.approx(expected)
    assert rows[1][4] == pytest.approx(0, abs=1e-6)
    assert rows[2][4] > 0


def test_the_backtest_adds_up_errors_where_every_method_had_a_forecast():
    rows = (
        growing(20)
        .execute(
            "SELECT origins, error_size::INT, error_sum::INT, mean_absolute_error, bias, intervals, covered, "
            "simulated, covered_simulated, coverage FROM marts.fct_forecast_backtest "
            "WHERE segment = 'all' AND method = 'last_value' AND horizon_months = 1"
        )
        .fetchall()
    )
    # origins 6 to 18, each 100 short; six with fewer than 12 errors behind, and what comes lies above the
    # paths around the last value. The share that 100 is falls, so it lies within all intervals of own errors
    assert rows == [(13, 1300, -1300, 100, -100, 13, 7, 6, 0, 7 / 13)]


# Segments.


def person(name: str, segment: str | None, start: date = JAN, end: date | None = None) -> dict[str, Any]:
    return {
        "customer_id": name, "segment": segment, "valid_from": start, "valid_to": end,
        "created_on": JAN, "is_test": False,
    }  # fmt: skip


def of_segments(company: Company, columns: str, horizon: int = 1, method: str = "survival") -> list[Any]:
    return company.execute(
        f"SELECT segment, {columns} FROM marts.fct_forecast "
        "WHERE is_latest AND method = ? AND horizon_months = ? ORDER BY 1",
        [method, horizon],
    ).fetchall()


def test_each_segment_is_forecast_from_its_own_customers():
    # of 20 small customers one ends in March; nobody large ever does
    small = [life(f"s{number}", JAN, MAR if number == 0 else None, 100) for number in range(20)]
    large = [life(f"l{number}", JAN, None, 1000) for number in range(2)]
    people = [
        person(row["customer_id"], {"s": "small", "l": "large"}[row["customer_id"][0]])
        for row in small + large
    ]
    company = build(*small, *large, as_of=date(2024, 7, 31), customers=people, marts=MARTS)
    # at seven months only the pooled hazard is known: 1 of 2 × 20 + 4 × 19 small; 6 × 2 large ones more
    hazard = {"all": 1 / 128, "large": 0.0, "small": 1 / 116}
    now = {"all": 3900.0, "large": 2000.0, "small": 1900.0}
    assert of_segments(company, "point_mrr::DOUBLE") == [
        (segment, pytest.approx(now[segment] * (1 - hazard[segment]))) for segment in sorted(now)
    ]


def test_who_changes_its_segment_is_neither_lost_to_the_one_nor_new_to_the_other():
    people = [
        person("a", "small", JAN, APR),
        person("a", "large", APR),
        person("b", "small"),
        person("c", "large"),
    ]
    company = build(
        *(life(name, JAN, None) for name in "abc"), as_of=date(2024, 7, 31), customers=people, marts=MARTS
    )
    assert of_segments(company, "point_mrr::INT", 12) == [("all", 3000), ("large", 2000), ("small", 1000)]
    assert company.execute(
        "SELECT sum(ended)::INT, sum(new_mrr)::INT, sum(lost_mrr)::INT "
        "FROM intermediate.int_forecast_flows WHERE month > ?",
        [JAN],
    ).fetchall() == [(0, 0, 0)]


def test_a_segment_begins_with_the_month_it_is_first_paid_in():
    people = [person("a", "small"), person("b", "large")]
    company = build(
        life("a", JAN, None),
        life("b", APR, None, 500),
        as_of=date(2024, 9, 30),
        customers=people,
        marts=MARTS,
    )
    assert of_segments(company, "point_mrr::INT, why_null") == [
        ("all", 1583, None), ("large", None, "history_too_short"), ("small", 1000, None),
    ]  # fmt: skip
    # what b brought in April the model expects of every month, so of all the last value was closer
    assert of_segments(company, "point_mrr::INT, headline_why", method="last_value") == [
        ("all", 1500, "model_worse_than_naive"), ("large", 500, "no_backtest"), ("small", 1000, None),
    ]  # fmt: skip


def test_a_segment_called_all_is_forecast_apart():
    people = [person("a", "all"), person("b", None)]
    company = build(
        life("a", JAN, None), life("b", JAN, None, 70), as_of=date(2024, 7, 31), customers=people, marts=MARTS
    )
    assert of_segments(company, "point_mrr::INT") == [('"all"', 1000), ("all", 1070), ("unknown", 70)]


# Random companies.

SEGMENTS = ("small", "large")
PLANS = {"basic": "low", "team": "low", "scale": "high", "extra": "add_on", "odd": "unclassified"}
FIRST = date(2022, 1, 1)


def random_trade(seed: int, months: int = 32, customers: int = 16) -> Books:
    """Customers that come, grow, shrink, return and leave, with notice or none, at ends of terms or not."""
    draw = random.Random(f"trade {seed}")
    company = History(last_day(month(months - 1, FIRST)))
    for number in range(customers):
        name = f"c{number:02d}"
        start = month(draw.choice([0, 0, draw.randrange(months)]), FIRST)
        company.customers.append(
            {
                "customer_id": name, "segment": draw.choice(SEGMENTS), "acquisition_channel": "web",
                "is_test": False, "valid_from": FIRST,
                "created_on": start - timedelta(days=draw.choice([0, 0, 200, 500])),
            }
        )  # fmt: skip
        if draw.random() < 0.3:
            company.customers[-1]["valid_to"] = moved_on = start + timedelta(days=draw.randrange(30, 600))
            company.customers.append(
                company.customers[-1]
                | {"segment": draw.choice(SEGMENTS), "valid_from": moved_on, "valid_to": None}
            )
        for part in range(draw.choice([1, 1, 1, 2])):
            on: date | None = start + timedelta(days=draw.randrange(31))
            for turn in range(3):
                if on is None or on > company.as_of:
                    break
                on = _stay(draw, company, name, f"{name}-{part}-{turn}", on)
    return Books(company)


def _stay(draw: random.Random, company: History, customer: str, item: str, start: date) -> date | None:
    """An item from its start to its end; the day of a return, if it has one."""
    length = draw.choice([None, 1, 3, 6, 12])
    plan, amount, term = draw.choice(list(PLANS)), draw.randrange(500, 5000), start
    end = start + timedelta(days=draw.randrange(20, 900)) if draw.random() < 0.7 else None
    while start < (end or company.as_of) and start <= company.as_of:
        until = start + timedelta(days=draw.randrange(30, 300))
        if length is not None:
            until = month(length, term) if term.day < 29 else term + timedelta(days=30 * length)
        until = min(until, end or FAR)
        company.versions.append(
            version(
                start, until, amount, item=item, customer=customer, plan_id=plan, is_deleted=False,
                term_start=None if length is None else term,
                term_end=None if length is None else month(length, term)
                if term.day < 29 else term + timedelta(days=30 * length),
                cancel_requested_on=None, end_cause=None,
            )
        )  # fmt: skip
        start = term = until
        if draw.random() < 0.4:
            amount = draw.randrange(500, 5000)
        if draw.random() < 0.1:
            plan = draw.choice(list(PLANS))
    last = company.versions[-1]
    if end is None:
        last["valid_to"] = None
        return None
    if draw.random() < 0.6:
        asked = end - timedelta(days=draw.randrange(0, 150))
        last["cancel_requested_on"] = max(asked, last["valid_from"])
    return end + timedelta(days=draw.randrange(1, 120)) if draw.random() < 0.4 else None


PLAN_ROWS = {
    "raw_billing.plans": [
        {
            "plan_id": plan, "plan_name": plan, "is_add_on": name == "add_on",
            "plan_tier": name if name in ("low", "high") else None,
        }
        for plan, name in PLANS.items()
    ]
}  # fmt: skip
SHOWN = (
    "segment, origin_month, horizon_months, method, point_mrr::DOUBLE, past_errors, interval_errors, "
    "low_mrr::DOUBLE, high_mrr::DOUBLE, is_simulated, is_headline, mean_absolute_error"
)


def shown(company: History, until: date, more: str = "") -> list[Any]:
    """Every forecast of the origins up to a month."""
    built = warehouse(company, MARTS, PLAN_ROWS)
    return built.execute(
        f"SELECT {SHOWN}{more} FROM marts.fct_forecast WHERE origin_month <= ? ORDER BY ALL", [until]
    ).fetchall()


@pytest.mark.parametrize("seed", range(2))
def test_every_forecast_agrees_with_a_second_implementation(seed: int) -> None:
    books = random_trade(seed)
    world = observe(books, PLANS)
    worlds = {"all": world} | {segment: world.within(segment) for segment in world.segments}
    expected = {segment: forecasts(series) for segment, series in worlds.items()}
    found = shown(books.history, FAR, ", actual_mrr::DOUBLE, error_mrr::DOUBLE")
    months = sum(len(series.months) for series in worlds.values())
    assert len(found) == sum(map(len, expected.values())) == months * 12 * len(METHODS)
    assert set(worlds) == {"all", *SEGMENTS}
    for segment in worlds:
        kinds = {row[9] for row in found if row[0] == segment and row[3] == "survival"}
        assert kinds == {None, True, False}
    for segment, origin, step, method, *row in found:
        one = expected[segment][origin, step, method]
        wanted = [
            one.point, one.past_errors, one.interval_errors, one.low, one.high, one.is_simulated,
            one.is_headline, one.mean_absolute_error, one.actual, one.error,
        ]  # fmt: skip
        for number, share in zip(row, wanted, strict=True):
            assert number == (
                share
                if share is None or isinstance(share, bool)
                else pytest.approx(share, rel=1e-7, abs=1e-4)
            ), (segment, origin, step, method)


@pytest.mark.parametrize(
    ("seed", "settings"),
    [
        (0, {}),
        (1, {"pause": "pause_contraction", "zero_mrr": "keep_active"}),
        (2, {"snapshot": "month_start"}),
    ],
)
def test_the_identities_hold_whatever_happens_to_a_company(seed: int, settings: dict[str, str]) -> None:
    built = warehouse(random_events(seed), MARTS, **settings)
    assert wrong_rows(built) == {}


def test_no_later_month_changes_what_an_origin_said() -> None:
    books = random_trade(8)
    cut = last_day(month(20, FIRST))
    everything = shown(books.history, FAR)
    known = [row for row in everything if row[1] <= cut]
    assert {row[10] for row in known if row[3] == "survival"} == {True, False}
    # the same company as it was known then: nothing that began, was asked for, or ended without notice later
    then = History(cut, customers=books.history.customers)
    for row in books.history.versions:
        asked = row["cancel_requested_on"] if (row["cancel_requested_on"] or FAR) <= cut else None
        is_known = (row["valid_to"] or FAR) <= cut or asked is not None
        if row["valid_from"] <= cut:
            then.versions.append(
                row | {"cancel_requested_on": asked, "valid_to": row["valid_to"] if is_known else None}
            )
    assert shown(then, FAR) == known
    # with other later months only later origins say something else
    other = History(books.history.as_of, customers=books.history.customers)
    other.versions = [
        row | {"amount_minor": row["amount_minor"] * (1 + (row["valid_from"] > cut))}
        for row in books.history.versions
    ]
    changed = shown(other, FAR)
    assert [row for row in changed if row[1] <= cut] == known
    assert changed != everything
