"""What states and kinds are called on the screens, and in which tone they are shown."""

from __future__ import annotations

from billing.admin.looks import Cell, Tone
from billing.web.languages import Words
from billing.web.problems import title_of


def N_(sentence: str) -> str:
    """Marks a sentence for the catalogue; it is looked up when it is shown."""
    return sentence


_STATES: dict[str, tuple[str, Tone]] = {
    "active": (N_("active"), "good"),
    "trialing": (N_("in trial"), "info"),
    "scheduled": (N_("scheduled"), "info"),
    "paused": (N_("paused"), "warn"),
    "suspended": (N_("suspended"), "bad"),
    "past_due": (N_("past due"), "bad"),
    "canceled": (N_("canceled"), ""),
    "draft": (N_("draft"), ""),
    "open": (N_("open"), "warn"),
    "paid": (N_("paid"), "good"),
    "void": (N_("void"), ""),
    "uncollectible": (N_("uncollectible"), "bad"),
    "pending": (N_("pending"), "warn"),
    "processing": (N_("under way"), "info"),
    "captured": (N_("captured"), "good"),
    "failed": (N_("failed"), "bad"),
    "declined": (N_("declined"), "bad"),
    "unknown": (N_("not known yet"), "warn"),
    "refunded": (N_("refunded"), ""),
    "requested": (N_("requested"), "info"),
    "approved": (N_("approved"), "good"),
    "rejected": (N_("rejected"), "bad"),
    "withdrawn": (N_("withdrawn"), ""),
    "current": (N_("current"), "good"),
    "reminded": (N_("reminded"), "warn"),
    "restricted": (N_("restricted"), "bad"),
    "written_off": (N_("written off"), "bad"),
    "enabled": (N_("on"), "good"),
    "disabled": (N_("off"), "bad"),
    "waiting": (N_("waiting"), "warn"),
    "delivered": (N_("delivered"), "good"),
    "dead": (N_("given up"), "bad"),
    "done": (N_("done"), "good"),
    "refused": (N_("refused"), "bad"),
    "held": (N_("held"), "warn"),
    "running": (N_("running"), "info"),
    "issued": (N_("issued"), "good"),
    "closed": (N_("closed"), ""),
}
_KINDS = {
    "invoice": N_("Invoice"),
    "credit_note": N_("Credit note"),
    "payment": N_("Payment received"),
    "early_discount": N_("Discount for early payment"),
    "wallet": N_("Wallet"),
    "refund": N_("Refund"),
    "automatic": N_("charged automatically"),
    "terms": N_("pays by transfer"),
    "order": N_("Order"),
    "collection": N_("Hand-over to collection"),
    "write_off": N_("Write-off"),
    "fee": N_("fee"),
    "seat": N_("seats"),
    "usage": N_("usage"),
}
_TRACKS = {"card": N_("Card retries"), "terms": N_("Reminders"), "campaign": N_("Campaign")}
_STEPS = {
    "attempt": N_("Next attempt"),
    "message": N_("Customer asked to act"),
    "courtesy": N_("Courtesy note"),
    "reminder_1": N_("First reminder"),
    "reminder_2": N_("Second reminder"),
    "reminder_3": N_("Third reminder"),
    "final_notice": N_("Final notice"),
    "collection": N_("Hand-over to collection"),
    "write_off": N_("Write-off"),
    "campaign": N_("Campaign message"),
    "end": N_("End of the subscription"),
}
"""Of dunning, as the dashboard calls them."""
_MODELS = {
    "flat": N_("Fixed amount"),
    "per_unit": N_("Per unit"),
    "graduated": N_("Graduated: each unit at the price of its tier"),
    "volume": N_("Volume: all units at the price of the tier reached"),
    "package": N_("Per package"),
    "percentage": N_("Share of each event"),
    "graduated_percentage": N_("Graduated share"),
    "tiered_block": N_("By blocks"),
    "dynamic": N_("Each event brings its amount"),
}
_WINDOWS = {"hour": N_("hour"), "day": N_("day"), "month": N_("month")}
_DECLINES = {
    "insufficient_funds": N_("Not enough money"),
    "limit_exceeded": N_("Limit exceeded"),
    "issuer_unavailable": N_("Bank not reached"),
    "do_not_honor": N_("Bank says no"),
    "account_closed": N_("Account closed"),
    "card_expired": N_("Card expired"),
    "stolen_card": N_("Card reported stolen"),
    "lost_card": N_("Card reported lost"),
    "mandate_revoked": N_("Mandate revoked"),
    "authentication_required": N_("Customer has to confirm"),
    "timeout": N_("No answer in time"),
    "gateway_down": N_("Gateway not reached"),
}
_ORDERS = {
    "subscribe": N_("Subscribe"),
    "change_plan": N_("Change the plan"),
    "change_quantity": N_("Change the quantity"),
    "add_item": N_("Add an add-on"),
    "remove_item": N_("Remove an add-on"),
    "reactivate": N_("Subscribe again"),
    "add_charge": N_("Add a charge"),
    "cancel": N_("Cancel"),
    "undo_cancel": N_("Take a cancellation back"),
    "pause": N_("Pause"),
    "resume": N_("Resume"),
    "top_up": N_("Top a wallet up"),
}
_CHANGES = {
    "subscribe": N_("It begins"),
    "upgrade": N_("The plan rises"),
    "downgrade": N_("The plan falls"),
    "interval": N_("Another interval"),
    "quantity": N_("Another quantity"),
    "trial_end": N_("The trial ends"),
    "add_on": N_("Another add-on"),
    "reactivate": N_("Subscribe again"),
    "pause": N_("Pause"),
    "resume": N_("Resume"),
    "overdue": N_("Suspended for overdue money"),
    "renewal": N_("The contract is renewed"),
    "index": N_("Prices follow an index"),
    "subscription_end": N_("The subscription ends"),
    "item_end": N_("The item ends"),
}
"""Why a version of an item begins, or what ends."""
_FAILURES = {
    "gone": N_("The receiver said that it is gone"),
    "failing": N_("It takes nothing"),
    "forbidden_address": N_("Forbidden address"),
    "unknown_host": N_("Unknown host"),
    "timeout": N_("No answer in time"),
    "bad_certificate": N_("Bad certificate"),
    "not_connected": N_("Not connected"),
    "broken_connection": N_("Connection broken"),
    "bad_answer": N_("Answer not readable"),
}
"""Of webhooks: why one did not arrive, or why an endpoint is off."""
_ACCOUNTS = {
    "receivable": N_("Receivables"),
    "deferred_revenue": N_("Deferred revenue"),
    "tax_payable": N_("Tax payable"),
    "customer_credit": N_("Credit of customers"),
    "gateway_clearing": N_("Clearing of the gateway"),
    "bank": N_("Bank"),
    "unallocated_receipts": N_("Receipts that match nothing yet"),
    "payment_fees": N_("Payment fees"),
    "discounts_allowed": N_("Discounts for early payment"),
    "bad_debt": N_("Bad debt"),
    "bad_debt_recovered": N_("Bad debt recovered"),
    "wallet": N_("Balance of wallets"),
    "wallet_breakage": N_("Balance that expired"),
    "rebate_accrued": N_("Rebates accrued"),
}


