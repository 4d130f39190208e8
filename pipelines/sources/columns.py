"""What the values of a user's file mean: text, exact decimals, days, instants, and amounts in minor units.

Every function adds columns to a frame and never drops or repairs a row: a value that is not understood
becomes null, and `split` sets the row aside with its reason. All of it works on whole columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipelines.sources.files import ROW, FileFormat, FileRows, original_rows
from pipelines.sources.loading import REJECT_COLUMNS, SourceError

LINE_LIMIT = 10**15
"""Greatest posted amount of a line, in minor units."""
QUANTITY_DIGITS = 15
PRICE_DIGITS = 18
MAX_SCALE = 12
POWERS = pl.Series("powers", [10**power for power in range(29)], dtype=pl.Int128)
TIME_PATTERN = (
    r"^(?<day>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?<clock>\d{2}:\d{2})(?<seconds>:\d{2}(?:\.\d{1,9})?)?\s*(?<zone>Z|[+-]\d{2}(?::?\d{2})?)?)?$"
)


@dataclass(frozen=True)
class Check:
    """A rule that a row may break: its reason code, the column at fault, and what is true then."""

    reason: str
    column: str
    is_broken: pl.Expr


def text(frame: pl.DataFrame, column: str, path: Path) -> pl.DataFrame:
    """Make a column text without changing what is written: whole numbers keep their digits, blanks become
    null.

    Raises SourceError for a type that has no one written form, such as a floating point number.
    """
    kind = frame.schema[column]
    if not (kind == pl.String or kind.is_integer() or kind in (pl.Categorical, pl.Enum, pl.Null)):
        raise SourceError(
            f"{path}: column '{column}' holds {kind}, but must hold text or whole numbers. "
            "Export it as text, so that nothing is lost (00123 is not 123)."
        )
    written = pl.col(column).cast(pl.String)
    return frame.with_columns(
        pl.when(written.str.strip_chars() == "").then(None).otherwise(written).alias(column)
    )


def number(frame: pl.DataFrame, column: str, file_format: FileFormat, path: Path) -> pl.DataFrame:
    """Read a column of decimals exactly: adds `<column>_mantissa`, `<column>_scale` (0 to 12) and
    `<column>_text`.

    All three are null where the value is missing or no decimal number; the mantissa alone is null where it
    has more than 18 digits. Binary floats are first read as the nearest decimal with 6 places.
    """
    kind = frame.schema[column]
    value = pl.col(column)
    if kind.is_float():
        written = pl.when(value.is_finite()).then(value).cast(pl.Decimal(38, 6), strict=False).cast(pl.String)
        pattern = r"^[+-]?[0-9]+(?:\.[0-9]+)?$"
    elif kind.is_integer() or kind.is_decimal():
        written = value.cast(pl.String)
        pattern = r"^[+-]?[0-9]+(?:\.[0-9]+)?$"
    elif kind in (pl.String, pl.Null):
        decimal, groups = _escaped(file_format.decimal), _escaped(file_format.thousands)
        whole = rf"(?:[0-9]{{1,3}}(?:{groups}[0-9]{{3}})+|[0-9]+)" if groups else r"[0-9]+"
        pattern = rf"^[+-]?{whole}(?:{decimal}[0-9]+)?$"
        written = value.cast(pl.String).str.strip_chars()
    else:
        raise SourceError(f"{path}: column '{column}' holds {kind}, but must hold numbers.")
    clean: pl.Expr = pl.when(written.str.contains(pattern)).then(written)
    if kind == pl.String:
        if file_format.thousands:
            clean = clean.str.replace_all(file_format.thousands, "", literal=True)
        if file_format.decimal != ".":
            clean = clean.str.replace(file_format.decimal, ".", literal=True)
    with_text = frame.with_columns(clean.alias(f"{column}_text"))
    whole_part = pl.col(f"{column}_text").str.extract(r"^[+-]?(\d+)")
    fraction = pl.col(f"{column}_text").str.extract(r"\.(\d+)$").fill_null("").str.strip_chars_end("0")
    digits = (whole_part + fraction).str.strip_chars_start("0")
    sign = pl.when(pl.col(f"{column}_text").str.starts_with("-")).then(-1).otherwise(1)
    scale = fraction.str.len_bytes().cast(pl.Int64)
    is_number = pl.col(f"{column}_text").is_not_null() & (scale <= MAX_SCALE)
    size = pl.when(digits == "").then(pl.lit("0")).otherwise(digits)
    return with_text.with_columns(
        pl.when(is_number & (digits.str.len_bytes() <= PRICE_DIGITS))
        .then(sign * size.cast(pl.Int64, strict=False))
        .alias(f"{column}_mantissa"),
        pl.when(is_number).then(scale).alias(f"{column}_scale"),
    )


def number_checks(column: str, digits: int = PRICE_DIGITS) -> list[Check]:
    """What can be wrong with a column read by `number`: no number, or more digits than we keep."""
    mantissa, scale = pl.col(f"{column}_mantissa"), pl.col(f"{column}_scale")
    return [
        Check("bad_amount", column, scale.is_null()),
        Check("too_large", column, mantissa.is_null() | (mantissa.abs() > 10**digits)),
    ]


def exponent(currency: str, exponents: dict[str, int]) -> pl.Expr:
    """Decimals of the minor unit of the currency in a column; null when it is no currency."""
    return pl.col(currency).replace_strict(exponents, default=None, return_dtype=pl.Int64)


def posted(numerator: pl.Expr, power: pl.Expr) -> pl.Expr:
    """numerator / 10**power as a whole number, halves away from zero. Null beyond a line's bound."""
    denominator = pl.lit(POWERS).gather(power)
    size = (2 * numerator.abs() + denominator) // (2 * denominator)
    whole = pl.when(size <= LINE_LIMIT).then(size).cast(pl.Int64)
    return pl.when(numerator < 0).then(-whole).otherwise(whole)


