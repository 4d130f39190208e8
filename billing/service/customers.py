"""Customers, their trees and their payment methods."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from typing import Any

from sqlalchemy import bindparam, func, or_, select, update

from billing.core.calendar import local_date, zone_of
from billing.core.money import BillingError, currency_exponent
from billing.service.acts import act, announce
from billing.service.policies import policy_on
from billing.service.pools import mark_pools_of_trees
from billing.store.messages import mark_to_bill
from billing.store.store import Row, Store
from billing.store.tables import (
    customer_versions,
    customers,
    items,
    legal_entities,
    line_items,
    payment_methods,
    payments,
)

COLLECTIONS = ("automatic", "terms")
METHOD_KINDS = ("card", "direct_debit")

# Attributes that change_customer takes; those of a version are dated.
_VERSIONED = ("name", "country", "parent_id", "group_id", "tax_number")
_PLAIN = (
    "is_test",
    "bill_to_id",
    "currency",
    "time_zone",
    "locale",
    "tax_number_confirmed_on",
    "terms_id",
    "collection",
    "policy_name",
    "credit_limit_minor",
    "hold",
    "requires_purchase_order",
)


@act
def create_customer(
    store: Store,
    at: datetime,
    *,
    name: str,
    entity_id: str,
    currency: str,
    country: str,
    customer_id: str | None = None,
    created_on: date | None = None,
    time_zone: str = "UTC",
    locale: str = "en",
    parent_id: str | None = None,
    bill_to_id: str | None = None,
    tax_number: str | None = None,
    tax_number_confirmed_on: date | None = None,
    group_id: str | None = None,
    terms_id: str | None = None,
    collection: str = "automatic",
    policy_name: str = "default",
    credit_limit_minor: int | None = None,
    is_test: bool = False,
    requires_purchase_order: bool = False,
) -> str:
    """A new customer; returns its id. `country` is ISO 3166 alpha-2, `parent_id` places it in a tree.

    `bill_to_id` (default: itself) is who owes: itself or who stands above it. `requires_purchase_order`: what
    it is billed needs one. Raises `unknown_currency`, `unknown_entity`, `unknown_time_zone`,
    `unknown_customer` for a parent or payer that is not there, `payer_not_above`, `unknown_setting`,
    `immutable` when the id is taken.
    """
    currency_exponent(currency)
    zone_of(time_zone)
    _check_collection(collection)
    customer_id = customer_id or store.new_id("cus")
    if find_customer(store, customer_id):
        raise BillingError("immutable", f"customer {customer_id} exists")
    if store.row(select(legal_entities.c.entity_id).where(legal_entities.c.entity_id == entity_id)) is None:
        raise BillingError("unknown_entity", entity_id)
    today = created_on or local_date(at, time_zone)
    policy_on(store, policy_name, today)
    root_id = customer(store, parent_id)["root_id"] if parent_id else customer_id
    if bill_to_id and bill_to_id != customer_id:
        customer(store, bill_to_id)
        _check_payer(bill_to_id, _above(store, parent_id))
    row: Row = {
        "customer_id": customer_id,
        "name": name,
        "is_test": is_test,
        "created_on": today,
        "parent_id": parent_id,
        "root_id": root_id,
        "bill_to_id": bill_to_id or customer_id,
        "entity_id": entity_id,
        "currency": currency,
        "time_zone": time_zone,
        "locale": locale,
        "country": country,
        "tax_number": tax_number,
        "tax_number_confirmed_on": tax_number_confirmed_on,
        "group_id": group_id,
        "terms_id": terms_id,
        "collection": collection,
        "policy_name": policy_name,
        "credit_limit_minor": credit_limit_minor,
        "requires_purchase_order": requires_purchase_order,
    }
    store.insert(customers, [row], at)
    _write_version(store, at, row, today, 0)
    announce(store, at, "customer.created", customer_id, {"name": name, "country": country})
    return customer_id


@act
def change_customer(store: Store, at: datetime, /, *, customer_id: str, **changes: Any) -> None:
    """Change attributes of a customer from today on. Name, country, parent, group and tax number keep
    their history. A tax number that is another, or of another country, is not confirmed until somebody says
    so.

    Raises `unknown_setting` for an attribute that is not there or may not change, `parent_cycle`,
    `payer_not_above` where it, or one below it, would be billed to somebody who no longer stands above it,
    `immutable` for a change of currency once a line is billed, and as `create_customer`.
    """
    row = customer(store, customer_id)
    unknown = set(changes) - set(_VERSIONED) - set(_PLAIN)
    if unknown:
        raise BillingError("unknown_setting", f"customers have no {', '.join(sorted(unknown))} to change")
    changes = {name: value for name, value in changes.items() if row[name] != value}
    if not changes:
        return
    if changes.keys() & {"tax_number", "country"} and row["tax_number_confirmed_on"] is not None:
        changes = {"tax_number_confirmed_on": None} | changes
    _check_changes(store, at, row, changes)
    today = local_date(at, str(changes.get("time_zone", row["time_zone"])))
    store.update(customers, [{"customer_id": customer_id} | changes], at)
    if changes.keys() & {"parent_id", "bill_to_id"}:
        _check_payers(store, row | changes)
    if "parent_id" in changes:
        new_root_id = _move_tree(store, at, customer_id, changes["parent_id"])
        mark_pools_of_trees(store, at, [row["root_id"], new_root_id], customer_id)
    if set(changes) & set(_VERSIONED):
        _write_version(store, at, row | changes, today, _next_revision(store, customer_id, today))
    mark_to_bill(store, at, customer_id, today, since=today)
    announce(store, at, "customer.changed", customer_id, changes)


def _check_collection(collection: object) -> None:
    if collection not in COLLECTIONS:
        raise BillingError("unknown_setting", f"collection = {collection!r}")


def _check_changes(store: Store, at: datetime, row: Row, changes: dict[str, Any]) -> None:
    if "time_zone" in changes:
        zone_of(changes["time_zone"])
    if "collection" in changes:
        _check_collection(changes["collection"])
    if "policy_name" in changes:
        policy_on(store, changes["policy_name"], local_date(at, row["time_zone"]))
    if changes.get("bill_to_id"):
        customer(store, changes["bill_to_id"])
    if "currency" in changes:
        currency_exponent(changes["currency"])
        if store.row(
            select(line_items.c.line_id)
            .join(items, items.c.item_id == line_items.c.item_id)
            .where(items.c.customer_id == row["customer_id"])
            .limit(1)
        ):
            raise BillingError("immutable", f"{row['customer_id']} was billed in {row['currency']}")


def _move_tree(store: Store, at: datetime, customer_id: str, parent_id: str | None) -> str:
    """Give a customer and all below it the root of the new parent; returns it. Raises `parent_cycle`."""
    if customer_id in _above(store, parent_id, until=customer_id):
        raise BillingError("parent_cycle", f"{parent_id} is below {customer_id}")
    root_id = customer(store, parent_id)["root_id"] if parent_id else customer_id
    below = [one["customer_id"] for one in _below(store, customer_id)]
    store.update(customers, [{"customer_id": one, "root_id": root_id} for one in below], at)
    return str(root_id)


def _above(store: Store, parent_id: str | None, *, until: str | None = None) -> list[str]:
    """Who stands above a customer with this parent, the nearest first; no further than `until`."""
    found: list[str] = []
    while parent_id is not None and (not found or found[-1] != until):
        found.append(parent_id)
        parent_id = customer(store, parent_id)["parent_id"]
    return found


def _below(store: Store, customer_id: str) -> list[Row]:
    """A customer and all below it: `customer_id`, `bill_to_id`."""
    of = select(customers.c.customer_id, customers.c.bill_to_id)
    found = store.rows(of.where(customers.c.customer_id == customer_id))
    for known in found:
        found += store.rows(of.where(customers.c.parent_id == known["customer_id"]))
    return found


def _check_payer(payer_id: str, may_owe: Collection[str]) -> None:
    if payer_id not in may_owe:
        raise BillingError("payer_not_above", payer_id)


def _check_payers(store: Store, row: Row) -> None:
    """Whether a customer and all below it are billed to themselves or to who stands above them."""
    above = _above(store, row["parent_id"], until=row["customer_id"])
    _check_payer(row["bill_to_id"], {*above, row["customer_id"]})
    below = _below(store, row["customer_id"]) if row["customer_id"] not in above else []
    may_owe = {*above, *(one["customer_id"] for one in below)}
    for one in below:
        _check_payer(one["bill_to_id"], may_owe)


def _write_version(store: Store, at: datetime, row: Row, valid_from: date, revision: int) -> None:
    version = {"customer_id": row["customer_id"], "valid_from": valid_from, "revision": revision}
    store.insert(customer_versions, [version | {name: row[name] for name in _VERSIONED}], at)


def _next_revision(store: Store, customer_id: str, valid_from: date) -> int:
    found = store.row(
        select(func.max(customer_versions.c.revision).label("revision")).where(
            customer_versions.c.customer_id == customer_id, customer_versions.c.valid_from == valid_from
        )
    )
    return 0 if not found or found["revision"] is None else int(found["revision"]) + 1


@act
def add_payment_method(
    store: Store,
    at: datetime,
    *,
    customer_id: str,
    gateway_ref: str,
    kind: str = "card",
    expires_on: date | None = None,
    is_default: bool = True,
    method_id: str | None = None,
) -> str:
    """A new way to pay; returns its id. As default it ends the one before and is tried at once on payments
    that failed. Raises `unknown_customer`, `unknown_setting`."""
    row = customer(store, customer_id)
    if kind not in METHOD_KINDS:
        raise BillingError("unknown_setting", f"kind = {kind!r}")
    today = local_date(at, row["time_zone"])
    method_id = method_id or store.new_id("pm")
    if is_default:
        store.execute(_END_DEFAULT, {"id": customer_id, "today": today, "at": at})
        store.execute(TRY_AGAIN, {"id": customer_id, "at": at})
    method = {
        "method_id": method_id,
        "customer_id": customer_id,
        "kind": kind,
        "gateway_ref": gateway_ref,
        "expires_on": expires_on,
        "is_default": is_default,
        "valid_from": today,
    }
    store.insert(payment_methods, [method], at)
    announce(store, at, "payment_method.added", method_id, {"customer_id": customer_id, "kind": kind})
    return method_id


_DEFAULT = select(payment_methods.c.method_id).where(
    payment_methods.c.customer_id == bindparam("id"),
    payment_methods.c.is_default,
    or_(payment_methods.c.valid_to.is_(None), payment_methods.c.valid_to > bindparam("today")),
    or_(payment_methods.c.expires_on.is_(None), payment_methods.c.expires_on >= bindparam("today")),
)


def has_payment_method(store: Store, customer_id: str, today: date) -> bool:
    """Whether a customer has a default way to pay that has not expired."""
    return bool(store.rows(_DEFAULT, {"id": customer_id, "today": today}))


_END_DEFAULT = (
    update(payment_methods)
    .where(
        payment_methods.c.customer_id == bindparam("id"),
        payment_methods.c.is_default,
        or_(payment_methods.c.valid_to.is_(None), payment_methods.c.valid_to > bindparam("today")),
    )
    .values(valid_to=bindparam("today"), is_default=False, changed_at=bindparam("at"))
)
TRY_AGAIN = (
    update(payments)
    .where(payments.c.customer_id == bindparam("id"), payments.c.state == "failed")
    .values(next_attempt_at=bindparam("at"), changed_at=bindparam("at"))
)

_CUSTOMER = select(customers).where(customers.c.customer_id == bindparam("id"))


def find_customer(store: Store, customer_id: str) -> Row | None:
    return store.row(_CUSTOMER, {"id": customer_id})


def customer(store: Store, customer_id: str) -> Row:
    """The row of a customer. Raises `unknown_customer`."""
    row = find_customer(store, customer_id)
    if row is None:
        raise BillingError("unknown_customer", customer_id)
    return row
