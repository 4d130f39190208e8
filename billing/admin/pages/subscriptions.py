"""Subscriptions: listed by customer or state, and one with its items and what is ahead of it."""

from __future__ import annotations

from typing import Any

from billing.admin import naming
from billing.admin.acts import ALL
from billing.admin.looks import Ask, Cell, Form, Link, Screen, Section, Table
from billing.admin.visit import PAGE_ROWS, Visit, path_to
from billing.core.subscription import Item
from billing.reads import subscriptions
from billing.reads.page import Page
from billing.store.subscriptions import Standing
from billing.web.problems import Problem

STATUSES = ("active", "trialing", "past_due", "paused", "suspended", "scheduled", "canceled")


def listed(visit: Visit) -> Screen:
    """All subscriptions, of a customer or in a state."""
    _ = visit.words.gettext
    customer_id, status = visit.asked("customer"), visit.one_of("status", STATUSES)
    after = visit.place("subscriptions", customer=customer_id, status=status)
    with visit.context.looking() as store:
        found = subscriptions.subscriptions_of(
            store,
            visit.context.now(),
            ALL,
            after=after,
            limit=PAGE_ROWS,
            customer_id=customer_id,
            status=status,
        )
    more = visit.following(found, "subscriptions", customer=customer_id, status=status)
    options = [("", _("All")), *((one, naming.state_name(visit.words, one)) for one in STATUSES)]
    filters = Form(
        path_to("subscriptions"),
        _("Show"),
        [
            Ask("customer", _("Customer id"), customer_id or "", "search", is_code=True),
            Ask("status", _("State"), status or "", "choice", options),
        ],
        "get",
    )
    table = subscription_rows(visit, found, more)
    return Screen(_("Subscriptions"), [Section("", table=table)], filters=filters, current="subscriptions")


def subscription_rows(visit: Visit, found: Page, more: str | None) -> Table:
    """Some subscriptions as a table; `more` leads on where there are others."""
    _ = visit.words.gettext
    rows = [_row(visit, row["standing"]) for row in found.rows]
    columns = [_("Subscription"), _("Customer"), _("Plan"), _("State"), _("Since"), _("Each interval")]
    return Table(
        _("Subscriptions, the newest first"),
        columns,
        rows,
        _("There is no such subscription."),
        frozenset({5}),
        more if found.after is not None else None,
    )


def _row(visit: Visit, of: Standing) -> list[Cell]:
    held, currency = of.subscription, of.customer["currency"]
    current = [version for item in held.items if (version := item.version_on(of.today)) is not None]
    key = held.subscription_id
    return [
        visit.code(key, path_to("subscriptions", key)),
        visit.code(held.sold_to, path_to("customers", held.sold_to)),
        visit.code(", ".join(one.plan_id for one in current) or None),
        naming.state(visit.words, of.status),
        visit.day(held.starts_on),
        visit.money(sum(one.recurring_minor for one in current), currency),
    ]


def one(visit: Visit) -> Screen:
    """A subscription with its items."""
    _ = visit.words.gettext
    key = visit.key()
    with visit.context.looking() as store:
        row = subscriptions.subscription_of(store, visit.context.now(), ALL, subscription_id=key)
    if row is None:
        raise Problem("not_found")
    of: Standing = row["standing"]
    held = of.subscription
    facts = [
        (_("State"), naming.state(visit.words, of.status)),
        (_("Customer"), visit.code(held.sold_to, path_to("customers", held.sold_to))),
        (_("Pays"), visit.code(held.bill_to, path_to("customers", held.bill_to))),
        (_("Contract"), visit.code(held.contract_id)),
        (_("Since"), visit.day(held.starts_on)),
        (_("Ends"), visit.day(held.ends_on)),
    ]
    is_over = of.status == "canceled"
    links = (
        []
        if is_over or not visit.staff.may_manage
        else [Link(path_to("acts", "cancel-now", key), _("End it today…"), "danger")]
    )
    return Screen(
        key,
        [Section(_("About"), facts, links=links), _items(visit, of), _ahead(visit, of)],
        back=Link(path_to("subscriptions"), _("Subscriptions")),
        current="subscriptions",
    )


def _items(visit: Visit, of: Standing) -> Section:
    _ = visit.words.gettext
    rows = [_item(visit, item, of) for item in of.subscription.items]
    columns = [_("Item"), _("Plan"), _("Quantity"), _("Each interval"), _("Ended")]
    return Section(
        _("Items"),
        table=Table(_("What it is made of today"), columns, rows, _("It has no items."), frozenset({2, 3})),
    )


def _item(visit: Visit, item: Item, of: Standing) -> list[Cell]:
    version: Any = item.version_on(of.today)
    return [
        visit.code(item.item_id),
        visit.code(version.plan_id if version else None),
        Cell(visit.words.decimal(version.quantity) if version else "–"),
        visit.money(version.recurring_minor if version else None, of.customer["currency"]),
        visit.day(item.ended_on),
    ]


def _ahead(visit: Visit, of: Standing) -> Section:
    _ = visit.words.gettext
    rows = [
        [
            visit.day(one.on),
            visit.code(one.item_id),
            Cell(naming.change(visit.words, one.reason)),
            visit.code(one.plan_id),
            visit.money(one.recurring_minor, of.customer["currency"]),
        ]
        for one in subscriptions.changes_ahead(of)
    ]
    columns = [_("Day"), _("Item"), _("Why"), _("Plan"), _("Each interval")]
    return Section(
        _("Ahead"),
        table=Table(_("What is to change"), columns, rows, _("Nothing is to change."), frozenset({4})),
    )
