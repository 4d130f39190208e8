"""A table taken away as a spreadsheet: what is read back is what was shown, and nothing in it runs."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import fastexcel
import polars as pl
import pytest

from dashboard import xlsx
from dashboard.format import Formatter
from dashboard.tables import Column

SHOW = Formatter("en", {"EUR": 2, "KWD": 3, "JPY": 0})
NAME = Column("name", "Name")
HOSTILE = [
    "=SUM(A1:A9)",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1+1",
    "https://example.org",
    "mailto:a@example.org",
    "internal:Sheet1!A1",
    "_x0041_",
    "<b>Bold</b> & [Sons]",
    "{=1}",
    "0012",
    "1e5",
    "شركة النور",
    "\u202egnp.exe",
    "'quoted",
    " padded ",
    "two\nlines",
]


def part(content: bytes, name: str) -> str:
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        return parts.read(name).decode()


def read(content: bytes) -> pl.DataFrame:
    return fastexcel.read_excel(content).load_sheet(0).to_polars()


def column_of(*values: object, **options: Any) -> list[object]:
    """The values of one column, written and read back."""
    column = Column("value", "Value", **options)
    rows = [{"value": value} for value in values]
    return read(xlsx.file([column], rows, SHOW, "ltr"))["Value"].to_list()


def test_texts_come_back_as_they_were_and_none_is_a_formula_or_a_link() -> None:
    content = xlsx.file([NAME], [{"name": name} for name in HOSTILE], SHOW, "ltr")
    assert read(content)["Name"].to_list() == HOSTILE
    sheet = part(content, "xl/worksheets/sheet1.xml")
    assert "<f>" not in sheet
    assert "hyperlink" not in sheet.lower()
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        assert not [name for name in parts.namelist() if "sheet1.xml.rels" in name or "external" in name]


def test_a_text_like_a_formula_stays_text_when_its_cell_is_edited() -> None:
    content = xlsx.file([NAME], [{"name": "=1+1"}, {"name": "Acme"}], SHOW, "ltr")
    assert part(content, "xl/styles.xml").count('quotePrefix="1"') == 1


def test_characters_that_no_file_can_hold_are_left_out() -> None:
    names = ["a\x00b", "a\x1b[31mb", "a\ud800b", "a\uffffb", "a\x85b", "a\x7fb"]
    assert column_of(*names) == ["ab", "a[31mb", "ab", "ab", "ab", "ab"]
    heads = xlsx.file([Column("name", "a\x00=b\ud800")], [{"name": "x"}], SHOW, "ltr")
    assert read(heads).columns == ["a=b"]


def test_a_text_longer_than_a_cell_is_cut_and_says_so() -> None:
    (cut,) = column_of("x" * 40_000)
    assert cut == "x" * (xlsx.MAX_TEXT - 1) + "…"
    (pairs,) = column_of("😀" * 20_000)
    assert pairs == "😀" * 16_383 + "…"


@pytest.mark.parametrize(
    ("currency", "minor", "major", "pattern"),
    [
        ("EUR", 123456, 1234.56, "[$EUR] #,##0.00"),
        ("EUR", -5, -0.05, "[$EUR] #,##0.00"),
        ("KWD", 123456, 123.456, "[$KWD] #,##0.000"),
        ("JPY", 123456, 123456, "[$JPY] #,##0"),
        ("EUR", Decimal("8033.3333333333333333"), 80.333333333333, "[$EUR] #,##0.00"),
        ('"];=', 100, 1, "#,##0.00"),
    ],
)
def test_money_is_a_number_with_its_currencys_decimals(
    currency: str, minor: int | Decimal, major: float, pattern: str
) -> None:
    column = Column("amount", "Amount", "money", currency=currency)
    content = xlsx.file([column], [{"amount": minor}], SHOW, "ltr")
    assert read(content)["Amount"].to_list() == [pytest.approx(major, rel=1e-13)]
    styles = ElementTree.fromstring(part(content, "xl/styles.xml"))
    codes = [one.get("formatCode") for one in styles.iter() if one.tag.endswith("numFmt")]
    built_in = [one.get("numFmtId") for one in styles.iter() if one.tag.endswith("}xf")]
    assert pattern in codes or (pattern == "#,##0.00" and "4" in built_in)


def test_an_amount_too_long_for_a_number_keeps_every_digit_as_text() -> None:
    assert column_of(12345678901234567, kind="money", currency="EUR") == ["123456789012345.67"]
    assert column_of(123456789012345, kind="money", currency="EUR") == [1234567890123.45]
    assert column_of(9007199254740993, kind="count") == ["9007199254740993"]


def test_dates_are_dates_and_instants_are_in_utc() -> None:
    day, moment = date(2025, 2, 28), datetime(2025, 3, 2, 1, 30, tzinfo=timezone(timedelta(hours=3)))
    columns = [Column("day", "Day", "day"), Column("at", "At", "instant")]
    back = read(xlsx.file(columns, [{"day": day, "at": moment}], SHOW, "ltr"))
    assert all(kind.is_temporal() for kind in back.dtypes)
    assert [str(value) for value in back.row(0)] == ["2025-02-28 00:00:00", "2025-03-01 22:30:00"]
    assert column_of(date(1, 1, 1), kind="day") == ["0001-01-01"]


def test_shares_and_counts_are_numbers_and_what_is_missing_is_empty() -> None:
    assert column_of(Decimal("0.125"), None, 1, kind="percent") == [0.125, None, 1]
    assert column_of(Decimal("0.0125"), kind="points") == [1.25]
    assert column_of(3, None, float("nan"), float("inf"), 4, kind="count") == [3, None, None, None, 4]
    codes = {"new": "New"}
    assert column_of("new", words=codes.__getitem__) == ["New"]
    assert column_of("007", kind="id") == ["007"]


def test_the_head_is_bold_and_stays_in_sight_and_columns_are_wide_enough() -> None:
    content = xlsx.file([NAME], [{"name": "A name of some length"}], SHOW, "ltr")
    sheet = part(content, "xl/worksheets/sheet1.xml")
    assert 'state="frozen"' in sheet
    assert 'topLeftCell="A2"' in sheet
    assert 'autoFilter ref="A1:A2"' in sheet
    assert "<b/>" in part(content, "xl/styles.xml")
    width = float(sheet.split('<col min="1" max="1" width="')[1].split('"')[0])
    assert 22 <= width < 25


def test_a_sheet_reads_from_the_right_in_arabic_and_is_named_in_it() -> None:
    content = xlsx.file([NAME], [], Formatter("ar"), "rtl", "الصفوف")
    assert 'rightToLeft="1"' in part(content, "xl/worksheets/sheet1.xml")
    assert fastexcel.read_excel(content).sheet_names == ["الصفوف"]
    assert "rightToLeft" not in part(xlsx.file([NAME], [], SHOW, "ltr"), "xl/worksheets/sheet1.xml")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Rows behind: MRR, March 2025", "Rows behind MRR, March 2025"),
        ("a[b]c:d*e?f/g\\h", "a b c d e f g h"),
        ("'quoted'", "quoted"),
        ("History", "Data"),
        ("", "Data"),
        ("''", "Data"),
        ("\x00\ud800", "Data"),
        ("x" * 40, "x" * 30 + "…"),
        ("😀" * 20, "😀" * 15 + "…"),
        ("x" * 29 + "'y" + "z" * 9, "x" * 29 + "'…"),
    ],
)
def test_any_title_makes_a_name_that_a_spreadsheet_takes(title: str, name: str) -> None:
    assert xlsx.sheet_name(title) == name
    content = xlsx.file([NAME], [{"name": "A"}], SHOW, "ltr", title)
    assert fastexcel.read_excel(content).sheet_names == [name]


def test_a_sheet_without_a_name_is_called_in_the_readers_language() -> None:
    content = xlsx.file([NAME], [{"name": "A"}], Formatter("ar"), "rtl", "''", "بيانات")
    assert fastexcel.read_excel(content).sheet_names == ["بيانات"]


def test_many_rows_take_no_more_memory_than_their_file() -> None:
    columns = [NAME, Column("amount", "Amount", "money", currency="EUR")]

    def rows(count: int) -> Iterator[dict[str, object]]:
        return ({"name": f"Customer {line % 100}", "amount": line} for line in range(count))

    tracemalloc.start()
    try:
        content = xlsx.file(columns, rows(10_000), SHOW, "ltr")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000 + len(content)
    back = read(content)
    assert back.height == 10_000
    assert back["Amount"].sum() == pytest.approx(sum(range(10_000)) / 100)


def test_more_rows_than_a_sheet_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "MAX_ROWS", 2)
    with pytest.raises(ValueError, match="at most 2 rows"):
        xlsx.file([NAME], [{"name": "A"}] * 3, SHOW, "ltr")
