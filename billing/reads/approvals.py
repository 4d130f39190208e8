"""What waits for a person's word, or was decided: approvals, and customers that bill runs set aside."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import select

from billing.core.money import BillingError
from billing.reads.page import Page, page
from billing.reads.scope import Scope
from billing.store.store import Row, Store
from billing.store.tables import approvals as asked
from billing.store.tables import customers

STATES = ("pending", "approved", "rejected", "withdrawn")
KINDS = ("order", "collection", "write_off")


def approvals(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None = None,
    limit: int = 50,
    state: str | None = None,
    kind: str | None = None,
    customer_id: str | None = None,
) -> Page:
    """Approvals that fit all that is named, in the order of their ids, `details` parsed. Raises
    `unknown_setting` for a state or kind that is none."""
    own = scope.where(asked.c.customer_id)
    for column, value, known in ((asked.c.state, state, STATES), (asked.c.kind, kind, KINDS)):
        if value is not None and value not in known:
            raise BillingError("unknown_setting", f"{column.name} = {value!r}")
        if value is not None:
            own.append(column == value)
    if customer_id is not None:
        own.append(asked.c.customer_id == customer_id)
    found = page(store, select(asked).where(*own), [asked.c.approval_id], after=after, limit=limit)
    return Page([_parsed(row) for row in found.rows], found.after)


def approval(store: Store, scope: Scope, *, approval_id: str) -> Row | None:
    """One approval as the list has it; None for what is not there or not to be seen."""
    own = (asked.c.approval_id == approval_id, *scope.where(asked.c.customer_id))
    row = store.row(select(asked).where(*own))
    return None if row is None else _parsed(row)


def _parsed(row: Row) -> Row:
    return row | {"details": json.loads(row["details"])}


_PARKED = select(
    customers.c.customer_id,
    customers.c.name,
    customers.c.parked_at,
    customers.c.parked_code.label("code"),
    customers.c.parked_detail.label("detail"),
).where(customers.c.parked_at.is_not(None))


def parked(store: Store, scope: Scope, *, after: Sequence[object] | None = None, limit: int = 50) -> Page:
    """Customers that bill runs set aside, and why: `customer_id`, `name`, `parked_at`, `code`, `detail`."""
    own = scope.where(customers.c.customer_id)
    return page(store, _PARKED.where(*own), [customers.c.customer_id], after=after, limit=limit)
