"""What routes of customers' things share: how a row is shown, and whose it has to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from billing.core.money import BillingError
from billing.reads.page import Page
from billing.web.as_json import members
from billing.web.context import Context
from billing.web.problems import Problem


def resource(kind: str, found: Any) -> dict[str, Any] | None:
    """A row or dataclass with the name of what it is; None for None."""
    if found is None:
        return None
    shown = found if isinstance(found, Mapping) else members(found)
    assert isinstance(shown, Mapping)
    return {"object": kind} | dict(shown)


def listed(kind: str, page: Page) -> Page:
    """A page of rows, each with the name of what it is."""
    return Page([{"object": kind} | row for row in page.rows], page.after)


def located(path: str, key: str) -> Callable[[Mapping[str, Any]], str]:
    """Where something is found that was made: its key below a path of the API."""
    return lambda shown: f"/v1/{path}/{quote(str(shown[key]), safe='')}"


def owned(context: Context, customer_id: str | None, field: str | None = None) -> None:
    """Raises `unknown_customer` for a customer that is not the caller's, as for one that is not there.
    `field`: the member of the body that names it. Nobody (None) is everybody's."""
    if customer_id is not None and not context.scope.holds(customer_id):
        raise BillingError("unknown_customer", customer_id, field=field)


def merchants(context: Context) -> None:
    """Raises Problem `scope_missing` for a caller that is bound to customers."""
    if context.scope.ids is not None:
        raise Problem("scope_missing", "only the merchant may do this")
