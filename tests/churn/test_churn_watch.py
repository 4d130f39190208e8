"""A run measures what became of earlier scores, and takes from the holdout what a contact saves."""

from __future__ import annotations

from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path

import duckdb
import polars as pl
import pytest
from account_world import FEATURES, month_ends, snapshots

from churn_model import accounts, tables, watch
from churn_model.account_scoring import Accounts
from churn_model.actions import Assumptions, expected_save_minor
from churn_model.effects import save_rate
from churn_model.monitoring import measure_given
from churn_model.outcomes import outcomes_of

AS_OF = date(2025, 12, 31)
DAY = date(2025, 8, 31)


@pytest.fixture(scope="module")
def family() -> Accounts:
    frame = snapshots(month_ends(date(2025, 7, 1), 6), AS_OF, customers=60)
    inputs = accounts.account_inputs(frame, FEATURES)
    return Accounts(
        frame.filter(~pl.col("is_at_risk")), accounts.account_panel(frame, inputs), inputs, FEATURES
    )


def given(family: Accounts, p: float, **more: object) -> pl.DataFrame:
    """Scores of everyone at risk on a day."""
    now = family.panel.on(DAY).frame
    return now.select(
        "customer_id",
        "as_of",
        "commitment_class",
        pl.lit("m0").alias("model_id"),
        pl.lit(datetime(2025, 9, 1, tzinfo=UTC)).alias("scored_at"),
        pl.lit(p).alias("p_90"),
        pl.lit("high").alias("band_fixed"),
        pl.lit(p / 2).alias("p_voluntary_90"),
        pl.lit(p / 2).alias("p_involuntary_90"),
        pl.lit("payment_method").alias("recommended_play"),
        *(pl.lit(value).alias(name) for name, value in more.items()),
    )


def everyone(family: Accounts) -> pl.DataFrame:
    return pl.concat([family.panel.frame, family.others])


def stage(rows: pl.DataFrame, frame: pl.DataFrame) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    tables.create_tables(connection)
    tables.insert(connection, "churn_scores", rows)
    connection.register("given", frame.to_arrow())
    connection.execute("CREATE SCHEMA marts; CREATE TABLE marts.fct_account_snapshots AS FROM given")
    return connection


def test_earlier_scores_are_set_beside_what_happened(family: Accounts) -> None:
    frame = family.panel.on(DAY).frame
    days = (frame["ended_on"] - frame["as_of"]).dt.total_days()
    left = int((days <= 90).sum())
    involuntary = int(((days <= 90) & (frame["ended_cause"] == "involuntary")).sum())
    connection = stage(given(family, 0.25, in_holdout=False, score_kind="probability"), everyone(family))
    rows = measure_given(
        watch.given_scores(connection, "contract"),
        outcomes_of(connection, AS_OF),
        measured_on=AS_OF,
        horizon_days=90,
    ).filter(pl.col("commitment_class") == "all", pl.col("measure") == "observed_over_expected")
    found = {row["subject"]: (row["observed"], row["expected"]) for row in rows.to_dicts()}
    assert found["all"] == (left, pytest.approx(frame.height * 0.25))
    assert found["cause:involuntary"] == (involuntary, pytest.approx(frame.height * 0.125))


def test_the_save_rate_is_churn_held_out_less_churn_listed(family: Accounts) -> None:
    frame = family.panel.on(DAY)
    held = [n % 2 == 0 for n in range(len(frame.y))]
    scores = given(family, 0.5, score_kind="probability").with_columns(in_holdout=pl.Series(held))
    connection = stage(scores, everyone(family))
    rates = {rate.play: rate for rate in watch.save_rates_of(connection, outcomes_of(connection, AS_OF))}
    out, told = frame.y[::2], frame.y[1::2]
    assert rates["payment_method"].value == pytest.approx(out.mean() - told.mean())
    assert (rates["all"].holdout, rates["all"].listed) == (len(out), len(told))


def test_only_rates_that_are_measured_well_replace_stated_ones() -> None:
    sure, thin = save_rate(300, 2_000, 500, 2_000, play="resolve"), save_rate(1, 10, 3, 10, play="onboarding")
    harmful = save_rate(500, 2_000, 300, 2_000, play="review_call")
    assumed = watch.with_measured(Assumptions(save_rate=Fraction(1, 5)), [sure, thin, harmful])
    assert assumed.save_rate_of("resolve") == (Fraction(2, 5), "measured")  # of 500 leavers 300 are left
    assert assumed.save_rate_of("onboarding") == (Fraction(1, 5), "stated")
    assert assumed.save_rate_of("review_call") == (Fraction(0), "measured")


def test_a_measured_rate_has_the_unit_of_a_stated_one() -> None:
    """Of 2,000 held out 500 left and of 2,000 listed 300: ten points of all, and two leavers in five kept. A
    customer at 50 % with 10,000.00 at stake is expected to bring 0.5 x 10,000.00 x 2/5 less the cost."""
    rate = save_rate(300, 2_000, 500, 2_000, play="resolve")
    assert rate.value == pytest.approx(0.10)
    assumed = watch.with_measured(Assumptions(), [rate])
    kept, _ = assumed.save_rate_of("resolve")
    assert expected_save_minor(0.5, Fraction(1_000_000), kept, 2_500) == 197_500


def test_drift_of_the_run_before_is_remembered(tmp_path: Path) -> None:
    rows = [
        {
            "model_id": model,
            "commitment_class": commitment,
            "measured_on": day,
            "measure": "psi_input",
            "subject": name,
            "is_over_limit": over,
        }
        for model, commitment, day, name, over in (
            ("m2", "contract", date(2025, 12, 30), "seat_use", True),
            ("m2", "contract", date(2025, 12, 30), "mrr", False),
            ("m1", "contract", date(2025, 12, 29), "mrr", True),
            ("m3", "non_contract", date(2025, 12, 30), "orders_90", True),
        )
    ]
    with duckdb.connect() as connection:
        tables.create_tables(connection)
        tables.insert(connection, "churn_monitoring", pl.DataFrame(rows))
        before = watch.earlier(connection, AS_OF)
    assert watch.over_before(before, "contract") == {("psi_input", "seat_use")}
    assert watch.over_before(before, "non_contract") == {("psi_input", "orders_90")}
    assert watch.over_before(pl.DataFrame(), "contract") == set()
