"""What stands on a page in place of figures: nothing yet, nothing for this choice, or a part that failed."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st

from dashboard import address, keeping
from dashboard.records.database import NotLetIn
from dashboard.view import View, Withheld
from dashboard.waiting import Stopped, resume

logger = logging.getLogger(__name__)


def nothing_published(view: View) -> None:
    """What stands where figures would, when a company has none yet."""
    _ = view.text.gettext
    if view.company is None:
        st.info(_("There is no company yet. Build the sample companies, then reload this page:"))
        st.code("tajdid demo", language=None)
        return
    failed = view.failed_attempt
    if view.problem is not None:
        st.error(_("The published figures of this company cannot be read. Build its warehouse again:"))
        st.code(view.problem, language=None, wrap_lines=True)
    elif failed is not None:
        st.error(_("The first build of this company failed, so there are no figures yet."))
        st.code(f"{failed.step}\n{view.told_of(failed)}".strip(), language=None, wrap_lines=True)
    else:
        st.info(_("Nothing has been built for this company yet. Build its warehouse, then reload this page:"))
    st.code(f"tajdid warehouse build --company {view.company.name}", language=None)


def withheld(view: View) -> None:
    """What stands where figures would that the reader's roles do not include."""
    _ = view.text.gettext
    st.info(_("This part speaks of the whole company. Your role shows you your own accounts only."))


@contextmanager
def panel(view: View) -> Iterator[None]:
    """A part of a page that may fail alone: the rest stays, and the log has the reference shown."""
    _ = view.text.gettext
    try:
        yield
    except Withheld:
        withheld(view)
    except NotLetIn as error:
        st.error(keeping.why(view.text, error))
    except Stopped:
        st.info(_("You stopped the query that this part needs."))
        st.button(_("Run it again"), key=f"resume-{secrets.token_hex(4)}", on_click=resume)
    except Exception:
        reference = secrets.token_hex(4)
        logger.exception("panel failed, reference %s", reference)
        st.error(
            _(
                "This part could not be shown. The rest of the page is not affected. Reference: {reference}"
            ).format(reference=reference)
        )
        st.button(_("Try again"), key=f"retry-{reference}")


def empty(view: View, why: str, resets: Sequence[str] = ()) -> None:
    """Why there is nothing to see, and the one thing to do about it."""
    st.info(why)
    if resets:
        clear_filters(view, resets)


def clear_filters(view: View, resets: Sequence[str], key: str = "clear-filters") -> None:
    """A button that takes these filters out of the address; nothing where none of them is in it."""
    if any(address.read(name) is not None for name in resets):
        st.button(view.text.gettext("Clear the filters"), key=key, on_click=address.clear, args=(resets,))


def needs_source(view: View) -> None:
    """What a page of revenue says to a company that has no source of any."""
    _ = view.text.gettext
    empty(
        view, _("This company has neither subscriptions nor orders yet. Name a source in its company.toml.")
    )
