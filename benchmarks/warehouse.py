"""Movement log and month marts beside a months × customers spine join: `make bench-warehouse`.

Both sides read the same Parquet file of subscription periods (warehouse_periods.py) and end with finished
movements and months, which must agree in every month. Ours goes the way of a build: raw rows into a stage,
then dbt on the product's models. The other side is the usual form, a row per customer and month
(naive_models/), also dbt on DuckDB, reading the file itself. Claims, for 1,000,000 customers unless said
otherwise:
- CPU at most a quarter of the other side's, dbt's start included;
- peak memory at most 0.51 GB;
- twice the months without changes add under 10 % to what is done beyond dbt's start;
- 100,000 customers: beyond the start at most a quarter of the other side's CPU, at most 0.25 GB;
- 10,000 customers: no more CPU than the other side, and at most 0.25 s beyond the start.

CPU seconds and memory are those of the processes, as the kernel counts them (`wait4`); sides take turns, and
medians are shown. dbt's start is a run of dbt that selects no model, measured the same way and shown apart.
Beside them stands what it takes to copy the finished rows of customers, as they stand, from one file of
DuckDB to another.

SIZE=small checks that the benchmark works, not its figures; SIZE=middle leaves the million out.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from clock import Cost, median, report

HERE = Path(__file__).resolve().parent
SIZES = {
    "small": (2_000,),
    "middle": (10_000, 100_000),
    "full": (10_000, 100_000, 1_000_000),
    "million": (1_000_000,),
}
RUNS = {2_000: 1, 10_000: 5, 100_000: 3, 1_000_000: 3}
LAST_MONTH, LAST_DAY = "2025-12-01", "2025-12-31"
LAST_DAY_OF_TWICE = "2028-12-31"
MARTS = ("fct_mrr_movements", "fct_customer_month_changes", "fct_mrr_months")
QUARTER, SAME = 0.25, 1.0
UNCHANGED_MONTHS = 1.10
MEMORY = {100_000: 0.25, 1_000_000: 0.51}
BEYOND_THE_START = 0.25


class Spent(NamedTuple):
    """What processes cost together, and the most memory that one of them held, in GB."""

    cost: Cost
    peak: float


@dataclass(frozen=True)
class Side:
    """A dbt project that makes movements and months, and the files it works in."""

    name: str
    project: Path
    models: tuple[str, ...]
    folder: Path

    @property
    def stage(self) -> Path:
        return self.folder / self.name / "warehouse.duckdb"

    @property
    def target(self) -> Path:
        return self.folder / self.name / "target"

    def start(self, periods: Path) -> Spent:
        """dbt's own start: a run that selects nothing."""
        return self._dbt(periods, ["tag:none_has_it"])

    def build(self, periods: Path, as_of: str = LAST_DAY) -> Spent:
        """From the file to finished marts, in a new stage."""
        for left in self.stage.parent.glob("warehouse.duckdb*"):
            left.unlink()
        parts = []
        if self.name == "ours":
            parts.append(_step("load", self.stage, periods, as_of))
        parts.append(self._dbt(periods, self.models))
        return _together(parts)

    def slowest(self, count: int) -> str:
        """The models that took the most seconds in the last build."""
        results = json.loads((self.target / "run_results.json").read_text(encoding="utf-8"))["results"]
        taken = sorted((one["execution_time"], one["unique_id"].split(".")[-1]) for one in results)
        return ", ".join(f"{name} {seconds:.2f}" for seconds, name in reversed(taken[-count:]))

    def _dbt(self, periods: Path, selected: Iterable[str]) -> Spent:
        self.stage.parent.mkdir(parents=True, exist_ok=True)
        place = ["--project-dir", str(self.project), "--profiles-dir", str(self.project)]
        return _spent(
            [str(Path(sys.executable).with_name("dbt")), "run", *place, "--select", *selected],
            {
                "TAJDID_STAGE_FILE": str(self.stage),
                "TAJDID_BENCH_PERIODS": str(periods),
                "TAJDID_BENCH_LAST_MONTH": LAST_MONTH,
                "DBT_TARGET_PATH": str(self.target),
                "DBT_LOG_PATH": str(self.target / "logs"),
                "DO_NOT_TRACK": "1",
            },
        )


