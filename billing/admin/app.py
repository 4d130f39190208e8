"""The admin screens as an ASGI application: which addresses there are, and who is let in.

A page is a GET and changes nothing. A change is a POST of a form of ours, with its token, from our origin.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import ceil
from typing import Any
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from billing.admin import acting, moving, naming
from billing.admin.acts import ACTS
from billing.admin.door import Entered, Staff, StaffDoor
from billing.admin.looks import Link, Notice, Screen
from billing.admin.pages import (
    audit,
    catalogue,
    customers,
    home,
    invoices,
    keys,
    periods,
    queues,
    subscriptions,
    webhooks,
)
from billing.admin.visit import PREFIX, Visit, dashboard_page, path_to
from billing.core.money import BillingError
from billing.web.answers import Write, problem_from
from billing.web.assets import serve_asset
from billing.web.context import Caller, Context, Services
from billing.web.cookies import Cookie
from billing.web.forms import check_origin, check_token, fields_of, token_of
from billing.web.health import watching_routes
from billing.web.languages import LANGUAGES, Words, preferred, words
from billing.web.layers import Door, add_layers, bare_application
from billing.web.limits import FORM, FORM_BYTES, Kind, Limits
from billing.web.metrics import Metrics
from billing.web.pages import POLICY, Pages
from billing.web.problems import Problem
from billing.web.rates import Attempts, Rate

PACKAGE = "admin"
LANGUAGE = "tajdid_language"
A_YEAR = 31_536_000
GUESSES = Rate(10 / 60, 10)
"""Attempts to sign in from one address, whatever the names; what locks a name is the door's to say."""
WAYS = Rate(20 / 60, 40)
"""Ways to an identity provider and back from one address: on each, the provider is asked."""
WAIT_ELSEWHERE = 4
"""How many of them wait for the provider at a time, beside all who do not need it."""
DEPARTED, AWAY_SECONDS = "tajdid_departed", 600
"""The cookie of somebody who signs in elsewhere, and how long they may be away."""
CALLBACK = f"{PREFIX}/oauth2callback"
"""Where an identity provider sends people back to."""
_LIMITS = Limits(Kind(FORM_BYTES, (FORM,)))

Shows = Callable[[Visit], Screen | Response]
Does = Callable[[Visit, Mapping[str, str]], Screen | Response | str]

PAGES: Mapping[str, tuple[Shows, bool]] = {
    "/": (home.first, False),
    "/customers": (customers.listed, False),
    "/customers/{key}": (customers.one, False),
    "/subscriptions": (subscriptions.listed, False),
    "/subscriptions/{key}": (subscriptions.one, False),
    "/invoices": (invoices.listed, False),
    "/invoices/{key}": (invoices.one, False),
    "/invoices/{key}/pdf": (invoices.pdf, False),
    "/customers/{key}/portal": (moving.asked, False),
    "/dunning": (queues.dunned, False),
    "/parked": (queues.parked, False),
    "/approvals": (queues.approvals_asked, False),
    "/catalogue": (catalogue.listed, False),
    "/catalogue/{key}": (catalogue.plan, False),
    "/prices/{key}": (catalogue.price, False),
    "/periods": (periods.listed, False),
    "/webhooks": (webhooks.listed, True),
    "/webhooks/{key}": (webhooks.one, True),
    "/keys": (keys.listed, True),
    "/audit": (audit.listed, True),
    "/acts/{act}/{key}": (lambda visit: acting.shown(visit, visit.answers(_questions(visit))), False),
}
"""Each page, and whether it is for those alone who manage."""

CHANGES: Mapping[str, tuple[Does, Callable[[Visit], str], bool]] = {
    "/customers/{key}/portal": (moving.to_portal, lambda visit: f"portal:{visit.key()}", False),
    "/keys": (keys.make, lambda _visit: "key", True),
    "/keys/{key}/roll": (keys.roll, lambda visit: f"roll:{visit.key()}", True),
    "/webhooks/{key}/enable": (webhooks.enable, lambda visit: f"enable:{visit.key()}", True),
    "/webhooks/{key}/try": (webhooks.attempt, lambda visit: f"try:{visit.key()}", True),
    "/webhooks/{key}/replay": (webhooks.replay, lambda visit: f"replay:{visit.key()}", True),
    "/acts/{act}/{key}": (
        acting.done,
        lambda visit: f"act:{visit.key('act')}:{visit.key()}",
        False,
    ),
}
"""Each change, which form it is sent by, and whether it is for those alone who manage."""


