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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import worlds
from playwright.sync_api import Browser, BrowserContext, sync_playwright
from window import PATIENCE_MS, Reader

from tajdid.dashboard_server import command

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
SAMPLES = ("retail", "atlas")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace with the small companies of worlds.py."""
    folder = tmp_path_factory.mktemp("home")
    worlds.publish(folder)
    return folder


@pytest.fixture(scope="session")
def server(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the dashboard with the engine in its hands, served until the last test ends."""
    with served(home, tmp_path_factory.mktemp("server") / "server.log") as address:
        yield address


@contextmanager
def served(home: Path, log: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("w") as output:
        process = subprocess.Popen(
            command(home, port), stdout=output, stderr=subprocess.STDOUT, env=dict(os.environ)
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


@pytest.fixture(scope="session")
def profile(chromium: Browser) -> Iterator[BrowserContext]:
    """What the windows of this process share: the scripts of the dashboard are fetched and compiled once."""
    context = chromium.new_context(locale="en-GB", accept_downloads=True)
    yield context
    context.close()


@pytest.fixture
def reader(profile: BrowserContext, server: str) -> Iterator[Reader]:
    """A fresh window; when the test is over, no other host was asked and nothing has complained."""
    profile.clear_cookies()
    page = profile.new_page()
    page.set_default_timeout(PATIENCE_MS)
    one = Reader(page, server)
    page.on("console", one.heard)
    page.on("request", one.asked)
    page.on("response", one.answered)
    page.on("pageerror", lambda error: one.errors.append(str(error)))
    yield one
    if page.url.startswith(server):
        page.evaluate("() => localStorage.clear()")
    page.close()
    assert one.outside == []
    assert one.errors == []


@pytest.fixture
def sample_reader(home: Path, sample_home: Path, reader: Reader) -> Reader:
    """The same with the two sample companies in the workspace, whose charts are as full as real ones."""
    for company in SAMPLES:
        link = home / company
        if not link.exists():
            link.symlink_to(sample_home / company, target_is_directory=True)
    return reader
