"""Levels that cost the days they are present, or are paid in advance, against the rule for one meter."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from shop import OPENED, at, item_of, join, open_shop, parked, run, sell_alone, take
from sqlalchemy import select, update

from billing.core.calendar import local_date, midnight
from billing.core.money import BillingError, Scaled, format_scaled, post
from billing.core.pricing import Price, PriceTier
from billing.core.usage import Meter, UsageEvent, charges_by_day, trace
from billing.jobs.import_usage import import_usage
from billing.service import catalog
from billing.service.catalog import NewPrice, NewTier
from billing.service.policies import set_policy
from billing.service.subscriptions import cancel, undo_cancel
from billing.service.transfers import receive_transfer
from billing.store import tables
from billing.store.store import Store

ZONE = "Europe/Berlin"
MARCH, APRIL, MAY, JUNE = (date(2024, month, 1) for month in (3, 4, 5, 6))
EXPONENTS = {"USD": 2, "JPY": 0, "KWD": 3}


def shop(
    store: Store,
    price: NewPrice,
    *,
    aggregation: str = "unique_count",
    currency: str = "USD",
    zone: str = ZONE,
    scale: int = 0,
    is_recurring: bool = True,
    start: date = MARCH,
) -> str:
    """A shop with one metered plan, sold to anna; the item's id."""
    open_shop(store)
    catalog.create_meter(
        store,
        OPENED,
        meter_id="seats",
        name="Seats",
        aggregation=aggregation,
        scale=scale,
        is_recurring=is_recurring,
    )
    sell_alone(store, catalog.NewComponent("seats", "usage", "seats"), price, currency=currency)
    join(store, "anna", time_zone=zone, currency=currency)
    return item_of(store, take(store, start, "plan", anchor_on=MARCH))


def price(model: str = "per_unit", amount: str | None = "31", **terms: Any) -> NewPrice:
    return NewPrice("plan.1.seats", model, amount, **{"prorate": "day"} | terms)


def send(store: Store, item: str, events: Iterable[UsageEvent], arrived: date, mark: str = "") -> None:
    events = list(events)
    frame = pl.DataFrame(
        {
            "source": "meter",
            "event_id": [f"{arrived} {mark} {number}" for number in range(len(events))],
            "item_id": item,
            "meter_id": "seats",
            "occurred_at": [event.at for event in events],
            "value": [format_scaled(event.value) for event in events],
            "operation": [None if event.adds else "remove" for event in events],
            "dimension": [event.item for event in events],
        },
        schema_overrides={"operation": pl.String, "dimension": pl.String},
    )
    answer = import_usage(store, at(arrived), frame)
    assert answer.accepted == len(events), answer


def seat(name: str, on: date, hour: int = 10, *, adds: bool = True) -> UsageEvent:
    return UsageEvent(midnight(on, ZONE) + timedelta(hours=hour), Scaled(1, 0), name, adds)


def billed(store: Store) -> dict[date, int]:
    """Net of each period, on invoices and notes."""
    rows = store.rows(select(tables.line_items))
    start = {row["line_id"]: row["service_start"] for row in rows}
    found: dict[date, int] = {}
    for row in rows:
        found[row["service_start"]] = found.get(row["service_start"], 0) + row["net_minor"]
    for row in store.rows(select(tables.credit_note_lines)):
        found[start[row["line_id"]]] -= row["net_minor"]
    return found


