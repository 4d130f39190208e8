"""The registry of metrics: whole in both languages, and true to the marts and the policy it names."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from subscription_models import models

from pipelines.meta import read_registry, registry_files
from pipelines.policy import INSTALLATION, SETTINGS

MODELS = Path(__file__).resolve().parents[2] / "models"
METRICS: list[dict[str, Any]] = read_registry(*registry_files(MODELS))
MARTS: dict[str, set[str]] = {
    model["name"]: {column["name"] for column in model["columns"]}
    for file in (MODELS / "marts").glob("_marts__*.yml")
    for model in yaml.safe_load(file.read_text(encoding="utf-8"))["models"]
}
FIELDS = {
    "id",
    "label_en",
    "label_ar",
    "definition_en",
    "definition_ar",
    "formula",
    "unit",
    "direction",
    "owner",
    "model",
}
UNITS = {"minor", "minor_per_month", "minor_per_year", "ratio", "share", "count", "months", "days"}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric["id"])
def test_a_metric_is_whole_in_both_languages(metric):
    assert {field for field in FIELDS if str(metric.get(field, "")).strip()} == FIELDS
    assert metric["unit"] in UNITS
    assert metric["direction"] in ("up", "down", "none")
    for field in ("label_ar", "definition_ar"):
        assert re.search("[\u0621-\u064a]", metric[field])
        assert "٪" not in metric[field]  # its digits are Latin, and so is their sign
    for field in ("label_en", "definition_en", "formula"):
        assert not re.search("[\u0600-\u06ff]", metric[field])
    assert set(metric.get("settings", [])) <= {*SETTINGS, *INSTALLATION}


@pytest.mark.parametrize(
    "metric",
    [metric for metric in METRICS if not metric["model"].startswith("churn.")],
    ids=lambda metric: metric["id"],
)
def test_a_metric_names_a_mart_and_its_columns(metric):
    columns = MARTS[metric["model"]]
    for part in ("numerator", "denominator"):
        words = re.findall("[a-z_]+", re.sub(r"\(.*\)| by .*", "", metric.get(part) or ""))
        assert set(words) <= columns


@cache
def computed() -> set[str]:
    """The metrics that fct_metric_values has values of: those that it and the models it unites name."""
    (values,) = (model for model in models() if model.name == "fct_metric_values")
    united = [model for model in models() if model.name in values.reads and "_parts__" in model.name]
    return {name for model in (values, *united) for name in re.findall(r"'metric_id': '(\w+)'", model.sql)}


def test_every_metric_that_is_computed_is_in_the_registry():
    assert len(computed()) > 20
    assert computed() <= {metric["id"] for metric in METRICS}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric["id"])
def test_every_metric_in_the_registry_is_computed(metric):
    """In fct_metric_values; else it is read from columns of its own mart, or written by the churn model."""
    if metric["id"] not in computed() and not metric["model"].startswith("churn."):
        assert metric["model"] not in ("fct_metric_values", "fct_mrr_months", "fct_retention")
        assert set(re.findall("[a-z_]+", metric["numerator"])) & MARTS[metric["model"]]


def test_an_id_stands_once():
    ids = [metric["id"] for metric in METRICS]
    assert len(ids) == len(set(ids))
