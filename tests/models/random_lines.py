"""Invoice lines for a random company: whole periods, parts, goods, discounts, reversals, credits and voids.

They need not be right, only of every kind: what they are set against is worked out twice.
"""

from __future__ import annotations

import random
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from plain_metrics import History

Row = dict[str, Any]


@dataclass
class Billed:
    """A history with lines, and the credit notes beside it."""

    history: History
    notes: list[Row] = field(default_factory=list)
    note_lines: list[Row] = field(default_factory=list)


def billed_at_random(history: History, seed: int) -> Billed:
    draw = random.Random(1000 + seed)
    company = Billed(history)
    for version in sorted(history.versions, key=lambda row: (row["subscription_item_id"], row["valid_from"])):
        if version["status"] != "canceled" and draw.random() < 0.9:
            _bill(draw, company, version)
    return company


def _bill(draw: random.Random, company: Billed, version: Row) -> None:
    end = min(version["valid_to"] or date.max, company.history.as_of + timedelta(days=40))
    start, number = version["valid_from"], 0
    first_end = start + timedelta(days=draw.randint(3, 20)) if draw.random() < 0.3 else None
    anchor = first_end or start
    if first_end and first_end < end:
        _line(draw, company, version, start, first_end, "proration", 0.4)
    while (period_start := _boundary(version, anchor, number)) < end:
        period_end = _boundary(version, anchor, number + 1)
        number += 1
        if draw.random() < 0.15:
            continue
        if period_end <= end:
            line = _line(draw, company, version, period_start, period_end, "recurring", 1)
            if draw.random() < 0.2 and (period_end - period_start).days > 4:
                _change(draw, company, version, line)
        else:
            _line(draw, company, version, period_start, end, "proration", 0.7)


def _boundary(version: Row, anchor: date, number: int) -> date:
    size = version["interval_count"] * number
    if version["interval"] in ("day", "week"):
        return anchor + timedelta(days=size * (7 if version["interval"] == "week" else 1))
    size *= 12 if version["interval"] == "year" else 1
    year, month = divmod(12 * anchor.year + anchor.month - 1 + size, 12)
    return date(year, month + 1, min(anchor.day, monthrange(year, month + 1)[1]))


def _line(
    draw: random.Random, company: Billed, version: Row, start: date, end: date, kind: str, share: float,
    **rest: Any,
) -> Row:  # fmt: skip
    """A line on an invoice of its own, paid when it is due; sometimes a credit or a void follows."""
    history = company.history
    issued = rest.pop("issued", None) or draw.choice([start, start, end, start + timedelta(days=4)])
    gross = rest.pop("gross", None)
    if gross is None:
        gross = int(version["amount_minor"] * share) + draw.choice([0, 0, 0, 1, -1, 50])
    discount = gross // 10 if draw.random() < 0.2 else 0
    is_goods = draw.random() < 0.15
    name = f"{version['subscription_item_id']}-l{len(history.lines)}"
    void = issued + timedelta(days=draw.randint(0, 9)) if draw.random() < 0.06 else None
    net = gross - discount
    history.invoices.append(
        {
            "invoice_id": name, "customer_id": version["customer_id"], "currency": version["currency"],
            "status": "paid", "issued_on": issued, "due_on": issued, "voided_on": void,
            "net_minor": net, "tax_minor": 0, "total_minor": net,
        }
    )  # fmt: skip
    if net > 0:
        history.applications.append(
            {
                "application_id": name, "source_kind": "payment", "source_id": "p", "invoice_id": name,
                "amount_minor": net, "applied_on": issued,
            }
        )  # fmt: skip
    line = {
        "line_id": name, "invoice_id": name, "subscription_item_id": version["subscription_item_id"],
        "kind": kind, "sku": "box" if is_goods else None,
        "quantity": draw.randint(1, 9) if is_goods else version["quantity"], "service_start": start,
        "service_end": end, "net_minor": net, "discount_minor": discount,
        "once_discount_minor": discount if draw.random() < 0.3 else 0, "tax_minor": 0, **rest,
    }  # fmt: skip
    history.lines.append(line)
    if void and draw.random() < 0.8:
        _line(
            draw, company, version, start, end, kind, share, issued=void + timedelta(days=draw.randint(0, 3))
        )
    if net > 0 and not void and draw.random() < 0.1:
        _credit(company, line, draw.choice([net, net // 3]), issued + timedelta(days=3), start)
    if draw.random() < 0.2:
        _line(draw, company, version, start, end, draw.choice(["usage", "one_time"]), 0.3)
    return line


def _change(draw: random.Random, company: Billed, version: Row, line: Row) -> None:
    """New terms within a period: the old line is given back by another one or by a note."""
    start, end = line["service_start"], line["service_end"]
    on = start + timedelta(days=draw.randint(1, (end - start).days - 2))
    issued = max(on, _invoice(company, line)["issued_on"])
    back = line["net_minor"] * (end - on).days // (end - start).days
    _line(draw, company, version, on, end, "proration", 0.5, issued=issued)
    if draw.random() < 0.3:
        _credit(company, line, back, issued, on)
        return
    if draw.random() < 0.6:
        _credit(company, line, line["net_minor"] * draw.choice([2, 3]) // 3, issued, start)
    notes = [row for row in company.note_lines if row["invoice_line_id"] == line["line_id"]]
    back = min(back, max(line["net_minor"] - sum(row["net_minor"] for row in notes), 0))
    _line(
        draw, company, version, on, end, "proration", 0, issued=issued, gross=-back,
        quantity=line["quantity"], discount_minor=0, once_discount_minor=0, net_minor=-back,
    )  # fmt: skip


def _invoice(company: Billed, line: Row) -> Row:
    rows = reversed(company.history.invoices)
    return next(row for row in rows if row["invoice_id"] == line["invoice_id"])


def _credit(company: Billed, line: Row, net: int, on: date, start: date) -> None:
    name = f"n{len(company.notes)}"
    invoice = _invoice(company, line)
    company.notes.append(
        {
            "credit_note_id": name, "invoice_id": line["invoice_id"], "customer_id": invoice["customer_id"],
            "issued_on": on, "currency": invoice["currency"], "net_minor": net, "tax_minor": 0,
            "total_minor": net,
        }
    )  # fmt: skip
    company.note_lines.append(
        {
            "line_id": f"{name}-1", "credit_note_id": name, "invoice_line_id": line["line_id"],
            "service_start": start, "service_end": line["service_end"], "net_minor": net, "tax_minor": 0,
        }
    )  # fmt: skip
