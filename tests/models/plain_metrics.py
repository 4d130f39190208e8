"""A second implementation of MRR, movements, retention and cohorts: plain Python, day by day.

Written from the rules alone, in another way than the models: every item is valued on every day, nothing is
summed from changes. Money is exact fractions of minor units, rounded once to six places as an item is valued.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from plain_sources import version_days

ZERO = Fraction(0)
FAR = date(9999, 12, 31)


@dataclass
class History:
    """Raw rows of a company, as dictionaries with the columns of the raw tables."""

    as_of: date
    versions: list[dict[str, Any]] = field(default_factory=list)
    discounts: list[dict[str, Any]] = field(default_factory=list)
    customers: list[dict[str, Any]] = field(default_factory=list)
    parents: list[dict[str, Any]] = field(default_factory=list)
    invoices: list[dict[str, Any]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    applications: list[dict[str, Any]] = field(default_factory=list)
    usage: list[dict[str, Any]] = field(default_factory=list)
    rates: dict[str, Fraction] = field(default_factory=dict)
    daily_rates: list[tuple[str, date, Fraction]] = field(default_factory=list)
    """Rates from a day on; before the first of a currency that of `rates` holds."""
    grace_days: int = 30
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where an item's MRR stands on a day."""

    customer: str
    billed: str
    segment: str
    plan: str
    channel: str
    currency: str


