"""Orders: one-off and repeat trade, one row a line, from files of the company's order system.

Decides how a line becomes raw_orders.orders, raw_orders.order_lines and raw_orders.skus, and which lines
are set aside. An order lies in one file. Where the file has no line numbers, the lines of an order are
numbered as they stand; an order that comes a second time, after others, with the same lines is a duplicate.
An order's time, currency and country are those of its first line (its earliest time).

A file may be larger than memory: it is read in pieces, and what rows say together is asked of a table.

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
    ROW,
    FileMapping,
    FileRows,
    content_hash,
    data_files,
    matched,
    original_rows,
    read_mapping,
    read_pieces,
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
)
from pipelines.warehouse import quoted

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
PRICES = ("amount_minor", "unit_price")
OWN_KEYS = ("is_credit", "is_goods", "kinds")
LINES = "raw_orders.order_lines"
PROGRESS = 1_000_000
ARRIVING = (
    "row_no BIGINT, stretch BIGINT, order_id VARCHAR, line_no BIGINT, customer_id VARCHAR, "
    "ordered_at TIMESTAMPTZ, currency VARCHAR, is_credit BOOLEAN, credited_order_id VARCHAR, "
    "country VARCHAR, sku VARCHAR, sku_name VARCHAR, category VARCHAR, "
    "quantity DECIMAL(38,12), amount_minor BIGINT"
)
"""The columns of raw_orders.arriving: a file's lines that broke no rule of their own, while it is loaded. A
stretch is made of lines of one order that follow one another.

It is no temporary table, which DuckDB would keep in memory.
"""
CONTENT = ("customer_id", "ordered_at", "currency", "is_credit", "sku", "quantity", "amount_minor")
"""What makes two lines the same where they have no number."""
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
    known = stage.known_file(config, path.name)
    before = stage.columns_before(config, LINES, path.name)
    load_id = stage.next_load_id()
    stage.connection.execute(f"CREATE OR REPLACE TABLE raw_orders.arriving ({ARRIVING})")
    rows_read, columns, notes, last = 0, list[str](), list[str](), ("", 0)
    for rows in read_pieces(path, mapping.format):
        ours = matched(rows, mapping, COLUMNS)
        require(rows, ours, *REQUIRED)
        require_as_before(rows, ours, mapping, COLUMNS, before, PRICES)
        columns = [name for name in ours.frame.columns if name != ROW]
        frame, notes = _typed(ours, mapping, stage, path)
        if unknown := unknown_columns(rows, mapping, COLUMNS):
            notes.append(f"columns not read: {', '.join(unknown)}")
        accepted, rejects = read.split(rows, frame, _checks(frame), KEY, _reject_amount(frame))
        stage.set_aside(load_id, LINES, path.name, pl.concat([rows.broken, rejects]))
        arriving = accepted.select(_arriving(accepted, last))
        stage.insert("raw_orders.arriving", arriving)
        if arriving.height:
            last = arriving["order_id"][-1], arriving["stretch"][-1]
        if rows_read and rows_read % PROGRESS < rows.rows_read:
            stage.progress(f"orders: {path.name}: {rows_read + rows.rows_read:,} rows read")
        rows_read += rows.rows_read
    if known and rows_read == 0:
        raise SourceError(
            f"{path} has a header but no rows, although it had some before. Export it again; "
            "if its orders really are gone, remove the file."
        )
    _set_aside_repeated(stage, config, mapping, path, load_id, known[1] if known else None, columns)
    _replace(stage, config, mapping, known[1] if known else None, load_id, has_numbers="line_no" in columns)
    stage.remember_file(config, path.name, LINES, fingerprint, load_id, columns)
    (rows_accepted,) = stage.connection.execute("SELECT count(*) FROM raw_orders.arriving").fetchall()[0]
    stage.connection.execute("DROP TABLE raw_orders.arriving")
    stage.record(
        config,
        Load(
            load_id=load_id,
            target_table=LINES,
            file_name=path.name,
            rows_read=rows_read,
            rows_accepted=rows_accepted,
            rows_rejected=rows_read - rows_accepted,
        ),
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


def _arriving(accepted: pl.DataFrame, last: tuple[str, int]) -> list[pl.Expr]:
    """The columns of `raw_orders.arriving` from rows that broke no rule of their own. `last` are the order
    and the stretch of the row before them."""
    has_numbers = "line_no" in accepted.columns
    order_id, stretch = last
    is_going_on = accepted.height > 0 and accepted["order_id"][0] == order_id
    return [
        pl.col(ROW).alias("row_no"),
        (pl.col("order_id").rle_id().cast(pl.Int64) + stretch + (0 if is_going_on else 1)).alias("stretch"),
        *(pl.col(name) for name in ("order_id", "customer_id", "sku", "ordered_at", "currency")),
        *(pl.col(name) for name in ("is_credit", "credited_order_id", "country", "sku_name", "category")),
        pl.col("quantity_text").cast(pl.Decimal(38, 12)).alias("quantity"),
        pl.col("amount_minor"),
        pl.col("line_no") if has_numbers else pl.lit(None, dtype=pl.Int64).alias("line_no"),
    ]


# Orders whose lines come in more stretches than one, as they stand in the file, and how many stretches make
# the whole of it: fewer than there are when the rest says the same again.
AGAIN = """
SELECT row_no FROM stretches JOIN (
  SELECT order_id, unnest(places[whole + 1:]) AS stretch
  FROM (
    SELECT order_id, places, list_filter(range(1, len(contents)), lambda p: len(contents) % p = 0
      AND contents[p + 1:] = contents[:len(contents) - p])[1] AS whole
    FROM (
      SELECT order_id, list(stretch ORDER BY stretch) AS places, list(content ORDER BY stretch) AS contents
      FROM (
        SELECT order_id, stretch, bit_xor(md5_number(concat_ws('|', row_no - first_row, {content})))::VARCHAR
          || ' ' || count(*) AS content
        FROM (SELECT *, min(row_no) OVER (PARTITION BY stretch) AS first_row FROM stretches)
        GROUP BY order_id, stretch
      ) GROUP BY order_id
    )
  ) WHERE whole IS NOT NULL
) USING (order_id, stretch)
"""
STRETCHES = """
SELECT * FROM raw_orders.arriving WHERE order_id IN (
  SELECT order_id FROM raw_orders.arriving GROUP BY order_id HAVING min(stretch) <> max(stretch))
