"""Acts on subscriptions: subscribe, change, pause, resume, cancel, reactivate.

Each act decides with core.subscription what a wish means in dated facts, writes them, lets the next bill run
look at the customer, and puts a message in the outbox. The money follows from the facts, in the bill run.

Days are the customer's own. `when` is "now", "period_end" (the first boundary after today) or a date; None
leaves it to the policy. Every act raises `unknown_subscription` or `unknown_item` for what is not there, and
`illegal_transition` for what the subscription's state does not allow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import bindparam, select

from billing.core.calendar import boundary, local_date, next_boundary, parse_interval
from billing.core.money import LINE_LIMIT, BillingError, Scaled, format_scaled, within
from billing.core.policy import Policy
from billing.core.stock import checked_rule
from billing.core.subscription import (
    CANCEL_REASONS,
    Change,
    Edit,
    Item,
    ItemVersion,
    Subscription,
    When,
    after_change,
    anchor_after_change,
    change_day,
    change_versions,
    end_versions,
    first_difference,
    is_downgrade,
    recurring_minor,
    trial_end,
)
from billing.service.acts import act, announce
from billing.service.catalog import plan_version
from billing.service.customers import customer as customer_row
from billing.service.customers import has_payment_method
from billing.service.goods import order_of
from billing.service.invoicing import check_invoicing
from billing.service.orders import check_credit, check_not_suspended, check_orders
from billing.service.policies import check_horizon, policy_on
from billing.service.prices import PlanPrice, at_quantity, price_plan, priced_by
from billing.service.terms import with_moved_term
from billing.store.messages import mark_to_bill
from billing.store.store import Store
from billing.store.subscriptions import (
    IS_DUNNED,
    Standing,
    read_standing,
    write_changes,
    write_ends,
    write_items,
    write_standing,
    write_subscription,
)
from billing.store.tables import (
    contract_stock_rules,
    contract_terms,
    contracts,
    discounts,
    dunning_cases,
    items,
    subscriptions,
)

Quantity = int | str
"""A whole number, or decimal text such as "2.5"."""


@dataclass(frozen=True, slots=True)
class NewContract:
    """A term the subscription is bound to. `term`: the ISO duration of one term, added again at renewal.
    `pause_extends_term`: days the customer pauses move its end. `stock_rule`: what is billed when its goods
    run short (core.stock.RULES), from its start. `deliver_despite_hold`: its service goes on while overdue
    money suspends others."""

    term: str = "P1Y"
    auto_renew: bool = True
    notice_days: int = 60
    contract_id: str | None = None
    pause_extends_term: bool = False
    stock_rule: str = "standing"
    deliver_despite_hold: bool = False


@dataclass(frozen=True, slots=True)
class AddOn:
    """An add-on taken together with a plan; `unit` as for `subscribe`."""

    plan_id: str
    quantity: Quantity = 1
    unit: str | None = None


# Beginning.


@act
def subscribe(
    store: Store,
    at: datetime,
    *,
    customer_id: str,
    plan_id: str,
    quantity: Quantity = 1,
    unit: str | None = None,
    subscription_id: str | None = None,
    starts_on: date | None = None,
    trial_days: int = 0,
    trial_plan_id: str | None = None,
    trial_needs_method: bool = False,
    anchor_on: date | None = None,
    contract: NewContract | None = None,
    add_ons: Sequence[AddOn] = (),
    discount_ids: Sequence[str] = (),
    committed_minimum_minor: int = 0,
    bill_to: str | None = None,
    ship_to: str | None = None,
    po_id: str | None = None,
    terms_id: str | None = None,
    method_id: str | None = None,
    consolidation_group: str | None = None,
) -> Subscription:
    """A customer agrees to a plan. Returns the subscription with its items.

    Starts today unless `starts_on` says otherwise; a past start bills the elapsed periods, or begins at the
    next boundary [`backdated_start`]. After a trial the anchor is its end [`trial_anchor`], unless
    `anchor_on` gives one (a calendar-aligned plan). `trial_plan_id`: the plan of a trial that costs
    something, its periods counted from the start; without it a trial is free. `trial_needs_method`: a trial
    starts only if the payer has a default way to pay. `committed_minimum_minor` is what the customer
    guarantees beyond the recurring amount, per interval. `unit`: what goods are ordered in, by default their
    base unit. `po_id`, `terms_id`, `method_id`, `consolidation_group`: what is invoiced apart from the rest
    of the payer's (service.invoicing). Raises `unknown_customer`, `unknown_plan`, `illegal_plan` (an add-on
    alone, or a plan as add-on), `no_price`, `currency_mismatch`, `negative_quantity`, `before_horizon`,
    `no_payment_method`, `immutable` (the id is taken), `overdue_restricted` where the payer gets no new
    orders, and as `check_invoicing`; Held where the order waits for a person's word: `over_credit_limit`,
    `on_hold`.
    """
    customer = customer_row(store, customer_id)
    today, settings = _today_and_policy(store, at, customer)
    start = starts_on or today
    check_horizon(start, today, settings)
    if trial_days < 0:
        raise BillingError("negative_quantity", f"{trial_days} days")
    check_minimum(committed_minimum_minor)
    subscription_id = subscription_id or store.new_id("sub")
    if store.row(_TAKEN, {"id": subscription_id}) is not None:
        raise BillingError("immutable", f"subscription {subscription_id} exists")
    trial_ends_on = trial_end(start, trial_days)
    anchor = anchor_on or (trial_ends_on if trial_ends_on and settings.trial_anchor == "trial_end" else start)
    if trial_plan_id is not None and trial_ends_on is None:
        raise BillingError("illegal_plan", f"{trial_plan_id} is for a trial, which has no days")
    _check_discounts(store, discount_ids)
    contract_id = _open_contract(store, at, customer_id, contract, trial_ends_on or start)
    interval = parse_interval(plan_version(store, plan_id).interval)
    from_boundary = settings.backdated_start == "from_next_boundary" and start < today
    bill_to_id = bill_to or customer["bill_to_id"]
    check_orders(store, bill_to_id)
    if trial_days and trial_needs_method and not has_payment_method(store, bill_to_id, today):
        raise BillingError("no_payment_method", str(bill_to_id))
    apart: dict[str, Any] = {
        "po_id": po_id,
        "terms_id": terms_id,
        "method_id": method_id,
        "consolidation_group": consolidation_group,
    }
    check_invoicing(store, str(bill_to_id), str(customer["currency"]), today, apart)
    new = Subscription(
        subscription_id=subscription_id,
        contract_id=contract_id,
        sold_to=customer_id,
        bill_to=bill_to_id,
        ship_to=ship_to or customer_id,
        anchor_on=anchor,
        starts_on=start,
        billing_starts_on=next_boundary(anchor, interval, today) if from_boundary else start,
        ends_on=None,
        trial_ends_on=trial_ends_on,
        status="",
        cancel_requested_on=None,
        cancel_reason=None,
        on_cancel=None,
        was_in_dunning=False,
        **apart,
    )
    wanted = [
        (AddOn(plan_id, quantity, unit), False),
        *((one, True) for one in add_ons),
    ]
    new = replace(
        new,
        items=tuple(
            _new_item(
                store,
                at,
                customer,
                new,
                one.plan_id,
                one.quantity,
                is_add_on=is_add_on,
                start=start,
                reason="subscribe",
                unit=one.unit,
                trial_plan_id=None if is_add_on else trial_plan_id,
                discount_ids=discount_ids,
                committed_minimum_minor=0 if is_add_on else committed_minimum_minor,
            )
            for one, is_add_on in wanted
        ),
    )
    standing = Standing(new, customer, _is_in_dunning(store, new), today)
    new = replace(new, status=standing.status)
    write_subscription(store, at, new, today)
    mark_to_bill(store, at, customer_id, today, since=start)
    _announce(store, at, "subscription.created", new, {"plan_id": plan_id, "starts_on": start})
    check_credit(store, at, bill_to_id)
    return new


_TAKEN = select(subscriptions.c.subscription_id).where(subscriptions.c.subscription_id == bindparam("id"))


def _new_item(
    store: Store,
    at: datetime,
    customer: Mapping[str, Any],
    of: Subscription,
    plan_id: str,
    quantity: Quantity,
    *,
    is_add_on: bool,
    start: date,
    reason: str,
    unit: str | None = None,
    trial_plan_id: str | None = None,
    discount_ids: Sequence[str] = (),
    committed_minimum_minor: int = 0,
) -> Item:
    """An item with its first versions: one, or the trial's and the one after it."""
    _, settings = _today_and_policy(store, at, customer)
    order = order_of(store, plan_version(store, plan_id), quantity, unit, settings)
    amount = order.quantity
    offer = _offer(store, at, customer, of, plan_id, start, amount, is_add_on=is_add_on)
    item_id = store.new_id("item")
    whole = ItemVersion(
        version_id="",
        item_id=item_id,
        effective_start=start,
        effective_end=None,
        plan_id=plan_id,
        plan_version=offer.plan.version,
        list_id=offer.list_id,
        price_id=offer.price_id,
        choice_id=offer.choice_id,
        quantity_mantissa=amount.mantissa,
        quantity_scale=amount.scale,
        discount_ids=",".join(discount_ids),
        anchor_on=of.anchor_on,
        phase="regular",
        pause=None,
        reason=reason,
        recurring_minor=recurring_minor(offer.components, amount, str(customer["currency"])),
        committed_minimum_minor=committed_minimum_minor,
    )
    whole = replace(whole, **order.columns)  # type: ignore[arg-type]
    trial_ends_on = of.trial_ends_on
    if trial_ends_on is None or trial_ends_on <= start:
        return Item(item_id, is_add_on, (replace(whole, version_id=store.new_id("ver")),))
    trial = replace(whole, version_id=store.new_id("ver"), effective_end=trial_ends_on, phase="trial")
    if trial_plan_id is not None:
        tried = _offer(store, at, customer, of, trial_plan_id, start, amount, is_add_on=False)
        trial = replace(
            with_prices(trial, tried, str(customer["currency"])),
            plan_id=trial_plan_id,
            plan_version=tried.plan.version,
            anchor_on=start,
            phase="paid_trial",
        )
    regular = replace(
        whole, version_id=store.new_id("ver"), effective_start=trial_ends_on, reason="trial_end"
    )
    return Item(item_id, is_add_on, (trial, regular))


