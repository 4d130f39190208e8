"""Files that pages need beside their HTML: the stylesheet, scripts and fonts, all of this house.

An address carries a digest of the content, so a browser keeps a file for ever and asks for a new one at once:
also the addresses that stand in a stylesheet.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

FOLDER = Path(__file__).parent / "static"
_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_NAMED_IN_CSS = re.compile(rb'url\("([^"]+)"\)')
_FOR_EVER = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    content: bytes
    kind: str
    digest: str


@cache
def assets() -> MappingProxyType[str, Asset]:
    """All files that are served, by their path below the folder; read once."""
    paths = {path.relative_to(FOLDER).as_posix(): path for path in FOLDER.rglob("*") if path.suffix in _KINDS}
    found: dict[str, Asset] = {}
    for name in sorted(paths, key=lambda one: (one.endswith(".css"), one)):  # what a stylesheet names first
        content, kind = paths[name].read_bytes(), paths[name].suffix
        if kind == ".css":
            content = _naming_versions(content, name, found)
        digest = hashlib.sha256(content).hexdigest()[:12]
        found[name] = Asset(content, _KINDS[kind], digest)
    return MappingProxyType(found)


def _naming_versions(css: bytes, name: str, known: Mapping[str, Asset]) -> bytes:
    """A stylesheet in which the address of each file carries the file's digest too. Raises KeyError for an
    address of none of ours."""

    def versioned(found: re.Match[bytes]) -> bytes:
        beside = found[1].decode()
        digest = known[(PurePosixPath(name).parent / beside).as_posix()].digest
        return f'url("{beside}?v={digest}")'.encode()

    return _NAMED_IN_CSS.sub(versioned, css)


def address_of(prefix: str, name: str) -> str:
    """Where a file is served below a prefix such as `/portal`. Raises KeyError for none of ours."""
    return f"{prefix}/assets/{name}?v={assets()[name].digest}"


async def serve_asset(request: Request) -> Response:
    """The answer for `{prefix}/assets/{name:path}`."""
    asset = assets().get(request.path_params["name"])
    if asset is None:
        return Response(status_code=404)
    is_named = request.query_params.get("v") == asset.digest
    headers = {"cache-control": _FOR_EVER if is_named else "no-cache", "etag": f'"{asset.digest}"'}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.kind, headers=headers)
