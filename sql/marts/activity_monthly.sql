-- question: how many members are active, how many lapse and come back?
-- grain: month x store of registration x type of the newest card
-- formula: at the end of the month (or the last day known, as_of_date), by the member's last purchase
--   so far: active at n days when it lies less than n days back. lapsed: the last purchase was less
--   than lapse_days days before the end of the month before and no longer is. reactivated: bought in
--   the month, lapse_days days or more after the purchase before.
create materialized view mart.activity_monthly as
with purchase_days as (
    select
        client_id,
        day,
        lag(day) over steps as earlier_day,
        coalesce(lead(day) over steps, 'infinity') as later_day
    from mart.cheques
    where not is_refund and day <= (select operations_day from mart.as_of)
    group by client_id, day
    window steps as (partition by client_id order by day)
),

months as (
    select
        series::date as month,
        least((series + interval '1 month')::date - 1, as_of.operations_day) as last_day
    from
        mart.as_of,
        generate_series(
            date_trunc('month', (select min(registration_date) from mart.members)::timestamp),
            as_of.operations_day::timestamp,
            interval '1 month'
        ) as series
),

standing as (
    select
        months.month,
        purchase_days.client_id,
        months.last_day - purchase_days.day < 30 as is_active_30,
        months.last_day - purchase_days.day < 90 as is_active_90,
        months.last_day - purchase_days.day < 365 as is_active_365,
        purchase_days.day < months.month
        and months.month - 1 - purchase_days.day < parameters.lapse_days
        and months.last_day - purchase_days.day >= parameters.lapse_days as is_lapsed
    from months
    cross join mart.parameters
    inner join purchase_days
        on months.last_day >= purchase_days.day and months.last_day < purchase_days.later_day
),

-- Who bought in the month has an own last purchase in it, so the pieces add up by client.
returned as (
    select distinct date_trunc('month', purchase_days.day)::date as month, purchase_days.client_id
    from purchase_days
    cross join mart.parameters
    where purchase_days.day - purchase_days.earlier_day >= parameters.lapse_days
),

enrolled as (
    select
        months.month,
        months.last_day,
        members.pos_id,
        members.card_type,
        count(*) as members,
        count(*) filter (where standing.is_active_30) as active_30_days,
        count(*) filter (where standing.is_active_90) as active_90_days,
        count(*) filter (where standing.is_active_365) as active_365_days,
        count(*) filter (where standing.is_lapsed) as lapsed,
        count(returned.client_id) as reactivated
    from months
    inner join mart.members on members.registration_date <= months.last_day
    left join standing
        on standing.month = months.month and standing.client_id = members.client_id
    left join returned
        on returned.month = months.month and returned.client_id = members.client_id
    group by months.month, months.last_day, members.pos_id, members.card_type
)

select
    enrolled.month,
    enrolled.last_day as as_of_date,
    enrolled.pos_id,
    points_of_sale.name as store_name,
    enrolled.card_type,
    enrolled.members,
    enrolled.active_30_days,
    enrolled.active_90_days,
    enrolled.active_365_days,
    enrolled.lapsed,
    enrolled.reactivated
from enrolled
left join core.points_of_sale on points_of_sale.pos_id = enrolled.pos_id;

create unique index on mart.activity_monthly (month, pos_id, card_type);

comment on materialized view mart.activity_monthly is 'active, lapsed and reactivated members. Grain: month, store of registration, card type';
comment on column mart.activity_monthly.month is 'first day of the month';
comment on column mart.activity_monthly.as_of_date is 'end of the month, or the last day known';
comment on column mart.activity_monthly.pos_id is 'point of sale of the first registration';
comment on column mart.activity_monthly.store_name is 'its name';
comment on column mart.activity_monthly.card_type is 'type of the newest card; null or empty when not told';
comment on column mart.activity_monthly.members is 'members by then';
comment on column mart.activity_monthly.active_30_days is 'members with a purchase in the last 30 days';
comment on column mart.activity_monthly.active_90_days is 'members with a purchase in the last 90 days';
comment on column mart.activity_monthly.active_365_days is 'members with a purchase in the last 365 days';
comment on column mart.activity_monthly.lapsed is 'members who were active before the month and have not bought for lapse_days days by its end';
comment on column mart.activity_monthly.reactivated is 'members who bought again after lapse_days days or more';
