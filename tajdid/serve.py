"""The `tajdid serve` command: API, portal, admin screens, clockwork and worker of a company, on this machine.

Each is a process of its own. When one ends by itself the others are ended too, so that nobody takes half of
them for the whole; told to end, each gets time for what is under way, and is killed after it.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from types import FrameType
from urllib.request import ProxyHandler, build_opener

from tajdid import worker
from tajdid.server import ADDRESS, ENDS_WITHIN, command
from tajdid.services import key_of
from tajdid.workspace import Company

PARTS = ("api", "portal", "admin")
GRACE_SECONDS = ENDS_WITHIN + 5.0
"""How long a process may take to end before it is killed."""
STARTS_WITHIN = 120.0
READY = "/health/ready"
_DIRECT = build_opener(ProxyHandler({}))
"""Asks this machine, which no proxy of the environment is asked for."""


@dataclass(frozen=True)
class Running:
    """A process, by its name."""

    name: str
    process: subprocess.Popen[bytes]


class ServeError(Exception):
    """Something did not start, or ended by itself. The message says what."""


@contextmanager
def running(
    home: Path, company: Company, ports: Mapping[str, int], *, with_worker: bool = True
) -> Iterator[list[Running]]:
    """The processes of a company, started and ready; ended when the block ends. Raises ServeError."""
    parts = [part for part in PARTS if part in ports]
    children: list[Running] = []
    for part in parts:
        _require_free(part, ports[part])
    name = company.folder.name
    try:
        for part in parts:
            started = command(f"{part}_server", home, name, dict(ports))
            children.append(Running(part, subprocess.Popen(started)))
        if with_worker:
            started = command("clockwork", home, name, dict(ports))
            children.append(Running("clockwork", subprocess.Popen(started)))
            children.append(Running("worker", worker.start(_of_worker(company))))
        for part in parts:
            _wait_for(f"http://127.0.0.1:{ports[part]}{READY}", part, children)
        yield children
    finally:
        end(children)


def _of_worker(company: Company) -> worker.Settings:
    networks = tuple(company.serve.get("webhook_networks", ()))
    return worker.Settings(company.database_url, key_of(company.folder).hex(), networks)


def _require_free(part: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise ServeError(
                f"Port {port} is taken: choose another with --{part}-port ({error.strerror})."
            ) from None


def _wait_for(address: str, name: str, children: Sequence[Running]) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline:
        check(children)
        try:
            with _DIRECT.open(address, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (OSError, HTTPException):
            time.sleep(0.1)
    raise ServeError(f"{name} did not begin to answer within {STARTS_WITHIN:.0f} seconds.")


def check(children: Sequence[Running]) -> None:
    """Raises ServeError when one of the processes has ended."""
    for child in children:
        code = child.process.poll()
        if code is not None:
            raise ServeError(f"{child.name} has ended (exit code {code}); the others are ended too.")


def end(children: Sequence[Running]) -> None:
    """End the processes: each is asked to, and killed where it takes too long."""
    for child in children:
        if child.process.poll() is None:
            child.process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for child in children:
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            print(f"{child.name} took too long to end and was killed.", file=sys.stderr)
            child.process.kill()
            child.process.wait()


@contextmanager
def told_to_end() -> Iterator[None]:
    """Within the block, to be told to end (SIGTERM, Ctrl+C) raises KeyboardInterrupt, once: who tells it more
    does not stop what ends others."""

    def told(_signal: int, _frame: FrameType | None) -> None:
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {one: signal.signal(one, told) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def watch(children: Sequence[Running], also: Callable[[], bool] = lambda: True) -> None:
    """Watch the processes for as long as `also` says so. Raises ServeError when one ends by itself."""
    while also():
        check(children)
        time.sleep(0.2)
