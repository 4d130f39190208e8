"""Words for codes of the registry, of lineage and of data health. A code without a word is shown as it is."""

from __future__ import annotations

from collections.abc import Callable

from dashboard.i18n import Text
from dashboard.words import Words, lookup


def unit(text: Text) -> Words:
    """What a metric is counted in."""
    _ = text.gettext
    return lookup(
        {
            "minor": _("Money"),
            "minor_per_month": _("Money a month"),
            "minor_per_year": _("Money a year"),
            "ratio": _("Ratio"),
            "share": _("Share"),
            "count": _("Count"),
            "days": _("Days"),
            "months": _("Months"),
        }
    )


def good_direction(text: Text) -> Words:
    """Which way a metric should go."""
    _ = text.gettext
    return lookup({"up": _("More is better"), "down": _("Less is better"), "none": _("Neither")})


def metric_owner(text: Text) -> Words:
    """Who answers for a metric."""
    _ = text.gettext
    return lookup(
        {
            "finance": _("Finance"),
            "sales": _("Sales"),
            "customer success": _("Customer success"),
            "customer": _("Customer success"),
            "product": _("Product"),
        }
    )


def layer(text: Text) -> Words:
    """Where a table stands between source and figure."""
    _ = text.gettext
    return lookup(
        {
            "source": _("Source"),
            "staging": _("Staging"),
            "intermediate": _("Step between"),
            "marts": _("Mart"),
            "churn": _("Churn model"),
        }
    )


def lateness(text: Text) -> Callable[[object], str]:
    """Whether a source kept what it promised."""
    _ = text.gettext
    return lambda is_late: _("Late") if is_late else _("On time")


def walk(text: Text) -> Words:
    """The parts of the walk from MRR to cash."""
    _ = text.gettext
    return lookup(
        {
            "mrr_to_recognised": _("A: MRR to recognised revenue"),
            "recognised_to_invoiced": _("B: recognised to invoiced"),
            "invoiced_to_gross": _("Invoiced, with tax"),
            "gross_to_cash": _("C: invoiced to cash"),
        }
    )


def walk_step(text: Text) -> Words:
    """The steps of the walk from MRR to cash."""
    _ = text.gettext
    return lookup(
        {
            "closing_mrr": _("MRR at the close"),
            "timing": _("Average day against the close"),
            "calendar": _("Days of service against days of the month"),
            "not_billed": _("MRR without a line"),
            "not_yet_billed": _("MRR not yet billed"),
            "billed_without_mrr": _("Billed without MRR"),
            "committed_minimums": _("Committed minimums"),
            "usage": _("Usage"),
            "one_off_and_fees": _("One-off lines and fees"),
            "goods_units": _("Goods: other quantities"),
            "goods_prices": _("Goods: other prices"),
            "other_discounts": _("Running discounts"),
            "once_discounts": _("One-time discounts"),
            "billed_again": _("Billed again"),
            "cut_reversals": _("Reversals cut short"),
            "credits": _("Credits"),
            "unexplained_a": _("Unexplained A"),
            "recognised": _("Recognised revenue"),
            "deferred_closing": _("Deferred at the close"),
            "deferred_opening": _("Deferred at the opening"),
            "credited": _("Credited"),
            "wallet_top_ups": _("Wallet top-ups"),
            "unexplained_b": _("Unexplained B"),
            "net_invoiced": _("Invoiced without tax"),
            "tax": _("Tax"),
            "gross_invoiced": _("Invoiced with tax"),
            "receivables_change": _("Change of receivables"),
            "written_off": _("Written off"),
            "credits_applied": _("Credits applied"),
            "voided": _("Voided"),
            "unapplied_change": _("Change of unapplied money"),
            "refunded": _("Refunded"),
            "disputed": _("Disputed"),
            "unexplained_c": _("Unexplained C"),
            "cash_received": _("Cash received"),
        }
    )


def walk_status(text: Text) -> Words:
    """How much is unexplained."""
    _ = text.gettext
    return lookup({"fine": _("Fine"), "warn": _("Look into it"), "mark": _("Too much")})


def monitored(text: Text) -> Words:
    """What is watched of a churn model."""
    _ = text.gettext
    return lookup(
        {
            "auc": _("AUC"),
            "brier": _("Brier score"),
            "ece": _("Calibration error"),
            "observed_over_expected": _("Observed over expected"),
            "psi_input": _("Drift of an input"),
            "psi_score": _("Drift of the scores"),
        }
    )


def restatement_cause(text: Text) -> dict[str, str]:
    """Why a figure of a closed month changed, in the order in which it is worked out."""
    _ = text.gettext
    return {
        "by_models": _("Models"),
        "by_rows": _("Late or corrected rows"),
        "by_parents": _("Parents"),
        "by_rates": _("Exchange rates"),
        "by_definition": _("Definitions"),
    }


def monitored_class(text: Text) -> Words:
    """Whom a measure of a churn model speaks of."""
    _ = text.gettext
    return lookup(
        {
            "all": _("All"),
            "monthly": _("Monthly"),
            "term": _("Term"),
            "contract": _("Customers under contract"),
            "non_contract": _("Repeat trade"),
        }
    )
