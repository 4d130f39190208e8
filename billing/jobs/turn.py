"""Lets time act on subscriptions: their stored status where they begin, leave a trial, pause or end."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import bindparam, select

from billing.store.messages import Message, announce
from billing.store.store import Store
from billing.store.subscriptions import read_standing, write_standing
from billing.store.tables import subscriptions

# Sorted here and not by the database, which would walk the whole key for the order.
_DUE = select(subscriptions.c.subscription_id).where(subscriptions.c.turns_on <= bindparam("on"))


def turn(store: Store, at: datetime) -> int:
    """Bring stored statuses to today; the number that changed. A second call the same day finds none."""
    messages: list[Message] = []
    due = store.rows(_DUE, {"on": at.date() + timedelta(days=1)})
    for subscription_id in sorted(row["subscription_id"] for row in due):
        standing = read_standing(store, at, subscription_id)
        before = standing.subscription
        status = standing.status
        write_standing(store, at, before, standing)
        if status != before.status:
            facts = {"customer_id": before.sold_to, "status": status, "from_status": before.status}
            messages.append(("subscription.turned", before.subscription_id, facts))
    announce(store, at, messages)
    return len(messages)
