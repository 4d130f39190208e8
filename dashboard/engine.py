"""What the dashboard asks of the billing engine, in plain values. Whoever starts the server hands it over.

The dashboard knows no billing: `provide` is given a function that makes the engine of a company, `of` finds
it for a reader. Amounts are whole minor units with their currency beside them, shares parts per million,
periods half-open, instants UTC. Nothing here writes; a preview is taken back by the engine before it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import polars as pl

NOT_THERE, OLDER_FORM, NEWER_FORM, BUSY = "not_there", "older_form", "newer_form", "busy"
REFUSED, UNKNOWN = "refused", "unknown"


class EngineProblem(Exception):
    """Why the engine gives no answer. `kind`: not_there (no database, or no server that answers), older_form
    (its schema is to be brought up to date), newer_form (this program is), busy (others write), refused (with
    the engine's `code`), unknown (there is no such thing, or the reader may not see it)."""

    def __init__(self, kind: str, code: str = "", detail: str = "") -> None:
        super().__init__(kind, code, detail)
        self.kind, self.code, self.detail = kind, code, detail


@dataclass(frozen=True)
class Run:
    """One job as it was made. `kind`: bill, collect, dun, retry, import_usage, import_transfers …; `state`:
    running, done, failed, interrupted, refused. Counts are null where the job has none."""

    key: str
    kind: str
    state: str
    started_at: datetime
    finished_at: datetime | None
    up_to: date | None
    actor: str | None
    code: str | None
    customers: int | None
    invoices: int | None
    lines: int | None
    parked: int | None
    arguments: str | None


@dataclass(frozen=True)
class Posted:
    """What a bill run posted.

    documents: `kind` (invoice, credit_note), `currency`, `documents`, `net_minor`, `tax_minor`,
    `total_minor`. journal: `currency`, `debit_minor`, `credit_minor` of the entries of these documents. held:
    `customer_id`, `name`, `currency`, `code`, `net_minor`, what purchase orders held back.
    """

    documents: pl.DataFrame
    journal: pl.DataFrame
    held: pl.DataFrame

    @property
    def is_balanced(self) -> bool:
        return bool((self.journal["debit_minor"] == self.journal["credit_minor"]).all())


@dataclass(frozen=True)
class Examination:
    """What `tajdid billing doctor` found when it was last called.

    findings: `check`, `table`, `key`, `sentence`, at most so many as were kept; `count` is all of them.
    """

    examined_at: datetime
    checks: int
    count: int
    findings: pl.DataFrame


@dataclass(frozen=True)
class Wanted:
    """Which documents: `state` open, past_due, paid, void, uncollectible, credit_note, or None for every
    invoice; of some customers alone, of one run, or whose number begins so."""

    state: str | None = None
    customers: tuple[str, ...] | None = None
    run: str | None = None
    number: str | None = None


@dataclass(frozen=True)
class Page:
    """A page of rows, and where the next begins; None on the last."""

    rows: pl.DataFrame
    following: str | None


@dataclass(frozen=True)
class Step:
    """What one tier of a price adds: its units, the price of each (or of a block, or the share), its flat
    fee and its exact amount in major units."""

    first: int
    last: int | None
    units: Decimal | None
    unit_price: Decimal
    flat_fee: Decimal
    amount: Decimal


@dataclass(frozen=True)
class Explained:
    """How an amount came about. `told`: the engine's own words, in the language asked for. `whole`: the exact
    amount of the whole period in major units, of which `part`/`of` (in `unit`: day, hour, second) was
    charged. `not_taken`: why other prices lost, and how many."""

    told: tuple[str, ...] = ()
    quantity: Decimal | None = None
    unit: str = ""
    unit_price: Decimal | None = None
    is_average: bool = False
    whole: Decimal | None = None
    part: int | None = None
    of: int | None = None
    part_unit: str = ""
    steps: tuple[Step, ...] = ()
    price_id: str | None = None
    list_id: str | None = None
    level: str | None = None
    not_taken: Mapping[str, int] = field(default_factory=dict)
    policy: str | None = None


@dataclass(frozen=True)
class Line:
    """One charge or credit of a document or of a preview. Of a credit note amounts are sizes."""

    position: int
    line_id: str
    kind: str
    entry: str
    description: str
    party: str | None
    service_start: date
    service_end: date
    gross_minor: int
    discount_minor: int
    net_minor: int
    tax_minor: int
    tax_rate_ppm: int
    tax_category: str
    explained: Explained


@dataclass(frozen=True)
class Document:
    """An issued invoice or credit note with all that became of it.

    taxes: `category`, `country`, `tax_rate_ppm`, `net_minor`, `tax_minor`. settlements: `kind`, `reference`,
    `on`, `amount_minor`. payments: `payment_id`, `state`, `attempt`, `outcome`, `decline_code`, `on`,
    `amount_minor`. notes: `number`, `issued_on`, `reason`, `net_minor`, `tax_minor` taken off this invoice.
    dunning: `track`, `kind`, `due_on`, `done_on`, `outcome`. journal: `posted_on`, `event`, `account`,
    `debit_minor`, `credit_minor`. missing: facts the law wants on it that nobody has entered.
    """

    document_id: str
    number: str
    kind: str
    state: str
    state_on: date | None
    issued_on: date
    due_on: date | None
    currency: str
    customer_id: str
    buyer: str
    seller: str
    net_minor: int
    tax_minor: int
    total_minor: int
    open_minor: int
    purchase_order: str | None
    corrects: tuple[str, ...]
    replaces: str | None
    replaced_by: str | None
    reason: str | None
    run: str | None
    lines: tuple[Line, ...]
    taxes: pl.DataFrame
    settlements: pl.DataFrame
    payments: pl.DataFrame
    notes: pl.DataFrame
    dunning: pl.DataFrame
    journal: pl.DataFrame
    missing: tuple[str, ...]

    @property
    def settled_minor(self) -> int:
        return int(self.settlements["amount_minor"].sum())


@dataclass(frozen=True)
class Item:
    """A subscribed plan or add-on as it is on the day."""

    item_id: str
    plan_id: str
    plan_name: str
    is_add_on: bool
    quantity: Decimal
    has_quantity: bool
    interval: str
    currency: str
    recurring_minor: int


@dataclass(frozen=True)
class Subscription:
    """A subscription of an account as it is on the day; `status` as the engine derives it."""

    subscription_id: str
    status: str
    starts_on: date
    ends_on: date | None
    next_boundary: date | None
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Account:
    """A customer of the engine and what it subscribes to."""

    customer_id: str
    name: str
    currency: str
    overdue_state: str
    next_bill_on: date | None
    parked_code: str | None
    parked_detail: str | None
    subscriptions: tuple[Subscription, ...]


@dataclass(frozen=True)
class Change:
    """What if: `act` nothing, quantity, plan, pause, resume, cancel, add_on or remove, done on a day to a
    subscription, billed up to another day. `when`: now or period_end; None leaves it to the policy."""

    subscription_id: str
    act: str
    on: date
    up_to: date
    item_id: str | None = None
    quantity: str | None = None
    plan_id: str | None = None
    until: date | None = None
    when: str | None = None


@dataclass(frozen=True)
class Previewed:
    """What would be posted. documents: `document`, `currency`, `net_minor`, `tax_minor`, `total_minor` of the
    invoice and `note_total_minor` of the credit note. refunds: `payment_id`, `amount_minor`. failures and
    held: `code` and `detail`, why the customer or a document would be set aside."""

    documents: pl.DataFrame
    lines: tuple[tuple[int, str, Line], ...]
    refunds: pl.DataFrame
    failures: pl.DataFrame
    held: pl.DataFrame

    def total_minor(self, currency: str) -> int:
        """What would be invoiced, less what would be credited."""
        rows = self.documents.filter(pl.col("currency") == currency)
        return int(rows["total_minor"].sum()) - int(rows["note_total_minor"].sum())


@dataclass(frozen=True)
class PriceSheet:
    """One price in full. `facts`: its terms beside tiers, by name (package_size, minimum_spend …) as decimal
    text."""

    price_id: str
    list_id: str
    model: str
    currency: str
    unit_price: Decimal | None
    facts: Mapping[str, str]
    tiers: tuple[Step, ...]


@dataclass(frozen=True)
class Tried:
    """What a quantity costs under a price: exact in major units, and posted in minor units."""

    quantity: Decimal
    exact: Decimal
    posted_minor: int
    currency: str
    steps: tuple[Step, ...]


class Engine(Protocol):
    """The billing engine of one company, read-only. Every method raises EngineProblem."""

    @property
    def exponents(self) -> Mapping[str, int]:
        """Decimals of each currency."""

    def today(self) -> date:
        """The day the engine lives in: of a sample company its last."""

    def runs(self, kind: str | None, limit: int) -> Sequence[Run]:
        """The last jobs, newest first."""

    def run(self, key: str) -> Run:
        """One job."""

    def posted(self, run: str) -> Posted:
        """What a bill run posted."""

    def set_aside(self, limit: int) -> pl.DataFrame:
        """Customers whom bill runs leave aside: `customer_id`, `name`, `parked_at`, `code`, `detail`."""

    def examination(self) -> Examination | None:
        """The doctor's last findings; None where it was never called."""

    def document_counts(self, customers: tuple[str, ...] | None) -> pl.DataFrame:
        """`state`, `currency` (null where not added up), `documents`, `open_minor`, `is_more` (counting
        stopped at a bound)."""

    def documents(self, wanted: Wanted, after: str | None, limit: int) -> Page:
        """Documents, newest first: `document_id`, `invoice_no`, `kind`, `customer_id`, `name`, `state`,
        `issued_on`, `due_on`, `currency`, `total_minor`, `open_minor`."""

    def owner_of(self, document: str) -> str:
        """The customer a document (number or id) is for."""

    def document(self, document: str, language: str) -> Document:
        """A document by its number or id, with words in a language."""

    def pdf(self, document: str, language: str) -> bytes:
        """A document as it is sent."""

    def json(self, document: str) -> str:
        """A document for programs."""

    def drafts(self, customer: str) -> pl.DataFrame:
        """What waits for its days of grace: `issue_on`, `currency`, `lines`, `total_minor`, `credit_minor`,
        `held` (the code, if a purchase order will hold it)."""

    def dunning(self, customers: tuple[str, ...] | None, limit: int) -> pl.DataFrame:
        """Open cases, the next act first: `customer_id`, `name`, `currency`, `track`, `state`, `opened_on`,
        `last_step`, `next_step`, `next_on`, `open_minor` (overdue)."""

    def collections(self, customers: tuple[str, ...] | None, limit: int) -> pl.DataFrame:
        """Payments that are tried again, the next first: `customer_id`, `name`, `invoice_no`, `currency`,
        `amount_minor`, `attempt`, `failures`, `decline_code`, `next_at`."""

    def find_customers(self, words: str, limit: int) -> pl.DataFrame:
        """Customers by id, or by how their id begins: `customer_id`, `name`."""

    def names(self, customers: Sequence[str]) -> Mapping[str, str]:
        """Names of customers."""

    def account(self, customer: str, on: date) -> Account:
        """An account and its subscriptions as on a day."""

    def preview(self, change: Change, language: str) -> Previewed:
        """What a change would post, worked out and taken back."""

    def plans(self) -> pl.DataFrame:
        """`plan_id`, `name`, `tier`, `is_add_on`, `product`, `tax_code`, `version`, `interval`, `in_advance`,
        `published_at`: every version."""

    def components(self, plan: str, version: int) -> pl.DataFrame:
        """`component_id`, `position`, `name`, `kind`, `meter`, `unit`, `aggregation`, `sku`, `bundle`."""

    def prices(self, component: str, level: str | None, limit: int) -> pl.DataFrame:
        """`price_id`, `list_id`, `list_name`, `level`, `owner_id`, `currency`, `valid_start`, `valid_end`,
        `model`, `unit_price` (decimal), `quantity_from`: general lists first, then newest."""

    def price(self, price: str) -> PriceSheet:
        """One price in full."""

    def try_price(self, price: str, quantity: str) -> Tried:
        """What a quantity costs."""


Factory = Callable[[Path], Engine | None]
_factory: list[Factory] = []


def provide(factory: Factory) -> None:
    """Let engines be made by this function, given a company's folder; it answers None for a company that
    has no billing database."""
    _factory[:] = [factory]


def is_provided() -> bool:
    """Whether whoever started this server handed an engine over."""
    return bool(_factory)


def engine_of(folder: Path) -> Engine | None:
    """The engine of a company; None where there is none."""
    return _factory[0](folder) if _factory else None
