-- Every row read is accepted or rejected, and as long as the rows of a file are in the warehouse its rejects are too,
-- each with a reason.
with rejects as (
  select load_id, target_table, count(*) as kept, count(reason) as explained
  from {{ source('raw_meta', 'rejects') }}
  group by load_id, target_table
)
select loads.load_id, loads.target_table, loads.rows_read, loads.rows_accepted, loads.rows_rejected, rejects.kept
from {{ source('raw_meta', 'loads') }} as loads
left join rejects using (load_id, target_table)
where loads.rows_accepted + loads.rows_rejected <> loads.rows_read
  or least(loads.rows_read, loads.rows_accepted, loads.rows_rejected) < 0
  or coalesce(rejects.kept, loads.rows_rejected) <> loads.rows_rejected
  or rejects.kept is null
    and loads.rows_rejected > 0
    and loads.load_id in (select load_id from {{ source('raw_meta', 'files') }})
  or rejects.explained < rejects.kept
union all
select rejects.load_id, rejects.target_table, null, null, null, rejects.kept
from rejects
anti join {{ source('raw_meta', 'loads') }} using (load_id, target_table)
