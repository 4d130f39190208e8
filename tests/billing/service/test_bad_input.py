"""Bad input: refused with a code and in plain words, kept as it was sent, and nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from sqlalchemy import select

from billing.core.adjustments import PostedLine, credit_line
from billing.core.money import BillingError, parse_price
from billing.core.refusals import REFUSALS
from billing.jobs.bill_run import bill
from billing.jobs.import_usage import import_usage
from billing.service import catalog, customers, policies, subscriptions
from billing.service.catalog import NewComponent, NewPrice, NewTier
from billing.store import tables
from billing.store.store import IdGenerator, Store, open_store

AT = datetime(2025, 1, 20, 12, tzinfo=UTC)
Act = Callable[[Store], object]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def busy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One company for all these tests, since none of them may change it: plan pro (25.00, 5.00 a seat, calls)
    in EUR, a running subscription `run`, a canceled one `over`, a parent `mother` of customer anna, and a
    meter `peak` that keeps the highest value."""
    url = f"sqlite:///{tmp_path_factory.mktemp('bad')}/billing.db"
    if request.param == "postgresql":
        fresh: Callable[[], str] = request.getfixturevalue("_postgres_databases")
        url = fresh()
    with open_store(url, IdGenerator(1)) as store:
        store.migrate()
        furnish(store)
        yield store


def furnish(store: Store) -> None:
    catalog.create_legal_entity(store, AT, entity_id="seller", name="Seller GmbH", country="DE")
    rate_from = date(2020, 1, 1)
    catalog.add_tax_rate(store, AT, country="DE", tax_rate_ppm=190_000, valid_from=rate_from)
    catalog.create_product(store, AT, product_id="goods", name="Goods")
    catalog.create_meter(store, AT, meter_id="calls", name="Calls", scale=3)
    catalog.create_meter(store, AT, meter_id="peak", name="Peak", aggregation="max")
    catalog.create_plan(store, AT, plan_id="pro", name="Pro", product_id="goods")
    parts = [
        NewComponent("fee", "fee"),
        NewComponent("seats", "seat"),
        NewComponent("calls", "usage", "calls"),
    ]
    catalog.publish_plan_version(store, AT, plan_id="pro", interval="P1M", components=parts)
    catalog.create_price_list(
        store,
        AT,
        list_id="standard",
        name="Standard",
        currency="EUR",
        valid_start=rate_from,
        prices=[
            NewPrice("pro.1.fee", "flat", "25"),
            NewPrice("pro.1.seats", "per_unit", "5"),
            NewPrice("pro.1.calls", "per_unit", "0.000125"),
        ],
    )
    new_customer(store, "mother")
    new_customer(store, "anna", parent_id="mother")
    new_customer(store, "dollar", currency="USD")
    subscriptions.subscribe(store, AT, customer_id="anna", plan_id="pro", quantity=3, subscription_id="run")
    subscriptions.subscribe(store, AT, customer_id="anna", plan_id="pro", subscription_id="over")
    subscriptions.cancel(store, AT, subscription_id="over", when="now")
    good = pl.DataFrame([event(store, event_id="good", value="2")])
    assert import_usage(store, AT, good).accepted == 1


def new_customer(store: Store, customer_id: str, **named: Any) -> str:
    about = {"name": customer_id, "entity_id": "seller", "currency": "EUR", "country": "DE"} | named
    return customers.create_customer(store, AT, customer_id=customer_id, **about)


class Undone(Exception):
    """Takes back what a test had to write."""


