"""What every act of a customer or of staff does alike: all or nothing, refusals kept, changes announced.

An act takes the store, the instant it happens and named arguments. It runs in the caller's transaction if
there is one, under a savepoint, so a refused act leaves nothing behind but its row in `rejected_inputs`, and
one that is held until a person decides nothing but its row in `approvals`. Beside that each leaves an entry
in the audit log, whatever became of it; acts that it calls are steps of it and leave none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Column, bindparam, select

from billing.core.money import BillingError
from billing.store import messages
from billing.store.audit import keep_entry
from billing.store.errors import broken_rule
from billing.store.store import Store
from billing.store.tables import (
    approvals,
    bank_transfers,
    contacts,
    contracts,
    credit_notes,
    invoices,
    items,
    payments,
    portal_users,
    purchase_orders,
    purchase_requests,
    subscriptions,
    wallets,
)

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class Held(BillingError):
    """An order that waits for a person's word. Raised in an act, it undoes the act, which is kept with its
    arguments as an approval of kind order; the detail then names the approval.

    customer_id: who owes. figures: what there is to decide by.
    """

    def __init__(
        self, code: str, detail: str, customer_id: str, on: date, figures: Mapping[str, object]
    ) -> None:
        super().__init__(code, detail)
        self.customer_id, self.on, self.figures = customer_id, on, figures
        self.reason = detail
        self.order: dict[str, object] = {}
        """The act and its arguments, once it is known which act was held."""
        self.approval_id: str | None = None
        """What it waits as, once that is kept."""


def act(
    function: Callable[Concatenate[Store, datetime, Arguments], Answer],
) -> Callable[Concatenate[Store, datetime, Arguments], Answer]:
    """Make a function an act. Raises what it raises, and `naive_time` for an instant without zone; a
    BillingError is also kept in `rejected_inputs`, but a Held in `approvals`. What the tables themselves do
    not allow is refused alike: `immutable` (the key is taken), `unknown_reference`, `missing_value`,
    `version_overlap`."""

    @wraps(function)
    def run(store: Store, at: datetime, /, *args: Arguments.args, **named: Arguments.kwargs) -> Answer:
        if at.tzinfo is None:
            raise BillingError("naive_time", f"{at} has no time zone")
        is_step, store.is_in_act = store.is_in_act, True
        try:
            try:
                with store.transaction(savepoint=True):
                    answer = function(store, at, *args, **named)
                    if not is_step:
                        _keep_done(store, at, function, named, answer)
                    return answer
            except BillingError as error:
                refused = error
            except Exception as error:
                broken = broken_rule(error)
                if broken is None:
                    raise
                refused = BillingError(*broken)
            with store.transaction():
                refused = _keep_undone(store, at, function, named, refused, is_step)
            raise refused from None
        finally:
            store.is_in_act = is_step

    return run


def _keep_undone(
    store: Store,
    at: datetime,
    function: Callable[..., object],
    named: Mapping[str, Any],
    refused: BillingError,
    is_step: bool,
) -> BillingError:
    """Keep an act that was refused or held; what is to be raised."""
    if isinstance(refused, Held):
        # Around this act may stand another, which undoes what is written here and writes it again.
        refused.order = refused.order or {"act": function.__name__, "arguments": as_json(named)}
        refused = _keep_held(store, at, refused)
    else:
        rejected = (refused.code, refused.message, named)
        messages.keep_rejected(store, at, function.__name__, [rejected])
    if is_step:
        return refused
    act, arguments = _called(function, named)
    held = refused if isinstance(refused, Held) else None
    keep_entry(
        store,
        at,
        act,
        as_json(arguments),
        outcome="held" if held else "refused",
        code=refused.code,
        subject_id=held.approval_id if held else _subject(arguments, None),
        customer_id=held.customer_id if held else _customer(store, arguments, None),
    )
    return refused


_PENDING = select(approvals.c.approval_id, approvals.c.details).where(
    approvals.c.customer_id == bindparam("customer"),
    approvals.c.kind == "order",
    approvals.c.state == "pending",
)


def _keep_held(store: Store, at: datetime, held: Held) -> Held:
    """Ask for the approval of an order; the same order asked for twice waits once."""
    about: dict[str, Any] = {"code": held.code, "figures": held.figures, "order": held.order}
    waiting = [
        row["approval_id"]
        for row in store.rows(_PENDING, {"customer": held.customer_id})
        if json.loads(row["details"])["order"] == held.order
    ]
    approval_id = waiting[0] if waiting else store.new_id("apr")
    if not waiting:
        row = {
            "approval_id": approval_id,
            "kind": "order",
            "customer_id": held.customer_id,
            "details": json.dumps(about, sort_keys=True),
            "state": "pending",
            "proposed_on": held.on,
        }
        store.insert(approvals, [row], at)
        asked = {"kind": "order", "customer_id": held.customer_id} | about
        announce(store, at, "approval.requested", approval_id, asked)
    named = Held(held.code, f"{held.reason}; waits as {approval_id}", held.customer_id, held.on, held.figures)
    named.reason, named.order, named.approval_id = held.reason, held.order, approval_id
    return named


# The audit log.


def _keep_done(
    store: Store, at: datetime, function: Callable[..., object], named: Mapping[str, Any], answer: object
) -> None:
    act, arguments = _called(function, named)
    subject_id, customer_id = _subject(arguments, answer), _customer(store, arguments, answer)
    keep_entry(store, at, act, as_json(arguments), subject_id=subject_id, customer_id=customer_id)


def _called(function: Callable[..., object], named: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Name and arguments of an act; of one that carries another out under a key, of that other."""
    command = named.get("command")
    if not callable(command):
        return function.__name__, named
    under = {"caller": named.get("caller"), "key": named.get("key")}
    name = getattr(command, "__name__", str(command))
    return name, {**named.get("arguments", {}), "$under": under}


