"""`tajdid billing`: bank statements, reconcile and lock-period, as a finance department uses them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from billing.jobs.bill_run import bill
from billing.service import catalog, customers, subscriptions
from billing.service.catalog import NewComponent, NewPrice
from billing.store import tables
from billing.store.store import IdGenerator, open_store
from tajdid.cli import app

OPENED = datetime(2025, 1, 1, 6, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of one company: anna owes 1,190.00 since New Year 2025."""
    company = tmp_path / "acme"
    company.mkdir()
    (company / "company.toml").write_text('name = "acme"\n')
    monkeypatch.setenv("TAJDID_HOME", str(tmp_path))
    with open_store(f"sqlite:///{company / 'billing.db'}", IdGenerator(1)) as store:
        store.migrate()
        catalog.create_legal_entity(store, OPENED, entity_id="seller", name="Seller", country="DE")
        catalog.add_tax_rate(store, OPENED, country="DE", tax_rate_ppm=190_000, valid_from=date(2020, 1, 1))
        catalog.create_product(store, OPENED, product_id="goods", name="Goods")
        catalog.create_plan(store, OPENED, plan_id="plan", name="Plan", product_id="goods")
        catalog.publish_plan_version(
            store, OPENED, plan_id="plan", interval="P1M", components=[NewComponent("fee", "fee")]
        )
        catalog.create_price_list(
            store,
            OPENED,
            list_id="list",
            name="List",
            currency="EUR",
            valid_start=OPENED.date(),
            prices=[NewPrice("plan.1.fee", "flat", "1000")],
        )
        customers.create_customer(
            store,
            OPENED,
            customer_id="anna",
            name="Anna",
            entity_id="seller",
            currency="EUR",
            country="DE",
            collection="terms",
        )
        subscriptions.subscribe(store, OPENED, customer_id="anna", plan_id="plan")
        bill(store, OPENED, up_to=OPENED.date())
        number = store.rows(select(tables.invoices.c.number))[0]["number"]
    about = {"entity_id": "seller", "received_on": "2025-01-10", "currency": "EUR"}
    rows = [
        {"bank_ref": "1", "amount": "1000.00", "reference": number} | about,
        {"bank_ref": "2", "amount": "1.234", "reference": ""} | about,
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "bank.csv")
    return tmp_path


def billing(*arguments: str) -> tuple[int, str]:
    ran = CliRunner().invoke(app, ["billing", *arguments])
    return ran.exit_code, ran.output


def test_a_statement_is_taken_in_and_its_bad_row_named(home: Path) -> None:
    code, text = billing("import-transfers", str(home / "bank.csv"))
    assert (code, "bank.csv: 1 accepted, 0 duplicate, 1 rejected; 1 matched" in text) == (3, True), text
    assert "row 1 (2): too_many_decimals" in text
    assert "0 accepted, 1 duplicate, 1 rejected" in billing("import-transfers", str(home / "bank.csv"))[1]


def test_a_month_is_reconciled_closed_and_opened_and_what_differs_is_named(home: Path) -> None:
    billing("import-transfers", str(home / "bank.csv"))
    code, text = billing("reconcile", "--month", "2025-01")
    assert code == 0, text
    shown = " ".join(text.split())
    assert "receivable │ 0.00 │ 1,190.00 │ 1,000.00 │ 190.00" in shown
    assert "The books of 2025-01 agree with the documents." in text
    locked = billing("lock-period", "--entity", "seller", "--month", "2025-01")
    assert locked == (0, "The books of seller are closed for 2025-01.\n")
    with open_store(f"sqlite:///{home / 'acme' / 'billing.db'}") as store:
        bank = tables.journal_lines.c.account == "bank"
        store.execute(update(tables.journal_lines).where(bank).values(debit_minor=100_001))
    code, text = billing("reconcile", "--month", "2025-01")
    assert code == 3
    assert "0.01 EUR" in text
    code, text = billing("reconcile", "--month", "2025-01", "--json")
    told = json.loads(text)
    assert (code, told["agrees"]) == (3, False)
    named = [(row["account"], row["document_kind"], row["posted_minor"]) for row in told["differences"]]
    assert named == [("bank", "bank_transfer", 100_001)]
    assert billing("unlock-period", "--entity", "seller", "--month", "2025-01")[0] == 0
    assert billing("lock-period", "--entity", "seller", "--month", "2025-01")[0] == 3
    assert billing("lock-period", "--entity", "seller", "--month", "2025-01", "--anyway")[0] == 0
    assert billing("lock-period", "--entity", "nobody", "--month", "2025-01", "--anyway")[0] == 2
    assert billing("reconcile", "--month", "January")[0] == 2


