"""Saved views: a page with its filters under a name, for oneself or for the team.

A view is its page and the parameters of its address; what it shows is read anew, in the scope of whoever
opens it. A view that was deleted can be brought back for 30 days. Whatever shows a view to the team, or no
longer does, is noted in the audit.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    String,
    Table,
    Text,
    and_,
    func,
    insert,
    or_,
    select,
    update,
)

from dashboard.people.permissions import PAGES
from dashboard.people.reader import Reader
from dashboard.records import audit
from dashboard.records.annotations import readable
from dashboard.records.database import METADATA, Instant, Records, recorded

LONGEST_NAME = 80
MOST_VIEWS = 200
"""Views that one reader may have."""
LONGEST_VALUE, MOST_PARAMETERS = 300, 30
KEPT_FOR = timedelta(days=30)
"""How long a view that was deleted can be brought back."""
NOT_KEPT = frozenset({"company", "lang", "digits", "rows", "page", "age", "mail"})
"""Parameters of the reader or of the moment, not of the view."""
PARAMETER = re.compile("[a-z][a-z0-9_]{0,39}")
SHARED = "shared with the team"

VIEWS = Table(
    "saved_views",
    METADATA,
    Column("view_id", String(16), primary_key=True),
    Column("name", String(LONGEST_NAME), nullable=False),
    Column("page", String(40), nullable=False),
    Column("parameters", Text, nullable=False),
    Column("is_team", Boolean, nullable=False),
    Column("owner_name", String(200), nullable=False),
    Column("changed_at", Instant, nullable=False),
    *recorded(),
)


class Refused(Exception):
    """A view is not saved, changed or opened. `reason` is a code that words.view_refused says to the reader:
    no_name, too_long, too_many, too_much, no_page, not_there, not_yours, may_not_share, too_late."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class SavedView:
    """One view, as its reader may see it. `owner_id` is the reader who saved it."""

    view_id: str
    name: str
    page: str
    parameters: Mapping[str, str]
    is_team: bool
    owner_id: str
    owner_name: str
    deleted_at: datetime | None = None


def save(
    records: Records,
    at: datetime,
    reader: Reader,
    name: str,
    page: str,
    parameters: Mapping[str, str],
    is_team: bool = False,
) -> SavedView:
    """Keep a view under a name. Raises Refused."""
    if page not in PAGES or not reader.may_open(page):
        raise Refused("no_page")
    if is_team and not reader.may("share_views"):
        raise Refused("may_not_share")
    row = {
        "view_id": secrets.token_hex(8),
        "name": _name(name),
        "page": page,
        "parameters": _kept(parameters),
        "is_team": is_team,
        "owner_name": readable(reader.name)[:200] or reader.reader_id,
        "changed_at": at,
        "recorded_at": at,
        "recorded_by": reader.reader_id,
        "deleted_at": None,
        "deleted_by": None,
    }
    with records.transaction() as connection:
        own = select(func.count()).where(
            VIEWS.c.recorded_by == reader.reader_id, VIEWS.c.deleted_at.is_(None)
        )
        if (connection.scalar(own) or 0) >= MOST_VIEWS:
            raise Refused("too_many")
        connection.execute(insert(VIEWS).values(row))
        if is_team:
            _note(connection, at, reader, _view(row), SHARED)
    return _view(row)


def rename(records: Records, at: datetime, reader: Reader, view_id: str, name: str) -> None:
    """Give a view another name. Raises Refused."""
    _change(records, at, reader, view_id, {"name": _name(name), "changed_at": at})


def share(records: Records, at: datetime, reader: Reader, view_id: str, is_team: bool) -> None:
    """Show a view to the team, or to oneself alone again. Raises Refused."""
    if is_team and not reader.may("share_views"):
        raise Refused("may_not_share")
    told = SHARED if is_team else "no longer shared"
    _change(records, at, reader, view_id, {"is_team": is_team, "changed_at": at}, told)


def replace(
    records: Records, at: datetime, reader: Reader, view_id: str, parameters: Mapping[str, str]
) -> None:
    """Let a view stand for other filters. Raises Refused."""
    _change(records, at, reader, view_id, {"parameters": _kept(parameters), "changed_at": at})


def delete(records: Records, at: datetime, reader: Reader, view_id: str) -> None:
    """Take a view off the list; `restore` brings it back. Raises Refused."""
    gone = {"deleted_at": at, "deleted_by": reader.reader_id}
    _change(records, at, reader, view_id, gone, "deleted")


