"""Page runs: what did the billing engine do? Each job, what it posted, and who was set aside and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import streamlit as st

from dashboard import address, billing_words, desk, doctor_words, frame
from dashboard.desk import Amount
from dashboard.engine import Engine, Run, Wanted
from dashboard.frame import Card
from dashboard.tables import Column
from dashboard.view import View, open_view

KINDS = (
    "all",
    "bill",
    "collect",
    "dun",
    "retry",
    "import_usage",
    "import_transfers",
    "import_subscriptions",
    "send_messages",
    "renew_due",
    "index_prices_due",
)
SHOWN = 15
SET_ASIDE = 200
OPENED_AT_ONCE = 50_000  # a run with more invoices is added up when the reader asks for it


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(view, "runs", _("What did the billing engine do, and what is left aside?"))
    found = desk.opened(view)
    if found is None:
        return
    view, engine = found
    with desk.asked(view):
        listed(view, engine)
    with desk.asked(view):
        one_run(view, engine)
    with desk.asked(view):
        set_aside(view, engine)
    with desk.asked(view):
        doctor(view, engine)


def listed(view: View, engine: Engine) -> None:
    _ = view.text.gettext
    word = billing_words.job(view.text)

    def actor(name: str | None) -> str:
        return _("system") if name == "system" else view.show.identifier(name)

    kind = address.choice(
        "kind",
        _("What ran"),
        KINDS,
        KINDS[0],
        lambda one: _("Everything") if one == "all" else word(one),
        resets=("run", "after"),
    )
    rows = [_row(one) for one in engine.runs(None if kind == "all" else kind, SHOWN)]
    if not rows:
        frame.empty(view, _("Nothing of this kind has run yet."), resets=("kind",) if kind != "all" else ())
        return
    desk.table(
        view,
        "runs",
        _("Runs"),
        [
            Column("kind", _("What ran"), words=word, href=_opens),
            Column("up_to", _("For the day"), "day"),
            Column("started_at", _("Started"), "instant"),
            Column("state", _("Result"), words=billing_words.job_state(view.text)),
            Column("customers", _("Customers"), "count"),
            Column("invoices", _("Invoices"), "count"),
            Column("lines", _("Lines"), "count"),
            Column("parked", _("Set aside"), "count"),
            Column("actor", _("By"), words=actor),
            Column("code", _("Why"), words=billing_words.refusal(view.text)),
        ],
        pl.DataFrame(rows, infer_schema_length=None),
    )


def _row(one: Run) -> dict[str, Any]:
    names = (
        *("key", "kind", "up_to", "started_at", "state", "customers", "invoices", "lines"),
        *("parked", "actor", "code"),
    )
    return {name: getattr(one, name) for name in names}


def _opens(row: Mapping[str, Any]) -> str | None:
    return address.to("runs", run=str(row["key"]))


def one_run(view: View, engine: Engine) -> None:
    """The run the address names, else the newest bill run."""
    _, show = view.text.gettext, view.show
    key = address.read("run")
    if key is None:
        newest = engine.runs("bill", 1)
        if not newest:
            return
        run = newest[0]
    else:
        run = engine.run(key)
    st.subheader(
        _("{job} for {day}").format(
            job=billing_words.job(view.text)(run.kind), day=show.day(run.up_to) if run.up_to else "–"
        ),
        anchor=False,
    )
    if run.invoices is None:
        _other_job(view, run)
        return
    frame.cards(
        view,
        [
            Card(_("Customers looked at"), show.number(run.customers)),
            Card(_("Invoices"), show.number(run.invoices)),
            Card(_("Lines"), show.number(run.lines)),
            Card(_("Set aside"), show.number(run.parked)),
        ],
    )
    is_large = run.invoices > OPENED_AT_ONCE
    if not is_large or st.toggle(_("Add up what it posted"), key=f"posted-{run.key}"):
        posted(view, engine, run)
    st.subheader(_("Invoices of this run"), anchor=False)
    wanted = Wanted(run=run.key)
    page = engine.documents(wanted, address.read("after"), desk.ROWS)
    desk.table(
        view,
        "run-invoices",
        _("Invoices of this run"),
        invoice_columns(view),
        page.rows,
        all_rows=lambda: desk.all_documents(engine, wanted),
    )
    desk.pager(view, page.following)


def _other_job(view: View, run: Run) -> None:
    _ = view.text.gettext
    st.text(billing_words.job_state(view.text)(run.state))
    if run.code:
        st.text(billing_words.refusal(view.text)(run.code))
    if run.arguments:
        st.caption(_("What it was given"))
        st.code(run.arguments, language=None, wrap_lines=True)


def posted(view: View, engine: Engine, run: Run) -> None:
    """What a bill run posted by currency, whether its counts and its journal agree, and what it held."""
    _, show = view.text.gettext, view.show
    found = engine.posted(run.key)
    st.subheader(_("Posted, by currency"), anchor=False)
    desk.table(
        view,
        "posted",
        _("Posted, by currency"),
        [
            Column("kind", _("What"), words=billing_words.document_kind(view.text)),
            Column("currency", _("Currency"), "id"),
            Column("documents", _("Documents"), "count"),
            Amount("net_minor", _("Net")),
            Amount("tax_minor", _("Tax")),
            Amount("total_minor", _("Total")),
        ],
        found.documents,
    )
    count = int(found.documents.filter(kind="invoice")["documents"].sum())
    frame.verdict(
        view,
        _("Invoices counted one by one: {count}").format(count=show.number(count)),
        count == run.invoices,
        show.number(run.invoices),
    )
    for currency, debit, credit in found.journal.iter_rows():
        frame.verdict(
            view,
            _("Journal, debits and credits: {sum}").format(sum=show.money(debit, currency)),
            debit == credit,
            show.money(credit, currency),
        )
    if not found.held.is_empty():
        st.subheader(_("Held by purchase orders"), anchor=False)
        st.caption(_("Nothing of these was posted. It stays owed, and the next run tries again."))
        desk.table(
            view,
            "held",
            _("Held by purchase orders"),
            [
                Column("name", _("Customer")),
                Column("code", _("Why"), words=billing_words.refusal(view.text)),
                Amount("net_minor", _("Net")),
            ],
            found.held,
        )


def invoice_columns(view: View) -> Sequence[Column]:
    _ = view.text.gettext
    return [
        Column("invoice_no", _("Number"), "id"),
        Column("name", _("Customer")),
        Column("state", _("State"), words=billing_words.document_state(view.text)),
        Column("due_on", _("Due"), "day"),
        Amount("total_minor", _("Total")),
        Amount("open_minor", _("Open")),
    ]


def set_aside(view: View, engine: Engine) -> None:
    """Customers whom bill runs leave aside until something is put right."""
    _ = view.text.gettext
    st.subheader(_("Customers set aside"), anchor=False)
    rows = engine.set_aside(SET_ASIDE)
    if rows.is_empty():
        st.text(_("Nobody is set aside: every customer can be billed."))
        return
    st.caption(
        _("Nothing is billed to them until this is put right. The first {count} are shown.").format(
            count=view.show.number(SET_ASIDE)
        )
    )
    desk.table(
        view,
        "set-aside",
        _("Customers set aside"),
        [
            Column("name", _("Customer")),
            Column("code", _("Why"), words=billing_words.refusal(view.text)),
            Column("detail", _("About"), "id"),
            Column("parked_at", _("Since"), "instant"),
        ],
        rows,
    )


def doctor(view: View, engine: Engine) -> None:
    """What the doctor found last."""
    _, ngettext, show = view.text.gettext, view.text.ngettext, view.show
    st.subheader(_("Proof that the data is sound"), anchor=False)
    last = engine.examination()
    if last is None:
        st.text(_("The data has not been examined yet. This command does, and its findings stand here then:"))
        company = view.company.name if view.company else ""
        st.code(f"tajdid billing doctor --company {company}", language=None)
        return
    checks = ngettext("{count} check", "{count} checks", last.checks).format(count=show.number(last.checks))
    found = ngettext("{count} finding", "{count} findings", last.count).format(count=show.number(last.count))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(
            _("Examined {when}: {checks}, {findings}.").format(
                when=show.instant(last.examined_at), checks=checks, findings=found
            )
        )
        if last.count:
            st.badge("✗ " + _("Look at the findings"), color="red")
        else:
            st.badge("✓ " + _("Sound"), color="green")
    if last.findings.is_empty():
        return
    known = doctor_words.sentences(view.text)
    told = zip(last.findings["check"], last.findings["sentence"], strict=True)
    sentences = [known.get(check, sentence) for check, sentence in told]
    frame.table(
        view,
        _("Findings"),
        [
            Column("table", _("Where"), words=doctor_words.part(view.text)),
            Column("check", _("Check"), "id"),
            Column("key", _("Row"), "id"),
            Column("sentence", _("What has to hold")),
        ],
        last.findings.with_columns(pl.Series("sentence", sentences, dtype=pl.String)),
    )


render(open_view())