def _questions(visit: Visit) -> list[str]:
    act = ACTS.get(visit.key("act"))
    return [one.name for one in act.asks] if act else []


@dataclass(frozen=True)
class _Made:
    services: Services
    door: StaffDoor
    pages: Pages
    titles: Mapping[str, str]
    company: str
    attempts: Attempts = field(default_factory=lambda: Attempts(GUESSES))
    ways: Attempts = field(default_factory=lambda: Attempts(WAYS))
    elsewhere: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(WAIT_ELSEWHERE))


def application(
    services: Services,
    door: StaffDoor,
    *,
    titles: Mapping[str, str],
    company: str,
    listens: Door | None = None,
) -> FastAPI:
    """The screens of one company. `titles`: what it is called in each language. `company`: as the
    dashboard knows it. `listens`: what they need where they listen on a network."""
    app = bare_application(services.stores, title="Tajdid admin")
    made = _Made(services, door, Pages(PACKAGE, PREFIX), titles, company)
    add = app.router.add_route
    add(f"{PREFIX}/assets/{{name:path}}", serve_asset, methods=["GET"])
    for path, (shows, manages) in PAGES.items():
        add(PREFIX + path, _page(made, shows, manages), methods=["GET"])
    for path, (does, form, manages) in CHANGES.items():
        add(PREFIX + path, _change(made, does, form, manages), methods=["POST"])
    add(f"{PREFIX}/sign-in", _sign_in_page(made), methods=["GET"])
    add(f"{PREFIX}/sign-in", _sign_in(made), methods=["POST"])
    add(f"{PREFIX}/sign-in/away", _depart(made), methods=["GET"])
    add(CALLBACK, _arrive(made), methods=["GET"])
    add(f"{PREFIX}/sign-out", _sign_out(made), methods=["POST"])
    add(f"{PREFIX}/language", _language(made), methods=["POST"])
    for path in ("/", PREFIX):
        add(path, _to_first, methods=["GET"])

    metrics = Metrics()
    app.router.routes.extend(watching_routes(services, metrics))
    app.add_exception_handler(HTTPException, _raise)
    add_layers(app, _written(made), _LIMITS, watches=(metrics.watch,), policy=POLICY, door=listens)
    return app


async def _raise(_request: Request, failure: Exception) -> Response:
    """Let the layer above answer, as it answers all else."""
    raise problem_from(failure)


async def _to_first(_request: Request) -> Response:
    return RedirectResponse(f"{PREFIX}/", 307)


# Who asks.


def _cookie(made: _Made) -> Cookie:
    return Cookie(made.door.cookie, _own_address(made))


def _form_cookie(made: _Made) -> Cookie:
    """What the tokens of forms are made from in a browser in which nobody is signed in."""
    return Cookie("tajdid_admin_form", _own_address(made))


def _own_address(made: _Made) -> str:
    return made.services.admin_url or "http://127.0.0.1"


def _token(made: _Made, request: Request) -> str | None:
    return _cookie(made).of(request)


def _seed(made: _Made, request: Request, fresh: str | None = None) -> str | None:
    """Of the tokens of the forms of a session, or of a browser before it has one (`fresh`: what it is about
    to be given for them); where nobody signs in, of this machine's one."""
    known = _token(made, request) or _form_cookie(made).of(request) or fresh
    own = "" if made.door.is_open else known
    return None if own is None else made.services.vault.stamp(own.encode(), "admin forms").hex()


def _spoken(request: Request) -> str:
    accepted = request.headers.get("accept-language", "")
    return preferred(request.cookies.get(LANGUAGE), accepted=accepted)


