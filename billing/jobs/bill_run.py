"""The bill run: reads a chunk of customers, lets core.invoicing find what is owed, writes its documents.

A chunk is one transaction: invoices, lines, tax, numbers, journal, outbox, and the day its customers are due
again. So a crash loses at most the open chunk, and the next run goes on where this one ended: whoever is
still due was not billed. A chunk that fails for a reason nobody foresaw is rolled back and halved until the
customer at fault stands alone and is parked.

`preview` works out the same frames and writes nothing. What a line costs is decided in core.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any

import polars as pl
from sqlalchemy import (
    JSON,
    Date,
    DateTime,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal_column,
    select,
)

from billing.core import invoicing
from billing.core.invoicing import Catalogue, PolicyKey, PolicyVersion
from billing.core.money import BillingError
from billing.core.policy import Policy
from billing.jobs.journal import post_events
from billing.store.messages import announce
from billing.store.store import Store
from billing.store.tables import (
    applications,
    billing_chunks,
    billing_runs,
    components,
    credit_note_lines,
    credit_notes,
    customers,
    discounts,
    invoices,
    item_versions,
    items,
    legal_entities,
    line_items,
    meters,
    outbox,
    payment_terms,
    payments,
    plan_versions,
    plans,
    policies,
    price_tiers,
    prices,
    products,
    subscriptions,
    tax_lines,
    tax_rates,
    usage_events,
    usage_snapshots,
)

_IDS_A_QUERY = 10_000


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did. `run_id` is None when nothing was due; `net_minor` by currency, credits deducted."""

    run_id: str | None = None
    customers: int = 0
    lines: int = 0
    invoices: int = 0
    credit_notes: int = 0
    parked: int = 0
    net_minor: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Draft:
    """What a run would post for some customers, before it has ids and numbers.

    lines: one row a line item, `document` naming its group. documents: one row a group, with the sums of its
    invoice and of its credit note. usage: the quantities billed. failures: customers to park, code and
    detail. next_days: when each customer is due again.
    """

    members: pl.DataFrame
    lines: pl.DataFrame
    documents: pl.DataFrame
    usage: pl.DataFrame
    failures: pl.DataFrame
    next_days: pl.DataFrame


# What is called.


def bill(
    store: Store, at: datetime, *, up_to: date, chunk_size: int = 2000, dry_run: bool = False
) -> RunSummary:
    """Bill every customer that owes something up to and including a day.

    Documents are issued on the payer's day of `at`. A second run to the same day posts nothing. With
    `dry_run` the frames are worked out and nothing is written. Raises `naive_time`, and `period_locked` when
    the books of the day are closed; a customer that cannot be billed is parked instead.
    """
    if at.tzinfo is None:
        raise BillingError("naive_time", f"{at} has no time zone")
    due = sorted({row["root_id"] for row in store.rows(_DUE_ROOTS, {"up_to": up_to})})
    if not due:
        return RunSummary()
    run = _Run(store, at, up_to, dry_run)
    for first in range(0, len(due), chunk_size):
        run.bill_chunk(due[first : first + chunk_size])
    return run.finish()


def preview(store: Store, at: datetime, *, customer_id: str, up_to: date) -> Draft:
    """What a run would post for a customer up to a day, parked or due or not; nothing is written.

    To preview a change, act and preview in one transaction and roll it back. Raises `unknown_customer`.
    """
    members = store.frame(_MEMBERS.where(customers.c.customer_id == customer_id))
    if members.is_empty():
        raise BillingError("unknown_customer", customer_id)
    return draft(store, at, members, up_to)


_DUE_ROOTS = (
    select(customers.c.root_id)
    .where(customers.c.next_bill_on <= bindparam("up_to"), customers.c.parked_at.is_(None))
    .distinct()
)
_MEMBERS = select(
    customers.c.customer_id,
    customers.c.root_id,
    customers.c.policy_name,
    customers.c.time_zone,
    customers.c.next_bill_on,
)


class _Run:
    """One run: its chunks, halved where they fail, and what they add up to."""

    def __init__(self, store: Store, at: datetime, up_to: date, dry_run: bool) -> None:
        self.store, self.at, self.up_to, self.dry_run = store, at, up_to, dry_run
        self.run_id: str | None = None
        self.chunks = 0
        self.counts = dict.fromkeys(("customers", "lines", "invoices", "credit_notes", "parked"), 0)
        self.net_minor: dict[str, int] = {}

    def bill_chunk(self, roots: Sequence[str], only: Sequence[str] | None = None) -> None:
        """One transaction for the due customers of some roots (or those named of them)."""
        before = (self.run_id, self.chunks, dict(self.counts), dict(self.net_minor))
        members: Sequence[str] = only or ()
        try:
            with self.store.transaction(savepoint=True):
                frame = _due_members(self.store, roots, self.up_to, only)
                members = frame["customer_id"].to_list()
                if frame.height:
                    self._post(frame)
        except BillingError as error:
            if error.code == "period_locked":
                raise
            self._halve(roots, members, before, error)
        except Exception as error:
            self._halve(roots, members, before, error)

    def _post(self, members: pl.DataFrame) -> None:
        found = draft(self.store, self.at, members, self.up_to)
        if not self.dry_run:
            self._open()
            _write(self.store, self.at, str(self.run_id), found)
            self._checkpoint(found)
        self._count(found)

    def _open(self) -> None:
        """The run's own row, once there is something to post."""
        if self.run_id is not None:
            return
        self.run_id = self.store.new_id("run")
        row = {
            "run_id": self.run_id,
            "up_to": self.up_to,
            "mode": "bill",
            "state": "running",
            "started_at": self.at,
        }
        self.store.insert(billing_runs, [row], self.at)

    def _checkpoint(self, found: Draft) -> None:
        roots = found.members["root_id"].sort()
        self.chunks += 1
        row = {
            "run_id": self.run_id,
            "position": self.chunks,
            "first_root_id": roots[0],
            "last_root_id": roots[-1],
            "state": "done",
            "customers": found.members.height,
            "parked": found.failures.height,
            "invoices": int(found.documents["has_invoice"].sum()),
            "lines": found.lines.height,
        }
        self.store.insert(billing_chunks, [row], self.at)

    def _count(self, found: Draft) -> None:
        self.counts["customers"] += found.members.height
        self.counts["lines"] += found.lines.height
        self.counts["invoices"] += int(found.documents["has_invoice"].sum())
        self.counts["credit_notes"] += int(found.documents["has_note"].sum())
        self.counts["parked"] += found.failures.height
        sums = found.lines.group_by("currency").agg(pl.col("net_minor").sum())
        for currency, net_minor in sums.iter_rows():
            self.net_minor[currency] = self.net_minor.get(currency, 0) + net_minor

    def _halve(
        self,
        roots: Sequence[str],
        members: Sequence[str],
        before: tuple[str | None, int, dict[str, int], dict[str, int]],
        error: Exception,
    ) -> None:
        """Bill the halves of a chunk that failed; a customer who fails alone is parked."""
        self.run_id, self.chunks, self.counts, self.net_minor = before
        if not members:
            raise error
        if len(members) > 1:
            middle = len(members) // 2
            self.bill_chunk(roots, members[:middle])
            self.bill_chunk(roots, members[middle:])
            return
        detail = f"{type(error).__name__}: {error}"[:500]
        if not self.dry_run:
            with self.store.transaction(savepoint=True):
                self._open()
                parked = pl.DataFrame([(members[0], "unexpected", detail)], _FAILURES, orient="row")
                _park(self.store, self.at, parked)
        self.counts["customers"] += 1
        self.counts["parked"] += 1

    def finish(self) -> RunSummary:
        if self.run_id is not None:
            row = {"run_id": self.run_id, "state": "done", "finished_at": self.at}
            self.store.update(billing_runs, [row], self.at)
        return RunSummary(self.run_id, **self.counts, net_minor=dict(sorted(self.net_minor.items())))


