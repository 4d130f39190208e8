"""What a payer owes beside its credit limit, and orders that wait for a person's word."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from shop import Part, at, item_of, join, new_store, open_shop, run, sell, sell_alone, take, use
from sqlalchemy import select, update

from billing.core.money import BillingError
from billing.service import subscriptions
from billing.service.approvals import approve, list_approvals, reject
from billing.service.catalog import NewComponent, NewPrice
from billing.service.charges import add_charge
from billing.service.commands import perform_once
from billing.service.credit_limits import Exposure, exposure
from billing.service.customers import change_customer
from billing.service.previews import preview_change
from billing.service.subscriptions import AddOn, NewContract
from billing.store import tables
from billing.store.store import Store

NEW_YEAR, MID_JANUARY, FEBRUARY = date(2025, 1, 1), date(2025, 1, 15), date(2025, 2, 1)


@pytest.fixture
def shop(each_database: str) -> Store:
    """A shop without tax. `plan`: 10.00 a month and 5.00 a seat in advance, 0.01 a call. `late`: 31.00 a
    month in arrears. `extra`: an add-on of 7.00. Anna may owe 100.00."""
    store = open_shop(new_store(), tax_rate_ppm=0)
    parts = [
        Part("fee", "fee", "10"),
        Part("seat", "seat", "5", "per_unit"),
        Part("calls", "usage", "0.01", "per_unit"),
    ]
    sell(store, "plan", parts)
    sell(store, "big", [Part("fee", "fee", "90"), Part("seat", "seat", "5", "per_unit")])
    sell(store, "late", [Part("fee", "fee", "31")], in_advance=False)
    sell_alone(
        store,
        NewComponent("fee", "fee"),
        NewPrice("extra.1.fee", "flat", "7"),
        plan_id="extra",
        in_advance=True,
        is_add_on=True,
    )
    join(store, "anna", credit_limit_minor=10000, collection="terms")
    return store


def of(store: Store, on: date, payer: str = "anna") -> Exposure:
    return exposure(store, at(on), customer_id=payer)


def figures(found: Exposure) -> tuple[int, int, int, int, int]:
    return (
        found.receivable_minor,
        found.draft_minor,
        found.usage_minor,
        found.ordered_minor,
        found.credit_minor,
    )


def test_what_counts_is_told_apart(shop: Store) -> None:
    """15.00 due today and 31.00 at the month's end; then an invoice, calls of the month, a charge to come, a
    subscription that begins in March, and credit."""
    one = take(shop, NEW_YEAR, "plan")
    take(shop, NEW_YEAR, "late")
    assert figures(of(shop, NEW_YEAR)) == (0, 1500, 0, 3100, 0)
    run(shop, NEW_YEAR)
    assert figures(of(shop, NEW_YEAR)) == (1500, 0, 0, 3100, 0)
    use(shop, MID_JANUARY, item_of(shop, one), date(2025, 1, 9), 250, "e1")
    add_charge(
        shop,
        at(MID_JANUARY),
        subscription_id=one,
        description="Repair",
        amount="4.00",
        charged_on=date(2025, 1, 20),
    )
    take(shop, MID_JANUARY, "plan", starts_on=date(2025, 3, 1))
    assert figures(of(shop, MID_JANUARY)) == (1500, 0, 250, 3100 + 400 + 1500, 0)
    assert of(shop, MID_JANUARY).exposure_minor == 6750
    note = {
        "note_id": "note",
        "entity_id": "seller",
        "customer_id": "anna",
        "currency": "EUR",
        "reason": "goodwill",
        "issued_on": MID_JANUARY,
        "net_minor": 600,
        "tax_minor": 0,
        "total_minor": 600,
    }
    shop.insert(tables.credit_notes, [note], at(MID_JANUARY))
    assert of(shop, MID_JANUARY).exposure_minor == 6150


def test_a_child_counts_at_its_payer(shop: Store) -> None:
    join(shop, "bert", parent_id="anna", bill_to_id="anna")
    take(shop, NEW_YEAR, "plan", "bert", quantity=2)
    assert of(shop, NEW_YEAR).exposure_minor == 2000
    assert of(shop, NEW_YEAR, "bert").exposure_minor == 0
    with pytest.raises(BillingError, match="over_credit_limit"):
        take(shop, NEW_YEAR, "plan", "bert", quantity=20)


def held(store: Store, code: str, order: Callable[[], object]) -> str:
    """The one approval that an order waits for."""
    with pytest.raises(BillingError, match=code) as refused:
        order()
    waiting = list_approvals(store)
    assert waiting.height == 1
    approval_id = str(waiting["approval_id"][0])
    assert approval_id in refused.value.detail
    return approval_id


def test_an_order_up_to_the_limit_is_taken_and_one_above_it_waits(shop: Store) -> None:
    take(shop, NEW_YEAR, "plan", quantity=18, subscription_id="s")
    assert of(shop, NEW_YEAR).exposure_minor == 10000
    with pytest.raises(BillingError, match="would owe 10500 of at most 10000 EUR"):
        subscriptions.change_quantity(shop, at(NEW_YEAR), subscription_id="s", quantity=19)
    assert of(shop, NEW_YEAR).exposure_minor == 10000
    ((details,),) = list_approvals(shop).select("details").rows()
    told = json.loads(details)
    assert (told["code"], told["figures"]["exposure_minor"], told["figures"]["limit_minor"]) == (
        "over_credit_limit",
        10500,
        10000,
    )
    rejected = shop.rows(select(tables.rejected_inputs))
    assert rejected == [], "an order that waits is not refused"


def test_an_approved_order_is_carried_out_once_with_all_its_arguments(shop: Store) -> None:
    def order() -> object:
        return subscriptions.subscribe(
            shop,
            at(NEW_YEAR),
            customer_id="anna",
            plan_id="plan",
            quantity="30",
            starts_on=date(2025, 1, 10),
            contract=NewContract("P6M", auto_renew=False, contract_id="con"),
            add_ons=[AddOn("extra", 1)],
        )

    approval_id = held(shop, "over_credit_limit", order)
    assert shop.rows(select(tables.subscriptions)) == []
    assert held(shop, "over_credit_limit", order) == approval_id, "the same order waits once"
    approve(shop, at(date(2025, 1, 5)), approval_id=approval_id, decided_by="Mona")
    (new,) = shop.rows(select(tables.subscriptions))
    assert (new["starts_on"], new["contract_id"]) == (date(2025, 1, 10), "con")
    (contract,) = shop.rows(select(tables.contracts))
    assert (contract["term"], contract["auto_renew"]) == ("P6M", False)
    assert len(shop.rows(select(tables.items))) == 2
    with pytest.raises(BillingError, match="illegal_transition"):
        approve(shop, at(date(2025, 1, 5)), approval_id=approval_id, decided_by="Mona")
    assert len(shop.rows(select(tables.subscriptions))) == 1
    # 30 seats, the fee and the add-on.
    assert of(shop, date(2025, 1, 10)).draft_minor == 1000 + 15000 + 700


def test_a_rejected_order_is_dropped(shop: Store) -> None:
    approval_id = held(shop, "over_credit_limit", lambda: take(shop, NEW_YEAR, "plan", quantity=30))
    reject(shop, at(NEW_YEAR), approval_id=approval_id, decided_by="Mona")
    assert shop.rows(select(tables.subscriptions)) == []
    assert list_approvals(shop).is_empty()


ORDERS: dict[str, Callable[[Store], object]] = {
    "subscribe": lambda store: take(store, MID_JANUARY, "plan"),
    "add_item": lambda store: subscriptions.add_item(
        store, at(MID_JANUARY), subscription_id="s", plan_id="extra"
    ),
    "change_quantity": lambda store: subscriptions.change_quantity(
        store, at(MID_JANUARY), subscription_id="s", quantity=3
    ),
    "change_plan": lambda store: subscriptions.change_plan(
        store, at(MID_JANUARY), subscription_id="s", plan_id="big"
    ),
    "add_charge": lambda store: add_charge(
        store, at(MID_JANUARY), subscription_id="s", description="Repair", amount="1.00"
    ),
    "reactivate": lambda store: subscriptions.reactivate(store, at(MID_JANUARY), subscription_id="gone"),
}


@pytest.mark.parametrize("act", ORDERS)
@pytest.mark.parametrize("why", ["on_hold", "over_credit_limit"])
def test_each_kind_of_order_waits_and_is_made_when_it_is_approved(shop: Store, act: str, why: str) -> None:
    take(shop, NEW_YEAR, "plan", quantity=2, subscription_id="s")
    take(shop, NEW_YEAR, "plan", subscription_id="gone")
    subscriptions.cancel(shop, at(MID_JANUARY), subscription_id="gone", when="now")
    run(shop, MID_JANUARY)
    change = {"hold": True} if why == "on_hold" else {"credit_limit_minor": 1}
    change_customer(shop, at(MID_JANUARY), customer_id="anna", **change)
    approval_id = held(shop, why, lambda: ORDERS[act](shop))
    before = of(shop, MID_JANUARY).exposure_minor
    approve(shop, at(MID_JANUARY), approval_id=approval_id, decided_by="Mona")
    assert of(shop, MID_JANUARY).exposure_minor > before


OTHERS: dict[str, Callable[[Store], object]] = {
    "fewer": lambda store: subscriptions.change_quantity(
        store, at(MID_JANUARY), subscription_id="s", quantity=1
    ),
    "downgrade": lambda store: subscriptions.change_plan(
        store, at(MID_JANUARY), subscription_id="s", plan_id="plan"
    ),
    "cancel": lambda store: subscriptions.cancel(store, at(MID_JANUARY), subscription_id="s"),
}


@pytest.mark.parametrize("act", OTHERS)
def test_what_takes_less_needs_no_approval(shop: Store, act: str) -> None:
    take(shop, NEW_YEAR, "big", quantity=2, subscription_id="s")
    change_customer(shop, at(NEW_YEAR), customer_id="anna", credit_limit_minor=0, hold=True)
    OTHERS[act](shop)
    assert list_approvals(shop).is_empty()


def test_what_runs_is_billed_above_the_limit(shop: Store) -> None:
    take(shop, NEW_YEAR, "plan", quantity=18, contract=NewContract("P1M"))
    for on in (NEW_YEAR, FEBRUARY, date(2025, 3, 1)):
        run(shop, on)
    assert of(shop, date(2025, 3, 1)).receivable_minor == 30000


def test_an_order_that_is_wrong_by_the_time_it_is_approved_waits_on(shop: Store) -> None:
    take(shop, NEW_YEAR, "plan", subscription_id="s")
    change_customer(shop, at(NEW_YEAR), customer_id="anna", hold=True)
    approval_id = held(
        shop,
        "on_hold",
        lambda: subscriptions.change_quantity(shop, at(NEW_YEAR), subscription_id="s", quantity=9),
    )
    subscriptions.cancel(shop, at(MID_JANUARY), subscription_id="s", when="now")
    with pytest.raises(BillingError, match="illegal_transition"):
        approve(shop, at(MID_JANUARY), approval_id=approval_id, decided_by="Mona")
    assert list_approvals(shop)["state"].to_list() == ["pending"]


def test_an_approval_does_not_lift_what_overdue_money_restricts(shop: Store) -> None:
    approval_id = held(shop, "over_credit_limit", lambda: take(shop, NEW_YEAR, "plan", quantity=30))
    shop.execute(update(tables.customers).values(overdue_state="restricted"))
    with pytest.raises(BillingError, match="overdue_restricted"):
        approve(shop, at(NEW_YEAR), approval_id=approval_id, decided_by="Mona")


def test_an_order_under_a_key_waits_as_well(shop: Store) -> None:
    arguments: dict[str, Any] = {"customer_id": "anna", "plan_id": "plan", "quantity": 30}

    def order() -> object:
        return perform_once(
            shop,
            at(NEW_YEAR),
            caller="portal",
            key="k",
            command=subscriptions.subscribe,
            arguments=arguments,
        )

    approval_id = held(shop, "over_credit_limit", order)
    approve(shop, at(NEW_YEAR), approval_id=approval_id, decided_by="Mona")
    assert len(shop.rows(select(tables.subscriptions))) == 1


def test_a_preview_of_an_order_above_the_limit_says_so_and_leaves_nothing(shop: Store) -> None:
    with pytest.raises(BillingError, match="over_credit_limit"):
        preview_change(
            shop,
            at(NEW_YEAR),
            lambda store, when: subscriptions.subscribe(
                store, when, customer_id="anna", plan_id="plan", quantity=30
            ),
            customer_id="anna",
        )
    assert list_approvals(shop).is_empty()


def test_a_payer_without_limit_is_not_measured(shop: Store) -> None:
    join(shop, "rich")
    before = shop.statements
    take(shop, NEW_YEAR, "plan", "rich")
    without = shop.statements - before
    change_customer(shop, at(NEW_YEAR), customer_id="rich", credit_limit_minor=100000)
    before = shop.statements
    take(shop, NEW_YEAR, "plan", "rich")
    assert shop.statements - before > without + 10


def test_a_customer_that_is_not_there_owes_nothing(shop: Store) -> None:
    with pytest.raises(BillingError, match="unknown_customer"):
        of(shop, NEW_YEAR, "nobody")
