"""Which model scores: the registry of models, one row for each stage a model reached, never changed.

A model is `trained` once, and `scoring` each time it is put to use: by the champion rule, or by a person who
promotes it or rolls back to it. The newest `scoring` row of a class decides. A person's choice stands until a
person makes another: models trained meanwhile wait as `trained`; `by_rule` gives the choice back to the rule.
Rows lie in history/churn_models/, one Parquet file a decision or build.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from churn_model import tables
from churn_model.registry import ModelRefused, load_content

CHAMPION_RULE = "champion rule"
PROMOTED, ROLLED_BACK = "promoted", "rolled_back"
CLASSES = ("contract", "non_contract")
Row = Mapping[str, Any]


class DecisionRefused(Exception):
    """A promotion or roll-back that cannot be: the message says why, and what there is."""


def history_folder(folder: Path) -> Path:
    return folder / "history" / "churn_models"


def registry_of(folder: Path) -> list[Row]:
    """All rows of the company's registry in their order, each as a mapping of the columns of churn_models.

    Raises DecisionRefused for a file that cannot be read.
    """
    files = sorted(history_folder(folder).glob("*.parquet"))
    if not files:
        return []
    types = tables.frame_types("churn_models")
    parts = [_read(file) for file in files]
    rows = pl.concat(parts, how="diagonal_relaxed")
    missing = [pl.lit(None, types[name]).alias(name) for name in types if name not in rows.columns]
    shown = rows.with_columns(missing).select(*types).unique(maintain_order=True)
    return in_order(shown.to_dicts())


def _read(file: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DecisionRefused(
            f"{file} cannot be read: it is no whole Parquet file. Bring the file back from a copy; "
            "without one, remove it and decide again what it held."
        ) from error


def in_order(rows: Sequence[Row]) -> list[Row]:
    """By moment; at one moment what was trained comes before what is put to use."""
    return sorted(rows, key=lambda row: (row["at"], row["stage"] == "scoring"))


def class_of(row: Row) -> str:
    return "non_contract" if row["commitment_class"] == "non_contract" else "contract"


def in_use(rows: Sequence[Row], commitment: str) -> list[Row]:
    """The models put to use for a class that still count, oldest first, each as its `scoring` row: the last
    one scores, the one before it is what a roll-back returns to. A roll-back takes one away; a promotion
    always adds one, also of the model that was in use before. Rows of older releases do not tell the two
    apart: there a person's return to the model before is a roll-back."""
    stack: list[Row] = []
    for row in in_order(rows):
        if row["stage"] != "scoring" or class_of(row) != commitment:
            continue
        is_return = _by_person(row) and row.get("decision") != PROMOTED
        if is_return and len(stack) > 1 and stack[-2]["model_id"] == row["model_id"]:
            stack.pop()
            stack[-1] = row
        elif stack and stack[-1]["model_id"] == row["model_id"]:
            stack[-1] = row
        else:
            stack.append(row)
    return stack


def chosen_by_person(rows: Sequence[Row], commitment: str) -> str | None:
    """The model that a person put to use for a class, where the last word is a person's."""
    stack = in_use(rows, commitment)
    return stack[-1]["model_id"] if stack and _by_person(stack[-1]) else None


def _by_person(row: Row) -> bool:
    return bool(row["approved_by"] != CHAMPION_RULE)


def promote(folder: Path, model_id: str, *, by: str, at: datetime) -> Row:
    """Put a trained model to use, as one new row. Raises DecisionRefused, and ModelRefused for its files."""
    rows = registry_of(folder)
    known = [row for row in rows if row["model_id"] == model_id]
    if not known:
        there = ", ".join(dict.fromkeys(row["model_id"] for row in rows)) or "none is trained yet"
        raise DecisionRefused(f"There is no model {model_id} (there: {there}).")
    return _put_to_use(folder, rows, known[-1], by=by, at=at, decision=PROMOTED)


def by_rule(folder: Path, commitment: str, *, at: datetime) -> Row:
    """Give the choice back to the champion rule: the newest trained model of a class is put to use."""
    rows = registry_of(folder)
    known = [row for row in rows if class_of(row) == commitment and row["stage"] in ("trained", "scoring")]
    if not known:
        raise DecisionRefused(f"No model of the class {commitment} is trained yet.")
    trained = [row for row in known if row["stage"] == "trained"] or known
    return _put_to_use(folder, rows, trained[-1], by=CHAMPION_RULE, at=at)


def roll_back(folder: Path, commitment: str | None, *, by: str, at: datetime) -> Row:
    """Return to the model that was in use before, as one new row. Without a class, the only one there is.

    Raises DecisionRefused where there is none before, or where two classes leave the choice open.
    """
    rows = registry_of(folder)
    stacks = {name: in_use(rows, name) for name in CLASSES if commitment in (None, name)}
    there = {name: stack for name, stack in stacks.items() if stack}
    if not there:
        raise DecisionRefused("No model is in use yet, so there is nothing to roll back.")
    if len(there) > 1:
        raise DecisionRefused(f"Models of {' and '.join(there)} are in use: say which class.")
    ((name, stack),) = there.items()
    if len(stack) < 2:
        raise DecisionRefused(
            f"{stack[-1]['model_id']} is the first model of the class {name}: there is none to return to."
        )
    return _put_to_use(folder, rows, stack[-2], by=by, at=at, decision=ROLLED_BACK)


def _put_to_use(
    folder: Path, rows: Sequence[Row], known: Row, *, by: str, at: datetime, decision: str | None = None
) -> Row:
    name = class_of(known)
    stack = in_use(rows, name)
    is_same = bool(stack) and stack[-1]["model_id"] == known["model_id"]
    if is_same and _by_person(stack[-1]) == (by != CHAMPION_RULE):
        raise DecisionRefused(f"{known['model_id']} is the model in use for the class {name} already.")
    if rows and at <= rows[-1]["at"]:
        raise DecisionRefused(
            f"The clock says {at:%Y-%m-%d %H:%M:%S} UTC, which is before the last decision."
        )
    _, manifest = load_content(folder / "churn" / known["model_id"])
    if manifest.get("model_id") != known["model_id"]:
        raise ModelRefused(f"{folder / 'churn' / known['model_id']}: the manifest is of another model")
    row = {**known, "stage": "scoring", "approved_by": by, "at": at, "decision": decision}
    write(folder, [row])
    return row


def write(folder: Path, rows: Sequence[Row]) -> Path:
    """Write rows as a new file of the registry; it bears its name once it is whole, and replaces none. Raises
    FileExistsError."""
    target = history_folder(folder) / f"decision-{rows[0]['at']:%Y%m%dT%H%M%S%f}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    frame = pl.DataFrame(list(rows), schema_overrides=tables.frame_types("churn_models"))
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            frame.write_parquet(file)
            file.flush()
            os.fsync(file.fileno())
        target.hardlink_to(partial)
    finally:
        partial.unlink(missing_ok=True)
    return target
