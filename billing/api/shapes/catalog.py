"""What is sold and at what price, as it comes in and goes out."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from billing.api.shapes.base import Answer, Body, Country, Currency, Day, Decimal, Id, Minor, Text
from billing.api.shapes.changes import Changes
from billing.api.shapes.customers import Address as Address
from billing.api.shapes.customers import Email, NewId

Count = Annotated[int, Field(ge=0, le=10**15)]
Ppm = Annotated[int, Field(ge=0, le=1_000_000)]
Category = Literal["standard", "reduced", "zero"]
Level = Literal["contract", "customer", "group", "list"]


def _example(**members: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [members]})


# Who sells, and on what terms.


class NewLegalEntity(Body):
    model_config = _example(entity_id="seller-fr", name="Seller SARL", country="FR")

    entity_id: NewId
    name: Text
    country: Country
    tax_number: Text | None = None


class LegalEntityChanges(Changes):
    """What documents print of a seller besides its name, tax number and address."""

    example: ClassVar[dict[str, Any]] = {"iban": "DE89 3704 0044 0532 0130 00"}

    registration: Text | None = None
    email: Email | None = None
    bank_name: Text | None = None
    iban: Annotated[str, Field(max_length=64)] | None = None
    bic: Annotated[str, Field(max_length=11, pattern=r"^[A-Z0-9]{8}([A-Z0-9]{3})?$")] | None = None


class LegalEntity(Answer):
    object: Literal["legal_entity"]
    entity_id: str
    name: str
    country: str
    tax_number: str | None
    registration: str | None
    email: str | None
    bank_name: str | None
    iban: str | None
    bic: str | None
    recorded_at: datetime
    changed_at: datetime


class NewSellerAddress(Body):
    model_config = _example(lines=["Hof 3"], city="Kiel", country="DE", valid_from="2026-01-01")

    lines: Annotated[list[Text], Field(min_length=1, max_length=10)]
    city: Text
    country: Country
    valid_from: Day
    postal_code: Annotated[str, Field(max_length=32, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    region: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""


class NewTaxRate(Body):
    model_config = _example(country="FR", tax_rate_ppm=200_000, valid_from="2026-01-01")

    country: Country
    tax_rate_ppm: Ppm
    valid_from: Day
    tax_code: Text = "standard"
    category: Category = "standard"


class TaxRate(Answer):
    object: Literal["tax_rate"]
    country: str
    tax_code: str
    category: str
    valid_from: date
    tax_rate_ppm: int
    recorded_at: datetime


class NewPaymentTerms(Body):
    model_config = _example(terms_id="net30", net_days=30)

    terms_id: NewId
    net_days: Annotated[int, Field(ge=0, le=3650)]
    end_of_month: bool = False
    discount_ppm: Annotated[int, Field(ge=0, lt=1_000_000)] = 0
    discount_days: Annotated[int, Field(ge=0, le=3650)] = 0


class PaymentTerms(Answer):
    object: Literal["payment_terms"]
    terms_id: str
    net_days: int
    end_of_month: bool
    discount_ppm: int
    discount_days: int
    recorded_at: datetime


# What is sold.


class NewProduct(Body):
    model_config = _example(product_id="coffee", name="Coffee")

    product_id: NewId
    name: Text
    tax_code: Text = "standard"
    category: Category = "standard"


class Product(Answer):
    object: Literal["product"]
    product_id: str
    name: str
    tax_code: str
    category: str
    recorded_at: datetime


class NewSku(Body):
    model_config = _example(
        sku_id="beans", product_id="goods", name="Beans", base_unit="bag", units={"case": 12}
    )

    sku_id: NewId
    product_id: Id
    name: Text
    base_unit: Text
    units: Annotated[dict[Text, Count], Field(max_length=50)] | None = None
    minimum_quantity: Count = 0
    order_multiple: Count = 0
    successor_sku_id: Id | None = None


class Sku(Answer):
    """Goods. `units`: how many base units each unit holds."""

    object: Literal["sku"]
    sku_id: str
    product_id: str
    name: str
    base_unit: str
    minimum_quantity: int
    order_multiple: int
    successor_sku_id: str | None
    units: dict[str, int]
    recorded_at: datetime


class NewMeter(Body):
    model_config = _example(meter_id="minutes", name="Minutes", unit="minute")

    meter_id: NewId
    name: Text
    aggregation: Literal["sum", "count", "max", "latest", "unique_count", "weighted_sum"] = "sum"
    scale: Annotated[int, Field(ge=0, le=12)] = 0
    unit: Text = "unit"
    is_recurring: bool = False
    grain: Literal["second", "hour"] = "second"


class Meter(Answer):
    object: Literal["meter"]
    meter_id: str
    name: str
    aggregation: str
    scale: int
    unit: str
    is_recurring: bool
    grain: str
    recorded_at: datetime


class NewPlan(Body):
    model_config = _example(plan_id="premium", name="Premium", product_id="goods")

    plan_id: NewId
    name: Text
    product_id: Id
    tier: Text | None = None
    is_add_on: bool = False


class Plan(Answer):
    """`version`: the newest that is published; null before the first."""

    object: Literal["plan"]
    plan_id: str
    product_id: str
    name: str
    tier: str | None
    is_add_on: bool
    version: int | None
    recorded_at: datetime
    changed_at: datetime


class NewComponent(Body):
    """fee: once an item; seat: each unit; usage: of a meter. `bundle`: the name of the component whose price
    covers this one, by its share."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
    kind: Literal["fee", "seat", "usage"]
    meter_id: Id | None = None
    component_id: NewId | None = None
    sku_id: Id | None = None
    bundle: Text | None = None
    bundle_share_ppm: Ppm = 0


