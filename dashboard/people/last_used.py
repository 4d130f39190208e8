"""The filters a reader used last come back when they open the dashboard without asking for anything.

An address that names a company or a filter is a view somebody shared: it is shown as it stands.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime

import streamlit as st
from sqlalchemy import delete, insert, select

from dashboard import address
from dashboard.people.directory import LAST_USED
from dashboard.records.database import Records, RecordsError

PLACE = ("company", "lang")
PASSING = (*PLACE, "rows", "page", "age", "customer", "document")
"""What is not kept for a page: where one is, which rows are open, which customer or document is looked at."""
MOST_CHARACTERS = 2_000
EVERYWHERE = ("", "")
"""Where the company and the language are kept, which belong to no page of a company."""
logger = logging.getLogger(__name__)


def begin(people: Records, reader_id: str) -> bool:
    """On the first run of a session with a bare address: go to the company and the language used last.

    Answers whether the address has changed.
    """
    if "comes_back" in st.session_state:
        return False
    st.session_state["comes_back"] = len(st.query_params) == 0
    return st.session_state["comes_back"] and _put(read(people, reader_id, *EVERYWHERE), PLACE)


def arrive(people: Records, reader_id: str, company: str, page: str) -> bool:
    """On coming to a page: set the filters used there last, unless the address names some itself.

    What is carried from page to page comes back on the first page alone: on a later one it is what the reader
    has chosen meanwhile, also where that is all segments. Answers whether the address has changed.
    """
    before = st.session_state.get("page_shown")
    st.session_state["page_shown"] = page
    named = [name for name in st.query_params if name not in address.CARRIED]
    if before == page or named or not st.session_state.get("comes_back"):
        return False
    kept = read(people, reader_id, company, page)
    return _put({name: kept[name] for name in kept if before is None or name not in address.CARRIED}, None)


def opens_as_asked(page: str) -> None:
    """The next page is shown as its address says, whatever was used last there."""
    st.session_state["page_shown"] = page


def leave(people: Records, reader_id: str, at: datetime, company: str, page: str) -> None:
    """Keep what the page is set to, when it has changed. Never in the way: what cannot be kept is logged."""
    used = {name: st.query_params[name] for name in st.query_params if name not in PASSING}
    place = {name: st.query_params[name] for name in PLACE if name in st.query_params}
    now = (company, page, used, place)
    before = st.session_state.get("used")
    st.session_state["used"] = now
    if before == now or (before is None and not used and not place):
        return
    changed = {(company, page): used}
    if before is None or before[3] != place:
        changed[EVERYWHERE] = place
    try:
        write(people, reader_id, at, changed)
    except RecordsError:
        logger.warning("the filters used last are not kept", exc_info=True)


def read(people: Records, reader_id: str, company: str, page: str) -> dict[str, str]:
    """The parameters kept for a page; none where there are none, or where they cannot be read."""
    asked = select(LAST_USED.c.parameters).where(
        LAST_USED.c.reader_id == reader_id, LAST_USED.c.company == company, LAST_USED.c.page == page
    )
    try:
        rows = people.rows(asked)
        kept = json.loads(rows[0]["parameters"]) if rows else {}
    except (RecordsError, ValueError):
        logger.warning("the filters used last cannot be read", exc_info=True)
        return {}
    return {str(name): str(value) for name, value in kept.items()} if isinstance(kept, dict) else {}


def write(
    people: Records, reader_id: str, at: datetime, used: Mapping[tuple[str, str], Mapping[str, str]]
) -> None:
    """Keep the parameters of pages, by company and page. Raises RecordsError."""
    with people.transaction() as connection:
        for (company, page), parameters in used.items():
            text = json.dumps(parameters)
            if len(text) > MOST_CHARACTERS:
                continue
            key = {"reader_id": reader_id, "company": company, "page": page}
            which = [LAST_USED.c[name] == value for name, value in key.items()]
            connection.execute(delete(LAST_USED).where(*which))
            connection.execute(insert(LAST_USED).values(**key, parameters=text, recorded_at=at))


def _put(parameters: dict[str, str], names: tuple[str, ...] | None) -> bool:
    """Write parameters into the address that it does not name."""
    new = {
        name: value
        for name, value in parameters.items()
        if (names is None or name in names) and name not in st.query_params
    }
    for name, value in new.items():
        address.write(name, value)
    return bool(new)
