"""Takes over subscriptions that run elsewhere, many at once, without billing their past.

A row is a running subscription by the caller's id: what it is, where its periods are counted from, and until
when it was billed. Billing starts there. One bad row never refuses the others: accepted, duplicate and
rejected rows add up to the rows sent. The same rows sent again change nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import bindparam, select

from billing.core.calendar import boundary, local_date, parse_interval
from billing.core.money import BillingError, parse_quantity
from billing.core.subscription import recurring_minor
from billing.service.catalog import plan_version
from billing.service.policies import check_horizon, policy_on
from billing.service.prices import price_plan
from billing.store.messages import keep_rejected
from billing.store.store import Row, Store
from billing.store.tables import (
    command_keys,
    contract_terms,
    contracts,
    customers,
    item_versions,
    items,
    outbox,
    price_lists,
    subscriptions,
)

NEEDED = ("subscription_id", "customer_id", "plan_id", "quantity", "anchor_on", "billed_until")
OPTIONAL: Mapping[str, Any] = {
    "started_on": None,
    "term": None,
    "term_start": None,
    "auto_renew": True,
    "notice_days": 60,
}
DAYS = ("anchor_on", "billed_until", "started_on", "term_start")
CALLER = "import_subscriptions"


@dataclass(frozen=True, slots=True)
class ImportAnswer:
    """What became of the rows sent. `rejected`: `row` (from 0), `subscription_id`, `code`, `detail`."""

    accepted: int
    duplicate: int
    rejected: pl.DataFrame


def import_subscriptions(store: Store, at: datetime, rows: pl.DataFrame) -> ImportAnswer:
    """Import running subscriptions in one transaction.

    rows: NEEDED columns, and any of OPTIONAL: `started_on` (default: `billed_until`), and for a contract its
    `term` (ISO duration), `term_start` (default: `started_on`), `auto_renew`, `notice_days`. The price is
    chosen as for a new subscription, on the day billing starts.
    Codes: missing_value, unknown_customer, unknown_plan, illegal_plan, bad_interval, negative_quantity,
    too_many_decimals, float_money, empty_period (started after it was billed until), before_horizon,
    no_price, currency_mismatch, immutable (the id is taken), duplicate_conflict (it came with other content).
    Raises `naive_time`, and `missing_column` for a frame of another shape.
    """
    if at.tzinfo is None:
        raise BillingError("naive_time", f"{at} has no time zone")
    sent = _shaped(rows)
    with store.transaction():
        work = _Import(store, at, sent)
        return work.run()


def import_subscription_files(store: Store, at: datetime, paths: Sequence[Path]) -> list[ImportAnswer]:
    """Import CSV or Parquet files, each in a transaction of its own."""
    answers = []
    for path in paths:
        is_csv = path.suffix.lower() == ".csv"
        frame = pl.read_csv(path, infer_schema=False) if is_csv else pl.read_parquet(path)
        answers.append(import_subscriptions(store, at, frame))
    return answers


def _shaped(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns of the form as text, but for days, flags and counts."""
    missing = [name for name in NEEDED if name not in rows.columns]
    if missing:
        raise BillingError("missing_column", ", ".join(missing))
    with_all = rows.with_columns(
        pl.lit(value).alias(name) for name, value in OPTIONAL.items() if name not in rows.columns
    ).select(*NEEDED, *OPTIONAL)
    day = [pl.col(name).cast(pl.String).str.to_date("%Y-%m-%d", strict=False) for name in DAYS]
    is_false = pl.col("auto_renew").cast(pl.String).str.to_lowercase().is_in(["false", "0"])
    return with_all.with_columns(
        *day,
        *(pl.col(name).cast(pl.String) for name in ("subscription_id", "customer_id", "plan_id", "term")),
        pl.when(pl.col("quantity").cast(pl.String).is_null()).then(None).otherwise(pl.col("quantity")),
        (~is_false).fill_null(True).alias("auto_renew"),
        pl.col("notice_days").cast(pl.Int64, strict=False).fill_null(60),
    ).with_columns(pl.coalesce("started_on", "billed_until").alias("started_on"))


