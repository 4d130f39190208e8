"""Sources that are locked, damaged, changed in form, sent twice or dated out of order: what a load says of
them, and that nothing is counted twice or lost in silence."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from sqlalchemy import select
from test_billing_source import open_shop, subscribe, write_documents

from billing.service import customers
from billing.store import tables
from billing.store.store import Store
from pipelines.sources import KINDS, billing
from pipelines.sources.engine_tables import NEEDED
from pipelines.sources.loading import SourceConfig, SourceError

DAY_ONE = datetime(2025, 6, 1, tzinfo=UTC)
DAY_TWO = datetime(2025, 6, 2, tzinfo=UTC)
DAY_THREE = datetime(2025, 6, 3, tzinfo=UTC)


@dataclass(frozen=True)
class Form:
    """A file source, and a good file of it: its name, header and rows of two days; what sums up its rows."""

    kind: str
    file: str
    header: str
    day_one: tuple[str, ...]
    day_two: tuple[str, ...]
    total: str

    def text(self, *rows: str) -> str:
        return "\n".join([self.header, *rows]) + "\n"


PERIODS = Form(
    "periods",
    "periods.csv",
    "subscription_id,customer_id,period_start,period_end,amount,currency,plan",
    ("s1,c1,2025-01-01,2025-03-01,12.00,EUR,basic", "s2,c2,2025-01-01,,5.00,EUR,basic"),
    ("s1,c1,2025-03-01,,24.00,EUR,grand",),
    "SELECT count(*), sum(amount_minor)::BIGINT FROM (FROM raw_billing.subscription_versions QUALIFY "
    "row_number() OVER (PARTITION BY subscription_item_id, version_no ORDER BY recorded_at DESC) = 1)",
)
ORDERS = Form(
    "orders",
    "orders.csv",
    "order_id,ordered_at,customer_id,sku,quantity,unit_price,currency,country",
    (
        "1,2025-05-01 10:00,c1,A,2,3.50,EUR,DE",
        "1,2025-05-01 10:00,c1,B,1,1.00,EUR,DE",
        "2,2025-05-01 11:00,c2,A,1,3.50,EUR,FR",
    ),
    ("3,2025-05-02 09:00,c1,B,4,1.00,EUR,DE",),
    "SELECT count(*), sum(amount_minor)::BIGINT FROM raw_orders.order_lines",
)
COSTS = Form(
    "crm",
    "sales_marketing_costs.csv",
    "month,channel,amount_minor,currency",
    ("2025-04,fair,1200,EUR", "2025-04,web,300,EUR"),
    ("2025-05,fair,900,EUR",),
    "SELECT count(*), sum(amount_minor)::BIGINT FROM raw_crm.sales_marketing_costs",
)
FORMS = {form.kind: form for form in (PERIODS, ORDERS, COSTS)}
TOTALS = {"periods": (3, 4100), "orders": (4, 700 + 100 + 350 + 400), "crm": (3, 2400)}
"""By hand: rows, and their amounts in cents."""


@pytest.fixture
def load(stage_at, tmp_path: Path):
    """Load a source as a build at a moment does; returns a function that asks the stage."""

    def run(kind: str, moment: datetime = DAY_ONE, location: str | None = None):
        stage = stage_at(moment, currency="EUR", timezone="UTC")
        with stage.transaction():
            KINDS[kind](stage, SourceConfig(kind, kind, location or str(tmp_path / kind)))
        if kind == "crm":
            from pipelines.sources.crm import keep_received

            keep_received(stage)
        return lambda sql: stage.connection.execute(sql).fetchall()

    return run


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file into the folder of a source."""

    def write(kind: str, name: str, content: str | bytes) -> Path:
        path = tmp_path / kind / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


# --- damaged files ---


