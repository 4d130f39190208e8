"""What plans cost a customer: all that it may choose from, or one at a quantity, priced as an order would be.

The choice of prices is kept, as an order keeps it, so the store is one that writes, or rehearses.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import select

from billing.core.calendar import local_date
from billing.core.money import BillingError, Scaled, currency_exponent, parse_quantity, post, ten_to
from billing.core.pricing import Price, rate
from billing.reads.catalog import PLANS, terms_of, tiers_of
from billing.reads.customers import customer_of
from billing.reads.price_steps import decimal
from billing.reads.scope import Scope
from billing.service.catalog import plan_version
from billing.service.prices import ONE, PlanPrice, price_plan
from billing.store import tables
from billing.store.store import Row, Store


@dataclass(frozen=True, slots=True)
class OfferedComponent:
    """A part of an offered plan and what it costs. `terms`: as `terms_of`."""

    component_id: str
    name: str
    kind: str
    terms: Row


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan a subscription may have, and what it costs its customer today. `is_current`: it has it now."""

    plan_id: str
    version: int
    name: str
    tier: str | None
    interval: str
    currency: str
    is_add_on: bool
    is_current: bool
    components: tuple[OfferedComponent, ...]


_OFFERED = 200
"""Plans that are looked at: more is nothing a person chooses from."""


def offers(
    store: Store, at: datetime, scope: Scope, *, customer_id: str, subscription_id: str | None = None
) -> list[Offer]:
    """The plans and add-ons that have a price for a customer today. Prices are chosen as an order would
    choose them, which keeps the choice: the store is one that writes, or rehearses. Raises
    `unknown_customer` where it is not the caller's."""
    payer = customer_of(store, scope, customer_id=customer_id)
    if payer is None:
        raise BillingError("unknown_customer", customer_id)
    contract_id, now = _agreed(store, customer_id, subscription_id)
    of = tables.plans.c
    found = []
    for row in store.rows(PLANS.order_by(of.is_add_on, of.plan_id).limit(_OFFERED)):
        if row["version"] is None:
            continue
        chosen = _priced(store, at, payer, row["plan_id"], contract_id)
        if chosen is not None:
            found.append(_offer(store, row, payer["currency"], row["plan_id"] in now, chosen))
    return found


def _agreed(store: Store, customer_id: str, subscription_id: str | None) -> tuple[str | None, set[str]]:
    """The contract of a subscription of this customer, and the plans its items have."""
    if subscription_id is None:
        return None, set()
    of, item = tables.subscriptions.c, tables.items.c
    row = store.row(
        select(of.contract_id).where(of.subscription_id == subscription_id, of.sold_to == customer_id)
    )
    if row is None:
        raise BillingError("unknown_subscription", subscription_id)
    held = tables.item_versions.c
    asked = (
        select(held.plan_id)
        .join(tables.items, item.item_id == held.item_id)
        .where(item.subscription_id == subscription_id, held.superseded_at.is_(None))
        .where(held.effective_end.is_(None))
    )
    return row["contract_id"], {one["plan_id"] for one in store.rows(asked)}


def _priced(
    store: Store, at: datetime, payer: Row, plan_id: str, contract_id: str | None
) -> PlanPrice | None:
    try:
        return price_plan(
            store,
            at,
            plan_version(store, plan_id),
            currency=payer["currency"],
            on=local_date(at, payer["time_zone"]),
            customer_id=payer["customer_id"],
            group_id=payer["group_id"],
            contract_id=contract_id,
        )
    except BillingError as error:
        if error.code in ("no_price", "currency_mismatch"):
            return None
        raise


def _offer(store: Store, row: Row, currency: str, is_current: bool, chosen: PlanPrice) -> Offer:
    terms = _terms_of_all(store, chosen)
    return Offer(
        plan_id=row["plan_id"],
        version=chosen.plan.version,
        name=row["name"],
        tier=row["tier"],
        interval=chosen.plan.interval,
        currency=currency,
        is_add_on=row["is_add_on"],
        is_current=is_current,
        components=tuple(
            OfferedComponent(part.component_id, part.name, part.kind, terms[priced.price_id])
            for part, priced in zip(chosen.plan.components, chosen.components, strict=True)
        ),
    )


