-- question: what became of the points given in a month, as they aged?
-- grain: issue month x age in whole months, 0 being the issue month itself
-- formula: at the end of the month that is so much later (or of the last day known), by the movements
--   of the lots given in the issue month (mart.points_movements by mart.points_sums, as known today):
--   open is their sum; expired and clawed back are theirs; redeemed is the rest of what was issued.
--   matured are the lots whose expiry day has come; breakage_rate is the expired share of what they
--   were issued with. Which lots a redemption took from is an allocation. Lots that vanished are left
--   out at every age.
create materialized view mart.points_vintage as
with cohorts as (
    select date_trunc('month', issue_date)::date as issue_month, sum(added) as issued
    from mart.lot_sums
    where issue_date <= (select operations_day from mart.as_of)
    group by date_trunc('month', issue_date)::date
),

grid as (
    select
        cohorts.issue_month,
        cohorts.issued,
        month.position::integer - 1 as age_months,
        month.day::date as month,
        least((month.day + interval '1 month')::date - 1, as_of.operations_day) as day
    from cohorts
    cross join mart.as_of
    cross join
        generate_series(
            cohorts.issue_month::timestamp, as_of.operations_day::timestamp, interval '1 month'
        ) with ordinality as month (day, position)
),

-- By month: the days of a year are many, and each is in all ages that follow.
moved as (
    select
        issue_month,
        date_trunc('month', movement_date::timestamp)::date as month,
        sum(added - redeemed - expired - clawed_back + corrections + residual) as points,
        sum(expired) as expired,
        sum(clawed_back) as clawed_back,
        sum(matured_expired) as matured_expired
    from mart.points_sums
    where issue_month is not null and movement_date <= (select operations_day from mart.as_of)
    group by issue_month, date_trunc('month', movement_date::timestamp)::date
),

lost as (
    select
        grid.issue_month,
        grid.month,
        sum(moved.points) as open_points,
        sum(moved.expired) as expired,
        sum(moved.clawed_back) as clawed_back,
        sum(moved.matured_expired) as matured_expired
    from grid
    inner join moved on moved.issue_month = grid.issue_month and moved.month <= grid.month
    group by grid.issue_month, grid.month
),

maturing as (
    select
        date_trunc('month', issue_date::timestamp)::date as issue_month,
        date_trunc('month', expiry_date::timestamp)::date as month,
        sum(added) as points
    from mart.lot_sums
    where expiry_date <= (select operations_day from mart.as_of)
    group by
        date_trunc('month', issue_date::timestamp)::date,
        date_trunc('month', expiry_date::timestamp)::date
),

matured as (
    select
        grid.issue_month,
        grid.month,
        sum(maturing.points) as points
    from grid
    inner join maturing
        on maturing.issue_month = grid.issue_month and maturing.month <= grid.month
    group by grid.issue_month, grid.month
)

select
    grid.issue_month,
    grid.age_months,
    grid.day as as_of_date,
    grid.issued::numeric(19, 2) as issued,
    (
        grid.issued - coalesce(lost.open_points, 0) - coalesce(lost.expired, 0)
        - coalesce(lost.clawed_back, 0)
    )::numeric(19, 2) as redeemed,
    coalesce(lost.expired, 0)::numeric(19, 2) as expired,
    coalesce(lost.clawed_back, 0)::numeric(19, 2) as clawed_back,
    coalesce(lost.open_points, 0)::numeric(19, 2) as open_points,
    round((
        grid.issued - coalesce(lost.open_points, 0) - coalesce(lost.expired, 0)
        - coalesce(lost.clawed_back, 0)
    ) / grid.issued, 4) as redeemed_share,
    round(coalesce(lost.expired, 0) / grid.issued, 4) as expired_share,
    round(coalesce(lost.open_points, 0) / grid.issued, 4) as open_share,
    coalesce(matured.points, 0)::numeric(19, 2) as matured,
    round(coalesce(lost.matured_expired, 0) / matured.points, 4) as breakage_rate,
    readings.observed_date
from grid
left join lost on lost.month = grid.month and lost.issue_month = grid.issue_month
left join matured on matured.month = grid.month and matured.issue_month = grid.issue_month
left join mart.readings_by_day as readings
    on readings.feed = 'operations' and readings.day = grid.day;

create unique index on mart.points_vintage (issue_month, age_months);

comment on materialized view mart.points_vintage is 'what became of the points of an issue month as they aged. Grain: issue month, age in months';
comment on column mart.points_vintage.issue_month is 'first day of the month in which the points were given';
comment on column mart.points_vintage.age_months is 'months since then; 0 is the issue month itself';
comment on column mart.points_vintage.as_of_date is 'end of the month that is so old, or the last day known';
comment on column mart.points_vintage.issued is 'points given in the issue month';
comment on column mart.points_vintage.redeemed is 'issued, less open, expired and clawed back: so also what corrections took and what no row explains';
comment on column mart.points_vintage.expired is 'points of these lots expired by then';
comment on column mart.points_vintage.clawed_back is 'points of these lots taken back for refunds by then';
comment on column mart.points_vintage.open_points is 'points left at that day';
comment on column mart.points_vintage.redeemed_share is 'redeemed / issued';
comment on column mart.points_vintage.expired_share is 'expired / issued';
comment on column mart.points_vintage.open_share is 'open / issued';
comment on column mart.points_vintage.matured is 'points that the lots were issued with whose expiry day has come';
comment on column mart.points_vintage.breakage_rate is 'expired share of the matured lots; null when none has matured';
comment on column mart.points_vintage.observed_date is 'last day of the reading that showed as_of_date; if it is later, the balance was rolled back from it';
