"""Reading the files of a Stripe export: rows of JSON lines, list pages or tables become objects, row for row.

Decides what a row is, which object it holds, and that only the fields named in stripe_shapes.py are kept: so
card data, addresses, names and mails never get beyond this module, not even with a row that is set aside.
What the values mean is decided in stripe_objects.py and stripe_documents.py.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

import polars as pl

from pipelines.sources.files import WHOLE_ROW
from pipelines.sources.loading import SourceError
from pipelines.sources.stripe_shapes import EVENT_OBJECTS, FIELDS, METADATA_OF, READ, Many

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")
OTHER_NAMES = {
    "invoice_line_item": "line_item",
    "invoice_line": "line_item",
    "line": "line_item",
    "credit_note_line": "credit_note_line_item",
}
TABLE_NAMES: Mapping[str, str] = {
    "recurring_interval": "recurring.interval",
    "recurring_interval_count": "recurring.interval_count",
    "recurring_usage_type": "recurring.usage_type",
    "period_start": "period.start",
    "period_end": "period.end",
    "cancellation_details_reason": "cancellation_details.reason",
    "cancellation_details_feedback": "cancellation_details.feedback",
    "pause_collection_behavior": "pause_collection.behavior",
    "pause_collection_resumes_at": "pause_collection.resumes_at",
    "status_transitions_finalized_at": "status_transitions.finalized_at",
    "status_transitions_paid_at": "status_transitions.paid_at",
    "status_transitions_voided_at": "status_transitions.voided_at",
    "status_transitions_marked_uncollectible_at": "status_transitions.marked_uncollectible_at",
    "payment_method_type": "payment_method_details.type",
    "payment_charge": "payment.charge",
    "payment_payment_intent": "payment.payment_intent",
}
"""Columns of tables that write a nested field with underscores."""


@dataclass
class Row:
    """One object of a file: its kind, its place (from 1), and the fields of it that are read.

    A row that was understood `is_short`: what tells it apart stays, so that a large export fits in memory.
    """

    kind: str
    number: int
    body: dict[str, Any]
    is_short: bool = False

    def shorten(self) -> None:
        short = {name: self.body[name] for name in ("id", "created") if name in self.body}
        if isinstance(self.body.get("data"), dict):
            thing = self.body["data"].get("object")
            short["data"] = {"object": {"id": thing.get("id")}} if isinstance(thing, dict) else {}
        self.body, self.is_short = short, True


@dataclass(frozen=True)
class Broken:
    """A row that holds no object, or none that can be told apart. `kind` is what it should have been."""

    kind: str | None
    number: int
    reason: str
    column: str
    original: str


@dataclass(frozen=True)
class ExportFile:
    """The rows of one file, and how many objects of other kinds it has, by their name."""

    path: Path
    rows: list[Row]
    broken: list[Broken]
    others: Counter[str]


def read_export(path: Path, metadata: Mapping[str, str]) -> ExportFile:
    """All objects of a file. `metadata` are the keys of a customer's metadata that are kept.

    Raises SourceError when the file can't be read as a whole.
    """
    named = _kind_of_name(path)
    rows: list[Row] = []
    broken: list[Broken] = []
    others: Counter[str] = Counter()
    for number, value in enumerate(_values(path), 1):
        if isinstance(value, Unreadable):
            broken.append(Broken(named, number, value.reason, WHOLE_ROW, json.dumps({"error": value.error})))
            continue
        given = value.get("object", named)
        kind = OTHER_NAMES.get(given, given) if isinstance(given, str) else None
        if kind is None:
            broken.append(
                Broken(named, number, "missing_key", "object", json.dumps({"fields": sorted(value)}))
            )
        elif kind not in FIELDS:
            others[kind] += 1
        elif kind == "event" and not _is_read_event(value):
            others[f"event {value['type']}"] += 1
        else:
            rows.append(Row(kind, number, _kept(kind, value, metadata)))
    return ExportFile(path, rows, _with_kind(broken, rows), others)


def restore(path: Path, metadata: Mapping[str, str], rows: Iterable[Row]) -> None:
    """Give rows that were made short their fields back, from their file."""
    short = {row.number: row for row in rows if row.is_short}
    if short:
        for row in read_export(path, metadata).rows:
            if row.number in short:
                short[row.number].body, short[row.number].is_short = row.body, False


def written(body: Mapping[str, Any]) -> str:
    """The fields of an object that are read, as JSON."""
    return json.dumps(body, default=str, ensure_ascii=False)


@dataclass(frozen=True)
class Unreadable:
    """A row that is no JSON object. Its text is not kept: nobody knows what it holds."""

    reason: str
    error: str


def _with_kind(broken: list[Broken], rows: list[Row]) -> list[Broken]:
    """Rows that hold no object are told of the kind of which the file has most."""
    most = Counter(row.kind for row in rows).most_common(1)
    kind = most[0][0] if most else None
    return [
        one if one.kind else Broken(kind, one.number, one.reason, one.column, one.original) for one in broken
    ]


def _kind_of_name(path: Path) -> str | None:
    """invoices.jsonl holds invoices, line_items-2024.jsonl line items."""
    stem = re.sub(r"[^a-z]+", "_", path.stem.lower()).strip("_")
    words = stem.split("_")
    for length in range(len(words), 0, -1):
        name = "_".join(words[:length])
        for candidate in (name, name.removesuffix("s")):
            kind = OTHER_NAMES.get(candidate, candidate)
            if kind in FIELDS:
                return kind
    return None


def _is_read_event(value: Mapping[str, Any]) -> bool:
    kind = value.get("type")
    return not isinstance(kind, str) or any(kind.startswith(beginning) for beginning in EVENT_OBJECTS)


def _kept(kind: str, value: Mapping[str, Any], metadata: Mapping[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = _pruned(value, FIELDS[kind])
    if kind in METADATA_OF:
        given = value.get("metadata")
        if isinstance(given, dict):
            body["metadata"] = {key: given[key] for key in metadata.values() if key in given}
    if kind == "event" and isinstance(value.get("data"), dict):
        fields = next(
            (fields for name, fields in EVENT_OBJECTS.items() if str(value.get("type", "")).startswith(name)),
            {},
        )
        body["data"] = {
            name: _pruned(part, fields)
            for name in ("object", "previous_attributes")
            if isinstance(part := value["data"].get(name), dict)
        }
    return body


def _pruned(value: Any, fields: Any) -> Any:
    """What of a value is read: fields that are named, of objects and of lists of objects."""
    if isinstance(fields, Many):
        inside = value.get("data") if isinstance(value, dict) else value
        if not isinstance(inside, list):
            return None if inside is None else []
        return [_pruned(one, dict(fields)) for one in inside]
    if fields == READ:
        if isinstance(value, list):
            return [one for one in value if not isinstance(one, dict | list)]
        return None if isinstance(value, dict) else value
    if not isinstance(value, dict):
        return None if isinstance(value, list) else value
    kept = {}
    for name, part in fields.items():
        if name in value:
            inner = value[name]
            is_plain = inner is None or (part is READ and not isinstance(inner, dict | list))
            kept[name] = inner if is_plain else _pruned(inner, part)
    return kept


def _values(path: Path) -> Iterator[dict[str, Any] | Unreadable]:
    if not path.is_file():
        raise SourceError(f"{path} is not there.")
    match path.suffix.lower():
        case ".jsonl" | ".ndjson":
            return _json_lines(path)
        case ".json":
            return _json_whole(path)
        case ".csv":
            return _csv_rows(path)
        case ".parquet":
            return _parquet_rows(path)
        case other:
            raise SourceError(f"{path}: files ending in {other} are not read; use {', '.join(SUFFIXES)}.")


def _json_lines(path: Path) -> Iterator[dict[str, Any] | Unreadable]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines):
            if number == 0:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            try:
                value = _parsed(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                yield Unreadable("bad_encoding", f"{error.reason} at byte {error.start + 1}")
            except (ValueError, RecursionError) as error:
                yield Unreadable("bad_row", _told(error))
            else:
                yield from _objects(value)


def _json_whole(path: Path) -> Iterator[dict[str, Any] | Unreadable]:
    try:
        value = _parsed(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"{path} is no valid JSON: {_told(error)}. A file with one object a line must end in .jsonl."
        ) from error
    return _objects(value)


def _told(error: Exception) -> str:
    """What is wrong with a text, without the text."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return type(error).__name__