def _visit(made: _Made, request: Request, manages: bool) -> Visit:
    """Raises Problem `unauthenticated`, `role_missing`."""
    staff = made.door.who(_token(made, request))
    if staff is None:
        raise Problem("unauthenticated")
    if manages and not staff.may_manage:
        raise Problem("role_missing")
    language = _spoken(request)
    context = Context(
        made.services,
        Caller("staff", staff.id, owner=f"staff:{staff.id}", role="admin" if staff.may_manage else "finance"),
        request.scope.get("request_id", ""),
        language=language,
    )
    return Visit(request, context, staff, words(language, PACKAGE), _seed(made, request) or "", made.company)


# Pages and changes.


def _page(made: _Made, shows: Shows, manages: bool) -> Callable[[Request], Awaitable[Response]]:
    def shown(request: Request) -> Response:
        visit = _visit(made, request, manages)
        answer = shows(visit)
        return _rendered(made, request, visit.staff, answer) if isinstance(answer, Screen) else answer

    async def answered(request: Request) -> Response:
        return await run_in_threadpool(shown, request)

    return answered


def _change(
    made: _Made, does: Does, form: Callable[[Visit], str], manages: bool
) -> Callable[[Request], Awaitable[Response]]:
    async def answered(request: Request) -> Response:
        body = await request.body()

        def done(request: Request) -> Response:
            visit = _visit(made, request, manages)
            fields = _checked(made, request, body, form(visit))
            try:
                answer = does(visit, fields)
            except (BillingError, Problem) as refused:
                if "act" not in request.path_params or refused.code == "csrf":
                    raise
                answer = acting.shown(visit, fields, problem=refused)
            if isinstance(answer, str):
                return RedirectResponse(answer, 303)
            return _rendered(made, request, visit.staff, answer) if isinstance(answer, Screen) else answer

        return await run_in_threadpool(done, request)

    return answered


def _checked(made: _Made, request: Request, body: bytes, form: str) -> dict[str, str]:
    """The fields of a form that a page of ours sent. Raises `csrf` for any other."""
    _check_origin(made, request)
    fields = fields_of(body, request.headers.get("content-type", ""))
    check_token(_seed(made, request), form, fields.get("csrf"))
    return fields


def _check_origin(made: _Made, request: Request) -> None:
    """Which of our names somebody uses is theirs to choose: other names never come here."""
    own = urlsplit(_own_address(made))
    check_origin(request.headers, f"{own.scheme}://{request.headers.get('host', own.netloc)}")


# Signing in and out.


def _sign_in_page(made: _Made) -> Callable[[Request], Awaitable[Response]]:
    async def shown(request: Request) -> Response:
        if made.door.is_open:
            return RedirectResponse(f"{PREFIX}/", 303)
        return _sign_in_form(made, request, _safe(request.query_params.get("next")))

    return shown


def _sign_in_form(
    made: _Made, request: Request, target: str, problem: str | None = None, status: int = 200
) -> Response:
    away = path_to("sign-in", "away", next=target) if made.door.is_elsewhere else None
    values = {"target": target, "problem": problem, "away": away}
    screen = Screen("", template="sign_in.html", status=status, values=values)
    fresh = None if _seed(made, request) else secrets.token_urlsafe(32)
    answer = _rendered(made, request, None, screen, fresh)
    if fresh is not None:
        _form_cookie(made).give(answer, fresh, seconds=int(made.door.session.total_seconds()))
    return answer


def _safe(target: str | None) -> str:
    """A page of these screens to go to; anything else becomes the first one."""
    known = target is not None and target.startswith(f"{PREFIX}/") and "\\" not in target
    return target if known and target is not None and target.isprintable() else f"{PREFIX}/"


def _sign_in(made: _Made) -> Callable[[Request], Awaitable[Response]]:
    async def entered(request: Request) -> Response:
        if made.door.is_elsewhere:
            raise Problem("not_found")
        body = await request.body()
        fields = _checked(made, request, body, "sign-in")
        target = _safe(fields.get("next"))
        waits = made.attempts.take(_address(request))
        if waits > 0:
            came = Entered(locked_for=timedelta(seconds=waits))
        else:
            given = fields.get("name", ""), fields.get("password", "")
            came = await run_in_threadpool(made.door.enter, *given)
        return _let_in(made, request, came, target)

    return entered


