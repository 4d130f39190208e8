"""What a form of the portal does: one act, and back to its page; or the page again with what was wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime

from starlette.responses import Response

from billing.core.money import BillingError, parse_money
from billing.portal import terms
from billing.portal.answers import go
from billing.portal.visit import Visit
from billing.service.payment_methods import pay_now
from billing.store.store import Store
from billing.web.problems import Problem

Shown = Callable[[Visit, str | None], Response]
"""The page of a form, and what was wrong with it."""


def done(
    visit: Visit, work: Callable[[Store, datetime], object], then: str, shown: Shown, *holds: str
) -> Response:
    """Do one act and go to a page below the prefix; where the act is refused, the page that is `shown`, with
    the reason."""
    try:
        visit.write(work, *holds)
    except (BillingError, Problem) as refused:
        answer = shown(visit, terms.refusal(visit.words, refused.code))
        answer.status_code = 422
        return answer
    return go(then)


def charge(visit: Visit, invoice_id: str, method_id: str | None = None) -> None:
    """Have an invoice charged at once, by the default way to pay unless another is named; while a charge is
    under way, no other is asked for. Raises as `pay_now`."""
    services = visit.desk.services
    with services.stores.write(visit.actor) as store:
        pay_now(store, services.gateway, services.clock(), invoice_id=invoice_id, method_id=method_id)


def amount(visit: Visit, name: str) -> int | None:
    """An amount of money in the customer's currency, as minor units; None for an empty field. Raises as
    `parse_money`."""
    text = visit.form.get(name, "")
    return parse_money(text, visit.customer["currency"]) if text else None


def day(visit: Visit, name: str) -> date | None:
    """A day; None for an empty field. Raises `bad_parameter`."""
    text = visit.form.get(name, "")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Problem("bad_parameter", name) from None


def text(visit: Visit, name: str, longest: int = 200) -> str:
    """One line of text. Raises `too_large` for more than so many signs."""
    value = " ".join(visit.form.get(name, "").split())
    if len(value) > longest:
        raise Problem("too_large", name)
    return value
