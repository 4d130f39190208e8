"""DATASET.toml: what a file of data holds and how it is to be judged, and the file's rows as a frame.

A description says its kind, the file, how it is read, which columns mean what, the protocol and the gates.
Everything is checked before any data is read: an unknown key, a value of another form or a missing column is
refused in a sentence that names it and says what is allowed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from churn_model.matrix import as_texts


class DescriptionError(ValueError):
    """A description, or its file, that cannot be followed. The message says where and what is allowed."""


@dataclass(frozen=True)
class Gate:
    """A bound that a figure of the champion must keep. `split`: a test date; None for the mean over all."""

    metric: str
    bound: float
    split: str | None = None

    def holds(self, value: float | None) -> bool:
        """Whether a figure keeps it; a figure that could not be computed does not."""
        if value is None or value != value:
            return False
        return value <= self.bound if is_lower_better(self.metric) else value >= self.bound


@dataclass(frozen=True)
class Description:
    """A description that was checked. `columns` and `protocol` hold every key of the kind: what the file
    says, else the default, None where there is none."""

    path: Path
    kind: str
    file: Path
    delimiter: str | None
    date_format: str | None
    nulls: tuple[str, ...]
    rename: Mapping[str, str]
    columns: Mapping[str, Any]
    protocol: Mapping[str, Any]
    gates: tuple[Gate, ...]


LOWER_IS_BETTER = ("brier", "log_loss", "ece", "ibs")


def is_lower_better(metric: str) -> bool:
    return metric.removesuffix("_after_a_week") in LOWER_IS_BETTER


# What each key may be.

Check = Callable[[Any], Any]
"""Gives the value of a key in the form that is used; raises ValueError saying what it should be."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("should be a text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("should be a list of texts")
    return tuple(_text(one) for one in value)


def _any_texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("should be a list of texts")
    return tuple(value)


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float | bool):
        raise ValueError("should be a text, a number, true or false")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("should be true or false")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise ValueError("should be a number")
    return float(value)


def _positive(value: Any) -> float:
    number = _number(value)
    if not 0 < number < float("inf"):
        raise ValueError("should be a number above 0")
    return number


def _rising(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("should be a list of numbers above 0")
    numbers = tuple(_positive(one) for one in value)
    if list(numbers) != sorted(set(numbers)):
        raise ValueError("should be a list of rising numbers")
    return numbers


def _whole(least: int) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"should be a whole number of at least {least}")
        return int(value)

    return check


