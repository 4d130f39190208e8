"""The rows that an understood Stripe export gives to each raw table, column by column."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pipelines.sources.periods import ALWAYS
from pipelines.sources.stripe_cash import applied, attempts_of, disputes, dunning, payments, refunds
from pipelines.sources.stripe_discounts import numbered
from pipelines.sources.stripe_known import Export

PRICE_DIGITS, PRICE_SCALE = 18, 12


def raw_rows(export: Export, metadata: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each raw table, by its name."""
    attempts = attempts_of(export.cash, (found for found, _, _ in export.invoices.values()))
    paid = payments(export.cash, attempts, export.read)
    notes_of = defaultdict(list)
    for note, _, _ in export.notes.values():
        notes_of[note.invoice_id].append(note)
    failed, used = export.failed_subscriptions(), dict[str, int]()
    applications: list[dict[str, Any]] = []
    dunned: list[dict[str, Any]] = []
    invoices: list[dict[str, Any]] = []
    for found, lines, load_id in sorted(
        export.invoices.values(), key=lambda one: (one[0].issued_on, one[0].invoice_id)
    ):
        tried = attempts.get(found.invoice_id, [])
        settled = applied(found, notes_of[found.invoice_id], tried, export.cash, used, export.read, load_id)
        applications += settled.rows
        paid += settled.payments
        is_given_up = found.status == "uncollectible" or (
            settled.remaining_minor > 0 and any(one.line.subscription_id in failed for one in lines)
        )
        dunned += dunning(found, tried, is_given_up, load_id)
        net = sum(one.net_minor for one in lines)
        invoices.append(
            {
                "invoice_id": found.invoice_id,
                "invoice_no": found.number,
                "customer_id": found.customer_id,
                "currency": found.currency,
                "status": found.status,
                "issued_on": found.issued_on,
                "due_on": found.due_on,
                "net_minor": net,
                "tax_minor": found.total_minor - net,
                "total_minor": found.total_minor,
                "voided_on": found.voided_on,
                "written_off_on": found.written_off_on,
                "written_off_minor": settled.remaining_minor if found.written_off_on else None,
                "load_id": load_id,
            }
        )
    return {
        "customers": _customers(export, metadata),
        "plans": _plans(export),
        "prices": _prices(export),
        "subscription_versions": _versions(export),
        "discounts": _discounts(export),
        "invoices": invoices,
        "invoice_lines": _invoice_lines(export),
        "credit_notes": _credit_notes(export),
        "credit_note_lines": _credit_note_lines(export),
        "payments": paid,
        "applications": applications,
        "refunds": refunds(export.cash),
        "disputes": disputes(export.cash),
        "dunning_events": dunned,
    }


def _customers(export: Export, metadata: Mapping[str, str]) -> list[dict[str, Any]]:
    """Test-mode customers beside live ones are test customers; alone they are what there is to see."""
    has_live = any(found.is_live for found, _ in export.customers.values())

    def told(found: Mapping[str, Any], name: str) -> str | None:
        value = found.get(metadata.get(name, ""))
        return str(value) if isinstance(value, str | int) and str(value).strip() else None

    return [
        {
            "customer_id": found.customer_id,
            "name": told(found.metadata, "name") or found.customer_id,
            "country": told(found.metadata, "country"),
            "currency": found.currency,
            "segment": told(found.metadata, "segment"),
            "acquisition_channel": told(found.metadata, "channel"),
            "is_test": found.has_test_clock or (has_live and found.is_live is False),
            "created_on": found.created_on,
            "valid_from": ALWAYS,
            "valid_to": None,
            "load_id": load_id,
        }
        for found, load_id in export.customers.values()
    ]


def _plans(export: Export) -> list[dict[str, Any]]:
    """A plan is a product; a price without one is a plan of its own."""
    found: dict[str, dict[str, Any]] = {}
    for price, load_id in export.prices.values():
        name = price.product.name if price.product else price.nickname
        known = export.products.get(price.plan_id)
        named = (known[0].name if known else None) or name
        before = found.get(price.plan_id)
        if before is None or (named and before["plan_name"] == price.plan_id):
            found[price.plan_id] = {
                "plan_id": price.plan_id,
                "plan_name": named or price.plan_id,
                "plan_tier": None,
                "is_add_on": False,
                "load_id": load_id,
            }
    return list(found.values())


def _prices(export: Export) -> list[dict[str, Any]]:
    rows = []
    for price, load_id in export.prices.values():
        mantissa, scale = _major(price.unit, export.read.exponents[price.currency])
        rows.append(
            {
                "price_id": price.price_id,
                "plan_id": price.plan_id,
                "currency": price.currency,
                "price_mantissa": mantissa,
                "price_scale": scale,
                "interval": price.interval,
                "interval_count": price.interval_count if price.interval else None,
                "pricing_model": price.mode or ("package" if price.divide_by else "per_unit"),
                "valid_from": price.created_on,
                "valid_to": None,
                "load_id": load_id,
            }
        )
    return rows


