"""Tables on screen escape what they show; files a reader takes away are exact and harmless."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import pytest

from dashboard.format import Formatter
from dashboard.tables import Column, csv_file, harmless, html

SHOW = Formatter("en", {"EUR": 2, "KWD": 3, "JPY": 0})
AMOUNT = Column("amount", "Amount", "money", currency="EUR")
NAME = Column("name", "Name")


def read(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))


@pytest.mark.parametrize(
    "value",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        " =1",
        '=HYPERLINK("x")',
        "\u00a0=1",
        "＝1+1",
        "＠SUM(A1)",
    ],
)
def test_a_text_that_a_spreadsheet_would_run_is_neutralised(value: str) -> None:
    assert harmless(value) == "'" + value
    assert read(csv_file([NAME], [{"name": value}], SHOW))[1] == ["'" + value]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("Acme;=1+1", "Acme;'=1+1"),
        (";@SUM(A1)", ";'@SUM(A1)"),
        ("Acme; -2+3", "Acme; '-2+3"),
        ("Acme\n=1+1", "Acme\n'=1+1"),
        ("=1;=2", "'=1;'=2"),
    ],
)
def test_no_cell_begins_a_formula_where_a_spreadsheet_parts_them_at_semicolons(value: str, kept: str) -> None:
    assert harmless(value) == kept
    written = csv_file([NAME], [{"name": value}], SHOW).decode("utf-8-sig")
    cells = [cell.lstrip(' "') for line in written.splitlines() for cell in line.split(";")]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize(
    "value", ["a; b", "1;2", "Tom & Jerry; sons\nand co", "Acme", "3-way valve", "شركة", "", "a=b", "O'Neill"]
)
def test_ordinary_text_is_left_as_it_is(value: str) -> None:
    assert harmless(value) == value


def test_a_negative_amount_stays_a_number() -> None:
    rows = read(csv_file([AMOUNT], [{"amount": -500}], SHOW))
    assert rows == [["Amount", "Amount ¤"], ["-5.00", "EUR"]]


@pytest.mark.parametrize(
    ("currency", "minor", "exact"),
    [
        ("EUR", 123456, "1234.56"),
        ("KWD", 123456, "123.456"),
        ("JPY", 123456, "123456"),
        ("EUR", Decimal("8033.3333000000000000"), "80.333333"),
        ("EUR", Decimal("1E+3"), "10.00"),
    ],
)
def test_a_file_holds_amounts_exactly_and_without_grouping(currency: str, minor: Decimal, exact: str) -> None:
    column = Column("amount", "Amount", "money", currency=currency)
    assert read(csv_file([column], [{"amount": minor}], SHOW))[1] == [exact, currency]


def test_a_file_begins_with_a_byte_order_mark_and_keeps_arabic() -> None:
    content = csv_file([NAME], [{"name": "شركة النور"}], Formatter("ar"))
    assert content.startswith(b"\xef\xbb\xbf")
    assert read(content)[1] == ["شركة النور"]


def test_a_file_holds_no_marks_of_direction() -> None:
    content = csv_file([NAME, AMOUNT], [{"name": "A", "amount": 1}], Formatter("ar", {"EUR": 2})).decode(
        "utf-8-sig"
    )
    assert not any(mark in content for mark in "\u2066\u2069\u200e\u200f")


def test_missing_values_are_empty_in_a_file() -> None:
    assert read(csv_file([NAME, AMOUNT], [{"name": None, "amount": None}], SHOW))[1] == ["", "", ""]


def test_a_table_escapes_every_value_and_every_heading() -> None:
    column = Column("name", "<i>Name</i>")
    shown = html("<u>All</u>", [column], [{"name": '<img src=x onerror="alert(1)">'}], SHOW, "ltr")
    assert "<img" not in shown
    assert "<i>" not in shown
    assert "<u>" not in shown
    assert "&lt;img" in shown


def test_a_table_says_its_direction_and_names_its_columns_for_screen_readers() -> None:
    shown = html("All", [NAME, AMOUNT], [{"name": "A", "amount": 100}], SHOW, "rtl")
    assert '<table dir="rtl">' in shown
    assert "<caption>All</caption>" in shown
    assert shown.count('<th scope="col"') == 2
    assert '<th scope="row"' in shown


def test_a_cell_leads_where_its_row_says_and_only_within_the_dashboard() -> None:
    column = Column("name", "Name", href=lambda row: f"customer?customer={row['name']}")
    shown = html("All", [column], [{"name": 'A"><script>&b'}], SHOW, "ltr")
    assert '<a href="customer?customer=A&#34;&gt;&lt;script&gt;&amp;b"><bdi>' in shown
    nowhere = html("All", [Column("name", "Name", href=lambda row: None)], [{"name": "A"}], SHOW, "ltr")
    assert "<a " not in nowhere


@pytest.mark.parametrize(
    "place", ["javascript:alert(1)", "https://example.org", "//example.org", "/x", "\\x"]
)
def test_a_cell_never_leads_outside(place: str) -> None:
    with pytest.raises(ValueError, match="only lead to a page of the dashboard"):
        html("All", [Column("name", "Name", href=lambda row: place)], [{"name": "A"}], SHOW, "ltr")
