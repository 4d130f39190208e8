"""What must survive any rebuild: Parquet files under history/, each written once and never rewritten.

    history/<name>/<build_id>.parquet     rows a build added to the truth called <name>
    history/crm/<when received>/          exports of the CRM as received (sources/crm.py)

`keep` writes them from a published snapshot; `load` brings them back as raw_history.<name> of a stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from pipelines.sources.loading import create_raw_tables
from pipelines.warehouse import Snapshot, WarehouseError, quoted

KEPT = {
    "builds": "SELECT build.*, policy.* FROM raw_meta.build AS build CROSS JOIN raw_meta.policy AS policy",
    "churn_scores": "SELECT * FROM churn.churn_scores",
    "churn_models": "SELECT * FROM churn.churn_models",
    "metric_prints": "SELECT prints.* FROM marts.fct_metric_prints AS prints "
    "SEMI JOIN raw_meta.build AS build USING (build_id)",
}

KEYS = {"churn_scores": ("customer_id", "as_of", "model_id"), "churn_models": ("model_id", "stage", "at")}
"""What tells the rows of a truth apart, where rows are known by more than their values: a release that adds a
column does not give them anew."""


def load(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Fill raw_history with all that is kept; a truth without files has no table, or the empty one of
    raw_schema.sql. Raises WarehouseError naming a file that cannot be read."""
    for name in KEPT:
        files = sorted((folder / "history" / name).glob("*.parquet"))
        connection.execute(f"DROP TABLE IF EXISTS raw_history.{name}")
        if files:
            try:
                connection.execute(
                    f"CREATE TABLE raw_history.{name} AS SELECT * FROM read_parquet(?, union_by_name = true)",
                    [[str(path) for path in files]],
                )
            except duckdb.Error:
                _refuse_stumps(connection, files)
                raise
    create_raw_tables(connection)


def _refuse_stumps(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    """Raises WarehouseError naming the first file that is no whole Parquet file."""
    for path in files:
        try:
            connection.execute("SELECT 1 FROM parquet_metadata(?) LIMIT 1", [str(path)])
        except duckdb.Error as error:
            raise WarehouseError(
                f"{path} cannot be read: it is no whole Parquet file. What was kept in it is not made again: "
                "bring the file back from a copy; without one, move it out of the folder."
            ) from error


def keep(folder: Path, snapshot: Path) -> list[Path]:
    """Write the rows that a published snapshot adds to the kept truths. What is written stays as it is."""
    written = []
    with Snapshot(snapshot) as reader:
        connection = reader.cursor()
        for name, query in KEPT.items():
            target = folder / "history" / name / f"{reader.build_id}.parquet"
            if target.exists():
                continue
            if not _is_there(connection, query):
                continue
            added = _added(connection, name, query)
            (count,) = connection.execute(f"SELECT count(*) FROM ({added})").fetchall()[0]
            if not count:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.partial")
            connection.execute(f"COPY ({added}) TO {quoted(str(partial))} (FORMAT parquet, COMPRESSION zstd)")
            partial.rename(target)
            written.append(target)
    return written


def _added(connection: duckdb.DuckDBPyConnection, name: str, query: str) -> str:
    """The rows of a query that the kept truth lacks, as a query."""
    known = f"raw_history.{name}"
    if not _is_there(connection, f"FROM {known}"):
        return query
    columns, kept = (
        [row[0] for row in connection.execute(f"DESCRIBE {one}").fetchall()]
        for one in (query, f"FROM {known}")
    )
    key = KEYS.get(name)
    if key and set(key) <= set(columns) & set(kept):
        names = ", ".join(f'"{column}"' for column in key)
        return f"SELECT given.* FROM ({query}) AS given ANTI JOIN {known} USING ({names})"
    return f"({query}) EXCEPT ALL SELECT * FROM {known}" if columns == kept else query


def _is_there(connection: duckdb.DuckDBPyConnection, query: str) -> bool:
    try:
        connection.execute(f"DESCRIBE {query}")
    except duckdb.CatalogException:
        return False
    return True
