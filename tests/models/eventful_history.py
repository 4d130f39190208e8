"""One company in which every rule of the subscription models has something to decide: a random one, and
beside it a customer for each edge that chance would miss."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from plain_metrics import History
from random_history import random_history

RATES = {"EUR": Fraction(1), "USD": Fraction("0.9"), "GBP": Fraction(2)}
Rows = list[dict[str, Any]]


def eventful_history() -> History:
    history = random_history(5, customers=24)
    history.grace_days = 30
    history.rates = dict(RATES)
    _returns_and_schedules(history)
    _discounts(history)
    _exchanges(history)
    _late_payers(history)
    return history


def moving_rates(history: History) -> Mapping[str, Rows]:
    """Rates that change on the last day of every month and again within it."""
    rows: Rows = []
    month = date(2023, 1, 1)
    while month <= history.as_of:
        following = (month + timedelta(days=32)).replace(day=1)
        for number, on in enumerate((following - timedelta(days=1), following + timedelta(days=9))):
            step = Fraction((on - date(2022, 1, 1)).days, 2000) + number
            for currency, rate in (("USD", RATES["USD"]), ("GBP", RATES["GBP"])):
                moved = round(rate + step / 10, 6)
                rows.append(
                    {
                        "rate_on": on,
                        "from_currency": currency,
                        "to_currency": "EUR",
                        "rate": str(float(moved)),
                        "rate_set": "daily",
                    }
                )
        month = following
    return {"raw_billing.fx_rates": rows}


def _add(history: History, item: str, start: date, end: date | None, amount: int, **rest: Any) -> None:
    """A version of an item; its customer has the item's name unless `rest` says another."""
    history.versions.append(
        {
            "subscription_item_id": item,
            "version_no": start.toordinal(),
            "subscription_id": item,
            "customer_id": item,
            "plan_id": "basic",
            "amount_minor": amount,
            "currency": "EUR",
            "interval": "month",
            "interval_count": 1,
            "quantity": 1,
            "status": "active",
            "valid_from": start,
            "valid_to": end,
            "end_cause": None,
            "is_deleted": False,
            **rest,
        }
    )


def _returns_and_schedules(history: History) -> None:
    today = history.as_of
    _add(history, "back-in-30-days", date(2023, 3, 1), date(2023, 6, 1), 1000)
    _add(history, "back-in-30-days", date(2023, 7, 1), None, 1000)
    _add(history, "back-in-31-days", date(2023, 3, 1), date(2023, 6, 1), 1000)
    _add(history, "back-in-31-days", date(2023, 7, 2), None, 1000)
    _add(history, "begins-today", today, today + timedelta(days=5), 700)
    _add(history, "begins-today", today + timedelta(days=5), None, 800)
    _add(history, "begins-this-month", today + timedelta(days=5), None, 900)
    _add(history, "ends-this-month", date(2023, 4, 1), today + timedelta(days=3), 800)
    _add(history, "grows-at-once", date(2023, 9, 5), date(2023, 9, 15), 100)
    _add(history, "grows-at-once", date(2023, 9, 15), None, 200)
    _add(history, "joins-and-leaves", date(2023, 9, 5), date(2023, 9, 20), 100)
    _add(history, "joins-and-leaves", date(2024, 1, 10), None, 100)
    _add(history, "other-plan-and-interval", date(2023, 5, 1), date(2023, 11, 1), 1000)
    _add(history, "other-plan-and-interval", date(2023, 11, 1), None, 15_000, plan_id="team", interval="year")
    _add(history, "more-seats", date(2023, 5, 1), date(2023, 8, 1), 3000, quantity=3)
    _add(history, "more-seats", date(2023, 8, 1), None, 10_000, quantity=5)
    _add(history, "pauses", date(2023, 5, 1), date(2023, 8, 1), 3000)
    _add(history, "pauses", date(2023, 8, 1), date(2023, 10, 1), 3000, status="paused")
    _add(history, "pauses", date(2023, 10, 1), None, 3000)
    _add(history, "tries", date(2023, 5, 20), date(2023, 6, 20), 3000, status="trialing")
    _add(history, "tries", date(2023, 6, 20), None, 3000)
    _add(history, "weekly", date(2023, 5, 20), None, 777, interval="week", interval_count=2)
    _add(history, "pennies", date(2023, 5, 20), date(2023, 7, 1), 5, interval="year")
    _add(history, "pennies", date(2023, 7, 1), None, 50, interval="year")
    _add(history, "quarterly", date(2023, 5, 20), None, 1000, interval_count=3)
    _add(history, "committed", date(2023, 5, 20), None, 1000, committed_minimum_minor=500)
    _add(history, "ends-unpaid", date(2023, 5, 20), date(2023, 9, 9), 1000, end_cause="involuntary")
    _add(history, "merges", date(2023, 5, 20), date(2023, 9, 9), 1000, end_cause="merge")
    _add(history, "back-within-a-year", date(2023, 2, 1), date(2023, 6, 20), 1000)
    _add(history, "back-within-a-year", date(2023, 9, 20), None, 1500)
    _add(history, "child", date(2023, 2, 1), None, 1000)
    _add(history, "parent", date(2023, 2, 1), None, 1000)
    history.parents.append(
        {
            "customer_id": "child",
            "parent_customer_id": "parent",
            "valid_from": date(2023, 8, 8),
            "valid_to": date(2024, 1, 8),
        }
    )
    # another segment on the day an item ends
    for segment, since in (("small", date(2023, 1, 1)), ("large", date(2023, 9, 9))):
        history.customers.append(
            {"customer_id": "merges", "segment": segment, "valid_from": since, "is_test": False}
        )


