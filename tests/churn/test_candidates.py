"""The candidates on numbers, categories and nulls; their files; and which of them ships."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from churn_model.candidates import (
    ADDITIVE,
    CANDIDATES,
    Boosting,
    candidate_from_json,
    choose_champion,
    expected_of,
    fit,
    fit_all,
    inner_predictions,
)
from churn_model.matrix import OTHER, Input, input_from_json, inputs_of, matrix_of
from churn_model.model import AdditiveModel, boosting, sigmoid
from churn_model.trees import TreeModel, tree_model_of

INPUTS = (Input("silence"), Input("plan", ("free", "basic", "gold")), Input("empty"), Input("constant"))


def world(rows: int = 1200, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A number, a category (with nulls), a column without any value, one with a single value; the number
    counts only on the plan in the middle."""
    random = np.random.default_rng(seed)
    silence = random.gamma(2.0, 1.0, rows)
    plan = np.where(random.random(rows) < 0.1, np.nan, random.integers(0, 3, rows))
    x = np.column_stack([silence, plan, np.full(rows, np.nan), np.full(rows, 7.0)])
    logit = np.where(plan == 1, 1.5 * (silence - 2), np.where(np.isnan(plan), 1.0, -1.0))
    return x, random.random(rows) < 1 / (1 + np.exp(-logit))


@pytest.fixture(scope="module")
def fitted() -> dict[str, object]:
    x, y = world()
    return fit_all(x, y, INPUTS, {"additive_hgb": Boosting(40), "small_hgb": Boosting(40, 10)})


def test_every_candidate_is_fitted_and_reads_nulls_and_unseen_categories(fitted: dict) -> None:
    assert tuple(fitted) == CANDIDATES
    strange = np.array([[np.nan, np.nan, np.nan, np.nan], [1e9, 2.0, 5.0, 0.0]])
    for model in fitted.values():
        assert np.isfinite(model.logit(strange)).all()


@pytest.mark.parametrize("name", CANDIDATES)
def test_contributions_sum_to_the_logit(fitted: dict, name: str) -> None:
    x, _ = world(60, seed=2)
    model = fitted[name]
    total = expected_of(model) + model.contributions(x).sum(axis=1)
    assert np.abs(total - model.logit(x)).max() < 1e-6
    assert isinstance(model, AdditiveModel) == (name in ADDITIVE)


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_candidate_read_back_from_json_says_the_same(fitted: dict, name: str) -> None:
    x, _ = world(200, seed=2)
    again = candidate_from_json(json.loads(json.dumps(fitted[name].to_json(), allow_nan=False)))
    assert np.array_equal(again.logit(x), fitted[name].logit(x))


def test_trees_say_what_the_library_says() -> None:
    x, y = world()
    library = boosting(30, max_features=0.5).fit(np.nan_to_num(x, nan=-1.0), y)
    model = tree_model_of(library, [one.name for one in INPUTS])
    unseen = np.nan_to_num(world(seed=5)[0], nan=-1.0)
    assert np.abs(model.logit(unseen) - library.decision_function(unseen)).max() < 1e-9


def test_shapley_values_of_one_tree_by_the_definition() -> None:
    """A tree of two features; the value of a set of them is the tree's answer when the others take each
    branch in proportion to its rows, and a feature's part is the mean over both orders."""
    columns = {
        "value": [0.0, 10.0, 0.0, 20.0, 40.0],
        "rows": [10, 4, 6, 3, 3],
        "feature": [0, 0, 1, 0, 0],
        "threshold": [0.5, 0.0, 0.5, 0.0, 0.0],
        "null_goes_left": [0, 0, 0, 0, 0],
        "left": [1, 0, 3, 0, 0],
        "right": [2, 0, 4, 0, 0],
        "is_leaf": [0, 1, 0, 1, 1],
    }
    content = {"kind": "trees", "features": ["a", "b"], "intercept": 1.0, "trees": [columns]}
    model = candidate_from_json(content)
    x = np.array([[1.0, 1.0]])  # the leaf of 40
    of_none = 0.4 * 10 + 0.6 * (0.5 * 20 + 0.5 * 40)
    of_a, of_b, of_both = 0.5 * 20 + 0.5 * 40, 0.4 * 10 + 0.6 * 40, 40.0
    a = ((of_a - of_none) + (of_both - of_b)) / 2
    b = ((of_b - of_none) + (of_both - of_a)) / 2
    assert model.contributions(x)[0] == pytest.approx([a, b])
    assert expected_of(model) == pytest.approx(1.0 + of_none)


def test_files_of_another_form_are_refused(fitted: dict) -> None:
    whole = fitted["small_hgb"].to_json()
    endless = json.loads(json.dumps(whole))
    endless["trees"][0]["left"][0] = 0
    foreign = json.loads(json.dumps(whole))
    foreign["trees"][0]["feature"][0] = 99
    short = json.loads(json.dumps(whole))
    short["trees"][0]["value"].pop()
    for broken in (
        {},
        {"kind": "pickle"},
        {"kind": "blend", "parts": []},
        {"kind": "trees", "features": ["a"]},
        endless,
        foreign,
        short,
    ):
        with pytest.raises(ValueError):
            candidate_from_json(broken)


