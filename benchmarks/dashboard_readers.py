"""The dashboard under twenty readers at once, and with a million customers: `make bench-dashboard`.

Claims, each a line of both sides, their ratio, the limit and ok or short:
- A rerun of a page, p95 of twenty websocket sessions, is at most 3 times one of a bare page (bare_page.py)
  with the same widgets and constants for data, measured in turn in the same run.
- A page of a company of a million customers takes at most 1.5 times that of one of 2,000, opened for the
  first time (nothing kept yet) and again.
- 500 changes of the filters in a row leave the server's memory as it was after the first hundred.
Without a claim: the CPU of a rerun beside that of a bare page out of whose collections what is loaded is
taken too, which is the page's own work alone; memory a session; a rerun without `gc.freeze` and with nothing
kept.

SIZE=small checks that the benchmark works, not its figures. PAGES names pages, separated by commas.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path

from bare_page import write as write_bare
from copied_company import publish
from sessions import at, cpu_seconds, free_port, memory_mb, read, served
from streamlit.testing.v1 import AppTest
from without import LEFT_OUT

from dashboard.serve import APP, command

SIZES = {"small": (12, 60, 3, 4, 40), "full": (2_000, 1_000_000, 20, 12, 500)}
BESIDE_BARE, BESIDE_SMALL, GROWTH = 3.0, 1.5, 1.05
PAUSE = 2.0  # seconds a reader looks at a page, on average
SEGMENTS, MONTHS = ("all", "enterprise", "smb"), ("2025-03", "2025-02", "2025-01", "2024-12", "2024-11")


def main() -> None:
    few, many, readers, turns, changes = SIZES[os.environ.get("SIZE", "full")]
    holds = []
    with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as folder:
        home = Path(folder) / "home"
        print(f"{publish(home / 'few', few):,} customers beside {publish(home / 'many', many):,}", flush=True)
        pages = os.environ.get("PAGES", "").split(",") if os.environ.get("PAGES") else pages_there()
        holds += [beside_bare(home, Path(folder), page, readers, turns) for page in pages]
        holds += beside_small(home, pages, turns)
        holds.append(grows_not(home, changes))
        without(home, pages, turns)
    sys.exit(0 if all(holds) or os.environ.get("SIZE") == "small" else 1)


def pages_there() -> list[str]:
    """The pages that read the warehouse; those of the billing engine need one."""
    engine = {"runs", "documents", "catalogue", "whatif"}
    screens = {path.stem for path in (APP.parent / "screens").glob("*.py")}
    from dashboard.people import permissions

    return [page for page in permissions.PAGES if page in screens and page not in engine]


def address(company: str, page: str, number: int = 0) -> dict[str, str]:
    """The address of a page; each number is another choice of filters."""
    chosen = {
        "company": company,
        "lang": "en",
        "month": MONTHS[number % len(MONTHS)],
        "segment": SEGMENTS[number // len(MONTHS) % len(SEGMENTS)],
    }
    return chosen | ({"customer": "C2"} if page == "customer" else {})


def path(page: str) -> str:
    return "" if page == "revenue" else page


def report(claim: str, ours: str, beside: str, ratio: float, limit: float) -> bool:
    verdict = "ok" if ratio <= limit else "short"
    print(
        f"{claim}: {ours} | beside {beside} | ratio {ratio:.2f} | limit {limit:.2f} | {verdict}", flush=True
    )
    return ratio <= limit


def beside_bare(home: Path, folder: Path, page: str, readers: int, turns: int) -> bool:
    bare = folder / f"bare_{page}.py"
    os.environ["TAJDID_HOME"] = str(home)
    app = drawn(page)
    write_bare(app, bare)
    pause = PAUSE if readers > 5 else 0.05
    asks = [(path(page), address("few", page, number)) for number in range(turns)]
    bare_asks = [("", {})] * turns
    ours, theirs, cpu = [], [], []
    port, bare_port = free_port(), free_port()
    bare_server = served(bare_command(bare, bare_port), bare_port, {})
    with served(command(home, port), port, {}) as pid, bare_server as bare_pid:
        for side, kind in ((port, asks), (bare_port, bare_asks)):
            read(side, 1, kind)
        for _ in range(2):  # in turn, so that a busy machine is busy for both
            begun = cpu_seconds(pid), cpu_seconds(bare_pid)
            ours += read(port, readers, asks, pause=pause)
            theirs += read(bare_port, readers, bare_asks, pause=pause)
            cpu.append((cpu_seconds(pid) - begun[0], cpu_seconds(bare_pid) - begun[1]))
        memory = memory_mb(pid)
        frozen = folder / f"frozen_{page}.py"
        write_bare(app, frozen, freezes=True)
        own_work(pid, port, asks, page, frozen)
    drawn_pages = 2 * readers * turns
    each = [1_000 * sum(side) / drawn_pages for side in zip(*cpu, strict=True)]
    return report(
        f"rerun of {page}, p95 of {readers} sessions",
        f"{at(ours, 0.95) * 1e3:.0f} ms (p50 {at(ours, 0.5) * 1e3:.0f}, CPU {each[0]:.0f}, {memory:.0f} MB)",
        f"{at(theirs, 0.95) * 1e3:.0f} ms (p50 {at(theirs, 0.5) * 1e3:.0f}, CPU {each[1]:.0f})",
        at(ours, 0.95) / at(theirs, 0.95),
        BESIDE_BARE,
    )


def bare_command(page: Path, port: int) -> list[str]:
    """The command that serves a bare page until it is ended."""
    settings = ["--server.headless=true", "--browser.gatherUsageStats=false", "--server.fileWatcherType=none"]
    return [sys.executable, "-m", "streamlit", "run", str(page), f"--server.port={port}", *settings]


def own_work(pid: int, port: int, asks: list[tuple[str, dict[str, str]]], page: str, bare: Path) -> None:
    """CPU of a rerun of the page, and of a bare one that collects as little: the least of four rounds."""
    bare_port = free_port()
    bare_asks = [("", {})] * len(asks)
    cpu: tuple[list[float], list[float]] = ([], [])
    with served(bare_command(bare, bare_port), bare_port, {}) as bare_pid:
        read(bare_port, 1, bare_asks)
        for _ in range(4):
            for spent, process, at_port, asked in (
                (cpu[0], pid, port, asks),
                (cpu[1], bare_pid, bare_port, bare_asks),
            ):
                begun = cpu_seconds(process)
                read(at_port, 1, asked, warm=0)
                spent.append(1_000 * (cpu_seconds(process) - begun) / len(asked))
    ours, theirs = min(cpu[0]), min(cpu[1])
    print(
        f"CPU of {page}: {ours:.0f} ms | beside {theirs:.0f} ms of a bare page that collects as little | "
        f"ratio {ours / theirs:.2f}",
        flush=True,
    )


def drawn(page: str) -> AppTest:
    """The page as a test of the dashboard sees it."""
    app = AppTest.from_file(str(APP), default_timeout=300)

    def ask() -> None:
        for name, value in address("few", page).items():
            app.query_params[name] = value
        app.run()

    ask()
    if page != "revenue":
        app.switch_page(f"screens/{page}.py")
        ask()
    return app


def beside_small(home: Path, pages: list[str], turns: int) -> list[bool]:
    """Each page of both companies: with nothing kept yet, and again."""
    first: dict[tuple[str, str], list[float]] = {}
    again: dict[tuple[str, str], list[float]] = {}
    port = free_port()
    with served(command(home, port), port, {}):
        for page in pages:
            for company in ("few", "many"):
                read(port, 1, [(path(page), address(company, page, 0))], warm=0)
                fresh = [(path(page), address(company, page, number)) for number in range(1, 1 + turns)]
                first[company, page] = read(port, 1, fresh, warm=0)
                again[company, page] = read(port, 1, fresh, warm=0)
    holds = []
    for page in pages:
        for name, spent in (("other filters", first), ("again", again)):
            many, few = (statistics.median(spent[company, page]) for company in ("many", "few"))
            shown = (f"{seconds * 1e3:.0f} ms" for seconds in (many, few))
            holds.append(
                report(f"{page} of the many customers, {name}", *shown, ratio=many / few, limit=BESIDE_SMALL)
            )
    return holds


def grows_not(home: Path, changes: int) -> bool:
    """Memory of the server after the first fifth of the changes, and after all of them."""
    port = free_port()
    asks = list(islice(cycle([("", address("few", "revenue", number)) for number in range(15)]), changes))
    with served(command(home, port), port, {}) as pid:
        before = memory_mb(pid)
        read(port, 1, asks[: changes // 5])
        early = memory_mb(pid)
        read(port, 1, asks[changes // 5 :])
        late = memory_mb(pid)
        read(port, 20, [("", address("few", "revenue"))] * 2)
        print(f"memory: {before:.0f} MB before the first reader, {memory_mb(pid) - late:.1f} MB for 20 more")
    return report(
        f"memory after {changes} changes of the filters",
        f"{late:.0f} MB",
        f"{early:.0f} MB after {changes // 5}",
        late / early,
        GROWTH,
    )


def without(home: Path, pages: list[str], turns: int) -> None:
    """Reruns of three pages as they are, without `gc.freeze`, and with no answer and no chart kept."""
    program = Path(__file__).parent / "without.py"
    for page in [page for page in pages if page in ("revenue", "cash", "customer")]:
        asks = [(path(page), address("few", page, number)) for number in range(turns)]
        for part in ("", *LEFT_OUT):
            port = free_port()
            started = [sys.executable, str(program), part, str(home), str(port)]
            with served(started if part else command(home, port), port, {}) as pid:
                read(port, 1, asks)
                begun = cpu_seconds(pid)
                spent = read(port, 1, asks, warm=0)
                cpu = (cpu_seconds(pid) - begun) / turns
            print(
                f"rerun of {page} {'without ' + part if part else 'as it is'}: "
                f"p50 {at(spent, 0.5) * 1e3:.0f} ms, CPU {cpu * 1e3:.0f} ms",
                flush=True,
            )


if __name__ == "__main__":
    main()
