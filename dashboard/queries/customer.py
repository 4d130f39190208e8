"""One customer: everything that is known of it, by its id and a page of rows at a time."""

from dashboard.queries import Query
from dashboard.queries.churn import GIVEN

# By id first, then by the beginning of the name, then by any part of it. `like` has its wildcards escaped.
SEARCH = Query(
    "customer_search",
    """
WITH found AS (
  SELECT customer_id, name, segment
  FROM warehouse.marts.dim_customers
  WHERE is_current AND (customer_id = $asked OR name ILIKE $like ESCAPE '\\')
  UNION
  SELECT orders.customer_id, orders.customer_id AS name, NULL AS segment
  FROM warehouse.marts.fct_second_orders AS orders
  WHERE orders.customer_id ILIKE $like ESCAPE '\\'
    AND NOT EXISTS (
      SELECT 1 FROM warehouse.marts.dim_customers AS customer WHERE customer.customer_id = orders.customer_id
    )
)
SELECT customer_id, name, segment
FROM found
ORDER BY customer_id = $asked DESC, starts_with(lower(name), lower($asked)) DESC, name, customer_id
LIMIT $limit
""",
)

# Whether there is anybody to find.
ANYBODY = Query(
    "any_customer_or_buyer",
    """
SELECT customer_id FROM warehouse.marts.dim_customers
UNION ALL
SELECT customer_id FROM warehouse.marts.fct_second_orders
LIMIT 1
""",
)

HEAD = Query(
    "customer_head",
    """
WITH known AS (
  SELECT customer_id, name, country, currency, segment, acquisition_channel, account_id, owner, csm, stage,
    parent_customer_id, created_on, is_test
  FROM warehouse.marts.dim_customers
  WHERE customer_id = $customer_id AND is_current
),
ordered AS (
  SELECT first_order_on FROM warehouse.marts.fct_second_orders WHERE customer_id = $customer_id
)
SELECT
  $customer_id AS customer_id,
  coalesce(known.name, $customer_id) AS name,
  known.country,
  known.segment,
  known.acquisition_channel,
  known.account_id,
  coalesce(known.csm, known.owner) AS owner,
  known.stage,
  known.parent_customer_id,
  coalesce(known.created_on, ordered.first_order_on) AS since_on,
  coalesce(known.is_test, false) AS is_test,
  known.customer_id IS NOT NULL AS is_billed,
  ordered.first_order_on IS NOT NULL AS has_orders
FROM (SELECT 1) AS one
LEFT JOIN known ON true
LEFT JOIN ordered ON true
WHERE known.customer_id IS NOT NULL OR ordered.first_order_on IS NOT NULL
""",
)

FAMILY = Query(
    "customer_family",
    """
SELECT customer_id, name, segment, country, customer_id = $parent_id AS is_parent
FROM warehouse.marts.dim_customers
WHERE is_current AND (customer_id = $parent_id OR parent_customer_id = coalesce($parent_id, $customer_id))
  AND customer_id <> $customer_id
ORDER BY is_parent DESC, name, customer_id
LIMIT $limit
""",
)

# MRR of the as-of day, one row a currency.
MRR_NOW = Query(
    "customer_mrr",
    """
SELECT spells.currency, sum(spells.mrr_native)::DECIMAL(38, 6) AS mrr, sum(spells.items)::BIGINT AS items,
  min(spells.valid_from) AS since_on
FROM warehouse.marts.fct_mrr_spells AS spells
CROSS JOIN warehouse.raw_meta.build AS build
WHERE spells.customer_id = $customer_id AND spells.valid_from <= build.as_of
  AND coalesce(spells.valid_to, DATE '9999-12-31') > build.as_of
GROUP BY spells.currency
ORDER BY mrr DESC, spells.currency
""",
)

