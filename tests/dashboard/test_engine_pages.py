"""The pages of the Billing group: in both languages, with the amounts of a pencil, and in words where there
is nothing to show."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import tiny_engine
from reader import Open, badges, html
from streamlit.testing.v1 import AppTest

from billing.jobs.doctor.examination import CHECKS
from dashboard import desk, doctor_words, engine
from dashboard.engine import UNKNOWN, Change, EngineProblem, Wanted
from dashboard.engine_access import DocumentsOnly, engine_for
from dashboard.i18n import text
from dashboard.people.reader import Reader
from dashboard.queries import Query
from dashboard.queries import engine as queries
from tajdid.engine.company import company_engine
from tajdid.engine.runs import keep_examination

PAGES = {
    "runs": ("Runs", "عمليات التشغيل"),
    "documents": ("Documents and collections", "المستندات والتحصيل"),
    "catalogue": ("Catalogue and prices", "الكتالوج والأسعار"),
    "whatif": ("What if", "ماذا لو"),
}
HOSTILE = ["'; DROP TABLE invoices; --", "<script>alert(1)</script>\u202e[a](b)", "x" * 5_000]


@pytest.fixture(scope="module")
def billing_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("billing-home")
    tiny_engine.publish(home / "tiny")
    return home


@pytest.fixture
def page(open_page: Open, billing_home: Path) -> Iterator[Open]:
    """`open_page` on the tiny company, on a server that was handed the engine."""
    engine.provide(company_engine)

    def opened(name: str, lang: str = "en", **address: str) -> AppTest:
        app = open_page(name, "tiny", lang, home=billing_home, **address)
        assert [error.message for error in app.exception] == []
        assert [error.value for error in app.error] == []
        return app

    yield opened
    engine._factory.clear()


def number(state: str | None = None, customer: str = "anna") -> str:
    """The oldest document of a customer."""
    found = engine.engine_of(HOME[0])
    assert found is not None
    return str(found.documents(Wanted(state, (customer,)), None, 10).rows["invoice_no"][-1])


HOME: list[Path] = []


@pytest.fixture(autouse=True)
def _home(billing_home: Path) -> None:
    HOME[:] = [billing_home / "tiny"]


def texts(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.text, *app.info, *app.warning, *app.caption])


@pytest.mark.parametrize("lang", ["en", "ar"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_in_both_languages(page: Open, name: str, lang: str) -> None:
    app = page(name, lang)
    assert app.title[0].value == PAGES[name][lang == "ar"]
    assert "✗" not in "".join(badges(app))


def test_documents_by_state_and_who_is_chased(page: Open) -> None:
    app = page("documents")
    cards = {metric.label: metric.value for metric in app.metric}
    assert (cards["Open"], cards["Past due"], cards["Written off"]) == ("6", "6", "0")
    assert "€268.69 · KWD 7.140" in texts(app).replace("\N{NO-BREAK SPACE}", " ")
    shown = html(app)
    # Anna: 44.97 and 80.92 are past due; after the final notice comes collection on day 60.
    for words in ("€125.89", "Hand-over to collection proposed", "2025-03-16", "€80.92"):
        assert words in shown
    only = page("documents", state="credit_note")
    assert "€5.95" in html(only)
    assert "INV-2025" not in html(only).split("Dunning queue")[0]


@pytest.mark.parametrize("state", [None, "open", "credit_note"])
def test_a_file_holds_every_document_and_not_the_page_on_screen_alone(page: Open, state: str | None) -> None:
    page("documents")
    found = engine.engine_of(HOME[0])
    assert found is not None
    at_once = found.documents(Wanted(state), None, 100).rows
    by_two = desk.all_documents(found, Wanted(state), at_once=2)
    assert by_two["invoice_no"].to_list() == at_once["invoice_no"].to_list()
    assert desk.all_documents(found, Wanted(state), at_once=2, most=3).height == min(3, at_once.height)


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_one_document_is_explained_and_adds_up(page: Open, lang: str) -> None:
    app = page("documents", lang, document=number(), line="2")
    assert number() in [code.value for code in app.code]
    assert not any(number() in one.value for kind in (app.subheader, app.markdown) for one in kind)
    assert len([mark for mark in badges(app) if "✓" in mark]) == 5
    assert [metric.value.strip("\u2066\u2069\u2067 ") for metric in app.metric][:3] != []
    words, tables = texts(app), html(app)
    told = {"en": ("Graduated price", "The whole period costs"), "ar": ("سعر متدرج", "تكلفة الفترة كاملة")}[
        lang
    ]
    for sentence in told:
        assert sentence in words
    for amount in ("50.00", "8.00", "58.00", "11.02"):
        assert amount in tables + words
    assert {"en": "Receivables", "ar": "ذمم مدينة"}[lang] in tables


def test_a_run_leads_to_its_invoices(page: Open) -> None:
    app = page("runs")
    shown = html(app)
    assert "INV-2025-000006" in shown
    assert [mark for mark in badges(app) if "✗" in mark] == []
    assert len([mark for mark in badges(app) if "✓" in mark]) == 3  # the count, and two currencies
    assert "Nobody set the rate of this tax." in shown
    assert "tajdid billing doctor --company tiny" in [code.value for code in app.code]
    finding = {"check": "sums", "table": "invoices", "key": {"invoice_id": "i1"}, "sentence": "They add up."}
    keep_examination(HOME[0], tiny_engine.at(2, 20), 130, [finding], 1)
    found = page("runs")
    assert "130 checks, 1 finding." in texts(found)
    assert "They add up." in html(found)
    (HOME[0] / "logs" / "doctor.json").unlink()
    other = page("runs", run=engine.engine_of(HOME[0]).runs("dun", 1)[0].key)
    assert "Done" in texts(other)


def test_the_page_says_each_check_of_the_doctor_as_it_does_and_in_arabic(page: Open) -> None:
    english, arabic = doctor_words.sentences(text("en")), doctor_words.sentences(text("ar"))
    for check in CHECKS:
        assert english[check.code] == check.sentence
        said = arabic[check.code]
        assert re.search("[\u0600-\u06ff]", said), check.code
        assert not re.search("[A-Za-z]", said), check.code
        assert doctor_words.part(text("en"))(check.table) != check.table
    told = {"table": "invoices", "key": {"invoice_id": "i1"}}
    found = [
        told | {"check": "entry_balance", "sentence": "English"},
        told | {"check": "not known here", "sentence": "As told."},
    ]
    keep_examination(HOME[0], tiny_engine.at(2, 20), len(CHECKS), found, 2)
    try:
        shown = html(page("runs", "ar"))
    finally:
        (HOME[0] / "logs" / "doctor.json").unlink()
    assert arabic["entry_balance"] in shown
    assert "English" not in shown
    assert "As told." in shown


def test_a_price_prices_what_is_tried(page: Open) -> None:
    app = page(
        "catalogue", plan="basic", component="basic.1.seats", price="standard.basic.1.seats", quantity="12"
    )
    assert "12 cost 58.00 EUR, posted as €58.00." in texts(app)
    assert "11" in html(app)
    wrong = page("catalogue", plan="basic", price="standard.basic.1.seats", quantity="many")
    assert "This is no decimal number" in texts(wrong)


def test_what_if_shows_the_change_and_the_difference(page: Open) -> None:
    app = page("whatif", customer="dora", act="quantity", quantity="20", on="2025-02-15")
    values = [metric.value for metric in app.metric]
    assert values == ["+€23.80", "€71.40", "€142.80", "+€71.40"]
    assert len([mark for mark in badges(app) if "✓" in mark]) == 1
    refused = page("whatif", customer="anna", act="quantity", quantity="20", on="2025-02-15")
    assert "Money is overdue" in texts(refused)
    aside = page("whatif", customer="cleo", on="2025-02-15")
    assert "A bill run would set the account aside instead:" in texts(aside)
    assert page("whatif", customer="nobody").info[0].value.startswith("There is no such customer")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_address_is_answered_with_a_sentence(page: Open, text: str) -> None:
    for name, address in (
        ("documents", {"document": text}),
        ("documents", {"find": text, "after": text, "state": text}),
        ("runs", {"run": text, "kind": text}),
        ("whatif", {"customer": text, "on": text, "act": text}),
    ):
        app = page(name, "en", **address)
        assert len(app.info) + len(app.warning) >= 1
        assert "<script>alert" not in html(app)


def test_a_hostile_name_stands_as_plain_text(page: Open) -> None:
    app = page("documents", customer="dora")
    assert "&lt;script&gt;" in html(app)
    assert "<script>alert" not in html(app)


def test_without_an_engine_a_sentence_says_so(open_page: Open, billing_home: Path) -> None:
    for name in PAGES:
        app = open_page(name, "tiny", home=billing_home)
        assert "without the billing engine" in app.info[0].value
        assert [code.value for code in app.code] == ["tajdid dashboard"]
    engine.provide(lambda folder: None)
    try:
        assert "no billing database" in open_page("runs", "tiny", home=billing_home).info[0].value
    finally:
        engine._factory.clear()


@pytest.mark.parametrize("name", PAGES)
def test_what_ails_the_whole_database_is_said_once_a_page(
    open_page: Open, billing_home: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(billing_home / "tiny", tmp_path / "tiny")
    with closing(sqlite3.connect(tmp_path / "tiny" / "billing.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '0001'")
    engine.provide(company_engine)
    try:
        app = open_page(name, "tiny", home=tmp_path, customer="anna")
    finally:
        engine._factory.clear()
    assert not app.exception
    assert not app.error
    assert ["older form" in one.value for one in app.warning] == [True]
    told = [one.value for one in app.code if "migrate" in one.value]
    assert told == ["tajdid billing migrate --company tiny"]


# Who reaches what.


class Scoped:
    """The warehouse as an account owner sees it: Dora's account alone."""

    def rows(self, query: Query, **values: Any) -> pl.DataFrame:
        if query is queries.OWN_ACCOUNTS:
            return pl.DataFrame({"customer_id": ["dora"]})
        assert query is queries.HAS_ACCOUNT
        return pl.DataFrame({"accounts": [int(values["customer_id"] == "dora")]})


