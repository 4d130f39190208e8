"""What becomes of what a reader writes by a button that acts before the page is drawn anew.

Whether the reader still may is decided where it is written (records.database.Guarded), at that moment. Here
what was refused is kept for the drawing that follows, which says it in a sentence.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from dashboard.i18n import Text
from dashboard.records.database import NotLetIn, RecordsError

REFUSED = "keeping-refused"
logger = logging.getLogger(__name__)


def why(text: Text, error: RecordsError) -> str:
    """Why something was not kept, in a sentence for its reader."""
    if isinstance(error, NotLetIn):
        return text.gettext(
            "Your access has changed since this page was drawn, so nothing was written. The page now shows "
            "what you may do."
        )
    return text.gettext("This could not be kept now. Please try again.")


@contextmanager
def written() -> Iterator[None]:
    """What is written within; where it cannot be, the block ends there and the next drawing says why."""
    try:
        yield
    except RecordsError as error:
        refused(error)


def refused(error: RecordsError) -> None:
    """Have the next drawing say why something was not kept."""
    logger.warning("not kept: %s", error)
    st.session_state[REFUSED] = error


def forget_all_but_why() -> None:
    """Forget what the page held for whoever it was drawn for, but for what their last act met with."""
    error = st.session_state.get(REFUSED)
    st.session_state.clear()
    if error is not None:
        st.session_state[REFUSED] = error


def tell(text: Text) -> None:
    """Say why what was written before this drawing was not kept."""
    error = st.session_state.pop(REFUSED, None)
    if error is not None:
        st.error(why(text, error))
