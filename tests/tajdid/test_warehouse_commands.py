"""`tajdid warehouse explain`, `export` and `docs`: what a snapshot says of itself, and gives away."""

from __future__ import annotations

import json
import re
import shutil
import threading
import urllib.request
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from dashboard.i18n import text
from dashboard.words import reject_reason
from pipelines import meta, warehouse
from pipelines.policy import read_policy
from pipelines.sources import KINDS
from pipelines.sources.loading import SourceConfig, Stage, create_raw_tables
from tajdid import explain, export, model_docs
from tajdid.cli import app

PROJECT = Path(__file__).resolve().parents[2]
AT = datetime(2025, 1, 1, 4, 0, tzinfo=UTC)
PERIODS = """\
subscription_id,customer_id,period_start,period_end,amount,currency,interval,colour
s1,c1,2024-01-01,2024-07-01,12.00,EUR,month,red
s1,c1,2024-06-01,,10.50,EUR,month,red
s1,c1,2024-06-01,,2.00,EUR,month,red
s2,c2,2024-01-01,2024-07-01,7.500,KWD,month,red
s2,c2,2024-03-01,,1.250,KWD,month,red
s3,,2024-01-01,,5.00,EUR,month,red
s4,c4,2024-02-30,,5.00,EUR,month,red
s5,c5,2024-01-01,,5.00,XXQ,month,red
"""
MARTS = """
CREATE SCHEMA marts;
CREATE TABLE marts.fct_days AS SELECT range AS n, DATE '2024-01-01' + range::INT AS day FROM range(1000);
CREATE TABLE marts.fct_none (customer_id VARCHAR, mrr DECIMAL(38, 16));
CREATE VIEW marts.fct_even AS SELECT n FROM warehouse.marts.fct_days WHERE n % 2 = 0;
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the company `acme`: its periods loaded as a build does, and marts made by hand."""
    home = tmp_path_factory.mktemp("home")
    company = home / "acme"
    (company / "periods").mkdir(parents=True)
    (company / "periods" / "p.csv").write_text(PERIODS, encoding="utf-8")
    (company / "company.toml").write_text(
        '[sources.periods]\n[sources.crm]\nlocation = "crm"\n', encoding="utf-8"
    )
    policy = read_policy(None)
    with duckdb.connect(warehouse.start_stage(company, None)) as connection:
        create_raw_tables(connection)
        sources = (SourceConfig("periods", "periods", str(company / "periods")),)
        meta.write_build(
            connection,
            build_id="b1",
            company="acme",
            as_of=date(2024, 12, 31),
            built_at=AT,
            is_sample=False,
            sources=sources,
        )
        meta.write_policy(connection, policy)
        stage = Stage(connection, "b1", AT, company, "EUR", "UTC", lambda _: None)
        with stage.transaction():
            KINDS["periods"](stage, sources[0])
        connection.execute(MARTS)
    warehouse.publish(company, "b1")
    return home


