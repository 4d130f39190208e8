"""The API's server: `python -m tajdid.api_server HOME COMPANY api=8510 portal=8511 …`."""

from __future__ import annotations

import sys

from billing.api.app import BULK, application
from billing.api.keys import Door as KeyDoor
from billing.gateways.hosted_simulated import PATH, SimulatedFields, page
from billing.web.layers import Door
from billing.web.rates import Rates
from tajdid.server import serve, started_with
from tajdid.services import Addresses, services_of


def main(arguments: list[str]) -> None:
    """Serve until the process is ended."""
    _home, company, ports = started_with(arguments)
    addresses = Addresses.of(company, ports)
    services = services_of(company, addresses)
    door = Door(
        hosts=services.allowed_hosts, proxies=services.proxies, rates=Rates(bulk_paths=frozenset(BULK))
    )
    app = application(services, KeyDoor(), door=door)
    if company.mode == "test":
        fields = SimulatedFields(addresses.api, books=company.folder / "hosted.db")
        app.mount(PATH, page(fields, services.clock))
    serve(app, ports["api"])


if __name__ == "__main__":
    main(sys.argv[1:])
