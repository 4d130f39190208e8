"""Subscriptions, their items and charges, and each act on them as its own body."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, create_model

from billing.api.shapes.base import Answer, Body, Currency, Day, Decimal, Id, Minor, Text
from billing.api.shapes.examples import example
from billing.core.money import Scaled, format_scaled
from billing.core.subscription import Item as SoldItem
from billing.service.ramps import Phase
from billing.service.subscriptions import AddOn, NewContract
from billing.store.subscriptions import Standing
from billing.web.previews import ACTS, REASONS

Days = Annotated[int, Field(ge=0, le=3_650)]
Count = Annotated[int, Field(ge=0, le=3_650)]
Interval = Annotated[str, Field(pattern=r"^P[1-9]\d{0,3}[DWMY]$")]
When = Literal["now", "period_end"] | Day
Status = Literal["canceled", "scheduled", "suspended", "paused", "past_due", "trialing", "active"]
Reason = Annotated[str, Field(max_length=40), WithJsonSchema({"type": "string", "enum": list(REASONS)})]


# What is sent. An act's members are its arguments in the service, less the id in the path.


class Contract(Body):
    """The term that a subscription is bound to (service.subscriptions.NewContract)."""

    term: Interval = "P1Y"
    auto_renew: bool = True
    notice_days: Count = 60
    contract_id: Id | None = None
    pause_extends_term: bool = False
    stock_rule: Annotated[str, Field(max_length=40)] = "standing"
    deliver_despite_hold: bool = False


class Extra(Body):
    """An add-on taken together with a plan."""

    plan_id: Id
    quantity: Decimal = "1"
    unit: Id | None = None


class RampPhase(Body):
    """What holds from a day on, until a later phase says otherwise; what is left out stays as it is."""

    from_on: Day
    quantity: Decimal | None = None
    unit: Id | None = None
    discount_ids: Annotated[list[Id], Field(max_length=20)] | None = None
    committed_minimum_minor: Minor | None = None
    at_prices_of_day: bool = False


class Deed(Body):
    """The arguments of an act."""

    def given(self) -> dict[str, Any]:
        return {name: _argument(value) for name, value in super().given().items() if value is not None}


def _argument(value: object) -> object:
    """A member as the service takes it."""
    if isinstance(value, Contract):
        return NewContract(**value.given())
    if isinstance(value, Extra):
        return AddOn(**value.given())
    if isinstance(value, RampPhase):
        return Phase(**value.given())
    if isinstance(value, list):
        return [_argument(one) for one in value]
    return value


class Subscribe(Deed):
    model_config = example(customer_id="anna", plan_id="basic", quantity="12", starts_on="2026-01-01")

    customer_id: Id
    plan_id: Id
    quantity: Decimal = "1"
    unit: Id | None = None
    subscription_id: Id | None = None
    starts_on: Day | None = None
    trial_days: Days = 0
    trial_plan_id: Id | None = None
    trial_needs_method: bool = False
    anchor_on: Day | None = None
    contract: Contract | None = None
    add_ons: list[Extra] = Field(default_factory=list, max_length=50)
    discount_ids: list[Id] = Field(default_factory=list, max_length=20)
    committed_minimum_minor: Minor = 0
    bill_to: Id | None = None
    ship_to: Id | None = None
    po_id: Id | None = None
    terms_id: Id | None = None
    method_id: Id | None = None
    consolidation_group: Text | None = None


class ChangePlan(Deed):
    model_config = example(plan_id="basic", when="period_end")

    plan_id: Id
    item_id: Id | None = None
    when: When | None = None
    trial_days: Days | None = None


class ChangeQuantity(Deed):
    model_config = example(quantity="20")

    quantity: Decimal
    item_id: Id | None = None
    when: When | None = None
    unit: Id | None = None


class ChangeCommitment(Deed):
    model_config = example(committed_minimum_minor=90_000, when="now")

    committed_minimum_minor: Minor
    item_id: Id | None = None
    when: When = "now"


class AddItem(Deed):
    model_config = example(plan_id="support", quantity="1")

    plan_id: Id
    quantity: Decimal = "1"
    unit: Id | None = None
    starts_on: Day | None = None


class RemoveItem(Deed):
    model_config = example(when="period_end")

    when: When = "period_end"


class AgreeRamp(Deed):
    model_config = example(phases=[{"from_on": "2027-01-01", "quantity": "30"}])

    phases: Annotated[list[RampPhase], Field(min_length=1, max_length=100)]


class Pause(Deed):
    model_config = example(from_on="2026-07-01", until="2026-09-01")

    from_on: Day | None = None
    until: Day | None = None


class Resume(Deed):
    model_config = example(on="2026-08-01")

    on: Day | None = None


class Cancel(Deed):
    model_config = example(when="period_end", reason="too_expensive")

    when: Literal["now", "period_end", "term_end"] | Day = "period_end"
    reason: Reason = "other"
    money: Literal["credit", "refund", "none"] | None = None


class UndoCancel(Deed):
    model_config = example()


class UndoChange(Deed):
    model_config = example(on="2026-02-01")

    item_id: Id | None = None
    on: Day | None = None


class Reactivate(Deed):
    model_config = example(plan_id="basic", quantity="3")

    plan_id: Id | None = None
    quantity: Decimal | None = None
    contract: Contract | None = None


class AddCharge(Deed):
    model_config = example(description="Set-up", amount="12.50")

    description: Text
    amount: Decimal
    charged_on: Day | None = None
    charge_id: Id | None = None


class RemoveCharge(Deed):
    model_config = example()


class GiveNotice(Deed):
    model_config = example(reason="switched")

    reason: Reason = "other"


class RenewAhead(Deed):
    model_config = example()


DEEDS: Mapping[str, type[Deed]] = {
    "subscribe": Subscribe,
    "reactivate": Reactivate,
    "change_plan": ChangePlan,
    "change_quantity": ChangeQuantity,
    "change_commitment": ChangeCommitment,
    "add_item": AddItem,
    "remove_item": RemoveItem,
    "agree_ramp": AgreeRamp,
    "pause": Pause,
    "resume": Resume,
    "cancel": Cancel,
    "undo_cancel": UndoCancel,
    "undo_change": UndoChange,
    "add_charge": AddCharge,
    "remove_charge": RemoveCharge,
    "give_notice": GiveNotice,
    "renew_ahead": RenewAhead,
}
"""The body of each act of billing.web.previews, by its name."""


def _with_subject(name: str) -> type[Deed]:
    subjects = [one for one in ACTS[name].subject if one not in DEEDS[name].model_fields]
    own: dict[str, Any] = dict.fromkeys(subjects, (Id | None, None))
    return create_model(f"{DEEDS[name].__name__}Of", __base__=DEEDS[name], **own)


WITH_SUBJECT: Mapping[str, type[Deed]] = {name: _with_subject(name) for name in DEEDS}
"""The arguments of each act, with the id of what it is about."""


class Invoicing(Body):
    """What is invoiced apart from the rest of the payer's; null gives back what holds for the payer."""

    model_config = example(consolidation_group="north")

    po_id: Id | None = None
    terms_id: Id | None = None
    method_id: Id | None = None
    consolidation_group: Text | None = None