class Books:
    """Balances of a history on every day from the first to the as-of day."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.by_item: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for version in history.versions:
            self.by_item[version["subscription_item_id"]].append(version)
        chosen = version_days(history)
        first = min(min(days) for days in chosen.values() if days)
        self.days = [first + timedelta(days=step) for step in range((history.as_of - first).days + 1)]
        due = {row["invoice_id"] for row in history.invoices if row["due_on"] is not None}
        self.dunned = {row["subscription_item_id"] for row in history.lines if row["invoice_id"] in due}
        self.unpaid = self._unpaid()
        # item → the days on which it pays nothing, yet who has paid remains a customer
        self.kept: dict[str, set[date]] = defaultdict(set)
        # item → day → (place, value); a day without service has no entry
        self.items: dict[str, dict[date, tuple[Place, Fraction]]] = {
            item: self._days_of(days) for item, days in chosen.items()
        }

    def _days_of(self, versions: dict[date, dict[str, Any]]) -> dict[date, tuple[Place, Fraction]]:
        found = {}
        for on, version in versions.items():
            value = self._value(version, on)
            found[on] = (self._place(version, on), value)
            if not value and self._keeps(version, on):
                self.kept[version["subscription_item_id"]].add(on)
        return found

    def _place(self, version: dict[str, Any], on: date) -> Place:
        billed = version["customer_id"]
        unit = billed
        for parent in self.history.parents:
            if parent["customer_id"] == billed and parent["valid_from"] <= on < (parent["valid_to"] or FAR):
                unit = parent["parent_customer_id"]
        rows = sorted(
            (row for row in self.history.customers if row["customer_id"] == unit),
            key=lambda row: row["valid_from"],
        )
        known = [row for row in rows if row["valid_from"] <= on] or rows[:1]
        row = known[-1] if known else {}
        return Place(
            unit,
            billed,
            row.get("segment") or "unknown",
            version["plan_id"] or "unknown",
            row.get("acquisition_channel") or "unknown",
            version["currency"],
        )

    def _value(self, version: dict[str, Any], on: date) -> Fraction:
        if version["status"] not in ("active", "past_due", "renewal_pending"):
            return ZERO
        if self._is_late(version["subscription_item_id"], on):
            return ZERO
        return self.monthly(version, on)

    def _keeps(self, version: dict[str, Any], on: date) -> bool:
        if version["status"] == "paused":
            is_kept = self.history.settings.get("pause") == "pause_contraction"
            return is_kept and self.monthly(version, on) > 0
        if version["status"] not in ("active", "past_due", "renewal_pending"):
            return False
        is_late = self._is_late(version["subscription_item_id"], on)
        return self.history.settings.get("zero_mrr") == "keep_active" and not is_late

    def monthly(self, version: dict[str, Any], on: date) -> Fraction:
        amount = Fraction(version["amount_minor"] - version.get("taken_minor", 0))
        running = [
            row
            for row in self.history.discounts
            if row["subscription_item_id"] == version["subscription_item_id"]
            and "taken_minor" not in version
            and row["duration"] != "once"
            and row["valid_from"] <= on < (row["valid_to"] or FAR)
        ]
        for row in sorted(running, key=lambda row: (row["order_no"], row["discount_id"])):
            amount -= amount * Fraction(row["percent_ppm"] or 0, 1_000_000) + (row["amount_minor"] or 0)
            amount = max(amount, ZERO)
        months = {
            "day": Fraction(12, 365),
            "week": Fraction(12, 52),
            "month": Fraction(1),
            "year": Fraction(12),
        }
        monthly = amount / (months[version["interval"]] * version["interval_count"])
        rounded = Fraction((monthly * 1_000_000 * 2 + 1).__floor__() // 2, 1_000_000)
        return rounded if rounded >= 1 else ZERO

    def _unpaid(self) -> dict[str, list[tuple[date, date]]]:
        """Item → stretches of days, from the due day on, on which an invoice for it was unpaid."""
        found = defaultdict(list)
        for invoice in self.history.invoices:
            owed, paid_on = invoice["total_minor"], FAR
            if owed <= 0 or invoice["due_on"] is None:
                continue
            for row in sorted(self.history.applications, key=lambda row: row["applied_on"]):
                if row["invoice_id"] == invoice["invoice_id"] and row["applied_on"] <= self.history.as_of:
                    owed -= row["amount_minor"]
                    if owed <= 0:
                        paid_on = row["applied_on"]
                        break
            for line in self.history.lines:
                if line["invoice_id"] == invoice["invoice_id"]:
                    found[line["subscription_item_id"]].append((invoice["due_on"], paid_on))
        return found

    def _is_late(self, item: str, on: date) -> bool:
        item = item.removesuffix("/usage")
        is_restated = self.history.settings.get("past_due_grace_days") == "restate"
        grace = 30 if is_restated else self.history.grace_days

        def is_out(since: date, until: date) -> bool:
            """After the grace period; restated, from the first day on once it is over."""
            is_over = since + timedelta(days=grace) < min(until - timedelta(days=1), self.history.as_of)
            return is_over and since + timedelta(days=0 if is_restated else grace) < on < until

        if item in self.dunned:
            return any(is_out(due, paid) for due, paid in self.unpaid[item])
        runs: list[tuple[date, date]] = []
        for version in sorted(self.by_item[item], key=lambda row: row["valid_from"]):
            if version["status"] != "past_due":
                continue
            since, until = version["valid_from"], version["valid_to"] or FAR
            if runs and runs[-1][1] == since:
                since = runs.pop()[0]
            runs.append((since, until))
        return any(is_out(since, until) for since, until in runs)

    # Balances at the constant rate.

    def constant(self, place: Place, value: Fraction) -> Fraction:
        return value * self.history.rates.get(place.currency, Fraction(1))

    def balances(self, on: date) -> dict[str, Fraction]:
        """Customer → MRR at the close of the day, customers without MRR left out."""
        found: dict[str, Fraction] = defaultdict(Fraction)
        for days in self.items.values():
            if on in days and days[on][1]:
                place, value = days[on]
                found[place.customer] += self.constant(place, value)
        return dict(found)

    def transfers(self, on: date) -> dict[str, Fraction]:
        """Customer → MRR that came from (positive) or went to another customer on this day."""
        found: dict[str, Fraction] = defaultdict(Fraction)
        for days in self.items.values():
            before, after = days.get(on - timedelta(days=1)), days.get(on)
            if not (before and after and before[1]):
                continue
            is_same_item = (before[0].billed, before[0].currency) == (after[0].billed, after[0].currency)
            if is_same_item and before[0].customer != after[0].customer:
                found[before[0].customer] -= self.constant(*before)
                found[after[0].customer] += self.constant(*before)
        return dict(found)

    def keepers(self, on: date) -> set[str]:
        """Customers with an item that keeps them at MRR 0."""
        return {self.items[item][on][0].customer for item, days in self.kept.items() if on in days}

    def keepers_after_transfers(self, on: date) -> set[str]:
        """Those of the day before, without the items that another customer takes over on this day."""
        found = set()
        for item, days in self.kept.items():
            if on - timedelta(days=1) not in days:
                continue
            before, after = self.items[item][on - timedelta(days=1)][0], self.items[item].get(on)
            is_same_item = after is not None and (before.billed, before.currency) == (
                after[0].billed,
                after[0].currency,
            )
            if not (after and is_same_item and after[0].customer != before.customer):
                found.add(before.customer)
        return found

    def movements_by_item(self, on: date, customer: str) -> dict[str, Fraction]:
        """Category → change of the day, of a customer whose every item is judged on its own."""
        found: dict[str, Fraction] = defaultdict(Fraction)
        for item, days in self.items.items():
            yesterday, today = days.get(on - timedelta(days=1)), days.get(on)
            keeps_on = yesterday and today and self._is_same(yesterday[0], today[0])
            was = self.constant(*yesterday) if yesterday else ZERO
            now = self.constant(*today) if today else ZERO
            pairs = (
                [(yesterday, was, today, now)]
                if keeps_on
                else [(yesterday, was, None, ZERO), (None, ZERO, today, now)]
            )
            for before, opening, after, closing in pairs:
                place = after or before
                if place and place[0].customer == customer and opening != closing:
                    name = category(
                        opening,
                        closing,
                        self._had_ended(item, customer, on),
                        keeps_on is True and on - timedelta(days=1) in self.kept[item],
                        keeps_on is True and on in self.kept[item],
                    )
                    found[name] += closing - opening
        return {name: amount for name, amount in found.items() if amount}

    def _is_same(self, before: Place, after: Place) -> bool:
        return (before.billed, before.currency) == (after.billed, after.currency)

    def _had_ended(self, item: str, customer: str, on: date) -> bool:
        """Whether the customer's item had MRR on an earlier day, and then none."""
        days = self.items[item]
        before = sorted(
            day for day in days if day < on and days[day][0].customer == customer and days[day][1]
        )
        return bool(before)

    def cells(self, on: date) -> dict[tuple[str, str, str, str], Fraction]:
        """(currency, segment, plan, channel) → native MRR at the close of the day."""
        found: dict[tuple[str, str, str, str], Fraction] = defaultdict(Fraction)
        for days in self.items.values():
            if on in days and days[on][1]:
                place, value = days[on]
                found[place.currency, place.segment, place.plan, place.channel] += value
        return dict(found)


