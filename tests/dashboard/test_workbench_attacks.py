"""Whatever a reader writes into the workbench reads marts and churn or nothing, and tells nothing else."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from dashboard.people.scope import EVERYTHING, Scope
from dashboard.workbench import rules
from dashboard.workbench.pool import Answer, Busy, Place, Pool, Question, Value
from dashboard.workbench.questions import place_of
from pipelines.warehouse import current

READER = "r1"
SECRET = "kept-in-the-environment"
ENDLESS = "SELECT count(*) FROM range(1_000_000_000_000) AS t(i) WHERE i % 7 = 8"


@pytest.fixture(scope="module")
def place(workspace: Path) -> Place:
    path = current(workspace / "lumen")
    assert path is not None
    return place_of(path, EVERYTHING)


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """One worker, so that each attempt meets the process that the one before left."""
    os.environ["TAJDID_SECRET"] = SECRET
    pool = Pool(workers=1)
    yield pool
    pool.close()
    del os.environ["TAJDID_SECRET"]


def asked(pool: Pool, place: Place, text: str, **values: tuple[str, str]) -> Answer:
    given = {name: Value(*value) for name, value in values.items()}
    answer = pool.start(READER, place, text, given).wait(60)
    assert answer is not None
    return answer


REFUSED = {
    "empty": ["", "   ", "-- nothing\n", "/* nothing */", ";"],
    "many": [
        "SELECT 1; SELECT 2",
        "SELECT 1 /* ; */ ; DROP TABLE marts.fct_mrr_months",
        "SELECT 1;;SELECT 2",
    ],
    "not_select": [
        "INSERT INTO marts.dim_plans VALUES ('x')",
        "UPDATE marts.dim_plans SET plan_name = 'x'",
        "DELETE FROM marts.dim_plans",
        "DROP TABLE marts.dim_plans",
        "CREATE TABLE t AS SELECT 1",
        "CREATE OR REPLACE MACRO f() AS 1",
        "CREATE SECRET (TYPE s3, KEY_ID 'a', SECRET 'b')",
        "ALTER TABLE marts.dim_plans ADD COLUMN x INT",
        "ATTACH '/etc/passwd' AS x",
        "DETACH warehouse",
        "COPY marts.dim_plans TO '/tmp/stolen.csv'",
        "COPY (SELECT 1) TO '/tmp/stolen.parquet'",
        "EXPORT DATABASE '/tmp/stolen'",
        "IMPORT DATABASE '/tmp/stolen'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '64GB'",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA enable_profiling",
        "CALL pragma_version()",
        "CALL duckdb_settings()",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "USE memory",
        "BEGIN",
        "CHECKPOINT",
        "VACUUM",
        "EXPLAIN COPY (SELECT 1) TO '/tmp/stolen.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/stolen.csv'",
        "EXPLAIN /* x */ ANALYZE -- y\n DELETE FROM marts.dim_plans",
        "/* SELECT 1 */ DROP SCHEMA marts CASCADE",
        "SET VARIABLE x = 1",
        "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1",
    ],
    "function": [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_csv_auto('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM read_parquet('https://example.org/x.parquet')",
        "SELECT * FROM read_json('/etc/hosts')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM parquet_metadata('/x')",
        "SELECT getenv('TAJDID_SECRET')",
        "SELECT \"getenv\"('TAJDID_SECRET')",
        "SELECT main.getenv('TAJDID_SECRET')",
        "SELECT current_setting('temp_directory')",
        "SELECT version()",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_databases()",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM DuckDB_Tables()",
        "SELECT * FROM pragma_database_list()",
        "SELECT * FROM pragma_table_info('marts.dim_plans')",
        "SELECT * FROM query('SELECT * FROM duckdb_databases()')",
        "SELECT * FROM query_table('raw_meta.build')",
        "SELECT json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "SELECT json_serialize_plan('SELECT * FROM raw_meta.build')",
        "SELECT (SELECT max(x) FROM (SELECT getenv('TAJDID_SECRET') AS x))",
        "SELECT CASE WHEN true THEN getenv('TAJDID_SECRET') END",
        "SELECT list_transform(['TAJDID_SECRET'], lambda x: getenv(x))",
        "SELECT sum(1) FILTER (getenv('TAJDID_SECRET') > '')",
        "SELECT row_number() OVER (ORDER BY getenv('TAJDID_SECRET'))",
        "SELECT 1 ORDER BY getenv('TAJDID_SECRET')",
        "SELECT 1 LIMIT (SELECT length(getenv('TAJDID_SECRET')))",
        "SELECT 1 UNION ALL SELECT length(getenv('TAJDID_SECRET'))",
        "VALUES (getenv('TAJDID_SECRET'))",
        "EXPLAIN SELECT * FROM read_text('/etc/passwd')",
        "EXPLAIN ANALYZE SELECT * FROM read_text('/etc/passwd')",
        "DESCRIBE SELECT * FROM read_csv('/etc/passwd')",
        "SUMMARIZE SELECT * FROM read_csv('/etc/passwd')",
        "SELECT sleep_ms(60000)",
        "SELECT nextval('s')",
        "SELECT write_log('x')",
        "SELECT * FROM seq_scan('dim_plans')",
        "SELECT * FROM arrow_scan(1, 2, 3)",
        "SELECT pg_get_viewdef(1)",
        "SELECT stats(plan_id) FROM marts.dim_plans",
        "SELECT error('x')",
        "SELECT getvariable('x')",
        "SELECT * FROM checkpoint('warehouse')",
        "SELECT * FROM enable_logging()",
        "SELECT histogram FROM histogram_values('raw_meta.build', build_id)",
        "SELECT * FROM marts.dim_plans, LATERAL read_text(plan_id)",
    ],
    "table": [
        "FROM '/etc/passwd'",
        "FROM 'x.csv'",
        'SELECT * FROM "/etc/passwd"',
        "SELECT * FROM 'https://example.org/x.parquet'",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM warehouse.information_schema.schemata",
        "PRAGMA database_list",
        "SELECT * FROM duckdb_databases",
        "SELECT * FROM duckdb_settings",
        "SELECT * FROM pg_catalog.pg_settings",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM raw_meta.build",
        "SELECT * FROM warehouse.raw_billing.customers",
        "TABLE raw_meta.policy",
        "SELECT * FROM system.main.duckdb_databases",
        "SELECT * FROM memory.marts.dim_plans",
        "SELECT * FROM staging.stg_billing__customers",
        "SELECT * FROM marts.no_such_table",
        "SELECT (SELECT count(*) FROM raw_meta.rejects)",
        "SELECT 1 WHERE EXISTS (FROM raw_meta.build)",
        "WITH a AS (FROM duckdb_databases) FROM a",
        "WITH duckdb_databases AS (SELECT 1) SELECT 1",
        "WITH duckdb_databases AS (FROM duckdb_databases) FROM duckdb_databases",
        "WITH a AS (FROM b), b AS (SELECT 1) FROM a",
        "SELECT * FROM (WITH inner_only AS (SELECT 1) FROM inner_only), inner_only",
        "WITH RECURSIVE r AS (FROM raw_meta.build UNION ALL FROM r) FROM r",
        "DESCRIBE raw_meta.build",
        "SUMMARIZE raw_meta.build",
        "SELECT * FROM (PIVOT raw_meta.build ON is_sample IN (true) USING count(*))",
        "SELECT * FROM marts.dim_plans SEMI JOIN raw_meta.build ON true",
        "SELECT * FROM connection",
    ],
    "form": [
        "SHOW TABLES",
        "SHOW DATABASES",
        "SHOW ALL TABLES",
        "DESCRIBE",
        "SELECT * FROM (SHOW DATABASES)",
        "SELECT * FROM marts.dim_plans AT (VERSION => 1)",
        "WITH x AS (DELETE FROM marts.dim_plans RETURNING *) FROM x",
    ],
    "parameter": ["SELECT ?", "SELECT $1"],
    "too_long": ["SELECT " + "1 + " * 20_000 + "1", "SELECT " + "(" * 30_000 + "1" + ")" * 30_000],
}
ATTEMPTS = [(code, text) for code, texts in REFUSED.items() for text in texts]


@pytest.mark.parametrize(("code", "text"), ATTEMPTS, ids=lambda part: " ".join(str(part).split())[:60])
def test_an_attempt_is_refused_and_tells_nothing(pool: Pool, place: Place, code: str, text: str) -> None:
    before = pool.pids()
    answer = asked(pool, place, text)
    assert answer.state in ("refused", "failed")
    assert answer.code in (code, "not_sql", "not_select", "form")
    assert answer.rows.is_empty()
    is_clean(answer, place)
    assert not before or pool.pids() == before
    assert not Path("/tmp/stolen.csv").exists()


def is_clean(answer: Answer, place: Place) -> None:
    """Neither the environment nor a folder of the snapshot stands in what is told."""
    told = answer.detail + json.dumps(answer.rows.to_dicts(), default=str)
    assert SECRET not in told
    assert "root:" not in told
    for folder in Path(place.path).parents:
        if len(folder.parts) > 2:
            assert str(folder) not in told


def test_there_are_attempts_enough() -> None:
    assert len(ATTEMPTS) >= 100


HARMLESS = [
    "SELECT 'read_csv(''/etc/passwd'')' AS words",
    "SELECT 1 -- ; DROP TABLE marts.dim_plans",
    "/* ATTACH 'x' */ SELECT 1",
    'SELECT 1 AS "; DROP SCHEMA marts"',
    "SELECT current_user, current_date IS NULL",
    "EXPLAIN SELECT * FROM marts.dim_plans",
    "EXPLAIN ANALYZE SELECT * FROM marts.dim_plans",
    "DESCRIBE marts.dim_plans",
    "SELECT * FROM fct_mrr_months",
    "SELECT * FROM churn.churn_status",
    "FROM WAREHOUSE.Marts.DIM_PLANS",
    "WITH x AS (FROM marts.dim_plans), y AS (FROM x) FROM y",
    "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r WHERE i < 5) FROM r",
    "SELECT [x * 2 FOR x IN range(3)], {'a': 1}, MAP {'k': 'v'}, date '2025-01-01' + INTERVAL 1 MONTH",
    "SELECT count(*) OVER (PARTITION BY plan_id), ifnull(plan_id, '–'), 'a' LIKE 's%' FROM marts.dim_plans",
    "SELECT * FROM (PIVOT marts.fct_mrr_months ON segment IN ('smb') USING sum(closing_mrr))",
    "SELECT segment, sum(closing_mrr) FROM marts.fct_mrr_months GROUP BY ROLLUP (segment) HAVING true",
    "SELECT COLUMNS(c -> c LIKE 'plan%') FROM marts.dim_plans",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_reads_is_answered(pool: Pool, place: Place, text: str) -> None:
    answer = asked(pool, place, text)
    assert (answer.state, answer.code, answer.detail) == ("answered", "", "")
    is_clean(answer, place)


def test_more_rows_than_are_shown_are_cut_and_that_is_told(pool: Pool, place: Place) -> None:
    whole = asked(pool, place, "SELECT i FROM range(10000) AS t(i)")
    assert (whole.rows.height, whole.is_cut) == (10_000, False)
    cut = asked(pool, place, "SELECT i FROM range(10001) AS t(i)")
    assert (cut.rows.height, cut.is_cut) == (10_000, True)
    assert cut.rows["i"].to_list() == list(range(10_000))


def test_an_answer_of_too_many_columns_is_refused(pool: Pool, place: Place) -> None:
    columns = ", ".join(f"{number} AS c{number}" for number in range(rules.MOST_COLUMNS))
    assert asked(pool, place, f"SELECT {columns}").rows.width == rules.MOST_COLUMNS
    answer = asked(pool, place, f"SELECT {columns}, 1 AS last")
    assert (answer.state, answer.code, answer.rows.width) == ("refused", "too_wide", 0)


def test_an_error_tells_the_beginning_of_a_value_without_end(pool: Pool, place: Place) -> None:
    answer = asked(pool, place, "SELECT repeat('x', 5_000_000)::INT")
    assert (answer.state, answer.code) == ("failed", "sql")
    assert 100 < len(answer.detail) <= 2_001


def test_an_answer_of_too_many_bytes_is_cut(pool: Pool, place: Place) -> None:
    answer = asked(pool, place, "SELECT repeat('x', 100_000) AS x FROM range(5000)")
    assert answer.is_cut
    assert 0 < answer.rows.height < 1_000


@pytest.mark.parametrize(
    "text", ["SELECT repeat('x', 2_000_000_000)", "SELECT list(i) FROM range(1_000_000_000) AS t(i)"]
)
def test_taking_all_memory_ends_in_a_sentence_and_the_next_question_is_answered(
    place: Place, text: str
) -> None:
    pool = Pool(workers=1)
    assert asked(pool, place, text).code == "memory"
    assert asked(pool, place, "SELECT 1").state == "answered"
    pool.close()


def test_a_question_without_end_is_ended(workspace: Path, place: Place) -> None:
    pool = Pool(workers=1, seconds=0.5, grace=30.0)
    answer = asked(pool, place, ENDLESS)
    assert answer.code == "late"
    pids = pool.pids()
    assert asked(pool, place, "SELECT 1").state == "answered"
    assert pool.pids() == pids
    pool.close()


def test_a_worker_that_does_not_hear_is_killed_and_replaced(place: Place) -> None:
    pool = Pool(workers=1)
    asked(pool, place, "SELECT 1")
    (pid,) = pool.pids()
    os.kill(pid, signal.SIGSTOP)
    pool.seconds = pool.grace = 0.1
    assert asked(pool, place, "SELECT 1").code == "late"
    pool.seconds = pool.grace = 30.0
    asked(pool, place, "SELECT 1")
    (pid,) = pool.pids()
    os.kill(pid, signal.SIGKILL)
    while Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()[2] != "Z":
        time.sleep(0.01)
    assert asked(pool, place, "SELECT 1").state == "answered"
    assert pool.pids() != [pid]
    pool.close()


def test_a_question_can_be_stopped_and_a_third_one_waits_for_the_reader(place: Place) -> None:
    pool = Pool(workers=1)
    ended: list[tuple[str, str]] = []

    def note(question: Question, answer: Answer) -> None:
        ended.append((question.text, answer.code))

    running = pool.start("r1", place, ENDLESS, {}, note)
    waiting = pool.start("r1", place, "SELECT 2", {}, note)
    with pytest.raises(Busy):
        pool.start("r1", place, "SELECT 3", {})
    assert [one.text for one in pool.running("r1")] == [ENDLESS, "SELECT 2"]
    pool.stop(waiting)
    other = pool.start("r2", place, "SELECT 4", {}, note)
    time.sleep(0.3)
    pool.stop(running)
    for question, code in ((running, "stopped"), (waiting, "stopped"), (other, "")):
        answer = question.wait(60)
        assert answer is not None
        assert answer.code == code
    assert sorted(ended) == sorted([(ENDLESS, "stopped"), ("SELECT 2", "stopped"), ("SELECT 4", "")])
    assert pool.running("r1") == []
    pool.close()


def test_an_answer_that_cannot_be_put_on_record_is_not_given(pool: Pool, place: Place) -> None:
    def fails(_question: Question, _answer: Answer) -> None:
        raise OSError("full")

    answer = pool.start(READER, place, "SELECT 1", {}, fails).wait(10)
    assert answer is not None
    assert (answer.code, answer.rows.is_empty()) == ("not_recorded", True)


@pytest.mark.parametrize(
    ("kind", "written", "shown"),
    [
        ("text", "'; DROP TABLE x; --", "'; DROP TABLE x; --"),
        ("whole", "42", "42"),
        ("number", "1.50", "1.50"),
        ("day", "2025-03-01", "2025-03-01"),
        ("yes_no", "yes", "true"),
    ],
)
def test_a_parameter_is_a_value_and_never_a_part_of_the_statement(
    pool: Pool, place: Place, kind: str, written: str, shown: str
) -> None:
    answer = asked(pool, place, "SELECT $it::VARCHAR AS it, typeof($it) AS kind", it=(kind, written))
    assert answer.rows["it"].to_list() == [shown]


@pytest.mark.parametrize(
    ("kind", "written"), [("whole", "x"), ("number", "NaN"), ("day", "soon"), ("yes_no", "")]
)
def test_a_value_of_another_kind_is_refused_by_name(
    pool: Pool, place: Place, kind: str, written: str
) -> None:
    answer = asked(pool, place, "SELECT $it", it=(kind, written))
    assert (answer.state, answer.code, answer.detail) == ("refused", "wrong_value", "it")
    assert asked(pool, place, "SELECT $it").code == "missing_value"


@pytest.mark.parametrize(
    ("scope", "customers", "name"),
    [
        (Scope(only_own=False, owner=None, sees_names=False), 6, "C1"),
        (Scope(only_own=True, owner=None, sees_names=True), 0, None),
    ],
    ids=["names hidden", "own accounts of nobody"],
)
def test_only_what_a_narrow_reader_is_given_is_there(
    pool: Pool, place: Place, scope: Scope, customers: int, name: str | None
) -> None:
    narrow = place_of(Path(place.path), scope)
    seen = asked(pool, narrow, "SELECT count(*) AS n, min(name) AS name FROM marts.dim_customers")
    assert seen.rows.rows() == [(customers, name)]
    (alias,) = [
        words.split()[3] for words in narrow.statements if words.startswith("ATTACH") and "READ_ONLY" in words
    ]
    assert asked(pool, narrow, f"SELECT * FROM {alias}.marts.dim_customers").code == "table"
    assert asked(pool, narrow, "SELECT * FROM source.marts.dim_customers").code == "table"
    prying = asked(pool, narrow, "SELECT name::INT FROM marts.dim_customers")
    assert (prying.code, prying.detail) in [("sql", ""), ("", "")]
    explained = asked(pool, narrow, "EXPLAIN SELECT * FROM marts.dim_customers")
    assert place.path not in json.dumps(explained.rows.to_dicts())


def test_every_listed_function_exists_and_none_of_the_list_reads_or_acts() -> None:
    with duckdb.connect() as connection:
        rows = connection.execute("SELECT DISTINCT lower(function_name) FROM duckdb_functions()").fetchall()
    assert rules.functions() <= {name for (name,) in rows}
    reaching = ("read_", "duckdb_", "pragma_", "pg_", "parquet_", "icu_", "__internal", "has_", "sniff")
    assert [name for name in rules.functions() if name.startswith(reaching)] == []
    acting = {"getenv", "current_setting", "query", "query_table", "glob", "sleep_ms", "error", "nextval"}
    assert rules.functions().isdisjoint(
        acting | {"version", "json_serialize_plan", "getvariable", "write_log"}
    )
