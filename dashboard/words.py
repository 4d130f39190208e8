"""Words for the codes that data holds. A code without a word is shown as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dashboard.i18n import Text

Words = Callable[[str | None], str]


def lookup(words: Mapping[str, str]) -> Words:
    """What says a code in words; a code without a word as it is, none as a dash."""
    return lambda code: "–" if code is None else words.get(code, code)


def page_titles(text: Text) -> dict[str, str]:
    """Every page's title by its name in the address, in the order of the side list."""
    _ = text.gettext
    return {
        "revenue": _("Revenue overview"),
        "retention": _("Retention and cohorts"),
        "cash": _("Cash and receivables"),
        "forecast": _("Forecast and targets"),
        "churn": _("Churn risk"),
        "renewals": _("Renewals"),
        "customer": _("Customer 360"),
        "workbench": _("SQL workbench"),
        "metrics": _("Metrics and lineage"),
        "health": _("Data health"),
        "opportunity": _("Subscription opportunity"),
        "runs": _("Runs"),
        "documents": _("Documents and collections"),
        "catalogue": _("Catalogue and prices"),
        "whatif": _("What if"),
    }


def subject(text: Text) -> Words:
    """What statements read, by the modules of `queries`."""
    _ = text.gettext
    return lookup(
        {
            "build": _("the state of the build"),
            "cash": _("invoices and payments"),
            "churn": _("the scores of customers at risk"),
            "customer": _("the account of a customer"),
            "documents": _("invoices and other documents"),
            "engine": _("the accounts of the billing engine"),
            "forecast": _("the forecast and its targets"),
            "health": _("builds, tests and reconciliation"),
            "lineage": _("where figures come from"),
            "opportunity": _("customers who buy like subscribers"),
            "orders": _("orders and repeat trade"),
            "renewals": _("terms that come up for renewal"),
            "reports": _("restated figures"),
            "retention": _("cohorts and retention"),
            "revenue": _("recurring revenue and its movements"),
            "workbench": _("the tables of the workbench"),
        }
    )


def category(text: Text) -> Words:
    """Movements of MRR."""
    _ = text.gettext
    return lookup(
        {
            "new": _("New"),
            "expansion": _("Expansion"),
            "contraction": _("Contraction"),
            "churn": _("Churn"),
            "reactivation": _("Reactivation"),
            "none": _("No change"),
        }
    )