def category(
    opening: Fraction,
    closing: Fraction,
    had_before: bool,
    opening_held: bool = False,
    closing_held: bool = False,
) -> str:
    was_there, is_there = opening > 0 or opening_held, closing > 0 or closing_held
    if opening == closing and was_there == is_there:
        return "none"
    if not was_there:
        return "reactivation" if had_before else "new"
    if not is_there:
        return "churn"
    return "expansion" if closing > opening else "contraction"


def month_ends(first: date, as_of: date) -> list[date]:
    """The closing day of every month up to the as-of month; of the running one the as-of day."""
    found, on = [], first.replace(day=1)
    while on <= as_of:
        following = (on + timedelta(days=32)).replace(day=1)
        found.append(min(following - timedelta(days=1), as_of))
        on = following
    return found


@dataclass
class Reckoning:
    """What the models should say, walked through day by day."""

    days: dict[tuple[str, date, str], Fraction]
    months: dict[tuple[str, date], tuple[Fraction, Fraction, Fraction, str]]
    closes: dict[date, dict[str, Fraction]]
    there: dict[date, set[str]]
    """Day → customers at its close: those with MRR and those held without."""
    there_at_close: dict[date, set[str]]
    names: dict[tuple[str, date], str]
    """(customer, day) → what the customer as a whole does, where anything changes."""