def damaged_parquet() -> bytes:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"whole-{os.getpid()}.parquet"
    pl.DataFrame({"order_id": ["1"] * 5000, "sku": [str(n) for n in range(5000)]}).write_parquet(path)
    content = path.read_bytes()
    path.unlink()
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.parquet", damaged_parquet, "can't be read as Parquet.*Export it again"),
        ("a.xlsx", lambda: os.urandom(3000), "can't be read as XLSX.*Save it again"),
        ("a.csv", lambda: b"\x00\x01\x02" * 500, "no text file.*Export it again"),
        ("a.csv", lambda: b"", "is empty.*export it again or remove it"),
        ("a.csv", lambda: "order_id,größe\n1,2\n".encode("cp1252"), "names of the columns.*Save the file"),
        ("a.csv", lambda: "order_id,sku\n1,2\n".encode("utf-16-le"), "no text file.*name its encoding"),
    ],
)
@pytest.mark.parametrize("kind", ["periods", "orders"])
def test_a_damaged_file_is_named_with_what_to_do(load, put, kind, name, content, told):
    path = put(kind, name, content())
    with pytest.raises(SourceError, match=f"{re.escape(str(path))}.*{told}"):
        load(kind)


def test_rows_in_another_encoding_are_set_aside_and_the_others_count(load, put):
    put(
        "orders", "a.csv", ORDERS.text(*ORDERS.day_one).encode() + b"4,2025-05-02,m\xfcller,A,1,9.00,EUR,DE\n"
    )
    ask = load("orders")
    assert ask(ORDERS.total) == [(3, 1150)]
    assert ask("SELECT row_number, reason FROM raw_meta.rejects") == [(4, "bad_encoding")]


def test_a_damaged_export_of_the_crm_is_not_kept_as_received(load, put, tmp_path):
    put("crm", "accounts.parquet", damaged_parquet())
    with pytest.raises(SourceError, match=r"crm/accounts\.parquet can't be read"):
        load("crm")
    assert not (tmp_path / "history").exists()


# --- columns that are gone ---


@pytest.mark.parametrize("kind", FORMS)
def test_a_needed_column_that_is_gone_is_named_with_its_file(load, put, kind):
    form = FORMS[kind]
    needed = {"periods": "period_start", "orders": "sku", "crm": "amount_minor"}[kind]
    path = put(kind, form.file, form.text(*form.day_one).replace(needed, "renamed"))
    with pytest.raises(SourceError, match=f"{path} lacks the column {needed}.*renamed.*mapping.toml"):
        load(kind)


OPTIONAL = {"periods": "plan", "orders": "country", "crm": "channel"}


@pytest.mark.parametrize("kind", FORMS)
def test_a_column_that_an_earlier_file_had_is_missed_also_where_it_is_optional(load, put, kind):
    """Else the plans, countries and channels of all rows would be taken away by a renamed header."""
    form, gone = FORMS[kind], OPTIONAL[kind]
    path = put(kind, form.file, form.text(*form.day_one))
    ask = load(kind, DAY_ONE)
    before = ask(form.total)
    put(kind, form.file, form.text(*form.day_one, *form.day_two).replace(gone, "Label"))
    with pytest.raises(SourceError) as refused:
        load(kind, DAY_TWO)
    told = str(refused.value)
    assert f"{path} has no column {gone} any more" in told
    assert "not read: Label" in told
    assert f'may_lack = ["{gone}"]' in told
    assert ask(form.total) == before
    # Named in the mapping it is read; declared as gone it is left out.
    mapping = put(kind, "mapping.toml", f'[columns]\n{gone} = "Label"\n')
    assert load(kind, DAY_TWO)(form.total) == [TOTALS[kind]]
    mapping.write_text(f'may_lack = ["{gone}"]\n')
    load(kind, DAY_THREE)


def test_a_new_file_is_held_against_the_newest_one_of_earlier_builds(load, put):
    put("orders", "2025-05-01.csv", ORDERS.text(*ORDERS.day_one))
    load("orders", DAY_ONE)
    put("orders", "2025-05-02.csv", ORDERS.text(*ORDERS.day_two).replace(",currency", ",Currency code"))
    with pytest.raises(
        SourceError, match=r"2025-05-02\.csv has no column currency any more, which 2025-05-01"
    ):
        load("orders", DAY_TWO)


