"""What the engine asks of a payment gateway, and what a gateway tells unasked.

A charge is named by its key, payment and attempt number. Asking again with the same key never takes money
twice: the gateway answers what became of that charge. So an unknown outcome is asked again, never charged
anew. Unknown is also a charge that takes its time, such as a direct debit: it is known when the gateway says
so, asked or by a notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Literal, NamedTuple, Protocol, TypeAlias

Outcome: TypeAlias = Literal["captured", "declined", "unknown"]


class Charge(NamedTuple):
    """One attempt to collect money. `method_ref` is the gateway's name of the payment method."""

    key: str
    customer_id: str
    method_ref: str
    amount_minor: int
    currency: str
    attempt: int
    on: date


class Answer(NamedTuple):
    """What became of a charge or refund. `code` says why it was declined, `fee_minor` what is kept."""

    outcome: Outcome
    code: str | None = None
    gateway_ref: str | None = None
    fee_minor: int = 0


class Notice(NamedTuple):
    """What a gateway tells unasked about the charge of a key: its answer, or that the customer had it
    disputed at their bank (`ref` names the dispute), and how that ended: won or lost."""

    key: str
    kind: Literal["answer", "dispute_opened", "dispute_closed"]
    on: date
    answer: Answer | None = None
    ref: str | None = None
    amount_minor: int = 0
    outcome: Literal["won", "lost"] | None = None


class Gateway(Protocol):
    """A payment gateway."""

    def charge(self, charge: Charge) -> Answer:
        """Take money, or tell what became of this key before."""
        ...

    def refund(self, key: str, charge_key: str, amount_minor: int) -> Answer:
        """Give back part of a captured charge; the same key is refunded once."""
        ...

    def find(self, key: str) -> Answer | None:
        """What became of a charge; None when the gateway took nothing by it and never will."""
        ...


class Notices(Protocol):
    """Reads what a gateway tells by a call of its own."""

    def id_of(self, headers: Mapping[str, str], body: bytes, at: datetime) -> str | None:
        """The notice's id, the same each time that it is told; None for a request that the gateway did not
        sign. headers: their names in small letters."""
        ...

    def read(self, body: bytes) -> Notice:
        """What it says. Raises `missing_value`, `unknown_setting`."""
        ...


def charge_key(payment_id: str, attempt: int) -> str:
    """The key of an attempt; every try of the same attempt has the same one."""
    return f"{payment_id}/{attempt}"


def read_key(key: str) -> tuple[str, int] | None:
    """Payment and attempt of a key; None for a text that is none."""
    payment_id, _, attempt = key.rpartition("/")
    return (payment_id, int(attempt)) if payment_id and attempt.isdecimal() else None
