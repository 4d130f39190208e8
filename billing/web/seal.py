"""What must not be read in the database, or changed on its way through a caller: sealed, or stamped."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class BrokenSeal(Exception):
    """A sealed text that this key did not seal."""


class Vault:
    """Seals texts and stamps bytes with keys derived from one of 32 bytes, a purpose each."""

    def __init__(self, key: bytes) -> None:
        """Raises ValueError for a key of another length."""
        if len(key) != 32:
            raise ValueError("a vault needs a key of 32 bytes")
        self._key = key

    def seal(self, text: str, purpose: str) -> str:
        """A text as only this vault opens it, and for this purpose alone."""
        nonce = secrets.token_bytes(12)
        sealed = AESGCM(self._derived("seal", purpose)).encrypt(nonce, text.encode(), purpose.encode())
        return base64.urlsafe_b64encode(nonce + sealed).decode()

    def open(self, sealed: str, purpose: str) -> str:
        """The text that was sealed. Raises BrokenSeal."""
        try:
            data = base64.urlsafe_b64decode(sealed)
            return (
                AESGCM(self._derived("seal", purpose))
                .decrypt(data[:12], data[12:], purpose.encode())
                .decode()
            )
        except (InvalidTag, ValueError) as error:
            raise BrokenSeal(purpose) from error

    def stamp(self, data: bytes, purpose: str) -> bytes:
        """32 bytes that only who holds the key can give for this data."""
        return hmac.new(self._derived("stamp", purpose), data, hashlib.sha256).digest()

    def _derived(self, use: str, purpose: str) -> bytes:
        return hmac.new(self._key, f"{use}:{purpose}".encode(), hashlib.sha256).digest()