"""
FOUND = """
WITH taken AS (
  SELECT DISTINCT order_id FROM raw_orders.orders WHERE source_system = $source
  AND load_id IS DISTINCT FROM $old AND load_id IN (
    SELECT load_id FROM raw_meta.files WHERE source_name = $source AND file_name < $file)
), headers AS (
  SELECT
    order_id, arg_min(customer_id, row_no) AS customer_id, arg_min(currency, row_no) AS currency,
    arg_min(is_credit, row_no) AS is_credit
  FROM raw_orders.arriving GROUP BY order_id
), numbers AS (
  SELECT order_id, line_no, min(row_no) AS row_no FROM raw_orders.arriving
  WHERE line_no IS NOT NULL GROUP BY ALL HAVING count(*) > 1
)
SELECT
  lines.row_no, concat_ws('/', order_id, lines.line_no) AS row_key, lines.amount_minor,
  CASE
    WHEN order_id IN (FROM taken) OR lines.row_no IN (FROM again) THEN 'order_id'
    WHEN lines.customer_id <> headers.customer_id THEN 'customer_id'
    WHEN lines.currency <> headers.currency THEN 'currency'
    WHEN lines.is_credit <> headers.is_credit THEN 'is_credit'
    WHEN lines.row_no > numbers.row_no THEN 'line_no'
  END AS column_name
