"""Subscription periods: one row a stretch of days at one price, from files, for a company without our engine.

Decides how a row becomes a version of raw_billing.subscription_versions (and its customer, plan and
discount), and which rows are set aside. Rows of one subscription are its versions in the order of their
start; a gap is no service. The files of the folder are read as one table, whatever the order of rows.
History is added: a row that changed or went comes again with a later `recorded_at`, so that what was known
on an earlier day can still be told.

mapping.toml understands, beside columns, constants and format:

    amount_is = "unit"      the amount is that of one unit and is multiplied by quantity (default: "total")
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from pipelines.sources import columns as read
from pipelines.sources.columns import Check
from pipelines.sources.files import (
    ROW,
    FileFormat,
    FileMapping,
    FileRows,
    content_hash,
    data_files,
    matched,
    original_rows,
    read_mapping,
    read_rows,
    require,
    require_as_before,
    unknown_columns,
)
from pipelines.sources.loading import (
    REJECT_COLUMNS,
    Load,
    SourceConfig,
    SourceError,
    Stage,
    currency_exponents,
    newest_of,
    recorded_after_known,
)

COLUMNS: dict[str, tuple[str, ...]] = {
    "subscription_id": (),
    "customer_id": (),
    "period_start": ("start_date", "start"),
    "period_end": ("end_date", "end"),
    "amount_minor": (),
    "amount": (),
    "monthly_amount": (),
    "currency": (),
    "interval": (),
    "interval_count": (),
    "quantity": (),
    "plan": (),
    "status": (),
    "discount_minor": (),
    "term_end": (),
    "auto_renew": (),
    "cancel_requested_on": (),
    "end_cause": (),
    "recorded_at": (),
}
AMOUNTS = ("amount_minor", "amount", "monthly_amount")
INTERVALS = {"day": (365, 12), "week": (52, 12), "month": (1, 1), "year": (1, 12)}
"""Months' worth of one interval's price, as a fraction: only to tell an absurd MRR."""
MRR_LIMIT = 10**12
STATUSES = (
    "trialing",
    "active",
    "past_due",
    "renewal_pending",
    "paused",
    "unpaid",
    "incomplete",
    "canceled",
)
END_CAUSES = ("voluntary", "involuntary", "merge", "migration")
KEY = ("subscription_id", "period_start")
ALWAYS = date(1900, 1, 1)
"""The files say nothing of a customer's earlier attributes: the one row there is holds for all days."""
VERSIONS = "raw_billing.subscription_versions"
FILE = "__file"
OPTIONAL = {
    "plan": "text",
    "status": "text",
    "discount_minor": "whole",
    "term_end": "day",
    "auto_renew": "flag",
    "cancel_requested_on": "day",
    "end_cause": "text",
    "recorded_at": "instant",
}


def load(stage: Stage, config: SourceConfig) -> None:
    """Load the folder's periods, unless no file changed since the last build.

    Raises SourceError for a file that can't be read or lacks a column.
    """
    location = Path(config.location)
    folder = location if location.is_dir() else location.parent
    mapping = read_mapping(folder, ("amount_is",))
    if mapping.rest.get("amount_is", "total") not in ("total", "unit"):
        raise SourceError(f'{mapping.path}: amount_is is "total" or "unit".')
    files = data_files(location)
    place = (mapping.text, stage.reporting_currency, stage.reporting_timezone)
    hashes = {path.name: content_hash(path, *place) for path in files}
    known = stage.known_files(config)
    if {name: fingerprint for name, (fingerprint, _) in known.items()} == hashes:
        for name in hashes:
            stage.note_unchanged(
                config, VERSIONS, name, "source_system = ? AND NOT is_deleted", [config.name]
            )
        return
    parts = []
    for path in files:
        stage.progress(f"periods: reading {path.name}")
        parts.append(_read(stage, config, mapping, path))
    accepted = pl.concat([part.accepted for part in parts], how="diagonal_relaxed")
    accepted, overlapping = _without_overlaps(accepted)
    for name in known:
        stage.forget_file(config, name)
    for part in parts:
        _record(stage, config, part, overlapping, hashes[part.rows.path.name])
    _write(stage, config, accepted)


