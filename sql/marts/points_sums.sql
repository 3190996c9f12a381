-- question: which points moved on a day, of which source and issue month, and what money was set aside?
-- grain: movement day x bonus source x issue month of the lots (both null for points without a lot)
-- formula: sums of mart.points_movements by kind. Priced are lots of purchases that were paid with
--   money, at least in part; of each, money is set aside by relative stand-alone selling prices
--   (IFRS 15, paragraphs 74 and B40): price x selling price of its points / (price + selling prices of
--   all points of the cheque). The price is the amount less points redeemed x point_value; the selling
--   price of points is points x point_value x (1 - expected_breakage), both of the issue date. What is
--   clawed back takes its part of that money back. The ledger has that price of each lot. Marts of points
--   by month are made of it.
-- incremental: sums of rows by movement_date, bonus_source, issue_month

-- Of earlier versions: prices are in the ledger now.
drop function if exists refresh.lot_prices cascade;

create materialized view mart.points_sums as
with movements as (
    select
        1 as sign,
        stored.*
    from refresh.scope
    inner join mart.points_movements as stored on stored.client_id = scope.client_id
    where coalesce(current_setting('lcm.refresh', true), '') <> 'changes'
    union all
    select * from refresh.changed_movements
    where current_setting('lcm.refresh', true) = 'changes'
),

pieces as (
    select
        movement_date,
        bonus_source,
        date_trunc('month', issue_date)::date as issue_month,
        sign * points as points,
        sign * round(points * price_of_point, 6) as money,
        kind,
        expiry_date is not null as is_ending,
        price_of_point is not null as is_priced
    from movements
),

summed as (
    select
        movement_date,
        bonus_source,
        issue_month,
        coalesce(sum(points) filter (where kind = 'added'), 0)::numeric(19, 2) as added,
        coalesce(-sum(points) filter (where kind = 'redeemed'), 0)::numeric(19, 2) as redeemed,
        coalesce(-sum(points) filter (where kind = 'expired'), 0)::numeric(19, 2) as expired,
        coalesce(
            -sum(points) filter (where kind = 'expired' and is_ending), 0
        )::numeric(19, 2) as matured_expired,
        coalesce(-sum(points) filter (where kind = 'clawed_back'), 0)::numeric(19, 2)
            as clawed_back,
        coalesce(sum(points) filter (where kind = 'corrected'), 0)::numeric(19, 2) as corrections,
        coalesce(sum(points) filter (where kind = 'unexplained'), 0)::numeric(19, 2) as residual,
        coalesce(sum(points) filter (where is_priced), 0)::numeric(19, 2) as priced_change,
        coalesce(
            -sum(points) filter (where is_priced and kind = 'redeemed'), 0
        )::numeric(19, 2) as priced_redeemed,
        coalesce(sum(money) filter (where kind = 'added'), 0)::numeric(19, 6) as deferred_added,
        coalesce(-sum(money) filter (where kind = 'clawed_back'), 0)::numeric(19, 6)
            as deferred_clawed_back
    from pieces
    group by movement_date, bonus_source, issue_month
)

select *
from summed
where
    added <> 0
    or redeemed <> 0
    or expired <> 0
    or matured_expired <> 0
    or clawed_back <> 0
    or corrections <> 0
    or residual <> 0
    or priced_change <> 0
    or priced_redeemed <> 0
    or deferred_added <> 0
    or deferred_clawed_back <> 0;

create unique index on mart.points_sums (movement_date, bonus_source, issue_month);

comment on materialized view mart.points_sums is 'points that moved, and money set aside for them; what is 0 is left out. Grain: movement day, bonus source, issue month';
comment on column mart.points_sums.movement_date is 'business day';
comment on column mart.points_sums.bonus_source is 'why the points were given; null for points without a lot';
comment on column mart.points_sums.issue_month is 'first day of the month in which they were given; null for points without a lot';
comment on column mart.points_sums.added is 'points given';
comment on column mart.points_sums.redeemed is 'points redeemed, less points that refunds gave back';
comment on column mart.points_sums.expired is 'points expired';
comment on column mart.points_sums.matured_expired is 'of them, points of lots with an expiry day';
comment on column mart.points_sums.clawed_back is 'points taken back for refunded cheques';
comment on column mart.points_sums.corrections is 'deductions by rows, and rows that vanished';
comment on column mart.points_sums.residual is 'what no row explains';
comment on column mart.points_sums.priced_change is 'by how many the outstanding points of purchases paid with money changed';
comment on column mart.points_sums.priced_redeemed is 'of them, points redeemed, less points that refunds gave back';
comment on column mart.points_sums.deferred_added is 'money set aside for the points given, as revenue of later';
comment on column mart.points_sums.deferred_clawed_back is 'of it, money of points that were clawed back';
