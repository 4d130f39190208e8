"""A trained model as rows of the warehouse: the registry, its figures by test date, its reliability."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import polars as pl

from churn_model.decisions import CHAMPION_RULE
from churn_model.training import Trained

RULES = ("base_rate", "recency_rule", "points_score")


def registry_row(trained: Trained, stage: str, at: datetime) -> dict[str, Any]:
    """A row of churn_models: the stage a model reached by the champion rule."""
    manifest, kept = trained.manifest, trained.evaluation
    counts = ("training_rows", "training_customers", "training_events", "closed_origins", "horizon_days")
    return {
        "model_id": trained.model_id,
        "stage": stage,
        "candidate": kept["champion"],
        "commitment_class": manifest["commitment_class"],
        "as_of": date.fromisoformat(manifest["trained_as_of"]),
        "trained_from": date.fromisoformat(manifest["trained_from"]),
        "trained_to": date.fromisoformat(manifest["trained_to"]),
        **{name: manifest[name] for name in counts},
        "leak_gap": kept["leak_gap"],
        "headline": kept["headline"],
        "metrics": json.dumps(
            [figure for figure in kept["figures"] if figure["candidate"] == kept["champion"]], default=str
        ),
        "known_day_assumed": kept["known_day_assumed"],
        "approved_by": CHAMPION_RULE,
        "at": at,
    }


def evaluation_rows(trained: Trained) -> pl.DataFrame:
    kept = trained.evaluation
    rows = [
        {
            "model_id": trained.model_id,
            "candidate": figure["candidate"],
            "kind": "rule" if figure["candidate"] in RULES else "model",
            "is_champion": figure["candidate"] == kept["champion"],
            "split": "temporal",
            "test_on": None if figure["test_date"] is None else date.fromisoformat(str(figure["test_date"])),
            "metric": figure["metric"],
            "value": figure["value"],
            "low": figure["low"],
            "high": figure["high"],
            "customers": figure["customers"],
            "events": round(figure["customers"] * figure["base_rate"]),
            "base_rate": figure["base_rate"],
        }
        for figure in kept["figures"]
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def reliability_rows(trained: Trained) -> pl.DataFrame:
    rows = [
        {
            "model_id": trained.model_id,
            "candidate": entry["candidate"],
            "is_champion": entry["candidate"] == trained.evaluation["champion"],
            "test_on": date.fromisoformat(entry["test_on"]),
            "bin": place + 1,
            "customers": customers,
            "mean_p": predicted,
            "observed": observed,
        }
        for entry in trained.evaluation["reliability"]
        for place, (customers, predicted, observed) in enumerate(entry["bins"])
    ]
    return pl.DataFrame(rows)
