"""Receivables and cash: rules on examples a bookkeeper can check, and a second reckoning in plain Python."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
from plain_metrics import History
from subscription_models import warehouse

from pipelines.compiled import Model
from tajdid.conformance.analytics_models import compiled_tests

AS_OF = date(2024, 6, 30)
Row = dict[str, Any]
DAY = timedelta(days=1)
MARTS = (
    "fct_ar_aging",
    "fct_ar_aging_days",
    "fct_ar_events",
    "fct_cash_days",
    "fct_dunning",
    "fct_dunning_months",
    "fct_invoices",
    "dim_customers",
)
LEDGER = "stg_billing__ledger_entries"
"""What the tests of the build compare with."""


def day(month: int, number: int) -> date:
    return date(2024, month, number)


class Books:
    """Documents of a company, as raw rows by table."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}

    def add(self, table: str, **row: Any) -> Row:
        self.rows.setdefault(table, []).append(row)
        return row

    def invoice(self, name: str, total: int, issued: date, due: date | None = None, **rest: Any) -> Row:
        row = {
            "invoice_id": name, "customer_id": "x", "currency": "EUR", "status": "open", "issued_on": issued,
            "due_on": due or issued, "net_minor": total, "tax_minor": 0, "total_minor": total,
        }  # fmt: skip
        return self.add("invoices", **row | rest)

    def apply(self, invoice: str, amount: int, on: date, source: str = "p", kind: str = "payment") -> Row:
        number = len(self.rows.get("applications", []))
        return self.add(
            "applications", application_id=f"a{number}", source_kind=kind, source_id=source,
            invoice_id=invoice, amount_minor=amount, applied_on=on,
        )  # fmt: skip

    def pay(self, name: str, amount: int, on: date, **rest: Any) -> Row:
        row = {
            "payment_id": name, "attempt_no": 1, "customer_id": "x", "currency": "EUR",
            "amount_minor": amount, "fee_minor": 0, "status": "captured", "received_on": on,
            "attempted_at": datetime(on.year, on.month, on.day, 12, tzinfo=UTC),
        }  # fmt: skip
        return self.add("payments", **row | rest)

    def refund(
        self, payment: str, amount: int, on: date, currency: str = "EUR", note: str | None = None
    ) -> Row:
        return self.add(
            "refunds", refund_id=f"r-{payment}-{on}", payment_id=payment, credit_note_id=note,
            amount_minor=amount, currency=currency, refunded_on=on,
        )  # fmt: skip

    def write_off(self, invoice: str, amount: int, on: date) -> Row:
        """What is given up; below 0 what of that is taken back."""
        return self.add(
            "write_offs", write_off_id=f"w-{invoice}-{on}", invoice_id=invoice, amount_minor=amount,
            written_off_on=on,
        )  # fmt: skip

    def dispute(
        self, payment: str, amount: int, opened: date, closed: date | None, outcome: str | None
    ) -> Row:
        return self.add(
            "disputes", dispute_id=f"d-{payment}-{opened}", payment_id=payment, amount_minor=amount,
            currency="EUR", opened_on=opened, closed_on=closed, outcome=outcome,
        )  # fmt: skip

    def post(
        self, entry: str, on: date, currency: str = "EUR", invoice: str | None = None, **accounts: int
    ) -> None:
        for position, (account, amount) in enumerate(accounts.items(), start=1):
            self.add(
                "ledger_entries", entry_id=f"{entry}-{position}", account=account, posted_on=on,
                amount_minor=amount, currency=currency, invoice_id=invoice,
            )  # fmt: skip

    def attempt(self, invoice: str, number: int, on: date, outcome: str, hour: int = 12) -> Row:
        at = datetime(on.year, on.month, on.day, hour, tzinfo=UTC)
        return self.add(
            "dunning_events", invoice_id=invoice, attempt_no=number, attempted_at=at, outcome=outcome
        )

    def open(self, *marts: str, as_of: date = AS_OF, history: History | None = None, **settings: Any) -> Any:
        more = {f"raw_billing.{table}": rows for table, rows in self.rows.items()}
        return warehouse(history or History(as_of), (*(marts or MARTS), LEDGER), more, **settings)


def owed(connection: duckdb.DuckDBPyConnection, on: date, currency: str = "EUR") -> int:
    query = (
        "SELECT coalesce(sum(amount_minor), 0) FROM marts.fct_ar_events WHERE event_on <= ? AND currency = ?"
    )
    return int(connection.execute(query, [on, currency]).fetchall()[0][0])


def buckets(connection: duckdb.DuckDBPyConnection, on: date) -> dict[str, int]:
    query = (
        "SELECT bucket, sum(remaining_minor)::BIGINT FROM marts.fct_ar_aging_days WHERE day = ? GROUP BY 1"
    )
    return dict(connection.execute(query, [on]).fetchall())


def warehouse_test(connection: duckdb.DuckDBPyConnection, name: str) -> list[Any]:
    """The wrong rows that a test of the build finds."""
    (test,) = (test for test in build_tests() if test.name == f"assert_{name}")
    return connection.execute(test.sql).fetchall()


@cache
def build_tests() -> tuple[Model, ...]:
    return compiled_tests(Path(tempfile.gettempdir()) / "tajdid-compiled")


# Receivables.


