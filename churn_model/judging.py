"""What evaluations on folds say of themselves: metrics.json beside the figures, the report's document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import scipy
import sklearn
from numpy.typing import NDArray

from churn_model import appraisal
from churn_model.appraisal import Judged
from churn_model.candidates import CANDIDATES, Model
from churn_model.description import Description
from churn_model.folds import CHAMPION
from churn_model.matrix import Input
from churn_model.model import AdditiveModel
from churn_model.nested import INNER_FOLDS, Trained
from churn_model.preparation import Count
from churn_model.report import FORM, VERSION
from churn_model.result import TooLittleData
from churn_model.shapes import drawn

Column = NDArray[np.float64]
Mask = NDArray[np.bool_]


INTERACTIONS = {
    "en": "The champion has interactions: what one column does depends on others, so no curve shows it.",
    "ar": "في النموذج المعتمد تفاعلات: أثر العمود يتوقف على غيره، فلا يعرضه منحنى واحد.",
}
STEP = {"en": "step of time", "ar": "خطوة الزمن"}


def shapes_of(model: Model, x: Column, inputs: Sequence[Input]) -> list[dict[str, Any]]:
    """What each input adds to the log-odds beside its typical value (median, or most frequent category); none
    for a model with interactions. x: training rows x inputs."""
    if not isinstance(model, AdditiveModel):
        return []
    labels = [STEP if one.name == "step" else {"en": one.name, "ar": one.name} for one in inputs]
    categories = {one.name: one.categories for one in inputs if one.categories is not None}
    return drawn(model, x, reference_of(x, inputs), labels, categories=categories)


def reference_of(x: Column, inputs: Sequence[Input]) -> Column:
    """The typical row: the median of a number, the most frequent category; NaN without any value."""
    return np.array([_typical(x[~np.isnan(x[:, j]), j], one) for j, one in enumerate(inputs)])


def _typical(known: Column, one: Input) -> float:
    if not len(known):
        return float("nan")
    return float(np.bincount(known.astype(np.int64)).argmax() if one.levels else np.median(known))


def require_enough(y: Mask, min_events: int, folds: int) -> None:
    """Raises TooLittleData under `min_events` leavers, or with too few of either outcome for the folds."""
    left, stayed = int(y.sum()), int((~y).sum())
    if left < min_events:
        raise TooLittleData(
            f"{left} of {len(y)} customers left; an evaluation needs {min_events} ([protocol] min_events)"
        )
    least = folds * INNER_FOLDS
    if min(left, stayed) < least:
        raise TooLittleData(
            f"{left} customers left and {stayed} stayed; {folds} folds need at least {least} of each"
        )


def kept_of(
    description: Description,
    *,
    inputs: Sequence[Input],
    counts: Sequence[Count],
    trained: Sequence[Trained],
    champion: str,
    headline: str,
    leak: Mapping[str, Any],
    rows: int,
    events: int,
) -> dict[str, Any]:
    """What metrics.json says beside figures and gates."""
    return {
        "form": "tajdid-churn-evaluation",
        "version": 1,
        "kind": description.kind,
        "file": description.file.name,
        "champion": champion,
        "champion_by_fold": [fold.champion for fold in trained],
        "headline": headline,
        "rows": rows,
        "events": events,
        "counts": [{"code": one.code, "en": one.en, "ar": one.ar, "rows": one.rows} for one in counts],
        "inputs": [one.to_json() for one in inputs],
        "protocol": dict(description.protocol),
        "inner_log_loss": _mean_losses(trained),
        "boosting_by_fold": [{name: asdict(own) for name, own in fold.settings.items()} for fold in trained],
        "calibration_by_fold": [
            {
                "slope": fold.sigmoids[fold.champion].slope,
                "offset": fold.sigmoids[fold.champion].offset,
            }
            for fold in trained
        ],
        "leak_gap": leak.get("gap"),
        "leak": dict(leak),
        "library": {"scikit-learn": sklearn.__version__, "numpy": np.__version__, "scipy": scipy.__version__},
    }


def _mean_losses(trained: Sequence[Trained]) -> dict[str, float]:
    return {name: float(np.mean([fold.log_loss[name] for fold in trained])) for name in CANDIDATES}


def document_of(
    description: Description,
    kept: Mapping[str, Any],
    figures: Sequence[Mapping[str, Any]],
    rules: Sequence[str],
    shapes: Sequence[Mapping[str, Any]],
    judged: tuple[Column, Column] | None = None,
) -> dict[str, Any]:
    """The report's document. shapes: of `shapes_of`; judged: labels and the champion's probabilities of all
    rows, if there are any.

    Where every fold chose the same champion, its own rows are those of the champion.
    """
    is_one = len(set(kept["champion_by_fold"])) == 1
    champion = kept["champion"] if is_one else CHAMPION
    document = {
        "form": FORM,
        "version": VERSION,
        "kind": description.kind,
        "subject": description.file.name,
        "champion": champion,
        "headline": kept["headline"],
        "figures": [
            {name: value for name, value in row.items() if name != "sd"}
            | {"role": "test", "split": row["split"] and row["split"].removeprefix("fold ")}
            for row in figures
            if not (is_one and row["candidate"] == CHAMPION)
        ],
        "rules": list(rules),
        "counts": [
            {"what": {"en": one["en"], "ar": one["ar"]}, "rows": one["rows"]} for one in kept["counts"]
        ],
        "choice": {"folds": INNER_FOLDS, "log_loss": kept["inner_log_loss"]},
        "leak": kept["leak"],
        "card": {
            "training_rows": kept["rows"],
            "training_events": kept["events"],
            "features": [
                {"name": one["name"], "label": {"en": one["name"], "ar": one["name"]}}
                for one in kept["inputs"]
            ],
            "library": kept["library"],
            "seed": description.protocol["seed"],
        },
    }
    if shapes:
        document["shapes"] = list(shapes)
    else:
        document["limits"] = [INTERACTIONS]
    if judged is not None:
        y, p = judged
        rows = Judged(y, p)
        document |= {"curves": appraisal.curves(rows), "reliability": appraisal.reliability(rows)}
    return document