FROM raw_orders.arriving AS lines JOIN headers USING (order_id) LEFT JOIN numbers USING (order_id, line_no)
WHERE column_name IS NOT NULL
"""


def _set_aside_repeated(
    stage: Stage,
    config: SourceConfig,
    mapping: FileMapping,
    path: Path,
    load_id: str,
    old_load_id: str | None,
    columns: list[str],
) -> None:
    """Set aside lines whose key is taken, or that contradict the first line of their order."""
    connection = stage.connection
    again = "SELECT 0::BIGINT AS row_no WHERE false"
    if "line_no" not in columns:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE stretches AS {STRETCHES}")
        content = ", ".join(f"{name}::VARCHAR" for name in CONTENT)
        again = AGAIN.replace("{content}", content)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE again AS {again}")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE repeated AS {FOUND}",
        {"source": config.name, "old": old_load_id, "file": path.name},
    )
    connection.execute("DELETE FROM raw_orders.arriving WHERE row_no IN (SELECT row_no FROM repeated)")
    ((count, last),) = connection.execute("SELECT count(*), max(row_no) FROM repeated").fetchall()
    for rows in read_pieces(path, mapping.format) if count else ():
        if rows.frame.is_empty():
            continue
        found = connection.execute(
            "SELECT row_no AS row_number, row_key, 'duplicate_key' AS reason, column_name, amount_minor "
            "FROM repeated WHERE row_no BETWEEN ? AND ? ORDER BY row_no",
            [rows.frame[ROW].min(), rows.frame[ROW].max()],
        ).pl()
        originals = original_rows(rows, found["row_number"]).rename({ROW: "row_number"})
        rejects = found.join(originals, on="row_number", how="left").select(list(REJECT_COLUMNS))
        stage.set_aside(load_id, LINES, path.name, rejects)
        if rows.frame[ROW].max() >= last:
            break
    connection.execute("DROP TABLE repeated; DROP TABLE again; DROP TABLE IF EXISTS stretches")


def _replace(
    stage: Stage,
    config: SourceConfig,
    mapping: FileMapping,
    old_load_id: str | None,
    load_id: str,
    *,
    has_numbers: bool,
) -> None:
    """Put the accepted lines in place of the file's earlier ones; unchanged ones keep their `recorded_at`."""
    stamp = f"{quoted(config.name)} AS source_system, {quoted(load_id)} AS load_id"
    line_no = "line_no" if has_numbers else "row_number() OVER (PARTITION BY order_id ORDER BY row_no)"
    orders = (
        "SELECT order_id, arg_min(customer_id, row_no) AS customer_id, min(ordered_at) AS ordered_at, "
        "arg_min(currency, row_no) AS currency, arg_min(is_credit, row_no) AS is_credit, "
        "arg_min(credited_order_id, row_no) AS credited_order_id, arg_min(country, row_no) AS country, "
        f"{stamp} FROM raw_orders.arriving GROUP BY order_id"
    )
    lines = (
        f"SELECT order_id, {line_no} AS line_no, sku, quantity, amount_minor, {stamp} "
        "FROM raw_orders.arriving"
    )
    _insert_anew(stage, "raw_orders.orders", orders, old_load_id)
    _insert_anew(stage, LINES, lines, old_load_id)
    is_goods = _rule(mapping, "is_goods", default=True)
    kinds = {str(code): str(kind) for code, kind in mapping.rest.get("kinds", {}).items()}
    kind = pl.col("sku").replace_strict(kinds, default=None, return_dtype=pl.String)
    skus = (
        stage.connection.execute(
            "SELECT sku, arg_min(sku_name, row_no) AS name, arg_min(category, row_no) AS category "
            "FROM raw_orders.arriving GROUP BY sku"
        )
        .pl()
        .with_columns(is_goods=is_goods)
        .select(
            "sku",
            "name",
            category=pl.coalesce(kind, "category"),
            is_goods=pl.col("is_goods") & kind.is_null(),
            source_system=pl.lit(config.name),
            load_id=pl.lit(load_id),
        )
    )
    _upsert_skus(stage, config, skus)


def _insert_anew(stage: Stage, table: str, query: str, old_load_id: str | None) -> None:
    """Replace the rows of an earlier load by a query's; a row of the same content keeps its `recorded_at`."""
    connection = stage.connection
    if old_load_id is None:
        connection.execute(
            f"INSERT INTO {table} BY NAME SELECT *, ?::TIMESTAMPTZ AS recorded_at FROM ({query})",
            [stage.built_at],
        )
        return
    names = [row[0] for row in connection.execute(f"DESCRIBE {query}").fetchall()]
    same = " AND ".join(
        f"old.{name} IS NOT DISTINCT FROM arriving.{name}" for name in names if name != "load_id"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE renewed AS SELECT arriving.*, "
        f"coalesce(old.recorded_at, ?::TIMESTAMPTZ) AS recorded_at "
        f"FROM ({query}) AS arriving LEFT JOIN {table} AS old ON old.load_id = ? AND {same}",
        [stage.built_at, old_load_id],
    )
    connection.execute(f"DELETE FROM {table} WHERE load_id = ?", [old_load_id])
    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM renewed")
    connection.execute("DROP TABLE renewed")


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
