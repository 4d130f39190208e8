"""The form of billing cases: reading what is given, and comparing every expected value with an answer.

A reader names each key it takes; what is left over is not understood: the case is unsupported, not guessed.
Decimal texts are exact fractions here, never binary floats.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any, Literal, cast

from billing.core.calendar import DayCount, local_date, midnight
from billing.core.money import (
    RoundingMode,
    Scaled,
    currency_exponent,
    format_scaled,
    parse_decimal,
    parse_money,
    post,
    ten_to,
)
from billing.core.policy import Policy, policy_of

FORM = "billing-case/1"


class Unsupported(Exception):
    """What the engine, or this runner, cannot be configured to do; the message says what is missing."""


class Mismatch(Exception):
    """An answer that differs from the expected one."""

    def __init__(self, path: str, expected: object, got: object) -> None:
        super().__init__(f"{path}: expected {expected!r}, got {got!r}")
        self.path, self.expected, self.got = path, expected, got


class Given:
    """A JSON object whose keys are taken one by one; `done` refuses those left."""

    def __init__(self, values: Any, path: str) -> None:
        if not isinstance(values, Mapping):
            raise Unsupported(f"{path} is no object")
        self._values = dict(values)
        self.path = path

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def keys(self) -> set[str]:
        return set(self._values)

    def take(self, key: str, default: Any = None) -> Any:
        return self._values.pop(key, default)

    def peek(self, key: str) -> Any:
        return self._values.get(key)

    def need(self, key: str) -> Any:
        if key not in self._values:
            raise Unsupported(f"{self.path} without {key!r}")
        return self._values.pop(key)

    def inner(self, key: str) -> "Given":
        return Given(self.need(key), f"{self.path}.{key}")

    def each(self, key: str) -> "list[Given]":
        values = self.take(key, [])
        if not isinstance(values, list):
            raise Unsupported(f"{self.path}.{key} is no list")
        return [Given(value, f"{self.path}.{key}[{i}]") for i, value in enumerate(values)]

    def drop(self, *keys: str) -> None:
        """Keys for people only."""
        for key in keys:
            self._values.pop(key, None)

    def done(self) -> None:
        if self._values:
            raise Unsupported(f"{self.path}: unknown {', '.join(repr(key) for key in sorted(self._values))}")


# Exact values.


def exact(text: object) -> Fraction:
    """A decimal text, a whole number or a fraction "a/b"."""
    if isinstance(text, str) and "/" in text:
        num, _, den = text.partition("/")
        return exact(num) / exact(den)
    value = parse_decimal(text, scale=40)
    return Fraction(value.mantissa, 10**value.scale)


@dataclass(frozen=True)
class Money:
    """The currency of a case: major units in and out, minor units within."""

    code: str
    exponent: int
    mode: RoundingMode

    def minor(self, text: object) -> int:
        return parse_money(text, self.code)

    def major(self, minor: int) -> Fraction:
        return Fraction(minor, 10**self.exponent)

    def post(self, amount: Fraction) -> int:
        """An exact amount in major units as posted minor units."""
        return post(amount.numerator * ten_to(self.exponent), amount.denominator, self.mode)

    def posted(self, amount: Fraction) -> Fraction:
        return self.major(self.post(amount))


@dataclass(frozen=True)
class Rounding:
    """The convention's rounding of answers: none (`exact`), to the currency, or to a number of decimals."""

    kind: Literal["exact", "posted", "decimals"]
    mode: RoundingMode
    decimals: int = 0

    def amount(self, value: Fraction, money: Money) -> Fraction:
        if self.kind == "exact":
            return value
        return money.posted(value) if self.kind == "posted" else self.to_decimals(value)

    def factor(self, value: Fraction) -> Fraction:
        return self.to_decimals(value) if self.kind == "decimals" else value

    def to_decimals(self, value: Fraction) -> Fraction:
        unit = 10**self.decimals
        return Fraction(post(value.numerator * unit, value.denominator, self.mode), unit)


def rounding_of(text: object) -> Rounding:
    name, _, decimals = str(text).partition(":")
    if name == "exact" and not decimals:
        return Rounding("exact", "half_up")
    if name not in ("half_up", "half_even", "up", "down") or (decimals and not decimals.isdecimal()):
        raise Unsupported(f"rounding {text!r}")
    mode = cast(RoundingMode, name)
    return Rounding("decimals", mode, int(decimals)) if decimals else Rounding("posted", mode)


# Conventions.

_PRORATIONS: Mapping[str, Mapping[str, str]] = {
    "second": {"day_count": "second"},
    "day_open": {"day_count": "actual_day"},
    "day_after_change": {"day_count": "actual_day", "change_day": "used", "cancel_day": "used"},
    "fixed_30": {"day_count": "fixed_30"},
    "actual_over_30": {"day_count": "actual_over_30"},
    "strict_30_over_360": {"day_count": "strict_30_over_360"},
    "none": {"day_count": "none"},
}


