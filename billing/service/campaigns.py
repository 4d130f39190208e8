"""Campaigns: how overdue money is chased of customers for whom the days of net terms are not the measure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import bindparam, select

from billing.core.money import DOCUMENT_LIMIT, BillingError, parse_money, within
from billing.service.acts import act, announce
from billing.service.customers import customer as customer_row
from billing.store.store import Store
from billing.store.tables import campaign_thresholds, campaigns, customers


@act
def create_campaign(
    store: Store,
    at: datetime,
    *,
    name: str,
    thresholds: Mapping[str, str],
    max_attempts: int,
    days_between: int,
    campaign_id: str | None = None,
) -> str:
    """A campaign; returns its id. `thresholds`: by currency, from what overdue total on (decimal text) it
    acts; other currencies are not chased. `max_attempts`: its steps. `days_between` two of them
    [`campaign_gap`].

    Raises `missing_value` without name or threshold, `unknown_currency`, `too_many_decimals`,
    `amount_out_of_range`, `negative_quantity` for a threshold of 0 or less, no attempts or negative days,
    `immutable` (the id is taken).
    """
    if not name.strip() or not thresholds:
        raise BillingError("missing_value", "a campaign has a name and a threshold")
    if max_attempts < 1 or days_between < 0:
        raise BillingError("negative_quantity", f"{max_attempts} attempts, {days_between} days between")
    campaign_id = campaign_id or store.new_id("camp")
    rows = []
    for currency, amount in thresholds.items():
        threshold_minor = within(parse_money(amount, currency), DOCUMENT_LIMIT)
        if threshold_minor <= 0:
            raise BillingError("negative_quantity", f"a threshold of {amount} {currency}")
        rows.append({"campaign_id": campaign_id, "currency": currency, "threshold_minor": threshold_minor})
    terms = {"name": name.strip(), "max_attempts": max_attempts, "days_between": days_between}
    store.insert(campaigns, [{"campaign_id": campaign_id} | terms], at)
    store.insert(campaign_thresholds, rows, at)
    announce(store, at, "campaign.created", campaign_id, terms | {"thresholds": dict(thresholds)})
    return campaign_id


_CAMPAIGN = select(campaigns.c.campaign_id).where(campaigns.c.campaign_id == bindparam("id"))


@act
def assign_campaign(store: Store, at: datetime, *, customer_id: str, campaign_id: str | None) -> None:
    """Chase a customer's overdue money by a campaign from the next run on, or (None) by the days of net terms
    again. A case that is open then ends as `replaced`. Raises `unknown_customer`, `unknown_campaign`."""
    customer_row(store, customer_id)
    if campaign_id is not None and store.row(_CAMPAIGN, {"id": campaign_id}) is None:
        raise BillingError("unknown_campaign", campaign_id)
    store.update(customers, [{"customer_id": customer_id, "campaign_id": campaign_id}], at)
    announce(store, at, "customer.campaign_assigned", customer_id, {"campaign_id": campaign_id})
