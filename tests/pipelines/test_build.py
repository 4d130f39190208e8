"""A whole build on real files, with a real dbt: what is published, and what readers keep when one fails."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from pipelines import warehouse
from pipelines.policy import read_policy
from pipelines.run import BuildResult, SourceConfig, build, is_current

ROOT = Path(__file__).resolve().parents[2]

ORDERS = "order_id,ordered_at,customer_id,sku,quantity,unit_price,currency\n"
DAY_ONE = ORDERS + "1,2024-05-01 10:00,c1,10001,2,3.50,GBP\n"
DAY_TWO = ORDERS + "2,2024-05-02 10:00,c1,10001,1,3.50,GBP\n"


def write(request, name: str, text: str) -> Path:
    path = Path(request.sources[0].location) / name
    path.write_text(text, encoding="utf-8")
    return path


def days(folder: Path) -> list[tuple[str, int]]:
    with warehouse.open_snapshot(folder) as snapshot:
        return (
            snapshot.cursor()
            .execute("SELECT ordered_on::VARCHAR, amount_minor FROM marts.fct_order_days ORDER BY 1")
            .fetchall()
        )


def published(request, **options) -> BuildResult:
    result = build(request, **options)
    assert result.status == "published", result.message
    return result


def log(request) -> list[dict]:
    lines = (request.folder / "logs" / "builds.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_a_build_publishes_what_the_files_hold_and_the_next_one_adds_to_it(request_for, published_before):
    second = request_for(later=1)
    assert days(second.folder) == [("2024-05-01", 700)]
    write(second, "b.csv", DAY_TWO)
    result = published(second)
    assert result.warehouse == warehouse.current(second.folder) != published_before
    assert days(second.folder) == [("2024-05-01", 700), ("2024-05-02", 350)]
    with warehouse.open_snapshot(second.folder) as snapshot:
        rows = snapshot.cursor().execute(
            "SELECT file_name, rows_read, rows_unchanged FROM raw_meta.loads WHERE build_id = ? ORDER BY 1",
            [snapshot.build_id],
        )
        assert rows.fetchall() == [("a.csv", 0, 1), ("b.csv", 1, 0)]
    assert not warehouse.stage_path(second.folder).parent.exists()


def test_a_build_is_logged_with_its_steps_and_tests(request_for, published_before):
    request = request_for()
    (entry,) = log(request)
    assert entry["status"] == "published"
    assert [step["name"] for step in entry["steps"]][:4] == ["copy", "ingest", "models", "score"]
    assert entry["tests"] == {"passed": 3, "failed": 0, "warned": 0}
    assert entry["peak_memory_mb"] > 0
    with warehouse.open_snapshot(request.folder) as snapshot:
        rows = snapshot.cursor().execute(
            "SELECT model, kind, status FROM raw_meta.test_results ORDER BY kind"
        )
        assert rows.fetchall() == [
            (None, "assertion", "pass"),
            ("fct_order_days", "filled", "pass"),
            ("fct_order_days", "unique", "pass"),
        ]


def test_a_build_of_unchanged_inputs_is_recognised_and_any_change_is_not(request_for, project):
    request = request_for()
    write(request, "a.csv", DAY_ONE)
    assert not is_current(request)
    published(request)
    assert is_current(request_for(later=60))
    assert not is_current(request_for(later=60, as_of=request.as_of.replace(day=30)))
    assert not is_current(request_for(policy=read_policy(None, {"definition_version": "2"})))
    model = project / "models" / "marts" / "fct_order_days.sql"
    text = model.read_text(encoding="utf-8")
    model.write_text(text + "-- changed\n", encoding="utf-8")
    assert not is_current(request)
    model.write_text(text, encoding="utf-8")
    assert is_current(request)
    write(request, "b.csv", DAY_TWO)
    assert not is_current(request)


def broken_file(request):
    write(request, "b.csv", "order_id,sku\n2,10001\n")


def too_many_rejects(request):
    write(request, "b.csv", DAY_TWO.replace(",1,3.50", ",minus,3.50"))


def failing_test(request):
    write(request, "b.csv", DAY_TWO)
    path = request.project / "tests" / "warehouse" / "assert_no_sales.sql"
    path.write_text("-- Nothing is\n-- sold.\nselect * from {{ ref('fct_order_days') }}", encoding="utf-8")


def missing_amounts(request):
    """Both days lose their amount, so one column lacks two values."""
    write(request, "b.csv", DAY_TWO)
    path = request.project / "models" / "marts" / "fct_order_days.sql"
    text = path.read_text(encoding="utf-8").replace("sum(lines.amount_minor)", "null")
    path.write_text(text, encoding="utf-8")


def broken_model(request):
    (request.project / "models" / "marts" / "fct_broken.sql").write_text("select no_such_column from nowhere")


def unreadable_project(request):
    (request.project / "models" / "marts" / "fct_broken.sql").write_text("select {{ ref('no_such_model') }}")


@pytest.mark.parametrize(
    ("damage", "step", "told"),
    [
        (broken_file, "ingest", ["b.csv", "lacks the columns", "ordered_at", "mapping.toml"]),
        (too_many_rejects, "ingest", ["1 of 2 rows", "bad_amount (quantity)", "max_reject_share_bp"]),
        (failing_test, "models", ["assert_no_sales", "found 2 wrong rows", "Nothing is sold"]),
        (missing_amounts, "models", ["filled_fct_order_days", "found 2 wrong rows"]),
        (broken_model, "models", ["fct_broken", "nowhere"]),
        (unreadable_project, "models", ["no_such_model"]),
    ],
)
def test_a_build_that_fails_leaves_readers_on_the_last_good_snapshot(
    request_for, published_before, damage, step, told
):
    second = request_for(later=1)
    damage(second)
    result = build(second)
    assert result.status == "failed"
    assert result.warehouse is None
    for words in told:
        assert words in result.message
    assert warehouse.current(second.folder) == published_before
    assert days(second.folder) == [("2024-05-01", 700)]
    assert not warehouse.stage_path(second.folder).parent.exists()
    entry = log(second)[-1]
    assert (entry["status"], entry["step"], entry["message"]) == ("failed", step, result.message)


def test_rejects_that_fail_a_build_are_listed_in_a_file(request_for):
    request = request_for()
    write(request, "a.csv", DAY_ONE)
    too_many_rejects(request)
    result = build(request)
    (listing,) = (request.folder / "logs").glob("rejects-*.csv")
    assert str(listing) in result.message
    assert "bad_amount" in listing.read_text(encoding="utf-8")


def test_a_company_may_allow_more_rejects_and_is_told_how_many_there_are(request_for):
    request = request_for(max_reject_share_bp=5000)
    write(request, "a.csv", DAY_ONE)
    too_many_rejects(request)
    assert published(request).rejected_rows == 1
    # The file is not read again, and its rejected row is still known.
    later = request_for(later=1, max_reject_share_bp=5000)
    assert published(later).rejected_rows == 1


def test_a_score_step_that_crashes_leaves_the_last_good_snapshot(request_for, published_before):
    def crash(stage_file: Path) -> None:
        raise RuntimeError("the model would not train")

    second = request_for(later=1)
    result = build(second, score=crash)
    assert "score failed: RuntimeError: the model would not train" in result.message
    assert warehouse.current(second.folder) == published_before


def test_scores_are_published_and_kept_once_each(request_for):
    def score(stage_file: Path) -> None:
        with duckdb.connect(stage_file) as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS churn")
            connection.execute(
                "CREATE OR REPLACE TABLE churn.churn_scores AS "
                "SELECT customer_id, as_of, 0.25 AS p_90 FROM raw_orders.orders, raw_meta.build"
            )

    first = request_for()
    write(first, "a.csv", DAY_ONE)
    one = published(first, score=score)
    two = published(request_for(later=1, as_of=first.as_of.replace(month=6, day=1)), score=score)
    three = published(request_for(later=2, as_of=first.as_of.replace(month=6, day=1)), score=score)
    kept = first.folder / "history" / "churn_scores"
    assert sorted(path.stem for path in kept.iterdir()) == [one.build_id, two.build_id]
    with warehouse.open_snapshot(first.folder) as snapshot:
        assert snapshot.build_id == three.build_id
        (count,) = snapshot.cursor().execute("SELECT count(*) FROM raw_history.churn_scores").fetchone()
    assert count == 2


def test_history_that_a_crash_left_out_is_written_by_the_next_build(request_for, published_before):
    build_id = warehouse.build_id_of(published_before)
    kept = request_for().folder / "history" / "builds" / f"{build_id}.parquet"
    kept.unlink()
    published(request_for(later=1))
    assert kept.exists()


def test_two_builds_of_one_company_cannot_meet(request_for):
    request = request_for()
    write(request, "a.csv", DAY_ONE)
    inner: list[BuildResult] = []
    published(request, score=lambda _: inner.append(build(request_for(later=1))))
    assert inner[0].status == "failed"
    assert "Another build of company is running" in inner[0].message


def test_a_changed_policy_needs_a_new_version_even_versions_later(request_for, published_before):
    place = {"reporting_currency": "GBP", "reporting_timezone": "Europe/London"}
    changed = read_policy(None, place | {"trials": "in"})
    result = build(request_for(later=1, policy=changed))
    assert result.status == "failed"
    assert "definition_version" in result.message
    published(
        request_for(later=2, policy=read_policy(None, place | {"trials": "in", "definition_version": "2"}))
    )
    back = read_policy(None, place | {"pause": "pause_ignored"})
    assert build(request_for(later=3, policy=back)).status == "failed"
    published(request_for(later=4))


def test_a_source_that_is_no_longer_configured_takes_its_rows_along(request_for, published_before):
    request = request_for(later=1, sources=())
    published(request)
    assert days(request.folder) == []


def test_a_model_that_is_gone_leaves_no_table_behind(request_for, published_before):
    request = request_for(later=1)
    extra = request.project / "models" / "marts" / "fct_extra.sql"
    extra.write_text("select 1 as one", encoding="utf-8")
    published(request)
    extra.unlink()
    published(request_for(later=2))
    with warehouse.open_snapshot(request.folder) as snapshot:
        rows = snapshot.cursor().execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'marts'"
        )
        assert rows.fetchall() == [("fct_order_days",)]


def test_rows_survive_when_a_raw_table_gets_a_new_form(request_for, published_before):
    request = request_for(later=1)
    before = tables_of(published_before)
    with duckdb.connect(published_before) as connection:
        connection.execute("UPDATE raw_meta.fingerprints SET value = 'older' WHERE name = 'raw_tables'")
        connection.execute("ALTER TABLE raw_orders.orders DROP COLUMN credited_order_id")
        connection.execute("ALTER TABLE raw_orders.orders ADD COLUMN forgotten INTEGER")
    published(request)
    newest = warehouse.current(request.folder)
    assert tables_of(newest) == before
    with warehouse.open_snapshot(request.folder) as snapshot:
        columns = [row[0] for row in snapshot.cursor().execute("DESCRIBE raw_orders.orders").fetchall()]
    assert "credited_order_id" in columns
    assert "forgotten" not in columns


def tables_of(snapshot: Path) -> list[tuple]:
    with warehouse.Snapshot(snapshot) as reader:
        return (
            reader.cursor()
            .execute("SELECT order_id, customer_id, recorded_at FROM raw_orders.orders ORDER BY ALL")
            .fetchall()
        )


def test_the_real_models_build_and_pass_on_orders_periods_and_a_crm_together(request_for):
    """One company with every kind of file, through every model and test of the product."""
    request = request_for(project=ROOT)
    write(request, "a.csv", DAY_ONE + "2,2024-05-02 10:00,c1,10001,1,3.50,GBP\n")
    periods, crm = request.folder / "periods", request.folder / "crm"
    periods.mkdir()
    (periods / "periods.csv").write_text(
        "subscription_id,customer_id,start,end,amount,currency,interval\n"
        "s1,c1,2024-01-01,2024-03-01,12.00,GBP,month\n"
        "s1,c1,2024-03-01,,240.00,GBP,year\n"
        "s2,c2,2024-02-29,2024-05-15,5.00,GBP,week\n",
        encoding="utf-8",
    )
    crm.mkdir()
    (crm / "accounts.csv").write_text(
        "account_id,customer_id,segment,valid_from\na1,c1,large,2024-01-01\n", encoding="utf-8"
    )
    sources = (
        *request.sources,
        SourceConfig("periods", "periods", str(periods)),
        SourceConfig("crm", "crm", str(crm)),
    )
    published(replace(request, sources=sources))
    with warehouse.open_snapshot(request.folder) as snapshot:
        cursor = snapshot.cursor()
        # s1 is worth 240.00 a year, so 20.00 a month; s2 ended on 15 May.
        rows = cursor.execute("SELECT sum(closing_mrr) FROM marts.fct_mrr_months WHERE month = '2024-05-01'")
        assert rows.fetchone() == (2000,)
        assert cursor.execute("SELECT count(*) FROM marts.fct_orders").fetchone() == (2,)
        (metrics,) = cursor.execute(
            "SELECT count(*) FROM raw_meta.metrics WHERE label_ar IS NOT NULL"
        ).fetchone()
        assert metrics > 20
        (failed,) = cursor.execute(
            "SELECT count(*) FROM raw_meta.test_results WHERE status <> 'pass'"
        ).fetchone()
        assert failed == 0
