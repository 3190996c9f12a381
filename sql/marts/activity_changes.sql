-- question: how does the number of active members change from the end of a month to the end of the next?
-- grain: month x store of registration x type of the newest card
-- formula: mart.activity_monthly sums up the months so far; only lapsed and reactivated are counts of the
--   month itself. A member counts as active at n days from the month of a purchase until the month at
--   whose end the last purchase so far lies n days back or more, but not before the month of registration.
--   So months to come have changes too, and a month that ends changes no row.
-- incremental: sums by month, pos_id, card_type
create materialized view mart.activity_changes as
with enrolled as (
    select
        members.client_id,
        members.pos_id,
        members.card_type,
        date_trunc('month', members.registration_date::timestamp)::date as month
    from refresh.scope
    inner join mart.known_members as members on members.client_id = scope.client_id
),

bought as (
    select
        enrolled.pos_id,
        enrolled.card_type,
        enrolled.month as enrolled_month,
        bought.month,
        bought.last_day,
        lag(bought.month) over by_month is null as is_first,
        lead(bought.month) over by_month as later_month,
        -- No client lapses after a thousand years; a longer time makes a date that Postgres refuses.
        date_trunc(
            'month',
            (bought.last_day + least(parameters.lapse_days, 365000))::timestamp
        )::date as lapse_month,
        coalesce(bought.longest_gap_days >= parameters.lapse_days, false) as is_reactivated
    from enrolled
    cross join mart.parameters
    inner join mart.purchase_months as bought on bought.client_id = enrolled.client_id
    where bought.purchases > 0
    window by_month as (partition by bought.client_id order by bought.month)
),

-- When a purchase is too old, unless there is a later one by then.
aged as (
    select
        bought.pos_id,
        bought.card_type,
        bought.enrolled_month,
        bought.later_month,
        windows.days,
        ends.month
    from bought
    cross join (values (30), (90), (365)) as windows (days)
    cross join lateral (
        select
            date_trunc('month', (bought.last_day + windows.days)::timestamp)::date as month
    ) as ends
    where bought.later_month is null or ends.month < bought.later_month
),

pieces as (
    select
        month,
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
        greatest(month, enrolled_month) as month,
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
    select
        greatest(changes.month, aged.enrolled_month) as month,
        aged.pos_id,
        aged.card_type,
        0 as members,
        case when aged.days = 30 then changes.members else 0 end as active_30_days,
        case when aged.days = 90 then changes.members else 0 end as active_90_days,
        case when aged.days = 365 then changes.members else 0 end as active_365_days,
        0 as lapsed,
        0 as reactivated
    from aged
    cross join lateral (values (aged.month, -1), (aged.later_month, 1)) as changes (month, members)
    where changes.month is not null
    union all
    select
        lapse_month as month,
        pos_id,
        card_type,
        0 as members,
        0 as active_30_days,
        0 as active_90_days,
        0 as active_365_days,
        1 as lapsed,
        0 as reactivated
    from bought
    where lapse_month >= enrolled_month and (later_month is null or lapse_month < later_month)
    union all
    select
        month,
        pos_id,
        card_type,
        0 as members,
        0 as active_30_days,
        0 as active_90_days,
        0 as active_365_days,
        0 as lapsed,
        1 as reactivated
    from bought
    where is_reactivated and month >= enrolled_month
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

create unique index on mart.activity_changes (month, pos_id, card_type);

comment on materialized view mart.activity_changes is 'how the number of active members changes from month to month, also in months to come. Grain: month, store of registration, card type';
comment on column mart.activity_changes.month is 'first day of the month at whose end it counts';
comment on column mart.activity_changes.pos_id is 'point of sale of the first registration';
comment on column mart.activity_changes.card_type is 'type of the newest card; null or empty when unknown';
comment on column mart.activity_changes.members is 'new members';
comment on column mart.activity_changes.active_30_days is 'members who became active less those who became inactive, a purchase in the last 30 days being active';
comment on column mart.activity_changes.active_90_days is 'the same, with 90 days';
comment on column mart.activity_changes.active_365_days is 'the same, with 365 days';
comment on column mart.activity_changes.lapsed is 'members whose last purchase becomes lapse_days days old in the month, if no purchase comes until it ends';
comment on column mart.activity_changes.reactivated is 'members who bought again after lapse_days days or more';
