"""Running dbt on the stage file, and reading what it said.

dbt runs as a process of its own, because in this one it would keep the file locked. What the models compute
is written in models/; this module decides only how their results and errors are told.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

FAILED = ("error", "fail", "runtime error")
MODEL_SCHEMAS = ("staging", "intermediate", "marts")
SHOWN_FAILURES = 10
WITH_PARENT = """
import os, signal, sys
parent, command = int(sys.argv[1]), sys.argv[2:]
if sys.platform == "linux":
    import ctypes
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the build is gone")
os.execv(command[0], command)
"""
"""Becomes the command it is given, which ends with the process that started it, even if that is killed."""
TEST_COLUMNS = {
    "test_name": pl.String,
    "model": pl.String,
    "column_name": pl.String,
    "kind": pl.String,
    "status": pl.String,
    "failures": pl.Int64,
    "message": pl.String,
    "seconds": pl.Float64,
}


@dataclass(frozen=True)
class ModelsResult:
    """What a dbt run said: a row a test (TEST_COLUMNS), how many models, and what failed, in words."""

    tests: pl.DataFrame
    models: int
    failures: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Tests passed, failed and warned."""
        status = self.tests["status"]
        return {
            "passed": int((status == "pass").sum()),
            "failed": int(status.is_in(FAILED).sum()),
            "warned": int((status == "warn").sum()),
        }


def build_models(
    project: Path, stage_file: Path, *, target: Path, logs: Path, progress: Callable[[str], None]
) -> ModelsResult:
    """Build and test every model on the stage file, which no connection may hold open."""
    results = target / "run_results.json"
    results.unlink(missing_ok=True)
    logs.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "TAJDID_STAGE_FILE": str(stage_file),
        "DBT_TARGET_PATH": str(target),
        "DBT_LOG_PATH": str(logs),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
    }
    place = ["--project-dir", str(project), "--profiles-dir", str(project)]
    dbt = str(Path(sys.executable).with_name("dbt"))
    command = [dbt, "--log-format", "json", "--log-level-file", "info", "build", *place]
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", WITH_PARENT, str(os.getpid()), *command],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    try:
        errors = _follow(process, progress)
    except BaseException:
        process.kill()
        process.wait()
        raise
    code = process.wait()
    if not results.is_file():
        told = errors or [f"dbt ended with code {code}; see {logs / 'dbt.log'}"]
        return ModelsResult(pl.DataFrame(schema=TEST_COLUMNS), 0, tuple(told))
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    outcome = _outcome(json.loads(results.read_text(encoding="utf-8")), manifest)
    if code != 0 and not outcome.failures:
        return ModelsResult(outcome.tests, outcome.models, tuple(errors) or (f"dbt ended with code {code}",))
    return outcome


def compile_models(project: Path, name: str, folder: Path) -> Path:
    """The manifest with the SQL of a model and of all that it is made from; nothing is built. `folder` takes
    what dbt writes. Raises RuntimeError with dbt's words where it fails."""
    environment = os.environ | {
        "TAJDID_STAGE_FILE": str(folder / "warehouse.duckdb"),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
    }
    dbt = str(Path(sys.executable).with_name("dbt"))
    place = ["--project-dir", str(project), "--profiles-dir", str(project)]
    command = [dbt, "--quiet", "compile", *place, "--select", f"+{name}"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"dbt could not compile {name}: {(done.stdout + done.stderr).strip()}")
    return folder / "target" / "manifest.json"


def drop_stale(connection: duckdb.DuckDBPyConnection, target: Path) -> list[str]:
    """Drop relations that an earlier build left and no model makes any more; returns their names."""
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    made = {
        (node["schema"], node["alias"])
        for node in manifest["nodes"].values()
        if node["resource_type"] in ("model", "seed", "snapshot")
    }
    there = connection.execute(
        "SELECT table_schema, table_name, table_type FROM information_schema.tables "
        "WHERE table_catalog = current_catalog() AND table_schema IN (SELECT unnest(?))",
        [list(MODEL_SCHEMAS)],
    ).fetchall()
    stale = [(schema, name, kind) for schema, name, kind in there if (schema, name) not in made]
    for schema, name, kind in sorted(stale, key=lambda row: row[2] != "VIEW"):
        connection.execute(f'DROP {"VIEW" if kind == "VIEW" else "TABLE"} "{schema}"."{name}"')
    return [f"{schema}.{name}" for schema, name, _ in stale]


def _follow(process: subprocess.Popen[str], progress: Callable[[str], None]) -> list[str]:
    """Tell the progress of a running dbt; returns the errors it printed."""
    errors, done = [], 0
    assert process.stdout is not None
    for line in process.stdout:
        try:
            event = json.loads(line)
            info = event["info"]
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
        if info.get("level") == "error":
            errors.append(str(info.get("msg", "")).strip())
        if info.get("name") == "LogModelResult":
            done += 1
            total = event.get("data", {}).get("total", "?")
            if done % 10 == 0:
                progress(
                    f"models: {done} built, with their tests {event['data'].get('index', done)} of {total}"
                )
    return [error for error in errors if error]


def _outcome(results: Mapping[str, Any], manifest: Mapping[str, Any]) -> ModelsResult:
    nodes = {**manifest["nodes"], **manifest.get("unit_tests", {})}
    tests, failures, models = [], [], 0
    for result in results["results"]:
        node = nodes.get(result["unique_id"], {})
        kind = result["unique_id"].split(".")[0]
        message = (result.get("message") or "").strip()
        if kind in ("test", "unit_test"):
            tests.append(_test_row(result, node, nodes, kind, message))
        else:
            models += 1
        if result["status"] in FAILED:
            failures.append(_told(kind, node.get("name", result["unique_id"]), result, node, message))
    frame = pl.DataFrame(tests, schema=TEST_COLUMNS, orient="row")
    return ModelsResult(frame, models, tuple(failures))


def _test_row(
    result: Mapping[str, Any],
    node: Mapping[str, Any],
    nodes: Mapping[str, Any],
    kind: str,
    message: str,
) -> tuple[Any, ...]:
    attached = nodes.get(node.get("attached_node") or "", {})
    model = attached.get("name") or node.get("model")
    rule = "unit" if kind == "unit_test" else (node.get("test_metadata") or {}).get("name", "assertion")
    seconds = float(result.get("execution_time") or 0.0)
    failed = result.get("failures")
    return (
        node.get("name"),
        model,
        node.get("column_name"),
        rule,
        result["status"],
        failed,
        message or None,
        seconds,
    )


def _told(kind: str, name: str, result: Mapping[str, Any], node: Mapping[str, Any], message: str) -> str:
    where = node.get("original_file_path", "")
    if kind == "test" and result["status"] == "fail":
        return f"test {name} found {result.get('failures')} wrong rows ({where}){_rule(node)}"
    return f"{'test' if 'test' in kind else kind} {name} failed ({where}): {message}"


def _rule(node: Mapping[str, Any]) -> str:
    """What a test of the warehouse asks for: the comment that its SQL opens with."""
    lines = takewhile(lambda line: line.startswith("--"), (node.get("raw_code") or "").splitlines())
    said = " ".join(line.removeprefix("--").strip() for line in lines)
    return f": {said.removesuffix('.')}" if said else ""
