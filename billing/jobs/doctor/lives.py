"""Checks of who buys what: customers and their trees, contracts, subscriptions, versions of items, the days
they were charged for, and usage."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import product
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    Select,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import aliased

from billing.core.calendar import local_date
from billing.core.subscription import status
from billing.jobs.doctor.check import Check, dangling, differs, rows
from billing.store.store import Row, Store
from billing.store.subscriptions import IS_DUNNED
from billing.store.tables import (
    components,
    contract_terms,
    contracts,
    credit_note_lines,
    customers,
    dunning_cases,
    invoices,
    item_versions,
    items,
    line_items,
    plan_versions,
    policies,
    price_choices,
    price_tiers,
    prices,
    stock_allocations,
    stock_orders,
    subscriptions,
    usage_events,
    usage_snapshots,
)

# --- customers ---

_PARENT = aliased(customers)
_BELOW = (
    select(customers.c.customer_id, customers.c.customer_id.label("root_id"))
    .where(customers.c.parent_id.is_(None))
    .cte("below", recursive=True)
)
_CHILD = aliased(customers)
_BELOW = _BELOW.union_all(
    select(_CHILD.c.customer_id, _BELOW.c.root_id).join(_BELOW, _CHILD.c.parent_id == _BELOW.c.customer_id)
)
"""Every customer that stands below a root; a circle stands below none."""

CUSTOMERS = (
    Check(
        "customer_root",
        "customers",
        "The root of a customer is the top of its tree, and a tree has no circle.",
        select(customers.c.customer_id, customers.c.root_id.label("found"), _BELOW.c.root_id.label("wanted"))
        .outerjoin(_BELOW, _BELOW.c.customer_id == customers.c.customer_id)
        .where(differs(_BELOW.c.root_id, customers.c.root_id)),
    ),
    Check(
        "customer_bill_to",
        "customers",
        "Who owes for a customer stands in its tree.",
        select(customers.c.customer_id, customers.c.bill_to_id.label("found"))
        .join(_PARENT, _PARENT.c.customer_id == customers.c.bill_to_id)
        .where(_PARENT.c.root_id != customers.c.root_id),
    ),
    Check(
        "customer_parked",
        "customers",
        "A customer that is set aside has a reason, and nobody else has one.",
        rows(
            customers,
            customers.c.parked_at.is_(None) != customers.c.parked_code.is_(None),
            customers.c.parked_code,
        ),
    ),
)

# --- contracts and subscriptions ---

_NEWEST_MAIN = aliased(items)
_MAIN = aliased(items)
_VERSION = aliased(item_versions)


def _today(store: Store, at: datetime) -> ColumnElement[Any]:
    """The customer's date: the world has at most three of them at a time."""
    zones = store.rows(select(customers.c.time_zone).distinct())
    days: dict[date, list[str]] = {at.date(): []}
    for row in zones:
        days.setdefault(local_date(at, row["time_zone"]), []).append(row["time_zone"])
    others = [
        (customers.c.time_zone.in_(of), literal(day, Date)) for day, of in days.items() if day != at.date()
    ]
    today = literal(at.date(), Date)
    return case(*others, else_=today) if others else today


def _flag(condition: ColumnElement[bool], letter: str) -> ColumnElement[str]:
    return case((condition, letter), else_="-")


def _statuses() -> dict[str, str]:
    """The status of each case there is, by the rule of the core; the letters are those of `_facts`."""
    on = date(2000, 1, 2)
    before, after = on - timedelta(days=1), on + timedelta(days=1)
    found: dict[str, str] = {}
    for ended, starts, pause, dunning, trial in product("E-", "S-", "OC-", "D-", "T-"):
        found[ended + starts + pause + dunning + trial] = status(
            on,
            starts_on=after if starts == "S" else before,
            ends_on=on if ended == "E" else None,
            trial_ends_on=after if trial == "T" else None,
            pause={"O": "overdue", "C": "customer", "-": None}[pause],
            is_in_dunning=dunning == "D",
        )
    return found


def _facts(today: ColumnElement[Any]) -> ColumnElement[str]:
    newest = (
        select(func.max(_NEWEST_MAIN.c.item_id))
        .where(
            _NEWEST_MAIN.c.subscription_id == subscriptions.c.subscription_id,
            _NEWEST_MAIN.c.is_add_on.is_(False),
        )
        .correlate(subscriptions)
        .scalar_subquery()
    )
    pause = (
        select(_VERSION.c.pause)
        .where(
            _VERSION.c.item_id == newest,
            _VERSION.c.superseded_at.is_(None),
            _VERSION.c.effective_start <= today,
            or_(_VERSION.c.effective_end.is_(None), _VERSION.c.effective_end > today),
        )
        .limit(1)
        .correlate(subscriptions)
        .scalar_subquery()
    )
    is_dunned = exists().where(dunning_cases.c.customer_id == subscriptions.c.bill_to, IS_DUNNED)
    return (
        _flag(subscriptions.c.ends_on <= today, "E")
        .concat(_flag(subscriptions.c.starts_on > today, "S"))
        .concat(case((pause == "overdue", "O"), (pause.is_not(None), "C"), else_="-"))
        .concat(_flag(is_dunned, "D"))
        .concat(_flag(subscriptions.c.trial_ends_on > today, "T"))
    )


