"""What needs a purchase order and has none that fits is held: nothing of it is posted, and nothing is
lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from shop import (
    OPENED,
    Act,
    at,
    fee,
    item_of,
    join,
    last_day,
    life,
    lines,
    live,
    open_shop,
    parked,
    perform,
    run,
    sell,
    sell_alone,
    shop_of_lives,
    take,
    use,
)
from sqlalchemy import select, text, update
from test_bill_properties import net_by_period

from billing.core.money import BillingError
from billing.jobs.bill_run import bill, preview
from billing.jobs.dry_run import dry_run
from billing.service import catalog, subscriptions
from billing.service.customers import change_customer
from billing.service.drafts import drafts
from billing.service.invoicing import set_invoicing
from billing.service.purchase_orders import (
    change_purchase_order,
    close_purchase_order,
    create_purchase_order,
    held_documents_of,
    list_purchase_orders,
)
from billing.service.voids import void_invoice
from billing.store import tables
from billing.store.store import Store, open_store

JUNE, JULY = date(2025, 6, 1), date(2025, 7, 1)


def shop(store: Store, **about: Any) -> Store:
    open_shop(store, tax_rate_ppm=200_000)
    sell(store, "plan", fee("100.00"))
    sell(store, "large", fee("160.00"))
    join(store, "anna", **about)
    return store


def order(store: Store, **about: Any) -> str:
    named = {"customer_id": "anna", "number": "4711", "valid_start": JUNE} | about
    return create_purchase_order(store, OPENED, **named)


def nets(store: Store) -> list[int]:
    return [net for (net,) in lines(store, "net_minor")]


def held(store: Store, summary: Any) -> list[tuple[str, int]]:
    return [(row["code"], row["net_minor"]) for row in held_documents_of(store, run_id=summary.run_id)]


def test_a_payer_that_needs_an_order_is_billed_once_it_has_one(store: Store) -> None:
    shop(store, requires_purchase_order=True)
    sub = take(store, JUNE, "plan")
    first = run(store, JUNE)
    assert (first.held, first.invoices, first.parked, nets(store)) == (1, 0, 0, [])
    assert held(store, first) == [("po_missing", 10_000)]
    # It stays due, and the next run says the same again.
    second = run(store, date(2025, 6, 2))
    assert (second.customers, second.held) == (1, 1)
    set_invoicing(store, at(date(2025, 6, 3)), subscription_id=sub, po_id=order(store))
    third = run(store, date(2025, 6, 3))
    assert (third.held, third.invoices, nets(store)) == (0, 1, [10_000])
    assert run(store, date(2025, 6, 3), 22).customers == 0


def test_the_other_documents_of_the_customer_are_issued(store: Store) -> None:
    shop(store)
    take(store, JUNE, "plan", po_id=order(store, budget="99.99"))
    take(store, JUNE, "large")
    summary = run(store, JUNE)
    assert (summary.held, summary.invoices, nets(store)) == (1, 1, [16_000])
    assert held(store, summary) == [("po_exhausted", 10_000)]
    messages = store.frame(select(tables.outbox)).filter(topic="document.held")
    assert messages["subject_id"].to_list() == ["anna"]


def test_an_order_is_spent_before_tax_and_what_is_credited_comes_back(store: Store) -> None:
    shop(store)
    po_id = order(store, budget="260.00")
    sub = take(store, JUNE, "plan", po_id=po_id)
    other = take(store, JUNE, "large", po_id=po_id)
    run(store, JUNE)
    assert [
        (one.billed_minor, one.left_minor) for one in list_purchase_orders(store, customer_id="anna")
    ] == [(26_000, 0)]
    half = date(2025, 6, 16)
    subscriptions.cancel(store, at(half), subscription_id=other, when="now")
    run(store, half)
    assert [one.billed_minor for one in list_purchase_orders(store, customer_id="anna")] == [18_000]
    # 80.00 are left and July costs 100.00.
    summary = run(store, JULY)
    assert held(store, summary) == [("po_exhausted", 10_000)]
    change_purchase_order(store, at(JULY), po_id=po_id, budget="280.00")
    assert run(store, JULY, 22).invoices == 1
    assert [one.left_minor for one in list_purchase_orders(store, customer_id="anna")] == [0]
    assert sub in {row["subscription_id"] for row in store.rows(select(tables.subscriptions))}


def test_a_void_gives_its_budget_back(store: Store) -> None:
    shop(store)
    take(store, JUNE, "plan", po_id=order(store, budget="100.00"))
    run(store, JUNE)
    ((invoice_id,),) = store.frame(select(tables.invoices.c.invoice_id)).rows()
    void_invoice(store, at(JUNE, 21), invoice_id=invoice_id, reason="wrong address")
    assert run(store, JUNE, 22).invoices == 1
    assert [one.left_minor for one in list_purchase_orders(store, customer_id="anna")] == [0]


def test_an_order_is_valid_from_its_first_day_to_the_day_before_its_end(store: Store) -> None:
    shop(store)
    po_id = order(store, valid_start=date(2025, 6, 2), valid_end=JULY)
    take(store, JUNE, "plan", po_id=po_id)
    assert held(store, run(store, JUNE)) == [("po_expired", 10_000)]
    assert run(store, date(2025, 6, 2)).invoices == 1
    assert held(store, run(store, JULY)) == [("po_expired", 10_000)]
    change_purchase_order(store, at(JULY), po_id=po_id, valid_end=date(2025, 7, 2))
    assert run(store, JULY, 22).invoices == 1
    assert nets(store) == [10_000, 10_000]


def test_a_closed_order_bills_nothing_more(store: Store) -> None:
    shop(store)
    po_id = order(store)
    take(store, JUNE, "plan", po_id=po_id)
    run(store, JUNE)
    close_purchase_order(store, at(date(2025, 6, 20)), po_id=po_id)
    assert held(store, run(store, JULY)) == [("po_expired", 10_000)]
    with pytest.raises(BillingError, match="illegal_transition"):
        close_purchase_order(store, at(JULY), po_id=po_id)


def test_a_credit_alone_needs_no_order(store: Store) -> None:
    shop(store)
    sub = take(store, JUNE, "plan")
    run(store, JUNE)
    change_customer(store, at(JUNE), customer_id="anna", requires_purchase_order=True)
    subscriptions.cancel(store, at(date(2025, 6, 16)), subscription_id=sub, when="now")
    summary = run(store, date(2025, 6, 16))
    assert (summary.held, summary.credit_notes) == (0, 1)


def test_two_documents_of_one_order_are_issued_as_far_as_its_budget_goes(store: Store) -> None:
    shop(store)
    po_id = order(store, budget="200.00")
    take(store, JUNE, "large", po_id=po_id, consolidation_group="a")
    take(store, JUNE, "plan", po_id=po_id, consolidation_group="b")
    summary = run(store, JUNE)
    assert (summary.invoices, held(store, summary)) == (1, [("po_exhausted", 10_000)])
    change_purchase_order(store, at(JUNE), po_id=po_id, budget="260.00")
    assert run(store, JUNE, 22).invoices == 1


def test_usage_that_is_held_counts_what_came_until_it_is_billed(store: Store) -> None:
    open_shop(store, tax_rate_ppm=0)
    part, price = (
        catalog.NewComponent("use", "usage", "calls"),
        catalog.NewPrice("plan.1.use", "per_unit", "1"),
    )
    sell_alone(store, part, price)
    join(store, "anna", requires_purchase_order=True)
    sub = take(store, JUNE, "plan")
    use(store, date(2025, 6, 20), item_of(store, sub), date(2025, 6, 20), 100, "1")
    assert run(store, JULY).held == 1
    assert store.frame(select(tables.usage_snapshots)).is_empty()
    use(store, date(2025, 7, 3), item_of(store, sub), date(2025, 6, 21), 30, "2")
    set_invoicing(store, at(date(2025, 7, 3)), subscription_id=sub, po_id=order(store))
    run(store, date(2025, 7, 3))
    assert lines(store, "service_start", "net_minor") == [(JUNE, 13_000)]
    assert parked(store) == {}


def test_previews_leave_out_what_would_be_held_and_drafts_say_so(store: Store) -> None:
    shop(store, requires_purchase_order=True)
    take(store, JUNE, "plan")
    found = preview(store, at(JUNE), customer_id="anna", up_to=JUNE)
    assert (found.lines.height, found.held["code"].to_list()) == (0, ["po_missing"])
    shown = drafts(store, at(JUNE), up_to=JUNE, customer_id="anna")
    assert shown.documents.select("net_minor", "held").rows() in ([], [(10_000, "po_missing")])
    with dry_run(store):
        assert run(store, JUNE).held == 1
    assert store.frame(select(tables.held_documents)).is_empty()


@pytest.mark.parametrize(
    ("about", "code"),
    [
        ({"customer_id": "nobody"}, "unknown_customer"),
        ({"number": " "}, "missing_value"),
        ({"budget": "-1"}, "negative_quantity"),
        ({"budget": "1.001"}, "too_many_decimals"),
        ({"currency": "XXX"}, "unknown_currency"),
        ({"valid_end": JUNE}, "empty_period"),
        ({"number": "taken"}, "immutable"),
    ],
)
def test_an_order_that_cannot_be_is_refused(store: Store, about: dict[str, Any], code: str) -> None:
    shop(store)
    order(store, number="taken")
    with pytest.raises(BillingError) as refused:
        order(store, **about)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"budget": "99.99"}, "po_exhausted"),
        ({"valid_end": JUNE}, "empty_period"),
        ({"number": "1"}, "unknown_setting"),
    ],
)
def test_an_order_cannot_become_less_than_what_is_billed_on_it(
    store: Store, changes: dict[str, Any], code: str
) -> None:
    shop(store)
    po_id = order(store, budget="100.00")
    take(store, JUNE, "plan", po_id=po_id)
    run(store, JUNE)
    with pytest.raises(BillingError) as refused:
        change_purchase_order(store, at(JUNE), po_id=po_id, **changes)
    assert refused.value.code == code
    with pytest.raises(BillingError, match="unknown_purchase_order"):
        change_purchase_order(store, at(JUNE), po_id="none", budget="1")


# Whatever is held for a while ends at the same total.


def billed_with_orders(acts: tuple[Act, ...], missing: tuple[int, int], budget: str | None) -> Store:
    """A life billed daily, without order on some of its days, then with one that grows as it is used up."""
    store = shop_of_lives(credit_rounding="kept_time")
    change_customer(store, OPENED, customer_id="anna", requires_purchase_order=True)
    po_id = order(store, budget=budget, valid_start=date(2020, 1, 1))
    first = acts[0].on
    with_order = [first + timedelta(days=missing[0]), first + timedelta(days=sum(missing))]
    on, done = first, 0
    while on <= last_day(acts):
        while done < len(acts) and acts[done].on == on:
            perform(store, acts[done], done)
            done += 1
        if store.row(select(tables.subscriptions.c.subscription_id)):
            has_none = with_order[0] <= on < with_order[1]
            set_invoicing(store, at(on), subscription_id="sub", po_id=None if has_none else po_id)
        run(store, on)
        check_budget(store)
        on += timedelta(days=1)
    change_purchase_order(store, at(on), po_id=po_id, budget=None)
    bill(store, at(last_day(acts), 22), up_to=last_day(acts))
    return store


def check_budget(store: Store) -> None:
    for one in list_purchase_orders(store, customer_id="anna"):
        assert one.budget_minor is None or one.billed_minor <= one.budget_minor


@pytest.mark.usefixtures("each_database")
@examples(2, 8)
@given(
    st.integers(0, 10_000),
    st.tuples(st.integers(0, 60), st.integers(1, 90)),
    st.sampled_from([None, "15.00", "60.00"]),
)
def test_what_was_held_is_billed_in_the_end_as_if_it_never_was(
    seed: int, missing: tuple[int, int], budget: str | None
) -> None:
    acts = life(seed)
    plain = net_by_period(live(acts, "daily", credit_rounding="kept_time"))
    store = billed_with_orders(acts, missing, budget)
    assert parked(store) == {}
    assert net_by_period(store) == plain
    store.execute(update(tables.customers).values(next_bill_on=acts[0].on, unsettled_from=None))
    again = run(store, last_day(acts), 23)
    assert (again.lines, again.held) == (0, 0)


WAITING = select(text("pid")).select_from(
    text("pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
)


def test_two_runs_at_once_never_spend_a_budget_twice(request: pytest.FixtureRequest) -> None:
    """Two members are billed to one parent, by two runs: the order has room for one of them."""
    fresh: Callable[[], str] = request.getfixturevalue("_postgres_databases")
    url = fresh()
    with open_store(url) as one, open_store(url) as other:
        open_shop(one, tax_rate_ppm=0)
        sell(one, "plan", fee("100.00"))
        join(one, "parent")
        po_id = create_purchase_order(
            one, OPENED, customer_id="parent", number="1", budget="150.00", valid_start=JUNE
        )
        for name in ("first", "second"):
            join(one, name, parent_id="parent", bill_to_id="parent")
            take(one, JUNE, "plan", name, po_id=po_id)
        second = {"next_bill_on": date(2025, 6, 2)}
        is_second = tables.customers.c.customer_id == "second"
        one.execute(update(tables.customers).where(is_second).values(second))
        with ThreadPoolExecutor() as pool:
            with other.transaction():
                assert run(other, JUNE).invoices == 1
                billed = pool.submit(run, one, date(2025, 6, 2))
                while not (billed.done() or other.rows(WAITING)):
                    time.sleep(0.01)
            assert (billed.result().invoices, billed.result().held) == (0, 1)
        assert [row.billed_minor for row in list_purchase_orders(one, customer_id="parent")] == [10_000]
