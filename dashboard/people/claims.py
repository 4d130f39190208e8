"""Whom an identity provider vouches for: the rules by which claims name a reader, wherever one signs in."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from dashboard.people import directory

CLOCKS_DIFFER = timedelta(minutes=5)
"""How far the provider's clock may be from ours."""


def name_in(claims: Mapping[str, Any], claim: str) -> str | None:
    """The sign-in name that a claim gives; None where it names nobody for sure.

    An e-mail address counts only when it is the one that the provider has verified, also under the name of
    another claim: whoever may write any address there could be anybody. So could who writes a sign that
    becomes another.
    """
    name, address = claims.get(claim), claims.get("email")
    if not isinstance(name, str) or not name:
        return None
    if len(name) > directory.LONGEST_ID or not unicodedata.is_normalized("NFKC", name):
        return None
    repeats = isinstance(address, str) and directory.normal(name) == directory.normal(address)
    if repeats:
        return name if claims.get("email_verified") is True else None
    return None if "@" in name else name