def _wrong_status(store: Store, at: datetime) -> Iterator[Row]:
    """Subscriptions whose stored status is not what the facts say. One whose day has come, and which nothing
    has looked at since, is not wrong but late."""
    today = _today(store, at)
    wanted = case(_statuses(), value=_facts(today))
    statement = (
        select(subscriptions.c.subscription_id, subscriptions.c.status.label("found"), wanted.label("wanted"))
        .join(customers, customers.c.customer_id == subscriptions.c.sold_to)
        .where(
            or_(subscriptions.c.turns_on.is_(None), subscriptions.c.turns_on > today),
            subscriptions.c.status != wanted,
        )
    )
    for page in store.pages(statement):
        yield from page


SUBSCRIPTIONS = (
    Check(
        "subscription_status",
        "subscriptions",
        "The status of a subscription is what its facts say.",
        _wrong_status,
    ),
    Check(
        "subscription_item",
        "subscriptions",
        "A subscription has an item that is no add-on.",
        rows(
            subscriptions,
            ~exists().where(
                _MAIN.c.subscription_id == subscriptions.c.subscription_id, _MAIN.c.is_add_on.is_(False)
            ),
        ),
    ),
    Check(
        "subscription_end",
        "subscriptions",
        "A subscription that ends has a reason.",
        rows(
            subscriptions,
            and_(subscriptions.c.status == "canceled", subscriptions.c.cancel_reason.is_(None)),
            subscriptions.c.cancel_reason,
        ),
    ),
    Check(
        "item_customer",
        "items",
        "An item is of the customer its subscription was sold to.",
        select(items.c.item_id, items.c.customer_id.label("found"), subscriptions.c.sold_to.label("wanted"))
        .join(subscriptions, subscriptions.c.subscription_id == items.c.subscription_id)
        .where(subscriptions.c.sold_to != items.c.customer_id),
    ),
    Check(
        "contract_term",
        "contracts",
        "The running term of a contract is its last one.",
        rows(
            contracts,
            ~exists().where(
                contract_terms.c.contract_id == contracts.c.contract_id,
                contract_terms.c.term_start == contracts.c.term_start,
            ),
            contracts.c.term_start,
        ),
    ),
)

# --- versions ---

_LIVE = (
    select(
        item_versions.c.version_id,
        item_versions.c.effective_start.label("wanted"),
        func.lag(func.coalesce(item_versions.c.effective_end, literal(date.max, Date)))
        .over(
            partition_by=item_versions.c.item_id,
            order_by=(item_versions.c.effective_start, item_versions.c.version_id),
        )
        .label("found"),
    )
    .where(item_versions.c.superseded_at.is_(None))
    .subquery()
)

VERSIONS = (
    Check(
        "version_overlap",
        "item_versions",
        "Live versions of an item never overlap.",
        select(_LIVE.c.version_id, _LIVE.c.found, _LIVE.c.wanted).where(_LIVE.c.found > _LIVE.c.wanted),
    ),
    Check(
        "version_period",
        "item_versions",
        "A version ends after it begins.",
        rows(
            item_versions,
            item_versions.c.effective_end <= item_versions.c.effective_start,
            item_versions.c.effective_end,
        ),
    ),
    Check(
        "version_amounts",
        "item_versions",
        "Neither the quantity nor the amounts of a version are negative.",
        rows(
            item_versions,
            or_(
                item_versions.c.quantity_mantissa < 0,
                item_versions.c.recurring_minor < 0,
                item_versions.c.committed_minimum_minor < 0,
            ),
            item_versions.c.quantity_mantissa,
        ),
    ),
    Check(
        "version_plan",
        "item_versions",
        "A version names a plan that was published.",
        rows(
            item_versions,
            ~exists().where(
                plan_versions.c.plan_id == item_versions.c.plan_id,
                plan_versions.c.version == item_versions.c.plan_version,
            ),
            item_versions.c.plan_id,
        ),
    ),
    Check(
        "version_choice",
        "item_versions",
        "The choice of prices that a version names is kept.",
        dangling(item_versions.c.choice_id, price_choices.c.choice_id),
    ),
    Check(
        "version_price",
        "item_versions",
        "The price that a version names is there.",
        dangling(item_versions.c.price_id, prices.c.price_id),
    ),
)

# --- prices and policies ---

