"""What customers may do alone, on the portal or by a key of theirs. Every task is open until the merchant
closes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType

from sqlalchemy import select

from billing.core.money import BillingError
from billing.core.subscription import Item
from billing.service.acts import act
from billing.store.store import Row, Store
from billing.store.tables import portal_settings


@dataclass(frozen=True, slots=True)
class Task:
    """A task of customers. `settings`: what else the merchant decided about it."""

    name: str
    is_open: bool
    settings: Mapping[str, int]


SETTINGS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "change_plan": {},
        "change_seats": {},
        "add_ons": {},
        "pause": {"longest_days": 90},
        "resume": {},
        "cancel": {},
        "reactivate": {},
        "methods": {},
        "pay": {},
        "top_up": {},
        "details": {},
        "tax_number": {},
        "purchase_orders": {},
        "disputes": {},
        "users": {},
    }
)
"""The tasks, and the settings of each with what they are until somebody decides."""
OF_ACTS: Mapping[str, str] = MappingProxyType(
    {
        "change_plan": "change_plan",
        "change_quantity": "change_seats",
        "add_item": "add_ons",
        "remove_item": "add_ons",
        "pause": "pause",
        "resume": "resume",
        "cancel": "cancel",
        "undo_cancel": "cancel",
        "reactivate": "reactivate",
        "top_up": "top_up",
    }
)
"""The task that an act on a subscription or a wallet belongs to."""
_ALL = select(portal_settings.c.name, portal_settings.c.is_open, portal_settings.c.settings)


def tasks(store: Store) -> Mapping[str, Task]:
    """All tasks by their names."""
    decided = {row["name"]: row for row in store.rows(_ALL)}
    return {name: _task(name, decided.get(name)) for name in SETTINGS}


def _task(name: str, row: Row | None) -> Task:
    if row is None:
        return Task(name, True, SETTINGS[name])
    return Task(name, row["is_open"], {**SETTINGS[name], **json.loads(row["settings"])})


def check_pause(pause: Task, item: Item, from_on: date, until: date | None) -> None:
    """Raises `amount_out_of_range` for a pause of more days than customers take alone, or without end. What
    lies beside another pause of the item, without a day between, is one pause with it."""
    longest = pause.settings["longest_days"]
    first, last = (from_on, None) if until is None else item.paused_days(from_on, until)
    if last is None or last - first > timedelta(days=longest):
        raise BillingError("amount_out_of_range", f"a pause has at most {longest} days", field="until")


@act
def set_portal_task(
    store: Store, at: datetime, *, name: str, is_open: bool, settings: Mapping[str, int] | None = None
) -> None:
    """Open or close a task to customers. Raises `unknown_setting` for another task or setting,
    `negative_quantity` for a number below 1."""
    if name not in SETTINGS:
        raise BillingError("unknown_setting", f"no task {name!r}", field="name")
    given = dict(settings or {})
    unknown = set(given) - set(SETTINGS[name])
    if unknown:
        raise BillingError("unknown_setting", f"{name} has no {', '.join(sorted(unknown))}", field="settings")
    if any(type(value) is not int or not 1 <= value <= 3660 for value in given.values()):
        raise BillingError("negative_quantity", "a number of days is 1 to 3660", field="settings")
    row = {"name": name, "is_open": is_open, "settings": json.dumps(given, sort_keys=True)}
    if store.row(_ALL.where(portal_settings.c.name == name)) is None:
        store.insert(portal_settings, [row], at)
    else:
        store.update(portal_settings, [row], at)
