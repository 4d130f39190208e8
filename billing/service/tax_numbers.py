"""Whether a customer's tax number is one: asked of a register, and kept with the customer.

A confirmed number moves tax to the customer where the law says so (`tax_number_confirmed_on`), so nobody
says by hand that it is confirmed: a register does, or takes it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.gateways.tax_register import OUTCOMES, TaxAnswer, TaxOutcome, TaxRegister
from billing.service.acts import act
from billing.service.customers import change_customer, customer
from billing.store.store import Row, Store


@dataclass(frozen=True, slots=True)
class TaxCheck:
    """What a register said of a customer's number. `confirmed_on`: since when it counts as confirmed; None
    where it does not."""

    customer_id: str
    tax_number: str
    outcome: TaxOutcome
    source: str
    checked_on: date
    confirmed_on: date | None


def asked(register: TaxRegister, row: Row) -> TaxAnswer:
    """What a register says of the number of a customer (its row). It may take its time: it is asked before a
    transaction begins. Raises `missing_value` without a number."""
    if not row["tax_number"]:
        raise BillingError("missing_value", f"{row['customer_id']} has no tax number", field="tax_number")
    return register.look_up(row["country"], row["tax_number"])


def check_tax_number(store: Store, at: datetime, register: TaxRegister, *, customer_id: str) -> TaxCheck:
    """Ask a register for a customer's number and keep what it says, as `keep_tax_check`. Raises
    `unknown_customer`, `missing_value` without a number."""
    row = customer(store, customer_id)
    return keep_tax_check(store, at, **kept_of(row, asked(register, row)))


def kept_of(row: Row, answer: TaxAnswer) -> dict[str, Any]:
    """What a register said of a customer, as arguments of `keep_tax_check`."""
    facts = {name: row[name] for name in ("customer_id", "country", "tax_number")}
    return facts | answer._asdict()


@act
def keep_tax_check(
    store: Store,
    at: datetime,
    *,
    customer_id: str,
    country: str,
    tax_number: str,
    outcome: TaxOutcome,
    source: str,
) -> TaxCheck:
    """Keep what a register said of a number in a country. Valid: the number is confirmed from today on, where
    it was not yet. Invalid: it is confirmed no more. Unknown: what was known stays.

    Raises `unknown_customer`, `unknown_setting` for an outcome that is none, `illegal_transition` where the
    customer's number or country is another by now.
    """
    if outcome not in OUTCOMES:
        raise BillingError("unknown_setting", f"outcome = {outcome!r}")
    row = customer(store, customer_id)
    if (row["country"], row["tax_number"]) != (country, tax_number):
        raise BillingError("illegal_transition", f"{customer_id} has another tax number by now")
    today = local_date(at, row["time_zone"])
    confirmed_on: date | None = row["tax_number_confirmed_on"]
    if outcome == "valid":
        confirmed_on = confirmed_on or today
    elif outcome == "invalid":
        confirmed_on = None
    change_customer(store, at, customer_id=customer_id, tax_number_confirmed_on=confirmed_on)
    return TaxCheck(customer_id, tax_number, outcome, source, today, confirmed_on)
