"""What the dashboard is told by the billing engine, on both databases: right, found by index, and nothing is
written."""

from __future__ import annotations

import hashlib
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import event, insert, make_url, select

from billing.service.policies import set_policy
from billing.service.subscriptions import change_quantity
from billing.store import store as stores
from billing.store import tables
from billing.store.store import open_store, open_to_look
from dashboard.engine import (
    BUSY,
    NEWER_FORM,
    NOT_THERE,
    OLDER_FORM,
    REFUSED,
    UNKNOWN,
    Change,
    Engine,
    EngineProblem,
    Wanted,
)
from tajdid.engine.company import CompanyEngine, company_engine
from tajdid.engine.runs import keep_examination
from tajdid.workspace import load_company

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dashboard"))
import tiny_engine

HOSTILE = [
    "",
    " ",
    "'; DROP TABLE invoices; --",
    "INV-2025-000001' OR '1'='1",
    "%",
    "../../etc/passwd",
    "\u202eINV",
    "<script>alert(1)</script>",
    "x" * 10_000,
    "null",
]
LARGE = (
    "invoices",
    "line_items",
    "payments",
    "journal_entries",
    "journal_lines",
    "applications",
    "audit_log",
)


@dataclass(frozen=True)
class World:
    folder: Path
    url: str
    engine: Engine


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    pool = request.getfixturevalue("_sqlite_pool" if request.param == "sqlite" else "_postgres_pool")
    url = pool.take()
    with open_store(url) as store:
        tiny_engine.fill(store)
    folder = tmp_path_factory.mktemp("home") / "tiny"
    folder.mkdir()
    (folder / "company.toml").write_text(tiny_engine.COMPANY.format(url=url), encoding="utf-8")
    engine = company_engine(folder)
    assert engine is not None
    yield World(folder, url, engine)
    pool.give_back(url)


def first_invoice(world: World) -> str:
    own = world.engine.documents(Wanted(customers=("anna",)), None, 10).rows
    return str(own["invoice_no"][-1])


# Runs.


def test_a_run_tells_what_it_posted_and_that_its_journal_balances(world: World) -> None:
    february, january = world.engine.runs("bill", 10)
    assert (february.up_to, january.up_to) == (date(2025, 2, 1), date(2025, 1, 1))
    assert (january.customers, january.invoices, january.parked, february.parked) == (4, 3, 1, 0)
    for run in (january, february):
        posted = world.engine.posted(run.key)
        found = posted.documents.select("kind", "currency", "documents", "net_minor", "tax_minor").rows()
        assert found == [
            ("invoice", "EUR", 2, 6800 + 6000, 1292 + 1140),
            ("invoice", "KWD", 1, 3000, 570),
        ]
        assert posted.is_balanced
        assert sorted(posted.journal.rows()) == [("EUR", 15232, 15232), ("KWD", 3570, 3570)]
        own = world.engine.documents(Wanted(run=run.key), None, 10).rows
        assert own.height == run.invoices
        assert int(own["total_minor"].sum()) == int(posted.documents["total_minor"].sum())
    assert [one.kind for one in world.engine.runs(None, 10)] == ["dun", "bill", "bill"]
    assert [one.kind for one in world.engine.runs("dun", 10)] == ["dun"]
    assert world.engine.runs("nonsense", 10) == []


def test_who_is_set_aside_is_named_with_the_reason(world: World) -> None:
    rows = world.engine.set_aside(10)
    assert rows.select("customer_id", "code").rows() == [("cleo", "no_tax_rate")]


def test_the_doctors_last_findings_are_kept_and_a_broken_file_is_none(world: World) -> None:
    assert world.engine.examination() is None
    finding = {"check": "sums", "table": "invoices", "key": {"invoice_id": "i1"}, "sentence": "They add up."}
    keep_examination(world.folder, tiny_engine.at(2, 20), 123, [finding], 7)
    last = world.engine.examination()
    assert last is not None
    assert (last.checks, last.count, last.examined_at) == (123, 7, tiny_engine.at(2, 20))
    assert last.findings.rows() == [("sums", "invoices", "invoice_id i1", "They add up.")]
    (world.folder / "logs" / "doctor.json").write_text('{"examined_at": 1', encoding="utf-8")
    assert world.engine.examination() is None


