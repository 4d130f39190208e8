"""Languages of the dashboard: English is the source text, every other language a gettext catalogue.

A catalogue is a .po file in `<language>/LC_MESSAGES/dashboard.po`, read as it is when the process starts;
there is nothing to compile. What is missing in a catalogue shows in English, and a test fails on it.
"""

from __future__ import annotations

import gettext
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

FOLDER = Path(__file__).parent
DOMAIN = "dashboard"
SOURCE_LANGUAGE = "en"
# Each language is named in itself, so that a reader finds it without knowing the one on screen.
LANGUAGES = {"en": "English", "ar": "العربية"}
RIGHT_TO_LEFT = frozenset({"ar"})


@dataclass(frozen=True)
class Text:
    """The words of one language: `gettext` for a sentence, `ngettext` where a number decides its form."""

    language: str
    translations: gettext.NullTranslations
    written: Callable[[str], str] = str  # how the digits of a sentence are written

    def gettext(self, message: str) -> str:
        return self.written(self.translations.gettext(message))

    def ngettext(self, one: str, many: str, number: int) -> str:
        return self.written(self.translations.ngettext(one, many, number))

    def whole(self, phrase: str) -> str:
        """A phrase that keeps its reader's direction wherever it stands, as beside the arrow of a change."""
        return f"\u2067{phrase}\u2069" if self.is_right_to_left else phrase

    @property
    def is_right_to_left(self) -> bool:
        return self.language in RIGHT_TO_LEFT

    @property
    def direction(self) -> str:
        return "rtl" if self.is_right_to_left else "ltr"


def catalogue(language: str) -> Path:
    """Where a language's catalogue lies."""
    return FOLDER / language / "LC_MESSAGES" / f"{DOMAIN}.po"


@cache
def text(language: str) -> Text:
    """The words of `language`; of the source language when it is unknown."""
    if language not in LANGUAGES or language == SOURCE_LANGUAGE:
        return Text(SOURCE_LANGUAGE, gettext.NullTranslations())
    with catalogue(language).open("rb") as file:
        messages = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    return Text(language, gettext.GNUTranslations(compiled))