def reckon(books: Books) -> Reckoning:
    """Walk through all days; a month closes on its last day, the running one on the as-of day."""
    ends = set(month_ends(books.days[0], books.history.as_of))
    paid: set[str] = set()
    paid_before_month: set[str] = set()
    before: dict[str, Fraction] = {}
    opening: dict[str, Fraction] = {}
    moved: dict[str, Fraction] = defaultdict(Fraction)
    held: set[str] = set()
    opening_held: set[str] = set()
    remained: set[str] = set()
    emptied: set[str] = set()
    days, months, closes, there, there_at_close = {}, {}, {}, {}, {}
    names: dict[tuple[str, date], str] = {}
    for on in books.days:
        now, transfers = books.balances(on), books.transfers(on)
        keepers, staying = books.keepers(on), books.keepers_after_transfers(on)
        held_before, held = held, set()
        for customer in sorted({*before, *now, *transfers, *held_before}):
            start = before.get(customer, ZERO) + transfers.get(customer, ZERO)
            end = now.get(customer, ZERO)
            if not end and customer in keepers and (start or customer in held_before):
                held.add(customer)
            was_there = bool(before.get(customer)) or customer in held_before
            start_held = was_there and customer in staying
            name = category(start, end, customer in paid, start_held, customer in held)
            names[customer, on] = name
            is_by_item = books.history.settings.get("second_subscription") == "new_per_item"
            if is_by_item and name in ("expansion", "contraction", "none"):
                for part, amount in books.movements_by_item(on, customer).items():
                    days[customer, on, part] = amount
            elif end != start:
                days[customer, on, name] = end - start
            if start_held and (start != before.get(customer, ZERO) or start != end or not end):
                remained.add(customer)
            if was_there and not start and not start_held:
                emptied.add(customer)
        for customer, amount in transfers.items():
            moved[customer] += amount
        paid |= {customer for customer, amount in now.items() if amount}
        before = now
        if on in ends:
            month = on.replace(day=1)
            for customer in sorted({*opening, *now, *moved, *opening_held, *held}):
                start, end, shift = (
                    opening.get(customer, ZERO),
                    now.get(customer, ZERO),
                    moved.get(customer, ZERO),
                )
                is_there = bool(end) or customer in held
                if customer in opening_held:
                    is_held = is_there or customer not in emptied
                else:
                    is_held = bool(start) and customer in remained and customer not in emptied
                name = category(start + shift, end, customer in paid_before_month, is_held, customer in held)
                months[customer, month] = (start, end, shift, name)
            closes[month] = now
            there_at_close[month] = {*now, *held}
            opening, paid_before_month, moved = now, set(paid), defaultdict(Fraction)
            opening_held, remained, emptied = set(held), set(), set()
        there[on] = {*now, *held}
    return Reckoning(days, months, closes, there, there_at_close, names)


def earlier(month: date, count: int) -> date:
    number = month.year * 12 + month.month - 1 - count
    return date(number // 12, number % 12 + 1, 1)


def retention(
    closes: dict[date, dict[str, Fraction]], there: dict[date, set[str]], month: date, window: int
) -> tuple[Fraction, Fraction, Fraction, int, int]:
    """Σ S, Σ E, Σ least(S, E), customers at the opening (payers and those held at 0), customers lost."""
    starts, ends = closes.get(earlier(month, window), {}), closes[month]
    customers = there.get(earlier(month, window), set())
    return (
        sum(starts.values(), ZERO),
        sum((ends.get(customer, ZERO) for customer in customers), ZERO),
        sum((min(amount, ends.get(customer, ZERO)) for customer, amount in starts.items()), ZERO),
        len(customers),
        len(customers - there[month]),
    )


def cohorts(
    closes: dict[date, dict[str, Fraction]],
) -> dict[tuple[date, int], tuple[int, int, Fraction, Fraction, Fraction]]:
    """(first paying month, age) → customers, those paying, Σ MRR at 0, at the age, and least of both."""
    months = sorted(closes)
    first: dict[str, date] = {}
    for month in months:
        for customer in closes[month]:
            first.setdefault(customer, month)
    found = {}
    for cohort in months:
        members = [customer for customer, month in first.items() if month == cohort]
        for age, month in enumerate(month for month in months if month >= cohort):
            if members:
                starts = [closes[cohort][customer] for customer in members]
                nows = [closes[month].get(customer, ZERO) for customer in members]
                found[cohort, age] = (
                    len(members),
                    sum(1 for amount in nows if amount),
                    sum(starts, ZERO),
                    sum(nows, ZERO),
                    sum((min(pair) for pair in zip(starts, nows, strict=True)), ZERO),
                )
    return found
