"""Contract prices follow an index within floor and cap; a revised value is a correction."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop import Part, at, fee, join, lines, notes, open_shop, parked, run, sell, take
from sqlalchemy import select

from billing.core.indexing import IndexStep
from billing.core.money import BillingError, Scaled
from billing.service.catalog import NewTier
from billing.service.index_clauses import (
    PriceStep,
    add_index_clause,
    index_prices_due,
    preview_index,
    publish_index_value,
)
from billing.service.subscriptions import NewContract
from billing.store.store import Store
from billing.store.tables import (
    contract_clauses,
    index_prices,
    item_versions,
    metadata,
    price_lists,
    rejected_inputs,
)

DAY = date(2025, 1, 1)
STEP = date(2026, 1, 1)


def shop(store: Store, price: str = "100.00", currency: str = "EUR", **clause: object) -> Store:
    """Anna on a contract from 2025 at one monthly fee, which follows the cpi (base 120) each January."""
    open_shop(store, tax_rate_ppm=0)
    sell(store, "plan", fee(price), currency=currency)
    join(store, "anna", currency=currency)
    take(store, DAY, "plan", contract=NewContract(term="P3Y", contract_id="c"))
    add_index_clause(
        store,
        at(DAY),
        contract_id="c",
        index_id="cpi",
        base_value="120",
        first_on=STEP,
        **clause,  # type: ignore[arg-type]
    )
    return store


def publish(store: Store, value: str, month: date = date(2025, 12, 1), on: date = date(2025, 12, 20)) -> None:
    publish_index_value(store, at(on), index_id="cpi", month=month, value=value, published_on=on)


def fees(store: Store, since: date = STEP) -> list[int]:
    return [line[4] for line in lines(store) if line[2] >= since]


@pytest.mark.parametrize(
    ("value", "limits", "net_minor"),
    [
        ("124.8", {}, 10_400),
        ("124.8", {"cap_ppm": 30_000}, 10_300),
        ("124.8", {"cap_ppm": 50_000, "floor_ppm": 0}, 10_400),
        ("114", {}, 9_500),
        ("114", {"floor_ppm": 0}, 10_000),
        ("114", {"floor_ppm": -20_000}, 9_800),
        ("120", {}, 10_000),
        # 100.00 x 121.005 / 120 = 100.8375
        ("121.005", {}, 10_084),
    ],
)
def test_a_step_is_base_price_times_index_within_floor_and_cap(
    store: Store, value: str, limits: dict[str, int], net_minor: int
) -> None:
    publish(shop(store, **limits), value)
    index_prices_due(store, at(STEP))
    run(store, STEP)
    assert fees(store) == [net_minor]
    assert parked(store) == {}


@pytest.mark.parametrize(
    ("currency", "price", "net_minor"),
    [("USD", "99", 10_296), ("JPY", "9999", 10_399), ("KWD", "9.999", 10_399)],
)
def test_an_indexed_price_has_the_decimals_of_its_currency(
    store: Store, currency: str, price: str, net_minor: int
) -> None:
    # 99 x 1.04 = 102.96; 9999 x 1.04 = 10398.96; 9.999 x 1.04 = 10.39896
    publish(shop(store, price, currency), "124.8")
    index_prices_due(store, at(STEP))
    run(store, STEP)
    assert fees(store) == [net_minor]


def test_a_second_call_does_nothing_and_a_step_waits_for_its_value(store: Store) -> None:
    shop(store)
    assert index_prices_due(store, at(STEP)) == []
    publish(store, "124.8", on=date(2026, 1, 15))
    assert index_prices_due(store, at(date(2026, 1, 14))) == []
    made = index_prices_due(store, at(date(2026, 1, 15)))
    assert made == [PriceStep("plan.1.fee", date(2026, 1, 15), "100.00", "104.00")]
    before = [store.frame(select(table)).height for table in (index_prices, item_versions, price_lists)]
    assert index_prices_due(store, at(date(2026, 1, 16))) == []
    assert [
        store.frame(select(table)).height for table in (index_prices, item_versions, price_lists)
    ] == before


def test_a_step_is_written_its_notice_ahead_and_acts_on_its_day(store: Store) -> None:
    publish(shop(store, notice_days=10), "124.8")
    assert index_prices_due(store, at(date(2025, 12, 21))) == []
    made = index_prices_due(store, at(date(2025, 12, 22)))
    assert [step.acts_on for step in made] == [STEP]
    run(store, date(2026, 1, 31))
    assert fees(store, date(2025, 12, 1)) == [10_000, 10_400]


def test_a_revised_value_is_a_correction(store: Store) -> None:
    publish(shop(store), "124.8")
    index_prices_due(store, at(STEP))
    run(store, date(2026, 1, 2))
    publish(store, "123.6", on=date(2026, 1, 20))
    index_prices_due(store, at(date(2026, 1, 20)))
    run(store, date(2026, 1, 20))
    # January again: 103.00 instead, and 104.00 back; more back than charged, so by a credit note.
    assert fees(store) == [10_400, 10_300]
    assert notes(store) == [(STEP, date(2026, 2, 1), 10_400, 0)]
    run(store, date(2026, 2, 1))
    assert fees(store, date(2026, 2, 1)) == [10_300]


def test_each_step_starts_from_the_base_and_is_held_against_the_price_before(store: Store) -> None:
    publish(shop(store, cap_ppm=30_000), "124.8")
    publish(store, "126", date(2026, 12, 1), date(2026, 12, 20))
    steps = index_prices_due(store, at(STEP)) + index_prices_due(store, at(date(2027, 1, 1)))
    # 104.00 held at 103.00; 105.00 is within 3 % of it.
    assert [(step.old, step.new) for step in steps] == [("100.00", "103.00"), ("103.00", "105.00")]


def test_tiers_follow_the_index_too(store: Store) -> None:
    open_shop(store, tax_rate_ppm=0)
    tiers = [NewTier(10, "1.00", "5.00"), NewTier(None, "0.50")]
    sell(store, "plan", [Part("seat", "seat", None, "graduated", {"tiers": tiers})])
    join(store, "anna")
    take(store, DAY, "plan", quantity=20, contract=NewContract(term="P3Y", contract_id="c"))
    add_index_clause(store, at(DAY), contract_id="c", index_id="cpi", base_value="100", first_on=STEP)
    publish(store, "110")
    index_prices_due(store, at(STEP))
    run(store, STEP)
    # 5.50 + 10 x 1.10 + 10 x 0.55
    assert fees(store) == [2_200]


def test_a_preview_shows_old_and_new_and_writes_nothing(store: Store) -> None:
    publish(shop(store, cap_ppm=30_000), "124.8")
    before = {name: store.frame(table.select()).height for name, table in metadata.tables.items()}
    shown = preview_index(store, at(STEP), contract_id="c")
    assert shown == [PriceStep("plan.1.fee", STEP, "100.00", "103.00")]
    assert {name: store.frame(table.select()).height for name, table in metadata.tables.items()} == before
    assert index_prices_due(store, at(STEP)) == shown


@pytest.mark.parametrize(
    ("about", "code"),
    [
        ({"contract_id": "none"}, "unknown_contract"),
        ({"floor_ppm": 2, "cap_ppm": 1}, "bad_rate"),
        ({"base_value": "0"}, "negative_price"),
        ({"interval": "yearly"}, "bad_interval"),
        ({"notice_days": -1}, "negative_quantity"),
    ],
)
def test_a_wrong_clause_is_refused(store: Store, about: dict[str, object], code: str) -> None:
    shop(store)
    wanted = {"contract_id": "c", "index_id": "cpi", "base_value": "1", "first_on": STEP} | about
    with pytest.raises(BillingError) as error:
        add_index_clause(store, at(DAY), **wanted)  # type: ignore[arg-type]
    assert error.value.code == code
    assert [row["code"] for row in store.rows(select(rejected_inputs.c.code))] == [code]
    assert store.frame(select(contract_clauses)).height == 1


@given(
    base=st.integers(0, 10**9),
    value=st.integers(1, 10**6),
    base_value=st.integers(1, 10**6),
    cap=st.one_of(st.none(), st.integers(0, 10**6)),
)
def test_a_step_is_the_exact_share_rounded_once(
    base: int, value: int, base_value: int, cap: int | None
) -> None:
    got = IndexStep(Scaled(base_value, 2), Scaled(value, 1), None, cap).price(base, base)
    exact = Fraction(base) * Fraction(value, 10) / Fraction(base_value, 100)
    rounded = int(exact + Fraction(1, 2))
    if cap is not None:
        rounded = min(rounded, int(Fraction(base * (10**6 + cap), 10**6) + Fraction(1, 2)))
    assert got == rounded
