"""Page documents: invoices and collections. Which documents are open, who is chased, and why a line costs
what it costs."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from dashboard import address, billing_words, desk, export, frame, links
from dashboard.desk import Amount
from dashboard.engine import UNKNOWN, Document, Engine, EngineProblem, Wanted
from dashboard.export import File
from dashboard.frame import Card
from dashboard.queries import engine as queries
from dashboard.screens import known_documents
from dashboard.tables import Column
from dashboard.view import View, open_view

STATES = ("all", "open", "past_due", "paid", "uncollectible", "void", "credit_note")
FOUND = 20
CHASED = 100
PDF = "application/pdf"


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(
        view,
        "documents",
        _("What was billed, what is still open, and how did each amount come about?"),
    )
    found = desk.opened(view)
    if found is None:
        if view.published is not None:
            with frame.panel(view):
                known_documents.render(view, view.published)
        return
    view, engine = found
    with desk.asked(view):
        words = desk.entry(
            "find",
            _("Find a document or a customer"),
            resets=("document", "customer", "after", "line"),
            example=_("Number of a document, id or name of a customer"),
        )
        document = address.read("document") or _found(view, engine, words)
        if document is not None:
            one_document(view, engine, document)
            return
        overview(view, engine)


def _found(view: View, engine: Engine, words: str | None) -> str | None:
    """The document that is looked for; customers with such an id or name are listed instead."""
    if words is None or address.read("customer") is not None:
        return None
    _ = view.text.gettext
    try:
        engine.owner_of(words)
    except EngineProblem as problem:
        if problem.kind != UNKNOWN:
            raise
    else:
        return words
    customers = engine.find_customers(words, FOUND)
    if view.published is not None:
        named = view.published.rows(queries.FOUND_BY_NAME, words=words, limit=FOUND)
        customers = pl.concat([customers, named.select(customers.columns)]).unique(
            "customer_id", maintain_order=True
        )
    if customers.is_empty():
        frame.empty(
            view,
            _("No document and no customer that you may see is called that."),
            resets=("find",),
        )
        return None
    frame.table(
        view,
        _("Customers found"),
        [
            Column("customer_id", _("Customer"), "id", href=_documents_of),
            Column("name", _("Name")),
        ],
        customers,
    )
    return None


def _documents_of(row: object) -> str | None:
    assert isinstance(row, dict)
    return address.to("documents", customer=str(row["customer_id"]))


# All documents.


def overview(view: View, engine: Engine) -> None:
    customer = address.read("customer")
    chosen = None if customer is None else (customer,)
    if customer is not None:
        _one_customer(view, engine, customer)
    with desk.asked(view):
        states(view, engine, chosen)
    with desk.asked(view):
        listed(view, engine, chosen)
    with desk.asked(view):
        chased(view, engine, chosen)


def _one_customer(view: View, engine: Engine, customer: str) -> None:
    _ = view.text.gettext
    names = engine.names([customer])
    if customer not in names:
        raise EngineProblem(UNKNOWN, "unknown_customer", customer)
    row = pl.DataFrame([{"customer_id": customer, "name": names[customer]}])
    frame.table(
        view, _("Customer"), [Column("name", _("Customer")), Column("customer_id", _("Id"), "id")], row
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            _("All customers"),
            key="all-customers",
            on_click=address.clear,
            args=(("customer", "after", "find"),),
        )
        frame.page_link(view, "whatif", _("What if this account changed?"), customer=customer)
    with desk.asked(view):
        drafts(view, engine, customer)


def drafts(view: View, engine: Engine, customer: str) -> None:
    """What is due of a customer and will be issued after the days of grace; a draft is no document yet."""
    _ = view.text.gettext
    rows = engine.drafts(customer)
    if rows.is_empty():
        return
    st.subheader(_("Drafts"), anchor=False)
    st.caption(_("As they stand today. Usage and changes that come before the day of issue are in them."))
    desk.table(
        view,
        "drafts",
        _("Drafts"),
        [
            Column("issue_on", _("Issued on"), "day"),
            Column("lines", _("Lines"), "count"),
            Amount("total_minor", _("Total")),
            Amount("credit_minor", _("Credit note")),
            Column("held", _("Held because"), words=billing_words.refusal(view.text)),
        ],
        rows,
    )


def states(view: View, engine: Engine, chosen: tuple[str, ...] | None) -> None:
    """How many documents there are of each state; counting stops at a bound."""
    _, show = view.text.gettext, view.show
    counts = engine.document_counts(chosen)

    def count(state: str) -> str:
        rows = counts.filter(state=state)
        shown = show.number(int(rows["documents"].sum()))
        return _("{count} or more").format(count=shown) if rows["is_more"].any() else shown

    def open_amount(state: str) -> str | None:
        return desk.sums_by_currency(view, counts.filter(state=state), "open_minor") or None

    word = billing_words.document_state(view.text)
    frame.cards(
        view,
        [
            *(
                Card(word(state), count(state), note=open_amount(state))
                for state in ("open", "past_due", "uncollectible")
            ),
            Card(
                word("paid"),
                count("paid"),
                note=_("Void: {void} · Credit notes: {notes}").format(
                    void=count("void"), notes=count("credit_note")
                ),
            ),
        ],
    )


def document_columns(view: View) -> list[Column]:
    _ = view.text.gettext
    return [
        Column("invoice_no", _("Number"), "id"),
        Column("name", _("Customer")),
        Column("kind", _("Kind"), words=billing_words.document_kind(view.text)),
        Column("state", _("State"), words=billing_words.document_state(view.text)),
        Column("issued_on", _("Issued"), "day"),
        Column("due_on", _("Due"), "day"),
        Amount("total_minor", _("Total")),
        Amount("open_minor", _("Open")),
    ]


def listed(view: View, engine: Engine, chosen: tuple[str, ...] | None) -> None:
    _ = view.text.gettext
    st.subheader(_("Documents"), anchor=False)
    word = billing_words.document_state(view.text)
    state = address.choice(
        "state",
        _("State"),
        STATES,
        STATES[0],
        lambda one: _("All invoices") if one == "all" else word(one),
        resets=("after",),
    )
    wanted = Wanted(None if state == "all" else state, chosen)
    page = engine.documents(wanted, address.read("after"), desk.ROWS)
    desk.table(
        view,
        "documents",
        _("Documents"),
        document_columns(view),
        page.rows,
        all_rows=lambda: desk.all_documents(engine, wanted),
    )
    desk.pager(view, page.following)


def chased(view: View, engine: Engine, chosen: tuple[str, ...] | None) -> None:
    """Who is asked for money, and which charges are tried again."""
    _ = view.text.gettext
    st.subheader(_("Dunning queue"), anchor=False)
    st.caption(_("Open cases, the next act first. The amount is what is past due of the customer."))
    step = billing_words.step(view.text)
    desk.table(
        view,
        "dunning",
        _("Dunning queue"),
        [
            Column("name", _("Customer")),
            Column("track", _("How"), words=billing_words.track(view.text)),
            Column("last_step", _("Last step"), words=step),
            Column("next_step", _("Next act"), words=step),
            Column("next_on", _("On"), "day"),
            Amount("open_minor", _("Past due")),
            Column("state", _("Standing"), words=billing_words.overdue_state(view.text)),
            Column("opened_on", _("Since"), "day"),
        ],
        engine.dunning(chosen, CHASED),
    )
    st.subheader(_("Charges that are tried again"), anchor=False)
    desk.table(
        view,
        "collections",
        _("Charges that are tried again"),
        [
            Column("invoice_no", _("Invoice"), "id"),
            Column("name", _("Customer")),
            Amount("amount_minor", _("Amount")),
            Column("failures", _("Failed"), "count"),
            Column("decline_code", _("Last answer"), words=billing_words.decline(view.text)),
            Column("next_at", _("Next attempt"), "instant"),
        ],
        engine.collections(chosen, CHASED),
    )


# One document.


def one_document(view: View, engine: Engine, key: str) -> None:
    _ = view.text.gettext
    st.button(
        _("Back to all documents"),
        key="back",
        on_click=address.clear,
        args=(("document", "find", "line"),),
        type="tertiary",
    )
    one = engine.document(key, view.language)
    kind = billing_words.document_kind(view.text)(one.kind)
    with st.container(horizontal=True, vertical_alignment="center", key="document-head"):
        st.subheader(kind, anchor=False, width="content")
        st.code(one.number, language=None, width="content")
    head(view, one)
    lines(view, one)
    sums(view, one)
    how(view, one)
    afterwards(view, one)
    st.subheader(_("As it is sent"), anchor=False)
    export.files(
        view,
        [
            File(_("PDF in English"), f"{one.number}-en.pdf", PDF, lambda: (engine.pdf(key, "en"), {})),
            File(_("PDF in Arabic"), f"{one.number}-ar.pdf", PDF, lambda: (engine.pdf(key, "ar"), {})),
            File("JSON", f"{one.number}.json", "application/json", lambda: (engine.json(key).encode(), {})),
        ],
    )
    for missing in one.missing:
        st.text(_("Missing on it: {fact}").format(fact=billing_words.missing_fact(view.text)(missing)))


def head(view: View, one: Document) -> None:
    """Amounts, and the facts at the head of the document, each with where it leads."""
    _, show = view.text.gettext, view.show
    left = _("Left to pay") if one.kind == "invoice" else _("Credit left")
    frame.cards(
        view,
        [
            Card(_("Net"), show.money(one.net_minor, one.currency)),
            Card(_("Tax"), show.money(one.tax_minor, one.currency)),
            Card(_("Total"), show.money(one.total_minor, one.currency)),
            Card(left, show.money(one.open_minor, one.currency)),
        ],
    )
    customer = links.customer({"customer_id": one.customer_id})
    state = billing_words.document_state(view.text)(one.state)
    facts: list[tuple[str, str, str | None]] = [
        (_("State"), f"{state} · {show.day_short(one.state_on)}" if one.state_on else state, None),
        (_("Customer"), one.buyer, customer),
        (_("Seller"), one.seller, None),
        (_("Issued"), show.day_short(one.issued_on), None),
    ]
    optional = [
        (_("Due"), show.day_short(one.due_on) if one.due_on else None, None),
        (_("Purchase order"), one.purchase_order, None),
        (_("Reason"), one.reason, None),
        (_("Replaces"), one.replaces, _invoice(one.replaces)),
        (_("Replaced by"), one.replaced_by, _invoice(one.replaced_by)),
        *((_("Corrects"), number, _invoice(number)) for number in one.corrects),
        (_("Made by run"), one.run, _run(one.run)),
    ]
    facts += [(label, value, href) for label, value, href in optional if value]
    rows = pl.DataFrame(facts, schema=["fact", "value", "href"], orient="row")
    frame.table(
        view,
        _("Facts"),
        [Column("fact", _("What")), Column("value", _("Value"), href=lambda row: row["href"])],
        rows,
    )


def _invoice(number: str | None) -> str | None:
    return links.invoice({"invoice_no": number})


def _run(run: str | None) -> str | None:
    return address.to("runs", run=run) if run and address.offers("runs") else None


def lines(view: View, one: Document) -> None:
    _ = view.text.gettext
    st.subheader(_("Lines"), anchor=False)
    desk.lines_table(view, _("Lines"), one.lines, one.currency)


def sums(view: View, one: Document) -> None:
    """What has to add up, checked before the reader's eyes."""
    _, show = view.text.gettext, view.show

    def money(minor: int) -> str:
        return show.money(minor, one.currency)

    net, tax = sum(line.net_minor for line in one.lines), sum(line.tax_minor for line in one.lines)
    checks = [
        (_("Lines, net: {sum}"), net, one.net_minor),
        (_("Lines, tax: {sum}"), tax, one.tax_minor),
        (_("Net and tax: {sum}"), one.net_minor + one.tax_minor, one.total_minor),
    ]
    if one.state != "void":
        checks.append((_("Settled and left: {sum}"), one.settled_minor + one.open_minor, one.total_minor))
    for label, found, expected in checks:
        frame.verdict(view, label.format(sum=money(found)), found == expected, money(expected))