@dataclass(frozen=True)
class _Part:
    """One file: its rows as received, our columns in it, the rows accepted so far, its rejects, its notes,
    and its load."""

    rows: FileRows
    columns: list[str]
    accepted: pl.DataFrame
    rejects: pl.DataFrame
    notes: list[str]
    load_id: str


def _read(stage: Stage, config: SourceConfig, mapping: FileMapping, path: Path) -> _Part:
    rows = read_rows(path, mapping.format)
    ours = matched(rows, mapping, COLUMNS)
    require(rows, ours, "subscription_id", "customer_id", "period_start", "period_end", "|".join(AMOUNTS))
    before = stage.columns_before(config, VERSIONS, path.name)
    require_as_before(rows, ours, mapping, COLUMNS, before, AMOUNTS)
    amounts = [name for name in AMOUNTS if name in ours.frame.columns]
    if len(amounts) > 1:
        raise SourceError(
            f"{path} has the columns {' and '.join(amounts)}, which both mean the price: leave one, "
            "or name the one to read under [columns] in mapping.toml."
        )
    if (
        "interval_count" in ours.frame.columns
        and "interval" not in ours.frame.columns
        and amounts[0] != AMOUNTS[2]
    ):
        raise SourceError(f"{path} has an interval_count but no interval (day, week, month or year).")
    notes = []
    unknown = unknown_columns(rows, mapping, COLUMNS)
    if unknown:
        notes.append(f"columns not read: {', '.join(unknown)}")
    frame, checks = _typed(stage, mapping, path, ours.frame, amounts[0], notes)
    accepted, rejects = read.split(rows, frame, checks, KEY, pl.col("amount_minor"))
    load_id = stage.next_load_id()
    accepted = accepted.with_columns(pl.lit(path.name).alias(FILE), load_id=pl.lit(load_id))
    columns = [name for name in ours.frame.columns if name != ROW]
    return _Part(rows, columns, accepted, pl.concat([rows.broken, rejects]), notes, load_id)


def _typed(
    stage: Stage, mapping: FileMapping, path: Path, frame: pl.DataFrame, amount: str, notes: list[str]
) -> tuple[pl.DataFrame, list[Check]]:
    """All our columns, typed; the rules in the order in which a broken one is named."""
    layout, zone = mapping.format, stage.reporting_timezone
    checks: list[Check] = []
    for name, kind in (
        ("subscription_id", "text"),
        ("customer_id", "text"),
        ("period_start", "day"),
        ("period_end", "day"),
    ):
        is_required = name != "period_end"
        frame, found = read.parse(frame, name, kind, layout, zone, path, is_required=is_required)
        checks += found
    checks.append(Check("empty_range", "period_end", pl.col("period_end") <= pl.col("period_start")))
    if "currency" not in frame.columns:
        frame = frame.with_columns(currency=pl.lit(stage.reporting_currency))
        notes.append(f"no currency in the file: taken as {stage.reporting_currency}, the reporting currency")
    frame = read.text(frame, "currency", path).with_columns(pl.col("currency").str.strip_chars())
    exponents = currency_exponents()
    is_known = pl.col("currency").is_in(list(exponents)).fill_null(False)
    checks.append(Check("unknown_currency", "currency", ~is_known))
    frame, found = _interval(frame, amount, path, notes)
    checks += found
    frame, found = _quantity(frame, mapping, path)
    checks += found
    frame = read.number(frame, amount, layout, path)
    checks += read.number_checks(amount)
    checks.append(Check("negative_amount", amount, pl.col(f"{amount}_mantissa") < 0))
    frame = _amount_minor(frame, amount, mapping, exponents, notes)
    months = pl.col("interval").replace_strict(
        {name: num for name, (num, _) in INTERVALS.items()}, default=None, return_dtype=pl.Int128
    )
    dividend = pl.col("interval").replace_strict(
        {name: den for name, (_, den) in INTERVALS.items()}, default=None, return_dtype=pl.Int128
    )
    monthly = pl.col("amount_minor").cast(pl.Int128) * months
    limit = pl.lit(MRR_LIMIT).cast(pl.Int128) * dividend * pl.col("interval_count")
    checks.append(Check("too_large", amount, pl.col("amount_minor").is_null() | (monthly >= limit)))
    for name, kind in OPTIONAL.items():
        if name in frame.columns:
            frame, found = read.parse(frame, name, kind, layout, zone, path)
            checks += found
        else:
            frame = frame.with_columns(pl.lit(None, dtype=_TYPES[kind]).alias(name))
    for name in ("status", "end_cause"):
        frame = frame.with_columns(pl.col(name).str.strip_chars().str.to_lowercase())
    frame = frame.with_columns(pl.col("status").fill_null("active"))
    built_at = pl.lit(stage.built_at).cast(pl.Datetime("us", "UTC"))
    checks += [
        Check("unknown_value", "status", ~pl.col("status").is_in(STATUSES)),
        Check("unknown_value", "end_cause", ~pl.col("end_cause").is_in(END_CAUSES)),
        Check("negative_amount", "discount_minor", pl.col("discount_minor") < 0),
        Check("too_large", "discount_minor", pl.col("discount_minor") > read.LINE_LIMIT),
        Check("future_recorded_at", "recorded_at", pl.col("recorded_at") > built_at),
    ]
    return frame, checks


