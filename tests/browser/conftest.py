"""The dashboard served on a free port of this machine, and a real Chromium to read it with.

A test fails when a request leaves this machine or the console shows an error.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import worlds
from playwright.sync_api import Browser, sync_playwright
from window import PATIENCE_MS, Reader

from dashboard.serve import command

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_SECONDS = 90


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace with the small companies of worlds.py."""
    folder = tmp_path_factory.mktemp("home")
    worlds.publish(folder)
    return folder


@pytest.fixture(scope="session")
def server(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the dashboard, served until the last test ends."""
    with served(home, tmp_path_factory.mktemp("server") / "server.log") as address:
        yield address


@contextmanager
def served(home: Path, log: Path, started_by: Callable[[Path, int], list[str]] = command) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("w") as output:
        process = subprocess.Popen(
            started_by(home, port), stdout=output, stderr=subprocess.STDOUT, env=dict(os.environ)
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/_stcore/health", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="module")
def sample_server(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same for the two sample companies, whose charts are as full as real ones."""
    with served(sample_home, tmp_path_factory.mktemp("sample-server") / "server.log") as address:
        yield address


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the dashboard did not start in {START_SECONDS} s: {log.read_text()}")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.fail("No Chromium found: install Debian's package 'chromium'.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def reader(chromium: Browser, server: str) -> Iterator[Reader]:
    """A fresh window; when the test is over, no other host was asked and nothing has complained."""
    with window_on(chromium, server) as one:
        yield one


@pytest.fixture
def sample_reader(chromium: Browser, sample_server: str) -> Iterator[Reader]:
    with window_on(chromium, sample_server) as one:
        yield one


@contextmanager
def window_on(chromium: Browser, server: str) -> Iterator[Reader]:
    context = chromium.new_context(locale="en-GB", accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    one = Reader(page, server)
    page.on("console", one.heard)
    page.on("request", one.asked)
    page.on("response", one.answered)
    page.on("pageerror", lambda error: one.errors.append(str(error)))
    yield one
    context.close()
    assert one.outside == []
    assert one.errors == []
