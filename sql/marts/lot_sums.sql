-- question: how many points were given on a day that start and end on others?
-- grain: issue date x active date x expiry date
-- formula: sums of mart.lots at the points they were given with. mart.points_vintage and the activated
--   points of mart.program_daily are made of it.
-- incremental: sums of rows by issue_date, active_date, expiry_date
create materialized view mart.lot_sums as
select
    lots.issue_date,
    lots.active_date,
    lots.expiry_date,
    sum(lots.sign * lots.added)::numeric(19, 2) as added
from (
    select
        1 as sign,
        stored.issue_date,
        stored.active_date,
        stored.expiry_date,
        stored.added
    from refresh.scope
    inner join mart.lots as stored on stored.client_id = scope.client_id
    where coalesce(current_setting('lcm.refresh', true), '') <> 'changes'
    union all
    select * from refresh.changed_lots
    where current_setting('lcm.refresh', true) = 'changes'
) as lots
group by lots.issue_date, lots.active_date, lots.expiry_date
having sum(lots.sign * lots.added) <> 0;

create unique index on mart.lot_sums (issue_date, active_date, expiry_date);

comment on materialized view mart.lot_sums is 'points given, by the day on which they end. Grain: issue date, expiry date';
comment on column mart.lot_sums.issue_date is 'business day on which the points were given';
comment on column mart.lot_sums.active_date is 'business day from which they can be used';
comment on column mart.lot_sums.expiry_date is 'business day at whose end they are gone; null when they do not expire';
comment on column mart.lot_sums.added is 'points given';
