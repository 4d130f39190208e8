"""Prices that follow an index: the clause of a contract, published values, and the steps that are due.

A step multiplies the base price by the index over its base, within floor and cap (core.indexing), and writes
a contract price list and dated versions. A value published anew for a month that was used is a correction:
the step is made again from its own day, and the bill run posts the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import bindparam, select

from billing.core.calendar import add_months, boundary, local_date, parse_interval
from billing.core.indexing import IndexStep
from billing.core.money import (
    PPM,
    BillingError,
    Scaled,
    currency_exponent,
    format_scaled,
    parse_decimal,
    ten_to,
)
from billing.core.subscription import Item, ItemVersion
from billing.service.acts import act, announce
from billing.service.catalog import create_price_list, plan_version
from billing.service.contracts import at_prices_of
from billing.service.prices import priced_by
from billing.service.subscriptions import change_item, save_changes
from billing.store.store import Row, Store
from billing.store.subscriptions import Standing, read_standing
from billing.store.tables import (
    contract_clauses,
    contracts,
    customers,
    index_prices,
    index_values,
    price_tiers,
    prices,
    subscriptions,
)


@dataclass(frozen=True, slots=True)
class PriceStep:
    """A price before and after a step of an index: `acts_on` is the first day of the new one.

    `old` and `new` in major units, the price itself or that of its first tier."""

    component_id: str
    acts_on: date
    old: str
    new: str


@act
def publish_index_value(
    store: Store, at: datetime, *, index_id: str, month: date, value: str, published_on: date
) -> None:
    """A value of an index for a month (any day of it). A later one for the same month revises it.

    Raises `immutable` for a second value of one day, `negative_price` unless above 0, as `parse_decimal`."""
    first = month.replace(day=1)
    known = select(index_values.c.index_id).where(
        index_values.c.index_id == index_id,
        index_values.c.month == first,
        index_values.c.published_on >= published_on,
    )
    if store.row(known) is not None:
        raise BillingError("immutable", f"{index_id} of {first:%Y-%m} has a value of {published_on} or later")
    number = _positive(value)
    row = {
        "index_id": index_id,
        "month": first,
        "published_on": published_on,
        "value_mantissa": number.mantissa,
        "value_scale": number.scale,
    }
    store.insert(index_values, [row], at)
    announce(store, at, "index.published", index_id, {"month": first, "value": value})


@act
def add_index_clause(
    store: Store,
    at: datetime,
    *,
    contract_id: str,
    index_id: str,
    base_value: str,
    first_on: date,
    interval: str = "P1Y",
    lag_months: int = 1,
    floor_ppm: int | None = None,
    cap_ppm: int | None = None,
    notice_days: int = 0,
    clause_id: str | None = None,
) -> str:
    """Let a contract's prices follow an index from `first_on` on, each `interval`; returns the clause's id.

    A step takes the value of `lag_months` before its month and is written `notice_days` ahead.
    Raises `unknown_contract`, `bad_rate` for a floor above the cap or below -100 %, `bad_interval`,
    `negative_quantity`."""
    parse_interval(interval)
    if store.row(select(contracts.c.contract_id).where(contracts.c.contract_id == contract_id)) is None:
        raise BillingError("unknown_contract", contract_id)
    if lag_months < 0 or notice_days < 0:
        raise BillingError("negative_quantity", f"{lag_months} months, {notice_days} days")
    if min(floor_ppm or 0, cap_ppm or 0) < -PPM or (
        floor_ppm is not None and cap_ppm is not None and floor_ppm > cap_ppm
    ):
        raise BillingError("bad_rate", f"floor {floor_ppm} ppm, cap {cap_ppm} ppm")
    base = _positive(base_value)
    clause_id = clause_id or store.new_id("clause")
    row = {
        "clause_id": clause_id,
        "contract_id": contract_id,
        "kind": "index",
        "index_id": index_id,
        "base_value_mantissa": base.mantissa,
        "base_value_scale": base.scale,
        "floor_ppm": floor_ppm,
        "cap_ppm": cap_ppm,
        "first_on": first_on,
        "interval": interval,
        "lag_months": lag_months,
        "notice_days": notice_days,
    }
    store.insert(contract_clauses, [row], at)
    announce(store, at, "contract.clause_added", contract_id, row)
    return clause_id


def _positive(text: str) -> Scaled:
    value = parse_decimal(text)
    if value.mantissa <= 0:
        raise BillingError("negative_price", f"an index of {text!r}")
    return value


@act
def index_prices_due(store: Store, at: datetime, *, contract_id: str | None = None) -> list[PriceStep]:
    """Make every step whose day less its notice has come and whose index value is known; of one contract or
    of all. Call it daily; a second call does nothing. A value that came late acts its notice after today.
    """
    asked = _CLAUSES if contract_id is None else _CLAUSES.where(contracts.c.contract_id == contract_id)
    made: list[PriceStep] = []
    for clause in store.rows(asked):
        today = local_date(at, clause["time_zone"])
        again = False
        for step_on in _due_steps(clause, today):
            done = store.rows(_MADE, {"clause_id": clause["clause_id"], "step_on": step_on})
            value = _value(store, clause, step_on, today)
            if value is None:
                break
            if done and not again and done[-1]["published_on"] == value["published_on"]:
                continue
            again = bool(done)
            lead = timedelta(days=clause["notice_days"])
            acts_on = done[-1]["acts_on"] if done else max(step_on, today + lead)
            lists = {row["price_id"].split(f".{step_on}.")[1][:4] for row in done}
            made += _make(store, at, clause, step_on, acts_on, value, len(lists))
    return made


def preview_index(store: Store, at: datetime, *, contract_id: str) -> list[PriceStep]:
    """What `index_prices_due` would do to a contract's prices now: old and new, nothing written."""
    found: list[PriceStep] = []
    try:
        with store.transaction(savepoint=True):
            found = index_prices_due(store, at, contract_id=contract_id)
            raise _TakenBack
    except _TakenBack:
        return found


