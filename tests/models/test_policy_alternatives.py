"""Each alternative of the policy on an example a bookkeeper can check. Amounts are minor units a month."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from plain_metrics import History
from subscription_models import models, warehouse
from test_subscription_rules import APR, FEB, JAN, MAR, MAY, history, steps, version

from pipelines.compiled import execute, needed

Rows = list[tuple[Any, ...]]


def rows(company: History, query: str, **settings: Any) -> Rows:
    mart = query.split("marts.")[1].split()[0]
    return warehouse(company, (mart,), **settings).execute(query).fetchall()


def customer_months(company: History, **settings: Any) -> Rows:
    return rows(
        company,
        "SELECT strftime(month, '%m'), category, closing_mrr::BIGINT, closing_held, cause "
        "FROM marts.fct_customer_month_changes ORDER BY month",
        **settings,
    )


def heads(company: History, **settings: Any) -> Rows:
    """Month, then customers: opening, new, back, churned, closing."""
    return rows(
        company,
        "SELECT strftime(month, '%m'), sum(opening_customers)::INT, sum(new_customers)::INT, "
        "sum(reactivated_customers)::INT, sum(churned_customers)::INT, sum(closing_customers)::INT "
        "FROM marts.fct_mrr_months GROUP BY month ORDER BY month",
        **settings,
    )


def paused() -> History:
    return history(
        version(JAN, FEB, 1000),
        version(FEB, APR, 1000, status="paused"),
        version(APR, None, 1200),
        as_of=date(2024, 5, 31),
    )


FULL_DISCOUNT = {
    "discount_id": "d", "subscription_item_id": "a", "percent_ppm": 1_000_000, "duration": "repeating",
    "valid_from": FEB, "valid_to": APR, "order_no": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("company", "settings", "down", "up"),
    [
        (paused(), {"pause": "pause_contraction"}, "pause", "pause"),
        (
            history(version(JAN, APR, 1000), version(APR, None, 1200), discounts=[FULL_DISCOUNT]),
            {"zero_mrr": "keep_active"},
            "fully_discounted",
            "discount_end",
        ),
        (
            history(version(JAN, FEB, 1000), version(FEB, APR, 0), version(APR, None, 1200)),
            {"zero_mrr": "keep_active"},
            "price_change",
            "price_change",
        ),
    ],
)
def test_a_customer_kept_at_zero_contracts_and_expands(company, settings, down, up):
    assert steps(company, **settings)[1:] == [
        (FEB, "contraction", down, -1000),
        (APR, "expansion", up, 1200),
    ]
    assert customer_months(company, **settings) == [
        ("01", "new", 1000, False, None),
        ("02", "contraction", 0, True, None),
        ("04", "expansion", 1200, False, None),
    ]
    assert {closing for *_, closing in heads(company, **settings)} == {1}
    lost = (
        "SELECT month, start_mrr::BIGINT, start_customers, lost_customers FROM marts.fct_retention "
        "WHERE window_months = 1 ORDER BY month"
    )
    assert rows(company, lost, **settings)[:3] == [(FEB, 1000, 1, 0), (MAR, 0, 1, 0), (APR, 0, 1, 0)]


def test_without_the_alternatives_the_same_customer_is_gone():
    assert [closing for *_, closing in heads(paused())] == [1, 0, 0, 1, 1]


def test_one_kept_at_zero_that_cancels_is_churn_without_an_amount():
    company = history(
        version(JAN, FEB, 1000),
        version(FEB, APR, 1000, status="paused", end_cause="involuntary"),
        version(JAN, None, 1, "b", "y"),
    )
    settings = {"pause": "pause_contraction"}
    assert heads(company, **settings)[3] == ("04", 2, 0, 0, 1, 1)
    assert ("04", "churn", 0, False, "involuntary") in customer_months(company, **settings)
    assert rows(
        company,
        "SELECT lost_customers, lost_involuntary FROM marts.fct_retention "
        "WHERE window_months = 1 AND month = DATE '2024-04-01'",
        **settings,
    ) == [(1, 1)]
    assert rows(
        company,
        "SELECT churned_customers, closing_customers FROM marts.fct_customer_days "
        "WHERE day = DATE '2024-04-01'",
        **settings,
    ) == [(1, 1)]


def test_who_never_paid_is_not_kept_and_is_new_when_paying():
    company = history(version(JAN, MAR, 0), version(MAR, None, 500))
    assert steps(company, zero_mrr="keep_active") == [(MAR, "new", "price_change", 500)]
    assert heads(company, zero_mrr="keep_active")[:3] == [
        ("03", 0, 1, 0, 0, 1),
        ("04", 1, 0, 0, 0, 1),
        ("05", 1, 0, 0, 0, 1),
    ]


def test_who_left_is_not_kept_by_a_later_item_at_zero():
    company = history(version(JAN, FEB, 1000), version(MAR, APR, 0, "b"), version(MAY, None, 300, "c"))
    assert [row[1] for row in steps(company, zero_mrr="keep_active")] == ["new", "churn", "reactivation"]
    assert [closing for *_, closing in heads(company, zero_mrr="keep_active")] == [1, 0, 0, 0, 1, 1]


def test_another_item_at_zero_keeps_the_customer():
    company = history(version(JAN, MAR, 1000), version(FEB, None, 0, "b"))
    assert [row[1] for row in steps(company, zero_mrr="keep_active")] == ["new", "contraction"]


def test_one_kept_at_zero_and_merged_leaves_without_churn():
    company = history(
        version(JAN, None, 700),
        version(JAN, FEB, 1000, "b", "y"),
        version(FEB, None, 1000, "b", "y", status="paused"),
        parents=[{"customer_id": "y", "parent_customer_id": "x", "valid_from": APR, "valid_to": None}],
    )
    settings = {"pause": "pause_contraction"}
    assert heads(company, **settings)[2:4] == [("03", 2, 0, 0, 0, 2), ("04", 2, 0, 0, 0, 1)]
    assert ("04", "none", 0, False, "merge") in customer_months(company, **settings)


def bridge(company: History, **settings: Any) -> Rows:
    """Month, then MRR: new, expansion, contraction, churn, reactivation, closing; months of a change only."""
    return rows(
        company,
        "SELECT strftime(month, '%m'), sum(new_mrr)::INT, sum(expansion_mrr)::INT, "
        "sum(contraction_mrr)::INT, sum(churn_mrr)::INT, sum(reactivation_mrr)::INT, sum(closing_mrr)::INT "
        "FROM marts.fct_mrr_months "
        "GROUP BY month HAVING sum(opening_mrr) <> sum(closing_mrr) OR sum(new_mrr) <> 0 ORDER BY month",
        **settings,
    )


def several_items() -> History:
    return history(
        version(JAN, None, 1000),
        version(FEB, MAR, 500, "b"),
        version(APR, None, 600, "b"),
        version(MAY, None, 40, "c", plan_id="extra"),
    )


@pytest.mark.parametrize(
    ("setting", "categories", "months"),
    [
        (
            "expansion",
            ["new", "expansion", "contraction", "expansion", "expansion"],
            [
                ("01", 1000, 0, 0, 0, 0, 1000),
                ("02", 0, 500, 0, 0, 0, 1500),
                ("03", 0, 0, -500, 0, 0, 1000),
                ("04", 0, 600, 0, 0, 0, 1600),
                ("05", 0, 40, 0, 0, 0, 1640),
            ],
        ),
        (
            "new_per_item",
            ["new", "new", "churn", "reactivation", "new"],
            [
                ("01", 1000, 0, 0, 0, 0, 1000),
                ("02", 500, 0, 0, 0, 0, 1500),
                ("03", 0, 0, 0, -500, 0, 1000),
                ("04", 0, 0, 0, 0, 600, 1600),
                ("05", 40, 0, 0, 0, 0, 1640),
            ],
        ),
    ],
)
def test_a_further_subscription_is_expansion_or_new(setting, categories, months):
    assert [row[1] for row in steps(several_items(), second_subscription=setting)] == categories
    assert bridge(several_items(), second_subscription=setting) == months


def test_items_that_replace_each_other_are_new_and_churn_where_each_counts():
    company = history(version(JAN, MAR, 1000), version(MAR, None, 1000, "b"))
    assert [row[1:] for row in steps(company)] == [
        ("new", "first_subscription", 1000),
        ("left", "canceled", -1000),
        ("entered", "second_subscription", 1000),
    ]
    by_item = {"second_subscription": "new_per_item"}
    assert [row[1] for row in steps(company, **by_item)] == ["new", "churn", "new"]
    assert bridge(company, **by_item) == [
        ("01", 1000, 0, 0, 0, 0, 1000),
        ("03", 1000, 0, 0, -1000, 0, 1000),
    ]
    # the customer stays one, and is no new customer
    assert heads(company, **by_item)[2] == ("03", 1, 0, 0, 0, 1)


def test_an_item_that_comes_and_goes_in_a_month_is_netted_with_the_month_alone():
    company = history(version(JAN, None, 1000), version(date(2024, 3, 5), date(2024, 3, 20), 70, "b"))
    assert bridge(company, second_subscription="new_per_item") == [("01", 1000, 0, 0, 0, 0, 1000)]
    assert bridge(company, second_subscription="new_per_item", month_netting="gross_events")[1] == (
        "03", 70, 0, 0, -70, 0, 1000,
    )  # fmt: skip


def test_a_whole_customer_that_returns_is_a_return_by_whatever_item():
    company = history(version(JAN, FEB, 1000), version(APR, None, 500, "b"))
    assert [row[1] for row in steps(company, second_subscription="new_per_item")] == [
        "new", "churn", "reactivation",
    ]  # fmt: skip


def late_payer(paid_on: date | None, due_on: date | None = FEB) -> History:
    """Billed on 1 February; paid never, or on a day."""
    invoice = {
        "invoice_id": "i", "customer_id": "x", "currency": "EUR", "status": "open", "issued_on": FEB,
        "due_on": due_on, "net_minor": 1000, "tax_minor": 0, "total_minor": 1000,
    }  # fmt: skip
    payment = {"application_id": "p", "invoice_id": "i", "amount_minor": 1000, "applied_on": paid_on}
    return history(
        version(JAN, None, 1000),
        invoices=[invoice],
        lines=[{"line_id": "l", "invoice_id": "i", "subscription_item_id": "a", "net_minor": 1000}],
        applications=[payment] if paid_on else [],
    )


@pytest.mark.parametrize(
    ("paid_on", "expected"),
    [
        (None, [(date(2024, 2, 2), "churn")]),
        # day 30 is 2 March; whoever pays by day 31 was never late
        (date(2024, 3, 2), []),
        (date(2024, 3, 3), []),
        (date(2024, 3, 4), [(date(2024, 2, 2), "churn"), (date(2024, 3, 4), "reactivation")]),
    ],
)
def test_restated_a_late_payer_leaves_on_the_first_day_past_due(paid_on, expected):
    found = steps(late_payer(paid_on), "movement_on, category", past_due_grace_days="restate")
    assert found[1:] == expected


def test_nothing_is_restated_before_the_thirty_days_are_over():
    company = late_payer(None)
    company.as_of = date(2024, 3, 2)
    assert len(steps(company, past_due_grace_days="restate")) == 1


def test_an_invoice_without_a_due_day_is_never_late():
    assert len(steps(late_payer(None, due_on=None))) == 1


def rated(company: History, mart: str, **settings: Any) -> Any:
    """Dollars at 0.90 on 31 December, 0.80 on 15 January, 1.00 on 31 January; 0.95 in the budget."""
    connection = warehouse(company, (mart,), **settings)
    connection.execute(
        "INSERT INTO raw_billing.fx_rates BY NAME SELECT * FROM (VALUES "
        "(DATE '2023-12-31', 0.90, 'daily'), (DATE '2024-01-15', 0.80, 'daily'), "
        "(DATE '2024-01-31', 1.00, 'daily'), (DATE '2023-12-31', 0.95, 'budget')) "
        "AS rates(rate_on, rate, rate_set), (SELECT 'USD' AS from_currency, 'EUR' AS to_currency, "
        "TIMESTAMPTZ '2000-01-01 00:00:00+00' AS recorded_at)"
    )
    execute(connection, needed(models(), mart))
    return connection


@pytest.mark.parametrize(
    ("setting", "new", "fx"), [("opening_rate", 900, 100), ("daily_rate", 800, 200), ("constant", 950, 0)]
)
def test_movements_stand_at_the_rate_of_the_opening_the_day_or_the_budget(setting, new, fx):
    company = history(version(date(2024, 1, 20), None, 1000, currency="USD"), as_of=date(2024, 1, 31))
    row = rated(company, "fct_mrr_months", fx_movements=setting).execute(
        "SELECT new_mrr::INT, fx_impact::INT, closing_mrr::INT FROM marts.fct_mrr_months"
    )
    assert row.fetchall() == [(new, fx, new + fx)]


def test_a_scheduled_end_leaves_nothing_of_a_balance_in_another_currency():
    company = history(version(JAN, date(2024, 2, 20), 1000, currency="USD"), as_of=date(2024, 1, 31))
    committed = rated(company, "fct_metric_values").execute(
        "SELECT metric_id, numerator::INT FROM marts.fct_metric_values "
        "WHERE metric_id IN ('mrr', 'committed_mrr') AND segment = 'all' ORDER BY 1"
    )
    assert committed.fetchall() == [("committed_mrr", 0), ("mrr", 1000)]


@pytest.mark.parametrize(
    ("settings", "unsupported"),
    [
        ({}, []),
        ({"ltv_churn_months": 12, "cac_lag_quarters": 0, "min_customers": 10}, []),
        ({"ltv_churn_months": 7, "cac_lag_quarters": 5}, ["cac_lag_quarters", "ltv_churn_months"]),
        ({"mrr_source": "billed_lines", "usage": "in_3m_mean", "churn_at": "billing_end"}, []),
        ({"fx_retention": "booked", "ltv_horizon_months": "24", "retention_window_months": "chained"}, []),
    ],
)
def test_a_value_that_nothing_follows_is_not_supported(settings, unsupported):
    query = "SELECT setting FROM marts.dim_policy WHERE NOT is_supported ORDER BY setting"
    assert [setting for (setting,) in rows(History(JAN), query, **settings)] == unsupported
