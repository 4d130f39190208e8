"""Reminds customers that the term of their contract ends: 90, 60 and 30 days before, each once a term.

A reminder is a message in the outbox; whoever delivers it says it in words. Of several that are due at once
(nobody looked for a while) only the last is sent.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from sqlalchemy import and_, bindparam, select

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.core.terms import REMINDER_DAYS, reminder_due
from billing.store.messages import Message, announce
from billing.store.store import Row, Store
from billing.store.tables import contracts, customers, renewal_reminders

_ENDS_SOON = and_(
    contracts.c.ended_on.is_(None),
    contracts.c.term_end > bindparam("after"),
    contracts.c.term_end <= bindparam("until"),
)
_ENDING = (
    select(
        contracts.c.contract_id,
        contracts.c.customer_id,
        contracts.c.term_start,
        contracts.c.term_end,
        contracts.c.auto_renew,
        contracts.c.notice_days,
        customers.c.time_zone,
    )
    .join(customers, customers.c.customer_id == contracts.c.customer_id)
    .where(_ENDS_SOON, contracts.c.notice_given_on.is_(None), contracts.c.renewal_accepted_on.is_(None))
    .with_for_update(of=contracts)
)
"""Held, so that a second call waits and finds what this one sent (PostgreSQL; SQLite has one writer)."""
_SENT = (
    select(renewal_reminders.c.contract_id, renewal_reminders.c.term_start, renewal_reminders.c.days)
    .join(contracts, contracts.c.contract_id == renewal_reminders.c.contract_id)
    .where(_ENDS_SOON, contracts.c.term_start == renewal_reminders.c.term_start)
)
_KEY = ["contract_id", "term_start", "days"]


def remind_of_renewals(store: Store, at: datetime) -> int:
    """Remind of the terms that end soon; how many messages that were. Call it daily; a second call does
    nothing. Whoever gave notice or accepted the renewal is left alone. Raises `naive_time`."""
    if at.tzinfo is None:
        raise BillingError("naive_time", f"{at} has no time zone")
    # Wherever the customer is, its day is one of three.
    bounds = {
        "after": at.date() - timedelta(days=1),
        "until": at.date() + timedelta(days=max(REMINDER_DAYS) + 1),
    }
    with store.transaction():
        found = store.frame(_ENDING, bounds)
        if found.is_empty():
            return 0
        zones = {zone: local_date(at, zone) for zone in found["time_zone"].unique()}
        today = pl.col("time_zone").replace_strict(zones, return_dtype=pl.Date)
        days = reminder_due(pl.col("term_start"), pl.col("term_end"), pl.col("today"))
        near = found.with_columns(today.alias("today")).with_columns(days.alias("days")).drop_nulls("days")
        if near.is_empty():
            return 0
        due = near.join(store.frame(_SENT, bounds), on=_KEY, how="anti").sort("contract_id")
        if due.is_empty():
            return 0
        store.insert(renewal_reminders, due.select(*_KEY, pl.col("today").alias("sent_on")), at)
        announce(store, at, [_message(row) for row in due.iter_rows(named=True)])
    return due.height


def _message(row: Row) -> Message:
    facts = {name: row[name] for name in ("customer_id", "term_end", "days", "auto_renew")}
    notice_by = row["term_end"] - timedelta(days=row["notice_days"])
    return "contract.renewal_due", str(row["contract_id"]), facts | {"notice_by": notice_by}
