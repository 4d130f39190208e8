"""How people sign in, as the workspace's dashboard.toml says. Without sign-in in it, nobody does.

[sign_in]
kind = "oidc"            # or "password", for one machine
claim = "email"          # oidc: the claim that names the reader
session_hours = 12

[auth]                   # oidc: Streamlit's own names, here or in its secrets
redirect_uri = "https://numbers.example.com/oauth2callback"
cookie_secret = "..."
client_id = "..."
client_secret = "..."
server_metadata_url = "https://login.example.com/.well-known/openid-configuration"
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from dashboard.records.database import records_url

FILE_NAME = "dashboard.toml"
THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})
AUTH_KEYS = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
LEAST_SECRET_CHARACTERS = 32
LONGEST_SESSION_HOURS = 24 * 30


class SettingsError(Exception):
    """dashboard.toml cannot be used. The message says what and where, and never repeats a secret."""


@dataclass(frozen=True)
class SignIn:
    """How people sign in.

    `auth` is what Streamlit is given for OIDC, never shown; `people_url` is where people and roles are kept.
    """

    kind: Literal["none", "password", "oidc"]
    people_url: str
    claim: str = "email"
    session: timedelta = timedelta(hours=12)
    auth: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False, compare=False)
    hosts: tuple[str, ...] = ()

    def refusal(self, address: str) -> str | None:
        """Why the server may not listen at `address`; None when it may."""
        if address in THIS_MACHINE or self.kind == "oidc":
            return None
        if self.kind == "password":
            return (
                f"Sign-in by password is for one machine, so the dashboard is not served at {address}. "
                "Set up sign-in by OIDC in dashboard.toml, or leave the address out."
            )
        return (
            f"The dashboard has no sign-in, so it is served on this machine only, not at {address}. "
            "Set up sign-in in dashboard.toml first (docs/people.md), or leave the address out."
        )


def read_sign_in(home: Path) -> SignIn:
    """The settings of the workspace `home`. Raises SettingsError when its dashboard.toml cannot be used."""
    path = home / FILE_NAME
    try:
        changed = os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return SignIn("none", records_url(home, {}))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from error
    return _read(path, changed)


@lru_cache(maxsize=16)
def _read(path: Path, changed: int) -> SignIn:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError:  # its message may hold a part of the file
        raise SettingsError(f"{path} is no valid TOML.") from None
    try:
        return _sign_in(path.parent, content)
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from error


def _sign_in(home: Path, content: Mapping[str, Any]) -> SignIn:
    wanted, auth = _table(content, "sign_in"), _table(content, "auth")
    unknown = set(wanted) - {"kind", "claim", "session_hours"}
    if unknown:
        raise ValueError(f"unknown setting of [sign_in]: {', '.join(sorted(unknown))}")
    kind = wanted.get("kind", "oidc" if auth else "none")
    if kind not in ("none", "password", "oidc"):
        raise ValueError('kind must be "oidc", "password" or "none"')
    hours = wanted.get("session_hours", 12)
    if type(hours) not in (int, float) or not 0 < hours <= LONGEST_SESSION_HOURS:
        raise ValueError(f"session_hours must be a number from 1 to {LONGEST_SESSION_HOURS}")
    claim = wanted.get("claim", "email")
    if not isinstance(claim, str) or not claim:
        raise ValueError("claim must be the name of a claim, such as email")
    hosts: tuple[str, ...] = ()
    if kind == "oidc" and auth:
        check_auth(auth)
        hosts = (str(urlsplit(auth["redirect_uri"]).hostname),)
    return SignIn(kind, records_url(home, content), claim, timedelta(hours=hours), auth, hosts)


def _table(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = content.get(name, {})
    if not isinstance(table, dict):
        raise ValueError(f"{name} must be a table, [{name}]")
    return table


def check_auth(auth: Mapping[str, Any]) -> None:
    """Raises ValueError for settings of OIDC that lack something or are not safe."""
    for key in AUTH_KEYS:
        if not isinstance(auth.get(key), str) or not auth[key]:
            raise ValueError(f"[auth] lacks {key}")
    if len(auth["cookie_secret"]) < LEAST_SECRET_CHARACTERS:
        raise ValueError(f"cookie_secret must have at least {LEAST_SECRET_CHARACTERS} characters")
    for key in ("redirect_uri", "server_metadata_url"):
        parts = urlsplit(auth[key])
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in THIS_MACHINE):
            raise ValueError(f"{key} must begin with https:// (http:// only on this machine)")
    if urlsplit(auth["redirect_uri"]).path.split("/")[-1] != "oauth2callback":
        raise ValueError("redirect_uri must end with /oauth2callback")
