"""Where a task begins, for a link that leads straight to it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote

_OF_TARGET: Mapping[str, str] = MappingProxyType(
    {
        "change_plan": "/subscriptions/{}/plan",
        "change_seats": "/subscriptions/{}/seats",
        "add_ons": "/subscriptions/{}/add-on",
        "pause": "/subscriptions/{}/pause",
        "resume": "/subscriptions/{}/resume",
        "cancel": "/subscriptions/{}/cancel",
        "reactivate": "/subscriptions/{}/reactivate",
        "pay": "/invoices/{}",
        "top_up": "/credit/{}/top-up",
    }
)
_ALONE: Mapping[str, str] = MappingProxyType(
    {
        "methods": "/methods",
        "details": "/details",
        "tax_number": "/details",
        "purchase_orders": "/purchase-orders",
        "users": "/users",
        "pay": "/invoices",
    }
)
TASKS = tuple(sorted({*_OF_TARGET, *_ALONE}))
"""Tasks that a link may lead to."""


def first_page(task: str | None, target: str | None) -> str:
    """The page of a task, below the prefix, `/` where it has none; `target`: the subscription, invoice or
    wallet it is about."""
    if task is not None and task in _OF_TARGET and target:
        return _OF_TARGET[task].format(quote(target, safe=""))
    return _ALONE.get(task or "", "/")
