"""Questions that readers keep: own ones, shared ones, taken away and given back, and what was asked."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dashboard.records import audit, saved_queries
from dashboard.records.database import Records

AT = datetime(2025, 4, 1, 9, tzinfo=UTC)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(f"sqlite:///{tmp_path / 'app.db'}")


def names(records: Records, reader_id: str) -> list[tuple[str, str]]:
    return [(one.name, one.owner) for one in saved_queries.seen_by(records, reader_id)]


def test_a_question_is_seen_by_its_owner_and_when_shared_by_everybody(records: Records) -> None:
    saved_queries.save(records, "amal", AT, "Own", "SELECT 1", {}, is_shared=False)
    saved_queries.save(
        records, "amal", AT, "Shared", "SELECT $x", {"x": ("day", "2025-01-01")}, is_shared=True
    )
    assert names(records, "amal") == [("Own", "amal"), ("Shared", "amal")]
    assert names(records, "badr") == [("Shared", "amal")]
    (shared,) = saved_queries.seen_by(records, "badr")
    assert (shared.text, shared.parameters, shared.recorded_at) == (
        "SELECT $x",
        {"x": ("day", "2025-01-01")},
        AT,
    )


def test_saving_under_the_same_name_replaces_only_the_readers_own(records: Records) -> None:
    saved_queries.save(records, "badr", AT, "Mine", "SELECT 0", {}, is_shared=True)
    saved_queries.save(records, "amal", AT, "Mine", "SELECT 1", {}, is_shared=False)
    saved_queries.save(records, "amal", AT, " Mine ", "SELECT 2", {}, is_shared=False)
    texts = {(one.owner, one.text) for one in saved_queries.seen_by(records, "amal")}
    assert texts == {("amal", "SELECT 2"), ("badr", "SELECT 0")}


def test_sharing_a_question_is_noted_and_keeping_one_for_oneself_is_not(records: Records) -> None:
    saved_queries.save(records, "amal", AT, "Own", "SELECT 1", {}, is_shared=False)
    key = saved_queries.save(records, "amal", AT, "Ours", "SELECT 2", {}, is_shared=True)
    saved_queries.remove(records, "badr", AT, key)  # not theirs: nothing happened
    saved_queries.remove(records, "amal", AT, key)
    saved_queries.restore(records, "amal", AT, key)
    last = saved_queries.save(records, "amal", AT, "Ours", "SELECT 3", {}, is_shared=False)
    noted = audit.lines(records)[::-1]
    assert {(one["recorded_by"], one["act"], one["subject"]) for one in noted} == {
        ("amal", "share", "question Ours")
    }
    assert [json.loads(one["detail"]) for one in noted] == [
        {"query_id": key, "done": "shared with everybody", "text": "SELECT 2"},
        {"query_id": key, "done": "deleted", "text": "SELECT 2"},
        {"query_id": key, "done": "brought back", "text": "SELECT 2"},
        {"query_id": last, "done": "no longer shared", "text": "SELECT 3"},
    ]


def test_a_deletion_is_the_owners_alone_and_can_be_undone(records: Records) -> None:
    key = saved_queries.save(records, "amal", AT, "Q", "SELECT 1", {}, is_shared=True)
    assert not saved_queries.remove(records, "badr", AT, key)
    assert saved_queries.remove(records, "amal", AT, key)
    assert not saved_queries.remove(records, "amal", AT, key)
    assert names(records, "amal") == []
    assert not saved_queries.restore(records, "badr", AT, key)
    assert saved_queries.restore(records, "amal", AT, key)
    assert names(records, "amal") == [("Q", "amal")]


@pytest.mark.parametrize(
    ("name", "text"), [("", "SELECT 1"), ("  ", "SELECT 1"), ("n" * 121, "SELECT 1"), ("n", " ")]
)
def test_a_question_needs_a_name_and_a_text(records: Records, name: str, text: str) -> None:
    with pytest.raises(ValueError, match="name and a text"):
        saved_queries.save(records, "amal", AT, name, text, {}, is_shared=False)


def test_a_reader_sees_the_own_last_questions_newest_first(records: Records) -> None:
    for number in range(3):
        saved_queries.note_run(
            records,
            "amal",
            AT + timedelta(minutes=number),
            f"SELECT {number}",
            {},
            state="answered",
            code="",
            row_count=number,
            seconds=0.5,
        )
    runs = saved_queries.runs_of(records, "amal", limit=2)
    assert [(run.text, run.row_count) for run in runs] == [("SELECT 2", 2), ("SELECT 1", 1)]
    assert saved_queries.runs_of(records, "badr") == []
