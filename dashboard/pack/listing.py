"""A list as PDF: the rows of a table as a reader sees them, set to be printed, in the direction of the page.

It is for reading: a file to work on is CSV or XLSX, which hold more rows.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from dashboard.format import END_ISOLATE, ISOLATE_FIRST_STRONG
from dashboard.pack import document
from dashboard.pack.document import plain
from dashboard.records.annotations import JOINERS
from dashboard.tables import NUMBERS, Column
from dashboard.view import Published, View

MOST_ROWS, MOST_CELLS = 2_000, 24_000
MOST_COLUMNS = 24
"""A list of more columns is no longer read on paper."""
SHEETS = {"a4": 842, "a3": 1191, "a2": 1684}
"""Length of a sheet's longer side, in points; a list is set on the smallest one that it fits on."""
MARGINS, INSETS, LETTER = 68, 7, 4.6
"""In points: of a page, of a cell, and the width of a digit, which is that of a broad letter."""
SHORT, LONG, MEASURED = 12, 28, 200
"""In letters: words up to so many are not broken, and a column gets no wider; how many rows are measured."""
_ONE_AT_A_TIME = threading.Lock()
"""A long list takes about 2 seconds and 400 MB to set: readers wait for each other."""
DIRECTIONS = "\u2066\u2067\u2068\u2069\u200e\u200f\u061c"


def to_pdf(
    view: View,
    published: Published,
    title: str,
    columns: Sequence[Column],
    rows: pl.DataFrame,
    made_at: datetime,
) -> tuple[bytes, int]:
    """The rows as PDF, and how many of them are in it."""
    shown = rows.head(min(MOST_ROWS, MOST_CELLS // max(1, len(columns))))
    pack = content(view, published, title, columns, shown, made_at, is_part=rows.height > shown.height)
    with _ONE_AT_A_TIME:
        return document.to_pdf(pack, made_at, document.LIST), shown.height


def content(
    view: View,
    published: Published,
    title: str,
    columns: Sequence[Column],
    rows: pl.DataFrame,
    made_at: datetime,
    *,
    is_part: bool,
) -> dict[str, Any]:
    """All that stands in the file. `is_part`: there are more rows than these."""
    _, show = view.text.gettext, view.show
    build = published.build
    cells = [
        [cell(column, column.shown(row, show)) for column in columns] for row in rows.iter_rows(named=True)
    ]
    paper, widths = layout(columns, cells)
    count = view.text.ngettext("{count} row", "{count} rows", rows.height)
    company = plain(view.company.title(view.language)) if view.company else ""
    lead = [
        company,
        _("Data to {as_of}, built {built}").format(
            as_of=show.day(build.as_of), built=show.instant(build.built_at)
        ),
        count.format(count=show.number(rows.height)),
    ]
    if is_part:
        lead.append(_("These are the first rows. The CSV and XLSX files hold more."))
    return {
        "language": view.language,
        "direction": view.text.direction,
        "paper": paper,
        "title": plain(title),
        "company": company,
        "lead": " · ".join(filter(None, lead)),
        "made": _("Made {when}").format(when=show.instant(made_at)),
        "page": _("Page {page} of {pages}"),
        "columns": [
            {
                "label": broken(plain(column.label), width.letters),
                "points": None if width.is_share else width.points,
                "share": width.letters,
                "number": column.kind in NUMBERS,
            }
            for column, width in zip(columns, widths, strict=True)
        ],
        "cells": [
            own_order(broken(words, width.letters))
            for line in cells
            for words, width in zip(line, widths, strict=True)
        ],
    }


@dataclass(frozen=True)
class Width:
    """How many letters of a line a column holds; `is_share`: of what is left, beside others like it."""

    letters: int
    is_share: bool

    @property
    def points(self) -> float:
        return self.letters * LETTER + INSETS


def layout(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> tuple[str, list[Width]]:
    """The sheet, and the width of each column. Figures, days and short words stand whole on their line, and
    longer texts share what is left."""
    whole = [
        max(
            min(max(map(len, column.label.split()), default=0), SHORT),
            *(len(visible(line[place])) for line in cells[:MEASURED]),
            3,
        )
        for place, column in enumerate(columns)
    ]
    shares = [
        most > SHORT and (column.kind in ("text", "id") or column.words is not None)
        for column, most in zip(columns, whole, strict=True)
    ]
    least = sum(SHORT if share else most for most, share in zip(whole, shares, strict=True))
    room = {paper: (side - MARGINS - INSETS * len(columns)) / LETTER for paper, side in SHEETS.items()}
    paper = next((one for one, letters in room.items() if letters >= least), "")
    if not paper:
        paper, shares = list(SHEETS)[-1], [True] * len(columns)
    left = room[paper] - sum(most for most, share in zip(whole, shares, strict=True) if not share)
    parts = sum(min(most, LONG) for most, share in zip(whole, shares, strict=True) if share) or 1
    return paper, [
        Width(max(3, int(left * min(most, LONG) / parts)) if share else most, share)
        for most, share in zip(whole, shares, strict=True)
    ]


def visible(words: str) -> str:
    """The letters of a text that take room."""
    return re.sub(f"[{DIRECTIONS}\u200b\u2060]", "", words)


def cell(column: Column, shown: str) -> str:
    """A cell's words on one line, not without end. What was formatted keeps its marks of direction."""
    if column.words is None and column.kind in ("text", "id"):
        return plain(shown)
    spaced = "".join(" " if sign in "\t\r\n" else sign for sign in shown)
    kept = (sign for sign in spaced if sign in JOINERS + DIRECTIONS or unicodedata.category(sign)[0] != "C")
    return "".join(kept)[: document.LONGEST]


def broken(words: str, letters: int) -> str:
    """Words that are longer than a line may end within themselves."""
    return re.sub(rf"([^\s\u200b]{{{letters}}})(?=[^\s\u200b])", "\\1\u200b", words)


def own_order(words: str) -> str:
    """A text in its own direction, full stop and all; no line ends between a sign and its amount."""
    return ISOLATE_FIRST_STRONG + words.replace("−", "−\u2060") + END_ISOLATE
