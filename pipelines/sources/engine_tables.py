"""The tables of the engine and their columns that pipelines/sources/billing.py reads.

They are written down so that one that is gone or renamed is told by its name before anything is read: SQL
takes a name that a table lacks from elsewhere in the query where it can, and else tells only part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

NEEDED: Mapping[str, tuple[str, ...]] = {
    table: tuple(columns.split())
    for table, columns in {
        "applications": "application_id source_kind source_id invoice_id amount_minor applied_on recorded_at",
        "components": "component_id plan_id plan_version meter_id sku_id",
        "contract_terms": "contract_id term_start term_end recorded_at",
        "contracts": "contract_id auto_renew notice_days",
        "credit_note_lines": """
            note_id position line_id service_start service_end net_minor tax_minor recorded_at
        """,
        "credit_notes": """
            note_id customer_id invoice_id currency issued_on net_minor tax_minor total_minor recorded_at
        """,
        "customer_discounts": "customer_id discount_id valid_start valid_end changed_at",
        "customer_versions": "customer_id valid_from revision name country parent_id recorded_at",
        "customers": "customer_id is_test created_on currency",
        "discount_uses": "discount_id line_id amount_minor",
        "discounts": """
            discount_id scope discount_ppm amount_minor currency times valid_start valid_end recorded_at
        """,
        "disputes": "dispute_id payment_id amount_minor opened_on closed_on outcome changed_at",
        "dunning_cases": "case_id closed_as changed_at",
        "invoices": """
            invoice_id number customer_id currency state issued_on due_on net_minor tax_minor total_minor
            voided_on written_off_on written_off_minor recorded_at changed_at
        """,
        "item_versions": """
            version_id item_id effective_start effective_end plan_id plan_version list_id price_id
            quantity_mantissa quantity_scale discount_ids phase pause recurring_minor
            committed_minimum_minor superseded_at recorded_at
        """,
        "items": "item_id subscription_id customer_id ended_on end_requested_on end_reason",
        "journal_entries": "entry_id posted_on",
        "journal_lines": "entry_id position account invoice_id currency debit_minor credit_minor recorded_at",
        "line_items": """
            line_id invoice_id item_id component_id kind entry service_start service_end reference_start
            reference_end quantity_mantissa quantity_scale discount_minor net_minor tax_minor recorded_at
        """,
        "meters": "meter_id aggregation scale",
        "payment_attempts": "payment_id attempt method_id outcome decline_code attempted_at changed_at",
        "payment_methods": "method_id customer_id kind expires_on valid_from valid_to changed_at",
        "payments": """
            payment_id customer_id invoice_id kind currency amount_minor fee_minor method_id case_id
            received_on changed_at
        """,
        "plan_versions": "plan_id version interval",
        "plans": "plan_id name tier is_add_on changed_at",
        "price_lists": "list_id currency valid_start valid_end",
        "prices": "price_id list_id component_id model currency price_mantissa price_scale recorded_at",
        "refunds": "refund_id payment_id note_id amount_minor state refunded_on changed_at",
        "subscriptions": """
            subscription_id contract_id bill_to ends_on trial_ends_on cancel_requested_on cancel_reason
            changed_at
        """,
        "usage_events": "item_id meter_id occurred_on value_mantissa dimension seq recorded_at",
        "write_offs": "write_off_id invoice_id amount_minor written_off_on recorded_at",
    }.items()
}


def missing(there: Mapping[str, Iterable[str]]) -> list[str]:
    """What is needed and not there: whole tables by their name, others as table.column."""
    gone = []
    for table, columns in NEEDED.items():
        if table not in there:
            gone.append(table)
        else:
            gone += [f"{table}.{column}" for column in columns if column not in there[table]]
    return gone