def _step(*given: object) -> Spent:
    return _spent([sys.executable, str(HERE / "warehouse_steps.py"), *map(str, given)], {})


def _spent(command: list[str], more: dict[str, str]) -> Spent:
    """Run a command to its end; a failure shows what it said."""
    with tempfile.TemporaryFile("w+") as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=os.environ | more, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{said.read()}")
    return Spent(Cost(wall, usage.ru_utime + usage.ru_stime, 0.0), usage.ru_maxrss / 1024**2)


def _together(parts: list[Spent]) -> Spent:
    total = Cost(*(sum(part) for part in zip(*(one.cost for one in parts), strict=True)))
    return Spent(total, max(one.peak for one in parts))


def _median(runs: list[Spent]) -> Spent:
    return Spent(median([one.cost for one in runs]), statistics.median(one.peak for one in runs))


def _beyond(whole: Spent, start: Spent) -> Cost:
    return Cost(*(part - of_start for part, of_start in zip(whole.cost, start.cost, strict=True)))


def _within(claim: str, figure: float, limit: float, unit: str) -> bool:
    holds = figure <= limit
    print(
        f"{claim}: {figure:.2f} {unit} | limit {limit:.2f} {unit} | {'ok' if holds else 'short'}", flush=True
    )
    return holds


def measured(folder: Path, customers: int) -> list[bool]:
    periods = folder / "periods.parquet"
    _step("write", periods, customers)
    ours = Side("ours", HERE.parent, tuple(f"+{name}" for name in MARTS), folder)
    naive = Side("naive", HERE / "naive_models", ("*",), folder)
    sides = (ours, naive)
    for side in sides:
        side.start(periods)  # parses the project once, as the first build of a company does

    runs: dict[str, list[Spent]] = {}
    for _ in range(RUNS[customers]):
        for side in sides:
            runs.setdefault(f"start {side.name}", []).append(side.start(periods))
        runs.setdefault("twice", []).append(ours.build(periods, LAST_DAY_OF_TWICE))
        for side in sides:
            runs.setdefault(side.name, []).append(side.build(periods))
    _step("compare", ours.stage, naive.stage)
    copied = _step("copy", ours.stage, folder / "copied.duckdb")
    spent = {name: _median(some) for name, some in runs.items()}

    mine, other, twice = spent["ours"], spent["naive"], spent["twice"]
    start, other_start = spent["start ours"], spent["start naive"]
    print(
        f"{customers:,} customers: dbt's start {start.cost.cpu:.2f} s CPU, {start.peak:.2f} GB | the other "
        f"side's {other_start.cost.cpu:.2f} s CPU, {other_start.peak:.2f} GB | all months agree\n"
        f"  memory {mine.peak:.2f} GB beside {other.peak:.2f} GB | slowest models: {ours.slowest(5)}\n"
        f"  a bare copy of the finished rows: {copied.cost.cpu:.2f} s CPU, {copied.peak:.2f} GB | "
        f"ours beyond the start: {_beyond(mine, start).cpu / copied.cost.cpu:.1f} times that"
    )
    name = f"{customers:,} customers"
    whole_limit = SAME if customers < 1_000_000 else QUARTER
    holds = [
        report(f"{name} to movements and months, start included", mine.cost, other.cost, whole_limit),
        report(f"{name} beyond the start", _beyond(mine, start), _beyond(other, other_start), QUARTER),
        report(
            f"{name} in twice the months without changes, beyond the start",
            _beyond(twice, start),
            _beyond(mine, start),
            UNCHANGED_MONTHS,
        ),
    ]
    if customers in MEMORY:
        holds.append(_within(f"{name} in memory", mine.peak, MEMORY[customers], "GB"))
    if customers == 10_000:
        cpu = _beyond(mine, start).cpu
        holds.append(_within(f"{name} beyond the start", cpu, BEYOND_THE_START, "s CPU"))
    return holds


def main() -> None:
    size = os.environ.get("SIZE", "full")
    holds = []
    for customers in SIZES[size]:
        with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as folder:
            holds += measured(Path(folder), customers)
    sys.exit(0 if all(holds) or size == "small" else 1)


if __name__ == "__main__":
    main()
