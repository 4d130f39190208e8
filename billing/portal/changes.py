"""A change of a subscription: what it would cost, confirmed once on those very figures, told of by mail."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from starlette.responses import Response

from billing.core.money import BillingError
from billing.core.subscription import ItemVersion
from billing.gateways.mail import Mail
from billing.portal import terms
from billing.portal.answers import go
from billing.portal.door import send
from billing.portal.visit import PREFIX, Visit
from billing.reads import portal as reads
from billing.service.acts import Held, as_json
from billing.service.carried_orders import carry_out
from billing.service.commands import perform_once
from billing.service.purchase_requests import (
    Cost,
    ask_for_approval,
    changes_from,
    cost_of,
    is_above,
)
from billing.store.store import Store
from billing.web.problems import Problem


@dataclass(frozen=True)
class Order:
    """An act on a subscription that somebody wants, with arguments as `acts.as_json` makes them."""

    subscription_id: str
    act: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """What an item costs an interval from a day on; `version` None: it has ended."""

    on: date
    plan: reads.Plan
    version: ItemVersion | None


@dataclass(frozen=True)
class Quote:
    """An order with its cost, as a page shows it before somebody confirms. `key`: makes the confirmation
    happen once. `next_minor`: what the next invoice after today's would come to, on `next_on`."""

    order: Order
    cost: Cost
    lines: list[dict[str, Any]]
    from_on: date | None
    ends_on: date | None
    steps: list[Step]
    is_above_limit: bool
    key: str


def order(subscription_id: str, act: str, **arguments: object) -> Order:
    """An order about a subscription."""
    given = {name: as_json(value) for name, value in arguments.items() if value is not None}
    return Order(subscription_id, act, {"subscription_id": subscription_id} | given)


def the_subscription(visit: Visit) -> reads.Held:
    """The one that the address names. Raises Problem `not_found` where it is not there to be seen."""
    with visit.looking() as store:
        found = reads.subscription(
            store, visit.now, visit.scope, subscription_id=visit.path("subscription_id")
        )
    if found is None:
        raise Problem("not_found")
    return found


def quoted(visit: Visit, wanted: Order) -> Quote:
    """The order with its cost; nothing of it stays. Raises what the act raises."""
    with visit.rehearsing() as store:
        cost = cost_of(
            store,
            visit.now,
            subscription_id=wanted.subscription_id,
            act=wanted.act,
            arguments=wanted.arguments,
        )
        steps = _steps(store, cost, visit.today)
    names = ("description", "service_start", "service_end", "entry", "net_minor", "tax_minor")
    lines = cost.shown.lines.select(names).sort("entry", "service_start", "description").to_dicts()
    return Quote(
        wanted,
        cost,
        lines,
        changes_from(cost, visit.today),
        cost.after.ends_on,
        steps,
        is_above(visit.limit_minor, visit.customer["currency"], cost, wanted.act),
        secrets.token_urlsafe(16),
    )


def _steps(store: Store, cost: Cost, today: date) -> list[Step]:
    """What is another by the order than it was, from today on, once that is carried out; else the plan."""
    before = {item.item_id: item for item in cost.before.items}
    changed = [item for item in cost.after.items if before.get(item.item_id) != item]
    steps = []
    for item in changed or [cost.after.main_item]:
        versions = [one for one in item.versions if one.effective_end is None or one.effective_end > today]
        known = reads.plans_of(store, {(one.plan_id, one.plan_version) for one in versions})
        for one in versions:
            steps.append(Step(max(one.effective_start, today), known[one.plan_id, one.plan_version], one))
        end = versions[-1].effective_end if versions else None
        if end is not None:
            steps.append(Step(end, steps[-1].plan, None))
    return steps


