"""Hands the messages of the outbox on to a receiver, each at least once.

A message counts as sent once the receiver has taken it. If the process ends between the two, the next one
hands it over again under the same id, by which a receiver knows that it has it already.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Integer, bindparam, select

from billing.store import claims
from billing.store.store import Row, Store
from billing.store.tables import outbox

Deliver = Callable[[Sequence[Row]], None]
"""Takes messages (`message_id`, `topic`, `subject_id`, `payload` as JSON text, `recorded_at`) for good, or
raises, and may have taken some of them then."""

CLAIM = "send_messages"
BATCH = 1_000

_WAITING = (
    select(outbox.c.message_id, outbox.c.topic, outbox.c.subject_id, outbox.c.payload, outbox.c.recorded_at)
    .where(outbox.c.sent_at.is_(None))
    .order_by(outbox.c.recorded_at, outbox.c.message_id)
    .limit(bindparam("batch", type_=Integer))
)


def send_messages(store: Store, at: datetime, deliver: Deliver, *, batch: int = BATCH) -> int:
    """Deliver all messages that wait, the oldest first, a batch at a time; how many.

    Nobody waits in a transaction while the receiver takes its time. One process sends at a time; another
    finds nothing to do. Raises what `deliver` raises: its batch waits on.
    """
    if not claims.claim(store, CLAIM):
        return 0
    try:
        sent = 0
        while waiting := store.rows(_WAITING, {"batch": batch}):
            deliver(waiting)
            taken = [{"message_id": row["message_id"], "sent_at": at} for row in waiting]
            store.perform(partial(store.update, outbox, taken))
            sent += len(waiting)
        return sent
    finally:
        claims.release(store, CLAIM)


def appended_to(path: Path) -> Deliver:
    """A receiver that appends messages to a file, a JSON object a line, and takes them once the disk has
    them. A line that a crash left half written is ended, and its message comes again."""

    def deliver(messages: Sequence[Row]) -> None:
        lines = [
            json.dumps(
                {
                    **row,
                    "payload": json.loads(row["payload"]),
                    "recorded_at": row["recorded_at"].isoformat(timespec="microseconds"),
                },
                ensure_ascii=False,
            )
            for row in messages
        ]
        with path.open("ab+") as file:
            if _ends_within_a_line(file):
                file.write(b"\n")
            file.write("".join(f"{line}\n" for line in lines).encode())
            file.flush()
            os.fsync(file.fileno())

    return deliver


def _ends_within_a_line(file: BinaryIO) -> bool:
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"
