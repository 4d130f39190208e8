"""Catalogue, customers, policies: what is written, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import select

from billing.core.money import BillingError
from billing.service import catalog
from billing.service.catalog import NewComponent, NewPrice, NewTier
from billing.service.customers import add_payment_method, change_customer, create_customer
from billing.service.policies import policy_on, set_policy
from billing.service.subscriptions import subscribe
from billing.store.store import Store
from billing.store.tables import (
    customer_versions,
    customers,
    line_items,
    outbox,
    payment_methods,
    price_tiers,
    prices,
    rejected_inputs,
)

AT = datetime(2025, 3, 1, 9, tzinfo=UTC)
DAY = date(2025, 3, 1)


def refused(store: Store) -> list[str]:
    return store.frame(select(rejected_inputs.c.code))["code"].to_list()


def test_prices_are_kept_as_exact_mantissas_of_one_scale(company: Store) -> None:
    row = company.row(prices.select().where(prices.c.price_id == "standard.pro.1.calls"))
    assert row is not None
    assert (row["price_mantissa"], row["price_scale"], row["currency"]) == (125, 6, "EUR")
    steps = company.rows(price_tiers.select().order_by(price_tiers.c.position))
    assert [(row["up_to"], row["unit_mantissa"], row["flat_mantissa"]) for row in steps] == [
        (10, 5, 0),
        (None, 4, 0),
    ]


@pytest.mark.parametrize(
    ("price", "code"),
    [
        (NewPrice("basic.1.fee", "flat", "10"), "immutable"),
        (NewPrice("late.1.fee", "flat", "-1"), "negative_price"),
        (NewPrice("late.1.fee", "flat", 1.5), "float_money"),  # type: ignore[arg-type]
        (NewPrice("late.1.fee", "flat", "0.0000000000001"), "too_many_decimals"),
        (NewPrice("late.1.fee", "flat"), "bad_decimal"),
        (NewPrice("late.1.fee", "flat", "1" + "0" * 19), "amount_out_of_range"),
        (NewPrice("late.1.fee", "surprise", "1"), "unknown_model"),
        (NewPrice("late.1.fee", "package", "1"), "unknown_model"),
        (NewPrice("late.1.fee", "per_unit", "1", free_units=-1), "negative_quantity"),
        (NewPrice("late.1.fee", "graduated", tiers=()), "bad_tiers"),
        (NewPrice("late.1.fee", "graduated", tiers=(NewTier(10, "1"),)), "bad_tiers"),
        (NewPrice("late.1.fee", "volume", tiers=(NewTier(None, "1"), NewTier(5, "1"))), "bad_tiers"),
        (
            NewPrice("late.1.fee", "volume", tiers=(NewTier(5, "1"), NewTier(5, "1"), NewTier(None, "1"))),
            "bad_tiers",
        ),
        (NewPrice("late.1.fee", "volume", tiers=(NewTier(None, "1", size=5),)), "bad_tiers"),
        (NewPrice("late.1.fee", "tiered_block", tiers=(NewTier(None, "1"),)), "bad_tiers"),
        (NewPrice("late.1.fee", "tiered_block", tiers=(NewTier(unit="1", size=0),)), "bad_tiers"),
        (
            NewPrice("late.1.fee", "tiered_block", tiers=(NewTier(unit="1", size=5, max_blocks=1),)),
            "bad_tiers",
        ),
        (
            NewPrice(
                "late.1.fee", "tiered_block", tiers=(NewTier(unit="1", size=5), NewTier(unit="1", size=9))
            ),
            "bad_tiers",
        ),
        (NewPrice("late.1.fee", "tiered_block", tiers=(NewTier(9, "1", size=5),)), "bad_tiers"),
        (
            NewPrice("late.1.fee", "tiered_block", tiers=(NewTier(unit="1", size=5),), block_policy="middle"),
            "unknown_setting",
        ),
        (NewPrice("late.1.fee", "graduated_percentage", tiers=(NewTier(None, "1"),)), "bad_tiers"),
        (NewPrice("late.1.fee", "graduated", tiers=(NewTier(None, rate_percent="1"),)), "bad_tiers"),
        (
            NewPrice("late.1.fee", "graduated_percentage", tiers=(NewTier(None, rate_percent="-1"),)),
            "bad_rate",
        ),
        (NewPrice("late.1.fee", "percentage", rate_percent="2"), "unknown_model"),
        (NewPrice("late.1.fee", "dynamic"), "unknown_model"),
        (NewPrice("late.1.fee", "percentage"), "bad_decimal"),
        (NewPrice("late.1.fee", "percentage", rate_percent="-2"), "bad_rate"),
        (NewPrice("late.1.fee", "percentage", rate_percent="2", fee_per_event="-1"), "negative_price"),
        (NewPrice("late.1.fee", "percentage", rate_percent="2", free_events=-1), "negative_quantity"),
        (
            NewPrice("late.1.fee", "percentage", rate_percent="2", min_per_event="2", max_per_event="1.99"),
            "bad_bounds",
        ),
        (NewPrice("late.1.fee", "flat", "1", rate_percent="2"), "unknown_setting"),
        (NewPrice("late.1.fee", "flat", "1", minimum_spend="-1"), "negative_price"),
        (NewPrice("late.1.fee", "flat", "1", minimum_spend="0.001"), "too_many_decimals"),
        (NewPrice("late.1.fee", "flat", "1", minimum_spend="2", maximum_spend="1"), "bad_bounds"),
        (NewPrice("nothing", "flat", "1"), "unknown_component"),
    ],
)
def test_a_wrong_price_is_refused(company: Store, price: NewPrice, code: str) -> None:
    catalog.create_plan(company, AT, plan_id="late", name="Late", product_id="goods")
    parts = [NewComponent("fee", "fee")]
    catalog.publish_plan_version(company, AT, plan_id="late", interval="P1M", components=parts)
    before = company.frame(prices.select()).height
    with pytest.raises(BillingError) as error:
        catalog.add_prices(company, AT, list_id="standard", prices=[price])
    assert error.value.code == code
    assert company.frame(prices.select()).height == before
    assert refused(company) == [code]


@pytest.mark.parametrize(
    ("components", "interval", "code"),
    [
        ([], "P1M", "illegal_plan"),
        ([NewComponent("fee", "present")], "P1M", "illegal_plan"),
        ([NewComponent("calls", "usage")], "P1M", "illegal_plan"),
        ([NewComponent("fee", "fee", "calls")], "P1M", "illegal_plan"),
        ([NewComponent("calls", "usage", "nothing")], "P1M", "unknown_meter"),
        ([NewComponent("fee", "fee")], "monthly", "bad_interval"),
    ],
)
def test_a_wrong_plan_is_refused(
    company: Store, components: list[NewComponent], interval: str, code: str
) -> None:
    with pytest.raises(BillingError) as error:
        catalog.publish_plan_version(company, AT, plan_id="basic", interval=interval, components=components)
    assert error.value.code == code
    assert catalog.latest_version(company, "basic") == 1


def test_a_new_version_of_a_plan_leaves_the_old_one_as_it_was(company: Store) -> None:
    before = catalog.plan_version(company, "basic", 1)
    new = catalog.publish_plan_version(
        company, AT, plan_id="basic", interval="P3M", components=[NewComponent("fee", "fee")]
    )
    company.memory.clear()
    assert (new.version, new.interval) == (2, "P3M")
    assert catalog.plan_version(company, "basic", 1) == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"currency": "XXX"}, "unknown_currency"),
        ({"valid_end": DAY}, "empty_period"),
        ({"level": "customer"}, "unknown_setting"),
        ({"level": "somewhere", "owner_id": "x"}, "unknown_setting"),
    ],
)
def test_a_wrong_price_list_is_refused(company: Store, arguments: dict[str, Any], code: str) -> None:
    wanted = {"list_id": "l", "name": "L", "currency": "EUR", "valid_start": DAY} | arguments
    with pytest.raises(BillingError, match=code):
        catalog.create_price_list(company, AT, **wanted)


@pytest.mark.parametrize("rate", [-1, 1_000_001])
def test_a_tax_rate_outside_0_to_100_percent_is_refused(company: Store, rate: int) -> None:
    with pytest.raises(BillingError, match="bad_rate"):
        catalog.add_tax_rate(company, AT, country="DE", tax_rate_ppm=rate, valid_from=DAY)


def new_customer(store: Store, customer_id: str, **more: Any) -> str:
    wanted = {"name": customer_id, "entity_id": "seller", "currency": "EUR", "country": "DE"} | more
    return create_customer(store, AT, customer_id=customer_id, **wanted)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"currency": "EURO"}, "unknown_currency"),
        ({"entity_id": "nobody"}, "unknown_entity"),
        ({"parent_id": "nobody"}, "unknown_customer"),
        ({"bill_to_id": "nobody"}, "unknown_customer"),
        ({"policy_name": "none"}, "unknown_setting"),
        ({"collection": "by hand"}, "unknown_setting"),
        ({"time_zone": "Mars/Olympus"}, "unknown_time_zone"),
    ],
)
def test_a_wrong_customer_is_refused(company: Store, arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(BillingError) as error:
        new_customer(company, "bert", **arguments)
    assert error.value.code == code
    assert refused(company) == [code]


def test_a_taken_customer_id_is_refused(company: Store) -> None:
    with pytest.raises(BillingError, match="immutable"):
        new_customer(company, "anna")


def roots(store: Store) -> dict[str, str]:
    return {row["customer_id"]: row["root_id"] for row in store.rows(customers.select())}


def test_a_move_gives_the_whole_branch_its_new_root(company: Store) -> None:
    new_customer(company, "group")
    new_customer(company, "site", parent_id="anna")
    new_customer(company, "room", parent_id="site")
    assert roots(company) == {"anna": "anna", "group": "group", "site": "anna", "room": "anna"}
    change_customer(company, AT, customer_id="anna", parent_id="group")
    assert set(roots(company).values()) == {"group"}
    change_customer(company, AT, customer_id="site", parent_id=None)
    assert roots(company) == {"anna": "group", "group": "group", "site": "site", "room": "site"}


@pytest.mark.parametrize("parent", ["anna", "site", "room"])
def test_a_tree_has_no_cycle(company: Store, parent: str) -> None:
    new_customer(company, "site", parent_id="anna")
    new_customer(company, "room", parent_id="site")
    with pytest.raises(BillingError, match="parent_cycle"):
        change_customer(company, AT, customer_id="anna", parent_id=parent)
    assert set(roots(company).values()) == {"anna"}


def payers(store: Store) -> dict[str, str]:
    return {row["customer_id"]: row["bill_to_id"] for row in store.rows(customers.select())}


def test_a_customer_is_billed_to_itself_or_to_who_stands_above_it(company: Store) -> None:
    new_customer(company, "group")
    new_customer(company, "site", parent_id="anna", bill_to_id="anna")
    new_customer(company, "room", parent_id="site", bill_to_id="anna")
    for payer in ("group", "room"):
        with pytest.raises(BillingError, match="payer_not_above"):
            change_customer(company, AT, customer_id="site", bill_to_id=payer)
    with pytest.raises(BillingError, match="payer_not_above"):
        new_customer(company, "desk", parent_id="anna", bill_to_id="site")
    change_customer(company, AT, customer_id="room", bill_to_id="site")
    assert payers(company) == {"anna": "anna", "group": "group", "site": "anna", "room": "site"}


def test_a_branch_moves_with_its_payers_and_not_away_from_one_that_stays(company: Store) -> None:
    new_customer(company, "group")
    new_customer(company, "site", parent_id="anna", bill_to_id="anna")
    new_customer(company, "room", parent_id="site", bill_to_id="site")
    with pytest.raises(BillingError, match="payer_not_above"):
        change_customer(company, AT, customer_id="site", parent_id="group")
    change_customer(company, AT, customer_id="anna", parent_id="group")
    change_customer(company, AT, customer_id="site", parent_id="group", bill_to_id="group")
    assert payers(company) == {"anna": "anna", "group": "group", "site": "group", "room": "site"}
    assert set(roots(company).values()) == {"group"}


def test_each_change_of_a_name_is_a_dated_row_also_twice_a_day(company: Store) -> None:
    change_customer(company, AT, customer_id="anna", name="Anna B")
    change_customer(company, AT, customer_id="anna", name="Anna C", locale="ar")
    change_customer(company, AT, customer_id="anna", locale="en")
    change_customer(company, AT, customer_id="anna", name="Anna C")
    found = company.rows(
        customer_versions.select().order_by(customer_versions.c.valid_from, customer_versions.c.revision)
    )
    assert [(row["valid_from"], row["revision"], row["name"]) for row in found] == [
        (date(2025, 1, 1), 0, "Anna"),
        (DAY, 0, "Anna B"),
        (DAY, 1, "Anna C"),
    ]


def test_the_currency_is_fixed_once_a_line_is_billed(company: Store) -> None:
    subscription = subscribe(company, AT, customer_id="anna", plan_id="basic")
    line = {
        "line_id": "l",
        "invoice_id": "i",
        "customer_id": "anna",
        "item_id": subscription.main_item.item_id,
        "component_id": "basic.1.fee",
        "kind": "recurring",
        "entry": "charge",
        "service_start": DAY,
        "service_end": date(2025, 4, 1),
        "reference_start": DAY,
        "reference_end": date(2025, 4, 1),
        "terms_id": "t",
        "quantity_mantissa": 1,
        "currency": "EUR",
        "gross_minor": 100,
        "net_minor": 100,
        "tax_minor": 0,
        "policy_name": "default",
        "policy_version": 1,
    }
    company.insert(line_items, [line], AT)
    with pytest.raises(BillingError, match="immutable"):
        change_customer(company, AT, customer_id="anna", currency="USD")


def test_an_attribute_that_is_not_there_cannot_be_changed(company: Store) -> None:
    with pytest.raises(BillingError, match="unknown_setting"):
        change_customer(company, AT, customer_id="anna", next_bill_on=DAY)


def test_a_new_default_method_ends_the_one_before(company: Store) -> None:
    first = add_payment_method(company, AT, customer_id="anna", gateway_ref="card-1")
    later = datetime(2025, 3, 5, tzinfo=UTC)
    second = add_payment_method(company, later, customer_id="anna", gateway_ref="iban", kind="direct_debit")
    found = {row["method_id"]: row for row in company.rows(payment_methods.select())}
    assert (found[first]["valid_to"], found[first]["is_default"]) == (date(2025, 3, 5), False)
    assert (found[second]["valid_to"], found[second]["is_default"]) == (None, True)
    with pytest.raises(BillingError, match="unknown_setting"):
        add_payment_method(company, AT, customer_id="anna", gateway_ref="x", kind="cheque")


def test_a_policy_version_holds_from_its_day_and_never_changes(company: Store) -> None:
    set_policy(company, AT, valid_from=DAY, settings={"day_count": "second", "horizon_months": 12})
    before, after = (policy_on(company, "default", on) for on in (date(2025, 2, 28), DAY))
    assert (before.version, before.settings.day_count, before.settings.horizon_months) == (
        1,
        "actual_day",
        26,
    )
    assert (after.version, after.settings.day_count, after.settings.horizon_months) == (2, "second", 12)
    with pytest.raises(BillingError, match="immutable"):
        set_policy(company, AT, valid_from=date(2025, 2, 1), settings={"grace_days": 3})


def test_a_policy_version_keeps_what_it_does_not_name(company: Store) -> None:
    set_policy(company, AT, name="strict", valid_from=DAY, settings={"seat_decrease": "period_end"})
    set_policy(company, AT, name="strict", valid_from=date(2025, 4, 1), settings={"tax_scope": "line"})
    settings = policy_on(company, "strict", date(2025, 4, 1)).settings
    assert (settings.seat_decrease, settings.tax_scope, settings.day_count) == (
        "period_end",
        "line",
        "actual_day",
    )
    with pytest.raises(BillingError, match="unknown_setting"):
        policy_on(company, "strict", date(2025, 2, 28))


@pytest.mark.parametrize(
    "settings", [{"colour": "red"}, {"day_count": "sometimes"}, {"grace_days": -1}, {"grace_days": "x"}]
)
def test_an_unknown_setting_or_value_is_refused(company: Store, settings: dict[str, Any]) -> None:
    with pytest.raises(BillingError, match="unknown_setting"):
        set_policy(company, AT, valid_from=DAY, settings=settings)
    assert refused(company) == ["unknown_setting"]


def test_every_act_of_the_catalogue_leaves_a_message(company: Store) -> None:
    found = company.frame(select(outbox.c.topic))["topic"].unique().to_list()
    assert set(found) == {
        "legal_entity.created",
        "product.created",
        "meter.created",
        "plan.created",
        "plan.published",
        "price_list.created",
        "prices.added",
        "customer.created",
    }
