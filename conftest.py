"""What all tests share: the two sample companies, built once, and how examples are drawn."""

from __future__ import annotations

import fcntl
import gc
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

SMALL_ATLAS = 80
SAMPLES = ("retail", "atlas")
ROOT = Path(__file__).parent
# A file that says so makes something once for all its tests; it is not made again in another process.
MADE_ONCE = re.compile(r"fixture\(\s*scope=\"module\"")

# No test fails by the clock. CI draws the same examples each time; elsewhere every run draws new ones.
settings.register_profile(
    "shared", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("shared")


@cache
def _shared(file: str) -> str | None:
    """What all tests of a file share that is too dear to be made in every process."""
    text = (ROOT / file).read_text(encoding="utf-8")
    if "sample_home" in text:
        return "samples"
    return file if MADE_ONCE.search(text) else None


class _MadeOnce(LoadScopeScheduling):
    """Gives each test, with all its examples, to whichever process is free, but all that share a costly
    fixture to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return _shared(file) or nodeid.split("[")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _MadeOnce | None:
    """How tests are shared out with `--dist loadgroup`."""
    return _MadeOnce(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_collection_finish() -> None:
    """What is loaded by now stays, so nobody looks through it for garbage again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(scope="session")
def sample_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with retail and a small atlas, published by `tajdid demo`.

    TAJDID_TEST_HOME names a folder that keeps it: built by the first run of the tests, read by the next.
    """
    kept = os.environ.get("TAJDID_TEST_HOME")
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    home = Path(kept) if kept else shared / "sample-home"
    home.mkdir(parents=True, exist_ok=True)
    with (shared / "sample-home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept and all((home / company / "warehouse" / "current").exists() for company in SAMPLES):
            return home
        command = [sys.executable, "-m", "tajdid", "demo", "--no-serve", "--customers", str(SMALL_ATLAS)]
        done = subprocess.run(
            command,
            env=os.environ | {"TAJDID_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return home
