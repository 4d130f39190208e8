"""Readers of a dashboard as the server sees them: websockets that ask for a page again and again.

No browser is needed, and none would let twenty of them share two processors with the server.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

START_SECONDS = 120
BIGGEST_MESSAGE = 2**28


@contextmanager
def served(command: Sequence[str], port: int, environment: dict[str, str]) -> Iterator[int]:
    """Run a server until the block ends; gives its process id."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | environment
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            if process.poll() is not None:
                sys.exit(f"The server ended with {process.returncode}: {' '.join(command)}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1):
                    break
            except (URLError, OSError):
                if time.monotonic() > deadline:
                    sys.exit(f"The server did not start in {START_SECONDS} s.")
                time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def memory_mb(pid: int) -> float:
    """What a process holds now (resident, Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:", 1)[1].split(maxsplit=1)[0]) / 1024


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Session:
    """One reader. `ask` draws a page and gives the seconds until it was drawn."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._hashes: dict[str, str] = {}

    async def ask(self, page: str, address: dict[str, str]) -> float:
        """Draw `page` (its path; "" is the first) with the parameters of `address`."""
        wish = BackMsg()
        wish.rerun_script.query_string = urlencode(address)
        if page in self._hashes:
            wish.rerun_script.page_script_hash = self._hashes[page]
        else:
            wish.rerun_script.page_name = page
        started = time.perf_counter()
        await self._socket.send(wish.SerializeToString())
        failed = False
        while True:
            answer = ForwardMsg.FromString(await self._socket.recv())
            kind = answer.WhichOneof("type")
            if kind == "navigation":
                self._hashes |= {
                    one.url_pathname: one.page_script_hash for one in answer.navigation.app_pages
                }
            elif kind == "delta":
                failed = failed or _is_failure(answer)
            elif kind == "script_finished" and answer.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                break
        spent = time.perf_counter() - started
        if failed or answer.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY:
            raise RuntimeError(f"page {page!r} with {address} was not drawn")
        return spent


def _is_failure(answer: ForwardMsg) -> bool:
    """Whether a part of the page says that it failed."""
    element = answer.delta.new_element
    return element.WhichOneof("type") == "exception" or (
        element.WhichOneof("type") == "alert" and "Reference: " in element.alert.body
    )


async def _read(
    port: int,
    number: int,
    asks: Sequence[tuple[str, dict[str, str]]],
    pause: float,
    warm: int,
    spent: list[float],
) -> None:
    chance = random.Random(number)
    async with connect(
        f"ws://127.0.0.1:{port}/_stcore/stream",
        subprotocols=["streamlit"],
        max_size=BIGGEST_MESSAGE,
    ) as socket:
        session = Session(socket)
        for place, (page, address) in enumerate(asks):
            if pause:
                await asyncio.sleep(chance.uniform(0, 2 * pause))
            seconds = await session.ask(page, address)
            if place >= warm:
                spent.append(seconds)


def read(
    port: int,
    readers: int,
    asks: Sequence[tuple[str, dict[str, str]]],
    *,
    pause: float = 0.0,
    warm: int = 1,
) -> list[float]:
    """Seconds of each page drawn for `readers` at once who each ask for `asks` in turn.

    A reader pauses `pause` seconds on average before asking again; the first `warm` answers do not count.
    """

    async def all_of_them() -> list[float]:
        spent: list[float] = []
        await asyncio.gather(*(_read(port, number, asks, pause, warm, spent) for number in range(readers)))
        return spent

    return asyncio.run(all_of_them())


def at(spent: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(spent)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