def how(view: View, one: Document) -> None:
    """One line's explanation, chosen from a list."""
    _ = view.text.gettext
    if not one.lines:
        return
    st.subheader(_("How an amount came about"), anchor=False)
    line = address.choice(
        "line",
        _("Line"),
        one.lines,
        one.lines[0],
        lambda each: f"{each.position}. {each.description}",
        code=lambda each: str(each.position),
    )
    with st.container(border=True, key="explanation"):
        desk.explanation(view, line, one.currency)


def afterwards(view: View, one: Document) -> None:
    """Taxes, what paid it, what was credited, how it was chased and what was posted."""
    _ = view.text.gettext
    with_currency = pl.lit(one.currency).alias("currency")
    parts: Sequence[tuple[str, pl.DataFrame, list[Column]]] = [
        (
            _("Taxes"),
            one.taxes.with_columns((pl.col("tax_rate_ppm") / 1_000_000).alias("rate")),
            [
                Column("category", _("Category"), words=billing_words.tax_category(view.text)),
                Column("country", _("Country"), "id"),
                Column("rate", _("Tax rate"), "percent"),
                Amount("net_minor", _("Net")),
                Amount("tax_minor", _("Tax")),
            ],
        ),
        (
            _("Settled by"),
            one.settlements,
            [
                Column("kind", _("What"), words=billing_words.settlement(view.text)),
                Column("reference", _("Number"), "id", href=lambda row: _invoice(row["reference"])),
                Column("on", _("On"), "day"),
                Amount("amount_minor", _("Amount")),
            ],
        ),
        (
            _("Payments and attempts"),
            one.payments,
            [
                Column("payment_id", _("Payment"), "id"),
                Column("state", _("State"), words=billing_words.payment_state(view.text)),
                Column("attempt", _("Attempt"), "count"),
                Column("outcome", _("Outcome"), words=billing_words.outcome(view.text)),
                Column("decline_code", _("Why"), words=billing_words.decline(view.text)),
                Column("on", _("On"), "day"),
                Amount("amount_minor", _("Amount")),
            ],
        ),
        (
            _("Credit notes"),
            one.notes,
            [
                Column("invoice_no", _("Number"), "id"),
                Column("issued_on", _("Issued"), "day"),
                Column("reason", _("Reason")),
                Amount("net_minor", _("Net")),
                Amount("tax_minor", _("Tax")),
            ],
        ),
        (
            _("Dunning"),
            one.dunning,
            [
                Column("kind", _("Step"), words=billing_words.step(view.text)),
                Column("track", _("How"), words=billing_words.track(view.text)),
                Column("due_on", _("Due"), "day"),
                Column("done_on", _("Done"), "day"),
                Column("outcome", _("Outcome"), words=billing_words.outcome(view.text)),
            ],
        ),
        (
            _("Journal"),
            one.journal,
            [
                Column("posted_on", _("Posted"), "day"),
                Column("event", _("What"), words=billing_words.event(view.text)),
                Column("account", _("Account"), words=billing_words.account(view.text)),
                Amount("debit_minor", _("Debit")),
                Amount("credit_minor", _("Credit")),
            ],
        ),
    ]
    shown = [part for part in parts if not part[1].is_empty()]
    for tab, (title, rows, columns) in zip(st.tabs([part[0] for part in shown]), shown, strict=True):
        with tab:
            found = rows if "currency" in rows.columns else rows.with_columns(with_currency)
            frame.table(view, title, columns, found)
            if rows is one.journal:
                debit, credit = int(rows["debit_minor"].sum()), int(rows["credit_minor"].sum())
                frame.verdict(
                    view,
                    _("Debits and credits: {sum}").format(sum=view.show.money(debit, one.currency)),
                    debit == credit,
                    view.show.money(credit, one.currency),
                )


render(open_view())
