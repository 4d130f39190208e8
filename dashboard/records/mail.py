"""What readers want by e-mail and what was sent: digests, alerts, one delivery for each of their occasions.

A delivery is written before anything is sent, and its key (what for, which occasion) is unique: however often
and by however many processes the due e-mails are sent, an occasion has one delivery. Its states:

    waiting → claimed → handed → sent
                 ↓         ↓
              waiting    unknown         (tried again later; lost after the letter was handed to the server)
                 ↓
               failed                    (given up)

A claim has an end: another process may take over what a dead one claimed, but never what it had handed over,
for that letter may have arrived.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from dashboard.people.reader import Reader
from dashboard.records.database import METADATA, Instant, Records, RecordsError, recorded

PERIODS = ("daily", "weekly", "monthly")
SIDES = ("above", "below")
EVENTS = ("newly_high", "notice_soon")
"""What an alert of single accounts waits for: who comes to high risk, and whose notice ends soon."""
EACH = "each"
"""The side of such an alert, which has no threshold: it is sent for each account that comes in."""
MOST_ATTEMPTS = 6
CLAIM = timedelta(minutes=10)
FIRST_PAUSE = timedelta(minutes=5)
"""Before the second attempt; doubled before each further one."""
MOST_WISHES = 50
"""Digests and alerts that one reader may have."""
LONGEST_ADDRESS = 254
ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*"
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)

DIGESTS = Table(
    "digests",
    METADATA,
    Column("digest_id", String(16), primary_key=True),
    Column("view_id", String(16)),
    Column("page", String(40), nullable=False),
    Column("parameters", Text, nullable=False),
    Column("period", String(10), nullable=False),
    Column("language", String(10), nullable=False),
    Column("address", String(LONGEST_ADDRESS), nullable=False),
    *recorded(),
)
ALERTS = Table(
    "alerts",
    METADATA,
    Column("alert_id", String(16), primary_key=True),
    Column("view_id", String(16)),
    Column("page", String(40), nullable=False),
    Column("parameters", Text, nullable=False),
    Column("metric_id", String(60), nullable=False),
    Column("side", String(10), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("scale", BigInteger, nullable=False),
    Column("language", String(10), nullable=False),
    Column("address", String(LONGEST_ADDRESS), nullable=False),
    Column("is_crossed", Boolean),
    Column("crossings", Integer),
    Column("checked_at", Instant),
    Column("told", Text),
    *recorded(),
)
DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("delivery_id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(10), nullable=False),
    Column("wish_id", String(16), nullable=False),
    Column("occasion", String(40), nullable=False),
    Column("state", String(10), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Instant, nullable=False),
    Column("claim", String(32)),
    Column("claimed_until", Instant),
    Column("finished_at", Instant),
    Column("said", Text),
    Column("problem", Text),
    Column("recorded_at", Instant, nullable=False),
    Column("recorded_by", String, nullable=False),
    UniqueConstraint("kind", "wish_id", "occasion"),
)


class Refused(Exception):
    """A wish is not kept. `reason`: no_address, other_domain, no_page, too_many, no_number, not_there."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Digest:
    """A reader's wish for a digest. Without `view_id` its own page and parameters count."""

    digest_id: str
    view_id: str | None
    page: str
    parameters: Mapping[str, str]
    period: str
    language: str
    address: str
    reader_id: str
    recorded_at: datetime


@dataclass(frozen=True)
class Alert:
    """A reader's wish to hear when a figure crosses `amount` / `scale` to a side, above or below; or when
    what EVENTS names happens to an account: then `metric_id` is that, and `told` of whom it was last.

    `is_crossed` is how it stood when it was last looked at (None: never), `crossings` how often it crossed.
    """

    alert_id: str
    view_id: str | None
    page: str
    parameters: Mapping[str, str]
    metric_id: str
    side: str
    amount: int
    scale: int
    language: str
    address: str
    is_crossed: bool | None
    crossings: int
    reader_id: str
    recorded_at: datetime
    told: frozenset[str] = frozenset()

    @property
    def is_of_accounts(self) -> bool:
        """Whether it waits for single accounts and not for a figure."""
        return self.metric_id in EVENTS


