"""The workspace: which companies there are, and what each one's company.toml says.

A company is a folder with a company.toml. This module reads that file and turns it into the request that a
warehouse build takes. It asks no clock: the day is given by the caller.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from billing.gateways.signatures import is_secret
from pipelines.policy import PolicyError, read_policy
from pipelines.run import BuildRequest, SourceConfig
from pipelines.sources import app

PROJECT = Path(__file__).resolve().parents[1]
OF_NO_LOADER = ("kind", "location", "fresh_within_days")
SOURCE_KINDS = ("billing", "crm", "orders", "periods", "rates", "stripe")
KEYS = {
    "name",
    "title_en",
    "title_ar",
    "sample",
    "as_of",
    "max_reject_share_bp",
    "incremental",
    "database_url",
    "app_database",
    "sources",
    "stock",
    "gateway",
    "mode",
    "serve",
}


class WorkspaceError(Exception):
    """Wrong or missing configuration. The message says what, where, and what to do."""


@dataclass(frozen=True)
class Company:
    """One company of the workspace, as its company.toml describes it."""

    name: str
    folder: Path
    title_en: str
    title_ar: str
    is_sample: bool
    as_of: date | None
    max_reject_share_bp: int
    database_url: str
    sources: tuple[SourceConfig, ...]
    app_database: str
    """Address of what people write about the company."""
    is_incremental: bool = True
    """Whether a build may add to the last one instead of making all rows anew."""
    stock: dict[str, Any] | None = None
    """The stock that bill runs ask first: `kind` simulated, `seed`, `out_ppm` (of the days, unplanned goods
    are out of stock), `deliveries` (each `sku`, `quantity`, `on`)."""
    gateway: dict[str, Any] | None = None
    """The gateway that collects: `kind` simulated, `seed`, `decline_ppm`, `fee_ppm`, `books` (a file in the
    company's folder that keeps what it charged; default gateway.db), `notice_secret` (signs what it tells
    unasked). A sandbox always has it."""
    mode: Literal["live", "test"] = "live"
    """`test`: a sandbox, whose API keys are of their own kind and whose clock may be set. A sample is one."""
    serve: dict[str, Any] = field(default_factory=dict)
    """How servers are reached: `api_url`, `portal_url`, `admin_url`, `dashboard_url`, `proxies` and
    `webhook_networks` (networks such as 10.0.0.0/8). Who is written to about them, and in which language:
    `notices_to` (addresses; default those of the sellers), `notices_language` (en or ar)."""


def companies(home: Path) -> list[str]:
    """Names of the folders in `home` that hold a company.toml, sorted."""
    return sorted(path.parent.name for path in home.glob("*/company.toml"))


def load_company(home: Path, name: str | None) -> Company:
    """Read one company; without a name, the only one there is.

    Raises WorkspaceError when there is none, when several leave the choice open, or when the file is wrong.
    """
    known = companies(home)
    if name is None:
        if len(known) != 1:
            choice = ", ".join(known) or "none yet: run `tajdid demo`"
            raise WorkspaceError(f"Say which company with --company NAME (there: {choice}).")
        name = known[0]
    if name not in known:
        raise WorkspaceError(f"No company '{name}' in {home} (there: {', '.join(known) or 'none'}).")
    path = home / name / "company.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return _company(path.parent, content)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WorkspaceError(f"{path} is no valid TOML: {error}.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise WorkspaceError(f"{path}: {error}.") from error


def build_request(company: Company, at: datetime, *, is_full: bool = False) -> BuildRequest:
    """What a warehouse build of this company takes; the as-of day defaults to the day before `at`.

    is_full: all rows are to be made anew, whatever company.toml says.

    Raises WorkspaceError when policy.toml is wrong.
    """
    as_of = company.as_of or (at.date() - timedelta(days=1))
    try:
        policy = read_policy(company.folder / "policy.toml")
    except PolicyError as error:
        raise WorkspaceError(str(error)) from error
    return BuildRequest(
        company=company.name,
        folder=company.folder,
        project=PROJECT,
        as_of=as_of,
        built_at=at,
        policy=policy,
        sources=(*company.sources, *_records(company)),
        is_sample=company.is_sample,
        max_reject_share_bp=company.max_reject_share_bp,
        is_full=is_full or not company.is_incremental,
    )


def _records(company: Company) -> tuple[SourceConfig, ...]:
    """What people wrote, as a source; nothing where nobody has written yet."""
    if app.state_of(company.app_database) == app.NOTHING:
        return ()
    return (SourceConfig(app.NAME, "app", company.app_database),)


def _company(folder: Path, content: dict[str, Any]) -> Company:
    unknown = set(content) - KEYS
    if unknown:
        raise ValueError(f"unknown setting {', '.join(sorted(unknown))}; known are {', '.join(sorted(KEYS))}")
    as_of = content.get("as_of")
    if as_of is not None and (not isinstance(as_of, date) or isinstance(as_of, datetime)):
        raise ValueError("as_of must be a date such as 2025-12-31, without quotes")
    for key in ("name", "title_en", "title_ar", "database_url", "app_database"):
        if not isinstance(content.get(key, ""), str):
            raise ValueError(f"{key} must be a text")
    share = content.get("max_reject_share_bp", 10)
    if type(share) is not int or not 0 <= share <= 10_000:
        raise ValueError("max_reject_share_bp must be a whole number from 0 to 10000")
    if not isinstance(content.get("incremental", True), bool):
        raise ValueError("incremental must be true or false")
    sources = content.get("sources", {})
    if not isinstance(sources, dict):
        raise ValueError("sources must be a table, with one part [sources.NAME] for each")
    name = content.get("name", folder.name)
    database_url = _database_url(folder, content.get("database_url", "sqlite:///billing.db"))
    mode = _mode(content)
    return Company(
        name=name,
        folder=folder,
        title_en=content.get("title_en", name),
        title_ar=content.get("title_ar", name),
        is_sample=bool(content.get("sample", False)),
        as_of=as_of,
        max_reject_share_bp=share,
        is_incremental=content.get("incremental", True),
        database_url=database_url,
        app_database=_database_url(folder, content.get("app_database", f"sqlite:///{app.NAME}")),
        stock=_stock(content.get("stock")),
        gateway=_gateway(content.get("gateway", {"kind": "simulated"} if mode == "test" else None)),
        mode=mode,
        serve=_serve(content.get("serve")),
        sources=tuple(_source(folder, source, options, database_url) for source, options in sources.items()),
    )


STOCK_KEYS = {"kind", "seed", "out_ppm", "deliveries"}
DELIVERY = {"sku": str, "quantity": int, "on": date}


def _stock(options: Any) -> dict[str, Any] | None:
    if options is None:
        return None
    if not isinstance(options, dict) or options.get("kind") != "simulated":
        raise ValueError('stock must be a table [stock] with kind = "simulated"')
    if unknown := set(options) - STOCK_KEYS:
        raise ValueError(f"unknown setting of stock {', '.join(sorted(unknown))}")
    if any(type(options.get(name, 0)) is not int for name in ("seed", "out_ppm")):
        raise ValueError("seed and out_ppm of stock must be whole numbers")
    for one in options.get("deliveries", []):
        if not isinstance(one, dict) or any(
            type(one.get(name)) is not kind for name, kind in DELIVERY.items()
        ):
            raise ValueError("deliveries of stock have a sku, a whole quantity and a date `on` each")
    return options


GATEWAY_KEYS = {"kind", "seed", "decline_ppm", "fee_ppm", "books", "notice_secret"}


def _gateway(options: Any) -> dict[str, Any] | None:
    if options is None:
        return None
    if not isinstance(options, dict) or options.get("kind") != "simulated":
        raise ValueError('gateway must be a table [gateway] with kind = "simulated"')
    if unknown := set(options) - GATEWAY_KEYS:
        raise ValueError(f"unknown setting of gateway {', '.join(sorted(unknown))}")
    if type(options.get("seed", 0)) is not int:
        raise ValueError("seed of gateway must be a whole number")
    for name in ("decline_ppm", "fee_ppm"):
        if type(options.get(name, 0)) is not int or not 0 <= options.get(name, 0) <= 1_000_000:
            raise ValueError(f"{name} of gateway must be a whole number from 0 to 1000000")
    secret = options.get("notice_secret")
    if secret is not None and not (isinstance(secret, str) and is_secret(secret)):
        raise ValueError("notice_secret of gateway must be whsec_ and 24 bytes or more in base64")
    books = options.get("books", "gateway.db")
    if not isinstance(books, str) or not books.strip():
        raise ValueError("books of gateway must be the name of a file")
    return options


def _mode(content: dict[str, Any]) -> Literal["live", "test"]:
    mode = content.get("mode", "test" if content.get("sample") else "live")
    if mode not in ("live", "test"):
        raise ValueError('mode must be "live" or "test"')
    return "test" if mode == "test" else "live"


ADDRESSES = ("api_url", "portal_url", "admin_url", "dashboard_url")
NETWORKS = ("proxies", "webhook_networks")
NOTICES = ("notices_to", "notices_language")


def _serve(options: Any) -> dict[str, Any]:
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise ValueError("serve must be a table, [serve]")
    if unknown := set(options) - {*ADDRESSES, *NETWORKS, *NOTICES}:
        raise ValueError(f"unknown setting of serve {', '.join(sorted(unknown))}")
    for name in ADDRESSES:
        parts = urlsplit(str(options.get(name, "http://localhost")))
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(f"{name} of serve must be an address such as https://pay.example.com")
    people = options.get("notices_to", [])
    if not isinstance(people, list) or not all(isinstance(one, str) and "@" in one for one in people):
        raise ValueError("notices_to of serve must be a list of e-mail addresses")
    if options.get("notices_language", "en") not in ("en", "ar"):
        raise ValueError('notices_language of serve must be "en" or "ar"')
    for name in NETWORKS:
        given = options.get(name, [])
        if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
            raise ValueError(f"{name} of serve must be a list of networks such as 10.0.0.0/8")
        for one in given:
            ip_network(one)
    return options


def _source(folder: Path, name: str, options: Any, database_url: str) -> SourceConfig:
    if not isinstance(options, dict):
        raise ValueError(f"source '{name}' must be a table: [sources.{name}]")
    kind = options.get("kind", name)
    if kind not in SOURCE_KINDS:
        raise ValueError(f"source '{name}' has unknown kind '{kind}'; known are {', '.join(SOURCE_KINDS)}")
    default = database_url if kind == "billing" else kind
    given = options.get("location", default)
    if not isinstance(given, str):
        raise ValueError(f"source '{name}': location must be a text")
    location = _database_url(folder, given) if kind == "billing" else str(folder / given)
    days = options.get("fresh_within_days", 1)
    if type(days) is not int or days < 1:
        raise ValueError(f"source '{name}': fresh_within_days must be a whole number of days, 1 or more")
    # What a source promises is told beside the figures; it changes nothing of what is loaded.
    rest = {key: value for key, value in options.items() if key not in OF_NO_LOADER}
    return SourceConfig(name=name, kind=kind, location=location, options=rest)


def _database_url(folder: Path, url: str) -> str:
    """A relative SQLite file lies in the company's folder."""
    prefix = "sqlite:///"
    if url.startswith(prefix) and not url.startswith("sqlite:////"):
        return prefix + str(folder / url.removeprefix(prefix))
    return url
