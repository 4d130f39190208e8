"""Which of several prices of one component a customer pays.

A price is offered by a list. The narrowest level wins: contract, customer, group, list; inside a level the
list that began last, then the higher quantity break reached, then the smallest price_id. Each price that
loses has its reason, so that an old line can be explained. What an offer costs is not looked at here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeAlias

from billing.core.money import Scaled, ten_to

LEVELS = ("contract", "customer", "group", "list")
"""Whose price list it is; the first that has a price wins."""

Reason: TypeAlias = Literal[
    "wrong_currency",
    "not_valid",
    "break_not_reached",
    "later_level",
    "earlier_start",
    "lower_break",
    "larger_id",
]
"""Why a price lost. The first two are said of the customer and the day, the third of the quantity, the others
of the price that won."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A price of one component in one list. `quantity_from`: the whole units from which it holds."""

    component_id: str
    price_id: str
    list_id: str
    level: str
    currency: str
    valid_start: date
    valid_end: date | None
    quantity_from: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """The price taken for a component, None where there is none, and those that lost."""

    component_id: str
    taken: Offer | None
    losers: tuple[tuple[Offer, Reason], ...]


def choose(
    component_id: str, offers: Sequence[Offer], *, currency: str, on: date, quantity: Scaled
) -> Choice:
    """The offer that holds for a component in a currency, on a day, at a quantity."""
    losers: dict[str, Reason] = {}
    sound = []
    for offer in offers:
        if offer.currency != currency:
            losers[offer.price_id] = "wrong_currency"
        elif on < offer.valid_start or (offer.valid_end is not None and on >= offer.valid_end):
            losers[offer.price_id] = "not_valid"
        elif quantity.mantissa < offer.quantity_from * ten_to(quantity.scale):
            losers[offer.price_id] = "break_not_reached"
        else:
            sound.append(offer)
    taken = min(sound, key=_rank, default=None)
    if taken is not None:
        losers |= {offer.price_id: _lost(offer, taken) for offer in sound if offer is not taken}
    ordered = sorted((offer for offer in offers if offer is not taken), key=_rank)
    return Choice(component_id, taken, tuple((offer, losers[offer.price_id]) for offer in ordered))


def _rank(offer: Offer) -> tuple[int, int, int, str]:
    return (
        LEVELS.index(offer.level),
        -offer.valid_start.toordinal(),
        -offer.quantity_from,
        offer.price_id,
    )


def _lost(offer: Offer, taken: Offer) -> Reason:
    """Why a sound offer lost: the first thing in which it differs from the one taken."""
    reasons: tuple[Reason, ...] = ("later_level", "earlier_start", "lower_break", "larger_id")
    pairs = zip(_rank(offer), _rank(taken), reasons, strict=True)
    return next(reason for own, other, reason in pairs if own != other)