def _offer(
    store: Store,
    at: datetime,
    customer: Mapping[str, object],
    of: Subscription,
    plan_id: str,
    on: date,
    quantity: Scaled,
    *,
    is_add_on: bool,
) -> PlanPrice:
    plan = plan_version(store, plan_id)
    if plan.is_add_on != is_add_on:
        raise BillingError("illegal_plan", f"{plan_id} is {'an' if plan.is_add_on else 'no'} add-on")
    group_id = customer["group_id"]
    return price_plan(
        store,
        at,
        plan,
        currency=str(customer["currency"]),
        on=on,
        customer_id=of.sold_to,
        group_id=None if group_id is None else str(group_id),
        contract_id=of.contract_id,
        quantity=quantity,
    )


def _open_contract(
    store: Store, at: datetime, customer_id: str, wanted: NewContract | None, start: date
) -> str | None:
    if wanted is None:
        return None
    contract_id = wanted.contract_id or store.new_id("con")
    end = boundary(start, parse_interval(wanted.term), 1)
    row = {
        "contract_id": contract_id,
        "customer_id": customer_id,
        "term_start": start,
        "term_end": end,
        "term": wanted.term,
        "auto_renew": wanted.auto_renew,
        "notice_days": wanted.notice_days,
        "pause_extends_term": wanted.pause_extends_term,
        "deliver_despite_hold": wanted.deliver_despite_hold,
    }
    store.insert(contracts, [row], at)
    if checked_rule(wanted.stock_rule) != "standing":
        rule = {"contract_id": contract_id, "valid_from": date.min, "rule": wanted.stock_rule}
        store.insert(contract_stock_rules, [rule], at)
    store.insert(contract_terms, [{"contract_id": contract_id, "term_start": start, "term_end": end}], at)
    return contract_id


