"""A gateway without money: each answer is a function of seed, customer, method, attempt and day.

Outcomes can be planned per customer or method from a day on, or are those of the card entered on its page
(gateways.hosted_simulated); what is not planned is captured, or declined with the probability given. An
`unknown` charge did take the money, its answer was lost: asked again with its key, the gateway tells. What it
took it remembers in memory, or in a file that outlives the process, as the books of a real gateway do.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

from billing.core.money import PPM, BillingError
from billing.gateways.gateway import Answer, Charge, Notice

CAPTURED = "captured"
UNKNOWN = "unknown"
DISPUTE_DAYS = 30
"""Days from the opening of a dispute to its end."""


_CARD = re.compile(r"simcard-([a-z_]+)-[0-9a-f]{16}")


def card_ref(outcome: str) -> str:
    """A name for a card whose charges end like this (see `SimulatedGateway.plan`), in whatever process."""
    return f"simcard-{outcome}-{secrets.token_hex(8)}"


class _Taken(NamedTuple):
    """A charge the gateway took up: what it comes to on `settles_on`, and the dispute that follows."""

    amount_minor: int
    settles_on: str
    code: str | None = None
    disputed_on: str | None = None
    dispute: str | None = None


class _Planned(NamedTuple):
    """What charges come to from a day on."""

    from_on: date
    outcomes: tuple[str, ...]
    delay_days: int
    disputed_after_days: int | None
    dispute: str


class _Memory:
    """What was taken, by key."""

    def __init__(self) -> None:
        self.charges: dict[str, _Taken] = {}
        self.refunds: dict[str, tuple[str, int]] = {}

    def charge(self, key: str) -> _Taken | None:
        return self.charges.get(key)

    def add_charge(self, key: str, taken: _Taken) -> None:
        self.charges[key] = taken

    def all_charges(self) -> dict[str, _Taken]:
        return self.charges

    def add_refund(self, key: str, of: str, amount_minor: int) -> None:
        self.refunds[key] = (of, amount_minor)

    def all_refunds(self) -> dict[str, tuple[str, int]]:
        return self.refunds


class _File:
    """The same in a file, written before an answer is given: a key is there once, whoever asks."""

    def __init__(self, path: Path) -> None:
        self._books = sqlite3.connect(path, isolation_level=None, timeout=60)
        self._books.execute("PRAGMA journal_mode=WAL")
        self._books.execute("PRAGMA synchronous=OFF")
        self._books.execute(
            "CREATE TABLE IF NOT EXISTS charges (key TEXT PRIMARY KEY, amount_minor INTEGER NOT NULL, "
            "settles_on TEXT NOT NULL, code TEXT, disputed_on TEXT, dispute TEXT)"
        )
        self._books.execute(
            "CREATE TABLE IF NOT EXISTS refunds (key TEXT PRIMARY KEY, of_key TEXT, amount_minor INTEGER)"
        )

    def charge(self, key: str) -> _Taken | None:
        row = self._books.execute(
            "SELECT amount_minor, settles_on, code, disputed_on, dispute FROM charges WHERE key = ?", (key,)
        ).fetchone()
        return None if row is None else _Taken(*row)

    def add_charge(self, key: str, taken: _Taken) -> None:
        self._books.execute("INSERT INTO charges VALUES (?, ?, ?, ?, ?, ?)", (key, *taken))

    def all_charges(self) -> dict[str, _Taken]:
        return {key: _Taken(*row) for key, *row in self._books.execute("SELECT * FROM charges ORDER BY key")}

    def add_refund(self, key: str, of: str, amount_minor: int) -> None:
        self._books.execute("INSERT INTO refunds VALUES (?, ?, ?)", (key, of, amount_minor))

    def all_refunds(self) -> dict[str, tuple[str, int]]:
        return {key: (of, amount) for key, of, amount in self._books.execute("SELECT * FROM refunds")}


class SimulatedGateway:
    """`decline_ppm` of unplanned charges are declined as `insufficient_funds`; `fee_ppm` is kept of each.
    `books`: a file to remember charges and refunds in."""

    def __init__(
        self, seed: int = 0, *, decline_ppm: int = 0, fee_ppm: int = 0, books: Path | None = None
    ) -> None:
        self._seed = seed
        self._decline_ppm = decline_ppm
        self._fee_ppm = fee_ppm
        self._plans: dict[tuple[str, str | None], list[_Planned]] = {}
        self._books: _Memory | _File = _Memory() if books is None else _File(books)
        self._today = date.min
        self._refund_plan: list[str] = []

    def plan(
        self,
        customer_id: str,
        outcome: str | Sequence[str],
        *,
        from_on: date = date.min,
        method_ref: str | None = None,
        delay_days: int = 0,
        disputed_after_days: int | None = None,
        dispute: Literal["won", "lost"] = "lost",
    ) -> None:
        """From a day on, charges of a customer (or of one method of theirs) end like this.

        `outcome`: captured, unknown, or a code to decline with (see core.dunning.DECLINE_CLASSES): a method
        expires with `card_expired` from its day. Several are meant for attempt 1, 2, …; the last holds for
        those that follow. A method's plan goes before its customer's; a later `from_on` before an earlier.
        `delay_days`: the outcome is unknown until so many days after the charge. `disputed_after_days`: what
        is captured is disputed that long after it was known, which ends as `dispute` says.
        """
        outcomes = (outcome,) if isinstance(outcome, str) else tuple(outcome)
        entries = self._plans.setdefault((customer_id, method_ref), [])
        new = _Planned(from_on, outcomes, delay_days, disputed_after_days, dispute)
        entries[:] = sorted([one for one in entries if one.from_on != from_on] + [new])

    def charge(self, charge: Charge) -> Answer:
        """See Gateway.charge. Raises `key_conflict` when a key comes back with another amount."""
        self._today = max(self._today, charge.on)
        known = self._books.charge(charge.key)
        if known is not None:
            if known.amount_minor != charge.amount_minor:
                raise BillingError("key_conflict", f"{charge.key} was charged {known.amount_minor}")
            return self._answer(charge.key, known)
        planned = self._planned(charge)
        outcome = self._outcome(charge, planned)
        delay_days = planned.delay_days if planned else 0
        is_captured = outcome in (CAPTURED, UNKNOWN)
        if not (is_captured or delay_days):
            return Answer("declined", outcome)
        settles_on = charge.on + timedelta(days=delay_days)
        taken = _Taken(charge.amount_minor, settles_on.isoformat(), None if is_captured else outcome)
        if is_captured and planned and planned.disputed_after_days is not None:
            disputed_on = settles_on + timedelta(days=planned.disputed_after_days)
            taken = taken._replace(disputed_on=disputed_on.isoformat(), dispute=planned.dispute)
        self._books.add_charge(charge.key, taken)
        return Answer("unknown") if outcome == UNKNOWN else self._answer(charge.key, taken)

    def refund(self, key: str, charge_key: str, amount_minor: int) -> Answer:
        """See Gateway.refund. Raises `over_refund` beyond what was captured."""
        known, refunded = self._books.charge(charge_key), self._books.all_refunds()
        captured = known.amount_minor if known and known.code is None else 0
        outcome = self._refund_plan.pop(0) if self._refund_plan else CAPTURED
        if outcome not in (CAPTURED, UNKNOWN):
            if key not in refunded:
                return Answer("declined", outcome)
            outcome = CAPTURED
        if key not in refunded:
            before = sum(amount for of, amount in refunded.values() if of == charge_key)
            if before + amount_minor > captured:
                raise BillingError("over_refund", f"{charge_key} captured {captured}, refunded {before}")
            self._books.add_refund(key, charge_key, amount_minor)
        return Answer("captured", None, f"sim_{key}") if outcome == CAPTURED else Answer("unknown")

    def plan_refunds(self, outcomes: Sequence[str]) -> None:
        """The answers to the refunds asked next, as for `plan`; those after them are made."""
        self._refund_plan = list(outcomes)

    def find(self, key: str) -> Answer | None:
        """See Gateway.find."""
        known = self._books.charge(key)
        return self._answer(key, known) if known else None

    def notices(self, first_on: date, last_on: date) -> list[Notice]:
        """What happens by itself on some days, both included, in the order of days: late charges become
        known, disputes are opened and end. Asked again it is told again."""
        self._today = max(self._today, last_on)
        told = []
        for key, taken in self._books.all_charges().items():
            settles_on = date.fromisoformat(taken.settles_on)
            told.append(Notice(key, "answer", settles_on, self._answer(key, taken)))
            if taken.disputed_on:
                opened_on, ref = date.fromisoformat(taken.disputed_on), f"dispute_{key}"
                opened = Notice(key, "dispute_opened", opened_on, ref=ref, amount_minor=taken.amount_minor)
                closed = opened._replace(
                    kind="dispute_closed",
                    on=opened_on + timedelta(days=DISPUTE_DAYS),
                    outcome="won" if taken.dispute == "won" else "lost",
                )
                told += [opened, closed]
        return sorted((one for one in told if first_on <= one.on <= last_on), key=lambda one: one.on)

    @property
    def refunded_minor(self) -> dict[str, int]:
        """What was really given back, by key."""
        return {key: amount for key, (_, amount) in self._books.all_refunds().items()}

    @property
    def captured_minor(self) -> dict[str, int]:
        """What was really taken, by key."""
        today = self._today.isoformat()
        return {
            key: taken.amount_minor
            for key, taken in self._books.all_charges().items()
            if taken.code is None and taken.settles_on <= today
        }

    def _answer(self, key: str, taken: _Taken) -> Answer:
        """What is known today of a charge that was taken up."""
        if taken.settles_on > self._today.isoformat():
            return Answer("unknown")
        if taken.code:
            return Answer("declined", taken.code)
        return Answer("captured", None, f"sim_{key}", taken.amount_minor * self._fee_ppm // PPM)

    def _planned(self, charge: Charge) -> _Planned | None:
        for who in ((charge.customer_id, charge.method_ref), (charge.customer_id, None)):
            entries = self._plans.get(who)
            if entries:
                place = bisect_right(entries, charge.on, key=lambda entry: entry.from_on)
                if place:
                    return entries[place - 1]
        return None

    def _outcome(self, charge: Charge, planned: _Planned | None) -> str:
        if planned:
            return planned.outcomes[min(charge.attempt, len(planned.outcomes)) - 1]
        if card := _CARD.fullmatch(charge.method_ref):
            return card[1]
        return "insufficient_funds" if self._is_declined(charge) else CAPTURED

    def _is_declined(self, charge: Charge) -> bool:
        if not self._decline_ppm:
            return False
        facts = (self._seed, charge.customer_id, charge.method_ref, charge.attempt, charge.on)
        digest = hashlib.blake2b(repr(facts).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % PPM < self._decline_ppm
