"""The bar of saved views: open one, save what is on the page, rename, share, delete, bring back.

A view is named by its reader; names are shown as values of widgets and as plain text only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from dashboard import keeping
from dashboard import report_words as words
from dashboard.digest import bar as mail
from dashboard.format import END_ISOLATE, ISOLATE_FIRST_STRONG
from dashboard.pack import button as pack
from dashboard.people import last_used
from dashboard.records import views
from dashboard.records.database import RecordsError
from dashboard.records.views import Refused, SavedView
from dashboard.view import View

UNDO, SAID, OPENS = "saved-view-undo", "saved-view-said", "saved-view-opens"


def bar(view: View, page: str) -> None:
    """The saved views of a page, with what can be done with them, and the e-mails about them.

    Nothing where the company's records cannot be used. Opening a view of another page leads there.
    """
    if view.records is None or view.published is None:
        return
    _ = view.text.gettext
    try:
        seen = views.seen_by(view.records, view.reader)
    except RecordsError:
        st.caption(_("Saved views cannot be read now."))
        return
    _follow(view)
    with st.container(horizontal=True, key="saved-views", vertical_alignment="bottom"):
        _choice(view, page, seen)
        with st.popover(_("Views"), key="views-menu", on_change="rerun") as menu:
            if menu.open:
                _menu(view, page, seen)
        mail.button(view, page, seen)
        if page == "revenue":
            pack.button(view, view.published)


def below(view: View) -> None:
    """What the bar opens below it: the reader's e-mails, and the way back from what was just done."""
    if view.records is None or view.published is None:
        return
    mail.own_list(view)
    _said(view)


def _choice(view: View, page: str, seen: list[SavedView]) -> None:
    """The list of views; the one whose filters the page has is the one chosen."""
    _ = view.text.gettext
    by_id = {one.view_id: one for one in seen}
    now = current(page, seen)
    st.session_state["saved-view"] = now.view_id if now else ""

    def shown(view_id: str) -> str:
        one = by_id.get(view_id)
        return label(view, one, page) if one else _("None")

    def changed() -> None:
        wanted = st.session_state["saved-view"]
        if wanted:
            st.session_state[OPENS] = wanted

    st.selectbox(_("Saved view"), ["", *by_id], key="saved-view", format_func=shown, on_change=changed)


def label(view: View, one: SavedView, page: str) -> str:
    """A view's name, whose it is, and its page where that is another one."""
    _ = view.text.gettext
    name = f"{ISOLATE_FIRST_STRONG}{one.name}{END_ISOLATE}"
    parts = [name] if one.page == page else [name, words.page(view.text)(one.page)]
    if one.is_team:
        parts.append(_("team"))
    return " · ".join(parts)


def current(page: str, seen: list[SavedView]) -> SavedView | None:
    """The view that the address shows, if it is one."""
    now = parameters()
    return next((one for one in seen if one.page == page and dict(one.parameters) == now), None)


def parameters() -> dict[str, str]:
    """The parameters of the address that a view keeps."""
    return {name: value for name, value in st.query_params.items() if name not in views.NOT_KEPT and value}


def _follow(view: View) -> None:
    """Open the view that was chosen, once; its page is checked against the reader's roles."""
    wanted = st.session_state.pop(OPENS, None)
    if wanted is None or view.records is None:
        return
    try:
        one = views.opened(view.records, view.reader, wanted)
    except Refused as refused:
        st.session_state[SAID] = words.view_refused(view.text)(refused.reason)
        return
    kept = {name: st.query_params[name] for name in ("company", "lang") if name in st.query_params}
    last_used.opens_as_asked(one.page)
    st.switch_page(f"screens/{one.page}.py", query_params={**kept, **one.parameters})


def _menu(view: View, page: str, seen: list[SavedView]) -> None:
    _ = view.text.gettext
    assert view.records is not None
    records, reader = view.records, view.reader
    st.text_input(_("Name of a new view"), key="new-view-name", max_chars=views.LONGEST_NAME)
    may_share = view.may("share_views")
    if may_share:
        st.checkbox(_("For the whole team"), key="new-view-team")
    here = parameters()

    def saved() -> None:
        name = st.session_state.get("new-view-name", "")
        is_team = bool(may_share and st.session_state.get("new-view-team"))
        if _done(view, lambda: views.save(records, view.now, reader, name, page, here, is_team)):
            st.session_state["new-view-name"] = ""
            st.session_state[SAID] = _("The view is saved.")

    st.button(_("Save this page as a view"), key="save-view", on_click=saved)
    own = [one for one in seen if one.owner_id == reader.reader_id or view.may("manage_people")]
    if own:
        st.divider()
        _change(view, page, own)
    gone = views.deleted(records, view.now, reader)
    if gone:
        st.divider()
        _bring_back(view, page, gone)


