"""How numbers, money and dates look. The one place that divides minor units by a currency's exponent.

Values come as the warehouse holds them: posted money in whole minor units, monthly rates as exact decimals of
minor units, shares in basis points or as exact ratios. Nothing here is added up again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cache, lru_cache
from typing import Literal

from babel import Locale
from babel.dates import format_date, format_datetime, format_skeleton
from babel.numbers import (
    format_compact_decimal,
    format_currency,
    format_decimal,
    format_percent,
    get_currency_symbol,
)

# Isolates keep a number's own left-to-right order inside right-to-left text; the marks Babel adds would not.
FIRST_STRONG = "\u2068"
ISOLATE, END_ISOLATE = "\u2066", "\u2069"
RIGHT_TO_LEFT = "\u2067"
# For words of people, in whatever language they are.
ISOLATE_FIRST_STRONG = "\u2068"
MARKS = str.maketrans("", "", "\u200e\u200f\u061c")
MISSING = "–"
MINUS = "−"
DEFAULT_EXPONENT = 2
LATIN, ARABIC_INDIC = "latn", "arab"
System = Literal["latn", "arab"]
KEPT_AMOUNTS = 20_000
DIGITS = {LATIN: "123", ARABIC_INDIC: "١٢٣"}
DIGITS_CHOICE = frozenset({"ar"})
"""Languages whose readers choose between the digits."""
TO_ARABIC_INDIC = str.maketrans("0123456789%", "٠١٢٣٤٥٦٧٨٩٪")


@dataclass(frozen=True)
class Formatter:
    """Formats for one language. `exponents`: decimals of each currency, from the warehouse's own list.

    `digits` names the numbering system; languages other than those of DIGITS_CHOICE keep the Latin one.
    """

    language: str
    exponents: Mapping[str, int] = field(default_factory=dict)
    digits: str = LATIN

    @property
    def locale(self) -> Locale:
        return _locale(self.language)

    @property
    def system(self) -> System:
        """The numbering system in force."""
        return "arab" if self.digits == ARABIC_INDIC and self.language in DIGITS_CHOICE else "latn"

    def written(self, shown: str) -> str:
        """Ready text, such as a date or a number of a chart, in the digits in force."""
        return shown if self.system == "latn" else shown.translate(TO_ARABIC_INDIC)

    def exponent(self, currency: str) -> int:
        return self.exponents.get(currency, DEFAULT_EXPONENT)

    def major(self, minor: int | Decimal | None, currency: str) -> Decimal | None:
        """Minor units as a decimal of major units; parts of a minor unit are rounded half up."""
        if minor is None:
            return None
        whole = Decimal(minor).quantize(Decimal(1), rounding=ROUND_HALF_UP)
        return whole.scaleb(-self.exponent(currency))

    def size(self, minor: int | Decimal | None, currency: str) -> float:
        """An amount as the length of a bar or the height of a line: major units, only to be drawn."""
        return float(self.major(minor, currency) or 0)

    def money(self, minor: int | Decimal | None, currency: str, *, signed: bool = False) -> str:
        """An amount with its currency and all its decimals; `signed` also shows a plus."""
        value = self.major(minor, currency)
        if value is None:
            return MISSING
        return self._amount(value, currency, self.exponent(currency), signed)

    def money_short(self, minor: int | Decimal | None, currency: str, *, signed: bool = False) -> str:
        """An amount in whole major units, for axes and cells."""
        value = self.major(minor, currency)
        if value is None:
            return MISSING
        return self._amount(value.quantize(Decimal(1), rounding=ROUND_HALF_UP), currency, 0, signed)

    def major_short(self, major: float, currency: str) -> str:
        """A place on an axis, already in major units."""
        return self._amount(_rounded(major, 0), currency, 0, False)

    def _amount(self, value: Decimal, currency: str, decimals: int, signed: bool) -> str:
        shown = _money(abs(value), currency, decimals, self.language, self.system)
        return self._isolated(_sign(value, signed) + self.written(shown))

    def currency_symbol(self, currency: str) -> str:
        return _symbol(currency, self.language)

    def number(self, value: int | Decimal | float | None, decimals: int = 0, *, signed: bool = False) -> str:
        if value is None:
            return MISSING
        exact = _rounded(value, decimals)
        shown = _decimal(abs(exact), decimals, self.language, self.system)
        return self._isolated(_sign(exact, signed) + self.written(shown))

    def size_short(self, value: float) -> str:
        """A place on an axis in few signs, thousands and millions in words: 1.5M, or the same in Arabic."""
        shown = format_compact_decimal(
            value, locale=self.locale, fraction_digits=1, numbering_system=self.system
        )
        return self.written(shown).translate(MARKS)

    def percent(
        self,
        ratio: Decimal | float | int | None,
        decimals: int = 1,
        *,
        signed: bool = False,
        missing: str = MISSING,
    ) -> str:
        """A ratio (1 is 100 %) as a percentage."""
        if ratio is None:
            return missing
        exact = _rounded(ratio, decimals + 2)
        shown = _percent(abs(exact), decimals, self.language, self.system)
        return self._isolated(_sign(exact, signed) + self.written(shown))

    def points(self, ratio: Decimal | float | None, decimals: int = 1) -> str:
        """A difference of two ratios, in percentage points, with its sign and without the unit."""
        return self.number(None if ratio is None else Decimal(str(ratio)) * 100, decimals, signed=True)

    def day(self, value: date | None) -> str:
        return MISSING if value is None else self.written(format_date(value, "long", locale=self.locale))

    def day_short(self, value: date | None) -> str:
        """Year-month-day: for tables, and the same in every language."""
        return MISSING if value is None else self._isolated(self.written(value.isoformat()))

    def month(self, value: date | None) -> str:
        return MISSING if value is None else self.written(_month(value, self.language))

    def quarter(self, value: date | None) -> str:
        return MISSING if value is None else self.written(format_skeleton("yQQQ", value, locale=self.locale))

    def instant(self, value: datetime | None) -> str:
        """An instant in UTC, to the minute."""
        if value is None:
            return MISSING
        day = format_skeleton("yMMMd", value, locale=self.locale)
        time = format_datetime(value, "HH:mm", locale=self.locale)
        return f"{self.written(f'{day} {time}')} {self._isolated('UTC')}"

    def name(self, value: str) -> str:
        """A name from the data: in its own direction inside any sentence."""
        return f"{FIRST_STRONG}{value}{END_ISOLATE}"

    def identifier(self, value: object) -> str:
        """An id, name or code from the data: shown in its own order inside any sentence."""
        return MISSING if value is None else self._isolated(str(value))

    def _isolated(self, shown: str) -> str:
        if self.language == "en":
            return shown
        return ISOLATE + shown.translate(MARKS) + END_ISOLATE


@cache
def _locale(language: str) -> Locale:
    return Locale.parse(language)


@lru_cache(maxsize=1_000)
def _symbol(currency: str, language: str) -> str:
    return str(get_currency_symbol(currency, locale=_locale(language))).translate(MARKS)


@lru_cache(maxsize=KEPT_AMOUNTS)
def _decimal(number: Decimal, decimals: int, language: str, system: System) -> str:
    """A number, not below 0, with so many decimals."""
    pattern = "#,##0" + ("." + "0" * decimals if decimals else "")
    return format_decimal(number, pattern, locale=_locale(language), numbering_system=system)


@lru_cache(maxsize=KEPT_AMOUNTS)
def _percent(ratio: Decimal, decimals: int, language: str, system: System) -> str:
    """A ratio, not below 0, as a percentage with so many decimals."""
    pattern = "#,##0" + ("." + "0" * decimals if decimals else "") + "%"
    return format_percent(ratio, pattern, locale=_locale(language), numbering_system=system)


@lru_cache(maxsize=1_000)
def _month(day: date, language: str) -> str:
    return format_skeleton("yMMM", day, locale=_locale(language))


@lru_cache(maxsize=KEPT_AMOUNTS)
def _money(amount: Decimal, currency: str, decimals: int, language: str, system: System) -> str:
    """An amount, not below 0, with its currency. Pages show the same ones again and again."""
    locale = _locale(language)
    digits = "0." + "0" * decimals if decimals else "0"
    standard: str = locale.currency_formats["standard"].pattern
    pattern = standard.split(";")[0].replace("0.00", digits)
    if _symbol(currency, language).isalpha():
        pattern = pattern.replace("¤#", "¤\N{NO-BREAK SPACE}#")
    shown = format_currency(
        amount, currency, format=pattern, locale=locale, currency_digits=False, numbering_system=system
    )
    symbol = _symbol(currency, language)
    if symbol.endswith("."):  # which would stand before an Arabic abbreviation, not behind it
        return shown.translate(MARKS).replace(symbol, RIGHT_TO_LEFT + symbol + END_ISOLATE)
    return shown


def _sign(value: Decimal, signed: bool) -> str:
    if value < 0:
        return MINUS
    return "+" if signed and value > 0 else ""


def _rounded(value: int | Decimal | float, decimals: int) -> Decimal:
    exact = value if isinstance(value, Decimal) else Decimal(str(value))
    return exact.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