def test_files_of_a_first_build_may_differ(load, put):
    put("orders", "a.csv", ORDERS.text(*ORDERS.day_one))
    put(
        "orders",
        "b.csv",
        "order_id,ordered_at,customer_id,sku,quantity,unit_price\n9,2025-05-09,c,A,1,1.00\n",
    )
    assert load("orders")(ORDERS.total) == [(4, 1250)]


def test_another_way_to_give_the_price_is_no_lost_column(load, put):
    put("orders", "a.csv", ORDERS.text(*ORDERS.day_one))
    load("orders", DAY_ONE)
    minor = ORDERS.text("1,2025-05-01 10:00,c1,A,2,800,EUR,DE").replace("unit_price", "amount_minor")
    put("orders", "a.csv", minor)
    assert load("orders", DAY_TWO)(ORDERS.total) == [(1, 800)]


@pytest.mark.parametrize("wrong", ['may_lack = "country"', "may_lack = [1]"])
def test_may_lack_is_a_list_of_columns(load, put, wrong):
    put("orders", "a.csv", ORDERS.text(*ORDERS.day_one))
    put("orders", "mapping.toml", wrong)
    with pytest.raises(SourceError, match=r"mapping\.toml: may_lack is a list"):
        load("orders")


@pytest.fixture
def shop(sqlite_store: Store, _sqlite_database: str) -> str:
    """The URL of a database with a customer, a subscription and a paid invoice."""
    open_shop(sqlite_store)
    write_documents(sqlite_store, subscribe(sqlite_store))
    return _sqlite_database


def copied(url: str, folder: Path) -> Path:
    """A copy of a SQLite database in one file, for a test to damage."""
    path = folder / "copy.db"
    with sqlite3.connect(url.removeprefix("sqlite:///")) as whole, sqlite3.connect(path) as copy:
        whole.backup(copy)
    return path


def test_a_column_of_the_database_that_is_gone_is_named_with_its_table(load, shop, tmp_path):
    path = copied(shop, tmp_path)
    with sqlite3.connect(path) as connection:
        for statement in (
            "PRAGMA legacy_alter_table = ON",
            "ALTER TABLE prices RENAME COLUMN price_scale TO scale",
            "ALTER TABLE credit_note_lines RENAME COLUMN line_id TO line",
            "ALTER TABLE invoices DROP COLUMN written_off_on",
            "DROP TABLE disputes",
        ):
            connection.execute(statement)
    told = "credit_note_lines.line_id, disputes, invoices.written_off_on, prices.price_scale"
    with pytest.raises(SourceError, match=rf"'billing' lacks {told} .*tajdid billing migrate"):
        load("billing", location=f"sqlite:///{path}")


def test_every_column_that_is_read_is_among_those_that_are_asked_for():
    """Where every query can be bound without a column, none reads it; the others must be asked for."""
    kinds = {"_at": "TIMESTAMPTZ", "_on": "DATE", "_ppm": "BIGINT", "_minor": "BIGINT", "_mantissa": "BIGINT"}
    dates = ("valid_from", "valid_to", "valid_start", "valid_end", "effective_start", "effective_end")
    dates += ("service_start", "service_end", "reference_start", "reference_end", "term_start", "term_end")

    def kind_of(column: str) -> str:
        if column in dates:
            return "DATE"
        if column.startswith("is_") or column == "auto_renew":
            return "BOOLEAN"
        whole = (
            "scale",
            "quantity_scale",
            "price_scale",
            "notice_days",
            "times",
            "position",
            "revision",
            "seq",
        )
        return (
            "BIGINT"
            if column in whole
            else next((kind for end, kind in kinds.items() if column.endswith(end)), "VARCHAR")
        )

    connection = duckdb.connect(":memory:")

    def view(name: str, without: str | None = None) -> None:
        columns = [column.name for column in tables.metadata.tables[name].columns if column.name != without]
        typed = ", ".join(f'NULL::{kind_of(column)} AS "{column}"' for column in columns)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW engine_{name} AS SELECT {typed}")

    queries = {
        query.replace("{after}", billing.BEGINNING)
        for table in billing.TABLES
        for query in (table.query, table.later or table.query)
    }
    read = sorted({name for query in queries for name in re.findall(r"\bengine_(\w+)", query)})
    assert set(read) == set(NEEDED)
    for name in read:
        view(name)
    for query in queries:
        connection.execute(f"EXPLAIN {query}")
    for name in read:
        reading = [query for query in queries if re.search(rf"\bengine_{name}\b", query)]
        names = [column.name for column in tables.metadata.tables[name].columns]
        assert set(NEEDED[name]) <= set(names)
        for column in [each for each in names if each not in NEEDED[name]]:
            view(name, without=column)
            for query in reading:
                connection.execute(f"EXPLAIN {query}")
        view(name)


