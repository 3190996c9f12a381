-- question: what became of the points given in a month, as they aged?
-- grain: issue month x age in whole months, 0 being the issue month itself
-- formula: at the end of the month that is so much later (or of the last day known): open is what
--   remained, as its reading told; expired and clawed back are movements laid on these lots by then;
--   redeemed is the rest of what was issued. matured are the lots whose expiry day has come;
--   breakage_rate is the expired share of what they were issued with. A day that only a later reading
--   tells of shows less open and more redeemed than it had: see observed_date. Lots that vanished
--   are left out at every age.
create materialized view mart.points_vintage as
with cohorts as (
    select date_trunc('month', issue_date)::date as issue_month, sum(added) as issued
    from mart.lots
    where issue_date <= (select operations_day from mart.as_of)
    group by date_trunc('month', issue_date)::date
),

grid as (
    select
        cohorts.issue_month,
        cohorts.issued,
        month.position::integer - 1 as age_months,
        least((month.day + interval '1 month')::date - 1, as_of.operations_day) as day
    from cohorts
    cross join mart.as_of
    cross join
        generate_series(
            cohorts.issue_month::timestamp, as_of.operations_day::timestamp, interval '1 month'
        ) with ordinality as month (day, position)
),

days as (
    select distinct day from grid
),

-- There are few pairs of days and many versions.
spans as (
    select
        date_trunc('month', lot_versions.issue_date)::date as issue_month,
        lot_versions.first_day,
        lot_versions.end_day,
        sum(lot_versions.remain) as points
    from mart.lot_versions
    inner join mart.lots
        on lots.client_id = lot_versions.client_id and lots.lot_id = lot_versions.lot_id
    group by
        date_trunc('month', lot_versions.issue_date)::date,
        lot_versions.first_day,
        lot_versions.end_day
),

open_lots as (
    select
        days.day,
        spans.issue_month,
        sum(spans.points) as points
    from days
    inner join spans on days.day >= spans.first_day and days.day < spans.end_day
    group by days.day, spans.issue_month
),

-- A lot's own movements, by the month in which they fell.
losses as (
    select
        date_trunc('month', lots.issue_date)::date as issue_month,
        movements.movement_date,
        -sum(movements.points) filter (where movements.kind = 'expired') as expired,
        -sum(movements.points) filter (where movements.kind = 'clawed_back') as clawed_back,
        -sum(movements.points) filter (
            where movements.kind = 'expired' and lots.expiry_date is not null
        ) as matured_expired
    from mart.points_movements as movements
    inner join mart.lots
        on lots.client_id = movements.client_id and lots.lot_id = movements.lot_id
    where movements.kind in ('expired', 'clawed_back')
    group by date_trunc('month', lots.issue_date)::date, movements.movement_date
),

lost as (
    select
        grid.issue_month,
        grid.day,
        sum(losses.expired) as expired,
        sum(losses.clawed_back) as clawed_back,
        sum(losses.matured_expired) as matured_expired
    from grid
    inner join losses
        on losses.issue_month = grid.issue_month and losses.movement_date <= grid.day
    group by grid.issue_month, grid.day
),

maturing as (
    select
        date_trunc('month', issue_date)::date as issue_month,
        expiry_date,
        sum(added) as points
    from mart.lots
    where expiry_date is not null
    group by date_trunc('month', issue_date)::date, expiry_date
),

matured as (
    select grid.issue_month, grid.day, sum(maturing.points) as points
    from grid
    inner join maturing
        on maturing.issue_month = grid.issue_month and maturing.expiry_date <= grid.day
    group by grid.issue_month, grid.day
)

select
    grid.issue_month,
    grid.age_months,
    grid.day as as_of_date,
    grid.issued,
    grid.issued - coalesce(open_lots.points, 0) - coalesce(lost.expired, 0)
    - coalesce(lost.clawed_back, 0) as redeemed,
    coalesce(lost.expired, 0) as expired,
    coalesce(lost.clawed_back, 0) as clawed_back,
    coalesce(open_lots.points, 0) as open_points,
    round((
        grid.issued - coalesce(open_lots.points, 0) - coalesce(lost.expired, 0)
        - coalesce(lost.clawed_back, 0)
    ) / grid.issued, 4) as redeemed_share,
    round(coalesce(lost.expired, 0) / grid.issued, 4) as expired_share,
    round(coalesce(open_lots.points, 0) / grid.issued, 4) as open_share,
    coalesce(matured.points, 0) as matured,
    round(coalesce(lost.matured_expired, 0) / matured.points, 4) as breakage_rate,
    readings.last_day as observed_date
from grid
left join open_lots on open_lots.day = grid.day and open_lots.issue_month = grid.issue_month
left join lost on lost.day = grid.day and lost.issue_month = grid.issue_month
left join matured on matured.day = grid.day and matured.issue_month = grid.issue_month
left join mart.readings
    on readings.feed = 'operations' and grid.day between readings.first_day and readings.last_day;

create unique index on mart.points_vintage (issue_month, age_months);

comment on materialized view mart.points_vintage is 'what became of the points of an issue month as they aged. Grain: issue month, age in months';
comment on column mart.points_vintage.issue_month is 'first day of the month in which the points were given';
comment on column mart.points_vintage.age_months is 'months since then; 0 is the issue month itself';
comment on column mart.points_vintage.as_of_date is 'end of the month that is so old, or the last day known';
comment on column mart.points_vintage.issued is 'points given in the issue month';
comment on column mart.points_vintage.redeemed is 'issued, less open, expired and clawed back';
comment on column mart.points_vintage.expired is 'points of these lots expired by then';
comment on column mart.points_vintage.clawed_back is 'points of these lots taken back for refunds by then';
comment on column mart.points_vintage.open_points is 'points left at that day';
comment on column mart.points_vintage.redeemed_share is 'redeemed / issued';
comment on column mart.points_vintage.expired_share is 'expired / issued';
comment on column mart.points_vintage.open_share is 'open / issued';
comment on column mart.points_vintage.matured is 'points that the lots were issued with whose expiry day has come';
comment on column mart.points_vintage.breakage_rate is 'expired share of the matured lots; null when none has matured';
comment on column mart.points_vintage.observed_date is 'last day of the reading that told what was open; when later than as_of_date, points spent in between are off already';
