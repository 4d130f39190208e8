"""What a document costs to read and to print: `make bench-billing`.

For an invoice as one customer gets it and one of 200 lines: reading it with all its checks, JSON, and PDF in
English and Arabic, as milliseconds of CPU and of wall time a document (medians). These figures are told, not
judged: nothing bare does the same work. SIZE=small prints each once.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from dataclasses import replace

from base import AT, FIRST, open_shop, subscribe_one
from clock import Cost, cost_of
from sqlalchemy import select

from billing.documents.as_json import to_json
from billing.documents.document import InvoiceDocument, TaxSum, checked
from billing.documents.pdf import to_pdf
from billing.documents.reading import document_of
from billing.jobs.bill_run import bill
from billing.store import tables
from billing.store.store import IdGenerator, Store, open_store

REPEATS = 1 if os.environ.get("SIZE") == "small" else 9
MANY = 200


def lengthened(document: InvoiceDocument, count: int) -> InvoiceDocument:
    """The document with its first line so many times."""
    one, tax = document.lines[0], document.taxes[0]
    lines = tuple(replace(one, position=place) for place in range(1, count + 1))
    sums = {"net_minor": count * one.net_minor, "tax_minor": count * one.tax_minor}
    of = TaxSum(category=tax.category, country=tax.country, tax_rate_ppm=tax.tax_rate_ppm, **sums)
    total = sum(sums.values())
    return checked(replace(document, lines=lines, taxes=(of,), total_minor=total, open_minor=total, **sums))


def other(document: InvoiceDocument, place: int) -> InvoiceDocument:
    """The document with texts of its own: typst keeps what it set before."""
    lines = tuple(replace(line, description=f"{place} {line.description}") for line in document.lines)
    return replace(document, number=f"{document.number}-{place}", lines=lines)


def tell(what: str, work: Callable[[int], object]) -> None:
    work(0)
    costs: list[Cost] = [cost_of(lambda place=place: work(place)) for place in range(1, REPEATS + 1)]
    cpu, wall = (statistics.median(getattr(cost, name) for cost in costs) * 1000 for name in ("cpu", "wall"))
    print(f"documents: {what:32} {cpu:8.1f} ms CPU {wall:8.1f} ms wall")


def billed(store: Store) -> str:
    """The id of the one invoice of a fee and seats."""
    store.migrate()
    open_shop(store)
    subscribe_one(store, "plan")
    bill(store, AT, up_to=FIRST)
    (row,) = store.rows(select(tables.invoices.c.invoice_id))
    return str(row["invoice_id"])


def main() -> None:
    with open_store("sqlite://", IdGenerator(1)) as store:
        invoice_id = billed(store)
        short = document_of(store, invoice_id)
        long = lengthened(short, MANY)
        tell(f"read, {len(short.lines)} lines", lambda _: document_of(store, invoice_id))
    for document in (short, long):
        count = f"{len(document.lines)} lines"
        tell(f"JSON, {count}", lambda place, one=document: to_json(other(one, place)))
        for locale in ("en", "ar"):
            tell(
                f"PDF {locale}, {count}", lambda place, one=document, to=locale: to_pdf(other(one, place), to)
            )


if __name__ == "__main__":
    main()
