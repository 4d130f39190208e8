"""A company as its builds come to know it: the rows of a random history arrive one build after the other,
late, dated ahead or corrected, and between the builds days pass."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from plain_metrics import History
from random_history import random_history

LONG_AGO = datetime(2023, 1, 1, tzinfo=UTC)
TABLES = {
    "subscription_versions": "versions",
    "discounts": "discounts",
    "customers": "customers",
    "customer_parents": "parents",
    "invoices": "invoices",
    "invoice_lines": "lines",
    "applications": "applications",
}
Row = dict[str, Any]


@dataclass
class Build:
    """What one build is given: its as-of day, and the rows of raw tables that are new, by `schema.table`."""

    number: int
    as_of: date
    rows: dict[str, list[Row]] = field(default_factory=dict)

    @property
    def build_id(self) -> str:
        return f"{self.known_to:%Y%m%dT%H%M%S}"

    @property
    def known_to(self) -> datetime:
        return datetime.combine(self.as_of, time(6, self.number), tzinfo=UTC) + timedelta(days=1)

    def give(self, table: str, row: Row, recorded_at: datetime) -> None:
        own = {"recorded_at": recorded_at, "load_id": f"{self.build_id}-0001", "source_system": "history"}
        self.rows.setdefault(f"raw_{table}" if "." in table else f"raw_billing.{table}", []).append(row | own)


def growing_company(seed: int, customers: int = 60, cuts: int = 6) -> list[Build]:
    """The builds of a company at random cut days, the last at the end of its history."""
    draw = random.Random(seed)
    history = random_history(seed, customers)
    last = history.as_of
    days = sorted(last - timedelta(days=draw.randrange(150)) for _ in range(cuts - 2))
    # a month ends between two of the builds, and no day between two others
    turn = days[0].replace(day=1) - timedelta(days=1)
    builds = [Build(n, on) for n, on in enumerate([turn, *days, days[-1], last])]
    for table, name in TABLES.items():
        for row in getattr(history, name):
            build = builds[0] if draw.random() < 0.9 else draw.choice(builds)
            build.give(table, row, _moment(draw, build))
    _rates(draw, builds)
    _accounts(draw, builds, customers)
    for build in builds[1:]:
        for _ in range(draw.randint(1, 3)):
            draw.choice(CORRECTIONS)(draw, history, build)
    for correct, build in zip(draw.sample(CORRECTIONS, len(CORRECTIONS)), builds[1:] * 4, strict=False):
        correct(draw, history, build)
    return builds


def _moment(draw: random.Random, build: Build) -> datetime:
    """When a row says it was recorded: mostly the day before, long ago, or after the build's moment."""
    chance = draw.random()
    if chance < 0.1:
        return LONG_AGO
    if chance < 0.15:
        return build.known_to + timedelta(days=draw.randint(1, 40))
    return build.known_to - timedelta(minutes=draw.randint(1, 1200))


def _correct(draw: random.Random, build: Build, table: str, rows: list[Row], **changes: Any) -> None:
    if rows:
        row = draw.choice(rows)
        row.update(changes)
        build.give(table, dict(row), build.known_to - timedelta(seconds=draw.randint(1, 60)))


def _other_amount(draw: random.Random, history: History, build: Build) -> None:
    _correct(draw, build, "subscription_versions", history.versions, amount_minor=draw.randrange(9_000))


def _withdrawn(draw: random.Random, history: History, build: Build) -> None:
    _correct(draw, build, "subscription_versions", history.versions, is_deleted=True)


def _other_status(draw: random.Random, history: History, build: Build) -> None:
    status = draw.choice(["paused", "trialing", "past_due", "active", "canceled"])
    _correct(draw, build, "subscription_versions", history.versions, status=status)


def _other_customer(draw: random.Random, history: History, build: Build) -> None:
    customer = draw.choice(history.customers)["customer_id"]
    _correct(draw, build, "subscription_versions", history.versions, customer_id=customer)


def _ends_earlier(draw: random.Random, history: History, build: Build) -> None:
    long = [
        row for row in history.versions if (row["valid_to"] or build.as_of) - row["valid_from"] > timedelta(9)
    ]
    for row in draw.sample(long, min(3, len(long))):
        stays = draw.randrange(1, ((row["valid_to"] or build.as_of) - row["valid_from"]).days)
        _correct(draw, build, "subscription_versions", [row], valid_to=row["valid_from"] + timedelta(stays))


def _other_discount(draw: random.Random, history: History, build: Build) -> None:
    _correct(draw, build, "discounts", history.discounts, percent_ppm=draw.choice([50_000, 1_000_000]))