def test_the_log_says_who_gave_which_command_and_how_it_ended(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = CliRunner().invoke
    monkeypatch.setenv("TAJDID_ACTOR", "منى")
    assert run(app, ["billing", "run", "--up-to", "2025-02-01"]).exit_code == 0
    wrong = run(app, ["billing", "approvals", "--approve", "apr_none"])
    assert wrong.exit_code == 2
    monkeypatch.setenv("TAJDID_ACTOR", " ")
    monkeypatch.setenv("LOGNAME", "tarek")
    assert run(app, ["billing", "dun"]).exit_code == 0
    listed = json.loads(run(app, ["billing", "audit", "--actor", "منى", "--json"]).output)
    assert [(one["act"], one["outcome"], one["code"]) for one in listed] == [
        ("approve", "refused", "unknown_approval"),
        ("bill", "done", None),
        ("index_prices_due", "done", None),
        ("renew_due", "done", None),
    ]
    assert listed[1]["subject_id"].startswith("run_")
    assert listed[1]["arguments"]["up_to"] == {"$date": "2025-02-01"}
    shown = run(app, ["billing", "audit", "--act", "dun"]).output
    assert "  tarek  dun  done" in shown
    assert "منى" in run(app, ["billing", "audit", "--limit", "2"]).output
    some = run(app, ["billing", "audit", "--customer", "anna", "--limit", "1"]).output
    assert "subscribe  done" in some
    assert "There is more: --before aud_" in some
    for options in (
        ["--since", "soon"],
        ["--since", "2025-02-01", "--until", "2025-01-01"],
        ["--limit", "0"],
    ):
        assert run(app, ["billing", "audit", *options]).exit_code == 2, options
    assert "Nothing was done that fits." in run(app, ["billing", "audit", "--act", "none"]).output


def counted(home: Path) -> dict[str, int]:
    with open_store(f"sqlite:///{home / 'acme' / 'billing.db'}") as store:
        return {name: store.frame(select(table)).height for name, table in tables.metadata.tables.items()}


def test_a_dry_run_of_each_job_prints_the_difference_and_leaves_nothing(home: Path) -> None:
    run = CliRunner().invoke
    bank = home / "bank.csv"
    pl.DataFrame(
        {
            "entity_id": ["seller"],
            "bank_ref": ["b1"],
            "received_on": ["2025-01-02"],
            "amount": ["1190.00"],
            "currency": ["EUR"],
            "reference": ["INV-2025-000001"],
        }
    ).write_csv(bank)
    running = home / "running.csv"
    pl.DataFrame(
        {
            "subscription_id": ["old"],
            "customer_id": ["anna"],
            "plan_id": ["plan"],
            "quantity": ["1"],
            "anchor_on": ["2025-01-01"],
            "billed_until": ["2025-02-01"],
        }
    ).write_csv(running)
    usage = home / "usage.csv"
    names = ("source", "event_id", "item_id", "meter_id", "value", "occurred_on")
    pl.DataFrame({name: ["1" if name == "value" else "2025-01-02"] for name in names}).write_csv(usage)
    before = counted(home)
    # January's invoice is there; February's comes: 1,000.00 and 19 % tax.
    shown = run(app, ["billing", "run", "--up-to", "2025-02-01", "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert "Dry run: nothing was written." in shown.output
    assert all(text in shown.output for text in ("line_items", "receivable", "1190.00", "1000.00", "190.00"))
    jobs = {
        "dun": ["dunning_cases"],
        "collect": ["assumed: every charge is captured"],
        f"send {home / 'events.jsonl'}": ["outbox"],
        "retry --all --up-to 2025-01-01": ["  none"],
        f"import-transfers {bank}": ["bank_transfers", "1190.00"],
        f"import-subscriptions {running}": ["subscriptions"],
        f"import-usage {usage}": ["rejected_inputs"],
    }
    for job, texts in jobs.items():
        shown = run(app, ["billing", *job.split(), "--dry-run"])
        assert shown.exit_code in (0, 3), shown.output
        assert "Dry run: nothing was written." in shown.output
        assert [text for text in texts if text not in shown.output] == [], shown.output
    assert counted(home) == before
    assert not (home / "events.jsonl").exists()


def test_messages_of_changes_are_appended_to_a_file_once(home: Path) -> None:
    run, file = CliRunner().invoke, home / "events.jsonl"
    sent = run(app, ["billing", "send", str(file)])
    messages = [json.loads(line) for line in file.read_text().splitlines()]
    assert f"{len(messages):,} messages sent" in sent.output
    issued = [one for one in messages if one["topic"] == "invoice.issued"]
    assert [(one["payload"]["customer_id"], one["payload"]["total_minor"]) for one in issued] == [
        ("anna", 119_000)
    ]
    assert "0 messages sent" in run(app, ["billing", "send", str(file)]).output
    assert len(file.read_text().splitlines()) == len(messages)
    assert run(app, ["billing", "send", str(home)]).exit_code == 0, "nothing waits, so nothing is written"


def test_what_is_due_is_charged_through_the_gateway_of_the_company(home: Path) -> None:
    run = CliRunner().invoke
    with open_store(f"sqlite:///{home / 'acme' / 'billing.db'}", IdGenerator(2)) as store:
        customers.create_customer(
            store, OPENED, customer_id="bert", name="Bert", entity_id="seller", currency="EUR", country="DE"
        )
        customers.add_payment_method(store, OPENED, customer_id="bert", gateway_ref="card")
        subscriptions.subscribe(store, OPENED, customer_id="bert", plan_id="plan")
        bill(store, OPENED, up_to=OPENED.date())
    refused = run(app, ["billing", "collect"])
    assert (refused.exit_code, "names no [gateway]" in refused.stderr) == (2, True)
    settings = home / "acme" / "company.toml"
    settings.write_text('name = "acme"\n[gateway]\nkind = "simulated"\nbooks = "charged.db"\n')
    dry = run(app, ["billing", "collect", "--dry-run"])
    assert (dry.exit_code, (home / "acme" / "charged.db").exists()) == (0, False), dry.output
    done = run(app, ["billing", "collect"])
    assert done.exit_code == 0, done.output
    assert "captured         1" in done.output
    assert "{'EUR': 119000}" in done.output
    again = run(app, ["billing", "collect"])
    assert "captured         0" in again.output
    logged = json.loads(run(app, ["billing", "audit", "--act", "collect", "--json"]).output)
    assert [one["outcome"] for one in logged] == ["done", "done"]
    for wrong in ('kind = "real"', 'kind = "simulated"\nfee_ppm = -1', 'kind = "simulated"\nurl = "x"'):
        settings.write_text(f'name = "acme"\n[gateway]\n{wrong}\n')
        assert run(app, ["billing", "collect"]).exit_code != 0
