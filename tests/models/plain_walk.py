"""A second implementation of the walk from closing MRR to recognised revenue: plain Python, day by day.

Every item is looked at on every day, with the lines that cover it; amounts are exact fractions. What a line
is earned by is a running total by days, rounded half up.
"""

from __future__ import annotations

from calendar import monthrange
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from plain_metrics import FAR, ZERO, Books, History

Row = dict[str, Any]
Steps = dict[tuple[date, str, str], Fraction]
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Line:
    """A line of an invoice with days of service, and the days on which others stand for it."""

    id: str
    invoice: str
    item: str
    currency: str
    is_whole: bool
    issued: date
    start: date
    end: date
    net: int
    discount: int
    once: int
    quantity: int
    is_goods: bool
    replaced: tuple[date, date] | None = None
    cut: Fraction = ZERO

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    @property
    def gross(self) -> int:
        return self.net + self.discount

    @property
    def sign(self) -> int:
        return (self.gross > 0) - (self.gross < 0)

    def covers(self, on: date) -> bool:
        return self.start <= on < self.end

    def is_replaced(self, on: date) -> bool:
        return self.replaced is not None and self.replaced[0] <= on < self.replaced[1]


@dataclass(frozen=True)
class Earning:
    """What an amount is earned over; a credit counts from its issue on."""

    kind: str
    net: int
    start: date
    end: date
    first: date
    currency: str

    def up_to(self, close: date) -> int:
        served = max((min(close + ONE_DAY, self.end) - self.start).days, 0)
        whole = (self.end - self.start).days
        size = (2 * abs(self.net) * served + whole) // (2 * whole)
        return size if self.net > 0 else -size


@dataclass(frozen=True)
class Credit:
    line: str
    start: date
    end: date
    on: date
    net: int
    currency: str


def plain_steps(history: History, notes: list[Row], note_lines: list[Row]) -> Steps:
    """Month, currency and step → amount; what is not there is 0."""
    steps: Steps = defaultdict(Fraction)
    invoices = {row["invoice_id"]: row for row in history.invoices if row["issued_on"] <= history.as_of}
    credits = _credits(history, invoices, notes, note_lines)
    lines = _lines(history, invoices, credits)
    _earned(steps, history, invoices, credits, {line.id for line in lines})
    books = Books(history)
    for key in sorted({(line.item, line.currency) for line in lines} | _billed_in(history)):
        _item(steps, books, key, [line for line in lines if (line.item, line.currency) == key])
    return steps


def _billed_in(history: History) -> set[tuple[str, str]]:
    return {(row["subscription_item_id"], row["currency"]) for row in history.versions}


def _credits(
    history: History, invoices: dict[str, Row], notes: list[Row], note_lines: list[Row]
) -> list[Credit]:
    by_note = {row["credit_note_id"]: row for row in notes if row["issued_on"] <= history.as_of}
    found = []
    for row in note_lines:
        note = by_note.get(row["credit_note_id"])
        if note:
            start, end = _served(row, note["issued_on"])
            found.append(
                Credit(
                    row["invoice_line_id"], start, end, note["issued_on"], row["net_minor"], note["currency"]
                )
            )
    given: dict[str, int] = defaultdict(int)
    for credit in found:
        given[credit.line] += credit.net
    for invoice in invoices.values():
        void = invoice.get("voided_on")
        own = [row for row in history.lines if row["invoice_id"] == invoice["invoice_id"]]
        if not void or void > history.as_of:
            continue
        if sum(given[row["line_id"]] for row in own) < sum(row["net_minor"] for row in own):
            for row in own:
                on = max(void, invoice["issued_on"])
                rest = row["net_minor"] - given[row["line_id"]]
                found.append(Credit(row["line_id"], *_served(row, on), on, rest, invoice["currency"]))
    return found


def _served(row: Row, on: date) -> tuple[date, date]:
    start, end = row.get("service_start"), row.get("service_end")
    return (start, end) if start and end and start < end else (on, on + ONE_DAY)


def _lines(history: History, invoices: dict[str, Row], credits: list[Credit]) -> list[Line]:
    lines = []
    for row in history.lines:
        invoice = invoices.get(row["invoice_id"])
        recurs = row["kind"] in ("recurring", "proration") and row["subscription_item_id"]
        if invoice and recurs and row.get("service_start"):
            lines.append(
                Line(
                    row["line_id"],
                    row["invoice_id"],
                    row["subscription_item_id"],
                    invoice["currency"],
                    row["kind"] == "recurring",
                    invoice["issued_on"],
                    row["service_start"],
                    row["service_end"],
                    row["net_minor"],
                    row["discount_minor"],
                    row["once_discount_minor"],
                    row["quantity"],
                    row["sku"] is not None,
                )
            )
    voids = {key: row["voided_on"] for key, row in invoices.items() if row.get("voided_on")}
    return [
        Line(
            **vars(line)
            | {"replaced": _replaced(line, lines, credits, voids), "cut": _cut(line, lines, credits)}
        )
        for line in lines
    ]


