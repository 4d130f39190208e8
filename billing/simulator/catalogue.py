"""What atlas sells: supply plans in three tiers, add-ons, metered refills, and their prices.

Amounts are in EUR, as decimal text; other currencies have them times LIST_RATES. What is sold is data here;
publishing it goes through the engine's acts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from billing.core.money import currency_exponent
from billing.service import catalog
from billing.service.goods import create_sku
from billing.simulator.population import CURRENCY, TIERS
from billing.store.store import Store

SELLER = ("atlas", "Atlas Supplies GmbH", "DE", "DE811234567")
NET_30, EARLY = "net-30", "2-10-net-30"
# What others pay of the general prices, by whose list it is.
LEVEL_FACTORS = {"group": Decimal("0.97"), "customer": Decimal("0.95"), "contract": Decimal("0.92")}
PRODUCT = ("supplies", "Consumables and refills")
METER = "refills"

# What an amount in EUR costs in the lists of another currency.
LIST_RATES = {CURRENCY: Decimal(1), "USD": Decimal("1.10"), "KWD": Decimal("0.33")}

# Standard rates of VAT in parts per million, by country.
TAX_RATES_PPM = {
    "DE": 190_000,
    "AT": 200_000,
    "BE": 210_000,
    "ES": 210_000,
    "FR": 200_000,
    "IT": 220_000,
    "NL": 210_000,
    "PL": 230_000,
}

PriceModel = Literal["flat", "per_unit", "graduated", "volume", "package"]
PLAN_NAMES = {"essential": "Essential Supply", "standard": "Standard Supply", "premium": "Premium Supply"}
YEARLY_SHARE = Decimal("0.95")  # a year paid in advance costs 12 months less 5 %


@dataclass(frozen=True)
class Tier:
    """Up to `up_to` units (None: open end) at `unit` each."""

    up_to: int | None
    unit: str


@dataclass(frozen=True)
class ComponentPrice:
    """One priced part of a plan. `kind`: fee, seat (per unit of the item's quantity) or usage (of METER)."""

    name: str
    kind: Literal["fee", "seat", "usage"]
    model: PriceModel
    price: str | None = None
    tiers: tuple[Tier, ...] = ()
    package_size: int | None = None

    def times(self, factor: Decimal, currency: str = CURRENCY) -> ComponentPrice:
        """The same part at prices times `factor`, in a currency: fees and seats to its minor unit, usage to
        the hundredth of that."""
        decimals = currency_exponent(currency) + (2 if self.kind == "usage" else 0)
        places = Decimal(1).scaleb(-decimals)
        factor *= LIST_RATES[currency]

        def changed(price: str) -> str:
            return str((Decimal(price) * factor).quantize(places, ROUND_HALF_UP))

        return replace(
            self,
            price=None if self.price is None else changed(self.price),
            tiers=tuple(Tier(tier.up_to, changed(tier.unit)) for tier in self.tiers),
        )


@dataclass(frozen=True)
class PlanOffer:
    """A plan with the prices of the world's first day."""

    plan_id: str
    name: str
    tier: str | None
    interval: str
    is_add_on: bool
    in_advance: bool
    components: tuple[ComponentPrice, ...]


_FEES = {"essential": "120.00", "standard": "260.00", "premium": "540.00"}
_BOXES = {
    "essential": ComponentPrice("Boxes", "seat", "per_unit", "38.00"),
    "standard": ComponentPrice(
        "Boxes", "seat", "graduated", tiers=(Tier(50, "44.00"), Tier(200, "41.50"), Tier(None, "39.50"))
    ),
    "premium": ComponentPrice(
        "Boxes", "seat", "volume", tiers=(Tier(100, "49.00"), Tier(400, "46.50"), Tier(None, "44.00"))
    ),
}
_REFILLS = {
    "essential": ComponentPrice("Refills", "usage", "per_unit", "0.85"),
    "standard": ComponentPrice(
        "Refills", "usage", "graduated", tiers=(Tier(1_000, "0.80"), Tier(5_000, "0.725"), Tier(None, "0.65"))
    ),
    "premium": ComponentPrice("Refills", "usage", "package", "64.00", package_size=100),
}
REFILL_SERVICE = PlanOffer(
    "refill-service", "Refill Service", None, "P1M", True, False, (_REFILLS["standard"],)
)
ADD_ONS = {
    "hygiene": PlanOffer(
        "hygiene-care", "Hygiene Care", None, "P1M", True, True,
        (ComponentPrice("Care", "fee", "flat", "190.00"),),
    ),
    "packaging": PlanOffer(
        "packaging-plus", "Packaging Plus", None, "P1M", True, True,
        (ComponentPrice("Cartons", "seat", "package", "85.00", package_size=10),),
    ),
    "safety": PlanOffer(
        "safety-kit", "Safety Kit", None, "P1M", True, True,
        (
            ComponentPrice(
                "Kits", "seat", "volume", tiers=(Tier(20, "16.50"), Tier(100, "14.50"), Tier(None, "12.90"))
            ),
        ),
    ),
}  # fmt: skip


# Goods that the stock may run short of, by the plan that sells them, and what replaces them.
SKUS = {
    "packaging-plus": ("cartons", "Cartons", None),
    "safety-kit": ("kits", "Safety kits", "kits-recycled"),
}
SUCCESSORS = (("kits-recycled", "Safety kits, recycled"),)
# Refills of a running month are billed early once they cost so much, in EUR.
THRESHOLD = Decimal(4_000)


def places_of(currency: str) -> int:
    """How many minor units a currency has in one."""
    return int(10 ** currency_exponent(currency))


def supply_plan_id(tier: int, *, is_yearly: bool) -> str:
    """The plan of a tier, by number, billed by the month or by the year."""
    return f"supply-{TIERS[tier]}-{'yearly' if is_yearly else 'monthly'}"


def offers() -> list[PlanOffer]:
    """Every plan. A yearly plan has no usage part: its refills are billed monthly, by REFILL_SERVICE."""
    plans = []
    for tier in TIERS:
        monthly = (ComponentPrice("Delivery", "fee", "flat", _FEES[tier]), _BOXES[tier])
        yearly = tuple(part.times(12 * YEARLY_SHARE) for part in monthly)
        name = PLAN_NAMES[tier]
        plans.append(
            PlanOffer(f"supply-{tier}-monthly", name, tier, "P1M", False, True, (*monthly, _REFILLS[tier]))
        )
        plans.append(PlanOffer(f"supply-{tier}-yearly", f"{name}, yearly", tier, "P1Y", False, True, yearly))
    return [*plans, REFILL_SERVICE, *ADD_ONS.values()]


def publish_catalogue(store: Store, at: datetime) -> None:
    """Make the seller, its tax rates, its meter and every plan known to the engine. Prices come apart."""
    entity_id, name, country, tax_number = SELLER
    catalog.create_legal_entity(
        store, at, entity_id=entity_id, name=name, country=country, tax_number=tax_number
    )
    for country, ppm in TAX_RATES_PPM.items():
        catalog.add_tax_rate(store, at, country=country, tax_rate_ppm=ppm, valid_from=at.date())
    product_id, product_name = PRODUCT
    catalog.create_product(store, at, product_id=product_id, name=product_name)
    catalog.create_meter(store, at, meter_id=METER, name="Dispenser refills", unit="refill")
    _create_goods(store, at)
    for offer in offers():
        catalog.create_plan(
            store,
            at,
            plan_id=offer.plan_id,
            name=offer.name,
            product_id=product_id,
            tier=offer.tier,
            is_add_on=offer.is_add_on,
        )
        catalog.publish_plan_version(
            store,
            at,
            plan_id=offer.plan_id,
            interval=offer.interval,
            in_advance=offer.in_advance,
            components=[
                catalog.NewComponent(
                    part.name,
                    part.kind,
                    METER if part.kind == "usage" else None,
                    component_id(offer, part),
                    SKUS[offer.plan_id][0] if offer.plan_id in SKUS else None,
                )
                for part in offer.components
            ],
            thresholds=_thresholds() if offer.tier and offer.interval == "P1M" else None,
        )


def _create_goods(store: Store, at: datetime) -> None:
    for sku_id, name in SUCCESSORS:
        create_sku(store, at, sku_id=sku_id, product_id=PRODUCT[0], name=name, base_unit="piece")
    for sku_id, name, successor in SKUS.values():
        create_sku(
            store,
            at,
            sku_id=sku_id,
            product_id=PRODUCT[0],
            name=name,
            base_unit="piece",
            units={"pallet": 48},
            successor_sku_id=successor,
        )


def _thresholds() -> dict[str, list[str]]:
    return {currency: [str(THRESHOLD * rate)] for currency, rate in LIST_RATES.items()}


def publish_prices(
    store: Store,
    at: datetime,
    *,
    valid_start: date,
    factor: Decimal,
    currency: str = CURRENCY,
    level: str = "list",
    owner_id: str | None = None,
) -> str:
    """A new price list: every price of the first day times `factor`, for all or for its owner. Answers its
    id."""
    prices = [
        catalog.NewPrice(
            component_id(offer, part),
            part.model,
            part.price,
            [catalog.NewTier(tier.up_to, tier.unit) for tier in part.tiers],
            part.package_size,
        )
        for offer in offers()
        for part in (one.times(factor, currency) for one in offer.components)
    ]
    whose = "".join(f"{word} " for word in (owner_id, currency) if word not in (None, CURRENCY))
    return catalog.create_price_list(
        store,
        at,
        list_id=f"list-{whose}{valid_start}".replace(" ", "-"),
        name=f"Price list {whose}from {valid_start}",
        currency=currency,
        valid_start=valid_start,
        level=level,
        owner_id=owner_id,
        prices=prices,
    )


def publish_terms(store: Store, at: datetime) -> None:
    """The terms of payment: 30 days, and 30 days with 2 % off within 10."""
    catalog.create_payment_terms(store, at, terms_id=NET_30, net_days=30)
    catalog.create_payment_terms(
        store, at, terms_id=EARLY, net_days=30, discount_ppm=20_000, discount_days=10
    )


def component_id(offer: PlanOffer, part: ComponentPrice) -> str:
    return f"{offer.plan_id}.{part.name.lower()}"
