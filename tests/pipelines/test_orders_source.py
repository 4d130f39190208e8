"""Orders from real files: what is accepted, what is set aside and why, what is refused."""

from __future__ import annotations

import json
import shutil
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from pipelines.sources import orders
from pipelines.sources.loading import SourceConfig, SourceError

ROOT = Path(__file__).resolve().parents[2]
HEADER = "order_id,ordered_at,customer_id,sku,quantity,unit_price,currency\n"
GOOD = "1,2024-05-01 10:00,c1,10001,2,3.50,GBP\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "orders"
    place.mkdir()
    return place


@pytest.fixture
def load(stage_at, folder):
    """Load the folder as a build at a moment; returns a function that asks the stage."""

    def run(moment: datetime = datetime(2024, 6, 1, tzinfo=UTC), **options: str):
        stage = stage_at(moment, **options)
        with stage.transaction():
            orders.load(stage, SourceConfig("orders", "orders", str(folder)))
        return lambda sql: stage.connection.execute(sql).fetchall()

    return run


def rejects(ask) -> list[tuple[int, str, str]]:
    return ask("SELECT row_number, reason, column_name FROM raw_meta.rejects ORDER BY 1")


def test_online_retail_ii_comes_in_whole_and_to_the_penny(load, folder):
    for name in ("lines.parquet", "mapping.toml"):
        shutil.copy(ROOT / "data" / "online_retail_ii" / name, folder / name)
    started = time.monotonic()
    ask = load()
    assert time.monotonic() - started < 30
    assert ask("SELECT rows_read, rows_accepted, rows_rejected FROM raw_meta.loads") == [
        (809_560, 809_560, 0)
    ]
    (totals,) = ask(
        "SELECT sum(amount_minor)::BIGINT, (sum(amount_minor) FILTER (is_credit))::BIGINT, "
        "(sum(amount_minor) FILTER (is_goods))::BIGINT, count(*) FILTER (amount_minor = 0), "
        "count(DISTINCT customer_id), count(DISTINCT order_id), count(DISTINCT order_id) FILTER (is_credit) "
        "FROM raw_orders.order_lines JOIN raw_orders.orders USING (order_id) JOIN raw_orders.skus USING (sku)"
    )
    assert totals == (1_634_365_102, -108_788_214, 1_641_191_658, 88, 5_942, 44_876, 7_901)
    assert ask("SELECT DISTINCT category FROM raw_orders.skus WHERE NOT is_goods AND category IS NULL") == []
    assert ask("SELECT min(ordered_at), max(ordered_at) FROM raw_orders.orders") == [
        (datetime(2009, 12, 1, 7, 45, tzinfo=UTC), datetime(2011, 12, 9, 12, 50, tzinfo=UTC))
    ]


