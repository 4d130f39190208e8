"""How the simulated gateway tells of what happened: a JSON object, signed by the Standard Webhooks scheme."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from billing.core.money import BillingError
from billing.gateways.gateway import Answer, Notice
from billing.gateways.signatures import signed_id

_OUTCOMES = ("captured", "declined", "unknown")
_LARGEST = 2**63 - 1


class SimulatedNotices:
    """See gateways.gateway.Notices. `secret`: `whsec_` and base64."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def id_of(self, headers: Mapping[str, str], body: bytes, at: datetime) -> str | None:
        """See Notices.id_of."""
        return signed_id(self._secret, headers, body, at)

    def read(self, body: bytes) -> Notice:
        """See Notices.read."""
        try:
            said = json.loads(body)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise BillingError("unknown_setting", "a notice is a JSON object")
        kind, key = said.get("kind"), _text(said, "key")
        on = _day(said)
        if kind == "answer":
            if said.get("outcome") not in _OUTCOMES:
                raise BillingError("unknown_setting", f"outcome is one of {', '.join(_OUTCOMES)}")
            code, ref = (_text(said, name, optional=True) for name in ("code", "gateway_ref"))
            fee_minor = _amount(said, "fee_minor", default=0)
            return Notice(key, "answer", on, Answer(said["outcome"], code, ref, fee_minor))
        ref = _text(said, "ref")
        if kind == "dispute_opened":
            return Notice(key, "dispute_opened", on, ref=ref, amount_minor=_amount(said, "amount_minor"))
        if kind == "dispute_closed" and said.get("outcome") in ("won", "lost"):
            return Notice(key, "dispute_closed", on, ref=ref, outcome=said["outcome"])
        raise BillingError("unknown_setting", "kind is answer, dispute_opened, or dispute_closed won or lost")


def _text(said: Mapping[str, Any], name: str, *, optional: bool = False) -> Any:
    value = said.get(name)
    if value is None and optional:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= 200 or not value.isprintable():
        raise BillingError("missing_value", f"{name} is a text of up to 200 signs", field=name)
    return value


def _amount(said: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = said.get(name, default)
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise BillingError("missing_value", f"{name} is a whole number of minor units", field=name)
    return value


def _day(said: Mapping[str, Any]) -> date:
    try:
        return date.fromisoformat(_text(said, "on"))
    except ValueError:
        raise BillingError("missing_value", "on is a day such as 2026-01-31", field="on") from None
