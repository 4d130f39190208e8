"""Alerts of single accounts: who came to high risk, and whose notice ends soon.

A reader is told of the accounts that they may see: a customer-success manager of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dashboard.pack import content
from dashboard.pack.content import Section
from dashboard.queries import churn, renewals
from dashboard.view import Published, View

PAGES = {"newly_high": "churn", "notice_soon": "renewals"}
"""The page that has the accounts of each event."""
SECTIONS: Mapping[str, Callable[[View, Published], Section]] = {
    "newly_high": content.newly_high,
    "notice_soon": content.notice_soon,
}
MOST = 1_000
"""Of so many accounts an alert keeps whom it has told of."""


def open_to(view: View) -> list[str]:
    """The events whose page the reader's roles open."""
    return [event for event, page in PAGES.items() if view.may_open(page)]


def keys(published: Published, event: str) -> Sequence[str]:
    """What tells the accounts apart that an event stands for now."""
    if event == "newly_high":
        found: list[str] = published.rows(churn.NEWLY_HIGH, limit=MOST)["customer_id"].to_list()
        return found
    rows = published.rows(
        renewals.NOTICE_SOON, as_of=published.build.as_of, days=content.NOTICE_DAYS, limit=MOST
    )
    return [f"{term} {due_on}" for term, due_on in rows.select("subscription_id", "due_on").iter_rows()]


def said(view: View, event: str, count: int) -> str:
    """That so many accounts are new among those of an event."""
    ngettext = view.text.ngettext
    if event == "newly_high":
        words = ngettext("{count} customer came to high risk", "{count} customers came to high risk", count)
    else:
        words = ngettext("{count} notice ends soon", "{count} notices end soon", count)
    return words.format(count=view.show.number(count))
