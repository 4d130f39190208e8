"""A reader finds in the warehouse what their roles allow and nothing else, whatever statement asks.

Every table of the warehouse is filled, in every text column, with the name of whom its row is about; then all
that a reader can read is searched for names that are not theirs to see.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import tiny_world

from churn_model.tables import create_tables as create_churn_tables
from dashboard.people.permissions import ROLES
from dashboard.people.reader import LOCAL, NOBODY, Reader
from dashboard.people.scope import (
    REFERENCE,
    Scope,
    ScopedSnapshot,
    open_scope,
    scope_of,
    statements,
)
from dashboard.snapshot import published
from pipelines.warehouse import Snapshot, WarehouseError

AMAL, BASIL = "Amal O'Neill", "Basil"
# Customer → (owner, success manager, parent).
ACCOUNTS = {
    "a1": (AMAL, None, None),
    "a2": ("Sales", AMAL, None),  # by her as its success manager
    "a3": (None, None, "a1"),  # nobody is named: her parent's
    "a4": (AMAL, None, "b1"),  # hers, though the parent is not
    "b1": (BASIL, None, None),
    "b2": (BASIL, None, "a1"),  # his, though the parent is hers
    "b3": (None, None, "b1"),
    "n1": (None, None, None),  # nobody's
}
WHOLE = "the whole company"


def of(customer: str) -> str:
    return f"secret-of-{customer}"


def fill(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
    create_churn_tables(connection)
    tables = connection.execute(
        """
        SELECT schema_name || '."' || table_name || '"', list(column_name), list(data_type)
        FROM duckdb_columns() WHERE schema_name IN ('marts', 'churn', 'raw_meta') GROUP BY 1 ORDER BY 1
        """
    ).fetchall()
    for table, names, types in tables:
        subjects: list[str | None] = [*ACCOUNTS, None] if "customer_id" in names else [None]
        for subject in subjects:
            values = [value_of(name, kind, subject) for name, kind in zip(names, types, strict=True)]
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)


def value_of(column: str, kind: str, subject: str | None) -> object:
    if subject is not None and column in ("customer_id", "owner", "csm", "parent_customer_id"):
        owner, csm, parent = ACCOUNTS[subject]
        return {"customer_id": subject, "owner": owner, "csm": csm, "parent_customer_id": parent}[column]
    if kind == "VARCHAR":
        return None if column == "customer_id" else of(subject) if subject else WHOLE
    if kind == "VARCHAR[]":
        return [of(subject) if subject else WHOLE]
    if kind == "BOOLEAN":
        return True
    if kind == "DATE":
        return "2025-03-31"
    return 1 if "INT" in kind or "DECIMAL" in kind or kind == "DOUBLE" else None


def tell_by_views(file: Path) -> None:
    """Let some marts be views of views, which name what they read in full, as the models make them."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH '{file}' AS warehouse")
        connection.execute("CREATE SCHEMA warehouse.staging")
        for table in ("fct_orders", "fct_customer_months", "fct_mrr_days"):
            connection.execute(f"CREATE TABLE warehouse.staging.{table} AS FROM warehouse.marts.{table}")
            connection.execute(f"DROP TABLE warehouse.marts.{table}")
            connection.execute(
                f"CREATE VIEW warehouse.staging.policy_{table} AS "
                f"SELECT t.* FROM warehouse.staging.{table} AS t, warehouse.raw_meta.policy"
            )
            connection.execute(
                f"CREATE VIEW warehouse.marts.{table} AS WITH told AS "
                f"(SELECT * FROM warehouse.staging.policy_{table}) SELECT * FROM told"
            )


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scopes") / "walk"
    tell_by_views(tiny_world.publish(folder, "b1", fill, title=("Walk", "مشي")))
    return folder


@pytest.fixture(scope="module")
def file(company: Path) -> Path:
    return company / "warehouse" / "warehouse-b1.duckdb"


def reader(*roles: str, owner: str | None = None) -> Reader:
    return Reader("r", "R", frozenset(roles), owner)


def tables_of(snapshot: Snapshot) -> set[str]:
    rows = snapshot.cursor().execute(
        "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE database_name = 'warehouse'"
    )
    return {name for (name,) in rows.fetchall() if not name.startswith(("main.", "pg_", "information"))}


