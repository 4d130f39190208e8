"""How a page of the portal is made: who may open it, and what a form must bring to do something.

    routes = Routes()

    @routes.page("/invoices")
    def invoices(visit: Visit) -> Response: ...

    @routes.deed("/subscriptions/{subscription_id}/cancel", task="cancel")
    def cancel(visit: Visit) -> Response: ...

A page only reads. A deed is a POST with the token of its form; a viewer does none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from billing.portal.door import form_of, visit_of
from billing.portal.visit import PREFIX, Desk, Visit
from billing.web.forms import check_origin, check_token
from billing.web.problems import Problem

Answered = Callable[[Visit], Response]
_SUBJECTS = ("subscription_id", "invoice_id", "wallet_id")
"""What a link to one task may be about, as paths name it."""


@dataclass(frozen=True)
class Rule:
    """What a route asks for. `task`: must be open; `needs`: buyer, approver, account_admin, or nobody in
    particular. `form`: the name that its token is made from. `also`: tasks whose links open it too."""

    task: str | None
    needs: str | None
    form: str | None
    also: tuple[str, ...]


class Routes:
    """The routes of some pages."""

    def __init__(self) -> None:
        self.made: list[tuple[str, Rule, Answered]] = []

    def page(
        self, path: str, *, task: str | None = None, needs: str | None = None, also: tuple[str, ...] = ()
    ) -> Callable[[Answered], Answered]:
        """A page. A session that a link bound to one task opens only pages of that, and those that name it in
        `also`."""
        return self._made(path, Rule(task, needs, None, also))

    def deed(
        self, path: str, *, task: str | None = None, needs: str | None = "buyer", form: str | None = None
    ) -> Callable[[Answered], Answered]:
        """What a form does. `form`: its name, by default the last part of the path."""
        return self._made(path, Rule(task, needs, form or path.rsplit("/", 1)[-1], ()))

    def _made(self, path: str, rule: Rule) -> Callable[[Answered], Answered]:
        def register(function: Answered) -> Answered:
            self.made.append((path, rule, function))
            return function

        return register

    def routes(self, desk: Desk) -> list[Route]:
        return [_route(desk, *one) for one in self.made]


def _route(desk: Desk, path: str, rule: Rule, function: Answered) -> Route:
    is_deed = rule.form is not None

    async def answer(request: Request) -> Response:
        form: dict[str, str] | Problem = {}
        try:
            form = await form_of(request) if is_deed else {}
        except Problem as unreadable:
            form = unreadable
        return await run_in_threadpool(_answered, desk, request, rule, function, form)

    method = "POST" if is_deed else "GET"
    route = Route(PREFIX + path, answer, methods=[method], name=f"{function.__name__}:{method}")
    route.rule = rule  # type: ignore[attr-defined]
    return route


def _answered(
    desk: Desk, request: Request, rule: Rule, function: Answered, form: dict[str, str] | Problem
) -> Response:
    if rule.form is not None:
        check_origin(request.headers, desk.url)
    if isinstance(form, Problem):
        visit_of(desk, request, {})  # Whose page tells of it.
        raise form
    visit = visit_of(desk, request, form)
    if rule.form is not None:
        check_token(visit.session.csrf_seed, rule.form, form.get("csrf"))
    _check_rule(visit, rule)
    return function(visit)


def _check_rule(visit: Visit, rule: Rule) -> None:
    bound = visit.session.task
    if bound is not None and bound not in (rule.task, *rule.also):
        raise Problem("task_closed", bound)
    subject = _subject(visit)
    if subject is not None and subject != visit.session.target:
        raise Problem("task_closed", str(bound))
    if rule.task is not None and not visit.may(rule.task):
        raise Problem("task_closed", rule.task)
    allowed = {
        None: True,
        "buyer": visit.is_buyer,
        "approver": visit.is_approver,
        "account_admin": visit.is_account_admin,
    }
    if not allowed[rule.needs]:
        raise Problem("role_missing", str(rule.needs))


def _subject(visit: Visit) -> str | None:
    """What a path is about, for a session that is bound to one such thing."""
    if visit.session.target is None:
        return None
    given = visit.request.path_params
    return next((str(given[name]) for name in _SUBJECTS if name in given), None)
