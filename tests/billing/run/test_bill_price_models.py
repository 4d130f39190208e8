"""Every price model of a plan, billed by the run: amounts a bookkeeper can check, in EUR, JPY and KWD."""

from __future__ import annotations

import json
from datetime import date
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from shop import OPENED, at, item_of, join, lines, notes, open_shop, parked, run, take
from sqlalchemy import select

from billing.core.money import BillingError
from billing.jobs.import_usage import import_usage
from billing.service import catalog
from billing.service.catalog import NewComponent, NewPrice, NewTier
from billing.service.subscriptions import cancel, change_quantity
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


# Minimum and maximum spend.


def true_ups(store: Store) -> list[tuple[Any, ...]]:
    columns = ("entry", "service_start", "service_end", "net_minor", "kind")
    return [row[:4] for row in lines(store, *columns) if row[4] == "true_up"]


@pytest.mark.parametrize("currency", CURRENCIES)
def test_a_minimum_spend_is_made_up_at_the_end_of_the_period(store: Store, currency: str) -> None:
    open_shop(store)
    offer(store, {"use": ("usage", "per_unit", {"price": "1", "minimum_spend": "150"})}, in_advance=False)
    join(store, "anna", currency=currency)
    item = item_of(store, take(store, JANUARY, "plan"))
    report(store, item, "use", "100")
    one = 10 ** EXPONENTS[currency]
    run(store, date(2025, 1, 31))
    assert true_ups(store) == []
    run(store, FEBRUARY)
    run(store, FEBRUARY, 21)
    assert net_of(store, "use") == [100 * one, 50 * one]
    assert true_ups(store) == [("charge", JANUARY, FEBRUARY, 50 * one)]
    # Late usage of January is billed with February's, and lowers what was made up. February has 10.
    report(store, item, "use", "20", on=date(2025, 1, 9), at_day=date(2025, 2, 3))
    report(store, item, "use", "10", on=date(2025, 2, 5), at_day=date(2025, 2, 5))
    run(store, date(2025, 2, 10))
    assert len(net_of(store, "use")) == 2
    run(store, MARCH)
    assert sorted(net_of(store, "use")[2:]) == [-20 * one, 10 * one, 20 * one, 140 * one]
    assert ("credit", JANUARY, FEBRUARY, -20 * one) in true_ups(store)
    # More than the minimum: all of it is given back, and never more.
    report(store, item, "use", "900", on=date(2025, 1, 9), at_day=date(2025, 3, 3))
    run(store, date(2025, 4, 1))
    assert sum(row[3] for row in true_ups(store) if row[1] == JANUARY) == 0
    assert parked(store) == {}


@pytest.mark.parametrize(("currency", "made_up"), [("EUR", 2_323), ("JPY", 23), ("KWD", 23_226)])
def test_a_minimum_is_prorated_where_the_service_is_shorter(
    store: Store, currency: str, made_up: int
) -> None:
    """150 for 10 of 31 days is 48.387…, of which 25.16129 is what 10 days of two seats at 39 cost."""
    open_shop(store)
    seats = {"price": "39", "minimum_spend": "150"}
    offer(store, {"seats": ("seat", "per_unit", seats), "use": ("usage", "per_unit", {"price": "1"})})
    join(store, "anna", currency=currency)
    subscription = take(store, JANUARY, "plan", quantity=2)
    run(store, JANUARY)
    cancel(store, at(date(2025, 1, 11)), subscription_id=subscription, when="now", reason="other")
    run(store, date(2025, 1, 11))
    run(store, FEBRUARY)
    assert true_ups(store) == [("charge", JANUARY, date(2025, 1, 11), made_up)]
    assert parked(store) == {}


@pytest.mark.parametrize("currency", CURRENCIES)
def test_a_minimum_looks_at_the_whole_period_of_seats_that_changed(store: Store, currency: str) -> None:
    """30 days in April: 10 seats for 15 days and 20 for 15 at 10 each are 50 + 100; the minimum is 160."""
    open_shop(store)
    offer(store, {"seats": ("seat", "per_unit", {"price": "10", "minimum_spend": "160"})})
    join(store, "anna", currency=currency)
    subscription = take(store, date(2025, 4, 1), "plan", quantity=10)
    one = 10 ** EXPONENTS[currency]
    assert kept_amounts(store) == [160 * one]
    run(store, date(2025, 4, 1))
    change_quantity(store, at(date(2025, 4, 16)), subscription_id=subscription, quantity=20, when="now")
    run(store, date(2025, 4, 16))
    assert true_ups(store) == []
    run(store, date(2025, 5, 1))
    assert true_ups(store) == [("charge", date(2025, 4, 1), date(2025, 5, 1), 10 * one)]
    run(store, date(2025, 6, 1))
    # 20 seats in May are 200: nothing is missing.
    assert len(true_ups(store)) == 1