def all_that_is_read(snapshot: Snapshot) -> Iterator[tuple[str, dict[str, object]]]:
    cursor = snapshot.cursor()
    for table in sorted(tables_of(snapshot)):
        answer = cursor.execute(f"SELECT * FROM warehouse.{table}")
        names = [column[0] for column in answer.description or []]
        for row in answer.fetchall():
            yield table, dict(zip(names, row, strict=True))


def test_a_csm_never_sees_an_account_of_another_in_any_table(file: Path) -> None:
    snapshot = open_scope(file, scope_of(reader("csm", owner=AMAL)))
    seen: dict[str, set[object]] = {}
    for table, row in all_that_is_read(snapshot):
        text = repr(row)
        assert not any(of(other) in text for other in ACCOUNTS if other[0] != "a"), (table, row)
        assert not any(row.get(name) in ("b1", "b2", "b3", "n1") for name in row), (table, row)
        if table not in REFERENCE:
            assert WHOLE not in text, (table, row)
            seen.setdefault(table, set()).add(row["customer_id"])
    assert {"marts.fct_orders", "marts.fct_customer_months", "churn.churn_scores"} < set(seen)
    assert len(seen) > 20
    assert all(customers == {"a1", "a2", "a3", "a4"} for customers in seen.values()), seen


def test_a_csm_reads_no_table_of_the_whole_company(file: Path) -> None:
    snapshot = open_scope(file, scope_of(reader("csm", owner=AMAL)))
    there = tables_of(snapshot)
    for table in (
        "marts.fct_mrr_months",
        "marts.fct_metric_values",
        "marts.fct_retention",
        "marts.fct_ar_aging",
    ):
        assert table not in there
        with pytest.raises(duckdb.CatalogException):
            snapshot.cursor().execute(f"SELECT * FROM warehouse.{table}")
    for table in ("raw_meta.rejects", "raw_meta.files", "churn.churn_evaluation"):
        assert table not in there
    sizes = "rows_read, rows_accepted, rows_rejected, rows_unchanged, note"
    loads = snapshot.cursor().execute(f"SELECT {sizes} FROM warehouse.raw_meta.loads").fetchall()
    assert loads == [(None, 1, None, None, None)]
    assert REFERENCE - there == frozenset()


def test_two_csm_together_see_each_account_that_somebody_has_once(file: Path) -> None:
    both: list[str] = []
    for owner in (AMAL, BASIL):
        snapshot = open_scope(file, scope_of(reader("csm", owner=owner)))
        found = snapshot.cursor().execute("SELECT customer_id FROM warehouse.marts.dim_customers").fetchall()
        both += [customer for (customer,) in found]
    assert sorted(both) == ["a1", "a2", "a3", "a4", "b1", "b2", "b3"]


def test_the_name_of_a_parent_that_is_not_theirs_is_kept_from_a_csm(file: Path) -> None:
    snapshot = open_scope(file, scope_of(reader("csm", owner=AMAL)))
    found = snapshot.cursor().execute(
        "SELECT customer_id, parent_customer_id FROM warehouse.marts.dim_customers ORDER BY 1"
    )
    assert found.fetchall() == [("a1", None), ("a2", None), ("a3", "a1"), ("a4", None)]


@pytest.mark.parametrize("owner", [None, "", "Nobody", "' OR 1 = 1 --", "%"])
def test_an_owner_whom_the_warehouse_does_not_know_has_no_account(file: Path, owner: str | None) -> None:
    snapshot = open_scope(file, scope_of(reader("csm", owner=owner)))
    assert all(table in REFERENCE for table, _ in all_that_is_read(snapshot))