def _depart(made: _Made) -> Callable[[Request], Awaitable[Response]]:
    async def sent(request: Request) -> Response:
        if not made.door.is_elsewhere:
            raise Problem("not_found")
        target = _safe(request.query_params.get("next"))
        waits = made.ways.take(_address(request))
        if waits > 0:
            return _let_in(made, request, Entered(locked_for=timedelta(seconds=waits)), target)
        away = await to_thread.run_sync(made.door.depart, target, limiter=made.elsewhere)
        answer = RedirectResponse(away.address, 303)
        _departed(made).give(answer, away.kept, seconds=AWAY_SECONDS)
        return answer

    return sent


def _arrive(made: _Made) -> Callable[[Request], Awaitable[Response]]:
    async def back(request: Request) -> Response:
        if not made.door.is_elsewhere:
            raise Problem("not_found")
        kept, said = _departed(made).of(request) or "", dict(request.query_params)
        waits = made.ways.take(_address(request))
        if waits > 0:
            return _let_in(made, request, Entered(locked_for=timedelta(seconds=waits)), _safe(None))
        came = await to_thread.run_sync(made.door.arrive, kept, said, limiter=made.elsewhere)
        answer = _let_in(made, request, came, _safe(came.target))
        _departed(made).take_back(answer)
        return answer

    return back


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _departed(made: _Made) -> Cookie:
    return Cookie(DEPARTED, _own_address(made))


def _let_in(made: _Made, request: Request, came: Entered, target: str) -> Response:
    """A session of its own for who came in, with a token that no browser had before; else why not."""
    answer: Response
    if came.token is None:
        why, status = _not_let_in(made, request, came)
        answer = _sign_in_form(made, request, target, why, status)
        if came.locked_for is not None:
            answer.headers["Retry-After"] = str(ceil(came.locked_for.total_seconds()))
        return answer
    answer = RedirectResponse(target, 303)
    _form_cookie(made).take_back(answer)
    _cookie(made).give(answer, came.token, seconds=int(made.door.session.total_seconds()))
    return answer


def _not_let_in(made: _Made, request: Request, came: Entered) -> tuple[str, int]:
    spoken = words(_spoken(request), PACKAGE)
    if came.has_no_role:
        return spoken.gettext(
            "You have no role here. Ask whoever looks after the people of this company."
        ), 403
    if came.locked_for is not None:
        minutes = max(1, ceil(came.locked_for.total_seconds() / 60))
        why = spoken.ngettext(
            "Too many attempts. Try again in {count} minute.",
            "Too many attempts. Try again in {count} minutes.",
            minutes,
        )
        return why.format(count=minutes), 429
    if made.door.is_elsewhere:
        return spoken.gettext("You were not signed in. Try again."), 401
    return spoken.gettext("This name and this password do not belong together."), 401


def _sign_out(made: _Made) -> Callable[[Request], Awaitable[Response]]:
    async def left(request: Request) -> Response:
        body = await request.body()
        _checked(made, request, body, "sign-out")
        token = _token(made, request)
        if token is not None:
            await run_in_threadpool(made.door.leave, token)
        answer = RedirectResponse(path_to("sign-in"), 303)
        _cookie(made).take_back(answer)
        return answer

    return left


def _language(made: _Made) -> Callable[[Request], Awaitable[Response]]:
    async def chosen(request: Request) -> Response:
        fields = _checked(made, request, await request.body(), "language")
        answer = RedirectResponse(_safe(fields.get("back")), 303)
        if fields.get("language") in LANGUAGES:
            cookie = Cookie(LANGUAGE, "http://")
            cookie.give(answer, fields["language"], seconds=A_YEAR)
        return answer

    return chosen


# How it looks.


