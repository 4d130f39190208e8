"""What one more term of a contract would cost: the renewal and all its bill runs, made in a savepoint and
taken back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl
from sqlalchemy import bindparam, select, update

from billing.core.calendar import boundary, parse_interval
from billing.core.money import BillingError
from billing.service.contracts import renew_ahead
from billing.service.previews import preview_change
from billing.service.subscriptions import as_date
from billing.store.store import Store
from billing.store.tables import contract_stock_rules, contracts, item_versions, items, subscriptions

_CONTRACT = select(contracts).where(contracts.c.contract_id == bindparam("id"))
_SOLD_TO = select(subscriptions.c.sold_to).where(subscriptions.c.contract_id == bindparam("id")).distinct()
_RATES = (
    select(
        items.c.item_id,
        item_versions.c.plan_id,
        item_versions.c.quantity_mantissa,
        item_versions.c.quantity_scale,
        item_versions.c.recurring_minor,
    )
    .join(subscriptions, subscriptions.c.subscription_id == items.c.subscription_id)
    .join(item_versions, item_versions.c.item_id == items.c.item_id)
    .where(
        subscriptions.c.contract_id == bindparam("id"),
        item_versions.c.superseded_at.is_(None),
        item_versions.c.effective_start <= bindparam("on"),
        (item_versions.c.effective_end > bindparam("on")) | item_versions.c.effective_end.is_(None),
    )
    .order_by(items.c.item_id)
)
_BILL_FROM = (
    update(subscriptions)
    .where(subscriptions.c.contract_id == bindparam("id"))
    .values(billing_starts_on=bindparam("on"))
)
_RULES = select(contract_stock_rules.c.revision).where(
    contract_stock_rules.c.contract_id == bindparam("id"),
    contract_stock_rules.c.valid_from == bindparam("on"),
)


_SHOWN = [
    "item_id",
    "service_start",
    "component_id",
    "service_end",
    "description",
    "quantity_mantissa",
    "quantity_scale",
    "currency",
    "net_minor",
    "tax_minor",
]


@dataclass(frozen=True, slots=True)
class RenewalQuote:
    """The next term of a contract. lines: its fees and seats, as the bill runs of the term would post them
    (a line a component and period), without the usage, which nobody knows. rates: one row an item, with
    `quantity_mantissa`, `quantity_scale`, `recurring_minor` on the last day of the running term and
    `next_recurring_minor` on the first of the next."""

    contract_id: str
    term_start: date
    term_end: date
    lines: pl.DataFrame
    rates: pl.DataFrame

    @property
    def net_minor(self) -> int:
        """The price of the whole term before tax."""
        return int(self.lines["net_minor"].sum())

    @property
    def tax_minor(self) -> int:
        return int(self.lines["tax_minor"].sum())


def quote_renewal(store: Store, at: datetime, *, contract_id: str) -> RenewalQuote:
    """What the next term of a contract would cost if it were renewed as it is, at the prices known now.

    Goods count as agreed, whatever their stock, and lines that a purchase order would hold are shown. Nothing
    is written. Raises `unknown_contract`, `illegal_transition` after notice, after the term or for a contract
    that is over, `no_price`, and the code that would set a customer of the contract aside.
    """
    row = store.row(_CONTRACT, {"id": contract_id})
    if row is None:
        raise BillingError("unknown_contract", contract_id)
    term_start = as_date(row["term_end"])
    term_end = boundary(term_start, parse_interval(row["term"]), 1)
    next_rates = []

    def renewed(one: Store, now: datetime) -> None:
        renew_ahead(one, now, contract_id=contract_id)
        next_rates.append(one.frame(_RATES, {"id": contract_id, "on": term_start}))
        _bill_agreed_goods_of_the_term_alone(one, now, contract_id, term_start)

    rates = store.frame(_RATES, {"id": contract_id, "on": term_start - timedelta(days=1)})
    lines = []
    for customer in store.rows(_SOLD_TO, {"id": contract_id}):
        found = preview_change(
            store, at, renewed, customer_id=customer["sold_to"], up_to=term_end, shows_held=True
        )
        for failure in found.failures.iter_rows(named=True):
            raise BillingError(failure["code"], failure["detail"] or "")
        lines.append(found.lines)
    starts_in_term = (pl.col("service_start") >= term_start) & (pl.col("service_start") < term_end)
    of_contract = pl.concat(lines).join(next_rates[0].select("item_id"), on="item_id", how="semi")
    following = next_rates[0].select("item_id", pl.col("recurring_minor").alias("next_recurring_minor"))
    return RenewalQuote(
        contract_id,
        term_start,
        term_end,
        of_contract.filter(starts_in_term, entry="charge").select(_SHOWN).sort(_SHOWN[:3]),
        rates.join(following, on="item_id", maintain_order="left"),
    )


def _bill_agreed_goods_of_the_term_alone(store: Store, at: datetime, contract_id: str, on: date) -> None:
    """What came before the term is no part of its quote, and no stock is asked for it."""
    store.execute(_BILL_FROM, {"id": contract_id, "on": on})
    known = store.rows(_RULES, {"id": contract_id, "on": on})
    rule = {"contract_id": contract_id, "valid_from": on, "revision": len(known), "rule": "standing"}
    store.insert(contract_stock_rules, [rule], at)