def test_partial_payments_credit_notes_and_discounts_lower_what_is_owed_on_their_day():
    books = Books()
    books.invoice("i", 1000, day(1, 10), day(2, 9))
    books.pay("p", 400, day(1, 20))
    books.apply("i", 400, day(1, 20))
    books.apply("i", 250, day(2, 1), "n", "credit_note")
    books.apply("i", 50, day(2, 2), "i", "early_discount")
    books.apply("i", 300, day(3, 5), "w", "wallet")
    connection = books.open()
    assert connection.execute(
        "SELECT event_kind, event_on, amount_minor FROM marts.fct_ar_events ORDER BY event_on"
    ).fetchall() == [
        ("invoiced", day(1, 10), 1000),
        ("payment", day(1, 20), -400),
        ("credit_note", day(2, 1), -250),
        ("early_discount", day(2, 2), -50),
        ("wallet", day(3, 5), -300),
    ]
    assert [owed(connection, on) for on in (day(1, 9), day(1, 10), day(1, 31), day(2, 29), day(3, 5))] == [
        0, 1000, 600, 300, 0,
    ]  # fmt: skip
    assert buckets(connection, day(2, 9)) == {"current": 300}
    assert buckets(connection, day(2, 10)) == {"d1_30": 300}
    assert buckets(connection, day(3, 5)) == {}


@pytest.mark.parametrize(
    ("days", "bucket"),
    [(-1, "current"), (0, "current"), (1, "d1_30"), (30, "d1_30"), (31, "d31_60"), (60, "d31_60"),
     (61, "d61_90"), (90, "d61_90"), (91, "d91_plus"), (118, "d91_plus")],
)  # fmt: skip
def test_a_day_has_one_bucket(days, bucket, aged):
    assert buckets(aged, day(3, 4) + days * DAY) == {bucket: 700}


@pytest.fixture(scope="module")
def aged():
    books = Books()
    books.invoice("i", 700, day(2, 1), day(3, 4))
    return books.open()


def test_month_ends_and_the_as_of_day_are_days_of_the_view(aged):
    assert aged.execute(
        "SELECT snapshot_on, bucket, remaining_minor FROM marts.fct_ar_aging ORDER BY 1"
    ).fetchall() == [
        (day(2, 29), "current", 700),
        (day(3, 31), "d1_30", 700),
        (day(4, 30), "d31_60", 700),
        (day(5, 31), "d61_90", 700),
        (day(6, 30), "d91_plus", 700),
    ]


def test_an_invoice_without_due_day_is_not_late():
    books = Books()
    books.invoice("i", 10, day(1, 1))["due_on"] = None
    assert buckets(books.open(), AS_OF) == {"current": 10}


def test_the_segment_is_that_of_the_day():
    history = History(AS_OF)
    for segment, since in (("small", day(1, 1)), ("large", day(3, 10))):
        history.customers.append(
            {"customer_id": "x", "segment": segment, "is_test": False, "valid_from": since}
        )
    books = Books()
    books.invoice("i", 10, day(2, 1))
    books.pay("p", 25, day(2, 1))
    connection = books.open(history=history)
    query = "SELECT segment, bucket, remaining_minor FROM marts.fct_ar_aging_days WHERE day = ? ORDER BY 2"
    for on, segment in ((day(3, 9), "small"), (day(3, 10), "large")):
        rows = connection.execute(query, [on]).fetchall()
        assert [row[0] for row in rows] == [segment, segment]
        assert [row[2] for row in rows] == [10, -25]


def test_a_write_off_ends_a_debt_that_is_not_paid():
    books = Books()
    books.invoice("i", 1000, day(1, 10), written_off_on=day(4, 1), written_off_minor=900)
    books.apply("i", 100, day(2, 1))
    connection = books.open()
    assert [owed(connection, on) for on in (day(1, 31), day(3, 31), day(4, 1))] == [1000, 900, 0]
    assert connection.execute(
        "SELECT applied_minor, written_off_minor, remaining_minor, settled_on FROM marts.fct_invoices"
    ).fetchall() == [(100, 900, 0, day(4, 1))]


def test_a_write_off_taken_back_stands_on_both_its_days():
    books = Books()
    books.invoice("i", 1000, day(1, 10), written_off_on=None, written_off_minor=0)
    books.write_off("i", 1000, day(2, 20))
    books.write_off("i", -1000, day(4, 5))
    books.post("e1", day(1, 10), invoice="i", receivable=1000, deferred_revenue=-1000)
    books.post("e2", day(2, 20), invoice="i", write_off=1000, receivable=-1000)
    books.post("e3", day(4, 5), invoice="i", receivable=1000, write_off=-1000)
    connection = books.open()
    assert [owed(connection, day(month, 28)) for month in (1, 2, 3, 4)] == [1000, 0, 0, 1000]
    assert warehouse_test(connection, "receivables_equal_ledger") == []


def test_a_dispute_of_a_debt_written_off_adds_to_the_write_off_on_its_own_day():
    books = Books()
    books.invoice("i", 1000, day(1, 10), written_off_on=day(2, 20), written_off_minor=1000)
    books.pay("p", 300, day(1, 15))
    books.apply("i", 300, day(1, 15))
    books.apply("i", -300, day(4, 5))
    books.dispute("p", 300, day(4, 5), day(5, 1), "lost")
    books.write_off("i", 700, day(2, 20))
    books.write_off("i", 300, day(4, 5))
    books.post("e1", day(1, 10), invoice="i", receivable=1000, deferred_revenue=-1000)
    books.post("e2", day(1, 15), invoice="i", customer_credit=300, receivable=-300)
    books.post("e3", day(2, 20), invoice="i", write_off=700, receivable=-700)
    books.post("e4", day(4, 5), invoice="i", receivable=300, customer_credit=-300)
    books.post("e5", day(4, 5), invoice="i", write_off=300, receivable=-300)
    # money that came in later moves no receivable
    books.post("e6", day(5, 6), invoice="i", cash=200, write_off=-200)
    books.pay("late", 200, day(5, 6), invoice_id="i", kind="recovery")
    connection = books.open()
    assert [owed(connection, day(month, 28)) for month in (1, 2, 3, 4, 5)] == [700, 0, 0, 0, 0]
    assert buckets(connection, day(5, 10)) == {}
    assert warehouse_test(connection, "receivables_equal_ledger") == []
    assert connection.execute(
        "SELECT min(remaining_minor) FROM intermediate.int_invoice_balances"
    ).fetchall() == [(0,)]


