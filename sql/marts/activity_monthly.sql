-- question: how many members are active, how many lapse and come back?
-- grain: month x store of registration x type of the newest card
-- formula: at the end of the month (or the last day known, as_of_date), by the member's last purchase
--   so far: active at n days when it lies less than n days back. lapsed: the last purchase was less
--   than lapse_days days before the end of the month before and no longer is. reactivated: bought in
--   the month, lapse_days days or more after the purchase before.
create materialized view mart.activity_monthly as
with months as (
    select
        series::date as month,
        (extract(year from series) * 12 + extract(month from series))::integer as number,
        least((series + interval '1 month')::date - 1, as_of.operations_day) as last_day
    from
        mart.as_of,
        generate_series(
            date_trunc('month', (select min(registration_date) from mart.members)::timestamp),
            as_of.operations_day::timestamp,
            interval '1 month'
        ) as series
),

bought as (
    select
        client_id,
        month,
        last_day,
        longest_gap_days,
        (extract(year from month) * 12 + extract(month from month))::integer as number,
        lead(month) over (partition by client_id order by month) as later_month
    from mart.purchase_months
    where purchases > 0
),

-- The last purchase so far, at the end of its own month and of those up to the next purchase.
standing as (
    select
        months.month,
        months.last_day,
        bought.client_id,
        months.last_day - bought.last_day < 30 as is_active_30,
        months.last_day - bought.last_day < 90 as is_active_90,
        months.last_day - bought.last_day < 365 as is_active_365,
        bought.month < months.month
        and months.month - 1 - bought.last_day < parameters.lapse_days
        and months.last_day - bought.last_day >= parameters.lapse_days as is_lapsed,
        bought.month = months.month and bought.longest_gap_days >= parameters.lapse_days
            as is_reactivated
    from bought
    cross join mart.parameters
    cross join mart.as_of
    cross join lateral
        generate_series(
            bought.number,
            (
                extract(year from coalesce(bought.later_month - 1, as_of.operations_day)) * 12
                + extract(month from coalesce(bought.later_month - 1, as_of.operations_day))
            )::integer
        ) as series (number)
    inner join months on months.number = series.number
),

pieces as (
    select
        months.month,
        months.last_day,
        members.pos_id,
        members.card_type,
        count(*) as members,
        0 as active_30_days,
        0 as active_90_days,
        0 as active_365_days,
        0 as lapsed,
        0 as reactivated
    from months
    inner join mart.members on members.registration_date <= months.last_day
    group by months.month, months.last_day, members.pos_id, members.card_type
    union all
    select
        standing.month,
        standing.last_day,
        members.pos_id,
        members.card_type,
        0 as members,
        count(*) filter (where standing.is_active_30) as active_30_days,
        count(*) filter (where standing.is_active_90) as active_90_days,
        count(*) filter (where standing.is_active_365) as active_365_days,
        count(*) filter (where standing.is_lapsed) as lapsed,
        count(*) filter (where standing.is_reactivated) as reactivated
    from standing
    inner join mart.members
        on
            members.client_id = standing.client_id
            and members.registration_date <= standing.last_day
    group by standing.month, standing.last_day, members.pos_id, members.card_type
),

enrolled as (
    select
        month,
        last_day,
        pos_id,
        card_type,
        sum(members)::bigint as members,
        sum(active_30_days)::bigint as active_30_days,
        sum(active_90_days)::bigint as active_90_days,
        sum(active_365_days)::bigint as active_365_days,
        sum(lapsed)::bigint as lapsed,
        sum(reactivated)::bigint as reactivated
    from pieces
    group by month, last_day, pos_id, card_type
)

select
    enrolled.month,
    enrolled.last_day as as_of_date,
    enrolled.pos_id,
    mart.display_text(points_of_sale.name) as store_name,
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
comment on column mart.activity_monthly.card_type is 'type of the newest card, as mart.display_text shows it; null or empty when not told';
comment on column mart.activity_monthly.members is 'members by then';
comment on column mart.activity_monthly.active_30_days is 'members with a purchase in the last 30 days';
comment on column mart.activity_monthly.active_90_days is 'members with a purchase in the last 90 days';
comment on column mart.activity_monthly.active_365_days is 'members with a purchase in the last 365 days';
comment on column mart.activity_monthly.lapsed is 'members who were active before the month and have not bought for lapse_days days by its end';
comment on column mart.activity_monthly.reactivated is 'members who bought again after lapse_days days or more';
