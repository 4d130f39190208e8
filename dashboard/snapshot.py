"""What is published for a company, and how it is read: one connection per company, build and scope, shared.

Answers are kept per build and scope: a new build is a new key, so nothing is ever stale and nothing has to be
cleared, and nobody is shown an answer to somebody who may see more.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st

from dashboard.answers import Answers
from dashboard.people.scope import EVERYTHING, Scope, key_of, open_scope
from dashboard.queries import Query
from dashboard.queries import build as build_queries
from dashboard.waiting import Waiting, has_reader
from pipelines.warehouse import Snapshot, WarehouseError, current, policy_path

KEPT_SNAPSHOTS = 32
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Build:
    """The published build: what day it speaks of, when it was made, and what kinds of source it had."""

    build_id: str
    as_of: date
    built_at: datetime
    is_sample: bool
    has_subscriptions: bool
    has_orders: bool
    reporting_currency: str
    min_customers: int
    failed_tests: int
    warned_tests: int


@dataclass(frozen=True)
class BuildAttempt:
    """One line of logs/builds.jsonl: a build that was published, or that failed and changed nothing."""

    build_id: str
    status: str
    step: str
    message: str
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    peak_memory_mb: float | None
    steps: tuple[tuple[str, float], ...]

    @property
    def is_published(self) -> bool:
        return self.status == "published"


@st.cache_resource(max_entries=KEPT_SNAPSHOTS, show_spinner=False)
def _opened(file: str, scope: Scope, has_alternatives: bool) -> Snapshot:
    """The connection to one published file in one scope.

    Opened anew once the figures under other definitions have been written beside it.
    Nothing closes it by hand: it ends when the last page that reads it lets go.
    """
    return open_scope(Path(file), scope)


def published(folder: Path, scope: Scope = EVERYTHING) -> Snapshot | None:
    """The newest published snapshot of a company in a scope; None when nothing has been published yet.

    Raises WarehouseError when it cannot be opened.
    """
    path = current(folder)
    if path is None:
        return None
    try:
        return _opened(str(path), scope, policy_path(path).is_file())
    except WarehouseError:
        newer = current(folder)  # it was published, and the other one taken away, in between
        if newer is None or newer == path:
            raise
        return _opened(str(newer), scope, policy_path(newer).is_file())


def answer(snapshot: Snapshot, query: Query, values: Mapping[str, object]) -> pl.DataFrame:
    """The rows a query gives on a snapshot, with those of `values` that it asks for."""
    place = (str(snapshot.path), key_of(snapshot))
    return _answers().ask(
        snapshot,
        place,
        query.stamped(snapshot.build_id),
        query.parameters(values),
        Waiting(query.name) if has_reader() else None,
    )


@st.cache_resource(show_spinner=False)
def _answers() -> Answers:
    """The answers of this process."""
    return Answers()


def build_of(snapshot: Snapshot) -> Build:
    """The build a snapshot comes from."""
    return Build(build_id=snapshot.build_id, **answer(snapshot, build_queries.BUILD, {}).row(0, named=True))


def exponents(snapshot: Snapshot) -> dict[str, int]:
    """Decimals of each currency."""
    return dict(answer(snapshot, build_queries.CURRENCIES, {}).iter_rows())


def attempts(folder: Path, limit: int = 50) -> list[BuildAttempt]:
    """The last builds, newest first. A line that cannot be read is left out and logged."""
    path = folder / "logs" / "builds.jsonl"
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-limit:]
    found = (_attempt(line) for line in reversed(lines) if line.strip())
    return [attempt for attempt in found if attempt is not None]


def _attempt(line: str) -> BuildAttempt | None:
    try:
        entry: dict[str, Any] = json.loads(line)
        return BuildAttempt(
            build_id=str(entry["build_id"]),
            status=str(entry["status"]),
            step=str(entry.get("step") or ""),
            message=str(entry.get("message") or ""),
            started_at=_instant(entry.get("started_at")),
            finished_at=_instant(entry.get("finished_at")),
            seconds=entry.get("seconds"),
            peak_memory_mb=entry.get("peak_memory_mb"),
            steps=tuple((str(step["name"]), float(step["seconds"])) for step in entry.get("steps") or ()),
        )
    except (ValueError, KeyError, TypeError):
        logger.warning("unreadable line in the build log: %.200s", line)
        return None


def _instant(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)
