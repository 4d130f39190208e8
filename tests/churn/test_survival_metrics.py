"""Figures of survival curves on cases small enough to work out on paper."""

from __future__ import annotations

import numpy as np
import pytest

from churn_model.survival_metrics import (
    auc_at,
    brier_at,
    harrell_c,
    integrated_brier,
    survival_curve,
    uno_c,
    watched_curve,
)

# Five customers: left at 1, last seen at 2, left at 2, last seen at 3, left at 4.
TIME = np.array([1.0, 2.0, 2.0, 3.0, 4.0])
EVENT = np.array([True, False, True, False, True])


def test_being_watched_falls_where_the_watching_ends_and_after_those_who_left_that_day() -> None:
    watched = watched_curve(TIME, EVENT)
    # at 2: four at risk, one leaves first, so 1 of 3 is lost; at 3: two at risk, 1 of 2 is lost
    assert watched.times.tolist() == [2.0, 3.0]
    assert watched.values == pytest.approx([2 / 3, 1 / 3])
    assert watched.at(np.array([1.0, 2.0, 2.5, 9.0])) == pytest.approx([1.0, 2 / 3, 2 / 3, 1 / 3])
    assert watched.before(np.array([2.0, 3.0, 4.0])) == pytest.approx([1.0, 2 / 3, 1 / 3])


def test_who_enters_late_is_at_risk_only_from_then_on() -> None:
    late = watched_curve(TIME, EVENT, entry=np.array([0.0, 0.0, 0.0, 2.0, 0.0]))
    # the fourth is not there at 2: three at risk, one leaves first, so 1 of 2 is lost
    assert late.values == pytest.approx([1 / 2, 1 / 4])


def test_harrells_c_counts_the_pairs_in_which_one_is_known_to_have_left_first() -> None:
    # Pairs: (1st: all four others), (3rd left at 2: the 2nd last seen that day, the 4th, the 5th) = 7.
    # Risks .9, .1, .5, .5, .6: first wins 4; third beats the 2nd, ties with the 4th, loses to the 5th.
    risk = np.array([0.9, 0.1, 0.5, 0.5, 0.6])
    assert harrell_c(TIME, EVENT, risk) == pytest.approx((4 + 1 + 0.5) / 7)


def test_two_who_leave_the_same_day_are_no_pair() -> None:
    time, event = np.array([1.0, 1.0, 2.0]), np.array([True, True, False])
    assert harrell_c(time, event, np.array([1.0, 0.0, 0.5])) == pytest.approx(1 / 2)


def test_without_a_pair_there_is_no_c() -> None:
    assert np.isnan(harrell_c(np.array([1.0, 2.0]), np.array([False, False]), np.array([0.1, 0.2])))


def test_unos_c_weighs_a_pair_by_how_many_were_watched_so_long() -> None:
    # G(1-) = 1, G(2-) = 1, G(4-) = 1/3; the 5th has no one after it. With another order of times:
    time, event = np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, True, True, False])
    watched = watched_curve(time, event)  # lost 1 of 4 at 1: G = 3/4 from then on
    risk = np.array([0.0, 0.9, 0.2, 0.4])
    # pairs of the 2nd (x2, both right) weigh (4/3)^2, the pair of the 3rd (wrong) weighs (4/3)^2
    assert uno_c(time, event, risk, watched) == pytest.approx(2 / 3)
    assert uno_c(time, event, risk, watched, until=2.0) == pytest.approx(1.0)
    time, event = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, True, False])
    watched = watched_curve(time, event)  # lost 1 of 3 at 2: G(1-) = 1, G(3-) = 2/3
    risk = np.array([0.5, 0.9, 0.2, 0.4])
    # the 1st: right against the 3rd and the 4th, wrong against the 2nd; the 3rd: wrong, weight 9/4
    assert uno_c(time, event, risk, watched) == pytest.approx(2 / (3 + 9 / 4))


def test_the_brier_score_at_a_time_leaves_out_who_was_lost_and_weighs_the_rest() -> None:
    watched = watched_curve(TIME, EVENT)
    survival = np.array([0.2, 0.9, 0.4, 0.7, 0.8])
    # by 2: 1st and 3rd have left (G before = 1 each); the 4th and 5th are there (G(2) = 2/3); 2nd is lost
    expected = (0.2**2 + 0.4**2 + (0.3**2 + 0.2**2) * 3 / 2) / 5
    assert brier_at(TIME, EVENT, survival, 2.0, watched) == pytest.approx(expected)


def test_without_anyone_lost_the_brier_score_is_the_plain_one() -> None:
    time, event = np.array([1.0, 2.0, 3.0]), np.ones(3, dtype=bool)
    survival = np.array([0.3, 0.6, 0.9])
    plain = (0.3**2 + 0.6**2 + 0.1**2) / 3
    assert brier_at(time, event, survival, 2.0, watched_curve(time, event)) == pytest.approx(plain)


