"""Subscriptions, their items and charges, what may be done with them, and what that would cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

import polars as pl
from fastapi import Header
from pydantic import ValidationError

from billing.api.performing import Act
from billing.api.resources import merchants, resource
from billing.api.route import Paging, Routes
from billing.api.shapes.base import Id, Instant
from billing.api.shapes.subscriptions import (
    DEEDS,
    WITH_SUBJECT,
    AddItem,
    Asked,
    Charge,
    ChargeOf,
    Deed,
    Invoicing,
    Item,
    MovedAnswer,
    Moving,
    Preview,
    RemoveItem,
    Status,
    Subscribe,
    Subscription,
    Version,
    charge_shown,
    item_shown,
    subscription_shown,
    version_shown,
)
from billing.core.money import BillingError
from billing.core.subscription import Item as SoldItem
from billing.reads import contracts as contract_reads
from billing.reads import subscriptions as reads
from billing.reads.customers import customer_of
from billing.reads.page import Page
from billing.service.acts import job
from billing.service.catalog import plan_version
from billing.service.invoicing import set_invoicing
from billing.service.migration import import_subscriptions
from billing.store.store import Store
from billing.web import previews
from billing.web.as_json import members
from billing.web.context import Context
from billing.web.problems import Problem

routes = Routes("Subscriptions", "subscriptions")
IfPreview = Annotated[
    str | None,
    Header(
        alias="If-Preview",
        max_length=100,
        description="`matches` of a preview: the change is only made at the figures that were shown",
    ),
]


# Reading.


@routes.get("/subscriptions", answer=Subscription, is_list=True)
def subscriptions(
    context: Context,
    paging: Paging,
    customer_id: Id | None = None,
    bill_to: Id | None = None,
    status: Status | None = None,
    plan_id: Id | None = None,
    contract_id: Id | None = None,
    changed_since: Instant | None = None,
) -> Page:
    """Subscriptions, the newest first; with `changed_since` in the order in which they were changed."""
    with context.looking() as store:
        found = reads.subscriptions_of(
            store,
            context.now(),
            context.scope,
            after=paging.after,
            limit=paging.limit,
            customer_id=customer_id,
            bill_to=bill_to,
            status=status,
            plan_id=plan_id,
            contract_id=contract_id,
            changed_since=changed_since,
        )
    return Page([subscription_shown(row) for row in found.rows], found.after)


@routes.get(
    "/subscriptions/{subscription_id}",
    answer=Subscription,
    subject="unknown_subscription",
    expands=("contract", "customer", "items.plan", "upcoming"),
)
def subscription(context: Context, subscription_id: Id) -> dict[str, Any] | None:
    """One subscription. `upcoming`: what is to change of it after today."""
    with context.looking() as store:
        row = reads.subscription_of(store, context.now(), context.scope, subscription_id=subscription_id)
        if row is None:
            return None
        shown = subscription_shown(row)
        if "contract" in context.expand and shown["contract_id"] is not None:
            shown["contract"] = contract_reads.contract(
                store, context.scope, contract_id=shown["contract_id"]
            )
        if "customer" in context.expand:
            shown["customer"] = resource(
                "customer", customer_of(store, context.scope, customer_id=shown["sold_to"])
            )
        if "items.plan" in context.expand:
            for item in shown["items"]:
                version = (item["plan_id"], item["plan_version"])
                item["plan"] = None if None in version else members(plan_version(store, *version))
    if "upcoming" in context.expand:
        shown["upcoming"] = [members(one) for one in reads.changes_ahead(row["standing"])]
    return shown


@routes.get("/items/{item_id}/versions", answer=Version, subject="unknown_item", is_list=True)
def versions(context: Context, paging: Paging, item_id: Id) -> Page | None:
    """What an item was, is and is to be, by day."""
    with context.looking() as store:
        found = reads.versions_of_item(
            store, context.scope, item_id=item_id, after=paging.after, limit=paging.limit
        )
    return None if found is None else Page([version_shown(row) for row in found.rows], found.after)


@routes.get("/charges", answer=Charge, is_list=True)
def charges(
    context: Context, paging: Paging, subscription_id: Id | None = None, customer_id: Id | None = None
) -> Page:
    """Charges that come once, the newest first."""
    with context.looking() as store:
        found = reads.charges(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            subscription_id=subscription_id,
            customer_id=customer_id,
        )
    return Page([charge_shown(row) for row in found.rows], found.after)


@routes.get("/charges/{charge_id}", answer=Charge, subject="unknown_charge")
def charge(context: Context, charge_id: Id) -> dict[str, Any] | None:
    """One charge."""
    with context.looking() as store:
        row = reads.charge(store, context.scope, charge_id=charge_id)
    return None if row is None else charge_shown(row)


# Doing.


def done(
    context: Context,
    name: str,
    arguments: Mapping[str, Any],
    show: Callable[[Store, datetime, object], object],
    if_preview: str | None = None,
    current: Callable[[Store], Mapping[str, object] | None] | None = None,
    **more: Any,
) -> Act:
    """An act of billing.web.previews as a route wants it done: within the scope, its customers held, and at
    the figures of its preview if that is named."""
    deed = previews.act_of(name, arguments)
    with context.looking() as store:
        parties = previews.parties_of(store, context.scope, name, arguments)

    def work(store: Store, at: datetime) -> object:
        previews.check_alone(store, at, context.scope, name, parties.sold_to, arguments)
        if if_preview is not None:
            previews.check_matches(store, at, context.scope, name, arguments, if_preview)
        return show(store, at, deed(store, at))

    if current is None and parties.subscription_id is not None:
        current = _current(context, parties.subscription_id)
    holds = (parties.sold_to, parties.bill_to, arguments.get("bill_to"))
    return Act(work, holds=holds, current=current, **more)


def _current(context: Context, subscription_id: str) -> Callable[[Store], dict[str, Any] | None]:
    return lambda store: _shown(context, store, context.now(), subscription_id)


def _shown(context: Context, store: Store, at: datetime, subscription_id: str) -> dict[str, Any] | None:
    row = reads.subscription_of(store, at, context.scope, subscription_id=subscription_id)
    return None if row is None else subscription_shown(row)


def _subscription_after(context: Context) -> Callable[[Store, datetime, object], object]:
    """Shows the subscription that an act gives."""
    return lambda store, at, answer: _shown(context, store, at, str(getattr(answer, "subscription_id", "")))


@routes.post("/subscriptions", answer=Subscription, status=201, needs_key=True)
def subscribe(context: Context, body: Subscribe, if_preview: IfPreview = None) -> Act:
    """A customer agrees to a plan. Goes on as an approval (202) where the order waits for a person's word."""
    return done(
        context,
        "subscribe",
        body.given(),
        _subscription_after(context),
        if_preview,
        status=201,
        location=lambda shown: f"/v1/subscriptions/{shown['subscription_id']}",
    )


