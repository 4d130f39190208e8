"""Part of page documents, for companies that the engine does not bill: their invoices as the source sent
them, read from the published figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import polars as pl
import streamlit as st

from dashboard import address, billing_words, desk, drills, frame, links, paging, words
from dashboard.drills import Check, Drill
from dashboard.frame import Card
from dashboard.queries import documents as queries
from dashboard.tables import Column
from dashboard.view import Published, View, Withheld

NEWEST, NAMESAKES, CHANGES = 25, 20, 500


def render(view: View, published: Published) -> None:
    """The invoice that the address asks for, else the newest ones."""
    _ = view.text.gettext
    asked = desk.entry(
        "find",
        _("Find an invoice"),
        resets=("document", "page"),
        example=_("Number of an invoice"),
    )
    document = address.read("document") or asked
    if document is None:
        newest(view, published)
        return
    found = published.rows(queries.INVOICE, document=document, limit=NAMESAKES)
    if found.is_empty():
        frame.empty(
            view, _("There is no invoice of this number among those you may see."), ("document", "find")
        )
        return
    st.button(
        _("Back to all documents"),
        key="back",
        on_click=address.clear,
        args=(("document", "find", "page"),),
        type="tertiary",
    )
    if found.height > 1 and found["invoice_id"][0] != document:
        st.caption(_("Several invoices have this number. Choose one by its id."))
        frame.table(
            view,
            _("Invoices of this number"),
            [Column("invoice_id", _("Id"), "id", href=by_id), *columns(view)],
            found,
        )
        return
    one_invoice(view, published, found.row(0, named=True))


def by_id(row: Mapping[str, Any]) -> str:
    return address.to("documents", document=row["invoice_id"])


def columns(view: View) -> list[Column]:
    _ = view.text.gettext
    return [
        Column("invoice_no", _("Number"), "id"),
        Column("name", _("Customer")),
        Column("status", _("State"), words=words.invoice_status(view.text)),
        Column("issued_on", _("Issued"), "day"),
        Column("due_on", _("Due"), "day"),
        desk.Amount("total_minor", _("Total")),
        desk.Amount("remaining_minor", _("Open")),
    ]


def newest(view: View, published: Published) -> None:
    _ = view.text.gettext
    rows = published.rows(queries.NEWEST, limit=NEWEST)
    if rows.is_empty():
        frame.empty(view, _("No invoice is known of this company, or none that you may see."))
        return
    st.subheader(_("The newest invoices"), anchor=False)
    desk.table(view, "invoices", _("The newest invoices"), columns(view), rows)


def one_invoice(view: View, published: Published, one: Mapping[str, Any]) -> None:
    """An invoice: its amounts, its lines, which add up to it, and what became of it."""
    _, show = view.text.gettext, view.show
    number = one["invoice_no"] or one["invoice_id"]
    st.subheader(_("Invoice {number}").format(number=show.identifier(number)), anchor=False)
    head(view, one)
    with frame.panel(view):
        lines(view, published, one)
    with frame.panel(view):
        changes(view, published, one)


def head(view: View, one: Mapping[str, Any]) -> None:
    _, show = view.text.gettext, view.show
    amounts = {
        _("Net"): one["net_minor"],
        _("Tax"): one["tax_minor"],
        _("Total"): one["total_minor"],
        _("Left to pay"): one["remaining_minor"],
    }
    frame.cards(view, [Card(label, show.money(amount, one["currency"])) for label, amount in amounts.items()])
    facts: list[tuple[str, str | None, str | None]] = [
        (_("State"), words.invoice_status(view.text)(one["status"]), None),
        (_("Customer"), one["name"] or one["customer_id"], links.customer(one)),
        *(
            (label, show.day_short(one[day]) if one[day] else None, None)
            for label, day in (
                (_("Issued"), "issued_on"),
                (_("Due"), "due_on"),
                (_("Settled"), "settled_on"),
                (_("Voided"), "voided_on"),
            )
        ),
        (_("Id in the source"), one["invoice_id"], None),
    ]
    rows = pl.DataFrame([fact for fact in facts if fact[1]], schema=["fact", "value", "href"], orient="row")
    frame.table(
        view,
        _("Facts"),
        [Column("fact", _("What")), Column("value", _("Value"), href=lambda row: row["href"])],
        rows,
    )


def lines(view: View, published: Published, one: Mapping[str, Any]) -> None:
    """What was charged, a page of lines at a time; all of them have to add up to the invoice."""
    _, show = view.text.gettext, view.show
    currency = one["currency"]
    st.subheader(_("Lines"), anchor=False)
    net = Column("net_minor", _("Net"), "money", currency=currency)
    tax = Column("tax_minor", _("Tax"), "money", currency=currency)
    drill = Drill(
        "invoice-lines",
        _("Lines"),
        queries.LINES,
        {"invoice_id": one["invoice_id"], "customer_id": one["customer_id"]},
        [
            Column("what", _("What")),
            Column("kind", _("Kind"), words=billing_words.line_kind(view.text)),
            Column("service", _("For")),
            desk.Exact("quantity", _("Quantity")),
            Column("discount_minor", _("Discount"), "money", currency=currency),
            net,
            tax,
        ],
        [Check(net, one["net_minor"]), Check(tax, one["tax_minor"])],
        adds=lambda rows: with_service(view, rows),
    )
    try:
        total = drills.sums(published, drill)
    except (duckdb.CatalogException, Withheld):
        st.caption(_("This build was made before the lines of invoices were kept with it. Build again."))
        return
    if not total["row_count"]:
        st.caption(_("The source sent no lines with this invoice."))
        return
    pages = paging.count(total["row_count"], frame.PAGE_ROWS)
    page = paging.current("page", pages)
    frame.table(view, drill.title, drill.columns, drill.adds(frame.page_of(published, drill, page)))
    paging.choice(view, "page", pages, page)
    frame.download(
        view,
        drill.key,
        drill.columns,
        lambda: drills.to_take_away(published, drill),
        published,
        title=drill.title,
    )
    for check, label in zip(drill.checks, (_("Lines, net: {sum}"), _("Lines, tax: {sum}")), strict=True):
        found = total[check.column.name]
        if found is not None and check.expected is not None:
            frame.verdict(
                view,
                label.format(sum=show.money(found, currency)),
                frame.matches(found, check.expected),
                show.money(check.expected, currency),
            )
        elif found is None:
            st.caption(
                _("{column}: the source does not say it line by line.").format(column=check.column.label)
            )
    st.caption(
        _(
            "The lines are as the source sent them. Only an invoice of the billing engine can say how a "
            "price came about."
        )
    )
    with st.expander(_("SQL")):
        st.code(drill.query.readable(published.build.build_id, drill.values), language="sql", wrap_lines=True)


def with_service(view: View, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with the days each is for, in words."""
    said = [
        desk.period(view, row["service_start"], row["service_end"])
        if row["service_start"] and row["service_end"]
        else None
        for row in rows.iter_rows(named=True)
    ]
    return rows.with_columns(pl.Series("service", said, dtype=pl.String))


def changes(view: View, published: Published, one: Mapping[str, Any]) -> None:
    """What was paid, credited, written off or undone: with the invoice itself it adds up to what is left."""
    _, show = view.text.gettext, view.show
    currency = one["currency"]
    rows = published.rows(
        queries.CHANGES, invoice_id=one["invoice_id"], customer_id=one["customer_id"], limit=CHANGES
    )
    if rows.is_empty():
        return
    title = _("What became of it")
    st.subheader(title, anchor=False)
    shown = [
        Column("event_on", _("Day"), "day"),
        Column("event_kind", _("What"), words=words.receivable(view.text)),
        Column("source_id", _("Number"), "id"),
        Column("amount_minor", _("Amount"), "money", currency=currency, signed=True),
    ]
    frame.table(view, title, shown, rows)
    if rows.height < CHANGES and one["remaining_minor"] is not None:
        left = int(rows["amount_minor"].sum())
        frame.verdict(
            view,
            _("All of it together: {sum}").format(sum=show.money(left, currency)),
            left == one["remaining_minor"],
            show.money(one["remaining_minor"], currency),
        )
