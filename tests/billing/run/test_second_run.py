"""What the doctor's second run looks at: usage of every form, and what a tree still waits for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from shop import OPENED, Part, at, item_of, join, open_shop, run, sell, sell_alone, take
from soundness import assert_sound
from sqlalchemy import update

from billing.jobs.doctor.examination import Finding, examine
from billing.jobs.import_usage import import_usage
from billing.service import catalog, subscriptions
from billing.store import tables
from billing.store.store import Store

JANUARY, FEBRUARY, MAY = date(2025, 1, 1), date(2025, 2, 1), date(2025, 5, 1)

FORMS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({}, "per_unit", {"price": "0.31"}),
    ({}, "per_unit", {"price": "0.31", "maximum_spend": "2"}),
    ({}, "per_unit", {"price": "0.31", "minimum_spend": "90"}),
    ({"aggregation": "weighted_sum", "is_recurring": True}, "per_unit", {"price": "31"}),
    ({"aggregation": "max"}, "volume", {"tiers": [catalog.NewTier(5, "2"), catalog.NewTier(None, "1")]}),
    ({}, "percentage", {"rate_percent": "2.99", "fee_per_event": "1", "free_events": 1}),
    ({}, "dynamic", {}),
    ({}, "per_unit", {"price": "2", "window": "day", "window_commitment": "3", "overage_factor": "2"}),
    ({"aggregation": "unique_count", "is_recurring": True}, "per_unit", {"price": "31", "prorate": "day"}),
    (
        {"aggregation": "unique_count", "is_recurring": True},
        "per_unit",
        {"price": "31", "prorate": "day", "in_advance": True},
    ),
]


def sold(store: Store, meter: dict[str, Any], model: str, price: dict[str, Any]) -> None:
    """Three months of one metered plan, billed month by month."""
    open_shop(store)
    catalog.create_meter(store, OPENED, meter_id="units", name="Units", **meter)
    part = catalog.NewComponent("units", "usage", "units")
    sell_alone(store, part, catalog.NewPrice("plan.1.units", model, **price))
    join(store, "anna")
    item = item_of(store, take(store, JANUARY, "plan"))
    for month in (1, 2, 3):
        events = pl.DataFrame(
            {
                "source": "meter",
                "event_id": [f"{month} {day}" for day in (2, 9, 20)],
                "item_id": item,
                "meter_id": "units",
                "occurred_at": [datetime(2025, month, day, 12, tzinfo=UTC) for day in (2, 9, 20)],
                "value": ["1", "4", "2"],
                "amount": ["0.11", "4", "2"] if model == "dynamic" else None,
                "dimension": [f"{month} {day}" for day in (2, 9, 20)],
            },
            schema_overrides={"amount": pl.String},
        )
        taken = import_usage(store, at(date(2025, month, 21)), events)
        assert taken.accepted == 3, taken.rejected
        run(store, date(2025, month + 1, 1))


def owed_again(store: Store, on: date) -> Iterator[Finding]:
    return (one for one in examine(store, at(on, 22)) if one.check == "second_run")


@pytest.mark.parametrize(("meter", "model", "price"), FORMS)
def test_usage_of_every_form_is_priced_again_as_far_back_as_the_horizon(
    store: Store, meter: dict[str, Any], model: str, price: dict[str, Any]
) -> None:
    sold(store, meter, model, price)
    assert_sound(store, at(date(2025, 4, 1), 22))
    line = tables.line_items.c
    is_of_january = (line.kind == "usage") & (line.service_start == JANUARY) & (line.entry == "charge")
    more = {"gross_minor": line.gross_minor + 1, "net_minor": line.net_minor + 1}
    assert store.execute(update(tables.line_items).where(is_of_january).values(**more)) >= 1
    (found,) = owed_again(store, date(2025, 4, 1))
    assert found.wanted == -1
    assert (found.key["customer_id"], found.key["service_start"]) == ("anna", JANUARY)
    assert found.key["component_id"] == "plan.1.units"


def test_a_tree_in_which_somebody_is_due_or_parked_waits_for_the_next_run(store: Store) -> None:
    open_shop(store)
    sell(store, "basic", [Part("fee", "fee", "10"), Part("seat", "seat", "1", "per_unit")])
    join(store, "anna")
    join(store, "branch", parent_id="anna")
    subs = {name: take(store, JANUARY, "basic", name, quantity=2) for name in ("anna", "branch")}
    run(store, JANUARY)
    store.execute(update(tables.item_versions).values(quantity_mantissa=9))
    assert {one.key["customer_id"] for one in owed_again(store, JANUARY)} == {"anna", "branch"}
    subscriptions.change_quantity(
        store, at(date(2025, 1, 2)), subscription_id=subs["branch"], quantity=3, when="now"
    )
    assert list(owed_again(store, date(2025, 1, 2))) == []


def test_who_could_not_be_billed_again_is_named_with_the_reason(store: Store) -> None:
    open_shop(store)
    sell(store, "basic", [Part("seat", "seat", "10", "per_unit")])
    join(store, "anna")
    take(store, JANUARY, "basic", quantity=1)
    run(store, JANUARY)
    store.execute(update(tables.item_versions).values(quantity_mantissa=10**15))
    (found,) = owed_again(store, JANUARY)
    assert (found.key, found.found) == ({"customer_id": "anna"}, "amount_out_of_range")
