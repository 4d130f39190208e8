"""Who is on a page, in which session, and what they may see and do there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Any, TypeVar

from starlette.requests import Request

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.gateways.mail import Mailer
from billing.reads import portal as reads
from billing.reads.scope import Scope, scope_of
from billing.service.portal_sessions import Session, actor_of
from billing.service.portal_settings import Task, tasks
from billing.store.store import Row, Store
from billing.web.context import Services, written
from billing.web.cookies import Cookie
from billing.web.languages import Words, words
from billing.web.pages import Pages
from billing.web.portal_links import PORTAL
from billing.web.problems import Problem

Found = TypeVar("Found")
PACKAGE = "portal"
PREFIX = PORTAL
ROWS = 25
"""Rows of a list on one page."""


@dataclass(frozen=True)
class Desk:
    """What the portal of a process works with. url: where customers reach it, without the prefix. titles:
    what the seller is called in each language."""

    services: Services
    mailer: Mailer
    pages: Pages
    url: str
    titles: Mapping[str, str]
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def session_cookie(self) -> Cookie:
        return Cookie("tajdid_portal", self.url)

    @property
    def form_cookie(self) -> Cookie:
        """The seed of forms before somebody has signed in."""
        return Cookie("tajdid_portal_form", self.url)

    @property
    def language_cookie(self) -> Cookie:
        return Cookie("tajdid_language", self.url)

    @property
    def spoken_cookie(self) -> Cookie:
        """The language of who signed in last, for pages that do not know who asks."""
        return Cookie("tajdid_spoken", self.url)


@dataclass(frozen=True)
class Visit:
    """A request of somebody who is signed in. `user` None: the customer itself, by a link that the merchant's
    server made. `form`: the fields that were sent, once they are proven to be of a page of ours."""

    desk: Desk
    request: Request
    session: Session
    user: Row | None
    customer: Row
    scope: Scope
    tasks: Mapping[str, Task]
    language: str
    form: Mapping[str, str]

    @property
    def words(self) -> Words:
        return words(self.language, PACKAGE)

    @cached_property
    def now(self) -> datetime:
        return self.desk.services.clock()

    @property
    def today(self) -> date:
        """The customer's own."""
        return local_date(self.now, self.customer["time_zone"])

    @property
    def customer_id(self) -> str:
        return self.session.customer_id

    @property
    def actor(self) -> str:
        return actor_of(self.session.user_id, self.customer_id)

    @property
    def limit_minor(self) -> int | None:
        """The largest cost that is ordered without another's word."""
        return None if self.user is None else self.user["limit_minor"]

    @property
    def is_buyer(self) -> bool:
        return self.user is None or self.user["role"] in ("buyer", "approver")

    @property
    def is_approver(self) -> bool:
        return self.user is not None and self.user["role"] == "approver"

    @property
    def is_account_admin(self) -> bool:
        return self.user is None or bool(self.user["is_account_admin"])

    def may(self, task: str) -> bool:
        """Whether a task is open here: to customers at all, and to this session."""
        is_its_own = self.session.task in (None, task)
        return is_its_own and self.tasks[task].is_open

    def path(self, name: str) -> str:
        """An id of the address. Raises Problem `not_found` for what no id looks like."""
        value = str(self.request.path_params[name])
        if not 0 < len(value) <= 128 or not value.isascii() or not value.isprintable():
            raise Problem("not_found")
        return value

    def query(self, name: str, *, longest: int = 200) -> str:
        """A parameter of the address, or "". Raises Problem `bad_parameter` for what no text is."""
        value = self.request.query_params.get(name, "").strip()
        if len(value) > longest or any(sign < " " or "\ud800" <= sign <= "\udfff" for sign in value):
            raise Problem("bad_parameter", name)
        return value

    @contextmanager
    def looking(self) -> Iterator[Store]:
        """A store to read with. Raises Busy."""
        with self.desk.services.stores.look() as store:
            yield store

    @contextmanager
    def rehearsing(self) -> Iterator[Store]:
        """A store on which everything is taken back. Raises Busy."""
        with self.desk.services.stores.rehearse(self.actor) as store:
            yield store

    def write(self, work: Callable[[Store, datetime], Found], *holds: str | None) -> Found:
        """Do one act, as `Context.write` does: the customer, and `holds`, are held."""
        with self.desk.services.stores.write(self.actor) as store:
            return written(store, self.desk.services.clock, work, (self.customer_id, *holds))


def opened(
    desk: Desk, request: Request, session: Session, language: str | None, form: Mapping[str, str]
) -> Visit | None:
    """The visit of a session; None where its user is there no more."""
    with desk.services.stores.look() as store:
        user = None
        if session.user_id is not None:
            user = reads.user(store, Scope(frozenset((session.customer_id,))), user_id=session.user_id)
            if user is None:
                return None
        with_children = user is None or bool(user["sees_children"])
        try:
            scope = scope_of(store, customer_id=session.customer_id, with_children=with_children)
        except BillingError:
            return None
        customer = reads.account(store, scope, customer_id=session.customer_id)
        if customer is None:
            return None
        open_tasks = tasks(store)
    spoken = language or (user["locale"] if user else None) or customer["locale"]
    return Visit(desk, request, session, user, customer, scope, open_tasks, spoken, form)
