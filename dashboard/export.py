"""Rows as a file to take away: for readers who may, as CSV and as XLSX, each one noted in the audit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import polars as pl
import streamlit as st

from dashboard import tables, xlsx
from dashboard.records import audit
from dashboard.tables import Column
from dashboard.view import Published, View, clock

MIME = {"csv": "text/csv", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}


def download(
    view: View,
    name: str,
    columns: Sequence[Column],
    rows: Callable[[], pl.DataFrame],
    published: Published,
    *,
    place: str = "",
) -> None:
    """Buttons that give the rows as CSV and XLSX; nothing without records, or for a reader who may not.

    The rows are read when a button is pressed, and the audit then says who took which file, with how many
    rows and under which choices. `place` tells apart two places of a page that offer the same rows.
    """
    if not view.may("export") or view.records is None:
        return
    _ = view.text.gettext
    company = view.company.name if view.company else "company"
    chosen = dict(st.query_params)
    labels = {"csv": _("Export CSV"), "xlsx": _("Export XLSX")}

    def made(ending: str, file_name: str) -> Callable[[], bytes]:
        def make() -> bytes:
            frame = rows()
            detail = json.dumps({"rows": frame.height, **chosen}, ensure_ascii=False)
            audit.note(view.records, view.reader.reader_id, clock(), "export", file_name, detail)
            found = frame.iter_rows(named=True)
            if ending == "csv":
                return tables.csv_file(columns, found, view.show)
            return xlsx.file(columns, found, view.show, view.text.direction, name)

        return make

    with st.container(horizontal=True, key=f"export-{place}{name}"):
        for ending, mime in MIME.items():
            file_name = f"{company}-{name}-{published.build.as_of.isoformat()}.{ending}"
            st.download_button(
                labels[ending],
                data=made(ending, file_name),
                file_name=file_name,
                mime=mime,
                key=f"{ending}-{place}{name}",
                on_click="ignore",
            )
