-- purpose: points owed at the end of %(day)s, by the month in which they expire
select
    expiry_month,
    sum(active_points) as active_points,
    sum(pending_points) as pending_points,
    sum(outstanding_points) as outstanding_points,
    sum(outstanding_value) as outstanding_value,
    sum(expected_points) as expected_points,
    sum(expected_value) as expected_value,
    max(observed_date) as observed_date,
    exists (
        select from mart.source_breakage
        where valid_from <= %(day)s and expected_breakage is not null
    ) as has_source_breakage
from mart.points_liability_daily
where day = %(day)s
group by expiry_month
order by expiry_month nulls last;
