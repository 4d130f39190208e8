"""Orders: one-off and repeat trade, one row a line, from files of the company's order system.

Decides how a line becomes raw_orders.orders, raw_orders.order_lines and raw_orders.skus, and which lines
are set aside. An order lies in one file. Where the file has no line numbers, the lines of an order are
numbered as they stand. An order's time, currency and country are those of its first line (its earliest
time).

mapping.toml understands, beside columns, constants and format:

    [is_credit]             which orders are credit notes, where no column says so
    column = "order_id"
    begins_with = "C"       or pattern = a regular expression

    [is_goods]              which codes are goods; without it every code is
    column = "sku"
    pattern = "^[0-9]{5}"

    [kinds]                 what the codes are that are not goods
    POST = "postage"
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.sources import columns as read
from pipelines.sources.columns import Check
from pipelines.sources.files import (
    FileMapping,
    FileRows,
    content_hash,
    data_files,
    matched,
    read_mapping,
    read_rows,
    require,
    unknown_columns,
)
from pipelines.sources.loading import Load, SourceConfig, SourceError, Stage, currency_exponents

COLUMNS: dict[str, tuple[str, ...]] = {
    "order_id": (),
    "line_no": (),
    "ordered_at": (),
    "customer_id": (),
    "sku": (),
    "quantity": (),
    "amount_minor": (),
    "unit_price": (),
    "currency": (),
    "is_credit": (),
    "credited_order_id": (),
    "country": (),
    "sku_name": ("description",),
    "category": (),
}
REQUIRED = ("order_id", "ordered_at", "customer_id", "sku", "quantity", "amount_minor|unit_price")
OWN_KEYS = ("is_credit", "is_goods", "kinds")
LINES = "raw_orders.order_lines"
KEY = ("order_id", "line_no")


def load(stage: Stage, config: SourceConfig) -> None:
    """Load every file of the folder that is new or changed; a changed file replaces its rows.

    Raises SourceError for a file that can't be read, lacks a column, or lost all the rows it had.
    """
    location = Path(config.location)
    folder = location if location.is_dir() else location.parent
    mapping = read_mapping(folder, OWN_KEYS)
    files = data_files(location)
    known = stage.known_files(config)
    hashes = {
        path: content_hash(path, mapping.text, stage.reporting_currency, stage.reporting_timezone)
        for path in files
    }
    _drop_gone(stage, config, set(known) - {path.name for path in files})
    # An order that an earlier file has is a duplicate in a later one, so what follows a change is
    # read again too.
    is_after_change = False
    for path in files:
        is_after_change = is_after_change or known.get(path.name, ("", ""))[0] != hashes[path]
        if is_after_change:
            stage.progress(f"orders: reading {path.name}")
            _load_file(stage, config, mapping, path, hashes[path])
        else:
            load_id = known[path.name][1]
            stage.note_unchanged(config, LINES, path.name, "load_id = ?", [load_id])
    if is_after_change or set(known) - {path.name for path in files}:
        _drop_unused_skus(stage, config)


def _load_file(
    stage: Stage, config: SourceConfig, mapping: FileMapping, path: Path, fingerprint: str
) -> None:
    rows = read_rows(path, mapping.format)
    ours = matched(rows, mapping, COLUMNS)
    require(rows, ours, *REQUIRED)
    known = stage.known_file(config, path.name)
    if known and rows.rows_read == 0:
        raise SourceError(
            f"{path} has a header but no rows, although it had some before. Export it again; "
            "if its orders really are gone, remove the file."
        )
    frame, notes = _typed(ours, mapping, stage, path)
    checks = _checks(frame)
    accepted, rejects = read.split(rows, frame, checks, KEY, _reject_amount(frame))
    accepted, conflicting = _one_header_per_order(stage, config, rows, accepted, known)
    rejects = pl.concat([rows.broken, rejects, conflicting]).sort("row_number")
    unknown = unknown_columns(rows, mapping, COLUMNS)
    if unknown:
        notes.append(f"columns not read: {', '.join(unknown)}")
    load_id = stage.next_load_id()
    _replace(stage, config, mapping, accepted, known[1] if known else None, load_id)
    stage.remember_file(config, path.name, LINES, fingerprint, load_id)
    stage.record(
        config,
        Load(
            load_id=load_id,
            target_table=LINES,
            file_name=path.name,
            rows_read=rows.rows_read,
            rows_accepted=accepted.height,
            rows_rejected=rejects.height,
        ),
        rejects,
        note="; ".join(notes),
    )


def _typed(ours: FileRows, mapping: FileMapping, stage: Stage, path: Path) -> tuple[pl.DataFrame, list[str]]:
    """The file's rows with our columns and types, null where not understood; and what to say about it."""
    frame, notes, layout = ours.frame, [], mapping.format
    if "currency" not in frame.columns:
        frame = frame.with_columns(currency=pl.lit(stage.reporting_currency))
        notes.append(f"no currency in the file: taken as {stage.reporting_currency}, the reporting currency")
    for column in (
        "order_id",
        "customer_id",
        "sku",
        "currency",
        "credited_order_id",
        "country",
        "sku_name",
        "category",
    ):
        if column in frame.columns:
            frame = read.text(frame, column, path)
        else:
            frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias(column))
    frame = read.instant(frame, "ordered_at", layout, stage.reporting_timezone, path)
    frame = frame.with_columns(pl.col("currency").str.strip_chars())
    if "is_credit" in frame.columns:
        frame = read.flag(frame, "is_credit", path)
    else:
        frame = frame.with_columns(is_credit=_rule(mapping, "is_credit", default=False))
    frame = read.number(frame, "quantity", layout, path)
    exponents = read.exponent("currency", currency_exponents())
    if "amount_minor" in frame.columns:
        frame = read.number(frame, "amount_minor", layout, path)
        amount = read.minor_units("amount_minor", exponents, unit="minor")
        is_whole = pl.col("amount_minor_scale") == 0
        frame = frame.with_columns(pl.when(is_whole).then(amount).alias("amount_minor"))
        frame = frame.with_columns(pl.when(is_whole).then("amount_minor_scale").alias("amount_minor_scale"))
    else:
        frame = read.number(frame, "unit_price", layout, path)
        amount = read.minor_units("unit_price", exponents, layout.unit, times="quantity")
        is_small = pl.col("quantity_mantissa").abs() <= 10**read.QUANTITY_DIGITS
        frame = frame.with_columns(amount_minor=pl.when(is_small).then(amount))
    if "line_no" in frame.columns:
        frame = read.number(frame, "line_no", layout, path)
        is_line = (pl.col("line_no_scale") == 0) & (pl.col("line_no_mantissa") >= 0)
        frame = frame.with_columns(line_no=pl.when(is_line).then("line_no_mantissa"))
    return frame, notes