@pytest.mark.parametrize("currency", CURRENCIES)
def test_a_maximum_spend_cuts_the_usage_of_a_whole_period(store: Store, currency: str) -> None:
    open_shop(store)
    offer(store, {"use": ("usage", "per_unit", {"price": "1", "maximum_spend": "125"})}, in_advance=False)
    join(store, "anna", currency=currency)
    item = item_of(store, take(store, JANUARY, "plan"))
    report(store, item, "use", "150")
    report(store, item, "use", "100", on=date(2025, 2, 3), at_day=date(2025, 2, 3))
    run(store, MARCH)
    one = 10 ** EXPONENTS[currency]
    assert net_of(store, "use") == [125 * one, 100 * one]
    told = lines(store, "explanation")
    assert json.loads(told[0][0])["cut_minor"] == f"{25 * one * 1000}/1000"
    assert "cut_minor" not in told[1][0]
    # 60 more in February: 25 fit.
    report(store, item, "use", "60", on=date(2025, 2, 4), at_day=date(2025, 3, 4))
    run(store, date(2025, 4, 1))
    assert net_of(store, "use") == [125 * one, 100 * one, 25 * one]


def test_a_maximum_of_seats_holds_for_the_interval_and_its_credit(store: Store) -> None:
    open_shop(store)
    offer(store, {"seats": ("seat", "per_unit", {"price": "10", "maximum_spend": "31"})})
    join(store, "anna")
    subscription = take(store, JANUARY, "plan", quantity=5)
    assert kept_amounts(store) == [3100]
    run(store, JANUARY)
    cancel(store, at(date(2025, 1, 11)), subscription_id=subscription, when="now", reason="other")
    run(store, date(2025, 1, 11))
    assert net_of(store, "seats") == [3100]
    assert [row[2] for row in notes(store)] == [2100]


@pytest.mark.parametrize("currency", CURRENCIES)
def test_all_terms_of_a_period_stay_within_the_maximum_together(store: Store, currency: str) -> None:
    open_shop(store)
    offer(store, {"seats": ("seat", "per_unit", {"price": "10", "maximum_spend": "50"})}, in_advance=False)
    join(store, "anna", currency=currency)
    subscription = take(store, date(2025, 4, 1), "plan", quantity=6)
    for day, seats in ((11, 2), (21, 9)):
        change_quantity(store, at(date(2025, 4, day)), subscription_id=subscription, quantity=seats)
    run(store, date(2025, 5, 1))
    # A third of the month each: of 60 cut to 50, of 20, and of 90 cut to 50.
    one = 10 ** EXPONENTS[currency]
    thirds = [Fraction(whole * one, 3) for whole in (50, 20, 50)]
    assert net_of(store, "seats") == [int(third + Fraction(1, 2)) for third in thirds]
    assert sum(net_of(store, "seats")) <= 50 * one


# Prices of single events.


@pytest.mark.parametrize(("currency", "minor"), [("EUR", 1_614), ("JPY", 16), ("KWD", 16_142)])
def test_each_event_pays_its_share_within_its_bounds(store: Store, currency: str, minor: int) -> None:
    """1.75 at least, 2.392, and 12 at most are 16.142, rounded once."""
    open_shop(store)
    terms = {"rate_percent": "2.99", "min_per_event": "1.75", "max_per_event": "12"}
    offer(store, {"paid": ("usage", "percentage", terms)}, in_advance=False)
    join(store, "anna", currency=currency)
    item = item_of(store, take(store, JANUARY, "plan"))
    report(store, item, "paid", "10", "80", "10000")
    run(store, FEBRUARY)
    run(store, FEBRUARY, 21)
    assert net_of(store, "paid") == [minor]
    run(store, MARCH)
    assert net_of(store, "paid") == [minor]
    assert parked(store) == {}


