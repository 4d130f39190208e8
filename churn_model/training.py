"""What training repeat trade and accounts has in common: a model is made once for the same data and code,
judged by the protocol before it is kept, and its folder `churn/<model_id>/` with the manifest says that it
exists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import sklearn
from numpy.typing import NDArray

from churn_model import metrics, protocol, report
from churn_model.appraisal import evaluation_parts
from churn_model.dataset import HORIZON_DAYS, Feature, Panel, closed_origins
from churn_model.monitoring import bins_of
from churn_model.registry import MANIFEST, ModelRefused, load_content, model_id_of, save_model

CODE_VERSION = "5"
TENURE_BANDS = (180, 365)
RULES = ("recency_rule", "points_score")
Progress = Callable[[str], None]
Column = NDArray[np.float64]


@dataclass(frozen=True)
class Trained:
    """A model ready to score: what model.json holds, its manifest, its evaluation as kept in metrics.json."""

    model_id: str
    content: Mapping[str, Any]
    manifest: Mapping[str, Any]
    evaluation: Mapping[str, Any]

    @property
    def reference(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The reference of all training customers, one value a feature."""
        values = self.manifest["reference"]
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def identity_of(
    commitment: str, features: Sequence[Feature], known: pl.DataFrame, horizon_days: int
) -> dict[str, Any]:
    """Everything that decides what a model becomes."""
    return {
        "code": CODE_VERSION,
        "library": sklearn.__version__,
        "class": commitment,
        "features": [asdict(feature) for feature in features],
        "horizon_days": horizon_days,
        "data": hashlib.sha256(known.write_csv().encode()).hexdigest(),
    }


def loaded(folder: Path, model_id: str) -> Trained:
    """A model from its folder. Raises ModelRefused where the files were altered, are foreign or newer."""
    content, manifest = load_content(folder / model_id)
    metrics = folder / model_id / "metrics.json"
    try:
        kept = json.loads(metrics.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelRefused(f"{folder / model_id} has no readable metrics.json: {error}") from error
    return Trained(model_id, content, manifest, kept)


def made_once(
    folder: Path,
    identity: Mapping[str, Any],
    features: Sequence[Feature],
    make: Callable[[], tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]],
) -> Trained:
    """The model of an identity: from its folder, else made now and kept there.

    `make` gives the content of model.json, the manifest and what metrics.json keeps. Raises what it raises,
    and ModelRefused.
    """
    model_id = model_id_of(identity)
    target = folder / model_id
    if not (target / MANIFEST).exists():
        content, manifest, kept = make()
        manifest = {"model_id": model_id, **manifest, "identity": identity}
        report.write(target, report.document_of_model(manifest, kept, features))
        (target / "metrics.json").write_text(json.dumps(kept, indent=1, default=str), encoding="utf-8")
        save_model(target, content, manifest)
    return loaded(folder, model_id)


def manifest_of(
    panel: Panel, known: Panel, features: Sequence[Feature], as_of: date, reference: Any
) -> dict[str, Any]:
    """What every manifest tells of the training rows."""
    origins = closed_origins(panel, as_of)
    return {
        "features": [feature.name for feature in features],
        "reference": listed(reference),
        "ranges": [_range(known.x[:, j]) for j in range(known.x.shape[1])],
        "bins": {feature.name: bins_of(known.x[:, j]).to_json() for j, feature in enumerate(features)},
        "trained_as_of": str(as_of),
        "trained_from": str(origins[0]),
        "trained_to": str(known.as_of.max()),
        "training_rows": len(known.y),
        "training_customers": known.frame["customer_id"].n_unique(),
        "training_events": protocol.leavers(known),
        "closed_origins": len(origins),
        "support": support_of(known.frame),
        "library": {"scikit-learn": sklearn.__version__},
    }


def score_bins(evaluation: protocol.Evaluation) -> dict[str, Any]:
    """The champion's probabilities on the newest test date in bins: what later scores are set beside."""
    said = evaluation.predictions[evaluation.champion][evaluation.test_dates[-1]]
    return bins_of(said.p).to_json()


def listed(values: Any) -> list[float | None]:
    """Numbers as JSON has them: null for what is not known."""
    return [None if np.isnan(value) else float(value) for value in values]


def _range(x: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float | None]:
    known = x[~np.isnan(x)]
    return {
        "low": float(known.min()) if len(known) else None,
        "high": float(known.max()) if len(known) else None,
        "null_share": float(np.isnan(x).mean()),
    }


def peers(frame: pl.DataFrame) -> list[str]:
    """Of each row its segment, class and tenure band, as the keys of `support_of` have them."""
    tenure = pl.col("tenure_days").fill_null(0)
    band = sum((tenure >= bound).cast(pl.Int64) for bound in TENURE_BANDS) + pl.lit(0)
    parts = [
        pl.col(name).cast(pl.String).fill_null("") if name in frame.columns else pl.lit("")
        for name in ("segment", "commitment_class")
    ]
    return frame.select(pl.concat_str([*parts, band.cast(pl.String)], separator="|")).to_series().to_list()


def support_of(frame: pl.DataFrame) -> dict[str, int]:
    """How many training customers there are of each segment, class and tenure band."""
    counts = (
        frame.select("customer_id", pl.Series("peers", peers(frame), dtype=pl.String))
        .group_by("peers")
        .agg(pl.col("customer_id").n_unique().alias("customers"))
        .sort("peers")
    )
    return dict(counts.iter_rows())


def kept_of(
    evaluation: protocol.Evaluation,
    panel: Panel,
    as_of: date,
    capacity: int,
    shapes: Sequence[Mapping[str, Any]],
    *,
    known_day_assumed: bool,
) -> dict[str, Any]:
    """What metrics.json holds: figures, reliability, cohorts by month, and who was caught or missed."""
    months = (
        panel.closed_by(as_of)
        .frame.with_columns(left=pl.Series(panel.closed_by(as_of).y).cast(pl.Int64))
        .group_by("as_of")
        .agg(pl.len().alias("customers"), pl.col("left").sum())
        .sort("as_of")
    )
    rule = max(protocol.mean_figure(evaluation.figures, name, "auc") for name in RULES)
    champion = protocol.mean_figure(evaluation.figures, evaluation.champion, "auc")
    said = evaluation.predictions[evaluation.champion]
    parts = evaluation_parts(
        panel,
        {day: said[day].p for day in evaluation.test_dates},
        capacity,
        HORIZON_DAYS,
        closes_after=panel.horizon_days - HORIZON_DAYS,
    )
    return {
        "champion": evaluation.champion,
        "headline": "model_wins" if champion > rule else "rule_wins",
        "leak_gap": evaluation.leak_gap,
        "leak_alarms": list(evaluation.leak_alarms),
        "known_day_assumed": known_day_assumed,
        "origins": [str(day) for day in evaluation.origins],
        "origin_log_loss": dict(evaluation.origin_log_loss),
        "test_dates": [str(day + timedelta(days=1)) for day in evaluation.test_dates],
        "figures": [asdict(figure) for figure in evaluation.figures],
        "origin_figures": [asdict(figure) for figure in evaluation.origin_figures],
        "reliability": [
            {
                "candidate": name,
                "test_on": str(day + timedelta(days=1)),
                "bins": metrics.reliability(panel.on(day).y, prediction.p),
            }
            for name, by_day in evaluation.predictions.items()
            for day, prediction in by_day.items()
            if prediction.is_probability
        ],
        "months": [{"as_of": str(day), "customers": n, "left": left} for day, n, left in months.iter_rows()],
        "weekly_list": parts["weekly_list"],
        "parts": {**parts, "shapes": list(shapes)},
    }
