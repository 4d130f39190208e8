"""How much a payer owes or has ordered, beside its credit limit. Read by index, for one payer at a time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime

import polars as pl
from sqlalchemy import bindparam, func, or_, select

from billing.core.calendar import local_date, next_boundary, parse_interval
from billing.core.money import BillingError
from billing.jobs.bill_draft import draft
from billing.jobs.bill_facts import MEMBERS
from billing.jobs.bill_pools import with_siblings
from billing.jobs.credit import open_credit
from billing.service.customers import customer as customer_row
from billing.store.debts import OPEN_MINOR
from billing.store.store import Row, Store
from billing.store.tables import (
    customers,
    invoices,
    item_versions,
    items,
    plan_versions,
    subscriptions,
)


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a payer would owe if all it has ordered so far were billed now, in its currency.

    `receivable_minor`: open invoices. `draft_minor`: what is due and not issued yet. `usage_minor`: usage of
    periods that run. `ordered_minor`: what was accepted and is due later: fees and seats of periods that run
    and are billed at their end, the first period of what begins later, charges to come. `credit_minor`:
    credit of notes and payments. All but the last with tax. `failures`: customers whose part could not be
    worked out, with the code; it is left out.
    """

    customer_id: str
    currency: str
    limit_minor: int | None
    receivable_minor: int
    draft_minor: int
    usage_minor: int
    ordered_minor: int
    credit_minor: int
    failures: dict[str, str]

    @property
    def exposure_minor(self) -> int:
        """What counts against the limit."""
        owed = self.receivable_minor + self.draft_minor + self.usage_minor + self.ordered_minor
        return owed - self.credit_minor

    @property
    def figures(self) -> dict[str, object]:
        return asdict(self) | {"exposure_minor": self.exposure_minor}


_RECEIVABLE = select(func.sum(OPEN_MINOR).label("open_minor")).where(
    invoices.c.customer_id == bindparam("payer"),
    invoices.c.currency == bindparam("currency"),
    invoices.c.state == "open",
)
_BILLED_TO = MEMBERS.where(
    or_(
        customers.c.customer_id == bindparam("payer"),
        customers.c.customer_id.in_(
            select(subscriptions.c.sold_to).where(subscriptions.c.bill_to == bindparam("payer"))
        ),
    )
)


def exposure(store: Store, at: datetime, *, customer_id: str) -> Exposure:
    """What a payer owes as of now. Nothing is written. Raises `unknown_customer`, `naive_time`."""
    if at.tzinfo is None:
        raise BillingError("naive_time", f"{at} has no time zone")
    payer = customer_row(store, customer_id)
    today, currency = local_date(at, payer["time_zone"]), str(payer["currency"])
    receivable = store.row(_RECEIVABLE, {"payer": customer_id, "currency": currency})
    members = store.frame(_BILLED_TO, {"payer": customer_id}).sort("root_id", "customer_id")
    now = draft(store, at, with_siblings(store, members, today), today, in_grace=True)
    periods = _periods(store.rows(_TERMS, {"payer": customer_id}), today)
    until = max([today, *periods["ends"]])
    later = draft(store, at, with_siblings(store, members, until), until, in_grace=True)
    is_own = (pl.col("payer_id") == customer_id) & (pl.col("currency") == currency)
    due = now.lines.filter(is_own)
    ahead = (
        later.lines.filter(is_own)
        .join(due, on=_LINE, how="anti", nulls_equal=True)
        .join(periods, on="item_id", how="left")
        .filter((pl.col("kind") == "one_time") | (pl.col("service_start") < pl.col("ends")))
    )
    is_usage = pl.col("kind").is_in(["usage", "true_up", "rebate"])
    credit = open_credit(store, [customer_id]).filter(pl.col("currency") == currency)
    failures = pl.concat([now.failures, later.failures]).filter(
        pl.col("customer_id").is_in(members["customer_id"].implode())
    )
    return Exposure(
        customer_id=customer_id,
        currency=currency,
        limit_minor=payer["credit_limit_minor"],
        receivable_minor=(receivable or {}).get("open_minor") or 0,
        draft_minor=_total(due),
        usage_minor=_total(ahead.filter(is_usage)),
        ordered_minor=_total(ahead.filter(~is_usage)),
        credit_minor=int(credit["left_minor"].sum()),
        failures=dict(failures.select("customer_id", "code").rows()),
    )


_LINE = ["item_id", "component_id", "kind", "entry", "service_start"]


def _total(lines: pl.DataFrame) -> int:
    return int(lines["net_minor"].sum()) + int(lines["tax_minor"].sum())


_TERMS = (
    select(
        items.c.item_id,
        item_versions.c.effective_start,
        item_versions.c.effective_end,
        item_versions.c.anchor_on,
        plan_versions.c.interval,
    )
    .join(subscriptions, subscriptions.c.subscription_id == items.c.subscription_id)
    .join(item_versions, item_versions.c.item_id == items.c.item_id)
    .join(
        plan_versions,
        (plan_versions.c.plan_id == item_versions.c.plan_id)
        & (plan_versions.c.version == item_versions.c.plan_version),
    )
    .where(
        subscriptions.c.bill_to == bindparam("payer"),
        subscriptions.c.status != "canceled",
        item_versions.c.superseded_at.is_(None),
    )
    .order_by(items.c.item_id, item_versions.c.effective_start)
)


def _periods(terms: list[Row], today: date) -> pl.DataFrame:
    """The end of the period of each item that runs today, or of its first where it begins later: `item_id`,
    `ends`."""
    found: dict[str, date] = {}
    for row in terms:
        is_over = row["effective_end"] is not None and row["effective_end"] <= today
        if row["item_id"] in found or is_over:
            continue
        first = max(row["effective_start"], today)
        found[row["item_id"]] = next_boundary(row["anchor_on"], parse_interval(row["interval"]), first)
    return pl.DataFrame(
        {"item_id": list(found), "ends": list(found.values())},
        schema={"item_id": pl.String, "ends": pl.Date},
    )