def _checks(frame: pl.DataFrame) -> list[Check]:
    """The rules of a line, in the order in which a broken one is named."""
    price = "unit_price" if "unit_price_mantissa" in frame.columns else "amount_minor"
    credit = pl.col("is_credit")
    checks = [
        *(
            Check("missing_key", column, pl.col(column).is_null())
            for column in ("order_id", "customer_id", "sku")
        ),
        Check("bad_date", "ordered_at", pl.col("ordered_at").is_null()),
        Check(
            "unknown_currency",
            "currency",
            ~pl.col("currency").is_in(list(currency_exponents())) | pl.col("currency").is_null(),
        ),
        Check("bad_flag", "is_credit", credit.is_null()),
        *read.number_checks("quantity", read.QUANTITY_DIGITS),
        *read.number_checks(price),
        Check("negative_quantity", "quantity", ~credit & (pl.col("quantity_mantissa") < 0)),
        Check("too_large", price, pl.col("amount_minor").is_null()),
        Check("negative_amount", price, ~credit & (pl.col(f"{price}_mantissa") < 0)),
        # A credit whose amount is positive would count as revenue: its sign is not ours to turn.
        Check("bad_amount", "quantity", credit & (pl.col("amount_minor") > 0)),
    ]
    if "line_no" in frame.columns:
        checks.append(Check("missing_key", "line_no", pl.col("line_no").is_null()))
    return checks


