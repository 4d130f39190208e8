"""Subscription periods from files: versions, rejects, and what was known when."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from pipelines.sources import periods
from pipelines.sources.loading import SourceConfig, SourceError

HEADER = "subscription_id,customer_id,period_start,period_end,amount,currency,interval\n"
GOOD = "s1,c1,2024-01-01,2024-07-01,12.00,EUR,month\n"
DAY_ONE = datetime(2025, 6, 1, tzinfo=UTC)
DAY_TWO = datetime(2025, 6, 2, tzinfo=UTC)
LATEST = (
    "(SELECT * FROM raw_billing.subscription_versions QUALIFY row_number() OVER "
    "(PARTITION BY subscription_item_id, version_no ORDER BY recorded_at DESC) = 1) WHERE NOT is_deleted "
    "ORDER BY subscription_item_id, version_no"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "periods"
    place.mkdir()
    return place


@pytest.fixture
def load(stage_at, folder):
    """Load the folder as a build at a moment; returns a function that asks the stage."""

    def run(moment: datetime = DAY_ONE, currency: str = "EUR"):
        stage = stage_at(moment, currency=currency, timezone="UTC")
        with stage.transaction():
            periods.load(stage, SourceConfig("periods", "periods", str(folder)))
        return lambda sql: stage.connection.execute(sql).fetchall()

    return run


def rejects(ask) -> list[tuple[int, str, str]]:
    return ask("SELECT row_number, reason, column_name FROM raw_meta.rejects ORDER BY file_name, row_number")


def test_rows_of_a_subscription_are_its_versions_in_the_order_of_their_start(load, folder):
    (folder / "periods.csv").write_text(
        HEADER
        + "007,c1,2024-07-01,,24.00,EUR,year\n"
        + "007,c1,2024-01-01,2024-03-01,12.00,EUR,month\n"
        + "8,c1,2024-02-29,2025-02-28,0,EUR,week\n"
    )
    ask = load()
    assert ask(
        'SELECT subscription_item_id, version_no, subscription_id, customer_id, amount_minor, "interval", '
        f"interval_count, quantity::INTEGER, status, valid_from, valid_to FROM {LATEST}"
    ) == [
        ("007", 1, "007", "c1", 1200, "month", 1, 1, "active", date(2024, 1, 1), date(2024, 3, 1)),
        ("007", 2, "007", "c1", 2400, "year", 1, 1, "active", date(2024, 7, 1), None),
        ("8", 1, "8", "c1", 0, "week", 1, 1, "active", date(2024, 2, 29), date(2025, 2, 28)),
    ]
    assert ask("SELECT customer_id, currency, created_on FROM raw_billing.customers") == [
        ("c1", "EUR", date(2024, 1, 1))
    ]


@pytest.mark.parametrize(
    ("row", "reason", "column"),
    [
        (",c1,2024-01-01,,1,EUR,month", "missing_key", "subscription_id"),
        ("s2,,2024-01-01,,1,EUR,month", "missing_key", "customer_id"),
        ("s2,c1,,,1,EUR,month", "bad_date", "period_start"),
        ("s2,c1,2023-02-29,,1,EUR,month", "bad_date", "period_start"),
        ("s2,c1,2024-01-01,soon,1,EUR,month", "bad_date", "period_end"),
        ("s2,c1,2024-01-01,2024-01-01,1,EUR,month", "empty_range", "period_end"),
        ("s2,c1,2024-01-01,2023-12-31,1,EUR,month", "empty_range", "period_end"),
        ("s2,c1,2024-01-01,,x,EUR,month", "bad_amount", "amount"),
        ("s2,c1,2024-01-01,,,EUR,month", "bad_amount", "amount"),
        ("s2,c1,2024-01-01,,-1,EUR,month", "negative_amount", "amount"),
        ("s2,c1,2024-01-01,,1,EUX,month", "unknown_currency", "currency"),
        ("s2,c1,2024-01-01,,1,EUR,", "unknown_interval", "interval"),
        ("s2,c1,2024-01-01,,1,EUR,quarter", "unknown_interval", "interval"),
        ("s2,c1,2024-01-01,,10000000000,EUR,month", "too_large", "amount"),
        ("s2,c1,2024-01-01,,400000000,EUR,day", "too_large", "amount"),
        ("s1,c1,2024-06-30,,1,EUR,month", "overlap_in_subscription", "period_start"),
        ("s1,c1,2024-01-01,2024-07-01,12.00,EUR,month", "duplicate_key", "period_start"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_reason(load, folder, row, reason, column):
    (folder / "periods.csv").write_text(HEADER + GOOD + row + "\n")
    ask = load()
    assert rejects(ask) == [(2, reason, column)]
    assert ask("SELECT rows_read, rows_accepted, rows_rejected FROM raw_meta.loads") == [(2, 1, 1)]
    assert ask(f"SELECT amount_minor FROM {LATEST}") == [(1200,)]


def test_a_monthly_rate_of_ten_to_the_ninth_is_still_accepted(load, folder):
    (folder / "periods.csv").write_text(HEADER + "s2,c1,2024-01-01,,9999999999.99,EUR,month\n")
    assert rejects(load()) == []


def test_a_row_is_refused_only_for_overlapping_one_that_is_accepted(load, folder):
    rows = ["s1,c1,2024-01-01,2024-03-01", "s1,c1,2024-02-01,2024-06-01", "s1,c1,2024-03-01,2024-04-01"]
    text = [row + ",1,EUR,month\n" for row in rows]
    (folder / "periods.csv").write_text(HEADER + "".join(text))
    ask = load()
    assert rejects(ask) == [(2, "overlap_in_subscription", "period_start")]
    before = ask(f"SELECT valid_from, valid_to FROM {LATEST}")
    # The order of the rows, and their spread over files, change nothing.
    (folder / "periods.csv").write_text(HEADER + text[2] + text[0])
    (folder / "more.csv").write_text(HEADER + text[1])
    load(DAY_TWO)
    assert rejects(ask) == [(1, "overlap_in_subscription", "period_start")]
    assert ask(f"SELECT valid_from, valid_to FROM {LATEST}") == before


@pytest.mark.parametrize(
    ("header", "row", "amount_minor", "interval"),
    [
        ("amount_minor,currency", "1250,EUR", 1250, ("month", 1)),
        ("amount,currency", "12.5,KWD", 12500, ("month", 1)),
        ("amount,currency", "1250,JPY", 1250, ("month", 1)),
        ("monthly_amount,currency", "8.335,EUR", 834, ("month", 1)),
        ("monthly_amount", "8.33", 833, ("month", 1)),
        ("amount,interval", "100,year", 10000, ("year", 1)),
        ("amount,interval,interval_count", "100,Month,3", 10000, ("month", 3)),
    ],
)
def test_each_way_of_writing_a_price(load, folder, header, row, amount_minor, interval):
    (folder / "a.csv").write_text(
        f"subscription_id,customer_id,start,end,{header}\ns1,c1,2024-01-01,,{row}\n"
    )
    ask = load()
    assert rejects(ask) == []
    assert ask(f'SELECT amount_minor, "interval", interval_count FROM {LATEST}') == [
        (amount_minor, *interval)
    ]


def test_a_missing_currency_and_a_rounded_amount_are_told(load, folder):
    (folder / "a.csv").write_text(
        "subscription_id,customer_id,start_date,end_date,monthly_amount,note\ns1,c1,2024-01-01,,8.335,x\n"
    )
    (note,) = load(currency="USD")("SELECT note FROM raw_meta.loads")[0]
    assert "columns not read: note" in note
    assert "taken as USD" in note
    assert "1 amounts have more decimals" in note


def test_an_amount_is_multiplied_by_the_quantity_only_where_the_mapping_says_unit(load, folder):
    header = "subscription_id,customer_id,start,end,amount,quantity\n"
    text = header + "s1,c1,2024-01-01,,2.50,4\ns2,c1,2024-01-01,,2.50,-4\n"
    (folder / "a.csv").write_text(text)
    ask = load()
    assert ask(f"SELECT amount_minor, quantity::INTEGER FROM {LATEST}") == [(250, 4)]
    assert rejects(ask) == [(2, "negative_quantity", "quantity")]
    (folder / "mapping.toml").write_text('amount_is = "unit"\n')
    load(DAY_TWO)
    assert ask(f"SELECT amount_minor FROM {LATEST}") == [(1000,)]


def test_optional_columns_are_read_and_their_unknown_values_set_aside(load, folder):
    (folder / "a.csv").write_text(
        "subscription_id,customer_id,start,end,amount,plan,status,discount_minor,term_end,auto_renew,"
        "cancel_requested_on,end_cause,recorded_at\n"
        "s1,c1,2024-01-01,2025-01-01,10,Pro,past_due,250,2025-01-01,yes,2024-11-01,involuntary,2024-01-05\n"
        "s2,c1,2024-01-01,,10,,sleeping,,,,,,\n"
        "s3,c1,2024-01-01,,10,,,,,,,bored,\n"
        "s4,c1,2024-01-01,,10,,,-1,,,,,\n"
        "s5,c1,2024-01-01,,10,,,,,,,,2030-01-01\n"
    )
    ask = load()
    assert ask(
        "SELECT plan_id, status, term_end, auto_renew, cancel_requested_on, end_cause, recorded_at "
        f"FROM {LATEST}"
    ) == [
        ("Pro", "past_due", date(2025, 1, 1), True, date(2024, 11, 1), "involuntary",
         datetime(2024, 1, 5, tzinfo=UTC))
    ]  # fmt: skip
    assert ask(
        "SELECT subscription_item_id, amount_minor, valid_from, valid_to FROM raw_billing.discounts"
    ) == [("s1", 250, date(2024, 1, 1), date(2025, 1, 1))]
    assert ask("SELECT plan_id, plan_name FROM raw_billing.plans") == [("Pro", "Pro")]
    assert rejects(ask) == [
        (2, "unknown_value", "status"),
        (3, "unknown_value", "end_cause"),
        (4, "negative_amount", "discount_minor"),
        (5, "future_recorded_at", "recorded_at"),
    ]


def test_a_correction_is_added_and_what_was_known_before_stays(load, folder):
    (folder / "a.csv").write_text(
        HEADER + "s1,c1,2024-01-01,,12.00,EUR,month\ns2,c2,2024-01-01,,5,EUR,month\n"
    )
    load(DAY_ONE)
    (folder / "a.csv").write_text(HEADER + "s1,c1,2024-01-01,2025-05-01,12.00,EUR,month\n")
    ask = load(DAY_TWO)
    assert ask(
        "SELECT subscription_id, valid_to, is_deleted, recorded_at FROM raw_billing.subscription_versions "
        "ORDER BY 1, 4"
    ) == [
        ("s1", None, False, DAY_ONE),
        ("s1", date(2025, 5, 1), False, DAY_TWO),
        ("s2", None, False, DAY_ONE),
        ("s2", None, True, DAY_TWO),
    ]


def test_unchanged_files_are_not_read_again(load, folder):
    (folder / "a.csv").write_text(HEADER + GOOD)
    load(DAY_ONE)
    ask = load(DAY_TWO)
    assert ask("SELECT rows_read, rows_unchanged FROM raw_meta.loads ORDER BY load_id") == [(1, 0), (0, 1)]


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (
            "subscription_id,customer_id,start,end",
            "lacks the column amount_minor or amount or monthly_amount",
        ),
        ("customer_id,start,end,amount", "lacks the column subscription_id"),
        ("subscription_id,customer_id,start,end,amount,amount_minor", "both mean the price"),
        ("subscription_id,customer_id,start,start_date,end,amount", "all mean period_start"),
        ("subscription_id,customer_id,start,end,amount,interval_count", "no interval"),
    ],
)
def test_wrong_columns_are_a_clear_error(load, folder, header, told):
    (folder / "a.csv").write_text(header + "\n")
    with pytest.raises(SourceError, match=told):
        load()


def test_typed_columns_of_parquet_are_read_alike(load, folder):
    pl.DataFrame(
        {
            "subscription_id": [1],
            "customer_id": ["c1"],
            "period_start": [date(2024, 1, 1)],
            "period_end": [datetime.fromisoformat("2024-02-01")],
            "amount": [0.1 + 0.2],
        }
    ).write_parquet(folder / "a.parquet")
    ask = load()
    assert ask(f"SELECT subscription_id, amount_minor, valid_to FROM {LATEST}") == [
        ("1", 30, date(2024, 2, 1))
    ]


def test_a_million_rows_take_seconds(load, folder):
    rows = 1_000_000
    pl.select(
        subscription_id=pl.int_range(rows) // 2,
        customer_id=pl.int_range(rows) // 4,
        period_start=pl.date(2024, 1, 1) + pl.duration(days=180 * (pl.int_range(rows) % 2)),
        period_end=pl.date(2024, 1, 1) + pl.duration(days=180 * (pl.int_range(rows) % 2 + 1)),
        amount_minor=pl.lit(1000),
    ).write_parquet(folder / "a.parquet")
    ask = load()
    assert ask("SELECT rows_accepted, rows_rejected FROM raw_meta.loads") == [(rows, 0)]
