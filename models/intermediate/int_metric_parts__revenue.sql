-- The parts of the metrics of recognised and deferred revenue, by month, currency and segment.
select
  null::date as month,
  null::varchar as currency,
  null::varchar as segment,
  null::varchar as metric_id,
  null::decimal(38, 16) as numerator,
  null::decimal(38, 16) as denominator,
  null::decimal(38, 16) as customers,
  null::varchar as why_null
where false
