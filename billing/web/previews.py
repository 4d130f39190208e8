"""Acts that a caller may try out before doing them: by name, for whom they are, and what they would cost.

An act is named as in the service, and so are its arguments; what only the engine itself may say (the cause of
a pause, reasons that are its own) is not among them. `shown` does the act and the bill run it leads to and
takes both back. Its `matches` stands for the figures: who sends it along with the change gets the change only
at those figures.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl
from sqlalchemy import bindparam, select

from billing.core.calendar import local_date
from billing.core.money import BillingError, Scaled, format_scaled
from billing.core.subscription import CANCEL_REASONS
from billing.reads.scope import Scope
from billing.service import charges, commitments, contracts, ramps, subscriptions, undo
from billing.service.acts import Held
from billing.service.customers import customer as customer_row
from billing.service.orders import approved
from billing.service.portal_settings import OF_ACTS, check_pause, tasks
from billing.service.previews import ChangePreview, preview_change
from billing.store.store import Row, Store
from billing.store.tables import contracts as contract_table
from billing.store.tables import customers, items, one_time_charges
from billing.store.tables import subscriptions as subscription_table
from billing.web.as_json import to_json
from billing.web.problems import Problem

Act = Callable[[Store, datetime], object]

REASONS = tuple(one for one in CANCEL_REASONS if one not in ("payment", "term_ended", "merge", "migration"))
"""Why somebody may say that a subscription ends."""
_NOT_FROM_OUTSIDE = frozenset(("cause",))
_DAYS_BY_NAME = {"cancel": ("now", "period_end", "term_end")}


@dataclass(frozen=True)
class Offered:
    """An act that may be tried out. `subject`: the arguments that say what it is about, one of which has to
    be given; `others`: the rest of what it takes, and which of these it needs."""

    act: Callable[..., object]
    subject: tuple[str, ...]
    others: frozenset[str]
    needs: frozenset[str]


def _offered(act: Callable[..., object], *subject: str) -> Offered:
    own = list(inspect.signature(act).parameters.values())[2:]
    others = [one for one in own if one.name not in _NOT_FROM_OUTSIDE and one.name not in subject]
    needs = frozenset(one.name for one in others if one.default is one.empty)
    return Offered(act, subject, frozenset(one.name for one in others), needs)


ACTS: Mapping[str, Offered] = {
    "subscribe": _offered(subscriptions.subscribe, "customer_id"),
    "reactivate": _offered(subscriptions.reactivate, "subscription_id"),
    "change_plan": _offered(subscriptions.change_plan, "subscription_id", "item_id"),
    "change_quantity": _offered(subscriptions.change_quantity, "subscription_id", "item_id"),
    "change_commitment": _offered(commitments.change_commitment, "subscription_id", "item_id"),
    "add_item": _offered(subscriptions.add_item, "subscription_id"),
    "remove_item": _offered(subscriptions.remove_item, "item_id"),
    "agree_ramp": _offered(ramps.agree_ramp, "subscription_id"),
    "pause": _offered(subscriptions.pause, "subscription_id"),
    "resume": _offered(subscriptions.resume, "subscription_id"),
    "cancel": _offered(subscriptions.cancel, "subscription_id"),
    "undo_cancel": _offered(subscriptions.undo_cancel, "subscription_id"),
    "undo_change": _offered(undo.undo_change, "subscription_id", "item_id"),
    "add_charge": _offered(charges.add_charge, "subscription_id"),
    "remove_charge": _offered(charges.remove_charge, "charge_id"),
    "give_notice": _offered(contracts.give_notice, "contract_id"),
    "renew_ahead": _offered(contracts.renew_ahead, "contract_id"),
}
"""By the name of the act."""


def act_of(name: str, arguments: Mapping[str, Any]) -> Act:
    """The act with its arguments, as the service takes them. Raises `unknown_setting` for another act,
    argument, day or reason, `missing_value` where one is needed that is not given."""
    offered = ACTS.get(name)
    if offered is None:
        raise BillingError("unknown_setting", f"act = {name!r}", field="act")
    given = {one: value for one, value in arguments.items() if value is not None}
    unknown = sorted(set(given) - offered.others - set(offered.subject))
    if unknown:
        raise BillingError("unknown_setting", f"{name} takes no {unknown[0]}", field=unknown[0])
    missing = sorted(one for one in offered.needs if given.get(one, "") == "")
    if not any(given.get(one) for one in offered.subject):
        missing = [offered.subject[0], *missing]
    if missing:
        raise BillingError("missing_value", f"{name} needs {missing[0]}", field=missing[0])
    _check_words(name, given)
    act = offered.act
    return lambda store, at: act(store, at, **given)


def _check_words(name: str, given: Mapping[str, Any]) -> None:
    when = given.get("when")
    words = _DAYS_BY_NAME.get(name, ("now", "period_end"))
    if when is not None and not isinstance(when, date) and when not in words:
        raise BillingError("unknown_setting", f"when = {when!r}: a day or {', '.join(words)}", field="when")
    reason = given.get("reason")
    if reason is not None and reason not in REASONS:
        raise BillingError("unknown_setting", f"reason {reason!r}: {', '.join(REASONS)}", field="reason")


# Whom an act is about.

_PARTIES = {
    "subscription_id": select(
        subscription_table.c.sold_to, subscription_table.c.bill_to, subscription_table.c.subscription_id
    ).where(subscription_table.c.subscription_id == bindparam("id")),
    "item_id": select(
        subscription_table.c.sold_to, subscription_table.c.bill_to, subscription_table.c.subscription_id
    )
    .join(items, items.c.subscription_id == subscription_table.c.subscription_id)
    .where(items.c.item_id == bindparam("id")),
    "charge_id": select(
        subscription_table.c.sold_to, subscription_table.c.bill_to, subscription_table.c.subscription_id
    )
    .join(items, items.c.subscription_id == subscription_table.c.subscription_id)
    .join(one_time_charges, one_time_charges.c.item_id == items.c.item_id)
    .where(one_time_charges.c.charge_id == bindparam("id")),
    "customer_id": select(
        customers.c.customer_id.label("sold_to"), customers.c.bill_to_id.label("bill_to")
    ).where(customers.c.customer_id == bindparam("id")),
    "contract_id": select(
        contract_table.c.customer_id.label("sold_to"), customers.c.bill_to_id.label("bill_to")
    )
    .join(customers, customers.c.customer_id == contract_table.c.customer_id)
    .where(contract_table.c.contract_id == bindparam("id")),
}


@dataclass(frozen=True)
class Parties:
    """Whose a thing is, who pays for it, and the subscription it is part of (None: no one)."""

    sold_to: str
    bill_to: str
    subscription_id: str | None = None


_OF_THE_MERCHANT = frozenset(
    (
        "anchor_on",
        "committed_minimum_minor",
        "contract",
        "discount_ids",
        "money",
        "phases",
        "terms_id",
        "trial_days",
        "trial_needs_method",
        "trial_plan_id",
    )
)
"""What the merchant agrees to, so that no customer says it alone."""
_ACTS_OF_THE_MERCHANT = frozenset(("remove_charge", "undo_change"))
"""What gives money back that the merchant asked for, or takes back what it may have agreed for later."""


def parties_of(store: Store, scope: Scope, name: str, arguments: Mapping[str, Any]) -> Parties:
    """Whom an act is about, if it may be done at all within the scope; `act_of` has taken the arguments.

    Raises `unknown_subscription`, `unknown_item`, `unknown_charge`,
    `unknown_contract`, `unknown_customer` for what is not there or not in the scope, and where an item is
    none of the subscription that is named beside it; Problem `scope_missing` for terms that a customer cannot
    give itself, and for acts that are not its to do.
    """
    given = {one: value for one, value in arguments.items() if value is not None}
    if scope.ids is not None and (own := sorted(_OF_THE_MERCHANT & set(given))):
        raise Problem("scope_missing", f"{own[0]} is for the merchant to say", field=own[0])
    for other in ("bill_to", "ship_to"):
        if other in given and not scope.holds(given[other]):
            raise BillingError("unknown_customer", str(given[other]), field=other)
    found: Parties | None = None
    for subject in ACTS[name].subject:
        if subject not in given:
            continue
        row: Row | None = store.row(_PARTIES[subject], {"id": given[subject]})
        if row is None or not scope.holds(row["sold_to"]):
            raise BillingError(f"unknown_{subject.removesuffix('_id')}", str(given[subject]), field=subject)
        if scope.ids is not None and name in _ACTS_OF_THE_MERCHANT:
            raise Problem("scope_missing", "only the merchant may do this")
        one = Parties(**row)
        if found is not None and found.subscription_id != one.subscription_id:
            raise BillingError(
                "unknown_item", f"{given[subject]} is none of {found.subscription_id}", field=subject
            )
        found = one
    assert found is not None, "what an act is about is named (act_of)"
    return found


_DAYS_OF_CHANGE = ("when", "from_on")


def check_alone(
    store: Store, at: datetime, scope: Scope, name: str, customer_id: str, arguments: Mapping[str, Any]
) -> None:
    """Whether a customer may do an act alone; the merchant may do any. Raises Problem `scope_missing` for a
    change of what is over, which credits it what it has used, Problem `task_closed` for a task that the
    merchant closed to customers, `amount_out_of_range` for a pause longer than they take alone."""
    if scope.ids is None:
        return
    today = local_date(at, customer_row(store, customer_id)["time_zone"])
    for one in _DAYS_OF_CHANGE:
        day = arguments.get(one)
        if isinstance(day, date) and day < today:
            raise Problem("scope_missing", f"{day} is over: only the merchant may name it", field=one)
    task = tasks(store).get(OF_ACTS.get(name, ""))
    if task is not None and not task.is_open:
        raise Problem("task_closed", f"{task.name} is closed to customers")
    if task is not None and name == "pause":
        paused = subscriptions.live(store, at, arguments["subscription_id"]).subscription.main_item
        check_pause(task, paused, arguments.get("from_on") or today, arguments.get("until"))


# What it would cost.

_LINE = (
    "document",
    "item_id",
    "component_id",
    "kind",
    "entry",
    "service_start",
    "service_end",
    "description",
    "quantity",
    "currency",
    "gross_minor",
    "discount_minor",
    "net_minor",
    "tax_minor",
)
_OF_NEW_THINGS = ("item_id",)
"""Names that a thing made by the act gets anew each time."""


def shown(
    store: Store,
    at: datetime,
    scope: Scope,
    name: str,
    arguments: Mapping[str, Any],
    up_to: date | None = None,
) -> dict[str, object]:
    """What bill runs up to a day (the customer's today) would post after an act, beside what is due anyway.
    The store has to be in a transaction.

    `documents`, their `lines`, `refunds`, `held` and `failures` as in service.previews.ChangePreview;
    `total_minor`: what would be invoiced less what would be credited. `waits_for`: the code for which the
    order would wait for a person's word, None for an order that would be placed at once. Raises what the act
    raises, and as `act_of`, `parties_of` and `check_alone`.
    """
    act = act_of(name, arguments)
    customer_id = parties_of(store, scope, name, arguments).sold_to
    customer = customer_row(store, customer_id)
    check_alone(store, at, scope, name, customer_id, arguments)
    day = up_to or local_date(at, customer["time_zone"])
    if day < local_date(at, customer["time_zone"]):
        raise BillingError("empty_period", f"{day} is over", field="up_to")
    waits_for = None
    try:
        found = preview_change(store, at, act, customer_id=customer_id, up_to=day, shows_held=True)
    except Held as held:
        waits_for = held.code
        with approved():
            found = preview_change(store, at, act, customer_id=customer_id, up_to=day, shows_held=True)
    figures = _figures(found)
    told = {
        "customer_id": customer_id,
        "currency": customer["currency"],
        "up_to": day,
        "total_minor": found.total_minor,
        "waits_for": waits_for,
        **figures,
    }
    return {"object": "preview", "act": name, "matches": _stamp(day, told), **told}


def _figures(found: ChangePreview) -> dict[str, list[dict[str, Any]]]:
    currency = found.lines.group_by("document").agg(pl.col("currency").first())
    documents = found.documents.join(currency, on="document", how="left").sort("document")
    lines = found.lines.with_columns(
        pl.struct("quantity_mantissa", "quantity_scale")
        .map_elements(_quantity, return_dtype=pl.String, skip_nulls=False)
        .alias("quantity")
    ).sort("document", "service_start", "component_id", "entry", "net_minor", maintain_order=True)
    names = ("document", "currency", "net_minor", "tax_minor", "total_minor", "note_total_minor")
    return {
        "documents": documents.select(names).to_dicts(),
        "lines": lines.select(_LINE).to_dicts(),
        "refunds": found.refunds.select("document", "payment_id", "amount_minor").to_dicts(),
        "held": found.held.select("document", "code").to_dicts(),
        "failures": found.failures.select("customer_id", "code", "detail").to_dicts(),
    }


def _quantity(of: Mapping[str, int | None]) -> str | None:
    mantissa, scale = of["quantity_mantissa"], of["quantity_scale"]
    return None if mantissa is None else format_scaled(Scaled(mantissa, scale or 0))


def _stamp(day: date, told: Mapping[str, Any]) -> str:
    """A day and a hash of the figures up to it, without the names that differ each time."""
    lines = [
        {name: value for name, value in line.items() if name not in _OF_NEW_THINGS} for line in told["lines"]
    ]
    digest = hashlib.sha256(to_json({**told, "lines": lines})).digest()
    return f"{day}.{base64.urlsafe_b64encode(digest).decode()[:24]}"


def check_matches(
    store: Store, at: datetime, scope: Scope, name: str, arguments: Mapping[str, Any], wanted: str
) -> None:
    """Whether an act would still cost what `matches` of its preview stands for; the store is in a
    transaction. Raises Problem `preview_changed`, `bad_parameter` for what no preview gave, and as `shown`.
    """
    day, _, _ = wanted.partition(".")
    try:
        up_to = date.fromisoformat(day)
    except ValueError:
        raise Problem(
            "bad_parameter", "If-Preview takes `matches` of a preview", field="If-Preview"
        ) from None
    try:
        now = shown(store, at, scope, name, arguments, up_to)["matches"]
    except BillingError as refused:
        if refused.code != "empty_period" or refused.field != "up_to":
            raise
        now = None
    if now != wanted:
        raise Problem("preview_changed", "preview it again and send the new `matches`")
