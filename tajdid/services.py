"""What a server process of a company works with: made from its company.toml and the environment, once."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, time
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from billing.core.money import BillingError
from billing.gateways.gateway import Answer, Charge, Gateway, Notices
from billing.gateways.simulated_notices import SimulatedNotices
from billing.store.store import open_store
from billing.web.context import Services, now
from billing.web.seal import Vault
from billing.web.stores import Stores
from tajdid.workspace import Company, WorkspaceError

KEY_FILE = "secret.key"
KEY_BYTES = 32
LOCAL_NAMES = ("127.0.0.1", "localhost")
Networks = tuple[IPv4Network | IPv6Network, ...]


@dataclass(frozen=True)
class Addresses:
    """Where people and programs reach each part."""

    api: str
    portal: str
    admin: str | None
    dashboard: str | None

    @classmethod
    def of(cls, company: Company, ports: Mapping[str, int]) -> Addresses:
        """As company.toml says under [serve], else as the environment does (TAJDID_API_URL …), else on this
        machine."""

        def found(part: str) -> str | None:
            given = company.serve.get(f"{part}_url") or os.environ.get(f"TAJDID_{part.upper()}_URL")
            if given:
                return str(given).rstrip("/")
            return f"http://localhost:{ports[part]}" if part in ports else None

        return cls(found("api") or "", found("portal") or "", found("admin"), found("dashboard"))


class NoGateway:
    """Stands where company.toml names no gateway: nothing can be charged or given back."""

    def charge(self, charge: Charge) -> Answer:
        raise BillingError("missing_value", "no gateway is set up: company.toml names none")

    def refund(self, key: str, charge_key: str, amount_minor: int) -> Answer:
        raise BillingError("missing_value", "no gateway is set up: company.toml names none")

    def find(self, key: str) -> Answer | None:
        raise BillingError("missing_value", "no gateway is set up: company.toml names none")


class GatewayOfThreads:
    """A gateway for several threads: each makes one of its own, on the same books."""

    def __init__(self, make: Callable[[], Gateway]) -> None:
        self._make, self._local = make, threading.local()

    def charge(self, charge: Charge) -> Answer:
        """See Gateway."""
        return self._mine.charge(charge)

    def refund(self, key: str, charge_key: str, amount_minor: int) -> Answer:
        """See Gateway."""
        return self._mine.refund(key, charge_key, amount_minor)

    def find(self, key: str) -> Answer | None:
        """See Gateway."""
        return self._mine.find(key)

    @property
    def _mine(self) -> Gateway:
        found: Gateway | None = getattr(self._local, "gateway", None)
        if found is None:
            found = self._local.gateway = self._make()
        return found


def services_of(company: Company, addresses: Addresses) -> Services:
    """What the processes of a company work with. Raises WorkspaceError for a key file that is none, and a
    token of the figures that could be guessed."""
    stores = Stores(company.database_url)
    return Services(
        stores=stores,
        gateway=gateway_of(company),
        notices=notices_of(company),
        vault=Vault(key_of(company.folder)),
        clock=_clock(company, stores),
        mode=company.mode,
        base_url=addresses.api,
        allowed_hosts=_hosts(addresses),
        proxies=_networks(company.serve.get("proxies", ())),
        webhook_networks=_networks(company.serve.get("webhook_networks", ())),
        metrics_token=_metrics_token(),
        portal_url=addresses.portal,
        admin_url=addresses.admin,
        dashboard_url=addresses.dashboard,
    )


def _clock(company: Company, stores: Stores) -> Any:
    """A company for trying has a clock of its own, which may be set; any other has that of the world."""
    if company.mode != "test":
        return now
    from billing.web.clock import SetClock

    return SetClock(stores)


def gateway_of(company: Company) -> Gateway:
    """The gateway that company.toml names."""
    if company.gateway is None:
        return NoGateway()
    from tajdid.billing_commands import simulated_gateway

    options = company.gateway
    return GatewayOfThreads(lambda: simulated_gateway(company.folder, options))


def notices_of(company: Company) -> Notices | None:
    """What reads the gateway's notices; None where company.toml names no secret that signs them."""
    secret = (company.gateway or {}).get("notice_secret")
    return SimulatedNotices(secret) if secret else None


def key_of(folder: Path) -> bytes:
    """The key by which secrets are sealed: TAJDID_SECRET (64 hexadecimal digits), else a file that is made
    once, readable by its owner alone. Raises WorkspaceError for one that is none."""
    given = os.environ.get("TAJDID_SECRET")
    path = folder / KEY_FILE
    if given:
        with suppress(ValueError):
            key = bytes.fromhex(given)
            if len(key) == KEY_BYTES:
                return key
        raise WorkspaceError("TAJDID_SECRET must be 64 hexadecimal digits.")
    if not path.exists():
        _make_key(path)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise WorkspaceError(f"{path} is no key of {KEY_BYTES} bytes.")
    return key


def _metrics_token() -> str | None:
    """What opens /metrics: TAJDID_METRICS_TOKEN. Raises WorkspaceError for one too short."""
    given = os.environ.get("TAJDID_METRICS_TOKEN") or None
    if given is not None and (len(given) < 32 or not given.isascii()):
        raise WorkspaceError("TAJDID_METRICS_TOKEN must have 32 signs of ASCII or more.")
    return given


def _make_key(path: Path) -> None:
    # Made whole under another name first: a process that starts beside this one never reads half of it.
    made = path.with_name(f".{KEY_FILE}.{os.getpid()}")
    made.touch(mode=0o600)
    made.write_bytes(secrets.token_bytes(KEY_BYTES))
    try:
        with suppress(FileExistsError):
            os.link(made, path)
    finally:
        made.unlink()


def _hosts(addresses: Addresses) -> tuple[str, ...]:
    """The names that requests may come for: this machine's, and those that people were told."""
    told = (addresses.api, addresses.portal, addresses.admin)
    names = {str(urlsplit(one).hostname) for one in told if one}
    return tuple(sorted({*LOCAL_NAMES, *names}))


def _networks(given: Any) -> Networks:
    return tuple(ip_network(one) for one in given)


def open_sandbox(company: Company) -> None:
    """Give a sandbox whose figures end on a day the evening of that day for its time, unless it has one:
    everything of that day is done."""
    if company.mode != "test" or company.as_of is None:
        return
    from billing.service.test_clock import clock_of, set_clock

    evening = datetime.combine(company.as_of, time(22), UTC)
    with open_store(company.database_url) as store, store.acting_as("serve"):
        if clock_of(store) is None:
            set_clock(store, evening, to=evening)
