"""Documents of revenue: one-line invoices and credit notes, their warehouse in memory, and random ones."""

from __future__ import annotations

import random
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
from plain_metrics import History
from subscription_models import warehouse

AS_OF = date(2024, 6, 30)
MARTS = ("fct_revenue_months", "fct_deferred_waterfall")
FIRST = date(2024, 1, 1)
ENDS = ("voided_on", "written_off_on", "written_off_minor")
TESTS = Path(__file__).resolve().parents[1] / "warehouse"

Row = dict[str, Any]


def billed(
    net: int, issued: date, start: date | None = None, end: date | None = None, name: str = "i", **rest: Any
) -> dict[str, Row]:
    """An invoice of one line."""
    invoice = {
        "invoice_id": name,
        "invoice_no": name,
        "customer_id": "x",
        "currency": "EUR",
        "status": "open",
        "issued_on": issued,
        "due_on": issued,
        "net_minor": net,
        "tax_minor": 0,
        "total_minor": net,
    }
    line = {
        "line_id": f"{name}-1",
        "invoice_id": name,
        "kind": "recurring",
        "service_start": start,
        "service_end": end,
        "net_minor": net,
        "tax_minor": 0,
    }
    return {
        "invoices": invoice | {key: value for key, value in rest.items() if key in (*invoice, *ENDS)},
        "lines": line | {key: value for key, value in rest.items() if key in line},
    }


def credited(
    net: int, issued: date, start: date | None = None, end: date | None = None, name: str = "n", of: str = "i"
) -> dict[str, Row]:
    """A credit note of one line."""
    note = {
        "credit_note_id": name,
        "invoice_id": of,
        "customer_id": "x",
        "currency": "EUR",
        "issued_on": issued,
        "net_minor": net,
        "tax_minor": 0,
        "total_minor": net,
    }
    line = {
        "line_id": f"{name}-1",
        "credit_note_id": name,
        "invoice_line_id": f"{of}-1",
        "service_start": start,
        "service_end": end,
        "net_minor": net,
        "tax_minor": 0,
    }
    return {"credit_notes": note, "credit_note_lines": line}


def books(
    *documents: dict[str, Row],
    as_of: date = AS_OF,
    marts: tuple[str, ...] = MARTS,
    more: dict[str, list[Row]] | None = None,
    **rest: Any,
) -> duckdb.DuckDBPyConnection:
    def rows(part: str) -> list[Row]:
        return [document[part] for document in documents if part in document]

    company = History(as_of, invoices=rows("invoices"), lines=rows("lines"), **rest)
    notes = {f"raw_billing.{name}": rows(name) for name in ("credit_notes", "credit_note_lines")}
    return warehouse(company, marts, more={**notes, **(more or {})})


def wrong_rows(connection: duckdb.DuckDBPyConnection, test: str) -> list[Any]:
    """What an identity of the warehouse complains about."""
    text = (TESTS / f"{test}.sql").read_text(encoding="utf-8")
    text = re.sub(r"{{ config\(.*\) }}", "", text)
    schemas = {"stg": "staging", "int": "intermediate", "fct": "marts"}
    text = re.sub(r"{{ ref\('(\w+)'\) }}", lambda found: f"{schemas[found[1][:3]]}.{found[1]}", text)
    return connection.execute(text).fetchall()


def random_books(seed: int) -> list[dict[str, Row]]:
    draw = random.Random(seed)
    documents: list[dict[str, Row]] = []
    for number in range(draw.randint(20, 40)):
        issued = FIRST + timedelta(days=draw.randrange(200))
        start = issued + timedelta(days=draw.choice([0, 0, 0, -31, -400, 20, draw.randint(-50, 50)]))
        days = draw.choice([1, 2, 28, 29, 30, 31, 91, 365, 366, draw.randint(1, 800)])
        has_service = draw.random() < 0.8
        service = (start, start + timedelta(days=days)) if has_service else (None, None)
        net = draw.choice([0, 1, -1, 99, 100, 12345, -777, 10**14, draw.randint(-(10**6), 10**6)])
        void = issued + timedelta(days=draw.randint(0, 120)) if draw.random() < 0.2 and net > 0 else None
        name = f"i{number}"
        currency = draw.choice(["EUR", "JPY", "KWD"])
        documents.append(billed(net, issued, *service, name=name, currency=currency, voided_on=void))
        if net > 0 and draw.random() < 0.4:
            part = draw.choice([net, draw.randint(0, net)])
            on = issued + timedelta(days=draw.randint(0, 150))
            note = credited(
                part, on, *draw.choice([service, (on, on + timedelta(days=30))]), name=f"n{number}", of=name
            )
            note["credit_notes"]["currency"] = currency
            documents.append(note)
    return documents