class Threshold(Body):
    """Usage of a running period is billed early once it costs this much before tax."""

    currency: Currency
    amount_minor: Minor


class NewPlanVersion(Body):
    model_config = _example(interval="P1M", components=[{"name": "fee", "kind": "fee"}])

    interval: Annotated[str, Field(max_length=10)]
    components: Annotated[list[NewComponent], Field(min_length=1, max_length=200)]
    in_advance: bool = True
    thresholds: Annotated[tuple[Threshold, ...], Field(max_length=200, strict=False)] = ()


class Component(Answer):
    component_id: str
    position: int
    name: str
    kind: str
    meter_id: str | None
    sku_id: str | None
    bundle_id: str | None
    bundle_share_ppm: int | None


class PlanVersion(Answer):
    object: Literal["plan_version"]
    plan_id: str
    version: int
    interval: str
    in_advance: bool
    components: list[Component]
    thresholds: list[dict[str, Any]]
    recorded_at: datetime


# What it costs.


class NewTier(Body):
    """`up_to` whole units, inclusive, null for the open last; a tier of blocks has `size` and `max_blocks`
    instead. Prices are decimal text in major units."""

    up_to: Count | None = None
    unit: Decimal = "0"
    flat: Decimal = "0"
    rate_percent: Decimal | None = None
    size: Count | None = None
    max_blocks: Count | None = None


Model = Literal[
    "flat",
    "per_unit",
    "package",
    "graduated",
    "volume",
    "graduated_percentage",
    "tiered_block",
    "percentage",
    "dynamic",
]


class NewPrice(Body):
    """The price of a component. Unit prices are decimal text in major units, rates in percent; what a period
    costs at least and at most is in minor units."""

    component_id: Id
    model: Model
    price: Decimal | None = None
    tiers: Annotated[tuple[NewTier, ...], Field(max_length=200, strict=False)] = ()
    package_size: Count | None = None
    free_units: Count = 0
    partial_package: Literal["up", "down"] = "up"
    block_policy: Literal["all_tiers", "top_tier"] = "all_tiers"
    rate_percent: Decimal | None = None
    fee_per_event: Decimal | None = None
    free_events: Count | None = None
    free_amount: Decimal | None = None
    min_per_event: Decimal | None = None
    max_per_event: Decimal | None = None
    minimum_spend_minor: Minor | None = None
    maximum_spend_minor: Minor | None = None
    window: Literal["hour", "day", "month"] | None = None
    window_commitment: Decimal | None = None
    overage_factor: Decimal = "1"
    window_true_up: bool = True
    prorate: Literal["none", "day"] = "none"
    in_advance: bool = False
    price_id: NewId | None = None
    quantity_from: Count = 0


class NewPriceList(Body):
    model_config = _example(
        list_id="summer",
        name="Summer",
        currency="EUR",
        valid_start="2026-06-01",
        prices=[{"component_id": "basic.1.fee", "model": "flat", "price": "9.50"}],
    )

    list_id: NewId
    name: Text
    currency: Currency
    valid_start: Day
    valid_end: Day | None = None
    level: Level = "list"
    owner_id: Id | None = None
    prices: Annotated[tuple[NewPrice, ...], Field(max_length=1000, strict=False)] = ()


class NewPrices(Body):
    model_config = _example(
        prices=[
            {
                "component_id": "basic.1.seats",
                "model": "graduated",
                "tiers": [{"up_to": 10, "unit": "5"}, {"unit": "4"}],
            }
        ]
    )

    prices: Annotated[list[NewPrice], Field(min_length=1, max_length=1000)]


class PriceList(Answer):
    object: Literal["price_list"]
    list_id: str
    name: str
    level: str
    owner_id: str | None
    currency: str
    valid_start: date
    valid_end: date | None
    recorded_at: datetime


