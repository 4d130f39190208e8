"""Every usage event is billed, or listed with the reason why it is not."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from shop import Part, at, item_of, join, life, lines, live, open_shop, parked, run, sell, take, use
from sqlalchemy import select

from billing.jobs.import_usage import import_usage
from billing.service import catalog, subscriptions
from billing.service.policies import set_policy
from billing.store import tables
from billing.store.store import Store

CALLS = [Part("calls", "usage", "0.01", "per_unit")]
START, END = date(2024, 3, 1), date(2024, 4, 1)


def reasons(store: Store) -> dict[str, str | None]:
    """Every event and its reason."""
    events = tables.usage_events.c
    return {
        row["event_id"]: row["unbilled_reason"]
        for row in store.rows(select(events.event_id, events.unbilled_reason).order_by(events.seq))
    }


def net(store: Store) -> int:
    """All that was charged, less all that was given back."""
    back = store.rows(select(tables.credit_note_lines.c.net_minor))
    return sum(row[-1] for row in lines(store)) - sum(row["net_minor"] for row in back)


def shop(store: Store, **settings: str | int) -> tuple[str, str]:
    """Anna buys calls from 1 March on; the subscription and its item."""
    open_shop(store, **settings)
    sell(store, "cheap", CALLS, in_advance=False)
    sell(store, "fixed", [Part("fee", "fee", "0")], in_advance=False)
    join(store, "anna")
    sub = take(store, START, "cheap")
    return sub, item_of(store, sub)


def days_of_march(*days: int) -> list[date]:
    return [date(2024, 3, day) for day in days]


def use_each(store: Store, item: str, days: Iterable[date], arrived: date | None = None) -> None:
    """100 calls on each day, that arrived on it unless told otherwise."""
    for on in days:
        use(store, arrived or on, item, on, 100, f"{on:%d %B}")


@pytest.mark.parametrize(
    ("setting", "billed", "left_out"),
    [("include", 300, ["13 March"]), ("exclude", 200, ["12 March", "13 March"])],
)
@pytest.mark.parametrize("comes", ["before the cancellation is known", "after it", "after it was billed"])
def test_what_is_used_after_the_end_is_kept_with_its_reason(
    store: Store, setting: str, billed: int, left_out: list[str], comes: str
) -> None:
    sub, item = shop(store, end_day_usage=setting)
    first, last = days_of_march(2, 5), days_of_march(12, 13)
    use_each(store, item, first)
    end = last[0]
    if comes == "before the cancellation is known":
        use_each(store, item, last, arrived=end)
    subscriptions.cancel(store, at(end, 9), subscription_id=sub, when="now")
    if comes == "after it was billed":
        run(store, end)
    if comes != "before the cancellation is known":
        use_each(store, item, last, arrived=end + timedelta(days=1))
    run(store, end + timedelta(days=1))
    run(store, END)
    assert net(store) == billed
    found = reasons(store)
    assert {event: found[event] for event in left_out} == dict.fromkeys(left_out, "after_end")
    assert [event for event, reason in found.items() if reason is None] == [
        event for event in found if event not in left_out
    ]


def test_what_is_used_before_the_start_is_kept_with_its_reason(store: Store) -> None:
    _, item = shop(store)
    use_each(store, item, [START - timedelta(days=1), START], arrived=START)
    run(store, END)
    assert net(store) == 100
    assert reasons(store) == {"29 February": "before_start", "01 March": None}


def test_usage_of_a_meter_that_is_not_sold_is_kept_with_its_reason(store: Store) -> None:
    open_shop(store)
    sell(store, "fixed", [Part("fee", "fee", "1.00")], in_advance=False)
    join(store, "anna")
    item = item_of(store, take(store, START, "fixed"))
    use_each(store, item, days_of_march(3))
    run(store, END)
    assert net(store) == 100
    assert reasons(store) == {"03 March": "not_sold"}


def test_usage_between_two_plans_that_sell_it_is_kept_with_its_reason(store: Store) -> None:
    sub, item = shop(store, upgrade_when="now", downgrade_when="now")
    one = {"subscription_id": sub, "when": "now"}
    subscriptions.change_plan(store, at(date(2024, 3, 10)), plan_id="fixed", **one)
    subscriptions.change_plan(store, at(date(2024, 3, 20)), plan_id="cheap", **one)
    use_each(store, item, days_of_march(9, 15, 20))
    run(store, END)
    assert net(store) == 200
    assert reasons(store) == {"09 March": None, "15 March": "no_service", "20 March": None}


def test_usage_in_a_free_trial_is_kept_with_its_reason(store: Store) -> None:
    open_shop(store, trial_usage="free")
    sell(store, "cheap", CALLS, in_advance=False)
    join(store, "anna")
    item = item_of(store, take(store, START, "cheap", trial_days=10))
    use_each(store, item, days_of_march(3, 10, 11))
    run(store, END)
    run(store, date(2024, 4, 11))
    assert net(store) == 100
    assert reasons(store) == {"03 March": "trial", "10 March": "trial", "11 March": None}


def test_a_reason_goes_when_the_end_it_spoke_of_is_taken_back(store: Store) -> None:
    sub, item = shop(store, end_day_usage="exclude")
    subscriptions.cancel(store, at(START), subscription_id=sub, when=date(2024, 3, 11))
    use_each(store, item, days_of_march(10, 11), arrived=date(2024, 3, 10))
    run(store, date(2024, 3, 10))
    assert reasons(store) == {"10 March": None, "11 March": "after_end"}
    subscriptions.undo_cancel(store, at(date(2024, 3, 10), 21), subscription_id=sub)
    run(store, END)
    assert reasons(store) == {"10 March": None, "11 March": None}
    assert net(store) == 200


# Too late.

APRIL, MAY, JUNE = date(2024, 4, 1), date(2024, 5, 1), date(2024, 6, 1)


def billed_by_month(store: Store) -> dict[int, int]:
    """Net of each month of service, on invoices and notes."""
    found: dict[int, int] = {}
    rows = store.rows(select(tables.line_items))
    month = {row["line_id"]: row["service_start"].month for row in rows}
    for row in rows:
        found[row["service_start"].month] = found.get(row["service_start"].month, 0) + row["net_minor"]
    for row in store.rows(select(tables.credit_note_lines)):
        found[month[row["line_id"]]] -= row["net_minor"]
    return found


@pytest.mark.parametrize(
    ("setting", "march", "left_out"),
    [
        ("next_invoice", 1600, []),
        ("while_draft", 100, ["1 April", "6 April", "7 April", "2 May"]),
        ("days:5", 700, ["7 April", "2 May"]),
        ("days:0", 300, ["6 April", "7 April", "2 May"]),
        ("periods:0", 100, ["1 April", "6 April", "7 April", "2 May"]),
        ("periods:1", 800, ["2 May"]),
        ("periods:2", 1600, []),
    ],
)
@pytest.mark.parametrize("many_runs", [False, True])
def test_late_usage_is_billed_as_far_back_as_the_policy_reads(
    store: Store, setting: str, march: int, left_out: list[str], many_runs: bool
) -> None:
    """100 calls of March came in time. 200, 400 and 100 more came on 1 (after the run), 6 and 7 April, 800 on
    2 May: what arrives in April would be billed on 1 May, one period back, the last on 1 June, two back."""
    _, item = shop(store, late_usage=setting)
    used = date(2024, 3, 15)
    use(store, used, item, used, 100, "in time")
    late = {APRIL: 200, date(2024, 4, 6): 400, date(2024, 4, 7): 100, date(2024, 5, 2): 800}
    days = {APRIL, MAY, JUNE} | (
        {date(2024, 4, 6), date(2024, 4, 20), date(2024, 5, 3)} if many_runs else set()
    )
    for day in sorted(days | set(late)):
        if day in days:
            run(store, day, 7)
        if day in late:
            use(store, day, item, used, late[day], f"{day.day} {day:%B}")
    assert parked(store) == {}
    assert billed_by_month(store)[3] == march
    found = reasons(store)
    assert [event for event in found if found[event] == "late"] == left_out
    assert run(store, JUNE).lines == 0


def test_a_period_that_was_never_billed_counts_whatever_came(store: Store) -> None:
    _, item = shop(store, late_usage="while_draft")
    use(store, date(2024, 5, 20), item, date(2024, 3, 15), 100, "late, but in time for the first run")
    run(store, JUNE)
    assert billed_by_month(store)[3] == 100
    assert set(reasons(store).values()) == {None}


@pytest.mark.parametrize(("setting", "billed"), [("periods:0", 100), ("periods:1", 300)])
def test_late_usage_of_an_item_that_ended_counts_from_its_last_period(
    store: Store, setting: str, billed: int
) -> None:
    sub, item = shop(store, late_usage=setting)
    used = date(2024, 3, 5)
    use(store, used, item, used, 100, "in time")
    subscriptions.cancel(store, at(date(2024, 3, 20)), subscription_id=sub, when="now")
    run(store, date(2024, 3, 20))
    use(store, date(2024, 3, 25), item, used, 200, "late")
    run(store, date(2024, 3, 25))
    assert billed_by_month(store)[3] == billed
    assert (reasons(store)["late"] == "late") == (billed == 100)


def test_a_level_that_came_too_late_for_its_period_holds_in_those_to_come(store: Store) -> None:
    open_shop(store, late_usage="while_draft")
    catalog.create_meter(store, at(date(2020, 1, 1)), meter_id="seats", name="Seats", is_recurring=True)
    _sell_seats(store)
    join(store, "anna")
    item = item_of(store, take(store, START, "seats"))
    use_seats(store, date(2024, 3, 3), item, 5, "in time")
    run(store, APRIL)
    use_seats(store, date(2024, 4, 8), item, 2, "late", on=date(2024, 3, 20))
    run(store, MAY)
    run(store, JUNE)
    assert billed_by_month(store) == {3: 500, 4: 700, 5: 700}
    assert reasons(store) == {"in time": None, "late": "late"}


def _sell_seats(store: Store) -> None:
    opened = at(date(2020, 1, 1))
    catalog.create_plan(store, opened, plan_id="seats", name="Seats", product_id="goods")
    catalog.publish_plan_version(
        store,
        opened,
        plan_id="seats",
        interval="P1M",
        in_advance=False,
        components=[catalog.NewComponent("seats", "usage", "seats")],
    )
    catalog.create_price_list(
        store,
        opened,
        list_id="seats",
        name="seats",
        currency="EUR",
        valid_start=date(2000, 1, 1),
        prices=[catalog.NewPrice("seats.1.seats", "per_unit", "1")],
    )


def use_seats(
    store: Store, arrived: date, item: str, value: int, event_id: str, on: date | None = None
) -> None:
    row: dict[str, Any] = {
        "source": "meter",
        "event_id": event_id,
        "item_id": item,
        "meter_id": "seats",
        "value": value,
        "occurred_on": on or arrived,
    }
    assert import_usage(store, at(arrived), pl.DataFrame([row])).accepted == 1


def test_events_priced_one_by_one_come_too_late_like_others(store: Store) -> None:
    open_shop(store, late_usage="periods:1")
    price = {"rate_percent": "10", "fee_per_event": "1"}
    sell(store, "share", [Part("share", "usage", None, "percentage", price)], in_advance=False)
    join(store, "anna")
    item = item_of(store, take(store, START, "share"))
    used = date(2024, 3, 5)
    use(store, used, item, used, 50, "in time")
    run(store, APRIL)
    use(store, date(2024, 4, 8), item, used, 0, "an event of nothing pays its fee")
    run(store, MAY)
    assert billed_by_month(store) == {3: 700}
    use(store, date(2024, 5, 8), item, used, 10, "too late")
    run(store, JUNE)
    assert billed_by_month(store) == {3: 700}
    assert [event for event, reason in reasons(store).items() if reason == "late"] == ["too late"]


# 27, in random lives.

SEEDS = [seed for seed in range(40) if sum(act.kind == "usage" for act in life(seed)) > 1][:2]


@pytest.mark.usefixtures("each_database")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "settings",
    [{}, {"end_day_usage": "exclude", "trial_usage": "free", "late_usage": "while_draft"}],
    ids=["by default", "with every reason"],
)
def test_what_was_billed_and_what_has_a_reason_is_all_that_was_used(
    seed: int, settings: dict[str, str]
) -> None:
    store = live(life(seed), "each", **settings)
    events = store.frame(select(tables.usage_events))
    assert events.height > 0
    key = ["item_id", "component_id", "service_start", "service_end"]
    counted = store.frame(select(tables.usage_snapshots)).sort("revision").group_by(key).last()
    without_reason = events.filter(pl.col("unbilled_reason").is_null())
    assert counted["quantity_mantissa"].sum() == without_reason["value_mantissa"].sum()
    store.close()


def test_usage_before_a_change_in_the_period_of_the_end_is_billed_when_it_comes_late(store: Store) -> None:
    sub, item = shop(store)
    sell(store, "dear", [Part("calls", "usage", "0.02", "per_unit")], in_advance=False)
    changed, ended = days_of_march(4, 25)
    subscriptions.change_plan(store, at(changed), subscription_id=sub, plan_id="dear", when="now")
    run(store, changed)
    subscriptions.cancel(store, at(ended), subscription_id=sub, when="now")
    for on in (ended, END):
        run(store, on)
    use_each(store, item, days_of_march(2, 19), arrived=date(2024, 4, 12))
    run(store, date(2024, 4, 12))
    # 100 calls at 0.01 before the change, 100 at 0.02 after it.
    assert net(store) == 300
    assert reasons(store) == {"02 March": None, "19 March": None}


@pytest.mark.parametrize("agreed", [{}, {"horizon_months": 2}, {"end_day_usage": "exclude"}])
def test_a_policy_of_the_future_does_not_judge_usage_of_today(store: Store, agreed: dict[str, Any]) -> None:
    sub, item = shop(store)
    set_policy(store, at(START), valid_from=date(2030, 1, 1), settings=agreed)
    for on in (END, date(2024, 5, 1), date(2024, 6, 1)):
        run(store, on)
    use_each(store, item, [START], arrived=date(2024, 6, 10))
    end = date(2024, 6, 16)
    subscriptions.cancel(store, at(end), subscription_id=sub, when="now")
    run(store, end)
    use_each(store, item, [end], arrived=date(2024, 7, 5))
    run(store, date(2024, 7, 5))
    assert (net(store), set(reasons(store).values())) == (200, {None})


def test_usage_of_a_paid_trial_is_billed_and_has_no_reason(store: Store) -> None:
    open_shop(store, trial_usage="free")
    sell(store, "cheap", CALLS, in_advance=False)
    sell(store, "try", CALLS, in_advance=False)
    join(store, "anna")
    sub = take(store, START, "cheap", trial_days=10, trial_plan_id="try")
    use_each(store, item_of(store, sub), days_of_march(5))
    for on in (*days_of_march(11), date(2024, 4, 11)):
        run(store, on)
    assert (net(store), reasons(store)) == (100, {"05 March": None})