@dataclass(frozen=True)
class Delivery:
    """One occasion of a wish, claimed for being sent; `claim` proves whose it is."""

    delivery_id: int
    kind: str
    wish_id: str
    occasion: str
    attempts: int
    claim: str
    said: str | None


def checked_address(written: str, domains: tuple[str, ...] = ()) -> str:
    """An e-mail address without anything around it. Raises Refused: no_address, other_domain."""
    address = written.strip()
    if len(address) > LONGEST_ADDRESS or not ADDRESS.fullmatch(address):
        raise Refused("no_address")
    if domains and address.rsplit("@", 1)[1].lower() not in domains:
        raise Refused("other_domain")
    return address


def ask_digest(
    records: Records,
    at: datetime,
    reader: Reader,
    *,
    page: str,
    parameters: Mapping[str, str],
    view_id: str | None,
    period: str,
    language: str,
    address: str,
) -> str:
    """Keep the wish for a digest; gives its id. Raises Refused."""
    wish = {"view_id": view_id, "page": page, "period": period, "language": language, "address": address}
    return _keep(records, at, reader, DIGESTS, "digest_id", parameters, wish)


def ask_alert(
    records: Records,
    at: datetime,
    reader: Reader,
    *,
    page: str,
    parameters: Mapping[str, str],
    view_id: str | None,
    metric_id: str,
    side: str,
    amount: int,
    scale: int,
    language: str,
    address: str,
) -> str:
    """Keep the wish for an alert; gives its id. Raises Refused."""
    wish = {
        "view_id": view_id,
        "page": page,
        "metric_id": metric_id,
        "side": side,
        "amount": amount,
        "scale": scale,
        "language": language,
        "address": address,
        "crossings": 0,
    }
    return _keep(records, at, reader, ALERTS, "alert_id", parameters, wish)


def _keep(
    records: Records,
    at: datetime,
    reader: Reader,
    table: Table,
    key: str,
    parameters: Mapping[str, str],
    wish: Mapping[str, object],
) -> str:
    """Write a reader's wish for mail about a page; gives its new id. Raises Refused: no_page, too_many."""
    if not reader.may_open(str(wish["page"])):
        raise Refused("no_page")
    wish_id = secrets.token_hex(8)
    row = {
        **wish,
        key: wish_id,
        "parameters": json.dumps(dict(parameters), sort_keys=True),
        "recorded_at": at,
        "recorded_by": reader.reader_id,
    }
    with records.transaction() as connection:
        _require_room(connection, reader)
        connection.execute(insert(table).values(row))
    return wish_id


def _require_room(connection: Connection, reader: Reader) -> None:
    found = [
        connection.execute(
            select(table.c.recorded_at).where(
                table.c.recorded_by == reader.reader_id, table.c.deleted_at.is_(None)
            )
        ).all()
        for table in (DIGESTS, ALERTS)
    ]
    if sum(map(len, found)) >= MOST_WISHES:
        raise Refused("too_many")


def stop(records: Records, at: datetime, reader: Reader, wish_id: str) -> None:
    """End a digest or an alert of this reader. Raises Refused: not_there."""
    gone = {"deleted_at": at, "deleted_by": reader.reader_id}
    with records.transaction() as connection:
        ended = 0
        for table, key in ((DIGESTS, DIGESTS.c.digest_id), (ALERTS, ALERTS.c.alert_id)):
            mine = (key == wish_id, table.c.recorded_by == reader.reader_id, table.c.deleted_at.is_(None))
            ended += connection.execute(update(table).where(*mine).values(gone)).rowcount
    if not ended:
        raise Refused("not_there")


def digests(records: Records, reader_id: str | None = None) -> list[Digest]:
    """The digests that are wanted, of one reader where one is named."""
    asked = select(DIGESTS).where(DIGESTS.c.deleted_at.is_(None)).order_by(DIGESTS.c.recorded_at)
    if reader_id is not None:
        asked = asked.where(DIGESTS.c.recorded_by == reader_id)
    return [
        Digest(
            row["digest_id"],
            row["view_id"],
            row["page"],
            json.loads(row["parameters"]),
            row["period"],
            row["language"],
            row["address"],
            row["recorded_by"],
            row["recorded_at"],
        )
        for row in records.rows(asked)
    ]


