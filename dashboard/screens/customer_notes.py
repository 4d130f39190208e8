"""Part of one customer's page: what was done about it, contacts and notes, and writing them; and what the CRM
logged."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import paging, words
from dashboard.queries import customer as queries
from dashboard.records import notes
from dashboard.records.database import Records
from dashboard.records.notes import NoteRefused
from dashboard.screens import acting
from dashboard.screens.customer_parts import PLACE, Shown, listing
from dashboard.tables import Column
from dashboard.view import View

NOTE_ROWS = 20
TRASH = "note-deleted"


def work(shown: Shown) -> None:
    """Act on the account, see what was done and what the CRM logged, and keep notes on it."""
    if shown.view.records is not None:
        _act(shown)
    _logged(shown)
    if shown.view.records is not None and shown.view.may("see_names"):
        _notes(shown, shown.view.records)


def _act(shown: Shown) -> None:
    view = shown.view
    _ = view.text.gettext
    st.subheader(_("Act on this account"), anchor=False)
    if shown.score is not None and shown.score["in_holdout"]:
        st.caption(_("This customer is in the comparison group: no contact is prompted by the score."))
    acting.panel(view, shown.published, [shown.account], PLACE)
    acting.history(view, shown.account, PLACE)


def _logged(shown: Shown) -> None:
    """Calls, meetings and what else the CRM knows of the account, newest first."""
    view = shown.view
    _ = view.text.gettext
    listing(
        shown,
        "customer-crm",
        _("Logged in the CRM"),
        queries.CRM_ACTIVITIES,
        [
            Column("happened_at", _("When"), "instant"),
            Column("kind", _("What"), words=words.crm_activity(view.text)),
            Column("account_id", _("CRM account"), "id"),
        ],
        parameter="crm",
    )


def _notes(shown: Shown, records: Records) -> None:
    st.subheader(shown.view.text.gettext("Notes"), anchor=False)
    _deleted(shown, records)
    _write(shown, records)
    _list(shown, records)


def _deleted(shown: Shown, records: Records) -> None:
    """The way back for a note that was just deleted."""
    view = shown.view
    _ = view.text.gettext
    gone = st.session_state.get(TRASH)
    if gone is None or gone["customer"] != shown.account.customer_id:
        return
    if not gone["is_told"]:
        gone["is_told"] = True
        st.toast(_("Note deleted."))
    with st.container(horizontal=True, vertical_alignment="center", key="undo-note"):
        st.text(_("Note deleted."))
        if st.button(_("Undo"), key="undo-note-button"):
            st.session_state.pop(TRASH)
            _kept(view, lambda: notes.restore(records, gone["note"], view.now, view.reader.reader_id))


def _write(shown: Shown, records: Records) -> None:
    view, customer_id = shown.view, shown.account.customer_id
    _ = view.text.gettext
    if not acting.may_write(view):
        return
    with st.form("note-new", clear_on_submit=True):
        body = st.text_area(_("New note"), max_chars=notes.BODY_LENGTH, height=80)
        pressed = st.form_submit_button(_("Save the note"))
    if pressed:
        _kept(view, lambda: notes.write(records, customer_id, body, view.now, view.reader.reader_id))


def _list(shown: Shown, records: Records) -> None:
    view = shown.view
    _ = view.text.gettext
    customer_id = shown.account.customer_id
    pages = paging.count(notes.count(records, customer_id), NOTE_ROWS)
    page = paging.current("notes", pages)
    found = notes.of(records, customer_id, NOTE_ROWS, (page - 1) * NOTE_ROWS)
    if not found:
        st.caption(_("There are no notes on this account yet."))
    for note in found:
        with st.container(border=True):
            _one(shown, records, note)
    paging.choice(view, "notes", pages, page)


def _one(shown: Shown, records: Records, note: dict[str, Any]) -> None:
    view, show = shown.view, shown.view.show
    _ = view.text.gettext
    key = note["note_id"]
    written = _("{who}, {when}").format(
        who=show.identifier(note["recorded_by"]), when=show.instant(note["written_at"])
    )
    if note["version_no"] > 1:
        edited = _("edited {when}, version {number}").format(
            when=show.instant(note["recorded_at"]), number=show.number(note["version_no"])
        )
        written = f"{written} · {edited}"
    st.text(note["body"])
    st.text(written)
    if not acting.may_write(view):
        return
    with st.expander(_("Edit")), st.form(f"note-edit-{key}-{note['version_no']}"):
        body = st.text_area(_("Note"), note["body"], max_chars=notes.BODY_LENGTH)
        pressed = st.form_submit_button(_("Save the new version"))
    if pressed:
        _kept(
            view,
            lambda: notes.edit(records, key, note["version_no"], body, view.now, view.reader.reader_id),
        )
    if st.button(_("Delete the note"), key=f"note-delete-{key}", type="tertiary"):
        st.session_state[TRASH] = {"note": key, "customer": shown.account.customer_id, "is_told": False}
        _kept(view, lambda: notes.delete(records, key, view.now, view.reader.reader_id))


def _kept(view: View, write: Any) -> None:
    """Write, and draw the page anew; what was refused is said above it."""
    try:
        write()
    except NoteRefused as refusal:
        st.session_state[acting.REFUSED] = refusal.code
    st.rerun()
