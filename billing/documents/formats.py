"""How numbers, money and days look in a document, and how text from data stands in it. As the dashboard shows
them: digits of the West in every language, and each value in an isolate, so that it keeps its own order."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_interval
from babel.numbers import format_currency, format_decimal, format_percent, get_currency_symbol

from billing.core.money import Scaled, currency_exponent

LEFT_TO_RIGHT, RIGHT_TO_LEFT, OWN_DIRECTION, END = "\u2066", "\u2067", "\u2068", "\u2069"
_MARKS = str.maketrans("", "", "\u200e\u200f\u061c")
# What would reorder the text around it: embeddings, overrides, isolates and their ends.
_REORDERING = {ord(sign): None for sign in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}
MINUS = "−"


@dataclass(frozen=True, slots=True)
class Formats:
    """Formats of one locale and the currency of a document."""

    locale: Locale
    currency: str

    @property
    def _decimals(self) -> int:
        return currency_exponent(self.currency)

    def money(self, minor: int) -> str:
        """An amount with its currency."""
        symbol = get_currency_symbol(self.currency, locale=self.locale).translate(_MARKS)
        if unicodedata.bidirectional(symbol[0]) == "AL":
            return f"{RIGHT_TO_LEFT}{self.amount(minor)}\N{NO-BREAK SPACE}{symbol}{END}"
        pattern = self.locale.currency_formats["standard"].pattern.split(";")[0]
        pattern = pattern.replace("0.00", "0" + self._fraction(self._decimals))
        if symbol.isalpha():
            pattern = pattern.replace("¤#", "¤\N{NO-BREAK SPACE}#")
        size = abs(Decimal(minor)).scaleb(-self._decimals)
        shown = format_currency(
            size, self.currency, format=pattern, locale=self.locale, currency_digits=False
        )
        return isolated((MINUS if minor < 0 else "") + shown.translate(_MARKS))

    def amount(self, minor: int) -> str:
        """An amount with all its decimals, in a column whose currency is known."""
        return self.decimal(Scaled(minor, self._decimals), self._decimals)

    def price(self, price: Scaled) -> str:
        """A price with its own decimals, but at least those of the currency."""
        return self.decimal(price, self._decimals)

    def decimal(self, value: Scaled, least_decimals: int = 0) -> str:
        """A number with no more decimals than it has, but at least so many."""
        exact = Decimal(value.mantissa).scaleb(-value.scale)
        decimals = (
            max(least_decimals, -int(exact.normalize().as_tuple().exponent)) if exact else least_decimals
        )
        pattern = "#,##0" + self._fraction(decimals)
        shown = format_decimal(abs(exact), pattern, locale=self.locale, decimal_quantization=False)
        return isolated((MINUS if exact < 0 else "") + shown.translate(_MARKS))

    def percent(self, share: Scaled) -> str:
        """A share (1 is 100 %) with the decimals it has."""
        exact = Decimal(share.mantissa).scaleb(2 - share.scale)
        decimals = max(0, -int(exact.normalize().as_tuple().exponent)) if exact else 0
        pattern = "#,##0" + self._fraction(decimals) + "%"
        shown = format_percent(exact.scaleb(-2), pattern, locale=self.locale, decimal_quantization=False)
        return isolated(shown.translate(_MARKS))

    def rate(self, ppm: int) -> str:
        return self.percent(Scaled(ppm, 6))

    @staticmethod
    def _fraction(decimals: int) -> str:
        return "." + "0" * decimals if decimals else ""

    def day(self, value: date) -> str:
        return str(format_date(value, "long", locale=self.locale)).translate(_MARKS)

    def period(self, start: date, end: date) -> str:
        """The days of a half-open period, the last one included."""
        last = max(start, end - timedelta(days=1))
        return str(format_interval(start, last, "yMMMd", locale=self.locale)).translate(_MARKS)

    def country(self, code: str) -> str:
        return str(self.locale.territories.get(code, code))


def formats_of(locale: str, currency: str, *, language: str) -> Formats:
    """The formats of a locale, if it is one of the language of the words; else those of that language."""
    try:
        found = Locale.parse(locale.replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        return Formats(Locale.parse(language), currency)
    return Formats(found if found.language == language else Locale.parse(language), currency)


def isolated(number: str) -> str:
    """A number in its own order inside any sentence."""
    return LEFT_TO_RIGHT + number + END


def own(text: str) -> str:
    """Text from data, as it is, in its own direction: it neither reorders nor is reordered by what stands
    around it, and control characters of it print as blanks."""
    kept = text.translate(_REORDERING)
    kept = "".join(" " if unicodedata.category(sign) in ("Cc", "Zl", "Zp") else sign for sign in kept)
    return OWN_DIRECTION + " ".join(kept.split()) + END
