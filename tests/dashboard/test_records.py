"""What people write is kept whole or not at all, also by several at once; a failure is one plain sentence."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select

from dashboard.records import audit, database
from dashboard.records.database import Instant, Records, RecordsError, recorded, records_url

AT = datetime(2025, 4, 1, 9, 30, tzinfo=UTC)


def subject(*more: Column[str]) -> tuple[MetaData, Table]:
    metadata = MetaData()
    return metadata, Table("notes", metadata, Column("id", Integer, primary_key=True), *more)


def test_a_table_is_made_on_first_use_and_a_column_that_it_lacks_later(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    metadata, notes = subject()
    with Records(url, metadata).transaction() as connection:
        connection.execute(insert(notes).values(id=1))
    newer, notes = subject(Column("text", String))
    assert Records(url, newer).rows(select(notes)) == [{"id": 1, "text": None}]


def test_a_column_that_may_not_be_empty_is_not_added_to_what_is_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    metadata, notes = subject()
    Records(url, metadata).rows(select(notes))
    newer, notes = subject(Column("text", String, nullable=False))
    with pytest.raises(RecordsError, match="notes lacks text"):
        Records(url, newer).rows(select(notes))


def test_a_table_declared_after_the_first_use_is_made_too(tmp_path: Path) -> None:
    metadata, notes = subject()
    records = Records(f"sqlite:///{tmp_path / 'app.db'}", metadata)
    records.rows(select(notes))
    later = Table("later", metadata, Column("id", Integer, primary_key=True))
    assert records.rows(select(later)) == []


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    metadata, notes = subject()
    records = Records(f"sqlite:///{tmp_path / 'app.db'}", metadata)
    with pytest.raises(RecordsError), records.transaction() as connection:
        connection.execute(insert(notes), [{"id": 1}, {"id": 1}])
    assert records.rows(select(notes)) == []


def test_instants_come_back_with_their_zone(tmp_path: Path) -> None:
    metadata, notes = subject(*recorded())
    records = Records(f"sqlite:///{tmp_path / 'app.db'}", metadata)
    with records.transaction() as connection:
        connection.execute(insert(notes).values(recorded_at=AT, recorded_by="sara"))
    assert records.rows(select(notes))[0]["recorded_at"] == AT
    with pytest.raises(ValueError, match="zone"):
        Instant().process_bind_param(AT.replace(tzinfo=None), database.create_engine("sqlite://").dialect)


def test_a_locked_database_is_one_sentence_without_the_statement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE_MS", 50)
    metadata, notes = subject(Column("text", String))
    records = Records(f"sqlite:///{tmp_path / 'app.db'}", metadata)
    records.rows(select(notes))
    other = sqlite3.connect(tmp_path / "app.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RecordsError, match=r"^[^\n]*locked$") as caught, records.transaction() as connection:
        connection.execute(insert(notes).values(text="private words"))
    other.close()
    assert "private words" not in str(caught.value)


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 4000])
def test_a_damaged_database_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "app.db").write_bytes(content)
    metadata, notes = subject()
    with pytest.raises(RecordsError, match="cannot be read"):
        Records(f"sqlite:///{tmp_path / 'app.db'}", metadata).rows(select(notes))


def test_several_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    metadata, notes = subject(Column("text", String))
    failures: list[Exception] = []

    def write(name: int) -> None:
        try:
            for number in range(20):
                with Records(url, metadata).transaction() as connection:
                    connection.execute(insert(notes).values(text=f"{name}-{number}"))
        except RecordsError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(Records(url, metadata).rows(select(notes))) == 80


def test_the_records_lie_in_the_folder_of_the_company_unless_it_names_another_place(tmp_path: Path) -> None:
    assert records_url(tmp_path, {}) == f"sqlite:///{tmp_path / 'app.db'}"
    assert (
        records_url(tmp_path, {"app_database": "sqlite:///kept/x.db"})
        == f"sqlite:///{tmp_path / 'kept/x.db'}"
    )
    named = "postgresql+psycopg://u:p@db/tajdid"
    assert records_url(tmp_path, {"app_database": named}) == named
    with pytest.raises(ValueError, match="app_database"):
        records_url(tmp_path, {"app_database": "nonsense"})


def test_the_audit_keeps_lines_in_order_and_knows_its_acts(tmp_path: Path) -> None:
    records = Records(f"sqlite:///{tmp_path / 'app.db'}")
    audit.note(records, "sara", AT, "export", "risks.csv", "12 rows")
    audit.note(records, "omar", AT, "query", "workbench", "SELECT 1")
    assert [(line["recorded_by"], line["act"], line["subject"]) for line in audit.lines(records)] == [
        ("omar", "query", "workbench"),
        ("sara", "export", "risks.csv"),
    ]
    assert [line["detail"] for line in audit.lines(records, reader_id="sara")] == ["12 rows"]
    with pytest.raises(ValueError, match="unknown act"):
        audit.note(records, "sara", AT, "danced", "x")
