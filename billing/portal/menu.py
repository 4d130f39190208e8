"""Which pages somebody finds in the menu."""

from __future__ import annotations

from typing import NamedTuple

from billing.portal.visit import PREFIX, Visit


class Entry(NamedTuple):
    href: str
    label: str
    is_current: bool


def menu_of(visit: Visit) -> list[Entry]:
    """The entries for who is here; of a session for one task, none."""
    _ = visit.words.gettext
    if visit.session.task is not None:
        return []
    entries = [
        ("/", _("Overview"), True),
        ("/invoices", _("Invoices"), True),
        ("/usage", _("Usage"), True),
        ("/methods", _("Payment methods"), visit.may("methods") and "hosted" in visit.desk.more),
        ("/purchase-orders", _("Purchase orders"), visit.may("purchase_orders")),
        ("/details", _("Billing details"), True),
        ("/accounts", _("Accounts"), visit.scope.ids is not None and len(visit.scope.ids) > 1),
        ("/users", _("Users"), visit.may("users")),
        ("/requests", _("Approvals"), visit.may("users")),
        ("/history", _("History"), True),
    ]
    here = visit.request.url.path.removeprefix(PREFIX)
    return [Entry(PREFIX + path, label, _is_at(here, path)) for path, label, is_shown in entries if is_shown]


def _is_at(here: str, path: str) -> bool:
    if path == "/":
        return here in ("", "/") or here.startswith(("/subscriptions", "/receipts"))
    if path == "/invoices" and here.startswith("/credit-notes"):
        return True
    return here == path or here.startswith(f"{path}/")