@pytest.mark.parametrize(
    ("line", "reason", "column"),
    [
        (",2024-05-01,c1,10001,2,3.50,GBP", "missing_key", "order_id"),
        ("2,2024-05-01,,10001,2,3.50,GBP", "missing_key", "customer_id"),
        ("2,2024-05-01,c1, ,2,3.50,GBP", "missing_key", "sku"),
        ("2,2023-02-29,c1,10001,2,3.50,GBP", "bad_date", "ordered_at"),
        ("2,01.05.2024,c1,10001,2,3.50,GBP", "bad_date", "ordered_at"),
        ("2,,c1,10001,2,3.50,GBP", "bad_date", "ordered_at"),
        ("2,2024-03-31 01:30,c1,10001,2,3.50,GBP", "bad_date", "ordered_at"),
        ("2,2024-05-01,c1,10001,2,3.50,XXX", "unknown_currency", "currency"),
        ("2,2024-05-01,c1,10001,2,3.50,", "unknown_currency", "currency"),
        ("2,2024-05-01,c1,10001,two,3.50,GBP", "bad_amount", "quantity"),
        ("2,2024-05-01,c1,10001,1e3,3.50,GBP", "bad_amount", "quantity"),
        ("2,2024-05-01,c1,10001,,3.50,GBP", "bad_amount", "quantity"),
        ("2,2024-05-01,c1,10001,١٢,3.50,GBP", "bad_amount", "quantity"),
        ("2,2024-05-01,c1,10001,-2,3.50,GBP", "negative_quantity", "quantity"),
        ("2,2024-05-01,c1,10001,99999999999999999999,3.50,GBP", "too_large", "quantity"),
        ("2,2024-05-01,c1,10001,1000000000000,999999,GBP", "too_large", "unit_price"),
        ("2,2024-05-01,c1,10001,2,free,GBP", "bad_amount", "unit_price"),
        ('2,2024-05-01,c1,10001,2,"3,50",GBP', "bad_amount", "unit_price"),
        ("2,2024-05-01,c1,10001,2,NaN,GBP", "bad_amount", "unit_price"),
        ("2,2024-05-01,c1,10001,2,-3.50,GBP", "negative_amount", "unit_price"),
        ("2,2024-05-01,c1,10001,2,3.50,GBP,extra", "bad_row", "(whole row)"),
        ("2,2024-05-01", "bad_row", "(whole row)"),
    ],
)
def test_a_bad_line_is_set_aside_with_its_reason_and_its_text(load, folder, line, reason, column):
    (folder / "a.csv").write_text(HEADER + GOOD + line + "\n" + GOOD.replace("1,", "3,", 1), encoding="utf-8")
    ask = load()
    assert rejects(ask) == [(2, reason, column)]
    assert ask("SELECT rows_read, rows_accepted, rows_rejected FROM raw_meta.loads") == [(3, 2, 1)]
    assert ask("SELECT order_id FROM raw_orders.order_lines ORDER BY 1") == [("1",), ("3",)]
    (original,) = ask("SELECT original_row FROM raw_meta.rejects")[0]
    if reason == "bad_row":
        assert json.loads(original)["line"] == line
    else:
        assert json.loads(original)["unit_price"] == line.replace('"3,50"', "3;50").split(",")[5].replace(
            ";", ","
        )


def test_lines_that_contradict_their_order_or_repeat_a_key_are_set_aside(load, folder):
    (folder / "a.csv").write_text(
        "order_id,line_no,ordered_at,customer_id,sku,quantity,unit_price,currency\n"
        "1,1,2024-05-01,c1,10001,2,3.50,GBP\n"
        "1,1,2024-05-01,c1,10002,2,3.50,GBP\n"
        "1,2,2024-05-01,c2,10001,2,3.50,GBP\n"
        "1,3,2024-05-01,c1,10001,2,3.50,EUR\n"
        "1,4,2024-05-01,c1,10001,1,3.50,GBP\n",
        encoding="utf-8",
    )
    ask = load()
    assert rejects(ask) == [
        (2, "duplicate_key", "line_no"),
        (3, "duplicate_key", "customer_id"),
        (4, "duplicate_key", "currency"),
    ]
    assert ask("SELECT line_no, amount_minor FROM raw_orders.order_lines ORDER BY 1") == [(1, 700), (4, 350)]
    # The amount of a reject tells how much is missing.
    assert ask("SELECT sum(amount_minor)::INTEGER FROM raw_meta.rejects") == [(2100,)]


def test_an_order_that_an_earlier_file_holds_is_not_counted_twice(load, folder):
    (folder / "a.csv").write_text(HEADER + GOOD, encoding="utf-8")
    (folder / "b.csv").write_text(HEADER + GOOD + GOOD.replace("1,", "2,", 1), encoding="utf-8")
    ask = load()
    assert rejects(ask) == [(1, "duplicate_key", "order_id")]
    # The same files, learned in the other order, say the same.
    (folder / "a.csv").rename(folder / "z.csv")
    load(datetime(2024, 6, 2, tzinfo=UTC))
    assert rejects(ask) == [(1, "duplicate_key", "order_id")]
    assert ask("SELECT count(*), sum(amount_minor)::INTEGER FROM raw_orders.order_lines") == [(2, 1400)]