_TIERS = select(
    price_tiers.c.price_id,
    price_tiers.c.position,
    price_tiers.c.up_to,
    price_tiers.c.block_size,
    func.lag(price_tiers.c.up_to)
    .over(partition_by=price_tiers.c.price_id, order_by=price_tiers.c.position)
    .label("before"),
    func.row_number()
    .over(partition_by=price_tiers.c.price_id, order_by=price_tiers.c.position)
    .label("place"),
    func.count().over(partition_by=price_tiers.c.price_id).label("tiers"),
).subquery()
_CHOSEN = aliased(price_choices)

PRICES = (
    Check(
        "price_tiers",
        "price_tiers",
        "The bounds of tiers rise, and only the last is open.",
        select(
            _TIERS.c.price_id,
            _TIERS.c.position,
            _TIERS.c.up_to.label("found"),
            _TIERS.c.before.label("wanted"),
        ).where(
            _TIERS.c.block_size.is_(None),
            or_(
                (_TIERS.c.place == _TIERS.c.tiers) != _TIERS.c.up_to.is_(None),
                _TIERS.c.up_to <= _TIERS.c.before,
            ),
        ),
    ),
    Check(
        "choice_price",
        "price_choices",
        "A choice takes one price for a component.",
        select(_CHOSEN.c.choice_id, _CHOSEN.c.component_id, func.count().label("found"))
        .where(_CHOSEN.c.lost_by.is_(None))
        .group_by(_CHOSEN.c.choice_id, _CHOSEN.c.component_id)
        .having(func.count() > 1),
    ),
    Check(
        "bundle_shares",
        "components",
        "The shares of a bundle are a whole.",
        select(
            components.c.bundle_id.label("component_id"),
            func.sum(components.c.bundle_share_ppm).label("found"),
            literal(1_000_000, BigInteger).label("wanted"),
        )
        .where(components.c.bundle_id.is_not(None), components.c.bundle_id != components.c.component_id)
        .group_by(components.c.bundle_id)
        .having(func.sum(components.c.bundle_share_ppm) != 1_000_000),
    ),
    Check(
        "line_price",
        "line_items",
        "The price that a line names is there.",
        dangling(line_items.c.price_id, prices.c.price_id),
    ),
    Check(
        "line_item",
        "line_items",
        "The item that a line names is there.",
        dangling(line_items.c.item_id, items.c.item_id),
    ),
    Check(
        "line_policy",
        "line_items",
        "The policy that a line was made with is kept.",
        rows(
            line_items,
            ~exists().where(
                policies.c.name == line_items.c.policy_name,
                policies.c.version == line_items.c.policy_version,
            ),
            line_items.c.policy_name,
        ),
    ),
)

# --- time billed ---

_OBLIGATION = (
    line_items.c.item_id,
    line_items.c.component_id,
    line_items.c.kind,
    line_items.c.entry,
    line_items.c.service_start,
    line_items.c.service_end,
    line_items.c.revision,
)


_IS_VOID = exists().where(
    invoices.c.invoice_id == line_items.c.invoice_id,
    invoices.c.state == "void",
    invoices.c.number.is_not(None),
)

_BY_STOCK = exists().where(
    stock_orders.c.item_id == line_items.c.item_id,
    stock_orders.c.component_id == line_items.c.component_id,
    stock_orders.c.reference_start == line_items.c.reference_start,
)
"""What was billed of goods whose stock decides is compared by amount, so a credit is no credit of time."""


def _edges(of: Any, step: int, *where: ColumnElement[bool]) -> Iterator[Select[Any]]:
    """Where time begins and ends to be charged: a step up and a step down. What stood on an invoice that is
    void was taken back with it."""
    lines = line_items if of is line_items else of.join(line_items, line_items.c.line_id == of.c.line_id)
    for name, height in (("service_start", step), ("service_end", -step)):
        yield (
            select(
                line_items.c.item_id,
                line_items.c.component_id,
                of.c[name].label("day"),
                literal(height).label("height"),
            )
            .select_from(lines)
            .where(line_items.c.kind == "recurring", ~_IS_VOID, ~_BY_STOCK, *where)
        )


_EDGES = union_all(
    *_edges(line_items, 1, line_items.c.entry == "charge"),
    *_edges(line_items, -1, line_items.c.entry == "credit"),
    *_edges(credit_note_lines, -1, credit_note_lines.c.kind.is_(None)),
).subquery()
_STEPS = (
    select(_EDGES.c.item_id, _EDGES.c.component_id, _EDGES.c.day, func.sum(_EDGES.c.height).label("height"))
    .group_by(_EDGES.c.item_id, _EDGES.c.component_id, _EDGES.c.day)
    .subquery()
)
_COVERED = select(
    _STEPS.c.item_id,
    _STEPS.c.component_id,
    _STEPS.c.day,
    func.sum(_STEPS.c.height)
    .over(partition_by=(_STEPS.c.item_id, _STEPS.c.component_id), order_by=_STEPS.c.day)
    .label("found"),
).subquery()

