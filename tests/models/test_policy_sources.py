"""What MRR is made from, where service ends, and rates: alternatives of the policy on examples that a
bookkeeper can check. Amounts are minor units a month.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from plain_metrics import History
from subscription_models import models, warehouse
from test_subscription_rules import APR, FEB, JAN, MAR, MAY, history, version

from pipelines.compiled import execute, needed
from tajdid.conformance.analytics_models import compiled_tests

JUN = date(2024, 6, 1)
Row = dict[str, Any]
Rows = list[tuple[Any, ...]]


def bill(net: int, start: date, end: date, item: str | None = "a", **rest: Any) -> tuple[Row, Row]:
    """An invoice of one line, issued on the first day of service and never due. rest: columns of either."""
    name = rest.pop("name", f"{item}-{start}")
    invoice = {
        "invoice_id": name, "customer_id": "x", "currency": "EUR", "status": "open", "issued_on": start,
        "net_minor": net, "tax_minor": 0, "total_minor": net,
    }  # fmt: skip
    line = {
        "line_id": name, "invoice_id": name, "subscription_item_id": item, "kind": "recurring",
        "service_start": start, "service_end": end, "net_minor": net, "discount_minor": 0,
        "once_discount_minor": 0, "tax_minor": 0,
    }  # fmt: skip
    for column, value in rest.items():
        (line if column in line or column == "quantity" else invoice)[column] = value
    return invoice, line


def billed(*bills: tuple[Row, Row], versions: Iterable[Row] = (), **rest: Any) -> History:
    return history(*versions, invoices=[one for one, _ in bills], lines=[one for _, one in bills], **rest)


def months(company: History, more: Any = None, measure: str = "closing_mrr", **settings: Any) -> list[str]:
    """MRR at the close of each month, as plain numbers."""
    found = warehouse(company, ("fct_mrr_months",), more, **settings).execute(
        f"SELECT sum({measure})::DECIMAL(18, 2) FROM marts.fct_mrr_months GROUP BY month ORDER BY month"
    )
    return [f"{amount.normalize():f}" for (amount,) in found.fetchall()]


def log(company: History, more: Any = None, **settings: Any) -> Rows:
    return (
        warehouse(company, ("fct_mrr_movements",), more, **settings)
        .execute(
            "SELECT movement_on, category, cause, delta_native::INT FROM marts.fct_mrr_movements "
            "WHERE measure = 'mrr' AND NOT is_scheduled ORDER BY movement_on, subscription_item_id"
        )
        .fetchall()
    )


# MRR from what was billed (mrr_source = billed_lines).

BILLED = {"mrr_source": "billed_lines"}


def test_mrr_from_bills_is_the_recurring_lines_over_their_days_of_service():
    company = billed(
        bill(1000, JAN, FEB),
        bill(1200, FEB, MAR),
        bill(1200, MAR, APR),
        bill(300, date(2024, 2, 10), MAR, kind="proration", name="part"),
        bill(70, FEB, MAR, kind="usage", name="use"),
        bill(5000, FEB, MAR, None, kind="one_time", name="setup"),
        versions=[version(JAN, None, 9999)],
        as_of=date(2024, 3, 31),
    )
    assert months(company, **BILLED) == ["1000", "1200", "1200"]
    assert months(company) == ["9999"] * 3


@pytest.mark.parametrize(
    ("start", "end", "net", "expected"),
    [
        (JAN, date(2025, 1, 1), 12_000, "1000"),
        (JAN, APR, 1000, "333.33"),
        (date(2024, 1, 31), date(2024, 2, 29), 1000, "1000"),
        (date(2024, 2, 29), date(2024, 3, 31), 1000, "1000"),
        (date(2024, 2, 29), date(2024, 3, 30), 1000, "1000"),
        # 52/12 and 26/12 of a period, 365/12 days of which 10, 31 and 29 are billed
        (JAN, date(2024, 1, 8), 700, "3033.33"),
        (date(2024, 3, 1), date(2024, 3, 15), 1400, "3033.33"),
        (JAN, date(2024, 1, 11), 1000, "3041.67"),
        (date(2024, 1, 30), MAR, 1000, "981.18"),
        (date(2024, 2, 1), MAR, 1000, "1000"),
    ],
)
def test_without_a_version_the_days_of_a_line_tell_its_interval(start, end, net, expected):
    company = billed(bill(net, start, end), as_of=start)
    assert months(company, **BILLED) == [expected]


def test_a_version_says_the_interval_customer_and_plan_of_a_line():
    company = billed(
        bill(3000, APR, MAY),
        versions=[version(APR, None, 1, interval="day", interval_count=30, customer="z", plan_id="team")],
        as_of=APR,
    )
    connection = warehouse(company, ("fct_mrr_movements",), **BILLED)
    row = connection.execute(
        "SELECT customer_id, plan_id, subscription_id, round(delta_native, 2)::VARCHAR "
        "FROM marts.fct_mrr_movements"
    )
    # 3000 × 365 / (12 × 30)
    assert row.fetchall() == [("z", "team", "a", "3041.67")]


def test_the_parts_of_an_item_add_up_and_a_discount_that_is_not_taken_once_is_running():
    company = billed(
        bill(900, JAN, FEB, discount_minor=300, once_discount_minor=200, name="fee"),
        bill(500, JAN, FEB, name="seats"),
        versions=[version(JAN, None, 1)],
        as_of=date(2024, 1, 31),
    )
    # before discounts 1200 + 500; 100 of the 300 runs on
    assert months(company, **BILLED) == ["1600"]
    assert months(company, **BILLED, measure="list_mrr") == ["1700"]
    assert months(company, **BILLED, discounts="list") == ["1700"]


def test_the_discounts_of_subscriptions_do_not_count_beside_those_of_bills():
    discount = {
        "discount_id": "d", "subscription_item_id": "a", "percent_ppm": 500_000, "duration": "forever",
        "valid_from": JAN, "order_no": 1,
    }  # fmt: skip
    company = billed(
        bill(1000, JAN, FEB),
        versions=[version(JAN, None, 2000)],
        discounts=[discount],
        as_of=date(2024, 1, 31),
    )
    assert months(company, **BILLED) == months(company) == ["1000"]


def test_a_month_that_was_not_billed_is_churn_and_its_bill_reactivation():
    company = billed(
        bill(1000, JAN, FEB), bill(1000, MAR, APR), versions=[version(JAN, None, 7)], as_of=date(2024, 3, 31)
    )
    assert log(company, **BILLED) == [
        (JAN, "new", None, 1000),
        (FEB, "churn", "voluntary", -1000),
        (MAR, "reactivation", None, 1000),
    ]


def test_who_runs_on_keeps_the_last_bill_until_the_next_for_one_interval_at_the_most():
    def on(day: date) -> list[Any]:
        company = billed(bill(1000, JAN, FEB), versions=[version(JAN, None, 7)], as_of=day)
        return [(moved, category) for moved, category, *_ in log(company, **BILLED)]

    # 31 days were billed
    assert on(date(2024, 3, 2)) == [(JAN, "new")]
    assert on(date(2024, 3, 3)) == [(JAN, "new"), (FEB, "churn")]


def test_who_ended_is_there_as_long_as_was_billed_and_its_cause_is_known():
    ended = version(JAN, date(2024, 2, 10), 7, end_cause="involuntary")
    company = billed(bill(1000, JAN, FEB), bill(1000, FEB, MAR), versions=[ended], as_of=date(2024, 3, 5))
    assert log(company, **BILLED)[1:] == [(MAR, "churn", "involuntary", -1000)]


@pytest.mark.parametrize("day", [date(2024, 2, 20), date(2024, 1, 5)])
def test_a_scheduled_end_is_no_movement_yet(day):
    company = billed(bill(1000, JAN, FEB), versions=[version(JAN, MAR, 7)], as_of=day)
    assert log(company, **BILLED) == [(JAN, "new", None, 1000)]


VOIDED = {"voided_on": date(2024, 1, 9)}
CREDIT = {"kind": "proration", "name": "credit", "discount_minor": 0}


@pytest.mark.parametrize(
    ("bills", "notes", "expected"),
    [
        ([bill(1000, JAN, FEB, **VOIDED)], [], []),
        ([bill(1000, JAN, FEB, voided_on=date(2024, 2, 1))], [], ["1000"]),
        ([bill(1000, JAN, FEB, issued_on=date(2024, 2, 1))], [], []),
        ([bill(1000, JAN, FEB)], [1000], []),
        ([bill(1000, JAN, FEB)], [400], ["1000"]),
        ([bill(1000, JAN, FEB)], [400, 600], []),
        ([bill(0, JAN, FEB, discount_minor=1000)], [], ["0"]),
        # taken back and billed anew, at another price
        ([bill(1000, JAN, FEB), bill(-1000, JAN, FEB, **CREDIT)], [], []),
        (
            [bill(1000, JAN, FEB), bill(-1000, JAN, FEB, **CREDIT), bill(1200, JAN, FEB, name="b")],
            [],
            ["1200"],
        ),
        ([bill(1000, JAN, FEB), bill(-500, date(2024, 1, 16), FEB, **CREDIT)], [], ["1000"]),
    ],
)
def test_what_was_taken_back_whole_was_not_billed(bills, notes, expected):
    company = billed(*bills, as_of=date(2024, 1, 31))
    more = {
        "raw_billing.credit_notes": [
            {"credit_note_id": str(number), "invoice_id": "a-2024-01-01", "issued_on": date(2024, 1, 20)}
            for number in range(len(notes))
        ],
        "raw_billing.credit_note_lines": [
            {
                "line_id": str(number),
                "credit_note_id": str(number),
                "invoice_line_id": "a-2024-01-01",
                "net_minor": net,
            }
            for number, net in enumerate(notes)
        ],
    }  # fmt: skip
    assert [one for one in months(company, more, **BILLED) if one != "0"] == [
        one for one in expected if one != "0"
    ]


# The end of the last billed service (churn_at = billing_end).

BILLING_END = {"churn_at": "billing_end"}


@pytest.mark.parametrize(
    ("until", "bills", "gone_on"),
    [
        # until the end of what was billed, later or earlier than service
        (date(2024, 3, 10), [(FEB, MAR), (MAR, APR)], APR),
        (APR, [(JAN, FEB), (FEB, MAR)], MAR),
        (date(2024, 3, 10), [(JAN, APR)], APR),
        (APR, [(MAR, APR)], APR),
        # never billed
        (date(2024, 3, 10), [], date(2024, 3, 10)),
    ],
)
@pytest.mark.parametrize("is_told", [False, True])
def test_an_item_that_has_ended_ends_with_the_last_service_billed(until, bills, gone_on, is_told):
    lives = [version(JAN, FEB, 1000), version(FEB, until, 1000, end_cause="involuntary")]
    if is_told:
        lives.append(version(until, None, 1000, status="canceled"))
    company = billed(*(bill(1000, *one) for one in bills), versions=lives)
    assert log(company, **BILLING_END) == [
        (JAN, "new", None, 1000),
        (gone_on, "churn", "involuntary", -1000),
    ]
    assert log(company)[-1][0] == until


def test_versions_after_the_last_billed_service_do_not_count():
    lives = [version(JAN, MAR, 1000), version(MAR, MAY, 1500, end_cause="involuntary")]
    company = billed(bill(1000, JAN, FEB), versions=lives)
    assert log(company, **BILLING_END) == [(JAN, "new", None, 1000), (FEB, "churn", "involuntary", -1000)]


@pytest.mark.parametrize("until", [None, date(2024, 12, 1)])
def test_what_has_not_ended_yet_runs_on_without_a_bill(until):
    company = billed(bill(1000, JAN, FEB), versions=[version(JAN, until, 1000)])
    assert log(company, **BILLING_END) == [(JAN, "new", None, 1000)]


def test_a_return_cuts_what_was_billed_before_and_ends_on_its_own():
    lives = [version(JAN, date(2024, 2, 20), 1000), version(MAR, APR, 800)]
    bills = [bill(1000, JAN, FEB), bill(1000, FEB, date(2024, 3, 10)), bill(800, MAR, JUN, name="later")]
    assert log(billed(*bills, versions=lives), **BILLING_END) == [
        (JAN, "new", None, 1000),
        (MAR, "contraction", None, -200),
        (JUN, "churn", "voluntary", -800),
    ]


def test_a_void_bill_and_parts_of_periods_do_not_carry_an_item():
    bills = [
        bill(1000, JAN, FEB),
        bill(1000, FEB, MAR, voided_on=date(2024, 2, 3)),
        bill(9, FEB, MAY, kind="usage", name="u"),
    ]
    assert log(billed(*bills, versions=[version(JAN, MAR, 1000)]), **BILLING_END)[1][0] == FEB


# Use (usage = in_3m_mean, and the metric usage_mrr).


def used(*days: tuple[date, int | None], item: str = "a", meter: str = "calls") -> dict[str, list[Row]]:
    return {
        "raw_billing.usage_days": [
            {
                "subscription_item_id": item,
                "meter": meter,
                "used_on": on,
                "quantity": "1",
                "rated_minor": rated,
            }
            for on, rated in days
        ]
    }


USE = used(
    (date(2024, 1, 3), 100), (date(2024, 1, 31), 200), (date(2024, 3, 1), 600), (APR, 90),
    (date(2024, 4, 9), None),
)  # fmt: skip
IN_MRR = {"usage": "in_3m_mean"}


def usage_mrr(company: History, more: Any, **settings: Any) -> Rows:
    return (
        warehouse(company, ("fct_metric_values",), more, **settings)
        .execute(
            "SELECT strftime(month, '%m'), segment, value, why_null, customers::INT "
            "FROM marts.fct_metric_values WHERE metric_id = 'usage_mrr' ORDER BY ALL"
        )
        .fetchall()
    )


def test_the_use_of_a_month_is_the_mean_of_the_last_three_that_have_closed():
    company = history(version(JAN, None, 1000), as_of=date(2024, 5, 10))
    short = "fewer_than_three_months"
    assert [row for row in usage_mrr(company, USE) if row[1] == "all"] == [
        ("01", "all", None, short, 1),
        ("02", "all", None, short, 1),
        ("03", "all", 300, None, 1),
        ("04", "all", 230, None, 1),
        # May has not closed
        ("05", "all", 230, None, 1),
    ]
    company.as_of = date(2024, 5, 31)
    assert usage_mrr(company, USE)[-1] == ("05", "unknown", 230, None, 1)
    assert months(company, USE) == ["1000"] * 5


def test_use_stands_in_the_segment_of_its_days_and_segments_add_up():
    people = [
        {"customer_id": "x", "segment": "small", "valid_from": JAN, "is_test": False},
        {"customer_id": "x", "segment": "large", "valid_from": MAR, "is_test": False},
        {"customer_id": "t", "segment": "small", "valid_from": JAN, "is_test": True},
    ]
    company = history(
        version(JAN, None, 1), version(JAN, None, 1, "b", "t"), customers=people, as_of=date(2024, 3, 31)
    )
    rows = USE["raw_billing.usage_days"] + used((FEB, 5000), item="b")["raw_billing.usage_days"]
    found = usage_mrr(company, {"raw_billing.usage_days": rows})
    assert found[-3:] == [
        ("03", "all", 300, None, 1),
        ("03", "large", 200, None, 1),
        ("03", "small", 100, None, 1),
    ]


def test_use_is_in_mrr_from_the_close_of_the_third_month_where_the_policy_says_so():
    company = history(version(JAN, None, 1000), as_of=date(2024, 5, 10))
    assert months(company, USE, **IN_MRR) == ["1000", "1000", "1300", "1230", "1230"]
    assert log(company, USE, **IN_MRR)[1:] == [
        (date(2024, 3, 31), "expansion", None, 300),
        (date(2024, 4, 30), "contraction", None, -70),
    ]
    assert usage_mrr(company, USE, **IN_MRR) == usage_mrr(company, USE)


def test_use_counts_as_long_as_its_item_is_served_and_paid():
    lives = [version(JAN, MAY, 1000), version(JAN, None, 5, "b")]
    assert months(history(*lives, as_of=date(2024, 5, 31)), USE, **IN_MRR) == [
        "1005",
        "1005",
        "1305",
        "1235",
        "5",
    ]
    trial = [version(JAN, None, 1000, status="trialing")]
    company = history(*trial, as_of=date(2024, 3, 31))
    assert months(company, USE, "trial_mrr", **IN_MRR) == ["1000", "1000", "1300"]
    invoice, line = bill(1000, JAN, FEB, due_on=FEB)
    late = history(version(JAN, None, 1000), invoices=[invoice], lines=[line], as_of=date(2024, 4, 30))
    assert months(late, USE, **IN_MRR) == ["1000", "1000", "0", "0"]


def test_use_alone_makes_a_payer_and_nothing_used_makes_none():
    company = history(version(JAN, None, 0), as_of=date(2024, 8, 31))
    assert months(company, USE, **IN_MRR)[-6:] == ["300", "230", "230", "30", "0", "0"]


def test_use_is_no_item_of_its_own_beside_bills():
    company = billed(
        bill(700, JAN, FEB), bill(700, FEB, MAR), bill(700, MAR, APR), versions=[version(JAN, None, 9)],
        as_of=date(2024, 3, 31),
    )  # fmt: skip
    assert months(company, USE, **IN_MRR, **BILLED) == ["700", "700", "1000"]


def test_use_leaves_with_the_request_where_churn_counts_from_it():
    lives = [version(JAN, None, 1000, cancel_requested_on=date(2024, 4, 5)), version(JAN, None, 5, "b")]
    company = history(*lives, as_of=date(2024, 4, 30))
    assert months(company, USE, **IN_MRR, churn_at="cancel_request")[-2:] == ["1305", "5"]


# Rates of retention (fx_retention = booked), and of currencies that are only billed or paid.

DOLLARS = (
    (date(2023, 12, 31), "0.90", "daily"),
    (date(2024, 1, 31), "1.00", "daily"),
    (date(2024, 2, 29), "0.80", "daily"),
    (date(2023, 12, 31), "0.95", "budget"),
)


def rates(*rows: tuple[date, str, str], currency: str = "USD") -> dict[str, list[Row]]:
    return {
        "raw_billing.fx_rates": [
            {"rate_on": on, "from_currency": currency, "to_currency": "EUR", "rate": rate, "rate_set": name}
            for on, rate, name in rows
        ]
    }


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("constant", [("01", 1425, 1425, 1425, 1), ("02", 1425, 950, 950, 1)]),
        # 1500 and 1500 dollars at 0.90 and 1.00, then 1500 and 1000 at 1.00 and 0.80
        ("booked", [("01", 1350, 1500, 1350, 1), ("02", 1500, 800, 800, 1)]),
    ],
)
def test_retention_at_the_constant_or_at_the_booked_rates(setting, expected):
    company = history(
        version(date(2023, 12, 1), FEB, 1500, currency="USD"), version(FEB, None, 1000, currency="USD"),
        as_of=date(2024, 2, 29),
    )  # fmt: skip
    found = warehouse(company, ("fct_retention",), rates(*DOLLARS), fx_retention=setting).execute(
        "SELECT strftime(month, '%m'), start_mrr::INT, end_mrr::INT, kept_mrr::INT, start_customers "
        "FROM marts.fct_retention WHERE window_months = 1 ORDER BY month"
    )
    assert found.fetchall() == expected


def test_chained_retention_is_the_product_of_twelve_months():
    company = history(
        version(date(2023, 1, 1), None, 1000),
        version(date(2023, 1, 1), date(2023, 7, 1), 1000, "b", "y"),
        version(date(2023, 9, 1), date(2023, 11, 1), 500, "c", "z"),
        version(date(2023, 11, 1), None, 1000, "c", "z"),
        as_of=date(2024, 1, 31),
    )
    query = (
        "SELECT metric_id, round(value, 9), why_null FROM marts.fct_metric_values WHERE segment = 'all' "
        "AND month = DATE '{}' AND metric_id IN ('nrr_12m', 'grr_12m', 'nrr_1m') ORDER BY 1"
    )
    # of 2000 one half leaves in July; 1500 become 2000 in November, which the start set does not have
    point_to_point = warehouse(company, ("fct_metric_values",)).execute(query.format("2024-01-01"))
    assert point_to_point.fetchall() == [("grr_12m", 0.5, None), ("nrr_12m", 0.5, None), ("nrr_1m", 1, None)]
    chained = warehouse(company, ("fct_metric_values",), retention_window_months="chained")
    assert chained.execute(query.format("2024-01-01")).fetchall() == [
        ("grr_12m", 0.5, None),
        ("nrr_12m", round(0.5 * 2000 / 1500, 9), None),
        ("nrr_1m", 1, None),
    ]
    assert chained.execute(query.format("2023-12-01")).fetchall()[:2] == [
        ("grr_12m", None, "no_opening_mrr"),
        ("nrr_12m", None, "no_opening_mrr"),
    ]


def one_euro_customer_with_a_dollar_bill(currency: str = "USD") -> History:
    invoice, line = bill(1000, JAN, FEB, None, kind="one_time", currency=currency)
    return history(version(JAN, None, 500), invoices=[invoice], lines=[line], as_of=date(2024, 1, 31))


PAID = {
    "raw_billing.payments": [
        {
            "payment_id": "p", "attempt_no": 1, "customer_id": "x", "currency": "USD", "amount_minor": 400,
            "fee_minor": 0, "status": "captured", "received_on": date(2024, 1, 20),
        }
    ]
}  # fmt: skip


def test_what_is_billed_and_paid_in_a_currency_without_subscriptions_is_converted():
    connection = warehouse(
        one_euro_customer_with_a_dollar_bill(), ("fct_metric_values",), {**rates(*DOLLARS), **PAID}
    )
    found = connection.execute(
        "SELECT metric_id, currency, value::INT FROM marts.fct_metric_values WHERE segment = 'all' "
        "AND metric_id IN ('ar_total', 'net_cash', 'recognised', 'ar_unapplied') ORDER BY metric_id"
    )
    # owed and unapplied at the close, 1.00; received and recognised at the opening, 0.90
    assert found.fetchall() == [
        ("ar_total", "EUR", 1000),
        ("ar_unapplied", "EUR", -400),
        ("net_cash", "EUR", 360),
        ("recognised", "EUR", 900),
    ]


def missing_rates(connection: duckdb.DuckDBPyConnection) -> Rows:
    (test,) = (
        test
        for test in compiled_tests(Path(tempfile.gettempdir()) / "tajdid-compiled")
        if test.name == "assert_every_rate_is_known"
    )
    execute(connection, needed(models(), *test.reads))
    return connection.execute(test.sql).fetchall()


@pytest.mark.parametrize(
    ("company", "more", "missing"),
    [
        (one_euro_customer_with_a_dollar_bill(), rates(*DOLLARS), []),
        (one_euro_customer_with_a_dollar_bill(), {}, [(JAN, "USD")]),
        (one_euro_customer_with_a_dollar_bill(), rates(*DOLLARS[:3]), [(JAN, "USD")]),
        (one_euro_customer_with_a_dollar_bill(), rates(*DOLLARS[1:]), [(JAN, "USD")]),
        (one_euro_customer_with_a_dollar_bill("EUR"), PAID, [(JAN, "USD")]),
        (one_euro_customer_with_a_dollar_bill("EUR"), {}, []),
    ],
    ids=["all are there", "none", "no constant one", "none at the opening", "of a payment", "none is needed"],
)
def test_a_rate_that_is_needed_and_missing_fails_the_build(company, more, missing):
    assert missing_rates(warehouse(company, ("dim_policy",), more)) == missing
