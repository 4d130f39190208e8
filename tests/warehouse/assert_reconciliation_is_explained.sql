{{ config(severity = 'warn') }}
-- What the walk leaves unexplained is at most half a percent of what was invoiced in the month.
select month, currency, step, amount, status
from {{ ref('fct_reconciliation') }}
where kind = 'unexplained' and status <> 'fine'
