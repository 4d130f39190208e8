"""The rules of MRR one by one, on examples a bookkeeper can check. Amounts are minor units a month."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from plain_metrics import History
from random_history import random_history
from subscription_models import rebuild, warehouse

JAN, FEB, MAR, APR, MAY = (date(2024, month, 1) for month in range(1, 6))


def version(
    start: date, end: date | None, amount: int, item: str = "a", customer: str = "x", **rest: Any
) -> dict[str, Any]:
    return {
        "subscription_item_id": item,
        "version_no": start.toordinal(),
        "subscription_id": item,
        "customer_id": customer,
        "plan_id": "basic",
        "amount_minor": amount,
        "currency": "EUR",
        "interval": "month",
        "interval_count": 1,
        "quantity": 1,
        "status": "active",
        "valid_from": start,
        "valid_to": end,
        **rest,
    }


def history(*versions: dict[str, Any], as_of: date = date(2024, 6, 30), **rest: Any) -> History:
    return History(as_of, list(versions), **rest)


def steps(
    company: History, columns: str = "movement_on, category, reason, delta_native::BIGINT", **settings: Any
) -> list[Any]:
    query = (
        f"SELECT {columns} FROM marts.fct_mrr_movements WHERE measure = 'mrr' AND NOT is_scheduled "
        "ORDER BY movement_on, subscription_item_id, reason"
    )
    return warehouse(company, ("fct_mrr_movements",), **settings).execute(query).fetchall()


def closings(company: History, **settings: Any) -> dict[str, int]:
    rows = warehouse(company, ("fct_mrr_months",), **settings).execute(
        "SELECT strftime(month, '%Y-%m'), sum(closing_mrr)::BIGINT FROM marts.fct_mrr_months "
        "GROUP BY ALL ORDER BY 1"
    )
    return dict(rows.fetchall())


def test_the_five_movements_of_one_customer():
    company = history(
        version(JAN, FEB, 1000),
        version(FEB, MAR, 1500),
        version(MAR, APR, 1200),
        version(MAY, None, 1200),
    )
    assert steps(company) == [
        (JAN, "new", "first_subscription", 1000),
        (FEB, "expansion", "price_change", 500),
        (MAR, "contraction", "price_change", -300),
        (APR, "churn", "canceled", -1200),
        (MAY, "reactivation", "late_renewal", 1200),
    ]


def test_a_renewal_at_the_same_price_is_no_movement():
    assert len(steps(history(version(JAN, FEB, 1000), version(FEB, None, 1000)))) == 1


def test_quantity_price_and_discount_explain_a_step_exactly():
    company = history(
        version(JAN, FEB, 10_000, quantity=10),
        version(FEB, None, 14_400, quantity=12),
        discounts=[
            {
                "discount_id": "d",
                "subscription_item_id": "a",
                "percent_ppm": 250_000,
                "duration": "forever",
                "valid_from": FEB,
                "order_no": 1,
            }
        ],
    )
    columns = (
        "reason, quantity_effect::BIGINT, price_effect::BIGINT, discount_effect::BIGINT, delta_native::BIGINT"
    )
    # 10 × 1000 becomes 12 × 1000, then 12 × 1200, then a quarter less
    assert steps(company, columns)[1:] == [
        ("discount_start", 0, 0, -3600, -3600),
        ("price_change", 0, 2400, 0, 2400),
        ("quantity", 2000, 0, 0, 2000),
    ]


@pytest.mark.parametrize(
    ("interval", "count", "amount", "expected"),
    [
        ("month", 1, 1000, "1000"),
        ("month", 3, 1000, "333.333333"),
        ("year", 1, 1000, "83.333333"),
        ("year", 2, 2000, "83.333333"),
        ("week", 1, 1000, "4333.333333"),
        ("week", 2, 5000, "10833.333333"),
        ("day", 1, 100, "3041.666667"),
        ("day", 30, 1000, "1013.888889"),
        ("month", 7, 10, "1.428571"),
    ],
)
def test_every_interval_is_valued_once_half_up_at_six_places(interval, count, amount, expected):
    rows = steps(history(version(JAN, None, amount, interval=interval, interval_count=count)), "delta_native")
    assert rows == [(Decimal(expected),)]


@pytest.mark.parametrize(
    ("setting", "value", "expected"), [("week_factor", "4.33", 4330), ("day_factor", "30", 3000)]
)
def test_the_factors_of_weeks_and_days_are_settings(setting, value, expected):
    interval = setting.removesuffix("_factor")
    amount = 1000 if interval == "week" else 100
    company = history(version(JAN, None, amount, interval=interval))
    assert steps(company, "delta_native::BIGINT", **{setting: value}) == [(expected,)]


@pytest.mark.parametrize(
    ("setting", "expected"), [("running", 540), ("list", 1000), ("forever_only", 900), ("largest_only", 600)]
)
def test_discounts_follow_one_another_and_the_setting(setting, expected):
    discounts = [
        {"discount_id": name, "subscription_item_id": "a", "percent_ppm": ppm, "duration": duration,
         "valid_from": JAN, "order_no": number}
        for number, (name, ppm, duration) in enumerate(
            [("ten", 100_000, "forever"), ("forty", 400_000, "repeating"), ("half", 500_000, "once")]
        )
    ]  # fmt: skip
    company = history(version(JAN, None, 1000), discounts=discounts)
    assert closings(company, discounts=setting)["2024-06"] == expected


def test_a_full_discount_is_churn_and_its_end_a_return():
    discount = {
        "discount_id": "d", "subscription_item_id": "a", "percent_ppm": 1_000_000, "duration": "repeating",
        "valid_from": FEB, "valid_to": APR, "order_no": 1,
    }  # fmt: skip
    assert steps(history(version(JAN, None, 1000), discounts=[discount]))[1:] == [
        (FEB, "churn", "fully_discounted", -1000),
        (APR, "reactivation", "discount_end", 1000),
    ]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("pause_to_zero", [(FEB, "churn", "pause", -1000), (APR, "reactivation", "pause", 1000)]),
        ("pause_ignored", []),
    ],
)
def test_a_pause_leaves_mrr_unless_ignored(setting, expected):
    company = history(
        version(JAN, FEB, 1000), version(FEB, APR, 1000, status="paused"), version(APR, None, 1000)
    )
    assert steps(company, pause=setting)[1:] == expected


def invoiced(due: date, paid_on: date | None, **rest: Any) -> History:
    invoice = {
        "invoice_id": "i", "customer_id": "x", "currency": "EUR", "status": "open",
        "issued_on": due, "due_on": due, "net_minor": 1000, "tax_minor": 0, "total_minor": 1000,
    }  # fmt: skip
    payment = {"application_id": "p", "invoice_id": "i", "amount_minor": 1000, "applied_on": paid_on}
    return history(
        version(JAN, rest.pop("end", None), 1000),
        invoices=[invoice],
        lines=[{"line_id": "l", "invoice_id": "i", "subscription_item_id": "a", "net_minor": 1000}],
        applications=[payment] if paid_on else [],
        **rest,
    )


@pytest.mark.parametrize(
    ("grace", "paid_after", "left_after", "is_back"),
    [
        (30, None, 31, False),
        (30, 30, None, False),
        (30, 31, None, False),
        (30, 45, 31, True),
        (0, 5, 1, True),
        (90, 45, None, False),
    ],
)
def test_a_late_payer_leaves_on_the_day_after_the_grace_period(grace, paid_after, left_after, is_back):
    due = date(2024, 2, 29)
    company = invoiced(
        due, None if paid_after is None else due + timedelta(days=paid_after), grace_days=grace
    )
    expected: list[Any] = []
    if left_after:
        expected.append((due + timedelta(days=left_after), "churn", "past_due", "involuntary"))
    if is_back:
        expected.append((due + timedelta(days=paid_after), "reactivation", "recovered", None))
    assert steps(company, "movement_on, category, reason, cause")[1:] == expected


def test_an_earlier_cancellation_of_a_late_payer_counts_on_its_own_day():
    company = invoiced(FEB, None, end=date(2024, 2, 22))
    assert steps(company, "movement_on, category, reason")[1:] == [(date(2024, 2, 22), "churn", "canceled")]


def test_a_late_payer_stays_where_only_a_cancellation_counts():
    assert len(steps(invoiced(FEB, None), past_due_grace_days="until_canceled")) == 1


@pytest.mark.parametrize(
    ("setting", "gap", "expected"),
    [
        ("any_return", 200, "reactivation"),
        ("gap_over_30d", 30, "reactivation"),
        ("gap_over_30d", 31, "new"),
        ("gap_over_90d", 91, "new"),
    ],
)
def test_a_return_after_a_long_gap_may_be_new(setting, gap, expected):
    back = FEB + timedelta(days=gap)
    company = history(version(JAN, FEB, 1000), version(back, None, 1000), as_of=date(2024, 12, 31))
    assert steps(company, "category", reactivation=setting)[-1] == (expected,)


@pytest.mark.parametrize(
    ("setting", "churned_on"), [("service_end", APR), ("cancel_request", date(2024, 3, 10))]
)
def test_churn_falls_on_the_end_of_service_or_on_the_request(setting, churned_on):
    company = history(version(JAN, APR, 1000, cancel_requested_on=date(2024, 3, 10)))
    assert steps(company, "movement_on", churn_at=setting)[-1] == (churned_on,)


def test_a_snapshot_on_the_first_of_the_month_sees_less():
    company = history(version(date(2024, 2, 1), None, 1000), version(date(2024, 2, 2), None, 500, "b", "y"))
    assert closings(company, snapshot="month_end")["2024-02"] == 1500
    by_start = closings(company, snapshot="month_start")
    assert (by_start["2024-02"], by_start["2024-03"]) == (1000, 1500)


def test_trials_stand_beside_mrr_unless_they_are_let_in():
    company = history(version(JAN, MAR, 1000, status="trialing"), version(MAR, None, 1000))
    query = (
        "SELECT month, sum(closing_mrr)::BIGINT, sum(trial_mrr)::BIGINT FROM marts.fct_mrr_months "
        "GROUP BY month ORDER BY month"
    )
    rows = warehouse(company, ("fct_mrr_months",)).execute(query).fetchall()
    assert rows[:3] == [(JAN, 0, 1000), (FEB, 0, 1000), (MAR, 1000, 0)]
    assert steps(company) == [(MAR, "new", "trial_converted", 1000)]
    assert closings(company, trials="in")["2024-01"] == 1000


def test_what_begins_after_the_as_of_day_is_scheduled_and_in_no_month():
    company = history(
        version(JAN, MAR, 1000), version(MAR, None, 700), version(APR, None, 50, "b"), as_of=date(2024, 2, 10)
    )
    connection = warehouse(company)
    assert closings(company) == {"2024-01": 1000, "2024-02": 1000}
    committed = connection.execute(
        "SELECT numerator::BIGINT FROM marts.fct_metric_values "
        "WHERE metric_id = 'committed_mrr' AND segment = 'all' AND month = '2024-02-01'"
    ).fetchone()
    assert committed == (750,)
    flags = connection.execute(
        "SELECT DISTINCT month, is_provisional FROM marts.fct_mrr_months ORDER BY 1"
    ).fetchall()
    assert flags == [(JAN, False), (FEB, True)]


def test_a_merge_moves_mrr_between_customers_and_is_no_movement():
    company = history(
        version(JAN, None, 1000),
        version(JAN, None, 500, "b", "y"),
        parents=[{"customer_id": "y", "parent_customer_id": "x", "valid_from": MAR, "valid_to": None}],
    )
    assert set(closings(company).values()) == {1500}
    rows = steps(company, "customer_id, category, reason, delta_native::BIGINT")[2:]
    assert rows == [("x", "entered", "entered_parent", 500), ("y", "left", "left_parent", -500)]
    lost = warehouse(company).execute(
        "SELECT lost_customers, lost_other FROM marts.fct_retention "
        "WHERE month = DATE '2024-03-01' AND window_months = 1"
    )
    assert lost.fetchall() == [(1, 1)]


def test_a_change_of_segment_leaves_one_cell_and_enters_another():
    company = history(
        version(JAN, None, 1000),
        customers=[
            {"customer_id": "x", "segment": "small", "valid_from": JAN},
            {"customer_id": "x", "segment": "large", "valid_from": MAR},
        ],
    )
    rows = warehouse(company, ("fct_mrr_months",)).execute(
        "SELECT segment, entered_mrr::BIGINT, left_mrr::BIGINT, closing_mrr::BIGINT, entered_customers, "
        "left_customers FROM marts.fct_mrr_months WHERE month = '2024-03-01' ORDER BY segment"
    )
    assert rows.fetchall() == [("large", 1000, 0, 1000, 1, 0), ("small", 0, -1000, 0, 0, 1)]


def test_exchange_rates_move_their_own_row_and_not_retention():
    company = history(version(JAN, None, 1000, currency="USD"), as_of=date(2024, 2, 29))
    company.rates = {}
    connection = warehouse(company)
    # without rates the currency stands alone and the assertion on rates fails a build
    assert connection.execute("SELECT DISTINCT amount_currency FROM marts.fct_mrr_months").fetchall() == [
        ("USD",)
    ]
    connection.execute(
        "INSERT INTO raw_billing.fx_rates BY NAME SELECT * FROM (VALUES "
        "(DATE '2023-12-31', 0.90, 'daily'), (DATE '2024-01-31', 0.80, 'daily'), "
        "(DATE '2024-02-29', 1.00, 'daily'), (DATE '2023-12-31', 0.95, 'budget')) "
        "AS rates(rate_on, rate, rate_set), (SELECT 'USD' AS from_currency, 'EUR' AS to_currency, "
        "TIMESTAMPTZ '2000-01-01 00:00:00+00' AS recorded_at)"
    )
    rebuild(connection)
    rows = connection.execute(
        "SELECT month, opening_mrr::BIGINT, new_mrr::BIGINT, fx_impact::BIGINT, closing_mrr::BIGINT, "
        "closing_mrr_constant::BIGINT FROM marts.fct_mrr_months ORDER BY month"
    ).fetchall()
    assert rows == [(JAN, 0, 900, -100, 800, 950), (FEB, 800, 0, 200, 1000, 950)]
    # The rows behind these numbers are at the same rates.
    balances = connection.execute(
        "SELECT month, currency, closing_mrr::BIGINT FROM marts.fct_customer_month_balances ORDER BY month"
    ).fetchall()
    assert balances == [(JAN, "EUR", 800), (FEB, "EUR", 1000)]
    movements = connection.execute(
        "SELECT month, category, delta_booked::BIGINT FROM marts.fct_customer_months ORDER BY month"
    ).fetchall()
    assert movements == [(JAN, "new", 900), (FEB, "none", 0)]
    kept = connection.execute(
        "SELECT start_mrr::BIGINT, kept_mrr::BIGINT FROM marts.fct_retention"
    ).fetchall()
    assert kept == [(950, 950)]


def test_who_joins_and_leaves_inside_a_month_is_counted_apart():
    company = history(version(JAN, None, 1000), version(date(2024, 3, 5), date(2024, 3, 20), 700, "b", "y"))
    row = warehouse(company, ("fct_mrr_months",)).execute(
        "SELECT sum(new_mrr)::BIGINT, sum(churn_mrr)::BIGINT, sum(joined_and_left_customers)::BIGINT "
        "FROM marts.fct_mrr_months WHERE month = '2024-03-01'"
    )
    assert row.fetchone() == (0, 0, 1)
    events = warehouse(company, ("fct_mrr_months",), month_netting="gross_events").execute(
        "SELECT sum(new_mrr)::BIGINT, sum(churn_mrr)::BIGINT FROM marts.fct_mrr_months "
        "WHERE month = '2024-03-01'"
    )
    assert events.fetchone() == (700, -700)


def test_a_withdrawn_or_later_corrected_version_counts_as_last_known():
    company = history(version(JAN, None, 1000), version(JAN, None, 800, "b", "y"))
    connection = warehouse(company)
    connection.execute(
        "INSERT INTO raw_billing.subscription_versions BY NAME "
        "SELECT * REPLACE (subscription_item_id = 'b' AS is_deleted, 900 AS amount_minor, "
        "TIMESTAMPTZ '2024-05-01 00:00:00+00' AS recorded_at) FROM raw_billing.subscription_versions"
    )
    rebuild(connection)
    query = "SELECT sum(delta_native)::BIGINT FROM marts.fct_mrr_movements"
    assert connection.execute(query).fetchone() == (900,)
    connection.execute("UPDATE raw_meta.build SET known_to = TIMESTAMPTZ '2024-04-30 00:00:00+00'")
    rebuild(connection)
    assert connection.execute(query).fetchone() == (1800,)


def test_an_empty_company_has_empty_marts():
    connection = warehouse(History(date(2024, 6, 30)))
    for mart in (
        "fct_mrr_months",
        "fct_metric_values",
        "fct_retention",
        "fct_cohorts",
        "fct_customer_months",
        "fct_ar_aging",
    ):
        assert connection.execute(f"SELECT count(*) FROM marts.{mart}").fetchone() == (0,)


# What must not matter.


def fingerprint(company: History) -> list[Any]:
    connection = warehouse(company, ("fct_metric_values", "fct_mrr_months", "fct_cohorts"))
    return [
        connection.execute(f"SELECT * FROM marts.{mart} ORDER BY ALL").fetchall()
        for mart in ("fct_metric_values", "fct_mrr_months", "fct_cohorts")
    ]


@pytest.mark.parametrize("seed", [101, 102, 103])
def test_the_order_of_rows_changes_nothing(seed):
    company, shuffled = random_history(seed), random_history(seed)
    for rows in (
        shuffled.versions,
        shuffled.discounts,
        shuffled.customers,
        shuffled.invoices,
        shuffled.applications,
    ):
        random.Random(seed).shuffle(rows)
    assert fingerprint(shuffled) == fingerprint(company)


@pytest.mark.parametrize("seed", [101, 102, 103])
def test_splitting_a_version_at_any_day_changes_nothing(seed):
    company, split = random_history(seed), random_history(seed)
    draw = random.Random(seed)
    pieces = []
    for row in split.versions:
        end = row["valid_to"] or company.as_of
        days = (end - row["valid_from"]).days
        if days < 2 or draw.random() < 0.5:
            pieces.append(row)
            continue
        cut = row["valid_from"] + timedelta(days=draw.randrange(1, days))
        pieces.append({**row, "valid_to": cut})
        pieces.append({**row, "valid_from": cut, "version_no": row["version_no"] + 1000})
    split.versions = pieces
    assert fingerprint(split) == fingerprint(company)


@pytest.mark.parametrize("opened", [JAN, FEB])
def test_a_customer_with_two_accounts_in_the_crm_has_the_attributes_of_the_first_on_every_day(opened):
    def account(account_id: str, segment: str, start: date, end: date | None) -> dict[str, Any]:
        about = {"account_id": account_id, "customer_id": "x", "segment": segment, "owner": account_id}
        return about | {"valid_from": start, "valid_to": end}

    accounts = [
        account("1", "small", JAN, MAR),
        account("1", "big", MAR, None),
        account("2", "other", opened, None),
    ]
    found = warehouse(
        history(version(JAN, None, 1000)), ("fct_mrr_months",), {"raw_crm.accounts": accounts}
    ).execute(
        "SELECT strftime(month, '%m'), segment, closing_mrr::BIGINT FROM marts.fct_mrr_months "
        "WHERE closing_mrr > 0 ORDER BY month"
    )
    assert found.fetchall() == [
        ("01", "small", 1000),
        ("02", "small", 1000),
        *((f"{month:02}", "big", 1000) for month in range(3, 7)),
    ]


def test_mrr_that_comes_and_goes_over_to_a_parent_in_one_month_is_new():
    company = history(
        version(date(2024, 1, 5), None, 700, customer="child"),
        version(date(2023, 12, 1), None, 1000, "b", "parent"),
        parents=[
            {
                "customer_id": "child",
                "parent_customer_id": "parent",
                "valid_from": date(2024, 1, 20),
                "valid_to": None,
            }
        ],
        as_of=date(2024, 1, 31),
    )
    rows = warehouse(company, ("fct_mrr_months",)).execute(
        "SELECT sum(new_mrr)::INT, sum(churn_mrr)::INT, sum(new_customers)::INT, sum(closing_customers)::INT "
        "FROM marts.fct_mrr_months WHERE month = DATE '2024-01-01'"
    )
    assert rows.fetchall() == [(700, 0, 0, 1)]
