"""A money rule tried both ways: on a number, and on a column of many rows."""

from collections.abc import Callable
from typing import Any

import polars as pl


def as_number(rule: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    return rule(*arguments, **settings)


def as_column(rule: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    """The rule on columns, among other rows: whole numbers become Int128 columns, other arguments stay."""
    names = [f"argument_{i}" for i, value in enumerate(arguments) if type(value) is int]
    columns = {
        f"argument_{i}": pl.Series([7, value, 11], dtype=pl.Int128)
        for i, value in enumerate(arguments)
        if type(value) is int
    }
    frame = pl.DataFrame(columns)
    given = [
        pl.col(f"argument_{i}") if f"argument_{i}" in names else value for i, value in enumerate(arguments)
    ]
    return frame.select(rule(*given, **settings)).to_series()[1]


BOTH_WAYS = [as_number, as_column]
