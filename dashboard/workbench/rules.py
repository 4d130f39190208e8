"""What may be asked: one SELECT, or EXPLAIN of one, of the tables named here, calling the functions listed.

The text is judged by its parsed tree, so neither comments nor quotes hide anything. Whatever the tree holds
that is not known here is refused: a list of what is allowed, never of what is forbidden.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

CATALOG = "warehouse"
SCHEMAS = ("marts", "churn")
LONGEST_STATEMENT = 50_000
MOST_COLUMNS = 300
"""Of an answer: a page of them is drawn by the server that everybody uses."""
FUNCTIONS = Path(__file__).with_name("functions.txt")
TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "json_each", "json_tree"})
QUERIES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
SOURCES = frozenset(
    {"BASE_TABLE", "SUBQUERY", "JOIN", "EXPRESSION_LIST", "EMPTY", "PIVOT", "TABLE_FUNCTION", "SHOW_REF"}
)
MODIFIERS = frozenset(
    {
        *("ORDER_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "DISTINCT_MODIFIER"),
        *("ORDER_DEFAULT", "ASCENDING", "DESCENDING"),
    }
)
EXPRESSIONS = frozenset(
    {
        *("BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT"),
        *("DEFAULT", "FUNCTION", "LAMBDA", "LAMBDA_REF", "OPERATOR", "PARAMETER", "POSITIONAL_REFERENCE"),
        *("STAR", "SUBQUERY", "WINDOW"),
    }
)
CALLS = frozenset({"FUNCTION", "WINDOW"})
# Leaves: a constant's own type and value, and the type of a cast, name nothing that could be read.
LEAVES = frozenset({"cast_type", "value"})
NAMED_BY_THE_ENGINE = ("duckdb_", "pg_", "sqlite_", "pragma_", "information_schema")


class Refused(Exception):
    """A statement that is not answered: `code` says why (the page has the words), `detail` names the part."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class Statement:
    """A statement that may be run: its text, and the names of its parameters in the order of the text."""

    text: str
    parameters: tuple[str, ...]
    is_explained: bool


@cache
def functions() -> frozenset[str]:
    """Names of the functions that may be called, in small letters."""
    lines = FUNCTIONS.read_text(encoding="utf-8").splitlines()
    return frozenset(name.lower() for line in lines if not line.startswith("# ") for name in line.split())


def checked(
    connection: duckdb.DuckDBPyConnection, text: str, tables: Mapping[str, Iterable[str]]
) -> Statement:
    """The statement, if it may be asked of `tables` (schema → names). Raises Refused.

    `connection` only parses; nothing is run.
    """
    if not text.strip():
        raise Refused("empty")
    if len(text) > LONGEST_STATEMENT:
        raise Refused("too_long")
    if "\x00" in text:
        raise Refused("not_sql")
    asked = _one(text)
    question, is_explained = asked.query, False
    if asked.type == duckdb.StatementType.EXPLAIN:
        question, is_explained = _explained(asked.query), True
        if _one(question).type != duckdb.StatementType.SELECT:
            raise Refused("not_select")
    elif asked.type != duckdb.StatementType.SELECT:
        raise Refused("not_select")
    found = _tree(connection, question)
    names = {schema: frozenset(name.lower() for name in tables[schema]) for schema in tables}
    walk = _Walk(names, [])
    try:
        walk.node(found["node"], frozenset())
    except RecursionError as error:
        raise Refused("too_long") from error
    return Statement(asked.query, tuple(dict.fromkeys(walk.parameters)), is_explained)


def _one(text: str) -> duckdb.Statement:
    try:
        statements = duckdb.extract_statements(text)
    except duckdb.Error as error:
        raise Refused("not_sql", str(error)) from error
    if not statements:
        raise Refused("empty")
    if len(statements) != 1:
        raise Refused("many")
    return statements[0]


def _explained(text: str) -> str:
    """What stands behind EXPLAIN or EXPLAIN ANALYZE; other options of it are refused by not being SQL."""
    raw = text.encode()
    starts = [start for start, _ in duckdb.tokenize(text)]
    words = [raw[start:end].decode() for start, end in zip(starts, [*starts[1:], len(raw)], strict=True)]
    first = 2 if len(words) > 1 and _word(words[1]) in ("analyze", "analyse") else 1
    if _word(words[0]) != "explain" or len(words) <= first:
        raise Refused("not_select")
    return raw[starts[first] :].decode()


