"""A Stripe export as files: what is read and what never is, rows set aside, what a later build adds."""

from __future__ import annotations

import json
import random
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
import stripe_world as world
from stripe_world import at, invoice, item, line, price, subscription, write

from pipelines.sources import stripe
from pipelines.sources.loading import SourceConfig, SourceError, Stage, create_raw_tables

DAY_ONE = datetime(2024, 5, 1, 6, tzinfo=UTC)
DAY_TWO = datetime(2024, 5, 2, 6, tzinfo=UTC)
FIXTURES = Path(__file__).parent / "stripe_fixtures"
CHEAP = price("cheap", "700")
SECRET = "never-to-be-read"


@pytest.fixture(scope="module")
def database():
    connection = duckdb.connect(":memory:")
    create_raw_tables(connection)
    yield connection
    connection.close()


@pytest.fixture
def load(database, tmp_path):
    """Load a folder as a build at a moment; returns a function that asks the warehouse. A test leaves
    nothing in it."""

    def run(
        folder: Path = tmp_path / "stripe", moment: datetime = DAY_ONE, zone: str = "UTC", **options: Any
    ):
        build_id = moment.strftime("b%Y%m%d")
        stage = Stage(database, build_id, moment, tmp_path, "EUR", zone, progress=lambda _: None)
        stripe.load(stage, SourceConfig("stripe", "stripe", str(folder), options))
        return lambda sql: database.execute(sql).fetchall()

    database.execute("BEGIN")
    yield run
    database.execute("ROLLBACK")


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "stripe"


def versions(ask, columns: str = "status, amount_minor, valid_from, valid_to") -> list[Any]:
    return ask(
        f"SELECT {columns} FROM (SELECT * FROM raw_billing.subscription_versions QUALIFY row_number() OVER "
        "(PARTITION BY subscription_item_id, version_no ORDER BY recorded_at DESC) = 1) WHERE NOT is_deleted "
        "ORDER BY subscription_item_id, version_no"
    )


def counts(ask) -> list[Any]:
    return ask("SELECT file_name, rows_read, rows_accepted, rows_rejected FROM raw_meta.loads ORDER BY 1")


def rejects(ask) -> list[Any]:
    return ask("SELECT row_number, reason, column_name FROM raw_meta.rejects ORDER BY file_name, row_number")


def test_the_vendors_own_example_objects_are_read(load):
    ask = load(FIXTURES, moment=datetime(2026, 11, 1, tzinfo=UTC))
    (total,) = ask("SELECT sum(rows_read), sum(rows_accepted), sum(rows_rejected) FROM raw_meta.loads")
    rows = [json.loads(row) for row in (FIXTURES / "objects.jsonl").read_text().splitlines()]
    passed_over = [row for row in rows if row["object"] in ("payment_intent", "event")]
    assert total[0] == len(rows) - len(passed_over) == total[1] + total[2]
    assert ask("SELECT customer_id, created_on FROM raw_billing.customers") == [
        ("cus_QXg1o8vcGmoR32", date(2009, 2, 13))
    ]
    # the price 20.00 dollars of the examples; a charge that was authorised and not captured is not received
    assert ask(
        'SELECT price_id, currency, price_mantissa, price_scale, "interval" FROM raw_billing.prices'
    ) == [("price_1PgafmB7WZ01zgkW6dKueIc5", "USD", 20, 0, "month")]
    assert ask("SELECT status, amount_minor, received_on FROM raw_billing.payments") == [
        ("authorized", 100, None)
    ]
    # its subscription's current period ends before it begins; what it refers to is in no file
    assert {(reason, column) for _, reason, column in rejects(ask)} == {
        ("empty_range", "current_period_end"),
        ("missing_key", "coupon"),
        ("missing_key", "credit_note"),
        ("unknown_reference", "invoice"),
    }


def as_object(thing: Any) -> dict[str, Any]:
    return thing if isinstance(thing, dict) else {}