@pytest.mark.parametrize(
    ("quantity", "price", "currency", "amount_minor"),
    [
        ("3", "0.005", "GBP", 2),
        ("1", "0.005", "GBP", 1),
        ("1", "0.004999999999", "GBP", 0),
        ("0.5", "0.03", "GBP", 2),
        ("0.25", "0.06", "GBP", 2),
        ("3", "1.5", "JPY", 5),
        ("3", "1.5005", "KWD", 4502),
        ("0.000000000001", "1000000", "GBP", 0),
        ("100000000", "0.000001", "GBP", 10_000),
        ("0", "12.34", "GBP", 0),
    ],
)
def test_a_line_is_quantity_times_price_rounded_once_away_from_zero(
    load, folder, quantity, price, currency, amount_minor
):
    line = f"1,2024-05-01,c1,10001,{quantity},{price},{currency}\n"
    credit = f"C2,2024-05-01,c1,10001,-{quantity},{price},{currency}\n"
    (folder / "a.csv").write_text(HEADER + line + credit, encoding="utf-8")
    (folder / "mapping.toml").write_text('[is_credit]\nbegins_with = "C"\n')
    ask = load()
    assert ask("SELECT amount_minor, quantity FROM raw_orders.order_lines ORDER BY order_id") == [
        (amount_minor, Decimal(quantity)),
        (-amount_minor, -Decimal(quantity)),
    ]


def test_a_credit_that_would_count_as_revenue_is_set_aside(load, folder):
    (folder / "a.csv").write_text(HEADER + GOOD + "C2,2024-05-01,c1,10001,2,3.50,GBP\n", encoding="utf-8")
    (folder / "mapping.toml").write_text('[is_credit]\nbegins_with = "C"\n')
    assert rejects(load()) == [(2, "bad_amount", "quantity")]


def test_numbers_are_read_as_text_without_change(load, folder):
    (folder / "a.csv").write_text(HEADER + "007,2024-05-01,00123,0042,1,1.00,GBP\n", encoding="utf-8")
    ask = load()
    assert ask(
        "SELECT order_id, customer_id, sku "
        "FROM raw_orders.orders JOIN raw_orders.order_lines USING (order_id)"
    )[0] == ("007", "00123", "0042")


def test_local_times_are_those_of_the_reporting_timezone_summer_and_winter(load, folder):
    (folder / "a.csv").write_text(
        HEADER
        + "".join(
            f"{number},{moment},c1,10001,1,1.00,GBP\n"
            for number, moment in enumerate(
                [
                    "2024-01-15 12:00",
                    "2024-07-15 12:00",
                    "2024-10-27 01:30",  # twice that night: the first time is meant
                    "2024-02-29",
                    "2024-07-15T12:00:30Z",
                    "2024-07-15 12:00+03:00",
                ],
                start=1,
            )
        ),
        encoding="utf-8",
    )
    ask = load()
    assert [str(row[0]) for row in ask("SELECT ordered_at FROM raw_orders.orders ORDER BY order_id")] == [
        "2024-01-15 12:00:00+00:00",
        "2024-07-15 11:00:00+00:00",
        "2024-10-27 00:30:00+00:00",
        "2024-02-29 00:00:00+00:00",
        "2024-07-15 12:00:30+00:00",
        "2024-07-15 09:00:00+00:00",
    ]


MAPPED = """\
[columns]
order_id = "Beleg"
ordered_at = "Datum"
customer_id = "Kunde"
sku = "Artikel"
quantity = "Menge"
unit_price = "Preis"
[constants]
currency = "EUR"
[format]
delimiter = ";"
decimal = ","
thousands = "."
date = "%d.%m.%Y %H:%M"
encoding = "cp1252"
[is_credit]
pattern = "^GS"
[kinds]
FRACHT = "postage"
"""


def test_a_mapping_reads_another_systems_file(load, folder):
    (folder / "mapping.toml").write_text(MAPPED, encoding="utf-8")
    text = (
        "Beleg;Datum;Kunde;Artikel;Menge;Preis;Notiz\n"
        "1;01.05.2024 10:15;Müller;A1;1.000;1,25;x\n"
        "1;01.05.2024 10:15;Müller;FRACHT;1;4,90;x\n"
        "GS1;02.05.2024 08:00;Müller;A1;-2;1.234,50;x\n"
    )
    (folder / "a.csv").write_bytes(text.encode("cp1252"))
    ask = load(timezone="Europe/Berlin")
    assert ask("SELECT sku, amount_minor FROM raw_orders.order_lines ORDER BY ALL") == [
        ("A1", -246_900),
        ("A1", 125_000),
        ("FRACHT", 490),
    ]
    assert ask("SELECT DISTINCT customer_id, currency FROM raw_orders.orders") == [("Müller", "EUR")]
    assert ask("SELECT sku, category, is_goods FROM raw_orders.skus ORDER BY 1") == [
        ("A1", None, True),
        ("FRACHT", "postage", False),
    ]
    assert ask("SELECT note FROM raw_meta.loads") == [("columns not read: Notiz",)]


