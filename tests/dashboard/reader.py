"""What tests of the dashboard share: the type of `open_page`, and how a page's marks are read."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from dashboard.people import permissions

Open = Callable[..., AppTest]
OF_THE_ENGINE = ("runs", "documents", "catalogue", "whatif")
FROM_THE_WAREHOUSE = tuple(page for page in permissions.PAGES if page not in OF_THE_ENGINE)


def badges(app: AppTest) -> list[str]:
    """The words of all badges on the page, with their colour."""
    return [mark.value for mark in app.markdown if "-badge[" in mark.value]


def html(app: AppTest) -> str:
    """All tables on the page."""
    return "\n".join(element.value for element in app.get("html"))
