"""A commitment is filled up at the period's end: what an item was charged counts, the rest is a true-up."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from examples import examples, seeds
from hypothesis import example, given
from hypothesis import strategies as st
from shop import (
    Part,
    at,
    item_of,
    join,
    last_day,
    life,
    new_store,
    open_shop,
    parked,
    perform,
    run,
    sell,
    shop_of_lives,
    take,
    use,
)
from sqlalchemy import select, update

from billing.core.money import BillingError
from billing.service import subscriptions
from billing.service.commitments import change_commitment
from billing.service.previews import preview_change
from billing.service.ramps import Phase, agree_ramp
from billing.service.undo import undo_change
from billing.store import tables
from billing.store.store import Store
from billing.store.subscriptions import read_standing

FEE = Part("fee", "fee", "1000")
CALLS = Part("calls", "usage", "0.01", "per_unit")
SEATS = Part("seats", "seat", "10", "per_unit")
TO = date(2024, 3, 1)


def true_ups(store: Store) -> list[tuple[date, date, int]]:
    """True-ups less their credits, by service."""
    lines = store.rows(select(tables.line_items).order_by(tables.line_items.c.line_id))
    noted = store.rows(select(tables.credit_note_lines))
    sums: dict[tuple[date, date], int] = {}
    of_line = {line["line_id"]: line for line in lines}
    for line in lines:
        if line["kind"] == "true_up":
            key = (line["service_start"], line["service_end"])
            sums[key] = sums.get(key, 0) + line["net_minor"]
    for note in noted:
        line = of_line[note["line_id"]]
        if line["kind"] == "true_up":
            sums[line["service_start"], line["service_end"]] -= note["net_minor"]
    return [(*key, net) for key, net in sorted(sums.items()) if net]


def nets(store: Store, kind: str) -> list[int]:
    asked = select(tables.line_items).where(tables.line_items.c.kind == kind)
    return [row["net_minor"] for row in store.rows(asked.order_by(tables.line_items.c.line_id))]


def look_again(store: Store, on: date) -> Any:
    store.execute(update(tables.customers).values(next_bill_on=on, unsettled_from=None))
    return run(store, on, 22)


@pytest.mark.parametrize(
    ("interval", "fee", "usual", "whole", "expected"),
    [("P1M", 89286, 892857, 1_000_000, 803571), ("P3M", 62222, 622222, 1_000_000, 560000)],
)
def test_a_commitment_of_a_short_period_is_prorated_and_less_the_fee(
    store: Store, interval: str, fee: int, usual: int, whole: int, expected: int
) -> None:
    open_shop(store)
    sell(store, "plan", [FEE], interval=interval, in_advance=False)
    join(store, "anna")
    start, end = date(2023, 2, 4), date(2023, 3, 1) if interval == "P1M" else date(2023, 4, 1)
    take(
        store,
        start,
        "plan",
        anchor_on=date(2023, 1, 1),
        committed_minimum_minor=whole - 100_000,
    )
    run(store, end - timedelta(days=1))
    assert true_ups(store) == []
    run(store, end)
    assert parked(store) == {}
    assert nets(store, "recurring") == [fee]
    assert true_ups(store) == [(start, end, expected)]
    assert fee + expected == usual
    assert look_again(store, end).lines == 0


@pytest.mark.parametrize(("currency", "unit"), [("JPY", "1"), ("KWD", "0.001"), ("USD", "0.01")])
def test_usage_counts_in_every_currency(store: Store, currency: str, unit: str) -> None:
    open_shop(store)
    sell(
        store, "plan", [Part("fee", "fee", "10"), Part("calls", "usage", unit, "per_unit")], currency=currency
    )
    join(store, "anna", currency=currency)
    item = item_of(store, take(store, date(2024, 2, 1), "plan", committed_minimum_minor=9000))
    use(store, date(2024, 2, 5), item, date(2024, 2, 5), 1234, "one")
    run(store, date(2024, 2, 6))
    run(store, TO)
    assert true_ups(store) == [(date(2024, 2, 1), TO, 9000 - 1234)]


def test_more_usage_than_was_promised_leaves_no_true_up(store: Store) -> None:
    open_shop(store)
    sell(store, "plan", [FEE, CALLS])
    join(store, "anna")
    item = item_of(store, take(store, date(2024, 2, 1), "plan", committed_minimum_minor=9000))
    use(store, date(2024, 2, 5), item, date(2024, 2, 5), 9001, "one")
    run(store, TO)
    assert true_ups(store) == []
    assert nets(store, "usage") == [9001]


def test_late_usage_takes_a_true_up_back_with_its_tax(store: Store) -> None:
    open_shop(store)
    sell(store, "plan", [FEE, CALLS])
    join(store, "anna")
    item = item_of(store, take(store, date(2024, 1, 1), "plan", committed_minimum_minor=50_000))
    run(store, date(2024, 1, 1))
    run(store, date(2024, 2, 1))
    assert true_ups(store) == [(date(2024, 1, 1), date(2024, 2, 1), 50_000)]
    use(store, date(2024, 2, 3), item, date(2024, 1, 20), 30_000, "late")
    run(store, date(2024, 2, 3))
    assert true_ups(store) == [(date(2024, 1, 1), date(2024, 2, 1), 50_000)]
    run(store, TO)
    assert true_ups(store) == [
        (date(2024, 1, 1), date(2024, 2, 1), 20_000),
        (date(2024, 2, 1), TO, 50_000),
    ]
    credit = store.row(
        select(tables.line_items).where(
            tables.line_items.c.kind == "true_up", tables.line_items.c.entry == "credit"
        )
    )
    assert credit
    assert (credit["net_minor"], credit["tax_minor"]) == (-30_000, -5_700)
    assert look_again(store, TO).lines == 0


def test_a_downgrade_owes_the_commitment_of_the_whole_running_period(store: Store) -> None:
    open_shop(store)
    sell(store, "large", [Part("fee", "fee", "100")], in_advance=False)
    sell(store, "small", [Part("fee", "fee", "50")], in_advance=False)
    join(store, "anna")
    sub = take(store, date(2024, 5, 1), "large", committed_minimum_minor=990_000)
    subscriptions.change_plan(store, at(date(2024, 5, 15)), subscription_id=sub, plan_id="small")
    run(store, date(2024, 6, 1))
    assert nets(store, "recurring") == [10_000]
    assert true_ups(store) == [(date(2024, 5, 1), date(2024, 6, 1), 990_000)]


def test_a_cancellation_makes_the_commitment_due_for_the_days_of_service(store: Store) -> None:
    open_shop(store)
    sell(store, "plan", [FEE])
    join(store, "anna")
    sub = take(store, date(2024, 1, 1), "plan", committed_minimum_minor=31_000)
    run(store, date(2024, 1, 1))
    subscriptions.cancel(store, at(date(2024, 1, 11)), subscription_id=sub, when="now")
    run(store, date(2024, 1, 11))
    assert true_ups(store) == [(date(2024, 1, 1), date(2024, 1, 11), 10_000)]


def test_a_pause_lowers_the_commitment_which_stays_due_at_the_period_end(store: Store) -> None:
    open_shop(store)
    sell(store, "plan", [FEE])
    join(store, "anna")
    sub = take(store, date(2024, 1, 1), "plan", committed_minimum_minor=31_000)
    run(store, date(2024, 1, 1))
    subscriptions.pause(store, at(date(2024, 1, 11)), subscription_id=sub, until=date(2024, 1, 21))
    run(store, date(2024, 1, 11))
    run(store, date(2024, 1, 21))
    assert true_ups(store) == []
    run(store, date(2024, 2, 1))
    assert true_ups(store) == [(date(2024, 1, 1), date(2024, 2, 1), 21_000)]


def test_seats_added_in_the_period_change_promise_and_fee_alike(store: Store) -> None:
    open_shop(store)
    sell(store, "plan", [SEATS])
    join(store, "anna")
    sub = take(store, date(2024, 1, 1), "plan", quantity=3, committed_minimum_minor=5_000)
    run(store, date(2024, 1, 1))
    subscriptions.change_quantity(store, at(date(2024, 1, 10)), subscription_id=sub, quantity=7)
    run(store, date(2024, 2, 1))
    # 30.00 and 70.00 a month for 9 and 22 of 31 days, and 50.00 beyond them: 108.39 promised.
    exact = Fraction(3000 * 9 + 7000 * 22, 31) + 5000
    promised = int(exact + Fraction(1, 2))
    fees = [line for line in nets(store, "recurring") if line]
    start = sum(fees) - 7000
    assert true_ups(store) == [(date(2024, 1, 1), date(2024, 2, 1), 5000)]
    assert abs(start + 5000 - promised) <= 1


@pytest.mark.usefixtures("each_database")
def test_the_way_a_true_up_is_rounded_is_a_setting() -> None:
    # 1/3 of 100.00 promised beyond 0.50 for 10 of 30 days: 33.5 exactly, of it 0.166... fee.
    found = {}
    for rounding in ("difference_of_posted", "posted_difference"):
        store = open_shop(new_store(7), true_up_rounding=rounding)
        sell(store, "plan", [Part("fee", "fee", "0.05")], in_advance=False)
        join(store, "anna")
        take(store, date(2024, 4, 21), "plan", anchor_on=date(2024, 4, 1), committed_minimum_minor=5)
        run(store, date(2024, 5, 1))
        found[rounding] = sum(net for *_, net in true_ups(store))
        store.close()
    # 10 and 5 cents for 10/30: 3.33 and 1.67, posted 3 and 2; their exact difference 1.67 is posted 2.
    assert found == {"difference_of_posted": 1, "posted_difference": 2}


@pytest.mark.usefixtures("each_database")
@examples(4, 16)
@given(
    st.lists(st.tuples(st.integers(0, 59), st.integers(1, 40_000), st.integers(0, 40)), max_size=5),
    st.sampled_from(["difference_of_posted", "posted_difference"]),
)
@example([(50, 11_855, 0)], "posted_difference")  # 8,298.5 used: half a cent more was posted.
def test_late_and_timely_usage_end_at_the_same_true_ups(
    events: list[tuple[int, int, int]], rounding: str
) -> None:
    first, last = date(2024, 1, 1), date(2024, 5, 1)
    totals = []
    for is_late in (False, True):
        store = open_shop(new_store(7), true_up_rounding=rounding)
        sell(store, "plan", [FEE, Part("calls", "usage", "0.007", "per_unit")])
        join(store, "anna")
        item = item_of(store, take(store, first, "plan", committed_minimum_minor=20_011))
        day = first
        while day <= last:
            for number, (offset, value, delay) in enumerate(events):
                on = first + timedelta(days=offset)
                if on + timedelta(days=delay if is_late else 0) == day:
                    use(store, day, item, on, value, str(number))
            if day.day == 1 or is_late:
                run(store, day)
            day += timedelta(days=1)
        totals.append(true_ups(store))
        assert look_again(store, last).lines == 0
        assert parked(store) == {}
        store.close()
    by_month = {1: 0, 2: 0, 3: 0, 4: 0}
    for offset, value, _ in events:
        by_month[(first + timedelta(days=offset)).month] += value
    wanted = []
    for month, units in by_month.items():
        used = Fraction(units * 7, 10)
        left = max(20_011 - int(used + Fraction(1, 2)), 0)
        if rounding == "posted_difference":
            left = max(int(20_011 - used + Fraction(1, 2)), 0)
        if left:
            wanted.append((date(2024, month, 1), date(2024, month + 1, 1), left))
    assert totals == [wanted, wanted]


@pytest.mark.usefixtures("each_database")
@pytest.mark.parametrize("seed", seeds(3, 8))
def test_any_life_ends_at_the_same_true_ups_however_often_it_is_billed(seed: int) -> None:
    acts, found = life(seed), []
    for is_daily in (False, True):
        store = shop_of_lives(credit_rounding="kept_time")
        days = 10 if acts[0].when else 0
        named: dict[str, Any] = {"quantity": acts[0].number, "trial_days": days, "subscription_id": "sub"}
        take(store, acts[0].on, acts[0].plan, committed_minimum_minor=777, **named)
        on, done = acts[0].on, 1
        while on <= last_day(acts):
            while done < len(acts) and acts[done].on == on:
                perform(store, acts[done], done)
                done += 1
                if is_daily:
                    run(store, on, 9)
            if is_daily:
                run(store, on)
            on += timedelta(days=1)
        run(store, last_day(acts))
        assert parked(store) == {}
        found.append(true_ups(store))
        assert look_again(store, last_day(acts)).lines == 0
        store.close()
    assert found[0] == found[1]
    assert all(net > 0 for *_, net in found[0])


@pytest.mark.parametrize(("currency", "fee"), [("USD", "100.00"), ("JPY", "10000"), ("KWD", "10.000")])
def test_a_promise_agreed_anew_is_owed_day_by_day(store: Store, currency: str, fee: str) -> None:
    open_shop(store)
    sell(store, "plan", [Part("fee", "fee", fee)], currency=currency)
    join(store, "anna", currency=currency)
    sub = take(store, date(2024, 4, 1), "plan", committed_minimum_minor=90_000)
    run(store, date(2024, 4, 1))
    change_commitment(store, at(date(2024, 4, 11)), subscription_id=sub, committed_minimum_minor=190_000)
    run(store, date(2024, 4, 11))
    assert true_ups(store) == []
    run(store, date(2024, 5, 1))
    run(store, date(2024, 6, 1))
    # 900.00 for 10 of 30 days and 1,900.00 for 20 of them; the fee is promised and charged alike.
    assert true_ups(store) == [
        (date(2024, 4, 1), date(2024, 5, 1), 30_000 + 126_667),
        (date(2024, 5, 1), date(2024, 6, 1), 190_000),
    ]
    assert nets(store, "recurring") == [10_000] * 3
    assert look_again(store, date(2024, 6, 1)).lines == 0


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    # April has 30 days, 15 of them before the change: what was promised from then on, and until then.
    [(0, 30_000, 15_000), (30_000, 0, 15_000)],
)
def test_a_promise_may_begin_and_end_within_a_period(
    store: Store, before: int, after: int, expected: int
) -> None:
    open_shop(store)
    sell(store, "plan", [FEE])
    join(store, "anna")
    sub = take(store, date(2024, 4, 1), "plan", committed_minimum_minor=before)
    run(store, date(2024, 4, 1))
    change_commitment(store, at(date(2024, 4, 16)), subscription_id=sub, committed_minimum_minor=after)
    run(store, date(2024, 4, 16))
    run(store, date(2024, 5, 1))
    assert true_ups(store) == [(date(2024, 4, 1), date(2024, 5, 1), expected)]
    run(store, date(2024, 6, 1))
    assert [net for _, end, net in true_ups(store) if end == date(2024, 6, 1)] == ([after] if after else [])


def test_a_promise_for_the_next_period_is_shown_and_can_be_taken_back(store: Store) -> None:
    open_shop(store)
    sell(store, "plan", [FEE])
    join(store, "anna")
    sub = take(store, date(2024, 4, 1), "plan", committed_minimum_minor=9_000)
    run(store, date(2024, 4, 1))

    def raise_it(store: Store, now: datetime) -> object:
        return change_commitment(
            store, now, subscription_id=sub, committed_minimum_minor=50_000, when="period_end"
        )

    for is_taken_back in (True, False):
        shown = preview_change(
            store, at(date(2024, 4, 10)), raise_it, customer_id="anna", up_to=date(2024, 6, 1)
        )
        due = shown.lines.filter(pl.col("kind") == "true_up").sort("service_start")
        assert due["net_minor"].to_list() == [9_000, 50_000]
        raise_it(store, at(date(2024, 4, 10)))
        if is_taken_back:
            undo_change(store, at(date(2024, 4, 11)), subscription_id=sub, on=date(2024, 5, 1))
            (version,) = read_standing(store, at(date(2024, 5, 2)), sub).subscription.main_item.versions
            assert version.committed_minimum_minor == 9_000
    run(store, date(2024, 5, 1))
    run(store, date(2024, 6, 1))
    assert [net for *_, net in true_ups(store)] == [9_000, 50_000]


def test_a_ramp_raises_the_promise_year_by_year(store: Store) -> None:
    open_shop(store)
    sell(store, "plan", [FEE])
    join(store, "anna")
    sub = take(store, date(2024, 1, 1), "plan", committed_minimum_minor=1_000)
    phases = [Phase(date(2024, month, 1), committed_minimum_minor=1_000 * month) for month in (2, 3)]
    agree_ramp(store, at(date(2024, 1, 1)), subscription_id=sub, phases=phases)
    for month in range(1, 5):
        run(store, date(2024, month, 1))
    assert [net for *_, net in true_ups(store)] == [1_000, 2_000, 3_000]


@pytest.mark.parametrize(("minimum", "code"), [(-1, "negative_quantity"), (10**16, "amount_out_of_range")])
def test_a_promise_out_of_bounds_is_refused(store: Store, minimum: int, code: str) -> None:
    open_shop(store)
    sell(store, "plan", [FEE])
    join(store, "anna")
    sub = take(store, date(2024, 4, 1), "plan", committed_minimum_minor=90)
    with pytest.raises(BillingError) as refused:
        change_commitment(store, at(date(2024, 4, 2)), subscription_id=sub, committed_minimum_minor=minimum)
    assert refused.value.code == code
    with pytest.raises(BillingError):
        agree_ramp(
            store,
            at(date(2024, 4, 2)),
            subscription_id=sub,
            phases=[Phase(date(2024, 5, 1), committed_minimum_minor=minimum)],
        )


def test_the_promise_of_a_canceled_subscription_stays(store: Store) -> None:
    open_shop(store)
    sell(store, "plan", [FEE])
    join(store, "anna")
    sub = take(store, date(2024, 4, 1), "plan", committed_minimum_minor=90)
    subscriptions.cancel(store, at(date(2024, 4, 5)), subscription_id=sub, when="now")
    with pytest.raises(BillingError) as refused:
        change_commitment(store, at(date(2024, 4, 6)), subscription_id=sub, committed_minimum_minor=9)
    assert refused.value.code == "illegal_transition"
