"""Who was contacted is written once: the database refuses to change it, and a build takes it in."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from churn_model import treatments
from churn_model.treatments import Treatment, TreatmentRefused

AT = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
CALL = Treatment(
    customer_id="c1",
    as_of=date(2025, 12, 31),
    model_id="m1",
    play="payment_method",
    who="N. Haddad",
    contacted_at=AT,
    channel="call",
    outcome="reached",
    cost_minor=2_500,
    currency="EUR",
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return treatments.url_of(tmp_path)


def test_a_contact_comes_back_as_it_was_logged(url: str) -> None:
    given = treatments.log(url, CALL, recorded_at=AT + timedelta(minutes=1))
    row = treatments.read(url, known_to=AT + timedelta(days=1)).to_dicts()[0]
    assert row["treatment_id"] == given
    assert {name: row[name] for name in ("customer_id", "as_of", "play", "who", "channel", "outcome")} == {
        "customer_id": "c1",
        "as_of": date(2025, 12, 31),
        "play": "payment_method",
        "who": "N. Haddad",
        "channel": "call",
        "outcome": "reached",
    }
    assert (row["contacted_at"], row["cost_minor"], row["currency"]) == (AT, 2_500, "EUR")


def test_a_build_takes_in_what_was_recorded_by_its_moment(url: str) -> None:
    treatments.log(url, CALL, recorded_at=AT)
    treatments.log(url, replace(CALL, customer_id="c2"), recorded_at=AT + timedelta(hours=2))
    assert treatments.read(url, known_to=AT + timedelta(hours=1))["customer_id"].to_list() == ["c1"]


def test_without_a_log_there_are_no_contacts(url: str, tmp_path: Path) -> None:
    assert treatments.read(url, known_to=AT).is_empty()
    sqlite3.connect(tmp_path / "app.db").close()
    assert treatments.read(url, known_to=AT).is_empty()


@pytest.mark.parametrize(
    "statement", ["UPDATE treatments SET outcome = 'declined'", "DELETE FROM treatments"]
)
def test_the_database_refuses_to_change_a_contact(url: str, tmp_path: Path, statement: str) -> None:
    treatments.log(url, CALL, recorded_at=AT)
    refused = pytest.raises(sqlite3.IntegrityError, match="append-only")
    with sqlite3.connect(tmp_path / "app.db") as connection, refused:
        connection.execute(statement)
    assert treatments.read(url, known_to=AT)["outcome"].to_list() == ["reached"]


REPLACE = (
    "INSERT OR REPLACE INTO treatments SELECT treatment_id, customer_id, as_of, model_id, play, who, "
    "contacted_at, channel, 'declined', cost_minor, currency, recorded_at FROM treatments"
)
REPLACE_BY_PLACE = (
    "INSERT OR REPLACE INTO treatments (rowid, treatment_id, customer_id, as_of, model_id, play, who, "
    "contacted_at, channel, outcome, recorded_at) SELECT rowid, 'other', customer_id, as_of, model_id, play, "
    "who, contacted_at, channel, 'declined', recorded_at FROM treatments"
)


@pytest.mark.parametrize("statement", [REPLACE, REPLACE_BY_PLACE])
@pytest.mark.parametrize("is_old", [False, True])
def test_a_contact_cannot_be_replaced_by_another_either(
    url: str, tmp_path: Path, statement: str, is_old: bool
) -> None:
    """A log of the first release gets the new trigger with the next contact."""
    treatments.log(url, CALL, recorded_at=AT)
    if is_old:
        with sqlite3.connect(tmp_path / "app.db") as connection:
            connection.execute("DROP TRIGGER treatments_no_replace")
        treatments.log(url, replace(CALL, customer_id="c2"), recorded_at=AT)
    refused = pytest.raises(sqlite3.IntegrityError, match="append-only")
    with sqlite3.connect(tmp_path / "app.db") as connection, refused:
        connection.execute(statement)
    assert set(treatments.read(url, known_to=AT)["outcome"]) == {"reached"}


def test_postgresql_keeps_and_refuses_alike(postgres_url: str) -> None:
    address = make_url(postgres_url).set(drivername="postgresql+psycopg")
    engine = create_engine(address, poolclass=NullPool)
    with engine.begin() as connection:  # a server that is given may have the log of an earlier run
        connection.execute(text("DROP TABLE IF EXISTS treatments"))
        connection.execute(text("DROP FUNCTION IF EXISTS treatments_refuse"))
    treatments.log(postgres_url, CALL, recorded_at=AT)
    assert treatments.read(postgres_url, known_to=AT)["contacted_at"].to_list() == [AT]
    with engine.begin() as connection:  # as the first release left it
        connection.execute(text("DROP TRIGGER treatments_no_truncate ON treatments"))
    treatments.log(postgres_url, replace(CALL, customer_id="c2"), recorded_at=AT)
    for statement in (
        "UPDATE treatments SET outcome = 'declined'",
        "DELETE FROM treatments",
        "TRUNCATE treatments",
        "INSERT INTO treatments SELECT * FROM treatments "
        "ON CONFLICT (treatment_id) DO UPDATE SET outcome = 'x'",
    ):
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
            connection.execute(text(statement))
    assert treatments.read(postgres_url, known_to=AT)["outcome"].to_list() == ["reached", "reached"]


def test_the_same_contact_is_logged_once(url: str) -> None:
    treatments.log(url, CALL, recorded_at=AT)
    with pytest.raises(TreatmentRefused, match="already"):
        treatments.log(url, CALL, recorded_at=AT + timedelta(minutes=5))


@pytest.mark.parametrize(
    "other",
    [
        {"as_of": date(2025, 11, 30), "model_id": "m0"},
        {
            "play": "review_call",
            "who": "S. Karam",
            "outcome": "accepted",
            "cost_minor": None,
            "currency": None,
        },
        {"contacted_at": AT.astimezone(timezone(timedelta(hours=3)))},
    ],
)
def test_a_contact_is_known_by_customer_moment_and_channel(url: str, other: dict[str, Any]) -> None:
    treatments.log(url, CALL, recorded_at=AT)
    with pytest.raises(TreatmentRefused, match="already"):
        treatments.log(url, replace(CALL, **other), recorded_at=AT)


@pytest.mark.parametrize(
    "other", [{"customer_id": "c2"}, {"contacted_at": AT + timedelta(hours=1)}, {"channel": "email"}]
)
def test_another_customer_moment_or_channel_is_another_contact(url: str, other: dict[str, Any]) -> None:
    later = AT + timedelta(days=1)
    first = treatments.log(url, CALL, recorded_at=later)
    assert treatments.log(url, replace(CALL, **other), recorded_at=later) != first


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"channel": "pigeon"}, "no channel; known are call"),
        ({"outcome": "maybe"}, "no outcome; known are no_answer"),
        ({"who": " "}, "needs its who"),
        ({"contacted_at": AT + timedelta(days=9)}, "not before"),
        ({"contacted_at": datetime(2025, 12, 1, tzinfo=UTC)}, "lies before"),
        ({"cost_minor": -1}, "at least 0"),
        ({"currency": None}, "has a currency"),
    ],
)
def test_a_contact_that_cannot_be_is_refused_in_plain_words(
    url: str, wrong: dict[str, Any], word: str
) -> None:
    with pytest.raises(TreatmentRefused, match=word):
        treatments.log(url, replace(CALL, **wrong), recorded_at=AT + timedelta(days=1))


def test_a_broken_file_is_told(url: str, tmp_path: Path) -> None:
    (tmp_path / "app.db").write_bytes(b"no database at all, but long enough to be looked at" * 20)
    with pytest.raises(TreatmentRefused, match="can't be read"):
        treatments.read(url, known_to=AT)


def actions_in(path: Path, rows: list[tuple[Any, ...]]) -> Path:
    """A stage file with fct_customer_actions: (event_id, action, is_undone, as_of, contacted_at)."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE SCHEMA marts; CREATE TABLE marts.fct_customer_actions (event_id VARCHAR, "
            "customer_id VARCHAR, action VARCHAR, is_undone BOOLEAN, as_of DATE, model_id VARCHAR, "
            "play VARCHAR, recorded_by VARCHAR, contacted_at TIMESTAMPTZ, channel VARCHAR, outcome VARCHAR, "
            "recorded_at TIMESTAMPTZ)"
        )
        for event_id, action, is_undone, as_of, contacted_at in rows:
            connection.execute(
                "INSERT INTO marts.fct_customer_actions VALUES "
                "(?, 'c1', ?, ?, ?, 'm1', NULL, 'dana', ?, 'call', 'reached', ?)",
                [event_id, action, is_undone, as_of, contacted_at, AT],
            )
    return path


