"""What each role may open and do. The one table of it: pages, queries and exports ask here.

A reader may do what any of their roles allows. Which rows a reader sees, scope.py decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ADMIN = "admin"
OWN_ACCOUNTS = "csm"
"""The one role that sees only the accounts of its owner."""

PERMISSIONS = frozenset(
    {
        "export",  # take rows away as a file
        "sql",  # ask the warehouse in one's own words
        "write_targets",  # targets, and annotations on dates
        "write_actions",  # the work on accounts: assign, snooze, contact, outcome, notes
        "see_names",  # customers by name, their contacts, and what was written about them
        "share_views",  # saved views and queries for the whole team
        "manage_people",  # who may sign in, and what broke in detail
        "bill",  # the billing engine: runs, documents, catalogue, previews
    }
)
GROUPS: Mapping[str, tuple[str, ...]] = {
    "executives": ("revenue", "retention", "cash", "forecast"),
    "success": ("churn", "renewals", "customer"),
    "analysts": ("workbench", "metrics", "health"),
    "growth": ("opportunity",),
    "billing": ("runs", "documents", "catalogue", "whatif"),
}
"""The pages of the side list, in its order."""
PAGES = tuple(page for pages in GROUPS.values() for page in pages)
FIGURES = frozenset((*GROUPS["executives"], *GROUPS["success"], "metrics", "health", "opportunity"))


@dataclass(frozen=True)
class Role:
    """What one role allows. `landing` is the page its readers begin with."""

    permissions: frozenset[str]
    pages: frozenset[str]
    landing: str


ROLES: Mapping[str, Role] = {
    "executive": Role(
        frozenset({"export", "write_targets", "see_names", "share_views"}), FIGURES | {"documents"}, "revenue"
    ),
    "cs_manager": Role(
        frozenset({"export", "write_actions", "see_names", "share_views"}), FIGURES | {"documents"}, "churn"
    ),
    OWN_ACCOUNTS: Role(
        frozenset({"export", "write_actions", "see_names"}),
        frozenset({"churn", "renewals", "customer", "documents", "metrics"}),
        "churn",
    ),
    "analyst": Role(frozenset({"export", "sql", "share_views"}), FIGURES | {"workbench"}, "workbench"),
    "finance": Role(
        frozenset({"export", "write_targets", "see_names", "share_views", "bill"}),
        FIGURES | set(GROUPS["billing"]),
        "cash",
    ),
    ADMIN: Role(PERMISSIONS, frozenset(PAGES), "revenue"),
}
"""By precedence: a reader with several roles begins where the first of them does."""


def allows(roles: Iterable[str], permission: str) -> bool:
    """Whether any of these roles gives a permission. Raises KeyError for a permission that does not exist."""
    if permission not in PERMISSIONS:
        raise KeyError(permission)
    return any(permission in ROLES[role].permissions for role in roles if role in ROLES)


def pages_of(roles: Iterable[str]) -> frozenset[str]:
    """The pages that any of these roles opens."""
    return frozenset().union(*(ROLES[role].pages for role in roles if role in ROLES))


def landing_of(roles: Iterable[str]) -> str | None:
    """The page these roles begin with; None without a role."""
    own = frozenset(roles)
    return next((role.landing for name, role in ROLES.items() if name in own), None)