def alerts(records: Records, reader_id: str | None = None) -> list[Alert]:
    """The alerts that are wanted, of one reader where one is named."""
    asked = select(ALERTS).where(ALERTS.c.deleted_at.is_(None)).order_by(ALERTS.c.recorded_at)
    if reader_id is not None:
        asked = asked.where(ALERTS.c.recorded_by == reader_id)
    return [
        Alert(
            row["alert_id"],
            row["view_id"],
            row["page"],
            json.loads(row["parameters"]),
            row["metric_id"],
            row["side"],
            row["amount"],
            row["scale"],
            row["language"],
            row["address"],
            row["is_crossed"],
            row["crossings"] or 0,
            row["recorded_by"],
            row["recorded_at"],
            _keys(row["told"]),
        )
        for row in records.rows(asked)
    ]


def _keys(told: str | None) -> frozenset[str]:
    return frozenset(json.loads(told)) if told else frozenset()


# Deliveries.


def plan(records: Records, at: datetime, kind: str, wish_id: str, occasion: str, by: str) -> bool:
    """Write down that an occasion is to be delivered; False where it already was."""
    try:
        with records.transaction() as connection:
            return _plan(connection, at, kind, wish_id, occasion, by, None)
    except RecordsError as error:
        if isinstance(error.__cause__, IntegrityError):  # another process was first
            return False
        raise


def _plan(
    connection: Connection,
    at: datetime,
    kind: str,
    wish_id: str,
    occasion: str,
    by: str,
    said: str | None,
) -> bool:
    there = select(DELIVERIES.c.delivery_id).where(
        DELIVERIES.c.kind == kind, DELIVERIES.c.wish_id == wish_id, DELIVERIES.c.occasion == occasion
    )
    if connection.execute(there).first() is not None:
        return False
    row = {
        "kind": kind,
        "wish_id": wish_id,
        "occasion": occasion,
        "state": "waiting",
        "attempts": 0,
        "next_at": at,
        "said": said,
        "recorded_at": at,
        "recorded_by": by,
    }
    connection.execute(insert(DELIVERIES).values(row))
    return True


def look(records: Records, at: datetime, alert: Alert, is_crossed: bool, said: str) -> bool:
    """Keep how an alert stands now; where it has just crossed, plan its delivery. Gives whether it has.

    `said` is the figure that crossed, in the reader's words. Both are kept, or neither.
    """
    try:
        return _look(records, at, alert, is_crossed, said)
    except RecordsError as error:
        if isinstance(error.__cause__, IntegrityError):  # another process saw it cross first
            return False
        raise


def _look(records: Records, at: datetime, alert: Alert, is_crossed: bool, said: str) -> bool:
    with records.transaction() as connection:
        row = connection.execute(
            select(ALERTS.c.is_crossed, ALERTS.c.crossings).where(ALERTS.c.alert_id == alert.alert_id)
        ).one()
        has_crossed = is_crossed and not row.is_crossed
        crossings = (row.crossings or 0) + has_crossed
        connection.execute(
            update(ALERTS)
            .where(ALERTS.c.alert_id == alert.alert_id)
            .values(is_crossed=is_crossed, crossings=crossings, checked_at=at)
        )
        if has_crossed:
            _plan(connection, at, "alert", alert.alert_id, f"crossing {crossings}", alert.reader_id, said)
    return has_crossed


def tell(
    records: Records, at: datetime, alert: Alert, keys: Iterable[str], said: Callable[[int], str]
) -> int:
    """Keep for whom the event of an alert stands now; where some are new, plan its delivery. Gives how many.

    `keys` are those of the accounts; `said` puts a number of new ones in the reader's words. An account that
    leaves and comes again is new again.
    """
    now = frozenset(keys)
    try:
        return _tell(records, at, alert, now, said)
    except RecordsError as error:
        if isinstance(error.__cause__, IntegrityError):  # another process told it first
            return 0
        raise


