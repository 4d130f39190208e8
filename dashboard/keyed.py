"""Rows of small answers found by their keys, each answer gone through once for as long as it is kept.

A page asks the same answer for dozens of single values; a walk or a query engine for each costs more than all
else that is done with them.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

Rows = Mapping[tuple[Any, ...], Sequence[Mapping[str, Any]]]
_by_keys: dict[tuple[int, tuple[str, ...]], Rows] = {}


def rows_by(frame: pl.DataFrame, *names: str) -> Rows:
    """The rows of `frame`, in its order, by their values in the columns `names`.

    Kept until the frame is let go. A frame that is never changed in place is what answers are.
    """
    key = (id(frame), names)
    found = _by_keys.get(key)
    if found is None:
        found = _grouped(frame, names)
        _by_keys[key] = found
        weakref.finalize(frame, _by_keys.pop, key, None)
    return found


def first(frame: pl.DataFrame, **wanted: object) -> Mapping[str, Any] | None:
    """The first row whose columns have the values `wanted`; None where there is none."""
    rows = rows_by(frame, *wanted).get(tuple(wanted.values()))
    return rows[0] if rows else None


def _grouped(frame: pl.DataFrame, names: tuple[str, ...]) -> Rows:
    grouped: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in frame.iter_rows(named=True):
        grouped.setdefault(tuple(row[name] for name in names), []).append(row)
    return grouped
