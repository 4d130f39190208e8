"""Works out what customers owe: from facts to priced, taxed lines grouped into documents. Nothing is written.

Reads through bill_facts, decides with core.invoicing. A preview is this and no more; a bill run writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import cast

import polars as pl
from sqlalchemy import (
    select,
)

from billing.core import charges, commitments, endings, invoicing, pools, spend, stock, thresholds, unbilled
from billing.core.cuts import agreed_discounts, credits_due
from billing.core.discounts import in_force, with_fixed_shares
from billing.core.exact_tax import exact_nets, with_exact_tax
from billing.core.invoicing import Catalogue, PolicyKey, PolicyVersion
from billing.core.money import RoundingMode
from billing.core.policy import Policy
from billing.jobs import bill_voids
from billing.jobs.bill_charges import read_charges
from billing.jobs.bill_discounts import special_discounts, with_document_discounts
from billing.jobs.bill_events import EVENT_COLUMNS, with_event_amounts
from billing.jobs.bill_facts import (
    BILLED,
    BILLED_SINCE,
    NOTED,
    NOTED_SINCE,
    ORIGIN,
    SNAPSHOTS,
    read_by_ids,
    read_catalogue,
    read_policies,
    read_terms,
)
from billing.jobs.bill_groups import ORDER, apart, grouped
from billing.jobs.bill_levels import as_billed, with_level_amounts
from billing.jobs.bill_lines import (
    LINE_SCHEMA,
    charge_lines,
    credit_lines,
    one_time_lines,
    shaped,
    true_up_lines,
)
from billing.jobs.bill_orders import HELD_SCHEMA, held_by_orders
from billing.jobs.bill_pools import (
    Pools,
    compared_together,
    floors,
    priced_by_pools,
    read_pools,
    rebate_rows,
    with_entries,
    with_tax_of_rebates,
)
from billing.jobs.bill_prices import with_price_choice
from billing.jobs.bill_stock import goods_of, quantities, read_stock
from billing.jobs.bill_thresholds import (
    EARLY_SCHEMA,
    already_lines,
    beyond_thresholds,
    read_early,
    shown_whole,
)
from billing.jobs.bill_usage import with_quantities
from billing.jobs.bill_voids import VOIDED_SCHEMA
from billing.jobs.bill_windows import with_window_amounts
from billing.store.store import Store
from billing.store.tables import (
    items,
    line_items,
    tax_rates,
)


@dataclass(frozen=True)
class Draft:
    """What a run would post for some customers, before it has ids and numbers.

    lines: one row a line item, `document` naming its group, `issue_on` the day a draft will be issued.
    documents: one row a group, with the sums of its invoice and of its credit note. usage: the quantities
    billed; goods: those of goods. failures: customers to park, code and detail. next_days: when each customer
    is due again, and from which day on it is unsettled.
    """

    members: pl.DataFrame
    lines: pl.DataFrame
    documents: pl.DataFrame
    usage: pl.DataFrame
    goods: pl.DataFrame
    failures: pl.DataFrame
    next_days: pl.DataFrame
    unbilled: pl.DataFrame
    """Ranges of usage that is not billed, with the reason (core.unbilled)."""
    served: pl.DataFrame
    """The days on which usage counts."""
    voided: pl.DataFrame
    """Lines of void invoices that are looked at (bill_voids.VOIDED_SCHEMA)."""
    held: pl.DataFrame
    """The documents that their purchase orders hold back (bill_orders.HELD_SCHEMA)."""

    @property
    def invoices(self) -> int:
        """How many invoices will be issued."""
        return int((self.documents["has_invoice"] & ~self.documents["is_skipped"]).sum())


# Working out what to post.

_USAGE_SCHEMA = pl.Schema(
    {
        "customer_id": pl.String(),
        "item_id": pl.String(),
        "component_id": pl.String(),
        "service_start": pl.Date(),
        "service_end": pl.Date(),
        "revision": pl.Int64(),
        "quantity_mantissa": pl.Int64(),
        "quantity_scale": pl.Int64(),
        "last_event_seq": pl.Int64(),
    }
)
_DAY_SCHEMA = pl.Schema({"customer_id": pl.String(), "next_bill_on": pl.Date()})
_SETTLED_SCHEMA = pl.Schema({"customer_id": pl.String(), "unsettled_from": pl.Date()})
_NO_LINES, _NO_USAGE, _NO_DAYS, _NONE_SETTLED, _NONE_VOIDED, _NONE_HELD, _NO_RANGES, _NO_SERVED = (
    pl.DataFrame(schema=one)
    for one in (
        LINE_SCHEMA,
        _USAGE_SCHEMA,
        _DAY_SCHEMA,
        _SETTLED_SCHEMA,
        VOIDED_SCHEMA,
        HELD_SCHEMA,
        unbilled.RANGE_SCHEMA,
        unbilled.DAY_SCHEMA,
    )
)


@dataclass(frozen=True)
class _Owed:
    """What the customers of one policy owe: priced lines, charges still without tax, and no documents."""

    lines: pl.DataFrame
    usage: pl.DataFrame
    goods: pl.DataFrame
    failures: pl.DataFrame
    days: pl.DataFrame
    exact: pl.DataFrame | None
    """The exact nets of the charges, where a policy bases tax on them (core.exact_tax)."""
    settled: pl.DataFrame
    """From which day on each customer is unsettled then: `customer_id`, `unsettled_from`."""
    unbilled: pl.DataFrame
    served: pl.DataFrame
    voided: pl.DataFrame
    apart: pl.DataFrame
    """The items that are invoiced apart (bill_groups)."""
    shared: pl.DataFrame = field(default_factory=pl.DataFrame)
    """Who shares which pool: `clause_id`, `customer_id`."""


def draft(
    store: Store,
    at: datetime,
    members: pl.DataFrame,
    up_to: date,
    *,
    in_grace: bool = False,
    shows_held: bool = False,
    locks: bool = False,
    looks_back: bool = False,
) -> Draft:
    """What the members owe up to a day: steps 2 to 13 of a run, nothing written.

    members: rows of MEMBERS. What became due in the last `grace_days` stays a draft: it is left out, or with
    `in_grace` shown too. What purchase orders hold back is left out, or with `shows_held` shown too. locks:
    it will be posted, so what it may spend is held until then. looks_back: what is settled is looked at
    again, as far back as the policy's horizon, and of usage that waits what was billed of it.
    """
    known = read_policies(store)
    found = read_pools(store, members, up_to, looks_back=looks_back)
    sound = members
    if found.failures.height:
        sound = members.join(found.failures, on="customer_id", how="anti", maintain_order="left")
    parts = [
        _owed(store, of_policy, known, str(name), up_to, found, in_grace, looks_back)
        for (name,), of_policy in sound.group_by("policy_name", maintain_order=True)
    ]
    owed = _Owed(
        pl.concat([_NO_LINES, *(part.lines for part in parts)]),
        pl.concat([_NO_USAGE, *(part.usage for part in parts)]),
        pl.concat([_NO_USAGE, *(part.goods for part in parts)]),
        pl.concat([found.failures, *(part.failures for part in parts)]),
        pl.concat([_NO_DAYS, *(part.days for part in parts)]),
        _all_exact(parts),
        pl.concat([_NONE_SETTLED, *(part.settled for part in parts)]),
        pl.concat([_NO_RANGES, *(part.unbilled for part in parts)]),
        pl.concat([_NO_SERVED, *(part.served for part in parts)]),
        pl.concat([_NONE_VOIDED, *(part.voided for part in parts)]),
        apart(*(part.apart for part in parts)),
        found.shared,
    )
    whole = _documented(store, at, members, known, owed, locks=locks)
    held = held_by_orders(store, whole.lines, whole.documents, locks=locks)
    return whole if held.is_empty() else _without_held(replace(whole, held=held), up_to, shows_held)


def _without_held(whole: Draft, up_to: date, shows_held: bool) -> Draft:
    """A draft without the documents that are held. Whoever they bill stays due and unsettled, so all of it is
    still owed; the quantities of their usage count as not billed."""
    if shows_held:
        return whole
    lines = whole.lines.join(whole.held, on="document", how="semi", maintain_order="left")
    left = whole.members.select(
        "customer_id",
        pl.col("unsettled_from").alias("_before"),
        pl.min_horizontal("next_bill_on", pl.lit(up_to)).alias("_due_on"),
    ).join(lines, on="customer_id", how="semi")
    is_held = pl.col("_due_on").is_not_null()
    next_days = whole.next_days.join(left, on="customer_id", how="left", maintain_order="left").select(
        "customer_id",
        pl.when(is_held).then("_before").otherwise("unsettled_from").alias("unsettled_from"),
        pl.coalesce("_due_on", "next_bill_on").alias("next_bill_on"),
    )
    return replace(
        whole,
        lines=whole.lines.join(whole.held, on="document", how="anti", maintain_order="left"),
        documents=whole.documents.join(whole.held, on="document", how="anti", maintain_order="left"),
        # The quantities of what is billed early are taken at its end.
        usage=whole.usage.join(
            lines.filter(invoice_kind="regular"), on="item_id", how="anti", maintain_order="left"
        ),
        goods=whole.goods.join(lines, on="item_id", how="anti", maintain_order="left"),
        next_days=next_days,
    )


def _all_exact(parts: Sequence[_Owed]) -> pl.DataFrame | None:
    exact = [part.exact for part in parts if part.exact is not None]
    return pl.concat(exact) if exact else None


def _owed(
    store: Store,
    members: pl.DataFrame,
    known: Mapping[str, list[PolicyVersion]],
    name: str,
    run_day: date,
    found: Pools,
    in_grace: bool,
    looks_back: bool,
) -> _Owed:
    versions = known[name]
    grace = invoicing.version_on(versions, run_day).settings.grace_days
    # What is due later than this may not be issued yet.
    up_to = run_day if in_grace else run_day - timedelta(days=grace)
    held = invoicing.version_on(versions, up_to).settings
    settings = {(one.name, one.version): one.settings for several in known.values() for one in several}
    ids = members["customer_id"].to_list()
    horizon = invoicing.horizon(up_to, held)
    floor = pl.lit(horizon).alias("floor") if looks_back else _floor(horizon)
    looked_at = members.select("customer_id", "time_zone", floor)
    found = found.among(members)
    own_floors = looked_at if looks_back else None
    if found:
        of_pools = floors(found, looked_at)
        looked_at = looked_at.update(of_pools, on="customer_id")
        own_floors = looked_at if looks_back else of_pools
    terms = read_terms(store, ids).join(looked_at, on="customer_id")
    reductions = special_discounts(store, terms)
    if reductions is not None:
        catalogue = read_catalogue(store, terms, settings)
        roundings = {one.version: cast(RoundingMode, one.settings.rounding) for one in versions}
        terms = with_fixed_shares(terms, reductions, catalogue.prices, catalogue.tiers, roundings)
    service, parts = invoicing.service_and_parts(terms, versions, up_to)
    if reductions is not None:
        parts = in_force(parts, service, terms, reductions, up_to, roundings)
    billed = _billed(store, ids, up_to, horizon, own_floors)
    by_time, goods = billed.charged, None
    facts = read_stock(store, terms, looked_at)
    if facts is not None:
        goods = goods_of(store, facts, parts, terms, versions, billed.charged, up_to)
        parts, by_time = goods.parts, goods.others
    settled = members.select("customer_id", "unsettled_from") if looks_back else None
    usage = _compared_usage(store, ids, parts, billed, held, settings, up_to, found, versions, settled)
    pooled = None
    if found:
        pooled = priced_by_pools(found, parts, usage.parts, usage.snapshots, versions, up_to)
        parts, usage = pooled.parts, replace(usage, parts=pooled.uses)
    agreed = parts if goods is None else pl.concat([parts, goods.delivered], how="diagonal")
    recurring = invoicing.coverage(
        parts.filter(~pl.col("is_usage")),
        by_time.filter(pl.col("kind") == "recurring"),
        billed.credited,
    )
    to_charge = recurring.to_charge.filter(pl.col("due_on") <= up_to)
    time_back = recurring.to_credit
    if "closes_on" in service.columns:
        time_back = credits_due(time_back, billed.charged, service)
    is_due = pl.col("due_on" if "due_on" in time_back.columns else "service_start") <= up_to
    to_credit = time_back.filter(is_due).select(recurring.to_credit.columns)
    early = _running_usage(store, parts, found, up_to, held, settings)
    single = with_event_amounts(store, usage.parts, settings)
    windowed = with_window_amounts(store, single, settings)
    usage = replace(usage, parts=with_level_amounts(store, windowed, settings))
    origin = _origin(store, to_credit["line_id"])
    origins = [origin]
    promised = commitments.promises(terms, versions, up_to)
    minimums = spend.minimums(agreed, settings)
    asked = {
        "charge": to_charge,
        "usage": usage.parts,
        "origin": origin,
        "promised": _fees_of(promised, commitments.PERIOD, agreed, up_to),
        "bounded": _fees_of(minimums, spend.PERIOD, agreed, up_to),
    }
    if early is not None:
        asked["early"] = early
    if goods is not None:
        asked |= {"goods": goods.owed, "together": goods.together, "instead": goods.instead}
    rated = _rated(store, asked, settings)
    catalogue = rated.catalogue

    has_exact = any(one.tax_base == "exact_net" for one in settings.values())
    priced: list[pl.DataFrame] = []
    lines: list[pl.DataFrame] = []
    exact: list[pl.DataFrame] = []
    if to_charge.height:
        priced.append(invoicing.charges(rated["charge"], recurring.kept, catalogue))
        lines.append(charge_lines(with_price_choice(store, priced[-1]), "recurring"))
        exact += [exact_nets(priced[-1], "recurring")] if has_exact else []
    if to_credit.height:
        back = endings.creditable(to_credit, rated["origin"], settings)
        before = (billed.credited, billed.adjusted)
        priced.append(invoicing.credits_of_time(back, rated["origin"], *before, catalogue))
        lines.append(credit_lines(priced[-1]))
    to_take = usage.gone
    amounts = invoicing.usage_amounts(rated["usage"], catalogue)
    if amounts.height:
        whole = shown_whole(usage.early, amounts, settings) if usage.early.height else None
        uses = invoicing.beyond_billed(amounts, usage.sums, whole)
        is_shown = _is_charged if whole is None else _is_charged | (pl.col("net_minor") == 0)
        owed = uses.filter(is_shown)
        priced.append(owed)
        shown = with_price_choice(store, _usage_quantity(owed, usage.before))
        lines.append(charge_lines(shown, "usage"))
        if whole is not None:
            lines.append(already_lines(owed, whole))
        exact += [exact_nets(owed, "usage")] if has_exact else []
        to_take = pl.concat([to_take, uses.filter(pl.col("net_minor") < 0).select(to_take.columns)])
    if early is not None:
        so_far = invoicing.usage_amounts(rated["early"], catalogue)
        owed = beyond_thresholds(store, so_far, usage.sums, parts.filter("is_usage"))
        if owed.height:
            priced.append(owed)
            shown = with_price_choice(store, _usage_quantity(owed, usage.before))
            lines.append(charge_lines(shown, "usage"))
            exact += [exact_nets(owed, "usage")] if has_exact else []
    charged = pl.concat([usage.charged, billed.charged.filter(pl.col("kind") == "true_up")])
    is_of_item = pl.col("component_id") == commitments.COMPONENT
    missing: list[pl.DataFrame] = []
    of_prices = charged.filter(pl.col("kind") == "true_up", ~is_of_item)
    if minimums.height or of_prices.height:
        spent = [
            commitments.covered_fees(_charged_anew(rated["bounded"], catalogue), spend.PERIOD),
            commitments.covered_usage(amounts, spend.PERIOD),
        ]
        due = _due(minimums, up_to).join(
            usage.waiting, on=invoicing.LINE_KEY, how="anti", maintain_order="left"
        )
        true_ups = commitments.true_ups(due, pl.concat(spent), catalogue.policies, spend.PERIOD)
        missing.append(_missing(true_ups, minimums, of_prices, billed))
    of_items = charged.filter(is_of_item)
    if promised.height or of_items.height:
        as_billed = commitments.covered_as_billed(usage.waiting_sums, parts)
        covered = [
            commitments.covered_fees(_charged_anew(rated["promised"], catalogue)),
            commitments.covered_usage(amounts),
            as_billed,
        ]
        if minimums.height:
            covered.append(commitments.covered_by_true_ups(true_ups))
        due = commitments.comparable(_due(promised, up_to), as_billed, catalogue.policies)
        of_commitments = commitments.true_ups(due, pl.concat(covered), catalogue.policies)
        missing.append(_missing(of_commitments, promised, of_items, billed))
    for one in missing:
        owed = one.filter(_is_charged)
        if owed.height:
            priced.append(owed)
            lines.append(true_up_lines(owed))
    once = charges.one_time(read_charges(store, looked_at), terms, versions)
    of_charges = billed.charged.filter(pl.col("kind") == charges.KIND)
    if once.height or of_charges.height:
        missing.append(_missing(_due(once, up_to), once, of_charges, billed))
        owed = missing[-1].filter(_is_charged)
        if owed.height:
            priced.append(owed)
            lines.append(one_time_lines(owed))
    charged = pl.concat([charged, of_charges])
    too_much = pl.concat(
        [to_take.clear(), *(one.filter(pl.col("net_minor") < 0).select(to_take.columns) for one in missing)]
    )
    # A minimum's true-up has the component and the days of the usage or the goods it makes up.
    is_usage = pl.col("kind") == "usage"
    taken = [(to_take, charged.filter(is_usage)), (too_much, charged.filter(~is_usage))]
    delivered = _NO_USAGE
    if goods is not None:
        of_goods, together, instead = (
            invoicing.usage_amounts(rated[name], catalogue) for name in ("goods", "together", "instead")
        )
        given = stock.substitute_amounts(of_goods, together, instead)
        amounts = pl.concat([of_goods, given], how="diagonal")
        sums = invoicing.billed_amounts(goods.charged, billed.credited)
        moved = invoicing.beyond_billed(amounts, sums)
        owed = moved.filter(_is_charged)
        if owed.height:
            priced.append(owed)
            # What was all taken back is shown whole again.
            standing = goods.before.join(sums.filter(pl.col("gross_minor") != 0), on=_PERIOD, how="semi")
            shown = with_price_choice(store, _usage_quantity(owed, standing))
            lines.append(charge_lines(shown, stock.KIND))
            plain = owed.filter(pl.col("amount_detail").is_null())
            exact += [exact_nets(plain, stock.KIND)] if has_exact else []
        too_many = moved.filter(pl.col("net_minor") < 0).select(to_take.columns)
        taken.append((too_many, goods.charged))
        delivered = shaped(quantities(moved, goods.before), _USAGE_SCHEMA)
    if any(one.height for one, _ in taken):
        take = pl.concat(invoicing.shared_over_lines(one, of_kind, billed.taken) for one, of_kind in taken)
        of_usage = _origin(store, take["line_id"]).with_columns(pl.lit(None, pl.String).alias("failure"))
        origins.append(of_usage)
        take = endings.creditable_usage(take, of_usage, settings)
        before = (billed.credited, billed.adjusted)
        priced.append(invoicing.credits_of_usage(take, of_usage, *before, catalogue))
        lines.append(credit_lines(priced[-1]))
    if pooled is not None or billed.rebates.height:
        owed = rebate_rows(store, pooled, billed.rebates, billed.charged, billed.later, settings, up_to)
        if owed.height:
            priced.append(owed)
            lines.append(shaped(with_entries(owed), LINE_SCHEMA))
    all_lines = pl.concat([_NO_LINES, *lines])
    failures = pl.concat(
        [
            *([] if pooled is None else [pooled.failures]),
            *(invoicing.line_failures(one) for one in priced),
            invoicing.crowded_items(all_lines),
        ]
    )
    waiting = time_back.filter(~is_due).join(billed.charged.select("line_id", "customer_id"), on="line_id")
    days = pl.concat(
        [
            invoicing.next_bill_days(service, agreed, up_to),
            *([] if goods is None else [goods.days]),
            endings.end_days(parts, up_to),
            *(
                one.filter(pl.col("due_on") > up_to).select(
                    "customer_id", pl.col("due_on").alias("next_bill_on")
                )
                for one in (promised, minimums, once)
            ),
            waiting.select(
                "customer_id",
                pl.col("due_on" if "due_on" in waiting.columns else "service_start").alias("next_bill_on"),
            ),
            *([] if pooled is None else [pooled.next_days(up_to)]),
        ]
    )
    snapshots = _snapshots_of(rated["usage"], usage)
    if grace:
        days = days.with_columns(pl.col("next_bill_on").dt.offset_by(f"{grace}d"))
    again = usage.parts.clear()
    if "is_held" in usage.parts.columns:
        # What came to an item that ended after its quantities were frozen is due at once.
        again = usage.parts.filter("is_held")
        ended = again.filter("ends_here").select("customer_id", pl.lit(run_day).alias("next_bill_on"))
        days = pl.concat([days, ended])
    issue_on = pl.lit(None, pl.Date)
    if grace and in_grace:
        # Usage that came late, or is taken back, comes with what is due last of its item.
        in_time = (pl.col("kind") != "usage") | (pl.col("issue_on") > run_day - timedelta(days=grace))
        latest = pl.col("issue_on").max().over("item_id")
        due_on = pl.coalesce(pl.when(in_time).then("issue_on"), latest, pl.lit(up_to))
        issue_on = pl.max_horizontal(due_on.dt.offset_by(f"{grace}d"), pl.lit(run_day))
    return _Owed(
        _with_revision(all_lines, billed.keys).with_columns(issue_on.alias("issue_on")),
        snapshots,
        delivered,
        failures,
        days,
        pl.concat(exact) if exact else None,
        _settled(members, usage.waiting, again if goods is None else _unsettled(again, goods.waiting), up_to),
        *_reasons(service, terms, usage.parts, held),
        billed.voided,
        apart(terms, *origins),
    )


def _unsettled(*parts: pl.DataFrame) -> pl.DataFrame:
    return pl.concat(part.select("customer_id", "service_start") for part in parts)


def _settled(members: pl.DataFrame, waiting: pl.DataFrame, drafts: pl.DataFrame, up_to: date) -> pl.DataFrame:
    """From which day on customers are unsettled once this is billed. waiting: usage to be looked at again
    when its item's next regular invoice is due. drafts: usage segments whose quantities were frozen before
    they were billed, so that some may have come since, and deliveries nobody has ordered yet."""
    day = pl.lit(up_to)
    if drafts.height:
        since = drafts.group_by("customer_id").agg(pl.col("service_start").min().alias("_since"))
        members = members.join(since, on="customer_id", how="left", maintain_order="left")
        day = pl.min_horizontal(pl.col("_since"), day)
    is_waiting = pl.col("customer_id").is_in(waiting["customer_id"].implode())
    return members.select(
        "customer_id",
        # Who is looked at for all time stays so while something waits.
        pl.when(is_waiting & pl.col("unsettled_from").is_null())
        .then(None)
        .when(is_waiting)
        .then(pl.min_horizontal("unsettled_from", day))
        .otherwise(day)
        .alias("unsettled_from"),
    )


def _reasons(
    service: pl.DataFrame, terms: pl.DataFrame, compared: pl.DataFrame, held: Policy
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The ranges of usage that is not billed, and the days on which usage counts."""
    days = unbilled.served(service, held)
    ranges = unbilled.without_service(days, terms, held)
    if "counts_seq" in compared.columns:
        ranges = pl.concat([ranges, unbilled.too_late(compared)])
    return ranges, days