def minor_units(amount: str, exponents: pl.Expr, unit: str = "major", times: str | None = None) -> pl.Expr:
    """The amount of a column read by `number` in minor units; with `times`, multiplied by another such
    column.

    The product is formed in 128 bits and rounded once.
    """
    numerator = pl.col(f"{amount}_mantissa").cast(pl.Int128)
    power = pl.col(f"{amount}_scale")
    if times is not None:
        numerator = numerator * pl.col(f"{times}_mantissa").cast(pl.Int128)
        power = power + pl.col(f"{times}_scale")
    if unit == "major":
        numerator = numerator * pl.lit(POWERS).gather(exponents)
    return posted(numerator, power)


def day(frame: pl.DataFrame, column: str, file_format: FileFormat, path: Path) -> pl.DataFrame:
    """Make a column DATE; null where it is no day. Of times of day only midnight may follow."""
    kind = frame.schema[column]
    if kind == pl.Date:
        return frame
    if isinstance(kind, pl.Datetime):
        value = pl.col(column).dt.replace_time_zone(None)
        return frame.with_columns(
            pl.when(value == value.dt.truncate("1d")).then(value.dt.date()).alias(column)
        )
    if kind not in (pl.String, pl.Null):
        raise SourceError(f"{path}: column '{column}' holds {kind}, but must hold days such as 2025-12-31.")
    written = pl.col(column).cast(pl.String).str.strip_chars()
    if file_format.date is not None:
        return frame.with_columns(written.str.to_date(file_format.date, strict=False).alias(column))
    iso = written.str.extract(r"^(\d{4}-\d{2}-\d{2})(?:[T ]00:00(?::00(?:\.0+)?)?)?$")
    return frame.with_columns(iso.str.to_date("%Y-%m-%d", strict=False).alias(column))


def instant(frame: pl.DataFrame, column: str, file_format: FileFormat, zone: str, path: Path) -> pl.DataFrame:
    """Make a column a UTC instant; null where it is none. A time without a zone is local time of `zone`.

    Of the two passes of a local hour in autumn the first is taken; an hour that spring leaves out is no time.
    """
    kind = frame.schema[column]
    value = pl.col(column)
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        return frame.with_columns(value.dt.convert_time_zone("UTC").dt.cast_time_unit("us").alias(column))
    if kind == pl.Date or isinstance(kind, pl.Datetime):
        return frame.with_columns(_zoned(value.cast(pl.Datetime("us")), zone).alias(column))
    if kind not in (pl.String, pl.Null):
        raise SourceError(
            f"{path}: column '{column}' holds {kind}, but must hold times such as 2025-12-31 14:30."
        )
    written = value.cast(pl.String).str.strip_chars()
    if file_format.date is not None:
        if "%z" in file_format.date:
            parsed = written.str.to_datetime(file_format.date, strict=False, time_unit="us", time_zone="UTC")
            return frame.with_columns(parsed.alias(column))
        if "%H" not in file_format.date and "%I" not in file_format.date:
            local = written.str.to_date(file_format.date, strict=False).cast(pl.Datetime("us"))
        else:
            local = written.str.to_datetime(file_format.date, strict=False, time_unit="us")
        return frame.with_columns(_zoned(local, zone).alias(column))
    parts = written.str.extract_groups(TIME_PATTERN)
    local = pl.concat_str(
        parts.struct.field("day"),
        pl.lit(" "),
        parts.struct.field("clock").fill_null("00:00"),
        parts.struct.field("seconds").fill_null(":00"),
    ).str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us")
    mark = parts.struct.field("zone")
    hours = mark.str.extract(r"^[+-](\d{2})").cast(pl.Int64)
    minutes = mark.str.extract(r"^[+-]\d{2}:?(\d{2})$").cast(pl.Int64).fill_null(0)
    offset = pl.duration(minutes=hours * 60 + minutes)
    utc = (
        pl.when(mark == "Z")
        .then(local)
        .when(mark.str.starts_with("-"))
        .then(local + offset)
        .otherwise(local - offset)
        .dt.replace_time_zone("UTC")
    )
    return frame.with_columns(pl.when(mark.is_null()).then(_zoned(local, zone)).otherwise(utc).alias(column))


