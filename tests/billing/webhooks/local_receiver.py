"""A receiver on this machine that remembers what it took, in the order it took it."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Status = Callable[[dict[str, Any]], int]


class Listener:
    """`taken`: by customer, the sequences that it answered by 2xx. `requests`: headers and bodies, all."""

    def __init__(self, status: Status) -> None:
        self.status = status
        self.taken: dict[str, list[int]] = defaultdict(list)
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answered = 0
        self.lock = threading.Lock()
        self.url = ""


@contextmanager
def listening(status: Status, *, port: int = 0, headers: dict[str, str] | None = None) -> Iterator[Listener]:
    listener = Listener(status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with listener.lock:
                listener.requests.append((dict(self.headers.items()), body))
                said = json.loads(body)
                status = listener.status(said)
                if 200 <= status < 300:
                    listener.taken[str(said["data"].get("customer_id"))].append(said["sequence"])
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
            listener.answered += 1

        def log_message(self, *_given: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    listener.url = f"http://127.0.0.1:{server.server_address[1]}/in"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
