"""From named columns to the matrix a model reads: numbers as they are, categories as places in a fixed list.

A null is NaN in both, and so is a category that the list does not hold. What a model has learned from one
matrix it may only say of another made by the same inputs, so they are kept with the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Column = NDArray[np.float64]

MAX_CATEGORIES = 64
OTHER = "(other)"


@dataclass(frozen=True)
class Input:
    """One column a model reads. `categories` None: a number; else the texts it may hold, in their order."""

    name: str
    categories: tuple[str, ...] | None = None

    @property
    def levels(self) -> int:
        """How many categories; 0 for a number."""
        return 0 if self.categories is None else len(self.categories)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "categories": None if self.categories is None else list(self.categories)}


def input_from_json(content: Mapping[str, Any]) -> Input:
    """Raises ValueError for anything of another form."""
    try:
        categories = content["categories"]
        texts = None if categories is None else tuple(str(text) for text in categories)
        return Input(str(content["name"]), texts)
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is no input of a model: {error!r}") from error


def numbers(names: Sequence[str]) -> tuple[Input, ...]:
    """Inputs that are all numbers."""
    return tuple(Input(name) for name in names)


def inputs_of(
    frame: pl.DataFrame, names: Sequence[str], categorical: Sequence[str] = ()
) -> tuple[Input, ...]:
    """Inputs for the columns of a frame: texts and those listed are categories, the rest numbers.

    Categories stand in the order a person would put them, numbers within a text by size ("9-20" before
    "10-50"). Of more than 64 the most frequent keep their name, the rest are one category "(other)".
    """
    return tuple(
        Input(name, _categories(frame[name]))
        if name in categorical or not (frame[name].dtype.is_numeric() or frame[name].dtype == pl.Boolean)
        else Input(name)
        for name in names
    )


def matrix_of(frame: pl.DataFrame, inputs: Sequence[Input]) -> Column:
    """Rows x inputs. Raises ValueError naming the columns that the frame lacks."""
    missing = [one.name for one in inputs if one.name not in frame.columns]
    if missing:
        raise ValueError(f"these columns are missing: {', '.join(missing)}")
    columns = [
        _number(frame[one.name]) if one.categories is None else _place(frame[one.name], one) for one in inputs
    ]
    return np.column_stack(columns) if columns else np.empty((frame.height, 0))


def _number(column: pl.Series) -> Column:
    values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _place(column: pl.Series, one: Input) -> Column:
    categories = one.categories or ()
    places = {text: float(place) for place, text in enumerate(categories)}
    unknown = places.get(OTHER, float("nan"))
    texts = as_texts(column)
    found = texts.replace_strict(places, default=unknown, return_dtype=pl.Float64) if places else texts
    known = found.to_numpy().astype(np.float64) if places else np.full(len(texts), np.nan)
    return np.where(texts.is_null().to_numpy(), np.nan, known)


def _categories(column: pl.Series) -> tuple[str, ...]:
    counts = (
        as_texts(column).drop_nulls().value_counts().sort(["count", column.name], descending=[True, False])
    )
    texts = counts[column.name].to_list()
    if len(texts) > MAX_CATEGORIES:
        return (*sorted(texts[: MAX_CATEGORIES - 1], key=_by_size), OTHER)
    return tuple(sorted(texts, key=_by_size))


def as_texts(column: pl.Series) -> pl.Series:
    """The texts of a column without blanks around them; an empty one is null. Whole numbers have no point."""
    if column.dtype.is_float():
        whole = column == column.round(0)
        texts = pl.select(
            pl.when(whole)
            .then(column.cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(column.cast(pl.String))
        ).to_series()
    else:
        texts = column.cast(pl.String)
    texts = texts.str.strip_chars()
    return texts.set(texts == "", None).alias(column.name)


def _by_size(text: str) -> tuple[tuple[int, float, str], ...]:
    """Numbers within a text count by size, and before letters."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return tuple(
        (0, float(part), "") if place % 2 else (1, 0.0, part) for place, part in enumerate(parts) if part
    )