def flag(frame: pl.DataFrame, column: str, path: Path) -> pl.DataFrame:
    """Make a column true or false; null where it is neither true/false, yes/no, t/f, y/n nor 1/0."""
    kind = frame.schema[column]
    if kind == pl.Boolean:
        return frame
    if not (kind in (pl.String, pl.Null) or kind.is_integer()):
        raise SourceError(f"{path}: column '{column}' holds {kind}, but must hold true or false.")
    words = {"true": True, "t": True, "yes": True, "y": True, "1": True}
    words |= {"false": False, "f": False, "no": False, "n": False, "0": False}
    written = pl.col(column).cast(pl.String).str.strip_chars().str.to_lowercase()
    return frame.with_columns(
        written.replace_strict(words, default=None, return_dtype=pl.Boolean).alias(column)
    )


def split(
    rows: FileRows,
    frame: pl.DataFrame,
    checks: Sequence[Check],
    key: Sequence[str],
    amount: pl.Expr | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Part a frame with ROW into accepted rows and rejects; each row bears the first rule it breaks.

    `rows` are the file's rows as received, for the original in the reject. Broken rows of the file are not
    included.
    """
    if not checks:
        return frame, pl.DataFrame(schema=REJECT_COLUMNS)
    broken = [check.is_broken.fill_null(False) for check in checks]
    reason = pl.coalesce(
        *(pl.when(is_broken).then(pl.lit(number)) for number, is_broken in enumerate(broken)), pl.lit(None)
    )
    judged = frame.with_columns(reason.cast(pl.Int32).alias("__check"))
    accepted = judged.filter(pl.col("__check").is_null()).drop("__check")
    refused = judged.filter(pl.col("__check").is_not_null())
    reasons = dict(enumerate(check.reason for check in checks))
    columns = dict(enumerate(check.column for check in checks))
    rejects = refused.select(
        pl.col(ROW).alias("row_number"),
        row_key=pl.concat_str(
            [pl.col(name).cast(pl.String).fill_null("") for name in key if name in frame.columns],
            separator="/",
        ),
        reason=pl.col("__check").replace_strict(reasons, return_dtype=pl.String),
        column_name=pl.col("__check").replace_strict(columns, return_dtype=pl.String),
        amount_minor=pl.lit(None, dtype=pl.Int64) if amount is None else amount,
    ).join(original_rows(rows, refused[ROW]).rename({ROW: "row_number"}), on="row_number", how="left")
    return accepted, rejects.select(list(REJECT_COLUMNS))


def _zoned(local: pl.Expr, zone: str) -> pl.Expr:
    return local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone(
        "UTC"
    )


def _escaped(sign: str) -> str:
    return f"[{sign}]" if sign and sign not in "^]\\" else ""


def parse(
    frame: pl.DataFrame,
    column: str,
    kind: str,
    file_format: FileFormat,
    zone: str,
    path: Path,
    *,
    is_required: bool = False,
) -> tuple[pl.DataFrame, list[Check]]:
    """Give a column its type: text, day, month, instant, flag or whole. Also the rules its values may break.

    An empty value is null, and wrong only where the column `is_required`. A value that is there but is not
    understood is always wrong.
    """
    reasons = {"day": "bad_date", "month": "bad_date", "instant": "bad_date", "flag": "bad_flag"}
    reason = reasons.get(kind, "bad_amount")
    value = pl.col(column)
    if frame.schema[column] == pl.String:
        value = pl.when(value.str.strip_chars() != "").then(value)
    given = f"__given_{column}"
    frame = frame.with_columns(value.is_not_null().alias(given))
    match kind:
        case "text":
            frame = text(frame, column, path)
        case "day":
            frame = day(frame, column, file_format, path)
        case "month":
            if frame.schema[column] == pl.String:
                month = pl.col(column).str.strip_chars()
                full = pl.when(month.str.contains(r"^\d{4}-\d{2}$")).then(month + "-01").otherwise(month)
                frame = frame.with_columns(full.alias(column))
            frame = day(frame, column, file_format, path)
            frame = frame.with_columns(pl.when(pl.col(column).dt.day() == 1).then(column).alias(column))
        case "instant":
            frame = instant(frame, column, file_format, zone, path)
        case "flag":
            frame = flag(frame, column, path)
        case "whole":
            frame = number(frame, column, file_format, path)
            is_whole = pl.col(f"{column}_scale") == 0
            frame = frame.with_columns(pl.when(is_whole).then(f"{column}_mantissa").alias(column))
        case _:
            raise ValueError(f"{kind} is no kind of column")
    checks = [Check(reason, column, pl.col(given) & pl.col(column).is_null())]
    if is_required:
        empty = "missing_key" if kind == "text" else reason
        checks.insert(0, Check(empty, column, ~pl.col(given)))
    return frame, checks
