"""Brings pools into a bill run: who shares one, from which day on they are looked at, what their segments
cost by its volume, and the rebate lines. The rules stand in core/pools.py; without pools nothing here is
asked but one statement a chunk.

A pool needs all of its members in one frame: when one is due, the others are drawn into the chunk. A member
that cannot be billed sets the pool's members aside, and nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import cast

import polars as pl
from sqlalchemy import and_, func, or_, select

from billing.core import invoicing, pools
from billing.core.adjustments import tax_of
from billing.core.cuts import agreed
from billing.core.discounts import with_kept_share
from billing.core.invoicing import LINE_KEY, SERVICE, SERVICE_KEY, PolicyKey, PolicyVersion
from billing.core.money import RoundingMode, power_of_ten, product, wide
from billing.core.policy import Policy
from billing.jobs.bill_facts import MEMBERS, ORIGIN, read_by_ids
from billing.store.store import Store
from billing.store.tables import (
    components,
    contract_clauses,
    contract_terms,
    contracts,
    customers,
    discounts,
    item_versions,
    items,
    line_items,
    pool_members,
    pool_tiers,
    prices,
)

_ANY = select(pool_members.c.clause_id).limit(1)
_FIRST_DAY = (
    select(func.min(contract_terms.c.term_start))
    .where(contract_terms.c.contract_id == contracts.c.contract_id)
    .scalar_subquery()
)
_OWNERS = customers.alias("owners")
_CLAUSES = (
    select(
        contract_clauses.c.clause_id,
        contract_clauses.c.first_on,
        contract_clauses.c.interval,
        contracts.c.ended_on,
        _FIRST_DAY.label("anchor_on"),
        customers.c.root_id,
    )
    .join(contracts, contracts.c.contract_id == contract_clauses.c.contract_id)
    .join(customers, customers.c.customer_id == contracts.c.customer_id)
    .where(contract_clauses.c.kind == "pool")
)
_MEMBERS_OF_POOLS = (
    select(
        contract_clauses.c.clause_id,
        contract_clauses.c.first_on,
        components.c.component_id,
        customers.c.customer_id,
        customers.c.root_id,
        customers.c.policy_name,
        customers.c.parked_code,
        customers.c.unsettled_from,
        contracts.c.ended_on,
        pool_members.c.kind.label("counts"),
    )
    .select_from(items)
    .join(customers, customers.c.customer_id == items.c.customer_id)
    .join(
        item_versions,
        and_(item_versions.c.item_id == items.c.item_id, item_versions.c.superseded_at.is_(None)),
    )
    .join(
        components,
        and_(
            components.c.plan_id == item_versions.c.plan_id,
            components.c.plan_version == item_versions.c.plan_version,
        ),
    )
    .join(
        pool_members,
        or_(
            and_(pool_members.c.kind == "component", pool_members.c.member_id == components.c.component_id),
            and_(pool_members.c.kind == "sku", pool_members.c.member_id == components.c.sku_id),
        ),
    )
    .join(contract_clauses, contract_clauses.c.clause_id == pool_members.c.clause_id)
    .join(contracts, contracts.c.contract_id == contract_clauses.c.contract_id)
    .join(
        _OWNERS,
        and_(_OWNERS.c.customer_id == contracts.c.customer_id, _OWNERS.c.root_id == customers.c.root_id),
    )
    .distinct()
)
_TIERS = select(
    pool_tiers.c.clause_id,
    pool_tiers.c.position,
    pool_tiers.c.up_to,
    pool_tiers.c.price_id,
    prices.c.price_mantissa,
    prices.c.price_scale,
    prices.c.currency.label("pool_currency"),
).join(prices, prices.c.price_id == pool_tiers.c.price_id)


# Who shares a pool.


def pool_members_of(
    store: Store, root_ids: Sequence[str], up_to: date, *, looks_back: bool = False
) -> pl.DataFrame:
    """The members of the pools of some trees, one row a pool, component and customer.

    Without pools that set no price any more or not yet, unless they share a customer with another, or one
    looks back: a pool is over once all its members are settled beyond its end, and has not begun while the
    usage it counts is due before it. Goods may be billed ahead.
    """
    if store.row(_ANY) is None:
        return pl.DataFrame(schema=_MEMBER_SCHEMA)
    owned = read_by_ids(store, _CLAUSES, customers.c.root_id, root_ids)["root_id"].unique().to_list()
    if not owned:
        return pl.DataFrame(schema=_MEMBER_SCHEMA)
    found = read_by_ids(store, _MEMBERS_OF_POOLS, customers.c.root_id, owned)
    has_begun = (pl.col("first_on") <= up_to) | (pl.col("counts") == "sku")
    is_open = pl.col("ended_on").is_null() | pl.col("unsettled_from").is_null()
    is_open |= (pl.col("ended_on") > pl.col("unsettled_from")) | pl.lit(looks_back)
    in_force = found.filter(has_begun.fill_null(True) & is_open)
    found = _connected(found, set(in_force["customer_id"]))
    return found.sort("clause_id", "customer_id", "component_id").select(*_MEMBER_SCHEMA)


_MEMBER_SCHEMA = {
    "clause_id": pl.String,
    "first_on": pl.Date,
    "component_id": pl.String,
    "customer_id": pl.String,
    "root_id": pl.String,
    "policy_name": pl.String,
    "parked_code": pl.String,
}


def siblings_of(store: Store, members: pl.DataFrame, up_to: date) -> list[str]:
    """Who shares a pool with one of these customers and is not among them; not who was set aside for reasons
    of its own."""
    found = pool_members_of(store, members["root_id"].unique().sort().to_list(), up_to)
    if found.is_empty():
        return []
    named = set(members["customer_id"])
    shared = _connected(found, named)
    is_free = pl.col("parked_code").is_null() | (pl.col("parked_code") == pools.FAILED)
    return sorted(set(shared.filter(is_free)["customer_id"]) - named)


def _connected(found: pl.DataFrame, named: set[str]) -> pl.DataFrame:
    """The rows of pools that these customers share, directly or through others."""
    reached, before = named, -1
    shared = found.clear()
    while shared.height != before:
        before = shared.height
        own = found.filter(pl.col("customer_id").is_in(list(reached)))["clause_id"].unique()
        shared = found.filter(pl.col("clause_id").is_in(own.implode()))
        reached = reached | set(shared["customer_id"])
    return shared


def units_of(store: Store, root_ids: Sequence[str], members: Sequence[str], up_to: date) -> list[list[str]]:
    """The customers in parts that can be billed apart: who shares pools stays together."""
    found = pool_members_of(store, root_ids, up_to)
    parts, placed = [], set[str]()
    for customer_id in members:
        if customer_id in placed:
            continue
        together = {customer_id}
        if found.height:
            together |= set(_connected(found, {customer_id})["customer_id"]) & set(members)
        placed |= together
        parts.append(sorted(together))
    return parts


def with_siblings(store: Store, members: pl.DataFrame, up_to: date) -> pl.DataFrame:
    """Members of a preview with those they share a pool with."""
    more = siblings_of(store, members, up_to)
    if not more:
        return members
    added = read_by_ids(store, MEMBERS, customers.c.customer_id, more)
    return pl.concat([members, added.select(members.columns)])


_FREE = MEMBERS.with_for_update(skip_locked=True, of=customers)
_WHEN_FREE = MEMBERS.order_by(customers.c.customer_id).with_for_update(of=customers)


def draw_siblings(store: Store, members: pl.DataFrame, up_to: date, *, waits: bool) -> pl.DataFrame:
    """The due members of a chunk with those they share a pool with, locked like them. Where another
    transaction holds one, all who share its pool are passed over with it."""
    more = siblings_of(store, members, up_to) if members.height else []
    if not more:
        return members
    drawn = read_by_ids(store, _WHEN_FREE if waits else _FREE, customers.c.customer_id, more)
    both = pl.concat([members, drawn.select(members.columns)]).with_columns(
        pl.col("customer_id").is_in(more).alias("is_drawn")
    )
    held = set(more) - set(drawn["customer_id"])
    if held:
        found = pool_members_of(store, both["root_id"].unique().sort().to_list(), up_to)
        passed_over = _connected(found, held)["customer_id"].unique()
        both = both.filter(~pl.col("customer_id").is_in(passed_over.implode()))
    return both


_SET_ASIDE = select(customers.c.customer_id).where(customers.c.parked_code == pools.FAILED)


def free(store: Store, at: datetime, members: pl.DataFrame) -> None:
    """Members set aside because another one was are billed again with it."""
    if "is_drawn" not in members.columns:
        return
    drawn = members.filter("is_drawn")["customer_id"].to_list()
    parked = read_by_ids(store, _SET_ASIDE, customers.c.customer_id, drawn)["customer_id"]
    nothing = dict.fromkeys(("parked_at", "parked_code", "parked_detail"))
    store.update(customers, [{"customer_id": one} | nothing for one in parked], at)


def parked_together(members: Sequence[str], code: str, detail: str) -> pl.DataFrame:
    """Customers that failed as one, to be set aside: the first with what happened."""
    failed = pl.DataFrame([(members[0], code, detail)], invoicing.FAILURE_SCHEMA, orient="row")
    together = pl.DataFrame({"clause_id": [""] * len(members), "customer_id": list(members)})
    return pools.with_siblings(failed, together)


# What a draft knows of its pools.


@dataclass(frozen=True)
class Pools:
    """The pools of a draft. members: one row a pool, component and customer. clauses, tiers: their terms.
    failures: customers whose pool cannot be told."""

    members: pl.DataFrame
    clauses: pl.DataFrame
    tiers: pl.DataFrame
    failures: pl.DataFrame

    def __bool__(self) -> bool:
        return self.members.height > 0

    def among(self, members: pl.DataFrame) -> Pools:
        """The pools of some of the customers, whose pools are theirs alone."""
        if not self:
            return self
        here = self.members.join(members.select("customer_id"), on="customer_id", how="semi")
        return replace(self, members=here)

    @property
    def shared(self) -> pl.DataFrame:
        """Who shares which pool: `clause_id`, `customer_id`."""
        return self.members.select("clause_id", "customer_id").unique()


_NONE = Pools(
    pl.DataFrame(schema=_MEMBER_SCHEMA),
    pl.DataFrame(),
    pl.DataFrame(),
    pl.DataFrame(schema=invoicing.FAILURE_SCHEMA),
)


def read_pools(store: Store, members: pl.DataFrame, up_to: date, *, looks_back: bool = False) -> Pools:
    """The pools of a draft's customers. A pool of which a member is not here, or whose members have several
    policies, cannot be told."""
    roots = members["root_id"].unique().sort().to_list()
    found = pool_members_of(store, roots, up_to, looks_back=looks_back)
    if found.is_empty():
        return _NONE
    found = _connected(found, set(members["customer_id"]))
    if found.is_empty():
        return _NONE
    here = members["customer_id"].implode()
    missing = found.filter(~pl.col("customer_id").is_in(here)).select(
        "clause_id", pl.format("{} is set aside", "customer_id").alias("detail")
    )
    mixed = (
        found.group_by("clause_id", maintain_order=True)
        .agg(pl.col("policy_name").n_unique().alias("_policies"))
        .filter(pl.col("_policies") > 1)
        .select("clause_id", pl.lit("its members have several policies").alias("detail"))
    )
    found = found.filter(pl.col("customer_id").is_in(here))
    wrong = pl.concat([missing, mixed]).unique("clause_id", keep="first", maintain_order=True)
    failures = found.join(wrong, on="clause_id").select(
        "customer_id",
        pl.lit(pools.FAILED).alias("code"),
        pl.format("pool {}: {}", "clause_id", "detail").alias("detail"),
    )
    failures = failures.unique("customer_id", keep="first", maintain_order=True)
    ids = found["clause_id"].unique().sort().to_list()
    clauses = read_by_ids(store, _CLAUSES, contract_clauses.c.clause_id, ids).sort("clause_id")
    tiers = read_by_ids(store, _TIERS, pool_tiers.c.clause_id, ids).sort("clause_id", "position")
    failures = pools.with_siblings(failures, found.select("clause_id", "customer_id").unique())
    return Pools(found, clauses, tiers, failures)


def floors(found: Pools, members: pl.DataFrame) -> pl.DataFrame:
    """From which day on each customer of a pool is looked at: `customer_id`, `floor`, the start of the
    contract year that holds the earliest floor among its members.

    members: all customers, with the `floor` they have by themselves.
    """
    held = found.shared.join(members.select("customer_id", "floor"), on="customer_id")
    terms = {row["clause_id"]: row for row in found.clauses.iter_rows(named=True)}
    while True:
        lowest = held.group_by("clause_id").agg(pl.col("floor").min())
        moved = [(clause_id, _year_floor(terms[clause_id], on)) for clause_id, on in lowest.iter_rows()]
        table = pl.DataFrame(moved, schema={"clause_id": pl.String, "_floor": pl.Date}, orient="row")
        own = (
            held.join(table, on="clause_id")
            .group_by("customer_id")
            .agg(pl.min_horizontal(pl.col("_floor").min(), pl.col("floor").min()).alias("_own"))
        )
        new = held.join(own, on="customer_id").select(
            "clause_id", "customer_id", pl.col("_own").alias("floor")
        )
        if _same(new, held):
            return new.select("customer_id", "floor").unique("customer_id")
        held = new


def _same(left: pl.DataFrame, right: pl.DataFrame) -> bool:
    return left.sort(left.columns).equals(right.select(left.columns).sort(left.columns))


def _year_floor(clause: Mapping[str, object], on: date) -> date:
    anchor, first, interval = clause["anchor_on"], clause["first_on"], clause["interval"]
    assert isinstance(anchor, date)
    assert isinstance(first, date)
    if on < first:
        return on
    return max(pools.year_start(anchor, str(interval), on), first)


def compared_together(found: Pools, due: pl.DataFrame, compared: pl.DataFrame) -> pl.DataFrame:
    """Usage segments to compare, of those that are due: with an item those of all that share a pool with it,
    since its usage may change their prices."""
    if compared.is_empty():
        return compared
    members = found.members.select("clause_id", "customer_id", "component_id")
    pooled = due.join(members, on=["customer_id", "component_id"]).select("clause_id", "item_id").unique()
    reached, before = compared.select("item_id").unique(), -1
    while reached.height != before:
        before = reached.height
        of_pools = pooled.join(reached, on="item_id", how="semi").select("clause_id")
        more = pooled.join(of_pools, on="clause_id", how="semi").select("item_id")
        reached = pl.concat([reached, more]).unique()
    return due.join(reached, on="item_id", how="semi", maintain_order="left")


# Pricing.


@dataclass(frozen=True)
class Pooled:
    """Segments of a draft at the prices of their pools. parts, uses: all of them, pooled or not. segments:
    the pooled ones with their year. rows: those of a known volume, as `with_tiers` gives them."""

    parts: pl.DataFrame
    uses: pl.DataFrame
    segments: pl.DataFrame
    rows: pl.DataFrame

    def next_days(self, up_to: date) -> pl.DataFrame:
        """When the rebates are due that wait for the end of their year."""
        waits = (pl.col("pool_effect") == "year_end") & (pl.col("year_end") > up_to)
        return self.rows.filter(waits).select("customer_id", pl.col("year_end").alias("next_bill_on"))

    @property
    def failures(self) -> pl.DataFrame:
        """Customers with a due segment that bears an amount discount: what is left of an amount where the
        price falls is not told."""
        bears_amount = pl.col("discount_ids").str.contains(r":[1-9]")
        detail = pl.format("item {}: an amount discount on the pooled {}", "item_id", "component_id")
        found = self.rows.filter("is_counted", bears_amount)
        return invoicing.failures_of(found, pl.lit("unsupported_discount"), detail)


_QUANTITY = ["quantity_mantissa", "quantity_scale"]
_SEGMENT = [*LINE_KEY, "service_start"]


def priced_by_pools(
    found: Pools,
    parts: pl.DataFrame,
    uses: pl.DataFrame,
    snapshots: pl.DataFrame,
    versions: Sequence[PolicyVersion],
    up_to: date,
) -> Pooled:
    """Segments with the price their pool has for them.

    uses: the usage segments a run compares, with their quantity. snapshots: the quantities others were billed
    with, which count until these are compared again.
    """
    last = max([up_to, *parts["reference_end"].drop_nulls()])
    of_years = pools.years(found.clauses, min([up_to, *parts["floor"].drop_nulls()]), last)
    members = found.members.select("clause_id", "first_on", "customer_id", "component_id")
    segments = pools.in_years(parts.filter(pl.col("kind") != "fee"), members, of_years)
    settings = {(one.name, one.version): one.settings for one in versions}
    goods = invoicing.with_factor(segments.filter(~pl.col("is_usage")), settings)
    usage = segments.filter("is_usage").with_columns(
        pl.lit(1, pl.Int64).alias("factor_num"), pl.lit(1, pl.Int64).alias("factor_den")
    )
    compared = usage.drop(_QUANTITY).join(
        uses.select(*_SEGMENT, *_QUANTITY), on=_SEGMENT, how="inner", maintain_order="left"
    )
    as_billed = (
        usage.drop("quantity_mantissa")
        .join(uses.select(_SEGMENT), on=_SEGMENT, how="anti", maintain_order="left")
        .join(
            snapshots.select(*SERVICE_KEY, "quantity_mantissa"),
            on=SERVICE_KEY,
            how="inner",
            maintain_order="left",
        )
        .with_columns(pl.col("meter_scale").alias("quantity_scale"))
    )
    known = [
        one.with_columns(pl.col(_QUANTITY).cast(pl.Int64)).select(goods.columns)
        for one in (goods, compared, as_billed)
    ]
    rows = pl.concat(known).with_columns(
        (~pl.col("is_usage")).alias("is_goods"), (pl.col("due_on") <= up_to).alias("is_counted")
    )
    rows = pools.with_tiers(pools.with_volumes(rows), found.tiers, versions)
    terms = _terms(rows, found.tiers)
    return Pooled(_at_terms(parts, terms), _at_terms(uses, terms, has_quantity=True), segments, rows)


def _terms(rows: pl.DataFrame, tiers: pl.DataFrame) -> pl.DataFrame:
    """The price of each segment, by `_SEGMENT`. Usage that is priced tier by tier has the price of the first
    tier, and the exact quantity that costs the same at it."""
    first = tiers.filter(pl.col("position") == 1).select(
        "clause_id",
        "pool_currency",
        pl.col("price_id").alias("first_id"),
        wide(pl.col("price_mantissa")).alias("first_mantissa"),
    )
    is_by_tier = (pl.col("pool_effect") == "from_here") & ~pl.col("is_goods")
    finer = power_of_ten(pl.col("volume_scale") - pl.col("quantity_scale"))
    is_exact = is_by_tier & (pl.col("first_mantissa") > 0)
    names = (("clause_id", "clause_id"), ("volume_before", "before"), ("volume", "after"))
    about = [
        part
        for name, of in names
        for part in (pl.lit(f', "{name}": "'), pl.col(of).cast(pl.String), pl.lit('"'))
    ]
    text = pl.concat_str(
        pl.lit('{"price_id": "'),
        "pool_price_id",
        pl.lit('", "level": "pool"'),
        *about,
        pl.lit(', "volume_scale": '),
        pl.col("volume_scale").cast(pl.String),
        pl.lit("}"),
    )
    return rows.join(first, on="clause_id", how="left", maintain_order="left").select(
        *_SEGMENT,
        "pool_currency",
        pl.when(is_by_tier).then("first_id").otherwise("pool_price_id").alias("pool_price_id"),
        pl.when(is_exact).then("graduated_num").alias("pool_num"),
        pl.when(is_exact).then(product(pl.col("first_mantissa"), finer)).alias("pool_den"),
        text.alias("pool_choice"),
    )


def _at_terms(parts: pl.DataFrame, terms: pl.DataFrame, *, has_quantity: bool = False) -> pl.DataFrame:
    """Segments on the terms of their pool, with `pool_choice` that says so; others as they are."""
    is_pooled = pl.col("pool_price_id").is_not_null()
    rows = parts.join(terms, on=_SEGMENT, how="left", maintain_order="left").with_columns(
        pl.coalesce("pool_price_id", "price_id").alias("price_id"),
        pl.coalesce("pool_currency", "price_currency").alias("price_currency"),
        pl.when(is_pooled).then(pl.lit("per_unit")).otherwise("price_model").alias("price_model"),
        *(
            pl.when(~is_pooled).then(name).alias(name)
            for name in ("minimum_spend_minor", "maximum_spend_minor", "window_unit", "prorate", "is_ahead")
        ),
    )
    anew = pl.format("{}|{}.{}", agreed(), "policy_name", "policy_version")
    rows = rows.with_columns(
        pl.when(is_pooled).then(agreed()).otherwise("agreed").alias("agreed"),
        pl.when(is_pooled).then(anew).otherwise("terms_id").alias("terms_id"),
    )
    if has_quantity and rows["pool_num"].null_count() < rows.height:
        exact = (("quantity_num", "pool_num"), ("quantity_den", "pool_den"))
        rows = rows.with_columns(
            pl.coalesce(of, name).alias(name) if name in rows.columns else pl.col(of).alias(name)
            for name, of in exact
        )
    return rows.drop("pool_price_id", "pool_currency", "pool_num", "pool_den")


# Rebates.


def rebate_rows(
    store: Store,
    pooled: Pooled | None,
    billed: pl.DataFrame,
    charged: pl.DataFrame,
    later: pl.DataFrame,
    settings: Mapping[PolicyKey, Policy],
    up_to: date,
) -> pl.DataFrame:
    """What the rebates of the years in view come to beyond those billed, as rows to post: below 0 to grant,
    above 0 to take back.

    billed: rebates as posted (`line_id`, LINE_KEY, SERVICE, `gross_minor`, `net_minor`, grants below 0).
    charged: posted charges. later: LINE_KEY of what a run to a later day billed; such years are left alone.
    """
    taken_back = _taken_back(store, _gone(pooled, billed, later))
    if pooled is None:
        return taken_back
    known_later = pl.concat(
        [
            pooled.segments.join(later, on=LINE_KEY, how="semi").select(pools.YEAR),
            pooled.segments.filter(pl.col("due_on") > up_to)
            .join(charged, on=_SEGMENT, how="semi")
            .select(pools.YEAR),
        ]
    ).unique()
    counted = pooled.rows.join(known_later, on=pools.YEAR, how="anti", maintain_order="left")
    has_discounts = (counted["discount_ids"] != "").any()
    known = store.frame(select(discounts)) if has_discounts else pl.DataFrame()
    owed = pools.rebates(with_kept_share(counted, known), settings, up_to)
    owed = owed.with_columns(pl.lit(None, pl.String).alias("failure"))
    rows = invoicing.beyond_billed(owed, _granted(billed).drop("granted_by"))
    return pl.concat([_related(store, rows, charged), taken_back], how="diagonal")


def _granted(billed: pl.DataFrame) -> pl.DataFrame:
    """The rebates posted of each item and year, and a line that tells their terms."""
    return billed.group_by(*SERVICE_KEY).agg(
        pl.col("gross_minor", "net_minor").sum(), pl.col("line_id").max().alias("granted_by")
    )


def _gone(pooled: Pooled | None, billed: pl.DataFrame, later: pl.DataFrame) -> pl.DataFrame:
    """Rebates of items that are in no pool any more, or of years with another end."""
    sums = _granted(billed).filter(pl.col("net_minor") != 0).join(later, on=LINE_KEY, how="anti")
    if pooled is None:
        return sums
    of_year = (pl.col("year_start").alias(SERVICE[0]), pl.col("year_end").alias(SERVICE[1]))
    return sums.join(pooled.rows.select(*LINE_KEY, *of_year), on=SERVICE_KEY, how="anti")


def _related(store: Store, rows: pl.DataFrame, charged: pl.DataFrame) -> pl.DataFrame:
    """Rebates with the line they relate to, whose tax they bear: of the item's lines of the year the dearest,
    and of those the newest; none where all are of this run."""
    lines = (
        rows.select(*LINE_KEY, "year_start", "year_end")
        .unique()
        .join(charged.filter(pl.col("kind") != "rebate"), on=LINE_KEY)
        .filter(pl.col("reference_end") > pl.col("year_start"), pl.col("reference_end") <= pl.col("year_end"))
        .sort("net_minor", "line_id")
        .group_by(*LINE_KEY, "year_start")
        .agg(pl.col("line_id").last().alias("related_id"))
    )
    origin = read_by_ids(store, ORIGIN, line_items.c.line_id, lines["related_id"].to_list()).select(
        pl.col("line_id").alias("related_id"),
        pl.col("invoice_id").alias("related_invoice_id"),
        "origin_po_id",
        "tax_category",
        "tax_country",
        "tax_rate_ppm",
    )
    return (
        rows.join(lines, on=[*LINE_KEY, "year_start"], how="left", maintain_order="left")
        .join(origin, on="related_id", how="left", maintain_order="left")
        .with_columns(
            pl.lit(1, pl.Int64).alias("quantity_mantissa"),
            pl.lit(0, pl.Int64).alias("quantity_scale"),
            pl.col("clause_id").alias("terms_id"),
            pl.lit(None, pl.String).alias("price_id"),
            pl.col("bill_to").alias("payer_id"),
            pl.concat_str("plan_name", pl.lit(", "), "component_name", pl.lit(", rebate")).alias(
                "description"
            ),
            pl.concat_str(
                pl.lit('{"clause_id": "'),
                "clause_id",
                pl.lit('", "volume": "'),
                pl.col("volume").cast(pl.String),
                pl.lit('", "volume_scale": '),
                pl.col("volume_scale").cast(pl.String),
                pl.lit("}"),
            ).alias("explanation"),
        )
    )


def _taken_back(store: Store, gone: pl.DataFrame) -> pl.DataFrame:
    """Rebates whose item left its pool, or whose year came to another end, taken back as granted."""
    origin = read_by_ids(store, ORIGIN, line_items.c.line_id, gone["granted_by"].to_list())
    return (
        gone.select(
            *LINE_KEY,
            *SERVICE,
            (-pl.col("gross_minor")).alias("gross_minor"),
            (-pl.col("net_minor")).alias("net_minor"),
            pl.col("granted_by").alias("line_id"),
        )
        .join(
            origin.drop(
                *LINE_KEY,
                *SERVICE,
                "gross_minor",
                "discount_minor",
                "net_minor",
                "tax_minor",
                "document_discount_minor",
            ),
            on="line_id",
        )
        .with_columns(
            (pl.col("gross_minor") - pl.col("net_minor")).alias("discount_minor"),
            pl.lit(None, pl.String).alias("failure"),
            pl.col("line_id").alias("related_id"),
            pl.col("invoice_id").alias("related_invoice_id"),
        )
    )


def with_entries(rows: pl.DataFrame) -> pl.DataFrame:
    """Rebates as lines: a grant is a credit, one taken back a charge; with the tax terms of the line they
    relate to."""
    is_grant = pl.col("net_minor") < 0
    return rows.with_columns(
        pl.lit("rebate").alias("kind"),
        pl.when(is_grant).then(pl.lit("credit")).otherwise(pl.lit("charge")).alias("entry"),
        pl.when(is_grant).then("related_id").alias("reverses_line_id"),
        pl.when(is_grant).then("related_invoice_id").alias("origin_invoice_id"),
        *(pl.lit(1, pl.Int64).alias(name) for name in ("factor_num", "factor_den")),
    )


def with_tax_of_rebates(credits: pl.DataFrame, settings: Policy) -> pl.DataFrame:
    """The tax of credits that take back no line: of their own net."""
    tax = tax_of(pl.col("net_minor"), 1, pl.col("tax_rate_ppm"), cast(RoundingMode, settings.rounding))
    return (
        credits.with_columns(cast(pl.Expr, tax).cast(pl.Int64).alias("_tax"))
        .with_columns(pl.coalesce("tax_minor", "_tax").alias("tax_minor"))
        .drop("_tax")
    )


def with_related(lines: pl.DataFrame) -> pl.DataFrame:
    """New lines with their ids: a rebate granted with the first lines of its item relates to one of these."""
    is_open = (
        (pl.col("kind") == "rebate") & (pl.col("entry") == "credit") & pl.col("reverses_line_id").is_null()
    )
    if lines.filter(is_open).is_empty():
        return lines
    new = lines.filter(pl.col("entry") == "charge", pl.col("kind") != "rebate").sort("net_minor", "line_id")
    of_item = new.group_by(LINE_KEY).agg(pl.col("line_id").last().alias("_related"))
    return (
        lines.join(of_item, on=LINE_KEY, how="left", maintain_order="left")
        .with_columns(
            pl.when(is_open).then("_related").otherwise("reverses_line_id").alias("reverses_line_id")
        )
        .drop("_related")
    )
