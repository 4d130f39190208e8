"""What an index clause makes of a price: base price times index over base index, within floor and cap."""

from __future__ import annotations

from dataclasses import dataclass

from billing.core.money import PPM, PRICE_LIMIT, Scaled, post, ten_to, within


@dataclass(frozen=True, slots=True)
class IndexStep:
    """An index value beside the one the base price was agreed at, and how far one step may move a price."""

    base_value: Scaled
    value: Scaled
    floor_ppm: int | None = None
    cap_ppm: int | None = None

    def price(self, base: int, before: int) -> int:
        """A mantissa after the step, at the scale of `base` and `before` (what it was until now).

        Floor and cap are shares of what the price was: with a cap of 3 %, 100.00 becomes at most 103.00, with
        a floor of -1 % at least 99.00. Each amount is posted half up.
        """
        num = base * self.value.mantissa * ten_to(self.base_value.scale)
        price = post(num, self.base_value.mantissa * ten_to(self.value.scale))
        if self.cap_ppm is not None:
            price = min(price, post(before * (PPM + self.cap_ppm), PPM))
        if self.floor_ppm is not None:
            price = max(price, post(before * (PPM + self.floor_ppm), PPM))
        return within(price, PRICE_LIMIT)
