"""`tajdid serve` and `tajdid backup`: a company's servers, and a copy of all that it keeps."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tajdid.console import CompanyOption, chosen, home, now, say, stop

if TYPE_CHECKING:
    from tajdid.workspace import Company

API, PORTAL, ADMIN = 8510, 8511, 8512
"""The ports that are tried first."""


def serve(
    company: CompanyOption = None,
    api_port: Annotated[int, typer.Option(help="Port of the API.")] = API,
    portal_port: Annotated[int, typer.Option(help="Port of the customer portal.")] = PORTAL,
    admin_port: Annotated[int, typer.Option(help="Port of the admin screens.")] = ADMIN,
    worker: Annotated[
        bool, typer.Option(help="Deliver webhooks, and move the clock of a sandbox, here too.")
    ] = True,
) -> None:
    """Serve a company's API, customer portal and admin screens, on this machine only.

    A reverse proxy stands before them: docs/operations.md. Ctrl+C or SIGTERM ends all of them.

    Example: tajdid serve --company atlas
    """
    one = chosen(company)
    run(one, {"api": api_port, "portal": portal_port, "admin": admin_port}, with_worker=worker)


def run(
    company: Company,
    ports: Mapping[str, int],
    *,
    with_worker: bool = True,
    beside: Callable[[], subprocess.Popen[bytes]] | None = None,
) -> None:
    """Serve a company until this process is told to end, or what stands `beside` its servers ends."""
    from tajdid.serve import Running, ServeError, end, running, told_to_end, watch
    from tajdid.services import Addresses, open_sandbox
    from tajdid.staff import PeopleDoor, StaffError

    _require_form(company)
    open_sandbox(company)
    served = dict(ports)
    try:
        staff = PeopleDoor(home(), company.folder.name, now, Addresses.of(company, ports).admin)
        if staff.is_open:
            say("There is no sign-in: everybody at this machine is staff.")
    except StaffError as error:
        say(str(error))
        del served["admin"]
    try:
        with told_to_end(), running(home(), company, served, with_worker=with_worker) as children:
            for part, path in (("api", "/docs/errors"), ("portal", "/portal/"), ("admin", "/admin/")):
                if part in served:
                    say(f"{part:7} http://localhost:{served[part]}{path}")
            say("Ready (Ctrl+C ends all of them)")
            other = beside() if beside is not None else None
            try:
                watch(children, lambda: other is None or other.poll() is None)
            finally:
                if other is not None:
                    end([Running("dashboard", other)])
    except KeyboardInterrupt:
        raise SystemExit(0) from None
    except ServeError as error:
        stop(str(error), 1)


def _require_form(company: Company) -> None:
    from dashboard.engine import BUSY, NEWER_FORM, NOT_THERE, OLDER_FORM, EngineProblem
    from tajdid.engine.opening import reading

    told = {
        NOT_THERE: "does not answer, or is not there yet (`tajdid billing migrate` makes it).",
        OLDER_FORM: "is of an older form than this version's: run `tajdid billing migrate`.",
        BUSY: "is busy: try again.",
    }
    try:
        with reading(company.database_url):
            return
    except EngineProblem as problem:
        if problem.kind == NEWER_FORM:
            stop(problem.detail, 2)
        why = told.get(problem.kind, f"cannot be served: {problem}.")
        stop(f"The billing database of {company.name} {why}", 2)


def serve_demo(port: int) -> None:
    """The dashboard of the samples, and beside it the servers of atlas, each with links to the others."""
    from billing.store.store import open_store
    from tajdid.cli import free_port
    from tajdid.dashboard_server import command
    from tajdid.workspace import load_company

    ports: dict[str, int] = {}
    for part, first in (("api", API), ("portal", PORTAL), ("admin", ADMIN)):
        ports[part] = free_port(max(first, *(one + 1 for one in ports.values()), first))
    chosen_port = free_port(port)
    own = {f"TAJDID_{part.upper()}_URL": f"http://localhost:{ports[part]}" for part in ports}
    os.environ |= own | {"TAJDID_SERVED": "atlas", "TAJDID_HOME": str(home())}
    os.environ["TAJDID_DASHBOARD_URL"] = f"http://localhost:{chosen_port}"

    def dashboard() -> subprocess.Popen[bytes]:
        say(f"Dashboard: http://localhost:{chosen_port}")
        return subprocess.Popen(command(home(), chosen_port))

    atlas = load_company(home(), "atlas")
    with open_store(atlas.database_url) as store:
        store.migrate()
    run(atlas, ports, beside=dashboard)


def backup(
    out: Annotated[Path, typer.Argument(help="The new folder; it must not exist yet.")],
    company: CompanyOption = None,
) -> None:
    """Copy a company's databases, settings and keys into a folder, while everything runs.

    The folder holds secrets: keep it where the company's own folder could lie. How to restore one:
    docs/operations.md.

    Example: tajdid backup /backups/atlas-2026-01-31 --company atlas
    """
    from tajdid.backup import BackupError, back_up

    try:
        kept = back_up(chosen(company), out, now())
    except BackupError as error:
        stop(str(error), 1)
    for one in kept:
        say(f"  {one.name:14} {one.size:>14,} bytes")
    say(f"Kept in {out}")
