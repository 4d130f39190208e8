"""CRM exports: what enters raw_crm, with what moment, and what is kept."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from pipelines.sources import crm
from pipelines.sources.loading import SourceConfig, SourceError

DAY_ONE = datetime(2024, 6, 1, tzinfo=UTC)
DAY_TWO = datetime(2024, 6, 2, tzinfo=UTC)
TICKETS = "ticket_id,customer_id,opened_at,closed_at,priority,first_response_at,csat\n"
OPEN = "t1,c1,2024-05-01 10:00,,high,,\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "crm"
    place.mkdir()
    return place


@pytest.fixture
def load(stage_at, folder):
    """Load the folder as a build at a moment and keep its exports; returns a function that asks the stage."""

    def run(moment: datetime = DAY_ONE):
        stage = stage_at(moment, timezone="UTC")
        with stage.transaction():
            crm.load(stage, SourceConfig("crm", "crm", str(folder)))
        crm.keep_received(stage)
        return lambda sql: stage.connection.execute(sql).fetchall()

    return run


def test_a_row_that_changed_comes_again_and_what_was_known_before_stays(load, folder):
    (folder / "tickets.csv").write_text(TICKETS + OPEN + "t2,c1,2024-05-01 10:00,,low,,\n")
    load(DAY_ONE)
    (folder / "tickets.csv").write_text(
        TICKETS + "t1,c1,2024-05-01 10:00,2024-06-01 12:00,high,,5\n" + "t2,c1,2024-05-01 10:00,,low,,\n"
    )
    ask = load(DAY_TWO)
    assert ask("SELECT ticket_id, closed_at, csat, recorded_at FROM raw_crm.tickets ORDER BY 1, 4") == [
        ("t1", None, None, DAY_ONE),
        ("t1", datetime(2024, 6, 1, 12, tzinfo=UTC), 5, DAY_TWO),
        ("t2", None, None, DAY_ONE),
    ]
    assert ask("SELECT rows_read, rows_accepted, rows_unchanged FROM raw_meta.loads ORDER BY load_id") == [
        (2, 2, 0),
        (2, 2, 1),
    ]


def test_every_export_is_kept_as_received_and_a_rebuild_from_nothing_reads_them_all(load, folder, tmp_path):
    (folder / "tickets.csv").write_text(TICKETS + OPEN)
    load(DAY_ONE)
    (folder / "tickets.csv").write_text(TICKETS + OPEN.replace("high", "low"))
    ask = load(DAY_TWO)
    query = "SELECT ticket_id, priority, recorded_at FROM raw_crm.tickets ORDER BY 3"
    before = ask(query)
    assert [row[1] for row in before] == ["high", "low"]
    kept = sorted((tmp_path / "history" / "crm").glob("*/tickets.csv"))
    assert [path.read_text() for path in kept] == [TICKETS + OPEN, TICKETS + OPEN.replace("high", "low")]
    for table in ("raw_crm.tickets", "raw_meta.files", "raw_meta.loads"):
        ask(f"DELETE FROM {table}")
    (folder / "tickets.csv").unlink()
    (folder / "nps.csv").write_text("response_id,customer_id,answered_on,score\n")
    assert load(datetime(2024, 6, 3, tzinfo=UTC))(query) == before


def test_an_unchanged_export_is_not_read_again(load, folder):
    (folder / "tickets.csv").write_text(TICKETS + OPEN)
    load(DAY_ONE)
    ask = load(DAY_TWO)
    assert ask(
        "SELECT rows_read, rows_unchanged, note FROM raw_meta.loads WHERE build_id LIKE 'b20240602%'"
    ) == [(0, 1, "unchanged")]


def test_all_tables_of_a_crm_are_read_with_their_types(load, folder):
    files = {
        "accounts": "account_id,customer_id,name,owner,csm,stage,segment,acquisition_channel,"
        "valid_from,valid_to\n"
        "a1,0042,Acme,Ann,Bob,customer,large,fair,2023-01-01,\n",
        "contacts": "contact_id,account_id,role,is_champion,left_on\nk1,a1,buyer,true,2024-02-29\n",
        "activities": "activity_id,account_id,kind,happened_at\nv1,a1,call,2024-05-01T10:00:00Z\n",
        "tickets": TICKETS + OPEN,
        "nps": "response_id,customer_id,answered_on,score\nr1,0042,2024-05-01,9\n",
        "sales_marketing_costs": "month,channel,amount_minor,currency\n2024-05,fair,120000,EUR\n",
        "gross_margins": "month,segment,margin_bp\n2024-05-01,large,7500\n",
    }
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    ask = load()
    assert ask("SELECT count(*) FROM raw_meta.rejects") == [(0,)]
    assert ask("SELECT customer_id, valid_from, valid_to FROM raw_crm.accounts") == [
        ("0042", date(2023, 1, 1), None)
    ]
    assert ask("SELECT is_champion, left_on FROM raw_crm.contacts") == [(True, date(2024, 2, 29))]
    assert ask("SELECT happened_at FROM raw_crm.activities") == [(datetime(2024, 5, 1, 10, tzinfo=UTC),)]
    assert ask("SELECT month, amount_minor, currency FROM raw_crm.sales_marketing_costs") == [
        (date(2024, 5, 1), 120_000, "EUR")
    ]
    assert ask("SELECT month, margin_bp FROM raw_crm.gross_margins") == [(date(2024, 5, 1), 7500)]
    assert ask("SELECT score FROM raw_crm.nps") == [(9,)]


@pytest.mark.parametrize(
    ("table", "text", "reason", "column"),
    [
        ("tickets", TICKETS + ",c1,2024-05-01,,,,\n", "missing_key", "ticket_id"),
        ("tickets", TICKETS + "t1,c1,,,,,\n", "bad_date", "opened_at"),
        ("tickets", TICKETS + "t1,c1,2024-05-01,2023-02-29,,,\n", "bad_date", "closed_at"),
        ("tickets", TICKETS + "t1,c1,2024-05-01,,,,good\n", "bad_amount", "csat"),
        ("tickets", TICKETS + OPEN + OPEN, "duplicate_key", "ticket_id"),
        ("nps", "response_id,customer_id,answered_on,score\nr,c,2024-05-01,11\n", "bad_amount", "score"),
        ("gross_margins", "month,segment,margin_bp\n2024-05-02,a,10\n", "bad_date", "month"),
        (
            "sales_marketing_costs",
            "month,channel,amount_minor,currency\n2024-05,a,10,XYZ\n",
            "unknown_currency",
            "currency",
        ),
        (
            "sales_marketing_costs",
            "month,channel,amount_minor,currency\n2024-05,a,-10,EUR\n",
            "negative_amount",
            "amount_minor",
        ),
        (
            "accounts",
            "account_id,valid_from,valid_to\na1,2024-05-01,2024-05-01\n",
            "empty_range",
            "valid_to",
        ),
        (
            "contacts",
            "contact_id,account_id,is_champion\nk1,a1,perhaps\n",
            "bad_flag",
            "is_champion",
        ),
        (
            "contacts",
            "contact_id,account_id,recorded_at\nk1,a1,2030-01-01\n",
            "future_recorded_at",
            "recorded_at",
        ),
    ],
)
def test_a_bad_row_is_set_aside_with_its_reason(load, folder, table, text, reason, column):
    (folder / f"{table}.csv").write_text(text)
    ask = load()
    assert ask("SELECT reason, column_name, target_table FROM raw_meta.rejects") == [
        (reason, column, f"raw_crm.{table}")
    ]
    ((read, accepted, rejected),) = ask("SELECT rows_read, rows_accepted, rows_rejected FROM raw_meta.loads")
    assert (accepted + rejected, rejected) == (read, 1)


def test_a_folder_without_exports_or_with_two_of_a_table_is_a_clear_error(load, folder):
    with pytest.raises(SourceError, match="No data file"):
        load()
    (folder / "opportunities.csv").write_text("a\n1\n")
    with pytest.raises(SourceError, match="holds no table of a CRM"):
        load()
    (folder / "nps.csv").write_text("response_id,customer_id,answered_on,score\n")
    (folder / "NPS.csv").write_text("response_id,customer_id,answered_on,score\n")
    with pytest.raises(SourceError, match="more than one file of nps"):
        load()


def test_a_missing_column_is_a_clear_error_and_nothing_is_kept_of_it(load, folder, tmp_path):
    (folder / "nps.csv").write_text("response_id,customer_id\nr1,c1\n")
    with pytest.raises(SourceError, match="lacks the columns answered_on, score"):
        load()
    assert not (tmp_path / "history" / "crm").exists()


def test_an_error_names_the_file_that_can_be_corrected(load, folder):
    (folder / "nps.csv").write_text("response_id,customer_id\nr1,c1\n")
    with pytest.raises(SourceError) as error:
        load()
    assert str(folder / "nps.csv") in str(error.value)
    assert "stage" not in str(error.value)
