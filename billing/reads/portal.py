"""What customers who serve themselves are shown. Each read is by index and takes a scope; what lies outside
it is not there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, case, func, or_, select

from billing.core.calendar import local_date, next_boundary, parse_interval
from billing.core.subscription import ItemVersion, Subscription
from billing.jobs.bill_run import preview
from billing.reads.page import Page, page
from billing.reads.scope import Scope
from billing.store.debts import OPEN_MINOR
from billing.store.store import Row, Store
from billing.store.subscriptions import ITEMS, SUBSCRIPTIONS, Standing, standings_of
from billing.store.tables import (
    addresses,
    approvals,
    command_keys,
    components,
    contacts,
    credit_notes,
    customers,
    invoices,
    item_versions,
    items,
    legal_entities,
    payment_methods,
    payments,
    plan_versions,
    plans,
    portal_users,
    purchase_requests,
    subscriptions,
)

EXPIRES_SOON = timedelta(days=30)
MOST_AHEAD = 50
"""Subscriptions that are looked at for what is charged next."""

# People.

_USER = (
    portal_users.c.user_id,
    portal_users.c.customer_id,
    portal_users.c.email,
    portal_users.c.name,
    portal_users.c.role,
    portal_users.c.is_account_admin,
    portal_users.c.sees_children,
    portal_users.c.limit_minor,
    portal_users.c.locale,
    portal_users.c.state,
    portal_users.c.recorded_at,
    portal_users.c.changed_at,
)
_BY_EMAIL = (
    select(*_USER, customers.c.name.label("customer_name"), customers.c.locale.label("customer_locale"))
    .join(customers, customers.c.customer_id == portal_users.c.customer_id)
    .where(portal_users.c.email == bindparam("email"), portal_users.c.state != "removed")
    .order_by(portal_users.c.user_id)
    .limit(20)
)


def users_by_email(store: Store, email: str) -> list[Row]:
    """Everybody who signs in with an address, one a customer, with `customer_name`. For the door alone."""
    return store.rows(_BY_EMAIL, {"email": email})


def users(store: Store, scope: Scope, *, customer_id: str) -> list[Row]:
    """The users of a customer who may sign in, in the order of their names."""
    asked = select(*_USER).where(
        portal_users.c.customer_id == customer_id,
        portal_users.c.state != "removed",
        *scope.where(portal_users.c.customer_id),
    )
    return store.rows(asked.order_by(func.lower(portal_users.c.name), portal_users.c.user_id))


def all_users(
    store: Store,
    scope: Scope,
    *,
    customer_id: str | None = None,
    after: Sequence[object] | None,
    limit: int,
) -> Page:
    """Users who may sign in, in the order of their ids."""
    of = [] if customer_id is None else [portal_users.c.customer_id == customer_id]
    asked = select(*_USER).where(
        portal_users.c.state != "removed", *of, *scope.where(portal_users.c.customer_id)
    )
    return page(store, asked, (portal_users.c.user_id,), after=after, limit=limit)


def user(store: Store, scope: Scope, *, user_id: str) -> Row | None:
    asked = select(*_USER).where(
        portal_users.c.user_id == user_id,
        portal_users.c.state != "removed",
        *scope.where(portal_users.c.customer_id),
    )
    return store.row(asked)


_ASKED = select(
    purchase_requests, portal_users.c.name.label("asked_by_name"), customers.c.name.label("customer_name")
).join_from(purchase_requests, portal_users, portal_users.c.user_id == purchase_requests.c.asked_by)
_ASKED = _ASKED.join(customers, customers.c.customer_id == purchase_requests.c.customer_id)


def requests(
    store: Store, scope: Scope, *, state: str | None = None, after: Sequence[object] | None, limit: int
) -> Page:
    """Orders that wait, or waited, for an approver, the newest first; `arguments` parsed."""
    of = [] if state is None else [purchase_requests.c.state == state]
    asked = _ASKED.where(*scope.where(purchase_requests.c.customer_id), *of)
    keys = (purchase_requests.c.request_id,)
    found = page(store, asked, keys, after=after, limit=limit, descending=True)
    return Page([_parsed(row) for row in found.rows], found.after)


def request(store: Store, scope: Scope, *, request_id: str) -> Row | None:
    asked = _ASKED.where(
        purchase_requests.c.request_id == request_id, *scope.where(purchase_requests.c.customer_id)
    )
    row = store.row(asked)
    return None if row is None else _parsed(row)


def _parsed(row: Row) -> Row:
    return row | {"arguments": json.loads(row["arguments"])}


_RECEIPT = select(command_keys.c.response, command_keys.c.recorded_at).where(
    command_keys.c.caller == bindparam("caller"), command_keys.c.key == bindparam("key")
)


def receipt(store: Store, *, caller: str, key: str) -> Row | None:
    """What a caller was answered under a key, and `recorded_at`; nobody reads another's."""
    row = store.row(_RECEIPT, {"caller": caller, "key": key})
    if row is None:
        return None
    said = json.loads(row["response"])
    return {**said, "recorded_at": row["recorded_at"]} if isinstance(said, dict) else None


