"""The button that gives the board pack of what is on the page."""

from __future__ import annotations

import json

import streamlit as st

from dashboard.pack import content, document
from dashboard.records import audit
from dashboard.view import Published, View


def button(view: View, published: Published) -> None:
    """Offer the board pack of the page's filters, to readers who may export; it is made when pressed."""
    if not view.may("export") or view.records is None:
        return
    company = view.company.name if view.company else "company"
    file_name = f"{company}-board-pack-{published.build.as_of.isoformat()}-{view.language}.pdf"
    chosen = dict(st.query_params)

    def make() -> bytes:
        made = document.to_pdf(content.content(view, chosen), view.now)
        detail = json.dumps(chosen, ensure_ascii=False)
        audit.note(view.records, view.reader.reader_id, view.now, "export", file_name, detail)
        return made

    st.download_button(
        view.text.gettext("Board pack (PDF)"),
        data=make,
        file_name=file_name,
        mime="application/pdf",
        key="board-pack",
        on_click="ignore",
    )
