"""Which prices a plan version has for a customer, on a day, at a quantity; and why these.

The choice is made when a version is written (core.choice decides) and kept in `price_choices`, a row a price
that was looked at. Versions on the same prices for the same reasons share a choice, and the bill run only
joins it. Prices never change, so a choice read once is remembered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from sqlalchemy import and_, bindparam, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from billing.core.choice import Choice, Offer, Reason, choose
from billing.core.money import BillingError, Scaled
from billing.core.subscription import PricedComponent
from billing.service.catalog import PlanVersion
from billing.service.published_prices import price_terms
from billing.store.store import Row, Store
from billing.store.tables import components, price_choices, price_lists, prices

ONE = Scaled(1, 0)


@dataclass(frozen=True, slots=True)
class PlanPrice:
    """A plan version with a price for each component. `price_id` and `list_id`: of its first fee or seat,
    else of its first component."""

    plan: PlanVersion
    choice_id: str
    list_id: str
    price_id: str
    components: tuple[PricedComponent, ...]
    offers: tuple[Offer, ...]
    """The prices that may hold at another quantity."""
    set_aside: tuple[tuple[Offer, Reason], ...]
    """Those that may not: of another currency or another time."""


_OFFER = (
    price_lists.c.list_id,
    price_lists.c.level,
    price_lists.c.currency,
    price_lists.c.valid_start,
    price_lists.c.valid_end,
    prices.c.price_id,
    prices.c.component_id,
    prices.c.quantity_from,
)
_OFFERS = (
    select(*_OFFER)
    .join(price_lists, price_lists.c.list_id == prices.c.list_id)
    .join(components, components.c.component_id == prices.c.component_id)
    .where(
        components.c.plan_id == bindparam("plan_id"),
        components.c.plan_version == bindparam("version"),
        or_(
            price_lists.c.level == "list",
            and_(price_lists.c.level == "contract", price_lists.c.owner_id == bindparam("contract_id")),
            and_(price_lists.c.level == "customer", price_lists.c.owner_id == bindparam("customer_id")),
            and_(price_lists.c.level == "group", price_lists.c.owner_id == bindparam("group_id")),
        ),
    )
)


def price_plan(
    store: Store,
    at: datetime,
    plan: PlanVersion,
    *,
    currency: str,
    on: date,
    customer_id: str,
    group_id: str | None = None,
    contract_id: str | None = None,
    quantity: Scaled = ONE,
) -> PlanPrice:
    """The price of each component of a plan version for a customer on a day, chosen by itself.

    Raises `no_price`, and `currency_mismatch` when a component has prices on the day, but none in the
    customer's currency.
    """
    asked = {
        "plan_id": plan.plan_id,
        "version": plan.version,
        "contract_id": contract_id,
        "customer_id": customer_id,
        "group_id": group_id,
    }
    offers = [Offer(**row) for row in store.rows(_OFFERS, asked)]
    return _chosen(store, at, plan, offers, currency=currency, on=on, quantity=quantity)


def at_quantity(store: Store, at: datetime, price: PlanPrice, quantity: Scaled) -> PlanPrice:
    """The same choice at another quantity: only the breaks of its prices are looked at anew."""
    if not any(offer.quantity_from for offer in price.offers):
        return price
    currency = price.offers[0].currency
    last_start = max(offer.valid_start for offer in price.offers)
    # They held on the day of the choice, whatever day that was.
    offers = [replace(offer, valid_end=None) for offer in price.offers]
    return _chosen(
        store,
        at,
        price.plan,
        offers,
        currency=currency,
        on=last_start,
        quantity=quantity,
        set_aside=price.set_aside,
    )


def _chosen(
    store: Store,
    at: datetime,
    plan: PlanVersion,
    offers: Sequence[Offer],
    *,
    currency: str,
    on: date,
    quantity: Scaled,
    set_aside: Sequence[tuple[Offer, Reason]] = (),
) -> PlanPrice:
    choices = []
    for component in plan.components:
        own = [offer for offer in offers if offer.component_id == component.component_id]
        choice = choose(component.component_id, own, currency=currency, on=on, quantity=quantity)
        if choice.taken is None:
            reasons = {reason for _, reason in choice.losers}
            code = "currency_mismatch" if reasons and reasons <= {"wrong_currency"} else "no_price"
            what = f"{plan.plan_id} version {plan.version}, {component.name}"
            raise BillingError(code, f"{what} in {currency} on {on}")
        aside = tuple(one for one in set_aside if one[0].component_id == component.component_id)
        choices.append(replace(choice, losers=choice.losers + aside))
    return priced_by(store, plan, _kept(store, at, choices))


def _kept(store: Store, at: datetime, choices: Sequence[Choice]) -> str:
    """The id of these choices, written unless they are known."""
    rows: list[Row] = []
    for choice in choices:
        assert choice.taken is not None
        seen = [(choice.taken, None), *choice.losers]
        rows += [
            {"component_id": choice.component_id, "price_id": offer.price_id, "lost_by": reason}
            for offer, reason in seen
        ]
    rows.sort(key=lambda row: (row["component_id"], row["price_id"]))
    text = "\n".join(f"{row['component_id']}\t{row['price_id']}\t{row['lost_by'] or ''}" for row in rows)
    choice_id = hashlib.sha256(text.encode()).hexdigest()[:16]
    if ("choice", choice_id) not in store.memory:
        insert = (sqlite if store.is_sqlite else postgresql).insert(price_choices).on_conflict_do_nothing()
        for row in rows:
            store.execute(insert, row | {"choice_id": choice_id, "recorded_at": at})
        store.memory["choice", choice_id] = True
    return choice_id


_CHOSEN = (
    select(*_OFFER, price_choices.c.component_id.label("of_component_id"), price_choices.c.lost_by)
    .join(price_choices, price_choices.c.price_id == prices.c.price_id)
    .join(price_lists, price_lists.c.list_id == prices.c.list_id)
    .where(price_choices.c.choice_id == bindparam("choice_id"))
    .order_by(prices.c.price_id)
)


def priced_by(store: Store, plan: PlanVersion, choice_id: str) -> PlanPrice:
    """A plan version with the prices of a choice. Raises `no_price`."""
    key = ("plan_price", plan.plan_id, plan.version, choice_id)
    known = store.memory.get(key)
    if known is None:
        known = store.memory[key] = _read(store, plan, choice_id)
    assert isinstance(known, PlanPrice)
    return known


def _read(store: Store, plan: PlanVersion, choice_id: str) -> PlanPrice:
    offers, set_aside, taken = [], [], {}
    for row in store.rows(_CHOSEN, {"choice_id": choice_id}):
        lost_by = row.pop("lost_by")
        offer = Offer(**row | {"component_id": row.pop("of_component_id")})
        if lost_by is None:
            taken[offer.component_id] = offer
        if lost_by in ("wrong_currency", "not_valid"):
            set_aside.append((offer, lost_by))
        else:
            offers.append(offer)
    if any(component.component_id not in taken for component in plan.components):
        raise BillingError("no_price", f"{choice_id} does not price all of {plan.plan_id}")
    ids = [offer.price_id for offer in taken.values()]
    rows = {row["price_id"]: row for row in store.rows(select(prices).where(prices.c.price_id.in_(ids)))}
    priced = tuple(
        PricedComponent(
            component.component_id,
            component.kind,
            row["price_id"],
            price_terms(store, row),
            row["minimum_spend_minor"],
            row["maximum_spend_minor"],
        )
        for component in plan.components
        for row in [rows[taken[component.component_id].price_id]]
    )
    leading = next((part for part in priced if part.kind != "usage"), priced[0])
    first = taken[leading.component_id]
    return PlanPrice(plan, choice_id, first.list_id, first.price_id, priced, tuple(offers), tuple(set_aside))
