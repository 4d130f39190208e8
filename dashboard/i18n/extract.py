"""Bring the catalogues in step with the sources: `python -m dashboard.i18n.extract`.

New sentences arrive untranslated, vanished ones leave, and a sentence that was only changed is not guessed.
"""

from __future__ import annotations

from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from dashboard.i18n import DOMAIN, LANGUAGES, SOURCE_LANGUAGE, catalogue

PACKAGE = Path(__file__).resolve().parents[1]


def messages() -> Catalog:
    """Every sentence of the dashboard's sources, with the files it stands in."""
    found = Catalog(project=DOMAIN, fuzzy=False)
    for file_name, _, message, _, context in extract_from_dir(str(PACKAGE), method_map=[("**.py", "python")]):
        found.add(message, locations=[(file_name, 0)], context=context)
    return found


def main() -> None:
    for language in LANGUAGES:
        if language == SOURCE_LANGUAGE:
            continue
        path = catalogue(language)
        path.parent.mkdir(parents=True, exist_ok=True)
        current = Catalog(locale=language, domain=DOMAIN, fuzzy=False)
        if path.exists():
            with path.open("rb") as file:
                current = read_po(file, locale=language)
        current.update(messages(), no_fuzzy_matching=True, update_creation_date=False)
        current.obsolete.clear()
        with path.open("wb") as file:
            write_po(file, current, sort_output=True, width=110, omit_header=False, include_lineno=False)


if __name__ == "__main__":
    main()