def _one_header_per_order(
    stage: Stage, config: SourceConfig, rows: FileRows, lines: pl.DataFrame, known: tuple[str, str] | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Set aside lines whose key is taken, or that contradict the first line of their order."""
    header = lines.group_by("order_id", maintain_order=True).agg(
        pl.col("customer_id", "currency", "is_credit").first().name.prefix("first_"),
    )
    taken = stage.connection.execute(
        "SELECT DISTINCT order_id FROM raw_orders.orders WHERE source_system = ? "
        "AND load_id IS DISTINCT FROM ? AND load_id IN "
        " (SELECT load_id FROM raw_meta.files WHERE source_name = ? AND file_name < ?)",
        [config.name, known[1] if known else None, config.name, rows.path.name],
    ).pl()
    lines = lines.join(header, on="order_id", how="left").with_columns(
        is_taken=pl.col("order_id").is_in(taken["order_id"].implode())
    )
    checks = [
        Check("duplicate_key", "order_id", pl.col("is_taken")),
        *(
            Check("duplicate_key", column, pl.col(column) != pl.col(f"first_{column}"))
            for column in ("customer_id", "currency", "is_credit")
        ),
    ]
    if "line_no" in lines.columns:
        checks.append(Check("duplicate_key", "line_no", ~pl.struct(KEY).is_first_distinct()))
    else:
        numbered = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("order_id")
        lines = lines.with_columns(line_no=numbered)
    return read.split(rows, lines, checks, KEY, pl.col("amount_minor"))


def _replace(
    stage: Stage,
    config: SourceConfig,
    mapping: FileMapping,
    lines: pl.DataFrame,
    old_load_id: str | None,
    load_id: str,
) -> None:
    """Put the accepted lines in place of the file's earlier ones; unchanged ones keep their `recorded_at`."""
    stamp = {"source_system": pl.lit(config.name), "load_id": pl.lit(load_id)}
    orders = lines.group_by("order_id", maintain_order=True).agg(
        pl.col("customer_id").first(),
        pl.col("ordered_at").min(),
        pl.col("currency", "is_credit").first(),
        pl.col("credited_order_id", "country").drop_nulls().first(),
    )
    line_rows = lines.select(
        "order_id",
        "line_no",
        "sku",
        quantity=pl.col("quantity_text").cast(pl.Decimal(38, 12)),
        amount_minor=pl.col("amount_minor"),
    )
    _insert_anew(stage, "raw_orders.orders", orders.with_columns(**stamp), old_load_id)
    _insert_anew(stage, LINES, line_rows.with_columns(**stamp), old_load_id)
    is_goods = _rule(mapping, "is_goods", default=True)
    kinds = {str(code): str(kind) for code, kind in mapping.rest.get("kinds", {}).items()}
    kind = pl.col("sku").replace_strict(kinds, default=None, return_dtype=pl.String)
    skus = (
        lines.group_by("sku", maintain_order=True)
        .agg(pl.col("sku_name", "category").drop_nulls().first())
        .with_columns(is_goods=is_goods)
        .select(
            "sku",
            pl.col("sku_name").alias("name"),
            category=pl.coalesce(kind, "category"),
            is_goods=pl.col("is_goods") & kind.is_null(),
        )
    )
    _upsert_skus(stage, config, skus.with_columns(**stamp))


def _insert_anew(stage: Stage, table: str, rows: pl.DataFrame, old_load_id: str | None) -> None:
    """Replace the rows of an earlier load by these; a row of the same content keeps its `recorded_at`."""
    content = [name for name in rows.columns if name != "load_id"]
    same = " AND ".join(f"old.{name} IS NOT DISTINCT FROM arriving.{name}" for name in content)
    stage.connection.register("arriving", rows.to_arrow())
    try:
        if old_load_id is None:
            stage.connection.execute(
                f"INSERT INTO {table} BY NAME SELECT *, ?::TIMESTAMPTZ AS recorded_at FROM arriving",
                [stage.built_at],
            )
            return
        stage.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE renewed AS SELECT arriving.*, "
            f"coalesce(old.recorded_at, ?::TIMESTAMPTZ) AS recorded_at "
            f"FROM arriving LEFT JOIN {table} AS old ON old.load_id = ? AND {same}",
            [stage.built_at, old_load_id],
        )
        stage.connection.execute(f"DELETE FROM {table} WHERE load_id = ?", [old_load_id])
        stage.connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM renewed")
        stage.connection.execute("DROP TABLE renewed")
    finally:
        stage.connection.unregister("arriving")


