"""Builds in memory as the pipeline makes them: in full, or as an increment on the one before, with the
statements that dbt executes for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import jinja2
import polars as pl
from growing_company import Build

from pipelines import increment, meta
from pipelines.compiled import Model, execute
from pipelines.policy import read_policy
from tajdid.conformance.analytics_models import open_warehouse

MACROS = Path(__file__).resolve().parents[2] / "macros"
CODE = "the same code"


def opened(build: Build, **settings: Any) -> duckdb.DuckDBPyConnection:
    """A warehouse in memory without rows, for the first build of a company."""
    return open_warehouse(read_policy(None, settings), build.as_of, build.known_to)


def load(connection: duckdb.DuckDBPyConnection, build: Build) -> None:
    """Add a build's rows to the raw tables, and write that it is under way."""
    for table, rows in build.rows.items():
        connection.register("arriving", pl.DataFrame(rows, infer_schema_length=None).to_arrow())
        connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM arriving")
        connection.unregister("arriving")
    meta.write_build(
        connection,
        build_id=build.build_id,
        company="memory",
        as_of=build.as_of,
        built_at=build.known_to,
        is_sample=False,
        sources=(),
    )


def make(
    connection: duckdb.DuckDBPyConnection, models: Iterable[Model], build: Build, code: str = CODE
) -> increment.Increment:
    """Load a build's rows and make the models as it is decided; returns how."""
    before = increment.known(connection)
    load(connection, build)
    way = increment.decide(connection, before, code)
    if way.is_full:
        execute(connection, models)
    else:
        execute_in_parts(connection, models)
    increment.close(connection)
    connection.execute("DELETE FROM raw_meta.fingerprints")
    connection.execute("INSERT INTO raw_meta.fingerprints VALUES ('code', ?)", [code])
    return way


def execute_in_parts(connection: duckdb.DuckDBPyConnection, models: Iterable[Model]) -> None:
    """Make the models of an increment: views stay, some tables are rebuilt in parts, all others anew."""
    views = {
        name: text.split(" AS ", 1)[1].rstrip().rstrip(";")
        for name, text in connection.execute(
            "SELECT schema_name || '.' || view_name, sql FROM duckdb_views() WHERE NOT internal"
        ).fetchall()
    }
    for model in models:
        if model.parts is not None:
            name = model.relation.removeprefix("warehouse.")
            connection.execute(_macros().rebuilt_parts(name, model.sql, model.parts, views))
        elif not model.is_view:
            connection.execute(f"CREATE OR REPLACE TABLE {model.relation} AS {model.sql}")


@cache
def _macros() -> Any:
    text = (MACROS / "rebuilt_parts.sql").read_text(encoding="utf-8")
    environment = jinja2.Environment(extensions=["jinja2.ext.do"], autoescape=False)
    return environment.from_string(text).make_module({"modules": SimpleNamespace(re=re)})


def contents(
    connection: duckdb.DuckDBPyConnection, models: Iterable[Model]
) -> dict[str, tuple[int, int | None]]:
    """Of each table how many rows it has, and the sum of their hashes, in which no order counts."""
    return {
        model.name: connection.execute(
            f"SELECT count(*), sum(hash(one)::HUGEINT) FROM {model.relation} AS one"
        ).fetchall()[0]
        for model in models
        if not model.is_view and not model.name.startswith("int_touched_")
    }