# Documents.


def test_documents_are_counted_by_state_with_what_is_open(world: World) -> None:
    counts = world.engine.document_counts(None)
    # Anna 80.92 − 30.00 paid − 5.95 credited and 80.92, Dora twice 71.40.
    assert counts.filter(state="open").drop("state").rows() == [
        ("EUR", 4, 8092 - 3000 - 595 + 8092 + 2 * 7140, False),
        ("KWD", 2, 7140, False),
    ]
    assert counts.filter(state="credit_note")["documents"].to_list() == [1]
    own = world.engine.document_counts(("bert",))
    assert own.filter(state="open").drop("state").rows() == [("KWD", 2, 7140, False)]


@pytest.mark.parametrize("state", [None, "open", "past_due", "paid", "credit_note"])
@pytest.mark.parametrize("customers", [None, ("anna", "dora")])
def test_pages_give_every_document_once(
    world: World, state: str | None, customers: tuple[str, ...] | None
) -> None:
    wanted = Wanted(state, customers)
    whole = world.engine.documents(wanted, None, 100).rows["document_id"].to_list()
    paged, after = [], None
    while True:
        page = world.engine.documents(wanted, after, 2)
        paged += page.rows["document_id"].to_list()
        after = page.following
        if after is None:
            break
    assert paged == whole
    assert len(set(whole)) == len(whole)
    assert (len(whole) == 0) == (state == "paid")
    # A place that nobody gave out is no error.
    assert world.engine.documents(wanted, "nonsense~~", 2).rows.height <= 2


def test_a_line_is_explained_so_that_it_can_be_worked_out_again(world: World) -> None:
    one = world.engine.document(first_invoice(world), "en")
    fee, seats = one.lines
    assert (one.net_minor, one.tax_minor, one.total_minor, one.open_minor) == (6800, 1292, 8092, 4497)
    assert one.settled_minor + one.open_minor == one.total_minor
    assert (fee.explained.quantity, fee.explained.unit_price, fee.net_minor) == (1, 10, 1000)
    steps = [
        (step.first, step.last, step.units, step.unit_price, step.amount) for step in seats.explained.steps
    ]
    assert steps == [(1, 10, 10, 5, 50), (11, None, 2, 4, 8)]
    assert seats.explained.whole == Decimal(58)
    assert seats.net_minor == 5800
    assert (seats.explained.level, dict(seats.explained.not_taken)) == ("list", {"wrong_currency": 1})
    assert "Graduated price" in seats.explained.told[-1]
    arabic = world.engine.document(first_invoice(world), "ar").lines[1].explained.told[-1]
    assert "سعر متدرج" in arabic
    assert (
        int(one.journal["debit_minor"].sum())
        == int(one.journal["credit_minor"].sum())
        == 8092 + 2 * 3000 + 595
    )
    assert one.notes.select("net_minor", "tax_minor").rows() == [(500, 95)]
    assert one.dunning["kind"].to_list()[-1] == "final_notice"


def test_a_credit_note_names_what_it_corrects(world: World) -> None:
    number = world.engine.documents(Wanted("credit_note"), None, 5).rows["invoice_no"][0]
    note = world.engine.document(number, "en")
    assert (note.kind, note.total_minor, note.corrects) == ("credit_note", 595, (first_invoice(world),))
    assert [line.net_minor for line in note.lines] == [500]
    assert note.journal["debit_minor"].sum() == 595


def test_a_document_is_given_as_it_is_sent(world: World) -> None:
    number = first_invoice(world)
    english, arabic = world.engine.pdf(number, "en"), world.engine.pdf(number, "ar")
    assert english.startswith(b"%PDF")
    assert arabic.startswith(b"%PDF")
    assert english != arabic
    assert f'"number": "{number}"' in world.engine.json(number)


