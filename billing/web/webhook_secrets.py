"""Secrets that webhooks are signed with: made here, shown once, kept sealed."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable

from billing.gateways.signatures import PREFIX
from billing.web.seal import Vault

_PURPOSE = "webhook"


def new_secret(vault: Vault) -> tuple[str, str]:
    """A secret of 32 random bytes as receivers take it, and as it is kept."""
    secret = PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    return secret, vault.seal(secret, _PURPOSE)


def revealing(vault: Vault) -> Callable[[str], str]:
    """What opens them, for whoever signs. Raises BrokenSeal."""
    return lambda sealed: vault.open(sealed, _PURPOSE)