class _Import:
    """One batch: what its rows need, tabulated once for each distinct case, then written in bulk."""

    def __init__(self, store: Store, at: datetime, sent: pl.DataFrame) -> None:
        self.store, self.at, self.sent = store, at, sent
        self.customers = self._by_id(customers, "customer_id")
        self.taken = set(self._by_id(subscriptions, "subscription_id"))
        self.known = self._known()
        owners = store.rows(select(price_lists.c.owner_id).where(price_lists.c.level == "customer"))
        self.owners = {row["owner_id"] for row in owners}
        self._cases: dict[Any, Any] = {}

    def _by_id(self, table: Any, column: str) -> dict[str, Row]:
        ids = self.sent[column].drop_nulls().unique().to_list()
        found: dict[str, Row] = {}
        for first in range(0, len(ids), 10_000):
            asked = select(table).where(table.c[column].in_(bindparam("ids", expanding=True)))
            part = self.store.rows(asked, {"ids": ids[first : first + 10_000]})
            found |= {row[column]: row for row in part}
        return found

    def _known(self) -> dict[str, str]:
        ids = self.sent["subscription_id"].drop_nulls().unique().to_list()
        asked = select(command_keys.c.key, command_keys.c.request_hash).where(
            command_keys.c.caller == CALLER, command_keys.c.key.in_(bindparam("ids", expanding=True))
        )
        found: dict[str, str] = {}
        for first in range(0, len(ids), 10_000):
            part = self.store.rows(asked, {"ids": ids[first : first + 10_000]})
            found |= {row["key"]: row["request_hash"] for row in part}
        return found

    def run(self) -> ImportAnswer:
        accepted, rejected, duplicate = [], [], 0
        for place, row in enumerate(self.sent.iter_rows(named=True)):
            hashed = sha256(json.dumps(row, default=str, sort_keys=True).encode()).hexdigest()
            key = row["subscription_id"]
            try:
                if self.known.get(key) == hashed:
                    duplicate += 1
                    continue
                if key in self.known:
                    raise BillingError("duplicate_conflict", f"{key} came before with other content")
                accepted.append(self._checked(row) | {"request_hash": hashed})
                self.known[key] = hashed
            except BillingError as error:
                rejected.append((place, key, error.code, error.detail))
        self._write(accepted)
        answer = pl.DataFrame(rejected, schema=_REJECTED, orient="row")
        refused = [(code, detail, self.sent.row(place, named=True)) for place, _, code, detail in rejected]
        keep_rejected(self.store, self.at, CALLER, refused)
        return ImportAnswer(len(accepted), duplicate, answer)

    def _case(self, key: tuple[Any, ...], find: Callable[[], Any]) -> Any:
        """What was found for a distinct case before, or its refusal again."""
        if key not in self._cases:
            try:
                self._cases[key] = find()
            except BillingError as error:
                self._cases[key] = error
        found = self._cases[key]
        if isinstance(found, BillingError):
            raise BillingError(found.code, found.detail)
        return found

    def _checked(self, row: Row) -> Row:
        empty = [name for name in NEEDED if row[name] is None]
        if empty:
            raise BillingError("missing_value", ", ".join(empty))
        customer = self.customers.get(row["customer_id"])
        if customer is None:
            raise BillingError("unknown_customer", row["customer_id"])
        if row["subscription_id"] in self.taken:
            raise BillingError("immutable", f"subscription {row['subscription_id']} exists")
        if row["started_on"] > row["billed_until"]:
            raise BillingError(
                "empty_period", f"started {row['started_on']}, billed until {row['billed_until']}"
            )
        plan = self._case(("plan", row["plan_id"]), lambda: plan_version(self.store, row["plan_id"]))
        if plan.is_add_on:
            raise BillingError("illegal_plan", f"{row['plan_id']} is an add-on")
        amount = self._case(("quantity", row["quantity"]), lambda: parse_quantity(row["quantity"]))
        today = self._case(
            ("today", customer["time_zone"]), lambda: local_date(self.at, customer["time_zone"])
        )
        self._case(
            ("horizon", customer["policy_name"], today, row["billed_until"]),
            lambda: check_horizon(
                row["billed_until"], today, policy_on(self.store, customer["policy_name"], today).settings
            ),
        )
        length = row["term"] and self._case(("term", row["term"]), lambda: parse_interval(row["term"]))
        owner = row["customer_id"] if row["customer_id"] in self.owners else ""
        offer = self._case(
            (
                "price",
                row["plan_id"],
                customer["currency"],
                customer["group_id"],
                owner,
                amount,
                row["billed_until"],
            ),
            lambda: price_plan(
                self.store,
                self.at,
                plan,
                currency=customer["currency"],
                on=row["billed_until"],
                customer_id=owner,
                group_id=customer["group_id"],
                contract_id=None,
                quantity=amount,
            ),
        )
        return row | {
            "customer": customer,
            "amount": amount,
            "today": today,
            "offer": offer,
            "length": length,
            "item_id": self.store.new_id("item"),
            "contract_id": self.store.new_id("con") if length else None,
        }

    # Writing.

    def _write(self, rows: Sequence[Row]) -> None:
        terms = [row for row in rows if row["length"]]
        spans = [_term_of(row) for row in terms]
        for table in (contracts, contract_terms):
            names = set(table.c.keys())
            own = [{name: value for name, value in span.items() if name in names} for span in spans]
            self.store.insert(table, own, self.at)
        self.store.insert(subscriptions, [_subscription_of(row) for row in rows], self.at)
        self.store.insert(items, [_item_of(row) for row in rows], self.at)
        self.store.insert(item_versions, [self._version_of(row) for row in rows], self.at)
        messages = [
            {
                "message_id": self.store.new_id("msg"),
                "topic": "subscription.imported",
                "subject_id": row["subscription_id"],
                "payload": json.dumps(
                    {name: str(row[name]) for name in ("customer_id", "plan_id", "billed_until")},
                    sort_keys=True,
                ),
            }
            for row in rows
        ]
        self.store.insert(outbox, messages, self.at)
        keys = [
            {
                "caller": CALLER,
                "key": row["subscription_id"],
                "request_hash": row["request_hash"],
                "response": "accepted",
            }
            for row in rows
        ]
        self.store.insert(command_keys, keys, self.at)
        self._mark(rows)

    def _version_of(self, row: Row) -> Row:
        offer, amount = row["offer"], row["amount"]
        return {
            "version_id": self.store.new_id("ver"),
            "item_id": row["item_id"],
            "effective_start": row["started_on"],
            "effective_end": None,
            "plan_id": row["plan_id"],
            "plan_version": offer.plan.version,
            "list_id": offer.list_id,
            "price_id": offer.price_id,
            "choice_id": offer.choice_id,
            "quantity_mantissa": amount.mantissa,
            "quantity_scale": amount.scale,
            "discount_ids": "",
            "anchor_on": row["anchor_on"],
            "phase": "regular",
            "pause": None,
            "reason": "subscribe",
            "recurring_minor": recurring_minor(offer.components, amount, row["customer"]["currency"]),
        }

    def _mark(self, rows: Sequence[Row]) -> None:
        """Let the next run look at each customer from the day its billing starts."""
        days: dict[str, date] = {}
        for row in rows:
            known = days.get(row["customer_id"], row["billed_until"])
            days[row["customer_id"]] = min(known, row["billed_until"])
        marks = []
        for customer_id, day in days.items():
            before, settled = (
                self.customers[customer_id]["next_bill_on"],
                self.customers[customer_id]["unsettled_from"],
            )
            marks.append(
                {
                    "customer_id": customer_id,
                    "next_bill_on": day if before is None else min(before, day),
                    "unsettled_from": settled and min(settled, day - _A_DAY),
                }
            )
        self.store.update(customers, marks, self.at)


