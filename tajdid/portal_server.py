"""The portal's server: `python -m tajdid.portal_server HOME COMPANY api=8510 portal=8511 …`."""

from __future__ import annotations

import sys
from typing import Any

from billing.gateways.hosted_simulated import SimulatedFields
from billing.portal.app import application
from billing.web.layers import Door
from billing.web.rates import Rates
from tajdid.mailer import mailer_of
from tajdid.server import serve, started_with
from tajdid.services import Addresses, services_of


def main(arguments: list[str]) -> None:
    """Serve until the process is ended."""
    home, company, ports = started_with(arguments)
    addresses = Addresses.of(company, ports)
    more: dict[str, Any] = {}
    if company.mode == "test":
        more["hosted"] = SimulatedFields(addresses.api, books=company.folder / "hosted.db")
    services = services_of(company, addresses)
    app = application(
        services,
        mailer=mailer_of(home, company),
        titles={"en": company.title_en, "ar": company.title_ar},
        url=addresses.portal,
        more=more,
        door=Door(hosts=services.allowed_hosts, proxies=services.proxies, rates=Rates()),
    )
    serve(app, ports["portal"])


if __name__ == "__main__":
    main(sys.argv[1:])
