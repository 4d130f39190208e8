"""A feature that knows the future is refused by name, and flagged when it gets in all the same."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

from churn_model.dataset import FEATURES, Feature, features_of, panel_of
from churn_model.protocol import Prediction, figures_of, leak_alarms
from churn_model.scoring import score_stage

AS_OF = date(2025, 12, 31)
SCHEMA = Path(__file__).parents[2] / "pipelines" / "raw_schema.sql"
PLANTED = Feature(
    "orders_next_90", "orders", "frequency", "count", 90, "planted", "never", "{value} {typical}", "{value}"
)


def snapshots() -> pl.DataFrame:
    """Month ends of 2024 and 2025; who leaves has no order in the 90 days after, and a column says so."""
    chance = np.random.default_rng(1)
    frames = []
    for month in range(24):
        day = date(2024 + (month + 1) // 12, (month + 1) % 12 + 1, 1) - timedelta(days=1)
        left = chance.random(150) < 0.4
        is_closed = day + timedelta(days=90) <= AS_OF
        columns = {feature.name: chance.normal(size=150) for feature in features_of()}
        frames.append(
            pl.DataFrame(
                {
                    "customer_id": [f"c{number:03d}" for number in range(150)],
                    "as_of": [day] * 150,
                    "churned_90": pl.Series(left if is_closed else [None] * 150, dtype=pl.Boolean),
                    "trailing_revenue_minor": [1000] * 150,
                    "currency": ["GBP"] * 150,
                    "orders_next_90": np.where(left, 0.0, 1.0 + chance.integers(0, 5, 150)),
                    **columns,
                }
            )
        )
    return pl.concat(frames)


def test_a_column_that_no_feature_names_is_never_read() -> None:
    assert panel_of(snapshots(), features_of()).x.shape[1] == len(features_of())


@pytest.mark.parametrize("name", ["churned_90", "is_label_closed", "trailing_revenue_minor"])
def test_a_feature_file_that_names_an_outcome_is_refused(tmp_path: Path, name: str) -> None:
    planted = tmp_path / "features.toml"
    text = FEATURES.read_text(encoding="utf-8")
    planted.write_text(text.replace('name = "orders_30"', f'name = "{name}"'), encoding="utf-8")
    with pytest.raises(ValueError, match=name):
        features_of(planted)


def test_a_planted_column_that_knows_the_future_raises_the_alarm() -> None:
    features = (*features_of(), PLANTED)
    panel = panel_of(snapshots(), features).closed_by(AS_OF)
    assert leak_alarms(panel, [feature.name for feature in features]) == ("orders_next_90",)


def test_an_honest_panel_raises_no_alarm() -> None:
    panel = panel_of(snapshots(), features_of()).closed_by(AS_OF)
    assert leak_alarms(panel, [feature.name for feature in features_of()]) == ()


def test_a_null_that_tells_the_outcome_raises_the_alarm_too() -> None:
    frame = snapshots().with_columns(
        orders_next_90=pl.when(pl.col("orders_next_90") > 0).then(1.0).otherwise(None)
    )
    features = (*features_of(), PLANTED)
    panel = panel_of(frame, features).closed_by(AS_OF)
    assert leak_alarms(panel, [feature.name for feature in features]) == ("orders_next_90",)


def test_scores_made_with_a_leaking_feature_carry_its_flag(tmp_path: Path) -> None:
    stage = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(stage)) as connection:
        connection.execute(SCHEMA.read_text(encoding="utf-8"))
        connection.execute("INSERT INTO raw_meta.currencies VALUES ('GBP', 2); CREATE SCHEMA marts")
        connection.register("frame", snapshots().to_arrow())
        connection.execute("CREATE TABLE marts.fct_customer_snapshots AS FROM frame")
    rule = ("days_since_order", "recency_over_gap", "orders_180")
    features = (*(feature for feature in features_of() if feature.name in rule), PLANTED)
    said: list[str] = []
    at = datetime(2026, 1, 1, tzinfo=UTC)
    score_stage(stage, folder=tmp_path, as_of=AS_OF, scored_at=at, progress=said.append, features=features)
    assert any("ALARM" in line and "orders_next_90" in line for line in said)
    with duckdb.connect(str(stage)) as connection:
        flags = connection.execute("SELECT DISTINCT data_quality_flags FROM churn.churn_scores").fetchall()
    assert flags == [(["known_day_assumed", "leak_alarm:orders_next_90"],)]


def test_the_interval_of_a_mean_over_days_draws_each_customer_once() -> None:
    """The same rows on two days tell no more than on one: the mean's interval is that of a day."""
    frame = snapshots().filter(pl.col("as_of") == date(2024, 6, 30))
    again = frame.with_columns(as_of=pl.lit(date(2024, 9, 30)))
    panel = panel_of(pl.concat([frame, again]), features_of())
    p = np.random.default_rng(2).random(150)
    by_day = {day: Prediction(p, True) for day in (date(2024, 6, 30), date(2024, 9, 30))}
    brier = [figure for figure in figures_of(panel, "any", by_day) if figure.metric == "brier"]
    assert len(brier) == 3
    assert {(figure.low, figure.high) for figure in brier} == {(brier[0].low, brier[0].high)}


def test_nothing_but_the_simulator_and_its_judge_names_the_file_of_truth() -> None:
    root = Path(__file__).parents[2]
    written_by = {"tajdid/demo.py"}
    told = {
        str(path.relative_to(root))
        for folder in ("churn_model", "pipelines", "models", "macros", "dashboard", "tajdid", "billing")
        for path in (root / folder).rglob("*")
        if path.suffix in (".py", ".sql", ".toml", ".yml")
        and any(word in path.read_text(encoding="utf-8") for word in ("simulated_truth", "p_90_shown"))
    }
    assert "billing/simulator/truth.py" in told
    assert {name for name in told if not name.startswith("billing/simulator/")} <= written_by
