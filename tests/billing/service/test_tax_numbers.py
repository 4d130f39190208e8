"""Tax numbers: their form, what a register says of them, and when they count as confirmed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from billing.core.money import BillingError
from billing.gateways.tax_register import FormRegister, TaxAnswer, TaxOutcome, is_well_formed
from billing.service.customers import change_customer, customer
from billing.service.tax_numbers import check_tax_number, keep_tax_check
from billing.store.store import Store

AT = datetime(2025, 3, 10, 12, tzinfo=UTC)
NUMBER = "DE136695976"


class Register:
    """Says the same of every number, and remembers what it was asked."""

    def __init__(self, outcome: TaxOutcome) -> None:
        self.outcome, self.asked = outcome, list[tuple[str, str]]()

    def look_up(self, country: str, tax_number: str) -> TaxAnswer:
        self.asked.append((country, tax_number))
        return TaxAnswer(self.outcome, "vies")


@pytest.mark.parametrize(
    ("country", "number", "expected"),
    [
        # Examples of the tax authorities; the second of a pair has one digit changed.
        ("DE", "DE136695976", True),
        ("DE", "136695976", True),
        ("DE", "DE 136 695 976", True),
        ("DE", "DE136695977", False),
        ("GR", "EL094259216", True),
        ("FR", "FR40303265045", True),
        ("FR", "FR41303265045", False),
        ("NL", "NL004495445B01", True),
        ("GB", "GB980780684", True),
        ("GB", "XI980780684", True),
        ("CH", "CHE-107.787.577 IVA", True),
        ("NO", "NO 995 525 828 MVA", True),
        ("DE", "FR40303265045", False),
        ("DE", "", False),
        ("DE", "DE١٣٦٦٩٥٩٧٦", False),
        ("DE", "DE136695976\x00", False),
        ("US", "12-3456789", None),
        ("AE", "100123456700003", None),
    ],
)
def test_a_number_has_the_form_of_its_country(country: str, number: str, expected: bool | None) -> None:
    assert is_well_formed(country, number) is expected


def test_a_right_form_is_no_confirmation_unless_the_merchant_says_so() -> None:
    assert FormRegister().look_up("DE", NUMBER) == ("unknown", "form")
    assert FormRegister(trusts_form=True).look_up("DE", NUMBER) == ("valid", "form")
    for register in (FormRegister(), FormRegister(trusts_form=True)):
        assert register.look_up("DE", "DE1").outcome == "invalid"
        assert register.look_up("US", "12-3456789").outcome == "unknown"


def confirmed_on(store: Store) -> date | None:
    found: date | None = customer(store, "anna")["tax_number_confirmed_on"]
    return found


def test_a_number_is_confirmed_taken_back_and_left_alone(company: Store) -> None:
    change_customer(company, AT, customer_id="anna", tax_number=NUMBER)
    register = Register("valid")
    found = check_tax_number(company, AT, register, customer_id="anna")
    assert register.asked == [("DE", NUMBER)]
    assert (found.outcome, found.source, found.confirmed_on) == ("valid", "vies", date(2025, 3, 10))
    later = datetime(2025, 4, 1, tzinfo=UTC)
    assert check_tax_number(company, later, register, customer_id="anna").confirmed_on == date(2025, 3, 10)
    assert check_tax_number(company, later, Register("unknown"), customer_id="anna").outcome == "unknown"
    assert confirmed_on(company) == date(2025, 3, 10)
    check_tax_number(company, later, Register("invalid"), customer_id="anna")
    assert confirmed_on(company) is None


def test_another_number_or_country_is_not_confirmed_by_the_check_of_the_one_before(company: Store) -> None:
    for change in ({"tax_number": "DE811569869"}, {"country": "AT"}):
        change_customer(company, AT, customer_id="anna", country="DE", tax_number=NUMBER)
        check_tax_number(company, AT, Register("valid"), customer_id="anna")
        change_customer(company, AT, customer_id="anna", name="Anna AG")
        assert confirmed_on(company) == date(2025, 3, 10)
        change_customer(company, AT, customer_id="anna", **change)
        assert confirmed_on(company) is None


def test_what_is_said_of_a_number_that_changed_meanwhile_is_not_kept(company: Store) -> None:
    change_customer(company, AT, customer_id="anna", tax_number="DE811569869")
    about: dict[str, Any] = {
        "customer_id": "anna",
        "country": "DE",
        "tax_number": NUMBER,
        "source": "vies",
    }
    with pytest.raises(BillingError, match="illegal_transition"):
        keep_tax_check(company, AT, **about, outcome="valid")
    with pytest.raises(BillingError, match="unknown_setting"):
        keep_tax_check(company, AT, **about, outcome="perhaps")
    assert confirmed_on(company) is None


def test_nobody_is_asked_for_no_number(company: Store) -> None:
    register = Register("valid")
    with pytest.raises(BillingError, match="missing_value"):
        check_tax_number(company, AT, register, customer_id="anna")
    with pytest.raises(BillingError, match="unknown_customer"):
        check_tax_number(company, AT, register, customer_id="nobody")
    assert register.asked == []