# MRR at the close of each month, in the currency it is billed in, from the first spell on.
MRR_MONTHS = Query(
    "customer_mrr_months",
    """
WITH spells AS (
  SELECT currency, valid_from, coalesce(valid_to, DATE '9999-12-31') AS valid_to, mrr_native
  FROM warehouse.marts.fct_mrr_spells
  WHERE customer_id = $customer_id AND currency = $currency
),
closes AS (
  SELECT month::DATE AS month, least(last_day(month::DATE), build.as_of) AS closes_on
  FROM (SELECT $as_of::DATE AS as_of) AS build,
    generate_series(
      date_trunc('month', greatest((SELECT min(valid_from) FROM spells), build.as_of - INTERVAL 60 MONTH)),
      date_trunc('month', build.as_of),
      INTERVAL 1 MONTH
    ) AS months(month)
)
SELECT closes.month, coalesce(sum(spells.mrr_native), 0)::DECIMAL(38, 6) AS mrr
FROM closes
LEFT JOIN spells ON spells.valid_from <= closes.closes_on AND spells.valid_to > closes.closes_on
GROUP BY closes.month
ORDER BY closes.month
""",
    metric="mrr",
)

# One row per item the customer has paid for: what it is worth now, when it began, ended and comes up again.
SUBSCRIPTIONS = Query(
    "customer_subscriptions",
    """
WITH items AS (
  SELECT
    subscription_item_id,
    any_value(subscription_id) AS subscription_id,
    arg_max(plan_id, movement_on) FILTER (delta_native > 0) AS plan_id,
    any_value(currency) AS currency,
    min(movement_on) AS started_on,
    max(movement_on) AS changed_on,
    sum(delta_native)::DECIMAL(38, 6) AS mrr
  FROM warehouse.marts.fct_mrr_movements
  WHERE customer_id = $customer_id AND measure = 'mrr' AND NOT is_scheduled
  GROUP BY subscription_item_id
),
terms AS (
  SELECT subscription_item_id, min(due_on) AS renews_on, arg_min(notice_by_on, due_on) AS notice_by_on,
    arg_min(auto_renew, due_on) AS auto_renew, arg_min(cancel_requested_on, due_on) AS cancel_requested_on
  FROM warehouse.marts.fct_renewals
  WHERE customer_id = $customer_id AND outcome = 'undecided'
  GROUP BY subscription_item_id
)
SELECT items.subscription_item_id, items.subscription_id, terms.notice_by_on <= $as_of AS is_notice_over,
  coalesce(plans.plan_name, items.plan_id) AS plan,
  items.currency, items.mrr, items.started_on, if(items.mrr = 0, items.changed_on, NULL) AS ended_on,
  terms.renews_on, terms.notice_by_on, terms.auto_renew, terms.cancel_requested_on
FROM items
LEFT JOIN terms ON terms.subscription_item_id = items.subscription_item_id
LEFT JOIN warehouse.marts.dim_plans AS plans ON plans.plan_id = items.plan_id
WHERE items.currency = $currency
ORDER BY items.mrr = 0, items.mrr DESC, items.started_on DESC, items.subscription_item_id
""",
)

CURRENCIES = Query(
    "customer_currencies",
    """
SELECT currency
FROM (
  SELECT currency, max(valid_from) AS newest FROM warehouse.marts.fct_mrr_spells
  WHERE customer_id = $customer_id GROUP BY currency
  UNION ALL
  SELECT currency, max(issued_on) FROM warehouse.marts.fct_invoices
  WHERE customer_id = $customer_id GROUP BY currency
  UNION ALL
  SELECT currency, max(ordered_on) FROM warehouse.marts.fct_orders
  WHERE customer_id = $customer_id GROUP BY currency
)
GROUP BY currency
ORDER BY max(newest) DESC, currency
""",
)

INVOICES = Query(
    "customer_invoices",
    """
SELECT invoice_no, invoice_id, issued_on, due_on, status, total_minor, remaining_minor, settled_on,
  days_past_due
FROM warehouse.marts.fct_invoices
WHERE customer_id = $customer_id AND currency = $currency
ORDER BY issued_on DESC, invoice_no DESC, invoice_id
""",
)

# What paid, credited or took back invoices, and the charges that failed: money as it moved.
RECEIPTS = Query(
    "customer_receipts",
    """
SELECT events.event_on, events.event_kind, invoices.invoice_no, -events.amount_minor AS amount_minor
FROM warehouse.marts.fct_ar_events AS events
LEFT JOIN warehouse.marts.fct_invoices AS invoices
  ON invoices.invoice_id = events.invoice_id AND invoices.customer_id = $customer_id
WHERE events.customer_id = $customer_id AND events.currency = $currency AND events.event_kind <> 'invoiced'
ORDER BY events.event_on DESC, events.event_kind, events.source_id
""",
)