def test_an_invoice_may_say_more_than_its_write_offs_date():
    books = Books()
    books.invoice("i", 1000, day(1, 10), written_off_on=day(4, 1), written_off_minor=1000)
    books.write_off("i", 700, day(2, 20))
    connection = books.open()
    assert [owed(connection, on) for on in (day(2, 19), day(2, 20), day(3, 31), day(4, 1))] == [
        1000, 300, 300, 0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("recovered", "back_on"),
    [
        ([(1000, day(5, 6))], day(5, 6)),
        ([(400, day(5, 6)), (600, day(6, 3))], day(6, 3)),
        # what is not wholly paid stays unpaid, whoever gave the rest up
        ([(999, day(5, 6))], None),
        # a match that was undone brought nothing
        ([(1000, None)], None),
        ([], None),
    ],
)
def test_an_item_is_back_in_mrr_when_all_of_a_debt_written_off_is_recovered(recovered, back_on):
    books = Books()
    books.invoice("i", 1000, day(1, 1), day(1, 10), written_off_on=day(3, 1), written_off_minor=1000)
    books.add("invoice_lines", line_id="l", invoice_id="i", subscription_item_id="x", net_minor=1000)
    books.write_off("i", 1000, day(3, 1))
    for number, (amount, on) in enumerate(recovered):
        row = books.pay(f"late{number}", amount, on or day(5, 6), invoice_id="i", kind="recovery")
        row["received_on"] = on
    connection = books.open("fct_mrr_movements", "fct_ar_events", history=subscribed("x"))
    movements = connection.execute(
        "SELECT movement_on, category, reason, cause FROM marts.fct_mrr_movements "
        "WHERE NOT is_scheduled ORDER BY movement_on"
    ).fetchall()
    # the 31st day past due
    assert movements[1] == (day(2, 10), "churn", "past_due", "involuntary")
    assert [row[:3] for row in movements[2:]] == ([(back_on, "reactivation", "recovered")] if back_on else [])
    assert [owed(connection, on) for on in (day(2, 28), day(3, 1), AS_OF)] == [1000, 0, 0]


@pytest.mark.parametrize("has_note", [False, True])
def test_a_void_ends_a_debt_with_a_credit_note_or_without(has_note):
    books = Books()
    books.invoice("i", 1000, day(1, 10), voided_on=day(3, 3), status="void")
    books.apply("i", 200, day(2, 1))
    if has_note:
        books.apply("i", 800, day(3, 3), "n", "credit_note")
    connection = books.open()
    assert [owed(connection, on) for on in (day(1, 31), day(3, 2), day(3, 3), AS_OF)] == [1000, 800, 0, 0]
    last = connection.execute(
        "SELECT event_kind, amount_minor FROM marts.fct_ar_events WHERE event_on = ?", [day(3, 3)]
    )
    assert last.fetchall() == [("credit_note" if has_note else "void", -800)]
    assert connection.execute("SELECT remaining_minor, settled_on FROM marts.fct_invoices").fetchall() == [
        (0, day(3, 3))
    ]


def test_an_invoice_void_on_the_day_of_its_issue_is_an_invoice_without_debt():
    books = Books()
    books.invoice("i", 1000, day(1, 10), voided_on=day(1, 10), status="void")
    connection = books.open()
    assert owed(connection, day(1, 10)) == 0
    assert connection.execute("SELECT remaining_minor, settled_on FROM marts.fct_invoices").fetchall() == [
        (0, day(1, 10))
    ]


def test_what_happens_after_the_as_of_day_is_not_known():
    books = Books()
    books.invoice("i", 1000, day(1, 10), voided_on=day(5, 1))
    books.invoice("j", 500, day(1, 10), written_off_on=day(5, 2), written_off_minor=500)
    books.invoice("k", 100, day(4, 10))
    books.apply("i", 1000, day(4, 1))
    connection = books.open(as_of=day(3, 31))
    assert owed(connection, AS_OF) == 1500
    assert connection.execute("SELECT max(event_on) FROM marts.fct_ar_events").fetchall() == [(day(1, 10),)]


def test_test_customers_stand_nowhere():
    history = History(AS_OF)
    history.customers.append({"customer_id": "x", "is_test": True, "valid_from": day(1, 1)})
    books = Books()
    books.invoice("i", 1000, day(1, 10))
    books.pay("p", 300, day(1, 15), fee_minor=3)
    books.attempt("i", 1, day(1, 11), "failed")
    books.post("e1", day(1, 10), invoice="i", receivable=1000, deferred_revenue=-1000)
    connection = books.open(history=history)
    for mart in MARTS[:-1]:
        assert connection.execute(f"SELECT count(*) FROM marts.{mart}").fetchall() == [(0,)]
    assert warehouse_test(connection, "receivables_equal_ledger") == []


# Unapplied money and cash.


def test_an_overpayment_stands_negative_until_it_is_applied_or_sent_back():
    books = Books()
    books.invoice("i", 1000, day(1, 10))
    books.invoice("j", 120, day(3, 1))
    books.pay("p", 1500, day(1, 20))
    books.apply("i", 1000, day(1, 20))
    books.apply("j", 120, day(3, 1))
    books.refund("p", 380, day(4, 1))
    connection = books.open()
    assert [buckets(connection, on) for on in (day(1, 19), day(1, 20), day(3, 1), day(4, 1))] == [
        {"d1_30": 1000}, {"unapplied": -500}, {"unapplied": -380}, {},
    ]  # fmt: skip


