"""Takes webhooks to their addresses over HTTP, and nowhere else than onto the open internet.

An address is a customer's word, so it may point at machines that only we can reach. It is looked at as text
(`check_url`), and each time a connection is made all addresses of its name are looked at, and one of these
very addresses is connected to: a name that answers otherwise the next time leads nowhere. TLS, its
certificate and the Host header go by the name. There are no proxies, no redirects, no cookies, and no
connection is used twice.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpcore
import idna

from billing.core.money import BillingError
from billing.gateways.receiver import Delivered

Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]
Resolve = Callable[[str, int], Sequence[str]]
"""All addresses of a name. Raises OSError."""

LONGEST = 2_048
PORTS = (443, 8443)
CONNECT_SECONDS, ALL_SECONDS = 5.0, 15.0
LOOK_UP_SECONDS, LOOK_UP_SOON_SECONDS = 10.0, 3.0
"""For a name: a system whose first name server is silent asks the second after five."""
HEAD_BYTES = 1_024
"""How much of an answer is read."""
LONGEST_PAUSE = 3_600
"""Seconds that a receiver may ask to be left alone, at most."""

_UNICAST = IPv6Network("2000::/3")
_INSIDE: Networks = tuple(
    ip_network(one)
    for one in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # between a provider and its customers
        "127.0.0.0/8",
        "169.254.0.0/16",  # the link, and what clouds tell their machines about themselves
        "172.16.0.0/12",
        "192.0.0.0/24",  # assigned to protocols; a cloud tells machines about themselves there too
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # Teredo, benchmarks and others with a meaning of their own
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",
    )
)
"""What is not the open internet, whatever the lists of this Python say."""


class Forbidden(OSError):
    """An address that webhooks do not go to."""


class _LookUps:
    """Names that are being looked up, each once for all who ask for it, in a thread of its own: the system
    takes its time, and a name that is slow makes nobody wait who asks for another."""

    def __init__(self) -> None:
        self._under_way: dict[tuple[str, int], Future[list[str]]] = {}
        self._lock = threading.Lock()

    def of(self, name: str, port: int) -> Future[list[str]]:
        with self._lock:
            found = self._under_way.get((name, port))
            if found is None:
                found = Future()
                threading.Thread(target=self._look_up, args=(name, port, found), daemon=True).start()
                self._under_way[name, port] = found
            return found

    def _look_up(self, name: str, port: int, told: Future[list[str]]) -> None:
        found: list[str] | Exception
        try:
            answer = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(one[4][0]) for one in answer))
        except Exception as error:
            found = error
        with self._lock:  # Who asks from here on gets an answer of then.
            del self._under_way[name, port]
        if isinstance(found, Exception):
            told.set_exception(found)
        else:
            told.set_result(found)


_LOOK_UPS = _LookUps()


def resolved(name: str, port: int) -> list[str]:
    """All addresses of a name, as the system knows them. Raises TimeoutError where that takes too long."""
    return _LOOK_UPS.of(name, port).result(LOOK_UP_SECONDS)


def resolved_soon(name: str, port: int) -> list[str]:
    """`resolved`, for somebody who waits."""
    return _LOOK_UPS.of(name, port).result(LOOK_UP_SOON_SECONDS)


def is_allowed(address: str, networks: Networks = ()) -> bool:
    """Whether webhooks may go to an address: it lies in one of `networks`, or on the open internet."""
    try:
        found: Address = ip_address(address)
    except ValueError:  # Such as one with a zone, which belongs to a link.
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if any(found in network for network in networks):
        return True
    if isinstance(found, IPv6Address) and found not in _UNICAST:
        return False  # Translated addresses lie here too: they would reach what they hold inside.
    return found.is_global and not any(found in network for network in _INSIDE)


def check_url(url: str, networks: Networks = (), resolve: Resolve = resolved_soon) -> str:
    """The address as it is kept (its name in ASCII). A name that is not known now is taken: it is looked at
    on each attempt.

    Raises `bad_address` for what is no https:// address with port 443 or 8443 (inside `networks` also http://
    and any port), `forbidden_address` where it leads anywhere but onto the open internet.
    """
    parts, name, port = _read(url)
    try:
        addresses = resolve(name, port)
    except (OSError, UnicodeError):
        addresses = []
    if any(not is_allowed(one, networks) for one in addresses):
        raise BillingError("forbidden_address", name, field="url")
    if not _is_plain(parts, port) and not _all_inside(addresses, networks):
        raise BillingError("bad_address", "https:// with port 443 or 8443", field="url")
    return _written(parts, name)


def _read(url: str) -> tuple[SplitResult, str, int]:
    """The parts of an address, its name in ASCII, and its port. Raises `bad_address`."""
    if len(url) > LONGEST:
        raise BillingError("bad_address", f"more than {LONGEST} signs", field="url")
    if any(not "!" <= sign <= "~" and sign.isascii() for sign in url) or "\\" in url:
        raise BillingError("bad_address", "spaces, control characters or backslashes", field="url")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BillingError("bad_address", str(error), field="url") from None
    if parts.scheme not in ("http", "https"):
        raise BillingError("bad_address", "it begins with https://", field="url")
    if "@" in parts.netloc:
        raise BillingError("bad_address", "names and passwords do not belong there", field="url")
    if parts.fragment or not (parts.path + parts.query).isascii():
        raise BillingError("bad_address", "a fragment, or a path that is not ASCII", field="url")
    name = _name(parts.hostname or "")
    return parts, name, port or (443 if parts.scheme == "https" else 80)


def _name(host: str) -> str:
    if not host or len(host) > 253 or "%" in host:
        raise BillingError("bad_address", "no host", field="url")
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    last = host.rstrip(".").rpartition(".")[2]
    if last.isdigit() or last.lower().startswith("0x"):  # 127.1 and 0x7f000001 are addresses to some.
        raise BillingError("bad_address", f"{host} is no address", field="url")
    try:
        return host.lower() if host.isascii() and "_" in host else idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        raise BillingError("bad_address", f"{host!r} is no name", field="url") from None


def _is_plain(parts: SplitResult, port: int) -> bool:
    return parts.scheme == "https" and port in PORTS


def _all_inside(addresses: Sequence[str], networks: Networks) -> bool:
    """Whether all addresses lie in the networks that are allowed by name."""
    return bool(addresses) and all(
        any(ip_address(one) in network for network in networks) for one in addresses
    )


def _written(parts: SplitResult, name: str) -> str:
    host = f"[{name}]" if ":" in name else name
    port = f":{parts.port}" if parts.port is not None else ""
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{host}{port}{parts.path or '/'}{query}"


class HttpReceiver:
    """A `Receiver` over HTTP/1.1. `networks`: private ones that webhooks may go to nevertheless."""

    def __init__(
        self, networks: Networks = (), *, resolve: Resolve = resolved, tls: ssl.SSLContext | None = None
    ) -> None:
        self._networks, self._resolve = networks, resolve
        self._tls = tls or ssl.create_default_context()

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Delivered:
        begun = time.monotonic()
        try:
            found = self._sent(url, headers, body, begun + ALL_SECONDS)
        except Exception as error:
            found = Delivered(error=_kind(error))
        return Delivered(found.status, found.error, found.head, found.retry_after, _ms(begun))

    def _sent(self, url: str, headers: Mapping[str, str], body: bytes, deadline: float) -> Delivered:
        parts, _, port = _read(url)
        networks = self._networks
        guard = _Guard(networks, self._resolve, deadline, is_plain=_is_plain(parts, port))
        sent: dict[str | bytes, str | bytes] = dict(headers.items())
        sent |= {"Content-Length": str(len(body)), "Connection": "close"}
        limits = {"connect": CONNECT_SECONDS, "read": ALL_SECONDS, "write": ALL_SECONDS, "pool": ALL_SECONDS}
        with (
            httpcore.ConnectionPool(ssl_context=self._tls, max_connections=1, network_backend=guard) as pool,
            pool.stream(
                "POST",
                url,
                headers=sent,
                content=body,
                extensions={"timeout": limits},
            ) as answer,
        ):
            told = {name.lower(): value for name, value in answer.headers}
            pause = _pause(told.get(b"retry-after", b"")) if answer.status in (429, 503) else None
            return Delivered(answer.status, head=_head(answer.iter_stream()), retry_after=pause)


class _Guard(httpcore.NetworkBackend):
    """Connects one request: to an address of the name that was looked at, and until its deadline."""

    def __init__(self, networks: Networks, resolve: Resolve, deadline: float, *, is_plain: bool) -> None:
        self._networks, self._resolve, self._deadline = networks, resolve, deadline
        self._is_plain = is_plain
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = self._resolve(host.strip("[]"), port)
        if not addresses or any(not is_allowed(one, self._networks) for one in addresses):
            raise Forbidden(host)
        if not self._is_plain and not _all_inside(addresses, self._networks):
            raise Forbidden(host)
        for address in addresses[:-1]:
            with suppress(httpcore.NetworkError, httpcore.TimeoutException):
                return self._connected(address, port, timeout)
        return self._connected(addresses[-1], port, timeout)

    def _connected(self, address: str, port: int, timeout: float | None) -> httpcore.NetworkStream:
        stream = self._backend.connect_tcp(address, port, _left(self._deadline, timeout))
        return _Stream(stream, self._deadline)


class _Stream(httpcore.NetworkStream):
    """A stream on which all waiting together ends at a deadline, however little comes at a time."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline, timeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        limit = _left(self._deadline, timeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, limit), self._deadline)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float, timeout: float | None) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout
    return left if timeout is None else min(left, timeout)