def waiting_orders(store: Store, scope: Scope, *, customer_id: str) -> list[Row]:
    """Orders of a payer that wait for the merchant's word: `approval_id`, `act`, `code`."""
    asked = (
        select(approvals.c.approval_id, approvals.c.details, approvals.c.proposed_on)
        .where(
            approvals.c.customer_id == customer_id,
            approvals.c.kind == "order",
            approvals.c.state == "pending",
            *scope.where(approvals.c.customer_id),
        )
        .order_by(approvals.c.approval_id)
        .limit(20)
    )
    found = []
    for row in store.rows(asked):
        details = json.loads(row["details"])
        found.append(
            {
                "approval_id": row["approval_id"],
                "proposed_on": row["proposed_on"],
                "act": details["order"]["act"],
                "code": details["code"],
            }
        )
    return found


# Accounts.


def account(store: Store, scope: Scope, *, customer_id: str) -> Row | None:
    """A customer, with the seller's name as `seller`."""
    asked = (
        select(customers, legal_entities.c.name.label("seller"))
        .join(legal_entities, legal_entities.c.entity_id == customers.c.entity_id)
        .where(customers.c.customer_id == customer_id, *scope.where(customers.c.customer_id))
    )
    return store.row(asked)


def names(store: Store, scope: Scope, ids: Iterable[str]) -> dict[str, str]:
    """The names of some customers."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    asked = select(customers.c.customer_id, customers.c.name).where(
        customers.c.customer_id.in_(wanted), *scope.where(customers.c.customer_id)
    )
    return {row["customer_id"]: row["name"] for row in store.rows(asked)}


def address(store: Store, scope: Scope, *, customer_id: str, role: str, on: date) -> Row | None:
    """The address of a role that holds on a day."""
    asked = (
        select(addresses)
        .where(
            addresses.c.customer_id == customer_id,
            addresses.c.role == role,
            addresses.c.valid_from <= on,
            *scope.where(addresses.c.customer_id),
        )
        .order_by(addresses.c.valid_from.desc(), addresses.c.address_id.desc())
        .limit(1)
    )
    return store.row(asked)


def people(store: Store, scope: Scope, *, customer_id: str) -> list[Row]:
    """The contacts of a customer."""
    asked = select(contacts).where(
        contacts.c.customer_id == customer_id,
        contacts.c.removed_at.is_(None),
        *scope.where(contacts.c.customer_id),
    )
    return store.rows(asked.order_by(contacts.c.contact_id).limit(200))


def accounts(store: Store, scope: Scope, *, today: date, after: Sequence[object] | None, limit: int) -> Page:
    """All customers of a scope with what each owes: `open_minor` and `overdue_minor` of its open invoices in
    `currency`, `invoices` how many those are."""
    found = page(
        store,
        select(
            customers.c.customer_id,
            customers.c.name,
            customers.c.parent_id,
            customers.c.currency,
            customers.c.overdue_state,
        ).where(*scope.where(customers.c.customer_id)),
        (customers.c.customer_id,),
        after=after,
        limit=limit,
    )
    ids = [row["customer_id"] for row in found.rows]
    owed = {(row["customer_id"], row["currency"]): row for row in _owed(store, today, ids)}
    nothing = {"open_minor": 0, "overdue_minor": 0, "invoices": 0}
    rows = [row | owed.get((row["customer_id"], row["currency"]), nothing) for row in found.rows]
    return Page(rows, found.after)


def owed(store: Store, scope: Scope, *, today: date) -> list[Row]:
    """What all customers of a scope owe together, a row a currency."""
    return _summed(store, today, scope.where(invoices.c.customer_id), (invoices.c.currency,))


def _owed(store: Store, today: date, ids: Sequence[str]) -> list[Row]:
    of = [invoices.c.customer_id.in_(ids)]
    return _summed(store, today, of, (invoices.c.customer_id, invoices.c.currency))


def _summed(store: Store, today: date, of: Sequence[Any], by: Sequence[Any]) -> list[Row]:
    open_ones = select(
        invoices.c.customer_id, invoices.c.currency, invoices.c.due_on, OPEN_MINOR.label("open_minor")
    ).where(*of, invoices.c.state == "open")
    one = open_ones.subquery()
    keys = [one.c[column.name] for column in by]
    overdue = case((one.c.due_on < today, one.c.open_minor), else_=0)
    sums = select(
        *keys,
        func.count().label("invoices"),
        func.sum(one.c.open_minor).label("open_minor"),
        func.sum(overdue).label("overdue_minor"),
    )
    return store.rows(sums.group_by(*keys).order_by(*keys))


# Subscriptions.


@dataclass(frozen=True, slots=True)
class Plan:
    """A version of a plan as people see it. `has_seats`: whether it has a quantity."""

    plan_id: str
    version: int
    name: str
    interval: str
    has_seats: bool


@dataclass(frozen=True, slots=True)
class Part:
    """An item of a subscription: what it is on a day, or becomes after it."""

    item_id: str
    is_add_on: bool
    version: ItemVersion
    plan: Plan
    boundary: date
    """The first boundary after the day."""


@dataclass(frozen=True, slots=True)
class Held:
    """A subscription with what is told of it. `parts`: its items that have not ended, the plan first; `last`:
    the plan it has, or had until it ended."""

    standing: Standing
    parts: tuple[Part, ...]
    last: Plan | None

    @property
    def own(self) -> Subscription:
        return self.standing.subscription

    @property
    def main(self) -> Part | None:
        return next((part for part in self.parts if not part.is_add_on), None)

    @property
    def name(self) -> str:
        """What people call it."""
        return self.last.name if self.last else self.own.subscription_id

    @property
    def pause_ends_on(self) -> date | None:
        """The first day of service after a pause that runs."""
        main = self.main
        if main is None or main.version.pause is None:
            return None
        item = self.own.item(main.item_id)
        later = (one for one in item.versions if one.effective_start > self.standing.today)
        return next((one.effective_start for one in later if one.pause is None), None)


def subscriptions_of(
    store: Store, at: datetime, scope: Scope, *, after: Sequence[object] | None, limit: int
) -> Page:
    """Subscriptions that a scope has or pays for, the newest first, as `Held` under the name `held`."""
    mine = scope.where(subscriptions.c.sold_to)
    paid = scope.where(subscriptions.c.bill_to)
    of = [or_(*mine, *paid)] if mine else []
    keys = (subscriptions.c.subscription_id,)
    found = page(store, SUBSCRIPTIONS.where(*of), keys, after=after, limit=limit, descending=True)
    return Page([{"held": one} for one in _held(store, at, found.rows)], found.after)


def subscription(store: Store, at: datetime, scope: Scope, *, subscription_id: str) -> Held | None:
    rows = store.rows(SUBSCRIPTIONS.where(subscriptions.c.subscription_id == subscription_id))
    seen = [row for row in rows if scope.holds(row["sold_to"]) or scope.holds(row["bill_to"])]
    return next(iter(_held(store, at, seen)), None)


def _held(store: Store, at: datetime, rows: Sequence[Row]) -> list[Held]:
    if not rows:
        return []
    ids = [row["subscription_id"] for row in rows]
    parts = store.rows(
        ITEMS.where(items.c.subscription_id.in_(ids)).order_by(
            items.c.item_id, item_versions.c.effective_start
        )
    )
    standings = standings_of(at, rows, parts)
    current = [_current(one) for one in standings]
    last = [one.subscription.main_item.versions[-1:] for one in standings]
    versions = [version for one in current for _, version, _ in one] + [one for some in last for one in some]
    known = plans_of(store, {(one.plan_id, one.plan_version) for one in versions})
    found = []
    for standing, parts_now, ended in zip(standings, current, last, strict=True):
        now = tuple(_part(standing, known, *one) for one in parts_now)
        main = next((one.plan for one in now if not one.is_add_on), None)
        before = next((known[one.plan_id, one.plan_version] for one in ended), None)
        found.append(Held(standing, now, main or before))
    return found


def _current(standing: Standing) -> list[tuple[str, ItemVersion, bool]]:
    """Items of a subscription as on its today, the main item first."""
    found = []
    for item in standing.subscription.items:
        if item.ended_on is not None and item.ended_on <= standing.today:
            continue
        later = (one for one in item.versions if one.effective_start > standing.today)
        version = item.version_on(standing.today) or next(later, None)
        if version is not None:
            found.append((item.item_id, version, item.is_add_on))
    return sorted(found, key=lambda one: one[2])


def _part(
    standing: Standing,
    known: Mapping[tuple[str, int], Plan],
    item_id: str,
    version: ItemVersion,
    is_add_on: bool,
) -> Part:
    plan = known[version.plan_id, version.plan_version]
    first = max(standing.today, standing.subscription.billing_starts_on)
    boundary = next_boundary(version.anchor_on, parse_interval(plan.interval), first)
    return Part(item_id, is_add_on, version, plan, boundary)


def plans_of(store: Store, keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Plan]:
    """Versions of plans by plan and version."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    ids = sorted({plan_id for plan_id, _ in wanted})
    named = store.rows(
        select(plans.c.plan_id, plans.c.name, plan_versions.c.version, plan_versions.c.interval)
        .join(plan_versions, plan_versions.c.plan_id == plans.c.plan_id)
        .where(plans.c.plan_id.in_(ids))
    )
    seats = {
        (row["plan_id"], row["plan_version"])
        for row in store.rows(
            select(components.c.plan_id, components.c.plan_version).where(
                components.c.plan_id.in_(ids), components.c.kind == "seat"
            )
        )
    }
    found = {(row["plan_id"], row["version"]): row for row in named}
    return {
        key: Plan(*key, name=found[key]["name"], interval=found[key]["interval"], has_seats=key in seats)
        for key in wanted
    }