def test_the_integrated_brier_score_is_the_mean_height_under_the_trapezoids() -> None:
    time, event = np.array([1.0, 2.0, 4.0]), np.ones(3, dtype=bool)
    watched = watched_curve(time, event)
    survival = np.array([[0.5, 0.2, 0.1], [0.8, 0.4, 0.3], [1.0, 0.9, 0.7]])
    at = [
        (0.5**2 + 0.2**2 + 0.0**2) / 3,  # time 1: the first has left
        (0.2**2 + 0.4**2 + 0.1**2) / 3,  # time 2: two have left
        (0.1**2 + 0.3**2 + 0.3**2) / 3,  # time 3: the same two
    ]
    expected = ((at[0] + at[1]) / 2 + (at[1] + at[2]) / 2) / 2
    assert integrated_brier(time, event, survival, [1.0, 2.0, 3.0], watched) == pytest.approx(expected)
    with pytest.raises(ValueError, match="two times"):
        integrated_brier(time, event, survival, [1.0], watched)


def test_the_auc_at_a_time_weighs_who_left_by_how_many_were_watched_so_long() -> None:
    time = np.array([1.0, 1.5, 2.0, 3.0, 4.0])
    event = np.array([True, False, True, False, True])
    watched = watched_curve(time, event)  # lost 1 of 4 at 1.5: G(1-) = 1, G(2-) = 3/4
    risk = np.array([0.9, 0.0, 0.3, 0.3, 0.1])
    # by 2: the 1st (weight 1) beats both; the 3rd (4/3) ties with one and beats the other; the 2nd is lost
    expected = (1 * 2 + 4 / 3 * 1.5) / ((1 + 4 / 3) * 2)
    assert auc_at(time, event, risk, 2.0, watched) == pytest.approx(expected)
    assert np.isnan(auc_at(time, event, risk, 0.5, watched))


@pytest.mark.parametrize("seed", range(5))
def test_pairs_counted_in_order_are_those_counted_one_by_one(seed: int) -> None:
    """C and AUC with ties in time and in risk and with late entries, pair by pair from their definitions."""
    random = np.random.default_rng(seed)
    rows = 60
    time = random.integers(1, 12, rows).astype(float)
    entry = np.where(random.random(rows) < 0.4, np.floor(time * random.random(rows)), 0.0)
    event, risk = random.random(rows) < 0.6, random.integers(0, 6, rows).astype(float)
    watched = watched_curve(time, event, entry)
    right = total = weighed_right = weighed_total = 0.0
    for i in range(rows):
        for j in range(rows):
            outlived = time[j] > time[i] or (time[j] == time[i] and not event[j] and i != j)
            if event[i] and outlived and entry[j] < time[i]:
                wins = (risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j])
                weight = 1 / watched.before(time[[i]])[0] ** 2 if time[i] <= 8 else 0.0
                right, total = right + wins, total + 1
                weighed_right, weighed_total = weighed_right + weight * wins, weighed_total + weight
    assert harrell_c(time, event, risk, entry) == pytest.approx(right / total)
    assert uno_c(time, event, risk, watched, 8.0, entry) == pytest.approx(weighed_right / weighed_total)
    t = 5.0
    right = total = 0.0
    for i in range(rows):
        for j in range(rows):
            if event[i] and time[i] <= t < time[j] and max(entry[i], entry[j]) < t:
                of_i = watched.at(entry[[i]])[0] / watched.before(time[[i]])[0]
                weight = of_i * watched.at(entry[[j]])[0]
                right += weight * ((risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
                total += weight
    assert auc_at(time, event, risk, t, watched, entry) == pytest.approx(right / total)


def test_a_score_given_the_entry_is_over_those_who_had_entered() -> None:
    time, event = np.array([2.0, 3.0, 4.0, 4.0]), np.array([True, False, True, True])
    entry = np.array([0.0, 0.0, 1.0, 3.0])
    watched = watched_curve(time, event, entry)  # at 3: the 2nd and 3rd are there, one is lost: G = 1/2
    survival = np.array([0.4, 0.7, 0.8, 0.9])
    # before 2.5 three have entered: the 1st has left (G = 1), the 2nd and 3rd are there (G(2.5) = 1)
    expected = (0.4**2 + 0.3**2 + 0.2**2) / 3
    assert brier_at(time, event, survival, 2.5, watched, entry) == pytest.approx(expected)


def test_the_curve_of_those_still_there_by_hand() -> None:
    curve = survival_curve(TIME, EVENT)
    # at 1: 1 of 5 leaves, at 2: 1 of 4, at 4 the only one left
    assert curve.at(np.array([0.5, 1.0, 2.0, 3.0, 4.0])) == pytest.approx([1.0, 0.8, 0.6, 0.6, 0.0])