def _replaced(
    line: Line, lines: list[Line], credits: list[Credit], voids: dict[str, date]
) -> tuple[date, date] | None:
    sums: dict[tuple[date, date], list[Credit]] = defaultdict(list)
    for credit in credits:
        if credit.line == line.id:
            sums[credit.start, credit.end].append(credit)
    ranges = []
    for (start, end), parts in sums.items():
        price = Fraction(line.net * (end - start).days, line.days)
        is_whole = line.net and abs(sum(part.net for part in parts) - price) <= 1
        if not is_whole or start < line.start or end > line.end:
            continue
        on = max(part.on for part in parts)
        is_void = line.invoice in voids and voids[line.invoice] <= on
        stand_ins = [
            other
            for other in lines
            if (other.item, other.currency) == (line.item, line.currency)
            and other.invoice != line.invoice
            and other.issued >= on
            and other.start < end
            and other.end > start
            and other.gross > 0
            and (is_void or (other.issued, other.start) == (on, start))
        ]
        if stand_ins:
            first, last = min(other.start for other in stand_ins), max(other.end for other in stand_ins)
            ranges.append((max(start, first), min(end, last)))
    if not ranges:
        return None
    return min(start for start, _ in ranges), max(end for _, end in ranges)


def _cut(line: Line, lines: list[Line], credits: list[Credit]) -> Fraction:
    """What a reversal falls short of the time it gives back, where that is all that credits left."""
    if line.is_whole or line.gross > 0:
        return ZERO
    for given in sorted(lines, key=lambda other: (other.issued, other.id), reverse=True):
        parts = [credit for credit in credits if credit.line == given.id]
        is_given = (
            (given.item, given.currency, given.quantity, given.end)
            == (line.item, line.currency, line.quantity, line.end)
            and given.start <= line.start
            and given.issued <= line.issued
            and given.gross > 0
        )
        left = given.net - sum(part.net for part in parts)
        if is_given and parts and max(part.on for part in parts) <= line.issued and line.net == -left:
            return max(line.net + Fraction(given.net * line.days, given.days), ZERO)
    return ZERO


def _earned(
    steps: Steps, history: History, invoices: dict[str, Row], credits: list[Credit], set_against: set[str]
) -> None:
    """What is earned by usage, once, by recurring lines that no MRR stands beside; and what credits take."""
    earnings = []
    for row in history.lines:
        invoice = invoices.get(row["invoice_id"])
        if not invoice or row["line_id"] in set_against:
            continue
        step = {"usage": "usage", "recurring": "billed_without_mrr", "proration": "billed_without_mrr"}.get(
            row["kind"], "one_off_and_fees"
        )
        start, end = _served(row, invoice["issued_on"])
        first = min(start, invoice["issued_on"])
        earnings.append(Earning(step, row["net_minor"], start, end, first, invoice["currency"]))
    for credit in credits:
        earnings.append(Earning("credits", -credit.net, credit.start, credit.end, credit.on, credit.currency))
    for earning in earnings:
        month, before = earning.first.replace(day=1), 0
        while month <= history.as_of:
            close = min(month.replace(day=monthrange(month.year, month.month)[1]), history.as_of)
            now = earning.up_to(close)
            steps[month, earning.currency, earning.kind] += now - before
            month, before = (month + timedelta(days=32)).replace(day=1), now


def _item(steps: Steps, books: Books, key: tuple[str, str], lines: list[Line]) -> None:
    item, currency = key
    history = books.history
    versions = [
        row
        for row in history.versions
        if (row["subscription_item_id"], row["currency"]) == key and row["valid_from"] <= history.as_of
    ]
    begun = min((row["valid_from"] for row in versions), default=FAR)
    billed_to = max((line.end for line in lines), default=date.min)
    billed_on = max((line.issued for line in lines), default=date.min)
    on = min([begun, *(line.start for line in lines)])
    while on <= history.as_of:
        month, month_days = on.replace(day=1), monthrange(on.year, on.month)[1]
        place, mrr = books.items.get(item, {}).get(on, (None, ZERO))
        if place is None or place.currency != currency:
            mrr = ZERO
        live = [line for line in lines if line.covers(on) and not line.is_replaced(on)]
        again = [line for line in lines if line.covers(on) and line.is_replaced(on)]

        def add(step: str, amount: Fraction, month: date = month) -> None:
            steps[month, currency, step] += amount

        add("billed_again", sum((Fraction(line.net, line.days) for line in again), ZERO))
        add("timing", mrr / month_days)
        if on == min(month.replace(day=month_days), history.as_of):
            add("timing", -mrr)
        version = next((row for row in versions if row["valid_from"] <= on < (row["valid_to"] or FAR)), None)
        if version and mrr and sum(line.sign for line in live) > 0:
            price, price_on, billed_mrr = version, on, mrr
            if version["valid_from"] >= billed_on:
                price = version_billed(versions, live, on)
            if price is not version:
                price_on = min(on, price["valid_to"] - ONE_DAY)
                billed_mrr = books.monthly(price, price_on)
            _billed_day(add, history, price, price_on, begun, lines, live, on)
            add("calendar", -billed_mrr / month_days)
            add("not_yet_billed", -(mrr - billed_mrr) / month_days)
        else:
            add("billed_without_mrr", sum((Fraction(line.net, line.days) for line in live), ZERO))
            is_passed_over = on < billed_to and version and version["valid_from"] <= billed_on
            add("not_billed" if is_passed_over else "not_yet_billed", -mrr / month_days)
        on += ONE_DAY


