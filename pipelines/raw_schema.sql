-- The tables a build starts from: what every source writes and staging reads. One place, so that a company
-- without a source still has its (empty) tables and every model builds. Column rules: docs/metrics.md, section 1.
-- Every source table ends with recorded_at (when our system learned it), source_system, load_id.

CREATE SCHEMA IF NOT EXISTS raw_billing;
CREATE SCHEMA IF NOT EXISTS raw_crm;
CREATE SCHEMA IF NOT EXISTS raw_orders;
CREATE SCHEMA IF NOT EXISTS raw_app;
CREATE SCHEMA IF NOT EXISTS raw_history;
CREATE SCHEMA IF NOT EXISTS raw_meta;

-- raw_billing: the engine's facts, or an import in their shape

CREATE TABLE IF NOT EXISTS raw_billing.customers (
  customer_id VARCHAR, name VARCHAR, country VARCHAR, currency VARCHAR, segment VARCHAR, acquisition_channel VARCHAR,
  is_test BOOLEAN, created_on DATE, valid_from DATE, valid_to DATE,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.customer_parents (
  customer_id VARCHAR, valid_from DATE, parent_customer_id VARCHAR, valid_to DATE,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.plans (
  plan_id VARCHAR, plan_name VARCHAR, plan_tier VARCHAR, is_add_on BOOLEAN,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.prices (
  price_id VARCHAR, plan_id VARCHAR, currency VARCHAR, price_mantissa BIGINT, price_scale INTEGER,
  "interval" VARCHAR, interval_count INTEGER, pricing_model VARCHAR, valid_from DATE, valid_to DATE,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.subscription_versions (
  subscription_item_id VARCHAR, version_no BIGINT, subscription_id VARCHAR, customer_id VARCHAR, plan_id VARCHAR,
  price_id VARCHAR, amount_minor BIGINT, currency VARCHAR, "interval" VARCHAR, interval_count INTEGER,
  quantity DECIMAL(38,12), committed_minimum_minor BIGINT, status VARCHAR, valid_from DATE, valid_to DATE,
  term_start DATE, term_end DATE, notice_by_on DATE, auto_renew BOOLEAN, trial_end_on DATE,
  cancel_requested_on DATE, cancel_reason VARCHAR, end_cause VARCHAR, is_deleted BOOLEAN,
  is_rebuilt BOOLEAN,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.discounts (
  discount_id VARCHAR, subscription_item_id VARCHAR, percent_ppm BIGINT, amount_minor BIGINT, currency VARCHAR,
  duration VARCHAR, valid_from DATE, valid_to DATE, order_no INTEGER,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.invoices (
  invoice_id VARCHAR, invoice_no VARCHAR, customer_id VARCHAR, currency VARCHAR, status VARCHAR, issued_on DATE,
  due_on DATE, net_minor BIGINT, tax_minor BIGINT, total_minor BIGINT, voided_on DATE, written_off_on DATE,
  written_off_minor BIGINT,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.invoice_lines (
  line_id VARCHAR, invoice_id VARCHAR, subscription_item_id VARCHAR, kind VARCHAR, sku VARCHAR,
  quantity DECIMAL(38,12), service_start DATE, service_end DATE, net_minor BIGINT, discount_minor BIGINT,
  once_discount_minor BIGINT, tax_minor BIGINT,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.credit_notes (
  credit_note_id VARCHAR, invoice_id VARCHAR, customer_id VARCHAR, issued_on DATE, currency VARCHAR,
  net_minor BIGINT, tax_minor BIGINT, total_minor BIGINT,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.credit_note_lines (
  line_id VARCHAR, credit_note_id VARCHAR, invoice_line_id VARCHAR, service_start DATE, service_end DATE,
  net_minor BIGINT, tax_minor BIGINT,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.payments (
  payment_id VARCHAR, attempt_no INTEGER, customer_id VARCHAR, currency VARCHAR, amount_minor BIGINT,
  fee_minor BIGINT, kind VARCHAR, method VARCHAR, status VARCHAR, failure_code VARCHAR, invoice_id VARCHAR,
  attempted_at TIMESTAMPTZ, received_on DATE,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.payment_methods (
  method_id VARCHAR, customer_id VARCHAR, kind VARCHAR, expires_on DATE, valid_from DATE, valid_to DATE,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.applications (
  application_id VARCHAR, source_kind VARCHAR, source_id VARCHAR, invoice_id VARCHAR, amount_minor BIGINT,
  applied_on DATE,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.write_offs (
  write_off_id VARCHAR, invoice_id VARCHAR, amount_minor BIGINT, written_off_on DATE,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.refunds (
  refund_id VARCHAR, payment_id VARCHAR, credit_note_id VARCHAR, amount_minor BIGINT, currency VARCHAR, refunded_on DATE,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.disputes (
  dispute_id VARCHAR, payment_id VARCHAR, amount_minor BIGINT, currency VARCHAR, opened_on DATE, closed_on DATE,
  outcome VARCHAR,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.dunning_events (
  invoice_id VARCHAR, attempt_no INTEGER, attempted_at TIMESTAMPTZ, outcome VARCHAR,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.usage_days (
  subscription_item_id VARCHAR, meter VARCHAR, used_on DATE, quantity DECIMAL(38,12), rated_minor BIGINT,
  active_users BIGINT,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.ledger_entries (
  entry_id VARCHAR, account VARCHAR, posted_on DATE, amount_minor BIGINT, currency VARCHAR, invoice_id VARCHAR,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_billing.fx_rates (
  rate_on DATE, from_currency VARCHAR, to_currency VARCHAR, rate DECIMAL(18,10), rate_set VARCHAR,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);

-- raw_crm: what a CRM exports, one CSV a table

CREATE TABLE IF NOT EXISTS raw_crm.accounts (
  account_id VARCHAR, customer_id VARCHAR, name VARCHAR, owner VARCHAR, csm VARCHAR, stage VARCHAR, segment VARCHAR,
  acquisition_channel VARCHAR, valid_from DATE, valid_to DATE,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_crm.contacts (
  contact_id VARCHAR, account_id VARCHAR, role VARCHAR, is_champion BOOLEAN, left_on DATE,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_crm.activities (
  activity_id VARCHAR, account_id VARCHAR, kind VARCHAR, happened_at TIMESTAMPTZ,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_crm.tickets (
  ticket_id VARCHAR, customer_id VARCHAR, opened_at TIMESTAMPTZ, closed_at TIMESTAMPTZ, priority VARCHAR,
  first_response_at TIMESTAMPTZ, csat INTEGER,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_crm.nps (
  response_id VARCHAR, customer_id VARCHAR, answered_on DATE, score INTEGER,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_crm.sales_marketing_costs (
  month DATE, channel VARCHAR, amount_minor BIGINT, currency VARCHAR,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_crm.gross_margins (
  month DATE, segment VARCHAR, margin_bp INTEGER,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);

-- raw_orders: one-off and repeat trade

CREATE TABLE IF NOT EXISTS raw_orders.orders (
  order_id VARCHAR, customer_id VARCHAR, ordered_at TIMESTAMPTZ, currency VARCHAR, is_credit BOOLEAN,
  credited_order_id VARCHAR, country VARCHAR,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_orders.order_lines (
  order_id VARCHAR, line_no BIGINT, sku VARCHAR, quantity DECIMAL(38,12), amount_minor BIGINT,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_orders.skus (
  sku VARCHAR, name VARCHAR, category VARCHAR, is_goods BOOLEAN,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);

-- raw_app: what people wrote about the company, from its app.db

CREATE TABLE IF NOT EXISTS raw_app.customer_actions (
  event_id VARCHAR, customer_id VARCHAR, action VARCHAR, owner VARCHAR, until_on DATE, channel VARCHAR, outcome VARCHAR,
  note VARCHAR, contacted_at TIMESTAMPTZ, next_on DATE, as_of DATE, model_id VARCHAR, play VARCHAR, undoes VARCHAR,
  recorded_by VARCHAR,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_app.customer_notes (
  note_id VARCHAR, version_no BIGINT, customer_id VARCHAR, body VARCHAR, is_deleted BOOLEAN, recorded_by VARCHAR,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_app.targets (
  target_id BIGINT, metric_id VARCHAR, month DATE, currency VARCHAR, segment VARCHAR, amount BIGINT,
  deleted_at TIMESTAMPTZ, deleted_by VARCHAR, recorded_by VARCHAR,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_app.annotations (
  annotation_id BIGINT, happened_on DATE, words VARCHAR, author_name VARCHAR,
  deleted_at TIMESTAMPTZ, deleted_by VARCHAR, recorded_by VARCHAR,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);
-- those that are shared with the team, and no others
CREATE TABLE IF NOT EXISTS raw_app.saved_views (
  view_id VARCHAR, name VARCHAR, page VARCHAR, parameters VARCHAR, owner_name VARCHAR, recorded_by VARCHAR,
  recorded_at TIMESTAMPTZ, source_system VARCHAR, load_id VARCHAR);

-- raw_meta: how the rows above came in, and under which definitions this build reads them

CREATE TABLE IF NOT EXISTS raw_meta.loads (
  load_id VARCHAR, build_id VARCHAR, source_name VARCHAR, source_kind VARCHAR, target_table VARCHAR, file_name VARCHAR,
  rows_read BIGINT, rows_accepted BIGINT, rows_rejected BIGINT, rows_unchanged BIGINT, note VARCHAR,
  started_at TIMESTAMPTZ, finished_at TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS raw_meta.rejects (
  load_id VARCHAR, target_table VARCHAR, file_name VARCHAR, row_number BIGINT, row_key VARCHAR, reason VARCHAR,
  column_name VARCHAR, original_row VARCHAR, amount_minor BIGINT, recorded_at TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS raw_meta.watermarks (
  source_name VARCHAR, target_table VARCHAR, watermark VARCHAR, build_id VARCHAR, updated_at TIMESTAMPTZ);
-- the files whose rows are in the warehouse now: rows of a file carry its load_id
CREATE TABLE IF NOT EXISTS raw_meta.files (
  source_name VARCHAR, file_name VARCHAR, target_table VARCHAR, content_hash VARCHAR, load_id VARCHAR,
  build_id VARCHAR, loaded_at TIMESTAMPTZ, columns VARCHAR[]);
-- what this build was made from (inputs, raw tables), so that an unchanged one is recognised
CREATE TABLE IF NOT EXISTS raw_meta.fingerprints (name VARCHAR, value VARCHAR);
CREATE TABLE IF NOT EXISTS raw_meta.currencies (code VARCHAR, exponent INTEGER);
-- one row per metric of models/metrics.yml
CREATE TABLE IF NOT EXISTS raw_meta.metrics (
  metric_id VARCHAR, label_en VARCHAR, label_ar VARCHAR, definition_en VARCHAR, definition_ar VARCHAR, formula VARCHAR,
  unit VARCHAR, good_direction VARCHAR, owner VARCHAR, model VARCHAR, numerator VARCHAR, denominator VARCHAR,
  settings VARCHAR, since_version VARCHAR);
-- one row: this build. Models read their clock and settings here, never from a variable, so one compiled text serves all.
CREATE TABLE IF NOT EXISTS raw_meta.build (
  build_id VARCHAR, company VARCHAR, as_of DATE, known_to TIMESTAMPTZ, built_at TIMESTAMPTZ, is_sample BOOLEAN,
  has_billing BOOLEAN, has_orders BOOLEAN, has_crm BOOLEAN);
-- one row: the metric policy in force (docs/metrics.md, section 2), defaults filled in
CREATE TABLE IF NOT EXISTS raw_meta.policy (
  definition_version VARCHAR, policy_hash VARCHAR, reporting_currency VARCHAR, reporting_timezone VARCHAR,
  constant_rate_set VARCHAR, mrr_source VARCHAR, week_factor VARCHAR, day_factor VARCHAR, discounts VARCHAR,
  zero_mrr VARCHAR, trials VARCHAR, "usage" VARCHAR, unpaid_incomplete VARCHAR, fx_movements VARCHAR, fx_retention VARCHAR,
  churn_at VARCHAR, snapshot VARCHAR, past_due_grace_days VARCHAR, pause VARCHAR, reactivation VARCHAR,
  late_renewal_days INTEGER, second_subscription VARCHAR, month_netting VARCHAR, logo_denominator VARCHAR,
  retention_window_months VARCHAR, grr_cap VARCHAR, quick_ratio_gain VARCHAR, ltv_churn_months INTEGER,
  ltv_horizon_months VARCHAR, cac_lag_quarters INTEGER, dso_method VARCHAR, min_customers INTEGER);
-- one row or none: how snapshots of repeat trade are cut, where a run asks for other days than a company's build
CREATE TABLE IF NOT EXISTS raw_meta.order_snapshots (
  horizon_days INTEGER, active_days INTEGER, first_snapshot_on DATE, step_days INTEGER, also_on DATE[]);
-- one row: whether this build made all rows anew or only those of touched customers (pipelines/increment.py), and why;
-- is_open while the models may be built as an increment on what the last build, as of since_as_of, left
CREATE TABLE IF NOT EXISTS raw_meta.increment (
  is_open BOOLEAN, is_full BOOLEAN, why VARCHAR, about VARCHAR, since_build_id VARCHAR, since_as_of DATE,
  touched_customers BIGINT, customers BIGINT);
CREATE TABLE IF NOT EXISTS raw_meta.touched_customers (customer_id VARCHAR);
CREATE TABLE IF NOT EXISTS raw_meta.past_due_days_before (
  subscription_item_id VARCHAR, valid_from DATE, valid_to DATE);
-- what the tests of this build said, one row a test
CREATE TABLE IF NOT EXISTS raw_meta.test_results (
  build_id VARCHAR, test_name VARCHAR, model VARCHAR, column_name VARCHAR, kind VARCHAR, status VARCHAR, failures BIGINT,
  message VARCHAR, seconds DOUBLE);

-- what the models of this build are, what each is made from, and what its tests read (pipelines/lineage.py)
CREATE TABLE IF NOT EXISTS raw_meta.models (
  model VARCHAR, schema_name VARCHAR, kind VARCHAR, description VARCHAR, parents VARCHAR[], sql VARCHAR);
CREATE TABLE IF NOT EXISTS raw_meta.model_columns (
  model VARCHAR, schema_name VARCHAR, column_name VARCHAR, position BIGINT, data_type VARCHAR, description VARCHAR);
CREATE TABLE IF NOT EXISTS raw_meta.test_models (test_name VARCHAR, model VARCHAR, asks VARCHAR);

-- raw_history: what was kept of earlier builds (pipelines/history.py); tables without files are made by no build

CREATE TABLE IF NOT EXISTS raw_history.metric_prints (
  build_id VARCHAR, printed_at TIMESTAMPTZ, definition_version VARCHAR, policy_hash VARCHAR, metric_id VARCHAR,
  month DATE, currency VARCHAR, segment VARCHAR, numerator DECIMAL(38, 16), denominator DECIMAL(38, 16), value DOUBLE
);