def check_minimum(committed_minimum_minor: int) -> None:
    """Raises `negative_quantity`, `amount_out_of_range`."""
    if committed_minimum_minor < 0:
        raise BillingError("negative_quantity", f"a minimum of {committed_minimum_minor}")
    within(committed_minimum_minor, LINE_LIMIT)


def _check_discounts(store: Store, discount_ids: Sequence[str]) -> None:
    for discount_id in discount_ids:
        if store.row(select(discounts).where(discounts.c.discount_id == discount_id)) is None:
            raise BillingError("unknown_discount", discount_id)


def _is_in_dunning(store: Store, new: Subscription) -> bool:
    asked = select(dunning_cases.c.case_id).where(dunning_cases.c.customer_id == new.bill_to, IS_DUNNED)
    return store.row(asked) is not None


# Changing.


@act
def change_plan(
    store: Store,
    at: datetime,
    *,
    plan_id: str,
    subscription_id: str | None = None,
    item_id: str | None = None,
    when: When | None = None,
    trial_days: int | None = None,
) -> Subscription:
    """Move a subscription's main item, or an add-on (`item_id`), to the newest version of another plan (or of
    its own, at today's price list).

    Without `when` an upgrade (yearly amount rises or is equal) and a downgrade act as the policy says
    [`upgrade_when` now, `downgrade_when` period_end]; a change in a trial acts now, in (or dated
    into) a paid one at its end. A new interval keeps the anchor [`interval_anchor`]. `trial_days` in a free
    trial: it then ends that long after the original start. Overrides a plan change that waits. Raises as
    `subscribe`.
    """
    standing = live(store, at, _subscription_of(store, subscription_id, item_id))
    settings = _policy(store, standing)
    subscription, today = standing.subscription, standing.today
    item = subscription.item(item_id) if item_id else subscription.main_item
    current = version_from(item, max(today, subscription.starts_on))
    while current.phase == "paid_trial":
        if trial_days is not None or current.effective_end is None:
            raise BillingError("illegal_transition", "a trial that is paid for keeps its days")
        current = version_from(item, current.effective_end)
    first_day = max(today, current.effective_start)
    offer = _offer(
        store,
        at,
        standing.customer,
        subscription,
        plan_id,
        first_day,
        current.quantity,
        is_add_on=item.is_add_on,
    )
    old_interval = plan_version(store, current.plan_id, current.plan_version).interval
    currency = str(standing.customer["currency"])
    falls = is_downgrade(
        current.recurring_minor,
        old_interval,
        recurring_minor(offer.components, current.quantity, currency),
        offer.plan.interval,
    )
    if not falls:
        check_orders(store, subscription.bill_to)
    if when is None and standing.status not in ("trialing", "scheduled"):
        when = _setting_when(settings.downgrade_when if falls else settings.upgrade_when)
    on = day_of_change(standing, current, old_interval, when or "now", settings)
    on = _after_paid_trial(item, on)
    _check_day(standing, on, settings)
    check_open(item, on)
    has_new_interval = offer.plan.interval != old_interval
    anchor = current.anchor_on
    if has_new_interval:
        anchor = anchor_after_change(
            settings.interval_anchor, current.anchor_on, parse_interval(old_interval), on
        )

    def edit(version: ItemVersion) -> ItemVersion:
        moved = replace(version, plan_id=plan_id, plan_version=offer.plan.version, anchor_on=anchor)
        return with_prices(moved, at_quantity(store, at, offer, version.quantity), currency)

    reason = "interval" if has_new_interval else ("downgrade" if falls else "upgrade")
    changed, after = change_item(store, item, on, None, edit, reason), None
    if trial_days is not None and standing.status == "trialing" and not item.is_add_on:
        changed, after = _move_trial_end(store, standing, changed, trial_days)
    facts: dict[str, object] = {"plan_id": plan_id, "from_plan_id": current.plan_id, "on": on, "kind": reason}
    if item.is_add_on:
        facts["item_id"] = item.item_id
    new = save_changes(store, at, standing, [changed], "subscription.plan_changed", facts, after=after)
    if not falls:
        check_credit(store, at, subscription.bill_to)
    return new


