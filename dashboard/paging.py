"""Pages of a long list: which one the address asks for, and the choice of another."""

from __future__ import annotations

import re

import streamlit as st

from dashboard import address


def current(parameter: str, pages: int) -> int:
    """The page the address names under `parameter`, kept within what there is."""
    asked = address.read(parameter)
    return min(max(1, int(asked)), pages) if asked and re.fullmatch(r"[0-9]{1,6}", asked) else 1


def count(rows: int, size: int) -> int:
    """How many pages so many rows fill; at least one."""
    return max(1, -(-rows // size))


def choice(parameter: str, pages: int, page: int, resets: tuple[str, ...] = ()) -> None:
    """Draw the choice where there is one to make. Choosing takes away the parameters in `resets`."""
    if pages < 2:
        return
    key = f"pages-{parameter}"
    st.session_state[key] = page

    def changed() -> None:
        address.write(parameter, str(st.session_state[key]))
        address.clear(resets)

    st.pagination(pages, key=key, on_change=changed)