_is_charged = (pl.col("net_minor") > 0) | pl.col("net_minor").is_null() | pl.col("failure").is_not_null()


@dataclass(frozen=True)
class _Billed:
    """Posted lines that may differ from what is owed: charges, and what was taken back of them (positive).

    adjusted: what was taken off charges by hand. No less is owed for that, and it is not billed again; but
    what a run takes back of the same line is at most what it left. keys: the obligation keys in use, to count
    revisions. rebates: of pools, as posted (grants below 0). voided: lines of void invoices, whose charges
    are all taken back, and whose credits and rebates never were. reopened: what was billed on those alone.
    later: LINE_KEY of what was billed for times after the run's day.
    """

    charged: pl.DataFrame
    credited: pl.DataFrame
    adjusted: pl.DataFrame
    keys: pl.DataFrame
    rebates: pl.DataFrame
    later: pl.DataFrame
    voided: pl.DataFrame
    reopened: pl.DataFrame

    @property
    def taken(self) -> pl.DataFrame:
        """All that was credited of charges: `line_id`, `net_minor`."""
        of = ("line_id", "net_minor")
        return pl.concat([self.credited.select(of), self.adjusted.select(of)])


_OBLIGATION = ["item_id", "component_id", "kind", "entry", "service_start", "service_end"]


