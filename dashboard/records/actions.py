"""What a success team does about its accounts: assigned, snoozed, contacted, closed, and each of it undone.

Rows are events and stay as they were written; undoing one is a further event that names it. Where an account
stands follows from its events that nobody undid:

- its owner is the last one it was assigned to;
- a snooze holds until its day, a contact or an outcome for 90 days (as far as a score looks): after that the
  account is open again;
- of snooze, contact and outcome the newest decides.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, Date, Index, String, Table, Text, func, insert, select

from dashboard.records.database import METADATA, Instant, Records

ASSIGNED, SNOOZED, CONTACTED, CLOSED, UNDONE = "assigned", "snoozed", "contacted", "closed", "undone"
CHANNELS = ("call", "email", "meeting", "message", "letter")
"""The channels of the treatment log."""
REPLIES = ("no_answer", "reached", "accepted", "declined")
"""What came of a contact, in the words of the treatment log."""
RESULTS = ("saved", "downgraded", "left", "no_action")
"""How a case was closed."""
STATES = ("open", "snoozed", "contacted", "done")
HOLDS_FOR = timedelta(days=90)
LONGEST_SNOOZE = timedelta(days=366)
NOTE_LENGTH, NAME_LENGTH = 4_000, 200

ACTIONS = Table(
    "customer_actions",
    METADATA,
    Column("event_id", String(32), primary_key=True),
    Column("customer_id", String, nullable=False),
    Column("action", String(16), nullable=False),
    Column("owner", String),  # assigned: to whom; null: to nobody
    Column("until_on", Date),  # snoozed: the day it comes back
    Column("channel", String(16)),
    Column("outcome", String(16)),  # contacted: one of REPLIES; closed: one of RESULTS
    Column("note", Text),
    Column("contacted_at", Instant),
    Column("next_on", Date),  # contacted: the day of the next step
    Column("as_of", Date),  # the score that was acted on
    Column("model_id", String),
    Column("play", String),
    Column("undoes", String(32)),
    Column("recorded_at", Instant, nullable=False),
    Column("recorded_by", String, nullable=False),
)
Index("customer_actions_of_customer", ACTIONS.c.customer_id, ACTIONS.c.recorded_at)
Index("customer_actions_undoes", ACTIONS.c.undoes)


class ActionRefused(Exception):
    """An action that cannot be recorded; `code` says why, in words of `words.refusal`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Prompt:
    """The score that an action follows: its day, its model, the play it recommended."""

    as_of: date
    model_id: str
    play: str


@dataclass(frozen=True)
class Action:
    """One thing done about one account."""

    customer_id: str
    action: str
    owner: str | None = None
    until_on: date | None = None
    channel: str | None = None
    outcome: str | None = None
    note: str | None = None
    contacted_at: datetime | None = None
    next_on: date | None = None
    prompt: Prompt | None = None


@dataclass(frozen=True)
class Standing:
    """Where an account stands. `owner` is None where nobody assigned it, "" where it was taken from its
    owner."""

    customer_id: str
    state: str = "open"
    owner: str | None = None
    snoozed_until: date | None = None
    outcome: str | None = None
    touched_on: date | None = None
    channel: str | None = None
    next_on: date | None = None


def record(records: Records, actions: list[Action], at: datetime, by: str) -> list[str]:
    """Append actions, all or none of them; returns the ids of their events. Raises ActionRefused."""
    for action in actions:
        check(action, at)
    rows = [_row(action, at, by) for action in actions]
    if rows:
        with records.transaction() as connection:
            connection.execute(insert(ACTIONS), rows)
    return [row["event_id"] for row in rows]


def undo(records: Records, event_ids: list[str], at: datetime, by: str) -> int:
    """Take events back by further events; returns how many. What is undone already stays so."""
    again = ACTIONS.alias()
    with records.transaction() as connection:
        found = (
            connection.execute(
                select(ACTIONS.c.event_id, ACTIONS.c.customer_id).where(
                    ACTIONS.c.event_id.in_(event_ids),
                    ACTIONS.c.action != UNDONE,
                    ~select(again.c.event_id).where(again.c.undoes == ACTIONS.c.event_id).exists(),
                )
            )
            .mappings()
            .all()
        )
        rows = [
            _row(Action(one["customer_id"], UNDONE), at, by) | {"undoes": one["event_id"]} for one in found
        ]
        if rows:
            connection.execute(insert(ACTIONS), rows)
    return len(rows)


