-- One row per interval that a subscription is proposed in, with its mean days as the fraction days_n / days_d.
select *
from (
  values
    ('week', 1, 7, 1),
    ('week', 2, 14, 1),
    ('month', 1, 365, 12),
    ('month', 2, 730, 12),
    ('month', 3, 1095, 12),
    ('month', 6, 2190, 12),
    ('year', 1, 365, 1)
) as intervals (proposed_interval, proposed_interval_count, days_n, days_d)
