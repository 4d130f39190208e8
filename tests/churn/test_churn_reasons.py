"""Parts of a hazard add up to its probability exactly; reasons say what they rest on, in both languages."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn_model.account_protocol import at_level
from churn_model.accounts import account_features
from churn_model.dataset import Feature, Panel, features_of
from churn_model.explain import (
    TIMING,
    Explanation,
    Teller,
    ended_within,
    explain_hazard,
    figure,
    parts_of,
    reasons,
)
from churn_model.hazard import CAUSES, HazardModel, timing_of
from churn_model.matrix import Input
from churn_model.model import AdditiveModel, Spline, Steps, Term
from churn_model.stage import in_reporting_currency

NAMES = ("failed_payments_90", "days_overdue_max", "seat_use", "payment_method", "segment")
BY_NAME = {feature.name: feature for feature in account_features()}
FEATURES = tuple(BY_NAME[name] for name in NAMES)
INPUTS = tuple(Input(name, ("card", "transfer") if name == "payment_method" else None) for name in NAMES)
LINE = Spline((0.0,) * 4 + (1.0,) * 4, (1.5, 0.5, -0.5, -1.5), 0.8)
"""1.5 at 0, falling by 3 to -1.5 at 1; 0.8 for no history."""


def hazards(cuts: tuple[float, ...], weight: float = 1.0) -> HazardModel:
    """Two hazards that read failed payments, seat use, the step, the decision point and the season."""
    zero = Steps((), (0.0,), 0.0)
    steps: list[Term] = [
        Steps((0.5,), (0.0, 2.0), 0.3),
        zero,
        LINE,
        Steps((0.0,), (0.0, 0.2), 0.0),
        Steps((0.0,), (0.0, 0.4), 0.0),
    ]
    clock = timing_of(cuts, has_decision=True, has_season=True)
    own: dict[str, Term] = {
        "step": Steps((0.0,), (0.0, -0.3), 0.0),
        "has_decision_in_step": Steps((0.0, 1.0), (0.0, -1.0, 2.5), 0.0),
        "season": Steps((5.0,), (0.1, -0.1), 0.0),
    }
    terms = [*steps, *(own.get(one.name, zero) for one in clock)]
    names = tuple(one.name for one in (*INPUTS, *clock))
    model = AdditiveModel(names, -3.0, tuple(((weight, term),) for term in terms))
    return HazardModel(
        cuts, CAUSES, INPUTS, True, True, (model, replace(model, intercept=-4.0)), (1.0, 1.2), (0.1, 0.0)
    )


def world(rows: int = 200, seed: int = 1) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(seed)
    x = np.column_stack(
        [
            random.integers(0, 3, rows).astype(float),
            random.integers(0, 9, rows).astype(float),
            np.where(random.random(rows) < 0.2, np.nan, random.random(rows)),
            random.integers(0, 2, rows).astype(float),
            random.integers(0, 2, rows).astype(float),
        ]
    )
    days = np.where(random.random(rows) < 0.5, np.nan, random.integers(1, 400, rows).astype(float))
    as_of = np.full(rows, np.datetime64("2025-12-31"))
    return x, days, as_of


def told(model: HazardModel, cause: str = "voluntary", rows: int = 200) -> Explanation:
    x, days, as_of = world(rows)
    typical = np.tile(np.array([0.0, 0.0, 0.6, 0.0, 0.0]), (rows, 1))
    return explain_hazard(model, cause, x, days, as_of, typical, np.full(rows, 200.0), 90)


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("weight", [1.0, 8.0])
def test_points_sum_to_p_less_the_reference_and_contributions_to_the_logit(cause: str, weight: float) -> None:
    model = hazards((30.0, 60.0, 90.0, 120.0), weight)
    parts = told(model, cause)
    x, days, as_of = world()
    logits = model.logits(x, days, as_of)[CAUSES.index(cause), :, :3]
    alone = 1 - np.prod(1 - 1 / (1 + np.exp(-logits)), axis=1)
    assert np.abs(parts.p - alone).max() < 1e-12
    assert np.abs(parts.points.sum(axis=1) - (parts.p - parts.p_reference)).max() < 1e-9
    assert np.abs(parts.base_logit + parts.contributions.sum(axis=1) - logits.mean(axis=1)).max() < 1e-9
    # none explodes: the sum over steps of (1 - P) h is at most -(1 - P) log(1 - P), so at most 1 / e
    own = slice(0, len(NAMES))
    assert (np.abs(parts.points[:, own]) <= np.abs(parts.contributions[:, own]) / np.e + 1e-9).all()


def test_points_of_one_step_are_those_of_the_straight_line() -> None:
    """With one step the integral is c (P(b + C) - P(b)) / C, the formula of a classifier."""
    parts = told(hazards((90.0,)))
    total = parts.contributions.sum(axis=1)
    moved = np.abs(total) > 1e-6
    expected = (parts.contributions * ((parts.p - parts.p_reference) / np.where(moved, total, 1))[:, None])[
        moved
    ]
    assert np.abs(parts.points[moved] - expected).max() < 1e-6


def test_one_shift_brings_the_mean_probability_to_the_seasons_level() -> None:
    cuts = (30.0, 60.0, 90.0, 120.0)
    x, days, as_of = world()
    frame = pl.DataFrame({"as_of": as_of.astype("datetime64[D]")}).with_columns(
        decision_on=pl.col("as_of") + pl.duration(days=pl.Series(days).fill_nan(None).cast(pl.Int64))
    )
    model, shift = at_level(hazards(cuts), Panel(frame, x, np.zeros(len(x))), 0.31)
    assert model.predict(x, days, as_of).p(90.0).mean() == pytest.approx(0.31, abs=1e-9)
    assert model.offsets == pytest.approx(tuple(offset + shift for offset in hazards(cuts).offsets))


def test_a_customer_at_the_reference_has_no_points() -> None:
    model = hazards((30.0, 60.0, 90.0))
    typical = np.array([[0.0, 0.0, 0.6, 0.0, 0.0]])
    day = np.array([np.datetime64("2025-12-31")])
    parts = explain_hazard(
        model, "voluntary", typical, np.array([200.0]), day, typical, np.array([200.0]), 90
    )
    assert np.abs(parts.points).max() == 0.0
    assert parts.p[0] == parts.p_reference[0]


def test_several_steps_end_as_their_product_says() -> None:
    logits = np.log(np.array([[0.1, 0.2, 0.5]]) / (1 - np.array([[0.1, 0.2, 0.5]])))
    assert ended_within(logits)[0] == pytest.approx(1 - 0.9 * 0.8 * 0.5)


def row_of(contributions: list[float], x: list[float], features: tuple[Feature, ...]) -> dict[str, Any]:
    """Reasons of one row whose points are its contributions."""
    parts = np.array([contributions])
    one = np.zeros(1)
    explanation = Explanation(one, 0.0, one, one, one, parts, parts)
    typical = np.array([0.0, 0.0, 0.6, 0.0, 0.0, 200.0][: len(x)])
    categories = {"payment_method": ("card", "transfer")}
    row = reasons(explanation, np.array([x]), typical, features, ["EUR"], {"EUR": 2}, categories)[0]
    told = parts_of(parts, parts, np.array([x], dtype=float), typical, features)
    return {**row, "contributions": told[0].to_list()}


def test_a_family_is_one_reason_told_by_its_strongest_member() -> None:
    row = row_of([0.1, 0.2, 0.25, 0.0, 0.0], [2, 12, 0.3, 0, 1], FEATURES)
    assert (row["reason_1"]["family"], row["reason_1"]["feature"]) == ("payments", "days_overdue_max")
    assert row["reason_1"]["points"] == pytest.approx(0.3)
    assert row["reason_1"]["sentence_en"] == "Days the longest unpaid invoice is overdue: 12 (typical 0)"
    assert row["reason_1"]["sentence_ar"] == "أيام تأخر أقدم فاتورة غير مسددة: 12 (المعتاد 0)"
    assert row["reason_2"]["family"] == "usage"
    assert row["reason_3"] is None


def test_segment_country_and_channel_score_and_are_never_a_reason() -> None:
    row = row_of([0.0, 0.0, 0.01, 0.0, 0.9], [0, 0, 0.3, 0, 1], FEATURES)
    named = [
        row[name]["feature"] for name in ("reason_1", "reason_2", "reason_3", "protective_1") if row[name]
    ]
    assert named == ["seat_use"]
    assert row["contributions"][-1]["points"] == 0.9
    silent = {feature.name for feature in account_features() if not feature.is_reason}
    assert {"segment", "country_group", "acquisition_channel"} <= silent


def test_less_than_a_point_is_no_reason() -> None:
    row = row_of([0.02, 0.0, 0.009, -0.009, 0.0], [2, 0, 0.3, 1, 0], FEATURES)
    assert (row["reason_1"]["feature"], row["reason_2"], row["protective_1"]) == (
        "failed_payments_90",
        None,
        None,
    )
    assert [part["points"] for part in row["contributions"]] == [0.02, 0.0, 0.009, -0.009, 0.0]


def test_what_does_a_twentieth_of_the_strongest_reason_is_none_beside_it() -> None:
    row = row_of([0.5, 0.0, 0.03, 0.0, 0.0], [2, 0, 0.3, 0, 0], FEATURES)
    assert (row["reason_1"]["family"], row["reason_2"]) == ("payments", None)
    row = row_of([0.2, 0.0, 0.03, 0.0, 0.0], [2, 0, 0.3, 0, 0], FEATURES)
    assert [row[name]["family"] for name in ("reason_1", "reason_2")] == ["payments", "usage"]


def test_a_gap_speaks_as_a_gap() -> None:
    row = row_of([0.0, 0.0, 0.2, 0.0, 0.0], [0, 0, np.nan, 0, 0], FEATURES)
    assert row["reason_1"]["value"] is None
    assert row["reason_1"]["sentence_key"] == "seat_use.null"
    assert "No usage feed" in row["reason_1"]["sentence_en"]
    assert "لا بيانات استخدام" in row["reason_1"]["sentence_ar"]


def test_what_protects_is_told_and_categories_have_words_in_both_languages() -> None:
    row = row_of([0.0, 0.0, -0.2, 0.1, 0.0], [0, 0, 0.9, 1, 0], FEATURES)
    assert (row["protective_1"]["feature"], row["protective_1"]["direction"]) == ("seat_use", "lowers")
    assert row["reason_1"]["sentence_en"] == "Pays by bank transfer (typical card)"
    assert row["reason_1"]["sentence_ar"] == "وسيلة الدفع تحويل بنكي (المعتاد بطاقة)"


def test_a_value_reads_unlike_the_typical_one_where_it_is() -> None:
    row = row_of([0.0, 0.0, 0.2, 0.0, 0.0], [0, 0, 0.603, 0, 0], FEATURES)
    assert row["reason_1"]["sentence_en"] == "60.3% of seats in use (typical 60.0%)"
    shown = [figure(2.0, "count", "EUR", {}, more_digits=more) for more in (0, 1)]
    assert shown == ["2", "2.0"]
    assert figure(123_456, "money", "EUR", {"EUR": 2}, more_digits=2) == "1,234.56 EUR"


@pytest.mark.parametrize("features", [account_features(), features_of()])
def test_sentences_need_no_plural_of_their_figure(features: tuple[Feature, ...]) -> None:
    """A count of one reads as well as any other: the figure comes last, and no noun has to agree with it."""
    for feature in features:
        if feature.unit in ("count", "days", "months", "hours", "bp") and feature.name not in OF_TWELVE:
            assert feature.template_en.endswith(": {value} (typical {typical})"), feature.name
            assert feature.template_ar.endswith(": {value} (المعتاد {typical})"), feature.name


OF_TWELVE = {"month_of_year", "active_months"}
"""Told as one or so many of a number that is always the same."""


def test_timing_is_a_reason_of_its_own() -> None:
    row = row_of([0.0] * 5 + [0.3], [0, 0, 0.6, 0, 0, 20], (*FEATURES, TIMING))
    assert row["reason_1"]["theme"] == "timing"
    assert row["reason_1"]["sentence_en"] == "Days to the decision point: 20 (typical 200)"


def test_amounts_of_unlike_currencies_are_features_in_the_reporting_one() -> None:
    amount = next(one for one in features_of() if one.name == "amount_90")
    frame = pl.DataFrame({"currency": ["GBP", "KWD", "XAU", "GBP"], "amount_90": [1_000, 2_000, 5, None]})
    rates = {"GBP": Fraction(1), "KWD": Fraction("0.25")}
    common = in_reporting_currency(frame, [amount], rates)
    assert common["amount_90"].to_list() == [1_000.0, 500.0, None, None]
    # nothing to make common: all in the reporting currency, or all in one that has no rate
    for alike in (frame.filter(pl.col("currency") == "GBP"), frame.filter(pl.col("currency") == "XAU")):
        assert in_reporting_currency(alike, [amount], rates).equals(alike)
    told = Teller([amount], {"GBP": 2, "XAU": 0}, {}, {"KWD": "GBP", "GBP": "GBP"})
    shown = [told.shown(amount, value, code, "en") for value, code in ((500.0, "KWD"), (5.0, "XAU"))]
    assert shown == ["5 GBP", "5 XAU"]