class Asked(Body):
    """An act to try out, with its arguments as its own route takes them and the id of what it is about."""

    model_config = example(act="change_quantity", arguments={"subscription_id": "sub-1", "quantity": "20"})

    act: Annotated[str, Field(max_length=40), WithJsonSchema({"type": "string", "enum": list(DEEDS)})]
    arguments: Annotated[dict[str, Any], Field(max_length=40)]
    up_to: Day | None = None


class ChargeOf(AddCharge):
    """A charge, with the subscription that bears it."""

    model_config = example(subscription_id="sub-1", description="Set-up", amount="12.50")

    subscription_id: Id


_MOVED = {
    "subscription_id": "old-1",
    "customer_id": "anna",
    "plan_id": "basic",
    "quantity": "3",
    "anchor_on": "2025-05-01",
    "billed_until": "2026-02-01",
}


class Moved(Body):
    """A subscription that runs elsewhere, and until when it was billed there."""

    subscription_id: Id
    customer_id: Id
    plan_id: Id
    quantity: Decimal
    anchor_on: Day
    billed_until: Day
    started_on: Day | None = None
    term: Interval | None = None
    term_start: Day | None = None
    auto_renew: bool = True
    notice_days: Count = 60


class Moving(Body):
    """Subscriptions to take over, each on its own: one that is refused does not hold up the others."""

    model_config = example(subscriptions=[_MOVED])

    subscriptions: Annotated[list[Moved], Field(min_length=1, max_length=1_000)]


# What is answered.


class Item(Answer):
    """What an item is today, or becomes first; null members for one that has ended."""

    item_id: str
    is_add_on: bool
    ended_on: date | None
    plan_id: str | None
    plan_version: int | None
    quantity: str | None
    unit: str | None
    discount_ids: list[str] | None
    phase: str | None
    pause: str | None
    recurring_minor: int | None
    committed_minimum_minor: int | None
    effective_start: date | None
    effective_end: date | None


