"""What each event is about, and which members of its message leave the house.

A message of the outbox is written for the engine; an event is what webhooks and the API show of it. Members
are shown by name, so that one that is added to a message stays inside until it is listed here. A topic that
is not listed shows only what it is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Whose = Literal["payload", "subject", "contract", "wallet", "order", "subscription", "nobody"]


@dataclass(frozen=True, slots=True)
class Topic:
    """fields: members that are shown; withheld: those that are known and are not (`*`: any other).

    whose: how the customer is found: named by the payload, or by what the event is about. is_public: whether
    a customer's own key and endpoint get it, beside the merchant's.
    """

    description: str
    fields: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    whose: Whose = "payload"
    is_public: bool = True


def _of(
    description: str, fields: str = "", *, withheld: str = "", whose: Whose = "payload", inside: bool = False
) -> Topic:
    return Topic(description, tuple(fields.split()), tuple(withheld.split()), whose, not inside)


_STATEMENT = "currency locale to step_on oldest_due_on state overdue_minor disputed_minor items"

TOPICS: Mapping[str, Topic] = {
    "address.set": _of(
        "An address of a customer or seller holds from a day on.",
        "entity_id address_id role valid_from country",
        withheld="lines postal_code city region",
    ),
    "approval.approved": _of("A person agreed to what waited.", "kind subject_id decided_by on", inside=True),
    "approval.rejected": _of("A person refused what waited.", "kind subject_id decided_by on", inside=True),
    "approval.requested": _of(
        "Something waits for a person's word.",
        "kind code figures case_id currency overdue_minor oldest_due_on",
        withheld="order items",
        inside=True,
    ),
    "campaign.created": _of(
        "There is a new overdue campaign.",
        "name max_attempts days_between thresholds",
        whose="nobody",
        inside=True,
    ),
    "charge.added": _of(
        "A subscription is charged once.",
        "charge_id item_id charged_on description amount_minor subscription_id",
        whose="subscription",
    ),
    "charge.removed": _of("A single charge was taken back."),
    "contact.added": _of("A person was added at a customer.", "role"),
    "contact.removed": _of("A person is a contact no more."),
    "contract.clause_added": _of(
        "An index clause or a pool was agreed.",
        "clause_id contract_id kind index_id base_value_mantissa base_value_scale floor_ppm cap_ppm first_on "
        "interval lag_months notice_days members",
        whose="contract",
    ),
    "contract.ended": _of("A contract ended with its term.", "on", whose="contract"),
    "contract.notice_given": _of("The customer gave notice.", "on", whose="contract"),
    "contract.renewal_accepted": _of("The customer accepted the next term.", "on", whose="contract"),
    "contract.renewal_due": _of(
        "A term ends in so many days.", "term_end days auto_renew notice_by", whose="contract"
    ),
    "contract.stock_rule_set": _of(
        "What happens to goods that run short was agreed.", "rule valid_from", whose="contract"
    ),
    "contract.substitutes_agreed": _of(
        "The customer takes successors of goods that run short.", "on", whose="contract"
    ),
    "contract.term_moved": _of("A pause moved the end of the term.", "term_end agreed_end", whose="contract"),
    "credit_note.issued": _of("A credit note was issued.", "number currency total_minor reason"),
    "customer.campaign_assigned": _of(
        "The way a customer's overdue money is chased changed.",
        "campaign_id",
        whose="subject",
        inside=True,
    ),
    "customer.changed": _of(
        "Attributes of a customer changed; those that are named, to what they are now.",
        "name country parent_id bill_to_id currency time_zone locale tax_number tax_number_confirmed_on "
        "terms_id collection requires_purchase_order",
        withheld="group_id is_test policy_name credit_limit_minor hold",
        whose="subject",
    ),
    "customer.created": _of("There is a new customer.", "name country", whose="subject"),
    "customer.overdue_state_changed": _of(
        "Overdue money of a customer came further, or was paid.", "from to", whose="subject"
    ),
    "customer.parked": _of(
        "Bill runs leave a customer aside until a fault is mended.",
        "code detail",
        whose="subject",
        inside=True,
    ),
    "customer.retried": _of("A customer that was left aside is billed again.", whose="subject", inside=True),
    "discount.created": _of(
        "There is a new discount.",
        "discount_id name scope discount_ppm amount_minor currency times valid_start valid_end",
        whose="nobody",
        inside=True,
    ),
    "discount.ended": _of(
        "A payer has a discount no more from a day on.", "discount_id valid_end", whose="subject"
    ),
    "discount.given": _of(
        "A payer has a discount of documents.", "discount_id valid_start valid_end", whose="subject"
    ),
    "dispute.closed": _of(
        "A dispute at the bank ended: won or lost.", "invoice_id payment_id currency amount_minor outcome"
    ),
    "dispute.opened": _of(
        "The bank took a payment back for a dispute.", "invoice_id payment_id currency amount_minor"
    ),
    "document.held": _of(
        "A document waits until a purchase order allows it.",
        "held_id entity_id currency po_id code net_minor",
        whose="subject",
    ),
    "dunning.campaign": _of("A step of an overdue campaign: what stands open.", _STATEMENT),
    "dunning.closed": _of("A dunning case ended.", "closed_as on"),
    "dunning.courtesy": _of("Money falls due soon: what stands open.", _STATEMENT),
    "dunning.final_notice": _of("The last notice: what stands open.", _STATEMENT),
    "dunning.opened": _of("Money is overdue, or a payment failed: a case began.", "currency on"),
    "dunning.reminder_1": _of("The first reminder: what stands open.", _STATEMENT),
    "dunning.reminder_2": _of("The second reminder: what stands open.", _STATEMENT),
    "dunning.reminder_3": _of("The third reminder: what stands open.", _STATEMENT),
    "index.published": _of("An index has a value for a month.", "month value", whose="nobody", inside=True),
    "invoice.dispute_closed": _of(
        "A customer's dispute of an invoice was accepted or rejected.",
        "invoice_id amount_minor currency outcome note_id",
    ),
    "invoice.disputed": _of(
        "A customer disputes an invoice or a line of it.",
        "dispute_id invoice_id line_id amount_minor reason opened_on currency",
    ),
    "invoice.issued": _of("An invoice was issued.", "number currency total_minor"),
    "invoice.reinstated": _of("A write-off was taken back.", "amount_minor currency reason"),
    "invoice.voided": _of(
        "An invoice was made void by a credit note.", "number currency total_minor note_id"
    ),
    "invoice.written_off": _of("What was open was given up.", "amount_minor currency reason"),
    "legal_entity.changed": _of(
        "What documents print of a seller changed.",
        "registration bank_name",
        withheld="email iban bic",
        whose="nobody",
        inside=True,
    ),
    "legal_entity.created": _of(
        "There is a new seller.", "entity_id name country tax_number", whose="nobody", inside=True
    ),
    "meter.created": _of(
        "There is a new meter.",
        "meter_id name aggregation scale unit is_recurring grain",
        whose="nobody",
        inside=True,
    ),
    "payment.action_needed": _of("The customer has to act before a payment can be made.", "due_on"),
    "payment.captured": _of("Money came in.", "invoice_id amount_minor currency attempt"),
    "payment.failed": _of(
        "A charge was declined; what is done next, and when.", "invoice_id attempt decline_class next on"
    ),
    "payment_method.added": _of("A customer has a new way to pay.", "kind"),
    "payment_method.made_default": _of("Another way to pay is charged where nothing else is said."),
    "payment_method.removed": _of("A way to pay is charged no more."),
    "payment_terms.created": _of("There are new payment terms.", "net_days", whose="nobody", inside=True),
    "payout.received": _of(
        "The gateway paid out.",
        "entity_id currency amount_minor fee_minor received_on",
        withheld="gateway_ref",
        whose="nobody",
        inside=True,
    ),
    "period.locked": _of("The books of a month were closed.", "entity_id", whose="nobody", inside=True),
    "period.unlocked": _of(
        "The books of a month were opened again.", "entity_id", whose="nobody", inside=True
    ),
    "plan.created": _of(
        "There is a new plan.", "plan_id name product_id tier is_add_on", whose="nobody", inside=True
    ),
    "plan.published": _of("A plan has a new version.", "version interval", whose="nobody", inside=True),
    "policy.changed": _of(
        "A policy has a new version.", "version valid_from", withheld="*", whose="nobody", inside=True
    ),
    "price_list.created": _of(
        "There is a new price list.",
        "list_id name level owner_id currency valid_start valid_end",
        whose="nobody",
        inside=True,
    ),
    "prices.added": _of("A price list has more prices.", "price_ids", whose="nobody", inside=True),
    "product.created": _of(
        "There is a new product.", "product_id name tax_code category", whose="nobody", inside=True
    ),
    "purchase_order.changed": _of("A purchase order changed.", "budget_minor valid_start valid_end"),
    "purchase_order.closed": _of("A purchase order is valid no more from a day on.", "valid_end"),
    "purchase_order.created": _of(
        "A payer has a new purchase order.", "po_id number currency budget_minor valid_start valid_end"
    ),
    "refund.failed": _of("A refund failed.", "payment_id note_id amount_minor currency"),
    "refund.made": _of("Money was given back.", "payment_id note_id amount_minor currency"),
    "refund.requested": _of("Money is to be given back.", "payment_id note_id amount_minor is_by_hand"),
    "sku.created": _of(
        "There are new goods.",
        "sku_id product_id name base_unit minimum_quantity order_multiple successor_sku_id units",
        whose="nobody",
        inside=True,
    ),
    "stock_order.created": _of(
        "Goods were ordered from the stock.", "item_id sku_id quantity_mantissa quantity_scale"
    ),
    "stock_order.delivered": _of(
        "It was told how much of an order arrived.", "delivered sku_id", whose="order"
    ),
    "stock_order.moved": _of(
        "The stock answered: what was allocated, substituted, released or skipped.",
        "item_id sku_id allocated substituted released skipped open quantity_scale",
    ),
    "subscription.cancel_undone": _of("A cancellation was taken back.", "status"),
    "subscription.canceled": _of("A subscription ends on a day.", "status ends_on reason"),
    "subscription.change_undone": _of("A change ahead was taken back.", "status item_ids on"),
    "subscription.commitment_changed": _of(
        "The committed minimum changed.", "status item_id committed_minimum_minor on"
    ),
    "subscription.created": _of("There is a new subscription.", "status plan_id starts_on"),
    "subscription.end_moved": _of("The end of a subscription moved.", "status ends_on"),
    "subscription.imported": _of(
        "A subscription was taken over from elsewhere.", "plan_id", withheld="billed_until"
    ),
    "subscription.invoicing_changed": _of(
        "How a subscription is invoiced changed.", "po_id terms_id method_id consolidation_group"
    ),
    "subscription.item_added": _of("An add-on joined a subscription.", "status item_id plan_id on"),
    "subscription.item_removed": _of("An add-on ends on a day.", "status item_id on"),
    "subscription.paused": _of("A pause begins on a day.", "status from_on until cause"),
    "subscription.plan_changed": _of(
        "The plan changes on a day.", "status plan_id from_plan_id on kind item_id"
    ),
    "subscription.prices_indexed": _of(
        "Prices follow an index from a day on.", "status contract_id acts_on list_id"
    ),
    "subscription.quantity_changed": _of("The quantity changes on a day.", "status item_id quantity on"),
    "subscription.ramp_agreed": _of("Phases of price or quantity were agreed.", "status phases"),
    "subscription.reactivated": _of("A subscription that ended goes on.", "status item_id plan_id on"),
    "subscription.renewed": _of("The next term began.", "status contract_id term_start term_end"),
    "subscription.resumed": _of("A pause ends on a day.", "status on"),
    "subscription.turned": _of("Time changed the status.", "status from_status"),
    "tax_rate.added": _of(
        "A country has a tax rate from a day on.",
        "country tax_code category valid_from tax_rate_ppm",
        whose="nobody",
        inside=True,
    ),
    "transfer.received": _of(
        "A bank transfer came in.", "entity_id bank_ref amount_minor currency", whose="nobody", inside=True
    ),
    "transfer.returned": _of(
        "A bank transfer was sent back.", "bank_ref amount_minor currency", whose="nobody", inside=True
    ),
    "transfer.unmatched": _of("A wrong match was taken back.", "amount_minor currency"),
    "usage.imported": _of(
        "Usage of a source was taken in.", "accepted duplicate rejected", whose="nobody", inside=True
    ),
    "usage.frozen": _of("Quantities of usage were taken as they are.", "quantities", whose="subject"),
    "wallet.closed": _of("A wallet pays nothing any more."),
    "wallet.drawn": _of("An invoice was paid from a wallet by hand.", "invoice_id amount_minor"),
    "wallet.expired": _of("Balance expired.", "grant_id amount_minor currency"),
    "wallet.granted": _of(
        "Balance was given away.", "grant_id wallet_id amount_minor granted_on expires_on reason"
    ),
    "wallet.opened": _of("There is a new wallet.", "name"),
    "wallet.top_up_failed": _of("An automatic top-up failed.", "code", whose="wallet"),
    "webhook.test": _of("Asked for, to try an endpoint; it goes to that endpoint alone.", whose="nobody"),
    "webhook_endpoint.changed": _of("An endpoint was changed.", "state", inside=True),
    "webhook_endpoint.created": _of("There is a new endpoint.", inside=True),
    "webhook_endpoint.disabled": _of(
        "An endpoint is sent nothing more until it is enabled.", "reason", inside=True
    ),
    "webhook_endpoint.enabled": _of("An endpoint goes on.", inside=True),
    "webhook_endpoint.failing": _of("An endpoint has failed for an hour.", "since", inside=True),
    "webhook_endpoint.removed": _of("An endpoint is there no more.", inside=True),
    "webhook_endpoint.replayed": _of("Events were sent again.", "deliveries", inside=True),
    "webhook_endpoint.secret_rotated": _of(
        "An endpoint signs with a new secret.", "old_ends_at", inside=True
    ),
}

_UNLISTED = Topic("", withheld=("*",), is_public=False)
PUBLIC = frozenset(topic for topic, one in TOPICS.items() if one.is_public)
"""What a customer's own key and endpoint may get."""