TIME = (
    Check(
        "day_charged_twice",
        "line_items",
        "Charges less credits cover a day of service once or not at all.",
        select(
            _COVERED.c.item_id,
            _COVERED.c.component_id,
            _COVERED.c.day,
            cast(_COVERED.c.found, BigInteger).label("found"),
        ).where(_COVERED.c.found.not_in([0, 1])),
    ),
    Check(
        "line_period",
        "line_items",
        "A line's service is within the period its price is for, and not empty.",
        rows(
            line_items,
            or_(
                line_items.c.service_end <= line_items.c.service_start,
                and_(
                    line_items.c.kind == "recurring",
                    or_(
                        line_items.c.service_start < line_items.c.reference_start,
                        line_items.c.service_end > line_items.c.reference_end,
                    ),
                ),
                line_items.c.factor_den <= 0,
                line_items.c.factor_num < 0,
                line_items.c.factor_num > line_items.c.factor_den,
            ),
            line_items.c.service_end,
            line_items.c.service_start,
        ),
    ),
    Check(
        "obligation",
        "line_items",
        "An obligation is billed once.",
        select(*_OBLIGATION, func.count().label("found"))
        .where(line_items.c.item_id.is_not(None))
        .group_by(*_OBLIGATION)
        .having(func.count() > 1),
    ),
)

# --- usage ---

_SNAPSHOT = aliased(usage_snapshots)
# Usage billed early is counted for good at the end of its period, which may come before the line thought.
_IS_EARLY = exists().where(invoices.c.invoice_id == line_items.c.invoice_id, invoices.c.kind == "threshold")
_IS_STILL_DUE = exists().where(
    items.c.item_id == line_items.c.item_id,
    customers.c.customer_id == items.c.customer_id,
    customers.c.next_bill_on <= line_items.c.service_end,
)
_LATER = aliased(usage_snapshots)


def _counts(snapshot: Any, *where: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a billed quantity of the event's item and meter is there."""
    return exists().where(
        snapshot.c.item_id == usage_events.c.item_id,
        snapshot.c.component_id == components.c.component_id,
        components.c.meter_id == usage_events.c.meter_id,
        snapshot.c.last_event_seq >= usage_events.c.seq,
        *where,
    )


USAGE = (
    Check(
        "usage_snapshot",
        "line_items",
        "What a line of usage counted is kept, but of a period that runs and was billed early.",
        rows(
            line_items,
            and_(
                line_items.c.kind == "usage",
                line_items.c.entry == "charge",
                ~and_(_IS_EARLY, _IS_STILL_DUE),
                ~exists().where(
                    _SNAPSHOT.c.item_id == line_items.c.item_id,
                    _SNAPSHOT.c.component_id == line_items.c.component_id,
                    _SNAPSHOT.c.service_start == line_items.c.service_start,
                    or_(_SNAPSHOT.c.service_end == line_items.c.service_end, _IS_EARLY),
                ),
            ),
            line_items.c.component_id,
        ),
    ),
    Check(
        "usage_unbilled",
        "usage_events",
        "Usage that came before a later period was billed is billed too, or says why it is not.",
        rows(
            usage_events,
            and_(
                usage_events.c.unbilled_reason.is_(None),
                _counts(_LATER, _LATER.c.service_start > usage_events.c.occurred_on),
                ~_counts(
                    _SNAPSHOT,
                    _SNAPSHOT.c.service_start <= usage_events.c.occurred_on,
                    # The day a service ends counts to its last period.
                    _SNAPSHOT.c.service_end >= usage_events.c.occurred_on,
                ),
            ),
            usage_events.c.seq,
        ),
    ),
    Check(
        "usage_item",
        "usage_events",
        "Usage is of an item.",
        dangling(usage_events.c.item_id, items.c.item_id),
    ),
)

# --- stock ---

STOCK = (
    Check(
        "stock_order",
        "stock_allocations",
        "What was allocated was ordered.",
        dangling(stock_allocations.c.order_id, stock_orders.c.order_id),
    ),
    Check(
        "stock_put_back",
        "stock_orders",
        "No more is put back of an order than was taken.",
        select(
            stock_allocations.c.order_id,
            stock_allocations.c.kind,
            func.sum(stock_allocations.c.quantity_mantissa).label("found"),
        )
        .where(stock_allocations.c.quantity_scale == 0)
        .group_by(stock_allocations.c.order_id, stock_allocations.c.kind)
        .having(func.sum(stock_allocations.c.quantity_mantissa) < 0),
    ),
)

LIVES = (*CUSTOMERS, *SUBSCRIPTIONS, *VERSIONS, *PRICES, *TIME, *USAGE, *STOCK)