@pytest.mark.parametrize("currency", ["USD", "JPY", "KWD"])
def test_a_unit_costs_the_days_from_the_one_it_is_added_to_before_the_one_it_is_removed(
    store: Store, currency: str
) -> None:
    """31 a month. March opens with nothing: a comes on the 2nd (30 days) and goes on the 5th (27 back). April
    opens with b, of 16 March (16 days of it), and has 30 days."""
    item = shop(store, price(), currency=currency)
    events = [
        seat("a", date(2024, 3, 2)),
        seat("a", date(2024, 3, 5), adds=False),
        seat("b", date(2024, 3, 16)),
        seat("c", date(2024, 4, 16)),
    ]
    send(store, item, events, date(2024, 4, 30))
    run(store, MAY)
    assert parked(store) == {}
    one = 10 ** EXPONENTS[currency]
    half = post(31 * one, 2)
    assert billed(store) == {MARCH: 30 * one - 27 * one + 16 * one, APRIL: 31 * one + half}
    line = store.rows(select(tables.line_items.c.explanation).order_by(tables.line_items.c.service_start))[0]
    assert json.loads(line["explanation"])["levels"] == {
        "days": 31,
        "opening": 0,
        "changes": [["2024-03-02", 1], ["2024-03-05", 0], ["2024-03-16", 1]],
        "highest": 1,
    }


def test_in_advance_only_a_level_above_the_highest_already_paid_costs_money(store: Store) -> None:
    """a and b are there when April begins: due on its first day. One goes and another comes at the level
    paid, for nothing; the third, of 16 April, costs its half month, on the next invoice."""
    item = shop(store, price(in_advance=True))
    send(store, item, [seat("a", date(2024, 3, 31)), seat("b", date(2024, 3, 31))], APRIL)
    run(store, APRIL)
    assert billed(store) == {MARCH: 200, APRIL: 6200}
    later = [
        seat("a", date(2024, 4, 5), adds=False),
        seat("c", date(2024, 4, 8)),
        seat("d", date(2024, 4, 16)),
    ]
    send(store, item, later, date(2024, 4, 16))
    run(store, date(2024, 4, 16))
    assert billed(store) == {MARCH: 200, APRIL: 6200}
    run(store, MAY)
    assert billed(store) == {MARCH: 200, APRIL: 6200 + 1550, MAY: 9300}
    assert run(store, MAY).lines == 0


def test_in_advance_without_proration_the_highest_level_is_paid_whole(store: Store) -> None:
    item = shop(store, price(in_advance=True, prorate="none"))
    send(store, item, [seat("a", date(2024, 3, 31)), seat("b", date(2024, 3, 31), 12)], APRIL)
    send(store, item, [seat("a", date(2024, 3, 31), 14, adds=False)], APRIL, "removed")
    run(store, APRIL)
    assert billed(store) == {MARCH: 6200, APRIL: 3100}


def test_what_is_removed_by_the_end_of_a_service_is_paid_for_its_days(store: Store) -> None:
    item = shop(store, price(), start=date(2024, 3, 11))
    send(store, item, [seat("a", date(2024, 3, 11)), seat("b", date(2024, 3, 15))], date(2024, 3, 20))
    sub = store.rows(select(tables.subscriptions.c.subscription_id))[0]["subscription_id"]
    cancel(store, at(date(2024, 3, 21)), subscription_id=sub, when="now")
    run(store, date(2024, 3, 21))
    assert billed(store) == {date(2024, 3, 11): (10 + 6) * 100}


TIERS = ((2, "1.01", "3.33"), (5, "0.77", "0.5"), (None, "0.4", "1"))
NEW_TIERS = [NewTier(bound, unit, flat) for bound, unit, flat in TIERS]


def core_price(model: str, zero: str = "none") -> Price:
    if model == "per_unit":
        return Price("per_unit", 2, 771)
    tiers = tuple(
        PriceTier(
            None if bound is None else Scaled(bound, 0),
            int(Fraction(unit) * 100),
            int(Fraction(flat) * 100),
        )
        for bound, unit, flat in TIERS
    )
    return Price(model, 2, tiers=tiers, settings={"flat_fee_on_zero": zero})


