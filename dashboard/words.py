"""Words for the codes that data holds. A code without a word is shown as it is."""

from __future__ import annotations

from collections.abc import Callable

from dashboard.i18n import Text


def _lookup(words: dict[str, str]) -> Callable[[str | None], str]:
    return lambda code: "–" if code is None else words.get(code, code)


def category(text: Text) -> Callable[[str | None], str]:
    """Movements of MRR."""
    _ = text.gettext
    return _lookup(
        {
            "new": _("New"),
            "expansion": _("Expansion"),
            "contraction": _("Contraction"),
            "churn": _("Churn"),
            "reactivation": _("Reactivation"),
            "none": _("No change"),
        }
    )


def reason(text: Text) -> Callable[[str | None], str]:
    """Why MRR moved."""
    _ = text.gettext
    return _lookup(
        {
            "plan_change": _("Change of plan"),
            "price_change": _("Change of price"),
            "quantity": _("Quantity"),
            "interval_change": _("Change of billing interval"),
            "add_on": _("Add-on"),
            "first_subscription": _("First subscription"),
            "second_subscription": _("Further subscription"),
            "returned": _("Returned"),
            "discount_start": _("Discount began"),
            "discount_end": _("Discount ended"),
            "fully_discounted": _("Fully discounted"),
            "pause": _("Pause"),
            "canceled": _("Canceled"),
            "past_due": _("Past due"),
            "recovered": _("Payment recovered"),
            "late_renewal": _("Late renewal"),
            "trial_converted": _("Trial converted"),
            "merge": _("Merged"),
            "migration": _("Migrated"),
        }
    )


def cause(text: Text) -> Callable[[str | None], str]:
    """Why a customer ended."""
    _ = text.gettext
    return _lookup(
        {
            "voluntary": _("The customer left"),
            "involuntary": _("The payment failed"),
            "merge": _("Merged"),
            "migration": _("Migrated"),
        }
    )


def bucket(text: Text) -> Callable[[str | None], str]:
    """Days past due."""
    _ = text.gettext
    return _lookup(
        {
            "current": _("Not yet due"),
            "d1_30": _("1–30 days"),
            "d31_60": _("31–60 days"),
            "d61_90": _("61–90 days"),
            "d91_plus": _("91 days and more"),
        }
    )


def commitment(text: Text) -> Callable[[str | None], str]:
    """What binds a customer."""
    _ = text.gettext
    return _lookup({"monthly": _("Monthly"), "term": _("Term"), "non_contract": _("No contract")})


def model_class(text: Text) -> Callable[[str | None], str]:
    """Whom a churn model scores."""
    _ = text.gettext
    return _lookup({"contract": _("Customers under contract"), "non_contract": _("Repeat trade")})


def risk_list(text: Text) -> Callable[[str | None], str]:
    """The lists of churn risk."""
    _ = text.gettext
    return _lookup({"now": _("To call now"), "later": _("Renewals later"), "leaving": _("Leaving")})


def band(text: Text) -> Callable[[str | None], str]:
    """How high a risk is."""
    _ = text.gettext
    return _lookup({"high": _("High risk"), "watch": _("Watch"), "low": _("Low risk")})


def owner(text: Text) -> Callable[[str | None], str]:
    """Who does it."""
    _ = text.gettext
    return _lookup(
        {
            "sales": _("Sales"),
            "finance": _("Finance"),
            "head of success": _("Head of success"),
            "success": _("Customer success"),
            "account owner": _("Account owner"),
            "support lead": _("Support lead"),
        }
    )


def yes_no(text: Text) -> Callable[[object], str]:
    _ = text.gettext
    return lambda value: _("Yes") if value else _("No")


def test_status(text: Text) -> Callable[[str | None], str]:
    """How a test ended."""
    _ = text.gettext
    return _lookup(
        {
            "pass": _("Passed"),
            "fail": _("Failed"),
            "error": _("Could not run"),
            "warn": _("Warned"),
            "skipped": _("Skipped"),
        }
    )


def build_status(text: Text) -> Callable[[str | None], str]:
    """How a build ended."""
    _ = text.gettext
    return _lookup({"published": _("Published"), "failed": _("Failed")})


def reject_reason(text: Text) -> Callable[[str | None], str]:
    """Why a row was set aside."""
    _ = text.gettext
    return _lookup(
        {
            "bad_row": _("Not the header's columns"),
            "missing_key": _("Key missing"),
            "duplicate_key": _("Key used twice"),
            "bad_date": _("Date not understood"),
            "empty_range": _("Ends before it begins"),
            "bad_amount": _("Amount not understood"),
            "bad_flag": _("Neither yes nor no"),
            "negative_amount": _("Negative amount"),
            "negative_quantity": _("Negative quantity"),
            "unknown_currency": _("Unknown currency"),
            "unknown_interval": _("Unknown interval"),
            "unknown_value": _("Unknown word"),
            "overlap_in_subscription": _("Overlaps an earlier row"),
            "unknown_reference": _("Refers to nothing known"),
            "future_recorded_at": _("Recorded in the future"),
            "too_large": _("Too large"),
            "bad_encoding": _("Characters not readable"),
        }
    )


EVALUATION_ORDER = ("auc", "ap", "brier", "log_loss", "ece", "lift_10", "revenue_10")


def evaluation_metric(text: Text) -> Callable[[str | None], str]:
    """How good a model is."""
    _ = text.gettext
    return _lookup(
        {
            "auc": _("AUC"),
            "ap": _("Average precision"),
            "brier": _("Brier score"),
            "log_loss": _("Log loss"),
            "ece": _("Calibration error"),
            "lift_10": _("Lift, top 10 %"),
            "revenue_10": _("Revenue caught, top 10 %"),
        }
    )


def candidate(text: Text) -> Callable[[str | None], str]:
    """What was compared."""
    _ = text.gettext
    return _lookup(
        {
            "base_rate": _("Base rate"),
            "recency_rule": _("Recency rule"),
            "points_score": _("Points score"),
            "spline_logistic": _("Spline logistic model"),
            "additive_hgb": _("Additive boosting"),
            "small_hgb": _("Small boosting"),
            "blend": _("Blend of both models"),
        }
    )


def part(text: Text) -> Callable[[str | None], str]:
    """Parts of a year's goods revenue."""
    _ = text.gettext
    return _lookup(
        {
            "subscribed": _("Subscribed"),
            "regular": _("Regular, not subscribed"),
            "other_repeat": _("Other repeat trade"),
            "one_order_day": _("One order day"),
        }
    )


def pair_kind(text: Text) -> Callable[[str | None], str]:
    """Whether a pair of customer and article keeps a rhythm."""
    _ = text.gettext
    return _lookup({"regular": _("On a rhythm"), "irregular": _("Without a rhythm")})


def interval(text: Text, unit: str, count: int) -> str:
    """Every so many weeks, months, years."""
    every = {
        "day": text.ngettext("every day", "every {count} days", count),
        "week": text.ngettext("every week", "every {count} weeks", count),
        "month": text.ngettext("every month", "every {count} months", count),
        "year": text.ngettext("every year", "every {count} years", count),
    }
    return every[unit].format(count=count)