def _after_paid_trial(item: Item, on: date) -> date:
    """The day, or where it lies in a trial that is paid for, the end of that."""
    while item.is_open_after(on) and (version := version_from(item, on)).phase == "paid_trial":
        if version.effective_end is None:
            break
        on = version.effective_end
    return on


def _move_trial_end(
    store: Store, standing: Standing, changed: tuple[Item, Change], trial_days: int
) -> tuple[tuple[Item, Change], Subscription]:
    """Let a trial end that many days after its start; what was regular before then is trial, and back."""
    subscription = standing.subscription
    end = trial_end(subscription.starts_on, trial_days) or subscription.starts_on
    end = max(end, standing.today)
    item, first = changed
    versions = after_change(item.versions, first)
    new_id = _version_ids(store)
    trial = change_versions(
        versions, subscription.starts_on, end, _as_phase("trial"), reason="subscribe", new_id=new_id
    )
    versions = after_change(versions, trial)
    anchor = end if subscription.anchor_on == subscription.trial_ends_on else subscription.anchor_on
    regular = change_versions(
        versions, end, None, _as_phase("regular", anchor), reason="trial_end", new_id=new_id
    )
    versions = after_change(versions, regular)
    moved = replace(subscription, trial_ends_on=end, anchor_on=anchor)
    return (item, difference(item.versions, versions)), moved


def _as_phase(phase: str, anchor: date | None = None) -> Edit:
    def edit(version: ItemVersion) -> ItemVersion:
        return replace(version, phase=phase, anchor_on=anchor or version.anchor_on)

    return edit


def difference(before: Sequence[ItemVersion], after: Sequence[ItemVersion]) -> Change:
    """The one change that leads from some versions to others."""
    return Change(
        tuple(version for version in before if version not in after),
        tuple(version for version in after if version not in before),
    )


