"""When a customer leaves, and by which cause: a probability for each step of time in which it is still there.

Time after the as-of day is cut into steps. A row per customer, as-of day and step still at risk says whether
the customer left in this step by this cause; a model of the candidates' family gives the log-odds of it (the
hazard) from the customer's features and from timing: the step, the months to its decision point, whether that
point lies in the step, and the season. The curve follows: S(t) = product over steps of (1 - sum of hazards),
the probability to leave by a cause = sum of S(before the step) x its hazard, so that causes add up to 1 - S.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn_model.candidates import Model, candidate_from_json, fit
from churn_model.matrix import Input, input_from_json
from churn_model.model import ROUNDS, AdditiveModel, Steps, sigmoid
from churn_model.screening import telling

Column = NDArray[np.float64]
Mask = NDArray[np.bool_]
Places = NDArray[np.int64]

CUTS = (30.0, 60.0, 90.0, 120.0, 150.0, 180.0, 210.0, 240.0, 270.0, 300.0, 330.0, 365.0)
CAUSES = ("voluntary", "involuntary")
HIGHEST = 0.999
"""The hazards of one step sum to at most this."""
MIN_EVENTS = 25
"""A cause with fewer leavers has one hazard for all, its own rate."""
MOST_OWN_STEPS = 24
MONTH_DAYS = 365.25 / 12
DECISION = Input("has_decision_in_step", ("none", "no", "yes"))
MONTHS_TO_DECISION = Input("months_to_decision")
SEASON = Input("season", tuple(str(month) for month in range(1, 13)))


@dataclass(frozen=True)
class HazardPanel:
    """Customers at as-of days and what is known to have become of them. All arrays have one row for each.

    days_to_event: days from the as-of day to the end, NaN while none is known; cause: why, anything where
    there is none; observed_days: up to which the outcome is known to be complete (a step counts once it ended
    by then); decision_days: days to the next decision point, NaN for a customer without commitment, None
    where commitments have no part; as_of: the days (datetime64[D]), None where the season has no part;
    entry_days: before which nobody watched, 0 if not given.
    """

    x: Column
    inputs: tuple[Input, ...]
    days_to_event: Column
    cause: NDArray[Any]
    observed_days: Column
    decision_days: Column | None
    as_of: NDArray[np.datetime64] | None
    customer_id: NDArray[Any]
    entry_days: Column | None = None

    def rows(self, chosen: Mask | Places) -> HazardPanel:
        """Some of the rows."""

        def pick(values: Any) -> Any:
            return None if values is None else values[chosen]

        return HazardPanel(
            self.x[chosen],
            self.inputs,
            self.days_to_event[chosen],
            self.cause[chosen],
            self.observed_days[chosen],
            pick(self.decision_days),
            pick(self.as_of),
            self.customer_id[chosen],
            pick(self.entry_days),
        )


@dataclass(frozen=True)
class Expanded:
    """The panel step by step: x with the columns of timing, the customer's row in the panel, the step, and
    the place of the cause by which it left in the step (-1: it did not)."""

    x: Column
    row: Places
    step: Places
    left_by: Places

    def rows(self, chosen: Mask) -> Expanded:
        """Some of the rows."""
        return Expanded(self.x[chosen], self.row[chosen], self.step[chosen], self.left_by[chosen])


def timing_of(cuts: Sequence[float], has_decision: bool, has_season: bool) -> tuple[Input, ...]:
    """The columns of timing, beside the features. Many steps are one number, few are each their own."""
    places = tuple(str(place + 1) for place in range(len(cuts)))
    step = Input("step", places if len(cuts) <= MOST_OWN_STEPS else None)
    return (
        step,
        *([MONTHS_TO_DECISION, DECISION] if has_decision else []),
        *([SEASON] if has_season else []),
    )


def timing(
    rows: int,
    step: int,
    cuts: Sequence[float],
    decision_days: Column | None,
    as_of: NDArray[np.datetime64] | None,
) -> Column:
    """The values of timing in a step (0 for the first), shape rows x columns of `timing_of`."""
    start, end = (0.0, *cuts)[step], cuts[step]
    columns = [np.full(rows, float(step))]
    if decision_days is not None:
        columns.append(np.clip((decision_days - start) / MONTH_DAYS, -12.0, 24.0))
        lies_within = (decision_days > start) & (decision_days <= end)
        columns.append(np.where(np.isnan(decision_days), 0.0, np.where(lies_within, 2.0, 1.0)))
    if as_of is not None:
        middle = as_of + np.timedelta64(round((start + end) / 2), "D")
        columns.append((middle.astype("datetime64[M]").astype(np.int64) % 12).astype(np.float64))
    return np.column_stack(columns)


def expand(panel: HazardPanel, cuts: Sequence[float] = CUTS, causes: Sequence[str] = CAUSES) -> Expanded:
    """One row per customer, as-of day and step: at risk at its start, and its outcome known at its end.

    Raises ValueError for an end by a cause that is none of `causes`.
    """
    has_left = ~np.isnan(panel.days_to_event) & (panel.days_to_event <= panel.observed_days)
    strange = sorted({str(cause) for cause in panel.cause[has_left]} - set(causes))
    if strange:
        raise ValueError(f"unknown causes of an end: {', '.join(strange)}")
    place_of = {cause: place for place, cause in enumerate(causes)}
    by = np.array([place_of.get(str(cause), -1) for cause in panel.cause], dtype=np.int64)
    entry = np.zeros(len(panel.x)) if panel.entry_days is None else panel.entry_days
    blocks, rows, steps, left_by = [], [], [], []
    for step, (start, end) in enumerate(zip((0.0, *cuts), cuts, strict=False)):
        is_there = ~(has_left & (panel.days_to_event <= start)) & (entry <= start)
        at = np.flatnonzero(is_there & (panel.observed_days >= end))
        own = timing(
            len(at),
            step,
            cuts,
            None if panel.decision_days is None else panel.decision_days[at],
            None if panel.as_of is None else panel.as_of[at],
        )
        blocks.append(np.hstack([panel.x[at], own]))
        rows.append(at)
        steps.append(np.full(len(at), step))
        left_by.append(np.where(has_left[at] & (panel.days_to_event[at] <= end), by[at], -1))
    return Expanded(np.vstack(blocks), np.concatenate(rows), np.concatenate(steps), np.concatenate(left_by))


@dataclass(frozen=True)
class Curves:
    """What a model says of customers over the steps. hazards, incidence (cumulative): causes x rows x steps;
    survival: rows x steps, at the end of each."""

    cuts: tuple[float, ...]
    causes: tuple[str, ...]
    hazards: Column
    survival: Column
    incidence: Column

    def p(self, days: float) -> Column:
        """P(left within so many days), which is a cut. Raises ValueError for another day."""
        return np.asarray(1.0 - self.survival[:, self._place(days)])

    def p_by(self, cause: str, days: float) -> Column:
        """P(left within so many days, by this cause)."""
        return np.asarray(self.incidence[self.causes.index(cause)][:, self._place(days)])

    def likely_step(self) -> tuple[Places, Column]:
        """The step in which leaving is likeliest (0 for the first), and its probability."""
        leaves = -np.diff(self.survival, axis=1, prepend=1.0)
        place = np.argmax(leaves, axis=1)
        return place, leaves[np.arange(len(place)), place]

    def likely_month(self, as_of: NDArray[np.datetime64]) -> tuple[NDArray[np.datetime64], Column]:
        """The month (datetime64[M]) that holds the middle of the likely step, and the step's probability."""
        place, probability = self.likely_step()
        edges = np.array((0.0, *self.cuts))
        middle = np.round((edges[place] + edges[place + 1]) / 2).astype(np.int64)
        return (as_of + middle.astype("timedelta64[D]")).astype("datetime64[M]"), probability

    def median_days(self) -> Column:
        """The day at which S reaches .5, straight between cuts; NaN where it stays above to the last."""
        before = np.hstack([np.ones((len(self.survival), 1)), self.survival[:, :-1]])
        is_under = self.survival <= 0.5
        place = np.argmax(is_under, axis=1)
        at = np.arange(len(place))
        edges = np.array((0.0, *self.cuts))
        high, low = before[at, place], self.survival[at, place]
        share = (high - 0.5) / np.where(high > low, high - low, 1.0)
        return np.where(
            is_under.any(axis=1), edges[place] + share * (edges[place + 1] - edges[place]), np.nan
        )

    def _place(self, days: float) -> int:
        if days not in self.cuts:
            raise ValueError(f"{days:g} days are no end of a step")
        return self.cuts.index(days)


