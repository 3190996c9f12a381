-- question: how many members were active in months that have ended, lapsed and came back?
-- grain: month that has ended x store of registration x type of the newest card
-- formula: as mart.activity_monthly, at the end of the month.
-- incremental: sums by month, pos_id, card_type
create materialized view mart.activity_sums as
with ended as (
    select (date_trunc('month', operations_day + interval '1 day'))::date - 1 as last_day
    from mart.as_of
),

enrolled as (
    select members.*
    from refresh.scope
    inner join mart.known_members as members on members.client_id = scope.client_id
),

bought as (
    select
        purchase_months.client_id,
        purchase_months.month,
        purchase_months.last_day,
        purchase_months.longest_gap_days,
        lead(purchase_months.month) over (
            partition by purchase_months.client_id order by purchase_months.month
        ) as later_month
    from refresh.scope
    inner join mart.purchase_months on purchase_months.client_id = scope.client_id
    where purchase_months.purchases > 0
),

-- The last purchase so far, at the end of its own month and of those up to the next purchase.
standing as (
    select
        bought.client_id,
        bought.month as purchase_month,
        bought.last_day as purchase_day,
        bought.longest_gap_days,
        series::date as month,
        (series + interval '1 month')::date - 1 as last_day
    from bought
    cross join ended
    cross join lateral
        generate_series(
            bought.month::timestamp,
            least(bought.later_month - 1, ended.last_day)::timestamp,
            interval '1 month'
        ) as series
),

pieces as (
    select
        series::date as month,
        enrolled.pos_id,
        enrolled.card_type,
        count(*) as members,
        0 as active_30_days,
        0 as active_90_days,
        0 as active_365_days,
        0 as lapsed,
        0 as reactivated
    from enrolled
    cross join ended
    cross join lateral
        generate_series(
            date_trunc('month', enrolled.registration_date::timestamp),
            ended.last_day::timestamp,
            interval '1 month'
        ) as series
    group by series::date, enrolled.pos_id, enrolled.card_type
    union all
    select
        standing.month,
        enrolled.pos_id,
        enrolled.card_type,
        0 as members,
        count(*) filter (where standing.last_day - standing.purchase_day < 30) as active_30_days,
        count(*) filter (where standing.last_day - standing.purchase_day < 90) as active_90_days,
        count(*) filter (where standing.last_day - standing.purchase_day < 365) as active_365_days,
        count(*) filter (
            where
                standing.month - 1 - standing.purchase_day < parameters.lapse_days
                and standing.last_day - standing.purchase_day >= parameters.lapse_days
        ) as lapsed,
        count(*) filter (
            where
                standing.purchase_month = standing.month
                and standing.longest_gap_days >= parameters.lapse_days
        ) as reactivated
    from standing
    cross join mart.parameters
    inner join enrolled
        on
            enrolled.client_id = standing.client_id
            and enrolled.registration_date <= standing.last_day
    group by standing.month, enrolled.pos_id, enrolled.card_type
)

select
    month,
    pos_id,
    card_type,
    sum(members)::bigint as members,
    sum(active_30_days)::bigint as active_30_days,
    sum(active_90_days)::bigint as active_90_days,
    sum(active_365_days)::bigint as active_365_days,
    sum(lapsed)::bigint as lapsed,
    sum(reactivated)::bigint as reactivated
from pieces
group by month, pos_id, card_type;

create unique index on mart.activity_sums (month, pos_id, card_type);

comment on materialized view mart.activity_sums is 'active, lapsed and reactivated members of months that have ended. Grain: month, store of registration, card type';
comment on column mart.activity_sums.month is 'first day of the month';
comment on column mart.activity_sums.pos_id is 'point of sale of the first registration';
comment on column mart.activity_sums.card_type is 'type of the newest card; null or empty when unknown';
comment on column mart.activity_sums.members is 'members by then';
comment on column mart.activity_sums.active_30_days is 'members with a purchase in the last 30 days';
comment on column mart.activity_sums.active_90_days is 'members with a purchase in the last 90 days';
comment on column mart.activity_sums.active_365_days is 'members with a purchase in the last 365 days';
comment on column mart.activity_sums.lapsed is 'members whose last purchase by the end of the month became lapse_days days old in it';
comment on column mart.activity_sums.reactivated is 'members who bought again after lapse_days days or more';