@act
def change_quantity(
    store: Store,
    at: datetime,
    *,
    quantity: Quantity,
    subscription_id: str | None = None,
    item_id: str | None = None,
    when: When | None = None,
    unit: str | None = None,
) -> Subscription:
    """Set the quantity of an item, or of a subscription's main item, also in versions still scheduled.

    Without `when` it acts now; fewer only at the period end where `seat_decrease` says so. The end of a paid
    trial ends its last period.
    `unit`: what goods are ordered in. Raises `negative_quantity`, `too_many_decimals`.
    """
    standing = live(store, at, _subscription_of(store, subscription_id, item_id))
    settings = _policy(store, standing)
    subscription = standing.subscription
    item = subscription.item(item_id) if item_id else subscription.main_item
    current = version_from(item, max(standing.today, subscription.starts_on))
    current_plan = plan_version(store, current.plan_id, current.plan_version)
    interval = current_plan.interval
    amount = order_of(store, current_plan, quantity, unit, settings).quantity
    if is_more := _is_less(current.quantity, amount):
        check_orders(store, subscription.bill_to)
    if when is None:
        is_fewer = _is_less(amount, current.quantity)
        when = "period_end" if is_fewer and settings.seat_decrease == "period_end" else "now"
    on = day_of_change(standing, current, interval, when, settings)
    check_open(item, on)

    def edit(version: ItemVersion) -> ItemVersion:
        plan = plan_version(store, version.plan_id, version.plan_version)
        order = order_of(store, plan, quantity, unit, settings)
        priced = at_quantity(store, at, priced_by(store, plan, version.choice_id), order.quantity)
        more = replace(version, **order.columns)  # type: ignore[arg-type]
        return with_prices(more, priced, str(standing.customer["currency"]))

    changed = change_item(store, item, on, None, edit, "quantity")
    facts = {"item_id": item.item_id, "quantity": str(quantity), "on": on}
    new = save_changes(store, at, standing, [changed], "subscription.quantity_changed", facts)
    if is_more:
        check_credit(store, at, subscription.bill_to)
    return new


def _is_less(left: Scaled, right: Scaled) -> bool:
    scale = max(left.scale, right.scale)
    return left.at_scale(scale) < right.at_scale(scale)


@act
def add_item(
    store: Store,
    at: datetime,
    *,
    subscription_id: str,
    plan_id: str,
    quantity: Quantity = 1,
    unit: str | None = None,
    starts_on: date | None = None,
) -> Item:
    """Add an add-on to a subscription, on its anchor; `unit` as for `subscribe`. Returns the item. Raises as
    `subscribe`."""
    standing = live(store, at, subscription_id)
    subscription = standing.subscription
    check_orders(store, subscription.bill_to)
    start = starts_on or max(standing.today, subscription.starts_on)
    _check_day(standing, start, _policy(store, standing))
    item = _new_item(
        store,
        at,
        standing.customer,
        subscription,
        plan_id,
        quantity,
        is_add_on=True,
        start=start,
        reason="add_on",
        unit=unit,
    )
    main = subscription.main_item.version_on(start)
    if main is not None and main.pause is not None:
        raise BillingError("illegal_transition", f"{subscription_id} is paused on {start}")
    write_items(store, at, subscription, [item])
    facts = {"item_id": item.item_id, "plan_id": plan_id, "on": start}
    save_changes(store, at, standing, [], "subscription.item_added", facts, added=(item,))
    check_credit(store, at, subscription.bill_to)
    return item


@act
def remove_item(store: Store, at: datetime, *, item_id: str, when: When = "period_end") -> Subscription:
    """Let an add-on end. Raises `illegal_transition` where it has ended by that day, and for the main item:
    cancel its subscription instead."""
    standing = live(store, at, _subscription_of(store, None, item_id))
    item = standing.subscription.item(item_id)
    if not item.is_add_on:
        raise BillingError("illegal_transition", f"{item_id} is the plan itself: cancel the subscription")
    current = version_from(item, standing.today)
    interval = plan_version(store, current.plan_id, current.plan_version).interval
    on = day_of_change(standing, current, interval, when, _policy(store, standing))
    check_open(item, on)
    change = end_versions(item.versions, on, new_id=_version_ids(store))
    facts = {"item_id": item_id, "on": on}
    return save_changes(store, at, standing, [(item, change)], "subscription.item_removed", facts)


# Pausing.


