"""What has to hold in the billing data, as `tajdid billing doctor` says it: its checks by their code."""

from __future__ import annotations

from collections.abc import Mapping

from dashboard.i18n import Text
from dashboard.words import Words, lookup


def part(text: Text) -> Words:
    """Where a row was found that breaks a check, by its table."""
    _ = text.gettext
    return lookup(
        {
            "customers": _("Customers"),
            "contracts": _("Contracts"),
            "subscriptions": _("Subscriptions"),
            "items": _("Subscriptions"),
            "item_versions": _("Subscriptions"),
            "components": _("Bundles"),
            "price_choices": _("Prices"),
            "price_tiers": _("Prices"),
            "usage_events": _("Usage"),
            "usage_snapshots": _("Billed usage"),
            "stock_orders": _("Stock orders"),
            "stock_allocations": _("Stock orders"),
            "invoices": _("Invoices"),
            "line_items": _("Lines of invoices"),
            "tax_lines": _("Tax of lines"),
            "credit_notes": _("Credit notes"),
            "credit_note_lines": _("Lines of credit notes"),
            "number_sequences": _("Numbers of documents"),
            "held_documents": _("Documents on hold"),
            "purchase_orders": _("Purchase orders"),
            "discounts": _("Discounts"),
            "early_discounts": _("Early payment discounts"),
            "payments": _("Payments"),
            "payment_attempts": _("Attempts at payment"),
            "payment_methods": _("Ways to pay"),
            "bank_transfers": _("Bank transfers"),
            "applications": _("What paid invoices"),
            "refunds": _("Refunds"),
            "disputes": _("Disputes with the bank"),
            "invoice_disputes": _("Disputed invoices"),
            "wallets": _("Prepaid credit"),
            "wallet_grants": _("Prepaid credit"),
            "dunning_cases": _("Dunning"),
            "approvals": _("Approvals"),
            "legal_entities": _("Sellers"),
            "journal_entries": _("Journal"),
            "journal_lines": _("Journal"),
            "outbox": _("Messages"),
            "audit_log": _("Audit log"),
        }
    )


