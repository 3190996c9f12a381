-- question: how did the points outstanding at the start of a month become those at its end?
-- grain: month
-- formula: opening + added - redeemed - expired - clawed_back + corrections + residual = closing,
--   all of them sums of mart.points_movements (by mart.points_sums), as known today: late and vanished rows restate their
--   own month, and nothing else does. residual is what no row explains: lots that lost more or less
--   than all rows say, on the day between two readings on which it was seen; 0 where the source adds
--   up. closing is what mart.points_liability_daily says is owed on the last day of the month.
--   redeemed is net of points that refunds gave back.
create materialized view mart.points_bridge_monthly as
with movements as (
    select
        date_trunc('month', movement_date)::date as month,
        sum(added) as added,
        sum(redeemed) as redeemed,
        sum(expired) as expired,
        sum(clawed_back) as clawed_back,
        sum(corrections) as corrections,
        sum(residual) as residual,
        sum(added - redeemed - expired - clawed_back + corrections + residual) as change
    from mart.points_sums
    where movement_date <= (select operations_day from mart.as_of)
    group by date_trunc('month', movement_date)::date
),

months as (
    select series::date as month
    from
        mart.as_of,
        generate_series(
            (select min(month) from movements)::timestamp,
            date_trunc('month', as_of.operations_day::timestamp),
            interval '1 month'
        ) as series
)

select
    months.month,
    coalesce(
        sum(movements.change) over (
            order by months.month rows between unbounded preceding and 1 preceding
        ), 0
    )::numeric(19, 2) as opening,
    coalesce(movements.added, 0)::numeric(19, 2) as added,
    coalesce(movements.redeemed, 0)::numeric(19, 2) as redeemed,
    coalesce(movements.expired, 0)::numeric(19, 2) as expired,
    coalesce(movements.clawed_back, 0)::numeric(19, 2) as clawed_back,
    coalesce(movements.corrections, 0)::numeric(19, 2) as corrections,
    coalesce(movements.residual, 0)::numeric(19, 2) as residual,
    coalesce(sum(movements.change) over (order by months.month), 0)::numeric(19, 2) as closing,
    (months.month + interval '1 month')::date - 1 <= as_of.operations_day as is_whole_month
from months
left join movements on movements.month = months.month
cross join mart.as_of;

create unique index on mart.points_bridge_monthly (month);

comment on materialized view mart.points_bridge_monthly is 'opening + added - redeemed - expired - clawed back + corrections + residual = closing, in points. Grain: month';
comment on column mart.points_bridge_monthly.month is 'first day of the month';
comment on column mart.points_bridge_monthly.opening is 'points outstanding before the month';
comment on column mart.points_bridge_monthly.added is 'points given';
comment on column mart.points_bridge_monthly.redeemed is 'points redeemed, less points that refunds gave back';
comment on column mart.points_bridge_monthly.expired is 'points expired, with and without a row that says so';
comment on column mart.points_bridge_monthly.clawed_back is 'points taken back for refunded cheques';
comment on column mart.points_bridge_monthly.corrections is 'deductions by rows, and rows that vanished although their points had moved';
comment on column mart.points_bridge_monthly.residual is 'what no row explains, in the month in which a reading saw it; 0 where the source adds up';
comment on column mart.points_bridge_monthly.closing is 'points outstanding at the end of the month, or of the last day that is known';
comment on column mart.points_bridge_monthly.is_whole_month is 'the month has ended';