def _discount_ends(draw: random.Random, history: History, build: Build) -> None:
    row = draw.choice(history.discounts)
    _correct(draw, build, "discounts", [row], valid_to=max(row["valid_from"] + timedelta(1), build.as_of))


def _other_segment(draw: random.Random, history: History, build: Build) -> None:
    _correct(draw, build, "customers", history.customers, segment=draw.choice(["small", "large", "huge"]))


def _test_customer(draw: random.Random, history: History, build: Build) -> None:
    _correct(draw, build, "customers", history.customers, is_test=draw.random() < 0.5)


def _other_parent(draw: random.Random, history: History, build: Build) -> None:
    parent = draw.choice(history.customers)["customer_id"]
    _correct(draw, build, "customer_parents", history.parents, parent_customer_id=parent)


def _new_parent(draw: random.Random, history: History, build: Build) -> None:
    taken = {row["customer_id"] for row in history.parents}
    child = draw.choice([row["customer_id"] for row in history.customers if row["customer_id"] not in taken])
    parent = draw.choice(history.customers)["customer_id"]
    since = build.as_of - timedelta(days=draw.randrange(-20, 200))
    row = {"customer_id": child, "parent_customer_id": parent, "valid_from": since, "valid_to": None}
    if child != parent:
        history.parents.append(row)
        _correct(draw, build, "customer_parents", [row])


def _other_due_day(draw: random.Random, history: History, build: Build) -> None:
    row = draw.choice(history.invoices)
    _correct(draw, build, "invoices", [row], due_on=row["due_on"] + timedelta(days=draw.randint(-40, 40)))


def _paid_late(draw: random.Random, history: History, build: Build) -> None:
    row = draw.choice(history.applications)
    _correct(draw, build, "applications", [row], applied_on=row["applied_on"] + timedelta(days=45))


def _invoice_of_a_stranger(draw: random.Random, history: History, build: Build) -> None:
    row = draw.choice(history.invoices) | {
        "invoice_id": f"only-{build.number}",
        "customer_id": f"stranger-{build.number}",
    }
    _correct(draw, build, "invoices", [row])


def _add_on(draw: random.Random, history: History, build: Build) -> None:
    row = {"plan_id": draw.choice(["team", "scale"]), "plan_name": "x", "is_add_on": draw.random() < 0.5}
    _correct(draw, build, "plans", [row])


def _other_account(draw: random.Random, history: History, build: Build) -> None:
    row = {
        "account_id": f"a{draw.randrange(8)}",
        "customer_id": draw.choice(history.customers)["customer_id"],
        "segment": draw.choice(["crm", "other"]),
        "valid_from": build.as_of - timedelta(days=draw.randrange(200)),
    }
    _correct(draw, build, "crm.accounts", [row])


def _late_rate(draw: random.Random, history: History, build: Build) -> None:
    _correct(draw, build, "fx_rates", [_rate("daily", build.as_of.replace(day=1) - timedelta(1), "0.71")])


CORRECTIONS = [
    _other_amount,
    _withdrawn,
    _other_status,
    _other_customer,
    _ends_earlier,
    _other_discount,
    _discount_ends,
    _other_segment,
    _test_customer,
    _other_parent,
    _new_parent,
    _other_due_day,
    _paid_late,
    _invoice_of_a_stranger,
    _add_on,
    _other_account,
    _late_rate,
]


def _rate(rate_set: str, on: date, rate: str) -> Row:
    pair = {"from_currency": "USD", "to_currency": "EUR"}
    return {"rate_on": on, "rate": rate, "rate_set": rate_set} | pair


def _rates(draw: random.Random, builds: list[Build]) -> None:
    """A constant rate from the beginning, and with each build those of the days before it."""
    builds[0].give("fx_rates", _rate("budget", date(2023, 1, 1), "0.9"), LONG_AGO)
    since = builds[0].as_of - timedelta(days=300)
    for build in builds:
        while since < build.as_of:
            build.give("fx_rates", _rate("daily", since, f"0.8{draw.randrange(100):02d}"), LONG_AGO)
            since += timedelta(days=draw.randint(1, 9))


def _accounts(draw: random.Random, builds: list[Build], customers: int) -> None:
    for number in range(8):
        row = {
            "account_id": f"a{number}",
            "customer_id": f"c{draw.randrange(customers):02d}",
            "segment": "crm",
            "valid_from": builds[0].as_of - timedelta(days=draw.randrange(300)),
        }
        builds[0].give("crm.accounts", row, LONG_AGO)