def reason(text: Text) -> Words:
    """Why MRR moved."""
    _ = text.gettext
    return lookup(
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


def cause(text: Text) -> Words:
    """Why a customer ended."""
    _ = text.gettext
    return lookup(
        {
            "voluntary": _("The customer left"),
            "involuntary": _("The payment failed"),
            "merge": _("Merged"),
            "migration": _("Migrated"),
        }
    )


def bucket(text: Text) -> Words:
    """Days past due."""
    _ = text.gettext
    return lookup(
        {
            "current": _("Not yet due"),
            "d1_30": _("1–30 days"),
            "d31_60": _("31–60 days"),
            "d61_90": _("61–90 days"),
            "d91_plus": _("91 days and more"),
        }
    )


def commitment(text: Text) -> Words:
    """What binds a customer."""
    _ = text.gettext
    return lookup({"monthly": _("Monthly"), "term": _("Term"), "non_contract": _("No contract")})


def model_class(text: Text) -> Words:
    """Whom a churn model scores."""
    _ = text.gettext
    return lookup({"contract": _("Customers under contract"), "non_contract": _("Repeat trade")})


def risk_list(text: Text) -> Words:
    """The lists of churn risk."""
    _ = text.gettext
    return lookup({"now": _("To call now"), "later": _("Renewals later"), "leaving": _("Leaving")})


def band(text: Text) -> Words:
    """How high a risk is."""
    _ = text.gettext
    return lookup({"high": _("High risk"), "watch": _("Watch"), "low": _("Low risk")})


def owner(text: Text) -> Words:
    """Who does it."""
    _ = text.gettext
    return lookup(
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


def test_status(text: Text) -> Words:
    """How a test ended."""
    _ = text.gettext
    return lookup(
        {
            "pass": _("Passed"),
            "fail": _("Failed"),
            "error": _("Could not run"),
            "warn": _("Warned"),
            "skipped": _("Skipped"),
        }
    )


def build_status(text: Text) -> Words:
    """How a build ended."""
    _ = text.gettext
    return lookup({"published": _("Published"), "failed": _("Failed")})


def reject_reason(text: Text) -> Words:
    """Why a row was set aside."""
    _ = text.gettext
    return lookup(
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


def evaluation_metric(text: Text) -> Words:
    """How good a model is."""
    _ = text.gettext
    return lookup(
        {
            "auc": _("AUC"),
            "ap": _("Average precision"),
            "brier": _("Brier score"),
            "log_loss": _("Log loss"),
            "ece": _("Calibration error"),
            "lift_10": _("Lift, top 10%"),
            "revenue_10": _("Revenue caught, top 10%"),
        }
    )


def candidate(text: Text) -> Words:
    """What was compared."""
    _ = text.gettext
    return lookup(
        {
            "base_rate": _("Base rate"),
            "recency_rule": _("Recency rule"),
            "points_score": _("Points score"),
            "spline_logistic": _("Spline logistic model"),
            "additive_hgb": _("Additive boosting"),
            "small_hgb": _("Small boosting"),
            "default_hgb": _("Boosting with the library's settings"),
            "blend": _("Blend of both models"),
            "blend_small_hgb": _("Blend with interactions"),
        }
    )


def part(text: Text) -> Words:
    """Parts of a year's goods revenue."""
    _ = text.gettext
    return lookup(
        {
            "subscribed": _("Subscribed"),
            "regular": _("Regular, not subscribed"),
            "other_repeat": _("Other repeat trade"),
            "one_order_day": _("One order day"),
        }
    )


def pair_kind(text: Text) -> Words:
    """Whether a pair of customer and article keeps a rhythm."""
    _ = text.gettext
    return lookup({"regular": _("On a rhythm"), "irregular": _("Without a rhythm")})


def interval(text: Text, unit: str, count: int) -> str:
    """Every so many weeks, months, years."""
    every = {
        "day": text.ngettext("every day", "every {count} days", count),
        "week": text.ngettext("every week", "every {count} weeks", count),
        "month": text.ngettext("every month", "every {count} months", count),
        "year": text.ngettext("every year", "every {count} years", count),
    }
    return every[unit].format(count=count)


def why_null(text: Text) -> Words:
    """Why a figure cannot be computed."""
    _ = text.gettext
    return lookup(
        {
            "nothing_known": _("There is nothing to compute it from."),
            "no_opening_mrr": _("There is nothing to divide by: no customer paid at the start."),
            "no_opening_customers": _("There is nothing to divide by: no customer paid at the start."),
            "no_losses": _("Nothing was lost, so there is nothing to divide by."),
            "no_customers": _("No customer pays."),
            "no_new_customers": _("Nobody was won."),
            "no_new_mrr": _("No new MRR."),
            "no_churn": _("Nobody has left, so there is nothing to divide by."),
            "no_margin": _("The gross margin is not known. Put gross margins into the CRM source."),
            "no_cost": _("The cost of sales and marketing is not known. Put it into the CRM source."),
            "no_gross_profit": _("New customers bring no gross profit."),
            "too_few_customers": _("There are too few customers."),
            "only_all_segments": _("Costs are known for all segments together only."),
            "only_as_of_month": _("Known for the newest month only."),
            "nothing_billed": _("Nothing was billed in 90 days."),
            "owed_was_billed_elsewhere": _("What is owed was billed to another segment."),
            "nothing_failed": _("No charge has failed and been decided."),
        }
    )


def cash_event(text: Text) -> Words:
    """Movements of money."""
    _ = text.gettext
    return lookup(
        {
            "received": _("Payment received"),
            "fee": _("Fee"),
            "refunded": _("Refund"),
            "dispute_lost": _("Dispute lost"),
        }
    )


def dunning_outcome(text: Text) -> Words:
    """What became of a failed charge."""
    _ = text.gettext
    return lookup(
        {
            "recovered": _("Recovered"),
            "pending": _("Still undecided"),
            "exhausted": _("Reminders ended without payment"),
            "lost": _("Lost, credited or written off"),
        }
    )


def forecast_method(text: Text) -> Words:
    """How MRR is forecast."""
    _ = text.gettext
    return lookup(
        {
            "survival": _("Survival model"),
            "last_value": _("Last value"),
            "last_value_and_trend": _("Last value and trend"),
        }
    )


def headline_why(text: Text) -> Words:
    """Why this method is the one shown."""
    _ = text.gettext
    return lookup(
        {
            "lowest_error": _("It has been closest so far over 1 to 6 months."),
            "model_worse_than_naive": _("It has been closer than the survival model so far, so it is shown."),
            "model_too_large": _("The survival model runs out of all bounds, so a simple method is shown."),
            "no_backtest": _("There is no past forecast to compare yet, so the last value is shown."),
        }
    )


def forecast_null(text: Text) -> Words:
    """Why there is no forecast, or no interval."""
    _ = text.gettext
    return lookup(
        {
            "history_too_short": _("Fewer than six months of movements are known."),
            "too_large": _("Single months differ too wildly to forecast from."),
            "no_mrr": _("Nothing is paid, so there is nothing to forecast."),
        }
    )


def target_refused(text: Text, reason: str, found: str) -> str:
    """Why what was written is no target."""
    _ = text.gettext
    sentences = {
        "no_number": _(
            "“{found}” is not a number. Write digits, with a point before decimals, such as 1250.50."
        ),
        "too_precise": _("“{found}” has more decimals than this figure can have."),
        "too_large": _("“{found}” is larger than any target may be."),
        "over_full": _("“{found}” is more than this percentage can be."),
        "negative": _("“{found}” is below zero, which this figure cannot be."),
        "no_month": _("“{found}” is not a month. Write year and month, such as 2026-03."),
        "few_columns": _("“{found}” has too few columns: metric, month and value are needed."),
        "no_metric": _("“{found}” is no metric that a target can be set for."),
        "no_segment": _("“{found}” is no segment of this company."),
        "twice": _("“{found}” has two targets for the same month. Keep one of them."),
        "nothing": _("There is no line to read."),
        "too_many": _("At most {found} lines can be read at once."),
    }
    shown = found if len(found) <= 60 else found[:60] + "…"
    return sentences[reason].format(found=shown)


def note_refused(text: Text, reason: str) -> str:
    """Why what was written is no note on a date."""
    _ = text.gettext
    return {
        "no_words": _("Write what happened."),
        "too_long": _("A note has at most 200 letters."),
        "no_day": _("Choose the day it happened on."),
    }[reason]


def yes_no_known(text: Text) -> Callable[[bool | None], str]:
    """Yes or no; a dash where it is not known."""
    shown = yes_no(text)
    return lambda value: "–" if value is None else shown(value)


def state(text: Text) -> Words:
    """Where an account stands with those who look after it."""
    _ = text.gettext
    return lookup(
        {"open": _("Open"), "snoozed": _("Snoozed"), "contacted": _("Contacted"), "done": _("Done")}
    )


def action(text: Text) -> Words:
    """What was done about an account."""
    _ = text.gettext
    return lookup(
        {
            "assigned": _("Assigned"),
            "snoozed": _("Snoozed"),
            "contacted": _("Contacted"),
            "closed": _("Outcome set"),
        }
    )


def channel(text: Text) -> Words:
    """How a customer was contacted."""
    _ = text.gettext
    return lookup(
        {
            "call": _("Call"),
            "email": _("E-mail"),
            "meeting": _("Meeting"),
            "message": _("Message"),
            "letter": _("Letter"),
        }
    )


def reply(text: Text) -> Words:
    """What came of a contact, and how a case was closed."""
    _ = text.gettext
    return lookup(
        {
            "no_answer": _("No answer"),
            "reached": _("Reached"),
            "accepted": _("Offer accepted"),
            "declined": _("Offer declined"),
            "saved": _("Saved"),
            "downgraded": _("Kept on a smaller plan"),
            "left": _("The customer left"),
            "no_action": _("No action needed"),
        }
    )


def refusal(text: Text) -> Callable[[str], str]:
    """Why something a reader wrote was not kept."""
    _ = text.gettext
    known = {
        "name_too_long": _("The name is too long: at most 200 characters."),
        "note_too_long": _("The note is too long. Shorten it and save again."),
        "note_empty": _("The note is empty."),
        "note_changed": _("Somebody changed this note meanwhile. Read the newest version, then edit again."),
        "note_gone": _("This note is not there."),
        "snooze_day": _("Choose a day after today and within a year."),
        "contact_ahead": _("A contact is logged when it has taken place, not before."),
        "next_day": _("The next step cannot lie in the past."),
        "outcome_unknown": _("Choose a channel and an outcome."),
    }
    return lambda code: known.get(code) or _("This could not be saved.")


def change(text: Text) -> Words:
    """How a place on the risk list changed."""
    _ = text.gettext
    return lookup(
        {
            "new": _("New on the list"),
            "risen": _("Risen to high risk"),
            "fallen": _("No longer at high risk"),
            "gone": _("No longer on the list"),
        }
    )


def renewal(text: Text) -> Words:
    """How a renewal came out."""
    _ = text.gettext
    return lookup({"renewed": _("Renewed"), "lost": _("Lost"), "undecided": _("Not decided yet")})


def invoice_status(text: Text) -> Words:
    """An invoice's life."""
    _ = text.gettext
    return lookup(
        {
            "draft": _("Draft"),
            "open": _("Open"),
            "paid": _("Paid"),
            "void": _("Void"),
            "uncollectible": _("Uncollectible"),
        }
    )


def receivable(text: Text) -> Words:
    """What changed a receivable."""
    _ = text.gettext
    return lookup(
        {
            "invoiced": _("Invoiced"),
            "payment": _("Payment applied"),
            "credit_note": _("Credit note applied"),
            "wallet": _("Prepaid credit applied"),
            "early_discount": _("Discount for early payment"),
            "written_off": _("Written off"),
            "void": _("Voided"),
        }
    )


def recovery(text: Text) -> Words:
    """How dunning came out."""
    _ = text.gettext
    return lookup(
        {
            "recovered": _("Recovered"),
            "lost": _("Lost"),
            "exhausted": _("Attempts exhausted"),
            "pending": _("Still open"),
        }
    )


def happening(text: Text) -> Words:
    """What stands on the timeline of a customer."""
    _ = text.gettext
    return lookup(
        {
            "mrr": _("MRR changed"),
            "invoice": _("Invoice"),
            "payment": _("Payment"),
            "dunning": _("Charge failed"),
            "renewal": _("Renewal"),
            "cancellation": _("Cancellation"),
            "score": _("Risk score"),
            "order": _("Order"),
            "credit": _("Credit note"),
            "action": _("Action"),
            "crm": _("In the CRM"),
            "note": _("Note"),
        }
    )


def crm_activity(text: Text) -> Words:
    """What the CRM logged; a kind of its own in its own words."""
    _ = text.gettext
    known = {
        "call": _("Call"),
        "email": _("E-mail"),
        "meeting": _("Meeting"),
        "onboarding": _("Onboarding"),
        "admin_login": _("An administrator signed in"),
        "delivery_complaint": _("Complaint about a delivery"),
        "renewal_quote_accepted": _("Offer for the renewal accepted"),
    }
    return lambda kind: _("Kind not given") if not kind else known.get(kind, kind)


def notice(text: Text) -> Callable[[bool | None], str]:
    """Whether notice can still be given; a dash where no day is agreed."""
    _ = text.gettext
    return lambda is_over: "–" if is_over is None else _("Day is over") if is_over else _("Still possible")


def cancellation(text: Text) -> Words:
    """How far a cancellation is."""
    _ = text.gettext
    return lookup(
        {
            "in_effect": _("In effect"),
            "scheduled": _("Ends later"),
            "requested": _("Asked for, no end known"),
            "taken_back": _("Taken back"),
        }
    )