_NEWEST = (
    select(plans.c.plan_id, plans.c.name, func.max(plan_versions.c.version).label("version"))
    .join(plan_versions, plan_versions.c.plan_id == plans.c.plan_id)
    .where(plans.c.product_id == bindparam("product"), plans.c.is_add_on == bindparam("is_add_on"))
    .group_by(plans.c.plan_id, plans.c.name)
    .order_by(plans.c.plan_id)
    .limit(50)
)
_PRODUCT = select(plans.c.product_id).where(plans.c.plan_id == bindparam("plan"))


def plans_beside(store: Store, *, plan_id: str, is_add_on: bool = False) -> list[Plan]:
    """The newest versions of all plans (or add-ons) of the same product, at most 50."""
    product = store.row(_PRODUCT, {"plan": plan_id})
    if product is None:
        return []
    rows = store.rows(_NEWEST, {"product": product["product_id"], "is_add_on": is_add_on})
    known = plans_of(store, {(row["plan_id"], row["version"]) for row in rows})
    return [known[row["plan_id"], row["version"]] for row in rows]


# Documents.

_INVOICE = select(
    invoices.c.invoice_id,
    invoices.c.number,
    invoices.c.kind,
    invoices.c.customer_id,
    invoices.c.state,
    invoices.c.collection,
    invoices.c.issued_on,
    invoices.c.due_on,
    invoices.c.currency,
    invoices.c.net_minor,
    invoices.c.tax_minor,
    invoices.c.total_minor,
    OPEN_MINOR.label("left_minor"),
)


