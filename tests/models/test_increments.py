"""An increment leaves every table as a full build of the same rows makes it, at any cut of any history."""

from __future__ import annotations

import os
import random
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from growing_company import Build, growing_company
from increments import CODE, contents, load, make, opened
from subscription_models import models

from pipelines import increment
from pipelines.compiled import Model, execute, needed
from pipelines.policy import SETTINGS, Choice

READERS = ("fct_customer_days", "fct_mrr_days", "fct_mrr_months", "fct_mrr_spells")
SEEDS = range(int(os.environ.get("TAJDID_TEST_INCREMENTS", 2)))
"""TAJDID_TEST_INCREMENTS=200 plays so many companies, and compares every table of the warehouse."""
IS_LONG = len(SEEDS) > 2


def tables() -> tuple[Model, ...]:
    return models() if IS_LONG else needed(models(), *READERS)


def drawn_settings(seed: int) -> dict[str, Any]:
    """The default policy, or one of other values, of those that an increment can follow."""
    draw = random.Random(seed)
    settings: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        if isinstance(setting, Choice) and draw.random() < 0.3:
            values = [value for value in setting.values if value not in increment.ONLY_FULL.get(name, ())]
            settings[name] = draw.choice(values)
    return settings if seed % 3 else {}


@pytest.mark.parametrize("seed", SEEDS)
def test_an_increment_leaves_the_tables_of_a_full_build(seed, monkeypatch):
    monkeypatch.setattr(increment, "MOST_TOUCHED", 0)
    settings, made = drawn_settings(seed), tables()
    builds = growing_company(seed, cuts=6 if IS_LONG else 4)
    growing = opened(builds[0], **settings)
    for number, build in enumerate(builds):
        way = make(growing, made, build)
        assert way.is_full is (number == 0), way
        if number and (IS_LONG or number % 2 == 0):
            assert contents(growing, made) == contents(full(builds[: number + 1], settings, made), made), (
                build
            )
    growing.close()


def full(builds: list[Build], settings: dict[str, Any], made: tuple[Model, ...]) -> Any:
    """A full build of the rows of these builds, as of the last one's day."""
    connection = opened(builds[-1], **settings)
    every = Build(builds[-1].number, builds[-1].as_of)
    for build in builds:
        for table, rows in build.rows.items():
            every.rows.setdefault(table, []).extend(rows)
    load(connection, every)
    execute(connection, made)
    return connection


# One company of twenty, one thing a day: who is touched.


def version(
    number: int, since: date = date(2024, 1, 5), until: date | None = None, **changes: Any
) -> dict[str, Any]:
    """A version of the one item of a customer; its number is its day's, so that a day again corrects it."""
    return {
        "subscription_item_id": f"i{number:02d}",
        "version_no": since.toordinal(),
        "subscription_id": f"i{number:02d}",
        "customer_id": f"c{number:02d}",
        "plan_id": "basic",
        "amount_minor": 1000 * number,
        "currency": "EUR",
        "interval": "month",
        "interval_count": 1,
        "quantity": 1,
        "status": "active",
        "valid_from": since,
        "valid_to": until,
        "is_deleted": False,
    } | changes


def customer(number: int, **changes: Any) -> dict[str, Any]:
    since = date(2024, 1, 1)
    attributes = {"segment": "small", "valid_from": since, "is_test": False}
    return {"customer_id": f"c{number:02d}"} | attributes | changes


def rate(rate_set: str, on: date) -> dict[str, Any]:
    pair = {"from_currency": "USD", "to_currency": "EUR"}
    return {"rate_on": on, "rate": f"0.9{on.day:02d}", "rate_set": rate_set} | pair


def discount(number: int, since: date, until: date | None) -> dict[str, Any]:
    return {
        "discount_id": f"d{number}",
        "subscription_item_id": f"i{number:02d}",
        "percent_ppm": 100_000,
        "duration": "repeating",
        "order_no": 1,
        "valid_from": since,
        "valid_to": until,
    }


