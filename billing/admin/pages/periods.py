"""The months of the books: which are closed, and closing the next."""

from __future__ import annotations

from datetime import date

from billing.admin.acts import ALL
from billing.admin.looks import Cell, Screen, Section, Table
from billing.admin.visit import PAGE_ROWS, Visit, path_to
from billing.core.calendar import add_months
from billing.reads import books, catalog
from billing.store.store import Row, Store

MONTHS = 12


def listed(visit: Visit) -> Screen:
    """The last months of each seller."""
    _ = visit.words.gettext
    first = visit.today().replace(day=1)
    months = [add_months(first, -back) for back in range(1, MONTHS + 1)]
    with visit.context.looking() as store:
        sellers = catalog.legal_entities(store, ALL, after=None, limit=PAGE_ROWS).rows
        sections = [_of(visit, store, one, months) for one in sellers]
    return Screen(_("Books"), sections, current="periods")


def _of(visit: Visit, store: Store, seller: Row, months: list[date]) -> Section:
    _ = visit.words.gettext
    key = seller["entity_id"]
    found = [books.period(store, entity_id=key, month=month) for month in months]
    rows = [
        [
            Cell(f"{month:%Y-%m}", is_code=True),
            visit.badge(_("closed"), "good") if one["locked_at"] else visit.badge(_("open")),
            Cell("")
            if one["locked_at"] or not visit.staff.may_manage
            else Cell(_("Close it…"), path_to("acts", "lock-month", f"{key}:{month:%Y-%m}")),
        ]
        for month, one in zip(months, found, strict=True)
    ]
    table = Table(_("The last months"), [_("Month"), _("State"), _("Act")], rows, "")
    return Section(seller["name"], table=table)
