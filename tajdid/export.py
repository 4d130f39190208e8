"""A snapshot's marts as Parquet files, for whoever reads elsewhere.

    <folder>/manifest.json     build, day, policy and currency, and of each table its file, rows and columns
    <folder>/<mart>.parquet

The files are written beside the folder and take its name when all of them are there, so nobody reads half
an export. A folder that exists is never written into.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import duckdb

from pipelines.warehouse import Snapshot, quoted

FORMAT = "tajdid-marts/1"


class ExportError(Exception):
    """An export that can't be written. The message says why and what to do."""


def export(snapshot: Snapshot, out: Path) -> dict[str, Any]:
    """Write every mart of the snapshot into the new folder `out`; returns the manifest."""
    if out.exists():
        raise ExportError(f"{out} exists already; an export is written into a new folder.")
    partial: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
        with snapshot.cursor() as connection:
            manifest = _manifest(connection) | {"tables": _write_tables(connection, partial)}
        text = json.dumps(manifest, ensure_ascii=False, indent=2, default=str)
        (partial / "manifest.json").write_text(text + "\n", encoding="utf-8")
        partial.chmod(0o755)
        partial.rename(out)
    except (OSError, duckdb.Error) as error:
        raise ExportError(f"The export into {out} failed, nothing of it is kept: {error}") from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _manifest(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    row = connection.sql(
        "SELECT build.build_id, build.company, build.as_of, build.built_at, build.is_sample, "
        "policy.definition_version, policy.policy_hash, policy.reporting_currency, policy.reporting_timezone "
        "FROM raw_meta.build AS build CROSS JOIN raw_meta.policy AS policy"
    )
    (values,) = row.fetchall()
    return {"format": FORMAT} | dict(zip(row.columns, values, strict=True))


def _write_tables(connection: duckdb.DuckDBPyConnection, folder: Path) -> list[dict[str, Any]]:
    names = connection.sql(
        "SELECT table_name FROM information_schema.tables "
        "WHERE table_catalog = current_catalog() AND table_schema = 'marts' ORDER BY table_name"
    ).fetchall()
    tables = []
    for (name,) in names:
        file = folder / f"{name}.parquet"
        connection.execute(f'COPY marts."{name}" TO {quoted(str(file))} (FORMAT parquet, COMPRESSION zstd)')
        columns = connection.execute(f'DESCRIBE marts."{name}"').fetchall()
        (rows,) = connection.execute(f"SELECT count(*) FROM {quoted(str(file))}").fetchall()[0]
        described = {column[0]: column[1] for column in columns}
        tables.append({"name": name, "file": file.name, "rows": rows, "columns": described})
    return tables
