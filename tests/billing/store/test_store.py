"""The store: transactions, bulk writes, frames, ids and numbers, alike on both databases."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import (
    BigInteger,
    Column,
    MetaData,
    Numeric,
    Table,
    Text,
    cast,
    create_engine,
    func,
    inspect,
    literal,
    select,
    text,
)

from billing.core.money import BillingError
from billing.jobs.bill_facts import read_by_ids
from billing.store import tables
from billing.store.store import IdGenerator, Store, open_store

AT = datetime(2025, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


def entity(entity_id: str, **more: Any) -> dict[str, Any]:
    return {"entity_id": entity_id, "name": f"Entity {entity_id}", "country": "DE"} | more


def insert_and_fail(store: Store, entity_id: str) -> None:
    store.insert(tables.legal_entities, [entity(entity_id)], AT)
    raise ZeroDivisionError


def names(store: Store) -> list[str]:
    return store.frame(select(tables.legal_entities.c.entity_id).order_by("entity_id"))["entity_id"].to_list()


def test_the_migrations_build_exactly_the_tables(database_url: str) -> None:
    with open_store(database_url) as store:
        store.migrate()
    url = database_url.replace("postgresql://", "postgresql+psycopg://")
    with create_engine(url).connect() as connection:
        context = MigrationContext.configure(connection)
        difference = compare_metadata(context, tables.metadata)
        assert set(inspect(connection).get_table_names()) == {*tables.metadata.tables, "alembic_version"}
    # Neither constraints of exclusion nor the collation of an index are read back.
    unread = ("ex_item_versions_overlap", "ix_customers_name")
    assert [change for change in difference if not any(name in str(change) for name in unread)] == []


NAMED = tables.lowered(tables.customers.c.name)
CHANGED = tables.customers.c.changed_at


@pytest.mark.parametrize(
    ("index", "conditions", "orders"),
    [
        ("ix_customers_name", [NAMED >= "ab", NAMED < "ac"], [NAMED]),
        ("ix_customers_changed_at", [datetime(2026, 1, 1, tzinfo=UTC) <= CHANGED], [CHANGED]),
    ],
    ids=["how a name begins", "when it was changed"],
)
def test_an_index_finds_customers_in_the_order_of_their_list(
    store: Store, index: str, conditions: list[Any], orders: list[Any]
) -> None:
    of = tables.customers.c.customer_id
    asked = select(of).where(*conditions).order_by(*orders, of).limit(51)
    sql = str(asked.compile(dialect=store._engine.dialect, compile_kwargs={"literal_binds": True}))
    cursor = store._cursor()
    if not store.is_sqlite:
        cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
    cursor.execute(("EXPLAIN QUERY PLAN " if store.is_sqlite else "EXPLAIN ") + sql)
    plan = str(cursor.fetchall())
    assert index in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan


def test_a_second_migration_changes_nothing(store: Store) -> None:
    before = store.frame(tables.currencies.select())
    store.migrate()
    assert store.frame(tables.currencies.select()).equals(before)
    assert dict(before.select("code", "exponent").iter_rows())["KWD"] == 3


def test_every_table_says_when_its_rows_were_recorded() -> None:
    assert [name for name, table in tables.metadata.tables.items() if "recorded_at" not in table.c] == []


def test_no_column_of_money_is_anything_but_bigint() -> None:
    kinds = {
        (table.name, column.name): str(column.type)
        for table in tables.metadata.tables.values()
        for column in table.c
        if column.name.endswith(("_minor", "_mantissa"))
    }
    assert len(kinds) > 30
    assert set(kinds.values()) == {"BIGINT"}


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction():
        insert_and_fail(store, "a")
    assert names(store) == []


def test_a_database_that_can_be_made_again_keeps_whole_transactions_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'again.db'}"
    with open_store(url, is_disposable=True) as again:
        again.migrate()
        again.take_numbers("e", "invoice", 2025, 3, AT)
        with suppress(ZeroDivisionError), again.transaction():
            again.take_numbers("e", "invoice", 2025, 5, AT)
            raise ZeroDivisionError
    with open_store(url) as opened:
        assert opened.take_numbers("e", "invoice", 2025, 1, AT) == 4


def test_an_inner_transaction_joins_the_outer_one(store: Store) -> None:
    def write() -> None:
        with store.transaction():
            with store.transaction():
                store.insert(tables.legal_entities, [entity("a")], AT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert names(store) == []


def test_a_savepoint_is_undone_alone(store: Store) -> None:
    with store.transaction():
        store.insert(tables.legal_entities, [entity("a")], AT)
        with pytest.raises(ZeroDivisionError), store.transaction(savepoint=True):
            insert_and_fail(store, "b")
        store.insert(tables.legal_entities, [entity("c")], AT)
    assert names(store) == ["a", "c"]


def test_a_database_error_under_a_savepoint_leaves_the_outer_transaction_usable(store: Store) -> None:
    with store.transaction():
        store.insert(tables.legal_entities, [entity("a")], AT)
        with pytest.raises(Exception, match=r"(?i)unique"), store.transaction(savepoint=True):
            store.insert(tables.legal_entities, [entity("a")], AT)
    assert names(store) == ["a"]


def test_another_connection_sees_a_transaction_only_when_it_commits(database_url: str) -> None:
    with open_store(database_url) as writer, open_store(database_url) as reader:
        with writer.transaction():
            writer.insert(tables.legal_entities, [entity("a")], AT)
            assert names(reader) == []
        assert names(reader) == ["a"]


def usage_rows(count: int) -> pl.DataFrame:
    """Rows with nulls, empty texts, quotes, commas, line breaks and Arabic, and figures beyond 2**53."""
    dimensions = [None, "", 'say "two"', "a,b", "line\nbreak", "تجديد", "\\N"]
    return pl.DataFrame(
        {
            "source": ["s"] * count,
            "event_id": [f"e{n:06}" for n in range(count)],
            "customer_id": ["c"] * count,
            "item_id": ["i"] * count,
            "meter_id": ["m"] * count,
            "occurred_at": [AT + timedelta(microseconds=n) for n in range(count)],
            "occurred_on": [date(2025, 3, 1)] * count,
            "value_mantissa": [2**60 + n for n in range(count)],
            "dimension": [dimensions[n % len(dimensions)] for n in range(count)],
            "payload_hash": ["h"] * count,
            "seq": list(range(count)),
        },
        schema_overrides={"occurred_at": pl.Datetime("us", "UTC")},
    )


def test_a_frame_comes_back_as_it_was_written(store: Store) -> None:
    rows = usage_rows(1000)
    store.insert(tables.usage_events, rows, AT)
    found = store.frame(tables.usage_events.select().order_by(tables.usage_events.c.event_id))
    assert found.select(rows.columns).equals(rows)
    assert found["recorded_at"].to_list() == [AT] * 1000
    assert found["operation"].to_list() == [None] * 1000


@pytest.mark.parametrize(
    "same", [None, "", 'it\'s "two"', "a,b", "line\nbreak", "تجديد", "\\N", "?", ":name"]
)
def test_a_value_that_every_row_shares_comes_back_as_it_was_written(store: Store, same: str | None) -> None:
    rows = usage_rows(1000).with_columns(
        pl.lit(same, pl.String).alias("dimension"), pl.lit(-(2**63), pl.Int64).alias("value_mantissa")
    )
    store.insert(tables.usage_events, rows, AT)
    found = store.frame(tables.usage_events.select().order_by(tables.usage_events.c.event_id))
    assert found.select(rows.columns).equals(rows)


def test_rows_that_are_all_the_same_are_all_written(store: Store) -> None:
    store.execute(text("CREATE TABLE same (word TEXT, number BIGINT)"))
    same = Table("same", MetaData(), Column("word", Text), Column("number", BigInteger))
    rows = pl.DataFrame({"word": ["it's"] * 1000, "number": [7] * 1000})
    store.insert(same, rows)
    assert store.frame(same.select()).equals(rows)


def test_rows_are_found_by_ids_of_any_characters(store: Store) -> None:
    ids = ["a", "a,b", 'say "two"', "back\\slash", "{c}", "NULL", "it's", "تجديد", "line\nbreak", " ", "%s"]
    store.insert(tables.legal_entities, [entity(one) for one in ids], AT)
    asked = tables.legal_entities.select()
    for one in ids:
        found = read_by_ids(store, asked, tables.legal_entities.c.entity_id, [one])
        assert found["entity_id"].to_list() == [one]
    found = read_by_ids(store, asked, tables.legal_entities.c.entity_id, [*ids, "nobody"])
    assert sorted(found["entity_id"]) == sorted(ids)
    assert read_by_ids(store, asked, tables.legal_entities.c.entity_id, []).is_empty()


def test_dictionaries_and_frames_write_the_same_rows(store: Store) -> None:
    rows = usage_rows(10)
    store.insert(tables.usage_events, rows.head(5), AT)
    store.insert(tables.usage_events, rows.tail(5).to_dicts(), AT)
    found = store.frame(tables.usage_events.select().order_by(tables.usage_events.c.event_id))
    assert found.select(rows.columns).equals(rows)


def test_an_empty_frame_has_the_types_of_its_columns(store: Store) -> None:
    empty = store.frame(tables.customers.select())
    assert empty.height == 0
    kinds = [empty.schema[name] for name in ("name", "is_test", "created_on", "parked_at")]
    assert kinds == [pl.String, pl.Boolean, pl.Date, pl.Datetime("us", "UTC")]
    assert empty.schema["credit_limit_minor"] == pl.Int64


def test_a_sum_of_big_amounts_is_an_exact_integer(store: Store) -> None:
    store.insert(tables.usage_events, usage_rows(3), AT)
    total = func.sum(tables.usage_events.c.value_mantissa).label("total")
    frame = store.frame(select(total, func.count().label("rows")))
    wanted = {"total": 3 * 2**60 + 3, "rows": 3}
    assert frame.to_dicts() == [wanted]
    with store.transaction():
        pages = list(store.pages(select(total, func.count().label("rows"))))
    for row in (store.row(select(total, func.count().label("rows"))), *pages[0], frame.to_dicts()[0]):
        assert row == wanted
        assert type(row["total"]) is int


def test_a_number_with_decimals_comes_back_with_them(store: Store) -> None:
    row = store.row(select(cast("12.50", Numeric(12, 2)).label("half"), literal(None).label("none")))
    assert row is not None
    assert (row["half"] * 2, row["none"]) == (25, None)


def test_an_instant_of_any_zone_is_kept_as_utc(store: Store) -> None:
    cairo = timezone(timedelta(hours=2))
    store.insert(tables.legal_entities, [entity("a")], datetime(2025, 1, 1, 1, tzinfo=cairo))
    row = store.row(tables.legal_entities.select())
    assert row is not None
    assert row["recorded_at"] == datetime(2024, 12, 31, 23, tzinfo=UTC)


def test_an_instant_without_zone_is_refused(store: Store) -> None:
    with pytest.raises(BillingError, match="naive_time"):
        store.insert(tables.legal_entities, [entity("a")], datetime(2025, 1, 1))  # noqa: DTZ001
    assert names(store) == []


def test_a_column_that_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(KeyError, match="legal_entities has no column colour"):
        store.insert(tables.legal_entities, [entity("a", colour="red")], AT)


def test_an_update_moves_changed_at_and_nothing_else(store: Store) -> None:
    later = AT + timedelta(days=1)
    store.insert(tables.legal_entities, [entity("a"), entity("b")], AT)
    store.update(tables.legal_entities, [{"entity_id": "b", "name": "New"}], later)
    rows = store.rows(tables.legal_entities.select().order_by("entity_id"))
    assert [(row["name"], row["recorded_at"], row["changed_at"]) for row in rows] == [
        ("Entity a", AT, AT),
        ("New", AT, later),
    ]


def test_ids_sort_in_the_order_they_were_made_and_repeat_with_the_seed() -> None:
    first, second = IdGenerator(7), IdGenerator(7)
    made = [first.new_id("inv") for _ in range(1000)]
    assert made == sorted(made)
    assert len(set(made)) == 1000
    assert made == [second.new_id("inv") for _ in range(1000)]
    assert made[0] != IdGenerator(8).new_id("inv")


def test_two_openings_of_a_database_never_make_the_same_id(database_url: str) -> None:
    made = []
    for _ in range(2):
        with open_store(database_url) as store:
            made += store.new_ids("inv", 100)
    assert len(set(made)) == 200
    assert made == sorted(made)


def test_an_epoch_taken_in_a_transaction_that_fails_is_not_used_twice(database_url: str) -> None:
    with open_store(database_url) as first, open_store(database_url) as second:
        with suppress(ZeroDivisionError), first.transaction():
            first.new_id("inv")
            raise ZeroDivisionError
        theirs = second.new_id("inv")
        assert first.new_id("inv")[:8] != theirs[:8]


def test_numbers_have_no_gap_also_after_a_rollback(store: Store) -> None:
    assert store.take_numbers("e", "invoice", 2025, 3, AT) == 1
    with suppress(ZeroDivisionError), store.transaction():
        assert store.take_numbers("e", "invoice", 2025, 5, AT) == 4
        raise ZeroDivisionError
    assert store.take_numbers("e", "invoice", 2025, 1, AT) == 4
    assert store.take_numbers("e", "invoice", 2026, 1, AT) == 1
    assert store.take_numbers("f", "invoice", 2025, 1, AT) == 1


@pytest.mark.parametrize("size", [1_000, 70_000])
def test_a_spool_gives_each_row_once_as_it_was_however_many_and_whatever_is_written_meanwhile(
    store: Store, size: int
) -> None:
    codes = pl.DataFrame({"code": [f"{number:06}" for number in range(130_000)], "exponent": 2})
    store.insert(tables.currencies, codes, AT)
    code = tables.currencies.c.code
    wanted = select(code, tables.currencies.c.exponent).where(code < "9").order_by(code)
    found = []
    for frame in store.spool(wanted, size=size):
        assert 0 < frame.height <= size
        store.execute(tables.currencies.update().where(code == "129999").values(exponent=3))
        found.append(frame)
    assert pl.concat(found).equals(codes.with_columns(pl.col("exponent").cast(pl.Int64)))
    assert list(store.spool(wanted.where(code < ""), size=size)) == []
