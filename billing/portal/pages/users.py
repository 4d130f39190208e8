"""The people of a customer who sign in, and what each may order alone."""

from __future__ import annotations

from datetime import datetime

from starlette.responses import Response

from billing.core.money import BillingError, format_minor
from billing.portal import terms
from billing.portal.answers import page
from billing.portal.door import mail_link
from billing.portal.forms import amount, done, text
from billing.portal.routes import Routes
from billing.portal.visit import Visit
from billing.reads import portal as reads
from billing.service.portal_users import change_user, invite_user, remove_user
from billing.store.store import Row, Store
from billing.web.portal_links import new_link
from billing.web.problems import Problem

routes = Routes()
_RIGHTS = ("role", "limit", "is_account_admin", "sees_children")
"""Fields that say what somebody may do."""


@routes.page("/users", task="users")
def users(visit: Visit) -> Response:
    return _shown(visit, None)


def _shown(visit: Visit, problem: str | None) -> Response:
    with visit.looking() as store:
        found = reads.users(store, visit.scope, customer_id=visit.customer_id)
    return page(visit, "users.html", users=found, problem=problem, terms=terms)


@routes.deed("/users", task="users", needs="account_admin", form="invite")
def invite(visit: Visit) -> Response:
    links: list[tuple[Row, str]] = []

    def work(store: Store, at: datetime) -> None:
        user_id = invite_user(
            store,
            at,
            customer_id=visit.customer_id,
            email=visit.form.get("email", ""),
            name=text(visit, "name"),
            role=visit.form.get("role", "buyer"),
            is_account_admin="is_account_admin" in visit.form,
            sees_children=_may_see_children(visit) and "sees_children" in visit.form,
            limit_minor=amount(visit, "limit"),
            locale=visit.language,
        )
        user = reads.user(store, visit.scope, user_id=user_id)
        assert user is not None
        link = new_link(
            store,
            at,
            visit.desk.url,
            customer_id=visit.customer_id,
            user_id=user_id,
            kind="invite",
        )
        links[:] = [(user | {"customer_name": visit.customer["name"]}, link)]

    answer = done(visit, work, "/users", _shown)
    for user, link in links if answer.status_code == 303 else ():
        mail_link(visit.desk, user, link, visit.language, "invite")
    return answer


def _may_see_children(visit: Visit) -> bool:
    """Nobody lets another see more than they see."""
    return visit.user is None or bool(visit.user["sees_children"])


@routes.page("/users/{user_id}", task="users", needs="account_admin")
def user(visit: Visit) -> Response:
    return _user_shown(visit, None)


def _user_shown(visit: Visit, problem: str | None) -> Response:
    one = _the_user(visit)
    limit = None
    if one["limit_minor"] is not None:
        limit = format_minor(one["limit_minor"], visit.customer["currency"])
    is_self = _is_self(visit, one)
    return page(visit, "user.html", one=one, limit=limit, is_self=is_self, problem=problem, terms=terms)


@routes.deed("/users/{user_id}", task="users", needs="account_admin", form="change-user")
def change(visit: Visit) -> Response:
    one = _the_user(visit)

    def work(store: Store, at: datetime) -> None:
        if _is_self(visit, one):
            if any(name in visit.form for name in _RIGHTS):
                raise Problem("role_missing", "nobody changes what they may do themselves")
            change_user(store, at, user_id=one["user_id"], name=text(visit, "name"))
            return
        sees = "sees_children" in visit.form and (_may_see_children(visit) or one["sees_children"])
        change_user(
            store,
            at,
            user_id=one["user_id"],
            name=text(visit, "name"),
            role=visit.form.get("role", ""),
            is_account_admin="is_account_admin" in visit.form,
            sees_children=bool(sees),
            limit_minor=amount(visit, "limit"),
        )

    return done(visit, work, "/users", _user_shown)


@routes.deed("/users/{user_id}/remove", task="users", needs="account_admin", form="remove-user")
def remove(visit: Visit) -> Response:
    one = _the_user(visit)
    if _is_self(visit, one):
        raise BillingError("illegal_transition", "nobody removes themselves")
    user_id = str(one["user_id"])
    return done(visit, lambda store, at: remove_user(store, at, user_id=user_id), "/users", _user_shown)


def _is_self(visit: Visit, one: Row) -> bool:
    return visit.user is not None and one["user_id"] == visit.user["user_id"]


def _the_user(visit: Visit) -> Row:
    """Of the same customer, not of one below it: those manage their own."""
    with visit.looking() as store:
        found = reads.user(store, visit.scope, user_id=visit.path("user_id"))
    if found is None or found["customer_id"] != visit.customer_id:
        raise Problem("not_found")
    return found
