-- Opening, transfers and movement give the close of every customer; the category says what the balances say.
select *
from {{ ref('fct_customer_month_changes') }}
where opening_mrr + transferred_mrr + delta <> closing_mrr
  or opening_mrr < 0
  or closing_mrr < 0
  or (category = 'none') <> (delta = 0)
  or category in ('new', 'reactivation') and not (opening_mrr + transferred_mrr = 0 and closing_mrr > 0)
  or category = 'churn' and closing_mrr <> 0
  or category = 'expansion' and delta < 0
  or category = 'contraction' and delta > 0
