"""Usage: events of a meter become the quantity of a period."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.money import BillingError, Scaled
from billing.core.pricing import Price, PriceTier
from billing.core.usage import (
    Meter,
    UsageEvent,
    charges_by_day,
    quantities_after_events,
    quantity,
    trace,
)

START, END = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC)


def at(day, hour=0, minute=0):
    return datetime(2024, 3, day, hour, minute, tzinfo=UTC)


def values(*pairs):
    return [UsageEvent(at(day), Scaled(value, 0)) for day, value in pairs]


def of(meter, events, opening=0, **settings):
    return Fraction(*quantity(meter, trace(meter, events, START, END, Scaled(opening, 0)), **settings))


def test_each_aggregation_has_its_quantity():
    events = values((6, 5), (7, 20), (8, 3))
    assert of(Meter("sum"), events) == 28
    assert of(Meter("count"), events) == 3
    assert of(Meter("max"), events) == 20
    assert of(Meter("latest"), events) == 3
    assert of(Meter("sum", carry_over=True), events, opening=7) == 35
    assert of(Meter("latest", carry_over=True), [], opening=7) == 7
    assert of(Meter("sum"), []) == 0


def test_an_event_on_the_end_belongs_to_the_next_period():
    first, last = UsageEvent(START, Scaled(1, 0)), UsageEvent(END - timedelta(microseconds=1), Scaled(10, 0))
    outside = [
        UsageEvent(END, Scaled(100, 0)),
        UsageEvent(START - timedelta(microseconds=1), Scaled(1000, 0)),
    ]
    assert of(Meter("sum"), [first, last, *outside]) == 11


def test_units_are_counted_once_and_only_while_present():
    events = [
        UsageEvent(at(2), item="a"),
        UsageEvent(at(3), item="a"),
        UsageEvent(at(4), item="b"),
        UsageEvent(at(5), item="a", adds=False),
        UsageEvent(at(6), item="a", adds=False),
        UsageEvent(at(7), item="c"),
    ]
    meter = Meter("unique_count")
    levels = trace(meter, events, START, END)
    assert [step.level for step in levels.steps] == [1, 1, 2, 1, 1, 2]
    assert of(meter, events) == 2
    assert of(meter, [*events, UsageEvent(at(8), item="b", adds=False)], in_advance=True) == 2
    # Two units opened the period without a name: a removal takes one of them.
    assert of(meter, [UsageEvent(at(2), item="x", adds=False)], opening=2) == 1


def test_a_weighted_sum_counts_the_time_of_each_level():
    events = values((1, 1000))
    assert of(Meter("weighted_sum"), events) == 1000
    assert of(Meter("weighted_sum"), values((16, 31))) == 16
    assert of(Meter("weighted_sum", carry_over=True), values((16, -10)), opening=10) == Fraction(10 * 15, 31)
    month_in_hours = 31 * 24
    late = [UsageEvent(at(31, 23, 59), Scaled(month_in_hours, 0))]
    assert of(Meter("weighted_sum", grain="hour"), late) == 1
    assert of(Meter("weighted_sum"), late) == Fraction(60 * 31 * 24, 31 * 86_400)


@given(
    events=st.lists(st.tuples(st.integers(1, 31), st.integers(0, 23), st.integers(0, 50)), max_size=8),
    data=st.data(),
)
def test_the_order_in_which_events_arrive_does_not_matter(events, data):
    made = [UsageEvent(at(day, hour), Scaled(value, 1)) for day, hour, value in events]
    shuffled = data.draw(st.permutations(made))
    for name in ("sum", "count", "max", "weighted_sum"):
        assert of(Meter(name), made) == of(Meter(name), shuffled)
    running = quantities_after_events(Meter("sum"), trace(Meter("sum"), made, START, END))
    assert [Fraction(*amount) for amount in running] == sorted(Fraction(*amount) for amount in running)


# 31 a month for two units, and 5 once; 62 for each further one.
TIERED = Price("graduated", 0, tiers=(PriceTier(Scaled(2, 0), 31, 5), PriceTier(None, 62, 0)))


def by_day(events, opening=0, *, in_advance=False, price=TIERED):
    meter = Meter("unique_count", carry_over=True)
    levels = trace(meter, events, START, END, Scaled(opening, 0))
    return charges_by_day(price, levels, lambda instant: instant.date(), in_advance=in_advance)


def test_a_unit_costs_the_days_it_is_present():
    per_day = Price("per_unit", 0, 31)
    comes_and_goes = [UsageEvent(at(2, 5), item="a"), UsageEvent(at(5, 5), item="a", adds=False)]
    assert by_day(comes_and_goes, price=per_day) == [0, 30, 3]
    same_day = [UsageEvent(at(2), item="a"), UsageEvent(at(2, 9), item="a", adds=False)]
    assert by_day(same_day, price=per_day)[-1] == 0


def test_a_change_is_priced_at_its_place_in_the_level_and_flat_fees_whole():
    # Opening 2: 31 x 2 + 5. A third unit on the 11th: 62 for 21 of 31 days. Removed on the 21st: 11 back.
    events = [UsageEvent(at(11), item="c"), UsageEvent(at(21), item="c", adds=False)]
    assert by_day(events, opening=2) == [67, 67 + 42, 67 + 42 - 22]


def test_in_advance_only_a_level_above_the_highest_paid_costs_money():
    events = [
        UsageEvent(at(11), item="a"),
        UsageEvent(at(12), item="a", adds=False),
        UsageEvent(at(13), item="b"),
        UsageEvent(at(14), item="c"),
    ]
    per_day = Price("per_unit", 0, 31)
    assert by_day(events, in_advance=True, price=per_day) == [0, 21, 21, 21, 21 + 18]


def test_unknown_meters_are_refused():
    with pytest.raises(BillingError, match="unknown_aggregation"):
        trace(Meter("median"), [], START, END)
    with pytest.raises(BillingError, match="unknown_setting"):
        of(Meter("weighted_sum", grain="minute"), [])
    with pytest.raises(BillingError, match="unknown_item"):
        trace(Meter("unique_count"), values((1, 1)), START, END)


@pytest.mark.parametrize("aggregation", ["count", "unique_count"])
def test_an_event_counts_one_whatever_decimals_its_value_has(aggregation: str) -> None:
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
    events = [UsageEvent(start, Scaled(125, 2), "a"), UsageEvent(start, Scaled(3, 0), "b")]
    num, den = quantity(Meter(aggregation), trace(Meter(aggregation), events, start, end))
    assert Fraction(num, den) == 2
