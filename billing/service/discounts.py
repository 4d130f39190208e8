"""Reductions a customer may be given: shares or amounts, of an item or a document, for a while or always."""

from __future__ import annotations

from datetime import date, datetime

from billing.core.money import PPM, BillingError, parse_money
from billing.service.acts import act, announce
from billing.store.store import Store
from billing.store.tables import discounts


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
