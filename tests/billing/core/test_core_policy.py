"""Settings have names, defaults and closed sets of values."""

from dataclasses import asdict

import pytest

from billing.core.calendar import DAY_COUNTS
from billing.core.money import ROUNDING_MODES, BillingError
from billing.core.policy import ALLOWED_VALUES, Policy, policy_of


def test_the_default_of_each_setting_is_its_first_value():
    defaults = asdict(Policy())
    assert {name for name, value in defaults.items() if isinstance(value, str)} == set(ALLOWED_VALUES)
    assert all(defaults[name] == values[0] for name, values in ALLOWED_VALUES.items())
    assert policy_of({}) == Policy()


def test_settings_name_what_the_rules_know():
    assert ALLOWED_VALUES["day_count"] == DAY_COUNTS
    assert ALLOWED_VALUES["rounding"] == ROUNDING_MODES


def test_settings_are_replaced_by_name():
    policy = policy_of(
        {"day_count": "fixed_30", "late_usage": "days:30", "grace_days": 2, "horizon_months": "13"}
    )
    assert (policy.day_count, policy.late_usage, policy.grace_days, policy.horizon_months) == (
        "fixed_30", "days:30", 2, 13,
    )  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        {"rounding_mode": "half_up"},
        {"rounding": "nearest"},
        {"late_usage": "days:"},
        {"late_usage": "weeks:2"},
        {"grace_days": -1},
        {"grace_days": True},
        {"grace_days": "soon"},
        {"day_count": 30},
    ],
)
def test_an_unknown_name_or_value_is_refused(settings):
    with pytest.raises(BillingError, match="unknown_setting"):
        policy_of(settings)