def test_one_column_a_category_is_what_the_logistic_model_reads() -> None:
    x, y = world()
    model = fit("spline_logistic", x, y, INPUTS)
    shares = [y[x[:, 1] == place].mean() for place in range(3)] + [y[np.isnan(x[:, 1])].mean()]
    plan = np.full((4, 4), np.nan)
    plan[:3, 1] = [0, 1, 2]
    plan[:, 0] = 2.0
    assert np.argsort(model.logit(plan)).tolist()[-1] == int(np.argmax(shares))


def test_boosting_goes_on_only_as_long_as_it_helps_rows_it_has_not_seen() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(300, 2)), random.random(300) < 0.5  # nothing to learn
    folds = np.array_split(np.arange(300), 3)
    inner = inner_predictions(x, y, (Input("a"), Input("b")), folds)
    assert {own.rounds for own in inner.settings.values()} == {125}
    assert all(np.isfinite(logit).all() for logit in inner.logits.values())


def test_the_champion_is_the_simplest_of_those_that_are_as_good_as_the_best() -> None:
    random = np.random.default_rng(0)
    truth = random.random(4000)
    y = (random.random(4000) < truth).astype(float)
    groups = np.arange(4000)
    near = np.clip(truth + random.normal(0, 0.002, 4000), 0.01, 0.99)
    far = np.full(4000, 0.5)
    sharp = np.clip(truth, 0.01, 0.99)
    others = {"small_hgb": far, "blend_small_hgb": far, "default_hgb": sharp}
    assert choose_champion(
        y, {"spline_logistic": near, "additive_hgb": sharp, "blend": near, **others}, groups
    ) == ("spline_logistic")
    assert choose_champion(
        y, {"spline_logistic": far, "additive_hgb": sharp, "blend": near, **others}, groups
    ) == ("additive_hgb")


def test_interactions_ship_only_if_they_gain_in_precision_and_lose_nothing() -> None:
    random = np.random.default_rng(0)
    truth = random.random(4000)
    y = (random.random(4000) < truth).astype(float)
    blunt = 0.5 + (truth - 0.5) * 0.8 + random.normal(0, 0.1, 4000)
    blunt = np.clip(blunt, 0.01, 0.99)
    sharp = np.clip(truth, 0.01, 0.99)
    plain = dict.fromkeys(ADDITIVE, blunt)
    # the same order of customers with sharper probabilities: no gain in precision
    same_order = np.clip(0.5 + (blunt - 0.5) * 1.1, 0.01, 0.99)
    groups = np.arange(4000)
    assert choose_champion(y, plain | {"small_hgb": sharp, "blend_small_hgb": blunt}, groups) == "small_hgb"
    assert (
        choose_champion(y, plain | {"small_hgb": same_order, "blend_small_hgb": blunt}, groups)
        == "spline_logistic"
    )
    overdone = np.where(sharp > 0.5, 0.999, 0.001)
    assert (
        choose_champion(y, plain | {"small_hgb": overdone, "blend_small_hgb": blunt}, groups)
        == "spline_logistic"
    )


def test_texts_are_categories_in_the_order_of_their_numbers_and_blanks_are_null() -> None:
    frame = pl.DataFrame(
        {
            "Company Size": ["10-50", "9-20", " 100-250 ", "", None],
            "code": [3, 1, 1, None, 2],
            "paid": [True, False, None, True, True],
            "amount": [1.5, float("inf"), float("nan"), None, -2.0],
        }
    )
    inputs = inputs_of(frame, frame.columns, categorical=["code"])
    assert inputs[0].categories == ("9-20", "10-50", "100-250")
    assert inputs[1].categories == ("1", "2", "3")
    assert [one.levels for one in inputs] == [3, 3, 0, 0]
    x = matrix_of(frame, inputs)
    nan = np.nan
    expected = [[1, 2, 1, 1.5], [0, 0, 0, nan], [2, 0, nan, nan], [nan, nan, 1, nan], [nan, 1, 1, -2]]
    assert np.array_equal(x, np.array(expected), equal_nan=True)
    unseen = matrix_of(frame.with_columns(pl.lit("new").alias("Company Size")), inputs)
    assert np.isnan(unseen[:, 0]).all()
    assert [input_from_json(json.loads(json.dumps(one.to_json()))) for one in inputs] == list(inputs)
    with pytest.raises(ValueError, match="missing: amount"):
        matrix_of(frame.drop("amount"), inputs)


def test_of_very_many_categories_the_rare_ones_are_one() -> None:
    texts = [f"c{i}" for i in range(100)] + ["often"] * 5
    frame = pl.DataFrame({"city": texts})
    (one,) = inputs_of(frame, ["city"])
    assert one.levels == 64
    assert one.categories is not None
    assert one.categories[-1] == OTHER
    assert "often" in one.categories
    assert matrix_of(pl.DataFrame({"city": ["somewhere else"]}), [one])[0, 0] == 63


def test_a_tree_model_has_no_table_per_feature(fitted: dict) -> None:
    assert isinstance(fitted["small_hgb"], TreeModel)
    assert 0 < float(sigmoid(fitted["small_hgb"].logit(world(1)[0]))[0]) < 1
