"""The page of an act that cannot be undone, and its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from billing.admin import naming
from billing.admin.acts import ACTS, Act, Subject
from billing.admin.consequences import Consequence, Figure
from billing.admin.looks import Ask, Cell, Form, Link, Notice, Screen, Section, Table
from billing.admin.visit import Visit, path_to
from billing.core.money import BillingError
from billing.service.acts import Held
from billing.store.store import Store
from billing.web.context import Context
from billing.web.forms import check_typed
from billing.web.problems import Problem


def act_named(visit: Visit) -> tuple[str, Act]:
    """The act that the path names. Raises Problem `not_found`, `role_missing`."""
    name = visit.key("act")
    act = ACTS.get(name)
    if act is None:
        raise Problem("not_found")
    if act.manages and not visit.staff.may_manage:
        raise Problem("role_missing")
    return name, act


def shown(
    visit: Visit, answers: Mapping[str, str], *, problem: BillingError | Problem | None = None
) -> Screen:
    """What an act would do with these answers; or what it asks first. `problem`: why it was not done."""
    name, act = act_named(visit)
    key = visit.key()
    answers = {one.name: answers.get(one.name, "") for one in act.asks}
    told, refused = None, problem
    with visit.context.rehearsing() as (store, at):
        subject = _found(act, store, at, key)
        if _is_answered(act, answers):
            try:
                told = _told(act, store, at, subject, answers)
            except BillingError as error:
                refused = error
    return _screen(visit, name, act, subject, answers, told, refused)


def done(visit: Visit, fields: Mapping[str, str]) -> str:
    """Do an act as it was shown; where to go then. Raises BillingError and Problem, `not_confirmed` and
    `preview_changed` among them: nothing was done then."""
    name, act = act_named(visit)
    key = visit.key()
    answers = {one.name: fields.get(one.name, "") for one in act.asks}
    with visit.context.rehearsing() as (store, at):
        subject = _found(act, store, at, key)
    check_typed(fields.get("typed"), subject.typed)
    if act.commits:
        with visit.context.rehearsing() as (store, at):
            _check(act, name, store, at, subject, answers, fields.get("shown"))
        _carried_out(visit.context, act, subject, answers)
        return path_to(*subject.back, done=name)

    def work(store: Store, at: datetime) -> object:
        _check(act, name, store, at, subject, answers, fields.get("shown"))
        return act.work(store, at, subject, answers)

    visit.context.write(work, subject.holds)
    return path_to(*subject.back, done=name)


def _carried_out(context: Context, act: Act, subject: Subject, answers: Mapping[str, str]) -> None:
    with context.services.stores.write(context.caller.actor) as store:
        act.work(store, context.now(), subject, answers)


def _found(act: Act, store: Store, at: datetime, key: str) -> Subject:
    subject = act.find(store, at, key)
    if subject is None:
        raise Problem("not_found")
    return subject


def _is_answered(act: Act, answers: Mapping[str, str]) -> bool:
    return all(answers.get(one.name, "").strip() for one in act.asks if one.is_required)


def _told(act: Act, store: Store, at: datetime, subject: Subject, answers: Mapping[str, str]) -> Consequence:
    return act.told(store, at, subject, lambda on, when: act.work(on, when, subject, answers))


def _check(
    act: Act,
    name: str,
    store: Store,
    at: datetime,
    subject: Subject,
    answers: Mapping[str, str],
    given: str | None,
) -> None:
    """Raises Problem `preview_changed` unless the act still does what was shown."""
    with store.rehearsal({}):
        told = _told(act, store, at, subject, answers)
    if told.mark(name, subject.key, answers) != given:
        raise Problem("preview_changed")


# How it looks.


def _screen(
    visit: Visit,
    name: str,
    act: Act,
    subject: Subject,
    answers: Mapping[str, str],
    told: Consequence | None,
    refused: BillingError | Problem | None,
) -> Screen:
    _ = visit.words.gettext
    own = path_to("acts", name, subject.key)
    notices = [] if refused is None else [_why_not(visit, refused)]
    sections = []
    if act.asks:
        asks = [
            Ask(
                one.name,
                f"{_(one.label)} ({subject.currency})" if one.is_money else _(one.label),
                answers.get(one.name, ""),
                is_required=one.is_required,
                hint=_(one.hint) or None,
            )
            for one in act.asks
        ]
        sections.append(
            Section("", forms=[Form(own, _("Show what it does"), asks, "get", tone="primary")], name="asks")
        )
    values: dict[str, object] = {"told": None}
    if told is not None:
        values = {
            "told": _table(visit, told.figures),
            "notes": [_(act.note)] if act.note else [],
            "action": own,
            "form_name": f"act:{name}:{subject.key}",
            "shown": told.mark(name, subject.key, answers),
            "answers": sorted(answers.items()),
            "expected": subject.typed,
            "button": _(act.button),
        }
    return Screen(
        title=_(act.title),
        sections=sections,
        notices=notices,
        back=Link(path_to(*subject.back), _("Back")),
        lead=subject.typed,
        current=subject.back[0],
        status=200 if refused is None else 422,
        template="act.html",
        values=values,
    )


def _why_not(visit: Visit, refused: BillingError | Problem) -> Notice:
    _ = visit.words.gettext
    if refused.code == "preview_changed":
        return Notice("warn", _("It would do something else now than was shown. Look again."), refused.code)
    if refused.code == "not_confirmed":
        return Notice("bad", _("What was typed is not the name below. Nothing was done."), refused.code)
    if isinstance(refused, Held):
        return Notice("warn", _("It waits for approval."), refused.code)
    return Notice(
        "bad",
        _("This cannot be done: {why}").format(why=naming.refusal(visit.words, refused.code)),
        refused.code,
    )


def _table(visit: Visit, figures: Sequence[Figure]) -> Table:
    _ = visit.words.gettext
    return Table(
        caption=_("Found by doing it and taking it back"),
        columns=[_("What"), _("Amount")],
        rows=[[Cell(_named(visit, one)), _amount(visit, one)] for one in figures],
        empty=_("No document is issued, and nothing is posted."),
        numbers=frozenset({1}),
    )


def _amount(visit: Visit, one: Figure) -> Cell:
    if one.currency is None:
        return Cell(visit.words.decimal(one.amount), is_number=True)
    return visit.money(one.amount, one.currency)


def _named(visit: Visit, one: Figure) -> str:
    _ = visit.words.gettext
    if one.kind == "document":
        issued = {"invoice": _("Invoices issued"), "credit_note": _("Credit notes issued")}
        return issued.get(one.name, one.name)
    if one.kind == "account":
        return _("Account: {name}").format(name=naming.account(visit.words, one.name))
    named = {
        "refund": _("Given back to the customer"),
        "posted": _("Posted in the month"),
        "calls": _("Calls in the last seven days"),
        "waiting": _("Deliveries that wait and are not sent any more"),
    }
    return named.get(one.name, one.name)
