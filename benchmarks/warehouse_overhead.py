"""What a build of atlas spends on its models, and what beside them: part of `make bench-warehouse`.

`tajdid warehouse build` is run as a user runs it, first on a company that was never built, then again. The
wall seconds of each are split: the models and tests themselves (from the start of dbt's first node to the end
of its last), dbt's own start and end, reading the sources, scoring, copying and publishing, and the rest
(Python's start among it). Claim: copying, publishing and the rest take at most 20 % of the run. Reading the
sources has a limit of its own (warehouse_ingest.py); its share is shown.

ATLAS names the folder of an atlas that is simulated already, such as workspace/atlas; it is copied and not
written to. Without it one is made. SIZE=small checks that the benchmark works, not its figures.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tajdid.demo import prepare

LIMIT = 0.2
SIZES = {"small": 50, "middle": 500, "full": 2_000}
WORLD = ("billing.db", "company.toml", "policy.toml", "world.json", "crm", "rates", "simulated_truth.parquet")


@dataclass(frozen=True)
class Spent:
    """Seconds of a build by what they were spent on; the parts make up the whole."""

    wall: float
    nodes: float
    start: float
    ingest: float
    score: float
    publish: float

    @property
    def rest(self) -> float:
        return self.wall - self.nodes - self.start - self.ingest - self.score - self.publish

    @property
    def overhead(self) -> float:
        return (self.publish + self.rest) / self.wall


def spent(wall: float, build: dict[str, Any], results: dict[str, Any]) -> Spent:
    """build: the build's line of logs/builds.jsonl; results: dbt's run_results.json."""
    steps = {step["name"]: float(step["seconds"]) for step in build["steps"]}
    moments = [
        tuple(datetime.fromisoformat(timing[end]) for end in ("started_at", "completed_at"))
        for result in results["results"]
        for timing in result["timing"]
    ]
    nodes = (max(end for _, end in moments) - min(start for start, _ in moments)).total_seconds()
    publish = sum(steps[name] for name in ("copy", "publish", "history"))
    return Spent(wall, nodes, steps["models"] - nodes, steps["ingest"], steps["score"], publish)


def run(home: Path) -> tuple[Spent, str]:
    """Build atlas; returns what it cost, and how much of the nodes' own time the tests are."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tajdid", "warehouse", "build", "--company", "atlas"],
        env=os.environ | {"TAJDID_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    wall = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(f"The build ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    folder = home / "atlas"
    build = json.loads((folder / "logs" / "builds.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    results = json.loads((folder / "warehouse" / "target" / "run_results.json").read_text(encoding="utf-8"))
    seconds = {"model": 0.0, "test": 0.0}
    counts = {"model": 0, "test": 0}
    for result in results["results"]:
        kind = result["unique_id"].split(".")[0]
        seconds[kind] += result["execution_time"]
        counts[kind] += 1
    told = ", ".join(f"{counts[kind]} {kind}s {seconds[kind]:.1f} s" for kind in seconds)
    return spent(wall, build, results), told


def report(name: str, one: Spent, nodes: str) -> bool:
    parts = {
        "models and tests": one.nodes,
        "dbt's start and end": one.start,
        "ingest": one.ingest,
        "score": one.score,
        "copy and publish": one.publish,
        "rest": one.rest,
    }
    shares = " | ".join(
        f"{part} {seconds:.2f} s ({seconds / one.wall:.0%})" for part, seconds in parts.items()
    )
    holds = one.overhead <= LIMIT
    print(
        f"{name} of atlas: {one.wall:.2f} s wall | {shares} | in dbt's threads: {nodes} | overhead of the "
        f"pipeline {one.overhead:.1%} ({one.overhead + one.ingest / one.wall:.1%} with ingest) | "
        f"limit {LIMIT:.0%} | {'ok' if holds else 'short'}",
        flush=True,
    )
    return holds


def take(atlas: Path, home: Path) -> None:
    """Copy a simulated company, without what was built of it."""
    (home / "atlas").mkdir()
    for name in WORLD:
        origin = atlas / name
        if origin.is_dir():
            shutil.copytree(origin, home / "atlas" / name)
        elif origin.is_file():
            shutil.copyfile(origin, home / "atlas" / name)


def main() -> None:
    size, atlas = os.environ.get("SIZE", "full"), os.environ.get("ATLAS")
    with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as folder:
        home = Path(folder)
        if atlas:
            take(Path(atlas), home)
        else:
            prepare(home, "atlas", lambda _: None, SIZES[size])
        holds = [report(name, *run(home)) for name in ("first build", "next build")]
    sys.exit(0 if all(holds) or size == "small" else 1)


if __name__ == "__main__":
    main()