class _TakenBack(Exception):
    """Ends the savepoint of a preview."""


_CLAUSES = (
    select(contract_clauses, customers.c.time_zone, customers.c.currency)
    .join(contracts, contracts.c.contract_id == contract_clauses.c.contract_id)
    .join(customers, customers.c.customer_id == contracts.c.customer_id)
    .where(contract_clauses.c.kind == "index", contracts.c.ended_on.is_(None))
    .order_by(contract_clauses.c.clause_id)
)
_MADE = (
    select(index_prices)
    .where(index_prices.c.clause_id == bindparam("clause_id"), index_prices.c.step_on == bindparam("step_on"))
    .order_by(index_prices.c.published_on, index_prices.c.recorded_at)
)
_VALUE = (
    select(index_values)
    .where(
        index_values.c.index_id == bindparam("index_id"),
        index_values.c.month == bindparam("month"),
        index_values.c.published_on <= bindparam("today"),
    )
    .order_by(index_values.c.published_on.desc())
    .limit(1)
)
_OF_CONTRACT = (
    select(subscriptions.c.subscription_id)
    .where(subscriptions.c.contract_id == bindparam("contract_id"))
    .order_by(subscriptions.c.subscription_id)
)
_PRICE = select(prices).where(prices.c.price_id == bindparam("price_id"))
_TIERS = (
    select(price_tiers)
    .where(price_tiers.c.price_id == bindparam("price_id"))
    .order_by(price_tiers.c.position)
)
_ORIGIN = select(index_prices.c.base_price_id).where(index_prices.c.price_id == bindparam("price_id"))


def _due_steps(clause: Row, today: date) -> Iterator[date]:
    interval, lead, number = parse_interval(clause["interval"]), timedelta(days=clause["notice_days"]), 0
    while (step_on := boundary(clause["first_on"], interval, number)) - lead <= today:
        yield step_on
        number += 1


def _value(store: Store, clause: Row, step_on: date, today: date) -> Row | None:
    month = add_months(step_on.replace(day=1), -clause["lag_months"])
    return store.row(_VALUE, {"index_id": clause["index_id"], "month": month, "today": today})


