"""Puts the churn model and the warehouse build together: neither knows the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.run import BuildRequest
from tajdid.workspace import Company

if TYPE_CHECKING:
    import polars as pl


def score_step(
    company: Company, request: BuildRequest, progress: Callable[[str], None]
) -> Callable[[Path], None]:
    """The scoring step of a build: takes the stage file, writes its schema `churn`."""

    def score(stage_file: Path) -> None:
        from churn_model.scoring import score_stage

        score_stage(
            stage_file,
            folder=company.folder,
            as_of=request.as_of,
            scored_at=request.built_at,
            progress=progress,
        )

    return score


EVALUATION = """
SELECT coalesce(CAST(test_on AS VARCHAR), 'mean') AS test_date, candidate, is_champion, customers,
    round(base_rate, 3) AS base_rate,
    round(max(value) FILTER (metric = 'auc'), 3) AS auc,
    round(max(value) FILTER (metric = 'ap'), 3) AS average_precision,
    round(max(value) FILTER (metric = 'brier'), 4) AS brier,
    round(max(value) FILTER (metric = 'ece'), 3) AS ece
FROM churn.churn_evaluation
GROUP BY ALL
ORDER BY test_date, auc
"""


def newest_report(company: Company) -> tuple[pl.DataFrame | None, Path | None]:
    """Figures of the newest evaluation, one row per test date (and their mean) and candidate, and the report.

    (None, None) where nothing was evaluated.
    """
    from pipelines.warehouse import WarehouseError, run_sql

    try:
        frame = run_sql(company.folder, EVALUATION)
        model = run_sql(company.folder, "SELECT model_id FROM churn.churn_status")
    except WarehouseError:
        return None, None
    if frame.is_empty():
        return None, None
    return frame, company.folder / "churn" / str(model.item()) / "report.html"
