"""Exchange rates: what enters raw_billing.fx_rates, and what is set aside."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.sources import rates
from pipelines.sources.loading import SourceConfig, SourceError

DAY_ONE = datetime(2024, 6, 1, tzinfo=UTC)
DAY_TWO = datetime(2024, 6, 2, tzinfo=UTC)
HEAD = "rate_on,from_currency,to_currency,rate,rate_set\n"
ALL = "SELECT rate_on, from_currency, rate, rate_set, recorded_at FROM raw_billing.fx_rates ORDER BY 1, 2, 5"
REJECTED = "SELECT row_number, reason, column_name FROM raw_meta.rejects ORDER BY 1"
COUNTS = "SELECT rows_read, rows_accepted, rows_rejected, rows_unchanged FROM raw_meta.loads ORDER BY load_id"


@pytest.fixture
def load(stage_at, tmp_path):
    """Load a file of this text as a build at a moment; returns a function that asks the stage."""

    def run(content: str, moment: datetime = DAY_ONE):
        place = tmp_path / "rates"
        place.mkdir(exist_ok=True)
        (place / "fx_rates.csv").write_text(content)
        stage = stage_at(moment, timezone="UTC")
        with stage.transaction():
            rates.load(stage, SourceConfig("rates", "rates", str(place)))
        return lambda sql: stage.connection.execute(sql).fetchall()

    return run


def test_rates_are_kept_to_ten_places_by_day_and_set(load):
    ask = load(HEAD + "2024-05-01,USD,EUR,0.9312345678,daily\n2024-01-01,KWD,EUR,0.3,budget\n")
    assert ask(ALL) == [
        (date(2024, 1, 1), "KWD", Decimal("0.3"), "budget", DAY_ONE),
        (date(2024, 5, 1), "USD", Decimal("0.9312345678"), "daily", DAY_ONE),
    ]


def test_a_file_without_sets_holds_daily_rates(load):
    ask = load("rate_on,from_currency,to_currency,rate\n2024-05-01,USD,EUR,0.93\n")
    assert ask(ALL) == [(date(2024, 5, 1), "USD", Decimal("0.93"), "daily", DAY_ONE)]


def test_a_revised_rate_comes_again_and_one_that_stays_does_not(load):
    load(HEAD + "2024-05-01,USD,EUR,0.93,daily\n2024-05-02,USD,EUR,0.94,daily\n")
    ask = load(HEAD + "2024-05-01,USD,EUR,0.95,daily\n2024-05-02,USD,EUR,0.94,daily\n", DAY_TWO)
    assert [(row[0].day, str(row[2].normalize()), row[4]) for row in ask(ALL)] == [
        (1, "0.93", DAY_ONE),
        (1, "0.95", DAY_TWO),
        (2, "0.94", DAY_ONE),
    ]
    assert ask(COUNTS) == [(2, 2, 0, 0), (2, 2, 0, 1)]


def test_a_file_that_did_not_change_is_not_read_again_and_says_so(load):
    rates_of_may = HEAD + "2024-05-01,USD,EUR,0.93,daily\n2024-05-02,USD,EUR,0.94,daily\n"
    load(rates_of_may)
    ask = load(rates_of_may, DAY_TWO)
    assert ask(COUNTS) == [(2, 2, 0, 0), (0, 0, 0, 2)]
    assert ask("SELECT count(*) FROM raw_billing.fx_rates") == [(2,)]


@pytest.mark.parametrize(
    ("row", "reason", "column"),
    [
        ("2024-02-30,USD,EUR,0.93,daily", "bad_date", "rate_on"),
        ("2024-05-01,DOLLAR,EUR,0.93,daily", "unknown_currency", "from_currency"),
        ("2024-05-01,USD,,0.93,daily", "missing_key", "to_currency"),
        ("2024-05-01,USD,EUR,,daily", "bad_amount", "rate"),
        ("2024-05-01,USD,EUR,0,daily", "bad_amount", "rate"),
        ("2024-05-01,USD,EUR,-0.9,daily", "bad_amount", "rate"),
        ("2024-05-01,USD,EUR,0.93123456789,daily", "too_large", "rate"),
        ("2024-05-01,USD,EUR,123456789.5,daily", "too_large", "rate"),
        ("2024-05-03,USD,EUR,0.99,daily", "duplicate_key", "rate_on"),
    ],
)
def test_a_wrong_rate_is_set_aside_with_its_reason_and_the_others_stay(load, row, reason, column):
    ask = load(HEAD + "2024-05-03,USD,EUR,0.94,daily\n" + row + "\n")
    assert ask(REJECTED) == [(2, reason, column)]
    assert ask(COUNTS) == [(2, 1, 1, 0)]


def test_a_file_without_rates_is_refused(load):
    with pytest.raises(SourceError, match="rate"):
        load("rate_on,from_currency,to_currency\n2024-05-01,USD,EUR\n")


def test_a_folder_without_files_is_refused(stage_at, tmp_path: Path):
    stage = stage_at(DAY_ONE, timezone="UTC")
    with pytest.raises(SourceError, match="No data file"):
        rates.load(stage, SourceConfig("rates", "rates", str(tmp_path / "none")))
