"""The door: signing in by a link that works once, staying signed in, signing out, and choosing a language."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from billing.core.money import BillingError
from billing.gateways.mail import Mail, NotSent
from billing.portal.answers import back_to, door_page
from billing.portal.tasks import first_page
from billing.portal.visit import PACKAGE, PREFIX, Desk, Visit, opened
from billing.reads import portal as reads
from billing.service.portal_sessions import (
    LASTS,
    LINK_LASTS,
    Session,
    end_session,
    hash_of,
    is_to_be_seen,
    may_mail,
    see,
    session_of,
    use_link,
)
from billing.service.portal_users import email_address
from billing.store.store import Row, Store
from billing.web.context import written
from billing.web.forms import check_origin, check_token, fields_of
from billing.web.languages import LANGUAGES, preferred, words
from billing.web.portal_links import new_link
from billing.web.problems import Problem

logger = logging.getLogger(__name__)
_YEAR = 365 * 24 * 3600


class NotSignedIn(Exception):
    """Nobody is signed in, or not any more."""


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form. Raises Problem."""
    return fields_of(await request.body(), request.headers.get("content-type", ""))


def visit_of(desk: Desk, request: Request, form: Mapping[str, str]) -> Visit:
    """Who is on a page; kept with the request, for the page of what goes wrong. Raises NotSignedIn."""
    token = desk.session_cookie.of(request)
    services = desk.services
    now = services.clock()
    session: Session | None = None
    is_unseen = False
    if token is not None:
        with services.stores.look() as store:
            session = session_of(store, now, hash_of(token))
            is_unseen = session is not None and is_to_be_seen(store, now, session.session_id)
    if session is None:
        raise NotSignedIn
    if is_unseen:
        session_id = session.session_id
        with services.stores.write("portal") as store:
            written(store, services.clock, lambda store, at: see(store, at, session_id))
    chosen = desk.language_cookie.of(request)
    visit = opened(desk, request, session, chosen if chosen in LANGUAGES else None, form)
    if visit is None:
        raise NotSignedIn
    request.scope["visit"] = visit
    return visit


def language_of(desk: Desk, request: Request) -> str:
    """The language of somebody who is not known yet."""
    accepted = request.headers.get("accept-language", "")
    return preferred(desk.language_cookie.of(request), desk.spoken_cookie.of(request), accepted=accepted)


def mail_ways_in(desk: Desk, email: str, language: str) -> None:
    """Send a link to an address for each account it signs in to; nothing to one that nobody knows."""
    try:
        address = email_address(email)
    except BillingError:
        return
    services = desk.services

    def made(store: Store, at: datetime) -> list[tuple[Row, str]]:
        return [
            (
                user,
                new_link(
                    store,
                    at,
                    desk.url,
                    customer_id=user["customer_id"],
                    user_id=user["user_id"],
                    kind="mail",
                ),
            )
            for user in reads.users_by_email(store, address)
            if may_mail(store, at, user_id=user["user_id"])
        ]

    with services.stores.write("portal") as store:
        found = written(store, services.clock, made)
    for user, link in found:
        mail_link(desk, user, link, language, "mail")


