"""Bring the catalogues of pages in step with their sources: `python -m billing.web.extract`.

Sentences stand in the templates and the Python of each package; what the codes of problems
mean, which every page may say, is among the shared ones. New ones arrive untranslated, vanished ones
leave, and a sentence that was only changed is not guessed.
"""

from __future__ import annotations

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from billing.web.languages import BILLING, LANGUAGES, SHARED, SOURCE_LANGUAGE, catalogue
from billing.web.problems import STATUS, title_of

PACKAGES = ("web", "portal", "admin")
_SOURCES = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
_OPTIONS = {"**/templates/**.html": {"trimmed": "true", "silent": "false"}}


def messages(package: str) -> Catalog:
    """Every sentence of a package's sources, with the files it stands in."""
    found = Catalog(project=package, fuzzy=False)
    folder = BILLING / package
    for file_name, _, message, _, context in extract_from_dir(
        str(folder), method_map=_SOURCES, options_map=_OPTIONS
    ):
        found.add(message, locations=[(file_name, 0)], context=context)
    if package == SHARED:
        for code in sorted(STATUS):
            found.add(title_of(code), locations=[("problems.py", 0)])
    return found


def packages() -> list[str]:
    """The packages that are there."""
    return [one for one in PACKAGES if (BILLING / one / "__init__.py").exists()]


def main() -> None:
    for package in packages():
        for language in LANGUAGES:
            if language != SOURCE_LANGUAGE:
                _bring_in_step(package, language)


def _bring_in_step(package: str, language: str) -> None:
    path = catalogue(package, language)
    path.parent.mkdir(parents=True, exist_ok=True)
    current = Catalog(locale=language, domain=package, fuzzy=False)
    if path.exists():
        with path.open("rb") as file:
            current = read_po(file, locale=language)
    current.update(messages(package), no_fuzzy_matching=True, update_creation_date=False)
    current.obsolete.clear()
    with path.open("wb") as file:
        write_po(file, current, sort_output=True, width=110, omit_header=False, include_lineno=False)


if __name__ == "__main__":
    main()
