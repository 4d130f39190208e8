"""What MRR is expected to be, how such forecasts have done, and what every metric was month by month."""

from dashboard.queries import Query

HEADLINE = Query(
    "forecast_headline",
    """
SELECT
  target_month AS month, horizon_months, method, headline_why, why_null, point_mrr AS point, low_mrr AS low,
  high_mrr AS high, is_simulated, interval_why_null
FROM warehouse.marts.fct_forecast
WHERE currency = $currency AND segment = $segment AND origin_month = $month AND is_headline
ORDER BY horizon_months
""",
    metric="mrr_forecast",
)

BACKTEST = Query(
    "forecast_backtest",
    """
SELECT
  method, horizon_months, origins, error_size, error_sum, actual_sum, mean_absolute_error, error_share,
  bias_share, intervals, covered, coverage
FROM warehouse.marts.fct_forecast_backtest
WHERE currency = $currency AND segment = $segment
ORDER BY horizon_months, method
""",
    metric="forecast_error",
)

BACKTEST_ROWS = Query(
    "forecast_backtest_rows",
    """
SELECT
  origin_month, target_month, horizon_months, method, point_mrr AS point, actual_mrr AS actual,
  error_mrr AS error, abs(error_mrr) AS error_size, low_mrr AS low, high_mrr AS high, is_covered
FROM warehouse.marts.fct_forecast
WHERE currency = $currency AND segment = $segment AND method = $method AND is_compared
  AND horizon_months BETWEEN $horizon_from AND $horizon_to
ORDER BY origin_month DESC, horizon_months
""",
    metric="forecast_error",
)

HISTORY = Query(
    "metric_history",
    """
SELECT month, numerator, denominator, customers, why_null, is_provisional
FROM warehouse.marts.fct_metric_values
WHERE metric_id = $metric_id AND currency = $currency AND segment = $segment
  AND month BETWEEN $first_month AND $month
ORDER BY month
""",
)
