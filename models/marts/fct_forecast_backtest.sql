-- How every method did where all of them had a forecast and the month has closed since.
select
  currency,
  segment,
  method,
  horizon_months,
  count(*)::bigint as origins,
  sum(abs(error_mrr))::decimal(38, 6) as error_size,
  sum(error_mrr)::decimal(38, 6) as error_sum,
  sum(actual_mrr)::decimal(38, 6) as actual_sum,
  sum(abs(error_mrr))::double / count(*) as mean_absolute_error,
  sum(error_mrr)::double / count(*) as bias,
  sum(abs(error_mrr))::double / nullif(sum(actual_mrr), 0)::double as error_share,
  sum(error_mrr)::double / nullif(sum(actual_mrr), 0)::double as bias_share,
  count(is_covered)::bigint as intervals,
  count(*) filter (is_covered)::bigint as covered,
  count(*) filter (is_simulated)::bigint as simulated,
  count(*) filter (is_covered and is_simulated)::bigint as covered_simulated,
  count(*) filter (is_covered)::double / nullif(count(is_covered), 0)::double as coverage
from {{ ref('fct_forecast') }}
where is_compared
group by currency, segment, method, horizon_months