def test_money_sent_back_out_of_a_credit_note_leaves_nothing_over_and_nothing_owed():
    books = Books()
    books.invoice("i", 1000, day(1, 10))
    books.pay("p", 1000, day(1, 10))
    books.apply("i", 1000, day(1, 10))
    books.refund("p", 400, day(2, 1))
    connection = books.open()
    assert buckets(connection, AS_OF) == {}
    assert owed(connection, AS_OF) == 0


def test_money_sent_back_out_of_a_credit_note_leaves_what_its_payment_has_over():
    books = Books()
    books.invoice("i", 1000, day(1, 10))
    books.pay("p", 1500, day(1, 10))
    books.apply("i", 1000, day(1, 10))
    books.refund("p", 400, day(2, 1), note="n")
    books.refund("p", 300, day(3, 1))
    connection = books.open()
    assert [buckets(connection, on) for on in (day(1, 31), day(2, 29), day(3, 1))] == [
        {"unapplied": -500}, {"unapplied": -500}, {"unapplied": -200},
    ]  # fmt: skip
    assert connection.execute("SELECT sum(net_minor) FROM marts.fct_cash_days").fetchall() == [(800,)]


@pytest.mark.parametrize(("kind", "expected"), [("recovery", {}), ("transfer", {"unapplied": -200})])
def test_money_for_a_debt_written_off_is_credit_only_beyond_it(kind, expected):
    books = Books()
    books.invoice("i", 1000, day(1, 10), written_off_on=day(2, 20), written_off_minor=1000)
    books.pay("late", 200, day(5, 6), invoice_id="i", kind=kind)
    assert buckets(books.open(), AS_OF) == expected


@pytest.mark.parametrize("outcome", ["won", "lost", None])
def test_disputed_money_is_away_from_the_day_the_bank_took_it(outcome):
    books = Books()
    books.invoice("i", 1000, day(1, 10))
    books.pay("p", 1200, day(1, 10), fee_minor=30)
    books.apply("i", 1000, day(1, 10))
    books.apply("i", -1000, day(2, 5))
    books.dispute("p", 1200, day(2, 5), day(3, 5) if outcome else None, outcome)
    if outcome == "won":
        books.apply("i", 1000, day(3, 5))
    connection = books.open()
    assert buckets(connection, day(1, 31)) == {"unapplied": -200}
    assert buckets(connection, day(2, 9)) == {"d1_30": 1000}
    assert buckets(connection, day(3, 5)) == ({"unapplied": -200} if outcome == "won" else {"d31_60": 1000})
    nets = connection.execute(
        "SELECT day, net_minor, disputed_minor FROM marts.fct_cash_days ORDER BY day"
    ).fetchall()
    taken = [(day(1, 10), 1170, 0), (day(2, 5), 0, 1200)]
    given = {"won": [(day(3, 5), 0, -1200)], "lost": [(day(3, 5), -1200, 0)], None: []}
    assert nets == taken + given[outcome]


def test_cash_by_day_and_currency():
    books = Books()
    books.pay("p", 1000, day(1, 5), fee_minor=29)
    books.pay("q", 500, day(1, 5), fee_minor=15)
    books.pay("yen", 1000, day(1, 5), currency="JPY", fee_minor=36)
    books.pay("dinar", 1234, day(1, 6), currency="KWD")
    books.pay("failed", 777, day(1, 5), status="declined", received_on=None)
    books.refund("p", 250, day(1, 6))
    books.refund("dinar", 1234, day(1, 7), "KWD")
    columns = "day, currency, received_minor, refunded_minor, fees_minor, net_minor"
    rows = (
        books.open().execute(f"SELECT {columns} FROM marts.fct_cash_days ORDER BY day, currency").fetchall()
    )
    assert rows == [
        (day(1, 5), "EUR", 1500, 0, 44, 1456),
        (day(1, 5), "JPY", 1000, 0, 36, 964),
        (day(1, 6), "EUR", 0, 250, 0, -250),
        (day(1, 6), "KWD", 1234, 0, 0, 1234),
        (day(1, 7), "KWD", 0, 1234, 0, -1234),
    ]


def test_the_day_of_an_attempt_is_told_in_the_reporting_timezone():
    books = Books()
    books.pay("p", 10, day(1, 5), attempted_at=datetime(2024, 1, 4, 22, 30, tzinfo=UTC))
    connection = books.open("fct_cash_days", reporting_timezone="Asia/Riyadh")
    query = "SELECT attempted_on FROM staging.stg_billing__payments"
    assert connection.execute(query).fetchall() == [(day(1, 5),)]


def test_cash_agrees_with_a_ledger_that_posts_fees_and_transfers_on_other_days():
    books = Books()
    books.pay("p", 1000, day(1, 30), fee_minor=29)
    books.post("e1", day(1, 30), cash=1000, customer_credit=-1000)
    books.post("e2", day(2, 2), cash=971, payment_fees=29)  # the payout: bank and fee against clearing
    books.post("e3", day(2, 2), cash=-1000)
    books.post("e4", day(1, 31), cash=400, unallocated_receipts=-400)
    books.pay("t", 400, day(2, 10))
    books.post("e5", day(2, 10), unallocated_receipts=400, customer_credit=-400)
    books.post("e6", day(2, 20), customer_credit=100, cash=-100)
    books.refund("p", 100, day(2, 20))
    connection = books.open("fct_cash_days", "fct_ar_events")
    assert warehouse_test(connection, "cash_equals_ledger") == []
    books.rows["refunds"][0]["refunded_on"] = day(3, 1)
    connection = books.open("fct_cash_days", "fct_ar_events")
    assert [row[0] for row in warehouse_test(connection, "cash_equals_ledger")] == [day(2, 1)]


