"""Hazards: which steps count, what the curve says, and that causes add up."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from churn_model.candidates import fit, mixed
from churn_model.hazard import (
    CUTS,
    HazardModel,
    HazardPanel,
    Settings,
    constant,
    curves_of,
    expand,
    fit_hazards,
    hazards_from_json,
    timing,
    timing_of,
)
from churn_model.matrix import Input, numbers
from churn_model.model import AdditiveModel, sigmoid


def panel_of(
    days: list[float], causes: list[str], observed: list[float], decision: list[float] | None = None
) -> HazardPanel:
    rows = len(days)
    return HazardPanel(
        x=np.arange(rows, dtype=float)[:, None],
        inputs=numbers(["mark"]),
        days_to_event=np.array(days),
        cause=np.array(causes),
        observed_days=np.array(observed),
        decision_days=None if decision is None else np.array(decision),
        as_of=None,
        customer_id=np.array([f"c{i}" for i in range(rows)]),
    )


def world(rows: int = 1500, seed: int = 3) -> HazardPanel:
    """Customers who leave the sooner the higher the first feature, by the second cause if the second is 1;
    half of them are committed and decide on a known day."""
    random = np.random.default_rng(seed)
    x = np.column_stack([random.normal(size=rows), random.random(rows) < 0.3])
    days = np.ceil(random.exponential(200 * np.exp(-x[:, 0])))
    decision = np.where(random.random(rows) < 0.5, random.integers(1, 365, rows), np.nan)
    as_of = np.datetime64("2024-01-31") + random.integers(0, 365, rows)
    observed = np.full(rows, 365.0)
    return HazardPanel(
        x=x,
        inputs=numbers(["need", "unpaid"]),
        days_to_event=np.where(days <= observed, days, np.nan),
        cause=np.where(x[:, 1] == 1, "involuntary", "voluntary"),
        observed_days=observed,
        decision_days=decision,
        as_of=as_of,
        customer_id=np.arange(rows).astype(str),
    )


def test_a_step_counts_once_it_has_ended_and_until_the_customer_left() -> None:
    nan = float("nan")
    expanded = expand(
        panel_of(
            [45.0, nan, 70.0, 20.0],
            ["voluntary", "", "involuntary", "voluntary"],
            [400.0, 75.0, 60.0, 29.0],
        ),
        cuts=(30.0, 60.0, 90.0),
    )
    rows = sorted(zip(expanded.row, expanded.step, expanded.left_by, strict=True))
    assert rows == [
        (0, 0, -1),
        (0, 1, 0),  # left on day 45, so in the second step, by the first cause
        (1, 0, -1),
        (1, 1, -1),  # the third step has not ended on day 75
        (2, 0, -1),
        (2, 1, -1),  # its end on day 70 is not known on day 60
    ]  # of the last not even the first step has ended


def test_who_is_watched_late_counts_from_the_step_that_begins_after() -> None:
    panel = replace(panel_of([80.0], ["voluntary"], [90.0]), entry_days=np.array([30.0]))
    expanded = expand(panel, cuts=(30.0, 60.0, 90.0))
    assert list(zip(expanded.step, expanded.left_by, strict=True)) == [(1, -1), (2, 0)]


def test_an_unknown_cause_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown causes of an end: moved"):
        expand(panel_of([10.0], ["moved"], [90.0]))


def test_timing_tells_the_step_the_decision_and_the_season() -> None:
    decision = np.array([45.0, np.nan, 61.0])
    as_of = np.array(["2024-11-30"] * 3, dtype="datetime64[D]")
    values = timing(3, 1, CUTS, decision, as_of)  # days 31 to 60, the middle is 14 January
    names = [one.name for one in timing_of(CUTS, True, True)]
    assert names == ["step", "months_to_decision", "has_decision_in_step", "season"]
    assert values[:, 0].tolist() == [1, 1, 1]
    assert values[:, 1] == pytest.approx([15 / 30.4375, np.nan, 31 / 30.4375], nan_ok=True)
    assert values[:, 2].tolist() == [2, 0, 1]  # in the step; no commitment; committed, but later
    assert values[:, 3].tolist() == [0, 0, 0]


def test_curves_by_hand() -> None:
    hazards = np.array([[[0.10, 0.20, 0.30]], [[0.05, 0.00, 0.10]]])  # two causes, one customer, three steps
    curves = curves_of((30.0, 60.0, 90.0), ("voluntary", "involuntary"), hazards)
    s1 = 1 - 0.15
    s2 = s1 * (1 - 0.20)
    s3 = s2 * (1 - 0.40)
    assert curves.survival[0] == pytest.approx([s1, s2, s3])
    assert curves.p(90.0)[0] == pytest.approx(1 - s3)
    assert curves.p_by("voluntary", 90.0)[0] == pytest.approx(0.10 + s1 * 0.20 + s2 * 0.30)
    assert curves.p_by("involuntary", 90.0)[0] == pytest.approx(0.05 + s1 * 0.00 + s2 * 0.10)
    step, probability = curves.likely_step()
    assert (step[0], probability[0]) == (2, pytest.approx(s2 - s3))
    month, _ = curves.likely_month(np.array(["2024-01-31"], dtype="datetime64[D]"))
    assert str(month[0]) == "2024-04"  # day 75
    # S is .68 at 60 and .408 at 90: .5 lies (.68 - .5) / (.68 - .408) of the way
    assert curves.median_days()[0] == pytest.approx(60 + 30 * (0.68 - 0.5) / (0.68 - 0.408))
    with pytest.raises(ValueError, match="45 days are no end of a step"):
        curves.p(45.0)


def test_who_stays_likelier_than_not_has_no_median() -> None:
    curves = curves_of((30.0,), ("voluntary",), np.array([[[0.49]]]))
    assert np.isnan(curves.median_days()[0])


def test_hazards_of_one_step_never_exceed_the_customer() -> None:
    curves = curves_of((30.0,), ("voluntary", "involuntary"), np.array([[[0.9]], [[0.9]]]))
    assert curves.survival[0, 0] == pytest.approx(0.001)
    assert curves.hazards[:, 0, 0] == pytest.approx([0.4995, 0.4995])


def test_causes_add_up_to_the_probability_to_leave_on_every_row() -> None:
    panel = world()
    model = fit_hazards(panel)
    curves = model.predict(panel.x, panel.decision_days, panel.as_of)
    for days in (30.0, 90.0, 180.0, 365.0):
        causes = curves.p_by("voluntary", days) + curves.p_by("involuntary", days)
        assert np.abs(causes - curves.p(days)).max() < 1e-12
    assert (np.diff(curves.survival, axis=1) <= 0).all()


def test_contributions_add_up_to_the_log_odds_of_the_hazard() -> None:
    panel = world()
    model = fit_hazards(panel)
    logits = model.logits(panel.x, panel.decision_days, panel.as_of)
    for place, one in enumerate(model.models):
        for step in (0, 5, 11):
            matrix = model.matrix(panel.x, step, panel.decision_days, panel.as_of)
            total = one.intercept + one.contributions(matrix).sum(axis=1)
            assert np.abs(total - logits[place, :, step]).max() < 1e-6


def test_hazards_learn_who_leaves_and_by_which_cause() -> None:
    panel = world()
    curves = fit_hazards(panel).predict(panel.x, panel.decision_days, panel.as_of)
    left = (panel.days_to_event <= 90).astype(float)
    assert abs(curves.p(90.0).mean() - left.mean()) < 0.02
    is_unpaid = panel.x[:, 1] == 1
    assert (curves.p_by("involuntary", 90.0) > curves.p_by("voluntary", 90.0))[is_unpaid].mean() > 0.9
    assert (curves.p_by("involuntary", 90.0) < curves.p_by("voluntary", 90.0))[~is_unpaid].mean() > 0.9


def test_a_cause_with_few_leavers_has_one_rate_for_all() -> None:
    panel = world(400)
    few = np.where(
        np.arange(400) == int(np.flatnonzero(panel.days_to_event <= 30)[0]), "involuntary", "voluntary"
    )
    panel = replace(panel, cause=few)
    model = fit_hazards(panel)
    steps = len(expand(panel).row)
    expected = (1 + 0.5) / (steps + 1)
    curves = model.predict(panel.x, panel.decision_days, panel.as_of)
    assert sigmoid(model.logits(panel.x, panel.decision_days, panel.as_of))[1] == pytest.approx(expected)
    assert np.isfinite(curves.survival).all()


@pytest.mark.parametrize(("leavers", "is_constant"), [(24, True), (25, False)])
def test_leavers_are_counted_once_however_many_snapshots_they_stand_in(
    leavers: int, is_constant: bool
) -> None:
    """Everyone stands in two month ends, 31 days apart; an end on one day is one end."""
    rows = 400
    customer = np.arange(rows) % (rows // 2)
    is_first = np.arange(rows) < rows // 2
    panel = HazardPanel(
        x=np.random.default_rng(0).normal(size=(rows, 1)),
        inputs=numbers(["mark"]),
        days_to_event=np.where(customer < leavers, np.where(is_first, 50.0, 19.0), np.nan),
        cause=np.full(rows, "voluntary"),
        observed_days=np.full(rows, 90.0),
        decision_days=None,
        as_of=np.where(is_first, np.datetime64("2024-12-31"), np.datetime64("2025-01-31")),
        customer_id=customer.astype(str),
    )
    model = fit_hazards(panel, Settings("spline_logistic", cuts=(30.0, 60.0), causes=("voluntary",)))
    hazards = model.predict(panel.x, None, panel.as_of).hazards
    assert (len(np.unique(hazards)) == 1) == is_constant


@pytest.mark.parametrize(
    "candidate", ["spline_logistic", "additive_hgb", "blend", "small_hgb", "blend_small_hgb"]
)
def test_hazards_read_back_from_json_say_the_same(candidate: str) -> None:
    panel = world(500)
    model = fit_hazards(panel, Settings(candidate, rounds=20))
    again = hazards_from_json(json.loads(json.dumps(model.to_json(), allow_nan=False)))
    said, says = (m.predict(panel.x, panel.decision_days, panel.as_of).survival for m in (model, again))
    assert np.array_equal(said, says)


def test_what_can_only_raise_the_risk_never_lowers_it() -> None:
    panel = world(1_500)
    shapes = {}
    for name, directions in (("free", {}), ("one way", {panel.inputs[0].name: 1, panel.inputs[1].name: 1})):
        model = fit_hazards(panel, Settings("additive_hgb", rounds=80, directions=directions)).models[0]
        assert isinstance(model, AdditiveModel)
        at = np.sort(panel.x[:, 0])
        (weight, term), *_ = model.terms[0]
        shapes[name] = np.diff(weight * term.values(at))
    assert (shapes["free"] < 0).any()
    assert (shapes["one way"] >= 0).all()


def test_the_boosted_part_of_a_blend_keeps_to_what_is_sure_too() -> None:
    panel, signs = world(600), [1, 1]
    left = ~np.isnan(panel.days_to_event)
    spline = fit("spline_logistic", panel.x, left, panel.inputs)
    boosted = fit("additive_hgb", panel.x, left, panel.inputs, 20, directions=signs)
    assert fit("blend", panel.x, left, panel.inputs, 20, directions=signs) == mixed(spline, boosted)


def test_the_near_steps_are_learned_from_rows_of_their_own() -> None:
    panel = world(1_500)
    settings = Settings("additive_hgb", rounds=40, near_days=90.0, screens=True)
    blind = replace(panel, x=np.random.default_rng(1).normal(size=panel.x.shape))
    own, other = fit_hazards(panel, settings), fit_hazards(panel, settings, blind)
    assert fit_hazards(panel, settings, panel) == own
    features = {one.name for one in panel.inputs}
    assert all(features & one.read for one in own.models)
    assert not any(features & one.read for one in other.models)
    assert other.far_models == own.far_models
    assert fit_hazards(blind, settings, panel).models == own.models
    assert fit_hazards(blind, settings, panel).far_models != own.far_models


def test_what_is_seen_on_a_day_may_tell_of_the_weeks_after_it_alone() -> None:
    """Failed payments end a customer within 90 days or not at all: one model for all steps would spread what
    they do over the year."""
    random = np.random.default_rng(8)
    rows = 3_000
    has_failed = random.random(rows) < 0.2
    days = np.where(has_failed & (random.random(rows) < 0.9), random.integers(1, 90, rows), np.nan)
    late = np.isnan(days) & (random.random(rows) < 0.3)
    panel = replace(
        world(rows),
        x=np.column_stack([random.normal(size=rows), has_failed]),
        days_to_event=np.where(late, random.integers(91, 365, rows), days),
        cause=np.full(rows, "involuntary"),
    )
    pooled = fit_hazards(panel, Settings("additive_hgb", rounds=250))
    parted = fit_hazards(panel, Settings("additive_hgb", rounds=250, near_days=90.0))
    again = hazards_from_json(json.loads(json.dumps(parted.to_json(), allow_nan=False)))
    curves = {
        name: model.predict(panel.x, panel.decision_days, panel.as_of)
        for name, model in (("pooled", pooled), ("parted", parted), ("again", again))
    }
    assert np.array_equal(curves["again"].survival, curves["parted"].survival)
    failed = {name: float(curve.p(90.0)[has_failed].mean()) for name, curve in curves.items()}
    assert failed["parted"] == pytest.approx(0.9, abs=0.05)
    assert failed["pooled"] < failed["parted"] - 0.1
    # of those who got over it, no more leave later than of all others
    left_later = curves["parted"].hazards[1][:, 3:].mean(axis=1)
    assert left_later[has_failed].mean() < 2 * left_later[~has_failed].mean()
    with pytest.raises(ValueError, match="do not fit together"):
        hazards_from_json(parted.to_json() | {"far_models": []})


def test_hazards_of_another_form_are_refused() -> None:
    whole = fit_hazards(world(300), Settings("spline_logistic")).to_json()
    for broken in (
        {},
        whole | {"kind": "curve"},
        whole | {"causes": ["voluntary"]},
        whole | {"inputs": [{"name": "other", "categories": None}]},
        whole | {"models": [{}, {}]},
    ):
        with pytest.raises(ValueError):
            hazards_from_json(broken)


def test_hazards_ask_for_the_decision_points_they_were_fitted_with() -> None:
    panel = world(300)
    model = fit_hazards(panel, Settings("spline_logistic"))
    with pytest.raises(ValueError, match="decision points"):
        model.predict(panel.x)


def test_without_any_known_step_there_is_nothing_to_learn() -> None:
    with pytest.raises(ValueError, match="nothing to learn"):
        fit_hazards(panel_of([float("nan")], [""], [10.0]))


def test_the_same_panel_gives_the_same_hazards_byte_for_byte() -> None:
    first, second = (json.dumps(fit_hazards(world(300)).to_json()) for _ in range(2))
    assert first == second


def test_a_model_may_have_one_cause_and_its_own_steps() -> None:
    model = HazardModel(
        cuts=(1.0, 2.0),
        causes=("left",),
        inputs=(Input("size"),),
        has_decision=False,
        has_season=False,
        models=(constant(0.25, ["size", "step"]),),
        slopes=(1.0,),
        offsets=(0.0,),
    )
    assert model.predict(np.zeros((1, 1))).survival[0] == pytest.approx([0.75, 0.5625])
