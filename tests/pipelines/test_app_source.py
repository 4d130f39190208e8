"""What people wrote comes into raw_app as it was written; a missing or old database is nothing to fear."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from dashboard.people.reader import Reader
from dashboard.records import actions, annotations, notes, targets, views
from dashboard.records.actions import ACTIONS, Action, Prompt
from dashboard.records.annotations import ANNOTATIONS
from dashboard.records.database import Records
from dashboard.records.notes import NOTES
from dashboard.records.targets import TARGETS
from dashboard.records.views import VIEWS
from pipelines.sources import app
from pipelines.sources.loading import SourceConfig, SourceError
from tajdid.workspace import build_request, load_company

AT = datetime(2024, 5, 31, 9, tzinfo=UTC)
BUILT = datetime(2024, 6, 1, tzinfo=UTC)
CONTACT = Action(
    "c1",
    actions.CONTACTED,
    channel="call",
    outcome="reached",
    contacted_at=AT,
    next_on=date(2024, 6, 3),
    prompt=Prompt(date(2024, 5, 30), "m1", "onboarding"),
)
DANA, OMAR = (Reader(name.lower(), name, frozenset({"executive"})) for name in ("Dana", "Omar"))
Ask = Callable[[str], list[Any]]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'app.db'}"


@pytest.fixture
def load(stage_at: Any, url: str) -> Callable[..., Ask]:
    """Load the records as a build at a moment; returns a function that asks the stage."""

    def run(moment: datetime = BUILT) -> Ask:
        stage = stage_at(moment, timezone="UTC")
        with stage.transaction():
            app.load(stage, SourceConfig(app.NAME, "app", url))
        return lambda sql: stage.connection.execute(sql).fetchall()

    return run


def test_the_columns_are_those_that_the_pages_write() -> None:
    assert set(app.TABLES["customer_actions"].columns) == set(ACTIONS.columns.keys())
    assert set(app.TABLES["customer_notes"].columns) == set(NOTES.columns.keys())
    assert set(app.TABLES["targets"].columns) == set(TARGETS.columns.keys())
    assert set(app.TABLES["annotations"].columns) == set(ANNOTATIONS.columns.keys())
    unread = {"is_team", "changed_at", "deleted_at", "deleted_by"}  # who may see it, and when it was written
    assert set(app.TABLES["saved_views"].columns) == set(VIEWS.columns.keys()) - unread


def test_a_row_comes_as_it_was_written_and_comes_once(load: Callable[..., Ask], url: str) -> None:
    records = Records(url)
    actions.record(records, [CONTACT], AT, "dana")
    notes.write(records, "c1", "Prefers e-mail", AT, "dana")
    assert records.rows(select(targets.TARGETS)) == []
    load()
    ask = load(BUILT + timedelta(days=1))
    assert ask("SELECT * EXCLUDE (event_id, load_id) FROM raw_app.customer_actions") == [
        (
            *("c1", "contacted", None, None, "call", "reached", None, AT, date(2024, 6, 3)),
            *(date(2024, 5, 30), "m1", "onboarding", None, "dana", AT, app.NAME),
        )
    ]
    assert ask("SELECT body, version_no, is_deleted, recorded_at FROM raw_app.customer_notes") == [
        ("Prefers e-mail", 1, False, AT)
    ]
    assert ask("SELECT target_table, rows_read, rows_unchanged FROM raw_meta.loads ORDER BY load_id") == [
        ("raw_app.customer_actions", 1, 0),
        ("raw_app.customer_notes", 1, 0),
        ("raw_app.targets", 0, 0),
        ("raw_app.annotations", 0, 0),
        ("raw_app.saved_views", 0, 0),
        ("raw_app.customer_actions", 1, 1),
        ("raw_app.customer_notes", 1, 1),
        ("raw_app.targets", 0, 0),
        ("raw_app.annotations", 0, 0),
        ("raw_app.saved_views", 0, 0),
    ]


def test_a_row_that_was_taken_away_comes_again_as_known_from_then(load: Callable[..., Ask], url: str) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as old, old:
        old.execute(
            "CREATE TABLE targets (target_id INTEGER, metric_id TEXT, month DATE, currency TEXT, "
            "segment TEXT, amount BIGINT, recorded_at DATETIME, recorded_by TEXT, deleted_at DATETIME, "
            "deleted_by TEXT)"
        )
        old.execute(
            "INSERT INTO targets VALUES (1, 'mrr', '2024-06-01', 'EUR', 'all', 500000, "
            "'2024-05-31 09:00:00.000000', 'dana', NULL, NULL)"
        )
    load()
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as old, old:
        old.execute("UPDATE targets SET deleted_at = '2024-06-01 12:00:00.000000', deleted_by = 'omar'")
    load(BUILT + timedelta(days=1))
    ask = load(BUILT + timedelta(days=2))  # nothing was written since: nothing comes
    assert ask("SELECT amount, deleted_at, recorded_at FROM raw_app.targets ORDER BY recorded_at") == [
        (500_000, None, AT),
        (500_000, datetime(2024, 6, 1, 12, tzinfo=UTC), BUILT + timedelta(days=1)),
    ]


def test_a_note_on_a_date_comes_and_its_deleting_and_its_coming_back(
    load: Callable[..., Ask], url: str
) -> None:
    records = Records(url)
    kept = annotations.write(records, AT, "dana", "Dana", date(2024, 3, 1), "Prices rose 5 %")
    other = annotations.write(records, AT, "omar", "Omar", date(2024, 4, 1), "An outage")
    states = [app.state_of(url)]
    load()
    for one in (kept, other):
        annotations.remove(records, AT + timedelta(minutes=one), "omar", one)
        states.append(app.state_of(url))
    load(BUILT + timedelta(days=1))
    for one in (kept, other):
        annotations.restore(records, one)
        states.append(app.state_of(url))
    ask = load(BUILT + timedelta(days=2))
    assert len(set(states)) == len(states) - 1
    assert states[-1] == states[0]  # all as it was again
    assert ask(
        "SELECT happened_on, words, author_name, recorded_by, deleted_by, recorded_at "
        f"FROM raw_app.annotations WHERE annotation_id = {kept} ORDER BY recorded_at"
    ) == [
        (date(2024, 3, 1), "Prices rose 5 %", "Dana", "dana", deleted_by, at)
        for deleted_by, at in (
            (None, AT),
            ("omar", BUILT + timedelta(days=1)),
            (None, BUILT + timedelta(days=2)),
        )
    ]


def test_of_saved_views_only_those_of_the_team_are_read(load: Callable[..., Ask], url: str) -> None:
    records = Records(url)
    views.save(records, AT, DANA, "My secret list", "churn", {"owner": "Sara"})
    assert app.state_of(url) == app.NOTHING
    shared = views.save(records, AT, DANA, "Small firms", "revenue", {"segment": "smb"}, is_team=True)
    later = AT + timedelta(hours=1)
    views.rename(records, later, DANA, shared.view_id, "Small firms, all of them")
    ask = load()
    assert ask(
        "SELECT name, page, parameters, owner_name, recorded_by, recorded_at FROM raw_app.saved_views"
    ) == [("Small firms, all of them", "revenue", '{"segment": "smb"}', "Dana", "dana", later)]


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_view_that_is_shared_no_longer_leaves_with_its_past(
    load: Callable[..., Ask], url: str, is_deleted: bool
) -> None:
    records = Records(url)
    saved = views.save(records, AT, DANA, "Small firms", "revenue", {"segment": "smb"}, is_team=True)
    others = views.save(records, AT, OMAR, "Cash", "cash", {}, is_team=True)
    load()
    views.rename(records, BUILT, DANA, saved.view_id, "Firms")
    ask = load(BUILT + timedelta(days=1))
    assert ask("SELECT name, recorded_at FROM raw_app.saved_views ORDER BY name") == [
        ("Cash", AT),
        ("Firms", BUILT),
        ("Small firms", AT),
    ]
    before = app.state_of(url)
    if is_deleted:
        views.delete(records, BUILT + timedelta(days=2), DANA, saved.view_id)
    else:
        views.share(records, BUILT + timedelta(days=2), DANA, saved.view_id, is_team=False)
    assert app.state_of(url) != before
    ask = load(BUILT + timedelta(days=3))
    assert ask("SELECT view_id FROM raw_app.saved_views") == [(others.view_id,)]


def test_without_records_there_is_nothing_and_no_file_is_made(load: Callable[..., Ask], url: str) -> None:
    ask = load()
    assert ask("SELECT count(*) FROM raw_app.customer_actions") == [(0,)]
    assert ask("SELECT count(*) FROM raw_meta.loads") == [(0,)]
    assert not Path(url.removeprefix("sqlite:///")).exists()
    assert app.state_of(url) == app.NOTHING


def test_records_of_an_earlier_version_give_what_they_have(load: Callable[..., Ask], url: str) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as old, old:
        old.execute("CREATE TABLE treatments (treatment_id TEXT)")
        old.execute("CREATE TABLE customer_notes (note_id TEXT)")
        old.execute(
            "CREATE TABLE customer_actions (event_id TEXT, customer_id TEXT, action TEXT, "
            "recorded_at DATETIME, recorded_by TEXT)"
        )
        old.execute(
            "INSERT INTO customer_actions VALUES ('e1', 'c1', 'assigned', '2024-05-31 09:00:00', 'dana')"
        )
    ask = load()
    assert ask("SELECT event_id, action, owner, recorded_at FROM raw_app.customer_actions") == [
        ("e1", "assigned", None, AT)
    ]
    assert ask("SELECT count(*) FROM raw_app.customer_notes") == [(0,)]


@pytest.mark.parametrize("content", [b"no database at all" * 100, None])
def test_records_that_cannot_be_read_fail_with_a_sentence(
    load: Callable[..., Ask], url: str, content: bytes | None
) -> None:
    path = Path(url.removeprefix("sqlite:///"))
    if content is not None:
        path.write_bytes(content)
    else:
        with Records(url).transaction() as connection:
            connection.execute(insert(ACTIONS), [_row("e1")])
            connection.exec_driver_sql("UPDATE customer_actions SET recorded_at = 'yesterday'")
    with pytest.raises(SourceError, match="What people wrote"):
        load()


def _row(event_id: str) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "customer_id": "c1",
        "action": "assigned",
        "recorded_at": AT,
        "recorded_by": "dana",
    }


def test_records_are_a_source_from_the_first_row_on(tmp_path: Path) -> None:
    folder = tmp_path / "acme"
    folder.mkdir()
    (folder / "company.toml").write_text('[sources.orders]\nkind = "orders"\n')
    company = load_company(tmp_path, "acme")
    records = Records(company.app_database)
    assert [source.name for source in build_request(company, BUILT).sources] == ["orders"]
    assert actions.written(records) == (0, "None")  # the tables are there, and empty
    assert [source.name for source in build_request(company, BUILT).sources] == ["orders"]
    before = app.state_of(company.app_database)
    actions.record(records, [CONTACT], AT, "dana")
    assert [source.name for source in build_request(company, BUILT).sources] == ["orders", app.NAME]
    assert app.state_of(company.app_database) != before