def invoice(name: str, customer_id: str, due_on: date) -> dict[str, Any]:
    amounts = {"net_minor": 500, "tax_minor": 0, "total_minor": 500, "currency": "EUR", "status": "open"}
    days = {"issued_on": due_on - timedelta(days=14), "due_on": due_on}
    return {"invoice_id": name, "customer_id": customer_id} | days | amounts


def may(day: int) -> date:
    return date(2024, 5, day)


JANUARY = date(2024, 1, 5)
SPECIAL = {
    6: [version(6, until=None)],
    7: [version(7, plan_id="extra")],
    8: [version(8, JANUARY, may(12), status="trialing"), version(8, may(12))],
    10: [version(10, JANUARY, may(14), status="paused"), version(10, may(14))],
    12: [version(12, may(3), currency="USD")],
    13: [version(13, currency="USD")],
    15: [version(15, until=may(20))],
}
FIRST_ROWS = {
    "subscription_versions": [
        row for number in range(1, 21) for row in SPECIAL.get(number, [version(number)])
    ],
    "customers": [customer(number) for number in range(1, 21)],
    "discounts": [discount(9, JANUARY, may(13))],
    "invoices": [invoice("late", "c11", date(2024, 4, 14))],
    "invoice_lines": [
        {
            "line_id": "l",
            "invoice_id": "late",
            "subscription_item_id": "i11",
            "kind": "recurring",
            "net_minor": 500,
        }
    ],
    "fx_rates": [rate("budget", JANUARY), rate("daily", date(2024, 4, 25))],
    "plans": [{"plan_id": "basic"}, {"plan_id": "extra", "is_add_on": False}],
    "crm.accounts": [{"account_id": "a", "customer_id": "c16", "segment": "crm", "valid_from": JANUARY}],
}
PAID = {"application_id": "p", "invoice_id": "late", "amount_minor": 500, "applied_on": may(16)}
PARENT = {"customer_id": "c03", "valid_from": may(1), "parent_customer_id": "c14"}
DAYS: list[tuple[str, date, str, dict[str, Any] | None, set[int]]] = [
    ("nothing happens", may(11), "", None, set()),
    ("a trial ends", may(12), "", None, {8}),
    ("a discount ends", may(13), "", None, {9}),
    ("a pause ends", may(14), "", None, {10}),
    ("the days of grace end", may(15), "", None, {11}),
    ("what was late is paid", may(16), "applications", PAID, {11}),
    ("a rate comes late that May opens with", may(17), "fx_rates", rate("daily", date(2024, 4, 30)), {12}),
    ("a rate of today", may(18), "fx_rates", rate("daily", may(18)), set()),
    ("a discount begins", may(18), "discounts", discount(1, may(2), None), {1}),
    ("an old amount is corrected", may(18), "subscription_versions", version(2, amount_minor=7), {2}),
    ("a row that was dated ahead becomes known", may(19), "", None, {18}),
    ("a term ends", may(20), "", None, {15}),
    ("an account goes over", may(21), "crm.accounts", {"account_id": "a", "customer_id": "c17"}, {16, 17}),
    ("one comes to belong to another", may(22), "customer_parents", PARENT, {3, 14}),
    ("the family's name for figures changes", may(23), "customers", customer(14, segment="large"), {3, 14}),
    (
        "it belonged to a third",
        may(24),
        "customer_parents",
        PARENT | {"parent_customer_id": "c04"},
        {3, 4, 14},
    ),
    ("a version is withdrawn", may(25), "subscription_versions", version(5, is_deleted=True), {5}),
    (
        "an item goes over",
        may(26),
        "subscription_versions",
        version(6, JANUARY, None, customer_id="c19"),
        {6, 19},
    ),
    ("a plan becomes an add-on", may(27), "plans", {"plan_id": "extra", "is_add_on": True}, {7}),
    ("a plan that nobody has", may(27), "plans", {"plan_id": "other", "is_add_on": True}, set()),
    ("an invoice of a stranger", may(28), "invoices", invoice("first", "c99", may(28)), {99}),
    ("an invoice of one who is known", may(28), "invoices", invoice("next", "c01", may(28)), set()),
    ("one was only a test", may(29), "customers", customer(20, is_test=True), {20}),
    ("a month ends", date(2024, 6, 2), "", None, set()),
]


