"""Every operation of the API, and the shapes of what goes in and comes out.

Written by generate.py from the specification; not to be changed by hand.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any, Literal, NotRequired, TypedDict

from tajdid_client.calling import Calling, path_of


class AddItem(TypedDict):
    plan_id: str
    quantity: NotRequired[str | int]
    unit: NotRequired[str | None]
    starts_on: NotRequired[str | None]


class Address(TypedDict):
    object: Literal["address"]
    address_id: str
    customer_id: str | None
    entity_id: str | None
    role: str
    lines: list[str]
    postal_code: str
    city: str
    region: str
    country: str
    valid_from: str
    recorded_at: str


class AgreeRamp(TypedDict):
    phases: list[RampPhase]


class Approval(TypedDict):
    object: Literal["approval"]
    approval_id: str
    kind: str
    customer_id: str
    subject_id: str | None
    state: str
    proposed_on: str
    decided_on: str | None
    decided_by: str | None
    recorded_at: str
    changed_at: str
    details: dict[str, Any]


class Asked(TypedDict):
    """An act to try out, with its arguments as its own route takes them and the id of what it is
    about."""

    act: Literal[
        "subscribe",
        "reactivate",
        "change_plan",
        "change_quantity",
        "change_commitment",
        "add_item",
        "remove_item",
        "agree_ramp",
        "pause",
        "resume",
        "cancel",
        "undo_cancel",
        "undo_change",
        "add_charge",
        "remove_charge",
        "give_notice",
        "renew_ahead",
    ]
    arguments: dict[str, Any]
    up_to: NotRequired[str | None]


class Attempt(TypedDict):
    attempt: int
    attempted_at: str
    status: int | None
    error: str | None
    ms: int
    answer_head: str | None
    secret_id: str | None


class AuditEntry(TypedDict):
    object: Literal["audit_entry"]
    entry_id: str
    happened_at: str
    actor: str
    act: str
    outcome: str
    code: str | None
    subject_id: str | None
    customer_id: str | None
    request_id: str | None
    recorded_at: str


class Backorder(TypedDict):
    """Goods of which something is still to come; quantities in base units as decimal text."""

    object: Literal["backorder"]
    order_id: str
    customer_id: str
    item_id: str
    sku_id: str
    due_on: str
    open_until: str
    ordered: str
    allocated: str
    substituted: str
    open: str


class Balance(TypedDict):
    """What can be drawn on a day, and what of that can be used no more from which day on."""

    object: Literal["wallet_balance"]
    wallet_id: str
    on: str
    minor: int
    currency: str
    expiring: list[Expiry]


class BankRow(TypedDict):
    """A row of a bank statement; `amount` in major units as decimal text."""

    entity_id: str
    bank_ref: str
    received_on: str
    amount: str
    currency: str
    payer_name: NotRequired[str]
    reference: NotRequired[str]


class BankRows(TypedDict):
    rows: list[BankRow]


class Bulk(TypedDict):
    operations: list[Operation]


class BulkOutcome(TypedDict):
    """`status` and `body` as the request would have been answered alone."""

    status: int
    body: Any


class CallMade(TypedDict):
    """`route`: its template, without what was asked for. `ms`: how long it took."""

    object: str
    call_id: str
    request_id: str
    happened_at: str
    caller_kind: str
    caller_id: str | None
    method: str
    route: str
    status: int
    code: str | None
    subject_id: str | None
    customer_id: str | None
    bytes_in: int
    bytes_out: int
    ms: int


class Campaign(TypedDict):
    object: Literal["campaign"]
    campaign_id: str
    name: str
    max_attempts: int
    days_between: int
    thresholds: list[dict[str, Any]]
    recorded_at: str


class CampaignThreshold(TypedDict):
    currency: str
    threshold_minor: int


class Cancel(TypedDict):
    when: NotRequired[Literal["now", "period_end", "term_end"] | str]
    reason: NotRequired[
        Literal[
            "too_expensive", "missing_features", "unused", "switched", "service", "closed_business", "other"
        ]
    ]
    money: NotRequired[Literal["credit", "refund", "none"] | None]


class CatalogStep(TypedDict):
    """What one tier adds, exactly, in major units."""

    first: int
    last: int | None
    units: str | None
    unit_price: str
    flat_fee: str
    amount: str


class ChangeCommitment(TypedDict):
    committed_minimum_minor: int
    item_id: NotRequired[str | None]
    when: NotRequired[Literal["now", "period_end"] | str]


class ChangePlan(TypedDict):
    plan_id: str
    item_id: NotRequired[str | None]
    when: NotRequired[Literal["now", "period_end"] | str | None]
    trial_days: NotRequired[int | None]


class ChangeQuantity(TypedDict):
    quantity: str | int
    item_id: NotRequired[str | None]
    when: NotRequired[Literal["now", "period_end"] | str | None]
    unit: NotRequired[str | None]


class Charge(TypedDict):
    """A charge that comes once; `removed_at`: when it was taken back."""

    charge_id: str
    subscription_id: str
    customer_id: str
    item_id: str
    charged_on: str
    description: str
    amount_minor: int
    currency: str
    removed_at: str | None
    recorded_at: str
    changed_at: str


class ChargeOf(TypedDict):
    """A charge, with the subscription that bears it."""

    description: str
    amount: str | int
    charged_on: NotRequired[str | None]
    charge_id: NotRequired[str | None]
    subscription_id: str


class ChargebackOutcome(TypedDict):
    outcome: Literal["won", "lost"]


class ChosenCampaign(TypedDict):
    """The campaign that chases a customer; null: the days of net terms do."""

    campaign_id: str | None


class Clause(TypedDict):
    """A clause of a contract. kind `index`: prices follow `index_id` from `base_value` on; `pool`:
    `members` (kind sku or component) are priced by `tiers` of their common volume."""

    clause_id: str
    contract_id: str
    kind: str
    first_on: str
    interval: str
    index_id: str | None
    base_value: str | None
    floor_ppm: int | None
    cap_ppm: int | None
    lag_months: int | None
    notice_days: int | None
    members: list[dict[str, Any]]
    tiers: list[dict[str, Any]]
    recorded_at: str


class Closing(TypedDict):
    on: NotRequired[str | None]


class Component(TypedDict):
    component_id: str
    position: int
    name: str
    kind: str
    meter_id: str | None
    sku_id: str | None
    bundle_id: str | None
    bundle_share_ppm: int | None


class Contact(TypedDict):
    object: Literal["contact"]
    contact_id: str
    customer_id: str
    role: str
    name: str
    email: str | None
    locale: str | None
    removed_at: str | None
    recorded_at: str
    changed_at: str


class ContractInput(TypedDict):
    """The term that a subscription is bound to (service.subscriptions.NewContract)."""

    term: NotRequired[str]
    auto_renew: NotRequired[bool]
    notice_days: NotRequired[int]
    contract_id: NotRequired[str | None]
    pause_extends_term: NotRequired[bool]
    stock_rule: NotRequired[str]
    deliver_despite_hold: NotRequired[bool]


class ContractOutput(TypedDict):
    """A term that subscriptions are bound to, [term_start, term_end)."""

    contract_id: str
    customer_id: str
    term: str
    term_start: str
    term_end: str
    auto_renew: bool
    notice_days: int
    notice_given_on: str | None
    renewal_accepted_on: str | None
    ended_on: str | None
    recorded_at: str
    changed_at: str


class ContractsStep(TypedDict):
    """A price before and after a step of an index."""

    component_id: str
    acts_on: str
    old: str
    new: str


class CreditLine(TypedDict):
    line_id: str
    net_minor: int


class CreditNote(TypedDict):
    object: Literal["credit_note"]
    note_id: str
    number: str | None
    entity_id: str
    customer_id: str
    invoice_id: str | None
    currency: str
    reason: str
    issued_on: str
    net_minor: int
    tax_minor: int
    total_minor: int
    run_id: str | None
    recorded_at: str
    open_minor: int


class Customer(TypedDict):
    object: Literal["customer"]
    customer_id: str
    name: str
    is_test: bool
    created_on: str
    parent_id: str | None
    root_id: str
    bill_to_id: str
    entity_id: str
    currency: str
    time_zone: str
    locale: str
    country: str
    tax_number: str | None
    tax_number_confirmed_on: str | None
    group_id: str | None
    terms_id: str | None
    collection: Literal["automatic", "terms"]
    policy_name: str
    credit_limit_minor: int | None
    hold: bool
    requires_purchase_order: bool
    campaign_id: str | None
    overdue_state: Literal["current", "reminded", "restricted", "suspended", "written_off"]
    parked_at: str | None
    parked_code: str | None
    parked_detail: str | None
    recorded_at: str
    changed_at: str


class CustomerChanges(TypedDict):
    """What may be changed of a customer."""

    name: NotRequired[str]
    country: NotRequired[str]
    parent_id: NotRequired[str | None]
    group_id: NotRequired[str | None]
    tax_number: NotRequired[str | None]
    is_test: NotRequired[bool]
    bill_to_id: NotRequired[str]
    currency: NotRequired[str]
    time_zone: NotRequired[str]
    locale: NotRequired[str]
    terms_id: NotRequired[str | None]
    collection: NotRequired[Literal["automatic", "terms"]]
    policy_name: NotRequired[str]
    credit_limit_minor: NotRequired[int | None]
    hold: NotRequired[bool]
    requires_purchase_order: NotRequired[bool]


class CustomerDiscount(TypedDict):
    """A discount of documents that a payer has, from a day until another."""

    object: Literal["customer_discount"]
    customer_id: str
    discount_id: str
    name: str
    discount_ppm: int | None
    amount_minor: int | None
    currency: str | None
    times: int | None
    valid_start: str
    valid_end: str | None
    recorded_at: str
    changed_at: str


class CustomerVersion(TypedDict):
    """What a customer was from a day on. `revision` counts the changes of a day; the last holds."""

    object: Literal["customer_version"]
    customer_id: str
    valid_from: str
    revision: int
    name: str
    country: str
    parent_id: str | None
    group_id: str | None
    tax_number: str | None
    recorded_at: str


class DeliveryInput(TypedDict):
    """How much of an order has arrived in all."""

    order_id: str
    delivered: str | int
    sku_id: NotRequired[str | None]


class DeliveryLog(TypedDict):
    object: Literal["webhook_delivery"]
    endpoint_id: str
    sequence: int
    message_id: str
    type: str
    lane: str
    state: Literal["waiting", "delivered", "dead"]
    attempts: int
    next_attempt_at: str | None
    first_attempt_at: str | None
    done_at: str | None
    is_replay: bool
    log: list[Attempt]


class DeliveryOutput(TypedDict):
    object: Literal["webhook_delivery"]
    endpoint_id: str
    sequence: int
    message_id: str
    type: str
    lane: str
    state: Literal["waiting", "delivered", "dead"]
    attempts: int
    next_attempt_at: str | None
    first_attempt_at: str | None
    done_at: str | None
    is_replay: bool


class Discount(TypedDict):
    object: Literal["discount"]
    discount_id: str
    name: str
    scope: str
    discount_ppm: int | None
    amount_minor: int | None
    currency: str | None
    times: int | None
    valid_start: str
    valid_end: str | None
    recorded_at: str


class Dispute(TypedDict):
    object: Literal["dispute"]
    dispute_id: str
    payment_id: str
    amount_minor: int
    opened_on: str
    closed_on: str | None
    outcome: str | None
    recorded_at: str
    changed_at: str
    customer_id: str
    currency: str
    invoice_id: str | None


class DisputeOutcome(TypedDict):
    outcome: Literal["accepted", "rejected"]


class Document(TypedDict):
    """An invoice with its sums, and the sum of a credit note beside it."""

    document: int
    currency: str | None
    net_minor: int
    tax_minor: int
    total_minor: int
    note_total_minor: int


class Drafts(TypedDict):
    object: Literal["drafts"]
    documents: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    failures: list[dict[str, Any]]


class DunningCase(TypedDict):
    object: Literal["dunning_case"]
    case_id: str
    customer_id: str
    currency: str
    track: str
    opened_on: str
    deadline_on: str
    closed_on: str | None
    closed_as: str | None
    recovered_attempt: int | None
    recovered_days: int | None
    recovered_minor: int | None
    state: str | None
    recorded_at: str
    changed_at: str


class Endpoint(TypedDict):
    object: Literal["webhook_endpoint"]
    endpoint_id: str
    owner: str
    url: str
    topics: list[str]
    customer_id: str | None
    version: str
    state: Literal["enabled", "paused", "disabled"]
    state_reason: str | None
    from_sequence: int
    recorded_at: str
    changed_at: str


class EndpointChange(TypedDict):
    """Of an endpoint that is paused all waits until it goes on."""

    url: NotRequired[str | None]
    topics: NotRequired[list[str] | None]
    is_paused: NotRequired[bool | None]


class EndpointMade(TypedDict):
    """`secret` is shown here and never again."""

    object: Literal["webhook_endpoint"]
    endpoint_id: str
    owner: str
    url: str
    topics: list[str]
    customer_id: str | None
    version: str
    state: Literal["enabled", "paused", "disabled"]
    state_reason: str | None
    from_sequence: int
    recorded_at: str
    changed_at: str
    secret: NotRequired[str | None]


class Expiry(TypedDict):
    expires_on: str
    minor: int


class Exposure(TypedDict):
    """What a payer would owe if all it has ordered were billed now."""

    object: Literal["exposure"]
    customer_id: str
    currency: str
    limit_minor: int | None
    receivable_minor: int
    draft_minor: int
    usage_minor: int
    ordered_minor: int
    credit_minor: int
    exposure_minor: int
    failures: dict[str, str]


class Extra(TypedDict):
    """An add-on taken together with a plan."""

    plan_id: str
    quantity: NotRequired[str | int]
    unit: NotRequired[str | None]


class FinishSetup(TypedDict):
    token: str
    is_default: NotRequired[bool]


class Frozen(TypedDict):
    """How many quantities were taken as they are now."""

    customer_id: str
    quantities: int


class GiveNotice(TypedDict):
    reason: NotRequired[
        Literal[
            "too_expensive", "missing_features", "unused", "switched", "service", "closed_business", "other"
        ]
    ]


class GivenDiscount(TypedDict):
    discount_id: str
    valid_start: NotRequired[str | None]
    valid_end: NotRequired[str | None]


class Grant(TypedDict):
    """`is_paid`: bought by `invoice_id`, and usable once that is paid; else given away."""

    object: Literal["wallet_grant"]
    grant_id: str
    wallet_id: str
    amount_minor: int
    is_paid: bool
    invoice_id: str | None
    granted_on: str
    expires_on: str | None
    reason: str
    recorded_at: str


class Health(TypedDict):
    object: Literal["webhook_health"]
    endpoint_id: str
    state: str
    state_reason: str | None
    last_success_at: str | None
    last_failure_at: str | None
    failing_since: str | None
    consecutive_failures: int
    attempts_24h: int
    success_ppm: int | None
    waiting: int
    oldest_waiting_at: str | None


class Imported(TypedDict):
    """The three counts add up to the rows sent; `items`: the refused ones, or with `all=true` every
    row."""

    accepted: int
    duplicate: int
    rejected: int
    items: list[UsageOutcome]


class IndexValue(TypedDict):
    object: Literal["index_value"]
    index_id: str
    month: str
    published_on: str
    value: str
    recorded_at: str


class Invoice(TypedDict):
    object: Literal["invoice"]
    invoice_id: str
    number: str | None
    entity_id: str
    customer_id: str
    currency: str
    terms_id: str | None
    method_id: str | None
    collection: str
    state: str
    issued_on: str | None
    due_on: str | None
    net_minor: int
    tax_minor: int
    total_minor: int
    paid_on: str | None
    voided_on: str | None
    written_off_on: str | None
    written_off_minor: int
    replaces_id: str | None
    run_id: str | None
    kind: str
    po_id: str | None
    consolidation_group: str | None
    early_discount_ppm: int
    early_discount_until: str | None
    recovered_minor: int
    recorded_at: str
    changed_at: str
    open_minor: int


class InvoiceDispute(TypedDict):
    object: Literal["invoice_dispute"]
    dispute_id: str
    invoice_id: str
    line_id: str | None
    amount_minor: int
    reason: str
    opened_on: str
    closed_on: str | None
    outcome: str | None
    recorded_at: str
    changed_at: str
    customer_id: str
    currency: str


class InvoiceLine(TypedDict):
    object: Literal["line_item"]
    line_id: str
    invoice_id: str
    customer_id: str
    item_id: str | None
    component_id: str | None
    kind: str
    entry: str
    service_start: str
    service_end: str
    revision: int
    reference_start: str
    reference_end: str
    terms_id: str
    price_id: str | None
    factor_num: int
    factor_den: int
    currency: str
    gross_minor: int
    discount_minor: int
    document_discount_minor: int
    net_minor: int
    tax_minor: int
    tax_code: str | None
    tax_category: str | None
    tax_rate_ppm: int
    policy_name: str
    policy_version: int
    reverses_line_id: str | None
    description: str
    explanation: str | None
    recorded_at: str
    quantity: str


class Invoicing(TypedDict):
    """What is invoiced apart from the rest of the payer's; null gives back what holds for the payer."""

    po_id: NotRequired[str | None]
    terms_id: NotRequired[str | None]
    method_id: NotRequired[str | None]
    consolidation_group: NotRequired[str | None]