def _terms_of_all(store: Store, chosen: PlanPrice) -> dict[str, Row]:
    """The terms of all prices of a choice, by their id."""
    ids = [one.price_id for one in chosen.components]
    tiers = tiers_of(store, ids)
    rows = store.rows(select(tables.prices).where(tables.prices.c.price_id.in_(ids)))
    return {one["price_id"]: terms_of(one, tiers[one["price_id"]]) for one in rows}


@dataclass(frozen=True, slots=True)
class QuotedComponent:
    """A part of a quoted plan. `posted_minor`: a whole period of it, before discounts and tax; None for
    usage, which is not known before."""

    component_id: str
    name: str
    kind: str
    posted_minor: int | None
    price: Row


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A price that lost, and why (core.choice.Reason)."""

    price_id: str
    component_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Quote:
    """What a plan costs a customer on a day at a quantity."""

    customer_id: str
    plan_id: str
    version: int
    currency: str
    on: date
    quantity: Decimal
    components: tuple[QuotedComponent, ...]
    not_taken: tuple[NotTaken, ...]


def quote(
    store: Store,
    at: datetime,
    scope: Scope,
    *,
    customer_id: str,
    plan_id: str,
    version: int | None = None,
    contract_id: str | None = None,
    on: date | None = None,
    quantity: str = "1",
) -> Quote:
    """All prices of a plan for a customer, chosen as an order would choose them; the store is one that
    writes, or rehearses. Raises `unknown_customer`, `unknown_contract` where they are not the caller's,
    `unknown_plan`, `no_price`, `currency_mismatch`, and as `parse_quantity`."""
    payer = customer_of(store, scope, customer_id=customer_id)
    if payer is None:
        raise BillingError("unknown_customer", customer_id)
    if contract_id is not None:
        _check_contract(store, scope, contract_id)
    amount = parse_quantity(quantity)
    day = on or local_date(at, payer["time_zone"])
    chosen = price_plan(
        store,
        at,
        plan_version(store, plan_id, version),
        currency=payer["currency"],
        on=day,
        customer_id=customer_id,
        group_id=payer["group_id"],
        contract_id=contract_id,
        quantity=amount,
    )
    terms, exponent = _terms_of_all(store, chosen), currency_exponent(payer["currency"])
    return Quote(
        customer_id=customer_id,
        plan_id=plan_id,
        version=chosen.plan.version,
        currency=payer["currency"],
        on=day,
        quantity=decimal(amount),
        components=tuple(
            QuotedComponent(
                part.component_id,
                part.name,
                part.kind,
                None if part.kind == "usage" else _posted(priced.price, part.kind, amount, exponent),
                terms[priced.price_id],
            )
            for part, priced in zip(chosen.plan.components, chosen.components, strict=True)
        ),
        not_taken=_lost(store, chosen),
    )


def _check_contract(store: Store, scope: Scope, contract_id: str) -> None:
    of = tables.contracts.c
    if store.row(select(of.term).where(of.contract_id == contract_id, *scope.where(of.customer_id))) is None:
        raise BillingError("unknown_contract", contract_id)


def _posted(terms: Price, kind: str, quantity: Scaled, exponent: int) -> int:
    rated = rate(terms, ONE if kind == "fee" else quantity)
    return post(rated.num * ten_to(exponent), rated.den)


def _lost(store: Store, chosen: PlanPrice) -> tuple[NotTaken, ...]:
    of = tables.price_choices.c
    asked = select(of.price_id, of.component_id, of.lost_by.label("reason")).where(
        of.choice_id == chosen.choice_id, of.lost_by.is_not(None)
    )
    return tuple(NotTaken(**row) for row in store.rows(asked.order_by(of.component_id, of.price_id)))
