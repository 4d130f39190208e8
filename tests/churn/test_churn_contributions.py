"""Many rows at once say what one row at a time says: logits, points, leading groups and their members."""

from __future__ import annotations

import numpy as np
import pytest

from churn_model.contributions import (
    BLOCK,
    NONE,
    RAISING,
    groups_of,
    leading,
    score_and_tell,
    tables_of,
)
from churn_model.model import AdditiveModel, Spline, Steps, blend, sigmoid

NAMES = ("a", "b", "c", "d", "e")
THEMES = ("rhythm", "money", "rhythm", "context", "money")
KNOTS = (0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 2.0, 2.0)


def model() -> AdditiveModel:
    """Every form of a term: steps, a spline, both in one feature, a feature without one."""
    steps = AdditiveModel(
        NAMES,
        0.3,
        (
            ((1.0, Steps((0.5, 1.0), (-0.4, 0.1, 0.7), 0.9)),),
            ((1.0, Steps((), (0.2,), -0.3)),),
            ((1.0, Steps((1.5,), (0.0, -0.8), 0.05)),),
            (),
            ((1.0, Steps((0.2, 0.4, 0.6), (0.0, 0.3, -0.2, 0.1), 0.0)),),
        ),
    )
    spline = Spline(KNOTS, (0.5, -0.2, 0.1, 0.4, -0.6), 0.15)
    return blend([steps, AdditiveModel(NAMES, -0.1, tuple(((1.0, spline),) for _ in NAMES))])


def rows(count: int, seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    x = np.round(random.normal(1.0, 1.0, (count, len(NAMES))), 1)  # rounded: values on the bounds occur
    x[random.random(x.shape) < 0.15] = np.nan
    x[0] = [np.inf, -np.inf, 0.5, 1.5, 0.2]
    return x


def test_tables_add_up_to_what_the_model_says() -> None:
    x, reference = rows(500), np.array([1.0, np.nan, 0.5, 1.0, 0.3])
    made = tables_of(model(), reference)
    apart = model().contributions(x) - model().contributions(reference[None, :])
    assert np.abs(made.contributions(x) - apart.T).max() < 1e-12
    assert np.abs(made.base_logit + made.contributions(x).sum(axis=0) - model().logit(x)).max() < 1e-12


@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK + 1])
def test_blocks_of_rows_change_nothing(count: int) -> None:
    x = rows(count)
    told = score_and_tell(model(), x, np.full(5, 1.0), groups_of(THEMES), -0.2)
    assert np.abs(told.logit - (model().logit(x) - 0.2)).max() < 1e-12
    assert np.array_equal(told.p, sigmoid(told.logit))


def one_by_one(points: np.ndarray, contributions: np.ndarray, is_null: np.ndarray) -> list[list[object]]:
    """The same ranking in plain Python, for one row: (theme, feature, contribution, points), at most 4."""
    themes = list(dict.fromkeys(THEMES))
    members = {theme: [j for j, name in enumerate(THEMES) if name == theme] for theme in themes}
    total = {theme: sum(points[j] for j in members[theme]) for theme in themes}
    speaking = [theme for theme in themes if theme != "context"]

    def told(theme: str) -> list[object]:
        sign = 1 if total[theme] >= 0 else -1
        part = [j for j in members[theme] if sign * points[j] > 1e-9]
        known = [j for j in part if not is_null[j]] or part
        strongest = max(known, key=lambda j: sign * points[j])
        return [theme, strongest, sum(contributions[j] for j in members[theme]), total[theme]]

    raising = sorted((t for t in speaking if total[t] > 1e-9), key=lambda t: -total[t])[:RAISING]
    lowering = [t for t in speaking if total[t] < -1e-9]
    found = [told(theme) for theme in raising]
    return [*found, *([told(min(lowering, key=lambda t: total[t]))] if lowering else [])]


def test_leading_groups_are_those_found_one_by_one() -> None:
    x = rows(400)
    groups = groups_of(THEMES, silent=[name == "context" for name in THEMES])
    reference = np.array([1.0, 0.0, 0.5, 1.0, 0.3])
    told = score_and_tell(model(), x, reference, groups, -0.2)
    made = tables_of(model(), reference)
    contributions = made.contributions(x)
    total = contributions.sum(axis=0)
    points = contributions * ((told.p - told.p_reference) / total)
    seen: set[object] = set()
    for i in range(len(x)):
        lead = told.leading
        found = [
            [groups.names[lead.group[i, k]], lead.feature[i, k], lead.contribution[i, k], lead.points[i, k]]
            for k in range(RAISING + 1)
            if lead.group[i, k] != NONE
        ]
        expected = one_by_one(points[:, i], contributions[:, i], np.isnan(x[i]))
        assert [row[:2] for row in found] == [row[:2] for row in expected]
        assert [value for row in found for value in row[2:]] == pytest.approx(
            [value for row in expected for value in row[2:]], abs=1e-12
        )
        seen.update(row[0] for row in found)
    assert seen == {"rhythm", "money"}


def test_a_group_is_told_by_a_member_that_has_a_part_in_it() -> None:
    groups = groups_of(["use", "use", "plan", "plan"], silent=[False, False, True, False])
    points = np.array([[0.0, -0.1], [0.3, 0.3], [0.2, 0.2], [0.0, -0.1]])
    is_null = np.array([[False, False], [True, True], [False, False], [False, False]])
    lead = leading(points, points, is_null, groups)
    # the null one moved the score: the other is as usual, or speaks for staying; and of the plan nothing but
    # what may not be named
    assert lead.feature[:, 0].tolist() == [1, 1]
    assert lead.points[:, 0].tolist() == pytest.approx([0.3, 0.2])
    assert lead.group[:, 1].tolist() == [NONE, NONE]


def test_points_of_all_groups_add_up_to_the_difference_from_the_reference() -> None:
    x, groups = rows(300), groups_of([str(j) for j in range(5)])
    told = score_and_tell(model(), x, np.full(5, 1.0), groups)
    contributions = tables_of(model(), np.full(5, 1.0)).contributions(x)
    points = contributions * ((told.p - told.p_reference) / contributions.sum(axis=0))
    assert np.abs(points.sum(axis=0) - (told.p - told.p_reference)).max() < 1e-9
    lead = leading(points, contributions, np.isnan(x).T, groups)
    assert np.array_equal(lead.group, told.leading.group)


def test_a_customer_who_is_the_reference_has_no_reason() -> None:
    reference = np.array([1.0, 0.4, 0.5, 1.0, 0.3])
    told = score_and_tell(model(), reference[None, :], reference, groups_of(THEMES), 0.7)
    assert (told.leading.group == NONE).all()
    assert told.p[0] == pytest.approx(told.p_reference)


def test_another_probability_than_the_sigmoid_may_be_given() -> None:
    """The chance to be gone after three steps of a hazard."""

    def after_three(logit: np.ndarray) -> np.ndarray:
        return 1 - (1 - sigmoid(logit)) ** 3

    x = rows(50)
    told = score_and_tell(model(), x, np.full(5, 1.0), groups_of(NAMES), probability=after_three)
    assert np.abs(told.p - after_three(model().logit(x))).max() < 1e-12


def test_groups_keep_the_order_of_their_first_feature() -> None:
    groups = groups_of(THEMES)
    assert groups.names == ("rhythm", "money", "context")
    assert [list(groups.members(g)) for g in range(3)] == [[0, 2], [1, 4], [3]]