def _floor(horizon: date) -> pl.Expr:
    """The day by which a customer's periods have ended that are settled."""
    return pl.max_horizontal(pl.lit(horizon), "unsettled_from").alias("floor")


def _billed(
    store: Store, ids: Sequence[str], up_to: date, horizon: date, floors: pl.DataFrame | None
) -> _Billed:
    """Lines of unsettled periods that began by `up_to`: later ones are not judged yet. floors: of customers
    that are looked at from another day on."""
    rows, notes = _posted_of(store, ids, horizon, floors)
    judged = rows.filter(pl.col("reference_start") <= up_to)
    is_charge, is_rebate = pl.col("entry") == "charge", pl.col("kind") == "rebate"
    voided = notes.filter(kind="void")
    if voided.height:
        is_void = pl.col("line_id").is_in(voided["line_id"].implode())
        judged = judged.filter(~is_void | (is_charge & ~is_rebate))
        # What was taken off a line by hand was taken off the whole of it once the line is void.
        to_whole = (pl.col("kind") == "void") | (is_void & (pl.col("kind") == "adjustment"))
        notes = notes.with_columns(pl.when(to_whole).then(None).otherwise("kind").alias("kind"))
    credited = judged.filter(~is_charge, ~is_rebate).select(
        pl.col("reverses_line_id").alias("line_id"),
        "service_start",
        "service_end",
        -pl.col("gross_minor"),
        -pl.col("net_minor"),
        -pl.col("tax_minor"),
        -pl.col("document_discount_minor"),
    )
    rebate = ["line_id", *invoicing.LINE_KEY, *invoicing.SERVICE, "gross_minor", "net_minor"]
    rebates = judged.filter(is_rebate).select(rebate)
    adjusted = notes.filter(kind="adjustment").select(
        "line_id", "net_minor", "tax_minor", "document_discount_minor"
    )
    if notes.height:
        is_correction = pl.col("kind").is_null()
        credited = pl.concat([credited, notes.filter(is_correction).select(credited.columns)])
        granted = notes.filter(kind="rebate").with_columns(-pl.col("gross_minor"), -pl.col("net_minor"))
        rebates = pl.concat([rebates, granted.select(rebate)])
    charged = judged.filter(is_charge)
    return _Billed(
        charged,
        credited,
        adjusted,
        rows.select(_OBLIGATION),
        rebates,
        rows.filter(pl.col("reference_start") > up_to).select(invoicing.LINE_KEY).unique(),
        voided.select(list(VOIDED_SCHEMA)),
        bill_voids.reopened(store, charged, voided["line_id"])
        if voided.height
        else charged.select(_PERIOD).clear(),
    )


