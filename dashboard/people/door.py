"""What somebody sees who may not see the figures, and how a reader leaves."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from html import escape
from urllib.parse import urlencode

import streamlit as st

from dashboard.i18n import Text
from dashboard.people import session
from dashboard.people.session import Door, Visit
from dashboard.people.settings import SignIn
from dashboard.records.database import RecordsError

SIGN_IN = "sign-in"


logger = logging.getLogger(__name__)


def closed(text: Text, visit: Visit, page: str) -> None:
    """Why nothing is shown, with the one thing to do about it. `page` is where the reader wanted to go."""
    _ = text.gettext
    st.title(_("Tajdid"), anchor=False)
    words = {
        Door.SIGN_IN: _("Sign in to see the figures."),
        Door.ENDED: _("Your session has ended. Sign in again."),
        Door.NO_ACCESS: _(
            "You are signed in, but you have no role in any company here. Ask whoever looks after this "
            "dashboard."
        ),
        Door.UNAVAILABLE: _("Nobody can sign in just now. Try again in a minute."),
        Door.MISCONFIGURED: _(
            "The settings of sign-in cannot be used, so nothing is shown. Ask whoever looks after this "
            "dashboard."
        ),
        Door.EXPOSED: _(
            "This dashboard has no sign-in but can be reached from other machines, so nothing is shown. Set "
            "up sign-in, or serve it on this machine only."
        ),
    }
    door = visit.door or Door.NO_ACCESS
    (st.info if door in (Door.SIGN_IN, Door.ENDED) else st.warning)(words[door])
    if door in (Door.SIGN_IN, Door.ENDED) and visit.settings is not None:
        _way_in(text, visit.settings, page)
    elif door == Door.NO_ACCESS:
        st.button(_("Sign out"), key="sign-out", on_click=_leave, args=(visit,))


def _way_in(text: Text, settings: SignIn, page: str) -> None:
    label = text.gettext("Sign in")
    if settings.kind == "oidc":
        st.button(label, key="sign-in", type="primary", on_click=st.login)
        return
    target = "/" + page + ("?" + urlencode(dict(st.query_params)) if len(st.query_params) else "")
    address = f"{SIGN_IN}?{urlencode({'lang': text.language, 'next': target})}"
    st.html(f'<a class="tj-sign-in" href="{escape(address)}" target="_self">{escape(label)}</a>')


def leaving(text: Text, visit: Visit) -> None:
    """Who is signed in, and the button to leave. Nothing where nobody signs in."""
    if visit.person is None:
        return
    with st.sidebar, st.container(key="reader"):
        st.text(visit.person.name)
        if st.session_state.get("could_not_leave"):
            st.warning(text.gettext("Your session could not be ended. Try again in a minute."))
        st.button(text.gettext("Sign out"), key="sign-out", on_click=_leave, args=(visit,), type="tertiary")


def _leave(visit: Visit) -> None:
    try:
        session.sign_out(visit, datetime.now(UTC))
    except RecordsError:
        logger.exception("a session could not be ended")
        st.session_state["could_not_leave"] = True
    else:
        st.session_state.pop("could_not_leave", None)
