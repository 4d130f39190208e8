"""The acts that cannot be undone: what each is about, what it asks, what it would do in money, and doing it.

A page shows what an act would do and asks to type the name of the thing; the answer is done only while it
still does the same (billing.admin.consequences).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from billing.admin.consequences import (
    Consequence,
    Figure,
    Work,
    billed_by,
    counted,
    posted_by,
    standing_in,
)
from billing.admin.naming import N_
from billing.core.calendar import local_date
from billing.core.money import parse_money
from billing.jobs.retry import retry
from billing.reads import (
    approvals,
    catalog,
    customers,
    invoices,
    keys,
    payments,
    subscriptions,
    wallets,
    webhooks,
)
from billing.reads.scope import everything
from billing.service.acts import job
from billing.service.api_keys import revoke_key
from billing.service.approvals import approve, reject
from billing.service.periods import lock_period
from billing.service.refunds import refund
from billing.service.subscriptions import cancel
from billing.service.voids import void_invoice
from billing.service.wallets import close_wallet
from billing.service.webhook_endpoints import remove_endpoint
from billing.service.write_offs import reinstate, write_off
from billing.store.store import Store

ALL = everything()
Answers = Mapping[str, str]
LATELY, CALLS = timedelta(days=7), 200
"""How far back calls of a key are counted, and up to how many."""


@dataclass(frozen=True)
class Subject:
    """What an act is about. `typed`: the name that has to be typed. `holds`: customers that nobody else
    changes meanwhile. `open_minor`: what there is of it, where the act asks for a part."""

    key: str
    typed: str
    back: tuple[str, ...]
    holds: tuple[str, ...] = ()
    currency: str | None = None
    open_minor: int | None = None


@dataclass(frozen=True)
class Question:
    """Something an act asks before it can say what it would do. `is_money`: an amount in major units."""

    name: str
    label: str
    hint: str = ""
    is_money: bool = False
    is_required: bool = True


@dataclass(frozen=True)
class Act:
    """`work` does it; `told` says what it would do, on a store that takes everything back."""

    title: str
    button: str
    find: Callable[[Store, datetime, str], Subject | None]
    work: Callable[[Store, datetime, Subject, Answers], object]
    told: Callable[[Store, datetime, Subject, Work], Consequence]
    asks: tuple[Question, ...] = ()
    note: str = ""
    manages: bool = True
    """Whether it is for those alone who manage (billing.admin.door)."""
    commits: bool = False
    """A job: it commits as it goes, so it is not done in one transaction with the look at what it does."""


def _posts(store: Store, at: datetime, _subject: Subject, work: Work) -> Consequence:
    return posted_by(store, at, work)


def _bills(store: Store, at: datetime, subject: Subject, work: Work) -> Consequence:
    return billed_by(store, at, work, subject.holds[0])


# Invoices.


def _invoice(store: Store, _at: datetime, key: str) -> Subject | None:
    row = invoices.invoice(store, ALL, invoice_id=key)
    if row is None:
        return None
    number = str(row["number"] or row["invoice_id"])
    return Subject(
        row["invoice_id"],
        number,
        ("invoices", row["invoice_id"]),
        (row["customer_id"],),
        row["currency"],
        row["open_minor"],
    )


_REASON = Question("reason", N_("Reason"), N_("It is kept with the document."))


# Payments.


def _payment(store: Store, _at: datetime, key: str) -> Subject | None:
    row = payments.payment(store, ALL, payment_id=key)
    if row is None:
        return None
    back = ("invoices", row["invoice_id"]) if row["invoice_id"] else ("customers", row["customer_id"])
    return Subject(key, key, back, (row["customer_id"],), row["currency"], row["amount_minor"])


def _refund(store: Store, at: datetime, subject: Subject, answers: Answers) -> object:
    assert subject.currency is not None
    amount_minor = parse_money(answers["amount"], subject.currency)
    return refund(store, at, payment_id=subject.key, amount_minor=amount_minor)


def _refunded(store: Store, at: datetime, subject: Subject, work: Work) -> Consequence:
    """What goes back: a refund is posted when the gateway has made it."""
    before = _asked_back(store, subject.key)
    work(store, at)
    amount = _asked_back(store, subject.key) - before
    return Consequence((Figure("refund", "refund", amount, subject.currency),))


def _asked_back(store: Store, payment_id: str) -> int:
    found = payments.refunds(store, ALL, payment_id=payment_id, limit=200).rows
    return sum(int(row["amount_minor"]) for row in found if row["state"] != "failed")


# Subscriptions.


def _subscription(store: Store, at: datetime, key: str) -> Subject | None:
    row = subscriptions.subscription_of(store, at, ALL, subscription_id=key)
    if row is None:
        return None
    held = row["standing"].subscription
    ids = tuple(dict.fromkeys((held.sold_to, held.bill_to)))
    return Subject(key, key, ("subscriptions", key), ids)


def _cancel(store: Store, at: datetime, subject: Subject, answers: Answers) -> object:
    return cancel(store, at, subscription_id=subject.key, when="now", reason=answers.get("reason") or "other")


# Wallets, months, customers, approvals.


def _wallet(store: Store, _at: datetime, key: str) -> Subject | None:
    row = wallets.wallet(store, ALL, wallet_id=key)
    if row is None:
        return None
    return Subject(
        key, row["name"], ("customers", row["customer_id"]), (row["customer_id"],), row["currency"]
    )


def _month(store: Store, _at: datetime, key: str) -> Subject | None:
    """A month of a seller's books, `seller:2026-01`."""
    entity_id, _, month = key.rpartition(":")
    if catalog.legal_entity(store, ALL, entity_id=entity_id) is None or _first_of(month) is None:
        return None
    return Subject(key, f"{entity_id} {month}", ("periods",))


