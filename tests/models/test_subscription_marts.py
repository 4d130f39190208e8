"""The models against a second implementation, row by row, on random companies."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from plain_metrics import Books, cohorts, month_ends, reckon, retention
from random_history import random_history
from subscription_models import rebuild, warehouse

from tajdid.conformance.analytics_models import compiled_tests

SEEDS = range(12)
ALTERNATIVES: tuple[tuple[int, dict[str, str]], ...] = (
    *((seed, {"pause": "pause_contraction"}) for seed in (1, 4, 9)),
    *((seed, {"zero_mrr": "keep_active"}) for seed in (2, 8, 10)),
    *((seed, {"pause": "pause_contraction", "zero_mrr": "keep_active"}) for seed in (3, 6)),
    *((seed, {"second_subscription": "new_per_item"}) for seed in (1, 2, 3, 6)),
    (9, {"second_subscription": "new_per_item", "pause": "pause_contraction", "zero_mrr": "keep_active"}),
)
IDENTITIES = (
    "customer_days_roll",
    "customer_months_close",
    "mrr_bridge_closes",
    "mrr_log_equals_valid_items",
    "mrr_months_equal_customers",
    "mrr_opens_where_it_closed",
    "retention_equals_bridge",
    "retention_is_within_bounds",
)
Rows = list[tuple[Any, ...]]


class Company:
    """A random history, its plain reckoning, and the models built from it."""

    def __init__(self, seed: int, **settings: str) -> None:
        self.history = random_history(seed)
        self.history.settings = settings
        self.books = Books(self.history)
        self.reckoning = reckon(self.books)
        self.connection = warehouse(self.history, **settings)

    @property
    def groups(self) -> list[str]:
        """Currencies in which amounts are added: without rates each stands alone."""
        return ["EUR"] if self.history.rates else ["EUR", "USD"]

    def rows(self, query: str) -> Rows:
        return self.connection.execute(query).fetchall()


@pytest.fixture(scope="module", params=SEEDS)
def company(request: pytest.FixtureRequest) -> Company:
    return Company(request.param)


@pytest.fixture(
    scope="module",
    params=[
        (seed, settings)
        for seed, settings in (*((seed, {}) for seed in SEEDS), *ALTERNATIVES)
        if random_history(seed).rates
    ],
    ids=str,
)
def convertible(request: pytest.FixtureRequest) -> Company:
    seed, settings = request.param
    return Company(seed, **settings)


def exact(value: Any) -> Fraction:
    return Fraction(value)


def test_every_movement_of_a_customer_and_day_agrees(convertible: Company) -> None:
    found = {
        (customer, on, category): exact(amount)
        for customer, on, category, amount in convertible.rows(
            "SELECT customer_id, movement_on, category, sum(delta_constant) FROM marts.fct_mrr_movements "
            "WHERE measure = 'mrr' AND NOT is_scheduled AND category NOT IN ('left', 'entered') GROUP BY ALL "
            "HAVING sum(delta_constant) <> 0"
        )
    }
    assert found == convertible.reckoning.days


@pytest.mark.parametrize("identity", IDENTITIES)
def test_the_identities_of_a_build_hold(convertible: Company, identity: str) -> None:
    tests = {test.name: test.sql for test in compiled_tests(Path(tempfile.gettempdir()) / "tajdid-compiled")}
    assert convertible.rows(tests[f"assert_{identity}"]) == []


def test_every_customer_month_agrees(convertible: Company) -> None:
    expected = {
        key: row
        for key, row in convertible.reckoning.months.items()
        if row[0] != row[1] or row[3] != "none" or row[2]
    }
    found = {
        (customer, month): (exact(opening), exact(closing), exact(moved), category)
        for customer, month, opening, closing, moved, category in convertible.rows(
            "SELECT customer_id, month, opening_mrr, closing_mrr, transferred_mrr, category "
            "FROM marts.fct_customer_month_changes "
            "WHERE opening_mrr <> closing_mrr OR category <> 'none' OR transferred_mrr <> 0"
        )
    }
    assert found == expected


def test_months_expanded_on_reading_hold_every_closing_balance(convertible: Company) -> None:
    found = defaultdict(dict)
    for customer, month, closing in convertible.rows(
        "SELECT customer_id, month, closing_mrr FROM marts.fct_customer_months WHERE closing_mrr > 0"
    ):
        found[month][customer] = exact(closing)
    assert found == {month: closes for month, closes in convertible.reckoning.closes.items() if closes}


def test_balances_and_movements_of_customers_add_up_to_the_numbers_while_rates_move(company: Company) -> None:
    """Dollars cost something else every month, half of the companies have no rate for them at all."""
    connection = warehouse(company.history)
    if company.history.rates:
        connection.execute(
            "INSERT INTO raw_billing.fx_rates BY NAME SELECT month::DATE AS rate_on, 'USD' AS from_currency, "
            "'EUR' AS to_currency, 0.7 + 0.0137 * row_number() OVER (ORDER BY month) AS rate, "
            "'daily' AS rate_set, TIMESTAMPTZ '2000-01-01 00:00:00+00' AS recorded_at "
            "FROM generate_series(DATE '2020-01-20', DATE '2027-01-01', INTERVAL 1 MONTH) AS days(month)"
        )
        rebuild(connection)
    balances = connection.execute(
        "SELECT month, currency, coalesce(segment, 'all'), sum(balance.closing_mrr) "
        "FROM marts.fct_customer_month_balances AS balance "
        "JOIN marts.fct_customer_months USING (customer_id, month, currency) "
        "GROUP BY GROUPING SETS ((month, currency), (month, currency, segment))"
    ).fetchall()
    headline = connection.execute(
        "SELECT month, currency, segment, numerator FROM marts.fct_metric_values "
        "WHERE metric_id = 'mrr' AND numerator <> 0"
    ).fetchall()
    assert sorted(balances) == sorted(headline)
    movements = connection.execute(
        "SELECT month, currency, category || '_mrr', sum(delta_booked) FROM marts.fct_customer_month_changes "
        "WHERE category <> 'none' GROUP BY ALL HAVING sum(delta_booked) <> 0"
    ).fetchall()
    bridge = connection.execute(
        "SELECT month, currency, metric_id, numerator FROM marts.fct_metric_values "
        "WHERE segment = 'all' AND numerator <> 0 AND metric_id IN "
        "('new_mrr', 'expansion_mrr', 'contraction_mrr', 'churn_mrr', 'reactivation_mrr')"
    ).fetchall()
    assert bridge
    assert sorted(movements) == sorted(bridge)


def test_every_cell_closes_with_the_mrr_of_its_items(company: Company) -> None:
    found: dict[date, dict[Any, Fraction]] = defaultdict(dict)
    for month, *cell, closing in company.rows(
        "SELECT month, currency, segment, plan_id, acquisition_channel, closing_mrr_native "
        "FROM marts.fct_mrr_months WHERE closing_mrr_native <> 0"
    ):
        found[month][tuple(cell)] = exact(closing)
    ends = month_ends(company.books.days[0], company.history.as_of)
    expected = {on.replace(day=1): company.books.cells(on) for on in ends}
    assert found == {month: cells for month, cells in expected.items() if cells}


def test_the_log_sums_to_the_items_valid_on_any_day(company: Company) -> None:
    for on in company.books.days[:: len(company.books.days) // 20]:
        found = {
            tuple(cell): exact(amount)
            for *cell, amount in company.rows(
                "SELECT currency, segment, plan_id, acquisition_channel, sum(delta_native) "
                f"FROM marts.fct_mrr_movements WHERE measure = 'mrr' AND movement_on <= DATE '{on}' "
                "GROUP BY ALL HAVING sum(delta_native) <> 0"
            )
        }
        assert found == company.books.cells(on)


def test_retention_agrees_for_every_month_and_window(convertible: Company) -> None:
    closes, there = convertible.reckoning.closes, convertible.reckoning.there_at_close
    expected = {
        (month, window): parts
        for month in closes
        for window in (1, 12)
        if (parts := retention(closes, there, month, window))[3]
    }
    found = {
        (month, window): (exact(start), exact(end), exact(kept), customers, lost)
        for month, window, start, end, kept, customers, lost in convertible.rows(
            "SELECT month, window_months, sum(start_mrr), sum(end_mrr), sum(kept_mrr), sum(start_customers), "
            "sum(lost_customers) FROM marts.fct_retention GROUP BY ALL"
        )
    }
    assert found == expected


def test_cohorts_agree_at_every_age(convertible: Company) -> None:
    found = {
        (month, age): (size, customers, exact(start), exact(net), exact(gross))
        for month, age, size, customers, start, net, gross in convertible.rows(
            "SELECT cohort_month, age_months, sum(start_customers), sum(customers), sum(start_mrr), "
            "sum(net_mrr), sum(gross_mrr) FROM marts.fct_cohorts GROUP BY ALL"
        )
    }
    assert found == cohorts(convertible.reckoning.closes)


def test_customers_are_counted_once_in_every_month(convertible: Company) -> None:
    found = {
        month: (opening, closing)
        for month, opening, closing in convertible.rows(
            "SELECT month, sum(opening_customers)::BIGINT, sum(closing_customers)::BIGINT "
            "FROM marts.fct_mrr_months GROUP BY month"
        )
    }
    closes = {month: len(there) for month, there in convertible.reckoning.there_at_close.items()}
    for month, (_, closing) in found.items():
        assert closing == closes[month]


def test_daily_customers_move_only_by_their_movements(convertible: Company) -> None:
    there = 0
    for on, *change in convertible.rows(
        "SELECT day, sum(opening_customers), sum(new_customers), sum(reactivated_customers), "
        "sum(churned_customers), sum(entered_customers), sum(left_customers), sum(closing_customers) "
        "FROM marts.fct_customer_days GROUP BY day ORDER BY day"
    ):
        opening, new, back, churned, entered, left, closing = map(int, change)
        assert opening + new + back - churned + entered - left == closing
        there += closing - opening
        assert there == len(convertible.reckoning.there[on])
        earlier = convertible.reckoning.there.get(on - timedelta(days=1), set())
        assert there - len(earlier) == closing - opening
