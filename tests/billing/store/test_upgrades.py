"""A database of every earlier form migrates to the newest one, keeps what it holds, and goes on billing.

One life of a customer is played by the acts and jobs of today. Its rows are written into a database of each
form, as far as that form has their tables and columns, under ids of their own: so a database that came all
the way holds a life of every form there was.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, MetaData, Table, inspect, literal, select, text

from billing.gateways.simulated import SimulatedGateway
from billing.jobs.bill_run import bill
from billing.jobs.collect import collect
from billing.jobs.doctor.examination import examine
from billing.jobs.retry import parked_customers
from billing.service.catalog import (
    NewComponent,
    NewPrice,
    add_tax_rate,
    create_legal_entity,
    create_plan,
    create_price_list,
    create_product,
    publish_plan_version,
)
from billing.service.customers import add_payment_method, create_customer
from billing.service.subscriptions import subscribe
from billing.store import migrations, tables
from billing.store.store import IdGenerator, Store, open_store
from billing.store.subscriptions import read_standing

FORMS = sorted(path.stem[:4] for path in Path(migrations.__file__).parent.glob("versions/[0-9]*.py"))
AT_ONCE = ("0001", "0005", "0018", "0030")
"""Forms from which a database is also migrated in one go, as people upgrade."""
MARK = "0000"
"""Stands in every id of the life, where the ids of a form have its mark."""
BEGAN, BILLED = datetime(2025, 1, 1, 8, tzinfo=UTC), datetime(2025, 1, 1, 20, tzinfo=UTC)
NEXT = datetime(2025, 2, 1, 20, tzinfo=UTC)
SHARED = ("alembic_version", "currencies", "policies", "tax_rates")


def mark_of(form: str) -> str:
    """Above all epochs that a store takes for itself."""
    return f"f{int(form):03x}"


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[dict[str, Any]]]:
    """The rows of a customer who pays 10.00 and 2 seats at 5.00 a month, billed and paid in January."""
    path = tmp_path_factory.mktemp("life") / "life.db"
    with open_store(f"sqlite:///{path}", IdGenerator(7), is_disposable=True) as store:
        store.migrate()
        create_legal_entity(store, BEGAN, entity_id="seller_0000", name="Seller", country="DE")
        add_tax_rate(store, BEGAN, country="DE", tax_rate_ppm=190_000, valid_from=date(2000, 1, 1))
        create_product(store, BEGAN, product_id="goods_0000", name="Goods")
        sell_basic(store)
        create_customer(
            store,
            BEGAN,
            customer_id="anna_0000",
            name="Anna",
            entity_id="seller_0000",
            currency="EUR",
            country="DE",
        )
        add_payment_method(store, BEGAN, customer_id="anna_0000", gateway_ref="card_0000")
        subscribe(
            store,
            BEGAN,
            customer_id="anna_0000",
            plan_id="basic_0000",
            quantity=2,
            subscription_id="sub_0000",
        )
        bill(store, BILLED, up_to=date(2025, 1, 1))
        collect(store, SimulatedGateway(1), BILLED)
        return {
            name: [row for row in store.rows(table.select()) if row.get("entity_id") != ""]
            for name, table in tables.metadata.tables.items()
            if name not in SHARED
        }


def sell_basic(store: Store) -> None:
    create_plan(store, BEGAN, plan_id="basic_0000", name="Basic", product_id="goods_0000")
    publish_plan_version(
        store,
        BEGAN,
        plan_id="basic_0000",
        interval="P1M",
        components=(NewComponent("fee", "fee"), NewComponent("seats", "seat")),
    )
    create_price_list(
        store,
        BEGAN,
        list_id="list_0000",
        name="List",
        currency="EUR",
        valid_start=date(2020, 1, 1),
        prices=(
            NewPrice("basic_0000.1.fee", "flat", "10"),
            NewPrice("basic_0000.1.seats", "per_unit", "5"),
        ),
    )


@cache
def history() -> tuple[Config, ScriptDirectory]:
    """All migrations, read once."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return config, ScriptDirectory.from_config(config)


def moved_to(store: Store, form: str) -> None:
    """Run the migrations up to a form."""
    assert store.row(select(literal(1)))  # Alembic then leaves the transaction to the store.
    config, script = history()
    config.attributes["connection"] = store._connection
    steps = EnvironmentContext(config, script, fn=lambda revision, _: script._upgrade_revs(form, revision))
    with store.transaction(), steps:
        script.run_env()