def _major(unit: Decimal | None, exponent: int) -> tuple[int | None, int | None]:
    """A price in minor units as whole number and scale in major ones; finer prices have none."""
    if unit is None:
        return None, None
    _, digits, power = unit.scaleb(-exponent).normalize().as_tuple()
    assert isinstance(power, int)
    mantissa = int("".join(map(str, digits))) * 10 ** max(power, 0)
    scale = max(-power, 0)
    return (mantissa, scale) if mantissa < 10**PRICE_DIGITS and scale <= PRICE_SCALE else (None, None)


def _versions(export: Export) -> list[dict[str, Any]]:
    rows, numbers = [], Counter[str]()
    for one, load_id in sorted(export.versions, key=lambda one: (one[0].item_id, one[0].valid_from)):
        numbers[one.item_id] += 1
        rows.append(
            {
                "subscription_item_id": one.item_id,
                "version_no": numbers[one.item_id],
                "subscription_id": one.subscription_id,
                "customer_id": one.customer_id,
                "plan_id": one.price.plan_id,
                "price_id": one.price.price_id,
                "amount_minor": one.amount_minor,
                "currency": one.price.currency,
                "interval": one.price.interval,
                "interval_count": one.price.interval_count,
                "quantity": one.quantity,
                "committed_minimum_minor": 0,
                "status": one.status,
                "valid_from": one.valid_from,
                "valid_to": one.valid_to,
                "term_start": one.term_start,
                "term_end": one.term_end,
                "notice_by_on": None,
                "auto_renew": one.auto_renew,
                "trial_end_on": one.trial_end_on,
                "cancel_requested_on": one.cancel_requested_on,
                "cancel_reason": one.cancel_reason,
                "end_cause": one.end_cause,
                "is_deleted": False,
                "is_rebuilt": one.is_rebuilt,
                "load_id": load_id,
            }
        )
    return rows


def _discounts(export: Export) -> list[dict[str, Any]]:
    load_ids = {one.item_id: load_id for one, load_id in export.versions}
    return [
        {
            "discount_id": one.discount_id,
            "subscription_item_id": one.item_id,
            "percent_ppm": one.percent_ppm,
            "amount_minor": one.amount_minor,
            "currency": one.currency,
            "duration": one.duration,
            "valid_from": one.valid_from,
            "valid_to": one.valid_to,
            "order_no": number,
            "load_id": load_ids.get(one.item_id),
        }
        for one, number in numbered(export.runs)
    ]


def _invoice_lines(export: Export) -> list[dict[str, Any]]:
    rows = []
    for document, lines, load_id in export.invoices.values():
        for one in lines:
            coupons = [
                (export.discounts.coupon_of(discount_id), minor) for discount_id, minor in one.line.discounts
            ]
            rows.append(
                {
                    "line_id": one.line.line_id,
                    "invoice_id": document.invoice_id,
                    "subscription_item_id": export.item_of(one.line),
                    "kind": export.kind_of(one.line),
                    "sku": None,
                    "quantity": Decimal(1) if one.line.quantity is None else one.line.quantity,
                    "service_start": one.line.starts_on,
                    "service_end": one.line.ends_on,
                    "net_minor": one.net_minor,
                    "discount_minor": one.discount_minor,
                    "once_discount_minor": sum(
                        minor for coupon, minor in coupons if coupon is not None and coupon.duration == "once"
                    ),
                    "tax_minor": one.tax_minor,
                    "load_id": load_id,
                }
            )
    return rows


def _credit_notes(export: Export) -> list[dict[str, Any]]:
    return [
        {
            "credit_note_id": note.note_id,
            "invoice_id": note.invoice_id,
            "customer_id": note.customer_id,
            "issued_on": note.issued_on,
            "currency": note.currency,
            "net_minor": sum(one.net_minor for one in lines),
            "tax_minor": sum(one.tax_minor for one in lines),
            "total_minor": note.total_minor,
            "load_id": load_id,
        }
        for note, lines, load_id in export.notes.values()
    ]


def _credit_note_lines(export: Export) -> list[dict[str, Any]]:
    """A line of a credit note takes back the service days of the line it is for."""
    billed = {one.line.line_id: one.line for _, lines, _ in export.invoices.values() for one in lines}
    rows = []
    for note, lines, load_id in export.notes.values():
        for one in lines:
            source = billed.get(one.invoice_line_id or "")
            rows.append(
                {
                    "line_id": one.line_id,
                    "credit_note_id": note.note_id,
                    "invoice_line_id": one.invoice_line_id,
                    "service_start": source.starts_on if source else None,
                    "service_end": source.ends_on if source else None,
                    "net_minor": one.net_minor,
                    "tax_minor": one.tax_minor,
                    "load_id": load_id,
                }
            )
    return rows