def _tell(
    records: Records, at: datetime, alert: Alert, now: frozenset[str], said: Callable[[int], str]
) -> int:
    with records.transaction() as connection:
        row = connection.execute(
            select(ALERTS.c.told, ALERTS.c.crossings).where(ALERTS.c.alert_id == alert.alert_id)
        ).one()
        new = len(now - _keys(row.told))
        crossings = (row.crossings or 0) + (new > 0)
        connection.execute(
            update(ALERTS)
            .where(ALERTS.c.alert_id == alert.alert_id)
            .values(told=json.dumps(sorted(now)), crossings=crossings, checked_at=at)
        )
        if new:
            occasion = f"accounts {crossings}"
            _plan(connection, at, "alert", alert.alert_id, occasion, alert.reader_id, said(new))
    return new


def claim(records: Records, at: datetime) -> Delivery | None:
    """Take the next delivery that is due, for this process alone; None when there is none.

    Also one whose claim has ended without its letter having been handed over.
    """
    is_due = or_(
        (DELIVERIES.c.state == "waiting") & (DELIVERIES.c.next_at <= at),
        (DELIVERIES.c.state == "claimed") & (DELIVERIES.c.claimed_until <= at),
    )
    token = secrets.token_hex(16)
    with records.transaction() as connection:
        row = (
            connection.execute(select(DELIVERIES).where(is_due).order_by(DELIVERIES.c.delivery_id).limit(1))
            .mappings()
            .first()
        )
        if row is None:
            return None
        taken = connection.execute(
            update(DELIVERIES)
            .where(DELIVERIES.c.delivery_id == row["delivery_id"], is_due)
            .values(state="claimed", claim=token, claimed_until=at + CLAIM, attempts=row["attempts"] + 1)
        )
        if not taken.rowcount:
            return None
    return Delivery(
        row["delivery_id"],
        row["kind"],
        row["wish_id"],
        row["occasion"],
        row["attempts"] + 1,
        token,
        row["said"],
    )


def hand_over(records: Records, delivery: Delivery) -> bool:
    """Note that the letter goes to the server now; False when the claim is no longer this process's."""
    with records.transaction() as connection:
        return bool(
            connection.execute(
                update(DELIVERIES)
                .where(
                    DELIVERIES.c.delivery_id == delivery.delivery_id,
                    DELIVERIES.c.claim == delivery.claim,
                    DELIVERIES.c.state == "claimed",
                )
                .values(state="handed")
            ).rowcount
        )


def finish(
    records: Records, at: datetime, delivery: Delivery, state: str, problem: str | None = None
) -> None:
    """Note how a delivery ended: sent, unknown, failed, or dropped where it was no longer wanted."""
    _end(records, delivery, {"state": state, "finished_at": at, "problem": problem and problem[:500]})


def retry(records: Records, at: datetime, delivery: Delivery, problem: str) -> bool:
    """Note that an attempt failed; False when it was the last one."""
    is_last = delivery.attempts >= MOST_ATTEMPTS
    pause = FIRST_PAUSE * 2 ** (delivery.attempts - 1)
    state = {"state": "failed", "finished_at": at} if is_last else {"state": "waiting", "next_at": at + pause}
    _end(records, delivery, {**state, "problem": problem[:500]})
    return not is_last


def _end(records: Records, delivery: Delivery, values: Mapping[str, object]) -> None:
    with records.transaction() as connection:
        connection.execute(
            update(DELIVERIES)
            .where(DELIVERIES.c.delivery_id == delivery.delivery_id, DELIVERIES.c.claim == delivery.claim)
            .values({**values, "claim": None, "claimed_until": None})
        )


def deliveries(records: Records, wish_id: str, limit: int = 5) -> list[dict[str, Any]]:
    """The last deliveries of a wish, newest first: occasion, state, finished_at, problem."""
    asked = select(DELIVERIES).where(DELIVERIES.c.wish_id == wish_id)
    return records.rows(asked.order_by(DELIVERIES.c.delivery_id.desc()).limit(limit))


def left_open(records: Records, at: datetime) -> int:
    """How many letters were handed over by a process that then ended: nobody knows whether they arrived.

    They are closed as unknown and never sent again.
    """
    with records.transaction() as connection:
        return connection.execute(
            update(DELIVERIES)
            .where(DELIVERIES.c.state == "handed", DELIVERIES.c.claimed_until <= at)
            .values(
                state="unknown",
                finished_at=at,
                claim=None,
                claimed_until=None,
                problem="the process ended while the server had the letter",
            )
        ).rowcount
