"""What a build tells of its models: what each is, its columns, its descent and what its tests are of.

Read from dbt's manifest, so that descriptions, descent and tests stand beside the figures and no reader needs
the project. Written into raw_meta.models, raw_meta.model_columns and raw_meta.test_models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

MODELS: dict[str, pl.DataType | type[pl.DataType]] = {
    "model": pl.String,
    "schema_name": pl.String,
    "kind": pl.String,
    "description": pl.String,
    "parents": pl.List(pl.String),
    "sql": pl.String,
}
COLUMNS = {
    "model": pl.String,
    "schema_name": pl.String,
    "column_name": pl.String,
    "position": pl.Int64,
    "data_type": pl.String,
    "description": pl.String,
}
TESTS = {"test_name": pl.String, "model": pl.String, "asks": pl.String}


def write(connection: duckdb.DuckDBPyConnection, target: Path) -> None:
    """Put what the manifest in `target` says into raw_meta, in place of what an earlier build said."""
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    tables = {"models": models(manifest), "model_columns": columns(manifest), "test_models": tests(manifest)}
    for name, rows in tables.items():
        connection.execute(f"DELETE FROM raw_meta.{name}")
        connection.register("arriving", rows.to_arrow())
        connection.execute(f"INSERT INTO raw_meta.{name} BY NAME SELECT * FROM arriving")
        connection.unregister("arriving")


def models(manifest: Mapping[str, Any]) -> pl.DataFrame:
    """A row a model and a source table; `parents` are the models and sources it reads, by name.

    A source is named with its schema, `raw_billing.invoices`; a model's name is its own.
    """
    rows = [
        (
            _name(node),
            node["schema"],
            node["resource_type"],
            _one_line(node["description"]),
            sorted(_name(parent) for parent in _parents(manifest, node)),
            (node.get("compiled_code") or node.get("raw_code") or "").strip() or None,
        )
        for node in _nodes(manifest).values()
    ]
    return pl.DataFrame(rows, schema=MODELS, orient="row").sort("model")


def columns(manifest: Mapping[str, Any]) -> pl.DataFrame:
    """A row a described column of a model or source, in the order of its description."""
    rows = [
        (_name(node), node["schema"], column["name"], position, column.get("data_type"), said or None)
        for node in _nodes(manifest).values()
        for position, column in enumerate(node["columns"].values(), 1)
        for said in [_one_line(column.get("description") or "")]
    ]
    return pl.DataFrame(rows, schema=COLUMNS, orient="row").sort("model", "position")


def tests(manifest: Mapping[str, Any]) -> pl.DataFrame:
    """A row a test and a model that it reads; `asks` is the comment its SQL opens with, if any."""
    nodes = _nodes(manifest)
    rows = [
        (test["name"], _name(nodes[key]), _asks(test))
        for test in (*manifest["nodes"].values(), *manifest.get("unit_tests", {}).values())
        if test["resource_type"] in ("test", "unit_test")
        for key in test["depends_on"]["nodes"]
        if key in nodes
    ]
    return pl.DataFrame(rows, schema=TESTS, orient="row").unique().sort("test_name", "model")


def _nodes(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    kept = {
        key: node
        for key, node in manifest["nodes"].items()
        if node["resource_type"] in ("model", "seed", "snapshot")
    }
    return {**kept, **manifest["sources"]}


def _parents(manifest: Mapping[str, Any], node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    keys = node.get("depends_on", {}).get("nodes", [])
    known = manifest["nodes"] | manifest["sources"]
    return [known[key] for key in keys if key in known]


def _name(node: Mapping[str, Any]) -> str:
    return f"{node['schema']}.{node['name']}" if node["resource_type"] == "source" else str(node["name"])


def _one_line(description: str) -> str | None:
    return " ".join(description.split()) or None


def _asks(test: Mapping[str, Any]) -> str | None:
    raw = test.get("raw_code") or ""
    lines = takewhile(lambda line: line.startswith("--"), raw.splitlines())
    return _one_line(" ".join(line.removeprefix("--") for line in lines))
