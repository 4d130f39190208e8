"""What a reader sees of a query that takes long: what it reads, for how long, and a way to stop it."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard import address, queries, words
from dashboard.i18n import LANGUAGES, SOURCE_LANGUAGE, Text, text

STOPPED = "stopped-queries"
_run = threading.local()


class Stopped(Exception):
    """The reader stopped the query that this part of the page needs."""


def stop(key: Hashable) -> None:
    """Do not run the query of that key until it is asked for again."""
    st.session_state[STOPPED] = {*st.session_state.get(STOPPED, ()), key}


def resume() -> None:
    st.session_state.pop(STOPPED, None)


def has_reader() -> bool:
    """Whether this thread draws a page for somebody, and not a file in the background."""
    return get_script_run_ctx(suppress_warning=True) is not None


@contextmanager
def told_in(place: Any) -> Iterator[None]:
    """Within the block notices of this thread stand in `place`, else wherever the page has come to."""
    _run.place = place
    try:
        yield
    finally:
        del _run.place


@dataclass
class Waiting:
    """The notice on the page. `name` is that of the query.

    Each `beat` gives the server the chance to end this run, as a click on stop does.
    """

    name: str
    place: Any = None
    line: Any = None

    def before(self, key: Hashable) -> None:
        if key in st.session_state.get(STOPPED, ()):
            raise Stopped(self.name)

    def begin(self, key: Hashable) -> None:
        _ = _words().gettext
        self.place = getattr(_run, "place", st).empty()
        mark = f"waiting-{hash(key):x}"
        with self.place.container(horizontal=True, vertical_alignment="center", key=f"slow-{mark}"):
            self.line = st.empty()
            st.button(_("Cancel"), key=f"{mark}-stop", on_click=stop, args=(key,))

    def beat(self, seconds: float) -> None:
        text = _words()
        said = text.gettext("Still reading {what} from the warehouse: {seconds} s.")
        what = words.subject(text)(queries.subject_of(self.name))
        self.line.text(said.format(what=what, seconds=round(seconds)))

    def end(self) -> None:
        self.place.empty()


def _words() -> Text:
    return text(address.chosen("lang", list(LANGUAGES), SOURCE_LANGUAGE))
