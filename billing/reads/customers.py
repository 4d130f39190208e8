"""Customers and what hangs on them, as a caller may see them: lists by index and page, one by its key.

Whoever asks for a customer outside of its scope is told what it would be told of one that is not there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    bindparam,
    func,
    literal,
    literal_column,
    or_,
    select,
)

from billing.reads.page import Page, page
from billing.reads.scope import Scope
from billing.store import tables
from billing.store.store import Row, Store
from billing.store.tables import addresses as _addresses
from billing.store.tables import contacts as _contacts
from billing.store.tables import customer_discounts, customer_versions
from billing.store.tables import customers as _customers
from billing.store.tables import discounts as _discounts

_KEPT_BACK = ("next_bill_on", "unsettled_from")
"""Columns of bill runs: they move without anything being changed of the customer."""
_ALL = select(*(column for column in _customers.c if column.name not in _KEPT_BACK))
_ROOT = select(_customers.c.root_id).where(_customers.c.customer_id == bindparam("id"))
_LAST = "\U0010ffff"
"""Sorts after whatever a name goes on with."""


def customers(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None,
    limit: int,
    parent_id: str | None = None,
    root_id: str | None = None,
    overdue_state: str | None = None,
    is_parked: bool | None = None,
    changed_since: datetime | None = None,
    name: str | None = None,
    email: str | None = None,
) -> Page:
    """Customers by id; with `name` (how it begins, whatever its case) by name; else with `changed_since` by
    when they changed. `email`: of one of their contacts."""
    of = _customers.c
    conditions = list(scope.where(of.customer_id))
    if parent_id is not None:
        # The index is on roots.
        root = store.row(_ROOT, {"id": parent_id})
        conditions += [of.root_id == (root["root_id"] if root else parent_id), of.parent_id == parent_id]
    if root_id is not None:
        conditions.append(of.root_id == root_id)
    if overdue_state is not None:
        conditions.append(of.overdue_state == overdue_state)
        if overdue_state != "current":  # Written as the index over these few has it.
            conditions.append(of.overdue_state != literal_column("'current'"))
    if is_parked is not None:
        conditions.append(of.parked_at.is_not(None) if is_parked else of.parked_at.is_(None))
    if email is not None:
        has_email = select(_contacts.c.customer_id).where(
            func.lower(_contacts.c.email) == func.lower(literal(email, String)),
            _contacts.c.removed_at.is_(None),
        )
        conditions.append(of.customer_id.in_(has_email))
    keys: list[ColumnElement[Any]] = [of.customer_id]
    statement = _ALL
    if name is not None:
        lowered, start = tables.lowered(of.name), tables.lowered(literal(name, String))
        conditions += [lowered >= start, lowered < start.concat(_LAST)]
        statement, keys = _ALL.add_columns(lowered.label("lowered")), [lowered, of.customer_id]
    if changed_since is not None:
        conditions.append(of.changed_at >= changed_since)
        keys = keys if name is not None else [of.changed_at, of.customer_id]
    found = page(store, statement.where(*conditions), keys, after=after, limit=limit)
    for row in found.rows:
        row.pop("lowered", None)
    return found


def customer_of(store: Store, scope: Scope, *, customer_id: str) -> Row | None:
    """One customer; None where there is none, or none of the caller's."""
    of = _customers.c.customer_id
    return store.row(_ALL.where(of == customer_id, *scope.where(of)))


def tree(store: Store, scope: Scope, *, customer_id: str) -> list[Row]:
    """A customer and all below it, each after who it stands below; nothing where it is not the caller's."""
    top = customer_of(store, scope, customer_id=customer_id)
    if top is None:
        return []
    of = _customers.c
    below: defaultdict[str | None, list[Row]] = defaultdict(list)
    within = _ALL.where(of.root_id == top["root_id"], *scope.where(of.customer_id)).order_by(of.customer_id)
    for row in store.rows(within):
        below[row["parent_id"]].append(row)
    found = [top]
    for row in found:
        found += below[row["customer_id"]]
    return found


# What hangs on a customer. Each list is empty where the customer is not the caller's.


def versions(
    store: Store, scope: Scope, *, customer_id: str, after: Sequence[object] | None, limit: int
) -> Page:
    """What a customer was called, where it was, below whom, in which group, the newest first."""
    of = customer_versions.c
    statement = select(customer_versions).where(of.customer_id == customer_id, *scope.where(of.customer_id))
    return page(store, statement, [of.valid_from, of.revision], after=after, limit=limit, descending=True)


def addresses(
    store: Store,
    scope: Scope,
    *,
    customer_id: str,
    after: Sequence[object] | None,
    limit: int,
    role: str | None = None,
    on: date | None = None,
) -> Page:
    """Where a customer is and was, the newest first. `on`: only those that hold on a day, one a role."""
    of = _addresses.c
    statement = select(_addresses).where(of.customer_id == customer_id, *scope.where(of.customer_id))
    if role is not None:
        statement = statement.where(of.role == role)
    if on is not None:
        statement = _held_on(statement, on)
    keys = [of.valid_from, of.recorded_at, of.address_id]
    return page(store, statement, keys, after=after, limit=limit, descending=True)


def address(store: Store, scope: Scope, *, address_id: str) -> Row | None:
    """One address of a customer; None where there is none, or none of the caller's."""
    of = _addresses.c
    own = [of.customer_id.is_not(None), *scope.where(of.customer_id)]
    return store.row(select(_addresses).where(of.address_id == address_id, *own))


def _held_on(statement: Select[Row], on: date) -> Select[Row]:
    """Without those that begin later, and those a later one of their role took the place of by then."""
    of, other = _addresses.c, _addresses.alias("other")
    is_later = or_(
        other.c.valid_from > of.valid_from,
        and_(other.c.valid_from == of.valid_from, other.c.recorded_at > of.recorded_at),
        and_(
            other.c.valid_from == of.valid_from,
            other.c.recorded_at == of.recorded_at,
            other.c.address_id > of.address_id,
        ),
    )
    replaced = select(other.c.address_id).where(
        other.c.customer_id == of.customer_id,
        other.c.role == of.role,
        other.c.valid_from <= on,
        is_later,
    )
    return statement.where(of.valid_from <= on, ~replaced.exists())


def contacts(
    store: Store, scope: Scope, *, customer_id: str, after: Sequence[object] | None, limit: int
) -> Page:
    """The people at a customer who were not removed."""
    of = _contacts.c
    statement = select(_contacts).where(
        of.customer_id == customer_id, of.removed_at.is_(None), *scope.where(of.customer_id)
    )
    return page(store, statement, [of.contact_id], after=after, limit=limit)


def contact(store: Store, scope: Scope, *, contact_id: str) -> Row | None:
    """One person at a customer; None where there is none, was removed, or is none of the caller's."""
    of = _contacts.c
    return store.row(
        select(_contacts).where(
            of.contact_id == contact_id, of.removed_at.is_(None), *scope.where(of.customer_id)
        )
    )


def discounts(
    store: Store, scope: Scope, *, customer_id: str, after: Sequence[object] | None, limit: int
) -> Page:
    """The discounts of documents a payer has or had: what each is, from when and until when."""
    of, what = customer_discounts.c, _discounts.c
    statement = (
        select(customer_discounts, what.name, what.discount_ppm, what.amount_minor, what.currency, what.times)
        .join(_discounts, what.discount_id == of.discount_id)
        .where(of.customer_id == customer_id, *scope.where(of.customer_id))
    )
    return page(store, statement, [of.discount_id, of.valid_start], after=after, limit=limit)