class Item(TypedDict):
    """What an item is today, or becomes first; null members for one that has ended."""

    item_id: str
    is_add_on: bool
    ended_on: str | None
    plan_id: str | None
    plan_version: int | None
    quantity: str | None
    unit: str | None
    discount_ids: list[str] | None
    phase: str | None
    pause: str | None
    recurring_minor: int | None
    committed_minimum_minor: int | None
    effective_start: str | None
    effective_end: str | None


class Key(TypedDict):
    """`token` is shown when the key is made, and never again."""

    object: str
    key_id: str
    owner: str
    name: str
    prefix: str
    scopes: list[str]
    customer_id: str | None
    version: str
    created_by: str
    expires_at: str | None
    revoked_at: str | None
    last_used_on: str | None
    recorded_at: str
    changed_at: str
    token: NotRequired[str | None]


class LegalEntity(TypedDict):
    object: Literal["legal_entity"]
    entity_id: str
    name: str
    country: str
    tax_number: str | None
    registration: str | None
    email: str | None
    bank_name: str | None
    iban: str | None
    bic: str | None
    recorded_at: str
    changed_at: str


class LegalEntityChanges(TypedDict):
    """What documents print of a seller besides its name, tax number and address."""

    registration: NotRequired[str]
    email: NotRequired[str]
    bank_name: NotRequired[str]
    iban: NotRequired[str]
    bic: NotRequired[str]


class Link(TypedDict):
    """Shown once: the address works once, until it expires."""

    object: Literal["portal_link"]
    customer_id: str
    url: str
    expires_at: str


class Match(TypedDict):
    """What a transfer pays: invoices, or the oldest of a customer."""

    invoice_ids: NotRequired[list[str]]
    customer_id: NotRequired[str | None]


class Matched(TypedDict):
    object: Literal["transfer_import"]
    accepted: int
    duplicate: int
    matched: int
    rejected: list[dict[str, Any]]


class MaybeReason(TypedDict):
    reason: NotRequired[str]


class Meter(TypedDict):
    object: Literal["meter"]
    meter_id: str
    name: str
    aggregation: str
    scale: int
    unit: str
    is_recurring: bool
    grain: str
    recorded_at: str


class MethodChange(TypedDict):
    is_default: Literal[True]


class MoneyRetried(TypedDict):
    object: Literal["parked_customer"]
    customer_id: str
    is_parked: Literal[False]


class Moved(TypedDict):
    """A subscription that runs elsewhere, and until when it was billed there."""

    subscription_id: str
    customer_id: str
    plan_id: str
    quantity: str | int
    anchor_on: str
    billed_until: str
    started_on: NotRequired[str | None]
    term: NotRequired[str | None]
    term_start: NotRequired[str | None]
    auto_renew: NotRequired[bool]
    notice_days: NotRequired[int]


class MovedAnswer(TypedDict):
    """What became of the rows; the three counts add up to them."""

    accepted: int
    duplicate: int
    rejected: int
    items: list[Refused]


class Movement(TypedDict):
    """What was taken from a grant; below 0 where a draw was undone."""

    object: Literal["wallet_movement"]
    movement_id: str
    grant_id: str
    wallet_id: str
    kind: str
    amount_minor: int
    invoice_id: str | None
    moved_on: str
    recorded_at: str


class Moving(TypedDict):
    """Subscriptions to take over, each on its own: one that is refused does not hold up the others."""

    subscriptions: list[Moved]


class NewAddress(TypedDict):
    lines: list[str]
    city: str
    country: str
    role: NotRequired[Literal["bill_to", "ship_to"]]
    postal_code: NotRequired[str]
    region: NotRequired[str]
    valid_from: NotRequired[str | None]


class NewCampaign(TypedDict):
    name: str
    thresholds: list[CampaignThreshold]
    max_attempts: int
    days_between: int
    campaign_id: NotRequired[str | None]


class NewComponent(TypedDict):
    """fee: once an item; seat: each unit; usage: of a meter. `bundle`: the name of the component whose
    price covers this one, by its share."""

    name: str
    kind: Literal["fee", "seat", "usage"]
    meter_id: NotRequired[str | None]
    component_id: NotRequired[str | None]
    sku_id: NotRequired[str | None]
    bundle: NotRequired[str | None]
    bundle_share_ppm: NotRequired[int]


class NewContact(TypedDict):
    name: str
    role: NotRequired[str]
    email: NotRequired[str | None]
    locale: NotRequired[str | None]


class NewCreditNote(TypedDict):
    """Amounts before tax off some lines, or all that is left of an invoice."""

    reason: str
    lines: NotRequired[list[CreditLine] | None]
    invoice_id: NotRequired[str | None]
    give_back: NotRequired[bool]


class NewCustomer(TypedDict):
    """A customer to be. Without an id it gets one."""

    name: str
    entity_id: str
    currency: str
    country: str
    customer_id: NotRequired[str | None]
    created_on: NotRequired[str | None]
    time_zone: NotRequired[str]
    locale: NotRequired[str]
    parent_id: NotRequired[str | None]
    bill_to_id: NotRequired[str | None]
    tax_number: NotRequired[str | None]
    group_id: NotRequired[str | None]
    terms_id: NotRequired[str | None]
    collection: NotRequired[Literal["automatic", "terms"]]
    policy_name: NotRequired[str]
    credit_limit_minor: NotRequired[int | None]
    is_test: NotRequired[bool]
    requires_purchase_order: NotRequired[bool]


class NewDiscount(TypedDict):
    """Either a share in parts per million, or an amount with its currency."""

    discount_id: str
    name: str
    discount_ppm: NotRequired[int | None]
    amount_minor: NotRequired[int | None]
    currency: NotRequired[str | None]
    scope: NotRequired[Literal["item", "document"]]
    times: NotRequired[int | None]
    valid_start: NotRequired[str | None]
    valid_end: NotRequired[str | None]


class NewDispute(TypedDict):
    """`reference`: the gateway's name of the dispute; without an amount all that is left of the
    payment."""

    amount_minor: NotRequired[int | None]
    reference: NotRequired[str | None]


class NewDraw(TypedDict):
    """A part of an open invoice to pay from the wallet."""

    invoice_id: str
    amount_minor: int


class NewEndpoint(TypedDict):
    """`topics`: `*`, topics, or all of a thing (`invoice.*`). `customer_id`: only what is about it."""

    url: str
    topics: NotRequired[list[str]]
    customer_id: NotRequired[str | None]


class NewEvent(TypedDict):
    """One event. `value`: decimal text of at most the meter's decimals; `occurred_at` with its offset,
    or `occurred_on`, a day of the customer counted at its start; `dimension`: what a `unique_count`
    counts."""

    source: str
    event_id: str
    item_id: str
    meter_id: str
    value: str | int
    occurred_at: NotRequired[str | None]
    occurred_on: NotRequired[str | None]
    customer_id: NotRequired[str | None]
    operation: NotRequired[Literal["add", "remove"] | None]
    dimension: NotRequired[str | None]


class NewGrant(TypedDict):
    amount_minor: int
    reason: str
    expires_on: NotRequired[str | None]


class NewIndexClause(TypedDict):
    """Prices that follow an index: stepped on `first_on` and each interval after it."""

    index_id: str
    base_value: str | int
    first_on: str
    interval: NotRequired[str]
    lag_months: NotRequired[int]
    floor_ppm: NotRequired[int | None]
    cap_ppm: NotRequired[int | None]
    notice_days: NotRequired[int]
    clause_id: NotRequired[str | None]


class NewIndexValue(TypedDict):
    index_id: str
    month: str
    value: str | int
    published_on: str


class NewInvoiceDispute(TypedDict):
    """All that is open of the invoice, or of a line of it, unless an amount is named."""

    reason: str
    line_id: NotRequired[str | None]
    amount_minor: NotRequired[int | None]


class NewKey(TypedDict):
    """`owner`: whose the key is, the caller's own by default. `customer_id`: the key sees this
    customer and those below alone. `version`: the version of the API it speaks, by default the
    caller's. `expires_at`: no later than the end of the caller's own key, which is the default."""

    name: str
    scopes: list[str]
    owner: NotRequired[str | None]
    customer_id: NotRequired[str | None]
    version: NotRequired[str | None]
    expires_at: NotRequired[str | None]


class NewLegalEntity(TypedDict):
    entity_id: str
    name: str
    country: str
    tax_number: NotRequired[str | None]


class NewLink(TypedDict):
    """Without `user_id` the customer itself comes in. `task`: the only thing the link opens; `target`:
    the subscription, invoice or wallet that it is about."""

    customer_id: str
    user_id: NotRequired[str | None]
    task: NotRequired[str | None]
    target: NotRequired[str | None]


class NewMeter(TypedDict):
    meter_id: str
    name: str
    aggregation: NotRequired[Literal["sum", "count", "max", "latest", "unique_count", "weighted_sum"]]
    scale: NotRequired[int]
    unit: NotRequired[str]
    is_recurring: NotRequired[bool]
    grain: NotRequired[Literal["second", "hour"]]


class NewPaymentTerms(TypedDict):
    terms_id: str
    net_days: int
    end_of_month: NotRequired[bool]
    discount_ppm: NotRequired[int]
    discount_days: NotRequired[int]


class NewPayout(TypedDict):
    """`reference`: the gateway's own."""

    entity_id: str
    reference: str
    currency: str
    amount_minor: int
    fee_minor: NotRequired[int]
    received_on: NotRequired[str | None]


class NewPlan(TypedDict):
    plan_id: str
    name: str
    product_id: str
    tier: NotRequired[str | None]
    is_add_on: NotRequired[bool]


class NewPlanVersion(TypedDict):
    interval: str
    components: list[NewComponent]
    in_advance: NotRequired[bool]
    thresholds: NotRequired[list[Threshold]]


class NewPolicy(TypedDict):
    """A version of a policy: the one before with some settings changed."""

    valid_from: str
    settings: dict[str, str | int]
    name: NotRequired[str]


class NewPool(TypedDict):
    """Goods (`skus`) and usage (`components`) priced by what the contract's customer tree takes
    together."""

    tiers: list[TierInput]
    skus: NotRequired[list[str]]
    components: NotRequired[list[str]]
    first_on: NotRequired[str | None]
    interval: NotRequired[str]
    clause_id: NotRequired[str | None]


class NewPrice(TypedDict):
    """The price of a component. Unit prices are decimal text in major units, rates in percent; what a
    period costs at least and at most is in minor units."""

    component_id: str
    model: Literal[
        "flat",
        "per_unit",
        "package",
        "graduated",
        "volume",
        "graduated_percentage",
        "tiered_block",
        "percentage",
        "dynamic",
    ]
    price: NotRequired[str | int | None]
    tiers: NotRequired[list[NewTier]]
    package_size: NotRequired[int | None]
    free_units: NotRequired[int]
    partial_package: NotRequired[Literal["up", "down"]]
    block_policy: NotRequired[Literal["all_tiers", "top_tier"]]
    rate_percent: NotRequired[str | int | None]
    fee_per_event: NotRequired[str | int | None]
    free_events: NotRequired[int | None]
    free_amount: NotRequired[str | int | None]
    min_per_event: NotRequired[str | int | None]
    max_per_event: NotRequired[str | int | None]
    minimum_spend_minor: NotRequired[int | None]
    maximum_spend_minor: NotRequired[int | None]
    window: NotRequired[Literal["hour", "day", "month"] | None]
    window_commitment: NotRequired[str | int | None]
    overage_factor: NotRequired[str | int]
    window_true_up: NotRequired[bool]
    prorate: NotRequired[Literal["none", "day"]]
    in_advance: NotRequired[bool]
    price_id: NotRequired[str | None]
    quantity_from: NotRequired[int]


class NewPriceList(TypedDict):
    list_id: str
    name: str
    currency: str
    valid_start: str
    valid_end: NotRequired[str | None]
    level: NotRequired[Literal["contract", "customer", "group", "list"]]
    owner_id: NotRequired[str | None]
    prices: NotRequired[list[NewPrice]]


class NewPrices(TypedDict):
    prices: list[NewPrice]


class NewProduct(TypedDict):
    product_id: str
    name: str
    tax_code: NotRequired[str]
    category: NotRequired[Literal["standard", "reduced", "zero"]]


class NewPurchaseOrder(TypedDict):
    """An order of a payer, by its own number. `budget_minor`: what may be billed on it before tax,
    null for no bound."""

    customer_id: str
    number: str
    budget_minor: NotRequired[int | None]
    currency: NotRequired[str | None]
    valid_start: NotRequired[str | None]
    valid_end: NotRequired[str | None]
    po_id: NotRequired[str | None]