def _rendered(
    made: _Made, request: Request, staff: Staff | None, screen: Screen, fresh: str | None = None
) -> Response:
    language = _spoken(request)
    spoken = words(language, PACKAGE)
    seed = _seed(made, request, fresh) or ""
    query = f"?{request.url.query}" if request.url.query else ""
    done = request.query_params.get("done") if request.method == "GET" else None
    if done is not None and done in ACTS:
        notice = Notice("good", spoken.gettext("Done: {what}").format(what=spoken.gettext(ACTS[done].title)))
        screen = _with_notice(screen, notice)
    values: dict[str, Any] = {
        "screen": screen,
        "brand": made.titles[language],
        "mode": made.services.mode,
        "nav": _navigation(spoken.gettext, staff, screen.current) if staff else [],
        "elsewhere": _elsewhere(made, spoken) if staff else [],
        "signed_in": staff.name if staff and not made.door.is_open else None,
        "has_forms": staff is not None or screen.template == "sign_in.html",
        "csrf": lambda form: token_of(seed, form),
        "here": _safe(request.url.path + query) if request.method == "GET" else f"{PREFIX}/",
        **screen.values,
    }
    text = made.pages.render(screen.template, language, values)
    return HTMLResponse(text, screen.status)


def _with_notice(screen: Screen, notice: Notice) -> Screen:
    return replace(screen, notices=[notice, *screen.notices])


def _navigation(_: Callable[[str], str], staff: Staff, current: str) -> list[dict[str, Any]]:
    named = {
        "home": _("Overview"),
        "customers": _("Customers"),
        "subscriptions": _("Subscriptions"),
        "invoices": _("Invoices"),
        "dunning": _("Dunning"),
        "parked": _("Set aside"),
        "approvals": _("Approvals"),
        "catalogue": _("Catalogue"),
        "periods": _("Books"),
    }
    if staff.may_manage:
        named |= {"webhooks": _("Webhooks"), "keys": _("Keys"), "audit": _("Audit")}
    return [
        {
            "href": f"{PREFIX}/" if name == "home" else path_to(name),
            "label": label,
            "is_current": name == current,
        }
        for name, label in named.items()
    ]


def _elsewhere(made: _Made, spoken: Words) -> list[Link]:
    url = made.services.dashboard_url
    there = dashboard_page(url, made.company, spoken.language) if url else None
    return [Link(there, spoken.gettext("Dashboard"))] if there else []


# What goes wrong.


def _written(made: _Made) -> Write:
    """Problems as pages; who is not signed in is sent to sign in."""

    def write(scope: Scope, problem: Problem) -> Response:
        request = Request(scope)
        if problem.code == "unauthenticated" and request.method == "GET":
            asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(path_to("sign-in", next=asked), 303)
        answer = _rendered(made, request, None, _why_not(made, request, problem))
        answer.headers.update(problem.headers)
        return answer

    return write


def _why_not(made: _Made, request: Request, problem: Problem) -> Screen:
    _ = words(_spoken(request), PACKAGE).gettext
    said = {
        "not_found": _("There is nothing here."),
        "unauthenticated": _("Sign in to go on."),
        "role_missing": _("Your role does not allow this."),
        "bad_cursor": _("The place in this list cannot be read any more. Begin at its first page."),
        "bad_parameter": _("The page was asked for in a way that cannot be read."),
        "csrf": _("The form is too old, or came from elsewhere. Load the page again; nothing was done."),
        "busy": _("Others are at work on the same. Try again in a moment; nothing was done."),
        "unavailable": _("This cannot be reached just now. Try again in a minute."),
        "internal": _("Something failed here. It is written down under the number below."),
    }
    if problem.status >= 500:
        notices = [Notice("bad", str(request.scope.get("request_id", "")), problem.code)]
    elif request.method == "GET":
        notices = [] if problem.code == "not_found" else [Notice("bad", "", problem.code)]
    else:
        notices = [Notice("bad", _("Nothing was changed."), problem.code)]
    return Screen(
        said.get(problem.code) or naming.refusal(words(_spoken(request), PACKAGE), problem.code),
        notices=notices,
        back=Link(f"{PREFIX}/", _("Overview")),
        status=problem.status,
    )