class Tier(Answer):
    up_to: int | None
    unit: str | None
    rate_percent: str | None
    flat: str
    size: int | None
    max_blocks: int | None


class Price(Answer):
    """A price in the words it was published in."""

    object: Literal["price"]
    price_id: str
    list_id: str
    component_id: str
    model: Model
    currency: str
    price: str | None
    rate_percent: str | None
    tiers: list[Tier]
    package_size: int | None
    free_units: int
    partial_package: str
    block_policy: str
    free_events: int | None
    fee_per_event: str | None
    free_amount: str | None
    min_per_event: str | None
    max_per_event: str | None
    window_commitment: str | None
    minimum_spend_minor: int | None
    maximum_spend_minor: int | None
    quantity_from: int
    window: str | None
    overage_factor: str
    window_true_up: bool
    prorate: str
    in_advance: bool
    recorded_at: datetime


class TriedQuantity(Body):
    model_config = _example(quantity="12")

    quantity: Decimal


class Step(Answer):
    """What one tier adds, exactly, in major units."""

    first: int
    last: int | None
    units: str | None
    unit_price: str
    flat_fee: str
    amount: str


class Tried(Answer):
    """What a quantity costs: exact in major units, posted in minor units."""

    object: Literal["tried_price"]
    quantity: str
    exact: str
    posted_minor: int
    currency: str
    steps: list[Step]


class QuoteWanted(Body):
    """What a plan would cost a customer on a day: all its prices, chosen as an order would choose them."""

    model_config = _example(customer_id="anna", plan_id="basic", quantity="3")

    customer_id: Id
    plan_id: Id
    version: Annotated[int, Field(ge=1, le=100_000)] | None = None
    contract_id: Id | None = None
    on: Day | None = None
    quantity: Decimal = "1"


class PriceQuote(Answer):
    """`components`: what each costs by itself; `not_taken`: the prices that lost, and why."""

    object: Literal["price_quote"]
    customer_id: str
    plan_id: str
    version: int
    currency: str
    on: date
    quantity: str
    components: list[dict[str, Any]]
    not_taken: list[dict[str, Any]]


# Reductions, campaigns, indexes, policies.


class NewDiscount(Body):
    """Either a share in parts per million, or an amount with its currency."""

    model_config = _example(discount_id="spring", name="Spring", discount_ppm=100_000)

    discount_id: NewId
    name: Text
    discount_ppm: Ppm | None = None
    amount_minor: Minor | None = None
    currency: Currency | None = None
    scope: Literal["item", "document"] = "item"
    times: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    valid_start: Day | None = None
    valid_end: Day | None = None


class Discount(Answer):
    object: Literal["discount"]
    discount_id: str
    name: str
    scope: str
    discount_ppm: int | None
    amount_minor: int | None
    currency: str | None
    times: int | None
    valid_start: date
    valid_end: date | None
    recorded_at: datetime


class CampaignThreshold(Body):
    currency: Currency
    threshold_minor: Minor


class NewCampaign(Body):
    model_config = _example(
        name="Small debts",
        thresholds=[{"currency": "EUR", "threshold_minor": 5000}],
        max_attempts=3,
        days_between=7,
    )

    name: Text
    thresholds: Annotated[list[CampaignThreshold], Field(min_length=1, max_length=200)]
    max_attempts: Annotated[int, Field(ge=1, le=1000)]
    days_between: Annotated[int, Field(ge=0, le=3650)]
    campaign_id: NewId | None = None


class Campaign(Answer):
    object: Literal["campaign"]
    campaign_id: str
    name: str
    max_attempts: int
    days_between: int
    thresholds: list[dict[str, Any]]
    recorded_at: datetime


class NewIndexValue(Body):
    model_config = _example(index_id="cpi", month="2026-01-01", value="121.4", published_on="2026-02-14")

    index_id: NewId
    month: Day
    value: Decimal
    published_on: Day


class IndexValue(Answer):
    object: Literal["index_value"]
    index_id: str
    month: date
    published_on: date
    value: str
    recorded_at: datetime


Setting = Annotated[str, Field(max_length=64)] | Annotated[int, Field(ge=0, le=1200)]


class NewPolicy(Body):
    """A version of a policy: the one before with some settings changed."""

    model_config = _example(name="strict", valid_from="2026-01-01", settings={"grace_days": 3})

    valid_from: Day
    settings: Annotated[dict[Annotated[str, Field(max_length=64)], Setting], Field(max_length=100)]
    name: NewId = "default"


class Policy(Answer):
    """A version of a policy; its settings are members of it."""

    object: Literal["policy"]
    name: str
    version: int
    valid_from: date
    recorded_at: datetime
