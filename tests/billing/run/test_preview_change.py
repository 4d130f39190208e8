"""The preview of an act: what executing it then posts, with nothing written."""

from __future__ import annotations

from datetime import date, datetime
from functools import partial
from typing import Any

import pytest
from examples import seeds
from shop import (
    OPENED,
    Act,
    Part,
    at,
    fee,
    join,
    life,
    open_shop,
    perform,
    run,
    sell,
    shop_of_lives,
    take,
)
from sqlalchemy import func, select

from billing.core.money import BillingError
from billing.service import subscriptions
from billing.service.previews import preview_change
from billing.service.purchase_orders import create_purchase_order
from billing.store import tables
from billing.store.store import Store

JAN = date(2025, 1, 1)
COLUMNS = ["component_id", "entry", "service_start", "service_end", "gross_minor", "net_minor", "tax_minor"]


def everything(store: Store) -> dict[str, Any]:
    return {
        name: store.rows(select(func.count().label("rows")).select_from(table))[0]["rows"]
        for name, table in tables.metadata.tables.items()
        if name != "number_sequences"
    }


def performed(act: Act, number: int, store: Store, _: datetime) -> None:
    perform(store, act, number)


@pytest.mark.usefixtures("each_database")
@pytest.mark.parametrize("seed", seeds(3, 8))
def test_the_preview_of_any_act_is_what_executing_it_posts(seed: int) -> None:
    store = shop_of_lives(credit_document="netted")
    for number, act in enumerate(life(seed)):
        before = everything(store)
        found = preview_change(
            store, at(act.on), partial(performed, act, number), customer_id="anna", up_to=act.on
        )
        assert everything(store) == before
        known = {row["line_id"] for row in store.rows(select(tables.line_items.c.line_id))}
        notes = {row["note_id"] for row in store.rows(select(tables.credit_notes.c.note_id))}
        perform(store, act, number)
        run(store, act.on, 8)
        posted = [
            tuple(row[name] for name in COLUMNS)
            for row in store.rows(select(tables.line_items))
            if row["line_id"] not in known
        ]
        noted = sum(
            row["net_minor"] for row in store.rows(select(tables.credit_notes)) if row["note_id"] not in notes
        )
        drafted = found.lines.select(COLUMNS).rows()
        on_note = [row for row in drafted if row not in posted]
        assert sorted(row for row in drafted if row in posted) == sorted(posted)
        assert sum(row[5] for row in on_note) == -noted
        assert all(row[1] == "credit" for row in on_note)
    store.close()


def test_an_upgrade_is_quoted_and_nothing_is_written(store: Store) -> None:
    open_shop(store)
    sell(store, "basic", fee("31"))
    sell(store, "better", fee("62"))
    join(store, "anna")
    sub = take(store, JAN, "basic")
    run(store, JAN)
    before = everything(store)
    quote = preview_change(
        store,
        at(date(2025, 1, 17)),
        lambda one, now: subscriptions.change_plan(one, now, subscription_id=sub, plan_id="better"),
        customer_id="anna",
    )
    assert sorted(quote.lines["net_minor"]) == [-1500, 3000]
    assert quote.total_minor == 1785
    assert everything(store) == before


def test_a_preview_says_what_a_purchase_order_would_hold_and_shows_it_when_asked(store: Store) -> None:
    open_shop(store)
    sell(store, "basic", fee("31"))
    sell(store, "better", fee("62"))
    join(store, "anna")
    po_id = create_purchase_order(
        store, OPENED, customer_id="anna", number="1", budget="40.00", valid_start=JAN
    )
    sub = take(store, JAN, "basic", po_id=po_id)
    run(store, JAN)
    asked = partial(
        preview_change,
        store,
        at(date(2025, 1, 17)),
        lambda one, now: subscriptions.change_plan(one, now, subscription_id=sub, plan_id="better"),
        customer_id="anna",
    )
    told = asked()
    # 30.00 less 15.00 for the days left, and 9.00 are left of the order.
    assert told.held.select("po_id", "net_minor", "code").rows() == [(po_id, 1500, "po_exhausted")]
    assert (told.lines.height, told.total_minor) == (0, 0)
    shown = asked(shows_held=True)
    assert sorted(shown.lines["net_minor"]) == [-1500, 3000]
    assert (shown.total_minor, shown.held.equals(told.held)) == (1785, True)


def test_a_refused_act_raises_and_leaves_no_trace(store: Store) -> None:
    open_shop(store)
    join(store, "anna")
    before = everything(store)
    with pytest.raises(BillingError, match="unknown_subscription"):
        preview_change(
            store,
            at(JAN),
            lambda one, now: subscriptions.resume(one, now, subscription_id="none"),
            customer_id="anna",
        )
    assert everything(store) == before


def test_a_preview_asks_as_much_among_a_thousand_other_customers_as_among_ten(store: Store) -> None:
    open_shop(store)
    sell(store, "basic", fee("31"))
    sell(store, "team", [Part("seat", "seat", "10", "per_unit")])
    join(store, "anna")
    sub = take(store, JAN, "basic")
    others = [f"c{number}" for number in range(1000)]

    def cost() -> int:
        store.memory.clear()
        return preview_change(
            store,
            at(date(2025, 1, 17)),
            lambda one, now: subscriptions.change_plan(one, now, subscription_id=sub, plan_id="team"),
            customer_id="anna",
        ).statements

    with store.transaction():
        for other in others[:10]:
            join(store, other)
            take(store, JAN, "basic", other)
    among_ten = cost()
    with store.transaction():
        for other in others[10:]:
            join(store, other)
            take(store, JAN, "basic", other)
    assert cost() == among_ten
    assert among_ten < 60
