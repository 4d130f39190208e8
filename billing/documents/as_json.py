"""A document as JSON for programs: stable keys, no floats.

An amount stands twice: `net_minor` in whole minor units and `net` as decimal text; so does a rate, in parts
per million and in percent. Dates are ISO, periods half-open. New keys may come; those there are keep their
meaning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import date
from typing import Any

from billing.core.money import Scaled, format_minor, format_scaled
from billing.documents.document import InvoiceDocument, missing_facts
from billing.documents.words import words_of

SCHEMA = "tajdid.document.1"


def to_json(document: InvoiceDocument) -> str:
    """The document as one JSON object. Tax sums without tax carry the reason in English."""
    told = dict(_pairs(document, document.currency))
    words, seller = words_of("en"), document.seller.country
    for tax in told["taxes"]:
        tax["reason"] = words.tax_reason(tax["category"], seller)
    return json.dumps(
        {"schema": SCHEMA, **told, "missing_facts": missing_facts(document)}, ensure_ascii=False, indent=2
    )


def _pairs(value: Any, currency: str) -> Iterator[tuple[str, Any]]:
    for field in fields(value):
        told = _told(getattr(value, field.name), currency)
        yield field.name, told
        if told is None:
            continue
        if field.name.endswith("_minor"):
            yield field.name.removesuffix("_minor"), format_minor(told, currency)
        elif field.name.endswith("_ppm"):
            yield field.name.removesuffix("_ppm") + "_percent", _percent(told)


def _told(value: Any, currency: str) -> Any:
    if isinstance(value, Scaled):
        return format_scaled(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_told(one, currency) for one in value]
    return dict(_pairs(value, currency)) if is_dataclass(value) else value


def _percent(ppm: int) -> str:
    """Parts per million in percent, without zeros at the end: 190,000 is 19."""
    return format_scaled(Scaled(ppm, 4)).rstrip("0").rstrip(".")
