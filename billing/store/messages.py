"""What every change leaves beside its facts: a message in the outbox, a refused input among the rejected, and
the mark that lets the next bill run look at the customer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
from sqlalchemy import bindparam, case, or_, select, update

from billing.store.audit import without_secrets
from billing.store.store import Store
from billing.store.tables import customers, outbox, rejected_inputs

Message = tuple[str, str, Mapping[str, object]]
"""Topic (`thing.happening`, such as `subscription.canceled`), subject_id, payload."""
Rejected = tuple[str, str, Mapping[str, object]]
"""Code, detail, payload."""


def announce(store: Store, at: datetime, messages: Sequence[Message]) -> None:
    """Add messages to the outbox, in order."""
    rows = [
        {
            "message_id": store.new_id("msg"),
            "topic": topic,
            "subject_id": subject_id,
            "payload": _as_json(payload),
        }
        for topic, subject_id, payload in messages
    ]
    store.insert(outbox, rows, at)


def announce_rows(
    store: Store, at: datetime, topic: str | pl.Expr, subject_id: str, rows: pl.DataFrame
) -> None:
    """Add a message a row of a frame, in order. `subject_id` names its column, and a column may say its topic
    (`topic` as its expression); the others are the payload."""
    if rows.is_empty():
        return
    named = topic if isinstance(topic, pl.Expr) else pl.lit(topic)
    names = [name for name in rows.columns if name not in (subject_id, *named.meta.root_names())]
    ids = pl.Series("message_id", store.new_ids("msg", rows.height), dtype=pl.String)
    messages = rows.select(
        ids,
        named.alias("topic"),
        pl.col(subject_id).alias("subject_id"),
        pl.struct(names).struct.json_encode().alias("payload"),
    )
    store.insert(outbox, messages, at)


def keep_rejected(store: Store, at: datetime, source: str, rejected: Sequence[Rejected]) -> None:
    """Keep refused inputs without their secrets; `source` names the act or the import that refused them."""
    rows = [
        {
            "reject_id": store.new_id("rej"),
            "source": source,
            "code": code,
            "detail": detail,
            "payload": _as_json(without_secrets(payload)),
        }
        for code, detail, payload in rejected
    ]
    store.insert(rejected_inputs, rows, at)


def keep_rejected_once(store: Store, at: datetime, source: str, rejected: pl.DataFrame) -> None:
    """Keep refused rows of a batch: `code`, `detail`, `payload` (JSON). The same row with the same fault is
    kept once: its id says so."""
    ids = [
        "rej_" + hashlib.blake2b(f"{code} {payload}".encode(), digest_size=12).hexdigest()
        for code, payload in rejected.select("code", "payload").iter_rows()
    ]
    rows = rejected.with_columns(pl.Series("reject_id", ids, dtype=pl.String), pl.lit(source).alias("source"))
    store.insert_new(rejected_inputs, rows.unique("reject_id", keep="first", maintain_order=True), at)


def rows_as_json(rows: pl.DataFrame) -> pl.Expr:
    """Each row as JSON: days, instants and decimals as text."""
    plain = (str, bool, int, float)
    texts = [
        pl.col(name) if dtype.to_python() in plain else pl.col(name).cast(pl.String)
        for name, dtype in rows.schema.items()
    ]
    return pl.struct(texts).struct.json_encode()


def _as_json(payload: Mapping[str, object]) -> str:
    return json.dumps(payload, default=str, sort_keys=True, ensure_ascii=False)


_NEWS = or_(
    customers.c.next_bill_on.is_(None),
    customers.c.next_bill_on > bindparam("today"),
    customers.c.unsettled_from > bindparam("since"),
)
_DAYS: dict[str, Any] = {
    "next_bill_on": case(
        (customers.c.next_bill_on < bindparam("today"), customers.c.next_bill_on), else_=bindparam("today")
    ),
    "unsettled_from": case(
        (customers.c.unsettled_from > bindparam("since"), bindparam("since")),
        else_=customers.c.unsettled_from,
    ),
    "changed_at": bindparam("at"),
}
_MARK = update(customers).where(customers.c.customer_id == bindparam("id"), _NEWS).values(_DAYS)


_HELD = (
    select(customers.c.customer_id)
    .where(customers.c.customer_id == bindparam("id"))
    .with_for_update(key_share=True)
)


def mark_to_bill(store: Store, at: datetime, customer_id: str, today: date, *, since: date) -> None:
    """Let the next bill run look at a customer, from the first day that a new fact speaks of:
    next_bill_on = least(next_bill_on, today), unsettled_from = least(unsettled_from, the day before since):
    what ends that day may turn out to be the last of its kind.

    The customer's row is locked even where nothing moves, so that no run settles what it could not see yet
    (PostgreSQL; SQLite has one writer anyway)."""
    if not store.is_sqlite:
        store.row(_HELD, {"id": customer_id})
    before = since - timedelta(days=1)
    store.execute(_MARK, {"id": customer_id, "today": today, "since": before, "at": at})


def mark_all_to_bill(store: Store, at: datetime, marks: Sequence[tuple[str, date]]) -> None:
    """`mark_to_bill` of many customers, each from its today on, in the order of their ids."""
    if not marks:
        return
    days = dict(sorted(marks))
    rows = pl.DataFrame({"customer_id": days.keys(), "today": days.values()}, schema=_MARKED)
    with store.temporary(rows) as given:
        if not store.is_sqlite:
            of_given = _ALL.join(given, given.c.customer_id == customers.c.customer_id)
            store.frame(of_given.with_for_update(of=customers, key_share=True))
        of_today = select(given.c.customer_id).where(given.c.today == bindparam("today"))
        marked = update(customers).where(customers.c.customer_id.in_(of_today), _NEWS).values(_DAYS)
        for today in sorted(set(days.values())):
            store.execute(marked, {"today": today, "since": today - timedelta(days=1), "at": at})


_MARKED = pl.Schema({"customer_id": pl.String(), "today": pl.Date()})
_ALL = select(customers.c.customer_id).order_by(customers.c.customer_id)
