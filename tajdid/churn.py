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


def newest_report(company: Company) -> tuple[pl.DataFrame | None, Path | None]:
    """Figures of the newest evaluation (one row per candidate, test date and metric) and its report file."""
    from pipelines.warehouse import WarehouseError, run_sql

    try:
        frame = run_sql(company.folder, "select * from churn.churn_evaluation")
    except WarehouseError:
        return None, None
    if frame.is_empty():
        return None, None
    reports = sorted((company.folder / "churn").glob("*/report.html"), key=lambda path: path.stat().st_mtime)
    return frame, reports[-1] if reports else None
