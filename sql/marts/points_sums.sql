-- question: which points moved on a day, of which source and issue month, and what money was set aside?
-- grain: movement day x bonus source x issue month of the lots (both null for points without a lot)
-- formula: sums of mart.points_movements by kind. Priced are lots of purchases that were paid with
--   money, at least in part; of each, money is set aside by relative stand-alone selling prices
--   (IFRS 15, paragraphs 74 and B40): price x selling price of its points / (price + selling prices of
--   all points of the cheque). The price is the amount less points redeemed x point_value; the selling
--   price of points is points x point_value x (1 - expected_breakage), both of the issue date. What is
--   clawed back takes its part of that money back. Marts of points by month are made of it.
-- incremental: sums by movement_date, bonus_source, issue_month

-- The cheques of lots that ended as days passed.
drop view if exists refresh.passed_cheques cascade;
create view refresh.passed_cheques as
select distinct
    lots.client_id,
    lots.cheque_id
from refresh.passed_movements as passed
inner join mart.lots
    on
        lots.lot_id = passed.lot_id
        and lots.component_type = passed.component_type
        and lots.client_id = passed.client_id
where lots.cheque_id <> 0;

-- Read by the index on client_id where few clients are in scope.
create or replace function refresh.scope_given()
returns setof mart.lots
language sql stable rows 100000 set enable_nestloop = on
as $$
select lots.*
from refresh.scope
inner join mart.lots on lots.client_id = scope.client_id
where lots.cheque_id <> 0
union all
select lots.*
from refresh.passed_cheques as passed
inner join mart.lots
    on lots.client_id = passed.client_id and lots.cheque_id = passed.cheque_id;
$$;

create or replace function refresh.scope_purchases()
returns setof mart.cheques
language sql stable rows 100000 set enable_nestloop = on
as $$
select cheques.*
from refresh.scope
inner join mart.cheques on cheques.client_id = scope.client_id
where not cheques.is_refund
union all
select cheques.*
from refresh.passed_cheques as passed
inner join mart.cheques
    on cheques.client_id = passed.client_id and cheques.cheque_id = passed.cheque_id
where not cheques.is_refund;
$$;

-- The money that is set aside for each point of the priced lots of the clients in scope. By hash alone:
-- the planner takes the keys of a lot for independent, expects one row of a million, and then compares
-- all movements of a client with all its lots (2 million operations took over ten minutes so).
drop function if exists refresh.lot_prices cascade;
create function refresh.lot_prices()
returns table (client_id bigint, component_type smallint, lot_id bigint, price_of_point numeric)
language sql stable rows 100000 set enable_nestloop = off set enable_mergejoin = off
as $$
with given as (
    select
        lots.client_id,
        lots.component_type,
        lots.lot_id,
        lots.cheque_id,
        lots.added,
        lots.added * parameters.point_value
        * (1 - coalesce(own.expected_breakage, parameters.expected_breakage)) as selling_price
    from refresh.scope_given() as lots
    inner join mart.dated_parameters as parameters
        on lots.issue_date between parameters.first_day and parameters.last_day
    left join refresh.source_breakage as own
        on
            own.bonus_source = lots.bonus_source
            and lots.issue_date between own.first_day and own.last_day
),

given_for as (
    select
        *,
        sum(selling_price) over (partition by client_id, cheque_id) as all_selling_prices
    from given
),

paid as (
    select
        cheques.client_id,
        cheques.cheque_id,
        cheques.amount - cheques.redeemed * parameters.point_value as price
    from refresh.scope_purchases() as cheques
    inner join mart.dated_parameters as parameters
        on cheques.day between parameters.first_day and parameters.last_day
    where cheques.amount > cheques.redeemed * parameters.point_value
)

select
    given_for.client_id,
    given_for.component_type,
    given_for.lot_id,
    paid.price * given_for.selling_price / (paid.price + given_for.all_selling_prices)
    / given_for.added as price_of_point
from given_for
inner join paid
    on paid.client_id = given_for.client_id and paid.cheque_id = given_for.cheque_id
where given_for.added > 0 and given_for.selling_price > 0;
$$;

create materialized view mart.points_sums as
select
    movements.movement_date,
    movements.bonus_source,
    date_trunc('month', movements.issue_date)::date as issue_month,
    coalesce(sum(movements.points) filter (where movements.kind = 'added'), 0)::numeric(19, 2)
        as added,
    coalesce(-sum(movements.points) filter (where movements.kind = 'redeemed'), 0)::numeric(19, 2)
        as redeemed,
    coalesce(-sum(movements.points) filter (where movements.kind = 'expired'), 0)::numeric(19, 2)
        as expired,
    coalesce(
        -sum(movements.points) filter (
            where movements.kind = 'expired' and movements.expiry_date is not null
        ),
        0
    )::numeric(19, 2) as matured_expired,
    coalesce(
        -sum(movements.points) filter (where movements.kind = 'clawed_back'), 0
    )::numeric(19, 2) as clawed_back,
    coalesce(sum(movements.points) filter (where movements.kind = 'corrected'), 0)::numeric(19, 2)
        as corrections,
    coalesce(
        sum(movements.points) filter (where movements.kind = 'unexplained'), 0
    )::numeric(19, 2) as residual,
    coalesce(sum(movements.points) filter (where priced.lot_id is not null), 0)::numeric(19, 2)
        as priced_change,
    coalesce(
        -sum(movements.points) filter (
            where priced.lot_id is not null and movements.kind = 'redeemed'
        ),
        0
    )::numeric(19, 2) as priced_redeemed,
    coalesce(
        sum(round(movements.points * priced.price_of_point, 6)) filter (
            where movements.kind = 'added'
        ),
        0
    )::numeric(19, 6) as deferred_added,
    coalesce(
        -sum(round(movements.points * priced.price_of_point, 6)) filter (
            where movements.kind = 'clawed_back'
        ),
        0
    )::numeric(19, 6) as deferred_clawed_back
from (
    select movements.*
    from refresh.scope
    inner join mart.points_movements as movements on movements.client_id = scope.client_id
    union all
    select * from refresh.passed_movements
) as movements
left join refresh.lot_prices() as priced
    on
        priced.client_id = movements.client_id
        and priced.component_type = movements.component_type
        and priced.lot_id = movements.lot_id
group by
    movements.movement_date,
    movements.bonus_source,
    date_trunc('month', movements.issue_date)::date
having
    count(*) filter (
        where movements.kind = 'added' or movements.kind = 'expired'
    ) > 0
    or sum(movements.points) filter (where movements.kind = 'redeemed') <> 0
    or sum(movements.points) filter (where movements.kind = 'clawed_back') <> 0
    or sum(movements.points) filter (where movements.kind = 'corrected') <> 0
    or sum(movements.points) filter (where movements.kind = 'unexplained') <> 0
    or sum(movements.points) filter (where priced.lot_id is not null) <> 0
    or sum(movements.points) filter (
        where priced.lot_id is not null and movements.kind = 'redeemed'
    ) <> 0
    or sum(round(movements.points * priced.price_of_point, 6)) filter (
        where movements.kind = 'clawed_back'
    ) <> 0;

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
