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
# Who looks after accounts is read only where a list is narrowed by it, which no page does by itself.
ONLY_IF_NARROWED = "warehouse.marts.dim_customers WHERE is_current AND $owner <> 'all'"


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
    read = large & set(TABLES.findall(query.sql.replace(ONLY_IF_NARROWED, "")))
    if OF_THE_DAYS_IN_USE.search(query.sql):
        read -= {SCORES}
    return set() if KEYED.search(query.sql) else read


@pytest.mark.parametrize("company", ["lumen", "bazaar"])
@pytest.mark.parametrize("page", FROM_THE_WAREHOUSE)
def test_a_page_asks_tables_by_customer_for_keyed_or_limited_rows(
    open_page: Open, home: Path, monkeypatch: pytest.MonkeyPatch, page: str, company: str
) -> None:
    asked: list[Query] = []
    rows = Published.rows

    def noted(self: Published, query: Query, **values: object):
        asked.append(query)
        return rows(self, query, **values)

    monkeypatch.setattr(Published, "rows", noted)
    app = open_page(page, company, home=home, **({"customer": "C2"} if page == "customer" else {}))
    assert not app.exception
    assert asked
    large = by_customer() | {SCORES}
    assert {query.name: read for query in asked if (read := read_whole(query, large))} == {}
