"""Tajdid's own billing database, read as tables through DuckDB: SQLite or PostgreSQL, read-only.

Renames, joins and types; it applies no rule of money. What each raw table is made of stands in TABLES, one
query each. A query names `{after}`, the moment since which rows are asked for: the newest change seen by
the last build less OVERLAP, so that a transaction that commits late is not missed. What the overlap brings
twice is recognised by key and content and not added again.

History is added: a row that changed comes again with the moment of the change as `recorded_at`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
from duckdb_extensions import import_extension

from pipelines.sources.engine_tables import missing
from pipelines.sources.loading import (
    Load,
    SourceConfig,
    SourceError,
    Stage,
    newest_of,
    recorded_after_known,
)
from pipelines.warehouse import is_disk_full, quoted

OVERLAP = timedelta(minutes=15)
BEGINNING = "'-infinity'::TIMESTAMPTZ"
SOURCE = "source_database"
SCANNERS = {"sqlite": "sqlite_scanner", "postgresql": "postgres_scanner"}


@dataclass(frozen=True)
class Table:
    """A raw table: the columns that tell its rows apart, and the query that fills it.

    The query's rows hold every column of the raw table but source_system and load_id. `is_new_by_moment`
    keeps rows apart that differ in `recorded_at` alone, for rows that tell what was known first. `later` is
    the query of builds that know earlier rows, where asking for less is another question than asking for all.
    """

    name: str
    key: tuple[str, ...]
    query: str
    is_new_by_moment: bool = False
    later: str | None = None


CUSTOMERS = """
WITH versions AS (
  SELECT * FROM engine_customer_versions
  QUALIFY row_number() OVER (PARTITION BY customer_id, valid_from ORDER BY revision DESC) = 1
), ranges AS (
  SELECT *, lead(valid_from) OVER by_day AS valid_to, lead(recorded_at) OVER by_day AS ended_at
  FROM versions WINDOW by_day AS (PARTITION BY customer_id ORDER BY valid_from)
)
SELECT
  customer_id, ranges.name, ranges.country, customers.currency,
  NULL::VARCHAR AS segment, NULL::VARCHAR AS acquisition_channel,
  customers.is_test, customers.created_on, ranges.valid_from, ranges.valid_to,
  greatest(ranges.recorded_at, ranges.ended_at) AS recorded_at
FROM ranges JOIN engine_customers AS customers USING (customer_id)
WHERE greatest(ranges.recorded_at, ranges.ended_at) > {after}
"""

CUSTOMER_PARENTS = """
WITH versions AS (
  SELECT * FROM engine_customer_versions
  QUALIFY row_number() OVER (PARTITION BY customer_id, valid_from ORDER BY revision DESC) = 1
), changes AS (
  SELECT * FROM versions
  QUALIFY parent_id IS DISTINCT FROM lag(parent_id) OVER (PARTITION BY customer_id ORDER BY valid_from)
), ranges AS (
  SELECT *, lead(valid_from) OVER by_day AS valid_to, lead(recorded_at) OVER by_day AS ended_at
  FROM changes WINDOW by_day AS (PARTITION BY customer_id ORDER BY valid_from)
)
SELECT
  customer_id, valid_from, parent_id AS parent_customer_id, valid_to,
  greatest(recorded_at, ended_at) AS recorded_at
FROM ranges WHERE parent_id IS NOT NULL AND greatest(recorded_at, ended_at) > {after}
"""

PLANS = """
SELECT plan_id, name AS plan_name, tier AS plan_tier, is_add_on, changed_at AS recorded_at
FROM engine_plans WHERE changed_at > {after}
"""

PRICES = """
SELECT
  prices.price_id, components.plan_id, prices.currency, prices.price_mantissa,
  CASE WHEN prices.price_mantissa IS NOT NULL THEN prices.price_scale END AS price_scale,
  {interval} AS "interval", {interval_count} AS interval_count, prices.model AS pricing_model,
  lists.valid_start AS valid_from, lists.valid_end AS valid_to, prices.recorded_at
FROM engine_prices AS prices
JOIN engine_components AS components USING (component_id)
JOIN engine_plan_versions AS versions
  ON versions.plan_id = components.plan_id AND versions.version = components.plan_version
