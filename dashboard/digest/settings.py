"""How e-mail is sent, as the workspace's dashboard.toml says. Without [mail] in it, none is.

[mail]
host = "smtp.example.com"
port = 587                        # the default: 587, with security = "tls" 465
security = "starttls"             # or "tls"; "none" for a server on this machine alone
user = "tajdid"
password_env = "TAJDID_SMTP_PASSWORD"    # or password_file = "smtp-password"
sender = "Tajdid <numbers@example.com>"
link = "https://numbers.example.com"     # where readers open the dashboard
domains = ["example.com"]         # addresses may only be of these; without it, of any
timezone = "Asia/Kuwait"          # whose mornings count; the default is UTC
hour = 7                          # digests are due from this hour on
week_starts = "sunday"            # the day of weekly digests; the default is monday
ca_file = "company-ca.pem"        # certificates to trust besides those of the machine
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dashboard.records.mail import Refused, checked_address

FILE_NAME = "dashboard.toml"
SECURITY = ("starttls", "tls", "none")
THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
KINDS: Mapping[str, type] = {
    "host": str,
    "port": int,
    "security": str,
    "user": str,
    "password_env": str,
    "password_file": str,
    "sender": str,
    "link": str,
    "domains": list,
    "timezone": str,
    "hour": int,
    "week_starts": str,
    "ca_file": str,
}


class MailError(Exception):
    """[mail] of dashboard.toml cannot be used. The message says what and where, and holds no secret."""


@dataclass(frozen=True)
class MailSettings:
    """How e-mail is sent, and when digests are due.

    The password is read when a letter is sent, and is never kept here. `weekday` counts from Monday as 0.
    """

    host: str
    port: int
    security: str
    sender: str
    link: str
    user: str | None = None
    password_env: str | None = None
    password_file: Path | None = None
    domains: tuple[str, ...] = ()
    timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    hour: int = 7
    weekday: int = 0
    ca_file: Path | None = None

    def password(self) -> str | None:
        """The password. Raises MailError when it is named but not there."""
        if self.password_env:
            found = os.environ.get(self.password_env)
            if not found:
                raise MailError(f"The environment has no {self.password_env}, which [mail] names.")
            return found
        if self.password_file:
            try:
                return self.password_file.read_text(encoding="utf-8").strip()
            except OSError as error:
                raise MailError(f"{self.password_file} cannot be read: {error.strerror}.") from error
        return None


def read_mail(home: Path) -> MailSettings | None:
    """The settings of the workspace; None where it sends no e-mail. Raises MailError."""
    path = home / FILE_NAME
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MailError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError:  # its message may hold a part of the file
        raise MailError(f"{path} is no valid TOML.") from None
    if "mail" not in content:
        return None
    try:
        return _settings(home, content["mail"])
    except ValueError as error:
        raise MailError(f"{path}, [mail]: {error}") from error


def _settings(home: Path, given: Any) -> MailSettings:
    if not isinstance(given, dict):
        raise ValueError("it must be a table")
    if unknown := set(given) - set(KINDS):
        raise ValueError(f"unknown setting {', '.join(sorted(unknown))}")
    for name, value in given.items():
        if type(value) is not KINDS[name]:
            raise ValueError(
                f"{name} must be {'a text' if KINDS[name] is str else f'a {KINDS[name].__name__}'}"
            )
    for name in ("host", "sender", "link"):
        if not given.get(name):
            raise ValueError(f"{name} is missing")
    security = given.get("security", "starttls")
    if security not in SECURITY:
        raise ValueError(f"security must be one of {', '.join(SECURITY)}")
    if security == "none" and given["host"] not in THIS_MACHINE:
        raise ValueError('security = "none" is for a server on this machine alone')
    port = given.get("port", 465 if security == "tls" else 587)
    hour, weekday = given.get("hour", 7), given.get("week_starts", "monday")
    if not 1 <= port <= 65_535 or not 0 <= hour <= 23:
        raise ValueError("port must lie from 1 to 65535, hour from 0 to 23")
    if weekday not in WEEKDAYS:
        raise ValueError("week_starts must be the name of a day, such as sunday")
    if "password_env" in given and "password_file" in given:
        raise ValueError("name either password_env or password_file")
    files = {name: home / given[name] for name in ("password_file", "ca_file") if name in given}
    return MailSettings(
        given["host"],
        port,
        security,
        _sender(given["sender"]),
        _link(given["link"]),
        given.get("user"),
        given.get("password_env"),
        files.get("password_file"),
        tuple(str(domain).lower() for domain in given.get("domains", [])),
        _timezone(given.get("timezone", "UTC")),
        hour,
        WEEKDAYS.index(weekday),
        files.get("ca_file"),
    )


def _sender(written: str) -> str:
    name, address = parseaddr(written)
    try:
        checked_address(address)
    except Refused:
        raise ValueError("sender must be an e-mail address, with or without a name") from None
    if any(ord(sign) < 32 for sign in written):
        raise ValueError("sender must be one line")
    return f"{name} <{address}>" if name else address


def _link(written: str) -> str:
    parts = urlsplit(written)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("link must be the address of the dashboard, such as https://numbers.example.com")
    return written.rstrip("/")


def _timezone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no timezone {name!r}") from None
