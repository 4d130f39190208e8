"""What a dry run assumes of outer systems instead of asking them. Nothing is charged, given back or held."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from billing.core.money import Scaled
from billing.gateways.gateway import Answer, Charge
from billing.gateways.stock import Want


class AssumedGateway:
    """Every charge is captured and every refund made, without fees."""

    assumption = "every charge is captured and every refund is made, without fees; no gateway is asked"

    def charge(self, charge: Charge) -> Answer:
        """See Gateway.charge."""
        return Answer("captured", None, charge.key)

    def refund(self, key: str, charge_key: str, amount_minor: int) -> Answer:
        """See Gateway.refund."""
        return Answer("captured", None, key)

    def find(self, key: str) -> Answer | None:
        """See Gateway.find."""
        return Answer("captured", None, key)


class AssumedStock:
    """Whatever is wanted is there."""

    assumption = "the stock has all that is wanted; it is not asked"

    def allocate(self, wants: Sequence[Want], on: date) -> list[Scaled | None]:
        """See Stock.allocate."""
        return [want.quantity for want in wants]