def drawn(aggregation: str, seed: int) -> list[UsageEvent]:
    """Events of three months, several on a day, in their order; levels never fall below 0."""
    draw, level, there = random.Random(seed), 0, set[str]()
    seconds = int((midnight(JUNE, ZONE) - midnight(MARCH, ZONE)).total_seconds())
    moments = sorted(draw.sample(range(seconds), 30))
    moments += [moment + 60 for moment in moments[::4]]
    events = []
    for moment in sorted(moments):
        at_ = (midnight(MARCH, ZONE) + timedelta(seconds=moment)).astimezone(UTC)
        if aggregation == "unique_count":
            name = draw.choice("abcdefgh")
            adds = draw.random() < 0.6
            events.append(UsageEvent(at_, Scaled(1, 0), name, adds))
            (there.add if adds else there.discard)(name)
        elif aggregation == "sum":
            change = draw.randrange(-min(level, 300), 400)
            level += change
            events.append(UsageEvent(at_, Scaled(change, 2)))
        elif aggregation == "latest":
            events.append(UsageEvent(at_, Scaled(draw.randrange(900), 2)))
        else:
            events.append(UsageEvent(at_, Scaled(1, 0)))
    return events


def wanted(
    price: Price, aggregation: str, events: list[UsageEvent], *, is_recurring: bool, in_advance: bool
) -> list[int]:
    """What each month costs by the rule for one meter."""
    meter, closing, present, costs = Meter(aggregation, is_recurring), Scaled(0, 0), set[str](), []
    for start, end in pairwise([MARCH, APRIL, MAY, JUNE]):
        if not is_recurring:
            closing, present = Scaled(0, 0), set()
        levels = trace(meter, events, midnight(start, ZONE), midnight(end, ZONE), closing, present)
        closing = Scaled(levels.closing, levels.scale)
        total = (
            charges_by_day(price, levels, lambda at: local_date(at, ZONE), in_advance=in_advance)[-1] * 100
        )
        costs.append(post(total.numerator, total.denominator))
    return costs


@pytest.mark.parametrize(
    ("aggregation", "model"),
    [
        ("sum", "graduated"),
        ("sum", "volume"),
        ("unique_count", "graduated"),
        ("latest", "volume"),
        ("count", "per_unit"),
    ],
)
@pytest.mark.parametrize("in_advance", [False, True])
def test_a_run_bills_levels_by_day_as_the_rule_for_one_meter_does(
    store: Store, aggregation: str, model: str, in_advance: bool
) -> None:
    tiers = [] if model == "per_unit" else NEW_TIERS
    amount = "7.71" if model == "per_unit" else None
    item = shop(
        store,
        price(model, amount, tiers=tiers, in_advance=in_advance),
        aggregation=aggregation,
        scale=2,
    )
    events = drawn(aggregation, 3)
    shuffled = random.Random(1).sample(events, len(events))
    send(store, item, shuffled, JUNE)
    run(store, JUNE)
    assert parked(store) == {}
    expected = wanted(core_price(model), aggregation, events, is_recurring=True, in_advance=in_advance)
    found = billed(store)
    assert [found.get(month, 0) for month in (MARCH, APRIL, MAY)] == expected
    assert len(set(expected)) == 3


@pytest.mark.parametrize("aggregation", ["sum", "unique_count", "latest"])
@pytest.mark.parametrize("in_advance", [False, True])
def test_levels_end_at_the_same_whenever_they_are_reported_and_billed(
    sqlite_store: Store, aggregation: str, in_advance: bool
) -> None:
    """Invariants 2, 16 and 17: events come up to 40 days late, between many runs."""
    item = shop(
        sqlite_store,
        price("graduated", None, tiers=NEW_TIERS, in_advance=in_advance),
        aggregation=aggregation,
        scale=2,
    )
    events, draw = drawn(aggregation, 5), random.Random(2)
    # A sum never falls below 0 on the way where what lowers it comes last.
    by_day: dict[date, list[UsageEvent]] = {}
    for event in events:
        delay = 41 if event.value.mantissa < 0 else draw.randrange(41)
        by_day.setdefault(event.at.date() + timedelta(days=delay + 1), []).append(event)
    stops = sorted({*by_day, APRIL, MAY, JUNE, date(2024, 7, 1), date(2024, 8, 1)})
    for day in stops:
        if day in by_day:
            send(sqlite_store, item, by_day[day], day)
        if day.day == 1 or day.day % 3 == 0:
            run(sqlite_store, day)
    run(sqlite_store, date(2024, 8, 1))
    assert parked(sqlite_store) == {}
    expected = wanted(core_price("graduated"), aggregation, events, is_recurring=True, in_advance=in_advance)
    found = billed(sqlite_store)
    assert [found.get(month, 0) for month in (MARCH, APRIL, MAY)] == expected


