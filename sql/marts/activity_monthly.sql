-- question: how many members are active, how many lapse and come back?
-- grain: month x store of registration x type of the newest card
-- formula: at the end of the month (or the last day known, as_of_date), by the member's last purchase
--   so far: active at n days when it lies less than n days back. lapsed: it became lapse_days days old in
--   the month, and may have been made in it. reactivated: bought in the month, lapse_days days or more
--   after the purchase before. Months whose operations are not stored any more (LCM_RETENTION_MONTHS) are
--   left out, and a count is null where that holds for some of the days that it looks back on; who
--   bought before these comes back unseen.
create materialized view mart.activity_monthly as
with changes as (
    select
        date_trunc('month', change_date::timestamp)::date as month,
        pos_id,
        card_type,
        members,
        active_30_days,
        active_90_days,
        active_365_days,
        lapsed,
        reactivated
    from mart.activity_changes
    where change_date <= (select operations_day from mart.as_of)
    union all
    -- Months without changes have members too.
    select
        series::date as month,
        first_days.pos_id,
        first_days.card_type,
        0 as members,
        0 as active_30_days,
        0 as active_90_days,
        0 as active_365_days,
        0 as lapsed,
        0 as reactivated
    from (
        select
            pos_id,
            card_type,
            min(change_date) as day
        from mart.activity_changes
        group by pos_id, card_type
    ) as first_days
    cross join mart.as_of
    cross join lateral
        generate_series(
            date_trunc('month', first_days.day::timestamp),
            as_of.operations_day::timestamp,
            interval '1 month'
        ) as series
),

enrolled as (
    select
        month,
        least(
            (month + interval '1 month')::date - 1, (select operations_day from mart.as_of)
        ) as last_day,
        pos_id,
        card_type,
        (sum(sum(members)) over so_far)::bigint as members,
        (sum(sum(active_30_days)) over so_far)::bigint as active_30_days,
        (sum(sum(active_90_days)) over so_far)::bigint as active_90_days,
        (sum(sum(active_365_days)) over so_far)::bigint as active_365_days,
        sum(lapsed)::bigint as lapsed,
        sum(reactivated)::bigint as reactivated
    from changes
    group by month, pos_id, card_type
    window so_far as (partition by pos_id, card_type order by month)
)

select
    enrolled.month,
    enrolled.last_day as as_of_date,
    enrolled.pos_id,
    mart.display_text(points_of_sale.name) as store_name,
    enrolled.card_type,
    enrolled.members,
    case when enrolled.last_day - 29 >= stored.first_day then enrolled.active_30_days end
        as active_30_days,
    case when enrolled.last_day - 89 >= stored.first_day then enrolled.active_90_days end
        as active_90_days,
    case when enrolled.last_day - 364 >= stored.first_day then enrolled.active_365_days end
        as active_365_days,
    case when enrolled.month - parameters.lapse_days >= stored.first_day then enrolled.lapsed end
        as lapsed,
    enrolled.reactivated,
    enrolled.last_day = (enrolled.month + interval '1 month')::date - 1 as is_whole_month
from enrolled
cross join mart.parameters
cross join (
    select coalesce(operations_kept_from, '-infinity') as first_day from mart.as_of
) as stored
left join core.points_of_sale on points_of_sale.pos_id = enrolled.pos_id
where enrolled.month >= stored.first_day and enrolled.members > 0;

create unique index on mart.activity_monthly (month, pos_id, card_type);

comment on materialized view mart.activity_monthly is 'active, lapsed and reactivated members. Grain: month, store of registration, card type';
comment on column mart.activity_monthly.month is 'first day of the month';
comment on column mart.activity_monthly.as_of_date is 'end of the month, or the last day known';
comment on column mart.activity_monthly.pos_id is 'point of sale of the first registration';
comment on column mart.activity_monthly.store_name is 'its name';
comment on column mart.activity_monthly.card_type is 'type of the newest card, as mart.display_text shows it; null or empty when unknown';
comment on column mart.activity_monthly.members is 'members by then';
comment on column mart.activity_monthly.active_30_days is 'members with a purchase in the last 30 days; null where operations of some of these are not stored any more';
comment on column mart.activity_monthly.active_90_days is 'members with a purchase in the last 90 days; null as active_30_days';
comment on column mart.activity_monthly.active_365_days is 'members with a purchase in the last 365 days; null as active_30_days';
comment on column mart.activity_monthly.lapsed is 'members whose last purchase by as_of_date became lapse_days days old in the month; null as active_30_days';
comment on column mart.activity_monthly.reactivated is 'members who bought again after lapse_days days or more';
comment on column mart.activity_monthly.is_whole_month is 'the last day of the month is known';