def test_the_queue_tells_the_next_act_and_what_is_past_due(world: World) -> None:
    (row,) = world.engine.dunning(None, 10).rows(named=True)
    # The first invoice fell due on 15 January: after 60 days it is handed over.
    assert (row["customer_id"], row["last_step"], row["next_step"]) == ("anna", "final_notice", "collection")
    assert row["next_on"] == date(2025, 3, 16)
    assert row["open_minor"] == 4497 + 8092
    assert world.engine.dunning(("bert",), 10).is_empty()


# Catalogue.


def test_a_quantity_is_priced_by_the_engine(world: World) -> None:
    prices = world.engine.prices("basic.1.seats", None, 10)
    assert prices["list_id"].to_list() == ["standard", "dinars"]
    graduated = world.engine.try_price("standard.basic.1.seats", "12.5")
    assert (graduated.exact, graduated.posted_minor) == (Decimal(60), 6000)
    assert [step.units for step in graduated.steps] == [10, Decimal("2.5")]
    volume = world.engine.try_price("standard.pro.1.seats", "12")
    assert (volume.exact, [step.first for step in volume.steps]) == (48, [11])
    assert world.engine.try_price("dinars.basic.1.fee", "9").posted_minor == 3000
    for text, code in (
        ("abc", "bad_decimal"),
        ("-1", "negative_quantity"),
        ("9" * 40, "amount_out_of_range"),
    ):
        with pytest.raises(EngineProblem) as refused:
            world.engine.try_price("standard.basic.1.seats", text)
        assert (refused.value.kind, refused.value.code) == (REFUSED, code)


# Previews.

CHANGES = [
    Change("sub-dora", "nothing", date(2025, 2, 15), date(2025, 3, 1)),
    Change("sub-dora", "quantity", date(2025, 2, 15), date(2025, 3, 1), quantity="20"),
    Change("sub-dora", "plan", date(2025, 2, 15), date(2025, 3, 1), plan_id="pro", when="now"),
    Change("sub-dora", "pause", date(2025, 2, 15), date(2025, 3, 1)),
    Change("sub-dora", "cancel", date(2025, 2, 15), date(2025, 2, 15), when="now"),
    Change("sub-dora", "add_on", date(2025, 2, 15), date(2025, 2, 15), plan_id="support"),
]
REFUSED_CHANGES = [
    (replace(CHANGES[1], subscription_id="sub-anna"), "overdue_restricted"),
    (replace(CHANGES[1], subscription_id="nobody's"), "unknown_subscription"),
    (replace(CHANGES[1], quantity="many"), "bad_decimal"),
    (replace(CHANGES[2], plan_id="'; --"), "unknown_plan"),
    (replace(CHANGES[0], act="resume"), "illegal_transition"),
    (replace(CHANGES[0], act="destroy"), "unknown_setting"),
    (replace(CHANGES[0], up_to=date(2025, 1, 1)), "empty_period"),
]


def contents(world: World) -> dict[str, Any]:
    """All there is: the bytes of a file and what lies beside it, or every row of a server's tables."""
    address = make_url(world.url)
    if address.get_backend_name() == "sqlite":
        path = Path(str(address.database))
        return {
            one.name: hashlib.sha256(one.read_bytes()).hexdigest()
            for one in path.parent.glob(f"{path.name}*")
        }
    with open_to_look(world.url) as store:
        return {
            name: sorted(map(str, store.rows(select(table))))
            for name, table in tables.metadata.tables.items()
        }