@act
def pause(
    store: Store,
    at: datetime,
    *,
    subscription_id: str,
    from_on: date | None = None,
    until: date | None = None,
    cause: str = "customer",
) -> Subscription:
    """Pause all items in [from_on, until), without end if `until` is None. Nothing is billed for paused days.

    `cause`: customer, or overdue (a suspension). Raises `empty_period`, `illegal_transition` where a pause
    begins already.
    """
    standing = live(store, at, subscription_id)
    start = from_on or max(standing.today, standing.subscription.starts_on)
    if until is not None and until <= start:
        raise BillingError("empty_period", f"{start} to {until} holds no day")
    if cause not in ("customer", "overdue"):
        raise BillingError("unknown_setting", f"cause = {cause!r}")
    _check_day(standing, start, _policy(store, standing))
    main = standing.subscription.main_item.version_on(start)
    if main is None or main.pause is not None:
        raise BillingError("illegal_transition", f"{subscription_id} is paused on {start} already")
    reason = "pause" if cause == "customer" else "overdue"
    changes = [
        change_item(store, item, start, until, _as_pause(cause), reason, "resume")
        for item in standing.subscription.open_items(start)
    ]
    facts = {"from_on": start, "until": until, "cause": cause}
    return save_changes(store, at, standing, changes, "subscription.paused", facts)


@act
def resume(store: Store, at: datetime, *, subscription_id: str, on: date | None = None) -> Subscription:
    """End a pause on a day, today by default. Raises `illegal_transition` where there is none,
    `overdue_restricted` while its payer is suspended."""
    standing = live(store, at, subscription_id)
    check_not_suspended(store, standing.subscription.bill_to)
    day = on or standing.today
    _check_day(standing, day, _policy(store, standing))
    main = standing.subscription.main_item.version_on(day)
    if main is None or main.pause is None:
        raise BillingError("illegal_transition", f"{subscription_id} is not paused on {day}")
    end = _end_of_pause(standing.subscription.main_item, day)
    changes = [
        change_item(store, item, day, end, _as_pause(None), "resume")
        for item in standing.subscription.open_items(day)
    ]
    return save_changes(store, at, standing, changes, "subscription.resumed", {"on": day})


def _as_pause(cause: str | None) -> Edit:
    def edit(version: ItemVersion) -> ItemVersion:
        return replace(version, pause=cause)

    return edit


def _end_of_pause(item: Item, on: date) -> date | None:
    """The first day after `on` that is not paused; None for a pause without end."""
    for version in item.versions:
        is_after = version.effective_end is None or version.effective_end > on
        if is_after and version.pause is None:
            return version.effective_start
    return None


# Ending and coming back.


@act
def cancel(
    store: Store,
    at: datetime,
    *,
    subscription_id: str,
    when: When | str = "period_end",
    reason: str = "other",
    money: str | None = None,
) -> Subscription:
    """Let a subscription end; may be undone or moved until it does.

    `when`: period_end (the end of the main item's running period, or of the trial), now, term_end (of the
    contract) or a date, the first day without service; it may be past, and what was billed beyond it is
    put right. `reason`: one of core.subscription.CANCEL_REASONS. `money`: what becomes of time paid beyond
    the end, credit, refund or none; without it the policy decides [`on_cancel`].
    Raises `unknown_setting` for another reason, money or when, `before_horizon`.
    """
    standing = live(store, at, subscription_id)
    if reason not in CANCEL_REASONS:
        raise BillingError("unknown_setting", f"reason {reason!r}: {', '.join(CANCEL_REASONS)}")
    if money not in (None, "credit", "refund", "none"):
        raise BillingError("unknown_setting", f"money {money!r}: credit, refund, none")
    ends_on = _end_day(store, standing, when)
    ends_on = max(ends_on, standing.subscription.starts_on)
    if ends_on < standing.today:
        check_horizon(ends_on, standing.today, _policy(store, standing))
    subscription = replace(
        standing.subscription,
        ends_on=ends_on,
        cancel_requested_on=standing.today,
        cancel_reason=reason,
        on_cancel=money,
        was_in_dunning=standing.is_in_dunning,
    )
    facts = {"ends_on": subscription.ends_on, "reason": reason}
    return save_changes(store, at, standing, [], "subscription.canceled", facts, after=subscription)


def _end_day(store: Store, standing: Standing, when: When | str) -> date:
    subscription, today = standing.subscription, standing.today
    if when == "term_end":
        term_end = _term_end(store, subscription)
        if term_end is None:
            raise BillingError("illegal_transition", f"{subscription.subscription_id} has no contract")
        return term_end
    if when == "period_end":
        if subscription.trial_ends_on is not None and today < subscription.trial_ends_on:
            return subscription.trial_ends_on
        current = version_from(subscription.main_item, max(today, subscription.starts_on))
        plan = plan_version(store, current.plan_id, current.plan_version)
        first_day = max(today, subscription.starts_on)
        return next_boundary(current.anchor_on, parse_interval(plan.interval), first_day)
    if when == "now":
        return today
    if isinstance(when, date):
        return when
    raise BillingError("unknown_setting", f"when = {when!r}: now, period_end, term_end or a date")