def test_the_movements_of_money_add_up_to_each_day_and_an_undecided_dispute_is_none() -> None:
    books = Books()
    books.pay("p", 1000, day(1, 30), fee_minor=29)
    books.pay("q", 500, day(2, 10))
    books.refund("p", 100, day(2, 20))
    books.dispute("q", 500, day(2, 15), day(3, 1), "lost")
    books.dispute("p", 900, day(2, 16), None, None)
    connection = books.open("fct_cash_days", "fct_cash_events")
    events = connection.execute(
        "SELECT event_on, event_kind, source_id, customer_id, net_minor "
        "FROM marts.fct_cash_events ORDER BY ALL"
    ).fetchall()
    assert events == [
        (day(1, 30), "fee", "p", "x", -29),
        (day(1, 30), "received", "p", "x", 1000),
        (day(2, 10), "received", "q", "x", 500),
        (day(2, 20), "refunded", f"r-p-{day(2, 20)}", "x", -100),
        (day(3, 1), "dispute_lost", f"d-q-{day(2, 15)}", "x", -500),
    ]
    days = "SELECT day, currency, net_minor FROM marts.fct_cash_days WHERE net_minor <> 0 ORDER BY day"
    summed = (
        "SELECT event_on, currency, sum(net_minor)::BIGINT FROM marts.fct_cash_events GROUP BY ALL ORDER BY 1"
    )
    assert connection.execute(days).fetchall() == connection.execute(summed).fetchall()


def test_money_names_the_invoice_its_payment_paid_of_several_the_one_it_paid_most_of() -> None:
    books = Books()
    books.invoice("a", 1000, day(1, 10), invoice_no="2024-1")
    books.invoice("b", 600, day(1, 10), invoice_no="2024-2")
    books.pay("one", 300, day(1, 20), fee_minor=9)
    books.apply("b", 300, day(1, 20), "one")
    books.pay("two", 1000, day(1, 30))
    books.apply("a", 700, day(1, 30), "two")
    books.apply("b", 300, day(1, 30), "two")
    books.pay("ahead", 500, day(2, 1))
    books.refund("two", 100, day(2, 20))
    connection = books.open("fct_cash_events")
    events = "SELECT event_kind, payment_id, invoice_id, invoice_no FROM marts.fct_cash_events ORDER BY ALL"
    assert connection.execute(events).fetchall() == [
        ("fee", "one", "b", "2024-2"),
        ("received", "ahead", None, None),
        ("received", "one", "b", "2024-2"),
        ("received", "two", "a", "2024-1"),
        ("refunded", "two", "a", "2024-1"),
    ]


def test_a_void_invoice_has_the_day_it_was_made_void_once_that_has_come() -> None:
    books = Books()
    books.invoice("a", 1000, day(1, 10), status="void", voided_on=day(2, 1))
    books.invoice("b", 1000, day(1, 10), status="void", voided_on=AS_OF + DAY)
    connection = books.open("fct_invoices")
    voided = connection.execute("SELECT invoice_id, voided_on FROM marts.fct_invoices ORDER BY 1").fetchall()
    assert voided == [("a", day(2, 1)), ("b", None)]


# Dunning.


def dunning(books: Books, as_of: date = AS_OF) -> list[Any]:
    columns = (
        "first_failed_on, failed_minor, attempts, recovered_on, recovered_attempt, recovered_minor, outcome"
    )
    connection = books.open("fct_dunning", as_of=as_of)
    return connection.execute(f"SELECT {columns} FROM marts.fct_dunning").fetchall()


def failed(paid: int | None, on: date | None, last: str = "failed") -> Books:
    """An invoice of 1000, credited 100 beforehand, whose charge of 4 March failed."""
    books = Books()
    books.invoice("i", 1000, day(3, 1))
    books.apply("i", 100, day(3, 2), "n", "credit_note")
    books.attempt("i", 1, day(3, 4), "failed")
    if paid and on:
        books.pay("p", paid, on)
        books.apply("i", paid, on)
        books.attempt("i", 2, on, "recovered")
    elif last == "exhausted":
        books.attempt("i", 2, day(3, 20), "exhausted")
    return books


def test_the_months_hold_what_failed_and_what_became_of_it():
    books = failed(300, day(3, 10))
    books.invoice("unpaid", 400, day(3, 4))
    books.attempt("unpaid", 1, day(3, 4), "failed")
    for name, on, attempts in (("b", day(3, 20), 2), ("c", day(3, 25), 2), ("d", day(4, 2), 3)):
        books.invoice(name, 500, on)
        books.attempt(name, 1, on, "failed")
        for attempt in range(2, attempts + 1):
            books.attempt(name, attempt, on + attempt * DAY, "recovered" if attempt == attempts else "failed")
        books.pay(f"p-{name}", 500, on + attempts * DAY)
        books.apply(name, 500, on + attempts * DAY, f"p-{name}")
    connection = books.open("fct_dunning_months")
    columns = (
        "cohort_month, outcome, recovered_attempt, invoices, paid_invoices, failed_minor, recovered_minor"
    )
    found = connection.execute(f"SELECT {columns} FROM marts.fct_dunning_months ORDER BY ALL").fetchall()
    assert found == [
        (day(3, 1), "lost", None, 2, 1, 1300, 300),  # of one of the two a part was paid
        (day(3, 1), "recovered", 2, 2, 2, 1000, 1000),
        (day(4, 1), "recovered", 3, 1, 1, 500, 500),
    ]
    connection = books.open("fct_dunning_months")
    assert warehouse_test(connection, "dunning_months_equal_dunning") == []
    connection.execute("UPDATE marts.fct_dunning_months SET recovered_minor = 501 WHERE paid_invoices = 1")
    assert len(warehouse_test(connection, "dunning_months_equal_dunning")) == 2