def invoice_list(
    store: Store,
    scope: Scope,
    *,
    number: str | None = None,
    is_open: bool = False,
    after: Sequence[object] | None,
    limit: int,
) -> Page:
    """Issued invoices, the newest first, with `left_minor`, what is still to pay of an open one."""
    of = [*scope.where(invoices.c.customer_id), invoices.c.number.is_not(None)]
    if number:
        of.append(invoices.c.number == number)
    if is_open:
        of.append(invoices.c.state == "open")
    return page(
        store, _INVOICE.where(*of), (invoices.c.invoice_id,), after=after, limit=limit, descending=True
    )


def invoice(store: Store, scope: Scope, *, invoice_id: str) -> Row | None:
    """An issued invoice, as in the list."""
    of = [invoices.c.invoice_id == invoice_id, invoices.c.number.is_not(None)]
    return store.row(_INVOICE.where(*of, *scope.where(invoices.c.customer_id)))


def credit_note_list(store: Store, scope: Scope, *, after: Sequence[object] | None, limit: int) -> Page:
    """Credit notes, the newest first."""
    asked = select(
        credit_notes.c.note_id,
        credit_notes.c.number,
        credit_notes.c.customer_id,
        credit_notes.c.reason,
        credit_notes.c.issued_on,
        credit_notes.c.currency,
        credit_notes.c.total_minor,
        invoices.c.number.label("invoice_number"),
    ).outerjoin(invoices, invoices.c.invoice_id == credit_notes.c.invoice_id)
    of = [*scope.where(credit_notes.c.customer_id), credit_notes.c.number.is_not(None)]
    return page(store, asked.where(*of), (credit_notes.c.note_id,), after=after, limit=limit, descending=True)


