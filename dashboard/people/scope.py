"""What a reader may see, kept where the figures are: a catalogue that holds nothing else.

Readers who may see everything read the published file itself. For anybody else an empty catalogue of the name
`warehouse` is made in memory, with a view for each table their roles allow over the file, which is attached
under a name that nobody can guess. Pages and the workbench write the same `warehouse.marts.…` either way; a
table that is not there cannot be read by any statement.

- Own accounts: rows of tables by customer are those of accounts whose current owner, or success manager, is
  the reader's. A child account that names neither belongs to whoever has its parent. Figures that count for
  a parent stand in the parent's rows, so they are seen by whoever has the parent. Tables that speak of the
  whole company are absent, but for what REFERENCE names.
- Personal data: the name of a customer becomes its id; contacts and free text are empty.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import duckdb

from dashboard.people.permissions import OWN_ACCOUNTS
from dashboard.people.reader import Reader
from pipelines.warehouse import CATALOG, Snapshot, WarehouseError, build_id_of, policy_path, quoted

SCHEMAS = ("marts", "churn", "raw_meta")
"""What pages read; what sources sent and the steps between are seen by nobody who is held to a scope."""
REFERENCE = frozenset(
    {
        *("marts.dim_days", "marts.dim_metrics", "marts.dim_plans", "marts.dim_policy"),
        *("churn.churn_status", "churn.churn_scorings"),
        *("raw_meta.build", "raw_meta.policy", "raw_meta.currencies"),
        *("raw_meta.metrics", "raw_meta.test_results", "raw_meta.loads"),
        *("raw_meta.models", "raw_meta.model_columns", "raw_meta.test_models"),
    }
)
"""Tables that say nothing about the business: also for those who see only their own accounts."""
CUSTOMER = "customer_id"
WITHOUT_SIZE = {
    "raw_meta.loads": {
        "rows_read": "NULL::BIGINT",
        "rows_accepted": "sign(rows_accepted)::BIGINT",
        "rows_rejected": "NULL::BIGINT",
        "rows_unchanged": "NULL::BIGINT",
        "note": "NULL::VARCHAR",
    }
}
"""Of these, those who see only their own accounts are told when and whether, not how much."""
NAMES = frozenset({"name", "customer_name", "account_name"})
"""Columns, in tables by customer, that name the customer: its id stands there instead."""
PERSONAL = frozenset(
    {
        *("email", "phone", "contact", "contact_name", "address"),
        *("note", "notes", "text", "comment", "body", "message", "detail"),
        *("original_row", "row_key"),
    }
)
"""Columns that may hold personal data: empty."""
FREE_TEXT = {"marts.dim_saved_views": ("name", "parameters")}
"""Of tables that are not by customer, what people wrote and may have named a customer in: empty."""
REJECTS = "raw_meta.rejects"
"""The rows that were set aside, as the sources sent them."""
OWN = "memory.main.own_accounts"
SCOPED_MEMORY = "1GB"
_READ = re.compile(rf"\b{CATALOG}\.(\"?)(\w+)\1\.(\"?)(\w+)\3")
_HEAD = re.compile(r"^CREATE VIEW [\w.]+")


@dataclass(frozen=True)
class Scope:
    """How much of a company is seen. `owner` is whose accounts, where only own ones are."""

    only_own: bool
    owner: str | None
    sees_names: bool

    @property
    def is_everything(self) -> bool:
        return not self.only_own and self.sees_names

    @property
    def key(self) -> str:
        """Two readers of the same key see the same."""
        whose = f"own:{self.owner or ''}" if self.only_own else "all"
        return whose + ("" if self.sees_names else ":masked")


EVERYTHING = Scope(only_own=False, owner=None, sees_names=True)


def scope_of(reader: Reader) -> Scope:
    """What the roles of a reader let them see. One role that sees all accounts is enough to see them."""
    return Scope(
        only_own=not (reader.roles - {OWN_ACCOUNTS}),
        owner=reader.owner,
        sees_names=reader.may("see_names"),
    )


def statements(path: Path, scope: Scope, schemas: Iterable[str] = SCHEMAS) -> list[str]:
    """What makes the catalogue of a scope on a fresh in-memory connection, to be executed in this order.

    Also for a scope that sees everything: then with all tables of `schemas` and nothing besides.
    Raises duckdb.Error when the published file at `path` cannot be read.
    """
    alias = f"source_{secrets.token_hex(16)}"
    wanted = tuple(schemas)
    held = _held(path, wanted)
    made = [
        "SET TimeZone = 'UTC'",
        f"ATTACH {quoted(str(path))} AS {alias} (READ_ONLY)",
        f"ATTACH ':memory:' AS {alias}_views",
        f"ATTACH ':memory:' AS {CATALOG}",
        *(f"CREATE SCHEMA {CATALOG}.{schema}" for schema in wanted),
    ]
    if scope.only_own:
        made.append(_own_accounts(alias, scope.owner if "marts.dim_customers" in held.columns else None))
    elif policy_path(path).is_file():
        made.append(f"ATTACH {quoted(str(policy_path(path)))} AS policy (READ_ONLY)")
    told: dict[str, None] = {}
    for table, columns in held.columns.items():
        seen = _seen(table, columns, scope)
        if seen is not None:
            made += _views_behind(table, held.views, alias, told)
            source = f"{alias}_views" if table in held.views else alias
            select = seen.format(source=f"{source}.{_sql(table)}")
            made.append(f"CREATE VIEW {CATALOG}.{_sql(table)} AS {select}")
    return [*made, f"USE {CATALOG}"]


@dataclass(frozen=True)
class _Held:
    """What a published file holds: the columns of each table of the schemas asked for, and all its views."""

    columns: dict[str, list[str]]
    views: dict[str, str]


@lru_cache(maxsize=16)
def _held(path: Path, schemas: tuple[str, ...]) -> _Held:
    """Read once: a published file never changes."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH {quoted(str(path))} AS {CATALOG} (READ_ONLY)")
        columns = connection.execute(
            """
            SELECT schema_name || '.' || table_name, list(column_name ORDER BY column_index)
            FROM duckdb_columns()
            WHERE database_name = $catalog AND list_contains($schemas, schema_name)
            GROUP BY 1 ORDER BY 1
            """,
            {"catalog": CATALOG, "schemas": list(schemas)},
        ).fetchall()
        views = connection.execute(
            "SELECT schema_name || '.' || view_name, sql FROM duckdb_views() WHERE database_name = $catalog",
            {"catalog": CATALOG},
        ).fetchall()
    return _Held(dict(columns), dict(views))


