"""A second implementation of renewals, trials, ends of service, subscription churn and survival.

Plain Python from the rules alone: day by day and life by life.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from math import sqrt
from typing import Any

from plain_metrics import FAR, ZERO, Books, Place, month_ends

DAY = timedelta(days=1)
LATE_DAYS, TRIAL_DAYS = 30, 14


def months_apart(first: date, second: date) -> int:
    return (second.year - first.year) * 12 + second.month - first.month


@dataclass(frozen=True)
class Item:
    """What an item is on each day: its version, and what it pays."""

    books: Books
    item_id: str

    @property
    def versions(self) -> list[dict[str, Any]]:
        return sorted(self.books.by_item[self.item_id], key=lambda version: version["valid_from"])

    def on(self, day: date) -> dict[str, Any] | None:
        for version in self.versions:
            if version["valid_from"] <= day < (version["valid_to"] or FAR):
                return version
        return None

    def served(self, day: date) -> dict[str, Any] | None:
        version = self.on(day)
        return version if version and version["status"] != "canceled" else None

    def pays(self, day: date) -> Fraction:
        return self.books.items.get(self.item_id, {}).get(day, (None, ZERO))[1]

    def place(self, day: date) -> Place:
        version = self.on(day)
        assert version is not None
        return self.books._place(version, day)


def items(books: Books) -> list[Item]:
    return [Item(books, item_id) for item_id in books.by_item]


def renewals(books: Books) -> dict[tuple[str, date], dict[str, Any]]:
    as_of, found = books.history.as_of, {}
    for item in items(books):
        ends = {version.get("term_end") for version in item.versions if version["status"] != "canceled"} - {
            None
        }
        for due_on in ends:
            last = item.served(due_on - DAY)
            if last is None:
                continue
            days = [due_on + step * DAY for step in range(LATE_DAYS + 1)]
            again = [
                on for on in days if (version := item.served(on)) and version["status"] != "renewal_pending"
            ]
            outcome, decided_on, cause, after = "undecided", None, None, None
            if again and again[0] <= as_of:
                outcome, decided_on, after = "renewed", again[0], item.pays(again[0])
            elif days[-1] <= as_of:
                outcome, decided_on, after = "lost", days[-1], ZERO
                following = item.on(due_on)
                said = [following] if following and following["status"] == "canceled" else []
                said += [last]
                causes = [version["end_cause"] for version in said if version["end_cause"]]
                reasons = [version["cancel_reason"] for version in said if version.get("cancel_reason")]
                cause = [*causes, "involuntary" if reasons[:1] == ["payment"] else "voluntary"][0]
            place = item.place(due_on - DAY)
            found[item.item_id, due_on] = {
                "outcome": outcome,
                "decided_on": decided_on,
                "cause": cause,
                "customer": place.customer,
                "segment": place.segment,
                "currency": place.currency,
                "before": item.pays(due_on - DAY),
                "after": after,
            }
    return found


def trials(books: Books) -> dict[tuple[str, date], dict[str, Any]]:
    as_of, found = books.history.as_of, {}
    for item in items(books):
        runs: list[list[dict[str, Any]]] = []
        for version in item.versions:
            if version["status"] == "trialing":
                if runs and runs[-1][-1]["valid_to"] == version["valid_from"]:
                    runs[-1].append(version)
                else:
                    runs.append([version])
        for number, run in enumerate(runs):
            start, last = run[0]["valid_from"], run[-1]
            if start > as_of:
                continue
            said = [version["trial_end_on"] for version in run if version.get("trial_end_on")]
            end = last.get("trial_end_on") or last["valid_to"] or (said[-1] if said else None)
            stop = min(as_of, runs[number + 1][0]["valid_from"] - DAY if number + 1 < len(runs) else FAR)
            paid, on = [], start
            while end and on <= min(stop, end + TRIAL_DAYS * DAY):
                if item.pays(on):
                    paid.append(on)
                on += DAY
            is_matured = end is not None and end + TRIAL_DAYS * DAY <= as_of
            place = item.place(start)
            found[item.item_id, start] = {
                "end": end,
                "outcome": ("converted" if paid else "not_converted") if is_matured else "pending",
                "converted_on": paid[0] if paid else None,
                "mrr": item.pays(paid[0]) if paid else None,
                "customer": place.customer,
                "segment": place.segment,
            }
    return found


def ends(books: Books) -> dict[tuple[str, date], dict[str, Any]]:
    """Item, first day not served (up to the as-of day) → MRR lost and the day service came back."""
    as_of, found = books.history.as_of, {}
    for item in items(books):
        for version in item.versions:
            end = version["valid_to"]
            if version["status"] == "canceled" or end is None or end > as_of or item.served(end):
                continue
            later = [
                other["valid_from"]
                for other in item.versions
                if other["status"] != "canceled" and end < other["valid_from"] <= as_of
            ]
            found[item.item_id, end] = {"lost": item.pays(end - DAY), "returned_on": min(later, default=None)}
    return found


def subscription_churn(books: Books) -> dict[tuple[date, str, str], tuple[int, int]]:
    """Month, currency, segment → lost, start set. An item is a subscription, counted where it opens."""
    found: dict[tuple[date, str, str], list[int]] = defaultdict(lambda: [0, 0])
    closings = month_ends(books.days[0], books.history.as_of)
    for opened_on, closed_on in pairwise(closings):
        for item in items(books):
            if item.pays(opened_on):
                place = item.place(opened_on)
                currency = "EUR" if books.history.rates else place.currency
                for segment in ("all", place.segment):
                    cell = found[closed_on.replace(day=1), currency, segment]
                    cell[0] += not item.pays(closed_on)
                    cell[1] += 1
    return {key: (lost, started) for key, (lost, started) in found.items()}


@dataclass(frozen=True)
class Life:
    """A customer seen from a tenure on, until it ends or is seen no more."""

    segment: str
    entry: int
    last: int
    is_ended: bool


def lives(
    closes: Mapping[date, Mapping[str, Fraction]],
    segment_of: Mapping[tuple[str, date], str],
    created: Mapping[str, date],
    first_month: date,
) -> list[Life]:
    """closes: of each closed month, what each customer pays."""
    months = sorted(closes)
    found = []
    for customer in {customer for month in months for customer in closes[month]}:
        start = next(month for month in months if closes[month].get(customer))
        gone = [month for month in months if month > start and not closes[month].get(customer)]
        born = created.get(customer)
        is_late = start == first_month and born is not None and born < first_month
        entry = months_apart(born, start) if is_late and born else 0
        last = entry + months_apart(start, gone[0] if gone else months[-1])
        found.append(Life(segment_of[customer, start], entry, last, bool(gone)))
    return found


def kaplan_meier(found: list[Life]) -> dict[tuple[str, int], tuple[int, int, float, float | None]]:
    """Segment, tenure → at risk, ended, S, Greenwood's standard error."""
    rows = {}
    for segment in ("all", *sorted({life.segment for life in found})):
        members = [life for life in found if segment in ("all", life.segment)]
        survival, variance = Fraction(1), Fraction(0)
        for tenure in range(max(life.last for life in members) + 1):
            if tenure == 0:
                at_risk, ended = sum(life.entry == 0 for life in members), 0
            else:
                seen = [life for life in members if life.entry < tenure <= life.last]
                at_risk, ended = len(seen), sum(life.is_ended and life.last == tenure for life in seen)
            if at_risk:
                survival *= Fraction(at_risk - ended, at_risk)
                if ended < at_risk:
                    variance += Fraction(ended, at_risk * (at_risk - ended))
            error = float(survival) * sqrt(variance) if survival else None
            rows[segment, tenure] = (at_risk, ended, float(survival), error)
    return rows
