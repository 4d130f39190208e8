"""What the what-if page shows is what is billed once it is really done, to the minor unit."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from billing.jobs.bill_run import bill
from billing.service import subscriptions as acts
from billing.store import tables
from billing.store.store import Store, open_store
from dashboard.engine import Change, Previewed
from tajdid.engine.company import company_engine

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dashboard"))
import tiny_engine

ON, NEXT = date(2025, 2, 15), date(2025, 3, 1)
DONE_AT, BILLED_AT = datetime(2025, 2, 15, 12, tzinfo=UTC), datetime(2025, 3, 1, 6, tzinfo=UTC)
Act = Callable[[Store, str], object]


NOTHING = Change("sub-dora", "nothing", ON, NEXT)


def quantity(count: str, **when: Any) -> Act:
    return lambda store, sub: acts.change_quantity(
        store, DONE_AT, subscription_id=sub, quantity=count, **when
    )


def plan(name: str, **when: Any) -> Act:
    return lambda store, sub: acts.change_plan(store, DONE_AT, subscription_id=sub, plan_id=name, **when)


def pause(until: date | None = None) -> Act:
    return lambda store, sub: acts.pause(store, DONE_AT, subscription_id=sub, until=until)


def cancel(**when: Any) -> Act:
    return lambda store, sub: acts.cancel(store, DONE_AT, subscription_id=sub, **when)


def add_on(count: str) -> Act:
    return lambda store, sub: acts.add_item(
        store, DONE_AT, subscription_id=sub, plan_id="support", quantity=count
    )


CASES: dict[str, tuple[Change, Act]] = {
    "nothing": (NOTHING, lambda store, sub: None),
    "seats up": (replace(NOTHING, act="quantity", quantity="20"), quantity("20")),
    "seats up at the end": (
        replace(NOTHING, act="quantity", quantity="13", when="period_end"),
        quantity("13", when="period_end"),
    ),
    "seats down": (replace(NOTHING, act="quantity", quantity="3"), quantity("3")),
    "seats down at once": (
        replace(NOTHING, act="quantity", quantity="7", when="now"),
        quantity("7", when="now"),
    ),
    "another plan": (replace(NOTHING, act="plan", plan_id="pro"), plan("pro")),
    "another plan at once": (
        replace(NOTHING, act="plan", plan_id="pro", when="now"),
        plan("pro", when="now"),
    ),
    "another plan at the end": (
        replace(NOTHING, act="plan", plan_id="pro", when="period_end"),
        plan("pro", when="period_end"),
    ),
    "a pause": (replace(NOTHING, act="pause"), pause()),
    "a pause until a day": (replace(NOTHING, act="pause", until=date(2025, 2, 24)), pause(date(2025, 2, 24))),
    "the end": (replace(NOTHING, act="cancel"), cancel()),
    "the end at once": (replace(NOTHING, act="cancel", when="now"), cancel(when="now")),
    "an add-on": (replace(NOTHING, act="add_on", plan_id="support", quantity="2"), add_on("2")),
}


@dataclass(frozen=True)
class Billed:
    """Totals of invoices and of credit notes, net and tax of the lines of each, and of all notes."""

    invoices: list[tuple[str, int]]
    notes: list[tuple[str, int]]
    lines: list[tuple[int, int]]
    noted: tuple[int, int]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_engine.publish(tmp_path_factory.mktemp("before") / "tiny")


def really(folder: Path, act: Act, subscription_id: str) -> Billed:
    """Do it in the company's own database and let the next bill run post what is due."""
    with open_store(f"sqlite:///{folder / 'billing.db'}") as store:
        known = {row["invoice_id"] for row in store.rows(select(tables.invoices.c.invoice_id))}
        noted = {row["note_id"] for row in store.rows(select(tables.credit_notes.c.note_id))}
        act(store, subscription_id)
        customer = subscription_id.removeprefix("sub-")
        bill(store, BILLED_AT, up_to=NEXT)
        invoices = [
            row
            for row in store.rows(select(tables.invoices))
            if row["invoice_id"] not in known and row["customer_id"] == customer
        ]
        notes = [
            row
            for row in store.rows(select(tables.credit_notes))
            if row["note_id"] not in noted and row["customer_id"] == customer
        ]
        ids = {row["invoice_id"] for row in invoices}
        lines = [row for row in store.rows(select(tables.line_items)) if row["invoice_id"] in ids]
    return Billed(
        sorted((row["currency"], row["total_minor"]) for row in invoices),
        sorted((row["currency"], row["total_minor"]) for row in notes),
        sorted((row["net_minor"], row["tax_minor"]) for row in lines),
        (sum(row["net_minor"] for row in notes), sum(row["tax_minor"] for row in notes)),
    )


def shown(found: Previewed) -> Billed:
    """The same of a preview. What goes on a credit note stands among its lines below 0."""
    documents = found.documents.to_dicts()
    with_note = {row["document"] for row in documents if row["note_total_minor"]}
    lines = [(document in with_note and line.entry == "credit", line) for document, _, line in found.lines]
    return Billed(
        sorted((row["currency"], row["total_minor"]) for row in documents if row["total_minor"]),
        sorted((row["currency"], row["note_total_minor"]) for row in documents if row["note_total_minor"]),
        sorted((line.net_minor, line.tax_minor) for is_noted, line in lines if not is_noted),
        (
            -sum(line.net_minor for is_noted, line in lines if is_noted),
            -sum(line.tax_minor for is_noted, line in lines if is_noted),
        ),
    )


@pytest.mark.parametrize("name", CASES)
def test_the_next_bill_is_what_the_preview_said(published: Path, tmp_path: Path, name: str) -> None:
    asked, act = CASES[name]
    engine = company_engine(published)
    assert engine is not None
    previewed = engine.preview(asked, "en")
    assert previewed.failures.is_empty()
    copy = Path(shutil.copytree(published, tmp_path / "tiny"))
    posted = really(copy, act, asked.subscription_id)
    assert posted == shown(previewed)
    assert previewed.total_minor("EUR") == sum(total for _, total in posted.invoices) - sum(
        total for _, total in posted.notes
    )


def test_the_kinds_of_change_differ_in_what_they_post(published: Path) -> None:
    engine = company_engine(published)
    assert engine is not None
    totals = {name: engine.preview(asked, "en").total_minor("EUR") for name, (asked, _) in CASES.items()}
    # 10 + 50 with 19 %; half of February for 10 seats more at 4.00 and March; half of February back.
    assert totals["nothing"] == 7140
    assert totals["seats up"] == 14280
    assert totals["the end at once"] == -3570
    assert len(set(totals.values())) >= 8
