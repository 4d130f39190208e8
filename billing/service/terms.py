"""Terms that pauses lengthen, where the contract says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

from sqlalchemy import bindparam, select

from billing.core.subscription import Subscription
from billing.core.terms import extended_end
from billing.service.acts import announce
from billing.store.store import Store
from billing.store.tables import contract_terms, contracts

_RUNNING = select(contracts).where(
    contracts.c.contract_id == bindparam("id"),
    contracts.c.pause_extends_term,
    contracts.c.ended_on.is_(None),
)


def with_moved_term(store: Store, at: datetime, of: Subscription, today: date) -> Subscription:
    """Let the running term end where the customer's pauses move it; an end of the subscription on that day
    moves along. A pause without end counts up to today."""
    row = store.row(_RUNNING, {"id": of.contract_id}) if of.contract_id else None
    if row is None:
        return of
    agreed = row["agreed_end"] or row["term_end"]
    pauses = [
        (version.effective_start, version.effective_end or max(today, version.effective_start))
        for version in of.main_item.versions
        if version.pause == "customer"
    ]
    end = extended_end(row["term_start"], agreed, pauses)
    if end == row["term_end"]:
        return of
    change = {"contract_id": of.contract_id, "term_end": end, "agreed_end": agreed}
    store.update(contracts, [change], at)
    term = {"contract_id": of.contract_id, "term_start": row["term_start"], "term_end": end}
    store.update(contract_terms, [term])
    announce(store, at, "contract.term_moved", str(of.contract_id), {"term_end": end, "agreed_end": agreed})
    return replace(of, ends_on=end) if of.ends_on == row["term_end"] else of
