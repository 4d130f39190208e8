"""What stands on a page before its figures do: empty boxes in the sizes that these will have.

The boxes stand below what is there already. Each part that is drawn takes the place of its box, so nothing
that can be read moves. They are drawn when a page is opened; later runs keep what stands there until it is
replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st

from dashboard import waiting
from dashboard.view import View

SLOT = "outline"
OUTLINED = "outlined-page"
CARDS, CHART, HALF, TABLE, HALF_TABLE = "cards", "chart", "half", "table", "half-table"
CHOICES = "choices"
PARTS = {CHOICES: (CHOICES,), CARDS: (CARDS,), CHART: (CHART, HALF), TABLE: (TABLE, HALF_TABLE)}
"""What is drawn, and the boxes that wait for it: a row of cards; a chart or a table, of the whole width or of
half. Before them all the row of choices."""
SUBSCRIPTIONS: Mapping[str, Sequence[str]] = {
    "revenue": (CARDS, CHART, HALF, HALF, HALF, HALF_TABLE, CARDS, CARDS),
    "retention": (CARDS, CHART, HALF, HALF),
    "cash": (CARDS, HALF, HALF, HALF, HALF, TABLE),
    "forecast": (CARDS, CHART, TABLE, CHART),
    "churn": (CARDS, TABLE, TABLE, TABLE, TABLE),
    "renewals": (CARDS, CHART, TABLE),
    "customer": (TABLE,),
    "health": (CARDS, TABLE, TABLE, TABLE),
    "metrics": (TABLE,),
}
ORDERS: Mapping[str, Sequence[str]] = {
    "revenue": (CARDS, CHART, HALF, HALF, HALF, HALF_TABLE),
    "retention": (CHART, HALF, HALF),
    "forecast": (CHART, TABLE),
    "churn": (CARDS, TABLE, TABLE),
    "health": (CARDS, TABLE, TABLE, TABLE),
    "metrics": (TABLE,),
    "opportunity": (CARDS, CHART, TABLE, TABLE),
}
ALWAYS: Mapping[str, Sequence[str]] = {
    "workbench": (TABLE,),
    "runs": (TABLE, CARDS, TABLE, TABLE),
    "documents": (CARDS, TABLE, TABLE),
    "catalogue": (CARDS, TABLE, TABLE),
}
"""Pages that look alike whatever a company sells; those of the engine need no warehouse."""
CELLS = 4
"""Cards of a row."""


@contextmanager
def around(view: View, page: str) -> Iterator[None]:
    """Draw a page within the block: its boxes first, where it was not drawn in this session just before.

    What takes long is told at the end of the page, where it moves nothing.
    """
    body, notices = st.container(), st.container()
    opened = (page, view.company.name if view.company else None)
    boxes: _Boxes | None = None
    if st.session_state.get(OUTLINED) != opened and view.company is not None:
        boxes = view.slots[SLOT] = _Boxes(st.empty(), _boxes_of(view, page))
        boxes.show()
    with waiting.told_in(notices), body:
        yield
    if boxes is not None:
        boxes.clear()
    st.session_state[OUTLINED] = opened


def _boxes_of(view: View, page: str) -> list[str]:
    if view.published is None:
        return list(ALWAYS.get(page, ()))
    of_page = SUBSCRIPTIONS if view.published.build.has_subscriptions else ORDERS
    return [CHOICES, *of_page.get(page, ALWAYS.get(page, ()))]


def drawn(view: View, part: str, count: int = 1) -> None:
    """Say that a part of the page stands: the first boxes that waited for such go."""
    boxes: _Boxes | None = view.slots.get(SLOT)
    if boxes is not None:
        boxes.drawn(part, count)


class _Boxes:
    """The boxes that are left, in one place of the page."""

    def __init__(self, place: Any, left: list[str]) -> None:
        self._place, self._left = place, left

    def show(self) -> None:
        if self._left:
            self._place.html(html(self._left))
        else:
            self._place.empty()

    def drawn(self, part: str, count: int) -> None:
        for _ in range(count):
            found = next((box for box in self._left if box in PARTS[part]), None)
            if found is None:
                return
            self._left.remove(found)
        self.show()

    def clear(self) -> None:
        self._left.clear()
        self.show()


def html(boxes: Sequence[str]) -> str:
    """Boxes as HTML of constants alone; readers who cannot see them are told by the server that it works."""
    cells = "".join(
        f'<div class="tj-box tj-box-{box}"></div>' * (CELLS if box == CARDS else 1) for box in boxes
    )
    return f'<div class="tj-outline" aria-hidden="true">{cells}</div>'