def _due_members(store: Store, roots: Sequence[str], up_to: date, only: Sequence[str] | None) -> pl.DataFrame:
    """The customers of a chunk that are due, ordered, and locked so that no act and no second run comes
    between reading and writing (PostgreSQL; SQLite has one writer anyway)."""
    due = _MEMBERS.where(customers.c.next_bill_on <= up_to, customers.c.parked_at.is_(None)).with_for_update(
        skip_locked=True, of=customers
    )
    if only is not None:
        members = _frames(store, due, customers.c.customer_id, only)
    else:
        members = _frames(store, due, customers.c.root_id, roots)
    return members.sort("root_id", "customer_id")


def _frames(
    store: Store,
    statement: Select[Any],
    column: Any,
    ids: Sequence[str],
    values: Mapping[str, Any] | None = None,
) -> pl.DataFrame:
    """The rows whose column is among some ids, however many."""
    asked = statement.where(column.in_(bindparam("ids", expanding=True)))
    parts = [ids[first : first + _IDS_A_QUERY] for first in range(0, len(ids), _IDS_A_QUERY)] or [[]]
    frames = [store.frame(asked, {"ids": list(part), **(values or {})}) for part in parts]
    return frames[0] if len(frames) == 1 else pl.concat(frames)


# Reading: the facts of a chunk.

_FAILURES = invoicing.FAILURE_SCHEMA

_TERMS = (
    select(
        items.c.item_id,
        items.c.customer_id,
        items.c.subscription_id,
        subscriptions.c.bill_to,
        subscriptions.c.ship_to,
        subscriptions.c.billing_starts_on,
        subscriptions.c.ends_on,
        item_versions.c.effective_start,
        item_versions.c.effective_end,
        item_versions.c.phase,
        item_versions.c.pause,
        item_versions.c.anchor_on,
        item_versions.c.quantity_mantissa,
        item_versions.c.quantity_scale,
        item_versions.c.discount_ids,
        plan_versions.c.interval,
        plan_versions.c.in_advance,
        plans.c.name.label("plan_name"),
        products.c.tax_code,
        products.c.category.label("product_category"),
        components.c.component_id,
        components.c.kind,
        components.c.position,
        components.c.name.label("component_name"),
        components.c.meter_id,
        meters.c.aggregation,
        meters.c.scale.label("meter_scale"),
        meters.c.is_recurring,
        prices.c.price_id,
        prices.c.currency.label("price_currency"),
        prices.c.minimum_spend_minor,
        prices.c.maximum_spend_minor,
        customers.c.currency,
    )
    .join(customers, customers.c.customer_id == items.c.customer_id)
    .join(subscriptions, subscriptions.c.subscription_id == items.c.subscription_id)
    .join(
        item_versions,
        and_(item_versions.c.item_id == items.c.item_id, item_versions.c.superseded_at.is_(None)),
    )
    .join(
        plan_versions,
        and_(
            plan_versions.c.plan_id == item_versions.c.plan_id,
            plan_versions.c.version == item_versions.c.plan_version,
        ),
    )
    .join(plans, plans.c.plan_id == item_versions.c.plan_id)
    .join(products, products.c.product_id == plans.c.product_id)
    .join(
        components,
        and_(
            components.c.plan_id == item_versions.c.plan_id,
            components.c.plan_version == item_versions.c.plan_version,
        ),
    )
    .outerjoin(
        prices,
        and_(prices.c.list_id == item_versions.c.list_id, prices.c.component_id == components.c.component_id),
    )
    .outerjoin(meters, meters.c.meter_id == components.c.meter_id)
)

_BILLED = (
    select(
        line_items.c.line_id,
        items.c.customer_id,
        line_items.c.item_id,
        line_items.c.component_id,
        line_items.c.kind,
        line_items.c.entry,
        line_items.c.service_start,
        line_items.c.service_end,
        line_items.c.revision,
        line_items.c.reference_start,
        line_items.c.reference_end,
        line_items.c.terms_id,
        line_items.c.reverses_line_id,
        line_items.c.gross_minor,
        line_items.c.net_minor,
        line_items.c.tax_minor,
    )
    .join(items, items.c.item_id == line_items.c.item_id)
    .where(line_items.c.service_end > bindparam("since"))
)
_NOTED = (
    select(
        credit_note_lines.c.line_id,
        credit_note_lines.c.service_start,
        credit_note_lines.c.service_end,
        # A note knows no discount: what it takes back counts as its gross too.
        credit_note_lines.c.net_minor.label("gross_minor"),
        credit_note_lines.c.net_minor,
        credit_note_lines.c.tax_minor,
    )
    .join(line_items, line_items.c.line_id == credit_note_lines.c.line_id)
    .join(items, items.c.item_id == line_items.c.item_id)
    .where(line_items.c.service_end > bindparam("since"))
)
_ORIGIN = (
    select(
        *(
            column
            for column in line_items.c
            if column.name not in ("run_id", "explanation", "recorded_at", "reverses_line_id", "revision")
        ),
        invoices.c.customer_id.label("payer_id"),
        invoices.c.entity_id,
        invoices.c.state.label("invoice_state"),
        subscriptions.c.ends_on,
        subscriptions.c.cancel_reason,
        customers.c.time_zone,
        tax_lines.c.country.label("tax_country"),
    )
    .join(invoices, invoices.c.invoice_id == line_items.c.invoice_id)
    .join(items, items.c.item_id == line_items.c.item_id)
    .join(subscriptions, subscriptions.c.subscription_id == items.c.subscription_id)
    .join(customers, customers.c.customer_id == items.c.customer_id)
    .outerjoin(tax_lines, tax_lines.c.line_id == line_items.c.line_id)
)
_SNAPSHOTS = (
    select(
        usage_snapshots.c.item_id,
        usage_snapshots.c.component_id,
        usage_snapshots.c.service_start,
        usage_snapshots.c.service_end,
        usage_snapshots.c.revision,
        usage_snapshots.c.quantity_mantissa,
    )
    .join(items, items.c.item_id == usage_snapshots.c.item_id)
    .where(usage_snapshots.c.service_end > bindparam("since"))
)
_PARTIES = (
    select(
        customers.c.customer_id,
        customers.c.entity_id,
        customers.c.country,
        customers.c.time_zone,
        customers.c.policy_name,
        customers.c.collection,
        customers.c.terms_id,
        customers.c.tax_number_confirmed_on.is_not(None).label("has_tax_number"),
        payment_terms.c.net_days,
        payment_terms.c.end_of_month,
        legal_entities.c.country.label("seller_country"),
    )
    .join(legal_entities, legal_entities.c.entity_id == customers.c.entity_id)
    .outerjoin(payment_terms, payment_terms.c.terms_id == customers.c.terms_id)
)