def restore(records: Records, at: datetime, reader: Reader, view_id: str) -> None:
    """Bring a deleted view back. Raises Refused: too_late after 30 days."""
    found = _one(records, view_id)
    if found is None or not _may_change(reader, found):
        raise Refused("not_there")
    if found.deleted_at is not None and at - found.deleted_at > KEPT_FOR:
        raise Refused("too_late")
    with records.transaction() as connection:
        connection.execute(
            update(VIEWS).where(VIEWS.c.view_id == view_id).values(deleted_at=None, deleted_by=None)
        )
        if found.is_team:
            _note(connection, at, reader, found, "brought back")


def seen_by(records: Records | None, reader: Reader) -> list[SavedView]:
    """A reader's own views and those of the team, of pages that their roles open, by name."""
    if records is None:
        return []
    asked = select(VIEWS).where(
        VIEWS.c.deleted_at.is_(None), or_(VIEWS.c.is_team, VIEWS.c.recorded_by == reader.reader_id)
    )
    found = [_view(row) for row in records.rows(asked)]
    return sorted(
        (one for one in found if reader.may_open(one.page)),
        key=lambda one: (one.name.casefold(), one.view_id),
    )


def opened(records: Records, reader: Reader, view_id: str) -> SavedView:
    """A view that a reader wants to see. Raises Refused: not_there; no_page for a page not theirs."""
    found = _one(records, view_id)
    if found is None or found.deleted_at is not None or not (found.is_team or _is_own(reader, found)):
        raise Refused("not_there")
    if not reader.may_open(found.page):
        raise Refused("no_page")
    return found


def deleted(records: Records, at: datetime, reader: Reader) -> list[SavedView]:
    """The reader's views that can still be brought back, the last deleted first."""
    asked = select(VIEWS).where(
        and_(VIEWS.c.recorded_by == reader.reader_id, VIEWS.c.deleted_at > at - KEPT_FOR)
    )
    return [_view(row) for row in records.rows(asked.order_by(VIEWS.c.deleted_at.desc()))]


def _change(
    records: Records,
    at: datetime,
    reader: Reader,
    view_id: str,
    values: Mapping[str, object],
    told: str | None = None,
) -> None:
    """Change a view that is there. `told`: what the audit says of it, where it is, or becomes, the team's."""
    found = _one(records, view_id)
    if found is None or found.deleted_at is not None:
        raise Refused("not_there")
    if not _may_change(reader, found):
        raise Refused("not_yours" if found.is_team else "not_there")
    with records.transaction() as connection:
        connection.execute(
            update(VIEWS).where(VIEWS.c.view_id == view_id, VIEWS.c.deleted_at.is_(None)).values(values)
        )
        if told is not None and (found.is_team or values.get("is_team")):
            _note(connection, at, reader, found, told)


def _note(connection: Connection, at: datetime, reader: Reader, view: SavedView, told: str) -> None:
    what = {"view_id": view.view_id, "done": told, "page": view.page, "choices": dict(view.parameters)}
    detail = json.dumps(what, ensure_ascii=False)
    audit.note_within(connection, reader.reader_id, at, "share", f"view {view.name}", detail)


def _may_change(reader: Reader, view: SavedView) -> bool:
    """One's own views; those of the team also whoever looks after people."""
    return _is_own(reader, view) or (view.is_team and reader.may("manage_people"))


def _is_own(reader: Reader, view: SavedView) -> bool:
    return view.owner_id == reader.reader_id


def _one(records: Records, view_id: str) -> SavedView | None:
    rows = records.rows(select(VIEWS).where(VIEWS.c.view_id == view_id))
    return _view(rows[0]) if rows else None


def _name(written: str) -> str:
    name = readable(written)
    if not name:
        raise Refused("no_name")
    if len(name) > LONGEST_NAME:
        raise Refused("too_long")
    return name


def _kept(parameters: Mapping[str, str]) -> str:
    """The parameters that make a view, as they are stored."""
    kept = {name: value for name, value in parameters.items() if name not in NOT_KEPT}
    if len(kept) > MOST_PARAMETERS or any(len(value) > LONGEST_VALUE for value in kept.values()):
        raise Refused("too_much")
    if not all(PARAMETER.fullmatch(name) for name in kept):
        raise Refused("too_much")
    return json.dumps(kept, sort_keys=True)


def _view(row: Mapping[str, Any]) -> SavedView:
    return SavedView(
        row["view_id"],
        row["name"],
        row["page"],
        json.loads(row["parameters"]),
        bool(row["is_team"]),
        row["recorded_by"],
        row["owner_name"],
        row["deleted_at"],
    )