@pytest.mark.parametrize("currency", CURRENCIES)
@pytest.mark.parametrize(("setting", "units"), [("first_limit", [0, 2, 4, 4]), ("last_limit", [0, 0, 4, 4])])
def test_the_free_part_is_used_up_by_the_events_before(
    store: Store, currency: str, setting: str, units: list[int]
) -> None:
    """Two events and 50 are free, then 10 % and a fee of 1. What comes late finds its place by its day."""
    open_shop(store, percentage_free=setting)
    terms = {"rate_percent": "10", "fee_per_event": "1", "free_events": 2, "free_amount": "50"}
    offer(store, {"paid": ("usage", "percentage", terms)}, in_advance=False)
    join(store, "anna", currency=currency)
    item = item_of(store, take(store, JANUARY, "plan"))
    report(store, item, "paid", "30", "30", "30", on=date(2025, 1, 20), at_day=date(2025, 1, 20))
    run(store, FEBRUARY)
    one = 10 ** EXPONENTS[currency]
    assert net_of(store, "paid") == [sum(units[:3]) * one]
    # A fourth event, the earliest of all, arrives in February; each period has its free part anew.
    report(store, item, "paid", "30", on=date(2025, 1, 2), at_day=date(2025, 2, 4))
    report(store, item, "paid", "30", on=date(2025, 2, 5), at_day=date(2025, 2, 5))
    run(store, MARCH)
    assert sum(net_of(store, "paid")) == sum(units) * one
    assert parked(store) == {}


@pytest.mark.parametrize(("currency", "minor"), [("EUR", 40), ("JPY", 0), ("KWD", 402)])
def test_events_of_a_dynamic_price_bring_their_amounts(store: Store, currency: str, minor: int) -> None:
    open_shop(store)
    offer(store, {"paid": ("usage", "dynamic", {})}, in_advance=False)
    join(store, "anna", currency=currency)
    item = item_of(store, take(store, JANUARY, "plan"))
    report(store, item, "paid", "0.1", "0.102", "0.2")
    run(store, FEBRUARY)
    assert sum(net_of(store, "paid")) == minor
    report(store, item, "paid", "-1", on=date(2025, 2, 3), at_day=date(2025, 2, 3))
    run(store, MARCH)
    assert parked(store) == {"anna": "negative_quantity"}


@pytest.mark.parametrize("currency", CURRENCIES)
def test_events_obey_the_minimum_and_maximum_of_their_price(store: Store, currency: str) -> None:
    open_shop(store)
    offer(
        store,
        {
            "low": ("usage", "percentage", {"rate_percent": "10", "minimum_spend": "5"}),
            "high": ("usage", "dynamic", {"maximum_spend": "7"}),
        },
        in_advance=False,
    )
    join(store, "anna", currency=currency)
    item = item_of(store, take(store, JANUARY, "plan"))
    report(store, item, "low", "20")
    report(store, item, "high", "6", "3")
    run(store, FEBRUARY)
    one = 10 ** EXPONENTS[currency]
    assert (net_of(store, "low"), net_of(store, "high")) == ([2 * one, 3 * one], [7 * one])


def test_events_of_many_items_do_not_mix(store: Store) -> None:
    """Each item and each meter has its own free part; a meter without a price of events is summed."""
    open_shop(store)
    terms = {"rate_percent": "10", "free_events": 1}
    offer(
        store,
        {
            "paid": ("usage", "percentage", terms),
            "sent": ("usage", "percentage", terms | {"free_events": 2}),
            "calls_made": ("usage", "per_unit", {"price": "1"}),
        },
        in_advance=False,
    )
    for name, start in (("anna", JANUARY), ("ben", date(2025, 1, 10))):
        join(store, name)
        item = item_of(store, take(store, start, "plan", name, anchor_on=JANUARY))
        report(store, item, "paid", "10", "20", "30", on=date(2025, 1, 15), at_day=date(2025, 1, 15))
        report(store, item, "sent", "10", "20", "30", on=date(2025, 1, 15), at_day=date(2025, 1, 15))
        report(store, item, "calls_made", "4", "5", on=date(2025, 1, 15), at_day=date(2025, 1, 15))
    run(store, FEBRUARY)
    assert net_of(store, "paid") == [500, 500]
    assert net_of(store, "sent") == [300, 300]
    assert net_of(store, "calls_made") == [900, 900]


# Plans of several components.


@pytest.mark.parametrize("currency", CURRENCIES)
def test_a_hybrid_bills_each_component_by_its_own_model(store: Store, currency: str) -> None:
    open_shop(store)
    offer(
        store,
        {
            "base": ("fee", "flat", {"price": "100"}),
            "seats": ("seat", "volume", {"tiers": [NewTier(10, "8"), NewTier(None, "5", "20")]}),
            "stored": ("usage", "package", {"price": "3", "package_size": 10, "free_units": 5}),
            "sent": ("usage", "graduated", {"tiers": [NewTier(100, "1"), NewTier(None, "0.5")]}),
            "sold": ("usage", "percentage", {"rate_percent": "2", "fee_per_event": "1"}),
        },
    )
    join(store, "anna", currency=currency)
    item = item_of(store, take(store, JANUARY, "plan", quantity=12))
    report(store, item, "stored", "26")
    report(store, item, "sent", "150")
    report(store, item, "sold", "100", "200")
    run(store, JANUARY)
    run(store, date(2025, 1, 31))
    one = 10 ** EXPONENTS[currency]
    assert (net_of(store, "base"), net_of(store, "seats")) == ([100 * one], [80 * one])
    assert kept_amounts(store) == [180 * one]
    run(store, FEBRUARY)
    # 21 units in blocks of 10; 100 and 50 halves; 2 % of 300 and two fees.
    used = [net_of(store, name) for name in ("stored", "sent", "sold")]
    assert used == [[9 * one], [125 * one], [8 * one]]
    assert net_of(store, "base") == [100 * one] * 2