def first_build() -> Build:
    build = Build(0, may(10))
    for table, rows in FIRST_ROWS.items():
        for row in rows:
            build.give(table, row, datetime(2024, 1, 1, tzinfo=UTC))
    ahead = version(18, amount_minor=1)
    build.give("subscription_versions", ahead, datetime(2024, 5, 19, 12, tzinfo=UTC))
    return build


def test_who_is_touched_is_told_exactly_and_the_tables_are_those_of_a_full_build():
    builds, made = [first_build()], needed(models(), "fct_mrr_months")
    growing = opened(builds[0])
    assert make(growing, made, builds[0]).why == "first"
    for number, (what, as_of, table, row, expected) in enumerate(DAYS, 1):
        build = Build(number, as_of)
        if row is not None:
            build.give(table, {"valid_from": as_of} | row if table == "crm.accounts" else row, build.known_to)
        builds.append(build)
        assert not make(growing, made, build).is_full, what
        touched = growing.execute("SELECT customer_id FROM intermediate.int_touched_customers").fetchall()
        assert {int(name[1:]) for (name,) in touched} == expected, what
        if IS_LONG or number % 8 == 0:
            assert contents(growing, made) == contents(full(builds, {}, made), made), what


def parent(name: str | None) -> dict[str, Any]:
    return PARENT | {"parent_customer_id": name}


def of_nobody_known(name: str) -> dict[str, Any]:
    """A version whose customer stands in no other row."""
    return version(30, customer_id=name)


def billed(name: str) -> dict[str, Any]:
    return invoice("q", name, may(28))


@pytest.mark.parametrize(
    ("table", "first", "corrections"),
    [
        ("subscription_versions", of_nobody_known("stranger"), [of_nobody_known("c01")]),
        ("customer_parents", parent("holding"), [parent("c14")]),
        ("customer_parents", parent("holding"), [parent(None)]),
        ("invoices", billed("middle"), [billed("after"), billed("zone")]),
        ("plans", None, [{"plan_id": "unknown", "is_add_on": True}]),
    ],
)
def test_a_corrected_row_leaves_nothing_of_what_it_said_before(table, first, corrections):
    builds, made = [first_build(), Build(1, may(11))], needed(models(), "fct_mrr_months")
    second = version(31, date(2024, 3, 5), customer_id="c01", plan_id=None)
    builds[0].give("subscription_versions", second, datetime(2024, 1, 1, tzinfo=UTC))
    if first:
        builds[0].give(table, first, datetime(2024, 1, 1, tzinfo=UTC))
    for row in corrections:
        builds[1].give(table, row, builds[1].known_to)
    growing = opened(builds[0])
    assert [make(growing, made, build).is_full for build in builds] == [True, False]
    assert contents(growing, made) == contents(full(builds, {}, made), made)


def test_a_parent_of_thousands_ties_them_in_one_walk():
    build, made = first_build(), needed(models(), "int_touched_customers")
    children = [f"child{number}" for number in range(3000)]
    for child in children:
        row = PARENT | {"customer_id": child, "parent_customer_id": "head"}
        build.give("customer_parents", row, datetime(2024, 1, 1, tzinfo=UTC))
    growing = opened(build)
    make(growing, made, build)
    growing.execute("INSERT INTO raw_meta.touched_customers VALUES ('child7')")
    growing.execute("UPDATE raw_meta.increment SET is_open = true")
    execute(growing, made)
    touched = growing.execute("SELECT customer_id FROM intermediate.int_touched_customers").fetchall()
    assert {name for (name,) in touched} == {*children, "head"}


def asked(connection: Any) -> increment.Increment:
    return increment.decide(connection, increment.known(connection), CODE, is_full=True)


def other_code(connection: Any) -> increment.Increment:
    return increment.decide(connection, increment.known(connection), "other code")


def after(statement: str) -> Any:
    def decided(connection: Any) -> increment.Increment:
        before = increment.known(connection)
        connection.execute(statement)
        return increment.decide(connection, before, CODE)

    return decided


