"""What a customer is worth and what it costs to win one, on a company that a bookkeeper can check.

Ten customers begin in January 2024 at 1,000 a month each. One leaves in February, one in May; one of 2,000
comes in April. Churn is 1/10 in February and in May, else 0; in January nobody was there at the opening.
"""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest
from plain_metrics import Books, History, earlier, reckon, retention
from random_history import random_history
from subscription_models import models, warehouse

from pipelines import meta
from pipelines.compiled import execute_after
from pipelines.policy import read_policy
from tajdid.conformance.analytics_models import insert

JAN, FEB, MAR, APR, MAY, JUN, JUL = (date(2024, month, 1) for month in range(1, 8))
OCT, NOV, DEC = (date(2023, month, 1) for month in (10, 11, 12))
CRM = "raw_crm.sales_marketing_costs", "raw_crm.gross_margins"
Row = dict[str, Any]


def version(customer: str, start: date, end: date | None, amount: int, currency: str = "EUR") -> Row:
    return {
        "subscription_item_id": customer,
        "version_no": start.toordinal(),
        "subscription_id": customer,
        "customer_id": customer,
        "plan_id": "basic",
        "amount_minor": amount,
        "currency": currency,
        "interval": "month",
        "interval_count": 1,
        "quantity": 1,
        "status": "active",
        "valid_from": start,
        "valid_to": end,
    }


def company(*more: Row, as_of: date = date(2024, 6, 30), **rest: Any) -> History:
    ends = {"c1": date(2024, 2, 10), "c2": date(2024, 5, 10)}
    ten = [version(name, JAN, ends.get(name), 1000) for name in (f"c{n}" for n in range(1, 11))]
    return History(as_of, [*ten, version("late", date(2024, 4, 5), None, 2000), *more], **rest)


def cost(month: date, amount: int, channel: str | None = "web", currency: str = "EUR") -> Row:
    return {"month": month, "channel": channel, "amount_minor": amount, "currency": currency}


def margin(month: date, basis_points: int, segment: str | None = None) -> Row:
    return {"month": month, "segment": segment, "margin_bp": basis_points}


COSTS = [cost(JAN, 1000), cost(JAN, 500, "fair"), cost(FEB, 2000), cost(MAR, 2500)]
MARGINS = [margin(month, 8000) for month in (JAN, FEB, MAR, APR, MAY, JUN)]


COMPANIES: dict[str, Any] = {}
"""A warehouse per history: costs, margins and settings change what is read of its movements, not those."""


def built(
    history: History,
    costs: list[Row] = COSTS,
    margins: list[Row] = MARGINS,
    mart: str = "fct_unit_economics",
    **settings: Any,
) -> Any:
    if repr(history) not in COMPANIES:
        COMPANIES[repr(history)] = warehouse(history, ("fct_unit_economics", "fct_metric_values"))
    connection = COMPANIES[repr(history)]
    meta.write_policy(connection, read_policy(None, {"min_customers": 9, **settings}))
    for table, rows in zip(CRM, (costs, margins), strict=True):
        connection.execute(f"DELETE FROM {table}")
        insert(connection, table, rows)
    execute_after(connection, models(), "fct_mrr_months", mart)
    return connection


def figures(
    columns: str, *args: Any, month: date = JUN, segment: str = "all", **settings: Any
) -> tuple[Any, ...] | Any:
    history = args[0] if args else company()
    row = (
        built(history, *args[1:], **settings)
        .execute(
            f"SELECT {columns} FROM marts.fct_unit_economics "
            "WHERE month = ? AND segment = ? AND currency = 'EUR'",
            [month, segment],
        )
        .fetchone()
    )
    return row[0] if row is not None and len(row) == 1 else row


def test_worth_is_gross_profit_of_a_customer_over_mean_churn():
    columns = "closing_mrr, closing_customers, arpa, gross_margin, churn_months, mean_churn, ltv_formula"
    assert figures(columns) == (
        10_000,
        9,
        pytest.approx(10_000 / 9),
        0.8,
        5,
        pytest.approx(0.2 / 5),
        pytest.approx(10_000 / 9 * 0.8 / (0.2 / 5)),
    )