def settle(world: World) -> None:
    """Let SQLite bring what was written before into its file."""
    address = make_url(world.url)
    if address.get_backend_name() == "sqlite":
        with sqlite3.connect(str(address.database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()


def test_previews_write_nothing_not_even_those_that_are_refused(world: World) -> None:
    settle(world)
    before = contents(world)
    for change in CHANGES:
        world.engine.preview(change, "en")
    for change, code in REFUSED_CHANGES:
        with pytest.raises(EngineProblem) as refused:
            world.engine.preview(change, "ar")
        assert (refused.value.kind, refused.value.code) == (REFUSED, code)
    assert contents(world) == before


def test_a_preview_is_what_a_pencil_says(world: World) -> None:
    nothing, quantity, plan, pause, cancel, add_on = (world.engine.preview(one, "en") for one in CHANGES)
    # 10 + 50 a month, with 19 %.
    assert nothing.total_minor("EUR") == 7140
    # Half of February: 45.00 for 20 seats less 25.00 for 10; March: 10 + 90. 120.00 and 19 %.
    assert quantity.total_minor("EUR") == 14280
    nets = [(line.entry, line.net_minor) for _, _, line in quantity.lines]
    assert sorted(nets) == [("charge", 1000), ("charge", 4500), ("charge", 9000), ("credit", -2500)]
    # pro: 25 + 10 × 5 = 75.00; half of February 37.50 less 30.00, and March: 82.50 and 19 %.
    assert plan.total_minor("EUR") == 9818
    # Half of February back, and no March.
    assert pause.total_minor("EUR") == -3570
    assert cancel.total_minor("EUR") == -3570
    # 31.00 × 14/28 = 15.50 and 19 %.
    assert add_on.total_minor("EUR") == 1845
    (line,) = (line for _, _, line in add_on.lines)
    assert (line.explained.part, line.explained.of, line.explained.unit_price) == (14, 28, 31)
    assert any("14" in words and "28" in words for words in line.explained.told)


def test_who_cannot_be_billed_is_told_instead(world: World) -> None:
    found = world.engine.preview(Change("sub-cleo", "nothing", date(2025, 2, 15), date(2025, 3, 1)), "en")
    assert found.failures["code"].to_list() == ["no_tax_rate"]


def test_an_account_tells_what_it_subscribes_to(world: World) -> None:
    account = world.engine.account("dora", date(2025, 2, 15))
    (one,) = account.subscriptions
    (item,) = one.items
    assert (account.name, one.next_boundary) == (tiny_engine.HOSTILE, date(2025, 3, 1))
    assert (item.plan_name, item.quantity, item.has_quantity, item.recurring_minor) == (
        "Basic",
        10,
        True,
        6000,
    )


# What must not happen.


def test_the_connection_itself_refuses_to_write(world: World) -> None:
    row = {"code": "XXX", "exponent": 2, "recorded_at": tiny_engine.FIRST}
    with open_to_look(world.url) as store, pytest.raises(Exception, match=r"read.?only"):
        store.execute(insert(tables.currencies), row)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_ids_are_answered_in_plain_words(world: World, text: str) -> None:
    asked: list[Callable[[], object]] = [
        lambda: world.engine.document(text, "en"),
        lambda: world.engine.owner_of(text),
        lambda: world.engine.pdf(text, "en"),
        lambda: world.engine.json(text),
        lambda: world.engine.run(text),
        lambda: world.engine.price(text),
        lambda: world.engine.account(text, date(2025, 2, 15)),
    ]
    for ask in asked:
        with pytest.raises(EngineProblem) as problem:
            ask()
        assert problem.value.kind in (UNKNOWN, REFUSED)
    wanted = Wanted(state=text or "x", customers=(text,), number=text)
    assert world.engine.documents(wanted, text, 5).rows.is_empty()
    assert world.engine.prices(text, text, 5).is_empty()
    assert world.engine.names([text]) == {}


def test_why_there_is_no_answer_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tiny"
    tiny_engine.publish(folder)
    path = folder / "billing.db"
    engine = company_engine(folder)
    assert engine is not None
    monkeypatch.setattr(stores, "_LOOKING_WAITS", 0)
    with sqlite3.connect(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(EngineProblem) as busy:
            engine.preview(CHANGES[0], "en")
        other.execute("ROLLBACK")
        other.execute("UPDATE alembic_version SET version_num = '0001'")
    assert busy.value.kind == BUSY
    with pytest.raises(EngineProblem) as older:
        engine.plans()
    assert older.value.kind == OLDER_FORM
    with sqlite3.connect(path) as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(EngineProblem) as newer:
        engine.plans()
    assert newer.value.kind == NEWER_FORM
    for left in folder.glob("billing.db*"):
        left.unlink()
    path.write_bytes(b"no database at all, but long enough to look like a page of one" * 100)
    with pytest.raises(EngineProblem) as gone:
        engine.plans()
    assert gone.value.kind == NOT_THERE
    path.unlink()
    with pytest.raises(EngineProblem) as missing:
        engine.plans()
    assert missing.value.kind == NOT_THERE
    assert company_engine(folder) is None
    (folder / "company.toml").write_text("not = [toml", encoding="utf-8")
    assert company_engine(folder) is None


def test_no_answer_reads_a_large_table_whole(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    tiny_engine.publish(folder)
    engine = CompanyEngine(load_company(tmp_path, "tiny"))
    path = folder / "billing.db"
    asked: dict[str, Any] = {}
    looking = stores._looking_engine(str(path), False)

    @event.listens_for(looking, "before_cursor_execute")
    def keep(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        asked[statement] = parameters

    run = engine.runs(None, 10)[-1].key
    engine.posted(run)
    for customers in (None, ("anna", "dora")):
        engine.document_counts(customers)
        engine.dunning(customers, 10)
        engine.collections(customers, 10)
        for state in (None, "open", "past_due", "paid", "void", "uncollectible", "credit_note"):
            place = engine.documents(Wanted(state, customers), None, 1).following
            engine.documents(Wanted(state, customers), place, 1)
    page = engine.documents(Wanted(run=run), None, 1)
    engine.documents(Wanted(run=run), page.following, 1)
    engine.document(page.rows["invoice_no"][0], "en")
    engine.account("anna", date(2025, 2, 15))
    assert len(asked) > 40
    with sqlite3.connect(path) as connection:
        for statement, parameters in asked.items():
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            whole = [step for step in plan if step.startswith("SCAN") and step.split()[1] in LARGE]
            # In the order of its key, a scan ends with the page.
            read = [
                step for step in whole if "USING INDEX" not in step and "USING COVERING INDEX" not in step
            ]
            assert read == [], f"{statement}\n{plan}"


def test_customers_who_are_set_aside_are_found_by_their_index(tmp_path: Path) -> None:
    tiny_engine.publish(tmp_path / "tiny")
    asked: list[str] = []
    looking = stores._looking_engine(str(tmp_path / "tiny" / "billing.db"), False)

    @event.listens_for(looking, "before_cursor_execute")
    def keep(_c: Any, _cursor: Any, statement: str, _p: Any, _context: Any, _many: bool) -> None:
        asked.append(statement)

    CompanyEngine(load_company(tmp_path, "tiny")).set_aside(10)
    (statement,) = [one for one in asked if "parked_at IS NOT NULL" in one]
    with sqlite3.connect(tmp_path / "tiny" / "billing.db") as connection:
        (step,) = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", (10, 0))]
    assert "ix_customers_parked_at" in step


def test_sums_are_whole_numbers_on_both_databases(world: World) -> None:
    counts = world.engine.document_counts(None)
    assert counts.schema["open_minor"] == pl.Int64


def test_what_waits_for_its_days_of_grace_is_a_draft(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    tiny_engine.publish(folder)
    with open_store(f"sqlite:///{folder / 'billing.db'}") as store:
        set_policy(store, tiny_engine.at(2, 10), settings={"grace_days": 10}, valid_from=date(2025, 2, 10))
        change_quantity(store, tiny_engine.at(2, 15), subscription_id="sub-dora", quantity=20)
    engine = company_engine(folder)
    assert engine is not None
    (draft,) = engine.drafts("dora").rows(named=True)
    # Half of February: 45.00 less 25.00, and 19 %.
    assert (draft["issue_on"], draft["total_minor"], draft["held"]) == (date(2025, 2, 25), 2380, None)
    assert engine.drafts("bert").is_empty()
    with pytest.raises(EngineProblem):
        engine.drafts("nobody")
