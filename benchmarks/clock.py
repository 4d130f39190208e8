"""What a piece of work costs: wall seconds, and CPU seconds of this process and of its database backend."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from sqlalchemy import func, select

from billing.store.store import Store

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")
_TICKS = os.sysconf("SC_CLK_TCK")

UNCHANGED = 1.2
"""Memory that is the same for more items or customers, but for what allocators do."""


class Cost(NamedTuple):
    wall: float
    cpu: float
    server_cpu: float

    @property
    def all_cpu(self) -> float:
        return self.cpu + self.server_cpu


def cost_of(work: Callable[[], object], store: Store | None = None) -> Cost:
    """Do the work once. With a store on PostgreSQL the CPU of its backend process counts too (the server runs
    on this machine)."""
    backend = None
    if store is not None and not store.is_sqlite:
        row = store.row(select(func.pg_backend_pid().label("pid")))
        backend = int(row["pid"]) if row else None
    server, wall, cpu = _backend_cpu(backend), time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu, _backend_cpu(backend) - server)


def median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(part) for part in zip(*costs, strict=True)))


def _backend_cpu(pid: int | None) -> float:
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def alone(work: Callable[_Given, _Made], *given: _Given.args, **named: _Given.kwargs) -> _Made:
    """What a module's function gives in a new process: nothing that an earlier measurement left in the memory
    of this one counts."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(work, *given, **named).result()


def forget_peak() -> None:
    """Let `peak_mb` begin anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """The most memory this process has held since `forget_peak`, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:", 1)[1].split(maxsplit=1)[0]) / 1024


def report(claim: str, ours: Cost, bare: Cost, limit: float, others: str = "") -> bool:
    """One line: both sides, the ratio of their CPU seconds, and whether it is within the limit."""
    ratio = ours.all_cpu / max(bare.all_cpu, 0.01)
    verdict = "ok" if ratio <= limit else "short"
    print(
        f"{claim}: {ours.all_cpu:.2f} s CPU ({ours.wall:.2f} s wall) | beside {bare.all_cpu:.2f} s CPU "
        f"({bare.wall:.2f} s wall) | ratio {ratio:.2f} | limit {limit:.2f} | {verdict}{others}",
        flush=True,
    )
    return ratio <= limit
