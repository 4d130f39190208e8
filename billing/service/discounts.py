"""Reductions a customer may be given: shares or amounts, of an item or a document, for a while or always.

A discount of items is named by the act that gives it, as part of an item's terms. One of documents is given
to a payer, and acts on what is issued to it.
"""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import bindparam, or_, select

from billing.core.calendar import local_date
from billing.core.money import PPM, BillingError, parse_money
from billing.service.acts import act, announce
from billing.service.customers import customer as customer_row
from billing.store.store import Row, Store
from billing.store.tables import customer_discounts, discounts


@act
def create_discount(
    store: Store,
    at: datetime,
    *,
    discount_id: str,
    name: str,
    discount_ppm: int | None = None,
    amount: str | None = None,
    currency: str | None = None,
    scope: str = "item",
    times: int | None = None,
    valid_start: date | None = None,
    valid_end: date | None = None,
) -> str:
    """A discount: a share in parts per million (20 % = 200000), or an amount with its currency ("90.00").

    `scope` item: it is part of an item's terms and acts on whole periods, before proration. `times`: how many
    periods of an item have it, None for all. It reaches periods that begin in [valid_start, valid_end).
    `scope` document: it acts on the charges of each invoice of a payer that has it (`give_discount`), `times`
    counts these, and it reaches those issued in [valid_start, valid_end).
    Raises `bad_rate`, `unknown_currency`, `negative_quantity`, `empty_period`, `unknown_setting`.
    """
    if (discount_ppm is None) == (amount is None) or (amount is None) != (currency is None):
        raise BillingError("bad_rate", "a discount is either a share, or an amount with its currency")
    if discount_ppm is not None and not 0 <= discount_ppm <= PPM:
        raise BillingError("bad_rate", f"{discount_ppm} ppm")
    amount_minor = None if amount is None else parse_money(amount, str(currency))
    if (amount_minor is not None and amount_minor < 0) or (times is not None and times < 1):
        raise BillingError("negative_quantity", f"an amount of {amount}, {times} times")
    if set(discount_id) & set(",:|"):
        raise BillingError("unknown_setting", f"discount_id = {discount_id!r}: no comma, colon or bar")
    if scope not in ("item", "document"):
        raise BillingError("unknown_setting", f"scope = {scope!r}: item or document")
    start = valid_start or date(1970, 1, 1)
    if valid_end is not None and valid_end <= start:
        raise BillingError("empty_period", f"{start} to {valid_end} holds no day")
    row = {
        "discount_id": discount_id,
        "name": name,
        "scope": scope,
        "discount_ppm": discount_ppm,
        "amount_minor": amount_minor,
        "currency": currency,
        "times": times,
        "valid_start": start,
        "valid_end": valid_end,
    }
    store.insert(discounts, [row], at)
    announce(store, at, "discount.created", discount_id, row)
    return discount_id


_DISCOUNT = select(discounts.c.scope).where(discounts.c.discount_id == bindparam("id"))
_RUNNING = select(customer_discounts.c.valid_start, customer_discounts.c.valid_end).where(
    customer_discounts.c.customer_id == bindparam("payer"),
    customer_discounts.c.discount_id == bindparam("id"),
    or_(customer_discounts.c.valid_end.is_(None), customer_discounts.c.valid_end > bindparam("on")),
)


@act
def give_discount(
    store: Store,
    at: datetime,
    *,
    customer_id: str,
    discount_id: str,
    valid_start: date | None = None,
    valid_end: date | None = None,
) -> None:
    """Let a payer have a discount of documents, on all that is issued to it in [valid_start (today),
    valid_end).

    Raises `unknown_customer`, `unknown_discount`, `unknown_setting` for a discount of items, `empty_period`,
    `version_overlap` where the payer has it on some of these days already.
    """
    payer = customer_row(store, customer_id)
    found = store.row(_DISCOUNT, {"id": discount_id})
    if found is None:
        raise BillingError("unknown_discount", discount_id)
    if found["scope"] != "document":
        raise BillingError("unknown_setting", f"{discount_id} is a discount of items, part of their terms")
    start = valid_start or local_date(at, payer["time_zone"])
    if valid_end is not None and valid_end <= start:
        raise BillingError("empty_period", f"{start} to {valid_end} holds no day")
    for one in store.rows(_RUNNING, {"payer": customer_id, "id": discount_id, "on": start}):
        if valid_end is None or one["valid_start"] < valid_end:
            detail = f"{customer_id} has {discount_id} from {one['valid_start']}"
            raise BillingError("version_overlap", detail)
    row = {"customer_id": customer_id, "discount_id": discount_id, "valid_start": start}
    store.insert(customer_discounts, [row | {"valid_end": valid_end}], at)
    announce(store, at, "discount.given", customer_id, row | {"valid_end": valid_end})


@act
def end_discount(
    store: Store, at: datetime, *, customer_id: str, discount_id: str, on: date | None = None
) -> None:
    """Let a payer have a discount of documents no more from a day (today) on. Raises `unknown_customer`,
    `unknown_discount` where the payer does not have it then."""
    day = on or local_date(at, customer_row(store, customer_id)["time_zone"])
    running: list[Row] = store.rows(_RUNNING, {"payer": customer_id, "id": discount_id, "on": day})
    if not running:
        raise BillingError("unknown_discount", f"{customer_id} has no {discount_id} on {day}")
    key = {"customer_id": customer_id, "discount_id": discount_id}
    starts = [one["valid_start"] for one in running]
    rows = [key | {"valid_start": start, "valid_end": max(day, start)} for start in starts]
    store.update(customer_discounts, rows, at)
    announce(store, at, "discount.ended", customer_id, key | {"valid_end": day})
