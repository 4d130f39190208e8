"""Alternatives of the policy against the second implementation, every row of it, on random companies with
bills, use and rates that move.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from plain_metrics import Books, earlier, month_ends, reckon, retention
from plain_rates import MOVEMENTS, booked_closes, booked_days, closing_rate, month_cells
from plain_sources import use_of
from random_billing import random_billing
from subscription_models import warehouse

from tajdid.conformance.analytics_models import compiled_tests

COMPANIES: tuple[tuple[int, dict[str, str]], ...] = (
    (1, {"mrr_source": "billed_lines"}),
    (2, {"past_due_grace_days": "restate", "fx_movements": "daily_rate"}),
    (8, {"fx_retention": "booked", "retention_window_months": "chained"}),
    (3, {"churn_at": "billing_end", "fx_retention": "booked"}),
    (4, {"usage": "in_3m_mean"}),
    (6, {"mrr_source": "billed_lines", "usage": "in_3m_mean", "fx_movements": "constant"}),
    (8, {"second_subscription": "new_per_item", "fx_movements": "daily_rate"}),
    (9, {"second_subscription": "new_per_item", "month_netting": "gross_events", "fx_retention": "booked"}),
    (10, {"churn_at": "billing_end", "usage": "in_3m_mean", "past_due_grace_days": "restate"}),
)
IDENTITIES = (
    "customer_months_close",
    "every_rate_is_known",
    "item_values_follow_their_amounts",
    "item_versions_do_not_overlap",
    "late_items_are_out_of_mrr",
    "movement_effects_telescope",
    "movements_are_booked_at_the_opening_rate",
    "mrr_bridge_closes",
    "mrr_log_equals_valid_items",
    "mrr_months_equal_customers",
    "only_payers_count",
    "retention_equals_bridge",
    "retention_equals_customers",
    "retention_is_within_bounds",
    "retention_starts_where_months_closed",
    "segments_sum_to_total",
)
MARTS = (
    "dim_policy",
    "fct_customer_month_changes",
    "fct_metric_values",
    "fct_mrr_months",
    "fct_mrr_movements",
    "fct_retention",
)


class Company:
    """A random company under a policy, its plain reckoning, and the models built from it."""

    def __init__(self, seed: int, settings: dict[str, str]) -> None:
        self.history = random_billing(seed)
        self.history.settings = settings
        self.books = Books(self.history)
        self.reckoning = reckon(self.books)
        self.closings = month_ends(self.books.days[0], self.history.as_of)
        self.connection = warehouse(self.history, MARTS, **settings)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()


@pytest.fixture(scope="module", params=COMPANIES, ids=str)
def company(request: pytest.FixtureRequest) -> Company:
    return Company(*request.param)


def test_every_movement_of_a_customer_and_day_agrees_at_the_constant_and_at_its_own_rate(
    company: Company,
) -> None:
    for column, expected in (
        ("delta_constant", company.reckoning.days),
        ("delta_booked", booked_days(company.books, company.reckoning)),
    ):
        found = {
            (customer, on, category): Fraction(amount)
            for customer, on, category, amount in company.rows(
                f"SELECT customer_id, movement_on, category, sum({column}) FROM marts.fct_mrr_movements "
                "WHERE measure = 'mrr' AND NOT is_scheduled AND category NOT IN ('left', 'entered') "
                f"GROUP BY ALL HAVING sum({column}) <> 0"
            )
        }
        assert found == expected


def test_every_month_of_a_customer_agrees(company: Company) -> None:
    expected = {
        key: row for key, row in company.reckoning.months.items() if row[0] != row[1] or row[3] != "none"
    }
    found = {
        (customer, month): (Fraction(opening), Fraction(closing), Fraction(moved), category)
        for customer, month, opening, closing, moved, category in company.rows(
            "SELECT customer_id, month, opening_mrr, closing_mrr, transferred_mrr, category "
            "FROM marts.fct_customer_month_changes WHERE opening_mrr <> closing_mrr OR category <> 'none'"
        )
    }
    assert found == expected


def test_every_cell_of_a_month_agrees(company: Company) -> None:
    closing: dict[date, dict[Any, Fraction]] = defaultdict(dict)
    moved = {}
    columns = ", ".join(f"{name}_mrr_native, {name}_mrr" for name in MOVEMENTS)
    for month, currency, segment, plan, channel, closed, *amounts in company.rows(
        f"SELECT month, currency, segment, plan_id, acquisition_channel, closing_mrr_native, {columns} "
        "FROM marts.fct_mrr_months"
    ):
        cell = (currency, segment, plan, channel)
        if closed:
            closing[month][cell] = Fraction(closed)
        for number, name in enumerate(MOVEMENTS):
            native, booked = map(Fraction, amounts[2 * number : 2 * number + 2])
            if native or booked:
                moved[month, cell, name] = (native, booked)
    cells = {on.replace(day=1): company.books.cells(on) for on in company.closings}
    assert closing == {month: there for month, there in cells.items() if there}
    assert moved == month_cells(company.books, company.reckoning, company.closings)


def test_retention_agrees_for_every_month_and_window(company: Company) -> None:
    closes, there = company.reckoning.closes, company.reckoning.there_at_close
    if company.history.settings.get("fx_retention") == "booked":
        closes = booked_closes(company.books, company.closings)
    expected = {
        (month, window): parts
        for month in closes
        for window in (1, 12)
        if (parts := retention(closes, there, month, window))[3]
    }
    found = {
        (month, window): (*map(Fraction, amounts), customers, lost)
        for month, window, *amounts, customers, lost in company.rows(
            "SELECT month, window_months, sum(start_mrr), sum(end_mrr), sum(kept_mrr), sum(start_customers), "
            "sum(lost_customers) FROM marts.fct_retention GROUP BY ALL"
        )
    }
    assert found == expected


def test_twelve_months_are_one_window_or_a_chain_of_twelve(company: Company) -> None:
    closes, there = company.reckoning.closes, company.reckoning.there_at_close
    if company.history.settings.get("fx_retention") == "booked":
        closes = booked_closes(company.books, company.closings)
    is_chained = company.history.settings.get("retention_window_months") == "chained"
    expected = {}
    for month in closes:
        windows = [retention(closes, there, month, 12)]
        if is_chained:
            windows = [
                retention(closes, there, earlier(month, back), 1)
                for back in range(12)
                if earlier(month, back) in closes
            ]
        if not windows[0][3] and is_chained:
            continue
        nrr, grr = Fraction(1), Fraction(1)
        is_known = len(windows) == (12 if is_chained else 1) and all(start for start, *_ in windows)
        for start, end, kept, *_ in windows if is_known else []:
            nrr, grr = nrr * end / start, grr * kept / start
        expected[month] = (float(nrr), float(grr)) if is_known else (None, None)
    found = {
        month: (nrr, grr)
        for month, nrr, grr in company.rows(
            "SELECT month, max(value) FILTER (metric_id = 'nrr_12m'), "
            "max(value) FILTER (metric_id = 'grr_12m') "
            "FROM marts.fct_metric_values WHERE segment = 'all' GROUP BY month"
        )
    }
    assert not is_chained or any(nrr is not None for nrr, _ in found.values())
    for month, shares in expected.items():
        assert found[month] == tuple(
            None if share is None else pytest.approx(share, rel=1e-9) for share in shares
        )


def test_the_use_of_every_month_agrees(company: Company) -> None:
    history, books = company.history, company.books
    currency_of = {version["subscription_item_id"]: version["currency"] for version in history.versions}
    expected: dict[date, Fraction | None] = {}
    for on in company.closings:
        if any(row["rated_minor"] is not None and row["used_on"] <= on for row in history.usage):
            used = {item: use_of(history, item, on) for item in currency_of}
            expected[on.replace(day=1)] = (
                None
                if None in used.values()
                else sum(
                    (
                        (amount or 0) * closing_rate(books, currency_of[item], on)
                        for item, amount in used.items()
                    ),
                    Fraction(0),
                )
            )
    found = {
        month: None if numerator is None else Fraction(numerator)
        for month, numerator in company.rows(
            "SELECT month, numerator FROM marts.fct_metric_values "
            "WHERE metric_id = 'usage_mrr' AND segment = 'all'"
        )
    }
    assert found == expected


@pytest.mark.parametrize("identity", IDENTITIES)
def test_the_identities_of_a_build_hold(company: Company, identity: str) -> None:
    tests = {test.name: test.sql for test in compiled_tests(Path(tempfile.gettempdir()) / "tajdid-compiled")}
    assert company.rows(tests[f"assert_{identity}"]) == []
