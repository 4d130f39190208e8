"""Passwords, kept as what scrypt makes of them: none can be read back, and guessing costs time and memory."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading

LEAST_CHARACTERS = 12
MOST_CHARACTERS = 1_000
COST, BLOCK, PARALLEL = 2**15, 8, 1  # 32 MB and about a tenth of a second
_AT_ONCE = threading.Semaphore(2)
"""No more than these are worked out at once: a flood of guesses must not take the memory of the server."""


def weakness(password: str, reader_id: str) -> str | None:
    """Why a password is not taken; None when it is."""
    if len(password) < LEAST_CHARACTERS:
        return f"A password has at least {LEAST_CHARACTERS} characters."
    if len(password) > MOST_CHARACTERS:
        return f"A password has at most {MOST_CHARACTERS} characters."
    if len(set(password)) < 5 or reader_id.lower() in password.lower():
        return "This password is too easy to guess."
    return None


def kept(password: str) -> str:
    """What is kept of a password: the way it was made, its salt and the result."""
    salt = secrets.token_bytes(16)
    parts = (_text(salt), _text(_made(password, salt, COST, BLOCK, PARALLEL)))
    return f"scrypt${COST}${BLOCK}${PARALLEL}${'$'.join(parts)}"


def is_right(password: str, secret: str | None) -> bool:
    """Whether a password is the one that was kept as `secret`.

    Takes as long without one, so that the time does not tell whether there is such a reader.
    """
    kind, cost, block, parallel, salt, expected = (secret or NO_PASSWORD).split("$")
    if kind != "scrypt" or len(password) > MOST_CHARACTERS:
        return False
    made = _made(password, base64.b64decode(salt), int(cost), int(block), int(parallel))
    return hmac.compare_digest(made, base64.b64decode(expected)) and secret is not None


def _made(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    with _AT_ONCE:
        return hashlib.scrypt(
            password.encode(), salt=salt, n=cost, r=block, p=parallel, maxmem=256 * cost * block, dklen=32
        )


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


NO_PASSWORD = f"scrypt${COST}${BLOCK}${PARALLEL}${_text(bytes(16))}${_text(bytes(32))}"
"""Nobody's: no password makes 32 zeros."""
