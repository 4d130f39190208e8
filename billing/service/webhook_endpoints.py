"""Addresses that events are sent to, as acts: made, changed, paused, enabled, removed, tried, told again.

The worker (jobs.deliver_webhooks) alone says what is sent next; an act that moves deliveries marks the
endpoint, and the worker looks anew. Addresses are looked at before an act (gateways.http_receiver.check_url),
as a name may take its time. Secrets come sealed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, Integer, bindparam, exists, func, insert, literal, or_, select, update

from billing.core.money import BillingError
from billing.jobs.event_catalogue import PUBLIC, is_topic
from billing.jobs.sequence_events import TEST, WAITING
from billing.service.acts import act, announce
from billing.service.customers import customer
from billing.store.store import Row, Store
from billing.store.tables import events, outbox, webhook_deliveries, webhook_endpoints, webhook_secrets

MOST_SECRETS = 4
"""Secrets that sign at once."""
MOST_REPLAYED = 10_000
"""Events that one replay goes through."""

_ONE = select(webhook_endpoints).where(webhook_endpoints.c.endpoint_id == bindparam("id")).with_for_update()
_LATE = timedelta(days=1)
"""How old a message may be that has no number yet and is taken for one that came to stand only now."""
_PASSED_BY = (
    select(func.count())
    .select_from(outbox)
    .where(outbox.c.sequenced_at.is_(None), outbox.c.recorded_at < bindparam("before"))
    .scalar_subquery()
)
"""What is older, as in a database of before there were webhooks: it gets the numbers that follow."""
_LAST = select((func.coalesce(func.max(events.c.sequence), 0) + _PASSED_BY).label("sequence"))
_RUNNING = select(webhook_secrets).where(
    webhook_secrets.c.endpoint_id == bindparam("id"),
    or_(webhook_secrets.c.ends_at.is_(None), webhook_secrets.c.ends_at > bindparam("now")),
)
_ANEW = (
    update(webhook_deliveries)
    .where(
        webhook_deliveries.c.endpoint_id == bindparam("id"),
        webhook_deliveries.c.state == WAITING,
        webhook_deliveries.c.first_attempt_at.is_not(None),
    )
    .values(failures=0, first_attempt_at=None, next_attempt_at=None, changed_at=bindparam("now"))
)


@act
def create_endpoint(
    store: Store,
    at: datetime,
    *,
    owner: str,
    url: str,
    sealed: str,
    version: date,
    topics: Sequence[str] = ("*",),
    customer_id: str | None = None,
    endpoint_id: str | None = None,
) -> str:
    """An address that gets events from now on; returns its id. `topics`: `*`, topics, or `thing.*`.
    `customer_id`: only what is about this customer. `sealed`: its first secret.

    Raises `unknown_topic`, `unknown_customer`, `immutable` (the id is taken).
    """
    if customer_id is not None:
        customer(store, customer_id)
    last = store.row(_LAST, {"before": at - _LATE})
    assert last is not None
    row: Row = {
        "endpoint_id": endpoint_id or store.new_id("we"),
        "owner": owner,
        "url": url,
        "topics": _topics(topics),
        "customer_id": customer_id,
        "version": version,
        "state": "enabled",
        "from_sequence": last["sequence"],
    }
    store.insert(webhook_endpoints, [row], at)
    _add_secret(store, at, row["endpoint_id"], sealed)
    announce(store, at, "webhook_endpoint.created", row["endpoint_id"], {"customer_id": customer_id})
    return str(row["endpoint_id"])


@act
def change_endpoint(
    store: Store,
    at: datetime,
    *,
    endpoint_id: str,
    url: str | None = None,
    topics: Sequence[str] | None = None,
    is_paused: bool | None = None,
) -> None:
    """Change where events go and which, from the next attempt on, or let them wait for a time (`is_paused`);
    what waited then has three days again.

    Raises `unknown_endpoint`, `unknown_topic`, `illegal_transition` to pause one that is disabled, or go on
    with it: enable it.
    """
    row = _held(store, endpoint_id)
    change: Row = {} if url is None else {"url": url}
    if topics is not None:
        change["topics"] = _topics(topics)
    if is_paused is not None:
        if row["state"] == "disabled":
            raise BillingError("illegal_transition", f"{endpoint_id} is disabled", field="is_paused")
        change["state"] = "paused" if is_paused else "enabled"
    change = {name: value for name, value in change.items() if row[name] != value}
    if not change:
        return
    if change.get("state") == "enabled":
        change |= _begin_anew(store, at, endpoint_id)
    store.update(webhook_endpoints, [{"endpoint_id": endpoint_id, "is_moved": True} | change], at)
    facts = {"customer_id": row["customer_id"], "state": change.get("state", row["state"])}
    announce(store, at, "webhook_endpoint.changed", endpoint_id, facts)


@act
def enable_endpoint(store: Store, at: datetime, *, endpoint_id: str) -> None:
    """Go on with an endpoint that was disabled or paused: what waits is sent in order, and each has three
    days again. Raises `unknown_endpoint`, `illegal_transition` where it is enabled."""
    row = _held(store, endpoint_id)
    if row["state"] == "enabled":
        raise BillingError("illegal_transition", f"{endpoint_id} is enabled")
    change = {"state": "enabled"} | _begin_anew(store, at, endpoint_id)
    store.update(webhook_endpoints, [{"endpoint_id": endpoint_id, "is_moved": True} | change], at)
    announce(store, at, "webhook_endpoint.enabled", endpoint_id, {"customer_id": row["customer_id"]})


def _begin_anew(store: Store, at: datetime, endpoint_id: str) -> Row:
    """What waits has three days again; returns what is set at the endpoint for it."""
    store.execute(_ANEW, {"id": endpoint_id, "now": at})
    return {"state_reason": None, "failing_since": None, "consecutive_failures": 0}


@act
def remove_endpoint(store: Store, at: datetime, *, endpoint_id: str) -> None:
    """Send nothing more to an endpoint, ever; its secrets end. What was sent stays known. Raises
    `unknown_endpoint`."""
    row = _held(store, endpoint_id)
    store.update(webhook_endpoints, [{"endpoint_id": endpoint_id, "state": "removed", "is_moved": True}], at)
    for one in store.rows(_RUNNING, {"id": endpoint_id, "now": at}):
        store.update(webhook_secrets, [{"secret_id": one["secret_id"], "ends_at": at}])
    announce(store, at, "webhook_endpoint.removed", endpoint_id, {"customer_id": row["customer_id"]})


@act
def rotate_secret(store: Store, at: datetime, *, endpoint_id: str, sealed: str, old_ends_at: datetime) -> str:
    """A new secret for an endpoint; returns its id. Those before sign beside it until `old_ends_at`, so that
    a receiver never meets a request that it cannot verify.

    Raises `unknown_endpoint`, `naive_time`, `illegal_transition` while too many sign at once.
    """
    if old_ends_at.tzinfo is None:
        raise BillingError("naive_time", str(old_ends_at), field="old_ends_at")
    row = _held(store, endpoint_id)
    running = store.rows(_RUNNING, {"id": endpoint_id, "now": at})
    if len(running) >= MOST_SECRETS:
        raise BillingError("illegal_transition", f"{len(running)} secrets of {endpoint_id} sign already")
    for one in running:
        if one["ends_at"] is None or one["ends_at"] > old_ends_at:
            store.update(webhook_secrets, [{"secret_id": one["secret_id"], "ends_at": old_ends_at}])
    secret_id = _add_secret(store, at, endpoint_id, sealed)
    facts = {"customer_id": row["customer_id"], "old_ends_at": old_ends_at.isoformat()}
    announce(store, at, "webhook_endpoint.secret_rotated", endpoint_id, facts)
    return secret_id


@act
def try_endpoint(store: Store, at: datetime, *, endpoint_id: str) -> None:
    """Send a `webhook.test` to an endpoint, behind nothing else. Raises `unknown_endpoint`,
    `illegal_transition` where it is not enabled."""
    row = _held(store, endpoint_id)
    if row["state"] != "enabled":
        raise BillingError("illegal_transition", f"{endpoint_id} is {row['state']}")
    announce(store, at, TEST, endpoint_id, {})


@dataclass(frozen=True, slots=True)
class Replay:
    """`deliveries`: how many are sent again. `next_sequence`: where to go on, None when all were gone
    through."""

    deliveries: int
    next_sequence: int | None


@act
def replay(
    store: Store,
    at: datetime,
    *,
    endpoint_id: str,
    from_sequence: int | None = None,
    since: datetime | None = None,
    topics: Sequence[str] | None = None,
) -> Replay:
    """Send events again, in order, that an endpoint asks for and got, or never got: those from a sequence on,
    or of an instant and later (one of the two), and of some topics alone. What still waits does anyway.

    Raises `unknown_endpoint`, `unknown_topic`, `missing_value` without a beginning, `naive_time`.
    """
    if from_sequence is None and since is None:
        raise BillingError("missing_value", "from_sequence or since", field="from_sequence")
    if since is not None and since.tzinfo is None:
        raise BillingError("naive_time", str(since), field="since")
    row = _held(store, endpoint_id)
    wanted = [_among(row["topics"])]
    if topics is not None:
        wanted.append(_among(_topics(topics)))
    if row["customer_id"] is not None:
        wanted += [events.c.customer_id == row["customer_id"], events.c.topic.in_(sorted(PUBLIC))]
    if since is not None:
        wanted.append(events.c.recorded_at >= since)
    first = from_sequence or 0
    found = [
        one["sequence"]
        for one in store.rows(_PAGE.where(events.c.sequence >= first, *wanted), {"most": MOST_REPLAYED + 1})
    ]
    span = found[:MOST_REPLAYED]
    count = _wait_again(store, at, endpoint_id, span[0], span[-1], wanted) if span else 0
    if count:
        store.update(webhook_endpoints, [{"endpoint_id": endpoint_id, "is_moved": True}])
    facts = {"customer_id": row["customer_id"], "deliveries": count}
    announce(store, at, "webhook_endpoint.replayed", endpoint_id, facts)
    return Replay(count, found[MOST_REPLAYED] if len(found) > MOST_REPLAYED else None)


_PAGE = (
    select(events.c.sequence)
    .where(events.c.topic != TEST)
    .order_by(events.c.sequence)
    .limit(bindparam("most", type_=Integer))
)


def _wait_again(
    store: Store, at: datetime, endpoint_id: str, first: int, last: int, wanted: list[ColumnElement[bool]]
) -> int:
    own = webhook_deliveries
    of_event = [own.c.endpoint_id == endpoint_id, own.c.sequence == events.c.sequence]
    spanned = [events.c.sequence.between(first, last), events.c.topic != TEST, *wanted]
    again = (
        update(own)
        .where(
            own.c.endpoint_id == endpoint_id,
            own.c.sequence.between(first, last),
            own.c.state != "waiting",
            exists().where(events.c.sequence == own.c.sequence, *spanned),
        )
        .values(
            state="waiting",
            failures=0,
            is_replay=True,
            next_attempt_at=None,
            first_attempt_at=None,
            done_at=None,
            changed_at=at,
        )
    )
    instant = own.c.recorded_at.type
    rows = select(
        literal(endpoint_id),
        events.c.sequence,
        events.c.lane,
        literal("waiting"),
        literal(True),
        literal(at, instant),
        literal(at, instant),
    ).where(*spanned, ~exists().where(*of_event))
    names = ["endpoint_id", "sequence", "lane", "state", "is_replay", "recorded_at", "changed_at"]
    return store.execute(again) + store.execute(insert(own).from_select(names, rows))


def _among(topics: str) -> ColumnElement[bool]:
    """The condition that an event is of some topics, as `event_catalogue.fits` has it."""
    asked = topics.split()
    if "*" in asked:
        return literal(True)
    things = [one.removesuffix("*") for one in asked if one.endswith(".*")]
    plain = [one for one in asked if not one.endswith(".*")]
    return or_(
        events.c.topic.in_(plain), *(events.c.topic.startswith(one, autoescape=True) for one in things)
    )


def _topics(topics: Sequence[str]) -> str:
    unknown = [one for one in topics if not is_topic(one)]
    if unknown or not topics:
        raise BillingError("unknown_topic", unknown[0] if unknown else "none is named", field="topics")
    return "*" if "*" in topics else " ".join(sorted(set(topics)))


def _held(store: Store, endpoint_id: str) -> Row:
    """An endpoint, its row held. Raises `unknown_endpoint`."""
    row = store.row(_ONE, {"id": endpoint_id})
    if row is None or row["state"] == "removed":
        raise BillingError("unknown_endpoint", endpoint_id)
    return row


def _add_secret(store: Store, at: datetime, endpoint_id: str, sealed: str) -> str:
    secret_id = store.new_id("whs")
    row = {"secret_id": secret_id, "endpoint_id": endpoint_id, "sealed": sealed, "valid_from_at": at}
    store.insert(webhook_secrets, [row], at)
    return secret_id