def test_a_meter_that_does_not_carry_over_opens_with_nothing(store: Store) -> None:
    item = shop(store, price(), aggregation="sum", is_recurring=False)
    moments = [datetime(2024, month, 16, tzinfo=UTC) for month in (3, 4)]
    send(store, item, [UsageEvent(moment, Scaled(1, 0)) for moment in moments], MAY)
    run(store, MAY)
    assert billed(store) == {MARCH: 1600, APRIL: 1550}


def test_a_level_beyond_the_bounds_sets_its_customer_aside(store: Store) -> None:
    item = shop(store, price(amount="1000000"), aggregation="sum")
    send(store, item, [UsageEvent(datetime(2024, 3, 2, tzinfo=UTC), Scaled(10**14, 0))], APRIL)
    run(store, APRIL)
    assert parked(store) == {"anna": "amount_out_of_range"}


BAD: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"prorate": "week"}, {}, "unknown_setting"),
    ({}, {"aggregation": "weighted_sum"}, "unknown_model"),
    ({}, {"aggregation": "max"}, "unknown_model"),
    ({"in_advance": True}, {"is_recurring": False}, "unknown_model"),
    ({"window": "day", "window_commitment": "1"}, {"aggregation": "sum"}, "unknown_model"),
]


@pytest.mark.parametrize(("terms", "meter", "code"), BAD)
def test_levels_that_cannot_be_priced_are_refused(
    sqlite_store: Store, terms: dict[str, Any], meter: dict[str, Any], code: str
) -> None:
    with pytest.raises(BillingError) as refused:
        shop(sqlite_store, price(**terms), **meter)
    assert refused.value.code == code


# Levels paid in advance, and an end.


def sold(store: Store, currency: str = "USD", **settings: str | int) -> tuple[str, str]:
    """Two seats at 31 a month, paid for April; item and subscription."""
    item = shop(store, price(in_advance=True), currency=currency, start=APRIL)
    if settings:
        set_policy(store, OPENED, valid_from=OPENED.date(), settings=settings)
    send(store, item, [seat("a", APRIL), seat("b", APRIL)], APRIL)
    run(store, APRIL)
    sub = store.rows(select(tables.subscriptions.c.subscription_id))[0]["subscription_id"]
    return item, sub


def end(store: Store, sub: str, on: date, **named: Any) -> None:
    cancel(store, at(on), **{"subscription_id": sub, "when": "now"} | named)
    run(store, on)
    assert parked(store) == {}
    store.execute(update(tables.customers).values(next_bill_on=on, unsettled_from=None))
    assert run(store, on, 22).lines == 0


@pytest.mark.parametrize(
    ("end_day_usage", "currency", "by_policy"),
    [
        ("include", "USD", False),
        ("exclude", "JPY", True),
        ("include", "KWD", True),
        ("exclude", "KWD", False),
    ],
)
def test_a_cancellation_that_gives_nothing_back_keeps_levels_paid_in_advance(
    store: Store, currency: str, by_policy: bool, end_day_usage: str
) -> None:
    """A third seat of 16 April is paid as it comes, for the half month left, and nothing of that either."""
    word = {"on_cancel": "none"} if by_policy else {}
    item, sub = sold(store, currency, end_day_usage=end_day_usage, **word)
    send(store, item, [seat("c", date(2024, 4, 16))], date(2024, 4, 16))
    end(store, sub, date(2024, 4, 21), money=None if by_policy else "none")
    one = 10 ** EXPONENTS[currency]
    assert billed(store) == {APRIL: 62 * one + post(31 * one, 2)}
    entries = store.rows(select(tables.line_items.c.entry))
    assert [row["entry"] for row in entries] == ["charge", "charge"]