def _head(parts: Iterable[bytes]) -> str | None:
    """How an answer begins; less where it breaks off: its status is what decides."""
    read = b""
    with suppress(httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError):
        for part in parts:
            read += part
            if len(read) >= HEAD_BYTES:
                break
    text = read[:HEAD_BYTES].decode("utf-8", "replace")
    return "".join(sign if sign.isprintable() else " " for sign in text).strip() or None


def _pause(value: bytes) -> int | None:
    """Seconds of a Retry-After header; None where it says nothing that can be read."""
    text = value.decode("latin-1").strip()
    try:
        if text.isdecimal():
            seconds = int(text[:9])
        else:
            at = parsedate_to_datetime(text)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            seconds = int((at - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0), LONGEST_PAUSE)


def _kind(error: Exception) -> str:
    """A failure by its class: what an internal port said is not told."""
    if isinstance(error, BillingError | Forbidden):
        return "forbidden_address"
    if isinstance(error, socket.gaierror | UnicodeError):
        return "unknown_host"
    if isinstance(error, httpcore.TimeoutException | TimeoutError):
        return "timeout"
    text = f"{error} {error.__cause__} {error.__context__}"
    if isinstance(error, ssl.SSLError) or "SSL" in text:
        return "bad_certificate"
    if isinstance(error, httpcore.ConnectError):
        return "not_connected"
    if isinstance(error, httpcore.NetworkError | OSError):
        return "broken_connection"
    return "bad_answer"


def _ms(begun: float) -> int:
    return int((time.monotonic() - begun) * 1000)
