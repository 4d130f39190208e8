"""A table as an XLSX file: real numbers, dates and texts, which a spreadsheet can add up, sort and filter.

No text becomes a formula or a link. The file is written row by row, so that its rows need no memory.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from xlsxwriter import Workbook

from dashboard.format import Formatter
from dashboard.tables import FORMULA_STARTS, Column

MAX_ROWS = 1_048_575  # below the head
MAX_TEXT = 32_767  # UTF-16 units in one cell
MAX_NAME = 31  # UTF-16 units in the name of a sheet
FIRST_DAY = date(1900, 3, 1)  # before it, spreadsheets count a day that never was
EXACT = 10**15  # a spreadsheet keeps fifteen digits of a number; longer ones are written as text
WIDEST, NARROWEST = 60, 8
OPTIONS = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}

# What XML has no place for: controls but tab and line feed, halves of pairs, two that are no characters.
UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
CURRENCY = re.compile("[A-Z]{3}")


def file(
    columns: Sequence[Column],
    rows: Iterable[Mapping[str, Any]],
    show: Formatter,
    direction: str,
    title: str = "",
    otherwise: str = "Data",
) -> bytes:
    """The table as XLSX, its sheet named by `title`, or `otherwise`; `direction` is ltr or rtl.

    Raises ValueError for more rows than a sheet has.
    """
    out = io.BytesIO()
    with Workbook(out, OPTIONS) as book:
        sheet = book.add_worksheet(sheet_name(title, otherwise))
        cells = [_Cells(sheet, book.add_format, place, column, show) for place, column in enumerate(columns)]
        if direction == "rtl":
            sheet.right_to_left()
        head = book.add_format({"bold": True, "valign": "top", "bg_color": "#f4f6f8", "bottom": 1})
        widths = []
        for place, column in enumerate(columns):
            label = clean(column.label)
            sheet.write_string(0, place, label, head)
            widths.append(len(label) + 3)  # room for the arrow of the filter
        count = 0
        for count, row in enumerate(rows, start=1):
            if count > MAX_ROWS:
                raise ValueError(f"a sheet holds at most {MAX_ROWS:,} rows")
            for place, cell in enumerate(cells):
                width = cell.write(count, row[cell.name])
                if width > widths[place]:
                    widths[place] = width
        for place, width in enumerate(widths):
            sheet.set_column(place, place, min(max(width + 1, NARROWEST), WIDEST))
        sheet.freeze_panes(1, 0)
        if columns:
            sheet.autofilter(0, 0, count, len(columns) - 1)
    return out.getvalue()


def sheet_name(title: str, otherwise: str = "Data") -> str:
    """A title as spreadsheets take it for a sheet: short, without their own signs; `otherwise`, a name that
    they take, where nothing is left of it."""
    name = re.sub(r"[\[\]:*?/\\\s]+", " ", clean(title))
    name = _cut(name.strip(" '"), MAX_NAME).strip(" '")
    return otherwise if not name or name.casefold() == "history" else name


def clean(text: str) -> str:
    """A text without what a file cannot hold, cut to what a cell can."""
    return _cut(UNFIT.sub("", text), MAX_TEXT)


def _cut(text: str, units: int) -> str:
    """The beginning of a text, at most so many UTF-16 units, never half a character."""
    if len(text) * 2 <= units:
        return text
    encoded = text.encode("utf-16-le")
    if len(encoded) <= 2 * units:
        return text
    return encoded[: 2 * units - 2].decode("utf-16-le", "ignore") + "…"


class _Cells:
    """Writes the cells of one column; its formats are made when a value first asks for them."""

    def __init__(
        self, sheet: Any, make: Callable[[dict[str, Any]], Any], place: int, column: Column, show: Formatter
    ) -> None:
        self.name = column.name
        self._sheet, self._make, self._place, self._column = sheet, make, place, column
        self._places = show.exponent(column.currency or "") if column.kind == "money" else 0
        self._patterns = {
            is_whole: number_format(column, show, is_whole=is_whole) for is_whole in (True, False)
        }
        self._formats: dict[tuple[tuple[str, object], ...], Any] = {}

    def write(self, line: int, value: object) -> int:
        """Write a value into a row; gives how many characters wide it is."""
        if value is None:
            return 0
        if self._column.words is not None:
            return self._text(line, self._column.words(value))
        if self._column.kind == "id" or isinstance(value, bool | str):
            return self._text(line, str(value))
        if isinstance(value, date):
            return self._day(line, value)
        if isinstance(value, int | float | Decimal):
            return self._number(line, value)
        return self._text(line, str(value))

    def _format(self, *properties: tuple[str, object]) -> Any:
        if properties not in self._formats:
            self._formats[properties] = self._make(dict(properties))
        return self._formats[properties]

    def _text(self, line: int, value: str) -> int:
        words = clean(value)
        properties: list[tuple[str, object]] = [("num_format", "@")]
        if self._column.kind == "id":
            properties.append(("reading_order", 1))
        if words.lstrip().startswith(FORMULA_STARTS):
            properties.append(("quote_prefix", True))  # it stays a text when its cell is edited
        self._sheet.write_string(line, self._place, words, self._format(*properties))
        return len(words)

    def _day(self, line: int, value: date) -> int:
        """A date, or an instant in UTC; what lies before the days of spreadsheets is written as text."""
        if isinstance(value, datetime):
            value = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
            pattern = "yyyy-mm-dd hh:mm"
        else:
            pattern = "yyyy-mm" if self._column.kind == "month" else "yyyy-mm-dd"
        if (value.date() if isinstance(value, datetime) else value) < FIRST_DAY:
            return self._text(line, str(value))
        self._sheet.write_datetime(line, self._place, value, self._format(("num_format", pattern)))
        return len(pattern)

    def _number(self, line: int, value: int | float | Decimal) -> int:
        exact = Decimal(str(value))
        if not exact.is_finite():
            return 0
        is_too_long = not isinstance(value, float) and abs(exact) >= EXACT
        if self._column.kind == "money":
            exact = exact.scaleb(-self._places)
        elif self._column.kind == "points":
            exact = exact * 100
        if is_too_long:
            return self._text(line, f"{exact:f}")
        how = self._format(("num_format", self._patterns[isinstance(value, int)]))
        self._sheet.write_number(line, self._place, float(exact), how)
        return len(f"{float(exact):+,.2f}") + (4 if self._column.currency else 0)


def number_format(column: Column, show: Formatter, *, is_whole: bool = True) -> str:
    """How a spreadsheet shows a column's numbers: money with its currency's code and decimals."""
    patterns = {"percent": "0.0%", "bar": "0.0%", "ratio": "0.000", "decimal": "#,##0.0", "points": "0.0"}
    if column.kind == "money":
        places = show.exponent(column.currency or "")
        pattern = "#,##0" + ("." + "0" * places if places else "")
        if CURRENCY.fullmatch(column.currency or ""):
            pattern = f"[${column.currency}] {pattern}"
    else:
        pattern = patterns.get(column.kind, "#,##0" if is_whole or column.kind == "count" else "General")
    is_signed = column.signed or column.kind == "points"
    return f"+{pattern};-{pattern};{pattern}" if is_signed and pattern != "General" else pattern
