"""The model is a sum of tables that says what the library says, explains itself, and refuses bad files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from churn_model import metrics
from churn_model.dataset import Feature, features_of, refuse_forbidden
from churn_model.explain import explain, figure, reasons, reference_of
from churn_model.model import (
    AdditiveModel,
    _design,
    _knots,
    blend,
    fit_additive_boosting,
    fit_spline_logistic,
    model_from_json,
    sigmoid,
)
from churn_model.registry import ModelRefused, additive_model_of, load_content, save_model
from churn_model.training import loaded

NAMES = ("silence", "orders", "constant", "sparse")


def world(rows: int = 3000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Four features: two that matter, one with a single value, one mostly without history."""
    random = np.random.default_rng(seed)
    silence = random.gamma(2.0, 40.0, rows)
    orders = random.poisson(3, rows).astype(float)
    sparse = np.where(random.random(rows) < 0.8, np.nan, random.normal(size=rows))
    x = np.column_stack([silence, orders, np.full(rows, 7.0), sparse])
    logit = 0.02 * silence - 0.6 * orders + np.where(np.isnan(sparse), 0.3, 0.0)
    return x, random.random(rows) < 1 / (1 + np.exp(-logit))


def test_spline_tables_score_as_the_library_does() -> None:
    x, y = world()
    model = fit_spline_logistic(x, y, NAMES)
    design = np.hstack([_design(x[:, j], _knots(x[:, j])) for j in range(x.shape[1])])
    library = LogisticRegression(C=0.1, max_iter=2000, tol=1e-6).fit(design, y)
    assert np.abs(model.logit(x) - library.decision_function(design)).max() < 1e-6


def test_step_tables_score_as_the_boosted_trees_do() -> None:
    x, y = world()
    model = fit_additive_boosting(x, y, NAMES)
    library = HistGradientBoostingClassifier(
        learning_rate=0.03,
        max_iter=250,
        max_leaf_nodes=8,
        min_samples_leaf=40,
        l2_regularization=5.0,
        interaction_cst="no_interactions",
        early_stopping=False,
        random_state=0,
    ).fit(x, y)
    unseen, _ = world(seed=2)
    assert np.abs(model.logit(unseen) - library.decision_function(unseen)).max() < 1e-6


def test_a_blend_is_the_mean_of_the_logits() -> None:
    x, y = world()
    parts = [fit_spline_logistic(x, y, NAMES), fit_additive_boosting(x, y, NAMES)]
    mean = (parts[0].logit(x) + parts[1].logit(x)) / 2
    assert np.abs(blend(parts).logit(x) - mean).max() < 1e-9


def test_a_model_read_back_from_json_says_the_same() -> None:
    x, y = world()
    model = blend([fit_spline_logistic(x, y, NAMES), fit_additive_boosting(x, y, NAMES)])
    again = model_from_json(json.loads(json.dumps(model.to_json())))
    assert np.array_equal(again.logit(x), model.logit(x))


def test_contributions_add_up_to_the_logit_and_points_to_the_probability() -> None:
    x, y = world()
    model = fit_additive_boosting(x, y, NAMES)
    told = explain(model, x, reference_of(x), season_offset=-0.4)
    logit = told.base_logit + told.season_offset + told.contributions.sum(axis=1)
    assert np.abs(logit - (model.logit(x) - 0.4)).max() < 1e-6
    assert np.abs(told.points.sum(axis=1) - (sigmoid(model.logit(x) - 0.4) - told.p_reference)).max() < 1e-9


def test_points_stay_small_for_a_customer_who_is_the_reference() -> None:
    x, y = world()
    model = fit_spline_logistic(x, y, NAMES)
    reference = reference_of(x)
    told = explain(model, reference[None, :], reference, season_offset=0.0)
    assert np.abs(told.points).max() == 0.0


def test_reasons_of_a_null_say_that_there_is_no_history() -> None:
    feature = Feature(
        "gap", "orders", "rhythm", "days", 0, "", "", "{value}", "{value}", "No rhythm", "لا وتيرة"
    )
    x, y = world()
    model = fit_spline_logistic(x[:, 3:], y, ("gap",))
    told = explain(model, np.array([[np.nan]]), reference_of(x[:, 3:]), 0.0)
    row = reasons(told, np.array([[np.nan]]), reference_of(x[:, 3:]), [feature], ["GBP"], {"GBP": 2})[0]
    reason = row["reason_1"] or row["protective_1"]
    assert (reason["sentence_en"], reason["sentence_ar"], reason["value"]) == ("No rhythm", "لا وتيرة", None)


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (1234.4, "days", "1,234"),
        (0.04, "share", "4%"),
        (150.0, "money", "150 JPY"),
        (123456.0, "money_gbp", "1,235 GBP"),
        (np.log(0.5), "log_ratio", "50%"),
        (np.log(112), "log_ratio", "112×"),
        (np.nan, "days", "–"),
    ],
)
def test_figures_are_told_as_people_read_them(value: float, unit: str, words: str) -> None:
    currency = "GBP" if unit.endswith("gbp") else "JPY"
    assert figure(value, unit.removesuffix("_gbp"), currency, {"GBP": 2, "JPY": 0}) == words


