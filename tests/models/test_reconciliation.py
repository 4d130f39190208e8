"""The walk from recognised revenue to gross invoiced and to cash, step by step."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb
import pytest
from revenue_documents import Row, billed, books, credited, random_books, wrong_rows

Rows = dict[str, list[Row]]
JAN, FEB, MAR, APR = (date(2024, month, 1) for month in range(1, 5))


def walk(company: duckdb.DuckDBPyConnection, month: date) -> dict[str, Any]:
    rows = company.execute(
        "SELECT step, amount FROM marts.fct_reconciliation "
        "WHERE month = ? AND currency = 'EUR' AND walk <> 'mrr_to_recognised' ORDER BY step_no",
        [month],
    ).fetchall()
    return dict(rows)


def up_to_gross(company: duckdb.DuckDBPyConnection, month: date) -> dict[str, Any]:
    steps = walk(company, month)
    names = list(steps)
    return {name: steps[name] for name in names[: names.index("gross_invoiced") + 1]}


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
    assert up_to_gross(company, JAN) == {
        "recognised": 310, "deferred_closing": 600, "deferred_opening": 0, "credited": 0, "wallet_top_ups": 0,
        "unexplained_b": 0, "net_invoiced": 910, "tax": 182, "gross_invoiced": 1092,
    }  # fmt: skip
    assert up_to_gross(company, FEB) == {
        "recognised": 200, "deferred_closing": 0, "deferred_opening": -600, "credited": 400,
        "wallet_top_ups": 5000, "unexplained_b": 0, "net_invoiced": 5000, "tax": 0, "gross_invoiced": 5000,
    }  # fmt: skip
    # a month in which nothing was invoiced is walked too
    assert set(up_to_gross(company, MAR).values()) == {0}


@pytest.mark.parametrize(("rest", "status"), [(5, "fine"), (6, "warn"), (20, "warn"), (21, "mark")])
def test_what_the_lines_do_not_explain_is_a_figure_with_a_status(rest, status):
    short = billed(1000, JAN, JAN, FEB)
    short["lines"]["net_minor"] = 1000 - rest
    company = books(short, marts=("fct_reconciliation",))
    rows = company.execute(
        "SELECT amount, status FROM marts.fct_reconciliation WHERE step = 'unexplained_b' AND month = ?",
        [JAN],
    ).fetchall()
    assert rows == [(rest, status)]
    assert bool(wrong_rows(company, "assert_reconciliation_is_explained")) == (status != "fine")


def test_a_month_of_credits_is_explained_too():
    company = books(billed(-100, JAN, JAN, FEB), marts=("fct_reconciliation",))
    assert walk(company, JAN)["gross_invoiced"] == -100
    assert wrong_rows(company, "assert_reconciliation_is_explained") == []


@pytest.mark.parametrize("seed", range(2))
def test_on_whole_books_nothing_is_unexplained(seed):
    company = books(*random_books(seed), marts=("fct_reconciliation",))
    rows = company.execute(
        "SELECT step, count(*), max(abs(amount)) > 0 FROM marts.fct_reconciliation GROUP BY 1"
    ).fetchall()
    by_step = {step: has_amounts for step, _, has_amounts in rows}
    assert not by_step["unexplained_b"]
    assert not by_step["unexplained_c"]
    assert all(by_step[step] for step in ("recognised", "deferred_closing", "deferred_opening", "credited"))


def paid(
    name: str, amount: int, on: date, applied: int | None = None, of: str = "i", at: date | None = None
) -> Rows:
    """A payment received on a day, and what of it is applied to an invoice."""
    payment = {
        "payment_id": name, "attempt_no": 1, "customer_id": "x", "currency": "EUR", "amount_minor": amount,
        "status": "captured", "received_on": on,
    }  # fmt: skip
    application = {
        "application_id": f"{name}-a", "source_kind": "payment", "source_id": name,
        "invoice_id": of, "amount_minor": amount if applied is None else applied, "applied_on": at or on,
    }  # fmt: skip
    return {"raw_billing.payments": [payment], "raw_billing.applications": [application]}


def together(*parts: Rows) -> Rows:
    tables: Rows = {}
    for part in parts:
        for table, rows in part.items():
            tables[table] = [*tables.get(table, []), *rows]
    return tables


def moves(company: duckdb.DuckDBPyConnection, month: date) -> dict[str, Any]:
    """The steps from gross invoiced to cash received that are not 0."""
    steps = list(walk(company, month).items())
    names = [name for name, _ in steps]
    return {name: amount for name, amount in steps[names.index("gross_invoiced") :] if amount}


def test_a_month_is_walked_from_gross_to_cash():
    failed = {
        "payment_id": "p", "attempt_no": 2, "customer_id": "x", "currency": "EUR", "amount_minor": 1000,
        "status": "declined", "received_on": None,
    }  # fmt: skip
    tables = together(
        # 1000 in January, of which 700 are applied at once and the rest in February
        paid("p", 1000, JAN, applied=700),
        {"raw_billing.payments": [failed]},
        paid("q", 50, date(2024, 3, 2), of="j"),
        {
            "raw_billing.applications": [
                {"application_id": "b", "source_kind": "payment", "source_id": "p", "invoice_id": "j",
                 "amount_minor": 200, "applied_on": FEB},
                {"application_id": "c", "source_kind": "credit_note", "source_id": "n", "invoice_id": "i",
                 "amount_minor": 100, "applied_on": FEB},
            ],
            "raw_billing.refunds": [
                {"refund_id": "r", "payment_id": "p", "amount_minor": 60, "currency": "EUR",
                 "refunded_on": MAR}
            ],
            "raw_billing.disputes": [
                {"dispute_id": "d", "payment_id": "q", "amount_minor": 50, "currency": "EUR",
                 "opened_on": date(2024, 3, 9), "closed_on": APR, "outcome": "won"}
            ],
        },
    )  # fmt: skip
    off = billed(400, FEB, name="j", written_off_on=date(2024, 3, 31), written_off_minor=150)
    company = books(
        billed(910, JAN, JAN, APR),
        off,
        credited(100, FEB, FEB, APR),
        marts=("fct_reconciliation",),
        more=tables,
    )
    # 910 invoiced, 210 still owed, 300 of 1000 not yet applied
    assert moves(company, JAN) == {
        "gross_invoiced": 910, "receivables_change": -210, "unapplied_change": 300, "cash_received": 1000,
    }  # fmt: skip
    # 400 more, owed: 210 - 100 and 400 - 200; the 200 come from what was not applied
    assert moves(company, FEB) == {
        "gross_invoiced": 400,
        "receivables_change": -100,
        "credits_applied": -100,
        "unapplied_change": -200,
    }
    # owed: 110 of the first; 150 are written off, 50 paid, taken back by the bank; 60 go back to the customer
    assert moves(company, MAR) == {
        "receivables_change": 200, "written_off": -150, "unapplied_change": -110,
        "refunded": 60, "disputed": 50, "cash_received": 50,
    }  # fmt: skip
    assert moves(company, APR) == {"unapplied_change": 50, "disputed": -50}


def test_what_was_applied_before_the_invoice_counts_from_its_issue():
    company = books(
        billed(100, MAR, MAR, APR), marts=("fct_reconciliation",), more=paid("p", 100, JAN, at=FEB)
    )
    assert moves(company, JAN) == {"unapplied_change": 100, "cash_received": 100}
    assert moves(company, MAR) == {"gross_invoiced": 100, "unapplied_change": -100}


def test_a_void_without_note_ends_the_debt():
    void = billed(100, JAN, JAN, MAR, voided_on=date(2024, 2, 10), status="void")
    company = books(void, marts=("fct_reconciliation",), more=paid("p", 30, JAN))
    assert moves(company, JAN) == {"gross_invoiced": 100, "receivables_change": -70, "cash_received": 30}
    assert moves(company, FEB) == {"receivables_change": 70, "voided": -70}


def test_a_write_off_that_is_taken_back_is_walked_both_ways():
    given_up = [
        {"write_off_id": f"off {on}", "invoice_id": "i", "amount_minor": amount, "written_off_on": on}
        for amount, on in ((100, FEB), (-100, MAR))
    ]
    write_offs = {"raw_billing.write_offs": given_up}
    company = books(
        billed(100, JAN, JAN, FEB),
        marts=("fct_reconciliation",),
        more=together(write_offs, paid("p", 100, APR)),
    )
    assert moves(company, FEB) == {"receivables_change": 100, "written_off": -100}
    assert moves(company, MAR) == {"receivables_change": -100, "written_off": 100}
    assert moves(company, APR) == {"receivables_change": 100, "cash_received": 100}


def test_money_that_no_balance_knows_is_unexplained():
    # paid again after the void: nobody owes it, so it is neither debt nor credit
    void = billed(100, JAN, JAN, MAR, voided_on=date(2024, 2, 10), status="void")
    company = books(void, marts=("fct_reconciliation",), more=paid("p", 100, MAR))
    assert moves(company, MAR) == {"unexplained_c": 100, "cash_received": 100}