def _make(
    store: Store, at: datetime, clause: Row, step_on: date, acts_on: date, value: Row, revision: int
) -> list[PriceStep]:
    contract_id = clause["contract_id"]
    ids = [row["subscription_id"] for row in store.rows(_OF_CONTRACT, {"contract_id": contract_id})]
    standings = [read_standing(store, at, one) for one in ids]
    runs = [one for one in standings if _runs_on(one, acts_on)]
    before = _prices_before(store, runs, acts_on)
    if not before:
        return []
    # Of two lists of one day the smaller id is taken: a correction counts down.
    list_id = f"{contract_id}.index.{step_on}.{9999 - revision:04d}"
    create_price_list(
        store,
        at,
        list_id=list_id,
        name=f"{clause['index_id']} of {value['month']:%Y-%m}",
        currency=clause["currency"],
        valid_start=acts_on,
        level="contract",
        owner_id=contract_id,
    )
    step = IndexStep(
        Scaled(clause["base_value_mantissa"], clause["base_value_scale"]),
        Scaled(value["value_mantissa"], value["value_scale"]),
        clause["floor_ppm"],
        clause["cap_ppm"],
    )
    made = []
    for (component_id, quantity_from), price_id in sorted(before.items()):
        origin = store.row(_ORIGIN, {"price_id": price_id})
        base_id = price_id if origin is None else str(origin["base_price_id"])
        new_id = f"{list_id}.{component_id}" + (f".from-{quantity_from}" if quantity_from else "")
        old, new = _write_price(store, at, step, base_id, price_id, list_id, new_id)
        row = {
            "price_id": new_id,
            "clause_id": clause["clause_id"],
            "step_on": step_on,
            "acts_on": acts_on,
            "base_price_id": base_id,
            "month": value["month"],
            "published_on": value["published_on"],
        }
        store.insert(index_prices, [row], at)
        made.append(PriceStep(component_id, acts_on, old, new))
    for standing in runs:
        edit = at_prices_of(store, at, standing, acts_on)
        changes = [
            change_item(store, item, acts_on, None, edit, "price")
            for item in standing.subscription.open_items(acts_on)
        ]
        facts = {"contract_id": contract_id, "acts_on": acts_on, "list_id": list_id}
        save_changes(store, at, standing, changes, "subscription.prices_indexed", facts)
    return made


def _runs_on(standing: Standing, on: date) -> bool:
    return not standing.subscription.is_canceled(max(on, standing.today))


def _prices_before(store: Store, standings: Sequence[Standing], acts_on: date) -> dict[tuple[str, int], str]:
    """The price of each component and quantity break the day before the step."""
    eve = acts_on - timedelta(days=1)
    found: dict[tuple[str, int], str] = {}
    for standing in standings:
        for item in standing.subscription.open_items(acts_on):
            version = _last_version_by(item, eve)
            if version is not None:
                plan = plan_version(store, version.plan_id, version.plan_version)
                price = priced_by(store, plan, version.choice_id)
                breaks = {offer.price_id: offer.quantity_from for offer in price.offers}
                for part in price.components:
                    found.setdefault((part.component_id, breaks[part.price_id]), part.price_id)
    return found


def _last_version_by(item: Item, on: date) -> ItemVersion | None:
    begun = [version for version in item.versions if version.effective_start <= on]
    return begun[-1] if begun else None


def _write_price(
    store: Store, at: datetime, step: IndexStep, base_id: str, before_id: str, list_id: str, new_id: str
) -> tuple[str, str]:
    """A price moved by a step, with its tiers; what it was and is, as text. Rates stay as they are."""
    base, before = store.row(_PRICE, {"price_id": base_id}), store.row(_PRICE, {"price_id": before_id})
    assert base is not None
    assert before is not None
    base_tiers = store.rows(_TIERS, {"price_id": base_id})
    before_tiers = store.rows(_TIERS, {"price_id": before_id})
    scale = max(base["price_scale"], before["price_scale"], currency_exponent(base["currency"]))
    up, up_before = ten_to(scale - base["price_scale"]), ten_to(scale - before["price_scale"])

    def moved(row: Row, old: Row, name: str, *, is_money: bool) -> dict[str, int | None]:
        if row[name] is None:
            return {name: None}
        value = row[name] * up
        return {name: step.price(value, old[name] * up_before) if is_money else value}

    is_rate = base["model"] in ("percentage", "graduated_percentage")
    new = base | {"price_id": new_id, "list_id": list_id, "price_scale": scale}
    new |= moved(base, before, "price_mantissa", is_money=not is_rate)
    for name in ("fee_mantissa", "min_per_event_mantissa", "max_per_event_mantissa"):
        new |= moved(base, before, name, is_money=True)
    new |= moved(base, before, "free_amount_mantissa", is_money=False)
    new |= moved(base, before, "window_commitment_mantissa", is_money=False)
    tiers = [
        row
        | {"price_id": new_id}
        | moved(row, old, "unit_mantissa", is_money=not is_rate)
        | moved(row, old, "flat_mantissa", is_money=True)
        for row, old in zip(base_tiers, before_tiers, strict=True)
    ]
    store.insert(prices, [_unstamped(new)], at)
    store.insert(price_tiers, [_unstamped(row) for row in tiers], at)
    name = "price_mantissa" if new["price_mantissa"] is not None else "unit_mantissa"
    first_old = before if name == "price_mantissa" else before_tiers[0]
    first_new = new if name == "price_mantissa" else tiers[0]
    return (
        format_scaled(Scaled(first_old[name] * up_before, scale)),
        format_scaled(Scaled(first_new[name], scale)),
    )


def _unstamped(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "recorded_at"}
