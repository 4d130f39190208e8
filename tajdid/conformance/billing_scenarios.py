"""Scenarios."""

from collections.abc import Mapping
from typing import Any

from tajdid.conformance.billing_form import Unsupported


def scenario(case: Mapping[str, Any], expect: Mapping[str, Any]) -> dict[str, Any]:
    raise Unsupported("scenarios")
