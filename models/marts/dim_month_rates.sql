-- What one minor unit of a currency is worth in a month: the rates that every figure of that month is made with.
select month, currency, amount_currency, opening_rate, closing_rate from {{ ref('int_month_rates') }}