def state(words: Words, value: str | None) -> Cell:
    """A state as a badge; one that has no word here is shown as it is written."""
    if value is None:
        return Cell("–")
    name, tone = _STATES.get(value, (value, ""))
    return Cell(words.gettext(name), tone=tone)


def state_name(words: Words, value: str) -> str:
    return words.gettext(_STATES[value][0]) if value in _STATES else value


def kind(words: Words, value: str | None) -> str:
    return _word(words, _KINDS, value)


def track(words: Words, value: str) -> str:
    """How money is chased."""
    return words.gettext(_TRACKS.get(value, value))


def step(words: Words, value: str | None) -> str:
    """A step of dunning that is to come."""
    return _word(words, _STEPS, value)


def last_step(words: Words, value: str | None) -> str:
    """A step of dunning that was taken."""
    return words.gettext(N_("Attempt")) if value == "attempt" else step(words, value)


def model(words: Words, value: str) -> str:
    """How a price makes an amount of a quantity."""
    return _word(words, _MODELS, value)


def decline(words: Words, value: str | None) -> str:
    """Why a charge was declined."""
    return _word(words, _DECLINES, value)


def order(words: Words, value: str | None) -> str:
    """What was ordered."""
    return _word(words, _ORDERS, value)


def change(words: Words, value: str) -> str:
    """What is to happen to an item."""
    return _word(words, _CHANGES, value)


def failure(words: Words, value: str | None) -> str:
    """Why a webhook did not arrive, or an endpoint is off."""
    return _word(words, _FAILURES, value)


def refusal(words: Words, code: str | None) -> str:
    """What a code of the engine's refusals means, in a sentence."""
    return "–" if code is None else words.gettext(title_of(code))


def _word(words: Words, known: dict[str, str], value: str | None) -> str:
    return "–" if value is None else words.gettext(known.get(value, value))


def account(words: Words, value: str) -> str:
    return words.gettext(_ACCOUNTS.get(value, value))


TERMS = {
    "price": N_("Unit price"),
    "rate_percent": N_("Rate in percent"),
    "package_size": N_("Units in a package"),
    "free_units": N_("Free units"),
    "free_events": N_("Free events"),
    "fee_per_event": N_("Fee of an event"),
    "free_amount": N_("Free amount"),
    "min_per_event": N_("Least of an event"),
    "max_per_event": N_("Most of an event"),
    "minimum_spend_minor": N_("Least of a period"),
    "maximum_spend_minor": N_("Most of a period"),
    "quantity_from": N_("From this quantity on"),
    "window": N_("Counted each"),
    "window_commitment": N_("Committed each"),
}
"""What a price may say beside its tiers."""


def term(words: Words, name: str) -> str:
    return words.gettext(TERMS[name])


def window(words: Words, value: str) -> str:
    """What the usage of a price is counted by."""
    return _word(words, _WINDOWS, value)