JOIN engine_price_lists AS lists USING (list_id)
WHERE prices.recorded_at > {after}
"""

# An item's version as an engine row: its terms, and the subscription's end and cancellation as they stand
# now, or those the item ended with before its subscription came back.
VERSIONS = """
WITH numbered AS (
  SELECT *, row_number() OVER (PARTITION BY item_id ORDER BY recorded_at, version_id) AS version_no
  FROM engine_item_versions
), facts AS (
  SELECT
    numbered.*, items.subscription_id, items.customer_id, subscriptions.trial_ends_on,
    coalesce(items.ended_on, subscriptions.ends_on) AS ends_on,
    CASE WHEN items.ended_on IS NULL THEN subscriptions.cancel_requested_on ELSE items.end_requested_on END
      AS cancel_requested_on,
    CASE WHEN items.ended_on IS NULL THEN subscriptions.cancel_reason ELSE items.end_reason END
      AS cancel_reason, subscriptions.contract_id,
    subscriptions.changed_at AS subscription_changed_at, lists.currency, plan_versions."interval" AS iso
  FROM numbered
  JOIN engine_items AS items USING (item_id)
  JOIN engine_subscriptions AS subscriptions USING (subscription_id)
  JOIN engine_price_lists AS lists USING (list_id)
  JOIN engine_plan_versions AS plan_versions
    ON plan_versions.plan_id = numbered.plan_id AND plan_versions.version = numbered.plan_version
), with_terms AS (
  SELECT facts.*, terms.term_start, terms.term_end, terms.auto_renew, terms.notice_days
  FROM facts
  LEFT JOIN (
    SELECT
      contract_terms.contract_id, contract_terms.term_start, contract_terms.term_end,
      contract_terms.recorded_at AS term_recorded_at, contracts.auto_renew, contracts.notice_days
    FROM engine_contract_terms AS contract_terms JOIN engine_contracts AS contracts USING (contract_id)
  ) AS terms
    ON terms.contract_id = facts.contract_id
    AND terms.term_start <= facts.effective_start AND facts.effective_start < terms.term_end
)
SELECT
  item_id AS subscription_item_id, version_no, subscription_id, customer_id, plan_id, price_id,
  recurring_minor AS amount_minor, currency, {interval} AS "interval", {interval_count} AS interval_count,
  {quantity} AS quantity, committed_minimum_minor, {status} AS status, effective_start AS valid_from,
  {valid_to} AS valid_to, term_start, term_end, (term_end - notice_days::INTEGER) AS notice_by_on, auto_renew,
  CASE WHEN phase IN ('trial', 'paid_trial') THEN trial_ends_on END AS trial_end_on,
  {cancellation}, {is_deleted} AS is_deleted, {recorded_at} AS recorded_at
