"""What a reader takes away: both formats, only where they may, and never without a line in the audit."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastexcel
import polars as pl
import pytest
import streamlit as st

from dashboard import export, snapshot
from dashboard.companies import companies
from dashboard.format import Formatter
from dashboard.i18n import text
from dashboard.people.reader import LOCAL, Reader
from dashboard.records import audit
from dashboard.records.database import Records, RecordsError
from dashboard.tables import Column
from dashboard.view import Published, View

ROWS = pl.DataFrame({"name": ["=1+1", "شركة"], "amount": [150, -50]})
COLUMNS = [Column("name", "Name"), Column("amount", "Amount", "money", currency="EUR")]


@pytest.fixture
def view(workspace: Path, tmp_path: Path) -> View:
    company = next(one for one in companies(workspace) if one.name == "lumen")
    opened = snapshot.published(company.folder)
    assert opened is not None
    return View(
        now=datetime(2025, 4, 1, tzinfo=UTC),
        companies=(company,),
        company=company,
        text=text("en"),
        show=Formatter("en", {"EUR": 2}),
        published=Published(opened, snapshot.build_of(opened)),
        attempts=(),
        reader=LOCAL,
        records=Records(f"sqlite:///{tmp_path / 'app.db'}"),
    )


def offered(view: View, monkeypatch: pytest.MonkeyPatch, **chosen: str) -> dict[str, Callable[[], bytes]]:
    """The files a page offers: the name of each, and what makes it."""
    found: dict[str, Callable[[], bytes]] = {}

    def button(label: str, *, data: Callable[[], bytes], file_name: str, **other: Any) -> None:
        found[file_name] = data

    monkeypatch.setattr(st, "download_button", button)
    monkeypatch.setattr(st, "query_params", {"company": "lumen", "month": "2025-03", **chosen})
    assert view.published is not None
    export.download(view, "mrr", COLUMNS, lambda: ROWS, view.published)
    return found


def test_both_formats_hold_the_same_rows(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    files = offered(view, monkeypatch)
    assert list(files) == ["lumen-mrr-2025-03-31.csv", "lumen-mrr-2025-03-31.xlsx"]
    rows = list(csv.reader(io.StringIO(files["lumen-mrr-2025-03-31.csv"]().decode("utf-8-sig"))))
    assert rows[1:] == [["'=1+1", "1.50", "EUR"], ["شركة", "-0.50", "EUR"]]
    book = fastexcel.read_excel(files["lumen-mrr-2025-03-31.xlsx"]())
    assert book.load_sheet(0).to_polars()["Amount"].to_list() == [1.5, -0.5]


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