def _word(token: str) -> str:
    """A token without the comment that goes with it."""
    return token.split()[0].split("/*")[0].split("--")[0].lower() if token.split() else ""


def _tree(connection: duckdb.DuckDBPyConnection, text: str) -> Any:
    rows = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchall()
    try:
        parsed = json.loads(rows[0][0])
    except RecursionError as error:
        raise Refused("too_long") from error
    if parsed["error"] or len(parsed["statements"]) != 1:
        raise Refused("form", str(parsed.get("error_message") or ""))
    return parsed["statements"][0]


@dataclass(frozen=True)
class _Walk:
    """Goes through a tree. `visible` are the names of common table expressions that a place can see."""

    tables: Mapping[str, frozenset[str]]
    parameters: list[str]

    def node(self, node: Mapping[str, Any], visible: frozenset[str]) -> None:
        """A query: first its common table expressions, each seeing those before it, then the rest."""
        if node.get("type") not in QUERIES:
            raise Refused("form", str(node.get("type")))
        for entry in node.get("cte_map", {}).get("map", []):
            name = entry["key"].lower()
            if name.startswith(NAMED_BY_THE_ENGINE):
                raise Refused("table", entry["key"])
            self.anything(entry["value"], visible)
            visible |= {name}
        if node["type"] in ("RECURSIVE_CTE_NODE", "CTE_NODE") and node.get("cte_name"):
            name = str(node["cte_name"]).lower()
            if name.startswith(NAMED_BY_THE_ENGINE):
                raise Refused("table", str(node["cte_name"]))
            first = "left" if node["type"] == "RECURSIVE_CTE_NODE" else "query"
            self.anything(node.get(first), visible)
            rest = {key: part for key, part in node.items() if key not in ("cte_map", first)}
            self.parts(rest, visible | {name})
            return
        self.parts({key: part for key, part in node.items() if key != "cte_map"}, visible)

    def anything(self, part: Any, visible: frozenset[str]) -> None:
        if isinstance(part, list):
            for one in part:
                self.anything(one, visible)
        elif isinstance(part, dict):
            kind = part.get("type")
            if "class" in part:
                self.expression(part, visible)
            elif not isinstance(kind, str):
                self.parts(part, visible)
            elif kind in QUERIES:
                self.node(part, visible)
            elif kind in SOURCES:
                self.source(part, visible)
            elif kind in MODIFIERS:
                self.parts(part, visible)
            else:
                raise Refused("form", kind)

    def parts(self, part: Mapping[str, Any], visible: frozenset[str]) -> None:
        for key, one in part.items():
            if key not in LEAVES or part.get("class") not in ("CAST", "CONSTANT"):
                self.anything(one, visible)

    def expression(self, part: Mapping[str, Any], visible: frozenset[str]) -> None:
        kind = part["class"]
        if kind not in EXPRESSIONS:
            raise Refused("form", str(kind))
        if kind in CALLS and part["function_name"].lower() not in functions():
            raise Refused("function", part["function_name"])
        if kind == "PARAMETER":
            name = str(part.get("identifier", ""))
            if not name.isidentifier():
                raise Refused("parameter")
            self.parameters.append(name)
        self.parts(part, visible)

    def source(self, part: Mapping[str, Any], visible: frozenset[str]) -> None:
        kind = part["type"]
        if kind == "BASE_TABLE":
            self.table(part, visible)
        if kind == "TABLE_FUNCTION":
            name = part["function"].get("function_name", "")
            if part["function"].get("class") != "FUNCTION" or name.lower() not in TABLE_FUNCTIONS:
                raise Refused("function", name)
            self.parts({"children": part["function"].get("children")}, visible)
            return
        if kind == "SHOW_REF" and part.get("query") is None:
            raise Refused("form", "SHOW")
        self.parts(part, visible)

    def table(self, part: Mapping[str, Any], visible: frozenset[str]) -> None:
        catalog, schema, name = (
            str(part[key] or "").lower() for key in ("catalog_name", "schema_name", "table_name")
        )
        if part.get("at_clause"):
            raise Refused("form", "AT")
        if not catalog and not schema and name in visible:
            return
        schemas = [schema] if schema else list(SCHEMAS)
        is_known = any(name in self.tables.get(one, ()) for one in schemas)
        if catalog not in ("", CATALOG) or not is_known:
            written = ".".join(
                str(part[key]) for key in ("catalog_name", "schema_name", "table_name") if part[key]
            )
            raise Refused("table", written)
