"""What the engine asks of whoever takes its webhooks to an address: one request, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a request. `status`: what HTTP answered; `error`: the kind of failure where it answered
    nothing that could be read. `head`: how the answer began, printable. `retry_after`: seconds that the
    receiver asks to be left alone."""

    status: int | None = None
    error: str | None = None
    head: str | None = None
    retry_after: int | None = None
    ms: int = 0

    @property
    def is_taken(self) -> bool:
        """Whether the receiver has it for good."""
        return self.status is not None and 200 <= self.status < 300


class Receiver(Protocol):
    """Takes webhooks to their addresses."""

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Delivered:
        """Send once. It never raises; called from several threads at once."""
        ...
