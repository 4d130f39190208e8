"""What a build tells the models in raw_meta: its own row, the policy in force, the metric registry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import yaml  # type: ignore[import-untyped]

from pipelines.policy import Policy
from pipelines.sources.loading import SourceConfig, SourceError

METRIC_COLUMNS = (
    "metric_id",
    "label_en",
    "label_ar",
    "definition_en",
    "definition_ar",
    "formula",
    "unit",
    "good_direction",
    "owner",
    "model",
    "numerator",
    "denominator",
    "settings",
    "since_version",
)


def write_build(
    connection: duckdb.DuckDBPyConnection,
    *,
    build_id: str,
    company: str,
    as_of: date,
    built_at: datetime,
    is_sample: bool,
    sources: tuple[SourceConfig, ...],
) -> None:
    """Write the one row of raw_meta.build. What is known by `built_at` counts."""
    kinds = {source.kind for source in sources}
    connection.execute("DELETE FROM raw_meta.build")
    connection.execute(
        "INSERT INTO raw_meta.build BY NAME SELECT ? AS build_id, ? AS company, ?::DATE AS as_of, "
        "?::TIMESTAMPTZ AS known_to, ?::TIMESTAMPTZ AS built_at, ? AS is_sample, ? AS has_billing, "
        "? AS has_orders, ? AS has_crm",
        [
            build_id,
            company,
            as_of,
            built_at,
            built_at,
            is_sample,
            bool(kinds & {"billing", "periods", "stripe"}),
            "orders" in kinds,
            "crm" in kinds,
        ],
    )


def write_policy(connection: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """Write the one row of raw_meta.policy, every setting filled in."""
    row = policy.row()
    columns = ", ".join(f'? AS "{name}"' for name in row)
    connection.execute("DELETE FROM raw_meta.policy")
    connection.execute(f"INSERT INTO raw_meta.policy BY NAME SELECT {columns}", list(row.values()))


def registry_files(models: Path) -> list[Path]:
    """The files of the metric registry: `metrics.yml` and those of the folder `metrics`."""
    files = [models / "metrics.yml", *sorted((models / "metrics").glob("*.yml"))]
    return [file for file in files if file.is_file()]


def read_registry(*files: Path) -> list[dict[str, Any]]:
    """The metrics of the registry, in the order of the files.

    A file is a list of metrics, or a mapping with that list under `metrics`. Raises SourceError when one is
    no YAML or no such list.
    """
    entries: list[dict[str, Any]] = []
    for file in files:
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise SourceError(f"{file} is no valid YAML: {error}.") from error
        found = content.get("metrics") if isinstance(content, dict) else content
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            raise SourceError(f"{file} must hold a list of metrics.")
        entries += found
    return entries


def write_metrics(connection: duckdb.DuckDBPyConnection, *files: Path) -> int:
    """Fill raw_meta.metrics from the files of the metric registry; returns how many there are.

    Raises SourceError as `read_registry` does, and when an entry has no id, or one that is taken.
    """
    connection.execute("DELETE FROM raw_meta.metrics")
    rows = [_metric(entry) for entry in read_registry(*files)]
    ids = [row[0] for row in rows]
    wrong = sorted({str(metric_id) for metric_id in ids if not metric_id or ids.count(metric_id) > 1})
    if wrong:
        names = ", ".join(str(file) for file in files)
        raise SourceError(f"{names}: every metric needs an id of its own; see {', '.join(wrong)}.")
    if rows:
        marks = ", ".join("?" for _ in METRIC_COLUMNS)
        connection.executemany(
            f"INSERT INTO raw_meta.metrics ({', '.join(METRIC_COLUMNS)}) VALUES ({marks})", rows
        )
    return len(rows)


def _metric(entry: Mapping[str, Any]) -> list[str | None]:
    flat: dict[str, Any] = {}
    for name, value in entry.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{part}": one for part, one in value.items()}
        else:
            flat[name] = value
    flat.setdefault("metric_id", flat.get("id"))
    flat.setdefault("good_direction", flat.get("direction"))
    return [_text(flat.get(name)) for name in METRIC_COLUMNS]


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return ", ".join(str(part) for part in value) if isinstance(value, list) else str(value).strip()
