"""The dashboard's entry: `streamlit run dashboard/app.py`. Page settings, style, direction, navigation."""

from __future__ import annotations

import gc
from pathlib import Path

import streamlit as st

from dashboard import frame, theme
from dashboard.view import open_view

# Not called `pages`: a folder of that name would make the server run a page without this entry when the first
# request of a process names it.
PAGES = Path(__file__).parent / "screens"


@st.cache_resource(show_spinner=False)
def warm_up() -> None:
    """Once a process, after the first page has been drawn: what is loaded by then is never collected again.

    Streamlit collects garbage after each run; going through all imported modules costs more than a page.
    """
    gc.collect()
    gc.freeze()


def main() -> None:
    view = open_view()
    _ = view.text.gettext
    st.set_page_config(page_title=_("Tajdid"), page_icon=str(theme.ICON), layout="wide")
    st.html(theme.STYLE)
    if view.text.is_right_to_left:
        st.html(theme.STYLE_RIGHT_TO_LEFT)
    st.html(theme.SCRIPT[view.text.direction], unsafe_allow_javascript=True)
    titles = {
        "revenue": _("Revenue overview"),
        "retention": _("Retention and cohorts"),
        "churn": _("Churn risk"),
        "health": _("Data health"),
        "opportunity": _("Subscription opportunity"),
    }
    groups = [
        (_("Executives"), ["revenue", "retention"]),
        (_("Customer success"), ["churn"]),
        (_("Analysts"), ["health"]),
        (_("Growth"), ["opportunity"]),
    ]
    pages = {
        name: st.Page(PAGES / f"{name}.py", title=title, url_path=name, default=name == "revenue")
        for name, title in titles.items()
    }
    page = st.navigation(list(pages.values()), position="hidden")
    frame.sidebar(view, [(title, [(pages[name], titles[name]) for name in names]) for title, names in groups])
    page.run()
    warm_up()


main()
