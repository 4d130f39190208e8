"""The objects of a Stripe export as values: what is read of each kind, and the rules that set one aside.

Shapes of several API versions mean the same here: a current period on the subscription or on its items, a
price or a legacy plan, a discount or a list of them, a coupon inside a discount or under its source, taxes
and prices of a line by their old or new names. What follows from the objects is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from pipelines.sources.columns import QUANTITY_DIGITS
from pipelines.sources.stripe_fields import (
    Body,
    Reader,
    Refused,
    amount,
    decimal,
    flag,
    key,
    known_interval,
    part,
    parts,
    reference,
    text,
    whole,
    word,
)

STATUSES = (
    "trialing",
    "active",
    "past_due",
    "unpaid",
    "incomplete",
    "incomplete_expired",
    "canceled",
    "paused",
)
INVOICE_STATUSES = ("draft", "open", "paid", "void", "uncollectible")
DURATIONS = ("once", "repeating", "forever")


@dataclass(frozen=True)
class Customer:
    customer_id: str
    created_on: date
    currency: str | None
    metadata: Body
    is_live: bool | None
    has_test_clock: bool


@dataclass(frozen=True)
class Product:
    product_id: str
    name: str | None


@dataclass(frozen=True)
class Tier:
    """Units up to `up_to` (None: all) cost `unit` each, and `flat` once, in minor units."""

    up_to: Decimal | None
    unit: Decimal
    flat: Decimal


@dataclass(frozen=True)
class Price:
    """What a unit costs per interval, in minor units; `unit` is None where tiers decide. A price without an
    interval is charged once. `mode` is graduated or volume."""

    price_id: str
    product: Product | None
    nickname: str | None
    currency: str
    unit: Decimal | None
    interval: str | None
    interval_count: int
    is_metered: bool
    mode: str | None
    tiers: tuple[Tier, ...]
    divide_by: int | None
    rounds_up: bool
    created_on: date | None

    @property
    def plan_id(self) -> str:
        return self.product.product_id if self.product else self.price_id

    def recurring(self, quantity: Decimal) -> Fraction | None:
        """The amount of one interval for the whole quantity, not rounded; None where only invoices tell it.

        Metered use is no recurring amount.
        """
        if self.is_metered:
            return Fraction(0)
        if self.unit is not None:
            return Fraction(self.unit) * self._units(quantity)
        if not self.tiers:
            return None
        return self._tiered(Fraction(quantity))

    def _units(self, quantity: Decimal) -> Fraction:
        if self.divide_by is None:
            return Fraction(quantity)
        units = Fraction(quantity) / self.divide_by
        return Fraction(-(-units.numerator // units.denominator) if self.rounds_up else int(units))

    def _tiered(self, quantity: Fraction) -> Fraction | None:
        total, floor = Fraction(0), Fraction(0)
        for number, tier in enumerate(self.tiers):
            is_last = tier.up_to is None or quantity <= Fraction(tier.up_to)
            if self.mode == "volume" and is_last:
                return quantity * Fraction(tier.unit) + Fraction(tier.flat)
            if self.mode != "volume":
                ceiling = quantity if tier.up_to is None else min(quantity, Fraction(tier.up_to))
                if ceiling > floor or number == 0:
                    total += (ceiling - floor) * Fraction(tier.unit) + Fraction(tier.flat)
                if is_last:
                    return total
                floor = ceiling
        return None


@dataclass(frozen=True)
class Coupon:
    coupon_id: str
    percent_ppm: int | None
    amount_off: int | None
    currency: str | None
    duration: str
    months: int | None
    products: tuple[str, ...]


@dataclass(frozen=True)
class Discount:
    """A coupon given to a customer, a subscription or an item, from one day to another."""

    discount_id: str
    coupon: Coupon | None
    coupon_id: str | None
    starts_on: date | None
    ends_on: date | None
    customer_id: str | None
    subscription_id: str | None
    item_id: str | None
    is_of_invoice: bool


@dataclass(frozen=True)
class Item:
    item_id: str
    subscription_id: str | None
    price: Price
    quantity: Decimal
    created_on: date | None
    period_start: date | None
    period_end: date | None
    discounts: tuple[Discount | str, ...]


@dataclass(frozen=True)
class Subscription:
    """A subscription as one object tells it: its state at one time, with the days that it names."""

    subscription_id: str
    customer_id: str
    status: str
    created_on: date
    starts_on: date
    trial_start: date | None
    trial_end: date | None
    ends_on: date | None
    canceled_on: date | None
    reason: str | None
    feedback: str | None
    is_collection_paused: bool
    resumes_on: date | None
    period_start: date | None
    period_end: date | None
    auto_renews: bool
    items: tuple[Item, ...]
    discounts: tuple[Discount | str, ...]


@dataclass(frozen=True)
class Line:
    """A line of an invoice; net is what is owed for it without tax, after discounts."""

    line_id: str
    invoice_id: str
    subscription_id: str | None
    item_id: str | None
    price_id: str | None
    price: Price | None
    kind: str
    amount: int
    quantity: Decimal | None
    starts_on: date | None
    ends_on: date | None
    discounts: tuple[tuple[str | None, int], ...]
    tax_minor: int
    inclusive_tax_minor: int
    has_taxes: bool
    given: tuple[Discount, ...]

    @property
    def discount_minor(self) -> int:
        return sum(minor for _, minor in self.discounts)

    @property
    def net_minor(self) -> int:
        return self.amount - self.discount_minor - self.inclusive_tax_minor


def customer(body: Body, read: Reader) -> Customer:
    return Customer(
        key(body),
        read.day(read.created(body)),
        read.currency(body) if body.get("currency") is not None else None,
        part(body, "metadata"),
        flag(body, "livemode") if "livemode" in body else None,
        body.get("test_clock") is not None,
    )


def product(body: Body, read: Reader) -> Product:
    return Product(key(body), text(body, "name"))


def price(body: Body, read: Reader) -> Price:
    """A price, or a plan as it was called before."""
    written = str(body)
    found: Price | None = read.read_before.get(written)
    if found is None:
        found = read.read_before[written] = _price(body, read)
    return found


def _price(body: Body, read: Reader) -> Price:
    is_plan = "recurring" not in body and ("interval" in body or "amount" in body or "amount_decimal" in body)
    terms = body if is_plan else part(body, "recurring")
    within = "" if is_plan else "recurring."
    price_id = key(body)
    currency = read.currency(body)
    unit = _unit_amount(body, "amount" if is_plan else "unit_amount")
    is_recurring = is_plan or body.get("type") == "recurring" or bool(terms)
    interval, count = known_interval(terms, within) if is_recurring else (None, 1)
    usage = word(terms, "usage_type", ("licensed", "metered"), within)
    transform = part(body, "transform_usage" if is_plan else "transform_quantity")
    divide_by = whole(transform, "divide_by", "transform_quantity.")
    if divide_by is not None and divide_by <= 0:
        raise Refused("bad_amount", "transform_quantity.divide_by")
    product_id = reference(body, "product")
    named = text(part(body, "product"), "name")
    return Price(
        price_id,
        Product(product_id, named) if product_id else None,
        text(body, "nickname"),
        currency,
        None if body.get("billing_scheme") == "tiered" else unit,
        interval,
        count,
        usage == "metered",
        word(body, "tiers_mode", ("graduated", "volume")),
        tuple(_tier(one, number) for number, one in enumerate(parts(body, "tiers"))),
        divide_by,
        transform.get("round") == "up",
        read.optional_day(body, "created"),
    )


def _unit_amount(body: Body, field: str, within: str = "") -> Decimal | None:
    """The exact amount where it is given, else the whole one."""
    exact = decimal(body, f"{field}_decimal", within)
    value = exact if exact is not None else decimal(body, field, within)
    if value is not None and value < 0:
        raise Refused("negative_amount", within + field)
    return value


def _tier(body: Body, number: int) -> Tier:
    within = f"tiers.{number}."
    up_to = None if body.get("up_to") in (None, "inf") else decimal(body, "up_to", within)
    zero = Decimal(0)
    unit, flat = _unit_amount(body, "unit_amount", within), _unit_amount(body, "flat_amount", within)
    return Tier(up_to, unit if unit is not None else zero, flat if flat is not None else zero)


def coupon(body: Body, read: Reader) -> Coupon:
    coupon_id = key(body)
    duration = word(body, "duration", DURATIONS)
    if duration is None:
        raise Refused("unknown_value", "duration")
    percent, taken = decimal(body, "percent_off"), whole(body, "amount_off")
    if percent is None and taken is None:
        raise Refused("bad_amount", "percent_off")
    ppm = None if percent is None else percent * 10_000
    if ppm is not None and (ppm != ppm.to_integral_value() or not 0 < ppm <= 1_000_000):
        raise Refused("bad_amount", "percent_off")
    if taken is not None and taken < 0:
        raise Refused("negative_amount", "amount_off")
    months = whole(body, "duration_in_months")
    if duration == "repeating" and (months is None or not 1 <= months <= 1200):
        raise Refused("unknown_interval", "duration_in_months")
    return Coupon(
        coupon_id,
        None if ppm is None else int(ppm),
        taken if ppm is None else None,
        read.currency(body) if ppm is None else None,
        duration,
        months if duration == "repeating" else None,
        tuple(str(one) for one in parts(part(body, "applies_to"), "products")),
    )


def discount(body: Body, read: Reader) -> Discount:
    place = body if body.get("coupon") is not None else part(body, "source")
    inside = part(place, "coupon")
    starts_on, ends_on = read.optional_day(body, "start"), read.optional_day(body, "end")
    if starts_on and ends_on and ends_on < starts_on:
        raise Refused("empty_range", "end")
    return Discount(
        key(body),
        coupon(inside, read) if inside.get("duration") is not None else None,
        reference(place, "coupon"),
        starts_on,
        ends_on,
        reference(body, "customer"),
        reference(body, "subscription"),
        reference(body, "subscription_item"),
        reference(body, "invoice") is not None,
    )


def discounts(body: Body, read: Reader) -> tuple[Discount | str, ...]:
    """The discounts that an object names: whole ones, and ids of those that are told elsewhere."""
    named = [*parts(body, "discounts")]
    if body.get("discount") is not None:
        named.append(body["discount"])
    found: list[Discount | str] = []
    for one in named:
        if isinstance(one, dict):
            found.append(discount(one, read))
        elif isinstance(one, str):
            found.append(one)
    return tuple(found)


def item(body: Body, read: Reader) -> Item:
    terms = part(body, "price") or part(body, "plan")
    if not terms:
        raise Refused("missing_key", "price")
    found = price(terms, read)
    if found.interval is None:
        raise Refused("unknown_interval", "price.recurring")
    quantity = decimal(body, "quantity")
    if quantity is not None and quantity < 0:
        raise Refused("negative_quantity", "quantity")
    if quantity is not None and quantity > 10**QUANTITY_DIGITS:
        raise Refused("too_large", "quantity")
    period_start = read.optional_day(body, "current_period_start")
    period_end = read.optional_day(body, "current_period_end")
    if period_start and period_end and period_end < period_start:
        raise Refused("empty_range", "current_period_end")
    return Item(
        key(body),
        reference(body, "subscription"),
        found,
        Decimal(1) if quantity is None else quantity,
        read.optional_day(body, "created"),
        period_start,
        period_end,
        discounts(body, read),
    )


def subscription(body: Body, read: Reader) -> Subscription:
    subscription_id = key(body)
    customer_id = key(body, "customer")
    status = word(body, "status", STATUSES)
    if status is None:
        raise Refused("unknown_value", "status")
    created_on = read.day(read.created(body))
    starts_on = read.optional_day(body, "start_date") or created_on
    trial_start = read.optional_day(body, "trial_start") or starts_on
    trial_end = read.optional_day(body, "trial_end")
    ended_on = read.optional_day(body, "ended_at")
    if ended_on and ended_on < starts_on:
        raise Refused("empty_range", "ended_at")
    items = tuple(item(one, read) for one in parts(body, "items") if isinstance(one, dict))
    if not items and part(body, "plan"):
        # before there were items, a subscription had one plan and its quantity
        named = f"{subscription_id}/{key(part(body, 'plan'))}"
        items = (item({"id": named, "plan": body["plan"], "quantity": body.get("quantity")}, read),)
    period_start = read.optional_day(body, "current_period_start") or _first(
        one.period_start for one in items
    )
    period_end = read.optional_day(body, "current_period_end") or _first(one.period_end for one in items)
    if period_start and period_end and period_end < period_start:
        raise Refused("empty_range", "current_period_end")
    cancels_on = read.optional_day(body, "cancel_at")
    if cancels_on is None and flag(body, "cancel_at_period_end"):
        cancels_on = period_end
    pause, details = body.get("pause_collection"), part(body, "cancellation_details")
    is_canceled = status in ("canceled", "incomplete_expired")
    canceled_on = read.optional_day(body, "canceled_at")
    return Subscription(
        subscription_id,
        customer_id,
        status,
        created_on,
        starts_on,
        trial_start if trial_end else None,
        trial_end if trial_end and trial_end > trial_start else None,
        (ended_on or canceled_on or period_end) if is_canceled else cancels_on,
        canceled_on,
        text(details, "reason"),
        text(details, "feedback"),
        isinstance(pause, dict) and pause.get("behavior") is not None,
        read.optional_day(part(body, "pause_collection"), "resumes_at", "pause_collection."),
        period_start,
        period_end,
        cancels_on is None and not is_canceled,
        items,
        discounts(body, read),
    )


def _first(days: Iterable[date | None]) -> date | None:
    return min((day for day in days if day is not None), default=None)


def line(body: Body, read: Reader, invoice_id: str | None = None) -> Line:
    parent = part(body, "parent")
    of_item, of_charge = part(parent, "subscription_item_details"), part(parent, "invoice_item_details")
    details = of_charge if parent.get("type") == "invoice_item_details" else of_item
    terms = part(body, "price") or part(body, "plan")
    found = price(terms, read) if terms.get("currency") is not None else None
    priced = part(part(body, "pricing"), "price_details")
    is_proration = flag(body if "proration" in body else details, "proration")
    told = body.get("type") or parent.get("type")
    is_subscription = told in ("subscription", "subscription_item_details") or (
        told is None and reference(body, "subscription_item") is not None
    )
    if is_proration:
        kind = "proration"
    elif not is_subscription:
        kind = "one_time"
    else:
        kind = "usage" if found is not None and found.is_metered else "recurring"
    starts_on = read.optional_day(part(body, "period"), "start", "period.")
    ends_on = read.optional_day(part(body, "period"), "end", "period.")
    if starts_on and ends_on and ends_on < starts_on:
        raise Refused("empty_range", "period.end")
    exact = decimal(body, "quantity_decimal")
    quantity = exact if exact is not None else decimal(body, "quantity")
    if quantity is not None and quantity < 0:
        raise Refused("negative_quantity", "quantity")
    if quantity is not None and quantity > 10**QUANTITY_DIGITS:
        raise Refused("too_large", "quantity")
    tax, inclusive, has_taxes = taxes(body)
    taken = [one for one in parts(body, "discount_amounts") if isinstance(one, dict)]
    given = [one.get("discount") for one in taken] + [*parts(body, "discounts")]
    has_item = is_subscription or is_proration
    return Line(
        key(body),
        invoice_id or key(body, "invoice"),
        reference(body, "subscription") or reference(details, "subscription"),
        (reference(body, "subscription_item") or reference(details, "subscription_item"))
        if has_item
        else None,
        found.price_id if found else reference(priced, "price"),
        found,
        kind,
        amount(body, "amount", is_signed=True),
        quantity,
        starts_on,
        ends_on,
        tuple(
            (reference(one, "discount"), amount(one, "amount", within="discount_amounts.")) for one in taken
        ),
        tax,
        inclusive,
        has_taxes,
        tuple(discount(one, read) for one in given if isinstance(one, dict) and one.get("id")),
    )


def taxes(body: Body) -> tuple[int, int, bool]:
    """All taxes of a line, those inside its amount, and whether it names any."""
    named = parts(body, "taxes") or parts(body, "tax_amounts")
    total = inclusive = 0
    for one in named:
        if isinstance(one, dict):
            tax = amount(one, "amount", is_signed=True, within="taxes.")
            total += tax
            inclusive += tax if one.get("inclusive") is True or one.get("tax_behavior") == "inclusive" else 0
    return total, inclusive, bool(named)
