"""What shapes are made of. Bodies are strict: no unknown members, no text for a number, no floats."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

Item = TypeVar("Item")
LARGEST = 10**18


class Body(BaseModel):
    """What a caller sends. Members are listed one by one, so nothing else can be written through them."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def given(self) -> dict[str, Any]:
        """The members that were sent, as arguments of an act."""
        return {
            name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set
        }


class Answer(BaseModel):
    """What a caller gets, for the description of the API; answers are written from the rows themselves."""

    model_config = ConfigDict(extra="allow")


class ListOf(Answer, Generic[Item]):
    """A page of a list; `next` goes into `after` for the page that follows, null on the last."""

    data: list[Item]
    next: str | None


def _day(value: object) -> object:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if not isinstance(value, str) or len(value) != 10:
        raise ValueError("write a day as 2026-01-31")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("write a day as 2026-01-31") from None


def _instant(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError("write an instant as 2026-01-31T08:00:00Z")
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None or len(value) < 20:
            raise ValueError
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("write an instant with its offset, as 2026-01-31T08:00:00Z") from None


def _decimal(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError('send the number as decimal text, such as "12.50", or as a whole number')
    return str(value)


def _printable(text: str) -> str:
    if any((sign < " " and sign not in "\n\t") or sign == "\x7f" for sign in text):
        raise ValueError("control characters are not taken")
    return text


Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
Instant = Annotated[
    datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})
]
Decimal = Annotated[
    str,
    BeforeValidator(_decimal),
    Field(max_length=40),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": r"^-?\d{1,30}(\.\d{1,12})?$"}, {"type": "integer"}]}
    ),
]
"""An exact number as decimal text (or a whole number): prices, quantities. Binary floats are refused."""
Minor = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
"""An amount in minor units of its currency."""
Id = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[!-~]+$")]
Text = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_printable)]
Long = Annotated[str, Field(max_length=5_000), AfterValidator(_printable)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
