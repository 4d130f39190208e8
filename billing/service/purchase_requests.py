"""Orders that cost more than who places them may order alone: an approver of the same customer, or of one
above it, agrees or does not. Nobody agrees to an order of their own.

This is the customer's own word. An order that the merchant's credit limit holds waits for the merchant all
the same, before or after.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import bindparam, select

from billing.core.money import BillingError, post
from billing.core.subscription import Subscription, yearly_amount
from billing.service.acts import Held, act
from billing.service.carried_orders import carry_out
from billing.service.catalog import plan_version
from billing.service.orders import approved
from billing.service.previews import ChangePreview, preview_change
from billing.store.store import Row, Store
from billing.store.subscriptions import read_standing
from billing.store.tables import customers, portal_users, purchase_requests


@dataclass(frozen=True, slots=True)
class Cost:
    """What an order costs. `due_now_minor`: what a bill run of today would invoice less what it would credit,
    with tax; `yearly_minor`: by how much fees and seats of a year rise (below 0: fall), before tax.
    `before`, `after`: the subscription as it is, and as it would be. `held`: the code by which the merchant
    would have to agree. `preview_hash` changes with any of these figures."""

    due_now_minor: int
    yearly_minor: int
    currency: str
    before: Subscription
    after: Subscription
    shown: ChangePreview
    held: str | None
    preview_hash: str

    @property
    def largest_minor(self) -> int:
        """What a limit is compared with."""
        return max(self.due_now_minor, self.yearly_minor)


def cost_of(
    store: Store, at: datetime, *, subscription_id: str, act: str, arguments: Mapping[str, Any]
) -> Cost:
    """What an order about a subscription costs, found by doing it and taking it back.

    arguments: as `acts.as_json` makes them. Raises what the act raises, and `no_price` and the like where
    what follows could not be billed.
    """
    standing = read_standing(store, at, subscription_id)
    before, currency = standing.subscription, str(standing.customer["currency"])
    order = {"act": act, "arguments": dict(arguments)}
    found: list[Subscription] = []

    def done(store: Store, at: datetime) -> None:
        carry_out(store, at, order)
        found.append(read_standing(store, at, subscription_id).subscription)

    held = None
    try:
        shown = preview_change(store, at, done, customer_id=before.sold_to, shows_held=True)
    except Held as waits:
        held = waits.code
        with approved():
            shown = preview_change(store, at, done, customer_id=before.sold_to, shows_held=True)
    if not shown.failures.is_empty():
        raise BillingError(str(shown.failures.row(0, named=True)["code"]), "")
    (after,) = found[-1:]
    ends_anyway = before.ends_on is not None and after.ends_on is not None
    yearly_minor = _yearly(store, after, ends_anyway) - _yearly(store, before, ends_anyway)
    about = [act, order["arguments"], held, shown.total_minor, yearly_minor, _facts(after), _lines(shown)]
    preview_hash = hashlib.sha256(json.dumps(about, default=str, sort_keys=True).encode()).hexdigest()[:32]
    return Cost(shown.total_minor, yearly_minor, currency, before, after, shown, held, preview_hash)


def _yearly(store: Store, of: Subscription, ends_anyway: bool) -> int:
    """What fees and seats cost a year once all that is agreed has come; nothing where it ends. `ends_anyway`:
    whatever is ordered, so that the order is told by what it costs while it runs; the end may be undone."""
    if of.ends_on is not None and not ends_anyway:
        return 0
    total = 0
    for item in of.items:
        if not item.versions or item.ended_on is not None or item.versions[-1].effective_end is not None:
            continue
        last = item.versions[-1]
        interval = plan_version(store, last.plan_id, last.plan_version).interval
        total += post(*yearly_amount(last.recurring_minor, interval))
    return total


def _facts(of: Subscription) -> list[Any]:
    """What a subscription is agreed to be, without names of rows."""
    versions = [
        (one.effective_start, one.effective_end, one.plan_id, one.quantity, one.pause, one.recurring_minor)
        for item in of.items
        for one in item.versions
    ]
    return [of.ends_on, versions]


_LINE = ("kind", "entry", "service_start", "service_end", "net_minor", "tax_minor", "description")


def _lines(shown: ChangePreview) -> list[tuple[Any, ...]]:
    return sorted(shown.lines.select(_LINE).rows(), key=str)


# Asking and agreeing.


@act
def ask_for_approval(
    store: Store,
    at: datetime,
    *,
    customer_id: str,
    asked_by: str,
    act: str,
    arguments: Mapping[str, Any],
    due_now_minor: int,
    yearly_minor: int,
    currency: str,
    preview_hash: str,
) -> str:
    """Keep an order for an approver, with the figures its buyer saw; returns the request's id. Raises
    `unknown_user` for a buyer who is not there."""
    if store.row(_USER, {"id": asked_by}) is None:
        raise BillingError("unknown_user", asked_by)
    row = {
        "request_id": store.new_id("req"),
        "customer_id": customer_id,
        "asked_by": asked_by,
        "act": act,
        "arguments": json.dumps(dict(arguments), sort_keys=True),
        "due_now_minor": due_now_minor,
        "yearly_minor": yearly_minor,
        "currency": currency,
        "state": "pending",
        "preview_hash": preview_hash,
    }
    store.insert(purchase_requests, [row], at)
    return str(row["request_id"])


@act
def decide_request(store: Store, at: datetime, *, request_id: str, decided_by: str, is_approved: bool) -> str:
    """Agree to an order, which is then placed as if it were made now, or do not; returns its state.

    An order that costs more by now than was asked for is not placed: `preview_changed`. One that the engine
    refuses, or for an add-on that is there by now, is `failed` with the code; one that the merchant has to
    agree to is approved, and names the approval. Raises `unknown_request`, `illegal_transition` where it was
    decided before, `role_missing` for who asked, and for who is no approver of the customer or of one above
    it.
    """
    row = _held_request(store, request_id)
    _check_approver(store, row, decided_by)
    change: Row = {"request_id": request_id, "decided_by": decided_by, "decided_at": at, "state": "rejected"}
    if is_approved:
        change |= _placed(store, at, row)
    store.update(purchase_requests, [{"code": None, "approval_id": None} | change], at)
    return str(change["state"])


def _placed(store: Store, at: datetime, row: Row) -> Row:
    order = {"act": row["act"], "arguments": json.loads(row["arguments"])}
    subject = str(order["arguments"]["subscription_id"])
    try:
        now = cost_of(store, at, subscription_id=subject, act=order["act"], arguments=order["arguments"])
        if now.due_now_minor > row["due_now_minor"] or now.yearly_minor > row["yearly_minor"]:
            raise BillingError("preview_changed", f"{now.due_now_minor} now, {now.yearly_minor} a year")
        if row["act"] == "add_item" and _has_add_on(now.before, order["arguments"]["plan_id"]):
            raise BillingError("illegal_plan", f"{subject} has it by now")
        carry_out(store, at, order)
    except Held as waits:
        return {"state": "approved", "approval_id": waits.approval_id}
    except BillingError as refused:
        if refused.code == "preview_changed":
            raise
        return {"state": "failed", "code": refused.code}
    return {"state": "approved"}


def _has_add_on(subscription: Subscription, plan_id: str) -> bool:
    """Whether an add-on goes on that customers choose once."""
    last = [item.versions[-1] for item in subscription.items if item.is_add_on and item.versions]
    return any(one.plan_id == plan_id and one.effective_end is None for one in last)


@act
def withdraw_request(store: Store, at: datetime, *, request_id: str, asked_by: str) -> None:
    """Take an order back that nobody decided on. Raises `unknown_request`, also for another's,
    `illegal_transition`."""
    row = _held_request(store, request_id)
    if row["asked_by"] != asked_by:
        raise BillingError("unknown_request", request_id)
    change = {"request_id": request_id, "state": "withdrawn", "decided_by": asked_by, "decided_at": at}
    store.update(purchase_requests, [change], at)


_USER = select(portal_users).where(
    portal_users.c.user_id == bindparam("id"), portal_users.c.state != "removed"
)
_REQUEST = select(purchase_requests).where(purchase_requests.c.request_id == bindparam("id"))
_PARENT = select(customers.c.parent_id).where(customers.c.customer_id == bindparam("id"))


def _held_request(store: Store, request_id: str) -> Row:
    row = store.row(_REQUEST.with_for_update(), {"id": request_id})
    if row is None:
        raise BillingError("unknown_request", request_id)
    if row["state"] != "pending":
        raise BillingError("illegal_transition", f"{request_id} is {row['state']}")
    return row


def _check_approver(store: Store, request: Row, user_id: str) -> None:
    user = store.row(_USER, {"id": user_id})
    if user is None or user["role"] != "approver" or user_id == request["asked_by"]:
        raise BillingError("role_missing", "an approver decides, and not on an own order")
    below: str | None = request["customer_id"]
    while below is not None and below != user["customer_id"]:
        if not user["sees_children"]:
            raise BillingError("unknown_request", request["request_id"])
        above = store.row(_PARENT, {"id": below})
        below = above["parent_id"] if above else None
    if below is None:
        raise BillingError("unknown_request", request["request_id"])


_FREE = frozenset(("cancel", "undo_cancel", "pause", "resume", "remove_item"))
"""Acts that only take away, or bring back what was agreed before: nobody has to agree to them."""


def is_above(limit_minor: int | None, currency: str, cost: Cost, act: str) -> bool:
    """Whether an order costs more than somebody may order alone (None: any). A limit says nothing of another
    currency: there it is above with any cost."""
    if limit_minor is None or act in _FREE:
        return False
    return cost.largest_minor > (limit_minor if cost.currency == currency else 0)


def changes_from(cost: Cost, today: date) -> date | None:
    """The first day from today on whose terms the order makes other than they were; None for none."""
    days = set()
    ends = {item.versions[-1].effective_end for item in cost.before.items if item.versions}
    known = {
        (one.item_id, one.effective_start, one.plan_id, one.quantity, one.pause, one.recurring_minor)
        for item in cost.before.items
        for one in item.versions
    }
    for item in cost.after.items:
        for one in item.versions:
            terms = (
                one.item_id,
                one.effective_start,
                one.plan_id,
                one.quantity,
                one.pause,
                one.recurring_minor,
            )
            if terms not in known and one.effective_start >= today:
                days.add(one.effective_start)
        end = item.versions[-1].effective_end if item.versions else None
        if end is not None and end >= today and end not in ends and cost.after.ends_on is None:
            days.add(end)
    return min(days, default=None)
