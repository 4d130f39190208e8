"""What atlas's CRM would export: seven CSV files, each whole, as they stood on the last day.

Accounts, contacts, activities and tickets follow the lives of the customers: pain shows in tickets and
delivery complaints, a renewal in an accepted quote. The scores in nps.csv follow nothing: they are planted
noise. So is everything else that is not named in `causes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from billing.simulator.causes import PAIN_MONTHS, notice_on, ticket_factors
from billing.simulator.life import Life
from billing.simulator.names import OWNERS, SUCCESS_MANAGERS
from billing.simulator.population import CHANNELS, SEGMENTS, Calendar, Customer, Topic, stream

COMPANY = 2**31 - 1  # the number of the seller's own stream
# Parts of a customer's stream that are drawn again by who reads its signs.
ACTIVITIES, TICKETS = 2, 3

ONBOARDING_DAYS = 60
OWNER_CHANGES = 0.30
TICKETS_A_MONTH = 0.45
CONTACTS_A_MONTH = 1.2
# About deliveries, of whom they come short to and of all others.
COMPLAINTS_PAINED = 2.0
COMPLAINTS_A_MONTH = 0.04
NPS_ANSWERS = 0.06
CHAMPION_LEAVES = 0.12

KINDS = ("call", "email", "meeting", "admin_login")
KIND_SHARES = (0.20, 0.38, 0.07, 0.35)
ROLES = ("buyer", "finance", "operations", "management", "warehouse")
PRIORITIES = ("low", "normal", "high", "urgent")
PRIORITY_SHARES = (0.20, 0.52, 0.21, 0.07)
NPS_SHARES = (0.03, 0.02, 0.03, 0.03, 0.05, 0.08, 0.10, 0.16, 0.20, 0.16, 0.14)
MARGINS_BP = {"small": 3_400, "mid-market": 3_050, "enterprise": 2_600}
# Minor units of EUR: fixed a month, and per customer the channel brings.
CHANNEL_COSTS = {
    "web": (900_000, 180_000),
    "field_sales": (2_600_000, 620_000),
    "partner": (700_000, 350_000),
    "referral": (150_000, 90_000),
    "trade_fair": (600_000, 410_000),
}

ACCOUNT_COLUMNS: dict[str, type[pl.DataType]] = {
    "account_id": pl.String,
    "customer_id": pl.String,
    "name": pl.String,
    "owner": pl.String,
    "csm": pl.String,
    "stage": pl.String,
    "segment": pl.String,
    "acquisition_channel": pl.String,
    "valid_from": pl.Date,
    "valid_to": pl.Date,
}
CONTACT_COLUMNS: dict[str, type[pl.DataType]] = {
    "contact_id": pl.String,
    "account_id": pl.String,
    "role": pl.String,
    "is_champion": pl.Boolean,
    "left_on": pl.Date,
}


def export(
    seed: int, customers: Sequence[Customer], lives: Sequence[Life], calendar: Calendar, folder: Path
) -> dict[str, int]:
    """Write the export into `folder`; answers the rows of each file. Same arguments, same bytes."""
    pairs = list(zip(customers, lives, strict=True))
    tables = {
        "accounts": pl.DataFrame(
            [row for customer, life in pairs for row in _accounts(seed, customer, life, calendar)],
            schema=ACCOUNT_COLUMNS,
            orient="row",
        ),
        "contacts": pl.DataFrame(
            [row for customer, _ in pairs for row in _contacts(seed, customer, calendar)],
            schema=CONTACT_COLUMNS,
            orient="row",
        ),
        "activities": _activities(seed, pairs, calendar),
        "tickets": _tickets(seed, pairs, calendar),
        "nps": _nps(seed, pairs, calendar),
        "sales_marketing_costs": _costs(seed, customers, calendar),
        "gross_margins": _margins(seed, calendar),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        partial = folder / f".{name}.csv.partial"
        table.write_csv(partial, datetime_format="%Y-%m-%dT%H:%M:%SZ", date_format="%Y-%m-%d")
        partial.replace(folder / f"{name}.csv")
    return {name: table.height for name, table in tables.items()}


def account_id(customer: Customer) -> str:
    return f"acc-{customer.number + 1:05d}"


def _draws(seed: int, customer: Customer, part: int) -> np.random.Generator:
    """A stream per customer and file, so that one more ticket moves no activity."""
    parent = np.random.SeedSequence(seed, spawn_key=(int(Topic.CRM), customer.number, part))
    return np.random.default_rng(parent)


def _accounts(seed: int, customer: Customer, life: Life, calendar: Calendar) -> list[tuple[object, ...]]:
    """One row a stretch without change of owner or stage, half-open, the last one without an end."""
    u = _draws(seed, customer, 0).random(5)
    owner = OWNERS[int(u[0] * len(OWNERS))]
    csm = SUCCESS_MANAGERS[int(u[1] * len(SUCCESS_MANAGERS))]
    onboarded_on = customer.starts_on + timedelta(days=ONBOARDING_DAYS)
    events: list[tuple[date, str, str]] = [(customer.starts_on, "stage", "onboarding")]
    left_on = [day for day in life.left_on if day <= calendar.last_day]
    if not left_on or onboarded_on < left_on[0]:
        events.append((onboarded_on, "stage", "customer"))
    events += [(day, "stage", "former") for day in left_on]
    events += [(act.on, "stage", "customer") for act in life.acts if act.kind == "reactivate"]
    if u[2] < OWNER_CHANGES:
        handed_on = customer.starts_on + timedelta(days=90 + int(u[3] * 900))
        events.append((handed_on, "owner", OWNERS[int(u[4] * len(OWNERS))]))
    events = sorted(event for event in events if event[0] <= calendar.last_day)
    state = {"owner": owner, "stage": ""}
    rows: list[tuple[object, ...]] = []
    for position, (day, field, value) in enumerate(events):
        state[field] = value
        until = events[position + 1][0] if position + 1 < len(events) else None
        if until == day:
            continue
        rows.append(
            (
                account_id(customer),
                customer.customer_id,
                customer.name,
                state["owner"],
                csm,
                state["stage"],
                customer.segment,
                customer.channel,
                day,
                until,
            )
        )
    return rows


def _contacts(seed: int, customer: Customer, calendar: Calendar) -> list[tuple[object, ...]]:
    draws = _draws(seed, customer, 1)
    rows: list[tuple[object, ...]] = []
    for place in range(2 + int(draws.random() * 3)):
        leaves, after = draws.random(2)
        left_on = None
        if leaves < CHAMPION_LEAVES:
            left_on = customer.starts_on + timedelta(days=60 + int(after * 1000))
        if left_on is not None and left_on > calendar.last_day:
            left_on = None
        contact = f"con-{customer.number + 1:05d}-{place + 1}"
        rows.append((contact, account_id(customer), ROLES[place], place == 0, left_on))
    return rows


class _Log:
    """Dated happenings of many customers, gathered as arrays."""

    def __init__(self, calendar: Calendar) -> None:
        self.starts = np.array(
            [calendar.day(month) for month in range(calendar.months + 1)], dtype="datetime64[D]"
        )
        self.lengths = np.diff(self.starts).astype(np.int64)
        self.end = np.datetime64(calendar.last_day, "D")
        self.owners: list[np.ndarray] = []
        self.minutes: list[np.ndarray] = []
        self.columns: dict[str, list[np.ndarray]] = {}

    def when(self, draws: np.random.Generator, counts: np.ndarray) -> np.ndarray:
        """So many instants in each month, in office hours, as minutes."""
        month = np.repeat(np.arange(len(counts)), counts)
        days = self.starts[month] + (draws.random(len(month)) * self.lengths[month]).astype(np.int64)
        office = 7 * 60 + (draws.random(len(month)) * 10 * 60).astype(np.int64)
        instants: np.ndarray = days.astype("datetime64[m]") + office
        return instants

    def served(self, life: Life, minutes: np.ndarray) -> np.ndarray:
        """Which instants lie in service, and not after the world's last day."""
        days = minutes.astype("datetime64[D]")
        kept = np.zeros(len(days), dtype=bool)
        for start, end in life.served:
            kept |= (days >= np.datetime64(start)) & (days < np.datetime64(end or date.max))
        in_world: np.ndarray = kept & (days <= self.end)
        return in_world

    def add(self, customer: Customer, minutes: np.ndarray, **columns: np.ndarray) -> None:
        self.owners.append(np.full(len(minutes), customer.number))
        self.minutes.append(minutes)
        for name, values in columns.items():
            self.columns.setdefault(name, []).append(values)

    def frame(self, column: str) -> pl.DataFrame:
        """number, the instants as `column` (UTC), the other columns; in order of time, then customer."""
        return pl.DataFrame(
            {
                "number": np.concatenate([np.empty(0, dtype=np.int64), *self.owners]),
                column: np.concatenate([np.empty(0, dtype="datetime64[m]"), *self.minutes]).astype(
                    "datetime64[us]"
                ),
                **{name: np.concatenate(parts) for name, parts in self.columns.items()},
            }
        ).sort(column, "number", maintain_order=True)


