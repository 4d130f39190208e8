"""What leaves the outbox: every message, at least once, under one id."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
from faults import KILLS, kill_until_done
from shop import at
from sqlalchemy import select

from billing.jobs.send_messages import CLAIM, appended_to, send_messages
from billing.service import catalog
from billing.store import claims, tables
from billing.store.store import Row, Store, open_store

DAY = date(2025, 3, 1)
SEND = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from billing.jobs.send_messages import appended_to, send_messages
from billing.store.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
send_messages(store, datetime(2025, 3, 1, 12, tzinfo=UTC), appended_to(Path(sys.argv[2])), batch=2)
"""


def announced(store: Store, count: int, first: int = 0) -> None:
    """A message for each of so many products."""
    with store.transaction():
        for number in range(first, first + count):
            catalog.create_product(
                store, at(DAY, number % 24), product_id=f"p{number}", name=f"\u0634\u0627\u064a {number}"
            )


def waiting(store: Store) -> list[str]:
    unsent = select(tables.outbox.c.message_id).where(tables.outbox.c.sent_at.is_(None))
    return [row["message_id"] for row in store.rows(unsent)]


def kept(path: Path) -> list[dict[str, object]]:
    """The whole messages of a file; a line that a crash broke off is none."""
    found = []
    for line in path.read_text().split("\n") if path.exists() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            assert not line.endswith("}")
    return found


class Receiver:
    """Takes messages, and breaks off before or after the ones it is told to."""

    def __init__(self) -> None:
        self.taken: list[Row] = []
        self.breaks_before: set[int] = set()
        self.breaks_after: set[int] = set()
        self.calls = 0

    def __call__(self, messages: Sequence[Row]) -> None:
        self.calls += 1
        if self.calls in self.breaks_before:
            raise ConnectionError("before")
        self.taken.extend(messages)
        if self.calls in self.breaks_after:
            raise ConnectionError("after")


def test_messages_are_sent_once_the_oldest_first_with_all_they_say(store: Store) -> None:
    announced(store, 30)
    told = {row["message_id"]: row for row in store.rows(select(tables.outbox))}
    receiver = Receiver()
    assert send_messages(store, at(DAY, 23), receiver, batch=7) == 30
    assert send_messages(store, at(DAY, 23), receiver) == 0
    assert [row["message_id"] for row in receiver.taken] == sorted(
        told, key=lambda one: (told[one]["recorded_at"], one)
    )
    assert {row["message_id"]: row for row in receiver.taken} == {
        one: {name: value for name, value in row.items() if name not in ("sent_at", "sequenced_at")}
        for one, row in told.items()
    }
    assert {row["sent_at"] for row in store.rows(select(tables.outbox))} == {at(DAY, 23)}


def test_what_a_receiver_did_not_take_or_took_and_broke_off_comes_again_under_its_id(store: Store) -> None:
    announced(store, 10)
    receiver = Receiver()
    receiver.breaks_before, receiver.breaks_after = {2}, {4}
    for reason in ("before", "after"):
        with pytest.raises(ConnectionError, match=reason):
            send_messages(store, at(DAY), receiver, batch=3)
    send_messages(store, at(DAY), receiver, batch=3)
    ids = [row["message_id"] for row in receiver.taken]
    assert sorted(set(ids)) == sorted(row["message_id"] for row in store.rows(select(tables.outbox)))
    assert len(ids) == 10 + 3  # The batch it took before it broke off came twice.
    assert waiting(store) == []


def test_what_changes_while_messages_are_sent_is_sent_too(store: Store) -> None:
    announced(store, 2)
    receiver = Receiver()

    def takes_its_time(messages: Sequence[Row]) -> None:
        receiver(messages)
        if receiver.calls == 1:
            announced(store, 3, first=2)

    assert send_messages(store, at(DAY), takes_its_time) == 5
    assert waiting(store) == []


def test_one_process_sends_at_a_time(database_url: str) -> None:
    with open_store(database_url) as one, open_store(database_url) as other:
        announced(one, 3)
        assert claims.claim(other, CLAIM)
        receiver = Receiver()
        assert send_messages(one, at(DAY), receiver) == 0
        claims.release(other, CLAIM)
        assert send_messages(one, at(DAY), receiver) == 3


def test_a_change_that_is_undone_sends_nothing(store: Store) -> None:
    def fails() -> None:
        with store.transaction():
            announced(store, 3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert send_messages(store, at(DAY), Receiver()) == 0


def test_killed_at_any_moment_no_message_is_lost(tmp_path: Path, database_url: str) -> None:
    path = tmp_path / "events.jsonl"
    with open_store(database_url) as store:
        announced(store, max(200, 60 * KILLS))
        told = sorted(row["message_id"] for row in store.rows(select(tables.outbox)))

        def check() -> None:
            taken = {one["message_id"] for one in kept(path)}
            assert set(told) - taken <= set(waiting(store))

        kill_until_done(SEND, database_url, path, check=check)
        send_messages(store, at(DAY), appended_to(path))
        ids = [one["message_id"] for one in kept(path)]
        assert sorted(set(ids)) == told
        assert len(ids) <= len(told) + 2 * (KILLS + 1), "a kill sends a batch again, and no more"
