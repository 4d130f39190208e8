"""Files that pages need beside their HTML: the stylesheet, scripts and fonts, all of this house.

An address carries a digest of the content, so a browser keeps a file for ever and asks for a new one at once.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
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
_FOR_EVER = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    content: bytes
    kind: str
    digest: str


@cache
def assets() -> MappingProxyType[str, Asset]:
    """All files that are served, by their path below the folder; read once."""
    found = {}
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in _KINDS:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:12]
            found[path.relative_to(FOLDER).as_posix()] = Asset(content, _KINDS[path.suffix], digest)
    return MappingProxyType(found)


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