def test_rows_whose_bytes_are_no_text_are_set_aside_with_the_bytes_shown(load, folder):
    lines = [GOOD, "2,2024-05-01,Zoë,10001,1,1.00,GBP\n", "3,2024-05-01,Zo\xeb,10001,1,1.00,GBP\n"]
    data = HEADER.encode() + lines[0].encode() + lines[1].encode() + lines[2].encode("latin-1")
    (folder / "a.csv").write_bytes(data)
    ask = load()
    assert rejects(ask) == [(3, "bad_encoding", "(whole row)")]
    assert "\\\\xeb" in ask("SELECT original_row FROM raw_meta.rejects")[0][0]
    assert ask("SELECT customer_id FROM raw_orders.orders ORDER BY order_id") == [("c1",), ("Zoë",)]


def test_a_row_with_a_zero_byte_is_set_aside_wherever_it_stands(load, folder):
    many = "".join(f"{number},2024-05-01,c1,10001,1,1.00,GBP\n" for number in range(500))
    (folder / "a.csv").write_text(HEADER + many + "900,2024-05-01,c\x001,10001,1,1.00,GBP\n")
    ask = load()
    assert rejects(ask) == [(501, "bad_encoding", "(whole row)")]
    assert ask("SELECT rows_read, rows_accepted FROM raw_meta.loads") == [(501, 500)]


@pytest.mark.parametrize("ends", [("\n", "\r\n", "\n"), ("\r\n", "\n", "\r\n"), ("\n", "\r", "\n")])
def test_line_ends_of_two_kinds_are_understood(load, folder, ends):
    lines = [HEADER.strip(), GOOD.strip(), GOOD.strip().replace("1,", "2,", 1)]
    text = "".join(line + end for line, end in zip(lines, ends, strict=True)) + "3,2024-05-01\r\n"
    (folder / "a.csv").write_bytes(text.encode())
    ask = load()
    assert ask("SELECT order_id, currency FROM raw_orders.orders ORDER BY 1") == [("1", "GBP"), ("2", "GBP")]
    assert rejects(ask) == [(3, "bad_row", "(whole row)")]


def test_utf_16_and_a_byte_order_mark_are_understood(load, folder):
    (folder / "a.csv").write_bytes((HEADER + GOOD).encode("utf-16"))
    (folder / "b.csv").write_bytes((HEADER + GOOD.replace("1,", "2,", 1)).encode("utf-8-sig"))
    assert load()("SELECT count(*) FROM raw_orders.orders") == [(2,)]


def test_xlsx_cells_are_read_as_they_stand(load, folder):
    book = xlsxwriter.Workbook(folder / "a.xlsx")
    sheet = book.add_worksheet("Orders")
    sheet.write_row(0, 0, HEADER.strip().split(","))
    sheet.write_row(1, 0, ["0012"])
    sheet.write_datetime(
        1, 1, datetime.fromisoformat("2024-05-01 10:30"), book.add_format({"num_format": "dd/mm/yyyy hh:mm"})
    )
    sheet.write_row(1, 2, [13085, "10001", 3, 2.55, "GBP"])
    book.close()
    ask = load()
    assert ask("SELECT order_id, customer_id, ordered_at FROM raw_orders.orders") == [
        ("0012", "13085", datetime(2024, 5, 1, 9, 30, tzinfo=UTC))
    ]
    assert ask("SELECT amount_minor FROM raw_orders.order_lines") == [(765,)]


def workbook(path: Path, *rows: list[object]) -> None:
    book = xlsxwriter.Workbook(path)
    sheet = book.add_worksheet()
    for number, row in enumerate(rows):
        sheet.write_row(number, 0, row)
    book.close()


def test_blank_rows_of_a_sheet_are_no_rows_and_the_others_keep_their_numbers(load, folder):
    good = GOOD.strip().split(",")
    workbook(folder / "a.xlsx", HEADER.strip().split(","), good, [], ["2", *good[1:4], -1, *good[5:]], [])
    ask = load()
    assert rejects(ask) == [(3, "negative_quantity", "quantity")]
    assert ask("SELECT rows_read, rows_accepted, rows_rejected FROM raw_meta.loads") == [(2, 1, 1)]


