"""Was last quarter's list right? Figures of given scores once their horizon has closed, drift, and alarms.

Two moments. When the labels of a scored day have closed, `closed_measures` sets its scores beside what
happened. At every run, `drift_measures` sets the run's inputs and scores beside those of training. Each
measure is one row of churn.churn_monitoring (`COLUMNS`); the alarms are these rules:

- observed / expected outside [0.8, 1.25] with its 95 % interval excluding 1;
- a population stability index over 0.2 in two runs, one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import chi2

from churn_model import metrics
from churn_model.effects import Z, wilson

Column = NDArray[np.float64]

BINS = 10
RATIO_LIMITS = (0.8, 1.25)
PSI_LIMIT = 0.2
CALENDAR = ("month_of_year", "tenure_days")
"""Inputs that tell the time of year or how long a customer has been one."""
ALL = "all"
CAUSES = ("voluntary", "involuntary")
COMMITMENT = (
    pl.when(pl.col("commitment_class") == "non_contract")
    .then(pl.lit("non_contract"))
    .otherwise(pl.lit("contract"))
    .alias("commitment")
)
"""Of a score whether it is of an account or of repeat trade: the two have labels of their own."""

COLUMNS = (
    ("model_id", "VARCHAR"),
    ("commitment_class", "VARCHAR"),  # all, monthly, term, non_contract
    ("as_of", "DATE"),  # the day of the scores
    ("measured_on", "DATE"),  # the day of the run that measured
    ("horizon_days", "BIGINT"),
    ("measure", "VARCHAR"),  # auc, brier, ece, observed_over_expected, psi_input, psi_score
    ("subject", "VARCHAR"),  # all, band:high, cause:voluntary, ...; of psi_input the feature
    ("value", "DOUBLE"),  # null where it cannot be computed, e.g. the AUC of a day on which nobody left
    ("low", "DOUBLE"),  # 95 % interval; null where none is given
    ("high", "DOUBLE"),
    ("customers", "BIGINT"),
    ("observed", "BIGINT"),  # customers that left
    ("expected", "DOUBLE"),  # sum of their probabilities
    ("is_over_limit", "BOOLEAN"),  # beyond the limit of the alarm in this run
    ("is_alarm", "BOOLEAN"),
)
"""The columns of churn.churn_monitoring: one row per model, class, as_of, measure and subject."""


@dataclass(frozen=True)
class Measure:
    """One figure; fields as `COLUMNS`."""

    measure: str
    subject: str
    value: float | None
    low: float | None = None
    high: float | None = None
    customers: int = 0
    observed: int | None = None
    expected: float | None = None
    is_over_limit: bool = False
    is_alarm: bool = False


def rows_of(
    measures: Sequence[Measure],
    *,
    model_id: str,
    as_of: date,
    measured_on: date,
    horizon_days: int,
    commitment_class: str = ALL,
) -> pl.DataFrame:
    """The measures as rows of churn.churn_monitoring."""
    types = {"VARCHAR": pl.String, "DATE": pl.Date, "BIGINT": pl.Int64, "DOUBLE": pl.Float64}
    schema = {name: types.get(data_type, pl.Boolean) for name, data_type in COLUMNS}
    common: dict[str, Any] = {
        "model_id": model_id,
        "commitment_class": commitment_class,
        "as_of": as_of,
        "measured_on": measured_on,
        "horizon_days": horizon_days,
    }
    return pl.DataFrame([common | asdict(measure) for measure in measures], schema=schema)


# When the labels of a scored day have closed.


def measure_given(
    scores: pl.DataFrame, outcomes: pl.DataFrame, *, measured_on: date, horizon_days: int
) -> pl.DataFrame:
    """Rows of churn.churn_monitoring for every model and day of given scores whose labels have closed: over
    all its customers, and for each commitment class where there are several.

    scores: rows of churn.churn_scores. outcomes: one row a customer, as-of day and where it is given
    commitment (contract, non_contract): customer_id, as_of, left (null: not known yet) and where there are
    any cause. Days without outcomes give no rows.
    """
    frames = [rows_of([], model_id="", as_of=measured_on, measured_on=measured_on, horizon_days=horizon_days)]
    known = outcomes.filter(pl.col("left").is_not_null())
    days = set(known["as_of"].unique().to_list())
    given = scores.filter(pl.col("p_90").is_not_null() & pl.col("as_of").is_in(days)).with_columns(COMMITMENT)
    for (model_id, as_of), rows in given.group_by("model_id", "as_of", maintain_order=True):
        happened = known.filter(pl.col("as_of") == as_of).drop("as_of")
        classes = rows["commitment_class"].drop_nulls().unique().sort().to_list()
        splits = [(ALL, rows)] + [
            (name, rows.filter(pl.col("commitment_class") == name)) for name in classes if len(classes) > 1
        ]
        frames += [
            rows_of(
                closed_measures(part, happened),
                model_id=str(model_id),
                as_of=as_of,
                measured_on=measured_on,
                horizon_days=horizon_days,
                commitment_class=name,
            )
            for name, part in splits
        ]
    return pl.concat(frames)


def closed_measures(scores: pl.DataFrame, outcomes: pl.DataFrame) -> list[Measure]:
    """AUC, Brier, ECE, and observed / expected of all, of each band and of each cause.

    scores: the rows of one model and as-of day, one a customer: customer_id, p_90, and where there are any
    band_fixed, p_voluntary_90, p_involuntary_90. outcomes: customer_id, left (bool, null: not known), and
    where there are any cause (`voluntary`, `involuntary`). Where both have a commitment, a score is set
    beside the outcome of its own. Customers without a known outcome are left out. Empty where nothing has
    closed.
    """
    shared = set(scores.columns) & set(outcomes.columns)
    keys = [name for name in ("customer_id", "commitment") if name in shared]
    known = scores.filter(pl.col("p_90").is_not_null()).join(
        outcomes.filter(pl.col("left").is_not_null()), on=keys, how="inner", validate="1:1"
    )
    if known.is_empty():
        return []
    y, p = known["left"].cast(pl.Float64).to_numpy(), known["p_90"].to_numpy()
    measures = [*_ranking(y, p), ratio(y, p, ALL)]
    if "band_fixed" in known.columns:
        bands = known["band_fixed"].fill_null("none").to_numpy()
        measures += [
            ratio(y[bands == band], p[bands == band], f"band:{band}")
            for band in ("high", "watch", "low")
            if (bands == band).any()
        ]
    for cause in CAUSES:
        column = f"p_{cause}_90"
        if "cause" in known.columns and column in known.columns and known[column].null_count() == 0:
            by_cause = (
                (known["left"] & (known["cause"] == cause)).fill_null(False).cast(pl.Float64).to_numpy()
            )
            measures.append(ratio(by_cause, known[column].to_numpy(), f"cause:{cause}"))
    return measures


def _ranking(y: Column, p: Column) -> list[Measure]:
    n, left, expected = len(y), int(y.sum()), math.fsum(p)
    area, spread = auc_with_error(y, p)
    squares = (p - y) ** 2
    brier, error = float(squares.mean()), float(squares.std() / math.sqrt(n))
    return [
        Measure("auc", ALL, *_around(area, spread, 0.0, 1.0), n, left, expected),
        Measure("brier", ALL, *_around(brier, error, 0.0, 1.0), n, left, expected),
        Measure("ece", ALL, metrics.ece(y, p), None, None, n, left, expected),
    ]


def _around(
    value: float | None, error: float | None, least: float, most: float
) -> tuple[float | None, float | None, float | None]:
    if value is None or error is None:
        return value, None, None
    return value, max(least, value - Z * error), min(most, value + Z * error)


def auc_with_error(y: Column, p: Column) -> tuple[float | None, float | None]:
    """The AUC and its standard error by DeLong, DeLong and Clarke-Pearson (1988); ties count half.

    Each leaver's share of stayers ranked below him, and each stayer's share of leavers ranked above, are
    structural components; the variance is the sum of their variances, each over its number. (None, None)
    where all left or all stayed; no error with fewer than two of either.
    """
    left, stayed = p[y == 1], p[y == 0]
    if not len(left) or not len(stayed):
        return None, None
    ranked_stayed, ranked_left = np.sort(stayed), np.sort(left)
    of_left = _below(ranked_stayed, left) / len(stayed)
    of_stayed = 1 - _below(ranked_left, stayed) / len(left)
    if len(left) < 2 or len(stayed) < 2:
        return float(of_left.mean()), None
    variance = of_left.var(ddof=1) / len(left) + of_stayed.var(ddof=1) / len(stayed)
    return float(of_left.mean()), math.sqrt(variance)


def _below(ranked: Column, values: Column) -> Column:
    """How many of the ranked numbers are below each value, equal ones counting half."""
    under, up_to = np.searchsorted(ranked, values, "left"), np.searchsorted(ranked, values, "right")
    return np.asarray((under + up_to) / 2)


def ratio(y: Column, p: Column, subject: str) -> Measure:
    """Leavers observed over expected (the sum of p), with Wilson's interval of the observed share over the
    mean of p. A binomial spreads at least as widely as customers of unlike p: the interval errs to the wide.
    """
    n, observed, expected = len(y), int(y.sum()), math.fsum(p)
    if n == 0 or expected <= 0:
        return Measure("observed_over_expected", subject, None, None, None, n, observed, expected)
    low, high = (n * bound / expected for bound in wilson(observed, n))
    value = observed / expected
    is_off = not RATIO_LIMITS[0] <= value <= RATIO_LIMITS[1] and not low <= 1 <= high
    return Measure(
        "observed_over_expected", subject, value, low, high, n, observed, expected, is_off, is_alarm=is_off
    )


# Drift.


@dataclass(frozen=True)
class Bins:
    """A column of training in at most ten bins of equal count. `edges`: the bins' upper bounds but the last;
    `counts`: rows in each, and last of all the rows without a value."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def count(self, x: Column) -> NDArray[np.int64]:
        """Rows of a column in each bin, and last of all those without a value."""
        return np.bincount(self.places_of(x), minlength=len(self.counts))

    def places_of(self, x: Column) -> NDArray[np.int64]:
        """The bin of each row of a column."""
        return _places(np.asarray(self.edges), x)

    def to_json(self) -> dict[str, Any]:
        return {"edges": list(self.edges), "counts": list(self.counts)}