def with_secrets(thing: Any) -> Any:
    """The same with card data, addresses and mails wherever Stripe has them, and some more."""
    if isinstance(thing, list):
        return [with_secrets(one) for one in thing]
    if not isinstance(thing, dict):
        return thing
    address = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), SECRET)
    card = dict.fromkeys(("brand", "last4", "fingerprint", "exp_month", "country", "iin"), SECRET)
    method = {**(thing.get("payment_method_details") or {}), "card": card}
    return {name: with_secrets(value) for name, value in thing.items()} | {
        "address": address,
        "customer_address": address,
        "customer_email": SECRET,
        "customer_name": SECRET,
        "customer_phone": SECRET,
        "customer_shipping": {"address": address, "name": SECRET},
        "billing_details": {"address": address, "email": SECRET, "name": SECRET},
        "shipping": {"address": address, "name": SECRET, "phone": SECRET},
        "payment_method_details": method,
        "default_source": card,
        "source": {**as_object(thing.get("source")), "card": card, "owner": {"address": address}},
        "sources": {"data": [card]},
        "description": SECRET,
        "email": SECRET,
        "phone": SECRET,
        "receipt_email": SECRET,
        "evidence": {"billing_address": SECRET},
        "metadata": {**(thing.get("metadata") or {}), "note": SECRET},
        "cancellation_details": {**(thing.get("cancellation_details") or {}), "comment": SECRET},
    }


def test_no_card_or_address_data_reaches_a_raw_table(load, folder):
    examples = [json.loads(row) for row in (FIXTURES / "objects.jsonl").read_text().splitlines()]
    objects = [*world.customers(), *world.subscriptions(), *world.invoices(), *world.events()]
    objects += [world.charge("leaver", "01-05", 3000), world.charge("leaver", "02-05", 3000, status="soon")]
    broken = [json.dumps(with_secrets(CHEAP))[:-1], json.dumps([SECRET]), json.dumps({"card": SECRET})]
    write(folder, export=[*map(with_secrets, objects), *broken], others=map(with_secrets, examples))
    (folder / "charges.csv").write_text(
        f"id,amount,currency,card_last4\nch_1,x,eur,{SECRET}\nch_2,1\n{SECRET}\n"
    )
    ask = load()
    tables = ask(
        "SELECT table_schema || '.' || table_name FROM information_schema.tables "
        "WHERE starts_with(table_schema, 'raw_')"
    )
    held = {table: ask(f"SELECT count(*) FROM {table}")[0][0] for (table,) in tables}
    assert held["raw_billing.invoices"] == 34
    assert held["raw_meta.rejects"] > 10
    leaks = [
        (table, *row)
        for (table,) in tables
        for row in ask(f"SELECT t::VARCHAR FROM {table} AS t WHERE contains(t::VARCHAR, '{SECRET}')")
    ]
    assert leaks == []


GOOD = {"customer": {"id": "cus_a", "object": "customer", "created": at("01-01")}}
SUBSCRIPTION = subscription("a", [item("a", CHEAP)])
INVOICE = invoice("a", "04-01", [line("a", CHEAP, "04-01", "05-01")], "open")
CHARGE = world.charge("a", "04-01", 700)
NOTE = {
    "id": "cn_1",
    "object": "credit_note",
    "created": at("04-10"),
    "currency": "eur",
    "customer": "cus_a",
    "invoice": "in_a_04-01",
    "status": "issued",
    "type": "pre_payment",
    "total": 100,
    "lines": {"data": [{"id": "cnli_1", "amount": 100, "invoice_line_item": "il_a"}]},
}
REFUND = {
    "id": "re_1",
    "object": "refund",
    "created": at("04-11"),
    "charge": "ch_a_04-01",
    "amount": 50,
    "currency": "eur",
    "status": "succeeded",
}