@routes.patch("/subscriptions/{subscription_id}", answer=Subscription, subject="unknown_subscription")
def invoice_apart(context: Context, subscription_id: Id, body: Invoicing) -> Act:
    """Set what is invoiced apart from the rest of the payer's, for all that is invoiced from now on."""
    changes = body.given()
    if "terms_id" in changes:
        merchants(context)
    with context.looking() as store:
        parties = previews.parties_of(
            store, context.scope, "undo_cancel", {"subscription_id": subscription_id}
        )

    def work(store: Store, at: datetime) -> object:
        set_invoicing(store, at, subscription_id=subscription_id, **changes)
        return _shown(context, store, at, subscription_id)

    return Act(
        work,
        holds=(parties.sold_to, parties.bill_to),
        current=_current(context, subscription_id),
        needs_match=True,
    )


_ON_SUBSCRIPTIONS = {
    "change_plan": "Move the main item, or an add-on, to the newest version of another plan.",
    "change_quantity": "Set the quantity of the main item, or of another.",
    "change_commitment": "Set what an item promises beyond its recurring amount, per interval.",
    "agree_ramp": "Agree what holds for the main item from later days on.",
    "pause": "Pause all items in [from_on, until). Nothing is billed for paused days.",
    "resume": "End a pause on a day, today by default.",
    "cancel": "Let the subscription end; it may be undone until it does.",
    "undo_cancel": "Take back a cancellation that has not acted yet.",
    "undo_change": "Take back what is to change after today; only the merchant may.",
    "reactivate": "Bring a canceled subscription back today; the gap is not billed.",
}
_PATHS = {"agree_ramp": "ramp"}


def _route_of(name: str, about: str) -> None:
    """The route of an act on a subscription."""
    shape = DEEDS[name]

    def change(context: Context, subscription_id: Id, body: Deed, if_preview: IfPreview = None) -> Act:
        arguments = {"subscription_id": subscription_id, **body.given()}
        return done(context, name, arguments, _subscription_after(context), if_preview)

    change.__name__, change.__doc__ = name, about
    change.__annotations__ = {**change.__annotations__, "body": shape}
    if not any(one.is_required() for one in shape.model_fields.values()):
        change.__defaults__ = (shape(), None)
    routes.post(
        f"/subscriptions/{{subscription_id}}/{_PATHS.get(name, name.replace('_', '-'))}",
        answer=Subscription,
        subject="unknown_subscription",
    )(change)


