"""`tajdid churn`: every failure is a plain sentence with its exit code; decisions and contacts are kept."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest
from account_world import month_ends, snapshots
from typer.testing import CliRunner

from churn_model import accounts, tables, treatments
from churn_model.withholding import is_late
from pipelines import warehouse
from tajdid.churn import settings_of, sources_of
from tajdid.churn_commands import assumptions_told, churn_app
from tajdid.workspace import Company, WorkspaceError, load_company

AS_OF = date(2025, 12, 31)
SCHEMA = Path(__file__).parents[2] / "pipelines" / "raw_schema.sql"


class Answer:
    """What a command said and how it ended."""

    def __init__(self, *words: str) -> None:
        done = CliRunner().invoke(churn_app, list(words))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        self.code, self.text = done.exit_code, done.output


def snapshot(folder: Path, frame: pl.DataFrame) -> None:
    """A published warehouse with what scoring reads, and no score yet."""
    stage = folder / "stage.duckdb"
    with duckdb.connect(str(stage)) as connection:
        connection.execute(SCHEMA.read_text(encoding="utf-8"))
        connection.execute("INSERT INTO raw_meta.currencies VALUES ('EUR', 2); CREATE SCHEMA marts")
        connection.execute(
            "INSERT INTO raw_meta.build BY NAME SELECT 'b1' AS build_id, 'acme' AS company, "
            "?::DATE AS as_of, ?::TIMESTAMPTZ AS known_to, ?::TIMESTAMPTZ AS built_at",
            [AS_OF, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)],
        )
        connection.register("given", frame.to_arrow())
        connection.execute("CREATE TABLE marts.fct_account_snapshots AS FROM given")
        connection.execute("CREATE TABLE marts.fct_metric_prints (build_id VARCHAR)")
        tables.create_tables(connection)
    target = warehouse.snapshot_path(folder, "b1")
    target.parent.mkdir(exist_ok=True)
    stage.rename(target)
    (target.parent / "current").write_text(f"{target.name}\n", encoding="utf-8")


def complete(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows with every feature of account_features.toml: those not drawn are unknown."""
    missing = [one for one in accounts.account_features() if one.name not in frame.columns]
    return frame.with_columns(
        pl.lit(None, dtype=pl.String if one.kind == "categorical" else pl.Float64).alias(one.name)
        for one in missing
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose company has a warehouse and a model trained on it."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "acme"
    folder.mkdir()
    (folder / "company.toml").write_text("as_of = 2025-12-31\n", encoding="utf-8")
    (folder / "churn.toml").write_text(
        "capacity = 5\nsave_rate = 0.2\n[contact_cost]\nEUR = 2500\n", encoding="utf-8"
    )
    snapshot(folder, complete(snapshots(month_ends(date(2024, 9, 1), 16), AS_OF, customers=90)))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TAJDID_HOME", str(home))
        trained = Answer("train")
    assert (trained.code, trained.text.count("trained.")) == (0, 1), trained.text
    return home


@pytest.fixture
def home(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of its own with one company, whose warehouse has accounts and no score."""
    shutil.copytree(built / "acme", tmp_path / "acme")
    monkeypatch.setenv("TAJDID_HOME", str(tmp_path))
    monkeypatch.setenv("TAJDID_ACTOR", "N. Haddad")
    return tmp_path


def company(home: Path) -> Company:
    return load_company(home, "acme")


def test_train_score_promote_log_and_roll_back(home: Path) -> None:
    trained = Answer("train")
    assert (trained.code, "nothing has changed" in trained.text) == (0, True)
    model_id = next(line for line in trained.text.splitlines() if "(contract," in line).split()[0]

    scored = Answer("score")
    assert scored.code == 0, scored.text
    for words in (
        "contract: scored.",
        "The first of at most 5 to call this week",
        "save rate 20.0% (stated)",
        "a contact costs 2,500 minor units of EUR",
    ):
        assert words in scored.text
    report = Answer("report")
    assert (report.code, model_id in report.text) == (0, True)
    assert "recency_rule" in report.text

    promoted = Answer("promote", model_id)
    assert (promoted.code, "as decided by N. Haddad" in " ".join(promoted.text.split())) == (0, True)
    again = Answer("promote", model_id)
    assert (again.code, "already" in again.text) == (2, True)
    back = Answer("rollback")
    assert (back.code, "none to return to" in back.text) == (2, True)
    assert Answer("promote", "--by-rule", "contract").code == 0

    logged = Answer("log", "a080", "--channel", "call", "--outcome", "reached")
    assert (logged.code, "payment_method for a080" in logged.text) == (0, True)
    rescored = Answer("score")
    assert rescored.code == 0, rescored.text
    rows = warehouse.run_sql(company(home).folder, "SELECT customer_id, who FROM churn.churn_treatments")
    assert rows.rows() == [("a080", "N. Haddad")]
    count = warehouse.run_sql(company(home).folder, "SELECT count(*) FROM churn.churn_scores").item()
    assert count == 90  # the same day by the same model: nothing is scored twice


def given_scores(home: Path, scores: str, models: str = "") -> None:
    """Put scores (and decisions) into the published warehouse as scoring would have left them."""
    snapshot_file = warehouse.current(company(home).folder)
    assert snapshot_file
    with duckdb.connect(str(snapshot_file)) as connection:
        connection.execute(
            "INSERT INTO churn.churn_scores (customer_id, as_of, model_id, scored_at, recommended_play, "
            f"in_holdout) VALUES {scores}"
        )
        if models:
            connection.execute(
                f'INSERT INTO churn.churn_models (model_id, stage, commitment_class, "at") VALUES {models}'
            )


OLD = "('c1', '2025-11-30', 'm1', '2025-12-01 06:00:00Z', 'onboarding', false)"
NEW = "('c1', '2025-12-31', 'm1', '2026-01-01 06:00:00Z', 'payment_method', false)"


@pytest.mark.parametrize(
    ("at", "play", "as_of"),
    [
        ("2025-12-20T10:00", "onboarding", "2025-11-30"),  # before the newest score's day
        ("2026-01-01T05:59", "onboarding", "2025-11-30"),  # the newest score was not made yet
        ("2026-01-01T06:00", "payment_method", "2025-12-31"),
        ("2025-12-01T02:00-04:00", "onboarding", "2025-11-30"),  # 06:00 UTC
    ],
)
def test_a_contact_belongs_to_the_newest_score_there_was_when_it_took_place(
    home: Path, at: str, play: str, as_of: str
) -> None:
    given_scores(home, f"{OLD}, {NEW}")
    logged = Answer("log", "c1", "--channel", "call", "--outcome", "reached", "--at", at)
    assert (logged.code, f"{play} for c1, on the score of {as_of}" in " ".join(logged.text.split())) == (
        0,
        True,
    )


def test_a_contact_before_the_first_score_was_prompted_by_none(home: Path) -> None:
    given_scores(home, f"{OLD}, {NEW}")
    early = ("--at", "2025-12-01T05:59")
    refused = Answer("log", "c1", "--channel", "call", "--outcome", "reached", *early)
    assert refused.code == 2
    assert "c1 has no score made by 2025-12-01 05:59 UTC" in " ".join(refused.text.split())


@pytest.mark.parametrize(("at", "model"), [("2026-01-03T10:00", "m1"), ("2026-01-05T10:00", "m2")])
def test_of_two_scores_of_a_day_the_one_by_the_model_in_use_prompted_the_contact(
    home: Path, at: str, model: str
) -> None:
    """m2 scored the day on 2 January, but was put to use on the 4th only."""
    other = NEW.replace("m1", "m2").replace("2026-01-01", "2026-01-02")
    given_scores(
        home,
        f"{NEW}, {other}",
        "('m1', 'scoring', 'contract', '2025-12-01 06:00:00Z'), ('m2', 'trained', 'contract', "
        "'2026-01-01 06:00:00Z'), ('m2', 'scoring', 'contract', '2026-01-04 06:00:00Z')",
    )
    assert Answer("log", "c1", "--channel", "call", "--outcome", "reached", "--at", at).code == 0
    kept = treatments.read(treatments.url_of(company(home).folder), known_to=datetime(2100, 1, 1, tzinfo=UTC))
    assert kept["model_id"].to_list() == [model]


def test_scoring_anew_keeps_the_figures_under_other_definitions(home: Path) -> None:
    folder = company(home).folder
    before = warehouse.current(folder)
    assert before
    with duckdb.connect(str(warehouse.policy_path(before))) as connection:
        connection.execute("CREATE TABLE fct_policy_sensitivity AS SELECT 1 AS one")
    assert Answer("score").code == 0
    after = warehouse.current(folder)
    assert after
    assert after != before
    assert warehouse.policy_path(after).is_file()


def test_a_history_that_was_changed_fails_the_scoring_and_readers_stay(home: Path) -> None:
    folder = company(home).folder
    assert Answer("score").code == 0
    before = warehouse.current(folder)
    file = next((folder / "history" / "churn_scores").glob("*.parquet"))
    pl.read_parquet(file).with_columns(p_90=pl.lit(0.5)).write_parquet(file)
    failed = Answer("score")
    assert failed.code == 1
    assert "bring the files back" in failed.text
    assert warehouse.current(folder) == before


def test_an_altered_model_is_refused_by_score_and_by_promote(home: Path) -> None:
    folder = company(home).folder
    model = next((folder / "churn").iterdir())
    (model / "model.json").write_text("{}", encoding="utf-8")
    scored = Answer("score")
    assert (scored.code, "not the file the manifest was made for" in scored.text) == (1, True)
    promoted = Answer("promote", model.name)
    assert (promoted.code, "refused" in promoted.text) == (1, True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["promote", "m9"], 2, "There is no model m9 (there: "),
        (["promote"], 2, "Name a model, or a class with --by-rule."),
        (["rollback"], 2, "No model is in use yet"),
        (["rollback", "--class", "yearly"], 2, "'yearly' is no class; write contract or non_contract."),
        (["report"], 4, "No churn evaluation there"),
        (["log", "a080", "--channel", "call", "--outcome", "reached"], 2, "a080 has no score"),
        (
            ["log", "a080", "--channel", "call", "--outcome", "reached", "--at", "noon"],
            2,
            "'noon' is no moment",
        ),
        (["evaluate", "nowhere.toml", "--out", "x"], 2, "There is no file nowhere.toml."),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(home: Path, words: list[str], code: int, said: str) -> None:
    answer = Answer(*words)
    assert answer.code == code
    assert said in " ".join(answer.text.split())


def test_too_little_history_ends_with_code_4_and_says_how_much_there_is(home: Path) -> None:
    folder = company(home).folder
    shutil.rmtree(folder / "warehouse")
    snapshot(folder, complete(snapshots(month_ends(date(2025, 9, 1), 4), AS_OF, customers=60)))
    trained = Answer("train")
    assert trained.code == 4
    assert "customers left in 0 closed months; training needs 200 and 3" in trained.text
    assert "a rule, not a probability" in trained.text
    scored = Answer("score")
    assert (scored.code, "contract: rule_only." in scored.text) == (4, True)
    assert "Expected save is empty" not in scored.text
    assert "The first of at most 5 to call, by the points of a rule" in " ".join(scored.text.split())
    assert "A rule gives no probability, so no revenue at risk" in " ".join(scored.text.split())
    first = warehouse.run_sql(
        folder,
        "SELECT rule_points, mrr_minor, in_holdout FROM churn.churn_scores WHERE band_capacity "
        "ORDER BY value_rank",
    )
    assert first.height == 5
    assert not first["in_holdout"].any()
    assert first.rows() == sorted(first.rows(), key=lambda row: (-row[0], -row[1]))


@pytest.mark.parametrize("words", [["train"], ["score"], ["promote", "m1"], ["rollback"]])
def test_a_stump_among_the_registry_files_is_named_in_a_sentence(home: Path, words: list[str]) -> None:
    stump = company(home).folder / "history" / "churn_models" / "decision-20260101T000000000000.parquet"
    stump.parent.mkdir(parents=True, exist_ok=True)
    stump.write_bytes(b"PAR1")
    answer = Answer(*words)
    told = "".join(answer.text.split())
    assert answer.code in (1, 2)
    assert f"{stump.name}cannotberead:itisnowholeParquetfile" in told
    assert "fromacopy" in told


def test_a_row_dated_ahead_does_not_make_a_stale_feed_new(home: Path) -> None:
    snapshot_file = warehouse.current(company(home).folder)
    assert snapshot_file is not None
    with duckdb.connect(str(snapshot_file)) as connection:
        connection.executemany(
            "INSERT INTO raw_crm.tickets (ticket_id, opened_at) VALUES (?, ?)",
            [["t1", "2025-12-20 10:00:00+00"], ["t2", "2026-03-01 10:00:00+00"]],
        )
    (found,) = sources_of(snapshot_file, {"tickets": 7}, AS_OF)
    assert (found.newest_on, is_late(found, AS_OF)) == (date(2025, 12, 20), True)


def test_without_a_warehouse_the_first_step_is_named(home: Path) -> None:
    shutil.rmtree(company(home).folder / "warehouse")
    for words in (["train"], ["score"]):
        answer = Answer(*words)
        assert (answer.code, "run `tajdid warehouse build` first" in answer.text) == (2, True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("capacity = 0", "capacity must be a whole number above 0"),
        ("spare_top = 1", "spare_top must be true or false"),
        ("save_rate = 1.5", "save_rate must be a share from 0 to 1"),
        ("save_rate = nan", "save_rate must be a share from 0 to 1"),
        ("save_rate = -inf", "save_rate must be a share from 0 to 1"),
        ("[save_rates]\nonboarding = nan", "save_rates.onboarding must be a share from 0 to 1"),
        (
            "[save_rates]\nonbording = 0.2",
            "save_rates knows no play onbording; the playbook has escalation, ",
        ),
        ("[save_rates]\nnone = 0.2", "save_rates knows no play none"),
        ("[contact_cost]\neur = 2500", "contact_cost.eur is no currency; write three capital letters"),
        ("[contact_cost]\nEURO = 2500", "contact_cost.EURO is no currency"),
        ("[contact_cost]\nEUR = 2.5", "contact_cost.EUR must be a whole number"),
        ("[sla_days]\nweather = 3", "sla_days knows no weather"),
        ("saves = 1", "unknown setting saves"),
        ("capacity = ", "is no valid TOML"),
    ],
)
def test_a_wrong_churn_toml_is_told(home: Path, content: str, said: str) -> None:
    (company(home).folder / "churn.toml").write_text(content, encoding="utf-8")
    with pytest.raises(WorkspaceError, match=said):
        settings_of(company(home))


def test_without_assumptions_the_saving_is_empty_and_that_is_said() -> None:
    assert "no save rate was measured" in assumptions_told(pl.DataFrame())[0]


def test_what_a_contact_costs_is_asked_in_every_currency_of_the_list(home: Path) -> None:
    (company(home).folder / "churn.toml").write_text(
        "save_rate = 0.2\n[contact_cost]\nEUX = 2500\n", encoding="utf-8"
    )
    scored = Answer("score")
    assert scored.code == 0, scored.text
    told = " ".join(scored.text.split())
    assert "No cost of a contact is stated for EUR: no saving is expected there" in told
    assert "contact_cost of churn.toml names EUX, which the warehouse does not know." in told


def test_a_broken_log_stops_the_scoring_in_plain_words(home: Path) -> None:
    Path(treatments.url_of(company(home).folder).removeprefix("sqlite:///")).write_bytes(
        b"no database " * 200
    )
    scored = Answer("score")
    assert scored.code == 1
    assert "The treatment log can't be read" in scored.text