def test_an_analyst_sees_all_accounts_without_names(file: Path) -> None:
    snapshot = open_scope(file, scope_of(reader("analyst")))
    cursor = snapshot.cursor()
    found = cursor.execute(
        "SELECT customer_id, name FROM warehouse.marts.dim_customers ORDER BY 1"
    ).fetchall()
    assert found == [*((name, name) for name in sorted(ACCOUNTS)), (None, None)]
    assert cursor.execute("SELECT original_row, row_key FROM warehouse.raw_meta.rejects").fetchall() == [
        (None, None)
    ]
    views = "SELECT name, parameters, page FROM warehouse.marts.dim_saved_views"
    assert cursor.execute(views).fetchall() == [(None, None, WHOLE)]
    assert cursor.execute("SELECT words FROM warehouse.marts.dim_annotations").fetchall() == [(WHOLE,)]
    for table in ("fct_mrr_months", "fct_mrr_days"):
        assert cursor.execute(f"SELECT currency FROM warehouse.marts.{table}").fetchall() == [(WHOLE,)]
    assert {table.split(".")[0] for table in tables_of(snapshot)} == {"marts", "churn", "raw_meta"}


def test_what_sources_sent_is_absent_from_every_scope(file: Path) -> None:
    for scope in (Scope(False, None, False), Scope(True, AMAL, True)):
        with pytest.raises(duckdb.CatalogException):
            open_scope(file, scope).cursor().execute("SELECT * FROM warehouse.raw_crm.accounts")


@pytest.mark.parametrize("role", [name for name in ROLES if name not in ("csm", "analyst")])
def test_other_roles_read_the_published_file_itself(role: str) -> None:
    assert scope_of(reader(role)).is_everything


def test_roles_add_up() -> None:
    assert scope_of(reader("csm", "analyst", owner=AMAL)) == Scope(False, AMAL, True)
    assert scope_of(LOCAL).is_everything
    assert scope_of(NOBODY).only_own


def test_the_workbench_gets_the_schemas_it_names_also_for_those_who_see_everything(file: Path) -> None:
    with duckdb.connect(":memory:") as connection:
        for statement in statements(file, scope_of(LOCAL), schemas=("marts", "churn")):
            connection.execute(statement)
        connection.execute("SELECT * FROM marts.dim_customers")
        with pytest.raises(duckdb.CatalogException):
            connection.execute("SELECT * FROM warehouse.raw_meta.rejects")


def test_a_scope_can_only_be_read(file: Path) -> None:
    cursor = open_scope(file, scope_of(reader("csm", owner=AMAL))).cursor()
    with pytest.raises(duckdb.Error):
        cursor.execute("DELETE FROM warehouse.marts.dim_customers")


def test_a_scope_is_opened_once_for_a_build_and_told_from_others(company: Path) -> None:
    amal, basil = (scope_of(reader("csm", owner=owner)) for owner in (AMAL, BASIL))
    assert published(company, amal) is published(company, amal)
    assert published(company, amal) is not published(company, basil)
    assert isinstance(published(company), Snapshot)
    assert not isinstance(published(company), ScopedSnapshot)


@pytest.mark.parametrize("scope", [scope_of(LOCAL), Scope(True, AMAL, True)])
def test_a_reader_goes_on_reading_while_another_snapshot_is_published_and_the_old_one_taken_away(
    file: Path, tmp_path: Path, scope: Scope
) -> None:
    warehouse = tmp_path / "walk" / "warehouse"
    warehouse.mkdir(parents=True)
    for build in ("b1", "b2"):
        shutil.copyfile(file, warehouse / f"warehouse-{build}.duckdb")
    (warehouse / "current").write_text("warehouse-b1.duckdb\n")
    before = published(tmp_path / "walk", scope)
    assert before is not None
    (warehouse / "current").write_text("warehouse-b2.duckdb\n")
    (warehouse / "warehouse-b1.duckdb").unlink()
    after = published(tmp_path / "walk", scope)
    assert after is not None
    assert (before.build_id, after.build_id) == ("b1", "b2")
    count = "SELECT count(*) FROM warehouse.marts.dim_customers"
    assert before.cursor().execute(count).fetchone() == after.cursor().execute(count).fetchone()


def test_a_damaged_file_is_refused_in_every_scope(tmp_path: Path) -> None:
    damaged = tmp_path / "warehouse-x.duckdb"
    damaged.write_bytes(b"no warehouse" * 1000)
    for scope in (scope_of(LOCAL), scope_of(reader("csm", owner=AMAL))):
        with pytest.raises(WarehouseError):
            open_scope(damaged, scope)
