"""An input that tells leavers apart enters a model, one that does not stays out, whatever its form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_hazard import panel_of

from churn_model.hazard import Settings, fit_hazards
from churn_model.matrix import numbers
from churn_model.model import AdditiveModel
from churn_model.screening import telling


def world(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Eight inputs: a line, a band in the middle, a gap that tells, and five that tell nothing, one of them
    always the same; and who leaves."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 8))
    x[random.random(rows) < 0.2, 2] = np.nan
    x[random.random(rows) < 0.2, 4] = np.nan
    x[:, 5] = random.integers(0, 3, rows)
    x[:, 6] = 1.0
    risk = 0.02 + 0.05 * (x[:, 0] > 0.5) + 0.05 * (np.abs(x[:, 1]) < 0.3) + 0.06 * np.isnan(x[:, 2])
    return x, np.flatnonzero(random.random(rows) < risk)


@pytest.mark.parametrize("seed", range(5))
def test_lines_bands_and_gaps_tell_and_noise_does_not(seed: int) -> None:
    x, leavers = world(6_000, seed)
    assert telling(x, leavers).tolist() == [True, True, True, *[False] * 5]


def test_with_few_leavers_only_what_is_plain_enters() -> None:
    x, leavers = world(6_000, 9)
    assert not telling(x, leavers[:3]).any()


def few_in_pain(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of complaints, 1.4 of everybody and 2.8 of one leaver in eight; 200 leavers of 20,000 rows."""
    random = np.random.default_rng(seed)
    counts = random.poisson(1.4, 20_000).astype(np.float64)
    leavers = np.arange(200)
    counts[:25] = random.poisson(4.2, 25)
    return counts[:, None], leavers


def test_what_a_few_had_shows_in_its_direction_and_in_no_other() -> None:
    found = {1: 0, 0: 0, -1: 0}
    for seed in range(20):
        counts, leavers = few_in_pain(seed)
        x = np.column_stack([counts, np.random.default_rng(seed).normal(size=(len(counts), 69))])
        for sign in found:
            found[sign] += telling(x, leavers, [sign, *[0] * 69])[0]
    assert found[1] > found[0] + 3
    assert found[-1] <= found[0]


@pytest.mark.parametrize("seed", range(3))
def test_ranks_too_let_a_useless_input_in_in_one_model_of_twenty(seed: int) -> None:
    random = np.random.default_rng(seed)
    passed = 0
    for _ in range(40):
        x = random.poisson(0.3, (3_000, 10)).astype(np.float64)
        passed += telling(x, random.choice(3_000, 150, replace=False), [1, -1] * 5).any()
    assert passed <= 6  # of 40; more than six in one case of a hundred


def test_hazards_leave_out_what_tells_nothing_and_count_a_leaver_once() -> None:
    """A customer's end stands in a dozen month ends: repeated so often, any noise would seem to tell."""
    x, leavers = world(6_000, 2)
    days = np.full(len(x), np.nan)
    days[leavers] = 20.0 + 30 * (leavers % 3)
    once = panel_of(days.tolist(), ["voluntary"] * len(x), [90.0] * len(x))
    times = np.repeat(np.arange(len(x)), 3)
    panel = replace(once, x=x, inputs=numbers([f"f{j}" for j in range(8)])).rows(times)
    model = fit_hazards(panel, Settings("additive_hgb", rounds=40, cuts=(30.0, 60.0, 90.0), screens=True))
    voluntary = model.models[0]
    assert isinstance(voluntary, AdditiveModel)
    moves = np.ptp(voluntary.contributions(np.column_stack([x, np.zeros(len(x))])), axis=0)
    assert (moves[:3] > 0.1).all()
    assert (moves[3:8] == 0).all()
