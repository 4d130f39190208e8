"""The production models in memory: compiled once by dbt, executed in dependency order on any rows.

Compiled text is kept in a cache folder under a key of everything it is made from, so only the first run after
a change pays dbt's start. No rule of a metric is written here.
"""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl

from pipelines import meta
from pipelines.compiled import Model, models_of
from pipelines.policy import Policy
from pipelines.sources.loading import create_raw_tables

PROJECT = Path(__file__).resolve().parents[2]
MARTS = (
    "dim_policy",
    "fct_ar_aging",
    "fct_cohorts",
    "fct_customer_days",
    "fct_customer_month_balances",
    "fct_customer_months",
    "fct_invoices",
    "fct_metric_values",
    "fct_mrr_days",
    "fct_mrr_months",
    "fct_mrr_movements",
    "fct_mrr_spells",
    "fct_retention",
)
"""What the runners read; all models are compiled, and those that these need executed."""


class ModelsError(Exception):
    """The models could not be compiled. The message is what dbt said."""


def cache_folder() -> Path:
    """Where compiled models are kept: beside the companies, else with the system's temporary files."""
    home = Path(os.environ.get("TAJDID_HOME") or PROJECT / "workspace").resolve()
    folder = home / ".compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir()) / "tajdid-compiled"
    return folder if os.access(folder, os.W_OK) else Path(tempfile.gettempdir()) / "tajdid-compiled"


def compiled_models(cache: Path, project: Path = PROJECT) -> tuple[Model, ...]:
    """All models in an order of execution. Raises ModelsError where dbt refuses them."""
    return tuple(model for model in _compiled(cache, project) if not model.is_test)


def compiled_tests(cache: Path, project: Path = PROJECT) -> tuple[Model, ...]:
    """The singular tests of the warehouse, each to be run where the models it reads are made."""
    return tuple(model for model in _compiled(cache, project) if model.is_test)


def _compiled(cache: Path, project: Path) -> tuple[Model, ...]:
    kept = cache / f"{_key(project)}.json"
    if not kept.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with kept.with_suffix(".lock").open("w") as lock:
            # Whoever wants them meanwhile waits for them: to compile them twice takes longer.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.is_file():
                _keep(kept, _compile(project))
    content = json.loads(kept.read_text(encoding="utf-8"))
    return tuple(Model(**(entry | {"reads": tuple(entry["reads"])})) for entry in content)


def _keep(kept: Path, models: Iterable[Model]) -> None:
    with tempfile.NamedTemporaryFile(
        "w", dir=kept.parent, suffix=".part", delete=False, encoding="utf-8"
    ) as part:
        json.dump([asdict(model) for model in models], part)
    Path(part.name).replace(kept)


def open_warehouse(
    policy: Policy, as_of: date, known_to: datetime | None = None
) -> duckdb.DuckDBPyConnection:
    """An empty warehouse in memory: all raw tables, this policy, a build that knows all up to `known_to`."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("ATTACH ':memory:' AS warehouse")
    connection.execute("USE warehouse")
    create_raw_tables(connection)
    meta.write_build(
        connection,
        build_id="memory",
        company="memory",
        as_of=as_of,
        built_at=known_to or datetime(9999, 1, 1, tzinfo=UTC),
        is_sample=False,
        sources=(),
    )
    meta.write_policy(connection, policy)
    return connection


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Iterable[Mapping[str, object]]) -> None:
    """Append rows to a raw table by column name; columns left out are null, `recorded_at` is long ago."""
    frame = pl.DataFrame(list(rows), infer_schema_length=None)
    if frame.is_empty():
        return
    connection.register("arriving", frame.to_arrow())
    connection.execute(
        f"INSERT INTO {table} BY NAME "
        "SELECT *, TIMESTAMPTZ '1970-01-01 00:00:00+00' AS recorded_at FROM arriving"
    )
    connection.unregister("arriving")


def _key(project: Path) -> str:
    """Changes with the text of any model, macro, test or the project file."""
    digest = hashlib.sha256()
    files = [project / "dbt_project.yml"]
    for folder in ("models", "macros", "tests/warehouse"):
        files += sorted(path for path in (project / folder).rglob("*") if path.suffix in (".sql", ".yml"))
    for path in files:
        digest.update(str(path.relative_to(project)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:24]


def _compile(project: Path) -> tuple[Model, ...]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        environment = os.environ | {
            "TAJDID_STAGE_FILE": str(place / "warehouse.duckdb"),
            "DBT_TARGET_PATH": str(place / "target"),
            "DBT_LOG_PATH": str(place / "logs"),
            "DO_NOT_TRACK": "1",
        }
        command = [str(Path(sys.executable).with_name("dbt")), "--quiet", "compile"]
        command += ["--project-dir", str(project), "--profiles-dir", str(project)]
        done = subprocess.run(
            command, env=environment, cwd=project, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ModelsError(f"The models do not compile:\n{done.stdout}{done.stderr}".strip())
        return models_of(place / "target" / "manifest.json", with_tests=True)
