"""The button that gives the board pack of what is on the page."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard import export
from dashboard.pack import content, document
from dashboard.view import Published, View


def button(view: View, published: Published) -> None:
    """Offer the board pack of the page's filters, to readers who may export; it is made when pressed."""
    company = view.company.name if view.company else "company"
    chosen = dict(st.query_params)

    def make() -> tuple[bytes, Mapping[str, object]]:
        return document.to_pdf(content.content(view, chosen), view.now), {}

    export.button(
        view,
        export.File(
            view.text.gettext("Board pack"),
            f"{company}-board-pack-{published.build.as_of.isoformat()}-{view.language}.pdf",
            "application/pdf",
            make,
            "board-pack",
        ),
    )