def test_a_logged_contact_joins_the_log_unless_it_was_taken_back_or_follows_no_score(url, tmp_path):
    treatments.log(url, CALL, recorded_at=AT)
    log = treatments.read(url, known_to=AT)
    as_of, later = CALL.as_of, CALL.contacted_at + timedelta(hours=1)
    stage = actions_in(
        tmp_path / "stage.duckdb",
        [
            ("e1", "contacted", False, as_of, CALL.contacted_at),  # in the log already
            ("e2", "contacted", False, as_of, later),
            ("e3", "contacted", True, as_of, later + timedelta(hours=1)),
            ("e4", "contacted", False, None, later + timedelta(hours=2)),
            ("e5", "assigned", False, as_of, None),
        ],
    )
    both = treatments.with_contacts(log, stage)
    assert both.schema == log.schema
    assert both["contacted_at"].to_list() == [CALL.contacted_at, later]
    assert both["play"].to_list() == [CALL.play, "none"]
    assert treatments.with_contacts(both, stage).equals(both)
    again = replace(CALL, contacted_at=later)
    assert treatments.log(url, again, recorded_at=AT + timedelta(days=1)) == both["treatment_id"][1]


def test_a_stage_without_actions_leaves_the_log_as_it_is(url, tmp_path):
    duckdb.connect(str(tmp_path / "stage.duckdb")).close()
    log = treatments.read(url, known_to=AT)
    assert treatments.with_contacts(log, tmp_path / "stage.duckdb").equals(log)
