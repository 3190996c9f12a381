-- question: how many points, and how much money, does the programme owe at the end of a day?
-- grain: day x bonus source x expiry month
-- formula: what remained of the lots given by the day, in the version that the day's reading brought
--   (mart.lot_versions). A lot is gone at the end of its expiry day. It is pending while its start
--   lies after the day, or the source says that it is not active; else it is active. Money is points
--   x point_value; after breakage both are taken x (1 - expected_breakage). observed_date is the last
--   day of the reading that told: where it is later than the day (a backfill), points spent in
--   between are off already, and lots that ended in between are missing.
create materialized view mart.points_liability_daily as
with pieces as (
    select
        bonus_source,
        date_trunc('month', expiry_date)::date as expiry_month,
        remain,
        first_day,
        end_day,
        case
            when is_active is false then end_day
            else least(end_day, greatest(first_day, active_date))
        end as pending_end
    from mart.lot_versions
),

events as (
    select bonus_source, expiry_month, first_day as day, remain as points, 0 as pending, 1 as lots
    from pieces
    union all
    select bonus_source, expiry_month, end_day as day, -remain as points, 0 as pending, -1 as lots
    from pieces
    union all
    select bonus_source, expiry_month, first_day as day, 0 as points, remain as pending, 0 as lots
    from pieces
    where pending_end > first_day
    union all
    select
        bonus_source, expiry_month, pending_end as day, 0 as points, -remain as pending, 0 as lots
    from pieces
    where pending_end > first_day
),

changes as (
    select
        bonus_source,
        expiry_month,
        day,
        sum(points) as points,
        sum(pending) as pending,
        sum(lots) as lots
    from events
    group by bonus_source, expiry_month, day
),

balances as (
    select
        bonus_source,
        expiry_month,
        day as first_day,
        lead(day) over steps as end_day,
        sum(points) over steps as points,
        sum(pending) over steps as pending,
        sum(lots) over steps as lots
    from changes
    window steps as (partition by bonus_source, expiry_month order by day)
),

by_day as (
    select
        series::date as day,
        balances.bonus_source,
        balances.expiry_month,
        balances.points,
        balances.pending,
        balances.lots
    from balances
    cross join
        generate_series(
            balances.first_day::timestamp, balances.end_day - interval '1 day', interval '1 day'
        ) as series
    where balances.lots > 0
)

select
    by_day.day,
    by_day.bonus_source,
    mart.display_text(bonus_sources.name) as bonus_source_name,
    by_day.expiry_month,
    by_day.lots,
    by_day.points - by_day.pending as active_points,
    by_day.pending as pending_points,
    by_day.points as outstanding_points,
    round(by_day.points * parameters.point_value, 2) as outstanding_value,
    round(by_day.points * (1 - parameters.expected_breakage), 2) as expected_points,
    round(by_day.points * (1 - parameters.expected_breakage) * parameters.point_value, 2)
        as expected_value,
    readings.last_day as observed_date
from by_day
inner join mart.readings
    on readings.feed = 'operations' and by_day.day between readings.first_day and readings.last_day
left join core.bonus_sources on bonus_sources.bonus_source = by_day.bonus_source
cross join mart.parameters;

create unique index on mart.points_liability_daily (day, bonus_source, expiry_month);

comment on materialized view mart.points_liability_daily is 'points owed at the end of each day, as its reading told, in points and money. Grain: day, bonus source, expiry month';
comment on column mart.points_liability_daily.day is 'business day, at its end';
comment on column mart.points_liability_daily.bonus_source is 'why the points were given';
comment on column mart.points_liability_daily.bonus_source_name is 'its name';
comment on column mart.points_liability_daily.expiry_month is 'first day of the month in which they expire; null when they do not';
comment on column mart.points_liability_daily.lots is 'lots with points left';
comment on column mart.points_liability_daily.active_points is 'points that could be redeemed';
comment on column mart.points_liability_daily.pending_points is 'points not usable yet, or blocked';
comment on column mart.points_liability_daily.outstanding_points is 'active and pending points';
comment on column mart.points_liability_daily.outstanding_value is 'outstanding points in money';
comment on column mart.points_liability_daily.expected_points is 'outstanding points less the expected breakage';
comment on column mart.points_liability_daily.expected_value is 'expected points in money';
comment on column mart.points_liability_daily.observed_date is 'last day of the reading that told; when later than the day, points spent in between are off already';
