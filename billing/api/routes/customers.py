"""Customers: who pays, where they are, who is asked, what they owe."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query

from billing.api.performing import Act
from billing.api.resources import listed, located, merchants, owned, resource
from billing.api.route import REHEARSED, Paging, Routes
from billing.api.shapes import customers as shapes
from billing.api.shapes.base import Day, Id, Instant
from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.reads import customers as reads
from billing.reads.page import Page
from billing.reads.payments import methods
from billing.service import campaigns, discounts, parties
from billing.service import customers as acts
from billing.service.credit_limits import exposure
from billing.service.tax_numbers import asked, keep_tax_check, kept_of
from billing.store.store import Row, Store
from billing.web.context import Context
from billing.web.problems import Problem

routes = Routes("Customers", "customers")
_SUBJECT = "unknown_customer"
_OF_ALL = 200
"""Rows of what is expanded: the newest, or the first."""
_EXPANDS = ("parent", "payer", "addresses", "contacts", "payment_methods", "exposure")

Words = Annotated[str, Query(min_length=1, max_length=200)]


def _shown(store: Store, context: Context, customer_id: str) -> dict[str, Any] | None:
    return resource("customer", reads.customer_of(store, context.scope, customer_id=customer_id))


@routes.get("/customers", answer=shapes.Customer, is_list=True)
def customers(
    context: Context,
    paging: Paging,
    parent_id: Id | None = None,
    root_id: Id | None = None,
    overdue_state: shapes.OverdueState | None = None,
    is_parked: bool | None = None,
    changed_since: Instant | None = None,
    name: Words | None = None,
    email: Words | None = None,
) -> Page:
    """Customers by id; with `name` (how it begins) by name, else with `changed_since` by when they changed.
    `email`: of one of their contacts."""
    with context.looking() as store:
        found = reads.customers(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            parent_id=parent_id,
            root_id=root_id,
            overdue_state=overdue_state,
            is_parked=is_parked,
            changed_since=changed_since,
            name=name,
            email=email,
        )
    return listed("customer", found)


@routes.post("/customers", answer=shapes.Customer, status=201)
def create(context: Context, body: shapes.NewCustomer) -> Act:
    """Make a customer."""
    merchants(context)
    _check_members(context, body.given())

    def work(store: Store, at: datetime) -> object:
        return _shown(store, context, acts.create_customer(store, at, **body.given()))

    return Act(work, (body.parent_id, body.bill_to_id), 201, located("customers", "customer_id"))


def _check_members(context: Context, given: Mapping[str, object]) -> None:
    """Raises Problem `scope_missing` for a member that the caller may not set."""
    bound = [] if context.scope.ids is None else sorted(given.keys() & shapes.MERCHANT_MEMBERS)
    admin = [] if context.caller.may("customers:admin") else sorted(given.keys() & shapes.ADMIN_MEMBERS)
    if bound:
        raise Problem("scope_missing", "only the merchant may set it", field=bound[0])
    if admin:
        raise Problem("scope_missing", "it needs customers:admin", field=admin[0])


@routes.get("/customers/{customer_id}", answer=shapes.Customer, subject=_SUBJECT, expands=_EXPANDS)
def customer(context: Context, customer_id: Id) -> dict[str, Any] | None:
    """One customer."""
    with context.looking() as store:
        found = _shown(store, context, customer_id)
        if found is None:
            return None
        for name, key in (("parent", "parent_id"), ("payer", "bill_to_id")):
            if name in context.expand:
                found[name] = _shown(store, context, found[key]) if found[key] else None
        if "addresses" in context.expand:
            of = reads.addresses(store, context.scope, customer_id=customer_id, after=None, limit=_OF_ALL)
            found["addresses"] = [_address(row) for row in of.rows]
        if "contacts" in context.expand:
            of = reads.contacts(store, context.scope, customer_id=customer_id, after=None, limit=_OF_ALL)
            found["contacts"] = listed("contact", of).rows
        if "payment_methods" in context.expand:
            today = local_date(context.now(), found["time_zone"])
            of = methods(store, context.scope, customer_id=customer_id, on=today, limit=_OF_ALL)
            found["payment_methods"] = listed("payment_method", of).rows
    if "exposure" in context.expand:
        found["exposure"] = _exposure(context, customer_id)
    return found


def _address(row: Row) -> Row:
    return {"object": "address"} | row | {"lines": row["lines"].split("\n")}


@routes.patch("/customers/{customer_id}", answer=shapes.Customer, subject=_SUBJECT)
def change(context: Context, customer_id: Id, body: shapes.CustomerChanges) -> Act:
    """Change a customer from today on."""
    owned(context, customer_id)
    given = body.given()
    _check_members(context, given)

    def work(store: Store, at: datetime) -> object:
        acts.change_customer(store, at, customer_id=customer_id, **given)
        return _shown(store, context, customer_id)

    return Act(
        work,
        (customer_id, body.parent_id, body.bill_to_id),
        current=lambda store: _shown(store, context, customer_id),
        needs_match=True,
    )


@routes.get("/customers/{customer_id}/children", answer=shapes.Customer, is_list=True, subject=_SUBJECT)
def children(context: Context, paging: Paging, customer_id: Id) -> Page:
    """Who stands right below a customer."""
    owned(context, customer_id)
    with context.looking() as store:
        acts.customer(store, customer_id)
        found = reads.customers(
            store, context.scope, parent_id=customer_id, after=paging.after, limit=paging.limit
        )
    return listed("customer", found)


@routes.get(
    "/customers/{customer_id}/exposure", answer=shapes.Exposure, subject=_SUBJECT, responses=REHEARSED
)
def exposure_of(context: Context, customer_id: Id) -> dict[str, Any]:
    """What a payer would owe if all it has ordered were billed now, beside its credit limit."""
    owned(context, customer_id)
    return _exposure(context, customer_id)


def _exposure(context: Context, customer_id: str) -> dict[str, Any]:
    # Working it out puts rows aside, which a connection that only reads refuses.
    with context.rehearsing() as (store, at):
        return {"object": "exposure"} | exposure(store, at, customer_id=customer_id).figures


@routes.get("/customers/{customer_id}/history", answer=shapes.CustomerVersion, is_list=True, subject=_SUBJECT)
def history(context: Context, paging: Paging, customer_id: Id) -> Page:
    """What a customer was called, where and below whom it was, the newest first."""
    owned(context, customer_id)
    with context.looking() as store:
        acts.customer(store, customer_id)
        found = reads.versions(
            store, context.scope, customer_id=customer_id, after=paging.after, limit=paging.limit
        )
    return listed("customer_version", found)


@routes.get("/customers/{customer_id}/addresses", answer=shapes.Address, is_list=True, subject=_SUBJECT)
def addresses(
    context: Context, paging: Paging, customer_id: Id, role: shapes.Role | None = None, on: Day | None = None
) -> Page:
    """Where a customer is and was, the newest first. `on`: only what holds on a day."""
    owned(context, customer_id)
    with context.looking() as store:
        acts.customer(store, customer_id)
        found = reads.addresses(
            store,
            context.scope,
            customer_id=customer_id,
            after=paging.after,
            limit=paging.limit,
            role=role,
            on=on,
        )
    return Page([_address(row) for row in found.rows], found.after)


@routes.post("/customers/{customer_id}/addresses", answer=shapes.Address, status=201, subject=_SUBJECT)
def set_address(context: Context, customer_id: Id, body: shapes.NewAddress) -> Act:
    """Say where a customer is billed or supplied from a day on."""
    owned(context, customer_id)

    def work(store: Store, at: datetime) -> object:
        address_id = parties.set_customer_address(store, at, customer_id=customer_id, **body.given())
        row = reads.address(store, context.scope, address_id=address_id)
        return None if row is None else _address(row)

    return Act(work, (customer_id,), 201)


@routes.get("/customers/{customer_id}/contacts", answer=shapes.Contact, is_list=True, subject=_SUBJECT)
def contacts(context: Context, paging: Paging, customer_id: Id) -> Page:
    """The people at a customer."""
    owned(context, customer_id)
    with context.looking() as store:
        acts.customer(store, customer_id)
        found = reads.contacts(
            store, context.scope, customer_id=customer_id, after=paging.after, limit=paging.limit
        )
    return listed("contact", found)


@routes.post("/customers/{customer_id}/contacts", answer=shapes.Contact, status=201, subject=_SUBJECT)
def add_contact(context: Context, customer_id: Id, body: shapes.NewContact) -> Act:
    """Name a person at a customer."""
    owned(context, customer_id)

    def work(store: Store, at: datetime) -> object:
        contact_id = parties.add_contact(store, at, customer_id=customer_id, **body.given())
        return resource("contact", reads.contact(store, context.scope, contact_id=contact_id))

    return Act(work, (customer_id,), 201, located("contacts", "contact_id"))


@routes.get("/contacts/{contact_id}", answer=shapes.Contact, subject="unknown_contact")
def contact(context: Context, contact_id: Id) -> dict[str, Any] | None:
    """One person at a customer."""
    with context.looking() as store:
        return resource("contact", reads.contact(store, context.scope, contact_id=contact_id))


@routes.delete("/contacts/{contact_id}", subject="unknown_contact")
def remove_contact(context: Context, contact_id: Id) -> Act:
    """A person is there no more; documents of before keep it."""

    def work(store: Store, at: datetime) -> None:
        if reads.contact(store, context.scope, contact_id=contact_id) is None:
            raise BillingError("unknown_contact", contact_id)
        parties.remove_contact(store, at, contact_id=contact_id)

    return Act(work)


@routes.get(
    "/customers/{customer_id}/discounts", answer=shapes.CustomerDiscount, is_list=True, subject=_SUBJECT
)
def given_discounts(context: Context, paging: Paging, customer_id: Id) -> Page:
    """The discounts of documents a payer has or had."""
    owned(context, customer_id)
    with context.looking() as store:
        acts.customer(store, customer_id)
        found = reads.discounts(
            store, context.scope, customer_id=customer_id, after=paging.after, limit=paging.limit
        )
    return listed("customer_discount", found)


@routes.post("/customers/{customer_id}/discounts", status=204, subject=_SUBJECT)
def give_discount(context: Context, customer_id: Id, body: shapes.GivenDiscount) -> Act:
    """Let a payer have a discount on what is issued to it from a day on."""
    owned(context, customer_id)
    merchants(context)

    def work(store: Store, at: datetime) -> None:
        discounts.give_discount(store, at, customer_id=customer_id, **body.given())

    return Act(work, (customer_id,))


@routes.delete("/customers/{customer_id}/discounts/{discount_id}", subject=_SUBJECT)
def end_discount(context: Context, customer_id: Id, discount_id: Id, on: Day | None = None) -> Act:
    """Let a payer have a discount no more from a day (today) on."""
    owned(context, customer_id)
    merchants(context)

    def work(store: Store, at: datetime) -> None:
        try:
            discounts.end_discount(store, at, customer_id=customer_id, discount_id=discount_id, on=on)
        except BillingError as error:
            if error.code == "unknown_discount":  # The path names it, as it names the customer.
                raise Problem(error.code, error.detail, status=404) from error
            raise

    return Act(work, (customer_id,))


@routes.put("/customers/{customer_id}/campaign", answer=shapes.Customer, subject=_SUBJECT)
def choose_campaign(context: Context, customer_id: Id, body: shapes.ChosenCampaign) -> Act:
    """Chase a customer's overdue money by a campaign, or (null) by the days of net terms."""
    owned(context, customer_id)
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        campaigns.assign_campaign(store, at, customer_id=customer_id, campaign_id=body.campaign_id)
        return _shown(store, context, customer_id)

    return Act(work, (customer_id,))


@routes.post("/customers/{customer_id}/tax-number-check", answer=shapes.TaxCheck, subject=_SUBJECT)
def check_tax(context: Context, customer_id: Id) -> Act:
    """Ask the register whether a customer's tax number is one, and keep what it says."""
    owned(context, customer_id)

    with context.looking() as store:
        row = acts.customer(store, customer_id)
    said = kept_of(row, asked(context.services.tax_register, row))

    def work(store: Store, at: datetime) -> object:
        return resource("tax_number_check", keep_tax_check(store, at, **said))

    return Act(work, (customer_id,))
