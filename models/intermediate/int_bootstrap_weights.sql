-- One row per draw, 1 to 1,000: how often each unit is in it, in the order of unit_no; in draw 0 each is once, so that it
-- gives the figure itself. A weight follows from the unit and the draw alone (one hash for two draws): it is the same in
-- every build and in every figure.
with units as (
  select list(unit_id order by unit_no) as unit_ids
  from (select distinct unit_id, unit_no from {{ ref('int_bootstrap_units') }}) as distinct_units
  having count(*) > 0
),
hashes as (
  select
    pairs.pair_no,
    list_transform(units.unit_ids, lambda unit_id: md5_number_lower('draw ' || pairs.pair_no || ' of ' || unit_id)) as hashes
  from units
  cross join (select unnest(range(500)) as pair_no) as pairs
),
numbers as (
  select 2 * pair_no + 1 as draw_no, list_transform(hashes, lambda hash: hash % 4294967296) as numbers from hashes
  union all
  select 2 * pair_no + 2 as draw_no, list_transform(hashes, lambda hash: hash // 4294967296) as numbers from hashes
)
select 0 as draw_no, list_transform(unit_ids, lambda unit_id: 1::double) as weights from units
union all
select
  draw_no,
  list_transform(numbers, lambda number: {{ poisson_weight('number') }}) as weights
from numbers
