"""What a story's seller offers: plans with their prices and discounts, published before the story begins."""

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from billing.core.calendar import local_date
from billing.core.money import parse_ppm
from billing.core.policy import Policy
from billing.service.catalog import (
    NewComponent,
    NewPrice,
    add_tax_rate,
    create_legal_entity,
    create_meter,
    create_plan,
    create_price_list,
    create_product,
    publish_plan_version,
)
from billing.service.discounts import create_discount
from billing.service.policies import set_policy
from billing.store.store import Store
from tajdid.conformance.billing_form import Given, Unsupported
from tajdid.conformance.billing_kinds import Frame

METER_SCALE = 6


@dataclass
class Plan:
    """A plan of the story. `components`: name, kind (fee, seat, usage) and the price's model and terms.

    `discounts`: those of its item while it is on this plan, `percent` or `amount` with the size.
    """

    plan_id: str
    interval: str | None
    trial_days: int = 0
    components: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    discounts: list[tuple[str, str]] = field(default_factory=list)

    @property
    def has_fee(self) -> bool:
        return any(kind != "usage" for kind, _ in self.components.values())

    @property
    def discount_ids(self) -> list[str]:
        return [f"{kind}-{size}" for kind, size in self.discounts]

    def add_parts(self, given: Given) -> None:
        """`components`: the fees of the plan's parts, in order."""
        parts = given.take("components", [])
        if not isinstance(parts, list) or not all(isinstance(price, str) for price in parts):
            raise Unsupported(f"{given.path}.components")
        for number, price in enumerate(parts):
            self.components[f"part{number}"] = ("fee", {"model": "flat", "price": price})


@dataclass(frozen=True)
class Shop:
    """What a seller offers in a story."""

    plans: list[Plan]
    frame: Frame
    interval: str
    tax_ppm: int = 0
    billing: str | None = None
    thresholds: list[str] | None = None


def zero_fee_of(plans: list[Plan]) -> str | None:
    """The `flat_fee_on_zero` that the prices name, taken out of them: one for all, as a policy has one."""
    terms = [terms for plan in plans for _, terms in plan.components.values()]
    named = {told for one in terms if (told := one.pop("flat_fee_on_zero", None)) is not None}
    if len(named) > 1:
        raise Unsupported("prices that differ in flat_fee_on_zero")
    return named.pop() if named else None


def open_shop(store: Store, at: datetime, shop: Shop) -> None:
    """Publish the policy, the tax and the plans, all known long before the story begins."""
    first_day = local_date(at, "UTC") - timedelta(days=3650)
    policy, default = asdict(shop.frame.convention.policy), asdict(Policy())
    create_legal_entity(store, at, entity_id="seller", name="Seller", country="DE", tax_number="DE1")
    add_tax_rate(store, at, country="DE", tax_rate_ppm=shop.tax_ppm, valid_from=first_day)
    changed = {name: value for name, value in policy.items() if value != default[name]}
    set_policy(store, at, name="default", valid_from=first_day, settings=changed)
    create_product(store, at, product_id="product", name="Product")
    parts = [part for plan in shop.plans for part in plan.components.items()]
    for metric in sorted({name for name, (kind, _) in parts if kind == "usage"}):
        create_meter(store, at, meter_id=metric, name=metric, scale=METER_SCALE)
    for discount_id, (kind, size) in sorted(
        {pair for plan in shop.plans for pair in zip(plan.discount_ids, plan.discounts, strict=True)}
    ):
        terms: dict[str, Any] = (
            {"discount_ppm": parse_ppm(size)}
            if kind == "percent"
            else {"amount": size, "currency": shop.frame.money.code}
        )
        create_discount(store, at, discount_id=discount_id, name=discount_id, **terms)
    prices = []
    for plan in shop.plans:
        create_plan(store, at, plan_id=plan.plan_id, name=plan.plan_id, product_id="product")
        publish_plan_version(
            store,
            at,
            plan_id=plan.plan_id,
            interval=plan.interval or shop.interval,
            components=[
                NewComponent(name, kind, meter_id=name if kind == "usage" else None)
                for name, (kind, _) in plan.components.items()
            ],
            in_advance=shop.billing != "in_arrears" and plan.has_fee,
            thresholds={shop.frame.money.code: shop.thresholds} if shop.thresholds else None,
        )
        prices += [
            NewPrice(f"{plan.plan_id}.1.{name}", **terms) for name, (_, terms) in plan.components.items()
        ]
    create_price_list(
        store,
        at,
        list_id="list",
        name="List",
        currency=shop.frame.money.code,
        valid_start=first_day,
        prices=prices,
    )
