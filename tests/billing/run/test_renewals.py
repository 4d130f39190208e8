"""Customers are reminded of the end of a term, once each time, and quoted the next one."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest
from shop import OPENED, Part, at, fee, join, lines, open_shop, run, sell, sell_alone, take
from sqlalchemy import select

from billing.core.money import BillingError
from billing.jobs.remind_renewals import remind_of_renewals
from billing.service import catalog, contracts
from billing.service.goods import create_sku
from billing.service.purchase_orders import create_purchase_order
from billing.service.renewal_quotes import quote_renewal
from billing.service.subscriptions import NewContract, cancel
from billing.store import tables
from billing.store.store import Store, open_store

DAY = date(2025, 1, 1)
YEAR_END = date(2026, 1, 1)


def shop(store: Store, **of_contract: Any) -> str:
    """Anna pays 10.00 a month and 2.50 for each of 4 seats, for a year; her contract is c."""
    open_shop(store)
    sell(store, "basic", [*fee("10"), Part("seat", "seat", "2.50", "per_unit")])
    join(store, "anna")
    return take(store, DAY, "basic", quantity=4, contract=NewContract(contract_id="c", **of_contract))


def dearer_next_year(store: Store) -> None:
    """From 2026 the fee is 12.00."""
    catalog.create_price_list(
        store,
        OPENED,
        list_id="dearer",
        name="Dearer",
        currency="EUR",
        valid_start=YEAR_END,
        prices=[catalog.NewPrice("basic.1.fee", "flat", "12")],
    )


def reminders(store: Store) -> list[dict[str, Any]]:
    rows = store.rows(
        select(tables.outbox.c.payload)
        .where(tables.outbox.c.topic == "contract.renewal_due")
        .order_by(tables.outbox.c.message_id)
    )
    return [json.loads(row["payload"]) for row in rows]


def test_a_term_that_ends_is_reminded_of_90_60_and_30_days_before(store: Store) -> None:
    shop(store)
    sent = {}
    for days in range(100, -2, -1):
        on = YEAR_END - timedelta(days=days)
        if remind_of_renewals(store, at(on)):
            sent[days] = on
        assert remind_of_renewals(store, at(on, 9)) == 0
    assert list(sent) == [90, 60, 30]
    assert reminders(store)[0] == {
        "customer_id": "anna",
        "term_end": "2026-01-01",
        "days": 90,
        "auto_renew": True,
        "notice_by": "2025-11-02",
    }
    contracts.renew_due(store, at(YEAR_END))
    assert remind_of_renewals(store, at(date(2026, 10, 3))) == 1


def test_of_reminders_that_were_missed_only_the_last_is_sent(store: Store) -> None:
    shop(store)
    assert remind_of_renewals(store, at(YEAR_END - timedelta(days=45))) == 1
    assert [one["days"] for one in reminders(store)] == [60]
    assert remind_of_renewals(store, at(YEAR_END - timedelta(days=30))) == 1
    assert [one["days"] for one in reminders(store)] == [60, 30]


def test_a_short_term_is_not_reminded_of_before_it_began(store: Store) -> None:
    shop(store, term="P2M")
    assert remind_of_renewals(store, at(DAY)) == 0
    assert remind_of_renewals(store, at(date(2025, 1, 30))) == 1
    assert [one["days"] for one in reminders(store)] == [30]


@pytest.mark.parametrize("act", [contracts.give_notice, contracts.accept_renewal])
def test_whoever_decided_is_not_reminded(store: Store, act: Callable[..., object]) -> None:
    shop(store, auto_renew=act is contracts.give_notice)
    act(store, at(date(2025, 9, 1)), contract_id="c")
    assert remind_of_renewals(store, at(date(2025, 10, 10))) == 0


@pytest.fixture
def two(_postgres_database: str) -> Any:
    """Two connections to one shop on PostgreSQL."""
    with open_store(_postgres_database) as one, open_store(_postgres_database) as other:
        shop(one)
        yield one, other


def test_two_calls_at_once_remind_once(two: tuple[Store, Store]) -> None:
    with ThreadPoolExecutor() as pool:
        sent = list(pool.map(lambda store: remind_of_renewals(store, at(date(2025, 10, 3))), two))
    assert sorted(sent) == [0, 1]


def test_a_quote_is_what_the_next_term_costs(store: Store) -> None:
    shop(store, auto_renew=False)
    dearer_next_year(store)
    run(store, date(2025, 10, 1))
    on = at(date(2025, 10, 3))
    quote = quote_renewal(store, on, contract_id="c")
    # Twelve months of 12.00 and 4 x 2.50.
    assert (quote.net_minor, quote.tax_minor) == (26_400, 5_016)
    assert (quote.term_start, quote.term_end) == (YEAR_END, date(2027, 1, 1))
    assert quote.rates.select("plan_id", "recurring_minor", "next_recurring_minor").rows() == [
        ("basic", 2_000, 2_200)
    ]
    contracts.accept_renewal(store, on, contract_id="c")
    assert quote_renewal(store, on, contract_id="c").lines.equals(quote.lines)
    contracts.renew_due(store, at(YEAR_END))
    run(store, date(2026, 12, 31))
    posted = sorted(lines(store, "item_id", "service_start", "component_id", "net_minor"))
    quoted = quote.lines.select("item_id", "service_start", "component_id", "net_minor").rows()
    assert [one for one in posted if one[1] >= YEAR_END] == quoted


def test_a_quote_leaves_nothing_behind(store: Store) -> None:
    shop(store)
    before = {name: store.frame(select(table)).sort(pl_columns(table)) for name, table in TABLES.items()}
    quote_renewal(store, at(date(2025, 10, 3)), contract_id="c")
    for name, table in TABLES.items():
        assert store.frame(select(table)).sort(pl_columns(table)).equals(before[name]), name


TABLES = {
    name: table
    for name, table in tables.metadata.tables.items()
    if name not in ("number_sequences", "policies")
}


def pl_columns(table: Any) -> list[str]:
    return [column.name for column in table.primary_key]


def test_a_quote_counts_goods_as_agreed_whatever_their_stock(store: Store) -> None:
    open_shop(store)
    create_sku(store, OPENED, sku_id="paper", product_id="goods", name="Paper", base_unit="case")
    part = catalog.NewComponent("paper", "seat", sku_id="paper")
    price = catalog.NewPrice("standing.1.paper", "per_unit", "5.00")
    sell_alone(store, part, price, plan_id="standing", in_advance=True, interval="P1W")
    join(store, "anna")
    contract = NewContract(contract_id="c", stock_rule="reserve_first")
    take(store, DAY, "standing", quantity=100, contract=contract)
    quote = quote_renewal(store, at(date(2025, 10, 3)), contract_id="c")
    # 53 weeks begin or go on between 1 January 2026, a Thursday, and 1 January 2027; the first began on
    # 31 December 2025, so 6 of its 7 days are in the term.
    assert quote.lines.height == 53
    assert quote.net_minor == 52 * 50_000 + 42_857


def test_a_quote_shows_the_price_of_what_a_purchase_order_would_hold(store: Store) -> None:
    open_shop(store)
    sell(store, "basic", fee("100.00"))
    join(store, "anna")
    po_id = create_purchase_order(
        store, OPENED, customer_id="anna", number="1", budget="600.00", valid_start=DAY
    )
    take(store, DAY, "basic", contract=NewContract(contract_id="c", term="P1Y"), po_id=po_id)
    quote = quote_renewal(store, at(date(2025, 10, 3)), contract_id="c")
    # Twelve months of 100.00 and 19 % of tax, whatever is left of the budget.
    assert (quote.lines.height, quote.net_minor, quote.tax_minor) == (12, 120_000, 22_800)


@pytest.mark.parametrize(
    ("act", "on", "code"),
    [
        (None, YEAR_END, "illegal_transition"),
        (contracts.give_notice, date(2025, 10, 3), "illegal_transition"),
    ],
)
def test_a_contract_that_does_not_go_on_is_not_quoted(
    store: Store, act: Callable[..., object] | None, on: date, code: str
) -> None:
    shop(store)
    if act:
        act(store, at(date(2025, 9, 1)), contract_id="c")
    with pytest.raises(BillingError, match=code):
        quote_renewal(store, at(on), contract_id="c")
    with pytest.raises(BillingError, match="unknown_contract"):
        quote_renewal(store, at(on), contract_id="none")


def test_a_contract_whose_subscriptions_all_end_with_its_term_is_not_quoted(store: Store) -> None:
    subscription_id = shop(store)
    cancel(store, at(date(2025, 9, 1)), subscription_id=subscription_id, when="term_end")
    with pytest.raises(BillingError, match="illegal_transition"):
        quote_renewal(store, at(date(2025, 10, 3)), contract_id="c")