def _first_of(month: str) -> date | None:
    try:
        return date.fromisoformat(f"{month}-01")
    except ValueError:
        return None


def _lock(store: Store, at: datetime, subject: Subject, _answers: Answers) -> object:
    entity_id, _, month = subject.key.rpartition(":")
    return lock_period(store, at, entity_id=entity_id, month=date.fromisoformat(f"{month}-01"))


def _locked(store: Store, at: datetime, subject: Subject, work: Work) -> Consequence:
    """What stands in the month, and cannot be changed there any more."""
    work(store, at)
    entity_id, _, month = subject.key.rpartition(":")
    return standing_in(store, entity_id, date.fromisoformat(f"{month}-01"))


def _parked(store: Store, _at: datetime, key: str) -> Subject | None:
    row = customers.customer_of(store, ALL, customer_id=key)
    if row is None or row["parked_at"] is None:
        return None
    return Subject(key, row["name"], ("parked",), (), row["currency"])


def _retry(store: Store, at: datetime, subject: Subject, _answers: Answers) -> object:
    row = customers.customer_of(store, ALL, customer_id=subject.key)
    day = local_date(at, row["time_zone"]) if row else at.date()
    with job(store, at, "retry", up_to=day, customer_ids=[subject.key]) as work:
        summary = retry(store, at, up_to=day, customer_ids=[subject.key])
        work.subject_id = summary.run_id
    return summary


def _approval(store: Store, _at: datetime, key: str) -> Subject | None:
    row = approvals.approval(store, ALL, approval_id=key)
    if row is None or row["state"] != "pending":
        return None
    return Subject(key, key, ("approvals",), (row["customer_id"],))


def _approve(store: Store, at: datetime, subject: Subject, _answers: Answers) -> object:
    return approve(store, at, approval_id=subject.key, decided_by=store.actor)


def _approved(store: Store, at: datetime, subject: Subject, work: Work) -> Consequence:
    """An order costs what the next run bills of it; all else is posted at once."""
    row = approvals.approval(store, ALL, approval_id=subject.key)
    is_order = row is not None and row["kind"] == "order"
    return (_bills if is_order else _posts)(store, at, subject, work)


def _reject(store: Store, at: datetime, subject: Subject, _answers: Answers) -> object:
    return reject(store, at, approval_id=subject.key, decided_by=store.actor)


# Keys and webhooks.


def _key(store: Store, _at: datetime, key: str) -> Subject | None:
    row = keys.key(store, ALL, key_id=key)
    return None if row is None else Subject(key, row["name"], ("keys",))