def _policies(store: Store) -> dict[str, list[PolicyVersion]]:
    """Every version of every policy, by name."""
    found: dict[str, list[PolicyVersion]] = {}
    for row in store.rows(select(policies).order_by(policies.c.name, policies.c.version)):
        settings = Policy(**{one.name: row[one.name] for one in fields(Policy)})
        version = PolicyVersion(row["name"], row["version"], row["valid_from"], settings)
        found.setdefault(row["name"], []).append(version)
    return found


def _catalogue(store: Store, rows: pl.DataFrame, settings: Mapping[PolicyKey, Policy]) -> Catalogue:
    """The prices and tiers the rows name, and all policies. Prices never change: the store remembers them."""
    wanted = rows["price_id"].drop_nulls().unique()
    known: Catalogue | None = store.memory.get("bill_run.catalogue")
    if known is not None:
        wanted = wanted.filter(~wanted.is_in(known.prices["price_id"].implode()))
    if known is None or len(wanted):
        ids = wanted.sort().to_list()
        new_prices = _frames(store, select(prices), prices.c.price_id, ids)
        new_tiers = _frames(store, select(price_tiers), price_tiers.c.price_id, ids)
        if known is not None:
            new_prices = pl.concat([known.prices, new_prices])
            new_tiers = pl.concat([known.tiers, new_tiers])
        known = Catalogue(new_prices, new_tiers, pl.DataFrame(), {})
        store.memory["bill_run.catalogue"] = known
    used = rows.select("price_id").unique()
    has_discounts = (rows["discount_ids"] != "").any() if "discount_ids" in rows.columns else False
    return Catalogue(
        known.prices.join(used, on="price_id", how="semi"),
        known.tiers.join(used, on="price_id", how="semi"),
        store.frame(select(discounts)) if has_discounts else known.discounts,
        settings,
    )


# Usage is summed by the database, per segment.


def _quantities(store: Store, parts: pl.DataFrame, settings: Policy) -> pl.DataFrame:
    """Adds to usage segments `quantity_mantissa`, `quantity_scale` and `last_event_seq`.

    The day a service ends counts to its last period [`end_day_usage`]. A recurring meter carries its level
    over, so its events are summed from the beginning.
    """
    last_day = pl.col("service_end")
    if settings.end_day_usage == "include":
        last_day = pl.when("ends_here").then(last_day.dt.offset_by("1d")).otherwise(last_day)
    first_day = pl.when(pl.col("is_recurring")).then(pl.date(1, 1, 2)).otherwise(pl.col("service_start"))
    ranges = parts.select(
        pl.int_range(pl.len()).alias("segment"),
        "item_id",
        "meter_id",
        first_day.cast(pl.String),
        last_day.cast(pl.String).alias("last_day"),
        first_day.dt.offset_by("-1d").cast(pl.String).alias("earliest"),
        last_day.dt.offset_by("1d").cast(pl.String).alias("latest"),
    )
    has_latest = (parts["aggregation"] == "latest").any()
    asked = _usage_query(store.is_sqlite, bool(has_latest))
    sums = store.frame(asked, {"segments": json.dumps(ranges.rows())})
    value = (
        pl.when(pl.col("aggregation") == "count")
        .then(pl.col("events") * pl.lit(10, pl.Int64).pow(pl.col("meter_scale").cast(pl.UInt32)))
        .when(pl.col("aggregation") == "max")
        .then("greatest")
        .when(pl.col("aggregation") == "latest")
        .then("latest")
        .otherwise("total")
    )
    return (
        parts.with_row_index("segment")
        .with_columns(pl.col("segment").cast(pl.Int64))
        .join(sums, on="segment", how="left", maintain_order="left")
        .with_columns(
            value.fill_null(0).alias("quantity_mantissa"),
            pl.col("meter_scale").alias("quantity_scale"),
            pl.col("last_seq").fill_null(0).alias("last_event_seq"),
        )
        .drop("segment", "total", "events", "greatest", "latest", "last_seq")
    )


def _usage_query(is_sqlite: bool, has_latest: bool) -> Select[Any]:
    """Sums of events per range of days. The ranges come as one JSON text, so the statement never changes."""
    document = bindparam("segments", type_=Text)
    ranges: Any
    if is_sqlite:
        ranges = func.json_each(document).table_valued("value", name="ranges")
    else:
        ranges = func.json_array_elements(cast(document, JSON)).table_valued("value").render_derived("ranges")

    def part(place: int) -> Any:
        return ranges.c.value.op("->>", return_type=Text())(literal_column(str(place)))

    def on(place: int) -> Any:
        return part(place) if is_sqlite else cast(part(place), Date)

    def instant(place: int) -> Any:
        return part(place) if is_sqlite else cast(part(place), DateTime(timezone=True))

    events = usage_events.c
    places = (
        func.row_number().over(partition_by=part(0), order_by=(events.occurred_at.desc(), events.seq.desc()))
        if has_latest
        else literal_column("0", Integer)
    )
    inner = (
        select(
            cast(part(0), Integer).label("segment"), events.value_mantissa, events.seq, places.label("place")
        )
        .select_from(ranges)
        .join(
            usage_events,
            and_(
                events.item_id == part(1),
                events.meter_id == part(2),
                events.occurred_at >= instant(5),
                events.occurred_at < instant(6),
                events.occurred_on >= on(3),
                events.occurred_on < on(4),
            ),
        )
        .where(events.unbilled_reason.is_(None))
        .subquery()
    )
    return select(
        inner.c.segment,
        func.sum(inner.c.value_mantissa, type_=line_items.c.net_minor.type).label("total"),
        func.count(type_=line_items.c.net_minor.type).label("events"),
        func.max(inner.c.value_mantissa).label("greatest"),
        func.max(case((inner.c.place == 1, inner.c.value_mantissa))).label("latest"),
        func.max(inner.c.seq).label("last_seq"),
    ).group_by(inner.c.segment)


# Working out what to post.

