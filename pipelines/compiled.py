"""The models as dbt compiled them, executed in memory in their order: on other rows, under another policy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb


@dataclass(frozen=True)
class Model:
    """One model: its name, the relation it makes and whether that is a view, its SQL, the models it reads.

    Or a test of the warehouse: its SQL finds wrong rows and makes no relation. `parts` says how an increment
    rebuilds the table, as macros/in_parts.sql reads it; None where it is made anew in every build. The SQL is
    that of all rows.
    """

    name: str
    relation: str
    is_view: bool
    sql: str
    reads: tuple[str, ...]
    is_test: bool = False
    parts: Mapping[str, Any] | None = None


def models_of(manifest: Path, *, with_tests: bool = False) -> tuple[Model, ...]:
    """The compiled models of a dbt manifest, in an order of execution; with_tests: and the singular tests."""
    kinds = ("model", "test") if with_tests else ("model",)
    content = json.loads(manifest.read_text(encoding="utf-8"))
    nodes = {
        key: node
        for key, node in content["nodes"].items()
        if node["resource_type"] in kinds and node.get("compiled_code") and not node.get("test_metadata")
    }
    reads = {
        key: [name for name in node["depends_on"]["nodes"] if name in nodes] for key, node in nodes.items()
    }
    return tuple(
        Model(
            nodes[key]["name"],
            f"warehouse.{nodes[key]['schema']}.{nodes[key]['alias']}",
            nodes[key]["config"]["materialized"] == "view",
            nodes[key]["compiled_code"],
            tuple(nodes[name]["name"] for name in reads[key]),
            nodes[key]["resource_type"] == "test",
            nodes[key]["config"]["meta"] if nodes[key]["config"]["materialized"] == "in_parts" else None,
        )
        for key in TopologicalSorter(reads).static_order()
    )


def needed(models: Iterable[Model], *names: str) -> tuple[Model, ...]:
    """Those of the models that the named ones are made from, in the same order."""
    models = tuple(models)
    by_name = {model.name: model for model in models}
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += by_name[name].reads
    return tuple(model for model in models if model.name in found)


def execute(connection: duckdb.DuckDBPyConnection, models: Iterable[Model]) -> None:
    """Make every model anew from the raw tables, in the given order."""
    for schema in ("staging", "intermediate", "marts"):
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        connection.execute(f"CREATE SCHEMA {schema}")
    _make(connection, models)


def execute_after(
    connection: duckdb.DuckDBPyConnection, models: Iterable[Model], given: str, *names: str
) -> None:
    """Make the named models again, and those between them and a `given` one whose rows stand as they are."""
    models = tuple(models)
    before = {model.name for model in needed(models, given)}
    _make(connection, [model for model in needed(models, *names) if model.name not in before])


def _make(connection: duckdb.DuckDBPyConnection, models: Iterable[Model]) -> None:
    for model in models:
        kind = "VIEW" if model.is_view else "TABLE"
        connection.execute(f"CREATE OR REPLACE {kind} {model.relation} AS {model.sql}")
