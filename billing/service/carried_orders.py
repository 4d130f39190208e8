"""Orders that are kept and carried out later: an act by its name, and its arguments as `acts.as_json` made
them. They wait for the merchant's word (approvals) or for an approver of the customer (purchase_requests)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from billing.core.money import BillingError
from billing.service.charges import add_charge
from billing.service.subscriptions import (
    AddOn,
    NewContract,
    add_item,
    cancel,
    change_plan,
    change_quantity,
    pause,
    reactivate,
    remove_item,
    resume,
    subscribe,
    undo_cancel,
)
from billing.service.wallets import top_up
from billing.store.store import Store

ORDERS: Mapping[str, Callable[..., object]] = {
    one.__name__: one
    for one in (
        subscribe,
        change_plan,
        change_quantity,
        add_item,
        remove_item,
        reactivate,
        add_charge,
        cancel,
        undo_cancel,
        pause,
        resume,
        top_up,
    )
}
_KINDS = {one.__name__: one for one in (NewContract, AddOn)}


def carry_out(store: Store, at: datetime, order: Mapping[str, Any]) -> object:
    """Do what an order says, `act` with `arguments`, as if it were made now. Raises what the act raises, and
    `unknown_setting` for an act that nobody keeps."""
    name = order["act"]
    if name not in ORDERS:
        raise BillingError("unknown_setting", f"act = {name!r}")
    return ORDERS[name](store, at, **_from_json(order["arguments"]))


def _from_json(value: Any) -> Any:
    """What acts.as_json made of arguments, as it was."""
    if isinstance(value, list):
        return [_from_json(one) for one in value]
    if not isinstance(value, dict):
        return value
    plain = {name: _from_json(one) for name, one in value.items()}
    (name, *others) = plain or [""]
    if others or not name.startswith("$"):
        return plain
    return date.fromisoformat(plain[name]) if name == "$date" else _KINDS[name[1:]](**plain[name])