BUDGET = (
    "INSERT INTO raw_billing.fx_rates BY NAME SELECT '2024-02-01'::DATE AS rate_on, 'USD' AS from_currency, "
    "'EUR' AS to_currency, 0.5 AS rate, 'budget' AS rate_set, "
    "known_to AS recorded_at, build_id || '-0002' AS load_id FROM raw_meta.build"
)

WITHDRAWN = (
    "UPDATE raw_meta.build SET known_to = known_to + INTERVAL 1 DAY; "
    "INSERT INTO raw_billing.subscription_versions BY NAME SELECT * REPLACE (true AS is_deleted, "
    "(SELECT known_to FROM raw_meta.build) AS recorded_at) FROM raw_billing.subscription_versions LIMIT 1"
)
"""A source that no longer gives a row withdraws it; it keeps the load_id it came with."""


@pytest.mark.parametrize(
    ("decided", "why"),
    [
        (asked, "asked"),
        (other_code, "code"),
        (after("UPDATE raw_meta.policy SET pause = 'pause_ignored'"), "policy"),
        (after("UPDATE raw_meta.build SET as_of = as_of - 1"), "day"),
        (after("DELETE FROM raw_billing.discounts"), "rows"),
        (after(BUDGET), "rates"),
        (after(WITHDRAWN), "changes"),
        (after("UPDATE raw_meta.build SET as_of = as_of + 1"), "changes"),
        (
            after(
                "INSERT INTO raw_billing.customers BY NAME SELECT * REPLACE ("
                "(SELECT known_to FROM raw_meta.build) AS recorded_at, 'next-0001' AS load_id) "
                "FROM raw_billing.customers"
            ),
            "many",
        ),
    ],
)
def test_what_an_increment_cannot_follow_is_built_in_full_and_why(decided, why):
    build = first_build()
    connection = opened(build)
    make(connection, needed(models(), "fct_mrr_months"), build)
    build.rows.clear()
    connection.execute("UPDATE raw_meta.build SET build_id = 'next'")
    found = decided(connection)
    assert (found.why, found.is_full) == (why, why != "changes")
    assert increment.made(connection) == found
    assert all(found.told(locale) for locale in ("en", "ar"))


@pytest.mark.parametrize(("name", "values"), increment.ONLY_FULL.items())
def test_settings_under_which_rows_change_by_themselves_are_built_in_full(name, values):
    build = first_build()
    connection = opened(build, **{name: values[0]})
    made = needed(models(), "fct_mrr_months")
    make(connection, made, build)
    later = Build(1, may(11))
    assert make(connection, made, later).told() == (
        f"All rows were made anew: under the setting {name} = {values[0]} every row may change from day to "
        "day."
    )


def test_both_languages_tell_every_reason():
    assert increment.WHY["ar"].keys() == increment.WHY["en"].keys()
    assert increment.TOLD.keys() == increment.WHY.keys()


SEEN_OTHERWISE = {
    "int_past_due_days": "compared with what it was",
    "int_rates": "a constant rate that comes anew makes the build a full one",
    "int_month_rates": "customers with movements at a rate that came anew are touched",
    "int_months": "a month is in it or not, whatever the rows of a customer are",
    "int_billed_service": "read under settings that are built in full",
    "int_usage_months": "read under settings that are built in full",
}


def test_tables_rebuilt_in_parts_are_made_from_nothing_whose_changes_go_unseen():
    by_name = {model.name: model for model in models()}
    waiting = [name for name, model in by_name.items() if model.parts is not None]
    assert {by_name[name].relation.removeprefix("warehouse.") for name in waiting} - set(increment.MADE) <= {
        "intermediate.int_subscription_versions"
    }
    read: set[str] = set()
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name in SEEN_OTHERWISE or name.startswith(("int_touched_", "stg_meta__")):
            continue
        seen.add(name)
        waiting += by_name[name].reads
        read |= set(re.findall(r'"(raw_(?:billing|crm|orders))"\."(\w+)"', by_name[name].sql))
    assert {f"{schema}.{table}" for schema, table in read} == set(increment.READ)
