"""Wallets, as they come in and go out."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from billing.api.shapes.base import Answer, Body, Day, Id, Text
from billing.api.shapes.customers import NewId

Amount = Annotated[int, Field(gt=0, le=10**15)]


class NewWallet(Body):
    """A wallet in the customer's currency. With `low_balance_minor`, `top_up_minor` and `product_id` it is
    topped up by itself."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"customer_id": "anna", "name": "Prepaid"}]})

    customer_id: Id
    name: Text
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    product_id: Id | None = None
    low_balance_minor: Amount | None = None
    top_up_minor: Amount | None = None
    wallet_id: NewId | None = None


class Wallet(Answer):
    object: Literal["wallet"]
    wallet_id: str
    customer_id: str
    currency: str
    name: str
    priority: int
    product_id: str | None
    low_balance_minor: int | None
    top_up_minor: int | None
    topped_up_on: date | None
    closed_on: date | None
    recorded_at: datetime
    changed_at: datetime


class NewGrant(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"amount_minor": 1000, "reason": "Welcome"}]})

    amount_minor: Amount
    reason: Text
    expires_on: Day | None = None


class Grant(Answer):
    """`is_paid`: bought by `invoice_id`, and usable once that is paid; else given away."""

    object: Literal["wallet_grant"]
    grant_id: str
    wallet_id: str
    amount_minor: int
    is_paid: bool
    invoice_id: str | None
    granted_on: date
    expires_on: date | None
    reason: str
    recorded_at: datetime


class Movement(Answer):
    """What was taken from a grant; below 0 where a draw was undone."""

    object: Literal["wallet_movement"]
    movement_id: str
    grant_id: str
    wallet_id: str
    kind: str
    amount_minor: int
    invoice_id: str | None
    moved_on: date
    recorded_at: datetime


class Expiry(Answer):
    expires_on: date
    minor: int


class Balance(Answer):
    """What can be drawn on a day, and what of that can be used no more from which day on."""

    object: Literal["wallet_balance"]
    wallet_id: str
    on: date
    minor: int
    currency: str
    expiring: list[Expiry]


class NewTopUp(Body):
    """Balance to buy, before tax."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"amount_minor": 5000, "product_id": "goods"}]})

    amount_minor: Amount
    product_id: Id | None = None
    expires_on: Day | None = None


class TopUp(Answer):
    object: Literal["wallet_top_up"]
    wallet_id: str
    invoice_id: str


class NewDraw(Body):
    """A part of an open invoice to pay from the wallet."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"invoice_id": "inv_1", "amount_minor": 100}]})

    invoice_id: Id
    amount_minor: Amount
