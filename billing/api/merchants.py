"""What the merchant alone may do, however strong the key of a customer is."""

from __future__ import annotations

from billing.web.context import Context
from billing.web.problems import Problem


def of_the_merchant(context: Context) -> None:
    """Raises Problem `scope_missing` for a caller who is bound to a customer."""
    if context.caller.customer_id is not None:
        raise Problem("scope_missing", "it is for the merchant to do")
