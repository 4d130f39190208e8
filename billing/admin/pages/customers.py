"""Customers: found by id, beginning of the name or e-mail address; and one of them, all round."""

from __future__ import annotations

from datetime import datetime

from billing.admin import naming
from billing.admin.acts import ALL
from billing.admin.looks import Ask, Cell, Form, Link, Screen, Section, Table
from billing.admin.pages.invoices import invoice_rows
from billing.admin.pages.subscriptions import subscription_rows
from billing.admin.visit import PAGE_ROWS, Visit, dashboard_page, path_to
from billing.reads import approvals, customers, dunning, invoices, payments, subscriptions, wallets
from billing.reads.page import Page
from billing.store.store import Row, Store
from billing.web.problems import Problem

OVERDUE = ("reminded", "restricted", "suspended", "written_off")
PART_ROWS = 10
"""Rows of each part of a customer's page; the list of the part has the rest."""


def listed(visit: Visit) -> Screen:
    """All customers, or those that are looked for."""
    _ = visit.words.gettext
    sought, overdue = visit.asked("q"), visit.one_of("overdue", OVERDUE)
    after = visit.place("customers", q=sought, overdue=overdue)
    with visit.context.looking() as store:
        found = _found(store, sought, overdue, after)
    rows = [
        [
            visit.data(row["name"], path_to("customers", row["customer_id"])),
            visit.code(row["customer_id"]),
            Cell(visit.words.country(row["country"])),
            Cell(row["currency"]),
            Cell(naming.kind(visit.words, row["collection"])),
            _standing(visit, row),
        ]
        for row in found.rows
    ]
    columns = [_("Name"), _("Id"), _("Country"), _("Currency"), _("Payment"), _("State")]
    states = [("", _("All")), *((one, naming.state_name(visit.words, one)) for one in OVERDUE)]
    filters = Form(
        path_to("customers"),
        _("Find"),
        [
            Ask("q", _("Beginning of the name, id or e-mail address"), sought or "", "search"),
            Ask("overdue", _("Overdue"), overdue or "", "choice", states),
        ],
        "get",
    )
    table = Table(
        _("Customers"),
        columns,
        rows,
        _("There is no such customer."),
        more=visit.following(found, "customers", q=sought, overdue=overdue),
    )
    return Screen(_("Customers"), [Section("", table=table)], filters=filters, current="customers")


def _found(store: Store, sought: str | None, overdue: str | None, after: tuple[object, ...] | None) -> Page:
    if sought is None:
        return customers.customers(store, ALL, after=after, limit=PAGE_ROWS, overdue_state=overdue)
    one = customers.customer_of(store, ALL, customer_id=sought)
    if one is not None:
        return Page([one])
    is_email = "@" in sought
    return customers.customers(
        store,
        ALL,
        after=after,
        limit=PAGE_ROWS,
        overdue_state=overdue,
        name=None if is_email else sought,
        email=sought if is_email else None,
    )


def _standing(visit: Visit, row: Row) -> Cell:
    if row["parked_at"] is not None:
        return visit.badge(visit.words.gettext("set aside"), "bad")
    return naming.state(visit.words, row["overdue_state"])


def one(visit: Visit) -> Screen:
    """A customer: what it owes, what it has, what is the matter."""
    _ = visit.words.gettext
    key = visit.key()
    at = visit.context.now()
    with visit.context.looking() as store:
        row = customers.customer_of(store, ALL, customer_id=key)
        if row is None:
            raise Problem("not_found")
        sections = _parts(visit, store, at, row)
    return Screen(
        row["name"],
        sections,
        links=_links(visit, row),
        back=Link(path_to("customers"), _("Customers")),
        current="customers",
    )


def _links(visit: Visit, row: Row) -> list[Link]:
    _ = visit.words.gettext
    services = visit.context.services
    links = [Link(path_to("audit", customer=row["customer_id"]), _("What was done"))]
    if services.dashboard_url:
        there = dashboard_page(
            services.dashboard_url,
            visit.company,
            visit.words.language,
            "customer",
            customer=row["customer_id"],
        )
        links.append(Link(there, _("In the dashboard"), is_outside=True))
    return links


def _parts(visit: Visit, store: Store, at: datetime, row: Row) -> list[Section]:
    key = row["customer_id"]
    return [
        _about(visit, store, row),
        *_set_aside(visit, row),
        _portal(visit, key),
        _subscriptions(visit, store, at, key),
        _invoices(visit, store, key),
        _payments(visit, store, row),
        _wallets(visit, store, key),
        *_chased(visit, store, key),
        *_waiting(visit, store, key),
    ]


