"""Notes on dates: numbered lines on every chart over time, their words below it, and where they are written.

Words of people never enter a chart, only their numbers do: below it they stand as plain text.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any, Literal

import polars as pl
import streamlit as st

from dashboard import frame, keeping
from dashboard.charts import Mark
from dashboard.format import END_ISOLATE, ISOLATE_FIRST_STRONG
from dashboard.records import annotations as written
from dashboard.records.annotations import Annotation, Refused
from dashboard.records.database import RecordsError
from dashboard.tables import Column
from dashboard.view import Published, View
from dashboard.words import note_refused

SHOWN_NOTES = 30
Each = Literal["month", "week", "day"]
"""What one place of an axis of time stands for; its day is the first of it."""
NOTES = "notes-on-dates"
logger = logging.getLogger(__name__)


def notes(view: View) -> list[tuple[str, Annotation]]:
    """The notes of a company by date, each with its number, read once a page; none where they cannot be."""
    if NOTES not in view.slots:
        try:
            found = written.live(view.records)
        except RecordsError:
            logger.warning("notes on dates cannot be read", exc_info=True)
            found = []
        view.slots[NOTES] = [(view.show.number(place), note) for place, note in enumerate(found, start=1)]
    return list(view.slots[NOTES])


def first_day(day: date, each: Each) -> date:
    """The first day of the month, of the week (its Monday) or of the day that a day lies in."""
    return {"month": day.replace(day=1), "week": day - timedelta(days=day.weekday()), "day": day}[each]


def seen(view: View, days: Sequence[date], each: Each = "month") -> list[tuple[str, str, Annotation]]:
    """The notes that fall on an axis of months, weeks or days, each by its first day: number, place, note."""
    places = {day: view.show.month(day) if each == "month" else view.show.day_short(day) for day in days}
    found = []
    for number, note in notes(view):
        day = first_day(note.happened_on, each)
        if day in places:
            found.append((number, places[day], note))
    return found[-SHOWN_NOTES:]


def chart(
    view: View,
    published: Published,
    name: str,
    title: str,
    days: Sequence[date],
    draw: Callable[[Sequence[Mark]], Any],
    description: str,
    columns: Sequence[Column],
    rows: pl.DataFrame,
    help: str | None = None,
    *,
    each: Each = "month",
    **source: Any,
) -> None:
    """A chart over time with its notes. `days` are the places of its axis; `draw` is given the marks on them.

    `source` is what frame.chart takes to say where its values come from.
    """
    shown = seen(view, days, each)
    marks = [Mark(place, number) for number, place, _note in shown]
    frame.chart(view, published, name, title, lambda: draw(marks), description, columns, rows, help, **source)
    if shown and not rows.is_empty():
        with st.container(key=f"notes-{name}", gap="xxsmall"):
            for number, _place, note in shown:
                st.text(_line(view, number, note))


def _line(view: View, number: str, note: Annotation) -> str:
    """A note in words, each part of people's own in its own direction."""
    return view.text.gettext("{number}: {day}, {words} ({author})").format(
        number=number,
        day=view.show.day(note.happened_on),
        words=isolated(note.words),
        author=isolated(note.author),
    )


def isolated(words: str) -> str:
    return f"{ISOLATE_FIRST_STRONG}{words}{END_ISOLATE}"


def editor(view: View) -> None:
    """All notes, and where those who may write and delete them."""
    _ = view.text.gettext
    if view.records is None:
        return
    title = _("Notes on dates: what happened, on all charts over time")
    box = st.expander(title, key="notes-on-dates", on_change="rerun")
    if not box.open:
        return
    with box, frame.panel(view):
        found = notes(view)
        if not found:
            st.caption(_("There is no note yet."))
        may_write = view.may("write_targets")
        for number, note in found:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.text(_line(view, number, note))
                if may_write:
                    st.button(
                        _("Delete note {number}").format(number=number),
                        key=f"note-delete-{note.annotation_id}",
                        type="tertiary",
                        on_click=_delete,
                        args=(view, note),
                    )
        if may_write:
            _bring_back(view)
            _form(view)
        else:
            st.caption(_("Your role reads notes and does not write them."))


def _delete(view: View, note: Annotation) -> None:
    assert view.records is not None
    with keeping.written():
        written.remove(view.records, view.now, view.reader.reader_id, note.annotation_id)
        st.toast(view.text.gettext("The note is deleted. It can be brought back for 30 days."))


def _restore(view: View, note: Annotation) -> None:
    assert view.records is not None
    with keeping.written():
        written.restore(view.records, note.annotation_id)


def _bring_back(view: View) -> None:
    _ = view.text.gettext
    assert view.records is not None
    for note in written.deleted(view.records, view.now):
        with st.container(horizontal=True, vertical_alignment="center"):
            said = _("Deleted: {day}, {words}")
            st.text(said.format(day=view.show.day(note.happened_on), words=isolated(note.words)))
            st.button(
                _("Undo"),
                key=f"note-undo-{note.annotation_id}",
                type="tertiary",
                on_click=_restore,
                args=(view, note),
            )


def _form(view: View) -> None:
    _ = view.text.gettext
    assert view.records is not None
    with st.form("note-form", border=False):
        day = st.date_input(
            _("Day"),
            value=view.as_of,
            min_value=written.FIRST_DAY,
            max_value=written.LAST_DAY,
            format="YYYY-MM-DD",
            key="note-day",
        )
        words = st.text_input(_("What happened"), key="note-words", max_chars=written.LONGEST)
        is_sent = st.form_submit_button(_("Write the note"))
    if is_sent:
        _write(view, day, words)


def _write(view: View, day: object, words: str) -> None:
    assert view.records is not None
    reader = view.reader
    try:
        chosen = day if isinstance(day, date) else None
        written.write(view.records, view.now, reader.reader_id, reader.name, chosen, words)
    except Refused as refused:
        st.error(note_refused(view.text, refused.reason))
        return
    st.rerun()
