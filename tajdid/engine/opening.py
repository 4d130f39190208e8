"""How the dashboard reaches a billing database: opened for one answer, never written, errors told apart."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Select, String, column, select, table
from sqlalchemy.exc import DBAPIError

from billing.core.money import BillingError
from billing.store.errors import is_passing
from billing.store.migrations import NewerForm, compared
from billing.store.store import Store, open_to_look
from dashboard.engine import BUSY, NEWER_FORM, NOT_THERE, OLDER_FORM, REFUSED, UNKNOWN, EngineProblem

_FORM: Select[str] = select(column("version_num", String)).select_from(table("alembic_version"))


@contextmanager
def reading(url: str) -> Iterator[Store]:
    """The database for one answer; the connection refuses to write. Raises EngineProblem."""
    with _told(), open_to_look(url) as store:
        _check_form(store)
        yield store


@contextmanager
def rehearsing(url: str) -> Iterator[Store]:
    """The same with leave to write; all of it is taken back when the block ends. Raises EngineProblem."""
    with _told(), open_to_look(url, rehearses=True) as store:
        _check_form(store)
        with store.rehearsal({}):
            yield store


def _check_form(store: Store) -> None:
    try:
        row = store.row(_FORM)
    except DBAPIError as error:
        if is_passing(error):
            raise
        raise EngineProblem(NOT_THERE) from error
    form = row["version_num"] if row else None
    stands = compared(form)
    if stands == "newer":
        raise EngineProblem(NEWER_FORM, detail=str(NewerForm(form)))
    if stands == "older":
        raise EngineProblem(OLDER_FORM)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BillingError as error:
        kind = UNKNOWN if error.code in ("unknown_document", "not_issued") else REFUSED
        raise EngineProblem(kind, error.code, error.detail) from error
    except (DBAPIError, sqlite3.Error, psycopg.Error) as error:
        origin = error.orig if isinstance(error, DBAPIError) else error
        if is_passing(error) or getattr(origin, "sqlstate", None) == _TOOK_TOO_LONG:
            raise EngineProblem(BUSY) from error
        if _is_away(origin):
            raise EngineProblem(NOT_THERE) from error
        raise


_TOOK_TOO_LONG = "57014"


def _is_away(origin: BaseException | None) -> bool:
    """Whether there is no database to speak to."""
    if isinstance(origin, sqlite3.Error):
        return "unable to open" in str(origin) or "not a database" in str(origin)
    return isinstance(origin, psycopg.OperationalError) and origin.sqlstate is None


def names_of(store: Store, ids: list[Any]) -> dict[str, str]:
    """The names of some customers."""
    from billing.store.tables import customers

    wanted = sorted({one for one in ids if one is not None})
    if not wanted:
        return {}
    asked = select(customers.c.customer_id, customers.c.name).where(customers.c.customer_id.in_(wanted))
    return {row["customer_id"]: row["name"] for row in store.rows(asked)}
