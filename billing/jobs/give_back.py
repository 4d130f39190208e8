"""Makes the refunds that were asked for, through the gateway that took the money.

A refund is saved before the gateway is asked, and its id is the key of the call: a crash or an unknown answer
asks again with the same key, so money goes back once. What is declined for good stays credit of the customer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl
from sqlalchemy import bindparam, select

from billing.core.calendar import local_date
from billing.core.dunning import decline_class, hours_until_retry
from billing.gateways.gateway import Gateway, charge_key
from billing.jobs.journal import post_events
from billing.store.messages import Message, announce
from billing.store.store import Row, Store
from billing.store.tables import customers, payments, refunds


@dataclass(frozen=True, slots=True)
class RefundSummary:
    """What one call did; `refunded_minor` by currency."""

    asked: int = 0
    refunded: int = 0
    unknown: int = 0
    failed: int = 0
    refunded_minor: dict[str, int] = field(default_factory=dict)


REFUND = (
    select(
        refunds,
        payments.c.attempt,
        payments.c.method_id,
        payments.c.currency,
        payments.c.customer_id,
        payments.c.invoice_id,
        customers.c.entity_id,
        customers.c.time_zone,
    )
    .join(payments, payments.c.payment_id == refunds.c.payment_id)
    .join(customers, customers.c.customer_id == payments.c.customer_id)
)
_DUE = REFUND.where(refunds.c.next_attempt_at <= bindparam("at")).order_by(refunds.c.refund_id)


def give_back(store: Store, gateway: Gateway, at: datetime) -> RefundSummary:
    """Make all refunds that are due. Call it daily; a second call at once finds none.

    An unknown or technical answer is asked again later, with the same key. Raises `period_locked`.
    """
    counts: dict[str, int] = defaultdict(int)
    with store.transaction():
        due = store.rows(_DUE, {"at": at})
        changes = [_asked(gateway, at, row) for row in due]
        store.update(refunds, changes, at)
        done = [row for row, change in zip(due, changes, strict=True) if change["state"] == "refunded"]
        post_refunds(store, at, done, "payment_refunded")
        failed = [row for row, change in zip(due, changes, strict=True) if change["state"] == "failed"]
        announce(store, at, [_message("refund.failed", row) for row in failed])
    for row in done:
        counts[row["currency"]] += row["amount_minor"]
    left = len(due) - len(done) - len(failed)
    return RefundSummary(len(due), len(done), left, len(failed), dict(sorted(counts.items())))


def _asked(gateway: Gateway, at: datetime, row: Row) -> Row:
    """The columns of a refund after the gateway's answer."""
    key = charge_key(row["payment_id"], row["attempt"])
    answer = gateway.refund(row["refund_id"], key, row["amount_minor"])
    change: Row = {
        "refund_id": row["refund_id"],
        "state": "requested",
        "tries": row["tries"] + 1,
        "gateway_ref": answer.gateway_ref,
        "decline_code": answer.code,
        "refunded_on": None,
        "next_attempt_at": None,
    }
    if answer.outcome == "captured":
        return change | {"state": "refunded", "refunded_on": local_date(at, row["time_zone"])}
    wait = hours_until_retry(answer.outcome, decline_class(answer.code or ""), row["tries"] + 1)
    if wait is None:
        return change | {"state": "failed"}
    return change | {"next_attempt_at": at + timedelta(hours=wait)}


def post_refunds(store: Store, at: datetime, done: Sequence[Row], event: str) -> None:
    """Post and announce refunds that were made. done: rows of REFUND."""
    if not done:
        return
    events = pl.DataFrame(
        [
            {
                "event": event,
                "source_kind": "refund",
                "source_id": row["refund_id"],
                "entity_id": row["entity_id"],
                "posted_on": local_date(at, row["time_zone"]),
                "customer_id": row["customer_id"],
                "invoice_id": row["invoice_id"],
                "currency": row["currency"],
                "net_minor": row["amount_minor"],
            }
            for row in done
        ]
    )
    post_events(store, at, events)
    announce(store, at, [_message("refund.made", row) for row in done])


def _message(topic: str, row: Row) -> Message:
    names = ("customer_id", "payment_id", "note_id", "amount_minor", "currency")
    return topic, row["refund_id"], {name: row[name] for name in names}