@pytest.mark.parametrize("currency", CURRENCIES)
@pytest.mark.parametrize(("setting", "fees"), [("none", 0), ("first_tier", 7)])
def test_without_usage_the_first_flat_fee_is_billed_where_the_setting_says_so(
    store: Store, currency: str, setting: str, fees: int
) -> None:
    open_shop(store, flat_fee_on_zero=setting)
    tiers = [NewTier(10, "1", "7"), NewTier(None, "2", "9")]
    offer(store, {"use": ("usage", "graduated", {"tiers": tiers})}, in_advance=False)
    join(store, "anna", currency=currency)
    take(store, JANUARY, "plan")
    run(store, FEBRUARY)
    run(store, FEBRUARY, 21)
    assert sum(net_of(store, "use")) == fees * 10 ** EXPONENTS[currency]


# Bundles.


def bundled(store: Store, price: str, kind: str = "fee", model: str = "flat") -> None:
    catalog.create_plan(store, OPENED, plan_id="plan", name="Plan", product_id="goods")
    parts = [NewComponent("suite", kind)]
    for name, share in (("licence", 500_000), ("support", 300_000), ("training", 200_000)):
        parts.append(NewComponent(name, kind, bundle="suite", bundle_share_ppm=share))
    catalog.publish_plan_version(store, OPENED, plan_id="plan", interval="P1M", components=parts)
    for currency in CURRENCIES:
        catalog.create_price_list(
            store,
            OPENED,
            list_id=currency,
            name=currency,
            currency=currency,
            valid_start=JANUARY,
            prices=[NewPrice("plan.1.suite", model, price)],
        )


@pytest.mark.parametrize("currency", CURRENCIES)
def test_a_bundle_has_one_price_and_a_line_a_component(store: Store, currency: str) -> None:
    open_shop(store)
    bundled(store, "90")
    join(store, "anna", currency=currency)
    take(store, JANUARY, "plan")
    run(store, JANUARY)
    run(store, JANUARY, 21)
    one = 10 ** EXPONENTS[currency]
    shares = [net_of(store, name) for name in ("licence", "support", "training")]
    assert shares == [[45 * one], [27 * one], [18 * one]]
    assert net_of(store, "suite") == []
    assert kept_amounts(store) == [90 * one]
    assert parked(store) == {}


def test_shares_of_a_bundle_add_up_and_so_do_their_credits(store: Store) -> None:
    """1.01 is 0.505, 0.303, 0.202: floors 50, 30, 20, and the cent left goes to the largest remainder."""
    open_shop(store)
    bundled(store, "1.01", "seat", "per_unit")
    join(store, "anna")
    subscription = take(store, JANUARY, "plan")
    run(store, JANUARY)
    names = ("licence", "support", "training")
    assert [net_of(store, name) for name in names] == [[51], [30], [20]]
    cancel(store, at(date(2025, 1, 11)), subscription_id=subscription, when="now", reason="other")
    run(store, date(2025, 1, 11))
    # 21 of 31 days of 1.01 are 0.68: 0.34, 0.204 and 0.136, the last cent to the largest remainder.
    assert [row[2] for row in notes(store)] == [34, 20, 14]
    assert parked(store) == {}


@pytest.mark.parametrize(
    "parts",
    [
        [NewComponent("suite", "fee"), NewComponent("a", "fee", bundle="suite", bundle_share_ppm=999_999)],
        [NewComponent("a", "fee", bundle="suite", bundle_share_ppm=1_000_000)],
        [NewComponent("suite", "fee"), NewComponent("a", "seat", bundle="suite", bundle_share_ppm=1_000_000)],
    ],
)
def test_a_bundle_that_is_not_whole_is_refused(store: Store, parts: list[NewComponent]) -> None:
    open_shop(store)
    catalog.create_plan(store, OPENED, plan_id="plan", name="Plan", product_id="goods")
    with pytest.raises(BillingError, match="illegal_plan"):
        catalog.publish_plan_version(store, OPENED, plan_id="plan", interval="P1M", components=parts)
