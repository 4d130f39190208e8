"""An identity provider on this machine: OpenID Connect by code, with PKCE, for one client.

It says of people what it is told, signs with a key of its own, and checks what a provider has to: the client
and its secret, the address to go back to, that a code is used once, and that whoever brings it knows what its
challenge was made from.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from authlib.jose import JsonWebKey, RSAKey, jwt

CLIENT, SECRET = "tajdid", "client-secret-that-no-log-may-hold"


def new_key() -> RSAKey:
    return JsonWebKey.generate_key("RSA", 2048, {"kid": "k1", "use": "sig"}, is_private=True)


@dataclass
class Provider:
    """A provider that listens; `people` maps what a person clicks on to their claims."""

    address: str
    redirect_uri: str = ""
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    key: RSAKey = field(default_factory=new_key)
    signs_with: RSAKey | None = None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    says: dict[str, Any] = field(default_factory=dict)
    """What else it says about itself, or instead."""
    garbles: str = ""
    """The path of which nobody can read the answers."""

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "jwks_uri": f"{self.address}/jwks",
            "end_session_endpoint": f"{self.address}/leave",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        } | self.says

    def chooser(self, asked: dict[str, str]) -> str:
        """The page on which a person says who they are."""
        if asked.get("client_id") != CLIENT or asked.get("redirect_uri") != self.redirect_uri:
            self.refusals.append("client or address")
            return "<p>Unknown client.</p>"
        links = []
        for name in self.people:
            code = secrets.token_urlsafe(16)
            self.codes[code] = asked | {"person": name}
            back = f"{self.redirect_uri}?{urlencode({'code': code, 'state': asked['state']})}"
            links.append(f'<li><a href="{escape(back)}">{escape(name)}</a></li>')
        return (
            f"<!doctype html><html lang=en><title>Who?</title><h1>Who are you?</h1><ul>{''.join(links)}</ul>"
        )

    def token(self, form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """What a code is worth; nothing, where anything about it is wrong."""
        given = base64.b64decode(authorization.removeprefix("Basic ") or b"").decode()
        client = given or f"{form.get('client_id')}:{form.get('client_secret')}"
        asked = self.codes.pop(form.get("code", ""), None)
        proof = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(proof).rstrip(b"=").decode()
        if client != f"{CLIENT}:{SECRET}" or asked is None or asked.get("code_challenge") != challenge:
            self.refusals.append("code")
            return None
        now = int(time.time())
        claims = {"iss": self.address, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims |= self.people[asked["person"]]
        signed = jwt.encode({"alg": "RS256", "kid": "k1"}, claims, self.signs_with or self.key).decode()
        return {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "id_token": signed}


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider on a free port, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = dict(parse_qsl(parts.query))
            if parts.path == "/.well-known/openid-configuration":
                self._answer(json.dumps(one.metadata()))
            elif parts.path == "/jwks":
                self._answer(json.dumps({"keys": [one.key.as_dict(is_private=False)]}))
            elif parts.path == "/authorize":
                self._answer(one.chooser(asked), "text/html")
            elif parts.path == "/leave":
                self.send_response(302)
                self.send_header("Location", asked["post_logout_redirect_uri"])
                self.end_headers()
            else:
                self._answer("{}", status=404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            worth = one.token(form, self.headers.get("authorization", ""))
            self._answer(json.dumps(worth or {"error": "invalid_grant"}), status=200 if worth else 400)

        def _answer(self, content: str, kind: str = "application/json", status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if urlsplit(self.path).path == one.garbles:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one = Provider(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
