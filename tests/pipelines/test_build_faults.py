"""Builds that are killed, that find no room or a wrong clock: readers keep whole and newest snapshots, and
the next build needs no repair.

TAJDID_FAULT_KILLS says how often builds are killed. From 20 on (`make test-faults`) it is `tajdid warehouse
build` with the models of the product, else a build of two models.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines import warehouse
from pipelines.run import BuildRequest, build

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("TAJDID_FAULT_KILLS", "2"))
ORDERS = "order_id,ordered_at,customer_id,sku,quantity,unit_price,currency\n"
BUILD = """
import os, signal, sys
from datetime import UTC, date, datetime
from pathlib import Path
from pipelines.policy import read_policy
from pipelines.run import BuildRequest, SourceConfig, build
folder, project, last_breath = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
place = {"reporting_currency": "GBP", "reporting_timezone": "Europe/London"}
result = build(
    BuildRequest("company", folder, project, date(2024, 5, 31), datetime.now(UTC), read_policy(None, place),
        (SourceConfig("orders", "orders", str(folder / "orders")),), False),
    score=lambda _: os.kill(os.getpid(), signal.SIGKILL) if last_breath else None,
)
sys.exit(0 if result.status == "published" else result.message)
"""
READ = """
import json, sys
from pathlib import Path
from pipelines import warehouse
folder, end, whole = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
most, reads, moments = 0, 0, set()
print("ready", flush=True)
while reads == 0 or not end.exists():
    with warehouse.open_snapshot(folder) as snapshot:
        orders, amounts, known, sold, failed = snapshot.cursor().execute(whole).fetchall()[0]
        said = (snapshot.path, orders, amounts, known, sold, failed)
        assert (orders, amounts, failed) == (known, sold, 0), said
        assert orders >= most, f"{snapshot.path} has {orders} orders after {most}"
        most, reads = orders, reads + 1
        moments.add(snapshot.build_id)
print(json.dumps({"most": most, "reads": reads, "snapshots": len(moments)}))
"""
WHOLE = """
SELECT {orders}, {amounts}, (SELECT count(*) FROM raw_orders.orders),
  (SELECT sum(amount_minor)::BIGINT FROM raw_orders.order_lines),
  (SELECT count(*) FILTER (status <> 'pass') FROM raw_meta.test_results)
"""


@dataclass(frozen=True)
class World:
    """A company, how its build is started, and what says of a snapshot that it is whole."""

    folder: Path
    command: list[str]
    last_breath: list[str]
    whole: str

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TAJDID_HOME": str(self.folder.parent)}
        return subprocess.Popen(
            [*self.command, *more], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def finish(self) -> float:
        """A build that nothing disturbs; how long it took."""
        started, process = time.monotonic(), self.start()
        _, told = process.communicate(timeout=600)
        assert process.returncode == 0, told.decode()
        return time.monotonic() - started

    def receive(self, number: int) -> None:
        """An order more: two pieces at 3.50, the first of May and `number` days later."""
        day = datetime(2024, 5, 1, 10, tzinfo=UTC) + timedelta(days=number)
        line = f"more-{number},{day:%Y-%m-%d %H:%M},c1,10001,2,3.50,GBP\n"
        (self.folder / "orders" / f"more-{number:03}.csv").write_text(ORDERS + line, encoding="utf-8")


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if KILLS < 20:
        small: Callable[[], BuildRequest] = request.getfixturevalue("request_for")
        request.getfixturevalue("published_before")
        place = [str(small().folder), str(small().project)]
        whole = WHOLE.format(
            orders="(SELECT count(*) FROM marts.fct_order_days)",
            amounts="(SELECT sum(amount_minor)::BIGINT FROM marts.fct_order_days)",
        )
        return World(small().folder, [sys.executable, "-c", BUILD, *place], ["last breath"], whole)
    folder = tmp_path / "company"
    (folder / "orders").mkdir(parents=True)
    (folder / "company.toml").write_text("[sources.orders]\n", encoding="utf-8")
    whole = WHOLE.format(
        orders="(SELECT count(*) FROM marts.fct_orders)",
        amounts="(SELECT sum(amount_minor)::BIGINT FROM marts.fct_order_lines)",
    )
    command = [sys.executable, "-m", "tajdid", "warehouse", "build", "--company", "company"]
    one = World(folder, command, [], whole)
    one.receive(0)
    one.finish()
    return one


@contextmanager
def reader(world: World, end: Path) -> Iterator[dict[str, int]]:
    """Somebody who reads the newest snapshot again and again; what they saw is there after the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", READ, str(world.folder), str(end), world.whole],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    seen: dict[str, int] = {}
    try:
        yield seen
    finally:
        end.touch()
        answer, trouble = process.communicate(timeout=60)
    assert process.returncode == 0, trouble.decode()
    seen |= json.loads(answer)


