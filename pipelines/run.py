"""A warehouse build: ingest, dbt build and tests, score, publish. The one place that holds this order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from pipelines.policy import Policy
from pipelines.sources.loading import SourceConfig, SourceError, Stage

__all__ = ["BuildRequest", "BuildResult", "SourceConfig", "SourceError", "Stage", "build", "is_current"]


@dataclass(frozen=True)
class BuildRequest:
    """What a build takes. `folder` is the company's, `project` holds dbt_project.yml. `built_at` is aware, UTC."""

    company: str
    folder: Path
    project: Path
    as_of: date
    built_at: datetime
    policy: Policy
    sources: tuple[SourceConfig, ...]
    is_sample: bool
    max_reject_share_bp: int = 10


@dataclass(frozen=True)
class BuildResult:
    """How a build ended. `status`: published or failed. `warehouse` is the published file, None when failed.

    `steps` are (name, seconds) in their order; `message` says in plain words what failed, or what was published.
    """

    build_id: str
    status: str
    warehouse: Path | None
    seconds: float
    steps: tuple[tuple[str, float], ...] = field(default=())
    message: str = ""
    rejected_rows: int = 0


def build(
    request: BuildRequest,
    *,
    score: Callable[[Path], None] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> BuildResult:
    """Build and publish a warehouse; see the module."""
    raise SourceError("The build is not put together yet.")


def is_current(request: BuildRequest) -> bool:
    """Whether the published snapshot was made from the same inputs, policy, as-of day and code."""
    return False
