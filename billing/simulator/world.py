"""The simulated world at work: planned lives carried out by the engine, day by day.

Only this module touches the engine, and only through its acts and jobs, on a clock that it sets. Each day
with work is one transaction: acts in the morning, then usage, the bill run and collection. A retry falls
due at the hour of the attempt before, so every day collects at the same hour.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from pathlib import Path

import polars as pl
from sqlalchemy import ColumnElement, Table, bindparam, func, select

from billing.core.money import BillingError
from billing.gateways.simulated import CAPTURED, SimulatedGateway
from billing.gateways.simulated_stock import SimulatedStock
from billing.jobs.allocate import allocate
from billing.jobs.bill_run import bill
from billing.jobs.collect import collect
from billing.jobs.dun import dun
from billing.jobs.give_back import give_back
from billing.jobs.import_usage import import_usage
from billing.jobs.match_transfers import import_transfers
from billing.jobs.remind_renewals import remind_of_renewals
from billing.jobs.wallets import expire_grants
from billing.service import contracts as contract_acts
from billing.service import customers as customer_acts
from billing.service import subscriptions as acts
from billing.service.acts import Held
from billing.service.index_clauses import index_prices_due
from billing.service.policies import set_policy
from billing.simulator import crm
from billing.simulator.agreements import Agreements, agreements_of
from billing.simulator.catalogue import (
    ADD_ONS,
    EARLY,
    LEVEL_FACTORS,
    NET_30,
    REFILL_SERVICE,
    SELLER,
    places_of,
    publish_catalogue,
    publish_prices,
    publish_terms,
    supply_plan_id,
)
from billing.simulator.causes import rise_percent
from billing.simulator.life import Act, Life, live, method_expiry
from billing.simulator.observer import signs_of
from billing.simulator.office import Office
from billing.simulator.population import Calendar, Customer, populate
from billing.simulator.rates import write_rates
from billing.simulator.settlement import Owed, Payment, payments_of, slip_of
from billing.simulator.signing import Signing, open_business
from billing.simulator.truth import truth, write_truth
from billing.simulator.usage import Counts, bill_days, count_days, draw_counts, events_before
from billing.store.debts import OPEN_MINOR
from billing.store.store import Store
from billing.store.subscriptions import read_standing
from billing.store.tables import (
    customers as customers_table,
)
from billing.store.tables import (
    dunning_cases,
    invoices,
    metadata,
    payments,
    subscriptions,
)

Progress = Callable[[str], None]

GATEWAY_FEE_PPM = 4_000
OUT_OF_STOCK_PPM = 300_000

OFFICE_AT = clock_time(7, tzinfo=UTC)
ACTS_AT = clock_time(8, tzinfo=UTC)
USAGE_AT = clock_time(9, tzinfo=UTC)
ALLOCATES_AT = clock_time(9, 30, tzinfo=UTC)
BILLS_AT = clock_time(10, tzinfo=UTC)
COLLECTS_AT = clock_time(11, tzinfo=UTC)
DUNS_AT = clock_time(12, tzinfo=UTC)


@dataclass(frozen=True)
class WorldSummary:
    """What a simulated world holds when its last day is over.

    `invoiced_minor` is the net of the last 365 days by currency, `rows` the rows of each table that has some,
    `seconds` the wall time by part.
    `refused_acts`: planned acts that the engine refused because the subscription had ended.
    """

    customers: int
    active_subscriptions: int
    acts: int
    refused_acts: int
    parked: int
    invoiced_minor: dict[str, int]
    rows: dict[str, int]
    seconds: dict[str, float]


@dataclass
class _Seconds:
    """Wall time by part."""

    parts: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.parts[part] += time.perf_counter() - started


def simulate(
    store: Store,
    *,
    seed: int,
    customers: int = 2000,
    first_day: date = date(2023, 1, 1),
    last_day: date = date(2025, 12, 31),
    crm_folder: Path,
    truth_path: Path,
    rates_path: Path | None = None,
    progress: Progress | None = None,
) -> WorldSummary:
    """Fill an empty, migrated store with the history of a B2B distributor, and write its CRM export and
    truth.

    With `rates_path` some customers pay in USD and KWD, and the exchange rates of the days are written there.

    The same arguments on an empty store give the same rows and files. `progress` is told each simulated
    month. Raises ValueError for a store with customers, days that make no world, or no customers.
    """
    if customers < 1:
        raise ValueError(f"a world of {customers} customers is none")
    if store.row(select(customers_table.c.customer_id).limit(1)) is not None:
        raise ValueError("the store holds customers already; a world begins in an empty one")
    seconds = _Seconds()
    calendar = Calendar(first_day, last_day)
    with seconds.of("plan"):
        people = populate(seed, customers, calendar, has_currencies=rates_path is not None)
        lives = [live(seed, customer, calendar) for customer in people]
        counts = draw_counts(seed, people, lives, calendar)
    world = _World(store, seed, calendar, people, lives, counts, seconds)
    world.run(progress or (lambda _: None))
    with seconds.of("files"):
        crm.export(seed, people, lives, calendar, crm_folder)
        signs = signs_of(seed, people, lives, calendar, counts)
        write_truth(truth(people, lives, calendar, signs), truth_path)
        if rates_path is not None:
            write_rates(seed, calendar, rates_path)
    return _summary(store, calendar, sum(len(life.acts) for life in lives), world.refused, seconds)


def planned_gateway(people: Sequence[Customer], lives: Sequence[Life]) -> SimulatedGateway:
    """A gateway that captures everything but what the lives say is declined."""
    gateway = SimulatedGateway(fee_ppm=GATEWAY_FEE_PPM)
    for customer, life in zip(people, lives, strict=True):
        for decline in life.declines:
            gateway.plan(customer.customer_id, decline.outcome, from_on=decline.from_on)
            if decline.until_on < date.max:
                gateway.plan(customer.customer_id, CAPTURED, from_on=decline.until_on)
    return gateway


class _World:
    """One run through the days: what the engine answered that later acts need, and the day's work."""

    def __init__(
        self,
        store: Store,
        seed: int,
        calendar: Calendar,
        people: Sequence[Customer],
        lives: Sequence[Life],
        counts: Counts,
        seconds: _Seconds,
    ) -> None:
        self.store = store
        self.calendar = calendar
        self.people = people
        self.counts = counts
        self.seconds = seconds
        self.gateway = planned_gateway(people, lives)
        self.seed, self.lives = seed, lives
        self.currencies = sorted({one.currency for one in people})
        self.by_id = {one.customer_id: one for one in people}
        self.payments: dict[date, list[Payment]] = defaultdict(list)
        self.office = Office(store, seed, calendar, people, lives, self.payments)
        self.signing = Signing(store, calendar, self.office)
        self.agreements = [
            agreements_of(seed, one, life, calendar) for one, life in zip(people, lives, strict=True)
        ]
        self.stock = SimulatedStock(seed, out_ppm=OUT_OF_STOCK_PPM)
        self.acts: dict[date, list[Act]] = defaultdict(list)
        for act in sorted(
            (act for life in lives for act in life.acts), key=lambda one: (one.on, one.customer)
        ):
            self.acts[act.on].append(act)
        self.bill_days = set(bill_days(calendar))
        self.count_days = set(count_days(calendar))
        self.subscription_ids: dict[int, str] = {}
        self.contract_ids: dict[int, str] = {}
        self.metered: dict[int, tuple[str, str]] = {}
        self.methods: dict[int, int] = defaultdict(int)  # how many each customer has given
        self.price_factor = Decimal(1)
        self.refused = 0

    def run(self, progress: Progress) -> None:
        with self.store.transaction():
            at = datetime.combine(self.calendar.first_day, ACTS_AT)
            set_policy(self.store, at, valid_from=at.date(), settings={})
            publish_catalogue(self.store, at)
            publish_terms(self.store, at)
            open_business(self.store, at, self.calendar)
            self.signing.plan_the_index(self.seed)
            self._publish(at)
        day = self.calendar.first_day
        while day <= self.calendar.last_day:
            self._day(day)
            tomorrow = day + timedelta(days=1)
            if tomorrow.month != day.month:
                progress(f"{day:%Y-%m}: {len(self.subscription_ids):,} customers so far")
            day = tomorrow

    def _day(self, day: date) -> None:
        """One day's work in one transaction; many days have none."""
        rise = rise_percent(self.calendar, self.calendar.number(day)) if day.day == 1 else 0
        acts_today = self.acts.get(day, [])
        is_bill_day, is_count_day = day in self.bill_days, day in self.count_days
        pays, is_busy = bool(self.payments.get(day)), self.office.is_busy(day)
        is_day_of_books = is_bill_day or is_count_day
        if not (rise or acts_today or is_day_of_books or pays or is_busy or self._is_money_due(day)):
            return
        with self.store.transaction():
            with self.seconds.of("office"):
                self.office.work(day, datetime.combine(day, OFFICE_AT))
            with self.seconds.of("acts"):
                if rise:
                    self._raise_prices(day, Decimal(str(rise)))
                if is_bill_day:
                    contract_acts.renew_due(self.store, datetime.combine(day, ACTS_AT))
                    index_prices_due(self.store, datetime.combine(day, ACTS_AT))
                    remind_of_renewals(self.store, datetime.combine(day, ACTS_AT))
                for act in acts_today:
                    self._act(act, datetime.combine(day, ACTS_AT))
            if is_count_day:
                with self.seconds.of("usage"):
                    events = events_before(self.counts, day, self.metered)
                    import_usage(self.store, datetime.combine(day, USAGE_AT), events)
            if is_bill_day:
                with self.seconds.of("stock"):
                    allocate(self.store, self.stock, datetime.combine(day, ALLOCATES_AT), up_to=day)
                with self.seconds.of("bill"):
                    expire_grants(self.store, datetime.combine(day, ALLOCATES_AT))
                    done = bill(self.store, datetime.combine(day, BILLS_AT), up_to=day)
                    self.signing.ask_for_orders(done, datetime.combine(day, BILLS_AT))
                    self._plan_payments(day)
            if self.payments.get(day):
                with self.seconds.of("transfers"):
                    self._receive(day)
            if is_bill_day or self._is_money_due(day):
                with self.seconds.of("collect"):
                    collect(self.store, self.gateway, datetime.combine(day, COLLECTS_AT))
                    give_back(self.store, self.gateway, datetime.combine(day, COLLECTS_AT))
            if is_count_day:
                with self.seconds.of("dun"):
                    dun(self.store, datetime.combine(day, DUNS_AT))
                with self.seconds.of("office"):
                    self.office.close_the_day(day, datetime.combine(day, DUNS_AT))

    def _is_money_due(self, day: date) -> bool:
        """Whether a retry or the end of a dunning case falls due."""
        due = {"at": datetime.combine(day, COLLECTS_AT), "day": day}
        return any(self.store.row(ask, due) is not None for ask in (_RETRY, _DEADLINE))

    def _raise_prices(self, day: date, percent: Decimal) -> None:
        self.price_factor *= 1 + percent / 100
        self._publish(datetime.combine(day, ACTS_AT))

    def _publish(self, at: datetime) -> None:
        """The prices of the day for all, and for the buying group, in each currency somebody pays in."""
        for currency in self.currencies:
            publish_prices(self.store, at, valid_start=at.date(), factor=self.price_factor, currency=currency)
            publish_prices(
                self.store,
                at,
                valid_start=at.date(),
                factor=self.price_factor * LEVEL_FACTORS["group"],
                currency=currency,
                level="group",
                owner_id="partners",
            )

    def _plan_payments(self, day: date) -> None:
        """When the invoices of a day that are paid by transfer will be paid, and how; and what will go wrong
        with some of all."""
        for row in self.store.rows(_ISSUED, {"day": day}):
            self.office.watch(row)
            if row["collection"] != "terms":
                continue
            customer = self.by_id[row["customer_id"]]
            is_whole = row["open_minor"] == row["total_minor"]
            owed = Owed(
                row["number"],
                day,
                row["due_on"],
                row["open_minor"],
                row["early_discount_ppm"],
                row["early_discount_until"] if is_whole else None,
            )
            life = self.lives[customer.number]
            for payment in payments_of(self.seed, customer, life, self.calendar, owed):
                self.payments[max(payment.on, day)].append(payment)

    def _receive(self, day: date) -> None:
        """The bank statement of a day."""
        sent = self.payments.pop(day)
        slips = [slip_of(self.seed, self.calendar, payment) for payment in sent]
        refs = [f"{day}-{place}" for place in range(len(sent))]
        rows = {
            "entity_id": [SELLER[0]] * len(sent),
            "bank_ref": refs,
            "received_on": [day] * len(sent),
            "amount": [str(Decimal(one.amount_minor) / places_of(one.customer.currency)) for one in sent],
            "currency": [one.customer.currency for one in sent],
            "payer_name": [slip.payer for slip in slips],
            "reference": [slip.reference for slip in slips],
        }
        at = datetime.combine(day, COLLECTS_AT)
        answer = import_transfers(self.store, at, pl.DataFrame(rows))
        self.office.note_received(dict(zip(refs, sent, strict=True)), answer.matched >= len(sent), at)

    def _act(self, act: Act, at: datetime) -> None:
        customer = self.people[act.customer]
        if act.kind == "subscribe":
            self._subscribe(customer, act, at)
        elif act.kind == "method":
            self._add_method(customer, at)
        else:
            try:
                self._change(customer, self.subscription_ids[act.customer], act, at)
            except Held:
                self._release(customer, act, at)
            except BillingError as refusal:
                # Too late: an unpaid invoice has ended the subscription, or holds its orders back.
                if refusal.code not in ("illegal_transition", "overdue_restricted"):
                    raise
                self.refused += 1

    def _release(self, customer: Customer, act: Act, at: datetime) -> None:
        """An order above the credit limit is decided on the same day."""
        self.office.decide(at, "order")
        if act.kind == "reactivate":
            back = read_standing(self.store, at, self.subscription_ids[act.customer])
            self._meter(customer, back.subscription.items[-1].item_id)

    def _subscribe(self, customer: Customer, act: Act, at: datetime) -> None:
        customer_acts.create_customer(
            self.store,
            at,
            customer_id=customer.customer_id,
            name=customer.name,
            entity_id=SELLER[0],
            currency=customer.currency,
            country=customer.country,
            locale=customer.locale,
            tax_number=customer.tax_number,
            tax_number_confirmed_on=at.date() if customer.tax_number else None,
            parent_id=None if customer.parent is None else self.people[customer.parent].customer_id,
            bill_to_id=self.people[customer.dealings.head].customer_id,
            group_id=customer.group,
            collection="terms" if customer.dealings.pays_by_transfer else "automatic",
            terms_id=_terms(customer),
        )
        if customer.is_charged:
            self._add_method(customer, at)
        agreed = self.agreements[customer.number]
        contract = _contract(customer, agreed)
        self._agree_prices(customer, contract, at)
        new = acts.subscribe(
            self.store,
            at,
            customer_id=customer.customer_id,
            plan_id=supply_plan_id(act.tier, is_yearly=customer.is_yearly),
            quantity=act.quantity,
            trial_days=customer.trial_days,
            contract=contract,
            add_ons=_add_ons(customer, agreed),
        )
        self.subscription_ids[customer.number] = new.subscription_id
        if new.contract_id is not None:
            self.contract_ids[customer.number] = new.contract_id
        self._meter(customer, new.items[-1 if customer.is_yearly else 0].item_id)
        self.signing.sign(customer, agreed, new.subscription_id, new.contract_id, at)

    def _agree_prices(self, customer: Customer, contract: acts.NewContract | None, at: datetime) -> None:
        """A price list of its own, for the customer or for its contract."""
        level = customer.dealings.prices
        if level is None or contract is None:
            return
        publish_prices(
            self.store,
            at,
            valid_start=at.date(),
            factor=self.price_factor * LEVEL_FACTORS[level],
            currency=customer.currency,
            level=level,
            owner_id=customer.customer_id if level == "customer" else contract.contract_id,
        )

    def _meter(self, customer: Customer, item_id: str) -> None:
        """From now on the customer's refills count for this item."""
        self.metered[customer.number] = (customer.customer_id, item_id)

    def _add_method(self, customer: Customer, at: datetime) -> None:
        number = self.methods[customer.number] = self.methods[customer.number] + 1
        expires_on = None
        if customer.method == "card":
            expires_on = customer.card_expires_on if number == 1 else method_expiry(self.calendar, at.date())
        customer_acts.add_payment_method(
            self.store,
            at,
            customer_id=customer.customer_id,
            kind=customer.method,
            gateway_ref=f"{customer.customer_id}-{number}",
            expires_on=expires_on,
        )

    def _change(self, customer: Customer, subscription_id: str, act: Act, at: datetime) -> None:
        store = self.store
        plan_id = supply_plan_id(act.tier, is_yearly=customer.is_yearly)
        match act.kind:
            case "quantity":
                acts.change_quantity(store, at, subscription_id=subscription_id, quantity=act.quantity)
            case "plan":
                acts.change_plan(store, at, subscription_id=subscription_id, plan_id=plan_id)
            case "price":
                acts.change_plan(
                    store, at, subscription_id=subscription_id, plan_id=plan_id, when="period_end"
                )
            case "add_on":
                acts.add_item(
                    store,
                    at,
                    subscription_id=subscription_id,
                    plan_id=ADD_ONS[act.add_on].plan_id,
                    quantity=act.quantity,
                )
            case "pause":
                acts.pause(store, at, subscription_id=subscription_id, from_on=act.effective_on)
            case "resume":
                acts.resume(store, at, subscription_id=subscription_id)
            case "notice":
                contract_acts.give_notice(
                    store, at, contract_id=self.contract_ids[customer.number], reason=act.reason
                )
            case "cancel":
                when = act.effective_on or "period_end"
                acts.cancel(store, at, subscription_id=subscription_id, when=when, reason=act.reason)
            case "reactivate":
                back = acts.reactivate(
                    store, at, subscription_id=subscription_id, plan_id=plan_id, quantity=act.quantity
                )
                self._meter(customer, back.items[-1].item_id)
            case _:
                raise ValueError(f"{act.kind} is no change")


