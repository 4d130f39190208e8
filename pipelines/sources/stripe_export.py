"""A Stripe export understood: objects of all kinds, what refers to what, and which rows are set aside.

A row is taken or set aside whole, with the objects inside it. Objects that more than one row tells of (a
price inside an item, a coupon inside a discount) are known from wherever they stand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pipelines.sources.stripe_documents import (
    NoteLine,
    balance_transaction,
    charge,
    credit_note,
    dispute,
    invoice,
    invoice_payment,
    note_line,
    refund,
    settled,
    settled_note,
)
from pipelines.sources.stripe_fields import Body, Reader, Refused, key
from pipelines.sources.stripe_known import Export, Given, Reject, each, know
from pipelines.sources.stripe_objects import (
    Line,
    coupon,
    customer,
    discount,
    discounts,
    line,
    price,
    product,
)
from pipelines.sources.stripe_told import (
    take_billed_lines,
    take_events,
    take_subscriptions,
    work_out_discounts,
    work_out_versions,
)


def understood(given: Mapping[str, Sequence[Given]], read: Reader) -> Export:
    """Understand the rows of an export, by kind. Rows that break a rule are among its `rejects`."""
    export = Export(read)
    _catalogue(export, given)
    _money(export, given)
    lines = _lines(export, given)
    documents = _invoices(export, given, lines)
    _notes(export, given, documents)
    _payments_of_invoices(export, given)
    take_subscriptions(export, given)
    take_events(export, given)
    take_billed_lines(export)
    work_out_versions(export, given)
    work_out_discounts(export)
    return export


def _catalogue(export: Export, given: Mapping[str, Sequence[Given]]) -> None:
    read = export.read

    def take_customer(body: Body, one: Given) -> None:
        found = customer(body, read)
        export.discounts.add(discounts(body, read), customer_id=found.customer_id)
        export.customers[found.customer_id] = found, one.load_id

    def take_product(body: Body, one: Given) -> None:
        found = product(body, read)
        export.products[found.product_id] = found, one.load_id

    def take_price(body: Body, one: Given) -> None:
        know(export, price(body, read), one.load_id)

    def take_discount(body: Body, one: Given) -> None:
        found = discount(body, read)
        export.discounts.add([found])
        if export.discounts.coupon_of(found.discount_id) is None:
            raise Refused("unknown_reference" if found.coupon_id else "missing_key", "coupon")

    each(export, given, "customer", take_customer)
    each(export, given, "product", take_product)
    each(export, given, "price", take_price)
    each(export, given, "plan", take_price)
    each(export, given, "coupon", lambda body, _: export.discounts.add_coupon(coupon(body, read)))
    each(export, given, "discount", take_discount)


def _money(export: Export, given: Mapping[str, Sequence[Given]]) -> None:
    read, cash = export.read, export.cash

    def take_transaction(body: Body, one: Given) -> None:
        found = balance_transaction(body, read)
        cash.transactions[found.transaction_id] = found

    def take_charge(body: Body, one: Given) -> None:
        found = charge(body, read)
        cash.add(found, one.load_id)
        for inner in found.refunds:
            cash.refunds[inner.refund_id] = inner, one.load_id

    def take_refund(body: Body, one: Given) -> None:
        found = refund(body, read)
        if cash.payment_of(found.charge_id, found.payment_id) is None:
            raise Refused("unknown_reference", "charge")
        cash.refunds[found.refund_id] = found, one.load_id

    def take_dispute(body: Body, one: Given) -> None:
        found = dispute(body, read)
        if cash.payment_of(found.charge_id, found.payment_id) is None:
            raise Refused("unknown_reference", "charge")
        cash.disputes[found.dispute_id] = found, one.load_id

    each(export, given, "balance_transaction", take_transaction)
    each(export, given, "charge", take_charge)
    each(export, given, "refund", take_refund)
    each(export, given, "dispute", take_dispute)


def _lines(export: Export, given: Mapping[str, Sequence[Given]]) -> dict[str, list[tuple[Line, Given]]]:
    """The lines that have rows of their own, by invoice."""
    found: dict[str, list[tuple[Line, Given]]] = defaultdict(list)

    def take(body: Body, one: Given) -> None:
        read_line = line(body, export.read)
        found[read_line.invoice_id].append((read_line, one))

    each(export, given, "line_item", take)
    return found


def _invoices(
    export: Export, given: Mapping[str, Sequence[Given]], lines: Mapping[str, list[tuple[Line, Given]]]
) -> set[str]:
    """Take the invoices with their lines; returns the ids of all that were taken, drafts with them."""
    read, taken = export.read, set[str]()

    def take(body: Body, one: Given) -> None:
        found = invoice(body, read)
        if found.is_issued:
            inside = {part_line.line_id for part_line in found.lines}
            own = [
                part_line
                for part_line, _ in lines.get(found.invoice_id, ())
                if part_line.line_id not in inside
            ]
            document = settled(found, [*found.lines, *own])
            export.invoices[found.invoice_id] = found, document, one.load_id
            export.discounts.add(found.discounts)
            for part_line in document:
                export.discounts.add(part_line.line.given)
                if part_line.line.price is not None:
                    know(export, part_line.line.price, one.load_id)
        taken.add(found.invoice_id)

    each(export, given, "invoice", take)
    for invoice_id, rows in lines.items():
        if invoice_id not in taken:
            export.rejects += [Reject(one, "unknown_reference", "invoice") for _, one in rows]
    return taken


def _notes(export: Export, given: Mapping[str, Sequence[Given]], invoices: set[str]) -> None:
    read = export.read
    lines: dict[str, list[tuple[NoteLine, Given]]] = defaultdict(list)

    def take_line(body: Body, one: Given) -> None:
        found = note_line(body, read)
        lines[found.note_id].append((found, one))

    taken = set[str]()

    def take(body: Body, one: Given) -> None:
        found = credit_note(body, read)
        if found.invoice_id not in invoices:
            raise Refused("unknown_reference", "invoice")
        inside = {part_line.line_id for part_line in found.lines}
        own = [part_line for part_line, _ in lines.get(found.note_id, ()) if part_line.line_id not in inside]
        document = settled_note(found, [*found.lines, *own])
        if not found.is_void and found.invoice_id in export.invoices:
            export.notes[found.note_id] = found, document, one.load_id
        taken.add(found.note_id)

    each(export, given, "credit_note_line_item", take_line)
    each(export, given, "credit_note", take)
    for note_id, rows in lines.items():
        if note_id not in taken:
            export.rejects += [Reject(one, "unknown_reference", "credit_note") for _, one in rows]


def _payments_of_invoices(export: Export, given: Mapping[str, Sequence[Given]]) -> None:
    def take(body: Body, one: Given) -> None:
        found = invoice_payment(body, export.read)
        if key(body, "invoice") not in export.invoices:
            raise Refused("unknown_reference", "invoice")
        if found is not None:
            export.cash.invoice_payments[found.invoice_id].append(found)

    each(export, given, "invoice_payment", take)