def bins_from_json(content: Mapping[str, Any]) -> Bins:
    """The bins a manifest holds. Raises ValueError where it holds something else."""
    try:
        bins = Bins(tuple(map(float, content["edges"])), tuple(map(int, content["counts"])))
    except (KeyError, TypeError) as error:
        raise ValueError(f"these are no bins: {error!r}") from error
    if len(bins.counts) != len(bins.edges) + 2:
        raise ValueError("bins have two counts more than edges")
    return bins


def bins_of(x: Column) -> Bins:
    """Ten bins of a training column (NaN: no value) at its deciles; equal deciles make fewer bins."""
    known = x[~np.isnan(x)]
    deciles = np.quantile(known, np.arange(1, BINS) / BINS, method="inverted_cdf") if len(known) else known
    edges = np.unique(deciles)
    if len(edges) and edges[-1] == known.max():
        edges = edges[:-1]
    return Bins(tuple(map(float, edges)), tuple(map(int, _counts(edges, x))))


def _counts(edges: Column, x: Column) -> NDArray[np.int64]:
    return np.bincount(_places(edges, x), minlength=len(edges) + 2)


def _places(edges: Column, x: Column) -> NDArray[np.int64]:
    place = np.searchsorted(edges, np.nan_to_num(x), side="left")
    return np.asarray(np.where(np.isnan(x), len(edges) + 1, place), dtype=np.int64)


