-- question: by how much did the points owed change on a day, by source and expiry month?
-- grain: day x bonus source x expiry month
-- formula: sums of mart.points_movements: points, of them pending (a lot that starts later adds its points
--   when they move, and takes them off when it starts), and lots with points left.
--   mart.points_liability_daily is what they add up to.
-- incremental: sums of rows by day, bonus_source, expiry_month
create materialized view mart.liability_sums as
with moved as not materialized (
    select
        1 as sign,
        stored.*
    from refresh.scope
    inner join mart.points_movements as stored on stored.client_id = scope.client_id
    where coalesce(current_setting('lcm.refresh', true), '') <> 'changes'
    union all
    select * from refresh.changed_movements
    where current_setting('lcm.refresh', true) = 'changes'
)

select
    changes.day,
    changes.bonus_source,
    changes.expiry_month,
    sum(changes.points)::numeric(19, 2) as points,
    sum(changes.pending)::numeric(19, 2) as pending,
    sum(changes.lots)::bigint as lots
from (
    select
        movements.movement_date as day,
        movements.bonus_source,
        date_trunc('month', movements.expiry_date)::date as expiry_month,
        movements.sign * movements.points as points,
        case
            when movements.pending_until > movements.movement_date
                then movements.sign * movements.points
            else 0
        end as pending,
        movements.sign * movements.lots_change as lots
    from moved as movements
    union all
    select
        movements.pending_until as day,
        movements.bonus_source,
        date_trunc('month', movements.expiry_date)::date as expiry_month,
        0 as points,
        -movements.sign * movements.points as pending,
        0 as lots
    from moved as movements
    where
        movements.pending_until > movements.movement_date
        and movements.pending_until < '9999-12-31'
) as changes
group by changes.day, changes.bonus_source, changes.expiry_month
having sum(changes.points) <> 0 or sum(changes.pending) <> 0 or sum(changes.lots) <> 0;

create unique index on mart.liability_sums (day, bonus_source, expiry_month);

comment on materialized view mart.liability_sums is 'changes of the points owed; what is 0 is left out. Grain: day, bonus source, expiry month';
comment on column mart.liability_sums.day is 'business day';
comment on column mart.liability_sums.bonus_source is 'why the points were given';
comment on column mart.liability_sums.expiry_month is 'first day of the month in which they expire; null when they do not';
comment on column mart.liability_sums.points is 'by how many the points owed changed';
comment on column mart.liability_sums.pending is 'by how many the points not usable yet, or blocked, changed';
comment on column mart.liability_sums.lots is 'by how many the lots with points left changed';