def test_a_failed_charge_that_is_paid_within_sixty_days_is_recovered():
    last_day = day(3, 4) + 60 * DAY
    assert dunning(failed(900, last_day)) == [(day(3, 4), 900, 2, last_day, 2, 900, "recovered")]
    assert dunning(failed(900, last_day + DAY)) == [(day(3, 4), 900, 2, None, None, 0, "lost")]


def test_a_charge_that_succeeds_on_the_day_it_failed_recovers_what_had_failed():
    assert dunning(failed(900, day(3, 4))) == [(day(3, 4), 900, 2, day(3, 4), 2, 900, "recovered")]


def test_a_part_is_recovered_as_a_part():
    assert dunning(failed(300, day(3, 10))) == [(day(3, 4), 900, 2, None, None, 300, "lost")]
    assert dunning(failed(300, day(3, 10)), day(4, 30)) == [(day(3, 4), 900, 2, None, None, 300, "pending")]


def test_dunning_that_ends_without_money_is_exhausted():
    assert dunning(failed(None, None, "exhausted")) == [(day(3, 4), 900, 2, None, None, 0, "exhausted")]


def test_the_window_of_sixty_days_is_pending_to_its_last_day():
    last_day = day(3, 4) + 60 * DAY
    assert [dunning(failed(None, None), on)[0][-1] for on in (last_day - DAY, last_day)] == [
        "pending",
        "lost",
    ]


def test_a_credit_of_the_rest_leaves_the_payment_as_the_recovery():
    books = failed(700, day(3, 10))
    books.apply("i", 200, day(3, 12), "m", "credit_note")
    assert dunning(books) == [(day(3, 4), 900, 2, day(3, 12), 2, 700, "recovered")]


def test_what_was_credited_or_given_up_is_not_recovered():
    books = failed(None, None)
    books.apply("i", 900, day(3, 12), "m", "credit_note")
    assert dunning(books, day(3, 31)) == [(day(3, 4), 900, 1, None, None, 0, "lost")]
    books = failed(None, None)
    books.rows["invoices"][0] |= {"written_off_on": day(3, 4), "written_off_minor": 900}
    assert dunning(books, day(3, 31)) == [(day(3, 4), 900, 1, None, None, 0, "lost")]


@pytest.mark.parametrize(
    ("recovered", "on", "expected"),
    [
        (900, day(5, 3), (day(5, 3), None, 900, "recovered")),
        (300, day(5, 3), (None, None, 300, "lost")),
        (900, day(5, 4), (None, None, 0, "lost")),
    ],
)
def test_what_comes_in_for_a_debt_written_off_within_sixty_days_recovers_it(recovered, on, expected):
    books = failed(None, None)
    books.rows["invoices"][0] |= {"written_off_on": day(3, 20), "written_off_minor": 900}
    books.pay("late", recovered, on, invoice_id="i", kind="recovery")
    assert dunning(books) == [(day(3, 4), 900, 1, *expected)]


def test_a_payment_taken_back_within_the_window_recovers_nothing():
    books = failed(900, day(3, 10))
    books.apply("i", -900, day(4, 1))
    assert dunning(books) == [(day(3, 4), 900, 2, None, None, 0, "lost")]


def test_an_attempt_when_nothing_is_owed_is_no_failure():
    books = Books()
    books.invoice("i", 100, day(3, 1))
    books.apply("i", 100, day(3, 1))
    books.attempt("i", 1, day(3, 4), "failed")
    books.attempt("unknown", 1, day(3, 4), "failed")
    assert dunning(books) == []


# Metrics.


def value(connection: duckdb.DuckDBPyConnection, metric: str, month: int, **where: str) -> Any:
    places = {"currency": "EUR", "segment": "all"} | where
    return connection.execute(
        "SELECT numerator, denominator, why_null, customers FROM marts.fct_metric_values "
        "WHERE metric_id = ? AND month = ? AND currency = ? AND segment = ?",
        [metric, day(month, 1), places["currency"], places["segment"]],
    ).fetchone()


def subscribed(*customers: str, currency: str = "EUR", amount: int = 1000, **rest: Any) -> History:
    versions = [
        {"subscription_item_id": name, "version_no": 1, "subscription_id": name, "customer_id": name,
         "plan_id": "basic", "amount_minor": amount, "currency": currency, "interval": "month",
         "interval_count": 1, "quantity": 1, "status": "active", "valid_from": day(1, 1)}
        for name in customers
    ]  # fmt: skip
    return History(AS_OF, versions, **rest)


def test_figures_of_a_month_in_the_reporting_currency_and_in_one_without_rates():
    books = Books()
    books.invoice("i", 9000, day(1, 1), day(2, 10))
    books.invoice("j", 9000, day(3, 1), day(3, 31))
    books.invoice("k", 77, day(3, 1), day(3, 31), currency="JPY")
    books.pay("p", 1500, day(3, 5), fee_minor=20)
    books.apply("i", 1000, day(3, 5))
    connection = books.open("fct_metric_values", history=subscribed("x"))
    # 31 March: 8000 is 50 days late, 9000 due that day; billed since 2 January: j alone
    assert value(connection, "ar_total", 3) == (17000, None, None, 1)
    assert value(connection, "ar_current", 3)[0] == 9000
    assert value(connection, "ar_d31_60", 3)[0] == 8000
    assert value(connection, "ar_d1_30", 3) == (0, None, None, 0)
    assert value(connection, "ar_unapplied", 3) == (-500, None, None, 1)
    assert value(connection, "dso", 3) == (17000 * 90, 9000, None, 1)
    assert value(connection, "net_cash", 3) == (1480, None, None, 1)
    assert value(connection, "ar_total", 3, currency="JPY")[0] == 77
    assert value(connection, "ar_total", 3, segment="unknown")[0] == 17000
    # 30 June: nothing billed since 2 April
    assert value(connection, "dso", 6)[1:3] == (0, "nothing_billed")


