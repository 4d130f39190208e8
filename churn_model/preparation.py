"""From the rows of a file to the matrix of its inputs; everything that is dropped or turned is counted.

Every column is an input unless the description gives it another part or it cannot say anything: one value
only, no value, or a text of its own in nearly every row. Texts that are all numbers or all dates are read as
such; a date is the number of days since 1970.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from numpy.typing import NDArray

from churn_model.description import DescriptionError
from churn_model.matrix import MAX_CATEGORIES, Column, Input, as_texts, inputs_of, matrix_of

OWN_TEXT_SHARE = 0.9
"""A text column in which more of the known texts than this are all different names rows, not kinds."""


@dataclass(frozen=True)
class Count:
    """Something that was decided on the way: what, in both languages, and how many rows or columns."""

    code: str
    en: str
    ar: str
    rows: int


@dataclass(frozen=True)
class Prepared:
    """The inputs of a file's rows and their matrix (rows x inputs), and what was decided."""

    inputs: tuple[Input, ...]
    x: Column
    counts: tuple[Count, ...]


def prepare(
    frame: pl.DataFrame, taken: Sequence[str], categorical: Sequence[str], date_format: str | None
) -> Prepared:
    """All columns but those `taken` as inputs. Raises DescriptionError where none is left."""
    counts: list[Count] = []
    columns = []
    for name in frame.columns:
        if name in taken:
            continue
        column = frame[name]
        if name not in categorical:
            column = _read_as(column, date_format, counts)
        reason = _useless(column)
        if reason is None:
            columns.append(column)
        else:
            code, en, ar = reason
            counts.append(Count(code, f"Column {name}: {en}", f"العمود {name}: {ar}", 1))
    if not columns:
        raise DescriptionError("no column is left to learn from: each has one value, none, or another part")
    kept = pl.DataFrame(columns)
    inputs = inputs_of(kept, kept.columns, categorical)
    for one in inputs:
        if one.levels == MAX_CATEGORIES:
            rest = int(as_texts(kept[one.name]).n_unique()) - MAX_CATEGORIES + 1
            counts.append(
                Count(
                    "rare_categories_joined",
                    f"Column {one.name}: rare values taken together as one",
                    f"العمود {one.name}: قيم نادرة جُمعت في قيمة واحدة",
                    rest,
                )
            )
    return Prepared(inputs, matrix_of(kept, inputs), tuple(counts))


def _read_as(column: pl.Series, date_format: str | None, counts: list[Count]) -> pl.Series:
    """A column as numbers where its values are numbers or dates in another dress."""
    name = column.name
    if column.dtype.is_temporal() and column.dtype != pl.Duration and column.dtype != pl.Time:
        return _days_since_1970(column)
    if column.dtype in (pl.Duration, pl.Time):
        return column.to_physical().cast(pl.Float64).alias(name)
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        return pl.Series(name, [None] * len(column), dtype=pl.Float64)
    is_text = column.dtype in (pl.String, pl.Categorical, pl.Enum)
    if not is_text and (date_format is None or not column.dtype.is_integer()):
        return column
    texts = as_texts(column)
    days = None if date_format is None else texts.str.to_datetime(date_format, strict=False)
    if days is not None and days.null_count() == texts.null_count() and days.null_count() < len(days):
        counts.append(
            Count(
                "texts_read_as_dates",
                f"Column {name}: values read as dates",
                f"العمود {name}: قيم قُرئت تواريخ",
                len(texts) - texts.null_count(),
            )
        )
        return _days_since_1970(days.alias(name))
    if not is_text:
        return column
    numbers = texts.cast(pl.Float64, strict=False)
    if numbers.null_count() == texts.null_count() and numbers.null_count() < len(numbers):
        counts.append(
            Count(
                "texts_read_as_numbers",
                f"Column {name}: texts read as numbers",
                f"العمود {name}: نصوص قُرئت أرقامًا",
                len(texts) - texts.null_count(),
            )
        )
        return numbers.alias(name)
    return texts


def _days_since_1970(column: pl.Series) -> pl.Series:
    return column.cast(pl.Datetime("us")).to_physical().cast(pl.Float64).alias(column.name) / 86_400_000_000


def _useless(column: pl.Series) -> tuple[str, str, str] | None:
    """Why a column cannot be an input; None where it can."""
    values = as_texts(column) if column.dtype == pl.String else column
    known = values.drop_nulls()
    if column.dtype.is_float():
        known = known.filter(known.is_finite())
    if known.is_empty():
        return "column_without_values", "dropped, it holds no value", "حُذف، لا قيمة فيه"
    if known.n_unique() == 1 and len(known) == len(values):
        return "column_constant", "dropped, it holds one value only", "حُذف، فيه قيمة واحدة فقط"
    own = known.n_unique()
    if column.dtype == pl.String and own > max(MAX_CATEGORIES, OWN_TEXT_SHARE * len(known)):
        return (
            "column_names_rows",
            "dropped, nearly every row has a text of its own",
            "حُذف، لكل صف تقريبًا نص خاص به",
        )
    return None


def units_of(frame: pl.DataFrame, column: str | None) -> NDArray[Any]:
    """To whom each row belongs: the values of a column; without one each row is by itself."""
    if column is None:
        return pl.int_range(frame.height, eager=True).to_numpy()
    texts = as_texts(frame[column])
    own = pl.Series([f"\0{place}" for place in range(frame.height)])  # a row without a group is by itself
    return texts.fill_null(own).to_numpy()
