"""Words for the codes of the billing engine. A code without a word is shown as it is."""

from __future__ import annotations

from dashboard.i18n import Text
from dashboard.words import Words, lookup


def job(text: Text) -> Words:
    """What ran."""
    _ = text.gettext
    return lookup(
        {
            "bill": _("Bill run"),
            "retry": _("Bill run for those set aside"),
            "collect": _("Collection"),
            "dun": _("Dunning"),
            "import_usage": _("Import of usage"),
            "import_transfers": _("Import of bank transfers"),
            "import_subscriptions": _("Import of subscriptions"),
            "send_messages": _("Messages sent"),
            "renew_due": _("Renewals"),
            "index_prices_due": _("Prices that follow an index"),
        }
    )


def job_state(text: Text) -> Words:
    """How it ended."""
    _ = text.gettext
    return lookup(
        {
            "running": _("Running"),
            "done": _("Done"),
            "failed": _("Failed"),
            "interrupted": _("Interrupted"),
            "refused": _("Refused"),
            "held": _("Held"),
        }
    )


def document_state(text: Text) -> Words:
    """The life of a document."""
    _ = text.gettext
    return lookup(
        {
            "draft": _("Draft"),
            "open": _("Open"),
            "past_due": _("Past due"),
            "paid": _("Paid"),
            "void": _("Void"),
            "uncollectible": _("Written off"),
            "issued": _("Issued"),
            "credit_note": _("Credit notes"),
        }
    )


def document_kind(text: Text) -> Words:
    """What a document is."""
    _ = text.gettext
    return lookup(
        {
            "regular": _("Invoice"),
            "invoice": _("Invoice"),
            "threshold": _("Early invoice"),
            "top_up": _("Wallet top-up"),
            "credit_note": _("Credit note"),
        }
    )


def line_kind(text: Text) -> Words:
    """What a line charges."""
    _ = text.gettext
    return lookup(
        {
            "recurring": _("Recurring"),
            "proration": _("Part of a period"),
            "usage": _("Usage"),
            "true_up": _("Up to the agreed minimum"),
            "rebate": _("Volume rebate"),
            "one_time": _("One-time charge"),
            "goods": _("Goods"),
            "top_up": _("Wallet top-up"),
            "adjustment": _("Taken off by hand"),
            "void": _("Undone with its invoice"),
            "unknown": _("Not said"),
        }
    )


def tax_category(text: Text) -> Words:
    """How a line is taxed."""
    _ = text.gettext
    return lookup(
        {
            "standard": _("Standard rate"),
            "reduced": _("Reduced rate"),
            "zero": _("Zero rate"),
            "reverse_charge": _("Reverse charge"),
            "export": _("Export"),
            "outside_scope": _("Outside the scope of tax"),
        }
    )


def settlement(text: Text) -> Words:
    """What paid a document, or what became of a credit note."""
    _ = text.gettext
    return lookup(
        {
            "payment": _("Payment"),
            "credit_note": _("Credit note"),
            "wallet": _("Prepaid credit"),
            "early_discount": _("Early payment discount"),
            "write_off": _("Written off"),
            "invoice": _("Used for an invoice"),
            "refund": _("Refund"),
        }
    )


def payment_state(text: Text) -> Words:
    """Where a payment stands."""
    _ = text.gettext
    return lookup(
        {
            "pending": _("Under way"),
            "failed": _("Declined, tried again or waiting"),
            "captured": _("Captured"),
            "canceled": _("Given up"),
        }
    )


def outcome(text: Text) -> Words:
    """How an attempt or a step of dunning ended."""
    _ = text.gettext
    return lookup(
        {
            "captured": _("Captured"),
            "declined": _("Declined"),
            "unknown": _("Not known yet"),
            "undone": _("Undone"),
            "sent": _("Sent"),
            "skipped": _("Skipped"),
            "proposed": _("Proposed for approval"),
        }
    )


def decline(text: Text) -> Words:
    """Why a charge was declined."""
    _ = text.gettext
    return lookup(
        {
            "insufficient_funds": _("Not enough money"),
            "limit_exceeded": _("Limit exceeded"),
            "issuer_unavailable": _("Bank not reached"),
            "do_not_honor": _("Bank says no"),
            "account_closed": _("Account closed"),
            "card_expired": _("Card expired"),
            "stolen_card": _("Card reported stolen"),
            "lost_card": _("Card reported lost"),
            "mandate_revoked": _("Mandate revoked"),
            "authentication_required": _("Customer has to confirm"),
            "timeout": _("No answer in time"),
            "gateway_down": _("Gateway not reached"),
        }
    )


def track(text: Text) -> Words:
    """How money is chased."""
    _ = text.gettext
    return lookup({"card": _("Card retries"), "terms": _("Reminders"), "campaign": _("Campaign")})


