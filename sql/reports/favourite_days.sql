-- purpose: how favourite products were taken up on %(day)s and the 90 days before it
select
    day,
    offered,
    confirmed,
    missed,
    active,
    slots_used,
    slots
from mart.favourite_uptake
where day between %(day)s::date - 90 and %(day)s
order by day;
