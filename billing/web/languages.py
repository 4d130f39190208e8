"""Languages of the pages: English is the source text, every other language a gettext catalogue.

A package with pages has its own catalogue, `i18n/<language>/LC_MESSAGES/<package>.po`, read as it is when it
is first needed; what it lacks is looked up in that of `web`, which all pages share. What is missing there too
shows in English, and a test fails on it.
"""

from __future__ import annotations

import gettext
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from billing.core.calendar import zone_of
from billing.core.money import Scaled
from billing.documents.formats import Formats, isolated, own

BILLING = Path(__file__).resolve().parents[1]
SOURCE_LANGUAGE = "en"
SHARED = "web"
# Each language is named in itself, so that a reader finds it without knowing the one on screen.
LANGUAGES = {"en": "English", "ar": "العربية"}
RIGHT_TO_LEFT = frozenset({"ar"})
MISSING = "–"


@dataclass(frozen=True)
class Words:
    """The words and formats of one language for the pages of one package."""

    language: str
    translations: gettext.NullTranslations

    def gettext(self, message: str) -> str:
        """The sentence in this language. Of no text there is none: a catalogue keeps its header under it."""
        return self.translations.gettext(message) if message else ""

    def ngettext(self, one: str, many: str, number: int) -> str:
        return self.translations.ngettext(one, many, number)

    @property
    def direction(self) -> str:
        return "rtl" if self.language in RIGHT_TO_LEFT else "ltr"

    def _formats(self, currency: str) -> Formats:
        return Formats(_locale(self.language), currency)

    def money(self, minor: int | None, currency: str) -> str:
        """Minor units with their currency, in their own order within any sentence."""
        return MISSING if minor is None else self._formats(currency).money(minor)

    def decimal(self, value: Scaled | int) -> str:
        exact = Scaled(value, 0) if isinstance(value, int) else value
        return self._formats("EUR").decimal(exact)

    def price(self, value: Scaled, currency: str) -> str:
        """A price in major units, with its own decimals but at least those of its currency."""
        return self._formats(currency).price(value)

    def percent(self, share: Scaled) -> str:
        """A share, of which 1 is 100 %."""
        return self._formats("EUR").percent(share)

    def day(self, value: date | None) -> str:
        return MISSING if value is None else self._formats("EUR").day(value)

    def period(self, start: date, end: date) -> str:
        """The days of a half-open period, the last one included."""
        return self._formats("EUR").period(start, end)

    def moment(self, at: datetime, time_zone: str) -> str:
        """An instant to the minute, as a clock in that zone shows it."""
        local = at.astimezone(zone_of(time_zone))
        return f"{self.day(local.date())} {isolated(local.strftime('%H:%M'))}"

    def country(self, code: str) -> str:
        return self._formats("EUR").country(code)

    def own(self, text: str) -> str:
        """Text from data in its own direction, wherever it stands."""
        return own(text)


@cache
def _locale(language: str) -> Locale:
    return Locale.parse(language)


def catalogue(package: str, language: str) -> Path:
    """Where the catalogue of a package lies."""
    return BILLING / package / "i18n" / language / "LC_MESSAGES" / f"{package}.po"


@cache
def words(language: str, package: str = SHARED) -> Words:
    """The words of a language for a package; of the source language where it is unknown."""
    if language not in LANGUAGES or language == SOURCE_LANGUAGE:
        return Words(SOURCE_LANGUAGE, gettext.NullTranslations())
    found = _translations(package, language)
    if package != SHARED:
        found.add_fallback(_translations(SHARED, language))
    return Words(language, found)


def _translations(package: str, language: str) -> gettext.NullTranslations:
    path = catalogue(package, language)
    if not path.exists():
        return gettext.NullTranslations()
    with path.open("rb") as file:
        messages = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def preferred(*wishes: str | None, accepted: str = "") -> str:
    """The first wish that is a language of ours, else the first such of a browser's Accept-Language, else
    English. A locale such as `ar-KW` is its language."""
    weighted = [part.partition(";")[0] for part in accepted[:200].split(",")]
    for wish in (*wishes, *weighted):
        language = (wish or "").strip().replace("_", "-").partition("-")[0].lower()
        if language in LANGUAGES:
            return language
    return SOURCE_LANGUAGE
