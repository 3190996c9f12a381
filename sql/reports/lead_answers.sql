-- purpose: leads by how soon they were taken up and closed, and the open ones by age
-- is_recent: made in the 30 days that end with the day through which leads are known.
select
    day > as_of_date - 30 as is_recent,
    is_open,
    age_bucket,
    first_change_sla,
    closing_sla,
    count(*) as leads
from mart.leads_sla
group by day > as_of_date - 30, is_open, age_bucket, first_change_sla, closing_sla;