def sentences(text: Text) -> Mapping[str, str]:
    """What has to hold by each check, in the reader's language."""
    _ = text.gettext
    return {
        "customer_root": _("The root of a customer is the top of its tree, and a tree has no circle."),
        "customer_bill_to": _("Who owes for a customer stands in its tree."),
        "customer_parked": _("A customer that is set aside has a reason, and nobody else has one."),
        "subscription_status": _("The status of a subscription is what its facts say."),
        "subscription_item": _("A subscription has an item that is no add-on."),
        "subscription_end": _("A subscription that ends has a reason."),
        "item_customer": _("An item is of the customer its subscription was sold to."),
        "contract_term": _("The running term of a contract is its last one."),
        "version_overlap": _("Live versions of an item never overlap."),
        "version_period": _("A version ends after it begins."),
        "version_amounts": _("Neither the quantity nor the amounts of a version are negative."),
        "version_plan": _("A version names a plan that was published."),
        "version_choice": _("The choice of prices that a version names is kept."),
        "version_price": _("The price that a version names is there."),
        "price_tiers": _("The bounds of tiers rise, and only the last is open."),
        "choice_price": _("A choice takes one price for a component."),
        "bundle_shares": _("The shares of a bundle are a whole."),
        "line_price": _("The price that a line names is there."),
        "line_item": _("The item that a line names is there."),
        "line_policy": _("The policy that a line was made with is kept."),
        "day_charged_twice": _("Charges less credits cover a day of service once or not at all."),
        "line_period": _("A line's service is within the period its price is for, and not empty."),
        "obligation": _("An obligation is billed once."),
        "usage_snapshot": _(
            "What a line of usage counted is kept, but of a period that runs and was billed early."
        ),
        "usage_unbilled": _(
            "Usage that came before a later period was billed is billed too, or says why it is not."
        ),
        "usage_item": _("Usage is of an item."),
        "stock_order": _("What was allocated was ordered."),
        "stock_put_back": _("No more is put back of an order than was taken."),
        "invoice_net": _("The net of an invoice is the sum of its lines."),
        "invoice_tax": _("The tax of an invoice is the sum of its lines'."),
        "invoice_total": _("The total of an invoice is net and tax."),
        "line_net": _("The net of a line is its gross less its discount."),
        "line_invoice": _("A line stands on an invoice."),
        "invoice_lines": _("An invoice has lines."),
        "line_sign": _("A charge is not negative, and a credit not positive."),
        "line_currency": _("A line is in the currency of its invoice."),
        "note_net": _("The net of a credit note is the sum of its lines."),
        "note_tax": _("The tax of a credit note is the sum of its lines'."),
        "note_total": _("The total of a credit note is net and tax."),
        "line_items_bound": _("The amounts of a line stay within bounds."),
        "invoices_bound": _("The amounts of an invoice stay within bounds."),
        "credit_notes_bound": _("The amounts of a credit note stay within bounds."),
        "credit_note_lines_bound": _("The amounts of a line of a note stay within bounds."),
        "credited_net": _("What is taken back of a line is at most its net."),
        "credited_tax": _("The tax that is taken back of a line is at most its tax."),
        "credited_line": _("A credit takes back a charge of the same item, component and kind."),
        "noted_line": _("A line of a note takes back a charge, or undoes a credit of a void invoice."),
        "note_line_sign": _("The lines of a note are sizes, but for the credits of a void invoice."),
        "tax_lines": _("The tax of a line is the sum of its tax lines."),
        "tax_line_base": _("A tax line has the base of its line."),
        "tax_line_rate": _("A tax line has the rate of its line."),
        "tax_line_category": _("A tax line has the category of its line."),
        "line_without_tax": _("Every line has a tax line."),
        "invoice_number": _("The number of a document has the form of its kind, and the year of its issue."),
        "invoice_number_gap": _("Numbers of a seller, kind and year have no gap and no repeat."),
        "invoice_next_number": _("The next number follows the last one taken."),
        "note_number": _("The number of a document has the form of its kind, and the year of its issue."),
        "note_number_gap": _("Numbers of a seller, kind and year have no gap and no repeat."),
        "note_next_number": _("The next number follows the last one taken."),
        "invoice_state": _(
            "An invoice is a draft, open, paid, void or uncollectible, and has the day of that."
        ),
        "invoice_issue": _(
            "An issued invoice has a number, the day of its issue, and is due then or later; "
            "a draft has none."
        ),
        "invoice_sign": _("An invoice is not negative."),
        "invoice_applied": _("No more is applied to an invoice than its total."),
        "invoice_paid": _("A paid invoice is applied in full."),
        "invoice_open": _("Something of an open invoice is unpaid."),
        "invoice_void": _("A void invoice is taken back whole by credit notes, and settled by them."),
        "invoice_written_off": _("What is written off is what was open, and no more of it is recovered."),
        "invoice_replaced": _("An invoice stands for one that is void."),
        "discount_times": _("A discount is used for at most as many periods of an item as it has times."),
        "document_discount_times": _(
            "A discount of documents is used for at most as many invoices of a payer as it has times."
        ),
        "document_discount": _("The part of a line's document discounts is within its discount."),
        "discount_amount": _("The discounts of a line take off no more than its discount."),
        "purchase_order": _("What is billed against a purchase order is within its budget."),
        "write_off": _("What an invoice lost is its write-offs, less those that were taken back."),
        "payment_state": _(
            "A payment is pending, failed, captured or canceled; what came in (and was undone) has a day."
        ),
        "payment_asked": _("A payment under way asks for no more than is open of its invoice."),
        "payment_twice": _("One payment at a time is under way for an invoice."),
        "payment_attempt": _("A captured charge has the attempt that captured it, and it is the last."),
        "attempt_captured": _("Where an attempt captured the money, the payment is captured."),
        "payment_method": _("A customer has one default way to pay at a time."),
        "payment_reversed": _("What the bank took back of a payment is its disputes that are open or lost."),
        "payment_applied": _("A payment pays and gives back no more than it brought and kept."),
        "note_applied": _("A credit note pays and gives back no more than its total."),
        "payment_spent": _(
            "Nothing is left of a payment that is called spent, but of a recovery, which is no credit."
        ),
        "application_parties": _("What pays an invoice is of its payer, and in its currency."),
        "application_reversal": _("What undoes an application mirrors it; nothing else is negative."),
        "application_reversed_twice": _("An application is undone once."),
        "refund_of_payment": _("No more is given back through a payment than it brought."),
        "refund_state": _(
            "A refund is requested, refunded or failed; one that was made has its day, and is asked no more."
        ),
        "grant_left": _("Something or nothing is left of a grant, never less."),
        "grant_returned": _("No more comes back to a grant than was taken."),
        "grant_draws": _("What was drawn from a grant paid invoices."),
        "wallet_currency": _("A wallet is in the currency of its customer."),
        "grant_invoice": _("A grant that was bought names its invoice."),
        "transfer_state": _("A transfer is matched with a payment, or waits, or was returned."),
        "transfer_payment": _("A matched transfer is payments that add up to it; another is none."),
        "early_discount": _("What an invoice that was paid early did not cost is applied to it."),
        "dispute_amount": _("A dispute is about no more than its payment."),
        "dispute_outcome": _("A dispute that is closed has an outcome, and an open one has none."),
        "invoice_dispute": _("A disputed part is within its invoice."),
        "case_twice": _("One case is open per customer, currency and track."),
        "overdue_state": _(
            "The overdue state of a customer is the worst of its open cases, or written off "
            "where money is lost."
        ),
        "case_end": _("A closed case says how it ended, an open one does not."),
        "case_of_payment": _("A payment that waits in a case waits in an open one."),
        "customer_campaign": _("The campaign of a customer is there."),
        "credit_limit": _("A credit limit is not below 0."),
        "approval": _(
            "What waits is of a known kind, of a case where it is about one, and has a day "
            "once it is decided."
        ),
        "held_document": _("A document was held for want of a purchase order, or by one that is there."),
        "entry_balance": _("The debit of an entry is its credit, in each currency."),
        "entry_sides": _("A line of the journal has one side, which is positive."),
        "entry_lines": _("An entry has lines."),
        "entry_of_line": _("A line of the journal has an entry."),
        "entry_amounts": _(
            "Every document and payment has its entry, with its amounts, and no entry is without one."
        ),
        "entry_day": _("An entry is posted by the seller and on the day of its document."),
        "wallet": _("A customer's wallets in the books are what its grants have left."),
        "receivable": _("What the books say a customer owes is what its open invoices say."),
        "customer_credit": _(
            "A customer's credit in the books is payments and notes less what they paid and "
            "what was given back."
        ),
        "credit_negative": _("No customer's credit is below 0."),
        "unallocated": _("What the books call unallocated is the transfers that wait for somebody."),
        "entry_locked": _("Nothing is posted into a month after it was closed."),
        "message": _("Every document and every payment is told once."),
        "line_amount": _(
            "A recurring charge is its price times its quantity and its share of the period, "
            "less its discounts."
        ),
        "line_tax": _("The tax of a document is its nets at their rates, shared over its lines."),
        "credited_share": _("Credits take back the same share of a line's tax as of its net."),
        "usage_quantity": _("The quantity of billed usage is that of the events that had come by then."),
        "usage_amount": _(
            "The charges of a segment of usage are the price of its quantity, less its discounts."
        ),
        "second_run": _("A second run to the same day posts nothing."),
        "audit_code": _(
            "An entry ended in a way there is, and says why where it is not done, and only there."
        ),
        "audit_approval": _("An act that was held names the approval it waits for."),
        "audit_customer": _("What was done about a customer was done about one that is there."),
    }