_TYPES: dict[str, pl.DataType] = {
    "text": pl.String(),
    "day": pl.Date(),
    "instant": pl.Datetime("us", "UTC"),
    "flag": pl.Boolean(),
    "whole": pl.Int64(),
}


def _interval(
    frame: pl.DataFrame, amount: str, path: Path, notes: list[str]
) -> tuple[pl.DataFrame, list[Check]]:
    if amount == "monthly_amount" or "interval" not in frame.columns:
        if "interval" in frame.columns:
            notes.append("monthly_amount is a price per month: interval is not read")
        month = {"interval": pl.lit("month"), "interval_count": pl.lit(1, dtype=pl.Int64)}
        return frame.with_columns(**month), []
    frame = read.text(frame, "interval", path)
    frame = frame.with_columns(pl.col("interval").str.strip_chars().str.to_lowercase())
    is_known = pl.col("interval").is_in(list(INTERVALS)).fill_null(False)
    checks = [Check("unknown_interval", "interval", ~is_known)]
    if "interval_count" not in frame.columns:
        return frame.with_columns(interval_count=pl.lit(1, dtype=pl.Int64)), checks
    frame, _ = read.parse(frame, "interval_count", "whole", FileFormat(), "UTC", path)
    is_count = pl.col("interval_count").is_between(1, 1200).fill_null(False)
    return frame, [*checks, Check("unknown_interval", "interval_count", ~is_count)]


def _quantity(frame: pl.DataFrame, mapping: FileMapping, path: Path) -> tuple[pl.DataFrame, list[Check]]:
    """A whole number; where the price is that of a unit, it must be there."""
    is_factor = mapping.rest.get("amount_is") == "unit"
    if "quantity" not in frame.columns:
        if is_factor:
            raise SourceError(f'{path} lacks the column quantity, which amount_is = "unit" needs.')
        return frame.with_columns(
            quantity=pl.lit(1, dtype=pl.Int64),
            quantity_mantissa=pl.lit(1, dtype=pl.Int64),
            quantity_scale=pl.lit(0, dtype=pl.Int64),
        ), []
    frame, checks = read.parse(frame, "quantity", "whole", mapping.format, "UTC", path, is_required=is_factor)
    checks = [
        Check("too_large", "quantity", pl.col("quantity_mantissa").abs() > 10**read.QUANTITY_DIGITS),
        *checks,
        Check("negative_quantity", "quantity", pl.col("quantity") < 0),
    ]
    return frame.with_columns(pl.col("quantity").fill_null(1)), checks


def _amount_minor(
    frame: pl.DataFrame, amount: str, mapping: FileMapping, exponents: dict[str, int], notes: list[str]
) -> pl.DataFrame:
    """The price of one interval for the whole quantity, in minor units, rounded once."""
    is_minor = amount == "amount_minor" or mapping.format.unit == "minor"
    exponent = read.exponent("currency", exponents)
    times = "quantity" if mapping.rest.get("amount_is") == "unit" else None
    value = read.minor_units(amount, exponent, "minor" if is_minor else "major", times)
    kept = pl.lit(0) if is_minor else exponent
    is_fine = pl.col(f"{amount}_scale") > kept
    fine = frame.select(is_fine.fill_null(False).sum()).item()
    if fine:
        notes.append(
            f"{fine} amounts have more decimals than their currency: rounded once, halves away from zero"
        )
    is_small = pl.col("quantity_mantissa").abs() <= 10**read.QUANTITY_DIGITS
    return frame.with_columns(amount_minor=pl.when(is_small | pl.lit(times is None)).then(value))


