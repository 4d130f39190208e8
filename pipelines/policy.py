"""The metric policy of a company: every disputed rule is one named setting (docs/metrics.md, section 2).

Decides which settings exist, their defaults and the values they may take. What a value means is for the
models to decide, which read the policy as the one-row table raw_meta.policy.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


class PolicyError(ValueError):
    """A setting or value that does not exist. The message names the file, the setting and what is allowed."""


@dataclass(frozen=True)
class Choice:
    """A setting that takes one of some words; the first is the default. `days` also allows whole numbers."""

    values: tuple[str, ...]
    days: range | None = None


@dataclass(frozen=True)
class Number:
    """A setting that takes a whole number."""

    default: int
    allowed: range


SETTINGS: dict[str, Choice | Number] = {
    "mrr_source": Choice(("subscription_versions", "billed_lines")),
    "week_factor": Choice(("52/12", "4.33", "4")),
    "day_factor": Choice(("365/12", "30", "30.44")),
    "discounts": Choice(("running", "list", "forever_only", "largest_only")),
    "zero_mrr": Choice(("churn", "keep_active")),
    "trials": Choice(("out", "in")),
    "usage": Choice(("out", "in_3m_mean")),
    "unpaid_incomplete": Choice(("out", "in")),
    "fx_movements": Choice(("opening_rate", "daily_rate", "constant")),
    "fx_retention": Choice(("constant", "booked")),
    "churn_at": Choice(("service_end", "cancel_request", "billing_end")),
    "snapshot": Choice(("month_end", "month_start")),
    "past_due_grace_days": Choice(("30", "until_canceled", "restate"), days=range(366)),
    "pause": Choice(("pause_to_zero", "pause_ignored", "pause_contraction")),
    "reactivation": Choice(("any_return", "gap_over_30d", "gap_over_90d")),
    "late_renewal_days": Number(30, range(366)),
    "second_subscription": Choice(("expansion", "new_per_item")),
    "month_netting": Choice(("one_category", "gross_events")),
    "logo_denominator": Choice(("start_only_matched", "start_only_all_churn", "start_plus_new")),
    "retention_window_months": Choice(("1,12", "chained")),
    "grr_cap": Choice(("per_customer", "total")),
    "quick_ratio_gain": Choice(("with_reactivation", "without_reactivation")),
    "ltv_churn_months": Number(6, range(1, 61)),
    "ltv_horizon_months": Choice(("36,60", "24")),
    "cac_lag_quarters": Number(1, range(9)),
    "dso_method": Choice(("balance_90_days", "countback")),
    "min_customers": Number(30, range(1, 10_001)),
}
INSTALLATION = {"reporting_currency": "EUR", "reporting_timezone": "UTC", "constant_rate_set": "budget"}


@dataclass(frozen=True)
class Policy:
    """A whole policy: a value for every setting, as text or whole number, and its version by hand.

    `settings` holds the names of SETTINGS and INSTALLATION. `policy_hash` is computed from them and leaves
    the version out, so that a changed rule under an old version can be told.
    """

    definition_version: str
    settings: Mapping[str, str | int]

    @property
    def reporting_currency(self) -> str:
        return str(self.settings["reporting_currency"])

    @property
    def reporting_timezone(self) -> str:
        return str(self.settings["reporting_timezone"])

    @property
    def policy_hash(self) -> str:
        text = json.dumps(dict(sorted(self.settings.items())), separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def row(self) -> dict[str, str | int]:
        """The one row of raw_meta.policy, by column name."""
        return {
            "definition_version": self.definition_version,
            "policy_hash": self.policy_hash,
            **self.settings,
        }


def read_policy(path: Path | None, overrides: Mapping[str, Any] | None = None) -> Policy:
    """Read policy.toml; a missing file or setting means the default. `overrides` win over the file.

    Raises PolicyError for a setting or value that does not exist, and for a file that is no TOML.
    """
    where = str(path) if path is not None else "policy"
    given: dict[str, Any] = {}
    if path is not None and path.exists():
        try:
            given = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise PolicyError(f"{where} is no valid TOML: {error}.") from error
    given |= dict(overrides or {})
    version = given.pop("definition_version", "1")
    if not isinstance(version, str | int) or isinstance(version, bool) or not str(version).strip():
        raise PolicyError(f'{where}: definition_version must be a text such as "1".')
    unknown = sorted(set(given) - set(SETTINGS) - set(INSTALLATION))
    if unknown:
        known = ", ".join(sorted([*SETTINGS, *INSTALLATION, "definition_version"]))
        raise PolicyError(f"{where}: unknown setting {', '.join(unknown)}. Known are: {known}.")
    settings: dict[str, str | int] = {
        name: _installed(where, name, given.get(name, default)) for name, default in INSTALLATION.items()
    }
    for name, setting in SETTINGS.items():
        settings[name] = _chosen(where, name, setting, given.get(name))
    return Policy(definition_version=str(version), settings=settings)


def _chosen(where: str, name: str, setting: Choice | Number, value: Any) -> str | int:
    if isinstance(setting, Number):
        if value is None:
            return setting.default
        if isinstance(value, bool) or not isinstance(value, int) or value not in setting.allowed:
            bounds = f"{setting.allowed.start} to {setting.allowed.stop - 1}"
            raise PolicyError(f"{where}: {name} = {value!r}, but it must be a whole number, {bounds}.")
        return int(value)
    if value is None:
        return setting.values[0]
    text = ",".join(str(part) for part in value) if isinstance(value, list) else str(value)
    is_days = setting.days is not None and text.isascii() and text.isdigit() and int(text) in setting.days
    if isinstance(value, bool) or not (text in setting.values or is_days):
        allowed = ", ".join(setting.values) + (", or a number of days up to 365" if setting.days else "")
        raise PolicyError(f"{where}: {name} = {value!r} does not exist. Allowed: {allowed}.")
    return str(int(text)) if is_days else text


def _installed(where: str, name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise PolicyError(f"{where}: {name} must be a text.")
    if name == "reporting_currency" and not (len(value) == 3 and value.isascii() and value.isupper()):
        raise PolicyError(f"{where}: reporting_currency = {value!r} is no ISO 4217 code such as EUR.")
    if name == "reporting_timezone":
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise PolicyError(f"{where}: reporting_timezone = {value!r} is no IANA zone.") from error
    return value
