"""How the dashboard's server is started: one command, given the workspace, a port and an address.

Without sign-in everybody who reaches the server is the local reader, so it then listens to this machine only.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from streamlit.starlette import App

from dashboard.people.routes import routes
from dashboard.people.settings import THIS_MACHINE, SettingsError, SignIn, read_sign_in

APP = Path(__file__).parent / "app.py"


def command(home: Path, port: int, address: str = "127.0.0.1") -> list[str]:
    """The command that serves the companies in `home` at `address`:`port` until it is ended.

    Its settings lie beside the app, in .streamlit/config.toml.
    """
    return [sys.executable, "-m", "dashboard.serve", str(home), str(port), address]


def application(settings: SignIn) -> App:
    """The dashboard with the routes that its way of signing in needs."""
    secrets = {"auth": dict(settings.auth)} if settings.auth else None
    return App(APP, secrets=secrets, routes=routes(settings, lambda: datetime.now(UTC)))


def main(home: str, port: str, address: str) -> None:
    """Serve until the process is ended. Settings that cannot be used end it at once, with one sentence."""
    try:
        settings = read_sign_in(Path(home))
    except SettingsError as error:
        _stop(str(error))
    why_not = settings.refusal(address)
    if why_not:
        _stop(why_not)
    os.environ["TAJDID_HOME"] = home
    os.environ["DO_NOT_TRACK"] = "1"
    sys.argv = [str(Path(__file__))]  # .streamlit/config.toml is looked for beside it
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log addresses with codes in them
    hosts = sorted({*THIS_MACHINE - {"::1"}, *settings.hosts})
    application(settings).run(
        config={"server.port": int(port), "server.address": address, "server.allowedHosts": hosts}
    )


def _stop(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main(*sys.argv[1:4])
