"""People of a customer who serve themselves: who they are, what they may do, and up to which cost alone.

A buyer orders, an approver also agrees to what costs more than its buyer may order alone, a viewer looks. An
account admin, whatever the role, invites and removes the others.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, case, func, select, update

from billing.core.money import LINE_LIMIT, BillingError, within
from billing.service.acts import act
from billing.service.customers import customer as customer_row
from billing.store.store import Row, Store
from billing.store.tables import portal_sessions, portal_users

ROLES = ("buyer", "approver", "viewer")
_CHANGEABLE = ("name", "role", "is_account_admin", "sees_children", "limit_minor", "locale")
_EMAIL = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,185}\.[A-Za-z0-9-]{2,63}")
_LONGEST_NAME = 200


@act
def invite_user(
    store: Store,
    at: datetime,
    *,
    customer_id: str,
    email: str,
    name: str,
    role: str = "buyer",
    is_account_admin: bool = False,
    sees_children: bool = False,
    limit_minor: int | None = None,
    locale: str | None = None,
) -> str:
    """Let a person sign in for a customer; returns the user's id, the one of before for one that was removed.

    sees_children: also for the customers below. limit_minor: in the customer's currency, the largest cost
    that the user orders alone; None for any. Raises `unknown_customer`, `bad_email`, `missing_value` without
    name, `unknown_setting` for another role, `negative_quantity` and `amount_out_of_range` for the limit,
    `immutable` where the address is a user's already.
    """
    customer_row(store, customer_id)
    address = email_address(email)
    facts: Row = {
        "name": name,
        "role": role,
        "is_account_admin": is_account_admin,
        "sees_children": sees_children,
        "limit_minor": limit_minor,
        "locale": locale,
    }
    _check(facts)
    facts |= {"name": name.strip(), "state": "invited"}
    known = store.row(_BY_EMAIL, {"customer": customer_id, "email": address})
    if known is None:
        user_id = store.new_id("pu")
        row = {"user_id": user_id, "customer_id": customer_id, "email": address} | facts
        store.insert(portal_users, [row], at)
        return user_id
    if known["state"] != "removed":
        raise BillingError("immutable", "somebody signs in with this address", field="email")
    store.update(portal_users, [{"user_id": known["user_id"]} | facts], at)
    return str(known["user_id"])


@act
def change_user(store: Store, at: datetime, /, *, user_id: str, **changes: Any) -> None:
    """Change name, role, is_account_admin, sees_children, limit_minor or locale of a user.

    Raises `unknown_user`, `illegal_transition` where nobody would be left who manages the others, and as
    `invite_user`.
    """
    unknown = set(changes) - set(_CHANGEABLE)
    if unknown:
        raise BillingError("unknown_setting", f"users have no {', '.join(sorted(unknown))} to change")
    row = _held_user(store, user_id)
    _check({name: row[name] for name in _CHANGEABLE} | changes)
    if row["is_account_admin"] and changes.get("is_account_admin") is False:
        _check_not_last(store, row)
    store.update(portal_users, [{"user_id": user_id} | changes], at)


@act
def remove_user(store: Store, at: datetime, *, user_id: str) -> None:
    """Let a person sign in no more; what is open in a browser ends. Raises `unknown_user`,
    `illegal_transition` for the last account admin while there are others."""
    row = _held_user(store, user_id)
    if row["is_account_admin"]:
        _check_not_last(store, row)
    store.update(portal_users, [{"user_id": user_id, "state": "removed"}], at)
    store.execute(_END_SESSIONS, {"id": user_id, "now": at})


def email_address(email: str) -> str:
    """An address as it is kept and compared: in small letters. Raises `bad_email`."""
    address = email.strip().lower()
    if len(address) > 254 or not _EMAIL.fullmatch(address):
        raise BillingError("bad_email", "", field="email")
    return address


def _check(facts: Row) -> None:
    name = str(facts["name"]).strip()
    if not name or len(name) > _LONGEST_NAME:
        raise BillingError("missing_value", "a user has a name", field="name")
    if facts["role"] not in ROLES:
        raise BillingError("unknown_setting", f"role = {facts['role']!r}", field="role")
    limit_minor = facts["limit_minor"]
    if limit_minor is not None:
        if limit_minor < 0:
            raise BillingError("negative_quantity", f"a limit of {limit_minor}", field="limit_minor")
        within(limit_minor, LINE_LIMIT)


_BY_EMAIL = select(portal_users).where(
    portal_users.c.customer_id == bindparam("customer"), portal_users.c.email == bindparam("email")
)
_ONE = select(portal_users).where(portal_users.c.user_id == bindparam("id"))
_HELD = _ONE.where(portal_users.c.state != "removed").with_for_update()
_OTHERS = select(
    func.count().label("users"),
    func.coalesce(func.sum(case((portal_users.c.is_account_admin, 1), else_=0)), 0).label("admins"),
).where(
    portal_users.c.customer_id == bindparam("customer"),
    portal_users.c.user_id != bindparam("id"),
    portal_users.c.state != "removed",
)
_END_SESSIONS = (
    update(portal_sessions)
    .where(portal_sessions.c.user_id == bindparam("id"), portal_sessions.c.ended_at.is_(None))
    .values(ended_at=bindparam("now"), changed_at=bindparam("now"))
)


def find_user(store: Store, user_id: str) -> Row | None:
    return store.row(_ONE, {"id": user_id})


def _held_user(store: Store, user_id: str) -> Row:
    row = store.row(_HELD, {"id": user_id})
    if row is None:
        raise BillingError("unknown_user", user_id)
    return row


def _check_not_last(store: Store, row: Row) -> None:
    others = store.row(_OTHERS, {"customer": row["customer_id"], "id": row["user_id"]})
    if others and others["users"] and not others["admins"]:
        raise BillingError("illegal_transition", "nobody would be left to manage the users")