def _term_end(store: Store, of: Subscription) -> date | None:
    """The day the running term of its contract ends; None without a contract."""
    row = store.row(select(contracts.c.term_end).where(contracts.c.contract_id == of.contract_id))
    return None if row is None else as_date(row["term_end"])


@act
def undo_cancel(store: Store, at: datetime, *, subscription_id: str) -> Subscription:
    """Take back a cancellation, or the notice on a contract, that has not acted yet."""
    standing = live(store, at, subscription_id)
    if standing.subscription.ends_on is None:
        raise BillingError("illegal_transition", f"{subscription_id} is not canceled")
    contract_id = standing.subscription.contract_id
    if contract_id is not None:
        store.update(contracts, [{"contract_id": contract_id, "notice_given_on": None}], at)
    kept = replace(
        standing.subscription,
        ends_on=None,
        cancel_requested_on=None,
        cancel_reason=None,
        on_cancel=None,
        was_in_dunning=False,
    )
    return save_changes(store, at, standing, [], "subscription.cancel_undone", {}, after=kept)


@act
def reactivate(
    store: Store,
    at: datetime,
    *,
    subscription_id: str,
    plan_id: str | None = None,
    quantity: Quantity | None = None,
    contract: NewContract | None = None,
) -> Subscription:
    """Bring a canceled subscription back today: new items under the same id; the gap is not billed, and the
    items that ended keep their end and what became of its money.

    Plan and quantity default to those it had. The anchor is today. Raises `illegal_transition` unless
    canceled, and as `subscribe`.
    """
    standing = read_standing(store, at, subscription_id)
    before, today = standing.subscription, standing.today
    if not before.is_canceled(today) or before.ends_on is None:
        raise BillingError("illegal_transition", f"{subscription_id} is not canceled")
    check_orders(store, before.bill_to)
    new_id = _version_ids(store)
    ended = [(item, end_versions(item.versions, before.ends_on, new_id=new_id)) for item in before.items]
    write_ends(store, before, with_term=_term_end(store, before) == before.ends_on)
    last = _last_version(before)
    back = replace(
        before,
        contract_id=_open_contract(store, at, before.sold_to, contract, today),
        anchor_on=today,
        ends_on=None,
        trial_ends_on=None,
        cancel_requested_on=None,
        cancel_reason=None,
        on_cancel=None,
        was_in_dunning=False,
    )
    item = _new_item(
        store,
        at,
        standing.customer,
        back,
        plan_id or last.plan_id,
        quantity if quantity is not None else format_scaled(last.quantity),
        is_add_on=False,
        start=today,
        reason="reactivate",
    )
    write_items(store, at, back, [item])
    facts = {"item_id": item.item_id, "plan_id": plan_id or last.plan_id, "on": today}
    topic = "subscription.reactivated"
    new = save_changes(store, at, standing, ended, topic, facts, after=back, added=(item,))
    check_credit(store, at, before.bill_to)
    return new


def _last_version(subscription: Subscription) -> ItemVersion:
    """What the main item was when it ended (or, ended before it began, would have been); for one that ended
    in a paid trial, what was to follow it."""
    versions = subscription.main_item.versions
    before = [v for v in versions if subscription.ends_on and v.effective_start < subscription.ends_on]
    if not versions:
        raise BillingError("illegal_transition", f"{subscription.subscription_id} never began")
    last = before[-1] if before else versions[0]
    if last.phase != "paid_trial":
        return last
    return next((version for version in versions if version.phase == "regular"), last)


# What the acts share.


def live(store: Store, at: datetime, subscription_id: str) -> Standing:
    """A subscription that has not ended. Raises `illegal_transition`."""
    standing = read_standing(store, at, subscription_id)
    if standing.subscription.is_canceled(standing.today):
        raise BillingError("illegal_transition", f"{subscription_id} is canceled")
    return standing


_OF_ITEM = select(items.c.subscription_id).where(items.c.item_id == bindparam("id"))


def _subscription_of(store: Store, subscription_id: str | None, item_id: str | None) -> str:
    if subscription_id is not None:
        return subscription_id
    if item_id is None:
        raise BillingError("unknown_item", "name a subscription or an item")
    row = store.row(_OF_ITEM, {"id": item_id})
    if row is None:
        raise BillingError("unknown_item", item_id)
    return str(row["subscription_id"])


def version_from(item: Item, on: date) -> ItemVersion:
    """The version of a day, or the first one after it. Raises `illegal_transition` for an item that ended."""
    version = item.version_on(on)
    ahead = [version for version in item.versions if version.effective_start > on]
    if version is None and not ahead:
        raise BillingError("illegal_transition", f"{item.item_id} has ended")
    return version or ahead[0]


