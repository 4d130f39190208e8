"""`tajdid billing`: run, import-usage and retry, as a person uses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import select, update

from billing.jobs.bill_run import bill
from billing.service import catalog, customers, subscriptions
from billing.service.catalog import NewComponent, NewPrice
from billing.service.goods import create_sku
from billing.service.policies import set_policy
from billing.service.subscriptions import NewContract
from billing.store import tables
from billing.store.store import IdGenerator, open_store

OPENED = datetime(2025, 1, 1, 6, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A workspace of one company: anna pays 10.00 a month and 0.01 a call; her tax rate is not known."""
    company = tmp_path / "acme"
    company.mkdir()
    (company / "company.toml").write_text('name = "acme"\n')
    with open_store(f"sqlite:///{company / 'billing.db'}", IdGenerator(1)) as store:
        store.migrate()
        catalog.create_legal_entity(store, OPENED, entity_id="seller", name="Seller", country="DE")
        catalog.create_product(store, OPENED, product_id="goods", name="Goods")
        catalog.create_meter(store, OPENED, meter_id="calls", name="Calls")
        catalog.create_plan(store, OPENED, plan_id="plan", name="Plan", product_id="goods")
        parts = [NewComponent("fee", "fee"), NewComponent("calls", "usage", "calls")]
        catalog.publish_plan_version(store, OPENED, plan_id="plan", interval="P1M", components=parts)
        catalog.create_price_list(
            store,
            OPENED,
            list_id="list",
            name="List",
            currency="EUR",
            valid_start=OPENED.date(),
            prices=[NewPrice("plan.1.fee", "flat", "10"), NewPrice("plan.1.calls", "per_unit", "0.01")],
        )
        customers.create_customer(
            store, OPENED, customer_id="anna", name="Anna", entity_id="seller", currency="EUR", country="DE"
        )
        subscriptions.subscribe(store, OPENED, customer_id="anna", plan_id="plan")
        item = store.row(select(tables.items.c.item_id))
        assert item is not None
    events = pl.DataFrame(
        {
            "source": "file",
            "event_id": ["e1", "e2"],
            "item_id": [item["item_id"], "nothing"],
            "meter_id": "calls",
            "value": "100",
            "occurred_at": "2025-01-10T08:00:00Z",
        }
    )
    events.write_csv(tmp_path / "usage.csv")
    events.head(1).write_parquet(tmp_path / "usage.parquet")
    return tmp_path