# --- a database that is locked or damaged ---

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = DELETE")
connection.execute("PRAGMA locking_mode = EXCLUSIVE")
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_locked_database_is_said_to_be_locked_and_read_when_it_is_free(load, shop, tmp_path):
    path = copied(shop, tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    try:
        with pytest.raises(SourceError, match=r"'billing' is locked.*Wait until.*then build again"):
            load("billing", location=f"sqlite:///{path}")
    finally:
        holder.communicate()
    ask = load("billing", DAY_TWO, location=f"sqlite:///{path}")
    assert ask("SELECT count(*) FROM raw_billing.invoices") == [(1,)]


def cut_short(content: bytes) -> bytes:
    return content[: len(content) // 2]


def overwritten(content: bytes) -> bytes:
    return content[:8192] + bytes(len(content) - 8192)


def something_else(content: bytes) -> bytes:
    return b"This is no database. " * 1000


def test_a_damaged_database_is_said_to_be_damaged_and_nothing_of_it_stays(load, shop, tmp_path):
    path = copied(shop, tmp_path)
    whole = path.read_bytes()
    for damage in (cut_short, overwritten, something_else):
        path.write_bytes(damage(whole))
        with pytest.raises(SourceError, match=r"'billing' is damaged.*backup.*then build again"):
            load("billing", location=f"sqlite:///{path}")
    ask = load("billing", DAY_TWO, location=shop)
    assert ask("SELECT count(*), count(DISTINCT invoice_id) FROM raw_billing.invoices") == [(1, 1)]


# --- a day sent twice ---


def in_one_file(form: Form, put) -> None:
    put(form.kind, form.file, form.text(*form.day_one, *form.day_two, *form.day_one))


def in_two_files(form: Form, put) -> None:
    put(form.kind, f"1-{form.file}", form.text(*form.day_one, *form.day_two))
    put(form.kind, f"2-{form.file}", form.text(*form.day_one))


@pytest.mark.parametrize(
    ("kind", "send"),
    [
        ("periods", in_one_file),
        ("periods", in_two_files),
        ("orders", in_one_file),
        ("orders", in_two_files),
        ("crm", in_one_file),  # a CRM has one file a table
    ],
)
def test_a_day_that_is_sent_twice_counts_once_and_its_rows_are_set_aside(load, put, kind, send):
    form = FORMS[kind]
    send(form, put)
    ask = load(kind)
    assert ask(form.total) == [TOTALS[kind]]
    repeated = len(form.day_one)
    assert ask("SELECT reason, count(*) FROM raw_meta.rejects GROUP BY ALL") == [("duplicate_key", repeated)]
    assert ask("SELECT sum(rows_read - rows_accepted - rows_rejected)::INTEGER FROM raw_meta.loads") == [(0,)]
    # The next build finds the same files: nothing more comes in.
    assert load(kind, DAY_TWO)(form.total) == [TOTALS[kind]]


@pytest.mark.parametrize("copies", [2, 3, 4, 6])
def test_an_order_repeated_after_others_counts_once_however_often(load, put, copies):
    day = ["1,2025-05-01,c1,A,1,1.00,EUR,DE", "2,2025-05-01,c2,A,1,1.00,EUR,DE"]
    lines = [*day, "1,2025-05-01,c1,B,1,1.00,EUR,DE", "2,2025-05-01,c2,B,2,1.00,EUR,DE"]
    put("orders", "a.csv", ORDERS.text(*(lines * copies)))
    ask = load("orders")
    assert ask(ORDERS.total) == [(4, 500)]
    assert ask("SELECT row_number FROM raw_meta.rejects ORDER BY 1") == [
        (number,) for number in range(5, 4 * copies + 1)
    ]
    assert ask("SELECT original_row FROM raw_meta.rejects ORDER BY row_number DESC")[0][0].count('"B"') == 1


@pytest.mark.parametrize(
    "orders",
    [
        "1A 1A 2A",  # two equal lines of an order stand together: both were ordered
        "1A 2A 1B",  # an order goes on after another
        "1A 2A 1B 2B 1A",  # and comes back to a thing it had, which is no repetition of the whole
        "1A 1B 2A 1A",
    ],
)
def test_lines_that_only_look_alike_all_count(load, put, orders):
    sold = [f"{name[0]},2025-05-01,c{name[0]},{name[1]},1,1.00,EUR,DE" for name in orders.split()]
    put("orders", "a.csv", ORDERS.text(*sold))
    ask = load("orders")
    assert ask("SELECT count(*) FROM raw_meta.rejects") == [(0,)]
    assert ask(ORDERS.total) == [(len(sold), 100 * len(sold))]


def test_pieces_of_a_file_say_what_the_whole_says(load, put, monkeypatch):
    """An order, its numbers and its repetition reach across the pieces in which a file is read."""
    from pipelines.sources import files, orders

    lines = [*ORDERS.day_one, "bad", "4,2025-05-03,c9,A,x,1.00,EUR,DE", *ORDERS.day_two, *ORDERS.day_one]
    contradiction = "3,2025-05-02 09:00,other,B,4,1.00,EUR,DE"
    put("orders", "a.csv", ORDERS.text(*lines, contradiction))
    query = (
        "SELECT order_id, line_no, sku, amount_minor FROM raw_orders.order_lines ORDER BY ALL",
        "SELECT row_number, row_key, reason, column_name, original_row, amount_minor "
        "FROM raw_meta.rejects ORDER BY 1",
        "SELECT order_id, customer_id, ordered_at, country FROM raw_orders.orders ORDER BY ALL",
    )
    ask = load("orders")
    whole = [ask(sql) for sql in query]
    assert [row[:3:2] for row in whole[1]] == [
        (4, "bad_row"),
        (5, "bad_amount"),
        *((number, "duplicate_key") for number in (7, 8, 9, 10)),
    ]
    for table in ("raw_orders.order_lines", "raw_orders.orders", "raw_meta.rejects", "raw_meta.files"):
        ask(f"DELETE FROM {table}")
    pieces = files.read_pieces
    monkeypatch.setattr(orders, "read_pieces", lambda path, layout: pieces(path, layout, 2))
    assert [load("orders", DAY_ONE)(sql) for sql in query] == whole


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_file_in_pieces_keeps_its_rows_numbers_and_bad_lines(tmp_path, name):
    from pipelines.sources.files import FileFormat, read_pieces, read_rows

    path = tmp_path / name
    if name.endswith("csv"):
        rows = [f"{number},x" if number % 3 else f"{number},x,y" for number in range(1, 20)]
        path.write_text("\n".join(["a,b", *rows]) + "\n")
    else:
        pl.DataFrame({"a": [str(number) for number in range(1, 20)], "b": ["x"] * 19}).write_parquet(path)
    whole = read_rows(path, FileFormat())
    for size in (1, 2, 5, 18, 19, 100):
        parts = list(read_pieces(path, FileFormat(), size))
        assert pl.concat([part.frame for part in parts]).equals(whole.frame)
        assert pl.concat([part.broken for part in parts]).equals(whole.broken)
        assert all(part.frame.height <= size for part in parts)
    numbers = whole.frame["__row_number"].cast(pl.String)
    assert (numbers == whole.frame["a"]).all()
    assert whole.rows_read == 19


# --- clocks out of order ---


def test_a_row_recorded_after_the_build_began_is_set_aside(load, put):
    form = PERIODS
    header = form.header + ",recorded_at"
    rows = [f"{row},2025-06-0{number}" for number, row in enumerate((*form.day_one, *form.day_two), start=1)]
    put("periods", "a.csv", "\n".join([header, *rows]) + "\n")
    ask = load("periods", DAY_TWO)
    assert ask("SELECT row_number, reason, column_name FROM raw_meta.rejects") == [
        (3, "future_recorded_at", "recorded_at")
    ]
    put(
        "crm",
        "nps.csv",
        "response_id,customer_id,answered_on,score,recorded_at\nr,c,2025-01-01,9,2025-06-03\n",
    )
    load("crm", DAY_TWO)
    assert ask("SELECT reason FROM raw_meta.rejects WHERE target_table = 'raw_crm.nps'") == [
        ("future_recorded_at",)
    ]


NPS = "response_id,customer_id,answered_on,score,recorded_at\nr1,c1,2025-01-01,{},{}\n"
NEWEST = "SELECT {} FROM {} ORDER BY recorded_at DESC, load_id DESC LIMIT 1"


def test_a_correction_dated_before_what_it_corrects_counts_and_comes_in_once(load, put):
    """The clock of the CRM was set back between two exports."""
    put("crm", "nps.csv", NPS.format(9, "2025-05-20"))
    load("crm", DAY_ONE)
    put("crm", "nps.csv", NPS.format(3, "2025-05-10"))
    ask = load("crm", DAY_TWO)
    assert ask(NEWEST.format("score, recorded_at", "raw_crm.nps")) == [(3, DAY_TWO)]
    put("crm", "nps.csv", NPS.format(3, "2025-05-10") + "r2,c1,2025-01-01,1,2025-05-10\n")
    load("crm", DAY_THREE)
    assert ask("SELECT count(*) FROM raw_crm.nps WHERE response_id = 'r1'") == [(2,)]


def test_a_period_recorded_against_the_order_of_its_versions_counts(load, put):
    row = "s1,c1,2025-01-01,,{},EUR,basic,{}\n"
    header = PERIODS.header + ",recorded_at\n"
    put("periods", "a.csv", header + row.format("12.00", "2025-05-20"))
    load("periods", DAY_ONE)
    put("periods", "a.csv", header + row.format("13.00", "2025-05-10"))
    ask = load("periods", DAY_TWO)
    newest = NEWEST.format("amount_minor, recorded_at", "raw_billing.subscription_versions")
    assert ask(newest) == [(1300, DAY_TWO)]
    put("periods", "b.csv", header)
    load("periods", DAY_THREE)
    assert ask("SELECT count(*) FROM raw_billing.subscription_versions") == [(2,)]


def name_of(ask, customer_id: str = "c1") -> str:
    sql = NEWEST.format(
        "name", f"raw_billing.customers WHERE customer_id = '{customer_id}' AND valid_to IS NULL"
    )
    ((name,),) = ask(sql)
    return name


@pytest.mark.parametrize("back", [timedelta(0), timedelta(minutes=5)])
def test_a_change_in_the_database_dated_before_the_last_one_counts(sqlite_store, load, shop, back):
    """Two changes within one tick, or the engine's clock was set back by a little."""
    moment = DAY_ONE
    table = tables.invoices
    sqlite_store.update(table, [{"invoice_id": "i1", "number": "one"}], moment)
    load("billing", DAY_TWO, shop)
    sqlite_store.update(table, [{"invoice_id": "i1", "number": "two"}], moment - back)
    ask = load("billing", DAY_THREE, shop)
    newest = NEWEST.format("invoice_no", "raw_billing.invoices")
    assert ask(newest) == [("two",)]
    (before,) = ask("SELECT count(*) FROM raw_billing.invoices")
    load("billing", DAY_THREE + timedelta(days=1), shop)
    assert ask("SELECT count(*) FROM raw_billing.invoices") == [before]
    sqlite_store.update(table, [{"invoice_id": "i1", "number": "three"}], moment + timedelta(minutes=1))
    load("billing", DAY_THREE + timedelta(days=2), shop)
    assert ask(newest) == [("three",)]


def test_a_row_dated_in_the_future_hides_no_row_that_comes_after_it(sqlite_store, load, shop):
    """Else the database would be read from that future on, and miss all that is written until then."""
    ahead = DAY_TWO + timedelta(days=300)
    sqlite_store.update(tables.plans, [{"plan_id": "team", "name": "Later"}], ahead)
    load("billing", DAY_TWO, shop)
    at = DAY_TWO + timedelta(hours=5)
    customers.change_customer(sqlite_store, at, customer_id="c1", name="Ann & Co")
    ask = load("billing", DAY_THREE, shop)
    assert name_of(ask) == "Ann & Co"
    load("billing", DAY_THREE + timedelta(days=1), shop)
    assert ask("SELECT count(*) FROM raw_billing.plans WHERE plan_name = 'Later'") == [(1,)]


# --- what names nothing ---

ACCOUNTS = "account_id,customer_id\na1,c1\n"
CONTACTS = "contact_id,account_id,role\nk1,a1,buyer\nk2,a2,buyer\n"


def test_a_contact_of_an_account_that_no_export_has_is_set_aside_until_one_has_it(load, put):
    put("crm", "accounts.csv", ACCOUNTS)
    put("crm", "contacts.csv", CONTACTS)
    put("crm", "activities.csv", "activity_id,account_id,happened_at\nv1,a9,2025-05-01\nv2,a1,2025-05-01\n")
    ask = load("crm", DAY_ONE)
    found = "SELECT target_table, row_number, reason, column_name FROM raw_meta.rejects ORDER BY 1"
    assert ask(found) == [
        ("raw_crm.activities", 1, "unknown_reference", "account_id"),
        ("raw_crm.contacts", 2, "unknown_reference", "account_id"),
    ]
    put("crm", "accounts.csv", ACCOUNTS + "a2,c2\n")
    load("crm", DAY_TWO)
    assert ask(found) == [("raw_crm.activities", 1, "unknown_reference", "account_id")]
    assert ask("SELECT contact_id, recorded_at FROM raw_crm.contacts ORDER BY 1") == [
        ("k1", DAY_ONE),
        ("k2", DAY_TWO),
    ]
    # An account that a later export leaves out was there: what names it stays.
    put("crm", "accounts.csv", ACCOUNTS)
    put("crm", "contacts.csv", CONTACTS + "k3,a2,finance\n")
    load("crm", DAY_THREE)
    assert ask("SELECT count(*) FROM raw_crm.contacts") == [(3,)]


def test_a_crm_without_accounts_refuses_nobody(load, put):
    put("crm", "contacts.csv", CONTACTS)
    ask = load("crm")
    assert ask("SELECT count(*) FROM raw_crm.contacts") == [(2,)]


# --- a void invoice ---


def test_rated_usage_without_use_goes_when_its_invoice_is_voided(sqlite_store, load, shop):
    """A flat fee stands on the last day of its period; when its invoice is void, nothing does."""
    latest = (
        "SELECT used_on, rated_minor FROM raw_billing.usage_days "
        "QUALIFY row_number() OVER (PARTITION BY used_on ORDER BY recorded_at DESC, load_id DESC) = 1"
    )
    ask = load("billing", DAY_ONE, shop)
    last_day = date(2024, 3, 31)
    assert ask(latest) == [(last_day, 2000)]
    voided = datetime(2024, 4, 5, tzinfo=UTC)
    sqlite_store.update(tables.invoices, [{"invoice_id": "i1", "state": "void"}], voided)
    load("billing", DAY_TWO, shop)
    assert ask(latest) == [(last_day, 0)]
    # Read from nothing it says the same.
    ask("DELETE FROM raw_billing.usage_days")
    ask("DELETE FROM raw_meta.watermarks")
    load("billing", DAY_THREE, shop)
    assert ask(latest) == [(last_day, 0)]
    assert sqlite_store.row(select(tables.invoices.c.state))["state"] == "void"