class Subscription(Answer):
    """An agreement of a customer to a plan. `status`: as of today; `items`: what is sold by it."""

    subscription_id: str
    contract_id: str | None
    sold_to: str
    bill_to: str
    ship_to: str
    currency: Currency
    status: Status
    anchor_on: date
    starts_on: date
    billing_starts_on: date
    ends_on: date | None
    trial_ends_on: date | None
    cancel_requested_on: date | None
    cancel_reason: str | None
    on_cancel: str | None
    po_id: str | None
    terms_id: str | None
    method_id: str | None
    consolidation_group: str | None
    items: list[Item]
    recorded_at: datetime
    changed_at: datetime


class Version(Answer):
    """What an item is in [effective_start, effective_end)."""

    version_id: str
    item_id: str
    effective_start: date
    effective_end: date | None
    plan_id: str
    plan_version: int
    quantity: str
    reason: str
    recurring_minor: int


class Charge(Answer):
    """A charge that comes once; `removed_at`: when it was taken back."""

    charge_id: str
    subscription_id: str
    customer_id: str
    item_id: str
    charged_on: date
    description: str
    amount_minor: int
    currency: Currency
    removed_at: datetime | None
    recorded_at: datetime
    changed_at: datetime


class Document(Answer):
    """An invoice with its sums, and the sum of a credit note beside it."""

    document: int
    currency: Currency | None
    net_minor: int
    tax_minor: int
    total_minor: int
    note_total_minor: int


class Preview(Answer):
    """What bill runs up to a day would post after an act. `matches` goes into `If-Preview` of the act, which
    is then only done at these figures."""

    act: str
    matches: str
    customer_id: str
    currency: Currency
    up_to: date
    total_minor: int
    waits_for: str | None
    documents: list[Document]
    lines: list[dict[str, Any]]
    refunds: list[dict[str, Any]]
    held: list[dict[str, Any]]
    failures: list[dict[str, Any]]


class Refused(Answer):
    """A row that was refused; `row` counts from 0."""

    row: int
    code: str
    detail: str | None


class MovedAnswer(Answer):
    """What became of the rows; the three counts add up to them."""

    accepted: int
    duplicate: int
    rejected: int
    items: list[Refused]


# Rows of billing.reads.subscriptions as answers.

_OWN = (
    "contract_id",
    "sold_to",
    "bill_to",
    "ship_to",
    "anchor_on",
    "starts_on",
    "billing_starts_on",
    "ends_on",
    "trial_ends_on",
    "cancel_requested_on",
    "cancel_reason",
    "on_cancel",
    "po_id",
    "terms_id",
    "method_id",
    "consolidation_group",
)
_OF_VERSION = (
    "plan_id",
    "plan_version",
    "phase",
    "pause",
    "recurring_minor",
    "committed_minimum_minor",
    "effective_start",
    "effective_end",
)


def subscription_shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `subscriptions_of`."""
    standing: Standing = row["standing"]
    of = standing.subscription
    return {
        "object": "subscription",
        "subscription_id": of.subscription_id,
        "status": standing.status,
        "currency": standing.customer["currency"],
        **{name: getattr(of, name) for name in _OWN},
        "items": [item_shown(item, standing.today) for item in of.items],
        "recorded_at": row["recorded_at"],
        "changed_at": row["changed_at"],
    }


def item_shown(item: SoldItem, today: date) -> dict[str, Any]:
    """An item as it is on a day, or becomes first after it."""
    later = (version for version in item.versions if version.effective_start > today)
    version = item.version_on(today) or next(later, None)
    return {
        "object": "item",
        "item_id": item.item_id,
        "is_add_on": item.is_add_on,
        "ended_on": item.ended_on,
        "quantity": None if version is None else format_scaled(version.quantity),
        "unit": None if version is None else version.ordered_unit,
        "discount_ids": None if version is None else _listed(version.discount_ids),
        **{name: None if version is None else getattr(version, name) for name in _OF_VERSION},
    }


def _listed(ids: str) -> list[str]:
    return ids.split(",") if ids else []


def version_shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `versions_of_item`."""
    kept = {
        name: value
        for name, value in row.items()
        if not name.endswith(("_mantissa", "_scale")) and name not in ("superseded_at", "ordered_unit")
    }
    return {
        "object": "item_version",
        **kept,
        "discount_ids": _listed(row["discount_ids"]),
        "quantity": format_scaled(Scaled(row["quantity_mantissa"], row["quantity_scale"])),
        "unit": row["ordered_unit"],
    }


def charge_shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `charges`."""
    return {"object": "charge", **row}
