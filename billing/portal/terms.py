"""The engine's words for people: states, reasons, intervals, acts and refusals, in the language of a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from billing.web.intervals import every as every
from billing.web.languages import Words
from billing.web.problems import title_of


class State(NamedTuple):
    """A state as a badge shows it. `kind`: good, bad, warn, info or ""."""

    kind: str
    text: str


def N_(message: str) -> str:
    """Marks a sentence for the catalogues; it is translated where it is shown."""
    return message


_SUBSCRIPTIONS = {
    "active": ("good", N_("Active")),
    "trialing": ("info", N_("Trial")),
    "past_due": ("bad", N_("Payment overdue")),
    "paused": ("warn", N_("Paused")),
    "suspended": ("bad", N_("Suspended until paid")),
    "scheduled": ("info", N_("Begins later")),
    "canceled": ("", N_("Ended")),
}
_INVOICES = {
    "open": ("info", N_("Open")),
    "overdue": ("bad", N_("Overdue")),
    "paid": ("good", N_("Paid")),
    "void": ("", N_("Void")),
    "uncollectible": ("bad", N_("Unpaid")),
}
_REQUESTS = {
    "pending": ("warn", N_("Waits for approval")),
    "approved": ("good", N_("Approved")),
    "rejected": ("bad", N_("Rejected")),
    "withdrawn": ("", N_("Withdrawn")),
    "failed": ("bad", N_("Could not be done")),
}
_MOVES = {
    "granted": N_("Given by your seller"),
    "bought": N_("Bought"),
    "waiting": N_("Bought, not paid yet"),
    "draw": N_("Paid a part of an invoice"),
    "expiry": N_("Expired"),
    "revoked": N_("Taken back with its invoice"),
    "returned": N_("Given back"),
    "note": N_("Credit note"),
    "used": N_("Paid a part of an invoice"),
    "unused": N_("Given back"),
    "refunded": N_("Paid back to you"),
}
_USERS = {"invited": ("info", N_("Invited")), "active": ("good", N_("Active"))}
ROLES = {"buyer": N_("Buyer"), "approver": N_("Approver"), "viewer": N_("Viewer")}
REASONS = {
    "too_expensive": N_("Too expensive"),
    "missing_features": N_("Features are missing"),
    "unused": N_("We do not use it"),
    "switched": N_("We chose something else"),
    "service": N_("Not happy with the service"),
    "closed_business": N_("We close the business"),
    "other": N_("Another reason"),
}
"""Why somebody cancels; of core.subscription.CANCEL_REASONS those that are a customer's."""
_ACTS = {
    "subscribe": N_("Subscribe"),
    "change_plan": N_("Change plan"),
    "change_quantity": N_("Change seats"),
    "add_item": N_("Add an add-on"),
    "remove_item": N_("Remove an add-on"),
    "pause": N_("Pause"),
    "resume": N_("Resume"),
    "cancel": N_("Cancel"),
    "undo_cancel": N_("Take back the cancellation"),
    "undo_change": N_("Take back a change"),
    "reactivate": N_("Subscribe again"),
    "change_customer": N_("Change billing details"),
    "set_customer_address": N_("Change address"),
    "add_contact": N_("Add a contact"),
    "remove_contact": N_("Remove a contact"),
    "invite_user": N_("Invite a user"),
    "change_user": N_("Change a user"),
    "remove_user": N_("Remove a user"),
    "ask_for_approval": N_("Ask for approval"),
    "decide_request": N_("Decide on a request"),
    "withdraw_request": N_("Withdraw a request"),
    "create_purchase_order": N_("Add a purchase order"),
    "close_purchase_order": N_("Close a purchase order"),
    "add_payment_method": N_("Add a way to pay"),
    "finish_setup": N_("Add a way to pay"),
    "set_default_method": N_("Choose the way to pay"),
    "remove_payment_method": N_("Remove a way to pay"),
    "request_payment": N_("Pay an invoice"),
    "pay_now": N_("Pay an invoice"),
    "top_up": N_("Top up"),
    "dispute_invoice": N_("Dispute an invoice"),
    "sign_in": N_("Sign in"),
    "make_portal_link": N_("Make a link to sign in"),
    "create_customer": N_("Open the account"),
    "issue_credit_note": N_("Issue a credit note"),
    "receive_transfer": N_("Record a bank transfer"),
    "check_tax_number": N_("Check the tax number"),
    "keep_tax_check": N_("Check the tax number"),
    "start_setup": N_("Begin to add a way to pay"),
    "open_wallet": N_("Open a wallet"),
    "close_wallet": N_("Close a wallet"),
    "grant": N_("Give credit"),
    "draw": N_("Pay an invoice from credit"),
    "add_charge": N_("Add a charge"),
    "remove_charge": N_("Remove a charge"),
    "void_invoice": N_("Void an invoice"),
    "refund": N_("Pay back"),
    "refund_paid": N_("Pay back"),
    "write_off": N_("Write an invoice off"),
    "reinstate": N_("Ask for an invoice again"),
    "close_invoice_dispute": N_("Close a dispute"),
    "open_chargeback": N_("Record a payment the bank took back"),
    "close_chargeback": N_("Close what the bank took back"),
    "match_transfer": N_("Match a bank transfer"),
    "unmatch_transfer": N_("Match a bank transfer again"),
    "return_transfer": N_("Return a bank transfer"),
    "change_purchase_order": N_("Change a purchase order"),
    "give_discount": N_("Give a discount"),
    "end_discount": N_("End a discount"),
    "give_notice": N_("Give notice"),
    "notice": N_("Give notice"),
    "accept_renewal": N_("Renew"),
    "renew_due": N_("Renew"),
    "renew_ahead": N_("Renew"),
    "change_commitment": N_("Change what is committed"),
    "freeze_quantities": N_("Freeze quantities"),
    "agree_ramp": N_("Agree on prices that rise"),
    "agree_pool": N_("Agree on a pool"),
    "assign_campaign": N_("Give an offer"),
    "set_invoicing": N_("Change how invoices are made"),
    "create_discount": N_("Give a discount"),
    "approve": N_("Approve"),
    "reject": N_("Reject"),
}
_ANOTHER = N_("Another change")
_OUTCOMES = {
    "done": ("good", N_("Done")),
    "refused": ("bad", N_("Refused")),
    "held": ("warn", N_("Waits for approval")),
    "failed": ("bad", N_("Failed")),
}
_REFUSALS = {
    "amount_out_of_range": N_("The number is too large."),
    "bad_decimal": N_("This is no number. Write digits, with a point for decimals."),
    "bad_email": N_("This is no e-mail address."),
    "bad_parameter": N_("The page was asked for in a way that cannot be read."),
    "before_horizon": N_("That day lies too far back."),
    "busy": N_("Many people are here at the moment. Please try again."),
    "csrf": N_("The form was open too long or came from elsewhere. Please load the page again."),
    "empty_period": N_("The last day must lie after the first."),
    "illegal_plan": N_("This plan cannot be chosen here."),
    "illegal_transition": N_("This is not possible as things stand now."),
    "immutable": N_("This exists already."),
    "key_conflict": N_("This form was sent before with something else. Please load the page again."),
    "missing_value": N_("Something that is needed is missing."),
    "needs_approval": N_("An approver of your company has to agree first."),
    "negative_quantity": N_("A number here is not below zero."),
    "no_payment_method": N_("There is no way to pay on file. Please add one first."),
    "no_price": N_("There is no price for this at the moment. Please ask your seller."),
    "currency_mismatch": N_("There is no price for this in your currency. Please ask your seller."),
    "no_tax_rate": N_("The tax for this cannot be worked out. Please ask your seller."),
    "not_found": N_("There is nothing at this address, or it is not yours to see."),
    "on_hold": N_("Your seller has to agree to this order first."),
    "over_credit_limit": N_("This is above your credit limit; your seller has to agree first."),
    "order_multiple": N_("This can only be ordered in certain quantities."),
    "overdue_restricted": N_("Invoices are overdue. Please pay them first."),
    "preview_changed": N_("The figures have changed since you saw them. Please look again and confirm."),
    "role_missing": N_("Your role does not allow this."),
    "task_closed": N_("This cannot be done here. Please ask your seller."),
    "too_large": N_("That was too much text."),
    "too_many_decimals": N_("There are too many decimals."),
    "bad_tax_number": N_("This is no tax number of that country. Please check its digits."),
    "internal": N_("Something failed on our side. Please try again later."),
}


