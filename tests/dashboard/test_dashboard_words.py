"""Every sentence goes through gettext, and the Arabic catalogue has each of them, in six plural forms."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from dashboard.i18n import LANGUAGES, SOURCE_LANGUAGE, catalogue, text
from dashboard.i18n.extract import PACKAGE, messages

TRANSLATED = [language for language in LANGUAGES if language != SOURCE_LANGUAGE]
WRAPPERS = {"_", "gettext", "ngettext"}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            yield called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", ""), node


def has_sentences(path: Path) -> bool:
    return any(name in WRAPPERS for name, _ in calls(ast.parse(path.read_text(encoding="utf-8"))))


# Every module that says something to a reader; i18n itself only knows what languages are called.
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent.name != "i18n"]
SHOWING = [path for path in MODULES if path.parent.name == "screens" or has_sentences(path)]
# What looks like words for a reader: a capital before small letters, or letters on both sides of a space.
WORDS = re.compile(r"^[A-Z][a-z]{2,}|[A-Za-z]{2,}[,.;:]? [a-zA-Z]{2,}")
INTERNAL = {"exception", "warning", "Query", "code"}  # words for the log, the warehouse or the command line


def arabic() -> Catalog:
    with catalogue("ar").open("rb") as file:
        return read_po(file, locale="ar")


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_catalogue_has_every_sentence_translated_and_none_fuzzy(language: str) -> None:
    with catalogue(language).open("rb") as file:
        found = read_po(file, locale=language)
    missing = [message.id for message in messages() if message.id and message.id not in found]
    assert missing == []
    for message in found:
        if message.id:
            forms = message.string if isinstance(message.string, tuple | list) else (message.string,)
            assert all(forms), f"untranslated: {message.id!r}"
            assert not message.fuzzy, f"fuzzy: {message.id!r}"


def test_a_catalogue_has_no_sentence_that_nobody_says() -> None:
    said = {message.id for message in messages()}
    assert [message.id for message in arabic() if message.id and message.id not in said] == []


def test_every_plural_has_six_forms_in_arabic() -> None:
    plurals = [message for message in arabic() if isinstance(message.id, tuple)]
    assert plurals
    assert {len(message.string) for message in plurals} == {6}
    assert arabic().num_plurals == 6


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "كل 0 شهر"),
        (1, "كل شهر"),
        (2, "كل شهرين"),
        (3, "كل 3 أشهر"),
        (10, "كل 10 أشهر"),
        (11, "كل 11 شهرًا"),
        (99, "كل 99 شهرًا"),
        (100, "كل 100 شهر"),
        (103, "كل 103 أشهر"),
    ],
)
def test_arabic_counts_in_its_own_forms(number: int, shown: str) -> None:
    assert text("ar").ngettext("every month", "every {count} months", number).format(count=number) == shown


def test_from_eleven_on_what_is_counted_stands_in_the_accusative() -> None:
    """Eleven to ninety-nine, the last form, take صفًا; a hundred and one, the form before, takes صف."""
    forms = {message.id[0]: message.string for message in arabic() if isinstance(message.id, tuple)}
    wrong = [sentence for sentence, said in forms.items() if said[4].count("ًا") > said[5].count("ًا")]
    assert wrong == []


def test_a_translation_has_the_same_places_to_fill_as_its_sentence() -> None:
    for message in arabic():
        if not message.id:
            continue
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        wanted = set().union(*(places(one) for one in ids))
        for form in message.string if isinstance(message.string, tuple) else (message.string,):
            assert places(form) <= wanted, message.id
            if not isinstance(message.id, tuple):
                assert places(form) == wanted, message.id


def places(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def test_no_sentence_is_missing_its_arabic_letters() -> None:
    technical = {"{quantity} {interval}"}
    for message in arabic():
        if message.id and message.id not in technical:
            forms = message.string if isinstance(message.string, tuple) else (message.string,)
            assert all(re.search("[\u0600-\u06ff]", form) for form in forms), message.id


@pytest.mark.parametrize("path", SHOWING, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_words_are_shown_that_did_not_go_through_gettext(path: Path) -> None:
    assert unwrapped(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_no_other_module_writes_words_on_a_page() -> None:
    found = [
        (path.name, words)
        for path in set(MODULES) - set(SHOWING)
        for words in written(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []
    assert written(ast.parse('st.info("Nothing here")\nlog("Nothing here")')) == ["Nothing here"]


def written(tree: ast.AST) -> list[str]:
    """What looks like words among the arguments of Streamlit's own functions."""
    shown = [node for _, node in calls(tree) if ast.unparse(node.func).startswith("st.")]
    return [words for node in shown for one in node.args for words in unwrapped(one)]


def test_the_search_for_unwrapped_words_finds_one() -> None:
    assert {"revenue.py", "churn.py", "frame.py", "app.py", "letters.py", "routes.py"} <= {
        path.name for path in SHOWING
    }
    tree = ast.parse(
        '"""Doc."""\ndef f():\n    """More."""\n    st.info("Nothing here")\n    st.title(_("Fine words"))\n'
    )
    assert unwrapped(tree) == ["Nothing here"]
    assert unwrapped(ast.parse('st.title(f"Total of {x}")')) == ["Total of "]


def unwrapped(tree: ast.AST) -> list[str]:
    """String constants that look like words for a reader and stand outside gettext, docstrings and logs."""
    found: list[str] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in WRAPPERS | INTERNAL:
                return
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return
        if isinstance(node, ast.Dict):  # keys are codes of the data
            for value in node.values:
                visit(value)
            return
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Name("annotation")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and WORDS.search(node.value):
            found.append(node.value)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    return found


def test_a_phrase_keeps_its_readers_direction_beside_a_sign() -> None:
    assert text("ar").whole("نقطة") == "\u2067نقطة\u2069"
    assert text("en").whole("points") == "points"


def test_an_unknown_language_speaks_the_source_language() -> None:
    assert text("xx").language == SOURCE_LANGUAGE
    assert text("xx").gettext("Revenue overview") == "Revenue overview"
