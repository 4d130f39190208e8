"""A gateway that lives in memory: each answer is a function of seed, customer, method, attempt and day.

Outcomes can be planned per customer or method from a day on; what is not planned is captured, or declined
with the probability given. An `unknown` charge did take the money, its answer was lost: asked again with its
key, the gateway tells.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from datetime import date

from billing.core.money import PPM, BillingError
from billing.gateways.gateway import Answer, Charge

CAPTURED = "captured"
UNKNOWN = "unknown"


class SimulatedGateway:
    """`decline_ppm` of unplanned charges are declined as `insufficient_funds`; `fee_ppm` is kept of each."""

    def __init__(self, seed: int = 0, *, decline_ppm: int = 0, fee_ppm: int = 0) -> None:
        self._seed = seed
        self._decline_ppm = decline_ppm
        self._fee_ppm = fee_ppm
        self._plans: dict[tuple[str, str | None], list[tuple[date, tuple[str, ...]]]] = {}
        self._captured: dict[str, tuple[int, Answer]] = {}
        self._refunded: dict[str, tuple[str, int]] = {}
        self._refund_plan: list[str] = []

    def plan(
        self,
        customer_id: str,
        outcome: str | Sequence[str],
        *,
        from_on: date = date.min,
        method_ref: str | None = None,
    ) -> None:
        """From a day on, charges of a customer (or of one method of theirs) end like this.

        `outcome`: captured, unknown, or a code to decline with (see core.dunning.DECLINE_CLASSES). Several
        are meant for attempt 1, 2, …; the last holds for those that follow. A method's plan goes before its
        customer's; a later `from_on` before an earlier.
        """
        outcomes = (outcome,) if isinstance(outcome, str) else tuple(outcome)
        entries = self._plans.setdefault((customer_id, method_ref), [])
        entries[:] = sorted([entry for entry in entries if entry[0] != from_on] + [(from_on, outcomes)])

    def charge(self, charge: Charge) -> Answer:
        """See Gateway.charge. Raises `key_conflict` when a key comes back with another amount."""
        known = self._captured.get(charge.key)
        if known is not None:
            if known[0] != charge.amount_minor:
                raise BillingError("key_conflict", f"{charge.key} was charged {known[0]}")
            return known[1]
        outcome = self._outcome(charge)
        if outcome not in (CAPTURED, UNKNOWN):
            return Answer("declined", outcome)
        fee_minor = charge.amount_minor * self._fee_ppm // PPM
        answer = Answer("captured", None, f"sim_{charge.key}", fee_minor)
        self._captured[charge.key] = (charge.amount_minor, answer)
        return answer if outcome == CAPTURED else Answer("unknown")

    def refund(self, key: str, charge_key: str, amount_minor: int) -> Answer:
        """See Gateway.refund. Raises `over_refund` beyond what was captured."""
        captured = self._captured.get(charge_key, (0, None))[0]
        outcome = self._refund_plan.pop(0) if self._refund_plan else CAPTURED
        if outcome not in (CAPTURED, UNKNOWN):
            if key not in self._refunded:
                return Answer("declined", outcome)
            outcome = CAPTURED
        if key not in self._refunded:
            before = sum(amount for of, amount in self._refunded.values() if of == charge_key)
            if before + amount_minor > captured:
                raise BillingError("over_refund", f"{charge_key} captured {captured}, refunded {before}")
            self._refunded[key] = (charge_key, amount_minor)
        return Answer("captured", None, f"sim_{key}") if outcome == CAPTURED else Answer("unknown")

    def plan_refunds(self, outcomes: Sequence[str]) -> None:
        """The answers to the refunds asked next, as for `plan`; those after them are made."""
        self._refund_plan = list(outcomes)

    def find(self, key: str) -> Answer | None:
        """See Gateway.find."""
        known = self._captured.get(key)
        return known[1] if known else None

    @property
    def refunded_minor(self) -> dict[str, int]:
        """What was really given back, by key."""
        return {key: amount for key, (_, amount) in self._refunded.items()}

    @property
    def captured_minor(self) -> dict[str, int]:
        """What was really taken, by key."""
        return {key: amount for key, (amount, _) in self._captured.items()}

    def _outcome(self, charge: Charge) -> str:
        for who in ((charge.customer_id, charge.method_ref), (charge.customer_id, None)):
            entries = self._plans.get(who, [])
            place = bisect_right(entries, charge.on, key=lambda entry: entry[0])
            if place:
                outcomes = entries[place - 1][1]
                return outcomes[min(charge.attempt, len(outcomes)) - 1]
        return "insufficient_funds" if self._is_declined(charge) else CAPTURED

    def _is_declined(self, charge: Charge) -> bool:
        if not self._decline_ppm:
            return False
        facts = (self._seed, charge.customer_id, charge.method_ref, charge.attempt, charge.on)
        digest = hashlib.blake2b(repr(facts).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % PPM < self._decline_ppm
