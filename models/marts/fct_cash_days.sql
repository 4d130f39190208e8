-- Money by the day it moved. A dispute counts in net when it is lost, on the day it was closed; `disputed_minor` says
-- when the bank took the money and gave it back.
select
  event_on as day,
  currency,
  {% for part, kind in [('received', 'received'), ('refunded', 'refunded'), ('disputes_lost', 'dispute_lost'),
    ('fees', 'fee')] -%}
  coalesce(sum(amount_minor) filter (where event_kind = '{{ kind }}'), 0)::bigint as {{ part }}_minor,
  {% endfor -%}
  sum(case
    when event_kind = 'received' then amount_minor
    when event_kind in ('refunded', 'dispute_lost', 'fee') then -amount_minor
    else 0
  end)::bigint as net_minor,
  sum(case event_kind when 'dispute_opened' then amount_minor when 'dispute_won' then -amount_minor else 0 end)::bigint
    as disputed_minor
from {{ ref('int_cash_events') }}
where not is_test
group by event_on, currency
