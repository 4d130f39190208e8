"""Who asks, on what, and when: made once a process (Services) and once a request (Context)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from typing import Literal, TypeVar

from sqlalchemy import bindparam, select

from billing.core.money import BillingError
from billing.gateways.gateway import Gateway, Notices
from billing.gateways.hosted import HostedFields
from billing.gateways.tax_register import FormRegister, TaxRegister
from billing.reads.scope import Scope, everything, scope_of
from billing.store.store import Store
from billing.store.tables import customers
from billing.web.seal import Vault
from billing.web.stores import Stores

Found = TypeVar("Found")
Clock = Callable[[], datetime]


def now() -> datetime:
    """The clock of a live company: this instant, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Services:
    """What a process works with, handed over by whoever starts it."""

    stores: Stores
    gateway: Gateway
    vault: Vault
    clock: Clock = now
    tax_register: TaxRegister = field(default_factory=FormRegister)
    mode: Literal["live", "test"] = "live"
    base_url: str = "http://127.0.0.1"
    """Where callers reach the API; links to help begin with it."""
    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Whose X-Forwarded-For and -Proto are believed."""
    notices: Notices | None = None
    """Reads what the gateway tells unasked; None: it tells nothing."""
    hosted: HostedFields | None = None
    """Where customers enter ways to pay; None: nowhere."""
    webhook_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Private networks to which webhooks may go nevertheless."""
    metrics_token: str | None = field(default=None, repr=False)
    """What opens the figures of the processes; None: they are this machine's own."""
    portal_url: str | None = None
    admin_url: str | None = None
    dashboard_url: str | None = None


@dataclass(frozen=True)
class Caller:
    """Who asks. `owner` stays the same when a key is rolled; `customer_id`: the only customer (with those
    below it) whose things are seen, None: the merchant's staff or server; `role` of people."""

    kind: Literal["key", "user", "staff", "link"]
    id: str
    owner: str
    scopes: frozenset[str] = frozenset()
    customer_id: str | None = None
    role: str | None = None
    version: date | None = None
    """Of a key: the version of the API that it was made for."""
    expires_at: datetime | None = None
    """Of a key: when it opens nothing any more; None: never."""

    @property
    def actor(self) -> str:
        """How the audit log names the caller."""
        return f"{self.kind}:{self.id}"

    def may(self, scope: str) -> bool:
        """Whether a scope such as `invoices:read` is given: by itself, by a stronger one of the same thing
        (admin, write, read), or by one of everything (`*:read`)."""
        thing, _, use = scope.partition(":")
        uses = ("read", "write", "admin")
        enough = uses[uses.index(use) :]
        return any(f"{one}:{each}" in self.scopes for one in (thing, "*") for each in enough)


_HELD = (
    select(customers.c.customer_id)
    .where(customers.c.customer_id.in_(bindparam("ids", expanding=True)))
    .order_by(customers.c.customer_id)
    .with_for_update(key_share=True)
)


@dataclass(frozen=True)
class Context:
    """One request."""

    services: Services
    caller: Caller
    request_id: str
    version: date | None = None
    language: str = "en"
    expand: frozenset[str] = frozenset()
    """What is to be expanded, of what the route allows."""

    @cached_property
    def scope(self) -> Scope:
        """What the caller may see. Raises Busy; ask for it before a store is borrowed."""
        if self.caller.customer_id is None:
            return everything()
        with self.looking() as store:
            return scope_of(store, customer_id=self.caller.customer_id, with_children=True)

    def now(self) -> datetime:
        return self.services.clock()

    @contextmanager
    def looking(self) -> Iterator[Store]:
        """A store to read with. Raises Busy."""
        with self.services.stores.look() as store:
            yield store

    @contextmanager
    def rehearsing(self) -> Iterator[tuple[Store, datetime]]:
        """A store on which everything is taken back, and the instant. Raises Busy."""
        with self.services.stores.rehearse(self.caller.actor) as store:
            yield store, self.now()

    def write(self, work: Callable[[Store, datetime], Found], holds: Sequence[str | None] = ()) -> Found:
        """Do one act, and what is read after it, in one transaction that is tried again where another came
        in between.

        holds: customers that nobody else changes meanwhile (None is passed over); the clock is asked once
        they are held, so that instants rise with the order in which one customer's changes come to stand.
        Raises Busy, and what the act raises: what it keeps of a refusal stays.
        """
        with self.services.stores.write(self.caller.actor, self.request_id) as store:
            return written(store, self.services.clock, work, holds)


def written(
    store: Store,
    clock: Clock,
    work: Callable[[Store, datetime], Found],
    holds: Sequence[str | None] = (),
) -> Found:
    """`Context.write` on a store that is at hand."""
    ids = sorted({one for one in holds if one is not None})

    def done() -> Found | BillingError:
        if ids:
            store.rows(_HELD, {"ids": ids})
        try:
            return work(store, clock())
        except BillingError as refused:  # The act is undone; what it left of the refusal is to stay.
            return refused

    answer = store.perform(done)
    if isinstance(answer, BillingError):
        raise answer
    return answer