def step(text: Text) -> Words:
    """Steps of dunning."""
    _ = text.gettext
    return lookup(
        {
            "attempt": _("Next attempt"),
            "message": _("Customer asked to act"),
            "courtesy": _("Courtesy note"),
            "reminder_1": _("First reminder"),
            "reminder_2": _("Second reminder"),
            "reminder_3": _("Third reminder"),
            "final_notice": _("Final notice"),
            "collection": _("Hand-over to collection proposed"),
            "write_off": _("Write-off proposed"),
            "campaign": _("Campaign message"),
            "end": _("End of the subscription"),
        }
    )


def overdue_state(text: Text) -> Words:
    """How far overdue money has come."""
    _ = text.gettext
    return lookup(
        {
            "current": _("Nothing overdue"),
            "reminded": _("Reminded"),
            "restricted": _("No new orders"),
            "suspended": _("Suspended"),
            "written_off": _("Written off"),
        }
    )


def subscription_status(text: Text) -> Words:
    """The status of a subscription."""
    _ = text.gettext
    return lookup(
        {
            "scheduled": _("Scheduled"),
            "trialing": _("In trial"),
            "active": _("Active"),
            "past_due": _("Past due"),
            "paused": _("Paused"),
            "suspended": _("Suspended"),
            "canceled": _("Canceled"),
        }
    )


def component_kind(text: Text) -> Words:
    """What a component of a plan is counted by."""
    _ = text.gettext
    return lookup({"fee": _("Fee"), "seat": _("By quantity"), "usage": _("By usage")})


def price_model(text: Text) -> Words:
    """How a price makes an amount of a quantity."""
    _ = text.gettext
    return lookup(
        {
            "flat": _("Fixed amount"),
            "per_unit": _("Per unit"),
            "graduated": _("Graduated: each unit at the price of its tier"),
            "volume": _("Volume: all units at the price of the tier reached"),
            "package": _("Per package"),
            "percentage": _("Share of each event"),
            "graduated_percentage": _("Graduated share"),
            "tiered_block": _("By blocks"),
            "dynamic": _("Each event brings its amount"),
        }
    )


def level(text: Text) -> Words:
    """Whom a price list is for."""
    _ = text.gettext
    return lookup(
        {
            "list": _("For all"),
            "group": _("For a group"),
            "customer": _("For one customer"),
            "contract": _("For one contract"),
            "pool": _("For a pool"),
        }
    )


def lost_by(text: Text) -> Words:
    """Why a price was not taken."""
    _ = text.gettext
    return lookup(
        {
            "wrong_currency": _("another currency"),
            "not_valid": _("not valid on that day"),
            "break_not_reached": _("quantity not reached"),
            "later_level": _("a more special price comes first"),
            "earlier_start": _("a newer list holds"),
            "lower_break": _("a higher quantity break holds"),
            "larger_id": _("the first of equals holds"),
        }
    )


def fact(text: Text) -> Words:
    """Terms of a price beside its tiers."""
    _ = text.gettext
    return lookup(
        {
            "package_size": _("Units in a package"),
            "free_units": _("Free units"),
            "free_events": _("Free events"),
            "quantity_from": _("Offered from quantity"),
            "fee_per_event": _("Fee of each event"),
            "free_amount": _("Free amount"),
            "min_per_event": _("Least per event"),
            "max_per_event": _("Most per event"),
            "window_commitment": _("Commitment of a window"),
            "minimum_spend": _("Minimum of a period"),
            "maximum_spend": _("Maximum of a period"),
            "window": _("Priced by"),
            "prorate": _("Prorated by"),
            "partial_package": _("A package that is begun"),
            "block_policy": _("Blocks are filled"),
        }
    )


def fact_value(text: Text) -> Words:
    """Words among the terms of a price."""
    _ = text.gettext
    return lookup(
        {
            "hour": _("hour"),
            "day": _("day"),
            "month": _("month"),
            "up": _("counts whole"),
            "down": _("does not count"),
            "all_tiers": _("tier after tier"),
            "top_tier": _("all at the tier reached"),
        }
    )


def event(text: Text) -> Words:
    """What is posted in the journal."""
    _ = text.gettext
    return lookup(
        {
            "invoice_issued": _("Invoice issued"),
            "credit_note_issued": _("Credit note issued"),
            "wallet_topped_up": _("Wallet topped up"),
            "payment_captured": _("Payment captured"),
            "bank_transfer_received": _("Bank transfer received"),
            "transfer_matched": _("Transfer matched"),
            "transfer_recovered": _("Written-off debt recovered"),
            "written_off_recovered": _("Written-off debt recovered"),
            "credit_applied": _("Credit used"),
            "credit_unapplied": _("Use of credit undone"),
            "early_payment_discount": _("Early payment discount"),
            "wallet_drawn": _("Prepaid credit used"),
            "invoice_written_off": _("Invoice written off"),
            "write_off_undone": _("Write-off undone"),
            "invoice_voided": _("Invoice voided"),
            "payment_refunded": _("Payment refunded"),
            "payment_reversed": _("Payment taken back by the bank"),
            "payment_reinstated": _("Payment came again"),
        }
    )