def curves_of(cuts: Sequence[float], causes: Sequence[str], hazards: Column) -> Curves:
    """The curves of hazards (causes x rows x steps), whose sum in a step is brought to at most .999."""
    total = hazards.sum(axis=0)
    hazards = hazards * np.minimum(1.0, HIGHEST / np.maximum(total, 1e-300))
    survival = np.cumprod(1.0 - hazards.sum(axis=0), axis=1)
    before = np.concatenate([np.ones((survival.shape[0], 1)), survival[:, :-1]], axis=1)
    return Curves(tuple(cuts), tuple(causes), hazards, survival, np.cumsum(before * hazards, axis=2))


@dataclass(frozen=True)
class HazardModel:
    """One model of the log-odds a cause; with `far_models` those for the steps that end after `near_days`.
    `slopes`, `offsets`: logit = offset + slope x the model's."""

    cuts: tuple[float, ...]
    causes: tuple[str, ...]
    inputs: tuple[Input, ...]
    has_decision: bool
    has_season: bool
    models: tuple[Model, ...]
    slopes: tuple[float, ...]
    offsets: tuple[float, ...]
    near_days: float = np.inf
    far_models: tuple[Model, ...] = ()

    @property
    def timing(self) -> tuple[Input, ...]:
        """The columns after the features."""
        return timing_of(self.cuts, self.has_decision, self.has_season)

    def matrix(
        self,
        x: Column,
        step: int,
        decision_days: Column | None = None,
        as_of: NDArray[np.datetime64] | None = None,
    ) -> Column:
        """What the models read in a step (0 for the first): features, then timing."""
        return np.hstack([x, self._timing(len(x), step, decision_days, as_of)])

    def logits(
        self,
        x: Column,
        decision_days: Column | None = None,
        as_of: NDArray[np.datetime64] | None = None,
    ) -> Column:
        """Log-odds of the hazards: causes x rows x steps. Raises ValueError without what they ask for."""
        answers = np.empty((len(self.causes), len(x), len(self.cuts)))
        for place, (model, slope, offset) in enumerate(
            zip(self.models, self.slopes, self.offsets, strict=True)
        ):
            says, is_far = _stepwise(model, x), False
            for step, end in enumerate(self.cuts):
                if end > self.near_days and not is_far:
                    says, is_far = _stepwise(self.far_models[place], x), True
                own = self._timing(len(x), step, decision_days, as_of)
                answers[place, :, step] = offset + slope * says(own)
        return answers

    def predict(
        self,
        x: Column,
        decision_days: Column | None = None,
        as_of: NDArray[np.datetime64] | None = None,
    ) -> Curves:
        """The curves of customers. x: rows x inputs; the others as in HazardPanel."""
        return curves_of(self.cuts, self.causes, sigmoid(self.logits(x, decision_days, as_of)))

    def _timing(
        self, rows: int, step: int, decision_days: Column | None, as_of: NDArray[np.datetime64] | None
    ) -> Column:
        if (self.has_decision and decision_days is None) or (self.has_season and as_of is None):
            raise ValueError("these hazards ask for the decision points and the as-of days")
        return timing(
            rows,
            step,
            self.cuts,
            decision_days if self.has_decision else None,
            as_of if self.has_season else None,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "hazards",
            "cuts": list(self.cuts),
            "causes": list(self.causes),
            "inputs": [one.to_json() for one in self.inputs],
            "has_decision": self.has_decision,
            "has_season": self.has_season,
            "models": [model.to_json() for model in self.models],
            "slopes": list(self.slopes),
            "offsets": list(self.offsets),
            **self._far_to_json(),
        }

    def _far_to_json(self) -> dict[str, Any]:
        if not self.far_models:
            return {}
        return {"near_days": self.near_days, "far_models": [model.to_json() for model in self.far_models]}