def _upsert_skus(stage: Stage, config: SourceConfig, skus: pl.DataFrame) -> None:
    """One row a code; a code that is known keeps its `recorded_at` unless something about it changed."""
    stage.connection.register("arriving", skus.to_arrow())
    try:
        stage.connection.execute(
            "CREATE OR REPLACE TEMP TABLE renewed AS SELECT arriving.*, "
            "coalesce(old.recorded_at, ?::TIMESTAMPTZ) AS recorded_at FROM arriving "
            "LEFT JOIN raw_orders.skus AS old ON old.sku = arriving.sku AND old.source_system = ? "
            "AND old.name IS NOT DISTINCT FROM arriving.name "
            "AND old.category IS NOT DISTINCT FROM arriving.category AND old.is_goods = arriving.is_goods",
            [stage.built_at, config.name],
        )
        stage.connection.execute(
            "DELETE FROM raw_orders.skus WHERE source_system = ? AND sku IN (SELECT sku FROM renewed)",
            [config.name],
        )
        stage.connection.execute("INSERT INTO raw_orders.skus BY NAME SELECT * FROM renewed")
        stage.connection.execute("DROP TABLE renewed")
    finally:
        stage.connection.unregister("arriving")


def _drop_gone(stage: Stage, config: SourceConfig, gone: set[str]) -> None:
    for name in sorted(gone):
        _, load_id = stage.known_files(config)[name]
        counts = []
        for table in ("raw_orders.orders", LINES):
            (count,) = stage.connection.execute(
                f"DELETE FROM {table} WHERE load_id = ?", [load_id]
            ).fetchall()[0]
            counts.append(count)
        stage.forget_file(config, name)
        note = f"the file is gone: its {counts[1]} lines of {counts[0]} orders were removed"
        stage.progress(f"orders: {name}: {note}")
        stage.record(config, Load(stage.next_load_id(), LINES, name, 0, 0, 0), note=note)


def _drop_unused_skus(stage: Stage, config: SourceConfig) -> None:
    stage.connection.execute(
        "DELETE FROM raw_orders.skus WHERE source_system = ? AND sku NOT IN "
        "(SELECT sku FROM raw_orders.order_lines WHERE source_system = ?)",
        [config.name, config.name],
    )


def _rule(mapping: FileMapping, name: str, *, default: bool) -> pl.Expr:
    """A rule of mapping.toml as an expression: a column that begins with a text or fits a pattern."""
    rule: dict[str, Any] | None = mapping.rest.get(name)
    if rule is None:
        return pl.lit(default)
    ways = {"begins_with", "pattern"} & set(rule)
    if not isinstance(rule, dict) or len(ways) != 1 or set(rule) - {"column", "begins_with", "pattern"}:
        raise SourceError(f"{mapping.path}: [{name}] takes column, and either begins_with or pattern.")
    column = rule.get("column", "order_id" if name == "is_credit" else "sku")
    allowed = ("order_id", "sku") if name == "is_credit" else ("sku",)
    if column not in allowed:
        raise SourceError(f"{mapping.path}: [{name}] column is one of {', '.join(allowed)}, not {column!r}.")
    if "begins_with" in rule:
        return pl.col(column).str.starts_with(str(rule["begins_with"]))
    try:
        re.compile(str(rule["pattern"]))
    except re.error as error:
        raise SourceError(f"{mapping.path}: [{name}] pattern is no regular expression: {error}.") from error
    return pl.col(column).str.contains(str(rule["pattern"]))


def _reject_amount(frame: pl.DataFrame) -> pl.Expr:
    return pl.col("amount_minor") if "amount_minor" in frame.columns else pl.lit(None, dtype=pl.Int64)
