"""When usage is due after a change, and to which side of the end its last day belongs."""

from __future__ import annotations

from datetime import date

import pytest
from shop import Part, at, item_of, join, lines, open_shop, run, sell, take, use

from billing.service import subscriptions
from billing.store.store import Store

CALLS = [Part("calls", "usage", "0.01", "per_unit")]
DEAR = [Part("calls", "usage", "0.03", "per_unit")]
START, CHANGE, END = date(2024, 3, 1), date(2024, 3, 11), date(2024, 4, 1)


@pytest.mark.parametrize(
    ("setting", "at_once", "at_the_end"), [("at_change", [100], [100, 600]), ("period_end", [], [100, 600])]
)
def test_usage_before_a_change_is_due_with_it_or_at_the_period_end(
    store: Store, setting: str, at_once: list[int], at_the_end: list[int]
) -> None:
    open_shop(store, usage_on_change=setting)
    sell(store, "cheap", CALLS, in_advance=False)
    sell(store, "dear", DEAR, in_advance=False)
    join(store, "anna")
    sub = take(store, START, "cheap")
    item = item_of(store, sub)
    use(store, date(2024, 3, 5), item, date(2024, 3, 5), 100, "before")
    subscriptions.change_plan(store, at(CHANGE), subscription_id=sub, plan_id="dear", when="now")
    run(store, CHANGE)
    assert [net for *_, net in lines(store)] == at_once
    use(store, date(2024, 3, 20), item, date(2024, 3, 20), 200, "after")
    run(store, END)
    assert sorted(net for *_, net in lines(store)) == at_the_end


@pytest.mark.parametrize(("setting", "billed"), [("include", 300), ("exclude", 100)])
def test_usage_of_the_day_a_service_ends_counts_as_the_policy_says(
    store: Store, setting: str, billed: int
) -> None:
    open_shop(store, end_day_usage=setting)
    sell(store, "cheap", CALLS, in_advance=False)
    join(store, "anna")
    sub = take(store, START, "cheap")
    item = item_of(store, sub)
    use(store, date(2024, 3, 5), item, date(2024, 3, 5), 100, "before")
    subscriptions.cancel(store, at(date(2024, 3, 10)), subscription_id=sub, when=CHANGE)
    use(store, CHANGE, item, CHANGE, 200, "on the last day")
    run(store, CHANGE)
    run(store, END)
    assert [(start, end, net) for _, _, start, end, net in lines(store)] == [(START, CHANGE, billed)]
