"""Checks of documents: invoices and credit notes, their lines, taxes and numbers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import aliased

from billing.core.money import DOCUMENT_LIMIT, LINE_LIMIT
from billing.jobs.doctor.check import Check, above, dangling, differs, rows, unequal
from billing.store.tables import (
    applications,
    credit_note_lines,
    credit_notes,
    discount_uses,
    discounts,
    invoices,
    line_items,
    number_sequences,
    purchase_orders,
    tax_lines,
)

IS_REBATE = line_items.c.kind == "rebate"
IS_CREDIT = line_items.c.entry == "credit"
_IS_SKIPPED = and_(invoices.c.state == "void", invoices.c.number.is_(None), invoices.c.total_minor == 0)
"""An invoice of 0.00 that is not issued: it only says that its lines are billed."""
STATES = ("draft", "open", "paid", "void", "uncollectible")

# --- sums ---


def _of_invoices(name: str) -> Select[Any]:
    return select(invoices.c.invoice_id, invoices.c[name].label("amount"))


def _of_lines(name: str, *where: ColumnElement[bool]) -> Select[Any]:
    return select(line_items.c.invoice_id, line_items.c[name].label("amount")).where(*where)


def _of_notes(name: str) -> Select[Any]:
    return select(credit_notes.c.note_id, credit_notes.c[name].label("amount"))


def _of_note_lines(name: str) -> Select[Any]:
    return select(credit_note_lines.c.note_id, credit_note_lines.c[name].label("amount"))


SUMS = (
    Check(
        "invoice_net",
        "invoices",
        "The net of an invoice is the sum of its lines.",
        unequal(_of_invoices("net_minor"), _of_lines("net_minor")),
    ),
    Check(
        "invoice_tax",
        "invoices",
        "The tax of an invoice is the sum of its lines'.",
        unequal(_of_invoices("tax_minor"), _of_lines("tax_minor")),
    ),
    Check(
        "invoice_total",
        "invoices",
        "The total of an invoice is net and tax.",
        rows(
            invoices,
            invoices.c.total_minor != invoices.c.net_minor + invoices.c.tax_minor,
            invoices.c.total_minor,
            invoices.c.net_minor + invoices.c.tax_minor,
        ),
    ),
    Check(
        "line_net",
        "line_items",
        "The net of a line is its gross less its discount.",
        rows(
            line_items,
            line_items.c.net_minor != line_items.c.gross_minor - line_items.c.discount_minor,
            line_items.c.net_minor,
            line_items.c.gross_minor - line_items.c.discount_minor,
        ),
    ),
    Check(
        "line_invoice",
        "line_items",
        "A line stands on an invoice.",
        dangling(line_items.c.invoice_id, invoices.c.invoice_id),
    ),
    Check(
        "invoice_lines",
        "invoices",
        "An invoice has lines.",
        rows(invoices, ~exists().where(line_items.c.invoice_id == invoices.c.invoice_id)),
    ),
    Check(
        "line_sign",
        "line_items",
        "A charge is not negative, and a credit not positive.",
        rows(
            line_items,
            or_(
                and_(line_items.c.entry == "charge", line_items.c.net_minor < 0),
                and_(IS_CREDIT, line_items.c.net_minor > 0),
                line_items.c.entry.not_in(["charge", "credit"]),
            ),
            line_items.c.net_minor,
        ),
    ),
    Check(
        "line_currency",
        "line_items",
        "A line is in the currency of its invoice.",
        select(
            line_items.c.line_id, line_items.c.currency.label("found"), invoices.c.currency.label("wanted")
        )
        .join(invoices, invoices.c.invoice_id == line_items.c.invoice_id)
        .where(invoices.c.currency != line_items.c.currency),
    ),
    Check(
        "note_net",
        "credit_notes",
        "The net of a credit note is the sum of its lines.",
        unequal(_of_notes("net_minor"), _of_note_lines("net_minor")),
    ),
    Check(
        "note_tax",
        "credit_notes",
        "The tax of a credit note is the sum of its lines'.",
        unequal(_of_notes("tax_minor"), _of_note_lines("tax_minor")),
    ),
    Check(
        "note_total",
        "credit_notes",
        "The total of a credit note is net and tax.",
        rows(
            credit_notes,
            credit_notes.c.total_minor != credit_notes.c.net_minor + credit_notes.c.tax_minor,
            credit_notes.c.total_minor,
            credit_notes.c.net_minor + credit_notes.c.tax_minor,
        ),
    ),
)

# --- bounds ---


def _beyond(table: Any, names: tuple[str, ...], limit: int) -> Select[Any]:
    sizes = [func.abs(table.c[name]) for name in names]
    largest = case(*((size > limit, size) for size in sizes))
    return rows(table, or_(*(size > limit for size in sizes)), largest, literal(limit, BigInteger))


BOUNDS = tuple(
    Check(
        f"{table.name}_bound",
        table.name,
        f"The amounts of {what} stay within bounds.",
        _beyond(table, names, limit),
    )
    for table, what, names, limit in (
        (line_items, "a line", ("gross_minor", "discount_minor", "net_minor", "tax_minor"), LINE_LIMIT),
        (invoices, "an invoice", ("net_minor", "tax_minor", "total_minor"), DOCUMENT_LIMIT),
        (credit_notes, "a credit note", ("net_minor", "tax_minor", "total_minor"), DOCUMENT_LIMIT),
        (credit_note_lines, "a line of a note", ("net_minor", "tax_minor"), LINE_LIMIT),
    )
)

# --- credits of lines ---

_ORIGIN = aliased(line_items)
_IS_UNDONE = and_(credit_note_lines.c.kind == "void", line_items.c.entry == "credit")
"""A line of a note that undoes a credit, which stood on the invoice that is void."""
CREDITED = union_all(
    select(
        line_items.c.reverses_line_id.label("line_id"),
        (-line_items.c.net_minor).label("net_minor"),
        (-line_items.c.tax_minor).label("tax_minor"),
        (-line_items.c.document_discount_minor).label("document_discount_minor"),
    ).where(IS_CREDIT, ~IS_REBATE),
    select(
        case((_IS_UNDONE, line_items.c.reverses_line_id), else_=credit_note_lines.c.line_id),
        credit_note_lines.c.net_minor,
        credit_note_lines.c.tax_minor,
        credit_note_lines.c.document_discount_minor,
    )
    .join(line_items, line_items.c.line_id == credit_note_lines.c.line_id)
    .where(
        credit_note_lines.c.kind.is_distinct_from("rebate"),
        or_(line_items.c.entry == "charge", and_(_IS_UNDONE, ~IS_REBATE)),
    ),
).subquery()
"""What was taken back of lines, as sizes. A rebate of a pool only relates to its line."""


def _taken(name: str) -> Select[Any]:
    return select(CREDITED.c.line_id, CREDITED.c[name].label("amount"))


def _charged(name: str) -> Select[Any]:
    return select(line_items.c.line_id, line_items.c[name].label("amount")).where(
        line_items.c.entry == "charge"
    )


CREDITS = (
    Check(
        "credited_net",
        "line_items",
        "What is taken back of a line is at most its net.",
        above(_taken("net_minor"), _charged("net_minor")),
    ),
    Check(
        "credited_tax",
        "line_items",
        "The tax that is taken back of a line is at most its tax.",
        above(_taken("tax_minor"), _charged("tax_minor")),
    ),
    Check(
        "credited_line",
        "line_items",
        "A credit takes back a charge of the same item, component and kind.",
        select(
            line_items.c.line_id,
            line_items.c.reverses_line_id.label("found"),
        )
        .outerjoin(_ORIGIN, _ORIGIN.c.line_id == line_items.c.reverses_line_id)
        .where(
            IS_CREDIT,
            ~IS_REBATE,
            or_(
                _ORIGIN.c.line_id.is_(None),
                _ORIGIN.c.entry != "charge",
                differs(_ORIGIN.c.item_id, line_items.c.item_id),
                differs(_ORIGIN.c.component_id, line_items.c.component_id),
                _ORIGIN.c.kind != line_items.c.kind,
            ),
        ),
    ),
    Check(
        "noted_line",
        "credit_note_lines",
        "A line of a note takes back a charge, or undoes a credit of a void invoice.",
        rows(
            credit_note_lines,
            ~exists().where(
                _ORIGIN.c.line_id == credit_note_lines.c.line_id,
                or_(_ORIGIN.c.entry == "charge", credit_note_lines.c.kind == "void"),
            ),
            credit_note_lines.c.line_id,
        ),
    ),
    Check(
        "note_line_sign",
        "credit_note_lines",
        "The lines of a note are sizes, but for the credits of a void invoice.",
        rows(
            credit_note_lines,
            and_(credit_note_lines.c.net_minor < 0, credit_note_lines.c.kind.is_distinct_from("void")),
            credit_note_lines.c.net_minor,
        ),
    ),
)

# --- taxes ---


def _of_tax_line(name: str, found: Any, wanted: Any) -> Check:
    return Check(
        f"tax_line_{name}",
        "tax_lines",
        f"A tax line has the {name} of its line.",
        select(tax_lines.c.line_id, tax_lines.c.tax_code, found.label("found"), wanted.label("wanted"))
        .join(line_items, line_items.c.line_id == tax_lines.c.line_id)
        .where(differs(found, wanted)),
    )


TAXES = (
    Check(
        "tax_lines",
        "line_items",
        "The tax of a line is the sum of its tax lines.",
        unequal(
            select(line_items.c.line_id, line_items.c.tax_minor.label("amount")),
            select(tax_lines.c.line_id, tax_lines.c.tax_minor.label("amount")),
        ),
    ),
    _of_tax_line("base", tax_lines.c.base_minor, line_items.c.net_minor),
    _of_tax_line("rate", tax_lines.c.tax_rate_ppm, line_items.c.tax_rate_ppm),
    _of_tax_line("category", tax_lines.c.category, line_items.c.tax_category),
    Check(
        "line_without_tax",
        "line_items",
        "Every line has a tax line.",
        rows(line_items, ~exists().where(tax_lines.c.line_id == line_items.c.line_id)),
    ),
)

# --- numbers ---


def _numbers(table: Any, mark: str) -> Any:
    """Documents with the year and the place in their sequence that their number tells; null where it tells
    none."""
    (key,) = table.primary_key
    shape, start = rf"^{mark}-[0-9]{{4}}-[0-9]{{6,}}$", len(mark) + 2

    def part(*span: int) -> ColumnElement[int]:
        # In a case, so that what is no number is never read as one.
        text = func.substr(table.c.number, *span)
        return case((table.c.number.regexp_match(shape), cast(text, BigInteger)))

    return (
        select(
            key.label("document_id"),
            table.c.entity_id,
            table.c.issued_on,
            table.c.number,
            part(start, 4).label("year"),
            part(start + 5).label("place"),
        )
        .where(table.c.number.is_not(None))
        .subquery()
    )


def _number_checks(table: Any, kind: str, mark: str) -> tuple[Check, ...]:
    (key,) = table.primary_key
    numbered = _numbers(table, mark)
    before = func.lag(numbered.c.place, 1, 0).over(
        partition_by=(numbered.c.entity_id, numbered.c.year),
        order_by=(numbered.c.place, numbered.c.document_id),
    )
    following = (
        select(
            numbered.c.document_id.label(key.name),
            numbered.c.place.label("found"),
            (before + 1).label("wanted"),
        )
        .where(numbered.c.place.is_not(None))
        .subquery()
    )
    last = (
        select(numbered.c.entity_id, numbered.c.year, func.max(numbered.c.place).label("place"))
        .where(numbered.c.place.is_not(None))
        .group_by(numbered.c.entity_id, numbered.c.year)
        .subquery()
    )
    wanted = func.coalesce(last.c.place, 0) + 1
    is_same = and_(last.c.entity_id == number_sequences.c.entity_id, last.c.year == number_sequences.c.year)
    name = "invoice" if kind == "invoice" else "note"
    return (
        Check(
            f"{name}_number",
            table.name,
            "The number of a document has the form of its kind, and the year of its issue.",
            select(numbered.c.document_id.label(key.name), numbered.c.number.label("found")).where(
                differs(numbered.c.year, cast(func.extract("year", numbered.c.issued_on), BigInteger))
            ),
        ),
        Check(
            f"{name}_number_gap",
            table.name,
            "Numbers of a seller, kind and year have no gap and no repeat.",
            select(following).where(following.c.found != following.c.wanted),
        ),
        Check(
            f"{name}_next_number",
            "number_sequences",
            "The next number follows the last one taken.",
            rows(
                number_sequences,
                and_(number_sequences.c.kind == kind, number_sequences.c.next_number != wanted),
                number_sequences.c.next_number,
                wanted,
            ).outerjoin(last, is_same),
        ),
    )


NUMBERS = (
    *_number_checks(invoices, "invoice", "INV"),
    *_number_checks(credit_notes, "credit_note", "CN"),
)

# --- states ---

_APPLIED = (
    select(func.coalesce(func.sum(applications.c.amount_minor), 0))
    .where(applications.c.invoice_id == invoices.c.invoice_id)
    .scalar_subquery()
)
_NOTED_OF_INVOICE = (
    select(func.coalesce(func.sum(credit_note_lines.c.net_minor + credit_note_lines.c.tax_minor), 0))
    .join(line_items, line_items.c.line_id == credit_note_lines.c.line_id)
    .where(
        line_items.c.invoice_id == invoices.c.invoice_id,
        credit_note_lines.c.kind.is_distinct_from("rebate"),
    )
    .scalar_subquery()
)
_REPLACED = aliased(invoices)

STANDING = (
    Check(
        "invoice_state",
        "invoices",
        "An invoice is a draft, open, paid, void or uncollectible, and has the day of that.",
        rows(
            invoices,
            or_(
                invoices.c.state.not_in(STATES),
                (invoices.c.state == "paid") != invoices.c.paid_on.is_not(None),
                (invoices.c.state == "void") != invoices.c.voided_on.is_not(None),
                and_(invoices.c.state == "uncollectible", invoices.c.written_off_on.is_(None)),
            ),
            invoices.c.state,
        ),
    ),
    Check(
        "invoice_issue",
        "invoices",
        "An issued invoice has a number, the day of its issue, and is due then or later; a draft has none.",
        rows(
            invoices,
            case(
                (invoices.c.state == "draft", invoices.c.number.is_not(None)),
                (_IS_SKIPPED, invoices.c.issued_on.is_(None)),
                else_=or_(
                    invoices.c.number.is_(None),
                    invoices.c.issued_on.is_(None),
                    invoices.c.due_on.is_(None),
                    invoices.c.due_on < invoices.c.issued_on,
                ),
            ),
            invoices.c.state,
        ),
    ),
    Check(
        "invoice_sign",
        "invoices",
        "An invoice is not negative.",
        rows(invoices, invoices.c.total_minor < 0, invoices.c.total_minor),
    ),
    Check(
        "invoice_applied",
        "invoices",
        "No more is applied to an invoice than its total.",
        above(
            select(applications.c.invoice_id, applications.c.amount_minor.label("amount")),
            _of_invoices("total_minor"),
        ),
    ),
    Check(
        "invoice_paid",
        "invoices",
        "A paid invoice is applied in full.",
        rows(
            invoices,
            and_(invoices.c.state == "paid", invoices.c.total_minor != _APPLIED),
            _APPLIED,
            invoices.c.total_minor,
        ),
    ),
    Check(
        "invoice_open",
        "invoices",
        "Something of an open invoice is unpaid.",
        rows(
            invoices,
            and_(invoices.c.state == "open", invoices.c.total_minor > 0, invoices.c.total_minor <= _APPLIED),
            _APPLIED,
        ),
    ),
    Check(
        "invoice_void",
        "invoices",
        "A void invoice is taken back whole by credit notes, and settled by them.",
        rows(
            invoices,
            and_(
                invoices.c.state == "void",
                or_(invoices.c.total_minor != _NOTED_OF_INVOICE, invoices.c.total_minor != _APPLIED),
            ),
            _NOTED_OF_INVOICE,
            invoices.c.total_minor,
        ),
    ),
    Check(
        "invoice_written_off",
        "invoices",
        "What is written off is what was open, and no more of it is recovered.",
        rows(
            invoices,
            case(
                (
                    invoices.c.state == "uncollectible",
                    or_(
                        _APPLIED + invoices.c.written_off_minor != invoices.c.total_minor,
                        invoices.c.recovered_minor > invoices.c.written_off_minor,
                        invoices.c.recovered_minor < 0,
                    ),
                ),
                else_=or_(invoices.c.written_off_minor != 0, invoices.c.recovered_minor != 0),
            ),
            invoices.c.written_off_minor,
            invoices.c.total_minor - _APPLIED,
        ),
    ),
    Check(
        "invoice_replaced",
        "invoices",
        "An invoice stands for one that is void.",
        rows(
            invoices,
            and_(
                invoices.c.replaces_id.is_not(None),
                ~exists().where(
                    _REPLACED.c.invoice_id == invoices.c.replaces_id, _REPLACED.c.state == "void"
                ),
            ),
            invoices.c.replaces_id,
        ),
    ),
)

# --- discounts and purchase orders ---

_PERIODS = (
    select(
        discount_uses.c.discount_id,
        line_items.c.item_id,
        line_items.c.reference_start,
    )
    .join(line_items, line_items.c.line_id == discount_uses.c.line_id)
    .distinct()
    .subquery()
)

_DOCUMENTS = (
    select(discount_uses.c.discount_id, invoices.c.customer_id, invoices.c.invoice_id)
    .join(line_items, line_items.c.line_id == discount_uses.c.line_id)
    .join(invoices, invoices.c.invoice_id == line_items.c.invoice_id)
    .where(or_(invoices.c.state != "void", invoices.c.number.is_(None)))
    .distinct()
    .subquery()
)

BUDGETS = (
    Check(
        "discount_times",
        "discounts",
        "A discount is used for at most as many periods of an item as it has times.",
        select(
            _PERIODS.c.discount_id,
            _PERIODS.c.item_id,
            func.count().label("found"),
            discounts.c.times.label("wanted"),
        )
        .join(discounts, discounts.c.discount_id == _PERIODS.c.discount_id)
        .where(discounts.c.times.is_not(None), discounts.c.scope == "item")
        .group_by(_PERIODS.c.discount_id, _PERIODS.c.item_id, discounts.c.times)
        .having(func.count() > discounts.c.times),
    ),
    Check(
        "document_discount_times",
        "discounts",
        "A discount of documents is used for at most as many invoices of a payer as it has times.",
        select(
            _DOCUMENTS.c.discount_id,
            _DOCUMENTS.c.customer_id,
            func.count().label("found"),
            discounts.c.times.label("wanted"),
        )
        .join(discounts, discounts.c.discount_id == _DOCUMENTS.c.discount_id)
        .where(discounts.c.times.is_not(None), discounts.c.scope == "document")
        .group_by(_DOCUMENTS.c.discount_id, _DOCUMENTS.c.customer_id, discounts.c.times)
        .having(func.count() > discounts.c.times),
    ),
    Check(
        "document_discount",
        "line_items",
        "The part of a line's document discounts is within its discount.",
        rows(
            line_items,
            func.abs(line_items.c.document_discount_minor) > func.abs(line_items.c.discount_minor),
            line_items.c.document_discount_minor,
            line_items.c.discount_minor,
        ),
    ),
    Check(
        "discount_amount",
        "line_items",
        "The discounts of a line take off no more than its discount.",
        above(
            select(discount_uses.c.line_id, discount_uses.c.amount_minor.label("amount")),
            select(line_items.c.line_id, line_items.c.discount_minor.label("amount")).where(
                line_items.c.discount_minor > 0
            ),
        ),
    ),
    Check(
        "purchase_order",
        "purchase_orders",
        "What is billed against a purchase order is within its budget.",
        above(
            [
                select(invoices.c.po_id, invoices.c.net_minor.label("amount")).where(
                    invoices.c.po_id.is_not(None), invoices.c.state != "draft"
                ),
                select(invoices.c.po_id, (-credit_note_lines.c.net_minor).label("amount"))
                .join(line_items, line_items.c.invoice_id == invoices.c.invoice_id)
                .join(credit_note_lines, credit_note_lines.c.line_id == line_items.c.line_id)
                .where(invoices.c.po_id.is_not(None)),
            ],
            select(
                purchase_orders.c.po_id,
                func.coalesce(purchase_orders.c.budget_minor, literal(2**62, BigInteger)).label("amount"),
            ),
        ),
    ),
)

DOCUMENTS = (*SUMS, *BOUNDS, *CREDITS, *TAXES, *NUMBERS, *STANDING, *BUDGETS)