@dataclass(frozen=True)
class Convention:
    """A case's convention as the engine's policy, and how answers are rounded before they are compared."""

    policy: Policy
    rounding: Rounding
    named: frozenset[str]

    @property
    def day_count(self) -> DayCount:
        return cast(DayCount, self.policy.day_count)

    def only(self, *settings: str) -> None:
        """Refuses a setting that is not at its default and not among those a kind of case obeys."""
        default = Policy()
        for name in sorted(self.named - set(settings)):
            if getattr(self.policy, name) != getattr(default, name):
                raise Unsupported(f"setting {name} = {getattr(self.policy, name)!r} here")


def convention_of(values: Any) -> Convention:
    given = Given(values, "convention")
    rounding = rounding_of(given.take("rounding", "half_up"))
    settings: dict[str, object] = {"rounding": rounding.mode}
    if "proration" in given:
        name = str(given.take("proration"))
        if name not in _PRORATIONS:
            raise Unsupported(f"proration {name!r}")
        settings |= _PRORATIONS[name]
    settings |= {key: given.take(key) for key in sorted(given.keys())}
    return Convention(policy_of(settings), rounding, frozenset(settings) - {"rounding"})


def money_of(values: Any, mode: RoundingMode) -> Money:
    given = Given(values, "currency")
    code, exponent = str(given.need("code")), given.need("exponent")
    given.done()
    if currency_exponent(code) != exponent:
        raise Unsupported(f"{code} with exponent {exponent}")
    return Money(code, exponent, mode)


# Dates.


def is_instant(text: object) -> bool:
    return isinstance(text, str) and "T" in text


def instant_of(text: object, zone: str = "UTC") -> datetime:
    """An instant, or the first moment of a date in the zone."""
    if not isinstance(text, str):
        raise Unsupported(f"{text!r} is no date")
    if is_instant(text):
        if not text.endswith("Z"):
            raise Unsupported(f"instant {text!r} without Z")
        return datetime.fromisoformat(text).astimezone(UTC)
    return midnight(day_of(text), zone)


def day_of(text: object, zone: str = "UTC") -> date:
    """A date, or the date an instant has in the zone."""
    if not isinstance(text, str):
        raise Unsupported(f"{text!r} is no date")
    if is_instant(text):
        return local_date(instant_of(text), zone)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Unsupported(f"{text!r} is no date") from None


# Comparing.

_FOR_PEOPLE = frozenset({"label", "state", "note", "reason"})


def compare(expected: Any, got: Any, path: str = "expect") -> None:
    """Every leaf of `expected` against the answer. Raises Mismatch, or Unsupported for a key without answer.

    Lists compare in order and length; texts for people are left aside; numbers and dates compare by value.
    """
    if isinstance(expected, Mapping):
        for key, value in expected.items():
            if key in _FOR_PEOPLE:
                continue
            if not isinstance(got, Mapping) or key not in got:
                raise Unsupported(f"{path}.{key} is not answered")
            compare(value, got[key], f"{path}.{key}")
    elif isinstance(expected, list):
        if not isinstance(got, Sequence) or isinstance(got, str):
            raise Unsupported(f"{path} is not answered as a list")
        if len(expected) != len(got):
            raise Mismatch(path, f"{len(expected)} entries", f"{len(got)}: {shown(got)}")
        for i, value in enumerate(expected):
            compare(value, got[i], f"{path}[{i}]")
    elif not same(expected, got):
        raise Mismatch(path, expected, shown(got))


def same(expected: Any, got: Any) -> bool:
    if isinstance(expected, bool) or expected is None:
        return expected is got
    if isinstance(got, datetime):
        return is_instant(expected) and instant_of(expected) == got
    if isinstance(got, date):
        return not is_instant(expected) and day_of(expected) == got
    if isinstance(got, int | Fraction) and not isinstance(got, bool):
        return exact(expected) == got
    return bool(expected == got)


def shown(got: Any) -> Any:
    """An answer as JSON: fractions as decimals where they end, else as a/b."""
    if isinstance(got, Fraction):
        for scale in range(16):
            if (got * 10**scale).denominator == 1:
                return format_scaled(Scaled(int(got * 10**scale), scale))
        return f"{got.numerator}/{got.denominator}"
    if isinstance(got, datetime):
        return got.isoformat().replace("+00:00", "Z")
    if isinstance(got, date):
        return got.isoformat()
    if isinstance(got, Mapping):
        return {key: shown(value) for key, value in got.items()}
    if isinstance(got, list | tuple):
        return [shown(value) for value in got]
    return got
