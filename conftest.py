"""What all tests share: the two sample companies, built once, and how examples are drawn."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

SMALL_ATLAS = 80
SAMPLES = ("retail", "atlas")
# What a file's tests share that is too dear to be made in every process.
MADE_ONCE = {
    "tests/billing/simulator/test_simulated_world.py": "world",
    "tests/docs/test_sql_questions.py": "samples",
    "tests/models/test_reconciliation_from_mrr.py": "samples",
    "tests/tajdid/test_alternatives_command.py": "samples",
    "tests/tajdid/test_demo.py": "samples",
}

# No test fails by the clock. CI draws the same examples each time; elsewhere every run draws new ones.
settings.register_profile(
    "shared", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("shared")


class _MadeOnce(LoadScopeScheduling):
    """Gives each test to whichever process is free, but all that share a costly fixture to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        return MADE_ONCE.get(nodeid.split("::")[0], nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _MadeOnce | None:
    """How tests are shared out with `--dist loadgroup`."""
    return _MadeOnce(config, log) if config.getvalue("dist") == "loadgroup" else None


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
