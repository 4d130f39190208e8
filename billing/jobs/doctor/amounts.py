"""Checks that compute amounts again, with the functions that made them: from a line's own columns, the price
and the policy it names. They read a page of invoices at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import cast

import polars as pl
from sqlalchemy import and_, exists, func, select
from sqlalchemy.orm import aliased

from billing.core.cuts import agreed_discounts
from billing.core.invoicing import (
    PolicyKey,
    PolicyVersion,
    charges,
    rated,
    taxed,
    version_on,
)
from billing.core.money import RoundingMode, post, product, wide
from billing.core.policy import Policy
from billing.jobs.bill_facts import read_catalogue, read_policies
from billing.jobs.doctor.check import Check, in_span, spans
from billing.jobs.doctor.documents import CREDITED
from billing.store.store import Row, Store
from billing.store.tables import customers, invoices, line_items, prices, tax_lines

PAGE = 5_000
"""Invoices that are looked at together."""

_SPAN = in_span(line_items.c.invoice_id)


def _pages(store: Store) -> Iterator[dict[str, str]]:
    """Spans of invoices, in the order of their ids."""
    return spans(store, invoices.c.invoice_id, PAGE)


def settings_of(store: Store) -> tuple[dict[str, list[PolicyVersion]], dict[PolicyKey, Policy]]:
    known = read_policies(store)
    return known, {(one.name, one.version): one.settings for versions in known.values() for one in versions}


# --- price, quantity and time ---

_IS_PLAIN = and_(
    prices.c.maximum_spend_minor.is_(None), prices.c.window_unit.is_(None), prices.c.prorate == "none"
)
_RECURRING = (
    select(line_items, customers.c.time_zone, prices.c.currency.label("price_currency"))
    .join(prices, prices.c.price_id == line_items.c.price_id)
    .join(customers, customers.c.customer_id == line_items.c.customer_id)
    .where(line_items.c.kind == "recurring", line_items.c.entry == "charge", _IS_PLAIN, _SPAN)
)


def _wrong_gross(store: Store, _at: datetime) -> Iterator[Row]:
    """Recurring charges whose gross or discount is not their price times quantity and time. What is a part of
    a period by running totals may differ by the minor unit that its neighbour has."""
    _, policies = settings_of(store)
    for span in _pages(store):
        lines = store.frame(_RECURRING, span).with_columns(agreed_discounts(), *_before_document)
        if lines.is_empty():
            continue
        found = _computed(store, lines, policies)
        is_whole = pl.col("factor_num") == pl.col("factor_den")
        room = pl.when(is_whole | pl.col("_is_own")).then(0).otherwise(1)
        off = pl.max_horizontal(
            (pl.col(name) - pl.col(f"{name}_again")).abs() for name in ("gross_minor", "discount_minor")
        )
        yield from (
            found.filter((off > room).fill_null(True))
            .select(
                "line_id", pl.col("gross_minor").alias("found"), pl.col("gross_minor_again").alias("wanted")
            )
            .to_dicts()
        )
        has_other_time = (pl.col("factor_num") != pl.col("factor_num_again")) | (
            pl.col("factor_den") != pl.col("factor_den_again")
        )
        yield from (
            found.filter((off <= room) & has_other_time)
            .select(
                "line_id",
                pl.format("{}/{}", "factor_num", "factor_den").alias("found"),
                pl.format("{}/{}", "factor_num_again", "factor_den_again").alias("wanted"),
            )
            .to_dicts()
        )


_before_document = (
    pl.col("discount_minor") - pl.col("document_discount_minor"),
    pl.col("net_minor") + pl.col("document_discount_minor"),
)
"""What discounts of documents take off is not of the line's own terms."""
_AMOUNTS = ("gross_minor", "discount_minor", "net_minor")


def _computed(store: Store, lines: pl.DataFrame, policies: Mapping[PolicyKey, Policy]) -> pl.DataFrame:
    """Lines beside what they come to again (`_again`), each priced as if its period began with it."""
    catalogue = read_catalogue(store, lines, policies)
    alone = lines.drop(*_AMOUNTS, "factor_num", "factor_den", "tax_minor").with_columns(
        pl.col("line_id").alias("terms_id")
    )
    priced = rated(alone, catalogue)
    again = charges(priced, priced.clear(), catalogue).select(
        "line_id",
        *(pl.col(name).alias(f"{name}_again") for name in (*_AMOUNTS, "factor_num", "factor_den")),
    )
    own = [key for key, settings in policies.items() if settings.part_rounding == "own"]
    is_own = pl.any_horizontal(
        pl.lit(False),
        *((pl.col("policy_name") == name) & (pl.col("policy_version") == version) for name, version in own),
    )
    return lines.join(again, on="line_id", how="left").with_columns(is_own.alias("_is_own"))


# --- tax ---

_CHARGES = (
    select(
        line_items.c.line_id,
        line_items.c.invoice_id.label("document"),
        line_items.c.net_minor,
        line_items.c.tax_minor.label("posted_minor"),
        line_items.c.tax_category,
        line_items.c.tax_rate_ppm,
        tax_lines.c.country.label("tax_country"),
        line_items.c.policy_name.label("line_policy_name"),
        invoices.c.issued_on,
        customers.c.policy_name,
    )
    .join(invoices, invoices.c.invoice_id == line_items.c.invoice_id)
    .join(customers, customers.c.customer_id == invoices.c.customer_id)
    .outerjoin(tax_lines, tax_lines.c.line_id == line_items.c.line_id)
    .where(line_items.c.entry == "charge", _SPAN)
)


