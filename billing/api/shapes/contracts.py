"""Contracts, their clauses, and the acts on them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from billing.api.shapes.base import Answer, Body, Currency, Day, Decimal, Id
from billing.api.shapes.examples import example
from billing.api.shapes.subscriptions import Interval
from billing.core.money import Scaled, format_scaled
from billing.core.stock import RULES
from billing.service.published_prices import NewTier
from billing.service.renewal_quotes import RenewalQuote as Quote

Whole = Annotated[int, Field(ge=0, le=10**15)]
Ppm = Annotated[int, Field(ge=-1_000_000, le=1_000_000_000)]


class Tier(Body):
    """The price of a unit up to a volume of the contract's year, inclusive; the last is open."""

    up_to: Whole | None = None
    unit: Decimal

    def tier(self) -> NewTier:
        return NewTier(self.up_to, self.unit)


class NewPool(Body):
    """Goods (`skus`) and usage (`components`) priced by what the contract's customer tree takes together."""

    model_config = example(
        components=["basic.1.calls"], tiers=[{"up_to": 1000, "unit": "0.01"}, {"unit": "0.008"}]
    )

    tiers: Annotated[list[Tier], Field(min_length=1, max_length=100)]
    skus: list[Id] = Field(default_factory=list, max_length=500)
    components: list[Id] = Field(default_factory=list, max_length=500)
    first_on: Day | None = None
    interval: Interval = "P1Y"
    clause_id: Id | None = None


class NewIndexClause(Body):
    """Prices that follow an index: stepped on `first_on` and each interval after it."""

    model_config = example(index_id="cpi", base_value="118.2", first_on="2027-01-01", cap_ppm=50_000)

    index_id: Id
    base_value: Decimal
    first_on: Day
    interval: Interval = "P1Y"
    lag_months: Annotated[int, Field(ge=0, le=120)] = 1
    floor_ppm: Ppm | None = None
    cap_ppm: Ppm | None = None
    notice_days: Annotated[int, Field(ge=0, le=3_650)] = 0
    clause_id: Id | None = None


class StockRule(Body):
    """What is billed when goods of the contract run short, for deliveries due from a day on (today)."""

    model_config = example(rule="substitute")

    rule: Annotated[str, Field(max_length=40), WithJsonSchema({"type": "string", "enum": list(RULES)})]
    valid_from: Day | None = None


class Contract(Answer):
    """A term that subscriptions are bound to, [term_start, term_end)."""

    contract_id: str
    customer_id: str
    term: str
    term_start: date
    term_end: date
    auto_renew: bool
    notice_days: int
    notice_given_on: date | None
    renewal_accepted_on: date | None
    ended_on: date | None
    recorded_at: datetime
    changed_at: datetime


class Clause(Answer):
    """A clause of a contract. kind `index`: prices follow `index_id` from `base_value` on; `pool`: `members`
    (kind sku or component) are priced by `tiers` of their common volume."""

    clause_id: str
    contract_id: str
    kind: str
    first_on: date
    interval: str
    index_id: str | None
    base_value: str | None
    floor_ppm: int | None
    cap_ppm: int | None
    lag_months: int | None
    notice_days: int | None
    members: list[dict[str, Any]]
    tiers: list[dict[str, Any]]
    recorded_at: datetime


class Rate(Answer):
    """What an item costs an interval on the last day of the running term, and on the first of the next."""

    item_id: str
    plan_id: str
    quantity: str
    recurring_minor: int
    next_recurring_minor: int | None


class RenewalQuote(Answer):
    """The next term, [term_start, term_end), before usage. `lines`: its fees and seats as they would be
    posted."""

    contract_id: str
    term_start: date
    term_end: date
    currency: Currency | None
    net_minor: int
    tax_minor: int
    rates: list[Rate]
    lines: list[dict[str, Any]]


class Step(Answer):
    """A price before and after a step of an index."""

    component_id: str
    acts_on: date
    old: str
    new: str


class Steps(Answer):
    contract_id: str
    data: list[Step]


# Values of the service as answers.


def contract_shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of billing.reads.contracts."""
    return {"object": "contract", **row}


def clause_shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A clause with its members and tiers."""
    mantissa, scale = row["base_value_mantissa"], row["base_value_scale"]
    kept = {name: value for name, value in row.items() if not name.startswith("base_value_")}
    base = None if mantissa is None else format_scaled(Scaled(mantissa, scale or 0))
    return {"object": "contract_clause", **kept, "base_value": base}


def quote_shown(quote: Quote) -> dict[str, Any]:
    """What quote_renewal gives."""
    lines = quote.lines.to_dicts()
    return {
        "object": "renewal_quote",
        "contract_id": quote.contract_id,
        "term_start": quote.term_start,
        "term_end": quote.term_end,
        "currency": lines[0]["currency"] if lines else None,
        "net_minor": quote.net_minor,
        "tax_minor": quote.tax_minor,
        "rates": [_with_quantity(rate) for rate in quote.rates.to_dicts()],
        "lines": [_with_quantity(line) for line in lines],
    }


def _with_quantity(row: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in row.items() if not name.startswith("quantity_")}
    mantissa = row["quantity_mantissa"]
    return kept | {
        "quantity": None if mantissa is None else format_scaled(Scaled(mantissa, row["quantity_scale"] or 0))
    }
