"""Checks that count usage again and price it again, with the functions that billed it. They read a page of
items at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import polars as pl
from sqlalchemy import and_, exists, false, select, union
from sqlalchemy.orm import aliased

from billing.core import thresholds
from billing.core.cuts import agreed_discounts
from billing.core.invoicing import SERVICE_KEY, rated, usage_amounts
from billing.core.policy import Policy
from billing.core.pricing import EVENT_MODELS
from billing.jobs.bill_facts import read_catalogue
from billing.jobs.bill_usage import with_quantities
from billing.jobs.doctor.amounts import settings_of
from billing.jobs.doctor.check import Check, in_span, spans
from billing.store.store import Row, Store
from billing.store.tables import (
    components,
    contract_clauses,
    contracts,
    credit_note_lines,
    customers,
    invoices,
    items,
    line_items,
    meters,
    prices,
    usage_snapshots,
)

PAGE = 2_000
"""Items that are looked at together."""


def _pages(store: Store) -> Iterator[dict[str, str]]:
    """Spans of items with usage, in the order of their ids."""
    return spans(store, usage_snapshots.c.item_id, PAGE)


_TAKEN = (
    select(
        *(usage_snapshots.c[name] for name in (*SERVICE_KEY, "revision", "quantity_mantissa")),
        usage_snapshots.c.last_event_seq.label("counts_seq"),
        meters.c.meter_id,
        meters.c.aggregation,
        meters.c.scale.label("meter_scale"),
        meters.c.is_recurring,
        meters.c.grain,
        customers.c.time_zone,
    )
    .join(components, components.c.component_id == usage_snapshots.c.component_id)
    .join(meters, meters.c.meter_id == components.c.meter_id)
    .join(items, items.c.item_id == usage_snapshots.c.item_id)
    .join(customers, customers.c.customer_id == items.c.customer_id)
    .where(usage_snapshots.c.frozen_at.is_(None), in_span(usage_snapshots.c.item_id))
)


def _snapshots(store: Store, span: dict[str, str]) -> pl.DataFrame:
    """The last quantity billed of each segment of usage, with its meter."""
    taken = store.frame(_TAKEN, span).sort("revision")
    return taken.group_by(SERVICE_KEY, maintain_order=True).last()


def _wrong_quantity(store: Store, _at: datetime) -> Iterator[Row]:
    """Quantities that are not those of the events that had come: of the days of service, or where a policy
    counts the day a service ends to it, of that day too. What a level came to over time depends on its
    period, which a snapshot does not tell."""
    _, policies = settings_of(store)
    may_include = any(one.end_day_usage == "include" for one in policies.values())
    for span in _pages(store):
        parts = _snapshots(store, span).filter(pl.col("aggregation") != "weighted_sum")
        wrong = _differing(store, parts, ends_here=False)
        if may_include and wrong.height:
            of_wrong = parts.join(wrong, on=SERVICE_KEY, how="semi")
            wrong = wrong.join(_differing(store, of_wrong, ends_here=True), on=SERVICE_KEY, how="semi")
        yield from wrong.to_dicts()


_INCLUDES = replace(Policy(), end_day_usage="include")


def _differing(store: Store, parts: pl.DataFrame, *, ends_here: bool) -> pl.DataFrame:
    """The snapshots whose segments now count another quantity, of events that had come by then."""
    if parts.is_empty():
        return pl.DataFrame(schema=dict.fromkeys(SERVICE_KEY, pl.String()))
    counted = parts.with_columns(
        pl.lit(ends_here).alias("ends_here"), pl.lit(None, pl.Datetime("us", "UTC")).alias("counts_until")
    )
    again = with_quantities(store, counted.rename({"quantity_mantissa": "found"}), _INCLUDES)
    return again.filter(pl.col("quantity_mantissa") != pl.col("found")).select(
        *SERVICE_KEY, "revision", "found", pl.col("quantity_mantissa").alias("wanted")
    )


# --- prices ---

_IS_PLAIN = and_(
    prices.c.maximum_spend_minor.is_(None),
    prices.c.window_unit.is_(None),
    prices.c.prorate == "none",
    prices.c.is_ahead == false(),
    prices.c.model.not_in(EVENT_MODELS),
    meters.c.aggregation != "weighted_sum",
    invoices.c.state != "void",
    invoices.c.kind != thresholds.INVOICE,
)
_credit = aliased(line_items)
_WAS_CREDITED = union(
    select(_credit.c.reverses_line_id.label("line_id")).where(
        _credit.c.entry == "credit",
        in_span(_credit.c.item_id),
    ),
    select(credit_note_lines.c.line_id)
    .join(line_items, line_items.c.line_id == credit_note_lines.c.line_id)
    .where(credit_note_lines.c.kind.is_distinct_from("adjustment"), in_span(line_items.c.item_id)),
).subquery()
_owner = aliased(customers)
_HAS_POOLS = exists().where(
    contract_clauses.c.kind == "pool",
    contracts.c.contract_id == contract_clauses.c.contract_id,
    _owner.c.customer_id == contracts.c.customer_id,
    _owner.c.root_id == customers.c.root_id,
)
_CHARGED = (
    select(
        line_items,
        customers.c.time_zone,
        prices.c.currency.label("price_currency"),
        and_(_IS_PLAIN, line_items.c.line_id.not_in(select(_WAS_CREDITED.c.line_id)), ~_HAS_POOLS).label(
            "is_plain"
        ),
    )
    .join(invoices, invoices.c.invoice_id == line_items.c.invoice_id)
    .join(customers, customers.c.customer_id == line_items.c.customer_id)
    .join(components, components.c.component_id == line_items.c.component_id)
    .join(meters, meters.c.meter_id == components.c.meter_id)
    .join(prices, prices.c.price_id == line_items.c.price_id)
    .where(line_items.c.kind == "usage", line_items.c.entry == "charge", in_span(line_items.c.item_id))
)
_BILLED = ("gross_minor", "discount_minor")


def _wrong_amount(store: Store, _at: datetime) -> Iterator[Row]:
    """Segments of usage whose charges together are not the price of all their usage, less its discounts.

    Not of what was billed early, voided or taken back, nor of prices by event, by window, by the day, of
    pools, paid ahead or with a maximum spend: what those come to depends on more than the segment.
    """
    _, policies = settings_of(store)
    for span in _pages(store):
        charged = (
            store.frame(_CHARGED, span)
            .filter(pl.col("is_plain").cast(pl.Boolean).all().over(SERVICE_KEY))
            .with_columns(agreed_discounts(), pl.col("discount_minor") - pl.col("document_discount_minor"))
        )
        if charged.is_empty():
            continue
        sums = charged.group_by(SERVICE_KEY).agg(pl.col(_BILLED).sum())
        last = charged.sort("revision").group_by(SERVICE_KEY, maintain_order=True).last()
        whole = last.drop(*_BILLED, "net_minor", "tax_minor", "quantity_mantissa").join(
            _snapshots(store, span).select(*SERVICE_KEY, "quantity_mantissa"), on=SERVICE_KEY
        )
        catalogue = read_catalogue(store, whole, policies)
        again = usage_amounts(rated(whole, catalogue), catalogue)
        found = again.join(sums, on=SERVICE_KEY, suffix="_found")
        is_off = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_found") for name in _BILLED)
        yield from (
            found.filter(is_off)
            .select(
                "line_id", pl.col("gross_minor_found").alias("found"), pl.col("gross_minor").alias("wanted")
            )
            .to_dicts()
        )


USAGE = (
    Check(
        "usage_quantity",
        "usage_snapshots",
        "The quantity of billed usage is that of the events that had come by then.",
        _wrong_quantity,
    ),
    Check(
        "usage_amount",
        "line_items",
        "The charges of a segment of usage are the price of its quantity, less its discounts.",
        _wrong_amount,
    ),
)