def billing(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tajdid", "billing", *arguments],
        env=os.environ | {"TAJDID_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_usage_is_taken_in_and_billed_and_who_is_set_aside_is_retried(home: Path) -> None:
    taken = billing(home, "import-usage", str(home / "usage.parquet"))
    assert (taken.returncode, "accepted         1" in taken.stdout) == (0, True), taken.stderr
    both = billing(home, "import-usage", str(home / "usage.csv"))
    assert both.returncode == 3
    assert "duplicate        1" in both.stdout
    assert "{'unknown_item': 1}" in both.stdout
    ran = billing(home, "run", "--up-to", "2025-02-01")
    assert (ran.returncode, "1 of 1 due looked at" in ran.stdout) == (3, True), ran.stderr
    listed = billing(home, "retry")
    assert (listed.returncode, "anna" in listed.stdout) == (3, True), listed.stderr
    with open_store(f"sqlite:///{home / 'acme' / 'billing.db'}") as store:
        rate_from = date(2020, 1, 1)
        catalog.add_tax_rate(store, OPENED, country="DE", tax_rate_ppm=190_000, valid_from=rate_from)
    again = billing(home, "retry", "anna", "--up-to", "2025-02-01")
    assert again.returncode == 0, again.stderr
    assert "lines            3" in again.stdout
    assert "Nobody is set aside." in again.stdout


def test_a_wrong_file_or_name_is_refused_in_plain_words(home: Path) -> None:
    pl.read_csv(home / "usage.csv").drop("value").write_csv(home / "wrong.csv")
    wrong = billing(home, "import-usage", str(home / "wrong.csv"))
    assert (wrong.returncode, "A column is missing." in wrong.stderr) == (2, True)
    nobody = billing(home, "retry", "nobody")
    assert (nobody.returncode, "no such customer" in nobody.stderr) == (2, True)
    assert billing(home, "import-usage").returncode == 2


def test_a_term_that_is_over_ends_its_subscription_before_the_run(home: Path) -> None:
    with open_store(f"sqlite:///{home / 'acme' / 'billing.db'}", IdGenerator(2)) as store:
        catalog.add_tax_rate(store, OPENED, country="DE", tax_rate_ppm=190_000, valid_from=date(2020, 1, 1))
        subscriptions.subscribe(
            store,
            OPENED,
            customer_id="anna",
            plan_id="plan",
            contract=NewContract("P6M", auto_renew=False),
        )
    ran = billing(home, "run", "--up-to", "2025-12-31")
    assert (ran.returncode, "terms: 0 renewed, 1 ended" in ran.stdout) == (0, True), ran.stderr
    # 12 fees of the subscription without a term, 6 of the one that ended.
    assert "lines            18" in ran.stdout
    again = billing(home, "run", "--up-to", "2025-12-31")
    assert "terms: 0 renewed, 0 ended" in again.stdout


def test_drafts_are_listed_with_the_day_of_their_issue(home: Path) -> None:
    done = billing(home, "drafts")
    assert (done.returncode, done.stdout) == (0, "No invoice is a draft.\n")
    with open_store(f"sqlite:///{home / 'acme' / 'billing.db'}") as store:
        catalog.add_tax_rate(store, OPENED, country="DE", tax_rate_ppm=190_000, valid_from=date(2020, 1, 1))
        set_policy(store, OPENED, valid_from=OPENED.date(), settings={"grace_days": 3})
    listed = billing(home, "drafts", "--up-to", "2025-01-02")
    assert listed.returncode == 0, listed.stderr
    assert "anna" in listed.stdout
    assert "2025-01-04" in listed.stdout
    assert "1190" in listed.stdout
    assert billing(home, "drafts", "--customer", "nobody").returncode == 2


def test_money_that_is_overdue_is_asked_for_once_a_day(home: Path) -> None:
    done = billing(home, "dun")
    assert done.returncode == 0, done.stderr
    assert "messages" in done.stdout
    assert "tajdid billing dun --company atlas" in billing(home, "dun", "--help").stdout


def test_an_approval_is_listed_and_decided(home: Path) -> None:
    row = {
        "approval_id": "apr_1",
        "kind": "collection",
        "customer_id": "anna",
        "subject_id": "case",
        "details": '{"items": [], "overdue_minor": 12000}',
        "state": "pending",
        "proposed_on": OPENED.date(),
    }
    with open_store(f"sqlite:///{home / 'acme' / 'billing.db'}") as store:
        store.insert(tables.approvals, [row], OPENED)
    assert "apr_1  collection of anna" in billing(home, "approvals").stdout
    assert billing(home, "approvals", "--approve", "a", "--reject", "b").returncode == 2
    done = billing(home, "approvals", "--reject", "apr_1", "--by", "Mona")
    assert (done.returncode, done.stdout) == (0, "Nothing waits for approval.\n"), done.stderr
    again = billing(home, "approvals", "--approve", "apr_1", "--by", "Mona")
    assert (again.returncode, "rejected" in again.stderr) == (2, True)


def test_the_doctor_is_silent_on_sound_data_and_names_what_is_broken(home: Path) -> None:
    with open_store(f"sqlite:///{home / 'acme' / 'billing.db'}", IdGenerator(2)) as store:
        catalog.add_tax_rate(store, OPENED, country="DE", tax_rate_ppm=190_000, valid_from=date(2020, 1, 1))
        bill(store, OPENED, up_to=OPENED.date())
    sound = billing(home, "doctor")
    assert (sound.returncode, ", 0 findings\n" in sound.stdout) == (0, True), sound.stdout + sound.stderr
    assert json.loads(billing(home, "doctor", "--json").stdout) == []
    with open_store(f"sqlite:///{home / 'acme' / 'billing.db'}") as store:
        store.execute(update(tables.line_items).values(tax_minor=191))
        line = store.row(select(tables.line_items))
        assert line is not None
    broken = billing(home, "doctor")
    assert broken.returncode == 3
    named = f"tax_lines: line_items line_id {line['line_id']}, has 191, should have 190 (+1)."
    assert named in broken.stdout
    listed = json.loads(billing(home, "doctor", "--json").stdout)
    assert {one["check"] for one in listed} == {"tax_lines", "invoice_tax", "line_tax"}


def test_an_invoice_is_written_as_pdf_or_json_and_what_it_lacks_is_named(home: Path) -> None:
    with open_store(f"sqlite:///{home / 'acme' / 'billing.db'}") as store:
        catalog.add_tax_rate(store, OPENED, country="DE", tax_rate_ppm=190_000, valid_from=date(2020, 1, 1))
    assert billing(home, "run", "--up-to", "2025-01-31").returncode == 0
    with open_store(f"sqlite:///{home / 'acme' / 'billing.db'}") as store:
        number = store.rows(select(tables.invoices.c.number))[0]["number"]
    out = home / "invoice.pdf"
    done = billing(home, "invoice", number, "--locale", "ar", "--out", str(out))
    assert (done.returncode, out.read_bytes()[:5]) == (0, b"%PDF-"), done.stderr
    assert f"{number} lacks seller's tax number." in done.stderr
    told = billing(home, "invoice", number, "--json")
    assert (told.returncode, json.loads(told.stdout)["net"]) == (0, "10.00"), told.stderr
    unknown = billing(home, "invoice", "INV-1")
    assert (unknown.returncode, "no such invoice" in unknown.stderr) == (2, True)


def test_a_document_that_waits_for_a_purchase_order_is_listed_with_its_reason(home: Path) -> None:
    with open_store(f"sqlite:///{home / 'acme' / 'billing.db'}", IdGenerator(2)) as store:
        catalog.add_tax_rate(store, OPENED, country="DE", tax_rate_ppm=190_000, valid_from=date(2020, 1, 1))
        customers.change_customer(store, OPENED, customer_id="anna", requires_purchase_order=True)
    for options in ((), ("--dry-run",)):
        ran = billing(home, "run", "--up-to", "2025-01-01", *options)
        assert ran.returncode == 3, ran.stderr
        for told in ("Held until their purchase order is put right", "anna", "po_missing", "10.00"):
            assert told in ran.stdout


def test_goods_are_allocated_before_the_run_and_backorders_listed(home: Path) -> None:
    with open_store(f"sqlite:///{home / 'acme' / 'billing.db'}", IdGenerator(2)) as store:
        catalog.add_tax_rate(store, OPENED, country="DE", tax_rate_ppm=190_000, valid_from=date(2020, 1, 1))
        create_sku(store, OPENED, sku_id="paper", product_id="goods", name="Paper", base_unit="case")
        catalog.create_plan(store, OPENED, plan_id="standing", name="Standing", product_id="goods")
        paper = NewComponent("paper", "seat", sku_id="paper")
        catalog.publish_plan_version(store, OPENED, plan_id="standing", interval="P5Y", components=[paper])
        catalog.create_price_list(
            store,
            OPENED,
            list_id="paper",
            name="Paper",
            currency="EUR",
            valid_start=OPENED.date(),
            prices=[NewPrice("standing.1.paper", "per_unit", "5")],
        )
        contract = NewContract("P5Y", contract_id="c", stock_rule="reserve_first")
        subscriptions.subscribe(
            store, OPENED, customer_id="anna", plan_id="standing", quantity=100, contract=contract
        )
    settings = home / "acme" / "company.toml"
    settings.write_text(
        'name = "acme"\n[stock]\nkind = "simulated"\n'
        'deliveries = [{ sku = "paper", quantity = 70, on = 2025-01-01 }]\n'
    )
    ran = billing(home, "run", "--up-to", "2025-02-01")
    assert "goods: 1 ordered, 1 allocated, 1 wait, 0 given up" in ran.stdout, ran.stderr
    # Two fees of the other plan and 70 cases at 5.00.
    assert "37000" in ran.stdout
    again = billing(home, "run", "--up-to", "2025-02-01")
    assert "goods: 0 ordered, 0 allocated, 1 wait, 0 given up" in again.stdout
    listed = billing(home, "backorders")
    assert (listed.returncode, "30" in listed.stdout, "anna" in listed.stdout) == (0, True, True)
    given_up = billing(home, "backorders", "--given-up")
    assert given_up.stdout == "Nothing was given up.\n"
    quoted = billing(home, "quote-renewal", "c")
    assert (quoted.returncode, "50,000 net and 9,500 tax" in quoted.stdout) == (0, True), quoted.stderr
    settings.write_text('name = "acme"\n[stock]\nkind = "real"\n')
    wrong = billing(home, "run")
    assert (wrong.returncode, 'kind = "simulated"' in wrong.stderr) == (2, True)
