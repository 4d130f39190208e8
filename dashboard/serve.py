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

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.starlette import App

from dashboard.people.routes import routes
from dashboard.people.settings import THIS_MACHINE, SettingsError, SignIn, read_sign_in

APP = Path(__file__).parent / "app.py"
HEADERS = {
    "Content-Security-Policy": (
        "img-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'self'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}
"""No other site shows the dashboard within its own pages, none is asked for a picture, and none is told where
a reader was. The sign-in form has stricter ones of its own."""


def command(home: Path, port: int, address: str = "127.0.0.1") -> list[str]:
    """The command that serves the companies in `home` at `address`:`port` until it is ended.

    Its settings lie beside the app, in .streamlit/config.toml.
    """
    return [sys.executable, "-m", "dashboard.serve", str(home), str(port), address]


def application(settings: SignIn) -> App:
    """The dashboard with the routes that its way of signing in needs."""
    secrets = {"auth": dict(settings.auth)} if settings.auth else None
    return App(
        APP,
        secrets=secrets,
        routes=routes(settings, lambda: datetime.now(UTC)),
        middleware=[Middleware(WithHeaders)],
    )


class WithHeaders:
    """Gives every answer the HEADERS that it does not have itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, sent if scope["type"] == "http" else send)


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