def confirm(visit: Visit, wanted: Order) -> Response:
    """Carry an order out on the figures that were shown, and show the receipt; an order above the limit of
    who places it waits for an approver, one that the seller has to agree to for the seller.

    The form brings `key` and `preview`. Raises `preview_changed`, and what the act raises.
    """
    key, shown = key_of(visit), visit.form.get("preview", "")
    held = the_subscription(visit)
    fresh: list[bool] = []

    def command(store: Store, at: datetime, **arguments: Any) -> dict[str, Any]:
        fresh.append(True)
        cost = cost_of(store, at, subscription_id=wanted.subscription_id, act=wanted.act, arguments=arguments)
        if cost.preview_hash != shown:
            raise BillingError("preview_changed", "")
        said = {
            "act": wanted.act,
            "subscription_id": wanted.subscription_id,
            "arguments": arguments,
            "due_now_minor": cost.due_now_minor,
            "yearly_minor": cost.yearly_minor,
            "currency": cost.currency,
            "from_on": changes_from(cost, visit.today),
            "ends_on": cost.after.ends_on,
            "request_id": None,
        }
        if is_above(visit.limit_minor, visit.customer["currency"], cost, wanted.act):
            assert visit.user is not None
            said["request_id"] = ask_for_approval(
                store,
                at,
                customer_id=held.own.sold_to,
                asked_by=visit.user["user_id"],
                act=wanted.act,
                arguments=arguments,
                due_now_minor=cost.due_now_minor,
                yearly_minor=cost.yearly_minor,
                currency=cost.currency,
                preview_hash=cost.preview_hash,
            )
        else:
            carry_out(store, at, {"act": wanted.act, "arguments": arguments})
        return said

    command.__name__ = wanted.act

    def work(store: Store, at: datetime) -> dict[str, Any]:
        answer = perform_once(
            store, at, caller=visit.actor, key=key, command=command, arguments=wanted.arguments
        )
        return dict(answer)

    try:
        said = visit.write(work, held.own.sold_to, held.own.bill_to)
    except Held:
        return go(f"/subscriptions/{wanted.subscription_id}")
    if fresh:
        mail_receipt(visit, held, said, key)
    return go(f"/receipts/{key}")


def mail_receipt(visit: Visit, held: reads.Held, said: Mapping[str, Any], key: str) -> None:
    """Tell who confirmed an order what came of it."""
    words, _ = visit.words, visit.words.gettext
    done = terms.act(words, str(said["act"]))
    lines = [f"{held.name}: {done}"]
    if said["request_id"]:
        lines.append(_("This waits until an approver of your company agrees."))
    else:
        lines.append(
            _("Due now: {amount}").format(amount=plain_money(visit, said["due_now_minor"], said["currency"]))
        )
    if said["from_on"]:
        lines.append(_("From: {day}").format(day=words.day(date.fromisoformat(str(said["from_on"])))))
    if said["ends_on"]:
        lines.append(_("Ends on: {day}").format(day=words.day(date.fromisoformat(str(said["ends_on"])))))
    mail_lines(visit, done, lines, key)


def mail_lines(visit: Visit, done: str, lines: list[str], key: str) -> None:
    """Send who confirmed something what came of it, and where its receipt is."""
    if visit.user is None:
        return
    subject = visit.words.gettext("Receipt: {what}").format(what=done)
    text = "\n".join([*lines, "", f"{visit.desk.url}{PREFIX}/receipts/{key}"])
    send(visit.desk, Mail(visit.user["email"], subject, text + "\n", visit.language))


def key_of(visit: Visit) -> str:
    """What makes a confirmation happen once. Raises Problem `bad_parameter`."""
    key = visit.form.get("key", "")
    if not 10 <= len(key) <= 100:
        raise Problem("bad_parameter", "key")
    return key


def plain_money(visit: Visit, minor: int, currency: str) -> str:
    """An amount without the signs that keep its order on a page."""
    kept = visit.words.money(minor, currency)
    return "".join(sign for sign in kept if sign not in "\u2066\u2067\u2068\u2069")