def check(action: Action, at: datetime) -> None:
    """Raises ActionRefused for an action that makes no sense at a moment."""
    today = at.astimezone(UTC).date()
    if action.owner is not None and len(action.owner) > NAME_LENGTH:
        raise ActionRefused("name_too_long")
    if action.note is not None and len(action.note) > NOTE_LENGTH:
        raise ActionRefused("note_too_long")
    if action.action == SNOOZED and not (
        action.until_on and today < action.until_on <= today + LONGEST_SNOOZE
    ):
        raise ActionRefused("snooze_day")
    if action.action == CONTACTED:
        _check_contact(action, at)
    if action.action == CLOSED and action.outcome not in RESULTS:
        raise ActionRefused("outcome_unknown")


def _check_contact(action: Action, at: datetime) -> None:
    if action.channel not in CHANNELS or action.outcome not in REPLIES:
        raise ActionRefused("outcome_unknown")
    if action.contacted_at is None or action.contacted_at > at:
        raise ActionRefused("contact_ahead")
    if action.next_on is not None and action.next_on < at.astimezone(UTC).date():
        raise ActionRefused("next_day")


def events(records: Records, customer_id: str, limit: int, offset: int = 0) -> list[dict[str, Any]]:
    """What was done about an account, newest first, with who undid it and when; undoing is no row of its
    own."""
    undone = ACTIONS.alias()
    return records.rows(
        select(
            *ACTIONS.c,
            undone.c.recorded_at.label("undone_at"),
            undone.c.recorded_by.label("undone_by"),
        )
        .outerjoin(undone, undone.c.undoes == ACTIONS.c.event_id)
        .where(ACTIONS.c.customer_id == customer_id, ACTIONS.c.action != UNDONE)
        .order_by(ACTIONS.c.recorded_at.desc(), ACTIONS.c.event_id)
        .limit(limit)
        .offset(offset)
    )


def written(records: Records) -> tuple[int, str]:
    """How many events there are and the moment of the newest: what tells that standings are still right."""
    wanted: list[ColumnElement[Any]] = [
        func.count().label("events"),
        func.max(ACTIONS.c.recorded_at).label("newest"),
    ]
    (row,) = records.rows(select(*wanted))
    return row["events"], str(row["newest"])


def standings(records: Records, today: date, customer_id: str | None = None) -> dict[str, Standing]:
    """Where accounts stand on a day, by customer: of all that somebody acted on, or of one."""
    undone = ACTIONS.alias()
    last = (
        func.row_number()
        .over(
            partition_by=(ACTIONS.c.customer_id, ACTIONS.c.action),
            order_by=(ACTIONS.c.recorded_at.desc(), ACTIONS.c.event_id.desc()),
        )
        .label("place")
    )
    valid = select(*ACTIONS.c, last).where(
        ACTIONS.c.action != UNDONE,
        ~select(undone.c.event_id).where(undone.c.undoes == ACTIONS.c.event_id).exists(),
    )
    if customer_id is not None:
        valid = valid.where(ACTIONS.c.customer_id == customer_id)
    newest = valid.subquery()
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in records.rows(select(newest).where(newest.c.place == 1)):
        found.setdefault(row["customer_id"], {})[row["action"]] = row
    return {customer: _standing(customer, rows, today) for customer, rows in found.items()}


def _standing(customer_id: str, rows: Mapping[str, Mapping[str, Any]], today: date) -> Standing:
    """Where an account stands by its newest valid event of each kind."""
    contact, snooze, closing = rows.get(CONTACTED), rows.get(SNOOZED), rows.get(CLOSED)
    live = []
    if snooze is not None and today < snooze["until_on"]:
        live.append((snooze["recorded_at"], "snoozed"))
    for row, state in ((contact, "contacted"), (closing, "done")):
        if row is not None and today < row["recorded_at"].date() + HOLDS_FOR:
            live.append((row["recorded_at"], state))
    state = max(live)[1] if live else "open"
    assigned = rows.get(ASSIGNED)
    return Standing(
        customer_id=customer_id,
        state=state,
        owner=None if assigned is None else assigned["owner"] or "",
        snoozed_until=snooze["until_on"] if snooze is not None and state == "snoozed" else None,
        outcome=closing["outcome"] if closing is not None and state == "done" else None,
        touched_on=None if contact is None else contact["contacted_at"].date(),
        channel=None if contact is None else contact["channel"],
        next_on=contact["next_on"] if contact is not None and state == "contacted" else None,
    )


def _row(action: Action, at: datetime, by: str) -> dict[str, Any]:
    row = asdict(action)
    prompt = row.pop("prompt") or {"as_of": None, "model_id": None, "play": None}
    return (
        row
        | prompt
        | {
            "event_id": secrets.token_hex(8),
            "note": (action.note or "").strip() or None,
            "owner": (action.owner or "").strip() or None,
            "undoes": None,
            "recorded_at": at,
            "recorded_by": by,
        }
    )
