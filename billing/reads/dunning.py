"""What is chased: dunning cases with their steps, the queue of acts ahead, and charges tried again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import and_, select

from billing.core.dunning import LAST_DAY, TERMS_STEPS
from billing.core.money import BillingError
from billing.reads.invoices import sums_of
from billing.reads.page import Page, page
from billing.reads.scope import Scope
from billing.store.store import Row, Store
from billing.store.tables import customers, dunning_cases, dunning_steps, invoices, payment_attempts, payments

TRACKS = ("card", "terms", "campaign")
CASES = 5_000
"""So many open cases are put in order; of more, those of the first customers."""

_KEY = dunning_cases.c.case_id


def cases(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None = None,
    limit: int = 50,
    customer_id: str | None = None,
    is_open: bool | None = None,
    track: str | None = None,
    state: str | None = None,
) -> Page:
    """Dunning cases that fit all that is named, the newest first. `state`: how far one of net terms has come.
    Raises `unknown_setting` for a track that is none."""
    own = scope.where(dunning_cases.c.customer_id)
    if customer_id is not None:
        own.append(dunning_cases.c.customer_id == customer_id)
    if is_open is not None:
        closed_on = dunning_cases.c.closed_on
        own.append(closed_on.is_(None) if is_open else closed_on.is_not(None))
    if track is not None and track not in TRACKS:
        raise BillingError("unknown_setting", f"track = {track!r}")
    if track is not None:
        own.append(dunning_cases.c.track == track)
    if state is not None:
        own.append(dunning_cases.c.state == state)
    asked = select(dunning_cases).where(*own)
    return page(store, asked, [_KEY], after=after, limit=limit, descending=True)


def case(store: Store, scope: Scope, *, case_id: str) -> Row | None:
    """One case as the list has it, with its `steps` in their order; None for what is not there or not to be
    seen."""
    own = (dunning_cases.c.case_id == case_id, *scope.where(dunning_cases.c.customer_id))
    row = store.row(select(dunning_cases).where(*own))
    if row is None:
        return None
    return row | {"steps": steps_of(store, [case_id]).get(case_id, [])}


def steps_of(store: Store, case_ids: Sequence[str]) -> dict[str, list[Row]]:
    """The steps of some cases in their order, by case."""
    found: dict[str, list[Row]] = {}
    for first in range(0, len(case_ids), 500):
        asked = (
            select(dunning_steps)
            .where(dunning_steps.c.case_id.in_(case_ids[first : first + 500]))
            .order_by(dunning_steps.c.case_id, dunning_steps.c.step)
        )
        for row in store.rows(asked):
            found.setdefault(row["case_id"], []).append(row)
    return found


_CASES = (
    select(dunning_cases, customers.c.name)
    .join(customers, customers.c.customer_id == dunning_cases.c.customer_id)
    .where(dunning_cases.c.closed_on.is_(None))
    .order_by(dunning_cases.c.customer_id, dunning_cases.c.currency, dunning_cases.c.track)
    .limit(CASES)
)


def queue(store: Store, scope: Scope, *, today: date, limit: int = 50) -> list[Row]:
    """Open cases, the next act first: those of the list with `name`, `last_step`, `next_step`, `next_on`, and
    `open_minor`, what is overdue of the customer in the currency."""
    found = store.rows(_CASES.where(*scope.where(dunning_cases.c.customer_id)))
    steps = steps_of(store, [one["case_id"] for one in found])
    rows = [one | _next_act(one, steps.get(one["case_id"], [])) for one in found]
    rows.sort(key=lambda row: (row["next_on"] or date.max, row["customer_id"]))
    rows = rows[:limit]
    sums = sums_of(store, scope, customer_ids=[row["customer_id"] for row in rows], today=today)
    overdue = {(row["customer_id"], row["currency"]): row["overdue_minor"] for row in sums}
    return [row | {"open_minor": overdue.get((row["customer_id"], row["currency"]), 0)} for row in rows]


def _next_act(one: Row, steps: list[Row]) -> dict[str, Any]:
    """The last step that was made and the next one: one that is written ahead, of net terms the next by its
    schedule, of a card that waits for the customer the day the case ends."""
    made = [step for step in steps if step["done_at"] is not None]
    ahead = [step for step in steps if step["done_at"] is None]
    told = {"last_step": made[-1]["kind"] if made else None, "next_step": None, "next_on": None}
    if ahead:
        return told | {"next_step": ahead[0]["kind"], "next_on": ahead[0]["due_on"]}
    if one["track"] == "terms":
        fell_due = one["deadline_on"] - timedelta(days=LAST_DAY)
        kinds = {step["kind"] for step in made}
        for step in TERMS_STEPS:
            if step.kind not in kinds:
                return told | {"next_step": step.kind, "next_on": fell_due + timedelta(days=step.days)}
        return told
    if one["track"] == "card":
        return told | {"next_step": "end", "next_on": one["deadline_on"]}
    return told


_TRIED_AGAIN = (
    select(
        payments.c.payment_id,
        payments.c.customer_id,
        customers.c.name,
        payments.c.invoice_id,
        invoices.c.number,
        payments.c.currency,
        payments.c.amount_minor,
        payments.c.attempt,
        payments.c.failures,
        payment_attempts.c.decline_code,
        payments.c.next_attempt_at,
    )
    .join(customers, customers.c.customer_id == payments.c.customer_id)
    .outerjoin(invoices, invoices.c.invoice_id == payments.c.invoice_id)
    .outerjoin(
        payment_attempts,
        and_(
            payment_attempts.c.payment_id == payments.c.payment_id,
            payment_attempts.c.attempt == payments.c.attempt,
        ),
    )
    .where(payments.c.next_attempt_at.is_not(None))
)


def tried_again(
    store: Store, scope: Scope, *, after: Sequence[object] | None = None, limit: int = 50
) -> Page:
    """Payments with an attempt ahead, the next first, with the last decline and the invoice's `number`."""
    asked = _TRIED_AGAIN.where(*scope.where(payments.c.customer_id))
    keys = [payments.c.next_attempt_at, payments.c.payment_id]
    return page(store, asked, keys, after=after, limit=limit)