_LINE_SCHEMA = pl.Schema(
    {
        "customer_id": pl.String(),
        "payer_id": pl.String(),
        "ship_to": pl.String(),
        "entity_id": pl.String(),
        "item_id": pl.String(),
        "component_id": pl.String(),
        "position": pl.Int64(),
        "kind": pl.String(),
        "entry": pl.String(),
        "service_start": pl.Date(),
        "service_end": pl.Date(),
        "revision": pl.Int64(),
        "reference_start": pl.Date(),
        "reference_end": pl.Date(),
        "terms_id": pl.String(),
        "price_id": pl.String(),
        "quantity_mantissa": pl.Int64(),
        "quantity_scale": pl.Int64(),
        "factor_num": pl.Int64(),
        "factor_den": pl.Int64(),
        "currency": pl.String(),
        "gross_minor": pl.Int64(),
        "discount_minor": pl.Int64(),
        "net_minor": pl.Int64(),
        "tax_minor": pl.Int64(),
        "tax_code": pl.String(),
        "product_category": pl.String(),
        "tax_category": pl.String(),
        "tax_country": pl.String(),
        "tax_rate_ppm": pl.Int64(),
        "policy_name": pl.String(),
        "policy_version": pl.Int64(),
        "reverses_line_id": pl.String(),
        "origin_invoice_id": pl.String(),
        "description": pl.String(),
        "explanation": pl.String(),
    }
)
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


