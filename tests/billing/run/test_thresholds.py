"""Usage is billed early once it reaches a threshold of its plan, and at its end like any other."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from shop import (
    OPENED,
    Part,
    at,
    item_of,
    join,
    lines,
    new_store,
    open_shop,
    parked,
    run,
    take,
    use,
)
from soundness import assert_sound
from sqlalchemy import select, update

from billing.core.money import BillingError
from billing.service import catalog, subscriptions
from billing.service.discounts import create_discount, give_discount
from billing.service.purchase_orders import change_purchase_order, create_purchase_order
from billing.service.voids import void_invoice
from billing.store import tables
from billing.store.store import Store

JUNE, JULY, AUGUST = date(2025, 6, 1), date(2025, 7, 1), date(2025, 8, 1)
CALLS = Part("calls", "usage", "1.00", "per_unit")


def shop(
    store: Store, thresholds: list[str], *, tax: int = 0, fee: str | None = None, **policy: str | int
) -> Store:
    open_shop(store, tax_rate_ppm=tax, **policy)
    parts = [Part("fee", "fee", fee), CALLS] if fee else [CALLS]
    publish(store, "plan", parts, thresholds)
    join(store, "anna")
    return store


def publish(store: Store, plan_id: str, parts: list[Part], thresholds: list[str]) -> None:
    catalog.create_plan(store, OPENED, plan_id=plan_id, name="Plan", product_id="goods")
    catalog.publish_plan_version(
        store,
        OPENED,
        plan_id=plan_id,
        interval="P1M",
        in_advance=False,
        components=[
            catalog.NewComponent(part.name, part.kind, "calls" if part.kind == "usage" else None)
            for part in parts
        ],
        thresholds={"EUR": thresholds} if thresholds else None,
    )
    prices = [catalog.NewPrice(f"{plan_id}.1.{part.name}", part.model, part.price) for part in parts]
    catalog.create_price_list(
        store,
        OPENED,
        list_id=plan_id,
        name=plan_id,
        currency="EUR",
        valid_start=date(2000, 1, 1),
        prices=prices,
    )


def call(store: Store, sub: str, on: date, value: int, event_id: str, arrived: date | None = None) -> None:
    use(store, arrived or on, item_of(store, sub), on, value, event_id)


def invoices(store: Store) -> list[tuple[str, date, int, int]]:
    frame = store.frame(select(tables.invoices).order_by(tables.invoices.c.invoice_id))
    return frame.select("kind", "issued_on", "net_minor", "tax_minor").rows()


def look_again(store: Store, on: date) -> Any:
    store.execute(update(tables.customers).values(next_bill_on=on, unsettled_from=None))
    return run(store, on, 22)


def june(day: int) -> date:
    return date(2025, 6, day)


def test_a_threshold_bills_all_usage_so_far_and_the_end_of_the_period_the_rest(store: Store) -> None:
    shop(store, ["200.00"])
    sub = take(store, JUNE, "plan")
    call(store, sub, june(10), 199, "1")
    assert run(store, june(10)).lines == 0
    call(store, sub, june(12), 31, "2")
    assert run(store, june(12)).invoices == 1
    assert run(store, june(12), 22).customers == 0
    assert_sound(store, at(june(12), 23))
    call(store, sub, june(20), 20, "3")
    assert run(store, june(20)).lines == 0
    run(store, JULY)
    assert invoices(store) == [("threshold", june(12), 23_000, 0), ("regular", JULY, 2_000, 0)]
    shown = lines(store, "entry", "quantity_mantissa", "net_minor")
    assert shown == [("charge", 230, 23_000), ("charge", 250, 25_000), ("credit", 230, -23_000)]
    assert look_again(store, JULY).lines == 0
    assert parked(store) == {}


def test_shown_net_the_end_of_the_period_bills_the_difference_in_one_line(store: Store) -> None:
    shop(store, ["200.00"], progressive_display="net")
    sub = take(store, JUNE, "plan")
    call(store, sub, june(12), 230, "1")
    run(store, june(12))
    call(store, sub, june(20), 20, "2")
    run(store, JULY)
    assert lines(store, "entry", "quantity_mantissa", "net_minor") == [
        ("charge", 230, 23_000),
        ("charge", 20, 2_000),
    ]


def test_each_threshold_acts_once_and_bills_what_the_earlier_ones_did_not(store: Store) -> None:
    shop(store, ["100.00", "200.00", "500.00"])
    sub = take(store, JUNE, "plan")
    for day, value in ((3, 100), (5, 50), (7, 60), (9, 400)):
        call(store, sub, june(day), value, str(day))
        run(store, june(day))
    run(store, JULY)
    assert invoices(store) == [
        ("threshold", june(3), 10_000, 0),
        ("threshold", june(7), 11_000, 0),
        ("threshold", june(9), 40_000, 0),
        ("regular", JULY, 0, 0),
    ]
    # One line for the whole, one for all that was billed before.
    assert lines(store, "entry", "net_minor")[3:] == [("charge", 61_000), ("credit", -61_000)]
    assert look_again(store, JULY).lines == 0


def test_a_new_period_begins_below_its_thresholds(store: Store) -> None:
    shop(store, ["200.00"])
    sub = take(store, JUNE, "plan")
    call(store, sub, june(12), 230, "1")
    run(store, june(12))
    run(store, JULY)
    call(store, sub, date(2025, 7, 5), 150, "2")
    assert run(store, date(2025, 7, 5)).lines == 0
    call(store, sub, date(2025, 7, 6), 50, "3")
    run(store, date(2025, 7, 6))
    assert invoices(store)[-1] == ("threshold", date(2025, 7, 6), 20_000, 0)


def test_late_usage_and_corrections_after_the_end_are_compared_with_all_that_was_billed(store: Store) -> None:
    shop(store, ["200.00"])
    sub = take(store, JUNE, "plan")
    call(store, sub, june(12), 230, "1")
    run(store, june(12))
    call(store, sub, june(20), 20, "2")
    run(store, JULY)
    call(store, sub, june(25), 30, "3", arrived=date(2025, 7, 3))
    run(store, AUGUST)
    assert lines(store, "entry", "net_minor")[3:] == [("charge", 3_000)]
    call(store, sub, june(26), -270, "4", arrived=date(2025, 8, 3))
    run(store, date(2025, 9, 1))
    # 10 calls stay: 30.00 come back of the last line, 20.00 of the one before, 220.00 of the early one.
    notes = store.frame(select(tables.credit_note_lines)).sort("net_minor")
    assert notes["net_minor"].to_list() == [2_000, 3_000, 22_000]
    assert look_again(store, date(2025, 9, 1)).lines == 0
    assert parked(store) == {}


def test_less_usage_than_was_billed_early_is_credited_at_the_end(store: Store) -> None:
    shop(store, ["200.00"], fee="31.00")
    sub = take(store, JUNE, "plan")
    call(store, sub, june(12), 200, "1")
    run(store, june(12))
    call(store, sub, june(20), -50, "2")
    run(store, JULY)
    # 50.00 come back, more than the fee: the fee is invoiced, and they are a credit note.
    assert invoices(store)[-1] == ("regular", JULY, 3_100, 0)
    assert store.frame(select(tables.credit_notes))["net_minor"].to_list() == [5_000]
    assert look_again(store, JULY).lines == 0


@pytest.mark.parametrize("display", ["gross", "net"])
def test_the_sums_are_the_same_however_it_is_shown(store: Store, display: str) -> None:
    shop(store, ["1.00"], tax=210_000, progressive_display=display)
    sub = take(store, JUNE, "plan")
    store.execute(update(tables.meters).values(scale=2))
    call(store, sub, june(12), 1, "1")
    run(store, june(12))
    call(store, sub, june(20), 1, "2")
    run(store, JULY)
    sums = (
        store.frame(select(tables.line_items))
        .group_by("invoice_id")
        .agg(pl.col("net_minor", "tax_minor").sum())
    )
    papers = store.frame(select(tables.invoices)).select("invoice_id", "net_minor", "tax_minor")
    assert papers.sort("invoice_id").equals(sums.sort("invoice_id").select(papers.columns))
    assert_sound(store, at(JULY, 23))


def test_an_end_in_the_middle_of_the_period_bills_the_rest_on_that_day(store: Store) -> None:
    shop(store, ["200.00"], fee="30.00")
    sub = take(store, JUNE, "plan")
    call(store, sub, june(12), 230, "1")
    run(store, june(12))
    subscriptions.cancel(store, at(june(16)), subscription_id=sub, when="now")
    run(store, june(16))
    assert invoices(store)[-1] == ("regular", june(16), 1_500, 0)
    assert sorted(lines(store, "service_end", "entry", "net_minor")[1:]) == [
        (june(16), "charge", 1_500),
        (june(16), "charge", 23_000),
        (june(16), "credit", -23_000),
    ]
    assert look_again(store, june(16)).lines == 0


def test_document_discounts_act_on_what_is_billed_and_not_on_what_was(store: Store) -> None:
    shop(store, ["200.00"], tax=190_000)
    create_discount(store, OPENED, discount_id="tenth", name="x", scope="document", discount_ppm=100_000)
    give_discount(store, OPENED, customer_id="anna", discount_id="tenth")
    sub = take(store, JUNE, "plan")
    call(store, sub, june(12), 200, "1")
    run(store, june(12))
    call(store, sub, june(20), 50, "2")
    run(store, JULY)
    assert invoices(store) == [("threshold", june(12), 18_000, 3_420), ("regular", JULY, 4_500, 855)]
    uses = store.frame(select(tables.discount_uses)).sort("line_id")["amount_minor"].to_list()
    assert uses == [2_000, 500]
    assert_sound(store, at(JULY, 23))
    assert look_again(store, JULY).lines == 0


def test_a_held_early_invoice_is_billed_when_its_order_allows(store: Store) -> None:
    shop(store, ["200.00"])
    po_id = create_purchase_order(
        store, OPENED, customer_id="anna", number="1", budget="100.00", valid_start=JUNE
    )
    sub = take(store, JUNE, "plan", po_id=po_id)
    call(store, sub, june(12), 230, "1")
    assert (run(store, june(12)).held, invoices(store)) == (1, [])
    change_purchase_order(store, at(june(13)), po_id=po_id, budget=None)
    run(store, june(13))
    assert invoices(store) == [("threshold", june(13), 23_000, 0)]


def test_a_void_early_invoice_is_billed_anew(store: Store) -> None:
    shop(store, ["200.00"])
    sub = take(store, JUNE, "plan")
    call(store, sub, june(12), 230, "1")
    run(store, june(12))
    ((invoice_id,),) = store.frame(select(tables.invoices.c.invoice_id)).rows()
    void_invoice(store, at(june(12), 21), invoice_id=invoice_id, reason="wrong address")
    run(store, june(12), 22)
    run(store, JULY)
    assert [one[2] for one in invoices(store)] == [23_000, 23_000, 0]
    assert look_again(store, JULY).lines == 0


def test_a_void_invoice_that_shows_usage_whole_is_billed_anew(store: Store) -> None:
    shop(store, ["200.00"])
    sub = take(store, JUNE, "plan")
    call(store, sub, june(12), 230, "1")
    run(store, june(12))
    call(store, sub, june(20), 20, "2")
    run(store, JULY)
    last = store.frame(select(tables.invoices)).sort("invoice_id").item(-1, "invoice_id")
    void_invoice(store, at(JULY, 21), invoice_id=last, reason="wrong address")
    assert store.frame(select(tables.credit_notes))["net_minor"].to_list() == [2_000]
    run(store, JULY, 22)
    assert [one[2] for one in invoices(store)] == [23_000, 2_000, 2_000]
    assert_sound(store, at(JULY, 23))
    assert look_again(store, JULY).lines == 0


def test_usage_makes_due_only_who_has_thresholds(store: Store) -> None:
    shop(store, ["200.00"])
    publish(store, "plain", [CALLS], [])
    join(store, "bert")
    subs = {name: take(store, JUNE, plan, name) for name, plan in (("anna", "plan"), ("bert", "plain"))}
    run(store, JUNE)
    for name, sub in subs.items():
        call(store, sub, june(5), 1, name)
    due = dict(store.frame(select(tables.customers.c.customer_id, tables.customers.c.next_bill_on)).rows())
    assert due == {"anna": june(5), "bert": JULY}


@pytest.mark.parametrize(
    ("thresholds", "part", "code"),
    [
        ({"EUR": ["0"]}, CALLS, "bad_tiers"),
        ({"EUR": ["20.00", "10.00"]}, CALLS, "bad_tiers"),
        ({"EUR": ["1.001"]}, CALLS, "too_many_decimals"),
        ({"XXX": ["1"]}, CALLS, "unknown_currency"),
        ({"EUR": ["1"]}, Part("fee", "fee", "1"), "illegal_plan"),
    ],
)
def test_thresholds_that_cannot_be_are_refused(
    store: Store, thresholds: dict[str, list[str]], part: Part, code: str
) -> None:
    open_shop(store)
    catalog.create_plan(store, OPENED, plan_id="plan", name="Plan", product_id="goods")
    component = catalog.NewComponent(part.name, part.kind, "calls" if part.kind == "usage" else None)
    with pytest.raises(BillingError) as refused:
        catalog.publish_plan_version(
            store, OPENED, plan_id="plan", interval="P1M", components=[component], thresholds=thresholds
        )
    assert refused.value.code == code
    assert store.frame(select(tables.plan_versions)).is_empty()


# Whenever usage is billed, the same is billed in the end.

events = st.lists(st.tuples(st.integers(0, 80), st.integers(-40, 150)), min_size=1, max_size=8)


def billed(thresholds: list[str], given: list[tuple[int, int]], display: str) -> dict[date, int]:
    store = new_store()
    shop(store, thresholds, progressive_display=display)
    sub = take(store, JUNE, "plan")
    for number, (offset, value) in enumerate(sorted(given)):
        on = JUNE + timedelta(days=offset)
        run(store, on, 6)
        call(store, sub, on, value, str(number))
        run(store, on)
    for on in (JULY, AUGUST, date(2025, 9, 1)):
        run(store, on, 22)
    assert look_again(store, date(2025, 9, 1)).lines == 0
    posted = store.frame(select(tables.line_items))
    noted = store.frame(select(tables.credit_note_lines.c.line_id, tables.credit_note_lines.c.net_minor))
    of_notes = noted.with_columns(-pl.col("net_minor")).join(
        posted.select("line_id", "reference_start"), on="line_id"
    )
    columns = ["reference_start", "net_minor"]
    sums = pl.concat([posted.select(columns), of_notes.select(columns)])
    found = sums.group_by("reference_start").agg(pl.col("net_minor").sum())
    return {start: net for start, net in found.iter_rows() if net} if not parked(store) else {}


@pytest.mark.usefixtures("each_database")
@examples(2, 8)
@given(events, st.sampled_from(["gross", "net"]))
def test_thresholds_change_when_and_not_what_is_billed(given: list[tuple[int, int]], display: str) -> None:
    given = [(0, 200), *given]
    assert billed(["50.00", "120.00"], given, display) == billed([], given, display)
