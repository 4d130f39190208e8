"""Terms that pauses lengthen, where the contract says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

from sqlalchemy import bindparam, select

from billing.core.subscription import Subscription
from billing.core.terms import extended_end
from billing.service.acts import announce
from billing.store.store import Store
from billing.store.tables import contract_terms, contracts, subscriptions

_RUNNING = select(contracts).where(
    contracts.c.contract_id == bindparam("id"),
    contracts.c.pause_extends_term,
    contracts.c.ended_on.is_(None),
)


def with_moved_term(store: Store, at: datetime, of: Subscription, today: date) -> Subscription:
    """Let the running term end where the customer's pauses move it; an end of the subscription on that day
    moves along. A pause without end counts up to today; none counts beyond another end of the subscription,
    nor any once it ended so."""
    row = store.row(_RUNNING, {"id": of.contract_id}) if of.contract_id else None
    if row is None:
        return of
    last_day = None if _ends_with_term(of, row["term_end"]) else of.ends_on
    if last_day is not None and last_day <= today:
        return of
    agreed = row["agreed_end"] or row["term_end"]
    pauses = [
        _until(version.effective_start, version.effective_end or today, last_day)
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
    # A subscription shows the term it runs in, so whoever reads what changed must meet it again.
    store.update(subscriptions, [{"contract_id": of.contract_id}], at, key=("contract_id",))
    announce(store, at, "contract.term_moved", str(of.contract_id), {"term_end": end, "agreed_end": agreed})
    return replace(of, ends_on=end) if _ends_with_term(of, row["term_end"]) else of


def _ends_with_term(of: Subscription, term_end: date) -> bool:
    """Whether its end was wished ahead, for the end of the term; one on the day of the wish stands."""
    return of.ends_on == term_end and of.cancel_requested_on != term_end


def _until(first: date, last: date, bound: date | None) -> tuple[date, date]:
    """The days of a pause before the bound; none where it begins later."""
    return first, max(first, last if bound is None else min(last, bound))
