"""Surfaces that know nothing of each other call the same thing by the same word."""

from __future__ import annotations

from pathlib import Path

import pytest
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("english", "arabic"), [("add-on", "ملحق")])
def test_a_thing_has_one_arabic_word_in_portal_admin_documents_and_dashboard(
    english: str, arabic: str
) -> None:
    said = {}
    for path in ROOT.glob("*/**/i18n/ar/LC_MESSAGES/*.po"):
        with path.open("rb") as file:
            said |= {one.id: one.string for one in read_po(file, locale="ar") if isinstance(one.id, str)}
    named = {sentence: words for sentence, words in said.items() if english in sentence.lower()}
    assert len(named) > 5
    assert [words for words in named.values() if arabic not in words] == []