def _called(store: Store, at: datetime, subject: Subject, work: Work) -> Consequence:
    """How much the key was used of late: so many calls go unanswered."""
    found = keys.calls(store, ALL, caller_id=subject.key, since=at - LATELY, limit=CALLS)
    work(store, at)
    return counted({"calls": len(found.rows)})


def _endpoint(store: Store, _at: datetime, key: str) -> Subject | None:
    row = webhooks.endpoint(store, ALL, endpoint_id=key)
    return None if row is None else Subject(key, key, ("webhooks",))


def _awaited(store: Store, at: datetime, subject: Subject, work: Work) -> Consequence:
    """What waits for the endpoint and never comes."""
    how = webhooks.health(store, ALL, endpoint_id=subject.key, at=at)
    work(store, at)
    return counted({"waiting": int(how["waiting"]) if how else 0})


ACTS: Mapping[str, Act] = {
    "void": Act(
        N_("Void an invoice"),
        N_("Void it"),
        _invoice,
        lambda store, at, one, answers: void_invoice(store, at, invoice_id=one.key, reason=answers["reason"]),
        _posts,
        (_REASON,),
        N_("The whole of it is credited. The next bill run bills the facts as they are then."),
    ),
    "write-off": Act(
        N_("Write an invoice off"),
        N_("Write it off"),
        _invoice,
        lambda store, at, one, answers: write_off(store, at, invoice_id=one.key, reason=answers["reason"]),
        _posts,
        (_REASON,),
        N_("Nothing is charged for it any more. Money that still comes in is recovered bad debt."),
    ),
    "reinstate": Act(
        N_("Take a write-off back"),
        N_("Take it back"),
        _invoice,
        lambda store, at, one, answers: reinstate(store, at, invoice_id=one.key, reason=answers["reason"]),
        _posts,
        (_REASON,),
    ),
    "refund": Act(
        N_("Give money back"),
        N_("Give it back"),
        _payment,
        _refund,
        _refunded,
        (Question("amount", N_("Amount"), N_("At most what the customer has as credit."), is_money=True),),
    ),
    "cancel-now": Act(
        N_("End a subscription today"),
        N_("End it today"),
        _subscription,
        _cancel,
        _bills,
        note=N_("What is shown is what the next bill run would issue because of it."),
    ),
    "close-wallet": Act(
        N_("Close a wallet"),
        N_("Close it"),
        _wallet,
        lambda store, at, one, _answers: close_wallet(store, at, wallet_id=one.key),
        _posts,
        note=N_("Balance that was given away is gone."),
    ),
    "lock-month": Act(
        N_("Close a month of the books"),
        N_("Close it"),
        _month,
        _lock,
        _locked,
        note=N_("Nothing is posted into it any more."),
    ),
    "retry": Act(
        N_("Bill a customer that was set aside"),
        N_("Bill it now"),
        _parked,
        _retry,
        _posts,
        note=N_(
            "This is a bill run of the customer's tree of accounts: whatever is due there by now is billed "
            "too. If the customer fails again, it is set aside again."
        ),
        manages=False,
        commits=True,
    ),
    "approve": Act(
        N_("Approve an order"),
        N_("Approve it"),
        _approval,
        _approve,
        _approved,
        note=N_("The order is carried out now. What it costs is billed by the next run."),
        manages=False,
    ),
    "reject": Act(
        N_("Reject an order"),
        N_("Reject it"),
        _approval,
        _reject,
        _posts,
        note=N_("The order is not carried out."),
        manages=False,
    ),
    "revoke-key": Act(
        N_("Take a key back"),
        N_("Take it back"),
        _key,
        lambda store, at, one, _answers: revoke_key(store, at, key_id=one.key),
        _called,
        note=N_("Whoever calls with it is refused from now on."),
    ),
    "remove-endpoint": Act(
        N_("Remove an endpoint"),
        N_("Remove it"),
        _endpoint,
        lambda store, at, one, _answers: remove_endpoint(store, at, endpoint_id=one.key),
        _awaited,
        note=N_("Nothing is sent to it any more. What was sent stays in the log of calls."),
    ),
}