DUNNING = Query(
    "customer_dunning",
    """
SELECT dunning.first_failed_on, invoices.invoice_no, dunning.failed_minor, dunning.attempts, dunning.outcome,
  dunning.recovered_on, dunning.recovered_minor
FROM warehouse.marts.fct_dunning AS dunning
LEFT JOIN warehouse.marts.fct_invoices AS invoices
  ON invoices.invoice_id = dunning.invoice_id AND invoices.customer_id = $customer_id
WHERE dunning.customer_id = $customer_id AND dunning.currency = $currency
ORDER BY dunning.first_failed_on DESC, dunning.invoice_id
""",
)

# What the month ends knew of use and support; null where no feed says.
USAGE = Query(
    "customer_usage",
    """
SELECT as_of, seats, active_users_28, seat_use, active_days_28, days_since_use, tickets_90, open_urgent,
  csat_last, nps_last, no_usage_feed
FROM warehouse.marts.fct_account_snapshots
WHERE customer_id = $customer_id
ORDER BY as_of DESC
LIMIT $limit
""",
)

# The first of the last days that were scored, so many of them, and whether there are more.
SCORED_SINCE = Query(
    "customer_scored_since",
    """
WITH days AS (
  SELECT DISTINCT as_of FROM warehouse.churn.churn_scorings
),
newest AS (
  SELECT as_of FROM days ORDER BY as_of DESC LIMIT $limit
)
SELECT min(as_of) AS since, count(*) < (SELECT count(*) FROM days) AS is_more FROM newest
""",
)

# The scores of a day lie together, in the order of the customers: of each day that is asked for few rows are
# looked through, and of no day before.
RISK_HISTORY = Query(
    "customer_risk_history",
    """
SELECT as_of, model_id, score_kind, p_90, rule_points, band_fixed, cause, revenue_at_risk_90_minor, currency,
  reason_1.sentence_en AS reason_en, reason_1.sentence_ar AS reason_ar,
  reason_2.sentence_en AS reason_2_en, reason_2.sentence_ar AS reason_2_ar,
  reason_3.sentence_en AS reason_3_en, reason_3.sentence_ar AS reason_3_ar
FROM warehouse.churn.churn_scores
WHERE customer_id = $customer_id AND as_of >= $since
ORDER BY as_of DESC, scored_at DESC
LIMIT $limit
""",
)

# The newest score by the model in use; none where the customer was not scored then.
SCORE = Query(
    "customer_score",
    f"""
WITH {GIVEN.strip()}
SELECT as_of, model_id, p_90, rule_points, band_fixed, cause, recommended_play, play_en, play_ar, play_owner,
  due_on, in_holdout, list_name, decision_on, revenue_at_risk_90_minor, currency,
  coalesce(p_cause_90, p_90) AS p_cause_90, p_reference,
  [reason_1, reason_2, reason_3] AS reasons
FROM given
WHERE customer_id = $customer_id
ORDER BY commitment_class = 'non_contract'
LIMIT 1
""",
)

ORDERS = Query(
    "customer_orders",
    """
SELECT order_id, ordered_on, is_credit, lines, skus, net_minor
FROM warehouse.marts.fct_orders
WHERE customer_id = $customer_id AND currency = $currency
ORDER BY ordered_on DESC, order_id DESC
""",
)

CADENCE = Query(
    "customer_cadence",
    """
SELECT purchase_days, first_purchase_on, last_purchase_on, median_gap_days, gaps, regular_gaps,
  regular_gap_share_bp, days_since_last, next_expected_on, net_spend_minor
FROM warehouse.marts.fct_customer_cadence
WHERE customer_id = $customer_id AND currency = $currency
""",
)

REORDERS = Query(
    "customer_reorders",
    """
SELECT sku, coalesce(sku_name, sku) AS article, purchase_days, last_purchase_on, median_gap_days,
  days_since_last, next_expected_on, net_spend_minor
FROM warehouse.marts.fct_reorder_cadence
WHERE customer_id = $customer_id AND currency = $currency
ORDER BY net_spend_minor DESC, sku
""",
)