def content(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table but the refused inputs and the audit log."""
    return {
        table.name: sorted(store.frame(select(table)).rows(), key=repr)
        for table in tables.metadata.sorted_tables
        if table not in (tables.rejected_inputs, tables.audit_log)
    }


def kept(store: Store) -> list[dict[str, Any]]:
    return store.rows(select(tables.rejected_inputs))


def subscribe(**named: Any) -> Act:
    return lambda store: subscriptions.subscribe(
        store, AT, **({"customer_id": "anna", "plan_id": "pro"} | named)
    )


def price(amount: Any, model: str = "flat", **terms: Any) -> Act:
    """A price of the only component that has none yet in a list of its own."""
    return lambda store: catalog.create_price_list(
        store,
        AT,
        list_id="new",
        name="New",
        currency="EUR",
        valid_start=date(2025, 1, 1),
        prices=[NewPrice("pro.1.calls", model, amount, **terms)],
    )


def price_list(**named: Any) -> Act:
    about = {"list_id": "new", "name": "New", "currency": "EUR", "valid_start": date(2025, 1, 1)} | named
    return lambda store: catalog.create_price_list(store, AT, **about)


def tiers(*bounds: int | None) -> Act:
    return price(None, "graduated", tiers=[NewTier(bound, "1") for bound in bounds])


def early_discount(ppm: int) -> Act:
    return lambda store: catalog.create_payment_terms(
        store, AT, terms_id="early", net_days=30, discount_ppm=ppm, discount_days=10
    )


def tax_rate(ppm: int) -> Act:
    return lambda store: catalog.add_tax_rate(
        store, AT, country="FR", tax_rate_ppm=ppm, valid_from=date(2025, 1, 1)
    )


def change(customer_id: str, **named: Any) -> Act:
    return lambda store: customers.change_customer(store, AT, customer_id=customer_id, **named)


def item_id(store: Store) -> str:
    row = store.row(select(tables.items.c.item_id).where(tables.items.c.subscription_id == "run"))
    assert row is not None
    return str(row["item_id"])


REFUSED: list[tuple[str, str, str, Act]] = [
    ("a float as a price", "float_money", "decimal text", price(12.5)),
    (
        "a float as a tier's price",
        "float_money",
        "decimal text",
        price(None, "volume", tiers=[NewTier(None, 0.5)]),
    ),  # type: ignore[arg-type]
    ("a float as a quantity", "float_money", "decimal text", subscribe(quantity=1.5)),
    ("a price of 13 decimals", "too_many_decimals", "more decimals", price("0.0000000000001")),
    (
        "a quantity of 13 decimals",
        "too_many_decimals",
        "more decimals",
        subscribe(quantity="0.0000000000001"),
    ),
    ("a price above 10^18", "amount_out_of_range", "larger than", price("1000000000000000001")),
    ("a quantity above 10^15", "amount_out_of_range", "larger than", subscribe(quantity=10**15 + 1)),
    (
        "a commitment above 10^15",
        "amount_out_of_range",
        "larger than",
        subscribe(committed_minimum_minor=10**15 + 1),
    ),
    ("text that is no number", "bad_decimal", "12.50", price("12,50")),
    (
        "a customer's currency nobody knows",
        "unknown_currency",
        "ISO 4217",
        lambda store: new_customer(store, "bert", currency="EURO"),
    ),
    ("a price list's currency nobody knows", "unknown_currency", "ISO 4217", price_list(currency="eur")),
    (
        "a plan without a price in the customer's currency",
        "currency_mismatch",
        "customer's currency",
        subscribe(customer_id="dollar"),
    ),
    (
        "a price list that ends when it starts",
        "empty_period",
        "holds no day",
        price_list(valid_end=date(2025, 1, 1)),
    ),
    (
        "a pause that ends when it starts",
        "empty_period",
        "holds no day",
        lambda store: subscriptions.pause(store, AT, subscription_id="run", until=AT.date()),
    ),
    ("tiers that do not rise", "bad_tiers", "rise", tiers(10, 10, None)),
    ("tiers without an open end", "bad_tiers", "open", tiers(10, 20)),
    ("tiers open in the middle", "bad_tiers", "open", tiers(10, None, 20)),
    ("a negative quantity", "negative_quantity", "not negative", subscribe(quantity=-1)),
    (
        "a negative new quantity",
        "negative_quantity",
        "not negative",
        lambda store: subscriptions.change_quantity(store, AT, subscription_id="run", quantity="-0.5"),
    ),
    ("a negative commitment", "negative_quantity", "not negative", subscribe(committed_minimum_minor=-1)),
    ("a tax rate above 100 %", "bad_rate", "100 %", tax_rate(1_000_001)),
    ("a discount of all for early payment", "bad_rate", "1000000 ppm", early_discount(1_000_000)),
    ("a negative tax rate", "bad_rate", "100 %", tax_rate(-1)),
    ("a negative price", "negative_price", "not negative", price("-1")),
    (
        "a negative flat fee",
        "negative_price",
        "not negative",
        price(None, "graduated", tiers=[NewTier(None, "1", "-1")]),
    ),
    ("a customer below itself", "parent_cycle", "below", change("anna", parent_id="anna")),
    ("a customer below its child", "parent_cycle", "below", change("mother", parent_id="anna")),
    ("a start before the horizon", "before_horizon", "lies before", subscribe(starts_on=date(2022, 11, 19))),
    (
        "a second price of a component in a list",
        "immutable",
        "does not change",
        lambda store: catalog.add_prices(
            store, AT, list_id="standard", prices=[NewPrice("pro.1.fee", "flat", "26")]
        ),
    ),
    (
        "a policy before its newest version",
        "immutable",
        "does not change",
        lambda store: policies.set_policy(
            store, AT, valid_from=date(1969, 1, 1), settings={"late_usage": "next_invoice"}
        ),
    ),
    (
        "a customer's id that is taken",
        "immutable",
        "does not change",
        lambda store: new_customer(store, "anna"),
    ),
    ("a subscription's id that is taken", "immutable", "does not change", subscribe(subscription_id="run")),
    (
        "a meter's id that is taken",
        "immutable",
        "does not change",
        lambda store: catalog.create_meter(store, AT, meter_id="calls", name="Calls"),
    ),
    (
        "a plan's id that is taken",
        "immutable",
        "does not change",
        lambda store: catalog.create_plan(store, AT, plan_id="pro", name="Pro", product_id="goods"),
    ),
    ("a price list's id that is taken", "immutable", "does not change", price_list(list_id="standard")),
    (
        "a tax rate of a day that has one",
        "immutable",
        "does not change",
        lambda store: catalog.add_tax_rate(
            store, AT, country="DE", tax_rate_ppm=200_000, valid_from=date(2020, 1, 1)
        ),
    ),
    (
        "a plan of a product that is not there",
        "unknown_reference",
        "not there",
        lambda store: catalog.create_plan(store, AT, plan_id="new", name="New", product_id="nothing"),
    ),
    (
        "a customer without a name",
        "missing_value",
        "missing",
        lambda store: new_customer(store, "bert", name=None),
    ),
    (
        "a change of a canceled subscription",
        "illegal_transition",
        "does not allow",
        lambda store: subscriptions.change_quantity(store, AT, subscription_id="over", quantity=2),
    ),
    (
        "a plan change of a canceled subscription",
        "illegal_transition",
        "does not allow",
        lambda store: subscriptions.change_plan(store, AT, subscription_id="over", plan_id="basic"),
    ),
    (
        "a pause of a canceled subscription",
        "illegal_transition",
        "does not allow",
        lambda store: subscriptions.pause(store, AT, subscription_id="over"),
    ),
    (
        "a second cancellation",
        "illegal_transition",
        "does not allow",
        lambda store: subscriptions.cancel(store, AT, subscription_id="over", when="now"),
    ),
    (
        "a reactivation of what runs",
        "illegal_transition",
        "does not allow",
        lambda store: subscriptions.reactivate(store, AT, subscription_id="run"),
    ),
    ("a customer nobody knows", "unknown_customer", "no such customer", subscribe(customer_id="nobody")),
    ("a plan nobody knows", "unknown_plan", "no such plan", subscribe(plan_id="nothing")),
    (
        "a subscription nobody knows",
        "unknown_subscription",
        "no such subscription",
        lambda store: subscriptions.cancel(store, AT, subscription_id="nothing", when="now"),
    ),
    (
        "a setting nobody knows",
        "unknown_setting",
        "no such setting",
        lambda store: policies.set_policy(store, AT, valid_from=AT.date(), settings={"day_counts": "second"}),
    ),
    (
        "a value a setting does not have",
        "unknown_setting",
        "no such value",
        lambda store: policies.set_policy(store, AT, valid_from=AT.date(), settings={"day_count": "weeks"}),
    ),
    (
        "a time zone nobody knows",
        "unknown_time_zone",
        "Europe/Berlin",
        lambda store: new_customer(store, "bert", time_zone="Berlin"),
    ),
]


@pytest.mark.parametrize(
    ("code", "words", "act"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_an_act_with_bad_input_changes_nothing_and_says_why(
    busy: Store, code: str, words: str, act: Act
) -> None:
    before, known = content(busy), {row["reject_id"] for row in kept(busy)}
    with pytest.raises(BillingError) as caught:
        act(busy)
    assert caught.value.code == code
    assert words in caught.value.message
    assert content(busy) == before
    (row,) = [row for row in kept(busy) if row["reject_id"] not in known]
    assert (row["code"], words in row["detail"]) == (code, True)
    assert json.loads(row["payload"])


def test_an_instant_without_zone_is_refused(busy: Store) -> None:
    before = content(busy)
    naive = datetime(2025, 1, 20)  # noqa: DTZ001
    with pytest.raises(BillingError, match="naive_time"):
        subscriptions.cancel(busy, naive, subscription_id="run", when="now")
    with pytest.raises(BillingError, match="naive_time"):
        bill(busy, naive, up_to=AT.date())
    assert content(busy) == before


def test_posting_into_a_locked_month_is_refused_and_posts_nothing(busy: Store) -> None:
    row = {"entity_id": "seller", "month": date(2025, 1, 1), "locked_at": AT}
    with suppress(Undone), busy.transaction():
        busy.insert(tables.accounting_periods, [row], AT)
        before = content(busy)
        with pytest.raises(BillingError) as caught:
            bill(busy, AT, up_to=AT.date())
        assert (caught.value.code, "books" in caught.value.message) == ("period_locked", True)
        assert content(busy) == before
        assert "period_locked" in {row["code"] for row in kept(busy)}
        later = AT + timedelta(days=12)
        assert bill(busy, later, up_to=later.date()).invoices == 1
        raise Undone


def test_a_credit_above_what_is_left_of_its_line_is_refused() -> None:
    line = PostedLine(net_minor=1000, tax_minor=190, credited_net_minor=600, credited_tax_minor=114)
    with pytest.raises(BillingError) as caught:
        credit_line(line, 401)
    assert (caught.value.code, "left of the line" in caught.value.message) == ("over_credit", True)


# Events of usage: each bad one by itself, the good one beside it is taken.


def event(busy: Store, **more: Any) -> dict[str, Any]:
    return {
        "source": "api",
        "event_id": "bad",
        "item_id": item_id(busy),
        "meter_id": "calls",
        "occurred_at": "2025-01-20T08:00:00Z",
        "value": "1.5",
    } | more


BAD_EVENTS: list[tuple[str, dict[str, Any], str]] = [
    ("too_many_decimals", {"value": "1.0001"}, "more decimals"),
    ("amount_out_of_range", {"value": "1000000000000.001"}, "larger"),
    ("negative_quantity", {"value": "-1", "meter_id": "peak"}, "summed up"),
    ("unknown_meter", {"meter_id": "nothing"}, "no such meter"),
    ("unknown_item", {"item_id": "nothing"}, "no such item"),
    ("naive_time", {"occurred_at": "2025-01-20T08:00:00"}, "time zone"),
    ("future_event", {"occurred_at": "2025-01-21T12:00:01Z"}, "more than a day"),
    ("duplicate_conflict", {"event_id": "good"}, "other content"),
    ("bad_decimal", {"value": "two"}, "decimal"),
    ("missing_value", {"value": None}, "missing"),
]


@pytest.mark.parametrize(("code", "more", "words"), BAD_EVENTS, ids=[row[0] for row in BAD_EVENTS])
def test_a_bad_event_changes_nothing_and_does_not_refuse_the_others(
    busy: Store, code: str, more: dict[str, Any], words: str
) -> None:
    before = content(busy)
    bad = pl.DataFrame([event(busy) | more, event(busy, event_id="good", value="2")])
    answer = import_usage(busy, AT, bad)
    assert (answer.accepted, answer.duplicate) == (0, 1)
    assert answer.rejected.select("row", "code").rows() == [(0, code)]
    assert words in answer.rejected["detail"][0]
    changed = content(busy)
    assert changed == before
    row = next(row for row in kept(busy) if (row["source"], row["code"]) == ("import_usage", code))
    assert (row["source"], row["code"], words in row["detail"]) == ("import_usage", code, True)
    assert {name: json.loads(row["payload"])[name] for name in more} == more


def test_a_float_is_refused_in_every_row_of_its_column(busy: Store) -> None:
    before = content(busy)
    answer = import_usage(busy, AT, pl.DataFrame([event(busy, value=1.5)]))
    assert answer.rejected["code"].to_list() == ["float_money"]
    assert content(busy) == before


def test_an_event_before_the_horizon_is_kept_and_listed_as_unbilled(busy: Store) -> None:
    old, refused = event(busy, event_id="old", occurred_at="2022-11-19T08:00:00Z"), len(kept(busy))
    with suppress(Undone), busy.transaction():
        assert import_usage(busy, AT, pl.DataFrame([old])).accepted == 1
        rows = busy.frame(select(tables.usage_events.c.event_id, tables.usage_events.c.unbilled_reason))
        assert dict(rows.iter_rows()) == {"good": None, "old": "before_horizon"}
        assert len(kept(busy)) == refused
        raise Undone


def test_every_code_of_these_tests_has_a_meaning_in_words() -> None:
    codes = {row[1] for row in REFUSED} | {row[0] for row in BAD_EVENTS}
    assert codes <= REFUSALS.keys()
    assert BillingError("not_known_yet", "x").message == "Not known yet. (x)"
    with pytest.raises(BillingError) as caught:
        parse_price("-1")
    assert caught.value.message.startswith("A price is not negative.")