def _without_overlaps(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Part off the rows that overlap an earlier one of their subscription, by start; ties by what they say.

    The second frame has FILE, ROW, the reason and the key. Only subscriptions with an overlap are walked
    row by row.
    """
    content = ["subscription_id", "period_start", "period_end", "amount_minor", "customer_id", "recorded_at"]
    ordered = rows.sort([*content, FILE, ROW], nulls_last=True, maintain_order=True)
    end = pl.col("period_end").fill_null(pl.date(9999, 12, 31))
    before = end.cum_max().shift(1).over("subscription_id", mapping_strategy="group_to_rows")
    ordered = ordered.with_columns(is_late=(pl.col("period_start") < before).fill_null(False))
    suspects = ordered.filter(pl.col("is_late").any().over("subscription_id")).select(
        "subscription_id", "period_start", end.alias("end"), FILE, ROW
    )
    refused = []
    last_id, last_start, last_end = None, None, None
    for subscription_id, start, until, file, row in suspects.iter_rows():
        if subscription_id == last_id and last_end is not None and start < last_end:
            reason = "duplicate_key" if start == last_start else "overlap_in_subscription"
            refused.append((file, row, reason, f"{subscription_id}/{start}"))
        else:
            last_id, last_start, last_end = subscription_id, start, until
    schema = {FILE: pl.String, ROW: pl.Int64, "reason": pl.String, "row_key": pl.String}
    overlapping = pl.DataFrame(refused, schema=schema, orient="row")
    overlapping = overlapping.join(ordered.select(FILE, ROW, "amount_minor"), on=[FILE, ROW], how="left")
    return ordered.join(overlapping, on=[FILE, ROW], how="anti", maintain_order="left"), overlapping


def _record(
    stage: Stage, config: SourceConfig, part: _Part, overlapping: pl.DataFrame, fingerprint: str
) -> None:
    mine = overlapping.filter(pl.col(FILE) == part.rows.path.name)
    late = mine.select(
        pl.col(ROW).alias("row_number"),
        "row_key",
        "reason",
        column_name=pl.lit("period_start"),
        amount_minor=pl.col("amount_minor"),
    ).join(original_rows(part.rows, mine[ROW]).rename({ROW: "row_number"}), on="row_number", how="left")
    rejects = pl.concat([part.rejects, late.select(list(REJECT_COLUMNS))]).sort("row_number")
    accepted = part.accepted.join(mine, on=ROW, how="anti")
    stage.remember_file(config, part.rows.path.name, VERSIONS, fingerprint, part.load_id, part.columns)
    stage.record(
        config,
        Load(
            part.load_id,
            VERSIONS,
            part.rows.path.name,
            part.rows.rows_read,
            accepted.height,
            rejects.height,
        ),
        rejects,
        note="; ".join(part.notes),
    )


def _write(stage: Stage, config: SourceConfig, rows: pl.DataFrame) -> None:
    """Bring raw_billing to what the files say now, by adding what is new."""
    versions = rows.select(
        pl.col("subscription_id").alias("subscription_item_id"),
        version_no=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("subscription_id"),
        subscription_id="subscription_id",
        customer_id="customer_id",
        plan_id="plan",
        amount_minor="amount_minor",
        currency="currency",
        interval="interval",
        interval_count=pl.col("interval_count").cast(pl.Int32),
        quantity=pl.col("quantity").cast(pl.Decimal(38, 12)),
        committed_minimum_minor=pl.lit(0, dtype=pl.Int64),
        status="status",
        valid_from="period_start",
        valid_to="period_end",
        term_end="term_end",
        auto_renew="auto_renew",
        cancel_requested_on="cancel_requested_on",
        end_cause="end_cause",
        is_deleted=pl.lit(False),
        recorded_at="recorded_at",
        load_id="load_id",
    )
    first = pl.col("period_start") == pl.col("period_start").min()
    customers = rows.group_by("customer_id").agg(
        pl.col("customer_id").first().alias("name"),
        pl.col("currency").filter(first).min(),
        pl.lit(False).alias("is_test"),
        pl.col("period_start").min().alias("created_on"),
        pl.lit(ALWAYS).alias("valid_from"),
        pl.col("recorded_at").min(),
        pl.col("load_id").first(),
    )
    plans = (
        rows.filter(pl.col("plan").is_not_null())
        .group_by("plan")
        .agg(
            pl.col("plan").first().alias("plan_name"),
            pl.lit(False).alias("is_add_on"),
            pl.col("recorded_at").min(),
            pl.col("load_id").first(),
        )
    )
    discounts = rows.filter(pl.col("discount_minor") > 0).select(
        discount_id=pl.concat_str("subscription_id", pl.lit("@"), pl.col("period_start").cast(pl.String)),
        subscription_item_id="subscription_id",
        amount_minor="discount_minor",
        currency="currency",
        duration=pl.lit("repeating"),
        valid_from="period_start",
        valid_to="period_end",
        order_no=pl.lit(1, dtype=pl.Int32),
        recorded_at="recorded_at",
        load_id="load_id",
    )
    _add_changes(stage, config, VERSIONS, versions, ("subscription_item_id", "version_no"), is_marked=True)
    _add_changes(stage, config, "raw_billing.customers", customers, ("customer_id", "valid_from"))
    _add_changes(stage, config, "raw_billing.plans", plans.rename({"plan": "plan_id"}), ("plan_id",))
    gone = _add_changes(stage, config, "raw_billing.discounts", discounts, ("discount_id",))
    for discount_id in gone:
        # A discount that is gone ends where it began, so it never ran.
        stage.connection.execute(
            "INSERT INTO raw_billing.discounts BY NAME SELECT * REPLACE (valid_from AS valid_to, "
            "?::TIMESTAMPTZ AS recorded_at) FROM raw_billing.discounts WHERE discount_id = ? "
            "AND source_system = ? ORDER BY recorded_at DESC LIMIT 1",
            [stage.built_at, discount_id, config.name],
        )


def _add_changes(
    stage: Stage,
    config: SourceConfig,
    table: str,
    rows: pl.DataFrame,
    key: tuple[str, ...],
    *,
    is_marked: bool = False,
) -> list[str]:
    """Add the rows that differ from the newest known row of their key; returns keys that are gone.

    A row that corrects a known one is learned now, unless it brings a later `recorded_at` of its own. With
    `is_marked`, keys that are gone are added once more with is_deleted.
    """
    content = [name for name in rows.columns if name not in ("load_id", "recorded_at", *key)]
    keys = ", ".join(key)
    same = " AND ".join(f'known."{name}" IS NOT DISTINCT FROM arriving."{name}"' for name in content)
    connection = stage.connection
    connection.register("arriving", rows.to_arrow())
    try:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE known AS SELECT * FROM {table} WHERE source_system = ? "
            f"QUALIFY row_number() OVER ({newest_of(key)}) = 1",
            [config.name],
        )
        connection.execute(
            f"INSERT INTO {table} BY NAME SELECT arriving.* REPLACE ("
            f"coalesce({recorded_after_known('$now')}, $now) AS recorded_at), $source AS source_system "
            f"FROM arriving LEFT JOIN known USING ({keys}) "
            f"WHERE known.source_system IS NULL OR NOT ({same})",
            {"now": stage.built_at, "source": config.name},
        )
        is_live = "AND NOT is_deleted" if is_marked else ""
        if is_marked:
            connection.execute(
                f"INSERT INTO {table} BY NAME SELECT * REPLACE (true AS is_deleted, "
                f"?::TIMESTAMPTZ AS recorded_at) FROM known ANTI JOIN arriving USING ({keys}) "
                f"WHERE true {is_live}",
                [stage.built_at],
            )
            return []
        gone = connection.execute(
            f"SELECT {key[0]} FROM known ANTI JOIN arriving USING ({keys})"
            + (
                " WHERE known.valid_to IS DISTINCT FROM known.valid_from"
                if "valid_to" in rows.columns
                else ""
            )
        ).fetchall()
        return [str(row[0]) for row in gone]
    finally:
        connection.unregister("arriving")
