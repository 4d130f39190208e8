"""What the engine asks of a stock, be it a warehouse system or one that is simulated.

An order is named by its key and asked for as a whole: the stock holds for it as much of the wanted quantity
as it can, and answers how much that is in all. So a question may be repeated without harm: asked again, the
same key holds what it held, and more if goods came in meanwhile. Asked for less, it gives back what has not
left yet; for nothing, all of that. A crash between question and note loses nothing: the next question under
the same key tells what became of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple, Protocol

from billing.core.money import Scaled


class Want(NamedTuple):
    """A quantity of a SKU, in its base unit, that an order (`key`) is to hold in all."""

    key: str
    sku_id: str
    quantity: Scaled


class Stock(Protocol):
    """A stock of goods."""

    def allocate(self, wants: Sequence[Want], on: date) -> list[Scaled | None]:
        """What each key holds in all, in the order asked: never more than it wants, unless more has left
        already that it wanted before. None where the answer is not known; the key will be asked again."""
        ...