def account(text: Text) -> Words:
    """Accounts of the books."""
    _ = text.gettext
    return lookup(
        {
            "receivable": _("Receivables"),
            "deferred_revenue": _("Deferred revenue"),
            "tax_payable": _("Tax payable"),
            "customer_credit": _("Customer credit"),
            "gateway_clearing": _("Gateway clearing"),
            "bank": _("Bank"),
            "payment_fees": _("Payment fees"),
            "bad_debt": _("Bad debt"),
            "bad_debt_recovered": _("Bad debt recovered"),
            "unallocated_receipts": _("Unallocated receipts"),
            "wallet": _("Prepaid credit"),
            "wallet_breakage": _("Prepaid credit that ran out"),
            "discounts_allowed": _("Discounts allowed"),
            "rebate_accrued": _("Rebates accrued"),
        }
    )


def interval(text: Text, code: str) -> str:
    """An interval such as P1M."""
    units = {"D": "day", "W": "week", "M": "month", "Y": "year"}
    number, unit = code[1:-1], units.get(code[-1:], "")
    if not unit or not number.isdigit():
        return code
    count = int(number)
    every = {
        "day": text.ngettext("every day", "every {count} days", count),
        "week": text.ngettext("every week", "every {count} weeks", count),
        "month": text.ngettext("every month", "every {count} months", count),
        "year": text.ngettext("every year", "every {count} years", count),
    }
    return every[unit].format(count=count)


def missing_fact(text: Text) -> Words:
    """What the law wants on an invoice and nobody has entered."""
    _ = text.gettext
    return lookup(
        {
            "number": _("its number"),
            "issued_on": _("the day of issue"),
            "seller.name": _("the seller's name"),
            "seller.address": _("the seller's address"),
            "seller.tax_number": _("the seller's tax number"),
            "buyer.name": _("the customer's name"),
            "buyer.address": _("the customer's address"),
            "buyer.tax_number": _("the customer's tax number"),
            "lines": _("lines"),
        }
    )


def refusal(text: Text) -> Words:
    """Why something was refused, set aside or held, in a sentence."""
    _ = text.gettext
    return lookup(
        {
            "no_price": _("No price list has a price for this on that day."),
            "currency_mismatch": _("There is no price in the customer's currency."),
            "bad_tiers": _(
                "The tiers of the price are wrong: bounds have to rise, and only the last is open."
            ),
            "unknown_model": _("The price has a model that cannot be worked out."),
            "unknown_currency": _("The currency is not known."),
            "negative_quantity": _("The quantity is below zero."),
            "amount_out_of_range": _("The amount is larger than an amount may be."),
            "no_tax_rate": _("Nobody set the rate of this tax."),
            "unsupported_discount": _("A discount of an amount cannot act on goods of a pool."),
            "pool_failed": _("Another customer of the same pool cannot be billed."),
            "unexpected": _("Something failed that nobody foresaw."),
            "sums_differ": _("The sums do not add up, so it is not shown."),
            "po_missing": _("What is billed to this customer needs a purchase order."),
            "po_expired": _("The purchase order is not valid on that day."),
            "po_exhausted": _("The budget of the purchase order is used up."),
            "illegal_transition": _("The state of the subscription does not allow this on that day."),
            "illegal_plan": _("The plan cannot be used this way."),
            "overdue_restricted": _("Money is overdue: there are no new orders until it is paid."),
            "on_hold": _("Orders of who pays wait for a person's word."),
            "over_credit_limit": _(
                "Who pays would owe more than its limit: the order would wait for approval."
            ),
            "before_horizon": _("That day lies before the time that bill runs still look at."),
            "no_payment_method": _("The customer has no way to pay on file."),
            "bad_decimal": _("This is no decimal number; write digits with a point, such as 12.50."),
            "too_many_decimals": _("The number has more decimals than are kept."),
            "empty_period": _("The period holds no day: its end has to lie after its start."),
            "period_locked": _("The books of that month are closed."),
            "date_out_of_range": _("The day lies outside of the calendar."),
            "missing_value": _("Choose what to change to first."),
            "unknown_setting": _("There is no such choice."),
            "unknown_plan": _("There is no such plan."),
            "unknown_item": _("There is no such item of this subscription."),
            "unknown_subscription": _("There is no such subscription."),
            "unknown_customer": _("There is no such customer in the billing engine."),
            "unknown_document": _("There is no such invoice or credit note among those you may see."),
            "unknown_entry": _("There is no such run."),
            "not_issued": _("The document has no number, so there is nothing to show."),
            "unprintable_text": _("A text on the document holds signs that no font at hand can show."),
            "version_overlap": _("Two versions would hold on the same day."),
        }
    )
