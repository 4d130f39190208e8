"""A subscription and what may be changed of it: plan, seats, add-ons, a pause, its end, its return."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from starlette.responses import Response

from billing.core.money import BillingError, Scaled, parse_quantity
from billing.core.subscription import recurring_minor
from billing.portal import terms
from billing.portal.answers import go, page
from billing.portal.changes import Order, Quote, confirm, order, quoted, the_subscription
from billing.portal.routes import Routes
from billing.portal.visit import Visit
from billing.reads import portal as reads
from billing.service.catalog import plan_version
from billing.service.portal_settings import check_pause
from billing.service.prices import price_plan
from billing.store.store import Store
from billing.web.problems import Problem

routes = Routes()
Wanted = Callable[[Visit, reads.Held, Callable[[str], str]], Order | None]
"""What a form asks for, from its fields; None where nothing was chosen yet."""


@routes.page("/subscriptions/{subscription_id}")
def subscription(visit: Visit) -> Response:
    held = the_subscription(visit)
    with visit.looking() as store:
        waiting = reads.waiting_orders(store, visit.scope, customer_id=held.own.bill_to)
        asked = [
            row
            for row in reads.requests(store, visit.scope, state="pending", after=None, limit=100).rows
            if row["arguments"].get("subscription_id") == held.own.subscription_id
        ]
        ahead = _ahead(store, held)
    return page(
        visit,
        "subscription.html",
        held=held,
        waiting=waiting,
        asked=asked,
        ahead=ahead,
        terms=terms,
    )


def _ahead(store: Store, held: reads.Held) -> list[dict[str, Any]]:
    """What is agreed for later: plan, quantity or a pause of the main item from a day on."""
    if held.main is None:
        return []
    item = held.own.item(held.main.item_id)
    later = [one for one in item.versions if one.effective_start > held.standing.today]
    known = reads.plans_of(store, {(one.plan_id, one.plan_version) for one in later})
    return [
        {"on": one.effective_start, "plan": known[one.plan_id, one.plan_version], "version": one}
        for one in later
    ]


# Plan.


def _offers(visit: Visit, store: Store, held: reads.Held, *, is_add_on: bool = False) -> list[dict[str, Any]]:
    """Plans of the same product with what an interval of each costs at today's quantity, the present one
    among them, or (`is_add_on`) the add-ons it has not with what one costs; those without a price for this
    customer are left out."""
    if held.main is None:
        return []
    quantity, found = Scaled(1, 0) if is_add_on else held.main.version.quantity, []
    customer, has = held.standing.customer, {part.plan.plan_id for part in held.parts if part.is_add_on}
    for plan in reads.plans_beside(store, plan_id=held.main.plan.plan_id, is_add_on=is_add_on):
        if plan.plan_id in has:
            continue
        try:
            priced = price_plan(
                store,
                visit.now,
                plan_version(store, plan.plan_id, plan.version),
                currency=customer["currency"],
                on=visit.today,
                customer_id=held.own.sold_to,
                group_id=customer["group_id"],
                contract_id=held.own.contract_id,
                quantity=quantity,
            )
        except BillingError:
            continue
        amount_minor = recurring_minor(priced.components, quantity, customer["currency"])
        is_own = plan.plan_id == held.main.plan.plan_id
        found.append({"plan": plan, "recurring_minor": amount_minor, "is_own": is_own})
    return found


@routes.page("/subscriptions/{subscription_id}/plan", task="change_plan", needs="buyer")
def plan(visit: Visit) -> Response:
    held = the_subscription(visit)
    with visit.rehearsing() as store:
        offers = _offers(visit, store, held)
    return _asked(visit, held, "plan", _plan_of_rehearsal(offers), offers=offers)


def _plan_of_rehearsal(offers: list[dict[str, Any]]) -> Wanted:
    def wanted(visit: Visit, held: reads.Held, field: Callable[[str], str]) -> Order | None:
        plan_id = field("plan")
        if not plan_id:
            return None
        if plan_id not in {one["plan"].plan_id for one in offers}:
            raise BillingError("illegal_plan", "")
        return order(held.own.subscription_id, "change_plan", plan_id=plan_id)

    return wanted


@routes.deed("/subscriptions/{subscription_id}/plan", task="change_plan")
def change_plan(visit: Visit) -> Response:
    held = the_subscription(visit)
    with visit.rehearsing() as store:
        offers = _offers(visit, store, held)
    return _confirmed(visit, held, "plan", _plan_of_rehearsal(offers), offers=offers)


# Seats.


def _seats_order(visit: Visit, held: reads.Held, field: Callable[[str], str]) -> Order | None:
    quantity = field("quantity")
    if not quantity:
        return None
    if held.main is None or not held.main.plan.has_seats:
        raise BillingError("illegal_transition", "")
    if parse_quantity(quantity).mantissa == 0:
        raise BillingError("negative_quantity", "0")
    return order(held.own.subscription_id, "change_quantity", quantity=quantity)


@routes.page("/subscriptions/{subscription_id}/seats", task="change_seats", needs="buyer")
def seats(visit: Visit) -> Response:
    return _asked(visit, the_subscription(visit), "seats", _seats_order)


@routes.deed("/subscriptions/{subscription_id}/seats", task="change_seats")
def change_seats(visit: Visit) -> Response:
    return _confirmed(visit, the_subscription(visit), "seats", _seats_order)


# Add-ons.


def _add_on_of(offers: list[dict[str, Any]]) -> Wanted:
    def wanted(visit: Visit, held: reads.Held, field: Callable[[str], str]) -> Order | None:
        plan_id = field("plan")
        if not plan_id:
            return None
        plan = next((one["plan"] for one in offers if one["plan"].plan_id == plan_id), None)
        if plan is None:
            raise BillingError("illegal_plan", "")
        quantity = field("quantity") if plan.has_seats else ""
        if quantity and parse_quantity(quantity).mantissa == 0:
            raise BillingError("negative_quantity", "0")
        return order(held.own.subscription_id, "add_item", plan_id=plan_id, quantity=quantity or None)

    return wanted


def _add_ons(visit: Visit) -> tuple[reads.Held, list[dict[str, Any]]]:
    held = the_subscription(visit)
    with visit.rehearsing() as store:
        return held, _offers(visit, store, held, is_add_on=True)


@routes.page("/subscriptions/{subscription_id}/add-on", task="add_ons", needs="buyer")
def add_on(visit: Visit) -> Response:
    held, offers = _add_ons(visit)
    return _asked(visit, held, "add-on", _add_on_of(offers), offers=offers)


@routes.deed("/subscriptions/{subscription_id}/add-on", task="add_ons")
def add(visit: Visit) -> Response:
    held, offers = _add_ons(visit)
    key = visit.form.get("key", "")
    if _was_added(visit, held, key):
        return go(f"/receipts/{key}")
    return _confirmed(visit, held, "add-on", _add_on_of(offers), offers=offers)


def _was_added(visit: Visit, held: reads.Held, key: str) -> bool:
    """Whether this form came before: what it added is no choice any more."""
    with visit.looking() as store:
        said = reads.receipt(store, caller=visit.actor, key=key) or {}
    chosen = (held.own.subscription_id, "add_item", visit.form.get("plan"))
    return (said.get("subscription_id"), said.get("act"), said.get("arguments", {}).get("plan_id")) == chosen


def _removal(visit: Visit, held: reads.Held, field: Callable[[str], str]) -> Order | None:
    item_id = field("item")
    if item_id not in {part.item_id for part in held.parts if part.is_add_on}:
        raise Problem("not_found")
    return Order(held.own.subscription_id, "remove_item", {"item_id": item_id})


@routes.page("/subscriptions/{subscription_id}/remove-add-on", task="add_ons", needs="buyer")
def remove_add_on(visit: Visit) -> Response:
    return _asked(visit, the_subscription(visit), "remove-add-on", _removal)


@routes.deed("/subscriptions/{subscription_id}/remove-add-on", task="add_ons")
def remove(visit: Visit) -> Response:
    return _confirmed(visit, the_subscription(visit), "remove-add-on", _removal)


# Pause and resume.


def _pause_order(visit: Visit, held: reads.Held, field: Callable[[str], str]) -> Order | None:
    if not field("until"):
        return None
    from_on, until = _day(field("from_on")) or visit.today, _day(field("until"))
    assert until is not None
    if from_on < visit.today or until <= from_on:
        raise BillingError("empty_period", "")
    check_pause(visit.tasks["pause"], held.own.main_item, from_on, until)
    start = max(from_on, held.own.starts_on)
    return order(held.own.subscription_id, "pause", from_on=start, until=until)


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Problem("bad_parameter", "") from None


@routes.page("/subscriptions/{subscription_id}/pause", task="pause", needs="buyer")
def pause(visit: Visit) -> Response:
    return _asked(visit, the_subscription(visit), "pause", _pause_order, **_pause_bounds(visit))


@routes.deed("/subscriptions/{subscription_id}/pause", task="pause")
def do_pause(visit: Visit) -> Response:
    return _confirmed(visit, the_subscription(visit), "pause", _pause_order, **_pause_bounds(visit))


def _pause_bounds(visit: Visit) -> dict[str, Any]:
    longest = visit.tasks["pause"].settings["longest_days"]
    return {"longest_days": longest, "last_day": visit.today + timedelta(days=longest)}


def _resume_order(visit: Visit, held: reads.Held, field: Callable[[str], str]) -> Order | None:
    return order(held.own.subscription_id, "resume")


@routes.page("/subscriptions/{subscription_id}/resume", task="resume", needs="buyer")
def resume(visit: Visit) -> Response:
    return _asked(visit, the_subscription(visit), "resume", _resume_order)


@routes.deed("/subscriptions/{subscription_id}/resume", task="resume")
def do_resume(visit: Visit) -> Response:
    return _confirmed(visit, the_subscription(visit), "resume", _resume_order)


# The end.


def _cancel_order(visit: Visit, held: reads.Held, field: Callable[[str], str]) -> Order | None:
    reason = field("reason")
    if not reason:
        return None
    if reason not in terms.REASONS:
        raise BillingError("unknown_setting", "")
    return order(held.own.subscription_id, "cancel", when="period_end", reason=reason)


@routes.page("/subscriptions/{subscription_id}/cancel", task="cancel", needs="buyer")
def cancel(visit: Visit) -> Response:
    return _asked(visit, the_subscription(visit), "cancel", _cancel_order)


@routes.deed("/subscriptions/{subscription_id}/cancel", task="cancel")
def do_cancel(visit: Visit) -> Response:
    return _confirmed(visit, the_subscription(visit), "cancel", _cancel_order)


def _undo_order(visit: Visit, held: reads.Held, field: Callable[[str], str]) -> Order | None:
    return order(held.own.subscription_id, "undo_cancel")


@routes.page("/subscriptions/{subscription_id}/undo-cancel", task="cancel", needs="buyer")
def undo_cancel(visit: Visit) -> Response:
    return _asked(visit, the_subscription(visit), "undo-cancel", _undo_order)


@routes.deed("/subscriptions/{subscription_id}/undo-cancel", task="cancel")
def do_undo_cancel(visit: Visit) -> Response:
    return _confirmed(visit, the_subscription(visit), "undo-cancel", _undo_order)


def _again(visit: Visit, held: reads.Held, field: Callable[[str], str]) -> Order | None:
    return order(held.own.subscription_id, "reactivate")


@routes.page("/subscriptions/{subscription_id}/reactivate", task="reactivate", needs="buyer")
def reactivate(visit: Visit) -> Response:
    return _asked(visit, the_subscription(visit), "reactivate", _again)


@routes.deed("/subscriptions/{subscription_id}/reactivate", task="reactivate")
def do_reactivate(visit: Visit) -> Response:
    return _confirmed(visit, the_subscription(visit), "reactivate", _again)


# What these have alike: ask with figures, then confirm.


def _asked(visit: Visit, held: reads.Held, name: str, wanted: Wanted, /, **values: Any) -> Response:
    """The form, and below it what its choice would cost."""
    return _form(visit, held, name, wanted, visit.query, None, values)


def _confirmed(visit: Visit, held: reads.Held, name: str, wanted: Wanted, /, **values: Any) -> Response:
    """The receipt; or the form again, with new figures, and what went wrong."""

    def field(name: str) -> str:
        return visit.form.get(name, "")

    try:
        chosen = wanted(visit, held, field)
        if chosen is None:
            raise BillingError("missing_value", "")
        return confirm(visit, chosen)
    except (BillingError, Problem) as refused:
        return _form(visit, held, name, wanted, field, refused.code, values)


def _form(
    visit: Visit,
    held: reads.Held,
    name: str,
    wanted: Wanted,
    field: Callable[[str], str],
    code: str | None,
    values: dict[str, Any],
) -> Response:
    quote: Quote | None = None
    try:
        chosen = wanted(visit, held, field)
        quote = quoted(visit, chosen) if chosen else None
    except (BillingError, Problem) as refused:
        code = code or refused.code
    problem = terms.refusal(visit.words, code) if code else None
    status = 200 if code is None or visit.request.method == "GET" else 422
    known: dict[str, Any] = {
        "held": held,
        "form": name,
        "field": field,
        "quote": quote,
        "problem": problem,
        "terms": terms,
        "chosen": defaultdict(str, chosen_fields(field)),
    }
    return page(visit, f"change_{name.replace('-', '_')}.html", status, **known | values)


_FIELDS = ("plan", "quantity", "item", "from_on", "until", "reason")


def chosen_fields(field: Callable[[str], str]) -> list[tuple[str, str]]:
    """What was chosen, for the form that confirms it."""
    return [(name, field(name)) for name in _FIELDS if field(name)]
