-- purpose: points that expire within 7, 30, 60 and 90 days, each horizon holding the shorter ones
with expiring as materialized (
    select client_id, horizon_days, points, points_value
    from mart.points_expiring
)

select
    horizons.days,
    coalesce(sum(expiring.points), 0) as points,
    coalesce(sum(expiring.points_value), 0) as points_value,
    count(distinct expiring.client_id) as clients
from (values (7), (30), (60), (90)) as horizons (days)
left join expiring on expiring.horizon_days <= horizons.days
group by horizons.days
order by horizons.days;