def credit_note(store: Store, scope: Scope, *, note_id: str) -> Row | None:
    asked = select(credit_notes).where(
        credit_notes.c.note_id == note_id,
        credit_notes.c.number.is_not(None),
        *scope.where(credit_notes.c.customer_id),
    )
    return store.row(asked)


# What needs something done.


@dataclass(frozen=True, slots=True)
class Needs:
    """`failed`: charges that did not go through, with their invoice. `overdue`: open invoices past their day,
    a row a currency. `methods`: the ways to pay that are tried, of which `expiring` end soon."""

    failed: tuple[Row, ...]
    overdue: tuple[Row, ...]
    methods: tuple[Row, ...]
    expiring: tuple[Row, ...]


def needs(store: Store, scope: Scope, *, customer_id: str, today: date) -> Needs:
    """What a customer had better see to."""
    failed = store.rows(
        select(
            payments.c.payment_id,
            payments.c.invoice_id,
            payments.c.amount_minor,
            payments.c.currency,
            payments.c.next_attempt_at,
            invoices.c.number,
        )
        .join(invoices, invoices.c.invoice_id == payments.c.invoice_id)
        .where(
            payments.c.customer_id == customer_id, payments.c.state == "failed", invoices.c.state == "open"
        )
        .where(*scope.where(payments.c.customer_id))
        .order_by(payments.c.payment_id)
        .limit(20)
    )
    late = _summed(store, today, [invoices.c.customer_id == customer_id], (invoices.c.currency,))
    asked = (
        select(
            payment_methods.c.method_id,
            payment_methods.c.kind,
            payment_methods.c.expires_on,
            payment_methods.c.is_default,
        )
        .where(
            payment_methods.c.customer_id == customer_id,
            or_(payment_methods.c.valid_to.is_(None), payment_methods.c.valid_to > today),
            *scope.where(payment_methods.c.customer_id),
        )
        .order_by(payment_methods.c.is_default.desc(), payment_methods.c.method_id)
    )
    methods = store.rows(asked)
    soon = today + EXPIRES_SOON
    ending = [row for row in methods if row["is_default"] and row["expires_on"] and row["expires_on"] <= soon]
    return Needs(
        tuple(failed),
        tuple(row for row in late if row["overdue_minor"] > 0),
        tuple(methods),
        tuple(ending),
    )


@dataclass(frozen=True, slots=True)
class Charge:
    """What is invoiced on a day as things stand, usage so far among it, less what is credited; with tax."""

    on: date
    total_minor: int
    currency: str


def next_charge(store: Store, at: datetime, *, customer: Row, held: Sequence[Held]) -> Charge | None:
    """What a customer is charged next; on a store whose writes are taken back. None: nothing is ahead."""
    today = local_date(at, customer["time_zone"])
    days = [
        part.boundary
        for one in held
        for part in one.parts
        if one.own.ends_on is None or part.boundary < one.own.ends_on
    ]
    if not days:
        return None
    day = max(min(days), today)
    found = preview(store, at, customer_id=customer["customer_id"], up_to=day)
    documents = found.documents
    total_minor = int(documents["total_minor"].sum()) - int(documents["note_total_minor"].sum())
    return Charge(day, total_minor, customer["currency"])


@dataclass(frozen=True, slots=True)
class Used:
    """Usage of a period that runs, as a bill run at its end would post it by now."""

    description: str
    period_start: date
    period_end: date
    quantity_mantissa: int | None
    quantity_scale: int | None
    net_minor: int
    currency: str


def used_so_far(store: Store, at: datetime, *, customer: Row, held: Sequence[Held]) -> list[Used]:
    """Usage that is not billed yet and what it costs so far; on a store whose writes are taken back."""
    charge = [part.boundary for one in held for part in one.parts]
    if not charge:
        return []
    found = preview(store, at, customer_id=customer["customer_id"], up_to=max(charge)).lines
    rows = found.filter(found["kind"] == "usage").sort("service_start", "description").to_dicts()
    return [
        Used(
            row["description"],
            row["service_start"],
            row["service_end"],
            row["quantity_mantissa"],
            row["quantity_scale"],
            row["net_minor"],
            row["currency"],
        )
        for row in rows
    ]
