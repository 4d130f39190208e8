"""The API's server: `python -m tajdid.api_server HOME COMPANY api=8510 portal=8511 …`."""

from __future__ import annotations

import sys
from dataclasses import replace

from billing.api.app import MANY, application
from billing.api.keys import Door as KeyDoor
from billing.gateways.hosted_simulated import SimulatedFields, in_front_of
from billing.web.layers import Door
from billing.web.rates import Rates
from tajdid.server import serve, started_with
from tajdid.services import Addresses, services_of


def main(arguments: list[str]) -> None:
    """Serve until the process is ended."""
    _home, company, ports = started_with(arguments)
    addresses = Addresses.of(company, ports)
    services = services_of(company, addresses)
    rates = Rates(bulk_paths=frozenset(MANY))
    door = Door(hosts=services.allowed_hosts, proxies=services.proxies, rates=rates)
    if company.mode != "test":
        serve(application(services, KeyDoor(), door=door), ports["api"])
        return
    fields = SimulatedFields(addresses.api, books=company.folder / "hosted.db")
    app = application(replace(services, hosted=fields), KeyDoor(), door=door)
    serve(in_front_of(app, fields, services.clock), ports["api"])


if __name__ == "__main__":
    main(sys.argv[1:])
