"""Cookies of people who sign in: sent to nobody but this site, and never to a script.

Behind https a name carries the prefix `__Host-`, which browsers keep to one host and to secure transport. By
plain http, for a machine of one's own, there is neither.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie of this site. base_url: where people reach it."""

    plain_name: str
    base_url: str

    @property
    def is_secure(self) -> bool:
        return self.base_url.startswith("https://")

    @property
    def name(self) -> str:
        return f"__Host-{self.plain_name}" if self.is_secure else self.plain_name

    def of(self, request: Request) -> str | None:
        """What the browser sent; None for nothing or for what no cookie of ours looks like."""
        value = request.cookies.get(self.name)
        return value if value and len(value) <= 200 and value.isascii() else None

    def give(self, response: Response, value: str, *, seconds: int) -> None:
        response.set_cookie(
            self.name,
            value,
            max_age=seconds,
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="lax",
        )

    def take_back(self, response: Response) -> None:
        response.delete_cookie(self.name, path="/", secure=self.is_secure, httponly=True, samesite="lax")
