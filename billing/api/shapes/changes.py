"""Bodies that change a thing: what they do not name stays as it is."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import ConfigDict, ValidationInfo, field_validator

from billing.api.shapes.base import Body


def _describe(schema: dict[str, Any], shape: type[Changes]) -> None:
    """Members that are never null are not described as if they could be."""
    for name, member in schema.get("properties", {}).items():
        member.pop("default", None)
        kinds = [one for one in member.get("anyOf", ()) if one != {"type": "null"}]
        if name not in shape.may_be_null and kinds:
            del member["anyOf"]
            member |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    schema["examples"] = [shape.example]
    schema["minProperties"] = 1


class Changes(Body):
    """Members to change. `may_be_null`: those whose value may be taken away."""

    model_config = ConfigDict(json_schema_extra=_describe)

    may_be_null: ClassVar[frozenset[str]] = frozenset()
    example: ClassVar[dict[str, Any]] = {}

    @field_validator("*", mode="before")
    @classmethod
    def _is_there(cls, value: object, info: ValidationInfo) -> object:
        if value is None and info.field_name not in cls.may_be_null:
            raise ValueError("it is never null")
        return value
