"""Discounts of documents act on posted charges, before tax, and the run never takes them for something
unbilled."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
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
    fee,
    item_of,
    join,
    last_day,
    life,
    lines,
    open_shop,
    parked,
    perform,
    run,
    sell,
    shop_of_lives,
    take,
    use,
)
from soundness import assert_sound
from sqlalchemy import select, text, update

from billing.core.money import BillingError
from billing.service import subscriptions
from billing.service.credit_notes import issue_credit_note
from billing.service.discounts import create_discount, end_discount, give_discount
from billing.service.purchase_orders import create_purchase_order
from billing.service.voids import void_invoice
from billing.store import tables
from billing.store.store import Store, open_store

JANUARY, FEBRUARY, MARCH = date(2025, 1, 1), date(2025, 2, 1), date(2025, 3, 1)
FOUR = [Part(name, "fee", price) for name, price in (("a", "100"), ("b", "50"), ("c", "30"), ("d", "20"))]
HALF, FIFTY = {"discount_ppm": 500_000}, {"amount": "50.00", "currency": "EUR"}
TENTH = {"discount_ppm": 100_000}
CALLS = Part("calls", "usage", "1.00", "per_unit")


def shop(
    store: Store, parts: Sequence[Part], *, tax: int = 0, policy: dict[str, Any] | None = None, **given: Any
) -> Store:
    """A plan of these parts; anna has these discounts, the first the oldest."""
    open_shop(store, tax_rate_ppm=tax, **(policy or {}))
    sell(store, "plan", parts)
    join(store, "anna")
    for age, (discount_id, about) in enumerate(given.items(), start=1):
        about = {"name": discount_id, "scope": "document"} | about
        create_discount(store, OPENED, discount_id=discount_id, **about)
        give_discount(
            store, OPENED, customer_id="anna", discount_id=discount_id, valid_start=date(2020, 1, age)
        )
    return store


def nets(store: Store) -> list[int]:
    return [net for (net,) in lines(store, "net_minor")]


def invoices(store: Store) -> list[tuple[int, int]]:
    frame = store.frame(select(tables.invoices).order_by(tables.invoices.c.number))
    return frame.select("net_minor", "tax_minor").rows()


def uses(store: Store) -> list[tuple[str, int]]:
    frame = store.frame(select(tables.discount_uses)).sort("line_id", "discount_id")
    return frame.select("discount_id", "amount_minor").rows()


def look_again(store: Store, on: date) -> Any:
    store.execute(update(tables.customers).values(next_bill_on=on, unsettled_from=None))
    return run(store, on, 22)


@pytest.mark.parametrize(
    ("parts", "given", "expected"),
    [
        (fee("100.00"), {"tenth": TENTH, "fifty": FIFTY}, [4_000]),
        (fee("100.00"), {"fifty": FIFTY, "tenth": TENTH}, [4_000]),
        (
            [Part("a", "fee", "10.00"), Part("b", "fee", "20.00")],
            {"forty": {"amount": "40.00", "currency": "EUR"}},
            [0, 0],
        ),
        (FOUR, {"ten": {"amount": "10.00", "currency": "EUR"}}, [9_500, 4_750, 2_850, 1_900]),
        (fee("100.00"), {"dollars": {"amount": "5.00", "currency": "USD"}}, [10_000]),
        # 0.05 over three lines of 0.02: 0.02 goes to the first, 0.02 to the second, 0.01 is left of the
        # third.
        (
            [Part(name, "fee", "0.02") for name in "abc"],
            {"five": {"amount": "0.05", "currency": "EUR"}},
            [0, 0, 1],
        ),
    ],
)
def test_shares_act_before_amounts_and_each_is_shared_by_what_is_left(
    store: Store, parts: list[Part], given: dict[str, Any], expected: list[int]
) -> None:
    shop(store, parts, **given)
    take(store, JANUARY, "plan")
    run(store, JANUARY)
    assert (parked(store), nets(store)) == ({}, expected)
    assert invoices(store) == [(sum(expected), 0)]
    assert look_again(store, JANUARY).lines == 0


def test_with_narrow_first_discounts_of_all_lines_act_by_age(store: Store) -> None:
    shop(store, fee("100.00"), policy={"discount_order": "narrow_first"}, fifty=FIFTY, tenth=TENTH)
    take(store, JANUARY, "plan")
    run(store, JANUARY)
    assert nets(store) == [4_500]
    assert sorted(uses(store)) == [("fifty", 5_000), ("tenth", 500)]


@pytest.mark.parametrize("tax_base", ["posted_net", "exact_net"])
def test_tax_comes_after_the_discount(store: Store, tax_base: str) -> None:
    shop(store, fee("100.00"), tax=190_000, policy={"tax_base": tax_base}, tenth=TENTH, fifty=FIFTY)
    take(store, JANUARY, "plan")
    run(store, JANUARY)
    assert invoices(store) == [(4_000, 760)]
    assert lines(store, "gross_minor", "discount_minor", "document_discount_minor", "net_minor") == [
        (10_000, 6_000, 6_000, 4_000)
    ]


def test_a_discount_of_an_item_acts_before_that_of_the_document(store: Store) -> None:
    shop(store, fee("100.00"), tenth=TENTH)
    create_discount(store, OPENED, discount_id="item", name="Item", discount_ppm=200_000, times=1)
    take(store, JANUARY, "plan", discount_ids=["item"])
    run(store, JANUARY)
    run(store, FEBRUARY)
    assert lines(store, "discount_minor", "document_discount_minor", "net_minor") == [
        (2_800, 800, 7_200),
        (1_000, 1_000, 9_000),
    ]
    assert uses(store) == [("item", 2_000), ("tenth", 800), ("tenth", 1_000)]
    assert look_again(store, FEBRUARY).lines == 0


# How often, and when.


def test_times_counts_invoices(store: Store) -> None:
    shop(store, fee("100.00"), tenth=TENTH | {"times": 2})
    take(store, JANUARY, "plan")
    for on in (JANUARY, FEBRUARY, MARCH):
        run(store, on)
    assert nets(store) == [9_000, 9_000, 10_000]


def test_times_counts_each_invoice_of_one_run(store: Store) -> None:
    shop(store, fee("100.00"), tenth=TENTH | {"times": 1})
    for group in ("a", "b"):
        take(store, JANUARY, "plan", consolidation_group=group)
    run(store, JANUARY)
    assert invoices(store) == [(9_000, 0), (10_000, 0)]


def test_a_discount_reaches_what_is_issued_while_it_is_given_and_valid(store: Store) -> None:
    shop(store, fee("100.00"), february={**TENTH, "valid_start": FEBRUARY, "valid_end": MARCH}, always=TENTH)
    end_discount(store, at(JANUARY), customer_id="anna", discount_id="always", on=FEBRUARY)
    take(store, JANUARY, "plan")
    for on in (JANUARY, FEBRUARY, MARCH):
        run(store, on)
    assert uses(store) == [("always", 1_000), ("february", 1_000)]
    assert nets(store) == [9_000, 9_000, 10_000]
    give_discount(store, at(MARCH), customer_id="anna", discount_id="always", valid_end=date(2025, 5, 1))
    run(store, date(2025, 4, 1))
    assert nets(store)[-1] == 9_000


def test_a_discount_of_the_payer_acts_on_what_its_members_take(store: Store) -> None:
    shop(store, fee("100.00"), tenth=TENTH)
    join(store, "bert", parent_id="anna", bill_to_id="anna")
    join(store, "carl")
    for name in ("bert", "carl"):
        take(store, JANUARY, "plan", name)
    run(store, JANUARY)
    assert sorted(invoices(store)) == [(9_000, 0), (10_000, 0)]


# What is billed is compared before them.


def test_late_usage_is_billed_beyond_what_was_billed_before_the_discount(store: Store) -> None:
    shop(store, [CALLS], tenth=TENTH)
    item = item_of(store, take(store, JANUARY, "plan"))
    use(store, date(2025, 1, 9), item, date(2025, 1, 9), 100, "1")
    run(store, FEBRUARY)
    use(store, date(2025, 2, 3), item, date(2025, 1, 20), 30, "2")
    run(store, MARCH)
    assert lines(store, "service_start", "gross_minor", "net_minor") == [
        (JANUARY, 10_000, 9_000),
        (JANUARY, 3_000, 2_700),
    ]
    assert look_again(store, MARCH).lines == 0


def test_a_credit_takes_the_discount_of_its_line_back(store: Store) -> None:
    shop(store, fee("31.00"), tax=200_000, tenth=TENTH)
    sub = take(store, JANUARY, "plan")
    run(store, JANUARY)
    on = date(2025, 1, 11)
    subscriptions.cancel(store, at(on), subscription_id=sub, when="now")
    run(store, on)
    # 21 of 31 days: 21.00 less 2.10, and 20 % of 18.90.
    frame = store.frame(select(tables.credit_note_lines))
    assert frame.select("net_minor", "tax_minor", "document_discount_minor").rows() == [(1_890, 378, 210)]
    assert look_again(store, on).lines == 0
    assert invoices(store) == [(2_790, 558)]


def test_credits_of_discounted_lines_are_sound_whatever_day_they_begin(store: Store) -> None:
    shop(store, fee("651.61"), tax=190_000, fiftieth={"discount_ppm": 20_000})
    for day in range(2, 28):
        join(store, f"c{day}")
        give_discount(
            store, OPENED, customer_id=f"c{day}", discount_id="fiftieth", valid_start=date(2020, 1, 1)
        )
        take(store, FEBRUARY, "plan", f"c{day}", subscription_id=f"s{day}")
    run(store, FEBRUARY)
    for day in range(2, 28):
        on = FEBRUARY.replace(day=day)
        subscriptions.cancel(store, at(on), subscription_id=f"s{day}", when="now")
        run(store, on)
    assert len(store.rows(select(tables.credit_note_lines))) == 26
    assert_sound(store, at(MARCH))


def test_all_credits_of_a_line_leave_nothing_of_its_discount(store: Store) -> None:
    shop(store, fee("10.00"), tax=190_000, third={"discount_ppm": 333_333})
    sub = take(store, JANUARY, "plan")
    run(store, JANUARY)
    assert lines(store, "net_minor", "tax_minor", "document_discount_minor") == [(667, 127, 333)]
    on = date(2025, 1, 22)
    for end in (on, date(2025, 1, 10), date(2025, 1, 4), JANUARY):
        if end != on:
            store.execute(update(tables.subscriptions).values(ends_on=end))
            look_again(store, on)
            continue
        subscriptions.cancel(store, at(on), subscription_id=sub, when="now")
        run(store, on)
    taken = store.frame(select(tables.credit_note_lines))
    assert taken.height == 4
    columns = ["net_minor", "tax_minor", "document_discount_minor"]
    assert taken.select(pl.col(columns).sum()).row(0) == (667, 127, 333)


def test_usage_that_is_taken_back_gives_back_what_was_paid_for_it(store: Store) -> None:
    shop(store, [Part("fee", "fee", "100.00"), CALLS], tenth=TENTH)
    item = item_of(store, take(store, JANUARY, "plan"))
    use(store, date(2025, 1, 9), item, date(2025, 1, 9), 100, "1")
    run(store, FEBRUARY)
    use(store, date(2025, 2, 3), item, date(2025, 1, 20), -40, "2")
    run(store, MARCH)
    taken = [
        row for row in lines(store, "entry", "net_minor", "document_discount_minor") if row[0] == "credit"
    ]
    assert taken == [("credit", -3_600, -400)]
    assert look_again(store, MARCH).lines == 0


def test_what_is_credited_by_hand_takes_its_share_and_a_run_takes_back_the_rest(store: Store) -> None:
    shop(store, fee("31.00"), tax=200_000, tenth=TENTH)
    sub = take(store, JANUARY, "plan")
    run(store, JANUARY)
    ((line_id,),) = lines(store, "line_id")
    on = date(2025, 1, 2)
    issue_credit_note(store, at(on), reason="goodwill", lines=[(line_id, 900)])
    assert look_again(store, on).lines == 0
    subscriptions.cancel(store, at(on), subscription_id=sub, when="now")
    store.execute(update(tables.subscriptions).values(ends_on=JANUARY))
    look_again(store, on)
    # 27.90 of 31.00: 9.00 by hand were 10.00 before the discount, and all the rest goes back.
    frame = store.frame(select(tables.credit_note_lines)).sort("note_id")
    columns = ["net_minor", "tax_minor", "document_discount_minor"]
    assert frame.select(columns).rows() == [(900, 180, 100), (1_890, 378, 210)]
    assert_sound(store, at(on, 23))


def test_a_void_gives_the_use_of_its_discount_back_and_is_billed_anew_with_it(store: Store) -> None:
    shop(store, fee("100.00"), once=TENTH | {"times": 1})
    take(store, JANUARY, "plan")
    run(store, JANUARY)
    ((invoice_id,),) = store.frame(select(tables.invoices.c.invoice_id)).rows()
    void_invoice(store, at(JANUARY, 21), invoice_id=invoice_id, reason="wrong address")
    run(store, JANUARY, 22)
    assert invoices(store) == [(9_000, 0), (9_000, 0)]
    run(store, FEBRUARY)
    assert nets(store) == [9_000, 9_000, 10_000]
    assert look_again(store, FEBRUARY).lines == 0


def test_a_purchase_order_is_spent_after_the_discount(store: Store) -> None:
    shop(store, fee("100.00"), tenth=TENTH)
    po_id = create_purchase_order(
        store, OPENED, customer_id="anna", number="1", budget="90.00", valid_start=JANUARY
    )
    take(store, JANUARY, "plan", po_id=po_id)
    assert (run(store, JANUARY).held, nets(store)) == (0, [9_000])


@pytest.mark.parametrize(
    ("about", "code"),
    [
        ({"customer_id": "nobody"}, "unknown_customer"),
        ({"discount_id": "none"}, "unknown_discount"),
        ({"discount_id": "item"}, "unknown_setting"),
        ({"valid_end": JANUARY}, "empty_period"),
        ({"discount_id": "tenth"}, "version_overlap"),
    ],
)
def test_a_discount_that_cannot_be_given_is_refused(store: Store, about: dict[str, Any], code: str) -> None:
    shop(store, fee("1.00"), tenth=TENTH)
    create_discount(store, OPENED, discount_id="item", name="x", discount_ppm=1)
    create_discount(store, OPENED, discount_id="other", name="x", discount_ppm=1, scope="document")
    named = {"customer_id": "anna", "discount_id": "other", "valid_start": JANUARY} | about
    with pytest.raises(BillingError) as refused:
        give_discount(store, at(JANUARY), **named)
    assert refused.value.code == code
    with pytest.raises(BillingError, match="unknown_discount"):
        end_discount(store, at(JANUARY), customer_id="anna", discount_id="other")


# Whatever the discounts, the same is owed before them.


def billed_before_discounts(store: Store) -> dict[tuple[Any, ...], int]:
    """Net before document discounts per component, kind and period, credits deducted."""
    columns = ["component_id", "kind", "reference_start"]
    whole = pl.col("net_minor") + pl.col("document_discount_minor")
    posted = store.frame(select(tables.line_items))
    noted = store.frame(select(tables.credit_note_lines)).drop("kind")
    back = noted.select("line_id", -whole.alias("whole"))
    back = back.join(posted.select("line_id", *columns), on="line_id")
    sums = pl.concat([posted.select(*columns, whole.alias("whole")), back.select(*columns, "whole")])
    found = sums.group_by(columns).agg(pl.col("whole").sum())
    return {tuple(key): net for *key, net in found.iter_rows() if net}


def lived(seed: int, given: Sequence[dict[str, Any]]) -> Store:
    store, acts = shop_of_lives(), life(seed)
    for number, about in enumerate(given):
        discount = {"discount_id": f"d{number}", "name": "x", "scope": "document"} | about
        create_discount(store, OPENED, **discount)
        give_discount(store, OPENED, customer_id="anna", discount_id=f"d{number}", valid_start=OPENED.date())
    for number, act in enumerate(acts):
        perform(store, act, number)
        run(store, act.on, 9)
    run(store, last_day(acts))
    return store


discounts = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"discount_ppm": st.integers(1, 1_000_000)}, optional={"times": st.integers(1, 3)}
        ),
        st.fixed_dictionaries(
            {"amount": st.sampled_from(["0.01", "7.77", "50.00"]), "currency": st.just("EUR")},
            optional={"times": st.integers(1, 3)},
        ),
    ),
    min_size=1,
    max_size=3,
)


@pytest.mark.usefixtures("each_database")
@examples(2, 8)
@given(st.integers(0, 10_000), discounts)
def test_discounts_of_documents_change_no_line_that_is_owed(seed: int, given: list[dict[str, Any]]) -> None:
    store = lived(seed, given)
    assert parked(store) == {}
    assert billed_before_discounts(store) == billed_before_discounts(lived(seed, []))
    charges = store.frame(select(tables.line_items)).filter(entry="charge")
    assert (charges["discount_minor"] <= charges["gross_minor"]).all()
    assert (charges["net_minor"] >= 0).all()
    sums = store.frame(select(tables.line_items)).group_by("invoice_id").agg(pl.col("net_minor").sum())
    papers = store.frame(select(tables.invoices.c.invoice_id, tables.invoices.c.net_minor))
    both = papers.join(sums, on="invoice_id", suffix="_of_lines")
    assert (both["net_minor"] == both["net_minor_of_lines"]).all()
    used = store.frame(select(tables.discount_uses)).join(
        charges.select("line_id", "invoice_id", "document_discount_minor"), on="line_id"
    )
    of_lines = used.group_by("line_id").agg(
        pl.col("amount_minor").sum(), pl.col("document_discount_minor").first()
    )
    assert (of_lines["amount_minor"] == of_lines["document_discount_minor"]).all()
    counts = dict(used.group_by("discount_id").agg(pl.col("invoice_id").n_unique()).iter_rows())
    for number, about in enumerate(given):
        assert counts.get(f"d{number}", 0) <= about.get("times", 10**6)
    store.execute(update(tables.customers).values(next_bill_on=OPENED.date(), unsettled_from=None))
    again = run(store, last_day(life(seed)), 23)
    assert (again.lines, again.invoices, again.credit_notes) == (0, 0, 0)


WAITING = select(text("pid")).select_from(
    text("pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
)


def test_two_runs_at_once_use_a_discount_once(request: pytest.FixtureRequest) -> None:
    """Two members are billed to one parent, by two runs; the parent has a discount of one invoice."""
    fresh: Callable[[], str] = request.getfixturevalue("_postgres_databases")
    url = fresh()
    with open_store(url) as one, open_store(url) as other:
        open_shop(one, tax_rate_ppm=0)
        sell(one, "plan", fee("100.00"))
        join(one, "parent")
        create_discount(
            one, OPENED, discount_id="once", name="x", scope="document", discount_ppm=100_000, times=1
        )
        give_discount(one, OPENED, customer_id="parent", discount_id="once")
        for name in ("first", "second"):
            join(one, name, parent_id="parent", bill_to_id="parent")
            take(one, JANUARY, "plan", name)
        is_second = tables.customers.c.customer_id == "second"
        one.execute(update(tables.customers).where(is_second).values(next_bill_on=date(2025, 1, 2)))
        with ThreadPoolExecutor() as pool:
            with other.transaction():
                assert run(other, JANUARY).invoices == 1
                billed = pool.submit(run, one, date(2025, 1, 2))
                while not (billed.done() or other.rows(WAITING)):
                    time.sleep(0.01)
            assert billed.result().invoices == 1
        assert sorted(invoices(one)) == [(9_000, 0), (10_000, 0)]