def filled(store: Store, form: str, life: Mapping[str, list[dict[str, Any]]]) -> None:
    """Write the life as a form has it."""
    there = inspect(store._connection)
    known = set(there.get_table_names())
    with store.transaction():
        for table in tables.metadata.sorted_tables:
            rows = life.get(table.name, [])
            if table.name not in known or not rows:
                continue
            names = {column["name"] for column in there.get_columns(table.name)}
            columns = [Column(column.name, column.type) for column in table.c if column.name in names]
            own = [{column.name: marked(row[column.name], form) for column in columns} for row in rows]
            store._connection.execute(Table(table.name, MetaData(), *columns).insert(), own)


def marked(value: Any, form: str) -> Any:
    return value.replace(f"_{MARK}", f"_{mark_of(form)}") if isinstance(value, str) else value


def shared_rows(store: Store) -> None:
    """What all lives share: their currency, and the tax of the country."""
    store.execute(text("INSERT INTO currencies VALUES ('EUR', 2, '1970-01-01 00:00:00.000000')"))
    store.execute(
        text(
            "INSERT INTO tax_rates (country, tax_code, category, valid_from, tax_rate_ppm, recorded_at)"
            " VALUES ('DE', 'standard', 'standard', '2000-01-01', 190000, '1970-01-01 00:00:00.000000')"
        )
    )


def assert_answers(store: Store, forms: list[str]) -> None:
    """Every life is whole and sound, and its next month is billed and paid as the first was."""
    assert [finding.in_words() for finding in examine(store, NEXT)] == []
    for form in forms:
        standing = read_standing(store, BEGAN, f"sub_{mark_of(form)}")
        assert (standing.status, standing.subscription.sold_to) == ("active", f"anna_{mark_of(form)}")
    assert money(store) == {form: [("paid", "2025-01-01", 2000, 2380)] for form in forms}
    assert bill(store, NEXT, up_to=date(2025, 2, 1)).parked == 0, parked_customers(store)
    collect(store, SimulatedGateway(1), NEXT)
    assert money(store) == {
        form: [("paid", "2025-01-01", 2000, 2380), ("paid", "2025-02-01", 2000, 2380)] for form in forms
    }
    assert [finding.in_words() for finding in examine(store, NEXT)] == []


def money(store: Store) -> dict[str, list[tuple[str, str, int, int]]]:
    """By form: state, day, net and total of each invoice."""
    found: dict[str, list[tuple[str, str, int, int]]] = {}
    names = {f"anna_{mark_of(form)}": form for form in FORMS}
    columns = tables.invoices.c
    for row in store.rows(select(tables.invoices).order_by(columns.customer_id, columns.issued_on)):
        told = (row["state"], row["issued_on"].isoformat(), row["net_minor"], row["total_minor"])
        found.setdefault(names[row["customer_id"]], []).append(told)
    return found


@pytest.fixture
def empty_url(tmp_path: Path, database_url: str) -> str:
    """The URL of a database without a schema."""
    if database_url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'old.db'}"
    with open_store(database_url) as store:
        store.execute(text("DROP SCHEMA public CASCADE"))
        store.execute(text("CREATE SCHEMA public"))
    return database_url


def test_rows_of_every_form_come_all_the_way_and_go_on(
    empty_url: str, life: Mapping[str, list[dict[str, Any]]]
) -> None:
    with open_store(empty_url) as store:
        forms = FORMS if store.is_sqlite else FORMS[::9]
        for form in forms:
            moved_to(store, form)
            if form == FORMS[0]:
                shared_rows(store)
            filled(store, form, life)
        store.migrate()
        assert_answers(store, forms)


@pytest.mark.parametrize("form", AT_ONCE)
def test_a_database_of_an_older_form_is_upgraded_in_one_go(
    form: str, tmp_path: Path, life: Mapping[str, list[dict[str, Any]]]
) -> None:
    with open_store(f"sqlite:///{tmp_path / 'old.db'}") as store:
        moved_to(store, form)
        shared_rows(store)
        filled(store, form, life)
    with open_store(f"sqlite:///{tmp_path / 'old.db'}") as store:
        store.migrate()
        assert_answers(store, [form])