@pytest.mark.parametrize(
    ("wrong", "reason", "column"),
    [
        ({**GOOD["customer"], "id": ""}, "missing_key", "id"),
        ({**GOOD["customer"]}, "duplicate_key", "id"),
        ({**GOOD["customer"], "id": "cus_b", "created": "soon"}, "bad_date", "created"),
        ({**GOOD["customer"], "id": "cus_b", "created": at("2024-05-02")}, "future_recorded_at", "created"),
        ({**GOOD["customer"], "id": "cus_b", "currency": "eux"}, "unknown_currency", "currency"),
        ({**CHEAP, "unit_amount_decimal": "seven"}, "bad_amount", "unit_amount_decimal"),
        ({**CHEAP, "unit_amount_decimal": "0.1234567890123"}, "bad_amount", "unit_amount_decimal"),
        ({**CHEAP, "unit_amount_decimal": "-7"}, "negative_amount", "unit_amount"),
        ({**CHEAP, "unit_amount_decimal": "1" + "0" * 18}, "too_large", "unit_amount_decimal"),
        (price("cheap", "700", "fortnight"), "unknown_interval", "recurring.interval"),
        (
            {**CHEAP, "recurring": {"interval": "month", "interval_count": 0}},
            "unknown_interval",
            "recurring.interval_count",
        ),
        ({**SUBSCRIPTION, "id": "sub_b", "customer": None}, "missing_key", "customer"),
        ({**SUBSCRIPTION, "id": "sub_b", "status": "asleep"}, "unknown_value", "status"),
        ({**SUBSCRIPTION, "id": "sub_b", "ended_at": at("2023-12-31")}, "empty_range", "ended_at"),
        ({**SUBSCRIPTION, "id": "sub_b", "items": [{"id": "si_b", "quantity": 1}]}, "missing_key", "price"),
        ({**SUBSCRIPTION, "id": "sub_b", "items": [item("b", CHEAP, -1)]}, "negative_quantity", "quantity"),
        (
            {**SUBSCRIPTION, "id": "sub_b", "items": [item("b", price("cheap", "10" * 7))]},
            "too_large",
            "items.price.unit_amount",
        ),
        (
            {
                **SUBSCRIPTION,
                "id": "sub_b",
                "items": [item("b", {**CHEAP, "unit_amount_decimal": None, "unit_amount": None})],
            },
            "bad_amount",
            "items.price.unit_amount",
        ),
        (item("b", CHEAP), "unknown_reference", "subscription"),
        ({**INVOICE, "id": "in_b", "total": 701}, "bad_amount", "total"),
        ({**INVOICE, "id": "in_b", "total": "7.5"}, "bad_amount", "total"),
        ({**INVOICE, "id": "in_b", "total": 10**15 + 1}, "too_large", "total"),
        (
            {**INVOICE, "id": "in_b", "lines": [line("a", CHEAP, "04-02", "04-01")]},
            "empty_range",
            "period.end",
        ),
        (line("a", CHEAP, "04-01", "05-01", id="il_b", invoice="in_none"), "unknown_reference", "invoice"),
        ({**NOTE, "invoice": "in_none"}, "unknown_reference", "invoice"),
        ({**NOTE, "total": 101}, "bad_amount", "total"),
        ({**CHARGE, "id": "ch_b", "amount": -1}, "negative_amount", "amount"),
        ({**CHARGE, "id": "ch_b", "status": "lost"}, "unknown_value", "status"),
        ({**REFUND, "charge": "ch_none"}, "unknown_reference", "charge"),
        ({**REFUND, "charge": None}, "missing_key", "charge"),
        (
            {**REFUND, "object": "dispute", "status": "lost", "charge": "ch_none"},
            "unknown_reference",
            "charge",
        ),
        ({"object": "coupon", "id": "X", "duration": "once"}, "bad_amount", "percent_off"),
        (
            {"object": "coupon", "id": "X", "duration": "always", "percent_off": 5},
            "unknown_value",
            "duration",
        ),
        ({"object": "discount", "id": "di_1", "coupon": "NONE"}, "unknown_reference", "coupon"),
        (
            {"object": "invoice_payment", "id": "inpay_1", "invoice": "in_none", "amount_paid": 1},
            "unknown_reference",
            "invoice",
        ),
        (
            world.event(1, "customer.subscription.updated", "04-01", {**SUBSCRIPTION, "status": "asleep"}),
            "unknown_value",
            "data.object.status",
        ),
        ({"id": "x"}, "missing_key", "object"),
        ("{", "bad_row", "(whole row)"),
        ("[1]", "bad_row", "(whole row)"),
        ('{"object": "price", "unit_amount": NaN}', "bad_row", "(whole row)"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_reason(load, folder, wrong, reason, column):
    good = [GOOD["customer"], SUBSCRIPTION, INVOICE, CHARGE]
    write(folder, export=[*good, wrong])
    ask = load()
    assert rejects(ask) == [(5, reason, column)]
    (total,) = ask("SELECT sum(rows_read), sum(rows_accepted), sum(rows_rejected) FROM raw_meta.loads")
    assert total == (5, 4, 1)
    if isinstance(wrong, dict) and "object" in wrong:
        ((original, row_key),) = ask("SELECT original_row, row_key FROM raw_meta.rejects")
        assert json.loads(original).get("status") == wrong.get("status")
        assert row_key == (wrong["id"] or None)
    assert len(versions(ask)) == 1
    assert ask("SELECT invoice_id FROM raw_billing.invoices") == [("in_a_04-01",)]


def test_bytes_that_are_no_text_spoil_one_line(load, folder):
    write(folder, customers=[GOOD["customer"]])
    with (folder / "customers.jsonl").open("ab") as file:
        file.write(b'{"id": "\xff"}\n')
    assert rejects(load()) == [(2, "bad_encoding", "(whole row)")]


def test_every_form_of_a_file_gives_the_same(load, tmp_path):
    charges = [world.charge("a", day, minor) for day, minor in (("01-01", 700), ("02-01", 800))]
    plain = [{name: value for name, value in one.items() if not isinstance(value, dict)} for one in charges]
    frame = pl.DataFrame(plain)
    forms = {
        "lines.jsonl": "\n".join(map(json.dumps, charges)),
        "whole.json": json.dumps(charges, indent=1),
        "page.json": json.dumps({"object": "list", "data": charges, "has_more": False}),
        "pages.ndjson": "\n".join(json.dumps({"data": [one]}) for one in charges),
    }
    answers = []
    for number, (name, text) in enumerate([*forms.items(), ("charges.csv", ""), ("charges.parquet", "")]):
        place = tmp_path / f"form{number}"
        place.mkdir()
        if name == "charges.csv":
            frame.write_csv(place / name)
        elif name == "charges.parquet":
            frame.drop("object").write_parquet(place / name)
        else:
            (place / name).write_text(text, encoding="utf-8")
        ask = load(place)
        assert ask("SELECT rows_read, rows_rejected FROM raw_meta.loads ORDER BY load_id DESC LIMIT 1") == [
            (2, 0)
        ]
        answers.append(
            ask(
                "SELECT payment_id, amount_minor, status, received_on FROM raw_billing.payments "
                "WHERE source_system = 'stripe' ORDER BY 1"
            )
        )
        for table in ("raw_billing.payments", "raw_meta.files", "raw_meta.loads"):
            ask(f"DELETE FROM {table}")
    assert answers == [
        [
            ("pi_a_01-01", 700, "captured", date(2024, 1, 1)),
            ("pi_a_02-01", 800, "captured", date(2024, 2, 1)),
        ]
    ] * len(answers)


def test_tables_may_write_nested_fields_as_columns(load, folder):
    folder.mkdir()
    (folder / "prices.csv").write_text(
        "id,created,currency,product_id,unit_amount_decimal,type,recurring_interval,recurring.interval_count\n"
        "price_x,2024-01-01 00:00:00 UTC,usd,prod_x,12.5,recurring,year,2\n"
    )
    (folder / "subscriptions.csv").write_text(
        "id,customer_id,status,created,cancellation_details_reason,canceled_at,ended_at\n"
        "sub_x,cus_x,canceled,2024-01-01T00:00:00Z,payment_failed,2024-03-01,2024-03-01\n"
    )
    pl.DataFrame(
        {
            "id": ["si_x"],
            "subscription": ["sub_x"],
            "quantity": [4],
            "price": [json.dumps(price("x", "12.5", "year", "usd"))],
        }
    ).write_parquet(folder / "subscription_items.parquet")
    ask = load()
    assert rejects(ask) == []
    assert ask(
        'SELECT price_id, plan_id, price_mantissa, price_scale, "interval", interval_count '
        "FROM raw_billing.prices"
    ) == [("price_x", "prod_x", 125, 3, "year", 2)]
    assert versions(ask, "status, quantity, amount_minor, valid_from, valid_to, end_cause") == [
        ("active", Decimal(4), 50, date(2024, 1, 1), date(2024, 3, 1), "involuntary"),
        ("canceled", Decimal(4), 50, date(2024, 3, 1), None, None),
    ]


def test_an_unchanged_export_is_not_read_again_and_a_changed_one_adds_what_changed(load, folder):
    write(folder, subscriptions=[SUBSCRIPTION], customers=[GOOD["customer"]], invoices=[INVOICE])
    ask = load()
    load(moment=DAY_TWO)
    assert (
        ask("SELECT rows_read, rows_unchanged, note FROM raw_meta.loads WHERE build_id = 'b20240502'")
        == [(0, 1, "unchanged")] * 3
    )
    ended = {**SUBSCRIPTION, "status": "canceled", "ended_at": at("04-15"), "canceled_at": at("04-15")}
    write(folder, subscriptions=[ended], invoices=[{**INVOICE, "status": "paid", "amount_paid": 700}])
    load(moment=datetime(2024, 5, 3, tzinfo=UTC))
    assert ask("SELECT count(*) FROM raw_billing.customers") == [(1,)]
    assert ask(
        "SELECT status, recorded_at::DATE::VARCHAR FROM raw_billing.invoices ORDER BY recorded_at"
    ) == [
        ("open", "2024-05-01"),
        ("paid", "2024-05-03"),
    ]
    assert versions(ask) == [
        ("active", 700, date(2024, 1, 1), date(2024, 4, 15)),
        ("canceled", 700, date(2024, 4, 15), None),
    ]
    # the subscription comes back without an end: the version that is no more is withdrawn
    write(folder, subscriptions=[SUBSCRIPTION], invoices=[INVOICE])
    load(moment=datetime(2024, 5, 4, tzinfo=UTC))
    assert versions(ask) == [("active", 700, date(2024, 1, 1), None)]
    assert ask("SELECT amount_minor FROM raw_billing.applications ORDER BY recorded_at") == [(700,), (0,)]


def test_the_order_of_rows_and_files_changes_nothing(load, tmp_path):
    objects = [*world.customers(), *world.subscriptions(), *world.invoices(), *world.events()]
    answers = []
    for number, rows in enumerate((objects, objects[::-1])):
        place = write(tmp_path / f"order{number}", export=rows)
        ask = load(place)
        answers.append(
            [
                sorted(ask(f"SELECT * EXCLUDE (load_id) FROM raw_billing.{table}"), key=repr)
                for table in (
                    "subscription_versions",
                    "discounts",
                    "invoices",
                    "invoice_lines",
                    "applications",
                )
            ]
        )
        for table in ("subscription_versions", "discounts", "invoices", "invoice_lines", "applications"):
            ask(f"DELETE FROM raw_billing.{table}")
    assert answers[0] == answers[1]


def test_days_are_those_of_the_reporting_zone(load, folder):
    late = int(datetime(2024, 1, 31, 23, 30, tzinfo=UTC).timestamp())
    write(folder, subscriptions=[{**SUBSCRIPTION, "created": late, "start_date": late}])
    assert versions(load(zone="Asia/Riyadh"), "valid_from") == [(date(2024, 2, 1),)]


def test_attributes_of_a_customer_come_from_the_metadata_keys_that_are_named(load, folder):
    given = {"tier": "gold", "ort": "دبي", "segment": "enterprise", "acquisition_channel": "ads"}
    write(
        folder,
        customers=[
            {**GOOD["customer"], "metadata": given, "name": "Jenny", "livemode": True},
            {**GOOD["customer"], "id": "cus_t", "livemode": False},
        ],
    )
    ask = load()
    columns = "customer_id, name, country, segment, acquisition_channel, is_test"
    assert ask(f"SELECT {columns} FROM raw_billing.customers ORDER BY 1") == [
        ("cus_a", "cus_a", None, "enterprise", "ads", False),
        ("cus_t", "cus_t", None, None, None, True),
    ]
    load(moment=DAY_TWO, segment="tier", name="ort")
    assert ask(f"SELECT {columns} FROM raw_billing.customers WHERE recorded_at::DATE = '2024-05-02'") == [
        ("cus_a", "دبي", None, "gold", "ads", False)
    ]


@pytest.mark.parametrize(
    ("files", "options", "complaint"),
    [
        ({}, {}, "No data file"),
        ({"a.json": "{"}, {}, "a.json is no valid JSON"),
        ({"a.csv": "id,id\n"}, {}, "every column needs a name of its own"),
        ({"a.parquet": "x"}, {}, "can't be read as Parquet"),
        ({"a.jsonl": "{}"}, {"segments": "x"}, "unknown setting segments"),
        ({"a.jsonl": "{}"}, {"segment": 1}, "segment is the name of a metadata key"),
    ],
)
def test_a_folder_that_can_not_be_read_is_named(load, folder, files, options, complaint):
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(SourceError, match=complaint):
        load(**options)


def test_objects_that_are_not_read_are_counted_in_the_note(load, folder):
    other = [{"object": "payment_method", "id": "pm_1"}, world.event(1, "invoice.paid", "01-01", INVOICE)]
    write(folder, export=[GOOD["customer"], *other], rest=other[:1])
    ask = load()
    assert ask("SELECT file_name, rows_read, note FROM raw_meta.loads ORDER BY 1") == [
        ("export.jsonl (customer)", 1, "objects not read: 1 event invoice.paid, 1 payment_method"),
        ("rest.jsonl (nothing read)", 0, "objects not read: 1 payment_method"),
    ]


JUNK = (None, "", "x", -1, 10**30, [], {}, True, 1.5, [None], {"id": None}, "2024-02-30", "1e400", "NaN", "٣")


def spoiled(thing: Any, chance: random.Random) -> Any:
    """A copy with one value, at any depth, replaced by one that has no business there."""
    thing = json.loads(json.dumps(thing))
    place = thing
    while True:
        name = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if isinstance(place[name], dict | list) and place[name] and chance.random() < 0.8:
            place = place[name]
            continue
        place[name] = chance.choice(JUNK)
        return thing


@pytest.mark.parametrize("seed", range(3))
def test_no_value_in_the_wrong_place_stops_a_load(load, folder, seed):
    chance = random.Random(seed)
    objects = [json.loads(row) for row in (FIXTURES / "objects.jsonl").read_text().splitlines()]
    objects += [*world.customers(), *world.subscriptions(), *world.invoices(), *world.events(), NOTE, REFUND]
    write(folder, export=[spoiled(one, chance) if chance.random() < 0.4 else one for one in objects])
    ask = load()
    assert ask(
        "SELECT sum(rows_read) FROM raw_meta.loads WHERE rows_read <> rows_accepted + rows_rejected"
    ) == [(None,)]
    assert ask("SELECT sum(rows_rejected) = (SELECT count(*) FROM raw_meta.rejects) FROM raw_meta.loads") == [
        (True,)
    ]
