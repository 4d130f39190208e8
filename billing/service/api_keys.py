"""Keys of programs that call over HTTP: made, given another secret, taken back.

A key is text that its owner sees once: `tj_live_<12 signs>_<43 signs>`. Kept are its beginning, by which it
is found, and the SHA-256 of the whole. What a key may do is a set of scopes, `<thing>:read`, `:write` or
`:admin`, each with all before it; `*` stands for every thing. A key that belongs to a customer sees that
customer and those below alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import date, datetime
from typing import Literal, NamedTuple, TypeAlias

from sqlalchemy import bindparam, or_, select, update

from billing.core.money import BillingError
from billing.service.acts import act
from billing.service.customers import customer
from billing.store.store import Row, Store
from billing.store.tables import api_keys

Mode: TypeAlias = Literal["live", "test"]

THINGS = (
    "approvals",
    "audit",
    "books",
    "bulk",
    "catalog",
    "contracts",
    "customers",
    "dunning",
    "events",
    "invoices",
    "keys",
    "orders",
    "payments",
    "portal",
    "subscriptions",
    "test_clock",
    "usage",
    "wallets",
    "webhooks",
)
_USES = ("read", "write", "admin")

_SPELLING = re.compile(r"(tj_(?:live|test)_[a-z2-7]{12})_[A-Za-z0-9_-]{43}")
_NO_HASH = hashlib.sha256(secrets.token_bytes(32)).hexdigest()
"""What no key has."""


class Minted(NamedTuple):
    """A new key: what its owner is shown once, and what is kept of it."""

    token: str
    prefix: str
    key_hash: str


def mint(mode: Mode) -> Minted:
    """A key that nobody can guess, for real money (`live`) or for trying."""
    signs = base64.b32encode(secrets.token_bytes(8)).decode().lower()[:12]
    prefix = f"tj_{mode}_{signs}"
    token = f"{prefix}_{secrets.token_urlsafe(32)}"
    return Minted(token, prefix, _hash_of(token))


def _hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


_BY_PREFIX = select(api_keys).where(api_keys.c.prefix == bindparam("prefix"))
_BY_ID = select(api_keys).where(api_keys.c.key_id == bindparam("id"))
_USE = (
    update(api_keys)
    .where(
        api_keys.c.key_id == bindparam("id"),
        or_(api_keys.c.last_used_on.is_(None), api_keys.c.last_used_on < bindparam("on")),
    )
    .values(last_used_on=bindparam("on"))
)


def prefix_of(token: str) -> str | None:
    """The beginning of what is spelled like a key; None for anything else."""
    spelled = _SPELLING.fullmatch(token)
    return spelled[1] if spelled else None


def key_of(store: Store, token: str, mode: Mode) -> Row | None:
    """The row of a key of this mode, revoked or expired ones too; None for what is none. It takes as long
    whether the beginning is known or not."""
    prefix = prefix_of(token)
    row = store.row(_BY_PREFIX, {"prefix": prefix or ""})
    is_same = hmac.compare_digest(_hash_of(token), str(row["key_hash"]) if row else _NO_HASH)
    is_of_mode = prefix is not None and prefix.startswith(f"tj_{mode}_")
    return row if is_same and is_of_mode else None


def is_valid(key: Row, at: datetime) -> bool:
    """Whether a key opens anything at an instant."""
    return key["revoked_at"] is None and (key["expires_at"] is None or at < key["expires_at"])


def note_use(store: Store, key: Row, on: date) -> None:
    """Say when a key was used last; at most one write a day."""
    if key["last_used_on"] is None or key["last_used_on"] < on:
        store.execute(_USE, {"id": key["key_id"], "on": on})


@act
def create_key(
    store: Store,
    at: datetime,
    *,
    owner: str,
    name: str,
    prefix: str,
    key_hash: str,
    scopes: Iterable[str],
    version: date,
    customer_id: str | None = None,
    expires_at: datetime | None = None,
    key_id: str | None = None,
) -> str:
    """Let who has a key (`mint`) call; returns its id. owner: who it belongs to, also after `roll_key`.

    Raises `missing_value` without owner, name or scopes, `unknown_scope`, `unknown_customer`, `empty_period`
    where it would be over when it begins, `naive_time`.
    """
    wanted = sorted(set(scopes))
    if not owner.strip() or not name.strip() or not wanted:
        raise BillingError("missing_value", "a key has an owner, a name and a scope")
    for scope in wanted:
        thing, _, use = scope.partition(":")
        if use not in _USES or thing not in ("*", *THINGS):
            raise BillingError("unknown_scope", scope, field="scopes")
    if customer_id is not None:
        customer(store, customer_id)
    _check_end(at, expires_at)
    key: Row = {
        "key_id": key_id or store.new_id("ak"),
        "owner": owner.strip(),
        "name": name.strip(),
        "prefix": prefix,
        "key_hash": key_hash,
        "scopes": " ".join(wanted),
        "customer_id": customer_id,
        "version": version,
        "created_by": store.actor,
        "expires_at": expires_at,
    }
    store.insert(api_keys, [key], at)
    return str(key["key_id"])


@act
def roll_key(
    store: Store, at: datetime, *, key_id: str, prefix: str, key_hash: str, old_ends_at: datetime
) -> str:
    """Let another key take the place of one, with its owner, name, scopes, customer, version and end; returns
    the id of the new one. The old one opens until `old_ends_at`, or its own end where that comes first.

    Raises `unknown_key`, `illegal_transition` for a key that is revoked or over.
    """
    old = key_row(store, key_id)
    if not is_valid(old, at):
        raise BillingError("illegal_transition", f"{key_id} opens nothing any more")
    end = max(at, old_ends_at if old["expires_at"] is None else min(old_ends_at, old["expires_at"]))
    new_id = store.new_id("ak")
    kept = ("owner", "name", "scopes", "customer_id", "version", "expires_at")
    new: Row = {name: old[name] for name in kept}
    new |= {"key_id": new_id, "prefix": prefix, "key_hash": key_hash, "created_by": store.actor}
    store.insert(api_keys, [new], at)
    store.update(api_keys, [{"key_id": key_id, "expires_at": end}], at)
    return new_id


@act
def revoke_key(store: Store, at: datetime, *, key_id: str) -> None:
    """End a key at once; one that is revoked stays so. Raises `unknown_key`."""
    if key_row(store, key_id)["revoked_at"] is None:
        store.update(api_keys, [{"key_id": key_id, "revoked_at": at}], at)


def key_row(store: Store, key_id: str) -> Row:
    """A key as it is kept. Raises `unknown_key`."""
    row = store.row(_BY_ID, {"id": key_id})
    if row is None:
        raise BillingError("unknown_key", key_id)
    return row


def _check_end(at: datetime, ends_at: datetime | None) -> None:
    if ends_at is None:
        return
    if ends_at.tzinfo is None:
        raise BillingError("naive_time", f"{ends_at} has no time zone")
    if ends_at <= at:
        raise BillingError("empty_period", f"a key from {at} to {ends_at}")