_PERIOD = [*invoicing.LINE_KEY, *invoicing.SERVICE]


def _posted_of(
    store: Store, ids: Sequence[str], horizon: date, floors: pl.DataFrame | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lines, and lines of notes, of periods that reach beyond what is settled."""
    if floors is None:
        billed, noted = (
            read_by_ids(store, one, items.c.customer_id, ids, {"horizon": horizon}) for one in (BILLED, NOTED)
        )
        return billed, noted
    own = floors.select("customer_id", "floor")
    since = {"since": floors["floor"].min()}
    apart = set(own["customer_id"])
    usual = [one for one in ids if one not in apart]
    both = []
    for statement, statement_since in ((BILLED, BILLED_SINCE), (NOTED, NOTED_SINCE)):
        others = read_by_ids(store, statement, items.c.customer_id, usual, {"horizon": horizon})
        rows = read_by_ids(store, statement_since, items.c.customer_id, own["customer_id"].to_list(), since)
        rows = rows.join(own, on="customer_id", maintain_order="left").filter(
            pl.col("reference_end") > pl.col("floor")
        )
        both.append(pl.concat([others, rows.select(others.columns)]))
    return both[0], both[1]


@dataclass(frozen=True)
class _Usage:
    """Usage to compare: due segments with their quantity, sums of what was billed of it, and what was billed
    of segments that are no more (`gone`, with what to take back as `net_minor` below 0).

    charged: its charges. early: what was billed of it before its end (bill_thresholds.EARLY_SCHEMA).
    snapshots, frozen: the last quantities billed, and those frozen before they were. standing: of the former,
    those billed on an invoice that is not void. waiting: LINE_KEY and customer of usage that waits for its
    item's next invoice. waiting_sums: what was billed of it."""

    parts: pl.DataFrame
    charged: pl.DataFrame
    early: pl.DataFrame
    sums: pl.DataFrame
    gone: pl.DataFrame
    snapshots: pl.DataFrame
    standing: pl.DataFrame
    frozen: pl.DataFrame
    waiting: pl.DataFrame
    waiting_sums: pl.DataFrame

    @property
    def before(self) -> pl.DataFrame:
        """The quantities that stand billed: _PERIOD, `quantity_mantissa`."""
        of = (*_PERIOD, "quantity_mantissa")
        return pl.concat([self.standing.select(of), self.early.select(of)])


def _running_usage(
    store: Store,
    parts: pl.DataFrame,
    found: Pools,
    up_to: date,
    held: Policy,
    policies: Mapping[PolicyKey, Policy],
) -> pl.DataFrame | None:
    """The usage so far of running periods that a plan's thresholds watch; None where there is none."""
    if "thresholds_of" not in parts.columns:
        return None
    running = thresholds.running(parts, up_to, found.members.select("customer_id", "component_id"))
    if running.is_empty():
        return None
    return with_event_amounts(store, with_quantities(store, running, held), policies)


def _compared_usage(
    store: Store,
    ids: Sequence[str],
    parts: pl.DataFrame,
    billed: _Billed,
    held: Policy,
    policies: Mapping[PolicyKey, Policy],
    up_to: date,
    found: Pools,
    versions: Sequence[PolicyVersion],
    settled: pl.DataFrame | None,
) -> _Usage:
    """settled: for a look back, by which day each customer is settled."""
    key = [*invoicing.LINE_KEY, *invoicing.SERVICE]
    all_parts = parts.filter("is_usage")
    due = all_parts.filter(pl.col("due_on") <= up_to)
    charged = billed.charged.filter(pl.col("kind") == "usage")
    has_thresholds = "thresholds_of" in parts.columns
    looked_at = pl.concat([one.select("service_start") for one in (due, charged)]) if has_thresholds else due
    since = min([up_to, *looked_at.select(pl.col("service_start").min()).drop_nulls().to_series()])
    snapshots, frozen = _NO_SNAPSHOTS, _NO_SNAPSHOTS
    if looked_at.height:
        taken = read_by_ids(store, SNAPSHOTS, items.c.customer_id, ids, {"since": since}).sort("revision")
        is_frozen = pl.col("frozen_at").is_not_null()
        snapshots = taken.filter(~is_frozen).group_by(key, maintain_order=True).last()
        frozen = taken.group_by(key, maintain_order=True).last().filter(is_frozen)
    standing = snapshots
    if billed.reopened.height:
        standing = snapshots.join(billed.reopened, on=_PERIOD, how="anti", maintain_order="left")
    if has_thresholds:
        charged = thresholds.with_cut_periods(charged, all_parts, standing)
    compared = invoicing.due_usage(due, snapshots, billed.reopened, up_to)
    if found:
        compared = compared_together(found, due, compared)
    if settled is not None:
        regular = compared.select("item_id").unique()
        compared = due
    waiting = due.join(compared.select("item_id"), on="item_id", how="anti").select(
        *invoicing.LINE_KEY, "customer_id"
    )
    if compared.height:
        if unbilled.has_limit(policies) or settled is not None:
            compared = unbilled.with_limits(compared, due, snapshots, policies)
        if settled is not None:
            compared = unbilled.without_waiting(compared, snapshots, settled, regular)
        if frozen.height or any(one.settings.grace_days for one in versions):
            known = read_by_ids(store, _KNOWN, items.c.customer_id, ids)
            compared = unbilled.with_frozen(compared, snapshots, frozen, known, versions)
        compared = with_quantities(store, compared, held)
    else:
        compared = compared.with_columns(
            pl.lit(0, pl.Int64).alias("last_event_seq"), pl.col("quantity_scale").cast(pl.Int64)
        )
    usage_credits = billed.credited.join(charged.select("line_id"), on="line_id", how="semi")
    sums = invoicing.billed_amounts(charged, usage_credits)
    compared = as_billed(store, compared, charged, sums, policies, up_to)
    gone = sums.select(*key, -pl.col("net_minor"))
    waiting_sums = sums
    if sums.height:
        gone = (
            gone.join(all_parts, on=key, how="anti")
            .join(compared, on=key, how="anti")
            .join(waiting, on="item_id", how="anti")
            .filter(pl.col("net_minor") < 0)
        )
        waiting_sums = sums.join(waiting, on="item_id", how="semi")
    early = pl.DataFrame(schema=EARLY_SCHEMA)
    if has_thresholds:
        early = read_early(store, charged, usage_credits, standing)
    return _Usage(compared, charged, early, sums, gone, snapshots, standing, frozen, waiting, waiting_sums)


_KNOWN = select(items.c.item_id, items.c.recorded_at)


def _due(promised: pl.DataFrame, up_to: date) -> pl.DataFrame:
    return promised.filter(pl.col("due_on") <= up_to)


def _fees_of(promised: pl.DataFrame, period: Sequence[str], parts: pl.DataFrame, up_to: date) -> pl.DataFrame:
    """The fees and seats of all periods whose promise is due."""
    if promised.is_empty():
        return parts.clear()
    due = _due(promised, up_to).select(period)
    return parts.filter(~pl.col("is_usage")).join(due, on=period, how="semi", maintain_order="left")


def _charged_anew(fees: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """What fees cost in all, whatever was billed of them."""
    return invoicing.charges(fees, fees.clear(), catalogue)


def _missing(
    true_ups: pl.DataFrame, promised: pl.DataFrame, charged: pl.DataFrame, billed: _Billed
) -> pl.DataFrame:
    """True-ups that are due, beyond those billed; below 0 where too much was billed, also for periods that
    are no more."""
    credited = billed.credited.join(charged.select("line_id"), on="line_id", how="semi")
    sums = invoicing.billed_amounts(charged, credited)
    key = [*invoicing.LINE_KEY, *invoicing.SERVICE]
    gone = sums.join(promised, on=key, how="anti").filter(pl.col("net_minor") > 0)
    gone = gone.select(*key, -pl.col("net_minor"), pl.lit(None, dtype=pl.String).alias("failure"))
    if true_ups.is_empty():
        return gone
    return pl.concat([invoicing.beyond_billed(true_ups, sums), gone], how="diagonal")


_NO_SNAPSHOTS = pl.DataFrame(
    schema={
        "item_id": pl.String,
        "component_id": pl.String,
        "service_start": pl.Date,
        "service_end": pl.Date,
        "revision": pl.Int64,
        "quantity_mantissa": pl.Int64,
        "last_event_seq": pl.Int64,
        "frozen_at": pl.Datetime("us", "UTC"),
    }
)


class _Rated:
    """Frames priced in one go, each under its name, and the catalogue that priced them."""

    def __init__(self, frames: Mapping[str, pl.DataFrame], catalogue: Catalogue) -> None:
        self._frames, self.catalogue = frames, catalogue

    def __getitem__(self, name: str) -> pl.DataFrame:
        return self._frames[name]


_ASKED = ["price_id", "quantity_mantissa", "quantity_scale", "discount_ids", "policy_name", "policy_version"]
_EXACT = ["quantity_num", "quantity_den"]
_ANSWERED = ["amount_num", "amount_den", "discount_num", "discount_den", "failure"]


def _rated(store: Store, frames: Mapping[str, pl.DataFrame], settings: Mapping[PolicyKey, Policy]) -> _Rated:
    """Each frame with its exact amounts; a row that cannot be priced has its failure."""
    asked = pl.concat([frame.select(_ASKED) for frame in frames.values()])
    catalogue = read_catalogue(store, asked, settings)
    more = [*(invoicing.CUT_BY if invoicing.has_maximum(catalogue) else ()), *EVENT_COLUMNS, *_EXACT]
    if any(name in frame.columns for name in more for frame in frames.values()):
        asked = pl.concat(
            [
                frame.select(*_ASKED, *(name for name in more if name in frame.columns))
                for frame in frames.values()
            ],
            how="diagonal",
        )
    answer = invoicing.rated(asked, catalogue)
    answer = answer.select(*_ANSWERED, *(name for name in ("cut_num",) if name in answer.columns))
    priced, first = {}, 0
    for name, frame in frames.items():
        part = answer.slice(first, frame.height)
        first += frame.height
        frame = frame.hstack(part)
        if frame.height and "kind" in frame.columns and "price_currency" in frame.columns:
            frame = frame.with_columns(pl.coalesce(invoicing.unbillable(), "failure").alias("failure"))
        priced[name] = frame
    return _Rated(priced, catalogue)


def _origin(store: Store, line_ids: pl.Series) -> pl.DataFrame:
    """The posted lines that are taken back, with what their credit needs. Their discounts are part of their
    terms."""
    rows = read_by_ids(store, ORIGIN, line_items.c.line_id, line_ids.unique().to_list())
    return rows.with_columns(agreed_discounts()).sort("line_id")


# From amounts to lines.


def _usage_quantity(rows: pl.DataFrame, snapshots: pl.DataFrame) -> pl.DataFrame:
    """A usage line shows the quantity that came since its period was last billed."""
    key = [*invoicing.LINE_KEY, *invoicing.SERVICE]
    before = snapshots.select(*key, pl.col("quantity_mantissa").alias("_before"))
    return rows.join(before, on=key, how="left", maintain_order="left").with_columns(
        pl.col("quantity_mantissa").alias("period_quantity"),
        pl.col("quantity_mantissa") - pl.col("_before").fill_null(0),
    )


def _snapshots_of(parts: pl.DataFrame, usage: _Usage) -> pl.DataFrame:
    """The quantities billed now: of periods billed for the first time, or on other events."""
    if parts.is_empty():
        return _NO_USAGE
    key = [*invoicing.LINE_KEY, *invoicing.SERVICE]
    before = usage.snapshots.select(
        *key,
        (pl.col("revision") + 1).alias("revision"),
        pl.col("quantity_mantissa").alias("_before"),
        pl.col("last_event_seq").alias("_seq_before"),
    )
    rows = parts.join(before, on=key, how="left", maintain_order="left").filter(
        pl.col("_before").is_null()
        | (pl.col("_before") != pl.col("quantity_mantissa"))
        | (pl.col("_seq_before") < pl.col("last_event_seq"))
    )
    if usage.frozen.height:
        taken = usage.frozen.select(*key, (pl.col("revision") + 1).alias("_frozen"))
        rows = rows.join(taken, on=key, how="left", maintain_order="left").with_columns(
            pl.max_horizontal("revision", "_frozen")
        )
    return shaped(rows.with_columns(pl.col("revision").fill_null(0)), _USAGE_SCHEMA)


def _with_revision(lines: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """The number of earlier lines with the same obligation, in the database and in this run."""
    place = pl.int_range(pl.len(), dtype=pl.Int64).over(_OBLIGATION)
    lines = lines.with_columns(place.alias("revision"))
    used = keys.join(lines.select(_OBLIGATION), on=_OBLIGATION, how="semi")
    if used.is_empty():
        return lines
    counts = used.group_by(_OBLIGATION).agg(pl.len().cast(pl.Int64).alias("_used"))
    return (
        lines.join(counts, on=_OBLIGATION, how="left", maintain_order="left")
        .with_columns(pl.col("revision") + pl.col("_used").fill_null(0))
        .drop("_used")
    )


# Tax and documents.


def _documented(
    store: Store,
    at: datetime,
    members: pl.DataFrame,
    known: Mapping[str, list[PolicyVersion]],
    owed: _Owed,
    *,
    locks: bool,
) -> Draft:
    """Lines of sound customers with their tax, grouped into documents."""
    failures = pools.with_siblings(owed.failures, owed.shared)
    sound = owed.lines.join(failures, on="customer_id", how="anti", maintain_order="left")
    lines = grouped(store, at, sound, owed.apart)
    lines = _with_tax_terms(
        _with_tax_points(lines, known), store.frame(select(tax_rates)) if lines.height else None
    )
    failures = pools.with_siblings(pl.concat([failures, invoicing.untaxed(lines)]), owed.shared)
    sound = lines.join(failures, on="customer_id", how="anti", maintain_order="left")
    lines = _taxed(with_document_discounts(store, sound, known, locks=locks), known, owed.exact)
    documents = invoicing.documents(
        lines.filter(~pl.col("is_already_billed")),
        separate_credits=pl.col("separates_credits"),
        skip_zero=pl.col("skips_zero"),
    )
    beyond = pl.concat([invoicing.untaxable(lines), invoicing.large_documents(documents, lines)])
    if beyond.height:
        left = replace(owed, failures=pl.concat([failures, beyond]))
        return _documented(store, at, members, known, left, locks=locks)
    lines = thresholds.shown_whole(lines)
    failures = failures.unique("customer_id", keep="first", maintain_order=True)
    next_days = owed.settled.join(failures, on="customer_id", how="anti", maintain_order="left").join(
        owed.days.group_by("customer_id").agg(pl.col("next_bill_on").min()),
        on="customer_id",
        how="left",
        maintain_order="left",
    )
    usage, goods = (
        one.join(failures, on="customer_id", how="anti", maintain_order="left")
        for one in (owed.usage, owed.goods)
    )
    return Draft(
        members,
        lines,
        documents,
        usage,
        goods,
        failures,
        next_days,
        owed.unbilled.join(failures, on="customer_id", how="anti"),
        owed.served,
        owed.voided,
        _NONE_HELD,
    )


def _with_tax_points(lines: pl.DataFrame, known: Mapping[str, list[PolicyVersion]]) -> pl.DataFrame:
    """The day whose rate a line bears: of its issue, or the last of its service [`tax_point`]."""
    on = pl.col("issued_on").alias("tax_on")
    if all(one.settings.tax_point == "issue" for several in known.values() for one in several):
        return lines.with_columns(on)
    parts = [lines.clear().with_columns(on)]
    for (name, issued_on), part in lines.group_by("payer_policy_name", "issued_on", maintain_order=True):
        assert isinstance(issued_on, date)
        settings = invoicing.version_on(known[str(name)], issued_on).settings
        last_day = pl.col("service_end").dt.offset_by("-1d").alias("tax_on")
        parts.append(part.with_columns(last_day if settings.tax_point == "service_end" else on))
    return pl.concat(parts).sort("document", *ORDER, maintain_order=True)


def _with_tax_terms(lines: pl.DataFrame, rates: pl.DataFrame | None) -> pl.DataFrame:
    """Charges with the category, country and rate of their tax; a credit has those of its own line, and so
    has a rebate if its line was posted before."""
    if rates is None:
        return lines
    case_of = invoicing.TAX_CASE
    is_open = pl.col("tax_rate_ppm").is_null()
    terms = invoicing.tax_terms(lines.filter(is_open), rates)
    found = ["tax_category", "tax_country", "tax_rate_ppm"]
    return lines.join(terms, on=case_of, how="left", maintain_order="left", suffix="_found").with_columns(
        pl.when(is_open).then(pl.col(f"{name}_found")).otherwise(pl.col(name)).alias(name) for name in found
    )


def _taxed(
    lines: pl.DataFrame, known: Mapping[str, list[PolicyVersion]], exact: pl.DataFrame | None
) -> pl.DataFrame:
    """Charges taxed by the payer's settings of the day; whether its credits go on notes of their own, and
    whether it gets invoices of 0.00."""
    if lines.is_empty():
        flags = ("separates_credits", "keeps_credit", "skips_zero")
        return lines.with_columns(pl.lit(False).alias(name) for name in flags)
    parts = []
    for (name, on), part in lines.group_by("payer_policy_name", "issued_on", maintain_order=True):
        assert isinstance(on, date)
        settings = invoicing.version_on(known[str(name)], on).settings
        is_charge = pl.col("entry") == "charge"
        charged = part.filter(is_charge).drop("tax_minor")
        if settings.tax_base == "exact_net" and exact is not None:
            charged = with_exact_tax(charged, exact, settings.rounding)
        else:
            charged = invoicing.taxed(charged, settings.tax_scope, settings.rounding)
        charged = charged.select(part.columns)
        is_refunded = pl.col("is_refunded").fill_null(False)
        separates = pl.lit(settings.credit_document == "credit_note") | is_refunded
        credit_balance = pl.lit(settings.credit_target == "balance").alias("keeps_credit")
        credits = part.filter(~is_charge)
        if credits["tax_minor"].null_count():
            credits = with_tax_of_rebates(credits, settings)
        both = pl.concat([charged, credits])
        skips_zero = pl.lit(settings.zero_invoice == "skip").alias("skips_zero")
        parts.append(both.with_columns(separates.alias("separates_credits"), credit_balance, skips_zero))
    return pl.concat(parts).sort("document", *ORDER, maintain_order=True)