def _activities(seed: int, pairs: Sequence[tuple[Customer, Life]], calendar: Calendar) -> pl.DataFrame:
    log = _Log(calendar)
    onboarding, complaint, quote = len(KINDS), len(KINDS) + 1, len(KINDS) + 2
    words = (*KINDS, "onboarding", "delivery_complaint", "renewal_quote_accepted")
    thresholds = np.cumsum(KIND_SHARES)[:-1]
    for customer, life in pairs:
        draws = _draws(seed, customer, ACTIVITIES)
        usual, at, short = _contacts_made(log, draws, customer, calendar)
        kinds = np.searchsorted(thresholds, at)
        first = np.datetime64(customer.starts_on, "m") + (draws.random(2) * 30 * 1440).astype(np.int64)
        accepted = np.array(
            [
                np.datetime64(notice_on(end) + timedelta(days=2 + int(at * 40)), "m") + 600
                for end, at in zip(life.renewed, draws.random(len(life.renewed)), strict=True)
            ],
            dtype="datetime64[m]",
        )
        minutes = np.concatenate([usual, short, first, accepted])
        codes = np.concatenate(
            [kinds, np.full(len(short), complaint), np.full(2, onboarding), np.full(len(accepted), quote)]
        )
        kept = log.served(life, minutes)
        log.add(customer, minutes[kept], kind=codes[kept])
    return (
        log.frame("happened_at")
        .with_row_index("row", offset=1)
        .select(
            pl.format("act-{}", pl.col("row").cast(pl.String).str.zfill(7)).alias("activity_id"),
            _account_id_column(),
            pl.col("kind").replace_strict(dict(enumerate(words)), return_dtype=pl.String),
            "happened_at",
        )
    )


