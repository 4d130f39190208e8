"""What all tests share: the two sample companies, built once, and how examples are drawn."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SMALL_ATLAS = 80
SAMPLES = ("retail", "atlas")

# No test fails by the clock. CI draws the same examples each time; elsewhere every run draws new ones.
settings.register_profile(
    "shared", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("shared")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that read the sample companies run in one process: no other waits until they are built."""
    for item in items:
        if "sample_home" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("samples"))


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
