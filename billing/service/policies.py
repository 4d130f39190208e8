"""The named settings of billing, as versions: a new one holds from its day on, an old one never changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime

from sqlalchemy import bindparam, select, update

from billing.core.invoicing import horizon
from billing.core.money import BillingError
from billing.core.policy import Policy, policy_of
from billing.service.acts import act, announce
from billing.store.store import Store
from billing.store.tables import customers, policies


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One version of a named policy and its settings."""

    name: str
    version: int
    valid_from: date
    settings: Policy


@act
def set_policy(
    store: Store, at: datetime, *, name: str = "default", valid_from: date, settings: Mapping[str, object]
) -> PolicyVersion:
    """Publish a version of a policy: the one before (for a new name the defaults) with `settings` changed.

    Raises `unknown_setting` for an unknown name or value, `immutable` when a later version exists already.
    """
    policy_of(settings)
    known = store.rows(select(policies).where(policies.c.name == name).order_by(policies.c.version))
    if known and known[-1]["valid_from"] > valid_from:
        raise BillingError("immutable", f"policy {name} has a version from {known[-1]['valid_from']}")
    before = _version(known[-1]).settings if known else Policy()
    after = policy_of(asdict(before) | dict(settings))
    version = PolicyVersion(name, known[-1]["version"] + 1 if known else 1, valid_from, after)
    row = {"name": name, "version": version.version, "valid_from": valid_from}
    store.insert(policies, [row | asdict(after)], at)
    if known and after.grace_days < before.grace_days:
        # Drafts are due earlier than their customers were told.
        store.execute(_DUE_EARLIER, {"of": name, "on": valid_from, "at": at})
    announce(store, at, "policy.changed", name, row | dict(settings))
    return version


_DUE_EARLIER = (
    update(customers)
    .where(customers.c.policy_name == bindparam("of"), customers.c.next_bill_on > bindparam("on"))
    .values(next_bill_on=bindparam("on"), changed_at=bindparam("at"))
)
_HELD = (
    select(policies.c.version)
    .where(policies.c.name == bindparam("name"), policies.c.valid_from <= bindparam("on"))
    .order_by(policies.c.valid_from.desc(), policies.c.version.desc())
    .limit(1)
)


def policy_on(store: Store, name: str, on: date) -> PolicyVersion:
    """The version of a policy that holds on a day. Raises `unknown_setting` for a name nobody defined."""
    held = store.row(_HELD, {"name": name, "on": on})
    if held is None:
        raise BillingError("unknown_setting", f"no policy {name!r} on {on}")
    key = ("policy", name, held["version"])
    known = store.memory.get(key)
    if known is None:
        (row,) = store.rows(select(policies).where(policies.c.name == name, policies.c.version == key[2]))
        known = store.memory[key] = _version(row)
    assert isinstance(known, PolicyVersion)
    return known


def check_horizon(on: date, today: date, settings: Policy) -> None:
    """Raises `before_horizon` for a day on which nothing is billed or corrected any more."""
    first = horizon(today, settings)
    if on < first:
        raise BillingError("before_horizon", f"{on} is before {first}")


def _version(row: Mapping[str, object]) -> PolicyVersion:
    settings = replace(Policy(), **{field.name: row[field.name] for field in fields(Policy)})  # type: ignore[arg-type]
    return PolicyVersion(str(row["name"]), int(str(row["version"])), _date(row["valid_from"]), settings)


def _date(value: object) -> date:
    assert isinstance(value, date)
    return value
