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
from billing.jobs.journal import check_days_open, post_events
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
_DUE = (
    select(refunds.c.refund_id)
    .where(refunds.c.next_attempt_at <= bindparam("at"))
    .order_by(refunds.c.refund_id)
)
_HELD = REFUND.where(
    refunds.c.refund_id == bindparam("id"), refunds.c.next_attempt_at <= bindparam("at")
).with_for_update(skip_locked=True, of=refunds)


def give_back(store: Store, gateway: Gateway, at: datetime) -> RefundSummary:
    """Make all refunds that are due, each in a transaction of its own. Call it daily; a second call at once
    finds none.

    An unknown or technical answer is asked again later, with the same key. What goes wrong with one stops no
    other: the first error is raised when all were asked, `period_locked` before the gateway hears of it.
    """
    states: list[str] = []
    refunded: dict[str, int] = defaultdict(int)
    errors: list[Exception] = []
    for one in store.rows(_DUE, {"at": at}):
        try:
            with store.transaction(savepoint=True):
                row = store.row(_HELD, {"id": one["refund_id"], "at": at})
                if row is None:
                    continue
                state = _make(store, gateway, at, row)
        except Exception as error:
            if not store.is_connected:
                raise
            errors.append(error)
            continue
        states.append(state)
        if state == "refunded":
            refunded[row["currency"]] += row["amount_minor"]
    if errors:
        raise errors[0]
    done, failed = states.count("refunded"), states.count("failed")
    return RefundSummary(
        len(states), done, len(states) - done - failed, failed, dict(sorted(refunded.items()))
    )


def _make(store: Store, gateway: Gateway, at: datetime, row: Row) -> str:
    """Ask the gateway for a refund and write what it says; returns the state that follows."""
    check_days_open(store, [(row["entity_id"], local_date(at, row["time_zone"]))])
    change = _asked(gateway, at, row)
    store.update(refunds, [change], at)
    if change["state"] == "refunded":
        post_refunds(store, at, [row], "payment_refunded")
    elif change["state"] == "failed":
        if row["note_id"] is None:
            store.update(payments, [{"payment_id": row["payment_id"], "is_spent": False}], at)
        announce(store, at, [_message("refund.failed", row)])
    return str(change["state"])


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