def _about(visit: Visit, store: Store, row: Row) -> Section:
    _ = visit.words.gettext
    sums = invoices.sums_of(store, ALL, customer_ids=[row["customer_id"]], today=visit.today())
    owed = [(_("Open"), visit.money(one["open_minor"], one["currency"])) for one in sums]
    late = [(_("Overdue"), visit.money(one["overdue_minor"], one["currency"])) for one in sums]
    limit = row["credit_limit_minor"]
    facts = [
        (_("Id"), visit.code(row["customer_id"])),
        (_("State"), _standing(visit, row)),
        (_("Country"), Cell(visit.words.country(row["country"]))),
        (_("Currency"), Cell(row["currency"])),
        (_("Payment"), Cell(naming.kind(visit.words, row["collection"]))),
        (_("Tax number"), visit.code(row["tax_number"])),
        (_("Pays"), visit.code(row["bill_to_id"], path_to("customers", row["bill_to_id"]))),
        (_("Credit limit"), visit.money(limit, row["currency"] if limit is not None else None)),
        *(owed or [(_("Open"), visit.money(0, row["currency"]))]),
        *late,
    ]
    if row["parent_id"]:
        facts.append((_("Below"), visit.code(row["parent_id"], path_to("customers", row["parent_id"]))))
    return Section(_("About"), facts)


def _set_aside(visit: Visit, row: Row) -> list[Section]:
    _ = visit.words.gettext
    if row["parked_at"] is None:
        return []
    facts = [
        (_("Since"), Cell(visit.words.moment(row["parked_at"], "UTC"))),
        (_("Why"), Cell(naming.refusal(visit.words, row["parked_code"]))),
        (_("Detail"), visit.data(row["parked_detail"])),
    ]
    links = [Link(path_to("acts", "retry", row["customer_id"]), _("Bill it now…"), "primary")]
    return [Section(_("Set aside by bill runs"), facts, links=links)]


def _portal(visit: Visit, key: str) -> Section:
    _ = visit.words.gettext
    if not visit.context.services.portal_url:
        return Section(_("Portal"), notes=[_("The portal is not served here.")])
    return Section(
        _("Portal"), links=[Link(path_to("customers", key, "portal"), _("As the customer sees it…"))]
    )


def _subscriptions(visit: Visit, store: Store, at: datetime, key: str) -> Section:
    _ = visit.words.gettext
    found = subscriptions.subscriptions_of(store, at, ALL, after=None, limit=PART_ROWS, customer_id=key)
    table = subscription_rows(visit, found, path_to("subscriptions", customer=key))
    return Section(_("Subscriptions"), table=table)


def _invoices(visit: Visit, store: Store, key: str) -> Section:
    _ = visit.words.gettext
    found = invoices.invoices(store, ALL, limit=PART_ROWS, customer_id=key, today=visit.today())
    return Section(_("Invoices"), table=invoice_rows(visit, store, found, path_to("invoices", customer=key)))


def _payments(visit: Visit, store: Store, row: Row) -> Section:
    _ = visit.words.gettext
    found = payments.payments(store, ALL, limit=PART_ROWS, customer_id=row["customer_id"])
    rows = [
        [
            visit.code(one["payment_id"]),
            visit.day(one["received_on"] or one["created_on"]),
            naming.state(visit.words, one["state"]),
            visit.money(one["amount_minor"], one["currency"]),
            Cell(_("Give back…"), path_to("acts", "refund", one["payment_id"]))
            if visit.staff.may_manage and one["state"] == "captured"
            else Cell(""),
        ]
        for one in found.rows
    ]
    columns = [_("Payment"), _("Day"), _("State"), _("Amount"), _("Act")]
    table = Table(_("The last payments"), columns, rows, _("Nothing was paid yet."), frozenset({3}))
    return Section(_("Payments"), table=table)


def _wallets(visit: Visit, store: Store, key: str) -> Section:
    _ = visit.words.gettext
    found = wallets.wallets(store, ALL, after=None, limit=PART_ROWS, customer_id=key)
    rows = [
        [
            visit.data(one["name"]),
            Cell(one["currency"]),
            naming.state(visit.words, "closed" if one["closed_on"] else "open"),
            Cell(_("Close…"), path_to("acts", "close-wallet", one["wallet_id"]))
            if visit.staff.may_manage and one["closed_on"] is None
            else Cell(""),
        ]
        for one in found.rows
    ]
    columns = [_("Wallet"), _("Currency"), _("State"), _("Act")]
    return Section(_("Wallets"), table=Table(_("Wallets"), columns, rows, _("There is no wallet.")))


def _chased(visit: Visit, store: Store, key: str) -> list[Section]:
    _ = visit.words.gettext
    found = dunning.cases(store, ALL, customer_id=key, is_open=True, limit=PART_ROWS)
    if not found.rows:
        return []
    rows = [
        [Cell(naming.track(visit.words, one["track"])), Cell(one["currency"]), visit.day(one["opened_on"])]
        for one in found.rows
    ]
    columns = [_("Track"), _("Currency"), _("Since")]
    return [Section(_("Dunning"), table=Table(_("Open cases"), columns, rows, ""))]


def _waiting(visit: Visit, store: Store, key: str) -> list[Section]:
    _ = visit.words.gettext
    found = approvals.approvals(store, ALL, customer_id=key, state="pending", limit=PART_ROWS)
    if not found.rows:
        return []
    links = [
        Link(
            path_to("acts", "approve", one["approval_id"]), _("Decide {what}").format(what=one["approval_id"])
        )
        for one in found.rows
    ]
    return [Section(_("Waits for approval"), links=links)]
