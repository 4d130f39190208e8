"""Signing in at an identity provider (OpenID Connect): the code flow with state, nonce and PKCE.

What belongs to one sign-in is worked out of one random text, which only the browser that began it keeps, and
of the secret of dashboard.toml. So nothing is stored meanwhile, and whoever comes back with another browser,
later, for another page, or with a code that was not asked for here, is not signed in.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.jose import JsonWebKey, JsonWebToken
from authlib.oidc.core import CodeIDToken

SCOPE = "openid profile email"
SIGNED_BY = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Signatures that are taken: those that only the provider can make."""
LONGEST_AWAY = timedelta(minutes=10)
PATIENCE_SECONDS = 10.0
METADATA_SECONDS = 600.0
"""How long what the provider says about itself is remembered."""
_ADDRESSES = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_FAILURES = (httpx.HTTPError, httpx.InvalidURL)
"""What asking the provider ends in where there is no answer that can be read."""
logger = logging.getLogger(__name__)


class ProviderError(Exception):
    """The provider cannot be reached, or says nothing that can be used."""


class NotVouched(Exception):
    """The provider vouches for nobody, or not for who came back."""


class Provider:
    """An identity provider, for one client.

    auth: [auth] of dashboard.toml. redirect_uri: the one address that people come back to. differs: how far
    its clock may be from ours.
    """

    def __init__(
        self, auth: Mapping[str, Any], redirect_uri: str, clock: Callable[[], datetime], differs: timedelta
    ) -> None:
        self._auth, self._redirect_uri, self._clock, self._differs = auth, redirect_uri, clock, differs
        self._known: tuple[float, Mapping[str, Any]] | None = None

    def depart(self, target: str) -> tuple[str, str]:
        """The provider's address to go to, and what the browser keeps. Raises ProviderError."""
        kept = f"{int(self._clock().timestamp())}.{secrets.token_urlsafe(32)}"
        address, _ = self._client().create_authorization_url(
            self._metadata()["authorization_endpoint"],
            state=self._state(kept, target),
            nonce=self._made_of(kept, "nonce"),
            code_verifier=self._made_of(kept, "verifier"),
        )
        return str(address), kept

    def arrive(self, kept: str, said: Mapping[str, str]) -> tuple[Mapping[str, Any], str]:
        """The claims of who came back, and the page they wanted. Raises NotVouched, ProviderError."""
        state = said.get("state", "")
        target = state.partition("~")[2]
        if not kept or not hmac.compare_digest(state.encode(), self._state(kept, target).encode()):
            raise NotVouched("the state is not that of this browser")
        if not self._is_recent(kept):
            raise NotVouched("it took too long")
        if "code" not in said:
            raise NotVouched("the provider gave no code")
        metadata = self._metadata()
        try:
            with self._client() as client:
                given = client.fetch_token(
                    metadata["token_endpoint"],
                    code=said["code"],
                    code_verifier=self._made_of(kept, "verifier"),
                )
            return self._claims(metadata, given["id_token"], self._made_of(kept, "nonce")), target
        except _FAILURES as error:
            raise ProviderError from error
        except (AuthlibBaseError, AttributeError, KeyError, ValueError, TypeError) as error:
            raise NotVouched(type(error).__name__) from error

    def _claims(self, metadata: Mapping[str, Any], token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of a token that the provider signed for this client and this sign-in."""
        client_id = self._auth["client_id"]
        supported = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        claims = JsonWebToken([one for one in SIGNED_BY if one in supported]).decode(
            token,
            JsonWebKey.import_key_set(self._asked(metadata["jwks_uri"])),
            claims_cls=CodeIDToken,
            claims_options={
                "iss": {"essential": True, "value": metadata["issuer"]},
                "aud": {"essential": True, "value": client_id},
                "nonce": {"essential": True, "value": nonce},
            },
            claims_params={"nonce": nonce, "client_id": client_id},
        )
        claims.validate(now=int(self._clock().timestamp()), leeway=int(self._differs.total_seconds()))
        return dict(claims)

    def _metadata(self) -> Mapping[str, Any]:
        if self._known is None or time.monotonic() - self._known[0] > METADATA_SECONDS:
            said = self._asked(self._auth["server_metadata_url"])
            if not all(_is_address(said.get(one)) for one in _ADDRESSES):
                raise ProviderError("the provider names an address that is none")
            self._known = (time.monotonic(), said)
        return self._known[1]

    def _asked(self, address: str) -> Mapping[str, Any]:
        try:
            answer = httpx.get(address, timeout=PATIENCE_SECONDS).raise_for_status().json()
        except (*_FAILURES, ValueError) as error:
            raise ProviderError from error
        if not isinstance(answer, dict):
            raise ProviderError
        return answer

    def _client(self) -> Any:
        return OAuth2Client(
            self._auth["client_id"],
            self._auth["client_secret"],
            redirect_uri=self._redirect_uri,
            scope=SCOPE,
            code_challenge_method="S256",
            timeout=PATIENCE_SECONDS,
        )

    def _is_recent(self, kept: str) -> bool:
        """Whether a sign-in began a little while ago; what is kept was found to be ours before."""
        began = int(kept.partition(".")[0])
        return 0 <= self._clock().timestamp() - began <= LONGEST_AWAY.total_seconds() + 1

    def _state(self, kept: str, target: str) -> str:
        return f"{self._made_of(kept, 'state ' + target)}~{target}"

    def _made_of(self, kept: str, use: str) -> str:
        key = self._auth["cookie_secret"].encode()
        made = hmac.new(key, f"admin sign-in {use}\n{kept}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def _is_address(said: object) -> bool:
    """Whether there is a page or a server to go to."""
    try:
        there = urlsplit(said if isinstance(said, str) else "")
        return there.scheme in ("https", "http") and bool(there.hostname) and there.port != 0
    except ValueError:
        return False
