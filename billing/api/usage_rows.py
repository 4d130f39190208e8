"""Rows of usage as a body brings them, JSON array or lines of JSON, made a frame for the bulk import.

What no frame can tell any more is refused here, row by row: a line that cannot be read, a member nobody knows
or that comes twice, a number where text belongs, and above all a quantity that was written as a binary float,
which shows in its token alone. The rest is refused by the import.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import polars as pl

from billing.jobs.import_usage import OPTIONAL, REQUIRED
from billing.web.problems import Problem, title_of

MOST_ROWS = 50_000
MOST_BYTES = 10_000_000
_NAMES = (*REQUIRED, *OPTIONAL)
_LONGEST: Mapping[str, int] = {"dimension": 500, "value": 100, "occurred_at": 40, "occurred_on": 10}
_ID = 128
"""Characters of a text that is not among `_LONGEST`, at most."""
_LONGEST_KEPT = 5_000
_SIGNS = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class SentRows:
    """events: sound rows, all as text; places: which row of the body each is. refused: `row`, `source`,
    `event_id`, `code`, `detail`, `payload` (the row as JSON). count: rows of the body."""

    events: pl.DataFrame
    places: pl.Series
    refused: pl.DataFrame
    count: int


class _Float(str):
    """The token of a number with a fraction or an exponent."""


class _Whole(str):
    """The token of a whole number."""


class _Twice(dict[str, Any]):
    """An object that names a member twice."""


class _Unreadable(str):
    """A line that is no JSON."""


def sent_rows(body: bytes, *, are_lines: bool) -> SentRows:
    """The rows of a body. Raises Problem `bad_json` for one that is no list of rows, `too_large`."""
    if len(body) > MOST_BYTES:
        raise Problem("too_large", f"at most {MOST_BYTES:,} bytes")
    try:
        text = body.decode()
        found = _of_lines(text) if are_lines else _decoded(text)
    except (ValueError, RecursionError) as error:
        raise Problem("bad_json", str(error)[:200]) from None
    if not isinstance(found, list):
        raise Problem("bad_json", "send a JSON array of events, or one event a line as application/x-ndjson")
    if len(found) > MOST_ROWS:
        raise Problem("too_large", f"at most {MOST_ROWS:,} events")
    return _framed(found, has_escapes="\\" in text)


def _decoded(text: str) -> Any:
    return json.loads(
        text,
        parse_float=_Float,
        parse_int=_Whole,
        parse_constant=_no_number,
        object_pairs_hook=_object,
    )


def _no_number(token: str) -> Any:
    raise ValueError(f"{token} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Twice(found)


def _of_lines(text: str) -> list[Any]:
    """A value a line, read at one go where each line is one: between marks that no line can know, so that
    none makes two of itself or runs on in the next."""
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    mark = token_hex(8)
    try:
        found = _decoded("[" + f',"{mark}",'.join(lines) + "]")
        if len(found) == max(2 * len(lines) - 1, 0) and found[1::2].count(mark) == len(found) // 2:
            return list(found[::2])
    except (ValueError, RecursionError):
        pass
    return [_of_line(line) for line in lines]


def _of_line(line: str) -> Any:
    try:
        return _decoded(line)
    except (ValueError, RecursionError):
        return _Unreadable(line[:2_000])


def _framed(found: list[Any], *, has_escapes: bool) -> SentRows:
    faults: dict[int, tuple[str, str]] = {}
    rows = found
    if set(map(type, found)) - {dict}:
        rows = [_row(place, one, faults) for place, one in enumerate(found)]
    if any(set(names) - set(_NAMES) for names in set(map(tuple, rows))):
        for place, row in enumerate(rows):
            if strange := sorted(set(row) - set(_NAMES)):
                faults.setdefault(place, ("unknown_setting", f"there is no member {strange[0][:100]!r}"))
    columns = {name: [row.get(name) for row in rows] for name in _NAMES}
    for name, values in columns.items():
        columns[name] = _texts(name, values, faults, has_escapes=has_escapes)
    used = {
        name: pl.Series(name, values, dtype=pl.String)
        for name, values in columns.items()
        if name in REQUIRED or name == "occurred_at" or any(value is not None for value in values)
    }
    frame = pl.DataFrame(used).with_row_index("row")
    _check_lengths(frame, faults)
    bad = sorted(faults)
    sound = frame.filter(~pl.col("row").is_in(bad)) if bad else frame
    refused = pl.DataFrame(
        {
            "row": bad,
            "source": [columns["source"][place] for place in bad],
            "event_id": [columns["event_id"][place] for place in bad],
            "code": [faults[place][0] for place in bad],
            "detail": [faults[place][1] or title_of(faults[place][0]) for place in bad],
            "payload": [_as_sent(found[place]) for place in bad],
        },
        schema={"row": pl.Int64, **dict.fromkeys(_OF_REFUSED, pl.String)},
    )
    return SentRows(sound.drop("row"), sound["row"].cast(pl.Int64), refused, len(found))


_OF_REFUSED = ("source", "event_id", "code", "detail", "payload")


def _row(place: int, one: object, faults: dict[int, tuple[str, str]]) -> Mapping[str, Any]:
    """The members of a row; none where it is no object, or not one object."""
    if type(one) is dict:
        return one
    if isinstance(one, _Unreadable):
        faults[place] = ("bad_json", "the line is no JSON")
    elif isinstance(one, _Twice):
        faults[place] = ("invalid", "a member comes twice")
    else:
        faults[place] = ("bad_json", "an event is a JSON object")
    return {}


def _texts(
    name: str, values: list[Any], faults: dict[int, tuple[str, str]], *, has_escapes: bool
) -> list[str | None]:
    """A column as text, null where it is refused."""
    kinds = set(map(type, values)) - {str, type(None)}
    if not has_escapes and not kinds:
        return values
    if not has_escapes and name == "value" and kinds == {_Whole}:
        return [value and str(value) for value in values]
    told: Callable[[Any], tuple[str, str] | None] = _fault_of_value if name == "value" else _fault_of_text
    texts: list[str | None] = []
    for place, value in enumerate(values):
        fault = None if value is None else told(value)
        if fault is not None:
            faults.setdefault(place, (fault[0], f"{name}: {fault[1]}" if fault[1] else ""))
        texts.append(None if value is None or fault is not None else str(value))
    return texts


def _fault_of_value(value: object) -> tuple[str, str] | None:
    if isinstance(value, _Float):
        return "float_money", ""
    if not isinstance(value, str):
        return "bad_decimal", ""
    return _fault_of_signs(value)


def _fault_of_text(value: object) -> tuple[str, str] | None:
    if type(value) is not str:
        return "invalid", "send it as text"
    return _fault_of_signs(value)


def _fault_of_signs(text: str) -> tuple[str, str] | None:
    return ("invalid", "control characters are not taken") if _SIGNS.search(text) else None


def _check_lengths(frame: pl.DataFrame, faults: dict[int, tuple[str, str]]) -> None:
    for name in frame.columns[1:]:
        most = _LONGEST.get(name, _ID)
        for place in frame.filter(pl.col(name).str.len_chars() > most)["row"]:
            faults.setdefault(place, ("invalid", f"{name} has at most {most} characters"))


def _as_sent(one: object) -> str:
    """A refused row as JSON; the beginning of it where it is long."""
    text = json.dumps({"line": one} if isinstance(one, _Unreadable) else one)
    return text if len(text) <= _LONGEST_KEPT else json.dumps({"begins": text[:_LONGEST_KEPT]})
