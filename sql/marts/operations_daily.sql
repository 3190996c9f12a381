-- question: how many operations of a day are loaded, and of which kinds?
-- grain: day with a live operation x component type
-- formula: live rows of core.operations, of plausible days, and what they were seen to carry: rows with
--   bonus ids, with cheque ids alone, with order ids alone.
-- incremental: day
create materialized view mart.operations_daily as
select
    operation_date as day,
    component_type,
    count(*) as loaded_rows,
    count(*) filter (where bonus_id <> 0) as bonuses,
    count(*) filter (where coalesce(bonus_id, 0) = 0 and cheque_id <> 0) as cheques,
    count(*) filter (
        where coalesce(bonus_id, 0) = 0 and coalesce(cheque_id, 0) = 0 and order_id <> 0
    ) as orders
from core.operations
where
    deleted_at is null
    and operation_date between mart.first_plausible_day() and mart.last_plausible_day()
group by operation_date, component_type;

create unique index on mart.operations_daily (day, component_type);

comment on materialized view mart.operations_daily is 'how many operations of a day are loaded. Grain: day, component type';
comment on column mart.operations_daily.day is 'business day';
comment on column mart.operations_daily.component_type is 'ComponentType';
comment on column mart.operations_daily.loaded_rows is 'live rows';
comment on column mart.operations_daily.bonuses is 'of them, with a bonus id';
comment on column mart.operations_daily.cheques is 'of them, with a cheque id and no bonus id';
comment on column mart.operations_daily.orders is 'of them, with an order id alone';
