"""1,000,000 accounts x 40 features scored and explained, beside bare `predict_proba` of the same model.

Both sides in one run, on one thread, on the same rows: scikit-learn's boosted model in blocks of 10,000
rows, without any reason; and its tables with season offset, the three leading reasons and the protective one
of every row. Then the training of that model on 500,000 panel rows. The data are drawn at random: they prove
speed alone."""

from __future__ import annotations

import sys

import numpy as np
from clock import cost_of, forget_peak, median, peak_mb, report
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from churn_model.contributions import BLOCK, Told, groups_of, score_and_tell
from churn_model.dataset import Feature
from churn_model.explain import explain, reasons, reference_of
from churn_model.model import fit_additive_boosting

ACCOUNTS, FEATURES, LEARNED, PANEL = 1_000_000, 40, 100_000, 500_000
NAMES = [f"feature_{n:02d}" for n in range(FEATURES)]
GROUPS = groups_of([f"family_{n // 5}" for n in range(FEATURES)])
LIMIT, LIMIT_MB, LIMIT_TRAINING = 1.5, 4096, 120.0
ROUNDS = 3
OFFSET = -0.2

Column = NDArray[np.float64]


def drawn(rows: int, seed: int) -> Column:
    """Features as accounts have them: skewed amounts, counts with ties, shares; one value in ten unknown."""
    random = np.random.default_rng(seed)
    draws = (
        lambda: random.lognormal(3.0, 1.0, rows),
        lambda: random.poisson(4.0, rows).astype(np.float64),
        lambda: random.random(rows),
        lambda: random.normal(0.0, 1.0, rows),
    )
    x = np.column_stack([draws[j % len(draws)]() for j in range(FEATURES)])
    for j in range(FEATURES):
        x[random.random(rows) < 0.1, j] = np.nan
    return x


def outcomes(x: Column, seed: int) -> NDArray[np.bool_]:
    """About a tenth leave, by all of the features."""
    scaled = np.nan_to_num((x - np.nanmean(x, axis=0)) / np.nanstd(x, axis=0))
    logit = np.tanh(scaled) @ np.linspace(-0.5, 0.5, FEATURES) - 2.5
    return np.asarray(np.random.default_rng(seed).random(len(x)) < 1 / (1 + np.exp(-logit)))


def library_model(x: Column, y: NDArray[np.bool_]) -> HistGradientBoostingClassifier:
    """The model of `fit_additive_boosting` as scikit-learn's own object."""
    return HistGradientBoostingClassifier(
        learning_rate=0.03,
        max_iter=250,
        max_leaf_nodes=8,
        min_samples_leaf=40,
        l2_regularization=5.0,
        interaction_cst="no_interactions",
        early_stopping=False,
        random_state=0,
    ).fit(x, y)


def bare(library: HistGradientBoostingClassifier, x: Column) -> Column:
    """The probabilities alone."""
    blocks = range(0, len(x), BLOCK)
    return np.concatenate([library.predict_proba(x[first : first + BLOCK])[:, 1] for first in blocks])


def scoring() -> list[bool]:
    """Both sides of scoring, their agreement, and the memory of ours."""
    learned = drawn(LEARNED, seed=1)
    left = outcomes(learned, seed=2)
    library, model = library_model(learned, left), fit_additive_boosting(learned, left, NAMES)
    reference = reference_of(learned)
    accounts = drawn(ACCOUNTS, seed=3)
    told: list[Told] = []

    def explained() -> None:
        told[:] = [score_and_tell(model, accounts, reference, GROUPS, OFFSET)]

    ours, theirs, peak = [], [], 0.0
    for _ in range(ROUNDS):
        theirs.append(cost_of(lambda: bare(library, accounts)))
        forget_peak()
        ours.append(cost_of(explained))
        peak = max(peak, peak_mb())
    raw = library.decision_function(accounts[:BLOCK]) + OFFSET
    return [
        report("1M accounts scored and explained", median(ours), median(theirs), LIMIT),
        said("largest difference of the two logits", float(np.abs(raw - told[0].logit[:BLOCK]).max()), 1e-6),
        said("most memory held", peak, LIMIT_MB, "MB"),
    ]


def sentences() -> None:
    """What a page adds for the rows it shows: every contribution and the reasons in words; no limit of its
    own."""
    features = [
        Feature(
            name, "orders", name, "count", 0, "", "", "{value} (typical {typical})", "{value} ({typical})"
        )
        for name in NAMES
    ]
    rows = drawn(BLOCK, seed=6)
    model = fit_additive_boosting(rows, outcomes(rows, seed=7), NAMES)
    told, reference = explain(model, rows, reference_of(rows), OFFSET), reference_of(rows)
    cost = cost_of(lambda: reasons(told, rows, reference, features, ["EUR"] * BLOCK, {"EUR": 2}))
    print(f"reasons in words, both languages, 10,000 rows: {cost.cpu:.2f} s CPU", flush=True)


def training() -> bool:
    """A panel of half a million rows."""
    panel = drawn(PANEL, seed=4)
    left = outcomes(panel, seed=5)
    cost = cost_of(lambda: fit_additive_boosting(panel, left, NAMES))
    return said("training on 500k panel rows", cost.cpu, LIMIT_TRAINING, "s CPU")


def main() -> int:
    claims = scoring()
    sentences()
    claims.append(training())
    return 0 if all(claims) else 1


def said(claim: str, value: float, limit: float, unit: str = "") -> bool:
    """One line of a figure that has a limit of its own."""
    verdict = "ok" if value <= limit else "short"
    print(f"{claim}: {value:,.3g} {unit} | limit {limit:,.6g} {unit} | {verdict}", flush=True)
    return value <= limit


if __name__ == "__main__":
    with threadpool_limits(limits=1):
        sys.exit(main())
