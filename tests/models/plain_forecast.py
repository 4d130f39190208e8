"""A second implementation of the forecast: customer by customer, month by month, from the rules alone."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction
from functools import cache, cached_property, partial
from math import ceil
from typing import Any

from plain_metrics import FAR, ZERO, Books, earlier, month_ends

HORIZON, NEEDED, WEIGHT, TRIED, MOST = 12, 6, 20, 12, 1e18
BANDS = (0, 3, 6, 12, 24)
METHODS = ("survival", "last_value", "last_value_and_trend")


def months_apart(first: date, second: date) -> int:
    return (second.year - first.year) * 12 + second.month - first.month


def band(age: int) -> int:
    return BANDS[bisect_right(BANDS, age) - 1]


@dataclass(frozen=True)
class Payer:
    """A customer at a close: what it pays, its segment and plan class, the month it has paid since."""

    mrr: float
    segment: str
    plan_class: str
    since: date


@dataclass(frozen=True)
class Piece:
    """MRR of an item at a close, the months its term ends, and the one a known cancellation takes effect."""

    mrr: float
    segment: str
    plan_class: str
    since: date
    due: frozenset[date]
    cancel: date | None


@dataclass
class World:
    """Closed months in order; what was there at each close, and what each month did."""

    months: list[date]
    payers: dict[date, dict[str, Payer]] = field(default_factory=dict)
    pieces: dict[date, list[Piece]] = field(default_factory=dict)
    due: dict[date, set[str]] = field(default_factory=lambda: defaultdict(set))
    # (month, customer) → category and change
    moves: dict[tuple[date, str], tuple[str, float]] = field(default_factory=dict)
    # (month, customer) → MRR and months of notice of each of its items that ends in the month
    ends: dict[tuple[date, str], list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))

    def within(self, segment: str) -> World:
        """The same as seen by one segment alone, from the first month it is paid in."""
        payers = {
            month: {name: one for name, one in there.items() if one.segment == segment}
            for month, there in self.payers.items()
        }
        first = min(month for month, there in payers.items() if there)
        return replace(
            self,
            months=[month for month in self.months if month >= first],
            payers=payers,
            pieces={month: [one for one in self.pieces[month] if one.segment == segment] for month in payers},
        )

    @cached_property
    def segments(self) -> set[str]:
        return {payer.segment for there in self.payers.values() for payer in there.values()}

    def came(self, month: date, category: str) -> dict[str, float]:
        """MRR by plan class of those who came in the month, anew or again."""
        found: dict[str, float] = defaultdict(float)
        for name, payer in self.payers[month].items():
            if self.moves.get((month, name), ("", 0.0))[0] == category:
                found[payer.plan_class] += payer.mrr
        return found

    def total(self, month: date) -> float:
        return sum(payer.mrr for payer in self.payers[month].values())

    def new(self, month: date) -> float:
        return sum(self.came(month, "new").values())


def observe(books: Books, classes: Mapping[str, str]) -> World:
    """What the books say, as the forecast sees it. classes: plan → its class."""
    ends = month_ends(books.days[0], books.history.as_of)
    if (ends[-1] + timedelta(days=1)).day > 1:
        ends.pop()
    created = {row["customer_id"]: row.get("created_on") for row in books.history.customers}
    world = World([])
    since: dict[str, date] = {}
    paid: set[str] = set()
    paid_before_month: set[str] = set()
    before: dict[str, Any] = {}
    opening: dict[str, Any] = {}
    for on in books.days:
        now = books.balances(on)
        for customer in now.keys() - before.keys():
            month = on.replace(day=1)
            first = created.get(customer)
            is_older = month == books.days[0].replace(day=1) and first is not None and first < month
            since[customer] = first.replace(day=1) if is_older and first else month
        paid |= now.keys()
        before = now
        if on not in ends:
            continue
        month = on.replace(day=1)
        if now or world.months:
            world.months.append(month)
            _close(books, classes, world, on, now, since)
            for customer in {*now, *opening}:
                start, end = opening.get(customer, ZERO), now.get(customer, ZERO)
                if start != end:
                    name = (
                        ("reactivation" if customer in paid_before_month else "new")
                        if not start
                        else "churn"
                        if not end
                        else "expansion"
                        if end > start
                        else "contraction"
                    )
                    world.moves[month, customer] = (name, float(end - start))
        opening, paid_before_month = now, set(paid)
    return world


def _close(
    books: Books,
    classes: Mapping[str, str],
    world: World,
    on: date,
    now: Mapping[str, Any],
    since: Mapping[str, date],
) -> None:
    month = on.replace(day=1)
    segment_of: dict[str, str] = {}
    by_plan: dict[str, dict[str, Any]] = defaultdict(lambda: defaultdict(lambda: ZERO))
    paying = {item: days[on] for item, days in books.items.items() if on in days and days[on][1]}
    for place, value in paying.values():
        by_plan[place.customer][place.plan] += books.constant(place, value)
        segment_of[place.customer] = place.segment
    world.payers[month] = {}
    for customer, mrr in now.items():
        plan = min(by_plan[customer], key=lambda one: (-by_plan[customer][one], one))
        world.payers[month][customer] = Payer(
            float(mrr), segment_of[customer], classes[plan], since[customer]
        )
    world.pieces[month] = []
    for item, (place, value) in paying.items():
        version = next(
            one for one in books.by_item[item] if one["valid_from"] <= on < (one["valid_to"] or FAR)
        )
        due, length = _due(version, month)
        if due and months_apart(month, due) == 1:
            world.due[due].add(place.customer)
        last = max(books.by_item[item], key=lambda one: one["valid_from"])
        if last["valid_to"] and months_apart(month, last["valid_to"]) == 1:
            asked = last.get("cancel_requested_on")
            lead = max(months_apart(asked, last["valid_to"]), 0) if asked else 0
            ended = (float(books.constant(place, value)), lead)
            world.ends[earlier(month, -1), place.customer].append(ended)
        payer = world.payers[month][place.customer]
        world.pieces[month].append(
            Piece(
                float(books.constant(place, value)),
                payer.segment,
                payer.plan_class,
                payer.since,
                frozenset(_repeated(due, length)),
                _cancel(books, item, on),
            )
        )


def _due(version: Mapping[str, Any], month: date) -> tuple[date | None, int | None]:
    start, end = version.get("term_start"), version.get("term_end")
    if end is None or end.replace(day=1) <= month:
        return None, None
    length = months_apart(start, end) if start else None
    if length is not None and length < 2:
        return None, None
    return end.replace(day=1), length


def _repeated(due: date | None, length: int | None) -> list[date]:
    if due is None:
        return []
    return [due] if length is None else [earlier(due, -length * number) for number in range(HORIZON)]


def _cancel(books: Books, item: str, on: date) -> date | None:
    last = max(books.by_item[item], key=lambda one: one["valid_from"])
    requested, ends = last.get("cancel_requested_on"), last["valid_to"]
    is_known = requested is not None and requested <= on and ends is not None
    return ends.replace(day=1) if is_known and ends.replace(day=1) > on.replace(day=1) else None


@dataclass
class Rates:
    hazard: dict[tuple[str, int], float]
    due_hazard: dict[str, float]
    expansion: dict[tuple[str, int], float]
    reactivation: float


def share(part: float, whole: float, otherwise: float) -> float:
    return part / whole if whole else otherwise


def learn(world: World, origin: date, step: int) -> Rates:
    """What each cell has done by the origin, without what was known `step` months before it happened."""
    at_risk: dict[Any, float] = defaultdict(float)
    ended: dict[Any, float] = defaultdict(float)
    survived: dict[Any, float] = defaultdict(float)
    expanded: dict[Any, float] = defaultdict(float)
    lost = back = 0.0
    for month in (month for month in world.months[1:] if month <= origin):
        is_recent = months_apart(month, origin) < 12
        back += sum(world.came(month, "reactivation").values()) if is_recent else 0
        for customer, payer in world.payers[earlier(month, 1)].items():
            category, change = world.moves.get((month, customer), ("none", 0.0))
            ends = world.ends.get((month, customer), [])
            cell = (payer.plan_class, band(months_apart(payer.since, month) - 1))
            counted = ("due", payer.plan_class) if customer in world.due[month] else cell
            at_risk[counted] += 1
            if category == "churn":
                ended[counted] += min(lead for _, lead in ends) < step
            if is_recent and category == "churn":
                lost += payer.mrr
            elif is_recent:
                survived[cell] += payer.mrr
                expanded[cell] += change + sum(mrr for mrr, lead in ends if lead >= step)
    open_cells = [cell for cell in at_risk if cell[0] != "due"]
    due_cells = [cell for cell in at_risk if cell[0] == "due"]
    pooled = share(sum(ended[one] for one in open_cells), sum(at_risk[one] for one in open_cells), 0)
    pooled_due = share(sum(ended[one] for one in due_cells), sum(at_risk[one] for one in due_cells), pooled)
    pooled_expansion = share(sum(expanded.values()), sum(survived.values()), 0)
    names = {
        payer.plan_class
        for month in world.months
        if month <= origin
        for payer in world.payers[month].values()
    }
    cells = [(name, first) for name in names for first in BANDS]
    return Rates(
        {one: (ended[one] + WEIGHT * pooled) / (at_risk[one] + WEIGHT) for one in cells},
        {
            name: (ended["due", name] + WEIGHT * pooled_due) / (at_risk["due", name] + WEIGHT)
            for name in names
        },
        {one: share(expanded[one], survived[one], pooled_expansion) for one in cells},
        min(share(back, lost, 0), 1),
    )


def expected_new(world: World, origin: date, target: date, plan_class: str) -> float:
    recent = [earlier(origin, number) for number in range(NEEDED)]
    mean = sum(world.came(month, "new").get(plan_class, 0) for month in recent) / NEEDED
    years = months_apart(world.months[0], origin) // 12
    if years < 2:
        return mean
    by_calendar: dict[int, float] = defaultdict(float)
    for number in range(12 * years):
        month = earlier(origin, number)
        by_calendar[month.month] += world.new(month)
    usual = sum(by_calendar[month.month] for month in recent) / NEEDED
    return mean * share(by_calendar[target.month], usual, 1)


def survival_points(world: World, origin: date) -> list[float]:
    """MRR after 1 to 12 months, each piece carried on from month to month."""
    pieces: list[list[Any]] = [[piece.mrr, piece] for piece in world.pieces[origin]]
    found = []
    for step in range(1, HORIZON + 1):
        rates, target = learn(world, origin, step), earlier(origin, -step)
        for row in pieces:
            mrr, piece = row
            cell = (piece.plan_class, band(months_apart(piece.since, target) - 1))
            hazard = rates.hazard[cell]
            if target in piece.due:
                hazard = rates.due_hazard[piece.plan_class]
            if target == piece.cancel:
                hazard = 1.0
            row[0] = mrr * ((1 - hazard) * (1 + rates.expansion[cell]) + hazard * rates.reactivation)
        for name in sorted({name for name, _ in rates.hazard}):
            amount = expected_new(world, origin, target, name)
            pieces.append([amount, Piece(amount, "", name, target, frozenset(), None)])
        found.append(sum(row[0] for row in pieces))
    return found


def points(world: World, origin: date) -> dict[tuple[str, int], float | None]:
    now = world.total(origin)
    found: dict[tuple[str, int], float | None] = {}
    is_known = months_apart(world.months[0], origin) >= NEEDED
    model = survival_points(world, origin) if is_known else [None] * HORIZON
    gain = (now - world.total(earlier(origin, NEEDED))) / NEEDED if is_known else 0.0
    for step in range(1, HORIZON + 1):
        said = model[step - 1]
        found["survival", step] = said if said is not None and said < MOST else None
        found["last_value", step] = now
        found["last_value_and_trend", step] = max(now + gain * step, 0) if is_known else None
    return found


@cache
def eighth(text: str) -> int:
    return int(hashlib.md5(text.encode()).hexdigest()[:8], 16)


def draw(text: str, count: int) -> int:
    """A number below `count`, the same for the same text."""
    return eighth(text) * count >> 32


def simulated(world: World, origin: date) -> list[tuple[float, float] | None]:
    """How far the 100th and the 901st of 1,000 paths end from their mean, after 1 to 12 months."""
    known = months_apart(world.months[0], origin)
    if known < NEEDED:
        return [None] * HORIZON
    flows = []
    for month in world.months[1 : known + 1]:
        opening, new = world.total(earlier(month, 1)), world.new(month)
        flows.append(((world.total(month) - new) / opening if opening else 1.0, new))
    pasts = [
        [flows[draw(f"past {number} {month_no}", known)] for month_no in range(1, known + 1)]
        for number in range(1, 1001)
    ]
    paths = [world.total(origin)] * 1000
    found: list[tuple[float, float] | None] = []
    for step in range(1, HORIZON + 1):
        for number in range(1000):
            kept, new = pasts[number][draw(f"step {number + 1} {step}", known)]
            paths[number] = min(paths[number] * kept + new, MOST)
        mean, ends = sum(paths) / 1000, sorted(paths)
        found.append((ends[99] / mean - 1, ends[900] / mean - 1) if mean else None)
    return found


@dataclass
class Row:
    """One forecast as the mart should show it."""

    point: float | None
    past_errors: int
    interval_errors: int = 0
    low: float | None = None
    high: float | None = None
    is_simulated: bool | None = None
    is_headline: bool = False
    actual: float | None = None
    error: float | None = None
    mean_absolute_error: float | None = None


def forecasts(world: World) -> dict[tuple[date, int, str], Row]:
    said = {(origin, *key): point for origin in world.months for key, point in points(world, origin).items()}
    actual = {month: world.total(month) for month in world.months}
    rows = {}
    for origin in world.months:
        paths = cache(partial(simulated, world, origin))
        for method in METHODS:
            for step in range(1, HORIZON + 1):
                rows[origin, step, method] = _row(world, said, actual, origin, method, step, paths)
        _choose(world, said, actual, origin, rows)
    return rows


def _row(
    world: World,
    said: Mapping[tuple[date, str, int], float | None],
    actual: Mapping[date, float],
    origin: date,
    method: str,
    step: int,
    paths: Callable[[], list[tuple[float, float] | None]],
) -> Row:
    point, target = said[origin, method, step], earlier(origin, -step)
    if point is None:
        return Row(None, 0, actual=actual.get(target))
    errors = _sizes(world, said, actual, origin, method, step)
    row = Row(point, len(errors), actual=actual.get(target))
    if len(errors) < TRIED:
        errors = [
            size * step / shorter
            for shorter in range(1, step + 1)
            for size in _sizes(world, said, actual, origin, method, shorter)
        ]
    row.interval_errors = len(errors)
    row.error = None if row.actual is None else point - row.actual
    if len(errors) < TRIED:
        bounds = paths()[step - 1]
    else:
        size = sorted(errors)[ceil(Fraction(4, 5) * (len(errors) + 1)) - 1]
        bounds = (max(-size, -1), size)
    if bounds and point:
        row.low, row.high = (min(point * (1 + bound), MOST) for bound in bounds)
        row.is_simulated = len(errors) < TRIED
    return row


def _sizes(
    world: World,
    said: Mapping[tuple[date, str, int], float | None],
    actual: Mapping[date, float],
    origin: date,
    method: str,
    step: int,
) -> list[float]:
    """How far, relatively, each forecast `step` months ahead was off that the origin can look back on."""
    found = []
    for past in world.months:
        before, target = said[past, method, step], earlier(past, -step)
        if target <= origin and before:
            found.append(abs(actual[target] / before - 1))
    return found


def _choose(
    world: World,
    said: Mapping[tuple[date, str, int], float | None],
    actual: Mapping[date, float],
    origin: date,
    rows: Mapping[tuple[date, int, str], Row],
) -> None:
    trials = [
        (past, step)
        for past in world.months
        for step in range(1, 7)
        if earlier(past, -step) <= origin and all(said[past, method, step] is not None for method in METHODS)
    ]
    best = "last_value"
    if trials:
        sizes = {}
        for method in METHODS:
            sizes[method] = sum(
                abs((said[past, method, step] or 0) - actual[earlier(past, -step)]) for past, step in trials
            ) / len(trials)
        whole = [
            method
            for method in METHODS
            if all(said[origin, method, step] is not None for step in range(1, HORIZON + 1))
        ]
        best = min(whole, key=lambda method: sizes[method])
    for (on, _, method), row in rows.items():
        if on == origin:
            row.is_headline = method == best
            row.mean_absolute_error = sizes[method] if trials else None
