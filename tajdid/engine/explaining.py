"""How a line's amount came about, in the engine's own words and numbers, for a document and for a preview."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import bindparam, select

from billing.core.money import BillingError, Scaled, currency_exponent, ten_to
from billing.core.pricing import EVENT_MODELS, Price
from billing.documents import document as documents
from billing.documents.layout import page_of
from billing.documents.lines import line_of
from billing.reads import price_steps
from billing.reads.price_steps import decimal, ratio
from billing.service.published_prices import price_terms
from billing.store.store import Row, Store
from billing.store.tables import components, meters, policies, prices, skus
from dashboard.engine import Explained, Line, Step

PRICE = select(prices).where(prices.c.price_id == bindparam("id"))


def lines_of(
    store: Store, document: documents.InvoiceDocument, rows: Mapping[str, Row], language: str
) -> tuple[Line, ...]:
    """The lines of a document with their explanation; `rows` are those of line_items by id."""
    page = page_of(document, language)
    told = [tuple(row["details"]) for row in page["rows"] if "details" in row]
    return tuple(
        _line(store, one, rows[one.line_id], words) for one, words in zip(document.lines, told, strict=True)
    )


def _line(store: Store, line: documents.Line, row: Row, told: tuple[str, ...]) -> Line:
    return Line(
        position=line.position,
        line_id=line.line_id,
        kind=line.kind,
        entry=row["entry"],
        description=line.description,
        party=line.party,
        service_start=line.service_start,
        service_end=line.service_end,
        gross_minor=line.gross_minor,
        discount_minor=line.discount_minor,
        net_minor=line.net_minor,
        tax_minor=line.tax_minor,
        tax_rate_ppm=line.tax_rate_ppm,
        tax_category=line.tax_category,
        explained=_explained(store, line, row, told),
    )


def _explained(store: Store, line: documents.Line, row: Row, told: tuple[str, ...]) -> Explained:
    # A credit note takes back an amount, not a number of units.
    if line.quantity is None:
        return Explained(told=told, policy=_policy(row))
    facts = json.loads(row["explanation"] or "{}")
    choice = facts.get("price") or {}
    lost = Counter(one["reason"] for one in choice.get("not_taken", ()) if one.get("reason"))
    proration = line.proration
    return Explained(
        told=told,
        quantity=decimal(line.quantity),
        unit=line.unit,
        unit_price=None if line.unit_price is None else decimal(line.unit_price),
        is_average=line.is_average,
        whole=_whole(facts, row["currency"]),
        part=proration.part if proration else None,
        of=proration.whole if proration else None,
        part_unit=proration.unit if proration else "",
        steps=_steps_of_line(store, row, facts),
        price_id=row["price_id"],
        list_id=choice.get("list_id"),
        level=choice.get("level"),
        not_taken=dict(sorted(lost.items())),
        policy=_policy(row),
    )


def _policy(row: Row) -> str:
    return f"{row['policy_name']} {row['policy_version']}"


def _whole(facts: Mapping[str, Any], currency: str) -> Decimal | None:
    """What the whole period costs, exactly, in major units."""
    told = facts.get("whole_minor")
    if not told:
        return None
    num, den = (int(part) for part in told.split("/"))
    return ratio(num, den * ten_to(currency_exponent(currency)))


def _steps_of_line(store: Store, row: Row, facts: Mapping[str, Any]) -> tuple[Step, ...]:
    """The tiers a line's quantity fills: of usage the quantity of the whole period."""
    if row["price_id"] is None or row["entry"] != "charge" or facts.get("windows") or facts.get("levels"):
        return ()
    price = store.row(PRICE, {"id": row["price_id"]})
    if price is None or price["model"] in EVENT_MODELS:
        return ()
    quantity = facts.get("period_quantity_mantissa", row["quantity_mantissa"])
    try:
        return steps_of(price_terms(store, price), Scaled(quantity, row["quantity_scale"]))
    except BillingError:
        return ()


def steps_of(price: Price, quantity: Scaled) -> tuple[Step, ...]:
    """What each tier that a quantity enters adds; nothing for a price without tiers."""
    return tuple(as_step(one) for one in price_steps.steps_of(price, quantity))


def as_step(step: price_steps.Step) -> Step:
    """A step as pages show it."""
    return Step(step.first, step.last, step.units, step.unit_price, step.flat_fee, step.amount)


# Lines that are not posted.

_COMPONENTS = (
    select(
        components.c.component_id,
        components.c.kind.label("component_kind"),
        meters.c.unit.label("meter_unit"),
        skus.c.base_unit,
    )
    .outerjoin(meters, meters.c.meter_id == components.c.meter_id)
    .outerjoin(skus, skus.c.sku_id == components.c.sku_id)
    .where(components.c.component_id == bindparam("id"))
)
_DAY_COUNT = select(policies.c.day_count).where(
    policies.c.name == bindparam("name"), policies.c.version == bindparam("version")
)
_NOBODY = documents.Party(name="", country="")
_NO_PART = {"component_kind": None, "meter_unit": None, "base_unit": None}
_NO_PRICE = dict.fromkeys(
    ("model", "price_mantissa", "price_scale", "fee_mantissa", "package_size", "free_units")
)
_AMOUNTS = ("kind", "service_start", "service_end", "gross_minor", "discount_minor", "net_minor", "tax_minor")


def lines_of_draft(store: Store, rows: Sequence[Row], language: str) -> tuple[Line, ...]:
    """The lines of one drafted document with their explanation, as they would stand on it."""
    full = [_with_terms(store, row, place) for place, row in enumerate(rows, start=1)]
    lines = tuple(
        line_of(store, row, place, None, None, {name: row[name] for name in _AMOUNTS})
        for place, row in enumerate(full, start=1)
    )
    document = documents.InvoiceDocument(
        kind="invoice",
        document_id="",
        number="",
        issued_on=date.min,
        due_on=None,
        currency=full[0]["currency"],
        locale=language,
        state="open",
        state_on=None,
        seller=_NOBODY,
        buyer=_NOBODY,
        ship_to=None,
        account=None,
        terms=None,
        purchase_order=None,
        service_start=None,
        service_end=None,
        lines=lines,
        taxes=(),
        net_minor=0,
        tax_minor=0,
        total_minor=0,
        settlements=(),
        open_minor=0,
        corrects=(),
        reason=None,
        replaces=None,
        replaced_by=None,
    )
    return lines_of(store, document, {row["line_id"]: row for row in full}, language)


def _with_terms(store: Store, row: Row, place: int) -> Row:
    part = store.row(_COMPONENTS, {"id": row["component_id"]}) or _NO_PART
    price = store.row(PRICE, {"id": row["price_id"]}) if row["price_id"] else None
    held = {"name": row["policy_name"], "version": row["policy_version"]}
    policy = store.row(_DAY_COUNT, held) or {"day_count": "actual_day"}
    own = {name: price[name] for name in _NO_PRICE} if price else _NO_PRICE
    return dict(row) | part | own | policy | {"line_id": f"draft-{place}"}