class NewRefund(TypedDict):
    payment_id: str
    amount_minor: int


class NewReplay(TypedDict):
    """From a sequence on, or what was recorded at an instant and later; of some topics alone if they
    are named."""

    from_sequence: NotRequired[int | None]
    since: NotRequired[str | None]
    topics: NotRequired[list[str] | None]


class NewSecret(TypedDict):
    """`overlap_seconds`: how long the secrets before sign beside the new one; a day unless it is said."""

    overlap_seconds: NotRequired[int]


class NewSellerAddress(TypedDict):
    lines: list[str]
    city: str
    country: str
    valid_from: str
    postal_code: NotRequired[str]
    region: NotRequired[str]


class NewSetup(TypedDict):
    """`return_url`: where the gateway sends the customer afterwards."""

    return_url: str


class NewSetupAnswer(TypedDict):
    object: Literal["payment_method_setup"]
    setup_id: str
    customer_id: str
    state: Literal["open", "done"]
    expires_at: str
    method_id: NotRequired[str | None]
    url: NotRequired[str | None]
    token: NotRequired[str | None]
    frame_origin: str | None


class NewSku(TypedDict):
    sku_id: str
    product_id: str
    name: str
    base_unit: str
    units: NotRequired[dict[str, int] | None]
    minimum_quantity: NotRequired[int]
    order_multiple: NotRequired[int]
    successor_sku_id: NotRequired[str | None]


class NewTaxRate(TypedDict):
    country: str
    tax_rate_ppm: int
    valid_from: str
    tax_code: NotRequired[str]
    category: NotRequired[Literal["standard", "reduced", "zero"]]


class NewTier(TypedDict):
    """`up_to` whole units, inclusive, null for the open last; a tier of blocks has `size` and
    `max_blocks` instead. Prices are decimal text in major units."""

    up_to: NotRequired[int | None]
    unit: NotRequired[str | int]
    flat: NotRequired[str | int]
    rate_percent: NotRequired[str | int | None]
    size: NotRequired[int | None]
    max_blocks: NotRequired[int | None]


class NewTime(TypedDict):
    """`now`: what time it is to be; up to two years ahead of what it is."""

    now: str


class NewTopUp(TypedDict):
    """Balance to buy, before tax."""

    amount_minor: int
    product_id: NotRequired[str | None]
    expires_on: NotRequired[str | None]


class NewTransfer(TypedDict):
    """Money that came in for an invoice. `bank_ref`: the bank's own reference."""

    invoice_id: str
    amount_minor: int
    bank_ref: NotRequired[str | None]
    received_on: NotRequired[str | None]


class NewUser(TypedDict):
    """`limit_minor`: what the user may order alone, in the customer's currency; null for any amount."""

    customer_id: str
    email: str
    name: str
    role: NotRequired[Literal["buyer", "approver", "viewer"]]
    is_account_admin: NotRequired[bool]
    sees_children: NotRequired[bool]
    limit_minor: NotRequired[int | None]
    locale: NotRequired[str | None]


class NewWallet(TypedDict):
    """A wallet in the customer's currency. With `low_balance_minor`, `top_up_minor` and `product_id`
    it is topped up by itself."""

    customer_id: str
    name: str
    priority: NotRequired[int]
    product_id: NotRequired[str | None]
    low_balance_minor: NotRequired[int | None]
    top_up_minor: NotRequired[int | None]
    wallet_id: NotRequired[str | None]


class OfCustomer(TypedDict):
    customer_id: str


class Operation(TypedDict):
    """A request: its `path` with its parameters, such as /v1/customers/c1."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    body: NotRequired[dict[str, Any] | None]
    idempotency_key: NotRequired[str | None]
    if_match: NotRequired[str | None]


class Outcomes(TypedDict):
    object: str
    data: list[BulkOutcome]


class Parked(TypedDict):
    object: Literal["parked_customer"]
    customer_id: str
    code: str | None
    detail: str | None


class Pause(TypedDict):
    from_on: NotRequired[str | None]
    until: NotRequired[str | None]


class Pay(TypedDict):
    """`method_id`: of the payer; without it the one that is charged by itself."""

    method_id: NotRequired[str | None]


class Payment(TypedDict):
    object: Literal["payment"]
    payment_id: str
    customer_id: str
    invoice_id: str | None
    currency: str
    amount_minor: int
    fee_minor: int
    method_id: str | None
    state: str
    attempt: int
    next_attempt_at: str | None
    failures: int
    first_failed_on: str | None
    case_id: str | None
    created_on: str
    received_on: str | None
    kind: str
    reversed_minor: int
    transfer_id: str | None
    undone_on: str | None
    recorded_at: str
    changed_at: str


class PaymentAttempt(TypedDict):
    object: Literal["payment_attempt"]
    payment_id: str
    attempt: int
    method_id: str | None
    outcome: str
    decline_class: str | None
    decline_code: str | None
    tries: int
    amount_minor: int | None
    attempted_at: str
    attempted_on: str
    recorded_at: str
    changed_at: str


class PaymentMethod(TypedDict):
    object: Literal["payment_method"]
    method_id: str
    customer_id: str
    kind: str
    expires_on: str | None
    is_default: bool
    valid_from: str
    valid_to: str | None
    label: str | None
    recorded_at: str
    changed_at: str


class PaymentTerms(TypedDict):
    object: Literal["payment_terms"]
    terms_id: str
    net_days: int
    end_of_month: bool
    discount_ppm: int
    discount_days: int
    recorded_at: str


class Payout(TypedDict):
    object: Literal["payout"]
    payout_id: str
    entity_id: str
    currency: str
    amount_minor: int
    fee_minor: int
    received_on: str
    recorded_at: str
    reference: str


class Period(TypedDict):
    object: Literal["period"]
    entity_id: str
    month: str
    locked_at: str | None


class Plan(TypedDict):
    """`version`: the newest that is published; null before the first."""

    object: Literal["plan"]
    plan_id: str
    product_id: str
    name: str
    tier: str | None
    is_add_on: bool
    version: int | None
    recorded_at: str
    changed_at: str


class PlanVersion(TypedDict):
    object: Literal["plan_version"]
    plan_id: str
    version: int
    interval: str
    in_advance: bool
    components: list[Component]
    thresholds: list[dict[str, Any]]
    recorded_at: str


class Policy(TypedDict):
    """A version of a policy; its settings are members of it."""

    object: Literal["policy"]
    name: str
    version: int
    valid_from: str
    recorded_at: str


class PortalRequest(TypedDict):
    object: Literal["portal_request"]
    request_id: str
    customer_id: str
    asked_by: str
    act: str
    due_now_minor: int
    yearly_minor: int
    currency: str
    code: str | None
    decided_by: str | None
    decided_at: str | None
    approval_id: str | None
    preview_hash: str
    recorded_at: str
    changed_at: str
    arguments: dict[str, Any]
    state: Literal["pending", "approved", "rejected", "withdrawn", "failed"]
    asked_by_name: str
    customer_name: str


class PortalUser(TypedDict):
    object: Literal["portal_user"]
    user_id: str
    customer_id: str
    email: str
    name: str
    role: str
    is_account_admin: bool
    sees_children: bool
    limit_minor: int | None
    locale: str | None
    state: str
    recorded_at: str
    changed_at: str


class Posting(TypedDict):
    object: Literal["posting"]
    entry_id: str
    position: int
    account: str
    currency: str
    debit_minor: int
    credit_minor: int


class Preview(TypedDict):
    """What bill runs up to a day would post after an act. `matches` goes into `If-Preview` of the act,
    which is then only done at these figures."""

    act: str
    matches: str
    customer_id: str
    currency: str
    up_to: str
    total_minor: int
    waits_for: str | None
    documents: list[Document]
    lines: list[dict[str, Any]]
    refunds: list[dict[str, Any]]
    held: list[dict[str, Any]]
    failures: list[dict[str, Any]]


class Price(TypedDict):
    """A price in the words it was published in."""

    object: Literal["price"]
    price_id: str
    list_id: str
    component_id: str
    model: Literal[
        "flat",
        "per_unit",
        "package",
        "graduated",
        "volume",
        "graduated_percentage",
        "tiered_block",
        "percentage",
        "dynamic",
    ]
    currency: str
    price: str | None
    rate_percent: str | None
    tiers: list[TierOutput]
    package_size: int | None
    free_units: int
    partial_package: str
    block_policy: str
    free_events: int | None
    fee_per_event: str | None
    free_amount: str | None
    min_per_event: str | None
    max_per_event: str | None
    window_commitment: str | None
    minimum_spend_minor: int | None
    maximum_spend_minor: int | None
    quantity_from: int
    window: str | None
    overage_factor: str
    window_true_up: bool
    prorate: str
    in_advance: bool
    recorded_at: str


class PriceList(TypedDict):
    object: Literal["price_list"]
    list_id: str
    name: str
    level: str
    owner_id: str | None
    currency: str
    valid_start: str
    valid_end: str | None
    recorded_at: str


class PriceQuote(TypedDict):
    """`components`: what each costs by itself; `not_taken`: the prices that lost, and why."""

    object: Literal["price_quote"]
    customer_id: str
    plan_id: str
    version: int
    currency: str
    on: str
    quantity: str
    components: list[dict[str, Any]]
    not_taken: list[dict[str, Any]]


class Problem(TypedDict):
    type: str
    title: str
    status: int
    code: str
    detail: NotRequired[str]
    field: NotRequired[str]
    request_id: str
    errors: NotRequired[list[dict[str, Any]]]


class Product(TypedDict):
    object: Literal["product"]
    product_id: str
    name: str
    tax_code: str
    category: str
    recorded_at: str


class PurchaseOrder(TypedDict):
    """`billed_minor`: invoiced on it less what was credited, before tax."""

    object: Literal["purchase_order"]
    po_id: str
    customer_id: str
    number: str
    currency: str
    budget_minor: int | None
    billed_minor: int
    valid_start: str
    valid_end: str | None
    recorded_at: str
    changed_at: str


class PurchaseOrderChanges(TypedDict):
    budget_minor: NotRequired[int | None]
    valid_start: NotRequired[str]
    valid_end: NotRequired[str | None]


class Queue(TypedDict):
    object: Literal["dunning_queue"]
    data: list[QueuedCase]


class QueuedCase(TypedDict):
    object: Literal["dunning_case"]
    case_id: str
    next_step: str | None


class QuoteWanted(TypedDict):
    """What a plan would cost a customer on a day: all its prices, chosen as an order would choose
    them."""

    customer_id: str
    plan_id: str
    version: NotRequired[int | None]
    contract_id: NotRequired[str | None]
    on: NotRequired[str | None]
    quantity: NotRequired[str | int]


class RampPhase(TypedDict):
    """What holds from a day on, until a later phase says otherwise; what is left out stays as it is."""

    from_on: str
    quantity: NotRequired[str | int | None]
    unit: NotRequired[str | None]
    discount_ids: NotRequired[list[str] | None]
    committed_minimum_minor: NotRequired[int | None]
    at_prices_of_day: NotRequired[bool]


class Rate(TypedDict):
    """What an item costs an interval on the last day of the running term, and on the first of the
    next."""

    item_id: str
    plan_id: str
    quantity: str
    recurring_minor: int
    next_recurring_minor: int | None


class Reactivate(TypedDict):
    plan_id: NotRequired[str | None]
    quantity: NotRequired[str | int | None]
    contract: NotRequired[ContractInput | None]


class Reconciliation(TypedDict):
    object: Literal["reconciliation"]
    month: str
    agrees: bool
    trial_balance: list[dict[str, Any]]
    movements: list[dict[str, Any]]
    expected: list[dict[str, Any]]
    differences: list[dict[str, Any]]
    standing: list[dict[str, Any]]


class Refund(TypedDict):
    object: Literal["refund"]
    refund_id: str
    payment_id: str
    note_id: str | None
    amount_minor: int
    state: str
    tries: int
    decline_code: str | None
    next_attempt_at: str | None
    requested_on: str
    refunded_on: str | None
    recorded_at: str
    changed_at: str
    customer_id: str
    currency: str
    invoice_id: str | None


class Refused(TypedDict):
    """A row that was refused; `row` counts from 0."""

    row: int
    code: str
    detail: str | None


class RejectedInput(TypedDict):
    """An input that was refused, as it was sent (JSON). `source`: the act or import that refused it."""

    reject_id: str
    source: str
    code: str
    detail: str
    payload: str
    is_resolved: bool
    recorded_at: str


class RemoveItem(TypedDict):
    when: NotRequired[Literal["now", "period_end"] | str]


class RenewalQuote(TypedDict):
    """The next term, [term_start, term_end), before usage. `lines`: its fees and seats as they would
    be posted."""

    contract_id: str
    term_start: str
    term_end: str
    currency: str | None
    net_minor: int
    tax_minor: int
    rates: list[Rate]
    lines: list[dict[str, Any]]


class Replayed(TypedDict):
    """`deliveries` are sent again; from `next_sequence` the next call goes on, null when there is no
    more."""

    object: Literal["webhook_replay"]
    endpoint_id: str
    deliveries: int
    next_sequence: int | None


class Requested(TypedDict):
    object: Literal["refund_request"]
    payment_id: str
    refunds: list[dict[str, Any]]


class Resume(TypedDict):
    on: NotRequired[str | None]


class RolledKey(TypedDict):
    """`old_ends_at`: until when the old key still opens; by default a day from now."""

    old_ends_at: NotRequired[str | None]


class SecretMade(TypedDict):
    """`secret` is shown here and never again; those before sign until `old_ends_at`."""

    object: Literal["webhook_secret"]
    secret_id: str
    endpoint_id: str
    secret: NotRequired[str | None]
    old_ends_at: str


class Secrets(TypedDict):
    """From when to when the secrets of an endpoint sign."""

    object: Literal["list"]
    data: list[dict[str, Any]]


class SentEvent(TypedDict):
    type: str
    timestamp: str
    sequence: int
    data: dict[str, Any]


class Setup(TypedDict):
    """A page of the gateway's: send the customer to `url` until `expires_at`, and finish the setup
    with `token` when it comes back. `frame_origin`: what a content security policy has to allow to
    frame it."""

    object: Literal["payment_method_setup"]
    setup_id: str
    customer_id: str
    state: Literal["open", "done"]
    expires_at: str
    method_id: NotRequired[str | None]


class Shortfall(TypedDict):
    """Goods that were given up or did not arrive, and are not billed."""

    object: Literal["shortfall"]
    order_id: str
    customer_id: str
    sku_id: str
    due_on: str
    on: str
    kind: str
    quantity: str
    reason: str | None


class Sku(TypedDict):
    """Goods. `units`: how many base units each unit holds."""

    object: Literal["sku"]
    sku_id: str
    product_id: str
    name: str
    base_unit: str
    minimum_quantity: int
    order_multiple: int
    successor_sku_id: str | None
    units: dict[str, int]
    recorded_at: str


class SoFar(TypedDict):
    """What a customer used that is not billed yet."""

    customer_id: str
    data: list[UsedSoFar]


class Steps(TypedDict):
    contract_id: str
    data: list[ContractsStep]


class StockRule(TypedDict):
    """What is billed when goods of the contract run short, for deliveries due from a day on (today)."""

    rule: Literal["standing", "reserve_first", "substitute", "skip_with_credit"]
    valid_from: NotRequired[str | None]


class Subscribe(TypedDict):
    customer_id: str
    plan_id: str
    quantity: NotRequired[str | int]
    unit: NotRequired[str | None]
    subscription_id: NotRequired[str | None]
    starts_on: NotRequired[str | None]
    trial_days: NotRequired[int]
    trial_plan_id: NotRequired[str | None]
    trial_needs_method: NotRequired[bool]
    anchor_on: NotRequired[str | None]
    contract: NotRequired[ContractInput | None]
    add_ons: NotRequired[list[Extra]]
    discount_ids: NotRequired[list[str]]
    committed_minimum_minor: NotRequired[int]
    bill_to: NotRequired[str | None]
    ship_to: NotRequired[str | None]
    po_id: NotRequired[str | None]
    terms_id: NotRequired[str | None]
    method_id: NotRequired[str | None]
    consolidation_group: NotRequired[str | None]


class Subscription(TypedDict):
    """An agreement of a customer to a plan. `status`: as of today; `items`: what is sold by it."""

    subscription_id: str
    contract_id: str | None
    sold_to: str
    bill_to: str
    ship_to: str
    currency: str
    status: Literal["canceled", "scheduled", "suspended", "paused", "past_due", "trialing", "active"]
    anchor_on: str
    starts_on: str
    billing_starts_on: str
    ends_on: str | None
    trial_ends_on: str | None
    cancel_requested_on: str | None
    cancel_reason: str | None
    on_cancel: str | None
    po_id: str | None
    terms_id: str | None
    method_id: str | None
    consolidation_group: str | None
    items: list[Item]
    recorded_at: str
    changed_at: str


class Sum(TypedDict):
    object: Literal["invoice_sum"]
    customer_id: str
    currency: str
    invoices: int
    open_minor: int
    overdue_minor: int


class Sums(TypedDict):
    object: Literal["invoice_sums"]
    data: list[Sum]


class Task(TypedDict):
    object: Literal["portal_task"]
    name: str
    is_open: bool
    settings: dict[str, int]


class TaskChange(TypedDict):
    is_open: bool
    settings: NotRequired[TaskSettings | None]


class TaskSettings(TypedDict):
    """Only a pause has something to settle: how many days it lasts at most."""

    longest_days: NotRequired[int | None]


class TaxCheck(TypedDict):
    object: Literal["tax_number_check"]
    customer_id: str
    tax_number: str
    outcome: Literal["valid", "invalid", "unknown"]
    source: str
    checked_on: str
    confirmed_on: str | None


class TaxRate(TypedDict):
    object: Literal["tax_rate"]
    country: str
    tax_code: str
    category: str
    valid_from: str
    tax_rate_ppm: int
    recorded_at: str


class Threshold(TypedDict):
    """Usage of a running period is billed early once it costs this much before tax."""

    currency: str
    amount_minor: int


class TierInput(TypedDict):
    """The price of a unit up to a volume of the contract's year, inclusive; the last is open."""

    up_to: NotRequired[int | None]
    unit: str | int


