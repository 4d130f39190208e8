"""Telling an unchanged build: one fingerprint of everything that decides what a snapshot holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from pipelines.sources import app
from pipelines.sources.loading import SourceConfig

PIPELINES = Path(__file__).parent
PROJECT_PARTS = (
    "dbt_project.yml",
    "models",
    "macros",
    "tests/warehouse",
    "data/seeds",
    "churn_model",
)
CODE = (".py", ".sql", ".yml", ".yaml", ".csv", ".toml")


def of_loaders() -> str:
    """A fingerprint of what turns files into raw rows: when it changes, every file is read again."""
    return _of_files([*_code(PIPELINES / "sources"), PIPELINES / "currencies.csv"])


def of_raw_tables() -> str:
    """A fingerprint of the raw tables' definition."""
    return _of_files([PIPELINES / "raw_schema.sql"])


def of_code(project: Path) -> str:
    """A fingerprint of what makes a snapshot from raw rows: when it changes, all rows are made anew."""
    code = [path for part in PROJECT_PARTS for path in _code(project / part)]
    return f"{_of_files([*code, *_code(PIPELINES)])} on DuckDB {duckdb.__version__}"


def of_inputs(project: Path, sources: tuple[SourceConfig, ...], settings: dict[str, Any]) -> str | None:
    """A fingerprint of the sources' content, the settings of the build and the code that makes it.

    None when a source is a database server, which can't be told to be unchanged without reading it.
    """
    contents = [_of_source(source) for source in sources]
    if None in contents:
        return None
    parts = {
        "settings": settings,
        "code": of_code(project),
        "sources": [
            [source.name, source.kind, source.location, dict(source.options), content]
            for source, content in zip(sources, contents, strict=True)
        ],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _of_source(source: SourceConfig) -> str | None:
    """A fingerprint of a source's content; None for a database server, which would have to be read."""
    if source.kind == "app":
        return app.state_of(source.location)
    if source.kind == "billing":
        if not source.location.startswith("sqlite:///"):
            return None
        path = Path(source.location.removeprefix("sqlite:///"))
        files = [path, path.with_name(path.name + "-wal")]
        states = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]
        return json.dumps([state for state in states if state[0]])
    location = Path(source.location)
    files = (
        [location, location.with_name("mapping.toml")] if location.is_file() else sorted(location.glob("*"))
    )
    return _of_files(path for path in files if path.is_file())


def _code(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    return sorted(
        path for path in place.rglob("*") if path.suffix in CODE and "__pycache__" not in path.parts
    )


def _of_files(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
    return digest.hexdigest()
