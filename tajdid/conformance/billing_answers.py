"""Reads back what a story left in the store, as a case writes it."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from sqlalchemy import select

from billing.store.store import Store
from billing.store.tables import (
    applications,
    credit_note_lines,
    credit_notes,
    customers,
    invoices,
    line_items,
    refunds,
    usage_events,
)
from tajdid.conformance.billing_form import Mismatch, Money, Unsupported
from tajdid.conformance.billing_shop import METER_SCALE


def answer_of_store(money: Money, store: Store) -> dict[str, Any]:
    """Invoices and credit notes as a case writes them; unsupported where the run set a customer aside."""
    parked = store.rows(select(customers).where(customers.c.parked_at.is_not(None)))
    if parked and parked[0]["parked_code"] == "unexpected":
        raise Mismatch("run", "no error", parked[0]["parked_detail"])
    if parked:
        raise Unsupported(f"set aside: {parked[0]['parked_code']} {parked[0]['parked_detail']}")
    return {"invoices": _invoices(money, store), "credit_notes": _notes(money, store)}


def _invoices(money: Money, store: Store) -> list[dict[str, Any]]:
    documents = []
    issued = select(invoices).where(invoices.c.number.is_not(None))
    for invoice in store.rows(issued.order_by(invoices.c.issued_on, invoices.c.number)):
        lines = store.rows(select(line_items).where(line_items.c.invoice_id == invoice["invoice_id"]))
        at_issue = store.rows(
            select(applications).where(
                applications.c.invoice_id == invoice["invoice_id"],
                applications.c.source_kind == "credit_note",
                applications.c.recorded_at == invoice["recorded_at"],
            )
        )
        credit = sum(application["amount_minor"] for application in at_issue)
        documents.append(
            {
                "at": invoice["issued_on"],
                "account": invoice["customer_id"],
                "lines": [
                    {
                        "period": [line["service_start"], line["service_end"]],
                        "amount": money.major(line["net_minor"]),
                        "tax": money.major(line["tax_minor"]),
                        "kind": line["kind"],
                    }
                    for line in lines
                ],
                "subtotal": money.major(sum(line["net_minor"] for line in lines)),
                "discount": Fraction(0),
                "tax": money.major(invoice["tax_minor"]),
                "credit_applied": money.major(credit),
                "total": money.major(invoice["total_minor"] - credit),
            }
        )
    return documents


def _notes(money: Money, store: Store) -> list[dict[str, Any]]:
    notes = []
    for note in store.rows(select(credit_notes).order_by(credit_notes.c.issued_on, credit_notes.c.number)):
        lines = store.rows(
            select(credit_note_lines, line_items.c.component_id)
            .join(line_items, line_items.c.line_id == credit_note_lines.c.line_id)
            .where(credit_note_lines.c.note_id == note["note_id"])
        )
        used = store.rows(select(applications).where(applications.c.source_id == note["note_id"]))
        back = store.rows(select(refunds).where(refunds.c.note_id == note["note_id"]))
        refunded = sum(one["amount_minor"] for one in back)
        plans = {str(line["component_id"]).rsplit(".", 2)[0] for line in lines}
        notes.append(
            {
                "at": note["issued_on"],
                "lines": [
                    {
                        "period": [line["service_start"], line["service_end"]],
                        "net": money.major(line["net_minor"]),
                        "tax": money.major(line["tax_minor"]),
                        "total": money.major(line["net_minor"] + line["tax_minor"]),
                    }
                    for line in lines
                ],
                **({"of": plans.pop()} if len(plans) == 1 else {}),
                "net": money.major(note["net_minor"]),
                "tax": money.major(note["tax_minor"]),
                "total": money.major(note["total_minor"]),
                "refunded": money.major(refunded),
                "credited": money.major(note["total_minor"] - refunded),
                "left": money.major(
                    note["total_minor"] - refunded - sum(one["amount_minor"] for one in used)
                ),
            }
        )
    return notes


def last_due(money: Money, store: Store) -> dict[str, Any]:
    """What is open of the last invoice."""
    issued = select(invoices).where(invoices.c.number.is_not(None))
    last = store.row(issued.order_by(invoices.c.invoice_id.desc()).limit(1))
    if last is None:
        return {}
    paid = store.rows(select(applications).where(applications.c.invoice_id == last["invoice_id"]))
    left = last["total_minor"] - sum(one["amount_minor"] for one in paid)
    return {"final_invoice_due": money.major(left)}


def left_out(store: Store, expected: Any) -> Any:
    """Usage kept unbilled with a reason, in the shape that is asked for: event by event, or in all."""
    has_reason = select(usage_events).where(usage_events.c.unbilled_reason.is_not(None))
    events = store.rows(has_reason.order_by(usage_events.c.occurred_at, usage_events.c.seq))
    values = [Fraction(event["value_mantissa"], 10**METER_SCALE) for event in events]
    if isinstance(expected, list):
        return [
            {"usage_date": event["occurred_on"], "value": value, "quantity": value}
            for event, value in zip(events, values, strict=True)
        ]
    total = sum(values, Fraction(0))
    return {"value": total, "quantity": total} if isinstance(expected, Mapping) else total
