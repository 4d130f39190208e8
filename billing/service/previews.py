"""What an act would cost: the act and the bill run it leads to are made in a savepoint and taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.jobs.bill_draft import Draft
from billing.jobs.bill_refunds import refunds_of
from billing.jobs.bill_run import preview
from billing.service.customers import customer as customer_row
from billing.store.store import Store


@dataclass(frozen=True, slots=True)
class ChangePreview:
    """The draft an act would cause, and how many statements it took to find out.

    lines: as a bill run would post them. documents: one row an invoice or credit note, with its sums.
    refunds: what would go back to the payments of the customer, of the credit in `documents` (`document`,
    `payment_id`, `amount_minor`, `method_id`). failures: codes that would set the customer aside instead.
    held: documents that purchase orders would hold back, with the code (bill_orders.HELD_SCHEMA); the other
    frames hold them only where they were asked for.
    """

    lines: pl.DataFrame
    documents: pl.DataFrame
    refunds: pl.DataFrame
    failures: pl.DataFrame
    held: pl.DataFrame
    statements: int

    @property
    def total_minor(self) -> int:
        """What would be invoiced, less what would be credited."""
        return int(self.documents["total_minor"].sum()) - int(self.documents["note_total_minor"].sum())


class _TakenBack(Exception):
    """Ends the savepoint of a preview."""


def preview_change(
    store: Store,
    at: datetime,
    act: Callable[[Store, datetime], object],
    *,
    customer_id: str,
    up_to: date | None = None,
    shows_held: bool = False,
) -> ChangePreview:
    """What a run would post for a customer up to a day (their today) if an act were done now.

    act: any act of the service, such as `lambda store, at: change_plan(store, at, subscription_id=…,
    plan_id=…)`. shows_held: show what purchase orders would hold back as well, for its price. Nothing is
    written, a refusal leaves no trace either. Raises what the act raises, and `unknown_customer`,
    `naive_time`.
    """
    if at.tzinfo is None:
        raise BillingError("naive_time", f"{at} has no time zone")
    before = store.statements
    found: Draft | None = None
    try:
        with store.transaction(savepoint=True):
            day = up_to or local_date(at, customer_row(store, customer_id)["time_zone"])
            act(store, at)
            found = preview(store, at, customer_id=customer_id, up_to=day, shows_held=shows_held)
            refunds = refunds_of(store, found.lines)
            raise _TakenBack
    except _TakenBack:
        assert found is not None
    return ChangePreview(
        found.lines, found.documents, refunds, found.failures, found.held, store.statements - before
    )
