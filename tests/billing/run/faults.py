"""Work in processes of its own, killed at any moment and started again.

TAJDID_FAULT_KILLS says how often work is killed before it may end (`make test-faults`).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from billing.store.store import Store

KILLS = int(os.environ.get("TAJDID_FAULT_KILLS", "4"))


def start(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    """A process that has read its code, said `ready`, and goes to work."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    child = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def kill_until_done(script: str, *arguments: object, check: Callable[[], None]) -> bool:
    """Start a script and kill it, as often as is asked or until it ends; `check` what it left each time.
    Whether it ended by itself."""
    draw, kills = random.Random(1), 0
    while kills < KILLS:
        child = start(script, *arguments)
        try:
            child.wait(0.02 * 30 ** draw.random())  # Most moments lie early, where fast machines are, too.
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        code = child.wait()
        check()
        if code != -signal.SIGKILL:
            assert code == 0
            assert kills > 0, "it was over before it could be killed"
            return True
        kills += 1
    return False


_FULL = """
CREATE SEQUENCE written;
CREATE FUNCTION fill_up() RETURNS trigger AS $$
BEGIN
    IF nextval('written') > {room} THEN
        RAISE EXCEPTION 'No space left on disk' USING ERRCODE = 'disk_full';
    END IF;
    RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER fill_up BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fill_up();
"""
_FREE = "DROP TRIGGER fill_up ON {table}; DROP FUNCTION fill_up; DROP SEQUENCE written"


@contextmanager
def full_disk(store: Store, table: str, room: int) -> Iterator[None]:
    """For the time of the block the disk has room for so many pages more (SQLite), or for so many rows of a
    table (PostgreSQL)."""
    if store.is_sqlite:
        pages = store.row(text("PRAGMA page_count"))
        assert pages is not None
        begin, end = (
            f"PRAGMA max_page_count = {pages['page_count'] + room}",
            "PRAGMA max_page_count = 1000000",
        )
    else:
        begin, end = _FULL.format(table=table, room=room), _FREE.format(table=table)
    store._run(begin)
    try:
        yield
    finally:
        store._run(end)
