"""What a contract says about goods that run short, and what is reported of their delivery."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import bindparam, func, select

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.core.stock import checked_rule
from billing.service.acts import act, announce
from billing.service.policies import check_horizon, policy_on
from billing.store.messages import mark_to_bill
from billing.store.store import Row, Store
from billing.store.tables import contract_stock_rules, contracts, customers, subscriptions

_CONTRACT = (
    select(contracts, customers.c.time_zone, customers.c.policy_name)
    .join(customers, customers.c.customer_id == contracts.c.customer_id)
    .where(contracts.c.contract_id == bindparam("id"))
)
_REVISIONS = select(func.count().label("count")).where(
    contract_stock_rules.c.contract_id == bindparam("id"),
    contract_stock_rules.c.valid_from == bindparam("on"),
)
_CUSTOMERS = (
    select(subscriptions.c.sold_to)
    .where(subscriptions.c.contract_id == bindparam("id"))
    .distinct()
    .order_by(subscriptions.c.sold_to)
)


@act
def set_stock_rule(
    store: Store, at: datetime, *, contract_id: str, rule: str, valid_from: date | None = None
) -> None:
    """What is billed when goods of a contract run short (core.stock.RULES), for deliveries due from a day on
    (today). What was ordered before stays under the rule of its day.

    Raises `unknown_contract`, `unknown_setting` for another rule, `before_horizon`.
    """
    row = _contract(store, contract_id)
    today = local_date(at, row["time_zone"])
    on = valid_from or today
    check_horizon(on, today, policy_on(store, row["policy_name"], today).settings)
    count = store.row(_REVISIONS, {"id": contract_id, "on": on})
    assert count is not None
    new = {"contract_id": contract_id, "valid_from": on, "revision": count["count"]}
    store.insert(contract_stock_rules, [new | {"rule": checked_rule(rule)}], at)
    store.update(contracts, [{"contract_id": contract_id, "stock_rule": rule}], at)
    for one in store.rows(_CUSTOMERS, {"id": contract_id}):
        mark_to_bill(store, at, one["sold_to"], today, since=on)
    announce(store, at, "contract.stock_rule_set", contract_id, {"rule": rule, "valid_from": on})


def _contract(store: Store, contract_id: str) -> Row:
    row = store.row(_CONTRACT, {"id": contract_id})
    if row is None:
        raise BillingError("unknown_contract", contract_id)
    return row
