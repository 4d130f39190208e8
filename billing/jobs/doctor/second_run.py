"""The check that bills everybody once more: a second run to the same day posts nothing, however far back it
looks. So whatever decides an amount is looked at: tiers, pools, windows, levels, stock, commitments, bounds,
and each event of usage. It reads some trees of customers at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import polars as pl
from sqlalchemy import bindparam, func, or_, select
from sqlalchemy.orm import aliased

from billing.jobs.bill_draft import draft
from billing.jobs.bill_facts import MEMBERS
from billing.jobs.doctor.check import Check, in_span, spans
from billing.store.store import Row, Store
from billing.store.tables import billing_runs, customers

TREES = 5_000
"""Trees of customers that are billed again together."""

_LAST_RUN = select(func.max(billing_runs.c.up_to).label("up_to")).where(billing_runs.c.state == "done")
_LAST_CHANGE = select(func.max(customers.c.changed_at).label("at"))
_other = aliased(customers)
_WAITING = select(_other.c.root_id).where(
    in_span(_other.c.root_id),
    or_(_other.c.parked_at.is_not(None), _other.c.next_bill_on <= bindparam("day")),
)
_AT_REST = MEMBERS.where(in_span(customers.c.root_id), customers.c.root_id.not_in(_WAITING)).order_by(
    customers.c.root_id, customers.c.customer_id
)
_PART = ["customer_id", "item_id", "component_id", "kind", "entry", "service_start", "service_end"]


def _owed_again(store: Store, at: datetime) -> Iterator[Row]:
    """What a run to the last day billed would still post. A tree in which somebody is parked, or due since,
    waits for the next run: facts may have come that it has not billed."""
    last, change = store.row(_LAST_RUN), store.row(_LAST_CHANGE)
    if last is None or change is None or last["up_to"] is None:
        return
    day = max(last["up_to"], change["at"].date())
    for span in spans(store, customers.c.root_id, TREES):
        members = store.frame(_AT_REST, span | {"day": day})
        if members.is_empty():
            continue
        owed = draft(store, at, members, last["up_to"], looks_back=True)
        lines = owed.lines.select(*_PART, pl.lit(0).alias("found"), pl.col("net_minor").alias("wanted"))
        yield from lines.sort(_PART).to_dicts()
        yield from owed.failures.select("customer_id", pl.col("code").alias("found")).to_dicts()


SECOND_RUN = (Check("second_run", "customers", "A second run to the same day posts nothing.", _owed_again),)
