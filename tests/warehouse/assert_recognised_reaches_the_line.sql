-- Every line is earned exactly once its last service day is over, and nothing is earned that was not issued.
with earned as (
  select
    document_kind,
    line_id,
    sum(recognised_minor) as earned_minor,
    sum(recognised_minor) filter (where not is_scheduled) as earned_by_now_minor
  from {{ ref('int_revenue_line_months') }}
  group by document_kind, line_id
)
select lines.document_kind, lines.line_id, lines.net_minor, earned.earned_minor, earned.earned_by_now_minor
from {{ ref('int_revenue_lines') }} as lines
cross join {{ ref('stg_meta__build') }} as build
full join earned using (document_kind, line_id)
where coalesce(earned.earned_minor, 0) is distinct from lines.net_minor
  or lines.earned_end - 1 <= build.as_of and coalesce(earned.earned_by_now_minor, 0) is distinct from lines.net_minor
