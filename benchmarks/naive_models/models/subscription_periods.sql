{{ config(materialized='view') }}
-- One row per stretch of months at one price, as it stands in the file.
select
  customer_id,
  amount_minor as mrr,
  valid_from as first_month,
  coalesce(valid_to, date '9999-12-31') as until_month
from read_parquet('{{ env_var("TAJDID_BENCH_PERIODS") }}')