def test_who_looks_after_accounts_reaches_their_documents_and_nothing_else(billing_home: Path) -> None:
    folder = billing_home / "tiny"
    engine.provide(company_engine)
    try:
        full = engine.engine_of(folder)
        own = engine_for(Reader("u1", "Uma", frozenset({"csm"}), "Uma"), folder, Scoped())
        manager = engine_for(Reader("u2", "Max", frozenset({"cs_manager"})), folder, Scoped())
        finance = engine_for(Reader("u3", "Fay", frozenset({"finance"})), folder, None)
    finally:
        engine._factory.clear()
    assert full is not None
    assert isinstance(own, DocumentsOnly)
    assert isinstance(manager, DocumentsOnly)
    assert finance is full
    annas, doras = (
        full.documents(Wanted(customers=(one,)), None, 9).rows["invoice_no"][0] for one in ("anna", "dora")
    )
    assert set(own.documents(Wanted(), None, 50).rows["customer_id"]) == {"dora"}
    assert own.documents(Wanted(customers=("anna", "dora")), None, 50).rows.height == 2
    assert own.documents(Wanted(customers=("anna",)), None, 50).rows.is_empty()
    assert own.documents(Wanted(number=annas), None, 50).rows.is_empty()
    assert own.dunning(None, 9).is_empty()
    assert own.names(["anna", "dora"]) == {"dora": tiny_engine.HOSTILE}
    assert own.find_customers("", 9)["customer_id"].to_list() == ["dora"]
    assert own.document_counts(None).filter(state="open")["documents"].sum() == 2
    assert own.document(doras, "en").customer_id == "dora"
    assert manager.document(annas, "en").customer_id == "anna"
    for ask in (
        lambda: own.document(annas, "en"),
        lambda: own.pdf(annas, "en"),
        lambda: own.json(annas),
        lambda: own.owner_of(annas),
        lambda: own.runs(None, 5),
        lambda: own.plans(),
        lambda: own.set_aside(5),
        lambda: manager.runs(None, 5),
        lambda: manager.preview(Change("sub-dora", "nothing", date(2025, 2, 15), date(2025, 3, 1)), "en"),
    ):
        with pytest.raises(EngineProblem) as refused:
            ask()
        assert refused.value.kind == UNKNOWN
    nobody = DocumentsOnly(full, None, only_own=True)
    assert nobody.documents(Wanted(), None, 50).rows.is_empty()
