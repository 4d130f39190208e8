"""What is done about an account is a row of events that nobody changes; where it stands follows from them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from churn_model import treatments
from dashboard.records import actions, notes
from dashboard.records.actions import ACTIONS, Action, ActionRefused, Prompt
from dashboard.records.database import Records
from dashboard.records.notes import NOTES, NoteRefused

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
TODAY = AT.date()
PROMPT = Prompt(date(2026, 3, 1), "m1", "onboarding")


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(f"sqlite:///{tmp_path / 'app.db'}")


def contact(customer: str = "C1", at: datetime = AT, **more: object) -> Action:
    return Action(
        customer, actions.CONTACTED, channel="call", outcome="reached", contacted_at=at, prompt=PROMPT, **more
    )


def state(records: Records, customer: str = "C1", on: date = TODAY) -> str:
    found = actions.standings(records, on).get(customer)
    return found.state if found else "open"


def test_the_words_are_those_of_the_treatment_log() -> None:
    assert actions.CHANNELS == treatments.CHANNELS
    assert actions.REPLIES == treatments.OUTCOMES


def test_what_is_done_last_says_where_an_account_stands(records: Records) -> None:
    wait = Action("C1", actions.SNOOZED, until_on=TODAY + timedelta(days=10))
    for hours, action, expected in [
        (0, contact(), "contacted"),
        (1, wait, "snoozed"),
        (2, Action("C1", actions.CLOSED, outcome="saved"), "done"),
    ]:
        actions.record(records, [action], AT + timedelta(hours=hours), "dana")
        assert state(records) == expected


def test_a_snooze_ends_with_its_day_and_a_contact_after_ninety(records: Records) -> None:
    actions.record(records, [Action("C1", actions.SNOOZED, until_on=TODAY + timedelta(days=3))], AT, "dana")
    actions.record(records, [contact("C2")], AT, "dana")
    days = [2, 3, 89, 90]
    assert [state(records, "C1", TODAY + timedelta(days=day)) for day in days[:2]] == ["snoozed", "open"]
    assert [state(records, "C2", TODAY + timedelta(days=day)) for day in days[2:]] == ["contacted", "open"]


def test_undoing_is_a_further_event_that_brings_back_what_stood_before(records: Records) -> None:
    (first,) = actions.record(records, [contact()], AT, "dana")
    (second,) = actions.record(
        records, [Action("C1", actions.CLOSED, outcome="left")], AT + timedelta(hours=1), "dana"
    )
    assert actions.undo(records, [second], AT + timedelta(hours=2), "omar") == 1
    assert state(records) == "contacted"
    assert actions.undo(records, [second, "nonsense"], AT + timedelta(hours=3), "omar") == 0
    kept = records.rows(select(*ACTIONS.c).order_by(ACTIONS.c.recorded_at))
    assert [(row["action"], row["undoes"]) for row in kept] == [
        ("contacted", None),
        ("closed", None),
        ("undone", second),
    ]
    shown = actions.events(records, "C1", 10)
    assert [(row["event_id"], row["undone_by"]) for row in shown] == [(second, "omar"), (first, None)]


def test_an_assignment_holds_until_another_and_may_be_to_nobody(records: Records) -> None:
    for hours, owner in enumerate(["Dana", "Omar", ""]):
        actions.record(
            records, [Action("C1", actions.ASSIGNED, owner=owner)], AT + timedelta(hours=hours), "dana"
        )
        assert actions.standings(records, TODAY)["C1"].owner == owner
    assert actions.standings(records, TODAY + timedelta(days=900))["C1"].owner == ""


def test_the_last_contact_and_the_next_step_are_told(records: Records) -> None:
    actions.record(
        records, [contact(at=AT - timedelta(days=2), next_on=TODAY + timedelta(days=5))], AT, "dana"
    )
    found = actions.standings(records, TODAY)["C1"]
    assert (found.touched_on, found.channel, found.next_on) == (
        TODAY - timedelta(days=2),
        "call",
        TODAY + timedelta(days=5),
    )


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (Action("C1", actions.SNOOZED, until_on=TODAY), "snooze_day"),
        (Action("C1", actions.SNOOZED), "snooze_day"),
        (Action("C1", actions.SNOOZED, until_on=TODAY + timedelta(days=367)), "snooze_day"),
        (contact(at=AT + timedelta(minutes=1)), "contact_ahead"),
        (contact(next_on=TODAY - timedelta(days=1)), "next_day"),
        (
            Action("C1", actions.CONTACTED, channel="pigeon", outcome="reached", contacted_at=AT),
            "outcome_unknown",
        ),
        (Action("C1", actions.CLOSED, outcome="reached"), "outcome_unknown"),
        (Action("C1", actions.ASSIGNED, owner="x" * 201), "name_too_long"),
        (contact(note="x" * 4001), "note_too_long"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_of_it_is_kept(
    records: Records, action: Action, code: str
) -> None:
    with pytest.raises(ActionRefused) as refusal:
        actions.record(records, [contact("C9"), action], AT, "dana")
    assert refusal.value.code == code
    assert actions.written(records)[0] == 0


def test_editing_and_deleting_a_note_are_versions_of_it(records: Records) -> None:
    note = notes.write(records, "C1", "  Calls on Mondays  ", AT, "dana")
    notes.edit(records, note, 1, "Calls on Tuesdays", AT + timedelta(hours=1), "omar")
    with pytest.raises(NoteRefused, match="note_changed"):
        notes.edit(records, note, 1, "Calls never", AT + timedelta(hours=2), "dana")
    (shown,) = notes.of(records, "C1", 10)
    assert (shown["body"], shown["version_no"], shown["written_at"]) == ("Calls on Tuesdays", 2, AT)
    notes.delete(records, note, AT + timedelta(hours=3), "dana")
    notes.delete(records, note, AT + timedelta(hours=3), "dana")
    assert notes.of(records, "C1", 10) == []
    assert notes.count(records, "C1") == 0
    with pytest.raises(NoteRefused, match="note_changed"):
        notes.edit(records, note, 3, "Back", AT, "dana")
    notes.restore(records, note, AT + timedelta(hours=4), "dana")
    assert [one["body"] for one in notes.of(records, "C1", 10)] == ["Calls on Tuesdays"]
    assert notes.count(records, "C1") == 1
    kept = records.rows(select(*NOTES.c).order_by(NOTES.c.version_no))
    assert [(row["version_no"], row["is_deleted"]) for row in kept] == [
        (1, False),
        (2, False),
        (3, True),
        (4, False),
    ]


@pytest.mark.parametrize(("body", "code"), [("  \n", "note_empty"), ("x" * 10_001, "note_too_long")])
def test_an_empty_or_endless_note_is_refused(records: Records, body: str, code: str) -> None:
    with pytest.raises(NoteRefused, match=code):
        notes.write(records, "C1", body, AT, "dana")
    with pytest.raises(NoteRefused, match="note_gone"):
        notes.delete(records, "unknown", AT, "dana")
