"""What stands on invoices about who pays: name, address, tax number; and who is written to."""

from __future__ import annotations

from datetime import datetime

from starlette.responses import Response

from billing.core.money import BillingError
from billing.gateways.tax_register import is_well_formed
from billing.portal import terms
from billing.portal.answers import go, page
from billing.portal.forms import done, text
from billing.portal.routes import Routes
from billing.portal.visit import Visit
from billing.reads import portal as reads
from billing.service.customers import change_customer
from billing.service.parties import add_contact, remove_contact, set_customer_address
from billing.service.portal_users import email_address
from billing.service.tax_numbers import asked, keep_tax_check, kept_of
from billing.store.store import Store
from billing.web.languages import LANGUAGES
from billing.web.problems import Problem

routes = Routes()
_LINES = 5


@routes.page("/details", also=("details", "tax_number"))
def details(visit: Visit) -> Response:
    return _shown(visit, None)


def _shown(visit: Visit, problem: str | None) -> Response:
    with visit.looking() as store:
        customer = reads.account(store, visit.scope, customer_id=visit.customer_id)
        address = reads.address(
            store, visit.scope, customer_id=visit.customer_id, role="bill_to", on=visit.today
        )
        people = reads.people(store, visit.scope, customer_id=visit.customer_id)
    assert customer is not None
    return page(
        visit,
        "details.html",
        customer=customer,
        address=address,
        people=people,
        problem=problem,
        terms=terms,
    )


@routes.deed("/details/name", task="details")
def change_name(visit: Visit) -> Response:
    def work(store: Store, at: datetime) -> None:
        name, locale = text(visit, "name"), visit.form.get("locale", "")
        if not name:
            raise BillingError("missing_value", "name")
        if locale not in LANGUAGES:
            raise BillingError("unknown_setting", "locale")
        change_customer(store, at, customer_id=visit.customer_id, name=name, locale=locale)

    return done(visit, work, "/details", _shown)


@routes.deed("/details/address", task="details")
def change_address(visit: Visit) -> Response:
    def work(store: Store, at: datetime) -> None:
        lines = visit.form.get("lines", "").split("\n")[:_LINES]
        if any(len(line) > 200 for line in lines):
            raise Problem("too_large", "lines")
        set_customer_address(
            store,
            at,
            customer_id=visit.customer_id,
            lines=lines,
            postal_code=text(visit, "postal_code", 20),
            city=text(visit, "city"),
            region=text(visit, "region"),
            country=visit.customer["country"],
        )

    return done(visit, work, "/details", _shown)


@routes.deed("/details/tax-number", task="tax_number")
def change_tax_number(visit: Visit) -> Response:
    number = text(visit, "tax_number", 40).replace(" ", "").upper() or None
    country = visit.customer["country"]

    def work(store: Store, at: datetime) -> None:
        if number is not None and is_well_formed(country, number) is False:
            raise BillingError("unknown_setting", f"no tax number of {country}", field="tax_number")
        if number != visit.customer["tax_number"]:
            # Another number is not confirmed, whatever the one before was.
            facts = {"tax_number": number, "tax_number_confirmed_on": None}
            change_customer(store, at, customer_id=visit.customer_id, **facts)

    try:
        visit.write(work)
    except BillingError as refused:
        code = "bad_tax_number" if refused.field == "tax_number" else refused.code
        answer = _shown(visit, terms.refusal(visit.words, code))
        answer.status_code = 422
        return answer
    if number is not None:
        _ask_register(visit)
    return go("/details")


def _ask_register(visit: Visit) -> None:
    """Confirm a number where the seller's register knows it; one that is away changes nothing."""
    with visit.looking() as store:
        row = reads.account(store, visit.scope, customer_id=visit.customer_id)
    if row is None or not row["tax_number"]:
        return
    said = kept_of(row, asked(visit.desk.services.tax_register, row))
    visit.write(lambda store, at: keep_tax_check(store, at, **said))


@routes.deed("/details/contacts", task="details")
def new_contact(visit: Visit) -> Response:
    def work(store: Store, at: datetime) -> None:
        email = visit.form.get("email", "")
        add_contact(
            store,
            at,
            customer_id=visit.customer_id,
            name=text(visit, "name"),
            email=email_address(email) if email else None,
        )

    return done(visit, work, "/details", _shown)


@routes.deed("/details/contacts/{contact_id}/remove", task="details", form="remove-contact")
def no_contact(visit: Visit) -> Response:
    contact_id = visit.path("contact_id")
    with visit.looking() as store:
        known = reads.people(store, visit.scope, customer_id=visit.customer_id)
    if contact_id not in {one["contact_id"] for one in known}:
        raise Problem("not_found")
    return done(visit, lambda store, at: remove_contact(store, at, contact_id=contact_id), "/details", _shown)