@pytest.fixture
def run(published: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs `tajdid warehouse` in the workspace of `published`."""
    monkeypatch.setenv("TAJDID_HOME", str(published))

    def command(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["warehouse", *arguments])

    return command


def explained(home: Path) -> explain.Explanation:
    with warehouse.open_snapshot(home / "acme") as snapshot:
        return explain.of_snapshot(snapshot, ["periods", "crm"])


def test_each_source_says_what_it_gave_and_a_silent_one_that_it_gave_nothing(published: Path) -> None:
    rows = explained(published).loads.to_dicts()
    assert [(row["source"], row["read"], row["accepted"], row["set aside"]) for row in rows] == [
        ("periods", 8, 2, 6),
        ("crm", None, None, None),
    ]
    assert "columns not read: colour" in rows[0]["note"]
    assert rows[1]["note"] == "gave nothing"


def test_rows_set_aside_are_told_by_reason_with_their_amounts_in_each_currency(published: Path) -> None:
    rows = explained(published).rejects
    # By hand: of s1 the second row (10.50) and third (2.00) overlap the first; of s2 the second (1.250).
    found = {row["reason"]: (row["column"], row["rows"], row["amount"]) for row in rows.to_dicts()}
    assert found == {
        "overlap_in_subscription": ("period_start", 3, "12.50 EUR, 1.250 KWD"),
        "missing_key": ("customer_id", 1, "5.00 EUR"),
        "bad_date": ("period_start", 1, "5.00 EUR"),
        "unknown_currency": ("currency", 1, ""),
    }
    assert rows["first in row"][0] == 2


def test_the_listing_of_a_refused_build_tells_the_same(published: Path, tmp_path: Path) -> None:
    with warehouse.open_snapshot(published / "acme") as snapshot:
        snapshot.cursor().sql("SELECT * FROM raw_meta.rejects").write_csv(str(tmp_path / "rejects.csv"))
    assert explain.of_listing(tmp_path / "rejects.csv").rejects.equals(explained(published).rejects)


def test_the_command_shows_each_reason_in_words(run) -> None:
    result = run("explain")
    assert result.exit_code == 0, result.output
    for words in ("12.50 EUR, 1.250 KWD", "columns not read: colour", "gave nothing"):
        assert words in result.output
    assert f"missing_key: {explain.REASONS['missing_key']}" in result.output


def test_a_build_that_is_refused_for_its_rows_explains_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad" / "periods").mkdir(parents=True)
    (tmp_path / "bad" / "periods" / "p.csv").write_text(PERIODS, encoding="utf-8")
    (tmp_path / "bad" / "company.toml").write_text("[sources.periods]\n")
    monkeypatch.setenv("TAJDID_HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["warehouse", "build", "--explain"])
    assert result.exit_code == 1
    assert "12.50 EUR, 1.250 KWD" in result.output
    assert f"bad_date: {explain.REASONS['bad_date']}" in result.output
    assert "Not published: raw_billing.subscription_versions: 6 of 8 rows" in result.output


def test_every_reason_that_a_source_can_give_has_words() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (PROJECT / "pipelines" / "sources").glob("*.py")]
    given = {reason for code in texts for reason in re.findall(r'Check\(\s*"(\w+)"', code)}
    given |= {"bad_row", "bad_encoding", "bad_flag"}
    page = (PROJECT / "docs" / "metrics.md").read_text(encoding="utf-8")
    promised = set(re.findall(r"`(\w+)`", page.split("Reasons: ")[1].split(". Accepted")[0]))
    assert len(given) > 10
    assert given | promised <= set(explain.REASONS)
    assert set(explain.REASONS) == set(explain.REASONS_AR)
    assert all(re.search("[\u0600-\u06ff]{2}", words) for words in explain.REASONS_AR.values())
    for language in ("en", "ar"):
        on_screen = reject_reason(text(language))
        assert [reason for reason in explain.REASONS if on_screen(reason) == reason] == []
        assert explain.HEADINGS[language].keys() == explain.HEADINGS["en"].keys()


def test_the_command_speaks_arabic_when_asked(run) -> None:
    result = run("explain", "--locale", "ar")
    assert result.exit_code == 0, result.output
    assert f"missing_key: {explain.REASONS_AR['missing_key']}" in result.output
    assert explain.HEADINGS["ar"]["rejects"] in result.output
    assert "Rows set aside" not in result.output
    refused = run("explain", "--locale", "fr")
    assert (refused.exit_code, "write en or ar" in refused.stderr) == (2, True)


def test_a_line_of_the_log_that_broke_off_is_passed_over(run, published: Path) -> None:
    log = published / "acme" / "logs" / "builds.jsonl"
    log.parent.mkdir(exist_ok=True)
    entry = {"finished_at": "2025-01-01", "status": "failed", "seconds": 1.0, "message": "no room"}
    log.write_text('{"build_id": "b0", "sta\n' + json.dumps(entry) + "\n", encoding="utf-8")
    result = run("status")
    assert (result.exit_code, "no room" in result.output) == (0, True)


def test_an_export_holds_every_mart_and_says_what_it_was_made_from(run, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "export"
    result = run("export", "--out", str(out))
    assert result.exit_code == 0, result.output
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    policy = read_policy(None)
    assert (manifest["build_id"], manifest["as_of"], manifest["policy_hash"]) == (
        "b1",
        "2024-12-31",
        policy.policy_hash,
    )
    assert {table["name"]: table["rows"] for table in manifest["tables"]} == {
        "fct_days": 1000,
        "fct_even": 500,
        "fct_none": 0,
    }
    for table in manifest["tables"]:
        frame = pl.read_parquet(out / table["file"])
        assert (frame.height, frame.columns) == (table["rows"], list(table["columns"]))
    assert pl.read_parquet(out / "fct_none.parquet").schema["mrr"] == pl.Decimal(38, 16)
    assert sorted(path.name for path in out.parent.iterdir()) == ["export"]


def test_an_export_never_writes_into_a_folder_that_is_there(run, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    result = run("export", "--out", str(tmp_path))
    assert result.exit_code == 1
    assert "exists already" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_export_that_breaks_off_leaves_nothing(published: Path, tmp_path: Path) -> None:
    company = tmp_path / "acme"
    current = warehouse.current(published / "acme")
    with duckdb.connect(warehouse.start_stage(company, current)) as connection:
        connection.execute("CREATE VIEW marts.fct_last AS SELECT error('no more room') AS n")
    warehouse.publish(company, "b2")
    out = tmp_path / "out" / "export"
    with (
        warehouse.open_snapshot(company) as snapshot,
        pytest.raises(export.ExportError, match="no more room"),
    ):
        export.export(snapshot, out)
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("command", [["explain"], ["export", "--out", "x"], ["docs"]])
def test_without_a_snapshot_the_next_step_is_named(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "company.toml").write_text("[sources.orders]\n")
    monkeypatch.setenv("TAJDID_HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["warehouse", *command])
    assert result.exit_code == 2
    assert "tajdid warehouse build" in result.output


def test_the_documentation_is_one_page_that_may_load_nothing(published: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "models" / "marts").mkdir(parents=True)
    for name in ("dbt_project.yml", "profiles.yml", ".dbtignore"):
        shutil.copyfile(PROJECT / name, project / name)
    shutil.copytree(PROJECT / "macros", project / "macros")
    (project / "models" / "marts" / "fct_days.sql").write_text("select 1 as n, current_date as day")
    (project / "models" / "marts" / "marts.yml").write_text(
        "models: [{name: fct_days, description: One row per day of the test.}]"
    )
    snapshot = warehouse.current(published / "acme")
    assert snapshot is not None
    before = snapshot.read_bytes()
    page = model_docs.write(project, snapshot, tmp_path / "docs")
    assert [path.name for path in page.parent.iterdir()] == ["index.html"]
    text = page.read_text(encoding="utf-8")
    assert text.index("Content-Security-Policy") < text.index("<script")
    assert "One row per day of the test." in text
    assert '"BIGINT"' in text  # the catalog of the snapshot: n is a BIGINT there, an INTEGER in the model
    assert not re.findall(r'<(?:script|img|iframe)[^>]+src="?(?:https?:)?//', text)
    assert snapshot.read_bytes() == before
    with model_docs.server(page.parent, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address[:2]
        assert host == "127.0.0.1"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            assert answer.read().decode() == text
        server.shutdown()
