"""Bills, metered use and moving rates on top of a random history, from a seed of their own."""

from __future__ import annotations

import random
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from plain_metrics import History
from random_history import FIRST, random_history


def random_billing(seed: int, customers: int = 10) -> History:
    draw = random.Random(f"billing {seed}")
    history = random_history(seed, customers)
    firsts: dict[str, dict[str, Any]] = {}
    for version in history.versions:
        firsts.setdefault(version["subscription_item_id"], version)
    for item, first in firsts.items():
        if draw.random() < 0.8:
            _bills(draw, history, item, first)
        if draw.random() < 0.5:
            _use(draw, history, item, first)
    # an item of which only the bills are known
    _bills(draw, history, "forgotten", {**history.versions[0], "valid_from": FIRST + timedelta(days=44)})
    for month in range(20):
        on = date(2022, 12, 31) + timedelta(days=31 * month + draw.choice([0, 9, 30]))
        history.daily_rates.append(("USD", on, Fraction(draw.randint(7000, 12_000), 10_000)))
    return history


def _bills(draw: random.Random, history: History, item: str, first: dict[str, Any]) -> None:
    anchor, number = first["valid_from"], draw.choice([0, 0, -1, 1])
    length = draw.choice([1, 1, 1, 3, 12])
    while (start := _months_later(anchor, number)) < history.as_of:
        end = _months_later(anchor, number + length)
        number += length
        if draw.random() < 0.85:
            once, running = draw.choice([0, 0, 50]), draw.choice([0, 0, 99])
            whole = draw.choice([700, 700, 1999, 36_000])
            name = f"{item}-b{number}"
            _line(history, first, name, item, start, end, whole - once - running, once + running, once)
            if draw.random() < 0.1:
                history.invoices[-1]["voided_on"] = start + timedelta(days=draw.choice([3, 50, 400]))
            if draw.random() < 0.15:
                net = -(whole - once - running)
                _line(history, first, f"{name}-c", item, start, end, net, -once - running, -once, "proration")
                if draw.random() < 0.5:
                    _line(history, first, f"{name}-n", item, start, end, 555, 0, 0)
            if draw.random() < 0.2:
                _line(
                    history, first, f"{name}-p", item, start + timedelta(days=1), end, 12, 0, 0, "proration"
                )
        if draw.random() < 0.1:
            break


def _line(
    history: History,
    first: dict[str, Any],
    name: str,
    item: str,
    start: date,
    end: date,
    net: int,
    discount: int,
    once: int,
    kind: str = "recurring",
) -> None:
    history.invoices.append(
        {
            "invoice_id": name,
            "customer_id": first["customer_id"],
            "currency": first["currency"],
            "status": "open",
            "issued_on": start,
            "due_on": None,
            "net_minor": net,
            "tax_minor": 0,
            "total_minor": net,
        }
    )
    history.lines.append(
        {
            "line_id": name,
            "invoice_id": name,
            "subscription_item_id": item,
            "kind": kind,
            "service_start": start,
            "service_end": end,
            "net_minor": net,
            "discount_minor": discount,
            "once_discount_minor": once,
        }
    )


def _use(draw: random.Random, history: History, item: str, first: dict[str, Any]) -> None:
    on = first["valid_from"]
    while on < history.as_of + timedelta(days=20) and draw.random() < 0.95:
        history.usage.append(
            {
                "subscription_item_id": item,
                "meter": "calls",
                "used_on": on,
                "rated_minor": draw.choice([0, 10, 101, 5000, None]),
            }
        )
        on += timedelta(days=draw.choice([1, 20, 45]))


def _months_later(anchor: date, count: int) -> date:
    number = anchor.year * 12 + anchor.month - 1 + count
    first = date(number // 12, number % 12 + 1, 1)
    last = (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    return first.replace(day=min(anchor.day, last.day))
