"""A ramp agrees quantities, discounts and prices of later days; the run bills each from its day."""

from __future__ import annotations

from datetime import date

import pytest
from shop import OPENED, Part, at, join, lines, open_shop, run, sell, take
from sqlalchemy import select

from billing.core.money import BillingError
from billing.service import catalog
from billing.service.previews import preview_change
from billing.service.ramps import Phase, agree_ramp
from billing.service.subscriptions import NewContract, cancel
from billing.store.store import Store
from billing.store.tables import discounts, item_versions, rejected_inputs

DAY = date(2025, 1, 1)


def shop(store: Store) -> str:
    """Anna with 10 seats at 5.00, from July 2025 a contract price of 4.50; half price by discount `half`."""
    open_shop(store, tax_rate_ppm=0)
    sell(store, "plan", [Part("seat", "seat", "5.00", "per_unit")])
    join(store, "anna")
    catalog.create_price_list(
        store,
        OPENED,
        list_id="second",
        name="Second half",
        currency="EUR",
        valid_start=date(2025, 7, 1),
        level="contract",
        owner_id="c",
        prices=[catalog.NewPrice("plan.1.seat", "per_unit", "4.50")],
    )
    half = {"discount_id": "half", "name": "Half", "scope": "item", "discount_ppm": 500_000}
    store.insert(discounts, [half | {"valid_start": DAY}], OPENED)
    return take(store, DAY, "plan", quantity=10, contract=NewContract(contract_id="c"))


PHASES = (
    Phase(date(2025, 2, 1), discount_ids=["half"]),
    Phase(date(2025, 4, 1), quantity=20, discount_ids=()),
    Phase(date(2025, 7, 1), quantity=30, at_prices_of_day=True),
)


def test_each_phase_is_billed_from_its_day(store: Store) -> None:
    subscription_id = shop(store)
    agree_ramp(store, at(DAY), subscription_id=subscription_id, phases=PHASES)
    run(store, date(2025, 8, 1))
    # 10 x 5.00; half of it; 20 x 5.00; 30 x 4.50
    assert [line[4] for line in lines(store)] == [5000, 2500, 2500, 10000, 10000, 10000, 13500, 13500]


def test_monthly_runs_bill_the_same_as_one(store: Store) -> None:
    agree_ramp(store, at(DAY), subscription_id=shop(store), phases=PHASES)
    for month in range(1, 9):
        run(store, date(2025, month, 1))
    assert [line[4] for line in lines(store)] == [5000, 2500, 2500, 10000, 10000, 10000, 13500, 13500]


def test_a_phase_inside_a_period_charges_the_days_left(store: Store) -> None:
    subscription_id = shop(store)
    run(store, DAY)
    agree_ramp(
        store, at(DAY), subscription_id=subscription_id, phases=[Phase(date(2025, 1, 16), quantity=41)]
    )
    run(store, date(2025, 1, 16))
    # 16 of 31 days: 205.00 x 16/31 = 105.806..., back 50.00 x 16/31 = 25.806...
    assert sorted(line[4] for line in lines(store)) == [-2581, 5000, 10581]


def test_a_preview_shows_a_ramp_and_writes_nothing(store: Store) -> None:
    subscription_id = shop(store)
    before = store.frame(select(item_versions))
    shown = preview_change(
        store,
        at(DAY),
        lambda store, at: agree_ramp(store, at, subscription_id=subscription_id, phases=PHASES),
        customer_id="anna",
        up_to=date(2025, 2, 1),
    )
    assert shown.lines["net_minor"].to_list() == [5000, 2500]
    assert store.frame(select(item_versions)).equals(before)


@pytest.mark.parametrize(
    ("phases", "code"),
    [
        ([Phase(date(2024, 12, 31), quantity=1)], "empty_period"),
        ([Phase(date(2025, 3, 1)), Phase(date(2025, 2, 1))], "empty_period"),
        ([Phase(date(2025, 2, 1), discount_ids=["none"])], "unknown_discount"),
        ([Phase(date(2025, 2, 1), quantity=-1)], "negative_quantity"),
        ([Phase(date(2025, 2, 1), quantity=1, unit="pallet")], "unknown_unit"),
    ],
)
def test_a_wrong_ramp_is_refused_whole(store: Store, phases: list[Phase], code: str) -> None:
    subscription_id = shop(store)
    before = store.frame(select(item_versions))
    good = Phase(date(2025, 1, 2), quantity=5)
    with pytest.raises(BillingError) as error:
        agree_ramp(store, at(DAY), subscription_id=subscription_id, phases=[good, *phases])
    assert error.value.code == code
    assert [row["code"] for row in store.rows(select(rejected_inputs.c.code))] == [code]
    assert store.frame(select(item_versions)).equals(before)


@pytest.mark.parametrize("from_on", [date(2024, 12, 31), date(2025, 3, 1)])
def test_a_phase_lies_within_the_service(store: Store, from_on: date) -> None:
    subscription_id = shop(store)
    cancel(store, at(DAY), subscription_id=subscription_id, when=date(2025, 3, 1))
    with pytest.raises(BillingError) as error:
        agree_ramp(store, at(DAY), subscription_id=subscription_id, phases=[Phase(from_on, quantity=1)])
    assert error.value.code == "illegal_transition"