FROM with_terms
WHERE {chosen} AND {recorded_at} > {after}
"""

RUNNING = """CASE WHEN pause = 'overdue' THEN 'past_due' WHEN pause IS NOT NULL THEN 'paused'
  WHEN phase IN ('trial', 'paid_trial') THEN 'trialing' ELSE 'active' END"""
NO_CANCELLATION = (
    """NULL::DATE AS cancel_requested_on, NULL::VARCHAR AS cancel_reason, NULL::VARCHAR AS end_cause"""
)
CANCELLATION = """cancel_requested_on, cancel_reason,
  CASE WHEN ends_on IS NOT NULL AND effective_start < ends_on AND coalesce(effective_end, ends_on) >= ends_on
    THEN CASE cancel_reason WHEN 'payment' THEN 'involuntary' WHEN 'merge' THEN 'merge'
      WHEN 'migration' THEN 'migration' ELSE 'voluntary' END
  END AS end_cause"""
VERSION_KEY = ("subscription_item_id", "version_no")

# A discount runs on an item while the item's live versions name it; one that a payer was given, on all the
# payer pays for in that time. One that counts its uses runs for that many intervals. A document's fixed
# amount is shared over the items it covers by their recurring amounts. What a payer was given again is told
# apart by its first day.
DISCOUNTS = """
WITH named AS (
  SELECT
    versions.*, unnest(string_split(versions.discount_ids, ',')) AS discount_id,
    generate_subscripts(string_split(versions.discount_ids, ','), 1) AS position
  FROM engine_item_versions AS versions
  WHERE versions.discount_ids <> '' AND versions.superseded_at IS NULL
), lives AS (
  SELECT
    item_id, min(effective_start) AS first_day,
    CASE WHEN bool_or(effective_end IS NULL) THEN NULL ELSE max(effective_end) END AS last_day,
    arg_max(recurring_minor, effective_start) AS recurring_minor,
    arg_max(plan_id, effective_start) AS plan_id, arg_max(plan_version, effective_start) AS plan_version,
    max(recorded_at) AS recorded_at
  FROM engine_item_versions WHERE superseded_at IS NULL GROUP BY item_id
), given AS (
  SELECT *, row_number() OVER (PARTITION BY customer_id, discount_id ORDER BY valid_start) AS time_no
  FROM engine_customer_discounts
), covered AS (
  SELECT
    discount_id, discount_id AS called, item_id, NULL::VARCHAR AS payer_id, min(effective_start) AS first_day,
    CASE WHEN bool_or(effective_end IS NULL) THEN NULL ELSE max(effective_end) END AS last_day,
    min(position) AS position, arg_max(recurring_minor, effective_start) AS recurring_minor,
    arg_max(plan_id, effective_start) AS plan_id, arg_max(plan_version, effective_start) AS plan_version,
    max(recorded_at) AS recorded_at
  FROM named GROUP BY discount_id, item_id
  UNION ALL
  SELECT
    given.discount_id, given.discount_id || CASE WHEN time_no > 1 THEN ' ' || given.valid_start ELSE '' END,
    lives.item_id, given.customer_id, greatest(lives.first_day, given.valid_start),
    least(lives.last_day, given.valid_end), 1000, lives.recurring_minor, lives.plan_id, lives.plan_version,
    max(greatest(lives.recorded_at, given.changed_at)) OVER (
      PARTITION BY given.customer_id, given.discount_id, given.valid_start)
  FROM given
  JOIN engine_subscriptions AS subscriptions ON subscriptions.bill_to = given.customer_id
  JOIN engine_items AS items USING (subscription_id)
  JOIN lives USING (item_id)
), dated AS (
  SELECT
    covered.*, coalesce(covered.payer_id, items.customer_id) AS customer_id,
    discounts.discount_ppm, discounts.amount_minor, discounts.currency,
    discounts.times, discounts.scope, plan_versions."interval" AS iso,
    greatest(covered.recorded_at, discounts.recorded_at) AS known_at,
    greatest(covered.first_day, discounts.valid_start) AS valid_from,
    least(covered.last_day, discounts.valid_end) AS ends_by
  FROM covered
  JOIN engine_discounts AS discounts USING (discount_id)
  JOIN engine_items AS items USING (item_id)
  JOIN engine_plan_versions AS plan_versions
    ON plan_versions.plan_id = covered.plan_id AND plan_versions.version = covered.plan_version
), weighed AS (
  SELECT
    *, sum(recurring_minor) OVER whole AS weight, row_number() OVER (whole ORDER BY item_id) AS place
  FROM dated WINDOW whole AS (PARTITION BY called, customer_id)
), floored AS (
  SELECT
    *,
    CASE WHEN scope <> 'document' THEN amount_minor
      WHEN weight = 0 THEN CASE WHEN place = 1 THEN amount_minor ELSE 0 END
      ELSE (amount_minor::HUGEINT * recurring_minor // weight)::BIGINT END AS share,
    CASE WHEN scope = 'document' AND weight > 0 THEN amount_minor::HUGEINT * recurring_minor % weight
      ELSE 0 END AS rest
  FROM weighed
), shared AS (
  SELECT
    *,
    amount_minor - sum(share) OVER (PARTITION BY called, customer_id) AS missing,
    row_number() OVER (PARTITION BY called, customer_id ORDER BY rest DESC, item_id) AS turn
  FROM floored
), limited AS (
  SELECT
    *,
    least(ends_by, CASE
      WHEN times IS NULL THEN NULL
      WHEN {interval} = 'day' THEN valid_from + (times * {interval_count})::INTEGER
      WHEN {interval} = 'week' THEN valid_from + (7 * times * {interval_count})::INTEGER
      WHEN {interval} = 'month' THEN (valid_from + to_months((times * {interval_count})::INTEGER))::DATE
      ELSE (valid_from + to_months((12 * times * {interval_count})::INTEGER))::DATE
    END) AS valid_to
  FROM shared
)
SELECT
  called AS discount_id, item_id AS subscription_item_id, discount_ppm AS percent_ppm,
  (share + CASE WHEN scope = 'document' AND turn <= missing THEN 1 ELSE 0 END)::BIGINT AS amount_minor,
  CASE WHEN amount_minor IS NOT NULL THEN currency END AS currency,
  CASE WHEN times IS NULL THEN 'forever' WHEN times = 1 THEN 'once' ELSE 'repeating' END AS duration,
  valid_from, CASE WHEN valid_to IS NOT NULL THEN greatest(valid_from, valid_to) END AS valid_to,
  row_number() OVER (
    PARTITION BY item_id ORDER BY discount_ppm IS NULL, position, valid_from, called)::INTEGER AS order_no,
  known_at AS recorded_at
FROM limited WHERE known_at > {after}
"""

INVOICES = """
SELECT
  invoice_id, number AS invoice_no, customer_id, currency, state AS status, issued_on, due_on,
  net_minor, tax_minor, total_minor, voided_on, written_off_on, written_off_minor, changed_at AS recorded_at
FROM engine_invoices WHERE state <> 'draft' AND changed_at > {after}
"""

INVOICE_LINES = """
WITH uses AS (
  SELECT uses.line_id, sum(uses.amount_minor)::BIGINT AS once_minor
  FROM engine_discount_uses AS uses JOIN engine_discounts AS discounts USING (discount_id)
  WHERE discounts.times = 1 GROUP BY uses.line_id
)
SELECT
  lines.line_id, lines.invoice_id, lines.item_id AS subscription_item_id,
  CASE
    WHEN lines.kind = 'recurring' AND lines.entry = 'charge' AND lines.service_start = lines.reference_start
      AND lines.service_end = lines.reference_end THEN 'recurring'
    WHEN lines.kind = 'goods' AND lines.entry = 'charge' THEN 'recurring'
    WHEN lines.kind IN ('recurring', 'goods') THEN 'proration'
    WHEN lines.kind IN ('usage', 'true_up', 'rebate') THEN 'usage'
    ELSE lines.kind
  END AS kind,
  components.sku_id AS sku, {quantity} AS quantity, lines.service_start, lines.service_end, lines.net_minor,
  lines.discount_minor, coalesce(uses.once_minor, 0) AS once_discount_minor, lines.tax_minor,
  greatest(lines.recorded_at, invoices.recorded_at) AS recorded_at
FROM engine_line_items AS lines
JOIN engine_invoices AS invoices USING (invoice_id)
LEFT JOIN engine_components AS components USING (component_id)
LEFT JOIN uses USING (line_id)
WHERE invoices.state <> 'draft' AND invoices.changed_at > {after}
"""

CREDIT_NOTES = """
SELECT
  note_id AS credit_note_id, invoice_id, customer_id, issued_on, currency, net_minor, tax_minor, total_minor,
  recorded_at
FROM engine_credit_notes WHERE recorded_at > {after}
"""

CREDIT_NOTE_LINES = """
SELECT
  note_id || '-' || position AS line_id, note_id AS credit_note_id, line_id AS invoice_line_id,
  service_start, service_end, net_minor, tax_minor, recorded_at
FROM engine_credit_note_lines WHERE recorded_at > {after}
"""

PAYMENTS = """
SELECT
  payments.payment_id, attempts.attempt AS attempt_no, payments.customer_id, payments.currency,
  payments.amount_minor,
  CASE WHEN attempts.outcome = 'captured' THEN payments.fee_minor ELSE 0 END AS fee_minor,
  payments.kind, methods.kind AS method, attempts.outcome AS status,
  attempts.decline_code AS failure_code, payments.invoice_id,
  attempts.attempted_at, CASE WHEN attempts.outcome = 'captured' THEN payments.received_on END AS received_on,
  greatest(attempts.changed_at, CASE WHEN attempts.outcome = 'captured' THEN payments.changed_at END)
    AS recorded_at
FROM engine_payment_attempts AS attempts
JOIN engine_payments AS payments USING (payment_id)
LEFT JOIN engine_payment_methods AS methods
  ON methods.method_id = coalesce(attempts.method_id, payments.method_id)
WHERE greatest(attempts.changed_at, payments.changed_at) > {after}
"""

PAYMENT_METHODS = """
SELECT method_id, customer_id, kind, expires_on, valid_from, valid_to, changed_at AS recorded_at
FROM engine_payment_methods WHERE changed_at > {after}
"""

APPLICATIONS = """
SELECT application_id, source_kind, source_id, invoice_id, amount_minor, applied_on, recorded_at
FROM engine_applications WHERE recorded_at > {after}
"""

WRITE_OFFS = """
SELECT write_off_id, invoice_id, amount_minor, written_off_on, recorded_at
FROM engine_write_offs WHERE recorded_at > {after}
"""

REFUNDS = """
SELECT refunds.refund_id, refunds.payment_id, refunds.note_id AS credit_note_id, refunds.amount_minor,
  payments.currency, refunds.refunded_on, refunds.changed_at AS recorded_at
FROM engine_refunds AS refunds JOIN engine_payments AS payments USING (payment_id)
WHERE refunds.state = 'refunded' AND refunds.changed_at > {after}
"""

DISPUTES = """
SELECT disputes.dispute_id, disputes.payment_id, disputes.amount_minor, payments.currency, disputes.opened_on,
  disputes.closed_on, disputes.outcome, disputes.changed_at AS recorded_at
FROM engine_disputes AS disputes JOIN engine_payments AS payments USING (payment_id)
WHERE disputes.changed_at > {after}
"""

DUNNING_EVENTS = """
WITH attempts AS (
  SELECT
    payments.invoice_id, attempts.attempted_at, attempts.outcome,
    greatest(attempts.changed_at, cases.changed_at) AS changed_at, cases.closed_as,
    row_number() OVER by_time AS attempt_no,
    count(*) OVER whole AS attempts,
    count(*) FILTER (WHERE attempts.outcome = 'declined') OVER whole AS declines,
    max(greatest(attempts.changed_at, cases.changed_at)) OVER whole AS invoice_changed_at
  FROM engine_payment_attempts AS attempts
  JOIN engine_payments AS payments USING (payment_id)
  LEFT JOIN engine_dunning_cases AS cases USING (case_id)
  WHERE payments.invoice_id IS NOT NULL AND attempts.outcome NOT IN ('unknown', 'undone')
  WINDOW whole AS (PARTITION BY payments.invoice_id), by_time AS (
    PARTITION BY payments.invoice_id
    ORDER BY attempts.attempted_at, attempts.payment_id, attempts.attempt)
)
SELECT
  invoice_id, attempt_no::INTEGER AS attempt_no, attempted_at,
  CASE WHEN outcome = 'captured' THEN 'recovered'
    WHEN attempt_no = attempts AND closed_as IN ('canceled_for_payment', 'written_off') THEN 'exhausted'
    ELSE 'failed' END AS outcome,
  changed_at AS recorded_at
FROM attempts WHERE declines > 0 AND invoice_changed_at > {after}
"""

LEDGER_ENTRIES = """
SELECT
  lines.entry_id || '-' || lines.position AS entry_id,
  CASE lines.account WHEN 'tax_payable' THEN 'tax' WHEN 'bank' THEN 'cash' WHEN 'gateway_clearing' THEN 'cash'
    WHEN 'bad_debt' THEN 'write_off' WHEN 'bad_debt_recovered' THEN 'write_off'
    ELSE lines.account END AS account,
  entries.posted_on, lines.debit_minor - lines.credit_minor AS amount_minor, lines.currency, lines.invoice_id,
  lines.recorded_at
FROM engine_journal_lines AS lines JOIN engine_journal_entries AS entries USING (entry_id)
WHERE lines.recorded_at > {after}
"""

# Rated usage of a period is shared over its days by quantity, from running totals, so that the days add
# up to it.
# What was rated without any use (a flat fee) stands on the period's last day. Lines of a void invoice count
# no more: what stands for it has lines of its own. Where nothing does, the day says so with a zero, so that
# what was known of it before is superseded.
BILLED_USAGE = """billed AS (
  SELECT
    lines.item_id, components.meter_id, lines.service_start, lines.service_end,
    coalesce(sum(lines.net_minor) FILTER (WHERE invoices.state <> 'void'), 0)::HUGEINT AS net_minor,
    bool_or(invoices.state = 'void') AS has_void,
    max(CASE WHEN invoices.state = 'void' THEN invoices.changed_at ELSE lines.recorded_at END) AS billed_at,
    max(greatest(lines.recorded_at, invoices.changed_at)) AS moved_at
  FROM engine_line_items AS lines
  JOIN engine_components AS components USING (component_id)
  JOIN engine_invoices AS invoices USING (invoice_id)
  WHERE lines.kind = 'usage' AND invoices.state <> 'draft' AND components.meter_id IS NOT NULL
  GROUP BY ALL
)"""

# A day counts anew from the first one on that new use, or a newly billed period, can have moved. Periods that
# reach beyond that day are shared as wholes, so reading begins with the earliest of them.
MOVED_USAGE = """fresh AS (
  SELECT DISTINCT item_id, meter_id, occurred_on FROM engine_usage_events WHERE recorded_at > {after}
), moved AS (
  SELECT item_id, meter_id, min(first_day) AS first_day
  FROM (
    SELECT item_id, meter_id, occurred_on AS first_day FROM fresh
    UNION ALL
    SELECT item_id, meter_id, service_start FROM billed WHERE moved_at > {after}
    UNION ALL
    SELECT item_id, meter_id, service_start
    FROM billed JOIN fresh USING (item_id, meter_id)
    WHERE service_start <= occurred_on AND occurred_on < service_end
  )
  GROUP BY ALL
), asked AS (
  SELECT
    moved.item_id, moved.meter_id, moved.first_day,
    least(moved.first_day, min(billed.service_start)) AS read_from
  FROM moved LEFT JOIN billed
    ON billed.item_id = moved.item_id AND billed.meter_id = moved.meter_id
    AND billed.service_end > moved.first_day
  GROUP BY moved.item_id, moved.meter_id, moved.first_day
)"""

USAGE_DAYS = """
WITH {ctes}, days AS (
  SELECT
    events.item_id, events.meter_id, events.occurred_on, any_value(meters.scale) AS quantity_scale,
    CASE any_value(meters.aggregation)
      WHEN 'count' THEN count(*)::HUGEINT * any_value({power})
      WHEN 'unique_count' THEN count(DISTINCT events.dimension)::HUGEINT * any_value({power})
      WHEN 'max' THEN max(events.value_mantissa)::HUGEINT
      WHEN 'latest' THEN arg_max(events.value_mantissa, events.seq)::HUGEINT
      ELSE sum(events.value_mantissa)
    END AS quantity_mantissa,
    nullif(count(DISTINCT events.dimension), 0) AS active_users, max(events.recorded_at) AS recorded_at
  FROM {events} JOIN engine_meters AS meters ON meters.meter_id = events.meter_id
  GROUP BY ALL
), matched AS (
  SELECT
    coalesce(days.item_id, billed.item_id) AS item_id, coalesce(days.meter_id, billed.meter_id) AS meter_id,
    coalesce(days.occurred_on, billed.service_end - 1) AS occurred_on,
    coalesce(days.quantity_mantissa, 0) AS quantity_mantissa,
    coalesce(days.quantity_scale, 0) AS quantity_scale,
    days.active_users, greatest(days.recorded_at, billed.billed_at) AS recorded_at,
    billed.net_minor, billed.has_void, billed.service_start, billed.service_end
  FROM days FULL JOIN {periods} AS billed
    ON billed.item_id = days.item_id AND billed.meter_id = days.meter_id
    AND billed.service_start <= days.occurred_on AND days.occurred_on < billed.service_end
), running AS (
  SELECT
    *,
    sum(quantity_mantissa) OVER (whole ORDER BY occurred_on) AS up_to,
    sum(quantity_mantissa) OVER whole AS total,
    row_number() OVER (whole ORDER BY occurred_on DESC) AS from_last
  FROM matched WINDOW whole AS (PARTITION BY item_id, meter_id, service_start, service_end)
), shared AS (
  SELECT
    *,
    CASE WHEN net_minor IS NULL THEN NULL
      WHEN total = 0 THEN CASE WHEN from_last = 1 THEN net_minor ELSE 0 END
      ELSE sign(net_minor * up_to * total) * ((2 * abs(net_minor * up_to) + abs(total)) // (2 * abs(total)))
    END AS rated_up_to
  FROM running
)
SELECT
  item_id AS subscription_item_id, meter_id AS meter, occurred_on AS used_on,
  any_value({quantity}) AS quantity, sum(rated_minor)::BIGINT AS rated_minor,
  any_value(active_users) AS active_users, max(recorded_at) AS recorded_at
FROM (
  SELECT
    *,
    rated_up_to - CASE WHEN total = 0 THEN 0 ELSE coalesce(lag(rated_up_to) OVER (
      PARTITION BY item_id, meter_id, service_start, service_end ORDER BY occurred_on), 0) END AS rated_minor
  FROM shared
) AS day_shares
WHERE (quantity_mantissa <> 0 OR rated_minor <> 0 OR active_users IS NOT NULL OR has_void) AND {shown}
GROUP BY item_id, meter_id, occurred_on
"""
ALL_USAGE: Mapping[str, str] = {
    "ctes": BILLED_USAGE,
    "events": "engine_usage_events AS events",
    "periods": "billed",
    "shown": "true",
}
LATER_USAGE: Mapping[str, str] = {
    "ctes": f"{BILLED_USAGE}, {MOVED_USAGE}",
    "events": """engine_usage_events AS events JOIN asked
    ON asked.item_id = events.item_id AND asked.meter_id = events.meter_id
    AND events.occurred_on >= asked.read_from""",
    "periods": """(
    SELECT billed.* FROM billed JOIN asked USING (item_id, meter_id) WHERE service_end > first_day
  )""",
    "shown": """occurred_on >= (
    SELECT first_day FROM asked
    WHERE asked.item_id = day_shares.item_id AND asked.meter_id = day_shares.meter_id)""",
}

ISO = "regexp_extract(iso, 'P(\\d+)([DWMY])', {})"
INTERVAL = (
    f"CASE {ISO.format(2)} WHEN 'D' THEN 'day' WHEN 'W' THEN 'week' WHEN 'M' THEN 'month' ELSE 'year' END"
)
INTERVAL_COUNT = f"{ISO.format(1)}::INTEGER"
TENTHS = "[" + ", ".join(f"1e-{scale}::DECIMAL(13,12)" for scale in range(13)) + "]"
POWER = "[" + ", ".join(f"{10**scale}::BIGINT" for scale in range(13)) + "]"
QUANTITY = f"(quantity_mantissa::DECIMAL(19,0) * ({TENTHS})[quantity_scale + 1])::DECIMAL(38,12)"
PARTS: Mapping[str, str] = {
    "interval": INTERVAL,
    "interval_count": INTERVAL_COUNT,
    "quantity": QUANTITY,
    "power": f"({POWER})[meters.scale + 1]",
}


def _versions(**parts: str) -> str:
    query = VERSIONS
    for name, text in parts.items():
        query = query.replace("{" + name + "}", text)
    return query


def _filled(query: str, iso: str = "iso", **parts: str) -> str:
    """A query with its parts; `iso` is the column that holds the ISO 8601 interval."""
    whole = parts | {name: text.replace("iso", iso) for name, text in PARTS.items()}
    for name, text in whole.items():
        query = query.replace("{" + name + "}", text)
    return query


VERSIONS_AS_WRITTEN = _filled(
    VERSIONS,
    status=RUNNING,
    valid_to="effective_end",
    cancellation=NO_CANCELLATION,
    is_deleted="false",
    recorded_at="recorded_at",
    chosen="coalesce(superseded_at, subscription_changed_at) > recorded_at",
)
VERSIONS_THAT_HOLD = _filled(
    VERSIONS,
    status=f"CASE WHEN effective_start >= ends_on THEN 'canceled' ELSE {RUNNING} END",
    valid_to="CASE WHEN effective_start < ends_on THEN least(effective_end, ends_on) ELSE effective_end END",
    cancellation=CANCELLATION,
    is_deleted="false",
    recorded_at="greatest(recorded_at, subscription_changed_at)",
    chosen="superseded_at IS NULL",
)
VERSIONS_SUPERSEDED = _filled(
    VERSIONS,
    status=RUNNING,
    valid_to="effective_end",
    cancellation=NO_CANCELLATION,
    is_deleted="true",
    recorded_at="superseded_at",
    chosen="superseded_at IS NOT NULL",
)

TABLES: tuple[Table, ...] = (
    Table("customers", ("customer_id", "valid_from"), CUSTOMERS),
    Table("customer_parents", ("customer_id", "valid_from"), CUSTOMER_PARENTS),
    Table("plans", ("plan_id",), PLANS),
    Table("prices", ("price_id",), _filled(PRICES, iso='versions."interval"')),
    Table("subscription_versions", VERSION_KEY, VERSIONS_AS_WRITTEN, is_new_by_moment=True),
    Table("subscription_versions", VERSION_KEY, VERSIONS_THAT_HOLD),
    Table("subscription_versions", VERSION_KEY, VERSIONS_SUPERSEDED),
    Table("discounts", ("discount_id", "subscription_item_id"), _filled(DISCOUNTS)),
    Table("invoices", ("invoice_id",), INVOICES),
    Table("invoice_lines", ("line_id",), _filled(INVOICE_LINES)),
    Table("credit_notes", ("credit_note_id",), CREDIT_NOTES),
    Table("credit_note_lines", ("line_id",), CREDIT_NOTE_LINES),
    Table("payments", ("payment_id", "attempt_no"), PAYMENTS),
    Table("payment_methods", ("method_id",), PAYMENT_METHODS),
    Table("applications", ("application_id",), APPLICATIONS),
    Table("write_offs", ("write_off_id",), WRITE_OFFS),
    Table("refunds", ("refund_id",), REFUNDS),
    Table("disputes", ("dispute_id",), DISPUTES),
    Table("dunning_events", ("invoice_id", "attempt_no"), DUNNING_EVENTS),
    Table(
        "usage_days",
        ("subscription_item_id", "meter", "used_on"),
        _filled(USAGE_DAYS, **ALL_USAGE),
        later=_filled(USAGE_DAYS, **LATER_USAGE),
    ),
    Table("ledger_entries", ("entry_id",), LEDGER_ENTRIES),
)


def load(stage: Stage, config: SourceConfig) -> None:
    """Add what the database has learned since the last build to raw_billing.

    Raises SourceError when the database can't be opened or is not at the newest schema.
    """
    scanner, place = _database(config)
    connection = stage.connection
    _install(stage, scanner)
    kind = "sqlite" if scanner == "sqlite_scanner" else "postgres"
    try:
        connection.execute(f"ATTACH {quoted(place)} AS {SOURCE} (TYPE {kind}, READ_ONLY)")
    except duckdb.Error as error:
        raise _told(config, error) from error
    try:
        stage.progress("billing: reading the database")
        views = _create_views(connection, config, is_sqlite=kind == "sqlite")
        # the newest change of any table is the moment up to which this build knows
        until = _newest_change(connection, views)
        after = _watermark(stage, config)
        loads: dict[str, list[int]] = {}
        for table in TABLES:
            read, added = _add_new(stage, config, table, after)
            counts = loads.setdefault(table.name, [0, 0])
            counts[0] += read
            counts[1] += added
        _record(stage, config, loads)
        _set_watermark(stage, config, until)
        for view in views:
            connection.execute(f"DROP VIEW temp.{view}")
    except duckdb.Error as error:
        if is_disk_full(error):
            raise
        raise _told(config, error) from error
    finally:
        stage.after_commit.append(f"DETACH {SOURCE}")


def _told(config: SourceConfig, error: duckdb.Error) -> SourceError:
    """What is the matter with the database, and what to do."""
    text = str(error).strip().rstrip(".")
    if "is locked" in text or "database is busy" in text:
        cause = (
            "is locked: another program has it for itself. Wait until what writes there ends (a bill run, "
            "a backup, an open transaction), or close it"
        )
    elif "malformed" in text or "not a database" in text or "disk I/O error" in text:
        cause = (
            "is damaged. Bring it back from a backup, or save what can be read with `sqlite3 FILE .recover`"
        )
    elif isinstance(error, duckdb.BinderException | duckdb.CatalogException):
        cause = (
            "does not have the tables this version reads. Bring it to the newest schema with "
            "`tajdid billing migrate`"
        )
    else:
        cause = "can't be read. See that its server runs and that its address in company.toml is right"
    return SourceError(f"The billing database of '{config.name}' {cause}; then build again ({text}).")


def _database(config: SourceConfig) -> tuple[str, str]:
    """The scanner for the source's URL, and the database as that scanner is told it."""
    scheme, separator, rest = config.location.partition("://")
    scanner = SCANNERS.get(scheme.partition("+")[0])
    if not separator or scanner is None:
        raise SourceError(
            f"Source '{config.name}': {scheme} is no database we read; use sqlite:///file or postgresql://…"
        )
    if scanner == "postgres_scanner":
        return scanner, f"postgresql://{rest}"
    path = Path(rest.removeprefix("/"))
    if not path.is_file():
        raise SourceError(f"Source '{config.name}': the billing database {path} is not there.")
    return scanner, str(path)


def _install(stage: Stage, scanner: str) -> None:
    """Load DuckDB's scanner from its package, put once into the company's warehouse folder."""
    folder = stage.folder / "warehouse" / "extensions"
    folder.mkdir(parents=True, exist_ok=True)
    connection = stage.connection
    connection.execute(f"SET extension_directory = {quoted(str(folder))}")
    if not list(folder.rglob(f"{scanner}.duckdb_extension")):
        import_extension(scanner, con=connection)
    connection.execute(f"LOAD {scanner}")


def _create_views(
    connection: duckdb.DuckDBPyConnection, config: SourceConfig, *, is_sqlite: bool
) -> dict[str, list[str]]:
    """A temporary view per engine table, with instants and flags in their types; name to its columns."""
    rows = connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_catalog = ? "
        "AND table_schema IN ('main', 'public') ORDER BY table_name, ordinal_position",
        [SOURCE],
    ).fetchall()
    columns: dict[str, list[str]] = {}
    for table, column in rows:
        columns.setdefault(table, []).append(column)
    gone = missing(columns)
    if gone:
        raise SourceError(
            f"The billing database of '{config.name}' lacks {', '.join(gone)} (tables, and columns as "
            "table.column). Bring it to the newest schema with `tajdid billing migrate`; what was dropped or "
            "renamed by hand has to come back."
        )
    for table, names in columns.items():
        typed = ", ".join(_typed(name, is_sqlite=is_sqlite) for name in names)
        connection.execute(f'CREATE TEMP VIEW engine_{table} AS SELECT {typed} FROM {SOURCE}."{table}"')
    return {f"engine_{table}": names for table, names in columns.items()}


def _typed(column: str, *, is_sqlite: bool) -> str:
    """SQLite has no instants and no flags: the engine keeps the one as UTC text, the other as 0 and 1."""
    if is_sqlite and column.endswith("_at"):
        return f'"{column}"::TIMESTAMP AT TIME ZONE \'UTC\' AS "{column}"'
    if is_sqlite and (column.startswith("is_") or column == "auto_renew"):
        return f'"{column}"::BOOLEAN AS "{column}"'
    return f'"{column}"'


def _newest_change(connection: duckdb.DuckDBPyConnection, views: Mapping[str, list[str]]) -> datetime | None:
    moments = []
    for view, columns in views.items():
        moved = "changed_at" if "changed_at" in columns else "recorded_at"
        if moved in columns:
            moments.append(connection.execute(f"SELECT max({moved}) FROM {view}").fetchall()[0][0])
    known = [moment for moment in moments if moment is not None]
    return max(known) if known else None


def _watermark(stage: Stage, config: SourceConfig) -> str:
    rows = stage.connection.execute(
        "SELECT watermark FROM raw_meta.watermarks WHERE source_name = ? AND target_table = 'raw_billing'",
        [config.name],
    ).fetchall()
    if not rows or rows[0][0] is None:
        return BEGINNING
    moment = datetime.fromisoformat(rows[0][0]) - OVERLAP
    return f"'{moment.isoformat()}'::TIMESTAMPTZ"


def _set_watermark(stage: Stage, config: SourceConfig, until: datetime | None) -> None:
    """What the next build may skip: never what comes after this one, though a row may be dated later."""
    until = None if until is None else min(until, stage.built_at)
    stage.connection.execute(
        "DELETE FROM raw_meta.watermarks WHERE source_name = ? AND target_table = 'raw_billing'",
        [config.name],
    )
    stage.connection.execute(
        "INSERT INTO raw_meta.watermarks BY NAME SELECT ? AS source_name, 'raw_billing' AS target_table, "
        "? AS watermark, ? AS build_id, ?::TIMESTAMPTZ AS updated_at",
        [config.name, None if until is None else until.isoformat(), stage.build_id, stage.built_at],
    )


def _add_new(stage: Stage, config: SourceConfig, table: Table, after: str) -> tuple[int, int]:
    """Add the rows that are not known yet; returns how many were read, and how many of them added."""
    connection = stage.connection
    target = f"raw_billing.{table.name}"
    query = table.query if table.later is None or after == BEGINNING else table.later
    connection.execute(f"CREATE OR REPLACE TEMP TABLE arriving AS {query.replace('{after}', after)}")
    (read,) = connection.execute("SELECT count(*) FROM arriving").fetchall()[0]
    columns = [row[0] for row in connection.execute("DESCRIBE arriving").fetchall()]
    keys = ", ".join(table.key)
    values: dict[str, object] = {"source": config.name, "load": f"{stage.build_id}-{table.name}"}
    if table.is_new_by_moment:
        new = (
            f"SELECT arriving.* FROM arriving ANTI JOIN (SELECT {keys}, recorded_at FROM {target} "
            f"WHERE source_system = $source) AS known USING ({keys}, recorded_at)"
        )
    else:
        content = [name for name in columns if name not in ("recorded_at", *table.key)]
        same = " AND ".join(f'known."{name}" IS NOT DISTINCT FROM arriving."{name}"' for name in content)
        new = (
            f"SELECT arriving.* REPLACE ({recorded_after_known('$now')} AS recorded_at) FROM arriving "
            f"LEFT JOIN (SELECT * FROM {target} WHERE source_system = $source "
            f"QUALIFY row_number() OVER ({newest_of(table.key)}) = 1) AS known USING ({keys}) "
            f"WHERE known.source_system IS NULL OR NOT ({same})"
        )
        values["now"] = stage.built_at
    (added,) = connection.execute(
        f"INSERT INTO {target} BY NAME SELECT *, $source AS source_system, $load AS load_id FROM ({new})",
        values,
    ).fetchall()[0]
    connection.execute("DROP TABLE arriving")
    return read, added


def _record(stage: Stage, config: SourceConfig, loads: Mapping[str, list[int]]) -> None:
    for name, (read, added) in loads.items():
        load = Load(f"{stage.build_id}-{name}", f"raw_billing.{name}", f"table {name}", read, read, 0)
        stage.record(config, load, unchanged=read - added)
