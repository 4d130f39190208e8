"""Answers are kept within bounds, asked once for all who wait, and given up when nobody waits any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable

import duckdb
import polars as pl
import pytest

from dashboard import answers
from dashboard.answers import Answers

FOREVER = "SELECT count(*) FROM range(1000000000000) AS a(x) WHERE x % 7 = 3"


class Source:
    """An in-memory database that counts how often it was asked."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(":memory:")
        self.asked = 0

    def cursor(self) -> duckdb.DuckDBPyConnection:
        self.asked += 1
        return self.connection.cursor()


class GoneAway(Exception):
    pass


class Watcher:
    """Waits for one beat and then goes away, as a reader who clicks elsewhere."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def before(self, key: Hashable) -> None:
        self.told.append("before")

    def begin(self, key: Hashable) -> None:
        self.told.append("begin")

    def beat(self, seconds: float) -> None:
        raise GoneAway

    def end(self) -> None:
        self.told.append("end")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PATIENCE", 0.05)
    monkeypatch.setattr(answers, "BEAT", 0.02)


def test_the_same_question_is_asked_once_and_another_value_place_or_statement_anew() -> None:
    source, kept = Source(), Answers()
    for _ in range(3):
        assert kept.ask(source, "build", "SELECT $x AS x", {"x": 1}).item() == 1
    assert source.asked == 1
    assert kept.ask(source, "build", "SELECT $x AS x", {"x": "1"}).item() == "1"
    assert kept.ask(source, "other", "SELECT $x AS x", {"x": 1}).item() == 1
    assert kept.ask(source, "build", "SELECT $x + 1 AS x", {"x": 1}).item() == 2
    assert source.asked == 4


def test_a_query_that_fails_is_not_kept() -> None:
    source, kept = Source(), Answers()
    for _ in range(2):
        with pytest.raises(duckdb.Error):
            kept.ask(source, "build", "SELECT * FROM missing", {})
    assert (source.asked, len(kept)) == (2, 0)


def test_answers_are_let_go_when_they_take_too_much_room() -> None:
    source, kept = Source(), Answers(limit=50_000, biggest=20_000)
    for number in range(20):
        kept.ask(source, "build", "SELECT range AS x FROM range(1000) WHERE range >= $low", {"low": -number})
    assert kept.size <= 50_000
    assert 1 < len(kept) < 20
    kept.ask(source, "build", "SELECT * FROM range(10000)", {})  # 80 kB: given, not kept
    asked = source.asked
    kept.ask(source, "build", "SELECT * FROM range(10000)", {})
    assert source.asked == asked + 1


def test_whoever_asks_while_the_answer_is_under_way_waits_for_the_same_one() -> None:
    source, kept = Source(), Answers()
    slow = "SELECT count(*) AS n FROM range(100000000) AS a(x) WHERE x % 7 = 3"
    found: list[pl.DataFrame] = []
    threads = [
        threading.Thread(target=lambda: found.append(kept.ask(source, "build", slow, {}))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.asked == 1
    assert {frame.item() for frame in found} == {14285714}


def test_a_query_nobody_waits_for_any_more_is_given_up() -> None:
    source, kept, reader = Source(), Answers(), Watcher()
    begun = time.monotonic()
    with pytest.raises(GoneAway):
        kept.ask(source, "build", FOREVER, {}, reader)
    assert reader.told == ["before", "begin", "end"]
    # The connection is free again: what comes next does not wait behind the query.
    assert kept.ask(source, "build", "SELECT 1 AS x", {}).item() == 1
    assert time.monotonic() - begun < 30
    assert len(kept) == 1


def test_a_quick_answer_tells_the_reader_nothing() -> None:
    reader = Watcher()
    assert Answers().ask(Source(), "build", "SELECT 1 AS x", {}, reader).item() == 1
    assert reader.told == ["before"]
