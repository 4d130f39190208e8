"""What a run of net terms reads: who has open money, what of it is disputed, and the cases that are open."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import polars as pl
from sqlalchemy import and_, bindparam, func, select, union

from billing.core.dunning import KEY, gap_day
from billing.core.invoicing import version_on
from billing.jobs.bill_facts import read_by_ids, read_policies
from billing.store.debts import OPEN_MINOR
from billing.store.store import Store
from billing.store.tables import (
    applications,
    approvals,
    campaign_thresholds,
    campaigns,
    customers,
    disputes,
    dunning_cases,
    dunning_steps,
    invoice_disputes,
    invoices,
    subscriptions,
)

TRACKS = ("terms", "campaign")
"""The tracks of money on net terms; what is charged automatically has its own (jobs.dunning)."""

# By the index of invoices on state and day, that of open cases, and that of customers who are not current:
# nobody else is looked at.
_FOUND = union(
    select(invoices.c.customer_id).where(
        invoices.c.state == "open",
        invoices.c.due_on <= bindparam("until"),
        invoices.c.collection == "terms",
    ),
    select(dunning_cases.c.customer_id).where(
        dunning_cases.c.closed_on.is_(None),
        dunning_cases.c.track.in_(TRACKS),
    ),
    select(customers.c.customer_id).where(customers.c.overdue_state != "current"),
).subquery()
_PAYERS = select(_FOUND.c.customer_id).order_by(_FOUND.c.customer_id)


def payers(store: Store, until: date, chunk_size: int) -> Iterator[list[str]]:
    """Who owes money on net terms that is due by a day, has a case of it, or is not current: in chunks, in
    the order of their ids."""
    for chunk in store.spool(_PAYERS, {"until": until}, size=chunk_size):
        yield chunk["customer_id"].to_list()


_HELD = (
    select(
        customers.c.customer_id,
        customers.c.time_zone,
        customers.c.locale,
        customers.c.policy_name,
        customers.c.campaign_id,
        customers.c.overdue_state,
    )
    .order_by(customers.c.customer_id)
    .with_for_update(of=customers, key_share=True)
)


def hold_payers(store: Store, customer_ids: list[str]) -> pl.DataFrame:
    """The rows of payers, held so that no second run works on them at the same time (PostgreSQL)."""
    return read_by_ids(store, _HELD, customers.c.customer_id, customer_ids)


_CAMPAIGNS = select(campaigns.c.campaign_id, campaigns.c.max_attempts, campaigns.c.days_between)


def read_campaigns(store: Store, held: pl.DataFrame) -> pl.DataFrame:
    """The payers that have a campaign: `customer_id`, `campaign_id`, `max_attempts`, `days_between`, and
    `gap_day` by their policy of today."""
    chased = held.filter(pl.col("campaign_id").is_not_null()).select(
        "customer_id", "campaign_id", "policy_name", "today"
    )
    days = chased.select("policy_name", "today").unique(maintain_order=True)
    policies = read_policies(store) if days.height else {}
    gaps = [gap_day(version_on(policies[name], on).settings.campaign_gap) for name, on in days.rows()]
    days = days.with_columns(pl.Series("gap_day", gaps, dtype=pl.Int64))
    return (
        chased.join(days, on=["policy_name", "today"], maintain_order="left")
        .join(store.frame(_CAMPAIGNS), on="campaign_id", maintain_order="left")
        .drop("policy_name", "today")
    )


_THRESHOLDS = select(
    campaign_thresholds.c.campaign_id, campaign_thresholds.c.currency, campaign_thresholds.c.threshold_minor
)


def read_thresholds(store: Store) -> pl.DataFrame:
    """From what total on each campaign chases a currency."""
    return store.frame(_THRESHOLDS)


_DISPUTED = (
    select(func.coalesce(func.sum(invoice_disputes.c.amount_minor), 0))
    .where(invoice_disputes.c.invoice_id == invoices.c.invoice_id, invoice_disputes.c.closed_on.is_(None))
    .scalar_subquery()
)
_CHARGED_BACK = (
    select(func.coalesce(-func.sum(applications.c.amount_minor), 0))
    .join(
        disputes,
        and_(disputes.c.payment_id == applications.c.source_id, disputes.c.closed_on.is_(None)),
    )
    .where(
        applications.c.invoice_id == invoices.c.invoice_id,
        applications.c.source_kind == "payment",
        applications.c.amount_minor < 0,
    )
    .scalar_subquery()
)
_ITEMS = select(
    invoices.c.customer_id,
    invoices.c.currency,
    invoices.c.invoice_id,
    invoices.c.number,
    invoices.c.state,
    invoices.c.issued_on,
    invoices.c.due_on,
    invoices.c.total_minor,
    OPEN_MINOR.label("open_minor"),
    (_DISPUTED + _CHARGED_BACK).label("disputed_minor"),
    invoices.c.written_off_on,
    (invoices.c.written_off_minor - invoices.c.recovered_minor).label("lost_minor"),
).where(invoices.c.collection == "terms", invoices.c.state.in_(("open", "uncollectible")))


def read_items(store: Store, held: pl.DataFrame) -> pl.DataFrame:
    """The open invoices of payers on net terms, and those written off: one row each, with `today`."""
    found = read_by_ids(store, _ITEMS, invoices.c.customer_id, held["customer_id"].to_list())
    return found.join(held.select("customer_id", "today"), on="customer_id").sort(
        *KEY, "due_on", "invoice_id"
    )


_CASES = select(
    dunning_cases.c.case_id,
    dunning_cases.c.customer_id,
    dunning_cases.c.currency,
    dunning_cases.c.track,
    dunning_cases.c.opened_on,
    dunning_cases.c.deadline_on,
    dunning_cases.c.state,
    dunning_cases.c.recorded_at.label("opened_at"),
).where(dunning_cases.c.closed_on.is_(None))
_STEPS = select(
    dunning_steps.c.case_id, dunning_steps.c.step, dunning_steps.c.due_on, dunning_steps.c.outcome
)


def read_cases(store: Store, held: pl.DataFrame) -> pl.DataFrame:
    """All open cases of payers, of every track, with `today`."""
    found = read_by_ids(store, _CASES, dunning_cases.c.customer_id, held["customer_id"].to_list())
    return found.join(held.select("customer_id", "today"), on="customer_id").sort("case_id")


def read_steps(store: Store, case_ids: list[str]) -> pl.DataFrame:
    """The steps made in cases: `case_id`, `step`, `due_on`, `outcome`."""
    return read_by_ids(store, _STEPS, dunning_steps.c.case_id, case_ids)


_MONEY = (
    select(
        invoices.c.customer_id,
        invoices.c.currency,
        invoices.c.due_on,
        applications.c.amount_minor,
        applications.c.applied_on,
        applications.c.recorded_at,
    )
    .join(applications, applications.c.invoice_id == invoices.c.invoice_id)
    .where(invoices.c.collection == "terms", applications.c.source_kind.in_(("payment", "wallet")))
)


def read_money(store: Store, customer_ids: list[str]) -> pl.DataFrame:
    """What paid the invoices of payers, credit notes left out."""
    return read_by_ids(store, _MONEY, invoices.c.customer_id, customer_ids)


_AGREEMENTS = select(
    subscriptions.c.bill_to.label("customer_id"),
    subscriptions.c.subscription_id,
    subscriptions.c.status,
    subscriptions.c.cancel_reason,
    subscriptions.c.ends_on,
)


def read_agreements(store: Store, customer_ids: list[str]) -> pl.DataFrame:
    """The subscriptions that payers are billed for."""
    return read_by_ids(store, _AGREEMENTS, subscriptions.c.bill_to, customer_ids)


_PENDING = select(approvals.c.approval_id, approvals.c.customer_id, approvals.c.subject_id).where(
    approvals.c.state == "pending", approvals.c.kind.in_(("collection", "write_off"))
)


def read_pending(store: Store, customer_ids: list[str]) -> pl.DataFrame:
    """Proposals about cases of payers that nobody has decided."""
    return read_by_ids(store, _PENDING, approvals.c.customer_id, customer_ids)