def test_a_sheet_with_two_columns_of_one_name_is_a_clear_error(load, folder):
    workbook(folder / "a.xlsx", [*HEADER.strip().split(","), "SKU"], [*GOOD.strip().split(","), "x"])
    with pytest.raises(SourceError, match="every column needs a name of its own"):
        load()


def frame(**columns: object) -> pl.DataFrame:
    base = {
        "order_id": ["1"],
        "ordered_at": [datetime.fromisoformat("2024-05-01 10:00")],
        "customer_id": [13085],
        "sku": ["10001"],
        "quantity": [3],
        "unit_price": [2.55],
        "currency": ["GBP"],
    }
    return pl.DataFrame(base | columns)


def test_binary_floats_are_read_as_the_nearest_decimal_with_six_places(load, folder):
    frame(unit_price=[0.1 + 0.2], quantity=[1_000_000]).write_parquet(folder / "a.parquet")
    assert load()("SELECT amount_minor FROM raw_orders.order_lines") == [(30_000_000,)]


@pytest.mark.parametrize(
    ("extra", "shown"),
    [
        (pl.Series([b"\xff\xfe"]), "fffe"),
        (pl.Series([[1, 2]]), "[1, 2]"),
        (pl.Series([{"a": 1}]), "{'a': 1}"),
        (pl.Series([timedelta(hours=36)]), "1 day, 12:00:00"),
    ],
)
def test_a_row_is_set_aside_whole_whatever_its_other_columns_hold(load, folder, extra, shown):
    frame(quantity=[-3], extra=extra).write_parquet(folder / "a.parquet")
    ask = load()
    assert rejects(ask) == [(1, "negative_quantity", "quantity")]
    assert json.loads(ask("SELECT original_row FROM raw_meta.rejects")[0][0])["extra"] == shown


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"__row_number": [1]}, "can't be named __row_number"),
        ({"customer_id": [13085.0]}, "'customer_id' holds Float64"),
        ({"quantity": [True]}, "'quantity' holds Boolean"),
        ({"ordered_at": [20240501]}, "'ordered_at' holds Int64"),
        ({"unit_price": [[1.0]]}, "'unit_price' holds List"),
    ],
)
def test_a_column_of_the_wrong_type_is_a_clear_error(load, folder, columns, told):
    frame(**columns).write_parquet(folder / "a.parquet")
    with pytest.raises(SourceError) as error:
        load()
    assert told in str(error.value)
    assert "a.parquet" in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\n\n", "must hold the names of the columns"),
        ("a.csv", b"order_id,order_id\n1,2\n", "every column needs a name of its own"),
        (
            "a.csv",
            b"order_id,sku\n1,2\n",
            "lacks the columns ordered_at, customer_id, quantity, amount_minor or",
        ),
        ("a.csv", HEADER.replace(",", ";").encode(), "delimiter"),
        (
            "a.csv",
            (HEADER + '1,2024-05-01,"c1,10001,1,1.00,GBP\n' + GOOD).encode(),
            "line 2: a quotation mark",
        ),
        ("a.csv", b"PK\x03\x04\x00\x00\x00", "no text file"),
        ("a.csv", HEADER.replace("currency", "w\xe4hrung").encode("latin-1"), "are not all UTF-8"),
        ("a.csv", HEADER.replace("currency", "__row_number").encode(), "can't be named __row_number"),
        ("a.parquet", b"not parquet", "can't be read as Parquet"),
        ("a.xlsx", b"not xlsx", "can't be read as XLSX"),
        ("a.txt", b"order_id\n", "No data file"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_clear_error(load, folder, name, content, told):
    (folder / name).write_bytes(content)
    with pytest.raises(SourceError) as error:
        load()
    assert told in str(error.value)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ("not toml", "no valid TOML"),
        ("[colums]\norder_id = 'x'\n", "unknown key colums"),
        ("[columns]\norder = 'x'\n", "order is no column of this form"),
        ("[columns]\nsku = 'article'\n", "has no column 'article'"),
        ("[format]\nseparator = ';'\n", "unknown key separator"),
        ("[format]\nencoding = 'klingon'\n", "not known"),
        ("[is_credit]\ncolumn = 'order_id'\n", "either begins_with or pattern"),
        ("[is_goods]\npattern = '['\n", "no regular expression"),
    ],
)
def test_a_wrong_mapping_is_a_clear_error(load, folder, mapping, told):
    (folder / "a.csv").write_text(HEADER + GOOD)
    (folder / "mapping.toml").write_text(mapping)
    with pytest.raises(SourceError) as error:
        load()
    assert told in str(error.value)


