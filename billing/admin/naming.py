"""What states and kinds are called on the screens, and in which tone they are shown."""

from __future__ import annotations

from billing.admin.looks import Cell, Tone
from billing.web.languages import Words


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
    "P1M": N_("monthly"),
    "P3M": N_("quarterly"),
    "P1Y": N_("yearly"),
    "P1W": N_("weekly"),
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
    return "–" if value is None else words.gettext(_KINDS.get(value, value))


def track(words: Words, value: str) -> str:
    """How money is chased."""
    return words.gettext(_TRACKS.get(value, value))


def step(words: Words, value: str | None) -> str:
    """A step of dunning."""
    return "–" if value is None else words.gettext(_STEPS.get(value, value))


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
