"""Files to take away: for readers who may, each one noted in the audit; rows as CSV, as XLSX and as PDF."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import streamlit as st

from dashboard import tables, xlsx
from dashboard.pack import listing
from dashboard.records import audit
from dashboard.tables import Column
from dashboard.view import Published, View, clock

MIME = {
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}


@dataclass(frozen=True)
class File:
    """A file that a page offers. `make` gives its content, and what the audit says of it besides the choices
    of the page; of the same name it goes before them."""

    label: str
    name: str
    mime: str
    make: Callable[[], tuple[bytes, Mapping[str, object]]]
    key: str | None = None


def button(view: View, file: File) -> None:
    """A button that gives a file; nothing without records, or for a reader who may not export.

    It is made when the button is pressed, and given once the audit says who took it under which choices.
    """
    if not _may(view):
        return
    chosen = dict(st.query_params)

    def give() -> bytes:
        content, said = file.make()
        detail = json.dumps({**chosen, **said}, ensure_ascii=False)
        audit.note(view.records, view.reader.reader_id, clock(), "export", file.name, detail)
        return content

    st.download_button(
        file.label, data=give, file_name=file.name, mime=file.mime, key=file.key, on_click="ignore"
    )


def files(view: View, offered: Sequence[File], key: str | None = None) -> None:
    """Such buttons side by side."""
    if not _may(view):
        return
    with st.container(horizontal=True, key=key):
        for file in offered:
            button(view, file)


def download(
    view: View,
    name: str,
    columns: Sequence[Column],
    rows: Callable[[], pl.DataFrame],
    published: Published,
    *,
    title: str,
    place: str = "",
) -> None:
    """Buttons that give rows as CSV, XLSX and PDF; the audit says how many. They are read on pressing one.

    `title` is the head of the PDF, which is for reading: it holds the first rows, of a
    table that fits on paper (listing). `place` tells apart two places of a page that offer the same rows.
    """
    _ = view.text.gettext
    company = view.company.name if view.company else "company"
    labels = {"csv": _("Export CSV"), "xlsx": _("Export XLSX"), "pdf": _("Export PDF")}

    def made(ending: str) -> Callable[[], tuple[bytes, Mapping[str, object]]]:
        def make() -> tuple[bytes, Mapping[str, object]]:
            frame = rows()
            found = frame.iter_rows(named=True)
            if ending == "pdf":
                content, count = listing.to_pdf(view, published, title, columns, frame, clock())
                return content, {"rows": count}
            if ending == "csv":
                content = tables.csv_file(columns, found, view.show)
            else:
                content = xlsx.file(columns, found, view.show, view.text.direction, name, _("Data"))
            return content, {"rows": frame.height}

        return make

    offered = [
        File(
            labels[ending],
            f"{company}-{name}-{published.build.as_of.isoformat()}.{ending}",
            mime,
            made(ending),
            f"{ending}-{place}{name}",
        )
        for ending, mime in MIME.items()
        if ending != "pdf" or len(columns) <= listing.MOST_COLUMNS
    ]
    files(view, offered, f"export-{place}{name}")


def _may(view: View) -> bool:
    return view.may("export") and view.records is not None
