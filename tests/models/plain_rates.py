"""The second implementation where rates move: movements, cells of a month, retention."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from plain_metrics import ZERO, Books, Place, Reckoning, category

DAY = timedelta(days=1)
MOVEMENTS = ("new", "expansion", "contraction", "churn", "reactivation")
Cell = tuple[str, str, str, str]


@dataclass(frozen=True)
class Part:
    """What an item does on a day, in its own currency, where it stands then."""

    on: date
    item: str
    place: Place
    delta: Fraction
    of_item: str
    """What it is called where every item is judged on its own."""


def daily_rate(books: Books, currency: str, on: date) -> Fraction:
    known = [
        (since, rate) for name, since, rate in books.history.daily_rates if name == currency and since <= on
    ]
    return max(known)[1] if known else books.history.rates.get(currency, Fraction(1))


def booked_rate(books: Books, currency: str, on: date) -> Fraction:
    """The rate that a movement of the day stands at."""
    setting = books.history.settings.get("fx_movements", "opening_rate")
    if setting == "constant":
        return books.history.rates.get(currency, Fraction(1))
    return daily_rate(books, currency, on if setting == "daily_rate" else on.replace(day=1) - DAY)


def closing_rate(books: Books, currency: str, on: date) -> Fraction:
    if books.history.settings.get("fx_movements") == "constant":
        return books.history.rates.get(currency, Fraction(1))
    return daily_rate(books, currency, on)


def parts(books: Books) -> list[Part]:
    found = []
    for item, days in books.items.items():
        paid: set[str] = set()  # customers that the item has brought MRR to
        changes = sorted({*days, *(on + DAY for on in days)})
        for on in changes:
            if on > books.history.as_of:
                break
            before, after = days.get(on - DAY), days.get(on)
            goes_on = bool(before and after and books._is_same(before[0], after[0]))
            sides = [(before, after)] if goes_on else [(before, None), (None, after)]
            for earlier, later in sides:
                was, now = (earlier[1] if earlier else ZERO), (later[1] if later else ZERO)
                if was == now:
                    continue
                place = (later or earlier or (None,))[0]
                assert place is not None
                held = (goes_on and on - DAY in books.kept[item], goes_on and on in books.kept[item])
                name = category(was, now, place.customer in paid, *held)
                found.append(Part(on, item, place, now - was, name))
            if after and after[1]:
                paid.add(after[0].customer)
    return found


def is_by_item(books: Books, name: str) -> bool:
    setting = books.history.settings.get("second_subscription")
    return setting == "new_per_item" and name in ("expansion", "contraction", "none")


def booked_days(books: Books, reckoning: Reckoning) -> dict[tuple[str, date, str], Fraction]:
    """(customer, day, category) → what moved, at its rate."""
    found: dict[tuple[str, date, str], Fraction] = defaultdict(Fraction)
    for part in parts(books):
        name = reckoning.names.get((part.place.customer, part.on), "none")
        name = part.of_item if is_by_item(books, name) else name
        if name in MOVEMENTS:
            rate = booked_rate(books, part.place.currency, part.on)
            found[part.place.customer, part.on, name] += part.delta * rate
    return {key: amount for key, amount in found.items() if amount}


def month_cells(
    books: Books, reckoning: Reckoning, closings: list[date]
) -> dict[tuple[date, Cell, str], tuple[Fraction, Fraction]]:
    """(month, cell, category) → what moved, in the cell's own currency and at its rates."""
    found: dict[tuple[date, Cell, str], list[Fraction]] = defaultdict(lambda: [ZERO, ZERO])
    closed = {on.replace(day=1): on for on in closings}
    for part in parts(books):
        month, customer, place = part.on.replace(day=1), part.place.customer, part.place
        day_name = reckoning.names.get((customer, part.on), "none")
        if books.history.settings.get("month_netting") == "gross_events":
            name = part.of_item if is_by_item(books, day_name) else day_name
        else:
            name = reckoning.months.get((customer, month), (ZERO, ZERO, ZERO, "none"))[3]
            if is_by_item(books, name):
                name = item_month(books, part.item, customer, closed[month])
        if name in MOVEMENTS:
            cell = (place.currency, place.segment, place.plan, place.channel)
            amounts = found[month, cell, name]
            amounts[0] += part.delta
            amounts[1] += part.delta * booked_rate(books, place.currency, part.on)
    return {key: (native, booked) for key, (native, booked) in found.items() if native or booked}


def item_month(books: Books, item: str, customer: str, closing: date) -> str:
    """What an item does to a customer within a month: its opening, with what came over, against its close."""
    days, first = books.items[item], closing.replace(day=1)

    def worth(on: date) -> Fraction:
        return days[on][1] if on in days and days[on][0].customer == customer else ZERO

    came = ZERO
    for number in range((closing - first).days + 1):
        on = first + DAY * number
        before, after = days.get(on - DAY), days.get(on)
        if before and after and books._is_same(before[0], after[0]):
            came += before[1] * (after[0].customer == customer)
            came -= before[1] * (before[0].customer == customer)
    had_before = any(
        on < first and place.customer == customer and value for on, (place, value) in days.items()
    )
    held = (first - DAY in books.kept[item], closing in books.kept[item])
    return category(worth(first - DAY) + came, worth(closing), had_before, *held)


def booked_closes(books: Books, closings: list[date]) -> dict[date, dict[str, Fraction]]:
    """Month → customer → MRR at the rate of the closing day."""
    found: dict[date, dict[str, Fraction]] = {}
    for on in closings:
        balances: dict[str, Fraction] = defaultdict(Fraction)
        for days in books.items.values():
            if on in days and days[on][1]:
                place, value = days[on]
                balances[place.customer] += value * closing_rate(books, place.currency, on)
        found[on.replace(day=1)] = dict(balances)
    return found
