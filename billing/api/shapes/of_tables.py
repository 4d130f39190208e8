"""Answers that are rows of a table: their members as the table has them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from typing import Any, Literal

from pydantic import create_model
from sqlalchemy import BigInteger, Boolean, Date, Integer, Table

from billing.api.shapes.base import Answer
from billing.store.tables import Instant


def row_of(name: str, kind: str, table: Table, *, without: Collection[str] = (), **more: Any) -> type[Answer]:
    """The answer that shows a row of a table, without some of its columns and with some members more.
    `object` says what it is; nullable columns may be null."""
    members: dict[str, Any] = {"object": (Literal[kind], ...)}
    for column in table.c:
        if column.name not in without and column.name != "gateway_ref":
            held: Any = _python_type(column.type)
            members[column.name] = (held | None if column.nullable else held, ...)
    members |= {member: (held, ...) for member, held in more.items()}
    made: type[Answer] = create_model(name, __base__=Answer, **members)
    return made


def _python_type(kind: object) -> Any:
    if isinstance(kind, Instant):
        return datetime
    if isinstance(kind, Date):
        return date
    if isinstance(kind, Boolean):
        return bool
    return int if isinstance(kind, BigInteger | Integer) else str
