-- purpose: leads made on %(day)s and the 90 days before it; days without leads are there, with zeros
with days as (
    select series::date as day
    from
        generate_series(
            %(day)s::timestamp - interval '90 days', %(day)s::timestamp, interval '1 day'
        ) as series
)

select
    days.day,
    coalesce(sum(leads_daily.leads), 0) as leads,
    coalesce(sum(leads_daily.unread_leads), 0) as unread_leads
from days
left join mart.leads_daily on leads_daily.day = days.day
group by days.day
order by days.day;