@dataclass(frozen=True)
class Stability:
    """`psi`: the index; `noise`: what it exceeds in one case of twenty without drift; `rows`: of the run.

    `beyond_noise`: the index over rows that have a value on either side, 0 where chance alone makes it as
    large."""

    psi: float
    noise: float
    rows: int
    beyond_noise: float = 0.0

    @property
    def is_over_limit(self) -> bool:
        return self.psi > max(PSI_LIMIT, self.noise)


def stability(bins: Bins, x: Column) -> Stability:
    """The population stability index of a run's column against training: the sum over bins of
    (a - e) ln(a / e), with a and e the shares of run and training. Rows without a value are a bin of their
    own where their share has risen; that it falls as the history grows is no drift.

    Half a row is added to each bin of either side, or an empty bin would make the index infinite. Bins empty
    on both sides do not count. Without drift the index is about chi-square (bins - 1 degrees of freedom)
    times (1 / rows of training + 1 / rows of the run) (Yurdakul 2018); its 95 % point is `noise`.
    """
    expected = np.asarray(bins.counts, dtype=np.float64)
    actual = _counts(np.asarray(bins.edges), x).astype(np.float64)
    of_values, chance = _index(expected[:-1], actual[:-1])
    beyond_noise = of_values if of_values > chance else 0.0
    if actual[-1] * expected.sum() > expected[-1] * actual.sum():
        return Stability(*_index(expected, actual), len(x), beyond_noise)
    return Stability(of_values, chance, len(x), beyond_noise)


