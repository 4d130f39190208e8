"""Figures of the test dates, calibration, and the peer from the textbook, against values made by hand."""

from __future__ import annotations

from datetime import date, timedelta

import bgnbd
import numpy as np
import polars as pl
import pytest

from churn_model import metrics
from churn_model.calibration import a_year_before, season_target, spread
from churn_model.dataset import Panel
from churn_model.figures import Prediction, figures_of, gains_of, lead_times
from churn_model.model import AdditiveModel, Steps, sigmoid
from churn_model.protocol import at_level, slope_helps

MAY, AUGUST = date(2025, 5, 31), date(2025, 8, 31)


def panel_on(days: list[date], customers: int = 4, **columns: list[object]) -> Panel:
    """The same customers on each day; columns repeat from day to day."""
    frame = pl.concat(
        pl.DataFrame(
            {"customer_id": [f"c{n}" for n in range(customers)], "as_of": [day] * customers, **columns}
        )
        for day in days
    )
    y = np.array([1.0, 0.0, 1.0, 0.0] * (len(days) * customers // 4))
    return Panel(frame, np.zeros((len(y), 1)), y)


def test_the_top_of_the_list_by_probability_times_revenue_holds_its_share_of_the_lost_revenue() -> None:
    # p x revenue: 90, 40, 5, 0; the first of ten rows is the top tenth, and it lost 100 of 100 + 50 + 10
    y = np.array([1.0, 1.0, 1.0, 0.0, *[0.0] * 6])
    p = np.array([0.9, 0.8, 0.5, 0.9, *[0.1] * 6])
    revenue = np.array([100.0, 50.0, 10.0, -5.0, *[0.0] * 6])
    assert metrics.revenue_share(y, p, revenue) == pytest.approx(100 / 160)
    assert np.isnan(metrics.revenue_share(np.zeros(10), p, revenue))


def test_figures_after_a_week_leave_out_rows_that_are_not_closed() -> None:
    panel = panel_on([MAY], churned_after_a_week=[True, False, None, True])
    figures = figures_of(panel, "any", {MAY: Prediction(np.array([0.9, 0.2, 0.1, 0.1]), True)})
    on_day = {figure.metric: figure for figure in figures if figure.test_date is not None}
    # left after a week: rows 1 and 4 of rows 1, 2 and 4; of the pairs (0.9, 0.2) and (0.1, 0.2) one is right
    assert on_day["auc_after_a_week"].value == 0.5
    assert on_day["auc_after_a_week"].customers == 3
    assert on_day["brier_after_a_week"].value == pytest.approx((0.1**2 + 0.2**2 + 0.9**2) / 3)
    assert on_day["auc"].customers == 4


def test_the_champion_gains_nothing_over_its_equal_and_the_gain_over_another_is_paired() -> None:
    panel = panel_on([MAY, AUGUST])
    good, bad = np.array([0.9, 0.1, 0.6, 0.4]), np.array([0.4, 0.6, 0.1, 0.9])
    predictions = {
        name: {day: Prediction(p, True) for day in (MAY, AUGUST)}
        for name, p in (("champion", good), ("equal", good), ("worse", bad))
    }
    gains = {(gain.candidate, gain.metric): gain for gain in gains_of(panel, "champion", predictions)}
    equal, worse = gains["equal", "auc"], gains["worse", "auc"]
    assert (equal.value, equal.low, equal.high) == (0.0, 0.0, 0.0)
    assert worse.value == pytest.approx(1.0)
    # Brier: (.01 + .01 + .16 + .16) / 4 against (.36 + .36 + .81 + .81) / 4
    assert gains["worse", "brier"].value == pytest.approx(0.585 - 0.085)


def test_lead_times_count_when_customers_came_back() -> None:
    panel = panel_on([MAY, AUGUST], days_to_next_order=[3, 8, None, 90])
    assert lead_times(panel, [MAY]) == [(1, 7, 1), (8, 30, 1), (31, 60, 0), (61, 90, 1)]
    assert lead_times(panel, [MAY, AUGUST]) == [(1, 7, 2), (8, 30, 2), (31, 60, 0), (61, 90, 2)]


def test_a_spread_model_says_the_logits_times_the_slope() -> None:
    model = AdditiveModel(("a",), -0.5, (((1.0, Steps((1.0,), (0.2, 0.7), -0.1)),),))
    x = np.array([[0.0], [2.0], [np.nan]])
    assert spread(model, 1.5).logit(x) == pytest.approx(1.5 * model.logit(x))
    assert spread(model, 1.0) is model


def test_a_year_before_is_the_nearest_closed_origin_within_half_a_month() -> None:
    panel = panel_on([date(2024, 4, 30), date(2024, 5, 31), date(2025, 4, 30)])
    assert a_year_before(panel, date(2025, 6, 9)) == date(2024, 5, 31)
    assert a_year_before(panel, date(2025, 5, 10)) == date(2024, 4, 30)
    assert a_year_before(panel, date(2025, 6, 20)) is None
    # of the year 2024 nothing is closed on this day: its ninety days end later
    early = panel_on([date(2024, 5, 31)])
    assert a_year_before(early, date(2024, 5, 31) + timedelta(days=89)) is None


def test_without_season_the_target_is_the_last_closed_rate() -> None:
    days = [date(2024, 5, 31), date(2025, 2, 28)]
    frame = pl.DataFrame({"customer_id": ["a", "b"] * 2, "as_of": [day for day in days for _ in "ab"]})
    panel = Panel(frame, np.zeros((4, 1)), np.array([1.0, 1.0, 0.0, 1.0]))
    now = date(2025, 5, 31)
    assert season_target(panel, now, with_season=False) == 0.5
    # 2 leavers a year ago: w = 2 / 52
    assert season_target(panel, now) == pytest.approx(2 / 52 * 1.0 + 50 / 52 * 0.5)


@pytest.mark.parametrize(("early", "late", "helps"), [(4.0, 4.0, True), (4.0, 1.0, False)])
def test_a_slope_is_kept_where_it_lowers_the_error_of_later_origins(
    early: float, late: float, helps: bool
) -> None:
    """Logits spread four times too wide on both origins are drawn in; if only the first ones are, the slope
    found there would harm the second."""
    days, size = [date(2024, 10, 31), date(2025, 1, 31), date(2025, 5, 31)], 3000
    times = dict(zip(days, (1.0, early, late), strict=True))
    chance = np.random.default_rng(8)
    logit = {day: chance.normal(size=size) for day in days}
    y = np.concatenate([(chance.random(size) < sigmoid(logit[day])).astype(np.float64) for day in days])
    frame = pl.DataFrame(
        {
            "customer_id": [f"c{n}" for n in range(size)] * 3,
            "as_of": [day for day in days for _ in range(size)],
        }
    )
    panel = Panel(frame, np.zeros((3 * size, 1)), y)
    rolled = {day: {"blend": at_level(times[day] * logit[day], 0.5)} for day in days[1:]}
    assert slope_helps(panel, rolled, "blend") is helps


def test_the_peer_says_what_its_authors_published() -> None:
    """Fader, Hardie and Lee's customer of the CDNOW data with 2 repeats, the last in week 30.43 of 38.86."""
    cdnow = bgnbd.BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)
    one = [np.array([value]) for value in (2.0, 30.43, 38.86)]
    assert cdnow.p_alive(*one)[0] == pytest.approx(0.7266, abs=2e-4)
    never_back = [np.array([value]) for value in (0.0, 0.0, 38.86)]
    assert cdnow.p_alive(*never_back)[0] == 1.0
    silent = (4.414 + 38.86) / (4.414 + 38.86 + 39)
    assert cdnow.p_no_order(*never_back, days=39.0)[0] == pytest.approx(silent**0.243)


def test_the_peer_finds_the_parameters_of_customers_drawn_from_it() -> None:
    truth, chance = bgnbd.BgNbd(r=0.8, alpha=60.0, a=1.0, b=3.0), np.random.default_rng(4)
    tenure = chance.uniform(100, 700, 4000)
    rate = chance.gamma(truth.r, 1 / truth.alpha, 4000)
    leaves = chance.beta(truth.a, truth.b, 4000)
    repeats, last = np.zeros(4000), np.zeros(4000)
    is_here = np.ones(4000, dtype=bool)
    clock = np.zeros(4000)
    while is_here.any():
        clock = clock + np.where(is_here, chance.exponential(1, 4000) / rate, 0)
        is_here &= clock <= tenure
        repeats += is_here
        last = np.where(is_here, clock, last)
        is_here &= chance.random(4000) >= leaves
    found = bgnbd.fit(repeats, last, tenure)
    assert found.r == pytest.approx(truth.r, rel=0.15)
    assert found.alpha == pytest.approx(truth.alpha, rel=0.2)
    assert found.a / (found.a + found.b) == pytest.approx(0.25, rel=0.15)