def mail_link(desk: Desk, user: Row, link: str, language: str, kind: str) -> None:
    """Send a user a way in."""
    spoken = words(language, PACKAGE)
    _ = spoken.gettext
    minutes = int(LINK_LASTS[kind].total_seconds() // 60)
    if kind == "invite":
        subject = _("You can manage the subscriptions of {customer}")
        opening = _("You were invited to manage the subscriptions of {customer} at {brand}. Sign in here:")
        ending = _("The link works once, within seven days. After that, sign in with your e-mail address.")
    else:
        subject = _("Your link to sign in to {customer}")
        opening = _("Sign in to the account of {customer} at {brand} here:")
        ending = spoken.ngettext(
            "The link works once, within {minutes} minute.",
            "The link works once, within {minutes} minutes.",
            minutes,
        )
    facts = {"customer": user["customer_name"], "brand": desk.titles[spoken.language], "minutes": minutes}
    ignore = _("If you did not expect this, do nothing.")
    text = f"{opening.format(**facts)}\n\n{link}\n\n{ending.format(**facts)}\n{ignore}\n"
    send(desk, Mail(user["email"], subject.format(**facts), text, language))


def send(desk: Desk, mail: Mail) -> None:
    """Hand a letter over; where that fails it is noted, without its address, and nothing else fails."""
    try:
        desk.mailer.send(mail)
    except (NotSent, OSError) as error:
        logger.warning("a letter was not taken: %s", type(error).__name__)


def door_routes(desk: Desk) -> list[Route]:
    """The pages that need no session."""

    async def sign_in(request: Request) -> Response:
        if request.method != "POST":
            return _at_the_door(desk, request, "sign_in.html")
        form = await form_of(request)
        _check_door_form(desk, request, form, "sign-in")
        language = language_of(desk, request)
        answer = _at_the_door(desk, request, "mail_sent.html")
        # After the answer, so that its time does not tell whether somebody is known.
        answer.background = BackgroundTask(mail_ways_in, desk, form.get("email", "")[:300], language)
        return answer

    async def enter(request: Request) -> Response:
        if request.method != "POST":
            return _at_the_door(desk, request, "enter.html", t=request.query_params.get("t", "")[:200])
        form = await form_of(request)
        _check_door_form(desk, request, form, "enter")
        return await run_in_threadpool(_entered, desk, request, form.get("t", ""))

    async def sign_out(request: Request) -> Response:
        form = await form_of(request)
        return await run_in_threadpool(_signed_out, desk, request, form)

    async def choose_language(request: Request) -> Response:
        form = await form_of(request)
        return await run_in_threadpool(_language_chosen, desk, request, form)

    return [
        Route(f"{PREFIX}/sign-in", sign_in, methods=["GET", "POST"], name="sign_in"),
        Route(f"{PREFIX}/enter", enter, methods=["GET", "POST"], name="enter"),
        Route(f"{PREFIX}/sign-out", sign_out, methods=["POST"], name="sign_out"),
        Route(f"{PREFIX}/language", choose_language, methods=["POST"], name="language"),
    ]


def nothing_here(desk: Desk) -> Route:
    """Addresses where there is no page; who is signed in is told so inside."""

    def missing(request: Request) -> Response:
        with suppress(NotSignedIn):
            visit_of(desk, request, {})
        raise Problem("not_found")

    return Route(PREFIX + "/{rest:path}", missing, methods=["GET"], name="nothing_here")


def _at_the_door(desk: Desk, request: Request, template: str, status: int = 200, **values: str) -> Response:
    seed = desk.form_cookie.of(request)
    is_new = seed is None
    seed = seed or secrets.token_urlsafe(32)
    answer = door_page(desk, request, language_of(desk, request), seed, template, status, **values)
    if is_new:
        desk.form_cookie.give(answer, seed, seconds=int(LASTS.total_seconds()))
    return answer


def _check_door_form(desk: Desk, request: Request, form: Mapping[str, str], name: str) -> None:
    check_origin(request.headers, desk.url)
    check_token(desk.form_cookie.of(request), name, form.get("csrf"))


def _entered(desk: Desk, request: Request, token: str) -> Response:
    """Begin a session, always with a new secret, whatever the browser held before."""
    before = desk.session_cookie.of(request)
    session_token, seed = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    services = desk.services

    def used(store: Store, at: datetime) -> Session:
        return use_link(
            store,
            at,
            token_hash=hash_of(token),
            session_hash=hash_of(session_token),
            csrf_seed=seed,
            ends=hash_of(before) if before else None,
        )

    try:
        with services.stores.write("portal") as store:
            session = written(store, services.clock, used)
    except BillingError:
        return _at_the_door(desk, request, "link_used.html", 410)
    answer = RedirectResponse(PREFIX + first_page(session.task, session.target), 303)
    desk.session_cookie.give(answer, session_token, seconds=int(LASTS.total_seconds()))
    desk.form_cookie.take_back(answer)
    visit = opened(desk, request, session, None, {})
    if visit is not None:
        desk.spoken_cookie.give(answer, visit.language, seconds=int(LASTS.total_seconds()))
    return answer


def _signed_out(desk: Desk, request: Request, form: Mapping[str, str]) -> Response:
    check_origin(request.headers, desk.url)
    visit = visit_of(desk, request, form)
    check_token(visit.session.csrf_seed, "sign-out", form.get("csrf"))
    token_hash = hash_of(desk.session_cookie.of(request) or "")
    with desk.services.stores.write(visit.actor) as store:
        written(
            store,
            desk.services.clock,
            lambda store, at: end_session(store, at, token_hash=token_hash),
        )
    answer = RedirectResponse(f"{PREFIX}/sign-in", 303)
    desk.session_cookie.take_back(answer)
    return answer


def _language_chosen(desk: Desk, request: Request, form: Mapping[str, str]) -> Response:
    check_origin(request.headers, desk.url)
    try:
        seed: str | None = visit_of(desk, request, form).session.csrf_seed
    except NotSignedIn:
        seed = desk.form_cookie.of(request)
    check_token(seed, "language", form.get("csrf"))
    answer = back_to(form.get("back", ""))
    if form.get("language") in LANGUAGES:
        desk.language_cookie.give(answer, form["language"], seconds=_YEAR)
    return answer
