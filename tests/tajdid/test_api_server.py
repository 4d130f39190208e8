"""The API of a company as a process that listens: what it logs, whom it answers, how much it hears."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tajdid.server import command

COMPANY = 'mode = "test"\n[gateway]\nkind = "simulated"\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "company.toml").write_text(COMPANY, encoding="utf-8")
    return tmp_path


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


@pytest.fixture
def served(home: Path, _sqlite_template: Path) -> Iterator[tuple[str, Path]]:
    """Address of the API, and the file of its log."""
    shutil.copy(_sqlite_template, home / "shop" / "billing.db")
    port, log = free_port(), home / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command("api_server", home, "shop", {"api": port}), stdout=stream, stderr=stream
        )
    try:
        for _try in range(200):
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", log
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)


def test_the_api_is_served_and_logs_lines_of_json_alone(served: tuple[str, Path]) -> None:
    url, log = served
    refused = httpx.get(f"{url}/v1/customers")
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert "server" not in refused.headers
    assert refused.headers["ratelimit-policy"] == '"unknown";q=40;w=4'
    assert httpx.get(f"{url}/v1/customers", headers={"Host": "evil.example"}).json()["code"] == "bad_host"
    assert "/v1/test-clock" in httpx.get(f"{url}/openapi.json").json()["paths"]
    with suppress(httpx.TransportError):  # It may hang up before all of them are sent.
        assert httpx.get(f"{url}/health/live", headers={"X-Large": "x" * 10_000_000}).status_code in (
            400,
            431,
        )
    assert httpx.get(f"{url}/health/live").status_code == 200
    written = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [line["status"] for line in written if line["event"] == "request"][:2] == [401, 400]