@pytest.mark.parametrize(
    ("months", "counted", "mean"), [(3, 3, 0.1 / 3), (6, 5, 0.2 / 5), (1, 1, 0), (12, 5, 0.04)]
)
def test_the_mean_is_of_the_last_closed_months_of_the_setting(months, counted, mean):
    found = figures("churn_months, mean_churn", ltv_churn_months=months)
    assert found == (counted, pytest.approx(mean))


def test_the_running_month_is_not_in_the_mean():
    history = company(as_of=date(2024, 7, 20))
    history.versions[2]["valid_to"] = date(2024, 7, 5)
    columns = "is_provisional, closing_customers, churn_months, mean_churn"
    # the window of June, in which January counts for nothing; the leaver of July is not in it
    assert figures(columns, history, month=JUL) == (True, 8, 5, pytest.approx(0.04))
    history.as_of = date(2024, 7, 31)
    assert figures(columns, history, month=JUL) == (False, 8, 6, pytest.approx((0.2 + 1 / 9) / 6))


def test_leavers_that_came_in_the_same_month_follow_the_logo_denominator():
    history = company(version("brief", date(2024, 6, 3), date(2024, 6, 20), 500))
    means = {
        setting: figures("mean_churn", history, ltv_churn_months=1, logo_denominator=setting)
        for setting in ("start_only_matched", "start_only_all_churn", "start_plus_new")
    }
    assert means == {
        "start_only_matched": 0,
        "start_only_all_churn": pytest.approx(1 / 9),
        "start_plus_new": pytest.approx(1 / 10),
    }


def test_a_new_customer_costs_what_the_quarter_before_cost():
    # 6,000 in the first quarter, one new customer of 2,000 in the second
    columns = "sm_cost, new_customers, new_mrr, cac, cac_payback"
    assert figures(columns) == (6000, 1, 2000, 6000, pytest.approx(6000 / (2000 * 0.8)))


@pytest.mark.parametrize(("lag", "expected"), [(0, 90), (1, 6000), (2, 42)])
def test_the_quarter_of_the_cost_is_a_setting(lag, expected):
    costs = [
        *COSTS,
        *(cost(month, 30) for month in (APR, MAY, JUN)),
        *(cost(month, 14) for month in (OCT, NOV, DEC)),
    ]
    assert figures("cac", company(), costs, cac_lag_quarters=lag) == expected


def test_a_quarter_is_the_three_months_that_end_with_the_month():
    costs = [cost(month, 100 * month.month) for month in (JAN, FEB, MAR, APR)]
    rows = built(company(as_of=date(2024, 7, 31)), costs).execute(
        "SELECT month, sm_cost, new_customers FROM marts.fct_unit_economics "
        "WHERE segment = 'all' AND month > ? ORDER BY month",
        [MAY],
    )
    assert rows.fetchall() == [(JUN, 600, 1), (JUL, 900, 0)]


def test_worth_over_cost():
    assert figures("ltv_to_cac") == pytest.approx(10_000 / 9 * 0.8 / 0.04 / 6000)


