"""An invoice or a credit note as it is sent: every fact on it, no layout and no language.

Amounts are whole minor units of the document's currency; those of a credit note are sizes, not negative.
Periods are half-open. `checked` is the door: a document whose sums do not add up is not shown to anyone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import NoReturn

from billing.core.money import PPM, BillingError, Scaled

UNTAXED = frozenset({"zero", "reverse_charge", "export", "outside_scope"})
"""Categories that bear no tax; the document says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who sells, pays or is supplied, as on the day of issue. `country` is ISO 3166."""

    name: str
    lines: tuple[str, ...] = ()
    postal_code: str = ""
    city: str = ""
    region: str = ""
    country: str
    tax_number: str | None = None
    contact: str | None = None
    email: str | None = None
    registration: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BankAccount:
    """Where a transfer goes."""

    holder: str
    bank_name: str | None
    iban: str
    bic: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyDiscount:
    """What an invoice costs less when all of it is paid by a day, and what then is to pay."""

    discount_ppm: int
    until: date
    discount_minor: int
    to_pay_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How an invoice is paid. `collection`: automatic (charged by `method`: card, direct_debit or not known)
    or terms (by transfer). `net_days` null: no terms were agreed."""

    collection: str
    method: str | None
    net_days: int | None
    end_of_month: bool
    early_discount: EarlyDiscount | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A step of a price, up to and with so many units (null: any number)."""

    up_to: int | None
    unit_price: Scaled
    flat_fee: Scaled


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTerms:
    """What a line was priced on. `unit_price`: per unit, of a package per `package_size` units beyond
    `free_units`, of a percentage the share."""

    model: str
    unit_price: Scaled | None
    fee: Scaled | None
    package_size: int | None
    free_units: int
    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proration:
    """A part of a period: `part` of `whole`, counted in day, hour or second."""

    part: int
    whole: int
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One charge or credit. `unit_price` times quantity and part of the period is `gross_minor`; where the
    price has no single unit price it is the average (`is_average`). `unit`: the words of whoever counts,
    seat, or ''. `party`: who takes it, where that is not the buyer. `corrects`: the number of the invoice it
    takes back from."""

    position: int
    line_id: str
    kind: str
    description: str
    party: str | None
    service_start: date
    service_end: date
    quantity: Scaled | None
    unit: str
    unit_price: Scaled | None
    is_average: bool
    price: PriceTerms | None
    proration: Proration | None
    gross_minor: int
    discount_minor: int
    net_minor: int
    tax_minor: int
    tax_category: str
    tax_rate_ppm: int
    corrects: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxSum:
    """What a document bears of one category, country and rate."""

    category: str
    country: str
    tax_rate_ppm: int
    net_minor: int
    tax_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """Of an invoice what paid it: payment, credit_note, wallet, early_discount or write_off. Of a credit note
    what it paid: invoice, or refund. `reference` is the number of the other document."""

    kind: str
    reference: str | None
    on: date
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """An invoice that a credit note corrects."""

    number: str
    issued_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceDocument:
    """`kind`: invoice or credit_note. `state`: open, paid, void or uncollectible since `state_on`; of a note
    issued. `open_minor`: what is left to pay, of a note the credit that is kept. `reason`: why a note was
    issued, a word of the engine (change) or of whoever issued it."""

    kind: str
    document_id: str
    number: str
    issued_on: date
    due_on: date | None
    currency: str
    locale: str
    state: str
    state_on: date | None
    seller: Party
    buyer: Party
    ship_to: Party | None
    account: BankAccount | None
    terms: Terms | None
    purchase_order: str | None
    service_start: date | None
    service_end: date | None
    lines: tuple[Line, ...]
    taxes: tuple[TaxSum, ...]
    net_minor: int
    tax_minor: int
    total_minor: int
    settlements: tuple[Settlement, ...]
    open_minor: int
    corrects: tuple[Corrected, ...]
    reason: str | None
    replaces: str | None
    replaced_by: str | None


def checked(document: InvoiceDocument) -> InvoiceDocument:
    """The document, if all that it shows adds up. Raises `sums_differ`."""
    for line in document.lines:
        _same(document, f"line {line.position}", line.gross_minor - line.discount_minor, line.net_minor)
    for name in ("net_minor", "tax_minor"):
        whole = getattr(document, name)
        _same(document, f"{name} of lines", sum(getattr(line, name) for line in document.lines), whole)
        _same(document, f"{name} of taxes", sum(getattr(tax, name) for tax in document.taxes), whole)
    _same(document, "total", document.net_minor + document.tax_minor, document.total_minor)
    _check_taxes(document)
    settled = sum(one.amount_minor for one in document.settlements)
    if document.state == "void":
        _same(document, "left to pay of a void invoice", document.open_minor, 0)
    else:
        _same(document, "settled and left", settled + document.open_minor, document.total_minor)
    if document.open_minor < 0 or settled > document.total_minor:
        _differ(document, f"{settled} settled of {document.total_minor}")
    if document.state == "paid" and document.open_minor:
        _differ(document, f"paid, but {document.open_minor} is left")
    return document


def _check_taxes(document: InvoiceDocument) -> None:
    """Lines and tax sums agree by category and rate, and each tax is what its rate makes of its net, but for
    what rounding by line may move: less than two minor units a line."""
    for tax in document.taxes:
        if tax.category in UNTAXED and (tax.tax_rate_ppm or tax.tax_minor):
            _differ(document, f"{tax.category} bears tax")
    cases = {(tax.category, tax.tax_rate_ppm) for tax in document.taxes}
    if cases != {(line.tax_category, line.tax_rate_ppm) for line in document.lines}:
        _differ(document, "lines and tax sums have other rates")
    for category, rate_ppm in cases:
        lines = [
            one for one in document.lines if (one.tax_category, one.tax_rate_ppm) == (category, rate_ppm)
        ]
        taxes = [one for one in document.taxes if (one.category, one.tax_rate_ppm) == (category, rate_ppm)]
        net, tax_minor = sum(tax.net_minor for tax in taxes), sum(tax.tax_minor for tax in taxes)
        _same(document, f"net at {rate_ppm} ppm", sum(line.net_minor for line in lines), net)
        _same(document, f"tax at {rate_ppm} ppm", sum(line.tax_minor for line in lines), tax_minor)
        if abs(tax_minor * PPM - net * rate_ppm) >= 2 * PPM * len(lines):
            _differ(document, f"tax of {tax_minor} on {net} at {rate_ppm} ppm")


def _same(document: InvoiceDocument, what: str, found: int, expected: int) -> None:
    if found != expected:
        _differ(document, f"{what}: {found}, not {expected}")


def _differ(document: InvoiceDocument, detail: str) -> NoReturn:
    raise BillingError("sums_differ", f"{document.number}: {detail}")


def missing_facts(document: InvoiceDocument) -> list[str]:
    """What an invoice in the EU has to show (Directive 2006/112/EC, article 226) and nobody has entered; with
    a reverse charge the buyer's tax number too."""
    facts: dict[str, object] = {
        "number": document.number,
        "issued_on": document.issued_on,
        "seller.name": document.seller.name,
        "seller.address": document.seller.lines and document.seller.city,
        "seller.tax_number": document.seller.tax_number,
        "buyer.name": document.buyer.name,
        "buyer.address": document.buyer.lines and document.buyer.city,
        "lines": document.lines,
    }
    if any(tax.category == "reverse_charge" for tax in document.taxes):
        facts["buyer.tax_number"] = document.buyer.tax_number
    return [name for name, value in facts.items() if not value]