def _views_behind(table: str, views: Mapping[str, str], alias: str, told: dict[str, None]) -> list[str]:
    """What makes a view of the published file, and those it reads, over the file under its other name.

    A view names what it reads in full, `warehouse.schema.name`, and that name now means something else.
    """
    if table not in views or table in told:
        return []
    told[table] = None
    made = [
        statement
        for read in dict.fromkeys(f"{found[2]}.{found[4]}" for found in _READ.finditer(views[table]))
        for statement in _views_behind(read, views, alias, told)
    ]

    def renamed(found: re.Match[str]) -> str:
        read = f"{found[2]}.{found[4]}"
        return f"{alias}_views.{_sql(read)}" if read in views else f"{alias}.{_sql(read)}"

    body = _READ.sub(renamed, _HEAD.sub("", views[table], count=1))
    schema = f"CREATE SCHEMA IF NOT EXISTS {alias}_views.{table.split('.')[0]}"
    return [*made, schema, f"CREATE VIEW {alias}_views.{_sql(table)} {body}"]


def _sql(table: str) -> str:
    schema, name = table.split(".", 1)
    return f'{schema}."{name}"'


def _own_accounts(alias: str, owner: str | None) -> str:
    """The accounts of an owner, by the attributes they have now; of nobody, where no owner is named."""
    if not owner:
        return f"CREATE TABLE {OWN} ({CUSTOMER} VARCHAR)"
    mine = "{account}.owner IS NOT DISTINCT FROM {owner} OR {account}.csm IS NOT DISTINCT FROM {owner}"
    own, parents = (mine.format(account=account, owner=quoted(owner)) for account in ("customer", "parent"))
    return (
        f"CREATE TABLE {OWN} AS SELECT DISTINCT customer.{CUSTOMER} "
        f"FROM {alias}.marts.dim_customers AS customer "
        f"LEFT JOIN {alias}.marts.dim_customers AS parent "
        f"ON parent.{CUSTOMER} = customer.parent_customer_id AND parent.is_current "
        f"WHERE customer.is_current AND ({own} "
        f"OR (customer.owner IS NULL AND customer.csm IS NULL AND ({parents})))"
    )


def _seen(table: str, columns: Sequence[str], scope: Scope) -> str | None:
    """The select that a table becomes, over `{source}`; None when it is not to be there."""
    by_customer = CUSTOMER in columns
    if scope.only_own and not by_customer and table not in REFERENCE:
        return None
    replaced: dict[str, str] = {}
    if scope.only_own:
        replaced |= WITHOUT_SIZE.get(table, {})
        others = (column for column in columns if column.endswith(f"_{CUSTOMER}"))
        replaced |= {name: f"CASE WHEN {name} IN (FROM {OWN}) THEN {name} END" for name in others}
    if not scope.sees_names and (by_customer or table == REJECTS):
        replaced |= {name: "NULL" for name in columns if name in PERSONAL}
        replaced |= {name: CUSTOMER for name in columns if name in NAMES}
    if not scope.sees_names:
        replaced |= {name: "NULL" for name in FREE_TEXT.get(table, ()) if name in columns}
    parts = ", ".join(f'{value} AS "{name}"' for name, value in replaced.items())
    select = "SELECT *" + (f" REPLACE ({parts})" if parts else "") + " FROM {source}"
    return f"{select} WHERE {CUSTOMER} IN (FROM {OWN})" if scope.only_own and by_customer else select


class ScopedSnapshot(Snapshot):
    """A published snapshot of which only a scope can be read; else like any other."""

    def __init__(self, path: Path, scope: Scope) -> None:
        self.path = path
        self.build_id = build_id_of(path)
        self.scope = scope
        self._connection = duckdb.connect(":memory:")
        try:
            self._connection.execute(f"SET memory_limit = '{SCOPED_MEMORY}'")
            for statement in statements(path, scope):
                self._connection.execute(statement)
        except duckdb.Error as error:
            self._connection.close()
            raise WarehouseError(f"The snapshot {path.name} cannot be opened for a part of it.") from error


def open_scope(path: Path, scope: Scope) -> Snapshot:
    """The snapshot at `path` as it is seen in a scope. Raises WarehouseError when it cannot be opened."""
    return Snapshot(path) if scope.is_everything else ScopedSnapshot(path, scope)


def is_everything(snapshot: Snapshot) -> bool:
    """Whether nothing is kept from whoever reads this snapshot."""
    return not isinstance(snapshot, ScopedSnapshot)


def is_company(snapshot: Snapshot) -> bool:
    """Whether the figures of the whole company are there, or those of some accounts alone."""
    return not (isinstance(snapshot, ScopedSnapshot) and snapshot.scope.only_own)


def key_of(snapshot: Snapshot) -> str:
    """The key of the scope a snapshot was opened in."""
    return snapshot.scope.key if isinstance(snapshot, ScopedSnapshot) else EVERYTHING.key