def hazards_from_json(content: Mapping[str, Any]) -> HazardModel:
    """The hazards a JSON table describes. Raises ValueError for anything of another form."""
    try:
        if content["kind"] != "hazards":
            raise ValueError("this is no model of hazards")
        model = HazardModel(
            cuts=tuple(float(cut) for cut in content["cuts"]),
            causes=tuple(str(cause) for cause in content["causes"]),
            inputs=tuple(input_from_json(one) for one in content["inputs"]),
            has_decision=bool(content["has_decision"]),
            has_season=bool(content["has_season"]),
            models=tuple(candidate_from_json(one) for one in content["models"]),
            slopes=tuple(float(slope) for slope in content["slopes"]),
            offsets=tuple(float(offset) for offset in content["offsets"]),
            near_days=float(content.get("near_days", np.inf)),
            far_models=tuple(candidate_from_json(one) for one in content.get("far_models", ())),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is no model of hazards: {error!r}") from error
    names = tuple(one.name for one in (*model.inputs, *model.timing))
    lengths = {len(model.causes), len(model.models), len(model.slopes), len(model.offsets)}
    if max(model.cuts, default=0.0) > model.near_days:
        lengths.add(len(model.far_models))
    if len(lengths) != 1 or any(tuple(one.features) != names for one in (*model.models, *model.far_models)):
        raise ValueError("the hazards' models, causes and inputs do not fit together")
    return model


def _stepwise(model: Model, x: Column) -> Callable[[Column], Column]:
    """What a model says of customers given a step's timing. Of a sum only the part of timing is worked out
    anew in each step."""
    if not isinstance(model, AdditiveModel):
        return lambda own: model.logit(np.hstack([x, own]))
    features = x.shape[1]
    customer = AdditiveModel(model.features[:features], model.intercept, model.terms[:features])
    clock = AdditiveModel(model.features[features:], 0.0, model.terms[features:])
    steady = customer.logit(x) if features else np.full(len(x), model.intercept)
    return lambda own: steady + clock.logit(own)


@dataclass(frozen=True)
class Settings:
    """How hazards are fitted: which candidate, how many rounds of boosting. near_days: an end of a step up to
    which hazards have a model of their own, for what is seen on a day tells of the weeks after it, and little
    of next year. screens: only features that tell leavers apart beyond chance enter (`screening`).
    directions: by feature 1 where more of it can only mean more risk, -1 where less."""

    candidate: str = "blend"
    rounds: int = ROUNDS
    cuts: tuple[float, ...] = field(default=CUTS)
    causes: tuple[str, ...] = field(default=CAUSES)
    near_days: float = np.inf
    screens: bool = False
    directions: Mapping[str, int] = field(default_factory=dict)


def fit_hazards(
    panel: HazardPanel, settings: Settings = Settings(), near: HazardPanel | None = None
) -> HazardModel:
    """The hazards of each cause, on all steps that are known. A cause with under 25 leavers gets its rate.
    near: the rows that the near steps are learned from, those of the panel if not given.

    Raises ValueError where no step is known.
    """
    near_cuts = [cut for cut in settings.cuts if cut <= settings.near_days]
    later = expand(panel, settings.cuts, settings.causes)
    is_near = later.step < len(near_cuts)
    own = later.rows(is_near) if near is None else expand(near, near_cuts, settings.causes)
    if not len(later.row) and not len(own.row):
        raise ValueError("no step of any customer has ended yet: there is nothing to learn from")
    has_decision, has_season = panel.decision_days is not None, panel.as_of is not None
    inputs = (*panel.inputs, *timing_of(settings.cuts, has_decision, has_season))
    models = _fit_causes(panel if near is None else near, own, inputs, settings)
    far = models if is_near.all() else _fit_causes(panel, later.rows(~is_near), inputs, settings)
    return HazardModel(
        cuts=tuple(settings.cuts),
        causes=tuple(settings.causes),
        inputs=panel.inputs,
        has_decision=has_decision,
        has_season=has_season,
        models=models,
        slopes=(1.0,) * len(models),
        offsets=(0.0,) * len(models),
        near_days=settings.near_days,
        far_models=far if max(settings.cuts) > settings.near_days else (),
    )


def _fit_causes(
    panel: HazardPanel, expanded: Expanded, inputs: Sequence[Input], settings: Settings
) -> tuple[Model, ...]:
    found: list[Model] = []
    for place in range(len(settings.causes)):
        leavers = len(_leavers(panel, expanded, place))
        chosen = np.ones(len(inputs), dtype=bool)
        if settings.screens and leavers >= MIN_EVENTS:
            chosen[: panel.x.shape[1]] = _telling(panel, expanded, place, settings)
        own = [one for one, enters in zip(inputs, chosen, strict=True) if enters]
        model = _fit_cause(expanded.x[:, chosen], expanded.left_by == place, leavers, own, settings)
        found.append(_of_all(model, inputs) if len(own) < len(inputs) else model)
    return tuple(found)


def _telling(panel: HazardPanel, expanded: Expanded, place: int, settings: Settings) -> Mask:
    """Which of the customers' features tell those apart that leave by a cause."""
    rows, leavers = np.unique(expanded.row), _leavers(panel, expanded, place)
    signs = [settings.directions.get(one.name, 0) for one in panel.inputs]
    days = None if panel.as_of is None else panel.as_of[rows]
    return telling(panel.x[rows], np.searchsorted(rows, leavers), signs, days)


def _of_all(model: Model, inputs: Sequence[Input]) -> Model:
    """A sum of some inputs as one of all: the others add nothing."""
    if not isinstance(model, AdditiveModel):
        raise ValueError("only hazards that are sums of one function per feature are screened")
    own = dict(zip(model.features, model.terms, strict=True))
    names = tuple(one.name for one in inputs)
    return AdditiveModel(names, model.intercept, tuple(own.get(name, NOTHING) for name in names))


NOTHING = ((1.0, Steps((), (0.0,), 0.0)),)


def _leavers(panel: HazardPanel, expanded: Expanded, place: int) -> Places:
    """Of each customer that left by a cause one row of the panel, the last before its end: an end stands in
    up to a dozen month ends, and counts once."""
    rows = np.unique(expanded.row[expanded.left_by == place])
    ends = panel.days_to_event[rows]
    if panel.as_of is not None:
        ends = ends + panel.as_of[rows].astype("datetime64[D]").astype(np.int64)
    last: dict[tuple[Any, float], int] = {}
    for row, key in zip(
        rows.tolist(), zip(panel.customer_id[rows].tolist(), ends.tolist(), strict=True), strict=True
    ):
        if key not in last or panel.days_to_event[row] < panel.days_to_event[last[key]]:
            last[key] = row
    return np.array(sorted(last.values()), dtype=np.int64)


def _fit_cause(x: Column, y: Mask, leavers: int, inputs: Sequence[Input], settings: Settings) -> Model:
    if leavers < MIN_EVENTS or y.all():
        return constant(float((y.sum() + 0.5) / (len(y) + 1)), [one.name for one in inputs])
    signs = [settings.directions.get(one.name, 0) for one in inputs]
    return fit(settings.candidate, x, y, inputs, settings.rounds, directions=signs)


def constant(rate: float, names: Sequence[str]) -> AdditiveModel:
    """A model that says one probability of all."""
    return AdditiveModel(tuple(names), float(np.log(rate / (1 - rate))), (NOTHING,) * len(names))