def day_of_change(
    standing: Standing, current: ItemVersion, interval: str, when: When, settings: Policy
) -> date:
    """The day a change acts, within the item's life. Raises `illegal_transition`, `before_horizon`."""
    first_day = max(standing.today, current.effective_start)
    on = change_day(when, first_day, current.anchor_on, parse_interval(interval))
    trial_ends_on = standing.subscription.trial_ends_on
    if when == "period_end" and current.phase == "paid_trial" and trial_ends_on is not None:
        on = min(on, trial_ends_on)
    _check_day(standing, on, settings)
    return on


def _check_day(standing: Standing, on: date, settings: Policy) -> None:
    subscription = standing.subscription
    check_horizon(on, standing.today, settings)
    if on < subscription.starts_on or (subscription.ends_on is not None and on >= subscription.ends_on):
        raise BillingError("illegal_transition", f"{subscription.subscription_id} has no service on {on}")


def check_open(item: Item, on: date) -> None:
    if not item.is_open_after(on):
        raise BillingError("illegal_transition", f"{item.item_id} has ended by {on}")


def _setting_when(value: str) -> When:
    return "period_end" if value == "period_end" else "now"


def _today_and_policy(store: Store, at: datetime, customer: Mapping[str, Any]) -> tuple[date, Policy]:
    today = local_date(at, customer["time_zone"])
    return today, policy_on(store, customer["policy_name"], today).settings


def _policy(store: Store, standing: Standing) -> Policy:
    return policy_on(store, standing.customer["policy_name"], standing.today).settings


def with_prices(version: ItemVersion, price: PlanPrice, currency: str) -> ItemVersion:
    """A version on other prices, with what it then costs an interval."""
    return replace(
        version,
        list_id=price.list_id,
        price_id=price.price_id,
        choice_id=price.choice_id,
        recurring_minor=recurring_minor(price.components, version.quantity, currency),
    )


def _version_ids(store: Store) -> Callable[[], str]:
    return lambda: store.new_id("ver")


def change_item(
    store: Store,
    item: Item,
    start: date,
    end: date | None,
    edit: Edit,
    reason: str,
    reason_after: str | None = None,
    *,
    is_new: bool = False,
) -> tuple[Item, Change]:
    """The change of an item; the piece that begins at `end` carries `reason_after`, if one is given."""
    change = change_versions(
        item.versions, start, end, edit, reason=reason, new_id=_version_ids(store), is_new_fact=is_new
    )
    if reason_after is not None:
        change = replace(
            change,
            written=tuple(
                replace(version, reason=reason_after) if version.effective_start == end else version
                for version in change.written
            ),
        )
    return item, change


def save_changes(
    store: Store,
    at: datetime,
    standing: Standing,
    changed: Sequence[tuple[Item, Change]],
    topic: str,
    facts: Mapping[str, object],
    *,
    after: Subscription | None = None,
    added: Sequence[Item] = (),
) -> Subscription:
    """Write what an act decided: versions, the subscription's columns, the dirty mark, the message."""
    changes = {item.item_id: change for item, change in changed if not change.is_empty}
    subscription = after or standing.subscription
    subscription = replace(
        subscription,
        items=(
            *(
                replace(item, versions=after_change(item.versions, changes[item.item_id]))
                if item.item_id in changes
                else item
                for item in subscription.items
            ),
            *added,
        ),
    )
    write_changes(store, at, list(changes.values()))
    versions = [one for change in changes.values() for one in (*change.superseded, *change.written)]
    if subscription.contract_id is not None and any(one.pause == "customer" for one in versions):
        subscription = with_moved_term(store, at, subscription, standing.today)
    new = replace(standing, subscription=subscription)
    subscription = replace(subscription, status=new.status)
    write_standing(store, at, standing.subscription, new)
    days = [first_difference(change) for change in changes.values()]
    days += [item.versions[0].effective_start for item in added if item.versions]
    if standing.subscription.ends_on != subscription.ends_on:
        days += [standing.subscription.ends_on, subscription.ends_on]
    since = min((day for day in days if day is not None), default=standing.today)
    mark_to_bill(store, at, subscription.sold_to, standing.today, since=since)
    _announce(store, at, topic, subscription, facts)
    return subscription


def _announce(
    store: Store, at: datetime, topic: str, subscription: Subscription, facts: Mapping[str, object]
) -> None:
    about = {"customer_id": subscription.sold_to, "status": subscription.status}
    announce(store, at, topic, subscription.subscription_id, about | dict(facts))


def as_date(value: object) -> date:
    assert isinstance(value, date)
    return value
