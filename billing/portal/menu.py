"""Which pages somebody finds in the menu."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from billing.portal.terms import N_
from billing.portal.visit import PREFIX, Visit
from billing.web.languages import Words

_PAGES = (
    ("/", N_("Overview")),
    ("/invoices", N_("Invoices")),
    ("/usage", N_("Usage")),
    ("/credit", N_("Credit")),
    ("/methods", N_("Payment methods")),
    ("/purchase-orders", N_("Purchase orders")),
    ("/details", N_("Billing details")),
    ("/accounts", N_("Accounts")),
    ("/users", N_("Users")),
    ("/requests", N_("Approvals")),
    ("/history", N_("History")),
)
_NOT_FOR_ALL = frozenset(("/methods", "/purchase-orders", "/accounts", "/users", "/requests"))


class Entry(NamedTuple):
    href: str
    label: str
    is_current: bool


def menu_of(visit: Visit) -> list[Entry]:
    """The entries for who is here; of a session for one task, none."""
    if visit.session.task is not None:
        return []
    shown = {
        "/methods": visit.may("methods") and "hosted" in visit.desk.more,
        "/purchase-orders": visit.may("purchase_orders"),
        "/accounts": visit.scope.ids is not None and len(visit.scope.ids) > 1,
        "/users": visit.may("users"),
        "/requests": visit.may("users"),
    }
    hidden = {path for path in _NOT_FOR_ALL if not shown[path]}
    return _entries(visit.words, visit.request.url.path, hidden)


def plain_menu(words: Words, path: str) -> list[Entry]:
    """The entries that everybody finds, for a page that does not ask who is here."""
    return _entries(words, path, _NOT_FOR_ALL)


def _entries(words: Words, path: str, hidden: Collection[str]) -> list[Entry]:
    here = path.removeprefix(PREFIX)
    return [
        Entry(PREFIX + one, words.gettext(label), _is_at(here, one))
        for one, label in _PAGES
        if one not in hidden
    ]


def _is_at(here: str, path: str) -> bool:
    if path == "/":
        return here in ("", "/") or here.startswith(("/subscriptions", "/receipts"))
    if path == "/invoices" and here.startswith("/credit-notes"):
        return True
    return here == path or here.startswith(f"{path}/")
