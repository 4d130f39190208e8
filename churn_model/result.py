"""What an evaluation hands back, whatever kind of data it judged, and what is written of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from churn_model.description import Gate


class TooLittleData(Exception):
    """Training is refused: the message says what is missing, `ar` the same in Arabic where one is made."""

    def __init__(self, message: str, ar: str = "") -> None:
        super().__init__(message)
        self.ar = ar


@dataclass(frozen=True)
class Result:
    """An evaluation.

    figures: rows of candidate, split (None: the mean), metric, value, low, high, customers, base_rate;
    judged: the candidate of `figures` whose values the gates are held against; metrics: what else
    metrics.json says; predictions: row key, split, label, p of each candidate, contributions; document: of
    the report.
    """

    judged: str
    figures: Sequence[Mapping[str, Any]]
    metrics: Mapping[str, Any]
    predictions: pl.DataFrame
    document: Mapping[str, Any]

    def figure(self, metric: str, split: str | None = None) -> float | None:
        """A figure of the judged candidate; None where it was not computed."""
        for row in self.figures:
            of_split = None if row["split"] is None else str(row["split"])
            if (row["candidate"], row["metric"], of_split) == (self.judged, metric, split):
                return None if row["value"] is None else float(row["value"])
        return None


@dataclass(frozen=True)
class Held:
    """A gate beside the figure it was held against."""

    gate: Gate
    value: float | None
    holds: bool


def held(result: Result, gates: Sequence[Gate]) -> list[Held]:
    """Every gate with its figure."""
    return [
        Held(gate, value, gate.holds(value))
        for gate in gates
        for value in [result.figure(gate.metric, gate.split)]
    ]


def write(out: Path, result: Result, gates: Sequence[Held]) -> None:
    """metrics.json and predictions.parquet in a folder, which is made. No time and no place stands in them:
    the same data, settings and seed give the same bytes."""
    out.mkdir(parents=True, exist_ok=True)
    content = {
        **result.metrics,
        "judged": result.judged,
        "gates": [
            {
                "metric": one.gate.metric,
                "split": one.gate.split,
                "bound": one.gate.bound,
                "value": one.value,
                "holds": one.holds,
            }
            for one in gates
        ],
        "figures": list(result.figures),
    }
    text = json.dumps(finite(content), indent=1, ensure_ascii=False, default=str, allow_nan=False)
    (out / "metrics.json").write_text(text + "\n", encoding="utf-8")
    result.predictions.write_parquet(out / "predictions.parquet", compression="zstd", statistics=False)


def finite(value: Any) -> Any:
    """JSON has no NaN: what cannot be computed is null."""
    if isinstance(value, Mapping):
        return {str(name): finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
