-- purpose: what the leads of %(day)s and of the seven days that end with it are about
select
    coalesce(type_name, '') as type_name,
    coalesce(sum(leads) filter (where day = %(day)s), 0) as leads_of_day,
    sum(leads) as leads_of_week,
    sum(unread_leads) as unread_of_week
from mart.leads_daily
where day between %(day)s::date - 6 and %(day)s
group by coalesce(type_name, '')
order by leads_of_week desc, type_name;
