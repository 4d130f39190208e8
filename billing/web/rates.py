"""How many requests a caller may make: a bucket of tokens for each caller and class of request.

A caller is known here by its whole Authorization header, before anybody looks up whose key that is, so that
who only knows the open part of a key cannot use up its requests; without one, by its network address. An
address that keeps sending keys that are refused is not listened to for a while; keys that were taken before
are. Buckets are kept in the memory of a process: of several processes each is given its share."""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing.web.problems import Problem

Kept = TypeVar("Kept")

_MOST_CALLERS = 20_000
"""Callers that are remembered; who asked longest ago is forgotten first."""
_FREE = frozenset(("/health/live", "/health/ready", "/metrics"))
_FREE_BELOW = ("/portal/assets/", "/admin/assets/")
"""Style, scripts and fonts of pages: a page asks for ten at once, and colleagues share an address."""


@dataclass(frozen=True)
class Rate:
    """`per_second` requests for as long as one likes, and at most `burst` at once."""

    per_second: float
    burst: int

    @property
    def fills_in(self) -> float:
        """Seconds until an empty bucket is full."""
        return self.burst / self.per_second


@dataclass(frozen=True)
class Rates:
    """The rates of each class. bulk: paths of requests that carry many at once. shares: processes that serve
    the same callers side by side. knows_keys: whether callers are told by their keys, which somebody looks
    up afterwards; else by address alone."""

    read: Rate = Rate(100, 200)
    write: Rate = Rate(25, 50)
    bulk: Rate = Rate(2, 4)
    unknown: Rate = Rate(10, 40)
    failures: Rate = Rate(20 / 60, 20)
    bulk_paths: Collection[str] = field(default_factory=frozenset)
    shares: int = 1
    knows_keys: bool = True

    def of(self, scope: Scope, is_known: bool) -> tuple[str, Rate]:
        """Name and rate of the class of a request."""
        if not is_known:
            return "unknown", self.unknown
        if scope["path"] in self.bulk_paths:
            return "bulk", self.bulk
        return ("read", self.read) if scope["method"] in ("GET", "HEAD") else ("write", self.write)


class LimitRates:
    """Refuses by Problem `rate_limited` what comes too often, and says on every answer what is left.

    clock: seconds that only rise.
    """

    def __init__(
        self, app: ASGIApp, rates: Rates = Rates(), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app, self._rates, self._clock = app, rates, clock
        self._buckets: _Newest[_Bucket] = _Newest()
        self._failures = Attempts(self._share(rates.failures), clock)
        self._taken: _Newest[bool] = _Newest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _FREE or scope["path"].startswith(_FREE_BELOW):
            await self._app(scope, receive, send)
            return
        header = Headers(scope=scope).get("authorization") if self._rates.knows_keys else None
        address = scope["client"][0] if scope.get("client") else ""
        caller = address if header is None else hashlib.sha256(header.encode("latin-1")).hexdigest()
        if header is not None and self._taken.get(caller) is None:
            self._refuse_guesses(address)
        name, rate = self._rates.of(scope, is_known=header is not None)
        bucket = self._buckets.made(f"{name}:{caller}", lambda: _Bucket(self._share(rate), self._clock()))
        waits = bucket.take(self._clock())
        shown = {
            "RateLimit-Policy": f'"{name}";q={bucket.rate.burst};w={math.ceil(bucket.rate.fills_in)}',
            "RateLimit": f'"{name}";r={int(bucket.left)};t={math.ceil(bucket.full_in)}',
        }
        if waits > 0:
            raise Problem("rate_limited", headers={**shown, "Retry-After": str(math.ceil(waits))})

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(shown)
                if header is not None:
                    self._learn(caller, address, message["status"], is_taken="caller" in scope)
            await send(message)

        await self._app(scope, receive, sent)

    def _share(self, rate: Rate) -> Rate:
        shares = self._rates.shares
        return Rate(rate.per_second / shares, max(rate.burst // shares, 1))

    def _refuse_guesses(self, address: str) -> None:
        waits = self._failures.waits(address)
        if waits > 0:
            raise Problem(
                "rate_limited",
                "too many keys from this address were refused",
                headers={"Retry-After": str(math.ceil(waits))},
            )

    def _learn(self, caller: str, address: str, status: int, is_taken: bool) -> None:
        """Note whether the key was taken."""
        if status == 401:
            self._taken.forget(caller)
            self._failures.take(address)
        elif is_taken:
            self._taken.made(caller, lambda: True)


class Attempts:
    """How often anybody may try what only some are to reach: a bucket for each address. clock: seconds that
    only rise."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._buckets: _Newest[_Bucket] = _Newest()

    def take(self, address: str) -> float:
        """Count an attempt; seconds to wait where there may be none now."""
        return self._buckets.made(address, lambda: _Bucket(self._rate, self._clock())).take(self._clock())

    def waits(self, address: str) -> float:
        """Seconds until there may be another attempt."""
        bucket = self._buckets.get(address)
        return bucket.look(self._clock()) if bucket is not None else 0.0


class _Bucket:
    def __init__(self, rate: Rate, at: float) -> None:
        self.rate, self.left, self._at = rate, float(rate.burst), at

    def take(self, at: float) -> float:
        """Take a token; seconds to wait where there is none."""
        waits = self.look(at)
        if waits == 0:
            self.left -= 1
        return waits

    def look(self, at: float) -> float:
        """Seconds until there is a token."""
        self.left = min(self.left + (at - self._at) * self.rate.per_second, float(self.rate.burst))
        self._at = at
        return max(1 - self.left, 0.0) / self.rate.per_second

    @property
    def full_in(self) -> float:
        return (self.rate.burst - self.left) / self.rate.per_second


class _Newest(Generic[Kept]):
    """The things of those who asked last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def get(self, name: str) -> Kept | None:
        if name in self._kept:
            self._kept.move_to_end(name)
        return self._kept.get(name)

    def made(self, name: str, make: Callable[[], Kept]) -> Kept:
        kept = self.get(name)
        if kept is None:
            kept = self._kept[name] = make()
            if len(self._kept) > _MOST_CALLERS:
                self._kept.popitem(last=False)
        return kept

    def forget(self, name: str) -> None:
        self._kept.pop(name, None)
