"""Given scores beside what happened, drift beside training, and when an alarm rings: figures worked out by
hand."""

from __future__ import annotations

import json
import math
from datetime import date

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from churn_model.model import AdditiveModel, Spline, Steps
from churn_model.monitoring import (
    COLUMNS,
    Bins,
    Measure,
    Stability,
    alarm_text,
    auc_with_error,
    bins_from_json,
    bins_of,
    closed_measures,
    drift_measures,
    drift_of,
    measure_given,
    ratio,
    rows_of,
    stability,
)
from churn_model.run import read_anew
from churn_model.withholding import withheld


def repeated(left: int, customers: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat([1.0, 0.0], [left, customers - left]), np.full(customers, p)


def test_auc_and_its_error_by_hand() -> None:
    """Leavers .8, .6, .4 and stayers .7, .3: of 6 pairs 4 are ranked right. Structural components of the
    leavers are 1, 1/2, 1/2 (variance 1/12), of the stayers 1/3, 1 (variance 2/9)."""
    y, p = np.array([1.0, 1, 1, 0, 0]), np.array([0.8, 0.6, 0.4, 0.7, 0.3])
    area, error = auc_with_error(y, p)
    assert area == pytest.approx(4 / 6)
    assert error == pytest.approx(math.sqrt((1 / 12) / 3 + (2 / 9) / 2))


def test_ties_count_half() -> None:
    assert auc_with_error(np.array([1.0, 1, 0, 0]), np.full(4, 0.3))[0] == 0.5


@pytest.mark.parametrize(("y", "expected"), [([1.0, 1.0], (None, None)), ([0.0, 0.0], (None, None))])
def test_a_day_on_which_all_left_or_all_stayed_has_no_auc(
    y: list[float], expected: tuple[None, None]
) -> None:
    assert auc_with_error(np.array(y), np.array([0.1, 0.2])) == expected


@pytest.mark.parametrize(
    ("left", "customers", "p", "is_alarm"),
    [
        (200, 1000, 0.2, False),  # as expected
        (240, 1000, 0.2, False),  # ratio 1.2 is within, though the interval excludes 1
        (260, 1000, 0.2, True),  # ratio 1.3, interval 1.17 to 1.44
        (13, 50, 0.2, False),  # ratio 1.3 again, but of 50: interval .80 to 1.98
        (150, 1000, 0.2, True),  # ratio .75
        (160, 1000, 0.2, False),  # ratio .8 is the limit itself
        (250, 1000, 0.2, False),  # ratio 1.25 as well
    ],
)
def test_the_alarm_of_observed_over_expected(left: int, customers: int, p: float, is_alarm: bool) -> None:
    measure = ratio(*repeated(left, customers, p), "all")
    assert (measure.is_alarm, measure.is_over_limit) == (is_alarm, is_alarm)
    assert (measure.observed, measure.expected) == (left, pytest.approx(customers * p))


def test_the_interval_of_the_ratio_is_wilsons_over_the_mean_probability() -> None:
    measure = ratio(*repeated(81, 263, 0.25), "all")
    assert measure.value == pytest.approx(81 / 263 / 0.25)
    assert (measure.low, measure.high) == pytest.approx((0.2553 / 0.25, 0.3662 / 0.25), abs=4e-4)


def test_a_closed_day_is_measured_by_band_and_cause() -> None:
    scores = pl.DataFrame(
        {
            "customer_id": ["a", "b", "c", "d", "e", "f"],
            "p_90": [0.9, 0.6, 0.3, 0.1, 0.1, 0.5],
            "band_fixed": ["high", "high", "watch", "low", "low", "high"],
            "p_voluntary_90": [0.4, 0.6, 0.2, 0.1, 0.05, 0.5],
            "p_involuntary_90": [0.5, 0.0, 0.1, 0.0, 0.05, 0.0],
        }
    )
    outcomes = pl.DataFrame(
        {
            "customer_id": ["a", "b", "c", "d", "e", "f", "unknown"],
            "left": [True, False, True, False, False, None, True],
            "cause": ["involuntary", None, "voluntary", None, None, None, "voluntary"],
        }
    )
    found = {(m.measure, m.subject): m for m in closed_measures(scores, outcomes)}
    assert found["auc", "all"].value == pytest.approx(5 / 6)  # of 2 x 3 pairs only (c, b) is wrong
    assert found["brier", "all"].value == pytest.approx((0.01 + 0.36 + 0.49 + 0.01 + 0.01) / 5)
    assert found["ece", "all"].value == pytest.approx((0.1 + 0.6 + 0.7 + 0.1 + 0.1) / 5)
    high = found["observed_over_expected", "band:high"]
    assert (high.customers, high.observed, high.expected) == (2, 1, pytest.approx(1.5))
    by_choice = found["observed_over_expected", "cause:voluntary"]
    assert (by_choice.observed, by_choice.expected) == (1, pytest.approx(1.35))
    by_payment = found["observed_over_expected", "cause:involuntary"]
    assert (by_payment.observed, by_payment.expected) == (1, pytest.approx(0.65))
    assert {m.customers for m in found.values() if m.subject == "all"} == {5}


def test_scores_of_repeat_trade_have_no_causes_and_rules_no_probabilities() -> None:
    scores = pl.DataFrame({"customer_id": ["a", "b"], "p_90": [0.4, 0.2], "band_fixed": ["watch", "watch"]})
    outcomes = pl.DataFrame({"customer_id": ["a", "b"], "left": [True, False]})
    assert {m.subject for m in closed_measures(scores, outcomes)} == {"all", "band:watch"}
    without = scores.with_columns(p_90=pl.lit(None, pl.Float64))
    assert closed_measures(without, outcomes) == []


def test_every_given_day_that_has_closed_is_measured_by_commitment() -> None:
    days = [date(2026, 1, 31), date(2026, 2, 28)]
    scores = pl.DataFrame(
        [
            (customer, day, "m1", kind, p)
            for day in days
            for customer, kind, p in (("a", "monthly", 0.5), ("b", "term", 0.25), ("c", "term", 0.25))
        ],
        schema=["customer_id", "as_of", "model_id", "commitment_class", "p_90"],
        orient="row",
    )
    outcomes = pl.DataFrame(
        {
            "customer_id": ["a", "b", "c", "a"],
            "as_of": [*[days[0]] * 3, days[1]],
            "left": [True, False, None, None],
        }
    )
    rows = measure_given(scores, outcomes, measured_on=date(2026, 5, 31), horizon_days=90)
    ratios = rows.filter(measure="observed_over_expected").select(
        "commitment_class", "as_of", "customers", "observed", "expected"
    )
    assert ratios.rows() == [
        ("all", days[0], 2, 1, 0.75),
        ("monthly", days[0], 1, 1, 0.5),
        ("term", days[0], 1, 0, 0.25),
    ]
    assert measure_given(scores, outcomes.clear(), measured_on=days[1], horizon_days=90).is_empty()


# Drift.


def test_training_is_cut_into_ten_bins_of_equal_count_and_one_of_nulls() -> None:
    bins = bins_of(np.r_[np.arange(1.0, 101.0), [np.nan] * 7])
    assert bins.edges == (10, 20, 30, 40, 50, 60, 70, 80, 90)
    assert bins.counts == (10,) * 10 + (7,)
    assert bins_from_json(json.loads(json.dumps(bins.to_json()))) == bins


@pytest.mark.parametrize(
    ("values", "edges", "counts"),
    [
        ([0.0] * 95 + [1.0] * 5, (0.0,), (95, 5, 0)),  # a rare value keeps a bin of its own
        ([3.0] * 5, (), (5, 0)),
        ([np.nan] * 5, (), (0, 5)),
    ],
)
def test_ties_make_fewer_bins(values: list[float], edges: tuple[float, ...], counts: tuple[int, ...]) -> None:
    assert bins_of(np.array(values)) == Bins(edges, counts)


def test_the_stability_index_by_hand() -> None:
    """Two bins and nulls that occur on neither side: training 50 and 50, now 30 and 70."""
    found = stability(Bins((0.5,), (50, 50, 0)), np.array([0.0] * 30 + [1.0] * 70))
    e, a = (50.5 / 101, 50.5 / 101), (30.5 / 101, 70.5 / 101)
    by_hand = sum((now - then) * math.log(now / then) for now, then in zip(a, e, strict=True))
    assert found.psi == pytest.approx(by_hand)
    assert found.noise == pytest.approx(norm.ppf(0.975) ** 2 * (1 / 100 + 1 / 100))
    assert not found.is_over_limit


def test_nulls_are_a_bin_of_their_own() -> None:
    bins = bins_of(np.arange(1000.0))
    broken = stability(bins, np.array([np.nan] * 500))
    assert broken.is_over_limit
    assert broken.beyond_noise == 0.0


def test_a_history_that_grows_is_no_drift_beyond_noise_and_another_unit_is() -> None:
    """Nine of ten rows of training had no year of history yet; now all have. Amounts in cents stand out."""
    amounts = np.random.default_rng(3).lognormal(5.0, 1.0, 3000)
    bins = bins_of(np.where(np.arange(3000) % 10 == 0, amounts, np.nan))
    grown, cents = stability(bins, amounts[:500]), stability(bins, amounts[:500] * 100)
    assert not grown.is_over_limit
    assert grown.beyond_noise < 0.1
    assert cents.is_over_limit
    assert cents.beyond_noise > 2


def test_more_rows_without_a_value_than_in_training_are_drift() -> None:
    """A tenth was unknown in training; now half is: (.5 - .1) ln 5 + (.5 - .9) ln (5/9), give or take a
    row."""
    bins = bins_of(np.where(np.arange(10_000) % 10 == 0, np.nan, 1.0))
    found = stability(bins, np.where(np.arange(5000) % 2 == 0, np.nan, 1.0))
    assert found.psi == pytest.approx(0.4 * math.log(5) - 0.4 * math.log(5 / 9), abs=0.005)
    assert found.is_over_limit
    assert found.beyond_noise == 0.0


def test_without_drift_the_noise_is_exceeded_once_in_twenty() -> None:
    random = np.random.default_rng(5)
    over = [
        one.psi > one.noise
        for _ in range(300)
        for one in [stability(bins_of(random.normal(size=2000)), random.normal(size=200))]
    ]
    assert 0.02 < np.mean(over) < 0.09


def test_a_company_of_thirty_accounts_does_not_drift_by_chance() -> None:
    random = np.random.default_rng(7)
    bins = bins_of(random.normal(size=400))
    found = [stability(bins, random.normal(size=30)) for _ in range(40)]
    assert sum(one.psi > 0.2 for one in found) > 20
    assert sum(one.is_over_limit for one in found) <= 6


def test_an_input_that_only_tells_the_month_is_left_out() -> None:
    x = np.column_stack([np.full(50, 12.0), np.arange(50.0)])
    bins = {"month_of_year": bins_of(np.arange(1.0, 13.0)), "mrr": bins_of(np.arange(50.0))}
    assert list(drift_of(bins, x, ["month_of_year", "mrr", "new"])) == ["mrr"]
    assert list(drift_of(bins, x, ["month_of_year", "mrr", "new"], calendar=["mrr"])) == []


@pytest.mark.parametrize(
    ("psi", "was_over", "is_over", "is_alarm"),
    [
        (0.3, True, True, True),
        (0.3, False, True, False),
        (0.2, True, False, False),
        (0.1, True, False, False),
    ],
)
def test_drift_is_an_alarm_in_the_second_run(
    psi: float, was_over: bool, is_over: bool, is_alarm: bool
) -> None:
    before = {("psi_input", "mrr")} if was_over else set()
    mrr, score = drift_measures({"mrr": Stability(psi, 0.01, 500)}, Stability(0.9, 0.01, 500), before)
    assert (mrr.is_over_limit, mrr.is_alarm) == (is_over, is_alarm)
    assert (score.measure, score.is_over_limit, score.is_alarm) == ("psi_score", True, False)


# Rows and words.


def test_measures_become_rows_of_the_table() -> None:
    keys = {"model_id": "m", "as_of": date(2026, 1, 31), "measured_on": date(2026, 5, 31)}
    rows = rows_of([ratio(*repeated(2, 10, 0.3), "all")], horizon_days=90, **keys)
    assert rows.columns == [name for name, _ in COLUMNS]
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t ({', '.join(f'{name} {kind}' for name, kind in COLUMNS)})")
        connection.execute("INSERT INTO t BY NAME SELECT * FROM rows")
        assert connection.execute("SELECT observed, expected, is_alarm FROM t").fetchall() == [
            (2, pytest.approx(3.0), False)
        ]


def test_alarms_are_told_in_both_languages() -> None:
    alarms = [
        ratio(*repeated(260, 1000, 0.2), "band:high"),
        Measure("psi_input", "mrr", 0.31, is_alarm=True),
        Measure("psi_score", "all", 0.42, is_alarm=True),
    ]
    told = [(alarm_text(alarm, "en"), alarm_text(alarm, "ar")) for alarm in alarms]
    for (english, arabic), figure in zip(told, ("1.30", "0.31", "0.42"), strict=True):
        assert english
        assert arabic
        assert figure in english
        assert figure in arabic
    assert alarm_text(ratio(*repeated(200, 1000, 0.2), "all"), "en") is None


def test_an_input_that_moves_no_score_is_not_read_anew() -> None:
    """Flat functions, alone or of either weight, leave a score as it is, however the values have moved."""
    flat, steps = Steps((), (0.0,), 0.0), Steps((1.0,), (0.0, 2.0), 0.0)
    gap, level = Steps((), (0.0,), 1.0), Spline((0.0,) * 4 + (1.0,) * 4, (0.5,) * 4, 0.5)
    bent = Spline((0.0,) * 4 + (1.0,) * 4, (0.5, 0.5, 0.5, 0.7), 0.5)
    terms = {"flat": flat, "steps": steps, "gap": gap, "level": level, "bent": bent}
    model = AdditiveModel(tuple(terms), 0.0, tuple(((1.0, one),) for one in terms.values()))
    assert model.read == {"steps", "gap", "bent"}
    moved = Stability(3.0, 0.1, 500, 3.0)
    drift = read_anew(dict.fromkeys(("flat", "steps", "level"), moved), model.read)
    assert [reason.subject for reason in withheld(date(2026, 3, 31), drift=drift)] == ["steps"]
