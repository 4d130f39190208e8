"""The protocol learns only from what had closed, refuses too little, and scores the same twice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

from churn_model.dataset import Panel, closed_origins, features_of, panel_of
from churn_model.model import sigmoid
from churn_model.protocol import (
    TooLittleData,
    choose_champion,
    default_test_dates,
    evaluate,
    leavers,
    predict,
    require_enough,
    season_offset,
    season_target,
)
from churn_model.scoring import score_stage

FEATURES = features_of()
NAMES = [feature.name for feature in FEATURES]
AT = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMA = Path(__file__).parents[2] / "pipelines" / "raw_schema.sql"


def month_ends(first: date, count: int) -> list[date]:
    return [
        date(first.year + (first.month + n) // 12, (first.month + n) % 12 + 1, 1) - timedelta(days=1)
        for n in range(count)
    ]


def snapshots(days: list[date], as_of: date, customers: int = 300, seed: int = 0) -> pl.DataFrame:
    """Customers whose silence and rarity of orders raise the chance of not ordering again."""
    random = np.random.default_rng(seed)
    frames = []
    for day in days:
        silence = random.integers(0, 180, customers)
        orders = random.integers(1, 8, customers)
        logit = 0.02 * (silence - 80) - 0.4 * (orders - 3)
        left = random.random(customers) < 1 / (1 + np.exp(-logit))
        is_closed = day + timedelta(days=90) <= as_of
        columns: dict[str, object] = {name: random.normal(size=customers) for name in NAMES}
        columns |= {
            "days_since_order": silence,
            "orders_180": orders,
            "tenure_days": random.integers(1, 900, customers),
        }
        frames.append(
            pl.DataFrame(
                {
                    "customer_id": [f"c{n:04d}" for n in range(customers)],
                    "as_of": [day] * customers,
                    "churned_90": pl.Series(left if is_closed else [None] * customers, dtype=pl.Boolean),
                    "trailing_revenue_minor": random.integers(0, 10**7, customers),
                    "currency": ["GBP"] * customers,
                    **columns,
                }
            )
        )
    return pl.concat(frames)


AS_OF = date(2025, 12, 31)
DAYS = month_ends(date(2024, 7, 1), 18)


@pytest.fixture(scope="module")
def panel() -> Panel:
    return panel_of(snapshots(DAYS, AS_OF), FEATURES)


def test_training_rows_of_a_day_have_labels_that_had_closed_by_it(panel: Panel) -> None:
    known = panel.closed_by(date(2025, 6, 30))
    assert known.as_of.max() == date(2025, 3, 31)
    assert not np.isnan(known.y).any()


def test_a_month_end_is_an_origin_once_its_ninety_days_are_over(panel: Panel) -> None:
    assert closed_origins(panel, date(2025, 12, 28))[-1] == date(2025, 8, 31)
    assert closed_origins(panel, date(2025, 12, 29))[-1] == date(2025, 9, 30)


def test_test_dates_are_the_last_two_closed_ninety_days_apart(panel: Panel) -> None:
    assert default_test_dates(panel, AS_OF) == [date(2025, 6, 30), date(2025, 9, 30)]


def test_the_future_of_a_day_changes_nothing_of_what_is_predicted_on_it(panel: Panel) -> None:
    day = date(2025, 6, 30)
    before = predict(panel, NAMES, day)["blend"].p
    future = panel.as_of.to_numpy() > np.datetime64(day - timedelta(days=90))
    x, y = panel.x.copy(), panel.y.copy()
    later = panel.as_of.to_numpy() > np.datetime64(day)
    x[later] = 99.0
    y[future] = 1.0
    shuffled = Panel(panel.frame, x, y)
    assert np.array_equal(predict(shuffled, NAMES, day)["blend"].p, before)


def test_the_past_of_a_day_does_change_what_is_predicted_on_it(panel: Panel) -> None:
    day = date(2025, 6, 30)
    past = panel.as_of.to_numpy() <= np.datetime64(day - timedelta(days=91))
    changed = Panel(panel.frame, panel.x, np.where(past, 1 - panel.y, panel.y))
    assert not np.allclose(predict(changed, NAMES, day)["blend"].p, predict(panel, NAMES, day)["blend"].p)


def test_the_season_offset_brings_the_mean_to_the_target() -> None:
    logit = np.linspace(-3, 2, 400)
    assert sigmoid(logit + season_offset(logit, 0.37)).mean() == pytest.approx(0.37, abs=1e-9)


def test_the_season_target_weighs_last_years_month_by_its_leavers(panel: Panel) -> None:
    day = date(2025, 9, 30)
    last_year, last = panel.on(date(2024, 9, 30)).y, panel.on(date(2025, 6, 30)).y
    weight = last_year.sum() / (last_year.sum() + 50)
    assert season_target(panel, day) == pytest.approx(weight * last_year.mean() + (1 - weight) * last.mean())


def test_too_little_history_is_refused() -> None:
    few = panel_of(snapshots(month_ends(date(2025, 9, 1), 4), AS_OF), FEATURES)
    with pytest.raises(TooLittleData, match="needs 200 and 3"):
        require_enough(few, AS_OF)


JANUARY, FEBRUARY, MARCH = date(2025, 1, 31), date(2025, 2, 28), date(2025, 3, 31)


def panel_with(rows: list[tuple[str, date, float]], **more: list[date | None]) -> Panel:
    frame = pl.DataFrame([row[:2] for row in rows], schema=["customer_id", "as_of"], orient="row")
    y = np.array([row[2] for row in rows])
    return Panel(
        frame.with_columns(pl.Series(name, days) for name, days in more.items()), np.ones((len(y), 1)), y
    )


@pytest.mark.parametrize(
    ("months", "count"),
    [
        ([1, 1, 1], 1),  # one silence, seen from three month ends
        ([1, 0, 1], 2),  # came back in between, and fell silent again
        ([1, None, 1], 2),  # was no customer in February any more, so an order must have brought it back
        ([0, 0, 1], 1),
        ([0, 0, 0], 0),
        ([1, 1, float("nan")], 1),
    ],
)
def test_a_customer_of_repeat_trade_left_once_in_a_run_of_months(
    months: list[float | None], count: int
) -> None:
    days = (JANUARY, FEBRUARY, MARCH)
    rows = [("a", day, value) for day, value in zip(days, months, strict=True) if value is not None]
    rows += [("b", day, 0.0) for day in days] + [("c", JANUARY, 1.0)]
    assert leavers(panel_with(rows)) == count + 1


def test_an_account_left_once_for_each_day_on_which_it_ended() -> None:
    rows = [("a", JANUARY, 1.0), ("a", FEBRUARY, 1.0), ("b", JANUARY, 0.0), ("a", MARCH, 1.0)]
    april, june = date(2025, 4, 5), date(2025, 6, 5)
    assert leavers(panel_with(rows, ended_on=[april, april, june, june])) == 2


def test_two_hundred_leavers_are_customers_and_not_snapshots() -> None:
    """Sixty-seven silent customers on three month ends are 201 rows."""
    rows = [(f"c{n}", day, 1.0) for day in (JANUARY, FEBRUARY, MARCH) for n in range(67)]
    with pytest.raises(TooLittleData, match="67 customers left in 3 closed months; training needs 200"):
        require_enough(panel_with(rows), AS_OF)
    others = [(f"{day}-{who}", day, 1.0) for who, day, _ in rows]
    require_enough(panel_with(others), AS_OF)


def test_among_equals_the_simplest_wins(panel: Panel) -> None:
    day = date(2025, 6, 30)
    answers = predict(panel, NAMES, day)
    answers["blend"] = answers["additive_hgb"] = answers["spline_logistic"]
    assert choose_champion(panel, {day: answers})[0] == "spline_logistic"


def test_the_report_sets_the_model_beside_base_rate_and_recency(panel: Panel) -> None:
    evaluation = evaluate(panel, NAMES, AS_OF)
    means = {(f.candidate, f.metric): f.value for f in evaluation.figures if f.test_date is None}
    assert means["base_rate", "auc"] == 0.5
    assert means[evaluation.champion, "auc"] > means["recency_rule", "auc"]
    assert ("recency_rule", "brier") not in means
    assert set(evaluation.origins).isdisjoint(evaluation.test_dates)
    at_origins = {(f.candidate, f.test_date) for f in evaluation.origin_figures if f.metric == "auc"}
    days = [day + timedelta(days=1) for day in evaluation.origins]
    assert at_origins >= {(name, day) for name in ("recency_rule", "blend") for day in (*days, None)}


# A scoring run.


def stage(path: Path, frame: pl.DataFrame) -> Path:
    connection = duckdb.connect(str(path))
    connection.execute(SCHEMA.read_text(encoding="utf-8"))
    connection.execute("INSERT INTO raw_meta.currencies VALUES ('GBP', 2)")
    connection.execute("CREATE SCHEMA marts")
    connection.register("given", frame.to_arrow())
    connection.execute("CREATE TABLE marts.fct_customer_snapshots AS SELECT * FROM given")
    connection.close()
    return path


def scored(path: Path, select: str = "* EXCLUDE (contributions)") -> pl.DataFrame:
    connection = duckdb.connect(str(path), read_only=True)
    frame = connection.sql(f"SELECT {select} FROM churn.churn_scores ORDER BY customer_id").pl()
    connection.close()
    return frame


def status(path: Path) -> tuple[object, ...]:
    connection = duckdb.connect(str(path), read_only=True)
    row = connection.sql("SELECT state, exit_code FROM churn.churn_status").fetchone()
    connection.close()
    assert row
    return row


def test_the_same_data_gives_the_same_scores_and_trains_once(tmp_path: Path) -> None:
    frame = snapshots(DAYS, AS_OF)
    said: list[str] = []
    for name in ("one", "two"):
        path = stage(tmp_path / f"{name}.duckdb", frame.sample(fraction=1.0, shuffle=True, seed=len(said)))
        score_stage(path, folder=tmp_path / "company", as_of=AS_OF, scored_at=AT, progress=said.append)
    assert sum("training" in line for line in said) == 1
    assert scored(tmp_path / "one.duckdb").equals(scored(tmp_path / "two.duckdb"))
    assert status(tmp_path / "one.duckdb") == ("scored", 0)
    assert scored(tmp_path / "one.duckdb").height == 300
    folders = list((tmp_path / "company" / "churn").iterdir())
    assert [sorted(path.name for path in folder.iterdir()) for folder in folders] == [
        ["manifest.json", "metrics.json", "model.json", "report.html", "report.json"]
    ]


def test_revenue_at_risk_is_probability_times_yearly_revenue_rounded_once(tmp_path: Path) -> None:
    path = stage(tmp_path / "one.duckdb", snapshots(DAYS, AS_OF))
    score_stage(path, folder=tmp_path, as_of=AS_OF, scored_at=AT)
    for p, revenue, at_risk in (
        scored(path, "customer_id, p_90, yearly_revenue_minor, revenue_at_risk_90_minor")
        .select("p_90", "yearly_revenue_minor", "revenue_at_risk_90_minor")
        .iter_rows()
    ):
        assert abs(at_risk - p * revenue) <= 0.5 + 1e-6


def test_too_little_data_ships_points_and_no_probability(tmp_path: Path) -> None:
    path = stage(tmp_path / "one.duckdb", snapshots(month_ends(date(2025, 9, 1), 4), AS_OF))
    score_stage(path, folder=tmp_path, as_of=AS_OF, scored_at=AT)
    frame = scored(path)
    assert status(path) == ("rule_only", 4)
    assert frame["score_kind"].unique().to_list() == ["rule"]
    assert frame["p_90"].null_count() == frame.height == 300
    assert frame["rule_points"].is_between(0, 100).all()
    assert frame["value_rank"].sort().to_list() == list(range(1, 301))
    assert frame.filter("band_capacity").height == 50
    assert frame["in_holdout"].null_count() == 0


def test_a_company_without_snapshots_gets_empty_tables_and_the_reason(tmp_path: Path) -> None:
    path = stage(tmp_path / "one.duckdb", snapshots(DAYS, AS_OF).clear())
    score_stage(path, folder=tmp_path, as_of=AS_OF, scored_at=AT)
    assert scored(path).is_empty()
    assert status(path) == ("nothing_to_score", 0)