class TierOutput(TypedDict):
    up_to: int | None
    unit: str | None
    rate_percent: str | None
    flat: str
    size: int | None
    max_blocks: int | None


class Time(TypedDict):
    """`target_at`: the time it is on its way to, while `state` is advancing; else it is ready."""

    object: str
    now_at: str
    target_at: str | None
    state: str


class TopUp(TypedDict):
    object: Literal["wallet_top_up"]
    wallet_id: str
    invoice_id: str


class Transfer(TypedDict):
    object: Literal["transfer"]
    transfer_id: str
    entity_id: str
    bank_ref: str
    received_on: str
    amount_minor: int
    currency: str
    payer_name: str
    reference: str
    state: str
    matched_by: str | None
    customer_id: str | None
    payment_id: str | None
    closed_on: str | None
    recorded_at: str
    changed_at: str


class Tried(TypedDict):
    """What a quantity costs: exact in major units, posted in minor units."""

    object: Literal["tried_price"]
    quantity: str
    exact: str
    posted_minor: int
    currency: str
    steps: list[CatalogStep]


class TriedQuantity(TypedDict):
    quantity: str | int


class UndoCancel(TypedDict):
    pass


class UndoChange(TypedDict):
    item_id: NotRequired[str | None]
    on: NotRequired[str | None]


class UsageEvent(TypedDict):
    """An event as it is kept. `unbilled_reason`: why nothing bills it, null for what is billed."""

    source: str
    event_id: str
    customer_id: str
    item_id: str
    meter_id: str
    value: str
    occurred_at: str
    occurred_on: str
    operation: str | None
    dimension: str | None
    unbilled_reason: str | None
    recorded_at: str


class UsageOutcome(TypedDict):
    """What became of a row, counted from 0. `code`, `detail`: of one that was refused."""

    row: int
    outcome: Literal["accepted", "duplicate", "rejected"]
    source: str | None
    event_id: str | None
    code: str | None
    detail: str | None


class UsageRetried(TypedDict):
    """What became of the events sent again; `codes`: those refused once more, by code."""

    rows: int
    accepted: int
    duplicate: int
    rejected: int
    codes: dict[str, int]


class UsedSoFar(TypedDict):
    """Usage of a component in [service_start, service_end), before tax and document discounts."""

    item_id: str
    component_id: str
    meter_id: str | None
    service_start: str
    service_end: str
    quantity: str
    currency: str
    net_minor: int
    description: str


class UserChanges(TypedDict):
    """What is left out or null stays as it is, but a `limit_minor` of null lets the user order any
    amount, and a `locale` of null speaks the customer's."""

    name: NotRequired[str | None]
    role: NotRequired[Literal["buyer", "approver", "viewer"] | None]
    is_account_admin: NotRequired[bool | None]
    sees_children: NotRequired[bool | None]
    limit_minor: NotRequired[int | None]
    locale: NotRequired[str | None]


class Version(TypedDict):
    """What an item is in [effective_start, effective_end)."""

    version_id: str
    item_id: str
    effective_start: str
    effective_end: str | None
    plan_id: str
    plan_version: int
    quantity: str
    reason: str
    recurring_minor: int


class Waiting(TypedDict):
    """An order that waits for a person's word."""

    object: Literal["approval"]
    approval_id: Any
    state: Literal["pending"]
    code: Literal["on_hold", "over_credit_limit"]
    detail: str
    customer_id: NotRequired[str]
    figures: NotRequired[dict[str, Any]]


class Wallet(TypedDict):
    object: Literal["wallet"]
    wallet_id: str
    customer_id: str
    currency: str
    name: str
    priority: int
    product_id: str | None
    low_balance_minor: int | None
    top_up_minor: int | None
    topped_up_on: str | None
    closed_on: str | None
    recorded_at: str
    changed_at: str


class WebhooksEvent(TypedDict):
    object: Literal["event"]
    message_id: str
    type: str
    timestamp: str
    sequence: int
    data: dict[str, Any]


class WholeDocument(TypedDict):
    """A document as it is sent, with all that is printed on it (`schema` names its form)."""

    number: str
    kind: str
    currency: str
    total_minor: int


class WithReason(TypedDict):
    reason: str


class BooksOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def journal(
        self,
        *,
        source_id: str | None,
        source_kind: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Posting]:
        """The postings of a document (an invoice, a credit note, a payment, …), in the order they were
        made."""
        return self._api.pages(
            path_of("/v1/journal"),
            query={"source_id": source_id, "source_kind": source_kind, "fields": fields, "limit": limit},
        )

    def periods(
        self,
        *,
        entity_id: str | None = None,
        is_locked: bool | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Period]:
        """Months that were ever closed, the newest first; nothing of it is a customer's."""
        return self._api.pages(
            path_of("/v1/periods"),
            query={"entity_id": entity_id, "is_locked": is_locked, "fields": fields, "limit": limit},
        )

    def lock(
        self, entity_id: str, month: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Period:
        """Close the books of a seller for a month that is over: nothing is posted into it any more."""
        answer: Period = self._api.call(
            "POST",
            path_of("/v1/periods/{entity_id}/{month}/lock", entity_id=entity_id, month=month),
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def unlock(
        self, entity_id: str, month: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Period:
        """Open the books of a seller for a month again."""
        answer: Period = self._api.call(
            "POST",
            path_of("/v1/periods/{entity_id}/{month}/unlock", entity_id=entity_id, month=month),
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def reconciliation(self, month: str, *, fields: str | None = None) -> Reconciliation:
        """Whether documents, books and customers' balances agree at the end of a month, and where they
        do not."""
        answer: Reconciliation = self._api.call(
            "GET", path_of("/v1/reconciliations/{month}", month=month), query={"fields": fields}
        )
        return answer

    def audit(
        self,
        *,
        actor: str | None = None,
        customer_id: str | None = None,
        subject_id: str | None = None,
        act: str | None = None,
        since: str | None = None,
        until: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[AuditEntry]:
        """Who did what, the newest first; `since` and `until` half-open. The merchant sees the
        arguments too."""
        return self._api.pages(
            path_of("/v1/audit"),
            query={
                "actor": actor,
                "customer_id": customer_id,
                "subject_id": subject_id,
                "act": act,
                "since": since,
                "until": until,
                "fields": fields,
                "limit": limit,
            },
        )


class BulkOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def list(
        self, body: Bulk, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Outcomes:
        """Up to 100 requests, done one after another, each by itself: what one does stands whatever
        becomes of the next. Each needs the scopes that it would need alone, too. With an
        Idempotency-Key for all, each request without its own has `<key>:<its number from 0>`."""
        answer: Outcomes = self._api.call(
            "POST",
            path_of("/v1/bulk"),
            body=body,
            status=207,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer


class CatalogOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def legal_entities(self, *, fields: str | None = None, limit: int | None = None) -> Iterator[LegalEntity]:
        """The sellers."""
        return self._api.pages(path_of("/v1/legal-entities"), query={"fields": fields, "limit": limit})

    def create_legal_entity(
        self, body: NewLegalEntity, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> LegalEntity:
        """Make a seller."""
        answer: LegalEntity = self._api.call(
            "POST",
            path_of("/v1/legal-entities"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def legal_entity(self, entity_id: str, *, fields: str | None = None) -> LegalEntity:
        """One seller."""
        answer: LegalEntity = self._api.call(
            "GET", path_of("/v1/legal-entities/{entity_id}", entity_id=entity_id), query={"fields": fields}
        )
        return answer

    def change_legal_entity(
        self,
        entity_id: str,
        body: LegalEntityChanges,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> LegalEntity:
        """Change what documents print of a seller."""
        answer: LegalEntity = self._api.call(
            "PATCH",
            path_of("/v1/legal-entities/{entity_id}", entity_id=entity_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def set_seller_address(
        self,
        entity_id: str,
        body: NewSellerAddress,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Address:
        """Say where a seller is from a day on."""
        answer: Address = self._api.call(
            "POST",
            path_of("/v1/legal-entities/{entity_id}/addresses", entity_id=entity_id),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def tax_rates(
        self, *, country: str | None = None, fields: str | None = None, limit: int | None = None
    ) -> Iterator[TaxRate]:
        """Rates of tax by country, code, category and the day they hold from."""
        return self._api.pages(
            path_of("/v1/tax-rates"), query={"country": country, "fields": fields, "limit": limit}
        )

    def add_tax_rate(
        self, body: NewTaxRate, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> TaxRate:
        """Add a rate of a country from a day on."""
        answer: TaxRate = self._api.call(
            "POST",
            path_of("/v1/tax-rates"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def payment_terms(self, *, fields: str | None = None, limit: int | None = None) -> Iterator[PaymentTerms]:
        """When invoices may be due."""
        return self._api.pages(path_of("/v1/payment-terms"), query={"fields": fields, "limit": limit})

    def create_payment_terms(
        self, body: NewPaymentTerms, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> PaymentTerms:
        """Make terms of payment."""
        answer: PaymentTerms = self._api.call(
            "POST",
            path_of("/v1/payment-terms"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def products(self, *, fields: str | None = None, limit: int | None = None) -> Iterator[Product]:
        """What plans sell."""
        return self._api.pages(path_of("/v1/products"), query={"fields": fields, "limit": limit})

    def create_product(
        self, body: NewProduct, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Product:
        """Make a product."""
        answer: Product = self._api.call(
            "POST",
            path_of("/v1/products"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def product(self, product_id: str, *, fields: str | None = None) -> Product:
        """One product."""
        answer: Product = self._api.call(
            "GET", path_of("/v1/products/{product_id}", product_id=product_id), query={"fields": fields}
        )
        return answer

    def skus(
        self, *, product_id: str | None = None, fields: str | None = None, limit: int | None = None
    ) -> Iterator[Sku]:
        """Goods and the units they are ordered in."""
        return self._api.pages(
            path_of("/v1/skus"), query={"product_id": product_id, "fields": fields, "limit": limit}
        )

    def create_sku(
        self, body: NewSku, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Sku:
        """Make goods to sell."""
        answer: Sku = self._api.call(
            "POST",
            path_of("/v1/skus"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def sku(self, sku_id: str, *, fields: str | None = None) -> Sku:
        """One kind of goods."""
        answer: Sku = self._api.call(
            "GET", path_of("/v1/skus/{sku_id}", sku_id=sku_id), query={"fields": fields}
        )
        return answer

    def meters(self, *, fields: str | None = None, limit: int | None = None) -> Iterator[Meter]:
        """What usage is counted in."""
        return self._api.pages(path_of("/v1/meters"), query={"fields": fields, "limit": limit})

    def create_meter(
        self, body: NewMeter, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Meter:
        """Make a meter."""
        answer: Meter = self._api.call(
            "POST",
            path_of("/v1/meters"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def meter(self, meter_id: str, *, fields: str | None = None) -> Meter:
        """One meter."""
        answer: Meter = self._api.call(
            "GET", path_of("/v1/meters/{meter_id}", meter_id=meter_id), query={"fields": fields}
        )
        return answer

    def plans(
        self,
        *,
        product_id: str | None = None,
        is_add_on: bool | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Plan]:
        """Plans with the number of their newest version."""
        return self._api.pages(
            path_of("/v1/plans"),
            query={"product_id": product_id, "is_add_on": is_add_on, "fields": fields, "limit": limit},
        )

    def create_plan(
        self, body: NewPlan, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Plan:
        """Make a plan, still without a version."""
        answer: Plan = self._api.call(
            "POST",
            path_of("/v1/plans"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def plan(self, plan_id: str, *, fields: str | None = None, expand: str | None = None) -> Plan:
        """One plan. `current`: its newest version."""
        answer: Plan = self._api.call(
            "GET", path_of("/v1/plans/{plan_id}", plan_id=plan_id), query={"fields": fields, "expand": expand}
        )
        return answer

    def plan_versions(
        self, plan_id: str, *, fields: str | None = None, limit: int | None = None
    ) -> Iterator[PlanVersion]:
        """The versions of a plan, the newest first."""
        return self._api.pages(
            path_of("/v1/plans/{plan_id}/versions", plan_id=plan_id), query={"fields": fields, "limit": limit}
        )

    def publish_plan_version(
        self,
        plan_id: str,
        body: NewPlanVersion,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> PlanVersion:
        """Publish the next version of a plan."""
        answer: PlanVersion = self._api.call(
            "POST",
            path_of("/v1/plans/{plan_id}/versions", plan_id=plan_id),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def price_lists(
        self,
        *,
        level: Literal["contract", "customer", "group", "list"] | None = None,
        owner_id: str | None = None,
        currency: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[PriceList]:
        """Price lists: general ones, and those of a group, a customer or a contract."""
        return self._api.pages(
            path_of("/v1/price-lists"),
            query={
                "level": level,
                "owner_id": owner_id,
                "currency": currency,
                "fields": fields,
                "limit": limit,
            },
        )

    def create_price_list(
        self, body: NewPriceList, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> PriceList:
        """Publish a price list, with its prices or still without."""
        answer: PriceList = self._api.call(
            "POST",
            path_of("/v1/price-lists"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def price_list(self, list_id: str, *, fields: str | None = None) -> PriceList:
        """One price list."""
        answer: PriceList = self._api.call(
            "GET", path_of("/v1/price-lists/{list_id}", list_id=list_id), query={"fields": fields}
        )
        return answer

    def prices_of_list(
        self, list_id: str, *, fields: str | None = None, limit: int | None = None
    ) -> Iterator[Price]:
        """The prices of a list."""
        return self._api.pages(
            path_of("/v1/price-lists/{list_id}/prices", list_id=list_id),
            query={"fields": fields, "limit": limit},
        )

    def add_prices(
        self,
        list_id: str,
        body: NewPrices,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> None:
        """Add prices to a list, one for a component and quantity."""
        self._api.call(
            "POST",
            path_of("/v1/price-lists/{list_id}/prices", list_id=list_id),
            body=body,
            status=204,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def prices(
        self, *, component_id: str | None, fields: str | None = None, limit: int | None = None
    ) -> Iterator[Price]:
        """The prices of a component in all lists."""
        return self._api.pages(
            path_of("/v1/prices"), query={"component_id": component_id, "fields": fields, "limit": limit}
        )

    def price(self, price_id: str, *, fields: str | None = None) -> Price:
        """One price, in the words it was published in."""
        answer: Price = self._api.call(
            "GET", path_of("/v1/prices/{price_id}", price_id=price_id), query={"fields": fields}
        )
        return answer

    def try_price(
        self,
        price_id: str,
        body: TriedQuantity,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Tried:
        """What a quantity would cost under a price, before minimum, maximum and discounts. Nothing is
        written."""
        answer: Tried = self._api.call(
            "POST",
            path_of("/v1/prices/{price_id}/try", price_id=price_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def quote(
        self, body: QuoteWanted, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> PriceQuote:
        """What a plan would cost a customer on a day, and why other prices were not taken. Nothing is
        written."""
        answer: PriceQuote = self._api.call(
            "POST", path_of("/v1/price-quotes"), body=body, idempotency_key=idempotency_key, if_match=if_match
        )
        return answer

    def discounts(self, *, fields: str | None = None, limit: int | None = None) -> Iterator[Discount]:
        """Discounts that can be given; of a customer those it was given."""
        return self._api.pages(path_of("/v1/discounts"), query={"fields": fields, "limit": limit})

    def create_discount(
        self, body: NewDiscount, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Discount:
        """Make a discount."""
        answer: Discount = self._api.call(
            "POST",
            path_of("/v1/discounts"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def discount(self, discount_id: str, *, fields: str | None = None) -> Discount:
        """One discount."""
        answer: Discount = self._api.call(
            "GET", path_of("/v1/discounts/{discount_id}", discount_id=discount_id), query={"fields": fields}
        )
        return answer

    def campaigns(self, *, fields: str | None = None, limit: int | None = None) -> Iterator[Campaign]:
        """Campaigns that chase overdue money."""
        return self._api.pages(path_of("/v1/campaigns"), query={"fields": fields, "limit": limit})

    def create_campaign(
        self, body: NewCampaign, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Campaign:
        """Make a campaign."""
        answer: Campaign = self._api.call(
            "POST",
            path_of("/v1/campaigns"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def index_values(
        self, *, index_id: str | None = None, fields: str | None = None, limit: int | None = None
    ) -> Iterator[IndexValue]:
        """Values of indexes that prices follow."""
        return self._api.pages(
            path_of("/v1/index-values"), query={"index_id": index_id, "fields": fields, "limit": limit}
        )

    def publish_index_value(
        self, body: NewIndexValue, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> None:
        """Publish a value of an index for a month; a later one revises it."""
        self._api.call(
            "POST",
            path_of("/v1/index-values"),
            body=body,
            status=204,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def policies(
        self, *, name: str | None = None, fields: str | None = None, limit: int | None = None
    ) -> Iterator[Policy]:
        """Versions of the policies of billing."""
        return self._api.pages(
            path_of("/v1/policies"), query={"name": name, "fields": fields, "limit": limit}
        )

    def set_policy(
        self, body: NewPolicy, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Policy:
        """Publish a version of a policy: the one before with some settings changed."""
        answer: Policy = self._api.call(
            "POST",
            path_of("/v1/policies"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer


class ContractsOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def list(
        self,
        *,
        customer_id: str | None = None,
        ends_before: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[ContractOutput]:
        """Contracts, the newest first; with `ends_before` those that run and whose term ends before
        that day, by that end."""
        return self._api.pages(
            path_of("/v1/contracts"),
            query={"customer_id": customer_id, "ends_before": ends_before, "fields": fields, "limit": limit},
        )

    def contract(
        self, contract_id: str, *, fields: str | None = None, expand: str | None = None
    ) -> ContractOutput:
        """One contract."""
        answer: ContractOutput = self._api.call(
            "GET",
            path_of("/v1/contracts/{contract_id}", contract_id=contract_id),
            query={"fields": fields, "expand": expand},
        )
        return answer

    def renewal_quote(self, contract_id: str, *, fields: str | None = None) -> RenewalQuote:
        """What the next term would cost if the contract were renewed as it is, at the prices known
        now."""
        answer: RenewalQuote = self._api.call(
            "GET",
            path_of("/v1/contracts/{contract_id}/renewal-quote", contract_id=contract_id),
            query={"fields": fields},
        )
        return answer

    def index_preview(self, contract_id: str, *, fields: str | None = None) -> Steps:
        """The steps of its index clauses that are due, and the prices they would make."""
        answer: Steps = self._api.call(
            "GET",
            path_of("/v1/contracts/{contract_id}/index-preview", contract_id=contract_id),
            query={"fields": fields},
        )
        return answer

    def give_notice(
        self,
        contract_id: str,
        body: GiveNotice,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> ContractOutput:
        """The customer will not renew: the contract's subscriptions end with the running term."""
        answer: ContractOutput = self._api.call(
            "POST",
            path_of("/v1/contracts/{contract_id}/notice", contract_id=contract_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def renew_ahead(
        self, contract_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> ContractOutput:
        """Add the next term before the running one is over."""
        answer: ContractOutput = self._api.call(
            "POST",
            path_of("/v1/contracts/{contract_id}/renew-ahead", contract_id=contract_id),
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def accept(
        self, contract_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> ContractOutput:
        """The customer agrees to one more term of a contract that does not renew by itself."""
        answer: ContractOutput = self._api.call(
            "POST",
            path_of("/v1/contracts/{contract_id}/accept-renewal", contract_id=contract_id),
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def take_substitutes(
        self, contract_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> ContractOutput:
        """The customer takes the successor of goods that run short, at the lower of both prices."""
        answer: ContractOutput = self._api.call(
            "POST",
            path_of("/v1/contracts/{contract_id}/agree-to-substitutes", contract_id=contract_id),
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def set_rule(
        self,
        contract_id: str,
        body: StockRule,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> ContractOutput:
        """What is billed when goods of the contract run short."""
        answer: ContractOutput = self._api.call(
            "POST",
            path_of("/v1/contracts/{contract_id}/stock-rule", contract_id=contract_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def add_index(
        self,
        contract_id: str,
        body: NewIndexClause,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Clause:
        """Let the contract's prices follow an index."""
        answer: Clause = self._api.call(
            "POST",
            path_of("/v1/contracts/{contract_id}/index-clauses", contract_id=contract_id),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def add_pool(
        self,
        contract_id: str,
        body: NewPool,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Clause:
        """Price goods and usage by what the contract's customer tree takes together."""
        answer: Clause = self._api.call(
            "POST",
            path_of("/v1/contracts/{contract_id}/pools", contract_id=contract_id),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer


class CustomersOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def list(
        self,
        *,
        parent_id: str | None = None,
        root_id: str | None = None,
        overdue_state: Literal["current", "reminded", "restricted", "suspended", "written_off"] | None = None,
        is_parked: bool | None = None,
        changed_since: str | None = None,
        name: str | None = None,
        email: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Customer]:
        """Customers by id; with `name` (how it begins) by name, else with `changed_since` by when they
        changed. `email`: of one of their contacts."""
        return self._api.pages(
            path_of("/v1/customers"),
            query={
                "parent_id": parent_id,
                "root_id": root_id,
                "overdue_state": overdue_state,
                "is_parked": is_parked,
                "changed_since": changed_since,
                "name": name,
                "email": email,
                "fields": fields,
                "limit": limit,
            },
        )

    def create(
        self, body: NewCustomer, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Customer:
        """Make a customer."""
        answer: Customer = self._api.call(
            "POST",
            path_of("/v1/customers"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def customer(self, customer_id: str, *, fields: str | None = None, expand: str | None = None) -> Customer:
        """One customer."""
        answer: Customer = self._api.call(
            "GET",
            path_of("/v1/customers/{customer_id}", customer_id=customer_id),
            query={"fields": fields, "expand": expand},
        )
        return answer

    def change(
        self,
        customer_id: str,
        body: CustomerChanges,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Customer:
        """Change a customer from today on."""
        answer: Customer = self._api.call(
            "PATCH",
            path_of("/v1/customers/{customer_id}", customer_id=customer_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def children(
        self, customer_id: str, *, fields: str | None = None, limit: int | None = None
    ) -> Iterator[Customer]:
        """Who stands right below a customer."""
        return self._api.pages(
            path_of("/v1/customers/{customer_id}/children", customer_id=customer_id),
            query={"fields": fields, "limit": limit},
        )

    def exposure_of(self, customer_id: str, *, fields: str | None = None) -> Exposure:
        """What a payer would owe if all it has ordered were billed now, beside its credit limit."""
        answer: Exposure = self._api.call(
            "GET",
            path_of("/v1/customers/{customer_id}/exposure", customer_id=customer_id),
            query={"fields": fields},
        )
        return answer

    def history(
        self, customer_id: str, *, fields: str | None = None, limit: int | None = None
    ) -> Iterator[CustomerVersion]:
        """What a customer was called, where and below whom it was, the newest first."""
        return self._api.pages(
            path_of("/v1/customers/{customer_id}/history", customer_id=customer_id),
            query={"fields": fields, "limit": limit},
        )

    def addresses(
        self,
        customer_id: str,
        *,
        role: Literal["bill_to", "ship_to"] | None = None,
        on: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Address]:
        """Where a customer is and was, the newest first. `on`: only what holds on a day."""
        return self._api.pages(
            path_of("/v1/customers/{customer_id}/addresses", customer_id=customer_id),
            query={"role": role, "on": on, "fields": fields, "limit": limit},
        )

    def set_address(
        self,
        customer_id: str,
        body: NewAddress,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Address:
        """Say where a customer is billed or supplied from a day on."""
        answer: Address = self._api.call(
            "POST",
            path_of("/v1/customers/{customer_id}/addresses", customer_id=customer_id),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def contacts(
        self, customer_id: str, *, fields: str | None = None, limit: int | None = None
    ) -> Iterator[Contact]:
        """The people at a customer."""
        return self._api.pages(
            path_of("/v1/customers/{customer_id}/contacts", customer_id=customer_id),
            query={"fields": fields, "limit": limit},
        )

    def add_contact(
        self,
        customer_id: str,
        body: NewContact,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Contact:
        """Name a person at a customer."""
        answer: Contact = self._api.call(
            "POST",
            path_of("/v1/customers/{customer_id}/contacts", customer_id=customer_id),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def contact(self, contact_id: str, *, fields: str | None = None) -> Contact:
        """One person at a customer."""
        answer: Contact = self._api.call(
            "GET", path_of("/v1/contacts/{contact_id}", contact_id=contact_id), query={"fields": fields}
        )
        return answer

    def remove_contact(
        self, contact_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> None:
        """A person is there no more; documents of before keep it."""
        self._api.call(
            "DELETE",
            path_of("/v1/contacts/{contact_id}", contact_id=contact_id),
            status=204,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def given_discounts(
        self, customer_id: str, *, fields: str | None = None, limit: int | None = None
    ) -> Iterator[CustomerDiscount]:
        """The discounts of documents a payer has or had."""
        return self._api.pages(
            path_of("/v1/customers/{customer_id}/discounts", customer_id=customer_id),
            query={"fields": fields, "limit": limit},
        )

    def give_discount(
        self,
        customer_id: str,
        body: GivenDiscount,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> None:
        """Let a payer have a discount on what is issued to it from a day on."""
        self._api.call(
            "POST",
            path_of("/v1/customers/{customer_id}/discounts", customer_id=customer_id),
            body=body,
            status=204,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def end_discount(
        self,
        customer_id: str,
        discount_id: str,
        *,
        on: str | None = None,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> None:
        """Let a payer have a discount no more from a day (today) on."""
        self._api.call(
            "DELETE",
            path_of(
                "/v1/customers/{customer_id}/discounts/{discount_id}",
                customer_id=customer_id,
                discount_id=discount_id,
            ),
            query={"on": on},
            status=204,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def choose_campaign(
        self,
        customer_id: str,
        body: ChosenCampaign,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Customer:
        """Chase a customer's overdue money by a campaign, or (null) by the days of net terms."""
        answer: Customer = self._api.call(
            "PUT",
            path_of("/v1/customers/{customer_id}/campaign", customer_id=customer_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def check_tax(
        self, customer_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> TaxCheck:
        """Ask the register whether a customer's tax number is one, and keep what it says."""
        answer: TaxCheck = self._api.call(
            "POST",
            path_of("/v1/customers/{customer_id}/tax-number-check", customer_id=customer_id),
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer


class DunningOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def cases(
        self,
        *,
        customer_id: str | None = None,
        is_open: bool | None = None,
        track: Literal["card", "terms", "campaign"] | None = None,
        state: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[DunningCase]:
        """Dunning cases, the newest first. `state`: how far one of net terms has come."""
        return self._api.pages(
            path_of("/v1/dunning-cases"),
            query={
                "customer_id": customer_id,
                "is_open": is_open,
                "track": track,
                "state": state,
                "fields": fields,
                "limit": limit,
            },
        )

    def queue(self, *, fields: str | None = None) -> Queue:
        """The 200 open cases whose next act comes first, with what is overdue."""
        answer: Queue = self._api.call("GET", path_of("/v1/dunning-queue"), query={"fields": fields})
        return answer

    def case(self, case_id: str, *, fields: str | None = None) -> DunningCase:
        """One case with its steps."""
        answer: DunningCase = self._api.call(
            "GET", path_of("/v1/dunning-cases/{case_id}", case_id=case_id), query={"fields": fields}
        )
        return answer

    def approvals(
        self,
        *,
        state: Literal["pending", "approved", "rejected", "withdrawn"] | None = None,
        kind: Literal["order", "collection", "write_off"] | None = None,
        customer_id: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Approval]:
        """What waits for a person's word of the merchant's, or was decided."""
        return self._api.pages(
            path_of("/v1/approvals"),
            query={
                "state": state,
                "kind": kind,
                "customer_id": customer_id,
                "fields": fields,
                "limit": limit,
            },
        )

    def approval(self, approval_id: str, *, fields: str | None = None) -> Approval:
        """One approval."""
        answer: Approval = self._api.call(
            "GET", path_of("/v1/approvals/{approval_id}", approval_id=approval_id), query={"fields": fields}
        )
        return answer

    def approve(
        self, approval_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Approval:
        """Carry out what waits, once."""
        answer: Approval = self._api.call(
            "POST",
            path_of("/v1/approvals/{approval_id}/approve", approval_id=approval_id),
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def reject(
        self, approval_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Approval:
        """Let nothing come of what waits."""
        answer: Approval = self._api.call(
            "POST",
            path_of("/v1/approvals/{approval_id}/reject", approval_id=approval_id),
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def parked(self, *, fields: str | None = None, limit: int | None = None) -> Iterator[Parked]:
        """Customers that bill runs set aside, and why."""
        return self._api.pages(path_of("/v1/parked-customers"), query={"fields": fields, "limit": limit})

    def retry(
        self, customer_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> MoneyRetried:
        """Set a customer aside no longer, once what stopped it is mended: the next bill run bills it."""
        answer: MoneyRetried = self._api.call(
            "POST",
            path_of("/v1/parked-customers/{customer_id}/retry", customer_id=customer_id),
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer


class EventsOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def list(
        self,
        *,
        topic: str | None = None,
        subject_id: str | None = None,
        customer_id: str | None = None,
        after_sequence: int | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[WebhooksEvent]:
        """In their one order; keep the last `sequence` and ask for what came after it."""
        return self._api.pages(
            path_of("/v1/events"),
            query={
                "topic": topic,
                "subject_id": subject_id,
                "customer_id": customer_id,
                "after_sequence": after_sequence,
                "fields": fields,
                "limit": limit,
            },
        )

    def event(self, message_id: str, *, fields: str | None = None) -> WebhooksEvent:
        """By the `webhook-id` of a delivery."""
        answer: WebhooksEvent = self._api.call(
            "GET", path_of("/v1/events/{message_id}", message_id=message_id), query={"fields": fields}
        )
        return answer


class InvoicesOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def list(
        self,
        *,
        customer_id: str | None = None,
        state: Literal["open", "past_due", "uncollectible", "paid", "void"] | None = None,
        number: str | None = None,
        issued_from: str | None = None,
        issued_until: str | None = None,
        due_before: str | None = None,
        run_id: str | None = None,
        po_id: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Invoice]:
        """Issued invoices: of a state by the day they are due, while they are not too many; of days of
        issue ([from, until)) by these; others the newest first."""
        return self._api.pages(
            path_of("/v1/invoices"),
            query={
                "customer_id": customer_id,
                "state": state,
                "number": number,
                "issued_from": issued_from,
                "issued_until": issued_until,
                "due_before": due_before,
                "run_id": run_id,
                "po_id": po_id,
                "fields": fields,
                "limit": limit,
            },
        )

    def drafts(
        self, *, customer_id: str | None, up_to: str | None = None, fields: str | None = None
    ) -> Drafts:
        """What is due of a customer up to a day and waits for its days of grace, as it stands now."""
        answer: Drafts = self._api.call(
            "GET",
            path_of("/v1/invoices/drafts"),
            query={"customer_id": customer_id, "up_to": up_to, "fields": fields},
        )
        return answer

    def sums(self, *, customer_id: builtins.list[str] | None, fields: str | None = None) -> Sums:
        """What customers owe, by customer and currency: open, and of that past due."""
        answer: Sums = self._api.call(
            "GET", path_of("/v1/invoice-sums"), query={"customer_id": customer_id, "fields": fields}
        )
        return answer

    def invoice(self, invoice_id: str, *, fields: str | None = None, expand: str | None = None) -> Invoice:
        """One invoice, by id or number. What is expanded are the first 200 of each."""
        answer: Invoice = self._api.call(
            "GET",
            path_of("/v1/invoices/{invoice_id}", invoice_id=invoice_id),
            query={"fields": fields, "expand": expand},
        )
        return answer

    def lines(
        self, invoice_id: str, *, fields: str | None = None, limit: int | None = None
    ) -> Iterator[InvoiceLine]:
        """The lines of an invoice."""
        return self._api.pages(
            path_of("/v1/invoices/{invoice_id}/lines", invoice_id=invoice_id),
            query={"fields": fields, "limit": limit},
        )

    def invoice_document(self, invoice_id: str, *, fields: str | None = None) -> WholeDocument:
        """An invoice as it is sent, with every fact on it."""
        answer: WholeDocument = self._api.call(
            "GET",
            path_of("/v1/invoices/{invoice_id}/document", invoice_id=invoice_id),
            query={"fields": fields},
        )
        return answer

    def invoice_pdf(
        self, invoice_id: str, *, locale: Literal["en", "ar"] | None = None, fields: str | None = None
    ) -> None:
        """An invoice as it is sent, in the customer's language unless another is asked for."""
        self._api.call(
            "GET",
            path_of("/v1/invoices/{invoice_id}/pdf", invoice_id=invoice_id),
            query={"locale": locale, "fields": fields},
        )

    def pay(
        self, invoice_id: str, body: Pay, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Payment:
        """Charge what is open of an invoice now. The answer is the payment, pending; what becomes of
        it is in the payment, and told by the events `payment.captured` and `payment.failed`. An
        attempt that fails leaves the schedule of retries as it was."""
        answer: Payment = self._api.call(
            "POST",
            path_of("/v1/invoices/{invoice_id}/pay", invoice_id=invoice_id),
            body=body,
            status=202,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def void(
        self,
        invoice_id: str,
        body: WithReason,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Invoice:
        """Take back a whole invoice that nothing has paid."""
        answer: Invoice = self._api.call(
            "POST",
            path_of("/v1/invoices/{invoice_id}/void", invoice_id=invoice_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def give_up(
        self,
        invoice_id: str,
        body: MaybeReason,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Invoice:
        """Give up what is open of an invoice."""
        answer: Invoice = self._api.call(
            "POST",
            path_of("/v1/invoices/{invoice_id}/write-off", invoice_id=invoice_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def take_up_again(
        self,
        invoice_id: str,
        body: MaybeReason,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Invoice:
        """Take a write-off back."""
        answer: Invoice = self._api.call(
            "POST",
            path_of("/v1/invoices/{invoice_id}/reinstate", invoice_id=invoice_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def dispute(
        self,
        invoice_id: str,
        body: NewInvoiceDispute,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> InvoiceDispute:
        """Dispute an open invoice, or a line of it: that part is not chased meanwhile."""
        answer: InvoiceDispute = self._api.call(
            "POST",
            path_of("/v1/invoices/{invoice_id}/dispute", invoice_id=invoice_id),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def invoice_disputes(
        self,
        *,
        invoice_id: str | None = None,
        customer_id: str | None = None,
        is_open: bool | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[InvoiceDispute]:
        """Disputes of invoices, the newest first."""
        return self._api.pages(
            path_of("/v1/invoice-disputes"),
            query={
                "invoice_id": invoice_id,
                "customer_id": customer_id,
                "is_open": is_open,
                "fields": fields,
                "limit": limit,
            },
        )

    def invoice_dispute(self, invoice_dispute_id: str, *, fields: str | None = None) -> InvoiceDispute:
        """One dispute of an invoice."""
        answer: InvoiceDispute = self._api.call(
            "GET",
            path_of("/v1/invoice-disputes/{invoice_dispute_id}", invoice_dispute_id=invoice_dispute_id),
            query={"fields": fields},
        )
        return answer

    def close_dispute(
        self,
        invoice_dispute_id: str,
        body: DisputeOutcome,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> InvoiceDispute:
        """Accept a dispute, so that its amount is credited, or reject it. `note_id`: the note that
        credits it."""
        answer: InvoiceDispute = self._api.call(
            "POST",
            path_of("/v1/invoice-disputes/{invoice_dispute_id}/close", invoice_dispute_id=invoice_dispute_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def credit_notes(
        self,
        *,
        customer_id: str | None = None,
        invoice_id: str | None = None,
        number: str | None = None,
        run_id: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[CreditNote]:
        """Credit notes, the newest first. `invoice_id`: those that correct a line of it."""
        return self._api.pages(
            path_of("/v1/credit-notes"),
            query={
                "customer_id": customer_id,
                "invoice_id": invoice_id,
                "number": number,
                "run_id": run_id,
                "fields": fields,
                "limit": limit,
            },
        )

    def credit(
        self, body: NewCreditNote, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> CreditNote:
        """Credit amounts of lines, or all that is left of an invoice."""
        answer: CreditNote = self._api.call(
            "POST",
            path_of("/v1/credit-notes"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def credit_note(self, note_id: str, *, fields: str | None = None) -> CreditNote:
        """One credit note, by id or number."""
        answer: CreditNote = self._api.call(
            "GET", path_of("/v1/credit-notes/{note_id}", note_id=note_id), query={"fields": fields}
        )
        return answer

    def note_document(self, note_id: str, *, fields: str | None = None) -> WholeDocument:
        """A credit note as it is sent, with every fact on it."""
        answer: WholeDocument = self._api.call(
            "GET", path_of("/v1/credit-notes/{note_id}/document", note_id=note_id), query={"fields": fields}
        )
        return answer

    def note_pdf(
        self, note_id: str, *, locale: Literal["en", "ar"] | None = None, fields: str | None = None
    ) -> None:
        """A credit note as it is sent, in the customer's language unless another is asked for."""
        self._api.call(
            "GET",
            path_of("/v1/credit-notes/{note_id}/pdf", note_id=note_id),
            query={"locale": locale, "fields": fields},
        )


class KeysOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def list(
        self,
        *,
        owner: str | None = None,
        customer_id: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Key]:
        """Keys, also those that are over."""
        return self._api.pages(
            path_of("/v1/keys"),
            query={"owner": owner, "customer_id": customer_id, "fields": fields, "limit": limit},
        )

    def create(self, body: NewKey, *, idempotency_key: str | None = None, if_match: str | None = None) -> Key:
        """Make a key, of the caller's scopes or fewer, that ends with the caller's own key or before.
        Its token is in this answer alone."""
        answer: Key = self._api.call(
            "POST",
            path_of("/v1/keys"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def key(self, key_id: str, *, fields: str | None = None) -> Key:
        """A key."""
        answer: Key = self._api.call(
            "GET", path_of("/v1/keys/{key_id}", key_id=key_id), query={"fields": fields}
        )
        return answer

    def roll(
        self, key_id: str, body: RolledKey, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Key:
        """Make a key that takes the place of another, which still opens for a while."""
        answer: Key = self._api.call(
            "POST",
            path_of("/v1/keys/{key_id}/roll", key_id=key_id),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def revoke(self, key_id: str, *, idempotency_key: str | None = None, if_match: str | None = None) -> Key:
        """End a key at once."""
        answer: Key = self._api.call(
            "POST",
            path_of("/v1/keys/{key_id}/revoke", key_id=key_id),
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def calls(
        self,
        *,
        caller_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
        status: int | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[CallMade]:
        """Requests, the newest first."""
        return self._api.pages(
            path_of("/v1/calls"),
            query={
                "caller_id": caller_id,
                "since": since,
                "until": until,
                "status": status,
                "fields": fields,
                "limit": limit,
            },
        )


class OrdersOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def backorders(
        self, *, customer_id: str | None, fields: str | None = None, limit: int | None = None
    ) -> Iterator[Backorder]:
        """The orders of a customer of which something is still to come."""
        return self._api.pages(
            path_of("/v1/backorders"), query={"customer_id": customer_id, "fields": fields, "limit": limit}
        )

    def shortfalls(
        self, *, customer_id: str | None, fields: str | None = None, limit: int | None = None
    ) -> Iterator[Shortfall]:
        """What of a customer's orders was given up or did not arrive, with the reason."""
        return self._api.pages(
            path_of("/v1/shortfalls"), query={"customer_id": customer_id, "fields": fields, "limit": limit}
        )

    def report_delivery(
        self, body: DeliveryInput, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> None:
        """Report how much of an order has arrived in all; what is missing is not paid for."""
        self._api.call(
            "POST",
            path_of("/v1/deliveries"),
            body=body,
            status=204,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )


class PaymentMethodsOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def methods(
        self,
        customer_id: str,
        *,
        is_ended: bool | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[PaymentMethod]:
        """The ways to pay of a customer, the newest first; those that ended only if they are asked
        for."""
        return self._api.pages(
            path_of("/v1/customers/{customer_id}/payment-methods", customer_id=customer_id),
            query={"is_ended": is_ended, "fields": fields, "limit": limit},
        )

    def method(self, method_id: str, *, fields: str | None = None) -> PaymentMethod:
        """One way to pay."""
        answer: PaymentMethod = self._api.call(
            "GET", path_of("/v1/payment-methods/{method_id}", method_id=method_id), query={"fields": fields}
        )
        return answer

    def make_default(
        self,
        method_id: str,
        body: MethodChange,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> PaymentMethod:
        """Charge this one where nothing else is said; payments that failed are tried with it."""
        answer: PaymentMethod = self._api.call(
            "PATCH",
            path_of("/v1/payment-methods/{method_id}", method_id=method_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def remove(
        self, method_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> None:
        """Charge this one no more. The default goes last, and not while something is charged
        automatically."""
        self._api.call(
            "DELETE",
            path_of("/v1/payment-methods/{method_id}", method_id=method_id),
            status=204,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def start(
        self,
        customer_id: str,
        body: NewSetup,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> NewSetupAnswer:
        """Open a page of the gateway's on which the customer enters a new way to pay. Asked again with
        the same key, the setup is told without its address and token."""
        answer: NewSetupAnswer = self._api.call(
            "POST",
            path_of("/v1/customers/{customer_id}/payment-methods/setups", customer_id=customer_id),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def setup(self, setup_id: str, *, fields: str | None = None) -> Setup:
        """One setup, and the method that came of it."""
        answer: Setup = self._api.call(
            "GET",
            path_of("/v1/payment-method-setups/{setup_id}", setup_id=setup_id),
            query={"fields": fields},
        )
        return answer

    def finish(
        self,
        setup_id: str,
        body: FinishSetup,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> PaymentMethod:
        """Keep what the customer entered on the page of a setup; again, it answers the same method."""
        answer: PaymentMethod = self._api.call(
            "POST",
            path_of("/v1/payment-method-setups/{setup_id}/finish", setup_id=setup_id),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer


class PaymentsOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def list(
        self,
        *,
        customer_id: str | None = None,
        invoice_id: str | None = None,
        state: Literal["pending", "failed", "captured", "canceled"] | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Payment]:
        """Payments, the newest first."""
        return self._api.pages(
            path_of("/v1/payments"),
            query={
                "customer_id": customer_id,
                "invoice_id": invoice_id,
                "state": state,
                "fields": fields,
                "limit": limit,
            },
        )

    def payment(self, payment_id: str, *, fields: str | None = None, expand: str | None = None) -> Payment:
        """One payment. What is expanded are the first 200 of each."""
        answer: Payment = self._api.call(
            "GET",
            path_of("/v1/payments/{payment_id}", payment_id=payment_id),
            query={"fields": fields, "expand": expand},
        )
        return answer

    def attempts(
        self, payment_id: str, *, fields: str | None = None, limit: int | None = None
    ) -> Iterator[PaymentAttempt]:
        """The attempts of a payment in their order, each with its last answer."""
        return self._api.pages(
            path_of("/v1/payments/{payment_id}/attempts", payment_id=payment_id),
            query={"fields": fields, "limit": limit},
        )

    def transfers(
        self,
        *,
        state: Literal["matched", "unmatched", "returned"] | None = None,
        customer_id: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Transfer]:
        """Bank transfers, the newest first."""
        return self._api.pages(
            path_of("/v1/transfers"),
            query={"state": state, "customer_id": customer_id, "fields": fields, "limit": limit},
        )

    def receive(
        self, body: NewTransfer, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Payment:
        """Note money that came in at the bank for an invoice; the answer is the payment it became."""
        answer: Payment = self._api.call(
            "POST",
            path_of("/v1/transfers"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def transfer(self, transfer_id: str, *, fields: str | None = None) -> Transfer:
        """One bank transfer."""
        answer: Transfer = self._api.call(
            "GET", path_of("/v1/transfers/{transfer_id}", transfer_id=transfer_id), query={"fields": fields}
        )
        return answer

    def take_in(
        self, body: BankRows, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Matched:
        """Take in rows of a bank statement and match what is unmatched. A row is known by its seller
        and `bank_ref`: sent again it changes nothing."""
        answer: Matched = self._api.call(
            "POST",
            path_of("/v1/transfers/bulk"),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def match(
        self,
        transfer_id: str,
        body: Match,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Transfer:
        """Say whose a transfer is that was not matched."""
        answer: Transfer = self._api.call(
            "POST",
            path_of("/v1/transfers/{transfer_id}/match", transfer_id=transfer_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def unmatch(
        self, transfer_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Transfer:
        """Take back a wrong match: what it paid is owed again."""
        answer: Transfer = self._api.call(
            "POST",
            path_of("/v1/transfers/{transfer_id}/unmatch", transfer_id=transfer_id),
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def send_back(
        self, transfer_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Transfer:
        """Note that a transfer nobody knew was sent back."""
        answer: Transfer = self._api.call(
            "POST",
            path_of("/v1/transfers/{transfer_id}/return", transfer_id=transfer_id),
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def refunds(
        self,
        *,
        payment_id: str | None = None,
        customer_id: str | None = None,
        state: Literal["requested", "refunded", "failed"] | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Refund]:
        """Refunds, the newest first."""
        return self._api.pages(
            path_of("/v1/refunds"),
            query={
                "payment_id": payment_id,
                "customer_id": customer_id,
                "state": state,
                "fields": fields,
                "limit": limit,
            },
        )

    def give_back(
        self, body: NewRefund, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Requested:
        """Give back credit that a customer keeps, through a payment of theirs. It may come to several
        refunds: of what was paid too much, and of each note."""
        answer: Requested = self._api.call(
            "POST",
            path_of("/v1/refunds"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def refund(self, refund_id: str, *, fields: str | None = None) -> Refund:
        """One refund."""
        answer: Refund = self._api.call(
            "GET", path_of("/v1/refunds/{refund_id}", refund_id=refund_id), query={"fields": fields}
        )
        return answer

    def refund_paid(
        self, refund_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Refund:
        """Note that the refund of a transfer was sent from the bank."""
        answer: Refund = self._api.call(
            "POST",
            path_of("/v1/refunds/{refund_id}/paid", refund_id=refund_id),
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def disputes(
        self,
        *,
        payment_id: str | None = None,
        customer_id: str | None = None,
        is_open: bool | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Dispute]:
        """Payments that were disputed at a bank, the newest first."""
        return self._api.pages(
            path_of("/v1/disputes"),
            query={
                "payment_id": payment_id,
                "customer_id": customer_id,
                "is_open": is_open,
                "fields": fields,
                "limit": limit,
            },
        )

    def dispute(self, dispute_id: str, *, fields: str | None = None) -> Dispute:
        """One dispute."""
        answer: Dispute = self._api.call(
            "GET", path_of("/v1/disputes/{dispute_id}", dispute_id=dispute_id), query={"fields": fields}
        )
        return answer

    def open_dispute(
        self,
        payment_id: str,
        body: NewDispute,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Dispute:
        """Note that the bank took a payment back, or a part of it: what it had paid is owed again."""
        answer: Dispute = self._api.call(
            "POST",
            path_of("/v1/payments/{payment_id}/disputes", payment_id=payment_id),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def close_dispute(
        self,
        dispute_id: str,
        body: ChargebackOutcome,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Dispute:
        """Note how a dispute ended: won brings the money back, lost leaves it with the customer."""
        answer: Dispute = self._api.call(
            "POST",
            path_of("/v1/disputes/{dispute_id}/close", dispute_id=dispute_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def payouts(
        self, *, entity_id: str | None = None, fields: str | None = None, limit: int | None = None
    ) -> Iterator[Payout]:
        """What gateways paid out to the bank, the newest first; nothing of it is a customer's."""
        return self._api.pages(
            path_of("/v1/payouts"), query={"entity_id": entity_id, "fields": fields, "limit": limit}
        )

    def receive_from_gateway(
        self, body: NewPayout, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Payout:
        """Note what a gateway paid out, after it kept its fees. The same payout again changes nothing."""
        answer: Payout = self._api.call(
            "POST",
            path_of("/v1/payouts"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer


class PortalOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def link(self, body: NewLink, *, idempotency_key: str | None = None, if_match: str | None = None) -> Link:
        """An address that signs a customer, or one of its users, in once. Send the customer there at
        once."""
        answer: Link = self._api.call(
            "POST",
            path_of("/v1/portal-links"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def users(
        self, *, customer_id: str | None = None, fields: str | None = None, limit: int | None = None
    ) -> Iterator[PortalUser]:
        return self._api.pages(
            path_of("/v1/portal-users"), query={"customer_id": customer_id, "fields": fields, "limit": limit}
        )

    def invite(
        self, body: NewUser, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> PortalUser:
        """A person who may sign in for a customer, by a link to the e-mail address."""
        answer: PortalUser = self._api.call(
            "POST",
            path_of("/v1/portal-users"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def user(self, user_id: str, *, fields: str | None = None) -> PortalUser:
        answer: PortalUser = self._api.call(
            "GET", path_of("/v1/portal-users/{user_id}", user_id=user_id), query={"fields": fields}
        )
        return answer

    def change_a_user(
        self,
        user_id: str,
        body: UserChanges,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> PortalUser:
        """Change what a person may do; who manages the others last keeps that."""
        answer: PortalUser = self._api.call(
            "PATCH",
            path_of("/v1/portal-users/{user_id}", user_id=user_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def remove_a_user(
        self, user_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> None:
        """End what a person may do, and its sessions. What it did keeps its name."""
        self._api.call(
            "DELETE",
            path_of("/v1/portal-users/{user_id}", user_id=user_id),
            status=204,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def requests(
        self,
        *,
        state: Literal["pending", "approved", "rejected", "withdrawn", "failed"] | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[PortalRequest]:
        """Orders above a limit that users asked their approvers for, the newest first."""
        return self._api.pages(
            path_of("/v1/portal-requests"), query={"state": state, "fields": fields, "limit": limit}
        )

    def request(self, request_id: str, *, fields: str | None = None) -> PortalRequest:
        answer: PortalRequest = self._api.call(
            "GET",
            path_of("/v1/portal-requests/{request_id}", request_id=request_id),
            query={"fields": fields},
        )
        return answer

    def all_tasks(self, *, fields: str | None = None) -> Iterator[Task]:
        """What customers may do alone, here too; what nobody decided on is open."""
        return self._api.pages(path_of("/v1/portal-tasks"), query={"fields": fields})

    def change_task(
        self, task: str, body: TaskChange, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Task:
        answer: Task = self._api.call(
            "PUT",
            path_of("/v1/portal-tasks/{task}", task=task),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer


class PurchaseOrdersOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def list(
        self,
        *,
        customer_id: str | None = None,
        valid_on: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[PurchaseOrder]:
        """Purchase orders of all payers, or of one. `valid_on`: only those that may be billed on that
        day."""
        return self._api.pages(
            path_of("/v1/purchase-orders"),
            query={"customer_id": customer_id, "valid_on": valid_on, "fields": fields, "limit": limit},
        )

    def create(
        self, body: NewPurchaseOrder, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> PurchaseOrder:
        """Make an order."""
        answer: PurchaseOrder = self._api.call(
            "POST",
            path_of("/v1/purchase-orders"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def purchase_order(self, po_id: str, *, fields: str | None = None) -> PurchaseOrder:
        """One order with what was billed on it."""
        answer: PurchaseOrder = self._api.call(
            "GET", path_of("/v1/purchase-orders/{po_id}", po_id=po_id), query={"fields": fields}
        )
        return answer

    def change(
        self,
        po_id: str,
        body: PurchaseOrderChanges,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> PurchaseOrder:
        """Change budget or validity of an order; documents that were held join the next run."""
        answer: PurchaseOrder = self._api.call(
            "PATCH",
            path_of("/v1/purchase-orders/{po_id}", po_id=po_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def close(
        self, po_id: str, body: Closing, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> PurchaseOrder:
        """Let an order be valid no more from a day (today) on."""
        answer: PurchaseOrder = self._api.call(
            "POST",
            path_of("/v1/purchase-orders/{po_id}/close", po_id=po_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer


class SubscriptionsOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def list(
        self,
        *,
        customer_id: str | None = None,
        bill_to: str | None = None,
        status: Literal["canceled", "scheduled", "suspended", "paused", "past_due", "trialing", "active"]
        | None = None,
        plan_id: str | None = None,
        contract_id: str | None = None,
        changed_since: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Subscription]:
        """Subscriptions, the newest first; with `changed_since` in the order in which they were
        changed."""
        return self._api.pages(
            path_of("/v1/subscriptions"),
            query={
                "customer_id": customer_id,
                "bill_to": bill_to,
                "status": status,
                "plan_id": plan_id,
                "contract_id": contract_id,
                "changed_since": changed_since,
                "fields": fields,
                "limit": limit,
            },
        )

    def subscribe(
        self, body: Subscribe, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Subscription:
        """A customer agrees to a plan. Goes on as an approval (202) where the order waits for a
        person's word."""
        answer: Subscription = self._api.call(
            "POST",
            path_of("/v1/subscriptions"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def subscription(
        self, subscription_id: str, *, fields: str | None = None, expand: str | None = None
    ) -> Subscription:
        """One subscription. `upcoming`: what is to change of it after today."""
        answer: Subscription = self._api.call(
            "GET",
            path_of("/v1/subscriptions/{subscription_id}", subscription_id=subscription_id),
            query={"fields": fields, "expand": expand},
        )
        return answer

    def invoice_apart(
        self,
        subscription_id: str,
        body: Invoicing,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Subscription:
        """Set what is invoiced apart from the rest of the payer's, for all that is invoiced from now
        on."""
        answer: Subscription = self._api.call(
            "PATCH",
            path_of("/v1/subscriptions/{subscription_id}", subscription_id=subscription_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def versions(
        self, item_id: str, *, fields: str | None = None, limit: int | None = None
    ) -> Iterator[Version]:
        """What an item was, is and is to be, by day."""
        return self._api.pages(
            path_of("/v1/items/{item_id}/versions", item_id=item_id), query={"fields": fields, "limit": limit}
        )

    def charges(
        self,
        *,
        subscription_id: str | None = None,
        customer_id: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Charge]:
        """Charges that come once, the newest first."""
        return self._api.pages(
            path_of("/v1/charges"),
            query={
                "subscription_id": subscription_id,
                "customer_id": customer_id,
                "fields": fields,
                "limit": limit,
            },
        )

    def add_charge(
        self, body: ChargeOf, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Charge:
        """Charge a subscription once."""
        answer: Charge = self._api.call(
            "POST",
            path_of("/v1/charges"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def charge(self, charge_id: str, *, fields: str | None = None) -> Charge:
        """One charge."""
        answer: Charge = self._api.call(
            "GET", path_of("/v1/charges/{charge_id}", charge_id=charge_id), query={"fields": fields}
        )
        return answer

    def remove_charge(
        self, charge_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Charge:
        """Take a charge back: what was billed of it is credited."""
        answer: Charge = self._api.call(
            "DELETE",
            path_of("/v1/charges/{charge_id}", charge_id=charge_id),
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def change_plan(
        self,
        subscription_id: str,
        body: ChangePlan,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Subscription:
        """Move the main item, or an add-on, to the newest version of another plan."""
        answer: Subscription = self._api.call(
            "POST",
            path_of("/v1/subscriptions/{subscription_id}/change-plan", subscription_id=subscription_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def change_quantity(
        self,
        subscription_id: str,
        body: ChangeQuantity,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Subscription:
        """Set the quantity of the main item, or of another."""
        answer: Subscription = self._api.call(
            "POST",
            path_of("/v1/subscriptions/{subscription_id}/change-quantity", subscription_id=subscription_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def change_commitment(
        self,
        subscription_id: str,
        body: ChangeCommitment,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Subscription:
        """Set what an item promises beyond its recurring amount, per interval."""
        answer: Subscription = self._api.call(
            "POST",
            path_of("/v1/subscriptions/{subscription_id}/change-commitment", subscription_id=subscription_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def agree_ramp(
        self,
        subscription_id: str,
        body: AgreeRamp,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Subscription:
        """Agree what holds for the main item from later days on."""
        answer: Subscription = self._api.call(
            "POST",
            path_of("/v1/subscriptions/{subscription_id}/ramp", subscription_id=subscription_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def pause(
        self,
        subscription_id: str,
        body: Pause,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Subscription:
        """Pause all items in [from_on, until). Nothing is billed for paused days."""
        answer: Subscription = self._api.call(
            "POST",
            path_of("/v1/subscriptions/{subscription_id}/pause", subscription_id=subscription_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def resume(
        self,
        subscription_id: str,
        body: Resume,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Subscription:
        """End a pause on a day, today by default."""
        answer: Subscription = self._api.call(
            "POST",
            path_of("/v1/subscriptions/{subscription_id}/resume", subscription_id=subscription_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def cancel(
        self,
        subscription_id: str,
        body: Cancel,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Subscription:
        """Let the subscription end; it may be undone until it does."""
        answer: Subscription = self._api.call(
            "POST",
            path_of("/v1/subscriptions/{subscription_id}/cancel", subscription_id=subscription_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def undo_cancel(
        self,
        subscription_id: str,
        body: UndoCancel,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Subscription:
        """Take back a cancellation that has not acted yet."""
        answer: Subscription = self._api.call(
            "POST",
            path_of("/v1/subscriptions/{subscription_id}/undo-cancel", subscription_id=subscription_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def undo_change(
        self,
        subscription_id: str,
        body: UndoChange,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Subscription:
        """Take back what is to change after today; only the merchant may."""
        answer: Subscription = self._api.call(
            "POST",
            path_of("/v1/subscriptions/{subscription_id}/undo-change", subscription_id=subscription_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def reactivate(
        self,
        subscription_id: str,
        body: Reactivate,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Subscription:
        """Bring a canceled subscription back today; the gap is not billed."""
        answer: Subscription = self._api.call(
            "POST",
            path_of("/v1/subscriptions/{subscription_id}/reactivate", subscription_id=subscription_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def add_item(
        self,
        subscription_id: str,
        body: AddItem,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Item:
        """Add an add-on to a subscription, on its anchor."""
        answer: Item = self._api.call(
            "POST",
            path_of("/v1/subscriptions/{subscription_id}/add-item", subscription_id=subscription_id),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def remove_item(
        self,
        item_id: str,
        body: RemoveItem,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Subscription:
        """Let an add-on end; its subscription as it is then."""
        answer: Subscription = self._api.call(
            "POST",
            path_of("/v1/items/{item_id}/remove", item_id=item_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def preview(
        self, body: Asked, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Preview:
        """What an act and the bill runs up to a day (today) would post. Nothing of it stays."""
        answer: Preview = self._api.call(
            "POST", path_of("/v1/previews"), body=body, idempotency_key=idempotency_key, if_match=if_match
        )
        return answer

    def move_in(
        self, body: Moving, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> MovedAnswer:
        """Take over running subscriptions, each on its own; the same rows again change nothing."""
        answer: MovedAnswer = self._api.call(
            "POST",
            path_of("/v1/subscription-imports"),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer


class TestClockOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def list(self, *, fields: str | None = None) -> Time:
        """What time it is."""
        answer: Time = self._api.call("GET", path_of("/v1/test-clock"), query={"fields": fields})
        return answer

    def change_test_clock(
        self, body: NewTime, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Time:
        """Let time go on. What a company does each day is done for every day in between; `state` is
        advancing until then."""
        answer: Time = self._api.call(
            "PUT",
            path_of("/v1/test-clock"),
            body=body,
            status=202,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer


class UsageOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def add_event(
        self, body: NewEvent, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> UsageEvent:
        """Take in one event. It is known by `source` and `event_id`: the same again changes nothing."""
        answer: UsageEvent = self._api.call(
            "POST",
            path_of("/v1/usage-events"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def events(
        self,
        *,
        item_id: str | None,
        meter_id: str | None,
        since: str | None = None,
        until: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[UsageEvent]:
        """The events of an item's meter in [since, until), as they happened."""
        return self._api.pages(
            path_of("/v1/usage-events"),
            query={
                "item_id": item_id,
                "meter_id": meter_id,
                "since": since,
                "until": until,
                "fields": fields,
                "limit": limit,
            },
        )

    def add_events(
        self,
        body: builtins.list[dict[str, Any]],
        *,
        all: bool | None = None,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Imported:
        """Take in up to 50,000 events: a JSON array of them, or one a line. Each is accepted, a
        duplicate or refused by itself; to send them again changes nothing."""
        answer: Imported = self._api.call(
            "POST",
            path_of("/v1/usage-events/bulk"),
            query={"all": all},
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def unbilled(
        self,
        *,
        customer_id: str | None,
        reason: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[UsageEvent]:
        """The events of a customer that nothing bills, by source and id; `reason`: only those left for
        it."""
        return self._api.pages(
            path_of("/v1/usage-events/unbilled"),
            query={"customer_id": customer_id, "reason": reason, "fields": fields, "limit": limit},
        )

    def so_far(self, *, customer_id: str | None, fields: str | None = None) -> SoFar:
        """What a customer used that is not billed yet, and what it comes to by now."""
        answer: SoFar = self._api.call(
            "GET", path_of("/v1/usage"), query={"customer_id": customer_id, "fields": fields}
        )
        return answer

    def freeze(
        self, body: OfCustomer, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Frozen:
        """Take the quantities of usage that is due and not billed yet as they are now."""
        answer: Frozen = self._api.call(
            "POST", path_of("/v1/usage/freeze"), body=body, idempotency_key=idempotency_key, if_match=if_match
        )
        return answer

    def rejected(
        self,
        *,
        source: str | None = None,
        code: str | None = None,
        is_open: bool | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[RejectedInput]:
        """Inputs that were refused, of the whole merchant. `is_open`: those not taken in since."""
        return self._api.pages(
            path_of("/v1/rejected-inputs"),
            query={"source": source, "code": code, "is_open": is_open, "fields": fields, "limit": limit},
        )

    def retry(self, *, idempotency_key: str | None = None, if_match: str | None = None) -> UsageRetried:
        """Send again the events whose item or meter was unknown."""
        answer: UsageRetried = self._api.call(
            "POST", path_of("/v1/rejected-inputs/retry"), idempotency_key=idempotency_key, if_match=if_match
        )
        return answer


class WalletsOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def list(
        self,
        *,
        customer_id: str | None = None,
        is_open: bool | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Wallet]:
        """Wallets of all customers, or of one."""
        return self._api.pages(
            path_of("/v1/wallets"),
            query={"customer_id": customer_id, "is_open": is_open, "fields": fields, "limit": limit},
        )

    def open_wallet(
        self, body: NewWallet, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Wallet:
        """Open a wallet."""
        answer: Wallet = self._api.call(
            "POST",
            path_of("/v1/wallets"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def wallet(self, wallet_id: str, *, fields: str | None = None, expand: str | None = None) -> Wallet:
        """One wallet. `balance`: what can be drawn today."""
        answer: Wallet = self._api.call(
            "GET",
            path_of("/v1/wallets/{wallet_id}", wallet_id=wallet_id),
            query={"fields": fields, "expand": expand},
        )
        return answer

    def balance(self, wallet_id: str, *, on: str | None = None, fields: str | None = None) -> Balance:
        """What can be drawn from a wallet on a day (today), and what of that ends when."""
        answer: Balance = self._api.call(
            "GET",
            path_of("/v1/wallets/{wallet_id}/balance", wallet_id=wallet_id),
            query={"on": on, "fields": fields},
        )
        return answer

    def grants(
        self, wallet_id: str, *, fields: str | None = None, limit: int | None = None
    ) -> Iterator[Grant]:
        """What was given or bought into a wallet."""
        return self._api.pages(
            path_of("/v1/wallets/{wallet_id}/grants", wallet_id=wallet_id),
            query={"fields": fields, "limit": limit},
        )

    def grant(
        self,
        wallet_id: str,
        body: NewGrant,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Grant:
        """Give balance away."""
        answer: Grant = self._api.call(
            "POST",
            path_of("/v1/wallets/{wallet_id}/grants", wallet_id=wallet_id),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def movements(
        self, wallet_id: str, *, fields: str | None = None, limit: int | None = None
    ) -> Iterator[Movement]:
        """What was taken out of a wallet."""
        return self._api.pages(
            path_of("/v1/wallets/{wallet_id}/movements", wallet_id=wallet_id),
            query={"fields": fields, "limit": limit},
        )

    def top_up(
        self,
        wallet_id: str,
        body: NewTopUp,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> TopUp:
        """Invoice balance that the customer buys; it can be used once the invoice is paid."""
        answer: TopUp = self._api.call(
            "POST",
            path_of("/v1/wallets/{wallet_id}/top-ups", wallet_id=wallet_id),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def draw(
        self,
        wallet_id: str,
        body: NewDraw,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Balance:
        """Pay an open invoice of the customer, or a part of it, from a wallet."""
        answer: Balance = self._api.call(
            "POST",
            path_of("/v1/wallets/{wallet_id}/draws", wallet_id=wallet_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def close(
        self, wallet_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Wallet:
        """Close a wallet: what is left of balance given away is gone."""
        answer: Wallet = self._api.call(
            "POST",
            path_of("/v1/wallets/{wallet_id}/close", wallet_id=wallet_id),
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer


class WebhooksOperations:
    def __init__(self, api: Calling) -> None:
        self._api = api

    def endpoints(self, *, fields: str | None = None, limit: int | None = None) -> Iterator[Endpoint]:
        return self._api.pages(path_of("/v1/webhook-endpoints"), query={"fields": fields, "limit": limit})

    def create(
        self, body: NewEndpoint, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> EndpointMade:
        """From now on events go there. The answer shows the secret that they are signed with, once."""
        answer: EndpointMade = self._api.call(
            "POST",
            path_of("/v1/webhook-endpoints"),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def endpoint(self, endpoint_id: str, *, fields: str | None = None) -> Endpoint:
        answer: Endpoint = self._api.call(
            "GET",
            path_of("/v1/webhook-endpoints/{endpoint_id}", endpoint_id=endpoint_id),
            query={"fields": fields},
        )
        return answer

    def change(
        self,
        endpoint_id: str,
        body: EndpointChange,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Endpoint:
        answer: Endpoint = self._api.call(
            "PATCH",
            path_of("/v1/webhook-endpoints/{endpoint_id}", endpoint_id=endpoint_id),
            body=body,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def remove(
        self, endpoint_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> None:
        """Nothing more is sent there, and its secrets end."""
        self._api.call(
            "DELETE",
            path_of("/v1/webhook-endpoints/{endpoint_id}", endpoint_id=endpoint_id),
            status=204,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )

    def enable(
        self, endpoint_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Endpoint:
        """What waits for an endpoint that was disabled or paused is sent, in order."""
        answer: Endpoint = self._api.call(
            "POST",
            path_of("/v1/webhook-endpoints/{endpoint_id}/enable", endpoint_id=endpoint_id),
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def test(
        self, endpoint_id: str, *, idempotency_key: str | None = None, if_match: str | None = None
    ) -> Endpoint:
        """Send a `webhook.test` there."""
        answer: Endpoint = self._api.call(
            "POST",
            path_of("/v1/webhook-endpoints/{endpoint_id}/test", endpoint_id=endpoint_id),
            status=202,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def secrets(self, endpoint_id: str, *, fields: str | None = None) -> Secrets:
        answer: Secrets = self._api.call(
            "GET",
            path_of("/v1/webhook-endpoints/{endpoint_id}/secrets", endpoint_id=endpoint_id),
            query={"fields": fields},
        )
        return answer

    def rotate(
        self,
        endpoint_id: str,
        body: NewSecret,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> SecretMade:
        """A new secret, shown once. Those before sign beside it for a time, so that nothing fails to
        verify."""
        answer: SecretMade = self._api.call(
            "POST",
            path_of("/v1/webhook-endpoints/{endpoint_id}/secrets", endpoint_id=endpoint_id),
            body=body,
            status=201,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def replay(
        self,
        endpoint_id: str,
        body: NewReplay,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Replayed:
        """Send events again, in order and under their ids; at most 10,000 a call."""
        answer: Replayed = self._api.call(
            "POST",
            path_of("/v1/webhook-endpoints/{endpoint_id}/replay", endpoint_id=endpoint_id),
            body=body,
            status=202,
            idempotency_key=idempotency_key,
            if_match=if_match,
        )
        return answer

    def deliveries(
        self,
        endpoint_id: str,
        *,
        state: Literal["waiting", "delivered", "dead"] | None = None,
        fields: str | None = None,
        limit: int | None = None,
    ) -> Iterator[DeliveryOutput]:
        """The newest first."""
        return self._api.pages(
            path_of("/v1/webhook-endpoints/{endpoint_id}/deliveries", endpoint_id=endpoint_id),
            query={"state": state, "fields": fields, "limit": limit},
        )

    def delivery(self, endpoint_id: str, sequence: int, *, fields: str | None = None) -> DeliveryLog:
        """With its attempts, the newest first."""
        answer: DeliveryLog = self._api.call(
            "GET",
            path_of(
                "/v1/webhook-endpoints/{endpoint_id}/deliveries/{sequence}",
                endpoint_id=endpoint_id,
                sequence=sequence,
            ),
            query={"fields": fields},
        )
        return answer

    def health(self, endpoint_id: str, *, fields: str | None = None) -> Health:
        answer: Health = self._api.call(
            "GET",
            path_of("/v1/webhook-endpoints/{endpoint_id}/health", endpoint_id=endpoint_id),
            query={"fields": fields},
        )
        return answer


class Tajdid(Calling):
    """The API of one company, by what it is about."""

    def __init__(self, base_url: str, key: str, **settings: Any) -> None:
        """settings: see Calling."""
        super().__init__(base_url, key, **settings)
        self.books = BooksOperations(self)
        self.bulk = BulkOperations(self)
        self.catalog = CatalogOperations(self)
        self.contracts = ContractsOperations(self)
        self.customers = CustomersOperations(self)
        self.dunning = DunningOperations(self)
        self.events = EventsOperations(self)
        self.invoices = InvoicesOperations(self)
        self.keys = KeysOperations(self)
        self.orders = OrdersOperations(self)
        self.payment_methods = PaymentMethodsOperations(self)
        self.payments = PaymentsOperations(self)
        self.portal = PortalOperations(self)
        self.purchase_orders = PurchaseOrdersOperations(self)
        self.subscriptions = SubscriptionsOperations(self)
        self.test_clock = TestClockOperations(self)
        self.usage = UsageOperations(self)
        self.wallets = WalletsOperations(self)
        self.webhooks = WebhooksOperations(self)