@pytest.mark.parametrize("back_to", [APRIL, date(2024, 3, 20)])
def test_nothing_is_given_back_of_a_level_whose_whole_period_falls_away(store: Store, back_to: date) -> None:
    item = shop(store, price(in_advance=True))
    send(store, item, [seat("a", MARCH)], MARCH)
    run(store, MARCH)
    run(store, APRIL)
    sub = store.rows(select(tables.subscriptions.c.subscription_id))[0]["subscription_id"]
    end(store, sub, date(2024, 4, 5), when=back_to, money="none")
    assert billed(store) == {MARCH: 3100, APRIL: 3100}


def test_a_level_that_was_not_billed_before_the_end_is_paid_to_the_end_only(store: Store) -> None:
    item = shop(store, price(in_advance=True), start=APRIL)
    send(store, item, [seat("a", APRIL)], APRIL)
    sub = store.rows(select(tables.subscriptions.c.subscription_id))[0]["subscription_id"]
    end(store, sub, date(2024, 4, 16), money="none")
    assert billed(store) == {APRIL: 1550}


@pytest.mark.parametrize("currency", ["USD", "JPY", "KWD"])
@pytest.mark.parametrize(("on", "used_days"), [(date(2024, 4, 16), 15), (APRIL, 0)])
def test_a_refund_gives_back_the_days_left_of_a_level_paid_in_advance(
    store: Store, currency: str, on: date, used_days: int
) -> None:
    _, sub = sold(store, currency)
    one = 10 ** EXPONENTS[currency]
    invoice = store.row(select(tables.invoices))
    assert invoice is not None
    tax = post(62 * one * 19, 100)
    assert invoice["total_minor"] == 62 * one + tax
    receive_transfer(store, at(on, 7), invoice_id=invoice["invoice_id"], amount_minor=invoice["total_minor"])
    end(store, sub, on, money="refund")
    back = post(62 * one * (30 - used_days), 30)
    tax_back = post(tax * back, 62 * one)
    assert billed(store) == {APRIL: 62 * one - back}
    note = store.row(select(tables.credit_notes))
    assert note is not None
    assert note["total_minor"] == back + tax_back
    assert [row["amount_minor"] for row in store.rows(select(tables.refunds))] == [back + tax_back]


@pytest.mark.parametrize(("is_paid", "left"), [(True, 3100), (False, 6200)])
def test_nothing_is_credited_of_a_level_that_was_not_paid_when_its_customer_was_lost(
    store: Store, is_paid: bool, left: int
) -> None:
    _, sub = sold(store)
    invoice = store.row(select(tables.invoices))
    assert invoice is not None
    if is_paid:
        receive_transfer(
            store, at(APRIL, 21), invoice_id=invoice["invoice_id"], amount_minor=invoice["total_minor"]
        )
    end(store, sub, date(2024, 4, 16), reason="payment")
    assert billed(store) == {APRIL: left}


def test_a_credit_takes_back_the_days_left_of_a_level_and_charges_nothing_anew(store: Store) -> None:
    _, sub = sold(store)
    end(store, sub, date(2024, 4, 16))
    assert billed(store) == {APRIL: 3100}
    assert len(store.rows(select(tables.line_items))) == 1
    assert [row["net_minor"] for row in store.rows(select(tables.credit_note_lines))] == [3100]


def test_a_cancellation_taken_back_pays_the_level_again(store: Store) -> None:
    _, sub = sold(store)
    cancel(store, at(date(2024, 4, 16)), subscription_id=sub, when=date(2024, 4, 18), money="credit")
    run(store, date(2024, 4, 17))
    undo_cancel(store, at(date(2024, 4, 17), 21), subscription_id=sub)
    run(store, date(2024, 4, 18))
    assert billed(store) == {APRIL: 6200}
