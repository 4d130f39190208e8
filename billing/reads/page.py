"""A page of a list: rows after a place, in the order of columns that together tell rows apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_

from billing.store.store import Row, Store

MOST = 200
"""Rows of a page, at most."""


@dataclass(frozen=True)
class Page:
    """`rows` of a list, and the place `after` which the next page begins (None: this is the last)."""

    rows: Sequence[Row]
    after: tuple[object, ...] | None = None


def page(
    store: Store,
    statement: Select[Any],
    keys: Sequence[ColumnElement[Any]],
    *,
    after: Sequence[object] | None,
    limit: int,
    descending: bool = False,
    values: Mapping[str, Any] | None = None,
) -> Page:
    """At most `limit` rows of a select behind a place.

    keys: columns of the select by which it is ordered, the last of them (or all together) unique and none
    of them null; an index over them makes a page cost its own rows. `values` fill bound parameters.
    """
    ordered = statement.order_by(*(key.desc() if descending else key.asc() for key in keys))
    if after is not None:
        ordered = ordered.where(_beyond(keys, after, descending))
    rows = store.rows(ordered.limit(limit + 1), values)
    if len(rows) <= limit:
        return Page(rows)
    last = rows[limit - 1]
    return Page(rows[:limit], tuple(last[_name(key)] for key in keys))


def _name(key: ColumnElement[Any]) -> str:
    name = getattr(key, "name", None)
    assert isinstance(name, str), "a key is a column of the select"
    return name


def _beyond(
    keys: Sequence[ColumnElement[Any]], after: Sequence[object], descending: bool
) -> ColumnElement[bool]:
    """Rows behind a place: the first key not before it (which an index finds), and then further or equal
    and beyond in the rest."""
    key, value = keys[0], after[0]
    further = key < value if descending else key > value
    if len(keys) == 1:
        return further
    reached = key <= value if descending else key >= value
    return and_(reached, or_(further, _beyond(keys[1:], after[1:], descending)))
