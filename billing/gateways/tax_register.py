"""What the engine asks of a register of tax numbers, and one that knows only how numbers are written.

A register may be away or not know a country: that is `unknown`, and changes nothing of the customer.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, TypeAlias

from stdnum.eu import vat as _eu
from stdnum.exceptions import ValidationError
from stdnum.util import clean, get_cc_module

TaxOutcome: TypeAlias = Literal["valid", "invalid", "unknown"]
OUTCOMES = ("valid", "invalid", "unknown")


class TaxAnswer(NamedTuple):
    """What a register says of a number. `source`: who says it, such as `form` or `vies`."""

    outcome: TaxOutcome
    source: str


class TaxRegister(Protocol):
    """A register of tax numbers."""

    def look_up(self, country: str, tax_number: str) -> TaxAnswer:
        """Whether a number belongs to somebody in a country (ISO 3166 alpha-2). It does not raise where the
        register is away: the answer is then `unknown`."""
        ...


def is_well_formed(country: str, tax_number: str) -> bool | None:
    """Whether a number has the form and the check digits of its country; None where nobody knows the rules.
    A number of another country of the European Union is not well formed."""
    compact = clean(tax_number, " -./,").upper().strip()
    if not compact.isascii() or not compact.isalnum():
        return False
    member = "xi" if country == "GB" and compact.startswith("XI") else country.lower()
    try:
        if member in _eu.MEMBER_STATES:
            prefix = "EL" if member == "gr" else member.upper()
            _eu.validate(compact if compact.startswith(prefix) else prefix + compact)
            return True
        rules = get_cc_module(country.lower(), "vat")
        if rules is None:
            return None
        rules.validate(compact)
    except ValidationError:
        return False
    return True


class FormRegister:
    """Knows how numbers are written, not who has one: a wrong form is `invalid`, a right one `unknown`.

    trusts_form: call a number of the right form `valid`, for sandboxes and for merchants who check their
    customers themselves.
    """

    def __init__(self, *, trusts_form: bool = False) -> None:
        self._right: TaxOutcome = "valid" if trusts_form else "unknown"

    def look_up(self, country: str, tax_number: str) -> TaxAnswer:
        """See TaxRegister.look_up."""
        is_right = is_well_formed(country, tax_number)
        if is_right is None:
            return TaxAnswer("unknown", "form")
        return TaxAnswer(self._right if is_right else "invalid", "form")
