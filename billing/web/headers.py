"""Headers that every answer carries, so that a browser neither guesses, frames, keeps nor leaks what it is
given.

A page that needs more sets its own header, which is left as it is. Values are never made from what a client
sent.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The content policy of answers for programs: nothing is loaded, nothing is run."""

_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "accelerometer=(), camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
_YEAR = 31_536_000


class SecurityHeaders:
    """Gives every answer the headers it does not have itself. `policy`: its Content-Security-Policy. An
    answer over https also says that the host is reached by https only."""

    def __init__(self, app: ASGIApp, policy: str = NOTHING) -> None:
        self._app = app
        self._headers = {**_HEADERS, "Content-Security-Policy": policy}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if scope.get("scheme") == "https":
                    headers.setdefault("Strict-Transport-Security", f"max-age={_YEAR}; includeSubDomains")
            await send(message)

        await self._app(scope, receive, sent if scope["type"] == "http" else send)
