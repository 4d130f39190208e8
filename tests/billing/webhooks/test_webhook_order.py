"""Whatever a receiver answers, and whenever the worker dies: each lane in order, and nothing lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from hooks import AT, Told, deliveries, endpoint, happens, play, reveal, settle
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from billing.gateways.receiver import Delivered
from billing.jobs.deliver_webhooks import Deliverer
from billing.service import webhook_endpoints as acts
from billing.store import tables
from billing.store.store import IdGenerator, Store, open_store

ANSWERS = (
    Delivered(200),
    Delivered(204),
    Delivered(500),
    Delivered(302),
    Delivered(429, retry_after=60),
    Delivered(error="timeout"),
)
TAKEN, NOT_RECORDED = st.booleans(), st.booleans()
STEP = st.one_of(
    st.tuples(st.just("happens"), st.integers(1, 12), st.integers(1, 3)),
    st.tuples(st.just("step"), st.integers(0, 40), st.just(0)),
    st.tuples(st.just("answers"), st.integers(0, 2**16), st.integers(0, 5)),
    st.tuples(st.just("dies"), st.integers(0, 2**16), st.just(0)),
    st.tuples(st.just("paused"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("again"), st.integers(1, 30), st.just(0)),
)


@pytest.fixture(scope="module")
def kept() -> Iterator[Store]:
    with open_store("sqlite://", IdGenerator(7)) as store:
        store.migrate()
        yield store


class Story:
    """A worker whose requests are answered when the story says so, in any order."""

    def __init__(self, store: Store) -> None:
        self.store, self.at, self.count = store, AT, 0
        for name in ("attempts", "deliveries", "secrets", "endpoints"):
            store.execute(delete(tables.metadata.tables[f"webhook_{name}"]))
        store.execute(delete(tables.events))
        store.execute(delete(tables.outbox))
        self.endpoint_id = endpoint(store, topics=["payment.*"])
        self.receiver = Told(lambda _said: self.answer)
        self.answer = ANSWERS[0]
        self.begin()

    def begin(self) -> None:
        self.pending: list[Callable[[], None]] = []
        self.worker = Deliverer(self.store, self.receiver, reveal, self.pending.append)

    def some(self, choice: int) -> list[Callable[[], None]]:
        """Some of the requests under way, in some order."""
        chosen = [one for place, one in enumerate(self.pending) if choice >> (place % 16) & 1]
        self.pending[:] = [one for one in self.pending if one not in chosen]
        return chosen[choice % 2 :: 2] + chosen[1 - choice % 2 :: 2]

    def tell(self, what: str, first: int, second: int) -> None:
        if what == "happens":
            happens(self.store, first, lanes=second, at=self.at, first=self.count)
            self.count += first
        elif what == "step":
            self.at += timedelta(minutes=first)
            self.worker.step(self.at)
        elif what == "answers":
            self.answer = ANSWERS[second]
            for one in self.some(first):
                one()
        elif what == "dies":
            self.answer = ANSWERS[0]
            for one in self.some(first):
                one()  # The receiver took it, and nobody wrote it down.
            self.begin()
        elif what == "paused":
            acts.change_endpoint(self.store, self.at, endpoint_id=self.endpoint_id, is_paused=bool(first))
        else:
            acts.replay(self.store, self.at, endpoint_id=self.endpoint_id, from_sequence=first)

    def end(self) -> None:
        acts.change_endpoint(self.store, self.at, endpoint_id=self.endpoint_id, is_paused=False)
        self.begin()
        self.answer = ANSWERS[0]
        self.worker = Deliverer(self.store, self.receiver, reveal, lambda send: send())
        settle(self.worker, self.at)
        play(self.worker, self.store, self.at)


@given(st.lists(STEP, min_size=12, max_size=60))
@settings(max_examples=60)
def test_each_lane_comes_in_order_and_nothing_is_lost(kept: Store, steps: list[tuple[str, int, int]]) -> None:
    story = Story(kept)
    for what, first, second in steps:
        story.tell(what, first, second)
    story.end()
    told: dict[str, list[int]] = {}
    payments = tables.events.c.topic == "payment.captured"
    for row in kept.rows(select(tables.events).where(payments).order_by(tables.events.c.sequence)):
        told.setdefault(row["lane"], []).append(row["sequence"])
    firsts = {lane: list(dict.fromkeys(taken)) for lane, taken in story.receiver.taken.items()}
    assert firsts == told
    assert sum(map(len, told.values())) == story.count
    assert {row["state"] for row in deliveries(kept)} <= {"delivered"}


@pytest.mark.parametrize("lanes", [1, 5])
def test_one_of_a_lane_is_under_way_at_a_time(sqlite_store: Store, lanes: int) -> None:
    endpoint(sqlite_store, topics=["payment.*"])
    happens(sqlite_store, 20, lanes=lanes)
    pending: list[Callable[[], None]] = []
    worker = Deliverer(sqlite_store, Told(), reveal, pending.append)
    for _ in range(3):
        worker.step(AT)
    assert len(pending) == worker.under_way == lanes


def test_what_comes_to_stand_late_gets_a_later_number_and_is_not_missed(
    both_stores: tuple[Store, Store],
) -> None:
    _, store = both_stores
    endpoint(store, topics=["payment.*"])
    receiver = Told()
    worker = Deliverer(store, receiver, reveal, lambda send: send())
    address = store._engine.url.render_as_string(hide_password=False)
    with open_store(address) as other:
        with other.transaction():
            happens(other, 1, at=AT, first=0, lanes=9)  # Recorded first, and committed last.
            happens(store, 1, at=AT + timedelta(hours=1), first=1, lanes=9)
            settle(worker, AT)
            assert list(receiver.taken) == ["c1"]
        settle(worker, AT)
    assert list(receiver.taken) == ["c1", "c0"]
    assert receiver.taken["c0"] > receiver.taken["c1"]
