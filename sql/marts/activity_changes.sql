-- question: how does the number of active members change from day to day?
-- grain: day x store of registration x type of the newest card
-- formula: mart.activity_monthly sums them up. A member becomes active with a purchase, and is no longer
--   active at n days when it lies n days back, unless there is a later one by then; all from the day of
--   registration on. Only the last purchase of each month counts here, as the ends of months show no
--   other. So days to come have changes too, and a day that passes changes no row.
-- incremental: sums by change_date, pos_id, card_type
create materialized view mart.activity_changes as
with enrolled as (
    select
        members.client_id,
        members.pos_id,
        members.card_type,
        members.registration_date
    from refresh.scope
    inner join mart.known_members as members on members.client_id = scope.client_id
),

bought as (
    select
        enrolled.pos_id,
        enrolled.card_type,
        enrolled.registration_date,
        bought.last_day as day,
        lag(bought.last_day) over by_month is null as is_first,
        lead(bought.last_day) over by_month as later_day,
        lead(bought.month) over by_month as later_month,
        -- No client lapses after a thousand years; a longer time makes a date that Postgres refuses.
        bought.last_day + least(parameters.lapse_days, 365000) as lapse_day,
        coalesce(bought.longest_gap_days >= parameters.lapse_days, false) as is_reactivated
    from enrolled
    cross join mart.parameters
    inner join mart.purchase_months as bought on bought.client_id = enrolled.client_id
    where bought.purchases > 0
    window by_month as (partition by bought.client_id order by bought.month)
),

pieces as (
    select
        registration_date as change_date,
        pos_id,
        card_type,
        1 as members,
        0 as active_30_days,
        0 as active_90_days,
        0 as active_365_days,
        0 as lapsed,
        0 as reactivated
    from enrolled
    union all
    select
        greatest(day, registration_date) as change_date,
        pos_id,
        card_type,
        0 as members,
        1 as active_30_days,
        1 as active_90_days,
        1 as active_365_days,
        0 as lapsed,
        0 as reactivated
    from bought
    where is_first
    union all
    -- Too old, and perhaps active again with the later purchase.
    select
        greatest(changes.day, bought.registration_date) as change_date,
        bought.pos_id,
        bought.card_type,
        0 as members,
        case when windows.days = 30 then changes.members else 0 end as active_30_days,
        case when windows.days = 90 then changes.members else 0 end as active_90_days,
        case when windows.days = 365 then changes.members else 0 end as active_365_days,
        0 as lapsed,
        0 as reactivated
    from bought
    cross join (values (30), (90), (365)) as windows (days)
    cross join lateral (
        values (bought.day + windows.days, -1), (bought.later_day, 1)
    ) as changes (day, members)
    where
        (bought.later_day is null or bought.day + windows.days < bought.later_day)
        and changes.day is not null
    union all
    select
        greatest(lapse_day, registration_date) as change_date,
        pos_id,
        card_type,
        0 as members,
        0 as active_30_days,
        0 as active_90_days,
        0 as active_365_days,
        1 as lapsed,
        0 as reactivated
    from bought
    where
        (later_month is null or lapse_day < later_month)
        and date_trunc('month', registration_date::timestamp) <= lapse_day
    union all
    select
        greatest(day, registration_date) as change_date,
        pos_id,
        card_type,
        0 as members,
        0 as active_30_days,
        0 as active_90_days,
        0 as active_365_days,
        0 as lapsed,
        1 as reactivated
    from bought
    where is_reactivated and date_trunc('month', registration_date::timestamp) <= day
)

select
    change_date,
    pos_id,
    card_type,
    sum(members)::bigint as members,
    sum(active_30_days)::bigint as active_30_days,
    sum(active_90_days)::bigint as active_90_days,
    sum(active_365_days)::bigint as active_365_days,
    sum(lapsed)::bigint as lapsed,
    sum(reactivated)::bigint as reactivated
from pieces
group by change_date, pos_id, card_type
-- Who becomes active may replace who is no longer.
having
    (
        sum(members), sum(active_30_days), sum(active_90_days), sum(active_365_days), sum(lapsed),
        sum(reactivated)
    )
    <> (0, 0, 0, 0, 0, 0);

create unique index on mart.activity_changes (change_date, pos_id, card_type);

comment on materialized view mart.activity_changes is 'how the number of active members changes from day to day, also on days to come. Grain: day, store of registration, card type';
comment on column mart.activity_changes.change_date is 'business day; may lie ahead';
comment on column mart.activity_changes.pos_id is 'point of sale of the first registration';
comment on column mart.activity_changes.card_type is 'type of the newest card; null or empty when unknown';
comment on column mart.activity_changes.members is 'new members';
comment on column mart.activity_changes.active_30_days is 'members who became active less those who are not any more, active being a purchase in the last 30 days';
comment on column mart.activity_changes.active_90_days is 'the same, with 90 days';
comment on column mart.activity_changes.active_365_days is 'the same, with 365 days';
comment on column mart.activity_changes.lapsed is 'members whose last purchase becomes lapse_days days old, if no purchase comes until the month ends';
comment on column mart.activity_changes.reactivated is 'members who bought again after lapse_days days or more, at their last purchase of the month';