# What the CRM logged, newest first.
CRM_ACTIVITIES = Query(
    "customer_crm_activities",
    """
SELECT happened_at, kind, account_id, activity_id
FROM warehouse.marts.fct_crm_activities
WHERE customer_id = $customer_id
ORDER BY happened_at DESC, activity_id
""",
)

# Everything with a day, newest first: what happened (`kind`), in codes (`code`), to what (`about`), how much.
TIMELINE = Query(
    "customer_timeline",
    """
WITH happened AS (
  SELECT movement_on AS happened_on, 'mrr' AS kind, category AS code, any_value(reason) AS about,
    sum(delta_native)::DECIMAL(38, 6) AS amount, currency, NULL AS invoice_no
  FROM warehouse.marts.fct_mrr_movements
  WHERE customer_id = $customer_id AND measure = 'mrr' AND NOT is_scheduled
  GROUP BY movement_on, category, currency
  HAVING sum(delta_native) <> 0
  UNION ALL
  SELECT issued_on, 'invoice', status, NULL, total_minor, currency, invoice_no
  FROM warehouse.marts.fct_invoices WHERE customer_id = $customer_id
  UNION ALL
  SELECT events.event_on, 'payment', events.event_kind, NULL, -events.amount_minor, events.currency,
    invoices.invoice_no
  FROM warehouse.marts.fct_ar_events AS events
  LEFT JOIN warehouse.marts.fct_invoices AS invoices
    ON invoices.invoice_id = events.invoice_id AND invoices.customer_id = $customer_id
  WHERE events.customer_id = $customer_id AND events.event_kind <> 'invoiced'
  UNION ALL
  SELECT dunning.first_failed_on, 'dunning', dunning.outcome, NULL, dunning.failed_minor, dunning.currency,
    invoices.invoice_no
  FROM warehouse.marts.fct_dunning AS dunning
  LEFT JOIN warehouse.marts.fct_invoices AS invoices
    ON invoices.invoice_id = dunning.invoice_id AND invoices.customer_id = $customer_id
  WHERE dunning.customer_id = $customer_id
  UNION ALL
  SELECT renewals.decided_on, 'renewal', renewals.outcome, coalesce(plans.plan_name, renewals.plan_id),
    renewals.mrr_before, renewals.currency, NULL
  FROM warehouse.marts.fct_renewals AS renewals
  LEFT JOIN warehouse.marts.dim_plans AS plans ON plans.plan_id = renewals.plan_id
  WHERE renewals.customer_id = $customer_id AND renewals.decided_on IS NOT NULL
  UNION ALL
  SELECT coalesce(cancellations.requested_on, cancellations.effective_on), 'cancellation',
    cancellations.state, coalesce(plans.plan_name, cancellations.plan_id), cancellations.mrr_before,
    cancellations.currency, NULL
  FROM warehouse.marts.fct_cancellations AS cancellations
  LEFT JOIN warehouse.marts.dim_plans AS plans ON plans.plan_id = cancellations.plan_id
  WHERE cancellations.customer_id = $customer_id
  UNION ALL
  SELECT as_of, 'score', band_fixed, if($lang = 'ar', reason_1.sentence_ar, reason_1.sentence_en), NULL, NULL,
    NULL
  FROM warehouse.churn.churn_scores WHERE customer_id = $customer_id AND as_of >= $since
  UNION ALL
  SELECT happened_on, 'crm', kind, NULL, NULL, NULL, NULL
  FROM warehouse.marts.fct_crm_activities WHERE customer_id = $customer_id
  UNION ALL
  SELECT ordered_on, if(is_credit, 'credit', 'order'), NULL, order_id, net_minor, currency, NULL
  FROM warehouse.marts.fct_orders WHERE customer_id = $customer_id
  UNION ALL
  SELECT unnest($written_on::DATE[]), unnest($written_kinds::VARCHAR[]), NULL,
    unnest($written_words::VARCHAR[]), NULL, NULL, NULL
)
SELECT happened_on, kind, code, about, amount::DECIMAL(38, 6) AS amount, currency, invoice_no
FROM happened
WHERE happened_on IS NOT NULL
ORDER BY happened_on DESC, kind, about, invoice_no
""",
)
