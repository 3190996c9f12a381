-- question: how many members are active, how many lapse and come back?
-- grain: month x store of registration x type of the newest card
-- formula: at the end of the month (or the last day known, as_of_date), by the member's last purchase
--   so far: active at n days when it lies less than n days back. lapsed: it became lapse_days days old in
--   the month, and may have been made in it. reactivated: bought in the month, lapse_days days or more
--   after the purchase before. Months whose operations are not stored any more (LCM_RETENTION_MONTHS) are
--   left out, and a count is null where that holds for some of the days that it looks back on; who
--   bought before these comes back unseen.
create materialized view mart.activity_monthly as
with newest as (
    select
        date_trunc('month', operations_day::timestamp)::date as month,
        operations_day as last_day
    from mart.as_of
    -- Months that have ended are sums of changes, which follow the clients that changed.
    where operations_day + 1 <> date_trunc('month', operations_day + interval '1 day')::date
),

-- Days since the last purchase. Scalar subqueries, as a join with the month keeps parallel workers out.
lately as (
    select
        members.pos_id,
        members.card_type,
        (select last_day from newest) - totals.last_purchase_date as days,
        (select month from newest) - 1 - totals.last_purchase_date as days_before_month
    from mart.members
    left join mart.client_totals as totals on totals.client_id = members.client_id
    where members.registration_date <= (select last_day from newest)
),

standing as (
    select
        lately.pos_id,
        lately.card_type,
        count(*) as members,
        count(*) filter (where lately.days < 30) as active_30_days,
        count(*) filter (where lately.days < 90) as active_90_days,
        count(*) filter (where lately.days < 365) as active_365_days,
        count(*) filter (
            where
                lately.days >= parameters.lapse_days
                and lately.days_before_month < parameters.lapse_days
        ) as lapsed
    from lately
    cross join mart.parameters
    group by lately.pos_id, lately.card_type
),

-- Apart from the others, as they are few, and by the index on the month: a join by client would read all
-- months.
back as (
    select
        members.pos_id,
        members.card_type,
        count(*) as reactivated
    from mart.purchase_months as bought
    cross join mart.parameters
    inner join mart.members on members.client_id = bought.client_id
    where
        bought.month = (select month from newest)
        and members.registration_date <= (select last_day from newest)
        and bought.purchases > 0
        and bought.longest_gap_days >= parameters.lapse_days
    group by members.pos_id, members.card_type
),

changes as (
    select
        month,
        pos_id,
        card_type,
        members,
        active_30_days,
        active_90_days,
        active_365_days,
        lapsed,
        reactivated
    from mart.activity_changes
    union all
    -- Months without changes have members too.
    select
        series::date as month,
        first_months.pos_id,
        first_months.card_type,
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
            min(month) as month
        from mart.activity_changes
        group by pos_id, card_type
    ) as first_months
    cross join mart.as_of
    cross join lateral
        generate_series(
            first_months.month::timestamp, as_of.operations_day::timestamp, interval '1 month'
        ) as series
),

ended as (
    select
        changes.month,
        (changes.month + interval '1 month')::date - 1 as last_day,
        changes.pos_id,
        changes.card_type,
        (sum(sum(changes.members)) over so_far)::bigint as members,
        (sum(sum(changes.active_30_days)) over so_far)::bigint as active_30_days,
        (sum(sum(changes.active_90_days)) over so_far)::bigint as active_90_days,
        (sum(sum(changes.active_365_days)) over so_far)::bigint as active_365_days,
        sum(changes.lapsed)::bigint as lapsed,
        sum(changes.reactivated)::bigint as reactivated
    from changes
    cross join mart.as_of
    where changes.month < date_trunc('month', as_of.operations_day + interval '1 day')
    group by changes.month, changes.pos_id, changes.card_type
    window so_far as (partition by changes.pos_id, changes.card_type order by changes.month)
),

enrolled as (
    select * from ended
    where members > 0
    union all
    select
        newest.month,
        newest.last_day,
        standing.pos_id,
        standing.card_type,
        standing.members,
        standing.active_30_days,
        standing.active_90_days,
        standing.active_365_days,
        standing.lapsed,
        coalesce(back.reactivated, 0)
    from newest
    cross join standing
    left join back
        on
            back.pos_id is not distinct from standing.pos_id
            and back.card_type is not distinct from standing.card_type
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
where enrolled.month >= stored.first_day;

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