def test_a_header_without_rows_is_fine_the_first_time_and_refused_when_rows_would_go(load, folder):
    (folder / "a.csv").write_text(HEADER)
    assert load()("SELECT rows_read, rows_rejected FROM raw_meta.loads") == [(0, 0)]
    (folder / "a.csv").write_text(HEADER + GOOD)
    load(datetime(2024, 6, 2, tzinfo=UTC))
    (folder / "a.csv").write_text(HEADER)
    with pytest.raises(SourceError, match="a header but no rows"):
        load(datetime(2024, 6, 3, tzinfo=UTC))


def test_a_changed_file_replaces_its_rows_and_what_did_not_change_stays_known_since(load, folder):
    (folder / "a.csv").write_text(HEADER + GOOD + "2,2024-05-02,c1,10001,1,1.00,GBP\n")
    load(datetime(2024, 6, 1, tzinfo=UTC))
    (folder / "a.csv").write_text(HEADER + GOOD + "2,2024-05-02,c1,10001,5,1.00,GBP\n")
    ask = load(datetime(2024, 6, 2, tzinfo=UTC))
    assert ask("SELECT order_id, amount_minor, recorded_at FROM raw_orders.order_lines ORDER BY 1") == [
        ("1", 700, datetime(2024, 6, 1, tzinfo=UTC)),
        ("2", 500, datetime(2024, 6, 2, tzinfo=UTC)),
    ]
    assert ask("SELECT count(*) FROM raw_orders.skus") == [(1,)]


def test_a_file_that_is_gone_takes_its_rows_along_and_the_load_says_so(load, folder):
    (folder / "a.csv").write_text(HEADER + GOOD)
    (folder / "b.csv").write_text(HEADER + "2,2024-05-02,c1,10002,1,1.00,GBP\n")
    load()
    (folder / "b.csv").unlink()
    ask = load(datetime(2024, 6, 2, tzinfo=UTC))
    assert ask("SELECT order_id FROM raw_orders.orders") == [("1",)]
    assert ask("SELECT sku FROM raw_orders.skus") == [("10001",)]
    assert ask("SELECT note FROM raw_meta.loads WHERE file_name = 'b.csv' AND note <> ''") == [
        ("the file is gone: its 1 lines of 1 orders were removed",)
    ]


def test_a_missing_currency_is_the_reporting_currency_and_the_load_says_so(load, folder):
    (folder / "a.csv").write_text(
        "order_id,ordered_at,customer_id,sku,quantity,unit_price\n1,2024-05-01,c1,10001,2,3\n"
    )
    ask = load(currency="JPY")
    assert ask(
        "SELECT currency, amount_minor FROM raw_orders.orders JOIN raw_orders.order_lines USING (order_id)"
    ) == [("JPY", 6)]
    assert "taken as JPY" in ask("SELECT note FROM raw_meta.loads")[0][0]


def test_amounts_may_come_in_minor_units(load, folder):
    (folder / "a.csv").write_text(
        "order_id,ordered_at,customer_id,sku,quantity,amount_minor,currency,is_credit\n"
        "1,2024-05-01,c1,10001,2,350,GBP,no\n"
        "2,2024-05-01,c1,10001,-2,-350,GBP,yes\n"
        "3,2024-05-01,c1,10001,2,350.5,GBP,no\n"
        "4,2024-05-01,c1,10001,2,350,GBP,perhaps\n"
    )
    ask = load()
    assert ask("SELECT order_id, amount_minor FROM raw_orders.order_lines ORDER BY 1") == [
        ("1", 350),
        ("2", -350),
    ]
    assert rejects(ask) == [(3, "bad_amount", "amount_minor"), (4, "bad_flag", "is_credit")]
