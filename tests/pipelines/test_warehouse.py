"""Snapshots: publishing, keeping, reading, and answering SQL without letting anything else happen."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pytest

from billing.core.money import CURRENCY_EXPONENTS
from pipelines import warehouse
from pipelines.sources.loading import currency_exponents
from pipelines.warehouse import WarehouseError


def publish(folder: Path, build_id: str, number: int) -> Path:
    stage = warehouse.start_stage(folder, None)
    with duckdb.connect(stage) as connection:
        connection.execute("CREATE SCHEMA marts")
        connection.execute("CREATE TABLE marts.figures AS SELECT range AS n FROM range(?)", [number])
        connection.execute("CREATE VIEW marts.shown AS SELECT max(n) AS n FROM warehouse.marts.figures")
        connection.execute("CHECKPOINT")
    return warehouse.publish(folder, build_id)


def test_readers_keep_their_snapshot_while_a_new_one_is_published(tmp_path):
    publish(tmp_path, "one", 10)
    reader = warehouse.open_snapshot(tmp_path)
    cursor = reader.cursor()
    publish(tmp_path, "two", 20)
    assert cursor.execute("SELECT n FROM marts.shown").fetchall() == [(9,)]
    with warehouse.open_snapshot(tmp_path) as newer:
        assert newer.build_id == "two"
        assert newer.cursor().execute("SELECT n FROM marts.shown").fetchall() == [(19,)]
    reader.close()


def test_the_last_seven_snapshots_stay_and_one_never_pointed_at_goes(tmp_path):
    for number in range(9):
        path = publish(tmp_path, f"b{number}", 1)
        os.utime(path, (1_000_000 + number, 1_000_000 + number))
    orphan = warehouse.snapshot_path(tmp_path, "orphan")
    orphan.write_bytes(b"")
    warehouse.prune(tmp_path)
    kept = sorted(path.name for path in warehouse.warehouse_folder(tmp_path).glob("*.duckdb"))
    assert kept == [f"warehouse-b{number}.duckdb" for number in range(2, 9)]


def test_snapshots_are_told_apart_by_their_turn_when_the_clock_was_set_back(tmp_path):
    first = publish(tmp_path, "one", 1)
    os.utime(first, (4_000_000_000, 4_000_000_000))
    second, third = publish(tmp_path, "two", 2), publish(tmp_path, "three", 3)
    assert warehouse.prune(tmp_path) == []
    assert warehouse.current(tmp_path) == third
    assert warehouse.prune(tmp_path, keep=2) == [first]
    assert second.exists()


def test_a_snapshot_that_readers_can_not_be_pointed_at_goes_again(tmp_path):
    first = publish(tmp_path, "one", 1)
    (tmp_path / "warehouse" / ".current.partial").mkdir()
    with pytest.raises(IsADirectoryError):
        publish(tmp_path, "two", 2)
    assert warehouse.current(tmp_path) == first
    assert not warehouse.snapshot_path(tmp_path, "two").exists()


def test_a_name_is_never_used_twice(tmp_path):
    publish(tmp_path, "one", 1)
    warehouse.start_stage(tmp_path, None).touch()
    with pytest.raises(WarehouseError, match="exists already"):
        warehouse.publish(tmp_path, "one")


def test_without_a_snapshot_the_error_says_what_to_do(tmp_path):
    assert warehouse.current(tmp_path) is None
    with pytest.raises(WarehouseError, match="run `tajdid warehouse build`"):
        warehouse.open_snapshot(tmp_path)


def test_sql_answers_select_explain_and_describe(tmp_path):
    publish(tmp_path, "one", 25_000)
    assert warehouse.run_sql(tmp_path, "select count(*) as n from marts.figures").to_dicts() == [
        {"n": 25_000}
    ]
    assert warehouse.run_sql(tmp_path, "describe marts.figures")["column_name"].to_list() == ["n"]
    assert warehouse.run_sql(tmp_path, "explain select 1").height == 1
    assert warehouse.run_sql(tmp_path, "with a as (select 1 as x) select * from a -- why").height == 1
    assert warehouse.run_sql(tmp_path, "select n from marts.figures where n < 0").columns == ["n"]


def test_sql_returns_at_most_the_row_limit(tmp_path):
    publish(tmp_path, "one", 25_000)
    frame = warehouse.run_sql(tmp_path, "select n from marts.figures order by n")
    assert frame["n"].to_list() == list(range(warehouse.ROW_LIMIT))


@pytest.mark.parametrize(
    "statement",
    [
        "delete from marts.figures",
        "drop table marts.figures",
        "insert into marts.figures values (1)",
        "create table x as select 1",
        "attach '/tmp/other.db' as other",
        "copy marts.figures to '/tmp/out.csv'",
        "set enable_external_access = true",
        "call pragma_version()",
        "install httpfs",
        "load sqlite_scanner",
        "select 1; select 2",
        "select 1; drop table marts.figures",
        "",
        "no sql at all",
        "select no_such_column from marts.figures",
        "explain analyze delete from marts.figures",
        "explain analyze copy (select 1) to '{snapshot}' (use_tmp_file false)",
        "explain analyze copy (select 1) to '{snapshot}.wal'",
        "EXPLAIN /* why */ (ANALYZE, FORMAT json) COPY (select 1) TO '{snapshot}' (use_tmp_file false)",
        "explain copy (select 1) to '{snapshot}'",
        "select * from enable_logging(storage = 'file', storage_path = '{snapshot}')",
        'select * from "ENABLE_profiling" /* a */ ()',
        "select * from query('select * from enab' || 'le_logging()')",
        "select * from json_execute_serialized_sql(json_serialize_sql('select 1'))",
        "select * from force_checkpoint()",
        "select * from read_csv('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from read_text('/etc/hostname')",
        "select * from glob('/*')",
        "from sqlite_scan('/tmp/x.db', 'y')",
    ],
)
def test_sql_refuses_everything_else(tmp_path, statement):
    path = publish(tmp_path, "one", 5)
    before = path.read_bytes()
    with pytest.raises(WarehouseError):
        warehouse.run_sql(tmp_path, statement.replace("{snapshot}", str(path)))
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.glob("warehouse-*")) == [path.name]


@pytest.mark.parametrize(
    "statement",
    [
        "explain analyze (select 1)",
        "explain (analyze, format json) select n from marts.figures",
        "explain analyze from marts.figures",
        "select 1 as query, 'enable_logging()' as checkpoint",
        "select sum(query) from (select 1 as query)",
    ],
)
def test_sql_answers_what_only_looks_like_more(tmp_path, statement):
    publish(tmp_path, "one", 5)
    assert warehouse.run_sql(tmp_path, statement).height >= 1


def test_sql_answers_columns_of_one_name_and_types_of_every_kind(tmp_path):
    publish(tmp_path, "one", 5)
    twice = warehouse.run_sql(tmp_path, "select 1 as a, 2 as a, 3 as a_2, 4 as a")
    assert twice.rows() == [(1, 2, 3, 4)]
    assert twice.columns[0] == "a"
    odd = warehouse.run_sql(
        tmp_path, "select interval 36 hours as span, union_value(num := 2) as either, null::interval as none"
    )
    assert odd.rows() == [("36:00:00", "2", None)]
    assert warehouse.run_sql(tmp_path, "select * from test_all_types()").height == 3


def test_a_snapshot_file_can_not_be_written_through_a_reader(tmp_path):
    publish(tmp_path, "one", 5)
    with warehouse.open_snapshot(tmp_path) as snapshot, pytest.raises(duckdb.Error):
        snapshot.cursor().execute("DELETE FROM marts.figures")


def test_the_warehouse_and_the_engine_know_the_same_currencies():
    assert currency_exponents() == dict(CURRENCY_EXPONENTS)
    assert (currency_exponents()["JPY"], currency_exponents()["USD"], currency_exponents()["KWD"]) == (
        0,
        2,
        3,
    )