def _index(expected: Column, actual: Column) -> tuple[float, float]:
    """The index of two columns of counts, and its 95 % point without drift."""
    if not expected.sum() or not actual.sum():
        return 0.0, math.inf
    counts = (expected + actual) > 0
    freedom = max(int(counts.sum()) - 1, 1)
    noise = float(chi2.ppf(0.95, freedom) * (1 / expected.sum() + 1 / actual.sum()))
    e, a = (side[counts] + 0.5 for side in (expected, actual))
    e, a = e / e.sum(), a / a.sum()
    return float(((a - e) * np.log(a / e)).sum()), noise


def drift_of(
    bins: Mapping[str, Bins], x: Column, names: Sequence[str], calendar: Collection[str] = ()
) -> dict[str, Stability]:
    """The stability of each input of a run: x is rows x features, `bins` those of training by feature.

    calendar: inputs that only tell the time, beside those of `CALENDAR`. A run is one day, so against years
    of training the month always seems to have drifted, and so does the age of customers; they are left out.
    """
    return {
        name: stability(bins[name], x[:, j])
        for j, name in enumerate(names)
        if name in bins and name not in (*CALENDAR, *calendar) and len(x)
    }


def drift_measures(
    inputs: Mapping[str, Stability], score: Stability | None, was_over: Collection[tuple[str, str]] = ()
) -> list[Measure]:
    """The drift of a run as measures; an alarm where the run before was over the limit too.

    was_over: (measure, subject) of that model's rows `is_over_limit` in the run before.
    """
    found = [("psi_input", name, value) for name, value in inputs.items()]
    if score is not None:
        found.append(("psi_score", ALL, score))
    return [
        Measure(
            measure,
            subject,
            value.psi,
            customers=value.rows,
            is_over_limit=value.is_over_limit,
            is_alarm=value.is_over_limit and (measure, subject) in was_over,
        )
        for measure, subject, value in found
    ]


# In words.


SUBJECTS = {
    "all": ("all customers", "كل العملاء"),
    "band:high": ("the band high", "فئة الخطر العالي"),
    "band:watch": ("the band watch", "فئة المراقبة"),
    "band:low": ("the band low", "فئة الخطر المنخفض"),
    "cause:voluntary": ("those who leave on purpose", "المغادرة الطوعية"),
    "cause:involuntary": ("those whose payment fails", "المغادرة بسبب تعثر السداد"),
}


def subject_text(subject: str, language: str) -> str:
    """Whom or what a measure is about, in a language; an input by its name."""
    return SUBJECTS.get(subject, (subject, subject))[1 if language == "ar" else 0]


def alarm_text(measure: Measure, language: str) -> str | None:
    """What an alarm says in a language, `en` or `ar`; None where there is none."""
    if not measure.is_alarm or measure.value is None:
        return None
    is_arabic = language == "ar"
    subject = subject_text(measure.subject, language)
    if measure.measure == "observed_over_expected":
        figures = f"{measure.value:.2f} [{measure.low:.2f}, {measure.high:.2f}]"
        if is_arabic:
            return (
                f"غادر من {subject} {measure.observed:,} والمتوقع {measure.expected:,.0f}: النسبة {figures}."
            )
        return (
            f"Of {subject} {measure.observed:,} left, {measure.expected:,.0f} were expected: ratio {figures}."
        )
    index = f"{measure.value:.2f}"
    if is_arabic:
        who = "انحرفت الدرجات" if measure.measure == "psi_score" else f"انحرف المدخل {subject}"
        return f"{who} عن بيانات التدريب في تشغيلين متتاليين: مؤشر الاستقرار {index}."
    who = "The scores" if measure.measure == "psi_score" else f"The input {subject}"
    return f"{who} drifted from training in two runs: stability index {index}."
