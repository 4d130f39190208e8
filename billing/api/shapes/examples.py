"""Examples of bodies, for the description of the API; each fits its own shape."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict


def example(**members: Any) -> ConfigDict:
    """The settings of a shape with one example."""
    return ConfigDict(json_schema_extra={"examples": [members]})
