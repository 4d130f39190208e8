"""From what is ordered to what is delivered and billed: units of measure, minimums and multiples."""

from __future__ import annotations

from billing.core.money import QUANTITY_LIMIT, BillingError, Scaled, format_scaled, ten_to, within


def in_base_units(quantity: Scaled, factor: int) -> Scaled:
    """A quantity of a unit that holds `factor` base units: 2 pallets of 48 cases are 96 cases."""
    return Scaled(within(quantity.mantissa * factor, QUANTITY_LIMIT), quantity.scale)


def delivered(quantity: Scaled, *, minimum: int, multiple: int, setting: str) -> Scaled:
    """The quantity an order of some base units comes to, with the least and the step of the goods.

    `setting` is `order_multiple`: round_up gives the next quantity that fits, refuse raises `order_multiple`.
    An order of 0 is none. `minimum` and `multiple` are whole base units; multiple 0 leaves parts as they are.
    """
    one = ten_to(quantity.scale)
    if quantity.mantissa == 0:
        return quantity
    fitting = Scaled(max(quantity.mantissa, minimum * one), quantity.scale)
    if multiple:
        steps = -(-fitting.mantissa // (multiple * one))
        fitting = Scaled(within(steps * multiple, QUANTITY_LIMIT), 0)
    if setting == "refuse" and fitting.at_scale(quantity.scale) != quantity.mantissa:
        raise BillingError(
            "order_multiple",
            f"{format_scaled(quantity)} is not at least {minimum} in steps of {multiple or 1}: "
            f"order {format_scaled(fitting)}",
        )
    return fitting
