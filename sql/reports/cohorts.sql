-- purpose: the retention of the twelve cohorts that end with the month of %(day)s
select
    cohort_month,
    month_number,
    members,
    buyers,
    retention
from mart.cohort_retention
where
    cohort_month > date_trunc('month', %(day)s::timestamp) - interval '12 months'
    and cohort_month <= %(day)s
    and month_number < 12
order by cohort_month, month_number;
