"""Invoices of a company that the engine does not bill: from their number to lines that add up to them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest
from reader import Open, badges, html
from streamlit.testing.v1 import AppTest

from dashboard import engine, snapshot
from dashboard.people.scope import Scope, open_scope
from dashboard.queries import documents as queries
from dashboard.view import Published

Documents = Callable[..., AppTest]
MATCHES = ":green-badge[✓ Sum matches]"


@pytest.fixture
def documents(open_page: Open) -> Iterator[Documents]:
    """The page on a server that was handed an engine, of a company that has none."""
    engine.provide(lambda folder: None)

    def opened(lang: str = "en", home: Path | None = None, **address: str) -> AppTest:
        app = open_page("documents", "lumen", lang, home=home, **address)
        assert [error.message for error in app.exception] == []
        assert [error.value for error in app.error] == []
        return app

    yield opened
    engine._factory.clear()


@pytest.fixture
def spoilt(workspace: Path, tmp_path: Path) -> Callable[[str], Path]:
    """The workspace after a statement that spoils what readers have."""

    def made(statement: str) -> Path:
        shutil.copytree(workspace / "lumen", tmp_path / "lumen")
        (path,) = (tmp_path / "lumen" / "warehouse").glob("warehouse-*.duckdb")
        with duckdb.connect(str(path)) as connection:
            connection.execute(statement)
        return tmp_path

    return made


@pytest.mark.parametrize(("lang", "matches"), [("en", "Sum matches"), ("ar", "المجموع مطابق")])
def test_an_invoice_leads_to_its_lines_which_add_up_to_it(
    documents: Documents, lang: str, matches: str
) -> None:
    app = documents(lang, document="A-5")
    assert [one.value for one in app.metric] == [
        app.metric[0].value.replace("80", amount) for amount in ("80", "20", "100", "0")
    ]
    assert "80.00" in app.metric[0].value
    shown = [badge for badge in badges(app) if "✓ " + matches in badge or "✗" in badge]
    assert len(shown) == 3  # net, tax, and what is left after the payment
    assert not any("✗" in badge for badge in shown)
    table = html(app)
    assert table.count("40.00") == 2
    assert table.count("10.00") == 2
    assert "customer=C1" in table


def test_amounts_have_the_decimals_of_their_currency(documents: Documents) -> None:
    app = documents(document="A-4")
    assert app.metric[2].value == "¥500"
    assert badges(app).count(MATCHES) == 3


def test_lines_that_do_not_add_up_are_told(documents: Documents, spoilt: Callable[[str], Path]) -> None:
    home = spoilt("UPDATE marts.fct_invoice_lines SET net_minor = net_minor - 1 WHERE line_id = 'A-2-1'")
    app = documents(home=home, document="A-2")
    assert ":red-badge[✗ Sum differs: the page shows €16.04]" in badges(app)


def test_an_invoice_that_came_without_lines_or_taxes_says_so(
    documents: Documents, spoilt: Callable[[str], Path]
) -> None:
    home = spoilt("UPDATE marts.fct_invoice_lines SET tax_minor = NULL")
    none, untaxed = (documents(home=home, document=number) for number in ("A-3", "A-1"))
    assert "The source sent no lines with this invoice." in [one.value for one in none.caption]
    assert "Tax: the source does not say it line by line." in [one.value for one in untaxed.caption]
    assert badges(untaxed).count(MATCHES) == 2
    assert not any("✗" in badge for badge in badges(untaxed))


def test_a_build_from_before_lines_were_kept_says_so(
    documents: Documents, spoilt: Callable[[str], Path]
) -> None:
    app = documents(home=spoilt("DROP TABLE marts.fct_invoice_lines"), document="A-5")
    assert any("before the lines of invoices were kept" in one.value for one in app.caption)


def test_a_number_given_twice_is_chosen_by_its_id(
    documents: Documents, spoilt: Callable[[str], Path]
) -> None:
    home = spoilt("UPDATE marts.fct_invoices SET invoice_no = 'N-1' WHERE invoice_id IN ('A-1', 'A-4')")
    app = documents(home=home, document="N-1")
    assert "Choose one by its id" in " ".join(one.value for one in app.caption)
    assert all(f"document={one}" in html(app) for one in ("A-1", "A-4"))
    assert documents(home=home, document="A-4").metric[2].value == "¥500"


@pytest.mark.parametrize("number", ["nobody", "'; DROP TABLE x; --", "<script>\u202e" + "x" * 5_000])
def test_a_number_that_nobody_has_is_answered_with_a_sentence(documents: Documents, number: str) -> None:
    app = documents(document=number)
    assert "There is no invoice of this number" in app.info[1].value
    assert number not in html(app)


def test_without_a_number_the_newest_invoices_are_listed(documents: Documents) -> None:
    app = documents()
    assert "no billing database" in app.info[0].value
    assert html(app).index("document=A-1") < html(app).index("document=B-1")


def test_a_reader_of_own_accounts_finds_no_invoice_of_others(spoilt: Callable[[str], Path]) -> None:
    home = spoilt("UPDATE marts.dim_customers SET owner = 'Amal' WHERE customer_id = 'C1'")
    (path,) = (home / "lumen" / "warehouse").glob("warehouse-*.duckdb")
    opened = open_scope(path, Scope(True, "Amal", True))
    published = Published(opened, snapshot.build_of(opened))
    found = {
        number: published.rows(queries.INVOICE, document=number, limit=9).height for number in ("A-5", "A-2")
    }
    assert found == {"A-5": 1, "A-2": 0}
    lines = {
        owner: published.rows(queries.LINES, invoice_id=number, customer_id=owner).height
        for owner, number in (("C1", "A-5"), ("C2", "A-2"))
    }
    assert lines == {"C1": 2, "C2": 0}
    assert set(published.rows(queries.NEWEST, limit=9)["customer_id"]) == {"C1"}