_whole = aliased(line_items)
_IS_BESIDE = and_(
    line_items.c.item_id == _whole.c.item_id,
    line_items.c.kind == _whole.c.kind,
    line_items.c.reverses_line_id == _whole.c.line_id,
    line_items.c.invoice_id == _whole.c.invoice_id,
    line_items.c.entry == "credit",
)
"""What was billed early, beside the line that shows the whole."""
_BESIDE = (
    select(_whole.c.line_id, line_items.c.net_minor, line_items.c.tax_minor.label("posted_minor"))
    .join(_whole, _IS_BESIDE)
    .where(_SPAN)
)


def _billed_now(lines: pl.DataFrame, beside: pl.DataFrame) -> pl.DataFrame:
    """Charges with what they bill, less what was billed early of them: that is taxed."""
    names = ("net_minor", "posted_minor")
    return (
        lines.join(beside, on="line_id", how="left", suffix="_before")
        .with_columns(pl.col(name) + pl.col(f"{name}_before").fill_null(0) for name in names)
        .select(lines.columns)
    )


def _wrong_tax(store: Store, _at: datetime) -> Iterator[Row]:
    """Charges whose tax is not that of their document's nets at their rate, by the payer's setting of how tax
    is summed (or that of the line's own customer, where the payer's has changed since)."""
    known, _ = settings_of(store)
    for span in _pages(store):
        lines = _billed_now(store.frame(_CHARGES, span), store.frame(_BESIDE, span)).sort("line_id")
        wrong = _differing(lines, known, "policy_name")
        if wrong.height:
            again = lines.join(wrong.select("document").unique(), on="document", how="semi")
            wrong = _differing(again, known, "line_policy_name")
        yield from wrong.select(
            "line_id", pl.col("posted_minor").alias("found"), pl.col("tax_minor").alias("wanted")
        ).to_dicts()


def _differing(lines: pl.DataFrame, known: Mapping[str, list[PolicyVersion]], policy: str) -> pl.DataFrame:
    found = [lines.with_columns(pl.lit(0, pl.Int64).alias("tax_minor")).clear()]
    for (name, on), part in lines.group_by(policy, "issued_on", maintain_order=True):
        settings = version_on(known[str(name)], cast(date, on)).settings
        if settings.tax_base == "posted_net":
            again = taxed(part, settings.tax_scope, settings.rounding)
            found.append(again.filter(pl.col("tax_minor") != pl.col("posted_minor")))
    return pl.concat(found)


_part = aliased(line_items)
_IS_SHOWN_WHOLE = and_(
    _part.c.item_id == line_items.c.item_id,
    _part.c.kind == line_items.c.kind,
    _part.c.reverses_line_id == line_items.c.line_id,
    _part.c.invoice_id == line_items.c.invoice_id,
)
"""A line of which a part was billed early: its tax is made of two, each rounded."""
_BIG = line_items.c.net_minor.type
_TAKEN = (
    select(
        *(line_items.c[name] for name in ("line_id", "net_minor", "document_discount_minor", "tax_minor")),
        *(line_items.c[name] for name in ("policy_name", "policy_version")),
        *(
            func.sum(CREDITED.c[name], type_=_BIG).label(f"taken_{name}")
            for name in ("net_minor", "document_discount_minor", "tax_minor")
        ),
    )
    .join(CREDITED, CREDITED.c.line_id == line_items.c.line_id)
    .where(line_items.c.net_minor != 0, ~exists().where(_IS_SHOWN_WHOLE))
    .group_by(*(line_items.c[name] for name in ("line_id", "net_minor", "document_discount_minor")))
    .group_by(*(line_items.c[name] for name in ("tax_minor", "policy_name", "policy_version")))
)


def _wrong_tax_of_credits(store: Store, _at: datetime) -> Iterator[Row]:
    """Lines of which credits took back another share of the tax than of the net: time takes its share of the
    net before the discounts of documents, an amount taken off by hand its share of what was left of it."""
    _, policies = settings_of(store)
    posted = {
        key: settings.rounding for key, settings in policies.items() if settings.tax_base == "posted_net"
    }
    for page in store.pages(_TAKEN, size=PAGE):
        for mode, lines in _by_rounding(pl.DataFrame(page), posted):
            after = _share_of_tax(pl.col("taken_net_minor"), pl.col("net_minor"), mode)
            before = _share_of_tax(
                pl.col("taken_net_minor") + pl.col("taken_document_discount_minor"),
                pl.col("net_minor") + pl.col("document_discount_minor"),
                mode,
            )
            wrong = lines.with_columns(before.alias("wanted"), after.alias("_after")).filter(
                ~pl.col("taken_tax_minor").is_between(
                    pl.min_horizontal("wanted", "_after"), pl.max_horizontal("wanted", "_after")
                )
            )
            yield from wrong.select("line_id", pl.col("taken_tax_minor").alias("found"), "wanted").to_dicts()


def _share_of_tax(part: pl.Expr, whole: pl.Expr, mode: RoundingMode) -> pl.Expr:
    return post(product(wide(pl.col("tax_minor")), part), wide(whole), mode).cast(pl.Int64)


def _by_rounding(
    lines: pl.DataFrame, modes: Mapping[PolicyKey, str]
) -> Iterator[tuple[RoundingMode, pl.DataFrame]]:
    for key, part in lines.group_by("policy_name", "policy_version"):
        if key in modes:
            yield cast(RoundingMode, modes[cast(PolicyKey, key)]), part


AMOUNTS = (
    Check(
        "line_amount",
        "line_items",
        "A recurring charge is its price times its quantity and its share of the period, less its discounts.",
        _wrong_gross,
    ),
    Check(
        "line_tax",
        "line_items",
        "The tax of a document is its nets at their rates, shared over its lines.",
        _wrong_tax,
    ),
    Check(
        "credited_share",
        "line_items",
        "Credits take back the same share of a line's tax as of its net.",
        _wrong_tax_of_credits,
    ),
)
