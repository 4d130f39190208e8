"""Price models of a case as the terms of a catalogue price, so that a plan of a story can be published."""

from typing import Any

from billing.service.catalog import NewTier
from tajdid.conformance.billing_form import Given, Unsupported, exact

_OF_PERCENTAGE = ("fee_per_event", "free_amount", "min_per_event", "max_per_event")


def model_terms(given: Given) -> dict[str, Any]:
    """The terms of a price; what its model does not know is refused."""
    model = given.need("model")
    terms: dict[str, Any] = {"model": model}
    if model == "per_unit":
        terms["price"] = given.need("unit_price")
    elif model == "package":
        terms |= {
            "price": given.need("package_price"),
            "package_size": _whole(given.need("package_size")),
            "free_units": _whole(given.take("free_units") or "0"),
            "partial_package": given.take("partial_package", "up"),
        }
    elif model in ("graduated", "volume", "graduated_percentage"):
        terms["tiers"] = [_tier(tier, model) for tier in given.each("tiers")]
        if "flat_fee_on_zero" in given:
            terms["flat_fee_on_zero"] = given.take("flat_fee_on_zero")
    elif model == "tiered_block":
        terms |= {
            "tiers": [_block(tier) for tier in given.each("tiers")],
            "block_policy": given.take("policy", "all_tiers"),
        }
    elif model == "percentage":
        free_events = given.take("free_events")
        terms |= {"rate_percent": given.need("rate_percent")}
        terms |= {name: given.take(name) for name in _OF_PERCENTAGE}
        terms |= {"free_events": None if free_events is None else _whole(free_events)}
    elif model != "dynamic":
        raise Unsupported(f"a plan with price model {model!r}")
    terms |= {name: given.take(name) for name in ("minimum_spend", "maximum_spend") if name in given}
    given.done()
    return terms


def _tier(tier: Given, model: str) -> NewTier:
    bound, flat = tier.need("up_to"), tier.take("flat_fee") or "0"
    up_to = None if bound is None else _whole(bound)
    if model == "graduated_percentage":
        new = NewTier(up_to, flat=flat, rate_percent=tier.take("rate_percent") or "0")
    else:
        new = NewTier(up_to, tier.take("unit_price") or "0", flat)
    tier.done()
    return new


def _block(tier: Given) -> NewTier:
    most = tier.take("max_blocks")
    new = NewTier(
        unit=tier.need("block_price"),
        size=_whole(tier.need("block_size")),
        max_blocks=None if most is None else _whole(most),
    )
    tier.done()
    return new


def _whole(text: Any) -> int:
    value = exact(text)
    if value.denominator != 1:
        raise Unsupported(f"{text!r} in a plan's price")
    return int(value)
