"""Revenue by days of service: examples a bookkeeper can check, and a second computation day by day."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from fractions import Fraction

import duckdb
import pytest
from revenue_documents import MARTS, Row, billed, books, credited, random_books, wrong_rows

JAN, FEB, MAR, APR, MAY, JUN, JUL = (date(2024, month, 1) for month in range(1, 8))
Months = dict[tuple[str, date], tuple[int, int]]


def earned(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, int]]:
    """By month: recognised, and the deferred balance at its close, of all lines together."""
    rows = connection.execute(
        "SELECT strftime(month, '%Y-%m'), sum(recognised_minor)::BIGINT, "
        "sum(sum(deferred_closing_minor - deferred_opening_minor)) OVER (ORDER BY month)::BIGINT "
        "FROM marts.fct_revenue_months GROUP BY month ORDER BY month"
    ).fetchall()
    return {month: (recognised, deferred) for month, recognised, deferred in rows}


IDENTITIES = (
    "assert_deferred_rolls_forward",
    "assert_recognised_reaches_the_line",
)


def test_a_year_billed_upfront_over_a_leap_day_is_earned_by_days():
    # 366 days of 1.00 each: January has 31 of them, February 29
    company = books(billed(36600, JAN, JAN, date(2025, 1, 1)))
    assert earned(company) == {
        "2024-01": (3100, 33500),
        "2024-02": (2900, 30600),
        "2024-03": (3100, 27500),
        "2024-04": (3000, 24500),
        "2024-05": (3100, 21400),
        "2024-06": (3000, 18400),
    }
    scheduled = company.execute(
        "SELECT strftime(recognised_month, '%Y-%m'), recognised_minor, deferred_closing_minor "
        "FROM marts.fct_deferred_waterfall WHERE is_scheduled ORDER BY 1"
    ).fetchall()
    assert scheduled == [
        ("2024-07", 3100, 15300),
        ("2024-08", 3100, 12200),
        ("2024-09", 3000, 9200),
        ("2024-10", 3100, 6100),
        ("2024-11", 3000, 3100),
        ("2024-12", 3100, 0),
    ]


def test_the_as_of_month_is_earned_up_to_the_as_of_day():
    # 31 days of 10: 12 of them by the 12th, the other 19 are scheduled
    company = books(billed(310, JAN, JAN, FEB), as_of=date(2024, 1, 12))
    assert earned(company) == {"2024-01": (120, 190)}
    rows = company.execute(
        "SELECT is_scheduled, issued_minor, recognised_minor, deferred_closing_minor "
        "FROM marts.fct_deferred_waterfall ORDER BY 1"
    ).fetchall()
    assert rows == [(False, 310, 120, 190), (True, 0, 190, 0)]


def test_a_line_is_rounded_half_up_as_a_running_total_and_ends_exact():
    # 1000 over 91 days (January to March): 31/91 = 340.66, 60/91 = 659.34, 91/91 = 1000
    assert earned(books(billed(1000, JAN, JAN, APR))) == {
        "2024-01": (341, 659),
        "2024-02": (318, 341),
        "2024-03": (341, 0),
    }
    # a tie goes away from zero, with either sign: 1 over 2 days, one of them in March
    leap = date(2024, 3, 31), date(2024, 4, 2)
    assert earned(books(billed(1, leap[0], *leap))) == {"2024-03": (1, 0)}
    assert earned(books(billed(-1, leap[0], *leap))) == {"2024-03": (-1, 0)}
    assert earned(books(billed(3, leap[0], *leap))) == {"2024-03": (2, 1), "2024-04": (1, 0)}


def test_a_credit_in_mid_month_takes_back_the_days_after_it():
    # a quarter of 91 days at 10 a day; from 21 February on (40 days) it is credited
    company = books(billed(910, JAN, JAN, APR), credited(400, date(2024, 2, 21), date(2024, 2, 21), APR))
    assert earned(company) == {
        "2024-01": (310, 600),
        # 20 days of February are kept: 29 × 10 earned, 9 × 10 taken back; 910 - 310 - 200 - 400 remain
        "2024-02": (200, 0),
        "2024-03": (0, 0),
    }
    rows = company.execute(
        "SELECT document_kind, month, billed_minor, credited_minor, recognised_minor, deferred_closing_minor "
        "FROM marts.fct_revenue_months WHERE document_kind = 'credit_note' ORDER BY month"
    ).fetchall()
    assert rows == [("credit_note", FEB, 0, 400, -90, -310), ("credit_note", MAR, 0, 0, -310, 0)]


def test_a_credit_for_days_gone_by_leaves_closed_months_as_they_were():
    # January was served and is credited in March: March gives all of it back
    company = books(billed(310, JAN, JAN, FEB), credited(310, date(2024, 3, 5), JAN, FEB))
    assert earned(company) == {"2024-01": (310, 0), "2024-03": (-310, 0)}
    # credited on 5 March for February and March (60 days): 34 days at once, 26 more by the month's end
    company = books(billed(600, FEB, FEB, APR), credited(600, date(2024, 3, 5), FEB, APR))
    assert earned(company) == {"2024-02": (290, 310), "2024-03": (-290, 0)}


def test_a_line_in_arrears_is_earned_before_it_is_billed():
    # usage of February billed in March: unbilled at the end of February
    company = books(billed(580, date(2024, 3, 1), FEB, MAR, kind="usage"))
    assert earned(company) == {"2024-02": (580, -580), "2024-03": (0, 0)}
    rows = company.execute(
        "SELECT issued_month, recognised_month, issued_minor, recognised_minor, deferred_closing_minor "
        "FROM marts.fct_deferred_waterfall ORDER BY 2"
    ).fetchall()
    assert rows == [(MAR, FEB, 0, 580, -580), (MAR, MAR, 580, 0, 0)]
    # until it is issued nobody knows of it
    assert earned(books(billed(580, date(2024, 3, 1), FEB, MAR), as_of=date(2024, 2, 29))) == {}


@pytest.mark.parametrize(("start", "end"), [(None, None), (FEB, None), (None, FEB), (FEB, FEB), (MAR, FEB)])
def test_a_line_without_service_days_is_earned_on_its_issue(start, end):
    assert earned(books(billed(500, date(2024, 1, 31), start, end, kind="one_time"))) == {"2024-01": (500, 0)}


def test_a_line_of_nothing_has_no_row():
    company = books(billed(0, JAN, JAN, FEB))
    assert earned(company) == {}
    assert [wrong_rows(company, test) for test in IDENTITIES] == [[], []]


def test_a_void_with_its_note_takes_back_all_of_it():
    company = books(
        billed(620, JAN, JAN, MAR, voided_on=date(2024, 2, 10), status="void"),
        credited(620, date(2024, 2, 10), JAN, MAR),
    )
    # 620 over 60 days: 320.33 by 31 January
    assert earned(company) == {"2024-01": (320, 300), "2024-02": (-320, 0)}


def test_a_void_without_note_takes_back_what_no_note_did():
    company = books(
        billed(620, JAN, JAN, MAR, voided_on=date(2024, 2, 10), status="void"),
        credited(20, date(2024, 1, 20), JAN, MAR),
    )
    rows = company.execute(
        "SELECT document_kind, sum(billed_minor)::BIGINT, sum(credited_minor)::BIGINT, "
        "sum(recognised_minor)::BIGINT FROM marts.fct_revenue_months GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert rows == [("credit_note", 0, 20, -20), ("invoice", 620, 0, 620), ("void", 0, 600, -600)]
    # it is not void before the day
    assert earned(books(billed(620, JAN, JAN, MAR, voided_on=JUL)))["2024-02"] == (300, 0)


def test_an_invoice_of_nothing_that_was_not_issued_keeps_its_lines():
    """A charge and a credit that come to nothing are billed, though their invoice is void."""
    nothing = billed(0, JAN, JAN, FEB, voided_on=JAN, status="void")
    nothing["lines"] |= {"net_minor": 310}
    other = {
        "lines": {
            **nothing["lines"],
            "line_id": "i-2",
            "net_minor": -310,
            "service_start": FEB,
            "service_end": MAR,
        }
    }
    assert earned(books(nothing, other)) == {"2024-01": (310, -310), "2024-02": (-310, 0)}


def test_what_tops_up_a_wallet_is_no_revenue():
    company = books(
        billed(5000, JAN, JAN, FEB, kind="top_up"),
        credited(1000, FEB, FEB, FEB),
        billed(100, JAN, name="fee", kind="fee"),
    )
    assert earned(company) == {"2024-01": (100, 0)}


def test_currencies_stand_apart_and_test_customers_nowhere():
    company = books(
        billed(1000, JAN, JAN, MAR, name="yen", currency="JPY"),  # 31 of 60 days: 516.67
        billed(1_000_000, JAN, JAN, MAR, name="dinar", currency="KWD"),  # 516.666667 fils of 1,000
        billed(900, JAN, name="own", customer_id="us"),
        customers=[{"customer_id": "us", "valid_from": JAN, "is_test": True}],
        marts=(*MARTS, "int_metric_parts__revenue"),
    )
    rows = company.execute(
        "SELECT currency, strftime(month, '%m'), recognised_minor, deferred_closing_minor "
        "FROM marts.fct_revenue_months ORDER BY 1, 2"
    ).fetchall()
    assert rows == [
        ("JPY", "01", 517, 483),
        ("JPY", "02", 483, 0),
        ("KWD", "01", 516_667, 483_333),
        ("KWD", "02", 483_333, 0),
    ]
    assert set(company.execute(
        "SELECT DISTINCT currency FROM intermediate.int_metric_parts__revenue").fetchall()
    ) == {("JPY",), ("KWD",)}  # fmt: skip


def metric(
    connection: duckdb.DuckDBPyConnection, name: str, segment: str = "all"
) -> dict[str, tuple[int, int]]:
    rows = connection.execute(
        "SELECT strftime(month, '%Y-%m'), numerator, customers FROM intermediate.int_metric_parts__revenue "
        "WHERE metric_id = ? AND segment = ? ORDER BY month",
        [name, segment],
    ).fetchall()
    return {month: (amount, customers) for month, amount, customers in rows}


def test_the_metrics_hold_every_month_with_the_customers_behind_them():
    company = books(
        billed(910, JAN, JAN, APR),
        billed(100, MAR, name="b", customer_id="y"),
        billed(610, JAN, APR, JUN, name="c", customer_id="y"),
        as_of=date(2024, 6, 15),
        marts=("int_metric_parts__revenue",),
        customers=[
            {"customer_id": name, "segment": segment, "valid_from": JAN, "is_test": False}
            for name, segment in (("x", "small"), ("y", "large"))
        ],
    )
    assert metric(company, "recognised") == {
        "2024-01": (310, 1), "2024-02": (290, 1), "2024-03": (410, 2),
        "2024-04": (300, 1), "2024-05": (310, 1), "2024-06": (0, 0),
    }  # fmt: skip
    assert metric(company, "deferred") == {
        "2024-01": (1210, 2), "2024-02": (920, 2), "2024-03": (610, 1),
        "2024-04": (310, 1), "2024-05": (0, 0), "2024-06": (0, 0),
    }  # fmt: skip
    assert metric(company, "deferred", "small")["2024-02"] == (310, 1)
    assert metric(company, "recognised", "large")["2024-03"] == (100, 1)


def test_metrics_are_in_the_reporting_currency_where_there_are_rates():
    item = {
        "subscription_item_id": "a", "version_no": 1, "subscription_id": "a", "customer_id": "x",
        "plan_id": "basic", "amount_minor": 1000, "currency": "USD", "interval": "month",
        "interval_count": 1, "quantity": 1, "status": "active", "valid_from": JAN,
    }  # fmt: skip
    company = books(
        billed(600, JAN, JAN, MAR, currency="USD"),
        versions=[item],
        rates={"USD": Fraction("0.9")},
        marts=("int_metric_parts__revenue",),
    )
    assert metric(company, "recognised")["2024-01"] == (279, 1)  # 310 × 0.9
    assert metric(company, "deferred")["2024-01"] == (261, 1)


def test_the_books_are_compared_by_source_month_and_currency():
    invoice = billed(310, JAN, JAN, FEB)
    for part in invoice.values():
        part["source_system"] = "billing"
    other = billed(99, JAN, name="imported")
    for part in other.values():
        part["source_system"] = "file"

    def posted(amount: int) -> duckdb.DuckDBPyConnection:
        entry = {
            "entry_id": "e", "account": "deferred_revenue", "posted_on": date(2024, 1, 20), "currency": "EUR",
            "amount_minor": -amount, "source_system": "billing",
        }  # fmt: skip
        return books(
            invoice,
            other,
            more={"raw_billing.ledger_entries": [entry]},
            marts=(*MARTS, "stg_billing__ledger_entries"),
        )

    assert wrong_rows(posted(310), "assert_deferred_billed_equals_ledger") == []
    assert len(wrong_rows(posted(309), "assert_deferred_billed_equals_ledger")) == 1


# A second computation on random documents.


def rounded(share: Fraction) -> int:
    size = abs(share)
    return (1 if share > 0 else -1) * int(size + Fraction(1, 2))


def plain_months(documents: list[dict[str, Row]], as_of: date) -> Months:
    """By line and month with a change: recognised and deferred, walked day by day."""
    lines: list[tuple[str, int, date, date | None, date | None, bool]] = []
    for document in documents:
        if "invoices" in document:
            head, line = document["invoices"], document["lines"]
            lines.append(
                (
                    f"invoice {line['line_id']}",
                    line["net_minor"],
                    head["issued_on"],
                    line["service_start"],
                    line["service_end"],
                    False,
                )
            )
            given = sum(
                other["credit_note_lines"]["net_minor"]
                for other in documents
                if "credit_notes" in other
                and other["credit_notes"]["invoice_id"] == head["invoice_id"]
                and other["credit_notes"]["issued_on"] <= as_of
            )
            void, left = head.get("voided_on"), line["net_minor"] - given
            if void is not None and void <= as_of and left > 0:
                lines.append(
                    (f"void {line['line_id']}", -left, void, line["service_start"], line["service_end"], True)
                )
        else:
            head, line = document["credit_notes"], document["credit_note_lines"]
            lines.append(
                (
                    f"credit_note {line['line_id']}",
                    -line["net_minor"],
                    head["issued_on"],
                    line["service_start"],
                    line["service_end"],
                    True,
                )
            )
    found: Months = {}
    for name, net, issued, start, end, is_credit in lines:
        if issued > as_of:
            continue
        if start is None or end is None:
            start, end = issued, issued + timedelta(days=1)
        recognised: dict[date, int] = defaultdict(int)
        deferred: dict[date, int] = {}
        changed: set[date] = set()
        balance = served = done = 0
        # a credit is not known before its issue: what it takes back of the days before waits for it
        waiting = 0
        on = min(start, issued)
        while on <= as_of:
            month = on.replace(day=1)
            if start <= on < end:
                served += 1
                earned_by_now = rounded(Fraction(net * served, (end - start).days))
                waiting += earned_by_now - done
                done = earned_by_now
            if not (is_credit and on < issued):
                recognised[month] += waiting
                balance -= waiting
                waiting = 0
            if on == issued and net:
                balance += net
                changed.add(month)
            deferred[month] = balance
            on += timedelta(days=1)
        for month, closing in deferred.items():
            if recognised[month] or month in changed:
                found[(name, month)] = (recognised[month], closing)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_every_line_and_month_agrees_with_a_count_of_days(seed):
    documents, as_of = random_books(seed), JAN + timedelta(days=100 + 37 * seed)
    company = books(*documents, as_of=as_of)
    rows = company.execute(
        "SELECT document_kind || ' ' || line_id, month, recognised_minor, deferred_closing_minor "
        "FROM marts.fct_revenue_months"
    ).fetchall()
    assert {(line, month): tuple(rest) for line, month, *rest in rows} == plain_months(documents, as_of)
    assert len(rows) > 20
    assert [wrong_rows(company, test) for test in IDENTITIES] == [[], []]


def test_an_identity_sees_a_month_that_does_not_roll_and_a_line_that_is_not_reached():
    company = books(billed(910, JAN, JAN, APR))
    company.execute(
        "UPDATE marts.fct_revenue_months SET recognised_minor = 291 WHERE month = DATE '2024-02-01'"
    )
    assert wrong_rows(company, "assert_deferred_rolls_forward")
    company.execute(
        "UPDATE intermediate.int_revenue_line_months SET recognised_minor = 0 WHERE month = DATE '2024-03-01'"
    )
    assert wrong_rows(company, "assert_recognised_reaches_the_line")
