"""Accounts from snapshots to scores: the curve, the lists, the reasons; the same data, the same bytes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from account_world import FEATURES, month_ends, snapshots

from churn_model import accounts, decisions, run
from churn_model.account_scoring import accounts_of
from churn_model.actions import Assumptions
from churn_model.points import account_points
from churn_model.protocol import TooLittleData, season_target
from churn_model.registry import ModelRefused
from churn_model.run import Run
from churn_model.scoring import score_stage
from churn_model.stage import frame_of
from churn_model.training import loaded
from churn_model.withholding import Source

AS_OF = date(2025, 12, 31)
AT = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMA = Path(__file__).parents[2] / "pipelines" / "raw_schema.sql"
STATED = Assumptions(capacity=5, save_rate=Fraction(1, 5), contact_cost_minor={"EUR": 2_500})


def stage(path: Path, frame: pl.DataFrame) -> Path:
    with duckdb.connect(str(path)) as connection:
        connection.execute(SCHEMA.read_text(encoding="utf-8"))
        connection.execute("INSERT INTO raw_meta.currencies VALUES ('EUR', 2); CREATE SCHEMA marts")
        connection.register("given", frame.to_arrow())
        connection.execute("CREATE TABLE marts.fct_account_snapshots AS FROM given")
    return path


def score(path: Path, folder: Path, **more: Any) -> None:
    score_stage(
        path,
        folder=folder,
        as_of=AS_OF,
        scored_at=AT,
        account_features=FEATURES,
        assumptions=STATED,
        **more,
    )


def asked(path: Path, statement: str = "FROM churn.churn_scores ORDER BY customer_id") -> pl.DataFrame:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.sql(statement).pl()


@pytest.fixture(scope="module")
def world() -> pl.DataFrame:
    return snapshots(month_ends(date(2024, 9, 1), 16), AS_OF, customers=90)


@pytest.fixture(scope="module")
def scored(world: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("company")
    path = stage(folder / "one.duckdb", world)
    score(path, folder)
    return path


@pytest.fixture(scope="module")
def rows(scored: Path) -> list[dict[str, Any]]:
    return asked(scored).to_dicts()


def test_the_scores_of_a_day_lie_in_the_order_of_the_customers(scored: Path) -> None:
    with duckdb.connect(str(scored), read_only=True) as connection:
        for is_leaving in (True, False):
            rows = connection.execute(
                "SELECT customer_id FROM churn.churn_scores WHERE as_of = ? AND (list_name = 'leaving') = ? "
                "ORDER BY rowid",
                [AS_OF, is_leaving],
            ).fetchall()
            assert rows
            assert rows == sorted(rows)


def test_everyone_is_scored_once_and_those_with_notice_stand_apart(
    world: pl.DataFrame, rows: list[dict[str, Any]]
) -> None:
    today = world.filter(pl.col("as_of") == AS_OF)
    assert [row["customer_id"] for row in rows] == sorted(today["customer_id"])
    leaving = {row["customer_id"] for row in rows if row["list_name"] == "leaving"}
    assert leaving == set(today.filter("has_notice")["customer_id"])
    for row in rows:
        is_scored = row["customer_id"] not in leaving
        assert (row["score_kind"] == "probability") == is_scored == (row["p_90"] is not None)


def test_the_horizons_rise_and_the_causes_add_up(rows: list[dict[str, Any]]) -> None:
    for row in (row for row in rows if row["p_90"] is not None):
        assert 0 <= row["p_30"] <= row["p_90"] <= row["p_180"] <= row["p_365"] <= 1
        assert row["p_voluntary_90"] + row["p_involuntary_90"] == pytest.approx(row["p_90"], abs=1e-12)
        larger = max(("voluntary", "involuntary"), key=lambda cause: row[f"p_{cause}_90"])
        assert row["cause"] == larger
        assert (row["median_days_to_churn"] is None) == (row["p_365"] < 0.5)
        assert (row["likely_month"].year, row["likely_month"].month) >= (2026, 1)


def test_parts_add_up_on_every_row(rows: list[dict[str, Any]]) -> None:
    for row in (row for row in rows if row["p_90"] is not None):
        points = sum(part["points"] for part in row["contributions"])
        assert points == pytest.approx(row["p_cause_90"] - row["p_reference"], abs=1e-9)
        parts = sum(part["contribution"] for part in row["contributions"])
        assert row["base_logit"] + row["season_offset"] + parts == pytest.approx(row["logit"], abs=1e-6)


def test_amounts_are_those_of_what_is_not_committed(rows: list[dict[str, Any]]) -> None:
    for row in (row for row in rows if row["p_90"] is not None):
        at_stake = max(12 * row["mrr_minor"] - row["committed_365_minor"], 0)
        assert abs(row["revenue_at_risk_90_minor"] - row["p_90"] * at_stake) <= 0.5 + 1e-6
        if row["recommended_play"] == "none":
            assert row["expected_save_minor"] is None
        else:
            expected = row["p_90"] * at_stake / 5 - 2_500
            assert abs(row["expected_save_minor"] - expected) <= 0.5 + 1e-6


def test_terms_without_decision_point_in_90_days_are_renewals_later(rows: list[dict[str, Any]]) -> None:
    terms = [row for row in rows if row["commitment_class"] == "term" and row["p_90"] is not None]
    assert {row["list_name"] for row in terms} == {"now", "later"}
    for row in terms:
        is_near = (row["decision_on"] - AS_OF).days <= 90
        is_failing = row["p_involuntary_90"] >= 0.5
        assert row["list_name"] == ("now" if is_near or is_failing else "later")
        assert 0 <= row["p_nonrenewal_next_term"] <= 1
    assert all(row["list_name"] == "now" for row in rows if row["band_capacity"])
    monthly = [row for row in rows if row["commitment_class"] == "monthly"]
    assert {row["p_nonrenewal_next_term"] for row in monthly} == {None}


def test_a_failed_payment_is_named_as_cause_and_reason(
    world: pl.DataFrame, rows: list[dict[str, Any]]
) -> None:
    """The world is drawn so that failed payments end accounts; four in five are to be told as such."""
    failed = set(world.filter((pl.col("as_of") == AS_OF) & (pl.col("failed_payments_90") > 0))["customer_id"])
    told = [row for row in rows if row["customer_id"] in failed and row["p_90"] is not None]
    named = [
        row
        for row in told
        if row["cause"] == "involuntary"
        and row["reason_1"]["feature"] == "failed_payments_90"
        and row["recommended_play"] == "payment_method"
    ]
    assert len(told) >= 10
    assert len(named) >= 0.8 * len(told)


def test_a_row_without_usage_feed_says_so(world: pl.DataFrame, rows: list[dict[str, Any]]) -> None:
    without = set(world.filter((pl.col("as_of") == AS_OF) & pl.col("no_usage_feed"))["customer_id"])
    flagged = {row["customer_id"] for row in rows if "no_usage_feed" in (row["data_quality_flags"] or [])}
    scored = {row["customer_id"] for row in rows if row["p_90"] is not None}
    assert flagged == without & scored
    assert flagged


def test_the_same_data_gives_the_same_scores_and_trains_once(
    world: pl.DataFrame, scored: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    again = stage(tmp_path / "two.duckdb", world.sample(fraction=1.0, shuffle=True, seed=5))
    score(again, scored.parent, progress=said.append)
    assert not any("training" in line for line in said)
    assert asked(again).equals(asked(scored))
    assert json.dumps(asked(again).to_dicts(), default=str) == json.dumps(
        asked(scored).to_dicts(), default=str
    )


def test_the_registry_and_the_status_name_the_model(scored: Path) -> None:
    models = asked(scored, "SELECT model_id, stage, commitment_class FROM churn.churn_models ORDER BY stage")
    assert models["stage"].to_list() == ["scoring", "trained"]
    assert set(models["commitment_class"]) == {"contract"}
    status = asked(scored, "FROM churn.churn_status").to_dicts()[0]
    assert (status["commitment_class"], status["state"], status["exit_code"]) == ("contract", "scored", 0)
    assert status["model_id"] == models["model_id"][0]


def test_a_source_behind_its_sla_withholds_the_scores_and_says_why(
    world: pl.DataFrame, scored: Path, tmp_path: Path
) -> None:
    path = stage(tmp_path / "late.duckdb", world)
    score(path, scored.parent, sources=[Source("usage", date(2025, 12, 20), 3)])
    assert asked(path).is_empty()
    status = asked(path, "FROM churn.churn_status").to_dicts()[0]
    assert (status["state"], status["reason_code"]) == ("withheld", "stale_source")
    assert "2025-12-20" in status["reason_en"]
    assert "2025-12-20" in status["reason_ar"]


def test_a_model_whose_files_were_altered_is_refused(
    world: pl.DataFrame, scored: Path, tmp_path: Path
) -> None:
    model_id = str(asked(scored, "SELECT model_id FROM churn.churn_status").item())
    target = tmp_path / "churn" / model_id
    target.mkdir(parents=True)
    for file in (scored.parent / "churn" / model_id).iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    path = target / "model.json"
    path.write_text(path.read_text(encoding="utf-8").replace("0.", "1.", 1), encoding="utf-8")
    with pytest.raises(ModelRefused, match="not the file"):
        score(stage(tmp_path / "altered.duckdb", world), tmp_path)


def test_with_too_little_history_points_rank_and_no_probability_is_filled(
    world: pl.DataFrame, tmp_path: Path
) -> None:
    path = stage(tmp_path / "few.duckdb", world.filter(pl.col("as_of") >= date(2025, 10, 1)))
    score(path, tmp_path)
    few = asked(path)
    assert few["p_90"].null_count() == few.height == 90
    rule = few.filter(pl.col("score_kind") == "rule")
    assert rule["rule_points"].is_between(0, 100).all()
    failed = rule.filter(pl.col("rule_points") >= 25)["reason_1"].struct.field("sentence_en").to_list()
    assert any(sentence.startswith("Failed payments in 90 days: ") for sentence in failed)
    status = asked(path, "FROM churn.churn_status").to_dicts()[0]
    assert (status["state"], status["exit_code"]) == ("rule_only", 4)
    assert "a rule, not a probability" in status["reason_en"]
    assert "قاعدة وليست احتمالًا" in status["reason_ar"]
    numbers = re.findall(r"\d+", status["reason_en"])
    assert "200" in numbers  # what training needs
    assert re.findall(r"\d+", status["reason_ar"]) == numbers


def test_a_day_on_which_everybody_has_given_notice_writes_the_leaving_list(
    world: pl.DataFrame, tmp_path: Path
) -> None:
    is_today = pl.col("as_of") == AS_OF
    gone = world.with_columns(
        has_notice=pl.col("has_notice") | is_today, is_at_risk=pl.col("is_at_risk") & ~is_today
    )
    for name, frame in (("model", gone), ("rule", gone.filter(pl.col("as_of") >= date(2025, 10, 1)))):
        path = stage(tmp_path / f"{name}.duckdb", frame)
        score(path, tmp_path / name)
        rows = asked(path)
        assert set(rows["list_name"]) == {"leaving"}, name
        assert rows["value_rank"].sort().to_list() == list(range(1, 91)), name
        assert rows["p_90"].null_count() == 90
        status = asked(path, "FROM churn.churn_status").to_dicts()[0]
        assert (status["state"], status["reason_code"]) == ("nothing_to_score", "all_have_given_notice")
        assert status["model_id"] == rows["model_id"].unique().item()


def test_points_of_accounts_are_those_of_the_rules_that_hold() -> None:
    frame = pl.DataFrame(
        {
            "failed_payments_90": [1, 0, None],
            "usage_trend": [-0.6, -0.5, None],
            "seat_use": [0.4, 0.5, None],
            "open_urgent": [2, 0, None],
        }
    )
    points, grounds = account_points(frame)
    assert points.tolist() == [25 + 20 + 15 + 10, 0, 0]
    assert grounds == [["failed_payments_90", "usage_trend", "seat_use", "open_urgent"], [], []]


# The panel.


def test_an_end_counts_once_its_thirty_days_are_over_and_it_was_recorded(world: pl.DataFrame) -> None:
    inputs = accounts.account_inputs(world, FEATURES)
    panel = accounts.account_panel(world, inputs)
    known = accounts.hazard_panel(panel, inputs, date(2025, 6, 30))
    frame = panel.frame
    ended = frame["ended_on"].is_not_null().to_numpy()
    late = (frame["ended_on"] > date(2025, 6, 30)).fill_null(False).to_numpy()
    assert np.isnan(known.days_to_event[~ended]).all()
    assert np.isnan(known.days_to_event[late]).all()  # recorded on the day itself, so not known yet
    days = (date(2025, 5, 31) - frame["as_of"].to_numpy().astype("datetime64[D]").astype(object)[0]).days
    assert known.observed_days[0] == days


def test_the_label_of_90_days_closes_after_120(world: pl.DataFrame) -> None:
    panel = accounts.account_panel(world, accounts.account_inputs(world, FEATURES))
    closed = {day for day in panel.as_of.unique() if not np.isnan(panel.on(day).y).any()}
    assert max(closed) == date(2025, 8, 31)
    day = date(2025, 8, 31)
    now = panel.on(day)
    within = (now.frame["ended_on"] - now.frame["as_of"]).dt.total_days().fill_null(999).to_numpy() <= 90
    assert np.array_equal(now.y, within.astype(float))


def test_a_person_keeps_an_older_model_scoring(world: pl.DataFrame, scored: Path, tmp_path: Path) -> None:
    """What a person chose stays when a newer model is trained; its files are those that are read."""
    first = str(asked(scored, "SELECT model_id FROM churn.churn_status").item())
    for file in (scored.parent / "churn" / first).iterdir():
        target = tmp_path / "churn" / first / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    row = asked(scored, "FROM churn.churn_models WHERE stage = 'trained'").to_dicts()[0]
    decisions.write(tmp_path, [row])
    decisions.promote(tmp_path, first, by="N. Haddad", at=AT.replace(hour=1))
    changed = world.with_columns(pl.col("seat_use") * 0.9)
    path = stage(tmp_path / "later.duckdb", changed)
    with duckdb.connect(str(path)) as connection:
        files = str(decisions.history_folder(tmp_path) / "*.parquet")
        connection.execute("CREATE TABLE raw_history.churn_models AS FROM read_parquet(?)", [files])
    score(path, tmp_path)
    assert asked(path, "SELECT DISTINCT model_id FROM churn.churn_scores")["model_id"].to_list() == [first]
    assert asked(path, "SELECT DISTINCT model_id FROM churn.churn_models").height == 2


def test_too_little_data_is_an_exception_that_says_how_much_there_is(world: pl.DataFrame) -> None:
    from churn_model.account_protocol import evaluate

    few = world.filter(pl.col("as_of") >= date(2025, 8, 1))
    inputs = accounts.account_inputs(few, FEATURES)
    with pytest.raises(TooLittleData, match="customers left in"):
        evaluate(accounts.account_panel(few, inputs), inputs, AS_OF, lambda _: None)


def test_at_the_seasons_level_the_mean_is_the_target_and_parts_still_add_up(scored: Path) -> None:
    model_id = str(asked(scored, "SELECT model_id FROM churn.churn_status").item())
    kept = loaded(scored.parent / "churn", model_id)
    trained = replace(kept, manifest={**kept.manifest, "with_season": True})
    with duckdb.connect(str(scored), read_only=True) as connection:
        now = Run(connection, scored.parent, AS_OF, AT, exponents={"EUR": 2})
        family = accounts_of(now, FEATURES)
        assert family is not None
        given = pl.concat(family.score(now, trained, []), how="diagonal_relaxed").filter(
            pl.col("p_90").is_not_null()
        )
    assert given["p_90"].mean() == pytest.approx(season_target(family.panel, AS_OF), abs=1e-9)
    (shift,) = given["season_offset"].unique()
    assert shift != 0
    for row in given.to_dicts():
        parts = sum(part["contribution"] for part in row["contributions"])
        assert row["base_logit"] + shift + parts == pytest.approx(row["logit"], abs=1e-6)
        points = sum(part["points"] for part in row["contributions"])
        assert points == pytest.approx(row["p_cause_90"] - row["p_reference"], abs=1e-9)


def test_scores_are_the_same_however_the_day_is_cut_into_blocks(
    world: pl.DataFrame, scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BLOCK", 7)
    again = stage(tmp_path / "blocks.duckdb", world)
    score(again, scored.parent)
    assert asked(again).equals(asked(scored))
    assert not list(tmp_path.glob(".scores-*"))


def test_of_earlier_days_a_part_of_the_customers_is_read_where_they_are_too_many(
    scored: Path, world: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    with duckdb.connect(str(scored), read_only=True) as connection:
        whole = frame_of(connection, accounts.TABLE, "is_at_risk", AS_OF)
        monkeypatch.setattr("churn_model.stage.MOST_EARLIER_ROWS", 500)
        part = frame_of(connection, accounts.TABLE, "is_at_risk", AS_OF)
    is_today = pl.col("as_of") == AS_OF
    assert part.filter(is_today).equals(whole.filter(is_today))
    earlier, kept = whole.filter(~is_today), part.filter(~is_today)
    assert whole.height == world["is_at_risk"].sum()
    assert 0.5 * 500 < kept.height < 1.5 * 500 < earlier.height
    # whole histories: who is read is read on every day
    assert kept.equals(earlier.filter(pl.col("customer_id").is_in(kept["customer_id"].unique().to_list())))
