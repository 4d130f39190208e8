"""No page reads the whole of a table that grows with the customers: what it asks of one is keyed or limited.

A page is opened and every statement it asks is noted. Tables by customer are those that have its id. On the
way to a number's rows a count and the sums are taken of exactly the rows that are shown.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import success_world
import tiny_orders
import tiny_world
from reader import FROM_THE_WAREHOUSE, Open

from dashboard.queries import Query
from dashboard.view import Published

KEYED = re.compile(r"\$(limit|customer\w*)\b|\bLIMIT\s+\d")
TABLES = re.compile(r"warehouse\.(\w+\.\w+)")
# Scores are read of the days in use alone: one row a customer, added up in one pass.
SCORES = "churn.churn_scores"
OF_THE_DAYS_IN_USE = re.compile(r"churn_scorings AS \w+\s+ON \w+\.(is_in_use|is_week_before)\b")
# Whose accounts are whose is read of one owner alone, whose lie together; of nobody where all are asked for.
ONLY_OF_ONE_OWNER = "warehouse.marts.dim_customer_owners WHERE owner = $looked_after_by"
# The renewals of one owner are added up on the page, out of those of all that are not decided yet.
ADDED_UP = {"renewals": {"renewals_by_day_of_accounts"}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    success_world.publish(folder / "lumen")
    tiny_world.publish(folder / "bazaar", "b1", tiny_orders.fill_orders, title=("Bazaar", "بازار"))
    return folder


def by_customer() -> set[str]:
    """The marts that have a row, or more, a customer."""
    marts = tiny_world.columns_of_marts()
    return {
        f"marts.{table}"
        for table, columns in marts.items()
        if any(name == "customer_id" for name, _ in columns)
    }


def read_whole(query: Query, large: set[str]) -> set[str]:
    """The large tables that a statement reads and says nothing of which rows."""
    read = large & set(TABLES.findall(query.sql.replace(ONLY_OF_ONE_OWNER, "")))
    if OF_THE_DAYS_IN_USE.search(query.sql):
        read -= {SCORES}
    return set() if KEYED.search(query.sql) else read


def whole(
    open_page: Open, home: Path, monkeypatch: pytest.MonkeyPatch, page: str, company: str, **address: str
) -> dict[str, set[str]]:
    """Query → the large tables that it reads whole, of a page that is opened."""
    asked: list[Query] = []
    rows = Published.rows

    def noted(self: Published, query: Query, **values: object):
        asked.append(query)
        return rows(self, query, **values)

    monkeypatch.setattr(Published, "rows", noted)
    app = open_page(page, company, home=home, **address)
    assert not app.exception
    assert not app.error
    assert asked
    large = by_customer() | {SCORES}
    return {query.name: read for query in asked if (read := read_whole(query, large))}


@pytest.mark.parametrize("company", ["lumen", "bazaar"])
@pytest.mark.parametrize("page", FROM_THE_WAREHOUSE)
def test_a_page_asks_tables_by_customer_for_keyed_or_limited_rows(
    open_page: Open, home: Path, monkeypatch: pytest.MonkeyPatch, page: str, company: str
) -> None:
    address = {"customer": "C2"} if page == "customer" else {}
    found = whole(open_page, home, monkeypatch, page, company, **address)
    assert found == {}


@pytest.mark.parametrize("owner", ["mine", "nobody", "of:Omar"])
@pytest.mark.parametrize("page", ["churn", "renewals"])
def test_a_list_of_one_owner_reads_the_accounts_of_nobody_else(
    open_page: Open, home: Path, monkeypatch: pytest.MonkeyPatch, page: str, owner: str
) -> None:
    found = whole(open_page, home, monkeypatch, page, "lumen", owner=owner)
    assert set(found) == ADDED_UP.get(page, set()), found