def version_billed(versions: list[Row], live: list[Line], on: date) -> Row:
    """The version that the newest lines standing on a day were made for, of those known at their issue."""

    def age(one: Line) -> tuple[date, date, bool, int]:
        return one.issued, one.start, not one.is_whole, -one.days

    line = max((one for one in live if one.sign > 0), key=age)
    gross = sum(one.gross for one in live if one.sign > 0 and age(one) == age(line))
    known = [
        row
        for row in versions
        if row["valid_from"] <= on
        and row["valid_from"] < (row["valid_to"] or FAR)
        and (row["valid_to"] or FAR) >= line.issued
    ]
    known.sort(key=lambda row: row["valid_from"], reverse=True)
    if not line.is_whole:
        return next((row for row in known if row["valid_from"] <= line.start), known[0])

    def unlike(row: Row) -> tuple[bool, int]:
        return not _is_period_of(line.start, line.end, row), abs(gross - row["amount_minor"])

    return min(known, key=unlike)


def _is_period_of(start: date, end: date, version: Row) -> bool:
    size = {"day": 1, "week": 7, "month": 1, "year": 12}[version["interval"]] * version["interval_count"]
    if version["interval"] in ("day", "week"):
        return (end - start).days == size
    return 12 * (end.year - start.year) + end.month - start.month == size


def _billed_day(
    add: Any,
    history: History,
    version: Row,
    price_on: date,
    begun: date,
    lines: list[Line],
    live: list[Line],
    on: date,
) -> None:
    days = _period_days(version, begun, lines, live, on)
    listed = Fraction(version["amount_minor"], days)
    price = _after_discounts(history, version, price_on) / days
    add("calendar", price)
    once = sum((Fraction(line.once, line.days) for line in live), ZERO)
    discount = sum((Fraction(line.discount, line.days) for line in live), ZERO)
    add("once_discounts", -once)
    add("other_discounts", (listed - price) - (discount - once))
    if any(line.is_goods for line in live):
        units = sum(
            (
                Fraction(line.sign * line.quantity, line.days if line.is_whole else days)
                for line in live
                if line.is_goods
            ),
            ZERO,
        )
        delivered = units * version["amount_minor"] / version["quantity"]
        add("goods_units", delivered - listed)
        add("goods_prices", sum((Fraction(line.gross, line.days) for line in live), ZERO) - delivered)
    else:
        add("cut_reversals", sum((line.cut / line.days for line in live), ZERO))


def _after_discounts(history: History, version: Row, on: date) -> Fraction:
    amount = Fraction(version["amount_minor"])
    running = [
        row
        for row in history.discounts
        if row["subscription_item_id"] == version["subscription_item_id"]
        and row["duration"] != "once"
        and row["valid_from"] <= on < (row["valid_to"] or FAR)
    ]
    for row in sorted(running, key=lambda row: (row["order_no"], row["discount_id"])):
        amount -= amount * Fraction(row["percent_ppm"] or 0, 1_000_000) + (row["amount_minor"] or 0)
        amount = max(amount, ZERO)
    return amount


def _period_days(version: Row, begun: date, lines: list[Line], live: list[Line], on: date) -> int:
    """Days of the billing period: the whole line's own, or that in which the part begun last lies."""
    whole: dict[date, date] = {}
    for line in lines:
        if line.is_whole:
            whole[line.start] = max(line.end, whole.get(line.start, line.end))
    newest = max((start for start in whole if start <= on), default=None)
    if all(line.is_whole for line in live) and newest and whole[newest] > on:
        return (whole[newest] - newest).days
    part = max((line.start for line in lines if not line.is_whole and line.start <= on), default=begun)
    size = {"day": 1, "week": 7, "month": 1, "year": 12}[version["interval"]] * version["interval_count"]
    is_by_month = version["interval"] in ("month", "year")

    def length(start: date) -> int:
        end = whole[start]
        by_month = 12 * (end.year - start.year) + end.month - start.month
        return by_month if is_by_month else (end - start).days

    alike = sorted(start for start in whole if length(start) == size)
    earlier = max((start for start in alike if start <= part), default=None)
    later = min((start for start in alike if start > part), default=None)
    if earlier and whole[earlier] > part:
        return (whole[earlier] - earlier).days
    if not is_by_month:
        return size
    if later and (not earlier or part - whole[earlier] > later - part):
        boundary = later
    else:
        boundary = whole[earlier] if earlier else begun
    step = 0
    while _months_later(boundary, step * size) > part:
        step -= 1
    while _months_later(boundary, (step + 1) * size) <= part:
        step += 1
    return (_months_later(boundary, (step + 1) * size) - _months_later(boundary, step * size)).days


def _months_later(on: date, months: int) -> date:
    year, month = divmod(12 * on.year + on.month - 1 + months, 12)
    return date(year, month + 1, min(on.day, monthrange(year, month + 1)[1]))
