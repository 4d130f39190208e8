"""Pages of a long list: which one the address asks for, and the choice of another."""

from __future__ import annotations

import re

import streamlit as st

from dashboard import address
from dashboard.view import View


def current(parameter: str, pages: int) -> int:
    """The page the address names under `parameter`, kept within what there is."""
    asked = address.read(parameter)
    return min(max(1, int(asked)), pages) if asked and re.fullmatch(r"[0-9]{1,6}", asked) else 1


def count(rows: int, size: int) -> int:
    """How many pages so many rows fill; at least one."""
    return max(1, -(-rows // size))


def choice(view: View, parameter: str, pages: int, page: int, resets: tuple[str, ...] = ()) -> None:
    """Draw the way to the other pages, where there are any: in words, and so in the digits of the reader.

    Turning the page takes away the parameters in `resets`.
    """
    if pages < 2:
        return
    _, show = view.text.gettext, view.show
    ways = [("first", _("First"), 1), ("back", _("Back"), page - 1)]
    further = [("next", _("Next"), page + 1), ("last", _("Last"), pages)]
    with st.container(horizontal=True, vertical_alignment="center", key=f"pages-{parameter}"):
        for name, label, to in ways:
            _way(parameter, name, label, to, page == 1, resets)
        st.text(_("Page {page} of {pages}").format(page=show.number(page), pages=show.number(pages)))
        for name, label, to in further:
            _way(parameter, name, label, to, page == pages, resets)


def _way(parameter: str, name: str, label: str, page: int, is_there: bool, resets: tuple[str, ...]) -> None:
    st.button(
        label,
        key=f"pages-{parameter}-{name}",
        on_click=_turn,
        args=(parameter, page, resets),
        disabled=is_there,
    )


def _turn(parameter: str, page: int, resets: tuple[str, ...]) -> None:
    address.write(parameter, str(page))
    address.clear(resets)
