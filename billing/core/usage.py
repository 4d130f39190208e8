"""Usage: metered events in, the quantity of a period out, exact.

One meter of one item at a time, in plain Python, since the rules branch: `sum`, `count`, `max` and `latest`
of many items are summed by the database, which knows the same words. Prices are applied by pricing.py;
proration of a level by day is here, because it needs the days on which the level moved.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias, get_args

from billing.core.money import BillingError, Scaled, ten_to
from billing.core.pricing import Price, Ratio, rate, without_flat_fees

Aggregation: TypeAlias = Literal["sum", "count", "max", "latest", "unique_count", "weighted_sum"]
AGGREGATIONS = get_args(Aggregation)


ZERO = Scaled(0, 0)


class UsageEvent(NamedTuple):
    """One event. `value` is a change of the level for `sum` and `weighted_sum`, the level itself for `max`
    and `latest`; for `unique_count` the `item` with `adds` says which unit came or went."""

    at: datetime
    value: Scaled = ZERO
    item: str | None = None
    adds: bool = True


@dataclass(frozen=True, slots=True)
class Meter:
    """How events become a quantity. `carry_over`: the level at the end of a period opens the next one.
    `grain` is the time a `weighted_sum` counts in: `second`, or whole hours (`hour`), an event counting
    from its hour's start."""

    aggregation: str
    carry_over: bool = False
    grain: str = "second"


class Level(NamedTuple):
    """The level from an instant on, as a mantissa of the trace's scale."""

    at: datetime
    level: int


class Trace(NamedTuple):
    """How the level of a meter moved within a period: at its start, then after each event, all at one
    scale."""

    start: datetime
    end: datetime
    scale: int
    opening: int
    steps: tuple[Level, ...]

    @property
    def closing(self) -> int:
        return self.steps[-1].level if self.steps else self.opening


def trace(
    meter: Meter,
    events: Sequence[UsageEvent],
    start: datetime,
    end: datetime,
    opening: Scaled = ZERO,
    present: set[str] | None = None,
) -> Trace:
    """The levels in `[start, end)`: events elsewhere are ignored, simultaneous ones keep their order of
    arrival.

    `opening` is the level the period starts with; `present` the named units of a `unique_count` in it,
    which is changed to those present at the end. Raises `unknown_aggregation`.
    """
    if meter.aggregation not in AGGREGATIONS:
        raise BillingError("unknown_aggregation", f"{meter.aggregation!r}")
    inside = sorted((event for event in events if start <= event.at < end), key=lambda event: event.at)
    scale = max([opening.scale, *(event.value.scale for event in inside)])
    present = set() if present is None else present
    level, steps = opening.at_scale(scale), []
    for event in inside:
        level = _level_after(meter.aggregation, level, event, scale, present)
        steps.append(Level(event.at, level))
    return Trace(start, end, scale, opening.at_scale(scale), tuple(steps))


def _level_after(aggregation: str, level: int, event: UsageEvent, scale: int, present: set[str]) -> int:
    one, value = ten_to(scale), event.value.at_scale(scale)
    if aggregation == "unique_count":
        if event.item is None:
            raise BillingError("unknown_item", f"the event at {event.at} names no unit")
        if event.adds and event.item not in present:
            present.add(event.item)
            return level + one
        if not event.adds and event.item in present:
            present.remove(event.item)
            return level - one
        # A unit that was there before the first event on record has no name: only the count knows it.
        return level if event.adds else max(level - one, len(present) * one)
    if aggregation == "count":
        return level + one
    return value if aggregation in ("max", "latest") else level + value


def quantity(meter: Meter, levels: Trace, *, in_advance: bool = False) -> Ratio:
    """The quantity of the period as an exact fraction; paid in advance, the highest level it reached."""
    den = ten_to(levels.scale)
    if meter.aggregation == "weighted_sum":
        return _weighted(levels, meter.grain)
    if meter.aggregation == "max" or in_advance:
        return max([levels.opening, *(step.level for step in levels.steps)]), den
    return levels.closing, den


def quantities_after_events(meter: Meter, levels: Trace, *, in_advance: bool = False) -> list[Ratio]:
    """The quantity the period would have if it ended with each event's entry: the running quantity."""
    return [
        quantity(meter, levels._replace(steps=levels.steps[: position + 1]), in_advance=in_advance)
        for position in range(len(levels.steps))
    ]


def _weighted(levels: Trace, grain: str) -> Ratio:
    """Level x time, over the time of the period."""
    unit = {"second": timedelta(seconds=1), "hour": timedelta(hours=1)}.get(grain)
    if unit is None:
        raise BillingError("unknown_setting", f"grain {grain!r}")

    def ticks(at: datetime) -> int:
        return (at - levels.start) // unit

    total, level, since = 0, levels.opening, 0
    for step in levels.steps:
        total += level * (ticks(step.at) - since)
        level, since = step.level, ticks(step.at)
    whole = ticks(levels.end)
    return total + level * (whole - since), whole * ten_to(levels.scale)


def charges_by_day(
    price: Price, levels: Trace, day_of: Callable[[datetime], date], *, in_advance: bool
) -> list[Fraction]:
    """What units cost for the days they are present, in major units: the period's total with the opening
    level alone, then the total after each event.

    The opening level is priced whole. A change is priced at its place in the level when it comes (added on
    top, removed from the top), from its own day to the period's end, over the whole period; a flat fee is
    due whole once its tier is entered. In advance only a level above the highest already paid in the period
    costs money. `day_of` gives the date an instant has in the customer's zone.
    """
    days = (day_of(levels.end) - day_of(levels.start)).days
    by_unit = without_flat_fees(price)

    def of(terms: Price, level: int) -> Fraction:
        rated = rate(terms, (max(level, 0), ten_to(levels.scale)))
        return Fraction(rated.num, rated.den)

    def flat_fees(level: int) -> Fraction:
        return of(price, level) - of(by_unit, level)

    units, highest, before = of(by_unit, levels.opening), levels.opening, levels.opening
    totals = [of(price, levels.opening)]
    for step in levels.steps:
        left = (day_of(levels.end) - day_of(step.at)).days
        floor, ceiling = (highest, max(step.level, highest)) if in_advance else (before, step.level)
        units += (of(by_unit, ceiling) - of(by_unit, floor)) * Fraction(left, days)
        before, highest = step.level, max(highest, step.level)
        totals.append(units + flat_fees(highest))
    return totals