for _name, _about in _ON_SUBSCRIPTIONS.items():
    _route_of(_name, _about)


@routes.post(
    "/subscriptions/{subscription_id}/add-item", answer=Item, subject="unknown_subscription", status=201
)
def add_item(context: Context, subscription_id: Id, body: AddItem, if_preview: IfPreview = None) -> Act:
    """Add an add-on to a subscription, on its anchor."""

    def show(store: Store, at: datetime, answer: object) -> object:
        assert isinstance(answer, SoldItem)
        row = reads.subscription_of(store, at, context.scope, subscription_id=subscription_id)
        assert row is not None
        return item_shown(answer, row["standing"].today) | {"subscription_id": subscription_id}

    arguments = {"subscription_id": subscription_id, **body.given()}
    return done(context, "add_item", arguments, show, if_preview, status=201)


_AT_PERIOD_END = RemoveItem()


@routes.post("/items/{item_id}/remove", answer=Subscription, subject="unknown_item")
def remove_item(
    context: Context, item_id: Id, body: RemoveItem = _AT_PERIOD_END, if_preview: IfPreview = None
) -> Act:
    """Let an add-on end; its subscription as it is then."""
    arguments = {"item_id": item_id, **body.given()}
    return done(context, "remove_item", arguments, _subscription_after(context), if_preview)


def _charge_after(
    context: Context, charge_id: str | None = None
) -> Callable[[Store, datetime, object], object]:
    """Shows a charge; without its id that which an act gives."""

    def show(store: Store, _at: datetime, answer: object) -> object:
        row = reads.charge(store, context.scope, charge_id=charge_id or str(answer))
        assert row is not None
        return charge_shown(row)

    return show


@routes.post("/charges", answer=Charge, status=201, needs_key=True)
def add_charge(context: Context, body: ChargeOf, if_preview: IfPreview = None) -> Act:
    """Charge a subscription once."""
    return done(
        context,
        "add_charge",
        body.given(),
        _charge_after(context),
        if_preview,
        status=201,
        location=lambda shown: f"/v1/charges/{shown['charge_id']}",
    )


@routes.delete("/charges/{charge_id}", answer=Charge, subject="unknown_charge")
def remove_charge(context: Context, charge_id: Id, if_preview: IfPreview = None) -> Act:
    """Take a charge back: what was billed of it is credited."""
    arguments = {"charge_id": charge_id}
    return done(context, "remove_charge", arguments, _charge_after(context, charge_id), if_preview)


# What it would cost.


@routes.post("/previews", answer=Preview, scope="subscriptions:read")
def preview(context: Context, body: Asked) -> dict[str, object]:
    """What an act and the bill runs up to a day (today) would post. Nothing of it stays."""
    arguments = _arguments(body)
    with context.rehearsing() as (store, at):
        return previews.shown(store, at, context.scope, body.act, arguments, body.up_to)


def _arguments(body: Asked) -> dict[str, Any]:
    if body.act not in WITH_SUBJECT:
        raise BillingError("unknown_setting", f"act = {body.act!r}", field="act")
    try:
        return WITH_SUBJECT[body.act].model_validate(body.arguments).given()
    except ValidationError as error:
        errors = [
            {
                "field": "/".join(("arguments", *map(str, one["loc"]))),
                "code": "missing_value" if one["type"] == "missing" else "invalid",
                "detail": one["msg"],
            }
            for one in error.errors(include_url=False, include_input=False)
        ]
    raise Problem("invalid", errors[0]["detail"], field=errors[0]["field"], errors=errors)


# Taking over what runs elsewhere.


@routes.post("/subscription-imports", answer=MovedAnswer, scope="subscriptions:admin")
def move_in(context: Context, body: Moving) -> Act:
    """Take over running subscriptions, each on its own; the same rows again change nothing."""
    merchants(context)
    rows = pl.DataFrame([one.model_dump(mode="json") for one in body.subscriptions], infer_schema_length=None)

    def work(store: Store, at: datetime) -> object:
        with job(store, at, "import_subscriptions", rows=rows.height):
            answer = import_subscriptions(store, at, rows)
        return {
            "object": "subscription_import",
            "accepted": answer.accepted,
            "duplicate": answer.duplicate,
            "rejected": answer.rejected.height,
            "items": answer.rejected.to_dicts(),
        }

    return Act(work)
