"""What figures are made from: the models above a figure, the sources they begin with, and the tests between.

Read from what the build published of its models; a snapshot of an earlier release has nothing of it.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb
import polars as pl

from dashboard.queries import Query, build
from dashboard.queries import lineage as lineage_queries
from dashboard.view import Published

SCREENS = Path(__file__).with_name("screens")
FAILED = ("fail", "error")
TAKE_AN_ID = frozenset({"metric", "definition", "value_of", "retention_drill", "card"})
# The scores are no model of dbt: they are made from these snapshots.
SCORES = ("churn_scores", ("fct_account_snapshots", "fct_customer_snapshots"))


@dataclass(frozen=True)
class Model:
    """A table of the warehouse. `kind` is model, seed, snapshot, source or scores; parents by name."""

    name: str
    schema: str
    kind: str
    description: str
    parents: tuple[str, ...]


@dataclass(frozen=True)
class Lineage:
    """All models by name, and the results of their tests."""

    models: Mapping[str, Model]
    tests: pl.DataFrame

    def upstream(self, names: Iterable[str]) -> dict[str, int]:
        """Everything these are made from, themselves included, with the longest way to it in steps."""
        steps: dict[str, int] = {}
        waiting = [(name, 0) for name in names if name in self.models]
        while waiting:
            name, step = waiting.pop()
            if step > len(self.models):
                continue  # a circle, which dbt does not make
            if steps.get(name, -1) < step:
                steps[name] = step
                waiting += [(one, step + 1) for one in self.models[name].parents if one in self.models]
        return steps

    def downstream(self, names: Iterable[str]) -> set[str]:
        """Everything that is made from these, themselves included."""
        children: dict[str, list[str]] = {}
        for model in self.models.values():
            for parent in model.parents:
                children.setdefault(parent, []).append(model.name)
        reached, waiting = set(), list(names)
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached.add(name)
                waiting += children.get(name, [])
        return reached

    def tests_of(self, names: Iterable[str]) -> pl.DataFrame:
        """The results of the tests that read one of these."""
        return self.tests.filter(pl.col("model").is_in(list(names)))

    @property
    def failing(self) -> set[str]:
        """Models that a failed test of this build read."""
        return set(self.tests.filter(pl.col("status").is_in(FAILED))["model"].to_list())


def lineage(published: Published) -> Lineage | None:
    """What a build published of its models; None where it published nothing."""
    try:
        rows = published.rows(lineage_queries.MODELS)
        tests = published.rows(lineage_queries.TEST_RESULTS)
    except duckdb.CatalogException:
        return None
    if rows.is_empty():
        return None
    models = {
        row["model"]: Model(
            row["model"], row["schema_name"], row["kind"], row["description"] or "", tuple(row["parents"])
        )
        for row in rows.iter_rows(named=True)
    }
    name, parents = SCORES
    models[name] = Model(name, "churn", "scores", "", tuple(one for one in parents if one in models))
    return Lineage(models, tests)


def models_of(metric: Mapping[str, object]) -> list[str]:
    """The tables a metric of the registry is read from, by their own names."""
    return [part.strip().split(".")[-1] for part in str(metric["model"] or "").split(",") if part.strip()]


def failed_tables(published: Published) -> set[str]:
    """Tables that a failed test read, and all that is made from them; of this build.

    Where the build published no lineage: the tables that the failed tests themselves name.
    """
    if not published.build.failed_tests:
        return set()
    found = lineage(published)
    if found is None:
        return set(published.rows(build.FAILED_TESTS)["model"].drop_nulls().to_list())
    return found.downstream(found.failing)


def failed_tests(published: Published, tables: set[str]) -> list[str]:
    """Tests that failed in this build on one of these tables, or on what one of them is made from."""
    if not published.build.failed_tests:
        return []
    found = lineage(published)
    if found is None:
        rows = published.rows(build.FAILED_TESTS)
        return rows.filter(pl.col("model").is_in(list(tables)))["test_name"].to_list()
    behind = [*found.upstream(tables), *tables]
    failing = found.tests_of(behind).filter(pl.col("status").is_in(FAILED))
    return sorted(set(failing["test_name"].to_list()))


def failed_metrics(published: Published) -> set[str]:
    """Metrics of the registry that rest on a table whose tests failed in this build."""
    touched = failed_tables(published)
    if not touched:
        return set()
    registry = published.rows(lineage_queries.REGISTRY)
    return {row["metric_id"] for row in registry.iter_rows(named=True) if touched & set(models_of(row))}


def pages_with(metric_id: str, ids: frozenset[str]) -> list[str]:
    """The pages on which a metric stands; `ids` are those of the registry."""
    return [page for page, found in places(ids).items() if metric_id in found]


@cache
def places(ids: frozenset[str]) -> Mapping[str, frozenset[str]]:
    """Pages → metrics of the registry that their code asks for, themselves or by the statements they read."""
    return {path.stem: frozenset(_asked(path, ids)) & ids for path in sorted(SCREENS.glob("[a-z]*.py"))}


def _asked(path: Path, ids: frozenset[str]) -> set[str]:
    """Ids in calls that take one, in lists of nothing else, and those of statements; with imported parts."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {query.metric for query in _queries(tree) if query.metric}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in TAKE_AN_ID:
                found |= _texts(node.args)
            found |= _texts([word.value for word in node.keywords if word.arg in ("metric", "metric_id")])
        elif isinstance(node, ast.Tuple | ast.List | ast.Set) and (words := _texts(node.elts)) <= ids:
            found |= words
        elif isinstance(node, ast.ImportFrom) and node.module == "dashboard.screens":
            for part in node.names:
                found |= _asked(SCREENS / f"{part.name}.py", ids)
    return found


def _texts(nodes: Iterable[ast.expr]) -> set[str]:
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _queries(tree: ast.AST) -> list[Query]:
    """The statements a module asks, by the name of their module and their own."""
    modules = {
        part.asname or part.name: part.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "dashboard.queries"
        for part in node.names
    }
    asked = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        if node.value.id in modules:
            module = importlib.import_module(f"dashboard.queries.{modules[node.value.id]}")
            found = getattr(module, node.attr, None)
            if isinstance(found, Query):
                asked.append(found)
    return asked