def _day(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise ValueError("should be a date such as 2011-06-01, without quotes")


def _days(value: Any) -> tuple[date, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("should be a list of dates")
    days = tuple(_day(one) for one in value)
    if list(days) != sorted(set(days)):
        raise ValueError("should be a list of dates, the earliest first, each once")
    return days


def _step(value: Any) -> str | int:
    if value == "month":
        return "month"
    try:
        return int(_whole(1)(value))
    except ValueError as error:
        raise ValueError('should be "month" or a whole number of days') from error


def _column_or_rule(value: Any) -> Any:
    """A column that is true for credits, or {column, starts_with}, or {amount_below}."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        if set(value) == {"column", "starts_with"}:
            return {"column": _text(value["column"]), "starts_with": _text(value["starts_with"])}
        if set(value) == {"amount_below"}:
            return {"amount_below": _number(value["amount_below"])}
    raise ValueError('should be a column, {column = "invoice_no", starts_with = "C"} or {amount_below = 0}')


REQUIRED = object()
"""Stands where a key has no default."""

Keys = Mapping[str, tuple[Check, Any]]
"""Name of a key: how it is checked, and its default."""

TOP: Keys = {
    "kind": (_text, REQUIRED),
    "file": (_text, REQUIRED),
    "delimiter": (_text, None),
    "date_format": (_text, None),
    "null_values": (_any_texts, ()),
}
COLUMNS: Mapping[str, Keys] = {
    "events": {
        "customer_id": (_text, REQUIRED),
        "invoice_ts": (_text, REQUIRED),
        "amount": (_text, REQUIRED),
        "quantity": (_text, None),
        "sku": (_text, None),
        "is_credit": (_column_or_rule, None),
        "country": (_text, None),
        "invoice_id": (_text, None),
    },
    "survival": {
        "time": (_text, REQUIRED),
        "event": (_text, REQUIRED),
        "positive": (_scalar, None),
        "entry": (_text, None),
        "id": (_text, None),
        "group": (_text, None),
        "drop": (_texts, ()),
        "categorical": (_texts, ()),
    },
    "flat": {
        "label": (_text, REQUIRED),
        "positive": (_scalar, None),
        "id": (_text, None),
        "group": (_text, None),
        "drop": (_texts, ()),
        "categorical": (_texts, ()),
    },
}
FOLDS: Keys = {"folds": (_whole(2), 5), "seed": (_whole(0), 0), "min_events": (_whole(1), 200)}
PROTOCOL: Mapping[str, Keys] = {
    "events": {
        "horizon_days": (_whole(1), 90),
        "active_days": (_whole(1), 180),
        "first_snapshot": (_day, None),
        "snapshot_step": (_step, "month"),
        "test_dates": (_days, ()),
        "season": (_flag, None),
        "min_events": (_whole(1), 200),
    },
    "survival": {
        "max_time": (_positive, None),
        "steps": (_rising, ()),
        "auc_times": (_rising, ()),
        **FOLDS,
    },
    "flat": {"drop_duplicates": (_flag, True), **FOLDS},
}
GATES: Mapping[str, tuple[str, ...]] = {
    "events": ("auc", "ap", "brier", "log_loss", "ece", "lift_10", "revenue_10"),
    "survival": ("harrell_c", "uno_c", "ibs"),
    "flat": ("auc", "ap", "brier", "log_loss", "ece", "lift_10"),
}
KINDS = tuple(COLUMNS)


def read_description(path: Path) -> Description:
    """The description in a file, checked. `file` is found from the folder of the description. Raises
    DescriptionError."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DescriptionError(f"{path} cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DescriptionError(f"{path} is not TOML: {error}") from error
    kind = content.get("kind")
    if kind not in KINDS:
        raise DescriptionError(f"{path}: kind is {kind!r}, not one of {', '.join(KINDS)}")
    tables = {name: content.pop(name, {}) for name in ("rename", "columns", "protocol", "gates")}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise DescriptionError(f"{path}: {name} should be a table, [{name}]")
    top = _checked(path, "", content, TOP, also=("[rename]", "[columns]", "[protocol]", "[gates]"))
    columns = _checked(path, "[columns] ", tables["columns"], COLUMNS[kind])
    file = (path.parent / top["file"]).resolve()
    if not file.is_file():
        raise DescriptionError(f"{path}: there is no file {file}")
    if top["delimiter"] is not None and len(top["delimiter"].encode()) != 1:
        raise DescriptionError(f"{path}: delimiter should be one character")
    rename = {name: _said(path, f"[rename] {name}", _text, new) for name, new in tables["rename"].items()}
    return Description(
        path=path,
        kind=kind,
        file=file,
        delimiter=top["delimiter"],
        date_format=top["date_format"],
        nulls=top["null_values"],
        rename=rename,
        columns=columns,
        protocol=_checked(path, "[protocol] ", tables["protocol"], PROTOCOL[kind]),
        gates=_gates(path, kind, tables["gates"]),
    )


def _checked(
    path: Path, where: str, table: Mapping[str, Any], keys: Keys, also: Sequence[str] = ()
) -> dict[str, Any]:
    """Every key of a table with its value or default."""
    unknown = [name for name in table if name not in keys]
    if unknown:
        raise DescriptionError(
            f"{path}: {where}{unknown[0]!r} is unknown; known are {', '.join([*keys, *also])}"
        )
    values = {}
    for name, (check, default) in keys.items():
        if name in table:
            values[name] = _said(path, f"{where}{name}", check, table[name])
        elif default is REQUIRED:
            raise DescriptionError(f"{path}: {where}{name} is missing")
        else:
            values[name] = default
    return values


def _said(path: Path, name: str, check: Check, value: Any) -> Any:
    try:
        return check(value)
    except ValueError as error:
        raise DescriptionError(f"{path}: {name} {error}, and is {value!r}") from error


def _gates(path: Path, kind: str, table: Mapping[str, Any]) -> tuple[Gate, ...]:
    """[gates] holds bounds of the mean; with kind `events` also a table a test date."""
    gates = []
    for name, value in table.items():
        if kind == "events" and isinstance(value, dict):
            try:
                date.fromisoformat(name)
            except ValueError as error:
                raise DescriptionError(f"{path}: [gates.{name}] is named by no test date") from error
            gates += [_gate(path, kind, metric, bound, name) for metric, bound in value.items()]
        else:
            gates.append(_gate(path, kind, name, value, None))
    return tuple(gates)


def _gate(path: Path, kind: str, metric: str, bound: Any, split: str | None) -> Gate:
    if metric not in GATES[kind]:
        raise DescriptionError(f"{path}: [gates] {metric!r} is unknown; known are {', '.join(GATES[kind])}")
    return Gate(metric, _said(path, f"[gates] {metric}", _number, bound), split)


# The file's rows.

PARQUET = b"PAR1"


def read_table(description: Description) -> pl.DataFrame:
    """The rows of the file, columns renamed. Dates and texts stay as they are read. Raises DescriptionError.

    The file is Parquet where it begins as one, else CSV (a gzip of one, too): UTF-8, or Windows-1252 where it
    is no UTF-8.
    """
    file = description.file
    try:
        with file.open("rb") as opened:
            is_parquet = opened.read(4) == PARQUET
        frame = pl.read_parquet(file) if is_parquet else _read_csv(description)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DescriptionError(f"{file} cannot be read: {str(error).splitlines()[0]}") from error
    if frame.is_empty():
        raise DescriptionError(f"{file} has no rows")
    missing = [name for name in description.rename if name not in frame.columns]
    if missing:
        raise DescriptionError(
            f"{description.path}: [rename] {missing[0]!r} is no column of {_columns(file, frame)}"
        )
    names = [description.rename.get(name, name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DescriptionError(f"{description.path}: after [rename] there are two columns {twice[0]!r}")
    frame.columns = names
    return frame


def _read_csv(description: Description) -> pl.DataFrame:
    separator = description.delimiter or ("\t" if ".tsv" in description.file.suffixes else ",")
    for encoding in ("utf8", "windows-1252"):
        try:
            return pl.read_csv(
                description.file,
                separator=separator,
                null_values=list(description.nulls) or None,
                infer_schema_length=None,
                encoding=encoding,
            )
        except pl.exceptions.ComputeError as error:
            if encoding != "utf8" or "utf-8" not in str(error).lower():
                raise
    raise AssertionError("one of the encodings reads or raises")


def require_columns(description: Description, frame: pl.DataFrame) -> None:
    """Raises DescriptionError for a column that [columns] names and the file lacks."""
    for key, value in description.columns.items():
        if key == "positive" or value is None:
            continue
        named = (
            [value.get("column")]
            if isinstance(value, Mapping)
            else [value]
            if isinstance(value, str)
            else value
        )
        for name in named:
            if name is not None and name not in frame.columns:
                raise DescriptionError(
                    f"{description.path}: [columns] {key}: {name!r} is no column of "
                    f"{_columns(description.file, frame)}"
                )


def _columns(file: Path, frame: pl.DataFrame) -> str:
    return f"{file.name}, which has {', '.join(map(repr, frame.columns))}"


def is_positive(description: Description, column: pl.Series, key: str) -> pl.Series:
    """Whether each value is the one [columns] calls positive, null where it is null. Without `positive` the
    column must hold true and false, or 1 and 0. Raises DescriptionError."""
    texts = as_texts(column).str.to_lowercase() if column.dtype == pl.Boolean else as_texts(column)
    found = texts.drop_nulls().unique().sort().to_list()
    wanted = description.columns["positive"]
    if wanted is None:
        if not set(found) <= {"0", "1", "true", "false"}:
            raise DescriptionError(
                f"{description.path}: [columns] positive is missing: say which value of {column.name!r} "
                f"means that the customer left; it holds {_some(found)}"
            )
        return texts.is_in(["1", "true"])
    text = str(wanted).lower() if isinstance(wanted, bool) else as_texts(pl.Series([wanted])).item()
    if text not in found:
        raise DescriptionError(
            f"{description.path}: [columns] positive is {wanted!r}, which {key} {column.name!r} never is; it "
            f"holds {_some(found)}"
        )
    return texts == text


def _some(texts: Sequence[str]) -> str:
    shown = ", ".join(repr(text) for text in texts[:5])
    return f"{shown} and {len(texts) - 5} more" if len(texts) > 5 else shown or "nothing"
