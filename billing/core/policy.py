"""The conventions of the engine as named settings.

Each has a default and a closed set of values. A policy is a version of them that a line item keeps, so an
old line can be computed again. What a setting does is written where it is used.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from billing.core.money import BillingError


@dataclass(frozen=True, slots=True)
class Policy:
    """Every setting with its default; build one from text with `policy_of`."""

    day_count: str = "actual_day"
    change_day: str = "new_terms"
    cancel_day: str = "unused"
    rounding: str = "half_up"
    part_rounding: str = "running_total"
    credit_rounding: str = "removed_time"
    true_up_rounding: str = "difference_of_posted"
    month_end: str = "clamp"
    interval_anchor: str = "keep"
    trial_anchor: str = "trial_end"
    trial_usage: str = "bill"
    upgrade_when: str = "now"
    downgrade_when: str = "period_end"
    seat_decrease: str = "credit"
    backdated_start: str = "bill_all"
    usage_on_change: str = "period_end"
    end_day_usage: str = "include"
    late_usage: str = "next_invoice"
    grace_days: int = 0
    horizon_months: int = 26
    progressive_display: str = "gross"
    credit_document: str = "netted"
    zero_invoice: str = "issue"
    discount_order: str = "percent_first"
    tax_scope: str = "group"
    tax_base: str = "posted_net"
    tax_point: str = "issue"
    on_cancel: str = "credit"
    credit_target: str = "origin_first"
    suspension_billing: str = "stop"
    term_end: str = "stub"
    percentage_free: str = "first_limit"
    flat_fee_on_zero: str = "none"
    pool_effect: str = "retroactive_credit"
    order_multiple: str = "round_up"
    campaign_gap: str = "more_than"


ALLOWED_VALUES: Mapping[str, tuple[str, ...]] = {
    "day_count": ("actual_day", "second", "fixed_30", "actual_over_30", "strict_30_over_360", "none"),
    "change_day": ("new_terms", "used"),
    "cancel_day": ("unused", "used"),
    "rounding": ("half_up", "half_even", "up", "down"),
    "part_rounding": ("running_total", "own"),
    "credit_rounding": ("removed_time", "kept_time"),
    "true_up_rounding": ("difference_of_posted", "posted_difference"),
    "month_end": ("clamp",),
    "interval_anchor": ("keep", "reset", "billing_day"),
    "trial_anchor": ("trial_end", "kept"),
    "trial_usage": ("bill", "free"),
    "upgrade_when": ("now", "period_end"),
    "downgrade_when": ("period_end", "now"),
    "seat_decrease": ("credit", "high_water", "period_end"),
    "backdated_start": ("bill_all", "from_next_boundary"),
    "usage_on_change": ("period_end", "at_change"),
    "end_day_usage": ("include", "exclude"),
    "late_usage": ("next_invoice", "while_draft"),
    "progressive_display": ("gross", "net"),
    "credit_document": ("netted", "credit_note"),
    "zero_invoice": ("issue", "skip"),
    "discount_order": ("percent_first", "narrow_first"),
    "tax_scope": ("group", "line"),
    "tax_base": ("posted_net", "exact_net"),
    "tax_point": ("issue", "service_end"),
    "on_cancel": ("credit", "refund", "none"),
    "credit_target": ("origin_first", "balance"),
    "suspension_billing": ("stop", "continue"),
    "term_end": ("stub", "full"),
    "percentage_free": ("first_limit", "last_limit"),
    "flat_fee_on_zero": ("none", "first_tier"),
    "pool_effect": ("retroactive_credit", "from_here", "year_end"),
    "order_multiple": ("round_up", "refuse"),
    "campaign_gap": ("more_than", "at_least"),
}
"""The values of each setting that is text, the default first. `late_usage` may also be `days:n` or
`periods:n`."""

_COUNTED = re.compile(r"(days|periods):\d{1,4}", re.ASCII)


def policy_of(settings: Mapping[str, object]) -> Policy:
    """The default policy with some settings replaced. Raises `unknown_setting` for an unknown name or
    value."""
    names = {field.name for field in fields(Policy)}
    values: dict[str, str | int] = {}
    for name, value in settings.items():
        if name not in names:
            raise BillingError("unknown_setting", f"{name!r} is no setting of billing")
        values[name] = _checked(name, value)
    return Policy(**values)  # type: ignore[arg-type]


def _checked(name: str, value: object) -> str | int:
    if name in ("grace_days", "horizon_months"):
        if isinstance(value, str) and re.fullmatch(r"\d{1,4}", value, re.ASCII):
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1200:
            return value
    elif isinstance(value, str) and (
        value in ALLOWED_VALUES[name] or (name == "late_usage" and _COUNTED.fullmatch(value))
    ):
        return value
    raise BillingError("unknown_setting", f"{name} = {value!r}")
