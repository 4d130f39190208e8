"""Random companies from a seed: everything that moves MRR, on few customers and many days."""

from __future__ import annotations

import random
from datetime import date, timedelta
from fractions import Fraction

from plain_metrics import FAR, History

FIRST = date(2023, 1, 17)
PLANS = ("basic", "team", "scale", None)


def random_history(seed: int, customers: int = 14, days: int = 480) -> History:
    draw = random.Random(seed)
    as_of = FIRST + timedelta(days=days)
    history = History(as_of, grace_days=draw.choice([0, 30, 30, 90]))
    if draw.random() < 0.7:
        history.rates = {"EUR": Fraction(1), "USD": Fraction("0.9123456789")}
    for number in range(customers):
        _customer(draw, history, f"c{number:02d}")
    _parents(draw, history, customers)
    return history


def _day(draw: random.Random, since: date = FIRST, days: int = 520) -> date:
    """Days close to month ends and the 29th to 31st are drawn more often: there rules break."""
    on = since + timedelta(days=draw.randrange(days))
    if draw.random() < 0.4:
        on = (on + timedelta(days=32)).replace(day=1) - timedelta(days=draw.choice([0, 1, 1, 2]))
    return max(on, since)


def _customer(draw: random.Random, history: History, customer: str) -> None:
    since = FIRST
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        history.customers.append(
            {
                "customer_id": customer,
                "segment": draw.choice(["small", "large", None]),
                "acquisition_channel": draw.choice(["web", "partner"]),
                "valid_from": since,
                "is_test": False,
            }
        )
        since = _day(draw, since + timedelta(days=1), 200)
    currency = draw.choice(["EUR", "EUR", "USD"])
    for number in range(draw.choice([1, 1, 2, 3])):
        _item(draw, history, customer, f"{customer}-{number}", currency)


def _item(draw: random.Random, history: History, customer: str, item: str, currency: str) -> None:
    start = _day(draw)
    quantity, unit = draw.randint(1, 9), draw.choice([0, 1, 5, 700, 1999, 12345])
    interval, count = draw.choice(
        [("month", 1), ("month", 3), ("year", 1), ("week", 2), ("day", 10), ("year", 2)]
    )
    plan, status = draw.choice(PLANS), draw.choice(["active", "active", "trialing"])
    end_cause = draw.choice([None, "voluntary", "involuntary", "merge"])
    first_start = start
    for version_no in range(draw.randint(1, 7)):
        end = _day(draw, start + timedelta(days=1), 150) if draw.random() < 0.85 else None
        history.versions.append(
            {
                "subscription_item_id": item,
                "version_no": version_no + 1,
                "subscription_id": item,
                "customer_id": customer,
                "plan_id": plan,
                "amount_minor": quantity * unit,
                "currency": currency,
                "interval": interval,
                "interval_count": count,
                "quantity": quantity,
                "status": status,
                "valid_from": start,
                "valid_to": end,
                "end_cause": end_cause,
                "is_deleted": False,
            }
        )
        if end is None:
            break
        start = end if draw.random() < 0.7 else _day(draw, end, 90)
        status = draw.choice(["active"] * 5 + ["paused", "past_due", "past_due", "unpaid", "canceled"])
        change = draw.random()
        if change < 0.3:
            quantity = draw.randint(1, 9)
        elif change < 0.5:
            unit = draw.choice([0, 1, 5, 700, 1999, 12345])
        elif change < 0.6:
            plan = draw.choice(PLANS)
        elif change < 0.7:
            interval, count = draw.choice([("month", 1), ("year", 1), ("week", 1)])
        elif change < 0.75:
            customer = f"c{draw.randrange(6):02d}"
    for number in range(draw.choice([0, 0, 1, 2])):
        begins = _day(draw, first_start, 300)
        is_share = draw.random() < 0.6
        history.discounts.append(
            {
                "discount_id": f"{item}-d{number}",
                "subscription_item_id": item,
                "percent_ppm": draw.choice([100_000, 333_333, 1_000_000]) if is_share else None,
                "amount_minor": None if is_share else draw.choice([100, 999, 50_000]),
                "currency": currency,
                "duration": draw.choice(["forever", "repeating", "once"]),
                "valid_from": begins,
                "valid_to": _day(draw, begins + timedelta(days=1), 200) if draw.random() < 0.7 else None,
                "order_no": number,
            }
        )
    if draw.random() < 0.4:
        _invoices(draw, history, customer, item, currency, first_start)


def _invoices(
    draw: random.Random, history: History, customer: str, item: str, currency: str, since: date
) -> None:
    for number in range(draw.randint(1, 4)):
        due = _day(draw, since, 300)
        invoice_id, total = f"{item}-i{number}", draw.choice([0, 100, 2500])
        history.invoices.append(
            {
                "invoice_id": invoice_id,
                "customer_id": customer,
                "currency": currency,
                "status": "open",
                "issued_on": due - timedelta(days=draw.choice([0, 14])),
                "due_on": due,
                "net_minor": total,
                "tax_minor": 0,
                "total_minor": total,
            }
        )
        history.lines.append(
            {
                "line_id": f"{invoice_id}-l",
                "invoice_id": invoice_id,
                "subscription_item_id": item,
                "kind": "recurring",
                "net_minor": total,
            }
        )
        for part, share in enumerate(draw.choice([(), (1,), (1,), (2, 2)])):
            history.applications.append(
                {
                    "application_id": f"{invoice_id}-a{part}",
                    "source_kind": "payment",
                    "source_id": "p",
                    "invoice_id": invoice_id,
                    "amount_minor": total // share,
                    "applied_on": due + timedelta(days=draw.choice([0, 10, 30, 31, 32, 100])),
                }
            )


def _parents(draw: random.Random, history: History, customers: int) -> None:
    for number in range(customers - 4, customers - 1):
        since = _day(draw)
        history.parents.append(
            {
                "customer_id": f"c{number:02d}",
                "parent_customer_id": draw.choice(["c00", f"c{customers - 1:02d}"]),
                "valid_from": since,
                "valid_to": draw.choice([None, since + timedelta(days=70)]),
            }
        )


__all__ = ["FAR", "random_history"]
