"""The history of scores and models in the warehouse: loaded from its files, added to, never changed.

A score once given stays as it was given. DuckDB knows no constraint against an UPDATE, so the build compares:
what the last snapshot showed with the files, before anything is scored; and the files with the table, when
all is scored. A row that is missing or differs fails the build, and readers stay on the last good snapshot.
"""

from __future__ import annotations

import duckdb

from churn_model import tables

KEYS = {
    "churn_scores": ("customer_id", "as_of", "model_id"),
    "churn_models": ("model_id", "stage", "at"),
}


class HistoryChanged(Exception):
    """A score or a registry row that was given is gone or was changed. The message says how many and
    where.
    """


def check_files(connection: duckdb.DuckDBPyConnection) -> None:
    """Every row that the last snapshot showed stands in the files as it was. Call before `load`.

    Raises HistoryChanged.
    """
    for table in KEYS:
        if not exists(connection, "churn", table):
            continue
        changed = _without_match(connection, f"churn.{table}", f"raw_history.{table}")
        if changed:
            raise HistoryChanged(
                f"{changed:,} rows of {table} that were published are missing from the files of "
                f"history/{table}, or differ there. Given scores never change: bring the files back from a "
                "copy."
            )


def load(connection: duckdb.DuckDBPyConnection) -> None:
    """Fill the empty tables with what earlier builds and decisions gave."""
    for table in KEYS:
        if exists(connection, "raw_history", table):
            there = _columns(connection, f"raw_history.{table}")
            picked = ", ".join(
                f'CAST("{name}" AS {data_type}) AS "{name}"'
                for name, data_type in tables.TABLES[table]
                if name in there
            )
            connection.execute(f"INSERT INTO churn.{table} BY NAME SELECT {picked} FROM raw_history.{table}")


def check_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Every row of the files stands in the tables unchanged, and no key occurs twice. Raises
    HistoryChanged.
    """
    for table, key in KEYS.items():
        changed = _without_match(connection, f"raw_history.{table}", f"churn.{table}")
        if changed:
            raise HistoryChanged(f"{changed:,} rows of history/{table} are missing from {table}, or differ.")
        names = ", ".join(f'"{name}"' for name in key)
        twice = connection.sql(
            f"SELECT count(*) FROM (SELECT {names} FROM churn.{table} GROUP BY ALL HAVING count(*) > 1)"
        ).fetchone()
        if twice and twice[0]:
            raise HistoryChanged(f"{twice[0]:,} keys of {table} ({', '.join(key)}) occur more than once.")


def exists(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    found = connection.sql(
        "SELECT 1 FROM information_schema.tables WHERE table_schema = $schema AND table_name = $table",
        params={"schema": schema, "table": table},
    ).fetchone()
    return found is not None


def _without_match(connection: duckdb.DuckDBPyConnection, given: str, kept: str) -> int:
    """How many rows of one table the other lacks, by the columns that the first has and this release knows. A
    column that only the first has stands empty in the other: a value in it is one that the other lacks. Rows
    are compared by their key and a hash of the whole, so that a million with their reasons fit into memory.
    """
    schema, table = given.split(".")
    if not exists(connection, schema, table):
        return 0
    if not exists(connection, *kept.split(".")):
        (count,) = connection.execute(f"SELECT count(*) FROM {given}").fetchall()[0]
        return int(count)
    there, here = _columns(connection, given), _columns(connection, kept)
    columns = [(name, data_type) for name, data_type in tables.TABLES[table] if name in there]
    asked = ", ".join(f'CAST("{name}" AS {data_type})' for name, data_type in columns)
    found = ", ".join(
        f'CAST("{name}" AS {data_type})' if name in here else f"CAST(NULL AS {data_type})"
        for name, data_type in columns
    )
    key = ", ".join(f'"{name}"' for name in KEYS[table])
    (count,) = connection.execute(
        f"SELECT count(*) FROM (SELECT {key}, hash(row({asked})) FROM {given} "
        f"EXCEPT ALL SELECT {key}, hash(row({found})) FROM {kept})"
    ).fetchall()[0]
    return int(count)


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> set[str]:
    return {row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()}