@pytest.mark.parametrize(
    ("figure", "reason", "change"),
    [
        ("ltv_formula", "too_few_customers", {"min_customers": 10}),
        ("ltv_formula", "no_margin", {"margins": MARGINS[:5]}),
        ("ltv_formula", "no_churn", {"ltv_churn_months": 1}),
        ("ltv_formula", "no_opening_customers", {"month": JAN}),
        ("mean_churn", "no_opening_customers", {"month": JAN}),
        ("cac", "no_cost", {"costs": []}),
        ("cac", "no_cost", {"costs": COSTS[:3]}),
        ("cac", "no_new_customers", {"history": company(as_of=date(2024, 9, 30)), "month": date(2024, 9, 1),
                                     "costs": [cost(month, 5) for month in (APR, MAY, JUN)]}),
        ("cac", "only_all_segments", {"segment": "unknown"}),
        ("ltv_to_cac", "no_cost", {"costs": []}),
        ("ltv_to_cac", "no_cost", {"costs": [cost(month, 0) for month in (JAN, FEB, MAR)]}),
        ("ltv_to_cac", "no_margin", {"margins": []}),
        ("cac_payback", "no_cost", {"costs": []}),
        ("cac_payback", "no_new_mrr", {"history": company(as_of=date(2024, 9, 30)), "month": date(2024, 9, 1),
                                       "costs": [cost(month, 5) for month in (APR, MAY, JUN)]}),
        ("cac_payback", "no_margin", {"margins": []}),
        ("cac_payback", "no_gross_profit", {"margins": [margin(JUN, 0)]}),
        ("cac_payback", "no_gross_profit", {"margins": [margin(JUN, -500)]}),
        ("cac_payback", "only_all_segments", {"segment": "unknown"}),
        ("arpa", "no_customers", {"history": History(date(2024, 6, 30), [version("a", JAN, FEB, 1000)])}),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_is_null_and_says_why(figure, reason, change):
    given = dict(change)
    parts = given.pop("history", company()), given.pop("costs", COSTS), given.pop("margins", MARGINS)
    assert figures(f"{figure}, {figure}_why_null", *parts, **given) == (None, reason)


def test_a_cost_of_nothing_and_a_margin_of_nothing_are_values():
    free = [cost(month, 0) for month in (JAN, FEB, MAR)]
    assert figures("cac, cac_payback, cac_why_null", company(), free) == (0, 0, None)
    assert figures("ltv_formula, ltv_formula_why_null", company(), COSTS, [margin(JUN, 0)]) == (0, None)


def segments(**segment_of: str) -> History:
    rows = [
        {
            "customer_id": f"c{n}",
            "segment": segment_of.get(f"c{n}", "small"),
            "valid_from": JAN,
            "is_test": False,
        }
        for n in range(1, 11)
    ]
    late = {"customer_id": "late", "segment": "large", "valid_from": JAN, "is_test": False}
    return company(customers=[*rows, late])


def test_the_margin_of_all_is_weighted_by_what_each_segment_pays():
    margins = [margin(JUN, 8000, "small"), margin(JUN, 3000, "large")]
    columns = "margin_mrr, gross_margin"
    assert figures(columns, segments(), COSTS, margins, segment="small") == (6400, 0.8)
    assert figures(columns, segments(), COSTS, margins, segment="large") == (600, 0.3)
    # 8,000 at 80 % and 2,000 at 30 %
    assert figures(columns, segments(), COSTS, margins) == (7000, 0.7)


def test_new_customers_that_are_gone_still_pay_back_at_the_margin_of_their_segments():
    brief = History(date(2024, 6, 30), [version("a", APR, JUN, 1000)])
    assert figures("closing_mrr, gross_margin, cac_payback", brief) == (0, 0.8, 7.5)
    other = [margin(JUN, 5000), margin(JUN, 7000, "unknown")]
    assert figures("gross_margin", brief, COSTS, other) == 0.7


def test_a_segment_without_a_margin_takes_the_common_one_and_without_that_all_is_unknown():
    one = [margin(JUN, 3000, "large")]
    assert figures("gross_margin", segments(), COSTS, one, segment="large") == 0.3
    assert figures("gross_margin, margin_mrr", segments(), COSTS, one) == (None, None)
    assert figures("gross_margin", segments(), COSTS, [*one, margin(JUN, 8000)]) == 0.7
    assert (
        figures("gross_margin", segments(), COSTS, [*one, margin(JUN, 8000, "all")], segment="small") == 0.8
    )


def test_a_cost_in_another_currency_is_converted_at_the_constant_rate():
    costs = [*COSTS, cost(MAR, 100, None, "USD")]
    assert figures("sm_cost", company(rates={"USD": Fraction(9, 10)}), costs) == 6090


def test_the_metrics_are_quotients_of_the_same_parts():
    connection = built(company(), mart="fct_metric_values")
    rows = connection.execute(
        "SELECT metric_id, numerator / denominator, value, why_null, customers FROM marts.fct_metric_values "
        "WHERE month = ? AND segment = 'all' AND (metric_id = 'ltv_formula' OR contains(metric_id, 'cac'))",
        [JUN],
    ).fetchall()
    mart = connection.execute(
        "SELECT ltv_formula, cac, ltv_to_cac, cac_payback FROM marts.fct_unit_economics "
        "WHERE month = ? AND segment = 'all'",
        [JUN],
    ).fetchone()
    values = dict(zip(("ltv_formula", "cac", "ltv_to_cac", "cac_payback"), mart, strict=True))
    assert {row[0]: row[2] for row in rows} == {name: pytest.approx(value) for name, value in values.items()}
    assert {row[0]: row[3:] for row in rows} == {
        "ltv_formula": (None, 9), "cac": (None, 1), "ltv_to_cac": (None, 1), "cac_payback": (None, 1)
    }  # fmt: skip
    reasons = connection.execute(
        "SELECT metric_id, value, why_null FROM marts.fct_metric_values "
        "WHERE month = ? AND segment = 'all' AND metric_id IN ('cac', 'ltv_formula') ORDER BY ALL",
        [JAN],
    ).fetchall()
    assert reasons == [("cac", None, "no_cost"), ("ltv_formula", None, "no_opening_customers")]


@pytest.mark.parametrize("seed", [seed for seed in range(12) if random_history(seed).rates][:4])
def test_every_month_agrees_with_a_plain_reckoning(seed):
    history, draw = random_history(seed), random.Random(seed)
    reckoning = reckon(Books(history))
    closes = reckoning.closes
    span = [earlier(max(closes), age) for age in range(24)]
    # one month in twenty is missing
    costs = [
        cost(month, draw.randint(0, 99_999), channel, draw.choice(["EUR", "USD"]))
        for month in span
        if draw.random() < 0.95
        for channel in ("web", "fair")
    ]
    margins = [margin(month, draw.randint(1, 9_999)) for month in span if draw.random() < 0.95]
    found = {
        row[0]: row[1:]
        for row in built(history, costs, margins, min_customers=3)
        .execute(
            "SELECT month, ltv_formula, cac, ltv_to_cac, cac_payback FROM marts.fct_unit_economics "
            "WHERE segment = 'all'"
        )
        .fetchall()
    }
    shares = {row["month"]: Fraction(row["margin_bp"], 10_000) for row in margins}
    spent: dict[date, Fraction] = defaultdict(Fraction)
    for row in costs:
        spent[row["month"]] += row["amount_minor"] * history.rates[row["currency"]]
    last_closed = earlier(max(closes), 0 if (history.as_of + timedelta(days=1)).day == 1 else 1)
    figures, here = 0, reckoning.there_at_close
    for month, row in found.items():
        there, share = closes.get(month, {}), shares.get(month)
        window = [earlier(min(month, last_closed), age) for age in range(6)]
        kept = [parts for one in window if one in closes and (parts := retention(closes, here, one, 1))[3]]
        churn = (
            sum((Fraction(parts[4], parts[3]) for parts in kept), Fraction(0)) / len(kept) if kept else None
        )
        quarter = [earlier(month, age) for age in range(3)]
        came = [
            end - start - moved
            for (_, on), (start, end, moved, category) in reckoning.months.items()
            if on in quarter and category == "new"
        ]
        paid = [earlier(month, age) for age in range(3, 6)]
        total = sum(spent[one] for one in paid) if set(paid) <= set(spent) else None
        worth = (
            sum(there.values()) / len(there) * share / churn if churn and share and len(there) >= 3 else None
        )
        price = None if total is None or not came else total / len(came)
        months = None if total is None or not came or not share else total / (sum(came) * share)
        ratio = None if worth is None or not price else worth / price
        for value, expected in zip(row, (worth, price, ratio, months), strict=True):
            assert value == (None if expected is None else pytest.approx(float(expected), rel=1e-12))
            figures += expected is not None
    assert figures > 10


# The CRM behind it.


def crm(rows: dict[str, str], *views: str, **settings: Any) -> Any:
    """A company whose CRM tables hold these rows, given as SQL values of all columns but the last two."""
    connection = warehouse(company(), tuple(f"stg_crm__{view}" for view in views), **settings)
    for table, values in rows.items():
        connection.execute(f"INSERT INTO raw_crm.{table} SELECT *, 'crm', '1' FROM (VALUES {values})")
    return connection


ACCOUNTS = "SELECT owner, valid_from, valid_to FROM staging.stg_crm__accounts ORDER BY valid_from"


def account(owner: str, valid_from: str | None, valid_to: str | None, recorded_at: str) -> str:
    days = ", ".join("NULL::DATE" if day is None else f"DATE '{day}'" for day in (valid_from, valid_to))
    return (
        f"('a', 'c1', 'Acme', '{owner}', NULL, NULL, NULL, NULL, {days}, TIMESTAMPTZ '{recorded_at}:00+00')"
    )


def test_an_account_of_exports_that_overwrite_holds_from_the_day_it_was_received():
    rows = ", ".join(
        [
            account("Ann", None, None, "2024-01-05 08:00"),
            account("Bob", None, None, "2024-03-01 08:00"),
            account("Cem", None, None, "2024-03-01 17:00"),
        ]
    )
    assert crm({"accounts": rows}, "accounts").execute(ACCOUNTS).fetchall() == [
        ("Ann", date(2024, 1, 5), MAR),
        ("Cem", MAR, None),
    ]


def test_the_day_received_is_one_of_the_reporting_timezone():
    rows = account("Ann", None, None, "2024-02-29 22:30")
    found = crm({"accounts": rows}, "accounts", reporting_timezone="Asia/Dubai").execute(ACCOUNTS).fetchall()
    assert found == [("Ann", MAR, None)]


def test_stated_days_stand_and_a_later_version_ends_the_one_before():
    rows = ", ".join(
        [
            account("Ann", "2023-01-01", "2023-06-01", "2024-01-05 08:00"),
            account("Bob", "2023-09-01", "2024-12-31", "2024-01-05 08:00"),
            account("Cem", None, None, "2024-03-01 08:00"),
            account("Dan", "2023-09-01", "2024-12-31", "2024-02-05 08:00"),
        ]
    )
    assert crm({"accounts": rows}, "accounts").execute(ACCOUNTS).fetchall() == [
        ("Ann", date(2023, 1, 1), date(2023, 6, 1)),
        ("Dan", date(2023, 9, 1), MAR),
        ("Cem", MAR, None),
    ]


def test_an_account_that_ended_before_it_was_received_is_at_least_a_day_long():
    rows = account("Ann", None, "2023-06-01", "2024-01-05 08:00")
    found = crm({"accounts": rows}, "accounts").execute(ACCOUNTS).fetchall()
    assert found == [("Ann", date(2023, 5, 31), date(2023, 6, 1))]


def test_of_each_row_of_the_crm_the_one_recorded_last_counts():
    first, second = "TIMESTAMPTZ '2024-05-01 00:00:00+00'", "TIMESTAMPTZ '2024-06-01 00:00:00+00'"
    late = "TIMESTAMPTZ '2024-05-31 21:30:00+00'"
    tables = {
        "contacts": f"('k', 'a', 'buyer', NULL, NULL, {first}), "
        f"('k', 'a', 'buyer', true, DATE '2024-05-20', {second})",
        "activities": f"('v', 'a', 'call', {late}, {first})",
        "tickets": f"('t', 'c1', {late}, NULL, 'low', NULL, NULL, {first}), "
        f"('t', 'c1', {late}, {second}, 'high', {late}, 4, {second})",
        "nps": f"('r', 'c1', DATE '2024-05-02', 3, {first}), ('r', 'c1', DATE '2024-05-02', 9, {second})",
        "sales_marketing_costs": f"(DATE '2024-05-01', NULL, 5, 'EUR', {first}), "
        f"(DATE '2024-05-01', NULL, 7, 'EUR', {second}), (DATE '2024-05-01', 'web', 1, 'EUR', {first})",
        "gross_margins": f"(DATE '2024-05-01', NULL, 5000, {first}), "
        f"(DATE '2024-05-01', 'all', 6000, {second})",
    }
    connection = crm(tables, *tables, reporting_timezone="Asia/Dubai")
    expected = {
        "contacts": ("role, is_champion, left_on", [("buyer", True, date(2024, 5, 20))]),
        "activities": ("kind, happened_on", [("call", JUN)]),
        "tickets": ("priority, opened_on, closed_on, csat", [("high", JUN, JUN, 4)]),
        "nps": ("score", [(9,)]),
        "sales_marketing_costs": ("channel, amount_minor", [("web", 1), (None, 7)]),
        "gross_margins": ("segment, margin_bp", [("all", 6000)]),
    }
    for table, (columns, rows) in expected.items():
        query = f"SELECT {columns} FROM staging.stg_crm__{table} ORDER BY ALL"
        assert connection.execute(query).fetchall() == rows
