"""The identities of the warehouse see a broken rule: a few letters of a model change, and its test fails."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pytest
from eventful_history import eventful_history, moving_rates
from subscription_models import models, warehouse

from pipelines.compiled import Model, needed
from tajdid.conformance.analytics_models import compiled_tests


@dataclass(frozen=True)
class Mutation:
    """A rule in words, the text of a model that says it, what breaks it, and the test that must see it."""

    rule: str
    model: str
    text: str
    replacement: str
    seen_by: str


MUTATIONS = (
    # the value of an item
    Mutation(
        "a week is the 52nd part of a year",
        "int_item_versions",
        "when 'week' then policy.week_n",
        "when 'week' then 4 * policy.week_d",
        "assert_item_values_follow_their_amounts",
    ),
    Mutation(
        "a quarter has three months",
        "int_item_versions",
        "end::hugeint * stretches.interval_count as factor_d",
        "end::hugeint as factor_d",
        "assert_item_values_follow_their_amounts",
    ),
    Mutation(
        "tax is no recurring amount",
        "int_item_versions",
        "(stretches.amount_minor + stretches.committed_minimum_minor)",
        "(stretches.amount_minor + stretches.amount_minor * 19 // 100 + stretches.committed_minimum_minor)",
        "assert_item_values_follow_their_amounts",
    ),
    Mutation(
        "a committed minimum counts",
        "int_item_versions",
        "(stretches.amount_minor + stretches.committed_minimum_minor)",
        "(stretches.amount_minor)",
        "assert_item_values_follow_their_amounts",
    ),
    Mutation(
        "a discount that is taken once is not recurring",
        "int_item_versions",
        "and duration <> 'once'",
        "",
        "assert_item_values_follow_their_amounts",
    ),
    Mutation(
        "discounts are taken in their order",
        "int_item_versions",
        "order by order_no, discount_id",
        "order by order_no desc, discount_id",
        "assert_item_values_follow_their_amounts",
    ),
    Mutation(
        "discounts stop at zero",
        "int_item_versions",
        "\n          0::hugeint)",
        "\n          -1000000000000000000::hugeint)",
        "assert_item_values_follow_their_amounts",
    ),
    Mutation(
        "a discount ends on its last day",
        "int_item_versions",
        "lambda one: one.valid_from <= valid_from and one.valid_to > valid_from",
        "lambda one: one.valid_from <= valid_from and one.valid_to >= valid_from",
        "assert_item_values_follow_their_amounts",
    ),
    # what counts
    Mutation(
        "a trial is not in MRR",
        "int_item_versions",
        "when status = 'trialing' and policy.trials = 'out' then 'trial'",
        "",
        "assert_only_payers_count",
    ),
    Mutation(
        "a pause takes an item out",
        "int_item_versions",
        "when status = 'paused' and policy.pause <> 'pause_ignored' then 'paused'",
        "",
        "assert_only_payers_count",
    ),
    Mutation(
        "below one minor unit a month is no payer",
        "int_item_versions",
        "when net_mrr < 1 then 'no_amount'",
        "when net_mrr <= 0 then 'no_amount'",
        "assert_only_payers_count",
    ),
    Mutation(
        "lateness counts from the day after the grace period",
        "int_past_due_days",
        "greatest(balances.valid_from, balances.due_on + policy.days_in_mrr + 1)",
        "greatest(balances.valid_from, balances.due_on + policy.days_in_mrr)",
        "assert_late_items_are_out_of_mrr",
    ),
    Mutation(
        "lateness by status counts from the first of its days",
        "int_past_due_days",
        "lag(valid_to) over by_day is distinct from valid_from as is_first",
        "true as is_first",
        "assert_late_items_are_out_of_mrr",
    ),
    Mutation(
        "a paid invoice makes nobody late",
        "int_past_due_days",
        "cross join policy\n  where balances.unpaid_minor > 0",
        "cross join policy\n  where balances.unpaid_minor >= 0",
        "assert_late_items_are_out_of_mrr",
    ),
    Mutation(
        "a segment holds from its first day",
        "int_item_versions",
        "greatest(of_units.valid_from, attributes.valid_from) as valid_from",
        "of_units.valid_from as valid_from",
        "assert_item_versions_do_not_overlap",
    ),
    Mutation(
        "a stretch has a length",
        "int_item_versions",
        "and attributes.valid_from < of_units.valid_to",
        "and attributes.valid_from <= of_units.valid_to",
        "assert_item_versions_do_not_overlap",
    ),
    # the log
    Mutation(
        "what enters a cell is what left the other",
        "int_item_steps",
        "when 'entered' then mrr_0",
        "when 'entered' then mrr_1",
        "assert_mrr_log_equals_valid_items",
    ),
    Mutation(
        "a trial ends when it is paid",
        "int_item_steps",
        "when 'trial_changed' then trial_1 - trial_0",
        "when 'trial_changed' then trial_1",
        "assert_mrr_log_equals_valid_items",
    ),
    Mutation(
        "the effect of quantity is at the new quantity",
        "int_item_steps",
        "(2 * (amount_0 // 1000000) * cast(quantity_1 * 1000000 as hugeint)",
        "(2 * (amount_0 // 1000000) * cast(quantity_0 * 1000000 as hugeint)",
        "assert_movements_have_their_reason",
    ),
    Mutation(
        "the effect of price is before the discounts change",
        "int_item_steps",
        "mrr_1 - mrr_0 - by_quantity - by_price",
        "mrr_1 - by_quantity - by_price",
        "assert_mrr_log_equals_valid_items",
    ),
    Mutation(
        "a pause is named",
        "int_item_steps",
        "when has_later and why_not_1 = 'paused' then 'pause'",
        "",
        "assert_movements_have_their_reason",
    ),
    Mutation(
        "a converted trial is named",
        "int_item_steps",
        "when why_not_0 = 'trial' then 'trial_converted'",
        "",
        "assert_movements_have_their_reason",
    ),
    Mutation(
        "a full discount is named",
        "int_item_steps",
        "when has_later and why_not_1 = 'fully_discounted' then 'fully_discounted'",
        "",
        "assert_movements_have_their_reason",
    ),
    Mutation(
        "another plan is named before another interval",
        "int_item_steps",
        "when is_plan_change then 'plan_change'",
        "when is_plan_change and not is_interval_change then 'plan_change'",
        "assert_movements_have_their_reason",
    ),
    Mutation(
        "who does not pay leaves involuntarily",
        "int_item_steps",
        "when reason = 'past_due' then 'involuntary'",
        "",
        "assert_movements_have_their_reason",
    ),
    Mutation(
        "a merge is no cancellation",
        "int_item_steps",
        "when end_cause in ('merge', 'migration') then end_cause",
        "when end_cause in ('migration') then end_cause",
        "assert_movements_have_their_reason",
    ),
    Mutation(
        "a renewal within 30 days is late, the 30th included",
        "fct_mrr_movements",
        "<= policy.late_renewal_days",
        "< policy.late_renewal_days",
        "assert_movements_have_their_reason",
    ),
    Mutation(
        "the as-of day itself is known",
        "fct_mrr_movements",
        "steps.changed_on > build.as_of as is_scheduled",
        "steps.changed_on >= build.as_of as is_scheduled",
        "assert_movement_effects_telescope",
    ),
    # customers
    Mutation(
        "whoever paid before returns",
        "int_customer_days",
        "rows between unbounded preceding and 1 preceding",
        "rows between 1 preceding and 1 preceding",
        "assert_new_customers_are_new",
    ),
    Mutation(
        "a customer opens where it closed",
        "int_customer_days",
        "balances.closing - balances.delta - balances.transferred as opening,",
        "balances.closing - balances.delta as opening,",
        "assert_customers_open_where_they_closed",
    ),
    Mutation(
        "a month asks who paid before it",
        "fct_customer_month_changes",
        "arg_min(had_mrr_before, changed_on) as had_mrr_before",
        "arg_max(had_mrr_before, changed_on) as had_mrr_before",
        "assert_new_customers_are_new",
    ),
    Mutation(
        "a customer's month ends with its last day of change",
        "fct_customer_month_changes",
        "arg_max(closing, changed_on) as closing",
        "max(closing) as closing",
        "assert_mrr_months_equal_customers",
    ),
    Mutation(
        "a customer stands where it pays most",
        "int_customer_month_cells",
        "first(cell order by mrr desc, cell)",
        "first(cell order by mrr, cell)",
        "assert_customers_open_where_they_closed",
    ),
    Mutation(
        "a customer that changes its segment leaves the old one",
        "fct_customer_days",
        "before.segment as segment_before",
        "after.segment as segment_before",
        "assert_customer_days_equal_months",
    ),
    # months, days and rates
    Mutation(
        "a movement is booked at the opening rate",
        "fct_mrr_movements",
        "coalesce(day_rates.rate, booked.opening_rate, named.constant_rate)",
        "coalesce(day_rates.rate, booked.closing_rate, named.constant_rate)",
        "assert_movements_are_booked_at_the_opening_rate",
    ),
    Mutation(
        "currency moves what was there from the opening rate to the closing one",
        "fct_mrr_months",
        "running.closing * rates.closing_rate - (running",
        "running.closing * rates.opening_rate - (running",
        "assert_mrr_bridge_closes",
    ),
    Mutation(
        "the rate of the closing day counts",
        "int_month_rates",
        "daily.rate_on <= opening.closed_on",
        "daily.rate_on < opening.closed_on",
        "assert_month_rates_are_those_of_the_day",
    ),
    Mutation(
        "a month opens at the rate of the day before it",
        "int_month_rates",
        "daily.rate_on <= opening.opened_on",
        "daily.rate_on <= opening.closed_on",
        "assert_month_rates_are_those_of_the_day",
    ),
    Mutation(
        "what is scheduled is in no month",
        "int_mrr_month_changes",
        "where not movements.is_scheduled\n    and movements.month",
        "where movements.month",
        "assert_mrr_months_equal_log",
    ),
    Mutation(
        "a month reports the netted category of its customer",
        "int_mrr_month_changes",
        "else month_category",
        "else category",
        "assert_mrr_months_equal_customers",
    ),
    Mutation(
        "what nets to nothing leaves one cell and enters another",
        "int_mrr_month_changes",
        "case when sum(delta_native) > 0 then 'entered' else 'left' end",
        "case when sum(delta_native) > 0 then 'left' else 'entered' end",
        "assert_moved_mrr_sums_to_zero",
    ),
    Mutation(
        "what is exchanged for another currency enters there",
        "int_mrr_month_changes",
        "where category = 'none'",
        "where category = 'none' and currency <> 'GBP'",
        "assert_moved_mrr_sums_to_zero",
    ),
    Mutation(
        "list MRR is before the discounts",
        "fct_mrr_months",
        "(running.closing + running.discount)",
        "(running.closing)",
        "assert_mrr_months_equal_valid_items",
    ),
    Mutation(
        "a month is seen at the close of its last day",
        "int_report_months",
        "interval 1 month)::date - 1",
        "interval 1 month)::date",
        "assert_spells_equal_months",
    ),
    Mutation(
        "the MRR of a day is without trials",
        "fct_mrr_days",
        "sum(delta_native) filter (where measure = 'mrr') as mrr_change",
        "sum(delta_native) as mrr_change",
        "assert_mrr_days_equal_valid_items",
    ),
    Mutation(
        "a spell lasts until the next change",
        "fct_mrr_spells",
        "lead(movement_on) over by_day as valid_to",
        "lead(movement_on, 2) over by_day as valid_to",
        "assert_spells_equal_months",
    ),
    Mutation(
        "a customer's spell is over on its last day",
        "fct_customer_month_balances",
        "or rates.month < spells.until_month",
        "or rates.month <= spells.until_month",
        "assert_expanded_months_equal_cells",
    ),
    Mutation(
        "a balance is at the rate of its day",
        "fct_customer_month_balances",
        "sum(spells.mrr_native * rates.closing_rate)",
        "sum(spells.mrr_native * rates.opening_rate)",
        "assert_expanded_months_equal_cells",
    ),
    Mutation(
        "a month without a change opens where the last change closed",
        "fct_customer_months",
        "then changes.opening_mrr else changes.closing_mrr end",
        "then changes.opening_mrr else changes.opening_mrr end",
        "assert_expanded_months_equal_cells",
    ),
    # retention and cohorts
    Mutation(
        "GRR is capped customer by customer",
        "fct_retention",
        "sum(sign * least(start_mrr, end_mrr)) as kept_mrr",
        "least(sum(sign * start_mrr), sum(sign * end_mrr)) as kept_mrr",
        "assert_retention_equals_customers",
    ),
    Mutation(
        "a returner was away within the window",
        "fct_retention",
        "(ends.paying_since_month + to_months((windows.window_months)::integer))::date",
        "ends.paying_since_month",
        "assert_retention_equals_customers",
    ),
    Mutation(
        "a lost customer has one cause",
        "fct_retention",
        "is_lost and cause = 'voluntary'",
        "is_lost",
        "assert_retention_is_within_bounds",
    ),
    Mutation(
        "the window of retention is as long as its name",
        "fct_retention",
        "select unnest([1, 12]) as window_months",
        "select unnest([1, 11]) as window_months",
        "assert_retention_equals_customers",
    ),
    Mutation(
        "a customer leaves its cohort in the month it stops paying",
        "fct_cohorts",
        "datediff('month', cohorts.cohort_month, spells.until_month)",
        "datediff('month', cohorts.cohort_month, spells.until_month) + 1",
        "assert_cohorts_equal_months",
    ),
    Mutation(
        "gross MRR of a cohort is capped at its start",
        "fct_cohorts",
        "least(spells.mrr, cohorts.start_mrr) as kept_mrr",
        "spells.mrr as kept_mrr",
        "assert_cohorts_equal_customers",
    ),
    Mutation(
        "a cohort is whole at age zero",
        "fct_cohorts",
        "arg_min(mrr, from_month) as start_mrr",
        "max(mrr) as start_mrr",
        "assert_cohorts_are_whole_at_age_zero",
    ),
    # what is owed
    Mutation(
        "the 60th day past due is in the bucket it ends",
        "int_ar_stretches",
        "('d31_60', 31, 61), ('d61_90', 61, 91)",
        "('d31_60', 31, 60), ('d61_90', 60, 91)",
        "assert_aging_buckets_fit_the_days",
    ),
    Mutation(
        "a balance ends on the day it is paid",
        "fct_ar_aging_days",
        "and stretches.valid_to > days.day",
        "and stretches.valid_to >= days.day",
        "assert_aging_equals_remaining",
    ),
    Mutation(
        "a payment after the as-of day is not known",
        "int_invoice_changes",
        "where changes.event_on <= build.as_of",
        "where true",
        "assert_invoices_close",
    ),
    Mutation(
        "a void ends the debt",
        "int_invoice_changes",
        "where dated.void_on <= build.as_of",
        "where false",
        "assert_invoices_close",
    ),
    # from MRR to what is earned
    Mutation(
        "the average day's MRR is what closing MRR is timed to",
        "int_reconciliation_months",
        "mrr_e9 - closing_e9 as timing_e9",
        "closing_e9 - mrr_e9 as timing_e9",
        "assert_walk_from_mrr_averages_the_days",
    ),
    Mutation(
        "the as-of month is walked to the as-of day",
        "int_reconciliation_months",
        "build.as_of + 1",
        "build.as_of + 2",
        "assert_walk_from_mrr_averages_the_days",
    ),
    Mutation(
        "no step is left out of the walk",
        "fct_reconciliation",
        "'amount': mrr_not_yet_billed}",
        "'amount': 0}",
        "assert_walk_from_mrr_adds_up",
    ),
    # the headline
    Mutation(
        "the headline of a year is that of a year",
        "fct_metric_values",
        "filter (where window_months = 12), 0) as end_mrr_12",
        "filter (where window_months = 1), 0) as end_mrr_12",
        "assert_metric_values_equal_marts",
    ),
    Mutation(
        "segments are part of the whole",
        "fct_metric_values",
        "grouping sets ((month, currency), (month, currency, segment))",
        "grouping sets ((month, currency, segment))",
        "assert_segments_sum_to_total",
    ),
)


@pytest.fixture(scope="module")
def tests() -> dict[str, Model]:
    return {test.name: test for test in compiled_tests(Path(tempfile.gettempdir()) / "tajdid-compiled")}


@pytest.fixture(scope="module")
def company(tests: dict[str, Model]) -> duckdb.DuckDBPyConnection:
    history = eventful_history()
    read = {name for mutation in MUTATIONS for name in tests[mutation.seen_by].reads}
    connection = warehouse(history, tuple(sorted(read)), moving_rates(history))
    connection.execute("SET threads = 1")
    return connection


@pytest.fixture
def undone(company: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """The company within a transaction that is taken back."""
    company.execute("BEGIN")
    yield company
    company.execute("ROLLBACK")


def wrong_rows(connection: duckdb.DuckDBPyConnection, test: Model) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM (\n{test.sql}\n)").fetchall()[0]
    return int(count)


def broken(mutation: Mutation) -> Model:
    (model,) = (model for model in models() if model.name == mutation.model)
    assert model.sql.count(mutation.text) == 1
    return replace(model, sql=model.sql.replace(mutation.text, mutation.replacement))


def make_again(connection: duckdb.DuckDBPyConnection, changed: Model, test: Model) -> None:
    """The changed model, and what the test reads of the models made from it."""
    stale = {changed.name}
    for model in needed(models(), *test.reads):
        if model.name == changed.name or stale & set(model.reads):
            stale.add(model.name)
            made = changed if model.name == changed.name else model
            kind = "VIEW" if made.is_view else "TABLE"
            connection.execute(f"CREATE OR REPLACE {kind} {made.relation} AS {made.sql}")


@pytest.mark.parametrize("name", sorted({mutation.seen_by for mutation in MUTATIONS}))
def test_whole_models_pass(company: duckdb.DuckDBPyConnection, tests: dict[str, Model], name: str) -> None:
    assert wrong_rows(company, tests[name]) == 0


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.rule)
def test_a_broken_rule_is_seen(
    undone: duckdb.DuckDBPyConnection, tests: dict[str, Model], mutation: Mutation
) -> None:
    make_again(undone, broken(mutation), tests[mutation.seen_by])
    assert wrong_rows(undone, tests[mutation.seen_by]) > 0


LATEST = "assert_the_latest_known_row_counts"


@pytest.mark.parametrize(
    "mutation",
    [
        Mutation(
            "the row recorded last counts",
            "stg_billing__subscription_versions",
            "order by recorded_at desc",
            "order by recorded_at",
            LATEST,
        ),
        Mutation(
            "what is recorded later is not known",
            "stg_billing__subscription_versions",
            "where recorded_at <=",
            "where recorded_at >",
            LATEST,
        ),
    ],
    ids=lambda mutation: mutation.rule,
)
def test_an_old_or_unknown_row_is_seen(
    undone: duckdb.DuckDBPyConnection, tests: dict[str, Model], mutation: Mutation
) -> None:
    for at in ("2001-01-01 00:00:00+00", "9999-06-01 00:00:00+00"):
        undone.execute(
            "INSERT INTO raw_billing.subscription_versions "
            f"SELECT * REPLACE (amount_minor + 1 AS amount_minor, TIMESTAMPTZ '{at}' AS recorded_at) "
            "FROM raw_billing.subscription_versions WHERE recorded_at = TIMESTAMPTZ '1970-01-01 00:00:00+00'"
        )
    assert wrong_rows(undone, tests[LATEST]) == 0
    make_again(undone, broken(mutation), tests[LATEST])
    assert wrong_rows(undone, tests[LATEST]) > 0


LOADS = "INSERT INTO raw_meta.loads BY NAME SELECT 'l' AS load_id, 't' AS target_table, "
REJECTS = "INSERT INTO raw_meta.rejects BY NAME SELECT 'l' AS load_id, 't' AS target_table, "
FILES = "INSERT INTO raw_meta.files BY NAME SELECT 'l' AS load_id, 't' AS target_table"
READ = LOADS + "10 AS rows_read, 9 AS rows_accepted, 1 AS rows_rejected"


@pytest.mark.parametrize(
    ("books", "is_seen"),
    [
        ((READ, REJECTS + "'bad_date' AS reason", FILES), False),
        # the rows of a file that is replaced are gone, and its rejects with them
        ((READ,), False),
        ((LOADS + "10 AS rows_read, 9 AS rows_accepted, 0 AS rows_rejected",), True),
        ((LOADS + "10 AS rows_read, 11 AS rows_accepted, -1 AS rows_rejected",), True),
        ((READ, FILES), True),
        ((READ, REJECTS + "'bad_date' AS reason FROM range(2)", FILES), True),
        ((READ, REJECTS + "NULL AS reason", FILES), True),
        ((REJECTS + "'bad_date' AS reason",), True),
    ],
    ids=[
        "all are told",
        "a replaced file",
        "a lost row",
        "a row from nowhere",
        "a reject that is not kept",
        "a reject twice",
        "a reject without a reason",
        "a reject of no load",
    ],
)
def test_a_row_that_is_not_accounted_for_is_seen(
    undone: duckdb.DuckDBPyConnection, tests: dict[str, Model], books: tuple[str, ...], is_seen: bool
) -> None:
    for entry in books:
        undone.execute(entry)
    assert (wrong_rows(undone, tests["assert_rows_read_are_accepted_or_rejected"]) > 0) == is_seen
