"""Goods: SKUs, the units they are ordered in, and what an order comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, select

from billing.core.money import BillingError, Scaled, parse_quantity
from billing.core.ordering import delivered, in_base_units
from billing.core.policy import Policy
from billing.service.acts import act, announce
from billing.service.catalog import PlanVersion
from billing.store.store import Store
from billing.store.tables import products, skus, unit_conversions


@act
def create_sku(
    store: Store,
    at: datetime,
    *,
    sku_id: str,
    product_id: str,
    name: str,
    base_unit: str,
    units: Mapping[str, int] | None = None,
    minimum_quantity: int = 0,
    order_multiple: int = 0,
    successor_sku_id: str | None = None,
) -> str:
    """Goods to sell. `units`: how many whole base units each other unit holds (a pallet 48 cases).

    `minimum_quantity` and `order_multiple` are whole base units, 0 for none.
    Raises `unknown_product`, `unknown_sku` for the successor, `bad_factor` below 1, `negative_quantity`.
    """
    if store.row(select(products.c.product_id).where(products.c.product_id == product_id)) is None:
        raise BillingError("unknown_product", product_id)
    if successor_sku_id is not None and store.row(_SKU, {"sku_id": successor_sku_id}) is None:
        raise BillingError("unknown_sku", successor_sku_id)
    if minimum_quantity < 0 or order_multiple < 0:
        raise BillingError("negative_quantity", f"minimum {minimum_quantity}, multiple {order_multiple}")
    factors = {base_unit: 1} | dict(units or {})
    for unit, factor in factors.items():
        if factor < 1 or (unit == base_unit and factor != 1):
            raise BillingError("bad_factor", f"{unit} holds {factor} {base_unit}")
    row = {
        "sku_id": sku_id,
        "product_id": product_id,
        "name": name,
        "base_unit": base_unit,
        "minimum_quantity": minimum_quantity,
        "order_multiple": order_multiple,
        "successor_sku_id": successor_sku_id,
    }
    store.insert(skus, [row], at)
    conversions = [{"sku_id": sku_id, "unit": unit, "factor": factor} for unit, factor in factors.items()]
    store.insert(unit_conversions, conversions, at)
    announce(store, at, "sku.created", sku_id, row | {"units": factors})
    return sku_id


_SKU = select(skus).where(skus.c.sku_id == bindparam("sku_id"))
_FACTOR = select(unit_conversions.c.factor).where(
    unit_conversions.c.sku_id == bindparam("sku_id"), unit_conversions.c.unit == bindparam("unit")
)


@dataclass(frozen=True, slots=True)
class Order:
    """What was ordered, and the base units it comes to. `unit` None: the plan sells no goods."""

    ordered: Scaled
    unit: str | None
    quantity: Scaled

    @property
    def columns(self) -> dict[str, int | str | None]:
        """The columns of a version that hold it."""
        is_order = self.unit is not None
        return {
            "quantity_mantissa": self.quantity.mantissa,
            "quantity_scale": self.quantity.scale,
            "ordered_mantissa": self.ordered.mantissa if is_order else None,
            "ordered_scale": self.ordered.scale if is_order else None,
            "ordered_unit": self.unit,
        }


def order_of(
    store: Store, plan: PlanVersion, quantity: int | str, unit: str | None, settings: Policy
) -> Order:
    """What a quantity of a plan comes to: as it is, or for goods in base units, at least the minimum and in
    whole multiples [`order_multiple`]. Without `unit` the order is in base units.

    Raises `unknown_unit`, `order_multiple` where the setting refuses, and as `parse_quantity`.
    """
    amount = parse_quantity(quantity)
    sku_id = next((one.sku_id for one in plan.components if one.sku_id is not None), None)
    if sku_id is None:
        if unit is not None:
            raise BillingError("unknown_unit", f"{plan.plan_id} sells no goods, so none by {unit}")
        return Order(amount, None, amount)
    sku = store.row(_SKU, {"sku_id": sku_id})
    assert sku is not None
    unit = unit or str(sku["base_unit"])
    found = store.row(_FACTOR, {"sku_id": sku_id, "unit": unit})
    if found is None:
        raise BillingError("unknown_unit", f"{sku_id} is not sold by {unit}")
    whole = delivered(
        in_base_units(amount, found["factor"]),
        minimum=sku["minimum_quantity"],
        multiple=sku["order_multiple"],
        setting=settings.order_multiple,
    )
    return Order(amount, unit, whole)