def _discounts(history: History) -> None:
    """Their order matters: a share and an amount, an amount above the rest, one that is taken once."""
    given: tuple[tuple[str, int | None, int | None, str], ...] = (
        ("mixed", 100_000, None, "forever"),
        ("mixed", None, 500, "repeating"),
        ("too-much", None, 9_999, "forever"),
        ("too-much", 500_000, None, "forever"),
        ("once", 250_000, None, "once"),
        ("odd-share", 333_333, None, "forever"),
    )
    for item in dict.fromkeys(item for item, *_ in given):
        _add(history, item, date(2023, 4, 10), None, 2001)
    for number, (item, share, amount, duration) in enumerate(given):
        history.discounts.append(
            {
                "discount_id": f"{item}-{number}",
                "subscription_item_id": item,
                "percent_ppm": share,
                "amount_minor": amount,
                "currency": "EUR",
                "duration": duration,
                "valid_from": date(2023, 7, 10),
                "valid_to": date(2024, 2, 20),
                "order_no": number,
            }
        )


def _exchanges(history: History) -> None:
    """Euros for pounds of the same worth, within a month and on one day: MRR in other cells, no movement."""
    for customer, last, first in (
        ("within-a-month", date(2023, 8, 10), date(2023, 8, 20)),
        ("on-a-day", date(2023, 10, 5), date(2023, 10, 5)),
    ):
        _add(history, f"{customer}-eur", date(2023, 3, 3), last, 2000, customer_id=customer)
        _add(history, f"{customer}-gbp", first, None, 1000, customer_id=customer, currency="GBP")
        _add(history, f"{customer}-both", date(2023, 5, 3), None, 60, customer_id=customer)


def _late_payers(history: History) -> None:
    today = history.as_of
    for status, start, end, quantity in (
        ("active", date(2023, 4, 1), date(2023, 5, 1), 1),
        ("past_due", date(2023, 5, 1), date(2023, 5, 20), 1),
        ("past_due", date(2023, 5, 20), date(2023, 8, 1), 2),
        ("active", date(2023, 8, 1), None, 2),
    ):
        _add(history, "status-only", start, end, 500 * quantity, status=status, quantity=quantity)
    # item: due, then what is applied on which day
    bills: dict[str, tuple[date, list[tuple[date, int]]]] = {
        "pays-late": (date(2023, 5, 1), [(date(2023, 7, 15), 1190)]),
        "pays-in-parts": (date(2023, 5, 1), [(date(2023, 5, 5), 500), (date(2023, 8, 2), 690)]),
        "pays-today": (today - timedelta(days=45), [(today, 1190)]),
        "pays-tomorrow": (today - timedelta(days=45), [(today + timedelta(days=1), 1190)]),
        "pays-on-time": (date(2023, 6, 1), [(date(2023, 6, 1), 1190)]),
    }
    bills |= {
        f"due-{days}-days": (today - timedelta(days=days), []) for days in (0, 1, 30, 31, 60, 61, 90, 91)
    }
    for item, (due, applied) in bills.items():
        _add(history, item, min(due, date(2023, 5, 1)), None, 1000)
        _bill(history, item, due)
        for number, (on, amount) in enumerate(applied):
            history.applications.append(
                {
                    "application_id": f"{item}-{number}",
                    "source_kind": "payment",
                    "source_id": "p",
                    "invoice_id": item,
                    "amount_minor": amount,
                    "applied_on": on,
                }
            )
    for item, ended in (
        ("void", {"voided_on": date(2023, 9, 1)}),
        ("written-off", {"written_off_on": date(2023, 9, 1), "written_off_minor": 1190}),
    ):
        _add(history, item, date(2023, 5, 1), None, 1000)
        _bill(history, item, date(2023, 6, 1), **ended)


def _bill(history: History, item: str, due: date, **ended: Any) -> None:
    history.invoices.append(
        {
            "invoice_id": item,
            "customer_id": item,
            "currency": "EUR",
            "status": "open",
            "issued_on": due - timedelta(days=14),
            "due_on": due,
            "net_minor": 1000,
            "tax_minor": 190,
            "total_minor": 1190,
            "voided_on": None,
            "written_off_on": None,
            "written_off_minor": None,
            **ended,
        }
    )
    history.lines.append(
        {
            "line_id": f"{item}-line",
            "invoice_id": item,
            "subscription_item_id": item,
            "kind": "recurring",
            "net_minor": 1000,
            "tax_minor": 190,
        }
    )
