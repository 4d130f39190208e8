"""The functions a report draws are the model's own, beside the typical value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from churn_model.dataset import Feature
from churn_model.hazard import HazardModel
from churn_model.matrix import Input
from churn_model.model import AdditiveModel, Steps
from churn_model.shapes import hazard_shapes, shapes

KEPT = Feature(
    "kept", "orders", "rhythm", "share", 0, "", "", "Kept {value} (typical {typical})", "محفوظ {value}"
)
PLAN = replace(KEPT, name="plan", unit="text")
BOUNDS = Steps((2.0,), (-1.0, 1.0), 0.25)


def test_shapes_are_the_models_own_steps_beside_the_typical_value() -> None:
    model = AdditiveModel(("kept", "unused"), 0.5, (((1.0, BOUNDS),), ()))
    x = np.array([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0], [np.nan, 7.0]])
    (shape,) = shapes(model, x, np.array([2.0, 5.0]), [KEPT, PLAN])
    assert (shape["x"], shape["y"]) == ([1.0, 2.0, 3.0], [0.0, 0.0, 2.0])
    assert (shape["null"], shape["null_share"], shape["typical"]) == (1.25, 0.25, 2.0)
    assert shape["weight"] == pytest.approx((0 + 0 + 2 + 1.25) / 4)
    assert (shape["label"], shape["unit"]) == ({"en": "Kept …", "ar": "محفوظ …"}, "share")


def test_many_values_are_walked_between_the_first_and_the_last_percentile() -> None:
    model = AdditiveModel(("kept",), 0.0, (((1.0, Steps((50.0,), (0.0, 1.0), 0.0)),),))
    (shape,) = shapes(model, np.arange(101.0)[:, None], np.array([10.0]), [KEPT])
    assert (len(shape["x"]), shape["x"][0], shape["x"][-1]) == (40, 1.0, 99.0)
    assert [y for x, y in zip(shape["x"], shape["y"], strict=True) if x <= 50] == [0.0] * 20
    assert shape["null"] is None


def test_hazards_have_a_shape_for_each_cause_and_category() -> None:
    inputs = (Input("kept"), Input("plan", ("basic", "pro")))
    names = ("kept", "plan", "step")
    by_plan = Steps((0.5,), (0.0, 0.6), 0.0)
    leaves = AdditiveModel(
        names, -3.0, (((1.0, BOUNDS),), ((1.0, by_plan),), ((1.0, Steps((0.5,), (0, 9), 0)),))
    )
    pays = AdditiveModel(names, -4.0, (((1.0, BOUNDS),), (), ()))
    causes = ("voluntary", "involuntary")
    model = HazardModel((30.0, 60.0), causes, inputs, False, False, (leaves, pays), (0.5, 1.0), (0.0, 0.0))
    x = np.array([[1.0, 0.0], [3.0, 1.0]])
    days, as_of = np.full(2, np.nan), np.array(["2026-01-31"] * 2, dtype="datetime64[D]")
    found = hazard_shapes(model, x, days, as_of, np.array([1.0, 0.0]), np.nan, [KEPT, PLAN])
    assert [(shape["cause"], shape["feature"], shape["y"]) for shape in found] == [
        ("voluntary", "kept", [0.0, 1.0]),
        ("voluntary", "plan", [0.0, pytest.approx(0.3)]),
        ("involuntary", "kept", [0.0, 2.0]),
    ]
    assert found[1]["levels"] == ["basic", "pro"]