def test_figures_agree_with_the_library_ties_included() -> None:
    random = np.random.default_rng(3)
    y = (random.random(500) < 0.4).astype(float)
    p = np.round(np.clip(0.3 * y + random.random(500) * 0.7, 0, 1), 1)
    assert metrics.auc(y, p)[0] == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert metrics.average_precision(y, p)[0] == pytest.approx(average_precision_score(y, p), abs=1e-12)


def test_weights_of_the_bootstrap_count_customers_several_times() -> None:
    y, p = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.8, 0.3, 0.1])
    repeated = metrics.auc(np.repeat(y, [2, 1, 1, 3]), np.repeat(p, [2, 1, 1, 3]))[0]
    assert metrics.auc(y, p, np.array([[2.0, 1.0, 1.0, 3.0]]))[0] == pytest.approx(repeated, abs=1e-12)


@pytest.mark.parametrize("name", ["customer_id", "churned_90", "p_90", "label_closes_on"])
def test_outcomes_and_keys_are_refused_as_features(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        refuse_forbidden(["orders_90", name])


def test_every_feature_speaks_both_languages_and_says_when_it_is_null() -> None:
    for feature in features_of():
        assert "{value}" in feature.template_en, feature.name
        assert "{value}" in feature.template_ar, feature.name
        assert bool(feature.template_null_en) == bool(feature.template_null_ar), feature.name
        assert feature.null_rule, feature.name


# Model files.


def saved(folder: Path) -> Path:
    x, y = world(rows=400)
    save_model(folder, fit_spline_logistic(x, y, NAMES).to_json(), {"features": list(NAMES)})
    return folder


def load_model(folder: Path) -> tuple[AdditiveModel, dict[str, Any]]:
    content, manifest = load_content(folder)
    return additive_model_of(content, manifest, folder.name), manifest


def test_a_saved_model_is_loaded_with_its_manifest(tmp_path: Path) -> None:
    x, y = world(rows=400)
    model, manifest = load_model(saved(tmp_path))
    assert np.array_equal(model.logit(x), fit_spline_logistic(x, y, NAMES).logit(x))
    assert manifest["features"] == list(NAMES)


def test_an_altered_model_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path) / "model.json"
    path.write_text(path.read_text().replace("0.", "1.", 1))
    with pytest.raises(ModelRefused, match="not the file"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("version", 2, "version 2"),
        ("form", "another", "form"),
        ("features", ["x"], "features"),
        ("files", {"model.json": "0", "extra.pkl": "0"}, "nothing else"),
    ],
)
def test_a_foreign_or_newer_model_is_refused(tmp_path: Path, key: str, value: object, word: str) -> None:
    path = saved(tmp_path) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest[key] = value
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelRefused, match=word):
        load_model(tmp_path)


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    (saved(tmp_path) / "manifest.json").unlink()
    with pytest.raises(ModelRefused, match=r"manifest\.json"):
        load_model(tmp_path)


@pytest.mark.parametrize("content", [None, "{"])
def test_a_model_without_what_its_evaluation_kept_is_refused(tmp_path: Path, content: str | None) -> None:
    folder = saved(tmp_path / "abc")
    if content is not None:
        (folder / "metrics.json").write_text(content)
    with pytest.raises(ModelRefused, match=r"metrics\.json"):
        loaded(tmp_path, "abc")


def test_nothing_that_runs_code_when_it_is_read_stands_in_the_tree() -> None:
    """No module imports or names pickle, joblib or cloudpickle; none of their files lies about."""
    project = Path(__file__).parents[2]
    parts = ("churn_model", "pipelines", "dashboard", "tajdid", "billing", "benchmarks", "macros", "models")
    files = [path for part in parts for path in (project / part).rglob("*") if path.is_file()]
    sources = [path for path in files if path.suffix in (".py", ".toml", ".sql", ".yml")]
    assert len(sources) > 100
    words = re.compile(r"\b(c?pickle|joblib|cloudpickle|dill|marshal|shelve|skops)\b")
    named = {path.name: words.findall(path.read_text(encoding="utf-8")) for path in sources}
    assert {name: found for name, found in named.items() if found} == {}
    assert [path for path in files if path.suffix in (".pkl", ".pickle", ".joblib", ".skops")] == []
