"""What a reader takes away: every format, only where they may, and never without a line in the audit."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import fastexcel
import polars as pl
import pytest
import streamlit as st
from pypdf import PdfReader

from dashboard import export, snapshot
from dashboard.companies import companies
from dashboard.format import Formatter
from dashboard.i18n import text
from dashboard.pack import document, listing
from dashboard.people.reader import LOCAL, Reader
from dashboard.records import audit
from dashboard.records.database import Records, RecordsError
from dashboard.tables import Column
from dashboard.view import Published, View

NOW = datetime(2025, 4, 1, tzinfo=UTC)
ROWS = pl.DataFrame({"name": ["=1+1", "شركة"], "amount": [150, -50]})
COLUMNS = [Column("name", "Name"), Column("amount", "Amount", "money", currency="EUR")]


@pytest.fixture
def view(workspace: Path, tmp_path: Path) -> View:
    company = next(one for one in companies(workspace) if one.name == "lumen")
    opened = snapshot.published(company.folder)
    assert opened is not None
    return View(
        now=NOW,
        companies=(company,),
        company=company,
        text=text("en"),
        show=Formatter("en", {"EUR": 2}),
        published=Published(opened, snapshot.build_of(opened)),
        attempts=(),
        reader=LOCAL,
        records=Records(f"sqlite:///{tmp_path / 'app.db'}"),
    )


def offered(
    view: View, monkeypatch: pytest.MonkeyPatch, columns: Sequence[Column] = COLUMNS, **chosen: str
) -> dict[str, Callable[[], bytes]]:
    """The files a page offers: the name of each, and what makes it."""
    found: dict[str, Callable[[], bytes]] = {}

    def button(label: str, *, data: Callable[[], bytes], file_name: str, **other: Any) -> None:
        found[file_name] = data

    monkeypatch.setattr(st, "download_button", button)
    monkeypatch.setattr(st, "query_params", {"company": "lumen", "month": "2025-03", **chosen})
    assert view.published is not None
    export.download(view, "mrr", columns, lambda: ROWS, view.published, title="MRR by customer")
    return found


def test_all_formats_hold_the_same_rows(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    files = offered(view, monkeypatch)
    assert list(files) == [f"lumen-mrr-2025-03-31.{ending}" for ending in ("csv", "xlsx", "pdf")]
    rows = list(csv.reader(io.StringIO(files["lumen-mrr-2025-03-31.csv"]().decode("utf-8-sig"))))
    assert rows[1:] == [["'=1+1", "1.50", "EUR"], ["شركة", "-0.50", "EUR"]]
    book = fastexcel.read_excel(files["lumen-mrr-2025-03-31.xlsx"]())
    assert book.load_sheet(0).to_polars()["Amount"].to_list() == [1.5, -0.5]
    words = words_of(files["lumen-mrr-2025-03-31.pdf"]())
    for said in (
        "MRR by customer",
        "Data to March 31, 2025",
        "2 rows",
        "=1+1",
        "€1.50",
        "0.50",
        "Page 1 of 1",
    ):
        assert said in words


def words_of(pdf: bytes) -> str:
    """The words of a PDF, in one line, without marks that nobody sees."""
    pages = PdfReader(io.BytesIO(pdf)).pages
    seen = re.sub("[\u2060\u200b\u2066-\u2069]", "", " ".join(page.extract_text() for page in pages))
    return " ".join(seen.split())


def test_a_pdf_reads_from_the_right_in_arabic(view: View) -> None:
    arabic = replace(view, text=text("ar"), show=Formatter("ar", {"EUR": 2}))
    assert arabic.published is not None
    content = listing.content(arabic, arabic.published, "قائمة", COLUMNS, ROWS, NOW, is_part=False)
    assert (content["direction"], content["language"]) == ("rtl", "ar")
    assert "لومن" in content["company"]
    pdf, rows = listing.to_pdf(arabic, arabic.published, "قائمة", COLUMNS, ROWS, NOW)
    assert rows == 2
    fonts = [
        font.get_object()["/BaseFont"]
        for page in PdfReader(io.BytesIO(pdf)).pages
        for font in page["/Resources"]["/Font"].values()
    ]
    assert all("IBMPlexSansArabic" in name for name in fonts), fonts  # no sign was set in another font
    first, second = (words_of(pdf).find(said) for said in ("1.50", "0.50"))
    assert 0 < first < second


def test_a_pdf_of_a_long_list_holds_the_first_rows_and_says_so(
    view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert view.published is not None
    monkeypatch.setattr(listing, "MOST_ROWS", 3)
    rows = pl.DataFrame({"name": [f"Firm {number}" for number in range(5)], "amount": range(5)})
    pdf, count = listing.to_pdf(view, view.published, "Firms", COLUMNS, rows, NOW)
    assert count == 3
    words = words_of(pdf)
    assert "3 rows · These are the first rows. The CSV and XLSX files hold more." in words
    assert "Firm 2" in words
    assert "Firm 3" not in words
    assert "first rows" not in words_of(listing.to_pdf(view, view.published, "Firms", COLUMNS, ROWS, NOW)[0])


@pytest.mark.parametrize(("times", "paper"), [(1, "a4"), (4, "a3"), (7, "a2")])
def test_figures_stand_whole_on_their_line_and_the_sheet_fits_them(
    view: View, times: int, paper: str
) -> None:
    assert view.published is not None
    columns = [
        Column("name", "Customer"),
        Column("amount", "Amount", "money", currency="EUR"),
        Column("day", "Day", "day"),
    ]
    rows = pl.DataFrame(
        {"name": ["x" * 50], "amount": [-123_456_789_012], "day": [date(2025, 3, 31)]},
    )
    content = listing.content(view, view.published, "Firms", columns * times, rows, NOW, is_part=False)
    assert content["paper"] == paper
    name, amount, day = (re.sub("[\u2060\u2066-\u2069]", "", cell) for cell in content["cells"][:3])
    assert "\u200b" in name
    assert (amount, day) == ("−€1,234,567,890.12", "2025-03-31")
    width, rest = listing.SHEETS[paper], [one["points"] for one in content["columns"] if one["points"]]
    assert sum(rest) + times * (listing.SHORT * listing.LETTER + listing.INSETS) <= width - listing.MARGINS


def test_a_table_too_wide_for_paper_has_no_pdf(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = COLUMNS * (listing.MOST_COLUMNS // 2 + 1)
    assert [name.rsplit(".")[-1] for name in offered(view, monkeypatch, wide)] == ["csv", "xlsx"]


@pytest.mark.parametrize(
    "hostile",
    [
        "#set page(width: 1pt)",
        "$ x $ *b* @ref <l> `raw`",
        "x" * 10_000,
        "\u202egnp.exe\u202c",
        "a\x00\x1b[31m\ud800",
    ],
)
def test_a_hostile_name_is_only_words_in_a_pdf(view: View, hostile: str) -> None:
    assert view.published is not None
    content = listing.content(
        view, view.published, hostile, [Column("n", hostile)], pl.DataFrame({"n": [1]}), NOW, is_part=False
    )
    content["cells"] = [listing.own_order(listing.broken(listing.cell(Column("n", ""), hostile), 20))]
    pages = PdfReader(io.BytesIO(document.to_pdf(content, NOW, document.LIST))).pages
    assert len(pages) == 1
    assert not any(unicodedata.category(sign) in ("Cc", "Cs") for sign in content["cells"][0])
    assert "\u202e" not in content["cells"][0]


def test_a_file_that_is_taken_stands_in_the_audit_and_one_that_is_only_offered_does_not(
    view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = offered(view, monkeypatch)
    assert view.records is not None
    assert audit.lines(view.records) == []
    files["lumen-mrr-2025-03-31.xlsx"]()
    (line,) = audit.lines(view.records)
    assert (line["act"], line["recorded_by"], line["subject"]) == (
        "export",
        "local",
        "lumen-mrr-2025-03-31.xlsx",
    )
    assert json.loads(line["detail"]) == {"rows": 2, "company": "lumen", "month": "2025-03"}


def test_the_audit_counts_the_rows_of_a_file_whatever_the_address_calls_rows(
    view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = offered(view, monkeypatch, rows="net_cash")
    files["lumen-mrr-2025-03-31.csv"]()
    assert view.records is not None
    (line,) = audit.lines(view.records)
    assert json.loads(line["detail"])["rows"] == 2


def test_nobody_takes_a_file_that_could_not_be_noted(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Records("sqlite:////nowhere/at/all/app.db")
    files = offered(replace(view, records=broken), monkeypatch)
    with pytest.raises(RecordsError):
        files["lumen-mrr-2025-03-31.csv"]()


def test_a_reader_who_may_not_export_is_offered_no_file(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = Reader("x", "X", frozenset())
    assert offered(replace(view, reader=nobody), monkeypatch) == {}


def test_without_records_no_file_is_offered_and_nothing_goes_unnoted(
    view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offered(replace(view, records=None), monkeypatch) == {}
    with pytest.raises(RecordsError):
        audit.note(None, "local", datetime(2025, 4, 1, tzinfo=UTC), "export", "mrr.csv")


def test_the_audit_of_a_document_says_where_it_was_taken(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Callable[[], bytes]] = []
    monkeypatch.setattr(st, "download_button", lambda *_words, data, **_other: given.append(data))
    monkeypatch.setattr(st, "query_params", {"company": "lumen", "document": "INV-7"})
    offered = [export.File("PDF", "INV-7.pdf", "application/pdf", lambda: (b"%PDF", {}))]
    export.files(view, offered)
    monkeypatch.setattr(st, "query_params", {})  # it is made outside of any run of the page
    assert given[0]() == b"%PDF"
    assert view.records is not None
    (line,) = audit.lines(view.records)
    assert (line["subject"], json.loads(line["detail"])["document"]) == ("INV-7.pdf", "INV-7")
    given.clear()
    export.files(replace(view, records=None), offered)
    assert given == []
