"""A stock that lives in memory: what is there on a day is a function of seed and plan, less what is held.

Goods whose deliveries are planned are there from their days on. What is not planned is always there, or out
of stock on a day with the probability given. An answer that is planned to be lost did hold the goods: asked
again with its key, the stock tells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date

from billing.core.money import MAX_SCALE, PPM, BillingError, Scaled, parse_quantity, ten_to
from billing.gateways.stock import Want


class SimulatedStock:
    """`out_ppm` of the days of unplanned goods are out of stock. `held`: what keys (of a SKU) held before."""

    def __init__(
        self, seed: int = 0, *, out_ppm: int = 0, held: Mapping[tuple[str, str], Scaled] | None = None
    ) -> None:
        self._seed = seed
        self._out_ppm = out_ppm
        self._deliveries: dict[str, list[tuple[date, int]]] = {}
        self._held: dict[str, tuple[str, int]] = {}
        self._taken: dict[str, int] = {}
        self._shipped: dict[str, int] = {}
        self._lost = self._first = 0
        for (key, sku_id), quantity in (held or {}).items():
            self._hold(key, sku_id, quantity.at_scale(MAX_SCALE))

    def plan(self, sku_id: str, quantity: int | str, *, on: date = date.min) -> None:
        """A delivery of a SKU to the stock on a day; without a day it was there all along."""
        self._deliveries.setdefault(sku_id, []).append((on, parse_quantity(quantity).at_scale(MAX_SCALE)))

    def ship(self, key: str) -> None:
        """Let what a key holds leave the stock: it does not come back."""
        self._shipped[key] = self._held[key][1]

    def lose_answers(self, count: int, *, after: int = 0) -> None:
        """Let the next answers get lost on their way; `after`: so many come before those."""
        self._lost, self._first = count, after

    def allocate(self, wants: Sequence[Want], on: date) -> list[Scaled | None]:
        """See Stock.allocate. Raises `key_conflict` when a key comes back with another SKU."""
        return [self._allocate(want, on) for want in wants]

    def available(self, sku_id: str, on: date) -> Scaled | None:
        """What is there of a SKU on a day and held for nobody; None where no end of it is known."""
        free = self._free(sku_id, on)
        return None if free is None else Scaled(free, MAX_SCALE)

    def _allocate(self, want: Want, on: date) -> Scaled | None:
        sku_id, held = self._held.get(want.key, (want.sku_id, 0))
        if sku_id != want.sku_id:
            raise BillingError("key_conflict", f"{want.key} holds {sku_id}, not {want.sku_id}")
        wanted, free = want.quantity.at_scale(MAX_SCALE), self._free(want.sku_id, on)
        most = wanted if free is None else min(wanted, held + free)
        step = ten_to(MAX_SCALE - want.quantity.scale)
        now = max(most // step * step, self._shipped.get(want.key, 0), min(held, wanted))
        self._hold(want.key, sku_id, now)
        return None if self._is_lost() else Scaled(now // step, want.quantity.scale)

    def _is_lost(self) -> bool:
        if self._first:
            self._first -= 1
            return False
        was, self._lost = self._lost, max(self._lost - 1, 0)
        return was > 0

    def _hold(self, key: str, sku_id: str, quantity: int) -> None:
        before = self._held.get(key, (sku_id, 0))[1]
        self._held[key] = (sku_id, quantity)
        self._taken[sku_id] = self._taken.get(sku_id, 0) + quantity - before

    def _free(self, sku_id: str, on: date) -> int | None:
        """What nobody holds, at the finest scale; None for no end."""
        planned = self._deliveries.get(sku_id)
        if planned is None:
            return 0 if self._is_out(sku_id, on) else None
        came = sum(quantity for day, quantity in planned if day <= on)
        return max(came - self._taken.get(sku_id, 0), 0)

    def _is_out(self, sku_id: str, on: date) -> bool:
        if not self._out_ppm:
            return False
        digest = hashlib.blake2b(repr((self._seed, sku_id, on)).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % PPM < self._out_ppm
