-- question: how many points, and how much money, does the programme owe at the end of a day?
-- grain: day x bonus source x expiry month
-- formula: the sum of mart.points_movements (by mart.liability_sums) through the day, as known today: what a row says counts
--   from the row's own day on, whenever it was read. A lot is gone at the end of its expiry day. It is
--   pending while its start lies after the day, or the source says that it is not active; else it is
--   active. Points without a lot are on the rows without a source and an expiry month. Money is points
--   x point_value; after breakage both are taken x (1 - expected_breakage), that of the bonus source
--   where mart.source_breakage has one; of both what holds on the day. observed_date is the last
--   day of the reading used: where it is later than the day, method says that the balance was
--   rolled back from it by the movements, with the allocation that these rest on. As each reading saw
--   it: mart.points_liability_as_known_then.
-- incremental: day and later
create materialized view mart.points_liability_daily as
with events as (
    select *
    from mart.liability_sums
    where day <= (select operations_day from mart.as_of)
),

balances as (
    select
        bonus_source,
        expiry_month,
        day as first_day,
        coalesce(
            lead(day) over steps, (select operations_day + 1 from mart.as_of)
        ) as end_day,
        sum(points) over steps as points,
        sum(pending) over steps as pending,
        sum(lots) over steps as lots
    from events
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
    where balances.points <> 0 or balances.pending <> 0 or balances.lots > 0
)

select
    by_day.day,
    by_day.bonus_source,
    mart.display_text(bonus_sources.name) as bonus_source_name,
    by_day.expiry_month,
    by_day.lots::bigint as lots,
    (by_day.points - by_day.pending)::numeric(19, 2) as active_points,
    by_day.pending::numeric(19, 2) as pending_points,
    by_day.points::numeric(19, 2) as outstanding_points,
    (by_day.points * parameters.point_value)::numeric(19, 2) as outstanding_value,
    (
        by_day.points * (1 - coalesce(own.expected_breakage, parameters.expected_breakage))
    )::numeric(19, 2) as expected_points,
    (
        by_day.points * (1 - coalesce(own.expected_breakage, parameters.expected_breakage))
        * parameters.point_value
    )::numeric(19, 2) as expected_value,
    readings.observed_date,
    case when readings.observed_date = by_day.day then 'read' else 'rolled back' end as method
from by_day
inner join mart.readings_by_day as readings
    on readings.feed = 'operations' and readings.day = by_day.day
left join core.bonus_sources on bonus_sources.bonus_source = by_day.bonus_source
inner join mart.dated_parameters as parameters
    on by_day.day between parameters.first_day and parameters.last_day
left join refresh.source_breakage as own
    on own.bonus_source = by_day.bonus_source and by_day.day between own.first_day and own.last_day;

create unique index on mart.points_liability_daily (day, bonus_source, expiry_month);

comment on materialized view mart.points_liability_daily is 'points owed at the end of each day, as known today, in points and money. Grain: day, bonus source, expiry month';
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
comment on column mart.points_liability_daily.observed_date is 'last day of the reading that it is from';
comment on column mart.points_liability_daily.method is 'read: that reading was of this day; rolled back: of a later one, and what rows say of the days between is undone';