_A_DAY = date(2000, 1, 2) - date(2000, 1, 1)
_REJECTED = {"row": pl.Int64, "subscription_id": pl.String, "code": pl.String, "detail": pl.String}


def _term_of(row: Row) -> Row:
    """The contract's running term: the one that holds the day billing starts."""
    start = row["term_start"] or row["started_on"]
    number = 0
    while boundary(start, row["length"], number + 1) <= row["billed_until"]:
        number += 1
    return {
        "contract_id": row["contract_id"],
        "customer_id": row["customer_id"],
        "term_start": boundary(start, row["length"], number),
        "term_end": boundary(start, row["length"], number + 1),
        "term": row["term"],
        "auto_renew": row["auto_renew"],
        "notice_days": row["notice_days"],
    }


def _subscription_of(row: Row) -> Row:
    starts_on, today = row["started_on"], row["today"]
    return {
        "subscription_id": row["subscription_id"],
        "contract_id": row["contract_id"],
        "sold_to": row["customer_id"],
        "bill_to": row["customer"]["bill_to_id"],
        "ship_to": row["customer_id"],
        "anchor_on": row["anchor_on"],
        "starts_on": starts_on,
        "billing_starts_on": row["billed_until"],
        "status": "scheduled" if today < starts_on else "active",
        "turns_on": starts_on if today < starts_on else None,
        "was_in_dunning": False,
    }


def _item_of(row: Row) -> Row:
    return {
        "item_id": row["item_id"],
        "subscription_id": row["subscription_id"],
        "customer_id": row["customer_id"],
        "is_add_on": False,
    }
