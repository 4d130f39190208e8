-- Opening, transfers and movement give the close of every customer; the category says what the balances say.
select *
from {{ ref('fct_customer_month_changes') }}
where opening_mrr + transferred_mrr + delta <> closing_mrr
  or opening_mrr < 0
  or closing_mrr < 0
  or opening_held and opening_mrr <> 0
  or closing_held and closing_mrr <> 0
  -- only who comes or goes at MRR 0 has a category without an amount
  or category = 'none' and delta <> 0
  or category in ('expansion', 'contraction') and delta = 0
  or category <> 'none' and delta = 0 and not (opening_held or closing_held)
  or category = 'none' and closing_mrr = 0 and transferred_mrr = 0 and opening_held <> closing_held
    and cause is distinct from 'merge'
  -- below 0 is who came within the month and went over to another customer with more than it opened with
  or category in ('new', 'reactivation')
    and not (
      opening_mrr + transferred_mrr <= 0
      and not opening_held
      and (closing_mrr > 0 or closing_held or opening_mrr + transferred_mrr < 0)
    )
  or category in ('new', 'reactivation') and delta < 0
  or category = 'churn' and delta > 0
  or category = 'churn' and (closing_mrr <> 0 or closing_held or opening_mrr = 0 and transferred_mrr = 0 and not opening_held)
  or category = 'expansion' and delta < 0
  or category = 'contraction' and delta > 0
