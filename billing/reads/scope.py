"""What a caller may see. Each read takes a scope; what lies outside it is not there."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, bindparam, select

from billing.core.money import BillingError
from billing.store.store import Store
from billing.store.tables import customers


@dataclass(frozen=True)
class Scope:
    """`ids`: the customers whose things are seen; None: those of the whole merchant.

    `price_owners`: customers, groups and contracts whose own price lists are seen beside the public ones;
    None: all.
    """

    ids: frozenset[str] | None = None
    price_owners: frozenset[str] | None = None

    def where(self, column: ColumnElement[str] | ColumnElement[str | None]) -> list[ColumnElement[bool]]:
        """The condition on the column that says whose a row is; none for the whole merchant."""
        return [] if self.ids is None else [column.in_(sorted(self.ids))]

    def holds(self, customer_id: str | None) -> bool:
        """Whether things of this customer are seen; what belongs to nobody is the merchant's alone."""
        return self.ids is None or customer_id in self.ids


_ONE = select(customers.c.root_id, customers.c.group_id).where(customers.c.customer_id == bindparam("id"))
_TREE = select(customers.c.customer_id, customers.c.parent_id).where(customers.c.root_id == bindparam("root"))


def everything() -> Scope:
    """The scope of the merchant."""
    return Scope()


def scope_of(store: Store, *, customer_id: str, with_children: bool) -> Scope:
    """The scope of a customer, with those below it in its tree or without. Raises `unknown_customer`."""
    one = store.row(_ONE, {"id": customer_id})
    if one is None:
        raise BillingError("unknown_customer", customer_id)
    ids = {customer_id}
    if with_children:
        below: dict[str, list[str]] = {}
        for row in store.rows(_TREE, {"root": one["root_id"]}):
            below.setdefault(row["parent_id"], []).append(row["customer_id"])
        found = [customer_id]
        while found:
            found = [child for one_id in found for child in below.get(one_id, ()) if child not in ids]
            ids.update(found)
    owners = ids | ({one["group_id"]} if one["group_id"] else set())
    return Scope(frozenset(ids), frozenset(owners))
