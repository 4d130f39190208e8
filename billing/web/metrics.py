"""Figures of this process in the text format of Prometheus: `GET /metrics`.

Requests are counted by the template of their route, so that the number of series does not grow with
customers. Each process of a server counts for itself and says which one it is."""

from __future__ import annotations

import hmac
import os
import resource
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_network
from itertools import accumulate

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from billing.web.hosts import is_within
from billing.web.logs import Answered
from billing.web.problems import Problem

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the classes of seconds an answer took."""

_THIS_MACHINE = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_OF_PROXIES = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")

Figure = tuple[str, str, str, float]
"""Name, kind (`counter` or `gauge`), what it says, value."""


class Metrics:
    """Counts what was answered. `others`: asked each time the figures are read."""

    def __init__(self, others: Callable[[], Iterable[Figure]] = tuple) -> None:
        self._others = others
        self._answers: Counter[tuple[str, str, int]] = Counter()
        self._refusals: Counter[str] = Counter()
        self._times: dict[tuple[str, str], _Times] = {}
        self._bytes_in = self._bytes_out = 0
        self._started = time.time()

    def watch(self, answered: Answered) -> None:
        """Count a request that was answered."""
        of = answered.method, answered.route
        self._answers[*of, answered.status] += 1
        self._times.setdefault(of, _Times()).add(answered.seconds)
        if answered.code is not None:
            self._refusals[answered.code] += 1
        self._bytes_in += answered.bytes_in
        self._bytes_out += answered.bytes_out

    def text(self) -> str:
        """All figures, as Prometheus reads them."""
        return "\n".join([*self._lines(), ""])

    def _lines(self) -> Iterator[str]:
        yield from _head("tajdid_http_requests_total", "counter", "Requests answered.")
        for (method, route, status), count in sorted(self._answers.items()):
            labels = {"method": method, "route": route, "status": str(status)}
            yield _line("tajdid_http_requests_total", labels, count)
        yield from _head("tajdid_http_refusals_total", "counter", "Requests refused, by code.")
        for code, count in sorted(self._refusals.items()):
            yield _line("tajdid_http_refusals_total", {"code": code}, count)
        yield from _head("tajdid_http_request_seconds", "histogram", "Seconds an answer took.")
        for (method, route), times in sorted(self._times.items()):
            yield from times.lines("tajdid_http_request_seconds", {"method": method, "route": route})
        figures: list[Figure] = [
            ("tajdid_http_received_bytes_total", "counter", "Bytes of bodies received.", self._bytes_in),
            ("tajdid_http_sent_bytes_total", "counter", "Bytes of bodies sent.", self._bytes_out),
            (
                "tajdid_process_start_time_seconds",
                "gauge",
                "When the process began, since 1970.",
                self._started,
            ),
            ("tajdid_process_cpu_seconds_total", "counter", "Processor time spent.", time.process_time()),
            ("tajdid_process_peak_memory_bytes", "gauge", "Most memory held so far.", _peak_memory()),
            *self._others(),
        ]
        for name, kind, about, value in figures:
            yield from _head(name, kind, about)
            yield _line(name, {}, value)


class _Times:
    """How long answers took, in classes."""

    def __init__(self) -> None:
        self._classes = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def add(self, seconds: float) -> None:
        self._classes[bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds

    def lines(self, name: str, labels: Mapping[str, str]) -> Iterator[str]:
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), accumulate(self._classes), strict=True):
            yield _line(f"{name}_bucket", {**labels, "le": bound}, count)
        yield _line(f"{name}_sum", labels, self._seconds)
        yield _line(f"{name}_count", labels, sum(self._classes))


def figures_route(metrics: Metrics, token: str | None) -> Callable[[Request], Response]:
    """What answers `GET /metrics`: to who brings the token; where there is none, to this machine itself."""

    def figures(request: Request) -> Response:
        if not (_is_of_this_machine(request) if token is None else _brings(request, token)):
            raise Problem("not_found")
        return PlainTextResponse(metrics.text(), media_type="text/plain; version=0.0.4")

    return figures


def _is_of_this_machine(request: Request) -> bool:
    """Whether somebody here asks for themselves: a proxy here, known or not, asks for others and mostly says
    so. Only a token keeps out who comes by one that does not."""
    client = request.client
    is_here = client is not None and is_within(client.host, _THIS_MACHINE)
    return is_here and not any(name in request.headers for name in _OF_PROXIES)


def _brings(request: Request, token: str) -> bool:
    given = request.headers.get("authorization", "")
    return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())


def _head(name: str, kind: str, about: str) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    said = {**labels, "process": str(os.getpid())}
    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in said.items())
    return f"{name}{{{shown}}} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
