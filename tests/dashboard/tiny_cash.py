"""Money of the small company, checkable with a pencil: invoices in two currencies, payments, failed charges.

One yen is worth 0.5 cents at the opening of a month and 0.6 at its close.

Close of March 2025: 10.00 not due; 500 yen = 3.00 ten days late; 20.05 forty; 7.95 a hundred and twenty. Owed
41.00, overdue 31.00, more than 30 days 28.00. Billed in 90 days: 10.00 + 20.05 + 3.00 + 100.00 = 133.05; the
void 40.00 is not in it. Close of February: 20.05 nine days late, 100.00 eighteen, 7.95 eighty-nine: overdue
128.00. Cash in March: 100.00 − 1.50 − 5.00 + 1000 yen = 5.00 make 98.50; in February 60.00 − 10.00. Of
charges that failed in December 7.95 + 50.00 + 10.00 (2000 yen), 50.00 + 2.00 came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

OPENING, CLOSING = Decimal("0.5"), Decimal("0.6")
FEBRUARY, MARCH = date(2025, 2, 1), date(2025, 3, 1)
SEGMENTS = {"C1": "enterprise", "C2": "enterprise", "C5": "smb", "C6": "smb"}
AS_OF = date(2025, 3, 31)
# number, customer, currency, total, issued, due, paid on, void on
INVOICES: list[tuple[str, str, str, int, date, date, date | None, date | None]] = [
    ("A-1", "C1", "EUR", 1000, date(2025, 3, 1), date(2025, 3, 31), None, None),
    ("A-2", "C2", "EUR", 2005, date(2025, 2, 1), date(2025, 2, 19), None, None),
    ("A-3", "C5", "EUR", 795, date(2024, 11, 1), date(2024, 12, 1), None, None),
    ("A-4", "C6", "JPY", 500, date(2025, 3, 1), date(2025, 3, 21), None, None),
    ("A-5", "C1", "EUR", 10_000, date(2025, 1, 10), date(2025, 2, 10), date(2025, 3, 5), None),
    ("A-6", "C2", "EUR", 4000, date(2025, 2, 15), date(2025, 3, 15), None, date(2025, 2, 20)),
    ("B-1", "C1", "EUR", 5000, date(2024, 11, 20), date(2024, 12, 1), date(2024, 12, 20), None),
    ("B-2", "C6", "JPY", 2000, date(2024, 11, 20), date(2024, 12, 1), date(2025, 1, 15), None),
]
# invoice, month of the first failure, failed, recovered, outcome, attempt that recovered
FAILED: list[tuple[str, date, int, int, str, int | None]] = [
    ("A-3", date(2024, 12, 1), 795, 0, "lost", None),
    ("B-1", date(2024, 12, 1), 5000, 5000, "recovered", 2),
    ("B-2", date(2024, 12, 1), 2000, 400, "exhausted", None),
    ("A-2", MARCH, 2005, 0, "pending", None),
]
PAID = {"P1": "A-5"}
# what, id, customer, day, currency, net
CASH: list[tuple[str, str, str, date, str, int]] = [
    ("received", "P1", "C1", date(2025, 3, 5), "EUR", 10_000),
    ("fee", "P1", "C1", date(2025, 3, 5), "EUR", -150),
    ("refunded", "R1", "C2", date(2025, 3, 10), "EUR", -500),
    ("received", "P2", "C6", date(2025, 3, 20), "JPY", 1000),
    ("received", "P3", "C2", date(2025, 2, 11), "EUR", 6000),
    ("dispute_lost", "D1", "C2", date(2025, 2, 20), "EUR", -1000),
]
Insert = Callable[[Any, str, Sequence[Mapping[str, Any]]], None]


def bucket_of(days: int) -> str:
    ends = ((0, "current"), (30, "d1_30"), (60, "d31_60"), (90, "d61_90"))
    return next((name for end, name in ends if days <= end), "d91_plus")


def rate(currency: str, of_rate: Decimal) -> Decimal:
    return of_rate if currency == "JPY" else Decimal(1)


def fill(connection: Any, insert: Insert, months: Sequence[date]) -> None:
    """Fill the marts of money, by plain arithmetic."""
    for month in months:
        for currency in ("EUR", "JPY"):
            insert(
                connection,
                "marts.dim_month_rates",
                [
                    {
                        "month": month,
                        "currency": currency,
                        "amount_currency": "EUR",
                        "opening_rate": rate(currency, OPENING),
                        "closing_rate": rate(currency, CLOSING),
                    }
                ],
            )
    _invoices(connection, insert)
    for month, closed_on in ((FEBRUARY, date(2025, 2, 28)), (MARCH, AS_OF)):
        _aging(connection, insert, closed_on)
        for scope in ("all", "enterprise", "smb"):
            _values(connection, insert, month, closed_on, scope)
    _cash(connection, insert)
    _failures(connection, insert)


def open_at(day: date) -> list[tuple[str, str, str, int, int]]:
    """Customer, currency, bucket, amount and days late of what is owed at a close."""
    found = []
    for _number, customer, currency, total, issued, due, paid, void in INVOICES:
        if (
            issued <= day
            and (paid or day) >= day
            and not (paid and paid <= day)
            and not (void and void <= day)
        ):
            days = (day - due).days
            found.append((customer, currency, bucket_of(days), total, days))
    return found


def _invoices(connection: Any, insert: Insert) -> None:
    for number, customer, currency, total, issued, due, paid, void in INVOICES:
        remaining = 0 if paid or void else total
        insert(
            connection,
            "marts.fct_invoices",
            [
                {
                    "invoice_id": number,
                    "invoice_no": number,
                    "customer_id": customer,
                    "segment": SEGMENTS[customer],
                    "currency": currency,
                    "status": "void" if void else "paid" if paid else "open",
                    "issued_on": issued,
                    "due_on": due,
                    "voided_on": void,
                    "net_minor": total - total // 5,
                    "tax_minor": total // 5,
                    "total_minor": total,
                    "remaining_minor": remaining,
                    "settled_on": paid or void,
                    "days_past_due": (AS_OF - due).days if remaining else None,
                }
            ],
        )
        _lines(connection, insert, number, customer, currency, (total - total // 5, total // 5), issued)
        events = [("invoiced", issued, total)]
        if paid or void:
            events.append(("payment" if paid else "void", paid or void or issued, -total))
        for kind, day, amount in events:
            insert(
                connection,
                "marts.fct_ar_events",
                [
                    {
                        "event_kind": kind,
                        "source_id": f"{number}-{kind}",
                        "event_on": day,
                        "customer_id": customer,
                        "invoice_id": number,
                        "currency": currency,
                        "amount_minor": amount,
                    }
                ],
            )


def _lines(
    connection: Any,
    insert: Insert,
    number: str,
    customer: str,
    currency: str,
    amounts: tuple[int, int],
    issued: date,
) -> None:
    """Two lines that add up to net and tax of the invoice; nobody sent those of A-3."""
    for place, kind in enumerate(("recurring", "usage") if number != "A-3" else ()):
        net, tax = (amount // 2 if place == 0 else amount - amount // 2 for amount in amounts)
        insert(
            connection,
            "marts.fct_invoice_lines",
            [
                {
                    "line_id": f"{number}-{place}",
                    "invoice_id": number,
                    "customer_id": customer,
                    "currency": currency,
                    "subscription_item_id": f"{customer}-1",
                    "kind": kind,
                    "quantity": Decimal("2.5"),
                    "service_start": issued,
                    "service_end": issued + timedelta(days=30),
                    "net_minor": net,
                    "tax_minor": tax,
                }
            ],
        )


def _aging(connection: Any, insert: Insert, closed_on: date) -> None:
    cells: dict[tuple[str, str, str], list[int]] = {}
    for customer, currency, bucket, amount, _days in open_at(closed_on):
        cells.setdefault((currency, SEGMENTS[customer], bucket), []).append(amount)
    for (currency, segment, bucket), amounts in cells.items():
        insert(
            connection,
            "marts.fct_ar_aging",
            [
                {
                    "snapshot_on": closed_on,
                    "currency": currency,
                    "segment": segment,
                    "bucket": bucket,
                    "invoices": len(amounts),
                    "customers": 1,
                    "remaining_minor": sum(amounts),
                }
            ],
        )


def _values(connection: Any, insert: Insert, month: date, closed_on: date, scope: str) -> None:
    parts: dict[str, tuple[Decimal, Decimal | None]] = {}
    for bucket in ("current", "d1_30", "d31_60", "d61_90", "d91_plus"):
        parts[f"ar_{bucket}"] = (Decimal(0), None)
    total = Decimal(0)
    for customer, currency, bucket, amount, _days in open_at(closed_on):
        if scope in ("all", SEGMENTS[customer]):
            worth = amount * rate(currency, CLOSING)
            parts[f"ar_{bucket}"] = (parts[f"ar_{bucket}"][0] + worth, None)
            total += worth
    billed = sum(
        (
            amount * rate(currency, CLOSING)
            for _number, customer, currency, amount, issued, _due, _paid, void in INVOICES
            if scope in ("all", SEGMENTS[customer])
            and 0 <= (closed_on - issued).days < 90
            and not (void and void <= closed_on)
        ),
        Decimal(0),
    )
    cash = sum(
        (
            amount * rate(currency, OPENING)
            for _kind, _id, customer, day, currency, amount in CASH
            if day.replace(day=1) == month and scope in ("all", SEGMENTS[customer])
        ),
        Decimal(0),
    )
    parts |= {"ar_total": (total, None), "dso": (90 * total, billed), "net_cash": (cash, None)}
    for metric_id, (numerator, denominator) in parts.items():
        _value(connection, insert, month, scope, metric_id, numerator, denominator, 5)


def _value(
    connection: Any,
    insert: Insert,
    month: date,
    scope: str,
    metric_id: str,
    numerator: Decimal,
    denominator: Decimal | None,
    customers: int,
) -> None:
    insert(
        connection,
        "marts.fct_metric_values",
        [
            {
                "month": month,
                "currency": "EUR",
                "segment": scope,
                "metric_id": metric_id,
                "numerator": numerator,
                "denominator": denominator,
                "why_null": "nothing_billed" if denominator == 0 else None,
                "customers": customers,
                "is_provisional": False,
            }
        ],
    )


def _cash(connection: Any, insert: Insert) -> None:
    columns = {
        "received": "received_minor",
        "fee": "fees_minor",
        "refunded": "refunded_minor",
        "dispute_lost": "disputes_lost_minor",
    }
    days: dict[tuple[date, str], dict[str, int]] = {}
    for kind, source, customer, day, currency, net in CASH:
        row = days.setdefault((day, currency), dict.fromkeys([*columns.values(), "net_minor"], 0))
        row[columns[kind]] += abs(net)
        row["net_minor"] += net
        insert(
            connection,
            "marts.fct_cash_events",
            [
                {
                    "event_kind": kind,
                    "source_id": source,
                    "payment_id": source,
                    "customer_id": customer,
                    "invoice_id": PAID.get(source),
                    "invoice_no": PAID.get(source),
                    "segment": SEGMENTS[customer],
                    "event_on": day,
                    "currency": currency,
                    "net_minor": net,
                }
            ],
        )
    for (day, currency), row in days.items():
        insert(connection, "marts.fct_cash_days", [{"day": day, "currency": currency, **row}])


def _failures(connection: Any, insert: Insert) -> None:
    invoices = {number: (customer, currency) for number, customer, currency, *_rest in INVOICES}
    for number, month, failed, recovered, outcome, attempt in FAILED:
        customer, currency = invoices[number]
        insert(
            connection,
            "marts.fct_dunning",
            [
                {
                    "invoice_id": number,
                    "customer_id": customer,
                    "segment": SEGMENTS[customer],
                    "currency": currency,
                    "cohort_month": month,
                    "first_failed_on": month.replace(day=2),
                    "failed_minor": failed,
                    "attempts": 3,
                    "recovered_on": month.replace(day=20) if outcome == "recovered" else None,
                    "recovered_attempt": attempt,
                    "recovered_minor": recovered,
                    "outcome": outcome,
                }
            ],
        )
        insert(
            connection,
            "marts.fct_dunning_months",
            [
                {
                    "cohort_month": month,
                    "currency": currency,
                    "segment": SEGMENTS[customer],
                    "outcome": outcome,
                    "recovered_attempt": attempt,
                    "invoices": 1,
                    "paid_invoices": int(recovered > 0),
                    "failed_minor": failed,
                    "recovered_minor": recovered,
                }
            ],
        )
    for scope in ("all", "enterprise", "smb"):
        decided = [
            (failed * rate(invoices[number][1], OPENING), recovered * rate(invoices[number][1], OPENING))
            for number, _month, failed, recovered, outcome, _attempt in FAILED
            if outcome != "pending" and scope in ("all", SEGMENTS[invoices[number][0]])
        ]
        failed_sum = sum((failed for failed, _recovered in decided), Decimal(0))
        recovered_sum = sum((recovered for _failed, recovered in decided), Decimal(0))
        _value(
            connection,
            insert,
            date(2024, 12, 1),
            scope,
            "dunning_recovery",
            recovered_sum,
            failed_sum,
            len(decided),
        )
