"""The walk from recognised revenue to what was invoiced: step by step, and on random books."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb
import pytest
from revenue_documents import billed, books, credited, random_books

JAN, FEB, MAR, APR = (date(2024, month, 1) for month in range(1, 5))


def walk(company: duckdb.DuckDBPyConnection, month: date, currency: str = "EUR") -> dict[str, Any]:
    rows = company.execute(
        "SELECT step, amount FROM marts.fct_reconciliation WHERE month = ? AND currency = ? ORDER BY step_no",
        [month, currency],
    ).fetchall()
    return dict(rows)


def test_a_month_is_walked_from_recognised_to_gross():
    taxed = billed(910, JAN, JAN, APR)
    taxed["invoices"] |= {"tax_minor": 182, "total_minor": 1092}
    company = books(
        taxed,
        billed(5000, FEB, FEB, MAR, name="wallet", kind="top_up"),
        billed(40, FEB, name="own", customer_id="us"),
        credited(400, date(2024, 2, 21), date(2024, 2, 21), APR),
        marts=("fct_reconciliation",),
        customers=[{"customer_id": "us", "valid_from": JAN, "is_test": True}],
    )
    assert walk(company, JAN) == {
        "recognised": 310, "deferred_closing": 600, "deferred_opening": 0, "credited": 0, "wallet_top_ups": 0,
        "unexplained_b": 0, "net_invoiced": 910, "tax": 182, "gross_invoiced": 1092,
    }  # fmt: skip
    assert walk(company, FEB) == {
        "recognised": 200, "deferred_closing": 0, "deferred_opening": -600, "credited": 400,
        "wallet_top_ups": 5000, "unexplained_b": 0, "net_invoiced": 5000, "tax": 0, "gross_invoiced": 5000,
    }  # fmt: skip
    # a month in which nothing was invoiced is walked too
    assert set(walk(company, MAR).values()) == {0}


@pytest.mark.parametrize(("rest", "status"), [(5, "fine"), (6, "warn"), (20, "warn"), (21, "mark")])
def test_what_the_lines_do_not_explain_is_a_figure_with_a_status(rest, status):
    short = billed(1000, JAN, JAN, FEB)
    short["lines"]["net_minor"] = 1000 - rest
    company = books(short, marts=("fct_reconciliation",))
    rows = company.execute(
        "SELECT amount, status FROM marts.fct_reconciliation WHERE status IS NOT NULL AND month = ?", [JAN]
    ).fetchall()
    assert rows == [(rest, status)]


@pytest.mark.parametrize("seed", range(2))
def test_on_whole_books_nothing_is_unexplained(seed):
    company = books(*random_books(seed), marts=("fct_reconciliation",))
    rows = company.execute(
        "SELECT step, count(*), max(abs(amount)) > 0 FROM marts.fct_reconciliation GROUP BY 1"
    ).fetchall()
    by_step = {step: has_amounts for step, _, has_amounts in rows}
    assert by_step["unexplained_b"] is False
    assert all(by_step[step] for step in ("recognised", "deferred_closing", "deferred_opening", "credited"))
