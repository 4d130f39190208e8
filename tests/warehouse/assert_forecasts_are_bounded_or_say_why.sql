-- An interval is whole and has its kind, or there is a reason; simulated exactly below twelve errors.
select currency, segment, origin_month, horizon_months, method
from {{ ref('fct_forecast') }}
where low_mrr > high_mrr
  or low_mrr < 0
  or (low_mrr is null) <> (high_mrr is null)
  or (low_mrr is null) <> (is_simulated is null)
  or (low_mrr is null) <> (interval_why_null is not null)
  or (point_mrr is null) <> (why_null is not null)
  or is_simulated <> (interval_errors < 12)
  or interval_errors < past_errors
  or past_errors >= 12 and interval_errors <> past_errors
