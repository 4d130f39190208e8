"""Who reads: the one value that pages, queries and records ask about a person."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.people import permissions


@dataclass(frozen=True)
class Reader:
    """A person who looks at one company.

    `owner` is the name by which the warehouse knows whose accounts they look after; None for nobody's.
    """

    reader_id: str
    name: str
    roles: frozenset[str]
    owner: str | None = None

    def may(self, permission: str) -> bool:
        return permissions.allows(self.roles, permission)

    def may_open(self, page: str) -> bool:
        return page in permissions.pages_of(self.roles)


LOCAL = Reader("local", "Local reader", frozenset(permissions.ROLES))
"""Whoever sits at this machine, where no sign-in is set up: the server then listens to this machine only."""
NOBODY = Reader("nobody", "Nobody", frozenset())
"""Nobody in particular: no page, no permission, no row."""
