"""Invoices before they are issued. Under a policy with `grace_days` what became due stays a draft so long.

A draft is no row: it is what a run would post, worked out when it is asked for, so nothing of it goes stale.
Usage and changes that come in time are in it. Its quantities are frozen when its days of grace end (at the
customer's midnight), or before that by `freeze_quantities`; usage that comes later belongs to a later
invoice, as `late_usage` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl
from sqlalchemy import bindparam, or_, select

from billing.core.calendar import local_date
from billing.core.invoicing import version_on
from billing.core.money import BillingError
from billing.jobs.bill_draft import draft
from billing.jobs.bill_facts import MEMBERS, SNAPSHOTS, read_by_ids, read_policies
from billing.jobs.bill_pools import with_siblings
from billing.service.acts import act, announce
from billing.service.customers import customer as customer_row
from billing.store.store import Store
from billing.store.tables import customers, items, subscriptions, usage_snapshots

_CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class Drafts:
    """documents: one row a draft: `customer_id` (who pays), `currency`, `issue_on`, `lines`, `net_minor`,
    `tax_minor`, `total_minor`, `credit_minor`, what will stand on a credit note instead, and `held`, the code
    if its purchase order will hold it. lines: what they
    hold, as a run would post it, with `document`. failures: customers that would be set aside, with `code`
    and `detail`."""

    documents: pl.DataFrame
    lines: pl.DataFrame
    failures: pl.DataFrame


_IN_GRACE = MEMBERS.where(
    customers.c.policy_name.in_(bindparam("names", expanding=True)),
    customers.c.parked_at.is_(None),
    customers.c.next_bill_on <= bindparam("until"),
)
_BILLED_TO = MEMBERS.where(
    or_(
        customers.c.customer_id == bindparam("payer"),
        customers.c.customer_id.in_(
            select(subscriptions.c.sold_to).where(subscriptions.c.bill_to == bindparam("payer"))
        ),
    )
)


def drafts(store: Store, at: datetime, *, up_to: date, customer_id: str | None = None) -> Drafts:
    """The drafts of all customers (or of one who pays), as they stand up to a day. Nothing is written.

    Raises `naive_time`, `unknown_customer`.
    """
    if at.tzinfo is None:
        raise BillingError("naive_time", f"{at} has no time zone")
    known = read_policies(store)
    names = [name for name, versions in known.items() if version_on(versions, up_to).settings.grace_days]
    if customer_id is not None:
        customer_row(store, customer_id)
        members = store.frame(_BILLED_TO, {"payer": customer_id})
    else:
        # A customer's next day was set by the policy that held then.
        longest = max((one.settings.grace_days for several in known.values() for one in several), default=0)
        until = up_to + timedelta(days=longest)
        members = store.frame(_IN_GRACE, {"names": names, "until": until})
    members = members.filter(pl.col("policy_name").is_in(names)).sort("root_id", "customer_id")
    documents, lines, failures, count = [pl.DataFrame(schema=_DOCUMENT)], [], [], 0
    for roots in members.select("root_id").unique(maintain_order=True).iter_slices(_CHUNK):
        part = members.join(roots, on="root_id", how="semi", maintain_order="left")
        group = with_siblings(store, part, up_to)
        found = draft(store, at, group, up_to, in_grace=True, shows_held=True)
        own = found.lines
        if customer_id is not None:
            own = own.filter(pl.col("payer_id") == customer_id)
        heads = own.group_by("document").agg(
            pl.col("payer_id", "currency").first(),
            pl.col("issue_on").fill_null(up_to).first(),
            pl.len().cast(pl.Int64).alias("lines"),
        )
        documents.append(
            found.documents.join(heads, on="document")
            .join(found.held.select("document", pl.col("code").alias("held")), on="document", how="left")
            .rename({"payer_id": "customer_id", "note_total_minor": "credit_minor"})
            .with_columns(pl.col("document") + count)
            .select(*_DOCUMENT)
        )
        lines.append(own.with_columns(pl.col("document") + count))
        count += found.documents.height
        failures.append(found.failures)
    return Drafts(
        pl.concat(documents).sort("issue_on", "customer_id", "currency"),
        pl.concat(lines) if lines else pl.DataFrame(),
        pl.concat(failures) if failures else pl.DataFrame(),
    )


_DOCUMENT = {
    "document": pl.Int64,
    "customer_id": pl.String,
    "currency": pl.String,
    "issue_on": pl.Date,
    "lines": pl.Int64,
    "net_minor": pl.Int64,
    "tax_minor": pl.Int64,
    "total_minor": pl.Int64,
    "credit_minor": pl.Int64,
    "held": pl.String,
}


@act
def freeze_quantities(store: Store, at: datetime, *, customer_id: str) -> int:
    """Take the quantities of usage that is due and not billed yet as they are now: what comes later is left
    to a later invoice. Returns how many were taken; what was frozen before stays as it is.

    Raises `unknown_customer`.
    """
    today = local_date(at, customer_row(store, customer_id)["time_zone"])
    members = store.frame(MEMBERS.where(customers.c.customer_id == customer_id))
    found = draft(store, at, with_siblings(store, members, today), today, in_grace=True, shows_held=True)
    of_customer = found.usage.filter(pl.col("customer_id") == customer_id).drop("customer_id")
    if of_customer.is_empty():
        return 0
    key = ["item_id", "component_id", "service_start", "service_end"]
    since = {"since": of_customer["service_start"].min()}
    taken = read_by_ids(store, SNAPSHOTS, items.c.customer_id, [customer_id], since)
    last = taken.sort("revision").group_by(key).last()
    frozen = last.filter(pl.col("frozen_at").is_not_null())
    new = of_customer.join(frozen, on=key, how="anti").with_columns(pl.lit(at).alias("frozen_at"))
    if new.is_empty():
        return 0
    store.insert(usage_snapshots, new, at)
    announce(store, at, "usage.frozen", customer_id, {"quantities": new.height})
    return new.height