METRICS_OF_MONEY = ("ar_total", "net_cash", "recognised", "deferred")


def months_of(connection: duckdb.DuckDBPyConnection, *metrics: str) -> dict[str, list[tuple[Any, ...]]]:
    """Metric → its months, with the figure and whether it is provisional."""
    rows: dict[str, list[tuple[Any, ...]]] = {metric: [] for metric in metrics}
    found = connection.execute(
        "SELECT metric_id, month(month), value, is_provisional FROM marts.fct_metric_values "
        "WHERE segment = 'all' AND currency = 'EUR' AND list_contains(?, metric_id) ORDER BY month",
        [list(metrics)],
    ).fetchall()
    for metric, *figure in found:
        rows[metric].append(tuple(figure))
    return rows


@pytest.mark.parametrize("first_subscription", [day(4, 1), None])
def test_money_has_figures_in_months_before_any_subscription(first_subscription):
    """In dollars at a half, so that the rates of those months are known too."""
    as_of = day(6, 15)
    books = Books()
    books.invoice("i", 1820, day(2, 1), currency="USD")
    books.add(
        "invoice_lines", line_id="l", invoice_id="i", kind="one_time", net_minor=1820,
        service_start=day(1, 1), service_end=day(4, 1),
    )  # fmt: skip
    books.pay("p", 1820, day(3, 5), currency="USD")
    books.apply("i", 1820, day(3, 5))
    history = subscribed("x", rates={"USD": Fraction(1, 2)})
    history.as_of = as_of
    history.versions[0]["valid_from"] = first_subscription
    if first_subscription is None:
        history.versions.clear()
    connection = books.open("fct_metric_values", as_of=as_of, history=history)
    found = months_of(connection, *METRICS_OF_MONEY, "mrr")
    # the line earns 20 dollars a day of its 91, from January on; billed in February, paid in March
    assert found == {
        "ar_total": [(2, 910, False), (3, 0, False), (4, 0, False), (5, 0, False), (6, 0, True)],
        "net_cash": [(2, 0, False), (3, 910, False), (4, 0, False), (5, 0, False), (6, 0, True)],
        "recognised": [
            (1, 310, False), (2, 290, False), (3, 310, False), (4, 0, False), (5, 0, False), (6, 0, True),
        ],
        "deferred": [
            (1, -310, False), (2, 310, False), (3, 0, False), (4, 0, False), (5, 0, False), (6, 0, True),
        ],
        "mrr": [(4, 1000, False), (5, 1000, False), (6, 1000, True)] if first_subscription else [],
    }  # fmt: skip


def test_a_refund_of_a_payment_before_the_data_begin_is_cash_of_its_month():
    books = Books()
    books.refund("earlier", 70, day(2, 5))
    connection = books.open("fct_metric_values")
    assert months_of(connection, "net_cash")["net_cash"][:2] == [(2, -70, False), (3, 0, False)]


def test_an_invoice_void_by_the_close_is_not_billed():
    books = Books()
    books.invoice("i", 9000, day(3, 1))
    books.invoice("v", 5000, day(3, 1), voided_on=day(4, 2))
    connection = books.open("fct_metric_values", history=subscribed("x"))
    assert value(connection, "dso", 3)[:2] == (14000 * 90, 14000)
    assert value(connection, "dso", 4)[:2] == (9000 * 90, 9000)


def test_amounts_are_converted_at_the_rate_of_the_close_and_never_added_without_one():
    books = Books()
    books.invoice("i", 1000, day(3, 1), currency="USD", customer_id="u")
    books.invoice("j", 100, day(3, 1))
    books.invoice("k", 1, day(3, 1), currency="KWD")
    history = subscribed("u", currency="USD", rates={"USD": Fraction(1, 2)})
    connection = books.open("fct_metric_values", history=history)
    assert value(connection, "ar_total", 3) == (600, None, None, 2)
    assert value(connection, "ar_total", 3, currency="KWD")[0] == 1
    assert value(connection, "ar_total", 3, currency="USD") is None
    assert warehouse_test(connection, "receivable_metrics_add_up") == []
    connection.execute(
        "UPDATE marts.fct_metric_values SET numerator = numerator + 1 "
        "WHERE metric_id = 'ar_d91_plus' AND segment = 'all' AND month = DATE '2024-03-01'"
    )
    assert {row[0] for row in warehouse_test(connection, "receivable_metrics_add_up")} == {day(3, 1)}


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        # March makes up 3000 of 4000, a third of February's 3000 the rest: 31 + 29 / 3 days
        ({1: 3000, 2: 3000, 3: 3000}, Decimal(31) + Decimal(29) / 3),
        # all of March and February, no day of January
        ({1: 9000, 2: 1000, 3: 3000}, Decimal(60)),
        # a month without billing counts whole
        ({1: 2000, 3: 3000}, Decimal(60) + Decimal(31) / 2),
        ({3: 16000}, Decimal(31) / 4),
    ],
)  # fmt: skip
def test_counting_back_takes_whole_months_and_a_part_of_the_last(amounts, expected):
    books = Books()
    for month, amount in amounts.items():
        books.invoice(f"i{month}", amount, day(month, 3))
    # 4000 is owed at the end of March, on the oldest invoice
    paid = sum(amounts.values()) - 4000
    for month, amount in reversed(amounts.items()):
        part = min(paid, amount)
        paid -= part
        if part:
            books.apply(f"i{month}", part, day(3, 20))
    connection = books.open("fct_metric_values", history=subscribed("x"), dso_method="countback")
    numerator, denominator, why, _ = value(connection, "dso", 3)
    assert abs(numerator / denominator - expected) < Decimal("1e-12")
    assert why is None