def _shaped(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The frame with exactly the columns of a schema; what it lacks is null."""
    return frame.select(
        pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in schema.items()
    )


@dataclass(frozen=True)
class _Owed:
    """What the customers of one policy owe: priced lines, charges still without tax, and no documents."""

    lines: pl.DataFrame
    usage: pl.DataFrame
    failures: pl.DataFrame
    days: pl.DataFrame


def draft(store: Store, at: datetime, members: pl.DataFrame, up_to: date) -> Draft:
    """What the members owe up to a day: steps 2 to 13 of a run, nothing written.

    members: `customer_id`, `root_id`, `policy_name`, `time_zone`.
    """
    known = _policies(store)
    parts = [
        _owed(store, of_policy, known, str(name), up_to)
        for (name,), of_policy in members.group_by("policy_name", maintain_order=True)
    ]
    owed = _Owed(
        pl.concat([part.lines for part in parts]),
        pl.concat([part.usage for part in parts]),
        pl.concat([part.failures for part in parts]),
        pl.concat([part.days for part in parts]),
    )
    return _documented(store, at, members, known, owed)


def _owed(
    store: Store, members: pl.DataFrame, known: Mapping[str, list[PolicyVersion]], name: str, up_to: date
) -> _Owed:
    versions = known[name]
    held = invoicing.version_on(versions, up_to).settings
    problem = next(filter(None, (invoicing.unsupported_setting(one.settings) for one in versions)), None)
    if problem is not None:
        refused = members.select(
            "customer_id", pl.lit("unsupported_setting").alias("code"), pl.lit(problem).alias("detail")
        )
        return _Owed(
            pl.DataFrame(schema=_LINE_SCHEMA),
            pl.DataFrame(schema=_USAGE_SCHEMA),
            refused,
            pl.DataFrame(schema=_DAY_SCHEMA),
        )
    settings = {(one.name, one.version): one.settings for several in known.values() for one in several}
    ids = members["customer_id"].to_list()
    terms = _frames(store, _TERMS, items.c.customer_id, ids).join(
        members.select("customer_id", "time_zone"), on="customer_id"
    )
    service = invoicing.stretches(terms, held)
    parts = invoicing.segments(service, versions, up_to)
    billed = _billed(store, ids, up_to, invoicing.horizon(up_to, held), parts)
    recurring = invoicing.coverage(
        parts.filter(~pl.col("is_usage")),
        billed.charged.filter(pl.col("kind") == "recurring"),
        billed.credited,
    )
    to_charge = recurring.to_charge.filter(pl.col("due_on") <= up_to)
    to_credit = recurring.to_credit.filter(pl.col("service_start") <= up_to)
    usage = _compared_usage(store, ids, parts, billed, held, up_to)
    origin = _origin(store, to_credit["line_id"])
    rated = _rated(store, {"charge": to_charge, "usage": usage.parts, "origin": origin}, settings)
    catalogue = rated.catalogue

    priced: list[pl.DataFrame] = []
    lines: list[pl.DataFrame] = []
    if to_charge.height:
        priced.append(invoicing.charges(rated["charge"], recurring.kept, catalogue))
        lines.append(_charge_lines(priced[-1], "recurring"))
    if to_credit.height:
        back = _creditable(to_credit, rated["origin"], settings)
        priced.append(invoicing.credits_of_time(back, rated["origin"], billed.credited, catalogue))
        lines.append(_credit_lines(priced[-1]))
    to_take = usage.gone
    if usage.parts.height:
        uses = invoicing.usage_lines(rated["usage"], usage.sums, catalogue)
        owed = uses.filter(_is_charged)
        priced.append(owed)
        lines.append(_charge_lines(_usage_quantity(owed, usage.snapshots), "usage"))
        to_take = pl.concat([to_take, uses.filter(pl.col("net_minor") < 0).select(to_take.columns)])
    if to_take.height:
        charged = billed.charged.filter(pl.col("kind") == "usage")
        take = invoicing.shared_over_lines(to_take, charged, billed.credited)
        of_usage = _origin(store, take["line_id"]).with_columns(pl.lit(None, pl.String).alias("failure"))
        priced.append(invoicing.credits_of_usage(take, of_usage, billed.credited, catalogue))
        lines.append(_credit_lines(priced[-1]))
    all_lines = pl.concat([pl.DataFrame(schema=_LINE_SCHEMA), *lines])
    failures = pl.concat(
        [*(invoicing.line_failures(one) for one in priced), invoicing.crowded_items(all_lines)]
    )
    waiting = recurring.to_credit.filter(pl.col("service_start") > up_to).join(
        billed.charged.select("line_id", "customer_id"), on="line_id"
    )
    days = pl.concat(
        [
            invoicing.next_bill_days(service, parts, up_to),
            waiting.select("customer_id", pl.col("service_start").alias("next_bill_on")),
        ]
    )
    return _Owed(
        _with_revision(all_lines, billed.keys), _snapshots_of(rated["usage"], usage.snapshots), failures, days
    )


_is_charged = (pl.col("net_minor") > 0) | pl.col("net_minor").is_null() | pl.col("failure").is_not_null()


@dataclass(frozen=True)
class _Billed:
    """Posted lines that may differ from what is owed: charges, and what was taken back of them (positive).

    keys: the obligation keys in use, to count revisions.
    """

    charged: pl.DataFrame
    credited: pl.DataFrame
    keys: pl.DataFrame


_OBLIGATION = ["item_id", "component_id", "kind", "entry", "service_start", "service_end"]


def _billed(store: Store, ids: Sequence[str], up_to: date, horizon: date, parts: pl.DataFrame) -> _Billed:
    """Lines of periods after the horizon that began by `up_to`: later ones are not judged yet."""
    since = min([horizon, *parts.select(pl.col("reference_start").min()).drop_nulls().to_series()])
    rows = _frames(store, _BILLED, items.c.customer_id, ids, {"since": since})
    judged = rows.filter(pl.col("reference_end") > horizon, pl.col("reference_start") <= up_to)
    is_charge = pl.col("entry") == "charge"
    credited = judged.filter(~is_charge).select(
        pl.col("reverses_line_id").alias("line_id"),
        "service_start",
        "service_end",
        -pl.col("gross_minor"),
        -pl.col("net_minor"),
        -pl.col("tax_minor"),
    )
    noted = _frames(store, _NOTED, items.c.customer_id, ids, {"since": since}).select(credited.columns)
    return _Billed(
        judged.filter(is_charge),
        pl.concat([credited, noted]) if noted.height else credited,
        rows.select(_OBLIGATION),
    )


@dataclass(frozen=True)
class _Usage:
    """Usage to compare: due segments with their quantity, sums of what was billed of it, and what was billed
    of segments that are no more (`gone`, with what to take back as `net_minor` below 0)."""

    parts: pl.DataFrame
    sums: pl.DataFrame
    gone: pl.DataFrame
    snapshots: pl.DataFrame


def _compared_usage(
    store: Store, ids: Sequence[str], parts: pl.DataFrame, billed: _Billed, settings: Policy, up_to: date
) -> _Usage:
    key = [*invoicing.LINE_KEY, *invoicing.SERVICE]
    all_parts = parts.filter("is_usage")
    due = all_parts.filter(pl.col("due_on") <= up_to)
    charged = billed.charged.filter(pl.col("kind") == "usage")
    since = min([up_to, *due.select(pl.col("service_start").min()).drop_nulls().to_series()])
    snapshots = _NO_SNAPSHOTS
    if due.height:
        snapshots = (
            _frames(store, _SNAPSHOTS, items.c.customer_id, ids, {"since": since})
            .sort("revision")
            .group_by(key, maintain_order=True)
            .last()
        )
    compared = invoicing.due_usage(due, snapshots, up_to)
    waiting = due.join(compared.select("item_id"), on="item_id", how="anti").select("item_id")
    if compared.height:
        compared = _quantities(store, compared, settings)
    else:
        compared = compared.with_columns(
            pl.lit(0, pl.Int64).alias("last_event_seq"), pl.col("quantity_scale").cast(pl.Int64)
        )
    usage_credits = billed.credited.join(charged.select("line_id"), on="line_id", how="semi")
    sums = invoicing.billed_usage(charged, usage_credits)
    gone = (
        sums.join(all_parts, on=key, how="anti")
        .join(waiting, on="item_id", how="anti")
        .filter(pl.col("net_minor") > 0)
        .select(*key, -pl.col("net_minor"))
    )
    return _Usage(compared, sums, gone, snapshots)


_NO_SNAPSHOTS = pl.DataFrame(
    schema={
        "item_id": pl.String,
        "component_id": pl.String,
        "service_start": pl.Date,
        "service_end": pl.Date,
        "revision": pl.Int64,
        "quantity_mantissa": pl.Int64,
    }
)


class _Rated:
    """Frames priced in one go, each under its name, and the catalogue that priced them."""

    def __init__(self, frames: Mapping[str, pl.DataFrame], catalogue: Catalogue) -> None:
        self._frames, self.catalogue = frames, catalogue

    def __getitem__(self, name: str) -> pl.DataFrame:
        return self._frames[name]


_ASKED = ["price_id", "quantity_mantissa", "quantity_scale", "discount_ids", "policy_name", "policy_version"]
_ANSWERED = ["amount_num", "amount_den", "discount_num", "discount_den", "failure"]


def _rated(store: Store, frames: Mapping[str, pl.DataFrame], settings: Mapping[PolicyKey, Policy]) -> _Rated:
    """Each frame with its exact amounts; a row that cannot be priced has its failure."""
    asked = pl.concat([frame.select(_ASKED) for frame in frames.values()])
    catalogue = _catalogue(store, asked, settings)
    answer = invoicing.rated(asked, catalogue).select(_ANSWERED)
    priced, first = {}, 0
    for name, frame in frames.items():
        part = answer.slice(first, frame.height)
        first += frame.height
        frame = frame.hstack(part)
        if "kind" in frame.columns and "price_currency" in frame.columns:
            frame = frame.with_columns(pl.coalesce(invoicing.unbillable(), "failure").alias("failure"))
        priced[name] = frame
    return _Rated(priced, catalogue)


def _origin(store: Store, line_ids: pl.Series) -> pl.DataFrame:
    """The posted lines that are taken back, with what their credit needs. Their discounts are part of their
    terms."""
    rows = _frames(store, _ORIGIN, line_items.c.line_id, line_ids.unique().to_list())
    return rows.with_columns(
        pl.col("terms_id").str.extract(r"\|\d+e-\d+\|([^|]*)\|[^|]*$").fill_null("").alias("discount_ids")
    ).sort("line_id")


def _creditable(
    to_credit: pl.DataFrame, origin: pl.DataFrame, settings: Mapping[PolicyKey, Policy]
) -> pl.DataFrame:
    """Without time after a cancellation that is not given back: where `on_cancel` is none, and where the
    customer never paid for it. Started periods are charged whole under day_count none."""
    lines = origin.select(
        "line_id", "ends_on", "cancel_reason", "invoice_state", "policy_name", "policy_version"
    )
    is_after_end = pl.col("service_start") >= pl.col("ends_on")
    is_unpaid = (pl.col("cancel_reason") == "payment") & (pl.col("invoice_state") != "paid")

    def given_back(part: pl.DataFrame, one: Policy) -> pl.DataFrame:
        kept = is_after_end & (pl.lit(one.on_cancel == "none") | is_unpaid)
        return part.filter(~kept.fill_null(False) & pl.lit(one.day_count != "none"))

    rows = to_credit.join(lines, on="line_id", maintain_order="left")
    return invoicing.by_policy(rows, settings, given_back).select(to_credit.columns)


# From amounts to lines.


def _charge_lines(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    amount = [pl.col(name).cast(pl.String) for name in ("amount_num", "amount_den")]
    whole = pl.concat_str(pl.lit('{"whole_minor": "'), amount[0], pl.lit("/"), amount[1], pl.lit('"'))
    if kind == "usage":
        rows = rows.with_columns(
            pl.lit(1, pl.Int64).alias("factor_num"), pl.lit(1, pl.Int64).alias("factor_den")
        )
        quantity = pl.col("period_quantity").cast(pl.String)
        whole = pl.concat_str(whole, pl.lit(', "period_quantity_mantissa": '), quantity)
    return _shaped(
        rows.with_columns(
            pl.lit(kind).alias("kind"),
            pl.lit("charge").alias("entry"),
            pl.col("bill_to").alias("payer_id"),
            pl.concat_str("plan_name", pl.lit(", "), "component_name").alias("description"),
            pl.concat_str(whole, pl.lit("}")).alias("explanation"),
        ),
        _LINE_SCHEMA,
    )


def _credit_lines(rows: pl.DataFrame) -> pl.DataFrame:
    names = ("gross_minor", "discount_minor", "net_minor", "tax_minor")
    return _shaped(
        rows.with_columns(
            *(-pl.col(name) for name in names),
            pl.lit("credit").alias("entry"),
            pl.col("line_id").alias("reverses_line_id"),
            pl.col("invoice_id").alias("origin_invoice_id"),
            pl.lit(None, dtype=pl.String).alias("explanation"),
        ),
        _LINE_SCHEMA,
    )


def _usage_quantity(rows: pl.DataFrame, snapshots: pl.DataFrame) -> pl.DataFrame:
    """A usage line shows the quantity that came since its period was last billed."""
    key = [*invoicing.LINE_KEY, *invoicing.SERVICE]
    before = snapshots.select(*key, pl.col("quantity_mantissa").alias("_before"))
    return rows.join(before, on=key, how="left", maintain_order="left").with_columns(
        pl.col("quantity_mantissa").alias("period_quantity"),
        pl.col("quantity_mantissa") - pl.col("_before").fill_null(0),
    )


def _snapshots_of(parts: pl.DataFrame, snapshots: pl.DataFrame) -> pl.DataFrame:
    """The quantities billed now: of periods billed for the first time, or on another quantity."""
    key = [*invoicing.LINE_KEY, *invoicing.SERVICE]
    before = snapshots.select(
        *key,
        (pl.col("revision") + 1).alias("revision"),
        pl.col("quantity_mantissa").alias("_before"),
    )
    rows = parts.join(before, on=key, how="left", maintain_order="left").filter(
        pl.col("_before").is_null() | (pl.col("_before") != pl.col("quantity_mantissa"))
    )
    return _shaped(rows.with_columns(pl.col("revision").fill_null(0)), _USAGE_SCHEMA)


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
) -> Draft:
    """Lines of sound customers with their tax, grouped into documents."""
    failures = owed.failures
    lines = _grouped(
        store, at, owed.lines.join(failures, on="customer_id", how="anti", maintain_order="left")
    )
    lines = _with_tax_terms(lines, store.frame(select(tax_rates)) if lines.height else None)
    failures = pl.concat([failures, invoicing.untaxed(lines)])
    lines = _taxed(lines.join(failures, on="customer_id", how="anti", maintain_order="left"), known)
    documents = invoicing.documents(lines, separate_credits=pl.col("separates_credits"))
    beyond = invoicing.large_documents(documents, lines)
    if beyond.height:
        left = _Owed(owed.lines, owed.usage, pl.concat([failures, beyond]), owed.days)
        return _documented(store, at, members, known, left)
    failures = failures.unique("customer_id", keep="first", maintain_order=True)
    next_days = (
        members.select("customer_id")
        .join(failures, on="customer_id", how="anti", maintain_order="left")
        .join(
            owed.days.group_by("customer_id").agg(pl.col("next_bill_on").min()),
            on="customer_id",
            how="left",
            maintain_order="left",
        )
    )
    usage = owed.usage.join(failures, on="customer_id", how="anti", maintain_order="left")
    return Draft(members, lines, documents, usage, failures, next_days)


_GROUP = ["payer_id", "entity_id", "currency"]
_ORDER = ["customer_id", "item_id", "position", "component_id", "service_start", "entry", "service_end"]


def _grouped(store: Store, at: datetime, lines: pl.DataFrame) -> pl.DataFrame:
    """The lines in the order they are printed, with what their payer and ship-to bring: the document they
    belong to (a payer, a seller, a currency), its day, and the facts that decide tax."""
    ids = pl.concat([lines["payer_id"], lines["ship_to"]]).drop_nulls().unique().to_list()
    parties = _frames(store, _PARTIES, customers.c.customer_id, ids)
    days = invoicing.issue_days(parties["time_zone"].to_list(), at)
    payers = parties.select(
        pl.col("customer_id").alias("payer_id"),
        pl.col("entity_id").alias("payer_entity_id"),
        "has_tax_number",
        "seller_country",
        "collection",
        "net_days",
        "end_of_month",
        pl.col("terms_id").alias("payment_terms_id"),
        pl.col("policy_name").alias("payer_policy_name"),
        pl.col("time_zone").replace_strict(days, return_dtype=pl.Date).alias("issued_on"),
    )
    ship_to = parties.select(pl.col("customer_id").alias("ship_to"), pl.col("country").alias("ship_country"))
    rows = (
        lines.join(payers, on="payer_id", how="left", maintain_order="left")
        .join(ship_to, on="ship_to", how="left", maintain_order="left")
        .with_columns(pl.coalesce("entity_id", "payer_entity_id").alias("entity_id"))
        .sort(*_GROUP, *_ORDER, maintain_order=True)
    )
    is_next = pl.any_horizontal(pl.col(name) != pl.col(name).shift(1) for name in _GROUP).fill_null(True)
    return rows.with_columns(is_next.cum_sum().cast(pl.Int64).alias("document"))


def _with_tax_terms(lines: pl.DataFrame, rates: pl.DataFrame | None) -> pl.DataFrame:
    """Charges with the category, country and rate of their tax; a credit has those of its own line."""
    if rates is None:
        return lines
    case_of = invoicing.TAX_CASE
    terms = invoicing.tax_terms(lines.filter(pl.col("entry") == "charge"), rates)
    is_credit = pl.col("entry") == "credit"
    found = ["tax_category", "tax_country", "tax_rate_ppm"]
    return lines.join(terms, on=case_of, how="left", maintain_order="left", suffix="_found").with_columns(
        pl.when(is_credit).then(pl.col(name)).otherwise(pl.col(f"{name}_found")).alias(name) for name in found
    )


def _taxed(lines: pl.DataFrame, known: Mapping[str, list[PolicyVersion]]) -> pl.DataFrame:
    """Charges taxed by the payer's settings of the day; whether its credits go on notes of their own."""
    if lines.is_empty():
        return lines.with_columns(pl.lit(False).alias(name) for name in ("separates_credits", "keeps_credit"))
    parts = []
    for (name, on), part in lines.group_by("payer_policy_name", "issued_on", maintain_order=True):
        assert isinstance(on, date)
        settings = invoicing.version_on(known[str(name)], on).settings
        is_charge = pl.col("entry") == "charge"
        charged = invoicing.taxed(part.filter(is_charge), settings.tax_scope, settings.rounding)
        separates = pl.lit(settings.credit_document == "credit_note").alias("separates_credits")
        credit_balance = pl.lit(settings.credit_target == "balance").alias("keeps_credit")
        both = pl.concat([charged, part.filter(~is_charge)])
        parts.append(both.with_columns(separates, credit_balance))
    return pl.concat(parts).sort("document", *_ORDER, maintain_order=True)


# Writing.


def _write(store: Store, at: datetime, run_id: str, found: Draft) -> None:
    """Post a draft: documents with their numbers, lines, tax, journal, messages, and the next days."""
    if found.failures.height:
        _park(store, at, found.failures)
    store.update(customers, found.next_days, at)
    _write_usage(store, at, found)
    if found.lines.is_empty():
        return
    papers = _papers(store, at, found)
    notes, new_invoices = papers.filter("has_note"), papers.filter("has_invoice")
    paid, debts = _applications(store, found, papers)
    _write_notes(store, at, run_id, notes)
    _write_invoices(store, at, run_id, new_invoices, paid)
    _write_lines(store, at, found, papers)
    events = [_issued(papers)]
    if paid.height:
        events.append(_write_applications(store, at, papers, paid, debts))
    post_events(store, at, pl.concat(events, how="diagonal"))
    _announce(store, at, papers)


def _write_usage(store: Store, at: datetime, found: Draft) -> None:
    if found.usage.height:
        store.insert(usage_snapshots, found.usage.drop("customer_id"), at)


_PAPER = [
    "document",
    *_GROUP,
    "issued_on",
    "collection",
    "payment_terms_id",
    "net_days",
    "end_of_month",
    "keeps_credit",
]


def _papers(store: Store, at: datetime, found: Draft) -> pl.DataFrame:
    """The documents with their parties, days, ids and numbers. Notes come before invoices."""
    heads = found.lines.select(_PAPER).unique("document", keep="first", maintain_order=True)
    papers = found.documents.join(heads, on="document", how="left", maintain_order="left").with_columns(
        invoicing.due_days(pl.col("issued_on"), pl.col("net_days"), pl.col("end_of_month")).alias("due_on")
    )
    for kind, flag, prefix, mark in (
        ("credit_note", "has_note", "note", "CN"),
        ("invoice", "has_invoice", "invoice", "INV"),
    ):
        wanted = papers.filter(flag)
        ids = pl.Series(f"{prefix}_id", store.new_ids("note" if prefix == "note" else "inv", wanted.height))
        numbered = wanted.select("document").with_columns(
            ids.cast(pl.String), _numbers(store, at, kind, mark, wanted).alias(f"{prefix}_number")
        )
        papers = papers.join(numbered, on="document", how="left", maintain_order="left")
    return papers


def _numbers(store: Store, at: datetime, kind: str, mark: str, wanted: pl.DataFrame) -> pl.Series:
    """Numbers without a gap, per seller and year of issue, in the order of the documents."""
    year = pl.col("issued_on").dt.year()
    series = wanted.select("entity_id", year.alias("year")).with_columns(
        pl.int_range(pl.len(), dtype=pl.Int64).over("entity_id", "year").alias("place")
    )
    first = [
        (entity_id, of_year, store.take_numbers(str(entity_id), kind, int(of_year), count, at))
        for entity_id, of_year, count in series.group_by("entity_id", "year", maintain_order=True)
        .len()
        .iter_rows()
    ]
    table = pl.DataFrame(
        first,
        schema={"entity_id": pl.String, "year": series.schema["year"], "first": pl.Int64},
        orient="row",
    )
    number = (pl.col("first") + pl.col("place")).cast(pl.String).str.zfill(6)
    return (
        series.join(table, on=["entity_id", "year"], how="left", maintain_order="left")
        .select(pl.concat_str(pl.lit(f"{mark}-"), pl.col("year"), pl.lit("-"), number))
        .to_series()
    )


def _write_notes(store: Store, at: datetime, run_id: str, notes: pl.DataFrame) -> None:
    store.insert(
        credit_notes,
        notes.select(
            "note_id",
            pl.col("note_number").alias("number"),
            "entity_id",
            pl.col("payer_id").alias("customer_id"),
            "currency",
            pl.lit("change").alias("reason"),
            "issued_on",
            *(pl.col(f"note_{name}").alias(name) for name in _SUMS),
            pl.lit(run_id).alias("run_id"),
        ),
        at,
    )


_SUMS = ("net_minor", "tax_minor", "total_minor")


def _write_invoices(store: Store, at: datetime, run_id: str, new: pl.DataFrame, paid: pl.DataFrame) -> None:
    """Invoices are issued open, or paid where nothing is left to pay."""
    applied = paid.group_by("invoice_id").agg(pl.col("amount_minor").sum().alias("_applied"))
    is_paid = pl.col("total_minor") == pl.col("_applied").fill_null(0)
    rows = new.join(applied, on="invoice_id", how="left", maintain_order="left")
    store.insert(
        invoices,
        rows.select(
            "invoice_id",
            pl.col("invoice_number").alias("number"),
            "entity_id",
            pl.col("payer_id").alias("customer_id"),
            "currency",
            pl.col("payment_terms_id").alias("terms_id"),
            "collection",
            pl.when(is_paid).then(pl.lit("paid")).otherwise(pl.lit("open")).alias("state"),
            "issued_on",
            "due_on",
            *_SUMS,
            pl.when(is_paid).then("issued_on").alias("paid_on"),
            pl.lit(run_id).alias("run_id"),
        ),
        at,
    )


def _write_lines(store: Store, at: datetime, found: Draft, papers: pl.DataFrame) -> None:
    """Lines and their tax; credits of a note become lines of the note."""
    heads = papers.select("document", "has_note", "invoice_id", "note_id")
    rows = found.lines.join(heads, on="document", how="left", maintain_order="left")
    on_note = pl.col("has_note") & (pl.col("entry") == "credit")
    of_notes = rows.filter(on_note)
    if of_notes.height:
        place = pl.int_range(pl.len(), dtype=pl.Int64).over("note_id") + 1
        store.insert(
            credit_note_lines,
            of_notes.select(
                "note_id",
                place.alias("position"),
                pl.col("reverses_line_id").alias("line_id"),
                *invoicing.SERVICE,
                -pl.col("net_minor"),
                -pl.col("tax_minor"),
            ),
            at,
        )
    rows = rows.filter(~on_note)
    rows = rows.with_columns(pl.Series("line_id", store.new_ids("line", rows.height), dtype=pl.String))
    columns = [name for name in line_items.c.keys() if name in rows.columns]  # noqa: SIM118
    store.insert(line_items, rows.select(columns), at)
    store.insert(
        tax_lines,
        rows.select(
            "line_id",
            pl.col("tax_code").fill_null("standard"),
            pl.col("tax_category").alias("category"),
            pl.col("tax_country").alias("country"),
            "tax_rate_ppm",
            pl.col("net_minor").alias("base_minor"),
            "tax_minor",
        ),
        at,
    )


_OPEN_CREDIT = (
    select(
        credit_notes.c.customer_id.label("payer_id"),
        credit_notes.c.entity_id,
        credit_notes.c.currency,
        credit_notes.c.note_id.label("source_id"),
        (credit_notes.c.total_minor - func.coalesce(func.sum(applications.c.amount_minor), 0)).label(
            "left_minor"
        ),
    )
    .outerjoin(
        applications,
        and_(applications.c.source_id == credit_notes.c.note_id, applications.c.source_kind == "credit_note"),
    )
    .group_by(
        credit_notes.c.note_id,
        credit_notes.c.customer_id,
        credit_notes.c.entity_id,
        credit_notes.c.currency,
        credit_notes.c.total_minor,
    )
    .having(credit_notes.c.total_minor > func.coalesce(func.sum(applications.c.amount_minor), 0))
)
_OPEN_DEBT = select(
    invoices.c.customer_id.label("payer_id"),
    invoices.c.currency,
    invoices.c.invoice_id,
    invoices.c.entity_id,
    invoices.c.due_on,
    (
        invoices.c.total_minor
        - select(func.coalesce(func.sum(applications.c.amount_minor), 0))
        .where(applications.c.invoice_id == invoices.c.invoice_id)
        .scalar_subquery()
    ).label("open_minor"),
).where(
    invoices.c.state == "open",
    ~exists().where(payments.c.invoice_id == invoices.c.invoice_id, payments.c.state != "canceled"),
)
"""Open invoices nobody is being charged for: a payment under way settles its invoice by itself."""


def _applications(store: Store, found: Draft, papers: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What credit pays which invoice, and the older invoices among those.

    Older notes pay first, then those of the run; they pay the run's own invoice, then the invoices they
    correct, then others still open, the oldest first [`credit_target`: balance keeps the rest].
    """
    payers = papers["payer_id"].unique().to_list()
    older = _frames(store, _OPEN_CREDIT, credit_notes.c.customer_id, payers).sort("source_id")
    notes = papers.filter("has_note")
    sources = pl.concat(
        [
            older,
            notes.select(
                *_GROUP, pl.col("note_id").alias("source_id"), pl.col("note_total_minor").alias("left_minor")
            ),
        ]
    ).with_columns(pl.lit("credit_note").alias("source_kind"))
    new = papers.filter("has_invoice").select(
        *_GROUP, "invoice_id", pl.col("total_minor").alias("open_minor")
    )
    payers = notes.filter(~pl.col("keeps_credit"))["payer_id"].unique().to_list()
    debts = new.clear()
    if payers:
        corrected = found.lines["origin_invoice_id"].drop_nulls().unique()
        debts = (
            _frames(store, _OPEN_DEBT, invoices.c.customer_id, payers)
            .sort(pl.col("invoice_id").is_in(corrected.implode()).not_(), "due_on", "invoice_id")
            .select(new.columns)
        )
    return invoicing.applied(sources, pl.concat([new, debts])), debts


def _write_applications(
    store: Store, at: datetime, papers: pl.DataFrame, paid: pl.DataFrame, debts: pl.DataFrame
) -> pl.DataFrame:
    """Write what credits pay, let older invoices they settle be paid; returns the events for the journal."""
    days = papers.select(*_GROUP, "issued_on").unique(_GROUP, keep="first")
    ids = pl.Series("application_id", store.new_ids("app", paid.height), dtype=pl.String)
    rows = paid.with_columns(ids).join(days, on=_GROUP, how="left", maintain_order="left")
    store.insert(
        applications,
        rows.select(
            "application_id",
            "source_kind",
            "source_id",
            "invoice_id",
            "amount_minor",
            pl.col("issued_on").alias("applied_on"),
        ),
        at,
    )
    sums = rows.group_by("invoice_id").agg(pl.col("amount_minor").sum(), pl.col("issued_on").max())
    settled = (
        debts.join(sums, on="invoice_id")
        .filter(pl.col("amount_minor") == pl.col("open_minor"))
        .select("invoice_id", pl.lit("paid").alias("state"), pl.col("issued_on").alias("paid_on"))
    )
    store.update(invoices, settled, at)
    return rows.select(
        pl.lit("credit_applied").alias("event"),
        pl.lit("application").alias("source_kind"),
        pl.col("application_id").alias("source_id"),
        "invoice_id",
        *_EVENT,
        pl.col("amount_minor").alias("net_minor"),
        pl.lit(0, pl.Int64).alias("tax_minor"),
    )


_EVENT = (
    "entity_id",
    pl.col("payer_id").alias("customer_id"),
    "currency",
    pl.col("issued_on").alias("posted_on"),
)


def _issued(papers: pl.DataFrame) -> pl.DataFrame:
    """The events of new documents: notes, then invoices."""
    notes = papers.filter("has_note").select(
        pl.lit("credit_note_issued").alias("event"),
        pl.lit("credit_note").alias("source_kind"),
        pl.col("note_id").alias("source_id"),
        pl.lit(None, dtype=pl.String).alias("invoice_id"),
        *_EVENT,
        pl.col("note_net_minor").alias("net_minor"),
        pl.col("note_tax_minor").alias("tax_minor"),
    )
    issued = papers.filter("has_invoice").select(
        pl.lit("invoice_issued").alias("event"),
        pl.lit("invoice").alias("source_kind"),
        pl.col("invoice_id").alias("source_id"),
        "invoice_id",
        *_EVENT,
        "net_minor",
        "tax_minor",
    )
    return pl.concat([notes, issued])


def _announce(store: Store, at: datetime, papers: pl.DataFrame) -> None:
    """One message a new document."""
    notes = papers.filter("has_note").select(
        pl.lit("credit_note.issued").alias("topic"),
        pl.col("note_id").alias("subject_id"),
        pl.struct(
            pl.col("payer_id").alias("customer_id"),
            pl.col("note_number").alias("number"),
            "currency",
            pl.col("note_total_minor").alias("total_minor"),
        ).alias("payload"),
    )
    issued = papers.filter("has_invoice").select(
        pl.lit("invoice.issued").alias("topic"),
        pl.col("invoice_id").alias("subject_id"),
        pl.struct(
            pl.col("payer_id").alias("customer_id"),
            pl.col("invoice_number").alias("number"),
            "currency",
            "total_minor",
        ).alias("payload"),
    )
    rows = pl.concat([notes, issued])
    store.insert(
        outbox,
        rows.select(
            pl.Series("message_id", store.new_ids("msg", rows.height), dtype=pl.String),
            "topic",
            "subject_id",
            pl.col("payload").struct.json_encode(),
        ),
        at,
    )


def _park(store: Store, at: datetime, failures: pl.DataFrame) -> None:
    """Set customers aside with what is wrong; `unpark` by a fact that mends it is the service's."""
    rows = failures.select(
        "customer_id",
        pl.lit(at).alias("parked_at"),
        pl.col("code").alias("parked_code"),
        pl.col("detail").alias("parked_detail"),
    )
    store.update(customers, rows, at)
    messages = [
        ("customer.parked", row["customer_id"], {"code": row["code"], "detail": row["detail"]})
        for row in failures.iter_rows(named=True)
    ]
    announce(store, at, messages)
