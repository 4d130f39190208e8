"""The bulk endpoint of usage beside the bulk import itself: part of `make bench-api`.

Claim, on PostgreSQL: events sent to POST /v1/usage-events/bulk, 50,000 lines of JSON a request, are taken in
at least half as fast as `import_usage` takes in frames of the very same rows. The endpoint also reads, checks
and answers HTTP and JSON, and refuses binary floats by their token. Both sides run in turn, part by part, on
copies of one database; the bodies and the frames are made before. SIZE=small checks that the benchmark works,
not its figure.
"""

from __future__ import annotations

import http.client
import os
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from api import headers_of, minted, served
from servers import create_database, drop_database, postgres
from sqlalchemy import func, select
from usage_import_beside_copy import IMPORTED, events, prepare

from billing.jobs.import_usage import import_usage
from billing.store.store import Store, open_store
from billing.store.tables import usage_events

LIMIT = 0.5
SIZES = {"small": (2, 2_000), "full": (20, 50_000)}
"""Requests, and the events of each."""


def parts_of(item_ids: list[str], requests: int, rows: int) -> list[tuple[pl.DataFrame, bytes]]:
    """Each part as a frame of text, and as lines of JSON."""
    found = []
    for number in range(requests):
        typed = events(item_ids, number * rows, rows, requests * rows)
        frame = typed.with_columns(pl.col("occurred_at").dt.strftime("%Y-%m-%dT%H:%M:%S.%6fZ"))
        found.append((frame, frame.write_ndjson().encode()))
    return found


def imported(store: Store, frame: pl.DataFrame) -> float:
    began = time.perf_counter()
    with store.transaction():
        assert import_usage(store, IMPORTED, frame).accepted == frame.height
    return time.perf_counter() - began


def sent(connection: http.client.HTTPConnection, token: str, body: bytes, rows: int, key: str) -> float:
    headers = headers_of(token, key) | {"Content-Type": "application/x-ndjson"}
    began = time.perf_counter()
    connection.request("POST", "/v1/usage-events/bulk", body, headers)
    answer = connection.getresponse()
    told = answer.read()
    took = time.perf_counter() - began
    assert answer.status == 200, told[:500]
    assert f'"accepted":{rows},'.encode() in told, told[:500]
    return took


def measure(url: str, folder: Path, requests: int, rows: int) -> bool:
    """Print the claim; whether it holds."""
    origin = create_database(url, "bulk_origin")
    parts = parts_of(prepare(origin, requests * rows), requests, rows)
    token = minted(origin)
    by_frame = create_database(url, "bulk_frame", "bulk_origin")
    by_http = create_database(url, "bulk_http", "bulk_origin")
    ours = bare = 0.0
    with open_store(by_frame) as store, served("api:ours", by_http, folder / "no_tape") as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for number, (frame, body) in enumerate(parts):
            bare += imported(store, frame)
            ours += sent(connection, token, body, rows, f"part-{number}")
        connection.close()
        counted = select(func.count().label("count")).select_from(usage_events)
        with open_store(by_http) as other:
            assert other.row(counted) == store.row(counted) == {"count": requests * rows}
    for name in ("bulk_frame", "bulk_http", "bulk_origin"):
        drop_database(url, name)
    count, ratio = requests * rows, bare / ours
    print(
        f"usage by POST of {rows:,} lines, {count:,} events (PostgreSQL): {count / ours:,.0f} a second | "
        f"import of the same frames {count / bare:,.0f} a second | ratio {ratio:.2f} | "
        f"limit at least {LIMIT} | {'ok' if ratio >= LIMIT else 'short'}",
        flush=True,
    )
    return ratio >= LIMIT


def main() -> None:
    size = os.environ.get("SIZE", "full")
    with postgres() as url, tempfile.TemporaryDirectory() as folder:
        holds = measure(url, Path(folder), *SIZES[size])
    sys.exit(0 if holds or size == "small" else 1)


if __name__ == "__main__":
    main()