def topic_of(topic: str) -> Topic:
    """What is known of a topic."""
    return TOPICS.get(topic, _UNLISTED)


def shown(topic: str, subject_id: str, customer_id: str | None, payload: Mapping[str, Any]) -> dict[str, Any]:
    """`data` of an event: what it is about, whose it is, and the members that may be shown."""
    data: dict[str, Any] = {"object": topic.partition(".")[0], "id": subject_id, "customer_id": customer_id}
    return data | {name: payload[name] for name in topic_of(topic).fields if name in payload}


def fits(topics: str, topic: str) -> bool:
    """Whether a topic is among those that an endpoint asks for: `*`, topics, or all of a thing
    (`invoice.*`), with spaces between."""
    asked = topics.split()
    return "*" in asked or topic in asked or f"{topic.partition('.')[0]}.*" in asked


def is_topic(asked: str) -> bool:
    """Whether an endpoint may ask for this."""
    things = {f"{topic.partition('.')[0]}.*" for topic in TOPICS}
    return asked == "*" or asked in TOPICS or asked in things


_DAY, _AT = "2026-01-31", "2026-01-31T08:00:00Z"
_EXAMPLES: Mapping[str, Any] = {
    "amount_minor": 12_000,
    "total_minor": 14_280,
    "net_minor": 12_000,
    "currency": "EUR",
    "number": "2026-000042",
    "status": "active",
    "from_status": "trialing",
    "quantity": "12",
    "attempt": 1,
    "items": [],
    "phases": [_DAY],
    "figures": {"open_minor": 14_280},
    "thresholds": {"EUR": "50.00"},
    "units": {"box": 12},
    "version": 2,
    "days": 30,
    "auto_renew": True,
}


def example(topic: str) -> dict[str, Any]:
    """An event of a topic as a receiver gets it, with made-up values."""
    data = {name: _EXAMPLES.get(name, _made_up(name)) for name in topic_of(topic).fields}
    whose = None if topic_of(topic).whose == "nobody" else "cus_00010000000000001a2b"
    thing = topic.partition(".")[0]
    about = {"object": thing, "id": f"{thing}_00010000000000002c3d", "customer_id": whose}
    return {"type": topic, "timestamp": _AT, "sequence": 1042, "data": about | data}


def _made_up(name: str) -> Any:
    if name.endswith("_id"):
        return f"{name.removesuffix('_id')}_00010000000000003e4f"
    if name.endswith("_ids"):
        return [f"{name.removesuffix('_ids')}_00010000000000003e4f"]
    if name.endswith(("_on", "_end", "_start", "_from")) or name in ("on", "until", "month", "notice_by"):
        return _DAY
    if name.endswith("_at") or name == "since":
        return _AT
    if name.startswith("is_"):
        return False
    if name.endswith(("_minor", "_ppm", "_days", "_months", "_mantissa", "_scale")):
        return 0
    return name
