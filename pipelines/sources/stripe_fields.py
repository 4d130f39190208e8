"""What the fields of an object of a Stripe export mean: ids, instants, whole amounts, exact decimals, words.

A value that breaks a rule raises `Refused` with the reason and the field; the object is then set aside whole.
Amounts are whole minor units of their currency, as Stripe writes them, also where it has no decimals.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from pipelines.sources.columns import LINE_LIMIT, MAX_SCALE

Body = Mapping[str, Any]
INTERVALS = ("day", "week", "month", "year")
FIRST_YEAR, LAST_YEAR = 1970, 9998


class Refused(Exception):
    """An object that breaks a rule: the reason code and the field at fault."""

    def __init__(self, reason: str, field: str) -> None:
        super().__init__(f"{reason} ({field})")
        self.reason = reason
        self.field = field


@dataclass(frozen=True)
class Reader:
    """What the meaning of values depends on: the zone in which a moment has its day, the currencies there
    are, and the moment after which nothing can have been recorded."""

    zone: ZoneInfo
    exponents: Mapping[str, int]
    built_at: datetime
    read_before: dict[str, Any] = field(default_factory=dict, compare=False)
    """Values that many objects hold, such as a price inside each line, by their text."""

    def day(self, moment: datetime) -> date:
        return moment.astimezone(self.zone).date()

    def currency(self, body: Body, field: str = "currency") -> str:
        value = body.get(field)
        code = value.strip().upper() if isinstance(value, str) else ""
        if code not in self.exponents:
            raise Refused("unknown_currency", field)
        return code

    def created(self, body: Body, field: str = "created") -> datetime:
        """When the object came to be; the future is no such time."""
        moment = instant(body, field)
        if moment is None:
            raise Refused("bad_date", field)
        if moment > self.built_at:
            raise Refused("future_recorded_at", field)
        return moment

    def optional_day(self, body: Body, field: str, within: str = "") -> date | None:
        moment = instant(body, field, within)
        return None if moment is None else self.day(moment)


def part(body: Body, field: str) -> Body:
    """An object inside an object; empty where there is none, or only its id."""
    value = body.get(field)
    return value if isinstance(value, dict) else {}


def parts(body: Body, field: str) -> Sequence[Any]:
    value = body.get(field)
    return value if isinstance(value, list) else ()


def key(body: Body, field: str = "id") -> str:
    """An id that must be there."""
    value = reference(body, field)
    if value is None:
        raise Refused("missing_key", field)
    return value


def reference(body: Body, field: str) -> str | None:
    """The id that a field names, also where it holds the object itself."""
    value = body.get(field)
    if isinstance(value, dict):
        value = value.get("id")
    if isinstance(value, str) and value.strip():
        return value.strip()
    return str(value) if type(value) is int else None


def word(body: Body, field: str, allowed: Collection[str], within: str = "") -> str | None:
    value = body.get(field)
    if value is None:
        return None
    if not isinstance(value, str) or value not in allowed:
        raise Refused("unknown_value", within + field)
    return value


def text(body: Body, field: str) -> str | None:
    value = body.get(field)
    return str(value) if isinstance(value, str | int) and str(value).strip() else None


def flag(body: Body, field: str) -> bool:
    value = body.get(field)
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if value is not None and not isinstance(value, bool):
        raise Refused("bad_flag", field)
    return bool(value)


def instant(body: Body, field: str, within: str = "") -> datetime | None:
    """A moment: seconds since 1970, or ISO 8601 text; without a zone it is UTC."""
    value = body.get(field)
    if value is None:
        return None
    try:
        if isinstance(value, str) and not value.strip().lstrip("-").isdigit():
            moment = datetime.fromisoformat(value.strip().replace(" UTC", "+00:00"))
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        elif isinstance(value, str | int) and not isinstance(value, bool):
            moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=int(value))
        else:
            raise Refused("bad_date", within + field)
    except (ValueError, OverflowError) as error:
        raise Refused("bad_date", within + field) from error
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise Refused("bad_date", within + field)
    return moment


def decimal(body: Body, field: str, within: str = "") -> Decimal | None:
    """An exact decimal number of at most 18 digits and 12 decimals; text or a JSON number."""
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise Refused("bad_amount", within + field)
    try:
        number = Decimal(value.strip() if isinstance(value, str) else value)
    except (InvalidOperation, ValueError) as error:
        raise Refused("bad_amount", within + field) from error
    if not number.is_finite():
        raise Refused("bad_amount", within + field)
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    scale = max(0, -exponent) - _zeros(digits, max(0, -exponent))
    if number and number.adjusted() >= 18:
        raise Refused("too_large", within + field)
    if scale > MAX_SCALE:
        raise Refused("bad_amount", within + field)
    return number


def _zeros(digits: tuple[int, ...], decimals: int) -> int:
    """How many of the decimals at the end are zeros."""
    count = 0
    while count < decimals and (count >= len(digits) or digits[len(digits) - 1 - count] == 0):
        count += 1
    return count


def whole(body: Body, field: str, within: str = "") -> int | None:
    """A whole number of minor units, within the bounds of a posted amount."""
    number = decimal(body, field, within)
    if number is None:
        return None
    if number != number.to_integral_value():
        raise Refused("bad_amount", within + field)
    if abs(number) > LINE_LIMIT:
        raise Refused("too_large", within + field)
    return int(number)


def amount(body: Body, field: str, *, is_signed: bool = False, within: str = "") -> int:
    """A whole number that must be there, and not below zero unless it is signed."""
    number = whole(body, field, within)
    if number is None:
        raise Refused("bad_amount", within + field)
    if number < 0 and not is_signed:
        raise Refused("negative_amount", within + field)
    return number


def posted(number: Fraction) -> int:
    """The number as a whole one, halves away from zero: rounded once."""
    size = abs(number)
    whole_size = (2 * size.numerator + size.denominator) // (2 * size.denominator)
    return whole_size if number >= 0 else -whole_size


def spread(total: int, weights: Sequence[int]) -> list[int]:
    """Parts of a total by weight, taken from running totals, so that they add up to it."""
    whole_weight = sum(weights)
    if whole_weight == 0:
        return [total if place == 0 else 0 for place in range(len(weights))]
    shares, running, given = [], 0, 0
    for weight in weights:
        running += weight
        up_to = posted(Fraction(total * running, whole_weight))
        shares.append(up_to - given)
        given = up_to
    return shares


def known_interval(body: Body, within: str) -> tuple[str, int]:
    """The interval of a recurring price and its count."""
    interval, count = body.get("interval"), body.get("interval_count", 1)
    if interval not in INTERVALS:
        raise Refused("unknown_interval", within + "interval")
    number = decimal({"count": count}, "count") if not isinstance(count, bool) and count is not None else None
    if number is None or number != number.to_integral_value() or not 1 <= number <= 1200:
        raise Refused("unknown_interval", within + "interval_count")
    return str(interval), int(number)
