"""Tables a reader sees and takes away: cells by kind, HTML with every value escaped, CSV safe to open."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from jinja2 import Environment, StrictUndefined

from dashboard import links
from dashboard.format import Formatter

# A cell that begins with one of these is a formula to a spreadsheet.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# Where spreadsheets part cells at semicolons, as they do in half the world, a cell may begin within a text.
FORMULA_WITHIN = re.compile(r"(;\s*|(?<=\S)\s*[\t\r\n]\s*)(?=[=+\-@＝＋－＠])")
BYTE_ORDER_MARK = "\ufeff"
NUMBERS = frozenset({"money", "count", "percent", "decimal", "ratio", "points", "bar"})

# Written out in both places, since calling a macro for each cell costs more than the cell.
CONTENT = """\
{% if cell["href"] %}<a href="{{ cell["href"] }}"><bdi>{{ cell["shown"] }}</bdi></a>
{%- else %}<bdi>{{ cell["shown"] }}</bdi>{% endif %}"""
TEMPLATE = Environment(autoescape=True, undefined=StrictUndefined).from_string(
    """\
<div class="tj-table" tabindex="0" role="region" aria-label="{{ caption }}">
<table dir="{{ direction }}"><caption>{{ caption }}</caption>
<thead><tr>{% for column in columns -%}
<th scope="col" class="{{ column.css }}">{{ column.label }}</th>
{%- endfor %}</tr></thead>
<tbody>{% for row in rows %}<tr>{% for cell in row[:1] -%}
<th scope="row" class="{{ cell["css"] }}">CONTENT</th>
{%- endfor %}{% for cell in row[1:] -%}
<td class="{{ cell["css"] }}">CONTENT
{%- if cell["share"] is not none -%}
<meter min="0" max="1" value="{{ cell["share"] }}" aria-hidden="true"></meter>
{%- endif %}</td>
{%- endfor %}</tr>{% endfor %}</tbody></table></div>""".replace("CONTENT", CONTENT)
)


# How a cell of each kind is shown, given how things are written, its value, and whether a plus is shown.
FORMATS: Mapping[str, Callable[[Formatter, Any, bool], str]] = {
    "count": lambda show, number, signed: show.number(number, signed=signed),
    "decimal": lambda show, number, signed: show.number(number, 1, signed=signed),
    "percent": lambda show, ratio, signed: show.percent(ratio, signed=signed),
    "ratio": lambda show, ratio, _signed: show.number(ratio, 3),
    "points": lambda show, ratio, _signed: show.points(ratio),
    "bar": lambda show, ratio, _signed: show.percent(ratio),
    "instant": lambda show, instant, _signed: show.instant(instant),
    "day": lambda show, day, _signed: show.day_short(day),
    "month": lambda show, month, _signed: show.month(month),
    "id": lambda show, value, _signed: show.identifier(value),
    "text": lambda _show, words, _signed: "–" if words is None or words == "" else str(words),
}


@dataclass(frozen=True)
class Column:
    """One column of a table.

    `kind` is one of text, id, money, count, decimal, ratio, percent, points (of percent), bar (a share drawn
    as well), day, month, instant. Money is in minor units of `currency`. `words` translates codes.
    `href` says where a cell leads, by its row: a place within the dashboard, or None for nowhere. Columns of
    customers and invoices lead to them by themselves (links.BY_NAME).
    """

    name: str
    label: str
    kind: str = "text"
    currency: str | None = None
    words: Callable[[Any], str] | None = None
    signed: bool = False
    href: Callable[[Mapping[str, Any]], str | None] | None = None

    @property
    def css(self) -> str:
        return "tj-number" if self.kind in NUMBERS else f"tj-{self.kind}"

    def shown(self, row: Mapping[str, Any], show: Formatter) -> str:
        """A cell as a reader sees it."""
        value = row[self.name]
        if self.words is not None:
            return self.words(value)
        if self.kind == "money":
            return show.money(value, self.currency or "", signed=self.signed)
        return FORMATS[self.kind](show, value, self.signed)

    def leads_to(self, row: Mapping[str, Any]) -> str | None:
        """Where the cell leads, within the dashboard. Raises ValueError for a place elsewhere."""
        href = self.href or links.BY_NAME.get(self.name)
        place = href(row) if href is not None else None
        if place is not None and (":" in place.split("?")[0] or place.startswith(("/", "\\"))):
            raise ValueError(f"a cell may only lead to a page of the dashboard, not to {place!r}")
        return place

    def exported(self, row: Mapping[str, Any], show: Formatter) -> str:
        """A cell as a file holds it: exact, in major units, without grouping; text made harmless."""
        value = row[self.name]
        if value is None:
            return ""
        if self.words is not None:
            return harmless(self.words(value))
        if self.kind == "money":
            places = show.exponent(self.currency or "")
            return plain_decimal(Decimal(value).scaleb(-places), places)
        if isinstance(value, Decimal):
            return plain_decimal(value, 0)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        return harmless(str(value))


def plain_decimal(value: Decimal, places: int) -> str:
    """A decimal in full, without exponent, with at least so many places and no zeros beyond them."""
    whole, _, part = f"{value:f}".partition(".")
    part = part.rstrip("0").ljust(places, "0")
    return f"{whole}.{part}" if part else whole


def harmless(value: str) -> str:
    """Text that no spreadsheet takes for a formula, nor any part of it."""
    is_formula = value.lstrip().startswith(FORMULA_STARTS) or value.startswith(FORMULA_STARTS)
    return ("'" if is_formula else "") + FORMULA_WITHIN.sub(r"\1'", value)


def html(
    caption: str,
    columns: Sequence[Column],
    rows: Iterable[Mapping[str, Any]],
    show: Formatter,
    direction: str,
) -> str:
    """The table as HTML. Every value is escaped by the template, never by hand."""
    cells = [_cells(columns, row, show) for row in rows]
    return TEMPLATE.render(caption=caption, columns=columns, rows=cells, direction=direction)


def _cells(columns: Sequence[Column], row: Mapping[str, Any], show: Formatter) -> list[dict[str, Any]]:
    """One row as the template takes it; no two cells of it lead to the same place."""
    taken: set[str | None] = set()
    cells = []
    for column in columns:
        place = column.leads_to(row)
        cells.append(
            {
                "shown": column.shown(row, show),
                "css": column.css,
                "href": None if place in taken else place,
                "share": row[column.name] if column.kind == "bar" else None,
            }
        )
        taken.add(place)
    return cells


def csv_file(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]], show: Formatter) -> bytes:
    """The table as a CSV file: UTF-8 with byte order mark, exact values, no formulas.

    Columns of money are followed by one with their currency.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    heads: list[str] = []
    for column in columns:
        heads.append(harmless(column.label))
        if column.kind == "money":
            heads.append(harmless(f"{column.label} ¤"))
    writer.writerow(heads)
    for row in rows:
        cells: list[str] = []
        for column in columns:
            cells.append(column.exported(row, show))
            if column.kind == "money":
                cells.append("" if row[column.name] is None else column.currency or "")
        writer.writerow(cells)
    return (BYTE_ORDER_MARK + out.getvalue()).encode("utf-8")