def _change(view: View, page: str, own: list[SavedView]) -> None:
    """Rename, share, replace or delete one of the reader's views."""
    _ = view.text.gettext
    assert view.records is not None
    records, reader, now = view.records, view.reader, view.now
    by_id = {one.view_id: one for one in own}
    here = current(page, own)
    chosen_id = st.selectbox(
        _("View to change"),
        list(by_id),
        index=list(by_id).index(here.view_id) if here else 0,
        format_func=lambda view_id: label(view, by_id[view_id], page),
        key="view-to-change",
    )
    chosen = by_id[chosen_id]
    st.text_input(
        _("Its name"), value=chosen.name, key=f"view-name-{chosen_id}", max_chars=views.LONGEST_NAME
    )

    def renamed() -> None:
        name = st.session_state.get(f"view-name-{chosen_id}", "")
        if _done(view, lambda: views.rename(records, now, reader, chosen_id, name)):
            st.session_state[SAID] = _("The view has its new name.")

    def shared() -> None:
        _done(view, lambda: views.share(records, now, reader, chosen_id, not chosen.is_team))

    def replaced() -> None:
        if _done(view, lambda: views.replace(records, now, reader, chosen_id, parameters())):
            st.session_state[SAID] = _("The view now stands for the filters of this page.")

    def deleted() -> None:
        if _done(view, lambda: views.delete(records, now, reader, chosen_id)):
            st.session_state[UNDO] = chosen

    with st.container(horizontal=True, key="change-view"):
        st.button(_("Rename"), key="rename-view", on_click=renamed)
        if chosen.is_team or view.may("share_views"):
            words_of = _("Keep for myself") if chosen.is_team else _("Share with the team")
            st.button(words_of, key="share-view", on_click=shared)
        if chosen.page == page and here != chosen:
            st.button(_("Take these filters"), key="replace-view", on_click=replaced)
        st.button(_("Delete"), key="delete-view", on_click=deleted)


def _bring_back(view: View, page: str, gone: list[SavedView]) -> None:
    _ = view.text.gettext
    by_id = {one.view_id: one for one in gone}
    wanted = st.selectbox(
        _("Deleted in the last 30 days"),
        list(by_id),
        format_func=lambda view_id: label(view, by_id[view_id], page),
        key="deleted-views",
    )
    st.button(_("Bring back"), key="restore-view", on_click=_restored, args=(view, wanted))


def _restored(view: View, view_id: str) -> None:
    assert view.records is not None
    records = view.records
    if _done(view, lambda: views.restore(records, view.now, view.reader, view_id)):
        st.session_state.pop(UNDO, None)
        st.session_state[SAID] = view.text.gettext("The view is back.")


def _done(view: View, act: Callable[[], Any]) -> bool:
    """Do it; what speaks against it is said to the reader."""
    try:
        act()
    except Refused as refused:
        st.session_state[SAID] = words.view_refused(view.text)(refused.reason)
    except RecordsError as error:
        keeping.refused(error)
    else:
        return True
    return False


def _said(view: View) -> None:
    """What came of the last act, and the way back from a deletion; both are gone at the next one."""
    _ = view.text.gettext
    said = st.session_state.pop(SAID, None)
    if said:
        st.toast(said)
    gone = st.session_state.get(UNDO)
    if gone is not None:
        with st.container(horizontal=True, key="undo", vertical_alignment="center"):
            st.text(_("Deleted: {name}").format(name=f"{ISOLATE_FIRST_STRONG}{gone.name}{END_ISOLATE}"))
            st.button(_("Undo"), key="undo-delete-view", on_click=_restored, args=(view, gone.view_id))
            st.button(
                _("Close"),
                key="close-undo",
                type="tertiary",
                on_click=lambda: st.session_state.pop(UNDO, None),
            )
