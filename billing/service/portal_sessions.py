"""Ways into the portal and what comes of them: a link, used once, begins a session of one browser.

Only hashes of what a link or a browser holds are kept. Whoever hands out a link or a cookie makes it with
`secrets` and gives `hash_of` it here. A link that is unknown, used or too old is refused in the same words.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, or_, select, update

from billing.core.money import BillingError
from billing.service.customers import customer as customer_row
from billing.store.audit import keep_entry
from billing.store.store import Row, Store
from billing.store.tables import portal_links, portal_sessions, portal_users

LINK_LASTS = {"session": timedelta(minutes=10), "mail": timedelta(minutes=15), "invite": timedelta(days=7)}
MAILS_AN_HOUR = 3
IDLE = timedelta(hours=2)
LASTS = timedelta(hours=12)
_SEEN_EVERY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in. `user_id` None: as the customer itself, by a link of the merchant's
    server. `task`, `target`: the only thing it opens."""

    session_id: str
    user_id: str | None
    customer_id: str
    task: str | None
    target: str | None
    csrf_seed: str
    expires_at: datetime


def hash_of(token: str) -> str:
    """What is kept of a secret of 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def make_link(
    store: Store,
    at: datetime,
    *,
    token_hash: str,
    customer_id: str,
    user_id: str | None = None,
    kind: str = "session",
    task: str | None = None,
    target: str | None = None,
) -> str:
    """A way in for a customer, or for one of its users; returns the link's id. It lasts as LINK_LASTS says.

    Raises `unknown_customer`, `unknown_user` for one who is removed or another customer's, `unknown_setting`
    for another kind.
    """
    if kind not in LINK_LASTS:
        raise BillingError("unknown_setting", f"kind = {kind!r}")
    with store.transaction():
        customer_row(store, customer_id)
        if user_id is not None:
            user = store.row(_USER, {"id": user_id})
            if user is None or user["customer_id"] != customer_id or user["state"] == "removed":
                raise BillingError("unknown_user", user_id)
        link_id = store.new_id("lnk")
        row = {
            "link_id": link_id,
            "token_hash": token_hash,
            "user_id": user_id,
            "customer_id": customer_id,
            "kind": kind,
            "task": task,
            "target": target,
            "made_by": store.actor,
            "expires_at": at + LINK_LASTS[kind],
        }
        store.insert(portal_links, [row], at)
        said = {"kind": kind, "user_id": user_id, "task": task}
        keep_entry(store, at, "make_portal_link", said, subject_id=link_id, customer_id=customer_id)
    return link_id


def may_mail(store: Store, at: datetime, *, user_id: str) -> bool:
    """Whether a user may be sent another link now: MAILS_AN_HOUR at most."""
    row = store.row(_MAILED, {"id": user_id, "since": at - timedelta(hours=1)})
    return row is not None and row["mails"] < MAILS_AN_HOUR


def use_link(
    store: Store, at: datetime, *, token_hash: str, session_hash: str, csrf_seed: str, ends: str | None = None
) -> Session:
    """Begin a session by a link, which is used up; `ends`: the hash of a session of the same browser, which
    ends. Two who use one link at once do not both come in. Raises `link_used`."""
    with store.transaction():
        used = store.execute(_USE, {"hash": token_hash, "now": at})
        link = store.row(_LINK, {"hash": token_hash}) if used == 1 else None
        if link is None or (link["user_id"] is not None and not _is_let_in(store, at, link)):
            raise BillingError("link_used", "")
        if ends is not None:
            store.execute(_END, {"hash": ends, "now": at})
        row = {
            "session_id": store.new_id("ses"),
            "token_hash": session_hash,
            "user_id": link["user_id"],
            "customer_id": link["customer_id"],
            "task": link["task"],
            "target": link["target"],
            "started_at": at,
            "seen_at": at,
            "expires_at": at + LASTS,
            "csrf_seed": csrf_seed,
        }
        store.insert(portal_sessions, [row], at)
        with store.acting_as(actor_of(link["user_id"], link["customer_id"])):
            keep_entry(
                store,
                at,
                "sign_in",
                {"kind": link["kind"]},
                subject_id=row["session_id"],
                customer_id=link["customer_id"],
            )
    return _session(row)


def actor_of(user_id: str | None, customer_id: str) -> str:
    """How the audit log names who is signed in."""
    return f"user:{user_id}" if user_id else f"link:{customer_id}"


def _is_let_in(store: Store, at: datetime, link: Row) -> bool:
    user = store.row(_USER, {"id": link["user_id"]})
    if user is None or user["state"] == "removed":
        return False
    if user["state"] == "invited":
        store.update(portal_users, [{"user_id": link["user_id"], "state": "active"}], at)
    return True


def session_of(store: Store, at: datetime, token_hash: str) -> Session | None:
    """The session of a browser, unless it ended, is too old, or was idle too long."""
    row = store.row(_SESSION, {"hash": token_hash})
    if row is None or not hmac.compare_digest(row["token_hash"], token_hash):
        return None
    if row["ended_at"] is not None or at >= row["expires_at"] or at - row["seen_at"] >= IDLE:
        return None
    return _session(row)


def is_to_be_seen(store: Store, at: datetime, session_id: str) -> bool:
    """Whether `see` would move the mark of when a session was last used."""
    row = store.row(_SEEN, {"id": session_id})
    return row is not None and at - row["seen_at"] >= _SEEN_EVERY


def see(store: Store, at: datetime, session_id: str) -> None:
    """Note that a session is in use."""
    store.update(portal_sessions, [{"session_id": session_id, "seen_at": at}], at)


def end_session(store: Store, at: datetime, *, token_hash: str) -> None:
    """Let a browser be signed in no more."""
    store.execute(_END, {"hash": token_hash, "now": at})


def _session(row: Row) -> Session:
    names = ("session_id", "user_id", "customer_id", "task", "target", "csrf_seed", "expires_at")
    return Session(**{name: row[name] for name in names})


_USER = select(portal_users).where(portal_users.c.user_id == bindparam("id"))
_LINK = select(portal_links).where(portal_links.c.token_hash == bindparam("hash"))
_USE = (
    update(portal_links)
    .where(
        portal_links.c.token_hash == bindparam("hash"),
        portal_links.c.used_at.is_(None),
        portal_links.c.expires_at > bindparam("now"),
    )
    .values(used_at=bindparam("now"))
)
_MAILED = select(func.count().label("mails")).where(
    portal_links.c.user_id == bindparam("id"),
    portal_links.c.recorded_at > bindparam("since"),
    portal_links.c.kind == "mail",
)
_SESSION = select(portal_sessions).where(portal_sessions.c.token_hash == bindparam("hash"))
_SEEN = select(portal_sessions.c.seen_at).where(portal_sessions.c.session_id == bindparam("id"))
_END = (
    update(portal_sessions)
    .where(portal_sessions.c.token_hash == bindparam("hash"), portal_sessions.c.ended_at.is_(None))
    .values(ended_at=bindparam("now"), changed_at=bindparam("now"))
)


def forget(store: Store, before: datetime) -> int:
    """Take away links and sessions that were over by an instant; how many those were."""
    with store.transaction():
        ended = or_(portal_sessions.c.expires_at < before, portal_sessions.c.ended_at < before)
        sessions = store.execute(portal_sessions.delete().where(ended))
        return sessions + store.execute(portal_links.delete().where(portal_links.c.expires_at < before))