def _contacts_made(
    log: _Log, draws: np.random.Generator, customer: Customer, calendar: Calendar
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """When a customer that is always there is in contact as usual, a number in [0, 1) for the kind of each,
    and when it complains about deliveries."""
    usual = log.when(draws, draws.poisson(CONTACTS_A_MONTH, calendar.months))
    at = draws.random(len(usual))
    months = np.arange(calendar.months)
    since = customer.causes.support_from
    in_pain = (months >= (since or 0)) & (months < (since or 0) + PAIN_MONTHS) & (since is not None)
    return usual, at, log.when(draws, draws.poisson(np.where(in_pain, COMPLAINTS_PAINED, COMPLAINTS_A_MONTH)))


def _tickets_opened(
    log: _Log, draws: np.random.Generator, customer: Customer, calendar: Calendar
) -> np.ndarray:
    """When a customer that is always there opens tickets."""
    return log.when(draws, draws.poisson(TICKETS_A_MONTH * ticket_factors(customer, calendar)))


def signs_of_pain(
    seed: int, customers: Sequence[Customer], lives: Sequence[Life], calendar: Calendar
) -> tuple[np.ndarray, np.ndarray]:
    """How many tickets and how many complaints about deliveries the export has: customers × months."""
    log = _Log(calendar)

    def by_month(life: Life, minutes: np.ndarray) -> np.ndarray:
        days = minutes[log.served(life, minutes)].astype("datetime64[D]")
        return np.bincount(np.searchsorted(log.starts, days, side="right") - 1, minlength=calendar.months)

    shape = (len(customers), calendar.months)
    tickets, complaints = (np.zeros(shape, dtype=np.int64) for _ in range(2))
    for row, (customer, life) in enumerate(zip(customers, lives, strict=True)):
        opened = _tickets_opened(log, _draws(seed, customer, TICKETS), customer, calendar)
        short = _contacts_made(log, _draws(seed, customer, ACTIVITIES), customer, calendar)[2]
        tickets[row], complaints[row] = by_month(life, opened), by_month(life, short)
    return tickets, complaints


def _tickets(seed: int, pairs: Sequence[tuple[Customer, Life]], calendar: Calendar) -> pl.DataFrame:
    log = _Log(calendar)
    thresholds = np.cumsum(PRIORITY_SHARES)[:-1]
    for customer, life in pairs:
        draws = _draws(seed, customer, TICKETS)
        opened = _tickets_opened(log, draws, customer, calendar)
        count = len(opened)
        priority = np.searchsorted(thresholds, draws.random(count))
        response = (60 * np.exp(1.2 + 0.8 * draws.standard_normal(count)) / (1 + priority)).astype(np.int64)
        work = (1440 * np.exp(0.7 + 0.7 * draws.standard_normal(count))).astype(np.int64)
        csat = np.where(draws.random(count) < 0.4, 1 + (draws.random(count) ** 0.5 * 5).astype(np.int64), 0)
        kept = log.served(life, opened)
        log.add(
            customer,
            opened[kept],
            priority=priority[kept],
            response=1 + response[kept],
            work=work[kept],
            csat=csat[kept],
        )
    end = pl.lit(calendar.last_day + timedelta(days=1)).cast(pl.Datetime("us"))
    responded = pl.col("opened_at") + pl.duration(minutes=pl.col("response"))
    closed = responded + pl.duration(minutes=pl.col("work"))
    return (
        log.frame("opened_at")
        .with_row_index("row", offset=1)
        .select(
            pl.format("tic-{}", pl.col("row").cast(pl.String).str.zfill(6)).alias("ticket_id"),
            _customer_id_column(),
            "opened_at",
            pl.when(closed < end).then(closed).alias("closed_at"),
            pl.col("priority").replace_strict(dict(enumerate(PRIORITIES)), return_dtype=pl.String),
            pl.when(responded < end).then(responded).alias("first_response_at"),
            pl.when((pl.col("csat") > 0) & (closed < end)).then(pl.col("csat")).alias("csat"),
        )
    )


def _nps(seed: int, pairs: Sequence[tuple[Customer, Life]], calendar: Calendar) -> pl.DataFrame:
    log = _Log(calendar)
    thresholds = np.cumsum(NPS_SHARES)[:-1]
    for customer, life in pairs:
        draws = _draws(seed, customer, 4)
        answered = log.when(draws, (draws.random(calendar.months) < NPS_ANSWERS).astype(np.int64))
        scores = np.searchsorted(thresholds, draws.random(len(answered)))
        kept = log.served(life, answered)
        log.add(customer, answered[kept], score=scores[kept])
    return (
        log.frame("answered_at")
        .with_row_index("row", offset=1)
        .select(
            pl.format("nps-{}", pl.col("row").cast(pl.String).str.zfill(6)).alias("response_id"),
            _customer_id_column(),
            pl.col("answered_at").dt.date().alias("answered_on"),
            "score",
        )
    )


def _costs(seed: int, customers: Sequence[Customer], calendar: Calendar) -> pl.DataFrame:
    """What each channel cost: a fixed part, in the size of this world, and a part per customer won."""
    draws = stream(seed, Topic.CRM, COMPANY)
    scale = len(customers) / 2_000
    won = {(customer.channel, customer.start_month): 0 for customer in customers}
    for customer in customers:
        won[customer.channel, customer.start_month] += 1
    rows = []
    for month in range(calendar.months):
        for channel, _ in CHANNELS:
            fixed, each = CHANNEL_COSTS[channel]
            count = 0 if month == 0 else won.get((channel, month), 0)
            amount = (fixed * scale + each * count) * (0.9 + 0.2 * float(draws.random()))
            rows.append((calendar.day(month), channel, round(amount), "EUR"))
    columns = {"month": pl.Date, "channel": pl.String, "amount_minor": pl.Int64, "currency": pl.String}
    return pl.DataFrame(rows, schema=columns, orient="row")


def _margins(seed: int, calendar: Calendar) -> pl.DataFrame:
    draws = stream(seed, Topic.CRM, COMPANY - 1)
    rows = [
        (calendar.day(month), segment, MARGINS_BP[segment] + int(draws.integers(-60, 61)))
        for month in range(calendar.months)
        for segment in SEGMENTS
    ]
    columns = {"month": pl.Date, "segment": pl.String, "margin_bp": pl.Int64}
    return pl.DataFrame(rows, schema=columns, orient="row")


def _customer_id_column() -> pl.Expr:
    return pl.format("cus-{}", (pl.col("number") + 1).cast(pl.String).str.zfill(5)).alias("customer_id")


def _account_id_column() -> pl.Expr:
    return pl.format("acc-{}", (pl.col("number") + 1).cast(pl.String).str.zfill(5)).alias("account_id")
