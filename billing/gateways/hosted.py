"""What the engine asks of a gateway's own page on which a customer enters a way to pay.

The number of a card never passes through here: the customer is sent to the page (or is shown it in a frame),
and the gateway is asked afterwards what came of it. A token names one visit; it is a secret of the customer
and the gateway, kept by the engine as a hash alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol, TypeAlias

MethodKind: TypeAlias = Literal["card", "direct_debit"]


@dataclass(frozen=True)
class Start:
    """A page to visit once: its `url`, the `token` that names the visit, until when it is open, and the
    origin that a content security policy has to allow where it is framed (None: it is not to be framed)."""

    url: str
    token: str
    expires_at: datetime
    frame_origin: str | None = None


@dataclass(frozen=True)
class Finished:
    """What was entered. `gateway_ref` lets the engine charge it and is shown to nobody; `label` is what the
    customer knows it by, such as Visa •• 4242."""

    gateway_ref: str
    kind: MethodKind
    label: str
    expires_on: date | None = None


class HostedFields(Protocol):
    """Pages of a gateway's for entering ways to pay."""

    def start(self, setup_id: str, customer_id: str, return_url: str, at: datetime) -> Start:
        """A page for one customer, who is sent to `return_url` from it. Asked again with the same setup it
        gives another token for the same visit."""
        ...

    def finish(self, token: str, at: datetime) -> Finished | None:
        """What was entered on the page of a token; None where nothing was (yet), or the token is none. It
        may be asked again."""
        ...
