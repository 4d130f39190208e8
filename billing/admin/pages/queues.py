"""What waits for somebody: money that is chased, customers set aside, orders that need a word."""

from __future__ import annotations

from billing.admin import naming
from billing.admin.acts import ALL
from billing.admin.looks import Ask, Cell, Form, Screen, Section, Table
from billing.admin.visit import PAGE_ROWS, Visit, path_to
from billing.reads import approvals, dunning
from billing.store.store import Row


def dunned(visit: Visit) -> Screen:
    """Open dunning cases by their next step, and payments that are tried again."""
    _ = visit.words.gettext
    after = visit.place("tried")
    with visit.context.looking() as store:
        queue = dunning.queue(store, ALL, today=visit.today(), limit=PAGE_ROWS)
        tried = dunning.tried_again(store, ALL, after=after, limit=PAGE_ROWS)
    cases = Table(
        _("Open cases, the next act first"),
        [_("Customer"), _("Track"), _("Since"), _("Last act"), _("Next act"), _("On"), _("Overdue")],
        [_case(visit, row) for row in queue],
        _("Nobody is chased."),
        frozenset({6}),
    )
    again = Table(
        _("Charges that are tried again, the next first"),
        [_("Customer"), _("Invoice"), _("Attempts"), _("Declined as"), _("Next"), _("Amount")],
        [_again(visit, row) for row in tried.rows],
        _("No charge waits."),
        frozenset({2, 5}),
        visit.following(tried, "tried"),
    )
    return Screen(
        _("Dunning"),
        [Section(_("Cases"), table=cases), Section(_("Charges"), table=again)],
        current="dunning",
    )


def _case(visit: Visit, row: Row) -> list[Cell]:
    return [
        visit.data(row["name"], path_to("customers", row["customer_id"])),
        Cell(naming.track(visit.words, row["track"])),
        visit.day(row["opened_on"]),
        Cell(naming.last_step(visit.words, row["last_step"])),
        Cell(naming.step(visit.words, row["next_step"])),
        visit.day(row["next_on"]),
        visit.money(row["open_minor"], row["currency"]),
    ]


def _again(visit: Visit, row: Row) -> list[Cell]:
    return [
        visit.data(row["name"], path_to("customers", row["customer_id"])),
        visit.code(row["number"], path_to("invoices", row["invoice_id"]) if row["invoice_id"] else None),
        Cell(visit.words.decimal(row["attempt"])),
        Cell(naming.decline(visit.words, row["decline_code"])),
        Cell(visit.words.moment(row["next_attempt_at"], "UTC")),
        visit.money(row["amount_minor"], row["currency"]),
    ]


def parked(visit: Visit) -> Screen:
    """Customers that bill runs leave aside, and why."""
    _ = visit.words.gettext
    after = visit.place("parked")
    with visit.context.looking() as store:
        found = approvals.parked(store, ALL, after=after, limit=PAGE_ROWS)
    rows = [
        [
            visit.data(row["name"], path_to("customers", row["customer_id"])),
            Cell(naming.refusal(visit.words, row["code"])),
            visit.data(row["detail"]),
            Cell(visit.words.moment(row["parked_at"], "UTC")),
            Cell(_("Bill it now…"), path_to("acts", "retry", row["customer_id"])),
        ]
        for row in found.rows
    ]
    table = Table(
        _("Customers that bill runs leave aside until they are billed again"),
        [_("Customer"), _("Why"), _("Detail"), _("Since"), _("Act")],
        rows,
        _("Nobody is set aside."),
        more=visit.following(found, "parked"),
    )
    return Screen(_("Set aside"), [Section("", table=table)], current="parked")


def approvals_asked(visit: Visit) -> Screen:
    """Orders over a limit, hand-overs and write-offs that wait for a word, or were decided."""
    _ = visit.words.gettext
    state = visit.one_of("state", approvals.STATES) or "pending"
    after = visit.place("approvals", state=state)
    with visit.context.looking() as store:
        found = approvals.approvals(store, ALL, after=after, limit=PAGE_ROWS, state=state)
    options = [(one, naming.state_name(visit.words, one)) for one in approvals.STATES]
    filters = Form(
        path_to("approvals"), _("Show"), [Ask("state", _("State"), state, "choice", options)], "get"
    )
    table = Table(
        _("Approvals"),
        [
            *(_("Approval"), _("Kind"), _("Customer"), _("Asked"), _("Why"), _("What"), _("Decided by")),
            *(_("Approve"), _("Reject")),
        ],
        [_approval(visit, row) for row in found.rows],
        _("Nothing waits for a word."),
        more=visit.following(found, "approvals", state=state),
    )
    return Screen(_("Approvals"), [Section("", table=table)], filters=filters, current="approvals")


def _approval(visit: Visit, row: Row) -> list[Cell]:
    _ = visit.words.gettext
    details = row["details"]
    order = details.get("order") or {}
    is_pending = row["state"] == "pending"
    words = [(_("Approve…"), "approve"), (_("Reject…"), "reject")]
    return [
        visit.code(row["approval_id"]),
        Cell(naming.kind(visit.words, row["kind"])),
        visit.code(row["customer_id"], path_to("customers", row["customer_id"])),
        visit.day(row["proposed_on"]),
        Cell(naming.refusal(visit.words, details.get("code"))),
        Cell(naming.order(visit.words, order.get("act"))),
        visit.data(row["decided_by"]) if row["decided_by"] else Cell("–"),
        *(
            Cell(word, path_to("acts", act, row["approval_id"])) if is_pending else Cell("")
            for word, act in words
        ),
    ]