def alive_on(stage: Path) -> list[str]:
    """Processes that were told to work on a stage file, where the system shows them."""
    mark = f"TAJDID_STAGE_FILE={stage}".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (place / "environ").read_bytes():
                found.append((place / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_builds_that_are_killed_at_any_moment_leave_readers_whole_snapshots(world: World, tmp_path: Path):
    """Moments are spread over the length of a build; in the short form the last falls after its tests."""
    draw, orders = random.Random(7), 1
    length = 4.0 if world.last_breath else world.finish()
    stage = warehouse.stage_path(world.folder)
    killed = 0
    with reader(world, tmp_path / "end") as seen:
        for number in range(1, KILLS + 1):
            world.receive(number)
            orders += 1
            is_last_breath = bool(world.last_breath) and number == KILLS
            process = world.start(*(world.last_breath if is_last_breath else ()))
            try:
                moment = length * (number - 1 + draw.random()) / KILLS
                process.wait(300 if is_last_breath else moment)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
            process.communicate()
            assert process.returncode in (0, -signal.SIGKILL)
            killed += process.returncode == -signal.SIGKILL
            deadline = time.monotonic() + 5
            while alive_on(stage) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert alive_on(stage) == []
        world.finish()
        with warehouse.open_snapshot(world.folder) as snapshot:
            assert snapshot.cursor().execute(world.whole).fetchall() == [
                (orders, 700 * orders, orders, 700 * orders, 0)
            ]
        assert not stage.parent.exists()
    assert killed >= KILLS * 0.7
    assert seen["reads"] > 10
    kept = {path.name for path in warehouse.warehouse_folder(world.folder).glob("warehouse-*.duckdb")}
    assert len(kept) <= warehouse.KEPT_SNAPSHOTS


# --- no room ---


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes in the block: what a full disk does to a build, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def many_orders(request: BuildRequest) -> None:
    draw = random.Random(1)
    lines = (
        f"n{number},2024-05-03,c{draw.getrandbits(60)},s{draw.getrandbits(60)},1,1.00,GBP\n"
        for number in range(30_000)
    )
    (request.folder / "orders" / "b.csv").write_text(ORDERS + "".join(lines), encoding="utf-8")


def large_model(request: BuildRequest) -> None:
    model = request.project / "models" / "marts" / "fct_large.sql"
    model.write_text("select range, uuid() as name from range(1000000)", encoding="utf-8")


def nothing(request: BuildRequest) -> None:
    pass


@pytest.mark.parametrize(
    ("step", "enlarge", "more"),
    [("copy", nothing, -300_000), ("ingest", many_orders, 300_000), ("models", large_model, 3_000_000)],
)
def test_a_build_without_room_says_so_and_leaves_the_last_good_snapshot(
    request_for, published_before, step, enlarge, more
):
    request = request_for(later=1)
    enlarge(request)
    with room(published_before.stat().st_size + more):
        result = build(request)
    assert (result.status, result.warehouse) == ("failed", None)
    assert result.message.startswith(f"{step} failed: there is no room to write")
    assert f"free in {request.folder}" in result.message
    assert "build again" in result.message
    assert warehouse.current(request.folder) == published_before
    assert not warehouse.stage_path(request.folder).parent.exists()
    with warehouse.open_snapshot(request.folder) as snapshot:
        assert snapshot.cursor().execute("SELECT count(*) FROM marts.fct_order_days").fetchall() == [(1,)]
    entry = json.loads((request.folder / "logs" / "builds.jsonl").read_text().splitlines()[-1])
    assert (entry["step"], entry["message"]) == (step, result.message)


def test_without_room_even_for_the_log_the_build_still_says_so(request_for, published_before):
    request = request_for(later=1)
    log = request.folder / "logs" / "builds.jsonl"
    before, told = log.read_bytes(), []
    with room(0):
        result = build(request, progress=told.append)
    assert "there is no room to write" in result.message
    assert any("builds.jsonl can't be written" in line for line in told)
    assert warehouse.current(request.folder) == published_before
    assert log.read_bytes() == before
    # An entry that broke off keeps to its own line.
    log.write_bytes(before + b'{"build_id": "bro')
    with room(len(before) + 5000):
        build(request_for(later=2))
    lines = log.read_text().splitlines()
    assert (lines[-2], json.loads(lines[-1])["status"]) == ('{"build_id": "bro', "failed")


# --- clocks ---


def test_a_clock_that_was_set_back_far_ends_the_build(request_for, published_before):
    """Else rows recorded at the last build would not count, and readers would lose them."""
    request = request_for(later=-25 * 60, as_of=request_for().as_of - timedelta(days=1))
    (request.folder / "orders" / "b.csv").write_text(ORDERS + "2,2024-05-02 10:00,c1,10001,1,3.50,GBP\n")
    result = build(request)
    assert result.status == "failed"
    for words in (
        "clock says 2024-05-31 07:00 UTC",
        "last build was made at 2024-06-01 08:00 UTC",
        "Set the clock and build again",
        str(published_before.with_name("current")),
    ):
        assert words in result.message
    assert warehouse.current(request.folder) == published_before


def test_a_clock_that_lags_a_little_hides_nothing(request_for, published_before):
    request = request_for(later=-50)
    (request.folder / "orders" / "b.csv").write_text(ORDERS + "2,2024-05-02 10:00,c1,10001,1,3.50,GBP\n")
    os.utime(published_before, (4_000_000_000, 4_000_000_000))
    result = build(request, score=lambda _: None)
    assert result.status == "published", result.message
    assert warehouse.current(request.folder) == result.warehouse
    with warehouse.open_snapshot(request.folder) as snapshot:
        cursor = snapshot.cursor()
        assert cursor.execute(
            "SELECT ordered_on::VARCHAR FROM marts.fct_order_days ORDER BY 1"
        ).fetchall() == [
            ("2024-05-01",),
            ("2024-05-02",),
        ]
        hidden = "SELECT count(*) FROM raw_orders.orders, raw_meta.build WHERE recorded_at > known_to"
        assert cursor.execute(hidden).fetchall() == [(0,)]
    assert published_before.is_file()
    assert result.build_id > warehouse.build_id_of(published_before)


# --- the last snapshot itself ---

WRITE = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_a_snapshot_that_another_program_holds_for_writing_is_named(request_for, published_before):
    holder = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(published_before)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    try:
        result = build(request_for(later=1))
    finally:
        holder.communicate()
    assert result.status == "failed"
    assert str(published_before) in result.message
    assert "another program has it open for writing, close that" in result.message


def test_a_damaged_snapshot_says_how_to_go_back_to_the_one_before(request_for, published_before):
    content = published_before.read_bytes()
    published_before.write_bytes(content[:4096] + bytes(len(content) - 4096))
    request = request_for(later=1)
    result = build(request)
    assert result.status == "failed"
    assert f"write the name of the snapshot before it into {request.folder / 'warehouse' / 'current'}" in (
        result.message
    )
