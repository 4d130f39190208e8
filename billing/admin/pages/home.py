"""The first screen: what waits for somebody, and how the last bill run ended."""

from __future__ import annotations

from sqlalchemy import select

from billing.admin import naming
from billing.admin.acts import ALL
from billing.admin.looks import Cell, Link, Screen, Section
from billing.admin.visit import Visit, dashboard_page, path_to
from billing.reads import approvals, dunning, invoices
from billing.store.store import Row
from billing.store.tables import audit_log, billing_runs

MOST = 100
"""Beyond so many that wait nobody counts them for a look."""
_OF_SOME = (
    select(audit_log.c.entry_id)
    .where(audit_log.c.subject_id == billing_runs.c.run_id, audit_log.c.act == "retry")
    .exists()
)
"""A run that billed customers set aside, not everybody."""
_LAST_RUN = select(billing_runs).where(~_OF_SOME).order_by(billing_runs.c.run_id.desc()).limit(1)


def first(visit: Visit) -> Screen:
    _ = visit.words.gettext
    with visit.context.looking() as store:
        waits = [
            (_("Set aside by bill runs"), "parked", len(approvals.parked(store, ALL, limit=MOST).rows)),
            (
                _("Waits for approval"),
                "approvals",
                len(approvals.approvals(store, ALL, state="pending", limit=MOST).rows),
            ),
            (_("Is chased"), "dunning", len(dunning.cases(store, ALL, is_open=True, limit=MOST).rows)),
        ]
        counts = invoices.counts(store, ALL, today=visit.today())
        run = store.row(_LAST_RUN)
    sections = [
        Section(
            _("What waits for you"),
            [(name, _number(visit, number, path_to(page))) for name, page, number in waits],
        ),
        Section(_("Invoices"), [_counted(visit, row) for row in counts]),
        _run(visit, run),
    ]
    return Screen(_("Overview"), sections, links=_elsewhere(visit), current="home")


def _number(visit: Visit, number: int, href: str) -> Cell:
    text = visit.words.decimal(number)
    return Cell(f"{text}+" if number == MOST else text, href)


def _counted(visit: Visit, row: Row) -> tuple[str, Cell]:
    is_note = row["state"] == "credit_note"
    name = (
        naming.kind(visit.words, "credit_note") if is_note else naming.state_name(visit.words, row["state"])
    )
    text = visit.words.decimal(row["documents"]) + ("+" if row["is_more"] else "")
    if row["open_minor"] is not None and row["currency"]:
        text = f"{text} · {visit.words.money(row['open_minor'], row['currency'])}"
    return name, Cell(text, None if is_note else path_to("invoices", state=row["state"]))


def _run(visit: Visit, run: Row | None) -> Section:
    _ = visit.words.gettext
    if run is None:
        return Section(_("The last bill run"), notes=[_("None was made yet.")])
    facts = [
        (_("State"), naming.state(visit.words, run["state"])),
        (_("Up to"), visit.day(run["up_to"])),
        (_("Began"), Cell(visit.words.moment(run["started_at"], "UTC"))),
        (_("Run"), visit.code(run["run_id"])),
    ]
    return Section(_("The last bill run"), facts)


def _elsewhere(visit: Visit) -> list[Link]:
    _ = visit.words.gettext
    services, links = visit.context.services, []
    if services.dashboard_url:
        there = dashboard_page(services.dashboard_url, visit.company, visit.words.language)
        links.append(Link(there, _("Dashboard"), is_outside=True))
    if services.portal_url:
        links.append(Link(services.portal_url, _("Customer portal"), is_outside=True))
    return links