def subscription_state(words: Words, status: str) -> State:
    return _state(words, _SUBSCRIPTIONS, status)


def invoice_state(words: Words, state: str, is_overdue: bool) -> State:
    return _state(words, _INVOICES, "overdue" if state == "open" and is_overdue else state)


def request_state(words: Words, state: str) -> State:
    return _state(words, _REQUESTS, state)


def user_state(words: Words, state: str) -> State:
    return _state(words, _USERS, state)


def move(words: Words, kind: str) -> str:
    """What came into credit, or went out of it."""
    return words.gettext(_MOVES[kind])


def outcome(words: Words, name: str) -> State:
    return _state(words, _OUTCOMES, name)


def _state(words: Words, known: dict[str, tuple[str, str]], name: str) -> State:
    kind, text = known.get(name, ("", name))
    return State(kind, words.gettext(text))


def act(words: Words, name: str) -> str:
    return words.gettext(_ACTS.get(name, _ANOTHER))


def refusal(words: Words, code: str) -> str:
    """What went wrong, in a sentence."""
    return words.gettext(_REFUSALS.get(code) or title_of(code))


def options(words: Words, known: dict[str, str]) -> list[tuple[str, str]]:
    """Choices of a form, in the order they are known."""
    said: Callable[[str], str] = words.gettext
    return [(value, said(text)) for value, text in known.items()]
