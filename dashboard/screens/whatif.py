"""Page whatif: what would a change of an account post? Worked out by the engine and taken back."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import streamlit as st

from dashboard import address, billing_words, desk, frame
from dashboard.desk import Amount
from dashboard.engine import UNKNOWN, Account, Change, Engine, EngineProblem, Item, Previewed, Subscription
from dashboard.frame import Card
from dashboard.queries import engine as queries
from dashboard.tables import Column
from dashboard.view import View, open_view

ACTS = ("nothing", "quantity", "plan", "pause", "resume", "cancel", "add_on", "remove")
WITH_WHEN = frozenset({"quantity", "plan", "cancel", "remove"})
WHEN = ("policy", "now", "period_end")
FOUND = 20
BACK, AHEAD = timedelta(days=760), timedelta(days=1_830)
OF_CHANGE = ("item", "quantity", "to_plan", "when", "until")


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(
        view,
        "whatif",
        _("What would a change of this account cost? The engine works it out, and nothing is written."),
    )
    found = desk.opened(view)
    if found is None:
        return
    view, engine = found
    with desk.asked(view):
        left, right = st.columns(2)
        with right:
            on = _day(view, engine)
        with left:
            words = _account_words(view)
        account = chosen_account(view, engine, words, on)
        if account is None:
            return
        standing(view, account)
        with desk.asked(view):
            change = wanted(view, engine, account, on)
            if change is not None:
                answered(view, engine, change, account)


def _day(view: View, engine: Engine) -> date:
    today = engine.today()
    return desk.day("on", view.text.gettext("Day of the change"), today, today - BACK, today + AHEAD)


def _account_words(view: View) -> str | None:
    return desk.entry(
        "customer",
        view.text.gettext("Account: its id or a part of its name"),
        resets=("subscription", "act", *OF_CHANGE, "up_to"),
    )


def chosen_account(view: View, engine: Engine, words: str | None, on: date) -> Account | None:
    """The account by its id, or by a name that the warehouse knows."""
    _ = view.text.gettext
    if words is None:
        frame.empty(view, _("Choose an account to see what a change of it would post."))
        return None
    try:
        return engine.account(words, on)
    except EngineProblem as problem:
        if problem.code != "unknown_customer":
            raise
    found = engine.find_customers(words, FOUND)
    if view.published is not None:
        named = view.published.rows(queries.FOUND_BY_NAME, words=words, limit=FOUND)
        found = pl.concat([found, named.select(found.columns)]).unique("customer_id", maintain_order=True)
    if found.is_empty():
        raise EngineProblem(UNKNOWN, "unknown_customer", words)
    frame.table(
        view,
        _("Customers found"),
        [
            Column(
                "customer_id",
                _("Customer"),
                "id",
                href=lambda row: address.to("whatif", customer=str(row["customer_id"])),
            ),
            Column("name", _("Name")),
        ],
        found,
    )
    return None


def standing(view: View, account: Account) -> None:
    """Who it is, and what may stand in the way of billing."""
    _, show = view.text.gettext, view.show
    row = {
        "customer_id": account.customer_id,
        "name": account.name,
        "currency": account.currency,
        "overdue_state": account.overdue_state,
        "next_bill_on": account.next_bill_on,
    }
    frame.table(
        view,
        _("Account"),
        [
            Column("name", _("Customer")),
            Column("customer_id", _("Id"), "id"),
            Column("currency", _("Currency"), "id"),
            Column("overdue_state", _("Overdue money"), words=billing_words.overdue_state(view.text)),
            Column("next_bill_on", _("Billed next"), "day"),
        ],
        pl.DataFrame([row], schema_overrides={"next_bill_on": pl.Date}),
    )
    frame.page_link(view, "documents", _("Documents of this account"), customer=account.customer_id)
    if account.parked_code:
        st.warning(_("Bill runs leave this account aside until this is put right:"))
        st.text(billing_words.refusal(view.text)(account.parked_code))
        if account.parked_detail:
            st.text(show.identifier(account.parked_detail))


def wanted(view: View, engine: Engine, account: Account, on: date) -> Change | None:
    """The change as the reader chooses it; None while something is missing."""
    _, show = view.text.gettext, view.show
    if not account.subscriptions:
        frame.empty(view, _("This account has no subscription."))
        return None
    status = billing_words.subscription_status(view.text)
    live = sorted(account.subscriptions, key=lambda one: one.status == "canceled")
    one = address.choice(
        "subscription",
        _("Subscription"),
        live,
        live[0],
        lambda each: f"{_main(each)} · {status(each.status)} · {show.day_short(each.starts_on)}",
        code=lambda each: each.subscription_id,
        resets=("act", *OF_CHANGE, "up_to"),
    )
    _items(view, one)
    acts = {
        "nothing": _("Nothing: what comes anyway"),
        "quantity": _("Another quantity"),
        "plan": _("Another plan"),
        "pause": _("Pause"),
        "resume": _("Resume"),
        "cancel": _("Cancel"),
        "add_on": _("An add-on more"),
        "remove": _("An add-on less"),
    }
    left, right = st.columns(2)
    with left:
        act = address.choice("act", _("Change to try"), ACTS, ACTS[0], acts.__getitem__, resets=OF_CHANGE)
    with right:
        default = one.next_boundary or on
        up_to = desk.day("up_to", _("Billed up to (the next invoice by default)"), default, on, on + AHEAD)
    with st.container(key="change"):
        change = _details(view, engine, one, Change(one.subscription_id, act, on, on))
    if change is None:
        return None
    st.caption(_("The change acts as if it were made on {day}.").format(day=show.day(on)))
    return replace(change, up_to=max(up_to, on))


def _main(one: Subscription) -> str:
    return next((item.plan_name for item in one.items if not item.is_add_on), "–")


def _items(view: View, one: Subscription) -> None:
    _ = view.text.gettext
    rows = [
        {
            "plan": item.plan_name,
            "what": _("Add-on") if item.is_add_on else _("Plan"),
            "quantity": item.quantity if item.has_quantity else None,
            "interval": billing_words.interval(view.text, item.interval),
            "recurring_minor": item.recurring_minor,
            "currency": item.currency,
        }
        for item in one.items
    ]
    frame.table(
        view,
        _("What is subscribed"),
        [
            Column("plan", _("Plan"), "id"),
            Column("what", _("Kind")),
            desk.Exact("quantity", _("Quantity")),
            Column("interval", _("Interval")),
            Amount("recurring_minor", _("Recurring")),
        ],
        pl.DataFrame(rows, infer_schema_length=None),
    )


def _details(view: View, engine: Engine, one: Subscription, change: Change) -> Change | None:
    """What the chosen act needs besides the day."""
    _ = view.text.gettext
    if change.act in WITH_WHEN:
        change = replace(change, when=_when(view))
    if change.act in ("quantity", "remove"):
        able = [
            item for item in one.items if (item.has_quantity if change.act == "quantity" else item.is_add_on)
        ]
        if not able:
            frame.empty(view, _("This subscription has nothing that can be changed this way."), ("act",))
            return None
        item = _item(view, able)
        change = replace(change, item_id=item.item_id)
    if change.act == "quantity":
        quantity = desk.entry("quantity", _("New quantity"))
        return replace(change, quantity=quantity) if quantity else None
    if change.act in ("plan", "add_on"):
        return _other_plan(view, engine, change)
    if change.act == "pause" and st.toggle(
        _("Until a day"), key="has-until", value=address.read("until") is not None
    ):
        first = change.on + timedelta(days=1)
        until = desk.day(
            "until", _("Service again from"), change.on + timedelta(days=30), first, first + AHEAD
        )
        return replace(change, until=until)
    return change


def _when(view: View) -> str | None:
    _ = view.text.gettext
    labels = {
        "policy": _("As the policy says"),
        "now": _("At once"),
        "period_end": _("At the end of the period"),
    }
    when = address.choice("when", _("It acts"), WHEN, WHEN[0], labels.__getitem__)
    return None if when == "policy" else when


def _item(view: View, able: list[Item]) -> Item:
    return address.choice(
        "item",
        view.text.gettext("Of what"),
        able,
        able[0],
        lambda item: item.plan_name,
        code=lambda item: item.item_id,
        resets=("quantity",),
    )


def _other_plan(view: View, engine: Engine, change: Change) -> Change | None:
    _ = view.text.gettext
    plans = engine.plans().filter(is_add_on=change.act == "add_on").unique("plan_id", maintain_order=True)
    rows = plans.to_dicts()
    if not rows:
        frame.empty(view, _("No plan of this kind has been published."), ("act",))
        return None
    plan = address.choice(
        "to_plan",
        _("Plan"),
        rows,
        rows[0],
        lambda row: str(row["name"]),
        code=lambda row: str(row["plan_id"]),
    )
    change = replace(change, plan_id=plan["plan_id"])
    if change.act == "add_on":
        change = replace(change, quantity=desk.entry("quantity", _("Quantity of the add-on (1 by default)")))
    return change


# The answer.


@st.cache_data(ttl=60, max_entries=200, show_spinner=False)
def _answer(
    folder: Path, change: Change, language: str, _engine: Engine
) -> tuple[Previewed, Previewed, Previewed]:
    """What the change posts at once, and what is due by then without and with it.

    Asked of the engine once a minute at most, since it holds others up while it works it out."""
    nothing = replace(change, act="nothing", item_id=None, quantity=None, plan_id=None, until=None, when=None)
    with_it = _engine.preview(change, language)
    at_once = with_it
    if change.up_to != change.on:
        at_once = _engine.preview(replace(change, up_to=change.on), language)
    without = with_it if change.act == "nothing" else _engine.preview(nothing, language)
    return at_once, without, with_it


def answered(view: View, engine: Engine, change: Change, account: Account) -> None:
    _, show = view.text.gettext, view.show
    assert view.company is not None
    at_once, before, after = _answer(view.company.folder, change, view.language, engine)
    currency = account.currency
    without, with_it = (one.total_minor(currency) for one in (before, after))
    st.subheader(_("What would be posted"), anchor=False)
    frame.cards(
        view,
        [
            Card(
                _("At once, on {day}").format(day=show.day_short(change.on)),
                show.money(at_once.total_minor(currency), currency, signed=True),
            ),
            Card(_("Without the change"), show.money(without, currency), note=_upto(view, change)),
            Card(_("With the change"), show.money(with_it, currency), note=_upto(view, change)),
            Card(_("Difference"), show.money(with_it - without, currency, signed=True)),
        ],
    )
    st.caption(
        _("Invoices less credit notes, with tax, of all that is due up to that day. Nothing was written.")
    )
    problems(view, after)
    documents(view, after)


def _upto(view: View, change: Change) -> str:
    return view.text.gettext("up to {day}").format(day=view.show.day_short(change.up_to))


def problems(view: View, found: Previewed) -> None:
    """Why the account or a document would be set aside instead."""
    _ = view.text.gettext
    word = billing_words.refusal(view.text)
    for rows, sentence in (
        (found.failures, _("A bill run would set the account aside instead:")),
        (found.held, _("A purchase order would hold this back:")),
    ):
        for code, detail in rows.iter_rows():
            st.warning(sentence)
            st.text(word(code) if not detail else f"{word(code)} ({view.show.identifier(detail)})")


def documents(view: View, found: Previewed) -> None:
    """The documents that would come out, line by line, with how each amount comes about."""
    _, show = view.text.gettext, view.show
    if not found.lines:
        st.text(_("Nothing would be posted up to that day."))
        return
    for row in found.documents.iter_rows(named=True):
        currency = row["currency"]
        own = [line for document, _currency, line in found.lines if document == row["document"]]
        if row["total_minor"] or not row["note_total_minor"]:
            st.text(_("An invoice of {total}").format(total=show.money(row["total_minor"], currency)))
        if row["note_total_minor"]:
            st.text(_("A credit note of {total}").format(total=show.money(row["note_total_minor"], currency)))
        desk.lines_table(view, _("Lines"), own, currency)
        net = sum(line.net_minor for line in own)
        tax = sum(line.tax_minor for line in own)
        expected = row["total_minor"] - row["note_total_minor"]
        frame.verdict(
            view,
            _("Lines with tax: {sum}").format(sum=show.money(net + tax, currency)),
            net + tax == expected,
            show.money(expected, currency),
        )
        with st.expander(_("How each amount came about")):
            for line in own:
                desk.explanation(view, line, currency)
    if not found.refunds.is_empty():
        total = int(found.refunds["amount_minor"].sum())
        st.text(
            _("Given back through payments: {total}").format(
                total=show.money(total, found.documents.item(0, "currency"))
            )
        )


render(open_view())