def _terms(customer: Customer) -> str | None:
    """The terms a customer pays its own invoices on."""
    if not customer.dealings.pays_by_transfer:
        return None
    return EARLY if customer.dealings.pays_early else NET_30


def _add_ons(customer: Customer, agreed: Agreements) -> list[acts.AddOn]:
    """What is taken with the plan; the refills of a yearly one come last."""
    kits = [acts.AddOn(ADD_ONS["safety"].plan_id, agreed.kits)] if agreed.kits else []
    return kits + ([acts.AddOn(REFILL_SERVICE.plan_id)] if customer.is_yearly else [])


def _contract(customer: Customer, agreed: Agreements) -> acts.NewContract | None:
    if not customer.has_term:
        return None
    return acts.NewContract(
        term=f"P{customer.term_months}M",
        auto_renew=agreed.renews_by_itself,
        contract_id=f"con-{customer.number + 1:05d}",
        stock_rule=agreed.stock_rule,
    )


_ISSUED = (
    select(
        invoices.c.invoice_id,
        invoices.c.issued_on,
        invoices.c.collection,
        invoices.c.number,
        invoices.c.customer_id,
        invoices.c.due_on,
        invoices.c.total_minor,
        OPEN_MINOR.label("open_minor"),
        invoices.c.early_discount_ppm,
        invoices.c.early_discount_until,
    )
    .where(invoices.c.state == "open", invoices.c.kind != "top_up", invoices.c.issued_on == bindparam("day"))
    .order_by(invoices.c.invoice_id)
)
_RETRY = select(payments.c.payment_id).where(payments.c.next_attempt_at <= bindparam("at")).limit(1)
_DEADLINE = (
    select(dunning_cases.c.case_id)
    .where(dunning_cases.c.closed_on.is_(None), dunning_cases.c.deadline_on <= bindparam("day"))
    .limit(1)
)


def _summary(store: Store, calendar: Calendar, planned: int, refused: int, seconds: _Seconds) -> WorldSummary:
    def count(table: Table, *conditions: ColumnElement[bool]) -> int:
        found = store.row(select(func.count().label("rows")).select_from(table).where(*conditions))
        return int(found["rows"]) if found else 0

    a_year_ago = calendar.last_day - timedelta(days=365)
    net = (
        select(invoices.c.currency, func.sum(invoices.c.net_minor).label("net"))
        .where(invoices.c.issued_on > a_year_ago)
        .group_by(invoices.c.currency)
        .order_by(invoices.c.currency)
    )
    rows = {table.name: count(table) for table in metadata.sorted_tables}
    return WorldSummary(
        customers=count(customers_table),
        active_subscriptions=count(subscriptions, subscriptions.c.status != "canceled"),
        acts=planned,
        refused_acts=refused,
        parked=count(customers_table, customers_table.c.parked_at.is_not(None)),
        invoiced_minor={row["currency"]: int(row["net"]) for row in store.rows(net)},
        rows={name: number for name, number in sorted(rows.items()) if number},
        seconds={part: round(value, 1) for part, value in seconds.parts.items()},
    )
