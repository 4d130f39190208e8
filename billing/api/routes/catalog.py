"""The catalogue: who sells, what, and at what price. What is published does not change: a new price is a new
list, a new plan a new version. Only the merchant writes here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from billing.api.performing import Act
from billing.api.resources import listed, located, merchants, owned, resource
from billing.api.route import Paging, Routes
from billing.api.shapes import catalog as shapes
from billing.api.shapes.base import Country, Currency, Id
from billing.core.money import BillingError, format_minor
from billing.reads import catalog as reads
from billing.reads import offers
from billing.reads.page import Page
from billing.service import campaigns as campaign_acts
from billing.service import catalog as acts
from billing.service import discounts as discount_acts
from billing.service import goods, index_clauses, parties
from billing.service import policies as policy_acts
from billing.store.store import Store
from billing.web.context import Context

routes = Routes("Catalogue", "catalog")


def _made(
    context: Context,
    kind: str,
    path: str,
    key: str,
    act: Callable[[Store, datetime], object],
    read: Callable[[Store], Any],
) -> Act:
    """An act of the merchant that makes a thing, answered by the thing."""
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        act(store, at)
        return resource(kind, read(store))

    return Act(work, status=201, location=located(path, key))


# Who sells, and on what terms.


@routes.get("/legal-entities", answer=shapes.LegalEntity, is_list=True)
def legal_entities(context: Context, paging: Paging) -> Page:
    """The sellers."""
    with context.looking() as store:
        found = reads.legal_entities(store, context.scope, after=paging.after, limit=paging.limit)
    return listed("legal_entity", found)


@routes.get("/legal-entities/{entity_id}", answer=shapes.LegalEntity, subject="unknown_entity")
def legal_entity(context: Context, entity_id: Id) -> dict[str, Any] | None:
    """One seller."""
    with context.looking() as store:
        return _seller(store, context, entity_id)


def _seller(store: Store, context: Context, entity_id: str) -> dict[str, Any] | None:
    return resource("legal_entity", reads.legal_entity(store, context.scope, entity_id=entity_id))


@routes.post("/legal-entities", answer=shapes.LegalEntity, status=201)
def create_legal_entity(context: Context, body: shapes.NewLegalEntity) -> Act:
    """Make a seller."""
    return _made(
        context,
        "legal_entity",
        "legal-entities",
        "entity_id",
        lambda store, at: acts.create_legal_entity(store, at, **body.given()),
        lambda store: reads.legal_entity(store, context.scope, entity_id=body.entity_id),
    )


@routes.patch("/legal-entities/{entity_id}", answer=shapes.LegalEntity, subject="unknown_entity")
def change_legal_entity(context: Context, entity_id: Id, body: shapes.LegalEntityChanges) -> Act:
    """Change what documents print of a seller."""
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        parties.change_seller(store, at, entity_id=entity_id, **body.given())
        return _seller(store, context, entity_id)

    return Act(work, current=lambda store: _seller(store, context, entity_id))


@routes.post(
    "/legal-entities/{entity_id}/addresses", answer=shapes.Address, status=201, subject="unknown_entity"
)
def set_seller_address(context: Context, entity_id: Id, body: shapes.NewSellerAddress) -> Act:
    """Say where a seller is from a day on."""
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        address_id = parties.set_seller_address(store, at, entity_id=entity_id, **body.given())
        row = reads.seller_address(store, context.scope, address_id=address_id)
        return None if row is None else {"object": "address"} | row | {"lines": row["lines"].split("\n")}

    return Act(work, status=201)


@routes.get("/tax-rates", answer=shapes.TaxRate, is_list=True)
def tax_rates(context: Context, paging: Paging, country: Country | None = None) -> Page:
    """Rates of tax by country, code, category and the day they hold from."""
    with context.looking() as store:
        found = reads.tax_rates(store, context.scope, after=paging.after, limit=paging.limit, country=country)
    return listed("tax_rate", found)


@routes.post("/tax-rates", answer=shapes.TaxRate, status=201)
def add_tax_rate(context: Context, body: shapes.NewTaxRate) -> Act:
    """Add a rate of a country from a day on."""
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        acts.add_tax_rate(store, at, **body.given())
        key = (body.country, body.tax_code, body.category, body.valid_from)
        return resource("tax_rate", reads.tax_rate(store, context.scope, key=key))

    return Act(work, status=201)


@routes.get("/payment-terms", answer=shapes.PaymentTerms, is_list=True)
def payment_terms(context: Context, paging: Paging) -> Page:
    """When invoices may be due."""
    with context.looking() as store:
        found = reads.payment_terms(store, context.scope, after=paging.after, limit=paging.limit)
    return listed("payment_terms", found)


@routes.post("/payment-terms", answer=shapes.PaymentTerms, status=201)
def create_payment_terms(context: Context, body: shapes.NewPaymentTerms) -> Act:
    """Make terms of payment."""
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        acts.create_payment_terms(store, at, **body.given())
        return resource("payment_terms", reads.terms(store, context.scope, terms_id=body.terms_id))

    return Act(work, status=201)


# What is sold.


@routes.get("/products", answer=shapes.Product, is_list=True)
def products(context: Context, paging: Paging) -> Page:
    """What plans sell."""
    with context.looking() as store:
        found = reads.products(store, context.scope, after=paging.after, limit=paging.limit)
    return listed("product", found)


@routes.get("/products/{product_id}", answer=shapes.Product, subject="unknown_product")
def product(context: Context, product_id: Id) -> dict[str, Any] | None:
    """One product."""
    with context.looking() as store:
        return resource("product", reads.product(store, context.scope, product_id=product_id))


@routes.post("/products", answer=shapes.Product, status=201)
def create_product(context: Context, body: shapes.NewProduct) -> Act:
    """Make a product."""
    return _made(
        context,
        "product",
        "products",
        "product_id",
        lambda store, at: acts.create_product(store, at, **body.given()),
        lambda store: reads.product(store, context.scope, product_id=body.product_id),
    )


@routes.get("/skus", answer=shapes.Sku, is_list=True)
def skus(context: Context, paging: Paging, product_id: Id | None = None) -> Page:
    """Goods and the units they are ordered in."""
    with context.looking() as store:
        found = reads.skus(
            store, context.scope, after=paging.after, limit=paging.limit, product_id=product_id
        )
    return listed("sku", found)


@routes.get("/skus/{sku_id}", answer=shapes.Sku, subject="unknown_sku")
def sku(context: Context, sku_id: Id) -> dict[str, Any] | None:
    """One kind of goods."""
    with context.looking() as store:
        return resource("sku", reads.sku(store, context.scope, sku_id=sku_id))


@routes.post("/skus", answer=shapes.Sku, status=201)
def create_sku(context: Context, body: shapes.NewSku) -> Act:
    """Make goods to sell."""
    return _made(
        context,
        "sku",
        "skus",
        "sku_id",
        lambda store, at: goods.create_sku(store, at, **body.given()),
        lambda store: reads.sku(store, context.scope, sku_id=body.sku_id),
    )


@routes.get("/meters", answer=shapes.Meter, is_list=True)
def meters(context: Context, paging: Paging) -> Page:
    """What usage is counted in."""
    with context.looking() as store:
        found = reads.meters(store, context.scope, after=paging.after, limit=paging.limit)
    return listed("meter", found)


@routes.get("/meters/{meter_id}", answer=shapes.Meter, subject="unknown_meter")
def meter(context: Context, meter_id: Id) -> dict[str, Any] | None:
    """One meter."""
    with context.looking() as store:
        return resource("meter", reads.meter(store, context.scope, meter_id=meter_id))


@routes.post("/meters", answer=shapes.Meter, status=201)
def create_meter(context: Context, body: shapes.NewMeter) -> Act:
    """Make a meter."""
    return _made(
        context,
        "meter",
        "meters",
        "meter_id",
        lambda store, at: acts.create_meter(store, at, **body.given()),
        lambda store: reads.meter(store, context.scope, meter_id=body.meter_id),
    )


@routes.get("/plans", answer=shapes.Plan, is_list=True)
def plans(
    context: Context, paging: Paging, product_id: Id | None = None, is_add_on: bool | None = None
) -> Page:
    """Plans with the number of their newest version."""
    with context.looking() as store:
        found = reads.plans(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            product_id=product_id,
            is_add_on=is_add_on,
        )
    return listed("plan", found)


@routes.get("/plans/{plan_id}", answer=shapes.Plan, subject="unknown_plan", expands=("current",))
def plan(context: Context, plan_id: Id) -> dict[str, Any] | None:
    """One plan. `current`: its newest version."""
    with context.looking() as store:
        found = resource("plan", reads.plan(store, context.scope, plan_id=plan_id))
        if found is not None and "current" in context.expand:
            number = found["version"]
            found["current"] = None if number is None else _version(store, context, plan_id, number)
    return found


def _version(store: Store, context: Context, plan_id: str, number: int) -> dict[str, Any] | None:
    found = reads.version_of(store, context.scope, plan_id=plan_id, version=number)
    return resource("plan_version", found)


@routes.post("/plans", answer=shapes.Plan, status=201)
def create_plan(context: Context, body: shapes.NewPlan) -> Act:
    """Make a plan, still without a version."""
    return _made(
        context,
        "plan",
        "plans",
        "plan_id",
        lambda store, at: acts.create_plan(store, at, **body.given()),
        lambda store: reads.plan(store, context.scope, plan_id=body.plan_id),
    )


@routes.get("/plans/{plan_id}/versions", answer=shapes.PlanVersion, is_list=True, subject="unknown_plan")
def plan_versions(context: Context, paging: Paging, plan_id: Id) -> Page | None:
    """The versions of a plan, the newest first."""
    with context.looking() as store:
        if reads.plan(store, context.scope, plan_id=plan_id) is None:
            return None
        found = reads.plan_versions(
            store, context.scope, plan_id=plan_id, after=paging.after, limit=paging.limit
        )
    return listed("plan_version", found)


@routes.post("/plans/{plan_id}/versions", answer=shapes.PlanVersion, status=201, subject="unknown_plan")
def publish_plan_version(context: Context, plan_id: Id, body: shapes.NewPlanVersion) -> Act:
    """Publish the next version of a plan."""
    merchants(context)
    parts = [acts.NewComponent(**one.given()) for one in body.components]
    amounts: dict[str, list[str]] = {}
    for one in body.thresholds:
        amounts.setdefault(one.currency, []).append(format_minor(one.amount_minor, one.currency))

    def work(store: Store, at: datetime) -> object:
        new = acts.publish_plan_version(
            store,
            at,
            plan_id=plan_id,
            interval=body.interval,
            components=parts,
            in_advance=body.in_advance,
            thresholds=amounts or None,
        )
        return _version(store, context, plan_id, new.version)

    return Act(work, status=201)


# What it costs.


@routes.get("/price-lists", answer=shapes.PriceList, is_list=True)
def price_lists(
    context: Context,
    paging: Paging,
    level: shapes.Level | None = None,
    owner_id: Id | None = None,
    currency: Currency | None = None,
) -> Page:
    """Price lists: general ones, and those of a group, a customer or a contract."""
    with context.looking() as store:
        found = reads.price_lists(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            level=level,
            owner_id=owner_id,
            currency=currency,
        )
    return listed("price_list", found)


@routes.get("/price-lists/{list_id}", answer=shapes.PriceList, subject="no_price")
def price_list(context: Context, list_id: Id) -> dict[str, Any] | None:
    """One price list."""
    with context.looking() as store:
        return resource("price_list", reads.price_list(store, context.scope, list_id=list_id))


@routes.post("/price-lists", answer=shapes.PriceList, status=201)
def create_price_list(context: Context, body: shapes.NewPriceList) -> Act:
    """Publish a price list, with its prices or still without."""
    given = body.given() | {"prices": _prices(body.prices, body.currency)}
    return _made(
        context,
        "price_list",
        "price-lists",
        "list_id",
        lambda store, at: acts.create_price_list(store, at, **given),
        lambda store: reads.price_list(store, context.scope, list_id=body.list_id),
    )


def _prices(given: Sequence[shapes.NewPrice], currency: str) -> list[acts.NewPrice]:
    """Prices as the catalogue takes them: amounts of a period as decimal text."""
    found = []
    for one in given:
        terms = one.given() | {"tiers": tuple(acts.NewTier(**tier.given()) for tier in one.tiers)}
        for name in ("minimum_spend", "maximum_spend"):
            minor = terms.pop(f"{name}_minor", None)
            terms[name] = None if minor is None else format_minor(minor, currency)
        found.append(acts.NewPrice(**terms))
    return found


@routes.get("/price-lists/{list_id}/prices", answer=shapes.Price, is_list=True, subject="no_price")
def prices_of_list(context: Context, paging: Paging, list_id: Id) -> Page | None:
    """The prices of a list."""
    with context.looking() as store:
        if reads.price_list(store, context.scope, list_id=list_id) is None:
            return None
        found = reads.prices(store, context.scope, after=paging.after, limit=paging.limit, list_id=list_id)
    return listed("price", found)


@routes.post("/price-lists/{list_id}/prices", status=204, subject="no_price")
def add_prices(context: Context, list_id: Id, body: shapes.NewPrices) -> Act:
    """Add prices to a list, one for a component and quantity."""
    with context.looking() as store:
        known = reads.price_list(store, context.scope, list_id=list_id)
    if known is None:
        raise BillingError("no_price", f"there is no price list {list_id}")
    merchants(context)
    new = _prices(body.prices, known["currency"])

    def work(store: Store, at: datetime) -> None:
        acts.add_prices(store, at, list_id=list_id, prices=new)

    return Act(work)


@routes.get("/prices", answer=shapes.Price, is_list=True)
def prices(context: Context, paging: Paging, component_id: Id) -> Page:
    """The prices of a component in all lists."""
    with context.looking() as store:
        found = reads.prices(
            store, context.scope, after=paging.after, limit=paging.limit, component_id=component_id
        )
    return listed("price", found)


@routes.get("/prices/{price_id}", answer=shapes.Price, subject="no_price")
def price(context: Context, price_id: Id) -> dict[str, Any] | None:
    """One price, in the words it was published in."""
    with context.looking() as store:
        found = reads.price(store, context.scope, price_id=price_id)
    return None if found is None else resource("price", found.terms)


@routes.post("/prices/{price_id}/try", answer=shapes.Tried, subject="no_price", scope="catalog:read")
def try_price(context: Context, price_id: Id, body: shapes.TriedQuantity) -> Act:
    """What a quantity would cost under a price, before minimum, maximum and discounts. Nothing is written."""

    def work(store: Store, _at: datetime) -> object:
        found = reads.try_price(store, context.scope, price_id=price_id, quantity=body.quantity)
        return resource("tried_price", found)

    return Act(work)


@routes.post("/price-quotes", answer=shapes.PriceQuote, scope="catalog:read")
def quote(context: Context, body: shapes.QuoteWanted) -> dict[str, Any] | None:
    """What a plan would cost a customer on a day, and why other prices were not taken. Nothing is written."""
    owned(context, body.customer_id, "customer_id")
    with context.rehearsing() as (store, at):
        return resource("price_quote", offers.quote(store, at, context.scope, **body.given()))


# Reductions, campaigns, indexes, policies.


@routes.get("/discounts", answer=shapes.Discount, is_list=True)
def discounts(context: Context, paging: Paging) -> Page:
    """Discounts that can be given; of a customer those it was given."""
    with context.looking() as store:
        found = reads.discounts(store, context.scope, after=paging.after, limit=paging.limit)
    return listed("discount", found)


@routes.get("/discounts/{discount_id}", answer=shapes.Discount, subject="unknown_discount")
def discount(context: Context, discount_id: Id) -> dict[str, Any] | None:
    """One discount."""
    with context.looking() as store:
        return resource("discount", reads.discount(store, context.scope, discount_id=discount_id))


@routes.post("/discounts", answer=shapes.Discount, status=201)
def create_discount(context: Context, body: shapes.NewDiscount) -> Act:
    """Make a discount."""
    given = body.given()
    minor = given.pop("amount_minor", None)
    if minor is not None and body.currency is not None:
        given["amount"] = format_minor(minor, body.currency)
    elif minor is not None:
        raise BillingError("bad_rate", "an amount has its currency", field="currency")
    return _made(
        context,
        "discount",
        "discounts",
        "discount_id",
        lambda store, at: discount_acts.create_discount(store, at, **given),
        lambda store: reads.discount(store, context.scope, discount_id=body.discount_id),
    )


@routes.get("/campaigns", answer=shapes.Campaign, is_list=True)
def campaigns(context: Context, paging: Paging) -> Page:
    """Campaigns that chase overdue money."""
    with context.looking() as store:
        found = reads.campaigns(store, context.scope, after=paging.after, limit=paging.limit)
    return listed("campaign", found)


@routes.post("/campaigns", answer=shapes.Campaign, status=201)
def create_campaign(context: Context, body: shapes.NewCampaign) -> Act:
    """Make a campaign."""
    merchants(context)
    given = body.given()
    given["thresholds"] = {
        one.currency: format_minor(one.threshold_minor, one.currency) for one in body.thresholds
    }

    def work(store: Store, at: datetime) -> object:
        campaign_id = campaign_acts.create_campaign(store, at, **given)
        return resource("campaign", reads.campaign(store, context.scope, campaign_id=campaign_id))

    return Act(work, status=201)


@routes.get("/index-values", answer=shapes.IndexValue, is_list=True)
def index_values(context: Context, paging: Paging, index_id: Id | None = None) -> Page:
    """Values of indexes that prices follow."""
    with context.looking() as store:
        found = reads.index_values(
            store, context.scope, after=paging.after, limit=paging.limit, index_id=index_id
        )
    return listed("index_value", found)


@routes.post("/index-values", status=204)
def publish_index_value(context: Context, body: shapes.NewIndexValue) -> Act:
    """Publish a value of an index for a month; a later one revises it."""
    merchants(context)

    def work(store: Store, at: datetime) -> None:
        index_clauses.publish_index_value(store, at, **body.given())

    return Act(work)


@routes.get("/policies", answer=shapes.Policy, is_list=True, scope="catalog:admin")
def policies(context: Context, paging: Paging, name: Id | None = None) -> Page:
    """Versions of the policies of billing."""
    with context.looking() as store:
        found = reads.policies(store, context.scope, after=paging.after, limit=paging.limit, name=name)
    return listed("policy", found)


@routes.post("/policies", answer=shapes.Policy, status=201, scope="catalog:admin")
def set_policy(context: Context, body: shapes.NewPolicy) -> Act:
    """Publish a version of a policy: the one before with some settings changed."""
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        new = policy_acts.set_policy(store, at, **body.given())
        found = reads.policy(store, context.scope, name=new.name, version=new.version)
        return resource("policy", found)

    return Act(work, status=201)