_CUSTOMERS: Mapping[str, tuple[Column[Any], Column[Any]]] = {
    "subscription_id": (subscriptions.c.subscription_id, subscriptions.c.sold_to),
    "item_id": (items.c.item_id, items.c.customer_id),
    "contract_id": (contracts.c.contract_id, contracts.c.customer_id),
    "invoice_id": (invoices.c.invoice_id, invoices.c.customer_id),
    "payment_id": (payments.c.payment_id, payments.c.customer_id),
    "transfer_id": (bank_transfers.c.transfer_id, bank_transfers.c.customer_id),
    "wallet_id": (wallets.c.wallet_id, wallets.c.customer_id),
    "note_id": (credit_notes.c.note_id, credit_notes.c.customer_id),
    "po_id": (purchase_orders.c.po_id, purchase_orders.c.customer_id),
    "approval_id": (approvals.c.approval_id, approvals.c.customer_id),
    "contact_id": (contacts.c.contact_id, contacts.c.customer_id),
    "request_id": (purchase_requests.c.request_id, purchase_requests.c.customer_id),
    "user_id": (portal_users.c.user_id, portal_users.c.customer_id),
}
"""Whose a thing is: its key, and the column that says so."""
_OWNERS = {
    name: select(customer.label("customer_id")).where(key == bindparam("id"))
    for name, (key, customer) in _CUSTOMERS.items()
}


def _ids(arguments: Mapping[str, Any]) -> dict[str, str]:
    """The ids an act was given, those of a customer or of a customer's things first."""
    found = {
        name: value
        for name, value in arguments.items()
        if name.endswith("_id") and isinstance(value, str) and "\0" not in value
    }
    return dict(sorted(found.items(), key=lambda one: one[0] not in {"customer_id", *_CUSTOMERS}))


def _subject(arguments: Mapping[str, Any], answer: object) -> str | None:
    """What an act is about: the id it returned or that of what it returned, else the first it was given."""
    if isinstance(answer, str):
        return answer
    if is_dataclass(answer) and (name := fields(answer)[0].name).endswith("_id"):
        return str(getattr(answer, name))
    return next(iter(_ids(arguments).values()), None)


def _customer(store: Store, arguments: Mapping[str, Any], answer: object) -> str | None:
    """Whom an act is about: who is named, else whose subscription or thing it is."""
    ids = _ids(arguments)
    known = ids.get("customer_id") or getattr(answer, "sold_to", None) or getattr(answer, "customer_id", None)
    if known is not None:
        return str(known)
    for name, statement in _OWNERS.items():
        if name in ids and (row := store.row(statement, {"id": ids[name]})):
            return row["customer_id"] and str(row["customer_id"])
    return None


@dataclass(slots=True)
class Job:
    """A job at work. `subject_id`: what it made, such as its run, once that is known."""

    subject_id: str | None = None


@contextmanager
def job(store: Store, at: datetime, name: str, **arguments: object) -> Iterator[Job]:
    """Leave an entry in the audit log for a job that somebody started, when it ends.

    A job commits as it goes: of one that is refused or breaks off (`failed`), what it did until then stands.
    Acts among it leave entries of their own.
    """
    work = Job()
    try:
        yield work
    except BaseException as error:
        outcome, code = "failed", type(error).__name__
        if isinstance(error, BillingError):
            outcome, code = "refused", error.code
        with suppress(Exception):  # The error tells more than what the database says of it afterwards.
            keep_entry(
                store, at, name, as_json(arguments), outcome=outcome, code=code, subject_id=work.subject_id
            )
        raise
    keep_entry(store, at, name, as_json(arguments), subject_id=work.subject_id)


def as_json(value: object) -> Any:
    """The arguments of an act as JSON keeps them: days and dataclasses as objects that name their kind."""
    if isinstance(value, date):
        return {"$date": value.isoformat()}
    if is_dataclass(value) and not isinstance(value, type):
        own = {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
        return {f"${type(value).__name__}": own}
    if isinstance(value, Mapping):
        return {str(name): as_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(one) for one in value]
    return value


def announce(store: Store, at: datetime, topic: str, subject_id: str, payload: Mapping[str, object]) -> None:
    """Add one message to the outbox."""
    messages.announce(store, at, [(topic, subject_id, payload)])
