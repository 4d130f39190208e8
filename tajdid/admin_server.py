"""The server of the admin screens: `python -m tajdid.admin_server HOME COMPANY api=8510 … admin=8512`."""

from __future__ import annotations

import sys

from billing.admin.app import application
from billing.web.context import now
from billing.web.layers import Door
from tajdid.server import ADDRESS, serve, started_with
from tajdid.services import LOCAL_NAMES, Addresses, services_of
from tajdid.staff import PeopleDoor, StaffError


def main(arguments: list[str]) -> None:
    """Serve until the process is ended. Settings of sign-in that cannot be used end it with one sentence."""
    home, company, ports = started_with(arguments)
    addresses = Addresses.of(company, ports)
    try:
        staff = PeopleDoor(home, company.folder.name, now, addresses.admin)
    except StaffError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    why_not = staff.refusal(ADDRESS)
    if why_not:
        print(why_not, file=sys.stderr)
        raise SystemExit(2)
    services = services_of(company, addresses)
    # Without sign-in a name of the portal or the API, which a proxy passes on, opens nothing here.
    hosts = LOCAL_NAMES if staff.is_open else services.allowed_hosts
    door = Door(hosts=hosts, proxies=services.proxies)
    titles = {"en": company.title_en, "ar": company.title_ar}
    serve(
        application(services, staff, titles=titles, company=company.folder.name, listens=door),
        ports["admin"],
    )


if __name__ == "__main__":
    main(sys.argv[1:])