def test_counting_back_from_nothing_owed_is_no_day():
    books = Books()
    books.invoice("i", 500, day(3, 3))
    books.apply("i", 500, day(3, 3))
    connection = books.open("fct_metric_values", history=subscribed("x"), dso_method="countback")
    assert value(connection, "dso", 3)[:3] == (0, 500, None)


def test_recovery_leaves_out_what_is_undecided():
    books = Books()
    for name, month, paid in (("a", 3, True), ("b", 3, False), ("c", 6, True), ("d", 6, False)):
        books.invoice(name, 100 if paid else 300, day(month, 1))
        books.attempt(name, 1, day(month, 4), "failed")
        if paid:
            books.apply(name, 100, day(month, 8))
    connection = books.open("fct_metric_values", history=subscribed("x"))
    assert value(connection, "dunning_recovery", 3) == (100, 400, None, 1)
    assert value(connection, "dunning_recovery", 4)[1:3] == (0, "nothing_failed")
    assert value(connection, "dunning_recovery", 6)[:2] == (100, 100)
    assert [value(connection, "dunning_pending", month)[0] for month in (3, 6)] == [0, 300]


def test_mrr_past_due_counts_a_customer_from_the_day_after_the_due_day_and_by_its_parent():
    history = subscribed("x", "y", "child")
    history.parents.append({"customer_id": "child", "parent_customer_id": "y", "valid_from": day(1, 1)})
    books = Books()
    books.invoice("i", 500, day(2, 1), day(2, 29))  # x: due on the day of the close
    books.invoice("j", 500, day(2, 1), day(2, 28), customer_id="child")
    books.apply("i", 500, day(4, 15))
    connection = books.open("fct_metric_values", history=history, past_due_grace_days="until_canceled")
    months = [value(connection, "mrr_past_due", month)[0] for month in (2, 3, 4)]
    assert months == [2000, 3000, 2000]
    assert value(connection, "mrr_past_due", 4)[3] == 1


# A second reckoning.


class Reckoning:
    """Documents made at random, posted as a bookkeeper would: what is owed by currency, day by day."""

    def __init__(self, seed: int) -> None:
        self.books, self.draw = Books(), random.Random(seed)
        self.moves: Counter[tuple[date, str]] = Counter()
        self.open: dict[str, int] = {}
        for number in range(60):
            self._invoice(f"i{number}", self.draw.choice(["EUR", "USD", "JPY", "KWD"]))

    def _move(self, on: date, currency: str, name: str, amount: int) -> None:
        self.moves[on, currency] += amount
        self.books.post(
            f"{name}-{on}-{len(self.moves)}-{self.draw.random()}", on, currency, name, receivable=amount
        )

    def _invoice(self, name: str, currency: str) -> None:
        draw, books = self.draw, self.books
        issued = day(1, 1) + draw.randrange(150) * DAY
        total = draw.choice([0, 1, 999, 2500, 120_000])
        row = books.invoice(name, total, issued, issued + draw.choice([0, 14, 30]) * DAY, currency=currency)
        row["customer_id"] = f"c{draw.randrange(9)}"
        self._move(issued, currency, name, total)
        on, left = issued, total
        for step in range(draw.randrange(4)):
            on += draw.randrange(40) * DAY
            part = draw.randint(0, left)
            kind = draw.choice(["payment", "credit_note", "wallet", "early_discount"])
            books.apply(name, part, on, f"{name}-{step}", kind)
            self._move(on, currency, name, -part)
            left -= part
            if draw.random() < 0.2:
                on += draw.randrange(20) * DAY
                books.apply(name, -part, on, f"{name}-{step}", kind)
                self._move(on, currency, name, part)
                left += part
        on += draw.randrange(1, 60) * DAY
        end = draw.random()
        if end < 0.15:
            row |= {"written_off_on": on, "written_off_minor": left}
            self._move(on, currency, name, -left)
        elif end < 0.3:
            row |= {"voided_on": on, "status": "void"}
            self._move(on, currency, name, -left)

    def owed(self, on: date) -> dict[str, int]:
        sums: Counter[str] = Counter()
        for (moved_on, currency), amount in self.moves.items():
            if moved_on <= on:
                sums[currency] += amount
        return {currency: amount for currency, amount in sums.items() if amount}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_receivables_agree_with_plain_books_at_every_month_end(seed):
    reckoning = Reckoning(seed)
    connection = reckoning.books.open()
    for month in range(1, 7):
        on = day(month + 1, 1) - DAY
        assert reckoning.owed(on) == {
            currency: amount
            for currency in ("EUR", "USD", "JPY", "KWD")
            if (amount := owed(connection, on, currency))
        }
        aging = connection.execute(
            "SELECT currency, sum(remaining_minor)::BIGINT FROM marts.fct_ar_aging "
            "WHERE snapshot_on = ? AND bucket <> 'unapplied' GROUP BY 1",
            [on],
        )
        assert dict(aging.fetchall()) == reckoning.owed(on)
    for name in ("receivables_equal_ledger", "aging_equals_remaining", "invoices_close"):
        assert warehouse_test(connection, name) == []


def test_the_tests_of_the_build_see_a_receivable_that_is_off_by_one():
    reckoning = Reckoning(4)
    reckoning.books.rows["applications"][0]["amount_minor"] += 1
    connection = reckoning.books.open()
    assert warehouse_test(connection, "receivables_equal_ledger")
    connection.execute(
        "UPDATE marts.fct_ar_aging SET remaining_minor = remaining_minor + 1 "
        "WHERE snapshot_on = DATE '2024-03-31'"
    )
    assert {row[0] for row in warehouse_test(connection, "aging_equals_remaining")} == {day(3, 31)}