def _objects(value: Any) -> Iterator[dict[str, Any] | Unreadable]:
    """The object that a value is, or those of the list or list page that it is."""
    if isinstance(value, dict) and isinstance(value.get("data"), list) and value.get("object") != "event":
        value = value["data"]
    for one in value if isinstance(value, list) else [value]:
        yield one if isinstance(one, dict) else Unreadable("bad_row", "no JSON object")


def _parsed(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_constant=_no_number)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _csv_rows(path: Path) -> Iterator[dict[str, Any] | Unreadable]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8: {error.reason}. Save the file as UTF-8.") from error
    table = csv.reader(io.StringIO(text, newline=""))
    header = [name.strip() for name in next(table, [])]
    if not any(header) or len(set(header)) != len(header):
        raise SourceError(
            f"{path}: every column needs a name of its own; the header is: {', '.join(header)}."
        )
    for row in table:
        if not row:
            continue
        if len(row) != len(header):
            yield Unreadable("bad_row", f"{len(row)} fields, the header has {len(header)}")
        else:
            yield from _nested(dict(zip(header, row, strict=True)))


def _parquet_rows(path: Path) -> Iterator[dict[str, Any] | Unreadable]:
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(f"{path} can't be read as Parquet: {error}. Export it again.") from error
    for row in frame.iter_rows(named=True):
        yield from _nested(row)


def _nested(row: Mapping[str, Any]) -> Iterator[dict[str, Any] | Unreadable]:
    """A row of a table as an object: `a.b` is field b of a, a cell that holds JSON is what it holds."""
    result: dict[str, Any] = {}
    for column, cell in row.items():
        try:
            value = _cell(cell)
        except (ValueError, RecursionError) as error:
            yield Unreadable("bad_row", f"column {column}: {_told(error)}")
            return
        if value is None:
            continue
        name = TABLE_NAMES.get(column, column)
        parts = name.split(".")
        place = result
        for part in parts[:-1]:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                inner = place[part] = {"id": inner}
            place = inner
        if isinstance(place.get(parts[-1]), dict) and not isinstance(value, dict):
            place[parts[-1]]["id"] = value
        else:
            place[parts[-1]] = value
        reference = column.removesuffix("_id")
        if reference != column and reference not in row:
            result.setdefault(reference, value)
    yield result


def _cell(cell: Any) -> Any:
    if isinstance(cell, str):
        text = cell.strip()
        if not text:
            return None
        return _parsed(text) if text[0] in "{[" else text
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    if isinstance(cell, float):
        return Decimal(repr(cell))
    if isinstance(cell, dict):
        return {name: _cell(part) for name, part in cell.items()}
    return [_cell(part) for part in cell] if isinstance(cell, list) else cell
