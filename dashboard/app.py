"""The dashboard's entry: `streamlit run dashboard/app.py`. Page settings, style, direction, navigation."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from dashboard import address, frame, keeping, outline, theme, words
from dashboard.i18n import Text
from dashboard.people import door, last_used, permissions
from dashboard.people.directory import open_people
from dashboard.people.scope import scope_of
from dashboard.records.database import Records
from dashboard.view import View, new_view, shared

# Not called `pages`: a folder of that name would make the server run a page without this entry when the first
# request of a process names it.
PAGES = Path(__file__).parent / "screens"
VISITOR = "visitor"


@st.cache_resource(show_spinner=False)
def warm_up() -> None:
    """Once a process, after the first page has been drawn: what is loaded by then is never collected again.

    Streamlit collects garbage after each run; going through all imported modules costs more than a page.
    """
    gc.collect()
    gc.freeze()


def groups_of(text: Text) -> dict[str, str]:
    """The names of permissions.GROUPS."""
    _ = text.gettext
    return {
        "executives": _("Executives"),
        "success": _("Customer success"),
        "analysts": _("Analysts"),
        "growth": _("Growth"),
        "billing": _("Billing"),
    }


def main() -> None:
    view = opened_view()
    _ = view.text.gettext
    st.set_page_config(page_title=_("Tajdid"), page_icon=theme.ICON, layout="wide")
    st.html(theme.STYLE)
    if view.text.is_right_to_left:
        st.html(theme.STYLE_RIGHT_TO_LEFT)
    st.html(theme.SCRIPT[view.text.direction], unsafe_allow_javascript=True)
    titles = words.page_titles(view.text)
    first = permissions.landing_of(view.reader.roles) or next(iter(titles))
    pages = {
        name: st.Page(_content(view, name, title), title=title, url_path=name)
        for name, title in titles.items()
    }
    address.offer({name: page.url_path for name, page in pages.items() if view.may_open(name)}, first)
    # The first page once more, for an address without a page: the default has no path of its own.
    content = _content(view, first, titles[first])
    landing = st.Page(content, title=titles[first], url_path="home", default=True)
    page = st.navigation([*pages.values(), landing], position="hidden")
    name = first if page == landing else page.url_path
    if view.visit.door is not None:
        door.closed(view.text, view.visit, page.url_path)
        return
    if page == landing:
        pages[first] = landing  # so that the list shows where one is
    names = groups_of(view.text)
    listed = {
        group: [(pages[one], titles[one]) for one in members if view.may_open(one)]
        for group, members in permissions.GROUPS.items()
    }
    with kept_filters(view, name) as view, shared(view), address.read_once():
        frame.sidebar(view, [(names[group], links) for group, links in listed.items() if links])
        door.leaving(view.text, view.visit)
        with outline.around(view, name), frame.panel(view):
            page.run()
            nothing_own(view)
    warm_up()


def nothing_own(view: View) -> None:
    """Why the pages are empty, for a reader who sees only their own accounts and has none here."""
    if view.published is not None and scope_of(view.reader).only_own and not view.published.has_accounts:
        st.info(
            view.text.gettext(
                "None of this company's accounts names you as its owner or success manager, so there is "
                "nothing of it for you to see."
            )
        )


def opened_view() -> View:
    """The view; at the start of a session without an address of its own, where its reader was last."""
    view = new_view()
    forget_another(view)
    people = people_of(view)
    if people is not None and last_used.begin(people, view.visit.reader_id):
        return new_view()
    return view


def forget_another(view: View) -> None:
    """Keep nothing of the page for another reader, or for one who may see something else by now.

    A browser that comes back to an open page may have signed in as somebody else in the meantime.
    """
    now = (view.visit.key, view.visit.person)
    before = st.session_state.get(VISITOR, now)
    if before != now and before[0] == now[0]:
        keeping.forget_all_but_why()
    elif before != now:
        st.session_state.clear()
    st.session_state[VISITOR] = now


@contextmanager
def kept_filters(view: View, page: str) -> Iterator[View]:
    """Bring back the filters used last on a page, and keep those that it is left with.

    Gives the view that the page then has.
    """
    people, company = people_of(view), view.company.name if view.company else None
    if people is None or company is None:
        yield view
        return
    yield new_view() if last_used.arrive(people, view.visit.reader_id, company, page) else view
    last_used.leave(people, view.visit.reader_id, view.now, company, page)


def people_of(view: View) -> Records | None:
    """Where people and what they used last are kept; None where nobody is let in."""
    settings = view.visit.settings
    return open_people(settings.people_url) if view.visit.door is None and settings is not None else None


def _content(view: View, name: str, title: str) -> Path | Callable[[], None]:
    return PAGES / f"{name}.py" if view.may_open(name) else _refusal(view, title)


def _refusal(view: View, title: str) -> Callable[[], None]:
    """The page of that title, for a reader whose roles do not open it."""
    _ = view.text.gettext

    def refused() -> None:
        st.title(title, anchor=False)
        st.info(_("Your role does not include this page. Choose another one from the list."))

    return refused


main()
