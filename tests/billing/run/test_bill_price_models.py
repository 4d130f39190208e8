"""Every price model of a plan, billed by the run: amounts a bookkeeper can check, in EUR, JPY and KWD."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest
from shop import OPENED, at, item_of, join, lines, open_shop, parked, run, take
from sqlalchemy import select

from billing.jobs.import_usage import import_usage
from billing.service import catalog
from billing.service.catalog import NewComponent, NewPrice, NewTier
from billing.store.store import Store
from billing.store.tables import item_versions, usage_events

CURRENCIES = ["EUR", "JPY", "KWD"]
EXPONENTS = {"EUR": 2, "JPY": 0, "KWD": 3}
JANUARY, FEBRUARY, MARCH = date(2025, 1, 1), date(2025, 2, 1), date(2025, 3, 1)


def offer(store: Store, prices: dict[str, tuple[str, str, dict[str, Any]]], **plan: Any) -> None:
    """A plan of components (kind, model, terms of the price) sold in every currency. Usage of a component is
    counted in a meter of its name, with three decimals."""
    parts = []
    for name, (kind, _, _) in prices.items():
        if kind == "usage":
            catalog.create_meter(store, OPENED, meter_id=name, name=name, scale=3)
        parts.append(NewComponent(name, kind, name if kind == "usage" else None))
    catalog.create_plan(store, OPENED, plan_id="plan", name="Plan", product_id="goods")
    catalog.publish_plan_version(
        store, OPENED, plan_id="plan", components=parts, **{"interval": "P1M"} | plan
    )
    for currency in CURRENCIES:
        catalog.create_price_list(
            store,
            OPENED,
            list_id=currency,
            name=currency,
            currency=currency,
            valid_start=JANUARY,
            prices=[NewPrice(f"plan.1.{name}", model, **terms) for name, (_, model, terms) in prices.items()],
        )


def report(
    store: Store, item_id: str, meter_id: str, *values: str, on: date = JANUARY, at_day: date = JANUARY
) -> None:
    """Events of a day in their order, reported on another."""
    known = store.frame(select(usage_events.c.seq))
    events = {
        "source": ["meter"] * len(values),
        "event_id": [f"{item_id} {meter_id} {known.height + place}" for place in range(len(values))],
        "item_id": [item_id] * len(values),
        "meter_id": [meter_id] * len(values),
        "value": list(values),
        "occurred_on": [on] * len(values),
    }
    answer = import_usage(store, at(at_day), pl.DataFrame(events))
    assert answer.accepted == len(values), answer


def net_of(store: Store, component: str) -> list[int]:
    return [row[4] for row in lines(store) if row[0] == f"plan.1.{component}"]


BLOCKS = [
    NewTier(unit="1", size=10, max_blocks=100),
    NewTier(unit="1", size=100, max_blocks=1000),
    NewTier(unit="0.5", size=1000),
]
RATES = [NewTier(100, rate_percent="5"), NewTier(None, flat="10", rate_percent="2")]


@pytest.mark.parametrize("currency", CURRENCIES)
@pytest.mark.parametrize(
    ("model", "terms", "used", "thousandths"),
    [
        # 1,000 units fill the first tier's 100 blocks; one more unit begins a block of the second.
        ("tiered_block", {"tiers": BLOCKS}, "1000", 100_000),
        ("tiered_block", {"tiers": BLOCKS}, "1000.001", 101_000),
        ("tiered_block", {"tiers": BLOCKS}, "101001", 1_100_500),
        ("tiered_block", {"tiers": BLOCKS, "block_policy": "top_tier"}, "1000.001", 11_000),
        # 102 blocks of 1,000 at 0.50.
        ("tiered_block", {"tiers": BLOCKS, "block_policy": "top_tier"}, "101001", 51_000),
        # 5 % of 100, then 2 % of 50 and 10.
        ("graduated_percentage", {"tiers": RATES}, "150", 16_000),
        ("graduated_percentage", {"tiers": RATES}, "100", 5_000),
    ],
)
def test_usage_is_billed_by_blocks_and_by_rates(
    store: Store, currency: str, model: str, terms: dict[str, Any], used: str, thousandths: int
) -> None:
    open_shop(store)
    offer(store, {"use": ("usage", model, terms)}, in_advance=False)
    join(store, "anna", currency=currency)
    item = item_of(store, take(store, JANUARY, "plan"))
    report(store, item, "use", used)
    run(store, FEBRUARY)
    run(store, FEBRUARY, 21)
    minor = thousandths * 10 ** EXPONENTS[currency]
    # Halves of a minor unit go up: 1,100.5 yen are 1,101.
    assert net_of(store, "use") == [minor // 1000 + (minor % 1000 >= 500)]
    assert parked(store) == {}


@pytest.mark.parametrize("currency", CURRENCIES)
def test_seats_are_billed_in_blocks_and_their_interval_amount_is_kept(store: Store, currency: str) -> None:
    open_shop(store)
    tiers = [NewTier(unit="20", size=5, max_blocks=2), NewTier(unit="70", size=20)]
    offer(store, {"seats": ("seat", "tiered_block", {"tiers": tiers})})
    join(store, "anna", currency=currency)
    take(store, JANUARY, "plan", quantity=12)
    run(store, JANUARY)
    # Two blocks of 5 at 20, then one of 20 at 70.
    minor = 110 * 10 ** EXPONENTS[currency]
    assert net_of(store, "seats") == [minor]
    assert kept_amounts(store) == [minor]


def kept_amounts(store: Store) -> list[int]:
    live = select(item_versions.c.recurring_minor).where(item_versions.c.superseded_at.is_(None))
    return store.frame(live)["recurring_minor"].to_list()
