"""For which names we answer, and who asks.

What a reverse proxy says of the client (`X-Forwarded-For`, `X-Forwarded-Proto`) is believed of proxies we
were told of, and of nobody else. A request for a name that is not ours is refused: an address in an answer
would be made of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from billing.web.problems import Problem

Networks = Sequence[IPv4Network | IPv6Network]


class KnownHosts:
    """Refuses requests for other hosts than `hosts` (names without port; `*.example.com` for those below
    one), and puts the client's own address and scheme where a proxy of `proxies` passed it on."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], proxies: Networks = ()) -> None:
        self._app, self._proxies = app, proxies
        self._names = frozenset(name.lower() for name in hosts if not name.startswith("*."))
        self._below = tuple(name[1:].lower() for name in hosts if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if not self._is_ours(headers.getlist("host")):
                raise Problem("bad_host")
            self._look_behind_proxies(scope, headers)
        await self._app(scope, receive, send)

    def _is_ours(self, hosts: Sequence[str]) -> bool:
        if len(hosts) != 1:
            return False
        name = hosts[0].lower()
        if not name.endswith("]"):  # the address of IPv6 without a port ends so
            name = name.rpartition(":")[0] or name
        return name in self._names or name.endswith(self._below)

    def _look_behind_proxies(self, scope: Scope, headers: Headers) -> None:
        client = scope.get("client")
        if not self._proxies or client is None or not is_within(client[0], self._proxies):
            return
        # Each proxy adds whom it was asked by at the end: the last that is no proxy of ours is the client.
        passed = [part.strip() for line in headers.getlist("x-forwarded-for") for part in line.split(",")]
        for address in reversed(passed):
            if _address(address) is None:
                break
            scope["client"] = (address, 0)
            if not is_within(address, self._proxies):
                break
        if headers.get("x-forwarded-proto") in ("http", "https"):
            scope["scheme"] = headers["x-forwarded-proto"]


def is_within(address: str, networks: Networks) -> bool:
    """Whether an address lies in one of the networks; what is no address lies in none."""
    known = _address(address)
    return known is not None and any(known in network for network in networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        known = ip_address(text)
    except ValueError:
        return None
    return getattr(known, "ipv4_mapped", None) or known
